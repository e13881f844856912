"""Vertex AI: hosts and paths by region and mode, credentials, Claude and Gemini by the model, pictures, counts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mitm_ai_proxy import pipeline, registry
from mitm_ai_proxy.auth.access_tokens import AccessToken
from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.config.file import ConfigurationError
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import Answer, NeedsBody, Pass, Whole
from mitm_ai_proxy.providers import google_images
from mitm_ai_proxy.providers.base import Provider
from tests.auth.service_account import EMAIL, key_file, pem
from tests.providers.chats import CHAT, COUNT, HELLO, MESSAGES, Json, fields_of, head_of, outgoing_of, upstream_of
from tests.providers.test_gemini import ANSWER, IMAGES, PIXEL, WHOLE, answered, body_of, got, refusal_of, url_of
from tests.tables import table

NOW = 1_700_000_000.0
ACCOUNT: Json = {"vertexAuthKey": key_file(), "vertexRegion": "us-central1", "vertexProjectId": "your-project-id"}
EXPRESS: Json = {"apiTokens": ["YOUR_API_KEY"]}
REGIONAL = "https://us-central1-aiplatform.googleapis.com/v1/projects/your-project-id/locations/us-central1/publishers"
GLOBAL = "https://aiplatform.googleapis.com/v1/publishers"
CLAUDE = "claude-sonnet-4-5@20250929"


def vertex(keys: Json | None = None, **more: Any) -> Provider:
    """A provider whose access token is there."""
    block = {"type": "vertex", **(ACCOUNT if keys is None else keys), **more}
    provider = registry.provider(registry.read({"provider": block}, {}), lambda: NOW)
    if provider.access_tokens:
        provider.access_tokens.put(AccessToken(Secret("ya29.token"), NOW + 3600), NOW)
    return provider


def problems(keys: Json) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        registry.read({"provider": {"type": "vertex", **keys}}, {})
    return [str(problem).removeprefix("provider.") for problem in caught.value.problems]


def asked(model: str, **members: Any) -> Json:
    return {**HELLO, "model": model, **members}


# The seed's examples


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


STANDARD = f"""
provider:
  type: vertex
  vertexAuthKey: |
{_indented(key_file())}
  vertexRegion: us-central1
  vertexProjectId: your-project-id
  vertexAuthServiceName: your-auth-service-name
"""
COMPATIBLE = f"""
provider:
  type: vertex
  vertexOpenAICompatible: true
  vertexAuthKey: |
{_indented(key_file())}
  vertexRegion: us-central1
  vertexProjectId: your-project-id
  vertexAuthServiceName: your-auth-service-name
  modelMapping:
    "gpt-4": "gemini-2.0-flash"
    "*": "gemini-1.5-flash"
"""
PICTURES = """
provider:
  type: vertex
  apiTokens:
    - "YOUR_API_KEY"
  modelMapping:
    "dall-e-3": "gemini-2.0-flash-exp"
  geminiSafetySetting:
    HARM_CATEGORY_HARASSMENT: "OFF"
    HARM_CATEGORY_HATE_SPEECH: "OFF"
    HARM_CATEGORY_SEXUALLY_EXPLICIT: "OFF"
    HARM_CATEGORY_DANGEROUS_CONTENT: "OFF"
"""


def _of_text(text: str) -> Provider:
    provider = registry.provider(registry.read(text, {}), lambda: 1729986750.0)
    if provider.access_tokens:
        provider.access_tokens.put(AccessToken(Secret("ya29.token"), 1729990000), 1729986750)
    return provider


def test_the_block_of_the_plugin_with_a_service_account_works() -> None:
    provider = _of_text(STANDARD)
    outgoing = outgoing_of(provider, CHAT, asked("gemini-2.0-flash-001", stream=False), "Authorization: Bearer client")

    assert url_of(outgoing.upstream) == f"{REGIONAL}/google/models/gemini-2.0-flash-001:generateContent"
    assert fields_of(outgoing)["authorization"] == "Bearer ya29.token"
    assert outgoing.secret_fields == {b"authorization"}
    document = json.loads(answered(provider, outgoing.upstream, ANSWER).body)
    assert (document["created"], document["choices"][0]["message"]["content"]) == (1729986750, "I am Gemini.")


def test_the_block_of_the_plugin_with_an_express_key_works() -> None:
    outgoing = outgoing_of(
        vertex(EXPRESS), f"{CHAT}?key=client", asked("gemini-2.5-flash"), "Authorization: Bearer client"
    )

    assert outgoing.upstream.target == "/v1/publishers/google/models/gemini-2.5-flash:generateContent"
    assert outgoing.target == "/v1/publishers/google/models/gemini-2.5-flash:generateContent?key=YOUR_API_KEY"
    assert "YOUR_API_KEY" not in outgoing.redacted_target
    assert "authorization" not in fields_of(outgoing)


def test_the_block_of_the_plugin_with_openai_s_form_works() -> None:
    provider = _of_text(COMPATIBLE)
    upstream = upstream_of(provider, CHAT, {**asked("gpt-4"), "x": 1.50})
    place = "https://us-central1-aiplatform.googleapis.com/v1beta1/projects/your-project-id/locations/us-central1"

    assert url_of(upstream) == f"{place}/endpoints/openapi/chat/completions"
    assert body_of(upstream) == {**asked("google/gemini-2.0-flash"), "x": 1.5}
    assert isinstance(provider.responseheaders(upstream, 200, WHOLE), Pass)
    messages = upstream_of(provider, MESSAGES, asked("claude-x", system="s"))
    assert url_of(messages) == url_of(upstream)
    assert body_of(messages)["model"] == "google/gemini-1.5-flash"
    mapped = _of_text(COMPATIBLE.replace("gemini-1.5-flash", "claude-opus-4-1"))
    assert upstream_of(mapped, MESSAGES, asked("x")).target.endswith("/anthropic/models/claude-opus-4-1:rawPredict")


@table(("size", "expected"), google_images.SIZES.items())
def test_the_block_of_the_plugin_makes_pictures(size: str, expected: tuple[str, str]) -> None:
    provider = _of_text(PICTURES)
    sent = upstream_of(provider, IMAGES, {"model": "dall-e-3", "prompt": "A cute orange cat", "size": size, "n": 1})

    assert url_of(sent) == f"{GLOBAL}/google/models/gemini-2.0-flash-exp:generateContent"
    assert body_of(sent)["generationConfig"]["imageConfig"] == {"aspectRatio": expected[0], "imageSize": expected[1]}
    assert [one["threshold"] for one in body_of(sent)["safetySettings"]] == ["OFF"] * 4
    parts = [{"inlineData": {"mimeType": "image/png", "data": PIXEL}}]
    usage = {"promptTokenCount": 13, "candidatesTokenCount": 1343}
    made = {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}], "usageMetadata": usage}
    assert json.loads(answered(provider, sent, made).body) == {
        "created": 1729986750,
        "data": [{"b64_json": PIXEL}],
        "usage": {"total_tokens": 1356, "input_tokens": 13, "output_tokens": 1343},
    }


# Hosts and paths


@table(
    ("keys", "url"),
    [
        ({}, f"{REGIONAL}/google/models/gemini-x:generateContent"),
        (
            {"vertexRegion": "global"},
            "https://aiplatform.googleapis.com/v1/projects/your-project-id/locations/global/publishers/google/models/"
            "gemini-x:generateContent",
        ),
        (
            {"vertexRegion": "eu", "vertexProjectId": ""},
            "https://aiplatform.eu.rep.googleapis.com/v1/projects/my-project/locations/eu/publishers/google/models/"
            "gemini-x:generateContent",
        ),
        (
            {"vertexProjectId": "domain.com:p"},
            f"{REGIONAL.replace('your-project-id', 'domain.com:p')}/google/models/gemini-x:generateContent",
        ),
        (
            {"providerDomain": "http://127.0.0.1:9", "providerBasePath": "/ai"},
            f"http://127.0.0.1:9/ai{REGIONAL.partition('.com')[2]}/google/models/gemini-x:generateContent",
        ),
        (
            {"baseUrl": "https://gw.test/v"},
            f"https://gw.test/v{REGIONAL.partition('.com')[2]}/google/models/gemini-x:generateContent",
        ),
    ],
)
def test_a_chat_goes_to_the_host_of_the_region(keys: Json, url: str) -> None:
    provider = vertex({**ACCOUNT, **keys})

    assert url_of(upstream_of(provider, CHAT, asked("gemini-x"))) == url
    assert url_of(upstream_of(provider, MESSAGES, asked("gemini-x"))) == url


@table("model", ["..", "a/../b", "claude-/../x", "gemini-a?b", "claude-a#b"])
def test_no_model_of_a_client_s_leaves_its_place(model: str) -> None:
    for target in (CHAT, MESSAGES):
        refusal = refusal_of(vertex(), target, asked(model))
        assert (refusal.status, refusal.param) == (400, "model")


def test_a_chat_without_a_model_is_refused() -> None:
    documents: list[Json] = [{"messages": []}, {"model": ""}, {"model": 5}]
    for document in documents:
        assert refusal_of(vertex(), CHAT, document).status == 400


def test_links_get_a_media_type_and_settings_go_into_the_config() -> None:
    content = [{"type": "image_url", "image_url": {"url": "https://a.test/b"}}]
    provider = vertex(
        customSettings=[{"name": "top_k", "value": 3}], vertexGeminiSafetySetting={"HARM_CATEGORY_HARASSMENT": False}
    )
    body = body_of(
        upstream_of(provider, CHAT, {"model": "gemini-x", "messages": [{"role": "user", "content": content}]})
    )

    assert body["contents"][0]["parts"][0]["fileData"]["mimeType"] == "image/jpeg"
    assert body["generationConfig"] == {"topK": 3}
    assert body["safetySettings"] == [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}]


# Claude


def test_claude_s_own_messages_stay_to_the_byte_but_for_the_model_and_the_version() -> None:
    body = (
        b'{ "model":"c" , "max_tokens": 9,"messages":[{"role":"user","content":"\\u00e9"}], "x": 1.50, "stream" : true}'
    )
    provider = vertex(modelMapping={"c": "claude-sonnet-4-5-20250929"})
    outgoing = outgoing_of(
        provider,
        f"{MESSAGES}?beta=true",
        body,
        "x-api-key: client",
        "anthropic-version: 2023-06-01",
        "anthropic-beta: interleaved-thinking-2025-05-14,unknown-1",
    )

    assert url_of(outgoing.upstream) == f"{REGIONAL}/anthropic/models/{CLAUDE}:streamRawPredict"
    assert outgoing.body == (
        b'{ "max_tokens": 9,"messages":[{"role":"user","content":"\\u00e9"}], "x": 1.50, "stream" : true'
        b',"anthropic_version":"vertex-2023-10-16"}'
    )
    fields = fields_of(outgoing)
    assert fields["anthropic-beta"] == "interleaved-thinking-2025-05-14"
    assert not {"anthropic-version", "x-api-key"} & fields.keys()
    assert "betas that Vertex AI does not know left out: unknown-1" in outgoing.upstream.notes


@table(
    ("lines", "members", "expected"),
    [
        ([], {}, {"anthropic_version": "vertex-2023-10-16"}),
        (["anthropic-version: 2026-10-21"], {}, {"anthropic_version": "2026-10-21"}),
        ([], {"anthropic_version": "own"}, {"anthropic_version": "own"}),
        ([], {"context_management": {}}, {"anthropic_version": "vertex-2023-10-16"}),
        (
            ["anthropic-beta: context-management-2025-06-27"],
            {"context_management": {}},
            {"context_management": {}, "anthropic_version": "vertex-2023-10-16"},
        ),
    ],
)
def test_the_version_is_the_one_that_the_body_was_written_for(lines: list[str], members: Json, expected: Json) -> None:
    sent = upstream_of(vertex(), MESSAGES, {**asked("claude-x"), **members}, *lines)

    assert body_of(sent) == {"max_tokens": 9, "messages": HELLO["messages"], **expected}


def test_max_tokens_is_there_where_the_client_has_forgotten_it() -> None:
    sent = upstream_of(vertex(), MESSAGES, {"model": "claude-x", "messages": HELLO["messages"]})

    assert body_of(sent)["max_tokens"] == 4096


def test_openai_s_chats_with_claude_are_translated_and_answered() -> None:
    provider = vertex()
    sent = upstream_of(provider, CHAT, asked(CLAUDE, reasoning_effort="low"))
    answer = {
        "type": "message", "id": "m", "role": "assistant", "model": "claude", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "hi"}], "usage": {"input_tokens": 3, "output_tokens": 1},
    }  # fmt: skip

    assert url_of(sent) == f"{REGIONAL}/anthropic/models/{CLAUDE}:rawPredict"
    assert body_of(sent)["anthropic_version"] == "vertex-2023-10-16"
    assert "model" not in body_of(sent)
    assert json.loads(answered(provider, sent, answer).body)["choices"][0]["message"]["content"] == "hi"


def test_an_error_of_google_s_before_claude_is_one_of_anthropic_s() -> None:
    provider = vertex()
    sent = upstream_of(provider, MESSAGES, asked("claude-x"))
    google = [{"error": {"code": 403, "message": "no access", "status": "PERMISSION_DENIED"}}]
    own = b'{ "type":"error","error":{"type":"overloaded_error","message":"busy"}}'
    found = answered(provider, sent, google, 403)

    assert (found.status, json.loads(found.body)["error"]["type"]) == (403, "permission_error")
    assert answered(provider, sent, own, 529).body == own
    assert isinstance(provider.responseheaders(sent, 200, WHOLE), Pass)


def test_tokens_are_counted_by_claude_or_gemini() -> None:
    provider = vertex(modelMapping={"c": "claude-sonnet-4-5-20250929"})
    claude = upstream_of(provider, f"{COUNT}?beta=true", {"model": "c", "messages": HELLO["messages"]})
    gemini = upstream_of(provider, COUNT, {"model": "gemini-x", "messages": HELLO["messages"], "system": "s"})

    assert url_of(claude) == f"{REGIONAL}/anthropic/models/count-tokens:rawPredict"
    assert body_of(claude) == {
        "model": CLAUDE,
        "messages": HELLO["messages"],
        "anthropic_version": "vertex-2023-10-16",
    }
    assert json.loads(answered(provider, claude, {"input_tokens": 8}).body) == {"input_tokens": 8}
    assert url_of(gemini) == f"{REGIONAL}/google/models/gemini-x:countTokens"
    assert list(body_of(gemini)) == ["contents", "systemInstruction"]
    assert json.loads(answered(provider, gemini, {"totalTokens": 8}).body) == {"input_tokens": 8}
    for document in ({}, {"model": "gemini-/.."}):
        needs = provider.requestheaders(head_of(COUNT))
        assert isinstance(needs, NeedsBody)
        assert isinstance(pipeline.request(needs, head_of(COUNT), json.dumps(document).encode()), Answer)


# Others


def test_embeddings_are_predictions() -> None:
    provider = vertex()
    sent = upstream_of(
        provider, "/v1/embeddings", {"model": "text-embedding-005", "input": ["a", "b"], "dimensions": 3}
    )
    made = {"predictions": [{"embeddings": {"values": [i, 0.5], "statistics": {"token_count": 2}}} for i in (1, 2)]}

    assert url_of(sent) == f"{REGIONAL}/google/models/text-embedding-005:predict"
    assert body_of(sent) == {
        "instances": [{"content": "a"}, {"content": "b"}],
        "parameters": {"outputDimensionality": 3},
    }
    found = json.loads(answered(provider, sent, made).body)
    assert [(one["index"], one["embedding"]) for one in found["data"]] == [(0, [1, 0.5]), (1, [2, 0.5])]
    assert found["usage"] == {"prompt_tokens": 4, "total_tokens": 4}


def test_the_format_of_a_picture_is_asked_for() -> None:
    sent = upstream_of(vertex(), IMAGES, {"model": "m", "prompt": "a", "output_format": "jpeg"})

    assert body_of(sent)["generationConfig"]["imageConfig"] == {"imageOutputOptions": {"mimeType": "image/jpeg"}}


def test_models_are_those_of_google_as_a_publisher() -> None:
    sent = got(vertex(), "/v1/models")
    listed = {"publisherModels": [{"name": "publishers/google/models/gemini-x"}]}

    assert url_of(sent).startswith("https://us-central1-aiplatform.googleapis.com/v1beta1/publishers/google/models?")
    assert json.loads(answered(vertex(), sent, listed).body)["data"][0]["id"] == "gemini-x"


@table(
    "target",
    [
        "/v1/projects/other/locations/europe-west4/publishers/anthropic/models/claude-x:streamRawPredict",
        "/v1beta1/projects/p/locations/l/publishers/google/models/gemini-x:generateContent",
        "/v1/publishers/google/models/gemini-x:streamGenerateContent?alt=sse",
        "/v1beta1/projects/p/locations/l/endpoints/openapi/chat/completions",
        "/v1/projects/p/locations/l/cachedContents?a=b",
    ],
)
def test_a_client_of_google_s_or_anthropic_s_for_vertex_passes_as_it_is(target: str) -> None:
    blocks: list[Json] = [{}, {"protocol": "original"}]
    for keys in blocks:
        outgoing = outgoing_of(vertex(**keys), target, b'{ "a": 1.0}', "Authorization: Bearer client")
        assert (outgoing.target, outgoing.body) == (target, None)
        assert fields_of(outgoing)["authorization"] == "Bearer ya29.token"


def test_nothing_is_sent_without_a_token() -> None:
    provider = registry.provider(registry.read({"provider": {"type": "vertex", **ACCOUNT}}, {}), lambda: NOW)
    upstream = upstream_of(provider, CHAT, asked("gemini-x"))
    with pytest.raises(Refusal) as caught:
        pipeline.outgoing(provider, head_of(CHAT), upstream)

    assert (caught.value.status, caught.value.code) == (503, "no_access_token")
    assert EMAIL in caught.value.message
    assert pem().splitlines()[1] not in caught.value.message
    assert provider.remarks == (f"service account {EMAIL}",)
    assert pem() in provider.secrets()


def test_no_token_is_needed_where_a_cassette_answers() -> None:
    read = registry.read(
        {"provider": {"type": "vertex", "vertexRegion": "r", "vertexProjectId": "p"}}, {}, offline=True
    )
    provider = registry.provider(read, lambda: NOW)

    assert fields_of(outgoing_of(provider, CHAT, asked("gemini-x"))).keys() == {
        "host",
        "content-type",
        "accept-encoding",
    }


@table(
    ("keys", "says"),
    [
        ({}, ["vertexAuthKey: is missing", "vertexRegion: is missing", "vertexProjectId: is missing"]),
        ({**ACCOUNT, "vertexRegion": ""}, ["vertexRegion: is missing"]),
        (
            {**ACCOUNT, "vertexProjectId": "", "vertexAuthKey": key_file(project_id=None)},
            ["vertexProjectId: is missing, and the key names no project"],
        ),
        (
            {**EXPRESS, "vertexOpenAICompatible": True},
            ["vertexOpenAICompatible: is not compatible with Express Mode (apiTokens)"],
        ),
        ({**EXPRESS, **ACCOUNT}, ["vertexAuthKey: stands beside apiTokens"]),
        ({**ACCOUNT, "vertexAuthKey": "{}"}, ["vertexAuthKey: lacks client_email, private_key_id"]),
        ({**ACCOUNT, "vertexAuthKey": key_file(private_key="x")}, ["vertexAuthKey: has a private_key that is not PEM"]),
        ({**ACCOUNT, "vertexAuthKey": 5}, ["vertexAuthKey: expected the JSON"]),
        ({**ACCOUNT, "vertexRegion": "us/central1"}, ["vertexRegion: expected letters"]),
        ({**ACCOUNT, "vertexTokenRefreshAhead": -1}, ["vertexTokenRefreshAhead: expected a whole number of seconds"]),
    ],
)
def test_what_is_wrong_with_a_block_is_named_at_the_start(keys: Json, says: list[str]) -> None:
    found = problems(keys)

    assert len(found) == len(says), found
    for problem, start in zip(found, says, strict=True):
        assert problem.startswith(start)
        assert pem().splitlines()[1] not in problem


def test_the_key_may_be_the_mapping_that_yaml_makes_of_it() -> None:
    provider = vertex({**ACCOUNT, "vertexAuthKey": json.loads(key_file())})

    assert provider.access_tokens
    assert provider.access_tokens.name == EMAIL


def test_an_answer_is_whole_where_a_list_of_errors_comes() -> None:
    provider = vertex()
    sent = upstream_of(provider, CHAT, asked("gemini-x", stream=True))
    handling = provider.responseheaders(sent, 429, WHOLE)

    assert isinstance(handling, Whole)
    error = [{"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED"}}]
    assert json.loads(handling.rewrite(Answer(429, json.dumps(error).encode())).body)["error"]["message"] == "slow"
