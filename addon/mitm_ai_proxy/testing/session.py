"""The proxy that a test session shares, and a test's view of it: its requests, its cassette, and failures.

What needs mitmproxy is imported when the proxy starts.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import logging
import os
import re
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, NotRequired, TypedDict
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

if TYPE_CHECKING:
    from ..cassette.budget import Budget
    from ..cassette.recorded_api import RecordedAPI
    from ..gateway.addon import Gateway
    from ..gateway.embedded import Embedded
    from ..gateway.recorded import Recorded
    from ..gateway.simulated import Simulated
    from ..registry import Configuration

CONFIG: Final = "ai_proxy_config"
"""The source that errors in the configuration name, instead of a file."""
PATIENCE: Final = 10.0
"""Seconds that the end of a test waits for an exchange that is still in progress."""
LONGEST_NAME: Final = 200
"""Bytes of a cassette's name without its suffix, so that its folder and its temporary files can have longer names."""
SUFFIX: Final = ".har"

_FORBIDDEN = re.compile(r"""[<>:"'/\\|?*%\x00-\x1f\x7f]""")
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
    """

    config: Mapping[str, Any]
    path: Path | None
    mode: Mode
    variation: Variation | None = None
    simulates: bool = False

    __test__: ClassVar = False
    """It is no class of tests, as pytest would take it for by its name."""


class Result(TypedDict):
    """The counts of a test for the report, in plain types that pytest-xdist can send.

    `file` is its cassette. `unused` names the entries that it did not use; None if it failed or plays a variation.
    `cost` and `saved` are the members of a spending.Spending. `rewritten` names the entries that it recorded anew in
    the mode rewrite, None if they are not kept, or if it failed; it is absent in other modes. `told` is what a person
    has to know of its recording.
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
    rewritten: NotRequired[list[str] | None]
    told: str


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

    def __init__(self, url: str, test_run: TestRun, cassette: Cassette, share: str = "") -> None:
        self.url: Final = url
        """The origin of the proxy."""
        self.cassette: Final = cassette
        """The cassette of this test."""
        self.test_run: Final = test_run
        self._share = share
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
        return [f"{_line(request)}\n  {reason}{self._share}" for request, reason in self.cassette.refusals]

    def saw(self, request: Request) -> None:
        """Append to the requests."""
        self._requests.append(UpstreamRequest(request.method, request.url, Headers(request.headers), request.body))

    def trouble(self) -> str:
        """A text about misses, refusals and errors, any of which fails the test; "" if there are none."""
        misses = self.cassette.misses
        return "\n\n".join([*([self._missed(misses)] if misses else ()), *self.refusals, *self.complaints])

    def remark(self) -> str:
        """A text about a possible cause of a failure; "" if there is none."""
        if not (self.test_run.variation and self.cassette.recorded):
            return self._recorded_failures()
        varied = _words(self.test_run.variation)
        return f"{shown(self.test_run.path)} was recorded as it went; {varied} counts from the next run on."

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

        prices = _recorded_api()
        cassette, test_run = self.cassette, self.test_run
        recorded, replayed = cassette.recorded, cassette.replayed
        says_what_is_unused = passed and test_run.variation is None
        result: Result = {
            "file": shown(test_run.path),
            "path": str(test_run.path or ""),
            "recorded": len(recorded) if test_run.path else 0,
            "simulated": 0 if test_run.path else len(recorded),
            "replayed": len(replayed),
            "missed": len(cassette.misses),
            "refused": len(self.refusals),
            "unused": [_name(entry) for entry in cassette.unused] if says_what_is_unused else None,
            "cost": list(spending.spent(() if test_run.simulates else recorded, prices)),
            "saved": list(spending.spent(() if test_run.simulates else replayed, prices)),
            "told": self._told(),
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
            advice = "--ai-record=once records it."
        else:
            head = f"This is not in {path} (mode {mode}), so it was not sent:"
            advice = "--ai-record=new_episodes records what is missing, --ai-record=rewrite all of it anew."
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


class Session:
    """The proxy of one process, which its tests use one after the other.

    `budget` is the number of units that creates may cost in all its tests, None for no limit; `share` is added to
    refusals, to explain why a worker has less than the whole budget. `began` is the Unix time at which the run of all
    its processes began, None for now.
    """

    def __init__(self, budget: float | None = None, share: str = "", began: float | None = None) -> None:
        self._budget: Budget | None = None
        self._share = share
        if budget is not None:
            from ..cassette.budget import Budget

            self._budget = Budget(budget, _recorded_api())
        self._embedded: Embedded | None = None
        self._gateway: Gateway | None = None
        self._recorded: Recorded | None = None
        self._simulated: Simulated | None = None
        self._began = time.time() if began is None else began
        self._recorded_here: set[Path] = set()
        self._levels: dict[str, int] = {}
        self._complaints = ErrorLog()

    def start(self) -> None:
        """Start the proxy on a free port. Raises Unusable."""
        with _importing():
            from .. import registry
            from ..gateway.addon import Gateway
            from ..gateway.embedded import Embedded, NotStarted
            from ..gateway.recorded import Recorded
            from ..gateway.simulated import Simulated

            self._recorded, self._simulated = Recorded(), Simulated()
            self._gateway = Gateway([self._recorded, self._simulated])
            self._embedded = Embedded(self._gateway, registry.read(_NO_PROVIDER, name=CONFIG))
            try:
                self._embedded.start()
            except NotStarted as error:
                raise Unusable(f"The proxy did not start: {error}.") from None
        for name in _LOGGERS:
            logger = logging.getLogger(name)
            self._levels[name] = logger.level
            if logger.level == logging.NOTSET:
                # Keeps the lines about the proxy's connections out of the log records that a test checks.
                logger.setLevel(logging.WARNING)
        LOGGER.addHandler(self._complaints)

    def begin(self, test_run: TestRun) -> AIProxy:
        """Configure the proxy for a test. Raises Unusable."""
        assert self._embedded is not None
        try:
            opening = self._opening(test_run)
            configuration = _configuration(test_run, offline=opening.is_offline or test_run.simulates)
            with _importing():
                return self._embedded.call(lambda: self._use(configuration, opening, test_run))
        except ConfigurationError as error:
            problem = str(error)
        except VariationError as error:
            varied = _words(test_run.variation) if test_run.variation else ""
            problem = f"{shown(test_run.path)} cannot be played with {varied}: {error}"
        except Unusable as error:
            problem = str(error)
        self._embedded.call(self._rest)
        raise Unusable(problem)

    def end(self, proxy: AIProxy, passed: bool = True) -> bool:
        """Wait until the test's exchanges are written, and remove its cassette; False if PATIENCE was not enough.

        What was recorded is kept as Cassette.settle() says; `passed` is whether the test has passed.
        """
        assert self._embedded is not None
        assert self._recorded is not None
        is_written = self._recorded.idle.wait(PATIENCE)
        self._embedded.call(self._rest)
        if is_written:
            proxy.settle(passed)
        if proxy.test_run.path and proxy.cassette.recorded:
            self._recorded_here.add(proxy.test_run.path)
        return is_written

    def stop(self) -> None:
        """Stop the proxy."""
        assert self._embedded is not None
        LOGGER.removeHandler(self._complaints)
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)
        self._embedded.stop()

    def _use(self, configuration: Configuration, opening: Opening, test_run: TestRun) -> AIProxy:
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
        proxy = AIProxy(embedded.origin, test_run, recorded.cassette, self._share)
        recorded.seen = proxy.saw
        self._complaints.texts = proxy.complaints
        return proxy

    def _rest(self) -> None:
        """In the proxy's thread: refuse all requests, as between tests."""
        assert self._recorded is not None
        self._recorded.insert(None)
        self._recorded.seen = None

    def _opening(self, test_run: TestRun) -> Opening:
        """How to open a test's cassette."""
        mode = test_run.mode
        if test_run.variation and mode is not Mode.NONE:
            # The requests after a variation are not those of a real run, and must not be added to the recording.
            mode = Mode.ONCE
        budget = None if test_run.simulates else self._budget
        is_of_this_run = not test_run.variation and self._is_of_this_run(test_run.path)
        change = _change(test_run.variation)
        return Opening(test_run.path, mode, budget, change, True, is_of_this_run, self._began)

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
                keep_only(Path(path), names, _recorded_api())
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
            check_code(variation.error, _recorded_api())
    except VariationError as error:
        raise Unusable(f"ai_cassette: {error}") from None
    return TestRun(config, path, Mode(mode) if path else Mode.APPEND, variation, simulated is not None)


def path_of(folder: Path, name: str) -> Path:
    """The path of a cassette. `name` may have the suffix, and may be an absolute path or lead out of the folder."""
    return Path(os.path.normpath(folder / (name if name.endswith(SUFFIX) else name + SUFFIX)))


def _with(
    config: Mapping[str, Any], block: str, defaults: Mapping[str, Any], values: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The configuration with further values in a block. A block that is no mapping stays, and is refused later."""
    before = config.get(block) or {}
    return {**config, block: {**defaults, **before, **values}} if isinstance(before, Mapping) else config


def file_name(words: Sequence[str]) -> str:
    """The file name of a test's cassette, without suffix; `words` are its classes and its name with parameters."""
    whole = ".".join(words)
    name = _FORBIDDEN.sub("-", whole)
    if len(name.encode()) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{name.encode()[: LONGEST_NAME - 9].decode('utf-8', 'ignore')}-{digest}"


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


def _name(entry: Entry) -> str:
    """A name for an entry that is the same in all tests and workers that use its file."""
    return f"{entry.started} {_line(entry.request)}"


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
    return (lambda entries: vary(entries, variation, _recorded_api()) if entries else []) if variation else None


def _recorded_api() -> RecordedAPI:
    """The recorded APIs of all provider types, imported when they are needed."""
    from .. import registry

    return registry.recorded_api()
