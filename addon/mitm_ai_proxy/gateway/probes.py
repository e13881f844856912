"""Timed probes: a small chat, as a flow of its own, asks a token that is left out whether it works again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from typing import Final

from mitmproxy import ctx, http
from mitmproxy.addons.clientplayback import ReplayHandler
from mitmproxy.connection import Client, Server

from ..apis import CHAT_PATH
from ..config.reliability import NO_FAILOVER
from ..providers.base import Provider
from ..routing.health import Place
from ..routing.providers import Providers
from ..routing.tries import Tries
from . import flows
from .attempts import Attempts
from .flows import FlowState

LOOK: Final = 0.25
"""Seconds between two looks at what is left out."""
QUESTION: Final = "who are you?"
"""Source: Higress ai-proxy plugin."""

Current = Callable[[], Providers | None]
"""Gives the providers that may be asked now; None for none."""


class Probes:
    """Sends the probes that `failover` asks for, each token's at its interval."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._due: dict[Place, float] = {}
        self._sent: set[asyncio.Task[None]] = set()

    def start(self, current: Current) -> None:
        """Begin to look, in the running event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(current))

    def stop(self) -> None:
        """Send no more; those that are under way end."""
        for task in (self._task, *self._sent):
            if task:
                task.cancel()

    def begin(self, flow: http.HTTPFlow, state: FlowState, providers: Providers) -> None:
        """Send a probe to its own token, whatever the routes say, and have its end told."""
        place = _place(flow)
        state.provider = providers.by_id[place.provider]
        own = providers.stops([place.provider], state.head)[0]
        tries = Tries([own._replace(places=(place,), tries=1)], providers.health)
        # Not as on trial: a probe that gets no answer changes nothing.
        tries.made.append(place)
        state.attempts = Attempts(flow, providers, tries, state.head)
        state.note(f"a probe of {place.provider or state.provider.type}, which is left out (healthCheckModel)")

    async def _run(self, current: Current) -> None:
        while True:
            await asyncio.sleep(LOOK)
            providers = current()
            if providers is None:
                continue
            for name, provider in providers.by_id.items():
                for place in providers.health.to_probe(name):
                    self._send_if_due(provider, place)

    def _send_if_due(self, provider: Provider, place: Place) -> None:
        failover, now = provider.keys.failover, time.monotonic()
        if self._due.get(place, 0) > now:
            return
        self._due[place] = now + (failover.health_check_interval or NO_FAILOVER.health_check_interval) / 1000
        seconds = (failover.health_check_timeout or NO_FAILOVER.health_check_timeout) / 1000
        if place.token is None and provider.tokens:
            # The provider itself was not reached: any of its tokens will do.
            place = Place(place.provider, 0)
        task = asyncio.get_running_loop().create_task(_sent(_probe(provider, place), seconds))
        self._sent.add(task)
        task.add_done_callback(self._sent.discard)


def _probe(provider: Provider, place: Place) -> http.HTTPFlow:
    """The flow of a probe."""
    document = {"model": provider.keys.failover.health_check_model, "messages": [{"role": "user", "content": QUESTION}]}
    origin = provider.origin
    fields = http.Headers(((b"Content-Type", b"application/json"),))
    request = http.Request.make("POST", f"{origin}{CHAT_PATH}", json.dumps(document), fields)
    now = time.time()
    client = Client(peername=("127.0.0.1", 0), sockname=("127.0.0.1", 0), timestamp_start=now)
    flow = http.HTTPFlow(client, Server(address=(origin.host, origin.port)))
    flow.request, flow.is_replay = request, "request"
    flow.metadata[flows.PROBE] = {"provider": place.provider, "token": place.token}
    return flow


def _place(flow: http.HTTPFlow) -> Place:
    found = flow.metadata[flows.PROBE]
    return Place(found["provider"], found["token"])


async def _sent(flow: http.HTTPFlow, seconds: float) -> None:
    """Send a flow as mitmproxy's own replays are sent, and give it up after so many seconds."""
    handler = ReplayHandler(flow, ctx.options)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await handler.replay()
            return
    for transport in list(handler.transports.values()):
        if transport.handler:
            transport.handler.cancel("time-out")
