"""The simulated chat model: what it answers in both formats, whole and as a stream."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mitm_ai_proxy.simulator.chat import tokens, values
from tests.simulator.chats import ANTHROPIC, OPENAI, SCHEMA, VERSION, Model, anthropic, document, openai
from tests.tables import table

ENABLED = {"type": "enabled", "budget_tokens": 1024}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


@pytest.fixture(scope="module")
def model() -> Model:
    """A model that answers at once."""
    return Model()


def _openai(model: Model, body: dict[str, Any]) -> tuple[str, str, list[tuple[str, str]], str]:
    """Thoughts, text, calls and finish reason of an answer, which is the same as a stream."""
    whole = model.answer(OPENAI, body)
    (choice,) = whole["choices"]
    message = choice["message"]
    calls = [(call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls", ())]
    found = message.get("reasoning_content", ""), message["content"] or "", calls, choice["finish_reason"]
    assert _of_stream(model, body, whole) == found
    return found


def _of_stream(model: Model, body: dict[str, Any], whole: Any) -> tuple[str, str, list[tuple[str, str]], str]:
    *chunks, last, usage, done = model.events(OPENAI, {**body, "stream_options": {"include_usage": True}})
    assert done == "[DONE]"
    assert (usage["choices"], usage["usage"]) == ([], whole["usage"])
    heads = {(chunk["object"], chunk["id"], chunk["created"]) for chunk in (*chunks, last, usage)}
    assert len(heads) == 1
    assert {chunk["choices"][0]["finish_reason"] for chunk in chunks} == {None}
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    texts = {"reasoning_content": "", "content": ""}
    calls: dict[int, list[str]] = {}
    for chunk in chunks[1:]:
        ((member, value),) = chunk["choices"][0]["delta"].items()
        if member == "tool_calls":
            (call,) = value
            if "id" in call:
                assert (call["index"], call["type"]) == (len(calls), "function")
                calls[call["index"]] = [call["function"]["name"], ""]
            calls[call["index"]][1] += call["function"]["arguments"]
        else:
            texts[member] += value
    thoughts, text = texts.values()
    return (
        thoughts,
        text,
        [(name, arguments) for name, arguments in calls.values()],
        last["choices"][0]["finish_reason"],
    )


def _anthropic(model: Model, body: dict[str, Any]) -> tuple[str, str, list[tuple[str, str]], str]:
    """The same of an answer in Anthropic's format, whose stream holds the same blocks."""
    whole = model.answer(ANTHROPIC, body)
    start, ping, *deltas, end, stop = model.events(ANTHROPIC, body)
    assert (start["type"], ping, stop) == ("message_start", {"type": "ping"}, {"type": "message_stop"})
    assert (start["message"]["content"], start["message"]["stop_reason"]) == ([], None)
    assert start["message"]["usage"]["input_tokens"] == whole["usage"]["input_tokens"]
    assert {**end["delta"], "usage": end["usage"]} == {name: whole[name] for name in (*end["delta"], "usage")}
    blocks: list[Any] = []
    for event in deltas:
        if event["type"] == "content_block_start":
            assert event["index"] == len(blocks)
            blocks.append({**event["content_block"], "arguments": ""})
        elif event["type"] == "content_block_delta":
            block, delta = blocks[-1], event["delta"]
            assert event["index"] == len(blocks) - 1
            kind = delta.pop("type")
            ((name, text),) = delta.items()
            name = "arguments" if kind == "input_json_delta" else name
            block[name] += text
        else:
            assert event == {"type": "content_block_stop", "index": len(blocks) - 1}
    calls = [(block["name"], block["arguments"]) for block in blocks if block["type"] == "tool_use"]
    for block in blocks:
        text = block.pop("arguments")
        if block["type"] == "tool_use":
            block["input"] = json.loads(text)
        if block["type"] == "tool_use":
            block["id"] = whole["content"][blocks.index(block)]["id"]
        if block["type"] == "thinking":
            assert block["signature"]
    assert [block | {"id": 0} for block in blocks] == [block | {"id": 0} for block in whole["content"]]
    found = {kind: "".join(b[kind] for b in blocks if b["type"] == kind) for kind in ("thinking", "text")}
    return found["thinking"], found["text"], calls, whole["stop_reason"]


@table(
    ("messages", "text"),
    [
        (["Hello, you.\n Wie geht's? 你好"], "Hello, you.\n Wie geht's? 你好"),
        (["one", {"role": "assistant", "content": "two"}, "three"], "three"),
        ([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}], "a\nb"),
        (["hi [simulate: slow=2] there"], "hi there"),
        (["one", {"role": "assistant", "content": "two"}], "one"),
    ],
)
def test_the_last_text_of_the_user_is_echoed(model: Model, messages: list[Any], text: str) -> None:
    assert _openai(model, openai(*messages)) == ("", text, [], "stop")
    assert _anthropic(model, anthropic(*messages)) == ("", text, [], "end_turn")


CITY = '{"city": "Paris"}'


@table(
    ("text", "choice", "calls"),
    [
        ("use get_weather city=Paris", None, [("get_weather", CITY)]),
        ("use get_weather with city: Paris.", "auto", [("get_weather", CITY)]),
        ('use get_weather, city="San José"!', None, [("get_weather", '{"city": "San José"}')]),
        ('get_weather({"city":"Paris","x":1.50}) please', None, [("get_weather", '{"city":"Paris","x":1.50}')]),
        ("get_weather({broken", None, [("get_weather", '{"city": "city"}')]),
        ("first get_time, then get_weather, city=Paris", None, [("get_time", CITY), ("get_weather", CITY)]),
        ("my_get_weather and get_weather2", None, []),
        ("use get_weather", "none", []),
        ("whatever", "required", [("get_weather", '{"city": "city"}')]),
        ("get_time city=Paris", "required", [("get_time", CITY)]),
        ("get_weather city=Paris", "get_time", [("get_time", CITY)]),
    ],
)
def test_tools_are_called_that_are_offered_and_asked_for(
    model: Model, text: str, choice: str | None, calls: list[Any]
) -> None:
    more: dict[str, Any] = {}
    words = {"auto": "auto", "none": "none", "required": "any"}
    if choice in words:
        more = {"tool_choice": choice}
        other = {"tool_choice": {"type": words[choice]}}
    elif choice:
        more = {"tool_choice": {"type": "function", "function": {"name": choice}}}
        other = {"tool_choice": {"type": "tool", "name": choice}}
    else:
        other = {}
    said = "" if calls else text

    assert _openai(model, openai(text, tools=True, **more)) == ("", said, calls, "tool_calls" if calls else "stop")
    expected = ("", said, calls, "tool_use" if calls else "end_turn")
    assert _anthropic(model, anthropic(text, tools=True, **other)) == expected


def test_one_tool_is_called_where_only_one_may_be_or_only_one_is_allowed(model: Model) -> None:
    text = "get_weather and get_time"
    found = _openai(model, openai(text, tools=True, parallel_tool_calls=False))
    assert [name for name, _ in found[2]] == ["get_weather"]
    off = {"type": "auto", "disable_parallel_tool_use": True}
    found = _anthropic(model, anthropic(text, tools=True, tool_choice=off))
    assert [name for name, _ in found[2]] == ["get_weather"]
    only = {"mode": "required", "tools": [{"type": "function", "function": {"name": "get_time"}}]}
    choice = {"type": "allowed_tools", "allowed_tools": only}
    found = _openai(model, openai("whatever", tools=True, tool_choice=choice))
    assert [name for name, _ in found[2]] == ["get_time"]


def test_the_results_of_tools_are_the_answer(model: Model) -> None:
    said = "get_weather says: 18 degrees\nget_time failed: no clock"
    text = "get_weather and get_time"
    asked = model.answer(ANTHROPIC, anthropic(text, tools=True))["content"]
    ids = [block["id"] for block in asked]
    assert len(set(ids)) == 2
    results = [
        {"type": "tool_result", "tool_use_id": ids[0], "content": "18 degrees"},
        {"type": "tool_result", "tool_use_id": ids[1], "content": "no clock", "is_error": True},
    ]
    turn = {"role": "assistant", "content": asked}
    body = anthropic(text, turn, {"role": "user", "content": results}, tools=True)
    assert _anthropic(model, body) == ("", said, [], "end_turn")
    reminder = {"type": "text", "text": "<system-reminder>be kind</system-reminder>"}
    body = anthropic(text, turn, {"role": "user", "content": [*results, reminder]}, tools=True)
    assert _anthropic(model, body)[1] == said
    more = {"type": "text", "text": "thanks"}
    body = anthropic(text, turn, {"role": "user", "content": [*results, more]}, tools=True)
    assert _anthropic(model, body)[1] == "thanks"

    message = model.answer(OPENAI, openai(text, tools=True))["choices"][0]["message"]
    answers = [
        {"role": "tool", "tool_call_id": call["id"], "content": content}
        for call, content in zip(message["tool_calls"], ("18 degrees", [{"type": "text", "text": "7"}]), strict=True)
    ]
    found = _openai(model, openai(text, message, *answers, tools=True))
    assert found == ("", "get_weather says: 18 degrees\nget_time says: 7", [], "stop")
    assert _openai(model, openai(text, message, *answers, "thanks", tools=True))[1] == "thanks"


@table(
    "more",
    [
        {"reasoning_effort": "low"},
        {"thinking": {"type": "enabled"}},
        {"reasoning": {"effort": "high"}},
        {"enable_thinking": True},
    ],
)
def test_it_thinks_if_asked_to_as_the_vendors_of_openais_format_have_it(model: Model, more: Any) -> None:
    found = _openai(model, openai("hello", **more))

    assert found == ("The user says: hello I shall say it again.", "hello", [], "stop")
    usage = model.answer(OPENAI, openai("hello", **more))["usage"]
    thought = usage["completion_tokens_details"]["reasoning_tokens"]
    assert 0 < thought == usage["completion_tokens"] - 1


@table("more", [{}, {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}, {"enable_thinking": False}])
def test_it_does_not_think_otherwise(model: Model, more: Any) -> None:
    assert _openai(model, openai("hello", **more))[0] == ""


@table("thinking", [ENABLED, {"type": "adaptive"}, {"type": "adaptive", "display": "omitted"}])
def test_thoughts_carry_a_signature_that_is_checked_when_they_come_back(model: Model, thinking: Any) -> None:
    body = anthropic("get_weather city=Paris", tools=True, thinking=thinking)
    thoughts, _, calls, _ = _anthropic(model, body)
    assert thoughts == ("" if thinking.get("display") else "I need get_weather for this.")
    assert calls == [("get_weather", CITY)]
    asked = model.answer(ANTHROPIC, body)["content"]
    result = {"type": "tool_result", "tool_use_id": asked[1]["id"], "content": "18"}

    def again(first: Any) -> Any:
        turn = {"role": "assistant", "content": [first, asked[1]]}
        body = anthropic(
            "get_weather city=Paris", turn, {"role": "user", "content": [result]}, tools=True, thinking=thinking
        )
        return model.post(ANTHROPIC, body)

    assert document(again(asked[0]))["content"][1]["text"] == "get_weather says: 18"
    for changed in ({"thinking": "other"}, {"signature": "other"}, {"signature": ""}):
        refused = again(asked[0] | changed)
        assert (refused.status_code, document(refused)["error"]["message"]) == (
            400,
            "messages.1.content.0: Invalid `signature` in `thinking` block",
        )


@table(
    ("limit", "stop", "text", "openai_end", "anthropic_end"),
    [
        (2, None, "one two", "length", "max_tokens"),
        (3, None, "one two three", "stop", "end_turn"),
        (4, ["two", "ne"], "o", "stop", "stop_sequence"),
        (4, ["four"], "one two three", "stop", "end_turn"),
        (1, ["two"], "one", "length", "max_tokens"),
    ],
)
def test_an_answer_ends_at_the_limit_or_at_a_stop_sequence(
    model: Model, limit: int, stop: Any, text: str, openai_end: str, anthropic_end: str
) -> None:
    more = {} if stop is None else {"stop": stop}
    body = openai("one two three", max_completion_tokens=limit, max_tokens=1000, **more)
    assert _openai(model, body) == ("", text, [], openai_end)
    more = {} if stop is None else {"stop_sequences": stop}
    body = anthropic("one two three", **more) | {"max_tokens": limit}
    assert _anthropic(model, body) == ("", text, [], anthropic_end)
    if anthropic_end == "stop_sequence":
        assert model.answer(ANTHROPIC, body)["stop_sequence"] == "ne"


def test_a_call_is_cut_at_the_limit(model: Model) -> None:
    limit = tokens.count("get_weather") + 1
    found = model.answer(OPENAI, openai("get_weather", tools=True, max_tokens=limit))["choices"][0]
    assert (found["finish_reason"], found["message"]["tool_calls"][0]["function"]["arguments"]) == (
        "length",
        '{"city":',
    )
    cut = model.answer(ANTHROPIC, anthropic("get_weather", tools=True) | {"max_tokens": limit})
    assert (cut["stop_reason"], cut["content"][0]["input"]) == ("max_tokens", {})


@table(
    ("schema", "value"),
    [
        (SCHEMA, {"city": "Paris"}),
        ({"$ref": "#/$defs/a", "$defs": {"a": SCHEMA}}, {"city": "Paris"}),
        ({"type": "object", "properties": {"n": {"type": "integer"}, "x": {}}, "required": ["n"]}, {"n": 7}),
    ],
)
def test_an_answer_has_the_form_that_is_asked_for(model: Model, schema: Any, value: Any) -> None:
    text = "city=Paris n=7"
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    assert json.loads(_openai(model, openai(text, response_format=form))[1]) == value
    config = {"format": {"type": "json_schema", "schema": schema}}
    assert json.loads(_anthropic(model, anthropic(text, output_config=config))[1]) == value


def test_an_answer_may_be_any_object(model: Model) -> None:
    found = _openai(model, openai("hello", response_format={"type": "json_object"}))
    assert json.loads(found[1]) == {"text": "hello"}


@table(
    ("schema", "value"),
    [
        ({}, "value"),
        (None, "value"),
        ({"type": "integer"}, 1),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": ["boolean", "null"]}, True),
        ({"type": "number"}, 1.5),
        ({"const": [1]}, [1]),
        ({"enum": ["b", "a"]}, "b"),
        ({"anyOf": [{"type": "null"}, {}]}, None),
        ({"type": "array", "items": {"type": "string"}}, []),
        ({"type": "array", "items": {"type": "string"}, "minItems": 2}, ["item", "item"]),
        ({"$ref": "#"}, "value"),
        ({"$ref": "#/no/such"}, "value"),
        ({"properties": {"flag": {"type": "boolean"}, "n": {"type": "integer"}}}, {"flag": False}),
    ],
)
def test_a_value_is_made_up_for_a_schema(schema: Any, value: Any) -> None:
    assert values.of_schema(schema, "flag=false n=x") == value


def test_a_schema_that_holds_itself_is_no_endless_value() -> None:
    schema: Any = {"type": "object", "properties": {"next": {"$ref": "#/$defs/a"}}, "required": ["next"]}
    assert json.dumps(values.of_schema({**schema, "$defs": {"a": schema}}, "")).count("next") < 10


@table("text", ["", "a", "one two", "  a\n\n b  ", "an-extraordinarily-long-word", "你好" * 9, "\n"])
def test_tokens_are_pieces_of_the_text(text: str) -> None:
    assert "".join(tokens.split(text)) == text
    assert tokens.count(text) == len(tokens.split(text))
    assert all(len(piece.strip()) <= 8 for piece in tokens.split(text))


def test_what_is_read_is_counted_alike_by_all_ways_to_ask(model: Model) -> None:
    text, count = "one two three", 3 + tokens.PER_MESSAGE
    assert model.answer(OPENAI, openai(text))["usage"]["prompt_tokens"] == count
    assert model.answer(ANTHROPIC, anthropic(text))["usage"]["input_tokens"] == count
    body = anthropic(text, tools=True, system="be kind")
    counted = {name: value for name, value in body.items() if name != "max_tokens"}
    read = model.answer(ANTHROPIC, body)["usage"]["input_tokens"]
    assert model.answer(f"{ANTHROPIC}/count_tokens", counted) == {"input_tokens": read}
    assert read == count + 2 + tokens.of_value(body["tools"])
    seen = {"role": "user", "content": [{"type": "text", "text": text}, PICTURE]}
    assert model.answer(OPENAI, openai(seen))["usage"]["prompt_tokens"] == count + tokens.PER_FILE


def test_the_same_request_has_the_same_answer_and_another_one_another_id(model: Model) -> None:
    first, again, other = (model.answer(ANTHROPIC, anthropic(text)) for text in ("a", "a", "b"))
    assert first == again
    assert first["id"] != other["id"]


def test_several_choices_are_each_complete(model: Model) -> None:
    choices = model.answer(OPENAI, openai("hello", n=2))["choices"]
    assert [(one["index"], one["message"]["content"]) for one in choices] == [(0, "hello"), (1, "hello")]
    *chunks, done = model.events(OPENAI, openai("hello", n=2))
    ends = [chunk["choices"][0]["index"] for chunk in chunks if chunk["choices"][0]["finish_reason"]]
    assert (ends, done) == ([0, 1], "[DONE]")


def test_a_stream_tells_its_usage_only_if_asked(model: Model) -> None:
    assert not any("usage" in chunk for chunk in model.events(OPENAI, openai("hello"))[:-1])


@table(
    "path",
    ["/chat/completions", "/api/paas/v4/chat/completions", "/openai/deployments/a/chat/completions", OPENAI],
)
def test_it_answers_below_any_base(model: Model, path: str) -> None:
    assert model.answer(path, openai("hello"))["choices"][0]["message"]["content"] == "hello"
    path = path.replace("chat/completions", "messages")
    assert model.answer(path, anthropic("hello"))["content"] == [{"type": "text", "text": "hello"}]


def test_models_are_listed_in_the_format_of_whoever_asks() -> None:
    model = Model(chat_models=("small", "large"))
    listed = model.listed("/v1/models")
    assert ([one["id"] for one in listed["data"]], listed["object"]) == (["small", "large"], "list")
    assert model.listed("/v1/models/large") == listed["data"][1]
    listed = model.listed("/v1/models", VERSION)
    assert (listed["first_id"], listed["last_id"], listed["has_more"]) == ("small", "large", False)
    assert model.listed("/v1/models/large", VERSION) == listed["data"][1]
    assert model.listed("/v1/models/other", status=404)["error"]["code"] == "model_not_found"


def test_only_the_models_that_are_named_are_served() -> None:
    model = Model(chat_models=("small",))
    assert model.answer(OPENAI, openai("hello", model="small"))["model"] == "small"
    assert model.answer(OPENAI, openai("hello", model="large"), 404)["error"]["code"] == "model_not_found"
    assert model.answer(ANTHROPIC, anthropic("hello", model="large"), 404)["error"]["type"] == "not_found_error"
    assert Model().listed("/v1/models")["data"][0]["id"] == "simulated-chat"
