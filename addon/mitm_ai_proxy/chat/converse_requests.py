"""Reads a request of Amazon Bedrock's Converse that was sent, as far as a conversation is shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from . import json_values
from .json_values import Object
from .model import Block, Call, Chat, Media, Result, Role, Text, Thinking, Turn

_ROLES: Final[dict[str, Role]] = {"assistant": "assistant", "system": "system"}
_MEDIA: Final[tuple[Literal["image", "document", "audio"], ...]] = ("image", "document", "audio")


def read(body: bytes) -> Chat:
    """The request in a body; it has no model. Raises Refusal (400)."""
    root = json_values.request_object(body)
    system = tuple(_blocks(root, "system"))
    first = [Turn("system", system, "system")] if system else []
    return Chat("", (*first, *map(_turn, root.objects("messages"))))


def _turn(message: Object) -> Turn:
    return Turn(_ROLES.get(message.text("role") or "", "user"), tuple(_blocks(message, "content")), message.path)


def _blocks(holder: Object, name: str) -> Iterator[Block]:
    for block in holder.objects(name):
        if use := block.object("toolUse"):
            arguments = use.raw("input")
            text = bytes(arguments).decode() if arguments is not None else "{}"
            yield Call(use.need("toolUseId"), use.need("name"), text)
        elif result := block.object("toolResult"):
            yield Result(result.need("toolUseId"), tuple(_parts(result)), result.text("status") == "error")
        elif reasoning := block.object("reasoningContent"):
            said = reasoning.object("reasoningText")
            yield Thinking(said.text("text") or "" if said else "", is_redacted=said is None)
        else:
            yield from _plain(block)


def _parts(result: Object) -> Iterator[Text | Media]:
    for part in result.objects("content"):
        document = part.raw("json")
        if document is None:
            yield from _plain(part)
        else:
            yield Text(bytes(document).decode())


def _plain(block: Object) -> Iterator[Text | Media]:
    if (text := block.text("text")) is not None:
        yield Text(text)
    for kind in _MEDIA:
        if media := block.object(kind):
            source = media.object("source")
            data = (source.text("bytes") if source else None) or ""
            yield Media(kind, f"{kind}/{media.text('format') or ''}", data, name=media.text("name") or "")
