"""Where a request names its model: in its path, in its body or in its query."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from ..exchange import Head
from ..wire import header_fields, multipart, targets
from ..wire.media_types import URL_ENCODED, is_json, kind_of, may_be_json
from ..wire.request_body import object_members, text_member, without_mark

_IN_PATH: Final = re.compile(r".*/(?:v1/models/(.+)|v1beta/models/([^/:]+)(?::.*)?)", re.DOTALL)
"""A model of OpenAI's, whose name may have slashes and colons, or one of Gemini's, with a method behind it."""
_BODILESS: Final = frozenset(("GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT"))
_FORM: Final = "multipart/form-data"
_BOUNDARY: Final = re.compile(rb"--([A-Za-z0-9'()+_,./:=?-]{1,70})\r\n")


def in_path(path: str) -> str | None:
    """The model in a path (no query); None if there is none."""
    found = _IN_PATH.fullmatch(path)
    return unquote(found[1] or found[2], errors="replace") if found else None


def in_query(query: str) -> str | None:
    """The model in a query; None if there is none."""
    return targets.pop_parameter(query, "model")[0] if "model" in query or "%" in query else None


def may_be_in_body(head: Head) -> bool:
    """Whether a request may name its model in a body."""
    if head.method in _BODILESS:
        return False
    content_type = head.caller.content_type
    if not (may_be_json(content_type) or kind_of(content_type) == _FORM):
        return False
    if not head.has_host:
        # HTTP/2 needs no length.
        return True
    length = header_fields.value(head.fields, b"content-length")
    return bool(header_fields.value(head.fields, b"transfer-encoding")) or length.strip("0") != ""


def in_body(head: Head, body: bytes) -> str | None:
    """The model in a body without its Content-Encoding; None if there is none. Raises Refusal (400) for a bad body."""
    kind, text = kind_of(head.caller.content_type), without_mark(body)
    start = text[:256].lstrip()[:1]
    if not start:
        return None
    if kind == _FORM:
        return _text(multipart.named(body, _content_type(head, body), "model"))
    if kind == URL_ENCODED and start != b"{":
        return _text(multipart.url_encoded_named(body, "model"))
    # Of a list, or of text that is none of JSON, nothing is read.
    if start == b"{" or (is_json(kind) and start != b"["):
        model = text_member(text, object_members(text), "model")
        return model[1] if model else None
    return None


def _content_type(head: Head, body: bytes) -> str:
    """The Content-Type of a form, with the boundary that it has.

    Node's fetch encodes a form again when it is redirected, but keeps the header with the old boundary.
    """
    said, found = head.caller.content_type, _BOUNDARY.match(body)
    if not found or found[1].decode() in said:
        return said
    return f'{_FORM}; boundary="{found[1].decode()}"'


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
