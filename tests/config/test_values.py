"""The converters: their results, and their error messages."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from mitm_ai_proxy.config import values
from mitm_ai_proxy.config.values import HostPattern, UnknownWord, WrongParts
from mitm_ai_proxy.wire.targets import Origin
from tests.tables import table

Convert = Callable[[Any], Any]

PACE = values.number_or_word(values.number(0.5, 2), {"none": None, "real": 1.0}, "none, real or a factor")
GOOD: list[tuple[Convert, Any, Any]] = [
    (values.text, " a ", "a"),
    (values.text, 1.5, "1.5"),
    (values.texts, "a", ("a",)),
    (values.texts, ["a", " ", 5], ("a", "5")),
    (values.text_mapping, {"a": None, 4: "b"}, {"a": "", "4": "b"}),
    (values.one_of("a", "b"), " b", "b"),
    (values.flag, True, True),
    (values.flag, "False", False),
    (values.credential, "\t a ", "a"),
    (values.trimmed_credential, "\r\n a\n", "a"),
    (values.secret, "", None),
    (values.secrets, [], ()),
    (values.number(0), 7, 7.0),
    (values.number(0, 1), "0.5", 0.5),
    (PACE, " none", None),
    (PACE, "real", 1.0),
    (PACE, "2", 2.0),
    (values.whole(1, 10), "10", 10),
    (values.whole(0, 10), "0000000000007", 7),
    (values.seconds(60), 60, 60),
    (values.path, "a/b/", "/a/b"),
    (values.path, "/", ""),
    (values.paths, {"a": "/b?c=d"}, {"a": "/b?c=d"}),
    (values.origin, "", None),
    (values.origin, "a:1", Origin("https", "a", 1)),
    (values.hosts, ["A", "b:1"], (HostPattern("a"), HostPattern("b", 1))),
]
WRONG: list[tuple[Convert, Any, str]] = [
    (values.text, True, "expected text"),
    (values.text, ["a"], "expected text"),
    (values.text_mapping, ["a"], "expected a mapping of names to texts"),
    (values.model_mapping, {"~(": "x"}, "is not a regular expression"),
    (values.flag, 1, "expected true or false"),
    (values.credential, 12, "in quotes"),
    (values.credential, "a\nb", "holds a line break"),
    (values.credential, "a\n", "holds a line break"),
    (values.trimmed_credential, "a\nb", "holds a line break"),
    (values.credential, "a b", "holds a blank"),
    (values.secret, "ä", "outside ASCII"),
    (values.number(1), 0.5, "expected a number from 1 on"),
    (values.number(0, 2), 3, "expected a number from 0 to 2"),
    (values.number(0), math.inf, "expected a number from 0 on"),
    (values.number(0), math.nan, "expected a number"),
    (values.number(0), True, "expected a number"),
    (values.number(0), [], "expected a number"),
    (PACE, "fast", "expected none, real or a factor"),
    (PACE, 3, "expected none, real or a factor"),
    (PACE, [], "expected none, real or a factor"),
    (values.whole(1, 5), 6, "expected a whole number from 1 to 5"),
    (values.whole(1, 5), "1.5", "expected a whole number from 1 to 5"),
    (values.whole(1, 5), "9" * 5000, "expected a whole number from 1 to 5"),
    (values.seconds(9), "٣", "expected a whole number of seconds from 0 to 9"),
    (values.path, "/a?b", "expected a path without a query"),
    (values.path, "/a/../b", "expected a path without a query"),
    (values.origin, "ftp://a", "unknown scheme 'ftp'"),
]


@table(("convert", "value", "expected"), GOOD)
def test_a_value_is_converted(convert: Convert, value: Any, expected: Any) -> None:
    assert convert(value) == expected


@table(("convert", "value", "message"), WRONG)
def test_a_wrong_value_is_refused_with_what_was_expected(convert: Convert, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        convert(value)


def test_secrets_are_not_shown() -> None:
    found = values.secrets(["one", "", "two"])

    assert [secret.reveal() for secret in found] == ["one", "two"]
    assert "one" not in repr(found)


@table(
    ("convert", "value", "where"),
    [
        (values.texts, ["a", [], {}], ["[1]", "[2]"]),
        (values.secrets, "a b", ["[0]"]),
        (values.text_mapping, {"a": [], "b": "c", "d": {}}, [".a", ".d"]),
        (values.paths, {"a": "b", "c": "/d"}, [".a"]),
        (values.hosts, ["a b", "c", "d:0"], ["[0]", "[2]"]),
    ],
)
def test_every_wrong_part_of_a_value_is_named(convert: Convert, value: Any, where: list[str]) -> None:
    with pytest.raises(WrongParts) as refused:
        convert(value)

    assert [place for place, _ in refused.value.reasons] == where


def test_a_word_that_is_unknown_tells_which_are_known() -> None:
    with pytest.raises(UnknownWord) as refused:
        values.one_of("a", "b")("c")

    assert (refused.value.word, refused.value.known) == ("c", ("a", "b"))
