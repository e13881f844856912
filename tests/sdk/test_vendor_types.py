"""Requests for vendors and the answers of our tests, against the types of the vendors' own SDKs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from mitm_ai_proxy import errors
from mitm_ai_proxy.chat.dialects import COHERE, DASHSCOPE, DIALECTS
from tests.providers.chats import CHAT, upstream_of
from tests.providers.chats import provider_of as provider
from tests.providers.test_vendor_answers import VENDORS
from tests.providers.test_vendor_requests import HUNYUAN, QWEN, REQUEST, SEEING, TOOL
from tests.sdk import judges

REQUIREMENTS: Final = ("cohere==7.3.1", "dashscope==2.0.2", "tencentcloud-sdk-python-hunyuan==3.1.180")
WORKER: Final = Path(__file__).with_name("vendor_types_worker.py")


def _asked(*questions: tuple[str, Any]) -> list[Any]:
    """The vendors' answers."""
    return judges.asked(WORKER, REQUIREMENTS, *questions)


def _sent(block: str, request: dict[str, Any]) -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(upstream_of(provider(block), CHAT, request).body or b"")
    return sent


def _events(stream: bytes) -> list[dict[str, Any]]:
    lines = [line.partition(b":")[2].strip() for line in stream.split(b"\n") if line.startswith(b"data:")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


def test_cohere_s_types_know_what_is_sent_and_what_our_streams_say() -> None:
    requests = [("cohere_request", _sent("cohere", request)) for request in (REQUEST, SEEING)]
    *wrong, types = _asked(*requests, ("cohere_events", _events(VENDORS["cohere"].stream)))

    assert wrong == [[], []]
    assert types[0] == "MessageStartV2ChatStreamResponse"
    assert types[-1] == "MessageEndV2ChatStreamResponse"
    assert len(set(types)) == 10  # nothing was read as a type that it is not


def test_tencent_s_types_know_what_is_sent_and_what_our_answers_say() -> None:
    requests = [_sent(HUNYUAN, request) for request in (REQUEST, SEEING, {**REQUEST, "stream": True})]
    asked = [("hunyuan", {"type": "ChatCompletionsRequest", "value": request}) for request in requests]
    answer = ("hunyuan", {"type": "ChatCompletionsResponse", "value": VENDORS["hunyuan"].whole["Response"]})

    assert _asked(*asked, answer) == [[], [], [], []]


def test_dashscope_s_sdk_sends_the_same_and_reads_our_streams() -> None:
    stream = VENDORS["dashscope"].stream.decode()
    messages = [{"role": "user", "content": "hi"}]
    settings = {"max_tokens": 9, "temperature": 0.5, "top_p": 0.8, "seed": 3, "stop": ["END"], "tools": [TOOL]}
    call = {"model": "qwen-plus", "messages": messages, "result_format": "message", **settings}
    streamed = {**call, "stream": True, "incremental_output": True}
    whole, piecewise = _asked(
        ("dashscope", {"call": call, "answer": json.dumps(VENDORS["dashscope"].whole)}),
        ("dashscope", {"call": streamed, "answer": stream}),
    )

    request = {"model": "qwen-plus", "messages": messages, **settings}
    assert (whole["path"], whole["body"]) == (upstream_of(provider(QWEN), CHAT, request).target, _sent(QWEN, request))
    assert piecewise["body"] == _sent(QWEN, {**request, "stream": True})
    assert (piecewise["sse"], piecewise["status"], piecewise["text"]) == ("enable", 200, "héllo")


def test_the_sdks_of_dashscope_and_cohere_read_our_refusals() -> None:
    refusal = errors.no_place_in_line("p", 1, 1)
    call = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "result_format": "message"}
    answer = DIALECTS[DASHSCOPE].refusal(refusal).decode()
    event = DIALECTS[DASHSCOPE].failure(errors.broke_off()).decode()
    whole, stream, cohere = _asked(
        ("dashscope", {"call": call, "answer": answer, "status": refusal.status}),
        ("dashscope", {"call": {**call, "stream": True}, "answer": event}),
        ("cohere_refused", {"answer": DIALECTS[COHERE].refusal(refusal).decode(), "status": refusal.status}),
    )

    assert (whole["status"], whole["code"], whole["message"]) == (429, "Throttling", refusal.message)
    assert (stream["code"], stream["message"]) == ("InternalError", errors.broke_off().message)
    assert cohere == ["TooManyRequestsError", 429, {"message": refusal.message}]
