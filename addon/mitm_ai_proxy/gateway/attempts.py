"""The tries of one flow, on the gateway's side: what became of each, what follows, and what is noted of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from mitmproxy import http

from .. import pipeline
from ..chat.dialects import DIALECTS
from ..chat.stream_errors import form_of
from ..edges import lines
from ..edges.lines import LOOK
from ..errors import Refusal, no_place_in_line, stopped, timed_out
from ..exchange import Answer, Head, Upstream
from ..providers.base import Provider
from ..routing.first_event import FirstEvent
from ..routing.health import Place
from ..routing.limits import Line, Ticket
from ..routing.providers import Providers
from ..routing.tries import Failure, Pick, Tries, reason_against, seconds_of
from ..wire import header_fields
from ..wire.printable import printable
from . import second_tries, streams, waits
from .second_tries import Loop, Problem

logger = logging.getLogger(__name__)

RETRY_TIMEOUT: Final = "retryTimeout"
TIMEOUT: Final = "timeout"
_STOPPED: Final = {"content-type": "application/json", **stopped().headers}
_LONGEST: Final = 120
"""Characters of a reason in a note."""


class Attempts:
    """What the gateway keeps of the tries of a flow, and the judge of its stream.

    `head`: what each provider rewrites. `raw`: the client's own body, once it has been read. `loop`: None if there can
    be no further try. `begun`: when the current try began. `prepared`: the request of the next one.
    """

    wait = 0.0
    is_refused = False

    def __init__(self, flow: http.HTTPFlow, providers: Providers, tries: Tries, head: Head) -> None:
        self._flow, self._providers, self._tries = flow, providers, tries
        self.head = head
        self.raw: bytes | None = None
        self.loop: Loop | None = None
        self.begun = self._started = time.monotonic()
        self._budget = self.provider.keys.timeout / 1000
        self.late: Refusal | None = None
        self.upstream: Upstream | None = None
        self.prepared: Upstream | Answer | None = None
        self.restart: Callable[[], bytes] = bytes
        self._first: FirstEvent | None = None
        self._pick: Pick | None = None
        self._is_told = False
        self._ticket: Ticket | None = None
        self.lines: list[str] = []
        """What is to be noted."""

    @property
    def place(self) -> Place:
        """Where the current try goes."""
        return self._tries.place

    @property
    def provider(self) -> Provider:
        """The provider of the current try."""
        return self._providers.by_id[self.place.provider]

    @property
    def can_follow(self) -> bool:
        """Whether there can be another try at all."""
        return self._tries.total > 1

    @property
    def is_held_back(self) -> bool:
        """Whether nothing of an answer is at the client."""
        return self.loop is not None and not self.loop.has_begun

    def arrange(self) -> None:
        """Have this flow's stream ask for further tries."""
        self.loop = second_tries.arrange(self._flow, self)
        self._limit()

    def send(self, upstream: Upstream) -> None:
        """Take the request of the current try, which is sent now."""
        self.upstream, keys = upstream, self.provider.keys
        if self.loop:
            self.loop.connect_timeout = keys.connect_timeout / 1000
            is_stream = keys.first_byte_timeout and self.provider.asks_for_stream(self.head, self._client_body())
            self.loop.first_byte_timeout = keys.first_byte_timeout / 1000 if is_stream else 0.0

    def _client_body(self) -> bytes:
        try:
            return pipeline.client_body(self.head, self.raw or b"")
        except Refusal:
            return b""

    def _limit(self) -> None:
        if self.loop and self._budget:
            self.loop.limit(TIMEOUT, max(self._left, 0.001), self._budget)

    @property
    def _left(self) -> float:
        """Seconds that are left of the budget."""
        return self._started + self._budget - time.monotonic() if self._budget else float("inf")

    # What became of a try

    def hear(self, status: int, fields: header_fields.Fields) -> None:
        """Take the head of an answer: it may be a failure, whatever its body is."""
        self._first = None
        if status >= 300:
            retry_after = seconds_of(header_fields.value(fields, b"retry-after"), time.time())
            self._fail(Failure(str(status), status, retry_after=retry_after))
        elif (form := form_of(header_fields.value(fields, b"content-type"))) and self._can_go_on():
            self._first = FirstEvent(form, header_fields.value(fields, b"content-encoding"))

    def complete(self, status: int) -> None:
        """Take the end of an answer; one that is no failure goes to the client."""
        self._leave_line()
        if not self._is_told:
            self._is_told = True
            self._providers.health.succeed(self.place)
            if len(self._tries.made) > 1:
                self.lines.append(self._line(str(status)))

    def break_off(self, problem: Problem | None) -> None:
        """Take the end of a try without an answer, or with half of one; without a problem, the client has ended it."""
        self._leave_line()
        if problem is None:
            self._pick = None
            self._providers.health.give_up(self.place)
        elif self._pick is None:
            if problem.timeout:
                self.late = self._refusal(problem)
            self._fail(_failure(problem))

    def _refusal(self, problem: Problem) -> Refusal:
        """What a client is told of a try that took too long."""
        upstream, seconds = str(self.provider.origin), problem.seconds
        name, milliseconds = problem.timeout, round(seconds * 1000)
        line = self._line_of_place
        if name == second_tries.QUEUE and waits.here().is_over:
            return stopped()
        if name == second_tries.QUEUE and line and self._left > 0:
            wait = line.wait(self.place, 0)
            after = 1.0 if wait == float("inf") else wait
            return no_place_in_line(self.place.provider or self.provider.type, self.provider.keys.queue_timeout, after)
        if name == second_tries.QUEUE:
            name, milliseconds = TIMEOUT, self.provider.keys.timeout
        return timed_out(upstream, name, milliseconds, is_sent=problem.is_sent)

    def _fail(self, failure: Failure) -> None:
        """Note a failure, and decide what follows."""
        self._is_told = True
        health, policy = self._providers.health, self.provider.keys.failover
        if failure.is_ours:
            health.give_up(self.place)
        elif failure.status is None or policy.failover_on_status.have(failure.status):
            health.fail(self.place, failure.what, is_providers=failure.is_providers)
        else:
            health.give_up(self.place)
        health.rest_for(self.place, failure.retry_after, f"{failure.what}, Retry-After {failure.retry_after:.0f} s")
        if self.can_follow:
            self.lines.append(self._line(failure.what))
        self._pick = self._following(failure)
        self.is_refused = self._pick is not None

    def _following(self, failure: Failure) -> Pick | None:
        if not self.can_follow:
            return None
        reason = self._reason_against(failure)
        if reason:
            self.lines.append(f"no further try: {reason}")
            return None
        while pick := self._tries.next(failure):
            if pick.wait >= self._left:
                self._providers.health.give_up(self.place)
                self.lines.append("no further try: there is no time left (timeout)")
                return None
            try:
                self.prepared = pipeline.rewritten(self.provider, self.head, self.raw or b"")
            except Refusal as refusal:
                name = self.place.provider or self.provider.type
                self.lines.append(f"not tried with {name}: {printable(refusal.message)}")
                self._providers.health.give_up(self.place)
            else:
                return pick
        self.lines.append("no further try: there is no other token or provider that can serve it")
        return None

    def _reason_against(self, failure: Failure) -> str:
        if self._flow.request.stream:
            return "the body of the request is longer than what is held"
        if self.loop is None or self.loop.has_begun or not self._flow.live:
            return "the layers of mitmproxy do not allow it" if self.loop is None else "the answer has begun"
        if self._left <= 0:
            return "there is no time left (timeout)"
        upstream = self.upstream
        return reason_against(failure, self._tries, upstream is not None and pipeline.is_repeatable(upstream))

    def _can_go_on(self) -> bool:
        """Whether an error in a stream could be followed by another try."""
        return self.can_follow and not self._reason_against(Failure(""))

    def _line(self, what: str) -> str:
        """The line of a try in the notes."""
        place, count = self.place, len(self.provider.tokens)
        name = place.provider or self.provider.type
        token = f" (token {place.token + 1} of {count})" if place.token is not None and count > 1 else ""
        milliseconds = round((time.monotonic() - self.begun) * 1000)
        number = len(self._tries.made)
        return f"try {number} of {self._tries.total}: {what} from {name}{token} in {milliseconds} ms"

    async def wait_for_it(self) -> None:
        """Wait until the next try is due, or for a place in line; or until the client is gone, or the proxy stops."""
        waits.here().count += 1
        try:
            await self._wait()
        finally:
            waits.here().count -= 1

    async def _wait(self) -> None:
        if self._pick is not None:
            end = time.monotonic() + self.wait
            while (left := end - time.monotonic()) > 0 and not self._is_gone():
                await asyncio.sleep(min(left, LOOK))
            if left > 0 and waits.here().is_over:
                self.prepared = Answer(503, DIALECTS[self.head.caller.dialect].refusal(stopped()), dict(_STOPPED))
        elif line := self._line_of_place:
            self._ticket = Ticket(self.place, self._tokens())
            seconds = min(self.provider.keys.queue_timeout / 1000, self._left)
            if not await lines.keeper(line).enter(self._ticket, seconds, self._is_gone):
                self._ticket = None

    def _is_gone(self) -> bool:
        return (self.loop is not None and self.loop.is_gone) or waits.here().is_over

    def _tokens(self) -> int:
        keys = self.provider.keys
        is_counted = keys.rate.tokens_per_minute or keys.token_limits.rate.tokens_per_minute
        return pipeline.most_tokens(self._client_body()) if is_counted else 0

    @property
    def _line_of_place(self) -> Line | None:
        return self._providers.lines.of(self.place.provider)

    def _leave_line(self) -> None:
        if self._ticket and (line := self._line_of_place):
            lines.keeper(line).leave(self._ticket)
            self._ticket = None

    # Methods of Judge

    def needs_place(self) -> bool:
        """Whether the provider has limits, and the request really goes there."""
        data, upstream = self._flow.request.data, self.upstream
        is_there = upstream and (data.host, data.port) == (upstream.origin.host, upstream.origin.port)
        return bool(is_there) and self._ticket is None and self._line_of_place is not None

    def has_place(self) -> bool:
        """See Judge."""
        return self._ticket is not None

    def goes_again(self) -> bool:
        """Whether a next try is prepared."""
        if self._pick is None:
            return False
        self.wait = self._pick.wait
        return True

    def prepare(self) -> bytes:
        """Begin the next try."""
        self._pick, self._first = None, None
        self.is_refused = self._is_told = False
        self.late = None
        self.begun = time.monotonic()
        body = self.restart()
        if self.loop:
            self.loop.limit(RETRY_TIMEOUT, self._tries.longest - self.wait, self._tries.longest)
            self._limit()
        return body

    def wants_first(self) -> bool:
        """Whether the answer is a stream that could begin with an error."""
        return self._first is not None

    def is_failure(self, piece: bytes, *, is_end: bool) -> bool | None:
        """See Judge."""
        assert self._first
        self._first.feed(piece, is_end=is_end)
        if not self._first.is_known:
            return None
        failure, self._first = self._first.failure, None
        if failure is None:
            return False
        self._fail(failure)
        return self._pick is not None

    def end_refused(self, body: bytes) -> None:
        """See Judge."""
        assert self._flow.response
        streams.refuse_stream(self._flow.response, body)


def _failure(problem: Problem) -> Failure:
    if problem.timeout == second_tries.QUEUE:
        return Failure("no place in line (queueTimeout)", is_sent=False, is_ours=True)
    if problem.timeout:
        what = "no answer" if problem.is_sent else "no connection"
        return Failure(
            f"{what} in {problem.seconds * 1000:.0f} ms ({problem.timeout})", is_sent=problem.is_sent, is_providers=True
        )
    text = printable(problem.text)[:_LONGEST]
    what = f"a broken answer ({text})" if problem.is_sent else f"no connection ({text})"
    return Failure(what, is_sent=problem.is_sent, is_providers=True)
