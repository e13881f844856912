"""The addon: options, hooks, and the way of one request through them. Knows mitmproxy, and no provider by name.

What to rewrite is decided by providers; here it is carried out on flows, and whatever is in doubt is refused.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mitmproxy import ctx, exceptions, http
from mitmproxy.addonmanager import Loader
from mitmproxy.net.http import status_codes
from mitmproxy.proxy import mode_specs

from .. import clients, errors, registry
from ..cassette.bodies import CassetteError
from ..clients import ANYBODY, Client
from ..config.file import ConfigurationError
from ..config.values import HostPattern
from ..errors import Refusal
from ..exchange import Answer, Body, Exchange
from ..providers.base import Provider
from ..registry import Configuration
from ..simulator.links import FOLDER
from ..simulator.settings import SimulatorSettings
from ..wire import content_encoding, header_fields
from ..wire.json_edit import JSONError
from ..wire.targets import Origin
from . import engine, guard
from .guard import Flight, Guard, fail_closed

if TYPE_CHECKING:
    from ..cassette.cassette import Opening
    from .recorded import Recording
    from .simulated import Simulation

logger = logging.getLogger(__name__)

OPTION: Final = "ai_config"
SIMULATE: Final = "ai_simulate"
RECORD: Final = "ai_record"
REPLAY: Final = "ai_replay"
OPTIONS: Final = (OPTION, SIMULATE, RECORD, REPLAY)
SHOWN_BODY: Final = 1024 * 1024
"""Bytes up to which a body that only passes is kept, so that mitmproxy can show it; longer ones are streamed."""
WATCH_INTERVAL: Final = 0.5
"""Seconds between two looks at the configuration file."""
MARK: Final = "ai_proxy"
"""Key in flow.metadata of a rewritten flow, which a later replay recognises."""
NOWHERE: Final = Origin("http", "127.0.0.1", 0)
"""Where a request stands while its body comes in: should the request hook be skipped, it cannot go out."""

# The client's credentials, by the names that AI APIs give them.
CLIENT_CREDENTIALS: Final = frozenset(
    b"authorization proxy-authorization x-api-key x-authorization api-key x-goog-api-key cookie".split()
)
# What describes a body that is not sent.
_BODY_FIELDS: Final = (b"content-length", b"content-type", b"transfer-encoding", b"expect")
RESULTS: Final = f"/{FOLDER}/"
"""Where the paths of simulated results begin."""
# Content types that are read as they arrive, or that nobody reads in a proxy.
STREAMED_TYPES: Final = ("video/", "audio/", "image/", "text/event-stream", "application/x-ndjson", "application/octet")


class Gateway:
    """mitm-ai-proxy as mitmproxy sees it."""

    name = "ai_proxy"
    addons: list[object]
    """Addons behind this one; where there are none, not even an empty list: mitmproxy looks into it at each hook."""

    def __init__(self) -> None:
        self.provider: Provider | None = None
        self._hosts: tuple[HostPattern, ...] = registry.DEFAULT_HOSTS
        self._path: Path | None = None
        self._signature: tuple[int, ...] | None = None
        self.simulation: Simulation | None = None
        self._simulation: Simulation | None = None
        self.recording: Recording | None = None
        self._streams = True
        self._guard = Guard(self.takes)
        self._watcher: asyncio.Task[None] | None = None

    # Life of the addon

    def load(self, loader: Loader) -> None:
        """Declare the options, and put the guard in place before anything can go wrong."""
        self._guard = Guard.install(self.takes)
        # mitmproxy drops a script without a word when a value of its option does not fit, and ignores unknown names.
        for name, value in ctx.options.deferred.items():
            if name.startswith("ai_") and name not in OPTIONS:
                logger.error("ai-proxy: unknown option %s; there are %s.", name, ", ".join(OPTIONS))
            elif name in OPTIONS and len(getattr(value, "val", [value])) != 1:
                logger.error("ai-proxy: %s takes one value: --set %s=…", name, name)
        loader.add_option(OPTION, str, "config.yaml", "Configuration of ai-proxy: which provider, which credential.")
        # No bool: mitmproxy would drop the script without a word for any other value.
        loader.add_option(SIMULATE, str, "false", "true: answer from a Kling of our own; nothing is sent.")
        loader.add_option(RECORD, str, "", "Cassette (a HAR file) to which all that goes upstream is added.")
        loader.add_option(
            REPLAY, str, "", "Cassette (a HAR file) that answers in the provider's place; nothing is sent."
        )

    def configure(self, updated: set[str]) -> None:
        """Read the configuration when its path is set, and keep reverse mode from connecting ahead of time."""
        if SIMULATE in updated:
            self._configure_simulation(str(getattr(ctx.options, SIMULATE)).strip().lower())
        if {RECORD, REPLAY} & updated:
            self._configure_recording()
        if OPTION in updated:
            path = Path(getattr(ctx.options, OPTION)).expanduser()
            if self.provider is None:
                self._path, self._signature = path, _signature(path)
            try:
                self._load(path)
            except (ConfigurationError, CassetteError) as error:
                if self.provider is not None:
                    raise exceptions.OptionsError(str(error)) from None
                # Logged and not raised: before start-up is complete it ends the process, and without a traceback.
                logger.error("ai-proxy: %s", error)
        if "stream_large_bodies" in updated:
            self._streams = bool(ctx.options.stream_large_bodies)
        if {"mode", "connection_strategy"} & updated:
            _connect_late()

    def use(
        self, configuration: Configuration, opening: Opening | None = None, *, simulate: bool | None = None
    ) -> None:
        """Go on with another configuration, while no flow is under way; no file is watched from now on.

        `opening` is the cassette to go on with, `simulate` whether the simulator answers; None: as until now.
        Raises ConfigurationError or CassetteError; with another cassette, whatever comes then is refused.
        """
        if opening is not None:
            self._record(opening)
        if simulate is not None:
            self._simulate(simulate)
        self._use(configuration)
        self._path = self._signature = None

    def _configure_simulation(self, value: str) -> None:
        if self.provider is not None and value != str(self.simulation is not None).lower():
            raise exceptions.OptionsError(f"ai-proxy: {SIMULATE} can only be set at the start.")
        if value not in ("true", "false"):
            logger.error("ai-proxy: %s takes true or false.", SIMULATE)
        else:
            self._simulate(value == "true")

    def _configure_recording(self) -> None:
        record, replay = (str(getattr(ctx.options, name)).strip() for name in (RECORD, REPLAY))
        if self.provider is not None:
            raise exceptions.OptionsError(f"ai-proxy: {RECORD} and {REPLAY} can only be set at the start.")
        if record and replay:
            logger.error("ai-proxy: %s and %s: give one of the two.", RECORD, REPLAY)
        elif replay and self.simulation:
            logger.error("ai-proxy: %s and %s: a cassette or the simulator can answer, not both.", REPLAY, SIMULATE)
        elif record or replay:
            # What a cassette needs takes a while to import, which only a recording has to wait for.
            from ..cassette.cassette import Mode, Opening

            self._record(Opening(Path(record or replay).expanduser(), Mode.APPEND if record else Mode.NONE))

    def _simulate(self, on: bool) -> None:
        if on and self._simulation is None:
            # Flask takes a while to import, too.
            from ..simulator.app import Simulator
            from .simulated import Simulation

            self._simulation = Simulation(Simulator(SimulatorSettings()), self._guard)
            self._put_behind(self._simulation)
        self.simulation = self._simulation if on else None

    def _record(self, opening: Opening) -> None:
        if self.recording is None:
            from .recorded import Recording

            self.recording = Recording(self._guard)
            # In front of the simulator, which can be recorded as well.
            self._put_behind(self.recording, 0)
        self.recording.insert(opening)

    def _put_behind(self, addon: object, place: int | None = None) -> None:
        """Let an addon have its turn behind this one, in front of those behind it from `place` on."""
        addons = list(getattr(self, "addons", []))
        addons.insert(len(addons) if place is None else place, ctx.master.addons.register(addon))
        self.addons = addons

    def running(self) -> None:
        """Begin to watch the configuration file, and say what is simulated."""
        self._watcher = asyncio.get_running_loop().create_task(self._watch())
        if self.simulation:
            logger.info("%s", self._banner())
        if ctx.options.connection_strategy != "lazy":
            logger.info(
                "ai-proxy: mitmproxy connects to the host that a client names before a request is rewritten; "
                "--set connection_strategy=lazy avoids that."
            )

    def done(self) -> None:
        """Stop watching. At the end of the process, leave no credential in flows that are saved unfinished."""
        if self._watcher:
            self._watcher.cancel()
        if ctx.master.should_exit.is_set():
            for flow in list(self._guard.flights):
                guard.redact(flow)

    def takes(self, flow: http.HTTPFlow) -> bool:
        """Whether a flow is ours: all in reverse mode, else those to the configured hosts."""
        if flow.client_conn.proxy_mode.type_name == "reverse":
            return True
        request = flow.request
        # The Host header is all there is where connections are redirected; where there are two, the target decides.
        names = (request.pretty_host, request.host)
        return any(pattern.matches(name, request.port) for name in names for pattern in self._hosts)

    # Way of a request

    @fail_closed
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Route by the request's head: host, path and credential, or a refusal."""
        if not guard.concerns(flow):
            return
        if flow.is_replay == "request" and MARK in flow.metadata:
            self._replay(flow)
        elif self.takes(flow):
            flight = self._flight(flow)
            try:
                self._route(flow, flight)
            except Refusal as refusal:
                self._refuse(flow, flight, refusal)

    @fail_closed
    def request(self, flow: http.HTTPFlow) -> None:
        """Rewrite what only the body could tell."""
        flight = self._guard.flights.get(flow)
        if flight is None or flight.ready or not guard.concerns(flow):
            return
        try:
            self._rewrite_request(flow, flight)
        except Refusal as refusal:
            self._refuse(flow, flight, refusal)

    @fail_closed
    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """The provider has the credential: take it out of the flow. Decide whether the answer is held or streamed."""
        flight = self._guard.flights.get(flow)
        if flight is None or flight.refused or flow.response is None:
            return
        guard.redact(flow)
        handling = flight.exchange.answer_body
        if flight.is_taped and self.recording:
            self.recording.answer_begins(flow, flow.response, handling, self._streams)
        elif handling is Body.READ:
            engine.hold_answer(flow, flow.response, self._streams)
        elif flight.is_simulated:
            return  # it is here already
        elif handling is Body.STREAM or _is_streamed_type(flow.response):
            flow.response.stream = True
        else:
            engine.stream_long_answer(flow, flow.response, SHOWN_BODY)

    @fail_closed
    def response(self, flow: http.HTTPFlow) -> None:
        """Rewrite an answer that was held."""
        flight = self._guard.flights.pop(flow, None)
        if flight is None or flow.response is None:
            return
        if flight.is_taped and self.recording:
            self.recording.answer_came(flow, flow.response)
        if flight.failed:
            guard.answer(flow, errors.internal_error())
        elif not flight.refused and flight.exchange.answer_body is Body.READ and flow.is_replay != "response":
            self._rewrite_answer(flow, flight)
        flow.comment = "; ".join(flight.exchange.notes)

    @fail_closed
    def error(self, flow: http.HTTPFlow) -> None:
        """A flow that broke off: nothing is left to do but to forget the credential."""
        flight = self._guard.flights.pop(flow, None)
        if flight is not None:
            guard.redact(flow)
            if flight.provider:
                flight.provider.give_up(flight.exchange)
            engine.close_if_too_long(flow)

    def stop(self, flow: http.HTTPFlow) -> None:
        """What happens to a flow when a hook raised (see fail_closed)."""
        flight = self._guard.flights.get(flow)
        guard.redact(flow)
        if flow.response is None or flight is None:
            guard.answer(flow, errors.internal_error())
        elif flow.response.stream:
            flow.kill()
        elif flow.response.raw_content is None:
            # In responseheaders: an answer made now would get the body that is still to come.
            flight.failed = True
        else:
            guard.answer(flow, errors.internal_error())
        if flight is not None:
            flight.refused = True

    def _flight(self, flow: http.HTTPFlow) -> Flight:
        request = flow.request
        client = clients.read(request.headers.fields)
        exchange = Exchange(request.method, request.path, client.content_type, client)
        flight = Flight(exchange, self.provider)
        self._guard.flights[flow] = flight
        if self.simulation or self.recording:
            flight.is_simulated, flight.is_taped = self.simulation is not None, self.recording is not None
            # Until it is known to be recorded.
            flight.stays = True
            flight.client_origin = _client_origin(flow)
        return flight

    def _route(self, flow: http.HTTPFlow, flight: Flight) -> None:
        exchange, provider = flight.exchange, flight.provider
        # A web page may show a simulated result, as it may show one of the provider's.
        is_result = flight.is_simulated and exchange.client_path.startswith(RESULTS)
        link = self.recording.link(flow) if self.recording else None
        _refuse_strangers(flow, ANYBODY if is_result or link else exchange.client)
        if provider is None:
            raise errors.not_ready()
        if link:
            exchange.origin, exchange.path = link
            exchange.note(f"sent to {exchange.origin}, where the result is, without a credential")
            _drop_credentials(flow)
            engine.hold_request(flow, self._streams)
            _clear(flow, flight, None, {})
            return
        provider.route(exchange)
        if provider.has_credential:
            _drop_credentials(flow, provider.withheld_headers)
        is_read = exchange.request_body is Body.READ
        if is_read or flight.is_simulated or flight.is_taped:
            engine.hold_request(flow, self._streams)
        elif exchange.request_body is Body.STREAM:
            flow.request.stream = True
        else:
            engine.stream_long_request(flow, SHOWN_BODY)
        if is_read:
            _place(flow, NOWHERE)
        else:
            _clear(flow, flight, provider, {})

    def _rewrite_request(self, flow: http.HTTPFlow, flight: Flight) -> None:
        exchange, provider = flight.exchange, flight.provider
        assert provider is not None
        request = flow.request
        body = _decoded(request, exchange.client.content_encoding)
        rewritten = provider.rewrite_request(exchange, body)
        changes = {} if rewritten is request.raw_content else _set_body(request, rewritten)
        if exchange.answer_body is Body.READ:
            # Fewer forms to decode; the answer is small.
            changes[b"accept-encoding"] = b"identity"
        _clear(flow, flight, provider, changes)

    def _rewrite_answer(self, flow: http.HTTPFlow, flight: Flight) -> None:
        response = flow.response
        assert response is not None
        assert flight.provider is not None
        try:
            body = _decoded(response, header_fields.value(response.headers.fields, b"content-encoding"))
        except Refusal:
            # As it came: the provider's own judgement of what it cannot read.
            body = response.raw_content or b""
        answer = Answer(response.status_code, body)
        try:
            rewritten = flight.provider.rewrite_answer(flight.exchange, answer)
        except JSONError as error:
            # The task may be paid for: an answer that cannot be read is better than none.
            logger.warning("ai-proxy: the answer to %s is passed on as it came: %s", guard.describe(flow), error)
            return
        if rewritten is not answer:
            _set_answer(response, rewritten)

    def _replay(self, flow: http.HTTPFlow) -> None:
        """A flow that was rewritten before is sent again: it only needs its credential anew."""
        flight = self._flight(flow)
        exchange, provider = flight.exchange, flight.provider
        request = flow.request
        origin = Origin(request.scheme, request.host, request.port)
        if provider is None or origin != provider.origin:
            message = "This flow was rewritten for another provider than the one that is configured now."
            self._refuse(flow, flight, Refusal(400, message, code="provider_changed"))
            return
        mark = flow.metadata[MARK]
        exchange.origin, exchange.path = origin, request.path
        exchange.task_kind, exchange.answer_body = mark["task_kind"], Body(mark["answer_body"])
        exchange.api, exchange.plan = mark.get("api"), mark.get("plan")
        exchange.note("replayed: rewritten before, the credential is new")
        _drop_credentials(flow)
        _clear(flow, flight, provider, {})

    def _refuse(self, flow: http.HTTPFlow, flight: Flight, refusal: Refusal) -> None:
        _drop_credentials(flow)
        if flow.request.port == NOWHERE.port and flight.exchange.origin:
            # It stays here: what is shown of it is where it would have gone.
            _place(flow, flight.exchange.origin)
        guard.refuse(flow, flight, refusal)

    # Configuration

    def _load(self, path: Path) -> None:
        """Put a file to use; on a ConfigurationError or a CassetteError, all stays as it was."""
        signature = _signature(path)
        is_simulated = self.simulation is not None
        offline = self.recording is not None and (self.recording.is_offline or is_simulated)
        self._use(registry.read(path, offline=offline, simulated=is_simulated))
        self._path, self._signature = path, signature

    def _use(self, configuration: Configuration) -> None:
        """Put a configuration to use; on a ConfigurationError or a CassetteError, all stays as it was."""
        provider = registry.provider(configuration, simulated=self.simulation is not None)
        if self.recording:
            self.recording.use(configuration, provider)
        # From here on, nothing can fail.
        if self.simulation:
            self.simulation.simulator.use(configuration.block(SimulatorSettings))
        self.provider, self._hosts = provider, registry.hosts(configuration, provider)
        self._guard.takes = self.takes
        logger.info("ai-proxy: %s: provider %s at %s", configuration.source, provider.type, provider.origin)

    def _banner(self) -> str:
        """What a person has to know of a simulation, with a line to paste."""
        reason = f"{SIMULATE} is set"
        if self._path:
            try:
                registry.read(self._path)
            except ConfigurationError:
                reason = "no credential found"
        proxyserver: Any = ctx.master.addons.get("proxyserver")
        addresses = proxyserver.listen_addrs() if proxyserver else []
        host, port = addresses[0][:2] if addresses else ("127.0.0.1", ctx.options.listen_port or 8080)
        where = Origin("http", "127.0.0.1" if host in ("", "0.0.0.0", "::") else host, port)  # noqa: S104 - compared only
        return (
            f"SIMULATED: {reason}, nothing is sent, nothing is paid\n"
            f"  curl {where}/v1/videos -H 'Content-Type: application/json' -d "
            '\'{"model": "kling-v3", "prompt": "a cat on a skateboard", "duration": "5"}\''
        )

    async def _watch(self) -> None:
        """Take a changed file up, without touching flows under way; report a bad one and keep the old."""
        while True:
            await asyncio.sleep(WATCH_INTERVAL)
            path = self._path
            if path is None:
                continue
            signature = _signature(path)
            if signature == self._signature:
                continue
            self._signature = signature
            try:
                self._load(path)
            except (ConfigurationError, CassetteError) as error:
                kept = "the old configuration stays" if self.provider else "nothing is forwarded"
                logger.error("ai-proxy: %s\n  (%s)", error, kept)
            except Exception as error:
                logger.error("ai-proxy: %s while reading %s", type(error).__name__, path)


def _drop_credentials(flow: http.HTTPFlow, besides: tuple[bytes, ...] = ()) -> None:
    headers = flow.request.headers
    headers.fields = header_fields.without(headers.fields, CLIENT_CREDENTIALS, besides)


def _place(flow: http.HTTPFlow, origin: Origin) -> None:
    # The setters of mitmproxy's request write the Host header again for each of the three.
    data = flow.request.data
    data.scheme, data.host, data.port = origin.scheme.encode(), origin.host, origin.port


def _clear(flow: http.HTTPFlow, flight: Flight, provider: Provider | None, changes: dict[bytes, bytes | None]) -> None:
    """All is decided: put it into the flow, with these changes of header fields, and mark it as ready to go out.

    Without a provider, no credential goes with it.
    """
    exchange, origin, request = flight.exchange, flight.exchange.origin, flow.request
    assert origin is not None
    _place(flow, origin)
    request.path = exchange.path
    if exchange.upstream_method:
        request.method = exchange.upstream_method
        if not request.raw_content:
            changes |= dict.fromkeys(_BODY_FIELDS)
    if exchange.upstream_content_type:
        changes[b"content-type"] = exchange.upstream_content_type.encode()
    authority = origin.authority.encode()
    if request.data.authority:
        request.data.authority = authority
    is_http1 = request.data.http_version.startswith(b"HTTP/1")
    if is_http1:
        changes[b"host"] = authority
    else:
        request.host_header = origin.authority
    if request.raw_content and (exchange.upstream_method or not is_http1):
        # A GET had no length and HTTP/2 needs none, but the provider may speak HTTP/1.1.
        request.headers["Content-Length"] = str(len(request.raw_content))
    authorization = provider.authorization(request.headers) if provider else None
    if authorization is not None:
        changes[b"authorization"] = authorization.encode()
    request.headers.fields = header_fields.changed(request.headers.fields, changes)
    flow.metadata[MARK] = {
        "api": exchange.api,
        "task_kind": exchange.task_kind,
        "answer_body": exchange.answer_body.value,
        "plan": exchange.plan,
    }
    flow.comment = "; ".join(exchange.notes)
    flight.ready = True


def _decoded(message: http.Message, encoding: str) -> bytes:
    if not encoding:
        return message.raw_content or b""
    try:
        return content_encoding.decode(message.raw_content or b"", encoding, engine.LIMIT)
    except ValueError as error:
        raise errors.bad_body(f"The body {error}.", param="Content-Encoding") from None


def _is_streamed_type(message: http.Message) -> bool:
    return header_fields.value(message.headers.fields, b"content-type").lower().startswith(STREAMED_TYPES)


def _set_answer(response: http.Response, answer: Answer) -> None:
    if answer.status != response.status_code:
        response.status_code, response.reason = answer.status, status_codes.RESPONSES.get(answer.status, "")
    changes = _set_body(response, answer.body)
    for name, text in answer.headers.items():
        # When to come again is better known by the one who is asked.
        if name != "retry-after" or name not in response.headers:
            changes[name.encode()] = text.encode("utf-8", "surrogateescape") if text is not None else None
    response.headers.fields = header_fields.changed(response.headers.fields, changes)


def _set_body(message: http.Message, body: bytes) -> dict[bytes, bytes | None]:
    """Give a message another body, without a Content-Encoding; returns the changes of header fields this needs."""
    message.raw_content = body
    return {b"content-encoding": None, b"content-length": str(len(body)).encode()}


def _refuse_strangers(flow: http.HTTPFlow, client: Client) -> None:
    """Whoever can send a request here spends the provider's money: not other machines, not web pages, by accident."""
    mode = flow.client_conn.proxy_mode
    if mode.type_name in ("reverse", "regular", "upstream"):
        peer = flow.client_conn.peername
        elsewhere = bool(peer) and not _is_loopback(peer[0])
        if elsewhere and not (mode.custom_listen_host or ctx.options.listen_host):
            raise Refusal(
                403,
                "ai-proxy serves other machines only when it is told so: start it with --listen-host ADDRESS.",
                code="not_local",
            )
    if mode.type_name == "reverse" and client.fetch_site == "cross-site":
        raise Refusal(403, "ai-proxy does not serve pages of other sites.", code="cross_site")


def _client_origin(flow: http.HTTPFlow) -> str:
    """The origin under which the client reached this proxy, or thinks to have reached the provider."""
    client = flow.client_conn
    scheme = "https" if client.tls_established else "http"
    if client.proxy_mode.type_name != "reverse":
        return str(Origin(scheme, flow.request.pretty_host, flow.request.port))
    # In reverse mode mitmproxy puts its target in the place of the Host header.
    host, port = client.sockname[:2] if client.sockname else ("127.0.0.1", 8080)
    return str(Origin(scheme, host.partition("%")[0], port))


@functools.lru_cache(maxsize=1024)
def _is_loopback(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback


def _connect_late() -> None:
    """In reverse mode mitmproxy connects to its target with each client, though every request goes to the provider."""
    options: Any = ctx.options
    modes = [mode_specs.ProxyMode.parse(mode) for mode in options.mode]
    if options.connection_strategy != "lazy" and all(isinstance(mode, mode_specs.ReverseMode) for mode in modes):
        options.update(connection_strategy="lazy")


def _signature(path: Path) -> tuple[int, ...] | None:
    """What changes when a file does; None when it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
