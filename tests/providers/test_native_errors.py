"""Cloudflare and Baidu: OpenAI's API with errors of their own, which become those of the client's dialect."""

from __future__ import annotations

import json

from mitm_ai_proxy.exchange import Answer, Whole
from tests.providers.chats import CHAT, HELLO, MESSAGES, Json, outgoing_of, provider_of, upstream_of
from tests.providers.vendor_answers import WHOLE, chunks_of, document_of, events, stream_of, whole_of
from tests.tables import table

CLOUDFLARE = "cloudflare, apiTokens: t, cloudflareAccountId: acc"
BAIDU = "baidu, apiTokens: t"
OPENAI_ERROR = {"error": {"code": "invalid_model", "message": "m", "type": "t"}, "id": "as-1"}


@table(
    ("block", "status", "document", "found", "code"),
    [
        (CLOUDFLARE, 400, {"success": False, "errors": [{"code": 7003, "message": "m"}], "result": {}}, 400, "7003"),
        (CLOUDFLARE, 401, {"errors": [{"code": 10000, "message": "m"}], "success": False}, 401, "10000"),
        (CLOUDFLARE, 200, {"success": False, "errors": [{"code": 5007, "message": "m"}]}, 502, "5007"),
        (BAIDU, 200, {"error_code": 18, "error_msg": "m"}, 429, "18"),
        (BAIDU, 200, {"error_code": 110, "error_msg": "m", "id": "as-1"}, 401, "110"),
        (BAIDU, 400, OPENAI_ERROR, 400, "invalid_model"),
        (BAIDU, 200, OPENAI_ERROR, 400, "invalid_model"),
    ],
)
def test_an_error_is_one_of_the_clients_dialect(block: str, status: int, document: Json, found: int, code: str) -> None:
    provider = provider_of(block)
    openai = whole_of(provider, upstream_of(provider, CHAT, HELLO), document, status)
    anthropic = whole_of(provider, upstream_of(provider, MESSAGES, HELLO), document, status)

    assert (openai.status, anthropic.status) == (found, found)
    error = document_of(openai)["error"]
    assert (error["message"], error["code"]) == ("m", code)
    assert document_of(anthropic)["type"] == "error"
    assert "m" in document_of(anthropic)["error"]["message"]


def test_an_error_in_a_stream_is_its_last_event() -> None:
    for block, document in (
        (BAIDU, {"error_code": 18, "error_msg": "m"}),
        (CLOUDFLARE, {"errors": [{"message": "m"}]}),
    ):
        provider = provider_of(block)
        sent = upstream_of(provider, MESSAGES, {**HELLO, "stream": True})
        *_, last = chunks_of(stream_of(provider, sent, events(document)))
        assert last["type"] == "error"
    provider = provider_of(BAIDU)
    stream = stream_of(
        provider, upstream_of(provider, CHAT, {**HELLO, "stream": True}), events({"error_code": 18, "error_msg": "m"})
    )
    assert chunks_of(stream)[-1]["error"]["code"] == "18"


def test_what_is_openai_s_already_and_a_page_stay_to_the_byte() -> None:
    provider = provider_of(CLOUDFLARE)
    sent = upstream_of(provider, CHAT, HELLO)
    body = b'{ "error" : {"message":"m", "x":1e400} }'
    for status, kept in ((500, body), (502, b"{no JSON"), (200, b'{ "choices":[], "x":1e400}'), (400, b"[]")):
        handling = provider.responseheaders(sent, status, WHOLE)
        assert isinstance(handling, Whole)
        answer = Answer(status, kept)
        assert handling.rewrite(answer) is answer
    assert not isinstance(provider.responseheaders(sent, 502, ((b"content-type", b"text/html"),)), Whole)


@table(
    ("block", "model", "mapped", "url"),
    [
        (
            'baidu, apiTokens: ["YOUR_BAIDU_API_TOKEN"], modelMapping: {gpt-3: ERNIE-4.0, "*": ERNIE-4.0}',
            "gpt-4-turbo",
            "ERNIE-4.0",
            "https://qianfan.baidubce.com/v2/chat/completions",
        ),
        (
            'cloudflare, apiTokens: ["YOUR_WORKERS_AI_API_TOKEN"], cloudflareAccountId: "YOUR_CLOUDFLARE_ACCOUNT_ID",'
            ' modelMapping: {"*": "@cf/meta/llama-3-8b-instruct"}',
            "gpt-3.5",
            "@cf/meta/llama-3-8b-instruct",
            "https://api.cloudflare.com/client/v4/accounts/YOUR_CLOUDFLARE_ACCOUNT_ID/ai/v1/chat/completions",
        ),
    ],
)
def test_the_plugins_examples_work(block: str, model: str, mapped: str, url: str) -> None:
    document = {"model": model, "max_tokens": 1024, "messages": [{"role": "user", "content": "Who are you?"}]}
    for target in (CHAT, MESSAGES):
        outgoing = outgoing_of(provider_of(block), target, document)
        assert f"{outgoing.upstream.origin}{outgoing.target}" == url
        assert json.loads(outgoing.body or b"")["model"] == mapped
