"""Takes jobs into the store: those that arrive together are written in one transaction, each whole or not at all.

What one is refused for is decided before anything is written, so that nothing of it has to be undone.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TypeAlias

from . import repeats, statements
from .database import Database, StoreError, Transaction, Unconfirmed
from .money import Balance, Exceeded
from .money import require as require_left
from .records import Accepted, Ask, Job
from .statements import RepeatedOtherwise
from .states import Money, State

logger = logging.getLogger(__name__)

Result: TypeAlias = Accepted | Exception
"""What has become of a create: Exceeded, QueueFull, RepeatedOtherwise or StoreError where it was not accepted."""


class QueueFull(Exception):
    """A tenant has as many jobs waiting as it may have."""


def accept_all(database: Database, asks: Sequence[Ask]) -> list[Result]:
    """Accept jobs in one transaction: for each its job, or why it was refused; then nothing of it is stored.

    Where the database is away, all get a StoreError; where it does not take what is written, each is tried by itself.
    """
    results: list[Result] = []
    try:
        with database.transaction() as transaction:
            results = _Group(transaction, asks).accepted()
    except Unconfirmed as error:
        return _confirmed(database, asks, results, error)
    except StoreError as error:
        return [error] * len(asks)
    except Exception as error:
        if len(asks) == 1:
            return [error]
        logger.warning("platform: one of %d creates was not written (%s)", len(asks), type(error).__name__)
        return [result for ask in asks for result in accept_all(database, [ask])]
    return results


def _confirmed(database: Database, asks: Sequence[Ask], results: Sequence[Result], error: Unconfirmed) -> list[Result]:
    """The results of a group of which nobody has said whether it was committed: whether its jobs are there tells."""
    new = [result.job.id for result in results if isinstance(result, Accepted) and result.is_new]
    try:
        with database.transaction() as transaction:
            # They are held until the old transaction has ended in one way or the other.
            _lock(transaction, asks)
            is_written = not new or statements.find(transaction, new[0]) is not None
    except StoreError:
        return [error] * len(asks)
    return list(results) if is_written else [StoreError(str(error))] * len(asks)


def _lock(transaction: Transaction, asks: Sequence[Ask]) -> None:
    for tenant in sorted({ask.order.tenant for ask in asks}):
        statements.lock_tenant(transaction, tenant)


class _Group:
    """Jobs that are accepted in a transaction, which holds the locks of their tenants."""

    def __init__(self, transaction: Transaction, asks: Sequence[Ask]) -> None:
        self._transaction, self._asks = transaction, asks
        _lock(transaction, asks)
        self._waiting: dict[str, int] = {}
        self._balances: dict[str, Balance] = {}
        self._repeats: dict[tuple[str, str], tuple[str, Job]] = {}
        self._taken: list[tuple[Ask, Job]] = []

    def accepted(self) -> list[Result]:
        """Decide about each, and write those that are accepted."""
        results = [self._result(ask) for ask in self._asks]
        self._write()
        return results

    def _result(self, ask: Ask) -> Result:
        try:
            known = self._known(ask)
            return Accepted(known, False) if known else Accepted(self._take(ask), True)
        except (Exceeded, QueueFull, RepeatedOtherwise) as error:
            return error

    def _known(self, ask: Ask) -> Job | None:
        """The job of a create that came before, in this group or earlier."""
        tenant, repeat = ask.order.tenant, ask.repeat
        if repeat is None:
            return None
        if repeats.is_retry(repeat):
            # Its first sending may be one of these.
            self._write()
            earlier = repeats.find(self._transaction, tenant, repeat, ask.now)
            return statements.find(self._transaction, earlier, tenant) if earlier else None
        body_hash, job = self._repeats.get((tenant, repeat.key), ("", None))
        if job is None:
            return statements.repeated(self._transaction, tenant, repeat)
        if body_hash != repeat.body_hash:
            raise RepeatedOtherwise("the key was used for another body")
        return job

    def _take(self, ask: Ask) -> Job:
        """Decide that a job is accepted, and count it for those after it."""
        order, tenant = ask.order, ask.order.tenant
        if ask.most is not None and self._waits(tenant, ask.most) >= ask.most:
            raise QueueFull(f"{ask.most} jobs of {tenant} are waiting, and no more may")
        balances = [self._balance(budget.name) for budget in ask.budgets]
        for budget, balance in zip(ask.budgets, balances, strict=True):
            require_left(budget, balance, order.estimate)
        for budget, balance in zip(ask.budgets, balances, strict=True):
            self._balances[budget.name] = balance._replace(reserved=balance.reserved + order.estimate)
        job = statements.new_job(order, ask.now)
        self._taken.append((ask, job))
        if tenant in self._waiting:
            self._waiting[tenant] += 1
        if ask.repeat:
            self._repeats[tenant, ask.repeat.key] = (ask.repeat.body_hash, job)
        return job

    def _waits(self, tenant: str, most: int) -> int:
        if tenant not in self._waiting:
            before = sum(job.tenant == tenant for _, job in self._taken)
            self._waiting[tenant] = before + statements.waiting_count(self._transaction, tenant, most)
        return self._waiting[tenant]

    def _balance(self, name: str) -> Balance:
        if name not in self._balances:
            self._balances[name] = statements.balance(self._transaction, name)
        return self._balances[name]

    def _write(self) -> None:
        """Write those that were decided about."""
        transaction, taken = self._transaction, self._taken
        if not taken:
            return
        self._taken = []
        statements.insert_all(transaction, [(job, ask.order.body) for ask, job in taken])
        reserved: dict[str, int] = {}
        for ask, job in taken:
            for budget in ask.budgets:
                reserved[budget.name] = reserved.get(budget.name, 0) + job.estimate
        for name, amount in reserved.items():
            statements.add(transaction, name, 0, amount)
        transaction.change_all(
            "INSERT INTO reservations (job, budget, amount) VALUES (:job, :budget, :amount)",
            [
                {"job": job.id, "budget": budget.name, "amount": job.estimate}
                for ask, job in taken
                for budget in ask.budgets
            ],
        )
        transaction.change_all(
            "INSERT INTO repeats (tenant, key, body_hash, job) VALUES (:tenant, :key, :hash, :job)",
            [
                {"tenant": job.tenant, "key": ask.repeat.key, "hash": ask.repeat.body_hash, "job": job.id}
                for ask, job in taken
                if ask.repeat
            ],
        )
        statements.book_all(transaction, [(job.id, ask.now, Money.RESERVED, job.estimate) for ask, job in taken])
        statements.note_all(transaction, [(job.id, ask.now, "", State.QUEUED, "accepted", "") for ask, job in taken])
