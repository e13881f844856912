"""The keys and scalars of a JSON text with their positions, for edits of nested values that keep every other byte.

For the members of one object see json_edit.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

import msgspec

Path: TypeAlias = "tuple[str | int, ...]"
"""Keys and indexes that lead to a value."""

MAX_DEPTH: Final = 500
"""Levels of nesting; a deeper text counts as invalid."""

_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\]:,]|[^\s{}\[\]:,"]++', re.DOTALL)
_NUMBER = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]{1,15}))?")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_MAX_ZEROS: Final = 20
"""Zeros in the spelling of a number; beyond, it has an exponent."""

_valid = msgspec.json.Decoder(msgspec.Raw).decode


class Part(NamedTuple):
    """A key, a scalar or an empty container: the path to it, its own key or index included, and its position."""

    path: Path
    start: int
    end: int
    is_key: bool


def is_container(text: str) -> bool:
    """Whether the text is exactly one JSON object or array, nested at most MAX_DEPTH deep."""
    if not text.lstrip(" \t\r\n").startswith(("{", "[")):
        return False
    return is_valid(text)


def is_valid(text: str) -> bool:
    """Whether the text is exactly one JSON value, nested at most MAX_DEPTH deep."""
    try:
        _valid(text)
    except (RecursionError, UnicodeEncodeError):
        return False
    except msgspec.DecodeError:
        # A lone surrogate is legal (RFC 8259, section 8.2); msgspec refuses it.
        if not (_SURROGATE.search(text) and _valid_for_json(text)):
            return False
    return _depth(text) <= MAX_DEPTH


def parts(text: str) -> Iterator[Part]:
    """The keys, scalars and empty containers of a text for which is_valid() is true, in order."""
    # The last item is the key or index of the next value; None if the next token is a key.
    path: list[str | int | None] = []
    opened = -1
    for token in _TOKEN.finditer(text):
        first = text[token.start()]
        if first in "{[":
            opened = token.start()
            path.append(None if first == "{" else 0)
        elif first in "}]":
            path.pop()
            if opened >= 0:
                yield Part(_path(path), opened, token.end(), False)
            opened = -1
        elif first == ",":
            index = path[-1]
            path[-1] = index + 1 if isinstance(index, int) else None
        elif first != ":":
            opened = -1
            is_key = bool(path) and path[-1] is None
            if is_key:
                path[-1] = string(token[0])
            yield Part(_path(path), token.start(), token.end(), is_key)


def string(token: str) -> str:
    """The value of a JSON string."""
    if "\\" not in token:
        return token[1:-1]
    # Not strict: the text has been validated.
    return str(json.loads(token, strict=False))


def strings(text: str) -> Iterator[str]:
    """All string values of a JSON text, decoded; none if it is not valid."""
    if is_container(text):
        for part in parts(text):
            if not part.is_key and text[part.start] == '"':
                yield string(text[part.start : part.end])


def number(token: str) -> str:
    """A number in a normal form: equal numbers have the same, whatever their number of digits. `1.50e1` gives `15`."""
    found = _NUMBER.fullmatch(token)
    if not found:
        return token
    sign, whole, fraction, power = found[1], found[2], found[3] or "", int(found[4] or 0)
    digits = (whole + fraction).lstrip("0")
    short = digits.rstrip("0")
    if not short:
        return "0"
    power += len(digits) - len(short) - len(fraction)
    if 0 <= power <= _MAX_ZEROS:
        return f"{sign}{short}{'0' * power}"
    if -_MAX_ZEROS <= power < 0:
        filled = short.rjust(1 - power, "0")
        return f"{sign}{filled[:power]}.{filled[power:]}"
    return f"{sign}{short}e{power}"


def shown(path: Path) -> str:
    """A path as text: `contents[0].url`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _path(path: list[str | int | None]) -> Path:
    return tuple(step for step in path if step is not None)


def _depth(text: str) -> int:
    depth = deepest = 0
    for token in _TOKEN.finditer(text):
        first = text[token.start()]
        if first in "{[":
            depth += 1
            deepest = max(deepest, depth)
        elif first in "}]":
            depth -= 1
    return deepest


def _valid_for_json(text: str) -> bool:
    def refuse(word: str) -> None:
        raise ValueError(word)

    try:
        json.loads(text, parse_constant=refuse, parse_int=len, parse_float=len)
    except (ValueError, RecursionError):
        return False
    return True
