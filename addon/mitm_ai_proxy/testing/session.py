"""The proxy that a test session shares, and a test's view of it: its requests, its cassette, and failures.

What needs mitmproxy is imported when the proxy starts.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, NotRequired, TypedDict
from urllib.parse import parse_qs, urlsplit

from ..cassette.bodies import CassetteError
from ..cassette.cassette import Cassette, Mode, Opening, Settled, keep_only, read_settled
from ..cassette.entry import Entry, Request
from ..cassette.entry import Headers as HeaderFields
from ..cassette.links import unsigned
from ..cassette.playing import Miss
from ..cassette.variations import Variation, VariationError, check_code, vary
from ..config.file import ConfigurationError
from ..config.keys import Problem
from ..gateway.error_log import LOGGER, ErrorLog
from .obstacles import obstacles, socket_error

if TYPE_CHECKING:
    from ..cassette.budget import Budget
    from ..cassette.recorded_api import RecordedAPI
    from ..gateway.addon import Gateway
    from ..gateway.embedded import Embedded
    from ..gateway.recorded import Recorded, Suspended
    from ..gateway.simulated import Simulated
    from ..registry import Configuration
    from ..simulator.app import Simulator

CONFIG: Final = "ai_proxy_config"
"""The source that errors in the configuration name, instead of a file."""
PATIENCE: Final = 10.0
"""Seconds that the end of a test waits for an exchange that is still in progress."""
_MOST_SHOWN: Final = 5
_MOST_OF_BODY: Final = 100
# The configuration before the first test: a provider that needs no credential, at a port where nothing listens.
_NO_PROVIDER: Final = {"provider": {"type": "generic", "genericHost": "http://127.0.0.1:9"}}
_LOGGERS: Final = ("mitmproxy", LOGGER.name)


class Unusable(Exception):
    """A test cannot use the proxy. The text says why, and holds no secret."""


@dataclass(frozen=True, slots=True)
class TestRun:
    """What a test asks for. `config` has the content of a config.yaml.

    `path` is the cassette; without one, nothing is read or written. `simulates`: the provider is simulated.
    `remark` is what is to be told of the cassette.
    """

    config: Mapping[str, Any]
    path: Path | None
    mode: Mode
    variation: Variation | None = None
    simulates: bool = False
    remark: str = ""

    __test__: ClassVar = False
    """It is no class of tests, as pytest would take it for by its name."""


@dataclass(frozen=True, slots=True)
class Advice:
    """How a user of the proxy writes what errors advise: a record mode as `{}`, and recording from the simulator.

    `share` is added to refusals, to explain why a worker has less than the whole budget.
    """

    mode: str
    simulate: str
    share: str = ""


OF_PLUGIN: Final = Advice("--ai-record={}", "--ai-record=once --ai-simulate")
OF_CONTEXT: Final = Advice('mode="{}"', 'mode="once", simulate=True')


class Mark(NamedTuple):
    """How many misses, refusals and errors there were at a moment."""

    misses: int = 0
    refusals: int = 0
    complaints: int = 0


NOTHING: Final = Mark()


_LOADED: Final = time.time()


class Result(TypedDict):
    """The counts of a test for the report, in plain types that pytest-xdist can send.

    `file` is its cassette. `unused` names the entries that it did not use; None if it failed or plays a variation.
    `cost`, `saved` and `pretended` are the members of a spending.Spending; `pretended` is the part of `saved` whose
    recordings are simulated. `rewritten` names the entries that it recorded anew in the mode rewrite, None if they are
    not kept, or if it failed; it is absent in other modes. `told` is what became of a recording that is not kept, and
    `remark` what is to be told of the cassette.
    """

    file: str
    path: str
    recorded: int
    simulated: int
    replayed: int
    missed: int
    refused: int
    unused: list[str] | None
    cost: list[float]
    saved: list[float]
    pretended: list[float]
    rewritten: NotRequired[list[str] | None]
    told: str
    remark: str


class Headers(Mapping[str, str]):
    """Header fields by name, whatever its case; the values of equal names are joined by a comma."""

    def __init__(self, fields: HeaderFields) -> None:
        self.fields: Final = fields
        self._joined: dict[str, str] = {}
        for name, value in fields:
            before = self._joined.get(name.lower())
            self._joined[name.lower()] = value if before is None else f"{before}, {value}"

    def __getitem__(self, name: str) -> str:
        return self._joined[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._joined)

    def __len__(self) -> int:
        return len(self._joined)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._joined

    def __repr__(self) -> str:
        return f"Headers({self._joined})"


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """A request as it was or would have been sent to the provider, without its credential."""

    method: str
    url: str
    headers: Headers
    body: bytes

    @property
    def path(self) -> str:
        """The path, with its percent-encoding."""
        return urlsplit(self.url).path

    @property
    def query(self) -> dict[str, list[str]]:
        """The decoded parameters of the query, each with all its values."""
        return parse_qs(urlsplit(self.url).query, keep_blank_values=True)

    def json(self) -> Any:
        """The body, parsed as JSON. Raises ValueError if it is not JSON."""
        return json.loads(self.body)

    def __repr__(self) -> str:
        body = self.body[:_MOST_OF_BODY].decode("utf-8", "replace")
        more = "…" if len(self.body) > _MOST_OF_BODY else ""
        return f"<{' '.join(filter(None, (self.method, unsigned(self.url), body + more)))}>"


class AIProxy:
    """The proxy of one test: `url` and `base_url` for its clients, `requests` and `cassette` for its assertions."""

    def __init__(
        self, url: str, test_run: TestRun, cassette: Cassette, advice: Advice, connections: Callable[[], int]
    ) -> None:
        self.url: Final = url
        """The origin of the proxy."""
        self.cassette: Final = cassette
        """The cassette of this test."""
        self.test_run: Final = test_run
        self._advice = advice
        self._connections, self._connections_before = connections, connections()
        self.complaints: Final[list[str]] = []
        """Errors that the proxy logged, such as that a cassette could not be written."""
        self._requests: list[UpstreamRequest] = []
        self._is_new = test_run.path is None or not test_run.path.exists()
        self._settled = Settled(True)
        self._has_passed = False

    def __repr__(self) -> str:
        return f"<ai_proxy {self.base_url}, {shown(self.test_run.path)}, {len(self._requests)} requests>"

    @property
    def base_url(self) -> str:
        """The base URL for an OpenAI client: `url` with `/v1`."""
        return f"{self.url}/v1"

    @property
    def requests(self) -> list[UpstreamRequest]:
        """The requests that were or would have been sent to the provider, in order."""
        return list(self._requests)

    @property
    def refusals(self) -> list[str]:
        """The creates that the budget did not allow, as texts with the reason."""
        return [f"{_line(request)}\n  {reason}{self._advice.share}" for request, reason in self.cassette.refusals]

    def saw(self, request: Request) -> None:
        """Append to the requests."""
        self._requests.append(UpstreamRequest(request.method, request.url, Headers(request.headers), request.body))

    def so_far(self) -> Mark:
        """How much trouble there was so far."""
        return Mark(len(self.cassette.misses), len(self.cassette.refusals), len(self.complaints))

    def trouble(self, since: Mark = NOTHING) -> str:
        """A text about misses, refusals and errors, any of which fails the test; "" if there are none."""
        misses = self.cassette.misses[since.misses :]
        told = [*self.refusals[since.refusals :], *self.complaints[since.complaints :]]
        return "\n\n".join([*([self._missed(misses)] if misses else ()), *told])

    def remark(self) -> str:
        """A text about possible causes of a failure; "" if there are none."""
        texts = [f"{shown(self.test_run.path)} {self.test_run.remark}."] if self.test_run.remark else []
        if self.test_run.variation and self.cassette.recorded:
            varied = _words(self.test_run.variation)
            texts.append(f"{shown(self.test_run.path)} was recorded as it went; {varied} counts from the next run on.")
        if not texts and (failures := self._recorded_failures()):
            texts.append(failures)
        is_unreached = not self._requests and self._connections() == self._connections_before
        in_the_way = obstacles() if is_unreached else []
        if in_the_way:
            texts.append("\n".join([f"No request came to the proxy at {self.url}.", *in_the_way]))
        return "\n\n".join(texts)

    def _recorded_failures(self) -> str:
        """A text about failures that came from the cassette, and not from the provider."""
        failed = [entry for entry in self.cassette.replayed if entry.response and _is_temporary(entry.response.status)]
        if not failed or self.test_run.variation:
            return ""
        lines = [
            f"  {_line(entry.request)}: {entry.response.status}"
            for entry in dict.fromkeys(failed)
            if entry.response is not None
        ]
        head = f"This was not answered by the provider, but from {shown(self.test_run.path)}:"
        return "\n".join([head, *_first(lines), "--ai-record=rewrite records it anew."])

    def settle(self, passed: bool) -> None:
        """At the end of the test, keep or drop what it recorded."""
        self._has_passed = passed and not self.trouble()
        try:
            self._settled = self.cassette.settle(self._has_passed)
        except CassetteError as error:
            self._settled, self._has_passed = Settled(False), False
            self.complaints.append(str(error))

    def _told(self) -> str:
        """What became of the recording, if it is not in the cassette; "" if it is."""
        if self._settled.is_kept or not self.cassette.recorded:
            return ""
        why = "no request had a success" if self._has_passed else "the test failed"
        state = "was not recorded" if self._is_new else "is as it was"
        aside = self._settled.aside
        kept = f", and what it may have paid for is in {aside.name}" if aside else ""
        return f"{shown(self.test_run.path)} {state}, since {why}{kept}"

    def left_over(self) -> str:
        """A text with the unused entries of the cassette; "" if there are none."""
        unused = self.cassette.unused
        if not unused:
            return ""
        lines = [f"  {_line(entry.request)}" for entry in unused]
        head = f"Not asked for, of the recordings in {shown(self.test_run.path)}:"
        return "\n".join([head, *_first(lines), "allow_unused=True lets a test leave some."])

    def result(self, passed: bool) -> Result:
        """The result for the report; `passed` is whether the test passed and must use all entries."""
        from ..cassette import spending

        prices = recorded_api()
        cassette, test_run = self.cassette, self.test_run
        recorded, replayed = cassette.recorded, cassette.replayed
        says_what_is_unused = passed and test_run.variation is None
        is_paid = [] if test_run.simulates else [entry for entry in recorded if not entry.simulated]
        pretended = [entry for entry in replayed if entry.simulated]
        # Older recordings of the simulator do not say that they are.
        saving = pretended if test_run.simulates else replayed
        result: Result = {
            "file": shown(test_run.path),
            "path": str(test_run.path or ""),
            "recorded": len(recorded) if test_run.path else 0,
            "simulated": 0 if test_run.path else len(recorded),
            "replayed": len(replayed),
            "missed": len(cassette.misses),
            "refused": len(self.refusals),
            "unused": [entry_name(entry) for entry in cassette.unused] if says_what_is_unused else None,
            "cost": list(spending.spent(is_paid, prices)),
            "saved": list(spending.spent(saving, prices)),
            "pretended": list(spending.spent(pretended, prices)),
            "told": self._told(),
            "remark": test_run.remark,
        }
        if cassette.mode is Mode.REWRITE:
            is_good = self._has_passed and self._settled.is_kept
            result["rewritten"] = list(self._settled.names) if is_good else None
        return result

    def _missed(self, misses: Sequence[Miss]) -> str:
        """The text about requests that no recording answers."""
        path, mode = shown(self.test_run.path), self.cassette.mode.value
        if self._is_new:
            head = f"There is no cassette {path} (mode {mode}), so this was not sent:"
            advice = f"{self._advice.mode.format('once')} records it."
        else:
            head = f"This is not in {path} (mode {mode}), so it was not sent:"
            some, everything = map(self._advice.mode.format, ("new_episodes", "rewrite"))
            advice = f"{some} records what is missing, {everything} all of it anew."
        if self.test_run.variation:
            advice = (
                f"With {_words(self.test_run.variation)}, a cassette that is there is only played; without it, {advice}"
            )
        texts = []
        for miss, times in Counter(misses).items():
            lines = [f"  {miss.request}{f' ({times} times)' if times > 1 else ''}"]
            if miss.recorded:
                lines.append(f"    the nearest is entry {(miss.nearest or 0) + 1}, {miss.recorded}")
                lines += [f"      {difference}" for difference in miss.differences]
            texts.append("\n".join(lines))
        return "\n".join([head, *_first(texts), advice])


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
            configuration = _configuration(test_run, offline=is_offline)
            with _importing():
                return self._embedded.call(lambda: self._use(configuration, opening, test_run, advice))
        except ConfigurationError as error:
            problem = str(error)
            if _lacks_only_a_credential(test_run):
                problem += f"\nWithout one, {advice.simulate} records from the simulator, which costs nothing."
        except VariationError as error:
            varied = _words(test_run.variation) if test_run.variation else ""
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
        change = _change(test_run.variation)
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


def finish(results: Sequence[Result]) -> list[str]:
    """At the end of a run: drop from cassettes that were rewritten what no test recorded anew; returns errors.

    A cassette stays as it is if a test that uses it failed.
    """
    named: dict[str, list[list[str] | None]] = {}
    for result in results:
        if "rewritten" in result and result["path"]:
            named.setdefault(result["path"], []).append(result["rewritten"])
    errors = []
    for path, lists in named.items():
        names = {name for names in lists for name in names or ()}
        if names and None not in lists:
            try:
                keep_only(Path(path), names, recorded_api())
            except CassetteError as error:
                errors.append(str(error))
    return errors


def _configuration(test_run: TestRun, offline: bool) -> Configuration:
    """A test's configuration. Raises ConfigurationError."""
    from .. import registry

    try:
        # Converts values to what a file would give, such as tuples to lists.
        document = json.loads(json.dumps(test_run.config))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(CONFIG, [Problem("", f"cannot be written down: {error}")]) from None
    return registry.read(document, name=CONFIG, offline=offline, simulated=test_run.simulates)


def _lacks_only_a_credential(test_run: TestRun) -> bool:
    """Whether a configuration that was refused would do if its providers were simulated."""
    from .. import registry

    try:
        configuration = _configuration(test_run, offline=True)
    except ConfigurationError:
        return False
    return registry.can_be_simulated(configuration) and registry.lacks_credential(configuration)


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


# Plans and names


def make_test_run(
    config: Mapping[str, Any],
    path: Path | None,
    mode: str,
    marked: Mapping[str, Any],
    simulated: Mapping[str, Any] | None,
    remark: str = "",
) -> TestRun:
    """What a test asks for, from its configuration and the arguments of its marks. Raises Unusable.

    `marked` are the arguments of ai_cassette, `simulated` those of ai_simulate, None without that mark.
    """
    if not isinstance(config, Mapping):
        raise Unusable(f"{CONFIG}: expected a dict that holds what config.yaml would")
    if "pace" in marked:
        config = _with(config, "cassette", {}, {"pace": marked["pace"]})
    if simulated is not None:
        config = _with(config, "simulator", {"speed": "instant"}, simulated)
    given = {item.name: marked[item.name] for item in fields(Variation) if marked.get(item.name, False) is not False}
    try:
        variation = Variation(**given) if given else None
        if variation and variation.error is not None:
            check_code(variation.error, recorded_api())
    except VariationError as error:
        raise Unusable(f"ai_cassette: {error}") from None
    return TestRun(config, path, Mode(mode) if path else Mode.APPEND, variation, simulated is not None, remark)


def _with(
    config: Mapping[str, Any], block: str, defaults: Mapping[str, Any], values: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The configuration with further values in a block. A block that is no mapping stays, and is refused later."""
    before = config.get(block) or {}
    return {**config, block: {**defaults, **before, **values}} if isinstance(before, Mapping) else config


def shown(path: Path | None) -> str:
    """A path for a message: relative to the current folder if it is inside."""
    if path is None:
        return "no cassette"
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _is_temporary(status: int) -> bool:
    """Whether a failure says more of its time than of the request: a wrong key, too many requests, a server's error."""
    return status in (401, 403, 407, 408, 429) or status >= 500


def _line(request: Request) -> str:
    return f"{request.method} {unsigned(request.url)}"


def entry_name(entry: Entry) -> str:
    """A name for an entry that is the same in all tests and workers that use its file."""
    # Workers of pytest-xdist send requests within the same millisecond.
    bodies = zlib.crc32(entry.response.body if entry.response else b"", zlib.crc32(entry.request.body))
    return f"{entry.started} {_line(entry.request)} {bodies:x}"


def _words(variation: Variation) -> str:
    """A variation as the argument of the mark, such as `slow=3`."""
    given = [(item.name, getattr(variation, item.name), item.default) for item in fields(variation)]
    return ", ".join(f"{name}={value!r}" for name, value, default in given if value != default)


def _first(texts: Sequence[str]) -> list[str]:
    """The first _MOST_SHOWN texts, and how many more there are."""
    more = len(texts) - _MOST_SHOWN
    return [*texts[:_MOST_SHOWN], *([f"  and {more} more"] if more > 0 else ())]


def _change(variation: Variation | None) -> Callable[[Sequence[Entry]], list[Entry]] | None:
    """A function that makes the variation of a cassette's entries; None without a variation."""
    return (lambda entries: vary(entries, variation, recorded_api()) if entries else []) if variation else None


def recorded_api() -> RecordedAPI:
    """The recorded APIs of all provider types, imported when they are needed."""
    from .. import registry

    return registry.recorded_api()
