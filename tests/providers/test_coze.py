"""Bots of Coze behind both dialects: requests, answers in any cut, errors by Coze's codes, and its own paths."""

from __future__ import annotations

import json

import pytest

from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.providers.base import Provider
from tests.providers.chats import (
    CHAT,
    HELLO,
    MESSAGES,
    Json,
    complete_provider,
    fields_of,
    outgoing_of,
    place_of,
    upstream_of,
)
from tests.providers.vendor_answers import EVENTS, chunks_of, document_of, events, stream_of, text_in, whole_of
from tests.tables import table

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
QUESTION = {"role": "user", "type": "question", "content": "hello", "content_type": "text"}


def _provider(keys: str = "") -> Provider:
    return complete_provider("coze, apiTokens: pat_1", keys)


@table(
    ("keys", "target", "url"),
    [
        ("", CHAT, "https://api.coze.cn/v3/chat"),
        ("", f"{MESSAGES}?beta=true", "https://api.coze.cn/v3/chat"),
        ("", f"{CHAT}?conversation_id=c", "https://api.coze.cn/v3/chat?conversation_id=c"),
        ("baseUrl: 'https://api.coze.com/v1'", CHAT, "https://api.coze.com/v3/chat"),
        ("providerDomain: h.test, providerBasePath: /p", CHAT, "https://h.test/p/v3/chat"),
        ("", "/v1/files/upload", "https://api.coze.cn/v1/files/upload"),
        ("", "/v1/audio/speech", "https://api.coze.cn/v1/audio/speech"),
        ("", "/v3/chat", "https://api.coze.cn/v3/chat"),
        ("protocol: original", "/v3/chat?a=1", "https://api.coze.cn/v3/chat?a=1"),
    ],
)
def test_a_chat_goes_to_cozes_and_its_own_paths_pass(keys: str, target: str, url: str) -> None:
    assert place_of(_provider(keys), target) == (url, "Bearer pat_1")


@table(
    ("target", "members", "expected"),
    [
        (
            CHAT,
            {},
            {
                "bot_id": "bot",
                "user_id": "api-user",
                "additional_messages": [QUESTION],
                "stream": True,
                "auto_save_history": True,
            },
        ),
        (
            MESSAGES,
            {"stream": True, "system": "s", "metadata": {"user_id": "u"}, "custom_variables": {"a": 1}},
            {
                "bot_id": "bot",
                "user_id": "u",
                "additional_messages": [{**QUESTION, "content": "s"}, QUESTION],
                "stream": True,
                "auto_save_history": False,
                "custom_variables": {"a": 1},
            },
        ),
        (
            CHAT,
            {
                "messages": [
                    {"role": "user", "content": "a"},
                    {"role": "assistant", "content": "b"},
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "c"},
                            {"type": "image_url", "image_url": {"url": "https://a.test/b"}},
                            {"type": "file", "file": {"file_id": "f"}},
                        ],
                    },
                ]
            },
            {
                "bot_id": "bot",
                "user_id": "api-user",
                "additional_messages": [
                    {**QUESTION, "content": "a"},
                    {"role": "assistant", "type": "answer", "content": "b", "content_type": "text"},
                    {
                        **QUESTION,
                        "content": '[{"type":"text","text":"c"},{"type":"image","file_url":"https://a.test/b"},{"type":"file","file_id":"f"}]',
                        "content_type": "object_string",
                    },
                ],
                "stream": True,
                "auto_save_history": True,
            },
        ),
    ],
)
def test_a_request_is_one_to_a_bot(target: str, members: Json, expected: Json) -> None:
    sent = upstream_of(_provider("modelMapping: {m: bot}"), target, {**HELLO, **members})

    assert json.loads(sent.body or b"") == expected


@table(
    ("members", "param"),
    [
        ({"messages": [{"role": "user", "content": ""}]}, "messages"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        (
            {"messages": [{"role": "user", "content": [PICTURE]}]},
            "messages[0].content[0].image_url.url",
        ),
    ],
)
def test_what_coze_cannot_do_is_refused_by_name(members: Json, param: str) -> None:
    with pytest.raises(Refusal) as caught:
        upstream_of(_provider(), CHAT, {**HELLO, **members})
    assert (caught.value.status, caught.value.param) == (400, param)


def _delta(**members: object) -> tuple[str, Json]:
    message = {"id": "m", "chat_id": "chat-1", "role": "assistant", "type": "answer", "content_type": "text", **members}
    return "conversation.message.delta", message


CREATED = ("conversation.chat.created", {"id": "chat-1", "created_at": 5, "status": "created"})
USAGE = {"token_count": 7, "input_count": 3, "output_count": 4}
STREAM = [
    CREATED,
    ("conversation.chat.in_progress", {"id": "chat-1", "status": "in_progress"}),
    ("conversation.message.completed", {"type": "verbose", "content": "{}"}),
    _delta(reasoning_content="hm"),
    _delta(content="H"),
    _delta(content="é"),
    _delta(type="follow_up", content="more?"),
    ("conversation.message.completed", {"type": "answer", "content": "Hé"}),
    ("conversation.chat.completed", {"id": "chat-1", "status": "completed", "usage": USAGE}),
    ("done", "[DONE]"),
]


def test_a_stream_is_the_clients_own() -> None:
    provider = _provider()
    for target, end in ((CHAT, "[DONE]"), (MESSAGES, {"type": "message_stop"})):
        found = stream_of(
            provider, upstream_of(provider, target, {**HELLO, "stream": True}), events(*STREAM, named=True)
        )
        assert text_in(found) == "Hé"
        assert b"hm" in found
        assert b"chat-1" in found
        assert chunks_of(found)[-1] == end


@table("begun", [STREAM, STREAM[3:]])
def test_a_whole_answer_is_made_of_the_stream(begun: list[object]) -> None:
    provider = _provider()
    openai, anthropic = (
        document_of(whole_of(provider, upstream_of(provider, target, HELLO), events(*begun, named=True), fields=EVENTS))
        for target in (CHAT, MESSAGES)
    )

    assert openai["choices"][0]["message"]["content"] == "Hé"
    assert openai["choices"][0]["message"]["reasoning_content"] == "hm"
    assert (openai["id"], openai["usage"]["total_tokens"]) == ("chat-1", 7)
    assert openai["created"] == (5 if begun is STREAM else 1700000000)
    assert [block["type"] for block in anthropic["content"]] == ["thinking", "text"]


CODES = [(4000, 400), (4013, 502), (4020, 429), (4100, 401), (4101, 403), (4200, 404), (4011, 402), (5000, 500)]
CODES += [(4999, 400), (9, 502), (4008, 429), (4009, 429), (4012, 404), (4014, 400), (4016, 409), (4019, 402)]
CODES += [(4022, 402), (4102, 403), (700012006, 401), (4006, 404), (4302, 413), (700012001, 502)]


@table(("code", "status"), CODES)
def test_an_error_with_status_200_has_that_of_its_code(code: int, status: int) -> None:
    provider = _provider()
    error = {"code": code, "msg": "m", "detail": {"logid": "log-1"}}
    for target, field in ((CHAT, "x-request-id"), (MESSAGES, "request-id")):
        for stream in (False, True):
            answer = whole_of(provider, upstream_of(provider, target, {**HELLO, "stream": stream}), error)
            assert (answer.status, answer.headers[field]) == (status, "log-1")
    found = document_of(whole_of(provider, upstream_of(provider, CHAT, HELLO), error))
    assert (found["error"]["message"], found["error"]["code"]) == ("m", str(code))
    failed = ("conversation.chat.failed", {"last_error": {"code": code, "msg": "m"}})
    sent = upstream_of(provider, CHAT, {**HELLO, "stream": True})
    *_, error = chunks_of(stream_of(provider, sent, events(CREATED, failed, named=True)))
    assert error["error"]["code"] == str(code)


def test_a_prompt_that_is_too_long_is_told_as_clients_look_for_it() -> None:
    error = {"code": 4010, "msg": "m"}
    openai, anthropic = (
        whole_of(_provider(), upstream_of(_provider(), target, HELLO), error) for target in (CHAT, MESSAGES)
    )

    assert (openai.status, document_of(openai)["error"]["code"]) == (400, "context_length_exceeded")
    assert document_of(anthropic)["error"]["message"] == "prompt is too long: m (4010)"


@table(
    ("tail", "code", "message"),
    [
        ([("error", {"code": 4020, "msg": "slow"})], "4020", "slow"),
        ([("conversation.chat.requires_action", {"id": "c"})], "requires_action", "outputs of tools"),
        ([("conversation.chat.failed", {"id": "c"})], "chat_failed", "has failed"),
        ([], "bad_answer", "ended before it was complete"),
        ([("done", "[DONE]")], "bad_answer", "ended before it was complete"),
        ([_delta(content=1)], "bad_answer", "wrong form"),
    ],
)
def test_a_stream_that_fails_ends_with_an_error(tail: list[object], code: str, message: str) -> None:
    provider = _provider()
    stream = events(CREATED, _delta(content="a"), *tail, named=True)
    for target in (CHAT, MESSAGES):
        found = stream_of(provider, upstream_of(provider, target, {**HELLO, "stream": True}), stream)
        *_, error = chunks_of(found)
        assert message in error["error"]["message"]
        assert b"[DONE]" not in found
    if target == CHAT:
        assert error["error"]["code"] == code


def test_another_status_and_a_page_are_errors_too() -> None:
    provider = _provider()
    sent = upstream_of(provider, CHAT, HELLO)

    assert whole_of(provider, sent, {"code": 4100, "msg": "m"}, 401).status == 401
    assert whole_of(provider, sent, b"<html>", 503).status == 503
    assert whole_of(provider, sent, {"code": 0, "data": {"status": "in_progress"}}).status == 502


def test_the_plugins_example_works() -> None:
    provider = _provider("protocol: original")
    outgoing = outgoing_of(provider, "/v3/chat", b'{"bot_id":"1", "stream":false}')

    assert outgoing.body is None or outgoing.body == b'{"bot_id":"1", "stream":false}'
    assert fields_of(outgoing)["authorization"] == "Bearer pat_1"
