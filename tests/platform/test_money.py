"""Budgets: nothing is accepted that is not paid for, and sums are exact."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mitm_ai_proxy.platform import money
from mitm_ai_proxy.platform.money import NO_LIMIT, Allowance, Balance, Budget, Exceeded
from tests.tables import table

TEXT = "/v1/videos/text2video"
NOW = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()


@table(
    ("body", "amount"),
    [
        ({"model_name": "kling-v3", "prompt": "a", "duration": "5", "mode": "std"}, 3000),
        ({"model_name": "kling-v3", "prompt": "a", "duration": "5", "mode": "std", "sound": "on"}, 4500),
        ({"model_name": "kling-v3", "prompt": "a", "duration": "7", "mode": "pro"}, 5600),
        ({"model_name": "kling-v99", "prompt": "a"}, None),
        ({"model_name": "kling-v3", "prompt": "a", "duration": "99"}, None),
    ],
)
def test_a_job_is_estimated_by_the_price_list(body: dict[str, str], amount: int | None) -> None:
    assert money.estimate(TEXT, body) == amount


def test_a_part_of_a_milliunit_is_reserved_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    for units, amount in ((0.0001, 1), (2.8000000000000003, 2800), (0.0, 0)):
        monkeypatch.setattr("mitm_ai_proxy.kling.create_prices.expected", lambda *_, units=units: units)
        assert money.estimate(TEXT, {}) == amount


def test_a_job_is_worth_dollars() -> None:
    assert money.dollars(3000, TEXT) == 0.42


@table(("amount", "text"), [(3000, "3"), (50, "0.05"), (0, "0"), (-1500, "-1.5"), (1234, "1.234"), (10_100, "10.1")])
def test_amounts_are_shown_in_units(amount: int, text: str) -> None:
    assert money.shown(amount) == text


def test_a_job_counts_against_the_day_and_the_month_of_its_tenant() -> None:
    found = money.budgets("acme", Allowance(1, 2), "k1", NO_LIMIT, NOW)

    midnight = datetime(2027, 1, 1, tzinfo=UTC).timestamp()
    assert found == [
        Budget("tenant:acme:day:2026-12-31", 1, midnight),
        Budget("tenant:acme:month:2026-12", 2, midnight),
    ]


def test_a_key_with_a_limit_has_a_budget_of_its_own() -> None:
    found = money.budgets("acme", NO_LIMIT, "k1", Allowance(daily=5), NOW)

    assert [(name, limit) for name, limit, _ in found] == [
        ("key:k1:day:2026-12-31", 5),
        ("tenant:acme:day:2026-12-31", None),
        ("tenant:acme:month:2026-12", None),
    ]


def test_a_month_ends_where_the_next_one_begins() -> None:
    at = datetime(2028, 2, 29, 12, tzinfo=UTC).timestamp()

    ends = [budget.ends_at for budget in money.budgets("t", NO_LIMIT, "", NO_LIMIT, at)]

    assert ends == [datetime(2028, 3, 1, tzinfo=UTC).timestamp()] * 2


@table(
    ("limit", "spent", "reserved", "amount", "is_accepted"),
    [
        (10, 0, 0, 10, True),
        (10, 0, 0, 11, False),
        (10, 4, 3, 3, True),
        (10, 4, 3, 4, False),
        (10, 12, 0, 0, False),
        (0, 0, 0, 0, True),
        (None, 10**12, 0, 10**12, True),
    ],
)
def test_a_reservation_never_goes_beyond_the_limit(
    limit: int | None, spent: int, reserved: int, amount: int, is_accepted: bool
) -> None:
    budget = Budget("b", limit, 0)
    if is_accepted:
        money.require(budget, Balance(spent, reserved), amount)
    else:
        with pytest.raises(Exceeded):
            money.require(budget, Balance(spent, reserved), amount)


def test_a_refusal_says_what_is_left() -> None:
    with pytest.raises(Exceeded, match=r"the budget b has 1\.5 units left, and the job may cost 3") as raised:
        money.require(Budget("b", 10_000, 7.0), Balance(6000, 2500), 3000)

    assert (raised.value.needed, raised.value.left, raised.value.budget.ends_at) == (3000, 1500, 7.0)


def test_what_is_left_is_never_less_than_nothing() -> None:
    with pytest.raises(Exceeded) as raised:
        money.require(Budget("b", 10, 0), Balance(12, 0), 1)

    assert raised.value.left == 0


@table(
    ("estimated", "actual", "differs"),
    [(3000, 3000, False), (3000, 2701, False), (3000, 2700, True), (3000, 3300, True), (0, 0, False), (0, 1, True)],
)
def test_a_price_that_is_a_tenth_off_is_remarked(estimated: int, actual: int, differs: bool) -> None:
    assert money.differs(estimated, actual) is differs
