"""Edits of requests and answers in the client's own dialect; what they do not mean keeps its bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mitm_ai_proxy.chat import edits, translate
from mitm_ai_proxy.chat.dialects import ANTHROPIC, OPENAI
from mitm_ai_proxy.chat.edits import Edits
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import PASS, Answer, Pieces, Transducer, Whole
from tests.chat.exchanges import (
    OF_ANTHROPIC,
    OF_ANTHROPIC_STREAM,
    OF_OPENAI_STREAM,
    Json,
    anthropic_stream,
    call_events,
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
    thinking_events,
)
from tests.chat.test_streams import check_anthropic_grammar
from tests.tables import table

CLEANUP = Edits(cleanup_commands=("clear", "new chat"))
MERGE = Edits(merges=True)
PROMOTE = Edits(promotes=True)


def _said(role: str, content: Any, **members: Any) -> Json:
    return {"role": role, "content": content, **members}


def _user(content: Any) -> Json:
    return _said("user", content)


def _assistant(content: Any, **members: Any) -> Json:
    return _said("assistant", content, **members)


def _parts(*texts: str) -> list[Json]:
    return [{"type": "text", "text": text} for text in texts]


SYSTEM, DEVELOPER, CLEAR = _said("system", "s"), _said("developer", "d"), _user("clear")
PICTURE = {"type": "image_url", "image_url": {"url": "https://a.test"}}
CALL = [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


def _edited(messages: list[Json], settings: Edits) -> list[Json]:
    body = encoded({"model": "m", "messages": messages})
    written, notes = edits.request(body, settings)
    assert (written is body) is (not notes)
    found: list[Json] = json.loads(written)["messages"]
    return found


@table(
    ("messages", "kept"),
    [
        ([_user("a"), CLEAR, _user("b")], [_user("b")]),
        ([SYSTEM, _user("a"), _assistant("x"), DEVELOPER, CLEAR, _user("b")], [SYSTEM, DEVELOPER, _user("b")]),
        ([_user("a"), CLEAR, _user("b"), _user("new chat"), _user("c")], [_user("c")]),
        ([_user("a"), _user(_parts("clear")), _user("b")], [_user("b")]),
        ([_user("a"), _user(_parts("new ", "chat")), _user("b")], [_user("b")]),
        ([SYSTEM, CLEAR], [SYSTEM]),
        ([CLEAR, _assistant("x"), _user("b")], [_assistant("x"), _user("b")]),
    ],
)
def test_a_cleanup_command_removes_what_was_said_before_it_but_the_instructions(
    messages: list[Json], kept: list[Json]
) -> None:
    assert _edited(messages, CLEANUP) == kept


@table(
    "messages",
    [
        [_user("a")],
        [_user("clear "), _user("b")],
        [_user("Clear"), _user("b")],
        [_user("please clear"), _user("b")],
        [_assistant("clear"), _user("b")],
        [_said("system", "clear"), _user("b")],
        [_user([*_parts("clear"), PICTURE]), _user("b")],
        [_user([]), _user(None), _user(1)],
    ],
)
def test_what_is_no_command_removes_nothing(messages: list[Json]) -> None:
    assert _edited(messages, CLEANUP) == messages


def test_a_command_alone_is_refused_for_nothing_would_be_sent() -> None:
    with pytest.raises(Refusal) as caught:
        edits.request(encoded({"messages": [_user("a"), CLEAR]}), CLEANUP)

    assert (caught.value.status, caught.value.param) == (400, "messages")


@table(
    ("messages", "merged"),
    [
        ([_user("a"), _user("b")], [_user("a\n\nb")]),
        ([_user("a"), _user("b"), _user("c")], [_user("a\n\nb\n\nc")]),
        ([_user("a"), _user("")], [_user("a")]),
        ([_user(_parts("a")), _user("b"), _user(_parts("c", "d"))], [_user(_parts("a", "b", "c", "d"))]),
        ([_user("a"), _user([PICTURE])], [_user([*_parts("a"), PICTURE])]),
        ([_user([]), _user([PICTURE])], [_user([PICTURE])]),
        ([_assistant("a"), _assistant("b")], [_assistant("a\n\nb")]),
        (
            [_assistant("a", reasoning_content="x"), _assistant("b", reasoning_content="y")],
            [_assistant("a\n\nb", reasoning_content="x\n\ny")],
        ),
        ([_assistant("a"), _assistant("b", reasoning_content="y")], [_assistant("a\n\nb", reasoning_content="y")]),
        ([_assistant("a", tool_calls=[]), _assistant("b")], [_assistant("a\n\nb", tool_calls=[])]),
    ],
)
def test_neighbours_of_one_role_become_one_message(messages: list[Json], merged: list[Json]) -> None:
    assert _edited(messages, MERGE) == merged


RESULT = {"type": "tool_result", "tool_use_id": "a", "content": "x"}


@table(
    "messages",
    [
        [_user("a"), _assistant("b"), _user("c")],
        [SYSTEM, SYSTEM],
        [_said("tool", "a", tool_call_id="a"), _said("tool", "b", tool_call_id="b")],
        [_assistant("a", tool_calls=CALL), _assistant("b")],
        [_assistant("a"), _assistant(None, tool_calls=CALL)],
        [_assistant("a"), _assistant("b", function_call={"name": "f"})],
        [_user([RESULT]), _user("a")],
        [_assistant(_parts("a")), _assistant([{"type": "tool_use", "id": "a", "name": "f", "input": {}}])],
    ],
)
def test_what_may_not_be_merged_is_not(messages: list[Json]) -> None:
    assert _edited(messages, MERGE) == messages


def test_every_byte_that_an_edit_does_not_mean_is_kept() -> None:
    body = (
        b'{ "temperature": 1.50, "messages": [ {"role":"user","content":"\\u00e9\\/"}, {"content":"b","role":"user",'
        b'"n":1.0},{"role":"assistant","content":"c", "x": 12345678901234567890123} ], "seed":9007199254740993 }'
    )

    written, _ = edits.request(body, MERGE)

    assert written == (
        b'{ "temperature": 1.50, "messages": [{"role":"user","content":"\\u00e9\\/\\n\\nb","n":1.0},'
        b'{"role":"assistant","content":"c","x":12345678901234567890123}], "seed":9007199254740993 }'
    )


def test_hiclaw_mode_is_two_edits_beside_the_others() -> None:
    assert CLEANUP.with_hiclaw() == Edits(CLEANUP.cleanup_commands, True, True)


@table("body", [b"{}", b'{"messages":[]}', b'{"messages":null}', b'{"prompt":"a"}'])
def test_a_body_without_messages_is_not_edited(body: bytes) -> None:
    settings = CLEANUP.with_hiclaw()

    assert edits.request(body, settings) == (body, ())


# Answers


def _thought(content: Any, thought: Any = "hm", **members: Any) -> Json:
    return completion(content, reasoning_content=thought, **members)


@table(
    ("settings", "answer", "content", "thought"),
    [
        (PROMOTE, _thought(None), "hm", None),
        (PROMOTE, _thought(" \n"), "hm", None),
        (PROMOTE, completion("", reasoning="hm"), "hm", None),
        (Edits(reasoning="ignore"), _thought("a"), "a", None),
        (Edits(reasoning="ignore", promotes=True), _thought(""), "", None),
        (Edits(reasoning="concat"), _thought("a"), "<think>hm</think>\na", None),
        (Edits(reasoning="concat"), _thought(None), "<think>hm</think>\n", None),
    ],
)
def test_the_thinking_of_a_whole_answer_is_edited(
    settings: Edits, answer: Json, content: str, thought: str | None
) -> None:
    made = json.loads(edits.whole(encoded(answer), OPENAI, settings))["choices"][0]["message"]

    assert made["content"] == content
    assert made.get("reasoning_content", made.get("reasoning")) == thought


@table(
    ("settings", "answer"),
    [
        (Edits(), _thought(None)),
        (PROMOTE, _thought("a")),
        (PROMOTE, _thought(None, "")),
        (PROMOTE, _thought(None, tool_calls=CALL)),
        (PROMOTE, completion(None)),
        (Edits(reasoning="ignore"), completion("a")),
        (Edits(reasoning="concat"), completion("a")),
        (PROMOTE, {"error": {"message": "m"}}),
        (PROMOTE, {"choices": 1}),
        (PROMOTE, {"choices": [{"message": 1}]}),
        (PROMOTE, [1]),
    ],
)
def test_an_answer_that_needs_no_edit_is_the_same_object(settings: Edits, answer: Any) -> None:
    body = encoded(answer)

    assert edits.whole(body, OPENAI, settings) is body


def test_the_bytes_around_an_edited_message_are_kept() -> None:
    body = (
        b'{ "id": "\\u0063", "choices": [{"index":0,"message":{"role":"assistant","reasoning_content":"hm","x":1.10}'
        b',"logprobs":{"p":-0.00010}}], "usage": {"a": 1.0} }'
    )

    written = edits.whole(body, OPENAI, PROMOTE)

    assert written == (
        b'{ "id": "\\u0063", "choices": [{"index":0,"message":{"role":"assistant","x":1.10,"content":"hm"},'
        b'"logprobs":{"p":-0.00010}}], "usage": {"a": 1.0} }'
    )


def _through(transducer: Transducer | None, stream: bytes, size: int | None = None) -> bytes:
    assert transducer is not None
    pieces = [stream] if size is None else [stream[i : i + size] for i in range(0, len(stream), size)]
    return b"".join([*map(transducer.feed, pieces), transducer.end()])


def _collected(stream: bytes) -> tuple[str, str]:
    """The content and the thinking of a stream."""
    deltas = [body["choices"][0]["delta"] for body in parsed(stream) if body != "[DONE]"]
    content = "".join(delta.get("content") or "" for delta in deltas)
    return content, "".join(delta.get("reasoning_content") or delta.get("reasoning") or "" for delta in deltas)


THINKS = [chunk(role="assistant", content=""), chunk(reasoning_content="h"), chunk(reasoning_content="m")]


@table(
    ("settings", "chunks", "content", "thought"),
    [
        (PROMOTE, [*THINKS, chunk("stop")], "hm", ""),
        (PROMOTE, [*THINKS, chunk(content=" "), chunk("stop")], " hm", ""),
        (PROMOTE, [chunk(reasoning="hm"), chunk("stop")], "hm", ""),
        (PROMOTE, [*THINKS, chunk(content="a"), chunk("stop")], "a", "hm"),
        (PROMOTE, [*THINKS, chunk(content="a"), chunk(reasoning_content="x"), chunk("stop")], "a", "hmx"),
        (PROMOTE, [*THINKS, call_part(0, "{}", "a", "f"), chunk("tool_calls")], "", "hm"),
        (PROMOTE, [chunk(content="a"), chunk("stop")], "a", ""),
        (Edits(reasoning="ignore"), [*THINKS, chunk(content="a"), chunk("stop")], "a", ""),
        (Edits(reasoning="ignore", promotes=True), [*THINKS, chunk("stop")], "", ""),
        (Edits(reasoning="concat"), [*THINKS, chunk(content="a"), chunk("stop")], "<think>hm</think>\na", ""),
        (Edits(reasoning="concat"), [*THINKS, chunk("stop")], "<think>hm</think>\n", ""),
        (
            Edits(reasoning="concat"),
            [chunk(reasoning_content="h", content="a"), chunk("stop")],
            "<think>h</think>\na",
            "",
        ),
        (
            Edits(reasoning="concat"),
            [*THINKS, call_part(0, "{}", "a", "f"), chunk("tool_calls")],
            "<think>hm</think>\n",
            "",
        ),
        (Edits(reasoning="concat"), [chunk(content="a"), chunk("stop")], "a", ""),
    ],
)
def test_the_thinking_of_a_stream_is_edited_as_that_of_a_whole_answer(
    settings: Edits, chunks: list[Json], content: str, thought: str
) -> None:
    stream = openai_stream(*chunks)

    edited = _through(edits.stream(OPENAI, settings), stream)

    assert _collected(edited) == (content, thought)
    assert parsed(edited)[-1] == "[DONE]"
    finishes = [body["choices"][0]["finish_reason"] for body in parsed(edited)[:-1]]
    assert finishes[:-1] == [None] * (len(finishes) - 1)
    assert finishes[-1]
    for size in (1, 3, 10):
        assert _through(edits.stream(OPENAI, settings), stream, size) == edited


def test_thinking_that_is_promoted_comes_before_the_reason_and_after_no_chunk_was_lost() -> None:
    edited = parsed(_through(edits.stream(OPENAI, PROMOTE), openai_stream(*THINKS, chunk("stop"))))

    assert [body["choices"][0]["delta"] for body in edited[:-1]] == [
        {"role": "assistant", "content": ""},
        {},
        {},
        {"content": "hm"},
        {},
    ]
    assert {body["id"] for body in edited[:-1]} == {"c1"}


def test_each_choice_of_a_stream_is_edited_on_its_own() -> None:
    def of(index: int, finish: str | None = None, **delta: Any) -> Json:
        return {"id": "c", "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}

    stream = openai_stream(
        of(0, reasoning_content="x"), of(1, reasoning_content="y"), of(1, content="b"), of(0, "stop"), of(1, "stop")
    )

    told = [body["choices"][0] for body in parsed(_through(edits.stream(OPENAI, PROMOTE), stream))[:-1]]

    assert "".join(choice["delta"].get("content", "") for choice in told if choice["index"] == 0) == "x"
    assert "".join(choice["delta"].get("content", "") for choice in told if choice["index"] == 1) == "b"
    assert [choice["delta"]["reasoning_content"] for choice in told if "reasoning_content" in choice["delta"]] == ["y"]


def test_a_stream_that_breaks_off_tells_what_was_held_and_makes_up_no_end() -> None:
    edited = _through(edits.stream(OPENAI, PROMOTE), openai_stream(*THINKS, done=False))

    assert _collected(edited) == ("hm", "")
    assert b"[DONE]" not in edited
    assert all(body["choices"][0]["finish_reason"] is None for body in parsed(edited))


@table(
    "stream",
    [b"data: {}\n\n", b"data: x\n\n", b": ping\n\n", b'data: {"choices":[1]}\n\n', b'event: a\ndata: {"error":{}}\n\n'],
)
def test_other_events_of_a_stream_are_passed_on(stream: bytes) -> None:
    for settings in (PROMOTE, Edits(reasoning="concat"), Edits(reasoning="ignore")):
        assert _through(edits.stream(OPENAI, settings), stream) == stream


def test_a_stream_that_nothing_edits_has_no_transducer() -> None:
    for dialect in (OPENAI, ANTHROPIC):
        assert edits.stream(dialect, CLEANUP) is None
    assert edits.stream(ANTHROPIC, Edits(reasoning="concat")) is None


NATIVE = openai_stream(*THINKS, chunk("stop"))
JSON, STREAM = ((b"Content-Type", b"application/json"),), ((b"Content-Type", b"Text/Event-Stream"),)


def test_an_answer_that_is_passed_on_is_edited_if_it_is_json_or_a_stream() -> None:
    held = edits.handling(PASS, OPENAI, PROMOTE, 200, JSON)
    assert isinstance(held, Whole)
    assert b'"content":"hm"' in held.rewrite(Answer(200, encoded(_thought(None)))).body
    answer = Answer(200, encoded(completion("a")))
    assert held.rewrite(answer) is answer

    streams = edits.handling(PASS, OPENAI, PROMOTE, 200, STREAM)
    assert isinstance(streams, Pieces)
    assert _collected(_through(streams.transducer, NATIVE)) == ("hm", "")


@table(
    ("settings", "status", "fields"),
    [
        (PROMOTE, 200, ((b"Content-Type", b"text/html"),)),
        (PROMOTE, 200, ()),
        (PROMOTE, 400, JSON),
        (PROMOTE, 500, STREAM),
        (CLEANUP, 200, JSON),
    ],
)
def test_other_answers_are_handled_as_before(settings: Edits, status: int, fields: Any) -> None:
    assert edits.handling(PASS, OPENAI, settings, status, fields) is PASS


def test_a_translated_answer_is_edited_in_the_client_s_dialect() -> None:
    native = anthropic_stream(*flat([message_start(), thinking_events(0, "hm", "S"), message_end(output_tokens=1)]))
    pieces = edits.handling(translate.handling(OF_OPENAI_STREAM, 200, STREAM), OPENAI, PROMOTE, 200, STREAM)
    assert isinstance(pieces, Pieces)
    told = [body["choices"] for body in parsed(_through(pieces.transducer, native))[:-1]]
    assert "".join(choices[0]["delta"].get("content", "") for choices in told if choices) == "hm"

    for memo, dialect in ((OF_ANTHROPIC, ANTHROPIC), (OF_ANTHROPIC_STREAM, ANTHROPIC)):
        held = edits.handling(translate.handling(memo, 200, JSON), dialect, PROMOTE, 200, JSON)
        assert isinstance(held, Whole)
        body = held.rewrite(Answer(200, encoded(_thought(None)))).body
        assert body.count(b'"text":"hm"') == 1
        error = held.rewrite(Answer(200, b'{"error":{"message":"m"}}'))
        assert (error.status, json.loads(error.body)["type"]) == (502, "error")


SIGNED = {"type": "thinking", "thinking": "hm", "signature": "S"}


@table(
    ("content", "added"),
    [
        ([SIGNED], "hm"),
        ([SIGNED, {"type": "redacted_thinking", "data": "D"}, SIGNED], "hmhm"),
        ([SIGNED, {"type": "text", "text": " "}], "hm"),
        ([SIGNED, {"type": "text", "text": "a"}], None),
        ([SIGNED, {"type": "tool_use", "id": "a", "name": "f", "input": {}}], None),
        ([SIGNED, {"type": "server_tool_use", "id": "a"}], None),
        ([{**SIGNED, "thinking": ""}], None),
        ([], None),
    ],
)
def test_a_message_of_thinking_only_gets_a_text_and_keeps_its_signed_block(
    content: list[Json], added: str | None
) -> None:
    body = encoded(message(*content))

    edited = edits.whole(body, ANTHROPIC, PROMOTE)

    assert json.loads(edited)["content"] == [*content, *([{"type": "text", "text": added}] if added else [])]
    assert (edited is body) is (added is None)


@table(
    ("blocks", "added"),
    [
        ([thinking_events(0, "hm", "S")], "hm"),
        ([thinking_events(0, "h", "S"), thinking_events(1, "m", "S")], "hm"),
        ([thinking_events(0, "hm", "S"), text_events(1, " ")], "hm"),
        ([thinking_events(0, "hm", "S"), text_events(1, "a")], None),
        ([thinking_events(0, "hm", "S"), call_events(1, "a", "f", "{}")], None),
        ([thinking_events(0, "", "S")], None),
        ([], None),
    ],
)
def test_a_stream_of_thinking_only_gets_a_text_before_it_ends(blocks: list[list[Json]], added: str | None) -> None:
    stream = anthropic_stream(*flat([message_start(), *blocks, message_end(output_tokens=1)]))

    edited = _through(edits.stream(ANTHROPIC, PROMOTE), stream)

    check_anthropic_grammar(parsed(edited))
    if added is None:
        assert edited == stream
    else:
        assert parsed(edited)[-4]["delta"] == {"type": "text_delta", "text": added}
    for size in (1, 7):
        assert _through(edits.stream(ANTHROPIC, PROMOTE), stream, size) == edited
