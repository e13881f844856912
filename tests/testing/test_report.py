"""The report at the end of a run."""

from __future__ import annotations

import pytest

from mitm_ai_proxy.cassette.spending import Spending
from mitm_ai_proxy.testing import pytest_plugin
from mitm_ai_proxy.testing.report import report
from mitm_ai_proxy.testing.results import Result
from tests.tables import table

FREE = Spending(0, 0, 0, 0, 0, 0, 0)


def result(
    file: str,
    unused: list[str] | None = None,
    cost: Spending = FREE,
    saved: Spending = FREE,
    pretended: Spending = FREE,
    remark: str = "",
    **counts: int,
) -> Result:
    return {
        "file": file,
        "path": f"/{file}",
        "recorded": counts.get("recorded", 0),
        "simulated": counts.get("simulated", 0),
        "replayed": counts.get("replayed", 0),
        "missed": counts.get("missed", 0),
        "refused": counts.get("refused", 0),
        "unused": unused,
        "cost": list(cost),
        "saved": list(saved),
        "told": "",
        "pretended": list(pretended),
        "remark": remark,
    }


PAID = Spending(3, 0.42, 1, 0, 0, 0, 0)
OPEN = Spending(3, 0.42, 1, 1, 0, 0, 3)
UNKNOWN = Spending(0, 0, 2, 0, 2, 0, 0)


@table(
    ("results", "line", "files", "is_special"),
    [
        ([result("a", [])], "nothing was asked for", [], False),
        ([result("a", [], saved=PAID, replayed=4)], "4 replayed; replaying saved 3 units, about $0.42", [], False),
        ([result("a", [], simulated=2)], "2 simulated", [], False),
        ([result("a", [], recorded=2)], "2 recorded; recording cost nothing", [], True),
        (
            [result("a", [], cost=PAID, recorded=2), result("b", [], cost=OPEN, saved=PAID, recorded=1, replayed=1)],
            "1 replayed, 3 recorded; recording cost 6 units, about $0.84 (3 units of it expected, not charged yet);"
            " replaying saved 3 units, about $0.42",
            [],
            True,
        ),
        (
            [result("a", [], cost=UNKNOWN, recorded=2)],
            "2 recorded; recording cost nothing, and what is not known of 2 jobs",
            [],
            True,
        ),
        (
            [result("b", missed=1), result("a", missed=1), result("b", missed=1)],
            "3 missed",
            ["a: 1 missed", "b: 2 missed"],
            True,
        ),
        ([result("a", ["1", "2"], replayed=1)], "1 replayed, 2 unused", ["a: 2 unused"], True),
        ([result("a", refused=1)], "1 refused", [], True),
        (
            [result("a", [], saved=PAID, pretended=PAID, replayed=4)],
            "4 replayed; replaying saved 3 units, about $0.42 (simulated)",
            [],
            False,
        ),
        (
            [result("a", [], saved=PAID, pretended=PAID, replayed=4), result("b", [], saved=OPEN, replayed=1)],
            "5 replayed; replaying saved 6 units, about $0.84 (3 units, about $0.42 of it simulated)",
            [],
            False,
        ),
        (
            [result("a", [], replayed=4), result("a", [], remark="is shared", replayed=1)],
            "5 replayed",
            ["a is shared"],
            True,
        ),
    ],
)
def test_the_report_says_what_happened_and_what_it_cost(
    results: list[Result], line: str, files: list[str], is_special: bool
) -> None:
    assert report(results) == (line, files, is_special)


@table(
    ("verbosity", "count", "lines"),
    [
        (0, "replayed", ["ai-proxy: 1 replayed"]),
        (0, "missed", ["= ai-proxy =", "1 missed", "a: 1 missed"]),
        (-1, "replayed", []),
        (-1, "missed", ["ai-proxy: 1 missed", "a: 1 missed"]),
        (-2, "missed", []),
    ],
)
def test_quiet_is_quiet(verbosity: int, count: str, lines: list[str]) -> None:
    written: list[str] = []

    class Reporter:
        write_line = written.append

        def section(self, title: str) -> None:
            written.append(f"= {title} =")

    class Config:
        stash = pytest.Stash()

        def getoption(self, name: str) -> int:
            assert name == "verbose"
            return verbosity

    counts = {count: 1}
    Config.stash[pytest_plugin._results_key] = [result("a", None, FREE, FREE, FREE, "", **counts)]
    pytest_plugin.pytest_terminal_summary(Reporter(), Config())  # type: ignore[arg-type]
    assert written == lines


@table(
    ("left", "files"),
    [
        ([["1", "2"], ["2", "3"]], ["a: 1 unused"]),
        ([["1", "2"], ["3"]], []),
        ([["1", "2"], []], []),
        ([["1", "2"], None], ["a: 2 unused"]),
        ([None, None], []),
    ],
)
def test_a_recording_is_unused_when_no_test_asked_for_it(left: list[list[str] | None], files: list[str]) -> None:
    assert report([result("a", unused) for unused in left]).files == files
