"""Reads a request of Gemini's generateContent, as far as a conversation is shown: no client's request is translated."""

from __future__ import annotations

from collections.abc import Iterator

from . import json_values, media_data
from .gemini_answers import VENDOR
from .json_values import Object
from .model import Block, Call, Chat, Media, Result, Role, Seal, Text, Thinking, Turn


def read(body: bytes) -> Chat:
    """The request in a body; it has no model. Raises Refusal (400). Google takes the names of members in both cases."""
    root = json_values.request_object(body)
    instruction = _either(root, "systemInstruction", "system_instruction")
    system = [Turn("system", tuple(_blocks(instruction)), "systemInstruction")] if instruction else []
    return Chat("", (*system, *map(_turn, root.objects("contents"))))


def _turn(content: Object) -> Turn:
    role: Role = "assistant" if content.text("role") == "model" else "user"
    return Turn(role, tuple(_blocks(content)), content.path)


def _blocks(content: Object) -> Iterator[Block]:
    for part in content.objects("parts"):
        signature = part.text("thoughtSignature")
        seal = Seal(VENDOR, signature) if signature else None
        if call := _either(part, "functionCall", "function_call"):
            arguments = call.raw("args")
            text = bytes(arguments).decode() if arguments is not None else "{}"
            yield Call(call.text("id") or "", call.need("name"), text, seal=seal)
        elif result := _either(part, "functionResponse", "function_response"):
            response = result.raw("response")
            said = Text(bytes(response).decode() if response is not None else "")
            yield Result(result.text("id") or result.need("name"), (said,))
        elif blob := _either(part, "inlineData", "inline_data"):
            yield _media(blob.text("mimeType") or blob.text("mime_type") or "", data=blob.text("data") or "")
        elif file := _either(part, "fileData", "file_data"):
            link = file.text("fileUri") or file.text("file_uri") or ""
            yield _media(file.text("mimeType") or file.text("mime_type") or "", url=link)
        else:
            text = part.text("text") or ""
            yield Thinking(text, seal) if part.flag("thought") else Text(text, seal=seal)


def _media(type: str, *, data: str = "", url: str = "") -> Media:
    return Media(media_data.kind_of(type), type, data, url=url)


def _either(holder: Object, name: str, other: str) -> Object | None:
    return holder.object(name) or holder.object(other)
