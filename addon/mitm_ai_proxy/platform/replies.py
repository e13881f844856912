"""What the gateway's answer to a worker means: a table from Kling's errors to what is to be done.

Source of the codes' meanings: kling/error_codes.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from ..kling import charges, error_codes, tasks
from ..kling.prices import Cost
from ..kling.tasks import Task


class Verdict(StrEnum):
    """What an answer says about the request, or about the account that made it.

    `taken`: there is a task. `missing`: Kling knows no such task. `duplicate`: it has one of this name already.
    `full`, `fast`, `unpaid`, `denied` (this model), `forbidden` (all), `clock`: certainly not done, and the account has
    to wait. `invalid`, `gone` (the model), `blocked` (moderation): certainly not done, and no repetition helps.
    `unsent`: the request never left. `doubt`: anything else; it may have been done.
    """

    TAKEN = "taken"
    MISSING = "missing"
    DUPLICATE = "duplicate"
    FULL = "full"
    FAST = "fast"
    UNPAID = "unpaid"
    DENIED = "denied"
    FORBIDDEN = "forbidden"
    CLOCK = "clock"
    INVALID = "invalid"
    GONE = "gone"
    BLOCKED = "blocked"
    UNSENT = "unsent"
    DOUBT = "doubt"


class Reply(NamedTuple):
    """An answer as it was read: the verdict, Kling's words, the task and what it cost, where they are said."""

    verdict: Verdict
    message: str = ""
    task: Task | None = None
    cost: Cost | None = None


_BY_MEANING: Final[Mapping[str, Verdict]] = {
    "invalid_api_key": Verdict.FORBIDDEN,
    "insufficient_quota": Verdict.UNPAID,
    "model_not_available": Verdict.DENIED,
    "invalid_value": Verdict.INVALID,
    "not_found": Verdict.GONE,
    "moderation_blocked": Verdict.BLOCKED,
    "rate_limit_exceeded": Verdict.FAST,
    "concurrency_limit": Verdict.FULL,
    "ip_not_allowed": Verdict.FORBIDDEN,
    "server_error": Verdict.DOUBT,
    "bad_gateway": Verdict.DOUBT,
}
"""By the code of a Meaning."""
_METHOD: Final = 1202
_ROADBLOCKS: Final = frozenset({401, 403, 404, 405, 407})
"""Statuses that say, where no code is Kling's, that something before Kling is set up wrongly."""
_MESSAGE_LENGTH: Final = 500


def unsent(reason: str) -> Reply:
    """For a request that never reached the gateway: no connection was made."""
    return Reply(Verdict.UNSENT, reason)


def unanswered(reason: str) -> Reply:
    """For a request that was sent, at least in part, and whose answer did not come whole."""
    return Reply(Verdict.DOUBT, reason)


def read(status: int, body: bytes, url: str) -> Reply:
    """Read the gateway's answer to a create or to a question for one task; `url` is the request's."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    envelope = tasks.envelope(document)
    message = envelope.message[:_MESSAGE_LENGTH]
    if 200 <= status < 300 and envelope.code in (0, None):
        task = tasks.answered(document)
        if task is None:
            return Reply(Verdict.DOUBT, f"status {status}, and no task in the answer")
        return Reply(Verdict.TAKEN, "", task, charges.charged(url, document))
    return Reply(_verdict(status, envelope.code, envelope.message), message or f"status {status}")


def _verdict(status: int, code: int | str | None, message: str) -> Verdict:
    if error_codes.is_duplicate(message):
        return Verdict.DUPLICATE
    is_klings = isinstance(code, int) and code in error_codes.MEANINGS
    if code == 1201 and message.lower().startswith(error_codes.NOT_FOUND):
        return Verdict.MISSING
    if code in error_codes.CLOCK:
        return Verdict.CLOCK
    # Without Kling's word for it, a "not found" would fail every job that waits, for a wrong URL of the gateway.
    if not is_klings and status in _ROADBLOCKS:
        return Verdict.FORBIDDEN
    if error_codes.is_doubtful(status, code, message):
        return Verdict.DOUBT
    if code == _METHOD:
        return Verdict.INVALID
    return _BY_MEANING.get(error_codes.meaning(status, code, message).code, Verdict.DOUBT)
