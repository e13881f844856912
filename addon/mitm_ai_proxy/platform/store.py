"""The jobs in the database: each function is one transaction, and no two of them see half of a third.

What is written is decided by the pure files beside it; here it is only read, asked and written down.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from . import accepting, lanes, scheduling, statements
from .accepting import QueueFull as QueueFull
from .books import Books
from .database import Database
from .decisions import DISCARDED, Decision
from .deliveries import Deliveries
from .keys import Keys
from .lanes import NEW, Lane
from .money import Balance, Budget
from .overview import Overview
from .records import Accepted, Ask, Event, Job, Order, Repeat, StoredFile
from .repeats import Repeats
from .scheduling import Held, Limits, Waiting
from .schema import MIGRATIONS
from .sqlite import BUSY_SECONDS, SqliteDatabase
from .states import CANCELLABLE, FINAL, Money, State, require
from .timing import Timing


class NotCancellable(Exception):
    """A job that Kling may have been paid for already."""

    def __init__(self, state: State) -> None:
        self.state = state
        super().__init__(f"the job is {state}: Kling has no cancel, and bills what it has taken")


class Store:
    """Jobs, their history, budgets and what is known of accounts.

    Beside them are `keys`, `deliveries`, `overview` and `repeats`.
    """

    def __init__(self, where: Path | Database, *, patience: float = BUSY_SECONDS, alarms_to: str = "") -> None:
        """In a database that is open, or in a file of SQLite, which is made; `patience`: how long to wait for others.

        `alarms_to`: the URL that gets a webhook when an account is paused, and when it is in order again; "" for none.
        Raises StoreError.
        """
        self._alarms_to = alarms_to
        self._database: Database
        if isinstance(where, Path):
            self._database = SqliteDatabase(where, MIGRATIONS, patience=patience)
        else:
            self._database = where
        self.keys, self.deliveries = Keys(self._database), Deliveries(self._database)
        self.overview, self.repeats = Overview(self._database), Repeats(self._database)
        self.books = Books(self._database)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    # Taking jobs in

    def accept(
        self,
        order: Order,
        budgets: Sequence[Budget],
        now: float,
        *,
        most: int | None = None,
        repeat: Repeat | None = None,
    ) -> Accepted:
        """Reserve the money for a job and put it into the queue; a create that came before gives its job.

        `most` is how many of the tenant's jobs may wait. Raises Exceeded, QueueFull, RepeatedOtherwise or StoreError;
        then nothing is stored.
        """
        (found,) = self.accept_all([Ask(order, budgets, now, most, repeat)])
        if isinstance(found, Exception):
            raise found
        return found

    def accept_all(self, asks: Sequence[Ask]) -> list[Accepted | Exception]:
        """What accept() gives or raises for each of these, in one transaction: what refuses one is not the others'."""
        return accepting.accept_all(self._database, asks)

    def cancel(self, job_id: str, tenant: str, now: float) -> Job | None:
        """Take a job out of the queue, and release its money. None if the tenant has no such job.

        Raises NotCancellable for one that has left the queue.
        """
        with self._database.transaction() as transaction:
            job = statements.find(transaction, job_id, tenant, for_update=True)
            if job is None:
                return None
            if job.state not in CANCELLABLE:
                raise NotCancellable(job.state)
            decision = Decision(State.CANCELLED, "cancelled by the client", money=Money.RELEASED)
            return statements.write(transaction, job, decision, now, "")

    def discard(self, job_id: str, tenant: str, now: float) -> Job | None:
        """Mark a job so that its result is not stored; it goes on and is paid. None if the tenant has none."""
        with self._database.transaction() as transaction:
            job = statements.find(transaction, job_id, tenant, for_update=True)
            if job is None or job.state in FINAL or job.is_discarded:
                return job
            transaction.change("UPDATE jobs SET is_discarded = 1 WHERE id = :id", {"id": job_id})
            statements.note(transaction, job_id, now, job.state, job.state, "the result is not wanted any more", "")
            return statements.find(transaction, job_id)

    def delete(self, job_id: str, tenant: str, now: float) -> Job | None:
        """Mark a job that has ended as deleted; it stays for the books, without what was asked for.

        None if the tenant has none that has ended.
        """
        with self._database.transaction() as transaction:
            job = statements.find(transaction, job_id, tenant, for_update=True)
            if job is None or job.state not in FINAL:
                return None
            transaction.change(
                "UPDATE jobs SET deleted_at = :now WHERE id = :id AND deleted_at = 0", {"id": job_id, "now": now}
            )
            transaction.change("DELETE FROM bodies WHERE job = :id", {"id": job_id})
            return statements.find(transaction, job_id)

    # Working on jobs

    def claim_next(
        self, limits: Limits, timing: Timing, now: float, *, claim: str, lease: float, worker: str = ""
    ) -> Job | None:
        """Take the next job out of the queue, with a slot of an account; None where nobody waits or no slot is free."""
        with self._database.transaction() as transaction:
            transaction.lock(statements.QUEUE)
            waiting = [
                Waiting(*row)
                for row in transaction.rows(
                    "SELECT tenant, model, MIN(position), pinned_to FROM jobs WHERE state = 'queued'"
                    " GROUP BY tenant, model, pinned_to",
                    {},
                )
            ]
            if not waiting:
                return None
            known, held = statements.all_lanes(transaction), statements.held(transaction)
            choice = scheduling.choose(waiting, held, known, limits, now, timing)
            if choice is None:
                return None
            row = transaction.row(
                "SELECT id FROM jobs WHERE state = 'queued' AND tenant = :tenant AND model = :model"
                f" AND pinned_to = :pinned_to ORDER BY position, id LIMIT 1{transaction.for_update}",
                choice._asdict(),
            )
            if row is None:
                # Cancelled just now.
                return None
            require(State.QUEUED, State.SUBMITTING)
            transaction.change(
                "UPDATE jobs SET state = 'submitting', account = :account, submitted_at = :now, tries = 0,"
                " task_id = '', claim = :claim, lease_until = :until, next_at = :now WHERE id = :id",
                {"id": row[0], "account": choice.account, "now": now, "claim": claim, "until": now + lease},
            )
            reason = f"a slot of {choice.account}"
            statements.note(transaction, row[0], now, State.QUEUED, State.SUBMITTING, reason, worker)
            for model in (lanes.ALL_MODELS, choice.model):
                before = known.get((choice.account, model), NEW)
                after = lanes.taken(before, now, timing)
                if after != before:
                    statements.write_lane(transaction, choice.account, model, after)
            return statements.find(transaction, row[0])

    def claim(self, job_id: str, now: float, *, claim: str, lease: float) -> Job | None:
        """Take over a job that has left the queue and whose step is due; None where it is not, or others work on it."""
        with self._database.transaction() as transaction:
            changed = transaction.change(
                "UPDATE jobs SET claim = :claim, lease_until = :until WHERE id = :id AND lease_until <= :now"
                f" AND next_at <= :now AND state IN ({statements.AT_WORK})",
                {"id": job_id, "claim": claim, "until": now + lease, "now": now},
            )
            return statements.find(transaction, job_id) if changed else None

    def renew(self, job: Job, now: float, lease: float) -> bool:
        """Keep a job for longer; False where somebody else has taken it over."""
        with self._database.transaction() as transaction:
            return bool(
                transaction.change(
                    "UPDATE jobs SET lease_until = :until WHERE id = :id AND claim = :claim",
                    {"id": job.id, "claim": job.claim, "until": now + lease},
                )
            )

    def commit(
        self,
        job: Job,
        decision: Decision,
        now: float,
        timing: Timing,
        *,
        worker: str = "",
        file: StoredFile | None = None,
        keeps_claim: bool = False,
    ) -> Job | None:
        """Write what was decided for a claimed job: its state, money, history, and what its account learned.

        With `keeps_claim` the same step goes on. None where somebody else has taken the job over: nothing is written
        but what the account learned, which is true in any case. What was to be stored of a job that was thrown away
        meanwhile is not.
        """
        with self._database.transaction() as transaction:
            if decision.lesson:
                transaction.lock(statements.QUEUE)
                statements.learn(transaction, job, decision.lesson, now, timing, self._alarms_to)
            current = statements.find(transaction, job.id, for_update=True)
            if current is None or not job.claim or current.claim != job.claim or current.state != job.state:
                return None
            if current.is_discarded and decision.state is State.STORED:
                decision, file = DISCARDED, None
            return statements.write(transaction, current, decision, now, worker, file, keeps_claim=keeps_claim)

    def due(self, now: float, limit: int = 200) -> list[str]:
        """The jobs whose step is due and that nobody works on, the longest overdue first."""
        with self._database.transaction(writes=False) as transaction:
            rows = transaction.rows(
                f"SELECT id FROM jobs WHERE state IN ({statements.AT_WORK}) AND next_at <= :now AND lease_until <= :now"
                " ORDER BY next_at LIMIT :limit",
                {"now": now, "limit": limit},
            )
        return [row[0] for row in rows]

    def wake(self, job_id: str, now: float) -> bool:
        """Make a job's next step due at once, as for a callback; False where it has none that waits."""
        with self._database.transaction() as transaction:
            return bool(
                transaction.change(
                    "UPDATE jobs SET next_at = :now WHERE id = :id AND next_at > :now"
                    f" AND state IN ({statements.AT_WORK})",
                    {"id": job_id, "now": now},
                )
            )

    # Looking

    def job(self, job_id: str, tenant: str | None = None) -> Job | None:
        """A job, or that of a tenant; None if there is none."""
        with self._database.transaction(writes=False) as transaction:
            return statements.find(transaction, job_id, tenant)

    def body(self, job_id: str) -> str | None:
        """The JSON of a job's create; None where there is no such job, or it was deleted."""
        with self._database.transaction(writes=False) as transaction:
            row = transaction.row("SELECT body FROM bodies WHERE job = :id", {"id": job_id})
        return str(row[0]) if row else None

    def jobs(
        self,
        *,
        tenant: str | None = None,
        states: Sequence[State] = (),
        after: str = "",
        limit: int = 20,
        is_ascending: bool = False,
        with_deleted: bool = True,
    ) -> list[Job]:
        """A page of jobs, the newest first unless `is_ascending`; `after` is the id of the job before the page."""
        wanted = ["tenant = :tenant"] if tenant is not None else []
        if states:
            wanted.append(f"state IN ({', '.join(repr(str(state)) for state in states)})")
        if not with_deleted:
            wanted.append("deleted_at = 0")
        if after:
            sign = ">" if is_ascending else "<"
            wanted.append(f"(created_at, id) {sign} (SELECT created_at, id FROM jobs WHERE id = :after)")
        where = f"WHERE {' AND '.join(wanted)}" if wanted else ""
        way = "ASC" if is_ascending else "DESC"
        with self._database.transaction(writes=False) as transaction:
            rows = transaction.rows(
                f"SELECT {statements.COLUMNS} FROM jobs {where} ORDER BY created_at {way}, id {way} LIMIT :limit",
                {"tenant": tenant, "after": after, "limit": limit},
            )
        return [statements.read(row) for row in rows]

    def events(self, job_id: str | None = None, *, after: int = 0, limit: int = 1000) -> list[Event]:
        """The history of a job, or of all, after the event of a number."""
        where = "job = :job AND" if job_id is not None else ""
        with self._database.transaction(writes=False) as transaction:
            if job_id is None:
                transaction.lock(statements.EVENTS)
            rows = transaction.rows(
                "SELECT number, job, at, before, after, reason, worker FROM events"
                f" WHERE {where} number > :after ORDER BY number LIMIT :limit",
                {"job": job_id, "after": after, "limit": limit},
            )
        return [Event(*row) for row in rows]

    def balance(self, budget: str) -> Balance:
        """What of a budget is spent and reserved."""
        with self._database.transaction(writes=False) as transaction:
            return statements.balance(transaction, budget)

    def lanes(self) -> dict[tuple[str, str], Lane]:
        """What is known of the accounts, by account and model."""
        with self._database.transaction(writes=False) as transaction:
            return statements.all_lanes(transaction)

    def counts(self, tenant: str | None = None) -> dict[State, int]:
        """How many jobs are in each state; those that none is in are missing."""
        where = "WHERE tenant = :tenant" if tenant is not None else ""
        with self._database.transaction(writes=False) as transaction:
            rows = transaction.rows(
                f"SELECT state, COUNT(*) FROM jobs {where} GROUP BY state",
                {"tenant": tenant},
            )
        return {State(state): count for state, count in rows}

    def held(self) -> list[Held]:
        """The slots in use, by tenant, account and model."""
        with self._database.transaction(writes=False) as transaction:
            return statements.held(transaction)
