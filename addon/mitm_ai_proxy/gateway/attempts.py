"""The tries of one flow: those of attempts.py, as the judge of its stream in mitmproxy's layers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from mitmproxy import http

from ..edges import attempts, problems
from ..edges.lines import LOOK
from ..edges.problems import Problem
from ..errors import Refusal
from ..exchange import Head, Upstream
from ..routing.providers import Providers
from ..routing.tries import Tries
from . import second_tries, streams, waits
from .second_tries import Loop


class FlowAttempts(attempts.Attempts):
    """The tries of a flow.

    `loop`: None if its layers do not allow a further try. `restart` makes the flow ready for the next try, and gives
    the body of the client's request.
    """

    def __init__(self, flow: http.HTTPFlow, providers: Providers, tries: Tries, head: Head) -> None:
        super().__init__(providers, tries, head)
        self._flow = flow
        self.loop: Loop | None = None
        self.restart: Callable[[], bytes] = bytes

    @property
    def is_held_back(self) -> bool:
        """Whether nothing of an answer is at the client."""
        return self.loop is not None and not self.loop.has_begun

    def arrange(self) -> None:
        """Have this flow's stream ask for further tries."""
        self.loop = second_tries.arrange(self._flow, self)
        self._limit()

    def _limit(self) -> None:
        if self.loop:
            for limit in self.limits():
                self.loop.limit(*limit)

    def pause(self) -> None:
        """Stop the time-outs, while a person looks at the request."""
        if self.loop:
            self.loop.stop()

    def go_on(self, seconds: float) -> None:
        """Go on after so many seconds, which do not count."""
        self.put_off(seconds)
        self._limit()

    def send(self, upstream: Upstream) -> None:
        """Take the request of the current try, and its time-outs."""
        super().send(upstream)
        if self.loop:
            self.loop.connect_timeout = self.connect_timeout
            self.loop.first_byte_timeout = self.first_byte_timeout

    def end_without_answer(self) -> None:
        """Take the end of a try without an answer."""
        problem = self.loop.problem if self.loop else None
        is_over = problem is not None and problem.timeout == problems.QUEUE and waits.here().is_over
        self.break_off(problem, is_over=is_over)

    @property
    def is_late(self) -> bool:
        """Whether a time-out is over while the flow is in its request hook."""
        return self.loop is not None and self.loop.is_late

    def lose(self) -> bool:
        """Have the try end in its request hook as one whose connection was closed, or is late; False: impossible."""
        if self.loop is None or not (self.can_follow or self.is_late):
            return False
        self.loop.lose()
        return True

    def pass_over(self, why: str, refusal: Refusal) -> bool:
        """Have the try end in its request hook, for the next one, with nothing sent; False if there is none.

        `why`: in words. `refusal`: for the client, if the next one cannot be made.
        """
        if self.loop is None or self.obstacle() or not self._tries.has_next():
            return False
        self.loop.lose(Problem(why, "", is_sent=False, refusal=refusal))
        return True

    def obstacle(self) -> str:
        """See Attempts."""
        if self._flow.request.stream:
            return attempts.BODY_NOT_HELD
        if self.loop is None:
            return "the layers of mitmproxy do not allow it"
        return attempts.ANSWER_BEGUN if self.loop.has_begun or not self._flow.live else ""

    async def wait_for_it(self) -> None:
        """Wait until the next try is due, or for a place in line; or until the client is gone, or the proxy stops."""
        waits.here().count += 1
        try:
            if not self.follows:
                await self.take_place(self._is_gone)
            elif not await self._wait() and waits.here().is_over:
                self.stop_waiting()
        finally:
            waits.here().count -= 1

    async def _wait(self) -> bool:
        """Whether the wait is over, and the client is still there."""
        end = time.monotonic() + self.wait
        while (left := end - time.monotonic()) > 0:
            if self._is_gone():
                return False
            await asyncio.sleep(min(left, LOOK))
        return True

    def _is_gone(self) -> bool:
        return (self.loop is not None and self.loop.is_gone) or waits.here().is_over

    # Methods of Judge

    def has_to_queue(self) -> bool:
        """Whether the provider has limits, the request really goes there, and there is no room for it now."""
        data, upstream = self._flow.request.data, self.upstream
        is_there = upstream and (data.host, data.port) == (upstream.origin.host, upstream.origin.port)
        return bool(is_there) and self.needs_place and not self.take_free_place()

    def prepare(self) -> bytes:
        """Begin the next try."""
        self.begin_next()
        body = self.restart()
        self._limit()
        return body

    def end_refused(self, body: bytes) -> None:
        """See Judge."""
        assert self._flow.response
        streams.refuse_stream(self._flow.response, body)
