"""Chats with damage, whole and in pieces that are cut at random, and what streams of them are made of."""

from __future__ import annotations

import contextlib
import json
from typing import Any, Final

from mitm_ai_proxy.chat import translate
from mitm_ai_proxy.chat.dialects import ANTHROPIC, CONVERSE, GEMINI, OPENAI
from mitm_ai_proxy.chat.target import CLAUDE, GOOGLE, Target
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import Answer, Pieces, Whole
from mitm_ai_proxy.wire import aws_event_stream, content_encoding, sse
from tests.chat import converse, test_from_gemini, test_streams
from tests.chat.exchanges import JSON_FIELDS, OTHER, STREAM_FIELDS, encoded, parsed
from tests.hostile import traffic
from tests.hostile.inputs import Inputs, mutated, words

WORDS: Final = words(
    r"""\n\n \r\n \r data: event:\x20error \n\ndata:\x20{} [DONE] { } [ ] " \\ , : null true -1 1e999 ""
    \\ud83d \xff \xc3 \0 "content": "text": "type": "error": "index":99 "finish_reason":"stop"
    "usage":{} "tool_calls":[{}] "delta":null"""
)
STREAMS: Final = {
    OPENAI: test_streams.OPENAI,
    ANTHROPIC: test_streams.ANTHROPIC,
    GEMINI: test_from_gemini.STREAM,
    CONVERSE: converse.STREAM,
}
TARGETS: Final = (OTHER, CLAUDE, GOOGLE, converse.BEDROCK, Target(reasoning_back="always", cache="control"))
REQUEST: Final = encoded(
    {
        "model": "m",
        "max_tokens": 100,
        "stream": True,
        "system": "be short",
        "temperature": 0.5,
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "é 😀"}]},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "a", "function": {"name": "f"}}]},
            {"role": "tool", "tool_call_id": "a", "content": "3"},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
        ],
    }
)
OWN: Final = encoded(
    {
        "model": "m",
        "max_tokens": 100,
        "system": [{"type": "text", "text": "be short", "cache_control": {"type": "ephemeral"}}],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1.0}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "3"}]},
        ],
    }
)


def _memo(client: str, provider: str, is_stream: bool) -> dict[str, Any]:
    made = {"client": client, "provider": provider, "vendor": "", "stream": is_stream, "usage": True}
    return made | {"model": "m", "created": 1, "id": "seed"}


def _streamed(memo: Any, pieces: list[bytes]) -> bytes:
    handling = translate.handling(memo, 200, STREAM_FIELDS)
    assert isinstance(handling, Pieces)
    return b"".join([*map(handling.transducer.feed, pieces), handling.transducer.end()])


def test_a_damaged_stream_says_the_same_in_any_cut_and_tells_its_end(inputs: Inputs) -> None:
    for random in inputs.of(150):
        provider, client = random.choice(list(STREAMS)), random.choice((OPENAI, ANTHROPIC))
        memo = _memo(client, provider, is_stream=True)
        stream = mutated(random, STREAMS[provider], WORDS, 5)
        told = _streamed(memo, [stream])
        inputs.tally["streams"] += 1
        assert _streamed(memo, traffic.pieces(random, stream)) == told
        last = parsed(told)[-1]
        if last == "[DONE]" or last.get("type") == "message_stop":
            inputs.tally["whole"] += 1
        else:
            assert last["error"]["message"]


def test_a_damaged_answer_becomes_an_answer_or_an_error(inputs: Inputs) -> None:
    for random in inputs.of(150):
        provider, client = random.choice(list(STREAMS)), random.choice((OPENAI, ANTHROPIC))
        memo = _memo(client, provider, random.random() < 0.3)
        status = random.choice((200, 200, 200, 400, 429, 500, 302))
        kept = random.choice((b"{}", STREAMS[provider], *ANSWERS))
        handling = translate.handling(memo, status, JSON_FIELDS)
        assert isinstance(handling, Whole)
        made = handling.rewrite(Answer(status, mutated(random, kept, WORDS, 5)))
        inputs.tally["errors" if made.status >= 300 else "answers"] += 1
        kind = made.headers.get("content-type") or ""
        assert parsed(made.body) if "event-stream" in kind else json.loads(made.body)


ANSWERS: Final = (
    encoded({"choices": [{"message": {"role": "assistant", "content": "Hé"}, "finish_reason": "stop"}], "usage": {}}),
    encoded({"type": "message", "content": [{"type": "text", "text": "Hé"}], "stop_reason": "end_turn", "usage": {}}),
    encoded({"candidates": [{"content": {"parts": [{"text": "Hé"}]}, "finishReason": "STOP"}]}),
    encoded({"output": {"message": {"content": [{"text": "Hé"}]}}, "stopReason": "end_turn", "usage": {}}),
    encoded({"error": {"message": "no", "type": "x", "code": None}}),
)


def test_a_damaged_request_is_refused_or_becomes_a_request(inputs: Inputs) -> None:
    for random in inputs.of(150):
        client = random.choice((OPENAI, ANTHROPIC))
        body = mutated(random, REQUEST if client == OPENAI else OWN, WORDS, 3)
        try:
            made = translate.rewrite(body, client, random.choice(TARGETS), 1.0, "seed")
        except Refusal as error:
            inputs.tally["refused"] += 1
            refusal = error
        else:
            inputs.tally["rewritten"] += 1
            assert isinstance(json.loads(made.body), dict)
            continue
        assert refusal.status == 400
        assert refusal.message


def test_what_streams_are_made_of_is_read_alike_in_any_cut(inputs: Inputs) -> None:
    for random in inputs.of(200):
        stream = mutated(random, random.choice(list(STREAMS.values())), WORDS, 8)
        cut = traffic.pieces(random, stream)
        assert _events(cut) == _events([stream])
        assert _messages(cut) == _messages([stream])
        encoding = random.choice(("gzip", "deflate", "br", "zstd", "x"))
        with contextlib.suppress(ValueError):
            assert len(content_encoding.decode(stream, encoding, 10_000)) <= 10_000


def _events(pieces: list[bytes]) -> list[sse.Event]:
    reader = sse.Reader()
    return [*[event for piece in pieces for event in reader.feed(piece)], *reader.end()]


def _messages(pieces: list[bytes]) -> tuple[list[aws_event_stream.Message], str]:
    reader = aws_event_stream.Reader()
    found = [message for piece in pieces for message in reader.feed(piece)]
    reader.end()
    return found, reader.problem
