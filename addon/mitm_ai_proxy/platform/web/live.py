"""The history of jobs as it is written, for those who listen: server-sent events.

Source: the HTML standard, server-sent events. The database is asked once in a while, however many listen.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from starlette.concurrency import run_in_threadpool

logger = logging.getLogger(__name__)

EVERY: Final = 1.0
"""Seconds between two questions to the database."""
PING: Final = 15.0
MOST_MISSED: Final = 5000
"""Events that a listener who comes back gets at most; an older one has to look at its jobs anew."""
_MOST_HELD: Final = 5000
"""Events that wait for a listener that reads slowly; then it is cut off, and comes back for the rest."""
_RETRY: Final = b"retry: 2000\n\n"
_PING: Final = b": ping\n\n"


class Message(NamedTuple):
    """An event for the listeners of a tenant, as it is sent."""

    number: int
    job: str
    tenant: str
    text: bytes


def message(number: int, job: str, tenant: str, data: Any) -> Message:
    """An event with its data as JSON."""
    text = f"id: {number}\nevent: job\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
    return Message(number, job, tenant, text.encode())


def alarm(data: Any) -> bytes:
    """An event about an account, as it is sent. It has no number: who comes back is told again what is paused."""
    return f"event: account\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


Alarms = Mapping[tuple[str, str], bytes]
"""What is paused: an event by account and model."""


class Listener:
    """Somebody who listens to the jobs of a tenant, or to one of them, from behind an event."""

    def __init__(self, tenant: str, job: str | None) -> None:
        self._tenant, self._job = tenant, job
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._last = 0
        self.heard = 0
        """The number up to which it has got what was for it."""

    def hear_news(self, start: int, news: Sequence[Message]) -> None:
        """Take the events behind a number; not where some before them are still to come: then these come again."""
        if self.heard < start:
            return
        for entry in news:
            self.hear(entry)
        self.heard = max(self.heard, news[-1].number)

    def hear(self, message: Message) -> None:
        """Take an event, if it is one for this listener and was not heard before."""
        if message.number <= self._last or message.tenant != self._tenant or self._job not in (None, message.job):
            return
        self._last = message.number
        self._put(message.text)

    def _put(self, text: bytes) -> None:
        self._queue.put_nowait(text if self._queue.qsize() < _MOST_HELD else None)

    def hear_of_account(self, text: bytes) -> None:
        """Take an event about an account, which is for whoever listens to all jobs."""
        if self._job is None:
            self._put(text)

    def end(self) -> None:
        """Let it end."""
        self._queue.put_nowait(None)

    async def texts(self) -> AsyncIterator[bytes]:
        """What is sent, with a ping where there is nothing else for a while."""
        while True:
            try:
                text = await asyncio.wait_for(self._queue.get(), PING)
            except TimeoutError:
                yield _PING
                continue
            if text is None:
                return
            yield text


class Live:
    """Asks for new events while there are listeners.

    `read` gives the messages behind a number, in their order and not all at once, `last` the number of the last event.
    `paused` gives what is paused, and `resumed` the event of what was. All but the last are run in threads.
    """

    def __init__(
        self,
        read: Callable[[int], Sequence[Message]],
        last: Callable[[], int],
        *,
        paused: Callable[[], Alarms] = dict,
        resumed: Callable[[tuple[str, str]], bytes] = lambda _: b"",
        every: float = EVERY,
    ) -> None:
        self._read, self._last, self._every = read, last, every
        self._paused, self._resumed = paused, resumed
        self._alarms: Alarms = {}
        self._listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None
        self._after = 0

    async def listen(self, tenant: str, job: str | None, after: int | None) -> AsyncIterator[bytes]:
        """The stream of a listener: what comes from now on, or from behind the event that it has heard last."""
        last = await run_in_threadpool(self._last)
        start = last if after is None else max(min(after, last), last - MOST_MISSED)
        listener = Listener(tenant, job)
        yield _RETRY
        alarms = await run_in_threadpool(self._paused)
        for text in alarms.values():
            listener.hear_of_account(text)
        # What was missed comes first; what is written meanwhile is heard in the order of the numbers all the same.
        while missed := await run_in_threadpool(self._read, start):
            for entry in missed:
                listener.hear(entry)
            start = missed[-1].number
        self._join(listener, start, alarms)
        try:
            async for text in listener.texts():
                yield text
        finally:
            self._listeners.discard(listener)

    def close(self) -> None:
        """Let all listeners end: they come back to the next process."""
        for listener in self._listeners:
            listener.end()
        if self._task:
            self._task.cancel()

    def _join(self, listener: Listener, heard: int, alarms: Alarms) -> None:
        """Take a listener in, which has heard what there is up to an event, and what is paused."""
        is_first = self._task is None or self._task.done()
        # What others have heard already may be new to this one; they pass over it.
        self._after = heard if is_first else min(self._after, heard)
        listener.heard = heard
        self._listeners.add(listener)
        if not is_first:
            # What the others were told while this one was on its way.
            for text in self._changes(alarms, self._alarms):
                listener.hear_of_account(text)
        if is_first:
            self._alarms = alarms
            self._task = asyncio.create_task(self._ask())

    async def _ask(self) -> None:
        while self._listeners:
            try:
                while news := await run_in_threadpool(self._read, start := self._after):
                    for listener in self._listeners:
                        listener.hear_news(start, news)
                    # Unless somebody who has heard less has joined meanwhile.
                    if self._after == start:
                        self._after = news[-1].number
                self._tell(await run_in_threadpool(self._paused))
            except Exception as error:
                # The database may be away for a while; those who listen are not sent away for that.
                logger.warning("platform: the history cannot be read: %s", type(error).__name__)
            await asyncio.sleep(self._every)

    def _tell(self, alarms: Alarms) -> None:
        """Tell what has been paused, and what has come back, since it was asked for last."""
        before, self._alarms = self._alarms, alarms
        for text in self._changes(before, alarms):
            for listener in self._listeners:
                listener.hear_of_account(text)

    def _changes(self, before: Alarms, after: Alarms) -> list[bytes]:
        paused = [text for key, text in after.items() if before.get(key) != text]
        return paused + [self._resumed(key) for key in before if key not in after]
