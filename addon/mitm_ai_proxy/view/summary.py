"""One line that tells a request's story in a list: what was asked, what became of it, what it took."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from ..errors import Refusal
from ..wire import multipart
from ..wire.printable import printable
from . import ai, prices
from .answers import Spent
from .messages import Message, brief
from .prices import PriceSettings
from .subjects import subject

WORDS: Final = ("rewritten", "replayed", "simulated", "refused", "retried")
"""What a request can be, in the order in which it is told."""
_LONGEST: Final = 1024 * 1024
"""Bytes of a body that is read for the line."""
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


class _Named(msgspec.Struct):
    """The members of a body that the line has."""

    model: object = None
    model_name: object = None
    duration: object = None
    seconds: object = None
    size: object = None
    status: object = None
    progress: object = None
    message: object = None
    error: msgspec.Raw = msgspec.Raw()
    data: msgspec.Raw = msgspec.Raw()


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


def _models(exchange: Exchange, sent: _Named, spent: Spent) -> str:
    theirs = _model(_named(exchange.client), exchange.client.path) if exchange.client else ""
    ours = _model(sent, exchange.sent.path) or spent.model[:_LONGEST_WORD]
    return f"{theirs} → {ours}" if theirs and ours and theirs != ours else ours or theirs


def _model(named: _Named, path: str) -> str:
    for value in (named.model_name, named.model):
        if isinstance(value, str):
            return value[:_LONGEST_WORD]
    about = subject(path)
    return about.model[:_LONGEST_WORD] if about else ""


def _length(named: _Named) -> str:
    for value in (named.duration, named.seconds):
        if isinstance(value, str | int | float) and not isinstance(value, bool) and str(value)[:9].isdigit():
            return f"{str(value)[:9]} s"
    return ""


def _state(exchange: Exchange) -> str:
    """The state of a job, `in_progress 50 %`, or what went wrong."""
    named = _json(exchange.answer)
    if exchange.status >= 400:
        error = _inner(named.error).message or _text(named.error) or named.message
        return f"{exchange.status}: {_cut(error, _LONGEST_ERROR)}" if isinstance(error, str) else str(exchange.status)
    state, progress = named.status or _inner(named.data).task_status, named.progress
    if not isinstance(state, str) or (state == "completed" and progress is None):
        return ""
    shown = state[:_LONGEST_WORD]
    is_half = isinstance(progress, int) and not isinstance(progress, bool) and 0 < progress < 100
    return f"{shown} {progress} %" if is_half else shown


def _spent(path: str, exchange: Exchange) -> Spent:
    has_answer = exchange.answer and exchange.status < 300 and len(exchange.answer) <= _LONGEST
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


def _named(message: Message) -> _Named:
    kind = message.headers.get("content-type", "")
    return _form(message.body, kind) if kind.startswith("multipart/") else _json(message.body)


def _form(body: bytes, kind: str) -> _Named:
    if len(body) > _LONGEST:
        return _Named()
    found = _Named()
    try:
        for name, part in multipart.parts(body, kind):
            if name in ("model", "model_name", "duration", "seconds") and isinstance(part, str):
                setattr(found, name, part)
    except Refusal:
        return _Named()
    return found


def _json(body: bytes) -> _Named:
    if body.lstrip()[:1] != b"{" or len(body) > _LONGEST:
        return _Named()
    try:
        return msgspec.json.decode(body, type=_Named)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _Named()


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
