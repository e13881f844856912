"""The store: accepted whole or not at all, claimed by one, fenced, its money and history written with its state."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mitm_ai_proxy.platform.decisions import Decision
from mitm_ai_proxy.platform.money import Budget, Exceeded
from mitm_ai_proxy.platform.records import Repeat
from mitm_ai_proxy.platform.replies import Verdict
from mitm_ai_proxy.platform.scheduling import Limits
from mitm_ai_proxy.platform.statements import RepeatedOtherwise
from mitm_ai_proxy.platform.states import Money, State, WrongTransition
from mitm_ai_proxy.platform.store import NotCancellable, QueueFull, Store
from tests.platform.orders import FILE, MANY, NOW, ONE, TIMING, again, claimed, moved, order, stored
from tests.tables import table

TEN_JOBS = [Budget("day", 30_000, NOW + 1), Budget("month", 100_000, NOW + 2)]
TAKEN = Decision(State.PROCESSING, "taken", 40, "t1", lesson=Verdict.TAKEN)


# Taking jobs in


@pytest.fixture
def store(either_store: Store) -> Store:
    """An empty store, of each kind."""
    return either_store


def test_a_job_is_kept_as_it_was_ordered(store: Store) -> None:
    given = order(
        key="k", prompt="a cat", seconds=7.5, priority=1, metadata='{"a": 1}', callback_url="https://a.test/",
        has_name=False, retry_of="i",
    )  # fmt: skip

    accepted = store.accept(given, [], NOW)

    job = store.job("j")
    assert accepted == (job, True)
    assert job
    kept = given.__dataclass_fields__.keys() - {"body"}
    assert all(getattr(job, name) == getattr(given, name) for name in kept)
    assert store.body("j") == given.body
    assert (job.state, job.money, job.created_at, job.claim, job.actual) == ("queued", "reserved", NOW, "", None)


def test_a_job_reserves_its_money_in_every_budget(store: Store) -> None:
    store.accept(order(), TEN_JOBS, NOW)

    assert [store.balance(name) for name in ("day", "month", "other")] == [(0, 3000), (0, 3000), (0, 0)]


def test_a_job_that_one_budget_cannot_hold_is_not_stored_in_part(store: Store) -> None:
    with pytest.raises(Exceeded):
        store.accept(order(estimate=30_001), list(reversed(TEN_JOBS)), NOW, repeat=Repeat("r", "h"))

    assert (store.job("j"), store.events(), store.balance("day"), store.balance("month")) == (None, [], (0, 0), (0, 0))
    assert store.accept(order(), TEN_JOBS, NOW, repeat=Repeat("r", "other")).is_new


def test_fifty_creates_at_once_take_what_the_budget_holds_and_no_more(store: Store) -> None:
    def accept(number: int) -> bool:
        try:
            return store.accept(order(f"j{number}"), TEN_JOBS, NOW).is_new
        except Exceeded:
            return False

    with ThreadPoolExecutor(16) as threads:
        accepted = list(threads.map(accept, range(50)))

    assert accepted.count(True) == 10
    assert store.balance("day") == (0, 30_000)
    assert store.counts() == {State.QUEUED: 10}


def test_a_queue_takes_as_many_as_its_tenant_may_have(store: Store) -> None:
    for number in range(2):
        store.accept(order(f"j{number}"), TEN_JOBS, NOW, most=2)

    with pytest.raises(QueueFull, match="2 jobs of default"):
        store.accept(order("j2"), TEN_JOBS, NOW, most=2)
    store.accept(order("j2", tenant="other"), [], NOW, most=2)
    claimed(store)
    store.accept(order("j3"), TEN_JOBS, NOW, most=2)

    assert store.balance("day") == (0, 9000)


def test_a_create_that_comes_again_gives_its_job_and_reserves_nothing(store: Store) -> None:
    first = store.accept(order(), TEN_JOBS, NOW, repeat=Repeat("r", "h"))

    second = store.accept(order("j2"), TEN_JOBS, NOW, most=1, repeat=Repeat("r", "h"))

    assert second == (first.job, False)
    assert store.balance("day") == (0, 3000)


def test_a_text_that_no_database_takes_is_mended(store: Store) -> None:
    store.accept(order(prompt="a \0 cat \ud83d"), [], NOW)
    job = claimed(store)
    assert job
    failed = moved(store, job, Decision(State.FAILED, "no \0", error="invalid", money=Money.RELEASED))

    assert (failed.prompt, failed.message) == ("a \ufffd cat ?", "no \ufffd")


def test_a_key_that_is_used_for_another_body_is_refused_within_its_tenant(store: Store) -> None:
    store.accept(order(), [], NOW, repeat=Repeat("r", "h"))

    with pytest.raises(RepeatedOtherwise):
        store.accept(order("j2"), [], NOW, repeat=Repeat("r", "other"))
    assert store.accept(order("j3", tenant="other"), [], NOW, repeat=Repeat("r", "other")).is_new


# The queue


def test_jobs_leave_the_queue_by_age_and_priority(store: Store) -> None:
    for number, (at, priority) in enumerate([(0, 0), (10, 0), (599, 1), (5, -1)]):
        store.accept(order(f"j{number}", priority=priority), [], NOW + at)

    left = [job.id for _ in range(5) if (job := claimed(store, NOW + 600))]

    assert left == ["j2", "j0", "j1", "j3"]


def test_a_job_that_is_claimed_holds_a_slot_of_its_account(store: Store) -> None:
    store.accept(order("j1"), [], NOW)
    store.accept(order("j2"), [], NOW + 1)

    job = claimed(store, limits=ONE)

    assert job
    assert (job.id, job.state, job.account, job.submitted_at, job.lease_until) == (
        ("j1", "submitting", "main", NOW, NOW + 60)
    )  # fmt: skip
    assert claimed(store, limits=ONE) is None
    assert store.held() == [("default", "main", "kling-v3", 1)]


@table(
    ("decisions", "is_free"),
    [
        ([TAKEN], False),
        ([Decision(State.IN_DOUBT, "")], False),
        ([Decision(State.FAILED, "", error="invalid", money=Money.RELEASED)], True),
        ([Decision(State.QUEUED, "", lesson=Verdict.FAST)], True),
        ([TAKEN, Decision(State.FETCHING, "")], True),
    ],
)
def test_a_slot_is_free_when_kling_has_none_of_the_job_left(
    decisions: list[Decision], is_free: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = Store(tmp_path_factory.mktemp("store") / "jobs.db")
    store.accept(order(), [], NOW)
    job = claimed(store)
    assert job
    for number, decision in enumerate(decisions):
        job = moved(store, again(store, job, NOW + 100) if number else job, decision, NOW + 100 * number)
    assert (store.held() == []) is is_free
    store.close()


def test_eight_threads_claim_each_job_once_and_never_more_than_the_limit(store: Store) -> None:
    for number in range(40):
        store.accept(order(f"j{number}"), [], NOW)
    limits, most = Limits({"main": 3}, {}), 0

    def work(_: int) -> list[str]:
        nonlocal most
        done = []
        while store.counts().get(State.STORED, 0) < 40:
            if job := claimed(store, limits=limits):
                most = max(most, sum(held.slots for held in store.held()))
                stored(store, job)
                done.append(job.id)
        return done

    with ThreadPoolExecutor(8) as threads:
        done = [job_id for found in threads.map(work, range(8)) for job_id in found]

    assert sorted(done) == sorted(f"j{number}" for number in range(40))
    assert most <= 3


# Steps


def test_a_job_is_claimed_by_one_until_its_lease_is_over(store: Store) -> None:
    store.accept(order(), [], NOW)
    job = claimed(store)
    assert job

    assert store.claim("j", NOW + 59, claim="other", lease=60) is None
    assert store.due(NOW + 59) == []
    assert store.due(NOW + 60) == ["j"]
    other = store.claim("j", NOW + 60, claim="other", lease=60)

    assert other
    assert (other.claim, other.state) == ("other", "submitting")


def test_a_worker_that_slept_through_its_lease_writes_nothing(store: Store) -> None:
    store.accept(order(), TEN_JOBS, NOW)
    slow = claimed(store)
    assert slow
    other = again(store, slow, NOW + 60)

    failed = Decision(State.FAILED, "late", error="invalid", money=Money.RELEASED)
    assert store.commit(slow, failed, NOW + 61, TIMING) is None
    assert not store.renew(slow, NOW + 61, 60)

    assert store.job("j") == other
    assert store.balance("day") == (0, 3000)
    assert moved(store, other, TAKEN).state is State.PROCESSING


def test_a_step_writes_once(store: Store) -> None:
    store.accept(order(), TEN_JOBS, NOW)
    job = claimed(store)
    assert job
    moved(store, job, TAKEN)

    assert store.commit(job, TAKEN, NOW, TIMING) is None


def test_a_lease_is_renewed_by_the_one_who_holds_it(store: Store) -> None:
    store.accept(order(), [], NOW)
    job = claimed(store)
    assert job

    assert store.renew(job, NOW + 50, 60)
    assert store.claim("j", NOW + 100, claim="other", lease=60) is None


def test_a_step_is_due_when_its_time_has_come(store: Store) -> None:
    store.accept(order(), [], NOW)
    job = claimed(store)
    assert job
    moved(store, job, TAKEN)

    assert store.claim("j", NOW + 39, claim="early", lease=60) is None
    assert (store.due(NOW + 39), store.due(NOW + 40)) == ([], ["j"])


def test_a_callback_makes_a_step_due_at_once(store: Store) -> None:
    store.accept(order(), [], NOW)
    assert not store.wake("j", NOW)
    job = claimed(store)
    assert job
    moved(store, job, TAKEN)

    assert store.wake("j", NOW + 1)
    assert not store.wake("j", NOW + 1)
    assert store.due(NOW + 1) == ["j"]


def test_a_step_may_go_on_under_the_same_claim(store: Store) -> None:
    store.accept(order(), [], NOW)
    job = claimed(store)
    assert job
    job = again(store, moved(store, job, Decision(State.IN_DOUBT, "cut")))

    job_again = store.commit(job, Decision(State.SUBMITTING, "missing"), NOW, TIMING, keeps_claim=True)

    assert job_again
    assert (job_again.claim, job_again.lease_until) == (job.claim, job.lease_until)
    assert moved(store, job_again, TAKEN).state is State.PROCESSING


def test_what_was_decided_before_the_same_claim_went_on_is_not_written(store: Store) -> None:
    store.accept(order(), [], NOW)
    job = claimed(store)
    assert job
    job = again(store, moved(store, job, Decision(State.IN_DOUBT, "cut")))
    assert store.commit(job, Decision(State.SUBMITTING, "missing"), NOW, TIMING, keeps_claim=True)

    assert store.commit(job, Decision(State.IN_DOUBT, "old"), NOW, TIMING) is None


def test_tries_count_steps_without_progress(store: Store) -> None:
    store.accept(order(), [], NOW)
    job = claimed(store)
    assert job
    doubt = Decision(State.IN_DOUBT, "cut")
    seen = []
    for number in range(3):
        job = moved(store, job, doubt)
        seen.append(job.tries)
        job = again(store, job)
        if number < 2:
            found = store.commit(job, Decision(State.SUBMITTING, "missing"), NOW, TIMING, keeps_claim=True)
            assert found
            job = found
    job = moved(store, job, Decision(State.PROCESSING, "adopted", task_id="t"))

    assert (seen, job.tries) == ([1, 2, 3], 0)


def test_faults_of_a_file_are_counted_apart_from_what_was_away(store: Store) -> None:
    store.accept(order(), [], NOW)
    job = claimed(store)
    assert job
    seen = []
    for state in (State.PROCESSING, State.FETCHING):
        for is_fault in (False, True, False, True):
            job = again(store, moved(store, job, Decision(state, "x", task_id="t", is_fault=is_fault)))
            seen.append((job.tries, job.faults))

    assert seen == [(0, 0), (1, 1), (2, 1), (3, 2)] * 2


def test_a_decision_that_the_table_lacks_is_not_written(store: Store) -> None:
    store.accept(order(), TEN_JOBS, NOW)
    job = claimed(store)
    assert job

    with pytest.raises(WrongTransition):
        store.commit(job, Decision(State.STORED, ""), NOW, TIMING)

    assert store.job("j") == job


def test_a_job_that_goes_back_to_the_queue_has_no_account_and_no_task(store: Store) -> None:
    store.accept(order(), [], NOW)
    job = claimed(store)
    assert job
    job = again(store, moved(store, job, TAKEN), NOW + 40)
    back = moved(store, job, Decision(State.QUEUED, "no slot", is_new_attempt=True))

    assert (back.account, back.task_id, back.attempt, back.claim, back.lease_until) == ("", "", 2, "", 0)


def test_a_job_in_doubt_that_goes_back_to_the_queue_waits_for_its_account(store: Store) -> None:
    """A create of it may still arrive, and no other account would refuse the second one."""
    two = Limits({"a": 1, "b": 1}, {})
    store.accept(order(), [], NOW)
    job = claimed(store, limits=two)
    assert job
    back = moved(store, job, Decision(State.QUEUED, "no slot", lesson=Verdict.UNPAID, is_pinned=True))
    store.accept(order("other"), [], NOW)

    assert (back.account, back.pinned_to) == ("", "a")
    taken = [found and (found.id, found.account) for found in (claimed(store, limits=two), claimed(store, limits=two))]
    assert taken == [("other", "b"), None]
    probe = claimed(store, NOW + TIMING.probe, two)
    assert probe
    assert (probe.id, probe.account) == ("j", "a")


# Money and history


@table(
    ("money", "units", "balance", "actual"),
    [
        (Money.SETTLED, 2500, (2500, 0), 2500),
        (Money.SETTLED, 4000, (4000, 0), 4000),
        (Money.RELEASED, 0, (0, 0), 0),
        (None, 0, (0, 3000), None),
    ],
)
def test_a_reservation_becomes_what_was_decided(
    money: Money | None,
    units: int,
    balance: tuple[int, int],
    actual: int | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    store = Store(tmp_path_factory.mktemp("store") / "jobs.db")
    store.accept(order(), TEN_JOBS, NOW)
    job = claimed(store)
    assert job
    job = again(store, moved(store, job, TAKEN), NOW + 40)
    job = moved(store, job, Decision(State.FETCHING, "done", money=money, units=units))

    assert (store.balance("day"), store.balance("month"), job.actual) == (balance, balance, actual)
    store.close()


def test_a_reservation_ends_once(store: Store) -> None:
    store.accept(order(), TEN_JOBS, NOW)
    job = claimed(store)
    assert job
    job = again(store, moved(store, job, TAKEN), NOW + 40)
    job = again(store, moved(store, job, Decision(State.FETCHING, "", money=Money.SETTLED, units=2500)))
    job = moved(store, job, Decision(State.FAILED, "", error="x", money=Money.RELEASED))

    assert (job.money, job.actual, store.balance("day")) == ("settled", 2500, (2500, 0))


def test_a_stored_job_has_its_file_and_its_history(store: Store) -> None:
    store.accept(order(), [], NOW)
    job = claimed(store)
    assert job

    job = stored(store, job)

    assert (job.object_name, job.sha256, job.size) == FILE
    assert (job.message, job.error, job.ended_at, job.claim) == ("stored", "", NOW, "")
    assert [event[3:] for event in store.events("j")] == [
        ("", "queued", "accepted", ""),
        ("queued", "submitting", "a slot of main", "w"),
        ("submitting", "processing", "taken", "w"),
        ("processing", "fetching", "done", "w"),
        ("fetching", "stored", "stored", "w"),
    ]


def test_events_are_read_from_a_number_on(store: Store) -> None:
    for number in range(3):
        store.accept(order(f"j{number}"), [], NOW)

    first = store.events()[0].number
    assert [event.job for event in store.events(after=first)] == ["j1", "j2"]
    assert [event.job for event in store.events(limit=1)] == ["j0"]


# What accounts teach


def test_a_full_account_lowers_its_limit_to_what_runs(store: Store) -> None:
    for number in range(4):
        store.accept(order(f"j{number}"), [], NOW + number)
    jobs = [claimed(store) for _ in range(3)]
    assert jobs[2]

    moved(store, jobs[2], Decision(State.QUEUED, "full", lesson=Verdict.FULL))

    assert store.lanes()["main", "kling-v3"].limit == 2
    assert claimed(store, NOW + 10) is None
    assert claimed(store, NOW + 61)


def test_a_pause_of_the_account_is_ended_by_the_job_that_probes_it(store: Store) -> None:
    for number in range(3):
        store.accept(order(f"j{number}"), [], NOW + number)
    job = claimed(store)
    assert job
    moved(store, job, Decision(State.QUEUED, "no units", lesson=Verdict.UNPAID))
    assert claimed(store, NOW + 299) is None

    probe = claimed(store, NOW + 300)
    assert probe
    assert claimed(store, NOW + 300) is None
    moved(store, probe, TAKEN, NOW + 301)

    assert claimed(store, NOW + 301)


def test_an_account_learns_even_from_a_worker_that_lost_its_job(store: Store) -> None:
    store.accept(order(), [], NOW)
    slow = claimed(store)
    assert slow
    again(store, slow, NOW + 60)

    assert store.commit(slow, Decision(State.QUEUED, "", lesson=Verdict.UNPAID), NOW + 61, TIMING) is None

    assert store.lanes()["main", ""].reason == "unpaid"


# What clients do


def test_a_job_that_waits_can_be_cancelled_and_its_money_is_released(store: Store) -> None:
    store.accept(order(), TEN_JOBS, NOW)

    assert store.cancel("j", "other", NOW) is None
    job = store.cancel("j", "default", NOW + 5)

    assert job
    assert (job.state, job.money, job.ended_at, store.balance("day")) == ("cancelled", "released", NOW + 5, (0, 0))
    assert claimed(store) is None
    with pytest.raises(NotCancellable):
        store.cancel("j", "default", NOW)


def test_a_job_that_may_be_paid_cannot_be_cancelled_and_goes_on(store: Store) -> None:
    store.accept(order(), TEN_JOBS, NOW)
    job = claimed(store)

    with pytest.raises(NotCancellable, match="submitting"):
        store.cancel("j", "default", NOW)

    assert store.job("j") == job


def test_a_discarded_job_goes_on_under_its_claim(store: Store) -> None:
    store.accept(order(), [], NOW)
    job = claimed(store)
    assert job

    assert store.discard("j", "other", NOW) is None
    for _ in range(2):
        found = store.discard("j", "default", NOW)
        assert found
        assert (found.is_discarded, found.claim) == (True, job.claim)

    assert moved(store, job, TAKEN).is_discarded
    assert len([event for event in store.events("j") if "not wanted" in event.reason]) == 1


def test_a_job_that_has_ended_can_be_deleted_and_stays_for_the_books(store: Store) -> None:
    store.accept(order(), [], NOW)
    assert store.delete("j", "default", NOW) is None
    store.cancel("j", "default", NOW)

    deleted = [store.delete("j", "default", NOW + number) for number in (1, 2)]

    assert [job and job.deleted_at for job in deleted] == [NOW + 1, NOW + 1]
    assert (store.jobs(with_deleted=False), len(store.jobs())) == ([], 1)


@table(
    ("asked", "ids"),
    [
        ({}, ["j4", "j3", "j2", "j1", "j0"]),
        ({"limit": 2}, ["j4", "j3"]),
        ({"limit": 2, "after": "j3"}, ["j2", "j1"]),
        ({"is_ascending": True, "after": "j2"}, ["j3", "j4"]),
        ({"tenant": "b"}, ["j4", "j1"]),
        ({"states": [State.CANCELLED]}, ["j0"]),
        ({"states": [State.CANCELLED, State.QUEUED], "tenant": "a"}, ["j3", "j2", "j0"]),
        ({"after": "nobody"}, []),
    ],
)
def test_jobs_are_listed_in_pages(asked: dict[str, Any], ids: list[str], store: Store) -> None:
    if not store.jobs():
        for number, (tenant, at) in enumerate([("a", 0), ("b", 1), ("a", 2), ("a", 2), ("b", 3)]):
            store.accept(order(f"j{number}", tenant=tenant), [], NOW + at)
        store.cancel("j0", "a", NOW)

    assert [job.id for job in store.jobs(**asked)] == ids


def test_a_tenant_sees_its_own_jobs(store: Store) -> None:
    store.accept(order(), [], NOW)

    assert store.job("j", "other") is None
    assert store.job("j", "default")
    assert (store.counts("other"), store.counts("default")) == ({}, {State.QUEUED: 1})


def test_the_queue_of_one_tenant_does_not_hold_back_another(store: Store) -> None:
    for number in range(3):
        store.accept(order(f"a{number}", tenant="a"), [], NOW)
    store.accept(order("b0", tenant="b"), [], NOW + 100)

    assert [job.id for _ in range(2) if (job := claimed(store, NOW + 100, MANY))] == ["a0", "b0"]
