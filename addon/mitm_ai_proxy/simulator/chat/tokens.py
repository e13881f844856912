"""How the simulated model counts: a token is up to eight characters of a word, with the white space before them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from . import values

PER_MESSAGE: Final = 3
"""Tokens that each message costs besides its text."""
PER_FILE: Final = 100
"""Tokens of a picture, a sound or a document."""
_TOKEN: Final = re.compile(r"\s*\S{1,8}|\s+")


def split(text: str) -> list[str]:
    """The tokens of a text; joined they are the text."""
    return _TOKEN.findall(text)


def count(text: str) -> int:
    """How many tokens a text has."""
    return sum(1 for _ in _TOKEN.finditer(text))


def of_value(value: Any) -> int:
    """The tokens of a JSON value, by its text; of None, none."""
    return 0 if value is None else count(value if isinstance(value, str) else values.text_of(value))


def of_conversation(texts: Sequence[str], messages: int, files: int, tools: Any) -> int:
    """The tokens of a request: all its texts, its messages, its files, and its tools as they are declared."""
    return sum(map(count, texts)) + PER_MESSAGE * messages + PER_FILE * files + of_value(tools or None)
