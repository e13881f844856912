"""How much a model thinks: words of effort, numbers of tokens, and which of them a Claude model takes.

Source: Anthropic's documentation, extended thinking and migration guides, as of November 2026; the budgets are ours.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

from .model import Chat, Reasoning

MIN_BUDGET: Final = 1024
ANSWER_TOKENS: Final = 4096
"""Tokens of an answer whose length the client does not limit; as in the Higress ai-proxy plugin."""
THINKING_TOKENS: Final = 28_672
"""More of them, for a model that decides itself how much it thinks."""

BUDGETS: Final = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16_384, "xhigh": 32_768}
"""Tokens for each effort. "max" is all that max_tokens leaves."""
_ADAPTIVE_EFFORTS: Final = {"minimal": "low"}
_LOW_BELOW: Final = 4096
_MEDIUM_BELOW: Final = 16_384


def effort_of(budget: int) -> str:
    """The effort that a number of tokens is."""
    return "low" if budget < _LOW_BELOW else "medium" if budget < _MEDIUM_BELOW else "high"


_ORDER: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


class EffortModel(NamedTuple):
    """A family of models with OpenAI's API, and the words of reasoning_effort that it takes. `pattern`: of names."""

    pattern: str
    words: tuple[str, ...]


_THREE: Final = ("low", "medium", "high")
EFFORT_MODELS: Final = (
    EffortModel(r"gpt-5(\.\d+)?-chat|\bo1-(mini|preview)", ()),
    EffortModel(r"gpt-5(\.\d+)?-pro", ("high",)),
    EffortModel(r"gpt-5(?!\.\d)", ("minimal", *_THREE)),
    EffortModel(r"gpt-5\.1(?!\d|-codex-max)", ("none", *_THREE)),
    EffortModel(r"gpt-5\.\d|gpt-[6-9]", ("none", *_THREE, "xhigh")),
    EffortModel(r"\bo[134](?!\d)|gpt-oss|grok-4[.-][3-9]", _THREE),
    EffortModel(r"grok-3-mini", ("low", "high")),
    EffortModel(r"gemini-2\.5-flash", ("none", *_THREE)),
    EffortModel(r"gemini-(2\.5|[3-9])", _THREE),
    EffortModel(r"", ()),
)
"""The first row whose pattern is in the name of the model. Others refuse the member, or nobody knows that they take it.

Sources: OpenAI's and Microsoft's API references, reasoning effort; Groq's documentation, reasoning; xAI's, reasoning;
Google's, OpenAI compatibility, thinking.
"""
_EFFORTS: Final = tuple((re.compile(row.pattern), row.words) for row in EFFORT_MODELS)


def effort_for(model: str, wanted: str) -> str | None:
    """The word of reasoning_effort for a model that is nearest to the one that is wanted; None if it takes none.

    Less is nearer than more.
    """
    name = model.lower()
    words = next(words for pattern, words in _EFFORTS if pattern.search(name))
    place = _ORDER.index(wanted) if wanted in _ORDER else _ORDER.index("medium")
    less = [word for word in words if _ORDER.index(word) <= place]
    return less[-1] if less else words[0] if words else None


class ClaudeModel(NamedTuple):
    """What a family of Claude models takes.

    `pattern`: of their names. `thinking`: the values of thinking.type. `thinks`: whether they do if nothing is said.
    `can_be_forced`: whether a tool call can be, without thinking. `sampling`: temperature and top_p together, one of
    them, or none.
    """

    pattern: str
    thinking: tuple[Literal["enabled", "adaptive", "disabled", "between_tools"], ...]
    thinks: bool
    can_be_forced: bool
    sampling: Literal["both", "one", "none"]

    @property
    def has_budget(self) -> bool:
        """Whether thinking is asked for by a number of tokens."""
        return "adaptive" not in self.thinking


_BUDGET: Final = ("enabled", "disabled")
_WHOLE: Final = r"(-0)?(-20|@20|-v|-latest|:|$)"
"""What follows the number of a version that has no second number: a date, or what a platform adds."""
CLAUDE_MODELS: Final = (
    ClaudeModel(rf"claude-(instant|[123]\b)|-(sonnet|opus)-4{_WHOLE}", _BUDGET, False, True, "both"),
    ClaudeModel(r"-(sonnet|opus|haiku)-4[-.][15]", _BUDGET, False, True, "one"),
    ClaudeModel(r"-(sonnet|opus)-4[-.]6", ("adaptive", "disabled", "enabled"), False, True, "one"),
    ClaudeModel(r"-(sonnet|opus)-4[-.][78]", ("adaptive", "disabled"), False, True, "one"),
    ClaudeModel(rf"-(sonnet|opus)-5{_WHOLE}", ("adaptive", "disabled"), True, True, "none"),
    ClaudeModel(rf"-(fable|mythos)-5{_WHOLE}|-(opus|fable|mythos)-5[-.]", ("adaptive",), True, False, "none"),
    ClaudeModel(r"", ("adaptive", "between_tools"), True, False, "none"),
)
"""The first row whose pattern is in the name of the model; the last is for sonnet 5.5, haiku 5.5 and all later ones."""
_COMPILED: Final = tuple((re.compile(row.pattern), row) for row in CLAUDE_MODELS)


def claude_model(name: str) -> ClaudeModel:
    """The row for a model, whatever its platform writes before and after the name."""
    name = name.lower()
    return next(row for pattern, row in _COMPILED if pattern.search(name))


class Thinking(NamedTuple):
    """What is sent to Claude: `thinking`, the effort, max_tokens, whether a call is still forced, and notes."""

    thinking: dict[str, object] | None
    effort: str | None
    max_tokens: int
    is_forced: bool
    notes: tuple[str, ...]


def claude_thinking(chat: Chat, row: ClaudeModel, is_forced: bool, lacks_thinking: bool) -> Thinking:
    """What a request says about thinking, as this model takes it.

    `is_forced`: a tool has to be called. `lacks_thinking`: the running tool loop has no thinking that could be given
    back, which models with a budget refuse while they think.
    """
    asked = chat.reasoning
    notes: list[str] = []
    wants = row.thinks if asked is None or asked.is_on is None else asked.is_on
    if is_forced and not row.can_be_forced:
        is_forced = False
        notes.append(f"tool_choice is auto: {chat.model} takes no forced call")
    can_be_quiet = "disabled" in row.thinking
    if wants and is_forced and can_be_quiet:
        wants = False
        if asked is not None or row.thinks:
            notes.append("thinking is off: the model does not think before a forced call")
    elif wants and row.has_budget and lacks_thinking:
        wants = False
        notes.append("thinking is off: the calls before have no thinking of Claude's, which would have to be sent back")
    if row.has_budget:
        return _with_budget(chat, asked, wants, is_forced, notes)
    room = ANSWER_TOKENS + (THINKING_TOKENS if wants or not can_be_quiet else 0)
    limit = room if chat.max_tokens is None else chat.max_tokens
    effort = _ADAPTIVE_EFFORTS.get(asked.effort, asked.effort) if asked and asked.effort else None
    if asked and asked.budget is not None and effort is None and asked.is_on:
        effort = effort_of(asked.budget)
    if wants:
        if asked is None or asked.is_on is None:
            return Thinking(None, effort, limit, is_forced, tuple(notes))
        thinking: dict[str, object] = {"type": "adaptive", "display": asked.display or "summarized"}
        return Thinking(thinking, effort, limit, is_forced, tuple(notes))
    effort = None if effort == "none" else effort
    if not row.thinks and asked is None:
        return Thinking(None, effort, limit, is_forced, tuple(notes))
    if can_be_quiet:
        # With thinking off, the models of 5 take no effort beyond high.
        effort = "high" if row.thinks and effort in ("xhigh", "max") else effort
        return Thinking({"type": "disabled"} if row.thinks else None, effort, limit, is_forced, tuple(notes))
    notes.append(f"{chat.model} cannot stop thinking: it thinks as little as it can")
    quiet: dict[str, object] | None = {"type": "between_tools"} if "between_tools" in row.thinking else None
    return Thinking(quiet, effort or "low", limit, is_forced, tuple(notes))


def _with_budget(chat: Chat, asked: Reasoning | None, wants: bool, is_forced: bool, notes: list[str]) -> Thinking:
    limit = ANSWER_TOKENS if chat.max_tokens is None else chat.max_tokens
    if not wants or asked is None:
        return Thinking(None, None, limit, is_forced, tuple(notes))
    budget = asked.budget
    if budget is None:
        budget = BUDGETS.get(asked.effort or "medium", BUDGETS["xhigh"])
        if asked.effort == "max" and chat.max_tokens is not None:
            budget = limit - 1
    if chat.max_tokens is None:
        limit = ANSWER_TOKENS + max(budget, MIN_BUDGET)
    budget = min(max(budget, MIN_BUDGET), limit - 1)
    if budget < MIN_BUDGET:
        notes.append(f"thinking is off: max_tokens leaves less than {MIN_BUDGET} tokens for it")
        return Thinking(None, None, limit, is_forced, tuple(notes))
    thinking: dict[str, object] = {"type": "enabled", "budget_tokens": budget}
    return Thinking(thinking, None, limit, is_forced, tuple(notes))
