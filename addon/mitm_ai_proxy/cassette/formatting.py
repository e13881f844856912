"""How parts of an exchange are written for a person: in few characters and without secrets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from . import links
from .entry import Entry, Request
from .scrubbing import Scrubber

WIDTH: Final = 120
"""Characters of a line."""
URL_WIDTH: Final = 40
"""Characters of an address."""
SCRUBBER: Final = Scrubber()


def clean(entry: Entry) -> Entry:
    """What is shown of an exchange, without secrets."""
    return SCRUBBER.entry(Entry(0, 0, Request(entry.request.method, entry.request.url), None, entry.notes))


def address(request: Request) -> str:
    """Where a request goes, as much of its end as fits."""
    url = links.unsigned(SCRUBBER.request(Request(request.method, request.url)).url)
    text = url.partition("://")[2] or url
    return text if len(text) <= URL_WIDTH else f"…{text[1 - URL_WIDTH :]}"


def described(request: Request) -> str:
    """A request for a person: without what signs it, and without its query."""
    url = links.unsigned(request.url)
    return f"{request.method} {url.partition('?')[0]}"


def short(text: str, width: int) -> str:
    """The text, cut off behind so many characters."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def status(entry: Entry) -> str:
    """The status of an answer."""
    return str(entry.response.status) if entry.response else "-"


def count(items: Iterable[object], one: str, many: str = "") -> str:
    """How many there are of what `one` is the word for."""
    number = len([*items])
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def size(length: int) -> str:
    """A number of bytes."""
    for unit, least in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if length >= least:
            return f"{length / least:.1f} {unit}"
    return f"{length} B"


def duration(milliseconds: float) -> str:
    """How long something took."""
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    return f"{milliseconds / 1000:.1f} s" if milliseconds < 60_000 else f"{clock(milliseconds / 1000)[:-2]} min"


def clock(seconds: float) -> str:
    """A time since the start, as minutes and seconds."""
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{minutes:.0f}:{rest:04.1f}"
