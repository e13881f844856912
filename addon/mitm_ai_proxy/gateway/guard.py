"""The last link of mitmproxy's own chain: no flow that the gateway should have rewritten goes out un-rewritten.

It stands outside the script, so that it also holds when the script fails to load, raises, or is skipped.
"""

from __future__ import annotations

import functools
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from mitmproxy import ctx, http

from .. import errors
from ..chat.dialects import DIALECTS
from ..errors import Refusal
from . import flows, streams
from .flows import FlowState

logger = logging.getLogger(__name__)

NAME: Final = "ai_proxy_guard"


class Guard:
    """An addon of its own. `takes` says which flows are the gateway's; the gateway replaces it."""

    name = NAME

    def __init__(self, takes: Callable[[http.HTTPFlow], bool]) -> None:
        self.takes = takes
        self.states: WeakKeyDictionary[http.HTTPFlow, FlowState] = WeakKeyDictionary()
        self.addons: list[object] = []
        """An addon without business with requests that shares the guard's place, for each place in the chain takes
        time. mitmproxy asks the guard first, so that nothing the other does can keep it from its work."""

    @classmethod
    def install(cls, takes: Callable[[http.HTTPFlow], bool]) -> Guard:
        """Put a guard at the end of mitmproxy's chain; it takes over the flows of one that stands there."""
        guard = cls(takes)
        addons = ctx.master.addons
        before = addons.get(NAME)
        if before is not None:
            guard.states = before.states
            # Until there is a configuration, what was taken before stays taken.
            guard.takes = before.takes
            behind, before.addons = before.addons, []
            addons.remove(before)
            addons.chain += behind
        addons.add(guard)
        last = addons.chain[-2] if len(addons.chain) > 1 else guard
        if not any(hasattr(last, name) for name in ("addons", "requestheaders", "request")):
            addons.chain.remove(last)
            guard.addons.append(last)
        return guard

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Refuse what the gateway did not see, or what another addon sent elsewhere."""
        if not concerns(flow):
            return
        state = self.states.get(flow)
        if state is None:
            if self.takes(flow):
                self._refuse(flow)
        elif state.is_ready and not _is_on_course(flow, state):
            self._refuse(flow)
        elif state.held_by:
            # Held until a stage has answered it or let it go, whoever wanted to stream it.
            streams.keep_held(flow)

    def request(self, flow: http.HTTPFlow) -> None:
        """Refuse what the gateway did not finish, what a stage holds, or what another addon sent elsewhere."""
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


def concerns(flow: http.HTTPFlow) -> bool:
    """Whether a flow is still on its way to somewhere: not read from a file, not in error, not answered yet."""
    return flow.live and flow.error is None and flow.response is None


def answer(flow: http.HTTPFlow, state: FlowState | None, refusal: Refusal) -> None:
    """Answer a flow here, in the client's dialect; it is not forwarded then. Its body still comes in, bounded."""
    dialect = state.dialect if state else DIALECTS[flows.head_of(flow).caller.dialect]
    body = b"" if flow.request.method == "HEAD" else dialect.refusal(refusal)
    flow.response = http.Response.make(refusal.status, body, {"Content-Type": "application/json"})
    streams.hold_request(flow)


def refuse(flow: http.HTTPFlow, state: FlowState, refusal: Refusal, level: int = logging.INFO) -> None:
    """Answer a flow that the gateway took, and note why; in the log at this level."""
    flows.redact(flow, state)
    state.is_refused, state.is_ready = True, False
    state.note(f"refused: {refusal.message}")
    flows.show_notes(flow, state)
    logger.log(level, "ai-proxy: %s %s: %s", refusal.status, flows.describe(flow), refusal.message)
    answer(flow, state, refusal)


_Hook = TypeVar("_Hook", bound=Callable[..., None])


def fail_closed(hook: _Hook) -> _Hook:
    """A hook that answers 500 when it raises, where mitmproxy would let the flow go on as it is.

    One log line says where, without the text of the exception, which may quote a body.
    """

    @functools.wraps(hook)
    def closed(self: Any, flow: http.HTTPFlow) -> None:
        try:
            hook(self, flow)
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(frame.filename).name}:{frame.lineno}"
            # No traceback, which may show a secret; no error either, which would end mitmproxy while it starts.
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
    """Whether a flow goes where its credential belongs."""
    data = flow.request.data
    if state.upstream is None:
        return False
    origin = state.upstream.origin
    return data.port == origin.port and data.host == origin.host and data.scheme == origin.scheme.encode()
