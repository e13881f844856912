"""Reads and writes server-sent events (the text/event-stream format of the HTML standard), from bytes cut anywhere."""

from __future__ import annotations

import codecs
from typing import Final, NamedTuple

MAX_EVENT: Final = 16 * 1024 * 1024
"""Bytes of one event that is not complete yet."""


class TooLong(ValueError):
    """An event that does not end. The message continues a sentence: "has an event of more than ..."."""


class Event(NamedTuple):
    """An event: its data lines, joined by line feeds; its type ("" for none); its last comment.

    A comment that stands alone is an event without data. DashScope writes a status as a comment.
    """

    data: bytes
    type: bytes = b""
    comment: bytes = b""


class Reader:
    """Takes bytes cut anywhere, and gives the events that they complete.

    Lines end with CR, LF or CRLF. A byte order mark is skipped, and fields that nobody needs (id, retry) are.
    """

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self._limit = limit
        self._held = 0  # bytes of the event that is not complete
        self._line: list[bytes] = []  # pieces of the line that is not complete
        self._data: list[bytes] = []
        self._type = b""
        self._comment: bytes | None = None
        self._is_first_line = True
        self._is_after_cr = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete. Raises TooLong."""
        if self._is_after_cr and data:
            data = data.removeprefix(b"\n")
            self._is_after_cr = False
        if b"\r" in data:
            self._is_after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        found: list[Event] = []
        *lines, rest = data.split(b"\n")
        if lines and self._line:
            lines[0] = b"".join([*self._line, lines[0]])
            self._line.clear()
        for line in lines:
            self._take(line, found)
        if rest:
            self._line.append(rest)
            self._held += len(rest)
        if self._held > self._limit:
            raise TooLong(f"has an event of more than {self._limit} bytes")
        return found

    def end(self) -> list[Event]:
        """The event that the last bytes began, if no empty line follows it."""
        found: list[Event] = []
        line = b"".join(self._line)
        self._line.clear()
        if line:
            self._take(line, found)
        self._take(b"", found)
        return found

    def _take(self, line: bytes, found: list[Event]) -> None:
        if self._is_first_line:
            self._is_first_line = False
            line = line.removeprefix(codecs.BOM_UTF8)
        if line.startswith(b"data:"):
            self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
            self._held += len(line)
        elif not line:
            if self._data or self._comment is not None:
                found.append(Event(b"\n".join(self._data), self._type, self._comment or b""))
                self._data.clear()
            self._type, self._comment, self._held = b"", None, 0
        elif line.startswith(b":"):
            self._comment = line[1:].removeprefix(b" ")
        else:
            name, _, value = line.partition(b":")
            if name == b"event":
                self._type = value.removeprefix(b" ")
            elif name == b"data":
                self._data.append(b"")


def event(data: bytes, type: bytes = b"") -> bytes:
    """An event with this data, which may have several lines, and this type, which has one."""
    head = b"event: " + type + b"\n" if type else b""
    if b"\n" not in data and b"\r" not in data:
        return head + b"data: " + data + b"\n\n"
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return head + b"".join(b"data: " + line + b"\n" for line in lines) + b"\n"


def comment(text: bytes) -> bytes:
    """A comment of one line, which clients skip; it keeps a connection open."""
    return b": " + text + b"\n\n"
