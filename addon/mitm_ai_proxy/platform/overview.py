"""What the page, the probes and those who listen ask of the store, beside single jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from . import statements
from .database import Database, Transaction
from .money import EMPTY, NO_LIMIT, Balance, budgets
from .records import Event, Job
from .scheduling import order
from .states import State

HOUR: Final = 3600.0
FURTHEST: Final = 1000
"""The last place in a queue that is counted, so that a long one makes no create slow."""
_EVENT: Final = ", ".join(f"events.{name}" for name in Event._fields)
_JOB: Final = ", ".join(f"jobs.{name.strip()}" for name in statements.COLUMNS.split(","))


class Pulse(NamedTuple):
    """How many jobs are in each state, since when the oldest waits (0: none does), videos of the last hour."""

    counts: Mapping[State, int]
    oldest_waiting: float
    stored_last_hour: int


class Overview:
    """Questions that many jobs answer together."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pulse(self, now: float, tenant: str | None = None) -> Pulse:
        """What goes on, of a tenant or of all. Deleted jobs count where they ended."""
        whose = "" if tenant is None else "tenant = :tenant AND"
        values = {"since": now - HOUR} | ({} if tenant is None else {"tenant": tenant})
        with self._database.transaction(writes=False) as transaction:
            counts = transaction.rows(f"SELECT state, COUNT(*) FROM jobs WHERE {whose} 1 = 1 GROUP BY state", values)
            oldest = transaction.row(f"SELECT MIN(created_at) FROM jobs WHERE {whose} state = 'queued'", values)
            stored = transaction.row(
                f"SELECT COUNT(*) FROM jobs WHERE {whose} state = 'stored' AND ended_at >= :since", values
            )
        return Pulse(
            {State(state): count for state, count in counts},
            float(oldest[0] or 0.0) if oldest else 0.0,
            int(stored[0]) if stored else 0,
        )

    def position(self, job: Job) -> int | None:
        """Which place a job has in the queue of its tenant, from 1 to FURTHEST; None where it does not wait."""
        return self.positions([job])[job.id]

    def positions(self, jobs: Sequence[Job]) -> dict[str, int | None]:
        """Which place each of these jobs has, by its id: one question for those of a tenant and priority.

        Those behind the first of them are taken to follow it at once, as jobs do that were accepted together.
        """
        found: dict[str, int | None] = dict.fromkeys(job.id for job in jobs)
        alike: dict[tuple[str, int], dict[str, float]] = {}
        for job in jobs:
            if job.state is State.QUEUED:
                places = alike.setdefault((job.tenant, job.priority), {})
                places[job.id] = order(job.created_at, job.priority)
        if not alike:
            return found
        with self._database.transaction(writes=False) as transaction:
            for (tenant, _), places in alike.items():
                ids = sorted(places, key=lambda job_id: (places[job_id], job_id))
                first = _place(transaction, tenant, ids[0], places[ids[0]])
                if first:
                    found |= {job_id: min(first + behind, FURTHEST) for behind, job_id in enumerate(ids)}
        return found

    def last_event(self) -> int:
        """The number of the last event; 0 where there is none."""
        with self._database.transaction(writes=False) as transaction:
            transaction.lock(statements.EVENTS)
            row = transaction.row("SELECT MAX(number) FROM events", {})
        return int(row[0] or 0) if row else 0

    def news(self, after: int, limit: int = 500) -> Sequence[tuple[Event, Job]]:
        """The events behind a number, each with its job as it is now."""
        with self._database.transaction(writes=False) as transaction:
            transaction.lock(statements.EVENTS)
            rows = transaction.rows(
                f"SELECT {_EVENT}, {_JOB} FROM events JOIN jobs ON jobs.id = events.job"
                " WHERE events.number > :after ORDER BY events.number LIMIT :limit",
                {"after": after, "limit": limit},
            )
        width = len(Event._fields)
        return [(Event(*row[:width]), statements.read(row[width:])) for row in rows]

    def accounts(self) -> set[str]:
        """The accounts that jobs are bought in, or wait for."""
        with self._database.transaction(writes=False) as transaction:
            rows = transaction.rows(
                f"SELECT account FROM jobs WHERE state IN ({statements.AT_WORK})"
                " UNION SELECT pinned_to FROM jobs WHERE state = 'queued' AND pinned_to <> ''",
                {},
            )
        return {str(row[0]) for row in rows}

    def money(self, now: float) -> Balance:
        """What all tenants together have spent of today's budgets, and what is reserved."""
        day = budgets("%", NO_LIMIT, "", NO_LIMIT, now)[0]
        with self._database.transaction(writes=False) as transaction:
            row = transaction.row(
                "SELECT SUM(spent), SUM(reserved) FROM budgets WHERE name LIKE :day", {"day": day.name}
            )
        return Balance(int(row[0] or 0), int(row[1] or 0)) if row else EMPTY

    def oldest_due(self, now: float) -> float | None:
        """Since when the job that is overdue the longest waits for somebody to work on it; None where none does."""
        with self._database.transaction(writes=False) as transaction:
            row = transaction.row(
                f"SELECT MIN(CASE WHEN lease_until > next_at THEN lease_until ELSE next_at END) FROM jobs"
                f" WHERE state IN ({statements.AT_WORK}) AND next_at <= :now AND lease_until <= :now",
                {"now": now},
            )
        return float(row[0]) if row and row[0] is not None else None


def _place(transaction: Transaction, tenant: str, job_id: str, position: float) -> int:
    """How many jobs of a tenant wait up to this one, counted to FURTHEST."""
    row = transaction.row(
        "SELECT COUNT(*) FROM (SELECT id FROM jobs WHERE state = 'queued' AND tenant = :tenant"
        " AND (position < :position OR (position = :position AND id <= :id)) LIMIT :most) AS before",
        {"id": job_id, "tenant": tenant, "position": position, "most": FURTHEST},
    )
    return int(row[0]) if row else 0
