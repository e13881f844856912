"""Decoding of bodies with a Content-Encoding, and bodies that are refused."""

from __future__ import annotations

import gzip
import zlib

import pytest

from mitm_ai_proxy.wire import content_encoding
from tests.tables import table
from tests.zstd import zstd

BODY = b'{"model": "kling-v3"}' * 5
GZIP, DEFLATE = gzip.compress(BODY, mtime=0), zlib.compress(BODY)


@table(
    ("body", "encoding"),
    [
        (BODY, ""),
        (BODY, "identity"),
        (BODY, " Identity "),
        (GZIP, "gzip"),
        (GZIP, " GZip\t"),
        (GZIP, "x-gzip"),
        (DEFLATE, "deflate"),
        (zlib.compress(BODY, level=0), "deflate"),
    ],
)
def test_a_body_is_decoded(body: bytes, encoding: str) -> None:
    assert content_encoding.decode(body, encoding, len(BODY)) == BODY


@table("encoding", ["br", "compress", "gzip, gzip", "gzip, identity", "*", "gzip;q=1"])
def test_an_unknown_encoding_is_refused_whatever_the_body(encoding: str) -> None:
    with pytest.raises(ValueError, match=r"^has a Content-Encoding other than gzip, deflate, zstd or none$"):
        content_encoding.decode(GZIP, encoding, 1000)


def test_zstd_is_decoded_up_to_the_limit_and_to_its_end() -> None:
    body = b'{"a":1}' * 50_000
    packed = zstd(body)

    assert content_encoding.decode(packed, "ZSTD", len(body)) == body
    assert content_encoding.decode(packed + packed, "zstd", 2 * len(body)) == body + body
    for broken in (packed[:-3], packed + b"x", b"x", b""):
        with pytest.raises(ValueError, match=r"^is not what its Content-Encoding says \(zstd\)$"):
            content_encoding.decode(broken, "zstd", len(body))
    with pytest.raises(ValueError, match=f"^is longer than {len(body) - 1} bytes when decoded$"):
        content_encoding.decode(packed, "zstd", len(body) - 1)
    with pytest.raises(ValueError, match=r"^is longer than"):
        content_encoding.decode(zstd(bytes(100_000_000)), "zstd", 1000)


@table(("body", "encoding"), [(GZIP, "gzip"), (DEFLATE, "deflate")], ids=["gzip", "deflate"])
def test_one_byte_more_than_the_limit_is_too_long(body: bytes, encoding: str) -> None:
    with pytest.raises(ValueError, match=f"^is longer than {len(BODY) - 1} bytes when decoded$"):
        content_encoding.decode(body, encoding, len(BODY) - 1)


def test_a_bomb_is_not_inflated_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for: list[int] = []

    class Watched:
        def __init__(self, window_bits: int) -> None:
            self._decoder = zlib_decoder(window_bits)

        def decompress(self, data: bytes, max_length: int = 0) -> bytes:
            asked_for.append(max_length)
            return self._decoder.decompress(data, max_length)

    zlib_decoder = zlib.decompressobj
    monkeypatch.setattr(zlib, "decompressobj", Watched)
    with pytest.raises(ValueError, match=r"^is longer than 100 bytes when decoded$"):
        content_encoding.decode(zlib.compress(bytes(10_000_000)), "deflate", 100)
    assert asked_for == [101]


@table(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(BODY, id="not encoded"),
        pytest.param(GZIP[:-1], id="cut in the trailer"),
        pytest.param(GZIP[:20], id="cut in the middle"),
        pytest.param(GZIP[:-8] + bytes(4) + GZIP[-4:], id="wrong checksum"),
        pytest.param(GZIP + b"x", id="text behind it"),
        pytest.param(GZIP + GZIP, id="two members"),
    ],
)
def test_what_is_not_one_whole_encoded_body_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"^is not what its Content-Encoding says \(gzip\)$"):
        content_encoding.decode(body, "gzip", 1000)


@table(
    ("body", "encoding", "limit", "expected"),
    [
        (BODY, "", 1000, None),
        (BODY, "identity", 1000, None),
        (GZIP, "gzip", len(BODY), BODY),
        (GZIP, "gzip", len(BODY) - 1, None),
        (zlib.compress(bytes(10_000_000)), "deflate", 5_000_000, None),
        (gzip.compress(GZIP), "gzip , identity,gzip", 1000, BODY),
        (GZIP, "compress", 1000, None),
        (GZIP, "gzip;q=1", 1000, None),
        (BODY, "gzip", 1000, None),
        (BODY, "br", 1000, None),
        (BODY, "zstd", 1000, None),
        (GZIP[:-8], "gzip", 1000, BODY),
    ],
    ids=range(12),
)
def test_a_body_is_unpacked_as_far_as_it_can_be(body: bytes, encoding: str, limit: int, expected: bytes | None) -> None:
    assert content_encoding.unpacked(body, encoding, limit) == expected
