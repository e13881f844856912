"""Answers to Range requests and HEAD, made from the recorded answer with the whole file (RFC 9110, section 14)."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from .entry import Headers, Response, header

_RANGE = re.compile(r"\s*(?:([0-9]{1,18})\s*-\s*([0-9]{0,18})|-\s*([0-9]{1,18}))\s*")
_CONTENT_RANGE = re.compile(r"(?i)bytes\s+0-([0-9]{1,18})/([0-9]{1,18})")
_REPLACED: Final = frozenset(("content-length", "content-range", "transfer-encoding"))


def is_whole(response: Response) -> bool:
    """Whether an answer has a whole file, possibly as a range that covers all of it."""
    if response.status != 206:
        return response.status == 200
    found = _CONTENT_RANGE.fullmatch(header(response.headers, "content-range").strip())
    return found is not None and int(found[1]) + 1 == int(found[2]) == len(response.body)


def part(response: Response, request_headers: Headers) -> Response:
    """The answer to a GET with these headers, made from that with the whole file; several ranges get all of it."""
    size = len(response.body)
    unit, equals, asked = header(request_headers, "range").partition("=")
    found = _RANGE.fullmatch(asked) if equals and unit.strip().lower() == "bytes" else None
    if not found or not _is_current(response, header(request_headers, "if-range").strip()):
        return _made(response, 200, "OK", response.body, "") if response.status == 206 else response
    first, last, suffix = found.groups()
    if suffix is not None:
        start, end = max(size - int(suffix), 0), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return response
    if start >= size or end <= start:
        return _made(response, 416, "Range Not Satisfiable", b"", f"bytes */{size}")
    return _made(response, 206, "Partial Content", response.body[start:end], f"bytes {start}-{end - 1}/{size}")


def head(response: Response) -> Response:
    """The answer to HEAD, made from the one to GET: its header fields, with the Content-Length of its body."""
    whole = _made(response, response.status, response.reason, response.body, "") if response.status == 200 else response
    return replace(whole, body=b"", chunks=())


def _is_current(response: Response, condition: str) -> bool:
    """Whether an If-Range matches the recorded file; a weak ETag never does."""
    if not condition:
        return True
    names = (header(response.headers, "etag"), header(response.headers, "last-modified"))
    return not condition.startswith("W/") and condition in names


def _made(response: Response, status: int, reason: str, body: bytes, content_range: str) -> Response:
    kept = [field for field in response.headers if field[0].lower() not in _REPLACED]
    kept.append(("Content-Length", str(len(body))))
    if content_range:
        kept.append(("Content-Range", content_range))
    return Response(status, reason, tuple(kept), body)
