"""Which job gets the next free slot: fair between tenants, then by priority and age."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from .lanes import ALL_MODELS, NEW, Lane, effective_limit, is_open
from .timing import Timing

PRIORITIES: Final = (-1, 0, 1)
_STEP: Final = 600.0
"""Seconds of age that a step of priority counts, so that nobody starves."""


class Waiting(NamedTuple):
    """The first job in the queue of a tenant for a model, by order(). `pinned_to`: the only account for it, or ""."""

    tenant: str
    model: str
    order: float
    pinned_to: str = ""


class Held(NamedTuple):
    """Jobs that hold a slot."""

    tenant: str
    account: str
    model: str
    slots: int


class Choice(NamedTuple):
    """Whose job is next, for which model, in which account, and whether it is one that only that may have."""

    tenant: str
    model: str
    account: str
    pinned_to: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """Tasks at once: of each account, for each model as Kling counts, and of the tenants that have a limit."""

    accounts: Mapping[str, int]
    tenants: Mapping[str, int]


def order(created_at: float, priority: int) -> float:
    """By what the jobs of a tenant are sorted, the least first: their age, younger or older by their priority."""
    return created_at - _STEP * priority


def choose(
    waiting: Sequence[Waiting],
    held: Sequence[Held],
    lanes: Mapping[tuple[str, str], Lane],
    limits: Limits,
    now: float,
    timing: Timing,
) -> Choice | None:
    """Who is next: of the tenants that hold the fewest slots, the one with the first job. None: no slot is free.

    `lanes` are by account and model. Of several accounts that have room, the emptiest takes the job.
    """
    by_tenant: dict[str, int] = {}
    by_lane: dict[tuple[str, str], int] = {}
    for tenant, account, model, slots in held:
        by_tenant[tenant] = by_tenant.get(tenant, 0) + slots
        by_lane[account, model] = by_lane.get((account, model), 0) + slots

    def room(account: str, model: str) -> int:
        whole, lane = lanes.get((account, ALL_MODELS), NEW), lanes.get((account, model), NEW)
        if not (is_open(whole, now) and is_open(lane, now)):
            return 0
        limit = effective_limit(lane, limits.accounts[account], now, timing)
        return limit - by_lane.get((account, model), 0)

    def is_below(tenant: str) -> bool:
        return tenant not in limits.tenants or by_tenant.get(tenant, 0) < limits.tenants[tenant]

    for first in sorted(waiting, key=lambda item: (by_tenant.get(item.tenant, 0), item.order, item.tenant)):
        if not is_below(first.tenant):
            continue
        # A job whose account is not configured waits until it is.
        fitting = [account for account in limits.accounts if first.pinned_to in ("", account)]
        rooms = {account: room(account, first.model) for account in fitting}
        account = max(sorted(rooms), key=lambda account: rooms[account], default="")
        if account and rooms[account] > 0:
            return Choice(first.tenant, first.model, account, first.pinned_to)
    return None
