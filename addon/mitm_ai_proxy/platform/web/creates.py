"""Takes creates in: those that arrive while others are being written are written together, in the next transaction.

Each is answered only when it has been committed. One thread does it; a change of threads for each create costs more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from fastapi import Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from ..database import StoreError
from ..intake import Caller
from ..keys import SeenKeys
from ..orders import LONGEST_BODY
from ..records import Accepted, Ask, Job
from . import access
from .services import Services, body_of, call_of, error_answer

logger = logging.getLogger(__name__)

_SHORT: Final = 64 << 10
"""Bodies up to this length are read by the thread that writes."""
_LONG: Final = 1 << 20
"""Of a longer body, the caller is asked for first: nobody else's is read."""
_MOST: Final = 64
"""Creates that are written together."""


class Order(NamedTuple):
    """What is asked for, and how a create is answered that was accepted, given the job's place in the queue."""

    ask: Ask
    answer: Callable[[Accepted, int | None], Response]
    has_place: bool = False


Read: TypeAlias = Callable[[Caller, bytes], Order | Response]
"""Reads the body of a create; an answer where nothing is to be accepted. May raise what the API raises."""


@dataclass(slots=True)
class _Waiting:
    """A create that waits for its turn, and, when it was prepared, what is asked for or what is answered."""

    prepare: Callable[[SeenKeys], Order | Response]
    done: asyncio.Future[Response]
    order: Order | None = None
    response: Response | None = None


class Creates:
    """The creates of a process. All but its own thread is done in the thread of the server's event loop."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._waiting: list[_Waiting] = []
        self._is_busy = False
        self._thread = ThreadPoolExecutor(1, "platform-creates")

    def close(self) -> None:
        """End the thread, when what it has in hand is written."""
        self._thread.shutdown(wait=False)

    async def answer(self, request: Request, read: Read, *, is_quick: bool = True) -> Response:
        """The answer to a create. `read` must not wait for anything if it `is_quick`."""
        declared = request.headers.get("content-length", "")
        is_long = not declared.isdigit() or int(declared) > _LONG
        caller = await run_in_threadpool(self._services.caller, request) if is_long else None
        body = await body_of(request, LONGEST_BODY)
        if is_quick and len(body) <= _SHORT:

            def prepare(keys: SeenKeys) -> Order | Response:
                return read(caller or access.caller(call_of(request), keys), body)

            return await self._turn(prepare)
        found = await run_in_threadpool(lambda: read(caller or self._services.caller(request), body))
        return found if isinstance(found, Response) else await self._turn(lambda _: found)

    async def _turn(self, prepare: Callable[[SeenKeys], Order | Response]) -> Response:
        loop = asyncio.get_running_loop()
        waiting = _Waiting(prepare, loop.create_future())
        self._waiting.append(waiting)
        if not self._is_busy:
            self._begin(loop)
        # Accepted or not, it goes on when its client has left.
        return await asyncio.shield(waiting.done)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the thread take those that wait."""
        group, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
        self._is_busy = bool(group)
        if group:
            # One group at a time: while it is written, the next one gathers.
            work = loop.run_in_executor(self._thread, self._take, group)
            work.add_done_callback(lambda done: self._end(loop, group, done))

    def _end(self, loop: asyncio.AbstractEventLoop, group: list[_Waiting], work: asyncio.Future[None]) -> None:
        for waiting in group:
            # A waiter that was cancelled has nobody to answer.
            if not waiting.done.done():
                waiting.done.set_result(waiting.response or _unanswered(work.exception()))
        self._begin(loop)

    def _take(self, group: list[_Waiting]) -> None:
        """Prepare, accept and answer a group; in the thread."""
        self._prepare(group)
        ordered = [(waiting, waiting.order) for waiting in group if waiting.order]
        if not ordered:
            return
        results = self._services.intake.accept_all([order.ask for _, order in ordered])
        placed = [
            result.job
            for (_, order), result in zip(ordered, results, strict=True)
            if order.has_place and isinstance(result, Accepted)
        ]
        places = self._places(placed)
        for (waiting, order), result in zip(ordered, results, strict=True):
            if isinstance(result, Accepted):
                waiting.response = order.answer(result, places.get(result.job.id))
            else:
                waiting.response = error_answer(result)

    def _prepare(self, group: list[_Waiting]) -> None:
        """Find what each asks for, or its error."""
        try:
            with self._services.store.keys.seen() as keys:
                for waiting in group:
                    try:
                        found = waiting.prepare(keys)
                    except StoreError:
                        raise
                    except Exception as error:
                        found = error_answer(error)
                    if isinstance(found, Order):
                        waiting.order = found
                    else:
                        waiting.response = found
        except StoreError as error:
            for waiting in group:
                if not (waiting.order or waiting.response):
                    waiting.response = error_answer(error)

    def _places(self, jobs: Sequence[Job]) -> dict[str, int | None]:
        """The places of jobs in the queue; none where the database does not say: they are accepted all the same."""
        try:
            return self._services.store.overview.positions(jobs)
        except StoreError as error:
            logger.warning("platform: %s", error)
            return {}


def _unanswered(error: BaseException | None) -> Response:
    """The answer to a create where the work on its group has failed."""
    return error_answer(error if isinstance(error, Exception) else RuntimeError("a create was not answered"))
