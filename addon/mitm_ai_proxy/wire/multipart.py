"""Reads a form, multipart or URL-encoded, as nested fields, in the bracket notation of OpenAI's SDKs."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import parse_qsl

from ..errors import Refusal, bad_body
from . import json_edit

if TYPE_CHECKING:
    from werkzeug.datastructures import Headers
    from werkzeug.sansio.multipart import Event, MultipartDecoder

MAX_PARTS = 200
MAX_DEPTH = 8
"""Pairs of brackets in a name."""
MAX_HEAD = 8 * 1024
"""Bytes of the headers of a part; werkzeug is slow for very long ones."""
MAX_LINES = 5_000_000
"""Line ends, for which werkzeug is slow too; a picture has one in 128 bytes."""
MAX_URL_ENCODED = 1024 * 1024
"""Bytes; what is longer takes Python too long to decode."""

_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_KEY = re.compile(r"\[([^\[\]]*)\]")
_KEY_OR_DOT = re.compile(r"\[[^\[\]]*\]|\.([\w-]+)")
"""Behind a dot stands the name of a property."""
_JSON = re.compile(r"(?:application|text)/(?:[\w.-]+\+)?json\s*(?:;|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class File:
    """A part with a file name. Name and type are what the client sent; the type may be empty."""

    filename: str
    content_type: str
    data: bytes = field(repr=False)


Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"
Part: TypeAlias = "File | Json"
"""The content of a part: a file, text, or what JSON of the type application/json holds."""
Value: TypeAlias = "Part | list[Value] | dict[str, Value]"
_Path: TypeAlias = tuple[str, ...]
_Entry: TypeAlias = tuple[_Path, Part]
"""A value and the keys that lead to it; an empty key is an item of a list."""


def fields(
    body: bytes, content_type: str, lists: Collection[str] = (), objects: Collection[str] = ()
) -> dict[str, Value]:
    """The fields of a form, nested by the brackets in their names.

    `a[b]=1` is `{"a": {"b": "1"}}`, `a[]=1` is `{"a": ["1"]}`, `a[][b]=1` is `{"a": [{"b": "1"}]}`; an index is a key
    like any other. A name in `lists` may stand more than once. Names in `lists` and `objects` may have dots for
    brackets (`a.b`, `a.0.b`). `content_type` is the whole header, whose boundary is used.

    Raises Refusal (400) for an incomplete form, and for one that could be read in more than one way.
    Source: openai 3.52 (Python) and 7.57 (Node), observed; RFC 7578.
    """
    return _nested(_parts(body, boundary(content_type)), lists, objects)


def url_encoded_fields(body: bytes, lists: Collection[str] = (), objects: Collection[str] = ()) -> dict[str, Value]:
    """As fields(), for a body of the type application/x-www-form-urlencoded."""
    return _nested(_pairs(body), lists, objects)


def parts(body: bytes, content_type: str) -> Iterator[tuple[str, Part]]:
    """The name and the content of each part of a form, in order. Raises Refusal (400) for an incomplete form."""
    return _parts(body, boundary(content_type))


def named(body: bytes, content_type: str, name: str) -> Part | None:
    """The part of one name in a form; None if there is none. Other parts may repeat, and need no meaning.

    Raises Refusal (400) for an incomplete form, and for a name that stands more than once.
    """
    return _only(name, _parts(body, boundary(content_type)))


def url_encoded_named(body: bytes, name: str) -> Part | None:
    """As named(), for a body of the type application/x-www-form-urlencoded."""
    return _only(name, _pairs(body))


def _only(name: str, parts: Iterable[tuple[str, Part]]) -> Part | None:
    found = [value for own, value in parts if own == name]
    if len(found) > 1:
        raise bad_body(f"{name} stands more than once in the form.", param=name)
    return found[0] if found else None


def _nested(parts: Iterable[tuple[str, Part]], lists: Collection[str], objects: Collection[str]) -> dict[str, Value]:
    dotted = {*lists, *objects}
    entries = [(_keys(name, dotted), value) for name, value in parts]
    return {key: _unfold(key, members, key in lists) for key, members in _members(entries).items()}


def _pairs(body: bytes) -> list[tuple[str, str]]:
    if len(body) > MAX_URL_ENCODED:
        raise bad_body(
            f"The URL-encoded form is longer than {MAX_URL_ENCODED} bytes. Send JSON, or multipart/form-data."
        )
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARTS)
    except UnicodeDecodeError:
        raise bad_body("The URL-encoded form is not UTF-8.") from None
    except ValueError:
        raise bad_body(f"The URL-encoded form has more than {MAX_PARTS} fields.") from None


def boundary(content_type: str) -> bytes:
    """The boundary in the Content-Type of a form. Raises Refusal (400) if there is none."""
    from werkzeug.http import parse_options_header

    found = parse_options_header(content_type)[1].get("boundary", "")
    if not found or not found.isascii():
        raise bad_body("The Content-Type has no boundary, so the form in the request body cannot be read.")
    return found.encode()


def _parts(body: bytes, limit: bytes) -> Iterator[tuple[str, Part]]:
    """The name and content of each part, in order."""
    # Not at the top: start-up should not pay for it.
    from werkzeug.sansio import multipart

    if body.find(b"--" + limit, 0, MAX_HEAD) < 0:
        raise _no_form()
    if len(body) > MAX_LINES and body.count(b"\n") + body.count(b"\r") > MAX_LINES:
        raise bad_body(f"The form in the request body has more than {MAX_LINES} line ends.")
    decoder = multipart.MultipartDecoder(limit)
    decoder.receive_data(body)
    decoder.receive_data(None)
    part: multipart.Field | multipart.File | None = None
    count = 0
    while True:
        event = _next_event(decoder)
        if isinstance(event, multipart.Preamble | multipart.Epilogue):
            # No client sends text there. If there is some, a boundary is damaged, and fields would be lost.
            if event.data.strip():
                raise bad_body("The request body has text outside the parts of its form.")
            if isinstance(event, multipart.Epilogue):
                return
        elif isinstance(event, multipart.Field | multipart.File):
            part = event
            _check_headers(part.name, part.headers)
            count += 1
            if count > MAX_PARTS:
                raise bad_body(
                    f"The form has more than {MAX_PARTS} parts. A bare Buffer is sent as one part per byte: "
                    "give a file as a stream or with toFile().",
                    param=part.name.partition("[")[0] or None,
                )
        elif isinstance(event, multipart.Data) and part is not None:
            # The decoder has the whole body, so more data means that the part has no end.
            if event.more_data:
                raise _truncated()
            # A Field has no file name.
            filename: str | None = getattr(part, "filename", None)
            yield part.name, _content(part.name, filename, part.headers.get("content-type", ""), event.data)


def _next_event(decoder: MultipartDecoder) -> Event:
    from werkzeug.sansio.multipart import BLANK_LINE_RE, State

    state = decoder.state
    has_head = state is State.PART and BLANK_LINE_RE.search(decoder.buffer, 0, MAX_HEAD)
    if state is State.PART and not has_head and len(decoder.buffer) > MAX_HEAD:
        raise bad_body(f"A part of the form has headers that do not end, or are longer than {MAX_HEAD} bytes.")
    try:
        return decoder.next_event()
    except ValueError:
        if state is State.PREAMBLE:
            raise _no_form() from None
        if has_head:
            raise bad_body("A part of the form has headers that cannot be read.") from None
        raise _truncated() from None


def _no_form() -> Refusal:
    return bad_body("The request body is no form with the boundary that its Content-Type names.")


def _truncated() -> Refusal:
    return bad_body("The form in the request body ends before its closing boundary.")


def _check_headers(name: str | None, headers: Headers) -> None:
    # If a part has no headers, the decoder reads the next part's as its own.
    if any(key.startswith("--") for key in headers.keys()):  # noqa: SIM118 (Headers iterates over pairs)
        raise bad_body("A part of the form has no headers.")
    if not name:
        raise bad_body("A part of the form has no name.")
    if headers.get("content-transfer-encoding", "").lower() in ("base64", "quoted-printable"):
        raise bad_body(f"{name} has a Content-Transfer-Encoding, which a form must not have.", param=name)


def _content(name: str, filename: str | None, content_type: str, data: bytes) -> Part:
    """The content of a part; `filename` is None for a part without one."""
    if _JSON.match(content_type):
        # With a file name too: browsers send one for a Blob.
        text = _text(name, data)
        if not json_edit.is_simple(data):
            raise bad_body(f"{name} has too many values.", param=name)
        try:
            found: Json = json.loads(text)
        except (ValueError, RecursionError):
            return text
        # A number stays as it is written.
        return text if isinstance(found, int | float) else found
    return _text(name, data) if filename is None else File(filename, content_type, data)


def _text(name: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise bad_body(f"{name} is not UTF-8. If it is a file, its part needs a filename.", param=name) from None


def _keys(name: str, dotted: Collection[str]) -> _Path:
    first, bracket, rest = name.partition("[")
    if first.partition(".")[0] in dotted:
        first = _with_brackets(first)
    match = _NAME.fullmatch(first + _with_brackets(bracket + rest))
    if not match:
        raise bad_body(f"{name} is a field name with broken brackets.", param=name)
    keys = _KEY.findall(match[2])
    if len(keys) > MAX_DEPTH:
        raise bad_body(f"{match[1]} is nested deeper than {MAX_DEPTH}.", param=match[1])
    if keys.count("") > 1:
        raise bad_body(f"{name} is a list in a list, whose items a form cannot tell apart. Send JSON.", param=name)
    return (match[1], *keys)


def _with_brackets(name: str) -> str:
    """`[0].b` as `[0][b]`: with dots, .NET and axios mean brackets."""
    return _KEY_OR_DOT.sub(lambda key: f"[{key[1]}]" if key[1] else key[0], name)


def _members(entries: Iterable[_Entry]) -> dict[str, list[_Entry]]:
    """The entries grouped by their first key, which is removed from their paths."""
    members: dict[str, list[_Entry]] = {}
    for (key, *path), value in entries:
        members.setdefault(key, []).append((tuple(path), value))
    return members


def _unfold(name: str, entries: list[_Entry], is_list: bool = False) -> Value:
    """The value that the entries below a name form; `is_list`: repeated, it is a list. Raises Refusal (400)."""
    kinds = {"value" if not path else "object" if path[0] else "list" for path, _ in entries}
    if len(kinds) > 1:
        raise bad_body(f"{name} is sent as more than one of: a value, a list, an object.", param=name)
    if "value" in kinds:
        if len(entries) > 1 and is_list:
            repeated: list[Value] = [value for _, value in entries]
            return repeated
        if len(entries) > 1:
            raise bad_body(f"{name} stands more than once in the form.", param=name)
        return entries[0][1]
    members = _members(entries)
    if "object" in kinds:
        return {key: _unfold(f"{name}[{key}]", below) for key, below in members.items()}
    item = f"{name}[]"
    return [_unfold(item, list(row.items())) for row in _rows(item, members[""])]


def _rows(name: str, entries: list[_Entry]) -> list[dict[_Path, Part]]:
    """The entries of a list, grouped by item; an item that is no object has one entry, with an empty path.

    Node's SDK sends one object after the other; Python's sends one key of all objects, then the next key.
    Source: `_serialize_multipartform` of openai 3.52 (Python); openai 7.57 (Node), observed.
    """
    columns: dict[_Path, list[Part]] = {}
    for path, value in entries:
        columns.setdefault(path, []).append(value)
    if len({len(column) for column in columns.values()}) == 1:
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if len(list(groupby(entries, key=lambda entry: entry[0]))) == len(columns):
        # Key by key: which object lacks the rarer key?
        raise bad_body(
            f"{name} has objects with different keys, which a form cannot tell apart. Send JSON.", param=name
        )
    rows: list[dict[_Path, Part]] = [{}]
    for path, value in entries:
        if path in rows[-1]:
            rows.append({})
        rows[-1][path] = value
    return rows
