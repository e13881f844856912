"""What a test can say of its cassette and its simulator, in the plugin's marks or to the context manager.

Imports nothing large, since every run of pytest loads it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Final

MODES: Final = ("none", "once", "new_episodes", "all", "rewrite")
"""The record modes; see cassette.Mode."""
VARIATIONS: Final = ("failed", "error", "content_gone", "slow")
"""Arguments of ai_cassette that exclude each other: one in a closer mark replaces any in the others."""
DEFAULT_CONFIG: Final[dict[str, Any]] = {
    "provider": {
        "type": "kling",
        "klingAccessKey": "${KLING_ACCESS_KEY:-}",
        "klingSecretKey": "${KLING_SECRET_KEY:-}",
        "apiTokens": ["${KLING_API_KEY:-}"],
    }
}
"""The configuration where a test says nothing of it."""

_TYPES: Final[Mapping[str, tuple[tuple[type, ...], str]]] = {
    "name": ((str,), "a text"),
    "mode": ((str,), "a text"),
    "pace": ((str, int, float), "'instant', 'real' or a number"),
    "failed": ((str,), "a message"),
    "error": ((int,), "one of Kling's codes"),
    "content_gone": ((bool,), "True or False"),
    "slow": ((int,), "a number of polls"),
    "allow_unused": ((bool,), "True or False"),
}
"""The arguments of ai_cassette: their types, and words for these in messages. None means not given."""


def by_name(positional: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of ai_cassette by name; the one positional argument is `name`."""
    return {**dict(zip(("name",), positional, strict=False)), **named}


def cassette_complaint(positional: Sequence[Any], named: Mapping[str, Any]) -> str:
    """What is wrong with the arguments of ai_cassette; "" if nothing."""
    given = by_name(positional, named)
    if len(positional) > 1 or (positional and "name" in named):
        return "takes one name"
    for name, value in given.items():
        if name not in _TYPES:
            return _unknown(name, _TYPES)
        types, words = _TYPES[name]
        if value is not None and (not isinstance(value, types) or (isinstance(value, bool) and bool not in types)):
            return f"takes {words} as {name}"
    if given.get("name") == "":
        return "takes a name that is not empty"
    if given.get("mode") not in (None, *MODES):
        return f"takes one of {', '.join(MODES)} as mode"
    varied = [name for name in VARIATIONS if given.get(name) is not None and given[name] is not False]
    return f"takes one of {' and '.join(varied)}" if len(varied) > 1 else ""


def simulate_complaint(positional: Sequence[Any], named: Mapping[str, Any]) -> str:
    """What is wrong with the arguments of ai_simulate; "" if nothing."""
    if positional:
        return "takes arguments by name only"
    if not named:
        return ""
    from ..config.keys import declared
    from ..simulator.settings import SimulatorSettings

    keys = declared(SimulatorSettings)
    return next((_unknown(name, keys) for name in named if name not in keys), "")


def _unknown(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"has no argument {name}; " + (f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}")
