"""A create that is sent again must not buy a second video: names for Kling's `external_task_id`, which is unique.

A name is made of what is asked for, so that any replica finds the same; only to tell equal creates apart, those of
the last hour are remembered here.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

REMEMBERED: Final = 3600
"""Seconds. OpenAI's SDKs give up a request after 600 s, three times."""
MAX_REMEMBERED: Final = 10_000
MAX_ATTEMPTS: Final = 1000
"""The newest of equal creates that are told apart."""

PREFIX: Final = "ai-proxy-"

PENDING, ANSWERED, DOUBTFUL = "pending", "answered", "doubtful"


@dataclass(slots=True)
class _Attempt:
    name: str
    state: str = PENDING


@dataclass(slots=True)
class _Equal:
    """Creates that are equal to the byte."""

    time: float
    number: int = 0
    attempts: list[_Attempt] = field(default_factory=list)
    fresh: str | None = None


class PaidOnce:
    """Names for creates. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._equals: OrderedDict[str, _Equal] = OrderedDict()

    def name(self, api: str, body: bytes, retries: int, idempotency_key: str) -> str:
        """The `external_task_id` of a create: a new one for a new create, that of the earlier one for a repetition.

        `body` is all that makes the create what it is. With an idempotency key, only API and key count.
        """
        if idempotency_key:
            return f"{PREFIX}{_digest('key', api, idempotency_key.encode('utf-8', 'surrogateescape'))}"
        scope = _digest("body", api, body)
        equal = self._equal(scope)
        if retries:
            again = self._repeated(equal, DOUBTFUL)
            if again is None and equal.fresh is not None:
                again, equal.fresh = _Attempt(equal.fresh), None
                equal.attempts.append(again)
            again = again or self._repeated(equal, PENDING) or self._repeated(equal, ANSWERED)
            if again:
                return again.name
        attempt = _Attempt(f"{PREFIX}{scope}-{equal.number}")
        equal.number += 1
        equal.attempts.append(attempt)
        del equal.attempts[:-MAX_ATTEMPTS]
        return attempt.name

    def knows(self, api: str, body: bytes) -> bool:
        """Whether a create like this was sent, and not refused for certain."""
        equal = self._equals.get(_digest("body", api, body))
        return equal is not None and bool(equal.attempts)

    def forget(self, name: str) -> None:
        """Note that a create was refused for certain."""
        equal = self._equals.get(_scope(name))
        if equal:
            equal.attempts = [attempt for attempt in equal.attempts if attempt.name != name]

    def settle(self, name: str, answered: bool) -> None:
        """Note that a create was answered with a task, or ended in doubt."""
        equal = self._equals.get(_scope(name))
        for attempt in equal.attempts if equal else ():
            if attempt.name == name:
                attempt.state = ANSWERED if answered else DOUBTFUL

    def taken(self, name: str) -> None:
        """Note that somebody else used the name of a new create: the next repetition gets one that nobody can have."""
        scope = _scope(name)
        equal = self._equal(scope)
        equal.attempts = [attempt for attempt in equal.attempts if attempt.name != name] + [_Attempt(name, ANSWERED)]
        equal.number = max(equal.number, 1)
        equal.fresh = f"{PREFIX}{scope}-{secrets.token_hex(4)}"

    def _equal(self, scope: str) -> _Equal:
        now = self._clock()
        while self._equals:
            oldest = next(iter(self._equals))
            if len(self._equals) <= MAX_REMEMBERED and now - self._equals[oldest].time < REMEMBERED:
                break
            del self._equals[oldest]
        equal = self._equals.pop(scope, None) or _Equal(now)
        equal.time = now
        self._equals[scope] = equal
        return equal

    def _repeated(self, equal: _Equal, state: str) -> _Attempt | None:
        """The newest attempt in a state, which is pending from now on."""
        for attempt in reversed(equal.attempts):
            if attempt.state == state:
                attempt.state = PENDING
                return attempt
        return None


def _digest(kind: str, api: str, text: bytes) -> str:
    digest = hashlib.sha256(f"{kind}\0{api}\0".encode() + text).digest()[:16]
    return base64.b32encode(digest).decode().rstrip("=").lower()


def _scope(name: str) -> str:
    return name.removeprefix(PREFIX).rpartition("-")[0]
