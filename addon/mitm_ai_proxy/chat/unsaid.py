"""Members of a request that only its own dialect has: dropped with a note, or refused, as a table.

A writer takes those that its target can say; this is for the rest. docs/ is generated from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from ..errors import Refusal
from . import json_values
from .dialects import ANTHROPIC, NO_THREADS, OPENAI


class Rule(NamedTuple):
    """What becomes of a member that a target cannot say.

    `why`: in docs/ and in the message, after the member's name. `harmless`: JSON values without blanks that mean
    nothing special, and are dropped without a word. `is_refused`: others are, as they change what the client gets, with
    this `code`.
    """

    why: str
    harmless: frozenset[bytes] = frozenset()
    is_refused: bool = False
    code: str = "invalid_body"


_OFF: Final = frozenset({b"false"})
_ZERO: Final = frozenset({b"0", b"0.0"})
_EMPTY: Final = frozenset({b"{}", b"[]", b'""'})

OPENAI_MEMBERS: Final[Mapping[str, Rule]] = {
    "n": Rule("asks for several answers, and there is one", frozenset({b"1"}), True),
    "logprobs": Rule("asks for probabilities, which are not told", _OFF, True),
    "top_logprobs": Rule("asks for probabilities, which are not told", frozenset({b"0"}), True),
    "modalities": Rule("asks for more than text", frozenset({b'["text"]'}), True),
    "audio": Rule("asks for sound", frozenset(), True),
    "web_search_options": Rule("asks for a search, which the model does not make", frozenset(), True),
    "moderation": Rule("asks for moderation scores, which are not told", frozenset(), True),
    "temperature": Rule("is not taken by this model"),
    "top_p": Rule("is not taken by this model"),
    "top_k": Rule("is not taken"),
    "seed": Rule("is not taken: answers cannot be repeated"),
    "frequency_penalty": Rule("is not taken", _ZERO),
    "presence_penalty": Rule("is not taken", _ZERO),
    "logit_bias": Rule("is not taken", _EMPTY),
    "prediction": Rule("is not taken; it only makes answers faster"),
    "verbosity": Rule("is not taken", frozenset({b'"medium"'})),
    "metadata": Rule("is OpenAI's own storage", _EMPTY),
    "store": Rule("is OpenAI's own storage", _OFF),
    "service_tier": Rule("is OpenAI's own price list", frozenset({b'"auto"'})),
    "prompt_cache_key": Rule("is OpenAI's own cache"),
    "prompt_cache_options": Rule("is OpenAI's own cache"),
    "prompt_cache_retention": Rule("is OpenAI's own cache"),
    "safety_identifier": Rule("is OpenAI's own"),
}

ANTHROPIC_MEMBERS: Final[Mapping[str, Rule]] = {
    "mcp_servers": Rule("asks for servers that only Anthropic's own API calls", _EMPTY, True),
    "container": Rule("asks for a container that only Anthropic's own API has", frozenset(), True),
    "thread": Rule("asks for a conversation that only Anthropic's own API keeps", frozenset(), True, NO_THREADS),
    "temperature": Rule("is not taken by this model"),
    "top_p": Rule("is not taken by this model"),
    "top_k": Rule("is not taken"),
    "cache_control": Rule("is Anthropic's own cache"),
    "service_tier": Rule("is Anthropic's own price list", frozenset({b'"auto"'})),
    "speed": Rule("is Anthropic's own price list", frozenset({b'"standard"'})),
    "inference_geo": Rule("is Anthropic's own"),
    "context_management": Rule("is not taken: the whole conversation is sent"),
    "compaction": Rule("is not taken: the whole conversation is sent"),
    "fallbacks": Rule("names models that only Anthropic's own API asks instead"),
    "fallback_credit_token": Rule("is Anthropic's own price list"),
    "billing_policy": Rule("is Anthropic's own price list"),
    "workspace_id": Rule("is Anthropic's own"),
    "diagnostics": Rule("is Anthropic's own"),
    "user_profile_id": Rule("is Anthropic's own"),
}

MEMBERS: Final[Mapping[str, Mapping[str, Rule]]] = {OPENAI: OPENAI_MEMBERS, ANTHROPIC: ANTHROPIC_MEMBERS}
_UNKNOWN: Final = Rule("is not known")


def leave_out(dialect: str, options: Mapping[str, bytes], said: Iterable[str], target: str) -> list[str]:
    """Notes on the options, but for `said`, that a target cannot say. Raises Refusal (400) for the first that matters.

    `dialect` is the client's, `target` the name of the API.
    """
    notes = []
    known = MEMBERS[dialect]
    taken = frozenset(said)
    for name, value in options.items():
        rule = known.get(name, _UNKNOWN)
        if name in taken or _short(value) in rule.harmless:
            continue
        if rule.is_refused:
            raise refusal(dialect, name, target)
        notes.append(f"{name[:60]} left out: it {rule.why} ({target})")
    return notes


def refusal(dialect: str, name: str, target: str) -> Refusal:
    """The refusal (400) of a member of a dialect for a target."""
    rule = MEMBERS[dialect][name]
    return Refusal(400, f"{name} {rule.why} ({target}).", code=rule.code, param=name)


def _short(value: bytes) -> bytes:
    """A JSON value without blanks."""
    try:
        return json_values.encode(json_values.decode(value))
    except ValueError:
        return value
