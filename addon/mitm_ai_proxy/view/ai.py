"""What the content view "AI" shows of a request or an answer: a conversation, a job, or JSON with short values."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from ..chat.model import Usage
from ..wire.printable import printable
from . import answers, jobs, prices, requests
from .answers import Spent
from .blocks import Entry, document_lines, text_lines
from .jobs import Jobs
from .messages import Message, amount, brief
from .prices import PriceSettings
from .subjects import Subject, subject

_LONGEST = 1024 * 1024
"""Bytes of a body that is no conversation and is laid out."""
COMMAS: Final = 20_000
"""A body with more may hold so many values that to lay it out takes too long."""
_DIFFERENT = 100_000
"""Characters of a request that is compared."""
_RULE = 60
_LEAST = 1e-12
"""Dollars; less is shown as nothing."""


class Shown(NamedTuple):
    """A request, or the answer to one. `path` is the one to which its body belongs, `fields` are names in lower case.

    `notes` say what was changed and why. `began` is when, in Unix time. `turn` says of a request which one of its
    session it is. `cost` is that of a job, in words; `seen` are the jobs that were seen.
    `credential`: what may be shown of the one that it is sent with, in lines.
    """

    is_request: bool
    method: str
    path: str
    fields: dict[str, str]
    body: bytes
    client: Message | None = None
    notes: str = ""
    began: float = 0.0
    turn: str = ""
    cost: str = ""
    seen: Jobs | None = None
    credential: tuple[str, ...] = ()


def knows(path: str) -> bool:
    """Whether a request to this path is one that the view is for."""
    return subject(path) is not None


def text(shown: Shown, settings: PriceSettings = prices.LIST_PRICES) -> str:
    """The whole text of the view."""
    about = subject(shown.path)
    lines = _conversation(shown, about, settings) if about and about.kind == "chat" else None
    lines = _other(shown, about) if lines is None else lines
    if shown.credential:
        lines += _entries([Entry("credential", [*shown.credential])])
    if shown.is_request:
        lines += _changes(shown)
    # Each has been made so where it was read; this is for the one that was forgotten.
    return "\n".join(map(printable, lines)) + "\n"


def spent(path: str, body: bytes) -> Spent:
    """What an answer says of its model and its cost."""
    about = subject(path)
    if about and about.kind == "chat" and answers.reads(about.dialect):
        return answers.read(body, about.dialect).spent
    return Spent()


def _conversation(shown: Shown, about: Subject, settings: PriceSettings) -> list[str] | None:
    """The lines of a chat; None for a body that is none."""
    if shown.is_request:
        found = requests.read(shown.body, about.model)
        return None if found is None else [*filter(None, (found[0], shown.turn)), *_entries(found[1])]
    if not shown.body or not answers.reads(about.dialect):
        return None
    answered = answers.read(shown.body, about.dialect)
    end = " · ".join(filter(None, (answered.end, spent_text(answered.spent, settings, shown.began))))
    head = printable(answered.spent.model)
    return _without_beginning([*([head] if head else []), *_entries(answered.entries), "", end])


def _without_beginning(lines: list[str]) -> list[str]:
    return lines if lines[0] else lines[1:]


def _entries(entries: Iterable[Entry]) -> list[str]:
    lines = []
    for entry in entries:
        lines += ["", f"── {entry.title} {'─' * (_RULE - len(entry.title))}", *entry.lines]
    return lines


def usage_text(usage: Usage | None) -> str:
    """Tokens in words: `1,200 tokens in (1,000 cached), 56 out (12 reasoning)`."""
    if usage is None:
        return ""
    read = _part(usage.input, "tokens in", {"cached": usage.cached, "written to the cache": usage.written})
    return ", ".join(filter(None, (read, _part(usage.output, "out", {"reasoning": usage.reasoning}))))


def _part(count: int | None, what: str, parts: dict[str, int | None]) -> str:
    if count is None:
        return ""
    inner = ", ".join(f"{part:,} {name}" for name, part in parts.items() if part)
    return f"{count:,} {what} ({inner})" if inner else f"{count:,} {what}"


def spent_text(spent: Spent, settings: PriceSettings, now: float) -> str:
    """Tokens and dollars: `1,200 tokens in, 56 out · $0.003 (list price)`; what is not known is left out."""
    if spent.dollars is not None:
        cost = dollars_text(spent.dollars)
    else:
        dollars = prices.dollars(spent.model, spent.usage, settings, now)
        cost = "" if dollars is None else f"{dollars_text(dollars)} (list price)"
    return " · ".join(filter(None, (usage_text(spent.usage), cost)))


def dollars_text(dollars: float) -> str:
    """Three figures, and cents at least: `$0.000024`, `$1.20`. What no vendor should say is shown, too: `-$5.00`."""
    size = abs(dollars)
    digits = 2 - math.floor(math.log10(size)) if _LEAST <= size < 1 else 2
    text = f"{size:.{digits}f}"
    return f"{'-' if dollars < 0 else ''}${text.rstrip('0') if _LEAST <= size < 0.1 else text}"


# Other bodies


def _other(shown: Shown, about: Subject | None) -> list[str]:
    if not shown.body:
        return ["(no body)"]
    if len(shown.body) > _LONGEST:
        return [f"({amount(len(shown.body))}: too long to be laid out here)"]
    kind = shown.fields.get("content-type", "")
    if kind.startswith("multipart/"):
        return Message(shown.method, shown.path, shown.fields, shown.body).lines([])[2:]
    if shown.body.count(b",") > COMMAS:
        return _no_json(shown.body, kind)
    try:
        document = json.loads(shown.body)
    except (ValueError, RecursionError):
        return _no_json(shown.body, kind)
    found = _job(shown, document) if about and about.kind == "job" else []
    return [*found, *([""] if found else []), *document_lines(briefly(document))]


def _no_json(body: bytes, kind: str) -> list[str]:
    try:
        return text_lines(body.decode())
    except UnicodeDecodeError:
        return [printable(f"({kind.partition(';')[0] or 'binary'}, {amount(len(body))})")]


def _job(shown: Shown, document: Any) -> list[str]:
    """What is known of a job: its name and state, what it makes and costs, the states so far, and its links."""
    found = jobs.items(document)
    item = found[0] if len(found) == 1 else {}
    name, state = ("", "") if shown.is_request else jobs.told(item)
    seen = shown.seen.find(name) if shown.seen and name else None
    head = [brief(name)[:100], state[:100], jobs.percent(item), str(item.get("task_status_msg") or "")[:200]]
    model = next((item[key] for key in ("model", "model_name") if isinstance(item.get(key), str)), "")
    size = [str(item[key])[:20] for key in ("size", "aspect_ratio") if isinstance(item.get(key), str)]
    length = next((str(item[key])[:9] for key in ("seconds", "duration") if isinstance(item.get(key), str | int)), "")
    about = [model or (seen.model if seen else ""), f"{length} s" if length else "", *size, shown.cost]
    lines = [" · ".join(filter(None, head)) if name and state else "", " · ".join(filter(None, about))]
    if seen and len(seen.states) > 1:
        lines.append(f"so far: {_states(seen.states)}")
    lines += [f"result: {link}" for link in _links(item)]
    return [printable(line) for line in lines if line]


def _states(states: tuple[tuple[float, str], ...]) -> str:
    """`queued · 2 s in_progress 25 % · 8 s completed 100 %`"""
    began = states[0][0]
    return " · ".join([states[0][1], *(f"{jobs.age(then - began)} {state}" for then, state in states[1:])])


def _links(item: dict[str, Any]) -> list[str]:
    """The links of a job's result, as Kling's envelope has them."""
    result = item.get("task_result")
    files = (
        [file for kind in result.values() if isinstance(kind, list) for file in kind]
        if isinstance(result, dict)
        else []
    )
    return [file["url"][:1000] for file in files[:10] if isinstance(file, dict) and isinstance(file.get("url"), str)]


def briefly(value: Any, depth: int = 0) -> Any:
    """A JSON value with its base64 and its long lists of numbers shortened."""
    if depth > 20:
        return "…"
    if isinstance(value, dict):
        return {name: briefly(member, depth + 1) for name, member in value.items()}
    if isinstance(value, list):
        if len(value) > 16 and all(isinstance(member, int | float) for member in value):
            return [*value[:2], f"… {len(value):,} numbers"]
        return [briefly(member, depth + 1) for member in value]
    if isinstance(value, str) and len(value) > 1000 and " " not in value[:1000]:
        return f"{value[:60]}… ({amount(len(value))})"
    return value


# What was changed


def _changes(shown: Shown) -> list[str]:
    """The client's request against this one, and why they differ."""
    if shown.client is None:
        return []
    ours = Message(shown.method, shown.path, shown.fields, shown.body)
    before, after = _compared(shown.client), _compared(ours)
    if before is None or after is None:
        difference = ["(too long to be compared here)"]
    else:
        difference = list(difflib.unified_diff(before, after, "client", "upstream", lineterm="", n=2))
    why = [f"  {printable(note)}" for note in shown.notes.split("; ") if note]
    shown_lines = _entries([Entry("client and upstream", difference or ["(nothing was changed)"])])
    return [*shown_lines, *([""] if why else []), *why]


def _compared(message: Message) -> list[str] | None:
    if len(message.body) > _DIFFERENT or not message.is_whole:
        return None
    kept = {name: value for name, value in message.headers.items() if name == "content-type"}
    lines = Message(message.method, message.path, kept, message.body).with_json().lines(sorted(kept))
    return [printable(line) for line in lines]
