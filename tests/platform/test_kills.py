"""Workers that are killed at every point of a job's way: it is bought once, stored, and settled once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mitm_ai_proxy.platform.store import Store
from tests.platform.dying import POINTS
from tests.platform.proxy import Proxy
from tests.platform.test_steps import Worker
from tests.platform.workers import ROOT

FAULTS = ("", " [simulate: lost*1]", " [simulate: accepted=5002*1]")


@pytest.mark.programs
def test_a_worker_that_is_killed_at_any_point_is_succeeded_by_another(
    proxy: Proxy, store: Store, tmp_path: Path
) -> None:
    proxy.renew(concurrency=1000)
    worker = Worker(proxy.embedded.origin, store, tmp_path)
    jobs = []
    for point in POINTS:
        for fault in FAULTS:
            # The queue has them in this order.
            worker.now += 1
            jobs.append((worker.accept(f"a cat{fault}, {point}"), point))
    given = {"origin": proxy.embedded.origin, "folder": str(tmp_path), "now": worker.now, "jobs": jobs}

    subprocess.run(
        [sys.executable, "-m", "tests.platform.dying"], input=json.dumps(given), text=True, check=True, cwd=ROOT
    )

    left = {point: [str(worker.job(job_id).state) for job_id, other in jobs if other == point] for point in POINTS}
    assert left["committed, not sent"] == ["submitting"] * len(FAULTS)
    assert left["stored, not written"] == ["fetching"] * len(FAULTS)
    for job_id, point in jobs:
        job = worker.run(job_id)
        found = (str(job.state), str(job.money), job.actual, worker.bought(job_id))
        assert (point, *found) == (point, "stored", "settled", 3000, 1)
        assert (tmp_path / "results" / job.object_name).stat().st_size == job.size
    assert store.balance("day") == (3000 * len(jobs), 0)
    assert len([path for path in (tmp_path / "results").rglob("*") if path.is_file()]) == len(jobs)
    worker.close()
