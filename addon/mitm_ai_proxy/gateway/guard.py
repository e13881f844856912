"""The guard: the last addon of mitmproxy's chain. It refuses flows that the gateway should have rewritten and did not.

It is registered outside the script, so that it also works if the script fails to load, raises, or is skipped.
"""

from __future__ import annotations

import functools
import logging
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from mitmproxy import ctx, http
from mitmproxy.net.http.http1 import assemble
from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy.layer import NextLayer
from mitmproxy.proxy.layers import HttpLayer, TCPLayer
from mitmproxy.proxy.layers.http import HTTPMode

from .. import errors
from ..chat.dialects import DIALECTS, OPENAI, Dialect
from ..config.values import HostPattern
from ..edges import pages, ways
from ..edges.held import HELD
from ..errors import Refusal
from ..wire import head
from ..wire.printable import printable
from . import crashes, engine, flows, streams
from .flows import FlowState

logger = logging.getLogger(__name__)

NAME: Final = "ai_proxy_guard"


class Owner(Protocol):
    """The main addon of a load of the script."""

    guard: Guard


_earlier: Final[WeakKeyDictionary[http.HTTPFlow, Owner]] = WeakKeyDictionary()
"""Flows under way that an earlier load of the script has begun with, and its addon: what they hold is of its classes,
which a reload defines anew."""


class Guard:
    """The addon. `hosts` are those whose requests the gateway handles; it replaces them with each configuration."""

    name = NAME

    def __init__(self, hosts: Sequence[HostPattern]) -> None:
        self.hosts = hosts
        self.owner: Owner | None = None
        self.earlier = _earlier
        self.is_off = False
        """Whether it lets everything pass, since nothing is rewritten and no credential is set."""
        self.states: WeakKeyDictionary[http.HTTPFlow, FlowState] = WeakKeyDictionary()
        self.stopped: WeakSet[http.HTTPFlow] = WeakSet()
        """Flows that the gateway has stopped by mitmproxy's filter."""
        self.addons: list[object] = []
        """The addon that was last in the chain, if it has no request hooks: as a child of the guard it saves time with
        each request. mitmproxy calls the guard first, so that the child cannot prevent it from working."""

    @classmethod
    def install(cls, hosts: Sequence[HostPattern], owner: Owner | None = None) -> Guard:
        """Put a guard at the end of mitmproxy's chain; it replaces an older one and takes over its flows.

        Those that are under way are still handled by the older one's owner.
        """
        guard = cls(hosts)
        guard.owner = owner
        addons = ctx.master.addons
        before = addons.get(NAME)
        if before is not None:
            guard.states = before.states
            for flow in before.states:
                if known := before.earlier.get(flow, before.owner):
                    _earlier[flow] = known
            guard.stopped = before.stopped
            # Until there is a configuration, the gateway handles the same flows as before.
            guard.hosts = before.hosts
            behind, before.addons = before.addons, []
            addons.remove(before)
            addons.chain += behind
        addons.add(guard)
        last = addons.chain[-2] if len(addons.chain) > 1 else guard
        if not any(hasattr(last, name) for name in ("addons", "requestheaders", "request")):
            addons.chain.remove(last)
            guard.addons.append(last)
        return guard

    def takes(self, flow: http.HTTPFlow) -> bool:
        """Whether the gateway handles a flow: every flow in reverse mode, else those to its hosts."""
        if self.is_off:
            return False
        if flow.client_conn.proxy_mode.type_name == "reverse" or flows.PROBE in flow.metadata:
            return True
        request = flow.request
        # With redirected connections only the Host header names the host; with both, either may match.
        return self._has_host(request.port, request.pretty_host, request.host)

    def _has_host(self, port: int, *names: str) -> bool:
        return not self.is_off and any(pattern.matches(name, port) for name in names for pattern in self.hosts)

    def next_layer(self, nextlayer: NextLayer) -> None:
        """Have a connection to one of the hosts read as HTTP; mitmproxy passes what is no HTTP past the hooks.

        What cannot be HTTP is answered with 400, and the connection ends. `ignore_hosts` still holds.
        """
        context, chosen, data = nextlayer.context, nextlayer.layer, nextlayer.data_client()
        address = context.server.address
        if address is None or context.client.proxy_mode.type_name == "reverse":
            return
        if isinstance(chosen, TCPLayer):
            # mitmproxy passes TLS only where it is told to ignore the host.
            is_ignored = chosen.flow is None or starts_like_tls_record(data)
        else:
            # What asks the proxy itself has another mode.
            is_ignored = not (isinstance(chosen, HttpLayer) and chosen.mode is HTTPMode.transparent)
        if is_ignored or not self._has_host(address[1], address[0], context.client.sni or ""):
            return
        if head.may_begin(data):
            nextlayer.layer = HttpLayer(context, HTTPMode.transparent)
        else:
            refusal = errors.bad_head(f"What came for {address[0]} is no HTTP, so it was not passed on.")
            logger.warning("ai-proxy: 400: %s", printable(refusal.message))
            nextlayer.layer = engine.EndedLayer(context, last_answer(refusal))

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Refuse a flow that the gateway did not see, or that another addon redirected."""
        if not concerns(flow):
            return
        state = self.states.get(flow)
        if state is None:
            if self.takes(flow):
                self._refuse(flow)
        elif state.is_ready and not _is_on_course(flow, state):
            self._refuse(flow)
        elif state.held_by:
            # Another addon may have set it to be streamed; a stage needs the whole body.
            streams.keep_held(flow)

    def request(self, flow: http.HTTPFlow) -> None:
        """Refuse a flow that is not rewritten completely, that a stage holds, or that another addon redirected.

        Trailers are dropped: they may hold a credential, and mitmproxy cannot send them over HTTP/1.
        """
        if flow.intercepted and flow in self.stopped:
            _pass_second_stop(flow)
        data = flow.request.data
        if data.trailers is not None and flow.live and (flow in self.states or self.takes(flow)):
            data.trailers = None
        if not concerns(flow) or flow.request.stream:
            return
        state = self.states.get(flow)
        if state is None:
            if self.takes(flow):
                self._refuse(flow)
        elif state.held_by or not (state.is_ready and _is_on_course(flow, state)):
            self._refuse(flow)

    def _refuse(self, flow: http.HTTPFlow) -> None:
        logger.warning("ai-proxy: %s was not forwarded: it was not rewritten completely.", flows.describe(flow))
        state = self.states.get(flow)
        flows.redact(flow, state)
        if state:
            state.is_refused, state.is_ready = True, False
        answer(flow, state, errors.not_rewritten())


def _pass_second_stop(flow: http.HTTPFlow) -> None:
    """Resume a request that was stopped by the gateway, and now by mitmproxy's own addon for the same filter."""
    own = ctx.master.addons.get("intercept")
    if own and own.should_intercept(flow):
        flow.resume()


def concerns(flow: http.HTTPFlow) -> bool:
    """Whether a flow is live and has neither an error nor a response yet."""
    return flow.live and flow.error is None and flow.response is None


def answer(flow: http.HTTPFlow, state: FlowState | None, refusal: Refusal) -> None:
    """Answer a flow with a refusal in the client's dialect, so that it is not forwarded; its body is still read."""
    flow.response = response(flow, state, refusal)
    streams.hold_request(flow)


def answer_error(flow: http.HTTPFlow, state: FlowState | None) -> None:
    """Have a flow whose connection broke answered in the client's dialect; call it in the error hook."""
    has_begun = not (state and state.attempts and state.attempts.is_held_back)
    if flow.response is not None and flow.response.stream and has_begun:
        # Its head is at the client already.
        last = streams.end_of_broken(flow.response) if state else None
        if last is not None:
            engine.end_stream(flow, last)
        return
    origin = state.origin if state else None
    upstream = str(origin) if origin else "the provider"

    def answer(status: int, reason: str) -> http.Response:
        if crashes.has_crashed(flow):
            return response(flow, state, errors.internal_error())
        # mitmproxy may quote a header field of the provider's.
        reason = state.mask.text(reason) if state and state.mask else reason
        if late := state.attempts.late if state and state.attempts else None:
            return response(flow, state, late)
        is_full = HELD.was_refused(flow)
        return response(flow, state, errors.no_room() if is_full else errors.not_sent(status, upstream, reason))

    engine.replace_error(flow, answer)


def response(flow: http.HTTPFlow, state: FlowState | None, refusal: Refusal) -> http.Response:
    """The response that tells a client of a refusal, in its dialect."""
    dialect = state.dialect if state else DIALECTS[flows.head_of(flow).caller.dialect]
    made = _answered(dialect, refusal, has_body=flow.request.method != "HEAD")
    if state and state.page:
        made.headers.fields = pages.allow(made.headers.fields, state.page)
    return made


def _answered(dialect: Dialect, refusal: Refusal, has_body: bool = True) -> http.Response:
    headers = {"Content-Type": "application/json", **refusal.headers}
    return http.Response.make(refusal.status, dialect.refusal(refusal) if has_body else b"", headers)


def last_answer(refusal: Refusal) -> bytes:
    """The bytes of an answer over HTTP/1 to what is no request, behind which the connection ends."""
    made = _answered(DIALECTS[OPENAI], refusal)
    made.headers["Connection"] = "close"
    answer: bytes = assemble.assemble_response(made)
    return answer


def refuse(flow: http.HTTPFlow, state: FlowState, refusal: Refusal, level: int = logging.INFO) -> None:
    """Refuse a flow that the gateway handles: redact, note, log at this level, and answer."""
    flows.redact(flow, state)
    state.is_refused, state.is_ready = True, False
    message = printable(refusal.message)
    state.set_way(ways.UNSENT)
    state.note(f"refused: {message}")
    flows.show_notes(flow, state)
    logger.log(level, "ai-proxy: %s %s: %s", refusal.status, flows.describe(flow), message)
    answer(flow, state, refusal)


def stop(flow: http.HTTPFlow, state: FlowState | None) -> None:
    """Answer 500 or kill the flow after a hook raised (see fail_closed)."""
    flows.redact(flow, state)
    if flow.response is None or state is None:
        answer(flow, state, errors.internal_error())
    elif flow.response.stream:
        flow.kill()
    elif flow.response.raw_content is None:
        # In responseheaders: the upstream's body, still to come, would be put into an answer made now.
        state.has_failed = True
    else:
        answer(flow, state, errors.internal_error())
    if state is not None:
        state.is_refused = True


_Hook = TypeVar("_Hook", bound=Callable[..., None])


def fail_closed(hook: _Hook) -> _Hook:
    """Decorate a hook: if it raises, log where, and call `stop(flow)`; mitmproxy alone would let the flow continue.

    The log line leaves out the text of the exception, which may quote a body.
    """

    @functools.wraps(hook)
    def closed(self: Any, flow: http.HTTPFlow) -> None:
        owner = _earlier.get(flow) if _earlier else None
        # Its own hook is this one where the package was not loaded anew with the script.
        if owner is not None and owner is not self:
            getattr(owner, hook.__name__)(flow)
            if flow not in owner.guard.states:
                _earlier.pop(flow, None)
            return
        try:
            hook(self, flow)
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(frame.filename).name}:{frame.lineno}"
            # No traceback, which may show a secret; a warning, since an error would end mitmproxy while it starts.
            logger.warning(
                "ai-proxy: %s in %s (%s); %s was stopped.",
                type(error).__name__,
                hook.__name__,
                place,
                flows.describe(flow),
            )
            self.stop(flow)

    return closed  # type: ignore[return-value]


def _is_on_course(flow: http.HTTPFlow, state: FlowState) -> bool:
    """Whether a flow still goes to the upstream that its credential is for."""
    data = flow.request.data
    if state.upstream is None:
        return False
    origin = state.upstream.origin
    return data.port == origin.port and data.host == origin.host and data.scheme == origin.scheme.encode()
