"""The providers that a configuration uses, and which of them serves a request."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..config import reliability
from ..errors import Refusal
from ..exchange import Head, Scope
from ..providers.base import Provider
from ..wire.targets import Origin
from .health import Health, Place
from .limits import NO_LINES, Lines
from .rules import Choice, Router
from .tries import Stop, Tries


@dataclass(frozen=True, slots=True)
class Providers:
    """The providers in use, by id, and the id of the active one.

    Without a router there is one provider, which serves all requests. `health`: how their tokens are.
    `lines`: who waits for them. `firsts`: of each provider with a token that stands there twice, for each of its tokens
    the index of the first that is the same.
    """

    by_id: Mapping[str, Provider]
    router: Router | None = None
    active: str | None = None
    health: Health = field(default_factory=lambda: Health({}, time.monotonic), compare=False)
    lines: Lines = NO_LINES
    firsts: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @classmethod
    def one(cls, provider: Provider) -> Providers:
        """One provider for all requests."""
        return cls({"": provider}, active="")

    def __iter__(self) -> Iterator[Provider]:
        return iter(self.by_id.values())

    @property
    def only(self) -> Provider | None:
        """The provider of all requests; None if the router chooses."""
        return None if self.router else next(iter(self))

    @property
    def main(self) -> Provider:
        """The active provider, else the first one."""
        return next(iter(self)) if self.active is None else self.by_id[self.active]

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets of all providers."""
        return tuple(secret for provider in self for secret in provider.secrets())

    @property
    def withhold_credentials(self) -> bool:
        """Whether none of them gets the client's credential."""
        return all(provider.withholds_credential for provider in self)

    def at(self, origin: Origin, name: str = "") -> Provider | None:
        """The provider at an origin; of several, the one with this id, else the first."""
        found = {identity: provider for identity, provider in self.by_id.items() if origin in provider.origins}
        return found.get(name) or next(iter(found.values()), None)

    def of_link(self, origin: Origin) -> Provider:
        """The provider whose answers have links to an origin, as far as that can be told."""
        return self.at(origin) or self.main

    def tries(self, names: Sequence[str], head: Head, body: bytes | None = None) -> Tries:
        """The tries of a request to these providers; `body` is the client's, where it is known."""
        return Tries(self.stops(names, head, body), self.health, has_room=self.lines.has_room)

    def without_memory(self) -> Providers:
        """The same for one request of a replay: nothing is left out or rests, and nobody waits in line."""
        return replace(self, health=Health({}, self.health.clock), lines=NO_LINES)

    def is_watched(self, names: Sequence[str]) -> bool:
        """Whether a request to the first of these providers can be tried again, or its end matters to others."""
        provider = self.by_id[names[0]]
        return len(names) > 1 or provider.is_watched

    def stops(self, names: Sequence[str], head: Head, body: bytes | None = None) -> tuple[Stop, ...]:
        """Where a request may be tried, in this order; `body` is the client's, where it is known."""
        first = self.by_id[names[0]]
        scope = first.scope(head, body)
        names = names if scope is Scope.ANYWHERE else names[:1]
        fixed = first.place(head) if scope is Scope.TOKEN else None
        return tuple(self._stop(name, fixed) for name in names)

    def places(self, name: str) -> list[Place]:
        """The places of a provider: that of each of its tokens, twice for one that stands there twice; else itself."""
        firsts = self.firsts.get(name) or range(len(self.by_id[name].tokens))
        return [Place(name, index) for index in firsts] or [Place(name)]

    def _stop(self, name: str, fixed: int | None) -> Stop:
        retry = self.by_id[name].keys.retry_on_failure
        places = self.places(name)
        if fixed is not None:
            places = [places[fixed]]
        tries = 1 + (retry.max_retries or reliability.NO_RETRY.max_retries if retry.enabled else 0)
        timeout = (retry.retry_timeout or reliability.NO_RETRY.retry_timeout) / 1000
        return Stop(name, tuple(places), tries, retry.retry_on_status, timeout)

    def serving(self, target: str) -> Provider | None:
        """The provider of a client's GET of a path and query; None if there is none."""
        if self.router is None:
            return next(iter(self))
        try:
            choice = self.router.choose(Head("GET", target))
        except Refusal:
            return None
        return choice.provider if isinstance(choice, Choice) else None
