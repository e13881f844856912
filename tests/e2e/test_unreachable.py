"""A provider that gives no answer, or breaks off: the client gets an error in its dialect that names the provider."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.e2e.conftest import StartProxy
from tests.e2e.http2 import Http2Client
from tests.e2e.proxy import Proxy
from tests.tables import table

CREATE = b'{"prompt":"a cat","seconds":"4"}'
# Another provider each time; after what it says, it hangs up.
ORIGINS = {"no such host": "https://provider.invalid", "nobody listens": "http://127.0.0.1:9"}
WORDS = {
    "no answer": b"",
    "no HTTP": b"220 mail.example ESMTP\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "half a body": b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\nContent-Type: application/json\r\n\r\n{"code": 0',
    "half a chunk": b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n{"code": 0',
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
}
"""What a provider says before it hangs up."""
CLIENTS = {"openai": {}, "anthropic": {"anthropic-version": "2023-06-01"}}


class _Provider:
    """A server that reads a request, says what is in `says`, and hangs up."""

    def __init__(self) -> None:
        self.says = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.settimeout(5)
                connection.recv(65536)
                connection.sendall(self.says)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def provider() -> Iterator[_Provider]:
    server = _Provider()
    yield server
    server.close()


def _start(start_proxy: StartProxy, origin: str) -> Proxy:
    config = f"provider: {{type: kling, apiTokens: [token-of-the-tests], providerDomain: '{origin}'}}"
    return start_proxy(config, "--mode", "reverse:https://127.0.0.1:9", tls=True)


def _faults(proxy: Proxy, name: str, origin: str) -> list[tuple[object, ...]]:
    """The answers of a proxy that are not an error that names the provider."""
    return [
        (name, version, method, dialect, status, body)
        for version, ask in (("HTTP/1", _over_http1), ("HTTP/2", _over_http2))
        for method, path, sent in (("POST", "/v1/videos", CREATE), ("GET", "/v1/videos/kling-t2v-1", b""))
        for dialect, fields in CLIENTS.items()
        for status, body in (ask(proxy, method, path, sent, fields),)
        if status != 502 or not _is_ours(body, origin, dialect)
    ]


def _over_http1(proxy: Proxy, method: str, path: str, body: bytes, fields: dict[str, str]) -> tuple[int, bytes]:
    reply = proxy.request(method, path, body or None, {"Host": "localhost", **fields})
    assert reply.headers["Content-Type"] == "application/json"
    return reply.status, reply.body


def _over_http2(proxy: Proxy, method: str, path: str, body: bytes, fields: dict[str, str]) -> tuple[int, bytes]:
    client = Http2Client(proxy.port)
    lines = tuple((key.encode(), value.encode()) for key, value in fields.items())
    status = client.ask(method.encode(), path.encode(), lines, body)
    client.close()
    return status, client.body


def _is_ours(body: bytes, origin: str, dialect: str) -> bool:
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError):
        return False
    has_code = dialect == "anthropic" or error["code"] == "provider_unreachable"
    return has_code and origin in error["message"]


@table("origin", ORIGINS.values(), ids=ORIGINS)
def test_a_provider_that_is_not_reached_is_named_in_the_dialect_of_the_client(
    origin: str, start_proxy: StartProxy
) -> None:
    assert not _faults(_start(start_proxy, origin), "", origin)


def test_a_provider_that_takes_no_tls_is_named(provider: _Provider, start_proxy: StartProxy) -> None:
    provider.says = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
    origin = f"https://{provider.address}"
    assert not _faults(_start(start_proxy, origin), "", origin)


def test_a_provider_that_breaks_off_is_named(provider: _Provider, start_proxy: StartProxy) -> None:
    origin = f"http://{provider.address}"
    proxy = _start(start_proxy, origin)
    failed = []
    for name, provider.says in WORDS.items():
        failed += _faults(proxy, name, origin)
    assert not failed
    assert "Traceback" not in proxy.close()
