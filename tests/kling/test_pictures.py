"""Pictures that Kling takes, messages about others, base64 and data URLs."""

from __future__ import annotations

import base64
import struct
import zlib

import pytest

from mitm_ai_proxy.kling import pictures
from mitm_ai_proxy.kling.pictures import MAX_BYTES
from tests.tables import table


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int = 300, height: int = 300, padding: int = 0) -> bytes:
    """A grey picture; `padding` is the length of a private chunk."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width + 1) * height))
    chunks = chunk(b"IHDR", head) + chunk(b"prVt", bytes(padding)) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def segment(marker: int, data: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data


def frame(width: int = 300, height: int = 300, marker: int = 0xC0) -> bytes:
    return segment(marker, struct.pack(">BHHB3s", 8, height, width, 1, b"\x01\x11\x00"))


SCAN = segment(0xDA, b"\x01\x01\x00\x00\x3f\x00") + b"\x12\xff\x00\xd9\x34"
END = b"\xff\xd9"


def jpeg(*middle: bytes) -> bytes:
    return b"\xff\xd8" + b"".join(middle)


APPLICATION = segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0")
TABLE = segment(0xC4, bytes(17))
THUMBNAIL = segment(0xE1, b"Exif\0\0" + jpeg(frame(160, 120), SCAN, END))
NO_SIZE = "is a broken picture: its size cannot be read"
TOO_LONG = "is longer than 10 MB, which is all that Kling takes"
NO_BASE64 = "is a data URL without ;base64; Kling takes a picture as base64 only"
CUT_OFF = "is a broken picture: it ends too early"


def label(value: object) -> str | None:
    """A short test id for long bytes."""
    return f"{len(value)} bytes" if isinstance(value, bytes) else None


def message_of(data: bytes) -> str:
    with pytest.raises(ValueError, match=r"^is ") as caught:
        pictures.check(data)
    return str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        png(),
        png(750, 300),
        png(300, 750),
        png(4000, 3000),
        png() + bytes(1000),
        png() + b"more",
        png(padding=MAX_BYTES - len(png())),
        jpeg(frame(), END),
        jpeg(APPLICATION, TABLE, frame(750, 300), SCAN, END),
        jpeg(frame(300, 750, marker=0xC2), SCAN, TABLE, SCAN, END),
        jpeg(THUMBNAIL, frame(), SCAN, END),
        jpeg(APPLICATION, frame(), SCAN, END, bytes(1000)),
        jpeg(APPLICATION, frame(), SCAN, END, b"a video of three seconds", jpeg(frame(1, 1), END)),
        jpeg(b"\xff\xff\xff", APPLICATION, b"\xff\xff", frame(), END),
        jpeg(APPLICATION, b"stray\xff\x00", b"\xff\x01\xff\xd0", frame(), END),
        jpeg(*(segment(0xE2, bytes(65533)) for _ in range(150)), frame(), END),
    ],
    ids=label,
)
def test_a_jpeg_or_png_within_the_limits_is_taken(data: bytes) -> None:
    pictures.check(data)


@table("marker", [*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)])
def test_the_size_of_a_jpeg_is_read_from_any_kind_of_frame(marker: int) -> None:
    assert message_of(jpeg(frame(310, 290, marker), END)) == "is a picture of 310x290 px; Kling takes sides from 300 px"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (png(299, 300), "is a picture of 299x300 px; Kling takes sides from 300 px"),
        (png(300, 299), "is a picture of 300x299 px; Kling takes sides from 300 px"),
        (png(0, 0), "is a picture of 0x0 px; Kling takes sides from 300 px"),
        (jpeg(THUMBNAIL, frame(299, 400), END), "is a picture of 299x400 px; Kling takes sides from 300 px"),
        (png(751, 300), "is a picture of 751x300 px; Kling takes ratios from 1:2.5 to 2.5:1"),
        (png(300, 751), "is a picture of 300x751 px; Kling takes ratios from 1:2.5 to 2.5:1"),
        (jpeg(frame(1001, 400), END), "is a picture of 1001x400 px; Kling takes ratios from 1:2.5 to 2.5:1"),
    ],
    ids=label,
)
def test_a_picture_that_is_too_small_or_too_long_shaped_is_refused(data: bytes, sentence: str) -> None:
    assert message_of(data) == sentence


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"RIFF\x24\x0a\0\0WEBPVP8 ", "a WebP picture"),
        (b"GIF89a\x2c\x01\x2c\x01", "a GIF picture"),
        (b"GIF87a", "a GIF picture"),
        (b"BM\x36\x10\x0e\0\0\0\0\0\x36\0\0\0", "a BMP picture"),
        (b"II*\0\x08\0\0\0", "a TIFF picture"),
        (b"MM\0*\0\0\0\x08", "a TIFF picture"),
        (b"\0\0\0\x20ftypavif\0\0\0\0", "an AVIF picture"),
        (b"\0\0\0\x20ftypavis\0\0\0\0", "an AVIF picture"),
        (b"\0\0\0\x0aftypheic\0\0\0\0", "a HEIC picture"),
        (b"\0\0\0\x20ftypmif1\0\0\0\0", "a HEIC picture"),
        (b"\0\0\0\x20ftypisom\0\0\x02\0", "an MP4 video"),
        (b"%PDF-1.7\n", "a PDF document"),
    ],
    ids=label,
)
def test_another_format_is_refused_by_its_name(data: bytes, kind: str) -> None:
    assert message_of(data) == f"is {kind}; Kling takes JPEG and PNG"


@pytest.mark.parametrize(
    "data",
    [
        b"\0",
        b"BMW is a car",
        b"RIFF\x24\x0a\0\0WAVE",
        b"<svg/>",
        b"\x89PNG\n\x1a\n",
        b"\xff\xd8",
        base64.b64encode(png()),
    ],
    ids=label,
)
def test_anything_else_is_no_picture(data: bytes) -> None:
    assert message_of(data) == "is no picture that Kling takes (JPEG or PNG)"


def test_no_bytes_are_empty() -> None:
    assert message_of(b"") == "is empty"


@pytest.mark.parametrize(
    "data", [png(padding=MAX_BYTES - len(png()) + 1), jpeg(frame(), bytes(MAX_BYTES), END)], ids=label
)
def test_a_picture_beyond_ten_megabytes_is_refused(data: bytes) -> None:
    assert message_of(data) == TOO_LONG


@pytest.mark.parametrize(
    "data",
    [
        png()[:8],
        png()[:16],
        png()[:23],
        png().replace(b"IHDR", b"CgBI"),
        jpeg(b"\xff"),
        jpeg(APPLICATION),
        jpeg(APPLICATION[:-3]),
        jpeg(APPLICATION, frame()[:3]),
        jpeg(APPLICATION, frame()[:8]),
        jpeg(END, frame(), END),
        jpeg(SCAN, frame(), END),
        jpeg(THUMBNAIL, END),
    ],
    ids=label,
)
def test_a_picture_that_does_not_tell_its_size_is_broken(data: bytes) -> None:
    assert message_of(data) == NO_SIZE


@pytest.mark.parametrize(
    "data",
    [
        png()[:24],
        png()[:-1],
        png()[:-12] + bytes(12),
        jpeg(frame()),
        jpeg(frame())[:11],
        jpeg(APPLICATION, frame(), SCAN),
        jpeg(APPLICATION, frame(), SCAN, b"\xff"),
        jpeg(THUMBNAIL, frame(), SCAN, bytes(100)),
    ],
    ids=label,
)
def test_a_picture_that_is_cut_off_is_broken(data: bytes) -> None:
    assert message_of(data) == CUT_OFF


@table(
    "data",
    [
        jpeg(b"\xff" * 10_000_000),
        jpeg(b"\xff\xe0\x00\x02" * 2_500_000, frame(), END),
        jpeg(b"\xff\xe0\x00\x00" * 2_500_000, frame(), END),
        jpeg(b"\xff\xd0" * 5_000_000, frame(), END),
        jpeg(b"\xff\xe0", b"\xff\x00" * 5_000_000),
    ],
    ids=["fill bytes", "short segments", "segments of no length", "restarts", "escapes"],
)
def test_a_hostile_jpeg_is_given_up(data: bytes) -> None:
    assert message_of(data) == NO_SIZE


def test_base64_is_bare() -> None:
    assert base64.b64decode(pictures.base64_of(png())) == png()


BARE = base64.b64encode(png()).decode()


def test_base64_of_the_longest_picture_is_taken() -> None:
    longest = pictures.base64_of(png(padding=MAX_BYTES - len(png())))
    assert pictures.plain("data:image/png;base64," + longest) == longest


@table(
    "head",
    [
        "data:image/png;base64",
        "DATA:image/jpeg;BASE64",
        "data:image/png;charset=utf-8;base64",
        "data:image/png;name=a%20b.png;base64",
        "data:image/png; base64",
        "data:application/octet-stream;base64",
        "data:;base64",
    ],
)
def test_a_data_url_gives_its_base64_whatever_it_says_it_is(head: str) -> None:
    assert pictures.is_data_url(f"{head},{BARE}")
    assert pictures.plain(f"{head},{BARE}") == BARE


WRAPPED = [
    base64.encodebytes(png()).decode(),
    base64.encodebytes(png()).decode().replace("\n", "\r\n"),
    f"\n{BARE}",
    f"{BARE}\n",
    f" \t{BARE[:9]} {BARE[9:]}\v\f",
]


@table("text", [BARE, *WRAPPED, *(f"data:image/png;base64,{text}" for text in WRAPPED), f" \ndata:;base64,{BARE}\n"])
def test_white_space_in_base64_does_not_count(text: str) -> None:
    assert pictures.plain(text) == BARE
    pictures.check_text(pictures.plain(text))


@table(
    "text",
    ["", "a b", "a.png", "é", "\ud800", "iVBORw0 -", "https://a.test/b c", "https://a.test/YWJj", "A" * 9, "file:YWJj"],
)
def test_text_that_is_no_base64_stays_as_it_is(text: str) -> None:
    assert pictures.plain(text) == text


@table(
    ("text", "sentence"),
    [
        (text, "is not a file, a URL or a data URL")
        for text in ("a.png", "é", "https://", "iVBO Rw0K", "A" * 9, f"data:;base64,{BARE}")
    ]
    + [("", "is empty"), ("AAAA", "is no picture that Kling takes (JPEG or PNG)")],
)
def test_text_that_is_no_picture_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=r"^is ") as caught:
        pictures.check_text(text)
    assert str(caught.value) == sentence


def test_a_long_picture_with_line_breaks_is_read() -> None:
    text = "data:image/png;base64," + "iVBORw0KGgo/\r\n" * 1_000_000
    assert pictures.plain(text) == "iVBORw0KGgo/" * 1_000_000


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("data:image/png;base64", "is a data URL without data"),
        ("data:image/svg+xml,%3Csvg/%3E", NO_BASE64),
        ("data:base64,iVBO", NO_BASE64),
        ("data:image/png;base64;charset=utf-8,iVBO", NO_BASE64),
        *(
            (f"data:image/png;base64,{data}", "is no valid base64")
            for data in (
                "data:image/png;base64,iVBO",
                "iVBORw0KGg",
                "iVBORw0KGgo",
                "iVBORw0KGgo%3D",
                "iVBO=Rw0",
                "iVBO,Rw0K",
                "iVBORw0_-w==",
                "é" * 4,
                "=",
                "====",
            )
        ),
        ("data:image/png;base64,", "is empty"),
        ("data:image/png;base64, \n", "is empty"),
        ("data:image/png;base64," + "A" * (MAX_BYTES // 3 * 4 + 8), TOO_LONG),
    ],
    ids=lambda value: value[:45],
)
def test_a_data_url_without_good_base64_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=r"^is ") as caught:
        pictures.plain(text)
    assert str(caught.value) == sentence


@table("text", ["", "data", "image/png;base64,iVBO", " data:image/png;base64,iVBO", BARE])
def test_other_text_is_no_data_url(text: str) -> None:
    assert not pictures.is_data_url(text)


@table(
    "text",
    [
        "https://example.com/a.png",
        "HTTP://example.com",
        "https://user@example.com:8443/a%20b?c=d#e",
        "https://[::1]/a.png",
        "https://例え.jp/é.png",
    ],
)
def test_an_http_url_with_a_host_is_a_web_url(text: str) -> None:
    assert pictures.is_web_url(text)


@table(
    "text",
    [
        "",
        "http",
        "https://",
        "https:///a.png",
        "https://:443/a",
        "https://?a",
        "https:example.com",
        "//example.com/a",
        "ftp://example.com/a",
        "file:///etc/passwd",
        "data:image/png;base64,iVBO",
        "example.com/a.png",
        "https://[::1",
        " https://example.com/a",
        "https://example.com/a b",
        "https://example.com/a\n",
        "https://exa\tmple.com/",
        "https://example.com/\x00",
        "https://example.com/\x7f",
        "https://example.com/\x85",
        "https://example.com/\u2003",
        "https://example.com/\ud800",
    ],
)
def test_other_text_is_no_web_url(text: str) -> None:
    assert not pictures.is_web_url(text)
