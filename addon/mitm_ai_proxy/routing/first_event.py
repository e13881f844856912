"""The first event of a stream: whether it is an error, so that the stream is no success, whatever its status."""

from __future__ import annotations

import json

from ..chat import vendor_errors
from ..wire import content_encoding, sse
from .tries import Failure


class FirstEvent:
    """Takes the bytes of a stream until its first event with data is complete. `encoding`: its Content-Encoding."""

    def __init__(self, encoding: str = "") -> None:
        self._decoder = content_encoding.Decoder(encoding) if encoding else None
        self._reader = sse.Reader()
        self.failure: Failure | None = None
        self.is_known = False

    def feed(self, piece: bytes, *, is_end: bool = False) -> None:
        """Take the next bytes; `is_known` says that no more are needed. What cannot be read is no failure."""
        try:
            plain = self._decoder.feed(piece) if self._decoder and piece else piece
            found = self._reader.feed(plain)
            if is_end:
                found += self._reader.end()
        except ValueError:
            self.is_known = True
            return
        for event in found:
            if event.data and not self.is_known:
                self.is_known = True
                self.failure = _failure(event)
        self.is_known = self.is_known or is_end


def _failure(event: sse.Event) -> Failure | None:
    try:
        value = json.loads(event.data)
    except (ValueError, RecursionError):
        value = None
    fault = vendor_errors.of_value(value)
    if fault is None and event.type != b"error":
        return None
    status = fault.status if fault else 502
    return Failure(f"an error ({status}) as the first event", status)
