"""Reads members of a JSON request body, and refuses (400) one that is not as it should be."""

from __future__ import annotations

import codecs
import json
from typing import Final

from ..errors import bad_body
from . import json_edit

MARK: Final = codecs.BOM_UTF8
_MOST_DIGITS: Final = 10


def without_mark(body: bytes) -> bytes:
    """A body without the byte order mark of UTF-8, which JSON must not have (RFC 8259, section 8.1)."""
    return body.removeprefix(MARK)


def object_members(body: bytes) -> list[json_edit.Member]:
    """The members of a request body. Raises Refusal (400) if it is not a JSON object in UTF-8."""
    encoding = json.detect_encoding(body[:4])
    if encoding.startswith(("utf-16", "utf-32")):
        raise bad_body(f"The request body is {encoding[:6].upper()}, by its first bytes; JSON is sent in UTF-8.")
    try:
        return json_edit.members(body)
    except json_edit.JSONError as error:
        raise bad_body(f"The request body {error}.") from None


def text_member(body: bytes, members: list[json_edit.Member], name: str) -> tuple[json_edit.Member, str] | None:
    """The member of that name and its decoded string; None if it is missing.

    Raises Refusal (400) if it is repeated, or not a string that can be read.
    """
    found = [member for member in members if member.key == name]
    if not found:
        return None
    if len(found) > 1:
        raise bad_body(f"{name} stands more than once in the request body.", param=name)
    try:
        text = json_edit.string_value(body, found[0])
    except json_edit.JSONError:
        raise bad_body(f"{name} cannot be read.", param=name) from None
    if text is None:
        raise bad_body(f"{name} is not a string.", param=name)
    return found[0], text


def is_true(body: bytes, name: str) -> bool:
    """Whether a JSON body has a member of that name that is true; False for what cannot be read."""
    return _raw(body, name) == b"true"


def whole_number(body: bytes, name: str) -> int:
    """The whole number that a member of a JSON body has; 0 for none, and for what cannot be read."""
    digits = _raw(body, name)
    return int(digits) if digits.isdigit() and len(digits) < _MOST_DIGITS else 0


def _raw(body: bytes, name: str) -> bytes:
    """The JSON of a member; b"" for none, and for a body that cannot be read."""
    plain = without_mark(body)
    try:
        members = json_edit.members(plain) if f'"{name}"'.encode() in plain else []
    except json_edit.JSONError:
        return b""
    return next((plain[member.start : member.end] for member in members if member.key == name), b"")


def replace_text(member: json_edit.Member, before: str, after: str) -> list[json_edit.Edit]:
    """The edit that sets a member's string; none if it is equal, so that its bytes are kept."""
    return [] if before == after else [json_edit.Edit(member.start, member.end, json_edit.string(after))]
