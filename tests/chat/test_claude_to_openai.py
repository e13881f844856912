"""A request of Anthropic's Messages becomes a chat completions one, as the provider's row says."""

from __future__ import annotations

import json
from typing import Any

from mitm_ai_proxy.chat.dialects import ANTHROPIC
from mitm_ai_proxy.chat.target import Target
from tests.chat.exchanges import HELLO, OTHER, Json, anthropic_request, notes_of, refused, rewritten, to_other
from tests.tables import table

TOOL = {"name": "f", "description": "d", "input_schema": {"type": "object"}}
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}}
MARK = {"cache_control": {"type": "ephemeral"}}


def _text(text: str, **members: Any) -> Json:
    return {"type": "text", "text": text, **members}


def _user(*content: Json) -> Json:
    return {"role": "user", "content": list(content)}


def _assistant(*content: Json) -> Json:
    return {"role": "assistant", "content": list(content)}


def _use(id: str, **input: Any) -> Json:
    return {"type": "tool_use", "id": id, "name": "f", "input": input}


def _result(id: str, content: Any = None, **members: Any) -> Json:
    found = {"type": "tool_result", "tool_use_id": id, **members}
    return found if content is None else {**found, "content": content}


def _function(id: str, arguments: str = "{}") -> Json:
    return {"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}}


def test_a_plain_request_keeps_its_model_its_limit_and_its_words() -> None:
    assert to_other() == {"model": "m", "messages": HELLO, "max_tokens": 100}


@table(
    ("system", "content"),
    [
        ("s", "s"),
        ([_text("a"), _text("b", **MARK)], "a\n\nb"),
        (
            "x-anthropic-billing-header: a=1; cch=x; b=2;",
            "x-anthropic-billing-header: a=1; b=2;",
        ),
        ("x-anthropic-billing-header: a=1; cch=x\nYou are", "x-anthropic-billing-header: a=1\nYou are"),
        ("Not x-anthropic-billing-header: a=1; cch=x", "Not x-anthropic-billing-header: a=1; cch=x"),
    ],
)
def test_the_system_prompt_is_the_first_message(system: object, content: str) -> None:
    assert to_other(system=system)["messages"] == [{"role": "system", "content": content}, *HELLO]


def test_a_system_message_in_the_middle_keeps_its_place() -> None:
    found = to_other(*HELLO, {"role": "system", "content": "now"}, {"role": "user", "content": "go"})["messages"]

    assert [message["role"] for message in found] == ["user", "system", "user"]


@table(
    ("blocks", "content"),
    [
        ([_text("a")], "a"),
        ([_text("a"), _text("b")], [_text("a"), _text("b")]),
        (
            [PICTURE, _text("a")],
            [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}, _text("a")],
        ),
        (
            [{"type": "image", "source": {"type": "url", "url": "https://a.test/b"}}],
            [{"type": "image_url", "image_url": {"url": "https://a.test/b"}}],
        ),
        (
            [
                {
                    "type": "document",
                    "title": "t.pdf",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "QQ"},
                }
            ],
            [{"type": "file", "file": {"filename": "t.pdf", "file_data": "data:application/pdf;base64,QQ"}}],
        ),
        (
            [{"type": "document", "title": "t", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}],
            [_text("t\n\nx")],
        ),
        (
            [{"type": "document", "source": {"type": "content", "content": [_text("x"), _text("y")]}}],
            [_text("x\n\ny")],
        ),
        (
            [{"type": "search_result", "source": "https://a.test", "title": "t", "content": [_text("x")]}],
            [_text("t\n\nhttps://a.test\n\nx")],
        ),
    ],
)
def test_blocks_of_the_user_s_are_parts(blocks: list[Json], content: object) -> None:
    assert to_other(_user(*blocks))["messages"] == [{"role": "user", "content": content}]


def test_calls_and_results_are_messages_of_their_own_and_what_the_user_says_follows() -> None:
    found = to_other(
        *HELLO,
        _assistant(_text("a"), _use("i", x=1), _text("b"), _use("j")),
        _user(_text("hm"), _result("j", "two"), _result("i", [_text("one"), _text("more")]), _result("k")),
    )["messages"]

    assert found[1:] == [
        {"role": "assistant", "content": "a\n\nb", "tool_calls": [_function("i", '{"x": 1}'), _function("j")]},
        {"role": "tool", "tool_call_id": "j", "content": "two"},
        {"role": "tool", "tool_call_id": "i", "content": "one\n\nmore"},
        {"role": "tool", "tool_call_id": "k", "content": ""},
        {"role": "user", "content": "hm"},
    ]


@table(
    ("result", "content"),
    [
        (_result("i", "boom", is_error=True), "Error: boom"),
        (_result("i", "Error: boom", is_error=True), "Error: boom"),
        (_result("i", is_error=True), "Error"),
        (_result("i", "boom", is_error=False), "boom"),
    ],
)
def test_a_tool_s_failure_is_said_in_its_result(result: Json, content: str) -> None:
    assert to_other(*HELLO, _assistant(_use("i")), _user(result))["messages"][2]["content"] == content


def test_a_picture_in_a_result_follows_in_a_message_of_the_user_s() -> None:
    request = anthropic_request(*HELLO, _assistant(_use("i")), _user(_result("i", [_text("a"), PICTURE]), _text("hm")))

    found = json.loads(rewritten(ANTHROPIC, request, OTHER).body)["messages"]

    assert found[2] == {"role": "tool", "tool_call_id": "i", "content": "a"}
    assert [part["type"] for part in found[3]["content"]] == ["text", "image_url", "text"]
    assert "i" in found[3]["content"][0]["text"]
    assert any("pictures" in note for note in notes_of(ANTHROPIC, request, OTHER))


def test_the_bytes_of_arguments_and_schemas_are_kept() -> None:
    input = b'{ "big": 12345678901234567890123, "exact": 1.10, "text": "\\u00e9\\/" }'
    schema = b'{"type":"object","a": { "maximum": 9007199254740993, "default":1.0 }}'
    body = b'{"model":"m","max_tokens":9,"messages":%b,"tools":[{"name":"f","input_schema":%b}],"temperature":0.70}' % (
        b'[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","id":"i","name":"f","input":%b}]}]'
        % input,
        schema,
    )

    written = rewritten(ANTHROPIC, body, OTHER).body

    assert json.loads(written)["messages"][1]["tool_calls"][0]["function"]["arguments"].encode() == input
    assert b'"parameters":' + schema in written
    assert b'"temperature":0.70' in written


@table(
    ("members", "written"),
    [
        ({"tool_choice": {"type": "auto"}}, {"tool_choice": "auto"}),
        ({"tool_choice": {"type": "any"}}, {"tool_choice": "required"}),
        ({"tool_choice": {"type": "none"}}, {"tool_choice": "none"}),
        (
            {"tool_choice": {"type": "tool", "name": "f"}},
            {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        ),
        (
            {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
            {"tool_choice": "auto", "parallel_tool_calls": False},
        ),
        (
            {"tool_choice": {"type": "any", "disable_parallel_tool_use": False}},
            {"tool_choice": "required", "parallel_tool_calls": True},
        ),
    ],
)
def test_tools_and_their_choice_are_said_in_openai_s_words(members: Json, written: Json) -> None:
    function = {"name": "f", "description": "d", "parameters": {"type": "object"}}

    assert to_other(tools=[TOOL], **members) == to_other() | {
        "tools": [{"type": "function", "function": function}],
        **written,
    }


@table(
    ("members", "written"),
    [
        ({"stop_sequences": ["a", "b"]}, {"stop": ["a", "b"]}),
        ({"temperature": 0, "top_p": 1}, {"temperature": 0, "top_p": 1}),
        ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
        ({"metadata": {"user_id": "u"}}, {"user": "u"}),
        ({"metadata": {"user_id": "u" * 65}}, {}),
        ({"service_tier": "auto"}, {}),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {"a": 1}}}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": {"a": 1}, "strict": True},
                }
            },
        ),
    ],
)
def test_settings_are_said_in_openai_s_words(members: Json, written: Json) -> None:
    assert to_other(**members) == to_other() | written


def test_the_format_of_an_answer_is_read_where_beta_versions_have_it() -> None:
    format = {"type": "json_schema", "schema": {"a": 1}}

    assert to_other(output_format=format) == to_other(output_config={"format": format})


ADAPTIVE = {"thinking": {"type": "adaptive"}}


def _budget(tokens: int) -> Json:
    return {"thinking": {"type": "enabled", "budget_tokens": tokens}}


@table(
    ("model", "members", "effort"),
    [
        ("gpt-5.2", _budget(2000), "low"),
        ("gpt-5.2", _budget(4096), "medium"),
        ("gpt-5.2", _budget(16384), "high"),
        ("gpt-5.2", {**ADAPTIVE, "output_config": {"effort": "xhigh"}}, "xhigh"),
        ("gpt-5.2", {**ADAPTIVE, "output_config": {"effort": "max"}}, "xhigh"),
        ("gpt-5.2", {"output_config": {"effort": "low"}}, "low"),
        ("gpt-5.2", ADAPTIVE, "medium"),
        ("gpt-5.2", {"thinking": {"type": "disabled"}}, "none"),
        ("gpt-5.1", {"output_config": {"effort": "max"}}, "high"),
        ("gpt-5.1-codex-max", {"output_config": {"effort": "max"}}, "xhigh"),
        ("gpt-5-mini", {"thinking": {"type": "disabled"}}, "minimal"),
        ("gpt-5-pro", _budget(2000), "high"),
        ("gpt-5-chat-latest", ADAPTIVE, None),
        ("gpt-4o", ADAPTIVE, None),
        ("o3-mini", {"thinking": {"type": "disabled"}}, "low"),
        ("o1-mini", ADAPTIVE, None),
        ("openai/gpt-oss-120b", {"output_config": {"effort": "max"}}, "high"),
        ("grok-3-mini", ADAPTIVE, "low"),
        ("grok-4-fast-reasoning", ADAPTIVE, None),
        ("grok-4.3", ADAPTIVE, "medium"),
        ("llama-3.3-70b-versatile", _budget(2000), None),
        ("m", {}, None),
    ],
)
def test_effort_is_said_to_models_that_take_it_by_the_nearest_word(
    model: str, members: Json, effort: str | None
) -> None:
    plain = to_other(model=model)

    assert to_other(model=model, **members) == (plain if effort is None else plain | {"reasoning_effort": effort})


THINKS = _budget(5000)
SILENT = {"thinking": {"type": "disabled"}}


@table(
    ("target", "members", "written"),
    [
        (Target(max_tokens="max_completion_tokens"), {}, {"max_completion_tokens": 100}),
        (Target(most_tokens=99), {}, {"max_tokens": 99}),
        (Target(most_tokens=100), {}, {"max_tokens": 100}),
        (Target(options=frozenset({"top_k"})), {"top_k": 3}, {"max_tokens": 100, "top_k": 3}),
        (Target(counts_streams=False), {"stream": True}, {"max_tokens": 100, "stream": True}),
        (Target(reasoning="thinking"), THINKS, {"max_tokens": 100, "thinking": {"type": "enabled"}}),
        (Target(reasoning="thinking"), SILENT, {"max_tokens": 100, "thinking": {"type": "disabled"}}),
        (Target(reasoning="enable"), THINKS, {"max_tokens": 100, "enable_thinking": True, "thinking_budget": 5000}),
        (Target(reasoning="enable"), SILENT, {"max_tokens": 100, "enable_thinking": False}),
        (Target(reasoning="none"), THINKS, {"max_tokens": 100}),
    ],
)
def test_a_provider_s_row_says_what_it_calls_things(target: Target, members: Json, written: Json) -> None:
    assert to_other(target=target, **members) == {"model": "m", "messages": HELLO, **written}


THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "s"}
REDACTED = {"type": "redacted_thinking", "data": "s"}


@table(
    ("back", "blocks", "thought"),
    [
        ("never", [THOUGHT, _text("a"), _use("i")], None),
        ("calls", [THOUGHT, _text("a"), _use("i")], "hm"),
        ("calls", [THOUGHT, THOUGHT, _use("i")], "hm\n\nhm"),
        ("calls", [THOUGHT, _text("a")], None),
        ("calls", [REDACTED, _use("i")], ""),
        ("calls", [_use("i")], ""),
        ("always", [THOUGHT, _text("a")], "hm"),
        ("always", [_text("a")], None),
    ],
)
def test_thinking_goes_back_as_the_provider_s_row_says_and_no_seal_does(
    back: Any, blocks: list[Json], thought: str | None
) -> None:
    message = to_other(*HELLO, _assistant(*blocks), target=Target(reasoning_back=back))["messages"][1]

    assert message.get("reasoning_content") == thought
    assert "signature" not in json.dumps(message)


@table(
    ("cache", "part"),
    [
        ("none", None),
        ("control", {"cache_control": {"type": "ephemeral", "ttl": "1h"}}),
        ("breakpoint", {"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}}),
    ],
)
def test_cache_marks_are_written_as_the_provider_s_row_says(cache: Any, part: Json | None) -> None:
    marked = _text("a", cache_control={"type": "ephemeral", "ttl": "1h"})

    (message,) = to_other(_user(marked), target=Target(cache=cache))["messages"]

    assert message["content"] == ("a" if part is None else [{**_text("a"), **part}])


@table(
    ("members", "note"),
    [
        ({"top_k": 3}, "top_k left out"),
        ({"speed": "fast"}, "speed left out"),
        ({"context_management": {"edits": []}}, "context_management left out"),
        ({"unheard_of": 1}, "unheard_of left out"),
        ({"metadata": {"user_id": "u" * 65}}, "the user's id left out"),
        ({"thinking": {"type": "disabled"}}, "reasoning_effort none left out: m takes none"),
        ({"system": [_text("a", **MARK)]}, "cache marks left out"),
        ({"messages": [*HELLO, _assistant({"type": "server_tool_use", "id": "x"}, _text("a"))]}, "server_tool_use"),
        ({"messages": [*HELLO, _assistant(THOUGHT, _text("a"))]}, "thinking of earlier turns left out"),
    ],
)
def test_what_the_provider_cannot_say_leaves_a_note(members: Json, note: str) -> None:
    (found,) = notes_of(ANTHROPIC, anthropic_request() | members, OTHER)

    assert note in found


def test_a_limit_that_is_lowered_leaves_a_note() -> None:
    (note,) = notes_of(ANTHROPIC, anthropic_request(), OTHER._replace(most_tokens=99))
    assert "99" in note
    assert notes_of(ANTHROPIC, anthropic_request(), OTHER._replace(most_tokens=100)) == ()


@table(
    ("members", "param"),
    [
        ({"mcp_servers": [{}]}, "mcp_servers"),
        ({"container": "c"}, "container"),
        ({"tools": [TOOL, {"type": "web_search_20260318", "name": "web_search"}]}, "tools[1].type"),
        (
            {"messages": [_user({"type": "image", "source": {"type": "file", "file_id": "x"}})]},
            "messages[0].content[0].source",
        ),
        (
            {"messages": [_user({"type": "document", "source": {"type": "url", "url": "https://a.test"}})]},
            "messages[0].content[0].source",
        ),
    ],
)
def test_what_the_provider_cannot_take_is_refused_by_its_place(members: Json, param: str) -> None:
    assert refused(ANTHROPIC, anthropic_request() | members, OTHER).param == param


def test_a_document_s_link_goes_to_a_provider_that_takes_links() -> None:
    block = {"type": "document", "source": {"type": "url", "url": "https://a.test/b.pdf"}}

    (message,) = to_other(_user(block), target=Target(has_document_links=True))["messages"]

    assert message["content"][0]["file"]["file_data"] == "https://a.test/b.pdf"
