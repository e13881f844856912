"""Query parameters: an unknown one or a wrong value is refused, as a field of a body is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from fastapi import Request

from ...config.keys import nearest
from ...errors import Refusal
from ..states import State

MOST: Final = 100
_DEFAULT_LIMIT: Final = 20
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
_FLAGS: Final = {"true": True, "1": True, "false": False, "0": False}


def is_id(text: str) -> bool:
    """Whether a text may be the id of a job; others are asked of no database, of which some refuse them."""
    return _ID.fullmatch(text) is not None


class Query:
    """The parameters of a request. Raises Refusal (400) for one that is not in `known`, or stands there twice."""

    def __init__(self, request: Request, *known: str) -> None:
        self._values: dict[str, str] = {}
        for name, value in request.query_params.multi_items():
            if name not in known:
                raise _wrong(name, f"{name[:40]!r} is no parameter here{nearest(name[:40], known)}")
            if name in self._values:
                raise _wrong(name, f"{name} stands more than once in the query.")
            self._values[name] = value

    def flag(self, name: str) -> bool:
        """true or false; false where it is missing."""
        value = self._values.get(name)
        if value is not None and value not in _FLAGS:
            raise _wrong(name, f"{name} is neither true nor false.")
        return value is not None and _FLAGS[value]

    def limit(self) -> int:
        """How many a page holds."""
        value = self._values.get("limit", str(_DEFAULT_LIMIT))
        if not (value.isascii() and value.isdigit() and len(value) <= 3 and 1 <= int(value) <= MOST):
            raise _wrong("limit", f"limit is not a number from 1 to {MOST}.")
        return int(value)

    def is_ascending(self) -> bool:
        """Whether `order` is asc; it is desc where it is missing."""
        value = self._values.get("order", "desc")
        if value not in ("asc", "desc"):
            raise _wrong("order", "order is neither asc nor desc.")
        return value == "asc"

    def after(self) -> str:
        """The id in `after`, or ""."""
        value = self._values.get("after", "")
        if value and not is_id(value):
            raise _wrong("after", "after is no id of a job.")
        return value

    def states(self) -> Sequence[State]:
        """The states in `status`, with commas between them; none for all."""
        words = [word for word in self._values.get("status", "").split(",") if word]
        for word in words:
            if word not in list(State):
                raise _wrong("status", f"status {word[:40]!r} is none of {', '.join(State)}.")
        return [State(word) for word in words]

    def word(self, name: str, known: Sequence[str], default: str) -> str:
        """One of some words."""
        value = self._values.get(name, default)
        if value not in known:
            raise _wrong(name, f"{name} {value[:40]!r} is none of {', '.join(known)}.")
        return value

    def text(self, name: str) -> str | None:
        """A text; None where it is missing."""
        return self._values.get(name)


def _wrong(name: str, message: str) -> Refusal:
    return Refusal(400, message, code="invalid_value", param=name[:40])
