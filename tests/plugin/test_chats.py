"""The plugin with an agent of OpenAI's SDK on Claude: what the vendor said is recorded, and translated in each run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.plugin.conftest import Project
from tests.sdk.scripted_chats import ScriptedChats

pytest_plugins = ["pytester"]

CONFTEST = """
import pytest

@pytest.fixture(scope="session")
def ai_proxy_config():
    return {{"provider": {{"type": "claude", "apiTokens": "sk-of-the-provider", "providerDomain": "http://{address}"}}}}
"""
TEST = """
import json

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}

def test_a_loop_of_an_agent(client):
    messages = [{"role": "user", "content": "hi"}]
    options = {"model": "claude-sonnet-4-5", "tools": [TOOL], "reasoning_effort": "low"}
    said = client.ask("POST", "/v1/chat/completions", {**options, "messages": messages}).json()
    message = said["choices"][0]["message"]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "sunny"} for call in message["tool_calls"]]
    answer = client.ask("POST", "/v1/chat/completions", {**options, "messages": [*messages, message, *results]}).json()
    assert answer["choices"][0]["message"]["content"] == "both: sunny, sunny"

def test_a_stream(client):
    body = {"model": "claude-x", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    streamed = client.ask("POST", "/v1/chat/completions", body).body
    assert streamed.endswith(b"data: [DONE]\\n\\n")
"""


@pytest.fixture
def vendor() -> Iterator[ScriptedChats]:
    running = ScriptedChats()
    yield running
    running.close()


def test_a_recorded_conversation_is_translated_again_without_the_vendor(
    project: Project, vendor: ScriptedChats
) -> None:
    project.write(conftest=CONFTEST.format(address=vendor.address), test_agent=TEST)

    project.run("--ai-record=once").assert_outcomes(passed=2)
    assert [path for path, _, _ in vendor.asked] == ["/v1/messages"] * 3
    recorded = "".join((project.path / name).read_text() for name in project.cassettes())
    assert '"tool_use"' in recorded.replace("\\", "")
    assert "chat.completion" not in recorded

    vendor.asked.clear()
    project.run().assert_outcomes(passed=2)
    assert vendor.asked == []
