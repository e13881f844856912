"""Creates that arrive together, over HTTP: written together, each answered when it is committed, or refused whole."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.platform import messages
from mitm_ai_proxy.platform.sqlite import SqliteDatabase
from mitm_ai_proxy.platform.store import Store
from mitm_ai_proxy.platform.worker import Worker
from tests.platform.orders import TIMING
from tests.platform.servers import Postgres, Redis
from tests.platform.web.server import SEEDS_BODY, Answer, Server

BUDGET = {"tenants": {"default": {"dailyUnits": 30}}}


def _create(server: Server, body: Any = SEEDS_BODY, **fields: str) -> Answer:
    return server.ask("POST", "/api/videos", body, fields={name.replace("_", "-"): fields[name] for name in fields})


def _day(server: Server) -> str:
    return str(server.ask("GET", "/api/usage").json["budgets"][0]["name"])


def _until(condition: Callable[[], bool]) -> None:
    tick = threading.Event()
    for _ in range(12_000):
        if condition():
            return
        tick.wait(0.005)
    raise AssertionError("it did not come to that")


def test_those_that_wait_share_a_transaction_and_none_fails_for_another(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: list[int] = []
    may_go, accept_all = threading.Event(), server.store.accept_all

    def slow(asks: Any) -> Any:
        groups.append(len(asks))
        assert may_go.wait(60)
        return accept_all(asks)

    monkeypatch.setattr(server.store, "accept_all", slow)
    with ThreadPoolExecutor(8) as threads:
        sent = [threads.submit(_create, server)]
        _until(lambda: groups == [1])
        sent += [threads.submit(_create, server) for _ in range(3)]
        sent += [threads.submit(_create, server, idempotency_key="k") for _ in range(2)]
        wrong = threads.submit(_create, server, {"prompt": "a cat", "colour": "red"})
        _until(lambda: len(server.application._creates._waiting) == 6)
        assert server.counts() == 0
        may_go.set()
        answers = [future.result() for future in sent]

    assert groups == [1, 5]
    assert wrong.result().error == (400, "invalid_body", "colour")
    assert [answer.status for answer in answers] == [202] * 6
    jobs = {answer.json["job_id"]: answer.json["position"] for answer in answers}
    assert sorted(jobs.values()) == [1, 2, 3, 4, 5]
    assert (server.counts(), server.messages.waiting()) == (5, 5)


def test_a_group_that_fails_is_answered_and_the_next_one_is_taken(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(server.store, "accept_all", lambda _: 1 / 0)
        assert _create(server).error == (500, "platform_error", None)

    assert _create(server).status == 202
    assert server.counts() == 1


def test_a_locked_file_is_503_for_all_and_nothing_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with (
        Server(tmp_path, store=Store(path, patience=0.05)) as server,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
        ThreadPoolExecutor(4) as threads,
    ):
        other.execute("BEGIN IMMEDIATE")
        answers = list(threads.map(lambda _: _create(server), range(4)))
        other.execute("ROLLBACK")

        assert [answer.error for answer in answers] == [(503, "database_away", None)] * 4
        assert {answer.fields["retry-after"] for answer in answers} == {"2"}
        assert (server.counts(), server.messages.waiting()) == (0, 0)
        assert _create(server).status == 202


def test_a_full_disk_is_503_and_the_next_one_that_fits_is_taken(server: Server) -> None:
    server.made()
    database = server.store._database
    assert isinstance(database, SqliteDatabase)
    with database._connection() as connection:
        connection.execute("PRAGMA max_page_count = 1")  # no more than it has

    long = {**SEEDS_BODY, "metadata": {"a": "x" * 16_000}}
    assert _create(server, long, idempotency_key="k").error == (503, "database_away", None)
    assert (server.counts(), server.store.balance(_day(server)).reserved) == (1, 3000)
    assert [_create(server, long, idempotency_key="k").status for _ in range(2)] == [202, 202]
    assert (server.counts(), server.store.balance(_day(server)).reserved) == (2, 6000)


def test_a_killed_postgres_is_503_until_it_is_back(postgres: Postgres, postgres_store: Store, tmp_path: Path) -> None:
    with Server(tmp_path, store=postgres_store) as server, ThreadPoolExecutor(4) as threads:
        server.made()
        postgres.kill()
        answers = list(threads.map(lambda _: _create(server), range(4)))
        postgres.start()

        assert [answer.error for answer in answers] == [(503, "database_away", None)] * 4
        assert server.counts() == 1
        assert [answer.status for answer in threads.map(lambda _: _create(server), range(4))] == [202] * 4
        assert (server.counts(), server.store.balance(_day(server)).reserved) == (5, 15_000)


def test_a_redis_that_is_killed_and_flushed_loses_no_create(
    redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "_AWAY_SECONDS", 0.0)
    with Server(tmp_path, queue=Secret(redis.url)) as server:
        server.messages.huey.flush()
        server.made()
        redis.kill()
        assert [_create(server).status for _ in range(2)] == [202, 202]
        assert server.ask("GET", "/readyz").status == 200
        redis.start()
        server.messages.huey.flush()
        worker = Worker(server.store, Any, server.messages, TIMING, threads=1)  # type: ignore[arg-type]

        assert (server.counts(), server.messages.waiting()) == (3, 0)
        assert (worker.sweep(), server.messages.waiting()) == (1, 1)


def test_fifty_creates_at_once_take_what_the_budget_holds(either_store: Store, tmp_path: Path) -> None:
    with Server(tmp_path, BUDGET, store=either_store) as server, ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(lambda _: _create(server), range(50)))
        left = server.ask("GET", "/api/usage").json["budgets"][0]

        assert sorted(answer.status for answer in answers) == [202] * 10 + [402] * 40
        assert (left["reserved"], left["left"], server.counts()) == (30, 0, 10)
