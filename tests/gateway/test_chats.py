"""Chats of one dialect behind routes to providers of the other, and tokens that are counted here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mitmproxy.io import tnetstring

from mitm_ai_proxy.cassette import har
from mitm_ai_proxy.cassette.cassette import Mode, Opening
from mitm_ai_proxy.gateway import flows
from mitm_ai_proxy.gateway.recorded import Recorded
from mitm_ai_proxy.gateway.stages import Stage
from tests.gateway.literal import JSON, Got, Proxy, Said, make, run
from tests.providers.chats import HELLO

MESSAGES, CHAT = "POST /v1/messages", "POST /v1/chat/completions"
COUNT = "POST /v1/messages/count_tokens?beta=true"
PROVIDERS = [
    {"id": "open", "type": "groq", "providerDomain": "http://open.test:81", "apiTokens": "key-of-open"},
    {"id": "claude", "type": "claude", "providerDomain": "http://claude.test:82", "apiTokens": "key-of-claude"},
]
ROUTES = [{"model": "claude-*", "provider": "claude"}]
CLIENT = {**JSON, "X-Api-Key": "key-of-client", "anthropic-version": "2023-06-01"}
CHUNKS = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":'
    b'{"role":"assistant","content":"hi"},"finish_reason":null}]}\n\n',
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},'
    b'"finish_reason":"stop"}]}\n\n',
    b"data: [DONE]\n\n",
)
EVENTS = {"Content-Type": "text/event-stream"}


def _run(work: Any, *stages: Stage) -> None:
    run(work, *stages, provider=None, providers=PROVIDERS, routes=ROUTES, activeProviderId="open")


def _body(model: str, **members: Any) -> bytes:
    return json.dumps({**HELLO, "model": model, **members}).encode()


def _make(request: str, body: bytes) -> Any:
    return make(request, {**CLIENT, "Content-Length": str(len(body))})


async def _ask(proxy: Proxy, request: str, body: bytes, said: Said | None) -> tuple[Got, Any]:
    flow = _make(request, body)
    return await proxy.ask(flow, said, body), flow


def test_each_route_translates_where_its_provider_needs_it() -> None:
    async def work(proxy: Proxy) -> None:
        for request, model, path in (
            (MESSAGES, "m", "http://open.test:81/openai/v1/chat/completions"),
            (CHAT, "m", "http://open.test:81/openai/v1/chat/completions"),
            (MESSAGES, "claude-x", "http://claude.test:82/v1/messages"),
            (CHAT, "claude-x", "http://claude.test:82/v1/messages"),
        ):
            body = _body(model)
            flow = _make(request, body)
            sent = await proxy.send(flow, body)
            assert sent
            is_translated = request.endswith("messages") != path.endswith("messages")
            assert (sent.url, sent.body == body) == (path, not is_translated)
            assert ("translated from" in flow.comment) is is_translated
            assert "key-of-client" not in str(sent.fields)

    _run(work)


def test_a_stream_is_translated_and_kept_as_the_client_got_it() -> None:
    async def work(proxy: Proxy) -> None:
        got, flow = await _ask(proxy, MESSAGES, _body("m", stream=True), Said(list(CHUNKS), EVENTS))
        assert got.body.startswith(b"event: message_start\n")
        assert got.body.endswith(b'data: {"type":"message_stop"}\n\n')
        assert flow.response.raw_content == got.body

    _run(work)


def test_an_error_is_written_in_the_clients_dialect() -> None:
    async def work(proxy: Proxy) -> None:
        said = Said([b'{"error":{"message":"no such key"}}'], JSON, status=401)
        got, _ = await _ask(proxy, MESSAGES, _body("m"), said)
        assert (got.status, json.loads(got.body)["error"]["type"]) == (401, "authentication_error")

    _run(work)


def test_a_request_that_cannot_be_translated_is_refused_and_not_sent() -> None:
    async def work(proxy: Proxy) -> None:
        got, flow = await _ask(proxy, MESSAGES, _body("m", messages="none"), None)
        document = json.loads(got.body)
        assert (got.status, document["type"]) == (400, "error")
        assert "messages" in document["error"]["message"]
        assert flow.comment.endswith("refused: messages is not a list.")

    _run(work)


def test_tokens_are_counted_here_where_the_provider_does_not() -> None:
    async def work(proxy: Proxy) -> None:
        got, flow = await _ask(proxy, COUNT, _body("m"), None)
        assert (got.status, got.headers["content-type"]) == (200, "application/json")
        assert json.loads(got.body)["input_tokens"] > 0
        notes = "answered here: groq counts no tokens; tokens estimated from the letters of the request, not counted by"
        assert flow.comment == f"activeProviderId: open; {notes} the provider"
        assert flow.request.url == "http://open.test:81/v1/messages/count_tokens?beta=true"
        assert "key-of-client" not in str(flow.request.headers.fields)
        _, asked = await _ask(proxy, COUNT, _body("claude-x"), Said([b'{"input_tokens":3}'], JSON))
        assert asked.request.url == "http://claude.test:82/v1/messages/count_tokens?beta=true"

    _run(work)


def test_a_count_that_is_answered_here_is_not_recorded(tmp_path: Path) -> None:
    tape = tmp_path / "tape.har"
    stage = Recorded()
    stage.insert(Opening(tape, Mode.APPEND))

    async def work(proxy: Proxy) -> None:
        got, _ = await _ask(proxy, COUNT, _body("m"), None)
        assert got.status == 200
        await _ask(proxy, MESSAGES, _body("m", stream=True), Said(list(CHUNKS), EVENTS))

    _run(work, stage)
    (entry,) = har.read(tape)
    # What the provider was sent and has sent.
    assert entry.request.url == "http://open.test:81/openai/v1/chat/completions"
    assert entry.response
    assert entry.response.body == b"".join(CHUNKS)


def test_a_flow_that_is_replayed_is_translated_again() -> None:
    async def work(proxy: Proxy) -> None:
        _, first = await _ask(proxy, MESSAGES, _body("m", stream=True), Said(list(CHUNKS), EVENTS))
        flow = make("POST /openai/v1/chat/completions", CLIENT)
        flow.request.host, flow.request.port = "open.test", 81
        flow.is_replay = "request"
        flow.metadata[flows.MARK] = tnetstring.loads(tnetstring.dumps(first.metadata[flows.MARK]))
        got = await proxy.ask(flow, Said(list(CHUNKS), EVENTS), first.request.raw_content)
        assert got.body.endswith(b'data: {"type":"message_stop"}\n\n')

    _run(work)
