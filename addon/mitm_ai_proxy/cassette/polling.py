"""Polling a job: what an answer means, when to poll again, and the explanation of an error."""

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
"""Seconds between two polls, if the provider does not tell."""
TIMEOUT: Final = 1800.0
"""Seconds to wait for the end of a job."""
EXPLANATIONS: Final[tuple[Path, ...]] = (
    ("data", "task_status_msg"),
    ("data", "message"),
    ("data", 0, "message"),
    ("error", "message"),
    ("error",),
    ("message",),
    ("detail",),
)
"""Paths of error messages in answers."""
WAITS: Final = (("openai-poll-after-ms", 1000.0), ("retry-after-ms", 1000.0), ("retry-after", 1.0))
"""Header fields with the wait before the next poll, and their units per second. The last one may have a date."""
LONGEST_WAIT: Final = 300.0
"""The most seconds between two polls, whatever a provider asks for."""
_LONGEST_EXPLANATION: Final = 300
"""Characters."""


class Reading(enum.Enum):
    """The meaning of the answer to a poll."""

    ENDED = "ended"
    PENDING = "pending"
    BUSY = "busy"
    """A temporary error, or no answer."""
    UNKNOWN = "unknown"
    """The task does not exist: code 1201 with 400, or a list without it. Source: Kling API documentation."""
    REFUSED = "refused"
    """The request is wrong, or the account may not make it."""


def reading(response: Response | None, tasks: Sequence[Task]) -> Reading:
    """The meaning of an answer to a poll; `tasks` are the polled tasks that are in it."""
    if response is None or is_passing(response):
        return Reading.BUSY
    if not tasks:
        return Reading.UNKNOWN if response.status == 400 or listing.text(response) else Reading.REFUSED
    return Reading.ENDED if all(task.is_ended for task in tasks) else Reading.PENDING


def seconds_to_wait(response: Response | None, interval: float, now: datetime) -> float:
    """Seconds to wait before the next poll: by the answer, else the interval. `now` has a time zone."""
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
    """The error message in an answer, in one line; "" without any."""
    values = jobs.scalars(response.body).values
    # Kling's message is SUCCEED even if the task failed; the reason is at another path.
    found = (values.get(path, "") for path in EXPLANATIONS)
    text = next((text for text in found if text and text not in ("null", "SUCCEED", "succeed")), "")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_LONGEST_EXPLANATION]


def is_passing(response: Response) -> bool:
    """Whether an error is temporary, so that a retry may succeed."""
    return response.status == 429 or response.status >= 500
