"""The answer of a conversation, whole or put together again from its stream: entries, and how it ended.

Chats are read by the readers of the translation; OpenAI's Responses API has one of its own here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple

from ..chat import translate
from ..chat.model import Block, Call, Delta, End, Event, Fault, Media, Open, Start, Stop, Text, Thinking, Usage
from ..chat.protocols import VENDORS
from ..wire import sse
from ..wire.printable import printable
from .blocks import Entry, argument_lines, media, message, text_lines
from .messages import amount, counted

RESPONSES: Final = "responses"
"""The name of OpenAI's Responses API among the dialects that are read."""
_MEMO: Final = {"id": "", "vendor": "", "model": ""}
_MOST: Final = 1024 * 1024
"""Bytes of a stream that are read where nothing may wait for it; mitmproxy has no more of one that was streamed."""
_LINES: Final = 20_000
"""The same for its lines."""
_WHOLE: Final = 8 * 1024 * 1024
"""Bytes of a whole answer that is read there."""
_COMMAS: Final = 100_000
"""A whole answer with more may hold so many values that to read them takes too long."""
_HUGE: Final = 128 * 1024 * 1024
"""Bytes of an event where there is time."""
_STREAM_BEGINS: Final = (b"data:", b"event:", b":")


class Spent(NamedTuple):
    """What an answer says of its model and of its cost: tokens, of which some came from a cache, and dollars."""

    model: str = ""
    usage: Usage | None = None
    dollars: float | None = None


class Answered(NamedTuple):
    """What an answer says, and its last line: why it ended, or where it breaks."""

    entries: list[Entry]
    end: str
    spent: Spent


@lru_cache(maxsize=1)  # one answer is asked for by the list, its session and the view
def read(body: bytes, dialect: str, has_time: bool = False) -> Answered:
    """An answer in a dialect of chats, or of the Responses API. Nothing raises.

    Of a long one, only the beginning is read, unless there `has_time` to read it all.
    """
    shown = body if has_time else _beginning(body)
    if not shown and body:
        return Answered([], f"{amount(len(body))}: too long to be read here", Spent())
    cut = f"only {amount(len(shown))} of {amount(len(body))} are read here" if len(shown) < len(body) else ""
    found = _responses(shown) if dialect == RESPONSES else _chat(shown, dialect)
    return found._replace(end=cut) if cut else found


def _beginning(body: bytes) -> bytes:
    """As much of an answer as is read in a fifth of a second; nothing of a whole one that takes longer."""
    if body[:200].lstrip()[:1] == b"{":
        return body if len(body) <= _WHOLE and body.count(b",") <= _COMMAS else b""
    return b"\n".join(body[:_MOST].split(b"\n", _LINES)[:_LINES]) if len(body) > _LINES else body


def reads(dialect: str) -> bool:
    """Whether answers of this dialect can be read."""
    return dialect == RESPONSES or dialect in VENDORS


def _is_stream(body: bytes) -> bool:
    return body[:200].lstrip().startswith(_STREAM_BEGINS)


def _chat(body: bytes, dialect: str) -> Answered:
    try:
        events = translate.answer_events(body, dialect, _MEMO)
    except sse.TooLong as error:
        return Answered([], f"this answer {error}", Spent())
    entries: list[Entry] = []
    ends: list[str] = []
    model, usage = "", None
    for entry in _entries(events):
        entries.append(entry)
    for event in events:
        if isinstance(event, Start):
            model = event.model or model
        elif isinstance(event, Stop):
            ends.append(_stop(event))
        elif isinstance(event, Usage):
            usage = event
        elif isinstance(event, Fault):
            ends.append(_fault(event, body))
        elif isinstance(event, End) and not ends:
            ends.append("the end")
    return Answered(entries, " · ".join(ends), Spent(model, usage, _cost(body)))


def _entries(events: Iterable[Event]) -> Iterator[Entry]:
    block: Block | None = None
    more: list[str] = []
    for event in events:
        if isinstance(event, Open):
            yield from _said(block, more)
            block, more = event.block, []
        elif isinstance(event, Delta):
            more.append(event.text)
    yield from _said(block, more)


def _said(block: Block | None, more: list[str]) -> Iterator[Entry]:
    text = "".join(more)
    if isinstance(block, Text):
        yield Entry("refusal" if block.is_refusal else "assistant", text_lines(block.text + text))
    elif isinstance(block, Thinking):
        yield Entry("thinking", text_lines(block.text + text) or ["(not shown by the vendor)"])
    elif isinstance(block, Call):
        title = " ".join(filter(None, ("call", printable(block.name[:100]), printable(block.id[:100]))))
        yield Entry(title, argument_lines(block.arguments + text))
    elif isinstance(block, Media):
        yield Entry("assistant", [media({"media_type": block.type, "data": block.data, "url": block.url})])


def _stop(stop: Stop) -> str:
    words = [_STOPS[stop.reason], repr(stop.sequence) if stop.sequence else "", stop.explanation or ""]
    return printable(" ".join(filter(None, words)))


_STOPS: Final = {
    "end": "ended by itself",
    "sequence": "ended at a stop sequence",
    "length": "cut at the limit of tokens",
    "context": "cut: the context window is full",
    "calls": "ended to have tools called",
    "refused": "refused",
    "paused": "paused, to be resumed",
}


def _fault(fault: Fault, body: bytes) -> str:
    code = f"{fault.code}: " if fault.code else ""
    where = ""
    if _is_stream(body):
        where = f" (after {counted(body.count(b'data:'), 'event')}, {amount(len(body))})"
    return printable(f"error {fault.status}: {code}{fault.message[:1000]}{where}")


def _cost(body: bytes) -> float | None:
    """The dollars of an answer whose vendor says them: `usage.cost`, near the end of it."""
    tail = body[-4096:]
    place = tail.rfind(b'"cost"')
    if place < 0:
        return None
    number = tail[place + len(b'"cost"') :].lstrip(b" :")
    digits = number[: next((i for i, byte in enumerate(number) if byte not in b"0123456789.eE+-"), len(number))]
    try:
        found = float(digits)
    except ValueError:
        return None
    return found if 0 <= found < math.inf else None


# OpenAI's Responses API. Source: OpenAI API reference, Responses and its streaming events.


def _responses(body: bytes) -> Answered:
    if not _is_stream(body):
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            return Answered([], "this is not valid JSON", Spent())
        return _response(document)
    reader = sse.Reader(_HUGE)
    try:
        frames = [*reader.feed(body), *reader.end()]
    except sse.TooLong as error:
        return Answered([], f"this answer {error}", Spent())
    return _response_stream(frames, body)


def _response_stream(frames: list[sse.Event], body: bytes) -> Answered:
    done: list[Any] = []
    open_texts: dict[str, list[str]] = {}
    for frame in frames:
        try:
            event = json.loads(frame.data)
        except (ValueError, RecursionError):
            continue
        if not isinstance(event, dict):
            continue
        kind = event.get("type")
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            return _response(event.get("response"))
        if kind == "error":
            return Answered(_open(done, open_texts), printable(f"error: {event.get('message')}"), Spent())
        if kind == "response.output_item.done":
            done.append(event.get("item"))
            open_texts.clear()
        elif isinstance(event.get("delta"), str):
            open_texts.setdefault(str(kind), []).append(event["delta"])
    where = f"the stream breaks off after {counted(len(frames), 'event')}, {amount(len(body))}"
    return Answered(_open(done, open_texts), where, Spent())


def _open(done: list[Any], texts: dict[str, list[str]]) -> list[Entry]:
    """The items that are complete, and what has come of the one that is not."""
    entries = [entry for item in done for entry in message(item)]
    return entries + [
        Entry(_DELTAS.get(kind, printable(kind)), text_lines("".join(text))) for kind, text in texts.items()
    ]


_DELTAS: Final = {
    "response.output_text.delta": "assistant",
    "response.refusal.delta": "refusal",
    "response.reasoning_summary_text.delta": "thinking",
    "response.reasoning_text.delta": "thinking",
    "response.function_call_arguments.delta": "call",
}


def _response(document: Any) -> Answered:
    if not isinstance(document, dict):
        return Answered([], "this is no response", Spent())
    output = document.get("output")
    entries = [entry for item in output for entry in message(item)] if isinstance(output, list) else []
    error = document.get("error")
    details = document.get("incomplete_details")
    ends = [str(document.get("status") or "")]
    ends += [str(error.get("message"))] if isinstance(error, dict) else []
    ends += [str(details.get("reason"))] if isinstance(details, dict) else []
    model = document.get("model")
    spent = Spent(model if isinstance(model, str) else "", _usage(document.get("usage")))
    return Answered(entries, printable(" · ".join(filter(None, ends))), spent)


def _usage(usage: Any) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    read, written = usage.get("input_tokens_details"), usage.get("output_tokens_details")
    return Usage(
        _count(usage, "input_tokens"),
        _count(usage, "output_tokens"),
        cached=_count(read, "cached_tokens"),
        reasoning=_count(written, "reasoning_tokens"),
    )


def _count(value: Any, name: str) -> int | None:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, int) and not isinstance(found, bool) else None
