"""A worker that is killed at a named point of a job's way, run as a process of its own.

It reads, as JSON, the gateway, the folder of the store, the time, and for each job its point; it forks for each.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from mitm_ai_proxy.platform.client import Client, Downloader
from mitm_ai_proxy.platform.scheduling import Limits
from mitm_ai_proxy.platform.states import State
from mitm_ai_proxy.platform.steps import Steps
from mitm_ai_proxy.platform.storage import Storage
from mitm_ai_proxy.platform.store import Store
from tests.platform.orders import TIMING

_MOST_STEPS: Final = 30


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _before(owner: type, name: str, state: State | None = None) -> Callable[[], None]:
    """Die before a method is called; of commit(), only with a decision for this state."""

    def arm() -> None:
        method = getattr(owner, name)

        def dying(*given: Any, **named: Any) -> Any:
            if state is None or given[2].state is state:
                _die()
            return method(*given, **named)

        setattr(owner, name, dying)

    return arm


def _after(owner: type, name: str) -> Callable[[], None]:
    """Die when a method has returned."""

    def arm() -> None:
        method = getattr(owner, name)

        def dying(*given: Any, **named: Any) -> None:
            method(*given, **named)
            _die()

        setattr(owner, name, dying)

    return arm


POINTS: Final = {
    "committed, not sent": _before(Client, "create"),
    "sent, the answer not read": _after(Client, "create"),
    "bought, not written": _before(Store, "commit", State.PROCESSING),
    "bought, not looked at": _before(Client, "find"),
    "seen to be done, not written": _before(Store, "commit", State.FETCHING),
    "settled, not downloaded": _before(Downloader, "fetch"),
    "downloaded, not stored": _before(Storage, "put"),
    "stored, not written": _after(Storage, "put"),
    "the end not written": _before(Store, "commit", State.STORED),
}
"""The crash points of the purchase."""


def _work(origin: str, folder: Path, now: float, job_id: str) -> None:
    """Do a job's steps."""
    store = Store(folder / "jobs.db")
    at = [now]
    steps = Steps(
        store,
        {"main": Client(origin, seconds=20)},
        Downloader(seconds=20),
        Storage(folder / "results"),
        Limits({"main": 1000}, {}),
        TIMING,
        clock=lambda: at[0],
    )
    for _ in range(_MOST_STEPS):
        job = store.job(job_id)
        assert job
        if job.state is State.QUEUED:
            steps.next()
        else:
            at[0] = max(at[0], job.next_at)
            steps.step(job_id)


def _main() -> int:
    given = json.load(sys.stdin)
    for job_id, point in given["jobs"]:
        pid = os.fork()
        if not pid:
            try:
                POINTS[point]()
                _work(given["origin"], Path(given["folder"]), given["now"], job_id)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != -signal.SIGKILL:
            print(f"{point}: {job_id} was not killed", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
