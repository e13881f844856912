"""Many jobs with faults, while workers and Redis are killed: none is lost, none is bought twice.

    python -m tests.platform.kills [jobs] [sqlite|postgres] [redis]

runs it by itself, and prints what it found.
"""

from __future__ import annotations

import collections
import http.client
import json
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final, NamedTuple

from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.platform import orders
from mitm_ai_proxy.platform.intake import Caller, Intake
from mitm_ai_proxy.platform.postgres import PostgresDatabase
from mitm_ai_proxy.platform.records import Event
from mitm_ai_proxy.platform.schema import MIGRATIONS
from mitm_ai_proxy.platform.settings import PlatformSettings
from mitm_ai_proxy.platform.states import FINAL, State
from mitm_ai_proxy.platform.store import Store
from tests.platform.proxy import Proxy
from tests.platform.servers import Postgres, Redis
from tests.platform.workers import Workers

LIMIT: Final = 5
FAULTS: Final = ("lost", "accepted=5002", "garbage", "5000", "truncated")
SECONDS: Final = 2.0
"""What a task takes."""
_CONFIG: Final = """
platform:
  concurrency: %d
  timing:
    {typical: %f, look: 0.5, request: 2, lease: 1, doubt: [0.5, 1, 2],
     again: [0.5, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2], full: 0.5, probe: 2, raise: 5, sweep: 0.5}
"""
_TASKS: Final = "/v1/videos/text2video"


class Found(NamedTuple):
    """What there was in the end. `most`: jobs that held a slot at one time; `refused`: creates above Kling's limit."""

    stored: int
    bought: int
    twice: int
    most: int
    refused: int
    spent: int
    reserved: int
    files: int
    workers_killed: int
    redis_killed: int
    seconds: float
    states: dict[str, int]
    failures: list[str]


def run(
    folder: Path,
    jobs: int,
    proxy: Proxy,
    *,
    postgres: Postgres | None = None,
    redis: Redis | None = None,
    seconds: float = SECONDS,
    pause: tuple[float, float] = (1.0, 2.5),
    deadline: float = 900.0,
    signals: Sequence[signal.Signals] = (signal.SIGKILL,),
) -> Found:
    """Accept the jobs, half of them with a fault at their create, and end workers until all have ended.

    Each time by the next of these signals; one that is told to end by SIGTERM has to do so well.
    """
    config, data = folder / "config.yaml", folder / "data"
    data.mkdir()
    config.write_text(_CONFIG % (LIMIT, seconds))
    environment = {"GATEWAY_URL": proxy.embedded.origin, "PLATFORM_DATA": str(data)}
    if postgres:
        postgres.clear()
        environment["DATABASE_URL"] = postgres.url
        store = Store(PostgresDatabase(Secret(postgres.url), MIGRATIONS))
    else:
        store = Store(data / "jobs.db")
    if redis:
        environment["REDIS_URL"] = redis.url
    proxy.renew(speed=170 / seconds, concurrency=LIMIT)
    with closing(store), ExitStack() as stack:
        workers = Workers(config, environment)
        stack.callback(workers.close)
        intake = Intake(store, PlatformSettings(), lambda _: None)
        budget = intake.budgets(Caller(), time.time())[0].name
        for number in range(jobs):
            fault = f" [simulate: {FAULTS[number // 2 % len(FAULTS)]}*1]" if number % 2 else ""
            intake.accept(Caller(), orders.read(json.dumps({"prompt": f"cat {number}{fault}"}).encode()))
        began, most, killed, redis_killed = time.monotonic(), 0, 0, 0
        running = [workers.start("--threads", "4") for _ in range(2)]
        next_kill, redis_kills = began + pause[0], [began + 2.5 * seconds, began + 6 * seconds]
        while not set(counts := store.counts()) <= FINAL:
            now = time.monotonic()
            assert now - began < deadline, (counts, workers.log.read_text()[-2000:])
            most = max(most, sum(held.slots for held in store.held()))
            # One that has begun: a busy machine takes its time for the start of the next one.
            if now >= next_kill and workers.begun() >= killed + len(running):
                number = signals[killed % len(signals)]
                status = workers.end(running.pop(0), number)
                assert status == (-number if number == signal.SIGKILL else 0)
                running.append(workers.start("--threads", "4"))
                killed += 1
                next_kill = now + random.uniform(*pause)
            if redis and redis_kills and now >= redis_kills[0]:
                redis_kills.pop(0)
                redis.kill()
                redis.start()
                redis_killed += 1
            time.sleep(0.1)
        names = collections.Counter(_names(proxy))
        balance = store.balance(budget)
        return Found(
            counts.get(State.STORED, 0),
            sum(names.values()),
            sum(count > 1 for count in names.values()),
            most,
            sum("no free slot" in event.reason for event in _events(store)),
            balance.spent,
            balance.reserved,
            len(list((data / "results").rglob("*.mp4"))),
            killed,
            redis_killed,
            round(time.monotonic() - began, 1),
            {str(state): count for state, count in counts.items()},
            [f"{job.error}: {job.message}" for job in store.jobs(states=[State.FAILED])],
        )


def _events(store: Store) -> list[Event]:
    found: list[Event] = []
    after = 0
    while page := store.events(after=after):
        found += page
        after = page[-1].number
    return found


def _names(proxy: Proxy) -> list[str]:
    """The jobs of Kling's tasks, whichever of their names a task has."""
    found: list[str] = []
    for page in range(1, 20):
        connection = http.client.HTTPConnection("127.0.0.1", proxy.embedded.port, timeout=20)
        connection.request("GET", f"{_TASKS}?pageNum={page}&pageSize=500")
        tasks = json.loads(connection.getresponse().read())["data"]
        connection.close()
        found += [task["task_info"].get("external_task_id", "").partition("~")[0] for task in tasks]
        if len(tasks) < 500:
            break
    return found


def _main(words: list[str]) -> None:
    jobs = next((int(word) for word in words if word.isdigit()), 120)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        proxy = Proxy()
        proxy.embedded.start()
        stack.callback(proxy.embedded.stop)
        postgres = Postgres() if "postgres" in words else None
        redis = Redis() if "redis" in words else None
        for server in (postgres, redis):
            if server:
                stack.callback(server.close)
        found = run(folder, jobs, proxy, postgres=postgres, redis=redis, deadline=3600)
        for name, value in found._asdict().items():
            print(f"{name:15} {value}")


if __name__ == "__main__":
    _main(sys.argv[1:])
