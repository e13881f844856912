"""The jobs that answers tell of: name, state, age, model and units, from OpenAI's Video object or Kling's envelope."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from ..wire.printable import printable
from . import named
from .messages import Message
from .subjects import subject

_MOST: Final = 1000
_LONGEST: Final = 1024 * 1024
"""Bytes of an answer that is read."""
_LISTED: Final = 200
_STATES: Final = 60
_ID: Final = re.compile(r"kling-\w+?-(\d+)\b.*", re.DOTALL)
"""The id of a Video, in which Kling's own stands (see kling/ids.py): a job has both names."""
_UNITS: Final = ("final_unit_deduction", "final_balance_deduction")


class Job(NamedTuple):
    """A job, as far as answers have told of it. `began` is when it was first seen, in Unix time.

    `states` are those that it had, each with the time when it was seen first.
    """

    name: str
    state: str
    began: float
    seen: float
    model: str = ""
    progress: str = ""
    units: str = ""
    states: tuple[tuple[float, str], ...] = ()


class Jobs:
    """The jobs that were seen, the latest 1,000."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, Job] = OrderedDict()

    def __iter__(self) -> Iterator[Job]:
        return iter([*self._jobs.values()])

    def hear(self, request: Message, answer: bytes, now: float) -> None:
        """Read the answer to a request of a client. `now` is Unix time."""
        if is_job(request.path) and 0 < len(answer) <= _LONGEST:
            for item in items(_object(answer)):
                self._take(item, request, now)

    def find(self, name: str) -> Job | None:
        """The job of this name, if it was seen."""
        return self._jobs.get(_key(name))

    def _take(self, item: dict[str, Any], request: Message, now: float) -> None:
        name, state = told(item)
        if not name or not state:
            return
        key = _key(name)
        before = self._jobs.get(key)
        began = before.began if before else now
        created = item.get("created_at")
        if before is None and isinstance(created, int | float) and 0 < created < 4e12:
            began = min(now, created / 1000 if created > 4e9 else created)
        progress = percent(item)
        states = before.states if before else ()
        shown = f"{state[:40]} {progress}".strip()
        if not states or states[-1][1] != shown:
            states = (*states[:1], *states[1:][2 - _STATES :], (now, shown))
        job = Job(
            before.name if before else name,
            state,
            began,
            now,
            _model(item) or (before.model if before else _asked(request)),
            progress,
            next((str(item[unit])[:40] for unit in _UNITS if item.get(unit)), before.units if before else ""),
            states,
        )
        self._jobs[key] = job
        self._jobs.move_to_end(key)
        if len(self._jobs) > _MOST:
            self._jobs.popitem(last=False)


def is_job(path: str) -> bool:
    """Whether an answer to a request to this path tells of jobs."""
    about = subject(path)
    return about is not None and about.kind == "job"


def items(document: Any) -> list[dict[str, Any]]:
    """The jobs in an answer: a Video, which has Kling's members too, an envelope of Kling's, or a list of either."""
    if not isinstance(document, dict):
        return []
    data = document.get("data")
    if _word(document, "id") and _word(document, "status"):
        return [{**data, **document} if isinstance(data, dict) else document]
    found = data[:_LISTED] if isinstance(data, list) else [document if data is None else data]
    return [item for item in found if isinstance(item, dict)]


def told(item: dict[str, Any]) -> tuple[str, str]:
    """A job's name and state, as its client gets them; "" for what is not there."""
    return _word(item, "id", "task_id"), _word(item, "status", "task_status")


def percent(item: dict[str, Any]) -> str:
    """How far a job is, `40 %`; "" where that is not said."""
    progress = item.get("progress")
    return f"{progress} %" if isinstance(progress, int) and not isinstance(progress, bool) else ""


def _key(name: str) -> str:
    found = _ID.fullmatch(name)
    return found[1] if found else name


def lines(jobs: Jobs, now: float, state: str = "all") -> list[str]:
    """A line for each job, or for those in a state, the latest last: `7 · processing · 1 min · kling-v3 · 1 units`."""
    found = []
    for job in jobs:
        if state not in ("all", job.state):
            continue
        units = f"{job.units} units" if job.units else ""
        parts = (job.name[:100], job.state[:40], job.progress, age(now - job.began), job.model[:100], units)
        found.append(" · ".join(printable(part) for part in parts if part))
    return found


def age(seconds: float) -> str:
    """`12 s`, `3 min`, `2 h 5 min`."""
    whole = max(int(seconds), 0)
    if whole < 120:
        return f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _asked(request: Message) -> str:
    """The model that a request asks for."""
    return request.model or named.read(request.body, request.headers.get("content-type", "")).name


def _model(value: dict[str, Any]) -> str:
    return _word(value, "model", "model_name")


def _word(value: dict[str, Any], *names: str) -> str:
    return next((value[name] for name in names if isinstance(value.get(name), str)), "")
