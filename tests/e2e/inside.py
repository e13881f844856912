"""`ai-proxy serve` in a thread of the tests' process, where it costs no start, and its parts can be made to fail."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from mitm_ai_proxy.server.listening import Listener
from mitm_ai_proxy.server.options import Options
from mitm_ai_proxy.server.service import Service
from mitm_ai_proxy.server.settings import Settings
from mitm_ai_proxy.server.upstream import Pool
from tests.e2e.proxy import DEADLINE


class Inside:
    """A running one; it listens at `port` of 127.0.0.1."""

    def __init__(self, config: str, folder: Path) -> None:
        file = folder / "inside.yaml"
        file.write_text(config)
        self._options, self._settings = Options(file), Settings(file)
        self.port = 0
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),), daemon=True)
        self._thread.start()
        assert self._started.wait(DEADLINE)

    async def _run(self) -> None:
        pool = Pool()
        listener = Listener(Service(self._options, self._settings, pool, None).handle)
        self.port = await listener.listen("127.0.0.1", 0)
        self._started.set()
        await self._stop.wait()
        listener.stop_listening()
        await listener.shutdown(0)
        await pool.close()

    def close(self) -> None:
        """End it."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(DEADLINE)
        self._loop.close()
