"""Requests, answers and streams of both dialects for the tests of the translators, as short as they can be said."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from mitm_ai_proxy.chat import translate
from mitm_ai_proxy.chat.dialects import ANTHROPIC, OPENAI
from mitm_ai_proxy.chat.target import CLAUDE, Target
from mitm_ai_proxy.chat.translate import Rewritten, Translated
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import Answer, Pieces, Whole

Json = dict[str, Any]

OTHER = Target("Other")
MODEL = "claude-sonnet-4-5"
HELLO = [{"role": "user", "content": "hello"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
JSON_FIELDS = ((b"Content-Type", b"application/json"),)
STREAM_FIELDS = ((b"Content-Type", b"text/event-stream"),)


def encoded(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


def rewritten(client: str, document: Json | bytes, target: Target) -> Rewritten:
    body = document if isinstance(document, bytes) else encoded(document)
    return translate.rewrite(body, client, target, 1700000000.5, "seed")


def openai_request(*messages: Json, **members: Any) -> Json:
    return {"model": MODEL, "messages": list(messages) or HELLO, **members}


def anthropic_request(*messages: Json, **members: Any) -> Json:
    return {"model": "m", "max_tokens": 100, "messages": list(messages) or HELLO, **members}


def to_claude(*messages: Json, **members: Any) -> Json:
    """What an OpenAI request becomes for Claude."""
    document: Json = json.loads(rewritten(OPENAI, openai_request(*messages, **members), CLAUDE).body)
    return document


def to_other(*messages: Json, target: Target = OTHER, **members: Any) -> Json:
    """What an Anthropic request becomes for an OpenAI-compatible provider."""
    document: Json = json.loads(rewritten(ANTHROPIC, anthropic_request(*messages, **members), target).body)
    return document


def notes_of(client: str, document: Json, target: Target) -> tuple[str, ...]:
    return rewritten(client, document, target).notes[1:]


def refused(client: str, document: Json | bytes, target: Target) -> Refusal:
    with pytest.raises(Refusal) as caught:
        rewritten(client, document, target)
    assert caught.value.status == 400
    return caught.value


OF_OPENAI = rewritten(OPENAI, openai_request(), CLAUDE).memo
OF_OPENAI_STREAM = rewritten(OPENAI, openai_request(stream=True, stream_options={"include_usage": True}), CLAUDE).memo
OF_ANTHROPIC = rewritten(ANTHROPIC, anthropic_request(), OTHER).memo
OF_ANTHROPIC_STREAM = rewritten(ANTHROPIC, anthropic_request(stream=True), OTHER).memo
"""What the answers to requests of each dialect need."""


def whole(memo: Any, document: object, status: int = 200, fields: Any = JSON_FIELDS) -> Answer:
    """The client's answer to a whole one."""
    handling = translate.handling(memo, status, fields)
    assert isinstance(handling, Whole)
    body = document if isinstance(document, bytes) else encoded(document)
    return handling.rewrite(Answer(status, body))


def whole_document(memo: Any, document: object, status: int = 200) -> Json:
    found: Json = json.loads(whole(memo, document, status).body)
    return found


def streamed(memo: Any, *pieces: bytes) -> bytes:
    """The client's stream, for the pieces of another."""
    handling = translate.handling(memo, 200, STREAM_FIELDS)
    assert isinstance(handling, Pieces)
    assert isinstance(handling.transducer, Translated)
    return b"".join([*map(handling.transducer.feed, pieces), handling.transducer.end()])


def parsed(stream: bytes) -> list[Any]:
    """The data of each event, in which "[DONE]" stays a text."""
    found = []
    for event in stream.decode().split("\n\n"):
        lines = event.split("\n")
        if data := [line[6:] for line in lines if line.startswith("data: ")]:
            document: Any = data[0] if data == ["[DONE]"] else json.loads("\n".join(data))
            if lines[0].startswith("event: "):
                assert lines[0][7:] == document["type"]
            found.append(document)
    return found


# OpenAI's chunks


def chunk(finish: str | None = None, **delta: Any) -> Json:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 5, "model": "m", "choices": [choice]}


def call_part(index: int, arguments: str = "", id: str | None = None, name: str | None = None) -> Json:
    """A chunk with a part of a call."""
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    call: Json = {"index": index, "function": function}
    return chunk(tool_calls=[call if id is None else {**call, "id": id, "type": "function"}])


USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 60},
    "completion_tokens_details": {"reasoning_tokens": 7},
}
LAST = {"id": "c1", "object": "chat.completion.chunk", "created": 5, "model": "m", "choices": [], "usage": USAGE}


def openai_stream(*chunks: Json, done: bool = True) -> bytes:
    return b"".join(b"data: %b\n\n" % encoded(found) for found in chunks) + (b"data: [DONE]\n\n" if done else b"")


def completion(content: str | None = "hi", finish: str = "stop", usage: Json | None = USAGE, **message: Any) -> Json:
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
    found = {"id": "c1", "object": "chat.completion", "created": 5, "model": "m", "choices": [choice]}
    return found if usage is None else {**found, "usage": usage}


# Anthropic's events


def anthropic_stream(*events: Json) -> bytes:
    return b"".join(b"event: %b\ndata: %b\n\n" % (event["type"].encode(), encoded(event)) for event in events)


def message_start(**usage: int) -> Json:
    return {"type": "message_start", "message": {**message(), "stop_reason": None, "usage": usage}}


def block_events(index: int, block: Json, *deltas: Json) -> list[Json]:
    return [
        {"type": "content_block_start", "index": index, "content_block": block},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def text_events(index: int, *texts: str) -> list[Json]:
    return block_events(index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": text} for text in texts))


def thinking_events(index: int, text: str, signature: str) -> list[Json]:
    deltas = [{"type": "thinking_delta", "thinking": text}] if text else []
    signed = {"type": "signature_delta", "signature": signature}
    return block_events(index, {"type": "thinking", "thinking": "", "signature": ""}, *deltas, signed)


def call_events(index: int, id: str, name: str, *pieces: str) -> list[Json]:
    block = {"type": "tool_use", "id": id, "name": name, "input": {}}
    return block_events(index, block, *({"type": "input_json_delta", "partial_json": piece} for piece in pieces))


def message_end(reason: str = "end_turn", **usage: Any) -> list[Json]:
    delta = {"stop_reason": reason, "stop_sequence": None}
    return [{"type": "message_delta", "delta": delta, "usage": usage}, {"type": "message_stop"}]


def message(*content: Json, reason: str = "end_turn", **members: Any) -> Json:
    usage = {"input_tokens": 40, "output_tokens": 20, "cache_read_input_tokens": 60}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": list(content),
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": usage,
        **members,
    }


def flat(events: Iterable[Json | list[Json]]) -> list[Json]:
    found: list[Json] = []
    for event in events:
        found += event if isinstance(event, list) else [event]
    return found
