"""Finds JSON documents in streams of them, in bytes cut anywhere: one in each line, or the elements of one array."""

from __future__ import annotations

import re
from typing import Final

from .sse import MAX_EVENT, Event, TooLong

_SEPARATOR: Final = b"\x1e"
"""Before each document of a JSON text sequence. Source: RFC 7464."""
_MARKS: Final = re.compile(rb'["\\{}\[\],]')
_QUOTE, _BACKSLASH = b'"\\'
_OPENING, _CLOSING = b"{[", b"}]"


class Lines:
    """Takes bytes cut anywhere, and gives each line; one that is empty has no data. `limit`: bytes of a line."""

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self._limit = limit
        self._held = bytearray()

    def feed(self, data: bytes) -> list[Event]:
        """The lines that these bytes complete. Raises TooLong."""
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = bytes(self._held) + lines[0]
            self._held.clear()
        self._held += rest
        if len(self._held) > self._limit:
            raise TooLong(f"has a line of more than {self._limit} bytes")
        return [Event(line.strip().removeprefix(_SEPARATOR)) for line in lines]

    def end(self) -> list[Event]:
        """The line that nothing ends."""
        return self.feed(b"\n")


class Elements:
    """Takes bytes cut anywhere, and gives each element of the array that they are, else the one value that they are.

    `limit`: bytes of an element. What is no JSON comes out in some parts or other, and some of them have no data.
    """

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self._limit = limit
        self._held = bytearray()  # of the element that is not complete
        self._has_begun = self._is_array = False
        self._depth = 0
        self._is_text = self._is_escaped = False

    def feed(self, data: bytes) -> list[Event]:
        """The elements that these bytes complete. Raises TooLong."""
        if not self._has_begun:
            data = data.lstrip()
            self._has_begun = bool(data)
            self._is_array = data.startswith(b"[")
        found = self._elements(data) if self._is_array else []
        if not self._is_array:
            self._held += data
        if len(self._held) > self._limit:
            raise TooLong(f"has an element of more than {self._limit} bytes")
        return found

    def _elements(self, data: bytes) -> list[Event]:
        found, start = [], 0
        escaped = 0 if self._is_escaped else -1
        for match in _MARKS.finditer(data):
            at = match.start()
            mark = data[at]
            if at == escaped:
                continue
            if mark == _BACKSLASH:
                escaped = at + 1
            elif mark == _QUOTE:
                self._is_text = not self._is_text
            elif self._is_text:
                continue
            elif mark in _OPENING:
                self._depth += 1
                start = at + 1 if self._depth == 1 else start
            else:
                is_end = self._depth == 1
                self._depth -= mark in _CLOSING
                if is_end:
                    found.append(self._completed(data[start:at]))
                    start = at + 1
        self._is_escaped = escaped == len(data)
        self._held += data[start:]
        return found

    def _completed(self, last: bytes = b"") -> Event:
        text = bytes(self._held) + last
        self._held.clear()
        return Event(text.strip())

    def end(self) -> list[Event]:
        """The value that is no array, or what has come of an element."""
        return [self._completed()]
