"""Waiting in line for a provider with limits (see routing/limits.py): who is admitted is woken, and a timer admits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final
from weakref import WeakKeyDictionary

from ..routing.limits import Line, Ticket

LOOK: Final = 0.1
"""Seconds between two looks whether a client that waits is still there."""


class _Keeper:
    """Wakes those who wait in one line."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._woken: dict[Ticket, asyncio.Event] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def enter(self, ticket: Ticket, seconds: float, is_gone: Callable[[], bool]) -> bool:
        """Whether a ticket was admitted within so many seconds, while its client was there. Otherwise it has left."""
        end = time.monotonic() + seconds
        event = self._woken[ticket] = asyncio.Event()
        self._line.enter(ticket)
        self._set_timer()
        try:
            while not ticket.is_admitted:
                left = end - time.monotonic()
                if left <= 0 or is_gone():
                    break
                try:
                    await asyncio.wait_for(event.wait(), min(left, LOOK))
                except TimeoutError:
                    continue
        finally:
            del self._woken[ticket]
            if not ticket.is_admitted:
                self.leave(ticket)
        return ticket.is_admitted

    def leave(self, ticket: Ticket) -> None:
        """Give a place back."""
        self._wake(self._line.leave(ticket))

    def _wake(self, admitted: list[Ticket]) -> None:
        for ticket in admitted:
            if event := self._woken.get(ticket):
                event.set()
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        seconds = self._line.next_at
        if seconds < float("inf"):
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(seconds, 0.001), lambda: self._wake(self._line.admit()))


_KEEPERS: Final[WeakKeyDictionary[Line, _Keeper]] = WeakKeyDictionary()


def keeper(line: Line) -> _Keeper:
    """The one who wakes those in a line."""
    found = _KEEPERS.get(line)
    if found is None:
        found = _KEEPERS[line] = _Keeper(line)
    return found
