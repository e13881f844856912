"""Applications of Dify behind both dialects: addresses, requests of each kind, answers in any cut, errors, keys."""

from __future__ import annotations

import json

import pytest

from mitm_ai_proxy import registry
from mitm_ai_proxy.config.file import ConfigurationError
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.providers.base import Provider
from tests.providers.chats import CHAT, HELLO, MESSAGES, Json, complete_provider, place_of, upstream_of
from tests.providers.vendor_answers import EVENTS, chunks_of, document_of, events, stream_of, text_in, whole_of
from tests.tables import table

WORKFLOW = "botType: Workflow, inputVariable: question, outputVariable: result"
PROMPT = "USER: \nhello\n"
FILES = [
    {"type": "image_url", "image_url": {"url": "https://a.test/b.png"}},
    {"type": "file", "file": {"file_id": "f-1"}},
    {"type": "text", "text": "what?"},
]
LONG: Json = {
    "messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
}


def _provider(keys: str = "") -> Provider:
    return complete_provider("dify, apiTokens: app-key", keys)


@table(
    ("keys", "target", "url"),
    [
        ("", CHAT, "https://api.dify.ai/v1/chat-messages"),
        ("botType: agent", f"{MESSAGES}?beta=true", "https://api.dify.ai/v1/chat-messages"),
        ("botType: Completion", CHAT, "https://api.dify.ai/v1/completion-messages"),
        (WORKFLOW, CHAT, "https://api.dify.ai/v1/workflows/run"),
        ("difyApiUrl: 'http://h.test:81'", CHAT, "http://h.test:81/v1/chat-messages"),
        ("difyApiUrl: h.test", CHAT, "https://h.test/v1/chat-messages"),
        ("difyApiUrl: 'https://h.test/dify/v1/'", CHAT, "https://h.test/dify/v1/chat-messages"),
        ("difyApiUrl: 'https://h.test/apps'", CHAT, "https://h.test/v1/chat-messages"),
        ("providerDomain: p.test, providerBasePath: /p", CHAT, "https://p.test/p/v1/chat-messages"),
        ("", "/v1/files/upload", "https://api.dify.ai/v1/files/upload"),
        ("", "/v1/conversations?user=u", "https://api.dify.ai/v1/conversations?user=u"),
        ("protocol: original", "/v1/workflows/run", "https://api.dify.ai/v1/workflows/run"),
    ],
)
def test_a_chat_goes_to_the_kind_of_the_application(keys: str, target: str, url: str) -> None:
    assert place_of(_provider(keys), target) == (url, "Bearer app-key")


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
CHAT_BODY: Json = {"user": "api-user", "conversation_id": "", "auto_generate_name": False}


@table(
    ("keys", "target", "members", "expected"),
    [
        ("", CHAT, {}, {"inputs": {}, "query": PROMPT, "response_mode": "blocking", **CHAT_BODY}),
        (
            "",
            CHAT,
            {"stream": True, "user": "u"},
            {"inputs": {}, "query": PROMPT, "response_mode": "streaming", **CHAT_BODY, "user": "u"},
        ),
        ("botType: Agent", MESSAGES, {}, {"inputs": {}, "query": PROMPT, "response_mode": "streaming", **CHAT_BODY}),
        (
            "",
            CHAT,
            LONG,
            {
                "inputs": {},
                "query": "SYSTEM: \ns\nUSER: \na\nASSISTANT: \nb\nUSER: \nc\n",
                "response_mode": "blocking",
                **CHAT_BODY,
            },
        ),
        (
            "",
            CHAT,
            {**LONG, "conversation_id": "c-1", "inputs": {"x": 1.5}},
            {
                "inputs": {"x": 1.5},
                "query": "USER: \nc\n",
                "response_mode": "blocking",
                **CHAT_BODY,
                "conversation_id": "c-1",
            },
        ),
        (
            "botType: Completion",
            CHAT,
            {},
            {"inputs": {"query": PROMPT}, "response_mode": "blocking", "user": "api-user"},
        ),
        (
            WORKFLOW,
            MESSAGES,
            {"stream": True, "metadata": {"user_id": "u"}},
            {"inputs": {"question": PROMPT}, "response_mode": "streaming", "user": "u"},
        ),
        (
            "botType: Completion",
            CHAT,
            {"messages": [{"role": "user", "content": FILES}]},
            {
                "inputs": {"query": "USER: \nwhat?\n"},
                "response_mode": "blocking",
                "user": "api-user",
                "files": [
                    {"type": "image", "transfer_method": "remote_url", "url": "https://a.test/b.png"},
                    {"type": "document", "transfer_method": "local_file", "upload_file_id": "f-1"},
                ],
            },
        ),
    ],
)
def test_a_request_is_what_the_application_takes(keys: str, target: str, members: Json, expected: Json) -> None:
    assert json.loads(upstream_of(_provider(keys), target, {**HELLO, **members}).body or b"") == expected


def test_the_clients_conversation_id_goes_on_with_a_conversation() -> None:
    sent = upstream_of(_provider(), CHAT, {**HELLO, **LONG}, "ConversationId: c-9")
    body = json.loads(sent.body or b"")

    assert (body["conversation_id"], body["query"]) == ("c-9", "USER: \nc\n")
    assert "Dify remembers the conversation" in " ".join(sent.notes)


@table(
    ("members", "param"),
    [
        ({"messages": [{"role": "user", "content": ""}]}, "messages"),
        ({"inputs": [1]}, "inputs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required"}, "tool_choice"),
        (
            {"messages": [{"role": "user", "content": [PICTURE]}]},
            "messages[0].content[0].image_url.url",
        ),
    ],
)
def test_what_dify_cannot_do_is_refused_by_name(members: Json, param: str) -> None:
    with pytest.raises(Refusal) as caught:
        upstream_of(_provider(), CHAT, {**HELLO, **members})
    assert (caught.value.status, caught.value.param) == (400, param)


def test_tools_and_limits_are_left_out_with_a_note() -> None:
    notes = upstream_of(
        _provider(), MESSAGES, {**HELLO, "tools": [{"name": "f", "input_schema": {}}], "temperature": 1}
    ).notes

    assert "tools left out: Dify calls none of the client's" in notes
    assert "max_tokens left out: Dify has no such setting" in notes
    assert any(note.startswith("temperature left out") for note in notes)


USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
BLOCKING: Json = {
    "event": "message",
    "id": "m-1",
    "message_id": "m-1",
    "conversation_id": "c-1",
    "mode": "chat",
    "answer": "Hé",
    "metadata": {"usage": USAGE},
    "created_at": 5,
}
RUN: Json = {
    "workflow_run_id": "r-1",
    "data": {"id": "r-1", "workflow_id": "w-1", "status": "succeeded", "outputs": {"result": "Hé"}, "created_at": 5},
}


@table(
    ("keys", "document", "id"),
    [("", BLOCKING, "c-1"), ("botType: Completion", BLOCKING, "m-1"), (WORKFLOW, RUN, "w-1")],
)
def test_a_whole_answer_is_the_clients_own(keys: str, document: Json, id: str) -> None:
    provider = _provider(keys)
    openai = whole_of(provider, upstream_of(provider, CHAT, HELLO), document)
    anthropic = document_of(whole_of(provider, upstream_of(provider, MESSAGES, HELLO), document))
    found = document_of(openai)

    assert (found["choices"][0]["message"]["content"], found["choices"][0]["finish_reason"]) == ("Hé", "stop")
    assert (found["id"], found["created"]) == (id, 5)
    assert anthropic["content"] == [{"type": "text", "text": "Hé"}]
    assert openai.headers.get("ConversationId") == ("c-1" if keys == "" else None)
    if "metadata" in document:
        assert found["usage"]["total_tokens"] == 7
        assert anthropic["usage"]["output_tokens"] == 4


@table(
    ("keys", "outputs", "text"),
    [
        ("botType: Workflow, inputVariable: q", {"a": "only"}, "only"),
        ("botType: Workflow, inputVariable: q", {"a": "x", "b": [1]}, '{"a": "x", "b": [1]}'),
        (WORKFLOW, {"result": {"é": 1}, "b": "x"}, '{"é": 1}'),
        (WORKFLOW, {"result": None}, None),
    ],
)
def test_the_output_of_a_workflow_is_the_one_that_is_named(keys: str, outputs: Json, text: str | None) -> None:
    provider = _provider(keys)
    document = {**RUN, "data": {**RUN["data"], "outputs": outputs}}
    found = document_of(whole_of(provider, upstream_of(provider, CHAT, HELLO), document))

    assert (found["choices"][0]["message"]["content"] or None) == text


HEAD = {"message_id": "m-1", "conversation_id": "c-1", "created_at": 5}
STREAMED = [
    {"event": "workflow_started", **HEAD, "data": {"id": "r"}},
    {"event": "message", "answer": "H", **HEAD},
    {"event": "agent_message", "answer": "é", **HEAD},
    {"event": "agent_thought", "thought": "Hé", "tool": "", **HEAD},
    {"event": "tts_message", "audio": "AAAA", **HEAD},
    {"event": "workflow_finished", **HEAD, "data": {"status": "succeeded", "outputs": {"answer": "Hé"}}},
    {"event": "message_end", **HEAD, "metadata": {"usage": USAGE}},
]
RUNNING = [
    {"event": "workflow_started", "workflow_run_id": "r", "data": {"workflow_id": "w-1", "created_at": 5}},
    {"event": "node_started", "data": {}},
    {"event": "text_chunk", "data": {"text": "H"}},
    {"event": "text_chunk", "data": {"text": "é"}},
    {"event": "workflow_finished", "data": {"workflow_id": "w-1", "status": "succeeded", "outputs": {"result": "Hé"}}},
]
SILENT = [RUNNING[0], RUNNING[-1]]


@table(("keys", "documents"), [("", STREAMED), ("botType: Agent", STREAMED), (WORKFLOW, RUNNING), (WORKFLOW, SILENT)])
def test_a_stream_is_the_clients_own(keys: str, documents: list[Json]) -> None:
    provider = _provider(keys)
    stream = b"event: ping\n\n" + events(*documents)
    for target, end in ((CHAT, "[DONE]"), (MESSAGES, {"type": "message_stop"})):
        found = stream_of(provider, upstream_of(provider, target, {**HELLO, "stream": True}), stream)
        assert text_in(found) == "Hé"
        assert chunks_of(found)[-1] == end


def test_a_whole_answer_of_an_agent_is_made_of_its_stream() -> None:
    provider = _provider("botType: Agent")
    answer = whole_of(provider, upstream_of(provider, CHAT, HELLO), events(*STREAMED), fields=EVENTS)

    assert document_of(answer)["choices"][0]["message"]["content"] == "Hé"
    assert document_of(answer)["usage"]["total_tokens"] == 7
    assert answer.headers["ConversationId"] == "c-1"


def test_an_answer_that_is_replaced_and_a_picture_are_told() -> None:
    documents = [
        {"event": "message", "answer": "bad", **HEAD},
        {"event": "message_file", "type": "image", "belongs_to": "assistant", "url": "https://a.test/b.png", **HEAD},
        {"event": "message_replace", "answer": "no", **HEAD},
        {"event": "message_end", **HEAD},
    ]
    provider = _provider()
    chunks = chunks_of(stream_of(provider, upstream_of(provider, CHAT, {**HELLO, "stream": True}), events(*documents)))

    assert "https://a.test/b.png" in json.dumps(chunks)
    assert [c["choices"][0]["finish_reason"] for c in chunks[:-1] if c["choices"]][-1] == "content_filter"


@table(
    ("tail", "code", "message"),
    [
        (
            [{"event": "error", "status": 429, "code": "too_many_requests", "message": "slow"}],
            "too_many_requests",
            "slow",
        ),
        ([{"event": "workflow_finished", "data": {"status": "failed", "error": "no"}}], "workflow_failed", "no"),
        ([], "bad_answer", "ended before it was complete"),
        ([{"event": "message", "answer": 1}], "bad_answer", "wrong form"),
        ([{"code": "unauthorized", "message": "no", "status": 401}], "unauthorized", "no"),
    ],
)
def test_a_stream_that_fails_ends_with_an_error(tail: list[Json], code: str, message: str) -> None:
    provider = _provider()
    stream = events(STREAMED[1], *tail)
    *_, error = chunks_of(stream_of(provider, upstream_of(provider, CHAT, {**HELLO, "stream": True}), stream))
    *_, last = chunks_of(stream_of(provider, upstream_of(provider, MESSAGES, {**HELLO, "stream": True}), stream))

    assert (error["error"]["code"], message in error["error"]["message"]) == (code, True)
    assert last["type"] == "error"


@table(
    ("keys", "status", "document", "found", "message"),
    [
        ("", 400, {"code": "invalid_param", "message": "m", "status": 400}, 400, "m"),
        ("", 401, {"code": "unauthorized", "message": "m", "status": 401}, 401, "m"),
        ("", 200, {"event": "error", "status": 400, "code": "provider_quota_exceeded", "message": "m"}, 400, "m"),
        ("", 200, {"a": 1}, 502, "has no answer"),
        (WORKFLOW, 200, {"data": {"status": "failed", "error": "m"}}, 502, "m"),
        (WORKFLOW, 200, {"data": {"status": "succeeded", "outputs": {"other": 1}}}, 502, "outputVariable"),
    ],
)
def test_errors_are_the_clients_own(keys: str, status: int, document: Json, found: int, message: str) -> None:
    provider = _provider(keys)
    for target in (CHAT, MESSAGES):
        answer = whole_of(provider, upstream_of(provider, target, HELLO), document, status)
        assert answer.status == found
        assert message in document_of(answer)["error"]["message"]


@table(
    ("keys", "problem"),
    [
        ("botType: Robot, apiTokens: t", "provider.botType: unknown value 'Robot' (known: Chat, Agent"),
        ("botType: Workflow, apiTokens: t", "provider.inputVariable: is missing"),
        ("difyApiUrl: 'ftp://x', apiTokens: t", "provider.difyApiUrl: unknown scheme 'ftp'"),
        ("difyApiUrl: h.test, baseUrl: 'http://a/v1', apiTokens: t", "provider.baseUrl: stands beside difyApiUrl"),
        ("botType: Chat", "provider.apiTokens: is missing"),
    ],
)
def test_a_missing_or_wrong_key_is_named_at_the_start(keys: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        registry.read(f"provider: {{type: dify, {keys}}}", {})
    assert str(caught.value.problems[0]).startswith(problem)
