"""Kling's error codes as OpenAI's errors: status, type, code, and whether a retry can help.

Sources: Kling API documentation, error codes; OpenAI's SDKs, for the statuses that they retry; New API, for its words.
"""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

from ..chat.dialects import openai_type
from ..exchange import Answer


class Meaning(NamedTuple):
    """OpenAI's error for one of Kling's; its type follows from status and code.

    `retry_after` is in seconds; without `repeat`, SDKs are told not to retry.
    """

    status: int
    code: str
    repeat: bool = True
    retry_after: int | None = None


MEANINGS: Final[dict[int, Meaning]] = {
    **{code: Meaning(401, "invalid_api_key") for code in (1000, 1001, 1002, 1003, 1004)},
    **{code: Meaning(429, "insufficient_quota", repeat=False) for code in (1100, 1101, 1102)},
    1103: Meaning(403, "model_not_available"),
    **{code: Meaning(400, "invalid_value") for code in (1200, 1201)},
    **{code: Meaning(404, "not_found") for code in (1202, 1203)},
    **{code: Meaning(400, "moderation_blocked") for code in (1300, 1301)},
    1302: Meaning(429, "rate_limit_exceeded", retry_after=1),
    1303: Meaning(429, "concurrency_limit", retry_after=15),
    1304: Meaning(403, "ip_not_allowed"),
    5000: Meaning(500, "server_error"),
    5001: Meaning(503, "server_error"),
    5002: Meaning(504, "server_error"),
}

UNKNOWN: Final = Meaning(502, "bad_gateway")
"""For a status that is no error, with a code that is not Kling's."""

CLOCK: Final = frozenset({1003, 1004})
"""The codes for a token that is not valid yet, or not any more, by Kling's clock."""
_CLOCK_TOLERANCE: Final = 5
"""Seconds between two clocks that make no such error: `nbf` is that far back."""

_BY_WORD: Final[dict[str, Meaning]] = {
    "task_not_exist": MEANINGS[1203],
    "insufficient_user_quota": MEANINGS[1101],
    "quota_not_enough": MEANINGS[1101],
}
"""By the `code` of a gateway."""

_BY_STATUS: Final[dict[int, Meaning]] = {
    401: MEANINGS[1000],
    403: MEANINGS[1103],
    404: MEANINGS[1203],
    429: MEANINGS[1302],
}

# Code 1201 means a wrong value, except with these messages.
NOT_FOUND: Final = ("task not found", "from video not found")
"""Beginnings of a message for 404."""
_DUPLICATE: Final = ("externaltaskid", "alreadyexist")
"""Parts of the message for a duplicate, in lower case and without blanks, underscores and hyphens."""
_JOINED: Final = str.maketrans("", "", " _-")


def meaning(status: int, code: int | str | None, message: str) -> Meaning:
    """The meaning of an error: by Kling's code, or a gateway's word, if it is known, else by the HTTP status."""
    if code == 1201 and message.lower().startswith(NOT_FOUND):
        return MEANINGS[1203]
    known = _BY_WORD.get(code) if isinstance(code, str) else MEANINGS.get(code) if code is not None else None
    if known:
        return known
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 400 <= status < 500:
        return Meaning(status, "invalid_value")
    if status >= 500:
        return Meaning(status, "server_error")
    return UNKNOWN


def is_doubtful(status: int, code: int | str | None, message: str) -> bool:
    """Whether a create that failed with this error may have been accepted all the same."""
    found = meaning(status, code, message).status
    # 408 is a gateway's, which may have waited for Kling in vain.
    return found >= 500 or found == 408


def is_printable(text: str) -> bool:
    """Whether a text from outside can be the value of a header field: printable ASCII, not empty."""
    return bool(text) and text.isascii() and text.isprintable()


def is_duplicate(message: str) -> bool:
    """Whether a create was refused because its `external_task_id` is in use.

    Only the message tells: Kling's code, 1201, has other reasons too, and gateways send codes of their own.
    """
    joined = message.lower().translate(_JOINED)
    return all(part in joined for part in _DUPLICATE)


def clock_difference(date: str, now: float) -> str:
    """A sentence on how far this machine's clock is from Kling's; "" if they agree, or if Kling's is not known.

    `date` is the value of the Date header field of Kling's answer, `now` this machine's Unix time.
    """
    try:
        kling = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return ""
    # A zone of -0000 leaves it without one.
    seconds = now - (kling if kling.tzinfo else kling.replace(tzinfo=UTC)).timestamp()
    if abs(seconds) <= _CLOCK_TOLERANCE:
        return ""
    way = "ahead of" if seconds > 0 else "behind"
    return f"The clock of this machine, by which tokens are signed, is {abs(seconds):.0f} s {way} Kling's: set it."


def answer(
    status: int, code: int | str | None, message: str, request_id: str, *, repeats_unknown: bool = True
) -> Answer:
    """An answer with OpenAI's error object for an error of Kling's.

    Without `repeats_unknown`, SDKs are told not to retry where neither code nor status has a known meaning.
    """
    what = meaning(status, code, message)
    error = {
        "message": message or "Kling gave no reason.",
        "type": openai_type(what.status, what.code),
        "param": None,
        "code": what.code,
        "kling_code": code,
    }
    headers: dict[str, str] = {}
    if is_printable(request_id):
        headers["x-request-id"] = request_id
    if not what.repeat or (what == UNKNOWN and not repeats_unknown):
        headers["x-should-retry"] = "false"
    elif what.retry_after is not None:
        headers["retry-after"] = str(what.retry_after)
    return Answer.json(what.status, {"error": error}, headers)
