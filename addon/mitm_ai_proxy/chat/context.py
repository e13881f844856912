"""Puts a text of the configuration into a chat, behind the client's own instructions. All other bytes are kept."""

from __future__ import annotations

from typing import Final

from ..errors import bad_body
from ..wire import json_edit, request_body
from ..wire.json_edit import Edit, JSONError, Member
from . import json_values
from .dialects import ANTHROPIC

_INSTRUCTIONS: Final = ("system", "developer")


def added(body: bytes, dialect: str, text: str) -> tuple[bytes, tuple[str, ...]]:
    """The request with the text, and a note; the same object without a text. Raises Refusal (400)."""
    if not text:
        return body, ()
    put = _put_into_system if dialect == ANTHROPIC else _put_into_messages
    try:
        edits = put(body, {member.key: member for member in request_body.object_members(body)}, text)
    except JSONError as error:
        raise bad_body(f"The request body {error}.") from None
    return json_edit.apply(body, edits), (f"context put behind the instructions: {len(text)} characters",)


def _put_into_messages(body: bytes, members: dict[str, Member], text: str) -> list[Edit]:
    """As a system message behind the first ones, as the Higress ai-proxy plugin does."""
    messages = members.get("messages")
    message = b'{"role":"system","content":%b}' % json_values.encode(text)
    if messages is None or body[messages.start] != 0x5B:
        return []
    found = json_edit.items_at(body, messages.start, messages.end)
    for item in found:
        if _role(body, item) not in _INSTRUCTIONS:
            return [Edit(item.start, item.start, message + b",")]
    end = found[-1].end if found else messages.start + 1
    return [Edit(end, end, b"," + message if found else message)]


def _role(body: bytes, item: Member) -> str | None:
    if body[item.start] != 0x7B:
        return None
    found = json_edit.members_at(body, item.start, item.end)
    return next((json_edit.string_value(body, member) for member in found if member.key == "role"), None)


def _put_into_system(body: bytes, members: dict[str, Member], text: str) -> list[Edit]:
    """As the last block of the system prompt; of a prompt that is a text, as its end."""
    system = members.get("system")
    value = json_values.encode(text)
    if system is None:
        start = body.index(b"{") + 1
        return [Edit(start, start, b'"system":' + value + (b"," if members else b""))]
    first = body[system.start]
    if first == 0x22:
        end = system.end - 1
        return [Edit(end, end, (b"\\n\\n" if end > system.start + 1 else b"") + value[1:-1])]
    if first == 0x5B:
        found = json_edit.items_at(body, system.start, system.end)
        end = found[-1].end if found else system.start + 1
        return [Edit(end, end, (b"," if found else b"") + b'{"type":"text","text":%b}' % value)]
    return [Edit(system.start, system.end, value)] if body[system.start : system.end] == b"null" else []
