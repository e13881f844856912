"""Requests and whole answers with damage at any place: a refusal or an answer of the dialect, and nothing else."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import partial
from typing import Any

from mitm_ai_proxy.chat import edits, native, token_estimate, translate
from mitm_ai_proxy.chat.dialects import ANTHROPIC, OPENAI
from mitm_ai_proxy.chat.edits import Edits
from mitm_ai_proxy.chat.target import CLAUDE, Target
from mitm_ai_proxy.errors import Refusal
from tests.chat.exchanges import (
    OF_ANTHROPIC,
    OF_ANTHROPIC_STREAM,
    OF_OPENAI,
    OF_OPENAI_STREAM,
    OTHER,
    completion,
    encoded,
    message,
    parsed,
    rewritten,
    streamed,
    whole,
)
from tests.chat.test_streams import ANTHROPIC as ANTHROPIC_STREAM
from tests.chat.test_streams import OPENAI as OPENAI_STREAM
from tests.chat.test_streams import check_anthropic_grammar
from tests.chat.test_to_and_fro import Dice
from tests.tables import table

TOKENS = [b"null", b"true", b"0", b"-1", b"1.5", b"1e999", b"12345678901234567890123", b'""', b'"x"', b'"\\ud800"']
TOKENS += [
    b"[]",
    b"{}",
    b"[null]",
    b"[1]",
    b'[{"type":"text"}]',
    b'{"type":"x"}',
    b"[" * 50 + b"]" * 50,
    b'"\xf0\x9f\x98\x80"',
]
ALL = Edits(("hello",), True, True, "concat")


def _damaged(document: Any, dice: random.Random) -> bytes:
    """The document with one of its values, at any depth, replaced by another one."""
    document = json.loads(encoded(document))
    mark = "a place that is nowhere else"
    holders: list[Any] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict | list):
            holders.extend((value, key) for key in (value if isinstance(value, dict) else range(len(value))))
            for inner in value.values() if isinstance(value, dict) else value:
                walk(inner)

    walk(document)
    holder, key = dice.choice(holders)
    holder[key] = mark
    return encoded(document).replace(encoded(mark), dice.choice(TOKENS))


def _refusal(rewrite: Callable[[], Any]) -> Refusal | None:
    """The refusal of a rewrite; without one, its body is JSON."""
    try:
        made = rewrite()
    except Refusal as refusal:
        return refusal
    json.loads(made[0])
    return None


def _rich(seed: int) -> Any:
    request = Dice(seed).openai_request()
    extra = {
        "reasoning_effort": "high",
        "n": 1,
        "logit_bias": {},
        "response_format": {"type": "json_object"},
        "stop": "a",
    }
    return request | extra | {"stream_options": {"include_usage": True}, "user": "u", "seed": 1, "top_p": 0.5, "x": 1}


@table("seed", range(300))
def test_a_damaged_request_is_refused_or_becomes_a_request(seed: int) -> None:
    dice = random.Random(seed)
    made = _rich(seed)
    if seed % 2:
        client, targets = OPENAI, (CLAUDE, CLAUDE._replace(version="2026-10-21"))
    else:
        made = json.loads(rewritten(OPENAI, made, CLAUDE).body)
        client, targets = ANTHROPIC, (OTHER, Target(cache="control", reasoning_back="always"))
    body = _damaged(made, dice)

    rewrites: list[Callable[[], Any]] = [
        partial(translate.rewrite, body, client, target, 1.0, "seed") for target in targets
    ]
    rewrites += [partial(edits.request, body, ALL), partial(native.request, body, client, "anthropic")]
    for rewrite in rewrites:
        refusal = _refusal(rewrite)
        assert refusal is None or (refusal.status == 400 and len(refusal.message) < 300)
    assert token_estimate.estimate(body) >= 1


@table("seed", range(300))
def test_a_damaged_whole_answer_is_an_answer_or_an_error(seed: int) -> None:
    dice = random.Random(seed)
    if seed % 2:
        memos, answer = (OF_OPENAI, OF_OPENAI_STREAM), message(*Dice(seed).blocks())
    else:
        calls = [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
        memos, answer = (OF_ANTHROPIC, OF_ANTHROPIC_STREAM), completion("a", tool_calls=calls, reasoning_content="hm")
    body = _damaged(answer, dice)

    for memo in memos:
        made = whole(memo, body)
        if made.status == 200 and memo["stream"]:
            assert parsed(made.body)
        elif made.status != 200:
            assert json.loads(made.body)["error"]["message"]
        edits.whole(made.body, memo["client"], ALL)


def _shaken(stream: bytes, dice: random.Random) -> bytes:
    """The stream with one of its events lost, moved, or damaged."""
    events = stream.removesuffix(b"\n\n").split(b"\n\n")
    index = dice.randrange(len(events))
    head, _, data = events[index].partition(b"data: ")
    kind = dice.choice(["lost", "moved", "damaged", "damaged"])
    if kind == "damaged" and data != b"[DONE]":
        events[index] = head + b"data: " + _damaged(json.loads(data), dice)
    else:
        event = events.pop(index)
        if kind == "moved":
            events.insert(dice.randrange(len(events)), event)
    return b"".join(event + b"\n\n" for event in events)


@table("seed", range(200))
def test_a_stream_whose_events_are_lost_moved_or_damaged_is_whole_or_ends_with_an_error(seed: int) -> None:
    for memo, stream in ((OF_ANTHROPIC_STREAM, OPENAI_STREAM), (OF_OPENAI_STREAM, ANTHROPIC_STREAM)):
        shaken = _shaken(stream, random.Random(seed))

        told = streamed(memo, shaken)

        events = parsed(told)
        is_whole = events[-1] == "[DONE]" or events[-1].get("type") == "message_stop"
        assert is_whole or events[-1]["error"]["message"]
        if is_whole and memo is OF_ANTHROPIC_STREAM:
            check_anthropic_grammar(events)
        for settings in (Edits(promotes=True), ALL):
            transducer = edits.stream(memo["client"], settings)
            assert transducer is not None
            transducer.feed(told + shaken)
            transducer.end()
