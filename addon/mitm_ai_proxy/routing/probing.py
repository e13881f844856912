"""Timed probes: which tokens that are left out are asked now whether they work again, and by what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final, NamedTuple

from ..config.reliability import NO_FAILOVER
from ..exchange import Head
from .health import Place
from .providers import Providers
from .tries import Tries

LOOK: Final = 0.25
"""Seconds between two looks at what is left out."""
QUESTION: Final = "who are you?"
"""Source: Higress ai-proxy plugin."""


class Probe(NamedTuple):
    """A chat that asks a place: its JSON body, and seconds until it is given up."""

    place: Place
    body: bytes
    timeout: float


class Probing:
    """Knows when each place is due, by the clock of the health."""

    def __init__(self) -> None:
        self._due: dict[Place, float] = {}

    def due(self, providers: Providers) -> Iterator[Probe]:
        """The probes to send now; each counts as sent."""
        health = providers.health
        for name, provider in providers.by_id.items():
            failover = provider.keys.failover
            for place in health.to_probe(name):
                now = health.clock()
                if self._due.get(place, 0) > now:
                    continue
                interval = failover.health_check_interval or NO_FAILOVER.health_check_interval
                self._due[place] = now + interval / 1000
                # Where the provider itself was not reached, any of its tokens will do.
                asked = Place(name, 0) if place.token is None and provider.tokens else place
                question = [{"role": "user", "content": QUESTION}]
                body = json.dumps({"model": failover.health_check_model, "messages": question}).encode()
                timeout = failover.health_check_timeout or NO_FAILOVER.health_check_timeout
                yield Probe(asked, body, timeout / 1000)


def tries(providers: Providers, head: Head, place: Place) -> Tries:
    """The one try of a probe, which goes to its own place, whatever the routes say."""
    own = providers.stops([place.provider], head)[0]
    found = Tries([own._replace(places=(place,), tries=1)], providers.health)
    # Not as on trial: a probe that gets no answer changes nothing.
    found.made.append(place)
    return found
