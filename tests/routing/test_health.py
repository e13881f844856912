"""What is left out, and when it comes back: the transition table, the thresholds, rests, and random histories."""

from __future__ import annotations

import random

from mitm_ai_proxy.config.reliability import Failover
from mitm_ai_proxy.routing.health import LONGEST_REST, TRANSITIONS, TRIAL, Event, Health, Place, State
from tests.tables import table

A1, A2, B = Place("a", 0), Place("a", 1), Place("b")
POLICY = Failover(enabled=True, failure_threshold=2, success_threshold=2, cooldown_duration=10_000)


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _health(policy: Failover = POLICY) -> tuple[Health, Clock]:
    clock = Clock()
    return Health({"a": policy, "b": policy}, clock), clock


def _fail(health: Health, place: Place, times: int = 1) -> None:
    for _ in range(times):
        health.fail(place, "500", is_providers=False)


def test_the_table_has_each_event_in_each_state() -> None:
    assert TRANSITIONS.keys() == {(state, event) for state in State for event in Event}


def test_a_token_is_left_out_after_failures_in_a_row_and_on_trial_after_its_cooldown() -> None:
    health, clock = _health()
    _fail(health, A1)
    health.succeed(A1)
    _fail(health, A1)
    assert health.is_free(A1)
    _fail(health, A1)
    assert (health.of(A1).state, health.of(A1).why, health.of(A1).since) == (State.LEFT_OUT, "500", 1000.0)
    assert not health.is_free(A1)
    assert health.is_free(A2)
    clock.now += 9.9
    assert not health.is_free(A1)
    clock.now += 0.1
    assert health.is_free(A1)
    health.draw(A1)
    # One request at a time tries it.
    assert (health.of(A1).state, health.is_free(A1)) == (State.ON_TRIAL, False)


@table(
    ("events", "state", "is_free"),
    [
        (["succeed"], State.LEFT_OUT, True),
        (["succeed", "draw", "succeed"], State.IN_USE, True),
        (["fail"], State.LEFT_OUT, False),
        (["succeed", "draw", "fail"], State.LEFT_OUT, False),
        (["give_up"], State.LEFT_OUT, True),
    ],
)
def test_a_trial_ends_as_its_request_does(events: list[str], state: State, is_free: bool) -> None:
    health, clock = _health()
    _fail(health, A1, 2)
    clock.now += 10
    health.draw(A1)
    for event in events:
        if event == "fail":
            _fail(health, A1)
        else:
            getattr(health, event)(A1)
    assert (health.of(A1).state, health.is_free(A1)) == (state, is_free)


def test_a_trial_whose_end_is_never_told_does_not_last_for_ever() -> None:
    health, clock = _health()
    _fail(health, A1, 2)
    clock.now += 10
    health.draw(A1)
    clock.now += TRIAL
    assert health.is_free(A1)


def test_a_provider_that_is_not_reached_is_left_out_with_all_its_tokens() -> None:
    health, clock = _health()
    health.fail(A1, "refused", is_providers=True)
    health.fail(A2, "refused", is_providers=True)
    assert [health.is_free(place) for place in (A1, A2)] == [False, False]
    assert (health.of(A1).state, health.of(Place("a")).state) == (State.IN_USE, State.LEFT_OUT)
    clock.now += 10
    health.draw(A1)
    assert not health.is_free(A2)
    # An answer of any kind says that the provider is there.
    _fail(health, A1)
    health.draw(A1)
    _fail(health, A2)
    assert health.of(Place("a")).state is State.IN_USE


def test_without_a_cooldown_only_a_success_brings_it_back() -> None:
    health, clock = _health(Failover(enabled=True, failure_threshold=1, cooldown_duration=0, health_check_model="m"))
    _fail(health, A1)
    clock.now += 1e9
    assert not health.is_free(A1)
    health.succeed(A1)
    assert health.is_free(A1)


def test_what_asks_for_a_rest_gets_it_up_to_a_cap_without_failover_too() -> None:
    health, clock = _health(Failover())
    health.rest_for(A1, 5, "429")
    health.rest_for(A2, 1e6, "429")
    assert (health.is_free(A1), health.rest(A1), health.rest(A2)) == (False, 5.0, LONGEST_REST)
    clock.now += 5
    assert (health.is_free(A1), health.is_free(A2)) == (True, False)
    _fail(health, A1, 100)
    assert health.of(A1).state is State.IN_USE


def test_the_last_resort_rests_or_failed_first() -> None:
    health, clock = _health()
    for place in (A2, A1, B):
        clock.now += 1
        _fail(health, place, 2)
    assert health.last_resort([A1, A2, B]) == A2
    health.draw(A2)
    _fail(health, A2)
    assert health.last_resort([A1, A2, B]) == A1
    health.rest_for(Place("c"), 9, "429")
    assert health.last_resort([A1, A2, B, Place("c")]) == Place("c")


def test_whatever_happens_a_place_comes_back_and_failures_alone_leave_it_out() -> None:
    for seed in range(300):
        rng = random.Random(seed)
        health, clock = _health(Failover(enabled=True, failure_threshold=3, cooldown_duration=5_000))
        row = 0
        for _ in range(60):
            clock.now += rng.random() * 3
            before = health.of(A1).state
            event = rng.choice(["draw", "fail", "fail", "succeed", "give_up"])
            if event == "fail":
                _fail(health, A1)
                row += 1
            else:
                getattr(health, event)(A1)
                row = 0 if event == "succeed" else row
            state = health.of(A1).state
            if before is State.IN_USE:
                assert (state is State.LEFT_OUT) == (event == "fail" and row >= 3)
            if state is State.IN_USE and before is not State.IN_USE:
                assert event == "succeed"
                row = 0
            assert health.is_free(A1) or state is not State.IN_USE
        clock.now += 5 + TRIAL
        assert health.is_free(A1)
