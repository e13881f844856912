"""How long the platform waits for what, in seconds, and how often it looks at a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..config import values
from ..config.keys import key
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


_seconds: Final = values.number(0.01, DAY)
_waits: Final = values.numbers(values.number(0, 7 * DAY))


@dataclass(frozen=True, slots=True)
class Timing:
    """The waits in seconds. `give_up`: until a job that Kling does not know, or a task without an end, is left to a
    person. `kept`: how long Kling keeps a result, and one that cannot be asked for or fetched is waited for.

    `speed`: how many times faster than Kling a simulated one is.
    """

    typical: float | None = key(_seconds, help="What a video takes, in place of its model's typical time.")
    look: float = key(_seconds, 5.0, help="Between two looks at a task, at least.")
    request: float = key(_seconds, 30.0, help="Until the gateway has answered.")
    lease: float = key(
        _seconds, 30.0, help="Beyond the time-outs of a step, until another worker takes over what one has left."
    )
    doubt: tuple[float, ...] = key(
        _waits, (1, 2, 5, 15, 60), help="Before each question whether Kling has a task; the last one repeats."
    )
    again: tuple[float, ...] = key(
        _waits,
        (1, 2, 4, 8, 15, 30, 60, 60, 120, 300, 600, 600),
        help="Before each new try of a download, of storing, and of what certainly was not sent.",
    )
    full: float = key(_seconds, 2.0, help="After Kling has said that no slot is free.")
    probe: float = key(_seconds, 300.0, help="Until a paused account is tried again, with one job.")
    raise_: float = key(_seconds, 60.0, help="Until a limit that was learned rises by one.")
    sweep: float = key(_seconds, 2.0, help="Between two searches for jobs that nobody works on.")
    deliver: tuple[float, ...] = key(
        _waits, (0, 5, 300, 1800, 7200, 18_000, 36_000, 36_000), help="Before each try of a webhook."
    )
    deliver_timeout: float = key(_seconds, 15.0, help="Until the receiver of a webhook has to have answered.")
    give_up: float = DAY
    kept: float = 30 * DAY
    speed: float = 1.0


def delay(delays: Sequence[float], tries: int, most: float = DAY) -> float:
    """The wait before a try, by those that there were; the last one for all further tries."""
    return min(most, delays[min(tries, len(delays) - 1)])


def typical_seconds(model: str, seconds: float, timing: Timing) -> float:
    """What a video of so many seconds usually takes; longer ones take longer."""
    if timing.typical is not None:
        return timing.typical
    row = models.MODELS.get(model) or models.MODELS[models.DEFAULT_MODEL]
    return row.typical * max(1.0, seconds / 5) / timing.speed


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
