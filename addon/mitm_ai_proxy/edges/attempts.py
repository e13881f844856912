"""The tries of one request, for every edge: what became of each, what follows, and what its client is told of it.

An edge tells what happens to its request and does what is said here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from .. import pipeline
from ..chat.dialects import DIALECTS
from ..errors import Refusal, no_place_in_line, stopped, timed_out
from ..exchange import Answer, Head, Upstream
from ..providers.base import Provider
from ..routing import first_event, purchases
from ..routing.first_event import FirstEvent
from ..routing.health import Place
from ..routing.limits import Line, Ticket
from ..routing.providers import Providers
from ..routing.rules import Choice
from ..routing.tries import Failure, Pick, Tries, reason_against, seconds_of
from ..wire import header_fields
from ..wire.header_fields import Fields
from ..wire.printable import printable
from . import lines, problems
from .problems import QUEUE, RETRY, TIMEOUT, Problem

MOST_OF_REFUSED: Final = 64 * 1024
"""Bytes of a refused answer that are read, so that its connection can be used again; of a longer one it is closed."""
TIME_OF_REFUSED: Final = 2.0
"""Seconds for that."""

# What an edge may say against another try.
BODY_NOT_HELD: Final = "the body of the request is longer than what is held"
ANSWER_BEGUN: Final = "the answer has begun"

_LEAST: Final = 0.001


class Limit(NamedTuple):
    """A time-out of a try: the key that says so, in how many seconds from now, and how many the key says."""

    key: str
    seconds: float
    whole: float


def drawn(providers: Providers, choice: Choice, head: Head, raw: bytes | None) -> Tries:
    """The tries of a request whose providers are chosen, the first of which is drawn. Raises Refusal.

    `head` is the client's; `raw` its body as it was sent, where it is known.
    """
    body = None if raw is None else pipeline.client_body(head, raw)
    tries = providers.tries(choice.names, choice.head, body)
    tries.first()
    return tries


def need_body(providers: Providers, choice: Choice) -> bool:
    """Whether the body of a request has to be known before its first try."""
    return providers.is_watched(choice.names) and choice.provider.needs_body_for_scope(choice.head)


class Attempts:
    """The tries of one request; an edge may derive a class of its own.

    `head`: what each provider rewrites. `raw`: the client's own body, once it has been read. `upstream`: the request of
    the current try, and `begun` when that began. `is_refused`: another try follows the answer whose head has come.
    `wait`: seconds before that. `prepared`: its request, or an answer in its place. `late`: what the client is told if
    none follows a try that took too long. `lines`: what is to be noted.
    """

    def __init__(self, providers: Providers, tries: Tries, head: Head) -> None:
        """`tries`: the first one is drawn."""
        self._providers, self._tries = providers, tries
        self._clock = providers.health.clock
        self.head = head
        self.raw: bytes | None = None
        self.begun = self._started = self._clock()
        self._budget = self.provider.keys.timeout / 1000
        self.upstream: Upstream | None = None
        self.prepared: Upstream | Answer | None = None
        self.late: Refusal | None = None
        self._first: FirstEvent | None = None
        self._unread: Fields | None = None
        self.is_refused = False
        self._pick: Pick | None = None
        self._waited = 0.0
        self._is_heard = self._is_told = self._is_judged = False
        self._ticket: Ticket | None = None
        self._sent: dict[str, Upstream] = {}
        self.lines: list[str] = []

    @property
    def place(self) -> Place:
        """Where the current try goes."""
        return self._tries.place

    @property
    def provider(self) -> Provider:
        """The provider of the current try."""
        return self._providers.by_id[self.place.provider]

    @property
    def number(self) -> int:
        """The number of the current try, from 1."""
        return len(self._tries.made)

    @property
    def can_follow(self) -> bool:
        """Whether there can be another try at all."""
        return self._tries.total > 1

    @property
    def follows(self) -> bool:
        """Whether another try is prepared."""
        return self._pick is not None

    @property
    def wait(self) -> float:
        """Seconds before the try that is prepared."""
        return self._pick.wait if self._pick else 0.0

    def obstacle(self) -> str:
        """What makes another try impossible for the edge, in words; "" for nothing."""
        return ""

    # The current try

    def send(self, upstream: Upstream) -> None:
        """Take the request of the current try, which is sent now."""
        self.upstream = self._sent[self.place.provider] = upstream
        if upstream.token is not None:
            self._tries.keep_to(upstream.token)

    def begin_next(self) -> None:
        """Go on to the try that is prepared, which begins now, after its wait."""
        self._waited = self.wait
        self._pick, self.late = None, None
        self.is_refused = self._is_heard = self._is_told = self._is_judged = False
        self.begun = self._clock()

    def put_off(self, seconds: float) -> None:
        """Count so many seconds less than have passed."""
        self.begun += seconds
        self._started += seconds

    def limits(self) -> Iterator[Limit]:
        """The time-outs of the current try, which begins now, until something of the answer is at the client."""
        if longest := self._tries.longest:
            yield Limit(RETRY, max(longest - self._waited, _LEAST), longest)
        if self._budget:
            yield Limit(TIMEOUT, max(self._left, _LEAST), self._budget)

    @property
    def connect_timeout(self) -> float:
        """Seconds for a connection to the provider; 0 for no limit."""
        return self.provider.keys.connect_timeout / 1000

    @property
    def first_byte_timeout(self) -> float:
        """Seconds from the sent request to the head of the answer, or its first event; 0 for no limit."""
        keys = self.provider.keys
        is_limited = keys.first_byte_timeout and self.provider.asks_for_stream(self.head, self._client_body())
        return keys.first_byte_timeout / 1000 if is_limited else 0.0

    def _client_body(self) -> bytes:
        try:
            return pipeline.client_body(self.head, self.raw or b"")
        except Refusal:
            return b""

    @property
    def _left(self) -> float:
        """Seconds that are left of the budget."""
        return self._started + self._budget - self._clock() if self._budget else float("inf")

    # Its place in line

    @property
    def needs_place(self) -> bool:
        """Whether it has to take a place in line before it is sent."""
        return self._ticket is None and self._line is not None

    @property
    def has_place(self) -> bool:
        """Whether it has got one."""
        return self._ticket is not None

    def take_free_place(self) -> bool:
        """Whether it gets a place in line at once."""
        line = self._line
        assert line
        ticket = Ticket(self.place, self._tokens())
        if line.enter_alone(ticket):
            self._ticket = ticket
        return self.has_place

    async def take_place(self, is_gone: Callable[[], bool]) -> None:
        """Wait for a place in line, as long as there may be one and the client is there."""
        if line := self._line:
            self._ticket = Ticket(self.place, self._tokens())
            seconds = min(self.provider.keys.queue_timeout / 1000, self._left)
            if not await lines.keeper(line).enter(self._ticket, seconds, is_gone):
                self._ticket = None

    def leave_line(self) -> None:
        """Give the place back."""
        if self._ticket and (line := self._line):
            lines.keeper(line).leave(self._ticket)
            self._ticket = None

    @property
    def _line(self) -> Line | None:
        return self._providers.lines.of(self.place.provider)

    def _tokens(self) -> int:
        keys = self.provider.keys
        is_counted = keys.rate.tokens_per_minute or keys.token_limits.rate.tokens_per_minute
        return pipeline.most_tokens(self._client_body()) if is_counted else 0

    # What became of it

    @property
    def _method(self) -> str:
        return self.upstream.method if self.upstream else self.head.method

    def hear(self, status: int, fields: Fields) -> None:
        """Take the head of an answer: it may be a failure, whatever its body is."""
        self._first, self._unread, self._is_heard, self._is_judged = None, None, True, False
        if status >= 300:
            retry_after = seconds_of(header_fields.value(fields, b"retry-after"), time.time())
            self._fail(Failure(str(status), status, retry_after=retry_after))
        else:
            self._unread = fields

    @property
    def first(self) -> FirstEvent | None:
        """Looks at the beginning of a streamed answer, whose head is not sent to the client before that is known."""
        if self._unread is not None:
            # Only when it is asked for: an answer that is held is looked at as a whole.
            fields, self._unread = self._unread, None
            if self._can_go_on():
                self._first = first_event.begun(self._method, fields)
        return self._first

    def is_failure(self, piece: bytes, *, is_end: bool) -> bool | None:
        """Whether a held stream begins with an error that is followed by another try; None if more is needed."""
        first = self.first
        assert first
        first.feed(piece, is_end=is_end)
        if not first.is_known:
            return None
        failure, self._is_judged = first.failure, True
        if failure is None:
            return False
        self._fail(failure)
        return self.follows

    def complete(self, status: int, fields: Fields = (), body: bytes = b"") -> None:
        """Take the end of an answer; one that is no failure goes to the client.

        `fields` and `body`: those that came, or those of a stream that has gone to the client already, as far as its
        beginning is kept.
        """
        self.leave_line()
        if self._is_told:
            return
        if not self._is_heard:
            # It is one of ours, or of another addon's.
            self._providers.health.give_up(self.place)
        elif failure := self._failure_in(fields, body):
            self._fail(failure)
        else:
            self._is_told = True
            self._providers.health.succeed(self.place)
            if len(self._tries.made) > 1:
                self.lines.append(self._line_of(str(status)))

    def _failure_in(self, fields: Fields, body: bytes) -> Failure | None:
        is_of_interest = self.can_follow or self.provider.keys.failover.enabled
        return None if self._is_judged or not is_of_interest else first_event.failure_in(self._method, fields, body)

    def break_off(self, problem: Problem | None, *, is_over: bool = False) -> None:
        """Take the end of a try without an answer, or with half of one; without a problem, the client has ended it.

        `is_over`: the proxy is being stopped.
        """
        self.leave_line()
        if problem is None:
            self._pick, self.is_refused = None, False
            self._providers.health.give_up(self.place)
        elif self._pick is None:
            if problem.refusal or problem.timeout:
                self.late = problem.refusal or self._refusal(problem, is_over)
            self._fail(problems.failure_of(problem))

    def stop_waiting(self) -> None:
        """Have the client told, in place of the try that it waits for, that the proxy is being stopped."""
        refusal = stopped()
        headers = {"content-type": "application/json", **refusal.headers}
        body = DIALECTS[self.head.caller.dialect].refusal(refusal)
        self.prepared = Answer(refusal.status, body, headers)

    def _refusal(self, problem: Problem, is_over: bool) -> Refusal:
        """What a client is told of a try that took too long."""
        name, milliseconds, keys = problem.timeout, round(problem.seconds * 1000), self.provider.keys
        if name == QUEUE:
            if is_over:
                return stopped()
            if (line := self._line) and self._left > 0:
                wait = line.wait(self.place, 0)
                after = 1.0 if wait == float("inf") else wait
                return no_place_in_line(self.place.provider or self.provider.type, keys.queue_timeout, after)
            name, milliseconds = TIMEOUT, keys.timeout
        return timed_out(str(self.provider.origin), name, milliseconds, is_sent=problem.is_sent)

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
            self.lines.append(self._line_of(failure.what))
        self._pick = self._following(failure)
        self.is_refused = self.follows

    def _following(self, failure: Failure) -> Pick | None:
        """The next try, with its request prepared; None if there is none, which is noted."""
        if not self.can_follow:
            return None
        if reason := self._reason_against(failure):
            self.lines.append(f"no further try: {reason}")
            return None
        while pick := self._tries.next(failure):
            if pick.wait >= self._left:
                self._providers.health.give_up(self.place)
                self.lines.append("no further try: there is no time left (timeout)")
                return None
            try:
                # To another token goes the same request: what it buys has the same name there.
                before = self._sent.get(self.place.provider)
                self.prepared = before or pipeline.rewritten(self.provider, self.head, self.raw or b"")
            except Refusal as refusal:
                name = self.place.provider or self.provider.type
                self.lines.append(f"not tried with {name}: {printable(refusal.message)}")
                self._providers.health.give_up(self.place)
            else:
                return pick
        self.lines.append("no further try: there is no other token or provider that can serve it")
        return None

    def _reason_against(self, failure: Failure) -> str:
        if obstacle := self.obstacle():
            return obstacle
        if self._left <= 0:
            return "there is no time left (timeout)"
        return reason_against(failure, self._tries, self._done)

    def _done(self) -> str:
        return pipeline.done_by(self.upstream, self.head, self.raw or b"") if self.upstream else purchases.SOMETHING

    def _can_go_on(self) -> bool:
        """Whether an error in a stream could be followed by another try."""
        return self.can_follow and not self._reason_against(Failure(""))

    def _line_of(self, what: str) -> str:
        """The line of a try in the notes."""
        place, count = self.place, len(self.provider.tokens)
        name = place.provider or self.provider.type
        token = f" (token {place.token + 1} of {count})" if place.token is not None and count > 1 else ""
        milliseconds = round((self._clock() - self.begun) * 1000)
        number = len(self._tries.made)
        return f"try {number} of {self._tries.total}: {what} from {name}{token} in {milliseconds} ms"
