"""The pytest plugin: options, marks, fixtures and hooks. See session.py for the proxy of a test.

Every run of pytest loads this file; it imports the rest of the package when a test uses the proxy.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
import time
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from .arguments import DEFAULT_CONFIG, MODES, VARIATIONS, by_name, cassette_complaint, simulate_complaint

if TYPE_CHECKING:
    from ..cassette.budget import Budget
    from .ai_proxy import AIProxy
    from .results import Result
    from .runs import Advice
    from .session import Session

CASSETTE: Final = "ai_cassette"
SIMULATE: Final = "ai_simulate"

_OUTPUT: Final = "ai_proxy"
"""Key of the results in the output of a pytest-xdist worker."""
_BEGAN: Final = "ai_proxy_began"
"""Key of the run's begin in the input of a worker: Unix time."""

_open_key: pytest.StashKey[list[_Open]] = pytest.StashKey()
_results_key: pytest.StashKey[list[Result]] = pytest.StashKey()
_began_key: pytest.StashKey[float] = pytest.StashKey()
_is_whole_key: pytest.StashKey[bool] = pytest.StashKey()
_names_key: pytest.StashKey[dict[tuple[Path, str], list[str]]] = pytest.StashKey()


class _Open:
    """A proxy that a fixture has made: up to where its trouble was told, and whether each test so far passed."""

    def __init__(self, proxy: AIProxy) -> None:
        from .ai_proxy import NOTHING

        self.proxy = proxy
        self.told = NOTHING
        self.passed: list[bool] = []


# Options and marks


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the command line options."""
    group = parser.getgroup("ai-proxy", "recorded AI providers (mitm-ai-proxy)")
    group.addoption(
        "--ai-record",
        choices=MODES,
        help="what to record from the provider, which costs money (default: none, or what a test's mark or the"
        " fixture ai_record_mode says). once: tests without a cassette; new_episodes: also what a cassette lacks;"
        " all: everything, in the place of equal requests; rewrite: everything, each cassette anew",
    )
    group.addoption(
        "--ai-simulate",
        action="store_true",
        help="record from the simulator: no credential is needed, nothing is sent, and nothing is paid",
    )
    group.addoption(
        "--ai-strict", action="store_true", help="fail tests that pass and leave recordings of their cassette unused"
    )
    group.addoption(
        "--ai-budget",
        type=_units,
        metavar="UNITS",
        help="the most that recording may cost in Kling's units; creates beyond it are not sent. Each worker of"
        " pytest-xdist gets an equal share",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks."""
    config.stash[_results_key], config.stash[_open_key] = [], []
    config.stash[_began_key], config.stash[_is_whole_key] = time.time(), True
    config.addinivalue_line(
        "markers",
        f"{CASSETTE}(name=None, *, mode, pace, failed, error, content_gone, slow, allow_unused): which cassette a test"
        " plays, how it is recorded (as --ai-record), in which time it is played ('instant', 'real' or a factor), and"
        " what goes otherwise than it was recorded: the job fails with a message, the create is refused with one of"
        " Kling's codes, the result is gone, or the job takes so many polls more. Of several marks, the closest to the"
        " test wins for each argument.",
    )
    config.addinivalue_line(
        "markers",
        f"{SIMULATE}(speed='instant', **settings): the provider is simulated, nothing is sent and no credential is"
        " needed; the settings are those of the simulator: block of config.yaml.",
    )


# Wrappers are of the old style, which pytest 7 has too.
@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, None]:
    """Make a wrong mark an error of collection, before any test runs."""
    outcome = yield
    if outcome.excinfo:
        return
    report: pytest.CollectReport = outcome.get_result()
    complaint = next(filter(None, map(_complaint, report.result or ())), "")
    if complaint:
        report.outcome, report.longrepr, report.result = "failed", complaint, []


def _complaint(node: pytest.Item | pytest.Collector) -> str:
    """A message about the first wrong mark of a test; "" if all are right."""
    for name, complain in ((CASSETTE, cassette_complaint), (SIMULATE, simulate_complaint)):
        for mark in node.iter_markers(name) if isinstance(node, pytest.Item) else ():
            text = complain(mark.args, mark.kwargs)
            if text:
                return f"{node.nodeid}: @pytest.mark.{name} {text}"
    return ""


def _units(text: str) -> float:
    """Parse the value of --ai-budget. Raises ArgumentTypeError."""
    try:
        units = float(text)
    except ValueError:
        units = math.nan
    if not units >= 0:
        raise argparse.ArgumentTypeError("expected a number of units, from 0 on")
    return units


def _merged(item: pytest.Item | pytest.Collector, name: str) -> dict[str, Any] | None:
    """The arguments of all marks with this name, each from the closest mark that has it; None without a mark."""
    marks = list(item.iter_markers(name))
    merged: dict[str, Any] = {}
    for mark in reversed(marks):
        given = by_name(mark.args, mark.kwargs)
        if not given.keys().isdisjoint(VARIATIONS):
            merged = {key: value for key, value in merged.items() if key not in VARIATIONS}
        merged |= given
    return {key: value for key, value in merged.items() if value is not None} if marks else None


# Fixtures


@pytest.fixture(scope="session")
def ai_proxy_config() -> dict[str, Any]:
    """What config.yaml would hold. Override it to name another provider, or other credentials."""
    return copy.deepcopy(DEFAULT_CONFIG)


@pytest.fixture(scope="session")
def ai_record_mode() -> str:
    """How a test is recorded for which neither --ai-record nor its mark says it. Override it."""
    return "none"


@pytest.fixture
def ai_cassette_dir(request: pytest.FixtureRequest) -> Path:
    """The folder of the cassettes of a test: cassettes/MODULE beside the module. Override it."""
    return request.path.parent / "cassettes" / request.path.stem


@dataclass(frozen=True)
class _Process:
    """What the proxies of a process have in common."""

    session: Session
    budget: Budget | None
    advice: Advice


@pytest.fixture(scope="session")
def _ai_proxy_process(pytestconfig: pytest.Config) -> Iterator[_Process]:
    from ..cassette.budget import Budget
    from .runs import OF_PLUGIN, recorded_api
    from .session import shared

    units, share = pytestconfig.getoption("--ai-budget"), ""
    workers = getattr(pytestconfig, "workerinput", {}).get("workercount", 1)
    if units is not None and workers > 1:
        share = f" (Each of the {workers} workers has an equal share of --ai-budget={units:g}.)"
        units /= workers
    budget = None if units is None else Budget(units, recorded_api())
    with shared(getattr(pytestconfig, "workerinput", {}).get(_BEGAN)) as session:
        yield _Process(session, budget, replace(OF_PLUGIN, share=share))


@pytest.fixture
def ai_proxy(
    request: pytest.FixtureRequest,
    ai_proxy_config: Mapping[str, Any],
    ai_record_mode: str,
    ai_cassette_dir: str | Path,
    _ai_proxy_process: _Process,
) -> Iterator[AIProxy]:
    """A proxy in front of an AI provider that answers from the test's cassette. Clients get `ai_proxy.base_url`."""
    words = _words(request.node)
    yield from _proxy(request, ai_proxy_config, ai_record_mode, ai_cassette_dir, words, _ai_proxy_process)


@pytest.fixture(scope="module")
def ai_proxy_module(
    request: pytest.FixtureRequest, ai_proxy_config: Mapping[str, Any], ai_record_mode: str, _ai_proxy_process: _Process
) -> Iterator[AIProxy]:
    """A proxy for all tests of a module, with the cassette cassettes/MODULE/ai_proxy_module beside it."""
    folder = request.path.parent / "cassettes" / request.path.stem
    yield from _proxy(request, ai_proxy_config, ai_record_mode, folder, ["ai_proxy_module"], _ai_proxy_process)


@pytest.fixture(scope="session")
def ai_proxy_session(
    request: pytest.FixtureRequest, ai_proxy_config: Mapping[str, Any], ai_record_mode: str, _ai_proxy_process: _Process
) -> Iterator[AIProxy]:
    """A proxy for all tests, with the cassette cassettes/ai_proxy_session in the root folder of the project."""
    words = ["ai_proxy_session"]
    yield from _proxy(request, ai_proxy_config, ai_record_mode, "cassettes", words, _ai_proxy_process)


def _words(item: pytest.Item) -> list[str]:
    """The classes of a test, and its name with parameters."""
    return [*(node.name for node in item.listchain() if isinstance(node, pytest.Class)), item.name]


def _namesake(item: pytest.Item | pytest.Collector, words: Sequence[str]) -> str:
    """Another test of the module whose cassette had the same name before names were told apart; "" if there is none."""
    from .names import is_changed, plain_name

    if not is_changed(words):
        return ""
    stash, session = item.config.stash, item.session
    if _names_key not in stash:
        names: dict[tuple[Path, str], list[str]] = {}
        for other in session.items:
            names.setdefault((other.path, plain_name(_words(other))), []).append(other.nodeid)
        stash[_names_key] = names
    same = stash[_names_key].get((item.path, plain_name(words)), [])
    return next((nodeid for nodeid in same if nodeid != item.nodeid), "")


def _proxy(
    request: pytest.FixtureRequest,
    ai_proxy_config: Mapping[str, Any],
    ai_record_mode: str,
    folder: str | Path,
    words: Sequence[str],
    process: _Process,
) -> Iterator[AIProxy]:
    """What a fixture of any scope does; `words` name its cassette in the folder."""
    from .names import own_name, path_for, path_of
    from .runs import Unusable, make_test_run
    from .session import PATIENCE

    node, config = request.node, request.config
    marked, simulated = _merged(node, CASSETTE), _merged(node, SIMULATE)
    arguments = marked or {}
    try:
        mode = config.getoption("--ai-record") or arguments.get("mode") or ai_record_mode
        if mode not in MODES:
            raise Unusable(f"ai_record_mode: there is no mode {mode!r}; there are {', '.join(MODES)}")
        path, remark = None, ""
        if simulated is None or marked is not None:
            whole = config.rootpath / folder
            namesake = "" if "name" in arguments else _namesake(node, words)
            apart = bool(namesake) and mode != "none"
            path = path_of(whole, arguments["name"]) if "name" in arguments else path_for(whole, words, apart)
            if namesake and path.stem != own_name(words):
                remark = f"is also played by {node.nodeid} (as by {namesake}); --ai-record=once records one for each"
            if config.getoption("--ai-simulate") and not process.session.is_played(path, mode):
                simulated = simulated or {}
        test_run = make_test_run(ai_proxy_config, path, mode, arguments, simulated, remark)
        proxy = process.session.begin(test_run, process.budget, process.advice)
    except Unusable as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    opened = _Open(proxy)
    config.stash[_open_key].append(opened)
    yield proxy
    if not process.session.end(proxy, bool(opened.passed) and all(opened.passed)):
        text = f"{node.nodeid or 'session'}: an exchange was still under way {PATIENCE:g} s after its end"
        warnings.warn(pytest.PytestWarning(text), stacklevel=1)
    config.stash[_open_key].remove(opened)
    passed = bool(opened.passed) and all(opened.passed) and not arguments.get("allow_unused")
    config.stash[_results_key].append(proxy.result(passed))
    trouble = proxy.trouble(opened.told)
    if trouble:
        pytest.fail(trouble, pytrace=False)
    if passed and config.getoption("--ai-strict") and proxy.left_over():
        pytest.fail(proxy.left_over(), pytrace=False)


# The outcome of a test


@pytest.hookimpl(trylast=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Fail a test that passed despite a request without an answer, such as by a retry or by catching the error."""
    _fail_for_trouble(item.config)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """The same for what the fixtures of a test did at its end with a proxy that outlives it."""
    _fail_for_trouble(item.config)


def _fail_for_trouble(config: pytest.Config) -> None:
    __tracebackhide__ = True
    troubles = [opened.proxy.trouble(opened.told) for opened in config.stash[_open_key]]
    if any(troubles):
        pytest.fail("\n\n".join(filter(None, troubles)), pytrace=False)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    """Add to the report of a failed test which requests had no answer, and a remark about a possible cause."""
    outcome = yield
    if outcome.excinfo:
        return
    report: pytest.TestReport = outcome.get_result()
    for opened in item.config.stash[_open_key]:
        trouble = opened.proxy.trouble(opened.told)
        if call.when != "setup" or not report.passed:
            opened.told = opened.proxy.so_far()
            opened.passed += [report.passed] if call.when != "teardown" else []
        remark = opened.proxy.remark() if call.when != "teardown" else ""
        for text in (trouble, remark) if report.failed else ():
            if text not in report.longreprtext:
                report.sections.append(("ai-proxy", text))


# The report at the end


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Finish rewritten cassettes, if all tests have run; a worker of pytest-xdist puts the results into its output."""
    output, results = getattr(session.config, "workeroutput", None), _results(session.config)
    # Those of the context manager are taken from it only once.
    session.config.stash[_results_key] = results
    is_whole = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    is_whole = is_whole and not (session.shouldstop or session.shouldfail)
    if output is not None:
        output[_OUTPUT] = results
    elif results and is_whole and session.config.stash[_is_whole_key]:
        from .results import finish

        for error in finish(results):
            warnings.warn(pytest.PytestWarning(error), stacklevel=1)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist when the run began."""
    node.workerinput[_BEGAN] = node.config.stash[_began_key]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add the results of a pytest-xdist worker; a worker that crashed has none."""
    output = getattr(node, "workeroutput", {})
    node.config.stash[_results_key] += output.get(_OUTPUT, [])
    if _OUTPUT not in output:
        node.config.stash[_is_whole_key] = False


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the report on the run; with -q only if it is special (see report.py)."""
    results, verbosity = _results(config), config.getoption("verbose")
    if not results or verbosity < -1:
        return
    from .report import report

    told = report(results)
    if told.is_special and verbosity >= 0:
        terminalreporter.section("ai-proxy")
    elif verbosity < 0 and not told.is_special:
        return
    prefix = "" if told.is_special and verbosity >= 0 else "ai-proxy: "
    for line in (prefix + told.line, *told.files):
        terminalreporter.write_line(line)


def _results(config: pytest.Config) -> list[Result]:
    """The results of this process, with those of the context manager if a test used it."""
    context = sys.modules.get(f"{__package__}.context")
    return [*config.stash[_results_key], *(context.take_results() if context else ())]
