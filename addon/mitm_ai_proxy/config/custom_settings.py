"""customSettings: members of a request's body that the configuration sets. The rules are Higress ai-proxy's.

A setting that could have no effect is a mistake here, where the plugin drops it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, TypeVar

from . import values
from .keys import Problem
from .values import WrongParts

AUTO: Final = "auto"
RAW: Final = "raw"
NAMES: Final = {
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "",
    "seed": "seed",
}
"""Names of mode `auto`, and what they are in OpenAI's API; "" for what it lacks."""
_KEYS: Final = ("name", "value", "mode", "overwrite")
_DOT: Final = re.compile(r"(?<!\\)\.")
_LONGEST: Final = 60
_T = TypeVar("_T")


class Setting(NamedTuple):
    """A member that is set: the name in the file, its path in a body, the JSON text of its value."""

    name: str
    path: tuple[str, ...]
    value: bytes
    mode: str = AUTO
    overwrite: bool = True


def settings(value: Any) -> tuple[Setting, ...]:
    """A list of settings, or one; none for `false` and the like."""
    if not value:
        return ()
    found, reasons = [], []
    for index, item in enumerate(value if isinstance(value, list) else [value]):
        try:
            found.append(_setting(item))
        except WrongParts as wrong:
            reasons += [(f"[{index}]{where}", message) for where, message in wrong.reasons]
    if reasons:
        raise WrongParts(*reasons)
    return tuple(found)


def problems(found: tuple[Setting, ...]) -> Iterator[Problem]:
    """Settings that OpenAI's API has no member for."""
    for index, setting in enumerate(found):
        if setting.mode == AUTO and not NAMES[setting.name]:
            message = f"OpenAI's API has no {setting.name}; mode: raw sends it all the same"
            yield Problem(f"customSettings[{index}].name", message)


def _setting(item: Any) -> Setting:
    if not isinstance(item, dict):
        raise WrongParts(("", "expected a mapping with name and value"))
    for key in item:
        if key not in _KEYS:
            raise WrongParts((f".{str(key)[:_LONGEST]}", f"unknown key (known: {', '.join(_KEYS)})"))
    name = _part("name", values.text, item.get("name", ""))
    mode = _part("mode", values.one_of(AUTO, RAW), AUTO if item.get("mode") is None else item["mode"])
    overwrite = _part("overwrite", values.flag, True if item.get("overwrite") is None else item["overwrite"])
    text = _part("value", _json, item)
    if mode == AUTO and name not in NAMES:
        raise WrongParts((".name", f"mode auto has no such name (known: {', '.join(NAMES)}); mode: raw takes any"))
    path = (NAMES[name],) if mode == AUTO else tuple(part.replace("\\.", ".") for part in _DOT.split(name))
    if mode == RAW and not all(path):
        raise WrongParts((".name", "expected names with dots between them"))
    return Setting(name, path, text, mode, overwrite)


def _part(key: str, convert: Callable[[Any], _T], value: Any) -> _T:
    try:
        return convert(value)
    except ValueError as error:
        raise WrongParts((f".{key}", str(error))) from None


def _json(item: dict[Any, Any]) -> bytes:
    if "value" not in item:
        raise ValueError("is missing")
    try:
        return json.dumps(item["value"], allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError):
        raise ValueError("is no value that JSON has") from None
