"""The jobs that answers tell of: name, state, age, model and units, from OpenAI's Video object or Kling's envelope."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any, Final, NamedTuple

from ..wire.printable import printable
from .subjects import subject

_MOST: Final = 1000
_LONGEST: Final = 1024 * 1024
"""Bytes of an answer that is read."""
_LISTED: Final = 200
_UNITS: Final = ("final_unit_deduction", "final_balance_deduction")


class Job(NamedTuple):
    """A job, as far as answers have told of it. `began` is when it was first seen, in Unix time."""

    name: str
    state: str
    began: float
    seen: float
    model: str = ""
    progress: str = ""
    units: str = ""


class Jobs:
    """The jobs that were seen, the latest 1,000."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, Job] = OrderedDict()

    def __iter__(self) -> Any:
        return iter([*self._jobs.values()])

    def hear(self, path: str, request: bytes, answer: bytes, now: float) -> None:
        """Read an answer to a request to this path. `now` is Unix time."""
        about = subject(path)
        if about is None or about.kind != "job" or not 0 < len(answer) <= _LONGEST:
            return
        document = _object(answer)
        data = document.get("data", document) if document else None
        asked = _word(_object(request) or {}, "model", "model_name") if len(request) <= _LONGEST else ""
        for item in data[:_LISTED] if isinstance(data, list) else [data]:
            if isinstance(item, dict):
                self._take(item, asked, now)

    def _take(self, item: dict[str, Any], model: str, now: float) -> None:
        name, state = _word(item, "task_id", "id"), _word(item, "task_status", "status")
        if not name or not state:
            return
        before = self._jobs.get(name)
        began = before.began if before else now
        created = item.get("created_at")
        if before is None and isinstance(created, int | float) and 0 < created < 4e12:
            began = min(now, created / 1000 if created > 4e9 else created)
        progress = item.get("progress")
        job = Job(
            name,
            state,
            began,
            now,
            _word(item, "model", "model_name") or model or (before.model if before else ""),
            f"{progress} %" if isinstance(progress, int) and not isinstance(progress, bool) else "",
            next((str(item[unit])[:40] for unit in _UNITS if item.get(unit)), before.units if before else ""),
        )
        self._jobs[name] = job
        self._jobs.move_to_end(name)
        if len(self._jobs) > _MOST:
            self._jobs.popitem(last=False)


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
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _word(value: dict[str, Any], *names: str) -> str:
    return next((value[name] for name in names if isinstance(value.get(name), str)), "")
