"""Reads the error of a provider, whatever its form, and writes it in the client's dialect."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from ..errors import Refusal
from ..exchange import Answer
from ..wire import header_fields
from ..wire.header_fields import Fields
from . import error_numbers, json_values
from .dialects import ANTHROPIC, DIALECTS, OPENAI
from .error_numbers import SPARK_TOO_LONG, TOO_LONG_CODE
from .model import Fault

_MAX_MESSAGE: Final = 2000
"""Characters of a message that are passed on."""

# Statuses by the words that vendors have for them, where an error comes without a status of its own.
# Sources: Anthropic's, OpenAI's, Google's, DashScope's, Tencent Cloud's and Baidu Qianfan's API references, errors.
_STATUSES: Final = {
    "invalid_request_error": 400,
    "invalid_argument": 400,
    "bad_request": 400,
    "context_length_exceeded": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "unauthenticated": 401,
    "billing_error": 402,
    "permission_error": 403,
    "permission_denied": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "not_found": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "resource_exhausted": 429,
    "api_error": 500,
    "server_error": 500,
    "internal_server_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
    # DashScope and Tencent Cloud, of whose codes the part before the first dot counts.
    "invalidparameter": 400,
    "invalidparametervalue": 400,
    "missingparameter": 400,
    "unknownparameter": 400,
    "unsupportedoperation": 400,
    "badrequest": 400,
    "datainspectionfailed": 400,
    "invalidapikey": 401,
    "authfailure": 401,
    "arrearage": 402,
    "accessdenied": 403,
    "unauthorizedoperation": 403,
    "operationdenied": 403,
    "modelnotfound": 404,
    "model_not_supported": 404,
    "resourcenotfound": 404,
    "throttling": 429,
    "requestlimitexceeded": 429,
    "limitexceeded": 429,
    "internalerror": 500,
    "failedoperation": 500,
    "resourceinsufficient": 503,
    "resourceunavailable": 503,
    "requesttimeout": 504,
    # Baidu Qianfan, version 2.
    "malformed_json": 400,
    "characters_too_long": 400,
    "access_denied": 403,
    "invalid_model": 400,
    "rpm_rate_limit_exceeded": 429,
    "tpm_rate_limit_exceeded": 429,
}
_NUMBERS: Final = {**error_numbers.MINIMAX, **error_numbers.SPARK}
"""The same by numbers, which are not each other's."""
# Google's reasons that its statuses hide: a wrong key is INVALID_ARGUMENT there.
_REASONS: Final = {"API_KEY_INVALID": 401, "API_KEY_EXPIRED": 401}
_BROKEN: Final = 502
_DELAY: Final = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,9})?)s")
_NO_ERROR: Final = (None, 0, "0", 200, "200")
"""Codes of answers that are none, beside a message such as "Success"."""

# The words of a prompt that is too long, for which Claude Code looks to shorten it.
_TOO_LONG_WORDS: Final = "prompt is too long"

REQUEST_IDS: Final = {OPENAI: "x-request-id", ANTHROPIC: "request-id"}
"""The header field in which each dialect's SDKs look for the id of a request, which its support asks for."""
_ID_FIELDS: Final = (
    b"x-amzn-requestid",
    b"x-debug-trace-id",
    b"x-tt-logid",
    b"trace-id",
    b"x-trace-id",
    b"msh-request-id",
    b"x-bce-request-id",
    b"x-request-id",
    b"request-id",
)
"""Those in which vendors have it: Amazon, Cohere, Coze, MiniMax, DeepL, Moonshot, Baidu, and whoever does as OpenAI or
Anthropic."""
_REQUEST_IDS: Final = ("request_id", "sid", "id")
"""Where vendors have it beside an error: Baidu and Cohere have it where an answer has its own id."""
_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


def broken(why: str) -> Fault:
    """An answer that cannot be read. `why` continues a sentence: "ended before it was complete"."""
    return Fault(_BROKEN, f"The provider's answer {why}.", "bad_answer")


def read(body: bytes, status: int) -> Fault:
    """The error in an answer with this status, which is not a success."""
    try:
        value = json_values.decode(body)
    except ValueError:
        value = None
    found = of_value(value, status)
    return found or Fault(status, f"The provider answered with status {status}, and no message.", f"status_{status}")


def of_value(value: Any, status: int = 200) -> Fault | None:
    """The error that a JSON value is; None if it looks like none. Without a status of its own, the words decide."""
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return None
    fault = _found(value, status)
    id = _request_id(value) if fault else ""
    return msgspec.structs.replace(fault, request_id=id) if fault and id else fault


def _request_id(value: dict[str, Any]) -> str:
    """The id of the request, beside the error, or in it, as Moonshot has it."""
    error = value.get("error")
    holders = (error, value) if isinstance(error, dict) else (value,)
    found = (holder.get(name) for holder in holders for name in _REQUEST_IDS)
    return next((id for id in found if isinstance(id, str) and id), "")


def _found(value: dict[str, Any], status: int) -> Fault | None:
    error = value.get("error")
    if error and isinstance(error, str):
        return _fault(status, error, value)
    if error and isinstance(error, dict):
        message = error.get("message") or error.get("msg") or error.get("detail") or error.get("type")
        return _fault(status, message, error)
    errors = value.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        return _fault(status, errors[0].get("message"), errors[0])
    base = value.get("base_resp")
    if isinstance(base, dict) and base.get("status_code"):
        return _fault(status, base.get("status_msg"), {"code": base["status_code"]})
    message = value.get("message") or value.get("msg") or value.get("detail") or value.get("error_msg")
    if "error_code" in value:
        code = value["error_code"]
        value = {"code": code, "status_code": error_numbers.BAIDU.get(code) if isinstance(code, int) else None, **value}
    if message and (status >= 400 or value.get("code") not in _NO_ERROR):
        return _fault(status, message, value)
    return None


def _fault(status: int, message: Any, error: dict[str, Any]) -> Fault:
    if isinstance(message, list | dict):
        message = json.dumps(message)
    text = message if isinstance(message, str) and message else "The provider says no more."
    words = [word for name in ("code", "type", "status") if isinstance(word := error.get(name), str) and word]
    code = words[0] if words else str(error["code"]) if isinstance(error.get("code"), int) else ""
    if status < 400:
        numbers = [error.get(name) for name in ("status_code", "http_code", "status", "code")]
        given = (number for number in map(_status, numbers) if number)
        named = (number for word in words if (number := _named(word)))
        status = next(given, 0) or next(named, _BROKEN)
    if error.get("code") == SPARK_TOO_LONG:
        text, code = f"{text} ({code})", TOO_LONG_CODE
    reasons = (detail.get("reason") for detail in _details(error))
    status = next((_REASONS[reason] for reason in reasons if isinstance(reason, str) and reason in _REASONS), status)
    return Fault(status, text[:_MAX_MESSAGE], code[:100])


def status_of(code: str) -> int:
    """The status that a vendor's code stands for."""
    return _named(code) or _BROKEN


def _named(word: str) -> int:
    word = word.lower()
    return _STATUSES.get(word) or _STATUSES.get(word.partition(".")[0], 0)


def _details(error: dict[str, Any]) -> list[dict[str, Any]]:
    """The details of an error of Google's (google.rpc.Status)."""
    details = error.get("details")
    return [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []


def id_headers(fields: Fields, client: str) -> dict[str, str]:
    """The vendor's id of the request under the name that the client's SDKs know; nothing where it has that already."""
    name = REQUEST_IDS[client]
    if header_fields.value(fields, name.encode()):
        return {}
    found = next((id for one in _ID_FIELDS if (id := header_fields.value(fields, one))), "")
    return {name: found} if found else {}


def retry_headers(body: bytes) -> dict[str, str]:
    """The header field that says when to try again, where a body alone says it: google.rpc.RetryInfo."""
    if b"retryDelay" not in body:
        return {}
    try:
        value = json_values.decode(body)
    except ValueError:
        return {}
    if isinstance(value, list) and value:
        value = value[0]
    error = value.get("error") if isinstance(value, dict) else None
    for detail in _details(error) if isinstance(error, dict) else ():
        delay = detail.get("retryDelay")
        if isinstance(delay, str) and (found := _DELAY.fullmatch(delay)):
            return {"retry-after": str(math.ceil(float(found[1])))}
    return {}


def _status(value: Any) -> int:
    if isinstance(value, str) and value.isdigit() and len(value) <= 5:
        value = int(value)
    if isinstance(value, int) and value in _NUMBERS:
        return _NUMBERS[value]
    return value if isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599 else 0


def count(value: Any) -> int | None:
    """A number of tokens or seconds in an answer; None for anything else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if is_number and 0 <= value < 2**53 else None


def refusal(fault: Fault, client: str) -> Refusal:
    """The error as a value of ours, in the words of the client's dialect."""
    message, code = fault.message, fault.code
    if client == ANTHROPIC:
        if code == TOO_LONG_CODE and _TOO_LONG_WORDS not in message.lower():
            message = f"{_TOO_LONG_WORDS}: {message}"
        elif code and code not in _STATUSES and code not in message:
            message = f"{message} ({code})"
    elif _TOO_LONG_WORDS in message.lower() and fault.status in (400, 413):
        code = TOO_LONG_CODE
    return Refusal(fault.status, message, code=code or "provider_error")


def body(fault: Fault, client: str) -> bytes:
    """The JSON of the error in the client's dialect."""
    return DIALECTS[client].refusal(refusal(fault, client))


def answer(fault: Fault, client: str, headers: Mapping[str, str] = _NO_HEADERS) -> Answer:
    """The answer with the error in the client's dialect; the vendor's id of the request is where its SDKs look."""
    note = f"error of the provider, status {fault.status}, written as {client} does"
    ids = {REQUEST_IDS[client]: fault.request_id} if fault.request_id else {}
    return Answer(fault.status, body(fault, client), {"content-type": "application/json", **ids, **headers}, (note,))


def event(fault: Fault, client: str) -> bytes:
    """The event that ends a stream with the error, in the client's dialect. It has no other place for an id."""
    if fault.request_id:
        fault = msgspec.structs.replace(fault, message=f"{fault.message} (request {fault.request_id})")
    return DIALECTS[client].failure(refusal(fault, client))
