"""What a client sends: the head that may be served at all, and a body that is held or passed on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Final

from aiohttp import web
from aiohttp.http import HttpVersion11
from aiohttp.web import RequestPayloadError

from .. import errors
from ..edges.held import HELD
from ..errors import Refusal
from ..exchange import Head
from ..pipeline import BODY_LIMIT
from ..wire import head as heads
from . import fields

SMALL_BODY: Final = 1024 * 1024
"""Bytes up to which a body is held for a further try, and does not count among those that are held."""
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


def head(request: web.BaseRequest) -> Head:
    """The head of a request, which is still to be checked."""
    transport = request.transport
    is_tls = transport is not None and transport.get_extra_info("ssl_object") is not None
    return fields.head(request.method, request.raw_path, request.raw_headers, is_tls=is_tls)


def check(request: web.BaseRequest) -> None:
    """Raise Refusal for a request that is not to be sent on."""
    raw, target = request.raw_headers, request.raw_path
    heads.check(request.method.encode(), target.encode("utf-8", "surrogateescape"), raw)
    if request.version > HttpVersion11:
        raise Refusal(505, "HTTP/1.1 is spoken here.", code="invalid_head")
    given = request.headers
    if "Transfer-Encoding" in given and given["Transfer-Encoding"].strip().lower() != "chunked":
        raise Refusal(501, "Of transfer codings, chunked is known here.", code="invalid_head")
    if "Upgrade" in given and "h2c" not in given["Upgrade"].lower():
        raise Refusal(501, "ai-proxy serve speaks HTTP/1.1 and no other protocol.", code="invalid_head")
    if "Expect" in given and given["Expect"].strip().lower() != "100-continue":
        raise Refusal(417, "Of expectations, 100-continue is known here.", code="invalid_head")


class Body:
    """The body of a request. `raw`: all of it, once it has been held. `problem`: why it cannot be read to its end."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self.raw: bytes | None = None
        self.problem: Refusal | None = None
        self._begun: list[bytes] = []
        self._is_asked = False
        if not request.can_read_body:
            self.raw = b""

    async def held(self, limit: int = BODY_LIMIT) -> bytes:
        """All of it. Raises Refusal for one that is too long, is not framed as HTTP has it, or finds no room."""
        if self.raw is None:
            length = self._request.content_length
            if length is not None and length > limit:
                raise errors.not_sent(413, "", "")
            if not await self._read(limit, length or 0):
                raise errors.not_sent(413, "", "")
        assert self.raw is not None
        return self.raw

    async def held_if_small(self) -> bytes | None:
        """All of it if it is small; else None, and it can be streamed. Raises Refusal."""
        length = self._request.content_length
        if self.raw is None and (length is None or length <= SMALL_BODY):
            await self._read(SMALL_BODY, length or 0)
        return self.raw

    def stream(self) -> AsyncIterator[bytes] | None:
        """It as it arrives; None if there is none."""
        if self.raw is not None:
            return None
        self._ask()
        return self._pieces()

    async def _read(self, limit: int, expected: int) -> bool:
        """Read it to its end; False if it is longer."""
        content = self._request.content
        if content.is_eof() and not self._begun and content.exception() is None:
            # All of it came with its head, or soon after.
            whole = content.read_nowait(-1)
            if len(whole) <= min(limit, SMALL_BODY):
                self.raw = whole
                return True
            self._begun.append(whole)
        self._ask()
        size = 0
        self._take_room(expected)
        async for piece in self._pieces():
            self._begun.append(piece)
            size += len(piece)
            if size > limit:
                return False
            if size > expected:
                self._take_room(size)
        self.raw = self._begun[0] if len(self._begun) == 1 else b"".join(self._begun)
        self._begun.clear()
        return True

    def _take_room(self, size: int) -> None:
        if size > SMALL_BODY and HELD.room(self, size) < size:
            raise errors.no_room()

    def _ask(self) -> None:
        """Say that it is wanted."""
        if not self._is_asked and "Expect" in self._request.headers and self._request.transport:
            self._request.transport.write(_CONTINUE)
        self._is_asked = True

    async def _pieces(self) -> AsyncIterator[bytes]:
        for piece in self._taken():
            yield piece
        try:
            async for piece in self._request.content.iter_any():
                yield piece
        except (RequestPayloadError, web.HTTPException):
            self.problem = errors.bad_head("The body is not framed as HTTP/1.1 has it.")
            raise self.problem from None

    def _taken(self) -> Iterator[bytes]:
        begun, self._begun = self._begun, []
        yield from begun

    def release(self) -> None:
        """The request has ended."""
        HELD.release(self)
