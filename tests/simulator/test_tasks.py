"""Tasks with a clock that the test sets: status, ids, concurrency, units, the limit on kept tasks."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from mitm_ai_proxy.simulator.faults import parse
from mitm_ai_proxy.simulator.kling_error import KlingError
from mitm_ai_proxy.simulator.rules import Order
from mitm_ai_proxy.simulator.settings import SimulatorSettings
from mitm_ai_proxy.simulator.tasks import Store, Task
from tests.tables import table

FAMILY = "/v1/videos/text2video"
ORDER = Order("kling-v3", "std", 5, units=3.0)


class Kling:
    """A store and its clock."""

    def __init__(self, **settings: Any) -> None:
        self.time = 1_795_212_000.0
        self.store = Store(SimulatorSettings(**{"speed": 1.0, **settings}), lambda: self.time)

    def create(self, order: Order = ORDER, fault: str = "", body: Mapping[str, Any] | None = None) -> Task:
        return self.store.create(FAMILY, order, body or {}, parse(fault) if fault else parse("slow=1"))

    def status(self, task: Task) -> str:
        return task.status(self.store.now())

    def finish(self, task: Task) -> None:
        self.time = max(self.time, task.ends)


def _code(kling: Kling, order: Order = ORDER, body: Mapping[str, Any] | None = None) -> int:
    """The error code of a create; 0 if it is accepted."""
    try:
        kling.create(order, body=body)
    except KlingError as error:
        return error.code
    return 0


@table(
    ("fault", "ends", "message"),
    [
        ("", "succeed", ""),
        ("failed", "failed", "Failure to pass the risk control system"),
        ("failed=no cats", "failed", "no cats"),
        ("gone", "succeed", ""),
        ("slow", "succeed", ""),
    ],
)
def test_a_task_goes_from_submitted_through_processing_to_its_end(fault: str, ends: str, message: str) -> None:
    kling = Kling()
    task = kling.create(fault=fault)
    seen = []
    for now in (task.created, task.begins - 0.01, task.begins, task.ends - 0.01, task.ends, task.ends + 1e6):
        kling.time = now
        seen.append((kling.status(task), task.updated(now)))

    assert seen == [
        ("submitted", task.created),
        ("submitted", task.created),
        ("processing", task.begins),
        ("processing", task.begins),
        (ends, task.ends),
        (ends, task.ends),
    ]
    assert task.failure == message


def test_a_task_with_a_bad_picture_fails_without_being_processed() -> None:
    kling = Kling()
    for task in (kling.create(Order("kling-v3", late_failure="Image pixel is invalid")), kling.create(fault="picture")):
        assert (task.begins, task.ends) == (task.created + 1.6, task.created + 1.6)
        assert task.failure == "Image pixel is invalid"


@pytest.mark.parametrize(
    ("order", "least", "most"),
    [
        (Order("kling-3.0-turbo", "std", 3), 20, 48),
        (Order("kling-v3", "pro", 5), 100, 250),
        (Order("kling-v3", "pro", 15), 200, 360),
        (Order("effects"), 250, 400),
        (Order("kling-v3", pack="image"), 20, 35),
        (Order("custom-voices"), 7, 11),
    ],
    ids=lambda value: getattr(value, "model", ""),
)
def test_a_task_takes_as_long_as_others_measured(order: Order, least: float, most: float) -> None:
    taken = [task.ends - task.created for task in (Kling(concurrency=100).create(order) for _ in range(20))]

    assert least <= min(taken) <= max(taken) <= most


@table(("speed", "divided_by"), [(1.0, 1), (20.0, 20), (0.5, 0.5)])
def test_speed_divides_the_time(speed: float, divided_by: float) -> None:
    real, fast = Kling().create(), Kling(speed=speed).create()

    assert math.isclose(fast.ends - fast.created, (real.ends - real.created) / divided_by, rel_tol=1e-6)


def test_an_instant_task_is_done_at_once() -> None:
    kling = Kling(speed=math.inf)
    assert kling.status(kling.create()) == "succeed"
    assert kling.status(kling.create(fault="slow")) == "succeed"
    assert kling.status(kling.create(fault="failed")) == "failed"
    assert kling.status(kling.create(fault="stuck")) == "processing"


def test_slow_is_ten_times_as_long_and_stuck_never_ends() -> None:
    plain, slow, stuck = (Kling().create(fault=fault) for fault in ("", "slow", "stuck"))

    assert math.isclose(slow.ends - slow.created, 10 * (plain.ends - plain.created))
    assert stuck.ends > stuck.created + 1e8


def test_ids_have_eighteen_digits_and_none_is_given_twice() -> None:
    kling = Kling(concurrency=10_000, units=1e9)
    ids = [kling.create().task_id for _ in range(1000)]

    assert len(set(ids)) == 1000
    assert {len(task_id) for task_id in ids} == {18}
    assert all(task_id.isdigit() for task_id in ids)


def test_a_task_is_found_by_its_id_or_its_name_in_its_own_family_only() -> None:
    kling = Kling()
    task = kling.create(body={"external_task_id": "mine"})

    for wanted in (task.task_id, "mine"):
        assert kling.store.find(wanted) is task
        assert kling.store.find(wanted, FAMILY) is task
        assert kling.store.find(wanted, "/v1/videos/image2video") is None
    assert kling.store.find("") is None


@table("body", [{"external_task_id": "mine"}, {"options": {"external_task_id": "mine"}}])
def test_a_name_is_given_once_over_all_products_even_when_its_task_is_done(body: dict[str, Any]) -> None:
    kling = Kling()
    kling.finish(kling.store.create(FAMILY, ORDER, body, is_new_design="options" in body))

    with pytest.raises(KlingError, match="External_task_id mine already exists") as refused:
        kling.store.create("/v1/images/generations", Order("kling-v3", pack="image"), {"external_task_id": "mine"})
    assert (refused.value.code, refused.value.status) == (1201, 400)
    assert len(kling.store.list_tasks()) == 1


def test_concurrency_is_counted_by_model_and_pack_until_a_task_ends() -> None:
    kling = Kling(concurrency=2)
    first = kling.create()
    assert (_code(kling), _code(kling)) == (0, 1303)
    assert _code(kling, Order("kling-v2-6", "std", 5)) == 0
    assert _code(kling, Order("kling-v3", pack="image")) == 0

    kling.finish(first)
    assert _code(kling) == 0


def test_a_picture_task_takes_a_slot_for_each_picture() -> None:
    kling = Kling(concurrency=9)
    assert _code(kling, Order("kling-v3", pack="image", slots=5)) == 0
    assert _code(kling, Order("kling-v3", pack="image", slots=5)) == 1303
    assert _code(kling, Order("kling-v3", pack="image", slots=4)) == 0


def test_units_are_taken_when_a_task_is_done_and_none_for_a_failed_one() -> None:
    kling = Kling(units=10)
    done, failed = kling.create(), kling.create(fault="failed")
    assert kling.store.remaining("video") == 10
    kling.finish(failed)
    kling.finish(done)

    assert kling.store.remaining("video") == 7
    assert kling.store.remaining("image") == 10_000


def test_a_create_that_the_pack_cannot_pay_is_refused() -> None:
    kling = Kling(units=7)
    tasks = [kling.create(), kling.create()]
    assert _code(kling) == 1102
    for task in tasks:
        kling.finish(task)
    assert kling.store.remaining("video") == 1
    assert _code(kling) == 1102
    assert _code(kling, Order("kling-v2-5-turbo", "std", 3, units=0.9)) == 0
    assert _code(kling, Order("elements", units=0)) == 0


def test_a_refused_create_costs_nothing_and_leaves_nothing() -> None:
    kling = Kling(units=3, concurrency=1)
    kling.create(body={"external_task_id": "a"})
    assert [_code(kling), _code(kling, body={"external_task_id": "a"})] == [1303, 1201]

    assert len(kling.store.list_tasks()) == 1


def test_no_more_tasks_are_kept_than_the_cap_and_the_oldest_finished_goes_first() -> None:
    kling = Kling(max_tasks=3, concurrency=100, units=1e6)
    running = kling.create(fault="stuck")
    slow = kling.create(fault="slow", body={"external_task_id": "slow"})
    quick = kling.create(body={"external_task_id": "quick"})
    kling.finish(slow)
    kling.create()
    assert kling.store.find("quick") is None
    assert kling.store.find("slow") is slow
    kling.create()
    assert kling.store.find("slow") is None
    assert kling.store.find(running.task_id) is running
    assert _code(kling, body={"external_task_id": quick.external_id}) == 0
    assert len(kling.store.list_tasks()) == 3


def test_a_deleted_task_stays_paid() -> None:
    kling = Kling(max_tasks=2, units=100)
    for _ in range(10):
        kling.finish(kling.create())

    assert kling.store.remaining("video") == 70


def test_of_a_create_only_what_is_shown_is_kept() -> None:
    kling = Kling()
    big = "A" * 10_000_000
    task = kling.create(body={"prompt": "a cat", "image": big, "element_name": big, "callback_url": "http://a.test"})

    assert task.body == {"prompt": "a cat", "callback_url": "http://a.test"}


def test_where_no_task_is_done_the_oldest_is_forgotten() -> None:
    kling = Kling(max_tasks=2, concurrency=100)
    tasks = [kling.create(fault="stuck") for _ in range(5)]

    assert kling.store.list_tasks() == [tasks[4], tasks[3]]


def test_thousands_of_tasks_from_many_threads_stay_within_the_cap() -> None:
    kling = Kling(max_tasks=50, concurrency=10_000, units=1e9, speed=math.inf)
    names: list[str] = []

    def create(number: int) -> None:
        for index in range(250):
            task = kling.create(body={"external_task_id": f"{number}-{index}"})
            found = kling.store.find(task.task_id)
            assert found is None or found.external_id == f"{number}-{index}"
            names.append(task.task_id)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(names)) == 2000
    assert len(kling.store.list_tasks()) == 50


@table("skew", [0.0, 30.0, -30.0])
def test_kling_s_time_differs_by_the_skew(skew: float) -> None:
    kling = Kling(clock_skew=skew)

    assert kling.create().created == kling.time + skew
