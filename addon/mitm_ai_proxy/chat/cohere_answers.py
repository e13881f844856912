"""Reads answers of Cohere's chat API, version 2, whole and streamed.

Sources: Cohere's API reference, chat; the types of its SDK for Python.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from . import json_values, vendor_errors
from .model import CLOSE, END, Call, Delta, Event, Fault, Open, Reason, Start, Stop, Text, Thinking, Usage
from .reading import StreamReader, object_of, text_of

_REASONS: Final[dict[str, Reason]] = {
    "COMPLETE": "end",
    "STOP_SEQUENCE": "sequence",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "calls",
}
_FAILURES: Final = {"ERROR": 500, "TIMEOUT": 504}


class Reader(StreamReader):
    """Reads a stream."""

    def __init__(self) -> None:
        super().__init__()
        self._open = ""  # the kind of the open block: "text", "thinking" or "call"

    def _event(self, document: dict[str, Any], type: bytes) -> Iterator[Event]:
        kind = document.get("type") or type.decode("latin-1")
        read = _EVENTS.get(kind) if isinstance(kind, str) else None
        if read is None:
            fault = None if "delta" in document else vendor_errors.of_value(document, 500)
            if fault is not None:
                yield self._failed(fault)
        elif self._has_begun or kind == "message-start":
            yield from read(self, document)
        else:
            yield self._failed(vendor_errors.broken("begins in the middle"))

    def _start(self, event: dict[str, Any]) -> Iterator[Event]:
        if not self._has_begun:
            self._has_begun = True
            yield Start(str(event.get("id") or ""))

    def _content(self, event: dict[str, Any]) -> Iterator[Event]:
        content = event["delta"]["message"]["content"]
        for kind in ("thinking", "text"):
            if content.get(kind):
                yield from self._grow(kind, text_of(content[kind]))

    def _plan(self, event: dict[str, Any]) -> Iterator[Event]:
        if plan := event["delta"]["message"]["tool_plan"]:
            yield from self._grow("text", text_of(plan))

    def _grow(self, kind: str, text: str) -> Iterator[Event]:
        if self._open != kind:
            yield from self._close({})
            self._open = kind
            yield Open(Thinking() if kind == "thinking" else Text())
        yield Delta(text)

    def _call(self, event: dict[str, Any]) -> Iterator[Event]:
        yield from self._close({})
        call = event["delta"]["message"]["tool_calls"]
        function = call["function"]
        self._open = "call"
        yield Open(Call(text_of(call["id"]), text_of(function["name"])))
        if function.get("arguments"):
            yield Delta(text_of(function["arguments"]))

    def _arguments(self, event: dict[str, Any]) -> Iterator[Event]:
        if self._open != "call":
            raise ValueError("arguments of no call")
        if arguments := event["delta"]["message"]["tool_calls"]["function"].get("arguments"):
            yield Delta(text_of(arguments))

    def _close(self, event: dict[str, Any]) -> Iterator[Event]:
        if self._open:
            self._open = ""
            yield CLOSE

    def _end(self, event: dict[str, Any]) -> Iterator[Event]:
        delta = object_of(event.get("delta"))
        yield from self._close({})
        self._is_over = True
        yield from _ended(delta.get("finish_reason"), delta.get("usage"), delta.get("error"))


_EVENTS: Final = {
    "message-start": Reader._start,
    "content-start": Reader._content,
    "content-delta": Reader._content,
    "content-end": Reader._close,
    "tool-plan-delta": Reader._plan,
    "tool-call-start": Reader._call,
    "tool-call-delta": Reader._arguments,
    "tool-call-end": Reader._close,
    "message-end": Reader._end,
}
"""Others, such as those about citations, are skipped."""


def read_whole(body: bytes) -> list[Event]:
    """The events of a whole answer; a Fault is the last of them, if there is one."""
    try:
        document = json_values.decode(body)
        message = document.get("message")
        if not isinstance(message, dict):
            return [vendor_errors.of_value(document, 500) or vendor_errors.broken("has no message")]
        return [Start(str(document.get("id") or "")), *_whole(document, message)]
    except (KeyError, TypeError, ValueError, AttributeError):
        return [vendor_errors.broken("has a member of the wrong form, or is not JSON")]


def _whole(document: dict[str, Any], message: dict[str, Any]) -> list[Event]:
    events: list[Event] = []
    if plan := message.get("tool_plan"):
        events += (Open(Text()), Delta(text_of(plan)), CLOSE)
    for part in message.get("content") or ():
        kind = part["type"]
        if kind in ("text", "thinking") and part[kind]:
            events += (Open(Thinking() if kind == "thinking" else Text()), Delta(text_of(part[kind])), CLOSE)
    for call in message.get("tool_calls") or ():
        function = call["function"]
        arguments = text_of(function.get("arguments") or "{}")
        events += (Open(Call(text_of(call["id"]), text_of(function["name"]))), Delta(arguments), CLOSE)
    return [*events, *_ended(document.get("finish_reason"), document.get("usage"), None)]


def _ended(reason: Any, usage: Any, error: Any) -> Iterator[Event]:
    word = reason if isinstance(reason, str) else ""
    if error or word in _FAILURES:
        status = _FAILURES.get(word, 500)
        yield Fault(status, error if isinstance(error, str) and error else "The model has failed.", word)
        return
    if isinstance(usage, dict):
        yield _usage(usage)
    yield Stop(_REASONS.get(word, "end"))
    yield END


def _usage(usage: dict[str, Any]) -> Usage:
    """Of the tokens, not of what is billed; the numbers are floats."""
    tokens = object_of(usage.get("tokens") or usage.get("billed_units"))
    return Usage(
        vendor_errors.count(tokens.get("input_tokens")),
        vendor_errors.count(tokens.get("output_tokens")),
        vendor_errors.count(usage.get("cached_tokens")),
    )
