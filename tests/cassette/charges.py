"""Kling's creates and answers with charges, for the tests of prices, spending and budgets."""

from __future__ import annotations

import json
from typing import Any

from mitm_ai_proxy.cassette import spending
from mitm_ai_proxy.cassette.entry import Entry, Request, Response
from mitm_ai_proxy.kling.recorded_api import RECORDED_API
from tests.cassette.exchanges import JSON, ORIGIN

TEXT = "/v1/videos/text2video"
IMAGE = "/v1/videos/image2video"
PICTURES = "/v1/images/generations"
CHAT = "https://api.openai.com/v1/chat/completions"
URL = "https://a.test/a"


def create_request(path: str, body: Any = None, method: str = "POST") -> Request:
    """A request to this path or URL; a POST with a body of JSON, or of these bytes."""
    encoded = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return Request(method, path if "://" in path else ORIGIN + path, JSON, encoded)


def text_request(**more: Any) -> Request:
    """A create of 3 units, if no other members are given."""
    return create_request(TEXT, {"model_name": "kling-v3", "prompt": "a cat", **more})


def says(data: Any, status: int = 200, code: int = 0, **more: Any) -> Response:
    """An answer in Kling's envelope."""
    body = {"code": code, "message": "SUCCEED", "request_id": "r", "data": data, **more}
    return Response(status, "", JSON, json.dumps(body).encode())


def legacy_task(status: str = "submitted", task_id: str = "7", **more: Any) -> Response:
    """An answer with one task of the legacy API."""
    return says({"task_id": task_id, "task_status": status, "task_info": {}, **more})


def new_task(status: str, *billing: Any, task_id: str = "7") -> dict[str, Any]:
    """A task of the newer API with these bills."""
    return {"id": task_id, "status": status, "outputs": [], "billing": list(billing)}


def unit_bill(amount: Any, pack: str = "video", **more: Any) -> dict[str, Any]:
    """A bill in units."""
    return {"charge_type": "unit", "amount": amount, "package_type": pack, "list_price": "", **more}


def cash_bill(amount: Any, currency: str = "USD", **more: Any) -> dict[str, Any]:
    """A bill in money."""
    return {"charge_type": "cash", "amount": amount, "currency": currency, **more}


def entry_of(request: Request, response: Response | None = None) -> Entry:
    """An exchange."""
    return Entry(0, 1, request, response)


def poll_entry(response: Response, task_id: str = "7", path: str = TEXT) -> Entry:
    """A read of a task, and its answer."""
    return entry_of(create_request(f"{path}/{task_id}", method="GET"), response)


CREATE = text_request()
"""3 units."""
MADE = entry_of(CREATE, legacy_task())
DONE = legacy_task("succeed", final_unit_deduction="3")
DOUBTS = [None, Response(500), Response(502, "", (), b"<html>"), says(None, 504, 5002), says(None, 200, 5000)]
DOUBTS.append(Response(200, "", JSON, b"<html>"))
"""Answers to creates that may have been carried out."""
UNKNOWN = create_request(CHAT, {"model": "a"})
FREE = create_request(f"{TEXT}/7", method="GET")


def expected_units(request: Request) -> float | None:
    """The expected units of a request by Kling's prices."""
    cost = spending.expected(request, RECORDED_API)
    return cost and cost.units
