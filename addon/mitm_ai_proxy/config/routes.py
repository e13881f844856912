"""The keys of a route: conditions on a request, and the providers of a request for which all of them hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from . import values
from .keys import key
from .patterns import Pattern
from .values import WrongParts

Patterns: TypeAlias = tuple[Pattern, ...]
"""Patterns of which one has to match."""

CONDITIONS: Final = ("model", "path", "header", "host")


def patterns(value: Any) -> Patterns:
    """A list of patterns, or one. Raises WrongParts with all wrong ones."""
    items = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
    if not items:
        raise ValueError("holds no pattern")
    found, wrong = [], []
    for index, item in items:
        try:
            found.append(Pattern(values.text(item)))
        except ValueError as error:
            wrong.append(("" if index is None else f"[{index}]", str(error)))
    if wrong:
        raise WrongParts(*wrong)
    return tuple(found)


def _hosts(value: Any) -> Patterns:
    """As patterns(), in lower case: names of hosts are compared without case."""
    return tuple(one if one.text.startswith("~") else Pattern(one.text.lower()) for one in patterns(value))


def _headers(value: Any) -> Mapping[str, Patterns]:
    """A mapping of names of header fields, which become lower case, to patterns."""
    if not isinstance(value, dict) or not value:
        raise ValueError("expected a mapping of header names to patterns")
    found: dict[str, Patterns] = {}
    wrong = []
    for given, item in value.items():
        name = values.text(given).lower()
        try:
            if name in found:
                raise WrongParts(("", "stands here twice"))
            found[name] = patterns(item)
        except WrongParts as error:
            wrong += [(f".{given}{where}", message) for where, message in error.reasons]
        except ValueError as error:
            wrong.append((f".{given}", str(error)))
    if wrong:
        raise WrongParts(*wrong)
    return found


def _providers(value: Any) -> tuple[str, ...]:
    """A list of ids, or one. Raises WrongParts for one that stands there twice."""
    found = values.texts(value)
    wrong = [(f"[{index}]", f"{name} stands here twice") for index, name in enumerate(found) if name in found[:index]]
    if wrong:
        raise WrongParts(*wrong)
    return found


@dataclass(frozen=True, slots=True)
class Route:
    """One route. Of each condition, one of its patterns has to match; a condition without any always holds."""

    model: Patterns = key(patterns, (), help="The model that the client asks for.")
    path: Patterns = key(
        patterns, (), help="The client's path without its query; `basePath` of the provider may stand in front of it."
    )
    header: Mapping[str, Patterns] = key(
        _headers,
        MappingProxyType({}),
        mapping=True,
        help="By name of a header field, patterns for its value; each field has to match.",
    )
    host: Patterns = key(
        _hosts, (), help="The host that the client addresses, in lower case, with or without its port."
    )
    provider: tuple[str, ...] = key(
        _providers, (), help="The `id` of the provider; of several, each is tried after the one before. Required."
    )
