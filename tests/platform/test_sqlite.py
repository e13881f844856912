"""The file of the store: whole after a kill, shared by processes, refused when full, locked, damaged or too new."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from mitm_ai_proxy.platform import statements
from mitm_ai_proxy.platform.database import StoreError
from mitm_ai_proxy.platform.money import Budget
from mitm_ai_proxy.platform.records import Accepted, Ask
from mitm_ai_proxy.platform.schema import MIGRATIONS
from mitm_ai_proxy.platform.sqlite import SqliteDatabase
from mitm_ai_proxy.platform.states import State
from mitm_ai_proxy.platform.store import Store
from tests.platform.orders import NOW, claimed, order

ROOT = Path(__file__).parents[2]
DEADLINE = 60
BUDGET = [Budget("day", 30_000, NOW)]

# A worker that stops in the middle: says so, and waits for the kill.
_STOPS = """
import sys
from pathlib import Path
from mitm_ai_proxy.platform import statements
from mitm_ai_proxy.platform.store import Store
from tests.platform.orders import NOW, claimed, order
from mitm_ai_proxy.platform.money import Budget
from mitm_ai_proxy.platform.records import Ask

def stop(*_):
    print("here", flush=True)
    sys.stdin.read()

store = Store(Path(sys.argv[1]))
if sys.argv[2] == "accept":
    statements.note_all = stop
    budgets = [Budget("day", 30_000, NOW)]
    store.accept_all([Ask(order("half"), budgets, NOW), Ask(order("other half"), budgets, NOW)])
elif sys.argv[2] == "claim":
    statements.note = stop
    claimed(store)
else:
    claimed(store)
    stop()
"""
_CLAIMS = """
import sys
from pathlib import Path
from mitm_ai_proxy.platform.store import Store
from mitm_ai_proxy.platform.scheduling import Limits
from tests.platform.orders import claimed, stored

store = Store(Path(sys.argv[1]))
while store.counts().get("stored", 0) < int(sys.argv[2]):
    if job := claimed(store, limits=Limits({"main": 3}, {})):
        print(job.id, flush=True)
        stored(store, job)
store.close()
"""


@contextmanager
def _program(text: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "addon")])}
    with subprocess.Popen(
        [sys.executable, "-c", text, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.programs
@pytest.mark.parametrize("point", ["accept", "claim", "claimed"])
def test_a_worker_that_is_killed_leaves_nothing_half(point: str, tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with closing(Store(path)) as store:
        store.accept(order("whole"), BUDGET, NOW)
        with _program(_STOPS, str(path), point) as process:
            assert process.stdout
            assert process.stdout.readline() == "here\n"
            process.send_signal(signal.SIGKILL)
            process.wait(DEADLINE)

        assert (store.job("half"), store.job("other half"), store.balance("day")) == (None, None, (0, 3000))
        is_claimed = point == "claimed"
        assert store.counts() == {State.SUBMITTING if is_claimed else State.QUEUED: 1}
        assert store.due(NOW + 60) == (["whole"] if is_claimed else [])
        assert (claimed(store) is None) is is_claimed


@pytest.mark.programs
def test_two_processes_share_the_jobs(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with closing(Store(path)) as store:
        for number in range(20):
            store.accept(order(f"j{number}"), BUDGET[:0], NOW)
        with _program(_CLAIMS, str(path), "20") as one, _program(_CLAIMS, str(path), "20") as other:
            done = [process.communicate(timeout=DEADLINE)[0].split() for process in (one, other)]

        assert sorted(done[0] + done[1]) == sorted(f"j{number}" for number in range(20))
        assert store.counts() == {State.STORED: 20}


def test_stores_that_share_a_file_are_exact_at_the_edge_of_a_budget(tmp_path: Path) -> None:
    """As two API processes: no thread of one knows of the other's."""
    path = tmp_path / "jobs.db"
    with closing(Store(path)) as one, closing(Store(path)) as other, ThreadPoolExecutor(8) as threads:

        def accept(number: int) -> Accepted | Exception:
            (found,) = (one, other)[number % 2].accept_all([Ask(order(f"j{number}"), BUDGET, NOW)])
            return found

        found = list(threads.map(accept, range(50)))

        assert sorted(type(result).__name__ for result in found) == ["Accepted"] * 10 + ["Exceeded"] * 40
        assert (one.balance("day"), other.counts()) == ((0, 30_000), {State.QUEUED: 10})


def test_what_is_committed_is_synced_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # what tests do to be quick
    with closing(Store(tmp_path / "jobs.db")) as store:
        assert isinstance(store._database, SqliteDatabase)
        with store._database._connection() as connection:
            assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL


def test_what_was_written_is_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    with closing(Store(tmp_path / "jobs.db")) as store:
        accepted = store.accept(order(), BUDGET, NOW).job
    with closing(Store(tmp_path / "jobs.db")) as store:
        assert store.job("j") == accepted
        assert store.balance("day") == (0, 3000)


def test_a_full_disk_refuses_a_job_whole(tmp_path: Path) -> None:
    with closing(Store(tmp_path / "jobs.db")) as store:
        store.accept(order("j0"), BUDGET, NOW)
        assert isinstance(store._database, SqliteDatabase)
        with store._database._connection() as connection:
            connection.execute("PRAGMA max_page_count = 1")  # no more than it has

        with pytest.raises(StoreError, match=r"jobs\.db cannot be used: .*full"):
            store.accept(order("j1", body="x" * 100_000), BUDGET, NOW)

        assert (store.job("j1"), store.balance("day"), store.counts()) == (None, (0, 3000), {State.QUEUED: 1})
        store.accept(order("j2"), BUDGET, NOW)


def test_a_locked_file_refuses_a_job_and_can_be_read_all_the_while(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with closing(Store(path, patience=0.01)) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        store.accept(order("j0"), [], NOW)
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(StoreError, match="locked"):
            store.accept(order("j1"), [], NOW)
        assert store.counts() == {State.QUEUED: 1}

        other.execute("ROLLBACK")
        assert store.accept(order("j1"), [], NOW).is_new


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_bytes(b"no database" * 500), "not a database"),
        (lambda path: path.mkdir(), "cannot be opened"),
    ],
)
def test_a_file_that_is_no_database_is_refused_by_name(
    spoil: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    spoil(tmp_path / "jobs.db")

    with pytest.raises(StoreError, match=message) as raised:
        Store(tmp_path / "jobs.db")
    assert "jobs.db" in str(raised.value)


def test_a_file_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as connection:
        connection.execute("PRAGMA user_version = 99")

    with pytest.raises(StoreError, match=r"of version 99.*up to \d+: use the newer program"):
        Store(tmp_path / "jobs.db")


def _tables(database: SqliteDatabase) -> set[str]:
    with database.transaction(writes=False) as transaction:
        return {row[0] for row in transaction.rows("SELECT name FROM sqlite_master WHERE type = 'table'", {})}


def test_an_older_file_gets_the_steps_that_it_lacks(tmp_path: Path) -> None:
    first, second = "CREATE TABLE a (x); -- a; comment\n", "CREATE TABLE b (x);\nCREATE TABLE c (x)"
    for steps in ([first], [first, second], [first, second]):
        with closing(SqliteDatabase(tmp_path / "x.db", steps)) as database:
            found = _tables(database)

    assert found == {"a", "b", "c"}


def test_a_step_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be brought up to date"):
        SqliteDatabase(tmp_path / "x.db", ["CREATE TABLE a (x);\nCREATE TABLE a (x);"])

    with closing(SqliteDatabase(tmp_path / "x.db", ["CREATE TABLE b (x);"])) as database:
        assert _tables(database) == {"b"}


def test_an_error_of_the_caller_undoes_the_transaction(tmp_path: Path) -> None:
    def fail(database: SqliteDatabase) -> None:
        with database.transaction() as transaction:
            transaction.change("INSERT INTO a VALUES (:x)", {"x": 1})
            raise ZeroDivisionError

    with closing(SqliteDatabase(tmp_path / "x.db", ["CREATE TABLE a (x);"])) as database:
        with pytest.raises(ZeroDivisionError):
            fail(database)
        with database.transaction() as transaction:
            assert transaction.rows("SELECT * FROM a", {}) == []


def test_questions_of_the_queue_use_indices(tmp_path: Path) -> None:
    """Ten thousand jobs wait, or are done: neither makes a claim slow."""
    questions = (
        "SELECT tenant, model, MIN(position), pinned_to FROM jobs WHERE state = 'queued'"
        " GROUP BY tenant, model, pinned_to",
        "SELECT id FROM jobs WHERE state = 'queued' AND tenant = 'a' AND model = 'b' AND pinned_to = ''"
        " ORDER BY position, id LIMIT 1",
        f"SELECT tenant, account, model, COUNT(*) FROM jobs WHERE state IN ({statements.SLOTS})"
        " GROUP BY tenant, account, model",
        f"SELECT id FROM jobs WHERE state IN ({statements.AT_WORK}) AND next_at <= 1 AND lease_until <= 1"
        " ORDER BY next_at LIMIT 200",
        "SELECT id FROM jobs WHERE tenant = 'a' ORDER BY created_at DESC, id DESC LIMIT 20",
        "SELECT id FROM jobs ORDER BY created_at ASC, id ASC LIMIT 20",
    )
    with closing(SqliteDatabase(tmp_path / "x.db", MIGRATIONS)) as database, database.transaction() as transaction:
        for question in questions:
            plan = [row["detail"] for row in transaction.rows(f"EXPLAIN QUERY PLAN {question}", {})]
            assert len(plan) == 1, (question, plan)
            assert "USING" in plan[0], question
            assert "INDEX jobs_" in plan[0], question
