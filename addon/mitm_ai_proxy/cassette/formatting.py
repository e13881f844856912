"""Parts of an exchange as short texts without secrets, for output and messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from . import links
from .entry import Entry, Request
from .scrubbing import Scrubber

WIDTH: Final = 120
"""Characters of a line of output."""
URL_WIDTH: Final = 40
"""Characters of a URL in a line of output."""
SCRUBBER: Final = Scrubber()


def clean(entry: Entry) -> Entry:
    """The exchange, scrubbed."""
    return SCRUBBER.entry(Entry(0, 0, Request(entry.request.method, entry.request.url), None, entry.notes))


def address(request: Request) -> str:
    """The URL of a request without scheme and signature; if it is longer than URL_WIDTH, its end."""
    url = links.unsigned(SCRUBBER.request(Request(request.method, request.url)).url)
    text = url.partition("://")[2] or url
    return text if len(text) <= URL_WIDTH else f"…{text[1 - URL_WIDTH :]}"


def described(request: Request) -> str:
    """Method and URL of a request, without its query."""
    url = links.unsigned(request.url)
    return f"{request.method} {url.partition('?')[0]}"


def short(text: str, width: int) -> str:
    """The text, shortened to `width` characters."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def status(entry: Entry) -> str:
    """The status of an entry's answer."""
    return str(entry.response.status) if entry.response else "-"


def count(items: Iterable[object], one: str, many: str = "") -> str:
    """The number of items with the noun `one`, or its plural `many`."""
    number = len([*items])
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def size(length: int) -> str:
    """A number of bytes, such as `1.2 MB`."""
    for unit, least in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if length >= least:
            return f"{length / least:.1f} {unit}"
    return f"{length} B"


def duration(milliseconds: float) -> str:
    """A duration."""
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    return f"{milliseconds / 1000:.1f} s" if milliseconds < 60_000 else f"{clock(milliseconds / 1000)[:-2]} min"


def clock(seconds: float) -> str:
    """A time since the start, in minutes and seconds."""
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{minutes:.0f}:{rest:04.1f}"
