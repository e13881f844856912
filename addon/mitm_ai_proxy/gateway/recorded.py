"""The stage that records upstream requests and their answers into a cassette, or replays them from one."""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from weakref import WeakKeyDictionary

from mitmproxy import ctx, exceptions, http
from mitmproxy.addonmanager import Loader
from mitmproxy.connection import Server

from .. import registry
from ..cassette import links_through_proxy
from ..cassette.bodies import CassetteError
from ..cassette.credentials import SeenCredentials
from ..cassette.entry import Entry, Request, Response, header
from ..cassette.settings import CassetteSettings, ScrubSettings
from ..edges import ways
from ..edges.streaming import Chain
from ..errors import Refusal, internal_error
from ..exchange import Answer, Handling, Pieces, Whole
from ..registry import Configuration
from ..routing.providers import Providers
from ..wire import header_fields, media_types
from ..wire.targets import Origin
from . import detours, flows, guard, sealed
from .flows import FlowState
from .guard import Guard
from .recorded_exchange import AsItIs, Exchange, Listener, follow_edits, recorded_answer, sent_request
from .recorded_links import KnownLinks, LinkRewriter, api_address, is_of_api
from .recorded_messages import (
    LARGEST,
    Links,
    decoded,
    framed,
    how_links_are_led,
    hurried,
    miss_text,
    redacted,
    without_credential,
)
from .replay_server import ReplayServer
from .stages import Result, Stage, StageError

if TYPE_CHECKING:
    from ..cassette.cassette import Cassette, Opening
    from ..cassette.playing import Miss

logger = logging.getLogger(__name__)

RECORD: Final = "ai_record"
REPLAY: Final = "ai_replay"

SMALL: Final = 64 * 1024
"""Bytes of a request body up to which it is matched in the event loop; a longer one is matched in a thread."""
PATIENCE: Final = 5.0
"""Seconds that the proxy waits at its end for exchanges that are being written."""


class Suspended(NamedTuple):
    """What a Recorded has in use while another cassette is inserted."""

    cassette: Cassette | None
    opening: Opening | None
    run: str
    links: KnownLinks
    seen: Callable[[Request], None] | None


class Recorded:
    """The stage. Requests are recorded or replayed as the cassette's mode says; without a cassette, all are refused.

    `idle` is set while no exchange is in progress. `seen` is called with each upstream request, its credential
    redacted, whether it is sent or not.
    """

    name = "ai_proxy_recorded"
    options: Sequence[str] = (RECORD, REPLAY)
    simulates = False

    def __init__(self) -> None:
        self.is_active = False
        self.cassette: Cassette | None = None
        self.seen: Callable[[Request], None] | None = None
        self._is_ending = False
        self.idle = threading.Event()
        self.idle.set()
        self._opening: Opening | None = None
        self._run = ""
        self._credentials = SeenCredentials()
        self._settings = CassetteSettings()
        self._guard: Guard | None = None
        self._loopback = ReplayServer()
        self._exchanges: WeakKeyDictionary[http.HTTPFlow, Exchange] = WeakKeyDictionary()
        self._links = LinkRewriter()

    @property
    def is_offline(self) -> bool:
        """Whether the cassette that is to be opened only replays."""
        return self._opening is None or self._opening.is_offline

    def insert(self, opening: Opening | None) -> None:
        """Have another cassette opened with the next configuration; until then, and with None, refuse all requests."""
        self.is_active = True
        self.cassette, self._opening = None, opening
        self._run = secrets.token_hex(8)
        self._links.known = KnownLinks()

    def suspend(self) -> Suspended:
        """What is in use, for resume()."""
        return Suspended(self.cassette, self._opening, self._run, self._links.known, self.seen)

    def resume(self, suspended: Suspended) -> None:
        """Have what was suspended used again with the next configuration."""
        self.is_active = True
        self.cassette, self._opening, self._run, self._links.known, self.seen = suspended

    # Methods of Stage

    def declare(self, loader: Loader, guard: Guard) -> None:
        """Declare the two options."""
        self._guard = guard
        loader.add_option(RECORD, str, "", "Cassette (a HAR file) to which all that goes upstream is added.")
        loader.add_option(
            REPLAY, str, "", "Cassette (a HAR file) that answers in the provider's place; nothing is sent."
        )

    def set_options(self, updated: set[str], stages: Sequence[Stage], is_running: bool) -> None:
        """Insert the cassette that an option names."""
        if not updated & {RECORD, REPLAY}:
            return
        record, replay = (str(getattr(ctx.options, name)).strip() for name in (RECORD, REPLAY))
        if is_running:
            raise exceptions.OptionsError(f"ai-proxy: {RECORD} and {REPLAY} can only be set at the start.")
        if record and replay:
            logger.error("ai-proxy: %s and %s: give one of the two.", RECORD, REPLAY)
        elif replay and any(stage.is_active for stage in stages if stage.name != self.name):
            logger.error("ai-proxy: %s: a cassette or the simulator can answer, not both.", REPLAY)
        elif record or replay:
            # Imported when needed, here and below, since it takes a while.
            from ..cassette.cassette import Mode, Opening

            self.insert(Opening(Path(record or replay).expanduser(), Mode.APPEND if record else Mode.NONE))

    def prepare(self, configuration: Configuration, providers: Providers) -> Callable[[], None]:
        """Open the cassette that was inserted, or continue with the one that is open."""
        from ..cassette.cassette import Cassette
        from ..cassette.matching import MatchOptions
        from ..cassette.scrubbing import Scrubber

        own = configuration.block(CassetteSettings)
        scrubber = Scrubber(configuration.block(ScrubSettings).scrub, providers.secrets, self._credentials)
        cassette, opening = self.cassette, self._opening
        if cassette is None and opening is not None:
            options = MatchOptions.made(own.ignore, own.compare, own.headers)
            prices = registry.recorded_api(*{provider.type for provider in providers})
            try:
                cassette = Cassette(opening, scrubber, time.monotonic, options, own.pace, prices)
            except CassetteError as error:
                raise StageError(str(error)) from error
        if cassette is not None and cassette.is_recording:
            for provider in providers:
                provider.begin_recording(self._run)

        def use() -> None:
            self._settings, self.cassette = own, cassette
            if cassette is not None:
                cassette.scrub_with(scrubber)

        return use

    def begin(self, flow: http.HTTPFlow, state: FlowState) -> Result | None:
        """The result that a link through the proxy leads to."""
        path = flow.request.path
        if not path.startswith(links_through_proxy.PREFIX):
            return None
        found = links_through_proxy.target(path)
        needs_credential = found is not None and is_of_api(state.providers, *found)
        if found is None or not (needs_credential or flow.request.method in ("GET", "HEAD")):
            raise Refusal(404, "This is no link to a result.", code="unknown_link")
        may_go_out = self.cassette is not None and self.cassette.is_recording
        if may_go_out and path not in self._links.known.issued:
            # Otherwise any client could fetch any URL through this proxy.
            raise Refusal(404, "No answer of this run held a link to this result.", code="unknown_link")
        return Result(*found, needs_credential)

    def begin_answer(self, flow: http.HTTPFlow, state: FlowState, handling: Handling) -> Handling:
        """Hold or translate an answer whose links may have to be rewritten, and record any other one as it streams."""
        exchange, response = self._exchanges.get(flow), flow.response
        if exchange is None or response is None:
            return handling
        follow_edits(flow, exchange)
        exchange.since = time.monotonic()
        exchange.head = response.status_code, response.reason, response.headers.fields
        exchange.links = how_links_are_led(exchange.recorded, flow.request.method, response)
        self._links.lead_locations(response, exchange, api_address(exchange), exchange.request.url)
        kind = header_fields.value(response.headers.fields, b"content-type")
        if isinstance(handling, Whole) or exchange.links is Links.WHOLE:
            exchange.links = Links.WHOLE
            return handling if isinstance(handling, Whole) else Whole(_as_it_is)
        if response.raw_content is not None:
            return handling
        exchange.is_streamed = True
        inner = handling if isinstance(handling, Pieces) else Pieces(AsItIs(), is_translated=False)
        if exchange.links is Links.STREAM:
            led = self._links.stream(exchange)
            inner = inner._replace(transducer=Chain(inner.transducer, led), is_translated=True)
        return inner._replace(transducer=Listener(exchange, media_types.is_events(kind), inner.transducer))

    def hear_answer(self, flow: http.HTTPFlow, response: http.Response) -> None:
        """Keep the body of the provider's answer, before it is rewritten."""
        exchange = self._exchanges.get(flow)
        if exchange is not None and not exchange.is_streamed:
            exchange.raw = response.raw_content or b""

    def banner(self, configuration: Configuration, here: Origin) -> str:
        """No text."""
        return ""

    # Hooks

    async def done(self) -> None:
        """Wait up to PATIENCE for exchanges that are complete but not written yet, and close the loopback server."""
        self._is_ending = True
        if any(exchange.is_complete for exchange in self._exchanges.values()):
            await asyncio.to_thread(self.idle.wait, PATIENCE)
        await self._loopback.close()

    async def request(self, flow: http.HTTPFlow) -> None:
        """Answer a flow that is ready to be sent, or release it to be recorded."""
        state = self._guard.states.get(flow) if self._guard else None
        if state is None or not state.is_ready or self.name not in state.held_by or not guard.concerns(flow):
            return
        try:
            await self._request(flow, state)
        except Exception as error:
            name = type(error).__name__
            logger.warning("ai-proxy: %s in the cassette; %s was stopped.", name, flows.describe(flow))
            guard.refuse(flow, state, internal_error())

    async def _request(self, flow: http.HTTPFlow, state: FlowState) -> None:
        cassette = self.cassette
        assert state.upstream
        if cassette is None:
            message = "No cassette is in use at the moment."
            guard.refuse(flow, state, Refusal(400, message, code="no_cassette"))
            return
        address = self._links.address(str(self._settings.public_url or state.client_origin), state)
        _, body = decoded(flow.request.headers.fields, flow.request.raw_content or b"")
        if not state.head.target.startswith(links_through_proxy.PREFIX):
            self._links.note_sent(address, f"{state.head.target} ", body)
        there = address.lead_there(body)
        if there != body:
            flows.replace_body(flow.request, there)
        # The pieces of a stream are recorded as they come, which is not possible with a Content-Encoding.
        changes: dict[bytes, bytes | None] = {b"accept-encoding": b"identity"}
        flow.request.headers.fields = header_fields.changed(flow.request.headers.fields, changes)
        headers, _ = decoded(sealed.fields_of(flow), flow.request.raw_content or b"")
        url = f"{state.upstream.origin}{state.redacted_target or sealed.target_of(flow)}"
        request = Request(flow.request.method, url, without_credential(headers, state), there)
        if self.seen:
            self.seen(redacted(request))
        exchange = Exchange(cassette, request, address, state, round(time.time(), 3), time.monotonic())
        from ..cassette.playing import Miss

        found = await _match(cassette, request)
        if isinstance(found, Miss):
            refusal = Refusal(400, miss_text(cassette, found), code="not_recorded")
            # Another provider has answered it, as the first one was left out when it was recorded.
            if state.attempts and state.attempts.pass_over(f"nothing in {cassette.name}", refusal):
                cassette.forgive(found)
            else:
                guard.refuse(flow, state, refusal, logging.WARNING)
        elif found is not None:
            state.note(f"answered from {cassette.name}")
            exchange.recorded = found
            self._enter(flow, exchange)
            await self._play(flow, exchange, found)
        else:
            reason = cassette.refusal(request)
            if reason:
                guard.refuse(flow, state, Refusal(403, reason, code="budget_exceeded"), logging.WARNING)
            else:
                exchange.released = sent_request(flow, state)
                self._enter(flow, exchange)
                state.held_by.discard(self.name)

    async def response(self, flow: http.HTTPFlow) -> None:
        """Record an exchange before its client gets the end of it, and rewrite links to lead through the proxy."""
        exchange = self._exchanges.get(flow)
        response = flow.response
        if exchange is None or response is None:
            return
        try:
            if exchange.goes_out and response.status_code == 101:
                logger.warning("ai-proxy: %s changed the protocol, which is not recorded.", flows.describe(flow))
            elif exchange.goes_out:
                await self._write(flow, exchange, recorded_answer(exchange))
            shown = None
            if not exchange.is_streamed and response.raw_content is not None:
                shown = self._links.lead_here(response, exchange, self._settings.pace)
            self._links.warn(flow, exchange, shown)
        except Exception as error:
            self._complain(flow, error)
        finally:
            self._leave(flow)

    async def error(self, flow: http.HTTPFlow) -> None:
        """Record an exchange whose connection broke as one without an answer: the provider may have charged for it."""
        exchange = self._exchanges.get(flow)
        if exchange is None:
            return
        try:
            follow_edits(flow, exchange)
            # A read changes nothing at the provider, and nor does what never reached it.
            if exchange.goes_out and exchange.request.method not in ("GET", "HEAD") and _is_reached(flow.server_conn):
                await self._write(flow, exchange, None)
        except Exception as error:
            self._complain(flow, error)
        finally:
            self._leave(flow)

    def _complain(self, flow: http.HTTPFlow, error: Exception) -> None:
        """Log an error without its text and traceback, which may quote a body."""
        name = type(error).__name__
        logger.error("ai-proxy: %s in the cassette; %s is not recorded completely.", name, flows.describe(flow))

    def _enter(self, flow: http.HTTPFlow, exchange: Exchange) -> None:
        self._exchanges[flow] = exchange
        self.idle.clear()

    def _leave(self, flow: http.HTTPFlow) -> None:
        self._exchanges.pop(flow, None)
        if not self._exchanges:
            self.idle.set()

    # Replay

    async def _play(self, flow: http.HTTPFlow, exchange: Exchange, entry: Entry) -> None:
        recorded = entry.response
        if recorded is None:
            self._leave(flow)
            flow.kill()
            return
        response = hurried(recorded, self._settings.pace, exchange.state.head.caller.is_openai_sdk)
        if not recorded.chunks:
            fields = framed(response, flow.request.method)
            flow.response = http.Response(
                b"HTTP/1.1", response.status, response.reason.encode("latin-1", "replace"),
                http.Headers(fields), response.body, None, time.time(), time.time(),
            )  # fmt: skip
            return
        await detours.lead(flow, exchange.state, self._loopback, response, self._settings.pace, ways.REPLAYED)

    # Recording

    async def _write(self, flow: http.HTTPFlow, exchange: Exchange, answer: Response | None) -> None:
        if exchange.is_too_long:
            logger.error(
                "ai-proxy: the answer to %s is longer than %d MiB and was not recorded.",
                flows.describe(flow), LARGEST >> 20,
            )  # fmt: skip
            return
        if answer is not None and header(answer.headers, "content-encoding"):
            what = flows.describe(flow)
            logger.warning("ai-proxy: the answer to %s is recorded as it came: it could not be decoded.", what)
        milliseconds = round((time.monotonic() - exchange.began) * 1000, 1)
        notes, is_simulated = tuple(exchange.state.notes), len(exchange.state.stages) > 1
        entry = Entry(exchange.started, milliseconds, exchange.request, answer, notes, simulated=is_simulated)
        try:
            if self._is_ending:
                # The end of the process does not wait for threads.
                exchange.cassette.record(entry)
            else:
                await asyncio.to_thread(exchange.cassette.record, entry)
        except CassetteError as error:
            logger.error("ai-proxy: not recorded yet: %s; the next exchange tries again.", error)


def _as_it_is(answer: Answer) -> Answer:
    return answer


async def _match(cassette: Cassette, request: Request) -> Entry | Miss | None:
    """As Cassette.answer(), in a thread if the request is long."""
    if len(request.body) <= SMALL:
        return cassette.answer(request)
    return await asyncio.to_thread(cassette.answer, request)


def _is_reached(server: Server) -> bool:
    """Whether a connection was made on which the request could be sent."""
    connected = server.timestamp_tls_setup if server.tls else server.timestamp_tcp_setup
    return connected is not None
