"""Requests that mitmproxy's filter `intercept` stops: before they are rewritten, behind that, or at both places.

What a person has edited before is rewritten then; what is edited behind it is sent so, with a new credential.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, Protocol

from mitmproxy import ctx, http
from mitmproxy.addonmanager import Loader
from mitmproxy.hooks import UpdateHook

from ..auth.header import redacted, redacted_target
from ..wire import header_fields
from ..wire.header_fields import Fields
from ..wire.targets import Origin
from . import engine, flows, guard, sealed, streams
from .flows import FlowState, Stop
from .guard import Guard

logger = logging.getLogger(__name__)

OPTION: Final = "ai_intercept"
CLIENT, UPSTREAM, BOTH = PLACES = ("client", "upstream", "both")

EDITED_BEFORE: Final = "edited while it was intercepted, before it was rewritten"
GONE: Final = "its client went away while it was intercepted, so it is not sent"
_NAME: Final = "ai_proxy_intercept"
_LOOK: Final = 0.25
"""Seconds between looks at whether the client of a stopped flow is gone."""


class Gateway(Protocol):
    """What is asked of the main addon."""

    guard: Guard
    streams: bool
    intercepting: Intercepting

    def begin(self, flow: http.HTTPFlow) -> None:
        """Route and rewrite a request, as in the requestheaders hook."""

    def put_in_order(self, flow: http.HTTPFlow, state: FlowState) -> None:
        """Give a request that was stopped behind its rewriting a new credential, or refuse it for its edits."""


class Intercepting:
    """The two stops. `before` and `after` are addons: one in front of all that reads requests, one behind the gateway.

    `is_on`: a filter is set, so that requests are held and rewritten in the request hook.
    """

    def __init__(self, gateway: Gateway) -> None:
        self.is_on = False
        self._place = CLIENT
        self._gateway = gateway
        self.before = _Stops(_NAME, gateway, self._decide)
        self.after = _Stops(f"{_NAME}_upstream", gateway, self._look_again)

    def declare(self, loader: Loader) -> None:
        """Declare the option."""
        text = "Where the filter `intercept` stops requests: client (before they are rewritten), upstream, both."
        loader.add_option(OPTION, str, CLIENT, text)

    def configure(self) -> str:
        """Take the options; returns what is wrong with them, "" for nothing."""
        options: Any = ctx.options
        # mitmdump has no such filter.
        self.is_on = _addon() is not None and bool(options.intercept_active and options.intercept)
        place = getattr(options, OPTION)
        if place not in PLACES:
            return f"{OPTION} takes {', '.join(PLACES)}."
        self._place = place
        return ""

    def holds(self, flow: http.HTTPFlow, state: FlowState) -> bool:
        """Hold a new request, so that it can be stopped; its credentials are not in it meanwhile.

        Call it in the requestheaders hook. False for a body that is too long.
        """
        if not streams.can_be_held(flow):
            logger.info("ai-proxy: %s is too long to be intercepted.", flows.describe(flow))
            return False
        request = flow.request
        state.asked = Origin(request.scheme, request.host, request.port)
        state.held_by.add(_NAME)
        fields, target = request.headers.fields, request.path
        if sealed.is_installed():
            sealed.seal(flow, state.asked, fields, target, redacted(fields), redacted_target(target))
        streams.hold_request(flow, self._gateway.streams)
        flows.place(flow, flows.NOWHERE)
        return True

    async def _decide(self, flow: http.HTTPFlow) -> None:
        """Stop a request that was held if the filter fits, and have it rewritten."""
        known = self._gateway.guard.states
        state = known.get(flow)
        if state is None or _NAME not in state.held_by or not guard.concerns(flow):
            return
        assert state.asked
        # For all to see, and for the filter.
        flows.place(flow, state.asked)
        fits = _fits(flow)
        stop, edited = Stop(fits, before=fits and self._place != UPSTREAM), False
        if stop.before:
            state.stop = stop
            edited = await self._stopped(flow, state)
            if not guard.concerns(flow):
                return
        if not self._gateway.guard.takes(flow):
            # Somebody has led it to another host: it is none of ours, and its credential stays out of it.
            del known[flow]
            return
        flow.request.headers.fields, flow.request.path = sealed.fields_of(flow), sealed.target_of(flow)
        sealed.forget(flow)
        self._gateway.begin(flow)
        state = known[flow]
        state.stop = stop
        if edited:
            state.note(EDITED_BEFORE)
            flows.show_notes(flow, state)

    async def _look_again(self, flow: http.HTTPFlow) -> None:
        """Stop a request that is rewritten, where that is asked for."""
        if flow.is_replay or flow.request.stream or not guard.concerns(flow):
            return
        state = self._gateway.guard.states.get(flow)
        if state is None or not state.is_ready or state.stop.after or not self._is_asked(flow, state.stop):
            return
        state.stop = state.stop._replace(after=True)
        began, raw, target = time.monotonic(), flow.request.raw_content, flow.request.path
        if state.attempts:
            state.attempts.pause()
        edited = await self._stopped(flow, state)
        if state.attempts:
            state.attempts.go_on(time.monotonic() - began)
        if not guard.concerns(flow):
            return
        if edited:
            _take_edits(flow, state, raw, target)
        self._gateway.put_in_order(flow, state)

    def _is_asked(self, flow: http.HTTPFlow, stop: Stop) -> bool:
        if self._place == CLIENT:
            # A filter may fit only what a request has become.
            return not stop.before and _fits(flow)
        return stop.fits or _fits(flow)

    async def _stopped(self, flow: http.HTTPFlow, state: FlowState) -> bool:
        """Stop a flow until somebody resumes or kills it, or its client is gone; whether it was edited meanwhile."""
        before = _seen(flow)
        self._gateway.guard.stopped.add(flow)
        flow.intercept()
        ctx.master.addons.trigger(UpdateHook([flow]))
        while flow.intercepted:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(flow.wait_for_resume(), _LOOK)
            if flow.killable and engine.is_abandoned(flow):
                state.note(GONE)
                flows.show_notes(flow, state)
                flow.kill()
        if _seen(flow) == before:
            return False
        _frame(flow.request, flow.request.raw_content or b"")
        return True


class _Stops:
    """An addon with one of the stops. If that raises, the request is refused."""

    def __init__(self, name: str, gateway: Gateway, stop: Callable[[http.HTTPFlow], Awaitable[None]]) -> None:
        self.name = name
        self._gateway, self._stop = gateway, stop

    def request(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """Stop a request, if that is asked for; without a coroutine where no filter is set."""
        state = self._gateway.guard.states.get(flow)
        is_due = state is not None and (self._gateway.intercepting.is_on or _NAME in state.held_by)
        return self._request(flow) if is_due else None

    async def _request(self, flow: http.HTTPFlow) -> None:
        try:
            await self._stop(flow)
        except Exception as error:
            logger.warning("ai-proxy: %s in a stop; %s was stopped.", type(error).__name__, flows.describe(flow))
            guard.stop(flow, self._gateway.guard.states.get(flow))


class _Seen(NamedTuple):
    """All of a request that a person may edit."""

    method: bytes
    scheme: bytes
    host: str
    port: int
    path: bytes
    fields: Fields
    body: bytes | None


def _seen(flow: http.HTTPFlow) -> _Seen:
    data = flow.request.data
    return _Seen(data.method, data.scheme, data.host, data.port, data.path, data.headers.fields, data.content)


def _addon() -> Any:
    return ctx.master.addons.get("intercept")


def _fits(flow: http.HTTPFlow) -> bool:
    addon = _addon()
    return addon is not None and bool(addon.should_intercept(flow))


def _frame(request: http.Request, body: bytes) -> None:
    """Have a request say how long its body is: with another length it would be read as two requests, or never end."""
    fields = request.headers.fields
    if any(name.lower() == b"transfer-encoding" for name, _ in fields):
        request.headers.fields = header_fields.changed(fields, {b"content-length": None})
    elif body or any(name.lower() == b"content-length" for name, _ in fields):
        length = (b"Content-Length", str(len(body)).encode())
        request.headers.fields = (*header_fields.changed(fields, {b"content-length": None}), length)


def _take_edits(flow: http.HTTPFlow, state: FlowState, raw: bytes | None, target: str) -> None:
    """Go on with the request as somebody has edited it behind the rewriting; `raw` and `target` are as they were."""
    request, upstream = flow.request, state.upstream
    assert upstream
    origin = Origin(request.scheme, request.host, request.port)
    if request.raw_content != raw:
        flows.keep_client_body(flow, raw or b"")
    if request.path != target and state.redacted_target:
        state.redacted_target = redacted_target(request.path)
    state.upstream = upstream._replace(origin=origin, method=request.method)
    state.note(flows.EDITED)
    flows.show_notes(flow, state)
