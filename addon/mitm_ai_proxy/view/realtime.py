"""What the content view "AI" shows of one message of a WebSocket to a realtime API: its type, and what is in it.

Sources: OpenAI's API reference, Realtime, client and server events; Gemini's, Live API, WebSockets API reference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from ..chat.model import Usage
from ..wire.printable import printable
from .ai import COMMAS, briefly, usage_text
from .blocks import document_lines, text_lines
from .messages import amount

_LONGEST: Final = 4 * 1024 * 1024
"""Bytes of a message that is laid out."""
_WORD: Final = 100
_HOLDERS: Final = ("item", "response", "session", "part", "error")
"""Members in which an event of OpenAI's has what it is about."""
_TEXTS: Final = frozenset(("text", "transcript", "arguments", "output", "instructions"))
_OF_GEMINI: Final = (
    "setup",
    "clientContent",
    "realtimeInput",
    "toolResponse",
    "setupComplete",
    "serverContent",
    "toolCall",
    "toolCallCancellation",
    "goAway",
    "sessionResumptionUpdate",
    "usageMetadata",
)
"""Members by which a message of Gemini's says what it is; clients write them in snake_case, too."""
_FLAGS: Final = ("interrupted", "generationComplete", "turnComplete", "audioStreamEnd")


class _Sizes(NamedTuple):
    """Characters of the texts in a message, and of the base64 of its sound and of other media."""

    letters: int = 0
    sound: int = 0
    other: int = 0

    def plus(self, more: _Sizes) -> _Sizes:
        return _Sizes(self.letters + more.letters, self.sound + more.sound, self.other + more.other)

    def shown(self) -> Iterator[str]:
        if self.letters:
            yield f"text {self.letters:,} characters"
        if self.sound:
            yield f"audio {amount(self.sound * 3 // 4)}"
        if self.other:
            yield f"media {amount(self.other * 3 // 4)}"


def text(data: bytes, is_clients: bool) -> str:
    """The text of the view for a message. Nothing raises on foreign input."""
    side = "client" if is_clients else "provider"
    if len(data) > _LONGEST or data.count(b",") > COMMAS:
        return f"{side}: ({amount(len(data))}: too long to be laid out here)\n"
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        return "\n".join([f"{side}: (no JSON, {amount(len(data))})", *_text(data)]) + "\n"
    told = _told(event)
    first = " · ".join(printable(part) for part in told if part) or "(no event)"
    return "\n".join([f"{side}: {first}", *([""] if told else []), *document_lines(briefly(event))]) + "\n"


def _told(event: Any) -> list[str]:
    """The parts of the first line; none for what is no event."""
    if not isinstance(event, dict):
        return []
    if isinstance(kind := event.get("type"), str):
        return [kind[:_WORD], *_parts(kind, event)]
    known = {_camel(name): value for name, value in event.items()}
    kinds = [name for name in _OF_GEMINI if name in known]
    return [", ".join(kinds[:2]), *_of_gemini(known)] if kinds else []


def _camel(name: str) -> str:
    first, *more = name[:_WORD].split("_")
    return first + "".join(word.capitalize() for word in more)


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
    sizes = _sizes(event)
    if isinstance(delta := event.get("delta"), str):
        is_sound = kind.endswith("audio.delta")
        sizes = sizes.plus(_Sizes(sound=len(delta)) if is_sound else _Sizes(letters=len(delta)))
    yield from sizes.shown()
    if isinstance(usage := about.get("usage"), dict):
        yield usage_text(Usage(_count(usage, "input_tokens"), _count(usage, "output_tokens"), cached=_cached(usage)))


def _of_gemini(event: Mapping[str, Any]) -> Iterator[str]:
    """The model, the functions, the flags, the sizes and the tokens of a message of Gemini's."""
    for about in (value for value in event.values() if isinstance(value, dict)):
        known = {_camel(name): value for name, value in about.items()}
        if isinstance(model := known.get("model"), str):
            yield model[:_WORD]
        for calls in (known.get("functionCalls"), known.get("functionResponses")):
            for call in calls[:10] if isinstance(calls, list) else ():
                if isinstance(call, dict) and isinstance(name := call.get("name"), str):
                    yield name[:_WORD]
        yield from (flag for flag in _FLAGS if known.get(flag) is True)
    yield from _sizes(event).shown()
    if isinstance(usage := event.get("usageMetadata"), dict):
        thoughts = _count(usage, "thoughtsTokenCount")
        out = _count(usage, "responseTokenCount")
        if out is not None or thoughts is not None:
            out = (out or 0) + (thoughts or 0)
        cached = _count(usage, "cachedContentTokenCount")
        yield usage_text(Usage(_count(usage, "promptTokenCount"), out, cached=cached, reasoning=thoughts))


def _cached(usage: Mapping[str, Any]) -> int | None:
    details = usage.get("input_token_details")
    return _count(details, "cached_tokens") if isinstance(details, dict) else None


def _count(value: Mapping[str, Any], name: str) -> int | None:
    found = value.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _sizes(value: Any, depth: int = 0) -> _Sizes:
    found = _Sizes()
    if depth > 8:
        return found
    if isinstance(value, dict):
        media = value.get("mimeType", value.get("mime_type"))
        for name, member in value.items():
            if not isinstance(member, str):
                found = found.plus(_sizes(member, depth + 1))
            elif name in _TEXTS:
                found = found.plus(_Sizes(letters=len(member)))
            elif name == "audio" or (name == "data" and isinstance(media, str) and media.startswith("audio/")):
                found = found.plus(_Sizes(sound=len(member)))
            elif name == "data" and media is not None:
                found = found.plus(_Sizes(other=len(member)))
    elif isinstance(value, list):
        for member in value[:1000]:
            found = found.plus(_sizes(member, depth + 1))
    return found
