"""Answers that fail, break off or make no sense end in an error of the client's dialect, and are never finished."""

from __future__ import annotations

import json
import random
from typing import Any

from mitm_ai_proxy.chat.translate import Translated
from tests.chat.exchanges import (
    OF_ANTHROPIC,
    OF_ANTHROPIC_STREAM,
    OF_OPENAI,
    OF_OPENAI_STREAM,
    Json,
    anthropic_stream,
    call_part,
    chunk,
    message_end,
    message_start,
    openai_stream,
    parsed,
    streamed,
    text_events,
    whole,
)
from tests.chat.test_streams import ANTHROPIC, OPENAI
from tests.tables import table

HTML = b"<html><body>502 Bad Gateway</body></html>"
START = message_start(input_tokens=1)
OPENED = text_events(0, "a")[0]
DELTA = text_events(0, "a")[1]
CLOSED = text_events(0, "a")[2]
STOP, LAST = message_end(output_tokens=1)


def _error(stream: bytes) -> Any:
    """The last event of a stream, which has to be an error."""
    events = parsed(stream)
    assert "[DONE]" not in events
    assert not [event for event in events if event.get("type") == "message_stop"]
    assert all(event.get("type") != "message_delta" for event in events)
    error = events[-1].get("error")
    assert error, events[-1]
    return error


def _is_complete(stream: bytes) -> bool:
    return stream.endswith((b"data: [DONE]\n\n", b'data: {"type":"message_stop"}\n\n'))


@table(
    "stream",
    [
        b"",
        b"\n\n",
        b": comment\n\n",
        HTML,
        b"data: <html>\n\n",
        b"data: [1]\n\n",
        b"data: 1\n\n",
        b"data: {\n\n",
        b"data: [DONE]\n\n",
        b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"a"}}]}\n\ndata: {"id":"c","ch',
        openai_stream(chunk(content="a"), done=False),
        openai_stream(call_part(0, "{", "a", "f"), done=False),
        openai_stream(chunk(content="a"), {"error": {"message": "x"}}, chunk("stop")),
        openai_stream(chunk(content="a"), {"error": "x"}, chunk("stop")),
        openai_stream(chunk(content="a"), {"error": None, "code": 1, "message": "x"}, chunk("stop")),
        openai_stream({"base_resp": {"status_code": 1002, "status_msg": "x"}}, done=False),
        openai_stream(chunk(content="a"), chunk("error")),
        openai_stream(chunk(content="a"), {"choices": [1]}),
        openai_stream(chunk(content="a"), {"choices": [{"delta": 1}]}),
        openai_stream(chunk(tool_calls=[1])),
        openai_stream(chunk(tool_calls={"index": 0})),
        openai_stream(chunk(content=[1])),
        openai_stream(call_part(0, "{}", "a"), chunk("tool_calls")),
        openai_stream(call_part(0, "{}", "a", "f"), call_part(1, "{}", "b", "g"), call_part(0, "{}")),
        b"event: error\ndata: {}\n\n",
        b'event: error\ndata: {"detail": "x"}\n\n',
    ],
)
def test_a_bad_stream_of_openai_s_ends_with_an_error_in_anthropic_s_dialect(stream: bytes) -> None:
    error = _error(streamed(OF_ANTHROPIC_STREAM, stream))

    assert error["type"]
    assert error["message"]


@table(
    "stream",
    [
        b"",
        HTML,
        b"data: {\n\n",
        anthropic_stream(LAST),
        anthropic_stream(DELTA),
        anthropic_stream(START),
        anthropic_stream(START, OPENED, DELTA, CLOSED),
        anthropic_stream(START, OPENED, DELTA, CLOSED, STOP),
        anthropic_stream(START, START),
        anthropic_stream(START, DELTA),
        anthropic_stream(START, CLOSED),
        anthropic_stream(START, OPENED, OPENED),
        anthropic_stream(START, OPENED, {**DELTA, "index": 1}),
        anthropic_stream(START, OPENED, STOP, LAST),
        anthropic_stream(START, OPENED, LAST),
        anthropic_stream(START, LAST),
        anthropic_stream(START, OPENED, CLOSED, STOP, OPENED),
        anthropic_stream(START, {"type": "content_block_start", "index": 0}),
        anthropic_stream(START, {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use"}}),
        anthropic_stream(START, OPENED, {**DELTA, "delta": {"type": "text_delta", "text": 1}}),
        anthropic_stream(START, OPENED, {**DELTA, "delta": {"type": "text_delta"}}),
        anthropic_stream({"type": "message_start"}),
        anthropic_stream({"type": "error", "error": {"type": "overloaded_error", "message": "x"}}),
        anthropic_stream(
            START, OPENED, DELTA, {"type": "error", "error": {"type": "api_error", "message": "x"}}, CLOSED, STOP, LAST
        ),
        b'event: error\ndata: {"x": 1}\n\n',
    ],
)
def test_a_bad_stream_of_anthropic_s_ends_with_an_error_in_openai_s_dialect(stream: bytes) -> None:
    error = _error(streamed(OF_OPENAI_STREAM, stream))

    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]


def test_a_stream_that_stops_anywhere_before_the_vendor_has_said_why_is_never_finished() -> None:
    for memo, stream, end in (
        (OF_ANTHROPIC_STREAM, OPENAI, b'"finish_reason": "'),
        (OF_OPENAI_STREAM, ANTHROPIC, b'"message_stop"}'),
    ):
        told = stream.index(end)
        for cut in range(0, told, 5):
            _error(streamed(memo, stream[:cut]))
        assert _is_complete(streamed(memo, stream))


@table("stream", [openai_stream(chunk(content="a"), chunk("stop"), done=False), openai_stream(chunk(content="a"))])
def test_a_vendor_ends_an_answer_by_a_reason_or_by_done_and_need_not_do_both(stream: bytes) -> None:
    events = parsed(streamed(OF_ANTHROPIC_STREAM, stream))

    assert events[-2]["delta"]["stop_reason"] == "end_turn"


def test_a_message_of_success_is_no_error() -> None:
    part = {**chunk(content="a"), "code": 0, "message": "Success", "sid": "s", "error": None}

    events = parsed(streamed(OF_ANTHROPIC_STREAM, openai_stream(part, {**chunk("stop"), "code": 0, "message": "ok"})))

    assert events[-1]["type"] == "message_stop"


def test_nothing_follows_an_error_and_nothing_follows_the_end() -> None:
    translated = Translated(OF_ANTHROPIC_STREAM)
    assert b"event: error" in translated.feed(b"data: x\n\n")
    assert translated.feed(OPENAI) == b""
    assert translated.end() == b""

    for memo, stream in ((OF_ANTHROPIC_STREAM, OPENAI), (OF_OPENAI_STREAM, ANTHROPIC)):
        for rest in (stream + b"data: x\n\n", b'data: {"half'):
            assert streamed(memo, stream + rest) == streamed(memo, stream)


def test_an_event_without_an_end_is_an_error_before_it_fills_the_memory() -> None:
    translated = Translated(OF_OPENAI_STREAM)
    piece = b"data: " + b"x" * (1 << 20)

    told = [translated.feed(piece) for _ in range(20)]

    assert b"more than" in b"".join(told)
    assert translated.end() == b""


@table(("seed", "stream", "memo"), [(1, OPENAI, OF_ANTHROPIC_STREAM), (2, ANTHROPIC, OF_OPENAI_STREAM)])
def test_no_damage_to_a_stream_raises_or_is_silent(seed: int, stream: bytes, memo: Any) -> None:
    dice = random.Random(seed)
    words = [b"{}", b"[]", b"null", b"1", b'"a"', b"\n\n", b"\\ud800", b"\xff", b"[" * 3000, b"1e999", b"-1", b"true"]
    for _ in range(400):
        damaged = bytearray(stream)
        for _ in range(dice.randrange(1, 4)):
            start = dice.randrange(len(damaged))
            damaged[start : start + dice.randrange(40)] = dice.choice(words) if dice.random() < 0.8 else b""
        told = streamed(memo, bytes(damaged))
        parsed(told)
        assert _is_complete(told) or b'"error"' in told


@table(
    ("error", "status", "code"),
    [
        ({"error": {"message": "m", "type": "t", "code": "c", "param": None}}, 400, "c"),
        ({"error": {"message": "m", "type": "t"}}, 400, "t"),
        ({"type": "error", "error": {"type": "t", "message": "m"}, "request_id": "r"}, 400, "t"),
        ({"error": {"code": 8, "message": "m", "status": "T"}}, 400, "T"),
        ([{"error": {"code": 8, "message": "m", "status": "T"}}], 400, "T"),
        ({"error": "m"}, 400, "provider_error"),
        ({"code": "c", "message": "m", "request_id": "r"}, 400, "c"),
        ({"detail": "m"}, 400, "provider_error"),
        ({"message": "m"}, 400, "provider_error"),
        ({"success": False, "errors": [{"code": 7, "message": "m"}]}, 400, "7"),
        ({"base_resp": {"status_code": 1, "status_msg": "m"}}, 400, "1"),
        ({"error": {"msg": "m", "code": "c"}}, 422, "c"),
    ],
)
def test_the_error_of_a_vendor_is_read_whatever_its_form_and_keeps_its_status_and_code(
    error: object, status: int, code: str
) -> None:
    for memo in (OF_OPENAI, OF_OPENAI_STREAM):
        answer = whole(memo, error, status)

        assert (answer.status, answer.headers["content-type"]) == (status, "application/json")
        written = json.loads(answer.body)["error"]
        assert (written["message"], written["code"]) == ("m", code)


@table(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (422, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (503, "api_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_an_error_has_anthropic_s_type_by_its_status_and_names_the_vendor_s_code(status: int, kind: str) -> None:
    answer = whole(OF_ANTHROPIC, {"error": {"message": "m", "code": "own_code"}}, status)

    assert answer.status == status
    assert json.loads(answer.body) == {"type": "error", "error": {"type": kind, "message": "m (own_code)"}}


@table("body", [HTML, b"", b"\xff", b"[]", b"null", b"{}", b"[" * 100_000])
def test_an_error_without_a_message_still_says_its_status(body: bytes) -> None:
    for memo in (OF_OPENAI, OF_ANTHROPIC):
        answer = whole(memo, body, 503)

        assert answer.status == 503
        assert "503" in json.loads(answer.body)["error"]["message"]
        assert b"html" not in answer.body


# The numbers of these vendors, and what each of them means.
MINIMAX = [(1001, 504), (1002, 429), (1004, 401), (1008, 402), (1026, 400), (1027, 400), (1039, 429), (1041, 429)]
MINIMAX += [(2013, 400), (2042, 403), (2045, 429), (2049, 401), (2056, 429), (20132, 400), (1999, 502)]
SPARK = [(10006, 429), (10007, 429), (10008, 503), (10013, 400), (10014, 400), (10016, 403), (10110, 503)]
SPARK += [(11200, 403), (11201, 429), (11202, 429), (11203, 429), (19999, 502)]
BAIDU = [(1, 500), (2, 503), (3, 404), (4, 429), (6, 403), (13, 401), (14, 401), (15, 503), (17, 429), (18, 429)]
BAIDU += [(19, 429), (100, 401), (110, 401), (111, 401), (336000, 500), (336001, 400), (336004, 403), (336100, 503)]
BAIDU += [(336501, 429), (336502, 429), (500000, 500), (999, 502)]


@table(
    ("error", "status"),
    [
        ({"error": {"message": "m", "code": 429}}, 429),
        ({"error": {"message": "m", "type": "rate_limit_error"}}, 429),
        ({"error": {"message": "m", "status": "PERMISSION_DENIED", "code": 7}}, 403),
        ({"error": {"message": "m", "code": "401"}}, 401),
        ({"error": {"message": "m"}}, 502),
        *(({"base_resp": {"status_code": code, "status_msg": "m"}}, status) for code, status in MINIMAX),
        *(({"code": code, "message": "m", "sid": "s"}, status) for code, status in SPARK),
        *(({"error_code": code, "error_msg": "m"}, status) for code, status in BAIDU),
        ({"error": {"code": "tpm_rate_limit_exceeded", "message": "m", "type": "rate_limit_exceeded"}}, 429),
        ({"code": "Throttling.RateQuota", "message": "m", "request_id": "r"}, 429),
    ],
)
def test_an_error_in_a_200_gets_a_status_of_an_error(error: Json, status: int) -> None:
    for memo in (OF_ANTHROPIC, OF_OPENAI, OF_ANTHROPIC_STREAM, OF_OPENAI_STREAM):
        answer = whole(memo, error)

        assert answer.status == status
        assert json.loads(answer.body)["error"]["message"].startswith("m")


def test_a_number_for_a_prompt_that_is_too_long_is_what_clients_look_for() -> None:
    error = {"code": 10907, "message": "too many", "sid": "s"}

    assert json.loads(whole(OF_OPENAI, error).body)["error"]["code"] == "context_length_exceeded"
    assert json.loads(whole(OF_ANTHROPIC, error).body)["error"]["message"] == "prompt is too long: too many (10907)"


@table(
    "body",
    [
        HTML,
        b"",
        b"{}",
        b"[]",
        b'{"choices":[]}',
        b'{"choices":[1]}',
        b'{"choices":[{"message":1}]}',
        b'{"choices":[{"message":{"content":1}}]}',
        b'{"choices":[{"message":{"tool_calls":[1]}}]}',
        b'{"type":"message","content":[1]}',
        b'{"type":"message","content":1}',
        b'{"type":"message","content":[{"type":"text"}]}',
        b'{"type":"message","content":[{"type":"tool_use","id":1}]}',
        b'{"type":"message","content":[{}]}',
        b'{"type":"message"}',
        b"[" * 100_000,
        b"data: {}\n\n",
        b"data: [DONE]\n\n",
        b"\xff\xfe",
    ],
)
def test_a_whole_answer_that_makes_no_sense_is_a_bad_gateway(body: bytes) -> None:
    for memo in (OF_ANTHROPIC, OF_OPENAI, OF_ANTHROPIC_STREAM, OF_OPENAI_STREAM):
        answer = whole(memo, body)

        assert answer.status == 502
        assert json.loads(answer.body)["error"]["message"].startswith("The provider's answer")


def test_a_prompt_that_is_too_long_is_said_as_each_client_looks_for_it() -> None:
    openai = {"error": {"message": "Too many tokens.", "code": "context_length_exceeded"}}
    anthropic = {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 9 > 8"}}

    assert json.loads(whole(OF_ANTHROPIC, openai, 400).body)["error"]["message"].startswith("prompt is too long")
    assert json.loads(whole(OF_OPENAI, anthropic, 400).body)["error"]["code"] == "context_length_exceeded"


def test_an_error_is_short_whatever_the_vendor_writes() -> None:
    answer = whole(OF_OPENAI, {"error": {"message": "x" * 100_000, "code": "c" * 1000}}, 400)

    assert len(answer.body) < 3000
