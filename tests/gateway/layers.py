"""mitmproxy's layers of HTTP without sockets: events in, commands out, and the tries of one stream of a client."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

from mitmproxy import ctx, http
from mitmproxy.connection import Client, Connection, ConnectionState, Server
from mitmproxy.proxy import commands, context, events
from mitmproxy.proxy.layer import Layer
from mitmproxy.proxy.layers.http import HttpLayer, HTTPMode, HttpStream
from mitmproxy.proxy.mode_specs import ProxyMode

from mitm_ai_proxy.edges.problems import Problem
from mitm_ai_proxy.gateway.second_tries import Loop
from mitm_ai_proxy.routing.first_event import FirstEvent

REQUEST = b"POST http://provider.test/v1/chat HTTP/1.1\r\nHost: provider.test\r\nContent-Length: 4\r\n\r\nbody"


class Judge:
    """Decides what a test says. `left`: how many further tries there are. `failing`: what a held stream that fails
    begins with. `problems`: those of the tries that have ended without an answer; None for a client that has left.
    """

    def __init__(self, left: int = 1) -> None:
        self.left, self.wait = left, 0.0
        self.is_refused = self.follows = False
        self.first: FirstEvent | None = None
        self.has_place, self.queues = True, False
        self.body = b"body"
        self.prepared = 0
        self.held: list[bytes] = []
        self.failing = b""
        self.problems: list[Problem | None] = []

    def has_to_queue(self) -> bool:
        return self.queues

    def is_failure(self, piece: bytes, *, is_end: bool) -> bool | None:
        self.held.append(piece)
        seen = b"".join(self.held)
        found = None if len(seen) < 4 and not is_end else bool(self.failing) and seen.startswith(self.failing)
        if found is not None:
            self.first = None
            self.follows = self.is_refused = found
        return found

    def prepare(self) -> bytes:
        self.prepared += 1
        self.left -= 1
        self.is_refused = self.follows = False
        self.held.clear()
        return self.body

    def end_refused(self, body: bytes) -> None:
        self.held.append(body)


class Wire:
    """A client's connection. `hooks`: what is called at a hook, by its name; `waiting`: hooks that are not over yet.

    Each hook is over at once unless its name is in `slow`.
    """

    def __init__(self, judge: Judge, mode: HTTPMode = HTTPMode.regular) -> None:
        self.judge = judge
        self.client = Client(
            peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2), state=ConnectionState.OPEN, timestamp_start=0.0
        )
        self.client.proxy_mode = ProxyMode.parse("regular")
        self.layer = HttpLayer(context.Context(self.client, ctx.options), mode)
        self.sent: dict[Connection, bytes] = {}
        self.opening: list[commands.OpenConnection] = []
        self.closed: list[Connection] = []
        self.hooks: dict[str, Callable[[http.HTTPFlow], None]] = {}
        self.seen: list[str] = []
        self.slow: set[str] = set()
        self.waiting: list[commands.StartHook] = []
        self.cancelled: list[Connection] = []
        self.alpn: bytes | None = None
        self._events: list[events.Event] = []
        self.loops: dict[int, Loop] = {}
        self.handler: Any = SimpleNamespace(transports={}, server_event=self._server_event)
        self.feed(events.Start())

    async def _server_event(self, event: events.Event) -> None:
        self.feed(event)

    @property
    def loop(self) -> Loop:
        """That of the last request."""
        return self.loops[max(self.loops)]

    @property
    def stream(self) -> HttpStream:
        """That of the last request."""
        return self.layer.streams[max(self.layer.streams)]

    @property
    def answer(self) -> bytes:
        """What the client has got."""
        return self.sent.get(self.client, b"")

    def feed(self, event: events.Event) -> None:
        """Give the layers an event, and carry out what they want; one at a time, as the proxy server does."""
        self._events.append(event)
        if len(self._events) > 1:
            return
        while self._events:
            for command in self.layer.handle_event(self._events[0]):
                self._do(command)
            del self._events[0]

    def _do(self, command: commands.Command) -> None:
        if isinstance(command, commands.SendData):
            self.sent[command.connection] = self.sent.get(command.connection, b"") + command.data
        elif isinstance(command, commands.OpenConnection):
            self.opening.append(command)
            server = command.connection
            task = SimpleNamespace(cancel=lambda _, server=server: self.cancelled.append(server))
            self.handler.transports[server] = SimpleNamespace(handler=task)
        elif isinstance(command, commands.CloseConnection):
            self.closed.append(command.connection)
            command.connection.state = ConnectionState.CLOSED
        elif isinstance(command, commands.StartHook):
            self.waiting.append(command)
            if command.name not in self.slow:
                self.go_on()

    def go_on(self) -> None:
        """Have the hook that has waited longest be over."""
        hook = self.waiting.pop(0)
        self.seen.append(hook.name)
        flow = getattr(hook, "flow", None)
        if hook.name == "requestheaders":
            for number, stream in self.layer.streams.items():
                if stream.flow is flow and number not in self.loops:
                    judge: Any = self.judge
                    self.loops[number] = Loop(stream, self.handler, judge)
        if hook.name in self.hooks:
            assert isinstance(flow, http.HTTPFlow)
            self.hooks[hook.name](flow)
        if hook.blocking:
            self.feed(events.HookCompleted(hook))

    def ask(self, request: bytes = REQUEST) -> None:
        """The client's request."""
        self.feed(events.DataReceived(self.client, request))

    def opened(self, error: str | None = None, number: int = 0) -> Server:
        """Have a connection to a provider be made, or not."""
        command = self.opening.pop(number)
        server = command.connection
        assert isinstance(server, Server)
        if error:
            server.error = error
        else:
            server.state = ConnectionState.OPEN
            server.alpn = self.alpn
        self.feed(events.OpenConnectionCompleted(command, error))
        return server

    def say(self, server: Connection, data: bytes) -> None:
        """Have a provider say something."""
        self.feed(events.DataReceived(server, data))

    def end(self, connection: Connection) -> None:
        """Have the other side close a connection."""
        connection.state = ConnectionState.CLOSED
        self.feed(events.ConnectionClosed(connection))

    def time_out(self, name: str) -> None:
        """Have a time-out be over; fails if it does not run."""
        timers: Any = self.loop._timers
        seconds, number = timers.running.pop(name)
        assert seconds > 0
        timers.due(name, number)

    @property
    def time_outs(self) -> set[str]:
        """Those that run, by their names."""
        timers: Any = self.loop._timers
        return set(timers.running)


class Timers:
    """In the place of the gateway's: none is over before a test says so."""

    def __init__(self, due: Callable[[str, float], None]) -> None:
        self.due = due
        self.running: dict[str, tuple[float, float]] = {}

    def set(self, name: str, seconds: float, number: float) -> None:
        self.stop(name)
        if seconds > 0:
            self.running[name] = seconds, number

    def stop(self, name: str) -> None:
        self.running.pop(name, None)

    def stop_all(self) -> None:
        self.running.clear()


def run_at_once(coroutine: Coroutine[Any, Any, None]) -> Any:
    """In the place of asyncio.ensure_future(), for what waits for nothing."""
    for _ in coroutine.__await__():
        raise AssertionError("it waits")
    return _Done()


class _Done:
    """What has been done."""

    def add_done_callback(self, callback: Callable[[object], object]) -> None:
        callback(self)


def innermost(wire: Wire, server: Connection) -> Layer:
    """The layer that speaks HTTP to a provider."""
    layer: Any = wire.layer.connections[server]
    while isinstance(below := getattr(layer, "child_layer", None), Layer):
        layer = below
    assert isinstance(layer, Layer)
    return layer
