"""The tasks of an account: ids, status by the clock, concurrency, units, and the limit on kept tasks.

All times are Kling's, as Unix time in seconds.
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
from .kling_error import KlingError, bad_parameter
from .rules import Order
from .settings import SimulatorSettings

Clock = Callable[[], float]

SUBMITTED, PROCESSING, SUCCEED, FAILED = "submitted", "processing", "succeed", "failed"
_SHOWN_FIELDS: Final = frozenset(
    "prompt duration watermark_info callback_url options element_name element_description voice_name".split()
)
_MAX_SHOWN: Final = 5000
LATE_FAILURE_SECONDS: Final = 1.6
"""Seconds until a task fails whose picture Kling accepted and then rejects."""
FOREVER: Final = 10**9 * 1.0
"""Seconds of a task that never ends."""

# Seconds that a task takes, by model or endpoint, else by pack; for videos, one of five seconds.
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
    """One task.

    `begins` and `ends`: the times when its status changes from submitted to processing, and to succeed or failed.
    `failure`: its error message. `gone`: its links answer 403. `settled`: it has ended and is paid. `body`: the fields
    of the create that answers show.
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
        """The price of the task; 0 if it fails."""
        return 0.0 if self.failure else self.order.units


class Store:
    """All tasks of one account, thread-safe. `clock` gives Unix time in seconds."""

    def __init__(self, settings: SimulatorSettings, clock: Clock) -> None:
        self.settings = settings
        self._clock = clock
        self._lock = threading.RLock()
        self._tasks: dict[str, Task] = {}
        self._external: dict[str, str] = {}
        self._spent = {"video": 0.0, "image": 0.0}
        self._numbers = itertools.count(1)

    def now(self) -> float:
        """Kling's time: the clock and the configured skew."""
        return self._clock() + self.settings.clock_skew

    def create(
        self, family: str, order: Order, body: Mapping[str, Any], fault: Fault = NONE, *, is_new_design: bool = False
    ) -> Task:
        """Create a task. Raises KlingError if its external_task_id is in use, too many run, or units are missing."""
        with self._lock:
            now = self.now()
            self._settle(now)
            external_id = str(common_fields(body, is_new_design).get("external_task_id") or "")
            if external_id and external_id in self._external:
                raise bad_parameter(f"External_task_id {external_id} already exists")
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

    def add_finished(self, family: str, body: Mapping[str, Any]) -> Task:
        """Add a finished task, which holds the result of a synchronous call."""
        with self._lock:
            now = self.now()
            self._make_room()
            task = Task(self.number(), family, Order("", seconds=5.0), _shown_fields(body), now, now, now, settled=True)
            self._tasks[task.task_id] = task
            return task

    def find(self, wanted: str, family: str | None = None) -> Task | None:
        """A task by its id or its external_task_id, in one family if that is given; None if there is none."""
        with self._lock:
            task = self._tasks.get(wanted) or self._tasks.get(self._external.get(wanted, ""))
            return task if task and family in (None, task.family) else None

    def list_tasks(self, family: str | None = None) -> list[Task]:
        """The tasks of a family, or all, newest first."""
        with self._lock:
            return [task for task in reversed(self._tasks.values()) if family in (None, task.family)]

    def delete(self, task: Task) -> None:
        """Delete a task; its external_task_id may be used again."""
        with self._lock:
            self._tasks.pop(task.task_id, None)
            self._external.pop(task.external_id, None)

    def remaining(self, pack: str) -> float:
        """The units left in a pack; those of running tasks are not subtracted yet."""
        with self._lock:
            self._settle(self.now())
            total = self.settings.units if pack == "video" else self.settings.image_units
            return max(0.0, round(total - self._spent[pack], 4))

    def pay(self, pack: str, units: float) -> None:
        """Charge units for a synchronous call. Raises KlingError if the pack has too few."""
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
        # Up to a fifth more or less, depending on the id.
        seconds *= 0.8 + hashlib.sha256(task_id.encode()).digest()[0] / 640
        failure = order.late_failure or (fault.value if fault.name == "failed" else "")
        waits = min(5.0, seconds / 10)
        if fault.name == "picture":
            failure = PIXELS
        if order.late_failure or fault.name == "picture":
            waits = seconds = LATE_FAILURE_SECONDS
        elif fault.name == "slow":
            seconds *= int(fault.value)
        if math.isinf(self.settings.speed):
            waits = seconds = 0.0
        begins, ends = now + waits / self.settings.speed, now + seconds / self.settings.speed
        if fault.name == "stuck":
            ends = now + FOREVER
        return Task(task_id, family, order, _shown_fields(body), now, begins, ends, failure, fault.name == "gone")

    def _reserved(self, pack: str) -> float:
        return sum(task.units for task in self._tasks.values() if not task.settled and task.order.pack == pack)

    def _settle(self, now: float) -> None:
        for task in self._tasks.values():
            if not task.settled and now >= task.ends:
                task.settled = True
                self._spent[task.order.pack] += task.units

    def _make_room(self) -> None:
        """Delete the task that finished first, or else the oldest one, until there is room for another."""
        while len(self._tasks) >= self.settings.max_tasks:
            done = [task for task in self._tasks.values() if task.settled]
            self.delete(min(done, key=lambda task: task.ends) if done else next(iter(self._tasks.values())))


def common_fields(body: Mapping[str, Any], is_new_design: bool) -> Mapping[str, Any]:
    """The object with the fields that all creates have: `options` in the new design, else the body."""
    options = body.get("options") if is_new_design else body
    return options if isinstance(options, dict) else {}


def _shown_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    # Without pictures, which would fill the memory.
    return {name: value for name, value in body.items() if name in _SHOWN_FIELDS and len(str(value)) <= _MAX_SHOWN}
