"""The `cassette:` block of config.yaml. What a setting does is the business of the file that reads it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..config import file as config
from ..wire.targets import Origin


@dataclass(frozen=True, slots=True)
class Settings:
    """How cassettes are matched and played, checked. Field names are the file's keys in snake_case.

    `ignore` are names that do not count beside match.VOLATILE, `compare` names that count although they are there, and
    `headers` those of header fields that have to be equal. `pace` multiplies the recorded time; None does not wait.
    """

    ignore: tuple[str, ...] = ()
    compare: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    pace: float | None = None
    public_url: Origin | None = None


def load(path: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """The `cassette:` block of a configuration file. Raises config.ConfigurationError."""
    found = config.read_section(path, environment, "cassette", CONVERTERS)
    return Settings(**{config.snake_case(key): value for key, value in found.items()})


def _pace(value: Any) -> float | None:
    word = value.strip() if isinstance(value, str) else value
    if word in ("instant", "real"):
        return 1.0 if word == "real" else None
    try:
        number = math.nan if isinstance(word, bool) else float(word)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0 < number <= 1000:
        raise ValueError("expected instant, real, or a factor of the recorded time (above 0, up to 1000)")
    return number


CONVERTERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "ignore": config.to_texts,
    "compare": config.to_texts,
    "headers": config.to_texts,
    "pace": _pace,
    "publicUrl": config.to_origin,
}
