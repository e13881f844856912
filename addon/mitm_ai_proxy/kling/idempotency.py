"""Idempotent creates: each gets an `external_task_id`, which Kling accepts once, so that a repetition buys nothing.

The id is a hash of the create and a number, so that every replica computes the same ones, and the parameters of the
create, which Kling returns with the task. A recording run has ids of its own. The creates of the last hour are kept in
memory.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ..wire import json_edit
from .ids import NO_PARAMETERS, VideoParameters, add_parameters, split_parameters

REMEMBERED: Final = 3600
"""Seconds that a create is kept. OpenAI's SDKs send a request three times, with a time-out of 600 s each."""
AWAITED: Final = 120
"""Seconds in which a client that was refused, or lost its attempt to another, is expected to repeat its create.

OpenAI's SDKs wait 8 s at most, and 60 s where the answer asks for it.
"""
MAX_REMEMBERED: Final = 10_000
MAX_ATTEMPTS: Final = 1000
"""Equal creates that are kept; the oldest are dropped."""
MAX_NAME: Final = 128
"""Characters of an external_task_id, above which the parameters are left out. Kling documents no limit."""

PREFIX: Final = "ai-proxy-"
_AGAIN: Final = re.compile(r"-again-[0-9a-f]{8}$")

PENDING, ANSWERED, UNCERTAIN, FREE = "pending", "answered", "uncertain", "free"
"""A client waits for its answer; it got a task; Kling may or may not have accepted it; Kling has certainly not."""

FOREIGN: Final = -1
"""In place of a retry count: an attempt of another process, whose client may come here for a retry."""
_ORDER: Final = {UNCERTAIN: 0, FREE: 1, ANSWERED: 2, PENDING: 3}


class Choice(NamedTuple):
    """An external_task_id, and whether Kling may have accepted a create under it before.

    `token`: the index of the token with which that was sent, if it is known: another account would take the name again.
    """

    name: str
    repeated: bool
    token: int | None = None


@dataclass(slots=True)
class _Attempt:
    """A create under one external_task_id.

    `retries` is the count that the client reported when it was last sent, `time` that of the last change of state.
    `repeated`: it was sent again, though an earlier sending may have been accepted. `token`: the index of the one with
    which it was sent last.
    """

    name: str
    retries: int
    time: float
    state: str = PENDING
    repeated: bool = False
    token: int | None = None

    @property
    def account(self) -> int | None:
        """The token whose account may have accepted it."""
        return None if self.state == FREE else self.token

    def change(self, state: str, time: float) -> None:
        """Set the state, at this time."""
        self.state, self.time = state, time


@dataclass(slots=True)
class _EqualCreates:
    """Creates that are equal. `time` is that of the last one, `number` that of the next one.

    `is_shared`: Kling knows names of theirs that were not given here, so that new ones are random.
    """

    scope: str
    time: float
    number: int = 0
    is_shared: bool = False
    attempts: dict[str, _Attempt] = field(default_factory=dict)

    def add(self, parameters: VideoParameters, retries: int, time: float, *, is_numbered: bool = True) -> _Attempt:
        """Add an attempt under a new name."""
        ending = str(self.number) if is_numbered and not self.is_shared else secrets.token_hex(4)
        self.number += is_numbered
        return self.put(_Attempt(_name(f"{self.scope}-{ending}", parameters), retries, time))

    def put(self, attempt: _Attempt) -> _Attempt:
        """Add an attempt, and drop the oldest of too many."""
        self.attempts[attempt.name] = attempt
        if len(self.attempts) > MAX_ATTEMPTS:
            del self.attempts[next(iter(self.attempts))]
        return attempt

    def drop_free(self, now: float) -> None:
        """Drop the attempts that no client is expected to repeat any more."""
        old = [a.name for a in self.attempts.values() if a.state == FREE and now - a.time >= AWAITED]
        for name in old:
            del self.attempts[name]

    def retried(self, retries: int) -> _Attempt | None:
        """The attempt that a client means which reports this many retries; None if none can be meant."""
        found = [attempt for attempt in self.attempts.values() if attempt.retries < retries]
        return min(
            found,
            key=lambda a: (a.retries == FOREIGN, a.state == PENDING, retries - a.retries, _ORDER[a.state], -a.time),
            default=None,
        )

    def doubtful(self) -> _Attempt | None:
        """The attempt in doubt that its own client is the least likely to repeat; None if none is in doubt."""
        found = [attempt for attempt in self.attempts.values() if attempt.state == UNCERTAIN]
        return min(found, key=lambda a: (a.retries > 0, a.time), default=None)


class Idempotency:
    """Chooses the external_task_id of each create. `clock` gives seconds.

    A retry is matched with an attempt that was last sent with a lower retry count: the nearest count first, then one
    in doubt, then one that Kling certainly refused, then the one answered last. An attempt whose client still waits
    comes after all of these, and one of another process at the very end. A create without a retry count takes over an
    attempt in doubt, and the retry of whoever made that gets a new name; else it gets a new name itself.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._run = ""
        self._creates: OrderedDict[str, _EqualCreates] = OrderedDict()

    def begin_run(self, run: str) -> None:
        """Hash this text into all later ids, so that Kling has not met them in another run."""
        self._run = run

    def choose(
        self,
        api: str,
        content: bytes,
        retries: int = 0,
        idempotency_key: str = "",
        parameters: VideoParameters = NO_PARAMETERS,
        *,
        is_numbered: bool = True,
    ) -> Choice:
        """The external_task_id of a create: a new one, or that of an earlier attempt.

        `content` is the create in a form that equal ones share, `retries` the number of earlier attempts that the
        client reports. With an idempotency key, API and key decide instead. `parameters` go into a new name. Without
        `is_numbered` that is random: an older one cannot be met, and a retry in another process does not find it.
        """
        if idempotency_key:
            return self._of_key(api, idempotency_key, parameters)
        equal, now = self._equal_creates(self._digest("body", api, content)), self._clock()
        equal.drop_free(now)
        attempt = equal.retried(retries) if retries else equal.doubtful()
        if attempt is None:
            attempt = equal.add(parameters, retries, now, is_numbered=is_numbered)
            # A retry of a create that this process does not know.
            attempt.repeated = retries > 0
            return Choice(attempt.name, attempt.repeated)
        if not retries:
            own = equal.add(split_parameters(attempt.name)[1], attempt.retries, attempt.time)
            own.state = FREE
        attempt.repeated = attempt.repeated or attempt.state != FREE
        attempt.retries = retries
        account = attempt.account
        attempt.change(PENDING, now)
        return Choice(attempt.name, attempt.repeated, account)

    def was_sent(self, api: str, content: bytes) -> bool:
        """Whether an equal create was sent in the last hour and not certainly refused."""
        equal = self._creates.get(self._digest("body", api, content))
        return equal is not None and any(attempt.state != FREE for attempt in equal.attempts.values())

    def record_token(self, name: str, token: int) -> None:
        """Record with which token a create is sent, by its index."""
        attempt = self._find(name)
        if attempt:
            attempt.token = token

    def record_result(self, name: str, answered: bool) -> None:
        """Record how a create ended: with a task (`answered`), or so that Kling may or may not have accepted it."""
        attempt = self._find(name)
        if attempt:
            attempt.change(ANSWERED if answered else UNCERTAIN, self._clock())

    def record_refusal(self, name: str) -> None:
        """Record that a create was certainly refused; an earlier sending of it may have been accepted all the same."""
        attempt = self._find(name)
        if attempt:
            attempt.change(UNCERTAIN if attempt.repeated else FREE, self._clock())

    def record_taken(self, name: str) -> None:
        """Record that Kling refused a new name as in use: the client's retry gets a random one."""
        equal = self._equal_creates(_scope(name))
        equal.is_shared = True
        before = equal.attempts.pop(name, None)
        equal.put(_Attempt(name, FOREIGN, self._clock(), ANSWERED))
        own = equal.add(split_parameters(name)[1], before.retries if before else 0, self._clock())
        own.state = FREE

    def _of_key(self, api: str, key: str, parameters: VideoParameters) -> Choice:
        """The name of an idempotency key: the first one, since another body would change the parameters in it."""
        equal = self._equal_creates(self._digest("key", api, key.encode("utf-8", "surrogateescape")))
        attempt = next(iter(equal.attempts.values()), None)
        if attempt is None:
            return Choice(equal.put(_Attempt(_name(equal.scope, parameters), 0, equal.time)).name, True)
        attempt.repeated = attempt.repeated or attempt.state != FREE
        return Choice(attempt.name, True, attempt.account)

    def _find(self, name: str) -> _Attempt | None:
        # That of an idempotency key has no number.
        for scope in (_scope(name), _base(name)):
            if (equal := self._creates.get(scope)) and name in equal.attempts:
                return equal.attempts[name]
        return None

    def _equal_creates(self, scope: str) -> _EqualCreates:
        now = self._clock()
        while self._creates:
            oldest = next(iter(self._creates))
            if len(self._creates) <= MAX_REMEMBERED and now - self._creates[oldest].time < REMEMBERED:
                break
            del self._creates[oldest]
        equal = self._creates.pop(scope, None) or _EqualCreates(scope, now)
        equal.time = now
        self._creates[scope] = equal
        return equal

    def _digest(self, kind: str, api: str, content: bytes) -> str:
        digest = hashlib.sha256(f"{self._run}{kind}\0{api}\0".encode())
        digest.update(content)
        return base64.b32encode(digest.digest()[:16]).decode().rstrip("=").lower()


def with_new_name(body: bytes) -> tuple[bytes, str, str]:
    """A create under a name that Kling has not met, as a person wants another task: the body, the old and the new name.

    Two empty names where it has none.
    """
    field, nothing = "external_task_id", (body, "", "")
    if not json_edit.may_spell(body, field.encode()):
        return nothing
    try:
        members = json_edit.members(body)
        inner = [one for member in members if member.key == "options" for one in json_edit.members_of(body, member)]
    except json_edit.JSONError:
        return nothing
    found = [member for member in (*members, *inner) if member.key == field]
    before = json_edit.string_value(body, found[-1]) if found else None
    if not before:
        return nothing
    after = _renewed(before)
    edits = [json_edit.Edit(member.start, member.end, json_edit.string(after)) for member in found]
    return json_edit.apply(body, edits), before, after


def _renewed(name: str) -> str:
    """Another name: one of ours with the same parameters, or a client's own with an ending."""
    base, parameters = split_parameters(name)
    ending = secrets.token_hex(4)
    if base.startswith(PREFIX):
        return _name(f"{_scope(name)}-{ending}", parameters)
    return f"{_AGAIN.sub('', name)}-again-{ending}"


def _name(base: str, parameters: VideoParameters) -> str:
    name = add_parameters(f"{PREFIX}{base}", parameters)
    return name if len(name) <= MAX_NAME else f"{PREFIX}{base}"


def _scope(name: str) -> str:
    return _base(name).rpartition("-")[0]


def _base(name: str) -> str:
    return split_parameters(name)[0].removeprefix(PREFIX)
