"""Reads answers of Anthropic's Messages API, whole and streamed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from . import json_values, sealed_ids, vendor_errors
from .model import (
    CLOSE,
    END,
    PING,
    Call,
    Delta,
    Event,
    Open,
    Reason,
    Sealed,
    Start,
    Stop,
    Text,
    Thinking,
    Usage,
)
from .reading import StreamReader, object_of, text_of

_REASONS: Final[dict[str, Reason]] = {
    "end_turn": "end",
    "stop_sequence": "sequence",
    "max_tokens": "length",
    "model_context_window_exceeded": "context",
    "tool_use": "calls",
    "refusal": "refused",
    "pause_turn": "paused",
}
"""Others are an ordinary end."""


class Reader(StreamReader):
    """Reads a stream.

    Blocks and deltas of unknown types are skipped, as Anthropic asks its clients to. `vendor`: whose seals they are.
    """

    def __init__(self, vendor: str) -> None:
        super().__init__()
        self._vendor = vendor
        self._index: int | None = None  # of the open block
        self._is_known = False  # whether the open block has a type that is read
        self._has_delta = False
        self._arguments = b""  # of the open block, if they came with its start
        self._stop: Stop | None = None
        self._usage: dict[str, Any] = {}

    def _event(self, document: dict[str, Any], type: bytes) -> Iterator[Event]:
        kind = document.get("type")
        if kind == "error" or type == b"error" or "error" in document:
            fault = vendor_errors.of_value(document)
            yield self._failed(fault or vendor_errors.broken("ends with an error without a message"))
            return
        read = _EVENTS.get(kind) if isinstance(kind, str) else None
        if read is None:
            return
        if self._has_begun or kind == "message_start":
            yield from read(self, document)
        elif kind != "ping":
            yield self._failed(vendor_errors.broken("begins in the middle"))

    def _message_start(self, event: dict[str, Any]) -> Iterator[Event]:
        if self._has_begun:
            raise ValueError("a second start")
        self._has_begun = True
        message = event["message"]
        yield Start(str(message.get("id") or ""), str(message.get("model") or ""))
        yield from self._counted(message.get("usage"))

    def _ping(self, event: dict[str, Any]) -> Iterator[Event]:
        yield PING

    def _block_start(self, event: dict[str, Any]) -> Iterator[Event]:
        if self._index is not None or self._stop is not None:
            raise ValueError("a block inside another")
        self._index = event["index"]
        self._has_delta = False
        self._arguments = b""
        block = event["content_block"]
        opened = self._opened(block)
        self._is_known = opened is not None
        if opened is None:
            return
        yield Open(opened)
        text = block.get("text") or block.get("thinking")
        if text:
            yield Delta(text_of(text))
        if signature := block.get("signature"):
            yield from self._sealed(signature)
        if isinstance(opened, Call) and block.get("input"):
            self._arguments = json_values.encode(block["input"])

    def _opened(self, block: dict[str, Any]) -> Text | Thinking | Call | None:
        kind = block["type"]
        if kind == "text":
            return Text()
        if kind == "thinking":
            return Thinking()
        if kind == "redacted_thinking":
            return Thinking("", sealed_ids.seal_of(text_of(block["data"]), self._vendor), is_redacted=True)
        return Call(text_of(block["id"]), text_of(block["name"])) if kind == "tool_use" else None

    def _block_delta(self, event: dict[str, Any]) -> Iterator[Event]:
        if event["index"] != self._index:
            raise ValueError("a part of a block that is not open")
        if not self._is_known:
            return
        delta = event["delta"]
        kind = delta["type"]
        if kind == "signature_delta":
            yield from self._sealed(delta["signature"])
        elif name := _DELTAS.get(kind):
            text = text_of(delta[name])
            if text:
                self._has_delta = True
                yield Delta(text)

    def _sealed(self, signature: str) -> Iterator[Event]:
        seal = sealed_ids.seal_of(text_of(signature), self._vendor)
        if seal:
            yield Sealed(seal)

    def _block_stop(self, event: dict[str, Any]) -> Iterator[Event]:
        if event["index"] != self._index:
            raise ValueError("the end of a block that is not open")
        self._index = None
        if self._is_known:
            if self._arguments and not self._has_delta:
                yield Delta(self._arguments.decode())
            yield CLOSE

    def _message_delta(self, event: dict[str, Any]) -> Iterator[Event]:
        if self._index is not None:
            raise ValueError("the end inside a block")
        delta = event.get("delta") or {}
        if delta.get("stop_reason"):
            self._stop = _stop(delta)
        yield from self._counted(event.get("usage"))

    def _message_stop(self, event: dict[str, Any]) -> Iterator[Event]:
        if self._index is not None or self._stop is None:
            raise ValueError("the end without a reason")
        self._is_over = True
        yield self._stop
        yield END

    def _counted(self, usage: Any) -> Iterator[Event]:
        """The usage so far: counters that are told replace earlier ones."""
        if isinstance(usage, dict):
            self._usage.update((name, value) for name, value in usage.items() if value is not None)
            yield _usage(self._usage)


_EVENTS: Final = {
    "message_start": Reader._message_start,
    "ping": Reader._ping,
    "content_block_start": Reader._block_start,
    "content_block_delta": Reader._block_delta,
    "content_block_stop": Reader._block_stop,
    "message_delta": Reader._message_delta,
    "message_stop": Reader._message_stop,
}
_MESSAGE_MEMBERS: Final = ("id", "model", "usage", "stop_reason", "stop_sequence", "stop_details")
_BLOCK_MEMBERS: Final = ("type", "text", "thinking", "signature", "data", "id", "name")
_DELTAS: Final = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}


def read_whole(body: bytes, vendor: str) -> list[Event]:
    """The events of a whole answer; a Fault is the last of them, if there is one."""
    try:
        root = json_values.answer_object(body)
    except ValueError as error:
        return [vendor_errors.broken(str(error))]
    try:
        if json_values.text(root.get("type")) != "message" or "content" not in root:
            return [vendor_errors.of_value(json_values.decode(body)) or vendor_errors.broken("is no message")]
        document = _decoded(root, _MESSAGE_MEMBERS)
        events: list[Event] = [Start(str(document.get("id") or ""), str(document.get("model") or ""))]
        for block in json_values.objects(root["content"]):
            events += _block(block, vendor)
        if isinstance(usage := document.get("usage"), dict):
            events.append(_usage(usage))
        events.append(_stop(document))
    except (KeyError, TypeError, ValueError, AttributeError):
        return [vendor_errors.broken("has a member of the wrong form")]
    return [*events, END]


def _block(raw: dict[str, json_values.Raw], vendor: str) -> list[Event]:
    """The events of a whole block. The bytes of a call's input are kept."""
    block = _decoded(raw, _BLOCK_MEMBERS)
    kind = block["type"]
    if kind == "text":
        return [Open(Text()), Delta(text_of(block["text"])), CLOSE] if block["text"] else []
    if kind == "thinking":
        seal = sealed_ids.seal_of(text_of(block.get("signature") or ""), vendor)
        text: list[Event] = [Delta(text_of(block["thinking"]))] if block["thinking"] else []
        return [Open(Thinking()), *text, *([Sealed(seal)] if seal else []), CLOSE]
    if kind == "redacted_thinking":
        return [Open(Thinking("", sealed_ids.seal_of(text_of(block["data"]), vendor), is_redacted=True)), CLOSE]
    if kind == "tool_use":
        arguments = bytes(raw["input"]).decode() if "input" in raw else "{}"
        return [Open(Call(text_of(block["id"]), text_of(block["name"]))), Delta(arguments), CLOSE]
    return []


def _decoded(raw: dict[str, json_values.Raw], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: json_values.decode(bytes(raw[name])) for name in names if name in raw}


def _stop(told: dict[str, Any]) -> Stop:
    details = object_of(told.get("stop_details"))
    sequence, explanation, category = told.get("stop_sequence"), details.get("explanation"), details.get("category")
    return Stop(
        _REASONS.get(told.get("stop_reason") or "", "end"),
        sequence if isinstance(sequence, str) else None,
        explanation if isinstance(explanation, str) else None,
        category if isinstance(category, str) else None,
    )


def _usage(usage: dict[str, Any]) -> Usage:
    """Anthropic's input_tokens are those beside the cache."""
    cached, written = (
        vendor_errors.count(usage.get("cache_read_input_tokens")),
        vendor_errors.count(usage.get("cache_creation_input_tokens")),
    )
    fresh = vendor_errors.count(usage.get("input_tokens"))
    return Usage(
        None if fresh is None else fresh + (cached or 0) + (written or 0),
        vendor_errors.count(usage.get("output_tokens")),
        cached,
        written,
        vendor_errors.count(object_of(usage.get("cache_creation")).get("ephemeral_1h_input_tokens")),
        vendor_errors.count(object_of(usage.get("output_tokens_details")).get("thinking_tokens")),
    )
