"""A streamed answer on its way to the client: decoded, translated, masked, and ended with an error where that fails."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from .. import errors, pipeline
from ..auth.masking import Mask, MaskedStream
from ..chat.dialects import Dialect
from ..errors import Refusal
from ..exchange import Pieces, Transducer
from ..wire import content_encoding, header_fields
from ..wire.header_fields import Fields
from ..wire.media_types import EVENT_STREAM, is_media

logger = logging.getLogger(__name__)


class Chain(NamedTuple):
    """Two transducers, one behind the other."""

    first: Transducer
    second: Transducer

    def feed(self, data: bytes) -> bytes:
        """As in Transducer."""
        data = self.first.feed(data)
        return self.second.feed(data) if data else b""

    def end(self) -> bytes:
        """As in Transducer."""
        rest = self.first.end()
        return (self.second.feed(rest) if rest else b"") + self.second.end()


class _Unchanged:
    """The transducer that changes nothing."""

    def feed(self, data: bytes) -> bytes:
        return data

    def end(self) -> bytes:
        return b""


def masked(pieces: Pieces, mask: Mask | None) -> Pieces:
    """The same with the credential masked in what it gives."""
    return pieces._replace(transducer=Chain(pieces.transducer, MaskedStream(mask))) if mask else pieces


def is_searched(status: int, fields: Fields) -> bool:
    """Whether a streamed answer is searched for the credential: all but media that are no error's."""
    return status >= 400 or not is_media(header_fields.value(fields, b"content-type"))


def passed(mask: Mask | None) -> Pieces:
    """An answer that is passed on as it arrives, but for the credential."""
    return Pieces(MaskedStream(mask) if mask else _Unchanged(), is_translated=False)


def masked_whole(mask: Mask, fields: Fields, raw: bytes) -> tuple[Fields, bytes]:
    """The header fields and the body of an answer, with the credential masked; the same ones if it is not in them."""
    fields = mask.fields(fields)
    try:
        body = pipeline.decoded(raw, header_fields.value(fields, b"content-encoding"))
    except Refusal:
        body = raw
    masked = mask.mask(body)
    if masked is body:
        return fields, raw
    changes = {b"content-encoding": None, b"content-length": str(len(masked)).encode()}
    return header_fields.changed(fields, changes), masked


def answer_fields(fields: Fields, pieces: Pieces, *, is_http1: bool) -> Fields:
    """The header fields of a streamed answer; `is_http1`: it may be chunked."""
    changes: dict[bytes, bytes | None] = {}
    if pieces.is_translated:
        changes = {b"content-length": None, b"content-encoding": None}
        if is_http1:
            changes[b"transfer-encoding"] = b"chunked"
    changes |= pieces.fields
    return header_fields.changed(fields, changes) if changes else fields


class Translation:
    """Takes each piece of an answer, and b"" at its end; gives what goes to the client. It never raises.

    It returns [] instead of [b""], which would end a chunked answer. `fields` are the answer's as it came, `sent` those
    of answer_fields(). `failed` is called if the translation fails. `copy` collects the beginning of what it returns, a
    little more than `copied` bytes.
    """

    def __init__(
        self,
        pieces: Pieces,
        fields: Fields,
        sent: Fields,
        dialect: Dialect,
        failed: Callable[[], None],
        copied: int = 0,
    ) -> None:
        self._transducer = pieces.transducer
        encoding = header_fields.value(fields, b"content-encoding") if pieces.is_translated else ""
        self._decoder = content_encoding.Decoder(encoding) if encoding else None
        self._sent, self._dialect = sent, dialect
        self._failed = failed
        self.is_over = self.has_failed = False
        self.copy = bytearray() if copied else None
        self._copied = copied
        self._tells_end, self._makes_end = pieces.tells_end, pieces.makes_end

    def __call__(self, data: bytes) -> list[bytes]:
        if self.is_over:
            return []
        try:
            translated = self._translated(data)
        except Exception as error:
            self.is_over = self.has_failed = True
            name = type(error).__name__
            logger.warning("ai-proxy: %s while an answer was translated; it ends with an error.", name)
            self._failed()
            translated = self._dialect.failure(errors.stream_failed()) if self.tells_failure else b""
        if self.copy is not None and len(self.copy) <= self._copied:
            self.copy += translated[: self._copied + 1]
        return [translated] if translated else []

    def _translated(self, data: bytes) -> bytes:
        if not data:
            self.is_over = True
            rest = self._decoder.end() if self._decoder else b""
            return (self._transducer.feed(rest) if rest else b"") + self._transducer.end()
        plain = self._decoder.feed(data) if self._decoder else data
        return self._transducer.feed(plain) if plain else b""

    @property
    def tells_failure(self) -> bool:
        """Whether the client can be told of a failure in the stream itself."""
        return header_fields.value(self._sent, b"content-type").lower().startswith(EVENT_STREAM)

    def end_of_broken(self) -> bytes | None:
        """The last bytes for a client whose stream has broken off; None if they could not tell it that."""
        if self.is_over:
            return None
        rest = b"" if self._makes_end else b"".join(self(b""))
        if self._tells_end:
            return rest
        names = {name.lower() for name, _ in self._sent}
        is_plain = not names & {b"content-encoding", b"content-length"}
        # Behind an event that may be cut.
        return rest + b"\n\n" + self._dialect.failure(errors.broke_off()) if self.tells_failure and is_plain else None
