"""What the readers of vendors' own requests have in common: the conversation, and how members are checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from . import model, tokens
from .asked import is_number, is_whole, joined
from .model import Prompt, Result, Tool
from .refusals import ChatError

Json = Mapping[str, Any]
_TURNS: Final = ("USER:", "User:")
"""What stands before the turns of the user where a conversation is one text."""


class Talk:
    """A conversation. text: the last text of the user. results: those of tools behind it.

    own_text: the text of the last turn, if it is the user's. texts: all texts, to be counted.
    """

    def __init__(self) -> None:
        self.text = self.own_text = ""
        self.results: list[Result] = []
        self.texts: list[str] = []
        self.turns = self.files = 0

    def instructions(self, parts: Iterable[Json]) -> None:
        """Add the texts of a system prompt."""
        self.texts += [part["text"] for part in parts if isinstance(part.get("text"), str)]

    def user(self, texts: Sequence[str], results: Sequence[Result] = ()) -> None:
        """Add a turn of the user's."""
        self.turns += 1
        self.texts += [*texts, *(result.text for result in results)]
        self.own_text = joined(texts)
        if results:
            self.results = [*results]
        else:
            self.text, self.results = self.own_text, []

    def other(self, texts: Sequence[str]) -> None:
        """Add a turn that is not the user's."""
        self.turns += 1
        self.own_text = ""
        self.texts += texts

    def prompt(self, tools: Sequence[Tool] = (), declared: Any = None, **members: Any) -> Prompt:
        """What the model is asked; `declared`: the tools as they were written, to be counted."""
        count = tokens.of_conversation(self.texts, self.turns, self.files, declared)
        return Prompt(text=self.text, results=self.results, tools=tools, input_tokens=count, **members)


def last_turn(text: str) -> str:
    """The last turn of the user in a conversation that is one text; the text itself, if it is none."""
    place, mark = max((text.rfind(mark), mark) for mark in _TURNS)
    return text[place + len(mark) :].partition("\nASSISTANT:")[0].strip() if place >= 0 else text.strip()


def objects(value: Any, where: str) -> Iterator[Json]:
    """The objects in a list that may be missing. Raises ChatError."""
    if value is None:
        return
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ChatError(400, f"{where}: expected a list of objects", where)
    yield from value


def object_in(body: Json, name: str) -> Json:
    """An object that may be missing. Raises ChatError."""
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ChatError(400, f"{name}: expected an object", name)
    return value


def text_in(body: Json, name: str, default: str | None = None) -> str:
    """A text, which may be missing where there is a default. Raises ChatError."""
    value = body.get(name, default)
    if not isinstance(value, str):
        raise ChatError(400, f"{name}: {'expected a string' if name in body else 'is missing'}", name)
    return value


def limit_in(body: Json, name: str) -> int | None:
    """A number of tokens, which may be missing. Raises ChatError."""
    value = body.get(name)
    if value is not None and not is_whole(value, 1):
        raise ChatError(400, f"{name}: expected a whole number from 1 on", name)
    return value


def check_numbers(body: Json, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Raise ChatError for a number that is out of its range."""
    for name, (low, high) in ranges.items():
        if body.get(name) is not None and not is_number(body[name], low, high):
            raise ChatError(400, f"{name}: expected a number from {low:g} to {high:g}", name)


def check_known(body: Json, known: frozenset[str], say: str) -> None:
    """Raise ChatError for a member that the vendor does not know; `say` has a place for its name."""
    for name in body.keys() - known:
        raise ChatError(400, say.format(name[:100]), name[:100])


def choice_of(names: Sequence[str], wanted: str) -> str:
    """The choice of one tool, which has to be among those that are offered. Raises ChatError."""
    if wanted not in names:
        raise ChatError(400, f"no tool has the name {wanted[:100]}")
    return wanted if wanted else model.AUTO
