"""Requests of every API's form as entries of a conversation."""

from __future__ import annotations

import json
from typing import Any

from mitm_ai_proxy.view import requests
from mitm_ai_proxy.view.blocks import Entry
from tests.tables import table

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="


def read(document: Any, model: str = "") -> tuple[str, list[tuple[str, str]]]:
    found = requests.read(json.dumps(document).encode(), model)
    assert found
    return found[0], [(entry.title, "\n".join(entry.lines)) for entry in found[1]]


ARGUMENTS = '{\n  "city": "Paris"\n}'
CASES: list[Any] = [
    # OpenAI's chats
    ({"messages": [{"role": "developer", "content": "be brief"}]}, [("developer", "be brief")]),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]}, [("user", "a")]),
    (
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}],
                }
            ]
        },
        [("user", "(image/png, 69 bytes, 1x1)")],
    ),
    (
        {
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}]}
            ]
        },
        [("user", "(a file at https://a.example/b.png)")],
    ),
    (
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": None,
                    "reasoning_content": "hm",
                    "tool_calls": [{"id": "c1", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
            ]
        },
        [("thinking", "hm"), ("call weather c1", ARGUMENTS), ("result of c1", "sunny")],
    ),
    (
        {
            "messages": [
                {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{1"}}]}
            ]
        },
        [("call f c", "{1\n(this is not valid JSON)")],
    ),
    ({"messages": [{"role": "assistant", "refusal": "no"}]}, [("refusal", "no")]),
    # Anthropic's Messages
    ({"system": "s", "messages": [{"role": "user", "content": "u"}]}, [("system", "s"), ("user", "u")]),
    ({"system": [{"type": "text", "text": "s"}], "messages": []}, [("system", "s")]),
    (
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "hm", "signature": "x"},
                        {"type": "redacted_thinking", "data": "x"},
                        {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Paris"}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "t1", "content": "no such city", "is_error": True},
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
                    ],
                },
            ]
        },
        [
            ("thinking", "hm"),
            ("thinking", "(not shown by the vendor)"),
            ("call weather t1", ARGUMENTS),
            ("failed result of t1", "no such city"),
            ("user", "(image/png, 69 bytes, 1x1)"),
        ],
    ),
    # OpenAI's Responses
    ({"instructions": "i", "input": "hello"}, [("system", "i"), ("user", "hello")]),
    (
        {
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "hello"}]},
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
                {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city":"Paris"}'},
                {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "It is."}]},
                {"type": "web_search_call", "status": "completed"},
            ]
        },
        [
            ("user", "hello"),
            ("thinking", "hm"),
            ("call weather c1", ARGUMENTS),
            ("result of c1", "sunny"),
            ("assistant", "It is."),
            ("assistant: web_search_call", '{\n  "type": "web_search_call",\n  "status": "completed"\n}'),
        ],
    ),
    # Gemini
    (
        {
            "systemInstruction": {"parts": [{"text": "s"}]},
            "contents": [
                {"role": "user", "parts": [{"text": "u"}, {"inlineData": {"mimeType": "image/png", "data": PIXEL}}]},
                {
                    "role": "model",
                    "parts": [{"text": "hm", "thought": True}, {"functionCall": {"name": "f", "args": {}}}],
                },
                {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"a": 1}}}]},
            ],
        },
        [
            ("system", "s"),
            ("user", "u\n(image/png, 69 bytes, 1x1)"),
            ("thinking", "hm"),
            ("call f", "{}"),
            ("result of f", '{\n  "a": 1\n}'),
        ],
    ),
    # Bedrock's Converse
    (
        {
            "system": [{"text": "s"}, {"cachePoint": {"type": "default"}}],
            "messages": [
                {"role": "user", "content": [{"text": "u"}, {"image": {"format": "png", "source": {"bytes": PIXEL}}}]},
                {
                    "role": "assistant",
                    "content": [
                        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "x"}}},
                        {"toolUse": {"toolUseId": "t1", "name": "f", "input": {}}},
                    ],
                },
                {"role": "user", "content": [{"toolResult": {"toolUseId": "t1", "content": [{"text": "ok"}]}}]},
            ],
        },
        [
            ("system", "s"),
            ("cache mark", ""),
            ("user", "u\n(png, 69 bytes, 1x1)"),
            ("thinking", "hm"),
            ("call f t1", "{}"),
            ("result of t1", "ok"),
        ],
    ),
    ({"prompt": "once"}, [("user", "once")]),
    ({"messages": [7, None, "text"]}, [("message", "7"), ("message", "text")]),
    ({"messages": {"a": 1}}, [("user: a block", '{\n  "a": 1\n}')]),
]


@table(("document", "entries"), CASES)
def test_the_turns_of_each_api_are_entries(document: Any, entries: list[tuple[str, str]]) -> None:
    assert read(document)[1] == entries


@table(
    ("document", "model", "head"),
    [
        ({"model": "m", "messages": []}, "", "m"),
        ({"contents": [{}]}, "gemini-3-pro", "gemini-3-pro · 1 turn"),
        (
            {"model": "m", "messages": [{}, {}], "tools": [{}, {}], "stream": True, "max_tokens": 5, "temperature": 0},
            "",
            "m · 2 turns · 2 tools · stream · max_tokens 5 · temperature 0",
        ),
        ({"contents": [], "tools": [{"functionDeclarations": [{}, {}]}]}, "m", "m · 2 tools"),
        ({"messages": [], "toolConfig": {"tools": [{}]}}, "m", "m · 1 tool"),
        ({"model": "a\x1b[31m", "messages": [], "top_p": {"a": 1}}, "", "a\\x1b[31m"),
    ],
)
def test_the_head_of_a_request_is_one_line(document: Any, model: str, head: str) -> None:
    assert read(document, model)[0] == head


@table(
    "body",
    [b"", b"[1]", b"{", b"\xff", b'{"model": "m"}', b'{"messages":' + b"[" * 100_000, b"[" * 10_000, b"1," * 300_000],
)
def test_a_body_without_a_conversation_gives_nothing(body: bytes) -> None:
    assert requests.read(body) is None


def test_of_a_long_conversation_the_first_and_the_last_turns_are_shown() -> None:
    turns = [{"role": "user", "content": f"turn {number} {'x' * 9_000}"} for number in range(1_000)]

    _, entries = read({"messages": turns})

    assert [text[:8] for _, text in entries[:4]] == ["turn 0 x", "turn 1 x", "turn 2 x", "turn 3 x"]
    assert entries[4][0].endswith("not shown")
    assert entries[-1][1].startswith("turn 999 ")
    assert sum(len(text) for _, text in entries) < 500_000


def test_a_long_text_is_cut_and_says_so() -> None:
    [entry] = read({"messages": [{"role": "user", "content": "x" * 30_000}]})[1]

    assert entry == ("user", "x" * 20_000 + "\n… (9.8 KB more)")


def test_control_characters_are_shown_as_escapes() -> None:
    found = requests.read(json.dumps({"messages": [{"role": "\x1b[2J", "content": "a\x1b]0;x\x07\n\tb"}]}).encode())

    assert found
    assert found[1] == [Entry("\\x1b[2J", ["a\\x1b]0;x\\x07", "    b"])]
