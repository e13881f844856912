"""Converters of YAML values to checked ones. Each raises ValueError, whose message quotes no secret.

A result of None counts as a missing key.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from ..auth.secret import Secret
from ..wire.targets import DEFAULT_PORTS, Origin, Url, split_host_port
from .model_mapping import ModelMapping

_T = TypeVar("_T")
_Word = TypeVar("_Word", bound=str)

_ENDPOINTS = ("/chat/completions", "/completions", "/embeddings", "/responses", "/messages", "/models")
"""Ends of URLs that people take for a base URL."""

SHORTEST_TOKEN = 16
"""Characters of a client's token: a shorter one can be guessed."""
_MOST_DIGITS = 9
# Such as those of Tauri's programs and of extensions.
_OTHER_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[A-Za-z0-9_.-]+(:[0-9]+)?")


class WrongParts(ValueError):
    """Parts of a value are wrong: for each, the rest of its path (`[2]`, `.name`), and a sentence."""

    def __init__(self, *reasons: tuple[str, str]) -> None:
        super().__init__("; ".join(message for _, message in reasons))
        self.reasons = reasons


class UnknownWord(ValueError):
    """A value that is none of the known words."""

    def __init__(self, word: str, known: Iterable[str]) -> None:
        self.word = word
        self.known = tuple(known)
        super().__init__(f"unknown value (known: {', '.join(self.known)})")


@dataclass(frozen=True, slots=True)
class HostPattern:
    """A host in a list of hosts; `port` None matches every port."""

    host: str
    port: int | None = None

    def matches(self, host: str, port: int) -> bool:
        """Whether a host and port match."""
        return host.lower() == self.host and self.port in (None, port)


# Text


def text(value: Any) -> str:
    """Text, stripped; YAML may have read it as a number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("expected text")
    return str(value).strip()


def texts(value: Any) -> tuple[str, ...]:
    """A list of texts, or one text; without empty ones."""
    return tuple(item for item in _each(_items(value), text) if item)


def text_mapping(value: Any) -> dict[str, str]:
    """A mapping of names to texts, in the file's order."""
    if not isinstance(value, dict):
        raise ValueError("expected a mapping of names to texts")

    def pair(item: tuple[Any, Any]) -> tuple[str, str]:
        # `name:` without a value is null in YAML, and stands for "".
        return text(item[0]), "" if item[1] is None else text(item[1])

    return dict(_each([(f".{item[0]}", item) for item in value.items()], pair))


def model_mapping(value: Any) -> ModelMapping:
    """A mapping from models to models."""
    return ModelMapping(text_mapping(value))


def json_object(value: Any) -> bytes | None:
    """A mapping as a JSON object; None for an empty one."""
    if not isinstance(value, dict):
        raise ValueError("expected a mapping")
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode() if value else None
    except (TypeError, ValueError, RecursionError):
        raise ValueError("holds a value that JSON does not have") from None


def one_of(*words: _Word) -> Callable[[Any], _Word]:
    """One of these words."""
    known = {str(word): word for word in words}

    def convert(value: Any) -> _Word:
        word = text(value)
        if word not in known:
            raise UnknownWord(word, words)
        return known[word]

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
    """Text for a header field: visible ASCII. Spaces and tabs around it are removed; a line break is an error."""
    if not isinstance(value, str):
        raise ValueError("expected text (in quotes, if it is made of digits)")
    found = value.strip(" \t")
    if "\n" in found or "\r" in found:
        raise ValueError("holds a line break")
    if not all("!" <= character <= "~" for character in found):
        raise ValueError("holds a blank, a control character or a character outside ASCII")
    return found


def trimmed_credential(value: Any) -> str:
    """As `credential`, but line breaks around it are removed too."""
    return credential(value.strip() if isinstance(value, str) else value)


def secret(value: Any) -> Secret | None:
    """A credential as a Secret; None for an empty text."""
    found = credential(value)
    return Secret(found) if found else None


def secrets(value: Any) -> tuple[Secret, ...]:
    """A list of credentials, or one; without empty ones."""
    return tuple(Secret(found) for found in _each(_items(value), credential) if found)


def named_secrets(value: Any) -> Mapping[str, tuple[Secret, ...]]:
    """Credentials by the names of their owners, one or a list for each. Raises WrongParts."""
    if not isinstance(value, dict):
        raise ValueError("expected a mapping of names to tokens")
    found: dict[str, tuple[Secret, ...]] = {}
    wrong: list[tuple[str, str]] = []
    seen: set[str] = set()
    for name, own in value.items():
        try:
            found[str(name)] = secrets(own)
        except ValueError as error:
            wrong.append((f".{name}", str(error)))
            continue
        texts = [secret.reveal() for secret in found[str(name)]]
        if not texts or min(map(len, texts)) < SHORTEST_TOKEN:
            wrong.append((f".{name}", f"has no token, or one of less than {SHORTEST_TOKEN} characters"))
        elif seen.intersection(texts):
            wrong.append((f".{name}", "has a token that another client has too"))
        seen.update(texts)
    if wrong:
        raise WrongParts(*wrong)
    return found


def webhook_secret(value: Any) -> Secret | None:
    """A secret that webhooks are signed with, as Standard Webhooks writes it; None for an empty text."""
    found = credential(value)
    try:
        is_right = found.startswith("whsec_") and base64.b64decode(found.removeprefix("whsec_"), validate=True)
    except ValueError:
        is_right = False
    if found and not is_right:
        raise ValueError("expected whsec_ and base64 behind it")
    return Secret(found) if found else None


def webhook_secrets(value: Any) -> tuple[Secret, ...]:
    """A list of such secrets, or one; without empty ones."""
    return tuple(found for found in _each(_items(value), webhook_secret) if found)


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


def numbers(each: Callable[[Any], float]) -> Callable[[Any], tuple[float, ...]]:
    """A list of at least one such number, or one."""

    def convert(value: Any) -> tuple[float, ...]:
        found = tuple(_each(_items(value), each))
        if not found:
            raise ValueError("expected at least one number")
        return found

    return convert


def number_or_word(
    numbers: Callable[[Any], float], words: Mapping[str, _T], expected: str
) -> Callable[[Any], float | _T]:
    """A number, or a word that stands for a value. `expected` completes the message: "expected instant or a number"."""

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
    """A whole number in this range, both ends included. `unit` is named in the error message: "seconds"."""
    of_unit = f" of {unit}" if unit else ""

    def convert(value: Any) -> int:
        digits = text(value)
        is_number = digits.isascii() and digits.isdigit() and len(digits.lstrip("0")) <= _MOST_DIGITS
        if not (is_number and at_least <= int(digits) <= at_most):
            raise ValueError(f"expected a whole number{of_unit} from {at_least} to {at_most}")
        return int(digits)

    return convert


def seconds(at_most: int) -> Callable[[Any], int]:
    """A whole number of seconds, from 0 to `at_most`."""
    return whole(0, at_most, "seconds")


# Hosts and paths


def path(value: Any) -> str:
    """A path prefix, with a slash at its start and none at its end: `api/` gives `/api`."""
    found = text(value)
    if not _is_path(found) or any(segment in (".", "..") for segment in found.split("/")):
        raise ValueError("expected a path without a query")
    found = found.rstrip("/")
    return found if not found or found.startswith("/") else f"/{found}"


def paths(value: Any) -> dict[str, str]:
    """A mapping of names to paths, which may have a query."""

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


def url(value: Any) -> Url | None:
    """A URL, with or without its scheme; None for an empty text."""
    found = text(value)
    return Url.parse(found) if found else None


def base_url(value: Any) -> Url | None:
    """What an SDK calls `base_url`: a URL without a query, and not that of one API; None for an empty text."""
    found = url(value)
    if found is None:
        return None
    if found.query:
        raise ValueError("has a query: the base URL ends before it")
    for end in _ENDPOINTS:
        if found.path.endswith(end):
            raise ValueError(f"names one API: the base URL ends before {end}")
    return found


def hosts(value: Any) -> tuple[HostPattern, ...]:
    """A list of hosts, or one; each with or without a port."""

    def pattern(item: Any) -> HostPattern:
        try:
            return HostPattern(*split_host_port(text(item)))
        except ValueError as error:
            raise ValueError(f"{error}: expected host or host:port") from None

    return tuple(_each(_items(value), pattern))


def page_origins(value: Any) -> tuple[str, ...]:
    """A list of the origins of web pages, or one, each as browsers write it; also of schemes of other programs.

    `https://app.example:443` gives `https://app.example`; `tauri://localhost` stays.
    """

    def page_origin(item: Any) -> str:
        found = text(item)
        if "*" in found or found.lower() == "null":
            raise ValueError("stands for any page: name each origin (https://app.example)")
        scheme, separator, host = found.partition("://")
        if not separator:
            raise ValueError("has no scheme: expected an origin (https://app.example)")
        if scheme.lower() in DEFAULT_PORTS and not re.search("[/?#]", host.removesuffix("/")):
            return str(Origin.parse(found))
        if not _OTHER_ORIGIN.fullmatch(found):
            raise ValueError("expected an origin (https://app.example)")
        return found.lower()

    return tuple(_each(_items(value), page_origin))


def _is_path(found: str) -> bool:
    return found.isascii() and found.isprintable() and not any(character in found for character in " ?#")


def _items(value: Any) -> list[tuple[str, Any]]:
    return [(f"[{index}]", item) for index, item in enumerate(value if isinstance(value, list) else [value])]


def _each(items: Iterable[tuple[str, Any]], convert: Callable[[Any], _T]) -> list[_T]:
    """The converted items of (path, item). Raises WrongParts with all wrong ones."""
    converted, reasons = [], []
    for where, item in items:
        try:
            converted.append(convert(item))
        except ValueError as error:
            reasons.append((where, str(error)))
    if reasons:
        raise WrongParts(*reasons)
    return converted
