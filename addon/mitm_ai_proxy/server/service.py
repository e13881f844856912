"""The server as a whole: its start, what each request passes, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from aiohttp import web

from ..edges.held import HELD
from ..edges.pages import is_loopback
from ..pipeline import Outgoing
from . import log
from .answers import Out
from .arrivals import Arrived
from .exchange import Exchange, Place
from .listening import Listener, check_parser
from .options import Options
from .settings import InUse, Settings
from .upstream import Pool

logger = logging.getLogger(__name__)

_LOOK: Final = 0.05
"""Seconds between two looks whether the last request has ended."""


class StartError(Exception):
    """The server cannot start. The text is for the user."""


class Service:
    """What the exchanges of one server have in common."""

    def __init__(self, options: Options, settings: Settings, upstream: Pool) -> None:
        self._settings, self._upstream = settings, upstream
        self.place = Place(options.host, not is_loopback(options.host))
        self.is_stopping = False
        self.count = 0

    @property
    def in_use(self) -> InUse:
        """The configuration."""
        return self._settings.in_use

    async def handle(self, request: web.BaseRequest) -> Out:
        """Answer a request."""
        exchange = Exchange(self, request)
        self.count += 1
        try:
            return await exchange.run()
        finally:
            self.count -= 1
            log.ended(exchange)

    async def send(self, outgoing: Outgoing, body: bytes | AsyncIterator[bytes] | None, exchange: Exchange) -> Arrived:
        """See exchange.Service."""
        return await self._upstream.send(outgoing, body, exchange)


def run(options: Options) -> None:
    """Serve until the process gets SIGTERM or SIGINT. Raises StartError, ConfigurationError, or UnusableParser."""
    check_parser()
    _keep_memory()
    HELD.limit = options.held_bodies
    is_open = not is_loopback(options.host)
    settings = Settings(options.config, simulated=options.simulate, needs_clients=is_open)
    asyncio.run(_serve(options, settings))


async def _serve(options: Options, settings: Settings) -> None:
    tls = None if options.certificate is None else _tls(options.certificate)
    try:
        upstream = Pool(options.upstream_ca, uses_proxies=options.uses_proxies)
    except OSError as error:
        raise StartError(f"{options.upstream_ca} cannot be used as certificates: {_said(error)}") from None
    service = Service(options, settings, upstream)
    listener = Listener(service.handle)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        try:
            port = await listener.listen(options.host, options.port, tls)
        except OSError as error:
            raise StartError(f"cannot listen at {options.host} port {options.port}: {_said(error)}") from None
        settings.start()
        host = f"[{options.host}]" if ":" in options.host else options.host
        logger.info("ai-proxy: serving at %s://%s:%d", "https" if tls else "http", host, port)
        await stop.wait()
        logger.info("ai-proxy: stopping, with %d requests under way", service.count)
        service.is_stopping = True
        settings.stop()
        listener.stop_listening()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(options.grace):
                while service.count:
                    await asyncio.sleep(_LOOK)
        if service.count:
            logger.warning("ai-proxy: %d requests had not ended after %g s", service.count, options.grace)
    finally:
        await listener.shutdown(0)
        await upstream.close()


def _tls(path: Path) -> ssl.SSLContext:
    """The certificate with its key, in one file of PEM, as mitmproxy's --certs has it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(path)
    except OSError as error:
        raise StartError(
            f"{path} cannot be used as the certificate: {_said(error)}. It has to hold certificate and key, in PEM"
        ) from None
    return context


def _said(error: OSError) -> str:
    return (error.reason if isinstance(error, ssl.SSLError) else error.strerror) or type(error).__name__


def _keep_memory() -> None:
    """Have glibc keep what it frees: by chance it would give each picture's memory back, and fetch it page by page."""
    if not sys.platform.startswith("linux"):
        return
    library = ctypes.CDLL(None)
    if mallopt := getattr(library, "mallopt", None):
        trim_threshold, mmap_threshold, size = -1, -3, 1 << 30
        mallopt(mmap_threshold, size)
        mallopt(trim_threshold, size)
