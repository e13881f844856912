"""What is done to mitmproxy's layers so that a flow passes their request phase again, and waits for nothing for ever.

Tried with mitmproxy 11.0.2 and 12.3; where the layers of another version look different, nothing is done.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Final, NamedTuple, Protocol

from mitmproxy import http
from mitmproxy.connection import ConnectionState, Server
from mitmproxy.hooks import Hook, all_hooks
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layer import CommandGenerator, Layer
from mitmproxy.proxy.layers.http import HttpLayer, HttpStream, SendHttp
from mitmproxy.proxy.layers.http import _events as http_events
from mitmproxy.proxy.layers.http._base import HttpConnection
from mitmproxy.proxy.layers.http._events import (
    RequestEndOfMessage,
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
)
from mitmproxy.proxy.layers.http._hooks import HttpErrorHook, HttpResponseHook
from mitmproxy.proxy.layers.http._http1 import Http1Client
from mitmproxy.proxy.layers.http._http2 import Http2Client
from mitmproxy.proxy.server import ConnectionHandler

from . import engine

logger = logging.getLogger(__name__)

MOST_OF_REFUSED: Final = 64 * 1024
"""Bytes of a refused answer that are read, so that its connection can be used again; of a longer one it is closed."""
TIME_OF_REFUSED: Final = 2.0
"""Seconds for that."""
MOST_HELD: Final = 64 * 1024
"""Bytes at the beginning of a stream that are held until its first event is complete."""

CONNECT: Final = "connectTimeout"
FIRST_BYTE: Final = "firstByteTimeout"
QUEUE: Final = "queueTimeout"
_REFUSED: Final = "refused"
_NO_TIMEOUT: Final = ("", 0.0)

# The methods of HttpStream that are replaced, each with its parameters.
_METHODS: Final = {
    "send_response": ("already_streamed",),
    "handle_protocol_error": ("event",),
    "check_invalid": ("request",),
    "check_body_size": ("request",),
    "check_killed": ("emit_error_hook",),
    "start_response_stream": (),
    "make_server_connection": (),
    "state_consume_request_body": ("event",),
    "state_stream_response_body": ("event",),
    "state_wait_for_response_headers": ("event",),
    "state_consume_response_body": ("event",),
    "_handle_event": ("event",),
}
_OF_ANSWERS: Final = (
    ResponseHeaders,
    ResponseData,
    ResponseTrailers,
    ResponseEndOfMessage,
    ResponseProtocolError,
)
# Its codes of a request that is given up, and of an answer that does not come: numbers in mitmproxy 11.
_CODES: Final[Any] = getattr(http_events, "ErrorCode", None)
_CANCEL: Final[Any] = getattr(_CODES, "CANCEL", 499)
_FAILED: Final[Any] = getattr(_CODES, "GENERIC_SERVER_ERROR", 502)


def _wait_hook() -> Any:
    """The class of a hook of ours; mitmproxy knows it already when the script is loaded again."""

    def made() -> type[Hook]:
        @dataclass
        class WaitHook(commands.StartHook):
            """Called between two tries of a flow, and before a request that needs a place in line. May wait."""

            name: ClassVar[str] = "ai_proxy_wait"
            flow: http.HTTPFlow

        return WaitHook

    return all_hooks.get("ai_proxy_wait") or made()


WaitHook: Final = _wait_hook()


class Problem(NamedTuple):
    """Why a try has no answer, or an unfinished one, in words.

    `timeout`: the key of the time-out of so many `seconds` that it was, "" for none. `is_sent`: the provider may have
    got the request.
    """

    text: str
    timeout: str
    is_sent: bool
    seconds: float = 0.0


class Judge(Protocol):
    """What decides on the tries of one flow; the layers ask it."""

    wait: float
    """Seconds to wait before the next try."""
    is_refused: bool
    """Whether the answer whose head has come is followed by another try, whatever its body is."""

    def needs_place(self) -> bool:
        """Whether the request has to take a place in line before it is sent; WaitHook does so."""

    def has_place(self) -> bool:
        """After WaitHook: whether it has got one."""

    def goes_again(self) -> bool:
        """After the response hook or the error hook: whether there is another try."""

    def prepare(self) -> bytes:
        """Make the flow ready for the next try; returns the body of the client's request."""

    def wants_first(self) -> bool:
        """Whether the head of a stream is held until its first event."""

    def is_failure(self, piece: bytes, *, is_end: bool) -> bool | None:
        """Whether a held stream begins with an error that is followed by another try; None if more is needed."""

    def end_refused(self, body: bytes) -> None:
        """Have the flow show this body of a stream that was held."""


class Loop:
    """The tries of one flow, in its stream. `problem`: why the try that ends now has no answer; None if it has one.

    `has_begun`: something of the answer is at the client.
    """

    def __init__(self, stream: HttpStream, handler: ConnectionHandler, judge: Judge) -> None:
        self._stream, self._handler, self._judge = stream, handler, judge
        self._server = stream.flow.server_conn
        self._of: Any = {name: getattr(stream, name) for name in _METHODS}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._expired: dict[str, float] = {}
        self._is_connecting = False
        self._is_sent = False
        self._timeout = _NO_TIMEOUT
        self._held = bytearray()
        self._tasks: set[asyncio.Future[Any]] = set()
        self.problem: Problem | None = None
        self.has_begun = False
        self.connect_timeout = 0.0
        self.first_byte_timeout = 0.0
        replaced: Any = stream
        replaced.send_response = self._send_response
        replaced.handle_protocol_error = self._handle_protocol_error
        replaced.check_invalid = self._check_invalid
        replaced.check_body_size = self._check_body_size
        replaced.start_response_stream = self._start_response_stream
        replaced.make_server_connection = self._make_server_connection
        replaced._handle_event = self._handle_event

    @property
    def is_gone(self) -> bool:
        """Whether the client has left while the flow waits."""
        queued = any(isinstance(event, RequestProtocolError) for event in self._stream._paused_event_queue)
        return queued or not self._stream.context.client.state & ConnectionState.CAN_WRITE

    # Time

    def limit(self, name: str, seconds: float, of: float = 0.0) -> None:
        """Have the try end when its answer has not begun after so many seconds.

        `name` is the key that says so, with the number `of` if that is another one.
        """
        self._stop(name)
        if seconds > 0:
            loop = asyncio.get_running_loop()
            self._timers[name] = loop.call_later(seconds, self._expire, name, of or seconds)

    def limit_refused(self) -> None:
        """Do not wait long for the rest of a refused answer."""
        self.limit(_REFUSED, TIME_OF_REFUSED)

    def stop(self) -> None:
        """End all time-outs."""
        for name in list(self._timers):
            self._stop(name)
        self._expired.clear()

    def _stop(self, name: str) -> None:
        if timer := self._timers.pop(name, None):
            timer.cancel()

    def _expire(self, name: str, seconds: float) -> None:
        self._timers.pop(name, None)
        if self.has_begun:
            return
        if self._is_connecting:
            self._timeout = name, seconds
            self._stop_connecting()
            return
        self._expired[name] = seconds
        # Not a command of the stream's own, which nobody could take back when the answer has come.
        command: Any = commands.RequestWakeup(0)
        for layer, below in pairwise(self._stream.context.layers):
            if isinstance(layer, HttpLayer):
                layer.command_sources[command] = below
        event: Any = events.Wakeup(command)
        task = asyncio.ensure_future(self._handler.server_event(event))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _time_out(self) -> CommandGenerator[None]:
        name, seconds = next(iter(self._expired.items()), ("", 0.0))
        self._expired.clear()
        stream = self._stream
        waiting = (stream.state_wait_for_response_headers, stream.state_consume_response_body, self._hold)
        if not name or self.has_begun or stream.server_state not in waiting:
            return
        yield from self._leave_upstream()
        if name == _REFUSED:
            yield from self._end_refused()
            return
        self._timeout = name, seconds
        yield from stream.handle_protocol_error(ResponseProtocolError(stream.stream_id, "no answer in time", _FAILED))

    # The methods of the stream

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        if isinstance(event, events.Wakeup):
            yield from self._time_out()
            return
        if isinstance(event, ResponseHeaders):
            self._stop(FIRST_BYTE)
        yield from self._of["_handle_event"](event)

    def _send_response(self, already_streamed: bool = False) -> CommandGenerator[Any]:
        if already_streamed:
            self.stop()
            return (yield from self._of["send_response"](True))
        self.problem = None
        return (yield from self._watched(self._of["send_response"](False), HttpResponseHook))

    def _handle_protocol_error(self, event: RequestProtocolError | ResponseProtocolError) -> CommandGenerator[Any]:
        generator = self._of["handle_protocol_error"](event)
        is_upstreams = isinstance(event, ResponseProtocolError)
        name, seconds = self._timeout
        self.problem = Problem(event.message, name, self._is_sent, seconds) if is_upstreams else None
        self._is_connecting, self._timeout = False, _NO_TIMEOUT
        if self.has_begun or not is_upstreams:
            self.stop()
            found = yield from generator
            self.problem = None
            return found
        return (yield from self._watched(generator, HttpErrorHook))

    def _check_invalid(self, request: bool) -> CommandGenerator[bool]:
        if request:
            own: bool = yield from self._of["check_invalid"](request)
            return own
        self.problem = Problem("its head is not valid", "", is_sent=True)
        found: bool = yield from self._watched(self._of["check_invalid"](request), HttpErrorHook)
        if not found:
            self.problem = None
        return found

    def _check_body_size(self, request: bool) -> CommandGenerator[bool]:
        if request or not self._judge.is_refused:
            own: bool = yield from self._of["check_body_size"](request)
            return own
        if len(self._stream.response_body_buf) <= MOST_OF_REFUSED:
            return False
        yield from self._leave_upstream()
        yield from self._end_refused()
        return True

    def _end_refused(self) -> CommandGenerator[None]:
        stream = self._stream
        assert stream.flow.response
        stream.flow.response.data.content = bytes(stream.response_body_buf)
        yield from stream.send_response()

    def _make_server_connection(self) -> CommandGenerator[bool]:
        self._is_sent = False
        for connection in _failed(_http_layer(self._stream)):
            # mitmproxy would give its error again, for as long as the client stays.
            del _http_layer(self._stream).connections[connection]
        if self._judge.needs_place():
            yield WaitHook(self._stream.flow)
            if (yield from self._stream.check_killed(True)):
                return False
            if not self._judge.has_place():
                self._timeout = QUEUE, 0.0
                error = ResponseProtocolError(self._stream.stream_id, "no place in line", _FAILED)
                yield from self._stream.handle_protocol_error(error)
                return False
        self._is_connecting = True
        self.limit(CONNECT, self.connect_timeout)
        is_open: bool = yield from self._of["make_server_connection"]()
        # Otherwise other tries may have followed in the meantime.
        if is_open:
            self._is_sent, self._is_connecting = True, False
            self._stop(CONNECT)
            self.limit(FIRST_BYTE, self.first_byte_timeout)
        return is_open

    def _start_response_stream(self) -> CommandGenerator[None]:
        if self._judge.wants_first():
            self._held.clear()
            self.limit(FIRST_BYTE, self.first_byte_timeout)
            held: Any = self._hold
            self._stream.server_state = held
            return
        self._begin()
        yield from self._of["start_response_stream"]()

    def _hold(self, event: events.Event) -> CommandGenerator[None]:
        """The state of a stream whose head is held until its first event."""
        stream = self._stream
        piece = event.data if isinstance(event, ResponseData) else b""
        is_end = isinstance(event, ResponseEndOfMessage)
        self._held += piece
        is_failure = self._judge.is_failure(piece, is_end=is_end)
        if is_failure is None and not is_end and len(self._held) <= MOST_HELD:
            return
        held = bytes(self._held)
        if is_failure:
            yield from self._leave_upstream()
            self._judge.end_refused(held)
            yield from stream.send_response()
            return
        self._begin()
        yield from self._of["start_response_stream"]()
        if held:
            yield from stream.state_stream_response_body(ResponseData(stream.stream_id, held))
        if not isinstance(event, ResponseData):
            yield from stream.state_stream_response_body(event)

    # The next try

    def _begin(self) -> None:
        self.has_begun = True
        self.stop()

    def _watched(self, generator: CommandGenerator[Any], hook: type[commands.StartHook]) -> CommandGenerator[Any]:
        """Runs a method of the stream up to its hook, and goes again or on from there."""
        reply: Any = None
        try:
            while True:
                command = generator.send(reply)
                reply = yield command
                if not isinstance(command, hook):
                    continue
                if self._judge.goes_again():
                    generator.close()
                    yield from self._again()
                    return True
                self.problem = None
                self._begin()
        except StopIteration as end:
            return end.value

    def _again(self) -> CommandGenerator[None]:
        stream, flow = self._stream, self._stream.flow
        self.problem = None
        self.stop()
        yield from self._leave_upstream()
        flow.response = None
        if (yield from stream.check_killed(True)):
            return
        if self._judge.wait > 0:
            yield WaitHook(flow)
            if (yield from stream.check_killed(True)):
                return
        flow.error = None
        self._forget_queued()
        body = self._judge.prepare()
        stream.request_body_buf.clear()
        stream.request_body_buf += body
        stream.response_body_buf.clear()
        stream.server_state = stream.state_wait_for_response_headers
        # A stage may have led the last try elsewhere.
        flow.server_conn = self._server
        yield from stream.state_consume_request_body(RequestEndOfMessage(stream.stream_id))

    def _forget_queued(self) -> None:
        """Drop what has come of the last try while the stream was at a hook."""
        queue = self._stream._paused_event_queue
        left = [event for event in queue if not isinstance(event, _OF_ANSWERS)]
        queue.clear()
        queue.extend(left)

    def _leave_upstream(self) -> CommandGenerator[None]:
        """Have nothing of the last try come any more; its connection is closed unless its answer is complete."""
        stream = self._stream
        connection = stream.flow.server_conn
        layer = _http_layer(stream).connections.get(connection)
        if layer is None:
            return
        end = _innermost(layer)
        given_up = RequestProtocolError(stream.stream_id, "given up", _CANCEL)
        if isinstance(end, Http2Client):
            own = end.our_stream_id.get(stream.stream_id)
            if own is not None and own in end.streams and connection.connected:
                yield SendHttp(given_up, connection)
            end.our_stream_id.pop(stream.stream_id, None)
            end.stream_queue.pop(stream.stream_id, None)
            if own is not None:
                end.streams.pop(own, None)
        elif isinstance(end, Http1Client) and end.stream_id == stream.stream_id:
            nothing: Any = end.done
            end.state = nothing
            if connection.connected:
                yield SendHttp(given_up, connection)

    def _stop_connecting(self) -> None:
        """Cancel the connection that the stream waits for."""
        layer = _http_layer(self._stream)
        for connection, waiting in layer.waiting_for_establishment.items():
            if any(layer.command_sources.get(command) is self._stream for command in waiting):
                first = layer.connections.get(connection)
                for other, found in list(layer.connections.items()):
                    transport = self._handler.transports.get(other)
                    if found is first and transport and transport.handler:
                        transport.handler.cancel("time-out")


def arrange(flow: http.HTTPFlow, judge: Judge) -> Loop | None:
    """Have a judge decide on further tries of a flow; None, and a warning, where the layers are not as expected."""
    try:
        stream, handler = engine.stream_of(flow), engine.handler_of(flow)
        if stream is not None and handler is not None and _is_as_expected(type(stream)):
            return Loop(stream, handler, judge)
    except AttributeError:
        # A version of mitmproxy that was not tested.
        pass
    if flow.live:
        _warn()
    return None


_warned: Final[list[bool]] = []


def _warn() -> None:
    if not _warned:
        _warned.append(True)
        logger.warning(
            "ai-proxy: this version of mitmproxy is not known well enough for second tries and time-outs: "
            "the first answer goes to the client."
        )


def _is_as_expected(kind: type[HttpStream]) -> bool:
    for name, parameters in _METHODS.items():
        method = getattr(kind, name, None)
        if method is None or tuple(inspect.signature(method).parameters)[1:] not in (parameters, ("_",)):
            return False
    return True


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


def _failed(layer: HttpLayer) -> Iterator[Server]:
    """The connections that were not made, and that nobody waits for."""
    for connection in list(layer.connections):
        if (
            isinstance(connection, Server)
            and connection.error
            and not connection.connected
            and connection not in layer.waiting_for_establishment
        ):
            yield connection
