"""Answers to clients, with heads written to the byte: aiohttp would add fields, and drop bytes that are no UTF-8."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion10, HttpVersion11

from ..wire.header_fields import Fields

_EMPTY: Final = frozenset((204, 304))
_LINES: Final = {
    (version, status.value): f"HTTP/1.{version} {status.value} {status.phrase}\r\n".encode()
    for version in (0, 1)
    for status in HTTPStatus
}


class Out(web.StreamResponse):
    """An answer with these header fields, which are end-to-end ones. `reason` None: the usual one.

    aiohttp's class builds a head of texts; this one has no texts, and takes the place of the method that builds it.
    """

    def __init__(self, status: int, fields: Fields, reason: bytes | None = None, *, is_last: bool = False) -> None:
        super().__init__(status=status)
        self.fields = fields
        self.is_last = is_last
        self._reason_sent = reason

    async def _start(self, request: web.BaseRequest) -> AbstractStreamWriter:
        self._req = request
        writer = self._payload_writer = request._payload_writer
        is_new = request.version >= HttpVersion11
        keep_alive = request.keep_alive and not self.is_last
        is_empty = request.method == "HEAD" or self.status in _EMPTY
        length = None
        head = [self._line(is_new)]
        for name, value in self.fields:
            lower = name.lower()
            if lower == b"content-length":
                if self.status == HTTPStatus.NO_CONTENT or length is not None:
                    continue
                length = int(value)
            head.append(b"%b: %b\r\n" % (name, value))
        if is_empty:
            pass
        elif length is not None:
            writer.length = length
        elif is_new:
            writer.enable_chunking()
            head.append(b"Transfer-Encoding: chunked\r\n")
        else:
            keep_alive = False
        if not keep_alive and is_new:
            head.append(b"Connection: close\r\n")
        elif keep_alive and request.version == HttpVersion10:
            head.append(b"Connection: keep-alive\r\n")
        head.append(b"\r\n")
        self._keep_alive = keep_alive
        # Where StreamWriter.write_headers() puts what it has made of texts: it goes out with the first piece.
        writer._headers_buf = b"".join(head)  # type: ignore[attr-defined]
        writer._headers_written = False  # type: ignore[attr-defined]
        return writer

    def send_head(self) -> None:
        """Send the head now, since nothing of the body is there yet."""
        if self._payload_writer:
            self._payload_writer.send_headers()

    def _line(self, is_new: bool) -> bytes:
        if self._reason_sent is None and (line := _LINES.get((int(is_new), self.status))):
            return line
        return b"HTTP/1.%d %d %b\r\n" % (is_new, self.status, self._reason_sent or b"")
