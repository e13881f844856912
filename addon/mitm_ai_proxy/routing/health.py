"""Which tokens and providers are in use, left out or on trial: a transition table, and the clock is handed in."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from ..config.reliability import NO_FAILOVER, Failover

LONGEST_REST: Final = 60.0
"""Seconds that a place rests at most when it asks for a rest (`Retry-After`)."""
TRIAL: Final = 60.0
"""Seconds after which a trial whose end was never told of is over."""

Clock = Callable[[], float]
"""Seconds, such as time.monotonic()."""


class Place(NamedTuple):
    """Where a request can go: a provider by its id, and a token by its index; None stands for the provider itself."""

    provider: str
    token: int | None = None


class State(enum.Enum):
    """Of a place. The values are for people."""

    IN_USE = "in use"
    LEFT_OUT = "left out"
    ON_TRIAL = "on trial"


class Event(enum.Enum):
    """What happens to a place: an answer, the end of its cooldown, and a trial that ended without a result."""

    FAILED = "failed"
    SUCCEEDED = "succeeded"
    TRIED_AGAIN = "tried again"
    GAVE_UP = "gave up"


# By state and event: the state that follows, before the thresholds are reached, and when they are.
TRANSITIONS: Final[Mapping[tuple[State, Event], tuple[State, State]]] = {
    (State.IN_USE, Event.FAILED): (State.IN_USE, State.LEFT_OUT),
    (State.IN_USE, Event.SUCCEEDED): (State.IN_USE, State.IN_USE),
    (State.IN_USE, Event.TRIED_AGAIN): (State.IN_USE, State.IN_USE),
    (State.IN_USE, Event.GAVE_UP): (State.IN_USE, State.IN_USE),
    (State.LEFT_OUT, Event.FAILED): (State.LEFT_OUT, State.LEFT_OUT),
    (State.LEFT_OUT, Event.SUCCEEDED): (State.LEFT_OUT, State.IN_USE),
    (State.LEFT_OUT, Event.TRIED_AGAIN): (State.ON_TRIAL, State.ON_TRIAL),
    (State.LEFT_OUT, Event.GAVE_UP): (State.LEFT_OUT, State.LEFT_OUT),
    (State.ON_TRIAL, Event.FAILED): (State.LEFT_OUT, State.LEFT_OUT),
    (State.ON_TRIAL, Event.SUCCEEDED): (State.LEFT_OUT, State.IN_USE),
    (State.ON_TRIAL, Event.TRIED_AGAIN): (State.ON_TRIAL, State.ON_TRIAL),
    (State.ON_TRIAL, Event.GAVE_UP): (State.LEFT_OUT, State.LEFT_OUT),
}


class Condition(NamedTuple):
    """How a place is. Times are those of the clock.

    `failures`: one after the other; `successes`: since it was left out. `since`: when it came into its state, and
    `why`, in words. `ready_at`: when it may be tried again. `rests_until`: it asked for a rest until then.
    `failed_at`: its last failure.
    """

    state: State = State.IN_USE
    failures: int = 0
    successes: int = 0
    since: float = 0.0
    why: str = ""
    ready_at: float = 0.0
    rests_until: float = 0.0
    failed_at: float = 0.0

    def is_free(self, now: float) -> bool:
        """Whether it can be drawn: it is in use or due for a trial, and does not rest."""
        return self.rests_until <= now and (self.state is State.IN_USE or self.ready_at <= now)


UNTOUCHED: Final = Condition()


def after(before: Condition, event: Event, now: float, policy: Failover, why: str = "") -> Condition:
    """The condition after an event. `policy` is enabled; `why` says what failed."""
    failures, successes = before.failures, before.successes
    is_reached = True
    if event is Event.FAILED:
        failures = failures + 1 if before.state is State.IN_USE else failures
        successes = 0 if before.state is State.ON_TRIAL else successes
        is_reached = failures >= (policy.failure_threshold or NO_FAILOVER.failure_threshold)
    elif event is Event.SUCCEEDED:
        failures, successes = 0, successes + 1
        is_reached = successes >= (policy.success_threshold or NO_FAILOVER.success_threshold)
    early, late = TRANSITIONS[before.state, event]
    state = late if is_reached else early
    found = before._replace(state=state, failures=failures, successes=successes)
    if event is Event.FAILED:
        found = found._replace(failed_at=now, why=why)
    if state is State.IN_USE and before.state is not State.IN_USE:
        return found._replace(failures=0, successes=0, since=now, why="")
    if state is State.LEFT_OUT and before.state is not State.LEFT_OUT:
        # After a trial that was a success of several that it needs, or gave no result, the next may follow at once.
        cooldown = policy.cooldown_duration / 1000 if event is Event.FAILED else 0.0
        ready = now + cooldown if policy.cooldown_duration else float("inf")
        kept = before.since if before.state is State.ON_TRIAL else now
        return found._replace(failures=0, since=kept, why=why or before.why, ready_at=ready)
    if state is State.ON_TRIAL:
        return found._replace(ready_at=now + TRIAL)
    return found


class Health:
    """The conditions of all places. `policies`: the `failover` of each provider by its id, of those that have it."""

    def __init__(self, policies: Mapping[str, Failover], clock: Clock) -> None:
        self._policies = {name: policy for name, policy in policies.items() if policy.enabled}
        self.clock = clock
        self._conditions: dict[Place, Condition] = {}

    def of(self, place: Place) -> Condition:
        """The condition of a place."""
        return self._conditions.get(place, UNTOUCHED)

    @property
    def known(self) -> Mapping[Place, Condition]:
        """All places to which something has happened."""
        return self._conditions

    def to_probe(self, name: str) -> list[Place]:
        """The places of a provider that are left out, of one that has timed probes; of its tokens, else itself."""
        policy = self._policies.get(name)
        if policy is None or not policy.health_check_model:
            return []
        return [
            place
            for place, condition in self._conditions.items()
            if place.provider == name and condition.state is State.LEFT_OUT
        ]

    def is_free(self, place: Place) -> bool:
        """Whether a place can be drawn now: neither it nor its provider is left out or rests."""
        if not self._conditions:
            return True
        now = self.clock()
        return all(self.of(one).is_free(now) for one in _levels(place))

    def rest(self, place: Place) -> float:
        """Seconds until a place that is in use has rested; infinite where it is left out."""
        now = self.clock()
        waits = [self.of(one) for one in _levels(place)]
        if any(one.state is not State.IN_USE and one.ready_at > now for one in waits):
            return float("inf")
        return max(0.0, *(one.rests_until - now for one in waits))

    def last_resort(self, places: Iterable[Place]) -> Place:
        """Of places none of which is free, the one to try all the same: one that only rests, or failed first of all."""

        def rank(place: Place) -> tuple[bool, float, float]:
            found = [self.of(one) for one in _levels(place)]
            is_out = any(one.state is not State.IN_USE for one in found)
            return is_out, max(one.failed_at for one in found), max(one.rests_until for one in found)

        return min(places, key=rank)

    def draw(self, place: Place) -> None:
        """Note that a request goes to a place: one that is left out is on trial then."""
        for one in _levels(place):
            condition = self.of(one)
            if condition.state is not State.IN_USE:
                self._happen(one, Event.TRIED_AGAIN, "")

    def fail(self, place: Place, why: str, *, is_providers: bool) -> None:
        """Note a failure of a token, or of the provider itself (it was not reached). `why`: in words."""
        own = Place(place.provider) if is_providers else place
        self._happen(own, Event.FAILED, why)
        for other in _levels(place):
            if other != own and other in self._conditions:
                # The provider has answered; of a token behind one that was not reached, nothing is known.
                self._happen(other, Event.GAVE_UP if is_providers else Event.SUCCEEDED, "")

    def succeed(self, place: Place) -> None:
        """Note a success, which is the provider's too."""
        for one in _levels(place):
            if one in self._conditions:
                self._happen(one, Event.SUCCEEDED, "")

    def give_up(self, place: Place) -> None:
        """Note that a request ended without a result, such as one whose client is gone."""
        for one in _levels(place):
            if one in self._conditions:
                self._happen(one, Event.GAVE_UP, "")

    def rest_for(self, place: Place, seconds: float, why: str) -> None:
        """Note that a place asked for a rest (`Retry-After`), which it gets up to LONGEST_REST."""
        if seconds > 0:
            until = self.clock() + min(seconds, LONGEST_REST)
            self._conditions[place] = self.of(place)._replace(rests_until=until, why=why)

    def _happen(self, place: Place, event: Event, why: str) -> None:
        policy = self._policies.get(place.provider)
        if policy is not None:
            self._conditions[place] = after(self.of(place), event, self.clock(), policy, why)


def _levels(place: Place) -> tuple[Place, ...]:
    """A place and its provider's own."""
    return (place,) if place.token is None else (place, Place(place.provider))
