"""What mitmproxy shows of rewritten requests and answers, as mitmdump prints it."""

from __future__ import annotations

import json

from tests.e2e.conftest import StartProxy

CONFIG = """
provider: {type: moonshot, modelMapping: {"*": kimi-k2}}
simulator: {speed: instant}
"""
FIELDS = {"Content-Type": "application/json", "anthropic-version": "2023-06-01"}


def test_a_translated_stream_is_shown_as_a_conversation_with_what_was_changed(start_proxy: StartProxy) -> None:
    proxy = start_proxy(CONFIG, "--set", "ai_simulate=true", "--set", "flow_detail=4")
    body = {"model": "claude-sonnet-4-5", "max_tokens": 50, "stream": True}

    proxy.request(
        "POST", "/v1/messages", json.dumps({**body, "messages": [{"role": "user", "content": "Hi"}]}).encode(), FIELDS
    )
    log = proxy.close()

    lines = [line.strip() for line in log.splitlines()]
    assert "kimi-k2 · 1 turn · stream · max_tokens 50" in lines
    assert '-  "model": "claude-sonnet-4-5",' in lines
    assert '+  "model": "kimi-k2",' in lines
    assert "translated from anthropic to openai" in lines
    assert any(line.startswith("ended by itself · ") and "tokens in" in line for line in lines)
    assert "data: {" not in log
