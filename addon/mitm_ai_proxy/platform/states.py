"""The states of a job as a table: what each holds, where it may lead, and OpenAI's word for it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple


class State(StrEnum):
    """Where a job is on its way to a stored video.

    Of `submitting` it is certain that a create is sent or about to be; of `in_doubt`, that nobody knows whether Kling
    has taken it. A job that is `queued` has no task at Kling, in none of the accounts.
    """

    QUEUED = "queued"
    SUBMITTING = "submitting"
    IN_DOUBT = "in_doubt"
    PROCESSING = "processing"
    FETCHING = "fetching"
    STORED = "stored"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Money(StrEnum):
    """What has become of the units that were reserved for a job."""

    RESERVED = "reserved"
    SETTLED = "settled"
    RELEASED = "released"


class Row(NamedTuple):
    """A state: whether a job in it counts against Kling's limit, the states it may lead to, OpenAI's word for it."""

    holds_slot: bool
    leads_to: frozenset[State]
    openai: str


def _row(openai: str, *leads_to: State, holds_slot: bool = False) -> Row:
    return Row(holds_slot, frozenset(leads_to), openai)


_Q, _S, _D, _P, _F = State.QUEUED, State.SUBMITTING, State.IN_DOUBT, State.PROCESSING, State.FETCHING

STATES: Final[Mapping[State, Row]] = {
    _Q: _row("queued", _S, State.CANCELLED),
    _S: _row("in_progress", _Q, _S, _D, _P, State.FAILED, holds_slot=True),
    _D: _row("in_progress", _D, _S, _P, State.FAILED, holds_slot=True),
    # Back to the queue only where the task itself has failed for want of a slot.
    _P: _row("in_progress", _P, _F, _Q, State.FAILED, holds_slot=True),
    _F: _row("in_progress", _F, State.STORED, State.FAILED),
    State.STORED: _row("completed"),
    State.FAILED: _row("failed"),
    State.CANCELLED: _row("failed"),
}
"""By state. A state that leads to itself is tried again later."""

SLOT_STATES: Final = frozenset(state for state, row in STATES.items() if row.holds_slot)
FINAL: Final = frozenset(state for state, row in STATES.items() if not row.leads_to)
CANCELLABLE: Final = frozenset(state for state, row in STATES.items() if State.CANCELLED in row.leads_to)
"""Kling has no cancel: what may have been sent there is paid."""


class WrongTransition(Exception):
    """A transition that the table lacks: a mistake of this program, which must not be written down."""


def require(before: State, after: State) -> None:
    """Raise WrongTransition unless a job may go from one state to the other."""
    if after not in STATES[before].leads_to:
        raise WrongTransition(f"a job does not go from {before} to {after}")


def frees_slot(before: State, after: State) -> bool:
    """Whether Kling has a free slot more after this transition."""
    return before in SLOT_STATES and after not in SLOT_STATES
