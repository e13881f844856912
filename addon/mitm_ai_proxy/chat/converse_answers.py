"""Reads answers of Amazon Bedrock's Converse and ConverseStream, and its errors.

Sources: Amazon Bedrock's API reference, Converse and ConverseStream; botocore's model of them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any, Final

from ..wire import header_fields, sse
from ..wire.header_fields import Fields
from . import json_values, vendor_errors
from .aws_frames import BROKEN, EXCEPTION
from .error_numbers import TOO_LONG_CODE
from .model import (
    CLOSE,
    END,
    Call,
    Delta,
    Event,
    Fault,
    Media,
    Open,
    Reason,
    Seal,
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
    "guardrail_intervened": "refused",
    "content_filtered": "refused",
}
"""Others are an ordinary end."""
_STATUSES: Final = {
    "validationexception": 400,
    "servicequotaexceededexception": 400,
    "unrecognizedclientexception": 403,
    "accessdeniedexception": 403,
    "resourcenotfoundexception": 404,
    "modeltimeoutexception": 408,
    "modelerrorexception": 424,
    "modelstreamerrorexception": 424,
    "throttlingexception": 429,
    "modelnotreadyexception": 429,
    "internalserverexception": 500,
    "serviceunavailableexception": 503,
}
"""By name of an exception, in lower case."""
_TOO_LONG: Final = ("input is too long", "prompt is too long")
_MAX_MESSAGE: Final = 2000


def read_error(body: bytes, status: int, fields: Fields) -> Fault:
    """The error in an answer that is no success; the exception is named in a header field, or in `__type`."""
    told = _told(body)
    named = header_fields.value(fields, b"x-amzn-errortype").partition(":")[0] or _type(body)
    if told is None:
        return _named(vendor_errors.read(body, status), named)
    return _named(Fault(status, told[:_MAX_MESSAGE]), named)


def exception(data: bytes, name: str) -> Fault:
    """The error that an exception in a stream is."""
    told = _told(data) or f"{name or 'an exception'}, and no message."
    return _named(Fault(_STATUSES.get(name.lower(), 502), told[:_MAX_MESSAGE]), name)


def error_of(event: sse.Event) -> Fault | None:
    """The error that an event of Frames is: an exception, or what is wrong with the stream; None for any other."""
    if event.type == BROKEN:
        return vendor_errors.broken(_text(event.data))
    return exception(event.data, _text(event.type[len(EXCEPTION) :])) if event.type.startswith(EXCEPTION) else None


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _told(body: bytes) -> str | None:
    """The message of an exception, as Bedrock writes it, or as the gateways in front of it do."""
    try:
        told = json_values.decode(body)
    except ValueError:
        return None
    found = [object_of(told).get(name) for name in ("message", "Message", "originalMessage")]
    return next((text for text in found if isinstance(text, str) and text), None)


def _type(body: bytes) -> str:
    try:
        found = object_of(json_values.decode(body)).get("__type")
    except ValueError:
        return ""
    return found if isinstance(found, str) else ""


def _named(fault: Fault, name: str) -> Fault:
    """The error with the exception's name, or with OpenAI's code for a prompt that is too long."""
    is_too_long = any(words in fault.message.lower() for words in _TOO_LONG)
    return Fault(fault.status, fault.message, TOO_LONG_CODE if is_too_long else name.rpartition("#")[2][:100])


class Reader(StreamReader):
    """Reads a stream: takes the payload and the type of one message after the other.

    Only calls and pictures have a start of their own. `vendor`: whose seals they are.
    """

    def __init__(self, vendor: str) -> None:
        super().__init__()
        self._vendor = vendor
        self._has_stopped = False
        self._block: _Block | None = None

    def read(self, data: bytes, type: bytes = b"") -> Iterator[Event]:
        """The events in a message, or in what is wrong with the stream."""
        if fault := error_of(sse.Event(data, type)):
            if not self._is_over:
                yield self._failed(fault)
        elif type in _EVENTS:
            yield from super().read(data, type)

    def end(self) -> Iterator[Event]:
        """The stream has ended. It is complete if the model has stopped; the usage may be missing."""
        if self._has_stopped and not self._is_over:
            self._is_over = True
            yield END
        yield from super().end()

    def _event(self, document: dict[str, Any], type: bytes) -> Iterator[Event]:
        if not self._has_begun and type != b"messageStart":
            yield self._failed(vendor_errors.broken("begins in the middle"))
        else:
            yield from _EVENTS[type](self, document)

    def _message_start(self, event: dict[str, Any]) -> Iterator[Event]:
        if self._has_begun:
            raise ValueError("a second start")
        self._has_begun = True
        yield Start()

    def _block_start(self, event: dict[str, Any]) -> Iterator[Event]:
        yield from self._begin(event["contentBlockIndex"])
        assert self._block is not None
        start = event.get("start") or {}
        if use := start.get("toolUse"):
            if use.get("type") != "server_tool_use":
                yield from self._block.open(Call(text_of(use["toolUseId"]), text_of(use["name"])))
        elif image := start.get("image"):
            self._block.format = text_of(image["format"])

    def _begin(self, index: int) -> Iterator[Event]:
        """A block begins; one that is open is complete."""
        if self._has_stopped:
            raise ValueError("a block behind the end")
        if self._block is not None:
            yield from self._block.close()
        self._block = _Block(index, self._vendor)

    def _block_delta(self, event: dict[str, Any]) -> Iterator[Event]:
        index = event["contentBlockIndex"]
        if self._block is None or self._block.index != index:
            yield from self._begin(index)
        assert self._block is not None
        yield from self._block.grow(event["delta"])

    def _block_stop(self, event: dict[str, Any]) -> Iterator[Event]:
        if self._block is not None:
            yield from self._block.close()
        self._block = None

    def _message_stop(self, event: dict[str, Any]) -> Iterator[Event]:
        if self._has_stopped:
            raise ValueError("a second end")
        yield from self._block_stop(event)
        self._has_stopped = True
        yield _stop(event)

    def _metadata(self, event: dict[str, Any]) -> Iterator[Event]:
        if isinstance(usage := event.get("usage"), dict):
            yield _usage(usage)
        if self._has_stopped:
            self._is_over = True
            yield END


_EVENTS: Final = {
    b"messageStart": Reader._message_start,
    b"contentBlockStart": Reader._block_start,
    b"contentBlockDelta": Reader._block_delta,
    b"contentBlockStop": Reader._block_stop,
    b"messageStop": Reader._message_stop,
    b"metadata": Reader._metadata,
}


class _Block:
    """The block that is being told: its kind is known with its first delta."""

    def __init__(self, index: int, vendor: str) -> None:
        self.index = index
        self.format = ""  # of a picture
        self._vendor = vendor
        self._opened: Text | Thinking | Call | None = None
        self._signature = ""
        self._data: list[str] = []  # pieces of a picture or of thinking that is redacted, in base64

    def open(self, block: Text | Thinking | Call) -> Iterator[Event]:
        if type(self._opened) is type(block):
            return
        if self._opened is not None:
            yield from self.close()
        self._opened = block
        yield Open(block)

    def grow(self, delta: dict[str, Any]) -> Iterator[Event]:
        if "text" in delta:
            yield from self._said(Text(), text_of(delta["text"]))
        elif use := delta.get("toolUse"):
            if isinstance(self._opened, Call) and (text := text_of(use["input"])):
                yield Delta(text)
        elif reasoning := delta.get("reasoningContent"):
            if "redactedContent" in reasoning:
                self._data.append(text_of(reasoning["redactedContent"]))
            elif "signature" in reasoning:
                yield from self.open(Thinking())
                self._signature += text_of(reasoning["signature"])
            elif "text" in reasoning:
                yield from self._said(Thinking(), text_of(reasoning["text"]))
        elif image := delta.get("image"):
            self._data.append(text_of((image.get("source") or {}).get("bytes") or ""))

    def _said(self, kind: Text | Thinking, text: str) -> Iterator[Event]:
        if text:
            yield from self.open(kind)
            yield Delta(text)

    def close(self) -> Iterator[Event]:
        if self._opened is not None:
            if self._signature:
                yield Sealed(Seal(self._vendor, self._signature))
            yield CLOSE
        elif any(self._data):
            data = _joined(self._data)
            yield Open(
                Media("image", f"image/{self.format}", data)
                if self.format
                else Thinking("", Seal(self._vendor, data), is_redacted=True)
            )
            yield CLOSE
        self._opened, self._signature, self._data = None, "", []


def _joined(pieces: list[str]) -> str:
    """Pieces that are in base64, each by itself, as one."""
    if len(pieces) == 1:
        return pieces[0]
    try:
        return base64.b64encode(b"".join(map(base64.b64decode, pieces))).decode()
    except binascii.Error:
        raise ValueError("no base64") from None


# Whole answers


def read_whole(body: bytes, vendor: str) -> list[Event]:
    """The events of a whole answer; a Fault is the last of them, if there is one."""
    try:
        root = json_values.answer_object(body)
    except ValueError as error:
        return [vendor_errors.broken(str(error))]
    try:
        if "output" not in root:
            return [vendor_errors.of_value(json_values.decode(body)) or vendor_errors.broken("has no output")]
        message = json_values.members(bytes(json_values.members(bytes(root["output"]))["message"]))
        events: list[Event] = [Start()]
        for block in json_values.objects(message["content"]):
            events += _block(block, vendor)
        if "usage" in root:
            events.append(_usage(json_values.decode(bytes(root["usage"]))))
        names = ("stopReason", "additionalModelResponseFields")
        events.append(_stop({name: json_values.decode(bytes(root[name])) for name in names if name in root}))
    except (*json_values.DecodeError, KeyError, TypeError, ValueError, AttributeError):
        return [vendor_errors.broken("has a member of the wrong form")]
    return [*events, END]


def _block(raw: dict[str, json_values.Raw], vendor: str) -> Iterator[Event]:
    """The events of a whole block. The bytes of a call's input are kept."""
    if "text" in raw:
        if text := text_of(json_values.decode(bytes(raw["text"]))):
            yield from (Open(Text()), Delta(text), CLOSE)
    elif "toolUse" in raw:
        use = json_values.members(bytes(raw["toolUse"]))
        id, name = (text_of(json_values.decode(bytes(use[key]))) for key in ("toolUseId", "name"))
        if json_values.text(use.get("type")) != "server_tool_use":
            yield from (Open(Call(id, name)), Delta(bytes(use["input"]).decode() if "input" in use else "{}"), CLOSE)
    elif "reasoningContent" in raw:
        yield from _thinking(json_values.decode(bytes(raw["reasoningContent"])), vendor)
    elif "image" in raw:
        image = json_values.decode(bytes(raw["image"]))
        if data := (image.get("source") or {}).get("bytes"):
            yield from (Open(Media("image", f"image/{text_of(image['format'])}", text_of(data))), CLOSE)
    elif "citationsContent" in raw:
        parts = json_values.decode(bytes(raw["citationsContent"])).get("content") or []
        if text := "".join(text_of(part["text"]) for part in parts):
            yield from (Open(Text()), Delta(text), CLOSE)


def _thinking(content: dict[str, Any], vendor: str) -> Iterator[Event]:
    if data := content.get("redactedContent"):
        yield from (Open(Thinking("", Seal(vendor, text_of(data)), is_redacted=True)), CLOSE)
        return
    told = content["reasoningText"]
    yield Open(Thinking())
    if text := text_of(told.get("text") or ""):
        yield Delta(text)
    if signature := text_of(told.get("signature") or ""):
        yield Sealed(Seal(vendor, signature))
    yield CLOSE


def _stop(told: dict[str, Any]) -> Stop:
    sequence = object_of(told.get("additionalModelResponseFields")).get("stop_sequence")
    if isinstance(sequence, dict):
        sequence = sequence.get("value")
    reason = told.get("stopReason")
    found = _REASONS.get(reason if isinstance(reason, str) else "", "end")
    return Stop(found, sequence if isinstance(sequence, str) and found == "sequence" else None)


def _usage(usage: dict[str, Any]) -> Usage:
    """Bedrock's inputTokens are those beside the cache. Some models' answers have other names for that."""
    cached, written = (
        vendor_errors.count(usage.get(f"cache{kind}InputTokens", usage.get(f"cache{kind}InputTokenCount")))
        for kind in ("Read", "Write")
    )
    fresh = vendor_errors.count(usage.get("inputTokens"))
    hour = [
        vendor_errors.count(object_of(detail).get("inputTokens")) or 0
        for detail in usage.get("cacheDetails") or ()
        if object_of(detail).get("ttl") == "1h"
    ]
    return Usage(
        None if fresh is None else fresh + (cached or 0) + (written or 0),
        vendor_errors.count(usage.get("outputTokens")),
        cached,
        written,
        sum(hour) if hour else None,
    )
