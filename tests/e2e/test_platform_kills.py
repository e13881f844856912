"""Jobs whose workers and Redis are killed at random while half of the creates fail: none is lost or bought twice."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.platform import kills
from tests.platform.proxy import Proxy
from tests.platform.servers import Postgres, Redis, binary


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A gateway."""
    made = Proxy()
    made.embedded.start()
    yield made
    made.embedded.stop()


def _holds(found: kills.Found, jobs: int) -> None:
    assert (found.states, found.failures) == ({"stored": jobs}, [])
    assert (found.bought, found.twice, found.files) == (jobs, 0, jobs)
    assert (found.spent, found.reserved) == (3000 * jobs, 0)
    assert (found.most <= kills.LIMIT, found.refused) == (True, 0)
    assert found.workers_killed >= 3


def test_jobs_with_faults_whose_workers_and_redis_are_killed_are_bought_once_and_stored(
    proxy: Proxy, postgres: Postgres, tmp_path: Path
) -> None:
    if not binary("redis-server"):
        pytest.skip("Redis is not installed")
    with closing(Redis()) as redis:
        found = kills.run(tmp_path, 24, proxy, postgres=postgres, redis=redis, seconds=1.0, pause=(0.7, 1.7))

    _holds(found, 24)
    assert found.redis_killed == 2


def test_jobs_in_sqlite_whose_workers_are_killed_or_told_to_end_are_bought_once_and_stored(
    proxy: Proxy, tmp_path: Path
) -> None:
    signals = (signal.SIGTERM, signal.SIGKILL)
    _holds(kills.run(tmp_path, 12, proxy, seconds=1.0, pause=(0.3, 0.8), signals=signals), 12)
