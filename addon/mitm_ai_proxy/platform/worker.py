"""A worker: threads that do steps as messages come, and a sweep that finds what no message came for."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from huey.consumer import Consumer

from . import reconciling
from .database import StoreError
from .messages import THE_QUEUE, Messages
from .records import Job
from .states import FINAL, SLOT_STATES, State
from .steps import Steps
from .store import Store
from .timing import Timing
from .webhooks import Webhooks

logger = logging.getLogger(__name__)

_MOST_WAITING: Final = 1000
"""Messages beyond which the sweep adds none: those that are there come first."""
_MOST_SWEPT: Final = 200
_BETWEEN_QUESTIONS: Final = 60.0
"""Seconds between two questions whether what is done once in an hour is due."""


class _Consumer(Consumer):  # type: ignore[misc]
    """Huey's consumer within a program that has signals of its own."""

    def _set_signal_handlers(self) -> None:
        """Set none: the command stops its workers itself."""


class Worker:
    """Takes messages with a number of threads. Any number of workers, in any number of processes, share the jobs.

    `hourly` is done by one of them once in an hour. `webhooks` are sent as long as it works.
    """

    def __init__(
        self,
        store: Store,
        steps: Steps,
        messages: Messages,
        timing: Timing,
        *,
        threads: int = 8,
        hourly: Callable[[], None] = lambda: None,
        webhooks: Webhooks | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._steps, self._messages = store, steps, messages
        self._timing, self._clock, self._hourly, self._webhooks = timing, clock, hourly, webhooks
        self._asked_at = 0.0
        messages.work_with(self._do)
        self._consumer: Any = _Consumer(
            messages.huey,
            workers=threads,
            periodic=False,
            initial_delay=0.05,
            max_delay=min(1.0, timing.sweep),
            scheduler_interval=1,
            check_worker_health=False,
        )
        self._ended = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep_on, name="platform-sweep", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._consumer.start()
        self._sweeper.start()
        if self._webhooks:
            self._webhooks.start()

    def stop(self) -> None:
        """Take no more messages, and wait until the steps in hand have ended."""
        self._ended.set()
        self._consumer.stop(graceful=True)
        self._consumer.scheduler.join()
        self._sweeper.join()
        if self._webhooks:
            self._webhooks.stop()

    def sweep(self) -> int:
        """Wake what is overdue and has nobody, and the queue if anything waits there; how many messages that took."""
        if self._messages.waiting() >= _MOST_WAITING:
            return 0
        overdue = self._store.due(self._clock() - self._timing.sweep, _MOST_SWEPT)
        found = [*overdue, *([THE_QUEUE] if self._store.counts().get(State.QUEUED) else [])]
        for job_id in found:
            self._messages.wake(job_id)
        return len(found)

    def _do(self, job_id: str) -> None:
        """What a message asks for. What comes next is only sent when it is written: the sweep would find it, too."""
        try:
            job = self._steps.next() if job_id == THE_QUEUE else self._steps.step(job_id)
        except StoreError as error:
            # The lease ends, and the sweep finds the job.
            logger.warning("platform: %s", error)
            return
        if job is None:
            return
        self._follow(job)
        # More may wait than one; and a slot that fell free is the next job's.
        if job_id == THE_QUEUE or job.state not in SLOT_STATES:
            self._messages.wake(THE_QUEUE)

    def _follow(self, job: Job) -> None:
        if job.state not in FINAL and job.state is not State.QUEUED:
            self._messages.wake(job.id, max(0.0, job.next_at - self._clock()))

    def _do_hourly(self) -> None:
        now = self._clock()
        if now - self._asked_at < _BETWEEN_QUESTIONS:
            return
        self._asked_at = now
        if self._store.books.is_due(reconciling.NAME, reconciling.EVERY, now):
            self._hourly()

    def _sweep_on(self) -> None:
        while not self._ended.wait(self._timing.sweep):
            try:
                self.sweep()
                self._do_hourly()
            except Exception as error:
                # Whatever it was, the next one may succeed; without sweeps, jobs would be lost.
                logger.warning("platform: a sweep failed: %s", type(error).__name__)
        self._messages.close()
