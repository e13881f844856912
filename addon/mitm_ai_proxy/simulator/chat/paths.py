"""The paths that the simulated chat model answers, below whatever base a provider has (`/v1`, `/api/paas/v4`)."""

from __future__ import annotations

import re
from typing import Final

COMPLETIONS, MESSAGES, COUNT = "/chat/completions", "/messages", "/messages/count_tokens"
MODELS: Final = "/models"

# OpenAI's threads have messages of their own.
_PATH: Final = re.compile(
    r"(?!.*/threads/)(?:/.*)?(/chat/completions|/messages|/messages/count_tokens|/models(?:/.+)?)"
)


def is_chat(path: str) -> bool:
    """Whether a path (no query) is one of the model's, with any method."""
    return _PATH.fullmatch(path) is not None


def serves(method: str, path: str) -> bool:
    """Whether the model answers this method and path (no query)."""
    found = _PATH.fullmatch(path)
    if found is None:
        return False
    return method in ("GET", "HEAD") if found[1].startswith(MODELS) else method == "POST"
