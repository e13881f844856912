"""What is done to mitmproxy's layers so that a flow passes their request phase again, and waits for nothing for ever.

Tried with mitmproxy 11.0.2 and 12.3; where the layers of another version look different, nothing is done.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

from mitmproxy import http
from mitmproxy.connection import ConnectionState
from mitmproxy.flow import Error
from mitmproxy.hooks import Hook, all_hooks
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http import HttpStream
from mitmproxy.proxy.layers.http._events import (
    RequestEndOfMessage,
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._hooks import HttpErrorHook, HttpResponseHook
from mitmproxy.proxy.server import ConnectionHandler

from ..edges.attempts import MOST_OF_REFUSED, TIME_OF_REFUSED
from ..edges.problems import CONNECT, FIRST_BYTE, QUEUE, Problem
from ..routing.first_event import MOST_HELD, FirstEvent
from . import engine, upstream_layers
from .expected_layers import METHODS, is_as_expected, warn
from .timers import Timers

_REFUSED: Final = "refused"
_NO_TIMEOUT: Final = ("", 0.0)
_LOST: Final = Problem("the connection was closed", "", is_sent=True)


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


class Judge(Protocol):
    """What decides on the tries of one flow; the layers ask it. See Attempts of edges/attempts.py."""

    is_refused: bool

    @property
    def first(self) -> FirstEvent | None: ...
    @property
    def wait(self) -> float: ...
    @property
    def follows(self) -> bool: ...
    @property
    def has_place(self) -> bool: ...
    def is_failure(self, piece: bytes, *, is_end: bool) -> bool | None: ...

    def has_to_queue(self) -> bool:
        """Whether the request has to wait for a place in line before it is sent; WaitHook does so."""

    def prepare(self) -> bytes:
        """Make the flow ready for the next try; returns the body of the client's request."""

    def end_refused(self, body: bytes) -> None:
        """Have the flow show this body of a stream that was held."""


class Loop:
    """The tries of one flow, in its stream. `problem`: why the try that ends now has no answer; None if it has one.

    `has_begun`: something of the answer is at the client.
    """

    def __init__(self, stream: HttpStream, handler: ConnectionHandler, judge: Judge) -> None:
        self._stream, self._handler, self._judge = stream, handler, judge
        self._server = stream.flow.server_conn
        self._of: Any = {name: getattr(stream, name) for name in METHODS}
        self._timers = Timers(self._expire)
        self._expired: dict[str, float] = {}
        self._is_connecting = False
        self._is_sent = False
        self._lost: Problem | None = None
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

    def limit(self, name: str, seconds: float, whole: float) -> None:
        """Have the try end when its answer has not begun after so many seconds; `name` and `whole` tell of it."""
        self._timers.set(name, seconds, whole)

    def stop(self) -> None:
        """End all time-outs."""
        self._timers.stop_all()
        self._expired.clear()

    @property
    def is_late(self) -> bool:
        """Whether a time-out is over that the stream has not been told of, since it waits for a hook."""
        return bool(self._expired)

    def lose(self, problem: Problem = _LOST) -> None:
        """Have the try end so, with nothing sent; call it in the request hook."""
        self._lost = problem
        # So that nobody takes it for a request that is to be sent; the layers put their own in its place.
        self._stream.flow.error = Error(problem.text)

    def _expire(self, name: str, seconds: float) -> None:
        if self._is_connecting:
            self._timeout = name, seconds
            upstream_layers.stop_connecting(self._stream, self._handler)
            return
        self._expired[name] = seconds
        task = upstream_layers.wake(self._stream, self._handler)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _time_out(self) -> CommandGenerator[None]:
        name, seconds = next(iter(self._expired.items()), ("", 0.0))
        self._expired.clear()
        stream = self._stream
        waiting = (stream.state_wait_for_response_headers, stream.state_consume_response_body, self._hold)
        if not name or self.has_begun or stream.server_state not in waiting:
            return
        if name == _REFUSED:
            yield from self._end_refused()
            return
        yield from upstream_layers.leave(self._stream)
        self._timeout = name, seconds
        yield from stream.handle_protocol_error(
            ResponseProtocolError(stream.stream_id, "no answer in time", upstream_layers.FAILED)
        )

    # The methods of the stream

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        if isinstance(event, events.Wakeup):
            yield from self._time_out()
            return
        is_head = isinstance(event, ResponseHeaders)
        if is_head:
            self._timers.stop(FIRST_BYTE)
        yield from self._of["_handle_event"](event)
        if is_head and self._judge.is_refused and not self.has_begun:
            self.limit(_REFUSED, TIME_OF_REFUSED, TIME_OF_REFUSED)

    def _send_response(self, already_streamed: bool = False) -> CommandGenerator[Any]:
        if already_streamed:
            return (yield from self._of["send_response"](True))
        self.problem = None
        return (yield from self._watched(self._of["send_response"](False), HttpResponseHook))

    def _handle_protocol_error(self, event: RequestProtocolError | ResponseProtocolError) -> CommandGenerator[Any]:
        generator = self._of["handle_protocol_error"](event)
        is_upstreams = isinstance(event, ResponseProtocolError)
        name, seconds = self._timeout
        lost, self._lost = self._lost, None
        refusal = lost.refusal if lost else None
        self.problem = Problem(event.message, name, self._is_sent, seconds, refusal) if is_upstreams else None
        self._is_connecting, self._timeout = False, _NO_TIMEOUT
        if self.has_begun or not is_upstreams:
            self.stop()
            found = yield from generator
            self.problem = None
            return found
        return (yield from self._watched(generator, HttpErrorHook))

    def _check_invalid(self, request: bool) -> CommandGenerator[bool]:
        self.problem = Problem("its head is not valid", "", is_sent=True)
        found: bool = yield from self._watched(self._of["check_invalid"](request), HttpErrorHook)
        if not found:
            self.problem = None
        return found

    def _check_body_size(self, request: bool) -> CommandGenerator[bool]:
        if not self._judge.is_refused:
            own: bool = yield from self._of["check_body_size"](request)
            return own
        if len(self._stream.response_body_buf) <= MOST_OF_REFUSED:
            return False
        yield from self._end_refused()
        return True

    def _end_refused(self) -> CommandGenerator[None]:
        stream = self._stream
        assert stream.flow.response
        yield from upstream_layers.leave(stream)
        stream.flow.response.data.content = bytes(stream.response_body_buf)
        yield from stream.send_response()

    def _make_server_connection(self) -> CommandGenerator[bool]:
        self._is_sent = False
        if self._lost:
            yield from self._end_lost(self._lost)
            return False
        upstream_layers.forget_failed(self._stream)
        if self._judge.has_to_queue():
            yield WaitHook(self._stream.flow)
            if (yield from self._stream.check_killed(True)):
                return False
            if not self._judge.has_place:
                self._timeout = QUEUE, 0.0
                error = ResponseProtocolError(self._stream.stream_id, "no place in line", upstream_layers.FAILED)
                yield from self._stream.handle_protocol_error(error)
                return False
        self._is_connecting = True
        self.limit(CONNECT, self.connect_timeout, self.connect_timeout)
        is_open: bool = yield from self._of["make_server_connection"]()
        # Otherwise other tries may have followed in the meantime.
        if is_open:
            self._is_sent, self._is_connecting = True, False
            self._timers.stop(CONNECT)
            self.limit(FIRST_BYTE, self.first_byte_timeout, self.first_byte_timeout)
        return is_open

    def _end_lost(self, lost: Problem) -> CommandGenerator[None]:
        self._is_sent = lost.is_sent
        self._timeout = next(iter(self._expired.items()), _NO_TIMEOUT)
        self._expired.clear()
        error = ResponseProtocolError(self._stream.stream_id, lost.text, upstream_layers.FAILED)
        yield from self._stream.handle_protocol_error(error)

    def _start_response_stream(self) -> CommandGenerator[None]:
        if self._judge.first:
            self._held.clear()
            self.limit(FIRST_BYTE, self.first_byte_timeout, self.first_byte_timeout)
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
            yield from upstream_layers.leave(self._stream)
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
                if self._judge.follows:
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
        yield from upstream_layers.leave(self._stream)
        flow.response = None
        if (yield from stream.check_killed(True)):
            return
        if self._judge.wait > 0:
            yield WaitHook(flow)
            if (yield from stream.check_killed(True)):
                return
        flow.error = None
        # What has come of the last try while the stream was at a hook.
        stream._paused_event_queue.clear()
        body = self._judge.prepare()
        stream.request_body_buf += body
        stream.response_body_buf.clear()
        stream.server_state = stream.state_wait_for_response_headers
        # A stage may have led the last try elsewhere.
        flow.server_conn = self._server
        yield from stream.state_consume_request_body(RequestEndOfMessage(stream.stream_id))


def arrange(flow: http.HTTPFlow, judge: Judge) -> Loop | None:
    """Have a judge decide on further tries of a flow; None, and a warning, where the layers are not as expected."""
    try:
        stream, handler = engine.stream_of(flow), engine.handler_of(flow)
        if stream is not None and handler is not None and is_as_expected(type(stream)):
            return Loop(stream, handler, judge)
    except AttributeError:
        # A version of mitmproxy that was not tested.
        pass
    if flow.live:
        warn()
    return None
