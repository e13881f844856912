"""How much a Gemini model thinks: by a level or by a number of tokens, as a table.

Source: Google's Gemini API documentation, thinking, as of November 2026. The words of effort are OpenAI's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from . import efforts
from .model import Chat, Reasoning

DYNAMIC: Final = -1
"""A number of tokens that leaves it to the model."""
_LEVELS: Final = ("MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH")
_WORDS: Final = {"none": 0, "minimal": 0, "low": 1, "medium": 2, "high": 3, "xhigh": 4, "max": 4}
"""Efforts, and their places in the list of levels."""


class GeminiModel(NamedTuple):
    """What a family of Gemini models takes.

    `pattern`: of their names. `levels`: the levels of thinkingLevel; none where thinking is a number of tokens.
    `budget`: the least and the most of these; None where the model does not think. `can_stop`: whether 0 is taken.
    `needs_seals`: whether a call without a signature is refused. `has_media_results`: whether results of tools may
    hold pictures.
    """

    pattern: str
    levels: tuple[str, ...] = ()
    budget: tuple[int, int] | None = None
    can_stop: bool = False
    needs_seals: bool = False
    has_media_results: bool = False


_NEW: Final = GeminiModel("", _LEVELS[:4], needs_seals=True, has_media_results=True)
GEMINI_MODELS: Final = (
    GeminiModel(r"embedding|imagen|gemma|learnlm|aqa|gemini-(pro|ultra)(-vision)?$|gemini-(1|2\.0)\b|-tts|-live"),
    GeminiModel(r"gemini-2\.5-flash-image"),
    GeminiModel(r"gemini-2\.5-flash-lite", budget=(512, 24_576), can_stop=True),
    GeminiModel(r"gemini-2\.5-flash", budget=(1, 24_576), can_stop=True),
    GeminiModel(r"gemini-2\.5", budget=(128, 32_768)),
    _NEW._replace(pattern=r"gemini-3-pro-image|gemini-3\.\d+-\w+-image", levels=()),
    _NEW._replace(pattern=r"gemini-3-pro", levels=("LOW", "HIGH")),
    _NEW._replace(pattern=r"gemini-3\.\d+-pro", levels=("LOW", "MEDIUM", "HIGH")),
    _NEW,
)
"""The first row whose pattern is in the name of the model; the last is for gemini-3-flash and all later ones."""
_COMPILED: Final = tuple((re.compile(row.pattern), row) for row in GEMINI_MODELS)


def gemini_model(name: str) -> GeminiModel:
    """The row for a model."""
    name = name.lower()
    return next(row for pattern, row in _COMPILED if pattern.search(name))


def config(chat: Chat, row: GeminiModel, default: int | None, notes: list[str]) -> Mapping[str, object]:
    """The thinkingConfig of a request; empty for none. `default`: the tokens where the client says nothing.

    Thoughts are asked for where thinking is: without `includeThoughts` none are told.
    """
    asked = chat.reasoning
    if asked is None or (asked.is_on is None and asked.effort is None):
        if default is None or row.budget is None:
            return {}
        return {"thinkingBudget": default, "includeThoughts": True} if default else {"thinkingBudget": 0}
    if not (row.levels or row.budget):
        if asked.is_on is not False:
            notes.append(f"thinking left out: {chat.model} has no setting for it")
        return {}
    found = _level(chat.model, asked, row, notes) if row.levels else _budget(chat, asked, row, notes)
    if asked.is_on and asked.display != "omitted":
        found["includeThoughts"] = True
    return found


def _level(model: str, asked: Reasoning, row: GeminiModel, notes: list[str]) -> dict[str, object]:
    effort = asked.effort
    if asked.is_on is False:
        notes.append(f"{model} cannot stop thinking: it thinks as little as it can")
        effort = "none"
    elif effort is None and asked.budget is not None:
        effort = efforts.effort_of(asked.budget)
    if effort is None:
        return {}
    places = [_LEVELS.index(level) for level in row.levels]
    # The nearest level that the model has; of two, the higher one.
    nearest = min(places, key=lambda place: (abs(place - _WORDS[effort]), -place))
    return {"thinkingLevel": _LEVELS[nearest]}


def _budget(chat: Chat, asked: Reasoning, row: GeminiModel, notes: list[str]) -> dict[str, object]:
    assert row.budget is not None
    least, most = row.budget
    if asked.is_on is False:
        if row.can_stop:
            return {"thinkingBudget": 0}
        notes.append(f"{chat.model} cannot stop thinking: it thinks as little as it can")
        return {"thinkingBudget": least}
    budget = asked.budget
    if budget is None:
        budget = DYNAMIC if asked.effort is None else efforts.BUDGETS.get(asked.effort, most)
    return {"thinkingBudget": budget if budget == DYNAMIC else min(max(budget, least), most)}
