"""What is particular about the API that a request is translated for: a value that a provider's row holds."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from .dialects import ANTHROPIC, GEMINI, OPENAI


class Target(NamedTuple):
    """An API of a provider, for the translators. The defaults are those of an OpenAI-compatible one.

    `name`: for a person to read. `dialect`: a row of VENDORS in chat/protocols.py. `vendor`: whose seals it makes and
    takes; "" for none. `settings`: what only the dialect's own writer reads. `answers`: texts that the reader of its
    answers needs, by name.

    OpenAI chat:
      `max_tokens`: the member that limits the answer. `most_tokens`: the highest limit that it takes; 0 for any.
      `reasoning`: how thinking is asked for: "effort" (reasoning_effort), "thinking" ({"type": "enabled"}), "enable"
      (enable_thinking, thinking_budget), in the vendor's "own" form, or "none" of these.
      `reasoning_back`: which assistant messages carry reasoning_content back.
      `cache`: how a cache mark is written: "breakpoint" (prompt_cache_breakpoint), "control" (cache_control), "none".
      `options`: further members that it takes, such as top_k.
      `has_document_links`: whether a file may be a link.
      `mends`: what of answers in its own dialect is mended for OpenAI's clients: "errors" with the status of a success
      and usage in its place, or "all": they are read and written anew.
      `takes`: the kinds of media that it takes.
      `counts_streams`: whether a stream is asked for its usage.

    Anthropic Messages:
      `version`: the anthropic-version that the request is sent with.
      `default_system`: the system prompt of a request that has none but `added_system`, the text that the configuration
      puts into every chat. `caches_system`: whether the prompt gets a mark.
      `has_threads`: whether it keeps conversations, of which a request then has only what is new.
    """

    name: str = "the provider"
    dialect: str = OPENAI
    vendor: str = ""
    max_tokens: str = "max_tokens"
    most_tokens: int = 0
    reasoning: Literal["effort", "thinking", "enable", "own", "none"] = "effort"
    reasoning_back: Literal["never", "calls", "always"] = "never"
    cache: Literal["none", "breakpoint", "control"] = "none"
    options: frozenset[str] = frozenset()
    has_document_links: bool = False
    mends: Literal["nothing", "errors", "all"] = "nothing"
    takes: frozenset[str] = frozenset({"image", "document", "audio"})
    counts_streams: bool = True
    version: str = "2023-06-01"
    default_system: str = ""
    added_system: str = ""
    caches_system: bool = False
    has_threads: bool = False
    settings: object = None
    answers: Mapping[str, str] = MappingProxyType({})


OPENAI_CHAT: Final = Target("")
ANTHROPIC_MESSAGES: Final = Target("", ANTHROPIC)
"""Those of a type that is named after itself."""
CLAUDE: Final = Target("Claude", ANTHROPIC, "anthropic")
GOOGLE: Final = Target("Gemini", GEMINI, "google")
