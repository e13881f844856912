"""Requests of both dialects become Gemini's: contents, tools, thinking, and what cannot be said."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from mitm_ai_proxy.chat import gemini_thinking, sealed_ids
from mitm_ai_proxy.chat.dialects import ANTHROPIC, OPENAI
from mitm_ai_proxy.chat.gemini_upstream import Settings
from mitm_ai_proxy.chat.model import Seal, Text
from mitm_ai_proxy.chat.target import GOOGLE, Target
from tests.chat.exchanges import HELLO, Json, anthropic_request, encoded, notes_of, openai_request, refused, rewritten
from tests.tables import table

HI = [{"role": "user", "parts": [{"text": "hello"}]}]
SEAL = Seal("google", base64.b64encode(b"signed").decode())
DUMMY = "skip_thought_signature_validator"
PICTURE = "data:image/png;base64,AAAA"


def _openai(*messages: Json, model: str = "gemini-2.5-flash", target: Target = GOOGLE, **members: Any) -> Json:
    document: Json = json.loads(
        rewritten(OPENAI, openai_request(*messages, **{"model": model, **members}), target).body
    )
    return document


def _anthropic(*messages: Json, model: str = "gemini-2.5-flash", target: Target = GOOGLE, **members: Any) -> Json:
    request = anthropic_request(*messages, **{"model": model, **members})
    document: Json = json.loads(rewritten(ANTHROPIC, request, target).body)
    return document


def _call(id: str, name: str = "f", arguments: str = "{}") -> Json:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _result(id: str, content: Any) -> Json:
    return {"role": "tool", "tool_call_id": id, "content": content}


# What is said


@table(
    ("members", "expected"),
    [
        ({}, {}),
        ({"max_tokens": 5}, {"maxOutputTokens": 5}),
        ({"max_tokens": 5, "max_completion_tokens": 6}, {"maxOutputTokens": 6}),
        ({"temperature": 0, "top_p": 0.5, "top_k": 3}, {"temperature": 0, "topP": 0.5, "topK": 3}),
        (
            {"presence_penalty": 0.5, "frequency_penalty": -1.5},
            {"presencePenalty": 0.5, "frequencyPenalty": -1.5},
        ),
        ({"stop": "a"}, {"stopSequences": ["a"]}),
        ({"stop": ["a", "b"]}, {"stopSequences": ["a", "b"]}),
        ({"seed": 7}, {"seed": 7}),
        ({"seed": 2**40}, {}),
        ({"response_format": {"type": "json_object"}}, {"responseMimeType": "application/json"}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"const": 1.50}}}},
            {"responseMimeType": "application/json", "responseJsonSchema": {"const": 1.5}},
        ),
        ({"modalities": ["text", "image"]}, {"responseModalities": ["TEXT", "IMAGE"]}),
        ({"modalities": ["text"]}, {}),
    ],
)
def test_settings_are_said_in_gemini_s_words(members: Json, expected: Json) -> None:
    assert _openai(**members).get("generationConfig", {}) == expected


def test_a_request_of_anthropic_s_says_what_it_can() -> None:
    found = _anthropic(
        system=[{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}],
        temperature=0.5,
        top_k=3,
        stop_sequences=["x"],
        tools=[{"name": "f", "description": "d", "input_schema": {"type": "object", "propertyNames": {}}}],
        tool_choice={"type": "tool", "name": "f"},
        output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}},
    )

    assert found == {
        "contents": HI,
        "systemInstruction": {"parts": [{"text": "be brief"}]},
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "f", "description": "d", "parametersJsonSchema": {"type": "object", "propertyNames": {}}}
                ]
            }
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        "generationConfig": {
            "maxOutputTokens": 100,
            "temperature": 0.5,
            "topK": 3,
            "stopSequences": ["x"],
            "responseMimeType": "application/json",
            "responseJsonSchema": {"type": "object"},
        },
    }


@table(
    ("choice", "config", "declared"),
    [
        ("auto", {"mode": "AUTO"}, ["f", "g"]),
        ("none", {"mode": "NONE"}, ["f", "g"]),
        ("required", {"mode": "ANY"}, ["f", "g"]),
        ({"type": "function", "function": {"name": "g"}}, {"mode": "ANY", "allowedFunctionNames": ["g"]}, ["f", "g"]),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "g"}}]},
            },
            {"mode": "AUTO"},
            ["g"],
        ),
    ],
)
def test_whether_tools_are_called_is_said(choice: Any, config: Json, declared: list[str]) -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in "fg"]
    found = _openai(tools=tools, tool_choice=choice)

    assert found["toolConfig"] == {"functionCallingConfig": config}
    assert [tool["name"] for tool in found["tools"][0]["functionDeclarations"]] == declared


def test_a_schema_keeps_its_bytes() -> None:
    schema = b'{"type" : "object", "properties":{"x":{"maximum":1e400, "const":"\\u00e9"}},"$defs":{}}'
    body = b'{"model":"gemini-3-pro","messages":[{"role":"user","content":"a"}],"tools":[{"type":"function","function":'
    sent = rewritten(OPENAI, body + b'{"name":"f","parameters":' + schema + b"}}]}", GOOGLE).body

    assert b'"parametersJsonSchema":' + schema in sent


def test_all_system_messages_are_one_instruction_in_their_order() -> None:
    found = _openai(
        {"role": "system", "content": "a"},
        *HELLO,
        {"role": "developer", "content": [{"type": "text", "text": "b"}]},
    )

    assert found["systemInstruction"] == {"parts": [{"text": "a"}, {"text": "b"}]}
    assert found["contents"] == HI


@table(
    ("part", "expected"),
    [
        (
            {"type": "image_url", "image_url": {"url": PICTURE}},
            {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://a.test/b.JPG?c=d.png"}},
            {"fileData": {"fileUri": "https://a.test/b.JPG?c=d.png", "mimeType": "image/jpeg"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://a.test/b"}},
            {"fileData": {"fileUri": "https://a.test/b"}},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}},
        ),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QQ=="}},
            {"inlineData": {"mimeType": "application/pdf", "data": "QQ=="}},
        ),
        (
            {"type": "file", "file": {"file_id": "files/abc-1"}},
            {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc-1"}},
        ),
        (
            {"type": "file", "file": {"file_id": "gs://b/a.mp4"}},
            {"fileData": {"fileUri": "gs://b/a.mp4", "mimeType": "video/mp4"}},
        ),
    ],
)
def test_media_are_sent_as_they_are_and_links_as_links(part: Json, expected: Json) -> None:
    content = [{"type": "text", "text": "see"}, part]

    assert _openai({"role": "user", "content": content})["contents"][0]["parts"] == [{"text": "see"}, expected]


def test_a_link_gets_a_media_type_where_the_service_wants_one() -> None:
    target = GOOGLE._replace(settings=Settings(needs_media_type=True))
    content = [{"type": "image_url", "image_url": {"url": "https://a.test/b"}}]
    found = _openai({"role": "user", "content": content}, target=target)

    assert found["contents"][0]["parts"][0]["fileData"]["mimeType"] == "image/jpeg"


def test_documents_of_anthropic_s_are_said() -> None:
    content = [
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "body"}, "title": "A"},
        {"type": "document", "source": {"type": "url", "url": "https://a.test/x.pdf"}},
    ]

    assert _anthropic({"role": "user", "content": content})["contents"][0]["parts"] == [
        {"text": "A\n\nbody"},
        {"fileData": {"fileUri": "https://a.test/x.pdf", "mimeType": "application/pdf"}},
    ]


# Calls and results


def test_all_calls_are_one_content_and_all_results_one_in_the_order_of_the_calls() -> None:
    found = _openai(
        *HELLO,
        {"role": "assistant", "content": "I look", "tool_calls": [_call("a", "f", '{"x": 1.0}'), _call("b", "g", "")]},
        _result("b", "plain"),
        _result("a", '{"t":1.0}'),
        {"role": "user", "content": "and?"},
    )

    assert found["contents"][1:] == [
        {
            "role": "model",
            "parts": [
                {"text": "I look"},
                {"functionCall": {"name": "f", "args": {"x": 1.0}, "id": "a"}},
                {"functionCall": {"name": "g", "args": {}, "id": "b"}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "f", "response": {"t": 1.0}, "id": "a"}},
                {"functionResponse": {"name": "g", "response": {"output": "plain"}, "id": "b"}},
            ],
        },
        {"role": "user", "parts": [{"text": "and?"}]},
    ]


def test_an_id_that_was_made_here_is_not_sent() -> None:
    made = f"call_{'0' * 32}_0"
    found = _openai(*HELLO, {"role": "assistant", "tool_calls": [_call(made)]}, _result(made, "x"))

    assert found["contents"][1]["parts"][0]["functionCall"] == {"name": "f", "args": {}}
    assert found["contents"][2]["parts"][0]["functionResponse"] == {"name": "f", "response": {"output": "x"}}


def test_a_failed_result_and_one_with_a_picture() -> None:
    def asked(model: str) -> list[Json]:
        picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
        results = [
            {"type": "tool_result", "tool_use_id": "a", "content": "broken", "is_error": True},
            {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "see"}, picture]},
        ]
        calls = [{"type": "tool_use", "id": id, "name": id, "input": {}} for id in "ab"]
        contents: list[Json] = _anthropic(
            *HELLO, {"role": "assistant", "content": calls}, {"role": "user", "content": results}, model=model
        )["contents"]
        return contents[2:]

    inline = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    failed = {"functionResponse": {"name": "a", "response": {"error": "broken"}, "id": "a"}}
    shown = {"name": "b", "response": {"output": "see"}, "id": "b"}
    assert asked("gemini-3-pro") == [
        {"role": "user", "parts": [failed, {"functionResponse": {**shown, "parts": [inline]}}]}
    ]
    assert asked("gemini-2.5-pro") == [
        {"role": "user", "parts": [failed, {"functionResponse": shown}]},
        {"role": "user", "parts": [{"text": "From the result of the call of b:"}, inline]},
    ]


def test_arguments_that_are_no_object_are_sent_in_one() -> None:
    found = _openai(*HELLO, {"role": "assistant", "tool_calls": [_call("a", "f", "{x")]}, _result("a", "y"))

    assert found["contents"][1]["parts"][0]["functionCall"]["args"] == {"INVALID_JSON": "{x"}


# Signatures


def test_a_signature_is_given_back_to_gemini_with_its_own_call() -> None:
    sealed = sealed_ids.sealed("a", (6, Text(seal=SEAL)), SEAL)
    message = {"role": "assistant", "content": "I look", "tool_calls": [_call(sealed), _call("b")]}
    parts = _openai(*HELLO, message, model="gemini-3-pro")["contents"][1]["parts"]

    assert parts == [
        {"text": "I look", "thoughtSignature": SEAL.value},
        {"functionCall": {"name": "f", "args": {}, "id": "a"}, "thoughtSignature": SEAL.value},
        {"functionCall": {"name": "f", "args": {}, "id": "b"}},
    ]


def test_a_signature_where_google_s_own_compatible_api_has_it_is_taken() -> None:
    call = {**_call("a"), "extra_content": {"google": {"thought_signature": SEAL.value}}}
    parts = _openai(*HELLO, {"role": "assistant", "tool_calls": [call]})["contents"][1]["parts"]

    assert parts[0]["thoughtSignature"] == SEAL.value


def test_calls_of_the_running_turn_that_another_vendor_has_made_are_marked_for_gemini_3() -> None:
    def signatures(model: str) -> list[Any]:
        other = sealed_ids.sealed("a", (), Seal("anthropic", "S=="))
        contents = _openai(
            *HELLO,
            {"role": "assistant", "tool_calls": [_call("old")]},
            _result("old", "r"),
            *HELLO,
            {"role": "assistant", "tool_calls": [_call(other), _call("b")]},
            _result("a", "r"),
            _result("b", "r"),
            {"role": "assistant", "tool_calls": [_call("c")]},
            _result("c", "r"),
            model=model,
        )["contents"]
        return [
            part.get("thoughtSignature") for found in contents if found["role"] == "model" for part in found["parts"]
        ]

    assert signatures("gemini-2.5-pro") == [None] * 4
    assert signatures("gemini-3-pro") == [None, DUMMY, None, DUMMY]


def test_thinking_comes_back_only_if_gemini_has_signed_it() -> None:
    def blocks(signature: str) -> Json:
        thinking = {"type": "thinking", "thinking": "hm", "signature": signature}
        return {"role": "assistant", "content": [thinking, {"type": "text", "text": "a"}]}

    own = _anthropic(*HELLO, blocks(sealed_ids.signature(SEAL)), *HELLO)["contents"][1]["parts"]
    request = anthropic_request(*HELLO, blocks("S=="), *HELLO, model="gemini-3-pro")

    assert own == [{"text": "hm", "thought": True, "thoughtSignature": SEAL.value}, {"text": "a"}]
    assert json.loads(rewritten(ANTHROPIC, request, GOOGLE).body)["contents"][1]["parts"] == [{"text": "a"}]
    assert "thinking left out: it is not signed by Gemini" in notes_of(ANTHROPIC, request, GOOGLE)


# Thinking


SHOWN = {"includeThoughts": True}


@table(
    ("model", "effort", "expected"),
    [
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
        ("gemini-2.5-flash", "low", {"thinkingBudget": 2048, **SHOWN}),
        ("gemini-2.5-flash", "max", {"thinkingBudget": 24576, **SHOWN}),
        ("gemini-2.5-pro", "none", {"thinkingBudget": 128}),
        ("gemini-2.5-pro", "xhigh", {"thinkingBudget": 32768, **SHOWN}),
        ("gemini-2.5-pro-preview-05-06", "high", {"thinkingBudget": 16384, **SHOWN}),
        ("gemini-2.5-flash-lite", "minimal", {"thinkingBudget": 1024, **SHOWN}),
        ("gemini-3-pro-preview", "none", {"thinkingLevel": "LOW"}),
        ("gemini-3-pro-preview", "medium", {"thinkingLevel": "HIGH", **SHOWN}),
        ("gemini-3.1-pro", "medium", {"thinkingLevel": "MEDIUM", **SHOWN}),
        ("gemini-3-flash", "none", {"thinkingLevel": "MINIMAL"}),
        ("gemini-3-flash", "max", {"thinkingLevel": "HIGH", **SHOWN}),
        ("gemini-9-ultra", "low", {"thinkingLevel": "LOW", **SHOWN}),
        ("gemini-flash-latest", "low", {"thinkingLevel": "LOW", **SHOWN}),
        ("gemini-pro-latest", "low", {"thinkingLevel": "LOW", **SHOWN}),
        ("gemini-2.0-flash", "high", None),
        ("gemini-pro", "high", None),
        ("gemini-2.5-flash-image", "high", None),
    ],
)
def test_an_effort_is_what_the_model_takes(model: str, effort: str, expected: Json | None) -> None:
    assert _openai(model=model, reasoning_effort=effort).get("generationConfig", {}).get("thinkingConfig") == expected


@table(
    ("model", "thinking", "expected"),
    [
        ("gemini-2.5-flash", {"type": "enabled", "budget_tokens": 1500}, {"thinkingBudget": 1500, **SHOWN}),
        ("gemini-2.5-flash", {"type": "enabled", "budget_tokens": 99999}, {"thinkingBudget": 24576, **SHOWN}),
        ("gemini-2.5-flash", {"type": "adaptive"}, {"thinkingBudget": -1, **SHOWN}),
        ("gemini-2.5-flash", {"type": "adaptive", "display": "omitted"}, {"thinkingBudget": -1}),
        ("gemini-2.5-flash", {"type": "disabled"}, {"thinkingBudget": 0}),
        ("gemini-3-flash", {"type": "enabled", "budget_tokens": 1500}, {"thinkingLevel": "LOW", **SHOWN}),
        ("gemini-3-flash", {"type": "adaptive"}, SHOWN),
        ("gemini-3-flash", {"type": "disabled"}, {"thinkingLevel": "MINIMAL"}),
    ],
)
def test_thinking_of_anthropic_s_is_what_the_model_takes(model: str, thinking: Json, expected: Json) -> None:
    assert _anthropic(model=model, thinking=thinking)["generationConfig"]["thinkingConfig"] == expected


@table(
    ("model", "budget", "members", "expected"),
    [
        ("gemini-2.5-pro", 0, {}, {"thinkingBudget": 0}),
        ("gemini-2.5-pro", -1, {}, {"thinkingBudget": -1, **SHOWN}),
        ("gemini-2.5-pro", 500, {"reasoning_effort": "low"}, {"thinkingBudget": 2048, **SHOWN}),
        ("gemini-3-pro", 500, {}, None),
        ("gemini-2.0-flash", 500, {}, None),
    ],
)
def test_a_budget_of_the_configuration_counts_where_the_client_says_nothing(
    model: str, budget: int, members: Json, expected: Json | None
) -> None:
    target = GOOGLE._replace(settings=Settings(thinking_budget=budget))

    found = _openai(model=model, target=target, **members)
    assert found.get("generationConfig", {}).get("thinkingConfig") == expected


def test_every_row_of_the_table_of_models_can_be_reached() -> None:
    rows = {
        gemini_thinking.gemini_model(row.pattern.split("|")[0].replace("\\", "").replace("d+", "5").replace("w+", "x"))
        for row in gemini_thinking.GEMINI_MODELS
    }

    assert rows == set(gemini_thinking.GEMINI_MODELS)


# What cannot be said


def test_safety_settings_of_the_configuration_are_sent_in_their_order() -> None:
    target = GOOGLE._replace(settings=Settings((("HARM_B", "OFF"), ("HARM_A", "BLOCK_NONE"))))

    assert _openai(target=target)["safetySettings"] == [
        {"category": "HARM_B", "threshold": "OFF"},
        {"category": "HARM_A", "threshold": "BLOCK_NONE"},
    ]


@table(
    ("client", "document", "param"),
    [
        (OPENAI, openai_request(n=2), "n"),
        (OPENAI, openai_request(logprobs=True), "logprobs"),
        (OPENAI, openai_request(modalities=["text", "audio"]), "modalities"),
        (OPENAI, openai_request({"role": "system", "content": "a"}), "messages"),
        (OPENAI, openai_request(*HELLO, _result("nobody", "x")), "messages[1]"),
        (
            OPENAI,
            openai_request({"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}),
            "messages[0].content[0].file.file_id",
        ),
        (ANTHROPIC, anthropic_request(mcp_servers=[{}]), "mcp_servers"),
    ],
)
def test_what_would_change_the_answer_is_refused(client: str, document: Json, param: str) -> None:
    assert refused(client, document, GOOGLE).param == param


@table(
    ("client", "members", "note"),
    [
        (OPENAI, {"logit_bias": {"1": 5}}, "logit_bias left out: it is not taken (Gemini)"),
        (OPENAI, {"user": "u"}, "the user's id left out (Gemini)"),
        (OPENAI, {"seed": 2**33}, "seed left out: Gemini takes one of 32 bits"),
        (ANTHROPIC, {"seed": "x"}, "seed left out: it is not known (Gemini)"),
        (
            OPENAI,
            {"parallel_tool_calls": False, "tools": [{"type": "function", "function": {"name": "f"}}]},
            "parallel calls cannot be switched off at Gemini",
        ),
    ],
)
def test_what_matters_less_is_left_out_with_a_note(client: str, members: Json, note: str) -> None:
    document = (openai_request if client == OPENAI else anthropic_request)(**members)

    assert note in notes_of(client, document, GOOGLE)


@pytest.mark.parametrize("client", [OPENAI, ANTHROPIC])
def test_damaged_requests_are_refused_and_never_fail_otherwise(client: str) -> None:
    made = openai_request if client == OPENAI else anthropic_request
    document = encoded(made(*HELLO, stream=True, tools=[], temperature=1))
    for cut in range(len(document)):
        refused(client, document[:cut], GOOGLE)
