"""Takes out of a request in the provider's own dialect what an earlier answer of another vendor has left in it.

A conversation may go on with another provider than the one that began it; its seals are not for this one. A signature
that passed in Anthropic's dialect as it was tells no vendor, and stays.
"""

from __future__ import annotations

import re
from typing import Final

from ..wire import json_edit, request_body
from . import json_values, sealed_ids, unsaid
from .dialects import ANTHROPIC
from .json_values import Raw

_SEALED: Final = re.compile(rb'"(%b[a-zA-Z0-9_-]+)"' % sealed_ids.PREFIX.encode())
_SIGNATURE: Final = b'"signature"'
_UNSIGNED: Final = re.compile(rb'"signature"\s*:\s*""')
_PREFIX: Final = sealed_ids.PREFIX.encode()
_SIGNS: Final = frozenset({"anthropic"})
"""Vendors that refuse thinking without their signature. Others take any, and some want it back."""
_THREAD: Final = b'"thread"'

Message = dict[str, Raw]


def request(body: bytes, dialect: str, vendor: str) -> tuple[bytes, tuple[str, ...]]:
    """A request without the seals of other vendors than this one, and notes; the same object if there are none.

    Ids that carry seals become the vendor's own again. Thinking that another vendor has signed loses its signature, or
    is left out: where the vendor refuses what it has not signed, and where nothing else can be read in it. Raises
    Refusal (400) for a body that cannot be read.
    """
    notes = []
    if _PREFIX in body:
        plain = _SEALED.sub(_plain, body)
        if plain != body:
            body = plain
            notes.append("what call ids carried for another provider is left out")
    is_unsigned = vendor in _SIGNS and _SIGNATURE in body and _UNSIGNED.search(body)
    if dialect == ANTHROPIC and (_PREFIX in body or is_unsigned):
        signed = _only_own(body, vendor)
        if signed is not body:
            body = signed
            notes.append("thinking of another provider is left out, or its signature")
    return body, tuple(notes)


def refuse_thread(body: bytes, target: str) -> None:
    """Raise Refusal (400) for a request of Anthropic's dialect in a thread, which has only what is new in it.

    `target`: the name of an API that keeps no conversations.
    """
    if _THREAD in body:
        for member in request_body.object_members(body):
            if member.key == "thread" and body[member.start : member.end] != b"null":
                raise unsaid.refusal(ANTHROPIC, "thread", target)


def _plain(found: re.Match[bytes]) -> bytes:
    opened = sealed_ids.opened(found[1].decode())
    if not opened.before and opened.seal is None:
        return found[0]
    return json_values.encode(sealed_ids.sealed(opened.id))


def _only_own(body: bytes, vendor: str) -> bytes:
    member = next((found for found in request_body.object_members(body) if found.key == "messages"), None)
    if member is None:
        return body
    messages = []
    is_changed = False
    for message in (found.members for found in json_values.request_object(body).objects("messages")):
        blocks = json_values.blocks(message.get("content"))
        kept = [found for block in blocks if (found := _own(block, vendor)) is not None]
        if kept != blocks:
            is_changed = True
            if not kept:
                continue
            message = {**message, "content": json_values.raw(json_values.encode(kept))}
        messages.append(message)
    if not is_changed:
        return body
    return json_edit.apply(body, [json_edit.Edit(member.start, member.end, json_values.encode(messages))])


def _own(block: Message, vendor: str) -> Message | None:
    """A block without another vendor's seal; None for one of which nothing is left."""
    kind = json_values.text(block.get("type"))
    if kind not in ("thinking", "redacted_thinking"):
        return block
    name = "data" if kind == "redacted_thinking" else "signature"
    value = json_values.text(block.get(name)) or ""
    seal = sealed_ids.seal_of(value, vendor)
    if seal is not None and seal.vendor == vendor:
        return block if seal.value == value else {**block, name: json_values.raw(json_values.encode(seal.value))}
    if vendor in _SIGNS:
        return None
    if seal is None:
        return block
    return {**block, name: json_values.raw('""')} if json_values.text(block.get("thinking")) else None
