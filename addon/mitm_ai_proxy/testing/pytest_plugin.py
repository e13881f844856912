"""The pytest plugin: options, marks, fixtures and hooks. See session.py for the proxy of a test.

Every run of pytest loads this file; it imports the rest of the package when a test uses the proxy.
"""

from __future__ import annotations

import argparse
import difflib
import math
import time
import warnings
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from .session import AIProxy, Result, Session

MODES: Final = ("none", "once", "new_episodes", "all", "rewrite")
"""The record modes; see cassette.Mode."""
CASSETTE: Final = "ai_cassette"
SIMULATE: Final = "ai_simulate"
VARIATIONS: Final = ("failed", "error", "content_gone", "slow")
"""Arguments of ai_cassette that exclude each other: one in a closer mark replaces any in the others."""

_OUTPUT: Final = "ai_proxy"
"""Key of the results in the output of a pytest-xdist worker."""
_BEGAN: Final = "ai_proxy_began"
"""Key of the run's begin in the input of a worker: Unix time."""
_TYPES: Final[Mapping[str, tuple[tuple[type, ...], str]]] = {
    "name": ((str,), "a text"),
    "mode": ((str,), "a text"),
    "pace": ((str, int, float), "'instant', 'real' or a number"),
    "failed": ((str,), "a message"),
    "error": ((int,), "one of Kling's codes"),
    "content_gone": ((bool,), "True or False"),
    "slow": ((int,), "a number of polls"),
    "allow_unused": ((bool,), "True or False"),
}
"""The arguments of ai_cassette: their types, and words for these in messages. None means not given."""

_proxy_key: pytest.StashKey[AIProxy] = pytest.StashKey()
_told_key: pytest.StashKey[str] = pytest.StashKey()
_passed_key: pytest.StashKey[bool] = pytest.StashKey()
_results_key: pytest.StashKey[list[Result]] = pytest.StashKey()
_began_key: pytest.StashKey[float] = pytest.StashKey()
_is_whole_key: pytest.StashKey[bool] = pytest.StashKey()


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
    config.stash[_results_key] = []
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


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Make a wrong mark an error of collection, before any test runs."""
    report = yield
    complaint = next(filter(None, map(_complaint, report.result or ())), "")
    if complaint:
        report.outcome, report.longrepr, report.result = "failed", complaint, []
    return report


def _complaint(node: pytest.Item | pytest.Collector) -> str:
    """A message about the first wrong mark of a test; "" if all are right."""
    for name, complain in ((CASSETTE, _cassette_complaint), (SIMULATE, _simulate_complaint)):
        for mark in node.iter_markers(name) if isinstance(node, pytest.Item) else ():
            text = complain(mark)
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


def _cassette_complaint(mark: pytest.Mark) -> str:
    """What is wrong with a mark ai_cassette; "" if nothing."""
    given = _arguments(mark)
    if len(mark.args) > 1 or (mark.args and "name" in mark.kwargs):
        return "takes one name"
    for name, value in given.items():
        if name not in _TYPES:
            return _unknown(name, _TYPES)
        types, words = _TYPES[name]
        if value is not None and (not isinstance(value, types) or (isinstance(value, bool) and bool not in types)):
            return f"takes {words} as {name}"
    if given.get("name") == "":
        return "takes a name that is not empty"
    if given.get("mode") not in (None, *MODES):
        return f"takes one of {', '.join(MODES)} as mode"
    varied = [name for name in VARIATIONS if given.get(name) is not None and given[name] is not False]
    return f"takes one of {' and '.join(varied)}" if len(varied) > 1 else ""


def _simulate_complaint(mark: pytest.Mark) -> str:
    """What is wrong with a mark ai_simulate; "" if nothing."""
    if mark.args:
        return "takes arguments by name only"
    if not mark.kwargs:
        return ""
    from ..config.keys import declared
    from ..simulator.settings import SimulatorSettings

    keys = declared(SimulatorSettings)
    return next((_unknown(name, keys) for name in mark.kwargs if name not in keys), "")


def _unknown(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"has no argument {name}; " + (f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}")


def _arguments(mark: pytest.Mark) -> dict[str, Any]:
    """The arguments of a mark by name; the one positional argument is `name`."""
    return {**dict(zip(("name",), mark.args, strict=False)), **mark.kwargs}


def _merged(item: pytest.Item, name: str) -> dict[str, Any] | None:
    """The arguments of all marks with this name, each from the closest mark that has it; None without a mark."""
    marks = list(item.iter_markers(name))
    merged: dict[str, Any] = {}
    for mark in reversed(marks):
        given = _arguments(mark)
        if not given.keys().isdisjoint(VARIATIONS):
            merged = {key: value for key, value in merged.items() if key not in VARIATIONS}
        merged |= given
    return {key: value for key, value in merged.items() if value is not None} if marks else None


# Fixtures


@pytest.fixture(scope="session")
def ai_proxy_config() -> dict[str, Any]:
    """What config.yaml would hold. Override it to name another provider, or other credentials."""
    return {
        "provider": {
            "type": "kling",
            "klingAccessKey": "${KLING_ACCESS_KEY:-}",
            "klingSecretKey": "${KLING_SECRET_KEY:-}",
            "apiTokens": ["${KLING_API_KEY:-}"],
        }
    }


@pytest.fixture(scope="session")
def ai_record_mode() -> str:
    """How a test is recorded for which neither --ai-record nor its mark says it. Override it."""
    return "none"


@pytest.fixture
def ai_cassette_dir(request: pytest.FixtureRequest) -> Path:
    """The folder of the cassettes of a test: cassettes/MODULE beside the module. Override it."""
    return request.path.parent / "cassettes" / request.path.stem


@pytest.fixture(scope="session")
def _ai_proxy_session(pytestconfig: pytest.Config) -> Iterator[Session]:
    """The proxy of this process."""
    from .session import Session, Unusable

    budget, share = pytestconfig.getoption("--ai-budget"), ""
    workers = getattr(pytestconfig, "workerinput", {}).get("workercount", 1)
    if budget is not None and workers > 1:
        share = f" (Each of the {workers} workers has an equal share of --ai-budget={budget:g}.)"
        budget /= workers
    session = Session(budget, share, getattr(pytestconfig, "workerinput", {}).get(_BEGAN))
    try:
        session.start()
    except Unusable as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    yield session
    session.stop()


@pytest.fixture
def ai_proxy(
    request: pytest.FixtureRequest,
    ai_proxy_config: Mapping[str, Any],
    ai_record_mode: str,
    ai_cassette_dir: str | Path,
    _ai_proxy_session: Session,
) -> Iterator[AIProxy]:
    """A proxy in front of an AI provider that answers from the test's cassette. Clients get `ai_proxy.base_url`."""
    from .session import PATIENCE, Unusable, file_name, make_test_run, path_of

    item, config, session = request.node, request.config, _ai_proxy_session
    marked, simulated = _merged(item, CASSETTE), _merged(item, SIMULATE)
    arguments = marked or {}
    # A plugin may run a test several times with the same item.
    item.stash[_passed_key], item.stash[_told_key] = False, ""
    if _proxy_key in item.stash:
        del item.stash[_proxy_key]
    try:
        mode = config.getoption("--ai-record") or arguments.get("mode") or ai_record_mode
        if mode not in MODES:
            raise Unusable(f"ai_record_mode: there is no mode {mode!r}; there are {', '.join(MODES)}")
        path = None
        if simulated is None or marked is not None:
            classes = [node.name for node in item.listchain() if isinstance(node, pytest.Class)]
            name = arguments.get("name") or file_name([*classes, item.name])
            path = path_of(config.rootpath / ai_cassette_dir, name)
        proxy = session.begin(make_test_run(ai_proxy_config, path, mode, arguments, simulated))
    except Unusable as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    item.stash[_proxy_key] = proxy
    yield proxy
    if not session.end(proxy, item.stash[_passed_key]):
        text = f"{item.nodeid}: an exchange was still under way {PATIENCE:g} s after the end of the test"
        warnings.warn(pytest.PytestWarning(text), stacklevel=1)
    passed = item.stash[_passed_key] and not arguments.get("allow_unused")
    config.stash[_results_key].append(proxy.result(passed))
    trouble = proxy.trouble()
    if trouble != item.stash[_told_key]:
        pytest.fail(trouble, pytrace=False)
    if passed and config.getoption("--ai-strict") and proxy.left_over():
        pytest.fail(proxy.left_over(), pytrace=False)


# The outcome of a test


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test that passed despite a request without an answer, such as by a retry or by catching the error."""
    __tracebackhide__ = True
    result = yield
    proxy = item.stash.get(_proxy_key, None)
    if proxy and proxy.trouble():
        pytest.fail(proxy.trouble(), pytrace=False)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to the report of a failed test which requests had no answer, and a remark about a possible cause."""
    report = yield
    proxy = item.stash.get(_proxy_key, None)
    if proxy and call.when != "teardown":
        trouble = item.stash[_told_key] = proxy.trouble()
        item.stash[_passed_key] = report.passed
        for text in (trouble, proxy.remark()) if report.failed else ():
            if text not in report.longreprtext:
                report.sections.append(("ai-proxy", text))
    return report


# The report at the end


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Finish rewritten cassettes, if all tests have run; a worker of pytest-xdist puts the results into its output."""
    output, results = getattr(session.config, "workeroutput", None), session.config.stash[_results_key]
    is_whole = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    is_whole = is_whole and not (session.shouldstop or session.shouldfail)
    if output is not None:
        output[_OUTPUT] = results
    elif results and is_whole and session.config.stash[_is_whole_key]:
        from .session import finish

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
    results = config.stash[_results_key]
    verbosity = config.get_verbosity()
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
