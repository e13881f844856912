"""DeepL behind both dialects: tiers and hosts, texts and context, a choice for each translation, errors."""

from __future__ import annotations

import json

import pytest

from mitm_ai_proxy import registry
from mitm_ai_proxy.config.file import ConfigurationError
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.providers.base import Provider
from tests.providers.chats import CHAT, HELLO, MESSAGES, Json, fields_of, outgoing_of, upstream_of
from tests.providers.vendor_answers import chunks_of, document_of, text_in, whole_of
from tests.tables import table

FREE: Json = {**HELLO, "model": "Free"}
EXAMPLE: Json = {
    "model": "Free",
    "messages": [
        {"role": "system", "content": "money"},
        {"content": "sit by the bank"},
        {"content": "a bank in China"},
    ],
}
ANSWER = {
    "translations": [
        {"detected_source_language": "EN", "text": "operate a gambling establishment"},
        {"detected_source_language": "EN", "text": "Bank of China"},
    ]
}


def _provider(keys: str = "") -> Provider:
    text = f"provider: {{type: deepl, apiTokens: ['k:fx'], targetLang: ZH{', ' if keys else ''}{keys}}}"
    return registry.provider(registry.read(text, {}), lambda: 1700000000.0)


@table(
    ("keys", "target", "model", "url"),
    [
        ("", CHAT, "Free", "https://api-free.deepl.com/v2/translate"),
        ("", MESSAGES, "Pro", "https://api.deepl.com/v2/translate"),
        ("modelMapping: {'*': Pro}", CHAT, "gpt-5", "https://api.deepl.com/v2/translate"),
        ("providerDomain: h.test, providerBasePath: /p", CHAT, "Pro", "https://h.test/p/v2/translate"),
        ("baseUrl: 'http://h.test/v2'", CHAT, "Free", "http://h.test/v2/translate"),
        ("", "/v2/languages", "", "https://api-free.deepl.com/v2/languages"),
        ("protocol: original", "/v2/translate", "", "https://api-free.deepl.com/v2/translate"),
    ],
)
def test_the_model_is_the_tier_and_its_host(keys: str, target: str, model: str, url: str) -> None:
    outgoing = outgoing_of(_provider(keys), target, {**HELLO, "model": model}, "Authorization: Bearer client")

    assert f"{outgoing.upstream.origin}{outgoing.target}" == url
    assert fields_of(outgoing)["authorization"] == "DeepL-Auth-Key k:fx"


def test_both_hosts_are_those_of_the_provider_unless_another_is_named() -> None:
    assert len(_provider().origins) == 2
    assert [str(origin) for origin in _provider("providerDomain: h.test").origins] == ["https://h.test"]


@table(
    ("target", "members", "expected"),
    [
        (CHAT, {}, {"text": ["hello"], "target_lang": "ZH"}),
        (MESSAGES, {"system": "s"}, {"text": ["hello"], "target_lang": "ZH", "context": "s"}),
        (
            CHAT,
            {"target_lang": "DE", "formality": "less", "temperature": 1},
            {"text": ["hello"], "target_lang": "DE", "formality": "less"},
        ),
        (
            CHAT,
            {
                "messages": [
                    {"role": "user", "content": "a"},
                    {"role": "assistant", "content": "b"},
                    {"role": "user", "content": [{"type": "text", "text": "c"}]},
                ]
            },
            {"text": ["c"], "target_lang": "ZH"},
        ),
    ],
)
def test_the_texts_behind_the_last_answer_are_translated(target: str, members: Json, expected: Json) -> None:
    assert json.loads(upstream_of(_provider(), target, {**FREE, **members}).body or b"") == expected


def test_the_plugins_example_works() -> None:
    provider = _provider()
    sent = upstream_of(provider, CHAT, EXAMPLE)
    found = document_of(whole_of(provider, sent, ANSWER))

    assert json.loads(sent.body or b"") == {
        "text": ["sit by the bank", "a bank in China"],
        "target_lang": "ZH",
        "context": "money",
    }
    assert found["choices"] == [
        {
            "index": index,
            "message": {"name": "EN", "role": "assistant", "content": one["text"]},
            "finish_reason": "stop",
        }
        for index, one in enumerate(ANSWER["translations"])
    ]
    assert (found["model"], found["object"], found["created"]) == ("Free", "chat.completion", 1700000000)


def test_a_stream_and_anthropic_s_client_get_all_of_it() -> None:
    provider = _provider()
    openai = whole_of(provider, upstream_of(provider, CHAT, {**FREE, "stream": True}), ANSWER)
    anthropic = document_of(whole_of(provider, upstream_of(provider, MESSAGES, FREE), ANSWER))
    stream = whole_of(provider, upstream_of(provider, MESSAGES, {**FREE, "stream": True}), ANSWER)
    texts = [one["text"] for one in ANSWER["translations"]]

    assert openai.headers["content-type"] == "text/event-stream"
    chunk, done = chunks_of(openai.body)
    assert [choice["delta"]["content"] for choice in chunk["choices"]] == texts
    assert done == "[DONE]"
    assert [block["text"] for block in anthropic["content"]] == texts
    assert text_in(stream.body) == "".join(texts)


@table(
    ("members", "param"),
    [
        ({"model": "Best"}, "model"),
        ({"messages": [{"role": "system", "content": "a"}]}, "messages"),
        ({"messages": HELLO["messages"] * 51}, "messages"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a"}}]}]},
            "messages[0].content[0].image_url.url",
        ),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"n": 2}, "n"),
    ],
)
def test_what_deepl_cannot_do_is_refused_by_name(members: Json, param: str) -> None:
    with pytest.raises(Refusal) as caught:
        upstream_of(_provider(), CHAT, {**FREE, **members})
    assert (caught.value.status, caught.value.param) == (400, param)


@table(
    ("status", "document", "found", "code", "message"),
    [
        (403, b"", 403, "status_403", "The key of DeepL is not valid."),
        (456, {"message": "Quota Exceeded"}, 429, "insufficient_quota", "Quota Exceeded"),
        (429, {"message": "Too many requests"}, 429, "provider_error", "Too many requests"),
        (400, {"message": "Value for 'target_lang' not supported."}, 400, "provider_error", "not supported"),
        (200, {"message": "m"}, 400, "provider_error", "m"),
        (200, {"translations": [1]}, 502, "bad_answer", "has no translations"),
        (200, b"<html>", 502, "bad_answer", "has no translations"),
    ],
)
def test_errors_are_the_clients_own(status: int, document: object, found: int, code: str, message: str) -> None:
    provider = _provider()
    openai = whole_of(provider, upstream_of(provider, CHAT, FREE), document, status)
    anthropic = whole_of(provider, upstream_of(provider, MESSAGES, FREE), document, status)

    assert (openai.status, anthropic.status) == (found, found)
    assert document_of(openai)["error"]["code"] == code
    assert message in document_of(openai)["error"]["message"]
    assert document_of(anthropic)["type"] == "error"


@table(
    ("keys", "problem"),
    [
        ("apiTokens: t", "provider.targetLang: is missing: the language to translate to, such as ZH"),
        ("apiTokens: t, targetLang: 'Chinese (old)'", "provider.targetLang: expected a language of DeepL's"),
        ("targetLang: ZH", "provider.apiTokens: is missing"),
    ],
)
def test_a_missing_or_wrong_key_is_named_at_the_start(keys: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        registry.read(f"provider: {{type: deepl, {keys}}}", {})
    assert str(caught.value.problems[0]).startswith(problem)
