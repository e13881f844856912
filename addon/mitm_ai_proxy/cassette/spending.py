"""What exchanges cost, in units and US dollars: before a create goes out, by what answers say, in sum, within a budget.

Prices, and what a create asks for, are in the simulator's prices.py and rules.py. Nothing is sent or written here.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from ..simulator import new_design, prices
from ..simulator.endpoints import ENDPOINTS
from ..simulator.kling_error import KlingError
from ..simulator.models import PRO
from ..simulator.rules import Order
from . import jobs
from .entry import Entry, Request, Response
from .sensitive import MARKS

UNIT_PRICES: Final = {"video": 0.14, "image": 0.0035}
"""US dollars for a unit by the type of its pack. Source: Kling's regular packs, 2026."""

Body: TypeAlias = Mapping[str, Any]

_FREE_METHODS: Final = frozenset("GET HEAD DELETE OPTIONS".split())
_FREE: Final = frozenset(
    """
    /account/billing/balance /account/billing/package
    /v1/general/delete-advanced-elements /v1/general/delete-elements /v1/general/delete-voices
    /v1/videos/multi-elements/add-selection /v1/videos/multi-elements/delete-selection
    /v1/videos/multi-elements/clear-selection /v1/videos/multi-elements/preview-selection
    """.split()
)
_IMAGES: Final = "/v1/images/generations"
"""OpenAI has this path too."""
_EXTEND: Final = "/v1/videos/video-extend"
_LIST: Final = "/tasks"
_LIST_MEMBERS: Final = frozenset("start_time end_time cursor limit filters".split())
"""What a list of tasks can be asked with. Elsewhere such a path creates."""
_KNOWN: Final = frozenset({*ENDPOINTS, *prices.FIXED, *_FREE, _LIST})
_IMAGE_PATHS: Final = ("/v1/images/", "/v1/general/ai-multi-shot")
_MOST_SEGMENTS: Final = max(path.count("/") for path in _KNOWN)
_LONGEST_VIDEO: Final = 180.0
"""Seconds that a video of Kling's can have after all extensions."""
_LONGEST_SOUND: Final = 300.0
_MOST_IN_SERIES: Final = 9

_LONG: Final = 3072
"""Characters of the longest prompt. What is longer is a file in base64."""
_LINK: Final = "https://file.invalid/"
"""Stands for a file: its price does not depend on what is in it."""

_FAILED: Final = "failed"
_FINAL: Final = frozenset({"succeed", "succeeded", _FAILED})
# Kling's codes of refusals; behind them are those of breakdowns, below them what others call success.
_REFUSALS: Final = range(1000, 5000)


class Spending(NamedTuple):
    """What a recording cost, in units of all packs and in US dollars.

    `jobs` are the creates that were answered with a task. Of them, `unfinished` are those whose charge was not recorded
    and which count with the expected one, and `unknown` those of which not even that is known and which count with
    nothing. `doubtful` are creates that may have made a task, but had no answer that says so, or a breakdown; they
    count with the expected charge. `estimated` are the units that are expected and not charged.
    """

    units: float
    dollars: float
    jobs: int
    unfinished: int
    unknown: int
    doubtful: int
    estimated: float


class _Cost(NamedTuple):
    """Either is None where it is not known."""

    units: float | None
    dollars: float | None


_NOTHING_SAID: Final = _Cost(None, None)


class _Asked(NamedTuple):
    """What a request says: the units of expected(), and the client's own name for the job."""

    units: float | None
    external_id: str = ""


class _Task(NamedTuple):
    """A task in an answer: its names, and what it cost; None while that is not said."""

    names: tuple[str, ...]
    cost: _Cost | None


def expected(request: Request) -> float | None:
    """The units that a request will cost by the price list: 0.0 for a read, None where that is not known.

    Where the length of a source decides and is not told (motion control, an avatar, lip-sync, a video to be edited or
    extended), it is what the longest one costs, so that a budget holds. Effects and try-on have one price in the list,
    which is a guess. Not known is the price of other providers, and of a body that the rules refuse: either Kling
    refuses it too, which costs nothing, or it has something new, such as a model, which may cost anything.
    """
    return _ask(request).units


def worth(units: float, url: str) -> float:
    """What units are worth in US dollars at list price, for a request to this URL."""
    path = _path(url)
    return round(units * UNIT_PRICES["image" if any(part in path for part in _IMAGE_PATHS) else "video"], 6)


def charged(response: Response) -> float | None:
    """The units that an answer says its one task cost; None for lists, and for a task that has not ended.

    A task that failed and says nothing costs nothing, as is said by those who use Kling.
    """
    cost = _charge(response, "")
    return cost and cost.units


def price_charged(response: Response, url: str) -> float | None:
    """The US dollars that an answer says its one task cost, else what the units are worth; None as in charged().

    `url` is the request's. An amount in another currency is none.
    """
    cost = _charge(response, url)
    return cost and cost.dollars


def priced(entry: Entry) -> Entry:
    """The entry with units and price as its own answer says; as it was where it says nothing."""
    cost = _charge(entry.response, entry.request.url)
    return replace(entry, units=cost.units, price=cost.dollars) if cost else entry


def spent(entries: Sequence[Entry]) -> Spending:
    """What a recording cost. A job counts once, however often it is asked for, and only if its create is there."""
    ledger = _Ledger()
    for entry in entries:
        ledger.add(entry, _ask(entry.request))
    return ledger.spending()


def money_text(units: float | None, dollars: float | None) -> str:
    """For a person: `3 units, about $0.42`."""
    parts = [] if units is None else [_units_text(units)]
    if dollars:
        parts.append(f"about ${dollars:,.2f}" if dollars >= 0.01 else "less than $0.01")
    return ", ".join(parts) or ("nothing" if dollars == 0 else "an unknown price")


class Budget:
    """Units that may be spent. refuse() reserves what a create will cost, settle() or release() ends that.

    It holds for the worst: a create of unknown price is refused, unless `unknown` says how many units one counts as;
    with a budget of 0, whatever is not known to be free. Units of all packs count alike, though those of images are
    worth less; US dollars that were charged instead count as the video units they would buy. May be called from
    several threads. Raises ValueError for a negative budget, and for an `unknown` that is not above 0.
    """

    def __init__(self, units: float, unknown: float | None = None) -> None:
        if not units >= 0:
            raise ValueError("the budget has to be 0 or more")
        if unknown is not None and not unknown > 0:
            raise ValueError("what an unknown price counts as has to be greater than 0")
        self._units = units
        self._unknown = unknown
        self._lock = threading.Lock()
        self._reserved: list[float] = []
        self._ledger = _Ledger()

    def refuse(self, request: Request) -> str | None:
        """Why a request may not go out, for a person; None when it may, and what it will cost is reserved."""
        known = expected(request)
        units = self._counted(known)
        if units == 0:
            return None
        with self._lock:
            used = self._used()
            if units is not None and _sum([used, units]) <= self._units:
                self._reserved.append(units)
                return None
        if units is None:
            reason = "its price is not known"
        elif known is None:
            reason = f"its price is not known, and it counts as {_units_text(units)}"
        else:
            reason = f"it can cost {money_text(units, worth(units, request.url))}"
        state = f"The budget is {_units_text(self._units)}; spent or reserved: {_units_text(used)}."
        advice = "It can only be sent without a budget." if units is None else "It can be sent with a higher budget."
        return f"The request was not sent: {reason}. {state} {advice}"

    def settle(self, entry: Entry) -> None:
        """Take up an exchange that refuse() let go, scrubbed or not, and what any other says that a job cost.

        A create that was refused by the provider costs nothing. One that was not answered stays at its expected price.
        """
        asked = _ask(entry.request)
        with self._lock:
            self._end(asked.units)
            self._ledger.add(entry, asked)

    def release(self, request: Request) -> None:
        """Give back what was reserved for a request that refuse() let go and that was not sent after all."""
        known = expected(request)
        with self._lock:
            self._end(known)

    def _counted(self, units: float | None) -> float | None:
        return self._unknown if units is None else units

    def _end(self, known: float | None) -> None:
        # Equal reservations are one like the other.
        units = self._counted(known)
        if units in self._reserved:
            self._reserved.remove(units)

    def _used(self) -> float:
        return _sum([*self._reserved, *self._ledger.units(self._unknown or 0.0)])


@dataclass(slots=True, eq=False)
class _Create:
    """A create that may have made a task, or a call that is paid for; `is_job` once a task is seen."""

    expected: _Cost | None
    charged: _Cost | None
    is_job: bool

    @property
    def cost(self) -> _Cost | None:
        return self.expected if self.charged is None else self.charged


class _Ledger:
    """What creates cost, with the latest that is known of each."""

    def __init__(self) -> None:
        self._creates: list[_Create] = []
        self._named: dict[str, _Create] = {}

    def add(self, entry: Entry, asked: _Asked) -> None:
        """Take up an exchange, of which `asked` is what the request says."""
        if asked.units != 0 and not _is_refused(entry.response):
            self._add_create(entry, asked)
        for task in _tasks(entry.response, entry.request.url):
            create = self._find(*task.names)
            if create:
                create.is_job = True
                create.charged = create.charged if task.cost is None else task.cost
                for name in task.names:
                    self._named.setdefault(name, create)

    def _add_create(self, entry: Entry, asked: _Asked) -> None:
        name, url = jobs.task_id(entry.response), entry.request.url
        create, same = self._find(name), self._find(asked.external_id)
        if create is None and same and not name:
            # Under one name there is one task, whichever request made it.
            return
        if create is None:
            if same and not same.is_job:
                self._creates.remove(same)
            cost = None if asked.units is None else _Cost(asked.units, worth(asked.units, url))
            create = _Create(cost, _charge(entry.response, url), bool(name))
            self._creates.append(create)
        for known in filter(None, (name, asked.external_id)):
            self._named[known] = create

    def _find(self, *names: str) -> _Create | None:
        return next((self._named[name] for name in names if name in self._named), None)

    def units(self, unknown: float) -> Iterator[float]:
        """The units of each, where dollars stand for units; `unknown` for those of which nothing is known."""
        for create in self._creates:
            units, dollars = create.cost or (unknown, None)
            yield units or (dollars or 0.0) / UNIT_PRICES["video"]

    def spending(self) -> Spending:
        """The sum."""
        open_ones = [create for create in self._creates if create.charged is None]
        costs = [create.cost for create in self._creates if create.cost]
        return Spending(
            units=_sum(cost.units for cost in costs),
            dollars=_sum(cost.dollars for cost in costs),
            jobs=sum(create.is_job for create in self._creates),
            unfinished=sum(create.is_job and create.expected is not None for create in open_ones),
            unknown=sum(create.is_job and create.expected is None for create in open_ones),
            doubtful=sum(not create.is_job and create.expected is not None for create in open_ones),
            estimated=_sum(create.expected.units for create in open_ones if create.expected),
        )


# What a request will cost


def _ask(request: Request) -> _Asked:
    if request.method in _FREE_METHODS:
        return _Asked(0.0)
    body = _object(request.body or b"{}")
    if request.method != "POST" or body is None:
        return _Asked(None)
    try:
        units = _listed(request.url, _light(body))
    except (KlingError, RecursionError):
        units = None
    return _Asked(units, _external_id(body))


def _listed(url: str, body: Body) -> float | None:
    """The units of a POST by the price list, at most. Raises KlingError for a body that Kling would refuse."""
    path = _path(url)
    segments = ["", *path.split("/")]
    kind, model = segments[-2:]
    if kind in new_design.MODELS:
        return _at_most(f"/{kind}", body, new_design.order(kind, model, body))
    # The base path of a gateway may stand in front.
    endings = (f"/{'/'.join(segments[-count:])}" for count in range(_MOST_SEGMENTS, 0, -1))
    ending = next((ending for ending in endings if ending in _KNOWN), "")
    if ending in _FREE:
        return 0.0
    if ending == _LIST:
        return 0.0 if body.keys() <= _LIST_MEMBERS else None
    if ending == _EXTEND:
        return prices.extension("", PRO)
    if ending == _IMAGES and "model_name" not in body and "kling" not in url.partition("?")[0].lower():
        return None
    endpoint = ENDPOINTS.get(ending)
    return _at_most(ending, body, endpoint.rule(body)) if endpoint else prices.FIXED.get(ending)


def _at_most(ending: str, body: Body, order: Order) -> float:
    """The units of an order, where it takes for granted what a longer source makes more."""
    most = _MOST.get(ending)
    return order.units if most is None else round(order.units * max(1.0, most(body, order)), 4)


def _following(settings: Body, order: Order) -> float:
    # Seconds of the video whose motion is followed.
    return (10 if settings.get("character_orientation") == "image" else 30) / order.seconds


def _editing(order: Order, edits: bool) -> float:
    # Seconds of a model's longest video, whatever is edited.
    return (10 if order.model == "kling-video-o1" else 15) / order.seconds if edits else 1.0


def _series(body: Body) -> float:
    count = body.get("series_amount")
    if body.get("result_type") != "series":
        return 1.0
    return count if isinstance(count, int) and 0 < count < _MOST_IN_SERIES else _MOST_IN_SERIES


_MOST: Final[Mapping[str, Callable[[Body, Order], float]]] = {
    "/v1/videos/avatar/image2video": lambda _, order: _LONGEST_SOUND / order.seconds,
    "/v1/videos/lip-sync": lambda _, order: _LONGEST_VIDEO / order.seconds,
    "/v1/videos/advanced-lip-sync": lambda _, order: _LONGEST_VIDEO / order.seconds,
    "/v1/videos/motion-control": _following,
    "/motion-control": lambda body, order: _following(body.get("settings") or {}, order),
    "/v1/videos/omni-video": lambda body, order: _editing(
        order, any(item.get("refer_type", "base") == "base" for item in body.get("video_list") or [])
    ),
    "/omni-video": lambda body, order: _editing(order, any(item["type"] == "base_video" for item in body["contents"])),
    "/v1/images/omni-image": lambda body, _: _series(body),
}
"""How many times the units of an order a create costs at most, by path; the body is one that the rules accept.

Source: Kling API documentation, the longest sources that each takes.
"""


def _light(value: Any) -> Any:
    """A JSON value without files, which the rules would decode, and without what a cassette has instead of secrets."""
    if isinstance(value, str):
        is_file = len(value) > _LONG or value.startswith("data:") or any(mark in value for mark in MARKS)
        return _LINK if is_file else value
    if isinstance(value, list):
        return list(map(_light, value))
    return {key: _light(item) for key, item in value.items()} if isinstance(value, dict) else value


def _external_id(body: Body) -> str:
    for path in jobs.EXTERNAL:
        value: Any = body
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        if value and isinstance(value, str):
            return value
    return ""


# What an answer says


def _charge(response: Response | None, url: str) -> _Cost | None:
    """What the one task of an answer cost, or the call itself."""
    data = _data(response)
    if isinstance(data, list) and len(data) == 1 and _is_new(data[0]):
        data = data[0]
    return _cost(data, url) if isinstance(data, dict) else None


def _tasks(response: Response | None, url: str) -> Iterator[_Task]:
    """All tasks in an answer, those of lists too."""
    data = _data(response)
    listed = data.get("result") if isinstance(data, dict) else data
    for item in listed if isinstance(listed, list) else [data]:
        if isinstance(item, dict):
            info = item.get("task_info")
            found = [item.get("task_id") or item.get("id"), item.get("external_id")]
            found.append(info.get("external_task_id") if isinstance(info, dict) else None)
            yield _Task(tuple(str(name) for name in found if name and isinstance(name, str | int)), _cost(item, url))


def _cost(task: Body, url: str) -> _Cost | None:
    """What a task says that it cost; None before its end, and where it says nothing."""
    status = task.get("task_status", task.get("status") if _is_new(task) else None)
    if not (status is None or (isinstance(status, str) and status in _FINAL)):
        return None
    if _is_new(task):
        found = _billed(task["billing"])
    else:
        units = _amount(task.get("final_unit_deduction"))
        balance = task.get("final_balance_deduction")
        dollars = _amount(balance.get("list_price")) if isinstance(balance, dict) else None
        found = _Cost(units, dollars or (dollars if units is None else worth(units, url)))
    if found == _NOTHING_SAID and status == _FAILED and not task.get("billing"):
        return _Cost(0.0, 0.0)
    return None if found == _NOTHING_SAID else found


def _billed(billing: Sequence[Any]) -> _Cost:
    """The sum of a task's bills, as far as all of them are understood."""
    bills = [_bill(item) if isinstance(item, dict) else None for item in billing]
    costs = [bill for bill in bills if bill]
    if len(costs) < len(bills):
        return _NOTHING_SAID
    units = [cost.units for cost in costs if cost.units is not None]
    dollars = [cost.dollars for cost in costs if cost.dollars is not None]
    return _Cost(_sum(units) if units else None, _sum(dollars) if dollars and len(dollars) == len(costs) else None)


def _bill(item: Body) -> _Cost | None:
    amount, listed = _amount(item.get("amount")), _amount(item.get("list_price"))
    is_dollars = item.get("currency") == "USD"
    if amount is None:
        return None
    if item.get("charge_type") == "unit":
        rate = UNIT_PRICES.get(str(item.get("package_type")))
        return _Cost(amount, listed if listed and is_dollars else rate and round(amount * rate, 6))
    return _Cost(None, (listed or amount) if is_dollars else None)


def _is_new(task: Any) -> bool:
    """Whether this is a task as the new design shows it."""
    return isinstance(task, dict) and "id" in task and "status" in task and isinstance(task.get("billing"), list)


def _is_refused(response: Response | None) -> bool:
    """Whether an answer says that nothing was made. No answer does not, nor does a breakdown."""
    if response is None:
        return False
    code = (_object(response.body) or {}).get("code")
    return 300 <= response.status < 500 or (isinstance(code, int) and code in _REFUSALS)


def _data(response: Response | None) -> Any:
    body = _object(response.body) if response and 200 <= response.status < 300 else None
    return body and body.get("data")


def _object(body: bytes) -> dict[str, Any] | None:
    """A JSON object; None for anything else."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _amount(value: Any) -> float | None:
    """An amount, which Kling writes as a string; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        amount = float(value)
    except (ValueError, OverflowError):
        return None
    return amount if 0 <= amount < math.inf else None


def _path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return ""


def _sum(amounts: Iterable[float | None]) -> float:
    # Without what binary fractions add to it.
    return round(math.fsum(amount for amount in amounts if amount is not None), 6)


def _units_text(units: float) -> str:
    number = f"{units:,.4f}".rstrip("0").rstrip(".")
    return f"{number} {'unit' if number == '1' else 'units'}"
