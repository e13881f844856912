"""Reads answers of DeepL's translation API. Source: DeepL's API reference, translate text and errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from . import json_values, vendor_errors
from .model import CLOSE, END, Delta, Event, Fault, Open, Start, Stop, Text
from .reading import StreamReader, text_of

_QUOTA: Final = 456
_WORDS: Final = {403: "The key of DeepL is not valid.", _QUOTA: "The quota of characters is used up."}
"""By status: what is meant, where DeepL says no more than the name of the status."""


class Translation(NamedTuple):
    """A text in the other language, and the language that it had."""

    text: str
    language: str


class Reader(StreamReader):
    """Reads a stream, of which DeepL has none: it is an error."""

    def _event(self, document: dict[str, Any], type: bytes) -> Iterator[Event]:
        yield self._failed(vendor_errors.of_value(document) or vendor_errors.broken("is a stream"))


def translations(body: bytes) -> list[Translation]:
    """The translations in an answer. Raises ValueError, KeyError, TypeError or AttributeError."""
    found = json_values.decode(body)["translations"]
    return [Translation(text_of(one["text"]), text_of(one.get("detected_source_language") or "")) for one in found]


def read_whole(body: bytes) -> list[Event]:
    """The events of an answer: each translation is a block."""
    try:
        found = translations(body)
    except (ValueError, KeyError, TypeError, AttributeError):
        return [_fault(body) or vendor_errors.broken("has no translations")]
    events: list[Event] = [Start()]
    for one in found:
        events += [Open(Text()), Delta(one.text), CLOSE]
    return [*events, Stop("end"), END]


def _fault(body: bytes) -> Fault | None:
    try:
        return vendor_errors.of_value(json_values.decode(body), 400)
    except ValueError:
        return None


def read_error(body: bytes, status: int) -> Fault:
    """The error in an answer that is no success. A quota that is used up is OpenAI's 429 for that."""
    fault = vendor_errors.read(body, status)
    if status in _WORDS and not fault.message.startswith("Quota"):
        fault = Fault(status, _WORDS[status], fault.code)
    return Fault(429, fault.message, "insufficient_quota") if status == _QUOTA else fault
