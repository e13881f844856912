"""What the fields of a create may hold, as predicates for tables; require() refuses a body that has anything else."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from .models import PRO, STD

Body = Mapping[str, Any]
Check = Callable[[Any], bool]
"""Whether a value will do."""

_BASE64: Final = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_PICTURE_STARTS: Final = ("iVBORw0KGgo", "/9j/")
"""How a PNG and a JPEG begin in base64."""


class NotPriced(Exception):
    """A body that Kling would refuse, or that has something new."""


def require(is_so: object) -> None:
    """Raise NotPriced for anything false."""
    if not is_so:
        raise NotPriced


def text(most: int, least: int = 0) -> Check:
    """Text of so many characters."""
    return lambda value: isinstance(value, str) and least <= len(value) <= most


def word(*known: str) -> Check:
    """One of these; a number stands for its digits."""
    return lambda value: isinstance(value, str | int) and not isinstance(value, bool) and str(value) in known


def number(least: float, most: float) -> Check:
    """A number in a range."""
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def whole(least: int, most: int) -> Check:
    """A whole number in a range."""
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def flag(value: Any) -> bool:
    """true or false."""
    return isinstance(value, bool)


def link(value: Any) -> bool:
    """An http or https URL."""
    try:
        parts = urlsplit(value if isinstance(value, str) else "")
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def file(value: Any) -> bool:
    """A link, or a file in base64."""
    if not isinstance(value, str) or not value:
        return False
    if value[:8].lower().startswith(("http://", "https://")):
        return link(value)
    return _BASE64.fullmatch(value) is not None


def picture(value: Any) -> bool:
    """A link, or a PNG or JPEG in base64."""
    return file(value) and (link(value) or value.startswith(_PICTURE_STARTS))


def _given(body: Body, name: str) -> bool:
    return body.get(name) not in (None, "")


def fields(known: Mapping[str, Check], needed: str = "") -> Check:
    """An object with these fields. Those in `needed` must be there, of `a|b` exactly one."""
    choices = [names.split("|") for names in needed.split()]

    def check(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and all(sum(_given(value, name) for name in names) == 1 for names in choices)
            and all(value.get(name) is None or is_right(value[name]) for name, is_right in known.items())
        )

    return check


def list_of(least: int, most: int, check: Check) -> Check:
    """A list of so many items."""
    return lambda value: isinstance(value, list) and least <= len(value) <= most and all(map(check, value))


OPTIONS: Final[Mapping[str, Check]] = {
    "callback_url": link,
    "external_task_id": text(512),
    "watermark_info": fields({"enabled": flag}),
}
"""Fields that all creates have."""
RATIO: Final = word("16:9", "9:16", "1:1")
MODE: Final = word(STD, PRO)
ELEMENT: Final = fields({"element_id": whole(0, 2**63)}, "element_id")
