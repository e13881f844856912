"""Tasks and what is known of an account: states by the clock, ids, concurrency, units, and the cap on what is kept.

HTTP and JSON are not known here. All times are Kling's, in seconds since 1970.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .faults import NONE, PIXELS, Fault
from .kling_error import KlingError, wrong
from .rules import Order
from .settings import SimulatorSettings

Clock = Callable[[], float]

SUBMITTED, PROCESSING, SUCCEED, FAILED = "submitted", "processing", "succeed", "failed"
_KEPT: Final = frozenset(
    "prompt duration watermark_info callback_url options element_name element_description voice_name".split()
)
_MAX_KEPT: Final = 5000
NOTICED: Final = 1.6
"""Seconds after which Kling finds out that a picture which it accepted will not do."""
FAR: Final = 10**9 * 1.0
"""Seconds, for a task that never ends."""

# Seconds that a task takes, by what makes it, else by pack; a video of five seconds, where length matters.
_SECONDS: Final = {
    "kling-3.0-turbo": 40.0,
    "kling-v3": 150.0,
    "kling-v3-omni": 130.0,
    "kling-video-o1": 130.0,
    "kling-v2-6": 160.0,
    "kling-v2-5-turbo": 120.0,
    "lip-sync": 455.0,
    "advanced-lip-sync": 455.0,
    "effects": 320.0,
    "video-extend": 320.0,
    "avatar": 400.0,
    "kolors-virtual-try-on": 19.0,
    "custom-voices": 9.0,
    "elements": 5.0,
    "text-to-audio": 15.0,
    "video-to-audio": 30.0,
}
_BY_PACK: Final = {"video": 300.0, "image": 28.0}


@dataclass
class Task:
    """One task. `begins` and `ends` are when it leaves submitted and processing; `failure` is what it ends with.

    `body` has of the create's what results show.
    """

    task_id: str
    family: str
    order: Order
    body: Mapping[str, Any]
    created: float
    begins: float
    ends: float
    failure: str = ""
    gone: bool = False
    is_new_design: bool = False
    external_id: str = ""
    settled: bool = False
    extra: dict[str, Any] = field(default_factory=dict)

    def status(self, now: float) -> str:
        """submitted, processing, succeed or failed."""
        if now >= self.ends:
            return FAILED if self.failure else SUCCEED
        return PROCESSING if now >= self.begins else SUBMITTED

    def updated(self, now: float) -> float:
        """When the status last changed."""
        return self.ends if now >= self.ends else self.begins if now >= self.begins else self.created

    @property
    def units(self) -> float:
        """What the task costs once it is done; a failed one costs nothing."""
        return 0.0 if self.failure else self.order.units


class Store:
    """All tasks of one account. Safe to use from several threads."""

    def __init__(self, settings: SimulatorSettings, clock: Clock) -> None:
        self.settings = settings
        self._clock = clock
        self._lock = threading.RLock()
        self._tasks: dict[str, Task] = {}
        self._external: dict[str, str] = {}
        self._spent = {"video": 0.0, "image": 0.0}
        self._numbers = itertools.count(1)

    def now(self) -> float:
        """Kling's time: the clock, and what it differs by."""
        return self._clock() + self.settings.clock_skew

    def create(
        self, family: str, order: Order, body: Mapping[str, Any], fault: Fault = NONE, *, is_new_design: bool = False
    ) -> Task:
        """Accept a task. Raises KlingError: the name is taken, too many run, or the pack is empty."""
        with self._lock:
            now = self.now()
            self._settle(now)
            external_id = str(common(body, is_new_design).get("external_task_id") or "")
            if external_id and external_id in self._external:
                raise wrong(f"External_task_id {external_id} already exists")
            running = sum(
                task.order.slots
                for task in self._tasks.values()
                if now < task.ends and (task.order.model, task.order.pack) == (order.model, order.pack)
            )
            if running + order.slots > self.settings.concurrency:
                raise KlingError(1303)
            if order.units and order.units > self.remaining(order.pack) - self._reserved(order.pack):
                raise KlingError(1102)
            self._make_room()
            task = self._new(family, order, body, fault, now)
            task.external_id, task.is_new_design = external_id, is_new_design
            self._tasks[task.task_id] = task
            if external_id:
                self._external[external_id] = task.task_id
            return task

    def instant(self, family: str, body: Mapping[str, Any]) -> Task:
        """A task that is done, for the result of a call that makes none."""
        with self._lock:
            now = self.now()
            self._make_room()
            task = Task(self.number(), family, Order("", seconds=5.0), _kept(body), now, now, now, settled=True)
            self._tasks[task.task_id] = task
            return task

    def find(self, wanted: str, family: str | None = None) -> Task | None:
        """A task by its own id or the client's name for it, in one family if one is given."""
        with self._lock:
            task = self._tasks.get(wanted) or self._tasks.get(self._external.get(wanted, ""))
            return task if task and family in (None, task.family) else None

    def listed(self, family: str | None = None) -> list[Task]:
        """The tasks of a family, or all, newest first."""
        with self._lock:
            return [task for task in reversed(self._tasks.values()) if family in (None, task.family)]

    def delete(self, task: Task) -> None:
        """Forget a task; its name may be used again."""
        with self._lock:
            self._tasks.pop(task.task_id, None)
            self._external.pop(task.external_id, None)

    def remaining(self, pack: str) -> float:
        """The units that are left in a pack."""
        with self._lock:
            self._settle(self.now())
            total = self.settings.units if pack == "video" else self.settings.image_units
            return max(0.0, round(total - self._spent[pack], 4))

    def pay(self, pack: str, units: float) -> None:
        """Take units for a call that makes no task. Raises KlingError when the pack has too few."""
        with self._lock:
            if units > self.remaining(pack) - self._reserved(pack):
                raise KlingError(1102)
            self._spent[pack] += units

    def number(self) -> str:
        """A new id of 18 digits."""
        return str(830_000_000_000_000_000 + next(self._numbers) * 7919 + int(self._clock() * 1000) % 10**12 * 10_000)

    def _new(self, family: str, order: Order, body: Mapping[str, Any], fault: Fault, now: float) -> Task:
        task_id = self.number()
        is_video = order.pack == "video"
        known = _SECONDS.get(order.model) if is_video or not order.model.startswith("kling-") else None
        seconds = known or _BY_PACK[order.pack]
        if order.seconds and is_video and order.model.startswith("kling-"):
            seconds *= 0.5 + order.seconds / 10
        # A fifth more or less, the same for the same id.
        seconds *= 0.8 + hashlib.sha256(task_id.encode()).digest()[0] / 640
        failure = order.doomed or (fault.value if fault.name == "failed" else "")
        waits = min(5.0, seconds / 10)
        if fault.name == "picture":
            failure = PIXELS
        if order.doomed or fault.name == "picture":
            waits = seconds = NOTICED
        elif fault.name == "slow":
            seconds *= int(fault.value)
        if math.isinf(self.settings.speed):
            waits = seconds = 0.0
        begins, ends = now + waits / self.settings.speed, now + seconds / self.settings.speed
        if fault.name == "stuck":
            ends = now + FAR
        return Task(task_id, family, order, _kept(body), now, begins, ends, failure, fault.name == "gone")

    def _reserved(self, pack: str) -> float:
        return sum(task.units for task in self._tasks.values() if not task.settled and task.order.pack == pack)

    def _settle(self, now: float) -> None:
        for task in self._tasks.values():
            if not task.settled and now >= task.ends:
                task.settled = True
                self._spent[task.order.pack] += task.units

    def _make_room(self) -> None:
        """Forget the task that finished longest ago, or where none did, the oldest."""
        while len(self._tasks) >= self.settings.max_tasks:
            done = [task for task in self._tasks.values() if task.settled]
            self.delete(min(done, key=lambda task: task.ends) if done else next(iter(self._tasks.values())))


def common(body: Mapping[str, Any], is_new_design: bool) -> Mapping[str, Any]:
    """Where a create has the fields that all have; the new design keeps them apart."""
    options = body.get("options") if is_new_design else body
    return options if isinstance(options, dict) else {}


def _kept(body: Mapping[str, Any]) -> dict[str, Any]:
    # Without pictures, of which a thousand tasks would fill the memory.
    return {name: value for name, value in body.items() if name in _KEPT and len(str(value)) <= _MAX_KEPT}
