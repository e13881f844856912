"""The first event of an answer: whether it is an error, so that the answer is no success, whatever its status."""

from __future__ import annotations

from typing import Final

from ..chat.stream_errors import Form, form_of
from ..wire import content_encoding, header_fields, sse
from ..wire.header_fields import Fields
from .tries import Failure

MOST_HELD: Final = 64 * 1024
"""Bytes at the beginning of an answer in which its first event has to be complete."""
_PIECE: Final = 4096
"""Bytes of them that are looked at together."""


class FirstEvent:
    """Takes the bytes of an answer until its first event with data is complete. `encoding`: its Content-Encoding.

    `is_stream`: it is a stream, whatever it begins with.
    """

    def __init__(self, form: Form, encoding: str = "") -> None:
        self._decoder = content_encoding.Decoder(encoding) if encoding else None
        self._reader = form.framing()
        self._error = form.error
        self.is_stream = form.is_stream
        self.failure: Failure | None = None
        self.is_known = False

    def feed(self, piece: bytes, *, is_end: bool = False) -> None:
        """Take the next bytes; `is_known` says that no more are needed. What cannot be read is no failure."""
        try:
            found = self._reader.feed(self._decoder.feed(piece) if self._decoder and piece else piece)
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
        where = "as the first event" if self.is_stream else "in an answer with 200"
        return Failure(f"an error ({fault.status}) {where}", fault.status, is_inside=True) if fault else None


def begun(method: str, fields: Fields) -> FirstEvent | None:
    """What looks at the beginning of the answer to a request of this method; None where it cannot be an error.

    What is fetched may be about the error of something else, such as a job that has failed.
    """
    form = form_of(header_fields.value(fields, b"content-type"))
    if form is None or method != "POST":
        return None
    try:
        return FirstEvent(form, header_fields.value(fields, b"content-encoding"))
    except ValueError:
        return None  # an encoding that cannot be read here


def failure_in(method: str, fields: Fields, body: bytes) -> Failure | None:
    """The failure that the beginning of an answer is, which has arrived; None for no failure."""
    first = begun(method, fields)
    for start in range(0, min(len(body), MOST_HELD), _PIECE):
        if first and not first.is_known:
            first.feed(body[start : start + _PIECE], is_end=start + _PIECE >= len(body))
    return first.failure if first else None
