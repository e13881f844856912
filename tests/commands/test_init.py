"""`ai-proxy init`: what it writes, where keys go, and what it asks a person at a terminal."""

from __future__ import annotations

import os
import pty
import select
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from mitm_ai_proxy import registry
from mitm_ai_proxy.commands import init, main
from mitm_ai_proxy.providers.base import Provider
from tests.tables import table

KEY = "sk-s3cret-of-the-test"
CONFIG, DOTENV = Path("config.yaml"), Path(".env")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, which is empty; nobody can be asked, and no key is in the environment."""
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    for name in [name for name in os.environ if name.endswith(("_API_KEY", "_KEY", "_PROXY_NAME"))]:
        monkeypatch.delenv(name)
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        yield tmp_path
    # What a command took from `.env`.
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


def _init(*words: str) -> int:
    return main.main(["init", *words])


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# By type, what a type needs besides its key.
PLACES = {"baseUrl": "http://host.test:1/v1"}
NEEDS = {"cloudflare": ["--cloudflare-account-id", "abc"], "deepl": ["--target-lang", "ZH"]}


def _place(kind: type[Provider]) -> list[str]:
    if not kind.needs:
        return []
    return NEEDS.get(kind.type, ["--base-url", PLACES["baseUrl"]])


@table("choice", list(init.choices().values()))
def test_every_choice_makes_a_configuration_that_starts(
    choice: init.AuthChoice, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = [word for wanted in choice.wanted for word in (wanted.option, KEY)]

    assert _init("--force", "--auth-choice", choice.name, *keys, *_place(registry.TYPES[choice.type])) == 0
    out, err = capsys.readouterr()
    text = CONFIG.read_text()
    assert KEY not in text + out + err
    assert all(f"{wanted.variable}={KEY}" in DOTENV.read_text() for wanted in choice.wanted)
    environment = {wanted.variable: KEY for wanted in choice.wanted}
    provider = registry.provider(registry.read(CONFIG, environment))
    assert (provider.type, set(provider.secrets())) == (choice.type, {KEY})
    assert f"config.yaml: provider {choice.type} at {provider.origin}" in out


def test_the_file_names_a_variable_and_the_key_is_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert _init("--auth-choice", "kilocode-api-key", "--kilocode-api-key", KEY) == 0

    assert CONFIG.read_text() == (
        "# Made by ai-proxy init. All keys: docs/configuration.md\n"
        'provider:\n  type: kilocode\n  apiTokens: ["${KILOCODE_API_KEY}"]\n'
    )
    assert (DOTENV.read_text(), _mode(DOTENV)) == (f"KILOCODE_API_KEY={KEY}\n", 0o600)
    assert capsys.readouterr() == (
        "config.yaml: provider kilocode at https://api.kilo.ai\n"
        "  the history of this shell has the key that --kilocode-api-key gave\n"
        "  .env: KILOCODE_API_KEY, for you alone to read\n"
        "Nothing was sent. To start: ai-proxy\n",
        "",
    )
    # As it is started, with the key from the file.
    assert main.main(["check"]) == 0
    assert os.environ["KILOCODE_API_KEY"] == KEY


def test_the_option_of_a_key_says_which_provider_it_is() -> None:
    assert _init("--groq-api-key", KEY) == 0

    assert yaml.safe_load(CONFIG.read_text())["provider"]["type"] == "groq"


def test_of_a_key_in_the_environment_only_the_name_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KLING_ACCESS_KEY", "a" + KEY)
    monkeypatch.setenv("KLING_SECRET_KEY", "b" + KEY)

    assert _init("--auth-choice", "kling-key-pair") == 0
    assert not DOTENV.exists()
    assert yaml.safe_load(CONFIG.read_text())["provider"] == {
        "type": "kling",
        "klingAccessKey": "${KLING_ACCESS_KEY}",
        "klingSecretKey": "${KLING_SECRET_KEY}",
    }
    out, err = capsys.readouterr()
    assert KEY not in out + err
    assert "KLING_ACCESS_KEY of the environment" in out


def test_the_option_wins_over_the_environment_and_the_environment_over_the_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "other")

    assert _init("--groq-api-key", KEY) == 0
    assert DOTENV.read_text() == f"GROQ_API_KEY={KEY}\n"
    assert "GROQ_API_KEY of this shell is another key, and wins over .env" in capsys.readouterr().out


def test_a_key_that_is_in_the_file_already_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    DOTENV.write_text(f"GROQ_API_KEY={KEY}\nOTHER=1\n")

    assert _init("--auth-choice", "groq-api-key") == 0
    assert DOTENV.read_text() == f"GROQ_API_KEY={KEY}\nOTHER=1\n"
    assert "the key is GROQ_API_KEY in .env" in capsys.readouterr().out


def test_a_type_that_needs_no_key_goes_without(capsys: pytest.CaptureFixture[str]) -> None:
    assert _init("--auth-choice", "ollama-api-key") == 0

    assert yaml.safe_load(CONFIG.read_text()) == {"provider": {"type": "ollama"}}
    assert not DOTENV.exists()
    assert "--ollama-api-key or OLLAMA_API_KEY gives one" in capsys.readouterr().out


@table(
    ("words", "says"),
    [
        ("", "give --auth-choice, one of kling-api-key, kling-key-pair, "),
        ("--auth-choice kilocode-api-kye", "--auth-choice: there is no such choice; did you mean kilocode-api-key?"),
        ("--auth-choice kilocode-api-key", "no key for kilocode: give --kilocode-api-key, or set KILOCODE_API_KEY"),
        ("--auth-choice kling-key-pair --kling-access-key a", "give --kling-secret-key, or set KLING_SECRET_KEY"),
        (
            "--auth-choice groq-api-key --kilocode-api-key KEY",
            "--kilocode-api-key does not go with --auth-choice groq-api-key",
        ),
        ("--groq-api-key KEY --kilocode-api-key KEY", "give --auth-choice, one of"),
        ("--groq-api-key= ", "--groq-api-key is empty"),
        ("--groq-api-key=KEY\n", "--groq-api-key: holds a line break"),
        ("--groqq-api-key KEY", "unknown options: --groqq-api-key"),
        ("--groqq-api-key=KEY", "unknown options: --groqq-api-key"),
        ("KEY", "takes options only"),
        ("--auth-choice vllm-api-key", "where is vllm? Give --base-url or --vllm-server-host"),
        ("--auth-choice vllm-api-key --base-url ftp://KEY", "--base-url: unknown scheme 'ftp'"),
        ("--auth-choice vllm-api-key --cloudflare-account-id a", "--cloudflare-account-id does not go with"),
        ("--kling-api-key KEY --base-url http://a.test", "--base-url does not go with --auth-choice kling-api-key"),
    ],
)
def test_wrong_usage_is_one_line_without_a_key_and_writes_nothing(
    words: str, says: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = words.replace("KEY", KEY).split(" ") if words else []
    given = [word for word in given if word] or []
    try:
        status = _init(*given)
    except SystemExit as ended:
        status = int(str(ended.code))
    out, err = capsys.readouterr()

    assert (status, out) == (2, "")
    assert says in err
    assert KEY not in err
    assert list(folder.iterdir()) == []


def test_the_configuration_that_comes_with_the_package_is_replaced_unasked(capsys: pytest.CaptureFixture[str]) -> None:
    came = (Path(__file__).parents[2] / "config.yaml").read_bytes()
    CONFIG.write_bytes(came)
    assert _init("--groq-api-key", KEY) == 0
    assert "config.yaml was as it came, and is replaced" in capsys.readouterr().out
    assert yaml.safe_load(CONFIG.read_text())["provider"]["type"] == "groq"

    CONFIG.write_bytes(came + b"# mine\n")
    assert _init("--groq-api-key", KEY) == 1


@pytest.mark.parametrize("is_link", [False, True])
def test_a_script_replaces_nothing_unless_it_is_told_to(
    is_link: bool, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if is_link:
        CONFIG.symlink_to("nowhere")
    else:
        CONFIG.write_text("mine")
    assert _init("--groq-api-key", KEY) == 1
    assert capsys.readouterr().err == (
        "ai-proxy: config.yaml is there already; --force replaces it. Nothing was written.\n"
    )
    assert not DOTENV.exists()
    assert is_link or CONFIG.read_text() == "mine"

    assert _init("--groq-api-key", KEY, "--force") == 0
    assert "groq" in CONFIG.read_text()


def test_another_key_in_the_file_stays_unless_told_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    DOTENV.write_text("GROQ_API_KEY=old-s3cret\nA=1\n")
    os.chmod(DOTENV, 0o644)

    assert _init("--groq-api-key", KEY) == 1
    assert capsys.readouterr().err == (
        "ai-proxy: .env has another GROQ_API_KEY; --force replaces it. Nothing was written.\n"
    )
    assert (DOTENV.read_text(), CONFIG.exists()) == ("GROQ_API_KEY=old-s3cret\nA=1\n", False)

    assert _init("--groq-api-key", KEY, "--force") == 0
    assert (DOTENV.read_text(), _mode(DOTENV)) == (f"GROQ_API_KEY={KEY}\nA=1\n", 0o600)


def test_another_path_has_its_own_file_of_keys_and_is_named_in_the_command(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "my proxy").mkdir()
    path = folder / "my proxy" / "a.yaml"

    assert _init("--groq-api-key", KEY, "--config", str(path)) == 0
    assert path.exists()
    assert (folder / "my proxy" / ".env").exists()
    assert not DOTENV.exists()
    assert capsys.readouterr().out.endswith(f"To start: ai-proxy --config '{path}'\n")
    assert main.main(["check", "--config", str(path)]) == 0

    assert _init("--groq-api-key", KEY, "--config", "nowhere/a.yaml") == 1
    assert capsys.readouterr().err == "ai-proxy: nowhere is not a folder\n"


@table(
    ("ignored", "expected"),
    [
        (None, ".env\n"),
        ("*.pyc", "*.pyc\n.env\n"),
        (".env\n", ".env\n"),
        ("/.env", "/.env"),
        ("*.env\n", "*.env\n"),
        ("# .env\n", "# .env\n.env\n"),
    ],
)
def test_git_is_told_to_ignore_the_keys(ignored: str | None, expected: str, folder: Path) -> None:
    (folder / ".git").mkdir(exist_ok=True)
    path = folder / ".gitignore"
    path.unlink(missing_ok=True)
    if ignored is not None:
        path.write_text(ignored)

    assert _init("--groq-api-key", KEY, "--force") == 0
    assert path.read_text() == expected


def test_a_folder_in_a_repository_is_seen_as_such(folder: Path) -> None:
    (folder / ".git").write_text("gitdir: elsewhere")
    below = folder / "a" / "b"
    below.mkdir(parents=True)
    (folder / ".gitignore").write_text("/.env\n")

    assert _init("--groq-api-key", KEY, "--config", str(below / "c.yaml")) == 0
    assert (below / ".gitignore").read_text() == ".env\n"

    (below / ".gitignore").unlink()
    (folder / ".gitignore").write_text(".env\n")
    assert _init("--groq-api-key", KEY, "--config", str(below / "c.yaml"), "--force") == 0
    assert not (below / ".gitignore").exists()


def test_where_no_repository_is_nothing_is_ignored(folder: Path) -> None:
    assert _init("--groq-api-key", KEY) == 0

    assert not (folder / ".gitignore").exists()


def test_a_disk_that_is_full_leaves_what_was_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    CONFIG.write_text("mine")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "config.yaml")

    monkeypatch.setattr(os, "replace", full)
    assert _init("--groq-api-key", KEY, "--force") == 1
    assert capsys.readouterr().err == "ai-proxy: config.yaml: No space left on device\n"
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [("config.yaml", "mine")]


# At a terminal

# Ctrl-C is ignored in what a shell has started in the background, such as these tests.
_TERMINAL = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""
_START = "import sys; from mitm_ai_proxy.commands.main import main; sys.exit(main(sys.argv[1:]))"


class Terminal:
    """A process with a terminal of its own, and all that it has shown there."""

    def __init__(self, *words: str) -> None:
        self._ours, theirs = pty.openpty()
        command = [sys.executable, "-c", _TERMINAL, sys.executable, "-c", _START, *words]
        self._process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
        os.close(theirs)
        self.shown = ""
        self._seen = 0

    def _read(self) -> bool:
        assert select.select([self._ours], [], [], 60)[0], self.shown
        try:
            data = os.read(self._ours, 4096)
        except OSError:
            return False  # the process has closed its side
        self.shown += data.decode()
        return bool(data)

    def answer(self, question: str, line: str) -> None:
        """Wait for a question, and write a line."""
        while question not in self.shown[self._seen :]:
            assert self._read(), f"no {question!r} in:\n{self.shown}"
        self._seen = self.shown.index(question, self._seen) + len(question)
        os.write(self._ours, line.encode())

    def ended(self) -> int:
        """Wait for the end; the exit status."""
        while self._read():
            pass
        return self._process.wait(60)

    def close(self) -> None:
        """Stop the process, if a test has failed before its end."""
        self._process.kill()
        self._process.wait(60)
        os.close(self._ours)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    """Starts the command at a terminal."""
    started: list[Terminal] = []

    def start(*words: str) -> Terminal:
        started.append(Terminal(*words))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.mark.programs
def test_a_person_is_asked_for_the_provider_and_for_a_key_that_is_not_shown(
    terminal: Callable[..., Terminal], folder: Path
) -> None:
    asked = terminal("init")
    asked.answer("Which one? ", "kilocod\n")
    asked.answer("did you mean kilocode?", "")
    asked.answer("Which one? ", "kilocode\n")
    asked.answer("Key of kilocode (not shown): ", "two words\n")
    asked.answer("Key of kilocode (not shown): ", f"{KEY}\n")

    assert asked.ended() == 0
    assert KEY not in asked.shown
    assert "two words" not in asked.shown
    assert "Not this one: holds a blank" in asked.shown
    assert "provider kilocode at https://api.kilo.ai" in asked.shown
    assert "history" not in asked.shown
    assert (DOTENV.read_text(), _mode(DOTENV)) == (f"KILOCODE_API_KEY={KEY}\n", 0o600)
    assert KEY not in CONFIG.read_text()


@pytest.mark.programs
def test_a_person_is_asked_where_a_server_is_and_needs_no_key_for_it(
    terminal: Callable[..., Terminal], folder: Path
) -> None:
    CONFIG.write_text("mine")
    asked = terminal("init")
    asked.answer("config.yaml is there already. Replace it? [y/N] ", "y\n")
    asked.answer("Which one? ", "vllm-api-key\n")
    asked.answer("baseUrl (", "ftp://a.test\n")
    asked.answer("baseUrl (", "http://127.0.0.1:9/v1\n")
    asked.answer("Key of vllm (not shown, empty for none): ", "\n")

    assert asked.ended() == 0
    assert "Not this one: unknown scheme 'ftp'" in asked.shown
    assert yaml.safe_load(CONFIG.read_text()) == {"provider": {"type": "vllm", "baseUrl": "http://127.0.0.1:9/v1"}}
    assert not DOTENV.exists()


@pytest.mark.programs
@pytest.mark.parametrize("answer", ["\n", "n\n", "\x03", "\x04"], ids=["enter", "no", "ctrl-c", "ctrl-d"])
def test_a_person_who_does_not_agree_keeps_the_file(
    answer: str, terminal: Callable[..., Terminal], folder: Path
) -> None:
    CONFIG.write_text("mine")
    asked = terminal("init", "--groq-api-key", KEY)
    asked.answer("Replace it? [y/N] ", answer)

    assert asked.ended() == 1
    assert "nothing was written" in asked.shown
    assert "Traceback" not in asked.shown
    assert [path.name for path in folder.iterdir()] == ["config.yaml"]
    assert CONFIG.read_text() == "mine"


@pytest.mark.programs
def test_both_keys_of_a_pair_are_asked_for(terminal: Callable[..., Terminal], folder: Path) -> None:
    asked = terminal("init", "--auth-choice", "kling-key-pair")
    asked.answer("kling klingAccessKey (not shown): ", "\n")
    asked.answer("kling klingAccessKey (not shown): ", f"a{KEY}\n")
    asked.answer("kling klingSecretKey (not shown): ", f"b{KEY}\n")

    assert asked.ended() == 0
    assert KEY not in asked.shown
    assert DOTENV.read_text() == f"KLING_ACCESS_KEY=a{KEY}\nKLING_SECRET_KEY=b{KEY}\n"
