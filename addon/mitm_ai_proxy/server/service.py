"""The server as a whole: its start, what each request passes, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiohttp import web

from ..edges import memory
from ..edges.held import HELD
from ..edges.pages import is_loopback
from ..pipeline import Outgoing
from ..routing.probing import LOOK
from ..simulator.settings import SimulatorSettings
from . import log, workers
from .answers import Out
from .arrivals import Arrived
from .exchange import Exchange, Place
from .listening import Listener, check_parser
from .options import Options
from .probes import Probes
from .settings import InUse, Settings
from .simulated import Simulated
from .upstream import Pool

if TYPE_CHECKING:
    from .metrics import Metrics

logger = logging.getLogger(__name__)

_LOOK: Final = 0.05
"""Seconds between two looks whether the last request has ended."""
_AT_ONCE: Final = 0.1
"""Seconds for what is ended by force; aiohttp takes 0 for no limit."""


class StartError(Exception):
    """The server cannot start. The text is for the user."""


class Service:
    """What the exchanges of one server have in common."""

    def __init__(self, options: Options, settings: Settings, pool: Pool, simulated: Simulated | None) -> None:
        self._settings, self._pool, self._simulated = settings, pool, simulated
        self.place = Place(options.host, not is_loopback(options.host))
        self.is_stopping = False
        self.is_simulated = simulated is not None
        self.count = 0
        self.metrics: Metrics | None = None

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
            if self.metrics:
                self.metrics.ended(exchange)

    async def send(self, outgoing: Outgoing, body: bytes | AsyncIterator[bytes] | None, exchange: Exchange) -> Arrived:
        """See exchange.Service."""
        if self.metrics:
            self.metrics.sent(exchange)
        if self._simulated is None:
            return await self._pool.send(outgoing, body, exchange)
        assert exchange.provider
        exchange.connected()
        return await self._simulated.answer(outgoing, body, exchange.provider, exchange.provider_name, exchange.origin)


def run(options: Options) -> int:
    """Serve until the process gets SIGTERM or SIGINT; returns the exit status.

    Raises StartError, ConfigurationError, or UnusableParser.
    """
    check_parser()
    memory.keep()
    HELD.limit = options.held_bodies
    if options.workers == 1:
        asyncio.run(_serve(options, _settings(options)))
        return 0
    if options.port == 0:
        raise StartError("--workers need a port: --listen-port PORT")
    # What is wrong is said once.
    _settings(options)
    _try_port(options)
    return workers.supervise(options.workers, lambda number: asyncio.run(_serve(options, _settings(options), number)))


def _settings(options: Options) -> Settings:
    is_open = not is_loopback(options.host)
    return Settings(options.config, simulated=options.simulate, needs_clients=is_open, workers=options.workers)


def _try_port(options: Options) -> None:
    """Raise StartError if nobody can listen there: with SO_REUSEPORT even two servers could."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        socket.create_server((options.host, options.port), family=family).close()
    except OSError as error:
        raise _no_place(options.host, options.port, error) from None


def _no_place(host: str, port: int, error: OSError) -> StartError:
    said = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
    return StartError(f"cannot listen at {host} port {port}: {said or type(error).__name__}")


async def _serve(options: Options, settings: Settings, number: int = 0) -> None:
    tls = None if options.certificate is None else _tls(options.certificate)
    try:
        pool = Pool(options.upstream_ca, uses_proxies=options.uses_proxies)
    except OSError as error:
        raise StartError(f"{options.upstream_ca} cannot be used as certificates: {_said(error)}") from None
    simulated = None
    if options.simulate:
        simulated = Simulated(settings.in_use.configuration.block(SimulatorSettings))
        settings.use = lambda in_use: simulated.use(in_use.configuration.block(SimulatorSettings))
    service = Service(options, settings, pool, simulated)
    listener, watched = Listener(service.handle), None
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, stop.set)
    try:
        if options.metrics_port is not None:
            watched = await _measured(options, service, number)
        port = await _listen(listener, options.host, options.port, tls, is_shared=options.workers > 1)
        settings.start()
        probing = loop.create_task(_probe(service, pool))
        host = f"[{options.host}]" if ":" in options.host else options.host
        if options.simulate:
            logger.warning("ai-proxy: SIMULATED: nothing is sent, nothing is paid")
        logger.info("ai-proxy: serving at %s://%s:%d", "https" if tls else "http", host, port)
        await stop.wait()
        service.is_stopping = True
        listener.stop_listening()
        logger.info("ai-proxy: stopping, with %d requests under way", service.count)
        probing.cancel()
        settings.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(options.grace):
                # A request that has just arrived is not counted yet.
                await asyncio.sleep(_LOOK)
                while service.count:
                    await asyncio.sleep(_LOOK)
        if service.count:
            logger.warning("ai-proxy: %d requests had not ended after %g s", service.count, options.grace)
    finally:
        await listener.shutdown(_AT_ONCE)
        if watched:
            await watched.shutdown(_AT_ONCE)
        await pool.close()


async def _probe(service: Service, pool: Pool) -> None:
    """Ask what is left out, from time to time."""
    probes = Probes(pool)
    try:
        while not service.is_simulated:
            await asyncio.sleep(LOOK)
            probes.look(service.in_use.providers)
    finally:
        probes.stop()


async def _measured(options: Options, service: Service, number: int) -> Listener:
    """Listen for questions of machines; each worker has a port of its own."""
    # Imported when needed: prometheus_client takes a while.
    from .metrics import Metrics

    assert options.metrics_port is not None
    service.metrics = Metrics(lambda: service.in_use.providers, lambda: service.is_stopping, lambda: service.count)
    watched = Listener(service.metrics.handle)
    port = options.metrics_port + number if options.metrics_port else 0
    port = await _listen(watched, options.metrics_host, port)
    logger.info("ai-proxy: /healthz and /metrics at http://%s:%d", options.metrics_host, port)
    return watched


async def _listen(
    listener: Listener, host: str, port: int, tls: ssl.SSLContext | None = None, *, is_shared: bool = False
) -> int:
    try:
        return await listener.listen(host, port, tls, is_shared=is_shared)
    except OSError as error:
        raise _no_place(host, port, error) from None


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
