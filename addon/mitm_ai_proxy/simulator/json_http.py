"""JSON over HTTP as Kling has it: bodies and parameters of requests, and answers."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Mapping
from typing import Any

from flask import Request, Response, request

from .kling_error import KlingError, bad_parameter


def body_of(asked: Request) -> dict[str, Any]:
    """The body of a request. Raises KlingError if it is not a JSON object."""
    if asked.mimetype != "application/json":
        raise KlingError(1200, "Content-Type must be application/json")
    try:
        body = json.loads(asked.get_data())
    except (ValueError, RecursionError):
        raise KlingError(1200, "The request body is not valid JSON") from None
    if not isinstance(body, dict):
        raise KlingError(1200, "The request body is not a JSON object")
    return body


def prompt_of(asked: Request) -> str:
    """The prompt of a create of either API version; "" if it cannot be found."""
    try:
        body = body_of(asked)
    except KlingError:
        return ""
    contents = body.get("contents")
    texts = [item.get("text") for item in contents if isinstance(item, dict)] if isinstance(contents, list) else []
    return "\n".join(text for text in [body.get("prompt"), *texts] if isinstance(text, str))


def whole_number(name: str, default: int, at_most: int) -> int:
    """A number in the query, from 1 on. Raises KlingError."""
    value = request.args.get(name, str(default))
    if not (value.isascii() and value.isdigit() and len(value) < 6 and 1 <= int(value) <= at_most):
        raise bad_parameter(f"{name} value '{value[:100]}' is invalid")
    return int(value)


def milliseconds(body: Mapping[str, Any], name: str, default: float) -> float:
    """A point in time in a body. Raises KlingError."""
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise bad_parameter(f"{name} value '{str(value)[:100]}' is invalid")
    return value


def ok(data: Any) -> Response:
    """The answer to what succeeds."""
    shown = {"code": 0, "message": "SUCCEED", "request_id": str(uuid.uuid4()), "data": data}
    return Response(json_bytes(shown), mimetype="application/json")


def json_bytes(shown: Any) -> bytes:
    """A value as JSON, as short as it can be."""
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
