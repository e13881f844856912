"""Requests with a wrong member are refused in the client's dialect, which names the member; nothing is sent."""

from __future__ import annotations

import json
import re
from typing import Any

from mitm_ai_proxy.chat.dialects import ANTHROPIC, DIALECTS, OPENAI
from mitm_ai_proxy.chat.target import CLAUDE
from tests.chat.exchanges import HELLO, OTHER, Json, anthropic_request, openai_request, refused, rewritten
from tests.tables import table

OF_TARGET = {OPENAI: CLAUDE, ANTHROPIC: OTHER}
PART, CALL, ALLOWED = "messages[0].content[0]", "messages[1].tool_calls[0]", "tool_choice.allowed_tools"
SCHEMA = "response_format.json_schema"
SENTENCE = re.compile(r" (is|has|allows) .*[^ .]\.")
TOOL = {"name": "f", "input_schema": {"type": "object"}}
FUNCTION = {"type": "function", "function": {"name": "f"}}


def _content(part: Any) -> Json:
    return {"messages": [{"role": "user", "content": [part]}]}


def _assistant(**members: Any) -> Json:
    return {"messages": [*HELLO, {"role": "assistant", **members}]}


def _call(**members: Any) -> Json:
    return _assistant(tool_calls=[{"id": "a", "type": "function", "function": {"name": "f"}} | members])


@table(
    ("members", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 1}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": "a"}, "messages"),
        ({"messages": [*HELLO, 1]}, "messages[1]"),
        ({"messages": [{}]}, "messages[0].role"),
        ({"messages": [{"role": 1}]}, "messages[0].role"),
        ({"messages": [{"role": "robot"}]}, "messages[0].role"),
        ({"messages": [{"role": "function", "name": "f", "content": ""}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
        ({"messages": [{"role": "system", "content": {}}, *HELLO]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": ""}]}, "messages[0].tool_call_id"),
        (_content(1), PART),
        (_content({}), f"{PART}.type"),
        (_content({"type": "video"}), f"{PART}.type"),
        (_content({"type": "text"}), f"{PART}.text"),
        (_content({"type": "text", "text": 1}), f"{PART}.text"),
        (_content({"type": "image_url"}), f"{PART}.image_url"),
        (_content({"type": "image_url", "image_url": {"url": "ftp://a"}}), f"{PART}.image_url.url"),
        (_content({"type": "image_url", "image_url": {"url": "data:image/png,x"}}), f"{PART}.image_url.url"),
        (_content({"type": "input_audio"}), f"{PART}.input_audio"),
        (_content({"type": "input_audio", "input_audio": {"data": ""}}), f"{PART}.input_audio.format"),
        (_content({"type": "file", "file": {}}), f"{PART}.file.file_data"),
        (_content({"type": "file", "file": {"file_data": "data:text/plain,x"}}), f"{PART}.file.file_data"),
        (_content({"type": "file", "file": {"filename": "a.txt", "file_data": "é"}}), f"{PART}.file.file_data"),
        (_assistant(content=[{"type": "image_url"}]), "messages[1].content[0].type"),
        (_assistant(function_call={"name": "f"}), "messages[1].function_call"),
        (_assistant(audio={"id": "a"}), "messages[1].audio"),
        (_assistant(tool_calls={}), "messages[1].tool_calls"),
        (_call(id=None), f"{CALL}.id"),
        (_call(type="custom"), f"{CALL}.type"),
        (_call(function=None), f"{CALL}.function"),
        (_call(function={}), f"{CALL}.function.name"),
        (_call(function={"name": "f", "arguments": {}}), f"{CALL}.function.arguments"),
        ({"functions": []}, "functions"),
        ({"function_call": "auto"}, "function_call"),
        ({"tools": {}}, "tools"),
        ({"tools": [{}]}, "tools[0].type"),
        ({"tools": [FUNCTION, {"type": "custom"}]}, "tools[1].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]},
            "tools[0].function.parameters",
        ),
        ({"tools": [{"type": "function", "function": {"name": "f", "strict": 1}}]}, "tools[0].function.strict"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"tool_choice": 1}, "tool_choice"),
        ({"tool_choice": {}}, "tool_choice.type"),
        ({"tool_choice": {"type": "custom"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "g"}}}, "tool_choice"),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {}}}, f"{ALLOWED}.tools"),
        (
            {
                "tools": [FUNCTION],
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "x"}}]},
                },
            },
            "tool_choice",
        ),
        ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {}}, "response_format.type"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, SCHEMA),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}}, f"{SCHEMA}.schema"),
        ({"reasoning_effort": "much"}, "reasoning_effort"),
        ({"thinking": {"type": "deep"}}, "thinking.type"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_completion_tokens": "9"}, "max_completion_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": []}, "top_p"),
        ({"n": 0}, "n"),
        ({"seed": 1.5}, "seed"),
        ({"logprobs": 1}, "logprobs"),
        ({"stop": 1}, "stop"),
        ({"stop": ["a", 1]}, "stop[1]"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": []}, "stream_options"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"user": 1}, "user"),
    ],
)
def test_a_wrong_member_of_openai_s_is_named(members: Json, param: str) -> None:
    refusal = refused(OPENAI, openai_request() | members, CLAUDE)

    assert refusal.param == param
    assert SENTENCE.fullmatch(refusal.message.removeprefix(param))
    assert json.loads(DIALECTS[OPENAI].refusal(refusal))["error"]["param"] == param


def _block(block: Any, role: str = "user") -> Json:
    return {"messages": [{"role": role, "content": [block]}]}


def _source(kind: str, **source: Any) -> Json:
    return _block({"type": kind, "source": source})


@table(
    ("members", "param"),
    [
        ({"model": None}, "model"),
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [1]}, "messages[0]"),
        ({"messages": [{"content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"system": 1}, "system"),
        ({"system": [{"type": "text"}]}, "system[0].text"),
        (_block({}), f"{PART}.type"),
        (_block({"type": "text", "text": 1}), f"{PART}.text"),
        (_block({"type": "tool_use", "id": "i", "name": "f", "input": {}}), f"{PART}.type"),
        (_block({"type": "tool_result", "tool_use_id": "i"}, "assistant"), f"{PART}.type"),
        (_block({"type": "tool_use", "name": "f", "input": {}}, "assistant"), f"{PART}.id"),
        (_block({"type": "tool_use", "id": "i", "input": {}}, "assistant"), f"{PART}.name"),
        (_block({"type": "tool_use", "id": "i", "name": "f", "input": "x"}, "assistant"), f"{PART}.input"),
        (_block({"type": "thinking"}, "assistant"), f"{PART}.thinking"),
        (_block({"type": "redacted_thinking"}, "assistant"), f"{PART}.data"),
        (_block({"type": "tool_result"}), f"{PART}.tool_use_id"),
        (_block({"type": "tool_result", "tool_use_id": "i", "content": 1}), f"{PART}.content"),
        (_block({"type": "tool_result", "tool_use_id": "i", "is_error": 1}), f"{PART}.is_error"),
        (_block({"type": "image"}), f"{PART}.source"),
        (_source("image"), f"{PART}.source.type"),
        (_source("image", type="x"), f"{PART}.source.type"),
        (_source("image", type="url", url="file:///etc"), f"{PART}.source.url"),
        (_source("image", type="base64", data="AA"), f"{PART}.source.media_type"),
        (_source("document", type="x"), f"{PART}.source.type"),
        (_source("document", type="content", content=[{"type": "image"}]), f"{PART}.source.content[0].type"),
        (_block({"type": "text", "text": "a", "cache_control": {"ttl": "9m"}}), f"{PART}.cache_control.ttl"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
        ({"tools": [{"name": "f", "input_schema": 1}]}, "tools[0].input_schema"),
        ({"tools": [{"name": "f", "type": "bash_20250124"}]}, "tools[0].type"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tool_choice": {}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}}, "tool_choice"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "auto", "disable_parallel_tool_use": 1}}, "tool_choice.disable_parallel_tool_use"),
        ({"thinking": {}}, "thinking.type"),
        ({"thinking": {"type": "deep"}}, "thinking.type"),
        ({"thinking": {"type": "enabled", "budget_tokens": "x"}}, "thinking.budget_tokens"),
        ({"output_config": {"effort": "much"}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"stop_sequences": "a"}, "stop_sequences"),
        ({"stream": 1}, "stream"),
        ({"temperature": "hot"}, "temperature"),
        ({"metadata": 1}, "metadata"),
        ({"metadata": {"user_id": 1}}, "metadata.user_id"),
    ],
)
def test_a_wrong_member_of_anthropic_s_is_named(members: Json, param: str) -> None:
    refusal = refused(ANTHROPIC, anthropic_request() | members, OTHER)

    assert refusal.param == param
    written = json.loads(DIALECTS[ANTHROPIC].refusal(refusal))
    assert written["type"] == "error"
    assert written["error"]["type"] == "invalid_request_error"
    assert SENTENCE.fullmatch(written["error"]["message"].removeprefix(param))


@table(
    ("body", "why"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"[]", "is not a JSON object"),
        (b'"a"', "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b"{", "is not valid JSON"),
        (b'{"a": tru}', "is not valid JSON"),
        (b'{"a": 01}', "is not valid JSON"),
        (b'{"a": NaN}', "is not valid JSON"),
        (b"{}{}", "is not valid JSON"),
        (b'{"a": "\xff"}', "is not UTF-8"),
        (b'{"a": [' + b"{}," * 1_000_000 + b"{}]}", "more than 1000000 objects"),
        (b'{"a": ' + b"[" * 100_000, "is nested too deeply"),
        ("{}".encode("utf-16"), "is not UTF-8"),
    ],
)
def test_a_body_that_is_no_object_is_refused(body: bytes, why: str) -> None:
    for client, target in OF_TARGET.items():
        assert why in refused(client, body, target).message


def test_an_old_form_is_refused_with_the_new_one() -> None:
    old: list[tuple[Json, str]] = [
        ({"messages": [{"role": "function", "name": "f", "content": ""}]}, '"tool"'),
        ({"functions": []}, "tools"),
        ({"function_call": "auto"}, "tool_choice"),
        (_assistant(function_call={"name": "f"}), "tool_calls"),
    ]
    for members, new in old:
        assert f"the old form of {new}" in refused(OPENAI, openai_request() | members, CLAUDE).message


def test_a_refusal_quotes_little_of_the_client_s_text() -> None:
    secret = "sk-" + "x" * 1000
    for client, document in ((OPENAI, openai_request()), (ANTHROPIC, anthropic_request())):
        message = refused(
            client, document | {"messages": [{"role": secret, "content": "a"}]}, OF_TARGET[client]
        ).message

        assert len(message) < 200


def test_a_byte_order_mark_and_half_a_character_are_no_reason_to_refuse() -> None:
    for client, document in ((OPENAI, openai_request()), (ANTHROPIC, anthropic_request())):
        body = json.dumps(document).replace("hello", "a\\ud83d \\\\ud83d \\ud83d\\ude00").encode()

        written = json.loads(rewritten(client, b"\xef\xbb\xbf" + body, OF_TARGET[client]).body)

        assert written["messages"][0]["content"] == "a\ufffd \\ud83d 😀"
