"""Access to mitmproxy's protocol layers, in this file only: options for a single flow, and closing of connections."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, NamedTuple, NoReturn

import h11
from h11._readers import ChunkedReader
from h11._receivebuffer import ReceiveBuffer
from mitmproxy import ctx, http
from mitmproxy.connection import ConnectionState
from mitmproxy.flow import Flow
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import CommandGenerator, Layer
from mitmproxy.proxy.layers.http import HttpLayer, HttpStream
from mitmproxy.proxy.layers.http._base import HttpConnection, ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    RequestEndOfMessage,
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Connection, Http1Server
from mitmproxy.proxy.server import ConnectionHandler

from . import replaced, upstream_layers

LONGEST_HEAD: Final = 64 * 1024
"""Bytes of the head of an answer over HTTP/1."""
LONGEST_REQUEST_HEAD: Final = 256 * 1024
"""Bytes of the head of a request over HTTP/1, as in browsers: it holds for foreign hosts, too."""
CLOSE_DELAY: Final = 1.0
"""Seconds between an answer and the closing of its connection."""

_READ_HEADERS: Final = "read_headers"
_INTERIM: Final = (b"HTTP/1.1 1", b"HTTP/1.0 1")
_NO_RESPONSE: Final = 444
_CLIENT_CLOSED_REQUEST: Final = 499


Value = str | None | Callable[[int], str]
"""Of an option; a function gets the number of bytes of the request's body that have arrived."""


class _Overlay:
    """mitmproxy's options, with some values changed for the layers of one flow."""

    def __init__(self, options: Any, changes: dict[str, Value], stream: HttpStream) -> None:
        self._options = options
        self._functions = {name: value for name, value in changes.items() if callable(value)}
        self._stream = stream
        # They are read for each piece of a body, and found so without a call.
        vars(self).update({name: value for name, value in changes.items() if not callable(value)})

    def __getattr__(self, name: str) -> Any:
        function = self._functions.get(name)
        return function(len(self._stream.request_body_buf)) if function else getattr(self._options, name)


def lay_over(flow: http.HTTPFlow, changes: dict[str, Value]) -> bool:
    """Override some of mitmproxy's options for one flow; False if its layers are not as expected."""
    try:
        stream = stream_of(flow)
    except AttributeError:
        # A version of mitmproxy that was not tested.
        stream = None
    if stream is None:
        return False
    overlay: Any = _Overlay(ctx.options, changes, stream)
    stream.context.options = overlay
    return True


def drop_trailers() -> None:
    """Have mitmproxy read over the trailers of requests over HTTP/1, where it would crash.

    It reads them before a hook can say which flow they belong to, so this holds for all.
    """
    reader: Any = _BodyReader()
    Http1Server.body_reader = reader


def mend_heads_of_answers() -> None:
    """Have 1xx answers over HTTP/1 read over, as over HTTP/2: mitmproxy takes the first one for the answer.

    101 to a request that asked for no other protocol is an error, for what follows would pass all hooks. So is a head
    of more than LONGEST_HEAD bytes, which mitmproxy takes minutes to write over HTTP/2.
    """
    before = _reader(Http1Client)
    if before is None or not hasattr(ReceiveBuffer(), "_data"):
        return

    def read_headers(self: Http1Client, event: events.ConnectionEvent) -> CommandGenerator[None]:
        data = self.buf._data
        problem = ""
        while self.request and data.startswith(_INTERIM):
            if _status_of(data) == HTTPStatus.SWITCHING_PROTOCOLS:
                problem = "" if "Upgrade" in self.request.headers else "its answer is not valid HTTP"
                break
            if self.buf.maybe_extract_lines() is None:
                break
            data = self.buf._data
        if len(data) > LONGEST_HEAD and data.find(b"\r\n\r\n", 0, LONGEST_HEAD) < 0:
            problem = "the head of its answer is too long"
        if problem and self.stream_id:
            yield commands.CloseConnection(self.conn)
            yield ReceiveHttp(ResponseProtocolError(self.stream_id, problem, upstream_layers.FAILED))
        else:
            yield from before(self, event)

    replaced.put(Http1Client, _READ_HEADERS, read_headers)


def limit_heads_of_requests(answer: bytes) -> None:
    """Have a connection over HTTP/1 end with this answer when LONGEST_REQUEST_HEAD bytes of a head have no end.

    mitmproxy waits for the end, however long it is.
    """
    before = _reader(Http1Server)
    if before is None:
        return

    def read_headers(self: Http1Server, event: events.ConnectionEvent) -> CommandGenerator[None]:
        yield from before(self, event)
        is_waiting = isinstance(event, events.DataReceived) and self.state == self.read_headers
        if is_waiting and len(self.buf) > LONGEST_REQUEST_HEAD:
            yield commands.Log("ai-proxy: 400: the head of a request is too long", logging.WARNING)
            yield commands.SendData(self.conn, answer)
            yield commands.CloseConnection(self.conn)
            self.state = self.done

    replaced.put(Http1Server, _READ_HEADERS, read_headers)


def _reader(kind: type[Http1Client | Http1Server]) -> Callable[..., CommandGenerator[None]] | None:
    """mitmproxy's reader of heads; None if ours is in its place, or if this version of mitmproxy has another way."""
    found: Callable[..., CommandGenerator[None]] | None = getattr(kind, _READ_HEADERS, None)
    is_known = found is not None and tuple(inspect.signature(found).parameters) == ("self", "event")
    return found if is_known and not replaced.is_ours(kind, _READ_HEADERS) else None


def _status_of(head: bytearray) -> int:
    digits = bytes(head[9:12])
    return int(digits) if digits.isdigit() else 0


def tell_lost_connections() -> None:
    """Have the layers told of a connection that is lost while it is made; its request would wait for ever.

    mitmproxy asserts that the other side has an address. One that has reset the connection already has none.
    """
    if replaced.is_ours(ConnectionHandler, "open_connection"):
        return
    before = ConnectionHandler.open_connection

    async def open_connection(self: ConnectionHandler, command: commands.OpenConnection) -> None:
        try:
            await before(self, command)
        except AssertionError:
            connection = command.connection
            if connection.peername is not None or connection.state is not ConnectionState.OPEN:
                raise
            connection.state, connection.error = ConnectionState.CLOSED, "the connection was reset"
            transport = self.transports.pop(connection, None)
            if transport and transport.writer:
                transport.writer.close()
            await self.server_event(events.OpenConnectionCompleted(command, connection.error))

    replaced.put(ConnectionHandler, "open_connection", open_connection)


def wake_killed() -> None:
    """Have those wake up who wait for a flow that a person has stopped and then killed; its client waits for ever else.

    mitmproxy wakes them only for a flow that is resumed.
    """
    if replaced.is_ours(Flow, "kill"):
        return
    before: Any = Flow.kill

    def kill(self: Flow, *arguments: Any, **named: Any) -> None:
        before(self, *arguments, **named)
        if event := getattr(self, "_resume_event", None):
            event.set()

    replaced.put(Flow, "kill", kill)


class _BodyReader:
    """The attribute of this name in mitmproxy's connections, which drops trailers from then on."""

    def __get__(self, connection: Http1Server, owner: object = None) -> Any:
        return connection.__dict__["body_reader"]

    def __set__(self, connection: Http1Server, reader: Any) -> None:
        connection.__dict__["body_reader"] = _WithoutTrailers(reader) if isinstance(reader, ChunkedReader) else reader


class _WithoutTrailers(NamedTuple):
    """A reader of chunks, without the trailers behind them."""

    reader: ChunkedReader

    def __call__(self, buffer: Any) -> h11.Event | None:
        try:
            event: h11.Event | None = self.reader(buffer)
        except h11.ProtocolError:
            if self.reader._reading_trailer:
                # h11 quotes the line, which may hold a credential.
                raise h11.RemoteProtocolError("illegal trailers") from None
            raise
        return h11.EndOfMessage() if isinstance(event, h11.EndOfMessage) else event

    def read_eof(self) -> NoReturn:
        """The client is gone. Raises ProtocolError."""
        self.reader.read_eof()


class EndedLayer(Layer):
    """A client's connection that is answered with these bytes when it sends some, and ends."""

    def __init__(self, context: Context, answer: bytes) -> None:
        super().__init__(context)
        self._answer = answer

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        client = self.context.client
        if isinstance(event, events.DataReceived) and client.state & ConnectionState.CAN_WRITE:
            yield commands.SendData(client, self._answer)
            yield commands.CloseConnection(client)


def replace_error(flow: http.HTTPFlow, answer: Callable[[int, str], http.Response]) -> None:
    """Have the client get an answer of ours in place of mitmproxy's page of HTML; call it in the error hook.

    `answer` takes status and message of mitmproxy's error. Nothing changes where mitmproxy sends no page: after an
    answer has begun, and for a flow that was killed.
    """
    with contextlib.suppress(AttributeError):  # a version of mitmproxy that was not tested
        if stream := stream_of(flow):
            _error_answers(stream).answers[stream.stream_id] = answer


def end_stream(flow: http.HTTPFlow, last: bytes) -> None:
    """Have the client get the last bytes of an answer, and its end, where the provider breaks off; in the error hook.

    Nothing changes where it is the client that is gone.
    """
    with contextlib.suppress(AttributeError):  # a version of mitmproxy that was not tested
        if stream := stream_of(flow):
            _error_answers(stream).ends[stream.stream_id] = last


def _error_answers(stream: HttpStream) -> _ErrorAnswers:
    connection = _connection_of(stream)
    if not isinstance(connection._handle_event, _ErrorAnswers):
        connection._handle_event = _ErrorAnswers(connection)  # type: ignore[method-assign]
    found: _ErrorAnswers = connection._handle_event
    return found


class _ErrorAnswers:
    """The event handler of a client's connection that writes answers of ours in place of mitmproxy's errors.

    By the number of a stream: `answers` make whole ones, `ends` are the last bytes of those that have begun.
    """

    def __init__(self, connection: HttpConnection) -> None:
        self.answers: dict[int, Callable[[int, str], http.Response]] = {}
        self.ends: dict[int, bytes] = {}
        self._connection = connection
        self._handle_event = connection._handle_event

    def __call__(self, event: events.Event) -> CommandGenerator[None]:
        if not isinstance(event, ResponseProtocolError):
            yield from self._handle_event(event)
            return
        answer, last = self.answers.pop(event.stream_id, None), self.ends.pop(event.stream_id, None)
        status = _status(event)
        if not self._is_open or (last is None and not (answer and status)):
            yield from self._handle_event(event)
            return
        if answer and status:
            response = answer(status, event.message)
            last = response.raw_content
            yield from self._handle_event(ResponseHeaders(event.stream_id, response, end_stream=not last))
        if last:
            yield from self._handle_event(ResponseData(event.stream_id, last))
        yield from self._handle_event(ResponseEndOfMessage(event.stream_id))
        if isinstance(self._connection, Http1Server) and self._connection.state != self._connection.done:
            # The rest of the request may still be coming.
            yield commands.CloseConnection(self._connection.conn)

    @property
    def _is_open(self) -> bool:
        return bool(self._connection.conn.state & ConnectionState.CAN_WRITE)


def _status(event: ResponseProtocolError) -> int | None:
    """The status that mitmproxy answers with; None if it gives no answer."""
    code: Any = event.code
    status = code if isinstance(code, int) else code.http_status_code()  # an int in mitmproxy 11
    return status if status and status not in (_NO_RESPONSE, _CLIENT_CLOSED_REQUEST) else None


def close_if_too_long(flow: http.HTTPFlow) -> None:
    """Close the connection of a request that was refused for its length; call it in the error hook.

    mitmproxy 12.2 leaves the connection open, and does not read from it, after a "100 Continue".
    """
    handler = handler_of(flow)
    if handler and flow.error and "body_size_limit" in flow.error.msg and flow.request.http_version == "HTTP/1.1":
        client = handler.transports.get(flow.client_conn)
        if client and client.writer:
            asyncio.get_running_loop().call_later(CLOSE_DELAY, client.writer.close)


def client_is_gone(flow: http.HTTPFlow) -> bool:
    """Whether a client has closed its connection, at least its own side of it, as one that wants no answer does."""
    return not flow.client_conn.state & ConnectionState.CAN_READ


def is_abandoned(flow: http.HTTPFlow) -> bool:
    """Whether the client of a flow whose layers wait for a hook has gone, or has taken its request back."""
    with contextlib.suppress(AttributeError):  # a version of mitmproxy that was not tested
        if stream := stream_of(flow):
            queued = any(isinstance(event, RequestProtocolError) for event in stream._paused_event_queue)
            return queued or not stream.context.client.state & ConnectionState.CAN_WRITE
    return client_is_gone(flow)


def close_upstream(flow: http.HTTPFlow) -> None:
    """Stop an answer that is still coming in, CLOSE_DELAY after what was sent of it to the client.

    A connection that may carry other requests (HTTP/2) stays open: the rest of the answer is read and discarded.
    """
    with contextlib.suppress(AttributeError):  # a version of mitmproxy that was not tested
        handler = handler_of(flow)
        if handler and flow.response and flow.response.data.http_version.startswith(b"HTTP/1"):
            server = handler.transports.get(flow.server_conn)
            if server and server.writer:
                asyncio.get_running_loop().call_soon(server.writer.close)


def stream_of(flow: http.HTTPFlow) -> HttpStream | None:
    """The layer of this flow; None for a replayed flow, and if layers are not as expected."""
    handler = handler_of(flow)
    return _search(handler.layer.context.layers, flow, set()) if handler else None


def has_arrived(flow: http.HTTPFlow, message: http.Message, length: int) -> bool:
    """Whether a message's body of `length` bytes over HTTP/1 has arrived with its head; for the hook of that head."""
    is_request = message is flow.request
    # A version of mitmproxy that was not tested.
    with contextlib.suppress(AssertionError, AttributeError, KeyError, ValueError):
        if stream := stream_of(flow):
            end: type[events.Event] = RequestEndOfMessage if is_request else ResponseEndOfMessage
            waiting = stream._paused_event_queue
            if waiting and isinstance(waiting[-1], end):
                return True
            # Where hooks begin before the layers have read on.
            reader: Any = _http_layer_of(stream).connections[flow.client_conn if is_request else flow.server_conn]
            while not isinstance(reader, Http1Connection):
                reader = reader.child_layer
            return len(reader.buf) >= length
    return False


def _connection_of(stream: HttpStream) -> HttpConnection:
    connection = _http_layer_of(stream).connections[stream.context.client]
    assert isinstance(connection, HttpConnection)
    return connection


def _http_layer_of(stream: HttpStream) -> HttpLayer:
    layers = stream.context.layers
    parent = layers[layers.index(stream) - 1]
    assert isinstance(parent, HttpLayer)
    return parent


def handler_of(flow: http.HTTPFlow) -> ConnectionHandler | None:
    """What handles the connection of a flow's client; None for a replayed flow."""
    proxyserver = ctx.master.addons.get("proxyserver")
    handler: ConnectionHandler | None = proxyserver.connections.get(flow.client_conn.id) if proxyserver else None
    return handler


def _search(layers: list[Layer], flow: http.HTTPFlow, seen: set[int]) -> HttpStream | None:
    for layer in layers:
        if isinstance(layer, HttpLayer) and id(layer) not in seen:
            seen.add(id(layer))
            for stream in layer.streams.values():
                if getattr(stream, "flow", None) is flow:
                    return stream
                # A CONNECT has a stack of layers of its own.
                found = _search(stream.context.layers, flow, seen)
                if found:
                    return found
    return None
