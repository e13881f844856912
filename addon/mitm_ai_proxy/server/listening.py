"""aiohttp's server: connections of clients, with errors of the framing told as the API would tell them."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import http_parser, web
from aiohttp.web_protocol import RequestHandler, RequestPayloadError, _ErrInfo

from .. import errors
from ..chat.dialects import DIALECTS, OPENAI
from ..errors import Refusal
from ..wire.printable import printable
from .answers import Out
from .upstream import LONGEST_HEAD, MOST_FIELDS

logger = logging.getLogger(__name__)

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_KEPT: Final = 300.0
"""Seconds that an idle connection of a client is kept."""
_OPTIONS: Final[dict[str, Any]] = {
    "access_log": None,
    "keepalive_timeout": _KEPT,
    "auto_decompress": False,
    "max_line_size": LONGEST_HEAD,
    "max_field_size": LONGEST_HEAD,
    "max_headers": MOST_FIELDS,
}


class UnusableParser(Exception):
    """aiohttp's parser of HTTP is the one in Python. The text is for the user."""


def check_parser() -> None:
    """Raise UnusableParser unless the parser is llhttp: the other one is slow, and had the advisories on smuggling."""
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise UnusableParser(
            "aiohttp works without its parser in C here, which ai-proxy serve needs: install aiohttp from a wheel,"
            " and unset AIOHTTP_NO_EXTENSIONS"
        )


class _Connection(RequestHandler):
    """One connection of a client."""

    def data_received(self, data: bytes) -> None:
        """Take what has arrived; who reads a body that goes on with no valid HTTP is told, and would wait for ever."""
        super().data_received(data)
        if not self._messages or not isinstance(self._messages[-1][0], _ErrInfo):
            return
        if self._current_request and not self._current_request.content.is_eof():
            self._current_request.content.set_exception(RequestPayloadError())

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """An answer to what is no valid HTTP, behind which the connection ends."""
        if request.writer.output_size > 0:
            raise ConnectionError
        refusal: Refusal = errors.internal_error()
        if status < 500:
            # aiohttp's own text quotes what it could not read.
            refusal = errors.bad_head("What came is not valid HTTP/1.1 (RFC 9112), or a line or a field is too long.")
        logger.info("ai-proxy: %s for what came from a client: %s", refusal.status, printable(refusal.message))
        return _Said(refusal)


class _Said(Out):
    """A refusal outside of an exchange; aiohttp sends it."""

    def __init__(self, refusal: Refusal) -> None:
        self._said = DIALECTS[OPENAI].refusal(refusal)
        fields = ((b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % len(self._said)))
        super().__init__(refusal.status, fields, is_last=True)

    async def write_eof(self, data: bytes = b"") -> None:
        """Send it."""
        await super().write_eof(data or self._said)


class Listener(web.Server):
    """Serves one address. `handler` answers each request."""

    def __init__(self, handler: Handler) -> None:
        super().__init__(handler, handler_cancellation=True)
        self._sockets: list[asyncio.Server] = []

    def __call__(self) -> RequestHandler:
        """A new connection."""
        return _Connection(self, loop=asyncio.get_running_loop(), **_OPTIONS)

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None = None, *, is_shared: bool = False) -> int:
        """Begin to listen; returns the port, which is a free one for 0. `is_shared`: with other processes.

        Raises OSError.
        """
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self, host, port, ssl=tls, reuse_port=is_shared or None, backlog=1024)
        self._sockets.append(server)
        found: int = server.sockets[0].getsockname()[1]
        return found

    def stop_listening(self) -> None:
        """Accept no more connections, and close those that are idle."""
        for server in self._sockets:
            server.close()
        self.pre_shutdown()
