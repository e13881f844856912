"""Budgets: what a job will cost at most, whether that is left, and how reservations become expenses.

All amounts are whole milli-units of Kling's packs, so that sums are exact.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple

from ..kling import create_prices, prices

MILLI: Final = 1000
_DAY: Final = 86_400


class Period(StrEnum):
    """The time that a budget is for, by UTC."""

    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Allowance:
    """What may be spent in a day and in a month; None without a limit."""

    daily: int | None = None
    monthly: int | None = None


NO_LIMIT: Final = Allowance()


class Budget(NamedTuple):
    """One budget that a job counts against. `limit` is None where it is only counted; `ends_at` is Unix time."""

    name: str
    limit: int | None
    ends_at: float


class Balance(NamedTuple):
    """What of a budget is spent and what is reserved."""

    spent: int = 0
    reserved: int = 0


EMPTY: Final = Balance()


class Exceeded(Exception):
    """A job costs more than what is left of a budget."""

    def __init__(self, budget: Budget, needed: int, left: int) -> None:
        self.budget, self.needed, self.left = budget, needed, left
        super().__init__(f"the budget {budget.name} has {shown(left)} units left, and the job may cost {shown(needed)}")


def estimate(path: str, body: Mapping[str, Any]) -> int | None:
    """What a create of Kling's API costs at most; None where the price list does not say."""
    units = create_prices.expected(path, body)
    # Rounded up: less than that must not be reserved. First without what binary fractions add.
    return None if units is None else math.ceil(round(units * MILLI, 3))


def dollars(amount: int, path: str) -> float:
    """What an amount is worth in US dollars at list price, for a create at this path."""
    return prices.dollars(amount / MILLI, path)


def shown(amount: int) -> str:
    """An amount in units, for people: `3`, `0.05`, `-1.5`."""
    whole, part = divmod(abs(amount), MILLI)
    digits = f"{part:03}".rstrip("0")
    return f"{'-' if amount < 0 else ''}{whole}{'.' if digits else ''}{digits}"


def budgets(tenant: str, allowance: Allowance, key: str, key_allowance: Allowance, now: float) -> list[Budget]:
    """The budgets that a job which is accepted now counts against: its tenant's, and its key's where that has limits.

    In the order of their names, in which a store locks them.
    """
    found = [
        *_of("tenant", tenant, allowance, now),
        *(budget for budget in _of("key", key, key_allowance, now) if budget.limit is not None),
    ]
    return sorted(found)


def require(budget: Budget, balance: Balance, amount: int) -> None:
    """Raise Exceeded unless so much is left of a budget."""
    left = math.inf if budget.limit is None else budget.limit - balance.spent - balance.reserved
    if amount > left:
        raise Exceeded(budget, amount, int(max(0, left)))


def differs(estimated: int, actual: int) -> bool:
    """Whether a price was so far from its estimate that the price list may be wrong: a tenth or more."""
    return abs(estimated - actual) * 10 >= max(estimated, 1)


def _of(scope: str, name: str, allowance: Allowance, now: float) -> Sequence[Budget]:
    day, midnight, month, next_month = _periods(int(now // _DAY))
    return (
        Budget(f"{scope}:{name}:{Period.DAY}:{day}", allowance.daily, midnight),
        Budget(f"{scope}:{name}:{Period.MONTH}:{month}", allowance.monthly, next_month),
    )


@functools.lru_cache(maxsize=8)
def _periods(number: int) -> tuple[str, float, str, float]:
    """A day since 1970 and its month, by UTC, each with when it ends."""
    midnight = datetime.fromtimestamp(number * _DAY, UTC)
    next_month = (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
    return f"{midnight:%Y-%m-%d}", float((number + 1) * _DAY), f"{midnight:%Y-%m}", next_month.timestamp()
