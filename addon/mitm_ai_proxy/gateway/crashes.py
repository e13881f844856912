"""What becomes of a flow when code of ours raises within mitmproxy's layers, which would leave the client waiting.

It ends with an error in the client's dialect, or, where an answer has begun, as one that broke off.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from weakref import WeakSet

from mitmproxy import http
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layer import CommandGenerator, Layer
from mitmproxy.proxy.layers.http import HttpLayer, HttpStream
from mitmproxy.proxy.layers.http._events import ResponseProtocolError

from ..wire.printable import printable
from . import upstream_layers

logger = logging.getLogger(__name__)

_PACKAGE: Final = Path(__file__).parents[1]
_REASON: Final = "an internal error"

Deliver = Callable[[HttpLayer, Layer, events.Event], CommandGenerator[None]]
"""HttpLayer.event_to_child, without what is done here."""

_crashed: Final[WeakSet[http.HTTPFlow]] = WeakSet()


def has_crashed(flow: http.HTTPFlow) -> bool:
    """Whether code of ours has raised within the layers of a flow."""
    return flow in _crashed


def contained(layer: HttpLayer, stream: HttpStream, event: events.Event, deliver: Deliver) -> CommandGenerator[None]:
    """Give an event to a stream. If code of ours raises, its flow ends; what mitmproxy's raises is raised."""
    try:
        yield from deliver(layer, stream, event)
    except Exception as error:
        flow = getattr(stream, "flow", None)
        if not isinstance(flow, http.HTTPFlow) or not (place := _place_of_ours(error)):
            raise
        logger.warning(
            "ai-proxy: %s in mitmproxy's layers (%s); %s was stopped.",
            type(error).__name__,
            place,
            printable(f"{flow.request.method} {flow.request.path.partition('?')[0]}"),
        )
        is_first = flow not in _crashed
        _crashed.add(flow)
        try:
            if is_first and layer.streams.get(stream.stream_id) is stream:
                yield from _end(layer, stream, deliver)
                return
        except Exception as again:
            logger.warning("ai-proxy: and %s while it was stopped.", type(again).__name__)
        yield commands.CloseConnection(layer.context.client)


def _end(layer: HttpLayer, stream: HttpStream, deliver: Deliver) -> CommandGenerator[None]:
    """Have mitmproxy's own methods of the stream end it as one whose provider fails."""
    own: Any = stream
    for name in [name for name in vars(stream) if callable(getattr(type(stream), name, None))]:
        delattr(own, name)
    own._paused = None
    stream._paused_event_queue.clear()

    def leave(_: events.Event) -> CommandGenerator[None]:
        del own._handle_event
        yield from upstream_layers.leave(stream)

    own._handle_event = leave
    failed = ResponseProtocolError(stream.stream_id, _REASON, upstream_layers.FAILED)
    yield from deliver(layer, stream, failed)
    yield from deliver(layer, stream, failed)


def _place_of_ours(error: Exception) -> str:
    """The last line of this package's that an exception came through; "" for one of somebody else's."""
    places = [
        f"{Path(frame.filename).name}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if _PACKAGE in Path(frame.filename).parents and frame.filename != __file__
    ]
    return places[-1] if places else ""
