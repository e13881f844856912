"""Two accounts at Kling behind one gateway, over sockets: each has its key, its slots, its pauses and its tasks."""

from __future__ import annotations

import collections
import dataclasses
import json
import math
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from mitm_ai_proxy import registry
from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.gateway.addon import Gateway
from mitm_ai_proxy.gateway.embedded import Embedded
from mitm_ai_proxy.platform import deployment
from mitm_ai_proxy.platform.lanes import ALL_MODELS, NEW, Lane
from mitm_ai_proxy.platform.messages import THE_QUEUE
from mitm_ai_proxy.platform.parts import Parts
from mitm_ai_proxy.platform.states import FINAL, State
from mitm_ai_proxy.platform.store import Store
from mitm_ai_proxy.simulator.app import Simulator
from mitm_ai_proxy.simulator.server import make
from mitm_ai_proxy.simulator.settings import SimulatorSettings
from mitm_ai_proxy.simulator.task_objects import video_id
from tests.platform.orders import order
from tests.platform.servers import until

EXTEND: Final = "/v1/videos/video-extend"
TIMING: Final = {
    "typical": 0.2, "look": 0.05, "request": 20, "doubt": [0.05], "again": [0.05] * 12, "full": 0.05, "probe": 0.2,
    "raise": 600, "sweep": 0.1,
}  # fmt: skip
PLANS: Final = {"small": "free", "big": "pro"}
FREE, PRO = 1, 5


class World:
    """A Kling for each account, which takes that account's key alone, and a gateway that has both keys."""

    def __init__(self, folder: Path, stack: ExitStack, **settings: dict[str, Any]) -> None:
        self.folder = folder
        self.klings: dict[str, Simulator] = {}
        providers: list[dict[str, Any]] = []
        for name in PLANS:
            secret = f"{name}-secret-0123456789abcdef0123456789"
            given = {"speed": math.inf, "access_key": name, "secret_key": Secret(secret), **settings.get(name, {})}
            self.klings[name] = Simulator(SimulatorSettings(**given))
            server = make(self.klings[name], "127.0.0.1", 0)
            thread = threading.Thread(target=server.serve_forever, args=(0.01,), name=f"kling-{name}")
            thread.start()
            stack.callback(server.server_close)
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            providers.append(
                {
                    "id": name,
                    "type": "kling",
                    "klingAccessKey": name,
                    "klingSecretKey": secret,
                    "providerDomain": f"http://127.0.0.1:{server.port}",
                    "basePath": f"/{name}",
                }
            )
        routes = [{"path": f"/{name}/*", "provider": name} for name in PLANS]
        configuration = registry.read({"providers": providers, "routes": routes}, name="accounts")
        self.gateway = Embedded(Gateway(), configuration)
        self.gateway.start()
        stack.callback(self.gateway.stop)
        self.store = Store(folder / "jobs.db")
        stack.callback(self.store.close)

    def change(self, name: str, **settings: Any) -> None:
        """Let an account have other settings from now on."""
        self.klings[name].use(dataclasses.replace(self.klings[name].settings, **settings))

    def finish(self) -> None:
        """Let all tasks be done, and those that are still to come, when they are looked at."""
        for name, kling in self.klings.items():
            self.change(name, speed=math.inf)
            for task in kling.store.list_tasks():
                task.begins = task.ends = task.created

    def tasks(self, name: str) -> list[str]:
        """The names of what was bought in an account."""
        return [task.external_id for task in self.klings[name].store.list_tasks()]

    def accept(self, *ids: str, **changed: Any) -> None:
        """Put jobs into the queue."""
        for job_id in ids:
            self.store.accept(order(job_id, **changed), [], time.time())

    @contextmanager
    def working(self, *accounts: str) -> Iterator[None]:
        """A process with workers, for these accounts."""
        plans = {
            name: {"concurrency": PLANS[name], "gateway": f"{self.gateway.origin}/{name}"} for name in accounts or PLANS
        }
        block = {"accounts": plans, "timing": TIMING}
        with closing(Parts.open(deployment.read({"platform": block}, {}, data=self.folder))) as parts:
            worker = parts.worker(4)
            worker.start()
            parts.messages.wake(THE_QUEUE)
            try:
                yield
            finally:
                worker.stop()

    def stored(self) -> int:
        """How many jobs are stored."""
        return self.store.counts().get(State.STORED, 0)

    def has_ended(self) -> bool:
        """Whether all jobs have ended."""
        return set(self.store.counts()) <= FINAL

    def lane(self, account: str, model: str = ALL_MODELS) -> Lane:
        """What is known of an account, or of one of its models."""
        return self.store.lanes().get((account, model), NEW)

    def bought(self) -> dict[str, str]:
        """By job, the account that the store names."""
        return {job.id: job.account for job in self.store.jobs(limit=100)}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What is closed in the end."""
    with ExitStack() as made:
        yield made


def test_each_account_has_its_own_slots_limit_pause_and_tasks(stack: ExitStack, tmp_path: Path) -> None:
    """Kling gives the big account 2 slots of 5, and the small one has the units of three videos; workers restart."""
    small = {"speed": 1.0, "concurrency": FREE, "units": 9}
    world = World(tmp_path, stack, big={"speed": 1.0, "concurrency": 2}, small=small)
    ids, pinned = [f"job_{number}" for number in range(10)], [f"pinned_{number}" for number in range(4)]
    world.accept(*ids)
    world.accept(*pinned, pinned_to="small")
    most: collections.Counter[str] = collections.Counter()

    def watched() -> int:
        for entry in world.store.held():
            most[entry.account] = max(most[entry.account], entry.slots)
        return world.stored()

    def is_paused() -> bool:
        watched()
        waiting = [job.id for job in world.store.jobs(limit=100) if job.state not in FINAL]
        return world.lane("small").reason == "unpaid" and set(waiting) <= set(pinned)

    with world.working():
        until(lambda: watched() == 0 and bool(world.store.held()) and world.lane("big", "kling-v3").limit == 2)
        until(lambda: {entry.account: entry.slots for entry in world.store.held()} == {"small": 1, "big": 2})
    world.finish()
    with world.working():
        until(is_paused)

    assert (most["small"], 2 <= most["big"] <= PRO) == (FREE, True)
    assert (world.lane("big", "kling-v3").limit, world.lane("small", "kling-v3").limit) == (2, None)
    assert (world.lane("big").reason, len(world.tasks("small"))) == ("", 3)

    # Units are bought: the next probe finds out.
    world.change("small", units=1000)
    with world.working():
        until(world.has_ended)
    tasks = {name: world.tasks(name) for name in PLANS}
    assert (world.lane("small").reason, sorted(tasks["small"] + tasks["big"])) == ("", sorted([*ids, *pinned]))
    assert world.bought() == {job_id: name for name, names in tasks.items() for job_id in names}
    reasons = collections.Counter(event.reason.partition(":")[0] for event in world.store.events())
    assert (reasons["the account has no units left"] >= 1, reasons["Kling has no free slot"] >= 1) == (True, True)


def test_what_is_made_of_a_video_is_bought_where_that_lies(stack: ExitStack, tmp_path: Path) -> None:
    """Only Kling's own account knows its `video_id`. While it is paused or not configured, the extension waits."""
    model: dict[str, Any] = {"serve_retired": True, "units": 1000.0}
    world = World(tmp_path, stack, big=model, small=model)
    text = json.dumps({"model_name": "kling-v1-6", "prompt": "a cat", "duration": "5"})
    world.accept("source", model="kling-v1-6", body=text, pinned_to="small")
    with world.working():
        until(world.has_ended)
    task = world.klings["small"].store.find("source")
    assert task

    world.change("small", units=0)
    body = json.dumps({"video_id": video_id(task), "prompt": "and on"})
    world.accept("longer", model="kling-v1-6", path=EXTEND, body=body, has_name=False, pinned_to="small")
    world.accept("other")
    with world.working("big"):
        until(lambda: world.stored() == 2)
    assert [event.after for event in world.store.events("longer")] == ["queued"]
    with world.working():
        until(lambda: world.lane("small").reason == "unpaid")
        world.change("small", units=1000)
        until(world.has_ended)

    job = world.store.job("longer")
    assert job
    assert (job.state, job.account, world.bought()["other"]) == ("stored", "small", "big")
