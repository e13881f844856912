"""What mitmproxy's command ai.health prints, and serve's /providers: each token and provider, its state, and why."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from ..providers.base import Provider
from ..routing.health import Condition, Place, State
from ..routing.providers import Providers

_LONG: Final = 20
"""Characters of a token of which the last ones may be shown."""
_SHOWN: Final = 4


def lines(providers: Providers) -> list[str]:
    """A line for each provider, and one for each of its tokens."""
    return [line for name, provider in providers.by_id.items() for line in _of(name, provider, providers)]


def _of(name: str, provider: Provider, providers: Providers) -> Iterator[str]:
    health = providers.health
    title = f"{name} ({provider.type})" if name else provider.type
    yield f"{title} at {provider.origin}: {_state(health.of(Place(name)), health.clock())}"
    for place in dict.fromkeys(providers.places(name)):
        if place.token is None:
            continue
        text = provider.tokens[place.token].reveal()
        shown = f"...{text[-_SHOWN:]}" if len(text) >= _LONG else "..."
        yield f"  token {place.token + 1} ({shown}): {_state(health.of(place), health.clock())}"


def _state(condition: Condition, now: float) -> str:
    """In use; left out since 12:00:01 (500 from ...), tried again in 9 s."""
    parts = [condition.state.value]
    if condition.state is not State.IN_USE:
        since = time.strftime("%H:%M:%S", time.localtime(time.time() - (now - condition.since)))
        parts[0] += f" since {since} ({condition.why})"
    if condition.state is State.LEFT_OUT:
        left = condition.ready_at - now
        again = "with the next request" if left <= 0 else f"in {left:.0f} s"
        parts.append("until a probe succeeds" if left == float("inf") else f"tried again {again}")
    if condition.rests_until > now:
        parts.append(f"rests for {condition.rests_until - now:.0f} s ({condition.why})")
    if condition.failures:
        parts.append(f"{condition.failures} failures in a row ({condition.why})")
    return ", ".join(parts)
