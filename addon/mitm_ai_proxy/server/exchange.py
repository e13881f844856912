"""The way of one request: it is judged, rewritten by the core, sent as often as its tries allow, and answered."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from aiohttp import web

from .. import errors, pipeline
from ..auth.masking import Mask, mask_of
from ..chat.dialects import DIALECTS
from ..edges import attempts as tries
from ..edges import error_bodies, lines, pages, problems, streaming, ways
from ..edges.attempts import MOST_OF_REFUSED, TIME_OF_REFUSED, Attempts
from ..edges.pages import is_loopback
from ..edges.problems import Problem
from ..edges.streaming import Translation
from ..errors import Refusal
from ..exchange import UNKNOWN_CALLER, Answer, Head, NeedsBody, Pass, Pieces, Upstream, Whole, without_surrogates
from ..pipeline import BODY_LIMIT, Outgoing
from ..providers.base import Provider
from ..routing.first_event import MOST_HELD
from ..routing.providers import Providers
from ..routing.rules import Choice, Listing
from ..routing.tries import Tries
from ..wire import header_fields
from ..wire.header_fields import Fields
from ..wire.json_edit import JSONError
from ..wire.media_types import is_streamed
from ..wire.printable import printable
from ..wire.targets import Origin
from . import arrivals, requests
from .answers import Out
from .arrivals import Arrived, Resumed
from .client import Client, ClientGone
from .requests import SMALL_BODY, Body
from .settings import InUse
from .simulated import RESULTS
from .timer import TimedOut, Timer
from .upstream import Broken

logger = logging.getLogger(__name__)

MASKED: Final = "the answer repeated the credential, which is masked"
LEFT: Final = 499
"""The status in the log of a request whose client has left. Source: nginx."""


_UNREAD: Final = Head("GET", "/", UNKNOWN_CALLER)


class Place(NamedTuple):
    """Where the proxy is: the host it was told to listen at, and whether other machines may come."""

    host: str
    is_open: bool


class Service(Protocol):
    """What the exchanges of one server have in common.

    `is_stopping`: nothing waits any more. `is_simulated`: nothing is sent.
    """

    place: Place
    is_stopping: bool

    @property
    def in_use(self) -> InUse:
        """The configuration."""

    is_simulated: bool

    async def send(self, outgoing: Outgoing, body: bytes | AsyncIterator[bytes] | None, exchange: Exchange) -> Arrived:
        """The answer to a request, when its head is here. Raises Broken, or Refusal."""


class Exchange:
    """One request and its answer. What it has been when it has ended is for the log and the metrics."""

    def __init__(self, service: Service, request: web.BaseRequest) -> None:
        self._service, self._request = service, request
        self.begun = time.monotonic()
        self.in_use = service.in_use
        self.head = _UNREAD
        self.body = Body(request)
        self.client = Client(request)
        self.caller = ""
        self.provider: Provider | None = None
        self.provider_name = ""
        self.notes: list[str] = []
        self.attempts: Attempts | None = None
        self._upstream: Upstream | None = None
        self._mask: Mask | None = None
        self._is_sent = False
        self._timer = Timer()

    async def run(self) -> Out:
        """Answer the request. Whatever fails is an answer in the client's dialect, or a connection that is aborted."""
        try:
            return await self._run()
        except Refusal as refusal:
            return await self._refuse(refusal)
        except (asyncio.CancelledError, ClientGone) as error:
            self._leave()
            if isinstance(error, asyncio.CancelledError):
                raise
            return self.client.abort()
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            # Neither the text of the exception nor a traceback: they may quote a body or a secret.
            place = f"{Path(frame.filename).name}:{frame.lineno}"
            logger.error("ai-proxy: %s (%s); %s was stopped.", type(error).__name__, place, self.described)
            self._tell_provider()
            return await self._refuse(errors.internal_error())
        finally:
            self.body.release()
            if self.attempts:
                self.attempts.leave_line()
                self.note(*self.attempts.lines)

    @property
    def described(self) -> str:
        """Method and path, without the query, for a log line."""
        return printable(f"{self._request.method} {self._request.raw_path.partition('?')[0]}")

    def note(self, *texts: str) -> None:
        """Add notes on what was changed and why."""
        way = ways.SIMULATED if self._service.is_simulated else ways.SENT
        clean = [text if text.isascii() else without_surrogates(text) for text in texts if text]
        self.notes += [ways.told(text, ways.SENT, way) for text in clean]

    # The request

    async def _run(self) -> Out:
        # Also for the dialect in which it is refused.
        self.head = head = requests.head(self._request)
        requests.check(self._request)
        rules = self.in_use.rules
        if head.caller.origin and pages.is_allowed(head.caller.origin, rules):
            self.client.page = head.caller.origin.strip()
        if self._service.is_simulated and head.target.startswith(RESULTS):
            # Whoever has the link may have the result, also a page.
            return await self._tried(await self._routed())
        self._refuse_strangers()
        if head.method == "OPTIONS" and pages.is_preflight(head.method, head.fields):
            if not self.client.page:
                raise errors.page_not_allowed()
            self.note(f"answered here: pages of {self.client.page} may use the proxy")
            return await self.client.whole(204, pages.preflight(head.fields, self.client.page), b"")
        if self.in_use.clients:
            admitted = self.in_use.clients.admit(head.fields)
            self.caller = admitted.name
            self.head = head._replace(fields=admitted.fields)
        return await self._tried(await self._routed())

    def _refuse_strangers(self) -> None:
        """Raise Refusal (403) for pages of other sites, wrong names, and other machines where none may come."""
        caller, rules, transport = self.head.caller, self.in_use.rules, self._request.transport
        peer = transport.get_extra_info("peername") if transport else None
        place = self._service.place
        if peer and not place.is_open and not is_loopback(peer[0]):
            raise errors.not_local()
        is_page = bool(caller.origin or caller.fetch_site)
        if not is_page and pages.is_name_of(caller.host, rules.hosts):
            return
        own = transport.get_extra_info("sockname") if transport else None
        host, port = own[:2] if own else ("127.0.0.1", 0)
        host = host.partition("%")[0]
        if is_page and not pages.may_come(caller, rules, rules.public | {(host, port), (place.host.lower(), port)}):
            raise errors.cross_site()
        # Other machines have names for this one that nobody told us.
        if is_loopback(host) and not pages.is_name_of(caller.host, rules.hosts | {place.host.lower()}):
            raise errors.unknown_name()

    async def _routed(self) -> Upstream | Answer:
        """What becomes of the request in its first try. Raises Refusal."""
        providers, head = self.in_use.providers, self.head
        choice: Choice | Listing | None
        if providers.only:
            choice = Choice(providers.only, "", head, tuple(providers.by_id))
        else:
            assert providers.router
            choice = providers.router.choose(head)
            if choice is None:
                choice = pipeline.chosen(providers.router, head, await self.body.held())
            self.note(choice.note)
            if isinstance(choice, Listing):
                return Answer(200, choice.body, {"content-type": "application/json"})
        self._take(choice.provider)
        if providers.is_watched(choice.names):
            if tries.need_body(providers, choice):
                await self.body.held()
            drawn = tries.drawn(providers, choice, head, self.body.raw)
            self.attempts = _Attempts(self, providers, drawn, choice.head)
            self._take(self.attempts.provider)
        assert self.provider
        found = pipeline.requestheaders(self.provider, choice.head)
        if isinstance(found, NeedsBody):
            made = pipeline.request(found, head, await self.body.held())
            if isinstance(made, Answer):
                self.note(*found.notes)
        else:
            made = found
            if self.attempts and self.attempts.can_follow:
                await self.body.held_if_small()
        if self.attempts:
            self.attempts.raw = self.body.raw
        return made

    def _take(self, provider: Provider) -> None:
        by_id = self.in_use.providers.by_id
        self.provider = provider
        self.provider_name = next((name for name, one in by_id.items() if one is provider), "") or provider.type

    # Tries

    async def _tried(self, found: Upstream | Answer) -> Out:
        """Send a request until an answer goes to the client."""
        while True:
            if isinstance(found, Answer):
                return await self._answer_here(found)
            self._upstream = found
            self.note(*found.notes)
            try:
                answer = await self._try(found)
            except Broken as broken:
                self._break_off(broken)
                answer = None
            if answer is not None:
                return answer
            found = await self._next()

    async def _next(self) -> Upstream | Answer:
        """The request of the next try, when it is due. Raises Refusal if the proxy is stopped before."""
        attempts = self.attempts
        assert attempts
        self.note(*attempts.lines)
        attempts.lines = []
        end = time.monotonic() + attempts.wait
        while (left := end - time.monotonic()) > 0:
            if self._service.is_stopping:
                raise errors.stopped()
            await asyncio.sleep(min(left, lines.LOOK))
        attempts.begin_next()
        self._take(attempts.provider)
        assert attempts.prepared is not None
        return attempts.prepared

    async def _try(self, upstream: Upstream) -> Out | None:
        """Send a request once; None if another try follows. Raises Broken."""
        attempts, provider = self.attempts, self.provider
        assert provider
        self._is_sent = False
        token = None
        if attempts:
            attempts.send(upstream)
            token = attempts.place.token
        outgoing = pipeline.outgoing(provider, self.head, upstream, self.head.fields, self.body.raw or b"", token)
        self._mask = mask_of(outgoing.secrets)
        if attempts is None:
            return await self._answered(await self._sent(outgoing))
        async with self._timer.running(attempts.limits()):
            if attempts.needs_place and not self._service.is_simulated:
                await attempts.take_place(lambda: self._service.is_stopping)
                if not attempts.has_place:
                    raise TimedOut(problems.QUEUE, 0.0)
            if attempts.connect_timeout:
                self._timer.add(problems.CONNECT, attempts.connect_timeout)
            return await self._heard(attempts, await self._sent(outgoing))

    async def _sent(self, outgoing: Outgoing) -> Arrived:
        body = outgoing.body if outgoing.body is not None else (self.body.raw or self.body.stream())
        return await self._service.send(outgoing, body, self)

    @property
    def origin(self) -> str:
        """The origin at which the client has come here."""
        transport = self._request.transport
        host, port = (transport.get_extra_info("sockname") if transport else ("127.0.0.1", 80))[:2]
        return str(Origin("https" if self.head.is_tls else "http", host.partition("%")[0], port))

    def connected(self) -> None:
        """There is a connection for the request, which is sent now."""
        self._is_sent = True
        if self.attempts:
            self._timer.remove(problems.CONNECT)
            if seconds := self.attempts.first_byte_timeout:
                self._timer.add(problems.FIRST_BYTE, seconds)

    async def _heard(self, attempts: Attempts, arrived: Arrived) -> Out | None:
        """Judge an answer by its head, and a stream by its first event; None if another try follows. Raises Broken."""
        self._timer.remove(problems.FIRST_BYTE)
        attempts.hear(arrived.status, arrived.fields)
        if attempts.is_refused:
            await self._end_refused(attempts, arrived)
            return None
        try:
            held, is_failure = await self._first_event(attempts, arrived)
        except BaseException:
            arrived.close()
            raise
        if is_failure:
            arrived.close()
            self._log_error(arrived, held)
            attempts.complete(arrived.status)
            self._tell_provider()
            return None
        return await self._answered(Resumed(arrived, held) if held else arrived)

    async def _first_event(self, attempts: Attempts, arrived: Arrived) -> tuple[bytes, bool | None]:
        """What was held of an answer for the sake of its first event, and whether another try follows that."""
        held, is_failure = b"", None
        if attempts.first and attempts.first.is_stream and attempts.first_byte_timeout:
            self._timer.add(problems.FIRST_BYTE, attempts.first_byte_timeout)
        while attempts.first and is_failure is None and len(held) <= MOST_HELD:
            piece = b"" if arrived.is_over else await arrived.piece()
            held += piece
            is_failure = attempts.is_failure(piece, is_end=not piece)
            if not piece:
                break
        return held, is_failure

    async def _end_refused(self, attempts: Attempts, arrived: Arrived) -> None:
        """Read the rest of a refused answer, if that is short, so that its connection can be used again."""
        body = b""
        try:
            async with asyncio.timeout(TIME_OF_REFUSED):
                body = await arrivals.whole(arrived, MOST_OF_REFUSED)
        except (TimeoutError, Broken):
            pass
        finally:
            arrived.close()
        self._log_error(arrived, body)
        attempts.complete(arrived.status)
        self._tell_provider()

    def _break_off(self, broken: Broken) -> None:
        """Take the end of a try without an answer. Raises Refusal unless another try follows."""
        if self.body.problem:
            raise self.body.problem
        assert self._upstream
        refusal = errors.not_sent(502, str(self._upstream.origin), str(broken))
        self._tell_provider()
        if self.attempts is None:
            raise refusal
        problem = Problem(str(broken), "", broken.is_sent)
        if isinstance(broken, TimedOut):
            problem = Problem(str(broken), broken.key, self._is_sent, broken.seconds)
        self.attempts.break_off(problem, is_over=self._service.is_stopping)
        if not self.attempts.follows:
            raise self.attempts.late or refusal

    def _tell_provider(self) -> None:
        """Tell the provider that its request has no answer that counts."""
        if self.provider and self._upstream:
            self.provider.error(self._upstream)
            self._upstream = None

    def _leave(self) -> None:
        """The client is gone."""
        self.note("the client has left")
        self.client.status = LEFT
        self._tell_provider()
        if self.attempts:
            self.attempts.break_off(None)

    # The answer

    async def _answered(self, arrived: Arrived) -> Out:
        """Give the client the answer. Raises Broken if none of it is there yet."""
        try:
            return await self._deliver(arrived)
        finally:
            arrived.close()

    async def _deliver(self, arrived: Arrived) -> Out:
        assert self.provider
        assert self._upstream
        status, fields, mask = arrived.status, arrived.fields, self._mask
        handling = pipeline.responseheaders(self.provider, self._upstream, status, fields)
        if isinstance(handling, Whole) or (isinstance(handling, Pass) and self._is_held(arrived)):
            raw = await arrivals.whole(arrived, BODY_LIMIT)
            return await self._deliver_whole(arrived, raw, handling if isinstance(handling, Whole) else None)
        if isinstance(handling, Pieces):
            pieces = streaming.masked(handling, mask)
        else:
            pieces = streaming.passed(mask if streaming.is_searched(status, fields) else None)
        sent = streaming.answer_fields(fields, pieces, is_http1=False)
        if mask and (masked := mask.fields(sent)) is not sent:
            sent = masked
            self.note(MASKED)
        dialect = DIALECTS[self.head.caller.dialect]
        translation = Translation(pieces, fields, sent, dialect, lambda: None, MOST_HELD if self._is_judged else 0)
        answer, broken = await self.client.stream(arrived, sent, translation, self._timer.stop)
        if broken is None:
            self._complete(status, sent, bytes(translation.copy or b""))
            return answer
        self.note(f"broken off: {broken}")
        self._tell_provider()
        if self.attempts:
            self.attempts.break_off(Problem(str(broken), "", is_sent=True))
        return answer

    def _is_held(self, arrived: Arrived) -> bool:
        """Whether an answer that passes is held: an error that may have to be masked or logged, or tried again."""
        assert self.provider
        is_error = arrived.status >= 400
        encoding = header_fields.value(arrived.fields, b"content-encoding")
        if is_error and ((self._mask and encoding) or self.provider.keys.log_upstream_error_response_body):
            return not is_streamed(header_fields.value(arrived.fields, b"content-type"))
        if not (self.attempts and self.attempts.can_follow) or self._request.method == "HEAD":
            return False
        length = header_fields.value(arrived.fields, b"content-length")
        is_small = not length or int(length) <= SMALL_BODY
        return is_small and not is_streamed(header_fields.value(arrived.fields, b"content-type"))

    async def _deliver_whole(self, arrived: Arrived, raw: bytes, whole: Whole | None) -> Out:
        status, fields, reason, came = arrived.status, arrived.fields, arrived.reason, raw
        self._log_error(arrived, raw)
        if whole:
            try:
                reply = pipeline.response(whole, status, fields, raw)
            except JSONError as error:
                logger.warning("ai-proxy: the answer to %s is passed on as it came: %s", self.described, error)
                reply = None
            if reply:
                reason = reason if reply.status == status else None
                status, fields, raw = reply.status, reply.fields, reply.body
                self.note(*reply.notes)
        if self._mask:
            before = fields, raw
            fields, raw = streaming.masked_whole(self._mask, fields, raw)
            if (fields, raw) != before:
                self.note(MASKED)
        if not header_fields.value(fields, b"content-length") and self._request.method != "HEAD":
            fields = (*fields, (b"Content-Length", str(len(raw)).encode()))
        self._timer.stop()
        self._complete(arrived.status, arrived.fields, came)
        return await self.client.whole(status, fields, raw, reason)

    @property
    def _is_judged(self) -> bool:
        """Whether it matters to others what a stream begins with that goes to the client at once."""
        return bool(self.attempts and self.provider and self.provider.keys.failover.enabled)

    def _complete(self, status: int, fields: Fields, body: bytes) -> None:
        self._upstream = None
        if self.attempts:
            self.attempts.complete(status, fields, body)

    def _log_error(self, arrived: Arrived, body: bytes) -> None:
        if self.provider:
            name = self.provider_name
            error_bodies.log(self.provider, arrived.status, arrived.fields, body, self._mask, name, self.described)

    async def _answer_here(self, answer: Answer) -> Out:
        """Answer a request of which nothing is sent."""
        self.note(*answer.notes)
        return await self._own(answer.status, {k: v for k, v in answer.headers.items() if v is not None}, answer.body)

    async def _refuse(self, refusal: Refusal) -> Out:
        if self.client.has_begun:
            return self.client.abort()
        self.note(f"refused: {printable(refusal.message)}")
        body = DIALECTS[self.head.caller.dialect].refusal(refusal)
        try:
            return await self._own(refusal.status, {"Content-Type": "application/json", **refusal.headers}, body)
        except ClientGone:
            return self.client.abort()

    async def _own(self, status: int, headers: dict[str, str], body: bytes) -> Out:
        fields = tuple((name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in headers.items())
        size = 0 if self._request.method == "HEAD" else len(body)
        return await self.client.whole(status, (*fields, (b"Content-Length", b"%d" % size)), body)


class _Attempts(Attempts):
    """The tries of an exchange."""

    def __init__(self, exchange: Exchange, providers: Providers, drawn: Tries, head: Head) -> None:
        super().__init__(providers, drawn, head)
        self._exchange = exchange

    def obstacle(self) -> str:
        """See Attempts."""
        if self._exchange.body.raw is None:
            return tries.BODY_NOT_HELD
        return tries.ANSWER_BEGUN if self._exchange.client.has_begun else ""
