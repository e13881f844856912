"""Looking at traffic without touching it: ai_inspect, in regular and reverse mode."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path

from mitmproxy import http as mitmproxy_http
from mitmproxy.io import FlowReader

from tests.e2e.conftest import StartProxy
from tests.e2e.proxy import DEADLINE
from tests.e2e.scripts import pinned
from tests.e2e.upstream import Answer, Upstream

INSPECT = ("--set", "ai_inspect=true")
KEY = "sk-of-the-client-0123456789"
BODY = b'{ "model":"m", "messages":[{"role":"user","content":"h\\u00e9"}],"n":1.0 }'
STREAM = (
    b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"Hel"}}]}\n\n',
    b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":"stop"}]}\n\n',
    b'data: {"id":"c","model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\ndata: [DONE]\n\n',
)


def _flows(path: Path) -> list[mitmproxy_http.HTTPFlow]:
    with path.open("rb") as file:
        return [flow for flow in FlowReader(file).stream() if isinstance(flow, mitmproxy_http.HTTPFlow)]


def test_a_chat_passes_to_the_byte_and_is_shown_without_its_key(
    start_proxy: StartProxy, upstream: Upstream, tmp_path: Path
) -> None:
    saved = tmp_path / "flows"
    proxy = start_proxy(None, *INSPECT, "-m", "regular", "--set", f"save_stream_file={saved}", "--set", "flow_detail=3")
    upstream.respond = lambda _: Answer(200, headers=(("Content-Type", "text/event-stream"),), pieces=STREAM)
    fields = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", "Host": upstream.address}

    reply = proxy.request("POST", f"http://{upstream.address}/v1/chat/completions?key={KEY}&a=%20b", BODY, fields)
    log = proxy.close()

    sent = upstream.received.get(timeout=DEADLINE)
    assert (sent.target, sent.body) == (f"/v1/chat/completions?key={KEY}&a=%20b", BODY)
    assert sent.one("Authorization") == f"Bearer {KEY}"
    assert reply.body == b"".join(STREAM)
    [flow] = _flows(saved)
    assert KEY.encode() not in saved.read_bytes()
    assert flow.request.path == "/v1/chat/completions?key=redacted&a=%20b"
    assert flow.comment == "m; 3 tokens in, 2 out"
    assert flow.response
    assert flow.response.raw_content == b"".join(STREAM)
    assert "INSPECT: all traffic passes unchanged" in log
    assert "ended by itself · 3 tokens in, 2 out" in log
    assert KEY not in log


def test_a_vendors_host_keeps_no_key_on_any_path_and_what_is_no_ai_api_is_left_alone(
    start_proxy: StartProxy, upstream: Upstream, tmp_path: Path
) -> None:
    saved = tmp_path / "flows"
    proxy = start_proxy(
        None, *INSPECT, "-m", "regular", "-s", pinned.__file__, "--set", f"save_stream_file={saved}",
        environment={"PINNED": str(upstream.port)},
    )  # fmt: skip
    # Claude Code asks the first of these, and Codex the second, with the key that they use for chats.
    hosts = ("api.anthropic.com", "chatgpt.com.", "api.mistral.ai", "notopenai.com", "127.0.0.1")
    for host in hosts:
        fields = {"Authorization": f"Bearer {KEY}", "Cookie": "a=b", "Host": host}
        target = f"http://{host}/api/settings?key=k&a=%20b"
        assert proxy.request("GET", target, headers=fields).status == 200
        sent = upstream.received.get(timeout=DEADLINE)
        assert (sent.target, sent.one("Authorization"), sent.one("Cookie")) == (
            "/api/settings?key=k&a=%20b", f"Bearer {KEY}", "a=b"
        )  # fmt: skip
    proxy.close()

    found = [(flow.request.headers["Authorization"], flow.request.path.partition("?")[2]) for flow in _flows(saved)]
    masked = ("[sent to the provider, not kept]", "key=redacted&a=%20b")
    assert found == [masked] * 3 + [(f"Bearer {KEY}", "key=k&a=%20b")] * 2


def test_nothing_is_tried_again_or_left_out(start_proxy: StartProxy, upstream: Upstream) -> None:
    keys = "retryOnFailure: true, failover: true, timeout: 1, concurrency: 1, rate: {requestsPerMinute: 1}"
    config = f"provider: {{type: openai, apiTokens: [a, b], providerDomain: 'http://{upstream.address}', {keys}}}"
    proxy = start_proxy(config, *INSPECT, "--mode", f"reverse:http://{upstream.address}")
    upstream.respond = lambda _: Answer(429)

    replies = [proxy.request("POST", "/v1/chat/completions", BODY, {"Authorization": KEY}) for _ in range(3)]

    assert [reply.status for reply in replies] == [429] * 3
    assert [upstream.received.get(timeout=DEADLINE).one("Authorization") for _ in replies] == [KEY] * 3
    assert upstream.received.empty()


def test_kling_itself_and_reverse_mode_pass_too(start_proxy: StartProxy, upstream: Upstream) -> None:
    proxy = start_proxy(None, *INSPECT, "--mode", f"reverse:http://{upstream.address}")

    reply = proxy.request("POST", "/v1/videos", b'{"model": "sora-2"}', {"Authorization": f"Bearer {KEY}"})

    assert reply.status == 200
    sent = upstream.received.get(timeout=DEADLINE)
    assert (sent.target, sent.body, sent.one("Authorization")) == (
        "/v1/videos",
        b'{"model": "sora-2"}',
        f"Bearer {KEY}",
    )


def test_a_stream_passes_while_it_arrives(start_proxy: StartProxy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = start_proxy(None, *INSPECT, "--mode", f"reverse:http://127.0.0.1:{listener.getsockname()[1]}")
        client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=DEADLINE)
        client.request("POST", "/v1/messages", b"{}", {"Content-Type": "application/json"})
        provider, _ = listener.accept()
        while b"{}" not in provider.recv(65536):
            pass
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        provider.sendall(head + b"%x\r\n%b\r\n" % (len(STREAM[0]), STREAM[0]))

        response = client.getresponse()

        assert response.read(len(STREAM[0])) == STREAM[0]
        provider.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(STREAM[1]), STREAM[1]))
        assert response.read() == STREAM[1]
        client.close()
        provider.close()


def test_what_changes_something_does_not_go_with_it(start_proxy: StartProxy) -> None:
    for settings, expected in (
        ((*INSPECT, "--set", "ai_simulate=true"), "ai_inspect changes nothing, so it does not go with"),
        (("--set", "ai_inspect=yes"), "ai_inspect takes true or false."),
    ):
        proxy = start_proxy(None, *settings, wait=False)
        assert proxy.ended() != 0
        assert expected in proxy.log


def test_a_websocket_and_json_of_any_form_are_no_obstacle(start_proxy: StartProxy, upstream: Upstream) -> None:
    proxy = start_proxy(None, *INSPECT, "--mode", f"reverse:http://{upstream.address}", "--set", "flow_detail=4")
    for body in (b"", b"\xff\xfe", json.dumps([[]] * 9).encode(), b'{"messages":{"a":[]}}'):
        assert proxy.request("POST", "/v1/responses", body, {"Content-Type": "application/json"}).status == 200

    assert "Traceback" not in proxy.close()
