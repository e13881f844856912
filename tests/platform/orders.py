"""Jobs for tests, and a worker's hands: what it claims and commits, without a gateway."""

from __future__ import annotations

import itertools
import json
from typing import Any, Final

from mitm_ai_proxy.platform.decisions import Decision
from mitm_ai_proxy.platform.records import Job, Order, StoredFile
from mitm_ai_proxy.platform.scheduling import Limits
from mitm_ai_proxy.platform.states import Money, State
from mitm_ai_proxy.platform.store import Store
from mitm_ai_proxy.platform.timing import Timing

NOW: Final = 1_800_000_000.0
TIMING: Final = Timing()
ONE: Final = Limits({"main": 1}, {})
MANY: Final = Limits({"main": 1000}, {})
FILE: Final = StoredFile("default/2027/01/15/j.mp4", "ab" * 32, 1234)
_numbers = itertools.count()


def order(job_id: str = "j", **changed: Any) -> Order:
    """A job of 3 units."""
    body = json.dumps({"model_name": "kling-v3", "prompt": "a cat", "duration": "5"})
    known: dict[str, Any] = {
        "id": job_id,
        "tenant": "default",
        "path": "/v1/videos/text2video",
        "model": "kling-v3",
        "body": body,
        "estimate": 3000,
    }
    return Order(**{**known, **changed})


def claimed(store: Store, now: float = NOW, limits: Limits = MANY) -> Job | None:
    """The next job of the queue, claimed for 60 seconds."""
    return store.claim_next(limits, TIMING, now, claim=f"claim {next(_numbers)}", lease=60, worker="w")


def moved(store: Store, job: Job, decision: Decision, now: float = NOW, file: StoredFile | None = None) -> Job:
    """A job after a decision that has to be written."""
    found = store.commit(job, decision, now, TIMING, worker="w", file=file)
    assert found
    return found


def again(store: Store, job: Job, now: float = NOW) -> Job:
    """A job that has left the queue, claimed for its next step."""
    found = store.claim(job.id, now, claim=f"claim {next(_numbers)}", lease=60)
    assert found
    return found


def stored(store: Store, job: Job, units: int = 3000) -> Job:
    """A job that was claimed from the queue, taken all the way."""
    job = again(store, moved(store, job, Decision(State.PROCESSING, "taken", task_id="t1")))
    job = again(store, moved(store, job, Decision(State.FETCHING, "done", money=Money.SETTLED, units=units)))
    return moved(store, job, Decision(State.STORED, "stored"), file=FILE)
