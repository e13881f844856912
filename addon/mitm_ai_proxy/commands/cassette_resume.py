"""`ai-proxy cassette resume`: complete the jobs of a cassette, through a proxy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from .. import registry
from ..cassette import har, links, listing, polling
from ..cassette.budget import Budget
from ..cassette.cassette import Mode, Opening
from ..cassette.entry import Request, Response, header
from ..cassette.listing import Task
from ..cassette.missing import Missing, Pending, find_missing, results
from ..cassette.polling import INTERVAL, TIMEOUT, Reading
from .cassette_progress import Stop, complain, count, outcome, reported, say
from .cassette_providers import CassetteProviders
from .cassette_proxy import CassetteProxy

MOST_REDIRECTS: Final = 5


def resume(path: Path, config: Path, *, interval: float = INTERVAL, timeout: float = TIMEOUT) -> int:
    """Poll the unfinished jobs of a cassette, fetch their results, and add that to it; nothing is created.

    Returns the exit status: 0 if nothing is missing any more, else 1, with the reason on stderr.
    """
    return reported(lambda: _Resume(path, config, interval, timeout).run())


class _Resume:
    """The steps of resume()."""

    def __init__(self, path: Path, config: Path, interval: float, timeout: float) -> None:
        self._path, self._config = path, config
        self._interval, self._timeout = interval, timeout

    def run(self) -> bool:
        """All of it."""
        entries = har.read(self._path)
        # Before the configuration is read, which is not needed if nothing is missing.
        missing = find_missing(entries, registry.recorded_api())
        for line in missing.unknown:
            say(f"{self._path}: {line}")
        if not missing.pending:
            say(f"{self._path}: no job lacks anything, so there is nothing to do")
            return True
        providers = CassetteProviders(self._config)
        providers.check(self._path, [job.read for job in missing.pending])
        providers.reach()
        is_good = True
        # The budget of 0 ensures that no request that costs units is sent.
        opening = Opening(self._path, Mode.APPEND, Budget(0, providers.prices))
        with CassetteProxy(providers, opening, self._interval, self._timeout) as proxy:
            for job in missing.pending:
                try:
                    is_good &= self._complete(job, missing, proxy)
                except Stop as stop:
                    is_good = False
                    complain(stop)
        self._report()
        return is_good

    def _complete(self, job: Pending, missing: Missing, proxy: CassetteProxy) -> bool:
        """Poll a job to its end, and fetch its results; returns whether all of them could be fetched."""
        if job.is_doubtful:
            answer = proxy.ask(job.read)
            if polling.reading(answer, _told(job, answer)) is Reading.UNKNOWN:
                say(f"job {job.name}: the provider knows no such task, so it was not paid")
                return True
        response = proxy.poll(job.read, lambda answer: _told(job, answer), f"job {job.name}")
        task = job.task(response)
        assert task
        is_good = True
        for result in results(response, task, job.read, proxy.address):
            is_wanted = not missing.members or result.member in missing.members
            if result.link not in missing.fetched and is_wanted:
                is_good &= self._fetch(replace(job.read, url=result.here), proxy)
        return is_good

    def _fetch(self, request: Request, proxy: CassetteProxy) -> bool:
        what = proxy.described(request)
        for _ in range(MOST_REDIRECTS):
            answer = proxy.ask(request)
            location = header(answer.headers, "location") if answer and 300 <= answer.status < 400 else ""
            if not location:
                break
            request = replace(request, url=links.resolved(location, request.url))
        is_good = answer is not None and 200 <= answer.status < 300
        (say if is_good else complain)(f"{what}: {outcome(answer)}")
        return is_good

    def _report(self) -> None:
        entries = har.read(self._path)
        for job in listing.sort(entries).jobs:
            task = job.end(entries)
            state = f"ended as {task.status}" if task and task.is_ended else "has no end"
            say(f"{self._path}: job {job.name}: {state}, {count(len(job.files), 'file')}")


def _told(job: Pending, response: Response | None) -> list[Task]:
    task = job.task(response)
    return [task] if task else []
