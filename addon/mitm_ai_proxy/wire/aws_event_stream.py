"""Reads Amazon's event streams (application/vnd.amazon.eventstream) from bytes cut anywhere, and writes them.

Source: Smithy's specification of the event stream encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple
from zlib import crc32

MAX_MESSAGE: Final = 16 * 1024 * 1024
"""Bytes of a message. Amazon's own readers have this limit for its payload."""
MAX_HEADERS: Final = 128 * 1024
"""Bytes of all headers of a message, as in Amazon's own readers."""

_PRELUDE: Final = struct.Struct(">III")
_CHECKSUM: Final = struct.Struct(">I")
_LENGTH: Final = struct.Struct(">H")
_OVERHEAD: Final = _PRELUDE.size + _CHECKSUM.size
_STRING: Final = 7
# By type: true, false, byte, short, integer, long, time stamp, UUID.
_SIZES: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_SIZED: Final = (6, _STRING)
"""Types whose value has its length in front: bytes, and a string."""


class Message(NamedTuple):
    """A message: its headers that are strings, as `:event-type`, and its payload."""

    headers: Mapping[str, str]
    payload: bytes


class Reader:
    """Takes bytes cut anywhere, and gives the messages that they complete.

    `problem` says what is wrong with the stream, "" for nothing. It continues a sentence: "has a message whose ...".
    What stands behind a mistake is not read.
    """

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        self._limit = limit
        self._held = bytearray()
        self.problem = ""

    def feed(self, data: bytes) -> list[Message]:
        """The messages that these bytes complete, as far as the stream is right."""
        found: list[Message] = []
        if self.problem:
            return found
        self._held += data
        start = 0
        try:
            while size := self._size(start):
                found.append(_message(bytes(self._held[start : start + size])))
                start += size
        except _Wrong as wrong:
            self.problem = str(wrong)
            start = len(self._held)
        del self._held[:start]
        return found

    def end(self) -> None:
        """To be called when there are no more bytes: a message that is not complete is a problem."""
        if self._held and not self.problem:
            self.problem = "ends within a message"

    def _size(self, start: int) -> int:
        """The size of the message that begins there; 0 as long as it is not complete."""
        if len(self._held) - start < _PRELUDE.size:
            return 0
        size, headers, checksum = _PRELUDE.unpack_from(self._held, start)
        # Before anything that it says is believed.
        if crc32(self._held[start : start + _PRELUDE.size - _CHECKSUM.size]) != checksum:
            raise _Wrong("has a message whose prelude does not match its checksum")
        if size > self._limit:
            raise _Wrong(f"has a message of more than {self._limit} bytes")
        if headers > min(MAX_HEADERS, size - _OVERHEAD):
            raise _Wrong("has a message whose lengths do not fit")
        return size if len(self._held) - start >= size else 0


class _Wrong(Exception):
    """What is wrong with a stream."""


def _message(frame: bytes) -> Message:
    """The message in a frame whose prelude is right."""
    end = len(frame) - _CHECKSUM.size
    if crc32(frame[:end]) != _CHECKSUM.unpack_from(frame, end)[0]:
        raise _Wrong("has a message that does not match its checksum")
    payload = _PRELUDE.size + _PRELUDE.unpack_from(frame)[1]
    try:
        return Message(_headers(frame[_PRELUDE.size : payload]), frame[payload:end])
    except (IndexError, KeyError, struct.error, UnicodeDecodeError):
        raise _Wrong("has a message whose headers cannot be read") from None


def _headers(data: bytes) -> dict[str, str]:
    """The headers that are strings. Raises IndexError, KeyError, struct.error or UnicodeDecodeError."""
    found = {}
    place = 0
    while place < len(data):
        name_end = place + 1 + data[place]
        name, kind, place = data[place + 1 : name_end].decode(), data[name_end], name_end + 1
        if kind in _SIZED:
            (size,) = _LENGTH.unpack_from(data, place)
            place += _LENGTH.size
        else:
            size = _SIZES[kind]
        if place + size > len(data):
            raise IndexError
        if kind == _STRING:
            found[name] = data[place : place + size].decode()
        place += size
    return found


def written(message: Message) -> bytes:
    """A message as bytes."""
    pairs = ((name.encode(), value.encode()) for name, value in message.headers.items())
    headers = b"".join(
        bytes((len(name),)) + name + bytes((_STRING,)) + _LENGTH.pack(len(value)) + value for name, value in pairs
    )
    sizes = struct.pack(">II", _OVERHEAD + len(headers) + len(message.payload), len(headers))
    frame = sizes + _CHECKSUM.pack(crc32(sizes)) + headers + message.payload
    return frame + _CHECKSUM.pack(crc32(frame))
