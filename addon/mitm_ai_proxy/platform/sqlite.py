"""SQLite for the store: one file that threads and processes share, its transactions, and the steps of its schema."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Final

from .database import StoreError, Values

BUSY_SECONDS: Final = 10.0
"""How long a transaction waits for those of others."""


class Transaction:
    """A transaction, as database.py says. One that writes has the whole file, and needs no locks."""

    for_update: ClassVar[str] = ""
    skip_locked: ClassVar[str] = ""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, statement: str, values: Values) -> list[sqlite3.Row]:
        """The rows of a question."""
        return self._connection.execute(statement, values).fetchall()

    def row(self, statement: str, values: Values) -> sqlite3.Row | None:
        """The first row of a question; None if there is none."""
        found: sqlite3.Row | None = self._connection.execute(statement, values).fetchone()
        return found

    def change(self, statement: str, values: Values) -> int:
        """How many rows a statement has changed."""
        return self._connection.execute(statement, values).rowcount

    def change_all(self, statement: str, values: Sequence[Values]) -> None:
        """Run a statement for each of these values, in their order."""
        self._connection.executemany(statement, values)

    def lock(self, name: str, *, shared: bool = False) -> None:
        """Nothing to do."""


class SqliteDatabase:
    """A database in a file. Connections are kept and reused; each is used by one thread at a time."""

    def __init__(self, path: Path, migrations: Sequence[str], *, patience: float = BUSY_SECONDS) -> None:
        """Open it, and bring its schema up to date. Raises StoreError."""
        self._path, self._patience = path, patience
        self._idle: list[sqlite3.Connection] = []
        self._lock, self._writing = threading.Lock(), threading.Lock()
        try:
            self._migrate(migrations)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def transaction(self, *, writes: bool = True) -> Iterator[Transaction]:
        """A transaction; what raises inside undoes it. Raises StoreError where the database refuses.

        One that writes has the file for itself from its first statement, so that what it reads still holds when it
        writes. One that only reads sees a single moment, and waits for nobody.
        """
        with self._turn(writes), self._connection() as connection:
            try:
                connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
                yield Transaction(connection)
                connection.execute("COMMIT")
            except (sqlite3.IntegrityError, sqlite3.DataError):
                raise
            except sqlite3.Error as error:
                raise StoreError(f"the database {self._path.name} cannot be used: {error}") from error
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close what is not in use."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    @contextmanager
    def _turn(self, writes: bool) -> Iterator[None]:
        """Wait for the other threads that write: SQLite has one writer, and lets it be found by trying again."""
        if not writes:
            yield
            return
        if not self._writing.acquire(timeout=self._patience):
            raise StoreError(f"the database {self._path.name} cannot be used: other threads have it")
        try:
            yield
        finally:
            self._writing.release()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        connection = connection or self._connect()
        try:
            yield connection
        except (sqlite3.Error, StoreError):
            connection.close()
            raise
        except BaseException:
            self._keep(connection)
            raise
        self._keep(connection)

    def _keep(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            self._idle.append(connection)

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(
                self._path, timeout=self._patience, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise StoreError(f"the database {self._path} cannot be opened: {error}") from error
        connection.row_factory = sqlite3.Row
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            # What was committed is on the disk, whatever happens to the machine: it may have been paid for.
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
        except sqlite3.Error as error:
            connection.close()
            raise StoreError(f"the database {self._path} cannot be used: {error}") from error
        return connection

    def _migrate(self, migrations: Sequence[str]) -> None:
        with self._connection() as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                if version > len(migrations):
                    raise StoreError(
                        f"the database {self._path} is of version {version}, and this program knows up to"
                        f" {len(migrations)}: use the newer program"
                    )
                for step in migrations[version:]:
                    for statement in _statements(step):
                        connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {len(migrations)}")
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise StoreError(f"the database {self._path} cannot be brought up to date: {error}") from error
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")


def _statements(script: str) -> Iterator[str]:
    """The statements of a script: executescript() would end the transaction around them."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement
