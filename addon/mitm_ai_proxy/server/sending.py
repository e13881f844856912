"""Requests to providers as bytes: the head is what the core has made, and nothing of anybody else's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from aiohttp.client_proto import ResponseHandler

from ..wire.header_fields import Fields

_AT_ONCE: Final = 64 * 1024
"""Bytes up to which a body is copied behind its head, so that one call sends both."""


class UnsendableHead(Exception):
    """A head with a line too many would be two requests to who reads it."""


def head(method: str, target: str, fields: Fields, body: bytes | AsyncIterator[bytes] | None) -> bytes:
    """The head of a request: its fields, and how its body is framed. Raises UnsendableHead."""
    lines = [f"{method} {target} HTTP/1.1\r\n".encode("utf-8", "surrogateescape")]
    length = None if body is None or not isinstance(body, bytes) else b"%d" % len(body)
    has_length = False
    for name, value in fields:
        if len(name) == 14 and name.lower() == b"content-length":
            if has_length:
                continue
            has_length = True
            lines.append(b"%b: %b\r\n" % (name, value if length is None else length))
        else:
            lines.append(b"%b: %b\r\n" % (name, value))
    if body is not None and not has_length:
        lines.append(b"Transfer-Encoding: chunked\r\n" if length is None else b"Content-Length: %b\r\n" % length)
    count = len(lines)
    lines.append(b"\r\n")
    made = b"".join(lines)
    is_one_line = lines[0].count(b" ") == 2
    if not is_one_line or made.count(b"\n") != count + 1 or made.count(b"\r") != count + 1 or b"\0" in made:
        raise UnsendableHead
    return made


def send(protocol: ResponseHandler, head: bytes, body: bytes | AsyncIterator[bytes] | None) -> Upload | None:
    """Send a request; one whose body arrives piece by piece is sent on meanwhile."""
    transport = protocol.transport
    assert transport is not None
    if body is None:
        transport.write(head)
    elif not isinstance(body, bytes):
        transport.write(head)
        return Upload(protocol, body, is_chunked=b"\r\nTransfer-Encoding: chunked\r\n" in head)
    elif len(body) <= _AT_ONCE:
        transport.write(head + body)
    else:
        transport.writelines((head, body))
    return None


class Upload:
    """Sends a body as it arrives, no faster than it is taken. `failure`: what has ended it too early."""

    def __init__(self, protocol: ResponseHandler, body: AsyncIterator[bytes], *, is_chunked: bool) -> None:
        self._protocol = protocol
        self.failure: Exception | None = None
        self.is_done = False
        self._task = asyncio.get_running_loop().create_task(self._run(body, is_chunked))

    async def _run(self, body: AsyncIterator[bytes], is_chunked: bool) -> None:
        try:
            async for piece in body:
                if piece:
                    await self._write(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
            if is_chunked:
                await self._write(b"0\r\n\r\n")
            self.is_done = True
        except ConnectionError:
            """Who waits for the answer is told."""
        except Exception as error:
            self.failure = error
            # Half a request must not look like a whole one.
            self._protocol.abort()

    async def _write(self, data: bytes) -> None:
        transport = self._protocol.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        transport.write(data)
        await self._protocol._drain_helper()

    def stop(self) -> None:
        """Send no more of it."""
        if not self.is_done:
            self._task.cancel()
            self._protocol.abort()
