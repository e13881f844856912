"""Writes answers of Anthropic's Messages API, whole and streamed.

Source: Anthropic's API reference, messages and streaming, and the types of its SDK for Python.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from ..wire import sse
from . import json_values, sealed_ids, vendor_errors
from .dialects import ANTHROPIC
from .model import (
    Call,
    Close,
    Delta,
    End,
    Event,
    Fault,
    Media,
    Open,
    Ping,
    Reason,
    Said,
    Sealed,
    Start,
    Stop,
    Text,
    Thinking,
    Usage,
)
from .writing import told

_REASONS: Final[dict[Reason, str]] = {
    "end": "end_turn",
    "sequence": "stop_sequence",
    "length": "max_tokens",
    "context": "model_context_window_exceeded",
    "calls": "tool_use",
    "refused": "refusal",
    "paused": "pause_turn",
}
_CATEGORIES: Final = frozenset("cyber bio frontier_llm reasoning_extraction general_harms".split())
_PING: Final = sse.event(b'{"type":"ping"}', b"ping")
_DELTAS: Final[dict[type, tuple[str, str]]] = {
    Text: ("text_delta", "text"),
    Thinking: ("thinking_delta", "thinking"),
    Call: ("input_json_delta", "partial_json"),
}

_INSTEAD: Final = "(A picture, which this API has no place for.)"

Json = dict[str, Any]


class Writer:
    """Writes a stream: the blocks one after another, with indexes from 0 without gaps."""

    def __init__(self, id: str, model: str) -> None:
        self._id = id
        self._model = model
        self._index = -1
        self._before = b""  # what stands before a delta's text
        self._start = b""  # of a text that has none yet: an empty one is no block, and clients cannot send it back
        self._block: Said = Text()
        self._sealed: list[Text | int] = []  # seals of the text since the last call (see sealed_ids.Before)
        self._stop: Stop | None = None
        self._usage = Usage()

    def write(self, event: Event) -> bytes:
        """The bytes that an event adds to the stream."""
        match event:
            case Delta():
                start, self._start = self._start, b""
                return start + self._before + json_values.encode(event.text) + b"}}\n\n"
            case Open():
                return self._opened(event.block)
            case Sealed():
                self._block = msgspec.structs.replace(self._block, seal=event.seal)
            case Close():
                return self._closed()
            case Start():
                message = _message(event, self._id, self._model)
                return _event("message_start", {"message": message})
            case Stop():
                self._stop = event
            case Usage():
                self._usage = event
            case Ping():
                return _PING
            case Fault():
                return vendor_errors.event(event, ANTHROPIC)
            case End():
                return self._ended()
        return b""

    def _opened(self, block: Said) -> bytes:
        self._index += 1
        self._block = block
        kind, member = _DELTAS.get(type(block), _DELTAS[Text])
        self._before = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":'
            % (self._index, kind.encode(), member.encode())
        )
        start = _event("content_block_start", {"index": self._index, "content_block": _begun(block, self._sealed)})
        if isinstance(block, Text):
            self._start = start
            return b""
        return start + self._before + json_values.encode(_INSTEAD) + b"}}\n\n" if isinstance(block, Media) else start

    def _closed(self) -> bytes:
        block = self._block
        _keep_seal(block, not self._start, self._sealed)
        if self._start:
            self._start = b""
            self._index -= 1
            return b""
        stop = _event("content_block_stop", {"index": self._index})
        if not isinstance(block, Thinking) or block.seal is None or block.is_redacted:
            return stop
        delta = {"type": "signature_delta", "signature": sealed_ids.signature(block.seal)}
        return _event("content_block_delta", {"index": self._index, "delta": delta}) + stop

    def _ended(self) -> bytes:
        delta = _stop(self._stop or Stop("end"))
        usage = written_usage(self._usage)
        usage.pop("cache_creation", None)
        return _event("message_delta", {"delta": delta, "usage": usage}) + _event("message_stop", {})


def write_whole(events: Iterable[Event], id: str, model: str) -> bytes:
    """A whole answer. The events end with End."""
    start, blocks, stop, usage = told(events)
    content: list[Json] = []
    sealed: list[Text | int] = []
    for block in blocks:
        is_shown = not isinstance(block, Text) or bool(block.text)
        if is_shown:
            content.append(_complete(block, sealed))
        _keep_seal(block, is_shown, sealed)
    message = _message(start, id, model) | _stop(stop)
    message["content"] = content
    message["usage"] = written_usage(usage or Usage())
    return json_values.encode(message)


def _message(start: Start, id: str, model: str) -> Json:
    return {
        "id": start.id or f"msg_{id}",
        "type": "message",
        "role": "assistant",
        "model": start.model or model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }


def _keep_seal(block: Said, is_shown: bool, sealed: list[Text | int]) -> None:
    """Keep the seal of a text for the next call, with how many blocks there are between: text has no place for one."""
    if sealed and is_shown and not isinstance(block, Call):
        sealed.append(0)
    if isinstance(block, Text) and block.seal:
        sealed.append(Text(seal=block.seal))


def _begun(block: Said, sealed: list[Text | int]) -> Json:
    if isinstance(block, Call):
        id = sealed_ids.sealed(block.id, tuple(sealed), block.seal)
        sealed.clear()
        return {"type": "tool_use", "id": id, "name": block.name, "input": {}}
    if isinstance(block, Text | Media):
        return {"type": "text", "text": ""}
    if block.is_redacted:
        return {"type": "redacted_thinking", "data": sealed_ids.signature(block.seal)}
    return {"type": "thinking", "thinking": "", "signature": ""}


def _complete(block: Said, sealed: list[Text | int]) -> Json:
    written = _begun(block, sealed)
    if isinstance(block, Call):
        if json_values.is_object(block.arguments):
            written["input"] = json_values.raw(block.arguments)
        elif block.arguments.strip():
            # What Anthropic says is to be sent back for arguments that are no JSON.
            written["input"] = {"INVALID_JSON": block.arguments}
    elif isinstance(block, Text | Media):
        written["text"] = _INSTEAD if isinstance(block, Media) else block.text
    elif not block.is_redacted:
        written |= {"thinking": block.text, "signature": sealed_ids.signature(block.seal)}
    return written


def _stop(stop: Stop) -> Json:
    written: Json = {"stop_reason": _REASONS[stop.reason], "stop_sequence": stop.sequence}
    if stop.reason == "refused":
        category = stop.category if stop.category in _CATEGORIES else None
        written["stop_details"] = {"type": "refusal", "category": category, "explanation": stop.explanation}
    return written


def written_usage(usage: Usage) -> Json:
    """The usage as Anthropic counts it: what was read from the cache, and written to it, stands beside the input."""
    cached, written = usage.cached or 0, usage.written or 0
    counted: Json = {
        "input_tokens": max((usage.input or 0) - cached - written, 0),
        "output_tokens": usage.output or 0,
    }
    if usage.cached is not None:
        counted["cache_read_input_tokens"] = cached
    if usage.written is not None:
        counted["cache_creation_input_tokens"] = written
    if usage.written_1h is not None:
        counted["cache_creation"] = {
            "ephemeral_5m_input_tokens": max(written - usage.written_1h, 0),
            "ephemeral_1h_input_tokens": usage.written_1h,
        }
    if usage.reasoning is not None:
        counted["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return counted


def _event(kind: str, members: Json) -> bytes:
    return sse.event(json_values.encode({"type": kind, **members}), kind.encode())
