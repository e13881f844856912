"""The table of states: no job is stuck, none is bought twice, and what may have been paid cannot be cancelled."""

from __future__ import annotations

import pytest

from mitm_ai_proxy.platform.states import (
    CANCELLABLE,
    FINAL,
    SLOT_STATES,
    STATES,
    State,
    WrongTransition,
    frees_slot,
    require,
)
from tests.tables import table


def _reached(start: State) -> set[State]:
    found: set[State] = set()
    waiting = [start]
    while waiting:
        state = waiting.pop()
        if state not in found:
            found.add(state)
            waiting += STATES[state].leads_to
    return found


def test_every_state_has_a_row_and_is_reached_by_a_new_job() -> None:
    assert set(STATES) == set(State) == _reached(State.QUEUED)


def test_every_job_can_come_to_an_end() -> None:
    assert {State.STORED, State.FAILED, State.CANCELLED} == FINAL
    assert all(_reached(state) & FINAL for state in State)


def test_a_slot_is_held_from_before_the_purchase_until_kling_has_ended_the_task() -> None:
    assert {State.SUBMITTING, State.IN_DOUBT, State.PROCESSING} == SLOT_STATES
    assert STATES[State.QUEUED].leads_to == {State.SUBMITTING, State.CANCELLED}


def test_only_what_was_never_sent_can_be_cancelled() -> None:
    assert {State.QUEUED} == CANCELLABLE


def test_a_job_in_doubt_never_returns_to_the_queue_where_another_account_might_buy_it() -> None:
    assert State.QUEUED not in STATES[State.IN_DOUBT].leads_to


@table(
    ("before", "after", "frees"),
    [
        ("queued", "submitting", False),
        ("submitting", "queued", True),
        ("submitting", "in_doubt", False),
        ("processing", "fetching", True),
        ("processing", "failed", True),
        ("fetching", "stored", False),
    ],
)
def test_a_transition_says_whether_a_slot_falls_free(before: str, after: str, frees: bool) -> None:
    require(State(before), State(after))
    assert frees_slot(State(before), State(after)) is frees


@table(
    ("before", "after"),
    [
        ("queued", "processing"),
        ("stored", "queued"),
        ("failed", "queued"),
        ("in_doubt", "queued"),
        ("queued", "queued"),
    ],
)
def test_what_the_table_lacks_is_refused(before: str, after: str) -> None:
    with pytest.raises(WrongTransition, match=f"{before} to {after}"):
        require(State(before), State(after))


@table(
    ("state", "word"),
    [
        ("queued", "queued"),
        ("in_doubt", "in_progress"),
        ("fetching", "in_progress"),
        ("stored", "completed"),
        ("failed", "failed"),
        ("cancelled", "failed"),
    ],
)
def test_openais_clients_see_their_own_words(state: str, word: str) -> None:
    assert STATES[State(state)].openai == word
