"""Answers, whole and put together again from their streams, and where a broken one breaks."""

from __future__ import annotations

import json
from typing import Any

from mitm_ai_proxy.chat.model import Usage
from mitm_ai_proxy.view import answers
from tests.tables import table


def events(*documents: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(document).encode() + b"\n\n" for document in documents)


def chunk(delta: Any, **more: Any) -> dict[str, Any]:
    return {"id": "c", "model": "gpt", "choices": [{"index": 0, "delta": delta, **more}]}


OPENAI = events(
    chunk({"role": "assistant", "reasoning_content": "h"}),
    chunk({"reasoning_content": "m"}),
    chunk({"content": "Hel"}),
    chunk({"content": "lo"}),
    chunk({"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "f", "arguments": '{"a"'}}]}),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}),
    chunk({}, finish_reason="tool_calls"),
    {
        "id": "c",
        "choices": [],
        "usage": {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17, "cost": 1e-3},
    },
)
DONE = b"data: [DONE]\n\n"
ANTHROPIC = json.dumps(
    {
        "type": "message",
        "model": "claude",
        "role": "assistant",
        "id": "m",
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "max_tokens",
        "usage": {"input_tokens": 2, "cache_read_input_tokens": 10, "output_tokens": 5},
    }
).encode()
RESPONSE = {
    "model": "gpt",
    "status": "incomplete",
    "incomplete_details": {"reason": "max_output_tokens"},
    "output": [
        {"type": "reasoning", "summary": []},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]},
    ],
    "usage": {
        "input_tokens": 12,
        "input_tokens_details": {"cached_tokens": 10},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 3},
    },
}
WHOLE_CALL = [
    ("thinking", "hm"),
    ("assistant", "Hello"),
    ("call f c1", '{\n  "a": 1\n}'),
]
THOUGHT = [("thinking", "(not shown by the vendor)"), ("assistant", "Hello")]


@table(
    ("dialect", "body", "entries", "end"),
    [
        ("openai", OPENAI + DONE, WHOLE_CALL, "ended to have tools called"),
        ("anthropic", ANTHROPIC, [("assistant", "Hello")], "cut at the limit of tokens"),
        ("responses", json.dumps(RESPONSE).encode(), THOUGHT, "incomplete · max_output_tokens"),
        (
            "responses",
            events({"type": "response.created"}, {"type": "response.incomplete", "response": RESPONSE}),
            THOUGHT,
            "incomplete · max_output_tokens",
        ),
        (
            "responses",
            events(
                {"type": "response.output_item.done", "item": RESPONSE["output"][0]},  # type: ignore[index]
                {"type": "response.output_text.delta", "delta": "Hel"},
                {"type": "response.output_text.delta", "delta": "lo"},
            ),
            THOUGHT,
            "the stream breaks off after 3 events, 214 bytes",
        ),
        ("responses", events({"type": "error", "message": "no\x1b"}), [], "error: no\\x1b"),
        ("responses", b"<html>", [], "this is not valid JSON"),
        ("responses", b"[]", [], "this is no response"),
        (
            "openai",
            events(chunk({"content": "Hel"})),
            [("assistant", "Hel")],
            "error 502: bad_answer: The provider's answer ended before it was complete. (after 1 event, 91 bytes)",
        ),
        (
            "openai",
            b'{"error": {"message": "slow down", "code": "rate"}}',
            [],
            "error 502: rate: slow down",
        ),
    ],
)
def test_an_answer_is_put_together(dialect: str, body: bytes, entries: list[tuple[str, str]], end: str) -> None:
    found = answers.read(body, dialect)

    assert [(entry.title, "\n".join(entry.lines)) for entry in found.entries] == entries
    assert found.end == end


@table(
    ("dialect", "body", "spent"),
    [
        ("openai", OPENAI + DONE, answers.Spent("gpt", Usage(12, 5), 0.001)),
        *(
            ("openai", b'{"choices": [], "usage": {"cost": %b}}' % cost, answers.Spent("", None, dollars))
            for cost, dollars in ((b"0", 0.0), (b" 1.5e-2", 0.015), (b"-1", None), (b"1e999", None), (b'"x"', None))
        ),
        ("anthropic", ANTHROPIC, answers.Spent("claude", Usage(12, 5, cached=10), None)),
        ("responses", json.dumps(RESPONSE).encode(), answers.Spent("gpt", Usage(12, 5, cached=10, reasoning=3), None)),
        ("responses", b'{"usage": {"input_tokens": true}}', answers.Spent("", Usage(), None)),
        ("responses", b"{}", answers.Spent()),
    ],
)
def test_what_an_answer_cost_is_read(dialect: str, body: bytes, spent: answers.Spent) -> None:
    assert answers.read(body, dialect).spent == spent


def test_a_stream_cut_at_any_byte_is_shown() -> None:
    stream = OPENAI + DONE

    ends = [answers.read(stream[:cut], "openai").end for cut in range(6, len(stream), 7)]

    assert all(end == "ended to have tools called" or "error 502" in end for end in ends)
    assert any("has an event that is not JSON" in end for end in ends)


def test_of_a_stream_without_end_the_beginning_is_read() -> None:
    found = answers.read(events(*[chunk({"content": "x" * 100})] * 20_000), "openai")

    assert found.end == "only 1.0 MB of 3.6 MB are read here"
    assert found.entries[0].lines[0].startswith("xxx")
