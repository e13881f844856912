"""What becomes of a job after each answer: functions from a job and a reply to the next state, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from ..kling.tasks import DONE, FAILED
from .replies import Reply, Verdict
from .states import Money, State
from .timing import Timing, delay, first_look, next_look

MOST_ATTEMPTS: Final = 3
"""Names under which a job is bought at most, one after the other, where Kling ends a task for want of a slot."""
MOST_LINKS: Final = 5
"""New links that are asked for where Kling's file is not there."""
_LONGEST_UNSENT: Final = 60.0
_NO_SLOT: Final = "parallel task over resource pack limit"


class Standing(NamedTuple):
    """What is known of a job when its next step is decided.

    `tries`: steps without progress. `is_first`: no create of this attempt was sent before this step. `attempt`: which
    name it has at Kling, from 1. `has_name`: whether Kling can be asked for it by our name. `faults`: how often its
    file was missing or wrong. `submitted_at`: when it left the queue. `estimate`: milli-units reserved.
    """

    state: State
    estimate: int
    submitted_at: float
    typical: float
    tries: int = 0
    attempt: int = 1
    has_name: bool = True
    faults: int = 0
    has_callbacks: bool = False
    is_discarded: bool = False
    is_first: bool = False


class Decision(NamedTuple):
    """The next state, in how many seconds its step is due, and a line that says why.

    `money` and `units` (milli-units): what becomes of the reservation; None leaves it. `error` is the code of a job
    that failed. `lesson`: what the account learns. `is_new_attempt`: the next create has a name of its own.
    `is_pinned`: it has to be sent in the same account. `is_fault`: the file is missing or wrong.
    """

    state: State
    reason: str
    after: float = 0.0
    task_id: str = ""
    error: str = ""
    money: Money | None = None
    units: int = 0
    lesson: Verdict | None = None
    is_new_attempt: bool = False
    is_pinned: bool = False
    is_fault: bool = False


class Download(NamedTuple):
    """How a download ended: "" or what went wrong, and whether the link led to no file.

    `is_away`: nothing was learned of the file: the storage is away, or who has the file, or who would say where it is.
    """

    problem: str = ""
    is_link_dead: bool = False
    is_away: bool = False


_ERRORS: Final[Mapping[Verdict, str]] = {
    Verdict.INVALID: "invalid",
    Verdict.GONE: "model_gone",
    Verdict.BLOCKED: "moderation",
}
"""What a job has failed of that Kling refuses for good."""
_WAITS: Final[Mapping[Verdict, str]] = {
    Verdict.FULL: "Kling has no free slot",
    Verdict.FAST: "Kling takes no more requests for the moment",
    Verdict.UNPAID: "the account has no units left",
    Verdict.DENIED: "the account may not use this model",
    Verdict.FORBIDDEN: "the account is not let in",
    Verdict.CLOCK: "Kling takes the token for one of another time",
}
"""Why a job goes back to the queue; its account learns from it, the job loses nothing."""


DISCARDED: Final = Decision(State.FAILED, "finished, and thrown away as was asked for", error="discarded")
"""Instead of the end of a download; what was paid was settled before."""


def after_create(job: Standing, reply: Reply, timing: Timing) -> Decision:
    """After a create was sent, or could not be."""
    verdict = reply.verdict
    if verdict is Verdict.TAKEN and reply.task:
        after = first_look(job.typical, has_callbacks=job.has_callbacks)
        return Decision(State.PROCESSING, "Kling has taken it", after, reply.task.task_id, lesson=verdict)
    if job.is_discarded and job.is_first and (verdict in _WAITS or verdict is Verdict.UNSENT):
        return _failed("discarded", "not bought: it is not wanted any more", Money.RELEASED, lesson=verdict)
    if verdict in _WAITS:
        # An earlier create may still arrive: only the account that it went to would refuse a second of its name.
        return Decision(State.QUEUED, _said(_WAITS[verdict], reply), lesson=verdict, is_pinned=not job.is_first)
    if verdict in _ERRORS:
        return _failed(_ERRORS[verdict], f"Kling refused it: {reply.message}", Money.RELEASED, lesson=verdict)
    if verdict is Verdict.UNSENT and job.is_first:
        # Nothing can be in doubt yet: the job waits without a slot, however long the gateway is away.
        return Decision(State.QUEUED, _said("the gateway was not reached", reply), lesson=verdict)
    if verdict is Verdict.UNSENT:
        after = delay(timing.again, job.tries, _LONGEST_UNSENT)
        return Decision(State.SUBMITTING, _said("the gateway was not reached", reply), after)
    if not job.has_name:
        # Nobody can ask for it, and another create would buy it again.
        reason = _said("nobody knows whether Kling has taken it, and it cannot be asked", reply)
        return _failed("unknown", reason, Money.SETTLED, job.estimate, verdict)
    if verdict is Verdict.DUPLICATE:
        return Decision(State.IN_DOUBT, "Kling has a task of this name already")
    reason = _said("nobody knows whether Kling has taken it", reply)
    return Decision(State.IN_DOUBT, reason, delay(timing.doubt, job.tries), lesson=Verdict.DOUBT)


def after_question(job: Standing, reply: Reply, timing: Timing, now: float) -> Decision:
    """After Kling was asked for a task by our name. SUBMITTING means that it has none: send the create."""
    if reply.verdict is Verdict.TAKEN and reply.task:
        is_final = reply.task.status in DONE or reply.task.status == FAILED
        after = 0.0 if is_final else first_look(job.typical, has_callbacks=job.has_callbacks)
        return Decision(State.PROCESSING, "Kling has it: adopted", after, reply.task.task_id)
    # How long Kling remembers a name is not known: after a while, a "not found" is no proof any more.
    if now - job.submitted_at >= (timing.give_up if reply.verdict is Verdict.MISSING else timing.kept):
        reason = _said("nobody learned whether Kling has taken it", reply)
        return _failed("unknown", reason, Money.SETTLED, job.estimate)
    if reply.verdict is Verdict.MISSING:
        return Decision(State.SUBMITTING, "Kling does not have it")
    lesson = reply.verdict if reply.verdict in _WAITS else None
    reason = _said("Kling could not be asked", reply)
    return Decision(State.IN_DOUBT, reason, delay(timing.doubt, job.tries), lesson=lesson)


def without_name(job: Standing) -> Decision:
    """For a job that was left while its create was under way, and that Kling cannot be asked for by name."""
    reason = "a worker ended while it bought this, and Kling cannot be asked for it"
    return _failed("unknown", reason, Money.SETTLED, job.estimate)


def after_look(job: Standing, reply: Reply, timing: Timing, now: float) -> Decision:
    """After a look at a task that Kling has."""
    if reply.verdict is Verdict.TAKEN and reply.task:
        if reply.task.status in DONE:
            return _done(job, reply, timing)
        if reply.task.status == FAILED:
            return _task_failed(job, reply)
    is_said = reply.verdict in (Verdict.TAKEN, Verdict.MISSING)
    if now - job.submitted_at >= (timing.give_up if is_said else timing.kept):
        return _failed("stuck", _said("the task has come to no end", reply), Money.SETTLED, job.estimate)
    if reply.verdict is Verdict.TAKEN:
        after = next_look(job.typical, job.tries, timing, has_callbacks=job.has_callbacks)
        return Decision(State.PROCESSING, "the task is running", after)
    lesson = reply.verdict if reply.verdict in _WAITS else None
    after = delay(timing.again, job.tries)
    return Decision(State.PROCESSING, _said("Kling could not be asked", reply), after, lesson=lesson)


def after_download(job: Standing, download: Download, timing: Timing, now: float) -> Decision:
    """After a result was to be fetched and stored. Kling's price is settled by then, whatever comes of the file."""
    if not download.problem:
        return Decision(State.STORED, "stored")
    faults = job.faults + 1
    if download.is_link_dead and faults >= MOST_LINKS:
        return Decision(State.FAILED, f"Kling's file is gone: {download.problem}", error="result_gone")
    # It has been paid: what is away may be away for long, and however often it was is no fault of the file.
    if now - job.submitted_at >= timing.kept if download.is_away else faults >= len(timing.again):
        return Decision(State.FAILED, f"the file was not stored: {download.problem}", error="not_stored")
    after = delay(timing.again, job.tries)
    return Decision(State.FETCHING, f"not stored yet: {download.problem}", after, is_fault=not download.is_away)


def name(job_id: str, attempt: int) -> str:
    """The `external_task_id` of a job's create."""
    return job_id if attempt == 1 else f"{job_id}~{attempt}"


def milli(units: float) -> int:
    """Units as whole milli-units, as which they are counted."""
    return round(units * 1000)


def _done(job: Standing, reply: Reply, timing: Timing) -> Decision:
    assert reply.task
    units = _units(reply)
    if job.is_discarded:
        settled, spent = _paid(units, job)
        return DISCARDED._replace(money=settled, units=spent)
    if reply.task.url:
        # A price that is not said stays reserved, to be confirmed later.
        money = None if units is None else Money.SETTLED
        return Decision(State.FETCHING, "Kling has finished it", money=money, units=units or 0)
    if job.faults + 1 >= MOST_LINKS:
        return _failed("no_video", "Kling says that it succeeded, and names no file", *_paid(units, job))
    return Decision(State.PROCESSING, "Kling names no file yet", delay(timing.again, job.faults), is_fault=True)


def _task_failed(job: Standing, reply: Reply) -> Decision:
    assert reply.task
    said = reply.task.message or "Kling gave no reason"
    units = _units(reply) or 0
    if not units and _NO_SLOT in said.lower() and job.attempt < MOST_ATTEMPTS and not job.is_discarded:
        reason = "Kling ended the task for want of a slot"
        return Decision(State.QUEUED, reason, lesson=Verdict.FULL, is_new_attempt=True)
    money = Money.SETTLED if units else Money.RELEASED
    return _failed("task_failed", said, money, units)


def _units(reply: Reply) -> int | None:
    return None if reply.cost is None or reply.cost.units is None else milli(reply.cost.units)


def _paid(units: int | None, job: Standing) -> tuple[Money, int]:
    """What is settled for a job that ends here: what Kling says, else the estimate."""
    return Money.SETTLED, job.estimate if units is None else units


def _failed(error: str, reason: str, money: Money, units: int = 0, lesson: Verdict | None = None) -> Decision:
    return Decision(State.FAILED, reason, error=error, money=money, units=units, lesson=lesson)


def _said(what: str, reply: Reply) -> str:
    return f"{what}: {reply.message}" if reply.message else what
