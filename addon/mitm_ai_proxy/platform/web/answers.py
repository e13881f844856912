"""Jobs, their history, budgets and accounts as the platform's API answers them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from ...kling.models import DEFAULT_MODEL, MODELS, RETIRED
from .. import alarms
from ..lanes import ADVICE, ALL_MODELS, NEW, Lane, effective_limit
from ..money import MILLI, Balance, Budget, dollars
from ..records import Delivery, Event, Job
from ..scheduling import Held
from ..states import FINAL, State
from ..timing import SLOW, Timing, progress, typical_seconds

Object = dict[str, Any]

_KLING: Final = frozenset({State.SUBMITTING, State.IN_DOUBT, State.PROCESSING})
_SPANS: Final = {State.QUEUED: "queued", State.FETCHING: "download", **dict.fromkeys(_KLING, "kling")}
"""Where the time of a job goes, by its state."""


def units(amount: int | None) -> float | None:
    """An amount in units of Kling's packs."""
    return None if amount is None else amount / MILLI


def job(found: Job, now: float, timing: Timing) -> Object:
    """A job as it stands."""
    typical = typical_seconds(found.model, found.seconds, timing)
    running = now - found.submitted_at
    is_running = found.state in _KLING
    return {
        "job_id": found.id,
        "status": found.state,
        "progress": progress(found.state, typical, running),
        "model": found.model,
        "prompt": found.prompt,
        "seconds": found.seconds,
        "estimated_credits": units(found.estimate),
        "estimated_usd": dollars(found.estimate, found.path),
        "actual_credits": units(found.actual),
        "actual_usd": None if found.actual is None else dollars(found.actual, found.path),
        "money": found.money,
        "priority": found.priority,
        "metadata": json.loads(found.metadata),
        "callback_url": found.callback_url or None,
        "retry_of": found.retry_of or None,
        "created_at": found.created_at,
        "submitted_at": found.submitted_at or None,
        "ended_at": found.ended_at or None,
        "deleted_at": found.deleted_at or None,
        "is_slow": is_running and running > SLOW * typical,
        "is_discarded": found.is_discarded,
        "error": {"code": found.error, "message": found.message} if found.error else None,
        "sha256": found.sha256 or None,
        "size": found.size or None,
        "links": links(found),
    }


def links(found: Job) -> Object:
    """What can be asked about a job, as paths."""
    base = f"/api/videos/{found.id}"
    named = {"self": base, "events": f"{base}/events"}
    if found.state is State.STORED and not found.deleted_at:
        named["content"] = f"{base}/content"
    if found.state in FINAL - {State.STORED}:
        named["retry"] = f"{base}/retry"
    return named


def event(found: Event) -> Object:
    """A line of a job's history."""
    return {
        "number": found.number,
        "job_id": found.job,
        "at": found.at,
        "from": found.before or None,
        "to": found.after,
        "reason": found.reason,
    }


def spans(events: Sequence[Event], now: float) -> Object:
    """The seconds that a job has spent in the queue, at Kling and with its download."""
    found = dict.fromkeys(("queued", "kling", "download"), 0.0)
    for entry, after in zip(events, [*events[1:], None], strict=True):
        name = _SPANS.get(State(entry.after))
        if name:
            found[name] += max(0.0, (after.at if after else now) - entry.at)
    return {name: round(seconds, 3) for name, seconds in found.items()}


def repeats(events: Sequence[Event]) -> list[Object]:
    """What was done again, and why."""
    return [{"at": entry.at, "reason": entry.reason} for entry in events if _is_repeat(entry)]


def _is_repeat(entry: Event) -> bool:
    if not entry.before:
        return False
    if entry.before == entry.after:
        # A task that runs is looked at again and again; that is no repetition.
        return entry.after != State.PROCESSING
    return entry.after in (State.QUEUED, State.IN_DOUBT) or (entry.before, entry.after) == (
        State.IN_DOUBT,
        State.SUBMITTING,
    )


def delivery(found: Delivery) -> Object:
    """A webhook about a job."""
    return {
        "id": found.id,
        "status": found.state,
        "tries": found.tries,
        "next_at": None if found.ended_at else found.next_at,
        "last_status": found.status or None,
        "problem": found.problem or None,
    }


def budget(found: Budget, balance: Balance) -> Object:
    """A budget: what is spent, reserved and left, in units."""
    left = None if found.limit is None else max(0, found.limit - balance.spent - balance.reserved)
    return {
        "name": found.name,
        "spent": units(balance.spent),
        "spent_usd": dollars(balance.spent, "/v1/videos/"),
        "reserved": units(balance.reserved),
        "limit": units(found.limit),
        "left": units(left),
        "resets_at": found.ends_at,
    }


def models() -> list[Object]:
    """The models in service, the newest first, with what a create may ask of each."""
    return [
        {
            "model": name,
            "durations": list(row.durations),
            "modes": list(row.modes),
            "sound_modes": list(row.sound),
            "takes_text_alone": row.text,
            "is_default": name == DEFAULT_MODEL,
        }
        for name, row in reversed(MODELS.items())
        if name not in RETIRED
    ]


def accounts(
    concurrencies: Mapping[str, int],
    lanes: Mapping[tuple[str, str], Lane],
    held: Sequence[Held],
    used: Collection[str],
    now: float,
    timing: Timing,
) -> list[Object]:
    """The accounts: slots by model, and what is paused, with what to do about it. `used`: those that jobs need."""
    found = [_account(name, limit, lanes, held, now, timing) for name, limit in concurrencies.items()]
    for name in sorted(set(used) - concurrencies.keys()):
        pause = {
            "model": None,
            "reason": alarms.NOT_CONFIGURED,
            "until": None,
            "advice": alarms.UNKNOWN_ACCOUNT,
        }
        found.append({**_account(name, 0, {}, held, now, timing), "pauses": [pause]})
    return found


def _account(
    name: str,
    configured: int,
    lanes: Mapping[tuple[str, str], Lane],
    held: Sequence[Held],
    now: float,
    timing: Timing,
) -> Object:
    running: dict[str, int] = {}
    for entry in held:
        if entry.account == name:
            running[entry.model] = running.get(entry.model, 0) + entry.slots
    known = {model for account, model in lanes if account == name}
    models = sorted((known | running.keys()) - {ALL_MODELS})
    return {
        "account": name,
        "concurrency": configured,
        "running": sum(running.values()),
        "models": [
            {
                "model": model,
                "running": running.get(model, 0),
                "limit": effective_limit(lanes.get((name, model), NEW), configured, now, timing),
            }
            for model in models
        ],
        "pauses": [
            {
                "model": model or None,
                "reason": lane.reason,
                "until": lane.paused_until if lane.paused_until > now else None,
                "advice": ADVICE.get(lane.reason, ""),
            }
            for (account, model), lane in sorted(lanes.items())
            if account == name and lane.reason
        ],
    }
