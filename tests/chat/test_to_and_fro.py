"""A conversation that goes through the other dialect and back is the same; made at random, from fixed seeds."""

from __future__ import annotations

import json
import random
from typing import Any

from mitm_ai_proxy.chat import protocols
from mitm_ai_proxy.chat.dialects import ANTHROPIC, OPENAI
from mitm_ai_proxy.chat.target import CLAUDE, Target
from tests.chat.exchanges import (
    MODEL,
    OF_ANTHROPIC,
    OF_ANTHROPIC_STREAM,
    OF_OPENAI,
    OF_OPENAI_STREAM,
    Json,
    completion,
    encoded,
    message,
    parsed,
    rewritten,
    streamed,
    whole,
    whole_document,
)
from tests.tables import table

WORDS = ["hello", "é😀", 'a "b"\\', "two\nlines", "\u2028x", "0", "null", " x", "{}"]
LIKE_OPENAI = Target("OpenAI", cache="control", has_document_links=True)


class Dice:
    """Makes conversations up."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._ids = 0

    def maybe(self) -> bool:
        return self._random.random() < 0.5

    def count(self, most: int) -> int:
        return self._random.randrange(most + 1)

    def text(self) -> str:
        return "".join(self._random.choice(WORDS) for _ in range(1 + self.count(3)))

    def id(self) -> str:
        self._ids += 1
        return self._random.choice(["call_%d", "toolu-%d"]) % self._ids

    def arguments(self) -> str:
        values: dict[str, Any] = {self.text(): self._random.choice([1, 1.5, 10**25, None, [], "é", {}])}
        return json.dumps(values if self.maybe() else {})

    def openai_part(self) -> Json:
        url = self._random.choice(["data:image/png;base64,AAAA", "https://a.test/b?c"])
        picture = {"type": "image_url", "image_url": {"url": url}}
        file = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QQ=="}}
        return self._random.choice([{"type": "text", "text": self.text()}, picture, file])

    def openai_user(self) -> Json:
        content = [self.openai_part() for _ in range(2 + self.count(2))] if self.maybe() else self.text()
        return {"role": "user", "content": content}

    def openai_messages(self) -> list[Json]:
        messages: list[Json] = [{"role": "system", "content": self.text()}] if self.maybe() else []
        messages.append(self.openai_user())
        for _ in range(self.count(4)):
            calls = [
                {"id": self.id(), "type": "function", "function": {"name": "f", "arguments": self.arguments()}}
                for _ in range(self.count(3))
            ]
            content = self.text() if self.maybe() or not calls else None
            messages.append({"role": "assistant", "content": content, **({"tool_calls": calls} if calls else {})})
            messages += [{"role": "tool", "tool_call_id": call["id"], "content": self.text()} for call in calls]
            if not calls or self.maybe():
                messages.append(self.openai_user())
        return messages

    def openai_request(self) -> Json:
        tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "x": 1.5}}}
        document: Json = {"model": MODEL, "messages": self.openai_messages(), "max_tokens": 1 + self.count(5000)}
        if self.maybe():
            document["tools"] = [tool]
            if self.maybe():
                document["tool_choice"] = self._random.choice(["auto", "required", "none"])
            if document.get("tool_choice") in ("auto", "required") and self.maybe():
                document["parallel_tool_calls"] = False
        if self.maybe():
            document["temperature"] = 0.25
        if self.maybe():
            document["stop"] = [self.text()]
        if self.maybe():
            document["user"] = "u"
        return document

    def blocks(self) -> list[Json]:
        """The blocks of a message of Claude's."""
        blocks: list[Json] = []
        if self.maybe():
            blocks.append({"type": "thinking", "thinking": self.text() if self.maybe() else "", "signature": "S=="})
        if self.maybe():
            blocks.append({"type": "text", "text": self.text()})
        for _ in range(self.count(3)):
            call = {"type": "tool_use", "id": self.id(), "name": "f", "input": json.loads(self.arguments())}
            blocks.append(call)
        is_said = any(block["type"] != "thinking" for block in blocks)
        return blocks if is_said else [*blocks, {"type": "text", "text": self.text()}]


@table("seed", range(60))
def test_an_openai_request_through_claude_s_dialect_is_the_same(seed: int) -> None:
    document = Dice(seed).openai_request()

    claude = rewritten(OPENAI, document, CLAUDE).body
    back = json.loads(rewritten(ANTHROPIC, claude, LIKE_OPENAI).body)

    assert back == document


@table("seed", range(60))
def test_a_request_of_claude_s_through_openai_s_dialect_is_the_same(seed: int) -> None:
    document = json.loads(rewritten(OPENAI, Dice(seed).openai_request(), CLAUDE).body)

    openai = rewritten(ANTHROPIC, encoded(document), LIKE_OPENAI).body
    back = json.loads(rewritten(OPENAI, openai, CLAUDE).body)

    assert back == document


@table("seed", range(60))
def test_an_answer_of_claude_s_comes_back_to_it_with_its_thinking_wherever_a_call_follows(seed: int) -> None:
    blocks = Dice(seed).blocks()
    calls = [block for block in blocks if block["type"] == "tool_use"]
    made = whole_document(OF_OPENAI, message(*blocks, reason="tool_use" if calls else "end_turn"))
    said = made["choices"][0]["message"]
    kept = {name: said[name] for name in ("role", "content", "tool_calls") if name in said}
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "r"} for call in kept.get("tool_calls", ())]
    request = {"model": MODEL, "messages": [{"role": "user", "content": "a"}, kept, *results]}

    sent = json.loads(rewritten(OPENAI, request, CLAUDE).body)["messages"][1]["content"]

    expected = blocks if calls else [block for block in blocks if block["type"] == "text"]
    if isinstance(sent, str):
        sent = [{"type": "text", "text": sent}]
    assert sent == expected


@table("seed", range(60))
def test_an_answer_is_the_same_whether_it_is_streamed_or_whole(seed: int) -> None:
    blocks = Dice(seed).blocks()
    reason = "tool_use" if any(block["type"] == "tool_use" for block in blocks) else "end_turn"
    answer = message(*blocks, reason=reason)

    stream = whole(OF_OPENAI_STREAM, answer).body
    collected: dict[str, Any] = {"content": "", "reasoning_content": "", "tool_calls": []}
    for body in parsed(stream)[:-2]:
        delta = body["choices"][0]["delta"]
        collected["content"] += delta.get("content") or ""
        collected["reasoning_content"] += delta.get("reasoning_content") or ""
        for call in delta.get("tool_calls", ()):
            if call["index"] == len(collected["tool_calls"]):
                collected["tool_calls"].append({name: value for name, value in call.items() if name != "index"})
            else:
                collected["tool_calls"][-1]["function"]["arguments"] += call["function"]["arguments"]

    made = whole_document(OF_OPENAI, answer)["choices"][0]["message"]
    assert collected["content"] == (made["content"] or "")
    assert collected["reasoning_content"] == made.get("reasoning_content", "")
    assert collected["tool_calls"] == made.get("tool_calls", [])


@table("seed", range(40))
def test_a_stream_through_both_dialects_says_the_same(seed: int) -> None:
    dice = Dice(seed)
    calls = [
        {"id": dice.id(), "type": "function", "function": {"name": "f", "arguments": dice.arguments()}}
        for _ in range(dice.count(3))
    ]
    answer = completion(dice.text(), "tool_calls" if calls else "stop", tool_calls=calls)

    there = whole(OF_ANTHROPIC_STREAM, answer).body
    back = streamed(OF_OPENAI_STREAM, there)
    again = streamed(OF_ANTHROPIC_STREAM, back)

    first, second = (
        [event for event in parsed(found) if event["type"].startswith("content_block")] for found in (there, again)
    )
    assert first == second
    assert whole_document(OF_ANTHROPIC, answer)["content"][0] == {
        "type": "text",
        "text": answer["choices"][0]["message"]["content"],
    }


def test_every_dialect_has_all_that_a_translation_needs() -> None:
    assert set(protocols.CLIENTS) == {OPENAI, ANTHROPIC}
    assert set(protocols.VENDORS) >= set(protocols.CLIENTS)
