"""Bodies that are not what their path says: something is shown, nothing raises, and what would take long is cut."""

from __future__ import annotations

import itertools
import json
import random

from mitm_ai_proxy.view import ai, answers
from mitm_ai_proxy.view.messages import Message
from mitm_ai_proxy.view.sessions import Asked, Sessions, Told
from mitm_ai_proxy.view.summary import Exchange, summary
from tests.tables import table

JSON = {"content-type": "application/json"}
ESCAPES = "\x1b]0;owned\x07\x1b[2J\u202e\u2028\x9b31m<script>alert(1)</script>"
PATHS = (
    "/v1/chat/completions",
    "/v1/messages",
    "/v1/responses",
    "/v1beta/models/m:streamGenerateContent",
    "/model/m/converse-stream",
    "/v1/videos",
    "/v1/embeddings",
)


def _events(*documents: object) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(document).encode() for document in documents)


STREAMS = {
    "/v1/chat/completions": _events(
        {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hé"}}]},
        {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"tool_calls": [
            {"index": 0, "id": "t", "function": {"name": "f", "arguments": '{"a": 1}'}}]}}]},
        {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    ) + b"data: [DONE]\n\n",
    "/v1/messages": _events(
        {"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "model": "m",
                                              "content": [], "usage": {"input_tokens": 1, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hé"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ),
    "/v1/responses": _events(
        {"type": "response.output_text.delta", "delta": "Hé"},
        {"type": "response.completed", "response": {"status": "completed", "model": "m", "output": [
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hé"}]}]}},
    ),
    "/v1beta/models/m:streamGenerateContent": _events(
        {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hé"}]}}], "modelVersion": "m"},
        {"candidates": [{"content": {"parts": [{"text": "!"}]}, "finishReason": "STOP"}], "modelVersion": "m"},
    ),
}  # fmt: skip


def _all(path: str, body: bytes, kind: str = "application/json") -> str:
    """All that is shown of a body, as a request and as an answer; each text is checked for what must not be in it."""
    fields = {"content-type": kind}
    client = Message("POST", "/v1/messages", fields, body)
    told = [
        ai.text(ai.Shown(True, "POST", path, fields, body, client, ESCAPES)),
        ai.text(ai.Shown(False, "POST", path, fields, body)),
        *(summary(Exchange(client, ESCAPES, client, ["rewritten"], 1, status, body)).text for status in (200, 500)),
    ]
    sessions = Sessions(most=10, has_texts=False)
    if turn := sessions.ask(Asked("1", path, {}, body, 1.0)):
        sessions.answer(turn, Told(path, 200, body))
    for text in told:
        assert all(char.isprintable() or char == "\n" for char in text), text
    return "\n".join(told)


@table("path", list(STREAMS))
def test_a_stream_that_is_cut_at_any_byte_shows_what_there_is_and_where_it_breaks(path: str) -> None:
    stream = STREAMS[path]
    whole = ai.text(ai.Shown(False, "POST", path, {"content-type": "text/event-stream"}, stream))
    assert "Hé" in whole
    assert "break" not in whole
    assert "error" not in whole
    last = stream.rstrip().rfind(b"data:")
    for place in range(1, last):
        # Of all that is shown, a text that is not the answer's changes little from byte to byte.
        text = _all(path, stream[:place], "text/event-stream") if place % 8 == 0 else ""
        shown = ai.text(ai.Shown(False, "POST", path, {"content-type": "text/event-stream"}, stream[:place]))
        assert shown.splitlines()[-1].strip()
        if place > stream.find(b"H") + 200:
            assert "Hé" in shown
            assert "Hé" in text or not text
        if path != "/v1/chat/completions" and place > 20:
            assert f"{place:,} bytes" in shown or f"{place / 1024:.1f} KB" in shown, (place, shown)


HOSTILE = {
    "text": ESCAPES.encode(),
    "names": json.dumps({ESCAPES: ESCAPES, "model": ESCAPES, "messages": [
        {"role": ESCAPES, "content": ESCAPES}]}).encode(),
    "blocks": json.dumps({"messages": [{"role": "user", "content": [
        {"type": ESCAPES}, {"type": "tool_use", "id": ESCAPES, "name": ESCAPES, "input": {ESCAPES: 1}},
        {"type": "tool_result", "tool_use_id": ESCAPES, "content": ESCAPES}, {"type": "image", "source": {
            "type": "base64", "media_type": ESCAPES, "data": ESCAPES}},
        {"type": "image_url", "image_url": {"url": ESCAPES}},
    ]}]}).encode(),
    "job": json.dumps({"id": ESCAPES, "status": ESCAPES, "model": ESCAPES, "size": ESCAPES, "data": {
        "task_result": {"videos": [{"url": ESCAPES}, 7], "x": 7}, "task_status_msg": ESCAPES}}).encode(),
    "odd job": json.dumps({"id": "x", "status": "y", "size": [], "seconds": {}, "data": [1], "task_result": [7],
                           "progress": True, "model": 7}).encode(),
    "error": json.dumps({"error": {"message": ESCAPES, "code": ESCAPES}}).encode(),
    "events": _events(
        {"type": ESCAPES, "delta": ESCAPES}, {"choices": [{"delta": {"content": ESCAPES}}]}, 7, None, [[]])
    + b"event: \x1b[2J\ndata: {\n\nid: 7\nretry: x\n\n: c\ndata: \xff\xfe\n\n",
    "binary": bytes(range(256)) * 20,
    "deep": b"[" * 60_000,
    "deep member": b'{"messages": ' + b'{"a":' * 20_000,
    "numbers": b'{"messages": 1e999, "model": -0.0, "max_tokens": 1e400, "stream": [NaN]}',
    "surrogate": b'{"model": "\\ud800", "messages": [{"role": "\\udfff", "content": "\\ud83d"}]}',
    "form": b'--b\r\nContent-Disposition: form-data; name="\x1b[2J"; filename="\x1b[31m"\r\n\r\n\x1b\r\n--b--\r\n',
}  # fmt: skip


@table("name", list(HOSTILE))
def test_what_is_no_body_of_its_path_is_shown_without_harm(name: str) -> None:
    # What is read as JSON or events under each path, and what is read as neither under two.
    read = itertools.product(PATHS, ("application/json", "text/event-stream"))
    for path, kind in (*read, *itertools.product(PATHS[:2], ("multipart/form-data; boundary=b", ESCAPES, ""))):
        assert _all(path, HOSTILE[name], kind)


def test_damage_raises_nothing() -> None:
    dice = random.Random(11)
    seeds = [*STREAMS.values(), *HOSTILE.values()]
    for _ in range(200):
        body = bytearray(dice.choice(seeds)[:3000])
        for _ in range(dice.randint(1, 5)):
            place = dice.randrange(len(body))
            body[place : place + dice.randint(0, 40)] = dice.choice(
                [b"", b"{", b"}", b"]", b"null", b"\xff", b'"', b"\n\n"]
            )
        _all(dice.choice(PATHS), bytes(body), dice.choice(["application/json", "text/event-stream"]))


MANY = 8 * 1024 * 1024
EVENT = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
TINY = b'{"role":"user","content":"a"}'


@table(
    ("path", "is_request", "body", "told"),
    [
        ("/v1/chat/completions", True, b'{"messages":[' + b"1," * 300_000 + b"1]}", "KB more)"),
        ("/v1/chat/completions", True, b'{"messages":["' + b"a" * MANY + b'"]}', "… (8.0 MB more)"),
        ("/v1/chat/completions", True, b'{"messages":["' + b"a" * 3 * MANY + b'"]}', "(24.0 MB: too long to be shown)"),
        (
            "/v1/messages",
            True,
            b'{"messages":[' + b",".join([TINY] * 9_000) + b"]}",
            "6,996 turns, 198.1 KB: not shown",
        ),
        ("/v1/models", False, b'{"data":[' + b",".join([TINY] * 9_000) + b"]}", "\n… (more)\n"),
        ("/v1/chat/completions", False, b'{"choices":[' + b"{}," * 300_000 + b"{}]}", "too long to be read here"),
        ("/v1/chat/completions", False, b'{"choices":["' + b"a" * MANY + b'"]}', "too long to be read here"),
        ("/v1/chat/completions", False, EVENT * 30_000, "only "),
        ("/v1/responses", False, b"data: {}\n\n" * 30_000, "only "),
        ("/v1/messages", False, b":\n" * 300_000, "only "),
        ("/model/m/converse-stream", False, b"\0" * MANY, "only 1.0 MB of 8.0 MB"),
        ("/v1/embeddings", False, b"[" + b"1," * 30_000 + b"1]", "more)"),
        ("/v1/videos/1/content", False, b"\0" * MANY, "too long to be laid out here"),
        ("/v1/videos", True, b"{" + b'"a":1,' * 30_000 + b'"b":1}', "more)"),
    ],
)
def test_what_would_hold_up_other_traffic_is_cut_and_says_so(
    path: str, is_request: bool, body: bytes, told: str
) -> None:
    text = ai.text(ai.Shown(is_request, "POST", path, JSON, body))

    assert told in text
    assert len(text) < 200_000


def test_conversations_of_too_many_turns_belong_to_no_session_while_traffic_passes() -> None:
    for body in (b'{"messages":[' + b",".join([TINY] * 10_001) + b"]}", b'{"messages":[' + b"1," * 1_000_001 + b"1]}"):
        assert Sessions(has_texts=False).ask(Asked("1", "/v1/chat/completions", {}, body, 1.0)) is None
    assert Sessions(has_texts=False).ask(Asked("1", "/v1/chat/completions", {}, b'{"messages":[{}]}', 1.0))
    # A file is read to its end.
    stream = b"data: {}\n\n" * 15_000 + b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
    assert answers.read(stream, "openai", has_time=True).spent.usage
    assert not answers.read(stream, "openai").spent.usage
