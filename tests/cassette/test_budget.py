"""Budgets: which creates are allowed, what is reserved, also for several creates at once."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from mitm_ai_proxy.cassette.budget import Budget
from mitm_ai_proxy.cassette.entry import Request, Response
from mitm_ai_proxy.cassette.scrubbing import Scrubber
from mitm_ai_proxy.cassette.spending import Ledger
from mitm_ai_proxy.kling.recorded_api import RECORDED_API
from tests.cassette.charges import (
    CHAT,
    CREATE,
    DONE,
    DOUBTS,
    FREE,
    IMAGE,
    MADE,
    TEXT,
    UNKNOWN,
    URL,
    create_request,
    entry_of,
    expected_units,
    legacy_task,
    poll_entry,
    says,
    text_request,
)
from tests.cassette.exchanges import JSON
from tests.tables import table


def _budget(units: float, unknown: float | None = None) -> Budget:
    return Budget(units, RECORDED_API, unknown)


def _lets(budget: Budget, *requests: Request) -> list[bool]:
    return [budget.refuse(request) is None for request in requests]


def test_what_fits_goes_out_and_the_next_does_not() -> None:
    budget = _budget(10)
    assert _lets(budget, CREATE, CREATE, CREATE, CREATE, FREE) == [True, True, True, False, True]
    assert _lets(budget, text_request(model_name="kling-v1"), text_request(model_name="kling-v1")) == [True, False]


def test_a_budget_can_be_used_up_to_the_last_unit() -> None:
    tenths = text_request(model_name="kling-v3", duration="3")
    assert expected_units(tenths) == 1.8
    assert _lets(_budget(5.4), *[tenths] * 4) == [True, True, True, False]
    assert _lets(_budget(0.15), *[create_request("/v1/audio/tts", {})] * 4) == [True, True, True, False]


def test_the_refusal_names_the_budget_what_is_gone_and_the_price() -> None:
    budget = _budget(10)
    budget.refuse(text_request(mode="pro", sound="on"))
    budget.settle(MADE)
    text = budget.refuse(CREATE)
    assert text == (
        "The request was not sent: it can cost 3 units, about $0.42."
        " The budget is 10 units; spent or reserved: 9 units. It can be sent with a higher budget."
    )
    assert budget.refuse(UNKNOWN) == (
        "The request was not sent: its price is not known. The budget is 10 units; spent or reserved: 9 units."
        " It can only be sent without a budget."
    )
    assert _budget(1, unknown=2).refuse(UNKNOWN) == (
        "The request was not sent: its price is not known, and it counts as 2 units."
        " The budget is 1 unit; spent or reserved: 0 units. It can be sent with a higher budget."
    )


def test_a_refusal_quotes_nothing_of_the_request() -> None:
    secret = "s3cr3t"
    for request in (
        text_request(mode=secret),
        create_request(f"/{secret}?token={secret}", {"a": secret}),
        text_request(prompt=secret),
    ):
        text = _budget(0).refuse(request)
        assert text
        assert secret not in text


@table("unknown", [None, 0.5])
def test_a_budget_of_nothing_lets_out_only_what_is_known_to_be_free(unknown: float | None) -> None:
    paid = [CREATE, create_request("/v1/audio/tts", {}), create_request("/v1/videos/video-extend", {"video_id": "1"})]
    refused = [
        *paid,
        UNKNOWN,
        text_request(model_name="kling-v9"),
        create_request(TEXT, b"\xff"),
        create_request(CHAT, {}, "PUT"),
    ]
    assert not any(_lets(_budget(0, unknown), *refused))
    assert all(_lets(_budget(0, unknown), FREE, create_request("/tasks", {}), create_request(CHAT, method="DELETE")))


def test_an_unknown_price_is_refused_unless_it_counts_as_something() -> None:
    assert _lets(_budget(1000), UNKNOWN) == [False]
    budget = _budget(2, unknown=1)
    assert _lets(budget, UNKNOWN, UNKNOWN, UNKNOWN) == [True, True, False]
    budget.settle(entry_of(UNKNOWN, Response(200, "", JSON, b'{"id": "chatcmpl-1"}')))
    assert _lets(budget, UNKNOWN) == [False]
    budget.settle(entry_of(UNKNOWN, Response(429)))
    assert _lets(budget, UNKNOWN, UNKNOWN) == [True, False]


@table("response", [says(None, 400, 1201), says(None, 429, 1303), says(None, 200, 1102)])
def test_a_create_that_the_provider_refuses_gives_back_what_was_reserved(response: Response) -> None:
    budget = _budget(3)
    assert _lets(budget, CREATE, CREATE) == [True, False]
    budget.settle(entry_of(CREATE, response))
    assert _lets(budget, CREATE, CREATE) == [True, False]


def test_a_create_that_was_not_sent_gives_back_what_was_reserved() -> None:
    budget = _budget(3, unknown=3)
    for request in (CREATE, UNKNOWN):
        assert _lets(budget, request, CREATE) == [True, False]
        budget.release(request)
        budget.release(request)
    assert _lets(budget, CREATE, CREATE) == [True, False]


@table("response", DOUBTS)
def test_a_create_that_may_have_been_carried_out_keeps_what_was_reserved(response: Response | None) -> None:
    budget = _budget(3)
    budget.refuse(CREATE)
    budget.settle(entry_of(CREATE, response))
    assert _lets(budget, CREATE) == [False]


@table(
    ("answer", "left"),
    [
        (legacy_task("processing"), 7),
        (DONE, 7),
        (legacy_task("succeed", final_unit_deduction="1"), 9),
        (legacy_task("succeed", final_unit_deduction="9.5"), 0.5),
        (legacy_task("succeed", final_unit_deduction="99"), 0),
        (legacy_task("failed"), 10),
        (legacy_task("succeed", final_balance_deduction={"list_price": "0.28"}), 8),
        (legacy_task("succeed", final_unit_deduction="0", final_balance_deduction={"list_price": "0.28"}), 8),
    ],
)
def test_a_charge_takes_the_place_of_what_was_expected(answer: Response, left: float) -> None:
    budget = _budget(10)
    budget.refuse(CREATE)
    budget.settle(MADE)
    for _ in range(3):
        budget.settle(poll_entry(answer))
    assert _lets(budget, FREE) == [True]
    fitting = create_request("/v1/audio/tts", {})
    assert sum(_lets(budget, *[fitting] * 250)) == pytest.approx(left / 0.05)


def test_a_scrubbed_exchange_settles_what_the_unscrubbed_one_reserved() -> None:
    scrubber = Scrubber(("prompts", "image", "external_task_id"), ("s3cr3t-of-the-user",))
    body = {"model_name": "kling-v3", "prompt": "s3cr3t-of-the-user", "image": "AAAA", "external_task_id": "mine"}
    create = replace(create_request(IMAGE, {**body, "image": URL}), headers=(("Authorization", "Bearer a-long-token"),))
    budget = _budget(3)
    assert _lets(budget, create) == [True]
    scrubbed = scrubber.entry(entry_of(create, says(None, 400, 1301)))
    assert scrubbed.request != create
    budget.settle(scrubbed)
    assert _lets(budget, create, create) == [True, False]


def test_two_creates_at_once_do_not_both_get_the_last_units(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = _budget(3)
    answers: list[str | None] = []
    second = threading.Thread(target=lambda: answers.append(budget.refuse(CREATE)))
    is_there = threading.Event()

    class Lock:
        """A lock that tells when a thread has to wait for it."""

        def __init__(self) -> None:
            self.lock = threading.Lock()

        def __enter__(self) -> None:
            if not self.lock.acquire(blocking=False):
                is_there.set()
                self.lock.acquire()

        def __exit__(self, *_: object) -> None:
            self.lock.release()

    class SlowLedger(Ledger):
        """A ledger that starts the second create while the first one computes the sum."""

        def units(self, unknown: float) -> Iterator[float]:
            if second.ident is None:
                second.start()
                assert is_there.wait(60)
            is_there.set()
            return super().units(unknown)

    monkeypatch.setattr(budget, "_lock", Lock())
    monkeypatch.setattr(budget, "_ledger", SlowLedger(RECORDED_API))
    answers.append(budget.refuse(CREATE))
    second.join()
    assert sorted(answer is None for answer in answers) == [False, True]


def test_many_threads_spend_no_more_than_the_budget() -> None:
    budget = _budget(60)
    kept: list[int] = []

    def run() -> None:
        for number in range(20):
            if budget.refuse(CREATE) is None:
                if number % 2:
                    budget.release(CREATE)
                else:
                    kept.append(number)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(_lets(budget, *[CREATE] * 30)) == 20 - len(kept)


@table(("units", "unknown"), [(-1, None), (math.nan, None), (1, 0), (1, -1), (1, math.nan)])
def test_a_budget_that_makes_no_sense_is_refused(units: float, unknown: float | None) -> None:
    with pytest.raises(ValueError, match="has to be"):
        _budget(units, unknown)
