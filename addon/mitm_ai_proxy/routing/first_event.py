"""The first event of a stream: whether it is an error, so that the stream is no success, whatever its status."""

from __future__ import annotations

from ..chat.stream_errors import Form
from ..wire import content_encoding, sse
from .tries import Failure


class FirstEvent:
    """Takes the bytes of a stream until its first event with data is complete. `encoding`: its Content-Encoding."""

    def __init__(self, form: Form, encoding: str = "") -> None:
        self._decoder = content_encoding.Decoder(encoding) if encoding else None
        self._reader = form.framing()
        self._error = form.error
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
                self.failure = self._failure(event)
        self.is_known = self.is_known or is_end

    def _failure(self, event: sse.Event) -> Failure | None:
        fault = self._error(event)
        return Failure(f"an error ({fault.status}) as the first event", fault.status) if fault else None
