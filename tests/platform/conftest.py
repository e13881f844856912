"""Stores in SQLite and PostgreSQL, servers, and a gateway."""

from __future__ import annotations

import inspect
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.platform.postgres import PostgresDatabase
from mitm_ai_proxy.platform.schema import MIGRATIONS
from mitm_ai_proxy.platform.sqlite import SqliteDatabase
from mitm_ai_proxy.platform.store import Store
from tests.platform import fresh
from tests.platform.proxy import Proxy
from tests.platform.servers import Postgres, Redis, binary

_SERVERS = {"postgres", "redis", "s3", "proxy", "server", "world"}
"""Fixtures that start a server: a database, a queue, a store, a gateway, or the platform's own."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use a server, by a fixture or one of their own."""
    here = f"{Path(__file__).parent}{os.sep}"
    for item in items:
        if not str(item.path).startswith(here):
            continue
        parameters = getattr(getattr(item, "callspec", None), "params", {}).values()
        used = {*getattr(item, "fixturenames", ()), *(value for value in parameters if isinstance(value, str))}
        own = inspect.unwrap(item.function).__code__.co_names if isinstance(item, pytest.Function) else ()
        if used & _SERVERS or "Server" in own:
            item.add_marker("programs")


@pytest.fixture(scope="session")
def redis() -> Iterator[Redis]:
    """A Redis for all tests of this process."""
    if not binary("redis-server"):
        pytest.skip("Redis is not installed")
    server = Redis()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def unsynced_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no commit of a database wait for the disk either."""
    connect = SqliteDatabase._connect

    def connected(database: SqliteDatabase) -> sqlite3.Connection:
        connection = connect(database)
        connection.execute("PRAGMA synchronous=OFF")
        return connection

    monkeypatch.setattr(SqliteDatabase, "_connect", connected)


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Store]:
    """An empty store in a file."""
    opened = fresh.store(tmp_path / "jobs.db")
    yield opened
    opened.close()


@pytest.fixture
def postgres_store(postgres: Postgres) -> Iterator[Store]:
    """An empty store in PostgreSQL."""
    postgres.clear()
    opened = Store(PostgresDatabase(Secret(postgres.url), MIGRATIONS))
    yield opened
    opened.close()


@pytest.fixture(params=["sqlite", "postgres"])
def either_store(request: pytest.FixtureRequest) -> Store:
    """An empty store in a file, and one in PostgreSQL."""
    found: Store = request.getfixturevalue(f"{request.param}_store")
    return found


@pytest.fixture
def store(sqlite_store: Store) -> Store:
    """An empty store; a file of tests for both kinds has it return either_store."""
    return sqlite_store


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    """The gateway of a file's tests: mitmproxy runs once in a process."""
    made = Proxy()
    made.embedded.start()
    yield made
    made.embedded.stop()
