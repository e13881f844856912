"""Faults on demand: which there are, and how a header, a prompt or the configuration requests one."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from .chat.refusals import KINDS
from .kling_error import CODES

HEADER: Final = "x-simulate"
_IN_PROMPT = re.compile(r"\[simulate: *([^\[\]]{1,200})\]")
_CODES: Final = frozenset(map(str, (*CODES, *KINDS)))
_OF_MONEY: Final = frozenset({1101, 1102})
"""Codes of an account without money, for which chats have a status of their own."""
_MAX_COUNTED: Final = 10_000
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

CHAT_FAULTS: Final[Mapping[str, str]] = {
    "CODE": "the chat is refused with this HTTP status, such as 401, 429, 503 or 529, or that of one of Kling's codes",
    "accepted=CODE": "a stream ends with this error after half of it; a whole answer is this error",
    "failed": "the model refuses to answer (failed=MESSAGE: for this reason)",
    "picture": "the chat is refused with 400, as one whose picture cannot be read",
    "slow": "the answer takes ten times as long (slow=N: N times)",
    "stuck": "nothing more comes, after half of a stream; the connection is closed after ten minutes",
    "lost": "the connection is closed without an answer",
    "truncated": "the connection is closed after half of the answer",
    "garbage": "the answer is a page that is no JSON, with status 200",
    "gone": "nothing: chats have no links",
}
"""What the faults do to chats."""

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
        """The error code of `CODE` and `accepted=CODE`, which may be an HTTP status."""
        return int(self.value)

    @property
    def is_of_chats(self) -> bool:
        """Whether it is an error that only chats have: an HTTP status."""
        return self.name in ("CODE", "accepted") and self.code not in CODES

    @property
    def status(self) -> int:
        """The HTTP status of `CODE` and `accepted=CODE` in a chat; 0 for other faults."""
        if self.name not in ("CODE", "accepted"):
            return 0
        if self.code in _OF_MONEY:
            return 402
        return CODES[self.code].status if self.code in CODES else self.code


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


class Repetitions:
    """Counts equal requests, for faults with `*N`. It may be used from several threads."""

    def __init__(self) -> None:
        self._counts: dict[bytes, int] = {}
        self._lock = threading.Lock()

    def applies(self, fault: Fault, content: bytes) -> bool:
        """Whether a fault applies to a request once more; `content` tells the request from others."""
        if not fault.times:
            return True
        key = hashlib.sha256(content).digest()
        with self._lock:
            count = self._counts[key] = self._counts.get(key, 0) + 1
            while len(self._counts) > _MAX_COUNTED:
                del self._counts[next(iter(self._counts))]
        return count <= fault.times
