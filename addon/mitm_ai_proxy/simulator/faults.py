"""Faults on demand: which there are, and how a header, a prompt or the configuration requests one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from .kling_error import CODES

HEADER: Final = "x-simulate"
_IN_PROMPT = re.compile(r"\[simulate: *([^\[\]]{1,200})\]")
_CODES: Final = frozenset(map(str, CODES))
_TIMES = re.compile(r"(.*?)(?:\*([1-9][0-9]{0,2}))?", re.DOTALL)

FAULTS: Final[Mapping[str, str]] = {
    "CODE": "the request is refused with this error code of Kling's, such as 1303 or 5000",
    "accepted=CODE": "a create is carried out and paid for, and answered with this error code",
    "failed": "the task is accepted and fails (failed=MESSAGE: with this message)",
    "picture": "the task fails at once with 'Image pixel is invalid'",
    "slow": "the task takes ten times as long (slow=N: N times)",
    "stuck": "the task is processing for ever",
    "lost": "the request is carried out, and the connection is closed without an answer",
    "truncated": "the request is carried out, and the connection is closed in the middle of the answer",
    "garbage": "the request is carried out, and answered with a page that is no JSON",
    "gone": "the links to the result answer 403",
}
"""The faults by name. With `*N` appended, a fault applies to the first N requests with the same content."""

_PLAIN: Final = frozenset(FAULTS) - {"CODE", "accepted=CODE"}
RISK: Final = "Failure to pass the risk control system"
PIXELS: Final = "Image pixel is invalid"


class Fault(NamedTuple):
    """A fault: its name, the value after `=`, and the number of requests that it applies to (0: all)."""

    name: str
    value: str = ""
    times: int = 0

    @property
    def code(self) -> int:
        """The error code of `CODE` and `accepted=CODE`."""
        return int(self.value)


NONE: Final = Fault("")


def parse(text: str) -> Fault:
    """Parse a fault, such as `slow=3*2`. Raises ValueError, whose message lists the known faults."""
    matched = _TIMES.fullmatch(text.strip())
    body, times = (matched[1].strip(), int(matched[2] or 0)) if matched else ("", 0)
    name, _, value = body.partition("=")
    if name in _CODES and not value:
        return Fault("CODE", name, times)
    if name == "accepted" and value in _CODES:
        return Fault("accepted", value, times)
    if name not in _PLAIN or (value and name not in ("failed", "slow")):
        raise ValueError(f"unknown fault (known: {', '.join(FAULTS)})")
    if name == "slow":
        value = value or "10"
        if not (value.isdecimal() and value.isascii() and len(value) < 7):
            raise ValueError("slow= takes a whole number")
    return Fault(name, value or (RISK if name == "failed" else ""), times)


def asked_for(header: str | None, prompt: Any, configured: str) -> Fault:
    """The fault requested by the header, else by the prompt (`[simulate: ...]`), else by the configuration.

    Raises ValueError as parse() does.
    """
    if header:
        return parse(header)
    found = _IN_PROMPT.search(prompt) if isinstance(prompt, str) else None
    if found:
        return parse(found[1])
    return parse(configured) if configured else NONE
