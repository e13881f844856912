"""One recorded exchange as plain data: what was sent to the provider, and what came back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

Headers = tuple[tuple[str, str], ...]
"""Header fields in order, names as they were sent."""

MOST_REPEATS: Final = 10_000
"""How often a cassette may repeat one answer."""


class Chunk(NamedTuple):
    """One piece of a streamed body: milliseconds after the head of the answer, and length in bytes."""

    milliseconds: float
    length: int


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it went upstream. `url` is absolute; `body` has no Content-Encoding and no chunked framing."""

    method: str
    url: str
    headers: Headers = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """The provider's answer before any rewriting; `body` as in Request, `chunks` only of one that was streamed."""

    status: int
    reason: str = ""
    headers: Headers = ()
    body: bytes = b""
    chunks: tuple[Chunk, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """An exchange. `started` is Unix time in seconds; without a response, the answer never came.

    `notes` say what the gateway rewrote and why; `units` are what the answer says that its task cost, `price` what that
    is worth in US dollars. `repeats` is how many more equal requests in a row a replay answers with this entry; it is 0
    in what is recorded, and set by variations.
    """

    started: float
    milliseconds: float
    request: Request
    response: Response | None
    notes: tuple[str, ...] = ()
    units: float | None = None
    price: float | None = None
    repeats: int = 0


def header(headers: Headers, name: str) -> str:
    """The values of all fields of a name together; "" where there is none."""
    wanted = name.lower()
    return ", ".join(value for key, value in headers if key.lower() == wanted)
