"""Chats of both dialects through Amazon Bedrock's Converse: requests, whole answers, streams in any cut, errors."""

from __future__ import annotations

import json
from typing import Any

from mitm_ai_proxy.chat import converse_answers, converse_cache, converse_requests, translate
from mitm_ai_proxy.chat.converse_upstream import Settings
from mitm_ai_proxy.chat.dialects import ANTHROPIC, OPENAI
from mitm_ai_proxy.chat.model import Call, Fault, Media, Result, Text, Thinking
from mitm_ai_proxy.chat.target import Target
from mitm_ai_proxy.chat.translate import Translated
from mitm_ai_proxy.exchange import Answer, Memo, Pieces, Whole
from mitm_ai_proxy.view import conversation
from tests.chat.converse import (
    AWS_FIELDS,
    BEDROCK,
    CLAUDE_ID,
    METADATA,
    NOVA,
    START,
    STREAM,
    answer,
    delta,
    frame,
    stop,
)
from tests.chat.exchanges import (
    HELLO,
    JSON_FIELDS,
    TOOL,
    Json,
    anthropic_request,
    encoded,
    openai_request,
    parsed,
    refused,
    rewritten,
)
from tests.chat.test_streams import check_anthropic_grammar
from tests.tables import table

USER = {"role": "user", "content": [{"text": "hello"}]}
CALL = {"id": "tooluse_1", "type": "function", "function": {"name": "f", "arguments": '{ "x" : 1e400 }'}}
USE = {"toolUse": {"toolUseId": "tooluse_1", "name": "f", "input": {"x": 1}}}
SPEC = {"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}
POINT: Json = {"cachePoint": {"type": "default"}}
HOUR: Json = {"cachePoint": {"type": "default", "ttl": "1h"}}
PNG = {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,AAAA"}}
LONG_ID = "call_" + "x" * 70


def _openai(*messages: Json, model: str = NOVA, target: Target = BEDROCK, **members: Any) -> Json:
    document = {**openai_request(*messages, **members), "model": model}
    sent: Json = json.loads(rewritten(OPENAI, document, target).body)
    return sent


def _anthropic(*messages: Json, model: str = CLAUDE_ID, target: Target = BEDROCK, **members: Any) -> Json:
    document = {**anthropic_request(*messages, **members), "model": model}
    sent: Json = json.loads(rewritten(ANTHROPIC, document, target).body)
    return sent


def _memo(client: str, model: str = NOVA, stream: bool = False) -> Memo:
    made = openai_request if client == OPENAI else anthropic_request
    document = {**made(stream=stream), "model": model}
    if stream and client == OPENAI:
        document["stream_options"] = {"include_usage": True}
    return rewritten(client, document, BEDROCK).memo


def _whole(client: str, document: object, status: int = 200, model: str = NOVA, fields: Any = JSON_FIELDS) -> Answer:
    handling = translate.handling(_memo(client, model), status, fields)
    assert isinstance(handling, Whole)
    return handling.rewrite(Answer(status, document if isinstance(document, bytes) else encoded(document)))


def _stream(client: str, *pieces: bytes, model: str = NOVA) -> bytes:
    handling = translate.handling(_memo(client, model, stream=True), 200, AWS_FIELDS)
    assert isinstance(handling, Pieces)
    assert isinstance(handling.transducer, Translated)
    return b"".join([*map(handling.transducer.feed, pieces), handling.transducer.end()])


# Requests


@table(
    ("messages", "members", "expected"),
    [
        ([*HELLO], {}, {"messages": [USER]}),
        (
            [
                {"role": "system", "content": "a"},
                {"role": "developer", "content": [{"type": "text", "text": "b"}]},
                *HELLO,
            ],
            {},
            {"system": [{"text": "a"}, {"text": "b"}], "messages": [USER]},
        ),
        (
            [{"role": "system", "content": " "}, *HELLO, {"role": "user", "content": ""}, *HELLO],
            {},
            {"messages": [{"role": "user", "content": [{"text": "hello"}, {"text": "hello"}]}]},
        ),
        (
            [{"role": "user", "content": [PNG, {"type": "text", "text": "a"}]}],
            {},
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"image": {"format": "jpeg", "source": {"bytes": "AAAA"}}}, {"text": "a"}],
                    }
                ]
            },
        ),
        (
            [
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "file",
                            "file": {"filename": "My. é/file.pdf", "file_data": "data:application/pdf;base64,QQ=="},
                        },
                        {
                            "type": "file",
                            "file": {"filename": "My. file.csv", "file_data": "data:text/csv;base64,QQ=="},
                        },
                        {"type": "input_audio", "input_audio": {"format": "wav", "data": "QQ=="}},
                    ],
                }
            ],
            {},
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"document": {"format": "pdf", "name": "My file", "source": {"bytes": "QQ=="}}},
                            {"document": {"format": "csv", "name": "My file 2", "source": {"bytes": "QQ=="}}},
                            {"audio": {"format": "wav", "source": {"bytes": "QQ=="}}},
                        ],
                    }
                ]
            },
        ),
        (
            [
                *HELLO,
                {
                    "role": "assistant",
                    "content": "t",
                    "tool_calls": [{**CALL, "function": {"name": "f", "arguments": ""}}],
                },
                {"role": "tool", "tool_call_id": "tooluse_1", "content": "r"},
                *HELLO,
            ],
            {"tools": [TOOL]},
            {
                "messages": [
                    USER,
                    {"role": "assistant", "content": [{"text": "t"}, {"toolUse": {**USE["toolUse"], "input": {}}}]},
                    {
                        "role": "user",
                        "content": [
                            {"toolResult": {"toolUseId": "tooluse_1", "content": [{"text": "r"}]}},
                            {"text": "hello"},
                        ],
                    },
                ],
                "toolConfig": {"tools": [SPEC]},
            },
        ),
        ([*HELLO], {"tools": [TOOL], "tool_choice": "auto"}, {"messages": [USER], "toolConfig": {"tools": [SPEC]}}),
        ([*HELLO], {"tools": [TOOL], "tool_choice": "none"}, {"messages": [USER]}),
        (
            [*HELLO],
            {"tools": [TOOL], "tool_choice": "required"},
            {"messages": [USER], "toolConfig": {"tools": [SPEC], "toolChoice": {"any": {}}}},
        ),
        (
            [*HELLO],
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}},
            {"messages": [USER], "toolConfig": {"tools": [SPEC], "toolChoice": {"tool": {"name": "f"}}}},
        ),
        (
            [*HELLO],
            {"max_tokens": 5, "temperature": 0, "top_p": 0.5, "top_k": 7, "stop": "a", "service_tier": "flex"},
            {
                "messages": [USER],
                "inferenceConfig": {"maxTokens": 5, "temperature": 0, "topP": 0.5, "stopSequences": ["a"]},
                "additionalModelRequestFields": {"inferenceConfig": {"topK": 7}},
                "serviceTier": {"type": "flex"},
            },
        ),
        (
            [*HELLO],
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}},
            {
                "messages": [USER],
                "outputConfig": {
                    "textFormat": {
                        "type": "json_schema",
                        "structure": {"jsonSchema": {"schema": '{"type": "object"}', "name": "n"}},
                    }
                },
            },
        ),
        (
            [*HELLO],
            {"guardrailConfig": {"guardrailIdentifier": "g"}, "additionalModelRequestFields": {"a": 1e5}},
            {
                "messages": [USER],
                "guardrailConfig": {"guardrailIdentifier": "g"},
                "additionalModelRequestFields": {"a": 1e5},
            },
        ),
    ],
)
def test_an_openai_request_is_one_of_converse(messages: list[Json], members: Json, expected: Json) -> None:
    assert _openai(*messages, **members) == expected


def test_arguments_and_schemas_keep_their_bytes() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "const": 1.50}}}
    document = openai_request(*HELLO, {"role": "assistant", "tool_calls": [CALL]}, tools=[tool])
    body = rewritten(OPENAI, encoded({**document, "model": NOVA}).replace(b"1.5}", b"1.50}"), BEDROCK).body

    assert b'"input":{ "x" : 1e400 }' in body
    assert b'"const": 1.50}' in body


@table(
    ("model", "members", "additional", "output", "inference"),
    [
        (CLAUDE_ID, {}, None, None, {"maxTokens": 4096}),
        (
            CLAUDE_ID,
            {"reasoning_effort": "low", "max_tokens": 4000, "temperature": 0.5},
            {"thinking": {"type": "enabled", "budget_tokens": 2048}},
            None,
            {"maxTokens": 4000},
        ),
        (
            "anthropic.claude-opus-4-7",
            {"reasoning_effort": "high", "max_tokens": 9},
            {"thinking": {"type": "adaptive", "display": "summarized"}},
            {"effort": "high"},
            {"maxTokens": 9},
        ),
        (
            CLAUDE_ID,
            {"temperature": 2, "top_p": 0.5, "top_k": 3},
            {"top_k": 3},
            None,
            {"maxTokens": 4096, "temperature": 1},
        ),
        (
            "us.amazon.nova-2-lite-v1:0",
            {"reasoning_effort": "low", "max_tokens": 9},
            {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}},
            None,
            {"maxTokens": 9},
        ),
        (
            "us.amazon.nova-2-lite-v1:0",
            {"reasoning_effort": "max", "max_tokens": 9},
            {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}},
            None,
            None,
        ),
        ("openai.gpt-oss-120b-1:0", {"reasoning_effort": "minimal"}, {"reasoning_effort": "low"}, None, None),
        ("meta.llama4", {"reasoning_effort": "high", "top_k": 3}, None, None, None),
        ("mistral.large", {"top_k": 3}, {"top_k": 3}, None, None),
        (
            "arn%3Aaws%3Abedrock%3Aus-west-2%3A%3Afoundation-model%2Fanthropic.claude-3-5-haiku-20241022-v1%3A0",
            {"stop": ["a", " "]},
            None,
            None,
            {"maxTokens": 4096, "stopSequences": ["a"]},
        ),
    ],
)
def test_thinking_and_sampling_are_what_the_family_of_the_model_takes(
    model: str, members: Json, additional: Json | None, output: Json | None, inference: Json | None
) -> None:
    sent = _openai(*HELLO, model=model, **members)

    assert sent.get("additionalModelRequestFields") == additional
    assert sent.get("outputConfig") == output
    assert sent.get("inferenceConfig") == inference


def test_members_of_the_configuration_replace_what_else_is_said() -> None:
    target = BEDROCK._replace(settings=Settings({"top_k": b"200", "x": b'{"a": 1.50}'}))
    body = rewritten(OPENAI, {**openai_request(top_k=3), "model": CLAUDE_ID}, target).body

    assert b'"additionalModelRequestFields":{"top_k":200,"x":{"a": 1.50}}' in body


def test_a_conversation_of_anthropic_s_keeps_order_seals_pictures_in_results_and_failures() -> None:
    said = [
        {"type": "thinking", "thinking": "", "signature": "SIG=="},
        {"type": "redacted_thinking", "data": "RED=="},
        {"type": "tool_use", "id": "tooluse_1", "name": "f", "input": {"x": 1}},
        {"type": "text", "text": "late"},
    ]
    source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    results = [
        {"type": "text", "text": "then"},
        {
            "type": "tool_result",
            "tool_use_id": "tooluse_1",
            "is_error": True,
            "content": [{"type": "text", "text": "r"}, {"type": "image", "source": source}],
        },
    ]
    sent = _anthropic(*HELLO, {"role": "assistant", "content": said}, {"role": "user", "content": results})

    assert sent["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "", "signature": "SIG=="}}},
                {"reasoningContent": {"redactedContent": "RED=="}},
                {"text": "late"},
                USE,
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "toolResult": {
                        "toolUseId": "tooluse_1",
                        "content": [{"text": "r"}, {"image": {"format": "png", "source": {"bytes": "AAAA"}}}],
                        "status": "error",
                    }
                },
                {"text": "then"},
            ],
        },
    ]
    # The client sent no tools, and Bedrock takes no calls without them.
    assert sent["toolConfig"] == {
        "tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object", "properties": {}}}}}]
    }


def test_thinking_of_another_vendor_is_not_sent() -> None:
    said = [{"type": "thinking", "thinking": "hm", "signature": "SIG=="}, {"type": "text", "text": "a"}]
    messages: list[Json] = [*HELLO, {"role": "assistant", "content": said}, *HELLO]

    assert _anthropic(*messages, model=NOVA)["messages"][1]["content"] == [{"text": "a"}]
    assert _anthropic(*messages)["messages"][1]["content"][0]["reasoningContent"]["reasoningText"]["text"] == "hm"


def test_an_id_that_bedrock_does_not_take_is_the_same_other_one_in_call_and_result() -> None:
    calls = [{**CALL, "id": LONG_ID}, {**CALL, "id": "a b"}]
    results = [{"role": "tool", "tool_call_id": found["id"], "content": "r"} for found in calls]
    sent = _openai(*HELLO, {"role": "assistant", "tool_calls": calls}, *results, tools=[TOOL])["messages"]
    ids = [block["toolUse"]["toolUseId"] for block in sent[1]["content"]]

    assert ids == [block["toolResult"]["toolUseId"] for block in sent[2]["content"]]
    assert len(set(ids)) == 2
    assert all(len(id) <= 64 and id.startswith("tooluse_") for id in ids)


@table(
    ("client", "messages", "members", "param"),
    [
        (OPENAI, [{"role": "assistant", "content": "a"}], {}, "messages[0]"),
        (OPENAI, [{"role": "user", "content": " "}], {}, "messages"),
        (
            OPENAI,
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.test/b"}}]}],
            {},
            "messages[0].content[0].image_url.url",
        ),
        (
            OPENAI,
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AA"}}]}],
            {},
            "messages[0].content[0].image_url.url",
        ),
        (
            OPENAI,
            [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}],
            {},
            "messages[0].content[0].file.file_id",
        ),
        (OPENAI, HELLO, {"n": 2}, "n"),
        (ANTHROPIC, HELLO, {"mcp_servers": [{"a": 1}]}, "mcp_servers"),
    ],
)
def test_what_bedrock_cannot_do_is_refused_by_name(
    client: str, messages: list[Json], members: Json, param: str
) -> None:
    made = openai_request if client == OPENAI else anthropic_request

    assert refused(client, {**made(*messages, **members), "model": NOVA}, BEDROCK).param == param


# Cache points


def _places(sent: Json) -> list[Any]:
    """Where the points are, with their `ttl`."""
    lists: list[tuple[Any, Any]] = [
        ("tools", sent.get("toolConfig", {}).get("tools", [])),
        ("system", sent.get("system", [])),
    ]
    lists += [(index, message["content"]) for index, message in enumerate(sent["messages"])]
    return [
        (name, index, block["cachePoint"].get("ttl"))
        for name, blocks in lists
        for index, block in enumerate(blocks)
        if "cachePoint" in block
    ]


@table(
    ("model", "members", "places"),
    [
        (CLAUDE_ID, {}, []),
        (CLAUDE_ID, {"prompt_cache_retention": "in_memory"}, [("system", 1, None)]),
        (CLAUDE_ID, {"prompt_cache_retention": "24h"}, [("system", 1, "1h")]),
        (CLAUDE_ID, {"prompt_cache_retention": "In-Memory "}, [("system", 1, None)]),
        (CLAUDE_ID, {"prompt_cache_retention": "1 year"}, []),
        (NOVA, {"prompt_cache_retention": "24h"}, [("system", 1, None)]),
        ("meta.llama4", {"prompt_cache_retention": "24h"}, []),
    ],
)
def test_a_retention_of_the_client_s_puts_points_where_the_model_takes_them(
    model: str, members: Json, places: list[Any]
) -> None:
    assert _places(_openai({"role": "system", "content": "s"}, *HELLO, model=model, **members)) == places


@table(
    ("positions", "places"),
    [
        (("systemPrompt",), [("system", 1, None)]),
        (("lastUserMessage",), [(2, 1, None)]),
        (("lastMessage",), [(3, 1, None)]),
        (("lastUserMessage", "lastMessage"), [(2, 1, None), (3, 1, None)]),
        ((), []),
    ],
)
def test_positions_of_the_configuration_say_where(positions: tuple[str, ...], places: list[Any]) -> None:
    messages = [{"role": "system", "content": "s"}, *HELLO, {"role": "assistant", "content": "a"}, *HELLO]
    messages.append({"role": "assistant", "content": "b"})
    target = BEDROCK._replace(settings=Settings({}, "in_memory", frozenset(positions)))

    assert _places(_openai(*messages, target=target)) == places
    one = BEDROCK._replace(settings=Settings({}, "in_memory", frozenset({"lastUserMessage", "lastMessage"})))
    assert _places(_openai(*HELLO, target=one)) == [(0, 1, None)]


def test_marks_of_the_client_s_become_points_behind_their_blocks_of_which_the_last_four_are_kept() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    hour = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    content = [
        {"type": "text", "text": "a", **mark},
        {"type": "text", "text": "b"},
        {"type": "text", "text": "c", **mark},
    ]
    members: dict[str, Any] = {
        "system": [{"type": "text", "text": "s", **hour}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}, **mark}],
    }
    message = {"role": "user", "content": content}

    assert _places(_anthropic(message, **members)) == [
        ("tools", 1, None),
        ("system", 1, "1h"),
        (0, 1, None),
        (0, 4, None),
    ]
    assert _places(
        _anthropic(message, {"role": "assistant", "content": [{"type": "text", "text": "x", **mark}]}, **members)
    ) == [
        ("system", 1, "1h"),
        (0, 1, None),
        (0, 4, None),
        (1, 1, None),
    ]
    assert _places(_anthropic(message, model=NOVA, **members)) == [("system", 1, None), (0, 1, None), (0, 4, None)]
    assert _places(_anthropic(message, model="meta.llama4", **members)) == []


def test_a_word_that_is_no_retention_is_found() -> None:
    assert [converse_cache.retention(word) for word in ("", "24h", "IN MEMORY", "inmemory")] == [
        "",
        "24h",
        "in_memory",
        "in_memory",
    ]


# Whole answers

CONTENT: list[Json] = [
    {"reasoningContent": {"reasoningText": {"text": "hm é", "signature": "SIG=="}}},
    {"text": "Hé😀"},
    {"toolUse": {"toolUseId": "tooluse_a", "name": "f", "input": {"x": 1}}},
]


def test_a_whole_answer_is_one_of_openai_s() -> None:
    document = json.loads(_whole(OPENAI, answer(*CONTENT, reason="tool_use"), fields=AWS_FIELDS).body)
    (choice,) = document["choices"]

    assert choice["finish_reason"] == "tool_calls"
    assert (choice["message"]["content"], choice["message"]["reasoning_content"]) == ("Hé😀", "hm é")
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"x": 1}'}
    assert document["model"] == NOVA
    assert document["usage"] == {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
    }


def test_a_whole_answer_is_one_of_anthropic_s_and_claude_s_seals_are_its_own() -> None:
    document = json.loads(_whole(ANTHROPIC, answer(*CONTENT, reason="tool_use"), model=CLAUDE_ID).body)

    assert document["content"] == [
        {"type": "thinking", "thinking": "hm é", "signature": "SIG=="},
        {"type": "text", "text": "Hé😀"},
        {"type": "tool_use", "id": "tooluse_a", "name": "f", "input": {"x": 1}},
    ]
    assert document["stop_reason"] == "tool_use"
    assert document["usage"]["input_tokens"] == 30
    assert document["usage"]["cache_read_input_tokens"] == 60
    assert document["usage"]["cache_creation_input_tokens"] == 10
    other = json.loads(_whole(ANTHROPIC, answer(*CONTENT)).body)
    assert other["content"][0]["signature"].startswith("aip1-")


def test_thinking_that_one_model_has_signed_goes_back_to_it_through_either_client() -> None:
    for model in (NOVA, CLAUDE_ID):
        said = json.loads(_whole(ANTHROPIC, answer(*CONTENT, reason="tool_use"), model=model).body)["content"]
        result = {"type": "tool_result", "tool_use_id": "tooluse_a", "content": "r"}
        sent = _anthropic(
            *HELLO, {"role": "assistant", "content": said}, {"role": "user", "content": [result]}, model=model
        )
        assert sent["messages"][1]["content"] == CONTENT

        message = json.loads(_whole(OPENAI, answer(*CONTENT, reason="tool_use"), model=model).body)["choices"][0][
            "message"
        ]
        id = message["tool_calls"][0]["id"]
        sent = _openai(*HELLO, message, {"role": "tool", "tool_call_id": id, "content": "r"}, model=model)
        assert sent["messages"][1]["content"] == CONTENT


@table(
    ("reason", "openai", "anthropic"),
    [
        ("end_turn", "stop", "end_turn"),
        ("stop_sequence", "stop", "stop_sequence"),
        ("max_tokens", "length", "max_tokens"),
        ("model_context_window_exceeded", "length", "model_context_window_exceeded"),
        ("guardrail_intervened", "content_filter", "refusal"),
        ("content_filtered", "content_filter", "refusal"),
        ("malformed_model_output", "stop", "end_turn"),
        ("new one", "stop", "end_turn"),
    ],
)
def test_every_reason_has_its_word(reason: str, openai: str, anthropic: str) -> None:
    document = answer({"text": "a"}, reason=reason, additionalModelResponseFields={"stop_sequence": "END"})
    found = json.loads(_whole(ANTHROPIC, document).body)

    assert json.loads(_whole(OPENAI, document).body)["choices"][0]["finish_reason"] == openai
    assert found["stop_reason"] == anthropic
    assert found["stop_sequence"] == ("END" if reason == "stop_sequence" else None)


def test_pictures_citations_and_redacted_thinking_are_read_and_server_tools_skipped() -> None:
    blocks: list[Json] = [
        {"reasoningContent": {"redactedContent": "RED=="}},
        {"image": {"format": "png", "source": {"bytes": "AAAA"}}},
        {"citationsContent": {"content": [{"text": "a"}, {"text": "b"}], "citations": []}},
        {"toolUse": {"toolUseId": "x", "name": "s", "input": {}, "type": "server_tool_use"}},
        {"unknown": 1},
    ]
    found = json.loads(_whole(ANTHROPIC, answer(*blocks), model=CLAUDE_ID).body)["content"]

    assert found[0] == {"type": "redacted_thinking", "data": "RED=="}
    assert found[-1] == {"type": "text", "text": "ab"}
    assert "data:image/png;base64,AAAA" in _whole(OPENAI, answer(*blocks)).body.decode()


# Streams


def test_a_stream_is_one_of_openai_s() -> None:
    *chunks, done = parsed(_stream(OPENAI, STREAM))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]

    assert done == "[DONE]"
    assert "".join(found.get("reasoning_content") or "" for found in deltas) == "hm é"
    assert "".join(found.get("content") or "" for found in deltas) == "Hé😀\n\ndata: x"
    calls = [one for found in deltas for one in found.get("tool_calls", ())]
    assert [found["function"]["name"] for found in calls if "name" in found["function"]] == ["f", "g"]
    for index, arguments in enumerate(('{"x":1}', "{}")):
        assert "".join(found["function"]["arguments"] for found in calls if found["index"] == index) == arguments
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks if chunk["choices"]][-1] == "tool_calls"
    assert chunks[-1]["usage"]["prompt_tokens"] == 100


def test_a_stream_is_one_of_anthropic_s() -> None:
    stream = _stream(ANTHROPIC, STREAM, model=CLAUDE_ID)
    events = parsed(stream)
    check_anthropic_grammar(events)

    starts = [event["content_block"]["type"] for event in events if event["type"] == "content_block_start"]
    assert starts == ["thinking", "text", "tool_use", "tool_use"]
    assert [e["delta"]["signature"] for e in events if e.get("delta", {}).get("type") == "signature_delta"] == ["SIG=="]
    last = next(event for event in events if event["type"] == "message_delta")
    assert last["delta"]["stop_reason"] == "tool_use"
    assert last["usage"]["cache_creation_input_tokens"] == 10


@table("client", [OPENAI, ANTHROPIC])
def test_a_stream_is_translated_to_the_same_bytes_wherever_it_is_cut(client: str) -> None:
    expected = _stream(client, STREAM)

    # Byte by byte it is cut everywhere; in two, with the rest of a frame and whole ones behind it.
    for cut in range(1 if client == ANTHROPIC else 5, len(STREAM), 7 if client == ANTHROPIC else 23):
        assert _stream(client, STREAM[:cut], STREAM[cut:]) == expected
    assert _stream(client, *(STREAM[index : index + 1] for index in range(len(STREAM)))) == expected


def test_text_is_told_as_it_arrives() -> None:
    handling = translate.handling(_memo(OPENAI, stream=True), 200, AWS_FIELDS)
    assert isinstance(handling, Pieces)
    assert handling.fields[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert handling.fields[b"x-request-id"] == b"r-1"
    handling.transducer.feed(START)

    assert b"Hi" in handling.transducer.feed(delta(0, text="Hi"))
    assert handling.transducer.feed(METADATA[:20]) == b""


def test_redacted_thinking_and_pictures_that_come_in_pieces_are_one_block() -> None:
    image = frame("contentBlockStart", {"contentBlockIndex": 1, "start": {"image": {"format": "png"}}})
    frames = [
        START,
        delta(0, reasoningContent={"redactedContent": "QQ=="}),
        delta(0, reasoningContent={"redactedContent": "Qg=="}),
        stop(0),
        image,
        delta(1, image={"source": {"bytes": "AAAA"}}),
        stop(1),
        frame(
            "contentBlockStart",
            {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "s", "name": "n", "type": "server_tool_use"}}},
        ),
        delta(2, toolUse={"input": "{}"}),
        stop(2),
        frame("messageStop", {"stopReason": "end_turn"}),
        METADATA,
    ]
    events = parsed(_stream(ANTHROPIC, *frames, model=CLAUDE_ID))
    blocks = [event["content_block"] for event in events if event["type"] == "content_block_start"]

    assert blocks[0] == {"type": "redacted_thinking", "data": "QUI="}
    assert [block["type"] for block in blocks] == ["redacted_thinking", "text"]
    assert b"data:image/png;base64,AAAA" in _stream(OPENAI, *frames)


def test_blocks_without_an_end_and_unknown_events_are_no_mistake() -> None:
    frames = [
        START,
        frame("newEvent", {}),
        delta(0, text="a"),
        delta(0, citation={"title": "t"}),
        delta(1, text="b"),
        frame("messageStop", {"stopReason": "end_turn"}),
    ]
    *chunks, done = parsed(_stream(OPENAI, *frames))

    assert done == "[DONE]"
    assert "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"]) == "ab"


def _exception(name: str, message: str = "why") -> bytes:
    return frame(name, {"message": message}, "exception")


STOPPED = frame("messageStop", {"stopReason": "end_turn"})


@table(
    ("tail", "status", "code", "message"),
    [
        (_exception("throttlingException"), 429, "throttlingException", "why"),
        (_exception("validationException"), 400, "validationException", "why"),
        (_exception("modelStreamErrorException"), 424, "modelStreamErrorException", "why"),
        (
            _exception("validationException", "Input is too long for requested model."),
            400,
            "context_length_exceeded",
            "too long",
        ),
        (_exception("internalServerException", ""), 500, "internalServerException", "internalServerException"),
        (_exception("newException"), 502, "newException", "why"),
        (b"", 502, "bad_answer", "ended before it was complete"),
        (delta(0, text="b")[:-1] + b"x", 502, "bad_answer", "does not match its checksum"),
        (METADATA[:30], 502, "bad_answer", "ends within a message"),
        (frame("contentBlockDelta", {"contentBlockIndex": 0}), 502, "bad_answer", "wrong form"),
        (START, 502, "bad_answer", "wrong form"),
        (STOPPED + STOPPED, 502, "bad_answer", "wrong form"),
        (STOPPED + delta(1, text="b"), 502, "bad_answer", "wrong form"),
    ],
)
def test_a_stream_that_fails_ends_with_an_error_and_nothing_else(
    tail: bytes, status: int, code: str, message: str
) -> None:
    begun = START + delta(0, text="a")
    openai = _stream(OPENAI, begun + tail + METADATA if tail and tail != METADATA[:30] else begun + tail)
    *_, error = parsed(openai)
    *_, last = parsed(_stream(ANTHROPIC, begun + tail))

    assert b"[DONE]" not in openai
    assert error["error"]["code"] == code
    assert message in error["error"]["message"]
    assert last["type"] == "error"
    assert message in last["error"]["message"]
    kinds = {400: "invalid_request_error", 429: "rate_limit_error", 424: "invalid_request_error"}
    assert last["error"]["type"] == kinds.get(status, "api_error")


def test_a_stream_without_its_beginning_is_none() -> None:
    assert "begins in the middle" in parsed(_stream(OPENAI, delta(0, text="a") + STOPPED))[-1]["error"]["message"]


def test_a_block_ends_where_another_index_begins_and_a_signature_may_come_in_pieces() -> None:
    parts = ({"text": "hm"}, {"signature": "SI"}, {"signature": "G=="})
    told = [delta(0, reasoningContent=part) for part in (*parts, {"signature": "SIG=="})]
    rest = delta(1, text="a") + delta(2, text="b") + STOPPED
    in_pieces = _stream(ANTHROPIC, START + b"".join(told[:3]) + rest)
    blocks = [event["content_block"]["type"] for event in parsed(in_pieces) if "content_block" in event]

    assert blocks == ["thinking", "text", "text"]
    assert in_pieces == _stream(ANTHROPIC, START + told[0] + told[3] + rest)


def test_the_usage_may_come_before_the_end() -> None:
    chunks = parsed(_stream(OPENAI, START + METADATA + delta(0, text="a") + STOPPED))

    assert [choice["delta"].get("content") for chunk in chunks[:-1] for choice in chunk["choices"]][1] == "a"
    assert chunks[-1] == "[DONE]"


def test_counters_of_the_cache_have_several_names_and_times() -> None:
    usage = {
        "inputTokens": 1,
        "outputTokens": 2,
        "cacheReadInputTokenCount": 3,
        "cacheWriteInputTokens": 4,
        "cacheDetails": [{"ttl": "5m", "inputTokens": 1}, {"ttl": "1h", "inputTokens": 3}],
    }
    openai, anthropic = (
        json.loads(_whole(client, answer({"text": "a"}, usage=usage)).body)["usage"] for client in (OPENAI, ANTHROPIC)
    )

    assert (openai["prompt_tokens"], openai["completion_tokens"]) == (8, 2)
    assert openai["prompt_tokens_details"] == {"cached_tokens": 3, "cache_write_tokens": 4}
    assert (anthropic["input_tokens"], anthropic["cache_read_input_tokens"]) == (1, 3)
    assert anthropic["cache_creation"] == {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 3}


@table("told", ["END", {"value": "END"}])
def test_the_stop_sequence_is_that_of_the_model_s_own_fields(told: object) -> None:
    document = answer({"text": "a"}, reason="stop_sequence", additionalModelResponseFields={"stop_sequence": told})
    found = json.loads(_whole(ANTHROPIC, document).body)

    assert (found["stop_reason"], found["stop_sequence"]) == ("stop_sequence", "END")


# Errors


# The API reference's, Converse and ConverseStream, and the common errors of AWS.
EXCEPTIONS = {
    "validationException": 400,
    "serviceQuotaExceededException": 400,
    "unrecognizedClientException": 403,
    "accessDeniedException": 403,
    "resourceNotFoundException": 404,
    "modelTimeoutException": 408,
    "modelErrorException": 424,
    "modelStreamErrorException": 424,
    "throttlingException": 429,
    "modelNotReadyException": 429,
    "internalServerException": 500,
    "serviceUnavailableException": 503,
}


@table(("name", "status"), EXCEPTIONS.items())
def test_an_exception_in_a_stream_has_the_status_of_its_name(name: str, status: int) -> None:
    assert converse_answers.exception(b'{"message":"why"}', name) == Fault(status, "why", name)


@table(
    ("status", "fields", "document", "code", "message"),
    [
        (400, b"ValidationException:http://internal.amazon.com/x/", {"message": "m"}, "ValidationException", "m"),
        (403, b"AccessDeniedException", {"Message": "m"}, "AccessDeniedException", "m"),
        (429, b"ThrottlingException", {"message": "m"}, "ThrottlingException", "m"),
        (424, b"", {"message": "m", "originalStatusCode": 500}, "", "m"),
        (
            400,
            b"ValidationException",
            {"message": "Input is too long for requested model."},
            "context_length_exceeded",
            "too long",
        ),
        (503, b"ServiceUnavailableException", b"<html>", "ServiceUnavailableException", "no message"),
        (
            400,
            b"",
            {"__type": "com.amazon.coral#ThrottlingException", "Message": "slow"},
            "ThrottlingException",
            "slow",
        ),
        (424, b"ModelErrorException", {"originalMessage": "inner"}, "ModelErrorException", "inner"),
        (400, b"", {"message": "prompt is too long: 9 > 8"}, "context_length_exceeded", "9 > 8"),
    ],
)
def test_an_error_keeps_its_status_name_and_request_id(
    status: int, fields: bytes, document: Any, code: str, message: str
) -> None:
    named = (*JSON_FIELDS, (b"x-amzn-ErrorType", fields), (b"x-amzn-RequestId", b"r-1"))
    openai = _whole(OPENAI, document, status, fields=named)
    anthropic = _whole(ANTHROPIC, document, status, fields=named)
    error = json.loads(openai.body)["error"]

    assert (openai.status, anthropic.status) == (status, status)
    assert error["code"] == (code or "provider_error")
    assert message in error["message"]
    assert json.loads(anthropic.body)["type"] == "error"
    assert (openai.headers["x-request-id"], anthropic.headers["request-id"]) == ("r-1", "r-1")


@table(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b'{"output":1}',
        b'{"output":{"message":{"content":[{"text":1}]}}}',
        b'{"output":{"message":{}}}',
        b'{"output":{"message":{"content":[]}},"usage":1}',
    ],
)
def test_an_answer_that_cannot_be_read_is_an_error(body: bytes) -> None:
    assert _whole(OPENAI, body).status == 502


def test_a_request_that_was_sent_is_read_as_a_conversation_and_its_stream_too() -> None:
    said = [
        {"type": "thinking", "thinking": "hm", "signature": "SIG=="},
        {"type": "tool_use", "id": "tooluse_1", "name": "f", "input": {"x": 1}},
    ]
    source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    result = {"type": "tool_result", "tool_use_id": "tooluse_1", "content": "r", "is_error": True}
    document = {
        **anthropic_request(
            *HELLO,
            {"role": "assistant", "content": said},
            {"role": "user", "content": [result, {"type": "image", "source": source}]},
            system="s",
        ),
        "model": CLAUDE_ID,
    }
    body = rewritten(ANTHROPIC, document, BEDROCK).body
    turns = converse_requests.read(body).turns

    assert [turn.role for turn in turns] == ["system", "user", "assistant", "user"]
    assert turns[2].blocks == (Thinking("hm"), Call("tooluse_1", "f", '{"x": 1}'))
    assert turns[3].blocks == (Result("tooluse_1", (Text("r"),), True), Media("image", "image/png", "AAAA"))
    shown = conversation.lines("POST", "/model/m/converse-stream", body, STREAM)
    assert shown[-3:] == ["assistant: Hé😀 data: x", 'call: f {"x":1}', "call: g {}"]
    assert conversation.lines("POST", "/model/m/converse", body, encoded(answer({"text": "a"})))[-1] == "assistant: a"
    assert conversation.lines("POST", "/model/m/converse", b'{"messages":1}', None) == []
