"""Whole answers of one dialect become those of the other, in the form that the client asked for."""

from __future__ import annotations

import json
from typing import Any

from mitm_ai_proxy.chat import sealed_ids, translate
from mitm_ai_proxy.chat.model import Seal, Thinking
from mitm_ai_proxy.exchange import Pieces, Whole
from tests.chat.exchanges import (
    LAST,
    OF_ANTHROPIC,
    OF_ANTHROPIC_STREAM,
    OF_OPENAI,
    OF_OPENAI_STREAM,
    Json,
    anthropic_stream,
    call_part,
    chunk,
    completion,
    encoded,
    flat,
    message,
    message_end,
    message_start,
    openai_stream,
    parsed,
    text_events,
    whole,
    whole_document,
)
from tests.chat.test_streams import check_anthropic_grammar, check_openai_grammar
from tests.tables import table

REFUSED = {"type": "refusal", "explanation": "no"}
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "SIG"}


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def _use(id: str, input: Any) -> Json:
    return {"type": "tool_use", "id": id, "name": "f", "input": input}


def _function(id: str, arguments: Any) -> Json:
    return {"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}}


def test_a_message_is_a_completion() -> None:
    document = whole_document(OF_OPENAI, message(_text("a"), _text("b")))

    assert document == {
        "id": "msg_1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "claude",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "ab", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "total_tokens": 120,
            "prompt_tokens_details": {"cached_tokens": 60},
        },
    }


def test_a_completion_is_a_message() -> None:
    document = whole_document(OF_ANTHROPIC, completion("hi"))

    assert document == {
        "id": "c1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 40,
            "output_tokens": 20,
            "cache_read_input_tokens": 60,
            "output_tokens_details": {"thinking_tokens": 7},
        },
    }


def test_thinking_and_calls_of_a_message_are_those_of_a_completion_without_indexes() -> None:
    body = encoded(message(THOUGHT, _text("a"), _use("i", "INPUT"), _use("j", {}), reason="tool_use"))
    body = body.replace(b'"INPUT"', b'{ "x": 1.10, "big": 12345678901234567890123 }')

    document = json.loads(whole(OF_OPENAI, body).body)
    made = document["choices"][0]["message"]

    assert made["reasoning_content"] == "hm"
    assert made["content"] == "a"
    first, second = made["tool_calls"]
    assert first["function"] == {"name": "f", "arguments": '{ "x": 1.10, "big": 12345678901234567890123 }'}
    assert second == _function("j", "{}")
    assert sealed_ids.opened(first["id"]) == ("i", (Thinking("hm", Seal("anthropic", "SIG")), 1), None)
    assert document["choices"][0]["finish_reason"] == "tool_calls"


def test_thinking_and_calls_of_a_completion_are_blocks_of_a_message() -> None:
    arguments = '{ "x": 1.10, "big": 12345678901234567890123 }'
    calls = [_function("i", arguments), _function("j", ""), _function("k", "{bad")]

    body = whole(OF_ANTHROPIC, completion(None, "tool_calls", reasoning_content="hm", tool_calls=calls)).body
    document = json.loads(body)

    assert arguments.encode() in body
    assert document["content"][0] == {"type": "thinking", "thinking": "hm", "signature": ""}
    assert [block["id"] for block in document["content"][1:]] == ["i", "j", "k"]
    assert [block["input"] for block in document["content"][2:]] == [{}, {"INVALID_JSON": "{bad"}]
    assert document["stop_reason"] == "tool_use"


@table(
    ("answer", "content", "refusal", "finish"),
    [
        (message(), "", None, "stop"),
        (message(_use("i", {}), reason="tool_use"), None, None, "tool_calls"),
        (message(reason="refusal"), "", None, "content_filter"),
        (message(reason="refusal", stop_details=REFUSED), None, "no", "content_filter"),
        (message(_text("a"), reason="max_tokens"), "a", None, "length"),
        (message({"type": "web_search_tool_result"}, _text("a")), "a", None, "stop"),
    ],
)
def test_a_completion_always_has_content_a_call_or_a_refusal_and_one_of_five_reasons(
    answer: Json, content: str | None, refusal: str | None, finish: str
) -> None:
    choice = whole_document(OF_OPENAI, answer)["choices"][0]

    assert (choice["message"]["content"], choice["message"]["refusal"]) == (content, refusal)
    assert choice["finish_reason"] == finish


@table(
    ("answer", "content", "reason", "sequence"),
    [
        (completion(""), [], "end_turn", None),
        (completion(None, refusal="no"), [_text("no")], "refusal", None),
        (completion("a", "content_filter"), [_text("a")], "refusal", None),
        (completion("a", "length"), [_text("a")], "max_tokens", None),
        (
            {"choices": [{"message": {"content": "a"}, "finish_reason": "stop", "stop_reason": "x"}]},
            [_text("a")],
            "stop_sequence",
            "x",
        ),
        ({"choices": [{"message": {"content": [_text("a")]}}]}, [_text("a")], "end_turn", None),
    ],
)
def test_a_message_has_the_reason_and_the_stop_sequence(
    answer: Json, content: list[Json], reason: str, sequence: str | None
) -> None:
    document = whole_document(OF_ANTHROPIC, answer)

    assert (document["content"], document["stop_reason"], document["stop_sequence"]) == (content, reason, sequence)


def test_what_a_vendor_does_not_tell_is_made_up_from_the_request() -> None:
    choice = {"message": {"content": "a"}, "finish_reason": "stop"}
    document = whole_document(OF_ANTHROPIC, {"choices": [choice]})
    assert (document["id"], document["model"]) == ("msg_seed", "m")
    assert document["usage"] == {"input_tokens": 0, "output_tokens": 0}

    document = whole_document(OF_OPENAI, {"type": "message", "content": []})
    assert (document["id"], document["created"]) == ("chatcmpl-seed", 1700000000)
    assert "usage" not in document


def test_the_time_of_the_cache_is_told_apart() -> None:
    usage = {
        "input_tokens": 1,
        "output_tokens": 2,
        "cache_read_input_tokens": 4,
        "cache_creation_input_tokens": 8,
        "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 5},
    }

    written = whole_document(OF_OPENAI, message(_text("a"), usage=usage))["usage"]

    assert written["prompt_tokens"] == 13
    assert written["prompt_tokens_details"] == {"cached_tokens": 4, "cache_write_tokens": 8}


@table(
    ("memo", "answer"),
    [(OF_OPENAI_STREAM, message(THOUGHT, _text("a"), _use("i", {"x": 1}), reason="tool_use"))],
)
def test_a_whole_answer_to_a_client_that_streams_is_a_stream(memo: Any, answer: Json) -> None:
    found = whole(memo, answer)

    assert found.headers["content-type"] == "text/event-stream; charset=utf-8"
    check_openai_grammar(parsed(found.body))
    check_anthropic_grammar(parsed(whole(OF_ANTHROPIC_STREAM, completion("a")).body))


@table(
    ("memo", "stream", "text"),
    [
        (
            OF_ANTHROPIC,
            openai_stream(chunk(content="a"), call_part(0, "{}", "i", "f"), chunk("stop"), LAST),
            '"input":{}',
        ),
        (
            OF_OPENAI,
            anthropic_stream(*flat([message_start(), text_events(0, "a"), message_end(output_tokens=1)])),
            '"content":"a"',
        ),
    ],
)
def test_a_stream_to_a_client_that_does_not_is_a_whole_answer(memo: Any, stream: bytes, text: str) -> None:
    fields = ((b"content-type", b"text/event-stream"),)

    found = whole(memo, stream, fields=fields)

    assert found.headers["content-type"] == "application/json"
    assert text in found.body.decode()


@table(
    ("memo", "status", "kind", "handled"),
    [
        (OF_OPENAI, 200, "application/json", Whole),
        (OF_OPENAI, 200, "text/event-stream", Whole),
        (OF_OPENAI_STREAM, 200, "text/event-stream; charset=utf-8", Pieces),
        (OF_OPENAI_STREAM, 200, "", Pieces),
        (OF_OPENAI_STREAM, 200, "text/plain", Pieces),
        (OF_OPENAI_STREAM, 200, "application/json", Whole),
        (OF_OPENAI_STREAM, 200, "Text/HTML", Whole),
        (OF_OPENAI_STREAM, 429, "text/event-stream", Whole),
        (OF_OPENAI_STREAM, 302, "", Whole),
    ],
)
def test_an_answer_is_streamed_if_the_client_wants_it_and_it_is_one(
    memo: Any, status: int, kind: str, handled: type
) -> None:
    assert type(translate.handling(memo, status, ((b"Content-Type", kind.encode()),))) is handled


@table(
    ("memo", "theirs", "ours"),
    [(OF_OPENAI, b"request-id", "x-request-id"), (OF_ANTHROPIC, b"x-request-id", "request-id")],
)
def test_the_vendor_s_id_of_a_request_is_told_under_the_client_s_name(memo: Any, theirs: bytes, ours: str) -> None:
    answer = completion("a") if memo is OF_ANTHROPIC else message()
    for status in (200, 500):
        assert whole(memo, answer, status, ((theirs, b"req_1"),)).headers[ours] == "req_1"
        assert ours not in whole(memo, answer, status, ((theirs, b"a"), (ours.encode(), b"b"))).headers


def test_usage_is_none_of_ours_to_invent() -> None:
    assert "usage" not in whole_document(OF_OPENAI, {**message(), "usage": None})
    assert whole_document(OF_OPENAI, message())["usage"]["total_tokens"] == 120
    assert whole_document(OF_ANTHROPIC, completion("a", usage=None))["usage"] == {"input_tokens": 0, "output_tokens": 0}
