"""The steps of a job: claim it, ask the gateway, decide, and write down what was decided."""

from __future__ import annotations

import contextlib
import logging
import secrets
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from . import decisions
from .client import Client, Downloader, DownloadFailed
from .decisions import Decision, Download, Standing
from .records import Job, StoredFile
from .replies import Verdict
from .scheduling import Limits
from .states import State
from .storage import Storage, StorageError, object_name
from .store import Store
from .timing import Timing, delay, typical_seconds

logger = logging.getLogger(__name__)

_RENEWALS = 3
"""A lease is renewed so many times in its length."""


class Steps:
    """What a worker does with jobs. May be used by many threads, and beside others of other processes.

    `clients` are by account. `callback` gives the address that Kling calls for a job; None: it calls nobody. Nothing is
    remembered between two steps but what the store holds.
    """

    def __init__(
        self,
        store: Store,
        clients: Mapping[str, Client],
        downloader: Downloader,
        storage: Storage,
        limits: Limits,
        timing: Timing,
        *,
        clock: Callable[[], float] = time.time,
        worker: str = "",
        callback: Callable[[str], str] | None = None,
    ) -> None:
        self._store, self._clients, self._downloader, self._storage = store, clients, downloader, storage
        self._limits, self._timing, self._clock, self._worker = limits, timing, clock, worker
        self._callback = callback
        # A question and a create.
        self._lease = 2 * timing.request + timing.lease

    def next(self) -> Job | None:
        """Take the next job out of the queue and buy it; the job as it is then, None where none can be taken now."""
        job = self._store.claim_next(
            self._limits,
            self._timing,
            self._clock(),
            claim=secrets.token_hex(16),
            lease=self._lease,
            worker=self._worker,
        )
        return job and self._safely(job, lambda: self._create(job, is_first=True))

    def step(self, job_id: str) -> Job | None:
        """Do the next step of a job that has left the queue; None where it is not due, or others work on it."""
        job = self._store.claim(job_id, self._clock(), claim=secrets.token_hex(16), lease=self._lease)
        return job and self._safely(job, lambda: self._step(job))

    def _safely(self, job: Job, step: Callable[[], Job | None]) -> Job | None:
        try:
            if job.account not in self._clients:
                reason = f"the account {job.account} is not configured here"
                return self._commit(job, Decision(job.state, reason, self._timing.probe))
            return step()
        except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError) as error:
            # A mistake of this program must not be repeated in a loop. What was sent is asked for next time.
            logger.exception("platform: a step of %s failed", job.id)
            reason = f"a step failed: {type(error).__name__}"
            return self._commit(job, Decision(job.state, reason, delay(self._timing.again, job.tries)))

    def _step(self, job: Job) -> Job | None:
        if job.state is State.PROCESSING:
            return self._look(job)
        if job.state is State.FETCHING:
            return self._fetch(job, "")
        return self._ask(job)

    def _ask(self, job: Job) -> Job | None:
        """Ask for a purchase that may have been made, and make it only where Kling says that it was not."""
        if not job.has_name:
            return self._commit(job, decisions.without_name(self._standing(job)))
        reply = self._clients[job.account].find(job.path, decisions.name(job.id, job.attempt))
        decision = decisions.after_question(self._standing(job), reply, self._timing, self._clock())
        if decision.state is not State.SUBMITTING:
            return self._commit(job, decision)
        going_on = self._commit(job, decision, keeps_claim=True)
        return going_on and self._create(going_on, is_first=False)

    def _create(self, job: Job, *, is_first: bool) -> Job | None:
        name = decisions.name(job.id, job.attempt) if job.has_name else ""
        body = self._store.body(job.id)
        assert body, "only a job that has ended loses it"
        callback = self._callback(job.id) if self._callback else ""
        reply = self._clients[job.account].create(job.path, body, name, callback)
        return self._commit(job, decisions.after_create(self._standing(job, is_first), reply, self._timing))

    def _look(self, job: Job) -> Job | None:
        reply = self._clients[job.account].find(job.path, job.task_id)
        decision = decisions.after_look(self._standing(job), reply, self._timing, self._clock())
        if decision.state is not State.FETCHING or not reply.task:
            return self._commit(job, decision)
        going_on = self._commit(job, decision, keeps_claim=True)
        return going_on and self._fetch(going_on, reply.task.url)

    def _fetch(self, job: Job, link: str) -> Job | None:
        """Fetch a result and store it; without a link at hand, ask for one: they hold for a time only."""
        if job.is_discarded:
            return self._commit(job, decisions.DISCARDED)
        download, file = Download(), None
        try:
            file = self._stored(job, link or self._link(job))
        except DownloadFailed as failed:
            download = Download(str(failed), failed.is_link_dead, failed.is_away)
        except (StorageError, OSError) as error:
            problem = str(error) if isinstance(error, StorageError) else type(error).__name__
            download = Download(problem, is_away=True)
        decision = decisions.after_download(self._standing(job), download, self._timing, self._clock())
        done = self._commit(job, decision, file=file)
        if file and done and done.is_discarded:
            # It was thrown away while it was fetched.
            with contextlib.suppress(StorageError):
                self._storage.delete(file.object_name)
        return done

    def _link(self, job: Job) -> str:
        reply = self._clients[job.account].find(job.path, job.task_id)
        if not (reply.task and reply.task.url):
            is_said = reply.verdict in (Verdict.TAKEN, Verdict.MISSING)
            raise DownloadFailed(reply.message or "Kling names no file", is_away=not is_said)
        return reply.task.url

    def _stored(self, job: Job, link: str) -> StoredFile:
        renewed_at = self._clock()

        def alive() -> bool:
            nonlocal renewed_at
            now = self._clock()
            if now - renewed_at < self._lease / _RENEWALS:
                return True
            renewed_at = now
            return self._store.renew(job, now, self._lease)

        name = object_name(job.tenant, job.id, job.created_at)
        with tempfile.TemporaryDirectory(prefix="ai-proxy-result-") as folder:
            path = Path(folder) / "result"
            with path.open("wb") as into:
                digest, size = self._downloader.fetch(link, into, alive)
            if not self._store.renew(job, self._clock(), self._lease):
                raise DownloadFailed("somebody else fetches it")
            self._storage.put(name, path)
        return StoredFile(name, digest, size)

    def _standing(self, job: Job, is_first: bool = False) -> Standing:
        return Standing(
            job.state,
            job.estimate,
            job.submitted_at,
            typical_seconds(job.model, job.seconds, self._timing),
            job.tries,
            job.attempt,
            job.has_name,
            job.faults,
            has_callbacks=self._callback is not None,
            is_discarded=job.is_discarded,
            is_first=is_first,
        )

    def _commit(
        self, job: Job, decision: Decision, *, file: StoredFile | None = None, keeps_claim: bool = False
    ) -> Job | None:
        return self._store.commit(
            job, decision, self._clock(), self._timing, worker=self._worker, file=file, keeps_claim=keeps_claim
        )
