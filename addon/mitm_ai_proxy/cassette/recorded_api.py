"""What a cassette has to be told of the API that it holds, as plain values; each provider type may implement it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

JSONObject: TypeAlias = Mapping[str, Any]


class Cost(NamedTuple):
    """What something costs: units of the provider's, and US dollars. Either is None where it is not known."""

    units: float | None
    dollars: float | None


AnyCost: TypeAlias = tuple[float | None, float | None]
"""The values of a Cost."""
TaskCharge: TypeAlias = tuple[tuple[str, ...], AnyCost | None]
"""The names of a task, the provider's and the client's, and what it cost; None while that is not said."""


class Prices(Protocol):
    """What requests cost, and what answers say that they cost.

    `body` and `answer` are JSON objects, an answer that of a success; a URL is the request's.
    """

    @property
    def unit_price(self) -> float:
        """US dollars for a unit, where a charge in dollars counts against a budget of units."""

    def expected(self, method: str, url: str, body: JSONObject) -> AnyCost | None:
        """What a request will cost at most: units of 0 where it is free, None where that is not known."""

    def charged(self, url: str, answer: JSONObject) -> AnyCost | None:
        """What an answer says that its one task cost, or the call itself; None for lists and unfinished tasks."""

    def charged_tasks(self, url: str, answer: JSONObject) -> Iterable[TaskCharge]:
        """All tasks in an answer, those of lists too."""

    def is_refusal(self, answer: JSONObject) -> bool:
        """Whether an answer of any status says that nothing was made."""


class Errors(Protocol):
    """The answers to creates that are refused."""

    @property
    def name(self) -> str:
        """What the provider is called for a person."""

    @property
    def error_codes(self) -> Collection[int]:
        """The provider's codes of errors."""

    @property
    def paid_members(self) -> Collection[str]:
        """Members that a task has only when it was paid for."""

    def error_answer(self, code: int, url: str, recorded: JSONObject) -> tuple[int, JSONObject, Mapping[str, str]]:
        """Status, body and further header fields of an answer with a code, in place of the recorded one."""


class RecordedAPI(Prices, Errors, Protocol):
    """All of it."""

    def task_url(self, create_url: str, name: str, is_external: bool) -> str | None:
        """Where a task is read that was created at a URL; None for `{create_url}/{name}`.

        `name` is the provider's for the task, or the client's where it `is_external`.
        """


class AllAPIs:
    """Several APIs as one: of each question, the answer of the first that has one. Of none, nothing is known."""

    def __init__(self, apis: Sequence[RecordedAPI] = ()) -> None:
        self._apis = tuple(apis)

    @property
    def unit_price(self) -> float:
        """The first API's; 1.0 of none."""
        return next((api.unit_price for api in self._apis), 1.0)

    def expected(self, method: str, url: str, body: JSONObject) -> AnyCost | None:
        """As in Prices."""
        return next((cost for api in self._apis if (cost := api.expected(method, url, body))), None)

    def charged(self, url: str, answer: JSONObject) -> AnyCost | None:
        """As in Prices."""
        return next((cost for api in self._apis if (cost := api.charged(url, answer))), None)

    def charged_tasks(self, url: str, answer: JSONObject) -> Iterator[TaskCharge]:
        """As in Prices: what any of them finds."""
        for api in self._apis:
            yield from api.charged_tasks(url, answer)

    def is_refusal(self, answer: JSONObject) -> bool:
        """As in Prices."""
        return any(api.is_refusal(answer) for api in self._apis)

    @property
    def name(self) -> str:
        """The names of those that have codes of errors."""
        return " or ".join(api.name for api in self._apis if api.error_codes) or "a provider"

    @property
    def error_codes(self) -> tuple[int, ...]:
        """The codes of all, in order."""
        return tuple(dict.fromkeys(code for api in self._apis for code in api.error_codes))

    @property
    def paid_members(self) -> tuple[str, ...]:
        """The members of all, in order."""
        return tuple(dict.fromkeys(name for api in self._apis for name in api.paid_members))

    def error_answer(self, code: int, url: str, recorded: JSONObject) -> tuple[int, JSONObject, Mapping[str, str]]:
        """As in Errors, for one of `error_codes`."""
        api = next(api for api in self._apis if code in api.error_codes)
        return api.error_answer(code, url, recorded)

    def task_url(self, create_url: str, name: str, is_external: bool) -> str | None:
        """As in RecordedAPI."""
        return next((url for api in self._apis if (url := api.task_url(create_url, name, is_external))), None)


UNKNOWN: RecordedAPI = AllAPIs()
"""An API of which nothing is known."""


def json_object(body: bytes) -> dict[str, Any] | None:
    """A JSON object; None for anything else."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
