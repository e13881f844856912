"""An HTTP server on 127.0.0.1 that sends streamed answers in their pieces, recorded or simulated.

mitmproxy can stream an answer only from a server: a replayed stream takes its way through this one.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from typing import Final

from ..cassette.entry import Response
from ..wire.targets import Origin

HOST: Final = "127.0.0.1"
_LEFT_OUT: Final = frozenset(("content-length", "transfer-encoding", "connection", "keep-alive"))


_LOOK: Final = 1.0
"""Seconds between two looks whether a client that has to wait is still there."""


async def wait(seconds: float, is_gone: Callable[[], bool]) -> bool:
    """Wait before an answer goes on; False as soon as the client is gone."""
    while seconds > _LOOK:
        await asyncio.sleep(_LOOK)
        seconds -= _LOOK
        if is_gone():
            return False
    await asyncio.sleep(seconds)
    return True


class ReplayServer:
    """The server; it starts with the first offer. Each answer is sent once, for a path that ends in its token."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._offers: dict[str, tuple[Response, float | None, bool]] = {}
        self._connections: set[asyncio.StreamWriter] = set()

    async def offer(self, response: Response, pace: float | None, *, is_cut: bool = False) -> tuple[Origin, str]:
        """Have an answer ready; returns the server's origin, and the token that the path must end with.

        `pace` multiplies the times of the pieces; None sends them at once. `is_cut`: the answer has no end, and the
        connection is closed behind the last piece.
        """
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, HOST, 0)
        token = secrets.token_urlsafe(16)
        self._offers[token] = response, pace, is_cut
        return Origin("http", HOST, self._server.sockets[0].getsockname()[1]), token

    async def close(self) -> None:
        """Stop listening."""
        if self._server:
            self._server.close()
            for writer in list(self._connections):
                writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        with contextlib.suppress(
            OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, IndexError, ValueError
        ):
            while await self._answer(reader, writer):
                pass
        self._connections.discard(writer)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection may be used for another."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request_line, *lines = head.splitlines()
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        left = int(fields.get("content-length", "0"))
        while left > 0:
            left -= len(await reader.readexactly(min(left, 1 << 16)))
        offer = self._offers.pop(request_line.split(" ")[1].rpartition("/")[2], None)
        if offer is None:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return False
        response, pace, is_cut = offer
        lines = [f"HTTP/1.1 {response.status} {response.reason}"]
        lines += [f"{name}: {value}" for name, value in response.headers if name.lower() not in _LEFT_OUT]
        writer.write("\r\n".join([*lines, "Transfer-Encoding: chunked", "", ""]).encode("utf-8", "surrogateescape"))
        position, passed = 0, 0.0
        for chunk in response.chunks:
            if pace is not None:
                if not await wait(max(0.0, chunk.milliseconds - passed) / 1000 * pace, reader.at_eof):
                    return False
                passed = chunk.milliseconds
            piece = response.body[position : position + chunk.length]
            position += chunk.length
            if piece:
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await writer.drain()
        if is_cut:
            return False
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True
