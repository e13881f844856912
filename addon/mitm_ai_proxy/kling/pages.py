"""OpenAI's list of videos, made of Kling's lists: a cursor names the list and the page that come next.

Kling's legacy API has a list for each family of tasks and does not mark its end: a page that is not full is the last.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from ..errors import Refusal

DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 100
MAX_PAGE: Final = 1000
"""Kling's last page number."""

ALL_TASKS: Final = "tasks"
"""The one list of v2, which has Kling's own cursors (see api_versions.py)."""

_CURSOR = re.compile(r"page-([a-z0-9]+)-([A-Za-z0-9_]{1,4000})")


class Page(NamedTuple):
    """A page of a list: the name of the list, the number of the page or Kling's cursor, and its size."""

    family: str
    place: str
    limit: int

    @property
    def cursor(self) -> str:
        """What a client sends as `after` to get this page."""
        return f"page-{self.family}-{self.place}"


def page(query: str, families: Sequence[str]) -> Page:
    """The page that `limit`, `order` and `after` in a query ask for. Raises Refusal (400) for invalid values."""
    values = dict(parse_qsl(query, keep_blank_values=True))
    limit = values.get("limit", str(DEFAULT_LIMIT))
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 3 and 1 <= int(limit) <= MAX_LIMIT):
        raise _bad("limit", f"limit is not a number from 1 to {MAX_LIMIT}.")
    if values.get("order", "desc") != "desc":
        raise _bad("order", "Kling lists the newest videos first; order can only be desc.")
    after = values.get("after", "")
    if not after:
        return Page(families[0], "1", int(limit))
    match = _CURSOR.fullmatch(after)
    if not match or match[1] not in families or not (_is_number(match[2]) or match[1] == ALL_TASKS):
        raise _bad(
            "after", "after is not the last_id of a page of this list; a video's id is no place in Kling's lists."
        )
    return Page(match[1], match[2], int(limit))


def next_page(current: Page, count: int, families: Sequence[str]) -> Page | None:
    """The page after one that held `count` videos; None after the last."""
    if count >= current.limit and current.place.isdigit() and int(current.place) < MAX_PAGE:
        return current._replace(place=str(int(current.place) + 1))
    rest = list(families)[list(families).index(current.family) + 1 :]
    return Page(rest[0], "1", current.limit) if rest else None


def _is_number(place: str) -> bool:
    return re.fullmatch(r"[1-9][0-9]{0,3}", place) is not None and int(place) <= MAX_PAGE


def _bad(param: str, message: str) -> Refusal:
    return Refusal(400, message, code="invalid_value", param=param)
