"""A recorded exchange as plain data: the upstream request, and the provider's answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

Headers = tuple[tuple[str, str], ...]
"""Header fields in order, with names as they were sent."""

MOST_REPEATS: Final = 10_000
"""The greatest value of Entry.repeats."""


class Chunk(NamedTuple):
    """A piece of a streamed body: milliseconds after the head of the answer, and length in bytes."""

    milliseconds: float
    length: int


@dataclass(frozen=True, slots=True)
class Request:
    """An upstream request. `url` is absolute; `body` has no Content-Encoding and no chunked framing."""

    method: str
    url: str
    headers: Headers = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """The provider's answer before it is rewritten. `body` is as in Request; only a streamed answer has `chunks`."""

    status: int
    reason: str = ""
    headers: Headers = ()
    body: bytes = b""
    chunks: tuple[Chunk, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """An exchange. `started` is Unix time in seconds; `response` is None if no answer came.

    `notes` say what the gateway rewrote and why; `units` is the cost of the task by the answer, `price` its value in
    US dollars. `repeats` is the number of further equal requests in a row that a replay answers with this entry; it is
    0 in recordings, and set by variations. `simulated`: the simulator answered, and nothing was paid.
    """

    started: float
    milliseconds: float
    request: Request
    response: Response | None
    notes: tuple[str, ...] = ()
    units: float | None = None
    price: float | None = None
    repeats: int = 0
    simulated: bool = False


def header(headers: Headers, name: str) -> str:
    """The values of all fields with a name, joined by commas; "" without any."""
    wanted = name.lower()
    return ", ".join(value for key, value in headers if key.lower() == wanted)
