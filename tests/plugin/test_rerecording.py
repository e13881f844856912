"""Recording again, and by several tests and workers: what was paid for stays, and what is better takes its place."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from mitm_ai_proxy.cassette import har
from mitm_ai_proxy.commands.cassette_files import main
from tests.plugin.conftest import Project, Provider

pytest_plugins = ["pytester"]

JOB = """
def test_job(client):
    assert client.video("kept")
"""
FAILING = """
import os

import pytest

IS_FAILING = "FAIL" in os.environ


@pytest.fixture
def failure(request):
    return request.node.callspec.params["failure"] if IS_FAILING else ""


@pytest.fixture
def ai_proxy_config(ai_proxy_config, failure):
    wrong = {"wrong key": {"klingSecretKey": "wrong"}, "down": {"providerDomain": "http://127.0.0.1:9"}}
    return {"provider": {**ai_proxy_config["provider"], **wrong.get(failure, {})}}
"""
KEPT = f"""{FAILING}

@pytest.mark.parametrize("failure", ["wrong key", "429", "503", "down", "test"], indirect=True)
def test_job(client, request, failure):
    assert client.video(request.node.name)
    assert failure != "test"


@pytest.mark.parametrize("failure", ["wrong key", "503"], indirect=True)
def test_lenient(client, request, failure):
    assert (client.create(request.node.name).status == 200) == (not failure)
"""
FIRST = f"""{FAILING}

def marked(mode, failure):
    return pytest.param(failure, marks=pytest.mark.ai_cassette(mode=mode), id=f"{{failure}} {{mode}}")


FAILURES = [("once", "wrong key"), ("new_episodes", "429"), ("rewrite", "wrong key"), ("once", "down")]


@pytest.mark.parametrize("failure", [marked(*each) for each in FAILURES], indirect=True)
def test_job(client, failure):
    assert client.video("429" if failure == "429" else "first")
"""
OLD = """
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
CREATED = SHARED.replace("video", "create")
NUMBERS = [f"number {number}" for number in range(4)]


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


PAID = ["test_job[503]", "test_job[test]", "test_lenient[503]"]
"""The tests of KEPT that may have paid when they failed."""


def test_a_recording_that_fails_or_has_no_success_leaves_the_old_one_to_the_byte(
    recording: Project, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording.write(test_kept=KEPT)
    recording.run("--ai-record=once").assert_outcomes(passed=7)
    folder = recording.path / "cassettes" / "test_kept"
    before = _state(folder)
    provider.failures = {"test_job[429]": "429", "test_job[503]": "503", "test_lenient[503]": "503"}
    for mode, new in (("rewrite", "new"), ("all", "new1")):
        _paid(provider)
        with monkeypatch.context() as failing:
            failing.setenv("FAIL", "yes")
            result = recording.run(f"--ai-record={mode}")
        result.assert_outcomes(passed=2, failed=5)
        text = result.stdout.str()
        after = _state(folder)

        assert {name: content for name, content in after.items() if ".new" not in name} == before
        assert sorted(name for name in after if name.endswith(f".{new}.har")) == [f"{name}.{new}.har" for name in PAID]
        for name in (f"test_{name}" for name in ("job[wrong key]", "job[429]", "job[503]", "job[test]")):
            assert f"{name}.har is as it was, since the test failed" in text
        for name in ("test_lenient[wrong key]", "test_lenient[503]"):
            assert f"{name}.har is as it was, since no request had a success" in text
        assert re.findall("what it may have paid for is in (.*)", text) == [f"{name}.{new}.har" for name in PAID]
        assert "recording cost 9 units, about $1.26 (6 units of it expected, not charged yet)" in text
    # What is beside the old recordings is not played.
    for name in ("KLING_ACCESS_KEY", "KLING_SECRET_KEY"):
        monkeypatch.delenv(name)
    recording.run().assert_outcomes(passed=7)


def test_a_recording_that_succeeds_leaves_nothing_of_the_old_one(
    recording: Project, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    recording.write(test_kept=JOB, test_several=CREATED)
    recording.run("--ai-record=once").assert_outcomes(passed=5)
    cassette = recording.path / "cassettes/test_kept/test_job.har"
    shared = recording.path / "cassettes/test_several/shared.har"
    # A request that is gone is kept by all and dropped by rewrite.
    for mode, count in (("all", 4), ("rewrite", 2)):
        before, before_shared = har.read(cassette), har.read(shared)
        _paid(provider)
        recording.run(f"--ai-record={mode}", "-k", "job or 0 or 1").assert_outcomes(passed=3)

        assert _paid(provider) == 3
        after = har.read(cassette)
        assert len(after) == len(before)
        assert min(entry.started for entry in after) > max(entry.started for entry in before)
        assert _prompts(shared) == NUMBERS[:count]
        of_before = {entry.started for entry in before_shared}
        assert sum(entry.started in of_before for entry in har.read(shared)) == count - 2
        assert main(["check", str(cassette)]) == 0, capsys.readouterr().out


def test_a_first_run_that_fails_is_not_the_recording(
    recording: Project, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording.write(test_kept=FIRST)
    provider.failures = {"429": "429"}
    with monkeypatch.context() as failing:
        failing.setenv("FAIL", "yes")
        result = recording.run()
    result.assert_outcomes(failed=4)
    assert "units" not in result.stdout.str()
    assert _state(recording.path / "cassettes") == {}

    provider.failures = {}
    recording.run().assert_outcomes(passed=4)
    asked = len(provider.asked)
    recording.run("--ai-record=none").assert_outcomes(passed=4)
    assert len(provider.asked) == asked


def test_an_old_recording_of_a_failure_says_where_it_came_from(
    recording: Project, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording.write(test_kept=OLD)
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


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["alone", "workers"])
def test_a_shared_cassette_is_recorded_whole_and_once(
    workers: tuple[str, ...], recording: Project, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording.write(test_several=SHARED)
    cassette = recording.path / "cassettes/test_several/shared.har"
    recording.run("--ai-record=once", *workers).assert_outcomes(passed=4)
    assert (_paid(provider), _prompts(cassette)) == (4, NUMBERS)
    if not workers:
        recording.run("--ai-record=once").assert_outcomes(passed=4)
        assert _paid(provider) == 0

    # Record again while test 2 fails: its recording stays, those of the others are new, and all replay.
    before = {entry.started for entry in har.read(cassette)}
    monkeypatch.setenv("FAIL", "2")
    recording.run("--ai-record=rewrite", *workers).assert_outcomes(passed=3, failed=1)
    assert _prompts(cassette) == NUMBERS
    stayed = [entry for entry in har.read(cassette) if entry.started in before and entry.request.method == "POST"]
    assert [json.loads(entry.request.body)["prompt"] for entry in stayed] == ["number 2"]
    monkeypatch.delenv("FAIL")
    recording.run().assert_outcomes(passed=4)


def test_a_shared_cassette_is_recorded_whole_from_the_simulator(project: Project) -> None:
    project.write(test_several=CREATED)
    recorded = project.run("--ai-record=once", "--ai-simulate")
    recorded.assert_outcomes(passed=4)
    recorded.stdout.fnmatch_lines(["* recorded; recording cost nothing"])
    again = project.run("--ai-record=once", "--ai-simulate")
    again.assert_outcomes(passed=4)
    again.stdout.fnmatch_lines(["* replayed; replaying saved * (simulated)"])


def test_a_rewriting_run_that_ends_early_drops_nothing_of_tests_that_did_not_run(
    recording: Project, provider: Provider
) -> None:
    recording.write(test_several=CREATED, test_afterwards="def test_fails(ai_proxy):\n    assert False\n")
    recording.run("--ai-record=once", "test_several.py").assert_outcomes(passed=4)
    cassette = recording.path / "cassettes/test_several/shared.har"
    _paid(provider)
    tests = ("test_several.py::test_shared[0]", "test_afterwards.py", "test_several.py::test_shared[1]")
    recording.run("--ai-record=rewrite", "-x", *tests).assert_outcomes(passed=1, failed=1)
    assert _prompts(cassette) == NUMBERS
    recording.run("test_several.py").assert_outcomes(passed=4)
