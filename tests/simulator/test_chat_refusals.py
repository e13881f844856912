"""What the simulated chat model refuses, as strictly as the vendors and in their shapes; and faults on demand."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import pytest

from mitm_ai_proxy.simulator.chat import model as chat_model
from mitm_ai_proxy.simulator.chat import refusals, views
from mitm_ai_proxy.simulator.chat.views import CUT, PIECES
from mitm_ai_proxy.simulator.faults import CHAT_FAULTS, FAULTS
from mitm_ai_proxy.simulator.settings import API_KEY
from tests.simulator.chats import ANTHROPIC, OPENAI, SCHEMA, VERSION, Model, anthropic, document, openai
from tests.tables import table

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
ANSWER = {"role": "tool", "tool_call_id": "c1", "content": "x"}
USE = {"type": "tool_use", "id": "c1", "name": "f", "input": {}}
USING = {"role": "assistant", "content": [USE]}
RESULT = {"type": "tool_result", "tool_use_id": "c1", "content": "x"}
MARK = {"cache_control": {"type": "ephemeral"}}
TEXT = {"type": "text", "text": "a"}
ENABLED = {"type": "enabled", "budget_tokens": 1024}
FUNCTION = {"type": "function", "function": {"name": "f"}}


@pytest.fixture(scope="module")
def model() -> Model:
    """A model that answers at once."""
    return Model()


def _user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": [*blocks]}


def _said(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": [*blocks]}


@table(
    ("body", "param", "text"),
    [
        (b"{", None, "parse"),
        (b"[]", None, "JSON object"),
        ({"messages": []}, "model", "model parameter"),
        ({"model": "m"}, "messages", "Missing required parameter: 'messages'"),
        (openai(), "messages", "empty array"),
        ({"model": "m", "messages": {}}, "messages", "expected an array of objects, but got object"),
        (openai(7), "messages[0]", "expected an object, but got integer"),
        (openai({"role": "robot", "content": "a"}), "messages[0].role", "Invalid value: 'robot'. Supported values"),
        (openai({"role": "user"}), "messages[0].content", "expected a string, got null"),
        (openai(_user()), "messages[0].content", "expected a string, got array"),
        (openai(_user({"type": "image", "source": {}})), "messages[0].content[0].type", "Invalid value: 'image'"),
        (openai(_user({"type": "text"})), "messages[0].content[0].text", "expected a string, but got null"),
        (openai(_user({"type": "image_url", "image_url": {}})), "messages[0].content[0].image_url", "an object"),
        (openai({"role": "system", "content": [{"type": "image_url"}]}), "messages[0].content[0].type", "image_url"),
        (openai("a", {"role": "assistant"}), "messages[1].content", "expected a string, got null"),
        (openai("a", {**CALLING, "tool_calls": []}, "b"), "messages[1].tool_calls", "at least one"),
        (openai("a", {**CALLING, "tool_calls": [{**CALL, "id": ""}]}), "messages[1].tool_calls[0].id", "Missing"),
        (openai("a", {**CALLING, "tool_calls": [{**CALL, "type": "x"}]}), "messages[1].tool_calls[0]", "function"),
        (openai("a", CALLING), "messages", "did not have response messages: c1"),
        (openai("a", CALLING, "b"), "messages", "did not have response messages: c1"),
        (openai("a", ANSWER), "messages[1].role", "must be a response to a preceding message"),
        (openai("a", CALLING, ANSWER, ANSWER), "messages[3].role", "must be a response to a preceding message"),
        (openai("a", CALLING, {**ANSWER, "tool_call_id": "c2"}), "messages[2].role", "must be a response"),
        (openai("a", tools=True) | {"tools": []}, "tools", "minimum length 1"),
        (openai("a", tools=[{"name": "f"}]), "tools[0].type", "Missing"),
        (openai("a", tools=[{"type": "function"}]), "tools[0].function.name", "Missing"),
        (openai("a", tools=[{**FUNCTION, "function": {"name": "a b"}}]), "tools[0].function.name", "letters"),
        (
            openai("a", tools=[{**FUNCTION, "function": {"name": "f", "parameters": {"type": "array"}}}]),
            "tools[0].function.parameters",
            "Invalid schema for function 'f'",
        ),
        (openai("a", tool_choice="auto"), "tool_choice", "only allowed when 'tools' are specified"),
        (openai("a", tools=True, tool_choice="any"), "tool_choice", "expected none, auto, required"),
        (
            openai("a", tools=True, tool_choice={"type": "function", "function": {"name": "x"}}),
            "tool_choice",
            "'tools'",
        ),
        (openai("a", stream_options={"include_usage": True}), "stream_options", "only allowed when 'stream'"),
        (openai("a", stream="yes"), "stream", "expected a boolean, but got string"),
        (openai("a", temperature=3), "temperature", "from 0 to 2"),
        (openai("a", top_p=True), "top_p", "from 0 to 1"),
        (openai("a", max_tokens=0), "max_tokens", ">= 1"),
        (openai("a", max_completion_tokens=1.5), "max_completion_tokens", ">= 1"),
        (openai("a", n=0), "n", "from 1 to 8"),
        (openai("a", stop=["a"] * 5), "stop", "up to 4"),
        (openai("a", stop=""), "stop", "a string"),
        (openai("a", reasoning_effort="huge"), "reasoning_effort", "Supported values"),
        (openai("a", response_format="json"), "response_format", "json_schema"),
        (openai("a", response_format={"type": "json_schema"}), "response_format.json_schema", "name"),
    ],
)
def test_a_wrong_request_is_refused_in_openais_shape(model: Model, body: Any, param: str | None, text: str) -> None:
    got = model.post(OPENAI, body)
    error = document(got)["error"]
    assert (got.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert text in error["message"]
    assert error.keys() == {"message", "type", "param", "code"}


@table(
    "more",
    [{"temperature": 0.5, "top_k": 40, "provider": {"order": []}, "seed": 1}, {"tools": [{"type": "web_search"}]}],
)
def test_members_that_other_vendors_have_are_taken(model: Model, more: Any) -> None:
    assert model.answer(OPENAI, openai("hello", **more))["choices"][0]["message"]["content"] == "hello"


BLOCK = "messages.0.content.0"


@table(
    ("body", "text"),
    [
        (b"{", "parse"),
        ({"max_tokens": 1, "messages": []}, "model: Field required"),
        ({"model": "m", "messages": []}, "max_tokens: Field required"),
        (anthropic("a") | {"max_tokens": 0}, "max_tokens: Input should be"),
        ({"model": "m", "max_tokens": 1}, "messages: Field required"),
        (anthropic(), "messages: at least one message is required"),
        (anthropic("a", n=1), "n: Extra inputs are not permitted"),
        (anthropic({"role": "robot", "content": "a"}), "messages.0.role: Input should be 'user' or 'assistant'"),
        (anthropic({"role": "user", "content": "a", "name": "x"}), "messages.0.name: Extra inputs are not permitted"),
        (anthropic(_said(TEXT)), 'first message must use the "user" role'),
        (anthropic(_user(), _said(TEXT)), "messages.0: all messages must have non-empty content"),
        (anthropic(""), "text content blocks must be non-empty"),
        (anthropic(" \n"), "text content blocks must contain non-whitespace text"),
        (anthropic("a", {"role": "assistant", "content": "b "}), "cannot end with trailing whitespace"),
        (anthropic({"role": "user"}), "messages.0.content: Input should be"),
        (anthropic(_user({"text": "a"})), f"{BLOCK}.type: Field required"),
        (anthropic(_user({"type": "text"})), f"{BLOCK}.text: Field required"),
        (anthropic(_user({"type": "image_url"})), f"{BLOCK}.type: 'image_url'"),
        (anthropic(_user({"type": "image"})), f"{BLOCK}.image.source"),
        (anthropic(_user({"type": "image", "source": {"type": "url"}})), f"{BLOCK}.image.source.url.url: Field"),
        (anthropic("a", USING), "`tool_use` ids were found without `tool_result` blocks immediately after: c1"),
        (anthropic("a", USING, "b"), "messages.2: `tool_use` ids were found without"),
        (anthropic("a", USING, _said(TEXT)), "messages.2: `tool_use` ids were found without"),
        (anthropic("a", USING, _user(TEXT, RESULT)), "must come before all other blocks"),
        (anthropic(_user(RESULT)), "unexpected `tool_use_id` found in `tool_result` blocks: c1"),
        (anthropic("a", USING, _user(RESULT, RESULT)), "unexpected `tool_use_id`"),
        (anthropic("a", USING, _user(RESULT), USING, _user(RESULT)), "must be unique"),
        (anthropic("a", USING, _user({**RESULT, "is_error": "yes"})), "is_error: Input should be a valid boolean"),
        (anthropic("a", USING, _user({**RESULT, "content": [{"type": "x"}]})), "content.0.type: Input should be"),
        (anthropic("a", _said({**USE, "id": "a b"})), "should match pattern"),
        (anthropic("a", _said({**USE, "input": "{}"})), "tool_use.input: Input should be an object, not string"),
        (anthropic("a", _said({"type": "thinking", "thinking": "x"})), "signature: Field required"),
        (anthropic("a", _said({"type": "redacted_thinking", "data": "x"})), "Invalid `data`"),
        (anthropic("a", _said({"type": "thinking", "thinking": "", "signature": "", **MARK})), "cache_control: Extra"),
        (anthropic(_user(*[{**TEXT, **MARK}] * 5)), "A maximum of 4 blocks with cache_control"),
        (anthropic(_user({**TEXT, "cache_control": {"type": "ephemeral", "ttl": "2h"}})), "'5m' or '1h'"),
        (anthropic("a", system=7), "system: Input should be"),
        (anthropic("a", system=[{"type": "image"}]), "system.0.type: Input should be 'text'"),
        (anthropic("a", tools=[{"name": "a b", "input_schema": SCHEMA}]), "tools.0.custom.name"),
        (anthropic("a", tools=[{"name": "f"}]), "tools.0.custom.input_schema: Field required"),
        (anthropic("a", tools=[{"name": "f", "input_schema": {}}]), "input_schema.type: Input should be 'object'"),
        (anthropic("a", tools=[{"name": "f", "input_schema": SCHEMA}] * 2), "Tool names must be unique"),
        (anthropic("a", tool_choice={"type": "any"}), "may only be specified while providing tools"),
        (anthropic("a", tools=True, tool_choice={"type": "required"}), "tool_choice: Input tag"),
        (anthropic("a", tools=True, tool_choice={"type": "tool", "name": "x"}), "Tool 'x' not found"),
        (anthropic("a", thinking={"type": "on"}), "thinking: Input tag"),
        (anthropic("a", thinking={"type": "enabled"}), "budget_tokens: Field required"),
        (anthropic("a", thinking={"type": "enabled", "budget_tokens": 5}), "greater than or equal to 1024"),
        (anthropic("a", thinking=ENABLED) | {"max_tokens": 1024}, "`max_tokens` must be greater than"),
        (anthropic("a", tools=True, thinking=ENABLED, tool_choice={"type": "any"}), "Thinking may not be enabled when"),
        (anthropic("a", thinking=ENABLED, temperature=0.5), "may only be set to 1 when thinking"),
        (anthropic("a", USING, _user(RESULT), thinking=ENABLED), "Expected `thinking` or `redacted_thinking`"),
        (anthropic("a", temperature=1.5), "temperature: Input should be a number from 0 to 1"),
        (anthropic("a", stop_sequences=[" "]), "must contain non-whitespace"),
        (anthropic("a", stop_sequences="a"), "stop_sequences: Input should be an array"),
        (anthropic("a", output_config={"format": {"type": "json_object"}}), "output_config.format"),
        (anthropic("a", stream="yes"), "stream: Input should be a valid boolean"),
    ],
)
def test_a_wrong_request_is_refused_in_anthropics_shape(model: Model, body: Any, text: str) -> None:
    got = model.post(ANTHROPIC, body)
    shown = document(got)
    assert (got.status_code, shown["type"], shown["error"]["type"]) == (400, "error", "invalid_request_error")
    assert text in shown["error"]["message"]
    assert shown["request_id"] == got.headers["request-id"]


@table(
    ("version", "more", "text"),
    [
        ("", {}, "anthropic-version: header is required"),
        ("latest", {}, '"latest" is not a valid version'),
        ("2026-10-21", {"temperature": 1}, "temperature: Extra inputs are not permitted"),
        ("2026-10-21", {"top_k": 5}, "top_k: Extra inputs are not permitted"),
    ],
)
def test_the_version_says_what_is_taken(model: Model, version: str, more: Any, text: str) -> None:
    got = model.post(ANTHROPIC, anthropic("a", **more), anthropic_version=version)
    assert (got.status_code, text in document(got)["error"]["message"]) == (400, True)


@table(
    ("fields", "status"),
    [
        ({"Authorization": f"Bearer {API_KEY}"}, 200),
        ({"Authorization": API_KEY}, 200),
        ({"x-api-key": API_KEY}, 200),
        ({"api-key": API_KEY}, 200),
        ({"x-api-key": API_KEY, "Authorization": "Bearer other"}, 200),
        ({}, 401),
        ({"Authorization": "Bearer other"}, 401),
        ({"x-api-key": "other", "Authorization": f"Bearer {API_KEY}"}, 401),
    ],
)
def test_the_key_is_taken_as_each_vendor_takes_it(model: Model, fields: dict[str, str], status: int) -> None:
    for path, body in ((OPENAI, openai("a")), (ANTHROPIC, anthropic("a"))):
        got = model.client.post(path, json=body, headers={**VERSION, **fields})
        assert got.status_code == status
        if status == 401:
            kind = "invalid_request_error" if path == OPENAI else "authentication_error"
            assert document(got)["error"]["type"] == kind
            assert "other" not in got.get_data(as_text=True)


@table(
    ("method", "path", "status"),
    [
        ("GET", OPENAI, 405),
        ("PUT", ANTHROPIC, 405),
        ("POST", "/v1/models", 405),
        ("POST", "/v1/threads/a/messages", 404),
    ],
)
def test_other_methods_and_paths_are_refused(model: Model, method: str, path: str, status: int) -> None:
    assert model.client.open(path, method=method, headers=VERSION).status_code == status


def test_every_status_has_a_class_in_both_formats() -> None:
    for status, kind in refusals.KINDS.items():
        error = refusals.of_status(status)
        assert refusals.openai(error)["error"]["type"] == kind.openai
        assert refusals.anthropic(error, "r")["error"]["type"] == kind.anthropic


# Faults

BOTH = ((OPENAI, openai), (ANTHROPIC, anthropic))


@table(
    ("fault", "status", "later"),
    [
        ("401", 401, False),
        ("429", 429, True),
        ("503", 503, True),
        ("529", 529, True),
        ("500", 500, False),
        ("1303", 429, True),
        ("1102", 402, False),
        ("5001", 503, True),
        ("accepted=529", 529, True),
        ("picture", 400, False),
    ],
)
def test_a_chat_is_refused_on_demand(model: Model, fault: str, status: int, later: bool) -> None:
    for path, make in BOTH:
        for got in (model.post(path, make(f"a [simulate: {fault}]")), model.post(path, make("a"), x_simulate=fault)):
            assert (got.status_code, "retry-after" in got.headers) == (status, later)
            kind = refusals.KINDS[status]
            assert document(got)["error"]["type"] == (kind.openai if path == OPENAI else kind.anthropic)


def test_a_fault_applies_as_often_as_it_says_and_to_the_last_message_only(model: Model) -> None:
    for path, make in BOTH:
        body = make("a [simulate: 429*2]")
        assert [model.post(path, body).status_code for _ in range(3)] == [429, 429, 200]
        later = make("a [simulate: 500]", {"role": "assistant", "content": "b"}, "c")
        assert model.post(path, later).status_code == 200


def test_a_configured_fault_applies_to_all_chats_and_not_to_counting() -> None:
    model = Model(fault="529")
    assert [model.post(path, make("a")).status_code for path, make in BOTH] == [529, 529]
    assert model.post(f"{ANTHROPIC}/count_tokens", {"model": "m", "messages": [_user(TEXT)]}).status_code == 200


def test_an_unknown_fault_is_named(model: Model) -> None:
    got = model.post(OPENAI, openai("a [simulate: odd]"))
    assert (got.status_code, "unknown fault" in document(got)["error"]["message"]) == (400, True)


def test_an_http_status_is_no_fault_of_a_video() -> None:
    body = {"model_name": "kling-v3", "prompt": "a [simulate: 529]", "duration": "5"}
    got = Model().post("/v1/videos/text2video", body)
    assert (document(got)["code"], document(got)["message"]) == (1201, "prompt: 529 is a fault of chats")


def test_a_refusal_of_the_model(model: Model) -> None:
    text = "a [simulate: failed=no cats]"
    (choice,) = model.answer(OPENAI, openai(text))["choices"]
    assert (choice["finish_reason"], choice["message"]["refusal"]) == ("content_filter", "no cats")
    assert choice["message"]["content"] is None
    assert [chunk["choices"][0]["delta"] for chunk in model.events(OPENAI, openai(text))[1:3]] == [
        {"refusal": "no cats"},
        {},
    ]
    refused = model.answer(ANTHROPIC, anthropic(text))
    assert (refused["stop_reason"], refused["content"]) == ("refusal", [])
    assert refused["stop_details"]["explanation"] == "no cats"


def test_a_stream_that_has_begun_ends_with_an_error(model: Model) -> None:
    text = "one two three four [simulate: accepted=529]"
    *begun, error = model.events(OPENAI, openai(text))
    assert error["error"]["code"] == "overloaded"
    assert 2 < len(begun) < 6
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in begun)
    *begun, error = model.events(ANTHROPIC, anthropic(text))
    assert error["error"]["type"] == "overloaded_error"
    assert begun[-1]["type"] == "content_block_delta"


@table(
    ("fault", "is_stream", "cuts"),
    [
        ("lost", False, ["lost"]),
        ("lost", True, ["lost"]),
        ("truncated", False, ["truncated"]),
        ("truncated", True, ["aborted"]),
        ("stuck", False, ["lost"]),
        ("stuck", True, ["aborted"]),
    ],
)
def test_a_connection_is_cut_where_the_server_is_told(
    model: Model, fault: str, is_stream: bool, cuts: list[str]
) -> None:
    for path, make in BOTH:
        found: list[str] = []
        pieces: list[tuple[float, bytes]] = []
        environ: dict[str, Any] = {CUT: found, PIECES: pieces}
        body = json.dumps(make(f"one two three [simulate: {fault}]", stream=is_stream)).encode()
        headers = {**VERSION, "x-api-key": API_KEY, "Content-Type": "application/json"}
        got = model.client.post(path, data=body, headers=headers, environ_overrides=environ)
        assert found == cuts
        assert any(seconds == views.STUCK for seconds, _ in pieces) == (fault == "stuck")
        if is_stream:
            assert b"[DONE]" not in got.data
            assert b"message_stop" not in got.data


def test_garbage_is_a_page(model: Model) -> None:
    got = model.post(OPENAI, openai("a", stream=True), x_simulate="garbage")
    assert (got.status_code, got.mimetype) == (200, "text/html")


@table(("speed", "fault", "factor"), [(1.0, "", 1), (20.0, "", 0.05), (1.0, "slow=3", 3), (float("inf"), "", 0)])
def test_tokens_come_at_the_speed_that_is_set(speed: float, fault: str, factor: float) -> None:
    model = Model(speed=speed)
    headers = {"x-api-key": API_KEY, "Content-Type": "application/json", "x-simulate": fault}
    waited = []
    for is_stream in (True, False):
        pieces: list[tuple[float, bytes]] = []
        body = json.dumps(openai("one two", stream=is_stream)).encode()
        model.client.post(OPENAI, data=body, headers=headers, environ_overrides={PIECES: pieces})
        waited.append([seconds for seconds, _ in pieces])
    first, each = views.FIRST_TOKEN * factor, views.TOKEN * factor
    assert waited[0] == pytest.approx([first, *[each] * (len(waited[0]) - 1)])
    assert waited[1] == pytest.approx([first + 2 * each])


def test_without_a_server_that_waits_the_answer_waits_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    model = Model(speed=1.0)
    assert model.answer(OPENAI, openai("one two"))["choices"][0]["message"]["content"] == "one two"
    assert slept == pytest.approx([views.FIRST_TOKEN + 2 * views.TOKEN])
    del slept[:]
    assert len(model.events(OPENAI, openai("one two"))) == len(slept)


@table(("sends", "closes", "waited"), [(b"", True, False), (b"x", True, True), (b"", False, True)])
def test_a_client_that_leaves_is_waited_for_no_longer(sends: bytes, closes: bool, waited: bool) -> None:
    ours, client = socket.socketpair()
    with ours, client:
        client.sendall(sends)
        if closes:
            client.shutdown(socket.SHUT_WR)
        seconds = 0.01 if waited else 600
        answer = list(views._waiting([(seconds, b"a")], ours))
        assert answer == ([b"a"] if waited else [])


def test_what_breaks_inside_is_an_error_of_the_format(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(chat_model, "answer", broken)
    assert model.answer(OPENAI, openai("a"), 500)["error"]["type"] == "server_error"
    assert model.answer(ANTHROPIC, anthropic("a"), 500)["error"]["type"] == "api_error"


def test_each_fault_says_what_it_does_to_chats() -> None:
    assert set(CHAT_FAULTS) == set(FAULTS)
