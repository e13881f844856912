"""The interface by which a cassette asks about the provider's API: prices, errors, URLs of tasks."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

JSONObject: TypeAlias = Mapping[str, Any]


class Cost(NamedTuple):
    """A cost in the provider's units and in US dollars; either is None if it is not known."""

    units: float | None
    dollars: float | None


AnyCost: TypeAlias = tuple[float | None, float | None]
"""A Cost, or a plain tuple like one."""
TaskCharge: TypeAlias = tuple[tuple[str, ...], AnyCost | None]
"""The ids of a task, the provider's and the external one, and its cost; None while that is not known."""


class Prices(Protocol):
    """Expected costs of requests, and charges in answers.

    `body` and `answer` are JSON objects, `answer` that of a success unless a method says otherwise; `url` is that of
    the request.
    """

    @property
    def unit_price(self) -> float:
        """US dollars per unit, to count a charge in dollars against a budget of units."""

    def expected(self, method: str, url: str, body: JSONObject) -> AnyCost | None:
        """The highest cost that a request may have: 0 units if it is free, None if it is not known."""

    def charged(self, url: str, answer: JSONObject) -> AnyCost | None:
        """The charge in an answer, for its one task or for the call itself; None for lists and unfinished tasks."""

    def charged_tasks(self, url: str, answer: JSONObject) -> Iterable[TaskCharge]:
        """The charges of all tasks in an answer, also in a list."""

    def is_refusal(self, answer: JSONObject) -> bool:
        """Whether an answer, of any status, says that no task was created."""


class Errors(Protocol):
    """Error answers to creates, for variations."""

    @property
    def name(self) -> str:
        """The provider's name for messages."""

    @property
    def error_codes(self) -> Collection[int]:
        """The provider's error codes."""

    @property
    def paid_members(self) -> Collection[str]:
        """Members that a task has only if it was paid for."""

    def error_answer(self, code: int, url: str, recorded: JSONObject) -> tuple[int, JSONObject, Mapping[str, str]]:
        """Status, body and further header fields of an error answer with a code, to replace the recorded answer."""


class RecordedAPI(Prices, Errors, Protocol):
    """All that a cassette asks about a provider's API; a provider type may implement it."""

    def task_url(self, create_url: str, name: str, is_external: bool) -> str | None:
        """The URL for polling a task that was created at a URL; None for `{create_url}/{name}`.

        `name` is the provider's id of the task, or the external one if `is_external`.
        """

    def split_external_id(self, name: str) -> tuple[str, str]:
        """An external id in two parts, the second of which has to stay at the end when the first one is changed."""


class AllAPIs:
    """Several APIs as one: each method returns the first result that any of them has. Without any, nothing is known."""

    def __init__(self, apis: Sequence[RecordedAPI] = ()) -> None:
        self._apis = tuple(apis)

    @property
    def unit_price(self) -> float:
        """That of the first API; 1.0 without any."""
        return next((api.unit_price for api in self._apis), 1.0)

    def expected(self, method: str, url: str, body: JSONObject) -> AnyCost | None:
        """As in Prices."""
        return next((cost for api in self._apis if (cost := api.expected(method, url, body))), None)

    def charged(self, url: str, answer: JSONObject) -> AnyCost | None:
        """As in Prices."""
        return next((cost for api in self._apis if (cost := api.charged(url, answer))), None)

    def charged_tasks(self, url: str, answer: JSONObject) -> Iterator[TaskCharge]:
        """As in Prices, of all APIs."""
        for api in self._apis:
            yield from api.charged_tasks(url, answer)

    def is_refusal(self, answer: JSONObject) -> bool:
        """As in Prices."""
        return any(api.is_refusal(answer) for api in self._apis)

    @property
    def name(self) -> str:
        """The names of the APIs that have error codes."""
        return " or ".join(api.name for api in self._apis if api.error_codes) or "a provider"

    @property
    def error_codes(self) -> tuple[int, ...]:
        """The codes of all APIs, in order."""
        return tuple(dict.fromkeys(code for api in self._apis for code in api.error_codes))

    @property
    def paid_members(self) -> tuple[str, ...]:
        """The members of all APIs, in order."""
        return tuple(dict.fromkeys(name for api in self._apis for name in api.paid_members))

    def error_answer(self, code: int, url: str, recorded: JSONObject) -> tuple[int, JSONObject, Mapping[str, str]]:
        """As in Errors, for one of `error_codes`."""
        api = next(api for api in self._apis if code in api.error_codes)
        return api.error_answer(code, url, recorded)

    def task_url(self, create_url: str, name: str, is_external: bool) -> str | None:
        """As in RecordedAPI."""
        return next((url for api in self._apis if (url := api.task_url(create_url, name, is_external))), None)

    def split_external_id(self, name: str) -> tuple[str, str]:
        """As in RecordedAPI."""
        split = (api.split_external_id(name) for api in self._apis)
        return next((parts for parts in split if parts[1]), (name, ""))


UNKNOWN: RecordedAPI = AllAPIs()
"""An API without known prices, errors and URLs."""


def json_object(body: bytes) -> dict[str, Any] | None:
    """The body as a JSON object; None if it is not one."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
