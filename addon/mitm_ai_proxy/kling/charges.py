"""What an answer says that its tasks cost: the deductions of the legacy API, the bills of the new design.

Source: Kling API documentation, task objects of both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from . import prices
from .prices import Cost

_NOTHING_SAID: Final = Cost(None, None)
_FAILED: Final = "failed"
_FINAL: Final = frozenset({"succeed", "succeeded", _FAILED})

DEDUCTIONS: Final = ("final_unit_deduction", "final_balance_deduction")
"""Members of a task of the legacy API that was paid for."""


class TaskCharge(NamedTuple):
    """The names of a task in an answer, Kling's and the client's, and what it cost; None while that is not said."""

    names: tuple[str, ...]
    cost: Cost | None


def charged(url: str, answer: Mapping[str, Any]) -> Cost | None:
    """What an answer says that its one task cost, or the call itself; None for lists and for unfinished tasks.

    `url` is the request's. A task that failed and says nothing costs nothing, as is said by those who use Kling.
    """
    data = answer.get("data")
    if isinstance(data, list) and len(data) == 1 and _is_new(data[0]):
        data = data[0]
    return _cost(data, url) if isinstance(data, dict) else None


def tasks(url: str, answer: Mapping[str, Any]) -> Iterator[TaskCharge]:
    """All tasks in an answer, those of lists too."""
    data = answer.get("data")
    listed = data.get("result") if isinstance(data, dict) else data
    for item in listed if isinstance(listed, list) else [data]:
        if isinstance(item, dict):
            info = item.get("task_info")
            found = [item.get("task_id") or item.get("id"), item.get("external_id")]
            found.append(info.get("external_task_id") if isinstance(info, dict) else None)
            names = tuple(str(name) for name in found if name and isinstance(name, str | int))
            yield TaskCharge(names, _cost(item, url))


def _cost(task: Mapping[str, Any], url: str) -> Cost | None:
    status = task.get("task_status", task.get("status") if _is_new(task) else None)
    if not (status is None or (isinstance(status, str) and status in _FINAL)):
        return None
    found = _billed(task["billing"]) if _is_new(task) else _deducted(task, url)
    if found == _NOTHING_SAID and status == _FAILED and not task.get("billing"):
        return Cost(0.0, 0.0)
    return None if found == _NOTHING_SAID else found


def _deducted(task: Mapping[str, Any], url: str) -> Cost:
    units = _amount(task.get("final_unit_deduction"))
    balance = task.get("final_balance_deduction")
    dollars = _amount(balance.get("list_price")) if isinstance(balance, dict) else None
    if not dollars and units is not None:
        dollars = prices.dollars(units, url)
    return Cost(units, dollars)


def _billed(billing: Sequence[Any]) -> Cost:
    """The sum of a task's bills, as far as all of them are understood."""
    bills = [_bill(item) if isinstance(item, dict) else None for item in billing]
    costs = [bill for bill in bills if bill]
    if len(costs) < len(bills):
        return _NOTHING_SAID
    units = [cost.units for cost in costs if cost.units is not None]
    dollars = [cost.dollars for cost in costs if cost.dollars is not None]
    return Cost(_sum(units) if units else None, _sum(dollars) if dollars and len(dollars) == len(costs) else None)


def _bill(item: Mapping[str, Any]) -> Cost | None:
    amount, listed = _amount(item.get("amount")), _amount(item.get("list_price"))
    is_dollars = item.get("currency") == "USD"
    if amount is None:
        return None
    if item.get("charge_type") == "unit":
        rate = prices.DOLLARS.get(str(item.get("package_type")))
        return Cost(amount, listed if listed and is_dollars else rate and round(amount * rate, 6))
    # An amount in another currency is no amount in dollars.
    return Cost(None, (listed or amount) if is_dollars else None)


def _is_new(task: Any) -> bool:
    """Whether this is a task as the new design shows it."""
    return isinstance(task, dict) and "id" in task and "status" in task and isinstance(task.get("billing"), list)


def _amount(value: Any) -> float | None:
    """An amount, which Kling writes as a string; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        amount = float(value)
    except (ValueError, OverflowError):
        return None
    return amount if 0 <= amount < math.inf else None


def _sum(amounts: Iterable[float]) -> float:
    # Without what binary fractions add to it.
    return round(math.fsum(amounts), 6)
