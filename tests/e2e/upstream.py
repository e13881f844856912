"""The upstream of the end-to-end tests: an HTTP server that keeps its requests to the byte and answers as a test sets.

It also verifies JWTs, without code of the addon.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import queue
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass

from tests.e2e.http_server import Handler, Server

CREATED = b'{"code":0,"message":"SUCCEED","request_id":"r-1","data":{"task_id":"831234567890123456","task_info":{}}}'


@dataclass(frozen=True)
class Received:
    """A request as it arrived: the target as written, header lines in order, the body without its framing."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    scheme: str

    def all(self, name: str) -> list[str]:
        """Every value of a header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def one(self, name: str) -> str | None:
        """The value of a header that may occur at most once; None without it."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} stands {len(values)} times"
        return values[0] if values else None


@dataclass(frozen=True)
class Answer:
    """An answer. `chunked` sends the body without a length; so do `pieces`, one chunk for each."""

    status: int = 200
    body: bytes = CREATED
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
    chunked: bool = False
    pieces: tuple[bytes, ...] = ()


Responder = Callable[[Received], Answer]


class Upstream:
    """A server on a free port of 127.0.0.1. `received` is a queue of requests; `respond` decides the answers."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.received: queue.Queue[Received] = queue.Queue()
        self.connections = 0
        self.respond: Responder = lambda request: Answer()
        scheme = "https" if tls else "http"
        upstream = self

        class Answering(Handler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                upstream.connections += 1
                super().setup()

            def handle_any(self) -> None:
                request = Received(self.command, self.path, list(self.headers.items()), self.read_body(), scheme)
                answer = upstream.respond(request)
                upstream.received.put(request)
                self.send_response_only(answer.status)
                for name, value in answer.headers:
                    self.send_header(name, value)
                if answer.chunked or answer.pieces:
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    for piece in answer.pieces or (answer.body,):
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                    self.wfile.write(b"0\r\n\r\n")
                else:
                    self.send_header("Content-Length", str(len(answer.body)))
                    self.end_headers()
                    self.wfile.write(answer.body)

            do_GET = do_POST = do_PUT = do_DELETE = do_OPTIONS = handle_any

        self._server = Server(("127.0.0.1", 0), Answering)
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def reset(self) -> None:
        """Forget requests and answers of the test before."""
        self.received = queue.Queue()
        self.connections = 0
        self.respond = lambda request: Answer()

    def next(self) -> Received:
        """The next request; fails after five seconds."""
        return self.received.get(timeout=5)

    def assert_untouched(self) -> None:
        """Fail if a request has arrived."""
        assert self.received.empty(), f"the upstream got {self.received.get_nowait()}"

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


def verified_claims(authorization: str, secret_key: str) -> dict[str, object]:
    """The claims of a Bearer JWT signed with HS256 (RFC 7515, 7518, 7519); fails if it is not valid."""
    scheme, _, token = authorization.partition(" ")
    assert scheme == "Bearer"
    header, claims, signature = token.split(".")
    expected = hmac.new(secret_key.encode(), f"{header}.{claims}".encode(), hashlib.sha256).digest()
    assert hmac.compare_digest(_unpadded(signature), expected), "the signature is wrong"
    assert json.loads(_unpadded(header)) == {"alg": "HS256", "typ": "JWT"}
    decoded = json.loads(_unpadded(claims))
    assert isinstance(decoded, dict)
    return decoded


def _unpadded(text: str) -> bytes:
    assert "=" not in text
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
