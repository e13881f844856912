"""A client of HTTP/2 over TLS for heads that no library would send."""

from __future__ import annotations

import socket

import h2.config
import h2.connection
import h2.events

from tests.e2e import certificates
from tests.e2e.proxy import DEADLINE

Lines = tuple[tuple[bytes, bytes], ...]


class Http2Client:
    """A client that sends what it is told. `body` is that of the last answer."""

    def __init__(self, port: int) -> None:
        context = certificates.trusting()
        context.set_alpn_protocols(["h2"])
        raw = socket.create_connection(("127.0.0.1", port), DEADLINE)
        self._connection = context.wrap_socket(raw, server_hostname="api.openai.com")
        assert self._connection.selected_alpn_protocol() == "h2"
        self._http2 = h2.connection.H2Connection(
            h2.config.H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
        )
        self._http2.initiate_connection()

    def ask(self, method: bytes, path: bytes, fields: Lines = (), body: bytes = b"", trailers: Lines = ()) -> int:
        """The status of the answer; 0 where the stream or the connection was ended instead."""
        self.body = b""
        return self._status(self._send(method, path, fields, body, trailers))

    def send(self, method: bytes, path: bytes, fields: Lines, body: bytes) -> socket.socket:
        """Send a request; returns the connection, for whoever does not wait for the answer."""
        self._send(method, path, fields, body, ())
        self._connection.sendall(self._http2.data_to_send())
        return self._connection

    def _send(self, method: bytes, path: bytes, fields: Lines, body: bytes, trailers: Lines) -> int:
        stream = self._http2.get_next_available_stream_id()
        pseudo = [(b":method", method), (b":scheme", b"https"), (b":authority", b"api.openai.com"), (b":path", path)]
        self._http2.send_headers(stream, [*pseudo, *fields], end_stream=not (body or trailers))
        if body:
            self._http2.send_data(stream, body, end_stream=not trailers)
        if trailers:
            self._http2.send_headers(stream, list(trailers), end_stream=True)
        return stream

    def _status(self, stream: int) -> int:
        status = 0
        while True:
            try:
                self._connection.sendall(self._http2.data_to_send())
                data = self._connection.recv(65536)
            except ConnectionError:
                return 0
            if not data:
                return 0
            for event in self._http2.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    status = next(int(value) for name, value in event.headers or () if name in (b":status", ":status"))
                elif isinstance(event, h2.events.DataReceived):
                    self.body += event.data or b""
                elif isinstance(event, h2.events.ConnectionTerminated | h2.events.StreamReset):
                    return 0
                elif isinstance(event, h2.events.StreamEnded) and event.stream_id == stream:
                    return status

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
