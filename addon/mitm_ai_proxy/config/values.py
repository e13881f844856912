"""Converters: from a value as YAML gives it to a checked one. Each raises ValueError with a sentence for a person.

A sentence never quotes a value that could be a secret. None as a result means: as if the key were not there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from ..auth.secret import Secret
from ..wire.targets import Origin, split_host_port
from .model_mapping import ModelMapping

_T = TypeVar("_T")

_MOST_DIGITS = 9


class WrongParts(ValueError):
    """Parts of a value are wrong: for each, what continues the key's path (`[2]`, `.name`), and a sentence."""

    def __init__(self, *reasons: tuple[str, str]) -> None:
        super().__init__("; ".join(message for _, message in reasons))
        self.reasons = reasons


class UnknownWord(ValueError):
    """A word that is none of those known."""

    def __init__(self, word: str, known: Iterable[str]) -> None:
        self.word = word
        self.known = tuple(known)
        super().__init__(f"unknown value (known: {', '.join(self.known)})")


@dataclass(frozen=True, slots=True)
class HostPattern:
    """A host in a list of hosts, with a port when only that port is meant."""

    host: str
    port: int | None = None

    def matches(self, host: str, port: int) -> bool:
        """Whether a request to this host and port is meant."""
        return host.lower() == self.host and self.port in (None, port)


# Text


def text(value: Any) -> str:
    """Text without blanks around it, also where YAML took it for a number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("expected text")
    return str(value).strip()


def texts(value: Any) -> tuple[str, ...]:
    """A list of texts, or one text; without the empty ones."""
    return tuple(item for item in _each(_items(value), text) if item)


def text_mapping(value: Any) -> dict[str, str]:
    """A mapping of names to texts, in the file's order."""
    if not isinstance(value, dict):
        raise ValueError("expected a mapping of names to texts")

    def pair(item: tuple[Any, Any]) -> tuple[str, str]:
        # A null is what `name:` without a value means in YAML, and "" is what was meant.
        return text(item[0]), "" if item[1] is None else text(item[1])

    return dict(_each([(f".{item[0]}", item) for item in value.items()], pair))


def model_mapping(value: Any) -> ModelMapping:
    """A mapping from models to models."""
    return ModelMapping(text_mapping(value))


def one_of(*words: str) -> Callable[[Any], str]:
    """One of these words."""

    def convert(value: Any) -> str:
        word = text(value)
        if word not in words:
            raise UnknownWord(word, words)
        return word

    return convert


def flag(value: Any) -> bool:
    """True or false, also in quotes."""
    words = {"true": True, "false": False}
    word = str(value).strip().lower()
    if word not in words:
        raise ValueError("expected true or false")
    return words[word]


# Credentials


def credential(value: Any) -> str:
    """Text that may stand in a header: visible ASCII. Blanks around it are cut off, line breaks are not."""
    if not isinstance(value, str):
        raise ValueError("expected text (in quotes, if it is made of digits)")
    found = value.strip(" \t")
    if "\n" in found or "\r" in found:
        raise ValueError("holds a line break")
    if not all("!" <= character <= "~" for character in found):
        raise ValueError("holds a blank, a control character or a character outside ASCII")
    return found


def trimmed_credential(value: Any) -> str:
    """As `credential`, but line breaks around it are cut off as well."""
    return credential(value.strip() if isinstance(value, str) else value)


def secret(value: Any) -> Secret | None:
    """A credential that does not show itself; None for an empty text."""
    found = credential(value)
    return Secret(found) if found else None


def secrets(value: Any) -> tuple[Secret, ...]:
    """A list of credentials, or one; without the empty ones."""
    return tuple(Secret(found) for found in _each(_items(value), credential) if found)


# Numbers


def number(at_least: float, at_most: float = math.inf) -> Callable[[Any], float]:
    """A finite number in this range, both ends included."""

    def convert(value: Any) -> float:
        try:
            found = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            found = math.nan
        if not at_least <= found <= at_most or math.isinf(found):
            most = f" to {at_most:g}" if at_most != math.inf else " on"
            raise ValueError(f"expected a number from {at_least:g}{most}")
        return found

    return convert


def number_or_word(
    numbers: Callable[[Any], float], words: Mapping[str, _T], expected: str
) -> Callable[[Any], float | _T]:
    """A number, or one of a few words that stand for a value; `expected` is the sentence about anything else."""

    def convert(value: Any) -> float | _T:
        word = value.strip() if isinstance(value, str) else value
        if isinstance(word, str) and word in words:
            return words[word]
        try:
            return numbers(word)
        except ValueError:
            raise ValueError(f"expected {expected}") from None

    return convert


def whole(at_least: int, at_most: int, unit: str = "") -> Callable[[Any], int]:
    """A whole number in this range, both ends included. `unit` is named in the complaint: "seconds"."""
    of_unit = f" of {unit}" if unit else ""

    def convert(value: Any) -> int:
        digits = text(value)
        is_number = digits.isascii() and digits.isdigit() and len(digits.lstrip("0")) <= _MOST_DIGITS
        if not (is_number and at_least <= int(digits) <= at_most):
            raise ValueError(f"expected a whole number{of_unit} from {at_least} to {at_most}")
        return int(digits)

    return convert


def seconds(at_most: int) -> Callable[[Any], int]:
    """A whole number of seconds from 0 on."""
    return whole(0, at_most, "seconds")


# Hosts and paths


def path(value: Any) -> str:
    """A path prefix: with a slash in front, none at its end, no query."""
    found = text(value)
    if not _is_path(found) or any(segment in (".", "..") for segment in found.split("/")):
        raise ValueError("expected a path without a query")
    found = found.rstrip("/")
    return found if not found or found.startswith("/") else f"/{found}"


def paths(value: Any) -> dict[str, str]:
    """A mapping of names to paths, each of which may have a query."""

    def check(target: str) -> None:
        if not target.startswith("/") or not _is_path(target.replace("?", "", 1)):
            raise ValueError("expected a path that begins with a slash")

    found = text_mapping(value)
    _each([(f".{name}", target) for name, target in found.items()], check)
    return found


def origin(value: Any) -> Origin | None:
    """`host`, `host:port` or an origin with its scheme; None for an empty text."""
    found = text(value)
    return Origin.parse(found) if found else None


def hosts(value: Any) -> tuple[HostPattern, ...]:
    """A list of hosts, or one; each with or without a port."""

    def pattern(item: Any) -> HostPattern:
        try:
            return HostPattern(*split_host_port(text(item)))
        except ValueError as error:
            raise ValueError(f"{error}: expected host or host:port") from None

    return tuple(_each(_items(value), pattern))


def _is_path(found: str) -> bool:
    return found.isascii() and found.isprintable() and not any(character in found for character in " ?#")


def _items(value: Any) -> list[tuple[str, Any]]:
    return [(f"[{index}]", item) for index, item in enumerate(value if isinstance(value, list) else [value])]


def _each(items: Iterable[tuple[str, Any]], convert: Callable[[Any], _T]) -> list[_T]:
    """All items converted, each with what names it in the key's path; all wrong ones are named."""
    converted, reasons = [], []
    for where, item in items:
        try:
            converted.append(convert(item))
        except ValueError as error:
            reasons.append((where, str(error)))
    if reasons:
        raise WrongParts(*reasons)
    return converted
