"""A script for mitmproxy that reports when start-up is complete: before that, a logged error ends the process."""

from __future__ import annotations

import asyncio
import logging

from mitmproxy import ctx
from mitmproxy.addons.errorcheck import ErrorCheckHandler

TEXT = "the proxy is ready for tests"
_tasks: list[asyncio.Task[None]] = []


def running() -> None:
    if ctx.master.addons.get("errorcheck"):
        _tasks.append(asyncio.get_running_loop().create_task(_wait()))


async def _wait() -> None:
    while any(isinstance(handler, ErrorCheckHandler) for handler in logging.getLogger().handlers):
        await asyncio.sleep(0.001)
    logging.getLogger(__name__).info(TEXT)
