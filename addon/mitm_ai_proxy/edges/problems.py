"""Why a try has no answer: what an edge tells of it, and what failure that is."""

from __future__ import annotations

from typing import Final, NamedTuple

from ..errors import Refusal
from ..routing.tries import Failure
from ..wire.printable import printable

# The keys of the configuration by which a try ends.
CONNECT: Final = "connectTimeout"
FIRST_BYTE: Final = "firstByteTimeout"
RETRY: Final = "retryTimeout"
TIMEOUT: Final = "timeout"
QUEUE: Final = "queueTimeout"

_LONGEST: Final = 120
"""Characters of a reason in a note."""


class Problem(NamedTuple):
    """Why a try has no answer, or an unfinished one, in words.

    `timeout`: the key of the time-out of so many `seconds` that it was, "" for none. `is_sent`: the provider may have
    got the request. `refusal`: nothing was sent, for a reason of ours; the client is told so if no further try follows.
    """

    text: str
    timeout: str
    is_sent: bool
    seconds: float = 0.0
    refusal: Refusal | None = None


def failure_of(problem: Problem) -> Failure:
    """What it says of the provider."""
    if problem.refusal:
        return Failure(problem.text, is_sent=False, is_ours=True)
    if problem.timeout == QUEUE:
        return Failure("no place in line (queueTimeout)", is_sent=False, is_ours=True)
    if problem.timeout:
        what = "no answer" if problem.is_sent else "no connection"
        return Failure(
            f"{what} in {problem.seconds * 1000:.0f} ms ({problem.timeout})", is_sent=problem.is_sent, is_providers=True
        )
    text = printable(problem.text)[:_LONGEST]
    what = f"a broken answer ({text})" if problem.is_sent else f"no connection ({text})"
    return Failure(what, is_sent=problem.is_sent, is_providers=True)
