"""Embeddings, reranking and pictures in OpenAI's shapes, at vendors that have them in their own."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import Answer, Whole
from tests.providers.chats import Json, fields_of, outgoing_of, provider_of, upstream_of
from tests.tables import table

QWEN: Final = "qwen, qwenEnableCompatible: false, modelMapping: {m: own}"
HUNYUAN: Final = f"hunyuan, hunyuanAuthId: {'A' * 36}, hunyuanAuthKey: {'B' * 32}"
MINIMAX: Final = "minimax, minimaxGroupId: 'g 1'"
EMBEDDINGS, RERANKS, PICTURES, SPEECH = "/v1/embeddings", "/v1/reranks", "/v1/images/generations", "/v1/audio/speech"
SERVICES: Final = "/api/v1/services"
LIMITED: Final = {"Code": "LimitExceeded", "Message": "no"}
RESULT: Final = {"index": 1, "relevance_score": 0.5}
MEDIA: Final = f"{SERVICES}/aigc/multimodal-generation/generation"


@table(
    ("block", "target", "request", "path", "sent"),
    [
        (
            QWEN,
            EMBEDDINGS,
            {"model": "m", "input": "Hello", "dimensions": 64},
            f"{SERVICES}/embeddings/text-embedding/text-embedding",
            {"model": "own", "input": {"texts": ["Hello"]}, "parameters": {"dimension": 64}},
        ),
        (
            QWEN,
            RERANKS,
            {"model": "m", "query": "q", "documents": ["a", "b"], "top_n": 1, "return_documents": True},
            f"{SERVICES}/rerank/text-rerank/text-rerank",
            {
                "model": "own",
                "input": {"query": "q", "documents": ["a", "b"]},
                "parameters": {"top_n": 1, "return_documents": True},
            },
        ),
        (
            "qwen",
            PICTURES,
            {"model": "qwen-image", "prompt": "a cat", "n": 2, "size": "1024x768"},
            MEDIA,
            {
                "model": "qwen-image",
                "input": {"messages": [{"role": "user", "content": [{"text": "a cat"}]}]},
                "parameters": {"watermark": False, "n": 2, "size": "1024*768"},
            },
        ),
        (HUNYUAN, EMBEDDINGS, {"model": "m", "input": ["a", "b"]}, "/", {"InputList": ["a", "b"]}),
        (
            MINIMAX,
            EMBEDDINGS,
            {"model": "embo-01", "input": ["a"]},
            "/v1/embeddings?GroupId=g%201",
            {"model": "embo-01", "texts": ["a"], "type": "db"},
        ),
        (
            f"{MINIMAX}, providerBasePath: /in",
            PICTURES,
            {"model": "image-01", "prompt": "a cat", "size": "1024x768", "response_format": "b64_json"},
            "/in/v1/image_generation",
            {"model": "image-01", "prompt": "a cat", "width": 1024, "height": 768, "response_format": "base64"},
        ),
        (
            MINIMAX,
            SPEECH,
            {
                "model": "speech-2.8-hd",
                "input": "Hi é",
                "voice": "male-qn-qingse",
                "speed": 1.50,
                "response_format": "pcm",
                "voice_setting": {"emotion": "happy"},
                "language_boost": "auto",
            },
            "/v1/t2a_v2?GroupId=g%201",
            {
                "model": "speech-2.8-hd",
                "text": "Hi é",
                "stream": False,
                "output_format": "hex",
                "voice_setting": {"emotion": "happy", "voice_id": "male-qn-qingse", "speed": 1.5},
                "audio_setting": {"sample_rate": 24000, "format": "pcm"},
                "language_boost": "auto",
            },
        ),
    ],
)
def test_a_request_is_in_the_vendor_s_form(block: str, target: str, request: Json, path: str, sent: Json) -> None:
    upstream = upstream_of(provider_of(block), target, request)

    assert (upstream.target, json.loads(upstream.body or b"")) == (path, sent)


def _answer(block: str, target: str, request: Json, document: object, status: int = 200) -> Answer:
    provider = provider_of(block)
    sent = upstream_of(provider, target, request)
    handling = provider.responseheaders(sent, status, ((b"content-type", b"application/json"),))
    assert isinstance(handling, Whole)
    return handling.rewrite(Answer(status, json.dumps(document).encode()))


SPOKEN: Final[Json] = {"model": "speech-2.8-hd", "input": "Hi", "voice": "v"}


@table(
    ("form", "document", "found"),
    [
        (None, {"data": {"audio": "fffb90", "status": 2}}, (200, "audio/mpeg", b"\xff\xfb\x90")),
        ("wav", {"data": {"audio": "5249", "status": 2}}, (200, "audio/wav", b"RI")),
        (None, {"data": {"audio": "", "status": 2}}, (502, "application/json", b"")),
        (None, {"data": {"audio": "xy"}}, (502, "application/json", b"")),
        (None, {"data": None, "base_resp": {"status_code": 1004, "status_msg": "no"}}, (401, "application/json", b"")),
    ],
)
def test_speech_is_the_sound_itself(form: str | None, document: Json, found: tuple[int, str, bytes]) -> None:
    request = SPOKEN if form is None else {**SPOKEN, "response_format": form}
    answer = _answer("minimax", SPEECH, request, {"base_resp": {"status_code": 0, "status_msg": "success"}, **document})

    assert (answer.status, answer.headers["content-type"]) == found[:2]
    assert answer.body == found[2] or "error" in json.loads(answer.body)


@table(
    ("change", "named"),
    [
        ({"response_format": "opus"}, "response_format"),
        ({"stream_format": "sse"}, "stream_format"),
        ({"voice": None}, "voice"),
    ],
)
def test_speech_that_the_vendor_does_not_have_is_refused(change: Json, named: str) -> None:
    with pytest.raises(Refusal, match=named):
        upstream_of(provider_of("minimax"), SPEECH, {**SPOKEN, **change})


EMBEDDED: Final = {
    QWEN: {"output": {"embeddings": [{"text_index": 0, "embedding": [1.5, -2]}]}, "usage": {"total_tokens": 1}},
    HUNYUAN: {"Response": {"Data": [{"Index": 0, "Embedding": [1.5, -2]}], "Usage": {"TotalTokens": 1}}},
    MINIMAX: {"vectors": [[1.5, -2]], "total_tokens": 1, "base_resp": {"status_code": 0, "status_msg": ""}},
}


@table(("block", "document"), EMBEDDED.items())
def test_embeddings_are_those_of_openai(block: str, document: Json) -> None:
    request = {"model": "m", "input": "Hello"}
    found = json.loads(_answer(block, EMBEDDINGS, request, document).body)
    packed = json.loads(_answer(block, EMBEDDINGS, {**request, "encoding_format": "base64"}, document).body)

    assert found == {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [1.5, -2]}],
        "model": "own" if block == QWEN else "m",
        "usage": {"prompt_tokens": 1, "total_tokens": 1},
    }
    # OpenAI's SDKs ask for base64, 32-bit floats, and unpack it.
    assert packed["data"][0]["embedding"] == "AADAPwAAAMA="


@table(
    ("block", "target", "request", "document", "found"),
    [
        (
            QWEN,
            RERANKS,
            {"model": "m", "query": "q", "documents": ["a", "b"]},
            {"output": {"results": [RESULT]}, "usage": {"total_tokens": 3}, "request_id": "r"},
            {
                "object": "list",
                "id": "r",
                "model": "own",
                "results": [RESULT],
                "usage": {"prompt_tokens": 3, "total_tokens": 3},
            },
        ),
        (
            "qwen",
            PICTURES,
            {"model": "m", "prompt": "p"},
            {"output": {"choices": [{"message": {"content": [{"image": "https://files.test/1.png"}]}}]}},
            {"created": 1700000000, "data": [{"url": "https://files.test/1.png"}]},
        ),
        (
            MINIMAX,
            PICTURES,
            {"model": "m", "prompt": "p"},
            {"data": {"image_urls": ["https://files.test/1.png"]}, "base_resp": {"status_code": 0}},
            {"created": 1700000000, "data": [{"url": "https://files.test/1.png"}]},
        ),
        (
            MINIMAX,
            PICTURES,
            {"model": "m", "prompt": "p", "response_format": "b64_json"},
            {"data": {"image_base64": ["AA=="]}, "base_resp": {"status_code": 0}},
            {"created": 1700000000, "data": [{"b64_json": "AA=="}]},
        ),
    ],
)
def test_an_answer_is_in_the_client_s_form(
    block: str, target: str, request: Json, document: object, found: Any
) -> None:
    answer = _answer(block, target, request, document)

    assert (answer.status, json.loads(answer.body)) == (200, found)


@table(
    ("block", "document", "status", "code"),
    [
        (QWEN, {"code": "InvalidApiKey", "message": "no", "request_id": "r"}, 401, "InvalidApiKey"),
        (HUNYUAN, {"Response": {"Error": LIMITED, "RequestId": "r"}}, 429, "LimitExceeded"),
        (MINIMAX, {"base_resp": {"status_code": 1008, "status_msg": "no"}}, 402, "1008"),
        (QWEN, {"output": {}}, 502, "bad_answer"),
        (HUNYUAN, {}, 502, "bad_answer"),
        (MINIMAX, [], 502, "bad_answer"),
    ],
)  # fmt: skip
def test_an_error_is_one_of_openai_s(block: str, document: object, status: int, code: str) -> None:
    for sent in (200, status):
        answer = _answer(block, EMBEDDINGS, {"model": "m", "input": "a"}, document, sent)

        if sent == 200:
            assert (answer.status, json.loads(answer.body)["error"]["code"]) == (status, code)
            assert answer.headers.get("x-request-id", "") == ("r" if "r" in str(document).split("'") else "")
        assert answer.status == status


@table(
    ("block", "target", "request", "param"),
    [
        (QWEN, EMBEDDINGS, {"model": "m"}, "input"),
        (QWEN, EMBEDDINGS, {"model": "m", "input": [1, 2]}, "input[0]"),
        (QWEN, RERANKS, {"model": "m", "query": "q"}, "documents"),
        ("qwen", PICTURES, {"model": "m", "prompt": "p", "size": "big"}, "size"),
        ("qwen", PICTURES, {"model": "m", "prompt": "p", "response_format": "b64_json"}, "response_format"),
        (MINIMAX, PICTURES, {"model": "m"}, "prompt"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_its_name(block: str, target: str, request: Json, param: str) -> None:
    with pytest.raises(Refusal) as caught:
        upstream_of(provider_of(block), target, request)

    assert (caught.value.status, caught.value.param) == (400, param)


def test_what_is_left_out_is_noted() -> None:
    upstream = upstream_of(provider_of(QWEN), EMBEDDINGS, {"model": "m", "input": "a", "user": "u"})

    assert "user left out: DashScope has no such member" in upstream.notes


def test_hunyuan_s_embeddings_are_an_action_of_their_own() -> None:
    fields = fields_of(outgoing_of(provider_of(HUNYUAN), EMBEDDINGS, {"model": "m", "input": "a"}))

    assert fields["x-tc-action"] == "GetEmbedding"
    assert "SignedHeaders=content-type;host;x-tc-action" in fields["authorization"]
