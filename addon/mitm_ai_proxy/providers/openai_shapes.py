"""The shapes of OpenAI's requests and answers of embeddings, for conversions."""

from __future__ import annotations

import base64
import struct
from typing import Any

from ..chat.json_values import Object
from ..exchange import Memo
from .conversions import Json


def texts_of(root: Object) -> list[str]:
    """The texts of a request for embeddings. Raises Refusal (400)."""
    first = root.first("input")
    texts = [root.need("input")] if first == 0x22 else [*root.texts("input")]
    if not texts:
        raise root.wrong("input", "is missing or empty")
    return texts


def embeddings(found: list[tuple[int, list[float]]], memo: Memo, tokens: int) -> Json:
    """OpenAI's answer with embeddings, each with its place."""
    data = [{"object": "embedding", "index": index, "embedding": _encoded(each, memo)} for index, each in found]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": memo["model"], "usage": usage}


def _encoded(embedding: list[float], memo: Memo) -> Any:
    """As a list, or, for OpenAI's SDKs, which ask for it, as 32-bit floats in base64."""
    return base64_floats(embedding) if memo["base64"] else embedding


def base64_floats(numbers: list[float]) -> str:
    """32-bit floats, little-endian, in base64."""
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
