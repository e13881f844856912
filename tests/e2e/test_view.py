"""What mitmproxy shows of rewritten requests and answers, as mitmdump prints it."""

from __future__ import annotations

import json

from tests.e2e.conftest import StartProxy

CONFIG = """
provider: {type: moonshot, modelMapping: {"*": kimi-k2}}
simulator: {speed: instant}
"""
FIELDS = {
    "Content-Type": "application/json",
    "anthropic-version": "2023-06-01",
    "X-Claude-Code-Session-Id": "3f2a1b2c-1111-2222-3333-444455556666",
}


def test_a_translated_stream_is_shown_as_a_conversation_with_what_was_changed(start_proxy: StartProxy) -> None:
    proxy = start_proxy(CONFIG, "--set", "ai_simulate=true", "--set", "flow_detail=4")
    body = {"model": "claude-sonnet-4-5", "max_tokens": 50, "stream": True}

    said = [{"role": "user", "content": "Hi"}]
    for messages in (said, [*said, {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "Go on"}]):
        proxy.request("POST", "/v1/messages", json.dumps({**body, "messages": messages}).encode(), FIELDS)
    log = proxy.close()

    lines = [line.strip() for line in log.splitlines()]
    assert "kimi-k2 · 1 turn · stream · max_tokens 50" in lines
    assert '-  "model": "claude-sonnet-4-5",' in lines
    assert '+  "model": "kimi-k2",' in lines
    assert "translated from anthropic to openai" in lines
    assert any(line.startswith("ended by itself · ") and "tokens in" in line for line in lines)
    assert "data: {" not in log
    turns = [line for line in lines if line.startswith("turn ")]
    assert turns[0].startswith("turn 1 of session 3f2a1b2c: 1 message, ")
    assert turns[1].startswith("turn 2 of session 3f2a1b2c: added 2 messages, ")
    assert " tokens" in turns[1]
