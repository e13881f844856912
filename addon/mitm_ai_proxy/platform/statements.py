"""The statements of the store, each within a transaction of the caller's."""

from __future__ import annotations

import dataclasses
import random
import secrets
from collections.abc import Sequence
from typing import Any, Final

from . import alarms, lanes, scheduling
from .database import Row, Transaction, Values
from .decisions import Decision
from .lanes import NEW, Lane
from .money import Balance, shown
from .records import DeliveryState, Job, Order, Repeat, StoredFile
from .replies import Verdict
from .scheduling import Held
from .states import FINAL, SLOT_STATES, Money, State, require
from .timing import Timing

_NAMES: Final = tuple(field.name for field in dataclasses.fields(Job))
COLUMNS: Final = ", ".join(_NAMES)
_ORDER_NAMES: Final = tuple(field.name for field in dataclasses.fields(Order) if field.name != "body")
_INSERT: Final = (
    f"INSERT INTO jobs ({COLUMNS}, position) VALUES ({', '.join(f':{name}' for name in _NAMES)}, :position)"
)
_NEW: Final[dict[str, Any]] = {
    "state": State.QUEUED,
    "money": Money.RESERVED,
    "actual": None,
    **dict.fromkeys(("account", "task_id", "claim", "error", "message", "object_name", "sha256"), ""),
    **dict.fromkeys(("submitted_at", "ended_at", "next_at", "lease_until", "deleted_at"), 0.0),
    "attempt": 1,
    "tries": 0,
    "faults": 0,
    "size": 0,
    "is_discarded": False,
}
"""What of a job is not its order's, when it is new."""
SLOTS: Final = ", ".join(f"'{state}'" for state in sorted(SLOT_STATES))
AT_WORK: Final = ", ".join(f"'{state}'" for state in sorted(set(State) - FINAL - {State.QUEUED}))
"""The states in which a job has a next step of its own."""
_BUYING: Final = frozenset({State.SUBMITTING, State.IN_DOUBT})
"""Between these a job makes no progress."""

OPERATOR: Final = ""
"""In the place of a tenant: whoever looks after the platform."""

# The locks. Whoever takes several takes them in this order; the row of a job is between the first two.
QUEUE: Final = "queue"
"""Of slots, and of what is known of accounts."""
EVENTS: Final = "events"
"""Shared by whoever writes an event; whoever reads all events waits until none is being written.

Otherwise one with a lower number could be written after one with a higher number had been read.
"""


def lock_tenant(transaction: Transaction, tenant: str) -> None:
    """Take the lock of a tenant: of its budgets, and of how many of its jobs wait."""
    transaction.lock(f"tenant {tenant}")


class RepeatedOtherwise(Exception):
    """A create came again under the same key with another body."""


def write(
    transaction: Transaction,
    job: Job,
    decision: Decision,
    now: float,
    worker: str,
    file: StoredFile | None = None,
    *,
    keeps_claim: bool = False,
) -> Job | None:
    """Write a decision for a job: state, money and a line of its history; the job as it is then."""
    require(job.state, decision.state)
    is_stuck = job.state == decision.state or {job.state, decision.state} <= _BUYING
    is_final = decision.state in FINAL
    changed: dict[str, object] = {
        "state": decision.state,
        "tries": job.tries + (0 if keeps_claim else 1) if is_stuck else 0,
        "next_at": now + decision.after,
        "message": decision.reason if is_final else job.message,
        "error": decision.error,
        "ended_at": now if is_final else 0.0,
        "attempt": job.attempt + decision.is_new_attempt,
        "faults": job.faults + decision.is_fault if job.state == decision.state else 0,
        "task_id": decision.task_id or job.task_id,
    }
    if not keeps_claim:
        changed |= {"claim": "", "lease_until": 0.0}
    if decision.state is State.QUEUED:
        changed |= {"account": "", "task_id": ""}
        if decision.is_pinned:
            changed["pinned_to"] = job.account
    if file:
        changed |= file._asdict()
    if decision.money and job.money is Money.RESERVED:
        changed["money"] = decision.money
        spent = decision.units if decision.money is Money.SETTLED else 0
        changed["actual"] = spent
        _end_reservation(transaction, job, spent, decision.money, now)
    assignments = ", ".join(f"{name} = :{name}" for name in changed)
    transaction.change(f"UPDATE jobs SET {assignments} WHERE id = :id", _kept({**changed, "id": job.id}))
    note(transaction, job.id, now, job.state, decision.state, decision.reason, worker)
    if is_final and job.callback_url:
        _announce(transaction, job, now)
    return find(transaction, job.id)


def _announce(transaction: Transaction, job: Job, now: float) -> None:
    """Write the webhook about a job that has ended."""
    _post(transaction, job.tenant, job.callback_url, now, {"job": job.id, "event": "", "data": ""})


def _post(transaction: Transaction, tenant: str, url: str, now: float, about: Values) -> None:
    """Write a webhook, unless its receiver wants none any more."""
    receiver = {"tenant": tenant, "url": url}
    if transaction.row("SELECT at FROM closed_receivers WHERE tenant = :tenant AND url = :url", receiver):
        return
    transaction.change(
        "INSERT INTO deliveries (id, job, event, data, tenant, url, state, created_at, next_at)"
        " VALUES (:id, :job, :event, :data, :tenant, :url, :state, :now, :now)",
        {**receiver, **about, "id": f"msg_{secrets.token_hex(12)}", "state": DeliveryState.WAITING, "now": now},
    )


def new_job(order: Order, now: float) -> Job:
    """The job of an order as it is written: in the queue, its money reserved."""
    texts = _kept({name: getattr(order, name) for name in _ORDER_NAMES})
    return Job(**{**_NEW, **texts, "created_at": now})


def insert(transaction: Transaction, order: Order, now: float) -> None:
    """Write a new job."""
    insert_all(transaction, [(new_job(order, now), order.body)])


def insert_all(transaction: Transaction, jobs: Sequence[tuple[Job, str]]) -> None:
    """Write new jobs, each with the body of its create."""
    rows = [
        {**{name: getattr(job, name) for name in _NAMES}, "position": scheduling.order(job.created_at, job.priority)}
        for job, _ in jobs
    ]
    for row in rows:
        row |= {"has_name": int(row["has_name"]), "is_discarded": 0}
    transaction.change_all(_INSERT, rows)
    transaction.change_all(
        "INSERT INTO bodies (job, body) VALUES (:job, :body)", [{"job": job.id, "body": body} for job, body in jobs]
    )


def repeated(transaction: Transaction, tenant: str, repeat: Repeat) -> Job | None:
    """The job of a create that came before under this key. Raises RepeatedOtherwise for another body."""
    row = transaction.row(
        "SELECT body_hash, job FROM repeats WHERE tenant = :tenant AND key = :key",
        {"tenant": tenant, "key": repeat.key},
    )
    if row is None:
        return None
    if row[0] != repeat.body_hash:
        raise RepeatedOtherwise("the key was used for another body")
    return find(transaction, row[1])


def waiting_count(transaction: Transaction, tenant: str, most: int) -> int:
    """How many jobs of a tenant wait, counted to `most`."""
    row = transaction.row(
        "SELECT COUNT(*) FROM (SELECT 1 FROM jobs WHERE state = 'queued' AND tenant = :tenant LIMIT :most) AS waiting",
        {"tenant": tenant, "most": most},
    )
    return int(row[0]) if row else 0


def _end_reservation(transaction: Transaction, job: Job, spent: int, money: Money, now: float) -> None:
    lock_tenant(transaction, job.tenant)
    for name, amount in transaction.rows("SELECT budget, amount FROM reservations WHERE job = :job", {"job": job.id}):
        add(transaction, name, spent, -amount)
    transaction.change("DELETE FROM reservations WHERE job = :job", {"job": job.id})
    book(transaction, job.id, now, money, spent if money is Money.SETTLED else job.estimate)


def settle(transaction: Transaction, job: Job, units: int, now: float) -> None:
    """Settle a job that has ended, whose price was not known then."""
    _end_reservation(transaction, job, units, Money.SETTLED, now)
    transaction.change(
        "UPDATE jobs SET money = :money, actual = :units WHERE id = :id",
        {"id": job.id, "money": Money.SETTLED, "units": units},
    )
    note(transaction, job.id, now, job.state, job.state, f"Kling has said its price: {shown(units)} units", "")


def balance(transaction: Transaction, name: str) -> Balance:
    """What of a budget is spent and reserved."""
    row = transaction.row("SELECT spent, reserved FROM budgets WHERE name = :name", {"name": name})
    return Balance(*row) if row else Balance()


def add(transaction: Transaction, name: str, spent: int, reserved: int) -> None:
    """Add to what of a budget is spent and reserved."""
    transaction.change(
        "INSERT INTO budgets (name, spent, reserved) VALUES (:name, :spent, :reserved) ON CONFLICT (name)"
        " DO UPDATE SET spent = budgets.spent + :spent, reserved = budgets.reserved + :reserved",
        {"name": name, "spent": spent, "reserved": reserved},
    )


def book(transaction: Transaction, job_id: str, now: float, entry: Money, amount: int) -> None:
    """Write a line of the ledger."""
    book_all(transaction, [(job_id, now, entry, amount)])


def book_all(transaction: Transaction, lines: Sequence[tuple[str, float, Money, int]]) -> None:
    """Write lines of the ledger: of which job, when, what, and how much."""
    transaction.change_all(
        "INSERT INTO ledger (job, at, entry, amount) VALUES (:job, :at, :entry, :amount)",
        [{"job": job_id, "at": at, "entry": entry, "amount": amount} for job_id, at, entry, amount in lines],
    )


def note(
    transaction: Transaction, job_id: str, now: float, before: str, after: State, reason: str, worker: str
) -> None:
    """Write a line of a job's history."""
    note_all(transaction, [(job_id, now, before, after, reason, worker)])


def note_all(transaction: Transaction, lines: Sequence[tuple[str, float, str, State, str, str]]) -> None:
    """Write lines of history: of which job, when, its states before and after, why, and by which worker."""
    transaction.lock(EVENTS, shared=True)
    names = ("job", "at", "before", "after", "reason", "worker")
    transaction.change_all(
        "INSERT INTO events (job, at, before, after, reason, worker)"
        " VALUES (:job, :at, :before, :after, :reason, :worker)",
        [_kept(dict(zip(names, line, strict=True))) for line in lines],
    )


def _kept(values: Values) -> Values:
    """The values with texts that every database takes: some of a client's or of Kling's are none, as half an emoji."""
    return {name: _text(value) if isinstance(value, str) else value for name, value in values.items()}


def _text(value: str) -> str:
    if not value.isascii():
        value = value.encode("utf-8", "replace").decode()
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if "\0" in value else value


def learn(transaction: Transaction, job: Job, lesson: Verdict, now: float, timing: Timing, alarms_to: str = "") -> None:
    """Write what a job's account learns from an answer; `alarms_to` is told of a pause that is a person's."""
    known = all_lanes(transaction)
    running = sum(
        other.slots for other in held(transaction) if (other.account, other.model) == (job.account, job.model)
    )
    is_good = lesson in lanes.GOOD
    # A good answer opens both the account and the model.
    for model in (lanes.ALL_MODELS, job.model) if is_good else (lanes.model_of(lesson, job.model),):
        before = known.get((job.account, model), NEW)
        jitter = random.random()  # noqa: S311 - spreads waits, hides nothing
        after = lanes.learned(before, lesson, max(0, running - 1), now, timing, jitter)
        if after != before:
            write_lane(transaction, job.account, model, after)
        found = alarms.alarm(job.account, model, before, after)
        if found and alarms_to:
            event, data = found.event()
            _post(transaction, OPERATOR, alarms_to, now, {"job": None, "event": event, "data": data})


def all_lanes(transaction: Transaction) -> dict[tuple[str, str], Lane]:
    """What is known of the accounts, by account and model."""
    rows = transaction.rows(
        "SELECT account, model, task_limit, learned_at, paused_until, reason, failures FROM lanes", {}
    )
    return {(account, model): Lane(*known) for account, model, *known in rows}


def write_lane(transaction: Transaction, account: str, model: str, lane: Lane) -> None:
    """Write what is known of an account, or of one of its models."""
    transaction.change(
        "INSERT INTO lanes (account, model, task_limit, learned_at, paused_until, reason, failures)"
        " VALUES (:account, :model, :limit, :learned_at, :paused_until, :reason, :failures)"
        " ON CONFLICT (account, model) DO UPDATE SET task_limit = :limit, learned_at = :learned_at,"
        " paused_until = :paused_until, reason = :reason, failures = :failures",
        {"account": account, "model": model, **lane._asdict()},
    )


def held(transaction: Transaction) -> list[Held]:
    """The slots in use."""
    rows = transaction.rows(
        f"SELECT tenant, account, model, COUNT(*) FROM jobs WHERE state IN ({SLOTS}) GROUP BY tenant, account, model",
        {},
    )
    return [Held(*row) for row in rows]


def find(transaction: Transaction, job_id: str, tenant: str | None = None, *, for_update: bool = False) -> Job | None:
    """A job, or that of a tenant; None if there is none. `for_update`: nobody else may change it until the end."""
    whose = "" if tenant is None else " AND tenant = :tenant"
    row = transaction.row(
        f"SELECT {COLUMNS} FROM jobs WHERE id = :id{whose}{transaction.for_update if for_update else ''}",
        {"id": job_id, "tenant": tenant},
    )
    return read(row) if row else None


def read(row: Row) -> Job:
    """A job from its row, whose columns are COLUMNS."""
    known: dict[str, Any] = dict(zip(_NAMES, row, strict=True))
    known |= {name: bool(known[name]) for name in ("has_name", "is_discarded")}
    return Job(**{**known, "state": State(known["state"]), "money": Money(known["money"])})
