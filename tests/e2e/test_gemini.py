"""Chats with Gemini over sockets: an agent's loop with signatures, recorded, shown and replayed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mitm_ai_proxy.commands import main
from tests.auth import service_account
from tests.e2e.conftest import StartProxy
from tests.e2e.proxy import Proxy
from tests.e2e.upstream import Answer, Received, Upstream

JSON = {"Content-Type": "application/json"}
EVENTS = (("Content-Type", "text/event-stream"),)
SIGNATURE = "c2lnbmVkIGJ5IHRoZSB2ZW5kb3I="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
CALL = {"functionCall": {"name": "weather", "args": {"city": "Zürich"}}, "thoughtSignature": SIGNATURE}


def _stream(*parts: dict[str, Any]) -> Answer:
    events = [{"candidates": [{"content": {"role": "model", "parts": [part]}}]} for part in parts]
    events[-1]["candidates"][0]["finishReason"] = "STOP"  # type: ignore[assignment]
    data = b"".join(b"data: %b\r\n\r\n" % json.dumps(event).encode() for event in events)
    return Answer(headers=EVENTS, pieces=(data[:150], data[150:]))


def _answer(request: Received) -> Answer:
    is_second = b"functionResponse" in request.body
    return _stream({"text": "It is "}, {"text": "sunny é"}) if is_second else _stream({"text": "I look"}, CALL)


def _ask(proxy: Proxy, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that a client of OpenAI's makes of a stream."""
    tool = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
    asked = {"model": "gemini-3-pro", "stream": True, "tools": [tool], "messages": messages}
    reply = proxy.request("POST", "/v1/chat/completions", json.dumps(asked).encode(), JSON)
    assert (reply.status, reply.body[-14:]) == (200, b"data: [DONE]\n\n")
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    for line in reply.body.decode().splitlines():
        if line.startswith("data: {"):
            delta = json.loads(line[6:])["choices"][0]["delta"]
            message["content"] += delta.get("content") or ""
            for call in delta.get("tool_calls", ()):
                if "id" in call:
                    message.setdefault("tool_calls", []).append({**call, "function": {**call["function"]}})
                else:
                    message["tool_calls"][-1]["function"]["arguments"] += call["function"]["arguments"]
    return message


def _loop(proxy: Proxy) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [{"role": "user", "content": "What is the weather in Zürich?"}]
    said = _ask(proxy, messages)
    (call,) = said["tool_calls"]
    messages += [said, {"role": "tool", "tool_call_id": call["id"], "content": "sunny"}]
    return [said, _ask(proxy, messages)]


def test_an_agent_s_loop_is_recorded_shown_and_replayed(
    upstream: Upstream, start_proxy: StartProxy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tape = tmp_path / "tape.har"
    config = f"provider: {{type: gemini, apiTokens: sk-of-the-provider, providerDomain: 'http://{upstream.address}'}}"
    upstream.respond = _answer
    recording = start_proxy(config, "--set", f"ai_record={tape}")
    first = _loop(recording)
    recording.close()
    targets = [upstream.received.get(timeout=10) for _ in range(2)]
    second = json.loads(targets[1].body)["contents"]

    assert {found.target for found in targets} == {"/v1beta/models/gemini-3-pro:streamGenerateContent?alt=sse"}
    assert second[1]["parts"] == [{"text": "I look"}, CALL]
    assert second[2]["parts"] == [{"functionResponse": {"name": "weather", "response": {"output": "sunny"}}}]
    assert b"sk-of-the-provider" not in tape.read_bytes()

    upstream.reset()
    replaying = start_proxy(config, "--set", f"ai_replay={tape}")
    again = _loop(replaying)

    assert upstream.received.empty()
    assert [one["content"] for one in again] == [one["content"] for one in first] == ["I look", "It is sunny é"]
    assert json.loads(again[0]["tool_calls"][0]["function"]["arguments"]) == {"city": "Zürich"}
    assert main.main(["cassette", "show", str(tape)]) == 0
    shown = capsys.readouterr().out
    for line in (
        "user: What is the weather in Zürich?",
        "assistant: I look",
        'call: weather {"city": "Z',
        'result: {"output":"sunny"}',
        "assistant: It is sunny é",
    ):
        assert line in shown


def test_a_service_account_s_token_is_fetched_before_the_first_request_and_is_kept_nowhere(
    upstream: Upstream, start_proxy: StartProxy, tmp_path: Path
) -> None:
    whole = {"candidates": [{"content": {"parts": [{"text": "hi"}]}, "finishReason": "STOP"}]}

    def answer(request: Received) -> Answer:
        if request.target == "/token":
            return Answer(200, b'{"access_token":"ya29.the-access-token","expires_in":3600}')
        return Answer(200, json.dumps(whole).encode())

    upstream.respond = answer
    tape = tmp_path / "tape.har"
    key = json.dumps(service_account.key_file(token_uri=f"http://{upstream.address}/token"))
    place = f"providerDomain: 'http://{upstream.address}', vertexRegion: r, vertexProjectId: p"
    proxy = start_proxy(f"provider: {{type: vertex, vertexAuthKey: {key}, {place}}}", "--set", f"ai_record={tape}")
    asked = upstream.received.get(timeout=10)
    body = json.dumps({"model": "gemini-3-pro", "messages": [{"role": "user", "content": "a"}]}).encode()
    reply = proxy.request("POST", "/v1/chat/completions", body, {**JSON, "Authorization": "Bearer of-the-client"})
    log = proxy.close()
    sent = upstream.received.get(timeout=10)

    assert (asked.method, asked.target, asked.one("authorization")) == ("POST", "/token", None)
    assert (reply.status, json.loads(reply.body)["choices"][0]["message"]["content"]) == (200, "hi")
    assert sent.target == "/v1/projects/p/locations/r/publishers/google/models/gemini-3-pro:generateContent"
    assert sent.all("authorization") == ["Bearer ya29.the-access-token"]
    secrets = [b"ya29.the-access-token", service_account.pem().splitlines()[1].encode(), b"of-the-client"]
    kept = tape.read_bytes() + log.encode()
    assert not [secret for secret in secrets if secret in kept]
    assert f"access token for {service_account.EMAIL}, until " in log
