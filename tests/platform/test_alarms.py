"""Alarms: a pause that is a person's, and its end, as signed webhooks to whoever looks after the platform."""

from __future__ import annotations

import json
from pathlib import Path

from mitm_ai_proxy.platform import alarms, deployment, lanes, signing
from mitm_ai_proxy.platform.decisions import Decision
from mitm_ai_proxy.platform.lanes import NEW, Lane
from mitm_ai_proxy.platform.records import Delivery, DeliveryState
from mitm_ai_proxy.platform.replies import Verdict
from mitm_ai_proxy.platform.states import State
from mitm_ai_proxy.platform.store import Store
from mitm_ai_proxy.platform.webhooks import Webhooks
from tests.platform.orders import NOW, TIMING, claimed, moved, order
from tests.platform.test_webhooks import SECRET, answering, receiver
from tests.tables import table

URL = "http://alarms.example/hook"
UNPAID = Decision(State.QUEUED, "no units", lesson=Verdict.UNPAID)
TAKEN = Decision(State.PROCESSING, "taken", task_id="t", lesson=Verdict.TAKEN)


@table(
    ("answers", "told"),
    [
        ("unpaid", "unpaid"),
        ("unpaid unpaid", "unpaid"),
        ("unpaid unpaid taken", "unpaid, in order"),
        ("unpaid forbidden invalid", "unpaid, forbidden, in order"),
        ("denied taken gone", "denied, in order, gone"),
        ("clock taken", ""),
        ("clock clock taken", "clock, in order"),
        ("full fast taken", ""),
        ("unsent unsent unsent taken", ""),
        (" ".join(["unsent"] * 9 + ["taken"]), "unsent, in order"),
        (" ".join(["doubt"] * 9), ""),
        (" ".join(["doubt"] * 12), "doubt"),
    ],
)
def test_what_passes_by_itself_is_nobodys_and_everything_else_is_told_once(answers: str, told: str) -> None:
    lane, now = NEW, NOW
    found: list[str] = []
    for word in answers.split():
        now = max(now + 1, lane.paused_until)
        after = lanes.learned(lane, Verdict(word), 0, now, TIMING)
        alarm = alarms.alarm("main", "", lane, after)
        found += [alarm.reason or "in order"] if alarm else []
        lane = after

    assert ", ".join(found) == told


def _waiting(store: Store) -> list[Delivery]:
    return store.deliveries.claim(NOW + 9999, lease=30)


def _answered(store: Store, *decisions: Decision, at: float = NOW) -> None:
    """Claim a job for each decision, whenever the account may be asked again."""
    now = at
    for decision in decisions:
        store.accept(order(f"j{now}"), [], now)
        job = claimed(store, now)
        assert job
        moved(store, job, decision, now)
        now += TIMING.probe


def test_a_pause_and_its_end_are_a_webhook_each(either_store: Store) -> None:
    either_store._alarms_to = URL
    _answered(either_store, UNPAID, UNPAID, TAKEN)

    found = _waiting(either_store)
    assert [(sent.job, sent.tenant, sent.url, sent.event) for sent in found] == [
        (None, "", URL, "account.paused"),
        (None, "", URL, "account.resumed"),
    ]
    assert [json.loads(sent.data)["reason"] for sent in found] == ["unpaid", None]


def test_nobody_is_told_where_nobody_is_named_or_who_said_410(sqlite_store: Store) -> None:
    store = sqlite_store
    _answered(store, UNPAID)
    assert _waiting(store) == []

    store._alarms_to = URL
    _answered(store, TAKEN, at=NOW + 1000)
    (told,) = _waiting(store)
    store.deliveries.failed(told, NOW, 410, "gone", closes=True)
    _answered(store, UNPAID, at=NOW + 2000)
    assert (store.lanes()["main", ""].reason, _waiting(store)) == ("unpaid", [])


def test_an_alarm_is_signed_and_may_go_into_the_own_network(tmp_path: Path) -> None:
    with receiver(answering(b"204 No Content")) as operator:
        block = {"alarms": {"url": operator.url, "webhookSecret": SECRET}}
        found = deployment.read({"platform": block}, {}, data=tmp_path)
        store = Store(tmp_path / "jobs.db", alarms_to=str(found.platform.alarms.url))
        _answered(store, UNPAID)
        sender = Webhooks(store, found.platform, clock=lambda: NOW)
        for future in sender.send_due():
            future.result(20)
        sender._pool.shutdown()
        fields, body, line = operator.requests[0]

    assert (line, store.deliveries.counts()) == ("POST /hook?a=1 HTTP/1.1", {DeliveryState.DELIVERED: 1})
    event = json.loads(body)
    assert (event["type"], event["created_at"], event["id"]) == (
        "account.paused",
        int(NOW),
        f"evt_{fields['webhook-id']}",
    )
    assert event["data"] == {
        "account": "main",
        "model": None,
        "status": "paused",
        "reason": "unpaid",
        "advice": lanes.ADVICE["unpaid"],
    }
    fields["webhook-signature"] = fields["signature"]
    assert signing.is_genuine(found.platform.alarms.webhook_secret, fields, body, NOW)
    assert SECRET not in repr(found)
    store.close()


def test_what_is_paused_is_listed() -> None:
    known = {("a", ""): Lane(reason="unpaid", failures=1), ("a", "m"): Lane(reason="fast", failures=9), ("b", ""): NEW}

    assert list(alarms.paused(known).values()) == [("a", "", "unpaid")]
