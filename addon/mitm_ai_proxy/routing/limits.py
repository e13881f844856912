"""How much may be asked of a provider and of each of its tokens, at one time and in any minute; the rest waits in line.

The clock is handed in. Nothing here waits: whoever holds a ticket is told when it is admitted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from ..config.reliability import Limits
from .health import Clock, Place

MINUTE: Final = 60.0
"""Seconds."""


class Quota(NamedTuple):
    """The limits of a provider: of all that goes to it, and of what has one of its tokens."""

    whole: Limits
    each: Limits

    @property
    def is_set(self) -> bool:
        """Whether there is any limit."""
        return any(one.concurrency or one.rate.requests_per_minute or one.rate.tokens_per_minute for one in self)


class Ticket:
    """A request that is sent, or waits to be. `tokens`: how many tokens of a model it may use."""

    def __init__(self, place: Place, tokens: int) -> None:
        self.place, self.tokens = place, tokens
        self.is_admitted = False


class _Use:
    """What is in use of some limits: requests at this time, and those of the last minute."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._count = 0
        self._begun: deque[tuple[float, int]] = deque()
        self._tokens = 0

    def wait(self, tokens: int, now: float) -> float:
        """Seconds until another request may begin; 0 for at once, infinite for when one has ended."""
        self._forget(now)
        limits, rate = self._limits, self._limits.rate
        if limits.concurrency and self._count >= limits.concurrency:
            return float("inf")
        waits = [0.0]
        if rate.requests_per_minute and len(self._begun) >= rate.requests_per_minute:
            waits.append(self._begun[-rate.requests_per_minute][0] + MINUTE - now)
        left = self._tokens + tokens - rate.tokens_per_minute
        if rate.tokens_per_minute and left > 0 and self._begun:
            # One that is longer than a minute's worth goes when nothing else does.
            for begun, used in self._begun:
                left -= used
                if left <= 0 or begun == self._begun[-1][0]:
                    waits.append(begun + MINUTE - now)
                    break
        return max(waits)

    def begin(self, tokens: int, now: float) -> None:
        """Count a request that begins."""
        self._count += 1
        self._begun.append((now, tokens))
        self._tokens += tokens

    def end(self) -> None:
        """Count a request that has ended."""
        self._count -= 1

    def _forget(self, now: float) -> None:
        while self._begun and self._begun[0][0] + MINUTE <= now:
            self._tokens -= self._begun.popleft()[1]


class Line:
    """The requests to one provider: those that are under way, and those that wait, in their order."""

    def __init__(self, quota: Quota, clock: Clock) -> None:
        self._quota, self._clock = quota, clock
        self._whole = _Use(quota.whole)
        self._each: dict[Place, _Use] = {}
        self._waiting: list[Ticket] = []

    def wait(self, place: Place, tokens: int) -> float:
        """Seconds until a request could begin if nobody waited before it; infinite for when another one has ended."""
        now = self._clock()
        return max(self._whole.wait(tokens, now), self._of(place).wait(tokens, now))

    def has_room(self, place: Place) -> bool:
        """Whether a request would not have to wait."""
        return not any(one.place == place for one in self._waiting) and self.wait(place, 0) <= 0

    def enter_alone(self, ticket: Ticket) -> bool:
        """Whether a ticket is admitted at once, where nobody waits; otherwise it has no place in line."""
        if self._waiting or self.wait(ticket.place, ticket.tokens) > 0:
            return False
        self._begin(ticket)
        return True

    def enter(self, ticket: Ticket) -> None:
        """Take a place in line; a ticket that needs not wait is admitted."""
        self._waiting.append(ticket)
        self.admit()

    def admit(self) -> list[Ticket]:
        """Admit those that may begin now, the first of them first; one that waits for its own token holds up nobody."""
        found = []
        for ticket in list(self._waiting):
            if self.wait(ticket.place, ticket.tokens) <= 0:
                self._waiting.remove(ticket)
                self._begin(ticket)
                found.append(ticket)
            elif self._whole.wait(ticket.tokens, self._clock()) > 0:
                # Nobody behind it may use up what it waits for.
                break
        return found

    def _begin(self, ticket: Ticket) -> None:
        ticket.is_admitted = True
        now = self._clock()
        self._whole.begin(ticket.tokens, now)
        self._of(ticket.place).begin(ticket.tokens, now)

    def leave(self, ticket: Ticket) -> list[Ticket]:
        """Give a place back, in line or under way; returns those that are admitted in its place."""
        if ticket.is_admitted:
            ticket.is_admitted = False
            self._whole.end()
            self._of(ticket.place).end()
        elif ticket in self._waiting:
            self._waiting.remove(ticket)
        return self.admit()

    @property
    def next_at(self) -> float:
        """Seconds until admit() can admit somebody whom no end of another request lets in; infinite for never."""
        waits = [self.wait(ticket.place, ticket.tokens) for ticket in self._waiting]
        return min(waits, default=float("inf"))

    def _of(self, place: Place) -> _Use:
        if place not in self._each:
            self._each[place] = _Use(self._quota.each)
        return self._each[place]


class Lines:
    """The lines of all providers that have limits, by the id of each."""

    def __init__(self, quotas: Mapping[str, Quota], clock: Clock) -> None:
        self._lines = {name: Line(quota, clock) for name, quota in quotas.items() if quota.is_set}

    def of(self, name: str) -> Line | None:
        """The line of a provider; None for one without limits."""
        return self._lines.get(name)

    def has_room(self, place: Place) -> bool:
        """Whether a request to a place would not have to wait."""
        line = self._lines.get(place.provider)
        return line is None or line.has_room(place)


NO_LINES: Final = Lines({}, lambda: 0.0)

HasRoom = Callable[[Place], bool]
"""Whether a request to a place would not have to wait in line."""
