"""The way of a request: from its head, and its body where that is needed, to what is sent or answered here."""

from __future__ import annotations

import functools

from mitmproxy import http

from .. import errors, pipeline
from ..auth.header import CLIENT_FIELDS, redacted, without_protocol_keys
from ..auth.masking import mask_of
from ..edges import attempts, pages, ways
from ..errors import Refusal
from ..exchange import UNKNOWN_CALLER, Answer, NeedsBody, Upstream
from ..routing.rules import Choice, Listing
from ..wire import header_fields
from ..wire.targets import Origin
from . import flows, guard, sealed, strangers, streams
from .attempts import FlowAttempts
from .configured import Configured
from .flows import FlowState


class Rewriter:
    """Rewrites the requests of flows by the configuration that the main addon has."""

    def __init__(self, configured: Configured) -> None:
        self._configured = configured

    def route(self, flow: http.HTTPFlow, state: FlowState) -> None:
        """Route a request by its head, and send it if its body is not needed for that. Raises Refusal."""
        head, providers = state.head, state.providers
        # It is here already if the request was held, for a person to look at it.
        raw = flow.request.raw_content
        if head.caller.origin and pages.is_allowed(head.caller.origin, self._configured.page_rules):
            state.page = head.caller.origin.strip()
        is_preflight = pages.is_preflight(head.method, head.fields)
        results = [] if is_preflight else [r for stage in self._configured.active if (r := stage.begin(flow, state))]
        is_open = bool(results) and not any(result.needs_credential for result in results)
        # One that is replayed was let in before, and now comes from whoever is at the proxy.
        is_own = flows.PROBE in flow.metadata or flow.is_replay == "request"
        if not is_own:
            strangers.refuse_strangers(flow, UNKNOWN_CALLER if is_open else head.caller, self._configured.page_rules)
        if is_preflight:
            strangers.answer_preflight(flow, state)
            return
        if providers is None:
            raise errors.not_ready()
        if not is_open and not is_own:
            fields = self._configured.clients.admit(head.fields).fields
            if fields is not head.fields:
                state.head = head = head._replace(fields=fields)
                flow.request.headers.fields = fields
        for result in results:
            if result.origin:
                state.provider = providers.of_link(result.origin)
                streams.hold_request(flow, self._configured.streams)
                if result.needs_credential:
                    self.send(flow, state, pipeline.linked(state.provider, head, result.target))
                    return
                note = f"sent to {result.origin}, where the result is, without a credential"
                fields = flow.request.headers.fields
                send = pipeline.without_credential(head, result.origin, result.target, note, fields)
                flows.send(flow, state, send)
                return
        if flows.PROBE in flow.metadata:
            self._configured.probes.begin(flow, state, providers)
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
                answer_here(flow, state, Answer(200, choice.body, {"content-type": "application/json"}))
                return
            if not self._choose(flow, state, choice, raw):
                return
            head = choice.head
        elif not results and not self._choose(
            flow, state, Choice(state.provider, "", head, tuple(providers.by_id)), raw
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
            streams.hold_request(flow, self._configured.streams)
        elif found.holds_small or (state.attempts and state.attempts.can_follow):
            streams.stream_long_request(flow)
        else:
            streams.stream_request(flow)
        self.send(flow, state, found, raw or b"")

    def _choose(self, flow: http.HTTPFlow, state: FlowState, choice: Choice, raw: bytes | None) -> bool:
        """Take a choice of providers; False if the body is needed first. `raw`: the body as it was sent, if known."""
        state.provider = choice.provider
        providers = state.providers
        assert providers
        if not flow.live or flow.is_replay or not providers.is_watched(choice.names):
            return True
        if raw is None and attempts.need_body(providers, choice):
            state.choice, state.provider = choice, None
            state.asked = choice.provider.origin
            self._hold(flow, providers.withhold_credentials)
            return False
        if any(stage.is_offline and not stage.simulates for stage in self._configured.active):
            # What was recorded does not depend on what has failed in this replay.
            providers = providers.without_memory()
        made = FlowAttempts(flow, providers, attempts.drawn(providers, choice, state.head, raw), choice.head)
        made.raw = raw
        made.restart = functools.partial(self._again, flow, made)
        made.arrange()
        state.attempts, state.provider = made, made.provider
        return True

    def _hold(self, flow: http.HTTPFlow, withholds: bool, withheld: tuple[bytes, ...] = ()) -> None:
        """Hold a request until its body is there, without the client's credentials if none of them is sent on."""
        if withholds:
            _drop_credentials(flow, withheld)
        elif sealed.is_installed():
            fields, target = flow.request.headers.fields, flow.request.path
            sealed.seal(flow, flows.NOWHERE, fields, target, redacted(fields), target)
        streams.hold_request(flow, self._configured.streams)
        flows.place(flow, flows.NOWHERE)

    def send(self, flow: http.HTTPFlow, state: FlowState, upstream: Upstream, raw: bytes = b"") -> None:
        """Put the upstream request into the flow, with its credential; `raw` is the client's body, if it is known."""
        assert state.provider
        # Other addons may have changed header fields since requestheaders.
        fields = sealed.fields_of(flow)
        token = None
        if state.attempts:
            state.attempts.send(upstream)
            token = state.attempts.place.token
        flows.send(flow, state, pipeline.outgoing(state.provider, state.head, upstream, fields, raw, token))

    def renew(self, flow: http.HTTPFlow, state: FlowState) -> None:
        """Give a request that is sent later than it was rewritten, and perhaps edited, a new credential.

        None where somebody has led it to another host. Raises Refusal.
        """
        provider, upstream = state.provider, state.upstream
        if provider is None or upstream is None or not sealed.is_for(flow, upstream.origin):
            return
        index = state.attempts.place.token if state.attempts else None
        token = provider.token(sealed.fields_of(flow)) if index is None else provider.tokens[index]
        request = flow.request
        credential = pipeline.renewed(provider, upstream, request.path, request.raw_content or b"", token)
        if credential.values and credential.fields.keys() <= set(state.secret_fields):
            sealed.renew(flow, credential)
            state.mask = mask_of(credential.values)

    def send_again(self, flow: http.HTTPFlow, state: FlowState) -> None:
        """Send a replayed flow, which is rewritten already, with a new credential."""
        request = flow.request
        origin = Origin(request.scheme, request.host, request.port)
        state.provider = state.providers.at(origin, flows.provider_of(flow)) if state.providers else None
        if state.provider is None:
            raise errors.provider_changed()
        listed = flow.metadata.get(flows.LISTED)
        words = listed.get("words", ()) if isinstance(listed, dict) else ()
        free = next((word for word in ("simulated", "replayed") if word in words), "")
        if free and state.way == ways.SENT:
            raise errors.was_not_sent(free)
        memo, raw = flows.memo_of(flow), request.raw_content or b""
        flows.send(flow, state, pipeline.resend(state.provider, state.head, origin, memo, raw))
        if state.name:
            state.note(f"for {state.name}, as before")
            flows.show_notes(flow, state)

    def rewritten(self, flow: http.HTTPFlow, state: FlowState, raw: bytes) -> Upstream | Answer:
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

    def _again(self, flow: http.HTTPFlow, made: FlowAttempts) -> bytes:
        """Begin the next try of a flow, with the client's own request; returns its body."""
        last = self._configured.guard.states[flow]
        earlier = (*last.earlier, *last.notes)
        state = FlowState(last.head, last.providers, made.provider, attempts=made, earlier=earlier)
        state.page, state.client_origin, state.stages = last.page, last.client_origin, last.stages
        state.held_by.update(last.stages)
        state.stop = last.stop._replace(after=False)
        state.set_way(self._configured.way)
        state.prepared = made.prepared
        self._configured.guard.states[flow] = state
        flows.restore(flow, last.head)
        if made.provider.withholds_credential:
            _drop_credentials(flow, made.provider.withheld_headers)
        streams.hold_request(flow, self._configured.streams)
        return made.raw or b""


def refuse(flow: http.HTTPFlow, state: FlowState, refusal: Refusal) -> None:
    """Answer with a refusal, without the client's credentials in the flow."""
    _drop_credentials(flow)
    place_back(flow, state)
    guard.refuse(flow, state, refusal)


def place_back(flow: http.HTTPFlow, state: FlowState) -> None:
    """Have mitmproxy show the upstream that a held request was for; it is not sent."""
    place = state.origin or state.asked
    if flow.request.port == flows.NOWHERE.port and place:
        flows.place(flow, place)


def answer_here(flow: http.HTTPFlow, state: FlowState, answer: Answer) -> None:
    """Answer a request, so that it is not sent."""
    body = b"" if flow.request.method == "HEAD" else answer.body
    headers = {name: text for name, text in answer.headers.items() if text is not None}
    flow.response = http.Response.make(answer.status, body, headers)
    _drop_credentials(flow)
    state.note(*answer.notes)
    streams.hold_request(flow)


def _drop_credentials(flow: http.HTTPFlow, prefixes: tuple[bytes, ...] = ()) -> None:
    """Remove the client's credentials, and the header fields whose names start with one of `prefixes`."""
    headers = flow.request.headers
    headers.fields = without_protocol_keys(header_fields.changed(headers.fields, {}, CLIENT_FIELDS, prefixes))
