"""Requests for vendors and the answers of our tests, against the types of the vendors' own SDKs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import pytest

from mitm_ai_proxy import errors
from mitm_ai_proxy.chat.dialects import COHERE, DASHSCOPE, DIALECTS
from tests.providers.chats import CHAT, upstream_of
from tests.providers.chats import provider_of as provider
from tests.providers.test_vendor_answers import VENDORS
from tests.providers.test_vendor_requests import HUNYUAN, QWEN, REQUEST, SEEING, TOOL
from tests.sdk.sdk import Sdks

Ask = Callable[..., list[Any]]
LIMIT: Final = 60
"""Seconds for the first answers, for which the SDKs are imported."""


@pytest.fixture(scope="module")
def ask(sdks: Sdks) -> Ask:
    """A function that takes questions, and gives the vendors' answers."""
    asked = sdks.newest.script("vendor_types_worker", LIMIT)
    return lambda *questions: list(asked(questions))


def _sent(block: str, request: dict[str, Any]) -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(upstream_of(provider(block), CHAT, request).body or b"")
    return sent


def _events(stream: bytes) -> list[dict[str, Any]]:
    lines = [line.partition(b":")[2].strip() for line in stream.split(b"\n") if line.startswith(b"data:")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


def test_cohere_s_types_know_what_is_sent_and_what_our_streams_say(ask: Ask) -> None:
    requests = [("cohere_request", _sent("cohere", request)) for request in (REQUEST, SEEING)]
    *wrong, types = ask(*requests, ("cohere_events", _events(VENDORS["cohere"].stream)))

    assert wrong == [[], []]
    assert types[0] == "MessageStartV2ChatStreamResponse"
    assert types[-1] == "MessageEndV2ChatStreamResponse"
    assert len(set(types)) == 10  # nothing was read as a type that it is not


def test_tencent_s_types_know_what_is_sent_and_what_our_answers_say(ask: Ask) -> None:
    requests = [_sent(HUNYUAN, request) for request in (REQUEST, SEEING, {**REQUEST, "stream": True})]
    asked = [("hunyuan", {"type": "ChatCompletionsRequest", "value": request}) for request in requests]
    answer = ("hunyuan", {"type": "ChatCompletionsResponse", "value": VENDORS["hunyuan"].whole["Response"]})

    assert ask(*asked, answer) == [[], [], [], []]


def test_dashscope_s_sdk_sends_the_same_and_reads_our_streams(ask: Ask) -> None:
    stream = VENDORS["dashscope"].stream.decode()
    messages = [{"role": "user", "content": "hi"}]
    settings = {"max_tokens": 9, "temperature": 0.5, "top_p": 0.8, "seed": 3, "stop": ["END"], "tools": [TOOL]}
    call = {"model": "qwen-plus", "messages": messages, "result_format": "message", **settings}
    streamed = {**call, "stream": True, "incremental_output": True}
    whole, piecewise = ask(
        ("dashscope", {"call": call, "answer": json.dumps(VENDORS["dashscope"].whole)}),
        ("dashscope", {"call": streamed, "answer": stream}),
    )

    request = {"model": "qwen-plus", "messages": messages, **settings}
    assert (whole["path"], whole["body"]) == (upstream_of(provider(QWEN), CHAT, request).target, _sent(QWEN, request))
    assert piecewise["body"] == _sent(QWEN, {**request, "stream": True})
    assert (piecewise["sse"], piecewise["status"], piecewise["text"]) == ("enable", 200, "héllo")


def test_the_sdks_of_dashscope_and_cohere_read_our_refusals(ask: Ask) -> None:
    refusal = errors.no_place_in_line("p", 1, 1)
    call = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "result_format": "message"}
    answer = DIALECTS[DASHSCOPE].refusal(refusal).decode()
    event = DIALECTS[DASHSCOPE].failure(errors.broke_off()).decode()
    whole, stream, cohere = ask(
        ("dashscope", {"call": call, "answer": answer, "status": refusal.status}),
        ("dashscope", {"call": {**call, "stream": True}, "answer": event}),
        ("cohere_refused", {"answer": DIALECTS[COHERE].refusal(refusal).decode(), "status": refusal.status}),
    )

    assert (whole["status"], whole["code"], whole["message"]) == (429, "Throttling", refusal.message)
    assert (stream["code"], stream["message"]) == ("InternalError", errors.broke_off().message)
    assert cohere == ["TooManyRequestsError", 429, {"message": refusal.message}]
