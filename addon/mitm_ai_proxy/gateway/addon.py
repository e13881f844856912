"""The main addon: its hooks, and the order of steps for a flow."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from mitmproxy import http

from .. import errors, pipeline
from ..edges import error_bodies, pages, ways
from ..edges.held import HELD
from ..errors import Refusal
from ..exchange import Answer, Upstream, Whole
from ..wire.json_edit import JSONError
from ..wire.targets import Origin
from . import crashes, engine, flows, guard, rewriting, sealed, strangers, streams
from .configured import Configured
from .flows import FlowState
from .guard import fail_closed
from .intercepting import Intercepting
from .rewriting import Rewriter
from .stages import Stage
from .strangers import client_origin

logger = logging.getLogger(__name__)


class Gateway(Configured):
    """The main addon. Rewritten requests pass through the active ones of `stages`, in this order."""

    name = "ai_proxy"

    def __init__(self, stages: Sequence[Stage] = ()) -> None:
        super().__init__(stages)
        self._rewriter = Rewriter(self)
        self.intercepting = Intercepting(self)

    @fail_closed
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Route the request by its head, or refuse it. If the body is needed for that, hold it."""
        if not guard.concerns(flow):
            return
        is_again = _is_again(flow)
        if not (is_again or self.guard.takes(flow)):
            return
        strangers.keep_server_name(flow)
        if is_again:
            # Behind this hook, mitmproxy puts the body back that the flow had.
            state = FlowState(flows.head_of(flow), self.providers, self.only)
            state.asked = Origin(flow.request.scheme, flow.request.host, flow.request.port)
            self.guard.states[flow] = state
            streams.hold_request(flow)
            flows.place(flow, flows.NOWHERE)
            return
        if self.intercepting.is_on and not flow.is_replay and flows.PROBE not in flow.metadata:
            state = FlowState(flows.head_of(flow), self.providers, self.only)
            self.guard.states[flow] = state
            try:
                flows.check_head(flow)
            except Refusal as refusal:
                rewriting.refuse(flow, state, refusal)
                return
            if self.intercepting.holds(flow, state):
                return
        self.begin(flow)

    def begin(self, flow: http.HTTPFlow) -> None:
        """Route a request by its head, or refuse it; in the requestheaders hook, or later where it was held."""
        is_again = _is_again(flow)
        if flow.is_replay == "request" and not is_again:
            sealed.drop_placeholders(flow)
        state = FlowState(flows.head_of(flow), self.providers, self.only)
        if self.active:
            state.client_origin = client_origin(flow)
            state.stages = tuple(stage.name for stage in self.active)
            state.held_by.update(state.stages)
            state.set_way(self.way)
        self.guard.states[flow] = state
        try:
            flows.check_head(flow)
            if is_again:
                self._rewriter.send_again(flow, state)
            else:
                self._rewriter.route(flow, state)
        except Refusal as refusal:
            rewriting.refuse(flow, state, refusal)

    @fail_closed
    def request(self, flow: http.HTTPFlow) -> None:
        """Rewrite a request whose body was held."""
        state = self.guard.states.get(flow)
        if state is None or not guard.concerns(flow):
            return
        if state.asked and _is_again(flow):
            flows.place(flow, state.asked)
            self.begin(flow)
            return
        streams.show_request(flow.request)
        raw = flow.request.raw_content or b""
        if state.attempts and state.attempts.raw is None and not flow.request.stream:
            state.attempts.raw = raw
        if state.is_ready:
            return
        try:
            found = self._rewriter.rewritten(flow, state, raw)
            if isinstance(found, Upstream):
                self._rewriter.send(flow, state, found, raw)
        except Refusal as refusal:
            rewriting.refuse(flow, state, refusal)
        else:
            if isinstance(found, Answer):
                rewriting.place_back(flow, state)
                rewriting.answer_here(flow, state, found)

    def put_in_order(self, flow: http.HTTPFlow, state: FlowState) -> None:
        """Give a request that was stopped behind its rewriting a new credential, or refuse it for its edits."""
        try:
            flows.check_head(flow)
            self._rewriter.renew(flow, state)
        except Refusal as refusal:
            rewriting.refuse(flow, state, refusal)

    @fail_closed
    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Redact the request, which has been sent, and begin to hold, translate or pass the answer."""
        state, response = self.guard.states.get(flow), flow.response
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
        for stage in self.active:
            handling = stage.begin_answer(flow, state, handling)
        state.handling = handling
        flows.mask_head(response, state)
        flows.tell_close(flow, response)
        streams.begin_answer(flow, response, handling, state.dialect, self.streams, state.mask)
        if state.page:
            response.headers.fields = pages.allow(response.headers.fields, state.page)

    @fail_closed
    def response(self, flow: http.HTTPFlow) -> None:
        """Rewrite an answer whose body was held."""
        state, response = self.guard.states.get(flow), flow.response
        if state and state.attempts and response:
            state.attempts.complete(response.status_code, response.headers.fields, streams.beginning(response))
        is_refused = bool(state and state.attempts and state.attempts.is_refused)
        if not is_refused:
            HELD.release(flow)
        if state is None or response is None:
            return
        if state.is_ready:
            state.set_way(_way_of_answer(state, self.active))
            for stage in self.active:
                stage.hear_answer(flow, response)
            _log_error(flow, response, state)
        if state.has_failed:
            guard.answer(flow, state, errors.internal_error())
        elif (
            not (state.is_refused or is_refused) and isinstance(state.handling, Whole) and flow.is_replay != "response"
        ):
            self._answer(flow, response, state, state.handling)
        if response.stream:
            state.note(*filter(None, [streams.show_stream(response)]))
        else:
            flows.mask_body(response, state)
            if state.page:
                response.headers.fields = pages.allow(response.headers.fields, state.page)
        self._end_try(flow, state)
        # Last: if something raises above, stop() needs the state.
        if not is_refused:
            del self.guard.states[flow]

    @fail_closed
    def error(self, flow: http.HTTPFlow) -> None:
        """Redact and forget a flow whose connection broke, tell the provider, and answer the client."""
        state = self.guard.states.pop(flow, None)
        # mitmproxy refuses an invalid head before requestheaders.
        if state is None and not self.guard.takes(flow):
            return
        if state:
            flows.put_back(flow, state)
        flows.redact(flow, state)
        if state and state.mask and flow.error:
            flow.error.msg = state.mask.text(flow.error.msg)
        if state and state.attempts:
            state.attempts.end_without_answer()
        if state and state.provider and state.upstream:
            state.set_way(_way_of_answer(state, self.active))
            self._end_try(flow, state)
            state.provider.error(state.upstream)
        if state and state.attempts and state.attempts.is_refused and not crashes.has_crashed(flow):
            self.guard.states[flow] = state
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
        state = self.guard.states.get(flow)
        if state and state.attempts:
            await state.attempts.wait_for_it()

    def stop(self, flow: http.HTTPFlow) -> None:
        """Answer 500 or kill the flow after a hook raised (see fail_closed)."""
        guard.stop(flow, self.guard.states.get(flow))

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


def _is_again(flow: http.HTTPFlow) -> bool:
    """Whether it is a finished request, rewritten already, that a person has sent again."""
    return flow.is_replay == "request" and flows.MARK in flow.metadata


def _as_it_came(answer: Answer) -> Answer:
    return answer


def _way_of_answer(state: FlowState, stages: Sequence[Stage]) -> str:
    """The way of a request that has an answer: a stage that still holds it has answered it."""
    for stage in stages:
        if stage.name in state.held_by:
            return ways.SIMULATED if stage.simulates else ways.REPLAYED
    return state.answered_way or ways.SENT


def _log_error(flow: http.HTTPFlow, response: http.Response, state: FlowState) -> None:
    if state.provider and not state.is_refused:
        name, body = state.name or state.provider.type, response.raw_content or b""
        status, fields = response.status_code, response.headers.fields
        error_bodies.log(state.provider, status, fields, body, state.mask, name, flows.describe(flow))
