"""Chats for vendors that take a text, and no conversation: what they cannot say is refused, or left out with a note."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from ..errors import bad_body
from . import unsaid
from .dialects import ANTHROPIC, OPENAI
from .model import Call, Chat, Foreign, Media, Result, Text, Thinking, Turn
from .target import Target
from .writing import note, refused, titled

_FORMATS: Final = {OPENAI: "response_format", ANTHROPIC: "output_config.format"}
_NONE: Final = "{} left out: {} has no such setting"


def leave_out(chat: Chat, client: str, target: Target, said: Iterable[str], notes: list[str]) -> None:
    """Note what is not said of a request, but for the members `said`. Raises Refusal (400) for what changes the answer.

    `said` has OpenAI's names, also `max_tokens`, `stop` and `user`.
    """
    said = frozenset(said)
    name = target.name
    if chat.choice is not None and chat.choice.mode == "call" and chat.tools:
        raise bad_body(f"tool_choice asks for a call of a tool, and {name} calls none.", param="tool_choice")
    if chat.format is not None:
        param = _FORMATS.get(client, "response_format")
        raise bad_body(f"{param} asks for a form of the answer, and {name} knows none.", param=param)
    if chat.tools:
        notes.append(f"tools left out: {name} calls none of the client's")
    if chat.reasoning is not None and chat.reasoning.is_on is not False:
        notes.append(_NONE.format("thinking", name))
    for member, value in (("max_tokens", chat.max_tokens), ("stop", chat.stop), ("user", chat.user)):
        if value and member not in said:
            notes.append(_NONE.format(member, name))
    notes += unsaid.leave_out(client, chat.options, said, name)


def since_answer(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """The turns behind the last answer, which the vendor has not seen."""
    last = max((index for index, turn in enumerate(turns) if turn.role == "assistant"), default=-1)
    return turns[last + 1 :]


def text(turn: Turn, notes: list[str]) -> str:
    """The text of a turn, also that of the results in it."""
    return "\n".join(filter(None, _texts(turn, notes)))


def _texts(turn: Turn, notes: list[str]) -> Iterator[str]:
    for block in turn.blocks:
        match block:
            case Text():
                yield block.text
            case Media():
                yield titled(block) if block.text else ""
            case Result():
                yield "\n".join(inner.text for inner in block.blocks if isinstance(inner, Text))
            case Call() | Thinking():
                note(notes, "calls and thinking of earlier turns left out")
            case Foreign():
                note(notes, f"{block.type} blocks left out: only {block.dialect} has them")


def media(turns: Iterable[Turn]) -> list[Media]:
    """The pictures, documents and sounds of turns, also those of results, but for documents that are text."""
    found: list[Media] = []
    for turn in turns:
        for block in turn.blocks:
            inner = block.blocks if isinstance(block, Result) else (block,)
            found += [one for one in inner if isinstance(one, Media) and not one.text]
    return found


def refuse_media(turns: Iterable[Turn], target: Target) -> None:
    """Raise Refusal (400) for the first picture, document or sound."""
    for one in media(turns):
        raise refused(one, f"{target.name} takes text only")


def options(chat: Chat, names: Iterable[str]) -> dict[str, bytes]:
    """Those members of a request that go to the vendor under their own names, as JSON."""
    return {name: chat.options[name] for name in names if name in chat.options}
