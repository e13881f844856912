"""Byte ranges of a stored file. Source: RFC 9110, section 14."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_RANGE: Final = re.compile(r"bytes=\s*(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))\s*", re.ASCII)


class Span(NamedTuple):
    """A part of a file: `length` bytes from `start` on."""

    start: int
    length: int


class NotSatisfiable(Exception):
    """A range that lies outside of the file."""


def asked(field: str, size: int) -> Span | None:
    """The part that a Range field asks for; None for the whole file, as for several parts or other units at once.

    Raises NotSatisfiable.
    """
    found = _RANGE.fullmatch(field)
    if not found:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        length = min(int(suffix), size)
        if not length:
            raise NotSatisfiable
        return Span(size - length, length)
    start, end = int(first), int(last) if last else size - 1
    if last and end < start:
        # Not valid, and so ignored.
        return None
    if start >= size:
        raise NotSatisfiable
    return Span(start, min(end, size - 1) - start + 1)


def content_range(span: Span, size: int) -> str:
    """The Content-Range of an answer with a part."""
    return f"bytes {span.start}-{span.start + span.length - 1}/{size}"
