"""Bodies of OpenAI's video requests, form or JSON, as documents, and the members that several requests share."""

from __future__ import annotations

import re
from typing import Any, Final

from ..errors import bad_body
from ..exchange import Head
from ..wire import multipart
from ..wire.request_body import object_members, without_mark
from . import create, fields, models, picture_fields, pictures
from .document import Document, encoded
from .redirects import SOURCE

MAX_ELEMENT_NAME: Final = 20
"""In characters; Kling's limit."""

_LISTS: Final = fields.LISTS | picture_fields.LISTS
_OBJECTS: Final = fields.OBJECTS | {"metadata", "video"} | picture_fields.NAMES.keys()
_JSON_START: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*[{\[\"]")
_VIDEO_ID = re.compile(r"[A-Za-z0-9_-]{1,256}")
_BOUNDARY = re.compile(rb"--([A-Za-z0-9'()+_,./:=?-]{1,70})\r\n")


def is_form(head: Head) -> bool:
    """Whether the Content-Type of a request is multipart."""
    return head.caller.content_type.lower().lstrip().startswith("multipart/")


def is_url_encoded(head: Head, body: bytes) -> bool:
    """Whether a body is a URL-encoded form. curl calls JSON so too, where it is not told the type."""
    is_said = head.caller.content_type.lower().lstrip().startswith("application/x-www-form-urlencoded")
    return is_said and b"=" in body and not _JSON_START.match(body)


def document_of(head: Head, body: bytes) -> Document:
    """The members of a body, form or JSON; files become pictures in base64. Raises Refusal (400)."""
    if is_url_encoded(head, body):
        found = multipart.url_encoded_fields(body, _LISTS, _OBJECTS)
    elif is_form(head):
        found = multipart.fields(body, _content_type(head, body), _LISTS, _OBJECTS)
    else:
        body = without_mark(body)
        return Document.from_json(body, object_members(body))
    document = Document()
    for name, value in found.items():
        try:
            document.set(name, _without_files((name,), value))
        except RecursionError:
            raise bad_body(f"{name[:80]} is nested too deeply.", param=name[:80]) from None
    return document


def _content_type(head: Head, body: bytes) -> str:
    boundary = _BOUNDARY.match(body)
    if boundary and SOURCE in head.target:
        # Node's fetch encodes a form again when it is redirected, but keeps the header with the old boundary.
        return f'multipart/form-data; boundary="{boundary[1].decode()}"'
    return head.caller.content_type


def _without_files(path: tuple[str, ...], value: multipart.Value) -> Any:
    """The value at a path of keys, with files as pictures in base64. Raises Refusal (400), naming the field."""
    if isinstance(value, dict):
        return {key: _without_files((*path, key), member) for key, member in value.items()}
    if isinstance(value, list):
        return [_without_files((*path, ""), item) for item in value]
    if not isinstance(value, multipart.File):
        return value
    name = path[0] + "".join(f"[{key}]" for key in path[1:])
    if not picture_fields.takes_file(path):
        raise bad_body(f"Kling takes no file as {name[:80]}.", param=name[:80])
    # What a browser sends where no file was chosen.
    return create.picture_of(value, name[:80]) if value.filename or value.data else ""


def video_id(document: Document) -> str:
    """The id in `video`, which is a string or {"id": ...}. Raises Refusal (400)."""
    video = fields.json_text(document.value("video"))
    if isinstance(video, dict):
        video = video.get("id")
    if not isinstance(video, str) or not _VIDEO_ID.fullmatch(video):
        raise bad_body("video names no video: give its id.", param="video")
    return video


def prompt(document: Document) -> str:
    """The prompt. Raises Refusal (400) if it is missing or too long."""
    text = document.text("prompt")
    if not text or not text.strip():
        raise bad_body("There is no prompt.", param="prompt")
    if len(text) > models.MODELS[models.DEFAULT_MODEL].prompt:
        raise bad_body(f"The prompt has {len(text)} characters; Kling takes 2500.", param="prompt")
    return text


def element(document: Document) -> bytes:
    """The body that creates an element of Kling's, from the `name` and `video` of a character. Raises Refusal (400)."""
    name, video = document.text("name"), document.value("video")
    if not name or len(name) > MAX_ELEMENT_NAME:
        raise bad_body(f"name has not 1 to {MAX_ELEMENT_NAME} characters, as Kling wants it.", param="name")
    if not isinstance(video, str) or not pictures.is_web_url(video):
        raise bad_body("video is no link; Kling makes elements of links, not of files or ids.", param="video")
    made = {
        "element_name": name,
        "element_description": name,
        "reference_type": "video_refer",
        "element_video_list": {"refer_videos": [{"video_url": video}]},
    }
    return encoded(made)
