"""PostgreSQL as the store: restarted, away, too new, asked by many; and events in the order in which they are read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.platform import statements
from mitm_ai_proxy.platform.database import StoreError
from mitm_ai_proxy.platform.postgres import PostgresDatabase
from mitm_ai_proxy.platform.schema import MIGRATIONS
from mitm_ai_proxy.platform.states import State
from mitm_ai_proxy.platform.store import Store
from tests.platform.orders import NOW, order
from tests.platform.servers import Postgres, free_port


@pytest.fixture
def database(postgres: Postgres) -> Iterator[PostgresDatabase]:
    """An empty database."""
    postgres.clear()
    opened = PostgresDatabase(Secret(postgres.url), MIGRATIONS)
    yield opened
    opened.close()


def test_a_restarted_server_is_used_again_without_a_failure_for_each_connection(
    database: PostgresDatabase, postgres: Postgres
) -> None:
    store = Store(database)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda number: store.accept(order(f"j{number}"), [], NOW), range(20)))
    postgres.kill()
    with pytest.raises(StoreError, match="cannot be reached"):
        store.accept(order("away"), [], NOW)
    postgres.start()

    store.accept(order("again"), [], NOW)
    assert store.counts() == {State.QUEUED: 21}


def test_a_transaction_whose_connection_is_cut_is_undone(database: PostgresDatabase, postgres: Postgres) -> None:
    store = Store(database)

    def cut() -> None:
        with database.transaction() as transaction:
            statements.insert(transaction, order("half"), NOW)
            postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state LIKE 'idle in%'")
            statements.insert(transaction, order("more"), NOW)

    with pytest.raises(StoreError):
        cut()

    assert store.counts() == {}


def test_a_server_or_a_database_that_is_not_there_is_named_without_its_password(postgres: Postgres) -> None:
    for port, reason in ((free_port(), "nothing listens there"), (postgres.port, "there is no such database")):
        url = f"postgresql://tester:pa55@127.0.0.1:{port}/d"
        with pytest.raises(StoreError, match=f"the database at 127.0.0.1:{port} cannot be reached: {reason}") as raised:
            PostgresDatabase(Secret(url), MIGRATIONS)

        assert "pa55" not in str(raised.value)


def test_processes_that_start_together_make_the_schema_once(postgres: Postgres) -> None:
    postgres.execute("DROP SCHEMA public CASCADE")
    postgres.execute("CREATE SCHEMA public")

    def open_one(_: int) -> None:
        PostgresDatabase(Secret(postgres.url), MIGRATIONS).close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(open_one, range(4)))


def test_a_database_of_a_newer_program_is_refused(database: PostgresDatabase, postgres: Postgres) -> None:
    postgres.execute("UPDATE schema_version SET version = 99")
    with pytest.raises(StoreError, match=r"of version 99.*use the newer program"):
        PostgresDatabase(Secret(postgres.url), MIGRATIONS)
    postgres.execute(f"UPDATE schema_version SET version = {len(MIGRATIONS)}")


def test_who_reads_all_events_misses_none_that_is_written_meanwhile(database: PostgresDatabase) -> None:
    """One has a lower number than another, and is committed later."""
    store = Store(database)
    is_noted, may_end = threading.Event(), threading.Event()

    def slow() -> None:
        with database.transaction() as transaction:
            statements.insert(transaction, order("slow"), NOW)
            statements.note(transaction, "slow", NOW, "", State.QUEUED, "accepted", "")
            is_noted.set()
            assert may_end.wait(30)

    with ThreadPoolExecutor(2) as threads:
        written = threads.submit(slow)
        assert is_noted.wait(30)
        store.accept(order("quick"), [], NOW)
        read = threads.submit(store.events)
        with pytest.raises(TimeoutError):
            read.result(0.2)
        may_end.set()
        written.result(30)
        found = read.result(30)

    assert [event.job for event in found] == ["slow", "quick"]
    assert [event.number for event in found] == sorted(event.number for event in found)


def test_what_only_reads_may_not_write(database: PostgresDatabase) -> None:
    def write() -> None:
        with database.transaction(writes=False) as transaction:
            statements.insert(transaction, order(), NOW)

    with pytest.raises(StoreError, match="read-only"):
        write()
