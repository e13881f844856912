"""What becomes of a test's recordings at its end, and of old ones at the end of a run that rewrites them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from mitm_ai_proxy.cassette import har
from mitm_ai_proxy.cassette.cassette import Cassette, Mode, Opening, keep_only, name
from mitm_ai_proxy.cassette.entry import Entry, Request, Response
from mitm_ai_proxy.cassette.scrubbing import Scrubber
from mitm_ai_proxy.kling.recorded_api import RECORDED_API
from tests.tables import table

ORIGIN = "https://api-singapore.klingai.com"
JSON = (("Content-Type", "application/json"),)
FILE = b"\xff" * 9


def _create(prompt: str, status: int | None = 200, at: float = 1.0) -> Entry:
    body = json.dumps({"model_name": "kling-v3", "prompt": prompt, "mode": "std", "duration": "5"}).encode()
    request = Request("POST", f"{ORIGIN}/v1/videos/text2video", JSON, body)
    data = (
        {"code": 0, "data": {"task_id": f"{prompt}{at}", "task_status": "submitted"}} if status == 200 else {"code": 1}
    )
    answer = None if status is None else Response(status, "", JSON, json.dumps(data).encode())
    return Entry(at, 1.0, request, answer)


def _file(prompt: str, at: float = 1.0) -> Entry:
    content = FILE + f"{prompt}{at}".encode()
    request = Request("GET", f"{ORIGIN}/v1/videos/text2video/{prompt}{at}")
    return Entry(at, 2.0, request, Response(200, "", (("Content-Type", "video/mp4"),), content))


def _open(path: Path, mode: Mode, began: float = 10.0) -> Cassette:
    opening = Opening(path, mode, is_of_this_run=True, run_began=began)
    return Cassette(opening, Scrubber(), lambda: 0.0, prices=RECORDED_API)


def _recorded(path: Path, mode: Mode, entries: Sequence[Entry]) -> Cassette:
    cassette = _open(path, mode)
    for entry in entries:
        cassette.record(entry)
    return cassette


def _state(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def _empty(folder: Path) -> None:
    """Remove what the row before has left."""
    shutil.rmtree(folder)
    folder.mkdir()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of the cassette."""
    return tmp_path / "job.har"


class Case(NamedTuple):
    """The old entries, the new ones, whether the test passed, and whether these are kept, or stand in another file."""

    mode: Mode
    old: Sequence[Entry]
    new: Sequence[Entry]
    passed: bool
    is_kept: bool
    is_aside: bool = False


A, NEW_A = [_create("a"), _file("a")], [_create("a", at=20), _file("a", 20)]
AGAIN = (Mode.ALL, Mode.REWRITE)
FIRST = (Mode.ONCE, Mode.NEW_EPISODES, *AGAIN)
FAILED = [(status, [_create("a", status, 20)]) for status in (400, 401, 403, 404, 429, 500, 502, 503, None)]
CASES = {
    **{f"good again, {mode.value}": Case(mode, A, NEW_A, True, True) for mode in AGAIN},
    **{f"paid and failed, {mode.value}": Case(mode, A, NEW_A, False, False, True) for mode in AGAIN},
    **{
        f"{status}, {mode.value}, {'passed' if passed else 'failed'}": Case(
            mode, A, new, passed, False, status is None or status >= 500
        )
        for mode in AGAIN
        for status, new in FAILED
        for passed in (True, False)
    },
    **{f"a failure by a failure, {mode.value}": Case(mode, [_create("a", 401)], FAILED[1][1], True, True)
       for mode in AGAIN},
    **{f"first, {mode.value}": Case(mode, [], NEW_A, True, True) for mode in FIRST},
    **{f"first and failed, {mode.value}": Case(mode, [], NEW_A, False, True) for mode in FIRST},
    **{f"first {status}, failed": Case(Mode.ONCE, [], new, False, False, status is None or status >= 500)
       for status, new in FAILED},
    **{f"first {status}, passed": Case(Mode.ONCE, [], new, True, True) for status, new in FAILED},
    **{f"another request, {mode.value}": Case(mode, A, [_create("b", at=20)], False, True)
       for mode in (Mode.NEW_EPISODES, *AGAIN)},
    **{f"another request and 401, {mode.value}": Case(mode, A, [_create("b", 401, 20)], False, False)
       for mode in (Mode.NEW_EPISODES, *AGAIN)},
}  # fmt: skip


@table("case", CASES.values(), ids=CASES)
def test_a_recording_is_kept_if_it_is_better(path: Path, case: Case) -> None:
    _empty(path.parent)
    if case.old:
        har.write(path, case.old)
    before = _state(path.parent)
    cassette = _recorded(path, case.mode, case.new)
    settled = cassette.settle(case.passed)

    aside = path.with_name("job.new.har")
    assert settled.is_kept == case.is_kept
    assert settled.aside == (aside if case.is_aside else None)
    if case.is_kept:
        assert settled.names == tuple(map(name, case.new))
        stays = [] if case.mode in AGAIN and case.new[0].request == A[0].request else case.old
        assert har.read(path) == [*stays, *case.new]
        assert har.tidy(path) == []
    else:
        assert {file: content for file, content in _state(path.parent).items() if ".new." not in file} == before
    if case.is_aside:
        assert har.read(aside) == case.new
        har.remove(aside)
    if path.exists():
        har.remove(path)
    assert list(path.parent.iterdir()) == []


@table("mode", AGAIN)
def test_what_another_test_of_the_run_recorded_is_never_replaced(path: Path, mode: Mode) -> None:
    _empty(path.parent)
    har.write(path, A)
    one, other = _open(path, mode), _open(path, mode)
    for cassette, at in ((one, 20.0), (other, 21.0)):
        cassette.record(_create("a", at=at))
    assert one.settle(True).is_kept
    assert other.settle(True).is_kept
    third = _recorded(path, mode, [_create("a", at=22)])
    assert third.settle(True).is_kept

    assert [entry.started for entry in har.read(path)] == [20, 21, 22]


@table("is_kept", [True, False])
def test_what_others_record_meanwhile_stays(path: Path, is_kept: bool) -> None:
    _empty(path.parent)
    har.write(path, A)
    cassette = _recorded(path, Mode.REWRITE, NEW_A)
    _recorded(path, Mode.APPEND, [_create("b", at=21), _file("b", 21)])
    assert cassette.settle(is_kept).is_kept == is_kept

    found = [entry.started for entry in har.read(path)]
    assert found == ([20, 20, 21, 21] if is_kept else [1, 1, 21, 21])


def test_a_file_that_cannot_be_read_is_replaced_by_rewrite_alone(path: Path) -> None:
    path.write_text("{")
    _recorded(path, Mode.REWRITE, NEW_A)
    assert har.read(path) == NEW_A


ROWS = {
    "all was recorded anew": ([*A, *NEW_A], NEW_A, NEW_A),
    "nothing else is there": (NEW_A, NEW_A, NEW_A),
    "no success among the new": ([*A, _create("b", 503, 20)], [_create("b", 503, 20)], [*A, _create("b", 503, 20)]),
    "no success at all": ([_create("a", 401), _create("b", 503, 20)], [_create("b", 503, 20)], [_create("b", 503, 20)]),
}


@table(("there", "kept", "expected"), ROWS.values(), ids=ROWS)
def test_the_end_of_a_rewriting_run_drops_the_rest(
    path: Path, there: list[Entry], kept: list[Entry], expected: list[Entry]
) -> None:
    _empty(path.parent)
    har.write(path, there)
    keep_only(path, {name(entry) for entry in kept})
    assert har.read(path) == expected
    assert har.tidy(path) == []
