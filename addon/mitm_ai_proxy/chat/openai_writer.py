"""Writes answers of OpenAI's chat completions API, whole and streamed.

Source: OpenAI's API reference, chat completions, and the types of its SDK for Python.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from . import json_values, media_data, sealed_ids, vendor_errors
from .dialects import OPENAI
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
    Seal,
    Sealed,
    Start,
    Stop,
    Text,
    Thinking,
    Usage,
)
from .writing import told

_REASONS: Final[dict[Reason, str]] = {
    "end": "stop",
    "sequence": "stop",
    "length": "length",
    "context": "length",
    "calls": "tool_calls",
    "refused": "content_filter",
    "paused": "stop",
}
_DONE: Final = b"data: [DONE]\n\n"
_PING: Final = b": ping\n\n"


class Settings:
    """What an answer has from its request: the id, the time and the model, for a vendor that tells none; and whether
    the usage of a stream is asked for."""

    def __init__(self, id: str, created: int, model: str, wants_usage: bool) -> None:
        self.id = id
        self.created = created
        self.model = model
        self.wants_usage = wants_usage


class Writer:
    """Writes a stream."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._head = b""
        self._tail = b',"usage":null}\n\n' if settings.wants_usage else b"}\n\n"
        self._before: dict[str, bytes] = {}  # what stands before a delta's text, by its member
        self._carrier = Carrier()
        self._member = ""  # of the open block
        self._calls = 0
        self._stop: Stop | None = None
        self._usage: Usage | None = None

    def write(self, event: Event) -> bytes:
        """The bytes that an event adds to the stream."""
        match event:
            case Delta():
                return self._grown(event.text)
            case Open():
                return self._opened(event.block)
            case Sealed():
                self._carrier.sealed(event.seal)
            case Close():
                self._carrier.closed()
                self._member = ""
            case Start():
                return self._started(event)
            case Stop():
                self._stop = event
            case Usage():
                self._usage = event
            case Ping():
                return _PING
            case Fault():
                return vendor_errors.event(event, OPENAI)
            case End():
                return self._ended()
        return b""

    def _started(self, start: Start) -> bytes:
        head = _head(start, self._settings, "chat.completion.chunk")
        self._head = b"data: " + json_values.encode(head)[:-1] + b',"choices":['
        for member in ("content", "reasoning_content", "refusal"):
            self._before[member] = self._head + b'{"index":0,"delta":{"' + member.encode() + b'":'
        return self._chunk({"role": "assistant", "content": ""})

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return self._head + json_values.encode(choice) + b"]" + self._tail

    def _grown(self, text: str) -> bytes:
        self._carrier.grew(text)
        if self._member == "arguments":
            return self._chunk({"tool_calls": [{"index": self._calls - 1, "function": {"arguments": text}}]})
        end = b'},"logprobs":null,"finish_reason":null}]' + self._tail
        return self._before[self._member] + json_values.encode(text) + end

    def _opened(self, block: Said) -> bytes:
        self._carrier.opened(block)
        if isinstance(block, Media):
            return self._chunk({"images": [written_image(block)]})
        if not isinstance(block, Call):
            self._member = _member(block)
            return b""
        self._member = "arguments"
        call = {"index": self._calls, **written_call(block, self._carrier.id_of(block), "")}
        self._calls += 1
        return self._chunk({"tool_calls": [call]})

    def _ended(self) -> bytes:
        stop = self._stop or Stop("end")
        explained = self._chunk({"refusal": stop.explanation}) if stop.explanation else b""
        end = explained + self._chunk({}, _REASONS[stop.reason])
        if self._settings.wants_usage and self._usage is not None:
            end += self._head + b'],"usage":' + json_values.encode(written_usage(self._usage)) + b"}\n\n"
        return end + _DONE


def write_whole(events: Iterable[Event], settings: Settings) -> bytes:
    """A whole answer. The events end with End."""
    start, blocks, stop, usage = told(events)
    texts: dict[str, list[str]] = {"content": [], "reasoning_content": [], "refusal": []}
    calls: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    carrier = Carrier()
    for block in blocks:
        if isinstance(block, Call):
            calls.append(written_call(block, carrier.id_of(block), block.arguments))
        elif isinstance(block, Media):
            images.append(written_image(block))
        else:
            texts[_member(block)].append(block.text)
            carrier.add(block, len(block.text))
    refusal = "".join(texts["refusal"]) or stop.explanation
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts["content"]) or None, "refusal": refusal}
    if texts["reasoning_content"]:
        message["reasoning_content"] = "".join(texts["reasoning_content"])
    if images:
        message["images"] = images
    if calls:
        message["tool_calls"] = calls
    elif message["content"] is None and not refusal:
        message["content"] = ""
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _REASONS[stop.reason]}
    document = {**_head(start, settings, "chat.completion"), "choices": [choice]}
    if usage is not None:
        document["usage"] = written_usage(usage)
    return json_values.encode(document)


def _head(start: Start, settings: Settings, kind: str) -> dict[str, Any]:
    """The members with which an answer and each of its chunks begin."""
    return {
        "id": start.id or f"chatcmpl-{settings.id}",
        "object": kind,
        "created": settings.created if start.created is None else start.created,
        "model": start.model or settings.model,
    }


def _member(block: Text | Thinking) -> str:
    if isinstance(block, Thinking):
        return "reasoning_content"
    return "refusal" if block.is_refusal else "content"


def written_image(media: Media) -> dict[str, Any]:
    """A picture in an answer, as OpenRouter and other gateways have it; OpenAI itself has no place for one."""
    return {"type": "image_url", "image_url": {"url": media_data.url_of(media)}}


def written_call(call: Call, id: str, arguments: str) -> dict[str, Any]:
    """A call as OpenAI has it. Google's signature stands where Google's own OpenAI-compatible API has it."""
    written: dict[str, Any] = {"id": id, "type": "function", "function": {"name": call.name, "arguments": arguments}}
    if call.seal and call.seal.vendor == "google":
        written["extra_content"] = {"google": {"thought_signature": call.seal.value}}
    return written


def written_usage(usage: Usage) -> dict[str, Any]:
    """The usage as OpenAI counts it: all that was read and all that was written."""
    read, written = usage.input or 0, usage.output or 0
    counted: dict[str, Any] = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    details = {"cached_tokens": usage.cached, "cache_write_tokens": usage.written}
    if known := {name: count for name, count in details.items() if count is not None}:
        counted["prompt_tokens_details"] = known
    if usage.reasoning is not None:
        counted["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning}
    return counted


class Carrier:
    """Collects what stands between two calls and has a seal, for the id of the second one.

    A stream tells it of each block as it grows, so that no long text is kept; a whole answer adds blocks.
    """

    def __init__(self) -> None:
        self._before: list[Text | Thinking | int] = []
        self._block: Said = Text()
        self._pieces: list[str] = []
        self._length = 0

    def opened(self, block: Said) -> None:
        """A block begins."""
        self._block, self._pieces, self._length = block, [], 0

    def grew(self, text: str) -> None:
        """The open block has more text."""
        if isinstance(self._block, Thinking):
            self._pieces.append(text)
        else:
            self._length += len(text)

    def sealed(self, seal: Seal) -> None:
        """The open block has a seal."""
        self._block = msgspec.structs.replace(self._block, seal=seal)

    def closed(self) -> None:
        """The open block is complete."""
        if isinstance(self._block, Thinking) and self._block.seal:
            self._block = msgspec.structs.replace(self._block, text="".join(self._pieces))
        self.add(self._block, self._length)
        self._pieces = []

    def add(self, block: Said, length: int) -> None:
        """A complete block; of a text, the length only counts."""
        if isinstance(block, Thinking) and block.seal:
            self._before.append(block)
        elif isinstance(block, Text) and not block.is_refusal:
            last = self._before[-1] if self._before else None
            if block.seal:
                # Of its own block only: it is not put together with the text before it.
                self._before += [length, Text(seal=block.seal)]
            elif length and isinstance(last, int):
                self._before[-1] = last + length
            elif length:
                self._before.append(length)

    def id_of(self, call: Call) -> str:
        """The id of the call that has just begun, with what stands before it if any of that has a seal."""
        before = tuple(self._before)
        if all(isinstance(item, int) for item in before):
            before = ()
        self._before = []
        return sealed_ids.sealed(call.id, before, call.seal)
