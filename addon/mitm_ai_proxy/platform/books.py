"""What the books say beside single jobs: tasks and their jobs, prices learned late, tasks that no job has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from . import statements
from .database import Database
from .records import Job
from .states import FINAL, Money


class Orphan(NamedTuple):
    """A task at Kling under a name of ours that no job here has, as after a restored backup."""

    account: str
    task_id: str
    name: str
    path: str
    status: str


class Books:
    """Questions of whoever compares the store with Kling's own books."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_task(self, account: str, task_id: str) -> Job | None:
        """The job of a task; None if there is none."""
        with self._database.transaction(writes=False) as transaction:
            row = transaction.row(
                f"SELECT {statements.COLUMNS} FROM jobs WHERE account = :account AND task_id = :task AND task_id <> ''",
                {"account": account, "task": task_id},
            )
        return statements.read(row) if row else None

    def unconfirmed(self, account: str) -> Sequence[Job]:
        """The jobs that have ended and whose price Kling has not said: their money stays reserved."""
        ended = ", ".join(f"'{state}'" for state in sorted(FINAL))
        with self._database.transaction(writes=False) as transaction:
            rows = transaction.rows(
                f"SELECT {statements.COLUMNS} FROM jobs WHERE account = :account AND state IN ({ended})"
                f" AND money = '{Money.RESERVED}' ORDER BY created_at LIMIT 1000",
                {"account": account},
            )
        return [statements.read(row) for row in rows]

    def settle(self, job_id: str, units: int, now: float) -> bool:
        """Settle a job that has ended by a price that was learned late; False where it is settled already."""
        with self._database.transaction() as transaction:
            job = statements.find(transaction, job_id, for_update=True)
            if job is None or job.state not in FINAL or job.money is not Money.RESERVED:
                return False
            statements.settle(transaction, job, units, now)
            return True

    def without_job(self, ids: Iterable[str]) -> set[str]:
        """Which of these are ids of no job."""
        with self._database.transaction(writes=False) as transaction:
            question = "SELECT id FROM jobs WHERE id = :id"
            return {job_id for job_id in set(ids) if not transaction.row(question, {"id": job_id})}

    def keep(self, orphans: Iterable[Orphan], now: float) -> None:
        """Write orphans down."""
        with self._database.transaction() as transaction:
            for orphan in orphans:
                transaction.change(
                    "INSERT INTO orphans (account, task_id, name, path, status, found_at)"
                    " VALUES (:account, :task_id, :name, :path, :status, :now)"
                    " ON CONFLICT (account, task_id) DO UPDATE SET status = :status",
                    {**orphan._asdict(), "now": now},
                )

    def orphans(self) -> Sequence[Orphan]:
        """All that were found."""
        with self._database.transaction(writes=False) as transaction:
            rows = transaction.rows(
                f"SELECT {', '.join(Orphan._fields)} FROM orphans ORDER BY found_at, account, task_id", {}
            )
        return [Orphan(*row) for row in rows]

    def is_due(self, what: str, every: float, now: float) -> bool:
        """Whether something was not done for so many seconds; whoever is told so is the one who does it."""
        with self._database.transaction() as transaction:
            transaction.lock(what)
            row = transaction.row("SELECT value FROM facts WHERE name = :name", {"name": what})
            if row and float(row[0]) > now - every:
                return False
            transaction.change(
                "INSERT INTO facts (name, value) VALUES (:name, :value)"
                " ON CONFLICT (name) DO UPDATE SET value = :value",
                {"name": what, "value": str(now)},
            )
            return True
