"""Streams of one dialect become those of the other: the grammar of each, in whatever way the bytes are cut."""

from __future__ import annotations

import tracemalloc
from typing import Any

from mitm_ai_proxy.chat import sealed_ids
from mitm_ai_proxy.chat.model import Seal, Thinking
from mitm_ai_proxy.chat.translate import Translated
from tests.chat.exchanges import (
    LAST,
    OF_ANTHROPIC_STREAM,
    OF_OPENAI_STREAM,
    Json,
    anthropic_stream,
    call_events,
    call_part,
    chunk,
    flat,
    message_end,
    message_start,
    openai_stream,
    parsed,
    streamed,
    text_events,
    thinking_events,
)
from tests.tables import table

PING = {"type": "ping"}
OPENAI = openai_stream(
    chunk(role="assistant", content=""),
    chunk(reasoning_content="hm é"),
    chunk(content="Hé"),
    chunk(content="😀\n\ndata: x"),
    call_part(0, "", "a", "f"),
    call_part(0, '{"x":'),
    call_part(1, "{", "b", "g"),
    call_part(0, "1}"),
    call_part(1, "}"),
    chunk("tool_calls"),
    LAST,
)
ANTHROPIC = anthropic_stream(
    *flat(
        [
            message_start(input_tokens=40, output_tokens=1, cache_read_input_tokens=60),
            PING,
            thinking_events(0, "hm é", "SIG=="),
            text_events(1, "Hé", "😀\n\ndata: x"),
            call_events(2, "a", "f", "", '{"x":', "1}"),
            call_events(3, "b", "g", "{}"),
            message_end("tool_use", output_tokens=20, output_tokens_details={"thinking_tokens": 7}),
        ]
    )
)


def _anthropic(*chunks: Json) -> list[Any]:
    return parsed(streamed(OF_ANTHROPIC_STREAM, openai_stream(*chunks)))


def _openai(*events: Json | list[Json]) -> list[Any]:
    return parsed(streamed(OF_OPENAI_STREAM, anthropic_stream(*flat(events))))


def check_anthropic_grammar(events: list[Any]) -> None:
    """message_start, blocks one after another with indexes without gaps, one message_delta, message_stop."""
    assert events[0]["type"] == "message_start"
    assert events[0]["message"]["content"] == []
    assert events[0]["message"]["stop_reason"] is None
    assert [event["type"] for event in events[-2:]] == ["message_delta", "message_stop"]
    opened, following = None, 0
    for event in events[1:-2]:
        match event["type"]:
            case "content_block_start":
                assert opened is None
                assert event["index"] == following
                opened, following = following, following + 1
            case "content_block_delta":
                assert event["index"] == opened
            case "content_block_stop":
                assert event["index"] == opened
                opened = None
            case other:
                assert other == "ping"
    assert opened is None


def check_openai_grammar(chunks: list[Any]) -> None:
    """The role first, one id, one finish_reason, usage in the last chunk, [DONE] once."""
    assert chunks[-1] == "[DONE]"
    *bodies, last = chunks[:-1]
    assert bodies[0]["choices"][0]["delta"]["role"] == "assistant"
    assert {(body["id"], body["created"], body["model"], body["object"]) for body in [*bodies, last]} == {
        (last["id"], last["created"], last["model"], "chat.completion.chunk")
    }
    assert last["choices"] == []
    assert [body["usage"] for body in bodies] == [None] * len(bodies)
    finishes = [body["choices"][0]["finish_reason"] for body in bodies]
    assert finishes[-1] is not None
    assert finishes[:-1] == [None] * (len(finishes) - 1)
    assert {body["choices"][0]["index"] for body in bodies} == {0}


def test_an_openai_stream_is_one_of_anthropic_s() -> None:
    events = parsed(streamed(OF_ANTHROPIC_STREAM, OPENAI))

    check_anthropic_grammar(events)
    assert events[0]["message"]["id"] == "c1"
    starts = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    assert starts == [
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "text", "text": ""},
        {"type": "tool_use", "id": "a", "name": "f", "input": {}},
        {"type": "tool_use", "id": "b", "name": "g", "input": {}},
    ]
    deltas = [(event["index"], event["delta"]) for event in events if event["type"] == "content_block_delta"]
    assert deltas == [
        (0, {"type": "thinking_delta", "thinking": "hm é"}),
        (1, {"type": "text_delta", "text": "Hé"}),
        (1, {"type": "text_delta", "text": "😀\n\ndata: x"}),
        (2, {"type": "input_json_delta", "partial_json": '{"x":'}),
        (2, {"type": "input_json_delta", "partial_json": "1}"}),
        (3, {"type": "input_json_delta", "partial_json": "{}"}),
    ]
    assert events[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert events[-2]["usage"] == {
        "input_tokens": 40,
        "output_tokens": 20,
        "cache_read_input_tokens": 60,
        "output_tokens_details": {"thinking_tokens": 7},
    }


def test_an_anthropic_stream_is_one_of_openai_s() -> None:
    chunks = parsed(streamed(OF_OPENAI_STREAM, ANTHROPIC))

    check_openai_grammar(chunks)
    deltas = [body["choices"][0]["delta"] for body in chunks[:-2]]
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert deltas[:4] == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "hm é"},
        {"content": "Hé"},
        {"content": "😀\n\ndata: x"},
    ]
    assert [call["index"] for call in calls] == [0, 0, 0, 1, 1]
    assert calls[0]["type"] == "function"
    assert calls[0]["function"] == {"name": "f", "arguments": ""}
    assert calls[1:3] == [{"index": 0, "function": {"arguments": text}} for text in ('{"x":', "1}")]
    assert calls[3]["id"] == "b"
    assert chunks[-3]["choices"][0]["finish_reason"] == "tool_calls"
    assert chunks[-2]["usage"] == {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 60},
        "completion_tokens_details": {"reasoning_tokens": 7},
    }


def test_the_seal_of_thinking_travels_in_the_id_of_the_call_after_it() -> None:
    chunks = parsed(streamed(OF_OPENAI_STREAM, ANTHROPIC))
    id = next(body["choices"][0]["delta"]["tool_calls"][0]["id"] for body in chunks if "tool_calls" in str(body))

    opened = sealed_ids.opened(id)

    assert opened.id == "a"
    assert opened.before == (Thinking("hm é", Seal("anthropic", "SIG==")), len("Hé😀\n\ndata: x"))


@table(("memo", "stream"), [(OF_ANTHROPIC_STREAM, OPENAI), (OF_OPENAI_STREAM, ANTHROPIC)], ids=["openai", "anthropic"])
def test_a_stream_is_translated_to_the_same_bytes_whatever_its_pieces_and_its_lines(memo: Any, stream: bytes) -> None:
    whole = streamed(memo, stream)

    for lines in (stream, stream.replace(b"\n", b"\r\n"), stream.replace(b"\n", b"\r")):
        for size in (1, 2, 3, 7, 64):
            assert streamed(memo, *(lines[i : i + size] for i in range(0, len(lines), size))) == whole


@table(
    ("memo", "stream"),
    [
        (
            OF_ANTHROPIC_STREAM,
            b'data: {"choices":[{"delta":{"reasoning":"\xc3\xa9"}}]}\r\n\r\n'
            b'data: {"choices":[{"delta":{"content":"\xf0\x9f\x98\x80"}}]}\n\n'
            b'data: {"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]}}]}\n\n'
            b'data: {"choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}\n\ndata: [DONE]\n\n',
        ),
        (
            OF_OPENAI_STREAM,
            b'event: message_start\r\ndata: {"type":"message_start","message":{"id":"\xc3\xa9"}}\r\n\r\n'
            b'data: {"type":"content_block_start","index":0,"content_block":{"type":"text"}}\n\n'
            b'data: {"type":"content_block_delta","index":0,\n'
            b'data: "delta":{"type":"text_delta","text":"\xf0\x9f\x98\x80"}}\n\n'
            b'data: {"type":"content_block_stop","index":0}\n\n'
            b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}\n\ndata: {"type":"message_stop"}\n\n',
        ),
    ],
    ids=["openai", "anthropic"],
)
def test_a_stream_is_translated_to_the_same_bytes_wherever_it_is_cut(memo: Any, stream: bytes) -> None:
    whole = streamed(memo, stream)

    assert "😀".encode() in whole
    for cut in range(len(stream)):
        assert streamed(memo, stream[:cut], stream[cut:]) == whole


@table(
    ("memo", "first", "piece"),
    [
        (OF_ANTHROPIC_STREAM, [chunk(content="a")], chunk(content="word ")),
        (OF_OPENAI_STREAM, [message_start(), text_events(0)[0]], text_events(0, "word ")[1]),
    ],
    ids=["openai", "anthropic"],
)
def test_a_long_stream_of_text_needs_no_more_memory_than_a_short_one(memo: Any, first: list[Json], piece: Json) -> None:
    make = openai_stream if memo is OF_ANTHROPIC_STREAM else anthropic_stream
    translated = Translated(memo)
    translated.feed(make(*first).removesuffix(b"data: [DONE]\n\n"))
    event = make(piece).removesuffix(b"data: [DONE]\n\n")
    translated.feed(event)

    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(5000):
        assert translated.feed(event)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()

    assert grown < 5000


def test_nothing_is_held_that_can_be_told() -> None:
    for memo, stream in ((OF_ANTHROPIC_STREAM, OPENAI), (OF_OPENAI_STREAM, ANTHROPIC)):
        translated = Translated(memo)
        events = [event + b"\n\n" for event in stream.removesuffix(b"\n\n").split(b"\n\n")]
        told = [translated.feed(event) for event in events]
        text = next(index for index, event in enumerate(events) if "Hé".encode() in event)

        assert told[0]
        assert "Hé".encode() in told[text]


@table(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "stop"),
        ("unheard_of", "stop"),
    ],
)
def test_every_reason_of_anthropic_s_is_one_of_openai_s(reason: str, finish: str) -> None:
    chunks = _openai(message_start(input_tokens=1), text_events(0, "a"), message_end(reason, output_tokens=1))

    assert chunks[-3]["choices"][0]["finish_reason"] == finish


@table(
    ("finish", "has_call", "reason"),
    [
        ("stop", False, "end_turn"),
        ("stop", True, "tool_use"),
        ("length", False, "max_tokens"),
        ("length", True, "max_tokens"),
        ("tool_calls", True, "tool_use"),
        ("tool_calls", False, "end_turn"),
        ("function_call", True, "tool_use"),
        ("content_filter", False, "refusal"),
        ("eos", False, "end_turn"),
        ("unheard_of", False, "end_turn"),
    ],
)
def test_every_reason_of_openai_s_is_one_of_anthropic_s(finish: str, has_call: bool, reason: str) -> None:
    parts = [call_part(0, "{}", "a", "f")] if has_call else [chunk(content="a")]

    assert _anthropic(*parts, chunk(finish))[-2]["delta"]["stop_reason"] == reason


def test_calls_that_are_told_mixed_are_put_one_after_another() -> None:
    events = _anthropic(
        call_part(0, "", "a", "f"),
        call_part(1, "", "b", "g"),
        call_part(2, '{"z":', "c", "h"),
        call_part(1, '{"y":1}'),
        call_part(0, '{"x":1}'),
        call_part(2, "1}"),
        chunk("tool_calls"),
    )

    check_anthropic_grammar(events)
    told: dict[int, str] = {}
    for event in events:
        if event["type"] == "content_block_delta":
            told[event["index"]] = told.get(event["index"], "") + event["delta"]["partial_json"]
    assert told == {0: '{"x":1}', 1: '{"y":1}', 2: '{"z":1}'}


def _called(*chunks: Json) -> list[tuple[str, str, str]]:
    """The id, the name and the arguments of each call."""
    found: list[tuple[str, str, str]] = []
    for event in _anthropic(*chunks, chunk("tool_calls")):
        if event["type"] == "content_block_start":
            found.append((event["content_block"]["id"], event["content_block"]["name"], ""))
        elif event["type"] == "content_block_delta":
            id, name, arguments = found[-1]
            found[-1] = id, name, arguments + event["delta"]["partial_json"]
    return found


def _raw_part(**call: Any) -> Json:
    return chunk(tool_calls=[call])


@table(
    ("chunks", "calls"),
    [
        # No index
        (
            [
                _raw_part(id="a", function={"name": "f", "arguments": "{"}),
                _raw_part(function={"arguments": "}"}),
                _raw_part(id="b", function={"name": "g", "arguments": "{}"}),
            ],
            [("a", "f", "{}"), ("b", "g", "{}")],
        ),
        # The same index for each call
        ([call_part(0, "{}", "a", "f"), call_part(0, "{}", "b", "g")], [("a", "f", "{}"), ("b", "g", "{}")]),
        # The id again with each part, or an empty one
        (
            [call_part(0, "{", "a", "f"), call_part(0, '"x":', "a"), call_part(0, "1}", "")],
            [("a", "f", '{"x":1}')],
        ),
        # The name again
        ([call_part(0, "{", "a", "f"), call_part(0, "}", "a", "f")], [("a", "f", "{}")]),
        # The name later than the id
        ([call_part(0, "", "a"), call_part(0, "{}", None, "f")], [("a", "f", "{}")]),
        # The name later than the first part, without an id and with one
        ([_raw_part(index=0, function={}), call_part(0, "{}", None, "f")], [("call_seed_0", "f", "{}")]),
        ([_raw_part(index=0, function={}), call_part(0, "{}", "a", "f")], [("a", "f", "{}")]),
        # Neither id nor index
        ([_raw_part(function={"name": "f", "arguments": "{}"})], [("call_seed_0", "f", "{}")]),
        # An object as the arguments, and none at all
        ([_raw_part(index=0, id="a", function={"name": "f", "arguments": {"x": 1}})], [("a", "f", '{"x":1}')]),
        ([_raw_part(index=0, id="a", function={"name": "f"})], [("a", "f", "")]),
        # Two calls in one chunk
        (
            [
                chunk(
                    tool_calls=[
                        {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}},
                        {"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}},
                    ]
                )
            ],
            [("a", "f", "{}"), ("b", "g", "{}")],
        ),
    ],
)
def test_calls_are_told_apart_whatever_a_vendor_leaves_out(chunks: list[Json], calls: list[Any]) -> None:
    assert _called(*chunks) == calls


def test_text_after_a_complete_call_is_a_block_behind_it_and_after_an_incomplete_one_it_waits() -> None:
    for parts in (["{}"], ["{", "}"]):
        first, *rest = parts
        events = _anthropic(
            call_part(0, first, "a", "f"),
            chunk(content="after"),
            *(call_part(0, part) for part in rest),
            chunk("tool_calls"),
        )
        check_anthropic_grammar(events)
        starts = [event["content_block"]["type"] for event in events if event["type"] == "content_block_start"]
        assert starts == ["tool_use", "text"]


def test_what_comes_while_a_call_is_told_keeps_its_order() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://a.test"}}
    events = _anthropic(
        call_part(0, "{", "a", "f"),
        chunk(content="x"),
        call_part(1, "{}", "b", "g"),
        chunk(reasoning_content="hm"),
        call_part(0, "}"),
        chunk(images=[image]),
        chunk(content="y"),
        chunk(content="z"),
        chunk("tool_calls"),
    )

    check_anthropic_grammar(events)
    starts = [event["content_block"]["type"] for event in events if event["type"] == "content_block_start"]
    texts = [event["delta"].get("text") for event in events if event["type"] == "content_block_delta"]
    assert starts == ["tool_use", "text", "tool_use", "thinking", "text", "text"]
    assert [texts[2], *texts[-2:]] == ["x", "y", "z"]


@table(
    ("member", "value"),
    [
        ("reasoning", "hm"),
        ("reasoning_content", "hm"),
        ("content", [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]),
    ],
)
def test_thinking_is_read_from_the_members_that_vendors_have_for_it(member: str, value: object) -> None:
    events = _anthropic(chunk(None, **{member: value}), chunk(content="a"), chunk("stop"))

    assert events[1]["content_block"]["type"] == "thinking"
    assert events[2]["delta"]["thinking"] == "hm"


@table(
    ("usage", "written"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 4}, {"input_tokens": 9, "output_tokens": 4}),
        (
            {"prompt_tokens": 9, "completion_tokens": 4, "prompt_cache_hit_tokens": 5},
            {"input_tokens": 4, "output_tokens": 4, "cache_read_input_tokens": 5},
        ),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 4,
                "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 3},
            },
            {"input_tokens": 4, "output_tokens": 4, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 3},
        ),
        ({"prompt_tokens": 9.0, "completion_tokens": "x"}, {"input_tokens": 9, "output_tokens": 0}),
        ({}, {"input_tokens": 0, "output_tokens": 0}),
    ],
)
def test_the_usage_is_read_wherever_a_vendor_has_it(usage: Json, written: Json) -> None:
    for last in ({"usage": usage}, {"choices": [{"index": 0, "usage": usage}]}, {"x_groq": {"usage": usage}}):
        events = _anthropic(chunk(content="a"), chunk("stop"), {"id": "c1", "choices": [], **last})

        assert events[-2]["usage"] == written


def test_the_last_usage_of_a_stream_counts_and_cumulative_ones_are_not_added() -> None:
    first = {**chunk(content="a"), "usage": {"prompt_tokens": 9, "completion_tokens": 1}}
    second = {**chunk("stop"), "usage": {"prompt_tokens": 9, "completion_tokens": 2}}
    assert _anthropic(first, second)[-2]["usage"] == {"input_tokens": 9, "output_tokens": 2}

    chunks = _openai(message_start(input_tokens=5, output_tokens=3), text_events(0, "a"), message_end(output_tokens=7))
    assert chunks[-2]["usage"] == {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}


def test_a_client_that_asked_for_no_usage_gets_none() -> None:
    stream = streamed({**OF_OPENAI_STREAM, "usage": False}, ANTHROPIC)

    assert b'"usage"' not in stream
    assert parsed(stream)[-2]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_sign_of_life_is_passed_on_but_not_before_the_answer_has_begun() -> None:
    comment = b": OPENROUTER PROCESSING\n\n"
    first = openai_stream(chunk(content="a"), done=False)
    rest = openai_stream(chunk("stop"))

    events = parsed(streamed(OF_ANTHROPIC_STREAM, comment, first, comment, rest))

    check_anthropic_grammar(events)
    assert [event["type"] for event in events].count("ping") == 1
    assert streamed(OF_OPENAI_STREAM, ANTHROPIC).count(b": ping\n\n") == 1


def test_redacted_and_empty_thinking_is_data() -> None:
    redacted = [
        {"type": "content_block_start", "index": 0, "content_block": {"type": "redacted_thinking", "data": "DATA"}},
        {"type": "content_block_stop", "index": 0},
    ]
    chunks = _openai(
        message_start(input_tokens=1),
        redacted,
        thinking_events(1, "", "SIG"),
        call_events(2, "a", "f", "{}"),
        message_end("tool_use", output_tokens=1),
    )

    id = chunks[1]["choices"][0]["delta"]["tool_calls"][0]["id"]
    assert sealed_ids.opened(id).before == (
        Thinking("", Seal("anthropic", "DATA"), is_redacted=True),
        Thinking("", Seal("anthropic", "SIG")),
    )
    assert not any("reasoning_content" in str(body) for body in chunks)


def test_unknown_events_blocks_and_deltas_are_skipped() -> None:
    unknown = [
        {"type": "content_block_start", "index": 0, "content_block": {"type": "server_tool_use", "id": "s"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
        {"type": "content_block_stop", "index": 0},
    ]
    cited = text_events(1, "a")
    cited.insert(2, {"type": "content_block_delta", "index": 1, "delta": {"type": "citations_delta", "citation": {}}})

    chunks = _openai(message_start(input_tokens=1), {"type": "news"}, unknown, cited, message_end(output_tokens=1))

    check_openai_grammar(chunks)
    assert [body["choices"][0]["delta"] for body in chunks[1:-3]] == [{"content": "a"}]


def test_a_refusal_is_told_in_each_dialect() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "because"}
    end = message_end("refusal", output_tokens=1)
    end[0]["delta"]["stop_details"] = details
    chunks = _openai(message_start(input_tokens=1), end)
    assert chunks[-4]["choices"][0]["delta"] == {"refusal": "because"}
    assert chunks[-3]["choices"][0]["finish_reason"] == "content_filter"

    events = _anthropic(chunk(refusal="no"), chunk("stop"))
    assert events[2]["delta"] == {"type": "text_delta", "text": "no"}
    assert events[-2]["delta"]["stop_reason"] == "refusal"


def test_half_a_character_of_a_vendor_that_has_cut_one_in_two_is_passed_on_as_it_is() -> None:
    stream = (
        b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}\n\n'
        b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"\\ude00"},"finish_reason":"stop"}]}\n\n'
    )

    events = parsed(streamed(OF_ANTHROPIC_STREAM, stream))
    texts = [event["delta"]["text"] for event in events if event["type"] == "content_block_delta"]

    assert "".join(texts).encode("utf-16", "surrogatepass").decode("utf-16") == "😀"
