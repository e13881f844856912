"""Which command a command line means: the word of the command at every place, and what is refused."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

import pytest
from mitmproxy.addonmanager import Loader
from mitmproxy.addons import default_addons
from mitmproxy.addons.dumper import Dumper
from mitmproxy.addons.readfile import ReadFile
from mitmproxy.test import taddons
from mitmproxy.tools import cmdline
from mitmproxy.tools.console.consoleaddons import ConsoleAddon
from mitmproxy.tools.web import webaddons as web_addons

from mitm_ai_proxy.commands import main
from mitm_ai_proxy.commands.command_line import COMMANDS, NAME, TOOLS, WITH_VALUE, WrongOrder, program, split
from tests.tables import table

OPTIONS = (
    "--config x.yaml",
    "--config=x.yaml",
    "-p 9000",
    "-p9000",
    "-qp 9000",
    "-q",
    "--listen-host ::1",
    "--set ai_simulate=true",
    "--set=ai_simulate=true",
    "--no-http2",
    "-k --config web -s demo",
    "--mode regular --set web=start",
)


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)


@table("command", COMMANDS)
@table("options", OPTIONS)
def test_a_command_is_understood_before_and_behind_each_option(command: str, options: str) -> None:
    given = options.split()

    assert split([command, *given]) == split([*given, command]) == (command, given)


@table(
    ("words", "expected"),
    [
        ("", ("start", "")),
        ("-q", ("start", "-q")),
        ("--config web", ("start", "--config web")),
        ("--set demo", ("start", "--set demo")),
        ("--config x.yaml ~u web", ("start", "--config x.yaml ~u web")),
        ("--config x.yaml kling", ("start", "--config x.yaml kling")),
        ("-q -- web", ("start", "-q -- web")),
        ("start -- web", ("start", "-- web")),
        ("start ~u web", ("start", "~u web")),
        ("start -q ~d demo", ("start", "-q ~d demo")),
        # A filter is mitmproxy's last argument.
        ("-p 1 start ~u a", ("start", "-p 1 ~u a")),
        ("-p 1 web --set a=b", ("web", "-p 1 --set a=b")),
        ("--port 1 simulate", ("simulate", "--port 1")),
        ("--config x cassette resume a.har", ("cassette", "resume a.har --config x")),
        ("demo web", ("demo", "web")),
        ("cassette show check", ("cassette", "show check")),
        ("--check docs other", ("docs", "other --check")),
    ],
)
def test_what_is_no_command_is_left_to_the_tool(words: str, expected: tuple[str, str]) -> None:
    command, rest = split(words.split())

    assert (command, " ".join(rest)) == expected


@table(
    ("words", "says"),
    [
        ("chekc", "unknown command chekc; did you mean check?"),
        ("replay", "unknown command replay"),
        (
            "--config x.yaml wep",
            "unknown command wep; did you mean web? (a flow filter stands behind the command start)",
        ),
        ("start web", "start and web are both commands; give one (as a flow filter: ~u web)"),
        ("web -p 1 console", "web and console are both commands"),
        ("-q web -p 1 demo", "web and demo are both commands"),
        ("kling web", "the command web stands before all other arguments: ai-proxy web ..."),
        ("-q kling check", "the command check stands before all other arguments: ai-proxy check ..."),
        ("--unknown value simulate", "the command simulate stands before all other arguments: ai-proxy simulate ..."),
        ("--list 9000 demo", "the command demo stands before all other arguments: ai-proxy demo ..."),
    ],
)
def test_an_unclear_command_is_refused(words: str, says: str) -> None:
    with pytest.raises(WrongOrder) as caught:
        split(words.split())

    assert str(caught.value).startswith(says)


@table("command", ["test", "lint", "bench"])
def test_the_commands_of_run_sh_are_known_where_it_was_called(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)
    assert split(["-q", command]) == ("start", ["-q", command])
    monkeypatch.setenv(NAME, "./run.sh")
    for words in (["-q", command], ["-q", "kling", command], ["--config", "x.yaml", command]):
        with pytest.raises(WrongOrder, match=f"{command} stands before all other arguments: ./run.sh {command} "):
            split(words)
    with pytest.raises(WrongOrder, match=f"web and {command} are both commands"):
        split(["web", command])


@table(
    ("given", "name"), [(None, "ai-proxy"), ("", "ai-proxy"), ("./run.sh", "./run.sh"), ("../a/run.sh", "../a/run.sh")]
)
def test_the_program_speaks_of_itself_by_the_name_that_it_was_called_with(
    given: str | None, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if given is not None:
        monkeypatch.setenv(NAME, given)

    assert program() == name
    for words in (["--help"], ["chekc"], ["cassette", "--help"], ["docs", "--help"], ["simulate", "--nothing"]):
        with pytest.raises(SystemExit):
            main.main(words)
        printed = "".join(capsys.readouterr())
        assert printed.startswith(f"usage: {name} ")
        assert ("ai-proxy" in printed.replace("ai-proxy cassette --help", "ai-proxy")) == (name == "ai-proxy")


async def _parser(tool: str) -> argparse.ArgumentParser:
    """The parser of one of mitmproxy's tools; its context wants a running loop."""
    with taddons.context() as context:
        loader = Loader(context.master)
        console: Any = ConsoleAddon(context.master)
        for addon in (*default_addons(), Dumper(), ReadFile(), web_addons.WebAddon(), console):
            if hasattr(addon, "load"):
                addon.load(loader)
        parser: argparse.ArgumentParser = getattr(cmdline, tool)(context.options)
        return parser


@table("tool", TOOLS.values())
def test_every_option_with_a_value_of_mitmproxys_tools_is_known(tool: str) -> None:
    parser = asyncio.run(_parser(tool))
    names = {action.nargs == 0: set[str]() for action in parser._actions if action.option_strings}
    for action in parser._actions:
        if action.option_strings:
            names[action.nargs == 0].update(action.option_strings)

    assert names[False] - WITH_VALUE == set()
    assert names[True] & WITH_VALUE == set()
