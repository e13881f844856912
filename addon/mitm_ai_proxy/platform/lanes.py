"""What is learned of an account from its answers: how many tasks it may have, and until when it is left alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from .replies import Verdict
from .timing import Timing

ALL_MODELS: Final = ""
"""The model of the lane that is the account itself."""


class Lane(NamedTuple):
    """One model of one account, or the account itself.

    `limit`: tasks that it had when Kling last said that it was full, at `learned_at`; None where it never did.
    `paused_until`: nothing is created before. `reason`: the verdict that it is paused for; "" in good order.
    `failures`: answers in a row that say the same.
    """

    limit: int | None = None
    learned_at: float = 0.0
    paused_until: float = 0.0
    reason: str = ""
    failures: int = 0


NEW: Final = Lane()

_ACCOUNT_WIDE: Final = frozenset(
    {Verdict.FAST, Verdict.UNPAID, Verdict.FORBIDDEN, Verdict.CLOCK, Verdict.DOUBT, Verdict.UNSENT}
)
_PROBED: Final = frozenset({Verdict.UNPAID, Verdict.DENIED, Verdict.FORBIDDEN, Verdict.CLOCK, Verdict.GONE})
"""What only a person can change, so that one job finds out now and then whether it has."""
_BACKOFFS: Final = frozenset({Verdict.FAST, Verdict.UNSENT, Verdict.DOUBT})
"""What passes by itself: each time in a row, the wait is twice as long."""
GOOD: Final = frozenset({Verdict.TAKEN, Verdict.INVALID, Verdict.BLOCKED})
"""Answers that only an account gets which is let in."""
_LONGEST_BACKOFF: Final = 60.0
_DOUBTS_IN_A_ROW: Final = 5
"""From so many on, an account is slowed down."""

ADVICE: Final[Mapping[str, str]] = {
    Verdict.UNPAID: "The account has no units left: buy some at Kling. Jobs wait, none fails.",
    Verdict.DENIED: "The account may not use this model: order it at Kling. Jobs wait, none fails.",
    Verdict.FORBIDDEN: "The account is not let in: look at the gateway's credential, URL and address. Jobs wait.",
    Verdict.CLOCK: "Kling takes the gateway's token for one of another time: set the gateway's clock. Jobs wait.",
    Verdict.GONE: "Kling does not serve this model any more: name another one.",
    Verdict.FAST: "Kling takes fewer requests in a second: the next one waits a little.",
    Verdict.UNSENT: "The gateway is not reached: start it, or look at its URL. Jobs wait, none fails.",
    Verdict.DOUBT: "Kling or the way to it breaks down again and again: creates are slowed down.",
}
"""What to do about a pause, by its reason."""


def model_of(lesson: Verdict, model: str) -> str:
    """Which lane of the account a lesson is for: that of the model, or the account's own."""
    return ALL_MODELS if lesson in _ACCOUNT_WIDE else model


def learned(lane: Lane, lesson: Verdict, running: int, now: float, timing: Timing, jitter: float = 0.0) -> Lane:
    """The lane after an answer. `running`: other tasks that hold a slot of it; `jitter`: a random part of 1."""
    if lesson in GOOD:
        return lane._replace(paused_until=0.0, reason="", failures=0)
    if lesson in _BACKOFFS and (lane.reason in _PROBED or (lane.reason == lesson and not is_open(lane, now))):
        # A longer pause goes on; answers that come together count once.
        return lane
    failures = lane.failures + 1 if lane.reason in ("", lesson) else 1
    if lesson is Verdict.FULL:
        # Never none: somebody has to find out when there is one again.
        limit = max(1, running if lane.limit is None else min(running, effective_limit(lane, running, now, timing)))
        return Lane(limit, now, max(lane.paused_until, now + timing.full), lane.reason, lane.failures)
    if lesson is Verdict.CLOCK and failures == 1:
        # A new token may do.
        return lane._replace(paused_until=now, reason=lesson, failures=failures)
    if lesson in _PROBED:
        return lane._replace(paused_until=now + timing.probe, reason=lesson, failures=failures)
    if lesson not in _BACKOFFS:
        return lane
    # A single doubt is no reason to slow down.
    times = failures - (_DOUBTS_IN_A_ROW if lesson is Verdict.DOUBT else 1)
    if times < 0:
        return lane._replace(failures=failures)
    pause = min(_LONGEST_BACKOFF, 2.0 ** min(times, 10)) * (1 + jitter / 2)
    return lane._replace(paused_until=now + pause, reason=lesson, failures=failures)


def taken(lane: Lane, now: float, timing: Timing) -> Lane:
    """The lane after a job of it was claimed: where it is paused, that job is the probe, and the others wait for it."""
    if lane.reason not in _PROBED:
        return lane
    return lane._replace(paused_until=now + timing.probe)


def is_open(lane: Lane, now: float) -> bool:
    """Whether a create may be sent."""
    return now >= lane.paused_until


def effective_limit(lane: Lane, configured: int, now: float, timing: Timing) -> int:
    """How many tasks a lane may have now: a learned limit rises by one after each quiet minute."""
    if lane.limit is None:
        return configured
    risen = int(max(0.0, now - lane.learned_at) / timing.raise_) if timing.raise_ > 0 else configured
    return max(0, min(configured, lane.limit + risen))
