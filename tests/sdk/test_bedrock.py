"""Botocore's model of Bedrock judges the requests that are written, and reads the answers that the tests have."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mitm_ai_proxy import errors
from mitm_ai_proxy.chat.converse_upstream import Settings
from mitm_ai_proxy.chat.dialects import ANTHROPIC, CONVERSE, DIALECTS, OPENAI
from tests.chat.converse import BEDROCK, CLAUDE_ID, NOVA, STREAM, answer, frame
from tests.chat.exchanges import HELLO, TOOL, Json, anthropic_request, openai_request, rewritten
from tests.chat.test_converse import CONTENT
from tests.chat.test_to_and_fro import Dice
from tests.e2e.conftest import Proxies
from tests.providers.chats import COUNT, upstream_of
from tests.providers.test_bedrock import EVENTS, chunk_of, provider_with
from tests.sdk.sdk import Sdks

LIMIT = 60
"""Seconds for the first answer, for which botocore is imported."""
CACHED = BEDROCK._replace(settings=Settings({"a": b"1"}, "24h", frozenset({"systemPrompt", "lastMessage"})))
MARK = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def ask(sdks: Sdks) -> Ask:
    """A function that takes the name of a question and its members, and gives botocore's answer."""
    asked = sdks.newest.script("bedrock_worker", LIMIT)
    return lambda name, **members: asked({"question": name, **members})


def _without_links(document: Json) -> Json:
    """A request whose pictures are in it: Bedrock takes no links."""
    text = json.dumps(document).replace("https://a.test/b?c", "data:image/png;base64,AAAA")
    found: Json = json.loads(text)
    return found


def _requests() -> Iterator[tuple[str, Json]]:
    format = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "description": "d"}}
    for members in (
        {"service_tier": "priority", "response_format": format, "stop": ["a"]},
        {"tools": [TOOL], "tool_choice": "required", "reasoning_effort": "high"},
        {"reasoning_effort": "low", "temperature": 2, "top_k": 3, "prompt_cache_retention": "24h"},
        {"guardrailConfig": {"guardrailIdentifier": "abc", "guardrailVersion": "1"}, "requestMetadata": {"a": "b"}},
    ):
        yield OPENAI, openai_request({"role": "system", "content": "s"}, *HELLO, **members)
    for seed in range(25):
        yield OPENAI, _without_links(Dice(seed).openai_request())
    thinking = {"type": "thinking", "thinking": "t", "signature": "S=="}
    redacted = {"type": "redacted_thinking", "data": "QQ=="}
    use = {"type": "tool_use", "id": "x" * 90, "name": "f", "input": {"a": [1]}}
    source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    result = {
        "type": "tool_result",
        "tool_use_id": "x" * 90,
        "content": [{"type": "text", "text": "r"}, {"type": "image", "source": source}],
        "is_error": True,
        **MARK,
    }
    text = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "é"}, "title": "Ü/1"}
    yield (
        ANTHROPIC,
        anthropic_request(
            {"role": "user", "content": [text, {"type": "text", "text": "a", **MARK}]},
            {"role": "assistant", "content": [thinking, redacted, use]},
            {"role": "user", "content": [result]},
            system=[{"type": "text", "text": "s", **MARK}],
            tools=[{"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": True, **MARK}],
            tool_choice={"type": "auto", "disable_parallel_tool_use": True},
            thinking={"type": "enabled", "budget_tokens": 1024},
        ),
    )


def test_every_request_is_one_of_converse(ask: Ask) -> None:
    problems = []
    for client, document in _requests():
        for model in (NOVA, CLAUDE_ID, "anthropic.claude-opus-4-7", "us.amazon.nova-2-lite-v1:0"):
            for target in (BEDROCK, CACHED):
                body = json.loads(rewritten(client, {**document, "model": model}, target).body)
                problems.append(ask("request", operation="ConverseStream", model=model, document=body))

    assert [problem for problem in problems if problem] == []
    wrong = {"messages": [{"role": "tool", "content": [{"text": "a", "image": {}}]}], "stop": []}
    assert ask("request", operation="Converse", model=NOVA, document=wrong)


def test_a_count_of_tokens_is_one_of_bedrock_s(ask: Ask) -> None:
    document = {"model": CLAUDE_ID, "messages": HELLO, "system": "s", "tools": [{"name": "f", "input_schema": {}}]}
    body = json.loads(upstream_of(provider_with(), COUNT, document).body or b"")

    assert ask("request", operation="CountTokens", model="a.b", document=body) == ""


def test_the_streams_of_the_tests_are_bedrock_s(ask: Ask) -> None:
    found = ask("events", operation="ConverseStream", data=STREAM.hex())
    text = "".join(
        event["contentBlockDelta"]["delta"].get("text", "") for event in found if "contentBlockDelta" in event
    )
    chunks = ask("events", operation="InvokeModelWithResponseStream", data=b"".join(map(chunk_of, EVENTS)).hex())
    failed = ask(
        "events", operation="ConverseStream", data=frame("throttlingException", {"message": "m"}, "exception").hex()
    )

    assert [*found[0], *found[-1]] == ["messageStart", "metadata"]
    assert text == "Hé😀\n\ndata: x"
    assert found[-1]["metadata"]["usage"]["cacheReadInputTokens"] == 60
    assert all("bytes" in chunk["chunk"] for chunk in chunks)
    assert "throttlingException" in failed[-1]["error"]


def test_the_whole_answers_of_the_tests_are_bedrock_s(ask: Ask) -> None:
    document = answer(*CONTENT, reason="tool_use")
    found = ask("answer", operation="Converse", document=document)

    assert found["output"]["message"]["content"] == CONTENT
    assert found["usage"] == document["usage"]


def test_botocore_raises_its_own_exception_for_a_refusal(ask: Ask) -> None:
    for refusal, name in (
        (errors.bad_body("no"), "ValidationException"),
        (errors.no_route("POST /x", ["a"]), "ResourceNotFoundException"),
        (errors.no_place_in_line("p", 1, 1), "ThrottlingException"),
        (errors.internal_error(), "InternalServerException"),
        (errors.not_ready(), "ServiceUnavailableException"),
    ):
        body = DIALECTS[CONVERSE].refusal(refusal).decode()
        assert ask("refused", status=refusal.status, body=body) == [name, name, refusal.message]
    (failed,) = ask("events", operation="ConverseStream", data=DIALECTS[CONVERSE].failure(errors.broke_off()).hex())
    assert failed["error"] == (
        "An error occurred (internalServerException) when calling the ConverseStream operation: "
        + errors.broke_off().message
    )


def test_botocore_s_client_is_answered_by_the_simulator(ask: Ask, tmp_path: Path) -> None:
    proxies = Proxies(tmp_path)
    try:
        block = "provider: {type: bedrock, awsRegion: us-east-1}\nsimulator: {speed: instant}"
        proxy = proxies.start(block, "--set", "ai_simulate=true")
        found = ask("simulated", url=f"http://127.0.0.1:{proxy.port}", model=CLAUDE_ID)
    finally:
        proxies.close()

    assert found == {
        "whole": "hi é",
        "usage": 2,
        "input": {"city": "Oslo"},
        "answered": "weather says: sunny",
        "stream": "hi é",
        "failures": ["ThrottlingException", "serviceUnavailableException"],
    }
