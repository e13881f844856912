"""Cache points of Amazon Bedrock's Converse: those that the client marks, and those that the configuration asks for.

Sources: Amazon Bedrock's user guide, prompt caching; Higress ai-proxy plugin, bedrock.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from . import json_values
from .converse_models import Family
from .model import CacheMark, Chat

POINT: Final = "cachePoint"
MAX_POINTS: Final = 4
POSITIONS: Final = ("systemPrompt", "lastUserMessage", "lastMessage")
_OPTION: Final = "prompt_cache_retention"

Json = dict[str, Any]


def marks(cache: CacheMark | None) -> list[Json]:
    """The point behind a block that is marked; none for one that is not."""
    if cache is None:
        return []
    return [{POINT: {"type": "default", "ttl": cache} if cache == "1h" else {"type": "default"}}]


def retention(text: str) -> str:
    """A retention in one spelling: "in_memory", "24h", or "" for none. Raises ValueError for another word."""
    word = text.strip().lower().replace("-", "_").replace(" ", "_")
    word = "in_memory" if word == "inmemory" else word
    if word not in ("", "in_memory", "24h"):
        raise ValueError("expected in_memory or 24h")
    return word


def write(
    document: Json, chat: Chat, models: Family, configured: str, positions: frozenset[str], notes: list[str]
) -> list[str]:
    """Add the points that a retention asks for, and take away those that the model does not take.

    `configured` is the retention where the request has none. Gives the options that are said by this.
    """
    said = []
    asked = configured
    if (option := chat.options.get(_OPTION)) is not None:
        try:
            asked = retention(json_values.text(json_values.raw(option)) or "?")
            said = [_OPTION] if models.caches else []
        except ValueError:
            asked = ""
    if asked and models.caches:
        _add(document, {"type": "default", "ttl": "1h"} if asked == "24h" else {"type": "default"}, positions)
    _limit(document, models, notes)
    return said


def _add(document: Json, point: Json, positions: frozenset[str]) -> None:
    messages = document["messages"]
    holders = []
    if "systemPrompt" in positions and "system" in document:
        holders.append(document["system"])
    users = [message["content"] for message in messages if message["role"] == "user"]
    if "lastUserMessage" in positions and users:
        holders.append(users[-1])
    if "lastMessage" in positions:
        holders.append(messages[-1]["content"])
    for holder in holders:
        if POINT not in holder[-1]:
            holder.append({POINT: dict(point)})


def _holders(document: Json) -> Iterator[tuple[str, list[Json]]]:
    """The lists that may have points, in the order of the prompt."""
    if "toolConfig" in document:
        yield "tools", document["toolConfig"]["tools"]
    if "system" in document:
        yield "system", document["system"]
    for message in document["messages"]:
        yield "messages", message["content"]


def _limit(document: Json, models: Family, notes: list[str]) -> None:
    """Keep the last points that the model takes."""
    found = [(place, holder, block) for place, holder in _holders(document) for block in holder if POINT in block]
    wrong = [one for one in found if one[0] not in models.caches]
    right = [one for one in found if one[0] in models.caches]
    if wrong:
        notes.append("cache marks left out where the model takes none")
    if len(right) > MAX_POINTS:
        notes.append(f"of {len(right)} cache marks, the last {MAX_POINTS} are kept")
    for _, holder, block in wrong + right[:-MAX_POINTS]:
        holder[:] = [other for other in holder if other is not block]
    if not models.has_hour:
        for _, _, block in right:
            block[POINT].pop("ttl", None)
