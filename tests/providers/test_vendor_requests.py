"""Chats in forms of vendors' own: what each vendor is sent for requests of both dialects."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from mitm_ai_proxy import pipeline, registry
from mitm_ai_proxy.auth import tc3
from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.errors import Refusal
from tests.providers.chats import CHAT, MESSAGES, Json, fields_of, head_of, outgoing_of, provider_of, upstream_of
from tests.tables import table

SCHEMA: Final = {"type": "object", "properties": {"x": {"type": "integer"}}}
TOOL: Final = {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA, "strict": True}}
CALL: Final = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1.0}'}}
REQUEST: Final[Json] = {
    "model": "m",
    "messages": [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "I look.", "reasoning_content": "hm", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "found"},
        {"role": "user", "content": "go on"},
    ],
    "tools": [TOOL],
    "tool_choice": "required",
    "max_completion_tokens": 9,
    "temperature": 0.5,
    "top_p": 1,
    "seed": 3,
    "stop": "END",
    "reasoning_effort": "low",
}
PICTURE: Final = {"type": "image_url", "image_url": {"url": "https://files.test/a.png"}}
SEEING: Final[Json] = {
    "model": "m",
    "messages": [{"role": "user", "content": [{"type": "text", "text": "what?"}, PICTURE]}],
}
SOUND: Final = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}
LINK: Final = "https://files.test/a.png"
SEEN: Final = [{"text": "what?"}, {"image": LINK}]
HUNYUAN_SEEN: Final = [{"Type": "text", "Text": "what?"}, {"Type": "image_url", "ImageUrl": {"Url": LINK}}]
OF_ANTHROPIC: Final[Json] = {
    "model": "m",
    "max_tokens": 9,
    "system": "be brief",
    "messages": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {"x": 1}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "found"}]},
    ],
    "tools": [{"name": "f", "input_schema": SCHEMA}],
}
HUNYUAN: Final = f"hunyuan, hunyuanAuthId: {'A' * 36}, hunyuanAuthKey: {'B' * 32}"
PRO: Final = "minimax, minimaxApiType: pro, minimaxGroupId: 'g 1', capabilities: {openai/v1/chatcompletions: /pro}"
QWEN: Final = "qwen, qwenEnableCompatible: false"
MEDIA_PATH: Final = "/api/v1/services/aigc/multimodal-generation/generation"
TEXT_PATH: Final = "/api/v1/services/aigc/text-generation/generation"


def _sent(block: str, target: str, document: Json) -> Json:
    body = upstream_of(provider_of(block), target, document).body
    assert body is not None
    sent: Json = json.loads(body)
    return sent


CALLED: Final = [{**CALL, "function": {"name": "f", "arguments": '{"x": 1}'}}]
FORMAT: Final = {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}}
NAMED: Final = {"tool_choice": {"type": "function", "function": {"name": "f"}}}
COHERE_TOOL: Final = {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}
HUNYUAN_TOOL: Final = {
    "type": "function",
    "Function": {"Name": "f", "Description": "d", "Parameters": json.dumps(SCHEMA)},
}


def test_cohere_is_sent_its_own_members() -> None:
    assert _sent("cohere", CHAT, REQUEST) == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "tool_plan": "I look.", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": "found"},
            {"role": "user", "content": "go on"},
        ],
        "tools": [COHERE_TOOL],
        "strict_tools": True,
        "tool_choice": "REQUIRED",
        "max_tokens": 9,
        "temperature": 0.5,
        "p": 0.99,
        "seed": 3,
        "stop_sequences": ["END"],
        "thinking": {"type": "enabled", "token_budget": 2048},
    }


def test_dashscope_is_sent_input_and_parameters() -> None:
    assert _sent(QWEN, CHAT, REQUEST) == {
        "model": "m",
        "input": {
            "messages": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": "I look.", "reasoning_content": "hm", "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c1", "content": "found"},
                {"role": "user", "content": "go on"},
            ]
        },
        "parameters": {
            "result_format": "message",
            "max_tokens": 9,
            "temperature": 0.5,
            "top_p": 1,
            "seed": 3,
            "stop": ["END"],
            "tools": [TOOL],
            "tool_choice": "required",
            "enable_thinking": True,
            "thinking_budget": 2048,
        },
    }


def test_hunyuan_is_sent_its_own_members_with_the_schema_as_a_text() -> None:
    sent = _sent(HUNYUAN, CHAT, REQUEST)
    for tool in (sent["Tools"][0], sent["CustomTool"]):
        assert json.loads(tool["Function"].pop("Parameters")) == SCHEMA
        assert tool == {"Type": "function", "Function": {"Name": "f", "Description": "d"}}

    function = {"Name": "f", "Arguments": '{"x": 1.0}'}
    assert {name: value for name, value in sent.items() if "Tool" not in name or name == "ToolChoice"} == {
        "Model": "m",
        "Messages": [
            {"Role": "system", "Content": "be brief"},
            {"Role": "user", "Content": "hi"},
            {
                "Role": "assistant",
                "Content": "I look.",
                "ReasoningContent": "hm",
                "ToolCalls": [{"Id": "c1", "Type": "function", "Index": 0, "Function": function}],
            },
            {"Role": "tool", "Content": "found", "ToolCallId": "c1"},
            {"Role": "user", "Content": "go on"},
        ],
        "Stream": False,
        "Temperature": 0.5,
        "TopP": 1,
        "Seed": 3,
        "Stop": ["END"],
        "ToolChoice": "custom",
        "EnableThinking": True,
    }


def test_minimax_pro_is_sent_senders_and_functions() -> None:
    bot = {"sender_type": "BOT", "sender_name": "MM智能助理"}
    function = {"name": "f", "description": "d", "parameters": SCHEMA}

    assert _sent(PRO, CHAT, REQUEST) == {
        "model": "m",
        "messages": [
            {"sender_type": "USER", "sender_name": "小明", "text": "hi"},
            {**bot, "text": "I look."},
            {**bot, "text": "", "function_call": CALL["function"]},
            {"sender_type": "FUNCTION", "sender_name": "f", "text": "found"},
            {"sender_type": "USER", "sender_name": "小明", "text": "go on"},
        ],
        "bot_setting": [{"bot_name": "MM智能助理", "content": "be brief"}],
        "reply_constraints": bot,
        "functions": [function],
        "function_call": {"type": "auto"},
        "mask_sensitive_info": True,
        "tokens_to_generate": 9,
        "temperature": 0.5,
        "top_p": 1,
    }


@table(
    ("block", "member", "calls"),
    [
        ("cohere", "messages", {"tool_calls": CALLED}),
        (f"{QWEN}, qwenFileIds: [f1]", "input", {"content": "", "tool_calls": CALLED, "reasoning_content": ""}),
    ],
)  # fmt: skip
def test_a_client_of_anthropic_s_dialect_reaches_it_too(block: str, member: str, calls: Json) -> None:
    sent = _sent(block, MESSAGES, OF_ANTHROPIC)
    messages = sent[member] if member == "messages" else sent[member]["messages"]

    roles = [message["role"] for message in messages]
    assert roles == ["system", "user", "assistant", "tool"]
    assert messages[2] == {"role": "assistant", **calls}
    assert messages[0]["content"] == "be brief"


@table(
    ("block", "target", "members", "path"),
    [
        # What is looked at has a path of its own at DashScope, where each content is then a list.
        (QWEN, CHAT, {"input": {"messages": [{"role": "user", "content": SEEN}]}}, MEDIA_PATH),
        (f"{QWEN}, modelMapping: {{m: qwen-vl-max}}", CHAT, {"model": "qwen-vl-max"}, MEDIA_PATH),
        (f"{QWEN}, providerBasePath: /in", CHAT, {}, f"/in{MEDIA_PATH}"),
        ("cohere", CHAT, {"messages": SEEING["messages"]}, "/v2/chat"),
        (HUNYUAN, CHAT, {"Messages": [{"Role": "user", "Contents": HUNYUAN_SEEN}]}, "/"),
    ],
)  # fmt: skip
def test_a_picture_is_sent_on(block: str, target: str, members: Json, path: str) -> None:
    upstream = upstream_of(provider_of(block), target, SEEING)
    sent = json.loads(upstream.body or b"")

    assert {name: sent[name] for name in members} == members
    assert upstream.target == path


def test_a_schema_with_a_picture_in_it_is_no_picture() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"properties": {"image": {"type": "string"}}}}}
    request = {"model": "m", "messages": [{"role": "user", "content": 'say {"image":1}'}], "tools": [tool]}

    assert upstream_of(provider_of(QWEN), CHAT, request).target == TEXT_PATH


@table(
    ("block", "members", "param"),
    [
        (PRO, SEEING, "messages[0].content[1].image_url.url"),
        (
            "cohere",
            {"model": "m", "messages": [{"role": "user", "content": [SOUND]}]},
            "messages[0].content[0].input_audio",
        ),
        ("cohere", {**REQUEST, "n": 2}, "n"),
        (HUNYUAN, {**REQUEST, "logprobs": True}, "logprobs"),
    ],
)  # fmt: skip
def test_what_a_vendor_cannot_be_told_is_refused(block: str, members: Json, param: str) -> None:
    with pytest.raises(Refusal) as caught:
        upstream_of(provider_of(block), CHAT, members)

    assert (caught.value.status, caught.value.param) == (400, param)


@table(
    ("block", "members", "name", "value", "note"),
    [
        ("cohere", {"temperature": 1.5}, "temperature", 1, "temperature is 1, as Cohere takes it from 0 to 1"),
        ("cohere", {"tool_choice": "none"}, "tool_choice", "NONE", ""),
        ("cohere", NAMED, "tools", [COHERE_TOOL], ""),
        ("cohere", FORMAT, "response_format", {"type": "json_object", "json_schema": SCHEMA}, ""),
        ("cohere", {"reasoning_effort": "none"}, "thinking", {"type": "disabled"}, ""),
        ("cohere", {"user": "u"}, "user", None, "user left out: Cohere has no such member"),
        (HUNYUAN, {"seed": 10_001}, "Seed", None, "seed left out: Hunyuan takes 1 to 10000"),
        (HUNYUAN, {"max_tokens": 9}, "MaxTokens", None, "max_tokens left out: Hunyuan has no such member"),
        (HUNYUAN, {"tool_choice": "none"}, "ToolChoice", "none", ""),
        (PRO, {"tool_choice": "none"}, "function_call", {"type": "none"}, ""),
        (PRO, NAMED, "function_call", {"type": "specific", "name": "f"}, ""),
    ],
)  # fmt: skip
def test_a_member_is_said_as_the_vendor_takes_it(block: str, members: Json, name: str, value: Any, note: str) -> None:
    upstream = upstream_of(provider_of(block), CHAT, {**REQUEST, **members})

    assert json.loads(upstream.body or b"").get(name) == value
    assert not note or note in upstream.notes


def test_dashscope_takes_less_than_2_and_more_than_0() -> None:
    sent = _sent(QWEN, CHAT, {**REQUEST, "temperature": 2, "top_p": 0})["parameters"]

    assert (sent["temperature"], sent["top_p"]) == (1.99, 0.000001)


@table(
    ("block", "is_stream", "fields"),
    [
        (QWEN, True, {"x-dashscope-sse": "enable", "accept": "text/event-stream"}),
        (QWEN, False, {"accept": "application/json"}),
        (HUNYUAN, True, {"x-tc-action": "ChatCompletions", "accept": "text/event-stream"}),
        (HUNYUAN, True, {"x-tc-version": "2023-09-01"}),
        (HUNYUAN, False, {"accept": "application/json", "content-type": "application/json"}),
    ],
)  # fmt: skip
def test_a_stream_is_asked_for_in_header_fields(block: str, is_stream: bool, fields: dict[str, str]) -> None:
    request = {**REQUEST, "stream": is_stream}
    sent = fields_of(outgoing_of(provider_of(f"{block}, apiTokens: [t]"), CHAT, request, "X-DashScope-SSE: enable"))

    assert fields.items() <= sent.items()
    assert is_stream or block != QWEN or "x-dashscope-sse" not in sent
    assert "openai-organization" not in sent


def test_hunyuan_s_signature_is_of_what_is_sent() -> None:
    outgoing = outgoing_of(provider_of(HUNYUAN), CHAT, REQUEST, "Authorization: Bearer client")
    fields = fields_of(outgoing)
    request = tc3.Request(
        fields["host"], fields["content-type"], outgoing.body or b"", {"x-tc-action": fields["x-tc-action"]}
    )
    expected = tc3.sign(request, tc3.Tc3Keys("A" * 36, Secret("B" * 32)), "hunyuan", int(fields["x-tc-timestamp"]))

    assert fields["x-tc-timestamp"] == "1700000000"
    assert fields["authorization"].encode() == expected.fields[b"authorization"]
    assert b"authorization" in outgoing.secret_fields


def test_hunyuan_signs_what_clients_of_its_own_send_too() -> None:
    provider = provider_of(f"{HUNYUAN}, protocol: original")
    body = b'{"Model":"hunyuan-lite", "Messages":[]}'
    lines = ("X-TC-Action: GetTokenCount", "Authorization: TC3-HMAC-SHA256 x")
    upstream = upstream_of(provider, "/", body, *lines)
    outgoing = pipeline.outgoing(provider, head_of("/", *lines), upstream, raw=body)
    fields = fields_of(outgoing)
    request = tc3.Request(fields["host"], fields["content-type"], body, {"x-tc-action": "GetTokenCount"})
    expected = tc3.sign(request, tc3.Tc3Keys("A" * 36, Secret("B" * 32)), "hunyuan", 1700000000)

    assert (outgoing.target, outgoing.body, fields["x-tc-action"]) == ("/", None, "GetTokenCount")
    assert fields["authorization"].encode() == expected.fields[b"authorization"]


@table(
    ("block", "path"),
    [
        ("cohere", "/compatibility/v1/chat/completions"),
        (QWEN, "/compatible-mode/v1/chat/completions"),
        (HUNYUAN, "/v1/chat/completions"),
        (PRO.partition(", capabilities")[0], "/v1/chat/completions"),
    ],
)
def test_the_simulator_is_spoken_to_in_openai_s_dialect(block: str, path: str) -> None:
    read = registry.read(f"provider: {{type: {block}}}", {}, simulated=True)
    (provider,) = registry.providers(read, simulated=True)
    upstream = upstream_of(provider, CHAT, REQUEST)

    assert (upstream.target, json.loads(upstream.body or b"")["messages"][1]) == (path, REQUEST["messages"][1])
