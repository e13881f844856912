"""Jobs against a real gateway and a simulated Kling, over sockets: bought once, stored, settled by what was paid."""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mitm_ai_proxy.platform import replies
from mitm_ai_proxy.platform.client import Client, Downloader, DownloadFailed
from mitm_ai_proxy.platform.decisions import Decision
from mitm_ai_proxy.platform.money import Budget
from mitm_ai_proxy.platform.records import Job, Order
from mitm_ai_proxy.platform.replies import Reply
from mitm_ai_proxy.platform.scheduling import Limits
from mitm_ai_proxy.platform.states import FINAL, State
from mitm_ai_proxy.platform.steps import Steps
from mitm_ai_proxy.platform.storage import Storage
from mitm_ai_proxy.platform.store import Store
from tests.platform.orders import NOW, TIMING, claimed, order
from tests.platform.proxy import Proxy

PATH = "/v1/videos/text2video"
BUDGET = [Budget("day", 10**9, NOW)]
LOG = "mitm_ai_proxy.platform.steps"


class Worker:
    """A worker with a clock that jumps to when the next step is due."""

    def __init__(self, origin: str, store: Store, folder: Path, accounts: dict[str, int] | None = None) -> None:
        self.now, self.store, self.storage = NOW, store, Storage(folder / "results")
        self.client, self.downloader = Client(origin, seconds=20), Downloader(seconds=20)
        self.steps = self._steps(accounts or {"main": 5})

    def _steps(self, accounts: dict[str, int]) -> Steps:
        return Steps(
            self.store,
            {"main": self.client},
            self.downloader,
            self.storage,
            Limits(accounts, {}),
            TIMING,
            clock=lambda: self.now,
            worker="w",
        )

    def accept(self, prompt: str = "a cat", **changed: Any) -> str:
        """Put a job into the queue; its id."""
        body = json.dumps({"model_name": "kling-v3", "prompt": prompt, "duration": "5"})
        job_id = f"job_{hashlib.sha256(prompt.encode()).hexdigest()[:20]}"
        given: Order = order(**{"id": job_id, "body": body, **changed})
        return self.store.accept(given, BUDGET, self.now).job.id

    def job(self, job_id: str) -> Job:
        """A job as it stands."""
        found = self.store.job(job_id)
        assert found
        return found

    def run(self, job_id: str, most: int = 60) -> Job:
        """Do steps until a job has ended."""
        for _ in range(most):
            job = self.job(job_id)
            if job.state in FINAL:
                return job
            if job.state is State.QUEUED:
                if not self.steps.next():
                    self.now += 1
            else:
                self.now = max(self.now, job.next_at, job.lease_until)
                self.steps.step(job_id)
        raise AssertionError(self.way(job_id))

    def way(self, job_id: str) -> list[str]:
        """The states that a job has been in."""
        return [event.after for event in self.store.events(job_id)]

    def bought(self, job_id: str) -> int:
        """How many tasks Kling has of a job, under whatever attempt's name."""
        connection = http.client.HTTPConnection(self.client._url.removeprefix("http://"), timeout=20)
        connection.request("GET", f"{PATH}?pageNum=1&pageSize=500")
        tasks = json.loads(connection.getresponse().read())["data"]
        connection.close()
        return sum(task["task_info"].get("external_task_id", "").startswith(job_id) for task in tasks)

    def close(self) -> None:
        """Close its connections."""
        self.client.close()
        self.downloader.close()


@pytest.fixture
def worker(proxy: Proxy, store: Store, tmp_path: Path) -> Iterator[Worker]:
    """A worker of the gateway."""
    proxy.renew()
    made = Worker(proxy.embedded.origin, store, tmp_path)
    yield made
    made.close()


def test_a_job_is_bought_once_stored_and_settled(worker: Worker, tmp_path: Path) -> None:
    job = worker.run(worker.accept())

    assert worker.way(job.id) == ["queued", "submitting", "processing", "fetching", "stored"]
    assert (job.actual, job.money, worker.store.balance("day")) == (3000, "settled", (3000, 0))
    file = tmp_path / "results" / job.object_name
    content = file.read_bytes()
    assert (job.size, job.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert content[4:8] == b"ftyp"
    assert worker.bought(job.id) == 1
    assert not [path for path in file.parent.iterdir() if path != file]


@pytest.mark.parametrize("fault", ["lost", "truncated", "garbage", "accepted=5002", "accepted=5000"])
def test_a_create_whose_answer_did_not_come_is_adopted(fault: str, worker: Worker) -> None:
    job = worker.run(worker.accept(f"a cat [simulate: {fault}*1]"))

    assert worker.way(job.id) == ["queued", "submitting", "in_doubt", "processing", "fetching", "stored"]
    assert worker.bought(job.id) == 1
    assert worker.store.balance("day") == (3000, 0)


def test_a_create_that_broke_down_is_sent_again_under_its_name(worker: Worker) -> None:
    job = worker.run(worker.accept("a cat [simulate: 5000*2]"))

    assert worker.way(job.id)[1:7] == ["submitting", "in_doubt", "submitting", "in_doubt", "submitting", "processing"]
    assert (job.state, worker.bought(job.id), worker.store.balance("day")) == ("stored", 1, (3000, 0))


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ("1201", "invalid", "Kling refused it"),
        ("1301", "moderation", "Kling refused it"),
        ("1203", "model_gone", "Kling refused it"),
        ("failed", "task_failed", "Failure to pass the risk control system"),
        ("gone", "result_gone", "status 403"),
    ],
)
def test_what_cannot_succeed_fails_with_its_reason(fault: str, error: str, words: str, worker: Worker) -> None:
    job = worker.run(worker.accept(f"a cat [simulate: {fault}]"))

    assert (job.state, job.error) == ("failed", error)
    assert words in job.message
    assert worker.store.balance("day") == ((3000, 0) if fault == "gone" else (0, 0))


@pytest.mark.parametrize("code", ["1302*3", "1303*3", "1102*2", "1000*2", "1103*1", "1004*1"])
def test_what_only_has_to_wait_fails_no_job(code: str, worker: Worker) -> None:
    job_id = worker.accept(f"a cat [simulate: {code}]")
    job = None
    for _ in range(5):
        job = worker.steps.next()
        if job and job.state is State.PROCESSING:
            break
        worker.now += TIMING.probe
    assert job

    assert worker.run(job_id).state is State.STORED
    assert set(worker.way(job_id)) == {"queued", "submitting", "processing", "fetching", "stored"}
    assert worker.bought(job_id) == 1


def test_jobs_beyond_klings_limit_wait_and_the_limit_is_learned(worker: Worker) -> None:
    ids = [worker.accept(f"a cat [simulate: stuck] {number}") for number in range(4)]
    for _ in range(4):
        worker.steps.next()

    states = sorted(str(worker.job(job_id).state) for job_id in ids)
    assert states == ["processing", "processing", "queued", "queued"]
    assert worker.store.lanes()["main", "kling-v3"].limit == 2


def test_a_worker_that_died_before_its_create_left_nothing_and_the_next_one_sends_it(worker: Worker) -> None:
    job_id = worker.accept("dies before")
    assert claimed(worker.store)

    job = worker.run(job_id)

    assert (job.state, worker.bought(job_id)) == ("stored", 1)


def test_a_worker_that_died_after_its_create_is_succeeded_by_one_that_asks(worker: Worker) -> None:
    job_id = worker.accept("dies after")
    job = claimed(worker.store)
    assert job
    worker.client.create(job.path, worker.store.body(job.id) or "", job.id)

    assert worker.run(job_id).state is State.STORED
    assert worker.bought(job_id) == 1


def test_kling_is_told_whom_to_call_and_the_task_is_looked_at_later_then(worker: Worker) -> None:
    """The simulator sends its calls to nobody here: lost ones are found by the next look."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        worker.steps = Steps(
            worker.store,
            {"main": worker.client},
            worker.downloader,
            worker.storage,
            Limits({"main": 5}, {}),
            TIMING,
            clock=lambda: worker.now,
            callback=lambda job_id: f"http://127.0.0.1:{port}/callbacks/kling/{job_id}.x",
        )
        job_id = worker.accept("called back")
        job = worker.steps.next()
        assert job
        listener.settimeout(30)
        call, _ = listener.accept()
        with call:
            assert call.recv(4096).startswith(f"POST /callbacks/kling/{job_id}.x ".encode())

    assert job.next_at - worker.now == pytest.approx(170 * 1.2)
    assert worker.store.wake(job_id, worker.now)
    assert worker.run(job_id).state is State.STORED


def test_two_workers_on_one_job_buy_once(worker: Worker) -> None:
    job_id = worker.accept("two workers")
    slow = claimed(worker.store)
    assert slow
    worker.now += 60
    assert worker.steps.step(job_id)

    reply = worker.client.create(slow.path, worker.store.body(slow.id) or "", slow.id)

    assert reply.verdict == "duplicate"
    assert worker.steps._commit(slow, Decision(State.PROCESSING, "late")) is None
    assert (worker.run(job_id).state, worker.bought(job_id)) == ("stored", 1)


def test_a_call_of_klings_before_its_answer_has_been_read_does_no_harm(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, early = Client.create, []

    def called(client: Client, *given: str) -> Reply:
        reply = create(client, *given)
        early.append((worker.store.wake(job_id, worker.now), worker.steps.step(job_id)))
        return reply

    monkeypatch.setattr(Client, "create", called)
    job_id = worker.accept("called early")

    assert worker.run(job_id).state is State.STORED
    assert early == [(False, None)]
    assert (worker.way(job_id), worker.bought(job_id)) == (
        ["queued", "submitting", "processing", "fetching", "stored"],
        1,
    )


def test_a_store_of_yesterday_adopts_what_was_bought_since(worker: Worker, tmp_path: Path) -> None:
    job_id = worker.accept("put back")
    with (
        closing(sqlite3.connect(tmp_path / "jobs.db")) as here,
        closing(sqlite3.connect(":memory:")) as backup,
    ):
        here.backup(backup)
        assert worker.steps.next()
        backup.backup(here)
    assert worker.way(job_id) == ["queued"]

    assert worker.run(job_id).state is State.STORED
    assert worker.way(job_id) == ["queued", "submitting", "in_doubt", "processing", "fetching", "stored"]
    assert (worker.bought(job_id), worker.store.balance("day")) == (1, (3000, 0))


def test_a_purchase_without_a_name_that_ends_in_doubt_is_never_repeated(worker: Worker) -> None:
    job = worker.run(worker.accept("a cat [simulate: 5000*1] without a name", has_name=False))
    assert (job.error, worker.store.balance("day")) == ("unknown", (3000, 0))

    left = worker.accept("left without a name", has_name=False)
    assert claimed(worker.store)
    assert (worker.run(left).error, worker.bought(left)) == ("unknown", 0)


def test_a_discarded_job_is_paid_and_not_stored(worker: Worker, tmp_path: Path) -> None:
    job_id = worker.accept("discarded")
    worker.steps.next()
    worker.store.discard(job_id, "default", NOW)

    job = worker.run(job_id)

    assert (job.error, worker.store.balance("day"), job.object_name) == ("discarded", (3000, 0), "")
    assert not list((tmp_path / "results").rglob("*.mp4"))


@pytest.mark.parametrize("point", ["fetch", "put"])
def test_a_job_that_is_discarded_while_it_is_fetched_is_not_stored(
    point: str, worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two tries of its download, or behind the last one."""
    owner: Any = {"fetch": Downloader, "put": Storage}[point]
    called = getattr(owner, point)

    def discarding(*given: Any) -> Any:
        found = called(*given)
        worker.store.discard(job_id, "default", worker.now)
        if point == "fetch":
            raise DownloadFailed("cut")
        return found

    monkeypatch.setattr(owner, point, discarding)
    job_id = worker.accept(f"discarded at {point}")
    job = worker.run(job_id)

    assert (job.state, job.error, job.object_name) == ("failed", "discarded", "")
    assert (worker.store.balance("day"), worker.way(job_id).count("fetching")) == (
        (3000, 0),
        3 if point == "fetch" else 2,
    )
    assert not list((tmp_path / "results").rglob("*.mp4"))


def test_a_job_of_an_account_that_is_not_configured_waits_and_says_so(worker: Worker) -> None:
    worker.steps = worker._steps({"elsewhere": 5})
    worker.accept("elsewhere")

    job = worker.steps.next()

    assert job
    assert (job.state, job.next_at) == ("submitting", NOW + TIMING.probe)
    assert "the account elsewhere is not configured" in worker.store.events(job.id)[-1].reason


def test_without_a_gateway_nothing_fails_and_nothing_is_in_doubt(store: Store, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    worker = Worker(f"http://127.0.0.1:{port}", store, tmp_path)
    job_id = worker.accept()
    for _ in range(4):
        worker.steps.next()
        worker.now += 120
    worker.close()

    assert set(worker.way(job_id)) == {"queued", "submitting"}
    assert (store.lanes()["main", ""].reason, store.held(), store.balance("day")) == ("unsent", [], (0, 3000))


def test_a_store_of_results_that_fails_is_tried_again(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = iter([OSError("disk full")] * 20)
    put = Storage.put

    def failing(storage: Storage, name: str, file: Path) -> None:
        for error in failures:
            raise error
        put(storage, name, file)

    monkeypatch.setattr(Storage, "put", failing)
    job_id = worker.accept("disk full")

    assert worker.run(job_id).state is State.STORED
    assert worker.way(job_id)[-21:] == ["fetching"] * 20 + ["stored"]


def test_a_gateway_that_is_away_while_a_result_is_to_be_fetched_costs_time_only(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is there and paid for; nobody says where. What breaks off before and behind that is two tries of it."""
    job_id = worker.accept("away for long")

    def cut(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(Downloader, "fetch", lambda *_: (_ for _ in ()).throw(DownloadFailed("cut")))
        worker.now = worker.job(job_id).next_at
        assert worker.steps.step(job_id)

    worker.steps.next()
    with monkeypatch.context() as patch:
        cut(patch)
        patch.setattr(Client, "find", lambda *_: replies.unsent("refused"))
        for _ in range(20):
            worker.now = worker.job(job_id).next_at
            assert worker.steps.step(job_id)
    with monkeypatch.context() as patch:
        cut(patch)
    assert (worker.job(job_id).state, worker.job(job_id).tries, worker.job(job_id).faults) == (State.FETCHING, 22, 2)

    assert worker.run(job_id).state is State.STORED
    assert worker.bought(job_id) == 1


def test_a_mistake_in_a_step_is_no_loop_and_no_loss(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    create = Client.create

    def broken(client: Client, *given: str) -> Reply:
        create(client, *given)
        monkeypatch.undo()
        raise ValueError("secret words")

    monkeypatch.setattr(Client, "create", broken)
    job_id = worker.accept("a mistake")
    with caplog.at_level(logging.ERROR, LOG):
        job = worker.steps.next()

    assert job
    assert (job.state, job.next_at) == ("submitting", NOW + 1)
    assert "a step failed: ValueError" in worker.store.events(job_id)[-1].reason
    assert not any("secret" in event.reason for event in worker.store.events())
    assert (worker.run(job_id).state, worker.bought(job_id)) == ("stored", 1)
