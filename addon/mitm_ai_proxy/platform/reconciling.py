"""Compares the store with Kling's own books: prices that were learned late, and tasks that no job here has.

Source: Kling API documentation, lists of tasks, account billing.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from ..kling import tasks
from . import money
from .books import Books, Orphan
from .client import Client
from .decisions import milli
from .replies import Verdict

EVERY: Final = 3600.0
"""Seconds between two comparisons, whichever worker makes them."""
NAME: Final = "reconciled"
PATHS: Final = ("/v1/videos/text2video", "/v1/videos/image2video", "/v1/videos/omni-video")
"""Where the tasks are that have names."""
LEDGER: Final = "/account/billing/package"
_DAYS: Final = 30
_DAY: Final = 86_400.0
_MOST_PAGES: Final = 50
_PAGE: Final = 500
_OURS: Final = re.compile(r"(job_[0-9a-f]{24})(?:~[0-9]+)?")


class Report(NamedTuple):
    """What was found: prices learned late, prices that differ by a tenth or more, orphans, what could not be asked."""

    settled: tuple[str, ...]
    differing: tuple[str, ...]
    orphans: tuple[Orphan, ...]
    problems: tuple[str, ...]


class Reconciler:
    """Compares; `clients` are by account."""

    def __init__(self, books: Books, clients: Mapping[str, Client], *, clock: Callable[[], float] = time.time) -> None:
        self._books, self._clients, self._clock = books, clients, clock

    def run(self) -> Report:
        """Compare all accounts. Raises StoreError."""
        settled: list[str] = []
        differing: list[str] = []
        orphans: list[Orphan] = []
        problems: list[str] = []
        for account in self._clients:
            self._ask_for_prices(account, settled)
            self._read_ledger(account, settled, differing, problems)
            orphans += self._orphans(account, problems)
        self._books.keep(orphans, self._clock())
        return Report(tuple(settled), tuple(differing), tuple(orphans), tuple(problems))

    def _ask_for_prices(self, account: str, settled: list[str]) -> None:
        for job in self._books.unconfirmed(account):
            reply = self._clients[account].find(job.path, job.task_id) if job.task_id else None
            if reply and reply.cost and reply.cost.units is not None:
                self._settle(job.id, milli(reply.cost.units), settled)

    def _read_ledger(self, account: str, settled: list[str], differing: list[str], problems: list[str]) -> None:
        for row in self._ledger(account, problems):
            units = _units(row.get("amount"))
            job = self._books.of_task(account, str(row.get("task_id") or ""))
            if job is None or units is None:
                continue
            if job.actual is None:
                self._settle(job.id, units, settled)
            elif money.differs(job.actual, units):
                differing.append(
                    f"{job.id}: {money.shown(job.actual)} units here, {money.shown(units)} in Kling's books"
                )

    def _ledger(self, account: str, problems: list[str]) -> Iterator[Mapping[str, Any]]:
        now = self._clock()
        asked = {"start_time": int((now - _DAYS * _DAY) * 1000), "end_time": int(now * 1000), "limit": _PAGE}
        cursor = ""
        for _ in range(_MOST_PAGES):
            body = json.dumps({**asked, "cursor": cursor} if cursor else asked).encode()
            reply, document = self._clients[account].document("POST", LEDGER, body)
            data = tasks.envelope(document).data
            rows = data.get("result") if isinstance(data, dict) else None
            if not isinstance(rows, list):
                problems.append(f"{account}: Kling's books were not read: {reply.message or 'an answer without rows'}")
                return
            yield from (row for row in rows if isinstance(row, dict))
            cursor = str(data.get("next_cursor") or "")
            if not (cursor and data.get("has_more")):
                return

    def _orphans(self, account: str, problems: list[str]) -> list[Orphan]:
        found: list[Orphan] = []
        for path in PATHS:
            named = {orphan.name: orphan for orphan in self._named(account, path, problems)}
            ids = {name: match[1] for name in named if (match := _OURS.fullmatch(name))}
            missing = self._books.without_job(ids.values())
            found += [named[name] for name, job_id in ids.items() if job_id in missing]
        return found

    def _named(self, account: str, path: str, problems: list[str]) -> Iterator[Orphan]:
        since = (self._clock() - _DAYS * _DAY) * 1000
        for page in range(1, _MOST_PAGES + 1):
            target = f"{path}?pageNum={page}&pageSize={_PAGE}"
            reply, document = self._clients[account].document("GET", target)
            listed = tasks.tasks(tasks.envelope(document).data)
            if listed is None:
                if reply.verdict not in (Verdict.GONE, Verdict.DENIED):
                    problems.append(f"{account}: the list of {path} was not read: {reply.message}")
                return
            for _, task in listed:
                yield Orphan(account, task.task_id, task.external_task_id, path, task.status)
            if len(listed) < _PAGE or min(task.created or 0 for _, task in listed) < since:
                return

    def _settle(self, job_id: str, units: int, settled: list[str]) -> None:
        if self._books.settle(job_id, units, self._clock()):
            settled.append(f"{job_id}: {money.shown(units)} units")


def _units(amount: Any) -> int | None:
    try:
        return milli(float(amount))
    except (TypeError, ValueError, OverflowError):
        return None
