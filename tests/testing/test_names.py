"""The file names of cassettes: names from before still find their files, and no two tests share one by accident."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from mitm_ai_proxy.testing.names import LONGEST_NAME, is_changed, own_name, path_for, path_of, plain_name
from tests.tables import table


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["test_clip"], "test_clip"),
        (["TestShort", "test_clip"], "TestShort.test_clip"),
        (["TestOuter", "TestInner", "test_clip[a-b]"], "TestOuter.TestInner.test_clip[a-b]"),
        (["test_clip[a/b\\c:d*e?f\"g'h<i>j|k%l]"], "test_clip[a-b-c-d-e-f-g-h-i-j-k-l]"),
        (["test_clip[a\nb\0c\x7f]"], "test_clip[a-b-c-]"),
        (["test_clip[火]"], "test_clip[火]"),
        (["t" * LONGEST_NAME], "t" * LONGEST_NAME),
    ],
)
def test_a_cassette_has_the_name_of_its_test(words: list[str], name: str, tmp_path: Path) -> None:
    assert plain_name(words) == name
    (tmp_path / f"{name}.har").touch()
    assert path_for(tmp_path, words) == tmp_path / f"{name}.har"


@table("end", ["x", "火", "/", ":"])
def test_a_long_name_is_shortened_and_stays_one_of_its_own(end: str) -> None:
    names = [own_name([end * 400, tail]) for tail in ("a", "b")]
    assert len(set(names)) == 2
    assert all(LONGEST_NAME - 4 < len(name.encode()) <= LONGEST_NAME for name in names)
    assert names == [plain_name([end * 400, tail]) for tail in ("a", "b")]


# Each row: names that some file system, or the characters that it forbids, would make one.
ALIKE = [
    [f"test_model[vendor{mark}v1]" for mark in "-/:\\*?\"'<>|%\0\n\t\x1f\x7f"],
    [f"test_model[{'/' * number}{'-' * (3 - number)}]" for number in range(4)],
    ["test_model[a]", "test_model[A]"],
    ["test_get", "test_GET", "Test_Get"],
    ["test_model[straße]", "test_model[STRASSE]", "test_model[strasse]"],
    ["test_model[é]", "test_model[e\u0301]", "test_model[É]"],
    ["test_model[a/B]", "test_model[A/b]", "test_model[a/b]"],
    ["tape", "tape.har", "tape.har.har"],
    ["con", "CON", "_con"],
]


@pytest.mark.parametrize("names", ALIKE, ids=ascii)
@pytest.mark.parametrize("turn", [1, -1])
def test_names_that_are_alike_get_a_file_each_in_whatever_order(names: list[str], turn: int, tmp_path: Path) -> None:
    paths = {}
    for name in names[::turn]:
        paths[name] = path_for(tmp_path, [name], is_recorded_apart=True)
        paths[name].touch()
    assert len({str(path).casefold() for path in paths.values()}) == len(names)
    # In later runs too, each alone.
    assert {name: path_for(tmp_path, [name]) for name in names} == paths


@pytest.mark.parametrize("name", ["test_model[a/b]", "test_model[A]", "con", "x.har", "test_model[火?]"])
def test_a_file_from_before_is_found(name: str, tmp_path: Path) -> None:
    old = tmp_path / f"{plain_name([name])}.har"
    old.touch()
    assert path_for(tmp_path, [name]) == old
    assert is_changed([name]) is (name != "test_model[A]")
    assert (path_for(tmp_path, [name], is_recorded_apart=True) == old) is not is_changed([name])
    own = tmp_path / f"{own_name([name])}.har"
    own.touch()
    assert path_for(tmp_path, [name]) == own


@pytest.mark.parametrize(
    "name", ["con", "PRN", "Aux", "nul", "com1", "LPT9", "com¹", "CONIN$", "nul.test_x", "con .x", "aux."]
)
def test_no_file_is_called_like_a_device_of_windows(name: str, tmp_path: Path) -> None:
    assert path_for(tmp_path, [name]).name.startswith(f"_{name}-")


@pytest.mark.parametrize("name", ["console", "com", "com10", "lpt", "test_con", "auxiliary.con", "null"])
def test_names_that_only_look_like_one_stay(name: str, tmp_path: Path) -> None:
    assert path_for(tmp_path, [name]) == tmp_path / f"{name}.har"


def test_digests_differ() -> None:
    names = [own_name([f"test[{left}{right}]"]) for left, right in combinations("/:*?|<>", 2)]
    assert len(set(names)) == len(names)


@table(
    ("name", "path"),
    [
        ("clip", "/tests/cassettes/test_x/clip.har"),
        ("clip.har", "/tests/cassettes/test_x/clip.har"),
        ("v1.5", "/tests/cassettes/test_x/v1.5.har"),
        ("long/clip", "/tests/cassettes/test_x/long/clip.har"),
        ("../shared/clip", "/tests/cassettes/shared/clip.har"),
        ("/elsewhere/clip", "/elsewhere/clip.har"),
    ],
)
def test_an_explicit_name_is_relative_to_the_folder(name: str, path: str) -> None:
    assert path_of(Path("/tests/cassettes/test_x"), name) == Path(path)
