"""The `cassette:` block of config.yaml."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..config import values
from ..config.keys import key
from ..wire.targets import Origin


@dataclass(frozen=True, slots=True)
class ScrubSettings:
    """What is left out of cassettes besides what always is."""

    scrub: tuple[str, ...] = key(
        values.texts, (), help="Names of header fields, parameters and members, or `prompts` and `accounts`."
    )


_pace = values.number_or_word(
    # Above 0.
    values.number(math.nextafter(0, 1), 1000),
    {"instant": None, "real": 1.0},
    "instant, real, or a factor of the recorded time (above 0, up to 1000)",
)


@dataclass(frozen=True, slots=True)
class CassetteSettings:
    """How cassettes are matched and replayed. `pace` multiplies the recorded time; None does not wait."""

    ignore: tuple[str, ...] = key(
        values.texts, (), help="Names that do not count when a request is looked for in the cassette."
    )
    compare: tuple[str, ...] = key(values.texts, (), help="Names that count although they usually do not (`seed`).")
    headers: tuple[str, ...] = key(values.texts, (), help="Header fields that have to be equal.")
    pace: float | None = key(_pace, help="`instant` (the default), `real`, or a factor of the recorded time.")
    public_url: Origin | None = key(
        values.origin,
        help="Origin of links to results, where clients do not reach the proxy under the address it has itself.",
    )
