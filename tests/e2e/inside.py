"""`ai-proxy serve` in a thread of the tests' process, where it costs no start, and its parts can be made to fail."""

from __future__ import annotations

import asyncio
import functools
import threading
from pathlib import Path

from mitm_ai_proxy.server.listening import Listener
from mitm_ai_proxy.server.options import Options
from mitm_ai_proxy.server.service import Service
from mitm_ai_proxy.server.settings import Settings
from mitm_ai_proxy.server.simulated import Simulated
from mitm_ai_proxy.server.upstream import Pool
from mitm_ai_proxy.simulator.settings import SimulatorSettings
from tests.e2e.proxy import DEADLINE, Listening


class _House:
    """The thread, with one event loop and one pool of connections for all, as the certificates take a while to read."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.pool = asyncio.run_coroutine_threadsafe(self._made(), self.loop).result(DEADLINE)

    async def _made(self) -> Pool:
        return Pool()


@functools.cache
def _house() -> _House:
    return _House()


class Inside(Listening):
    """One with a configuration of its own; with `simulate`, nothing is sent."""

    def __init__(self, config: str, folder: Path, *, simulate: bool = False) -> None:
        file = folder / "inside.yaml"
        file.write_text(config)
        options, settings = Options(file), Settings(file, simulated=simulate)
        simulated = Simulated(settings.in_use.configuration.block(SimulatorSettings)) if simulate else None
        service = Service(options, settings, _house().pool, simulated)
        begun = asyncio.run_coroutine_threadsafe(self._begin(service), _house().loop)
        self._listener, self.port = begun.result(DEADLINE)

    async def _begin(self, service: Service) -> tuple[Listener, int]:
        listener = Listener(service.handle)
        return listener, await listener.listen("127.0.0.1", 0)

    def close(self) -> str:
        """End it."""
        asyncio.run_coroutine_threadsafe(self._end(), _house().loop).result(DEADLINE)
        return ""

    async def _end(self) -> None:
        self._listener.stop_listening()
        await self._listener.shutdown(0.1)
