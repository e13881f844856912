"""Workers: messages wake them, a sweep finds what no message came for, and a kill loses nothing."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.platform.client import Client, Downloader
from mitm_ai_proxy.platform.database import StoreError
from mitm_ai_proxy.platform.messages import THE_QUEUE, Messages
from mitm_ai_proxy.platform.scheduling import Limits
from mitm_ai_proxy.platform.states import FINAL, State
from mitm_ai_proxy.platform.steps import Steps
from mitm_ai_proxy.platform.storage import Storage
from mitm_ai_proxy.platform.store import Store
from mitm_ai_proxy.platform.timing import Timing
from mitm_ai_proxy.platform.worker import Worker
from tests.platform.orders import claimed, order
from tests.platform.proxy import Proxy
from tests.platform.servers import Postgres, Redis, binary

DEADLINE = 120.0
FAST = Timing(
    typical=0.1, look=0.05, request=20, doubt=(0.05,), again=(0.05,) * 12, full=0.05, probe=0.1, raise_=0.2, sweep=0.1
)


def _until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    ends_at = time.monotonic() + DEADLINE
    tick = threading.Event()
    while not condition():
        assert time.monotonic() < ends_at
        tick.wait(0.02)


@contextmanager
def _working(
    origin: str,
    store: Store,
    folder: Path,
    *,
    threads: int = 4,
    slots: int = 5,
    queue: Path | Secret | None = None,
    timing: Timing = FAST,
) -> Iterator[Messages]:
    client, downloader, messages = Client(origin, seconds=20), Downloader(), Messages(queue or folder / "queue.db")
    limits = Limits({"main": slots}, {})
    steps = Steps(store, {"main": client}, downloader, Storage(folder / "results"), limits, timing, worker="w")
    worker = Worker(store, steps, messages, timing, threads=threads)
    worker.start()
    try:
        yield messages
    finally:
        worker.stop()
        messages.close()
        client.close()
        downloader.close()


def _accept(store: Store, count: int, prompt: str = "a cat") -> list[str]:
    ids = [f"job_{number}" for number in range(count)]
    for job_id in ids:
        body = json.dumps({"model_name": "kling-v3", "prompt": prompt, "duration": "5"})
        store.accept(order(job_id, body=body), [], time.time())
    return ids


def _all_ended(store: Store) -> bool:
    return set(store.counts()) <= FINAL


@pytest.mark.parametrize(("count", "fault"), [(8, ""), (2, "[simulate: lost*1]")])
def test_all_jobs_are_stored(count: int, fault: str, proxy: Proxy, store: Store, tmp_path: Path) -> None:
    proxy.renew()
    ids = _accept(store, count, f"a cat {fault}")
    with _working(proxy.embedded.origin, store, tmp_path, slots=2) as messages:
        messages.wake(THE_QUEUE)
        _until(lambda: _all_ended(store))

    assert store.counts() == {State.STORED: count}
    assert len(list((tmp_path / "results").rglob("*.mp4"))) == len(ids)


def test_what_no_message_came_for_is_found(proxy: Proxy, store: Store, tmp_path: Path) -> None:
    """One job waits, another was left by a worker that died an hour ago."""
    proxy.renew()
    _accept(store, 2)
    assert claimed(store, time.time() - 3600)
    with _working(proxy.embedded.origin, store, tmp_path):
        _until(lambda: _all_ended(store))

    assert store.counts() == {State.STORED: 2}


def test_two_workers_share_the_jobs_and_never_hold_more_slots_than_there_are(
    proxy: Proxy, store: Store, tmp_path: Path
) -> None:
    proxy.renew()
    _accept(store, 6)
    most = 0

    def is_done() -> bool:
        nonlocal most
        most = max(most, sum(held.slots for held in store.held()))
        return _all_ended(store)

    with (
        closing(Store(tmp_path / "jobs.db")) as second,
        _working(proxy.embedded.origin, store, tmp_path, slots=2),
        _working(proxy.embedded.origin, second, tmp_path, slots=2),
    ):
        _until(is_done)

    assert store.counts() == {State.STORED: 6}
    assert 1 <= most <= 2
    assert not any("no free slot" in event.reason for event in store.events())


@pytest.mark.programs
def test_a_redis_that_was_flushed_and_is_killed_costs_time_and_no_job(
    proxy: Proxy, store: Store, tmp_path: Path
) -> None:
    if not binary("redis-server"):
        pytest.skip("Redis is not installed")
    proxy.renew()
    redis = Redis()
    try:
        with _working(proxy.embedded.origin, store, tmp_path, queue=Secret(redis.url)) as messages:
            _accept(store, 3)
            messages.wake(THE_QUEUE)
            messages.huey.storage.conn.flushall()
            _until(lambda: _all_ended(store))
            redis.kill()
            store.accept(order("away"), [], time.time())
            messages.wake(THE_QUEUE)
            redis.start()
            _until(lambda: _all_ended(store))
    finally:
        redis.close()

    assert store.counts() == {State.STORED: 4}


def test_a_postgres_that_is_restarted_costs_time_and_no_job(
    proxy: Proxy, postgres: Postgres, postgres_store: Store, tmp_path: Path
) -> None:
    """What a step had in hand is taken over when its lease is over."""
    proxy.renew()
    ids = _accept(postgres_store, 6)
    timing = dataclasses.replace(FAST, request=1, lease=1)
    with _working(proxy.embedded.origin, postgres_store, tmp_path, slots=2, timing=timing) as messages:
        messages.wake(THE_QUEUE)
        _until(lambda: State.STORED in postgres_store.counts())
        postgres.kill()
        with pytest.raises(StoreError):
            postgres_store.accept(order("away"), [], time.time())
        postgres.start()
        _until(lambda: _all_ended(postgres_store))

    assert postgres_store.counts() == {State.STORED: len(ids)}
    assert len(list((tmp_path / "results").rglob("*.mp4"))) == len(ids)


def test_a_step_in_hand_is_ended_before_a_worker_stops(
    proxy: Proxy, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.renew()
    entered, go_on = threading.Event(), threading.Event()
    create = Client.create

    def slow(client: Client, *given: str) -> Any:
        entered.set()
        assert go_on.wait(DEADLINE)
        return create(client, *given)

    monkeypatch.setattr(Client, "create", slow)
    _accept(store, 1)
    with _working(proxy.embedded.origin, store, tmp_path, threads=1) as messages:
        messages.wake(THE_QUEUE)
        assert entered.wait(DEADLINE)
        threading.Timer(0.05, go_on.set).start()

    assert store.counts() == {State.PROCESSING: 1}
    # Nobody has to wait for a lease.
    assert [(job.claim, job.lease_until) for job in store.jobs()] == [("", 0.0)]


def test_messages_are_json_and_hold_an_id_alone(tmp_path: Path) -> None:
    messages = Messages(tmp_path / "queue.db")
    messages.wake("job_1")
    messages.wake("job_2", 60)
    messages.close()

    with closing(sqlite3.connect(tmp_path / "queue.db")) as connection:
        rows = connection.execute("SELECT data FROM task UNION ALL SELECT data FROM schedule").fetchall()
    found = [json.loads(row[0])["message"] for row in rows]
    assert [message["args"] for message in found] == [["job_1"], ["job_2"]]
    assert {message["name"].rpartition(".")[2] for message in found} == {"step"}


def test_a_message_that_cannot_be_sent_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    messages = Messages(tmp_path / "queue.db")
    messages.close()
    with closing(sqlite3.connect(tmp_path / "queue.db")) as connection:
        connection.execute("DROP TABLE task")

    messages.wake("job_1")
    messages.close()

    assert "no message for job_1" in caplog.text


def test_a_sweep_adds_nothing_while_many_messages_wait(store: Store, tmp_path: Path) -> None:
    messages = Messages(tmp_path / "queue.db")
    steps = Steps(store, {}, Downloader(), Storage(tmp_path / "results"), Limits({}, {}), FAST)
    worker = Worker(store, steps, messages, FAST)
    assert worker.sweep() == 0
    _accept(store, 1)
    assert (worker.sweep(), messages.waiting()) == (1, 1)

    with messages.huey.storage.db(commit=True) as cursor:
        cursor.executemany("INSERT INTO task (queue, data, priority) VALUES (?, ?, 0)", [("platform", b"{}")] * 1000)
    assert worker.sweep() == 0
    messages.close()
