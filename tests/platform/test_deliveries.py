"""Webhooks as rows: written with the end of a job, sent by one at a time, again after a failure, closed by 410."""

from __future__ import annotations

import pytest

from mitm_ai_proxy.platform.decisions import Decision
from mitm_ai_proxy.platform.records import Delivery, DeliveryState
from mitm_ai_proxy.platform.states import Money, State
from mitm_ai_proxy.platform.store import Store
from tests.platform.orders import NOW, claimed, moved, order, stored

URL = "https://a.example/hook"
FAILED = Decision(State.FAILED, "no", error="invalid", money=Money.RELEASED)


@pytest.fixture
def store(either_store: Store) -> Store:
    """An empty store, of each kind."""
    return either_store


def _ended(store: Store, job_id: str = "j", url: str = URL) -> None:
    store.accept(order(job_id, callback_url=url), [], NOW)
    job = claimed(store)
    assert job
    moved(store, job, FAILED)


def _one(store: Store, now: float = NOW) -> Delivery:
    (found,) = store.deliveries.claim(now, lease=30)
    return found


def test_a_job_that_ends_writes_its_webhook(store: Store) -> None:
    store.accept(order(callback_url=URL), [], NOW)
    job = claimed(store)
    assert job
    assert store.deliveries.of_job("j") == []
    stored(store, job)

    (found,) = store.deliveries.of_job("j")
    assert (found.job, found.tenant, found.url, found.state, found.tries) == ("j", "default", URL, "waiting", 0)
    assert found.id.startswith("msg_")


@pytest.mark.parametrize("end", ["cancelled", "failed"])
def test_one_that_was_cancelled_or_failed_does_so_too_unless_nobody_is_named(end: str, store: Store) -> None:
    for job_id, url in (("j", URL), ("k", "")):
        store.accept(order(job_id, callback_url=url), [], NOW)
        if end == "cancelled":
            store.cancel(job_id, "default", NOW)
        else:
            job = claimed(store)
            assert job
            moved(store, job, FAILED)

    assert [len(store.deliveries.of_job(job_id)) for job_id in "jk"] == [1, 0]


def test_a_webhook_is_sent_by_one_until_its_lease_is_over(store: Store) -> None:
    _ended(store)
    first = _one(store)

    assert store.deliveries.claim(NOW + 29, lease=30) == []
    second = _one(store, NOW + 30)
    assert (second.id, second.claim != first.claim) == (first.id, True)
    assert not store.deliveries.delivered(first, NOW + 31, 200)
    assert store.deliveries.delivered(second, NOW + 32, 204)
    (found,) = store.deliveries.of_job("j")
    assert (found.state, found.status, found.tries, found.ended_at) == ("delivered", 204, 1, NOW + 32)
    assert store.deliveries.counts() == {DeliveryState.DELIVERED: 1}


def test_one_that_was_not_taken_is_due_again_under_its_id(store: Store) -> None:
    _ended(store)
    first = _one(store)
    assert store.deliveries.again(first, NOW + 5, 500, "status 500")

    assert store.deliveries.claim(NOW + 4, lease=30) == []
    second = _one(store, NOW + 5)
    assert (second.id, second.tries, second.status, second.problem) == (first.id, 1, 500, "status 500")
    assert store.deliveries.failed(second, NOW + 6, 0, "nothing came")
    assert store.deliveries.claim(NOW + 1000, lease=30) == []
    assert store.deliveries.redeliver(second.id, "default", NOW + 7)
    assert not store.deliveries.redeliver(second.id, "other", NOW + 7)
    assert _one(store, NOW + 7).id == first.id


def test_a_receiver_that_is_gone_gets_nothing_more(store: Store) -> None:
    _ended(store)
    store.deliveries.failed(_one(store), NOW, 410, "status 410", closes=True)
    _ended(store, "k")
    _ended(store, "l", f"{URL}/other")

    assert [len(store.deliveries.of_job(job_id)) for job_id in "jkl"] == [1, 0, 1]


def test_several_senders_share_what_is_due(store: Store) -> None:
    for number in range(5):
        _ended(store, f"j{number}")
    found = [store.deliveries.claim(NOW, lease=30, limit=2) for _ in range(4)]

    assert [len(part) for part in found] == [2, 2, 1, 0]
    assert len({delivery.id for part in found for delivery in part}) == 5
