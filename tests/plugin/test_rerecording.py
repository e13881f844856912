"""Recording again, and by several tests and workers: what was paid for stays, and what is better takes its place."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from mitm_ai_proxy.cassette import har
from mitm_ai_proxy.commands.cassette_files import main
from tests.plugin.conftest import Project, Provider

pytest_plugins = ["pytester"]

JOB = """
import os


def test_job(client):
    assert client.video("kept")
    assert not os.environ.get("FAIL")
"""
LENIENT = """
def test_job(client):
    assert client.create("kept").status >= 400
"""
SHARED = """
import os

import pytest

pytestmark = pytest.mark.ai_cassette("shared")


@pytest.mark.parametrize("number", range(4))
def test_shared(client, number):
    assert client.video(f"number {number}")
    assert str(number) != os.environ.get("FAIL")
"""


def _paid(provider: Provider) -> int:
    """The number of creates since the last call."""
    asked = Counter(line.partition(" ")[0] for line in provider.asked)
    provider.asked.clear()
    provider.forget()
    return asked["POST"]


def _state(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def _prompts(path: Path) -> list[str]:
    bodies = [json.loads(entry.request.body) for entry in har.read(path) if entry.request.method == "POST"]
    return sorted(body["prompt"] for body in bodies)


FAILURES = [
    *((failure, "rewrite") for failure in ("wrong key", "429", "503", "test")),
    ("503", "all"),
    ("test", "all"),
    # The last, since the provider does not come back.
    ("down", "rewrite"),
]


def _remove_new(folder: Path) -> None:
    """Remove what a failed recording has left beside the old one."""
    for path in folder.rglob("*.new*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _spoil(failure: str, project: Project, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    if failure == "wrong key":
        monkeypatch.setenv("KLING_SECRET_KEY", "wrong")
    elif failure == "down":
        provider.close()
    elif failure == "test":
        monkeypatch.setenv("FAIL", "yes")
    else:
        provider.failure = failure


def test_a_recording_that_fails_leaves_the_old_one_to_the_byte(
    recording: Project, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording.write(test_kept=JOB)
    recording.run("--ai-record=once").assert_outcomes(passed=1)
    folder = recording.path / "cassettes"
    before = _state(folder)
    for failure, mode in FAILURES:
        _paid(provider)
        with monkeypatch.context() as spoiled:
            _spoil(failure, recording, provider, spoiled)
            result = recording.run(f"--ai-record={mode}")
        provider.failure = ""
        assert result.parseoutcomes().get("passed", 0) == 0
        text = result.stdout.str()
        after = _state(folder)

        assert {name: content for name, content in after.items() if ".new" not in name} == before
        is_paid = failure in ("test", "503")
        assert any(".new" in name for name in after) == is_paid, failure
        if failure != "down":
            assert "test_job.har is as it was, since the test failed" in text
            assert ("what it may have paid for is in test_job.new.har" in text) == is_paid
        assert bool(re.search(r"recording cost [\d.]+ units", text)) == is_paid
        if (failure, mode) == ("test", "all"):
            # What is beside the old recording is not played.
            recording.run().assert_outcomes(passed=1)
        _remove_new(folder)
    for name in ("KLING_ACCESS_KEY", "KLING_SECRET_KEY"):
        monkeypatch.delenv(name)
    recording.run().assert_outcomes(passed=1)


def test_a_passing_test_without_a_success_leaves_a_recording_that_has_one(
    recording: Project, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording.write(test_kept=JOB)
    recording.run("--ai-record=once").assert_outcomes(passed=1)
    cassette = recording.path / "cassettes/test_kept/test_job.har"
    before = cassette.read_bytes()
    recording.write(test_kept=LENIENT)
    for failure in ("wrong key", "503"):
        with monkeypatch.context() as spoiled:
            _spoil(failure, recording, provider, spoiled)
            result = recording.run("--ai-record=rewrite")

        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(["*test_job.har is as it was, since no request had a success*"])
        assert cassette.read_bytes() == before


def test_a_recording_that_succeeds_leaves_nothing_of_the_old_one(
    recording: Project, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    recording.write(test_kept=JOB)
    recording.run("--ai-record=once").assert_outcomes(passed=1)
    cassette = recording.path / "cassettes/test_kept/test_job.har"
    for mode in ("rewrite", "all"):
        before = har.read(cassette)
        _paid(provider)
        recording.run(f"--ai-record={mode}").assert_outcomes(passed=1)

        assert _paid(provider) == 1
        after = har.read(cassette)
        assert len(after) == len(before)
        assert min(entry.started for entry in after) > max(entry.started for entry in before)
        assert main(["check", str(cassette)]) == 0, capsys.readouterr().out


def test_a_first_run_that_fails_is_not_the_recording(
    recording: Project, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording.write(test_kept=JOB)
    failures = [("wrong key", "once"), ("429", "new_episodes"), ("wrong key", "rewrite")]
    for failure, mode in failures:
        with monkeypatch.context() as spoiled:
            _spoil(failure, recording, provider, spoiled)
            result = recording.run(f"--ai-record={mode}")
        result.assert_outcomes(failed=1)
        assert "units" not in result.stdout.str()
        assert _state(recording.path / "cassettes") == {}
        provider.failure = ""

        recording.run(f"--ai-record={mode}").assert_outcomes(passed=1)
        recording.run().assert_outcomes(passed=1)
        shutil.rmtree(recording.path / "cassettes")
        provider.forget()
    provider.close()
    result = recording.run("--ai-record=once")
    result.assert_outcomes(failed=1)
    assert "units" not in result.stdout.str()
    assert not (recording.path / "cassettes").exists() or _state(recording.path / "cassettes") == {}


def test_an_old_recording_of_a_failure_says_where_it_came_from(
    recording: Project, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording.write(test_kept=LENIENT)
    monkeypatch.setenv("KLING_SECRET_KEY", "wrong")
    recording.run("--ai-record=once").assert_outcomes(passed=1)
    recording.write(test_kept=JOB)
    result = recording.run("--ai-record=once")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "This was not answered by the provider, but from cassettes/test_kept/test_job.har:",
            "  POST http://127.0.0.1:*/v1/videos/text2video: 401",
            "--ai-record=rewrite records it anew.",
        ]
    )


def test_a_shared_cassette_is_recorded_whole_and_once(
    recording: Project, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording.write(test_several=SHARED)
    cassette = recording.path / "cassettes/test_several/shared.har"
    prompts = [f"number {number}" for number in range(4)]

    recording.run("--ai-record=once").assert_outcomes(passed=4)
    assert (_paid(provider), _prompts(cassette)) == (4, prompts)
    recording.run("--ai-record=once").assert_outcomes(passed=4)
    recording.run().assert_outcomes(passed=4)
    assert _paid(provider) == 0

    first = {entry.started for entry in har.read(cassette)}
    recording.run("--ai-record=rewrite").assert_outcomes(passed=4)
    assert (_paid(provider), _prompts(cassette)) == (4, prompts)
    assert first.isdisjoint(entry.started for entry in har.read(cassette))

    _rewrite_with_a_failure(recording, cassette, monkeypatch)


def test_workers_record_a_shared_cassette_whole_and_once(
    recording: Project, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording.write(test_several=SHARED)
    cassette = recording.path / "cassettes/test_several/shared.har"
    recording.run("--ai-record=once", "-n2").assert_outcomes(passed=4)
    assert (_paid(provider), _prompts(cassette)) == (4, [f"number {number}" for number in range(4)])
    _rewrite_with_a_failure(recording, cassette, monkeypatch, "-n2")


def _rewrite_with_a_failure(recording: Project, cassette: Path, monkeypatch: pytest.MonkeyPatch, *workers: str) -> None:
    """Record again while test 2 fails: its recording stays, those of the others are new, and all replay."""
    prompts = _prompts(cassette)
    before = {entry.started for entry in har.read(cassette)}
    monkeypatch.setenv("FAIL", "2")
    recording.run("--ai-record=rewrite", *workers).assert_outcomes(passed=3, failed=1)
    assert _prompts(cassette) == prompts
    stayed = [entry for entry in har.read(cassette) if entry.started in before and entry.request.method == "POST"]
    assert [json.loads(entry.request.body)["prompt"] for entry in stayed] == ["number 2"]
    monkeypatch.delenv("FAIL")
    recording.run().assert_outcomes(passed=4)


def test_a_shared_cassette_is_recorded_whole_from_the_simulator(project: Project) -> None:
    project.write(test_several=SHARED)
    recorded = project.run("--ai-record=once", "--ai-simulate")
    recorded.assert_outcomes(passed=4)
    recorded.stdout.fnmatch_lines(["* recorded; recording cost nothing"])
    again = project.run("--ai-record=once", "--ai-simulate")
    again.assert_outcomes(passed=4)
    again.stdout.fnmatch_lines(["* replayed; replaying saved * (simulated)"])


def test_a_rewriting_run_that_ends_early_drops_nothing_of_tests_that_did_not_run(
    recording: Project, provider: Provider
) -> None:
    recording.write(test_several=SHARED, test_afterwards="def test_fails(ai_proxy):\n    assert False\n")
    recording.run("--ai-record=once", "test_several.py").assert_outcomes(passed=4)
    cassette = recording.path / "cassettes/test_several/shared.har"
    _paid(provider)
    tests = ("test_several.py::test_shared[0]", "test_afterwards.py", "test_several.py::test_shared[1]")
    recording.run("--ai-record=rewrite", "-x", *tests).assert_outcomes(passed=1, failed=1)
    assert _prompts(cassette) == [f"number {number}" for number in range(4)]
    recording.run("test_several.py").assert_outcomes(passed=4)


def test_a_request_that_is_gone_is_dropped_by_rewrite_and_kept_by_all(recording: Project, provider: Provider) -> None:
    recording.write(test_several=SHARED)
    recording.run("--ai-record=once").assert_outcomes(passed=4)
    cassette = recording.path / "cassettes/test_several/shared.har"
    for mode, count in (("all", 4), ("rewrite", 2)):
        _paid(provider)
        recording.run(f"--ai-record={mode}", "-k", "0 or 1").assert_outcomes(passed=2)
        assert len(_prompts(cassette)) == count
