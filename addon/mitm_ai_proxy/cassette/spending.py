"""The costs of exchanges, in units and US dollars: expected costs of requests, charges in answers, and their sum."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from . import jobs
from .entry import Entry, Request, Response
from .recorded_api import AnyCost, Cost, JSONObject, Prices, json_object
from .sensitive import MARKS

_FREE_METHODS: Final = frozenset("GET HEAD DELETE OPTIONS".split())
_LONGEST_TEXT: Final = 3072
"""Characters from which a string in a request is taken for a file in base64."""
_LINK: Final = "https://file.invalid/"
"""The replacement of a file, whose content does not matter for the price."""


class Spending(NamedTuple):
    """The cost of a recording, in units of all packs and in US dollars.

    jobs: the number of creates that were answered with a task.
    unfinished: those of them without a recorded charge, for which the expected cost is counted.
    unknown: those of them for which not even that is known; nothing is counted.
    doubtful: creates without an answer, or with a server error, that may have created a task; the expected cost is
        counted.
    estimated: the units that are expected costs, not charges.
    """

    units: float
    dollars: float
    jobs: int
    unfinished: int
    unknown: int
    doubtful: int
    estimated: float


class Asked(NamedTuple):
    """What a request tells: its highest possible cost, None if that is not known, and the external id."""

    cost: Cost | None
    external_id: str = ""

    @property
    def is_free(self) -> bool:
        """Whether the request is known to be free."""
        return self.cost is not None and not self.cost.units and not self.cost.dollars


def asked(request: Request, prices: Prices) -> Asked:
    """The highest possible cost and the external id of a request."""
    if request.method in _FREE_METHODS:
        return Asked(Cost(0.0, 0.0))
    body = json_object(request.body or b"{}")
    if body is None:
        return Asked(None)
    try:
        found = prices.expected(request.method, request.url, _without_files(body))
    except RecursionError:
        found = None
    return Asked(_cost(found), _external_id(body) if request.method == "POST" else "")


def expected(request: Request, prices: Prices) -> Cost | None:
    """The highest possible cost of a request by the provider's prices: 0 for a read, None if it is not known."""
    return asked(request, prices).cost


def is_free(request: Request, prices: Prices) -> bool:
    """Whether a request is known to be free."""
    return asked(request, prices).is_free


def may_be_paid(entry: Entry, prices: Prices) -> bool:
    """Whether an exchange may have cost anything, by its request and its answer."""
    return not is_free(entry.request, prices) and not _is_refused(entry.response, prices)


def is_success(entry: Entry, prices: Prices) -> bool:
    """Whether an exchange has an answer that is no failure, by its status and by what the API says in it."""
    response = entry.response
    return response is not None and response.status < 400 and not prices.is_refusal(json_object(response.body) or {})


def priced(entry: Entry, prices: Prices) -> Entry:
    """The entry with the units and the price that are charged in its answer; unchanged if there are none."""
    cost = _charge(entry.response, entry.request.url, prices)
    return replace(entry, units=cost.units, price=cost.dollars) if cost else entry


def spent(entries: Sequence[Entry], prices: Prices) -> Spending:
    """The cost of a recording. A job counts once, however often it is polled, and only if its create is recorded."""
    ledger = Ledger(prices)
    for entry in entries:
        ledger.add(entry, asked(entry.request, prices))
    return ledger.spending()


def money_text(units: float | None, dollars: float | None) -> str:
    """Units and dollars as text: `3 units, about $0.42`."""
    parts = [] if units is None else [units_text(units)]
    if dollars:
        parts.append(f"about ${dollars:,.2f}" if dollars >= 0.01 else "less than $0.01")
    return ", ".join(parts) or ("nothing" if dollars == 0 else "an unknown price")


def units_text(units: float) -> str:
    """Units as text: `1.5 units`."""
    number = f"{units:,.4f}".rstrip("0").rstrip(".")
    return f"{number} {'unit' if number == '1' else 'units'}"


def total(amounts: Iterable[float | None]) -> float:
    """The sum of the amounts that are not None, without the errors of binary fractions."""
    return round(math.fsum(amount for amount in amounts if amount is not None), 6)


@dataclass(slots=True, eq=False)
class _Create:
    """A create that may have created a task, or a paid call without tasks; `is_job`: an answer has shown its task."""

    expected: Cost | None
    charged: Cost | None
    is_job: bool

    @property
    def cost(self) -> Cost | None:
        return self.expected if self.charged is None else self.charged


class Ledger:
    """The costs of creates, each by the latest answer about it."""

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self._creates: list[_Create] = []
        self._named: dict[str, _Create] = {}

    def add(self, entry: Entry, asked: Asked) -> None:
        """Add an exchange; `asked` is asked() of its request."""
        if not asked.is_free and not _is_refused(entry.response, self._prices):
            self._add_create(entry, asked)
        answer = _answer(entry.response)
        for names, cost in self._prices.charged_tasks(entry.request.url, answer) if answer else ():
            create = self._find(*names)
            if create:
                create.is_job = True
                create.charged = _cost(cost) or create.charged
                for name in names:
                    self._named.setdefault(name, create)

    def _add_create(self, entry: Entry, asked: Asked) -> None:
        name = jobs.task_id(entry.response)
        create, same = self._find(name), self._find(asked.external_id)
        if create is None and same and not name:
            # An external id names one task, even if several creates have it.
            return
        if create is None:
            if same and not same.is_job:
                self._creates.remove(same)
            create = _Create(asked.cost, _charge(entry.response, entry.request.url, self._prices), bool(name))
            self._creates.append(create)
        for known in filter(None, (name, asked.external_id)):
            self._named[known] = create

    def _find(self, *names: str) -> _Create | None:
        return next((self._named[name] for name in names if name in self._named), None)

    def units(self, unknown: float) -> Iterator[float]:
        """The units of each create, with dollars converted; `unknown` for creates of unknown cost."""
        for create in self._creates:
            units, dollars = create.cost or (unknown, None)
            yield units or (dollars or 0.0) / self._prices.unit_price

    def spending(self) -> Spending:
        """The sum."""
        open_ones = [create for create in self._creates if create.charged is None]
        costs = [create.cost for create in self._creates if create.cost]
        return Spending(
            units=total(cost.units for cost in costs),
            dollars=total(cost.dollars for cost in costs),
            jobs=sum(create.is_job for create in self._creates),
            unfinished=sum(create.is_job and create.expected is not None for create in open_ones),
            unknown=sum(create.is_job and create.expected is None for create in open_ones),
            doubtful=sum(not create.is_job and create.expected is not None for create in open_ones),
            estimated=total(create.expected.units for create in open_ones if create.expected),
        )


def _cost(values: AnyCost | None) -> Cost | None:
    return None if values is None else Cost(*values)


def _without_files(value: Any) -> Any:
    """A JSON value with _LINK in place of files, and of strings that have a mark of a scrubbed secret."""
    if isinstance(value, str):
        is_file = len(value) > _LONGEST_TEXT or value.startswith("data:") or any(mark in value for mark in MARKS)
        return _LINK if is_file else value
    if isinstance(value, list):
        return list(map(_without_files, value))
    return {key: _without_files(item) for key, item in value.items()} if isinstance(value, dict) else value


def _external_id(body: JSONObject) -> str:
    for path in jobs.EXTERNAL:
        value: Any = body
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        if value and isinstance(value, str):
            return value
    return ""


def _charge(response: Response | None, url: str, prices: Prices) -> Cost | None:
    """The charge in an answer, for its one task or for the call itself."""
    answer = _answer(response)
    return _cost(prices.charged(url, answer)) if answer else None


def _is_refused(response: Response | None, prices: Prices) -> bool:
    """Whether an answer says that no task was created; False for a missing answer and for server errors."""
    if response is None:
        return False
    return 300 <= response.status < 500 or prices.is_refusal(json_object(response.body) or {})


def _answer(response: Response | None) -> JSONObject | None:
    """The JSON object of a success."""
    return json_object(response.body) if response and 200 <= response.status < 300 else None
