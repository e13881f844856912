"""What becomes of a flow when code of ours raises within mitmproxy's layers, which would leave the client waiting.

It ends with an error in the client's dialect, or, where an answer has begun, as one that broke off.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
from pathlib import Path
from typing import Any, Final
from weakref import WeakSet

from mitmproxy import http
from mitmproxy.proxy import events
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http import HttpLayer, HttpStream
from mitmproxy.proxy.layers.http._events import ResponseProtocolError
from mitmproxy.proxy.server import ConnectionHandler

from ..wire.printable import printable
from . import replaced, upstream_layers

logger = logging.getLogger(__name__)

_PACKAGE: Final = Path(__file__).parents[1]
_REASON: Final = "an internal error"
_CRASHED: Final = "mitmproxy has crashed"
"""How mitmproxy's line in the log begins when its layers have raised."""

_crashed: Final[WeakSet[http.HTTPFlow]] = WeakSet()
_tasks: Final[set[asyncio.Future[Any]]] = set()


def has_crashed(flow: http.HTTPFlow) -> bool:
    """Whether code of ours has raised within the layers of a flow."""
    return flow in _crashed


def contain() -> None:
    """Have flows end in whose layers code of ours raises; what mitmproxy's own raises is logged as before.

    Done where mitmproxy says so in its log, and so without a cost for each event.
    """
    if replaced.is_ours(ConnectionHandler, "log"):
        return
    before = ConnectionHandler.log

    def log(self: ConnectionHandler, message: str, *arguments: Any, **more: Any) -> None:
        error = sys.exception() if message.startswith(_CRASHED) else None
        if error is None or not _is_contained(self, error):
            before(self, message, *arguments, **more)

    replaced.put(ConnectionHandler, "log", log)


def _is_contained(handler: ConnectionHandler, error: BaseException) -> bool:
    """End the flow in whose layers this was raised; False if it is none of ours."""
    place, stream = _place_of_ours(error), _stream_of(error)
    flow = getattr(stream, "flow", None)
    if stream is None or not isinstance(flow, http.HTTPFlow) or not place:
        return False
    what = printable(f"{flow.request.method} {flow.request.path.partition('?')[0]}")
    # Neither the text of the exception nor a traceback: they may quote a secret.
    name = type(error).__name__
    logger.warning("ai-proxy: %s in mitmproxy's layers (%s); %s was stopped.", name, place, what)
    if flow in _crashed:
        # It has happened again while it was ended.
        client = handler.transports.get(handler.client)
        if client and client.writer:
            client.writer.close()
        return True
    _crashed.add(flow)
    _end(stream)
    task = upstream_layers.wake(stream, handler)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return True


def _end(stream: HttpStream) -> None:
    """Have mitmproxy's own methods of the stream end it, with its next event, as one whose provider fails."""
    own: Any = stream
    for name in [name for name in vars(stream) if callable(getattr(type(stream), name, None))]:
        delattr(own, name)
    own._paused = None
    stream._paused_event_queue.clear()

    def ignore(_: events.Event) -> CommandGenerator[None]:
        yield from ()

    def end(_: events.Event) -> CommandGenerator[None]:
        own._handle_event = ignore
        yield from upstream_layers.leave(stream)
        yield from stream.handle_protocol_error(
            ResponseProtocolError(stream.stream_id, _REASON, upstream_layers.FAILED)
        )

    own._handle_event = end


def _stream_of(error: BaseException) -> HttpStream | None:
    """The innermost stream to which an event was given when this was raised."""
    found = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        child = frame.f_locals.get("child")
        if isinstance(child, HttpStream) and isinstance(frame.f_locals.get("self"), HttpLayer):
            found = child
    return found


def _place_of_ours(error: BaseException) -> str:
    """The last line of this package's that an exception came through; "" for one of somebody else's."""
    places = [
        f"{Path(frame.filename).name}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if _PACKAGE in Path(frame.filename).parents
    ]
    return places[-1] if places else ""
