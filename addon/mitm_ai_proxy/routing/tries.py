"""What is tried next: the tries of one request, in the order of its route, each with a token not used before."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from ..config.reliability import Statuses
from .health import LONGEST_REST, Health, Place
from .limits import NO_LINES, HasRoom

CERTAIN: Final = frozenset({401, 429})
"""Statuses of a refusal: nothing was done, and nothing is charged."""

Choose = Callable[[Sequence[Place]], Place]
"""Draws one of several places."""


class Failure(NamedTuple):
    """Why a try is no success.

    `what`: in words, for a note. `status`: that of the answer; None without one. `is_sent`: whether the provider may
    have got the request. `retry_after`: seconds that it asked for. `is_providers`: it concerns the provider, whatever
    the token. `is_ours`: it says nothing about the provider. `is_inside`: the status is that of an error within an
    answer of another one.
    """

    what: str
    status: int | None = None
    is_sent: bool = True
    retry_after: float = 0.0
    is_providers: bool = False
    is_ours: bool = False
    is_inside: bool = False

    @property
    def is_certain(self) -> bool:
        """Whether it is certain that nothing was done, so that nothing is bought twice."""
        return not self.is_sent or (self.status in CERTAIN and not self.is_inside)


class Stop(NamedTuple):
    """A provider of a request: its id, its places, how many of them are tried at most, and after which statuses.

    A place that is there twice is drawn as often, and tried once.
    `timeout`: seconds until the answer of a further try has begun; 0 for no limit.
    """

    provider: str
    places: tuple[Place, ...]
    tries: int
    statuses: Statuses
    timeout: float = 0.0


class Pick(NamedTuple):
    """The next try: where, and after how many seconds."""

    place: Place
    wait: float = 0.0


class Tries:
    """The tries of one request. `made` are the places of those so far, the last one that of the current try."""

    def __init__(
        self,
        stops: Sequence[Stop],
        health: Health,
        choose: Choose = random.choice,
        has_room: HasRoom = NO_LINES.has_room,
    ) -> None:
        """`has_room`: whether a request to a place would not have to wait in line."""
        self._stops = tuple(stops)
        self._health, self._choose, self._has_room = health, choose, has_room
        self.made: list[Place] = []

    @property
    def total(self) -> int:
        """How many tries there can be."""
        return sum(min(stop.tries, len(set(stop.places))) for stop in self._stops)

    @property
    def place(self) -> Place:
        """The place of the current try."""
        return self.made[-1]

    @property
    def stop(self) -> Stop:
        """The provider of the current try."""
        return next(stop for stop in self._stops if stop.provider == self.place.provider)

    @property
    def longest(self) -> float:
        """Seconds until the answer of the current try has begun; 0 for no limit of its own."""
        return self.stop.timeout if len(self.made) > 1 else 0.0

    def first(self) -> Place:
        """The place of the first try; where all are left out, the one that failed least recently."""
        everywhere = [place for stop in self._stops for place in stop.places]
        free = next(filter(None, map(self._free, self._stops)), None) or next(
            # In line at the first that is there at all.
            filter(None, [[place for place in stop.places if self._health.is_free(place)] for stop in self._stops]),
            None,
        )
        place = self._choose(free) if free else self._health.last_resort(everywhere)
        return self._make(place)

    def keep_to(self, token: int) -> None:
        """Have the current try go to this token of its provider, and no further one to another token."""
        before, place = self.place, Place(self.place.provider, token)
        self._stops = (self.stop._replace(places=(place,)),)
        if place != before:
            self._health.give_up(before)
            self._health.draw(place)
            self.made[-1] = place

    def next(self, failure: Failure) -> Pick | None:
        """The next try after a failure; None if there is none. It counts as made."""
        own = self.stop
        # A provider that was not reached has no other way to be reached; the next one is asked first.
        stops = sorted(self._stops, key=lambda stop: failure.is_providers and stop is own)
        for stop in stops:
            if free := self._free(stop):
                return Pick(self._make(self._choose(free)))
        rests = [(self._health.rest(place), place) for stop in stops for place in self._left(stop)]
        rests = [(wait, place) for wait, place in rests if wait <= (own.timeout or LONGEST_REST)]
        if not rests:
            return None
        wait, place = min(rests)
        return Pick(self._make(place), wait)

    def has_next(self) -> bool:
        """Whether there is a place that was not tried and is not left out."""
        return any(self._health.rest(place) < float("inf") for stop in self._stops for place in self._left(stop))

    def _left(self, stop: Stop) -> list[Place]:
        """The places of a provider that are left for this request."""
        used = [place for place in self.made if place.provider == stop.provider]
        return [place for place in stop.places if place not in used] if len(used) < stop.tries else []

    def _free(self, stop: Stop) -> list[Place]:
        return [place for place in self._left(stop) if self._health.is_free(place) and self._has_room(place)]

    def _make(self, place: Place) -> Place:
        self._health.draw(place)
        self.made.append(place)
        return place


def reason_against(failure: Failure, tries: Tries, done: Callable[[], str]) -> str:
    """Why a failure is not followed by another try, in words; "" if it may be.

    `done`: what the request may have done, which a further one would do again; "" for nothing.
    """
    if failure.status is not None and not tries.stop.statuses.have(failure.status):
        return f"{failure.status} is not in retryOnStatus"
    if not failure.is_certain and (what := done()):
        return f"the request may have {what} already"
    return "" if tries.has_next() else "there is no other token or provider to try"


def seconds_of(retry_after: str, now: float) -> float:
    """The seconds in a `Retry-After`, which has a number or a date; 0 for none, and for what cannot be read.

    `now` is Unix time. Source: RFC 9110, section 10.2.3.
    """
    text = retry_after.strip()
    try:
        found = float(text)
    except ValueError:
        from email.utils import parsedate_to_datetime

        try:
            found = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return 0.0
    return found if 0 < found < float("inf") else 0.0
