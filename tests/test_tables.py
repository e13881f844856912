"""That a table checks each of its rows, says which failed, and takes no row that it could not check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.tables import table


def _failed(test: Any) -> BaseExceptionGroup[BaseException]:
    with pytest.raises(BaseExceptionGroup) as caught:
        test()
    return caught.value


def test_every_row_is_checked_and_those_that_fail_are_named() -> None:
    seen = []

    @table("number", [1, pytest.param(2, id="two"), 3, "x" * 1000])
    def check(number: Any) -> None:
        seen.append(number)
        assert number == 1

    failed = _failed(check)

    assert seen == [1, 2, 3, "x" * 1000]
    assert failed.message.startswith("3 of 4 rows failed:\n  two\n  3\n  'xxx")
    assert len(failed.message) < 200
    assert [error.__notes__[0] for error in failed.exceptions][:2] == ["row: two", "row: 3"]


def test_tables_are_multiplied() -> None:
    seen = []

    @table("a", [1, 2], ids=["one", "two"])
    @table(("b", "c"), [(3, 4), (5, 6)])
    def check(a: int, b: int, c: int) -> None:
        seen.append((a, b, c))

    check()

    assert seen == [(1, 3, 4), (1, 5, 6), (2, 3, 4), (2, 5, 6)]


def _misses_an_error() -> None:
    with pytest.raises(ValueError, match="text"):
        pass


@table("way", [_misses_an_error, lambda: pytest.fail("text"), lambda: pytest.skip("text")])
def test_a_row_that_misses_an_error_or_is_skipped_has_failed(way: Callable[[], None]) -> None:
    @table("_", [1])
    def check(_: int) -> None:
        way()

    assert len(_failed(check).exceptions) == 1


@table("number", [1, 2])
def test_a_test_with_a_table_has_fixtures(request: pytest.FixtureRequest, number: int) -> None:
    assert request.node.name == "test_a_test_with_a_table_has_fixtures"


@table(
    ("names", "rows", "ids"),
    [
        ("a", [], None),
        ("a", [1], ["one", "two"]),
        ("a, b", [(1,)], None),
        ("a", [pytest.param(1, marks=pytest.mark.skip)], None),
        ("other", [1], None),
    ],
)
def test_a_table_that_does_not_fit_is_refused(names: str, rows: list[Any], ids: list[str] | None) -> None:
    def check(a: int) -> None: ...

    with pytest.raises(ValueError, match=r"table|row|does not take"):
        table(names, rows, ids)(check)
