"""PostgreSQL for the store: connections, transactions, locks by name, and the steps of the schema in its dialect."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from ..auth.secret import Secret
from .database import Row, StoreError, Unconfirmed, Values

_CONNECT_SECONDS: Final = 10
_SETTINGS: Final = {
    "lock_timeout": "10s",
    "statement_timeout": "30s",
    # A worker that was cut off must not hold its locks for ever.
    "idle_in_transaction_session_timeout": "60s",
}
_KEEP_ALIVE: Final = {"keepalives": 1, "keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3}
_PARAMETER: Final = re.compile(r":([a-z_][a-z_0-9]*)")
_DIALECT: Final = (
    ("INTEGER PRIMARY KEY AUTOINCREMENT", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"),
    ("INTEGER", "BIGINT"),
    ("REAL", "DOUBLE PRECISION"),
)
"""What the schema's words, which are SQLite's, are here."""
_MIGRATING: Final = "migrating"
_REASONS: Final = (
    ("refused", "nothing listens there"),
    ("timeout", "it has not answered in time"),
    ("authentication", "the user or the password is wrong"),
    ("does not exist", "there is no such database, or no such user"),
    ("resolve", "the host is not known"),
    ("translate", "the host is not known"),
    ("starting up", "it is starting"),
    ("shutting down", "it is ending"),
    ("too many", "it takes no more connections"),
)
"""Why no connection was made, by a word of the driver's text, the rest of which may name more than it should."""


class Transaction:
    """A transaction, as database.py says."""

    for_update: ClassVar[str] = " FOR UPDATE"
    skip_locked: ClassVar[str] = " FOR UPDATE SKIP LOCKED"

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self._held: set[tuple[str, bool]] = set()

    def rows(self, statement: str, values: Values) -> Sequence[Row]:
        """The rows of a question."""
        return self._execute(statement, values).fetchall()

    def row(self, statement: str, values: Values) -> Row | None:
        """The first row of a question; None if there is none."""
        return self._execute(statement, values).fetchone()

    def change(self, statement: str, values: Values) -> int:
        """How many rows a statement has changed."""
        return self._execute(statement, values).rowcount

    def change_all(self, statement: str, values: Sequence[Values]) -> None:
        """Run a statement for each of these values, in their order, without a round trip for each."""
        if values:
            self._connection.cursor().executemany(_translated(statement), values)

    def lock(self, name: str, *, shared: bool = False) -> None:
        """Wait for the lock of a name, and hold it to the end."""
        if (name, shared) in self._held:
            return
        function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
        self._execute(f"SELECT {function}(hashtextextended(:name, 0))", {"name": name})
        self._held.add((name, shared))

    def script(self, statements: str) -> None:
        """Run statements without parameters."""
        self._connection.execute(statements.encode())

    def _execute(self, statement: str, values: Values) -> psycopg.Cursor[tuple[Any, ...]]:
        return self._connection.execute(_translated(statement), values)


class PostgresDatabase:
    """A database on a server. Connections are kept and reused; each is used by one thread at a time."""

    def __init__(self, url: Secret, migrations: Sequence[str]) -> None:
        """Connect, and bring its schema up to date. Raises StoreError."""
        self._url = url
        self._idle: list[psycopg.Connection] = []
        self._lock = threading.Lock()
        try:
            self._migrate(migrations)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def transaction(self, *, writes: bool = True) -> Iterator[Transaction]:
        """A transaction; what raises inside undoes it. Raises StoreError where the database refuses."""
        with self._connection(writes) as connection:
            try:
                yield Transaction(connection)
                if writes:
                    self._commit(connection)
                else:
                    connection.execute("COMMIT")
            except (psycopg.IntegrityError, psycopg.DataError):
                raise
            except psycopg.Error as error:
                raise StoreError(f"the database cannot be used: {_words(error)}") from error

    def _commit(self, connection: psycopg.Connection) -> None:
        try:
            connection.execute("COMMIT")
        except psycopg.OperationalError as error:
            if connection.closed:
                raise Unconfirmed("the connection to the database was cut at the commit") from error
            raise

    def close(self) -> None:
        """Close what is not in use."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    @contextmanager
    def _connection(self, writes: bool) -> Iterator[psycopg.Connection]:
        """A connection within a transaction, which is rolled back unless it was committed."""
        connection = self._begun(writes)
        try:
            yield connection
        finally:
            self._keep(connection)

    def _begun(self, writes: bool) -> psycopg.Connection:
        begin = b"BEGIN" if writes else b"BEGIN READ ONLY"
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            is_new = connection is None
            connection = connection or self._connect()
            try:
                connection.execute(begin)
            except psycopg.Error as error:
                connection.close()
                if is_new:
                    raise StoreError(f"the database cannot be used: {_words(error)}") from error
                # The server was restarted since.
                continue
            return connection

    def _keep(self, connection: psycopg.Connection) -> None:
        try:
            if connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                connection.execute("ROLLBACK")
        except psycopg.Error:
            connection.close()
            return
        with self._lock:
            self._idle.append(connection)

    def _connect(self) -> psycopg.Connection:
        try:
            given: dict[str, Any] = {"connect_timeout": _CONNECT_SECONDS, "application_name": "ai-proxy platform"}
            parameters = {**given, **_KEEP_ALIVE, **conninfo_to_dict(self._url.reveal())}
            connection = psycopg.connect(**parameters, autocommit=True)
            for name, value in _SETTINGS.items():
                connection.execute("SELECT set_config(%s, %s, false)", (name, value))
        except psycopg.Error as error:
            raise StoreError(f"the database{self._place()} cannot be reached: {_reason(error)}") from error
        return connection

    def _place(self) -> str:
        """The host and port of the URL, for people; "" where they are not to be read."""
        try:
            found = conninfo_to_dict(self._url.reveal())
        except psycopg.Error:
            return ""
        return f" at {found['host']}:{found.get('port', 5432)}" if found.get("host") else ""

    def _migrate(self, migrations: Sequence[str]) -> None:
        with self.transaction() as transaction:
            transaction.lock(_MIGRATING)
            transaction.change("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)", {})
            row = transaction.row("SELECT version FROM schema_version", {})
            version = int(row[0]) if row else 0
            if version > len(migrations):
                raise StoreError(
                    f"the database is of version {version}, and this program knows up to {len(migrations)}:"
                    " use the newer program"
                )
            for step in migrations[version:]:
                transaction.script(_schema(step))
            transaction.change("DELETE FROM schema_version", {})
            transaction.change("INSERT INTO schema_version VALUES (:version)", {"version": len(migrations)})


@functools.lru_cache(maxsize=1000)
def _translated(statement: str) -> bytes:
    """A statement with psycopg's parameters. It is a constant of this program: values are parameters."""
    return _PARAMETER.sub(r"%(\1)s", statement.replace("%", "%%")).encode()


def _schema(step: str) -> str:
    for word, here in _DIALECT:
        step = re.sub(rf"\b{word}\b", here, step)
    return step


def _reason(error: psycopg.Error) -> str:
    """Why no connection was made."""
    text = str(error)
    return next((reason for word, reason in _REASONS if word in text), _words(error))


def _words(error: psycopg.Error) -> str:
    """What the server said, without its hints and contexts; nothing of the driver's, which may name the user."""
    return (error.diag.message_primary or type(error).__name__).rstrip()
