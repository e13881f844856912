"""What is done to mitmproxy's layers towards a provider: leave an answer, stop connecting, wake a stream that waits.

Tried with mitmproxy 11.0.2 and 12.3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

from mitmproxy.connection import Server
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layer import CommandGenerator, Layer
from mitmproxy.proxy.layers.http import HttpLayer, HttpStream, SendHttp
from mitmproxy.proxy.layers.http import _events as http_events
from mitmproxy.proxy.layers.http._base import HttpConnection
from mitmproxy.proxy.layers.http._events import RequestProtocolError
from mitmproxy.proxy.layers.http._http1 import Http1Client
from mitmproxy.proxy.layers.http._http2 import Http2Client
from mitmproxy.proxy.server import ConnectionHandler

# Its codes of a request that is given up, and of an answer that does not come: numbers in mitmproxy 11.
_CODES: Final[Any] = getattr(http_events, "ErrorCode", None)
CANCEL: Final[Any] = getattr(_CODES, "CANCEL", 499)
FAILED: Final[Any] = getattr(_CODES, "GENERIC_SERVER_ERROR", 502)


def leave(stream: HttpStream) -> CommandGenerator[None]:
    """Have nothing of a stream's answer come any more; its connection is closed unless the answer is complete."""
    connection = stream.flow.server_conn
    layer = _http_layer(stream).connections.get(connection)
    if layer is None:
        return
    end = _innermost(layer)
    given_up = RequestProtocolError(stream.stream_id, "given up", CANCEL)
    if isinstance(end, Http2Client):
        own = end.our_stream_id.get(stream.stream_id)
        if own is not None:
            # Nothing is sent of it for a stream that has ended.
            yield SendHttp(given_up, connection)
            end.streams.pop(own, None)
        end.our_stream_id.pop(stream.stream_id, None)
        end.stream_queue.pop(stream.stream_id, None)
    elif isinstance(end, Http1Client) and end.stream_id == stream.stream_id:
        nothing: Any = end.done
        end.state = nothing
        if connection.connected:
            yield SendHttp(given_up, connection)


def stop_connecting(stream: HttpStream, handler: ConnectionHandler) -> None:
    """Cancel the connection that a stream waits for."""
    layer = _http_layer(stream)
    for connection, waiting in layer.waiting_for_establishment.items():
        if any(layer.command_sources.get(command) is stream for command in waiting):
            first = layer.connections.get(connection)
            for other, found in list(layer.connections.items()):
                transport = handler.transports.get(other)
                if found is first and transport and transport.handler:
                    transport.handler.cancel("time-out")


def wake(stream: HttpStream, handler: ConnectionHandler) -> asyncio.Future[Any]:
    """Have a stream get a Wakeup."""
    # Not a command of the stream's own, which nobody could take back when the answer has come.
    command: Any = commands.RequestWakeup(0)
    for layer, below in pairwise(stream.context.layers):
        if isinstance(layer, HttpLayer):
            layer.command_sources[command] = below
    event: Any = events.Wakeup(command)
    return asyncio.ensure_future(handler.server_event(event))


def forget_failed(stream: HttpStream) -> None:
    """Forget connections that were not made, whose error mitmproxy would give again while the client stays."""
    layer = _http_layer(stream)
    for connection in list(_failed(layer)):
        del layer.connections[connection]


def _failed(layer: HttpLayer) -> Iterator[Server]:
    """The connections that were not made, and that nobody waits for."""
    for connection in layer.connections:
        if (
            isinstance(connection, Server)
            and connection.error
            and not connection.connected
            and connection not in layer.waiting_for_establishment
        ):
            yield connection


def _http_layer(stream: HttpStream) -> HttpLayer:
    layers = stream.context.layers
    layer = layers[layers.index(stream) - 1]
    assert isinstance(layer, HttpLayer)
    return layer


def _innermost(layer: Layer) -> Layer | HttpConnection:
    """The layer that speaks HTTP, below those of TLS and of an upstream proxy."""
    while isinstance(below := getattr(layer, "child_layer", None), Layer):
        layer = below
    return layer
