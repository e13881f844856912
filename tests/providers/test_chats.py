"""Chats that reach a provider with the other dialect, and what a configuration has edited in chats of either one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mitm_ai_proxy import pipeline
from mitm_ai_proxy.chat import sealed_ids
from mitm_ai_proxy.chat.model import Seal, Thinking
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import Answer, NeedsBody, Pass, Pieces, Upstream, Whole
from mitm_ai_proxy.providers.base import Provider
from mitm_ai_proxy.providers.chats import MESSAGES as MESSAGES_API
from mitm_ai_proxy.providers.rows import COMPATIBLE
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

WHOLE = ((b"Content-Type", b"application/json"),)
EVENTS = ((b"Content-Type", b"text/event-stream"),)
OPENAI_ANSWER: Json = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "large",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}
ANTHROPIC_ANSWER: Json = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 1},
}
OPENAI_STREAM = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"large","choices":[{"index":0,"delta":'
    b'{"role":"assistant","content":"hi"},"finish_reason":null}]}\n\n'
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"large","choices":[{"index":0,"delta":{},'
    b'"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


def _sent(block: str, target: str, document: Json | bytes) -> Json:
    body = upstream_of(provider_of(block), target, document).body
    assert body is not None
    sent: Json = json.loads(body)
    return sent


def _answer(provider: Provider, sent: Upstream, document: Json | bytes, status: int = 200) -> Answer:
    handling = provider.responseheaders(sent, status, WHOLE)
    assert isinstance(handling, Whole)
    return handling.rewrite(Answer(status, document if isinstance(document, bytes) else json.dumps(document).encode()))


# Requests in the provider's own dialect


@table("name", [name for name, type in COMPATIBLE.items() if MESSAGES_API in type.default_capabilities])
def test_a_type_with_messages_gets_the_seals_of_its_own_vendor_only(name: str) -> None:
    is_claude = name in ("claude", "bedrock", "vertex")
    vendor = "anthropic" if is_claude else name
    marked = [
        {"type": "thinking", "thinking": f"by {one}", "signature": sealed_ids.signature(Seal(one, f"S-{one}"))}
        for one in (vendor, "google", "another")
    ]
    call = {"type": "tool_use", "id": sealed_ids.sealed("c", (), Seal("google", "G")), "name": "f", "input": {}}
    messages = [*HELLO["messages"], {"role": "assistant", "content": [*marked, call]}]
    needs = {"vllm": ", vllmServerHost: localhost", "bedrock": ", awsRegion: us-east-1"}
    block = f"{name}, apiTokens: k{needs.get(name, '')}"
    model = "claude-opus-4-7" if name == "vertex" else "anthropic.claude-opus-4-7"
    document = {**HELLO, "model": model, "messages": messages}
    sent = _sent(block, MESSAGES, document)["messages"][1]["content"]

    signatures = {found["thinking"]: found["signature"] for found in sent if found["type"] == "thinking"}
    others = {} if is_claude else {"by google": "", "by another": ""}
    assert signatures == {f"by {vendor}": f"S-{vendor}", **others}
    assert sent[-1]["id"] == "c"


@table("name", [name for name, type in COMPATIBLE.items() if MESSAGES_API in type.default_capabilities])
def test_only_claude_keeps_conversations(name: str) -> None:
    block = f"{name}, apiTokens: k{', vllmServerHost: localhost' if name == 'vllm' else ''}"
    asked = {**HELLO, "thread": {"type": "create"}}
    if name == "claude":
        assert upstream_of(provider_of(block), MESSAGES, asked).body is None, "it passes as it is"
    else:
        with pytest.raises(Refusal, match="thread asks for a conversation"):
            _sent(f"{block}{', awsRegion: us-east-1' if name == 'bedrock' else ''}", MESSAGES, asked)


# Translated requests


@table(
    ("block", "target", "url"),
    [
        ("groq", MESSAGES, "https://api.groq.com/openai/v1/chat/completions"),
        ("groq", f"{MESSAGES}?beta=true", "https://api.groq.com/openai/v1/chat/completions"),
        ("groq", f"{MESSAGES}?beta=true&a=1", "https://api.groq.com/openai/v1/chat/completions?a=1"),
        ("groq, basePath: /llm", f"/llm{MESSAGES}", "https://api.groq.com/openai/v1/chat/completions"),
        ("openai, baseUrl: 'https://h.test/x'", MESSAGES, "https://h.test/x/chat/completions"),
        ("openai, openaiCustomUrl: 'https://h.test/a/chat/completions'", MESSAGES, "https://h.test/a/chat/completions"),
        (
            "azure, azureServiceUrl: 'https://r.test/?api-version=1'",
            MESSAGES,
            "https://r.test/openai/deployments/m/chat/completions?api-version=1",
        ),
        ("claude", CHAT, "https://api.anthropic.com/v1/messages"),
        ("claude", f"{CHAT}?a=1", "https://api.anthropic.com/v1/messages?a=1"),
        ("claude, claudeCodeMode: true", CHAT, "https://api.anthropic.com/v1/messages?beta=true"),
        ("claude, claudeCodeMode: true", f"{MESSAGES}?beta=true", "https://api.anthropic.com/v1/messages?beta=true"),
        ("deepseek", MESSAGES, "https://api.deepseek.com/anthropic/v1/messages"),
        ("deepseek", CHAT, "https://api.deepseek.com/v1/chat/completions"),
    ],
)
def test_a_chat_goes_to_the_api_that_the_provider_has(block: str, target: str, url: str) -> None:
    upstream = upstream_of(provider_of(block), target, HELLO)

    assert f"{upstream.origin}{upstream.target}" == url


def test_the_model_is_mapped_once_and_before_the_translation_which_depends_on_it() -> None:
    mapping = "modelMapping: {m: claude-sonnet-4-5, claude-sonnet-4-5: wrong}"
    provider = provider_of(f"claude, {mapping}")
    upstream = upstream_of(provider, CHAT, {**HELLO, "reasoning_effort": "high"})
    body = json.loads(upstream.body or b"")

    assert body["model"] == "claude-sonnet-4-5"
    assert upstream.notes == (
        "sent to https://api.anthropic.com: openai/v1/chatcompletions as anthropic/v1/messages of claude",
        'model m mapped to claude-sonnet-4-5 by modelMapping "m"',
        "translated from openai to anthropic",
        *upstream.notes[3:],
    )


@table(
    ("block", "members", "expected"),
    [
        ("groq", {"stream": True}, {"stream": True, "stream_options": {"include_usage": True}, "max_tokens": 9}),
        ("groq, disableStreamUsageStats: true", {"stream": True}, {"stream": True, "max_tokens": 9}),
        ("openai", {}, {"max_completion_tokens": 9}),
        ("openai, providerDomain: 'http://127.0.0.1:1'", {}, {"max_tokens": 9}),
        ("groq, customSettings: [{name: seed, value: 1}]", {}, {"max_tokens": 9, "seed": 1}),
        ("mistral", {"thinking": {"type": "enabled", "budget_tokens": 1024}}, {"max_tokens": 9}),
        (
            "moonshot",
            {"thinking": {"type": "enabled", "budget_tokens": 1024}},
            {"max_tokens": 9, "thinking": {"type": "enabled"}},
        ),
    ],
)
def test_a_translated_request_is_as_the_provider_takes_it(block: str, members: Json, expected: Json) -> None:
    sent = _sent(block, MESSAGES, {**HELLO, **members})

    assert sent == {"model": "m", "messages": HELLO["messages"], **expected}


@table(
    ("target", "document", "param", "kind"),
    [
        (CHAT, b"", None, "openai"),
        (CHAT, b"[]", None, "openai"),
        (CHAT, {**HELLO, "n": 2}, "n", "openai"),
        (CHAT, {**HELLO, "model": 5}, "model", "openai"),
        (CHAT, {"model": "m"}, "messages", "openai"),
    ],
)
def test_a_request_that_cannot_be_translated_is_refused(
    target: str, document: Any, param: str | None, kind: str
) -> None:
    with pytest.raises(Refusal) as caught:
        upstream_of(provider_of("claude, modelMapping: {a: b}"), target, document)

    assert (caught.value.status, caught.value.param) == (400, param)


def test_only_a_posted_chat_is_translated() -> None:
    for block, target in (("groq", MESSAGES), ("claude", CHAT), ("groq", COUNT)):
        with pytest.raises(Refusal) as caught:
            provider_of(block).requestheaders(head_of(target)._replace(method="GET"))
        assert caught.value.status == 404
        assert f"has no {'' if target == COUNT else 'GET '}{target}. It has:" in caught.value.message


def test_a_provider_without_a_chat_api_refuses_both() -> None:
    for target in (CHAT, MESSAGES, COUNT):
        with pytest.raises(Refusal) as caught:
            provider_of("kling, apiTokens: t").requestheaders(head_of(target))
        assert caught.value.code == "unsupported_api"


def test_protocol_original_translates_nothing() -> None:
    found = provider_of("groq, protocol: original").requestheaders(head_of(MESSAGES))

    assert isinstance(found, Upstream)
    assert (found.target, found.body, found.memo) == (MESSAGES, None, {})


# Answers


def test_an_answer_that_is_read_here_is_asked_for_without_an_encoding() -> None:
    line = "Accept-Encoding: br"
    for block, target, encoding in (
        ("groq", MESSAGES, "identity"),
        ("groq", CHAT, "br"),
        ("groq, promoteThinkingOnEmpty: true", CHAT, "identity"),
        ("claude", CHAT, "identity"),
        ("claude", MESSAGES, "br"),
    ):
        assert fields_of(outgoing_of(provider_of(block), target, HELLO, line))["accept-encoding"] == encoding


def test_the_answer_is_in_the_clients_dialect_whatever_happened_to_its_flow() -> None:
    provider = provider_of("groq")
    sent = upstream_of(provider, MESSAGES, HELLO)
    loaded = sent._replace(memo=json.loads(json.dumps(dict(sent.memo))))

    whole = json.loads(_answer(provider, loaded, OPENAI_ANSWER).body)
    failed = _answer(provider, loaded, {"error": {"message": "slow down"}}, 429)
    page = _answer(provider, loaded, b"<html>gone</html>", 502)

    assert (whole["type"], whole["content"], whole["stop_reason"]) == (
        "message",
        [{"type": "text", "text": "hi"}],
        "end_turn",
    )
    assert (failed.status, json.loads(failed.body)["error"]["type"]) == (429, "rate_limit_error")
    assert (page.status, json.loads(page.body)["type"]) == (502, "error")


def test_a_stream_is_translated_and_ends_only_where_the_providers_does() -> None:
    provider = provider_of("groq")
    sent = upstream_of(provider, MESSAGES, {**HELLO, "stream": True})

    def translated(stream: bytes) -> bytes:
        handling = provider.responseheaders(sent, 200, EVENTS)
        assert isinstance(handling, Pieces)
        return handling.transducer.feed(stream) + handling.transducer.end()

    assert translated(OPENAI_STREAM).endswith(b'data: {"type":"message_stop"}\n\n')
    cut = translated(OPENAI_STREAM[:250])
    assert b"message_stop" not in cut
    assert cut.rpartition(b"event: ")[2].startswith(b"error\n")


def test_an_answer_in_the_providers_own_dialect_passes_as_it_is() -> None:
    for block, target in (("groq", CHAT), ("claude", MESSAGES), ("deepseek", MESSAGES)):
        provider = provider_of(block)
        sent = upstream_of(provider, target, HELLO)
        assert isinstance(provider.responseheaders(sent, 200, WHOLE), Pass)
        assert sent.memo == {}


# Counted tokens


def test_tokens_are_estimated_where_the_provider_does_not_count_them() -> None:
    for block in ("groq", "deepseek", "openai"):
        found = provider_of(block).requestheaders(head_of(f"{COUNT}?beta=true"))
        assert isinstance(found, NeedsBody)
        answer = pipeline.request(found, head_of(COUNT), json.dumps(HELLO).encode())
        assert isinstance(answer, Answer)
        assert (answer.status, list(json.loads(answer.body))) == (200, ["input_tokens"])
        assert found.notes[0].startswith("answered here")
        broken = pipeline.request(found, head_of(COUNT), b"\xff{")
        assert isinstance(broken, Answer)
        assert json.loads(broken.body) == {"input_tokens": 1}

    for block, url in (
        ("claude", "https://api.anthropic.com/v1/messages/count_tokens"),
        ("vllm, vllmServerHost: h", "http://h:8000/v1/messages/count_tokens"),
    ):
        upstream = upstream_of(provider_of(block), COUNT, HELLO)
        assert f"{upstream.origin}{upstream.target}" == url


# Edits that a configuration asks for


TALK: Json = {
    "model": "m",
    "max_tokens": 9,
    "messages": [
        {"role": "user", "content": "old"},
        {"role": "user", "content": "/new"},
        {"role": "user", "content": "a"},
        {"role": "user", "content": "b"},
    ],
}


@table(("block", "target"), [("groq", CHAT), ("groq", MESSAGES), ("claude", CHAT), ("claude", MESSAGES)])
def test_messages_are_cleaned_up_and_merged_in_both_dialects_and_between_them(block: str, target: str) -> None:
    sent = _sent(f"{block}, contextCleanupCommands: [/new], mergeConsecutiveMessages: true", target, TALK)

    assert [message["role"] for message in sent["messages"]] == ["user"]
    content = sent["messages"][0]["content"]
    text = content if isinstance(content, str) else "".join(part["text"] for part in content)
    assert text == "a\n\nb"


THOUGHT: Json = {
    **OPENAI_ANSWER,
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "", "reasoning_content": "hmm"},
        }
    ],
}
CLAUDE_THOUGHT: Json = {
    **ANTHROPIC_ANSWER,
    "content": [{"type": "thinking", "thinking": "hmm", "signature": "s"}],
}


@table(
    ("block", "target", "answer"),
    [
        ("groq", CHAT, THOUGHT),
        ("groq", MESSAGES, THOUGHT),
        ("claude", CHAT, CLAUDE_THOUGHT),
        ("claude", MESSAGES, CLAUDE_THOUGHT),
    ],
)
def test_thinking_is_promoted_in_both_dialects_and_between_them(block: str, target: str, answer: Json) -> None:
    for key in ("promoteThinkingOnEmpty", "hiclawMode"):
        provider = provider_of(f"{block}, {key}: true")
        got = json.loads(_answer(provider, upstream_of(provider, target, HELLO), answer).body)
        if target == CHAT:
            assert got["choices"][0]["message"]["content"] == "hmm"
        else:
            assert [part["text"] for part in got["content"] if part["type"] == "text"] == ["hmm"]


@table(("block", "answer"), [("groq", THOUGHT), ("claude", CLAUDE_THOUGHT)])
def test_reasoning_content_is_as_the_configuration_wants_it(block: str, answer: Json) -> None:
    for mode, content in (("Ignore", ""), ("concat", "<think>hmm</think>\n")):
        provider = provider_of(f"{block}, reasoningContentMode: {mode}")
        got = json.loads(_answer(provider, upstream_of(provider, CHAT, HELLO), answer).body)
        message = got["choices"][0]["message"]
        assert "reasoning_content" not in message
        assert message["content"] or content == ""


def test_a_stream_in_the_providers_own_dialect_is_edited_where_the_configuration_wants_it() -> None:
    chunk = b'data: {"choices":[{"index":0,"delta":{"reasoning_content":"hmm"}}]}\n\n'
    provider = provider_of("groq, reasoningContentMode: ignore")
    sent = upstream_of(provider, CHAT, {**HELLO, "stream": True})
    loaded = sent._replace(memo=json.loads(json.dumps(dict(sent.memo))))
    handling = provider.responseheaders(loaded, 200, EVENTS)

    assert isinstance(handling, Pieces)
    assert b"hmm" not in handling.transducer.feed(chunk) + handling.transducer.end()


@table(
    ("block", "target", "said"),
    [
        ("groq, promoteThinkingOnEmpty: true", MESSAGES, '"text":"hmm"'),
        ("groq, promoteThinkingOnEmpty: true", CHAT, '"content":"hmm"'),
        ("groq, hiclawMode: true", MESSAGES, '"text":"hmm"'),
        ("groq, reasoningContentMode: concat", CHAT, "<think>hmm"),
        ("groq", MESSAGES, '"thinking":"hmm"'),
    ],
)
def test_streams_are_edited_in_the_clients_dialect(block: str, target: str, said: str) -> None:
    thought = OPENAI_STREAM.replace(b'"content":"hi"', b'"reasoning_content":"hmm"')
    provider = provider_of(block)
    sent = upstream_of(provider, target, {**HELLO, "stream": True})
    handling = provider.responseheaders(sent, 200, EVENTS)
    assert isinstance(handling, Pieces)
    got = handling.transducer.feed(thought) + handling.transducer.end()

    assert said in got.decode().replace('": "', '":"')
    assert got.endswith(b'data: {"type":"message_stop"}\n\n' if target == MESSAGES else b"data: [DONE]\n\n")


def test_a_body_that_no_edit_changes_is_sent_as_it_came() -> None:
    for target in (CHAT, MESSAGES):
        block = "deepseek, disableStreamUsageStats: true, mergeConsecutiveMessages: true, contextCleanupCommands: [/x]"
        assert upstream_of(provider_of(block), target, HELLO).body is None


def test_call_ids_that_carry_seals_are_plain_again_at_another_vendor() -> None:
    sealed = sealed_ids.sealed("call_1", (Thinking("t", Seal("anthropic", "sig")),))
    call = {"id": sealed, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    document = {
        "model": "m",
        "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": sealed, "content": "r"},
        ],
    }
    sent = _sent("groq", CHAT, document)

    assert sent["messages"][1]["tool_calls"][0]["id"] == "call_1"
    assert sent["messages"][2]["tool_call_id"] == "call_1"
