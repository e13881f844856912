"""The proxy that a test session shares.

What needs mitmproxy is imported when the proxy starts.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..cassette.bodies import CassetteError
from ..cassette.cassette import Mode, Opening, read_settled
from ..cassette.variations import VariationError
from ..config.file import ConfigurationError
from ..gateway.error_log import LOGGER, ErrorLog
from .ai_proxy import AIProxy
from .obstacles import obstacles, socket_error
from .runs import (
    CONFIG,
    OF_PLUGIN,
    Advice,
    TestRun,
    Unusable,
    change_of,
    configuration_of,
    lacks_only_a_credential,
    words_of,
)
from .texts import shown

if TYPE_CHECKING:
    from ..cassette.budget import Budget
    from ..gateway.addon import Gateway
    from ..gateway.embedded import Embedded
    from ..gateway.recorded import Recorded, Suspended
    from ..gateway.simulated import Simulated
    from ..registry import Configuration
    from ..simulator.app import Simulator

PATIENCE: Final = 10.0
"""Seconds that the end of a test waits for an exchange that is still in progress."""
# The configuration before the first test: a provider that needs no credential, at a port where nothing listens.
_NO_PROVIDER: Final = {"provider": {"type": "generic", "genericHost": "http://127.0.0.1:9"}}
_LOGGERS: Final = ("mitmproxy", LOGGER.name)


_LOADED: Final = time.time()


class _Door:
    """An addon that counts the connections of clients."""

    name = "ai_proxy_door"

    def __init__(self) -> None:
        self.connections = 0

    def client_connected(self, client: object) -> None:
        """Count one."""
        self.connections += 1


@dataclass(slots=True, eq=False)
class _Turn:
    """A use of the proxy. `suspended` has its cassette and its simulator while a later one is in use."""

    proxy: AIProxy
    configuration: Configuration
    suspended: tuple[Suspended, Simulator | None] | None = None


class Session:
    """The proxy of one process, which starts with its first use.

    Of several uses at the same time, the latest one gets all requests, until it ends. `began` is the Unix time at which
    the run of all its processes began; by default, when this file was loaded.
    """

    def __init__(self, began: float | None = None) -> None:
        self._embedded: Embedded | None = None
        self._gateway: Gateway | None = None
        self._recorded: Recorded | None = None
        self._simulated: Simulated | None = None
        self._began = _LOADED if began is None else began
        self._recorded_here: set[Path] = set()
        self._turns: list[_Turn] = []
        self._levels: dict[str, int] = {}
        self._complaints = ErrorLog()
        self._door = _Door()

    def _start(self) -> None:
        """Start the proxy on a free port. Raises Unusable."""
        blocked = socket_error()
        if blocked:
            raise Unusable("\n".join([f"The proxy did not start: {blocked}", *obstacles()]))
        with _importing():
            from .. import registry
            from ..gateway.addon import Gateway
            from ..gateway.embedded import Embedded, NotStarted
            from ..gateway.recorded import Recorded
            from ..gateway.simulated import Simulated

            recorded, simulated = Recorded(), Simulated()
            gateway = Gateway([recorded, simulated])
            embedded = Embedded(gateway, registry.read(_NO_PROVIDER, name=CONFIG), before=[self._door])
            try:
                embedded.start()
            except NotStarted as error:
                raise Unusable(f"The proxy did not start: {error}.") from None
        self._embedded, self._gateway, self._recorded, self._simulated = embedded, gateway, recorded, simulated
        for name in _LOGGERS:
            logger = logging.getLogger(name)
            self._levels[name] = logger.level
            if logger.level == logging.NOTSET:
                # Keeps the lines about the proxy's connections out of the log records that a test checks.
                logger.setLevel(logging.WARNING)
        LOGGER.addHandler(self._complaints)

    def begin(self, test_run: TestRun, budget: Budget | None = None, advice: Advice = OF_PLUGIN) -> AIProxy:
        """Configure the proxy for a test. Creates that exceed the budget are refused. Raises Unusable."""
        if self._embedded is None:
            self._start()
        assert self._embedded is not None
        opening = self._opening(test_run, budget)
        is_offline = opening.is_offline or test_run.simulates
        self._embedded.call(self._suspend)
        try:
            configuration = configuration_of(test_run, offline=is_offline)
            with _importing():
                return self._embedded.call(lambda: self._use(configuration, opening, test_run, advice))
        except ConfigurationError as error:
            problem = str(error)
            if lacks_only_a_credential(test_run):
                problem += f"\nWithout one, {advice.simulate} records from the simulator, which costs nothing."
        except VariationError as error:
            varied = words_of(test_run.variation) if test_run.variation else ""
            problem = f"{shown(test_run.path)} cannot be played with {varied}: {error}"
        except Unusable as error:
            problem = str(error)
        self._embedded.call(self._resume)
        raise Unusable(problem)

    def end(self, proxy: AIProxy, passed: bool = True) -> bool:
        """Wait until the test's exchanges are written, and remove its cassette; False if PATIENCE was not enough.

        What was recorded is kept as Cassette.settle() says; `passed` is whether the test has passed.
        """
        assert self._embedded is not None
        assert self._recorded is not None
        is_written = self._recorded.idle.wait(PATIENCE)
        self._embedded.call(lambda: self._finish(proxy))
        if is_written:
            proxy.settle(passed)
        if proxy.test_run.path and proxy.cassette.recorded:
            self._recorded_here.add(proxy.test_run.path)
        return is_written

    def stop(self) -> None:
        """Stop the proxy, if it was started."""
        if self._embedded is None:
            return
        LOGGER.removeHandler(self._complaints)
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)
        self._embedded.stop()
        self._embedded = None

    def _use(self, configuration: Configuration, opening: Opening, test_run: TestRun, advice: Advice) -> AIProxy:
        """In the proxy's thread: use a test's configuration and cassette. Raises Unusable."""
        embedded, gateway = self._embedded, self._gateway
        assert embedded is not None
        assert gateway is not None
        recorded, simulated = self._recorded, self._simulated
        assert recorded is not None
        assert simulated is not None
        from ..gateway.stages import StageError

        recorded.insert(opening)
        # A new simulator, so that tests do not share tasks and the account's balance.
        simulated.turn(test_run.simulates)
        try:
            gateway.use(configuration)
        except StageError as error:
            raise Unusable(str(error)) from None
        assert recorded.cassette is not None
        proxy = AIProxy(embedded.origin, test_run, recorded.cassette, advice, lambda: self._door.connections)
        self._turns.append(_Turn(proxy, configuration))
        recorded.seen = proxy.saw
        self._complaints.texts = proxy.complaints
        return proxy

    def _suspend(self) -> None:
        """In the proxy's thread: keep what is in use for later, and refuse all requests."""
        assert self._recorded is not None
        assert self._simulated is not None
        if self._turns:
            self._turns[-1].suspended = self._recorded.suspend(), self._simulated.simulator
        self._recorded.insert(None)
        self._recorded.seen = None

    def _resume(self) -> None:
        """In the proxy's thread: continue with the latest use that has not ended; without one, refuse all requests."""
        assert self._gateway is not None
        assert self._recorded is not None
        assert self._simulated is not None
        if not self._turns or self._turns[-1].suspended is None:
            self._recorded.insert(None)
            self._recorded.seen = None
            return
        turn = self._turns[-1]
        assert turn.suspended is not None
        suspended, simulator = turn.suspended
        turn.suspended = None
        self._simulated.turn(turn.proxy.test_run.simulates, simulator)
        self._recorded.resume(suspended)
        self._gateway.use(turn.configuration)
        self._complaints.texts = turn.proxy.complaints

    def _finish(self, proxy: AIProxy) -> None:
        """In the proxy's thread: end a use."""
        is_latest = self._turns[-1].proxy is proxy
        self._turns = [turn for turn in self._turns if turn.proxy is not proxy]
        if is_latest:
            self._resume()

    def _opening(self, test_run: TestRun, budget: Budget | None) -> Opening:
        """How to open a test's cassette."""
        mode = test_run.mode
        if test_run.variation and mode is not Mode.NONE:
            # The requests after a variation are not those of a real run, and must not be added to the recording.
            mode = Mode.ONCE
        limit = None if test_run.simulates else budget
        is_of_this_run = not test_run.variation and self._is_of_this_run(test_run.path)
        change = change_of(test_run.variation)
        return Opening(test_run.path, mode, limit, change, True, is_of_this_run, self._began)

    def is_played(self, path: Path, mode: str) -> bool:
        """Whether a cassette answers in this mode, and nothing is recorded into it."""
        return mode == Mode.NONE.value or (mode == Mode.ONCE.value and not self._is_of_this_run(path))

    def _is_of_this_run(self, path: Path | None) -> bool:
        """Whether a cassette is not there yet, or was made in this run, here or by another worker of pytest-xdist."""
        if path is None or not path.exists() or path in self._recorded_here:
            return True
        try:
            # A file that has not been written since then need not be read. Some file systems round to two seconds.
            if path.stat().st_mtime < self._began - 2:
                return False
            return all(entry.started >= self._began for entry in read_settled(path))
        except (OSError, CassetteError):
            return False


_shared: list[Session] = []
"""The proxy of this process, once for each of its users."""


@contextlib.contextmanager
def shared(began: float | None = None) -> Iterator[Session]:
    """The proxy of this process: one at a time, which ends with its last user. `began` is as in Session."""
    session = _shared[0] if _shared else Session(began)
    _shared.append(session)
    try:
        yield session
    finally:
        _shared.pop()
        if not _shared:
            session.stop()


@contextlib.contextmanager
def _importing() -> Iterator[None]:
    """A context for large imports: it ignores warnings of dependencies, which a test cannot prevent.

    It also turns the garbage collector off, which would take a tenth of the time.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if collects:
            gc.enable()
