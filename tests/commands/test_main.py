"""The command `ai-proxy`: its output, its exit status, and the program of mitmproxy that it executes.

For errors in a configuration see tests/config, for the start of the programs see tests/e2e/test_start.py.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import yaml

from mitm_ai_proxy.commands import main
from mitm_ai_proxy.commands.command_line import COMMANDS

GOOD = "provider: {type: kling, apiTokens: [token], providerDomain: 'http://provider.test:81'}"
HERE = Path("config.yaml")
REVERSE = ["--mode", "reverse:http://provider.test:81", "--set", "connection_strategy=lazy"]
HOST = ["--listen-host", "127.0.0.1"]
PORT = ["--listen-port", "8080"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a valid config.yaml; AI_PROXY_HOME is not set."""
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / HERE).write_text(GOOD)
    monkeypatch.chdir(folder)
    for name in ("AI_PROXY_HOME", "AI_PROXY_NAME"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this environment's programs, with mitmproxy's tools; PATH is empty."""
    programs = _tools(tmp_path / "environment")
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    monkeypatch.setenv("PATH", "")
    return programs


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The programs, with their arguments, that would have been executed in place of this process."""
    executed: list[list[str]] = []

    def execute(program: str, arguments: list[str]) -> None:
        assert arguments[0] == program
        executed.append(arguments)

    monkeypatch.setattr(os, "execv", execute)
    return executed


def _tools(folder: Path) -> Path:
    folder.mkdir()
    for name in ("mitmdump", "mitmweb", "mitmproxy"):
        (folder / name).touch(mode=0o755)
    return folder


def _arguments(*arguments: str, config: Path = HERE) -> list[str]:
    return ["-s", str(main.script()), "--set", f"ai_config={config}", *arguments]


def test_check_says_which_provider_a_good_configuration_has(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["check"]) == 0
    assert capsys.readouterr() == ("config.yaml: provider kling at http://provider.test:81\n", "")


ROUTED = """
providers:
  - {id: kling, type: kling, apiTokens: t, providerDomain: kling.test}
  - {id: local, type: generic, genericHost: 'http://127.0.0.1:9'}
  - {id: other, type: klong}
activeProviderId: local
routes: [{model: [kling-*, a], provider: kling}, {path: /v1/b, provider: local}, {model: kling-v3, provider: local}]
"""


def test_check_says_where_each_provider_in_use_is_and_what_is_likely_to_be_a_mistake(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / HERE).write_text(ROUTED)

    assert main.main(["check"]) == 0
    assert capsys.readouterr() == (
        "config.yaml: provider kling (kling) at https://kling.test\n"
        "config.yaml: provider local (generic) at http://127.0.0.1:9, where no route matches\n"
        "  no apiTokens: requests are sent without a key; the client's own is sent with sendClientKey: true\n"
        "config.yaml: routes[0] (model kling-* or a): kling\n"
        "config.yaml: routes[1] (path /v1/b): local\n"
        "config.yaml: routes[2] (model kling-v3): local\n",
        "config.yaml: warning: routes[2] is never reached: routes[0] takes all that it would\n",
    )


def test_a_filter_of_ours_is_known_to_the_tool_before_it_reads_its_options(
    folder: Path, executed: list[list[str]]
) -> None:
    (folder / HERE).write_text(ROUTED)

    main.main(["start", "~ai refused"])
    main.main(["web", "--set", "view_filter=~ai cost>1"])
    main.main(["web"])

    assert executed[0][1:4] == ["-m", "mitm_ai_proxy.commands.filtered", "mitmdump"]
    assert executed[1][1:4] == ["-m", "mitm_ai_proxy.commands.filtered", "mitmweb"]
    assert executed[1][-1] == "view_filter=~ai cost>1"
    assert executed[2][0].endswith("mitmweb")


def test_the_tool_starts_at_the_active_provider_of_several(folder: Path, executed: list[list[str]]) -> None:
    (folder / HERE).write_text(ROUTED)

    main.main([])
    assert "reverse:http://127.0.0.1:9" in executed[0]


@pytest.mark.parametrize("provider", ["local", "second"])
def test_missing_keys_lead_to_simulation_only_where_all_providers_are_kling(
    provider: str, folder: Path, executed: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / HERE).write_text(
        "providers: [{id: kling, type: kling}, {id: second, type: kling}, {id: local, type: openai}]\n"
        f"routes: [{{model: a, provider: kling}}, {{model: b, provider: {provider}}}]\n"
    )

    assert main.main(["start"]) == (1 if provider == "local" else None)
    assert len(executed) == (provider == "second")
    if provider == "local":
        assert "providers[0].klingAccessKey: no credential" in capsys.readouterr().err
    else:
        assert executed[0][-1] == "ai_simulate=true"


def test_a_key_in_the_file_beside_the_configuration_is_used_by_what_is_started(
    folder: Path, executed: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOT_YET_SET", "")
    monkeypatch.delenv("NOT_YET_SET")
    (folder / HERE).write_text("provider: {type: kling, apiTokens: '${NOT_YET_SET}'}")
    (folder / ".env").write_text("NOT_YET_SET=token\n")

    main.main(["start"])
    assert os.environ["NOT_YET_SET"] == "token"
    assert not any("simulate" in word for word in executed[0])


@pytest.mark.parametrize("arguments", [["check", "--config", "other.yaml"], ["check", "--config=other.yaml"]])
def test_check_takes_another_configuration(
    arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "other.yaml").write_text("provider: {type: openai}")

    assert main.main(arguments) == 0
    assert capsys.readouterr().out == "other.yaml: provider openai at https://api.openai.com\n"


def test_check_says_that_the_url_of_one_api_serves_no_other(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / HERE).write_text("provider: {type: openai, openaiCustomUrl: 'https://h.test/v1/chat/completions'}")

    assert main.main(["check"]) == 0
    assert capsys.readouterr().out == (
        "config.yaml: provider openai at https://h.test\n"
        "  openaiCustomUrl is the URL of one API: only /v1/chat/completions is served, all else is refused.\n"
    )


@pytest.mark.parametrize("command", [["check"], ["start", "--set", "ai_simulate=false"]])
def test_a_missing_credential_is_one_line_and_nothing_is_started(
    command: list[str], folder: Path, executed: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / HERE).write_text("provider: {type: kling, apiTokens: ['${NO_SUCH_KEY:-}']}")

    assert main.main(command) == 1
    assert executed == []
    assert capsys.readouterr() == (
        "",
        "ai-proxy: config.yaml: provider.klingAccessKey: no credential: give klingAccessKey and klingSecretKey,"
        " or apiTokens (in the environment: NO_SUCH_KEY)\n",
    )


@pytest.mark.parametrize(
    ("command", "rest"),
    [
        (["start"], ["--set", "ai_simulate=true"]),
        (["web", "-p", "9000"], ["--set", "ai_simulate=true", "-p", "9000"]),
        (["--set", "ai_simulate=true"], ["--set", "ai_simulate=true"]),
        (["--set=ai_simulate=true"], ["--set=ai_simulate=true"]),
    ],
)
def test_without_a_credential_the_tool_simulates(
    command: list[str], rest: list[str], folder: Path, executed: list[list[str]]
) -> None:
    (folder / HERE).write_text("provider: {type: kling, apiTokens: ['${NO_SUCH_KEY:-}']}")

    main.main(command)
    assert executed[0][-len(rest) :] == rest
    assert sum("ai_simulate" in word for word in executed[0]) == 1


def test_a_simulation_that_is_asked_for_needs_no_key_whatever_the_type(
    folder: Path, executed: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / HERE).write_text("provider: {type: moonshot}")

    assert main.main(["start"]) == 1
    assert "MOONSHOT_API_KEY" in capsys.readouterr().err
    main.main(["start", "--set", "ai_simulate=true"])
    assert executed[0][-2:] == ["--set", "ai_simulate=true"]


def test_what_is_set_last_decides_whatever_its_spelling(
    folder: Path, executed: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / HERE).write_text("provider: {type: kling}")

    main.main(["--set", "ai_simulate=false", "--set=ai_simulate=true"])
    assert len(executed) == 1
    assert main.main(["--set=ai_simulate=true", "--set", "ai_simulate=false"]) == 1


def test_what_is_wrong_with_cassettes_is_found_before_the_start(
    folder: Path, executed: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / HERE).write_text("provider: {type: kling, apiTokens: [t]}\ncassette: {pace: soon}")

    assert main.main(["check"]) == main.main(["start"]) == 1
    assert "cassette.pace: expected instant, real" in capsys.readouterr().err
    assert executed == []


def test_the_demo_takes_no_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["demo", "--config", "other.yaml"])
    assert "demo takes no configuration" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["${NO_SUCH_KEY:-}", "${NO_SUCH_KEY}"])
def test_what_a_cassette_answers_needs_no_credential_and_no_simulation(
    key: str, folder: Path, executed: list[list[str]]
) -> None:
    (folder / HERE).write_text(f"provider: {{type: kling, apiTokens: ['{key}']}}")

    main.main(["start", "--set", "ai_replay=job.har"])
    assert executed[0][-2:] == ["--set", "ai_replay=job.har"]
    assert not any("simulate" in word for word in executed[0])


def test_with_a_credential_nothing_is_simulated(folder: Path, executed: list[list[str]]) -> None:
    (folder / HERE).write_text("provider: {type: kling, apiTokens: [t]}")

    main.main(["start"])
    assert not any("simulate" in word for word in executed[0])


@pytest.mark.parametrize(
    "wrong", ["klingAccessKey: a", "klingApi: v3", "klingAccessKey: '${NO_SUCH_KEY}'", "type: openai"]
)
def test_a_configuration_that_is_wrong_besides_is_not_simulated(
    wrong: str, folder: Path, executed: list[list[str]]
) -> None:
    (folder / HERE).write_text(f"provider: {{type: kling, {wrong}}}")

    assert main.main(["start"]) == 1
    assert executed == []


def test_a_wrong_setting_of_the_simulator_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / HERE).write_text(
        "provider: {type: kling, apiTokens: [t]}\nsimulator: {speed: quick, fault: odd, concurency: 3}"
    )

    for command in ("check", "start", "simulate"):
        assert main.main([command]) == 1
        assert capsys.readouterr().err == (
            "ai-proxy: config.yaml:\n"
            "  simulator.concurency: unknown key; did you mean concurrency?\n"
            "  simulator.speed: expected instant, real, or how many times faster (0.01 to 1000000)\n"
            "  simulator.fault: unknown fault (known: CODE, accepted=CODE, failed, picture, slow, stuck, lost,"
            " truncated, garbage, gone)\n"
        )


def test_several_mistakes_are_lines_below_the_name_of_the_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / HERE).write_text("provider: {type: openai, apiToken: a, protocol: b}\nhost: c")

    assert main.main(["check"]) == 1
    assert capsys.readouterr().err == (
        "ai-proxy: config.yaml:\n"
        "  host: unknown key; did you mean hosts?\n"
        "  provider.apiToken: unknown key; did you mean apiTokens?\n"
        "  provider.protocol: unknown value 'b' (known: openai, original)\n"
    )


def test_a_missing_file_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["check", "--config", "absent.yaml"]) == 1
    assert "absent.yaml: cannot be read: there is no such file (ai-proxy init" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("here", "home", "expected"),
    [
        (True, None, HERE),
        (True, "home", HERE),
        (False, "home", Path("home/config.yaml")),
        (False, "", main.packaged("config.yaml")),
        (False, None, main.packaged("config.yaml")),
    ],
)
def test_the_configuration_is_that_of_the_current_folder_else_that_of_the_home_or_package(
    here: bool, home: str | None, expected: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not here:
        (folder / HERE).unlink()
    if home is not None:
        monkeypatch.setenv("AI_PROXY_HOME", home)

    assert main.default_config() == expected


def test_script_prints_an_existing_file_whatever_the_configuration(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / HERE).unlink()

    assert main.main(["script"]) == 0
    printed = Path(capsys.readouterr().out.removesuffix("\n"))
    assert printed.is_absolute()
    assert "addons = " in printed.read_text()


@pytest.mark.parametrize(("name", "beside"), [("ai_proxy.py", "addon"), ("config.yaml", ".")])
@pytest.mark.parametrize("installed", [True, False])
def test_script_and_configuration_are_inside_an_installed_package_and_beside_one_in_a_checkout(
    installed: bool, name: str, beside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "addon" / "mitm_ai_proxy"
    (package / "script").mkdir(parents=True)
    if installed:
        (package / "script" / name).touch()
    monkeypatch.setattr(main, "__file__", str(package / "commands" / "main.py"))

    assert main.packaged(name) == (package / "script" if installed else tmp_path / beside) / name


def test_the_configuration_of_the_package_is_that_of_the_pytest_plugin(request: pytest.FixtureRequest) -> None:
    plugins = request.getfixturevalue("ai_proxy_config")

    assert yaml.safe_load(main.packaged("config.yaml").read_text()) == plugins


@pytest.mark.parametrize("command", [["start"], ["web"], ["check"], []])
def test_without_any_file_that_of_the_package_is_used_and_named(
    command: list[str],
    folder: Path,
    executed: list[list[str]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (folder / HERE).unlink()
    monkeypatch.setenv("KLING_API_KEY", "token")
    main.main(command)
    used = main.packaged("config.yaml")

    printed = capsys.readouterr()
    assert printed.err.startswith(f"ai-proxy: there is no config.yaml here, so {used} is used")
    assert [f"ai_config={used}" in words for words in executed] == ([] if command == ["check"] else [True])


def test_without_any_file_and_key_the_tool_simulates(
    folder: Path, executed: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / HERE).unlink()
    for name in ("KLING_API_KEY", "KLING_ACCESS_KEY", "KLING_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    main.main([])

    assert "ai_simulate=true" in executed[0]


@pytest.mark.parametrize(
    ("command", "tool"),
    [([], "mitmdump"), (["start"], "mitmdump"), (["web"], "mitmweb"), (["console"], "mitmproxy")],
)
def test_a_command_becomes_the_tool_of_this_environment(
    command: list[str],
    tool: str,
    folder: Path,
    programs: Path,
    executed: list[list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", str(_tools(tmp_path / "elsewhere")))
    main.main(command)

    assert executed == [[str(programs / tool), *_arguments(*REVERSE, *HOST, *PORT)]]


@pytest.mark.parametrize(
    ("words", "tool", "rest"),
    [
        ("inspect", "mitmweb", (*HOST, *PORT)),
        ("inspect -p 9000 --mode socks5", "mitmweb", (*HOST, "-p", "9000", "--mode", "socks5")),
        ("console --set ai_inspect=true", "mitmproxy", (*HOST, *PORT, "--set", "ai_inspect=true")),
    ],
)
def test_who_only_looks_needs_no_configuration_and_no_key(
    words: str, tool: str, rest: tuple[str, ...], programs: Path, executed: list[list[str]]
) -> None:
    main.main(words.split())

    script = ("-s", str(main.script()), "--set", "ai_inspect=true")
    assert executed == [[str(programs / tool), *script, *rest]]


def test_looking_takes_no_configuration(executed: list[list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["inspect", "--config", "config.yaml"])

    assert executed == []
    assert "inspect takes no configuration: it changes nothing" in capsys.readouterr().err


def test_a_tool_that_this_environment_lacks_is_taken_from_the_search_path(
    folder: Path, programs: Path, executed: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (programs / "mitmdump").unlink()
    elsewhere = _tools(tmp_path / "elsewhere")
    monkeypatch.setenv("PATH", str(elsewhere))
    main.main(["start"])

    assert [program for program, *_ in executed] == [str(elsewhere / "mitmdump")]


def test_a_tool_that_is_nowhere_ends_the_command_with_its_name(
    folder: Path, programs: Path, executed: list[list[str]]
) -> None:
    (programs / "mitmweb").unlink()
    with pytest.raises(SystemExit, match="ai-proxy: mitmweb is not installed beside"):
        main.main(["web"])

    assert executed == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--config other.yaml", _arguments(*REVERSE, *HOST, *PORT, config=Path("other.yaml"))),
        ("start -q --config=other.yaml", _arguments(*REVERSE, *HOST, *PORT, "-q", config=Path("other.yaml"))),
        ("--set flow_detail=3 ~u", _arguments(*REVERSE, *HOST, *PORT, "--set", "flow_detail=3", "~u")),
        ("-p 9000", _arguments(*REVERSE, *HOST, "-p", "9000")),
        ("-p9000", _arguments(*REVERSE, *HOST, "-p9000")),
        ("--listen-port=9000", _arguments(*REVERSE, *HOST, "--listen-port=9000")),
        ("--listen-host 0.0.0.0", _arguments(*REVERSE, *PORT, "--listen-host", "0.0.0.0")),
        ("--listen-host=::1 -p 1", _arguments(*REVERSE, "--listen-host=::1", "-p", "1")),
        ("-m regular", _arguments(*HOST, *PORT, "-m", "regular")),
        ("-mregular", _arguments(*HOST, *PORT, "-mregular")),
        ("--mode upstream:http://a", _arguments(*HOST, *PORT, "--mode", "upstream:http://a")),
        ("--mode=regular --mode=socks5", _arguments(*HOST, *PORT, "--mode=regular", "--mode=socks5")),
        ("--set mode=regular", _arguments(*HOST, *PORT, "--set", "mode=regular")),
        ("--set=listen_port=9000 -q", _arguments(*REVERSE, *HOST, "--set=listen_port=9000", "-q")),
        ("--set listen_host=::1", _arguments(*REVERSE, *PORT, "--set", "listen_host=::1")),
        ("--set model=a listen_port=1", _arguments(*REVERSE, *HOST, *PORT, "--set", "model=a", "listen_port=1")),
        ("--set", _arguments(*REVERSE, *HOST, *PORT, "--set")),
        ("--modern --listen-hosts", _arguments(*REVERSE, *HOST, *PORT, "--modern", "--listen-hosts")),
    ],
)
def test_arguments_go_to_the_tool_and_win_over_the_defaults(
    words: str, expected: list[str], folder: Path, programs: Path, executed: list[list[str]]
) -> None:
    (folder / "other.yaml").write_text(GOOD)
    main.main(words.split())

    assert [arguments for _, *arguments in executed] == [expected]


def test_the_arguments_of_the_process_are_taken_by_default(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["ai-proxy", "check"])

    assert main.main() == 0
    assert capsys.readouterr().out.startswith("config.yaml: ")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("chekc", "unknown command chekc; did you mean check?"),
        ("tape", "unknown command tape"),
        ("check --verbose x", "check does not take --verbose x"),
        ("script x", "script does not take x"),
        ("check --config", "argument --config: expected one argument"),
        ("check --conf other.yaml", "check does not take --conf other.yaml"),
    ],
)
def test_a_slip_in_the_command_ends_with_its_name_and_the_usage(
    words: str, says: str, folder: Path, executed: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main(words.split())

    assert caught.value.code == 2
    assert executed == []
    error = capsys.readouterr().err
    assert error.startswith("usage: ai-proxy [start|web|console|inspect|")
    assert error.endswith(f"ai-proxy: error: {says}\n")


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main(["--help"])

    assert caught.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    for command in COMMANDS:
        assert any(line.startswith(f"{command} ") for line in lines)


def test_a_reader_that_has_enough_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert main.main(["script"]) == 1
