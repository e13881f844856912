"""What a cassette is told of Kling's API: prices, charges, error codes and how they look, and where a task is read."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from ..chat.dialects import openai_type
from . import charges, create_prices, error_codes, prices
from .charges import TaskCharge
from .ids import split_parameters
from .new_design_creates import NEW_DESIGN
from .prices import Cost

CODES: Final[Mapping[int, tuple[int, str]]] = {
    1000: (401, "Authentication failed"),
    1001: (401, "Authorization is empty"),
    1002: (401, "Authorization is invalid"),
    1003: (401, "Authorization is not valid yet"),
    1004: (401, "Authorization has expired"),
    1100: (429, "Account exception"),
    1101: (429, "Account in arrears"),
    1102: (429, "Account balance not enough"),
    1103: (403, "No permission for this API or model"),
    1200: (400, "Missing Request Parameter"),
    1201: (400, "Invalid request parameter"),
    1202: (404, "Request method is not supported"),
    1203: (404, "The requested resource does not exist"),
    1300: (400, "Triggered the strategy of the platform"),
    1301: (400, "Triggered the content security policy of the platform"),
    1302: (429, "API request too fast"),
    1303: (429, "parallel task over resource pack limit"),
    1304: (429, "Triggered the IP whitelisting policy of the platform"),
    5000: (500, "Internal server error"),
    5001: (503, "Server temporarily unavailable"),
    5002: (504, "Server internal timeout"),
}
"""HTTP status and usual message by error code.

Source: Kling API documentation, error codes; live answers where known.
"""
_REFUSALS: Final = range(1000, 5000)
"""Codes that say that nothing was made; those from 5000 on are breakdowns."""


class KlingRecordedAPI:
    """Kling's implementation of the cassette's RecordedAPI."""

    name: Final = "Kling"
    unit_price: Final = prices.DOLLARS["video"]
    error_codes: Final = tuple(CODES)
    paid_members: Final = charges.DEDUCTIONS

    def expected(self, method: str, url: str, body: Mapping[str, Any]) -> Cost | None:
        """What a request will cost at most by the price list; None where that is not known."""
        units = create_prices.expected(url, body) if method == "POST" else None
        return None if units is None else Cost(units, prices.dollars(units, url))

    def charged(self, url: str, answer: Mapping[str, Any]) -> Cost | None:
        """What an answer says that its one task cost, or the call itself."""
        return charges.charged(url, answer)

    def charged_tasks(self, url: str, answer: Mapping[str, Any]) -> Iterator[TaskCharge]:
        """The names of all tasks in an answer, and what each says that it cost."""
        return charges.tasks(url, answer)

    def is_refusal(self, answer: Mapping[str, Any]) -> bool:
        """Whether an answer says that nothing was made, whatever its status."""
        code = answer.get("code")
        return isinstance(code, int) and code in _REFUSALS

    def error_answer(
        self, code: int, url: str, recorded: Mapping[str, Any]
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Status, JSON body and further header fields of an answer with one of CODES to a request to this URL.

        The body has Kling's form, or OpenAI's where the `recorded` answer in its place has that.
        """
        status, message = CODES[code]
        if "id" not in recorded or "code" in recorded:
            request_id = recorded.get("request_id")
            if not (isinstance(request_id, str) and request_id):
                request_id = str(uuid.uuid5(uuid.NAMESPACE_URL, url))
            return status, {"code": code, "message": message, "request_id": request_id}, {}
        meaning = error_codes.meaning(status, code, message)
        kind = openai_type(meaning.status, meaning.code)
        error = {"message": message, "type": kind, "param": None, "code": meaning.code}
        headers = {"Retry-After": str(meaning.retry_after)} if meaning.retry_after is not None else {}
        return meaning.status, {"error": error}, headers

    def task_url(self, create_url: str, name: str, is_external: bool) -> str | None:
        """Where a task of the new design is read that this URL created; None where the URL is not the new design's.

        `name` is Kling's id of the task, or the client's `external_task_id`.
        """
        parts = urlsplit(create_url)
        base, _, model = parts.path.rstrip("/").rpartition("/")
        base, _, kind = base.rpartition("/")
        if not model or kind not in NEW_DESIGN:
            return None
        query = urlencode({"external_task_ids" if is_external else "task_ids": name})
        return urlunsplit((parts.scheme, parts.netloc, f"{base}/tasks", query, ""))

    def split_external_id(self, name: str) -> tuple[str, str]:
        """An id that idempotency.py made, and the parameters of the create behind it."""
        start = split_parameters(name)[0]
        return start, name[len(start) :]


RECORDED_API: Final = KlingRecordedAPI()
