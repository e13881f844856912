"""Bodies as fields that can be compared: of JSON, of URL-encoded and multipart forms, or the body as a whole."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from ..auth.header import normal
from ..wire import json_text
from ..wire.json_text import Path
from . import forms, links

PICTURES: Final = frozenset(
    """
    image images image_tail image_url image_list input_reference subject_image scene_image style_image human_image
    cloth_image face_image frontal_image element_frontal_image static_mask mask dynamic_masks first_frame last_frame
    reference_image reference_images sound_file audio_file
    """.split()
)
"""Names of members whose value is a file in base64, of any length."""
LONG_BASE64: Final = 200
"""Characters from which a base64 string is taken for a file, whatever the name of its member."""

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_DATA_URL = re.compile(r"(?i)data:[^,]{0,200};base64,")
_BLANK = re.compile(r"\s+")
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"RIFF")


class Field(NamedTuple):
    """A value in a body with its path; equal values have the same spelling."""

    path: Path
    value: str


def fields(body: bytes, content_type: str) -> list[Field]:
    """The fields of a body. A form is treated as a JSON object of strings, and a picture as its base64."""
    if not body:
        return []
    found = forms.parts(body, content_type)
    if found is not None:
        return [_part(part, body[part.start : part.end]) for part in found]
    try:
        document = body.decode()
    except UnicodeDecodeError:
        return [Field((), data(body))]
    if forms.is_urlencoded(content_type):
        pairs = parse_qsl(document, keep_blank_values=True, errors="surrogateescape")
        return [Field((name,), _string((name,), value)) for name, value in pairs]
    if json_text.is_valid(document):
        return list(_members(document))
    return [Field((), data(body))]


def text(value: str) -> str:
    """The spelling of a string value."""
    return json.dumps(value, ensure_ascii=any("\ud800" <= character <= "\udfff" for character in value))


def data(value: bytes) -> str:
    """The spelling of a file."""
    return f"{len(value)} bytes, SHA-256 {hashlib.sha256(value).hexdigest()[:32]}"


def _members(document: str) -> Iterator[Field]:
    for part in json_text.parts(document):
        if part.is_key:
            continue
        token = document[part.start : part.end]
        if token[0] == '"':
            yield Field(part.path, _string(part.path, json_text.string(token)))
        elif token[0] in "{[":
            yield Field(part.path, f"{token[0]}{token[-1]}")
        else:
            yield Field(part.path, json_text.number(token))


def _part(part: forms.Part, value: bytes) -> Field:
    path = (part.name,)
    if part.filename is None:
        try:
            return Field(path, _string(path, value.decode()))
        except UnicodeDecodeError:
            return Field(path, data(value))
    # The file name of a picture does not count, as its base64 would have none.
    if normal(part.name) in PICTURES or value.startswith(_MAGIC):
        return Field(path, data(value))
    return Field(path, f"{data(value)}, file {text(part.filename)}")


def _string(path: Path, value: str) -> str:
    if links.is_link(value):
        return text(links.unsigned(value))
    name = next((step for step in reversed(path) if isinstance(step, str)), "")
    decoded = _decoded(value, 1 if normal(name) in PICTURES else LONG_BASE64)
    return text(value) if decoded is None else data(decoded)


def _decoded(value: str, shortest: int) -> bytes | None:
    """The bytes of a base64 text or data URL with at least `shortest` characters; None for other texts."""
    start = _DATA_URL.match(value)
    if start is None and len(value) < shortest:
        return None
    bare = _BLANK.sub("", value[start.end() if start else 0 :]).rstrip("=")
    if not _BASE64.fullmatch(bare) or (not start and re.search(r"\S\s+\S", value) and "\n" not in value):
        return None
    try:
        return base64.b64decode(bare.replace("-", "+").replace("_", "/") + "=" * (-len(bare) % 4), validate=True)
    except binascii.Error:
        return None
