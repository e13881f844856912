"""What each model of Claude's takes: thinking, forced calls, sampling."""

from __future__ import annotations

from typing import Any

from mitm_ai_proxy.chat import efforts
from mitm_ai_proxy.chat.dialects import OPENAI
from mitm_ai_proxy.chat.target import CLAUDE
from tests.chat.exchanges import HELLO, TOOL, Json, notes_of, openai_request, to_claude
from tests.tables import table

ADAPTIVE = {"type": "adaptive", "display": "summarized"}
OLD, MIDDLE, LATE, NEW = "claude-sonnet-4-5", "claude-opus-4-7", "claude-opus-5", "claude-sonnet-5-5"
ALWAYS = "claude-opus-5-5"


@table(
    ("name", "index"),
    [
        ("claude-3-haiku-20240307", 0),
        ("claude-3-5-sonnet-latest", 0),
        ("us.anthropic.claude-3-7-sonnet-20250219-v1:0", 0),
        ("claude-2.1", 0),
        ("claude-instant-1.2", 0),
        ("claude-sonnet-4-20250514", 0),
        ("claude-sonnet-4@20250514", 0),
        ("claude-opus-4-0", 0),
        ("anthropic/claude-sonnet-4", 0),
        ("claude-opus-4-1-20250805", 1),
        ("claude-sonnet-4-5", 1),
        ("anthropic.claude-haiku-4-5-20251001-v1:0", 1),
        ("anthropic/claude-opus-4.5", 1),
        ("claude-opus-4-6", 2),
        ("Claude-Sonnet-4.6", 2),
        ("claude-opus-4-7", 3),
        ("claude-opus-4-8-20260501", 3),
        ("claude-sonnet-5", 4),
        ("claude-opus-5-20260801", 4),
        ("claude-fable-5", 5),
        ("claude-mythos-5-20260901", 5),
        ("claude-opus-5-5", 5),
        ("claude-fable-5-1", 5),
        ("claude-sonnet-5-5", 6),
        ("claude-haiku-5-5-20261101", 6),
        ("claude-sonnet-6", 6),
        ("claude-next", 6),
        ("", 6),
    ],
)
def test_a_model_has_a_row_whatever_a_platform_writes_around_its_name(name: str, index: int) -> None:
    assert efforts.claude_model(name) is efforts.CLAUDE_MODELS[index]


def _thinking(model: str, **members: Any) -> Json:
    """What a request says about thinking, and its limit."""
    document = to_claude(**({"model": model} | members))
    return {name: document[name] for name in ("thinking", "output_config", "max_tokens") if name in document}


def _adaptive(effort: str, limit: int = 32_768) -> Json:
    return {"max_tokens": limit, "thinking": ADAPTIVE, "output_config": {"effort": effort}}


def _budget(tokens: int) -> Json:
    return {"type": "enabled", "budget_tokens": tokens}


@table(
    ("model", "members", "written"),
    [
        (OLD, {}, {"max_tokens": 4096}),
        (OLD, {"reasoning_effort": "none"}, {"max_tokens": 4096}),
        (OLD, {"reasoning_effort": "minimal"}, {"max_tokens": 5120, "thinking": _budget(1024)}),
        (OLD, {"reasoning_effort": "low"}, {"max_tokens": 6144, "thinking": _budget(2048)}),
        (OLD, {"reasoning_effort": "medium"}, {"max_tokens": 12_288, "thinking": _budget(8192)}),
        (OLD, {"reasoning_effort": "high"}, {"max_tokens": 20_480, "thinking": _budget(16_384)}),
        (OLD, {"reasoning_effort": "high", "max_tokens": 1200}, {"max_tokens": 1200, "thinking": _budget(1199)}),
        (OLD, {"reasoning_effort": "high", "max_tokens": 1025}, {"max_tokens": 1025, "thinking": _budget(1024)}),
        (OLD, {"reasoning_effort": "high", "max_tokens": 1024}, {"max_tokens": 1024}),
        (OLD, {"reasoning_effort": "max", "max_tokens": 50_000}, {"max_tokens": 50_000, "thinking": _budget(49_999)}),
        (OLD, {"reasoning_max_tokens": 2000, "max_tokens": 3000}, {"max_tokens": 3000, "thinking": _budget(2000)}),
        (OLD, {"reasoning_max_tokens": 0}, {"max_tokens": 4096}),
        (OLD, {"thinking": _budget(2000), "max_tokens": 3000}, {"max_tokens": 3000, "thinking": _budget(2000)}),
        (OLD, {"thinking": {"type": "adaptive"}}, {"max_tokens": 12_288, "thinking": _budget(8192)}),
        (MIDDLE, {}, {"max_tokens": 4096}),
        (MIDDLE, {"reasoning_effort": "none"}, {"max_tokens": 4096}),
        (MIDDLE, {"reasoning_effort": "minimal"}, _adaptive("low")),
        (MIDDLE, {"reasoning_effort": "xhigh"}, _adaptive("xhigh")),
        (MIDDLE, {"reasoning_max_tokens": 5000}, _adaptive("medium")),
        (MIDDLE, {"thinking": _budget(5000)}, _adaptive("medium")),
        (MIDDLE, {"reasoning_effort": "high", "max_tokens": 9}, _adaptive("high", 9)),
        (LATE, {}, {"max_tokens": 32_768}),
        (LATE, {"reasoning_effort": "none"}, {"max_tokens": 4096, "thinking": {"type": "disabled"}}),
        (ALWAYS, {}, {"max_tokens": 32_768}),
        (ALWAYS, {"reasoning_effort": "none"}, {"max_tokens": 32_768, "output_config": {"effort": "low"}}),
        (NEW, {"reasoning_effort": "max"}, _adaptive("max")),
        (NEW, {"reasoning_effort": "none"}, _adaptive("low") | {"thinking": {"type": "between_tools"}}),
    ],
)
def test_effort_is_a_budget_or_adaptive_as_the_model_takes_it(model: str, members: Json, written: Json) -> None:
    assert _thinking(model, **members) == written


FORCED = {"tools": [TOOL], "tool_choice": "required"}


@table(
    ("model", "members", "choice", "thinking"),
    [
        (OLD, {}, "any", None),
        (OLD, {"reasoning_effort": "high"}, "any", None),
        (MIDDLE, {"reasoning_effort": "high"}, "any", None),
        (LATE, {}, "any", {"type": "disabled"}),
        (ALWAYS, {}, "auto", None),
        (NEW, {"reasoning_effort": "high"}, "auto", ADAPTIVE),
    ],
)
def test_a_forced_call_goes_before_thinking_and_is_auto_where_the_model_takes_none(
    model: str, members: Json, choice: str, thinking: object
) -> None:
    document = to_claude(**({"model": model} | members | FORCED))

    assert document["tool_choice"] == {"type": choice}
    assert document.get("thinking") == thinking


def test_a_forced_call_that_is_not_leaves_a_note() -> None:
    assert any("forced" in note for note in notes_of(OPENAI, openai_request(**FORCED, model=NEW), CLAUDE))
    assert notes_of(OPENAI, openai_request(**FORCED, model=OLD), CLAUDE) == ()


LOOP: list[Json] = [
    *HELLO,
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "a", "content": "x"},
]


@table(("model", "thinks"), [(OLD, False), (MIDDLE, True)])
def test_a_model_with_a_budget_does_not_think_in_a_loop_whose_calls_have_no_thinking(model: str, thinks: bool) -> None:
    document = to_claude(*LOOP, model=model, reasoning_effort="high")

    assert ("thinking" in document) is thinks


@table(
    ("model", "members", "written"),
    [
        ("claude-3-7-sonnet-20250219", {"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5, "top_p": 0.9}),
        (OLD, {"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5}),
        (OLD, {"top_p": 0.9, "temperature": 0.5}, {"temperature": 0.5}),
        (OLD, {"top_p": 0.9, "top_k": 4}, {"top_p": 0.9, "top_k": 4}),
        (OLD, {"temperature": 0.5, "top_k": 4, "reasoning_effort": "high"}, {}),
        (OLD, {"top_p": 0.95, "reasoning_effort": "high"}, {"top_p": 0.95}),
        (MIDDLE, {"temperature": 0}, {"temperature": 0}),
        (LATE, {"temperature": 0.5, "top_k": 4}, {}),
        (NEW, {"temperature": 1}, {}),
    ],
)
def test_sampling_is_sent_as_far_as_the_model_takes_it(model: str, members: Json, written: Json) -> None:
    document = to_claude(**({"model": model} | members))

    assert {name: document[name] for name in ("temperature", "top_p", "top_k") if name in document} == written
    sent = set(written)
    notes = " ".join(notes_of(OPENAI, openai_request(**({"model": model} | members)), CLAUDE))
    assert all(name in notes for name in {"temperature", "top_p", "top_k"} & members.keys() - sent)
