"""Time-outs by name, in the running event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Timers:
    """Calls `due` with the name of a time-out that is over, and the number that was given with it."""

    def __init__(self, due: Callable[[str, float], None]) -> None:
        self._due = due
        self._running: dict[str, asyncio.TimerHandle] = {}

    def set(self, name: str, seconds: float, number: float) -> None:
        """Begin a time-out, in the place of one of this name; none of 0 seconds."""
        self.stop(name)
        if seconds > 0:
            loop = asyncio.get_running_loop()
            self._running[name] = loop.call_later(seconds, self._expire, name, number)

    def stop(self, name: str) -> None:
        """End a time-out."""
        if timer := self._running.pop(name, None):
            timer.cancel()

    def stop_all(self) -> None:
        """End all of them."""
        for name in list(self._running):
            self.stop(name)

    def _expire(self, name: str, number: float) -> None:
        self._running.pop(name, None)
        self._due(name, number)
