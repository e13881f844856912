"""Tables of cases that one test checks: a row costs what it checks, and no test of its own.

Cases that are slow, or that need fixtures of their own, are parameters of pytest's instead.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import pytest

Test = Callable[..., None]
_MAX_NAME: Final = 100


class _Row(NamedTuple):
    id: str | None
    values: tuple[Any, ...]

    @property
    def name(self) -> str:
        shown = ", ".join(map(repr, self.values)) if self.id is None else self.id
        return shown if len(shown) <= _MAX_NAME else f"{shown[:_MAX_NAME]}..."


def table(
    names: str | Sequence[str], rows: Iterable[Any], ids: Iterable[object] | None = None
) -> Callable[[Test], Test]:
    """Check all rows in one test; written as `pytest.mark.parametrize` is. A row without an id is named by its values.

    Every row is tried. Those that fail are named and raised together, as an exception group. Fixtures are shared by all
    rows, and no row can be skipped. Several tables of a test are multiplied. Example:

        @table(("text", "number"), [("1", 1), pytest.param(" 2", 2, id="blank")])
        def test_a_number_is_read(text: str, number: int) -> None: ...
    """
    words = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    found = _rows(len(words), list(rows), None if ids is None else list(ids))

    def decorate(test: Test) -> Test:
        signature = inspect.signature(test)
        kept = [parameter for name, parameter in signature.parameters.items() if name not in words]
        if len(signature.parameters) - len(kept) != len(words):
            raise ValueError(f"{test.__name__} does not take {' and '.join(words)}")

        @functools.wraps(test)
        def check(**fixtures: Any) -> None:
            failures: list[tuple[str, BaseException]] = []
            for row in found:
                try:
                    test(**fixtures, **dict(zip(words, row.values, strict=True)))
                except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:
                    error.add_note(f"row: {row.name}")
                    failures.append((row.name, error))
            if failures:
                failed = "".join(f"\n  {name}" for name, _ in failures)
                message = f"{len(failures)} of {len(found)} rows failed:{failed}\n"
                raise BaseExceptionGroup(message, [error for _, error in failures])

        # Where pytest looks for the fixtures that a test wants.
        check.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
        return check

    return decorate


def _rows(width: int, rows: list[Any], ids: list[object] | None) -> list[_Row]:
    if not rows:
        raise ValueError("a table without rows checks nothing")
    if ids is not None and len(ids) != len(rows):
        raise ValueError(f"{len(rows)} rows have {len(ids)} ids")
    made = []
    for index, row in enumerate(rows):
        name = None if ids is None else ids[index]
        if isinstance(row, type(pytest.param())):
            if row.marks:
                raise ValueError("a row of a table has no marks")
            name, values = row.id or name, tuple(row.values)
        else:
            values = (row,) if width == 1 else tuple(row)
        if len(values) != width:
            raise ValueError(f"row {index} of a table has {len(values)} values, not {width}")
        made.append(_Row(None if name is None else str(name), values))
    return made
