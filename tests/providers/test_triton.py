"""NVIDIA Triton behind both dialects: addresses, requests, answers in any cut, errors."""

from __future__ import annotations

import json

import pytest

from mitm_ai_proxy import registry
from mitm_ai_proxy.config.file import ConfigurationError
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import Pieces
from mitm_ai_proxy.providers.base import Provider
from tests.providers.chats import CHAT, HELLO, MESSAGES, Json, complete_provider, fields_of, outgoing_of, upstream_of
from tests.providers.vendor_answers import EVENTS, chunks_of, document_of, events, stream_of, text_in, whole_of
from tests.tables import table

ANSWER = {"id": "1", "model_name": "gpt2", "model_version": "1", "text_output": "I am é"}


def _provider(keys: str = "tritonDomain: gpu") -> Provider:
    return complete_provider("triton", keys)


@table(
    ("keys", "target", "members", "url"),
    [
        ("tritonDomain: gpu", CHAT, {}, "http://gpu:8000/v2/models/m/generate"),
        ("tritonDomain: gpu", MESSAGES, {"stream": True}, "http://gpu:8000/v2/models/m/generate_stream"),
        ("tritonDomain: 'https://gpu'", f"{CHAT}?a=1", {"stream": True}, "https://gpu/v2/models/m/generate_stream?a=1"),
        (
            "tritonDomain: 'gpu:81', tritonModelVersion: 3, modelMapping: {'*': 'a/b'}, providerBasePath: /p",
            CHAT,
            {},
            "http://gpu:81/p/v2/models/a%2Fb/versions/3/generate",
        ),
        ("providerDomain: h.test", CHAT, {}, "https://h.test/v2/models/m/generate"),
        ("baseUrl: 'http://h.test/x/v2'", CHAT, {}, "http://h.test/x/v2/models/m/generate"),
        ("tritonDomain: gpu", "/v2/health/ready", {}, "http://gpu:8000/v2/health/ready"),
        ("tritonDomain: gpu, protocol: original", "/v2/models/m/infer", {}, "http://gpu:8000/v2/models/m/infer"),
    ],
)
def test_a_chat_goes_to_the_model(keys: str, target: str, members: Json, url: str) -> None:
    outgoing = outgoing_of(_provider(keys), target, {**HELLO, **members})

    assert f"{outgoing.upstream.origin}{outgoing.target}" == url


def test_a_key_is_sent_and_without_one_the_clients_own_is() -> None:
    with_key = outgoing_of(_provider("tritonDomain: gpu, apiTokens: ['****']"), CHAT, HELLO, "Authorization: Bearer c")
    without = outgoing_of(_provider(), CHAT, HELLO, "Authorization: Bearer c")

    assert fields_of(with_key)["authorization"] == "Bearer ****"
    assert fields_of(without)["authorization"] == "Bearer c"


@table(
    ("target", "members", "expected"),
    [
        (CHAT, {}, {"text_input": "hello", "parameters": {"stream": False}, "max_tokens": 9}),
        (
            CHAT,
            {"temperature": 0, "top_p": 0.5, "seed": 3, "stop": "a", "stream": True},
            {
                "text_input": "hello",
                "parameters": {"stream": True, "temperature": 0, "top_p": 0.5, "seed": 3},
                "max_tokens": 9,
                "stop": "a",
            },
        ),
        (
            MESSAGES,
            {
                "system": "s",
                "messages": [
                    {"role": "user", "content": "a"},
                    {"role": "assistant", "content": "b"},
                    {"role": "user", "content": [{"type": "text", "text": "c"}, {"type": "text", "text": "d"}]},
                ],
            },
            {
                "text_input": "System: s\nUser: a\nAssistant: b\nUser: c\nd\nAssistant:",
                "parameters": {"stream": False},
                "max_tokens": 9,
            },
        ),
    ],
)
def test_a_conversation_is_one_text(target: str, members: Json, expected: Json) -> None:
    sent = json.loads(upstream_of(_provider(), target, {**HELLO, **members}).body or b"")

    assert sent == {**expected, "exclude_input_in_output": True}


@table(
    ("members", "param"),
    [
        ({"stop": ["a", "b"]}, "stop"),
        ({"model": ".."}, "model"),
        ({"messages": [{"role": "user", "content": " "}]}, None),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required"}, "tool_choice"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.test"}}]}
                ]
            },
            "messages[0].content[0].image_url.url",
        ),
    ],
)
def test_what_triton_cannot_say_is_refused_by_name(members: Json, param: str | None) -> None:
    if param is None:
        assert json.loads(upstream_of(_provider(), CHAT, {**HELLO, **members}).body or b"")["text_input"] == " "
        return
    with pytest.raises(Refusal) as caught:
        upstream_of(_provider(), CHAT, {**HELLO, **members})
    assert (caught.value.status, caught.value.param) == (400, param)


def test_the_plugins_example_works() -> None:
    provider = _provider("tritonDomain: h, tritonModelVersion: 1, apiTokens: ['****'], modelMapping: {'*': gpt2}")
    messages = [{"role": "user", "content": "Hi, who are you"}]
    sent = upstream_of(provider, CHAT, {"model": "gpt2", "messages": messages, "stream": False})
    found = document_of(whole_of(provider, sent, {**ANSWER, "text_output": "I am a language model."}))

    assert json.loads(sent.body or b"")["text_input"] == "Hi, who are you"
    assert found["choices"][0]["message"]["content"] == "I am a language model."
    assert (found["choices"][0]["finish_reason"], found["model"]) == ("stop", "gpt2")


@table("target", [CHAT, MESSAGES])
def test_answers_are_the_clients_own_whole_and_streamed(target: str) -> None:
    provider = _provider()
    whole = document_of(whole_of(provider, upstream_of(provider, target, HELLO), ANSWER))
    sent = upstream_of(provider, target, {**HELLO, "stream": True})
    stream = stream_of(provider, sent, events({**ANSWER, "text_output": "I am"}, {**ANSWER, "text_output": [" ", "é"]}))

    said = whole["choices"][0]["message"] if target == CHAT else whole["content"][0]
    assert said["content" if target == CHAT else "text"] == "I am é"
    assert text_in(stream) == "I am é"
    last = chunks_of(stream)[-1]
    assert last == ("[DONE]" if target == CHAT else {"type": "message_stop"})


def test_the_end_of_a_stream_is_made_for_there_is_no_sign_of_it() -> None:
    handling = _provider().responseheaders(upstream_of(_provider(), CHAT, {**HELLO, "stream": True}), 200, EVENTS)

    assert isinstance(handling, Pieces)
    assert handling.makes_end
    assert not handling.tells_end


@table(
    ("status", "document", "code", "message"),
    [
        (400, {"error": "Request for unknown model"}, 400, "Request for unknown model"),
        (200, {"error": "failed"}, 502, "failed"),
        (200, {"id": "1"}, 502, "wrong form"),
        (200, b"<html>", 502, "is not JSON"),
        (200, [1], 502, "is no object"),
    ],
)
def test_errors_are_the_clients_own(status: int, document: object, code: int, message: str) -> None:
    provider = _provider()
    for target in (CHAT, MESSAGES):
        found = whole_of(provider, upstream_of(provider, target, HELLO), document, status)
        assert found.status == code
        assert message in document_of(found)["error"]["message"]
    stream = events({**ANSWER}, {"error": "out of memory"})
    assert b"[DONE]" not in stream_of(provider, upstream_of(provider, CHAT, {**HELLO, "stream": True}), stream)


@table(
    ("keys", "problem"),
    [
        ("", "provider.tritonDomain: is missing; give tritonDomain, baseUrl or providerDomain"),
        ("tritonDomain: 'a b'", "provider.tritonDomain: is not a host name or address"),
        ("tritonDomain: h, tritonModelVersion: latest", "provider.tritonModelVersion: expected a number"),
    ],
)
def test_a_missing_or_wrong_key_is_named_at_the_start(keys: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        registry.read(f"provider: {{type: triton{', ' if keys else ''}{keys}}}", {})
    assert str(caught.value.problems[0]).startswith(problem)
