"""Cassettes in use: what each mode replays, sends and writes."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from mitm_ai_proxy.cassette import har
from mitm_ai_proxy.cassette.bodies import CassetteError
from mitm_ai_proxy.cassette.budget import Budget
from mitm_ai_proxy.cassette.cassette import Cassette, Mode, Opening
from mitm_ai_proxy.cassette.entry import Entry, Request, Response
from mitm_ai_proxy.cassette.playing import Miss
from mitm_ai_proxy.cassette.scrubbing import Scrubber
from mitm_ai_proxy.kling.recorded_api import RECORDED_API

ORIGIN = "https://api-singapore.klingai.com"
SECRET = "a-most-secret-key"
JSON = (("Content-Type", "application/json"),)


def _create(prompt: str) -> Request:
    body = json.dumps({"model_name": "kling-v3", "prompt": prompt, "mode": "std", "duration": "5"}).encode()
    return Request("POST", f"{ORIGIN}/v1/videos/text2video", (*JSON, ("Authorization", f"Bearer {SECRET}")), body)


def _poll(task_id: str) -> Request:
    return Request("GET", f"{ORIGIN}/v1/videos/text2video/{task_id}")


def _entry(request: Request, data: Any) -> Entry:
    return Entry(1.0, 2.0, request, Response(200, "OK", JSON, json.dumps({"code": 0, "data": data}).encode()))


def _job(prompt: str, task_id: str) -> list[Entry]:
    link = f"https://cdn.example.org/{task_id}.mp4?sign=x"
    done = {"task_id": task_id, "task_status": "succeed", "task_result": {"videos": [{"url": link}]}}
    return [
        _entry(_create(prompt), {"task_id": task_id, "task_status": "submitted"}),
        _entry(_poll(task_id), {**done, "final_unit_deduction": "3"}),
        _entry(Request("GET", link), f"file of {task_id}"),
    ]


def _open(path: Path | None, mode: Mode, **more: Any) -> Cassette:
    return Cassette(Opening(path, mode, **more), Scrubber(known=[SECRET]), lambda: 0.0, prices=RECORDED_API)


def _says(answer: Entry | Miss | None) -> Any:
    assert isinstance(answer, Entry)
    assert answer.response
    return json.loads(answer.response.body)["data"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of the cassette."""
    return tmp_path / "folder" / "job.har"


@pytest.fixture
def recorded(path: Path) -> Path:
    """A cassette with one job."""
    har.write(path, [Scrubber(known=[SECRET]).entry(entry) for entry in _job("a cat", "1")])
    return path


# Mode, whether there is a file, and the outcome of a create that was recorded, and of one that was not.
MODES = [
    (Mode.NONE, True, "answer", "miss"),
    (Mode.ONCE, True, "answer", "miss"),
    (Mode.ONCE, False, "out", "out"),
    (Mode.NEW_EPISODES, True, "answer", "out"),
    (Mode.NEW_EPISODES, False, "out", "out"),
    (Mode.ALL, True, "out", "out"),
    (Mode.ALL, False, "out", "out"),
    (Mode.REWRITE, True, "out", "out"),
    (Mode.APPEND, True, "out", "out"),
]


@pytest.mark.parametrize(("mode", "is_there", "known", "unknown"), MODES)
def test_a_mode_says_what_answers_and_what_goes_out(
    mode: Mode, is_there: bool, known: str, unknown: str, path: Path
) -> None:
    if is_there:
        har.write(path, _job("a cat", "1"))
    cassette = _open(path, mode)
    words = {Entry: "answer", Miss: "miss", type(None): "out"}
    answers = [words[type(cassette.answer(_create(prompt)))] for prompt in ("a cat", "a dog")]

    assert answers == [known, unknown]
    assert cassette.is_recording == (unknown == "out")
    assert len(cassette.misses) == (unknown == "miss")
    assert path.exists() == is_there


# By mode: the content of a cassette that had "a cat", after "a cat" and "a dog" were recorded.
WRITTEN = {
    Mode.NEW_EPISODES: ["1", "1", "file of 1", "2", "2", "file of 2", "3", "3", "file of 3"],
    Mode.APPEND: ["1", "1", "file of 1", "2", "2", "file of 2", "3", "3", "file of 3"],
    Mode.ALL: ["2", "2", "file of 2", "3", "3", "file of 3"],
    Mode.REWRITE: ["2", "2", "file of 2", "3", "3", "file of 3"],
}


@pytest.mark.parametrize("mode", WRITTEN)
def test_what_is_recorded_joins_or_replaces_what_was_there(mode: Mode, recorded: Path) -> None:
    cassette = _open(recorded, mode)
    for entry in [*_job("a cat", "2"), *_job("a dog", "3")]:
        cassette.record(entry)
    assert cassette.settle(True).is_kept
    data = [_says(entry) for entry in har.read(recorded)]

    assert [item if isinstance(item, str) else item["task_id"] for item in data] == WRITTEN[mode]
    assert len(cassette.recorded) == 6
    assert SECRET.encode() not in recorded.read_bytes()


def test_recording_everything_keeps_what_was_not_asked_for_again(path: Path) -> None:
    har.write(path, [*_job("a cat", "1"), *_job("a dog", "2")])
    cassette = _open(path, Mode.ALL)
    cassette.record(_job("a dog", "3")[0])
    cassette.settle(True)

    assert [_says(entry) for entry in har.read(path)][3:] == [{"task_id": "3", "task_status": "submitted"}]
    assert len(har.read(path)) == 4


def test_a_missing_file_is_an_error_where_it_has_to_answer(path: Path) -> None:
    with pytest.raises(CassetteError, match=r"job\.har: there is no such cassette"):
        _open(path, Mode.NONE)
    cassette = _open(path, Mode.NONE, may_be_missing=True)
    miss = cassette.answer(_create("a cat"))

    assert isinstance(miss, Miss)
    assert (miss.nearest, miss.differences) == (None, ("nothing was recorded",))
    assert cassette.misses == (miss,)


def test_what_happened_is_told(recorded: Path) -> None:
    cassette = _open(recorded, Mode.NEW_EPISODES)
    cassette.answer(_create("a cat"))
    for _ in range(3):
        cassette.answer(_poll("1"))
    cassette.answer(_create("a dog"))
    cassette.record(_job("a dog", "2")[1])

    assert [entry.request.method for entry in cassette.replayed] == ["POST", "GET", "GET", "GET"]
    assert [entry.request.url.rpartition("/")[2] for entry in cassette.unused] == ["1.mp4?sign=scrubbed"]
    assert [entry.units for entry in cassette.recorded] == [3.0]
    assert cassette.misses == ()


def test_what_is_played_can_be_changed_and_the_file_stays(recorded: Path) -> None:
    before = recorded.read_bytes()
    cassette = _open(recorded, Mode.NONE, change=lambda entries: list(entries[1:]))

    assert isinstance(cassette.answer(_create("a cat")), Miss)
    assert _says(cassette.answer(_poll("1")))["task_status"] == "succeed"
    assert recorded.read_bytes() == before


def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cassette = _open(None, Mode.APPEND)
    assert cassette.answer(_create("a cat")) is None
    cassette.record(_job("a cat", "1")[0])

    assert len(cassette.recorded) == 1
    assert os.listdir(tmp_path) == []


def test_a_create_beyond_the_budget_is_refused(path: Path) -> None:
    cassette = _open(path, Mode.APPEND, budget=Budget(5, RECORDED_API))
    assert cassette.refusal(_create("a cat")) is None
    for entry in _job("a cat", "1"):
        cassette.record(entry)
    reason = cassette.refusal(_create("a dog"))

    assert reason
    assert "budget" in reason
    assert cassette.refusal(_poll("1")) is None


def test_a_write_that_failed_is_made_up_for_by_the_next(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cassette = _open(path, Mode.APPEND)
    first, second, _ = _job("a cat", "1")
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", _full)
        with pytest.raises(CassetteError, match=r"job\.har: could not be written \(No space left on device\)"):
            cassette.record(first)
    assert not path.exists()
    cassette.record(second)

    assert [entry.request.method for entry in har.read(path)] == ["POST", "GET"]


def _full(*paths: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("mode", [Mode.NEW_EPISODES, Mode.ALL, Mode.REWRITE, Mode.APPEND])
def test_two_that_record_into_one_file_lose_nothing(mode: Mode, recorded: Path) -> None:
    one, other = _open(recorded, mode), _open(recorded, Mode.APPEND)
    for number, (cassette, prompt) in enumerate([(one, "a"), (other, "b"), (one, "c"), (one, "d"), (other, "e")]):
        cassette.record(_job(prompt, f"n{number}")[0])
    found = [_says(entry) for entry in har.read(recorded)]
    tasks = [item["task_id"] for item in found if isinstance(item, dict)]

    assert tasks == ["1", "1", "n0", "n1", "n2", "n3", "n4"]


def test_a_file_that_somebody_damages_meanwhile_is_not_overwritten(recorded: Path) -> None:
    cassette = _open(recorded, Mode.APPEND)
    cassette.record(_job("a", "n1")[0])
    good = recorded.read_bytes()
    recorded.write_bytes(b"{")
    with pytest.raises(CassetteError, match="it ends too early"):
        cassette.record(_job("b", "n2")[0])
    assert recorded.read_bytes() == b"{"
    recorded.write_bytes(good)
    cassette.record(_job("c", "n3")[0])

    assert [_says(entry)["task_id"] for entry in har.read(recorded)[3:]] == ["n1", "n2", "n3"]


@pytest.mark.parametrize("mode", WRITTEN)
def test_a_file_that_cannot_be_written_for_a_while_loses_nothing(
    mode: Mode, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cassette = _open(recorded, mode)
    cassette.record(_job("a", "n1")[0])
    elsewhere = recorded.parent.rename(recorded.parent.with_name("elsewhere"))
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", _full)
        with pytest.raises(CassetteError):
            cassette.record(_job("b", "n2")[0])
    shutil.rmtree(recorded.parent)
    elsewhere.rename(recorded.parent)
    cassette.record(_job("c", "n3")[0])
    tasks = [item["task_id"] for item in map(_says, har.read(recorded)) if isinstance(item, dict)]

    assert tasks == ["1", "1", "n1", "n2", "n3"]


def test_long_bodies_are_kept_in_the_file_only(path: Path) -> None:
    cassette = _open(path, Mode.APPEND)
    request = Request("PUT", f"{ORIGIN}/x", (), b"a" * 100_000)
    cassette.record(Entry(1.0, 1.0, request, Response(200, "", (), b"b" * 100_000)))

    assert har.read(path)[0].request.body == request.body
    assert len(repr(cassette.recorded)) < 1000


def test_secrets_that_come_later_are_taken_out_too(path: Path) -> None:
    cassette = _open(path, Mode.APPEND)
    cassette.scrub_with(Scrubber(known=["another-secret"]))
    cassette.record(_entry(_create("another-secret"), {}))

    assert b"another-secret" not in path.read_bytes()


def test_exchanges_that_end_at_once_are_all_written(path: Path) -> None:
    cassette = _open(path, Mode.APPEND)
    threads = [threading.Thread(target=cassette.record, args=(_job(f"cat {n}", str(n))[0],)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {_says(entry)["task_id"] for entry in har.read(path)} == {str(n) for n in range(16)}


@pytest.mark.parametrize(
    ("place", "says"),
    [
        (".", "is a folder"),
        ("file/job.har", "could not be written"),
        ("pipe", "it is not a regular file"),
        ("/dev/null", "it is not a regular file"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_anything_is_paid(
    place: str, says: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CassetteError, match=says):
        _open(tmp_path / place, Mode.APPEND)
