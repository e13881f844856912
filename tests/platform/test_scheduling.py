"""Who gets the next slot: fairness between tenants, order within one, and the limits of accounts and tenants."""

from __future__ import annotations

from collections.abc import Mapping

from mitm_ai_proxy.platform.lanes import ALL_MODELS, Lane
from mitm_ai_proxy.platform.scheduling import Held, Limits, Waiting, choose, order
from mitm_ai_proxy.platform.timing import Timing
from tests.tables import table

NOW = 10_000.0
TIMING = Timing()


def _next(
    waiting: list[Waiting],
    held: list[Held] | None = None,
    lanes: Mapping[tuple[str, str], Lane] | None = None,
    accounts: Mapping[str, int] | None = None,
    tenants: Mapping[str, int] | None = None,
) -> tuple[str, str, str] | None:
    found = choose(waiting, held or [], lanes or {}, Limits(accounts or {"a": 5}, tenants or {}), NOW, TIMING)
    return found and (found.tenant, found.model, found.account)


def test_the_oldest_job_is_first() -> None:
    assert _next([Waiting("t", "m", 2), Waiting("u", "m", 1)]) == ("u", "m", "a")


def test_a_tenant_that_holds_fewer_slots_is_first() -> None:
    waiting = [Waiting("t", "m", 1), Waiting("u", "m", 2)]

    assert _next(waiting, [Held("t", "a", "m", 1)]) == ("u", "m", "a")


def test_slots_of_all_models_and_accounts_count_for_a_tenant() -> None:
    waiting = [Waiting("t", "m", 1), Waiting("u", "m", 2)]
    held = [Held("t", "a", "n", 1), Held("t", "b", "n", 1), Held("u", "a", "m", 1)]

    assert _next(waiting, held, accounts={"a": 5, "b": 5}) == ("u", "m", "b")


@table(
    ("count", "choice"),
    [(4, ("t", "m", "a")), (5, None), (6, None)],
)
def test_an_account_is_never_filled_beyond_its_limit(count: int, choice: tuple[str, str, str] | None) -> None:
    assert _next([Waiting("t", "m", 1)], [Held("other", "a", "m", count)]) == choice


def test_kling_counts_each_model_by_itself() -> None:
    assert _next([Waiting("t", "m", 1)], [Held("other", "a", "n", 5)]) == ("t", "m", "a")


def test_a_full_model_does_not_keep_the_jobs_of_another_one() -> None:
    waiting = [Waiting("t", "m", 1), Waiting("t", "n", 2)]

    assert _next(waiting, [Held("other", "a", "m", 5)]) == ("t", "n", "a")


def test_the_emptiest_account_takes_the_job() -> None:
    held = [Held("t", "a", "m", 4), Held("t", "b", "m", 1)]

    assert _next([Waiting("t", "m", 1)], held, accounts={"a": 5, "b": 3}) == ("t", "m", "b")


@table(("limit", "choice"), [(2, ("u", "m", "a")), (3, ("t", "m", "a"))])
def test_a_tenant_has_a_limit_of_its_own(limit: int, choice: tuple[str, str, str]) -> None:
    waiting = [Waiting("t", "m", 1), Waiting("u", "m", 2)]
    held = [Held("t", "a", "n", 2), Held("u", "a", "n", 2)]

    assert _next(waiting, held, tenants={"t": limit}) == choice


@table(
    ("lanes", "choice"),
    [
        ({("a", "m"): Lane(paused_until=NOW + 1)}, ("t", "n", "a")),
        ({("a", ALL_MODELS): Lane(paused_until=NOW + 1)}, None),
        ({("a", "m"): Lane(paused_until=NOW)}, ("t", "m", "a")),
        ({("a", "m"): Lane(limit=0, learned_at=NOW)}, ("t", "n", "a")),
        ({("b", ALL_MODELS): Lane(paused_until=NOW + 1)}, ("t", "m", "a")),
    ],
)
def test_a_paused_lane_gets_no_job(lanes: Mapping[tuple[str, str], Lane], choice: tuple[str, str, str] | None) -> None:
    assert _next([Waiting("t", "m", 1), Waiting("t", "n", 2)], lanes=lanes) == choice


def test_another_account_takes_the_jobs_of_a_paused_one() -> None:
    lanes = {("a", ALL_MODELS): Lane(paused_until=NOW + 1)}

    assert _next([Waiting("t", "m", 1)], lanes=lanes, accounts={"a": 5, "b": 1}) == ("t", "m", "b")


@table(
    ("pinned_to", "paused", "choice"),
    [
        ("b", "", ("t", "m", "b", "b")),
        ("b", "b", ("u", "m", "a", "")),
        ("gone", "", ("u", "m", "a", "")),
    ],
)
def test_a_job_that_one_account_alone_may_have_waits_for_it_and_holds_nobody_back(
    pinned_to: str, paused: str, choice: tuple[str, str, str, str]
) -> None:
    waiting = [Waiting("t", "m", 1, pinned_to), Waiting("u", "m", 2)]
    lanes = {(paused, ALL_MODELS): Lane(paused_until=NOW + 1)}

    assert choose(waiting, [], lanes, Limits({"a": 5, "b": 1}, {}), NOW, TIMING) == choice


def test_nothing_is_chosen_where_nobody_waits() -> None:
    assert _next([]) is None


def test_priority_counts_ten_minutes_of_age_so_that_nobody_starves() -> None:
    assert order(1000, 1) < order(401, 0) < order(402, 0)
    assert order(399, 0) < order(1000, 1)
    assert order(1000, 0) < order(1000, -1)


def test_slots_that_fall_free_one_by_one_are_shared_evenly() -> None:
    """One tenant has put in a hundred jobs before two others came with five each."""
    left = {"big": 100, "b": 5, "c": 5}
    held: dict[str, int] = {}
    for _ in range(9):
        waiting = [Waiting(tenant, "m", index) for index, (tenant, count) in enumerate(left.items()) if count]
        choice = _next(waiting, [Held(tenant, "a", "m", count) for tenant, count in held.items()], accounts={"a": 9})
        assert choice
        left[choice[0]] -= 1
        held[choice[0]] = held.get(choice[0], 0) + 1

    assert held == {"big": 3, "b": 3, "c": 3}
