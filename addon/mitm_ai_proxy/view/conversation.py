"""A chat as a conversation: what was said since the last answer, and the answer, in lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from ..chat import json_values, protocols, translate
from ..chat.dialects import ANTHROPIC, CONVERSE, GEMINI, OPENAI
from ..chat.model import Block, Call, Delta, Event, Fault, Foreign, Media, Open, Result, Text, Thinking, Turn
from ..errors import Refusal
from ..wire import targets
from ..wire.printable import printable

_ENDS: Final = {
    "/chat/completions": OPENAI,
    "/messages": ANTHROPIC,
    "/converse": CONVERSE,
    "/converse-stream": CONVERSE,
    ":generateContent": GEMINI,
    ":streamGenerateContent": GEMINI,
    ":rawPredict": ANTHROPIC,
    ":streamRawPredict": ANTHROPIC,
}
"""Ends of the paths of chats, and their dialects."""
_MEMO: Final = {"id": "", "vendor": "", "model": ""}
_LONGEST: Final = 500
"""Characters of a block that are shown."""


def lines(method: str, target: str, request: bytes, answer: bytes | None) -> list[str]:
    """The lines of a chat, by method and path, and the bodies; none for what is no chat, or cannot be read."""
    path = targets.split_query(target)[0]
    dialect = next((found for end, found in _ENDS.items() if path.endswith(end)), None)
    if method != "POST" or dialect is None:
        return []
    try:
        turns = protocols.READERS[dialect](_with_model(request)).turns
    except Refusal:
        return []
    said = [line for turn in _new(turns) for line in _lines(turn.role, turn.blocks)]
    return said + ([] if answer is None else [*_answer(translate.answer_events(answer, dialect, _MEMO))])


def _with_model(request: bytes) -> bytes:
    """A request that has a model, which some vendors have in the path. Raises Refusal."""
    members = json_values.request_object(request).members
    return request if "model" in members else json_values.encode({"model": "", **members})


def _new(turns: Sequence[Turn]) -> Sequence[Turn]:
    """The turns behind the last answer: an earlier exchange has shown the others."""
    last = max((index for index, turn in enumerate(turns) if turn.role == "assistant"), default=-1)
    return turns[last + 1 :]


def _answer(events: Iterable[Event]) -> Iterator[str]:
    block: Block | None = None
    text: list[str] = []
    for event in events:
        if isinstance(event, Open | Fault):
            yield from _said(block, text)
            block, text = None, []
        if isinstance(event, Open):
            block = event.block
        elif isinstance(event, Delta):
            text.append(event.text)
        elif isinstance(event, Fault):
            yield _line("error", f"{event.status} {event.message}")
    yield from _said(block, text)


def _said(block: Block | None, more: Sequence[str]) -> Iterator[str]:
    """A block of an answer, with what has come of it since it was opened."""
    text = "".join(more)
    if isinstance(block, Call):
        block = Call(block.id, block.name, block.arguments + text)
    elif isinstance(block, Thinking):
        block = Thinking(block.text + text, block.seal, block.is_redacted)
    elif isinstance(block, Text):
        block = Text(block.text + text, is_refusal=block.is_refusal)
    if block is not None:
        yield from _lines("assistant", (block,))


def _lines(role: str, blocks: Iterable[Block]) -> Iterator[str]:
    for block in blocks:
        if isinstance(block, Text):
            yield _line("refusal" if block.is_refusal else role, block.text)
        elif isinstance(block, Thinking):
            yield _line("thinking", block.text or "(not shown)")
        elif isinstance(block, Call):
            yield _line("call", f"{block.name} {block.arguments}")
        elif isinstance(block, Result):
            texts = [_text(inner) for inner in block.blocks]
            yield _line("failed result" if block.is_failed else "result", " ".join(texts))
        else:
            yield _line(role, _text(block))


def _text(block: Text | Media | Foreign) -> str:
    if isinstance(block, Text):
        return block.text
    if isinstance(block, Media):
        return f"({' '.join(filter(None, (block.kind, block.type, block.name)))})"
    return f"({block.type})"


def _line(who: str, text: str) -> str:
    """One line, whatever is in the text."""
    short = " ".join(text[: _LONGEST + 1].split())
    return printable(f"{who}: {short if len(text) <= _LONGEST else f'{short[:_LONGEST]}…'}")
