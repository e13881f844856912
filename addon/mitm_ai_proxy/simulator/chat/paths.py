"""The paths that the simulated chat model answers, below whatever base a provider has (`/v1`, `/api/paas/v4`)."""

from __future__ import annotations

import re
from typing import Final

COMPLETIONS, MESSAGES, COUNT = "/chat/completions", "/messages", "/messages/count_tokens"
MODELS: Final = "/models"
FOUNDATION_MODELS: Final = "/foundation-models"
"""Bedrock's list of models."""

# OpenAI's threads have messages of their own.
_PATH: Final = re.compile(
    r"(?!.*/threads/)(?:/.*)?(/chat/completions|/messages|/messages/count_tokens|/models(?:/.+)?|/foundation-models)"
)


NATIVE: Final = (
    "/models/{model}:generateContent",
    "/models/{model}:streamGenerateContent",
    "/models/{model}:countTokens",
    "/models/count-tokens:rawPredict",
    "/models/{model}:rawPredict",
    "/models/{model}:streamRawPredict",
    "/model/{model}/converse",
    "/model/{model}/converse-stream",
    "/model/{model}/count-tokens",
    "/model/{model}/invoke",
    "/model/{model}/invoke-with-response-stream",
    "/chat-messages",
    "/completion-messages",
    "/workflows/run",
    "/v3/chat",
    "/v2/translate",
    "/v2/models/{model}/generate",
    "/v2/models/{model}/generate_stream",
)
"""Paths of vendors' own APIs: Gemini's, Vertex AI's, Bedrock's, Dify's, Coze's, DeepL's and Triton's. The first that
fits counts."""
_NATIVE: Final = [
    (path, re.compile("(?:/.*)?" + "(?P<model>.+?)".join(map(re.escape, path.split("{model}"))))) for path in NATIVE
]


def native(path: str) -> tuple[str, str] | None:
    """The row of NATIVE that a path (no query) is, and the model in it, "" for none; None for a path of none."""
    for row, pattern in _NATIVE:
        if found := pattern.fullmatch(path):
            return row, found.groupdict().get("model") or ""
    return None


def is_chat(path: str) -> bool:
    """Whether a path (no query) is one of the model's, with any method."""
    return _PATH.fullmatch(path) is not None or native(path) is not None


def serves(method: str, path: str) -> bool:
    """Whether the model answers this method and path (no query)."""
    if native(path):
        return method == "POST"
    found = _PATH.fullmatch(path)
    if found is None:
        return False
    return method in ("GET", "HEAD") if found[1].startswith((MODELS, FOUNDATION_MODELS)) else method == "POST"
