"""The vendors' own SDKs judge what the translators write: their types, and what their clients make of answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from mitm_ai_proxy.chat.dialects import ANTHROPIC, OPENAI
from mitm_ai_proxy.chat.target import CLAUDE, Target
from tests.chat.exchanges import (
    HELLO,
    MODEL,
    OF_ANTHROPIC,
    OF_ANTHROPIC_STREAM,
    OF_OPENAI,
    OF_OPENAI_STREAM,
    TOOL,
    Json,
    anthropic_stream,
    chunk,
    completion,
    encoded,
    message,
    message_start,
    openai_stream,
    parsed,
    rewritten,
    streamed,
    whole,
)
from tests.chat.test_streams import ANTHROPIC as ANTHROPIC_STREAM
from tests.chat.test_streams import OPENAI as OPENAI_STREAM
from tests.chat.test_to_and_fro import Dice
from tests.sdk.sdk import Sdks

LIMIT = 120
"""Seconds for the first reply, for which both SDKs are imported."""
BREAKPOINTS = Target("OpenAI", cache="breakpoint", max_tokens="max_completion_tokens")
SCHEMA = {"type": "object", "properties": {"a": {"const": 1}}}


Ask = Callable[..., list[Any]]


@pytest.fixture(scope="module")
def ask(sdks: Sdks) -> Ask:
    """A function that takes questions with their values, and gives the worker's replies."""
    asked = sdks.newest.script("chat_types_worker", LIMIT)
    return lambda *questions: [asked({"question": name, "value": value}) for name, value in questions]


def _openai_requests() -> list[Json]:
    format = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}}
    settings: list[Json] = [
        {},
        {"stream": True, "user": "u", "stop": ["a"], "response_format": format},
        {"reasoning_effort": "high", "model": "claude-opus-4-7"},
        {"reasoning_effort": "none", "model": "claude-sonnet-5-5"},
        {"reasoning_effort": "low"},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}, "parallel_tool_calls": False},
        {"tools": [TOOL], "tool_choice": "none"},
        {
            "messages": [
                {"role": "system", "content": [{"type": "text", "text": "a", "cache_control": {"ttl": "1h"}}]},
                *HELLO,
            ]
        },
    ]
    made = [{"model": MODEL, "messages": HELLO, **found} for found in settings]
    return made + [Dice(seed).openai_request() for seed in range(20)]


def test_the_requests_that_we_send_are_of_the_vendor_s_types(ask: Ask) -> None:
    # The SDK's types are those of a version that has no sampling any more.
    target = CLAUDE._replace(version="2026-10-21")
    claude = [json.loads(rewritten(OPENAI, found, target).body) for found in _openai_requests()]
    back = [json.loads(rewritten(ANTHROPIC, encoded(found), BREAKPOINTS).body) for found in claude]

    questions = [("anthropic_request", found) for found in claude] + [("openai_request", found) for found in back]

    assert [why for why in ask(*questions) if why] == []


def test_a_request_that_is_not_of_the_types_is_found_by_the_judge(ask: Ask) -> None:
    wrong = [
        ("anthropic_request", {"model": "m", "messages": HELLO}),
        ("anthropic_request", {"model": "m", "max_tokens": 9, "messages": [{"role": "tool", "content": "a"}]}),
        ("anthropic_request", {"model": "m", "max_tokens": 9, "messages": HELLO, "temperature": 1}),
        ("openai_request", {"model": "m", "messages": [{"role": "assistant", "content": [{"type": "thinking"}]}]}),
        ("openai_chunks", [{"id": "c"}]),
        ("anthropic_events", [{"type": "content_block_start", "index": 0}]),
    ]

    assert all(ask(*wrong))


def test_the_answers_that_we_write_are_of_the_vendor_s_types(ask: Ask) -> None:
    blocks = [Dice(seed).blocks() for seed in range(20)]
    messages = [message(*found, reason="end_turn") for found in blocks]
    messages.append(message(reason="refusal", stop_details={"type": "refusal", "explanation": "no"}))
    completions = [json.loads(whole(OF_OPENAI, found).body) for found in messages]
    refused = completion(None, refusal="no")
    questions = [
        *(("openai_answer", found) for found in completions),
        *(("anthropic_answer", json.loads(whole(OF_ANTHROPIC, found).body)) for found in [*completions, refused]),
        *(("openai_chunks", parsed(whole(OF_OPENAI_STREAM, found).body)[:-1]) for found in messages),
        *(("anthropic_events", _events(whole(OF_ANTHROPIC_STREAM, found).body)) for found in completions),
        ("openai_chunks", parsed(streamed(OF_OPENAI_STREAM, ANTHROPIC_STREAM))[:-1]),
        ("anthropic_events", _events(streamed(OF_ANTHROPIC_STREAM, OPENAI_STREAM))),
    ]

    assert [why for why in ask(*questions) if why] == []


def _events(stream: bytes) -> list[Any]:
    """The events that the SDK's types have: a ping is none."""
    return [event for event in parsed(stream) if event["type"] != "ping"]


def _client(dialect: str, body: bytes, status: int = 200, stream: bool = False) -> tuple[str, Any]:
    kind = "text/event-stream" if stream and status == 200 else "application/json"
    value = {"dialect": dialect, "body": base64.b64encode(body).decode(), "status": status}
    return "client", {**value, "type": kind, "stream": stream}


def test_the_clients_of_both_vendors_read_streams_and_whole_answers(ask: Ask) -> None:
    streams = [streamed(OF_OPENAI_STREAM, ANTHROPIC_STREAM), streamed(OF_ANTHROPIC_STREAM, OPENAI_STREAM)]
    (openai,), (claude,) = ([body] for body in streams)
    openai_whole = whole(OF_OPENAI, message({"type": "text", "text": "a"})).body

    found = ask(
        _client(OPENAI, openai, stream=True),
        _client(ANTHROPIC, claude, stream=True),
        _client(OPENAI, openai_whole),
        _client(ANTHROPIC, whole(OF_ANTHROPIC, completion("a")).body),
    )

    said = found[0]["result"]["choices"][0]
    assert said["message"]["content"] == "Hé😀\n\ndata: x"
    assert [call["function"]["arguments"] for call in said["message"]["tool_calls"]] == ['{"x":1}', "{}"]
    assert said["finish_reason"] == "tool_calls"
    assert found[0]["result"]["usage"]["total_tokens"] == 120
    thinking, text, *calls = found[1]["result"]["content"]
    assert (thinking["thinking"], text["text"]) == ("hm é", "Hé😀\n\ndata: x")
    assert [call["input"] for call in calls] == [{"x": 1}, {}]
    assert found[1]["result"]["usage"]["input_tokens"] == 40
    assert found[2]["result"]["choices"][0]["message"]["content"] == "a"
    assert found[3]["result"]["content"][0]["text"] == "a"


@pytest.fixture(scope="module")
def failures(ask: Ask) -> dict[tuple[str, int], str]:
    """The exceptions of both clients for a vendor's error with each status."""
    statuses = (400, 401, 403, 404, 409, 422, 429, 500, 529)
    keys = [(dialect, status) for status in statuses for dialect in (OPENAI, ANTHROPIC)]
    memos = {OPENAI: OF_OPENAI, ANTHROPIC: OF_ANTHROPIC}
    error = {"error": {"message": "m"}}
    replies = ask(*(_client(dialect, whole(memos[dialect], error, status).body, status) for dialect, status in keys))
    return {key: reply["class"] for key, reply in zip(keys, replies, strict=True)}


@pytest.mark.parametrize(
    ("status", "openai", "anthropic"),
    [
        (400, "BadRequestError", "BadRequestError"),
        (401, "AuthenticationError", "AuthenticationError"),
        (403, "PermissionDeniedError", "PermissionDeniedError"),
        (404, "NotFoundError", "NotFoundError"),
        (409, "ConflictError", "ConflictError"),
        (422, "UnprocessableEntityError", "UnprocessableEntityError"),
        (429, "RateLimitError", "RateLimitError"),
        (500, "InternalServerError", "InternalServerError"),
        (529, "InternalServerError", "OverloadedError"),
    ],
)
def test_an_error_of_a_vendor_s_raises_the_exception_of_its_status(
    failures: dict[tuple[str, int], str], status: int, openai: str, anthropic: str
) -> None:
    assert (failures[OPENAI, status], failures[ANTHROPIC, status]) == (openai, anthropic)


def test_a_stream_that_breaks_off_raises_in_the_client(ask: Ask) -> None:
    broken = openai_stream(chunk(content="a"), done=False)
    found = ask(
        _client(ANTHROPIC, streamed(OF_ANTHROPIC_STREAM, broken), stream=True),
        _client(OPENAI, streamed(OF_OPENAI_STREAM, anthropic_stream(message_start())), stream=True),
    )

    assert all("ended before it was complete" in reply["message"] for reply in found)
