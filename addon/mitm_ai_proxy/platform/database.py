"""What the store asks of a database: transactions, and within them statements with named parameters, as in `:id`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol, TypeAlias

Values: TypeAlias = Mapping[str, object]
Row: TypeAlias = Sequence[Any]


class StoreError(Exception):
    """The database cannot be read or written: full, locked, away, damaged, or of a newer version of this program."""


class Unconfirmed(StoreError):
    """The connection was cut while a transaction was being committed: nobody has said whether it was."""


class Transaction(Protocol):
    """Statements that happen together or not at all."""

    for_update: ClassVar[str]
    """The end of a question whose rows nobody else may change until this has ended."""
    skip_locked: ClassVar[str]
    """The same, for those of the rows that nobody else is changing."""

    def rows(self, statement: str, values: Values) -> Sequence[Row]:
        """The rows of a question."""

    def row(self, statement: str, values: Values) -> Row | None:
        """The first row of a question; None if there is none."""

    def change(self, statement: str, values: Values) -> int:
        """How many rows a statement has changed."""

    def change_all(self, statement: str, values: Sequence[Values]) -> None:
        """Run a statement for each of these values, in their order."""

    def lock(self, name: str, *, shared: bool = False) -> None:
        """Wait until nobody else holds the lock of a name, and hold it to the end; `shared` ones exclude no others."""


class Database(Protocol):
    """A database of the platform's schema. May be used by many threads."""

    def transaction(self, *, writes: bool = True) -> AbstractContextManager[Transaction]:
        """A transaction; what raises inside undoes it. Raises StoreError where the database refuses.

        Values that it does not take raise the error of its library. One without `writes` only reads, and waits for
        nobody who writes.
        """

    def close(self) -> None:
        """Close what is not in use."""
