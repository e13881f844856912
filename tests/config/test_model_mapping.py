"""The model that a modelMapping gives for another."""

from __future__ import annotations

import contextlib

import pytest

from mitm_ai_proxy.config.model_mapping import ModelMapping
from mitm_ai_proxy.errors import Refusal
from tests.tables import table


@table(
    ("mapping", "model", "expected", "pattern"),
    [
        pytest.param({}, "gpt-4", "gpt-4", None, id="no pattern"),
        pytest.param({"gpt-4": "a"}, "gpt-4o", "gpt-4o", None, id="a name is the whole name"),
        pytest.param({"*": "c", "gpt-*": "b", "~gpt": "d", "gpt-4": "a"}, "gpt-4", "a", "gpt-4", id="a name first"),
        pytest.param({"a": "b", "b": "c"}, "a", "b", "a", id="no chain"),
        pytest.param({"a*b": "c"}, "a*b", "c", "a*b", id="a star inside is a name"),
        pytest.param({"a*b": "c"}, "axb", "axb", None, id="a star inside matches nothing else"),
        pytest.param({"gpt-*": "a"}, "gpt-4", "a", "gpt-*", id="prefix"),
        pytest.param({"gpt-*": "a"}, "gpt-", "a", "gpt-*", id="prefix and nothing behind it"),
        pytest.param({"gpt-*": "a"}, "my-gpt-4", "my-gpt-4", None, id="prefix not at the start"),
        pytest.param({"gpt-*": "$1${x}$$"}, "gpt-4", "$1${x}$$", "gpt-*", id="no references without a regex"),
        pytest.param({"g.t*": "a"}, "gpt", "gpt", None, id="a prefix is no regex"),
        pytest.param({"gpt-*": "a", "gpt-4*": "b"}, "gpt-4", "a", "gpt-*", id="first prefix in the file"),
        pytest.param({"gpt-4*": "b", "gpt-*": "a"}, "gpt-4", "b", "gpt-4*", id="first prefix in the file, turned"),
        pytest.param({"~gpt-4": "b", "gpt-*": "a"}, "gpt-4", "b", "~gpt-4", id="regex before prefix in the file"),
        pytest.param({"gpt-*": "a", "~gpt-4": "b"}, "gpt-4", "a", "gpt-*", id="prefix before regex in the file"),
        pytest.param({"*": "c", "gpt-*": "a"}, "gpt-4", "a", "gpt-*", id="star last, though first in the file"),
        pytest.param({"*": "c", "~x": "a"}, "gpt-4", "c", "*", id="star"),
        pytest.param({"*": "c"}, "", "c", "*", id="star and no model"),
        pytest.param({"~gpt": "qwen"}, "my-gpt-4", "my-qwen-4", "~gpt", id="regex anywhere"),
        pytest.param({"~.*": "a"}, "gpt-4", "a", "~.*", id="no empty match right behind another"),
        pytest.param({"~x*": "-"}, "axb", "-a-b-", "~x*", id="empty matches"),
        pytest.param({"~^gpt": "qwen"}, "my-gpt-4", "my-gpt-4", None, id="regex with an anchor"),
        pytest.param({"~[ao]": "0"}, "sora-pro", "s0r0-pr0", "~[ao]", id="every match"),
        pytest.param({"~gpt-4o*": "a"}, "gpt-4", "a", "~gpt-4o*", id="a regex may end in a star"),
        pytest.param({r"~^sora-(\d)(-pro)?$": "kling-v$1"}, "sora-2-pro", "kling-v2", r"~^sora-(\d)(-pro)?$", id="$1"),
        pytest.param({"~(?P<x>pro|max)$": "${x}_$x"}, "k-pro", "k-pro_pro", "~(?P<x>pro|max)$", id="named group"),
        pytest.param({r"~v(\d)": "${1}x"}, "v3", "3x", r"~v(\d)", id="braces end a name"),
        pytest.param({r"~v(\d)": "a$1x"}, "v3", "a", r"~v(\d)", id="a name is as long as it can be"),
        pytest.param({r"~v(\d)": "$1é"}, "v3", "3é", r"~v(\d)", id="a name is of ASCII letters"),
        pytest.param({r"~v(\d)": "$0-$2$y"}, "v3", "v3-", r"~v(\d)", id="an unknown group is empty"),
        pytest.param(
            {r"~v(\d)": f"<${'9' * 5000}${'9' * 30}>"}, "v3", "<>", r"~v(\d)", id="no group has such a number"
        ),
        pytest.param({"~[[a]": "b"}, "a", "b", "~[[a]", id="what another Python may read as a set in a set"),
        pytest.param({"~v(3)?(4)?": "$1,$2"}, "v4", ",4", "~v(3)?(4)?", id="a group without a part is empty"),
        pytest.param({r"~v(\d)": r"$$1 $ ${ \1"}, "v3", r"$1 $ ${ \1", r"~v(\d)", id="dollars"),
        pytest.param({"gpt-4": "", "*": "c"}, "gpt-4", "gpt-4", "gpt-4", id="a name keeps"),
        pytest.param({"gpt-*": "", "*": "c"}, "gpt-4", "gpt-4", "gpt-*", id="a prefix keeps"),
        pytest.param({"~gpt": "", "*": "c"}, "gpt-4", "gpt-4", "~gpt", id="a regex keeps"),
        pytest.param({"*": ""}, "gpt-4", "gpt-4", "*", id="star keeps"),
    ],
)
def test_a_model_is_mapped_by_the_first_pattern_that_matches(
    mapping: dict[str, str], model: str, expected: str, pattern: str | None
) -> None:
    assert ModelMapping(mapping).map(model) == (expected, pattern)


@table(("mapping", "expected"), [({}, False), ({"a": ""}, True), ({"~a": ""}, True), ({"*": ""}, True)])
def test_only_a_mapping_without_patterns_is_false(mapping: dict[str, str], expected: bool) -> None:
    assert bool(ModelMapping(mapping)) is expected


@table("pattern", ["~(", "~[a", "~*", "~a{2,1}", "~a{99999999999}", "~a{1,99999999999}", "~(a{4294967295}){2}"])
def test_a_regex_that_cannot_be_compiled_is_named_when_the_mapping_is_made(pattern: str) -> None:
    with pytest.raises(ValueError, match="is not a regular expression") as caught:
        ModelMapping({"gpt-4": "a", pattern: "b"})
    assert str(caught.value).startswith(repr(pattern))


@table("opening", ["(", "(?:", "(?P<a>", "(?="])
def test_a_regex_that_is_nested_too_deeply_is_named_by_its_beginning(opening: str) -> None:
    pattern = "~" + "".join(opening.replace("a", f"a{n}") for n in range(3000)) + ")" * 3000
    with pytest.raises(ValueError, match="is nested too deeply") as caught:
        ModelMapping({pattern: "b"})
    assert len(str(caught.value)) < 100


# Patterns that Python's own module tries for hours, some of which `regex` sees through.
EXPLODING = (
    ("~(a+)+$", "a" * 100 + "!"),
    ("~(a|aa)+$", "a" * 100 + "!"),
    ("~(a|a?)+$", "a" * 100 + "!"),
    ("~(x+x+)+y", "x" * 200),
    ("~(.*)*,", "a" * 1000),
    (r"~^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 200),
    (r"~(?:(\w+)[-.]?)+=", "gpt-4o.mini-" * 20),
    ("~^(?:a?){100}a{100}$", "a" * 99),
)


@table(("pattern", "model"), EXPLODING)
def test_no_pattern_takes_longer_than_its_time(pattern: str, model: str) -> None:
    """Without a limit, the test would not end."""
    mapping = ModelMapping({pattern: "b"})
    with contextlib.suppress(Refusal):
        assert mapping.map(model)[1] in (None, pattern)


def test_a_pattern_that_takes_too_long_is_named() -> None:
    with pytest.raises(Refusal, match=r"pattern '~\(a\|aa\)\+\$' of modelMapping takes too long"):
        ModelMapping({"~(a|aa)+$": "b"}).map("a" * 100 + "!")


def test_a_regex_looks_at_models_of_some_length_only() -> None:
    mapping = ModelMapping({"a*": "b", "~x": "y"})
    assert mapping.map("a" * 5000) == ("b", "a*")
    assert mapping.map("x" * 1000) == ("y" * 1000, "~x")
    with pytest.raises(Refusal, match="more than 1000 characters"):
        mapping.map("x" * 1001)
