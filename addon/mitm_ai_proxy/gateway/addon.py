"""The main addon: its option, its hooks, and the order of steps for a flow."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from mitmproxy import ctx, exceptions, http
from mitmproxy.addonmanager import Loader
from mitmproxy.proxy import mode_specs
from mitmproxy.utils import human

from .. import errors, pipeline, registry
from ..auth.header import CLIENT_FIELDS
from ..config.file import ConfigurationError
from ..errors import Refusal
from ..exchange import UNKNOWN_CALLER, Answer, NeedsBody, Upstream, Whole
from ..providers.base import Provider
from ..providers.fetches import Fetch
from ..registry import Configuration
from ..routing.providers import Providers
from ..routing.rules import Choice, Listing
from ..view.prices import PriceSettings
from ..wire import header_fields
from ..wire.json_edit import JSONError
from ..wire.targets import Origin, Url
from . import (
    content_view,
    engine,
    error_bodies,
    fetching,
    flows,
    guard,
    health_report,
    inspected,
    pages,
    strangers,
    streams,
)
from .attempts import Attempts
from .flows import FlowState
from .guard import Guard, fail_closed
from .held import HELD
from .pages import Rules
from .probes import Probes
from .stages import Stage, StageError
from .strangers import client_origin
from .token_fetcher import TokenFetcher
from .watch import Watch

logger = logging.getLogger(__name__)

OPTION: Final = "ai_config"
HELD_OPTION: Final = "ai_held_bodies"
HEALTH: Final = "ai.health"


class Gateway:
    """The main addon. Rewritten requests pass through the active ones of `stages`, in this order."""

    name = "ai_proxy"
    addons: list[object]
    """The active stages, whose hooks mitmproxy calls after ours. Without any it is unset, to save time at each hook."""

    def __init__(self, stages: Sequence[Stage] = ()) -> None:
        self.stages = tuple(stages)
        self.configuration: Configuration | None = None
        self.providers: Providers | None = None
        self._only: Provider | None = None
        self._pages = pages.NO_RULES
        self._active: tuple[Stage, ...] = ()
        self._registered: list[Stage] = []
        self._streams = True
        self._guard = Guard(registry.DEFAULT_HOSTS)
        self._path = Path()
        self._watch = Watch(self._load, self._use_changed)
        self._inspects = False
        self._probes = Probes()
        self._tokens = TokenFetcher()

    # Start, options and end

    def load(self, loader: Loader) -> None:
        """Declare the options. The guard is installed first, so that it works even if the rest fails."""
        self._guard = Guard.install(registry.DEFAULT_HOSTS)
        engine.drop_trailers()
        engine.tell_lost_connections()
        content_view.add()
        options = [
            OPTION,
            HELD_OPTION,
            inspected.OPTION,
            *(option for stage in self.stages for option in stage.options),
        ]
        # mitmproxy silently drops a script if a value of its option has the wrong type, and ignores unknown options.
        for name, value in ctx.options.deferred.items():
            if name.startswith("ai_") and name not in options:
                logger.error("ai-proxy: unknown option %s; there are %s.", name, ", ".join(options))
            elif name in options and len(getattr(value, "val", [value])) != 1:
                logger.error("ai-proxy: %s takes one value: --set %s=…", name, name)
        loader.add_option(OPTION, str, "config.yaml", "Configuration of ai-proxy: which provider, which credential.")
        loader.add_option(
            HELD_OPTION, str, "512m", "Size of the long request bodies that are held at one time, in all."
        )
        loader.add_command(HEALTH, self.health)
        # A str: mitmproxy would silently drop the script for a value that is no bool.
        loader.add_option(
            inspected.OPTION, str, "false", "true: change nothing, use no configuration; show chats and jobs."
        )
        for stage in self.stages:
            stage.declare(loader, self._guard)

    def configure(self, updated: set[str]) -> None:
        """Read the configuration when its path is set; in reverse mode, set connection_strategy to lazy."""
        # The last one first: an earlier one may be refused because a later one is active.
        for stage in reversed(self.stages):
            stage.set_options(updated, self.stages, self.providers is not None)
        self._activate()
        if inspected.OPTION in updated:
            self._inspect(getattr(ctx.options, inspected.OPTION))
        if HELD_OPTION in updated:
            self._limit_held(getattr(ctx.options, HELD_OPTION))
        if OPTION in updated and not self._inspects:
            self._configure()
        if "stream_large_bodies" in updated:
            self._streams = bool(ctx.options.stream_large_bodies)
        if not self._inspects and {"mode", "connection_strategy", "keep_host_header"} & updated:
            _connect_late()
            strangers.keep_host()

    def _configure(self) -> None:
        path = Path(getattr(ctx.options, OPTION)).expanduser()
        if self.providers is None:
            self._path = path
        try:
            self._use_file(path)
        except (ConfigurationError, StageError) as error:
            self._complain(str(error))

    def _inspect(self, value: str) -> None:
        """Begin to look at all traffic and to touch none, or not; for the start only."""
        if value not in ("true", "false"):
            self._complain(f"{inspected.OPTION} takes true or false.")
        elif self.providers is not None:
            raise exceptions.OptionsError(f"ai-proxy: {inspected.OPTION} can only be set at the start.")
        elif value == "true" and (busy := [stage.name for stage in self._active]):
            self._complain(f"{inspected.OPTION} changes nothing, so it does not go with {' and '.join(busy)}.")
        else:
            self._inspects = self._guard.is_off = value == "true"

    def _limit_held(self, text: str) -> None:
        try:
            size = human.parse_size(text)
        except ValueError:
            size = None
        if size is None or size < 0:
            self._complain(f"{HELD_OPTION} is no size, such as 512m.")
        else:
            HELD.limit = size

    def _complain(self, mistake: str) -> None:
        """Refuse the value of an option."""
        if self.providers is not None:
            raise exceptions.OptionsError(mistake)
        # A logged error ends the process during start-up, without the traceback that a raised one gets.
        logger.error("ai-proxy: %s", mistake)

    def running(self) -> None:
        """Begin to watch the configuration file; log the stages' banners and a hint about connection_strategy."""
        if self._inspects:
            here = _here()
            logger.info("%s", inspected.hints(here.host, here.port, Path(ctx.options.confdir)))
            return
        self._watch.start()
        self._probes.start(lambda: None if self._way != flows.SENT else self.providers)
        self._tokens.start()
        for stage in self._active:
            if self.configuration and (banner := stage.banner(self.configuration, _here())):
                logger.info("%s", banner)
        if ctx.options.connection_strategy != "lazy":
            logger.info(
                "ai-proxy: mitmproxy connects to the host that a client names before a request is rewritten; "
                "--set connection_strategy=lazy avoids that."
            )

    def done(self) -> None:
        """Stop watching. At the end of the process, redact unfinished flows, which mitmproxy may save."""
        self._watch.stop()
        self._probes.stop()
        content_view.remove()
        self._tokens.stop()
        if ctx.master.should_exit.is_set():
            for flow, state in list(self._guard.states.items()):
                flows.redact(flow, state)

    def health(self) -> Sequence[str]:
        """Print which tokens and providers are in use, left out or on trial, since when and why."""
        lines = health_report.lines(self.providers) if self.providers else ["there is no valid configuration"]
        logger.info("ai-proxy: %s", "\n  ".join(lines))
        return lines

    # Configuration

    def use(self, configuration: Configuration) -> None:
        """Switch to another configuration and to the stages that are active now; no file is watched any more.

        Flows in progress keep the old configuration. If it raises ConfigurationError or StageError, nothing changes.
        """
        self._activate()
        self._use(self._with_texts(configuration))
        self._watch.forget()

    def _use(self, configuration: Configuration) -> None:
        providers = registry.providers(configuration, simulated=self._simulates)
        prepared = [stage.prepare(configuration, providers) for stage in self._active]
        for put_to_use in prepared:
            put_to_use()
        tokens = [provider.access_tokens for provider in providers if provider.access_tokens]
        self._tokens.use(tokens, is_offline=any(stage.is_offline for stage in self._active) or self._simulates)
        self.configuration, self.providers, self._only = configuration, providers, providers.only
        self._guard.hosts = registry.hosts(configuration, *providers)
        names = [pattern.host for pattern in self._guard.hosts]
        allowed = configuration.block(registry.PageSettings).allowed_origins
        content_view.use(configuration.block(PriceSettings))
        self._pages = Rules.made(allowed, registry.public_origins(configuration), names)
        for line in registry.described(configuration, providers):
            logger.info("ai-proxy: %s: %s", configuration.source, line)
        for warning in registry.warnings(configuration):
            logger.warning("ai-proxy: %s: %s", configuration.source, warning)

    def _use_file(self, path: Path) -> None:
        self._watch.read(path)
        self._use(self._read(path))
        self._path = path

    def _read(self, path: Path) -> Configuration:
        found = registry.read(path, offline=self._is_offline, simulated=self._simulates)
        return self._with_texts(found)

    @property
    def _is_offline(self) -> bool:
        return any(stage.is_offline for stage in self._active)

    def _with_texts(self, configuration: Configuration) -> Configuration:
        """The configuration with the files of its providers. Where nothing is sent, no URL is loaded, either."""

        def load(fetch: Fetch) -> str:
            if isinstance(fetch.source, Url) and (self._is_offline or self._simulates):
                return ""
            text = fetching.load(fetch)
            logger.info("ai-proxy: %s loaded for %s: %d characters", fetch.source, fetch.key, len(text))
            return text

        return registry.fetched(configuration, load)

    def _load(self, path: Path) -> Configuration | Exception:
        try:
            return self._read(path)
        except Exception as error:
            return error

    @property
    def _simulates(self) -> bool:
        return any(stage.simulates for stage in self._active)

    @property
    def _way(self) -> str:
        """The way of a request, as far as the stages tell it before they have seen it."""
        if self._simulates:
            return flows.SIMULATED
        return flows.REPLAYED if any(stage.is_offline for stage in self._active) else flows.SENT

    def _use_changed(self, loaded: Configuration | Exception) -> None:
        """Use the configuration file that has changed; if it has errors, log them and keep the old configuration."""
        try:
            if isinstance(loaded, Exception):
                raise loaded
            self._use(loaded)
        except (ConfigurationError, StageError) as error:
            kept = "the old configuration stays" if self.providers else "nothing is forwarded"
            logger.error("ai-proxy: %s\n  (%s)", error, kept)
        except Exception as error:
            logger.error("ai-proxy: %s while reading %s", type(error).__name__, self._path)

    def _activate(self) -> None:
        """Register the active stages with mitmproxy, behind this addon."""
        active = tuple(stage for stage in self.stages if stage.is_active)
        if active != self._active:
            for stage in active:
                # mitmproxy keeps the name of an addon for good, and refuses it a second time.
                if stage not in self._registered:
                    ctx.master.addons.register(stage)
                    self._registered.append(stage)
            self.addons = list(active)
            self._active = active

    # Hooks of a flow

    @fail_closed
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Route the request by its head, or refuse it. If the body is needed for that, hold it."""
        if not guard.concerns(flow):
            return
        is_again = flow.is_replay == "request" and flows.MARK in flow.metadata
        if not (is_again or self._guard.takes(flow)):
            return
        strangers.keep_server_name(flow)
        state = FlowState(flows.head_of(flow), self.providers, self._only)
        if self._active:
            state.client_origin = client_origin(flow)
            state.stages = tuple(stage.name for stage in self._active)
            state.held_by.update(state.stages)
            state.set_way(self._way)
        self._guard.states[flow] = state
        try:
            flows.check_head(flow)
            if is_again:
                self._send_again(flow, state)
            else:
                self._route(flow, state)
        except Refusal as refusal:
            self._refuse(flow, state, refusal)

    @fail_closed
    def request(self, flow: http.HTTPFlow) -> None:
        """Rewrite a request whose body was held."""
        state = self._guard.states.get(flow)
        if state is None or not guard.concerns(flow):
            return
        raw = flow.request.raw_content or b""
        if state.attempts and state.attempts.raw is None and not flow.request.stream:
            state.attempts.raw = raw
        if state.is_ready:
            return
        try:
            found = self._rewritten(flow, state, raw)
            if isinstance(found, Upstream):
                self._send(flow, state, found, raw)
        except Refusal as refusal:
            self._refuse(flow, state, refusal)
        else:
            if isinstance(found, Answer):
                _place_back(flow, state)
                _answer_here(flow, state, found)

    @fail_closed
    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Redact the request, which has been sent, and begin to hold, translate or pass the answer."""
        if self._inspects:
            inspected.begin_answer(flow, self._streams)
            return
        state, response = self._guard.states.get(flow), flow.response
        if state is None or state.is_refused or response is None:
            return
        flows.put_back(flow, state)
        flows.redact(flow, state)
        if state.upstream is None or state.provider is None:
            return  # another addon answered it
        fields = response.headers.fields
        handling = pipeline.responseheaders(state.provider, state.upstream, response.status_code, fields)
        if state.attempts:
            state.attempts.hear(response.status_code, fields)
            if state.attempts.is_refused:
                handling = Whole(_as_it_came)
        for stage in self._active:
            handling = stage.begin_answer(flow, state, handling)
        state.handling = handling
        flows.mask_head(response, state)
        streams.begin_answer(flow, response, handling, state.dialect, self._streams, state.mask)
        if state.page:
            pages.allow(response, state.page)

    @fail_closed
    def response(self, flow: http.HTTPFlow) -> None:
        """Rewrite an answer whose body was held."""
        if self._inspects:
            inspected.end_answer(flow)
            return
        state = self._guard.states.get(flow)
        if not (state and state.attempts and state.attempts.is_refused):
            HELD.release(flow)
        if state is None or flow.response is None:
            return
        if state.attempts:
            state.attempts.complete(flow.response.status_code)
        if state.is_ready:
            state.set_way(_way_of_answer(state, self._active))
            for stage in self._active:
                stage.hear_answer(flow, flow.response)
            error_bodies.log(flow, state)
        if state.has_failed:
            guard.answer(flow, state, errors.internal_error())
        elif not state.is_refused and isinstance(state.handling, Whole) and flow.is_replay != "response":
            self._answer(flow, flow.response, state, state.handling)
        if flow.response.stream:
            state.note(*filter(None, [streams.show_stream(flow.response)]))
        else:
            flows.mask_body(flow.response, state)
            if state.page:
                pages.allow(flow.response, state.page)
        self._end_try(flow, state)
        # Last: if something raises above, stop() needs the state.
        if not (state.attempts and state.attempts.is_refused):
            del self._guard.states[flow]

    @fail_closed
    def error(self, flow: http.HTTPFlow) -> None:
        """Redact and forget a flow whose connection broke, tell the provider, and answer the client."""
        if self._inspects:
            inspected.redact(flow)
            return
        state = self._guard.states.pop(flow, None)
        # mitmproxy refuses an invalid head before requestheaders.
        if state is None and not self._guard.takes(flow):
            return
        if state:
            flows.put_back(flow, state)
        flows.redact(flow, state)
        if state and state.mask and flow.error:
            flow.error.msg = state.mask.text(flow.error.msg)
        if state and state.attempts:
            state.attempts.break_off(state.attempts.loop.problem if state.attempts.loop else None)
        if state and state.provider and state.upstream:
            state.set_way(_way_of_answer(state, self._active))
            self._end_try(flow, state)
            state.provider.error(state.upstream)
        if state and state.attempts and state.attempts.is_refused:
            self._guard.states[flow] = state
            return
        HELD.release(flow)
        guard.answer_error(flow, state)
        engine.close_if_too_long(flow)

    def _end_try(self, flow: http.HTTPFlow, state: FlowState) -> None:
        """Show what is noted of a try; those of a try that another one follows are kept."""
        if state.attempts:
            state.note(*state.attempts.lines)
            state.attempts.lines = []
        flows.show_notes(flow, state)

    async def ai_proxy_wait(self, flow: http.HTTPFlow) -> None:
        """Wait between two tries of a flow, or for a place in line, as long as its client does."""
        state = self._guard.states.get(flow)
        if state and state.attempts:
            await state.attempts.wait_for_it()

    def _again(self, flow: http.HTTPFlow, attempts: Attempts) -> bytes:
        """Begin the next try of a flow, with the client's own request; returns its body."""
        last = self._guard.states[flow]
        earlier = (*last.earlier, *last.notes)
        state = FlowState(last.head, last.providers, attempts.provider, attempts=attempts, earlier=earlier)
        state.page, state.client_origin, state.stages = last.page, last.client_origin, last.stages
        state.held_by.update(last.stages)
        state.set_way(self._way)
        state.prepared = attempts.prepared
        self._guard.states[flow] = state
        flows.restore(flow, last.head)
        if attempts.provider.has_credential:
            _drop_credentials(flow, attempts.provider.withheld_headers)
        streams.hold_request(flow, self._streams)
        return attempts.raw or b""

    def stop(self, flow: http.HTTPFlow) -> None:
        """Answer 500 or kill the flow after a hook raised (see fail_closed)."""
        state = self._guard.states.get(flow)
        flows.redact(flow, state)
        if flow.response is None or state is None:
            guard.answer(flow, state, errors.internal_error())
        elif flow.response.stream:
            flow.kill()
        elif flow.response.raw_content is None:
            # In responseheaders: the upstream's body, still to come, would be put into an answer made now.
            state.has_failed = True
        else:
            guard.answer(flow, state, errors.internal_error())
        if state is not None:
            state.is_refused = True

    def _route(self, flow: http.HTTPFlow, state: FlowState) -> None:
        head, providers = state.head, state.providers
        if head.caller.origin and pages.is_allowed(head.caller.origin, self._pages):
            state.page = head.caller.origin.strip()
        is_preflight = pages.is_preflight(head.method, head.fields)
        results = [] if is_preflight else [r for stage in self._active if (r := stage.begin(flow, state))]
        is_open = bool(results) and not any(result.needs_credential for result in results)
        if flows.PROBE not in flow.metadata:
            strangers.refuse_strangers(flow, UNKNOWN_CALLER if is_open else head.caller, self._pages)
        if is_preflight:
            strangers.answer_preflight(flow, state)
            return
        if providers is None:
            raise errors.not_ready()
        for result in results:
            if result.origin:
                state.provider = providers.of_link(result.origin)
                streams.hold_request(flow, self._streams)
                if result.needs_credential:
                    self._send(flow, state, pipeline.linked(state.provider, head, result.target))
                    return
                note = f"sent to {result.origin}, where the result is, without a credential"
                fields = flow.request.headers.fields
                send = pipeline.without_credential(head, result.origin, result.target, note, fields)
                flows.send(flow, state, send)
                return
        if flows.PROBE in flow.metadata:
            self._probes.begin(flow, state, providers)
            assert state.provider
        elif state.provider is None:
            assert providers.router
            choice = providers.router.choose(head)
            if choice is None:
                state.asked = Origin(flow.request.scheme, flow.request.host, flow.request.port)
                self._hold(flow, providers.withhold_credentials)
                return
            state.note(choice.note)
            if isinstance(choice, Listing):
                _answer_here(flow, state, Answer(200, choice.body, {"content-type": "application/json"}))
                return
            if not self._choose(flow, state, choice, None):
                return
            head = choice.head
        elif not results and not self._choose(
            flow, state, Choice(state.provider, "", head, tuple(providers.by_id)), None
        ):
            return
        provider = state.provider
        assert provider
        found = pipeline.requestheaders(provider, head)
        if isinstance(found, NeedsBody):
            state.needs = found
            state.note(*found.notes)
            self._hold(flow, provider.withholds_credential, provider.withheld_headers)
            return
        if state.held_by:
            streams.hold_request(flow, self._streams)
        elif found.is_shown or (state.attempts and state.attempts.can_follow):
            streams.stream_long_request(flow)
        else:
            streams.stream_request(flow)
        self._send(flow, state, found)

    def _choose(self, flow: http.HTTPFlow, state: FlowState, choice: Choice, raw: bytes | None) -> bool:
        """Take a choice of providers; False if the body is needed first. `raw`: the body as it was sent, if known."""
        state.provider = choice.provider
        providers = state.providers
        assert providers
        if not flow.live or flow.is_replay or not providers.is_watched(choice.names):
            return True
        if raw is None and choice.provider.needs_body_for_scope(choice.head):
            state.choice, state.provider = choice, None
            state.asked = choice.provider.origin
            self._hold(flow, providers.withhold_credentials)
            return False
        body = None if raw is None else pipeline.client_body(state.head, raw)
        tries = providers.tries(choice.names, choice.head, body)
        tries.first()
        attempts = Attempts(flow, providers, tries, choice.head)
        attempts.raw = raw
        attempts.restart = functools.partial(self._again, flow, attempts)
        attempts.arrange()
        state.attempts, state.provider = attempts, attempts.provider
        return True

    def _hold(self, flow: http.HTTPFlow, withholds: bool, withheld: tuple[bytes, ...] = ()) -> None:
        """Hold a request until its body is there, without the client's credentials if none of them is sent on."""
        if withholds:
            _drop_credentials(flow, withheld)
        streams.hold_request(flow, self._streams)
        flows.place(flow, flows.NOWHERE)

    def _send(self, flow: http.HTTPFlow, state: FlowState, upstream: Upstream, raw: bytes = b"") -> None:
        assert state.provider
        # Other addons may have changed header fields since requestheaders.
        fields = flow.request.headers.fields
        token = None
        if state.attempts:
            state.attempts.send(upstream)
            token = state.attempts.place.token
        flows.send(flow, state, pipeline.outgoing(state.provider, state.head, upstream, fields, raw, token))

    def _send_again(self, flow: http.HTTPFlow, state: FlowState) -> None:
        """Send a replayed flow, which is rewritten already, with a new credential."""
        request = flow.request
        origin = Origin(request.scheme, request.host, request.port)
        state.provider = state.providers.at(origin, flows.provider_of(flow)) if state.providers else None
        if state.provider is None:
            raise errors.provider_changed()
        if state.name:
            state.note(f"rewritten before: {state.name}")
        memo, raw = flows.memo_of(flow), request.raw_content or b""
        flows.send(flow, state, pipeline.resend(state.provider, state.head, origin, memo, raw))

    def _answer(self, flow: http.HTTPFlow, response: http.Response, state: FlowState, whole: Whole) -> None:
        raw = response.raw_content or b""
        try:
            answer = pipeline.response(whole, response.status_code, response.headers.fields, raw)
        except JSONError as error:
            logger.warning("ai-proxy: the answer to %s is passed on as it came: %s", flows.describe(flow), error)
            return
        if answer:
            flows.reply(response, answer)
            state.note(*answer.notes)

    def _rewritten(self, flow: http.HTTPFlow, state: FlowState, raw: bytes) -> Upstream | Answer:
        """The upstream request of a flow, with its body as it was sent, or the answer. Raises Refusal."""
        if state.prepared is not None:
            return state.prepared
        if state.needs is None:
            assert state.providers
            choice = state.choice
            if choice is None:
                assert state.providers.router
                choice = pipeline.chosen(state.providers.router, state.head, raw)
                state.note(choice.note)
            self._choose(flow, state, choice, raw)
            provider = state.provider
            assert provider
            found = pipeline.requestheaders(provider, choice.head)
            if not isinstance(found, NeedsBody):
                return found
            state.needs = found
            state.note(*found.notes)
        return pipeline.request(state.needs, state.head, raw)

    def _refuse(self, flow: http.HTTPFlow, state: FlowState, refusal: Refusal) -> None:
        _drop_credentials(flow)
        _place_back(flow, state)
        guard.refuse(flow, state, refusal)


def _place_back(flow: http.HTTPFlow, state: FlowState) -> None:
    """Have mitmproxy show the upstream that a held request was for; it is not sent."""
    place = state.origin or state.asked
    if flow.request.port == flows.NOWHERE.port and place:
        flows.place(flow, place)


def _as_it_came(answer: Answer) -> Answer:
    return answer


def _answer_here(flow: http.HTTPFlow, state: FlowState, answer: Answer) -> None:
    """Answer a request, so that it is not sent."""
    body = b"" if flow.request.method == "HEAD" else answer.body
    headers = {name: text for name, text in answer.headers.items() if text is not None}
    flow.response = http.Response.make(answer.status, body, headers)
    _drop_credentials(flow)
    state.note(*answer.notes)
    streams.hold_request(flow)


def _way_of_answer(state: FlowState, stages: Sequence[Stage]) -> str:
    """The way of a request that has an answer: a stage that still holds it has answered it."""
    for stage in stages:
        if stage.name in state.held_by:
            return flows.SIMULATED if stage.simulates else flows.REPLAYED
    return state.answered_way or flows.SENT


def _drop_credentials(flow: http.HTTPFlow, prefixes: tuple[bytes, ...] = ()) -> None:
    """Remove the client's credentials, and the header fields whose names start with one of `prefixes`."""
    headers = flow.request.headers
    headers.fields = header_fields.changed(headers.fields, {}, CLIENT_FIELDS, prefixes)


def _here() -> Origin:
    """The origin at which the proxy listens; 127.0.0.1 stands for all addresses."""
    proxyserver: Any = ctx.master.addons.get("proxyserver")
    addresses = proxyserver.listen_addrs() if proxyserver else []
    host, port = addresses[0][:2] if addresses else ("127.0.0.1", ctx.options.listen_port or 8080)
    return Origin("http", "127.0.0.1" if host in ("", "0.0.0.0", "::") else host, port)  # noqa: S104 - compared only


def _connect_late() -> None:
    """Set connection_strategy to lazy if all modes are reverse: mitmproxy's eager connections would not be used."""
    options: Any = ctx.options
    modes = [mode_specs.ProxyMode.parse(mode) for mode in options.mode]
    if options.connection_strategy != "lazy" and all(isinstance(mode, mode_specs.ReverseMode) for mode in modes):
        options.update(connection_strategy="lazy")
