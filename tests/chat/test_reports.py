"""What users of other gateways have reported as broken; each test is named after what is right."""

from __future__ import annotations

import json

from mitm_ai_proxy.chat.dialects import OPENAI
from mitm_ai_proxy.chat.target import CLAUDE
from tests.chat.exchanges import (
    HELLO,
    LAST,
    OF_ANTHROPIC,
    OF_ANTHROPIC_STREAM,
    OF_OPENAI,
    OF_OPENAI_STREAM,
    anthropic_stream,
    call_events,
    chunk,
    completion,
    flat,
    message,
    message_end,
    message_start,
    notes_of,
    openai_request,
    openai_stream,
    parsed,
    rewritten,
    streamed,
    text_events,
    thinking_events,
    to_claude,
    to_other,
    whole_document,
)
from tests.tables import table


def test_the_index_of_a_streamed_call_counts_calls_from_0_whatever_blocks_come_before() -> None:
    # Portkey-AI/gateway#1275, #1284; BerriAI/litellm#5231
    stream = anthropic_stream(
        *flat(
            [
                message_start(input_tokens=1),
                thinking_events(0, "hm", "S"),
                text_events(1, "a"),
                call_events(2, "a", "f", "{}"),
                text_events(3, "b"),
                call_events(4, "b", "g", '{"x":', "1}"),
                message_end("tool_use", output_tokens=1),
            ]
        )
    )

    chunks = parsed(streamed(OF_OPENAI_STREAM, stream))[:-2]
    calls = [call for body in chunks for call in body["choices"][0]["delta"].get("tool_calls", ())]

    assert [call["index"] for call in calls] == [0, 0, 1, 1, 1]
    assert [call["function"].get("name") for call in calls] == ["f", None, "g", None, None]


def test_a_schema_reaches_the_provider_untouched() -> None:
    # theopenco/llmgateway#1763; automazeio/vibeproxy#338; MadAppGang/claudish#234
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "propertyNames": {"pattern": "^[a-z]+$"},
        "properties": {"a": {"const": 1}, "b": {"exclusiveMinimum": 0}, "c": {"prefixItems": [{"type": ["null"]}]}},
    }

    document = to_other(tools=[{"name": "f", "input_schema": schema}])

    assert document["tools"][0]["function"]["parameters"] == schema


def test_all_results_of_a_turn_are_in_one_message() -> None:
    # genkit-ai/aws-bedrock-js-plugin#664; envoyproxy/ai-gateway#736
    calls = [{"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}} for id in "abc"]
    results = [{"role": "tool", "tool_call_id": id, "content": id} for id in "abc"]

    messages = to_claude(*HELLO, {"role": "assistant", "content": None, "tool_calls": calls}, *results)["messages"]

    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert [block["tool_use_id"] for block in messages[2]["content"]] == ["a", "b", "c"]


@table("reason", ["end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal", "new", "", None])
def test_a_whole_answer_always_has_one_of_openai_s_finish_reasons(reason: str | None) -> None:
    # maximhq/bifrost#1489
    finish = whole_document(OF_OPENAI, message() | {"stop_reason": reason})["choices"][0]["finish_reason"]

    assert finish in ("stop", "length", "tool_calls", "content_filter", "function_call")


@table("finish", [None, "", "null", "new"])
def test_a_whole_answer_always_has_one_of_anthropic_s_stop_reasons(finish: str | None) -> None:
    answer = completion("a")
    answer["choices"][0]["finish_reason"] = finish

    assert whole_document(OF_ANTHROPIC, answer)["stop_reason"] == "end_turn"


def test_the_usage_that_comes_after_the_finish_is_read_with_the_counters_of_the_cache() -> None:
    # MartialBE/one-hub#884; 1rgs/claude-code-proxy#102
    stream = openai_stream(chunk(content="a"), chunk("stop"), LAST)

    events = parsed(streamed(OF_ANTHROPIC_STREAM, stream))

    assert events[-2]["usage"]["input_tokens"] == 40
    assert events[-2]["usage"]["cache_read_input_tokens"] == 60
    assert events[-2]["usage"]["output_tokens"] == 20


def test_the_end_of_a_stream_has_the_members_of_its_dialect_only() -> None:
    # higress-group/higress#3510, #3517, #3506
    events = parsed(streamed(OF_ANTHROPIC_STREAM, openai_stream(chunk(content="a"), chunk("stop"))))
    assert set(events[-2]["delta"]) == {"stop_reason", "stop_sequence"}

    stream = anthropic_stream(
        *flat([message_start(), call_events(0, "a", "f", "{}"), message_end("tool_use", output_tokens=1)])
    )
    chunks = parsed(streamed(OF_OPENAI_STREAM, stream))
    assert chunks[-3]["choices"][0]["finish_reason"] == "tool_calls"

    tool = {"role": "tool", "tool_call_id": "a", "content": "x"}
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = to_claude(*HELLO, {"role": "assistant", "tool_calls": [call]}, tool)["messages"]
    assert {message["role"] for message in messages} == {"user", "assistant"}


@table("model", ["claude-opus-4-1", "claude-sonnet-4-5", "claude-haiku-4-5", "claude-opus-4-6", "claude-opus-4-7"])
def test_of_temperature_and_top_p_the_first_is_kept(model: str) -> None:
    # BerriAI/litellm#15070, #15097; open-webui/open-webui#17922
    document = to_claude(model=model, temperature=0.5, top_p=0.9)

    assert document["temperature"] == 0.5
    assert "top_p" not in document
    (note,) = notes_of(OPENAI, openai_request(model=model, temperature=0.5, top_p=0.9), CLAUDE)
    assert note.startswith("top_p left out")


@table(("version", "is_sent"), [("2023-06-01", True), ("2026-10-21", False), ("2027-01-01", False)])
def test_sampling_is_not_sent_under_a_version_that_has_none(version: str, is_sent: bool) -> None:
    # ttlequals0/MinusPod v2.101.10 (#926)
    target = CLAUDE._replace(version=version)

    found = json.loads(rewritten(OPENAI, openai_request(temperature=1, top_k=3), target).body)

    assert ("temperature" in found, "top_k" in found) == (is_sent, is_sent)
