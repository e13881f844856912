"""The last link of mitmproxy's own chain: no flow that the gateway should have rewritten goes out un-rewritten.

It stands outside the script, so that it also holds when the script fails to load, raises, or is skipped.
"""

from __future__ import annotations

import functools
import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from mitmproxy import ctx, http

from .. import errors
from ..errors import Refusal
from ..exchange import Exchange
from ..providers.base import Provider
from . import engine

logger = logging.getLogger(__name__)

NAME: Final = "ai_proxy_guard"
REDACTED: Final = b"[sent to the provider, not kept]"


@dataclass(slots=True)
class Flight:
    """A flow that the gateway took: its exchange and provider, and how far it is.

    `ready`: everything has been rewritten, it may go out. `refused`: answered here. `failed`: our code raised on the
    way back. All of them survive a reload of the script. `stays`: it must not go out, or not yet. `is_simulated`: the
    simulator is the provider. `is_taped`: a cassette answers or records it. `client_origin` is, for one of these two,
    how the client reached us, for links in the answer.
    """

    exchange: Exchange
    provider: Provider | None
    ready: bool = False
    refused: bool = False
    failed: bool = False
    stays: bool = False
    is_simulated: bool = False
    is_taped: bool = False
    client_origin: str = ""


class Guard:
    """An addon of its own. `takes` says which flows are the gateway's; the gateway replaces it."""

    name = NAME

    def __init__(self, takes: Callable[[http.HTTPFlow], bool]) -> None:
        self.takes = takes
        self.flights: WeakKeyDictionary[http.HTTPFlow, Flight] = WeakKeyDictionary()
        self.addons: list[object] = []
        """An addon without business with requests that shares the guard's place, for each place in the chain takes
        time. mitmproxy asks the guard first, so that nothing the other does can keep it from its work."""

    @classmethod
    def install(cls, takes: Callable[[http.HTTPFlow], bool]) -> Guard:
        """Put a guard at the end of mitmproxy's chain; it takes over the flights of one that stands there."""
        guard = cls(takes)
        addons = ctx.master.addons
        before = addons.get(NAME)
        if before is not None:
            guard.flights = before.flights
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
        flight = self.flights.get(flow)
        if flight is None:
            if self.takes(flow):
                self._refuse(flow)
        elif flight.ready and not _is_on_course(flow, flight):
            self._refuse(flow)
        elif flight.is_simulated or flight.is_taped:
            # Held until it is answered or noted here, whoever wanted to stream it.
            flow.request.stream = False

    def request(self, flow: http.HTTPFlow) -> None:
        """Refuse what the gateway did not finish, or what another addon sent elsewhere."""
        if not concerns(flow) or flow.request.stream:
            return
        flight = self.flights.get(flow)
        if flight is None:
            if self.takes(flow):
                self._refuse(flow)
        elif flight.stays or not (flight.ready and _is_on_course(flow, flight)):
            self._refuse(flow)

    def _refuse(self, flow: http.HTTPFlow) -> None:
        logger.warning("ai-proxy: %s was not forwarded: it was not rewritten completely.", describe(flow))
        redact(flow)
        answer(flow, errors.not_rewritten())


def concerns(flow: http.HTTPFlow) -> bool:
    """Whether a flow is still on its way to somewhere: not read from a file, not in error, not answered yet."""
    return flow.live and flow.error is None and flow.response is None


def answer(flow: http.HTTPFlow, refusal: Refusal) -> None:
    """Answer a flow here, with OpenAI's error object; it is not forwarded then. Its body still comes in, bounded."""
    body = b"" if flow.request.method == "HEAD" else refusal.body()
    flow.response = http.Response.make(refusal.status, body, {"Content-Type": "application/json"})
    engine.hold_request(flow)


def refuse(flow: http.HTTPFlow, flight: Flight, refusal: Refusal, level: int = logging.INFO) -> None:
    """Answer a flow that the gateway took, and note why; in the log at this level."""
    redact(flow)
    flight.refused = True
    flight.exchange.note(f"refused: {refusal.message}")
    flow.comment = "; ".join(flight.exchange.notes)
    logger.log(level, "ai-proxy: %s %s: %s", refusal.status, describe(flow), refusal.message)
    answer(flow, refusal)


def redact(flow: http.HTTPFlow) -> None:
    """Put a word in the place of the credential."""
    headers = flow.request.headers
    headers.fields = tuple(
        [(name, REDACTED if name.lower() == b"authorization" else value) for name, value in headers.fields]
    )


def describe(flow: http.HTTPFlow) -> str:
    """Method and path of a request, without its query, for a log line."""
    return f"{flow.request.method} {flow.request.path.partition('?')[0]}"


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
                "ai-proxy: %s in %s (%s); %s was stopped.", type(error).__name__, hook.__name__, place, describe(flow)
            )
            self.stop(flow)

    return closed  # type: ignore[return-value]


def _is_on_course(flow: http.HTTPFlow, flight: Flight) -> bool:
    """Whether a flow goes where its credential belongs."""
    origin, data = flight.exchange.origin, flow.request.data
    return (
        origin is not None
        and data.port == origin.port
        and data.host == origin.host
        and data.scheme == origin.scheme.encode()
    )
