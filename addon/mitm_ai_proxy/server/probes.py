"""The timed probes of routing/probing.py: small chats that ask what is left out whether it works again."""

from __future__ import annotations

import asyncio
import logging

from .. import pipeline
from ..apis import CHAT_PATH
from ..chat import callers
from ..edges.attempts import MOST_OF_REFUSED, Attempts
from ..errors import Refusal
from ..exchange import Head, Upstream
from ..routing import probing
from ..routing.probing import Probe, Probing
from ..routing.providers import Providers
from . import arrivals
from .upstream import Broken, Pool

logger = logging.getLogger(__name__)


class Probes:
    """Sends them over the pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._probing = Probing()
        self._tasks: set[asyncio.Task[None]] = set()

    def look(self, providers: Providers) -> None:
        """Send what is due now."""
        for probe in self._probing.due(providers):
            task = asyncio.get_running_loop().create_task(self._ask(providers, probe))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def stop(self) -> None:
        """Give up those that are under way."""
        for task in self._tasks:
            task.cancel()

    def connected(self) -> None:
        """See Sender."""

    async def _ask(self, providers: Providers, probe: Probe) -> None:
        provider = providers.by_id[probe.place.provider]
        fields = (
            (b"Host", provider.origin.authority.encode()),
            (b"Content-Type", b"application/json"),
            (b"Content-Length", b"%d" % len(probe.body)),
        )
        head = Head("POST", CHAT_PATH, callers.read(CHAT_PATH, fields), fields)
        attempts = Attempts(providers, probing.tries(providers, head, probe.place), head)
        try:
            upstream = pipeline.rewritten(provider, head, probe.body)
            if not isinstance(upstream, Upstream):
                return
            attempts.send(upstream)
            outgoing = pipeline.outgoing(provider, head, upstream, fields, probe.body, attempts.place.token)
            body = probe.body if outgoing.body is None else outgoing.body
            async with asyncio.timeout(probe.timeout):
                arrived = await self._pool.send(outgoing, body, self)
                try:
                    attempts.hear(arrived.status, arrived.fields)
                    said = await arrivals.whole(arrived, MOST_OF_REFUSED)
                finally:
                    arrived.close()
            attempts.complete(arrived.status, arrived.fields, said)
        except (Broken, Refusal, TimeoutError, asyncio.CancelledError):
            attempts.break_off(None)
            return
        name = probe.place.provider or provider.type
        logger.info("ai-proxy: a probe of %s, which is left out (healthCheckModel): %d", name, arrived.status)
