"""mitmproxy with the gateway in a thread of this process, on a free port of 127.0.0.1.

Only one at a time in a process: mitmproxy keeps its options in globals.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import tempfile
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from mitmproxy import ctx
from mitmproxy.addons import core, disable_h2c, errorcheck, next_layer, proxyserver, tlsconfig, update_alt_svc
from mitmproxy.certs import CertStore
from mitmproxy.master import Master
from mitmproxy.options import Options

from ..config.file import ConfigurationError
from ..kling.provider import DEFAULT_ORIGIN
from ..registry import Configuration
from .addon import Gateway
from .error_log import LOGGER, ErrorLog
from .stages import StageError

logger = logging.getLogger(__name__)

HOST: Final = "127.0.0.1"
KEY_SIZE: Final = 1024
"""Bits of the key of the authority. No client uses TLS here, so that a weak one does no harm; it is made faster."""


@functools.cache
def _authority() -> CertStore:
    """What signs the certificates of this process's proxies; its files are gone. To make it is a third of a start."""
    with tempfile.TemporaryDirectory(prefix="ai-proxy-") as folder:
        return CertStore.from_store(folder, "mitmproxy", KEY_SIZE)


class _TlsConfig(tlsconfig.TlsConfig):
    def running(self) -> None:
        """Take the authority of the process, where mitmproxy would read that of its folder."""
        self.certstore = _authority()


ADDONS: Final = (
    core.Core,
    disable_h2c.DisableH2C,
    proxyserver.Proxyserver,
    next_layer.NextLayer,
    _TlsConfig,
    update_alt_svc.UpdateAltSvc,
    errorcheck.ErrorCheck,
)
"""Those of mitmproxy's own addons that are needed; each one takes time at the start and with each request."""

_T = TypeVar("_T")


class NotStarted(Exception):
    """mitmproxy did not start; the text says why."""


class Embedded:
    """A proxy in reverse mode.

    `before` and `behind` are addons before and after the gateway, `values` further options of mitmproxy.
    """

    def __init__(
        self,
        gateway: Gateway,
        configuration: Configuration,
        *,
        before: Sequence[object] = (),
        behind: Sequence[object] = (),
        **values: Any,
    ) -> None:
        self._gateway, self._configuration = gateway, configuration
        self._values = {"mode": [f"reverse:{DEFAULT_ORIGIN}"], **values}
        self._place = _Place([*before, gateway, *behind])
        self._thread = threading.Thread(target=self._run, name="ai-proxy", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._master: Master | None = None
        self._errors = ErrorLog()

    @property
    def port(self) -> int:
        """The port at which it listens."""
        return self._place.port

    @property
    def origin(self) -> str:
        """The origin at which it listens, such as `http://127.0.0.1:8080`."""
        return f"http://{HOST}:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it listens. Raises NotStarted."""
        LOGGER.addHandler(self._errors)
        try:
            self._thread.start()
            self._place.is_started.wait()
        finally:
            LOGGER.removeHandler(self._errors)
        if not self.port:
            self.stop()
            raise NotStarted("; ".join(self._errors.texts) or "mitmproxy ended while it started")

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._thread.is_alive()

    def call(self, function: Callable[[], _T]) -> _T:
        """Run a function in the proxy's thread, between hooks; returns or raises what the function does."""

        async def called() -> _T:
            return function()

        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(called(), self._loop).result()

    def stop(self) -> None:
        """Stop it, and wait until its thread has ended."""
        if self._master and self._thread.is_alive():
            self._master.shutdown()
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except SystemExit:
            pass  # what mitmproxy does when its start fails; it has been logged
        finally:
            self._place.is_started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        options = Options(listen_host=HOST, listen_port=0)
        self._master = master = Master(options)
        master.addons.add(*(addon() for addon in ADDONS), self._place)
        # As children of an addon that is in the chain already, as a script is, so that the guard stays at the end.
        for addon in self._place.waiting:
            self._place.addons.append(master.addons.register(addon))
        # Otherwise mitmproxy would look up the provider's host for each client that connects.
        options.update(**self._values, connection_strategy="lazy")
        try:
            self._gateway.use(self._configuration)
        except (ConfigurationError, StageError) as error:
            # ErrorCheck ends the start for what is logged as an error.
            logger.error("ai-proxy: %s", error)
        await master.run()


class _Place:
    """The parent of the gateway and the addons around it. `port` is where mitmproxy listens, 0 before the start."""

    name = "ai_proxy_place"

    def __init__(self, waiting: Sequence[object]) -> None:
        self.waiting = waiting
        self.addons: list[object] = []
        self.port = 0
        self.is_started = threading.Event()

    def running(self) -> None:
        """Note the port, and wake start()."""
        proxyserver: Any = ctx.master.addons.get("proxyserver")
        self.port = next((port for _, port, *_ in proxyserver.listen_addrs()), 0)
        self.is_started.set()
