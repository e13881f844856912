"""The content view's text: conversations, jobs, other bodies, and what was changed of a request."""

from __future__ import annotations

import json
import random

from mitm_ai_proxy.view import ai
from mitm_ai_proxy.view.jobs import Jobs
from mitm_ai_proxy.view.messages import Message
from mitm_ai_proxy.view.subjects import Subject, subject
from tests.tables import table

JSON = {"content-type": "application/json"}
CHAT = b'{"model": "kimi-k2", "messages": [{"role": "user", "content": "hi"}]}'


@table(
    ("path", "expected"),
    [
        ("/v1/chat/completions", Subject("chat", "openai")),
        ("/openai/deployments/a/chat/completions?api-version=1", Subject("chat", "openai")),
        ("/anthropic/v1/messages", Subject("chat", "anthropic")),
        ("/v1/responses", Subject("chat", "responses")),
        ("/v1beta/models/gemini-3-pro:streamGenerateContent?alt=sse", Subject("chat", "gemini", "gemini-3-pro")),
        ("/model/anthropic.claude%3A0/converse", Subject("chat", "converse", "anthropic.claude:0")),
        ("/v1/messages/count_tokens", Subject("call")),
        ("/v1/embeddings", Subject("call")),
        ("/v1/models/gpt-4o", Subject("call")),
        ("/v1/videos", Subject("job")),
        ("/v1/videos/text2video/123", Subject("job")),
        ("/v1/images/generations", Subject("job")),
        ("/v1/realtime?model=m", Subject("call")),
        ("/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=k", Subject("call")),
        ("/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContentConstrained", Subject("call")),
        ("/ws/google.cloud.aiplatform.v1.LlmBidiService/BidiGenerateContent", Subject("call")),
        ("/ws/google.example/other", None),
        ("/index.html", None),
        ("/", None),
        ("/v1/messages/../../admin", None),
    ],
)
def test_a_path_tells_what_a_request_is_about(path: str, expected: Subject | None) -> None:
    assert subject(path) == expected
    assert ai.knows(path) == (expected is not None)


def test_a_request_shows_its_conversation_and_what_was_changed_and_why() -> None:
    client = Message("POST", "/v1/chat/completions", JSON, CHAT.replace(b"kimi-k2", b"gpt-4o"))

    text = ai.text(ai.Shown(True, "POST", "/v1/chat/completions", JSON, CHAT, client, "model mapped; sent to kimi"))

    assert text.startswith("kimi-k2 · 1 turn\n\n── user ──")
    assert '-  "model": "gpt-4o",\n+  "model": "kimi-k2",\n' in text
    assert text.endswith("\n  model mapped\n  sent to kimi\n")


@table(
    ("client", "expected"),
    [
        (Message("POST", "/v1/chat/completions", JSON, CHAT), "(nothing was changed)"),
        (Message("POST", "/v1/chat/completions", JSON, b"x" * 200_000), "(too long to be compared here)"),
        (Message("POST", "/v1/chat/completions", JSON, b"", False, "gpt-4o"), "(too long to be compared here)"),
    ],
)
def test_a_request_that_is_not_compared_says_so(client: Message, expected: str) -> None:
    assert expected in ai.text(ai.Shown(True, "POST", "/v1/chat/completions", JSON, CHAT, client))


def test_an_answer_ends_with_its_reason_its_tokens_and_its_price() -> None:
    answer = {
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 1200,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 1000},
            "completion_tokens_details": {"reasoning_tokens": 2},
            "cost": 0.00123,
        },
    }

    text = ai.text(ai.Shown(False, "POST", "/v1/chat/completions", JSON, json.dumps(answer).encode()))

    assert text.endswith("\n\nended by itself · 1,200 tokens in (1,000 cached), 5 out (2 reasoning) · $0.00123\n")


@table(
    ("path", "kind", "body", "beginning"),
    [
        (
            "/v1/videos/video_1",
            "application/json",
            b'{"id": "video_1", "status": "in_progress", "progress": 40}',
            "video_1 · in_progress · 40 %\n",
        ),
        (
            "/v1/videos/text2video/7",
            "application/json",
            b'{"code": 0, "data": {"task_id": "7", "task_status": "failed", "task_status_msg": "\\u001b risky"}}',
            "7 · failed · \\x1b risky\n",
        ),
        (
            "/v1/embeddings",
            "application/json",
            b'{"a": [' + b"0.5, " * 99 + b"1]}",
            '{\n  "a": [\n    0.5,\n    0.5,\n    "… 100 numbers"\n  ]\n}\n',
        ),
        (
            "/v1/videos",
            "application/json",
            json.dumps({"image": "a" * 2000}).encode(),
            '{\n  "image": "' + "a" * 60 + '… (2.0 KB)"\n}\n',
        ),
        (
            "/v1/videos",
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="seconds"\r\n\r\n4\r\n--b--\r\n',
            "a form of 1 part:\n  seconds = 4\n",
        ),
        ("/v1/videos/1/content", "video/mp4", b"\0\0\xff", "(video/mp4, 3 bytes)\n"),
        ("/v1/chat/completions", "text/html", b"<h1>no</h1>", "error 502: "),
        ("/v1/models", "text/plain", b"plain \x1b[31mtext", "plain \\x1b[31mtext\n"),
        ("/v1/models", "", b"", "(no body)\n"),
        ("/v1/models", "", b"x" * 5_000_000, "(4.8 MB: too long to be laid out here)\n"),
    ],
)
def test_other_answers_are_laid_out(path: str, kind: str, body: bytes, beginning: str) -> None:
    text = ai.text(ai.Shown(False, "GET", path, {"content-type": kind}, body))

    assert text.startswith(beginning)


def test_an_answer_about_a_job_says_what_it_makes_what_it_costs_what_it_was_so_far_and_where_its_result_is() -> None:
    seen = Jobs()
    created = {"id": "kling-t2v-7-oabc", "status": "queued", "model": "sora-2", "data": {"task_id": "kling-t2v-7"}}
    polled = {**created, "model": None, "status": "in_progress", "progress": 40, "data": {"task_id": "7"}}
    result = {"task_id": "7", "task_status": "succeed", "task_result": {"videos": [{"url": "http://p/\x1b.mp4"}]}}
    done = {**created, "model": None, "status": "completed", "seconds": "4", "size": "720x1280", "data": result}
    for later, document in ((0, created), (2, polled), (4, polled), (8, done)):
        seen.hear(Message("GET", "/v1/videos", {}), json.dumps(document).encode(), 1000.0 + later)

    body = json.dumps(done).encode()
    text = ai.text(ai.Shown(False, "GET", "/v1/videos/7", JSON, body, cost="2.4 units", seen=seen))

    assert text.split("\n\n")[0].splitlines() == [
        "kling-t2v-7… · completed",
        "sora-2 · 4 s · 720x1280 · 2.4 units",
        "so far: queued · 2 s in_progress 40 % · 8 s completed",
        "result: http://p/\\x1b.mp4",
    ]
    assert len([*seen]) == 1


def test_a_form_is_compared_as_the_json_that_became_of_it() -> None:
    form = b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
    body = form % (b"prompt", b"a cat") + form % (b"model", b"sora-2") + b"--b--\r\n"
    client = Message("POST", "/v1/videos", {"content-type": "multipart/form-data; boundary=b"}, body)
    sent = b'{"prompt": "a cat", "model_name": "kling-v3"}'

    text = ai.text(ai.Shown(True, "POST", "/v1/videos/text2video", JSON, sent, client, cost="2.4 units"))

    assert text.startswith("kling-v3 · 2.4 units\n\n{\n")
    assert '   "prompt": "a cat",\n-  "model": "sora-2"\n+  "model_name": "kling-v3"\n }' in text.replace("\n ", "\n ")
    assert "\n\n\n" not in text


def test_no_damage_to_a_body_raises() -> None:
    dice = random.Random(7)
    paths = ["/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/videos", "/v1beta/models/m:generateContent"]
    stream = (
        b'data: {"type":"message_start","message":{"content":[]}}\n\ndata: {"choices":[{"delta":{"content":"a"}}]}\n\n'
    )
    nested = json.dumps(
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}], "output": []}
    ).encode()
    for _ in range(3_000):
        body = bytearray(dice.choice([stream, nested, CHAT]))
        for _ in range(dice.randint(1, 6)):
            place = dice.randrange(len(body))
            body[place : place + dice.randint(0, 3)] = dice.choice([b"", b"{", b"[]", b"null", b"\xff", b'"', b"1e999"])
        for is_request in (True, False):
            text = ai.text(ai.Shown(is_request, "POST", dice.choice(paths), JSON, bytes(body)))
            assert "\x1b" not in text


def test_deep_nesting_is_shown_as_it_is() -> None:
    body = b'{"messages": [' + b'{"content":[' * 5_000 + b"]}" * 5_000 + b"]}"

    assert ai.text(ai.Shown(True, "POST", "/v1/chat/completions", JSON, body)).startswith('{"messages"')


@table(
    ("dollars", "text"),
    [(0.0, "$0.00"), (1.2, "$1.20"), (0.000024, "$0.000024"), (0.12, "$0.120"), (-5.0, "-$5.00"), (-0.01, "-$0.01"),
     (float("inf"), "$inf"), (float("nan"), "$nan"), (1e-300, "$0.00"), (0.1, "$0.100"), (0.05, "$0.05")],
)  # fmt: skip
def test_any_sum_has_a_text(dollars: float, text: str) -> None:
    assert ai.dollars_text(dollars) == text
