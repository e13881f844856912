"""The `simulator:` block of config.yaml. What a setting does is the business of the file that reads it."""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..auth.secret import Secret
from ..config import file as config
from ..config.file import HostPattern
from ..wire.targets import Origin
from . import faults

ACCESS_KEY: Final = "simulated-access-key"
SECRET_KEY: Final = "simulated-secret-key-0123456789ab"  # noqa: S105 - opens nothing but the simulator
API_KEY: Final = "api-key-kling-simulated"


@dataclass(frozen=True, slots=True)
class Settings:
    """How the simulator behaves, checked. Field names are the file's keys in snake_case.

    `speed` is how much faster than Kling a task is, infinite for an instant; `clock_skew` and `link_lifetime` are in
    seconds; `units` and `image_units` are what the two packs hold, `concurrency` is how many tasks of a model may run.
    """

    speed: float = 20.0
    concurrency: int = 5
    units: float = 1000.0
    image_units: float = 10_000.0
    max_tasks: int = 1000
    clock_skew: float = 0.0
    link_lifetime: float = 30 * 86400.0
    serve_retired: bool = False
    fault: str = ""
    access_key: str = ACCESS_KEY
    secret_key: Secret = Secret(SECRET_KEY)  # noqa: RUF009 - has no way to change
    api_key: Secret = Secret(API_KEY)  # noqa: RUF009
    webhook_secret: Secret = Secret("")  # noqa: RUF009
    callback_hosts: tuple[HostPattern, ...] = ()
    public_url: Origin | None = None


def load(path: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """The `simulator:` block of a configuration file. Raises config.ConfigurationError."""
    found = config.read_section(path, environment, "simulator", CONVERTERS)
    return Settings(**{config.snake_case(key): value for key, value in found.items()})


def _number(at_least: float, at_most: float = math.inf) -> Callable[[Any], float]:
    def convert(value: Any) -> float:
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not at_least <= number <= at_most or math.isinf(number):
            most = f" to {at_most:g}" if at_most != math.inf else " on"
            raise ValueError(f"expected a number from {at_least:g}{most}")
        return number

    return convert


def _whole(at_least: int, at_most: int) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        text = config.to_text(value)
        if not (text.isascii() and text.isdigit() and len(text) < 10 and at_least <= int(text) <= at_most):
            raise ValueError(f"expected a whole number from {at_least} to {at_most}")
        return int(text)

    return convert


def _speed(value: Any) -> float:
    word = value.strip() if isinstance(value, str) else value
    if word == "instant":
        return math.inf
    if word == "real":
        return 1.0
    try:
        return _number(0.01, 1e6)(word)
    except ValueError:
        raise ValueError("expected instant, real, or how many times faster (0.01 to 1000000)") from None


def _flag(value: Any) -> bool:
    words = {"true": True, "false": False}
    text = str(value).strip().lower()
    if text not in words:
        raise ValueError("expected true or false")
    return words[text]


def _fault(value: Any) -> str:
    text = config.to_text(value)
    if text:
        faults.parse(text)
    return text


def _secret(value: Any) -> Secret | None:
    text = config.to_credential(value)
    return Secret(text) if text else None


def _webhook_secret(value: Any) -> Secret:
    text = config.to_credential(value)
    try:
        good = not text or (text.startswith("whsec_") and base64.b64decode(text.removeprefix("whsec_"), validate=True))
    except ValueError:
        good = False
    if not good:
        raise ValueError("expected whsec_ and base64 behind it")
    return Secret(text)


CONVERTERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "speed": _speed,
    "concurrency": _whole(1, 10_000),
    "units": _number(0, 1e9),
    "imageUnits": _number(0, 1e9),
    "maxTasks": _whole(1, 100_000),
    "clockSkew": _number(-86400, 86400),
    "linkLifetime": _number(0, 1e9),
    "serveRetired": _flag,
    "fault": _fault,
    # An empty one is the default: with none, nobody could ask.
    "accessKey": lambda value: config.to_credential(value) or None,
    "secretKey": _secret,
    "apiKey": _secret,
    "webhookSecret": _webhook_secret,
    "callbackHosts": config.to_host_patterns,
    "publicUrl": config.to_origin,
}
