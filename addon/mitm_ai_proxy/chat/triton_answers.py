"""Reads answers of NVIDIA Triton's generate extension. Source: Triton Inference Server's documentation of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import vendor_errors
from .model import CLOSE, END, Delta, Event, Fault, Open, Start, Stop, Text
from .reading import StreamReader, text_of, whole


class Reader(StreamReader):
    """Reads a stream, of which each event has a piece of the text. It ends with its last one."""

    def _event(self, document: dict[str, Any], type: bytes) -> Iterator[Event]:
        if fault := vendor_errors.of_value(document):
            yield self._failed(fault)
            return
        text = _text(document)
        if not self._has_begun:
            self._has_begun = True
            yield _start(document)
            yield Open(Text())
        if text:
            yield Delta(text)

    def end(self) -> Iterator[Event]:
        """The stream has ended. Triton has no sign for that."""
        if self._has_begun and not self._is_over:
            self._is_over = True
            yield from (CLOSE, Stop("end"), END)
        yield from super().end()


def read_whole(body: bytes) -> list[Event]:
    """The events of a whole answer; a Fault is the last of them, if there is one."""
    document = whole(body)
    if isinstance(document, Fault):
        return [document]
    reader = Reader()
    return [*reader.read(body), *reader.end()]


def _start(document: dict[str, Any]) -> Start:
    id, model = document.get("id"), document.get("model_name")
    return Start(id if isinstance(id, str) else "", model if isinstance(model, str) else "")


def _text(document: dict[str, Any]) -> str:
    found = document["text_output"]
    return "".join(map(text_of, found)) if isinstance(found, list) else text_of(found)
