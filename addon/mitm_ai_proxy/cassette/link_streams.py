"""Links in an answer that arrives in pieces: events (SSE), lines of JSON, or a document under another content type."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from ..wire import json_text

LONGEST: Final = 1024 * 1024
"""Bytes of the longest line, event or document that is kept back; a longer one passes as it is."""

_LINE = re.compile(rb"([^\r\n]*)(\r\n|\n|\r(?!\Z))")
_MARKS: Final = b"\xef\xbb\xbf \t\r\n\x1e"
_DATA = re.compile(rb"(data:[ ]?)(.*)", re.DOTALL)
_NAME: Final = b"data:"
_ENDS: Final = {b"{": b"}", b"[": b"]"}
"""The last character of an object or array by its first one."""


class LedStream:
    """A transducer (see exchange.py). `lead` rewrites one JSON object or array, wherever the pieces are cut.

    Only what may be JSON is kept back, until its end has come: what it is, is told by how it begins. Text passes as it
    arrives.
    """

    def __init__(self, lead: Callable[[bytes], bytes]) -> None:
        self._lead = lead
        self._rest = b""
        self._is_document: bool | None = None
        self._is_passing = False
        """Whether the rest of this line, or of the document, passes as it is."""
        self._event: list[tuple[bytes, bytes]] = []
        """Lines of an event, with their ends, whose JSON goes on in the next line; `_size` is their length."""
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        """The bytes that are certain after the next ones."""
        self._rest += data
        begun = self._begin() if self._is_document is None else b""
        return begun if self._is_document is None else begun + self._go_on()

    def end(self) -> bytes:
        """The rest."""
        rest, self._rest = self._rest, b""
        if self._is_document is not False:
            return rest if self._is_passing or len(rest) > LONGEST else self._lead(rest)
        return self._line(rest, b"") + self._led_event()

    def _begin(self) -> bytes:
        """Find out by its first line whether the answer is one document; the blanks before it pass."""
        bare = self._rest.lstrip(_MARKS)
        if not bare:
            passed, self._rest = (b"", self._rest) if b"\xef" in self._rest else (self._rest, b"")
            return passed
        passed, self._rest = self._rest[: len(self._rest) - len(bare)], bare
        line = _LINE.match(bare)
        if bare[:1] not in _ENDS:
            self._is_document = False
        elif line or len(bare) > LONGEST:
            self._is_document = not (line and len(line[1]) <= LONGEST and _is_container(line[1]))
        return passed

    def _go_on(self) -> bytes:
        if self._is_document:
            self._is_passing = self._is_passing or len(self._rest) > LONGEST
            passed, self._rest = (self._rest, b"") if self._is_passing else (b"", self._rest)
            return passed
        result = []
        position = 0
        for match in _LINE.finditer(self._rest):
            result.append(self._line(match[1], match[2]))
            position = match.end()
        self._rest = self._rest[position:]
        if self._is_passing or len(self._rest) > LONGEST or not (self._event or _may_be_json(self._rest)):
            self._is_passing = self._is_passing or bool(self._rest)
            # Where the next byte is none of a line end's, this one ends the line.
            bare = self._rest.removesuffix(b"\r")
            result += (self._raw_event(), bare)
            self._rest = self._rest[len(bare) :]
        return b"".join(result)

    def _line(self, line: bytes, end: bytes) -> bytes:
        """The bytes that are certain after a line, which may be the end of one."""
        if self._is_passing or len(line) > LONGEST:
            self._is_passing = not end
            return self._raw_event() + line + end
        if not line:
            return self._led_event() + end
        found = _DATA.fullmatch(line)
        if self._event or (found and _goes_on(found[2])):
            self._event.append((line, end))
            self._size += len(line) + len(end)
            return self._raw_event() if self._size > LONGEST else b""
        return found[1] + self._lead(found[2]) + end if found else self._lead_line(line) + end

    def _led_event(self) -> bytes:
        """The lines that are kept back, which are a whole event, with the links in their JSON led."""
        if not self._event:
            return b""
        lines = [(_DATA.fullmatch(line), line, end) for line, end in self._event]
        texts = iter(self._lead(b"\n".join([found[2] for found, _, _ in lines if found])).split(b"\n"))
        self._event, self._size = [], 0
        return b"".join([(found[1] + next(texts) if found else line) + end for found, line, end in lines])

    def _lead_line(self, line: bytes) -> bytes:
        bare = line.lstrip(_MARKS)
        return line[: len(line) - len(bare)] + self._lead(bare)

    def _raw_event(self) -> bytes:
        """The lines that are kept back, unchanged."""
        lines, self._event, self._size = self._event, [], 0
        return b"".join([line + end for line, end in lines])


def _goes_on(text: bytes) -> bool:
    """Whether a JSON text that begins in this line of an event does not end in it."""
    return text[:1] in _ENDS and not text.rstrip().endswith(_ENDS[text[:1]])


def _may_be_json(line: bytes) -> bool:
    """Whether a line that has begun may hold JSON."""
    bare = line.lstrip(_MARKS)
    found = _DATA.fullmatch(bare)
    return (found[2] if found else bare)[:1] in (b"", *_ENDS) or _NAME.startswith(bare)


def _is_container(document: bytes) -> bool:
    try:
        return json_text.is_container(document.decode())
    except UnicodeDecodeError:
        return False
