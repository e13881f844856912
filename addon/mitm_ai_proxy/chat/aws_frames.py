"""Amazon's event stream for the readers of chats: its messages as events, its exceptions and mistakes as such."""

from __future__ import annotations

from typing import Final

from ..wire import aws_event_stream
from ..wire.aws_event_stream import Message
from ..wire.sse import Event
from . import json_values

EXCEPTION: Final = b"exception "
"""What the type of an event begins with that is an exception; its own name follows."""
BROKEN: Final = b"broken"
"""The type of the event that says what is wrong with the stream; its data continues a sentence."""


class Frames:
    """Takes bytes cut anywhere, and gives the events that they complete. `limit` is that of a message, in bytes."""

    def __init__(self, limit: int) -> None:
        self._reader = aws_event_stream.Reader(limit)
        self._is_told = False

    def feed(self, data: bytes) -> list[Event]:
        """The events; the last one is BROKEN, if the stream is."""
        return [_event(message) for message in self._reader.feed(data)] + self._problem()

    def end(self) -> list[Event]:
        """BROKEN, if the end is within a message."""
        self._reader.end()
        return self._problem()

    def _problem(self) -> list[Event]:
        if self._is_told or not self._reader.problem:
            return []
        self._is_told = True
        return [Event(self._reader.problem.encode(), BROKEN)]


def _event(message: Message) -> Event:
    headers = message.headers
    kind = headers.get(":message-type", "event")
    if kind == "exception":
        return Event(message.payload or b"{}", EXCEPTION + headers.get(":exception-type", "").encode())
    if kind == "error":
        told = json_values.encode({"message": headers.get(":error-message", "")})
        return Event(told, EXCEPTION + headers.get(":error-code", "").encode())
    return Event(message.payload or b"{}", headers.get(":event-type", "").encode())
