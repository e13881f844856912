"""Idempotent creates: each gets an `external_task_id`, which Kling accepts once, so that a retry buys no second video.

The id is a hash of the create, so that every replica computes the same one. Equal creates are numbered; those of the
last hour are kept in memory.
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
"""Seconds that a create is kept. OpenAI's SDKs send a request three times, with a time-out of 600 s each."""
MAX_REMEMBERED: Final = 10_000
MAX_ATTEMPTS: Final = 1000
"""Equal creates that are kept; the oldest are dropped."""

PREFIX: Final = "ai-proxy-"

PENDING, ANSWERED, UNCERTAIN = "pending", "answered", "uncertain"


@dataclass(slots=True)
class _Attempt:
    """A create that was sent, by its external_task_id."""

    name: str
    state: str = PENDING


@dataclass(slots=True)
class _EqualCreates:
    """Creates that are equal to the byte. `time` is that of the last one, `number` that of the next one.

    `replacement` is the id of the next retry, where Kling refused the first create's as in use.
    """

    time: float
    number: int = 0
    attempts: list[_Attempt] = field(default_factory=list)
    replacement: str | None = None


class Idempotency:
    """Chooses the external_task_id of each create. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._creates: OrderedDict[str, _EqualCreates] = OrderedDict()

    def external_task_id(self, api: str, body: bytes, retries: int, idempotency_key: str) -> str:
        """The `external_task_id` of a create: a new one for a first attempt, that of the earlier create for a retry.

        `retries` is the number of earlier attempts that the client reports. With an idempotency key, the id depends
        on API and key only, else on API and body.
        """
        if idempotency_key:
            return f"{PREFIX}{_digest('key', api, idempotency_key.encode('utf-8', 'surrogateescape'))}"
        scope = _digest("body", api, body)
        equal = self._equal_creates(scope)
        if retries:
            again = self._retried(equal, UNCERTAIN)
            if again is None and equal.replacement is not None:
                again, equal.replacement = _Attempt(equal.replacement), None
                equal.attempts.append(again)
            again = again or self._retried(equal, PENDING) or self._retried(equal, ANSWERED)
            if again:
                return again.name
        attempt = _Attempt(f"{PREFIX}{scope}-{equal.number}")
        equal.number += 1
        equal.attempts.append(attempt)
        del equal.attempts[:-MAX_ATTEMPTS]
        return attempt.name

    def was_sent(self, api: str, body: bytes) -> bool:
        """Whether an equal create was sent in the last hour and not certainly refused."""
        equal = self._creates.get(_digest("body", api, body))
        return equal is not None and bool(equal.attempts)

    def record_refusal(self, name: str) -> None:
        """Record that a create was certainly refused: it is forgotten."""
        equal = self._creates.get(_scope(name))
        if equal:
            equal.attempts = [attempt for attempt in equal.attempts if attempt.name != name]

    def record_result(self, name: str, answered: bool) -> None:
        """Record how a create ended: with a task (`answered`), or so that Kling may or may not have accepted it."""
        equal = self._creates.get(_scope(name))
        for attempt in equal.attempts if equal else ():
            if attempt.name == name:
                attempt.state = ANSWERED if answered else UNCERTAIN

    def record_taken(self, name: str) -> None:
        """Record that Kling refused the id of a new create as in use: the next retry gets a random one."""
        scope = _scope(name)
        equal = self._equal_creates(scope)
        equal.attempts = [attempt for attempt in equal.attempts if attempt.name != name] + [_Attempt(name, ANSWERED)]
        equal.number = max(equal.number, 1)
        equal.replacement = f"{PREFIX}{scope}-{secrets.token_hex(4)}"

    def _equal_creates(self, scope: str) -> _EqualCreates:
        now = self._clock()
        while self._creates:
            oldest = next(iter(self._creates))
            if len(self._creates) <= MAX_REMEMBERED and now - self._creates[oldest].time < REMEMBERED:
                break
            del self._creates[oldest]
        equal = self._creates.pop(scope, None) or _EqualCreates(now)
        equal.time = now
        self._creates[scope] = equal
        return equal

    def _retried(self, equal: _EqualCreates, state: str) -> _Attempt | None:
        """The newest attempt in this state, set to pending; None if there is none."""
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
