"""Translation of streamed answers, with a provider type that is defined in a script."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from mitmproxy.io import FlowReader

from tests.e2e.conftest import StartProxy
from tests.e2e.proxy import DEADLINE, Proxy, Reply
from tests.e2e.upstream import Answer, Upstream

SCRIPT = Path(__file__).parent / "scripts" / "translating.py"
TEXT = (("Content-Type", "text/plain"),)
DONE = b"data: [DONE]\n\n"
ANTHROPIC = {"anthropic-version": "2023-06-01"}


def _config(address: str) -> str:
    return f"provider: {{type: lines, apiTokens: [token], providerDomain: 'http://{address}'}}"


def _proxy(start_proxy: StartProxy, address: str, *arguments: str) -> Proxy:
    return start_proxy(_config(address), *arguments, script=SCRIPT)


def _ask(proxy: Proxy, path: str = "/v1/chat/completions", headers: dict[str, str] | None = None) -> Reply:
    return proxy.request("POST", path, b"{}", {"Content-Type": "application/json", **(headers or {})})


def _events(*words: str) -> bytes:
    return b"".join(b"data: " + json.dumps({"word": word}).encode() + b"\n\n" for word in words)


@pytest.fixture
def proxy(upstream: Upstream, shared_proxy: StartProxy) -> Proxy:
    return shared_proxy(_config(upstream.address), script=SCRIPT)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(headers=TEXT, pieces=(b"a\nb\nc",)),
        Answer(headers=TEXT, pieces=(b"a", b"\n", b"b\n", b"c")),
        Answer(headers=TEXT, body=b"a\nb\nc"),
        Answer(headers=(*TEXT, ("Connection", "keep-alive")), body=b"a\nb\nc\n"),
    ],
    ids=["one piece", "cut", "with a length", "with a line end"],
)
def test_an_answer_is_translated_however_it_is_framed_and_cut(answer: Answer, proxy: Proxy, upstream: Upstream) -> None:
    upstream.respond = lambda request: answer

    reply = _ask(proxy)

    assert reply.body == _events("a", "b", "c") + DONE
    assert reply.headers["Content-Type"] == "text/event-stream"
    assert reply.headers["Content-Length"] is None
    request = upstream.next()
    assert (request.target, request.one("Authorization")) == ("/talk", "Bearer token")


def test_an_answer_that_is_no_success_passes_as_it_came(proxy: Proxy, upstream: Upstream) -> None:
    upstream.respond = lambda request: Answer(429, b"slow down", (("Retry-After", "3"), *TEXT))

    reply = _ask(proxy)

    assert (reply.status, reply.body, reply.headers["Retry-After"]) == (429, b"slow down", "3")


class Talker:
    """A provider that sends a piece of its answer when a test says so, and no end by itself."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._is_asked = threading.Event()
        self.is_gone = threading.Event()
        """Set when the proxy has closed the connection."""
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        self._connection, _ = self._listener.accept()
        while b"{}" not in self._connection.recv(65536):
            pass
        self._connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
        self._is_asked.set()
        while self._connection.recv(65536):
            pass
        self.is_gone.set()

    def say(self, piece: bytes) -> None:
        """Send a piece."""
        assert self._is_asked.wait(DEADLINE)
        self._connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))

    def close(self) -> None:
        """Hang up."""
        self._listener.close()
        if self._is_asked.is_set():
            self._connection.close()


@pytest.fixture
def talker() -> Iterator[Talker]:
    found = Talker()
    yield found
    found.close()


class Stream:
    """A client's stream, which a test reads event by event."""

    def __init__(self, proxy: Proxy, path: str, headers: dict[str, str]) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=DEADLINE)
        self._connection.request("POST", path, b"{}", {"Content-Type": "application/json", **headers})
        self._answer: http.client.HTTPResponse | None = None

    def event(self) -> bytes:
        """The next event, with its blank line."""
        self._answer = self._answer or self._connection.getresponse()
        lines = []
        while line := self._answer.readline():
            lines.append(line)
            if line == b"\n":
                break
        return b"".join(lines)

    def close(self) -> None:
        """Hang up."""
        if self._answer:
            self._answer.close()
        self._connection.close()

    def rest(self) -> bytes:
        """The rest until the end, or until the connection is closed."""
        assert self._answer
        try:
            return self._answer.read()
        except http.client.IncompleteRead as error:
            return error.partial


def test_each_piece_is_with_the_client_before_the_next_one_is_made(talker: Talker, start_proxy: StartProxy) -> None:
    with closing(Stream(_proxy(start_proxy, talker.address), "/v1/chat/completions", {})) as stream:
        for word in ("one", "two", "three"):
            talker.say(f"{word}\n".encode())
            assert stream.event() == _events(word)


@pytest.mark.parametrize(
    ("path", "headers", "failure"),
    [
        ("/v1/chat/completions", {}, b"data: "),
        ("/v1/messages", {}, b"event: error\ndata: "),
        ("/v1/messages", ANTHROPIC, b"event: error\ndata: "),
    ],
    ids=["openai", "anthropic", "anthropic with its version"],
)
@pytest.mark.parametrize("arguments", [(), ("--set", "ai_record=tape.har")], ids=["plain", "recording"])
def test_a_stream_that_cannot_be_translated_ends_with_an_error_of_the_clients_dialect(
    path: str,
    headers: dict[str, str],
    failure: bytes,
    arguments: tuple[str, ...],
    talker: Talker,
    start_proxy: StartProxy,
) -> None:
    proxy = _proxy(start_proxy, talker.address, *arguments)
    with closing(Stream(proxy, path, headers)) as stream:
        talker.say(b"one\n")
        assert stream.event() == _events("one")
        # The provider continues to send, without an end.
        talker.say(b"raise\n")
        last = stream.event()
        assert stream.rest() == b""

    assert last.startswith(failure)
    error = json.loads(last.removeprefix(failure))["error"]
    assert error["message"].startswith("ai-proxy could not translate the rest of this answer")
    assert error["type"] == ("api_error" if failure.startswith(b"event") else "server_error")
    # The provider stops making what is not read any more and may cost money.
    assert talker.is_gone.wait(DEADLINE)
    log = proxy.close()
    assert "ValueError while an answer was translated" in log
    assert "secret-of-the-body" not in log
    assert "crashed" not in log


def test_what_comes_behind_the_failure_is_not_sent(proxy: Proxy, upstream: Upstream) -> None:
    upstream.respond = lambda request: Answer(headers=TEXT, pieces=(b"a\n", b"raise\nb\n", b"c\n"))

    with closing(Stream(proxy, "/v1/chat/completions", {})) as stream:
        body = stream.event() + stream.rest()

    assert body.startswith(_events("a") + b'data: {"error": ')
    assert b'"word": "b"' not in body
    assert b'"word": "c"' not in body
    assert DONE not in body
    # The proxy still works.
    upstream.respond = lambda request: Answer(headers=TEXT, body=b"d")
    assert _ask(proxy).body == _events("d") + DONE


def test_a_streamed_answer_can_be_read_in_saved_flows(
    upstream: Upstream, start_proxy: StartProxy, tmp_path: Path
) -> None:
    saved = tmp_path / "flows"
    config = f"provider: {{type: openai, protocol: original, providerDomain: 'http://{upstream.address}'}}"
    proxy = start_proxy(config, "-w", str(saved))
    events = _events("a", "b") + DONE
    film = b"\0" * 1000
    for answer in (
        Answer(headers=(("Content-Type", "text/event-stream"),), pieces=(events[:9], events[9:])),
        Answer(body=b'{"a": 1}'),
        Answer(headers=(("Content-Type", "video/mp4"),), body=film),
    ):
        upstream.respond = lambda request, answer=answer: answer  # type: ignore[misc]
        assert _ask(proxy).status == 200
    proxy.close()

    with saved.open("rb") as file:
        contents = [flow.response.raw_content for flow in FlowReader(file).stream()]  # type: ignore[attr-defined]
    assert contents == [events, b'{"a": 1}', None]
