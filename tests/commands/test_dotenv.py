"""The file `.env`: how it is read, whose variables are taken, and how it is written."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from mitm_ai_proxy.commands import dotenv
from tests.tables import table


@table(
    ("text", "expected"),
    [
        ("A=b", {"A": "b"}),
        ("  export A = b  \r\nB=c", {"A": "b", "B": "c"}),
        ("# A=b\n\n \nA=", {"A": ""}),
        ("A=b # c", {"A": "b"}),
        ("A=b#c", {"A": "b#c"}),
        ("A= # c", {"A": ""}),
        ("A='b # c' # d", {"A": "b # c"}),
        ("A='b\\n$C'", {"A": "b\\n$C"}),
        (r'A="b \"c\" \\ \$D"', {"A": 'b "c" \\ $D'}),
        ("A=b=c", {"A": "b=c"}),
        ("A=1\nA=2", {"A": "2"}),
        ("1A=b", {"": None}),
        ("no variable", {"": None}),
        ("A='b", {"A": None}),
        ("A='b'c", {"A": None}),
    ],
)
def test_a_line_is_read(text: str, expected: dict[str, str | None]) -> None:
    assert {name: value for _, name, value in dotenv.entries(text)} == expected


VALUES = ["sk-abc_1./+=:@%,-", "a b", "a'b", "a\"b'c\\d$e`f", "#", "", "$(x)", "é"]


@table("value", VALUES)
def test_what_is_written_is_read_back_here_and_by_a_shell(value: str, tmp_path: Path) -> None:
    text = dotenv.with_value("", "A", value)
    assert dotenv.value_of(text, "A") == value

    (tmp_path / ".env").write_text(text)
    done = subprocess.run(["sh", "-c", '. "$0"; printf %s "$A"', tmp_path / ".env"], capture_output=True, check=True)
    assert done.stdout.decode() == value


@table(
    ("before", "expected"),
    [
        ("", "A=new\n"),
        ("B=c", "B=c\nA=new\n"),
        ("# all\nB=c\n", "# all\nB=c\nA=new\n"),
        ("export A='old'\r\nB=c\r\n", "A=new\r\nB=c\r\n"),
        ("A=1\nB=c\nA=2", "A=new\nB=c\nA=new"),
        ("AA=1\n", "AA=1\nA=new\n"),
    ],
)
def test_a_variable_is_set_in_its_line_and_all_others_stay(before: str, expected: str) -> None:
    assert dotenv.with_value(before, "A", "new") == expected


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration that names two variables."""
    path = tmp_path / "config.yaml"
    path.write_text("provider: {type: kling, klingAccessKey: '${A}', klingSecretKey: '${B:-}'}")
    return path


def test_only_what_the_configuration_names_is_taken_and_the_environment_wins(config: Path) -> None:
    config.with_name(".env").write_text("A=1\nB=2\nPATH=/evil\nLD_PRELOAD=x\nTHE_API_KEY=3\nOTHER_API_KEY=4\n")
    environment = {"B": "", "C": "5"}

    assert dotenv.load(config, ["THE_API_KEY"], environment) == []
    assert environment == {"A": "1", "B": "", "C": "5", "THE_API_KEY": "3"}


def test_without_a_file_there_is_nothing_to_take(config: Path) -> None:
    environment: dict[str, str] = {}

    assert dotenv.load(config, [], environment) == []
    assert environment == {}


def test_what_cannot_be_read_is_said_without_a_value(config: Path) -> None:
    path = config.with_name(".env")
    path.write_text("A='s3cret\nB=2\ns3cret\n")
    environment: dict[str, str] = {}
    assert dotenv.load(config, [], environment) == [
        f"{path}: line 1 is not NAME=value",
        f"{path}: line 3 is not NAME=value",
    ]
    assert environment == {"B": "2"}

    path.write_bytes(b"A=\xff")
    assert dotenv.load(config, [], environment) == [f"{path} cannot be read: it is not UTF-8"]
    path.unlink()
    path.mkdir()
    (complaint,) = dotenv.load(config, [], environment)
    assert "cannot be read" in complaint
    path.rmdir()
    os.mkfifo(path)
    assert dotenv.load(config, [], environment) == [f"{path} cannot be read: it is not a regular file"]


def test_a_configuration_that_is_not_there_names_nothing(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1\nB=2")
    environment: dict[str, str] = {}

    assert dotenv.load(tmp_path / "config.yaml", ["B"], environment) == []
    assert environment == {"B": "2"}


def test_a_file_is_written_whole_with_its_mode_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    dotenv.write(path, "one", 0o600)
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("one", 0o600)
    with pytest.raises(FileExistsError):
        dotenv.write(path, "two", replaces=False)
    dotenv.write(path, "three", 0o640)
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("three", 0o640)

    def broken(*_: object) -> None:
        raise OSError("disk")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patched:
            patched.setattr(os, name, broken)
            with pytest.raises(OSError, match="disk"):
                dotenv.write(path, "four")
    assert path.read_text() == "three"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_on_a_file_system_without_links_nothing_is_replaced_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unable(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", unable)
    dotenv.write(tmp_path / "a", "one", replaces=False)
    with pytest.raises(FileExistsError):
        dotenv.write(tmp_path / "a", "two", replaces=False)
    assert (tmp_path / "a").read_text() == "one"


def test_what_a_link_leads_to_is_written_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("one")
    (tmp_path / "link").symlink_to("real")

    dotenv.write(tmp_path / "link", "two", 0o600)

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "two"
