"""The parts of a multipart/form-data body with their positions, for scrubbing and matching."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

MAX_PARTS: Final = 1000

_BOUNDARY = re.compile(r'(?i);\s*boundary=(?:"([^"]+)"|([^\s;,"]+))')
_NAME = re.compile(rb'(?i)[;\s]name="((?:[^"\\\r\n]|\\.)*+)"|[;\s]name=([^\s;"]+)')
_FILENAME = re.compile(rb'(?i)[;\s]filename="((?:[^"\\\r\n]|\\.)*+)"|[;\s]filename=([^\s;"]+)')


class Part(NamedTuple):
    """A part of a form: its head is body[head:start], its data body[start:end]. A field has no file name."""

    name: str
    filename: str | None
    head: int
    start: int
    end: int


def is_multipart(content_type: str) -> bool:
    """Whether a Content-Type is multipart/form-data."""
    return content_type.strip().lower().startswith("multipart/form-data")


def is_urlencoded(content_type: str) -> bool:
    """Whether a Content-Type is application/x-www-form-urlencoded."""
    return content_type.strip().lower().startswith("application/x-www-form-urlencoded")


def parts(body: bytes, content_type: str) -> list[Part] | None:
    """The parts in order; None if the body is no multipart form, or has too many parts."""
    boundary = _BOUNDARY.search(content_type)
    if not (is_multipart(content_type) and boundary):
        return None
    delimiter = b"--" + (boundary[1] or boundary[2]).encode("utf-8", "surrogateescape")
    found: list[Part] = []
    position = body.find(delimiter)
    while position >= 0:
        head = position + len(delimiter)
        if body.startswith(b"--", head):
            return found
        blank = body.find(b"\r\n\r\n", head)
        position = body.find(b"\r\n" + delimiter, max(head - 2, blank + 2))
        if blank < 0 or position < 0 or len(found) == MAX_PARTS:
            return None
        lines = body[head:blank]
        found.append(
            Part(_text(_NAME, lines) or "", _text(_FILENAME, lines), head, blank + 4, max(position, blank + 4))
        )
        position += 2
    return None


def _text(pattern: re.Pattern[bytes], lines: bytes) -> str | None:
    found = pattern.search(lines)
    value = None if found is None else found[1] if found[1] is not None else found[2]
    return None if value is None else value.decode("utf-8", "replace")
