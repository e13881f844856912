"""The line that tells a request's story in a list."""

from __future__ import annotations

import json
from typing import Any

from mitm_ai_proxy.view.messages import Message
from mitm_ai_proxy.view.prices import PriceKeys, PriceSettings
from mitm_ai_proxy.view.summary import Exchange, summary
from tests.tables import table

CREATE = Message("POST", "/v1/videos/image2video", {}, b'{"model_name": "kling-v3", "duration": "4"}')
ASKED = Message("POST", "/v1/videos", {}, b'{"model": "sora-2", "seconds": "4"}')
FORM = Message(
    "POST",
    "/v1/videos",
    {"content-type": "multipart/form-data; boundary=b"},
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nsora-2\r\n--b--\r\n',
)
CHAT = Message("POST", "/v1/chat/completions?key=redacted", {}, b'{"model": "m"}')
ANSWER = json.dumps(
    {"model": "m", "choices": [{"message": {"content": "hi"}}], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
).encode()
PRICES = PriceSettings({"m": PriceKeys(input=100_000, output=50_000)})


@table(
    ("exchange", "text"),
    [
        (
            Exchange(CREATE, "kling", ASKED, ["rewritten"], 1, 200, b'{"status": "queued", "progress": 0}', 0.08, 2.14),
            "POST /v1/videos → kling image2video · sora-2 → kling-v3 · 4 s · queued · first byte 80 ms, all 2.1 s · "
            "rewritten",
        ),
        (
            Exchange(CREATE, "kling", ASKED, ["rewritten"], expected=(2.4, 0.336)),
            "POST /v1/videos → kling image2video · sora-2 → kling-v3 · 4 s · 2.4 units · $0.336 (list price) · "
            "rewritten",
        ),
        (
            Exchange(CREATE, "kling", ASKED, ["refused"], status=400, expected=(2.4, 0.336)),
            "POST /v1/videos → kling image2video · sora-2 → kling-v3 · 4 s · 400 · refused",
        ),
        (
            Exchange(CHAT, "openai", CHAT, ["retried"], 3, 200, ANSWER),
            "POST /v1/chat/completions → openai · m · 3 tokens in, 2 out · $0.400 (list price) · retried, 3 tries",
        ),
        (
            Exchange(CHAT, status=200, answer=ANSWER),
            "POST /v1/chat/completions · m · 3 tokens in, 2 out · $0.400 (list price)",
        ),
        (
            Exchange(Message("GET", "/v1/videos/image2video/83795637", {}), "kling",
                     Message("GET", "/v1/videos/k-1", {}), ["rewritten", "simulated"], 1, 200,
                     b'{"status": "in_progress", "progress": 50}'),
            "GET /v1/videos/k-1 → kling image2video · in_progress 50 % · rewritten · simulated",
        ),
        (
            Exchange(Message("GET", "/v1/videos/text2video/1", {}), "kling", status=200,
                     answer=b'{"code": 0, "data": {"task_status": "processing"}}'),
            "GET /v1/videos/text2video/1 → kling · processing",
        ),
        (
            Exchange(CREATE, "kling", FORM, ["rewritten"], 1, 200, b'{"status": "completed", "progress": 100}'),
            "POST /v1/videos → kling image2video · sora-2 → kling-v3 · 4 s · completed · rewritten",
        ),
        (
            Exchange(Message("GET", "/v1/videos/kling-t2v-123-oabc2/content?a=b", {}), "k", status=429, total=0.9996,
                     first_byte=0.9994, answer=b'{"error": {"message": "Slow\x1b down"}}'.replace(b"\x1b", b"\\u001b")),
            "GET /v1/videos/kling-t2v-123…/content → k · 429: Slow\\x1b down · first byte 999 ms, all 1.0 s",
        ),
        (
            Exchange(CREATE, "kling", Message("POST", "/v1/videos", {}, b"", False, "sora-2"), ["rewritten"]),
            "POST /v1/videos → kling image2video · sora-2 → kling-v3 · 4 s · rewritten",
        ),
        (Exchange(CHAT, status=404, answer=b'{"error": "no such model"}'),
         "POST /v1/chat/completions · m · 404: no such model"),
        (Exchange(CHAT, status=500, answer=b'{"message": "down"}'), "POST /v1/chat/completions · m · 500: down"),
        (Exchange(Message("GET", "/jobs/" + "a" * 50, {})), "GET /jobs/" + "a" * 23 + "…"),
        (Exchange(Message("POST", "/v1beta/models/gemini-2:generateContent", {}), "gemini"),
         "POST /v1beta/models/gemini-2:generateContent → gemini · gemini-2"),
    ],
)  # fmt: skip
def test_it_says_what_was_asked_what_became_of_it_and_what_it_took(exchange: Exchange, text: str) -> None:
    assert summary(exchange, PRICES).text == text


@table("answer, expected, dollars", [(ANSWER, (None, None), 0.4), (b"", (1, 0.14), 0.14), (b"{}", (None, None), None)])
def test_the_cost_is_that_of_the_answer_or_of_the_price_list(answer: bytes, expected: Any, dollars: Any) -> None:
    exchange = Exchange(CHAT, "openai", CHAT, ["rewritten"], 1, 200, answer, expected=expected)

    found = summary(exchange, PRICES)

    assert found.dollars is None if dollars is None else abs((found.dollars or 0) - dollars) < 1e-9
    assert found.words == {"rewritten"}


@table(
    "body",
    [
        b"", b"{", b"[]", b"\xff{}", b'{"model": "\x1b[31m"}',
        b'{"model": 1, "duration": true, "status": [], "data": [1]}', b'{"progress": 1e999, "duration": "9e9"}',
        b"[" * 5000, b'{"model": ' + b"[" * 5000, b'{"model": "\\ud800", "data": {"task_status": 7}}',
        b'{"model": "' + b"m" * 5000 + b'"}', b'{"a": "' + b"m" * 3_000_000 + b'"}',
    ],
)  # fmt: skip
def test_foreign_bodies_give_a_short_line_without_control_characters(body: bytes) -> None:
    paths = ("/v1/videos", "/v1/chat/completions", "/", "", "?" + "a" * 5000, "/\x1b[31m/" + "é" * 300)
    for path, kind in [(path, "") for path in paths] + [("/v1/videos", "multipart/form-data; boundary=b")]:
        message = Message("POST", path, {"content-type": kind}, body)
        for status in (200, 400):
            text = summary(Exchange(message, "k", message, ["rewritten"], 1, status, body, 0.1, -1.0)).text
            assert text.isprintable()
            assert len(text) < 1300
