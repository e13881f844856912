"""A budget of units for creates, also for several that are sent at once."""

from __future__ import annotations

import threading

from .entry import Entry, Request
from .recorded_api import Cost, Prices
from .spending import Ledger, asked, expected, money_text, total, units_text


class Budget:
    """Units that may be spent. refuse() reserves the expected cost of a create; settle() or release() ends that.

    A create of unknown price counts as `unknown` units, and is refused if that is None; with a budget of 0, every
    request that is not known to be free is refused. Units of all packs count alike, though those of images are worth
    less; a charge in US dollars counts as the units that it would buy. Thread-safe. Raises ValueError for a negative
    budget, and for an `unknown` that is not above 0.
    """

    def __init__(self, units: float, prices: Prices, unknown: float | None = None) -> None:
        if not units >= 0:
            raise ValueError("the budget has to be 0 or more")
        if unknown is not None and not unknown > 0:
            raise ValueError("what an unknown price counts as has to be greater than 0")
        self._units = units
        self._prices = prices
        self._unknown = unknown
        self._lock = threading.Lock()
        self._reserved: list[float] = []
        self._ledger = Ledger(prices)

    def refuse(self, request: Request) -> str | None:
        """The reason why a request may not be sent, for the user; None if it may, and its cost is reserved."""
        cost = expected(request, self._prices)
        units = self._counted(cost)
        if units == 0:
            return None
        with self._lock:
            used = self._used()
            if units is not None and total([used, units]) <= self._units:
                self._reserved.append(units)
                return None
        if units is None:
            reason = "its price is not known"
        elif cost is None:
            reason = f"its price is not known, and it counts as {units_text(units)}"
        else:
            reason = f"it can cost {money_text(*cost)}"
        state = f"The budget is {units_text(self._units)}; spent or reserved: {units_text(used)}."
        advice = "It can only be sent without a budget." if units is None else "It can be sent with a higher budget."
        return f"The request was not sent: {reason}. {state} {advice}"

    def settle(self, entry: Entry) -> None:
        """Count the cost of an exchange that refuse() allowed, scrubbed or not, and the job costs in any other answer.

        A create that the provider refused costs nothing. One without an answer keeps its expected price.
        """
        said = asked(entry.request, self._prices)
        with self._lock:
            self._end(said.cost)
            self._ledger.add(entry, said)

    def release(self, request: Request) -> None:
        """Give back what was reserved for a request that was not sent after all."""
        cost = expected(request, self._prices)
        with self._lock:
            self._end(cost)

    def _counted(self, cost: Cost | None) -> float | None:
        """The units that a request counts as, with dollars converted; None if it has to be refused."""
        if cost is None:
            return self._unknown
        return cost.units or (cost.dollars or 0.0) / self._prices.unit_price

    def _end(self, cost: Cost | None) -> None:
        # Of equal reservations, any one will do.
        units = self._counted(cost)
        if units in self._reserved:
            self._reserved.remove(units)

    def _used(self) -> float:
        return total([*self._reserved, *self._ledger.units(self._unknown or 0.0)])
