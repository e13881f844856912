"""Large, slow, compressed and malicious bodies."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import random
import socket
import ssl
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from mitmproxy.http import HTTPFlow
from mitmproxy.io import FlowReader

from tests.e2e import certificates
from tests.e2e.conftest import StartProxy
from tests.e2e.proxy import DEADLINE, Proxy
from tests.e2e.upstream import Answer, Received, Upstream

MEBIBYTE = 1024 * 1024
LIMIT = 100 * MEBIBYTE


def _peak_memory(proxy: Proxy) -> int:
    """The peak memory of the process in bytes."""
    status = Path(f"/proc/{proxy.process_id}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def _send(proxy: Proxy, pieces: Iterator[bytes], headers: dict[str, str]) -> tuple[int, int]:
    """Send pieces while the proxy reads them; returns the answer's status (0: closed) and the bytes sent."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=DEADLINE)
    sent = 0
    chunked = "Transfer-Encoding" in headers
    try:
        connection.putrequest("POST", "/v1/videos")
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        try:
            for piece in pieces:
                connection.send(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
                sent += len(piece)
            if chunked:
                connection.send(b"0\r\n\r\n")
            return connection.getresponse().status, sent
        except (ConnectionError, http.client.HTTPException):
            return 0, sent
    finally:
        connection.close()


@pytest.mark.parametrize(("mode", "expect"), [("reverse:http://127.0.0.1:9", True), ("regular", False)])
def test_more_than_100_mebibytes_are_refused_without_filling_the_memory(
    mode: str, expect: bool, kling: str, upstream: Upstream, start_proxy: StartProxy
) -> None:
    hosts = "hosts: [127.0.0.1]"
    proxy = start_proxy(f"{kling}\n{hosts}", "--mode", mode)
    extra = {"Expect": "100-continue"} if expect else {}
    piece = b"x" * MEBIBYTE

    declared, sent = _send(proxy, (piece for _ in range(1024)), {"Content-Length": str(1024 * MEBIBYTE), **extra})
    assert declared in (413, 0)
    assert sent < 32 * MEBIBYTE

    chunked, sent = _send(proxy, (piece for _ in range(1024)), {"Transfer-Encoding": "chunked", **extra})
    assert chunked in (413, 0)
    assert LIMIT - MEBIBYTE <= sent < LIMIT + 32 * MEBIBYTE
    assert _peak_memory(proxy) < 700 * MEBIBYTE

    upstream.assert_untouched()
    assert proxy.close().count("Request body exceeds") == 2


def test_one_byte_more_than_the_limit_is_refused_and_the_limit_itself_is_not(
    kling: str, upstream: Upstream, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(kling)
    head, tail = b'{"image":"', b'"}'
    picture = b"x" * (LIMIT - len(head) - len(tail))

    assert proxy.request("POST", "/v1/videos", head + picture + tail).status == 200
    assert upstream.next().body == head + picture + tail
    status, _ = _send(proxy, iter([head, picture, b"x", tail]), {"Content-Length": str(LIMIT + 1)})
    assert status in (413, 0)
    upstream.assert_untouched()


def test_a_large_picture_arrives_to_the_byte(kling: str, upstream: Upstream, start_proxy: StartProxy) -> None:
    # If mitmproxy streamed this body, it could not be rewritten.
    proxy = start_proxy(kling, "--set", "stream_large_bodies=10k")
    picture = random.Random(1).randbytes(5 * MEBIBYTE).hex().encode()
    body = b'{"model":"m","image":"' + picture + b'\\/"}'

    for _ in range(2):
        reply = proxy.request("POST", "/v1/videos", body)
        assert b"kling-i2v-" in reply.body
        assert upstream.next().body == body.replace(b'"model"', b'"model_name"')

    pieces = (body[start : start + 100_000] for start in range(0, len(body), 100_000))
    assert _send(proxy, pieces, {"Transfer-Encoding": "chunked"}) == (200, len(body))
    assert upstream.next().body == body.replace(b'"model"', b'"model_name"')


def test_a_large_native_create_is_streamed_and_arrives_to_the_byte(
    kling: str, upstream: Upstream, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(kling)
    body = random.Random(2).randbytes(3 * MEBIBYTE)

    assert proxy.request("POST", "/v1/videos/text2video", body).status == 200
    received = upstream.next()
    assert received.body == body
    assert received.one("Content-Length") == str(len(body))
    assert received.one("Authorization")


@pytest.mark.parametrize("bad", [b"\xff", b"\xed\xa0\x80", b"\xc0\x80"])
def test_a_body_that_is_not_utf_8_is_refused(
    bad: bytes, kling: str, upstream: Upstream, shared_proxy: StartProxy
) -> None:
    reply = shared_proxy(kling).request("POST", "/v1/videos", b'{"prompt":"' + bad + b'"}')

    assert reply.status == 400
    assert "not UTF-8" in json.loads(reply.body)["error"]["message"]
    upstream.assert_untouched()


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_a_body_nested_without_end_is_refused(
    opening: bytes, kling: str, upstream: Upstream, shared_proxy: StartProxy
) -> None:
    reply = shared_proxy(kling).request("POST", "/v1/videos", b'{"a":' + opening * 1_000_000)

    assert reply.status == 400
    assert "nested too deeply" in json.loads(reply.body)["error"]["message"]
    upstream.assert_untouched()


@pytest.mark.parametrize(
    ("encoding", "encode"), [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_a_compressed_create_is_read(
    encoding: str, encode: object, kling: str, upstream: Upstream, shared_proxy: StartProxy
) -> None:
    assert callable(encode)
    body = encode(b'{"model":"m","image":1}')
    reply = shared_proxy(kling).request("POST", "/v1/videos", body, {"Content-Encoding": encoding})

    assert reply.status == 200
    received = upstream.next()
    assert (received.target, received.body) == ("/v1/videos/image2video", b'{"model_name":"m","image":1}')
    assert received.one("Content-Encoding") is None


def test_a_body_that_grows_without_end_when_decoded_is_refused(
    kling: str, upstream: Upstream, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(kling)
    packer = zlib.compressobj(1)
    head = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    # A block that refers to none before it, again and again.
    bomb = head + 512 * (packer.compress(b" " * MEBIBYTE) + packer.flush(zlib.Z_FULL_FLUSH))

    reply = proxy.request("POST", "/v1/videos", bomb, {"Content-Encoding": "deflate"})

    assert reply.status == 400
    assert "longer than" in json.loads(reply.body)["error"]["message"]
    assert _peak_memory(proxy) < 400 * MEBIBYTE
    upstream.assert_untouched()


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_compressed_answer_gets_its_prefix(
    encoding: str, kling: str, upstream: Upstream, shared_proxy: StartProxy
) -> None:
    text = b'{"data":{"task_id":"1"}}'
    packed = gzip.compress(text) if encoding == "gzip" else zlib.compress(text)
    upstream.respond = lambda request: Answer(200, packed, (("Content-Encoding", encoding),), chunked=True)

    reply = shared_proxy(kling).request("POST", "/v1/videos", b"{}", {"Accept-Encoding": "gzip"})

    assert reply.body == b'{"data":{"task_id":"kling-t2v-1"}}'
    assert reply.headers["Content-Encoding"] is None
    assert upstream.next().one("Accept-Encoding") == "identity"


def test_an_answer_that_cannot_be_decoded_is_passed_on(
    kling: str, upstream: Upstream, shared_proxy: StartProxy
) -> None:
    upstream.respond = lambda request: Answer(200, b"packed", (("Content-Encoding", "br"),))

    reply = shared_proxy(kling).request("POST", "/v1/videos", b"{}")

    assert (reply.status, reply.body, reply.headers["Content-Encoding"]) == (200, b"packed", "br")


@pytest.mark.parametrize("path", ["/v1/videos/kling-t2v-1", "/v1/videos/text2video/1", "/any"])
def test_a_compressed_answer_that_is_not_ours_stays_compressed(
    path: str, kling: str, upstream: Upstream, shared_proxy: StartProxy
) -> None:
    packed = gzip.compress(b'{"data":{"task_id":"1"}}')
    upstream.respond = lambda request: Answer(200, packed, (("Content-Encoding", "gzip"),))

    reply = shared_proxy(kling).request("GET", path, None, {"Accept-Encoding": "gzip, br"})

    assert (reply.body, reply.headers["Content-Encoding"]) == (packed, "gzip")
    assert upstream.next().one("Accept-Encoding") == "gzip, br"


WITH_LENGTH = (b"Content-Length: 11", b"first", b"second")
IN_CHUNKS = (b"Transfer-Encoding: chunked", b"5\r\nfirst\r\n", b"6\r\nsecond\r\n0\r\n\r\n")


class Pausing:
    """A provider that reports when the first part of a request arrives, and sends its answer in two parts."""

    def __init__(self, framing: tuple[bytes, bytes, bytes]) -> None:
        self._framing = framing
        self.first_part, self.go_on = threading.Event(), threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection, self._socket:
            received = b""
            field, first, second = self._framing
            while first not in received:
                received += connection.recv(65536)
            self.first_part.set()
            while not received.endswith(second):
                received += connection.recv(65536)
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + field
            connection.sendall(head + b"\r\n\r\n" + first)
            assert self.go_on.wait(DEADLINE)
            connection.sendall(second)


@pytest.mark.parametrize("framing", [WITH_LENGTH, IN_CHUNKS], ids=["length", "chunks"])
def test_protocol_original_streams_both_ways(
    framing: tuple[bytes, bytes, bytes], start_proxy: StartProxy, tmp_path: Path
) -> None:
    field, first, second = framing
    provider, saved = Pausing(framing), tmp_path / "flows"
    proxy = start_proxy(_original(f"http://{provider.address}"), "-w", str(saved))
    client = socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE)
    with client:
        client.sendall(b"POST /v1/videos HTTP/1.1\r\nHost: x\r\n" + field + b"\r\n\r\n" + first)
        assert provider.first_part.wait(DEADLINE), "the first part was held back"
        client.sendall(second)
        answer = _received(client, first)
        provider.go_on.set()
        answer += _received(client, second)
    assert field in answer
    log = proxy.close()
    assert ("Streaming request to" in log, "Streaming response from" in log) == (True, True)
    assert _saved_bodies(saved) == (b"firstsecond", b"firstsecond")


class AtOnce:
    """A provider that sends head and body of its answer in one piece, over TLS if it has a context."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0))
        scheme = "https" if context else "http"
        self.origin = f"{scheme}://localhost:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        if self._context:
            connection = self._context.wrap_socket(connection, server_side=True)
        with connection, self._socket:
            received = b""
            while not received.endswith(b"{}"):
                received += connection.recv(65536)
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
            connection.sendall(head + b"[]")


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
def test_what_arrives_at_once_is_not_streamed_under_protocol_original(
    is_tls: bool, start_proxy: StartProxy, tmp_path: Path
) -> None:
    authority, context = certificates.make(tmp_path, "localhost")
    provider, saved = AtOnce(context if is_tls else None), tmp_path / "flows"
    trust = ("--set", f"ssl_verify_upstream_trusted_ca={authority}")
    proxy = start_proxy(_original(provider.origin), "-w", str(saved), *trust)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE) as client:
        client.sendall(b"POST /v1/videos HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        _received(client, b"[]")
    log = proxy.close()
    assert "Streaming" not in log
    assert _saved_bodies(saved) == (b"{}", b"[]")


def _received(client: socket.socket, end: bytes) -> bytes:
    """What comes in until `end`."""
    received = b""
    while not received.endswith(end):
        piece = client.recv(65536)
        assert piece
        received += piece
    return received


def _original(origin: str) -> str:
    return f"provider: {{type: kling, protocol: original, apiTokens: [t], providerDomain: '{origin}'}}"


def _saved_bodies(file: Path) -> tuple[bytes | None, bytes | None]:
    """The bodies of the request and of the answer of the only flow."""
    with file.open("rb") as flows:
        (flow,) = FlowReader(flows).stream()
    assert isinstance(flow, HTTPFlow)
    assert flow.response
    return flow.request.raw_content, flow.response.raw_content


def test_a_stream_of_events_is_not_held_back(kling: str, upstream: Upstream, start_proxy: StartProxy) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    go_on = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, listener:
            connection.recv(65536)
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            connection.sendall(head + b"9\r\ndata: 1\n\n\r\n")
            assert go_on.wait(DEADLINE)
            connection.sendall(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    threading.Thread(target=serve, daemon=True).start()
    port = listener.getsockname()[1]
    proxy = start_proxy(f"provider: {{type: kling, apiTokens: [t], providerDomain: 'http://127.0.0.1:{port}'}}")
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=DEADLINE)
    connection.request("GET", "/events")
    response = connection.getresponse()
    assert response.read(9) == b"data: 1\n\n"
    go_on.set()
    assert response.read() == b"data: 2\n\n"
    connection.close()


def test_a_head_request_that_is_refused_has_no_body(kling: str, upstream: Upstream, shared_proxy: StartProxy) -> None:
    with socket.create_connection(("127.0.0.1", shared_proxy(kling).port), timeout=DEADLINE) as client:
        client.sendall(b"HEAD /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 404")
    assert answer.endswith(b"\r\n\r\n")


def test_a_request_that_mitmproxy_refuses_stays_refused(
    kling: str, upstream: Upstream, shared_proxy: StartProxy
) -> None:
    with socket.create_connection(("127.0.0.1", shared_proxy(kling).port), timeout=DEADLINE) as client:
        client.sendall(
            b"POST /v1/videos HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}"
        )
        assert client.recv(65536).startswith(b"HTTP/1.1 400")
    upstream.assert_untouched()


def test_requests_on_one_connection_do_not_mix(kling: str, upstream: Upstream, shared_proxy: StartProxy) -> None:
    upstream.respond = _echo
    connection = http.client.HTTPConnection("127.0.0.1", shared_proxy(kling).port, timeout=DEADLINE)
    for body, path in ((b"{}", b"text2video"), (b"[]", None), (b'{"image":1}', b"image2video"), (b"{}", b"text2video")):
        connection.request("POST", "/v1/videos", body)
        response = connection.getresponse()
        answer = response.read()
        assert response.status == (200 if path else 400)
        assert path is None or path in answer
    connection.close()


def _echo(request: Received) -> Answer:
    return Answer(body=json.dumps({"task_id": request.target}).encode())


class _Upload:
    """A create with a long picture, of which all but the end is sent."""

    def __init__(self, proxy: Proxy, size: int, *, chunked: bool) -> None:
        self._connection = socket.create_connection(("127.0.0.1", proxy.port), DEADLINE)
        self._chunked = chunked
        body = b'{"image":"' + b"x" * (size - 12)
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size
        self._connection.sendall(b"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\n" + framing + b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):  # it was refused
            self._send(body)

    def _send(self, data: bytes) -> None:
        self._connection.sendall(b"%x\r\n%s\r\n" % (len(data), data) if self._chunked else data)

    def refusal(self) -> dict[str, str]:
        """The error that comes before the end is sent."""
        response = self._answer()
        assert response.status == 503
        error: dict[str, str] = json.loads(response.read())["error"]
        self.close()
        return error

    def close(self) -> None:
        """Go away."""
        self._connection.close()

    def finish(self) -> int:
        """Send the end; returns the status."""
        self._send(b'"}')
        if self._chunked:
            self._connection.sendall(b"0\r\n\r\n")
        status = self._answer().status
        self.close()
        return status

    def _answer(self) -> http.client.HTTPResponse:
        response = http.client.HTTPResponse(self._connection)
        response.begin()
        return response


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
def test_long_bodies_have_a_common_limit(
    chunked: bool, kling: str, upstream: Upstream, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(kling, "--set", "ai_held_bodies=5m")
    for _ in range(2):
        uploads = [_Upload(proxy, 2 * MEBIBYTE, chunked=chunked) for _ in range(2)]
        # A small request is served meanwhile, and a long one is streamed where nothing is rewritten.
        assert proxy.request("POST", "/v1/videos", b"{}").status == 200
        assert proxy.request("POST", "/v1/videos/text2video", b" " * 4 * MEBIBYTE).status == 200
        assert _Upload(proxy, 2 * MEBIBYTE, chunked=chunked).refusal()["code"] == "no_room"
        assert [upload.finish() for upload in uploads] == [200, 200]
    # A client that goes away leaves its room to others.
    lost = [_Upload(proxy, 2 * MEBIBYTE, chunked=chunked) for _ in range(2)]
    for upload in lost:
        upload.close()
    for _ in range(12):  # all connections so far
        proxy.wait_for("client disconnect")
    assert _Upload(proxy, 4 * MEBIBYTE, chunked=chunked).finish() == 200


@pytest.mark.parametrize("size", ["much", "-1k", ""])
def test_a_limit_that_is_no_size_ends_the_start(size: str, kling: str, start_proxy: StartProxy) -> None:
    proxy = start_proxy(kling, "--set", f"ai_held_bodies={size}", wait=False)
    assert proxy.ended() != 0
    assert "ai_held_bodies is no size, such as 512m." in proxy.log
