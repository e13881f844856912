"""The shapes of OpenAI's requests and answers of embeddings, for conversions, and of lists of models."""

from __future__ import annotations

import base64
import struct
from typing import Any, NamedTuple

from ..chat.dialects import ANTHROPIC
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


class Listed(NamedTuple):
    """A model in a list: its id, its name for a person, and whose it is."""

    id: str
    shown: str
    owner: str


def model(found: Listed, client: str) -> Json:
    """A model, as the client's dialect has it."""
    if client == ANTHROPIC:
        return {"type": "model", "id": found.id, "display_name": found.shown, "created_at": "1970-01-01T00:00:00Z"}
    return {"id": found.id, "object": "model", "created": 0, "owned_by": found.owner}


def models(found: list[Listed], client: str) -> Json:
    """The list of models, as the client's dialect has it."""
    shown = [model(one, client) for one in found]
    if client != ANTHROPIC:
        return {"object": "list", "data": shown}
    ends = {"first_id": found[0].id if found else None, "last_id": found[-1].id if found else None}
    return {"data": shown, "has_more": False, **ends}


def base64_floats(numbers: list[float]) -> str:
    """32-bit floats, little-endian, in base64."""
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
