"""Estimates the tokens of a request, for clients that count before they send to a provider that cannot.

A token is four letters of ASCII, or one and a half of any other script; a picture is 1,600, as Claude counts a large
one, and a document 1,500 for each page, of 50,000 characters of base64. It is an estimate: nothing is refused by it.
"""

from __future__ import annotations

import math
from typing import Any, Final

from . import json_values

NOTE: Final = "tokens estimated from the letters of the request, not counted by the provider"
"""For whoever reads how an answer came about."""

_LETTERS: Final = 4
_OTHER_LETTERS: Final = 1.5
_PICTURE: Final = 1600
_PAGE: Final = 1500
_PAGE_LENGTH: Final = 50_000
_COUNTED: Final = ("system", "messages", "tools")
_MESSAGE: Final = 4
"""Tokens around each message."""


def estimate(body: bytes) -> int:
    """The tokens of a request of either dialect; of a body that cannot be read, those of its length. At least 1."""
    try:
        document = json_values.decode(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return max(len(body) // _LETTERS, 1)
    return max(math.ceil(sum(_tokens(document[name]) for name in _COUNTED if name in document)), 1)


def answer(body: bytes) -> bytes:
    """The answer of Anthropic's count_tokens to a request."""
    return json_values.encode({"input_tokens": estimate(body)})


def _tokens(value: Any) -> float:
    total = 0.0
    left = [value]
    while left:
        value = left.pop()
        if isinstance(value, str):
            total += _of_text(value)
        elif isinstance(value, list):
            left += value
        elif isinstance(value, dict):
            kind = value.get("type")
            if kind in ("image", "image_url"):
                total += _PICTURE
            elif kind in ("document", "file") and (pages := _pages(value)):
                total += pages * _PAGE
            else:
                total += _MESSAGE if "role" in value else sum(len(name) for name in value) / _LETTERS
                left += value.values()
        elif value is not None:
            total += 1
    return total


def _of_text(text: str) -> float:
    if text.isascii():
        return len(text) / _LETTERS
    others = len(text) - len(text.encode("ascii", "ignore"))
    return (len(text) - others) / _LETTERS + others / _OTHER_LETTERS


def _pages(block: dict[str, Any]) -> int:
    """The pages of a document in base64, or behind a link; 0 for one whose text is there to be counted."""
    source = block.get("source") or block.get("file")
    if not isinstance(source, dict) or source.get("type") in ("text", "content"):
        return 0
    data = source.get("data") or source.get("file_data")
    return 1 + len(data) // _PAGE_LENGTH if isinstance(data, str) else 1
