"""A chat completions request becomes one of Messages, as each model of Claude's takes it."""

from __future__ import annotations

import json
from typing import Any

from mitm_ai_proxy.chat.dialects import OPENAI
from mitm_ai_proxy.chat.target import CLAUDE
from tests.chat.exchanges import MODEL, TOOL, Json, notes_of, openai_request, refused, rewritten, to_claude
from tests.tables import table

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def _call(id: str, name: str, arguments: str = "{}") -> Json:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _user(content: Any) -> Json:
    return {"role": "user", "content": content}


def _assistant(content: Any = None, *calls: Json, **members: Any) -> Json:
    return {"role": "assistant", "content": content, **({"tool_calls": list(calls)} if calls else {}), **members}


def _tool(id: str, content: Any) -> Json:
    return {"role": "tool", "tool_call_id": id, "content": content}


def test_a_plain_request_is_one_of_messages_with_the_limit_that_claude_needs() -> None:
    assert to_claude() == {"model": MODEL, "max_tokens": 4096, "messages": [{"role": "user", "content": "hello"}]}


@table(
    ("messages", "system", "count"),
    [
        ([], None, 1),
        ([{"role": "system", "content": "a"}], "a", 1),
        ([{"role": "developer", "content": [{"type": "text", "text": "a"}]}], "a", 1),
        ([{"role": "system", "content": ""}], None, 1),
        (
            [{"role": "system", "content": "a"}, {"role": "developer", "content": "b"}],
            [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            1,
        ),
        (
            [
                {"role": "system", "content": "a"},
                _user("x"),
                _assistant("y"),
                {"role": "system", "content": [{"type": "text", "text": "b"}, {"type": "text", "text": "c"}]},
            ],
            [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, {"type": "text", "text": "c"}],
            3,
        ),
    ],
)
def test_system_messages_are_the_system_prompt_wherever_they_stand(
    messages: list[Json], system: object, count: int
) -> None:
    document = to_claude(*messages, _user("hello"))

    assert document.get("system") == system
    assert len(document["messages"]) == count


@table(
    ("messages", "system"),
    [
        ([], [{"type": "text", "text": "You are.", "cache_control": {"type": "ephemeral"}}]),
        ([{"role": "system", "content": "s"}], [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]),
    ],
)
def test_a_provider_may_have_a_system_prompt_of_its_own_and_mark_it(messages: list[Json], system: object) -> None:
    target = CLAUDE._replace(default_system="You are.", caches_system=True)

    document = json.loads(rewritten(OPENAI, openai_request(*messages, _user("a")), target).body)

    assert document["system"] == system


@table(
    ("content", "written"),
    [
        ("a", "a"),
        ([{"type": "text", "text": "a"}], "a"),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": " "}], "a"),
        ([PICTURE], [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}]),
        (
            [{"type": "image_url", "image_url": {"url": "data:image/JPG;base64,AA==", "detail": "low"}}],
            [{"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "AA=="}}],
        ),
        (
            [{"type": "image_url", "image_url": {"url": "https://a.test/b.png?c=d"}}],
            [{"type": "image", "source": {"type": "url", "url": "https://a.test/b.png?c=d"}}],
        ),
        (
            [{"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QQ=="}}],
            [
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "QQ=="},
                    "title": "a.pdf",
                }
            ],
        ),
        (
            [{"type": "file", "file": {"file_data": "QQ=="}}],
            [{"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "QQ=="}}],
        ),
        (
            [{"type": "file", "file": {"filename": "a.md", "file_data": "w6k="}}],
            [
                {
                    "type": "document",
                    "source": {"type": "text", "media_type": "text/plain", "data": "é"},
                    "title": "a.md",
                }
            ],
        ),
        (
            [{"type": "file", "file": {"file_data": "https://a.test/b.pdf"}}],
            [{"type": "document", "source": {"type": "url", "url": "https://a.test/b.pdf"}}],
        ),
        (
            [{"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}}],
            [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}],
        ),
        (
            [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
            [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        ),
    ],
)
def test_the_parts_of_a_user_s_message_are_blocks(content: object, written: object) -> None:
    assert to_claude(_user(content))["messages"] == [{"role": "user", "content": written}]


def test_all_results_of_a_turn_are_in_one_user_message_and_before_what_the_user_says() -> None:
    messages = to_claude(
        _user("go"),
        _assistant("", _call("a", "f", '{"x": 1.50}'), _call("b", "g", "")),
        _tool("b", "two"),
        _user("hm"),
        _tool("a", [{"type": "text", "text": "one"}]),
    )["messages"]

    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert messages[1]["content"] == [
        {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1.5}},
        {"type": "tool_use", "id": "b", "name": "g", "input": {}},
    ]
    assert messages[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "b", "content": "two"},
        {"type": "tool_result", "tool_use_id": "a", "content": "one"},
        {"type": "text", "text": "hm"},
    ]


def test_a_picture_in_a_result_stays_in_it() -> None:
    messages = to_claude(_user("go"), _assistant("", _call("a", "f")), _tool("a", [PICTURE]))["messages"]

    assert messages[2]["content"][0]["content"][0]["type"] == "image"


def test_numbers_and_escapes_of_arguments_and_schemas_are_kept_byte_by_byte() -> None:
    arguments = '{ "big": 12345678901234567890123, "exact": 1.10, "e": 1E400, "text": "\\u00e9\\/" }'
    schema = b'{ "type":"object", "properties": {"a": {"maximum": 9007199254740993, "default": 1.0, "$x": "\\u00e9"}} }'
    body = b'{"model":"claude-sonnet-4-5","messages":%b,"tools":[%b],"temperature":0.70,"response_format":%b}' % (
        json.dumps([_user("go"), _assistant(None, _call("a", "f", arguments)), _tool("a", "x")]).encode(),
        b'{"type":"function","function":{"name":"f","parameters":%b}}' % schema,
        b'{"type":"json_schema","json_schema":{"name":"n","schema":%b}}' % schema,
    )

    written = rewritten(OPENAI, body, CLAUDE).body

    assert b'"input":' + arguments.encode() + b"}" in written
    assert written.count(schema) == 2
    assert b'"temperature":0.70' in written


@table(
    ("arguments", "input"),
    [
        ("", {}),
        (" ", {}),
        ("{}", {}),
        ('{"a": 1', {"INVALID_JSON": '{"a": 1'}),
        ("[1]", {"INVALID_JSON": "[1]"}),
        ('"a"', {"INVALID_JSON": '"a"'}),
    ],
)
def test_arguments_that_are_no_object_are_sent_in_the_form_that_anthropic_gives_for_them(
    arguments: str, input: object
) -> None:
    messages = to_claude(_user("go"), _assistant(None, _call("a", "f", arguments)), _tool("a", ""))["messages"]

    assert messages[1]["content"][0]["input"] == input


def test_an_id_that_claude_would_refuse_is_written_as_one_that_it_takes_in_call_and_result_alike() -> None:
    messages = to_claude(_user("go"), _assistant(None, _call("functions.f:0", "f")), _tool("functions.f:0", "x"))[
        "messages"
    ]
    id = messages[1]["content"][0]["id"]

    assert id.replace("-", "").replace("_", "").isalnum()
    assert messages[2]["content"][0]["tool_use_id"] == id


@table(
    ("tool", "schema"),
    [
        ({}, {"type": "object", "properties": {}}),
        ({"parameters": None}, {"type": "object", "properties": {}}),
        ({"parameters": {}}, {"type": "object"}),
        ({"parameters": {"properties": {}}}, {"type": "object", "properties": {}}),
        ({"parameters": {"type": "object", "x": 1}}, {"type": "object", "x": 1}),
    ],
)
def test_a_tool_has_a_schema_of_an_object(tool: Json, schema: Json) -> None:
    document = to_claude(tools=[{"type": "function", "function": {"name": "f", "description": "d", **tool}}])

    assert document["tools"] == [{"name": "f", "description": "d", "input_schema": schema}]


@table(
    ("members", "choice"),
    [
        ({}, None),
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": "none"}, {"type": "none"}),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, {"type": "tool", "name": "f"}),
        ({"parallel_tool_calls": True}, None),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        (
            {"tool_choice": "required", "parallel_tool_calls": False},
            {"type": "any", "disable_parallel_tool_use": True},
        ),
    ],
)
def test_the_choice_of_a_tool_is_said_in_claude_s_words(members: Json, choice: object) -> None:
    assert to_claude(tools=[TOOL], **members).get("tool_choice") == choice


@table(("mode", "choice"), [("auto", {"type": "auto"}), ("required", {"type": "any"})])
def test_only_the_allowed_tools_are_sent(mode: str, choice: Json) -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in "fgh"]
    allowed = {"mode": mode, "tools": [{"type": "function", "function": {"name": name}} for name in "fh"]}

    document = to_claude(tools=tools, tool_choice={"type": "allowed_tools", "allowed_tools": allowed})

    assert [tool["name"] for tool in document["tools"]] == ["f", "h"]
    assert document["tool_choice"] == choice


def test_a_choice_without_tools_is_left_out() -> None:
    document = to_claude(tool_choice="auto", parallel_tool_calls=False)

    assert "tool_choice" not in document
    assert "tools" not in document


@table(
    ("members", "written"),
    [
        ({"stop": "a"}, {"stop_sequences": ["a"]}),
        ({"stop": ["a", " ", "b"]}, {"stop_sequences": ["a", "b"]}),
        ({"stop": []}, {}),
        ({"stop": None}, {}),
        ({"stream": True}, {"stream": True}),
        ({"stream": False}, {}),
        ({"user": "u"}, {"metadata": {"user_id": "u"}}),
        ({"max_tokens": 7}, {"max_tokens": 7}),
        ({"max_tokens": 7, "max_completion_tokens": 9}, {"max_tokens": 9}),
        ({"temperature": 0}, {"temperature": 0}),
        ({"temperature": 2}, {"temperature": 1}),
        ({"top_p": 0.5}, {"top_p": 0.5}),
        ({"top_k": 3}, {"top_k": 3}),
        ({"n": 1, "logprobs": False, "modalities": ["text"], "temperature": None}, {}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"a": 1}}}},
            {"output_config": {"format": {"type": "json_schema", "schema": {"a": 1}}}},
        ),
        ({"response_format": {"type": "text"}}, {}),
        ({"response_format": {"type": "json_object"}}, {}),
    ],
)
def test_settings_are_said_in_claude_s_words(members: Json, written: Json) -> None:
    assert to_claude(**members) == to_claude() | written


@table(
    ("members", "note"),
    [
        ({"seed": 1}, "seed left out"),
        ({"presence_penalty": 0.5}, "presence_penalty left out"),
        ({"logit_bias": {"1": 2}}, "logit_bias left out"),
        ({"unheard_of": 1}, "unheard_of left out"),
        ({"temperature": 1.5}, "temperature is 1"),
        ({"stop": ["a", "\n"]}, "stop sequences of blanks"),
        ({"response_format": {"type": "json_object"}}, "json_object left out"),
    ],
)
def test_what_claude_cannot_say_leaves_a_note(members: Json, note: str) -> None:
    (found,) = notes_of(OPENAI, openai_request(**members), CLAUDE)

    assert note in found


@table(
    ("member", "value"),
    [
        ("n", 1),
        ("logprobs", False),
        ("top_logprobs", 0),
        ("modalities", ["text"]),
        ("logit_bias", {}),
        ("metadata", {}),
        ("presence_penalty", 0),
        ("frequency_penalty", 0.0),
        ("verbosity", "medium"),
        ("store", False),
        ("service_tier", "auto"),
    ],
)
def test_what_means_nothing_special_is_left_out_without_a_word(member: str, value: object) -> None:
    assert to_claude(**{member: value}) == to_claude()
    assert notes_of(OPENAI, openai_request(**{member: value}), CLAUDE) == ()


@table("member", ["seed", "temperature", "stop", "tools", "user", "unheard_of"])
def test_a_null_is_as_a_member_that_is_missing(member: str) -> None:
    request = openai_request(**{member: None})

    assert to_claude(**{member: None}) == to_claude()
    assert notes_of(OPENAI, request, CLAUDE) == ()


def test_of_more_cache_marks_than_claude_takes_the_last_four_are_kept() -> None:
    parts = [{"type": "text", "text": str(i), "cache_control": {"type": "ephemeral"}} for i in range(6)]

    content = to_claude({"role": "system", "content": parts[:2]}, _user(parts[2:]))

    assert [block for block in content["system"] if "cache_control" in block] == []
    assert all("cache_control" in block for block in content["messages"][0]["content"])


def test_a_turn_that_says_nothing_is_left_out_and_its_neighbours_are_one() -> None:
    messages = to_claude(_user("a"), _assistant(""), _user("b"))["messages"]

    assert messages == [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]


@table(
    ("messages", "param"),
    [
        ([_assistant("a"), _user("b")], "messages[0]"),
        ([{"role": "system", "content": "s"}, _assistant("a")], "messages[1]"),
        ([{"role": "system", "content": "s"}], "messages"),
        ([_user("")], "messages"),
        ([_user([{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}])], None),
        ([_user([{"type": "file", "file": {"file_id": "file-1"}}])], "messages[0].content[0].file.file_id"),
        (
            [_user([{"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AA"}}])],
            "messages[0].content[0].image_url.url",
        ),
        (
            [_user([{"type": "file", "file": {"file_data": "data:application/zip;base64,AA"}}])],
            "messages[0].content[0].file.file_data",
        ),
    ],
)
def test_what_claude_cannot_take_is_refused_by_its_place(messages: list[Json], param: str | None) -> None:
    found = refused(OPENAI, openai_request(*messages), CLAUDE).param

    assert found == (param or "messages[0].content[0].input_audio")


@table(
    ("member", "value"),
    [
        ("n", 2),
        ("logprobs", True),
        ("modalities", ["text", "audio"]),
        ("audio", {"voice": "alloy", "format": "wav"}),
        ("web_search_options", {}),
        ("top_logprobs", 2),
    ],
)
def test_what_would_change_the_answer_is_refused(member: str, value: object) -> None:
    refusal = refused(OPENAI, openai_request(**{member: value}), CLAUDE)

    assert refusal.param == member
    assert refusal.message.startswith(member)
