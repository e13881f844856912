"""Polling a job: whether an answer is the last one, when to ask again, and what an answer gives as the reason."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

from ..wire.json_text import Path
from . import jobs, listing
from .entry import Response, header
from .listing import Task

INTERVAL: Final = 5.0
"""Seconds between two reads of a job, where its provider does not say."""
TIMEOUT: Final = 1800.0
"""Seconds that a job is waited for."""
EXPLANATIONS: Final[tuple[Path, ...]] = (
    ("data", "task_status_msg"),
    ("data", "message"),
    ("data", 0, "message"),
    ("error", "message"),
    ("error",),
    ("message",),
    ("detail",),
)
"""Where an answer says in words what went wrong."""
WAITS: Final = (("openai-poll-after-ms", 1000.0), ("retry-after-ms", 1000.0), ("retry-after", 1.0))
"""Header fields that say when to come again, and how many of their units are a second. The last may be a date."""
LONGEST_WAIT: Final = 300.0
"""Seconds between two reads, whatever a provider says."""
_LONGEST_EXPLANATION: Final = 300
"""Characters."""


class Reading(enum.Enum):
    """What follows from the answer to a read."""

    ENDED = "ended"
    PENDING = "pending"
    BUSY = "busy"
    """An error that passes, or no answer."""
    UNKNOWN = "unknown"
    """There is no such task. Source: Kling API documentation; code 1201 with 400, or a list without it."""
    REFUSED = "refused"
    """It cannot be asked for so, or not by this account."""


def reading(response: Response | None, tasks: Sequence[Task]) -> Reading:
    """What an answer says of the tasks that it was asked for, of which `tasks` are those that it tells of."""
    if response is None or is_passing(response):
        return Reading.BUSY
    if not tasks:
        return Reading.UNKNOWN if response.status == 400 or listing.text(response) else Reading.REFUSED
    return Reading.ENDED if all(task.is_ended for task in tasks) else Reading.PENDING


def seconds_to_wait(response: Response | None, interval: float, now: datetime) -> float:
    """How long to wait before the next read: as the answer says, else the interval. `now` has a time zone."""
    for name, per_second in WAITS:
        value = header(response.headers, name).strip() if response else ""
        if value.isascii() and value.isdigit():
            return min(int(value[:12]) / per_second, LONGEST_WAIT)
        if value and name == WAITS[-1][0]:
            try:
                at = parsedate_to_datetime(value)
                return min(max((at - now).total_seconds(), 0.0), LONGEST_WAIT)
            except (ValueError, TypeError):
                continue
    return interval


def explanation(response: Response) -> str:
    """What an answer says in words about what went wrong, in one line; "" where it says nothing."""
    values = jobs.scalars(response.body).values
    # Kling says SUCCEED also where the task failed, and elsewhere why.
    found = (values.get(path, "") for path in EXPLANATIONS)
    text = next((text for text in found if text and text not in ("null", "SUCCEED", "succeed")), "")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_LONGEST_EXPLANATION]


def is_passing(response: Response) -> bool:
    """Whether an error may be gone when the same is asked for again."""
    return response.status == 429 or response.status >= 500
