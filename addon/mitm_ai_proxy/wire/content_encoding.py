"""Decodes bodies with a Content-Encoding, up to a limit: gzip, deflate and zstd, and for reading only also br."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

# wbits of zlib: 15, and 32 to detect the header, gzip's or zlib's.
_DECODERS: Final = {"gzip": 47, "x-gzip": 47, "deflate": 47}
_PIECE: Final = 1024


def decode(body: bytes, content_encoding: str, limit: int) -> bytes:
    """The decoded body (RFC 9110, section 8.4). The limit, in bytes, applies to the decoded length.

    Raises ValueError, whose message continues "The body": "is not what its Content-Encoding says (gzip)".
    """
    encoding = content_encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding == "zstd":
        return _unzstd(body, limit)
    if encoding not in _DECODERS:
        raise ValueError("has a Content-Encoding other than gzip, deflate, zstd or none")
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


def unpacked(body: bytes, content_encoding: str, limit: int) -> bytes | None:
    """The body without its Content-Encoding, which may name several of gzip, deflate, br and zstd.

    None if it has none, or cannot be decoded, or is longer than the limit. To look into a body that somebody else
    encoded; br and zstd need packages that come with mitmproxy.
    """
    codings = [
        coding for word in content_encoding.lower().split(",") if (coding := word.strip()) not in ("", "identity")
    ]
    for coding in reversed(codings):
        opened = _UNPACKERS[coding]() if coding in _UNPACKERS else None
        if opened is None:
            return None
        try:
            body = _all_of(opened, body, limit)
        except Exception:  # each library has errors of its own
            return None
    return body if codings else None


def _unzstd(body: bytes, limit: int) -> bytes:
    """The frames of a body (RFC 8878), decoded. Raises ValueError."""
    wrong = ValueError("is not what its Content-Encoding says (zstd)")
    decoded = b""
    while True:
        unpacker: Any = _zstd()
        if unpacker is None:
            raise ValueError("has a Content-Encoding other than gzip, deflate, zstd or none")
        pieces = []
        position, length = 0, len(decoded)
        try:
            while position < len(body) and not unpacker.eof:
                pieces.append(unpacker.decompress(body[position : position + _PIECE]))
                position += _PIECE
                length += len(pieces[-1])
                if length > limit:
                    break
        except Exception:  # each library has errors of its own
            raise wrong from None
        if length > limit:
            raise ValueError(f"is longer than {limit} bytes when decoded")
        if not unpacker.eof:
            raise wrong
        decoded += b"".join(pieces)
        body = unpacker.unused_data + body[position:]
        if not body:
            return decoded


class _Unpacker(Protocol):
    def decompress(self, data: bytes, /) -> bytes:
        """The decoded bytes of a piece."""


class _Brotli:
    def __init__(self, decompressor: Any) -> None:
        self._decompressor = decompressor

    def decompress(self, data: bytes) -> bytes:
        return bytes(self._decompressor.process(data))


def _brotli() -> _Unpacker | None:
    library = _library("brotli")
    return _Brotli(library.Decompressor()) if library else None


def _zstd() -> _Unpacker | None:
    # In the standard library since Python 3.14; mitmproxy has used both packages.
    library = _library("compression.zstd", "backports.zstd", "zstandard")
    if library is None:
        return None
    decompressor: Any = library.ZstdDecompressor()
    unpacker: _Unpacker = decompressor.decompressobj() if hasattr(decompressor, "decompressobj") else decompressor
    return unpacker


def _deflate() -> _Unpacker:
    return _Deflate()


class _Deflate:
    """Deflate with zlib's header, or without one, as some servers send it."""

    def __init__(self) -> None:
        self._decompressor = zlib.decompressobj(_DECODERS["deflate"])
        self._is_begun = False

    def decompress(self, data: bytes) -> bytes:
        if not self._is_begun:
            self._is_begun = True
            try:
                return self._decompressor.decompress(data)
            except zlib.error:
                self._decompressor = zlib.decompressobj(-zlib.MAX_WBITS)
        return self._decompressor.decompress(data)


def _gzip() -> _Unpacker:
    return zlib.decompressobj(_DECODERS["gzip"])


_UNPACKERS: Final[Mapping[str, Callable[[], _Unpacker | None]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}


def _library(*names: str) -> Any:
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def _all_of(unpacker: _Unpacker, body: bytes, limit: int) -> bytes:
    """The decoded body. In pieces, so that a small body cannot fill the memory. Raises ValueError above the limit."""
    pieces: list[bytes] = []
    length = 0
    for start in range(0, len(body), _PIECE):
        pieces.append(unpacker.decompress(body[start : start + _PIECE]))
        length += len(pieces[-1])
        if length > limit:
            raise ValueError
    return b"".join(pieces)


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
