"""What the content view "AI" shows of one message of a WebSocket to OpenAI's Realtime API: its type, and what is in it.

Source: OpenAI's API reference, Realtime, client events and server events.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ..chat.model import Usage
from ..wire.printable import printable
from .ai import briefly, usage_text
from .blocks import document_lines, text_lines
from .messages import amount

_LONGEST: Final = 4 * 1024 * 1024
"""Bytes of a message that is laid out."""
_WORD: Final = 100
_HOLDERS: Final = ("item", "response", "session", "part", "error")
"""Members in which an event has what it is about."""


def text(data: bytes, is_clients: bool) -> str:
    """The text of the view for a message. Nothing raises on foreign input."""
    side = "client" if is_clients else "provider"
    if len(data) > _LONGEST:
        return f"{side}: ({amount(len(data))}: too long to be laid out here)\n"
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        return "\n".join([f"{side}: (no JSON, {amount(len(data))})", *_text(data)]) + "\n"
    kind = event.get("type") if isinstance(event, dict) else None
    if not isinstance(kind, str):
        return "\n".join([f"{side}: (no event)", *document_lines(briefly(event))]) + "\n"
    first = " · ".join(printable(part) for part in (kind[:_WORD], *_parts(kind, event)) if part)
    return "\n".join([f"{side}: {first}", "", *document_lines(briefly(event))]) + "\n"


def _text(data: bytes) -> list[str]:
    try:
        return text_lines(data.decode())
    except UnicodeDecodeError:
        return []


def _parts(kind: str, event: Mapping[str, Any]) -> Iterator[str]:
    """Role, state, sizes and tokens of an event."""
    about: Mapping[str, Any] = next((event[name] for name in _HOLDERS if isinstance(event.get(name), dict)), {})
    for name in ("role", "type", "status", "code", "message"):
        if isinstance(word := about.get(name), str):
            yield word[:_WORD]
    letters, sound = _sizes(event)
    is_sound = kind.endswith("audio.delta") or kind == "input_audio_buffer.append"
    delta = event.get("delta")
    if isinstance(delta, str):
        letters, sound = (letters, sound + len(delta)) if is_sound else (letters + len(delta), sound)
    if letters:
        yield f"text {letters:,} characters"
    if sound:
        yield f"audio {amount(sound * 3 // 4)}"
    if isinstance(usage := about.get("usage"), dict):
        yield usage_text(Usage(_count(usage, "input_tokens"), _count(usage, "output_tokens"), cached=_cached(usage)))


def _cached(usage: Mapping[str, Any]) -> int | None:
    details = usage.get("input_token_details")
    return _count(details, "cached_tokens") if isinstance(details, dict) else None


def _count(value: Mapping[str, Any], name: str) -> int | None:
    found = value.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _sizes(value: Any, depth: int = 0) -> tuple[int, int]:
    """Characters of the texts in an event, and of the base64 of its sound."""
    letters = sound = 0
    if depth > 8:
        return 0, 0
    if isinstance(value, dict):
        for name, member in value.items():
            if isinstance(member, str):
                letters += len(member) if name in ("text", "transcript", "arguments", "output", "instructions") else 0
                sound += len(member) if name == "audio" else 0
            else:
                inner = _sizes(member, depth + 1)
                letters, sound = letters + inner[0], sound + inner[1]
    elif isinstance(value, list):
        for member in value[:1000]:
            inner = _sizes(member, depth + 1)
            letters, sound = letters + inner[0], sound + inner[1]
    return letters, sound
