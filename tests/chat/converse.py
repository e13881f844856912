"""Answers of Amazon Bedrock's Converse for the tests of the translators, and the frames of its streams."""

from __future__ import annotations

import json
from typing import Any

from mitm_ai_proxy.chat.dialects import CONVERSE
from mitm_ai_proxy.chat.target import Target
from mitm_ai_proxy.wire.aws_event_stream import Message, written
from tests.chat.exchanges import Json

NOVA, CLAUDE_ID = "amazon.nova-pro-v1:0", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
BEDROCK = Target("Bedrock", CONVERSE)
USAGE = {
    "inputTokens": 30,
    "outputTokens": 20,
    "totalTokens": 120,
    "cacheReadInputTokens": 60,
    "cacheWriteInputTokens": 10,
}
AWS_FIELDS = ((b"Content-Type", b"application/vnd.amazon.eventstream"), (b"x-amzn-RequestId", b"r-1"))


def answer(*content: Json, reason: str = "end_turn", **members: Any) -> Json:
    """A whole answer."""
    message = {"role": "assistant", "content": list(content)}
    return {
        "output": {"message": message},
        "stopReason": reason,
        "usage": USAGE,
        "metrics": {"latencyMs": 1},
        **members,
    }


def frame(type: str, payload: Json, kind: str = "event") -> bytes:
    """A message of the stream, with the padding that Bedrock adds."""
    headers = {f":{kind}-type": type, ":content-type": "application/json", ":message-type": kind}
    return written(Message(headers, json.dumps({**payload, "p": "abc"}, ensure_ascii=False).encode()))


def delta(index: int, **delta: Any) -> bytes:
    return frame("contentBlockDelta", {"contentBlockIndex": index, "delta": delta})


def stop(index: int) -> bytes:
    return frame("contentBlockStop", {"contentBlockIndex": index})


def call(index: int, id: str, name: str, *pieces: str) -> list[bytes]:
    start = {"contentBlockIndex": index, "start": {"toolUse": {"toolUseId": id, "name": name}}}
    return [
        frame("contentBlockStart", start),
        *(delta(index, toolUse={"input": piece}) for piece in pieces),
        stop(index),
    ]


START = frame("messageStart", {"role": "assistant"})
METADATA = frame("metadata", {"usage": USAGE, "metrics": {"latencyMs": 5}})
STREAM = b"".join(
    [
        START,
        delta(0, reasoningContent={"text": "hm"}),
        delta(0, reasoningContent={"text": " é"}),
        delta(0, reasoningContent={"signature": "SIG=="}),
        stop(0),
        delta(1, text="Hé"),
        delta(1, text="😀\n\ndata: x"),
        stop(1),
        *call(2, "tooluse_a", "f", "", '{"x":', "1}"),
        *call(3, "tooluse_b", "g", "{}"),
        frame("messageStop", {"stopReason": "tool_use"}),
        METADATA,
    ]
)
"""Thinking, text and two calls."""
