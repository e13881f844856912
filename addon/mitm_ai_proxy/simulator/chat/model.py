"""The simulated chat model: it echoes, calls tools that are named, and thinks. The same request has the same answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from . import tokens, values

END, LENGTH, CALLS, STOP_SEQUENCE, REFUSED = "end", "length", "calls", "stop sequence", "refused"
"""Why an answer ends."""
AUTO, NONE, REQUIRED = "auto", "none", "required"
"""Whether tools may or must be called."""
TEXT, THINKING, CALL = "text", "thinking", "call"
"""The kinds of parts of an answer."""

_FAULT: Final = re.compile(r"\s*\[simulate: *[^\[\]]{1,200}\]")


class Tool(NamedTuple):
    """A tool that the client offers, with the JSON Schema of its arguments."""

    name: str
    schema: Any


class Result(NamedTuple):
    """What a tool has answered: its name, the text, and whether it failed."""

    name: str
    text: str
    has_failed: bool = False


class Prompt(NamedTuple):
    """What the model is asked.

    text: the last text of the user.
    results: those of tools that came behind it, if they are last.
    choice: AUTO, NONE, REQUIRED, or the name of a tool.
    form: the JSON Schema that the text of the answer has to fit; True for any JSON object; None for no such thing.
    """

    text: str
    results: Sequence[Result] = ()
    tools: Sequence[Tool] = ()
    choice: str = AUTO
    is_parallel: bool = True
    thinks: bool = False
    max_tokens: int | None = None
    stops: Sequence[str] = ()
    form: Any = None
    input_tokens: int = 0


class Part(NamedTuple):
    """A part of an answer. `pieces` are its tokens: of a text, of thoughts, or of the arguments of a call of `name`."""

    kind: str
    pieces: tuple[str, ...]
    name: str = ""

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.pieces)


class Answer(NamedTuple):
    """What the model answers: its parts, why it ends, and the stop sequence or the reason of a refusal."""

    parts: tuple[Part, ...]
    end: str
    detail: str = ""

    @property
    def output_tokens(self) -> int:
        """All tokens that were made; a call costs its name, too."""
        return sum(len(part.pieces) + tokens.count(part.name) for part in self.parts)

    @property
    def thinking_tokens(self) -> int:
        """Those of them that are thoughts."""
        return sum(len(part.pieces) for part in self.parts if part.kind == THINKING)

    @property
    def calls(self) -> list[Part]:
        """The calls among the parts."""
        return [part for part in self.parts if part.kind == CALL]


def answer(prompt: Prompt) -> Answer:
    """The model's answer."""
    asked = _FAULT.sub("", prompt.text).strip()
    calls = _calls(prompt, asked)
    parts = []
    if prompt.thinks:
        parts.append(_part(THINKING, _thoughts(prompt, calls, asked)))
    stopped = ""
    if not calls:
        text, stopped = _stopped(_text(prompt, asked), prompt.stops)
        parts += [_part(TEXT, text)] if text else []
    parts += calls
    end = CALLS if calls else STOP_SEQUENCE if stopped else END
    return _within(prompt.max_tokens, Answer(tuple(parts), end, stopped))


def refusal(reason: str) -> Answer:
    """An answer in which the model refuses to answer."""
    return Answer((), REFUSED, reason)


def _calls(prompt: Prompt, asked: str) -> list[Part]:
    """The calls of the tools that are named, or of one that has to be called."""
    if prompt.choice == NONE or not prompt.tools:
        return []
    if prompt.choice not in (AUTO, REQUIRED):
        wanted = [tool for tool in prompt.tools if tool.name == prompt.choice]
    elif prompt.choice == AUTO and prompt.results:
        return []
    else:
        places = {tool.name: _place(tool.name, asked) for tool in prompt.tools}
        named = sorted((tool for tool in prompt.tools if places[tool.name] >= 0), key=lambda tool: places[tool.name])
        wanted = named or ([prompt.tools[0]] if prompt.choice == REQUIRED else [])
    return [_call(tool, asked) for tool in (wanted if prompt.is_parallel else wanted[:1])]


def _place(name: str, text: str) -> int:
    """Where a text names a tool; -1 if it does not."""
    found = re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)
    return found.start() if found else -1


def _call(tool: Tool, asked: str) -> Part:
    """A call with the arguments that stand behind the name, `get_weather({"city": "Paris"})`, or with made-up ones."""
    given = re.search(rf"(?<![\w-]){re.escape(tool.name)}\s*\(\s*(?=\{{)", asked)
    if given:
        try:
            _, length = json.JSONDecoder().raw_decode(asked[given.end() :])
        except (ValueError, RecursionError):
            pass
        else:
            return _part(CALL, asked[given.end() : given.end() + length], tool.name)
    return _part(CALL, values.text_of(values.of_schema(tool.schema, asked) or {}), tool.name)


def _part(kind: str, text: str, name: str = "") -> Part:
    return Part(kind, tuple(tokens.split(text)), name)


def _thoughts(prompt: Prompt, calls: Sequence[Part], asked: str) -> str:
    if prompt.results and not calls:
        return "The tools have answered. I shall say what they found."
    if calls:
        return f"I need {' and '.join(call.name for call in calls)} for this."
    return f"The user says: {asked} I shall say it again." if asked else "The user says nothing."


def _text(prompt: Prompt, asked: str) -> str:
    said = asked
    if prompt.results:
        said = "\n".join(f"{one.name} {'failed' if one.has_failed else 'says'}: {one.text}" for one in prompt.results)
    if prompt.form is None:
        return said
    return values.text_of({"text": said} if prompt.form is True else values.of_schema(prompt.form, asked))


def _stopped(text: str, stops: Sequence[str]) -> tuple[str, str]:
    """The text up to the stop sequence that comes first, and that sequence; "" for none."""
    found = [(place, stop) for stop in stops if (place := text.find(stop)) >= 0]
    if not found:
        return text, ""
    place, stop = min(found, key=lambda pair: pair[0])
    return text[:place], stop


def _within(limit: int | None, whole: Answer) -> Answer:
    """The answer, cut to a number of tokens."""
    if limit is None or whole.output_tokens <= limit:
        return whole
    return Answer(tuple(_fitting(whole.parts, limit)), LENGTH)


def _fitting(parts: Sequence[Part], left: int) -> Iterator[Part]:
    for part in parts:
        left -= tokens.count(part.name)
        if left <= 0:
            return
        yield part._replace(pieces=part.pieces[:left])
        left -= len(part.pieces)
