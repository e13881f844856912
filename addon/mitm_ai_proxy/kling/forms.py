"""Bodies of OpenAI's video requests, form or JSON, as documents, and the members that several requests share."""

from __future__ import annotations

import re
from typing import Final

from ..errors import bad_body
from ..exchange import Head
from ..wire import multipart
from ..wire.request_body import object_members
from . import create, models, pictures
from .document import Document, encoded
from .redirects import SOURCE

MAX_ELEMENT_NAME: Final = 20
"""In characters; Kling's limit."""

_VIDEO_ID = re.compile(r"[A-Za-z0-9_-]{1,256}")
_BOUNDARY = re.compile(rb"--([A-Za-z0-9'()+_,./:=?-]{1,70})\r\n")


def is_form(head: Head) -> bool:
    """Whether the Content-Type of a request is multipart."""
    return head.caller.content_type.lower().lstrip().startswith("multipart/")


def document_of(head: Head, body: bytes) -> Document:
    """The members of a body, form or JSON; files become pictures in base64. Raises Refusal (400)."""
    if not is_form(head):
        return Document.from_json(body, object_members(body))
    content_type = head.caller.content_type
    boundary = _BOUNDARY.match(body)
    if boundary and SOURCE in head.target:
        # Node's fetch encodes a form again when it is redirected, but keeps the header with the old boundary.
        content_type = f'multipart/form-data; boundary="{boundary[1].decode()}"'
    document = Document()
    for name, value in multipart.fields(body, content_type).items():
        if not isinstance(value, multipart.File):
            document.set(name, value)
        elif name == "input_reference" or name in ("image", "image_tail", "static_mask"):
            target = "image" if name == "input_reference" else name
            if target in document:
                raise bad_body("There are two first pictures; give one.", param=name)
            document.set(target, create.picture_of(value, name))
        else:
            raise bad_body(f"Kling takes no file as {name}.", param=name)
    return document


def video_id(document: Document) -> str:
    """The id in `video`, which is a string or {"id": ...}. Raises Refusal (400)."""
    video = document.value("video")
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
