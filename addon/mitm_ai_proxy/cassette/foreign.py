"""HAR files of browsers and of other tools, brought into the form in which a cassette has its entries."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlencode

from .sound import EMPTY, STATUSES

_FORM: Final = "application/x-www-form-urlencoded"
_BODILESS: Final = EMPTY | frozenset((301, 302, 303, 307, 308))
"""Statuses whose answers browsers save without a body."""


def creator(found: Any) -> str:
    """The name of the tool in the member `creator` of a log; "" if it does not say."""
    name = found.get("name") if isinstance(found, dict) else None
    return name if isinstance(name, str) else ""


def entry(item: Any) -> Any | None:
    """An entry with the members that a cassette has; None if nothing can be replayed of it.

    That is one without an answer, one that changed the protocol, and one whose body was not saved. What is no entry of
    a HAR file stays as it is.
    """
    if not isinstance(item, dict):
        return item
    request, response = item.get("request"), item.get("response")
    if not isinstance(request, dict) or not isinstance(response, dict):
        return item
    if isinstance(response.get("status"), int) and response["status"] not in STATUSES:
        return None
    sent, answered = _sent(request.get("postData")), _answered(request, response)
    if sent is None or answered is None:
        return None
    time = item.get("time")
    is_time = isinstance(time, (int, float)) and not isinstance(time, bool) and math.isfinite(time) and time >= 0
    taken = {key: request[key] for key in ("method", "url") if key in request}
    return {
        "startedDateTime": item.get("startedDateTime"),
        "time": time if is_time else 0,
        "request": {**taken, "headers": _headers(request.get("headers")), **sent},
        "response": {
            "status": response.get("status"),
            "statusText": response.get("statusText") or "",
            "headers": _headers(response.get("headers")),
            "content": answered,
        },
    }


def _headers(fields: Any) -> Any:
    """Header fields as HTTP/1 has them: without those of HTTP/2, and with a field for each line of a value.

    Bodies stand in a file without their Content-Encoding. Chrome joins the values of Set-Cookie by line breaks.
    """
    return list(_split(fields)) if isinstance(fields, list) else [] if fields is None else fields


def _split(fields: list[Any]) -> Iterator[Any]:
    for field in fields:
        name = field.get("name") if isinstance(field, dict) else None
        value = field.get("value") if isinstance(field, dict) else None
        if not isinstance(name, str) or not isinstance(value, str):
            yield field
        elif not name.startswith(":") and name.lower() != "content-encoding":
            lines = value.split("\n") if name.lower() == "set-cookie" else [value]
            yield from ({"name": name, "value": line} for line in lines)


def _sent(body: Any) -> dict[str, Any] | None:
    """The member postData, if there is one; None if its text was not saved."""
    if not body:
        return {}
    if not isinstance(body, dict) or body.get("text") is not None:
        return {"postData": _body(body)}
    pairs = [
        (pair.get("name", ""), pair.get("value", "")) for pair in body.get("params") or () if isinstance(pair, dict)
    ]
    kind = str(body.get("mimeType") or "").partition(";")[0].strip().lower()
    if pairs and kind == _FORM:
        return {"postData": {"mimeType": kind, "text": urlencode(pairs, errors="replace")}}
    return None if pairs else {}


def _answered(request: dict[Any, Any], response: dict[Any, Any]) -> Any | None:
    """The member content; None if it was not saved."""
    content = response.get("content")
    if content is None:
        content = {}
    if not isinstance(content, dict) or content.get("text") or content.get("_file"):
        return _body(content)
    size = content.get("size")
    is_empty = not isinstance(size, (int, float)) or size <= 0
    return {"text": ""} if is_empty or response.get("status") in _BODILESS or request.get("method") == "HEAD" else None


def _body(body: Any) -> Any:
    if not isinstance(body, dict):
        return body
    kept = {key: body[key] for key in ("text", "encoding", "_file") if body.get(key) is not None}
    return {"mimeType": body.get("mimeType") or "", "text": "", **kept}
