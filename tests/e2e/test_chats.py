"""Chats of one dialect at providers with the other, over sockets: however a provider's stream is cut and ends."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mitm_ai_proxy.cassette import har
from tests.e2e.conftest import StartProxy
from tests.e2e.http2 import Http2Client
from tests.e2e.proxy import DEADLINE, Proxy, Reply
from tests.e2e.upstream import Answer, Upstream

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
JSON = {"Content-Type": "application/json"}
JSON_FIELDS = (("Content-Type", "application/json"),)
EVENTS = (("Content-Type", "text/event-stream"),)
HELLO = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hé"}]}

# What each type's vendor streams: a text, and a call whose arguments come in two pieces.
OPENAI_STREAM = (
    b"".join(
        b"data: %b\n\n" % json.dumps(event, ensure_ascii=False).encode()
        for event in (
            *(
                {
                    "id": "c",
                    "object": "chat.completion.chunk",
                    "created": 1,
                    "model": "big",
                    "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
                }
                for delta, reason in (
                    ({"role": "assistant", "content": "Hé"}, None),
                    ({"content": "😀"}, None),
                    (
                        {"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "f", "arguments": '{"a"'}}]},
                        None,
                    ),
                    ({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}, None),
                    ({}, "tool_calls"),
                )
            ),
            {
                "id": "c",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "big",
                "choices": [],
                "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
            },
        )
    )
    + b"data: [DONE]\n\n"
)
ANTHROPIC_STREAM = b"".join(
    b"event: %b\ndata: %b\n\n" % (str(event["type"]).encode(), json.dumps(event, ensure_ascii=False).encode())
    for event in (
        {
            "type": "message_start",
            "message": {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": "big",
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": {"input_tokens": 5, "output_tokens": 1},
            },
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hé"}},
        {"type": "ping"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "😀"}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "content_block_start",
            "index": 1,
            "content_block": {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
        },
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"a"'}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": ":1}"}},
        {"type": "content_block_stop", "index": 1},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {"output_tokens": 2},
        },
        {"type": "message_stop"},
    )
)
STREAMS = {MESSAGES: OPENAI_STREAM, CHAT: ANTHROPIC_STREAM}
"""By the client's API: what the vendor of the other dialect streams."""
ENDS = {MESSAGES: b'data: {"type":"message_stop"}\n\n', CHAT: b"data: [DONE]\n\n"}
FAILURES = {MESSAGES: b"event: error\ndata: ", CHAT: b"data: "}
EACH = pytest.mark.parametrize("path", [MESSAGES, CHAT], ids=["anthropic", "openai"])


def _say(upstream: Upstream, answer: Answer) -> None:
    upstream.respond = lambda request: answer


def _config(address: str) -> str:
    return f"""
providers:
  - {{id: other, type: groq, apiTokens: token, providerDomain: 'http://{address}'}}
  - {{id: claude, type: claude, apiTokens: token, providerDomain: 'http://{address}'}}
routes:
  - {{path: {CHAT}, provider: claude}}
  - {{path: {MESSAGES}*, provider: other}}
"""


@pytest.fixture
def proxy(upstream: Upstream, shared_proxy: StartProxy) -> Proxy:
    return shared_proxy(_config(upstream.address))


def _ask(proxy: Proxy, path: str, **members: Any) -> Reply:
    return proxy.request("POST", path, json.dumps({**HELLO, **members}).encode(), JSON)


def _said(path: str, body: bytes) -> tuple[str, str]:
    """The text and the arguments of the call in a stream for a client of an API."""
    text = arguments = ""
    for line in body.decode().splitlines():
        if not line.startswith("data: {"):
            continue
        event = json.loads(line.removeprefix("data: "))
        if path == MESSAGES:
            delta = event.get("delta", {})
            text, arguments = text + delta.get("text", ""), arguments + delta.get("partial_json", "")
        else:
            for choice in event["choices"]:
                text += choice["delta"].get("content") or ""
                for call in choice["delta"].get("tool_calls", ()):
                    arguments += call["function"].get("arguments", "")
    return text, arguments


@EACH
def test_a_stream_is_the_same_however_it_is_cut(path: str, proxy: Proxy, upstream: Upstream) -> None:
    stream = STREAMS[path]
    got = set()
    for size in (len(stream), 1, 7, 64):
        pieces = tuple(stream[at : at + size] for at in range(0, len(stream), size))
        _say(upstream, Answer(headers=EVENTS, pieces=pieces))
        reply = _ask(proxy, path, stream=True)
        assert (reply.status, _said(path, reply.body)) == (200, ("Hé😀", '{"a":1}'))
        assert reply.body.endswith(ENDS[path])
        got.add(_said(path, reply.body))
    assert len(got) == 1


@EACH
def test_a_compressed_stream_is_translated(path: str, proxy: Proxy, upstream: Upstream) -> None:
    headers = (*EVENTS, ("Content-Encoding", "gzip"))
    upstream.respond = lambda request: Answer(headers=headers, pieces=(gzip.compress(STREAMS[path]),))
    reply = _ask(proxy, path, stream=True)

    assert reply.headers["Content-Encoding"] is None
    assert _said(path, reply.body) == ("Hé😀", '{"a":1}')


@EACH
def test_a_stream_that_ends_early_ends_with_an_error(path: str, proxy: Proxy, upstream: Upstream) -> None:
    stream = STREAMS[path]
    for end in range(1, stream.rindex(b"\ndata: ", 0, -16), 97):
        _say(upstream, Answer(headers=EVENTS, pieces=(stream[:end],)))
        _check_failed(path, _ask(proxy, path, stream=True).body)


@EACH
def test_an_error_in_a_stream_is_an_error_of_the_clients_dialect(path: str, proxy: Proxy, upstream: Upstream) -> None:
    error = b'data: {"type":"error","error":{"type":"overloaded_error","message":"too much"}}\n\n'
    stream = STREAMS[path]
    at = stream.index(b"\n\n", 400) + 2
    upstream.respond = lambda request: Answer(headers=EVENTS, pieces=(stream[:at], error, stream[at:]))
    body = _ask(proxy, path, stream=True).body

    _check_failed(path, body)
    assert b"too much" in body


def _check_failed(path: str, body: bytes) -> None:
    """A stream has an error as its last event, and nothing that says that it is complete."""
    assert ENDS[path] not in body
    *_, last = body.removesuffix(b"\n\n").split(b"\n\n")
    assert last.startswith(FAILURES[path]), body
    assert json.loads(last.removeprefix(FAILURES[path]))["error"]["message"]


@EACH
def test_a_page_or_an_empty_answer_in_the_place_of_a_stream_is_an_error(
    path: str, proxy: Proxy, upstream: Upstream
) -> None:
    for answer in (
        Answer(200, b"<html>moved</html>", (("Content-Type", "text/html"),)),
        Answer(502, b"<html>bad gateway</html>", (("Content-Type", "text/html"),)),
        Answer(200, b"", JSON_FIELDS),
        Answer(200, b'{"error":{"message":"no"}}', JSON_FIELDS),
        Answer(200, b"[]", JSON_FIELDS),
    ):
        for stream in (True, False):
            _say(upstream, answer)
            reply = _ask(proxy, path, stream=stream)
            assert reply.status >= 400
            assert json.loads(reply.body)["error"]["message"]
            assert (json.loads(reply.body).get("type") == "error") is (path == MESSAGES)


class Dropping:
    """A vendor that begins a stream and hangs up."""

    def __init__(self, head: bytes, said: bytes) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._answer = head + said
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection:
                    received = b""
                    while b"messages" not in received.partition(b"\r\n\r\n")[2]:
                        received += connection.recv(65536)
                    connection.sendall(self._answer)

    def close(self) -> None:
        self._listener.close()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


@pytest.fixture(params=[b"Transfer-Encoding: chunked\r\n\r\n", b"Content-Length: 99999\r\n\r\n", b"\r\n"])
def dropping(request: pytest.FixtureRequest) -> Iterator[Dropping]:
    said = ANTHROPIC_STREAM[: ANTHROPIC_STREAM.index(b"ping")]
    framed = b"%x\r\n%b\r\n" % (len(said), said) if b"chunked" in request.param else said
    found = Dropping(HEAD + request.param, framed)
    yield found
    found.close()


def test_a_vendor_that_hangs_up_leaves_no_stream_that_seems_complete(
    dropping: Dropping, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(
        f"provider: {{type: claude, apiTokens: t, providerDomain: 'http://{dropping.address}'}}", tls=True
    )
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=DEADLINE)
    connection.request("POST", CHAT, json.dumps({**HELLO, "stream": True}).encode(), JSON)
    answer = connection.getresponse()
    try:
        body = answer.read()
    except http.client.IncompleteRead as error:
        body = error.partial
    connection.close()

    assert body.startswith(b"data: ")
    _check_failed(CHAT, body)

    client = Http2Client(proxy.port)
    asked = json.dumps({**HELLO, "stream": True}).encode()
    status = client.ask(b"POST", CHAT.encode(), ((b"content-type", b"application/json"),), asked)
    client.close()
    assert status == 200
    _check_failed(CHAT, client.body)


def test_tokens_are_counted_for_every_client(proxy: Proxy, upstream: Upstream) -> None:
    reply = _ask(proxy, f"{MESSAGES}/count_tokens?beta=true")

    assert (reply.status, list(json.loads(reply.body))) == (200, ["input_tokens"])
    assert upstream.received.empty()


@EACH
def test_a_recorded_stream_is_translated_again_when_it_is_replayed(
    path: str, upstream: Upstream, start_proxy: StartProxy, tmp_path: Path
) -> None:
    tape = tmp_path / "tape.har"
    stream = STREAMS[path]
    _say(upstream, Answer(headers=EVENTS, pieces=(stream[:300], stream[300:])))
    recording = start_proxy(_config(upstream.address), "--set", f"ai_record={tape}")
    first = _ask(recording, path, stream=True)
    recording.close()
    (entry,) = har.read(tape)
    assert entry.response
    assert entry.response.body == stream

    upstream.reset()
    replaying = start_proxy(_config(upstream.address), "--set", f"ai_replay={tape}")
    second = _ask(replaying, path, stream=True)
    other = _ask(replaying, path, stream=True, messages=[{"role": "user", "content": "another"}])

    assert (second.status, _said(path, second.body)) == (200, _said(path, first.body))
    assert second.body.endswith(ENDS[path])
    assert other.status == 400
    assert (json.loads(other.body).get("type") == "error") is (path == MESSAGES)
    assert upstream.received.empty()
