"""Decodes bodies with a Content-Encoding (gzip, deflate), up to a limit."""

from __future__ import annotations

import zlib
from typing import Final

# wbits of zlib: 15, and 32 to detect the header, gzip's or zlib's.
_DECODERS: Final = {"gzip": 47, "x-gzip": 47, "deflate": 47}


def decode(body: bytes, content_encoding: str, limit: int) -> bytes:
    """The decoded body (RFC 9110, section 8.4). The limit, in bytes, applies to the decoded length.

    Raises ValueError, whose message continues "The body": "has a Content-Encoding other than gzip, deflate or none".
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
    """Decodes a body in pieces: feed() each, then end(). All raise ValueError as decode() does."""

    def __init__(self, content_encoding: str) -> None:
        encoding = content_encoding.strip().lower()
        if encoding not in ("", "identity", *_DECODERS):
            raise ValueError("has a Content-Encoding other than gzip, deflate or none")
        self._encoding = encoding
        self._decoder = zlib.decompressobj(_DECODERS[encoding]) if encoding in _DECODERS else None

    def feed(self, data: bytes) -> bytes:
        """The decoded bytes that are available after this piece."""
        if self._decoder is None:
            return data
        try:
            return self._decoder.decompress(data)
        except zlib.error:
            raise ValueError(f"is not what its Content-Encoding says ({self._encoding})") from None

    def end(self) -> bytes:
        """The last decoded bytes. Raises ValueError if the body is incomplete."""
        if self._decoder is None:
            return b""
        rest = self._decoder.flush()
        if not self._decoder.eof:
            raise ValueError(f"is not what its Content-Encoding says ({self._encoding})")
        return rest
