"""Heads over raw sockets that a provider could read in another way. The provider here ends lines at CR."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import certificates
from tests.e2e.conftest import SECRET_KEY, StartProxy
from tests.e2e.http2 import Http2Client, Lines
from tests.e2e.proxy import DEADLINE, Proxy
from tests.e2e.upstream import Upstream

KEY = "KEY-OF-THE-CLIENT"

_SECOND = b"DELETE /admin/everything HTTP/1.1\r\nX-Swallow: "
_POST = b"POST /v1/videos/lip-sync HTTP/1.1\r\nHost: x\r\n"
_AUTHORIZATION = b"Authorization: Bearer " + KEY.encode()
HTTP1 = {
    "another field behind CR": b"GET /v1/videos/1 HTTP/1.1\r\nHost: x\r\nX: a\r" + _AUTHORIZATION + b"\r\n\r\n",
    "another field behind a fold": b"GET /v1/videos/1 HTTP/1.1\r\nHost: x\r\nX: a\r\n " + _AUTHORIZATION + b"\r\n\r\n",
    "another field behind a tab": b"GET /v1/videos/1 HTTP/1.1\r\nHost: x\r\nX: a\r\n\t" + _AUTHORIZATION + b"\r\n\r\n",
    "an empty fold": b"GET /v1/videos/1 HTTP/1.1\r\nHost: x\r\nX: a\r\n \r\n\r\n",
    "a second request behind CR": _POST + b"X: a\rContent-Length: 0\r\nContent-Length: 46\r\n\r\n" + _SECOND,
    "a second request behind a fold": _POST + b"X: a\r\n Content-Length: 0\r\nContent-Length: 46\r\n\r\n" + _SECOND,
    "a second request behind CRs": _POST + b"X: a\r\r" + _SECOND + b"\r\nContent-Length: 2\r\n\r\n{}",
    "CR in a name": _POST + b"X\rContent-Length: 0\r\nContent-Length: 46\r\n\r\n" + _SECOND,
    "NUL in a value": b"GET /v1/videos/1 HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
    "NUL in a name": b"GET /v1/videos/1 HTTP/1.1\r\nHost: x\r\nX\0: a\r\n\r\n",
    "an escape in a value": b"GET /v1/videos/1 HTTP/1.1\r\nHost: x\r\nX: a\x1b[2J\r\n\r\n",
    "DEL in a value": b"GET /v1/videos/1 HTTP/1.1\r\nHost: x\r\nX: a\x7f\r\n\r\n",
    "asterisk": b"GET * HTTP/1.1\r\nHost: x\r\n\r\n",
    "OPTIONS of everything": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "two slashes": b"GET //evil.test/v1/videos/1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "no slash": b"GET v1/videos/1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "NUL in the path": b"GET /v1/videos/\0 HTTP/1.1\r\nHost: x\r\n\r\n",
    "an escape in the path": b"GET /v1/\x1b[2J HTTP/1.1\r\nHost: x\r\n\r\n",
    "DEL in the query": b"GET /v1/videos/1?a=\x7f HTTP/1.1\r\nHost: x\r\n\r\n",
    "NUL in the method": b"\0POST /v1/videos/text2video HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
    "a method that is no token": b"GET(a) /v1/videos/1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "an escape in the method": b"GET\x1b[2J /v1/videos/1 HTTP/1.1\r\nHost: x\r\n\r\n",
}
# mitmproxy's own log quotes what it refuses of HTTP/2, so there is no key in it.
_FIELD = b"Authorization: Bearer x"
HTTP2: dict[str, tuple[bytes, bytes, Lines]] = {
    "a path that goes on": (b"GET", b"-admin/keys", ()),
    "a user name": (b"GET", b"@evil.example/x", ()),
    "a port": (b"GET", b":81/x", ()),
    "a whole address": (b"GET", b"http://127.0.0.1:9/x", ()),
    "an authority": (b"GET", b"evil.example:443", ()),
    "two slashes": (b"GET", b"//evil.example/x", ()),
    "asterisk": (b"GET", b"*", ()),
    "OPTIONS of everything": (b"OPTIONS", b"*", ()),
    "a blank in the path": (b"GET", b"/v1/videos/1 HTTP/1.1", ()),
    "a blank before the path": (b"GET", b" /v1/videos/1", ()),
    "a second request in the path": (b"GET", b"/v1/videos/1 HTTP/1.1\r\nHost: x\r\n\r\n" + _SECOND, ()),
    "a second request in the query": (b"GET", b"/v1/videos/1?a\r\n\r\n" + _SECOND, ()),
    "a path in the method": (b"GET /admin", b"/v1/videos/1", ()),
    "a second request in the method": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET", b"/v1/videos/1", ()),
    "LF in a value": (b"GET", b"/v1/videos/1", ((b"x", b"a\n" + _FIELD),)),
    "CR in a value": (b"GET", b"/v1/videos/1", ((b"x", b"a\r" + _FIELD),)),
    "a fold": (b"GET", b"/v1/videos/1", ((b"x", b"a\r\n " + _FIELD),)),
    "a second request in a value": (b"GET", b"/v1/videos/1", ((b"x", b"a\r\n\r\n" + _SECOND),)),
    "NUL in a value": (b"GET", b"/v1/videos/1", ((b"x", b"a\0"),)),
    "LF at the end of a name": (b"GET", b"/v1/videos/1", ((b"x\n", b"a"),)),
    "another field in a name": (b"GET", b"/v1/videos/1", ((b"x: a\r\nauthorization", b"x"),)),
    "a blank in a name": (b"GET", b"/v1/videos/1", ((b"x ", b"a"),)),
}


def _answer(connection: socket.socket) -> bytes:
    """All that comes until an answer is complete, or the connection ends."""
    received = b""
    while True:
        head, blank, body = received.partition(b"\r\n\r\n")
        lengths = [
            line.partition(b":")[2] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
        ]
        if blank and lengths and len(body) >= int(lengths[0]):
            return received
        try:
            data = connection.recv(65536)
        except ConnectionError:
            return received
        if not data:
            return received
        received += data


@pytest.fixture
def proxy(kling: str, start_proxy: StartProxy, tmp_path: Path) -> Proxy:
    """A proxy that takes HTTP/1 and HTTP/2, and saves its flows."""
    config = f"{kling}  providerBasePath: /klingai\n"
    return start_proxy(config, "--mode", "reverse:https://127.0.0.1:9", "-w", str(tmp_path / "flows"), tls=True)


@pytest.fixture
def nothing_leaks(proxy: Proxy, upstream: Upstream, tmp_path: Path) -> Iterator[None]:
    """Afterwards: no key in the log, nothing in it that a terminal obeys, no credential in saved flows."""
    yield
    log = proxy.close()
    assert KEY not in log
    assert "Traceback" not in log
    ours = [line for line in log.splitlines() if "ai-proxy" in line]
    assert all(line.isprintable() for line in ours)
    flows = (tmp_path / "flows").read_bytes()
    assert SECRET_KEY.encode() not in flows
    # How a JWT begins.
    assert b"eyJ" not in flows


def _tls(proxy: Proxy) -> ssl.SSLSocket:
    return certificates.trusting().wrap_socket(socket.create_connection(("127.0.0.1", proxy.port), DEADLINE))


@pytest.mark.usefixtures("nothing_leaks")
def test_a_bad_head_over_http_1_reaches_nobody(proxy: Proxy, upstream: Upstream) -> None:
    failed = []
    for name, data in HTTP1.items():
        for connection in (socket.create_connection(("127.0.0.1", proxy.port), DEADLINE), _tls(proxy)):
            with connection:
                connection.sendall(data)
                answer = _answer(connection)
            if not answer.startswith(b"HTTP/1.1 400 ") or upstream.connections:
                failed.append((name, answer, [*upstream.received.queue]))
                upstream.reset()
    assert not failed


@pytest.mark.usefixtures("nothing_leaks")
def test_a_bad_head_over_http_2_reaches_nobody(proxy: Proxy, upstream: Upstream) -> None:
    failed = []
    for name, (method, path, fields) in HTTP2.items():
        client = Http2Client(proxy.port)
        status = client.ask(method, path, fields)
        client.close()
        # mitmproxy ends the connection for some of them.
        if status not in (400, 0) or upstream.connections:
            failed.append((name, status, [*upstream.received.queue]))
            upstream.reset()
    assert not failed


def test_a_connection_goes_on_behind_a_bad_head(proxy: Proxy, upstream: Upstream) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), DEADLINE) as connection:
        connection.sendall(HTTP1["another field behind CR"])
        error = json.loads(_answer(connection).partition(b"\r\n\r\n")[2])["error"]
        assert (error["code"], error["param"]) == ("invalid_head", "X")
        connection.sendall(b"GET /v1/videos/1 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert _answer(connection).startswith(b"HTTP/1.1 200 ")
    assert upstream.next().target == "/klingai/v1/videos/text2video/1"


PATHS = ("/v1/videos", "/v1/videos/text2video")  # one that is rewritten, one that is passed


@pytest.mark.usefixtures("nothing_leaks")
def test_trailers_over_http_1_are_dropped(proxy: Proxy, upstream: Upstream) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), DEADLINE) as connection:
        for path in PATHS:
            for trailers in (_AUTHORIZATION, b"X: a\r\n" + _AUTHORIZATION + b"\r\nX: b"):
                head = b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" % path.encode()
                connection.sendall(head + b"2\r\n{}\r\n0\r\n" + trailers + b"\r\n\r\n")
                assert _answer(connection).startswith(b"HTTP/1.1 200 ")
                received = upstream.next()
                assert received.target == "/klingai/v1/videos/text2video"
                assert KEY not in str(received)


@pytest.mark.usefixtures("nothing_leaks")
def test_a_broken_trailer_is_refused_without_a_word_of_it(proxy: Proxy, upstream: Upstream) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), DEADLINE) as connection:
        connection.sendall(
            b"POST /v1/videos HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2\r\n{}\r\n0\r\n" + _AUTHORIZATION + b"\0\r\n\r\n"
        )
        assert KEY.encode() not in _answer(connection)
    upstream.assert_untouched()


@pytest.mark.usefixtures("nothing_leaks")
def test_trailers_over_http_2_are_dropped(proxy: Proxy, upstream: Upstream) -> None:
    client = Http2Client(proxy.port)
    trailers = ((b"authorization", b"Bearer " + KEY.encode()),)
    for path in PATHS:
        assert client.ask(b"POST", path.encode(), ((b"content-length", b"2"),), b"{}", trailers) == 200
        received = upstream.next()
        assert received.target == "/klingai/v1/videos/text2video"
        assert KEY not in str(received)
    assert client.ask(b"GET", b"*", trailers=trailers) == 400
    client.close()
