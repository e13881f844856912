"""A provider with moods: what it does with a request is told by the test, by the token that the request has."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

import h2.config
import h2.connection
import h2.events

DEADLINE = 20
EVENTS = (b"content-type", b"text/event-stream")
JSON = (b"content-type", b"application/json")


class Request(NamedTuple):
    """A request as it arrived. `fields` in lower case."""

    method: str
    path: str
    fields: dict[bytes, bytes]
    body: bytes

    @property
    def token(self) -> str:
        """The token in Authorization, or x-api-key."""
        value = self.fields.get(b"authorization") or self.fields.get(b"x-api-key", b"")
        return value.decode().removeprefix("Bearer ")


class Mood(NamedTuple):
    """What is done: an answer with these pieces, each sent by itself, and how it ends.

    `end`: "" for a proper end, "close" and "reset" for a connection that is lost behind the pieces, "silence" for
    nothing more. `raw`: bytes in the place of an answer. `status` 0: no head is sent. `gate`: the last piece
    waits for it.
    """

    status: int = 200
    pieces: tuple[bytes, ...] = (b'{"ok": true}',)
    fields: tuple[tuple[bytes, bytes], ...] = (JSON,)
    end: str = ""
    raw: bytes = b""
    gate: threading.Event | None = None

    def sent(self) -> Iterator[bytes]:
        """The pieces, each when it may be sent."""
        for number, piece in enumerate(self.pieces, 1):
            if self.gate and number == len(self.pieces):
                assert self.gate.wait(DEADLINE)
            yield piece


OK = Mood()
CLOSE = Mood(0, (), (), "close")
RESET = Mood(0, (), (), "reset")
SILENCE = Mood(0, (), (), "silence")
GARBAGE = Mood(0, (), (), "close", b"\x16\x03 220 mail.example ESMTP\r\n\r\n")


def refusal(status: int, *fields: tuple[bytes, bytes], body: bytes = b'{"error": {"message": "no"}}') -> Mood:
    """An error with a JSON body."""
    return Mood(status, (body,), (JSON, *fields))


def stream(*pieces: bytes, end: str = "") -> Mood:
    """Server-sent events, each piece by itself."""
    return Mood(200, pieces, (EVENTS,), end)


class Moody:
    """A server on a free port of 127.0.0.1. `mood` gets each request; `received` has all of them."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.mood: Callable[[Request], Mood] = lambda request: OK
        self.received: list[Request] = []
        self.connections = 0
        self.is_left = threading.Event()
        """Set when the other side has given up a request that got silence."""
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.origin = f"http{'s' if tls else ''}://{self.address}"
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def open(self) -> int:
        """The number of connections that are open."""
        return len(self._open)

    def reset(self) -> None:
        """Forget what has arrived, and the mood."""
        self.received, self.connections, self.mood = [], 0, lambda request: OK
        self.is_left.clear()

    def close(self) -> None:
        """Stop, and hang up."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()

    def hang_up(self) -> None:
        """Close all connections."""
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        self.connections += 1
        connection = raw
        connection.settimeout(DEADLINE)
        with contextlib.suppress(OSError, EOFError):
            if self._tls:
                connection = self._tls.wrap_socket(raw, server_side=True)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open.add(connection)
            if isinstance(connection, ssl.SSLSocket) and connection.selected_alpn_protocol() == "h2":
                self._http2(connection)
            else:
                self._http1(connection)
        with self._lock:
            self._open.discard(connection)
        connection.close()

    def _heard(self, request: Request) -> Mood:
        with self._lock:
            self.received.append(request)
        return self.mood(request)

    def _http1(self, connection: socket.socket) -> None:
        file = connection.makefile("rb")
        while line := file.readline():
            method, path, _ = line.decode().split(" ")
            fields: dict[bytes, bytes] = {}
            while field := file.readline().strip():
                name, _, value = field.partition(b":")
                fields[name.lower()] = value.strip()
            if method == "CONNECT":
                self._tunnel(connection, path)
                return
            body = file.read(int(fields.get(b"content-length", b"0")))
            mood = self._heard(Request(method, path, fields, body))
            connection.sendall(mood.raw)
            if mood.status:
                head = [b"HTTP/1.1 %d Said" % mood.status, *(b": ".join(pair) for pair in mood.fields)]
                is_whole = len(mood.pieces) == 1 and not mood.end
                head.append(b"content-length: %d" % len(mood.pieces[0]) if is_whole else b"transfer-encoding: chunked")
                connection.sendall(b"\r\n".join([*head, b"", b""]))
                for piece in mood.sent():
                    connection.sendall(piece if is_whole else b"%x\r\n%b\r\n" % (len(piece), piece))
                if not is_whole and not mood.end:
                    connection.sendall(b"0\r\n\r\n")
            if mood.end == "silence":
                while file.read(1):
                    pass
                self.is_left.set()
            if mood.end == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # A file keeps the socket open.
                file.close()
                connection.close()
            if mood.end:
                return

    def _tunnel(self, connection: socket.socket, address: str) -> None:
        """What an upstream proxy does."""
        host, _, port = address.rpartition(":")
        other = socket.create_connection((host, int(port)), DEADLINE)
        connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")

        def copy(source: socket.socket, target: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(65536):
                    target.sendall(data)
            for one in (source, target):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

        back = threading.Thread(target=copy, args=(other, connection), daemon=True)
        back.start()
        copy(connection, other)
        back.join(DEADLINE)
        other.close()

    def _http2(self, connection: socket.socket) -> None:
        http2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
        http2.initiate_connection()
        heads: dict[int, dict[bytes, bytes]] = {}
        bodies: dict[int, bytes] = {}
        silent: set[int] = set()
        while True:
            connection.sendall(http2.data_to_send())
            data = connection.recv(65536)
            if not data:
                if silent:
                    self.is_left.set()
                return
            for event in http2.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    heads[event.stream_id] = dict(event.headers or ())
                    bodies[event.stream_id] = b""
                elif isinstance(event, h2.events.DataReceived):
                    bodies[event.stream_id] += event.data or b""
                    http2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
                elif isinstance(event, h2.events.StreamReset) and event.stream_id in silent:
                    self.is_left.set()
                elif isinstance(event, h2.events.StreamEnded):
                    fields = heads.pop(event.stream_id)
                    method, path = fields[b":method"].decode(), fields[b":path"].decode()
                    mood = self._heard(Request(method, path, fields, bodies.pop(event.stream_id)))
                    if mood.raw:
                        connection.sendall(mood.raw)
                    if mood.status:
                        head = [(b":status", b"%d" % mood.status), *mood.fields]
                        http2.send_headers(event.stream_id, head, end_stream=not mood.pieces and not mood.end)
                    is_cut = False
                    for piece in mood.sent():
                        # No more than may be sent without being asked to.
                        room = http2.local_flow_control_window(event.stream_id)
                        is_cut = is_cut or len(piece) > room
                        for start in range(0, min(room, len(piece)), http2.max_outbound_frame_size):
                            frame = piece[start:room][: http2.max_outbound_frame_size]
                            http2.send_data(event.stream_id, frame)
                        connection.sendall(http2.data_to_send())
                    if is_cut:
                        silent.add(event.stream_id)
                    elif not mood.end and mood.pieces:
                        http2.end_stream(event.stream_id)
                    elif mood.end == "reset":
                        http2.reset_stream(event.stream_id)
                    elif mood.end == "silence":
                        silent.add(event.stream_id)
                    elif mood.end == "close":
                        connection.sendall(http2.data_to_send())
                        return
