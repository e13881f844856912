"""Placeholders of examples (`YOUR_API_KEY`, `<HOST>`) that were pasted, and not replaced."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

MESSAGE: Final = "is a placeholder of an example: put your own value here"

_PLACEHOLDER: Final = re.compile(
    r"<[A-Za-z][A-Za-z0-9 _-]*>|\bYOUR[_-][A-Z]|\byour-[a-z]|\*{4,}|-x{3,}$|^APIKey:APISecret$"
)


def places(value: Any, where: str = "") -> Iterator[str]:
    """Where in a value of the file there are placeholders: "" for the value itself, `[2]` and `.name` for parts of it.

    What comes from the environment is no part of the file.
    """
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, f"{where}[{index}]")
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from places(item, f"{where}.{name}")
    elif isinstance(value, str) and "${" not in value and _PLACEHOLDER.search(value):
        yield where
