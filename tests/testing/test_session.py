"""The parts of the plugin that need no proxy: names of cassettes, plans, a test's requests, and the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mitm_ai_proxy.cassette.cassette import Mode
from mitm_ai_proxy.cassette.entry import Entry, Request, Response
from mitm_ai_proxy.cassette.spending import Spending
from mitm_ai_proxy.cassette.variations import Variation
from mitm_ai_proxy.testing import pytest_plugin
from mitm_ai_proxy.testing.report import report
from mitm_ai_proxy.testing.session import (
    Headers,
    Result,
    Unusable,
    UpstreamRequest,
    entry_name,
    make_test_run,
)
from tests.tables import table

CONFIG: dict[str, Any] = {"provider": {"type": "kling"}, "cassette": {"ignore": "size"}, "simulator": {"units": 5}}


def test_marks_are_merged_into_the_configuration() -> None:
    made = make_test_run(
        CONFIG, Path("x.har"), "once", {"pace": "real", "failed": "too dark"}, {"units": 3, "fault": "1303"}
    )

    assert made.config == {
        "provider": {"type": "kling"},
        "cassette": {"ignore": "size", "pace": "real"},
        "simulator": {"speed": "instant", "units": 3, "fault": "1303"},
    }
    assert (made.path, made.mode, made.variation, made.simulates) == (
        Path("x.har"), Mode.ONCE, Variation(failed="too dark"), True,
    )  # fmt: skip
    assert CONFIG["simulator"] == {"units": 5}


@table(
    ("marked", "variation"),
    [
        ({}, None),
        ({"name": "clip", "allow_unused": True}, None),
        ({"content_gone": False}, None),
        ({"content_gone": True}, Variation(content_gone=True)),
        ({"failed": ""}, Variation(failed="")),
        ({"slow": 4}, Variation(slow=4)),
        ({"error": 1303}, Variation(error=1303)),
    ],
)
def test_a_plan_has_the_variation_of_its_mark(marked: dict[str, Any], variation: Variation | None) -> None:
    assert make_test_run(CONFIG, Path("x.har"), "none", marked, None).variation == variation


def test_without_a_cassette_all_goes_out_and_nothing_is_written() -> None:
    made = make_test_run(CONFIG, None, "none", {}, {})
    assert (made.path, made.mode, made.simulates) == (None, Mode.APPEND, True)


@pytest.mark.parametrize(
    ("config", "marked", "complaint"),
    [
        ("provider: kling", {}, "ai_proxy_config: expected a dict"),
        (CONFIG, {"error": 17}, "ai_cassette: Kling has no error code 17"),
        (CONFIG, {"slow": 0}, "ai_cassette: .* 1 to 10000 polls"),
    ],
)
def test_a_plan_that_cannot_be_made_is_refused(config: Any, marked: dict[str, Any], complaint: str) -> None:
    with pytest.raises(Unusable, match=complaint):
        make_test_run(config, None, "none", marked, None)


def test_a_request_can_be_looked_into() -> None:
    fields = (("Content-Type", "application/json"), ("X-Tag", "a"), ("x-tag", "b"))
    request = UpstreamRequest("POST", "https://h.test/v1/a%20b?x=1&x=2&y=", Headers(fields), b'{"a": 1}')

    assert request.path == "/v1/a%20b"
    assert request.query == {"x": ["1", "2"], "y": [""]}
    assert request.json() == {"a": 1}
    assert request.headers["CONTENT-type"] == "application/json"
    assert request.headers["x-tag"] == "a, b"
    assert "X-TAG" in request.headers
    assert "authorization" not in request.headers
    assert request.headers.get("Authorization") is None
    assert list(request.headers) == ["content-type", "x-tag"]
    with pytest.raises(KeyError):
        request.headers["host"]


@pytest.mark.parametrize(
    ("url", "body", "shown"),
    [
        ("https://h.test/v1/videos", b'{"a": 1}', '<POST https://h.test/v1/videos {"a": 1}>'),
        ("https://h.test/x.mp4?sign=s-e-c-r-e-t&part=1", b"", "<POST https://h.test/x.mp4?part=1>"),
        ("https://h.test/", b"x" * 101, f"<POST https://h.test/ {'x' * 100}…>"),
        ("https://h.test/", b"\xff", "<POST https://h.test/ \ufffd>"),
    ],
)
def test_a_request_is_shown_in_one_line_without_what_signs_its_url(url: str, body: bytes, shown: str) -> None:
    assert repr(UpstreamRequest("POST", url, Headers(()), body)) == shown


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


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(
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


def test_exchanges_of_the_same_moment_have_names_of_their_own() -> None:
    bodies = [(b"a cat", b"1"), (b"a dog", b"1"), (b"a cat", b"2")]
    entries = [
        Entry(5.0, 1.0, Request("POST", "https://a/v1", (), ask), Response(200, "", (), said)) for ask, said in bodies
    ]
    entries.append(Entry(5.0, 1.0, Request("POST", "https://a/v1", (), b"a cat"), None))
    assert len({*map(entry_name, entries)}) == 4
