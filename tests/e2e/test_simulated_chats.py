"""Chats answered by the simulator, in a real mitmdump and by its own server: whole answers, streams, faults."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mitm_ai_proxy.cassette import har
from mitm_ai_proxy.simulator.app import Simulator
from mitm_ai_proxy.simulator.settings import API_KEY, SimulatorSettings
from tests.e2e.conftest import EDGES, StartEdge, StartProxy
from tests.e2e.proxy import DEADLINE, Listening
from tests.simulator.chats import ANTHROPIC, NAMES, OPENAI, SCHEMA, anthropic, openai
from tests.simulator.test_server import serving

SIMULATE = ("--set", "ai_simulate=true")
INSTANT = "simulator: {speed: instant}\n"
HEAD = {"Content-Type": "application/json", "Authorization": "Bearer sk-of-the-client"}
VERSION = {**HEAD, "anthropic-version": "2023-06-01"}
TYPES = {
    "openai": "",
    "deepseek": "",
    "ollama": "",
    "groq": "",
    "azure": ", azureServiceUrl: 'https://a.openai.azure.com/openai/v1'",
    "claude": "",
    "generic": ", genericHost: api.example.test",
}


def _config(kind: str, more: str = "") -> str:
    return f"provider: {{type: {kind}{more}}}\n{INSTANT}"


def _json(proxy: Listening, path: str, body: Any, headers: dict[str, str], status: int = 200) -> Any:
    got = proxy.request("POST", path, json.dumps(body).encode(), headers)
    assert got.status == status, got.body
    return json.loads(got.body)


def _events(proxy: Listening, path: str, body: Any, headers: dict[str, str]) -> list[str]:
    got = proxy.request("POST", path, json.dumps({**body, "stream": True}).encode(), headers)
    assert (got.status, got.headers["content-type"].partition(";")[0]) == (200, "text/event-stream"), got.body
    lines = got.body.decode().splitlines()
    return [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]


def _said(events: list[str]) -> str:
    """The text of a stream of either dialect."""
    found = ""
    for event in events:
        data = json.loads(event) if event.startswith("{") else {}
        found += data.get("delta", {}).get("text", "")
        found += "".join(choice["delta"].get("content") or "" for choice in data.get("choices", ()))
    return found


@pytest.mark.parametrize("kind", TYPES)
def test_both_dialects_are_answered_for_every_kind_of_provider(start_proxy: StartProxy, kind: str) -> None:
    proxy = start_proxy(_config(kind, TYPES[kind]), *SIMULATE)
    assert "curl http://127.0.0.1:" in proxy.log

    assert _json(proxy, OPENAI, openai("hello"), HEAD)["choices"][0]["message"]["content"] == "hello"
    events = _events(proxy, OPENAI, openai("hello you"), HEAD)
    assert (_said(events), events[-1]) == ("hello you", "[DONE]")
    assert _json(proxy, ANTHROPIC, anthropic("hello"), VERSION)["content"][0]["text"] == "hello"
    events = _events(proxy, ANTHROPIC, anthropic("hello you"), VERSION)
    assert (_said(events), json.loads(events[-1])) == ("hello you", {"type": "message_stop"})
    wanted = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
    assert _json(proxy, f"{ANTHROPIC}/count_tokens", wanted, VERSION)["input_tokens"] > 0


@pytest.mark.parametrize("edge", EDGES)
def test_vendors_with_a_form_of_their_own_are_answered_in_it(edge: str, shared_edge: StartEdge) -> None:
    keys = {
        "gemini": "",
        "vertex": ", vertexRegion: us-central1",
        "bedrock": ", awsRegion: us-east-1",
        "dify": "",
        "coze": "",
        "deepl": ", targetLang: ZH",
        "triton": ", tritonDomain: h",
    }
    blocks = [f"  - {{id: {name}, type: {name}, basePath: /{name}{more}}}" for name, more in keys.items()]
    routes = [f"  - {{path: /{name}/*, provider: {name}}}" for name in keys]
    proxy = shared_edge(edge, "\n".join(["providers:", *blocks, "routes:", *routes, INSTANT]), simulate=True)
    for name in keys:
        body = openai("hello you", model="Free")
        assert _json(proxy, f"/{name}{OPENAI}", body, HEAD)["choices"][0]["message"]["content"] == "hello you"
        events = _events(proxy, f"/{name}{ANTHROPIC}", anthropic("hello you", model="Free"), VERSION)
        assert (_said(events), json.loads(events[-1])) == ("hello you", {"type": "message_stop"}), name
    for name in ("gemini", "vertex", "bedrock"):
        models = json.loads(proxy.request("GET", f"/{name}/v1/models", None, HEAD).body)
        assert models["data"][0]["id"] == "simulated-chat"


def test_a_conversation_with_tools_goes_to_its_end(shared_proxy: StartProxy) -> None:
    proxy = shared_proxy(_config("openai"), *SIMULATE)
    body = anthropic("get_weather and get_time city=Paris", tools=True)
    asked = _json(proxy, ANTHROPIC, body, VERSION)
    calls = [block for block in asked["content"] if block["type"] == "tool_use"]
    assert (asked["stop_reason"], [call["name"] for call in calls]) == ("tool_use", [*NAMES])
    results = [{"type": "tool_result", "tool_use_id": call["id"], "content": "18"} for call in calls]
    turns = [{"role": "assistant", "content": asked["content"]}, {"role": "user", "content": results}]
    events = _events(proxy, ANTHROPIC, {**body, "messages": [*body["messages"], *turns]}, VERSION)
    assert _said(events) == "get_weather says: 18\nget_time says: 18"


def test_thoughts_come_back_to_the_model_that_had_them(start_proxy: StartProxy) -> None:
    proxy = start_proxy(_config("claude"), *SIMULATE)
    tools = [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}]
    body = openai("f city=Paris", tools=tools, reasoning_effort="low", model="claude-sonnet-4-5", max_tokens=9000)
    message = _json(proxy, OPENAI, body, HEAD)["choices"][0]["message"]
    assert message["reasoning_content"]
    answer = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "18"}
    again = _json(proxy, OPENAI, {**body, "messages": [*body["messages"], message, answer]}, HEAD)
    assert again["choices"][0]["message"]["content"] == "f says: 18"


def test_what_the_simulator_has_not_is_refused_and_nothing_is_sent(shared_proxy: StartProxy) -> None:
    proxy = shared_proxy(_config("openai"), *SIMULATE)
    for path in ("/v1/embeddings", "/v1/videos", "/v1/responses", "/simulated/a.png"):
        error = _json(proxy, path, {"model": "m", "input": "a"}, HEAD, 501)["error"]
        assert error["code"] == "not_simulated"
        assert "has chats, the count of their tokens and the list of models" in error["message"]
    assert json.loads(proxy.request("GET", "/v1/models", None, HEAD).body)["data"][0]["id"] == "simulated-chat"


@pytest.mark.parametrize(("fault", "status"), [("429*1", 429), ("529", 529), ("401", 401), ("picture", 400)])
def test_a_fault_is_an_error_of_the_clients_dialect(shared_proxy: StartProxy, fault: str, status: int) -> None:
    proxy = shared_proxy(_config("openai"), *SIMULATE)
    text = f"hello [simulate: {fault}]"
    assert _json(proxy, OPENAI, openai(text), HEAD, status)["error"]["message"]
    assert _json(proxy, ANTHROPIC, anthropic(text), VERSION, status)["type"] == "error"


def test_a_stream_that_fails_in_its_middle_is_no_answer(shared_proxy: StartProxy) -> None:
    proxy = shared_proxy(_config("openai"), *SIMULATE)
    text = "one two three four [simulate: accepted=529]"
    events = _events(proxy, OPENAI, openai(text), HEAD)
    assert "error" in json.loads(events[-1])
    events = _events(proxy, ANTHROPIC, anthropic(text), VERSION)
    assert json.loads(events[-1])["type"] == "error"
    text = text.replace("accepted=529", "truncated")
    events = _events(proxy, ANTHROPIC, anthropic(text), VERSION)
    assert json.loads(events[-1])["type"] == "error"
    with pytest.raises(AssertionError, match="RemoteDisconnected"):
        proxy.request("POST", OPENAI, json.dumps(openai(text.replace("truncated", "lost"))).encode(), HEAD)


def test_a_simulated_stream_is_recorded_and_replayed(start_proxy: StartProxy, tmp_path: Path) -> None:
    cassette = tmp_path / "chat.har"
    proxy = start_proxy(_config("deepseek"), *SIMULATE, "--set", f"ai_record={cassette}")
    assert _said(_events(proxy, OPENAI, openai("hello you"), HEAD)) == "hello you"
    assert _json(proxy, OPENAI, openai("hello"), HEAD)["choices"]
    proxy.close()
    stream, whole = har.read(cassette)
    assert (stream.simulated, stream.request.url) == (True, "https://api.deepseek.com/v1/chat/completions")
    assert stream.response
    assert len(stream.response.chunks) > 2
    assert whole.response
    assert API_KEY not in cassette.read_text()

    proxy = start_proxy(_config("deepseek"), "--set", f"ai_replay={cassette}")
    assert _said(_events(proxy, OPENAI, openai("hello you"), HEAD)) == "hello you"


def test_the_flow_says_that_it_was_simulated(start_proxy: StartProxy) -> None:
    proxy = start_proxy(_config("deepseek"), *SIMULATE, "--flow-detail", "3")
    _events(proxy, OPENAI, openai("hello"), HEAD)
    log = proxy.close()
    assert "sk-of-the-client" not in log
    assert API_KEY not in log
    assert "POST https://api.deepseek.com/v1/chat/completions" in log


def test_several_providers_are_simulated_together(start_proxy: StartProxy) -> None:
    config = (
        "providers:\n  - {id: film, type: kling}\n  - {id: chat, type: openai}\nactiveProviderId: chat\n"
        "routes:\n  - {model: 'sora*', provider: film}\n  - {path: /v1/videos*, provider: film}\n" + INSTANT
    )
    proxy = start_proxy(config, *SIMULATE)
    assert proxy.log.count("  curl ") == 2
    assert _json(proxy, OPENAI, openai("hello"), HEAD)["choices"]
    video = _json(proxy, "/v1/videos", {"model": "sora-2", "prompt": "a cat"}, {**HEAD, "User-Agent": "OpenAI/Python"})
    assert video["object"] == "video"


# Its own server


@pytest.fixture
def server() -> Iterator[str]:
    """A simulator as an HTTP server: host and port."""
    with serving(Simulator(SimulatorSettings(speed=200.0))) as address:
        yield address


def _raw(address: str, body: dict[str, Any]) -> bytes:
    """All that comes back on a connection."""
    content = json.dumps(body).encode()
    lines = [f"POST {OPENAI} HTTP/1.1", f"Host: {address}", f"Authorization: Bearer {API_KEY}", "Connection: close"]
    lines += ["Content-Type: application/json", f"Content-Length: {len(content)}", "", ""]
    host, _, port = address.partition(":")
    received = b""
    with socket.create_connection((host, int(port)), DEADLINE) as connection:
        connection.sendall("\r\n".join(lines).encode() + content)
        while piece := connection.recv(65536):
            received += piece
    return received


def test_the_server_streams_a_token_at_a_time(server: str) -> None:
    connection = http.client.HTTPConnection(server, timeout=DEADLINE)
    body = json.dumps(openai("one two three", stream=True)).encode()
    connection.request("POST", OPENAI, body, {**HEAD, "Authorization": f"Bearer {API_KEY}"})
    response = connection.getresponse()
    assert response.headers["Transfer-Encoding"] == "chunked"
    assert response.read().endswith(b"data: [DONE]\n\n")
    connection.close()


def test_the_server_cuts_a_stream_in_its_middle(server: str) -> None:
    text = "one two three four"
    whole = _raw(server, openai(text, stream=True))
    cut = _raw(server, openai(f"{text} [simulate: truncated]", stream=True))
    assert b"[DONE]" in whole
    assert cut.startswith(b"HTTP/1.1 200")
    assert 1 < cut.count(b"data: ") < whole.count(b"data: ")
    assert b"[DONE]" not in cut
    assert not cut.endswith(b"0\r\n\r\n")
    assert _raw(server, openai(f"{text} [simulate: lost]", stream=True)) == b""


def test_the_proxy_uses_the_server_as_any_provider(server: str, start_proxy: StartProxy) -> None:
    proxy = start_proxy(f"provider: {{type: openai, apiTokens: [{API_KEY}], baseUrl: 'http://{server}/v1'}}\n")
    assert _said(_events(proxy, ANTHROPIC, anthropic("hello you"), VERSION)) == "hello you"
