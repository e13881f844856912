"""`ai-proxy cassette`: which function each command calls, with which arguments, and messages about wrong arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mitm_ai_proxy.cassette import har
from mitm_ai_proxy.commands import cassette_refresh, cassette_resume, main

USED: dict[str, tuple[list[str], dict[str, Any]]] = {
    "resume": (["resume", "a.har"], {"interval": 5.0, "timeout": 1800.0}),
    "resume with all": (["resume", "a.har", "--interval", "0.5", "--timeout=9"], {"interval": 0.5, "timeout": 9.0}),
    "refresh": (
        ["refresh", "a.har"],
        {"out": None, "budget": None, "yes": False, "interval": 5.0, "timeout": 1800.0},
    ),
    "refresh with all": (
        ["refresh", "a.har", "-o", "b.har", "--budget", "3", "--yes", "--interval", "0"],
        {"out": Path("b.har"), "budget": 3.0, "yes": True, "interval": 0.0, "timeout": 1800.0},
    ),
}


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The arguments of refresh() and resume(), which are replaced."""
    calls: list[tuple[Any, ...]] = []

    def resume(path: Path, config: Path, **more: Any) -> int:
        calls.append((path, config, more))
        return 7

    def refresh(path: Path, config: Path, out: Path | None, **more: Any) -> int:
        calls.append((path, config, {"out": out, **more}))
        return 7

    monkeypatch.setattr(cassette_resume, "resume", resume)
    monkeypatch.setattr(cassette_refresh, "refresh", refresh)
    return calls


@pytest.mark.parametrize("name", USED)
@pytest.mark.parametrize(("given", "config"), [([], "config.yaml"), (["--config", "other.yaml"], "other.yaml")])
def test_a_command_that_needs_a_provider_gets_what_was_given(
    name: str, given: list[str], config: str, used: list[tuple[Any, ...]]
) -> None:
    words, more = USED[name]

    assert main.main(["cassette", *words, *given]) == 7
    assert used == [(Path("a.har"), Path(config), more)]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["resume"], "the following arguments are required: FILE"),
        (["resume", "a.har", "--interval", "soon"], "argument --interval: expected a number from 0 on"),
        (["resume", "a.har", "--yes"], "unrecognized arguments: --yes"),
        (["refresh", "a.har", "--budget=-1"], "argument --budget: expected a number from 0 on"),
        (["refresh", "a.har", "--timeout", "inf"], "argument --timeout: expected a number from 0 on"),
        (["play", "a.har"], "invalid choice: 'play'"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_wrong_arguments_are_named(
    words: list[str], says: str, used: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(["cassette", *words])

    assert ended.value.code == 2
    assert says in capsys.readouterr().err
    assert used == []


def test_the_others_need_no_provider_and_no_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    har.write(Path("a.har"), [])

    assert main.main(["cassette", "check", "a.har"]) == 0
    assert "a.har: good, 0 exchanges in 0 jobs" in capsys.readouterr().out
