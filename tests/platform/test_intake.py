"""Orders that are taken in: whose budget, how many wait, retries; and the keys of those who order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mitm_ai_proxy.platform import orders
from mitm_ai_proxy.platform.decisions import Decision
from mitm_ai_proxy.platform.intake import Caller, Intake, NotRetried
from mitm_ai_proxy.platform.money import Allowance, Exceeded
from mitm_ai_proxy.platform.records import Repeat
from mitm_ai_proxy.platform.settings import PlatformSettings, TenantSettings
from mitm_ai_proxy.platform.states import Money, State
from mitm_ai_proxy.platform.store import QueueFull, Store
from tests.platform.orders import NOW, claimed, moved

DRAFT = orders.read(b'{"prompt": "a cat"}')
CALLER = Caller("acme")


@pytest.fixture
def store(either_store: Store) -> Store:
    """An empty store, of each kind."""
    return either_store


def _intake(store: Store, woken: list[str] | None = None, **limits: Any) -> Intake:
    settings = PlatformSettings(tenants={"acme": TenantSettings(**limits)})
    return Intake(store, settings, (woken if woken is not None else []).append, clock=lambda: NOW)


def test_an_accepted_order_is_a_job_that_wakes_a_worker(store: Store) -> None:
    woken: list[str] = []
    job, is_new = _intake(store, woken).accept(CALLER, DRAFT)

    assert (is_new, job.tenant, job.model, job.state, job.estimate) == (True, "acme", "kling-v3", "queued", 3000)
    assert (store.body(job.id), woken) == (DRAFT.body, [""])
    assert job.id.startswith("job_")


def test_a_repeated_create_gives_its_job_and_reserves_nothing(store: Store) -> None:
    woken: list[str] = []
    intake, repeat = _intake(store, woken, daily_units=3), Repeat("k", "hash")
    job, _ = intake.accept(CALLER, DRAFT, repeat=repeat)

    assert intake.accept(CALLER, DRAFT, repeat=repeat) == (job, False)
    assert woken == [""]


@pytest.mark.parametrize(("limits", "error"), [({"daily_units": 5}, Exceeded), ({"monthly_units": 5.5}, Exceeded)])
def test_a_tenant_has_a_budget(limits: Any, error: type[Exception], store: Store) -> None:
    intake = _intake(store, **limits)
    intake.accept(CALLER, DRAFT)

    with pytest.raises(error):
        intake.accept(CALLER, DRAFT)
    intake.accept(Caller("other"), DRAFT)


def test_a_key_has_a_budget_of_its_own(store: Store) -> None:
    intake = _intake(store)
    key, _ = store.keys.make("acme", NOW, allowance=Allowance(3000, None))
    intake.accept(Caller("acme", key), DRAFT)

    with pytest.raises(Exceeded, match=key.id):
        intake.accept(Caller("acme", key), DRAFT)
    intake.accept(CALLER, DRAFT)


def test_a_queue_has_an_end(store: Store) -> None:
    intake = _intake(store, queue=1)
    intake.accept(CALLER, DRAFT)

    with pytest.raises(QueueFull):
        intake.accept(CALLER, DRAFT)


def test_a_failed_job_is_retried_as_a_new_one_that_names_it(store: Store) -> None:
    intake = _intake(store)
    job, _ = intake.accept(CALLER, DRAFT)
    with pytest.raises(NotRetried):
        intake.retry(CALLER, job)
    taken = claimed(store)
    assert taken
    failed = moved(store, taken, Decision(State.FAILED, "no", error="invalid", money=Money.RELEASED))

    again, is_new = intake.retry(CALLER, replace(failed, pinned_to="b"))

    assert (is_new, again.retry_of, again.state, store.body(again.id)) == (True, job.id, "queued", DRAFT.body)
    assert again.pinned_to == "b"


def test_of_a_deleted_job_nothing_is_left_to_be_retried(store: Store) -> None:
    intake = _intake(store)
    job, _ = intake.accept(CALLER, DRAFT)
    store.cancel(job.id, "acme", NOW)
    deleted = store.delete(job.id, "acme", NOW)
    assert deleted

    with pytest.raises(NotRetried):
        intake.retry(CALLER, deleted)


# Keys


def test_a_key_opens_what_is_its_tenants_until_it_is_revoked(store: Store) -> None:
    assert not store.keys.exist()
    key, text = store.keys.make("acme", NOW, allowance=Allowance(1, 2), note="ci")

    assert text.startswith("vp_")
    assert store.keys.find(text) == key
    assert (store.keys.find(f"{text}x"), store.keys.find(""), store.keys.exist()) == (None, None, True)
    assert (key.tenant, key.note, key.daily, key.monthly) == ("acme", "ci", 1, 2)
    assert store.keys.all("acme") == store.keys.all() == [key]
    assert store.keys.revoke(key.id, NOW + 1)
    assert not store.keys.revoke(key.id, NOW + 2)
    assert (store.keys.find(text), store.keys.exist()) == (None, False)
    assert store.keys.all("acme") == [key._replace(revoked_at=NOW + 1)]


def test_no_file_of_the_store_holds_a_key(sqlite_store: Store, tmp_path: Path) -> None:
    _, text = sqlite_store.keys.make("acme", NOW)
    sqlite_store.close()

    assert not any(text[3:].encode() in path.read_bytes() for path in tmp_path.iterdir())


def test_all_processes_sign_callbacks_with_one_key(store: Store) -> None:
    key = store.keys.signing_key()
    again = Store(store._database)

    assert again.keys.signing_key() == key
    assert len(key) == 32
