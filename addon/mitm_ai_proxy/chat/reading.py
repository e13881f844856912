"""What all readers of answers have in common: the frame of one that reads a stream, and the values in an answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from . import json_values, vendor_errors
from .model import PING, Event, Fault


class StreamReader(ABC):
    """Reads a stream: takes the data of one server-sent event after the other, and gives the events of the model.

    It never raises, and after a Fault or an End it gives nothing. A subclass says what an event means; what it raises
    for one of a wrong form becomes a Fault.
    """

    def __init__(self) -> None:
        self._has_begun = False
        self._is_over = False

    def comment(self) -> Iterator[Event]:
        """A comment has arrived, which keeps the connection open."""
        if self._has_begun and not self._is_over:
            yield PING

    def read(self, data: bytes, type: bytes = b"") -> Iterator[Event]:
        """The events in the data of a server-sent event, which may have a type."""
        if self._is_over or not data:
            return
        try:
            document = json_values.decode(data)
        except ValueError:
            yield self._failed(vendor_errors.broken("has an event that is not JSON"))
            return
        if not isinstance(document, dict):
            fault = vendor_errors.of_value(document)
            yield self._failed(fault or vendor_errors.broken("has an event that is no object"))
            return
        yield from self._guarded(self._event(document, type))

    def end(self) -> Iterator[Event]:
        """The stream has ended."""
        if not self._is_over:
            yield self._failed(vendor_errors.broken("ended before it was complete"))

    @abstractmethod
    def _event(self, document: dict[str, Any], type: bytes) -> Iterator[Event]:
        """The events in an object. May raise KeyError, TypeError, ValueError and AttributeError."""

    def _guarded(self, events: Iterator[Event]) -> Iterator[Event]:
        """These events; what is raised for one of a wrong form becomes a Fault."""
        try:
            yield from events
        except (KeyError, TypeError, ValueError, AttributeError):
            yield self._failed(vendor_errors.broken("has a part of the wrong form, or at the wrong place"))

    def _failed(self, fault: Fault) -> Fault:
        self._is_over = True
        return fault


def whole(body: bytes) -> dict[str, Any] | Fault:
    """The object that a whole answer is, or what is wrong with it."""
    try:
        document = json_values.decode(body)
    except ValueError:
        return vendor_errors.broken("is not JSON")
    return document if isinstance(document, dict) else vendor_errors.broken("is no object")


def object_of(value: Any) -> dict[str, Any]:
    """An object of an answer; an empty one for any other value."""
    return value if isinstance(value, dict) else {}


def text_of(value: Any) -> str:
    """A string of an answer. Raises TypeError for any other value."""
    if not isinstance(value, str):
        raise TypeError
    return value
