"""Requests to providers: one pool of connections, which sends what the core has made and nothing of its own.

Connections are aiohttp's, and its parser reads the answers. Its session is left out: it makes heads of texts, and is
half of what a request would cost.
"""

from __future__ import annotations

import asyncio
import os
import select
import ssl
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple, Protocol
from weakref import WeakSet

import aiohttp
import certifi
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage
from aiohttp.streams import StreamReader
from yarl import URL

from .. import apis, errors
from ..pipeline import Outgoing
from ..wire.header_fields import Fields
from ..wire.targets import Origin
from . import sending
from .fields import end_to_end
from .sending import Upload

LONGEST_HEAD: Final = 64 * 1024
"""Bytes of a line or a header field, of a client or of a provider."""
MOST_FIELDS: Final = 256
_KEPT: Final = 15.0
"""Seconds that an idle connection is kept: a provider that closes one just when a request is sent has not got it."""
_NO_LIMIT: Final = aiohttp.ClientTimeout(total=None, sock_connect=None)
_MOST_WAYS: Final = 256
_SWITCHING: Final = 101


class Broken(Exception):
    """A provider gave no answer, or half of one. The text says why. `is_sent`: it may have got the request."""

    def __init__(self, text: str, *, is_sent: bool) -> None:
        super().__init__(text)
        self.is_sent = is_sent


class Sender(Protocol):
    """Who sends a request, and is told when there is a connection for it."""

    def connected(self) -> None:
        """The request is being sent."""


class Arrived:
    """An answer whose head has arrived. `fields` are its end-to-end ones."""

    def __init__(
        self, message: RawResponseMessage, content: StreamReader, connection: Connection, upload: Upload | None
    ) -> None:
        self._content, self._connection, self._upload = content, connection, upload
        self.status = message.code
        self.reason: bytes | None = message.reason.encode("utf-8", "surrogateescape")
        self.fields: Fields = end_to_end(message.raw_headers)

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
        if self._upload:
            self._upload.stop()
        if self._content.at_eof():
            self._connection.release()
        else:
            self._connection.close()


class _Way(NamedTuple):
    """How an origin is reached. `request` is what aiohttp's connector wants to know; none is sent of it.

    Where a proxy gets the request itself, `prefix` is before the target, and `fields` are for the proxy.
    """

    request: aiohttp.ClientRequest
    prefix: str = ""
    fields: Fields = ()


class Pool:
    """The pool. It follows no redirect, keeps no cookie, decodes nothing, and waits for ever."""

    def __init__(self, ca: Path | None = None, *, uses_proxies: bool = False) -> None:
        """`ca`: a file of certificates to trust in place of the usual ones. `uses_proxies`: those of the environment.

        Raises OSError for a file that cannot be read, or has none.
        """
        context = ssl.create_default_context(cafile=ca or certifi.where())
        # Python 3.13 refuses certificates of companies that all others take.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.set_alpn_protocols(("http/1.1",))
        self._connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT, ssl=context)
        self._uses_proxies = uses_proxies
        self._ways: dict[Origin, _Way] = {}
        self._known: WeakSet[ResponseHandler] = WeakSet()

    async def send(self, outgoing: Outgoing, body: bytes | AsyncIterator[bytes] | None, sender: Sender) -> Arrived:
        """Send a request; returns when the head of its answer is here. Raises Broken, Refusal, UnsendableHead.

        It is sent a second time only if it is a GET or the like, and the kept connection had died on which it was sent
        (RFC 9110, section 9.2.2).
        """
        upstream = outgoing.upstream
        way = self._ways.get(upstream.origin) or self._way(upstream.origin)
        fields = outgoing.fields + way.fields if way.fields else outgoing.fields
        head = sending.head(upstream.method, way.prefix + outgoing.target, fields, body)
        may_repeat = apis.is_repeatable(upstream.method) and (body is None or isinstance(body, bytes))
        is_head = upstream.method == "HEAD"
        while True:
            connection, is_kept = await self._connection(way)
            sender.connected()
            try:
                return await _asked(connection, head, body, is_head=is_head)
            except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
                if is_kept and may_repeat and isinstance(error, (aiohttp.ServerDisconnectedError, OSError)):
                    may_repeat = False
                    continue
                raise Broken(_reason(error), is_sent=True) from None

    async def _connection(self, way: _Way) -> tuple[Connection, bool]:
        """A connection that is alive as far as can be known, and whether it was used before. Raises Broken, Refusal."""
        while True:
            try:
                connection = await self._connector.connect(way.request, [], _NO_LIMIT)
            except (aiohttp.ClientError, OSError) as error:
                if self._connector.closed:
                    # It ends just now: nothing was sent.
                    raise errors.stopped() from None
                raise Broken(_reason(error), is_sent=False) from None
            protocol = connection.protocol
            assert protocol is not None
            if protocol not in self._known:
                self._known.add(protocol)
                return connection, False
            if not _has_news(protocol):
                return connection, True
            connection.close()

    def _way(self, origin: Origin) -> _Way:
        url = URL.build(scheme=origin.scheme, host=origin.host, port=origin.port)
        proxy = _proxy(origin) if self._uses_proxies else None
        request = aiohttp.ClientRequest("GET", url, loop=asyncio.get_running_loop(), proxy=proxy)
        way = _Way(request)
        if proxy and not request.is_ssl():
            # To a provider with TLS a proxy is a tunnel.
            login = aiohttp.encode_basic_auth(proxy.user or "", proxy.password or "").encode()
            way = _Way(request, str(origin), ((b"Proxy-Authorization", login),) if proxy.user else ())
        if len(self._ways) >= _MOST_WAYS:
            self._ways.clear()
        self._ways[origin] = way
        return way

    async def close(self) -> None:
        """Close all connections."""
        await self._connector.close()


async def _asked(
    connection: Connection, head: bytes, body: bytes | AsyncIterator[bytes] | None, *, is_head: bool
) -> Arrived:
    """Send a request, and wait for the head of its answer."""
    protocol, upload = connection.protocol, None
    assert protocol is not None
    try:
        protocol.set_response_params(
            skip_payload=is_head,
            read_until_eof=True,
            auto_decompress=False,
            max_line_size=LONGEST_HEAD,
            max_field_size=LONGEST_HEAD,
            max_headers=MOST_FIELDS,
        )
        upload = sending.send(protocol, head, body)
        while True:
            message, content = await protocol.read()
            if message.code >= 200:
                return Arrived(message, content, connection, upload)
            if message.code == _SWITCHING:
                raise HttpProcessingError
    except BaseException:
        if upload:
            upload.stop()
        connection.close()
        if upload and upload.failure:
            raise upload.failure from None
        raise


def _has_news(protocol: ResponseHandler) -> bool:
    """Whether something has arrived on an idle connection that the loop has not looked at: its end, or nonsense."""
    transport = protocol.transport
    if transport is None:
        return True
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _proxy(origin: Origin) -> URL | None:
    """The proxy that the environment names for an origin; aiohttp's own way would also read ~/.netrc."""
    if urllib.request.proxy_bypass(origin.authority):
        return None
    found = urllib.request.getproxies().get(origin.scheme)
    return URL(found if "://" in found else f"http://{found}") if found else None


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
    if isinstance(error, HttpProcessingError):
        return "its answer is not valid HTTP"
    if isinstance(error, OSError) and not isinstance(error, asyncio.TimeoutError):
        return error.strerror or type(error).__name__
    return type(error).__name__
