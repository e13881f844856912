"""Parts of the messages about a test: paths, requests, and lists that stay short."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ..cassette.entry import Request
from ..cassette.links import unsigned

_MOST_SHOWN: Final = 5


def shown(path: Path | None) -> str:
    """A path for a message: relative to the current folder if it is inside."""
    if path is None:
        return "no cassette"
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def line_of(request: Request) -> str:
    return f"{request.method} {unsigned(request.url)}"


def first(texts: Sequence[str]) -> list[str]:
    """The first _MOST_SHOWN texts, and how many more there are."""
    more = len(texts) - _MOST_SHOWN
    return [*texts[:_MOST_SHOWN], *([f"  and {more} more"] if more > 0 else ())]
