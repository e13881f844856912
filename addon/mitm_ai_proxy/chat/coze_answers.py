"""Reads answers of Coze's chat API, version 3. Source: Coze's API reference, chat, its events and error codes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from . import json_values, vendor_errors
from .error_numbers import COZE, COZE_TOO_LONG, TOO_LONG_CODE
from .model import CLOSE, END, Delta, Event, Fault, Open, Start, Stop, Text, Thinking, Usage
from .reading import StreamReader, object_of, text_of


class Reader(StreamReader):
    """Reads a stream: the answer comes in pieces, among messages of other types, and its end is told."""

    def __init__(self) -> None:
        super().__init__()
        self._open: type[Text] | type[Thinking] | None = None

    def read(self, data: bytes, type: bytes = b"") -> Iterator[Event]:
        """The events in the data of a server-sent event. The last one is no object."""
        if type != b"done":
            yield from super().read(data, type)

    def _event(self, document: dict[str, Any], type: bytes) -> Iterator[Event]:
        if type == b"error" or (not type and "code" in document):
            yield self._failed(_fault(document) or vendor_errors.broken("ends with an error without a message"))
            return
        if not self._has_begun:
            self._has_begun = True
            yield Start(_id(document), "", vendor_errors.count(document.get("created_at")))
        read = _EVENTS.get(type)
        if read is not None:
            yield from read(self, document)

    def _delta(self, document: dict[str, Any]) -> Iterator[Event]:
        if document.get("type") != "answer":
            return
        for kind, member in ((Thinking, "reasoning_content"), (Text, "content")):
            if text := text_of(document.get(member) or ""):
                if self._open is not kind:
                    yield from self._closed()
                    self._open = kind
                    yield Open(kind())
                yield Delta(text)

    def _closed(self) -> Iterator[Event]:
        if self._open is not None:
            self._open = None
            yield CLOSE

    def _completed(self, document: dict[str, Any]) -> Iterator[Event]:
        yield from self._closed()
        usage = object_of(document.get("usage"))
        if usage:
            yield Usage(vendor_errors.count(usage.get("input_count")), vendor_errors.count(usage.get("output_count")))
        self._is_over = True
        yield from (Stop("end"), END)

    def _has_failed(self, document: dict[str, Any]) -> Iterator[Event]:
        error = object_of(document.get("last_error"))
        yield self._failed(_fault(error) or Fault(502, "The bot of Coze's has failed.", "chat_failed"))

    def _asks(self, document: dict[str, Any]) -> Iterator[Event]:
        why = "The bot of Coze's asks for the outputs of tools, which cannot be given to it through this API."
        yield self._failed(Fault(502, why, "requires_action"))


_EVENTS: Final = {
    b"conversation.message.delta": Reader._delta,
    b"conversation.chat.completed": Reader._completed,
    b"conversation.chat.failed": Reader._has_failed,
    b"conversation.chat.requires_action": Reader._asks,
}
"""Others are skipped: what is completed was told in pieces, and messages of plugins are no answer."""


def read_whole(body: bytes) -> list[Event]:
    """The Fault that an answer is which is no stream."""
    try:
        document = json_values.decode(body)
    except ValueError:
        return [vendor_errors.broken("is not JSON")]
    return [_fault(object_of(document)) or vendor_errors.broken("is no stream")]


def read_error(body: bytes, status: int) -> Fault:
    """The error in an answer with another status than 200."""
    try:
        fault = _fault(object_of(json_values.decode(body)))
    except ValueError:
        fault = None
    if fault is None:
        return vendor_errors.read(body, status)
    return Fault(status, fault.message, fault.code, fault.request_id)


def _fault(error: dict[str, Any]) -> Fault | None:
    code, message = error.get("code"), error.get("msg") or error.get("error_message") or error.get("message")
    if not isinstance(code, int) or code == 0:
        return None
    text = message if isinstance(message, str) and message else "Coze says no more."
    id = object_of(error.get("detail")).get("logid")
    status = COZE.get(code, 400 if 4000 <= code < 5000 else 502)
    word = str(code)
    if code == COZE_TOO_LONG:
        text, word = f"{text} ({code})", TOO_LONG_CODE
    return Fault(status, text[:2000], word, id if isinstance(id, str) else "")


def _id(document: dict[str, Any]) -> str:
    found = document.get("chat_id") or document.get("id")
    return found if isinstance(found, str) else ""
