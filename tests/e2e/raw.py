"""A provider and a client that see every byte: raw sockets, without an HTTP library between."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
import time
from typing import Final

DEADLINE: Final = 20
OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:\s*chunked", re.IGNORECASE)


def _body_is_whole(head: bytes, body: bytes) -> bool:
    if _CHUNKED.search(head):
        return body.endswith(b"0\r\n\r\n")
    found = _LENGTH.search(head)
    return len(body) >= int(found[1]) if found else True


def message(connection: socket.socket, *, has_body: bool = True) -> bytes:
    """One message as it comes, but for a "100 Continue", or what there is of it when the connection ends."""
    received = b""
    with contextlib.suppress(ConnectionError, TimeoutError):
        while True:
            head, blank, body = received.partition(b"\r\n\r\n")
            if blank and head.startswith(b"HTTP/1.1 100 "):
                received = body
                continue
            if blank and (not has_body or _body_is_whole(b"\r\n" + head, body)):
                break
            data = connection.recv(65536)
            if not data:
                break
            received += data
    return received


class RawProvider:
    """A server on a free port of 127.0.0.1 that keeps requests to the byte, and says `says` to each.

    `closes`: it hangs up behind it. `resets`: it resets the connection. `drips`: each byte is sent by itself.
    """

    def __init__(self) -> None:
        self.says, self.closes, self.resets, self.drips = OK, False, False, False
        self.is_left = threading.Event()
        """Set when a connection has ended."""
        self.received: list[bytes] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(DEADLINE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, contextlib.suppress(OSError):
            while request := message(connection):
                self.received.append(request)
                for piece in map(bytes, zip(self.says, strict=True)) if self.drips else [self.says]:
                    connection.sendall(piece)
                if self.resets:
                    # What was sent has to arrive before.
                    time.sleep(0.02)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if self.closes or self.resets:
                    break
        self.is_left.set()

    def reset(self) -> None:
        """Forget what was received, and say OK."""
        self.says, self.closes, self.resets, self.drips = OK, False, False, False
        self.received, self.connections = [], 0
        self.is_left.clear()

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()


def ask(port: int, data: bytes, *, has_body: bool = True, seconds: float = DEADLINE) -> bytes:
    """What a proxy answers to these bytes, to the byte; b"" where it hangs up or says nothing in so many seconds."""
    with socket.create_connection(("127.0.0.1", port), seconds) as connection:
        connection.sendall(data)
        return message(connection, has_body=has_body)
