"""One line that tells a request's story in a list: what was asked, what became of it, what it took."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from ..wire.printable import printable
from . import ai, named, prices
from .answers import Spent
from .messages import Message, brief
from .named import Named
from .prices import PriceSettings
from .subjects import subject

WORDS: Final = ("rewritten", "replayed", "simulated", "refused", "retried")
"""What a request can be, in the order in which it is told."""
_LONGEST_WORD: Final = 60
_LONGEST_ERROR: Final = 80
_LONGEST_PART: Final = 24
"""Characters of a part of a path, such as an id."""
_ID: Final = re.compile(r"[^a-z]*|(?=.*\d)[\w.-]{16,}|v\d\w*", re.IGNORECASE | re.DOTALL)
"""A part of a path that is an id, a number or a version."""
_PAIRS: Final = frozenset(("completions", "generations", "edits", "variations"))
"""Last parts of a path that say something only with the one before."""


class Exchange(NamedTuple):
    """A request and its answer, as far as there are any.

    `client`: the client's own request, None where nothing was rewritten. `sent`: what was sent. `words` are of WORDS.
    `answer` is the answer as the client got it. `expected`: what the request costs by a price list, as (units,
    dollars). The times are in seconds since the request began.
    """

    sent: Message
    provider: str = ""
    client: Message | None = None
    words: Sequence[str] = ()
    tries: int = 1
    status: int = 0
    answer: bytes = b""
    first_byte: float | None = None
    total: float | None = None
    began: float = 0.0
    expected: tuple[float | None, float | None] = (None, None)


class Summary(NamedTuple):
    """The line, and what can be searched for. `dollars` is None where the cost is not known."""

    text: str
    words: frozenset[str] = frozenset()
    dollars: float | None = None


class _Inner(msgspec.Struct):
    """The members that the line has of an error, and of Kling's envelope."""

    message: object = None
    task_status: object = None


def summary(exchange: Exchange, settings: PriceSettings = prices.LIST_PRICES) -> Summary:
    """The line for an exchange. Nothing raises on foreign input."""
    asked = exchange.client or exchange.sent
    path = asked.path.partition("?")[0]
    spent = _spent(path, exchange)
    sent = _named(exchange.sent)
    became = exchange.provider
    if exchange.client and path != exchange.sent.path.partition("?")[0]:
        became = f"{became} {_operation(exchange.sent.path)}".strip()
    first = f"{asked.method} {_short(path)}"
    parts = [
        f"{first} → {became}" if became else first,
        _models(exchange, sent, spent),
        _length(sent),
        _state(exchange),
        *_costs(exchange, spent, settings),
        _times(exchange),
        *(
            f"retried, {exchange.tries} tries" if word == "retried" else word
            for word in WORDS
            if word in exchange.words
        ),
    ]
    dollars = _dollars(exchange, spent, settings)
    return Summary(" · ".join(printable(part) for part in parts if part), frozenset(exchange.words), dollars)


def _short(path: str) -> str:
    """A path with long ids cut."""
    return "/".join(_cut(part, _LONGEST_PART) for part in brief(path[:1000]).split("/"))


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _operation(path: str) -> str:
    """What a path asks for: `image2video`, `chat completions`."""
    parts = [part for part in path.partition("?")[0].split("/") if part and not _ID.fullmatch(part)]
    if not parts:
        return ""
    last = parts[-1].rpartition(":")[2][:_LONGEST_WORD]
    return f"{parts[-2][:_LONGEST_WORD]} {last}" if last in _PAIRS and len(parts) > 1 else last


def _models(exchange: Exchange, sent: Named, spent: Spent) -> str:
    client = exchange.client
    theirs = client.model[:_LONGEST_WORD] or _model(_named(client), client.path) if client else ""
    ours = _model(sent, exchange.sent.path) or spent.model[:_LONGEST_WORD]
    return f"{theirs} → {ours}" if theirs and ours and theirs != ours else ours or theirs


def _model(known: Named, path: str) -> str:
    about = subject(path)
    return (known.name or (about.model if about else ""))[:_LONGEST_WORD]


def _length(known: Named) -> str:
    for value in (known.duration, known.seconds):
        if isinstance(value, str | int | float) and not isinstance(value, bool) and str(value)[:9].isdigit():
            return f"{str(value)[:9]} s"
    return ""


def _state(exchange: Exchange) -> str:
    """The state of a job, `in_progress 50 %`, or what went wrong."""
    known = named.json(exchange.answer)
    if exchange.status >= 400:
        error = _inner(known.error).message or _text(known.error) or known.message
        return f"{exchange.status}: {_cut(error, _LONGEST_ERROR)}" if isinstance(error, str) else str(exchange.status)
    state, progress = known.status or _inner(known.data).task_status, known.progress
    if not isinstance(state, str) or (state == "completed" and progress is None):
        return ""
    shown = state[:_LONGEST_WORD]
    is_half = isinstance(progress, int) and not isinstance(progress, bool) and 0 < progress < 100
    return f"{shown} {progress} %" if is_half else shown


def _spent(path: str, exchange: Exchange) -> Spent:
    has_answer = exchange.answer and exchange.status < 300 and len(exchange.answer) <= named.LONGEST
    return ai.spent(path, exchange.answer) if has_answer else Spent()


def _costs(exchange: Exchange, spent: Spent, settings: PriceSettings) -> list[str]:
    known = ai.spent_text(spent, settings, exchange.began)
    units, dollars = exchange.expected if exchange.status < 300 else (None, None)
    return [known, units_text(units, None if known else dollars)]


def units_text(units: float | None, dollars: float | None) -> str:
    """What a job costs: `2.4 units · $0.336 (list price)`; "" where that is not known."""
    parts = (f"{units:g} units" if units else "", f"{ai.dollars_text(dollars)} (list price)" if dollars else "")
    return " · ".join(filter(None, parts))


def _dollars(exchange: Exchange, spent: Spent, settings: PriceSettings) -> float | None:
    if spent.dollars is not None:
        return spent.dollars
    found = prices.dollars(spent.model, spent.usage, settings, exchange.began)
    return exchange.expected[1] if found is None and exchange.status < 300 else found


def _times(exchange: Exchange) -> str:
    first, total = exchange.first_byte, exchange.total
    if first is None:
        return ""
    return f"first byte {_time(first)}" + ("" if total is None else f", all {_time(total)}")


def _time(seconds: float) -> str:
    return f"{max(seconds, 0) * 1000:.0f} ms" if seconds < 0.9995 else f"{seconds:.1f} s"


def _named(message: Message) -> Named:
    return named.read(message.body, message.headers.get("content-type", ""))


def _inner(data: msgspec.Raw) -> _Inner:
    try:
        return msgspec.json.decode(data, type=_Inner) if bytes(data)[:1] == b"{" else _Inner()
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _Inner()


def _text(data: msgspec.Raw) -> str:
    try:
        return msgspec.json.decode(data, type=str) if bytes(data)[:1] == b'"' else ""
    except (msgspec.MsgspecError, UnicodeError):
        return ""
