"""How long the fuzzers run: `--hostile=SECONDS` each, from a number that is new each time; or one input again."""

from __future__ import annotations

import secrets
from collections.abc import Generator, Iterator
from typing import Any, Final

import pytest

from tests.hostile.inputs import Inputs

_NUMBERS: Final = 2**48
_PROPERTY: Final = "hostile"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options. They exist where this folder, or a file in it, is named on the command line."""
    group = parser.getgroup("hostile", "fuzzers (tests/hostile)")
    group.addoption(
        "--hostile", type=float, metavar="SECONDS", help="run each fuzzer for so long, and say how many inputs it tried"
    )
    group.addoption("--hostile-input", type=int, metavar="NUMBER", help="try this input alone, as a failure names it")


@pytest.fixture
def inputs(request: pytest.FixtureRequest) -> Iterator[Inputs]:
    """The inputs of the fuzzer that wants them."""
    seconds, number = request.config.getoption("hostile", None), request.config.getoption("hostile_input", None)
    if number is not None:
        made = Inputs(first=number, only_one=True)
    else:
        made = Inputs(seconds, 0 if seconds is None else secrets.randbelow(_NUMBERS))
    yield made
    details = "".join(f", {count:,} {what}" for what, count in sorted(made.tally.items()))
    request.node.user_properties.append((_PROPERTY, f"{made.count:,} inputs{details}"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Say how the input at which a fuzzer failed is tried again."""
    try:
        return (yield)
    except BaseException as error:
        made = getattr(item, "funcargs", {}).get("inputs")
        if isinstance(made, Inputs):
            error.add_note(f"again: ./run.sh test '{item.nodeid}' --hostile-input={made.number}")
        raise


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say how many inputs each fuzzer tried, if it was told how long to run."""
    if config.getoption("hostile", None) is None:
        return
    terminalreporter.section("hostile inputs")
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, text in getattr(report, "user_properties", ()):
                if name == _PROPERTY and report.when == "teardown":
                    terminalreporter.line(f"{report.nodeid.rpartition('::')[2]}: {text}")
