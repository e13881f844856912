"""Sessions as lines of text and as JSON: what each turn added, what came from a cache, what was spent so far."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from ..wire.printable import printable
from . import ai
from .blocks import Entry
from .messages import counted
from .sessions import Session, Total, Turn, total

_SHORT: Final = 8
_WIDTH: Final = 100
HEADS: Final = ("turn", "time", "added", "messages", "in", "cached", "out", "cost", "so far")


class Report(NamedTuple):
    """The sessions of a file; `others` are its exchanges that are no chats. `problem`: why the rest was not read."""

    file: str
    sessions: list[Session]
    others: int = 0
    problem: str = ""

    @property
    def turns(self) -> list[Turn]:
        """The turns of all sessions."""
        return [turn for session in self.sessions for turn in session.turns]


def summary(turn: Turn) -> str:
    """`turn 4 of session 3f2a1b2c: added 2 messages, 1,204 tokens, cache 93 %, so far $0.12`."""
    parts = [what(turn)]
    if turn.tokens_added is not None:
        parts.append(f"{turn.tokens_added:,} tokens")
    if turn.cached is not None:
        parts.append(f"cache {turn.cached:.0%}".replace("%", " %"))
    if spent := money(turn.session.total(turn)):
        parts.append(f"so far {spent}")
    return f"turn {turn.number} of session {label(turn.session)}: {', '.join(parts)}"


def label(session: Session) -> str:
    """What a session is called in a line: the beginning of its id, or its number."""
    name = session.id.name
    return printable(name if len(name) <= 2 * _SHORT else name[:_SHORT]) or f"no. {session.number}"


def what(turn: Turn) -> str:
    """What a turn is to the one before: `added 2 messages`, `turn 3 again`, `1 message, a new conversation`."""
    if turn.follows is None:
        new = "" if turn.number == 1 else ", a new conversation"
        return f"{counted(turn.added, 'message')}{new}"
    if turn.is_again:
        return f"turn {turn.follows.number} again"
    last = turn.follows.number == turn.number - 1
    return f"added {counted(turn.added, 'message')}{'' if last else f' to turn {turn.follows.number}'}"


def money(spent: Total) -> str:
    """Dollars, and how many answers are without a price; "" where nothing is known."""
    unknown = f"{counted(spent.unknown, 'answer')} of unknown price" if spent.unknown else ""
    if not spent.dollars:
        return unknown
    text = ai.dollars_text(spent.dollars)
    return f"{text} and {unknown}" if unknown else text


def tokens(spent: Total) -> str:
    """`1,200 tokens in (93 % from a cache), 56 out`."""
    share = f" ({percent(spent.cached / spent.read)} from a cache)" if spent.cached and spent.read else ""
    return f"{spent.read:,} tokens in{share}, {spent.written:,} out"


def percent(part: float | None) -> str:
    """A part as text; "" for None."""
    return "" if part is None else f"{min(part, 1.0):.0%}".replace("%", " %")


def clock(moment: float, date: bool = False) -> str:
    """A Unix time as text, in the time zone of the reader; "" without one."""
    return time.strftime("%Y-%m-%d %H:%M:%S" if date else "%H:%M:%S", time.localtime(moment)) if moment else ""


def head(report: Report) -> str:
    """The whole file in one line."""
    parts = [f"{counted(len(report.turns), 'request')} in {counted(len(report.sessions), 'session')}"]
    if report.others:
        parts.append(f"{counted(report.others, 'exchange')} of other kinds")
    spent = total(report.turns)
    return " · ".join(filter(None, (f"{printable(report.file)}: {', '.join(parts)}", tokens(spent), money(spent))))


def title(session: Session) -> str:
    """A session in one line."""
    spent = session.total()
    source = f"by {printable(session.id.source)}" if session.id.name else "by its messages"
    parts = [
        f"session {printable(session.id.name) or label(session)} ({source})",
        counted(len(session.turns), "turn"),
        ", ".join(printable(model[:100]) for model in session.models if model),
        clock(session.turns[0].began, date=True),
        tokens(spent),
        money(spent),
    ]
    return " · ".join(filter(None, parts))


def row(turn: Turn, so_far: Total) -> tuple[str, ...]:
    """The columns of a turn, as HEADS names them. `so_far` are the sums up to it."""
    usage = turn.spent.usage
    cost = "?" if turn.dollars is None and turn.status else ""
    return (
        str(turn.number),
        clock(turn.began),
        f"+{turn.added:,}",
        f"{turn.messages:,}",
        "" if usage is None or usage.input is None else f"{usage.input:,}",
        percent(turn.cached),
        "" if usage is None or usage.output is None else f"{usage.output:,}",
        cost if turn.dollars is None else ai.dollars_text(turn.dollars),
        ai.dollars_text(so_far.dollars) if so_far.dollars else "",
    )


def rows(session: Session) -> Iterator[tuple[Turn, tuple[str, ...]]]:
    """The turns of a session with their columns."""
    so_far = Total()
    for turn in session.turns:
        so_far = so_far.plus(total((turn,)))
        yield turn, row(turn, so_far)


def remarks(turn: Turn) -> str:
    """What is worth saying of a turn beside its columns; "" mostly."""
    parts = []
    if turn.follows is None:
        parts.append("a new conversation" if turn.number > 1 else "")
    elif turn.is_again or turn.follows.number != turn.number - 1:
        parts.append(what(turn))
    if turn.status is None or turn.status == 0:
        parts.append("no answer")
    elif turn.status >= 400:
        parts.append(f"status {turn.status}")
    return "; ".join(filter(None, parts))


def lines(report: Report) -> Iterator[str]:
    """The report as text."""
    yield head(report)
    for session in report.sessions:
        yield ""
        yield title(session)
        table = [*rows(session)]
        widths = [max(map(len, column)) for column in zip(HEADS, *(cells for _, cells in table), strict=True)]
        yield _aligned(HEADS, widths)
        for turn, cells in table:
            yield f"{_aligned(cells, widths)}  {remarks(turn)}".rstrip()
            yield from _texts("<", turn.said)
            yield from _texts(">", turn.answer)
            if turn.end:
                yield f"        {_cut(turn.end)}"


def _aligned(cells: Iterable[str], widths: list[int]) -> str:
    return "  " + "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))


def _texts(mark: str, entries: list[Entry]) -> Iterator[str]:
    for entry in entries:
        yield f"      {mark} {_cut(': '.join([entry.title, *entry.lines]))}"


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]}…"


def document(report: Report) -> dict[str, Any]:
    """The report as a JSON value."""
    return {
        "file": report.file,
        "complete": not report.problem,
        **({"problem": report.problem} if report.problem else {}),
        "others": report.others,
        "total": total(report.turns)._asdict(),
        "sessions": [
            {
                "number": session.number,
                "id": session.id.name or None,
                "source": session.id.source or None,
                "models": session.models,
                "total": session.total()._asdict(),
                "turns": [_turn(turn) for turn in session.turns],
            }
            for session in report.sessions
        ],
    }


def _turn(turn: Turn) -> dict[str, Any]:
    usage = turn.spent.usage
    return {
        "number": turn.number,
        "name": turn.name,
        "began": turn.began or None,
        "model": turn.spent.model or turn.model,
        "follows": turn.follows.number if turn.follows else None,
        "again": turn.is_again,
        "messages": turn.messages,
        "added": turn.added,
        "status": turn.status,
        "tokens": None
        if usage is None
        else {
            "in": usage.input,
            "cached": usage.cached,
            "written_to_cache": usage.written,
            "out": usage.output,
            "reasoning": usage.reasoning,
            "added": turn.tokens_added,
        },
        "dollars": turn.dollars,
        "end": turn.end,
        "said": [{"title": entry.title, "text": "\n".join(entry.lines)} for entry in turn.said],
        "answer": [{"title": entry.title, "text": "\n".join(entry.lines)} for entry in turn.answer],
    }
