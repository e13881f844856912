"""Reads a request for embeddings of OpenAI's, and writes Google's.

Sources: OpenAI's API reference, embeddings; Google's Gemini API reference, batchEmbedContents; Vertex AI's, predict.
"""

from __future__ import annotations

from typing import NamedTuple

from ..chat import json_values
from ..chat.json_values import Object


class Asked(NamedTuple):
    """A request: `size` is that of a vector, None for the model's own."""

    model: str
    texts: tuple[str, ...]
    size: int | None
    is_base64: bool
    notes: tuple[str, ...]


def read(body: bytes) -> Asked:
    """The request in a body. Raises Refusal (400)."""
    root = json_values.request_object(body)
    is_base64 = root.one_of("encoding_format", ("float", "base64")) == "base64"
    notes = ("the user's id left out (Gemini)",) if root.text("user") else ()
    return Asked(root.need("model"), _texts(root), root.whole("dimensions", 1), is_base64, notes)


def _texts(root: Object) -> tuple[str, ...]:
    first = root.first("input")
    if first == 0x22:
        return (root.need("input"),)
    if not first:
        raise root.wrong("input", "is missing")
    if bytes(root.members["input"])[1:].lstrip()[:1] in (b"[", b"-", *(b"%d" % digit for digit in range(10))):
        raise root.wrong("input", "is made of tokens of another vendor's; Gemini takes texts")
    found = root.texts("input")
    if not found:
        raise root.wrong("input", "is empty")
    return found


def batch(asked: Asked) -> bytes:
    """The body of Gemini's batchEmbedContents."""
    model = f"models/{asked.model.removeprefix('models/')}"
    size = {} if asked.size is None else {"outputDimensionality": asked.size}
    requests = [{"model": model, "content": {"parts": [{"text": text}]}, **size} for text in asked.texts]
    return json_values.encode({"requests": requests})


def instances(asked: Asked) -> bytes:
    """The body of Vertex's predict."""
    size = {} if asked.size is None else {"parameters": {"outputDimensionality": asked.size}}
    return json_values.encode({"instances": [{"content": text} for text in asked.texts], **size})
