"""How long the platform waits for what, in seconds, and how often it looks at a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..kling import models
from .states import STATES, State

DAY: Final = 86_400.0
SLOW: Final = 3.0
"""A task that has taken so many times its typical time is slow."""

# Parts of the typical time: when a task is looked at first, and then.
_FIRST: Final = 0.4
_FIRST_WITH_CALLBACKS: Final = 1.2
_NEXT: Final = 0.1
_LONGEST: Final = 30.0
_WITH_CALLBACKS: Final = (60.0, 300.0)
_LAST_PERCENT: Final = 95
_FETCHING_PERCENT: Final = 97


@dataclass(frozen=True, slots=True)
class Timing:
    """The waits, each settable.

    `typical`: what a video takes, in place of its model's own. `look`: between two looks at a task, at least.
    `request`: for an answer of the gateway. `lease`: beyond the time-outs of a step, until others take the job over.
    `doubt`: before each question whether Kling has a task. `again`: before each new try of what may be repeated.
    `full`: after Kling said that there is no slot. `probe`: until a paused account is tried. `raise_`: until a learned
    limit rises by one. `sweep`: between two searches for jobs that nobody works on. `deliver`: before each try of a
    webhook, which has `deliver_timeout` to be taken. `give_up`: until a job in doubt, or a task without an end, is left
    to a person.
    """

    typical: float | None = None
    look: float = 5.0
    request: float = 30.0
    lease: float = 30.0
    doubt: tuple[float, ...] = (1, 2, 5, 15, 60)
    again: tuple[float, ...] = (1, 2, 4, 8, 15, 30, 60, 60, 120, 300, 600, 600)
    full: float = 2.0
    probe: float = 300.0
    raise_: float = 60.0
    sweep: float = 2.0
    deliver: tuple[float, ...] = (0, 5, 300, 1800, 7200, 18_000, 36_000, 36_000)
    deliver_timeout: float = 15.0
    give_up: float = DAY


def delay(delays: Sequence[float], tries: int, most: float = DAY) -> float:
    """The wait before a try, by those that there were; the last one for all further tries."""
    return min(most, delays[min(tries, len(delays) - 1)])


def typical_seconds(model: str, seconds: float, timing: Timing) -> float:
    """What a video of so many seconds usually takes; longer ones take longer."""
    if timing.typical is not None:
        return timing.typical
    row = models.MODELS.get(model) or models.MODELS[models.DEFAULT_MODEL]
    return row.typical * max(1.0, seconds / 5)


def first_look(typical: float, *, has_callbacks: bool) -> float:
    """How long after its create a task is looked at for the first time."""
    return typical * (_FIRST_WITH_CALLBACKS if has_callbacks else _FIRST)


def next_look(typical: float, looks: int, timing: Timing, *, has_callbacks: bool) -> float:
    """How long after a look without a result, the `looks`th, the next one is due."""
    if has_callbacks:
        # Only a callback that was lost makes them needed.
        least, most = (max(timing.look, seconds) for seconds in _WITH_CALLBACKS)
        return min(most, least * 2.0 ** min(looks, 10))
    return max(timing.look, min(_LONGEST, typical * _NEXT))


def progress(state: State, typical: float, running: float) -> int:
    """A job's progress in percent, as far as it can be guessed from the seconds since it was submitted."""
    if state is State.STORED:
        return 100
    if state is State.FETCHING:
        return _FETCHING_PERCENT
    if not STATES[state].holds_slot:
        return 0
    return max(1, min(_LAST_PERCENT, int(100 * running / typical) if typical > 0 else _LAST_PERCENT))
