"""Checks pictures against Kling's limits, by their headers only, and reads and writes them as base64 and data URLs."""

from __future__ import annotations

import base64
import re
from urllib.parse import urlsplit

MAX_BYTES = 10 * 1024 * 1024
MIN_SIDE = 300
"""Pixels."""
MAX_RATIO = 2.5
"""Longer side by shorter side."""

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\0\0\0\0IEND\xae\x42\x60\x82"
_JPEG = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
# The code of a marker. It is searched for, as libjpeg does: fill bytes and stray bytes may come before it.
_MARKER = re.compile(rb"\xff([\x01-\xfe])")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE = frozenset((0x01, *range(0xD0, 0xD9)))  # no segment follows
_TOO_LATE = frozenset((0xD9, 0xDA))  # end of image, start of scan: no frame follows
_MAX_MARKERS = 1000  # before the frame; 10 MB of metadata in full segments have 160

_OTHERS = [
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "a WebP picture"),
    (re.compile(rb"GIF8"), "a GIF picture"),
    (re.compile(rb"BM.{4}\0{4}", re.DOTALL), "a BMP picture"),
    (re.compile(rb"II\*\0|MM\0\*"), "a TIFF picture"),
    (re.compile(rb".{4}ftypavi[fs]", re.DOTALL), "an AVIF picture"),
    (re.compile(rb".{4}ftyp(?:he[iv]|mif|msf)", re.DOTALL), "a HEIC picture"),
    (re.compile(rb".{4}ftyp", re.DOTALL), "an MP4 video"),
    (re.compile(rb"%PDF-"), "a PDF document"),
]
_WHITE_SPACE = b" \t\n\r\v\f"
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
# \s matches Unicode's white space, but not all of its control characters. Halves of surrogate pairs are no characters.
_NOT_IN_URLS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def check(data: bytes) -> None:
    """Raise ValueError for bytes that Kling does not take as a picture. Its message continues a sentence: "is empty".

    The format is found in the bytes; bytes after the end of the picture are allowed.
    Source: Kling API documentation, image2video: JPEG or PNG, up to 10 MB, sides from 300 px, ratio 1:2.5 to 2.5:1.
    """
    if data.startswith(_PNG):
        size = _png_size
    elif data.startswith(_JPEG):
        size = _jpeg_size
    else:
        raise ValueError(_wrong_format(data))
    if len(data) > MAX_BYTES:
        raise _too_long()
    width, height = size(data)
    if min(width, height) < MIN_SIDE:
        raise ValueError(f"is a picture of {width}x{height} px; Kling takes sides from {MIN_SIDE} px")
    if max(width, height) > MAX_RATIO * min(width, height):
        raise ValueError(f"is a picture of {width}x{height} px; Kling takes ratios from 1:{MAX_RATIO} to {MAX_RATIO}:1")


def _png_size(data: bytes) -> tuple[int, int]:
    if data[12:16] != b"IHDR" or len(data) < 24:
        raise _no_size()
    if _PNG_END not in data:
        raise _cut_off()
    return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])


def _jpeg_size(data: bytes) -> tuple[int, int]:
    position = 2
    for _ in range(_MAX_MARKERS):
        marker = _MARKER.search(data, position)
        if not marker or marker[1][0] in _TOO_LATE:
            break
        position = marker.end()
        if marker[1][0] in _ALONE:
            continue
        length = int.from_bytes(data[position : position + 2])
        if marker[1][0] in _FRAMES:
            # After the length: a byte of precision, height, width.
            frame = data[position + 3 : position + 7]
            if len(frame) < 4:
                break
            # Searched for after the frame: a thumbnail before it has an end too. In a scan, FF D9 is always escaped.
            if data.find(_JPEG_END, position + length) < 0:
                raise _cut_off()
            return int.from_bytes(frame[2:]), int.from_bytes(frame[:2])
        position += length
    raise _no_size()


def _wrong_format(data: bytes) -> str:
    """What is wrong with bytes that are no JPEG and no PNG; names their format where it is known."""
    if not data:
        return "is empty"
    for magic, name in _OTHERS:
        if magic.match(data):
            return f"is {name}; Kling takes JPEG and PNG"
    return "is no picture that Kling takes (JPEG or PNG)"


def _too_long() -> ValueError:
    return ValueError(f"is longer than {MAX_BYTES // 1024 // 1024} MB, which is all that Kling takes")


def _no_size() -> ValueError:
    return ValueError("is a broken picture: its size cannot be read")


def _cut_off() -> ValueError:
    return ValueError("is a broken picture: it ends too early")


def base64_of(data: bytes) -> str:
    """The bytes in base64, without a `data:` prefix, which Kling refuses (1201)."""
    return base64.b64encode(data).decode()


def is_data_url(text: str) -> bool:
    """Whether the text begins as a `data:` URL (RFC 2397)."""
    return text[:5].lower() == "data:"


def plain(text: str) -> str:
    """A picture as Kling takes it: base64 without a `data:` prefix and without white space; other text as it is.

    Raises ValueError, with a message as in check(), for a data URL that holds no base64.
    """
    start = text.lstrip()
    if not is_data_url(start):
        return text if is_web_url(text) else _base64(text) or text
    head, comma, data = start.partition(",")
    if not comma:
        raise ValueError("is a data URL without data")
    if head.rpartition(";")[2].strip().lower() != "base64":
        raise ValueError("is a data URL without ;base64; Kling takes a picture as base64 only")
    found = _base64(data)
    if not found:
        raise ValueError("is no valid base64" if found is None else "is empty")
    if len(found) > (MAX_BYTES + 2) // 3 * 4:
        raise _too_long()
    return found


def check_text(text: str) -> None:
    """Raise ValueError unless the text is a web URL, or base64 of a picture that Kling takes (see check())."""
    if not is_web_url(text):
        if _base64(text) != text:
            raise ValueError("is not a file, a URL or a data URL")
        check(base64.b64decode(text))


def is_web_url(text: str) -> bool:
    """Whether the text is an http or https URL with a host, and has no white space, control character or surrogate."""
    # urlsplit removes some control characters before it parses.
    if not text[:8].lower().startswith(("http://", "https://")) or _NOT_IN_URLS.search(text):
        return False
    try:
        return bool(urlsplit(text).hostname)
    except ValueError:
        return False


def _base64(text: str) -> str | None:
    """The text without white space if it is base64, else None."""
    try:
        data = text.encode("ascii").translate(None, _WHITE_SPACE)
    except UnicodeEncodeError:
        return None
    digits = data.rstrip(b"=")
    if len(data) % 4 or len(data) - len(digits) > 2 or digits.translate(None, _BASE64):
        return None
    return data.decode()
