"""The time-outs of one try: the soonest of several, each with the key of the configuration that says so."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import NamedTuple

from ..edges.attempts import Limit
from .upstream import Broken


class TimedOut(Broken):
    """A time-out. `key` says which, and `seconds` how long it is."""

    def __init__(self, key: str, seconds: float) -> None:
        super().__init__("no answer in time", is_sent=False)
        self.key, self.seconds = key, seconds


class _Deadline(NamedTuple):
    at: float
    whole: float


class Timer:
    """Ends what runs within it at the soonest of its time-outs."""

    def __init__(self) -> None:
        self._deadlines: dict[str, _Deadline] = {}
        self._timeout: asyncio.Timeout | None = None

    @contextlib.asynccontextmanager
    async def running(self, limits: Iterable[Limit]) -> AsyncIterator[None]:
        """Run the block, with these time-outs from now. Raises TimedOut."""
        self._deadlines.clear()
        timeout = self._timeout = asyncio.timeout(None)
        try:
            async with timeout:
                for limit in limits:
                    self.add(limit.key, limit.seconds, limit.whole)
                yield
        except TimeoutError:
            if not timeout.expired():
                raise
            key = min(self._deadlines, key=lambda name: self._deadlines[name].at)
            raise TimedOut(key, self._deadlines[key].whole) from None
        finally:
            self._timeout = None

    def add(self, key: str, seconds: float, whole: float = 0.0) -> None:
        """Another time-out, in so many seconds, which is `whole` in the configuration."""
        self._deadlines[key] = _Deadline(asyncio.get_running_loop().time() + seconds, whole or seconds)
        self._set()

    def remove(self, key: str) -> None:
        """Without this one."""
        if self._deadlines.pop(key, None):
            self._set()

    def stop(self) -> None:
        """Without any."""
        if self._deadlines:
            self._deadlines.clear()
            self._set()

    def _set(self) -> None:
        # It may be ending already.
        with contextlib.suppress(RuntimeError):
            if self._timeout:
                self._timeout.reschedule(min((one.at for one in self._deadlines.values()), default=None))
