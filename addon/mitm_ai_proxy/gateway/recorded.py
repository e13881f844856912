"""Cassettes inside mitmproxy: what goes upstream is recorded, or answered from a recording. Knows mitmproxy.

What is equal, scrubbed or written is the cassette's business; that nothing gets past a replay is the guard's.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final
from weakref import WeakKeyDictionary

from mitmproxy import http
from mitmproxy.connection import Server

from ..cassette import links_through_proxy
from ..cassette.bodies import CassetteError
from ..cassette.cassette import Cassette, Opening
from ..cassette.entry import Chunk, Entry, Headers, Request, Response, header
from ..cassette.links_through_proxy import Address
from ..cassette.matching import MatchOptions
from ..cassette.playing import Miss
from ..cassette.scrubbing import Scrubber
from ..cassette.sensitive import is_credential
from ..cassette.settings import CassetteSettings
from ..errors import Refusal, internal_error
from ..exchange import Body
from ..providers.base import Provider
from ..registry import Configuration
from ..wire import content_encoding, header_fields
from ..wire.header_fields import Fields
from ..wire.targets import Origin
from . import engine, guard
from .guard import Flight, Guard
from .loopback import Loopback

logger = logging.getLogger(__name__)

LARGEST: Final = 512 * 1024 * 1024
"""Bytes of a streamed answer that are kept to be recorded."""
SMALL: Final = 64 * 1024
"""Bytes of a request that is compared at once; a longer one in a thread, for it takes a while."""
PATIENCE: Final = 2.0
"""Seconds that the end of the proxy waits for exchanges that are being written down."""
MOST_LINKS: Final = 10_000
"""Links that were given out and are still served."""
EVENTS: Final = (
    "text/event-stream",
    "application/x-ndjson",
    "application/jsonl",
    "application/json-seq",
    "application/vnd.amazon.eventstream",
)
"""Content types of which each piece counts."""

_POLL_AFTER: Final = "openai-poll-after-ms"
_RETRY_AFTER: Final = "retry-after-ms"
# Header fields that tell a client how long to wait: in seconds, and in milliseconds.
_WAITS: Final = frozenset(("retry-after", _RETRY_AFTER, _POLL_AFTER))
_MOST_DIGITS: Final = 10
_HOP_BY_HOP: Final = frozenset("connection keep-alive proxy-connection te trailer transfer-encoding upgrade".split())


@dataclass(slots=True)
class _Passage:
    """An exchange that is under way. `recorded` is the entry that answers it, None where it goes out.

    `head` is the answer's as the provider sent it, and `body` with `chunks` what came of a streamed one. It is written
    to the `cassette` that was in use when it began.
    """

    cassette: Cassette
    request: Request
    address: Address
    notes: list[str]
    is_openai: bool
    started: float
    began: float
    recorded: Entry | None = None
    place: tuple[bytes, str, int, bytes, Fields] | None = None
    head: tuple[int, str, Fields] | None = None
    raw: bytes = b""
    since: float = 0.0
    body: bytearray = field(default_factory=bytearray)
    chunks: list[Chunk] = field(default_factory=list)
    is_streamed: bool = False
    is_complete: bool = False
    is_too_long: bool = False


class Recording:
    """An addon behind the gateway. What goes out is recorded, or nothing does; without a cassette, all is refused."""

    name = "ai_proxy_recording"

    def __init__(self, guard: Guard, opening: Opening | None = None) -> None:
        self.cassette: Cassette | None = None
        self.seen: Callable[[Request], None] | None = None
        """Is told each request as it would go out, its credential taken out."""
        self._opening = opening
        self._settings = CassetteSettings()
        self._guard = guard
        self._loopback = Loopback()
        self._passages: WeakKeyDictionary[http.HTTPFlow, _Passage] = WeakKeyDictionary()
        self.idle = threading.Event()
        """Set while no exchange is under way that is not written down yet."""
        self.idle.set()
        self._issued: OrderedDict[str, None] = OrderedDict()

    @property
    def is_offline(self) -> bool:
        """Whether the cassette that is to be opened needs no provider."""
        return self._opening is None or self._opening.is_offline

    def insert(self, opening: Opening | None) -> None:
        """Have another cassette opened by the next use(). None: until then, and from then on, all is refused."""
        self.cassette, self._opening = None, opening
        self._issued.clear()

    def use(self, configuration: Configuration, provider: Provider) -> None:
        """Open the cassette that was inserted, or go on with it, by this configuration.

        Raises CassetteError, and goes on by the one before.
        """
        settings = configuration.block(CassetteSettings)
        opening, scrubber = self._opening, Scrubber(configuration.scrub, provider.secrets())
        if self.cassette is not None:
            self.cassette.scrub_with(scrubber)
        elif opening is not None:
            options = MatchOptions.made(settings.ignore, settings.compare, settings.headers)
            self.cassette = Cassette(opening, scrubber, time.monotonic, options, settings.pace)
        self._settings = settings

    @property
    def stays(self) -> bool:
        """Whether nothing may go out at all."""
        return self.cassette is None or not self.cassette.is_recording

    @property
    def is_busy(self) -> bool:
        """Whether exchanges are under way that are not written down yet."""
        return not self.idle.is_set()

    async def done(self) -> None:
        """Close what is open, and let be written what has come: clients have the end of a file before that."""
        if any(passage.is_complete for passage in self._passages.values()):
            await asyncio.to_thread(self.idle.wait, PATIENCE)
        await self._loopback.close()

    # What the gateway asks

    def link(self, flow: http.HTTPFlow) -> tuple[Origin, str] | None:
        """Where a request for somebody's result is to go; None for any other. Raises Refusal."""
        path = flow.request.path
        if not path.startswith(links_through_proxy.PREFIX):
            return None
        found = links_through_proxy.target(path)
        if found is None or flow.request.method not in ("GET", "HEAD"):
            raise Refusal(404, "This is no link to a result.", code="unknown_link")
        if not self.stays and path not in self._issued:
            # Otherwise anybody could fetch anything through this proxy.
            raise Refusal(404, "No answer of this run held a link to this result.", code="unknown_link")
        return found

    def answer_begins(self, flow: http.HTTPFlow, response: http.Response, handling: Body, streams: bool) -> None:
        """Hold an answer that may have to be edited, and listen to any other, in the responseheaders hook."""
        passage = self._passages.get(flow)
        if passage is None:
            return
        self._put_back(flow, passage)
        passage.since = time.monotonic()
        passage.head = response.status_code, response.reason, response.headers.fields
        kind = header_fields.value(response.headers.fields, b"content-type").lower()
        is_json = "json" in kind and not kind.startswith(EVENTS)
        if handling is Body.READ or is_json:
            engine.hold_answer(flow, response, streams)
        elif response.raw_content is None:
            passage.is_streamed = True
            response.stream = functools.partial(_listen, passage, kind.startswith(EVENTS))

    def answer_came(self, flow: http.HTTPFlow, response: http.Response) -> None:
        """Keep the provider's answer before it is rewritten."""
        passage = self._passages.get(flow)
        if passage is not None and not passage.is_streamed:
            passage.raw = response.raw_content or b""

    # Hooks

    async def request(self, flow: http.HTTPFlow) -> None:
        """Answer a flow that is ready to go out, or let it go and remember it."""
        flight = self._guard.flights.get(flow)
        if flight is None or not flight.ready or not flight.is_taped or not guard.concerns(flow):
            return
        try:
            await self._request(flow, flight)
        except Exception as error:
            name = type(error).__name__
            logger.warning("ai-proxy: %s in the cassette; %s was stopped.", name, guard.describe(flow))
            guard.refuse(flow, flight, internal_error())

    async def _request(self, flow: http.HTTPFlow, flight: Flight) -> None:
        exchange, cassette = flight.exchange, self.cassette
        assert exchange.origin is not None
        if cassette is None:
            message = "No cassette is in use at the moment."
            guard.refuse(flow, flight, Refusal(400, message, code="no_cassette"))
            return
        assert flight.provider is not None
        here = self._settings.public_url or flight.client_origin
        address = Address(str(here), str(flight.provider.origin))
        _, body = _decoded(flow.request.headers.fields, flow.request.raw_content or b"")
        there = address.lead_there(body)
        if there != body:
            _replace_body(flow.request, there)
        # An answer in pieces is recorded as it came, which a coding would hide.
        changes: dict[bytes, bytes | None] = {b"accept-encoding": b"identity"}
        flow.request.headers.fields = header_fields.changed(flow.request.headers.fields, changes)
        headers, _ = _decoded(flow.request.headers.fields, flow.request.raw_content or b"")
        request = Request(flow.request.method, f"{exchange.origin}{flow.request.path}", headers, there)
        if self.seen:
            self.seen(_without_credential(request))
        started = round(time.time(), 3)
        passage = _Passage(
            cassette, request, address, exchange.notes, exchange.client.is_openai, started, time.monotonic()
        )
        found = await _judge(cassette, request)
        if isinstance(found, Miss):
            text = _miss_text(cassette, found)
            guard.refuse(flow, flight, Refusal(400, text, code="not_recorded"), logging.WARNING)
        elif found is not None:
            exchange.note(f"answered from {cassette.name}")
            passage.recorded = found
            self._enter(flow, passage)
            await self._play(flow, flight, passage, found)
        else:
            reason = cassette.refusal(request)
            if reason:
                guard.refuse(flow, flight, Refusal(403, reason, code="budget_exceeded"), logging.WARNING)
            else:
                self._enter(flow, passage)
                flight.stays = flight.is_simulated

    async def response(self, flow: http.HTTPFlow) -> None:
        """Write an exchange down before its client gets the end, and lead links through the proxy."""
        passage = self._passages.get(flow)
        response = flow.response
        if passage is None or response is None:
            return
        try:
            if passage.recorded is None and response.status_code == 101:
                logger.warning("ai-proxy: %s changed the protocol, which is not recorded.", guard.describe(flow))
            elif passage.recorded is None:
                await self._write(flow, passage, _answer_of(passage))
            if not passage.is_streamed and response.raw_content is not None:
                self._lead_here(response, passage)
        except Exception as error:
            self._complain(flow, error)
        finally:
            self._leave(flow)

    async def error(self, flow: http.HTTPFlow) -> None:
        """An exchange that broke off is recorded as one without an answer: it may have been paid for."""
        passage = self._passages.get(flow)
        if passage is None:
            return
        try:
            # A read that broke off has no consequence.
            if passage.recorded is None and passage.request.method not in ("GET", "HEAD"):
                await self._write(flow, passage, None)
        except Exception as error:
            self._complain(flow, error)
        finally:
            self._leave(flow)

    def _complain(self, flow: http.HTTPFlow, error: Exception) -> None:
        """Without its text and a traceback, as mitmproxy would log them: both may quote a body."""
        name = type(error).__name__
        logger.error("ai-proxy: %s in the cassette; %s is not recorded completely.", name, guard.describe(flow))

    def _enter(self, flow: http.HTTPFlow, passage: _Passage) -> None:
        self._passages[flow] = passage
        self.idle.clear()

    def _leave(self, flow: http.HTTPFlow) -> None:
        self._passages.pop(flow, None)
        if not self._passages:
            self.idle.set()

    # Replay

    async def _play(self, flow: http.HTTPFlow, flight: Flight, passage: _Passage, entry: Entry) -> None:
        recorded = entry.response
        if recorded is None:
            self._leave(flow)
            flow.kill()
            return
        response = self._hurried(recorded, passage)
        if not recorded.chunks:
            fields = _framed(response, flow.request.method)
            flow.response = http.Response(
                b"HTTP/1.1", response.status, response.reason.encode("latin-1", "replace"),
                http.Headers(fields), response.body, None, time.time(), time.time(),
            )  # fmt: skip
            return
        # mitmproxy cannot send an answer of its own in pieces: it gets this one from a server in this process.
        origin, token = await self._loopback.offer(response, self._settings.pace)
        data = flow.request.data
        passage.place = data.scheme, data.host, data.port, data.path, data.headers.fields
        guard.redact(flow)
        data.scheme, data.host, data.port = b"http", origin.host, origin.port
        data.path = b"/" + token.encode()
        flow.server_conn = Server(address=(origin.host, origin.port))
        flight.exchange.origin, flight.stays = origin, False

    def _put_back(self, flow: http.HTTPFlow, passage: _Passage) -> None:
        """Show the request as it was, and not the server in this process."""
        if passage.place:
            data = flow.request.data
            data.scheme, data.host, data.port, data.path, fields = passage.place
            data.headers.fields = fields
            guard.redact(flow)

    def _hurried(self, response: Response, passage: _Passage) -> Response:
        """The answer with what it says about waiting in the time of this replay."""
        headers = [(name, _sooner(name.lower(), value, self._settings.pace)) for name, value in response.headers]
        waits = {name.lower() for name, _ in headers}
        if self._settings.pace is None and passage.is_openai:
            if response.status >= 400 and _RETRY_AFTER not in waits:
                headers.append((_RETRY_AFTER, "1"))
            elif response.status < 400 and _POLL_AFTER not in waits:
                headers.append((_POLL_AFTER, "1"))
        return replace(response, headers=tuple(headers))

    def _lead_here(self, response: http.Response, passage: _Passage) -> None:
        fields = response.headers.fields
        location = header_fields.value(fields, b"location")
        changes: dict[bytes, bytes | None] = {}
        if "://" in location and not location.startswith(f"{passage.address.proxy}/"):
            self._issue(location, passage.address)
            changes[b"location"] = passage.address.here(location).encode("utf-8", "surrogateescape")
        _, body = _decoded(fields, response.raw_content or b"")
        here = passage.address.lead_here(body, lambda link: self._issue(link, passage.address))
        if here != body:
            _replace_body(response, here)
        if passage.recorded:
            # The gateway's own word about waiting is for the real provider.
            waits = header_fields.value(response.headers.fields, _POLL_AFTER.encode())
            if waits:
                changes[_POLL_AFTER.encode()] = _sooner(_POLL_AFTER, waits, self._settings.pace).encode()
        response.headers.fields = header_fields.changed(response.headers.fields, changes)

    def _issue(self, link: str, address: Address) -> None:
        """From now on, this link is served, by the path that the client is given."""
        self._issued[address.here(link).removeprefix(address.proxy)] = None
        while len(self._issued) > MOST_LINKS:
            self._issued.popitem(last=False)

    # Recording

    async def _write(self, flow: http.HTTPFlow, passage: _Passage, answer: Response | None) -> None:
        if passage.is_too_long:
            logger.error(
                "ai-proxy: the answer to %s is longer than %d MiB and was not recorded.",
                guard.describe(flow), LARGEST >> 20,
            )  # fmt: skip
            return
        if answer is not None and header(answer.headers, "content-encoding"):
            what = guard.describe(flow)
            logger.warning("ai-proxy: the answer to %s is recorded as it came: it could not be decoded.", what)
        milliseconds = round((time.monotonic() - passage.began) * 1000, 1)
        entry = Entry(passage.started, milliseconds, passage.request, answer, tuple(passage.notes))
        try:
            await asyncio.to_thread(passage.cassette.record, entry)
        except CassetteError as error:
            logger.error("ai-proxy: not recorded yet: %s; the next exchange tries again.", error)


def _listen(passage: _Passage, is_events: bool, data: bytes) -> bytes:
    """Keep a piece of an answer on its way to the client; an empty one is the end."""
    passage.is_complete = not data
    if len(passage.body) + len(data) > LARGEST:
        passage.is_too_long = True
        passage.body.clear()
    if data and not passage.is_too_long:
        passage.body += data
        if is_events:
            passage.chunks.append(Chunk(round((time.monotonic() - passage.since) * 1000, 1), len(data)))
    return data


async def _judge(cassette: Cassette, request: Request) -> Entry | Miss | None:
    if len(request.body) <= SMALL:
        return cassette.answer(request)
    return await asyncio.to_thread(cassette.answer, request)


def _miss_text(cassette: Cassette, miss: Miss) -> str:
    """What was asked, the nearest recording, and how they differ, for a person."""
    text = f"{miss.request} is not in {cassette.name} (mode {cassette.mode.value}), so it was not sent."
    if miss.recorded:
        text += f" The nearest recording is entry {(miss.nearest or 0) + 1}: {miss.recorded}."
    return " ".join([text, *(f"{difference};" for difference in miss.differences)]).removesuffix(";")


def _answer_of(passage: _Passage) -> Response | None:
    if passage.head is None:
        return None
    status, reason, fields = passage.head
    headers, body = _decoded(fields, bytes(passage.body) if passage.is_streamed else passage.raw)
    is_as_it_came = len(headers) == len(fields)
    return Response(status, reason, headers, body, tuple(passage.chunks) if is_as_it_came else ())


def _decoded(fields: Fields, raw: bytes) -> tuple[Headers, bytes]:
    """Header fields and body without a Content-Encoding; with it, where it cannot be undone."""
    headers = tuple(
        (name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape")) for name, value in fields
    )
    encoding = header(headers, "content-encoding")
    if not encoding:
        return headers, raw
    try:
        body = content_encoding.decode(raw, encoding, LARGEST)
    except ValueError:
        return headers, raw
    return tuple(field for field in headers if field[0].lower() != "content-encoding"), body


def _replace_body(message: http.Message, body: bytes) -> None:
    message.raw_content = body
    changes: dict[bytes, bytes | None] = {b"content-encoding": None, b"content-length": str(len(body)).encode()}
    message.headers.fields = header_fields.changed(message.headers.fields, changes)


def _without_credential(request: Request) -> Request:
    word = guard.REDACTED.decode()
    headers = tuple((name, word if is_credential(name) else value) for name, value in request.headers)
    return replace(request, headers=headers)


def _framed(response: Response, method: str) -> Fields:
    """The header fields of a recorded answer, framed anew. The length in an answer to HEAD is not that of its body."""
    left_out = _HOP_BY_HOP if method == "HEAD" else _HOP_BY_HOP | {"content-length"}
    headers = [field for field in response.headers if field[0].lower() not in left_out]
    if method != "HEAD" and response.status >= 200 and response.status not in (204, 304):
        headers.append(("Content-Length", str(len(response.body))))
    return tuple(
        (name.encode("utf-8", "surrogateescape"), value.encode("utf-8", "surrogateescape")) for name, value in headers
    )


def _sooner(name: str, value: str, pace: float | None) -> str:
    """What a header field says about waiting, in the time of a replay."""
    digits = value.strip()
    if name not in _WAITS or not (digits.isascii() and digits.isdigit() and len(digits) < _MOST_DIGITS):
        return value
    least = 0 if name == "retry-after" else 1
    return str(max(least, int(int(digits) * (pace or 0))))
