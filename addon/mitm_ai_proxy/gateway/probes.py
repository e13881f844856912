"""The probes of routing/probing.py, each as a flow of its own."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from mitmproxy import ctx, http
from mitmproxy.addons.clientplayback import ReplayHandler
from mitmproxy.connection import Client, Server

from ..apis import CHAT_PATH
from ..routing import probing
from ..routing.health import Place
from ..routing.probing import Probe, Probing
from ..routing.providers import Providers
from ..wire.targets import Origin
from . import flows
from .attempts import FlowAttempts
from .flows import FlowState

Current = Callable[[], Providers | None]
"""Gives the providers that may be asked now; None for none."""


class Probes:
    """Sends the probes that `failover` asks for."""

    def __init__(self) -> None:
        self._probing = Probing()
        self._task: asyncio.Task[None] | None = None
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
        """Send a probe to its own token, and have its end told."""
        place = _place(flow)
        state.provider = providers.by_id[place.provider]
        state.attempts = FlowAttempts(flow, providers, probing.tries(providers, state.head, place), state.head)
        state.note(f"a probe of {place.provider or state.provider.type}, which is left out (healthCheckModel)")

    async def _run(self, current: Current) -> None:
        while True:
            await asyncio.sleep(probing.LOOK)
            if providers := current():
                for probe in self._probing.due(providers):
                    flow = _flow(providers.by_id[probe.place.provider].origin, probe)
                    task = asyncio.get_running_loop().create_task(_sent(flow, probe.timeout))
                    self._sent.add(task)
                    task.add_done_callback(self._sent.discard)


def _flow(origin: Origin, probe: Probe) -> http.HTTPFlow:
    """The flow of a probe."""
    fields = http.Headers(((b"Content-Type", b"application/json"),))
    request = http.Request.make("POST", f"{origin}{CHAT_PATH}", probe.body, fields)
    client = Client(peername=("127.0.0.1", 0), sockname=("127.0.0.1", 0), timestamp_start=time.time())
    flow = http.HTTPFlow(client, Server(address=(origin.host, origin.port)))
    flow.request, flow.is_replay = request, "request"
    flow.metadata[flows.PROBE] = {"provider": probe.place.provider, "token": probe.place.token}
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
