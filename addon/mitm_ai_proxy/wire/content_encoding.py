"""Bodies out of their Content-Encoding, with a bound on what comes out. Nothing is encoded here."""

from __future__ import annotations

import zlib
from typing import Final

# zlib's window bits: 32 more finds out by itself whether gzip's or zlib's header is there.
_DECODERS: Final = {"gzip": 47, "x-gzip": 47, "deflate": 47}


def decode(body: bytes, content_encoding: str, limit: int) -> bytes:
    """The body without its Content-Encoding (RFC 9110, section 8.4); at most `limit` bytes where there was one.

    Raises ValueError with the end of a sentence that begins with "The body".
    """
    encoding = content_encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in _DECODERS:
        raise ValueError("has a Content-Encoding other than gzip, deflate or none")
    decoder = zlib.decompressobj(_DECODERS[encoding])
    try:
        decoded = decoder.decompress(body, limit + 1)
    except zlib.error:
        raise ValueError(f"is not what its Content-Encoding says ({encoding})") from None
    if len(decoded) > limit:
        raise ValueError(f"is longer than {limit} bytes when decoded")
    if not decoder.eof or decoder.unused_data:
        raise ValueError(f"is not what its Content-Encoding says ({encoding})")
    return decoded


class Decoder:
    """The same for a body that comes in pieces: feed() each, then end(). Both raise ValueError as decode() does."""

    def __init__(self, content_encoding: str) -> None:
        encoding = content_encoding.strip().lower()
        if encoding not in ("", "identity", *_DECODERS):
            raise ValueError("has a Content-Encoding other than gzip, deflate or none")
        self._encoding = encoding
        self._decoder = zlib.decompressobj(_DECODERS[encoding]) if encoding in _DECODERS else None

    def feed(self, data: bytes) -> bytes:
        """What a piece holds, as far as it can be told yet."""
        if self._decoder is None:
            return data
        try:
            return self._decoder.decompress(data)
        except zlib.error:
            raise ValueError(f"is not what its Content-Encoding says ({self._encoding})") from None

    def end(self) -> bytes:
        """What is left at the end."""
        if self._decoder is None:
            return b""
        rest = self._decoder.flush()
        if not self._decoder.eof:
            raise ValueError(f"is not what its Content-Encoding says ({self._encoding})")
        return rest
