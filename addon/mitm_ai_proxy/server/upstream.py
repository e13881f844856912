"""Requests to providers: one pool of connections, which sends what the core has made and nothing of its own."""

from __future__ import annotations

import asyncio
import functools
import os
import ssl
import urllib.request
from collections.abc import AsyncIterator
from contextvars import ContextVar
from pathlib import Path
from typing import Final, Protocol

import aiohttp
import certifi
from yarl import URL

from ..pipeline import Outgoing
from ..wire.header_fields import Fields
from ..wire.targets import Origin
from .fields import end_to_end, for_client

LONGEST_HEAD: Final = 64 * 1024
"""Bytes of a line or a header field, of a client or of a provider."""
MOST_FIELDS: Final = 256
_KEPT: Final = 15.0
"""Seconds that an idle connection is kept: a provider that closes one just when a request is sent has not got it."""
_ADDED: Final = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
"""Header fields that aiohttp would add."""


class Broken(Exception):
    """A provider gave no answer, or half of one. The text says why. `is_sent`: it may have got the request."""

    def __init__(self, text: str, *, is_sent: bool) -> None:
        super().__init__(text)
        self.is_sent = is_sent


class Sender(Protocol):
    """Who sends a request, and is told when there is a connection for it."""

    def connected(self) -> None:
        """The request is being sent."""


_SENDER: Final[ContextVar[Sender]] = ContextVar("sender")


class _Request(aiohttp.ClientRequest):
    """aiohttp's request, which tells its sender that it has a connection."""

    async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        _SENDER.get().connected()
        return await super().send(conn)


class Arrived:
    """An answer whose head has arrived. `fields` are its end-to-end ones."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._content = response.content
        self.status = response.status
        self.reason: bytes | None = (response.reason or "").encode("utf-8", "surrogateescape")
        self.fields: Fields = end_to_end(response.raw_headers)

    def ready(self) -> bytes:
        """The next bytes of the body, if they are here already; else b"". Raises Broken."""
        try:
            return self._content.read_nowait(-1)
        except (aiohttp.ClientError, OSError) as error:
            raise Broken(_reason(error), is_sent=True) from None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self._content.at_eof()

    async def piece(self) -> bytes:
        """The next bytes of the body; b"" at its end. Raises Broken."""
        try:
            return await self._content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise Broken(_reason(error), is_sent=True) from None

    def close(self) -> None:
        """Give its connection back, or close it if there is more to come."""
        if self._content.at_eof():
            self._response.release()
        else:
            self._response.close()


class Pool:
    """The pool. It follows no redirect, keeps no cookie, decodes nothing, waits for ever, and sends nothing twice."""

    def __init__(self, ca: Path | None = None, *, uses_proxies: bool = False) -> None:
        """`ca`: a file of certificates to trust in place of the usual ones. `uses_proxies`: those of the environment.

        Raises OSError for a file that cannot be read, or has none.
        """
        context = ssl.create_default_context(cafile=ca or certifi.where())
        # Python 3.13 refuses certificates of companies that all others take.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT, ssl=context),
            auto_decompress=False,
            skip_auto_headers=_ADDED,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            requote_redirect_url=False,
            request_class=_Request,
            max_line_size=LONGEST_HEAD,
            max_field_size=LONGEST_HEAD,
            max_headers=MOST_FIELDS,
        )
        self._uses_proxies = uses_proxies
        # A GET would be sent a second time where a kept connection has died; one request is one request.
        self._session._retry_connection = False

    async def send(self, outgoing: Outgoing, body: bytes | AsyncIterator[bytes] | None, sender: Sender) -> Arrived:
        """Send a request; returns when the head of its answer is here. Raises Broken."""
        _SENDER.set(sender)
        upstream = outgoing.upstream
        url = _url(upstream.origin).with_path(outgoing.target, encoded=True)
        fields = for_client(outgoing.fields)
        try:
            response = await self._session.request(
                upstream.method,
                url,
                headers=fields,
                data=body,
                allow_redirects=False,
                proxy=_proxy(upstream.origin) if self._uses_proxies else None,
            )
        except (aiohttp.ClientError, OSError) as error:
            is_sent = not isinstance(error, aiohttp.ClientConnectorError)
            raise Broken(_reason(error), is_sent=is_sent) from None
        return Arrived(response)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()


@functools.lru_cache(256)
def _url(origin: Origin) -> URL:
    return URL.build(scheme=origin.scheme, host=origin.host, port=origin.port)


@functools.lru_cache(256)
def _proxy(origin: Origin) -> str | None:
    """The proxy that the environment names for an origin; aiohttp's own way would also read ~/.netrc."""
    if urllib.request.proxy_bypass(origin.authority):
        return None
    return urllib.request.getproxies().get(origin.scheme)


def _reason(error: Exception) -> str:
    """Why, in words: without what the provider has sent, which aiohttp quotes."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not trusted ({getattr(error.certificate_error, 'verify_message', 'TLS')})"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name is not known"
    if isinstance(error, aiohttp.ClientConnectorError):
        inner = error.os_error
        said = os.strerror(inner.errno) if inner.errno else inner.strerror
        return f"no connection ({said or type(inner).__name__})"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it closed the connection without an answer"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "its answer broke off"
    if isinstance(error, aiohttp.ClientResponseError):
        return "its answer is not valid HTTP"
    if isinstance(error, OSError) and not isinstance(error, asyncio.TimeoutError):
        return error.strerror or type(error).__name__
    return type(error).__name__
