"""Gemini at AI Studio: where requests go, native clients, models, tokens, embeddings and pictures."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from mitm_ai_proxy import pipeline, registry
from mitm_ai_proxy.config.file import ConfigurationError
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import Answer, NeedsBody, Pass, Pieces, Upstream, Whole
from mitm_ai_proxy.providers import google_images
from mitm_ai_proxy.providers.base import Provider
from tests.providers.chats import (
    CHAT,
    COUNT,
    HELLO,
    MESSAGES,
    Json,
    fields_of,
    head_of,
    outgoing_of,
    provider_of,
    upstream_of,
)
from tests.tables import table

HOME = "https://generativelanguage.googleapis.com"
EMBEDDINGS, IMAGES, EDITS = "/v1/embeddings", "/v1/images/generations", "/v1/images/edits"
NATIVE = "/v1beta/models/gemini-pro:generateContent"
WHOLE = ((b"Content-Type", b"application/json"),)
EVENTS = ((b"Content-Type", b"text/event-stream"),)
ANSWER: Json = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "I am Gemini."}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 29, "totalTokenCount": 34},
    "modelVersion": "gemini-pro",
}
PIXEL = "iVBORw0KGgo="
SEED = """
provider:
  type: gemini
  apiTokens:
    - "YOUR_GEMINI_API_TOKEN"
  modelMapping:
    "*": "gemini-pro"
  geminiSafetySetting:
    "HARM_CATEGORY_SEXUALLY_EXPLICIT" :"BLOCK_NONE"
    "HARM_CATEGORY_HATE_SPEECH" :"BLOCK_NONE"
    "HARM_CATEGORY_HARASSMENT" :"BLOCK_NONE"
    "HARM_CATEGORY_DANGEROUS_CONTENT" :"BLOCK_NONE"
"""


def gemini(keys: str = "") -> Provider:
    return provider_of(f"gemini, apiTokens: sk-of-the-provider{keys and f', {keys}'}")


def url_of(upstream: Upstream) -> str:
    return f"{upstream.origin}{upstream.target}"


def body_of(upstream: Upstream) -> Json:
    document: Json = json.loads(upstream.body or b"")
    return document


def got(provider: Provider, target: str, *lines: str) -> Upstream:
    found = provider.requestheaders(head_of(target, *lines)._replace(method="GET"))
    assert isinstance(found, Upstream)
    return found


def answered(provider: Provider, sent: Upstream, document: object, status: int = 200) -> Answer:
    loaded = sent._replace(memo=json.loads(json.dumps(dict(sent.memo))))
    handling = provider.responseheaders(loaded, status, WHOLE)
    assert isinstance(handling, Whole)
    return handling.rewrite(Answer(status, document if isinstance(document, bytes) else json.dumps(document).encode()))


def refusal_of(provider: Provider, target: str, document: Json | bytes, *lines: str) -> Refusal:
    with pytest.raises(Refusal) as caught:
        upstream_of(provider, target, document, *lines)
    return caught.value


# The seed's example


def test_a_block_of_the_plugin_works_as_it_is() -> None:
    provider = registry.provider(registry.read(SEED, {}), lambda: 1722756984.0)
    asked = {"model": "gpt-3.5", "messages": [{"role": "user", "content": "Who are you?"}], "stream": False}
    outgoing = outgoing_of(provider, CHAT, asked, "Authorization: Bearer client")

    assert url_of(outgoing.upstream) == f"{HOME}/v1beta/models/gemini-pro:generateContent"
    assert fields_of(outgoing)["x-goog-api-key"] == "YOUR_GEMINI_API_TOKEN"
    assert "authorization" not in fields_of(outgoing)
    assert body_of(outgoing.upstream) == {
        "contents": [{"role": "user", "parts": [{"text": "Who are you?"}]}],
        "safetySettings": [
            {"category": f"HARM_CATEGORY_{name}", "threshold": "BLOCK_NONE"}
            for name in ("SEXUALLY_EXPLICIT", "HATE_SPEECH", "HARASSMENT", "DANGEROUS_CONTENT")
        ],
    }
    document = json.loads(answered(provider, outgoing.upstream, ANSWER).body)
    assert document["id"].startswith("chatcmpl-")
    assert {name: document[name] for name in ("created", "model", "object", "usage")} == {
        "created": 1722756984,
        "model": "gemini-pro",
        "object": "chat.completion",
        "usage": {"prompt_tokens": 5, "completion_tokens": 29, "total_tokens": 34},
    }
    assert document["choices"][0]["message"]["content"] == "I am Gemini."


# Where a chat goes


@table(
    ("keys", "target", "members", "url"),
    [
        ("", CHAT, {}, f"{HOME}/v1beta/models/m:generateContent"),
        ("", MESSAGES, {}, f"{HOME}/v1beta/models/m:generateContent"),
        ("", f"{MESSAGES}?beta=true", {"stream": True}, f"{HOME}/v1beta/models/m:streamGenerateContent?alt=sse"),
        ("", f"{CHAT}?a=1", {"stream": True}, f"{HOME}/v1beta/models/m:streamGenerateContent?alt=sse"),
        ("apiVersion: v1", CHAT, {}, f"{HOME}/v1/models/m:generateContent"),
        ("version: v1", CHAT, {}, f"{HOME}/v1/models/m:generateContent"),
        ("providerDomain: 'http://127.0.0.1:9'", CHAT, {}, "http://127.0.0.1:9/v1beta/models/m:generateContent"),
        ("baseUrl: 'https://h.test/gw/v1'", CHAT, {}, "https://h.test/gw/v1/models/m:generateContent"),
        ("providerBasePath: /ai", CHAT, {}, f"{HOME}/ai/v1beta/models/m:generateContent"),
        ("basePath: /llm", f"/llm{CHAT}", {}, f"{HOME}/v1beta/models/m:generateContent"),
        (
            "basePath: /llm, basePathHandling: prepend",
            CHAT,
            {},
            f"{HOME}/llm/v1beta/models/m:generateContent",
        ),
        ("modelMapping: {m: 'a b/é?#'}", CHAT, {}, None),
        ("", CHAT, {"model": "models/gemini-pro"}, f"{HOME}/v1beta/models/gemini-pro:generateContent"),
        ("", CHAT, {"model": "x:é y@1"}, f"{HOME}/v1beta/models/x%3A%C3%A9%20y@1:generateContent"),
        ("capabilities: {openai/v1/chatcompletions: '/x/{model}?a=1'}", MESSAGES, {}, f"{HOME}/x/m?a=1"),
        (
            "capabilities: {openai/v1/chatcompletions: '/x/{model}:generateContent?a=1'}",
            CHAT,
            {"stream": True},
            f"{HOME}/x/m:streamGenerateContent?a=1&alt=sse",
        ),
    ],
)
def test_a_chat_goes_to_the_model_in_the_path(keys: str, target: str, members: Json, url: str | None) -> None:
    if url is None:
        assert refusal_of(gemini(keys), target, {**HELLO, **members}).param == "model"
    else:
        assert url_of(upstream_of(gemini(keys), target, {**HELLO, **members})) == url


@table("model", ["..", ".", "", "../files", "a/../b", "models/", "models/..", "a?b", "a#b", "a\\b", "a\nb", "%2e%2e/x"])
def test_no_model_of_a_client_s_leaves_the_base_path(model: str) -> None:
    for target in (CHAT, MESSAGES):
        refusal = refusal_of(gemini(), target, {**HELLO, "model": model})
        assert (refusal.status, refusal.param) == (400, "model")
    for target, document in ((EMBEDDINGS, {"input": "a"}), (IMAGES, {"prompt": "a"})):
        assert refusal_of(gemini(), target, {"model": model, **document}).status == 400


def test_settings_of_the_configuration_are_those_of_a_generation_config() -> None:
    settings = (
        "customSettings: [{name: max_tokens, value: 7}, {name: top_k, value: 3}, {name: temperature, value: 1, "
        "overwrite: false}, {name: thinkingConfig.thinkingBudget, value: 0, mode: raw}]"
    )
    expected = {"maxOutputTokens": 7, "temperature": 0, "topK": 3, "thinkingConfig": {"thinkingBudget": 0}}
    chat = upstream_of(gemini(settings), CHAT, {**HELLO, "temperature": 0})
    native = upstream_of(gemini(settings), NATIVE, {"contents": [], "generationConfig": {"temperature": 0}})

    assert body_of(chat)["generationConfig"] == expected
    assert body_of(native)["generationConfig"] == expected


def test_edits_apply_to_translated_chats() -> None:
    talk = {**HELLO, "messages": [{"role": "user", "content": text} for text in ("old", "/new", "a", "b")]}
    sent = upstream_of(gemini("contextCleanupCommands: [/new], mergeConsecutiveMessages: true"), CHAT, talk)

    assert len(body_of(sent)["contents"]) == 1


# Native clients


@table(
    ("target", "url"),
    [
        (NATIVE, f"{HOME}{NATIVE}"),
        ("/v1/models/m:generateContent", f"{HOME}/v1/models/m:generateContent"),
        ("/v1alpha/models/m:streamGenerateContent?alt=sse", f"{HOME}/v1alpha/models/m:streamGenerateContent?alt=sse"),
        ("/v1beta/models/m:countTokens?key=sk-of-the-client", f"{HOME}/v1beta/models/m:countTokens"),
        ("/v1beta/models/m:embedContent", f"{HOME}/v1beta/models/m:embedContent"),
        ("/v1beta/cachedContents?a=b", f"{HOME}/v1beta/cachedContents?a=b"),
        ("/upload/v1beta/files", f"{HOME}/upload/v1beta/files"),
        ("/v1/files/x", f"{HOME}/v1/files/x"),
    ],
)
def test_a_client_of_google_s_passes_as_it_is(target: str, url: str) -> None:
    body = b'{ "contents": [] , "x": 1.00}'
    outgoing = outgoing_of(gemini(), target, body, "x-goog-api-key: sk-of-the-client")

    assert f"{outgoing.upstream.origin}{outgoing.target}" == url
    assert outgoing.body is None
    assert fields_of(outgoing)["x-goog-api-key"] == "sk-of-the-provider"
    assert isinstance(gemini().responseheaders(outgoing.upstream, 200, WHOLE), Pass)


def test_the_model_in_a_native_path_is_mapped_and_nothing_else() -> None:
    provider = gemini("modelMapping: {gemini-pro: gemini-9 x}")
    for action in ("generateContent", "streamGenerateContent?alt=sse", "countTokens", "embedContent"):
        upstream = upstream_of(provider, f"/v1/models/gemini-pro:{action}", b"{}")
        assert upstream.target == f"/v1/models/gemini-9%20x:{action}"
        assert upstream.body is None
    assert upstream_of(provider, "/v1/models/other:countTokens", b"{}").target == "/v1/models/other:countTokens"


def test_a_native_path_that_leaves_the_model_is_refused() -> None:
    for model in ("..", "%2e%2e", "a%2fb", ""):
        with pytest.raises(Refusal) as caught:
            gemini().requestheaders(head_of(f"/v1beta/models/{model}:generateContent"))
        assert caught.value.status == 400


def test_protocol_original_changes_host_and_credential_only() -> None:
    outgoing = outgoing_of(gemini("protocol: original"), "/v1/models/m:generateContent?x=1", b"{}", "Authorization: a")

    assert (outgoing.target, outgoing.body) == ("/v1/models/m:generateContent?x=1", None)
    assert fields_of(outgoing)["x-goog-api-key"] == "sk-of-the-provider"
    assert "authorization" not in fields_of(outgoing)
    assert "gemini/v1beta/generatecontent of gemini" in outgoing.upstream.notes[0]


# Models


MODELS: Json = {"models": [{"name": "models/gemini-9", "displayName": "Gemini 9"}, {"name": "models/embed"}]}


def test_the_list_of_models_is_in_the_client_s_dialect() -> None:
    provider = gemini()
    openai, anthropic = (
        got(provider, "/v1/models"),
        got(provider, "/v1/models?limit=5", "anthropic-version: 2023-06-01"),
    )

    assert {url_of(openai), url_of(anthropic)} == {f"{HOME}/v1beta/models?pageSize=1000"}
    assert json.loads(answered(provider, openai, MODELS).body) == {
        "object": "list",
        "data": [
            {"id": "gemini-9", "object": "model", "created": 0, "owned_by": "google"},
            {"id": "embed", "object": "model", "created": 0, "owned_by": "google"},
        ],
    }
    found = json.loads(answered(provider, anthropic, MODELS).body)
    assert (found["data"][0]["display_name"], found["first_id"], found["last_id"]) == ("Gemini 9", "gemini-9", "embed")
    failed = answered(
        provider, anthropic, {"error": {"code": 403, "message": "no", "status": "PERMISSION_DENIED"}}, 403
    )
    assert (failed.status, json.loads(failed.body)["error"]["type"]) == (403, "permission_error")


def test_one_model_is_in_the_client_s_dialect() -> None:
    sent = got(gemini(), "/v1/models/gemini-9")

    assert url_of(sent) == f"{HOME}/v1beta/models/gemini-9"
    assert json.loads(answered(gemini(), sent, MODELS["models"][0]).body)["id"] == "gemini-9"


def test_a_client_of_google_s_has_its_own_list_of_models() -> None:
    for target, *lines in (
        ("/v1/models", "x-goog-api-client: google-genai-sdk/3"),
        ("/v1beta/models", ""),
        ("/v1/models/gemini-9", "x-goog-api-key: k"),
    ):
        sent = got(gemini(), target, *filter(None, lines))
        assert (url_of(sent), sent.memo) == (f"{HOME}{target}", {})


# Tokens


def test_tokens_are_counted_by_gemini_and_estimated_where_it_fails() -> None:
    provider = gemini("modelMapping: {m: gemini-pro}")
    asked = {"model": "m", "system": "brief", "messages": HELLO["messages"]}
    sent = upstream_of(provider, f"{COUNT}?beta=true", asked)

    assert url_of(sent) == f"{HOME}/v1beta/models/gemini-pro:countTokens"
    request = body_of(sent)["generateContentRequest"]
    assert (request["model"], request["systemInstruction"]) == ("models/gemini-pro", {"parts": [{"text": "brief"}]})
    assert json.loads(answered(provider, sent, {"totalTokens": 31}).body) == {"input_tokens": 31}
    for document, status in ((b"<html>", 502), ({"error": {"code": 400}}, 400), ({}, 200)):
        answer = answered(provider, sent, document, status)
        assert (answer.status, json.loads(answer.body)["input_tokens"] > 0) == (200, True)
    needs = provider.requestheaders(head_of(COUNT))
    assert isinstance(needs, NeedsBody)
    assert isinstance(pipeline.request(needs, head_of(COUNT), b'{"tools":[{"type":"bash_20250124"}]}'), Answer)


# Embeddings


def test_texts_become_embeddings() -> None:
    provider = gemini("modelMapping: {m: gemini-embedding-001}")
    asked = {"model": "m", "input": ["a", "é"], "dimensions": 3}
    sent = upstream_of(provider, EMBEDDINGS, asked)
    vectors = {"embeddings": [{"values": [0.5, -1, 0.25]}, {"values": [1e-07, 0, 2]}]}

    assert url_of(sent) == f"{HOME}/v1beta/models/gemini-embedding-001:batchEmbedContents"
    assert body_of(sent)["requests"][1] == {
        "model": "models/gemini-embedding-001",
        "content": {"parts": [{"text": "é"}]},
        "outputDimensionality": 3,
    }
    found = json.loads(answered(provider, sent, vectors).body)
    assert [item["index"] for item in found["data"]] == [0, 1]
    assert found["data"][1] == {"object": "embedding", "index": 1, "embedding": [1e-07, 0, 2]}
    assert (found["model"], found["usage"]) == ("gemini-embedding-001", {"prompt_tokens": 0, "total_tokens": 0})
    packed = upstream_of(provider, EMBEDDINGS, {**asked, "input": "a", "encoding_format": "base64"})
    text = json.loads(answered(provider, packed, vectors).body)["data"][0]["embedding"]
    assert struct.unpack("<3f", base64.b64decode(text)) == (0.5, -1, 0.25)
    slow = {"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}}
    assert answered(provider, packed, slow, 429).status == answered(provider, packed, slow).status == 429
    for broken in (b"x", {}, {"embeddings": 5}, {"embeddings": [{"values": ["a"]}]}):
        assert answered(provider, packed, broken).status == 502


@table(
    ("document", "param"),
    [
        ({"model": "m"}, "input"),
        ({"model": "m", "input": []}, "input"),
        ({"model": "m", "input": [1, 2]}, "input"),
        ({"model": "m", "input": [[1]]}, "input"),
        ({"model": "m", "input": ["a", None]}, "input[1]"),
        ({"input": "a"}, "model"),
        ({"model": "m", "input": "a", "dimensions": 0}, "dimensions"),
        ({"model": "m", "input": "a", "encoding_format": "x"}, "encoding_format"),
    ],
)
def test_embeddings_that_gemini_has_not_are_refused(document: Json, param: str) -> None:
    assert refusal_of(gemini(), EMBEDDINGS, document).param == param


# Pictures


@table(("size", "expected"), google_images.SIZES.items())
def test_each_size_of_the_table_is_a_ratio_and_a_size(size: str, expected: tuple[str, str]) -> None:
    sent = upstream_of(gemini(), IMAGES, {"model": "gemini-3-pro-image", "prompt": "a cat", "size": size})

    assert url_of(sent) == f"{HOME}/v1beta/models/gemini-3-pro-image:generateContent"
    assert body_of(sent) == {
        "contents": [{"role": "user", "parts": [{"text": "a cat"}]}],
        "generationConfig": {
            "responseModalities": ["TEXT", "IMAGE"],
            "imageConfig": {"aspectRatio": expected[0], "imageSize": expected[1]},
        },
    }


def test_a_size_in_no_table_is_made_as_the_nearest_and_said() -> None:
    sent = upstream_of(gemini(), IMAGES, {"model": "m", "prompt": "a", "size": "3000x1700", "quality": "hd"})

    assert body_of(sent)["generationConfig"]["imageConfig"] == {"aspectRatio": "16:9", "imageSize": "4K"}
    assert "size 3000x1700 is made as 16:9 in 4K, which is nearest to it" in sent.notes
    assert "quality left out: Gemini has no such setting" in sent.notes
    for size in ("auto", None):
        sent = upstream_of(gemini(), IMAGES, {"model": "m", "prompt": "a", "size": size})
        assert "imageConfig" not in body_of(sent)["generationConfig"]


def test_imagen_has_its_own_api() -> None:
    asked = {"model": "dall-e-3", "prompt": "a cat", "size": "1792x1024", "n": 2, "output_format": "jpeg"}
    provider = gemini("modelMapping: {dall-e-3: imagen-4.0-generate-001}, geminiSafetySetting: {A: B}")
    sent = upstream_of(provider, IMAGES, asked)

    assert url_of(sent) == f"{HOME}/v1beta/models/imagen-4.0-generate-001:predict"
    assert body_of(sent) == {
        "instances": [{"prompt": "a cat"}],
        "parameters": {
            "sampleCount": 2,
            "aspectRatio": "16:9",
            "sampleImageSize": "2K",
            "outputOptions": {"mimeType": "image/jpeg"},
        },
    }
    found = json.loads(answered(provider, sent, {"predictions": [{"bytesBase64Encoded": PIXEL}] * 2}).body)
    assert found == {"created": 1700000000, "data": [{"b64_json": PIXEL}] * 2}
    blocked = answered(provider, sent, {"predictions": [{"raiFilteredReason": "not this"}]})
    assert (blocked.status, json.loads(blocked.body)["error"]["message"]) == (400, "not this")


def test_a_picture_comes_back_with_its_usage_or_with_why_there_is_none() -> None:
    provider = gemini("geminiSafetySetting: {HARM_CATEGORY_HARASSMENT: OFF}")
    sent = upstream_of(provider, IMAGES, {"model": "m", "prompt": "a"})
    parts = [
        {"text": "hm", "thought": True},
        {"text": "here"},
        {"inlineData": {"mimeType": "image/png", "data": PIXEL}, "thoughtSignature": "QQ=="},
    ]
    usage = {"promptTokenCount": 13, "candidatesTokenCount": 1120, "totalTokenCount": 1133}

    assert body_of(sent)["safetySettings"] == [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}]
    made = {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}], "usageMetadata": usage}
    assert json.loads(answered(provider, sent, made).body) == {
        "created": 1700000000,
        "data": [{"b64_json": PIXEL}],
        "usage": {"total_tokens": 1133, "input_tokens": 13, "output_tokens": 1120},
    }
    for document, word in (
        ({"candidates": [{"content": {"parts": [{"text": "I cannot"}]}, "finishReason": "STOP"}]}, "I cannot"),
        ({"candidates": [{"finishReason": "IMAGE_SAFETY"}]}, "blocked"),
        ({"candidates": [{"finishReason": "NO_IMAGE", "finishMessage": "none made"}]}, "none made"),
        ({"promptFeedback": {"blockReason": "SAFETY"}}, "SAFETY"),
    ):
        answer = answered(provider, sent, document)
        error = json.loads(answer.body)["error"]
        assert (answer.status, error["code"], word in error["message"]) == (400, "content_policy_violation", True)
    assert answered(provider, sent, b"x").status == 502


def _form(*parts: tuple[str, str, bytes]) -> bytes:
    made = b""
    for name, type, content in parts:
        file = f'; filename="f"\r\nContent-Type: {type}' if type else ""
        made += f'--b\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + content + b"\r\n"
    return made + b"--b--\r\n"


def test_an_edit_is_a_form_or_a_document_with_pictures() -> None:
    form = _form(
        ("model", "", b"m"),
        ("prompt", "", b" a hat "),
        ("n", "", b"1"),
        ("image[]", "image/jpeg", b"\xff\xd8\xff"),
        ("image[]", "application/octet-stream", b"\x89PNG"),
    )
    with_form = provider_edit(form, "multipart/form-data; boundary=b")
    document = {
        "model": "m",
        "prompt": "a hat",
        "images": [{"image_url": {"url": "data:image/jpeg;base64,/9j/"}}],
        "image": "https://a.test/b.png",
    }
    with_json = provider_edit(json.dumps(document).encode(), "application/json")

    assert body_of(with_form)["contents"][0]["parts"] == [
        {"inlineData": {"mimeType": "image/jpeg", "data": "/9j/"}},
        {"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}},
        {"text": "a hat"},
    ]
    assert body_of(with_json)["contents"][0]["parts"] == [
        {"inlineData": {"mimeType": "image/jpeg", "data": "/9j/"}},
        {"fileData": {"mimeType": "image/png", "fileUri": "https://a.test/b.png"}},
        {"text": "a hat"},
    ]
    assert with_form.fields[b"content-type"] == b"application/json"


def provider_edit(body: bytes, content_type: str, target: str = EDITS) -> Upstream:
    provider = gemini()
    head = head_of(target)
    head = head._replace(caller=head.caller._replace(content_type=content_type))
    needs = provider.requestheaders(head)
    assert isinstance(needs, NeedsBody)
    found = pipeline.request(needs, head, body)
    assert isinstance(found, Upstream)
    return found


def test_a_variation_needs_no_prompt() -> None:
    form = _form(("model", "", b"m"), ("image", "image/png", b"\x89PNG"))
    sent = provider_edit(form, "multipart/form-data; boundary=b", "/v1/images/variations")

    assert body_of(sent)["contents"][0]["parts"][1] == {"text": "Create variations of the provided image."}


@table(
    ("target", "document", "param"),
    [
        (IMAGES, {"model": "m"}, "prompt"),
        (IMAGES, {"model": "m", "prompt": " "}, "prompt"),
        (IMAGES, {"prompt": "a"}, "model"),
        (IMAGES, {"model": "m", "prompt": "a", "n": 2}, "n"),
        (IMAGES, {"model": "m", "prompt": "a", "n": 0}, "n"),
        (IMAGES, {"model": "m", "prompt": "a", "size": "big"}, "size"),
        (IMAGES, {"model": "m", "prompt": "a", "stream": True}, "stream"),
        (IMAGES, {"model": "m", "prompt": "a", "output_format": "gif"}, "output_format"),
        (EDITS, {"model": "m", "prompt": "a"}, "image"),
        (EDITS, {"model": "m", "prompt": "a", "image": "x"}, "image"),
        (EDITS, {"model": "m", "prompt": "a", "image": 5}, "image"),
        (EDITS, {"model": "m", "prompt": "a", "image": "https://a.test/b.png", "mask": "x"}, "mask"),
        (EDITS, {"model": "imagen-4", "prompt": "a", "image": "https://a.test/b.png"}, "image"),
    ],
)
def test_pictures_that_cannot_be_made_are_refused(target: str, document: Json, param: str) -> None:
    refusal = refusal_of(gemini(), target, document)
    assert (refusal.status, refusal.param) == (400, param)


# Answers, configuration


def test_a_stream_of_a_chat_is_translated_after_its_flow_was_saved() -> None:
    provider = gemini()
    for target, end in ((CHAT, b"data: [DONE]\n\n"), (MESSAGES, b'data: {"type":"message_stop"}\n\n')):
        sent = upstream_of(provider, target, {**HELLO, "stream": True})
        loaded = sent._replace(memo=json.loads(json.dumps(dict(sent.memo))))
        handling = provider.responseheaders(loaded, 200, EVENTS)
        assert isinstance(handling, Pieces)
        stream = b"data: " + json.dumps(ANSWER).encode() + b"\r\n\r\n"
        assert (handling.transducer.feed(stream) + handling.transducer.end()).endswith(end)


@table(
    ("keys", "problem"),
    [
        ("geminiSafetySetting: [a]", "provider.geminiSafetySetting: expected a mapping of categories to thresholds"),
        (
            "geminiSafetySetting: {a b: c}",
            "provider.geminiSafetySetting: expected words such as HARM_CATEGORY_HARASSMENT: BLOCK_NONE",
        ),
        ("geminiThinkingBudget: -2", "provider.geminiThinkingBudget: expected a whole number of tokens"),
        ("apiVersion: beta", "provider.apiVersion: expected a version of the API, such as v1beta or v1"),
        (
            "capabilities: {openai/v1/embeddings: /x}",
            "provider.capabilities.openai/v1/embeddings: the path has no place for {model}",
        ),
    ],
)
def test_a_wrong_key_is_named(keys: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        registry.read(f"provider: {{type: gemini, apiTokens: t, {keys}}}", {})
    (found,) = map(str, caught.value.problems)
    assert found.startswith(problem)


def test_the_key_comes_from_the_environment_or_is_missed() -> None:
    registry.read("provider: {type: gemini}", {"GEMINI_API_KEY": "k"})
    with pytest.raises(ConfigurationError, match="GEMINI_API_KEY"):
        registry.read("provider: {type: gemini}", {})


@table("target", ["/v1/audio/speech", "/v1/responses", "/v1/completions", "/v1/files"])
def test_other_apis_are_refused(target: str) -> None:
    refusal = refusal_of(gemini(), target, HELLO)
    assert (refusal.status, refusal.code) == (404, "unsupported_api")


def test_only_posted_requests_are_translated() -> None:
    for target in (CHAT, MESSAGES, EMBEDDINGS, IMAGES):
        with pytest.raises(Refusal) as caught:
            gemini().requestheaders(head_of(target)._replace(method="GET"))
        assert caught.value.status == 404


def damaged(document: Any) -> bytes:
    return json.dumps(document).encode()[:-2]


def test_damaged_bodies_are_refused() -> None:
    for target, document in ((EMBEDDINGS, {"model": "m", "input": "a"}), (IMAGES, {"model": "m", "prompt": "a"})):
        assert refusal_of(gemini(), target, damaged(document)).status == 400
