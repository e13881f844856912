"""The errors of the simulated chat model, in the shapes of OpenAI and of Anthropic.

Sources: the SDKs of both vendors (which status has which class), and the vendors' public API references.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

Body = dict[str, Any]


class ChatError(Exception):
    """The model refuses a request. `param` is the member that is wrong; `code` is OpenAI's."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
        self.status, self.message, self.param, self.code = status, message, param, code
        super().__init__(message)


class Kind(NamedTuple):
    """What a status means: its usual message, and its type and code at OpenAI and type at Anthropic."""

    message: str
    openai: str
    code: str | None
    anthropic: str


_BAD: Final = "invalid_request_error"
KINDS: Final[Mapping[int, Kind]] = {
    400: Kind("The request is wrong.", _BAD, None, _BAD),
    401: Kind("The API key is wrong.", _BAD, "invalid_api_key", "authentication_error"),
    402: Kind("The balance of the account is too low.", "insufficient_quota", "insufficient_quota", "billing_error"),
    403: Kind("The key may not do this.", _BAD, "permission_denied", "permission_error"),
    404: Kind("Not found.", _BAD, "not_found", "not_found_error"),
    405: Kind("This path takes another method.", _BAD, "method_not_allowed", _BAD),
    408: Kind("The request took too long to arrive.", "timeout", "timeout", "timeout_error"),
    409: Kind("The request is in conflict with another one.", _BAD, "conflict", "conflict_error"),
    413: Kind("The request is too large.", _BAD, "request_too_large", "request_too_large"),
    422: Kind("The request cannot be processed.", _BAD, "unprocessable", _BAD),
    429: Kind("Too many requests. Try again later.", "rate_limit_error", "rate_limit_exceeded", "rate_limit_error"),
    500: Kind("The server had an error.", "server_error", "server_error", "api_error"),
    502: Kind("Bad gateway.", "server_error", "bad_gateway", "api_error"),
    503: Kind("The service is unavailable.", "server_error", "service_unavailable", "overloaded_error"),
    504: Kind("The server took too long.", "server_error", "timeout", "timeout_error"),
    529: Kind("Overloaded", "server_error", "overloaded", "overloaded_error"),
}
"""By HTTP status; 529 is Anthropic's own."""
LATER: Final = frozenset({408, 429, 502, 503, 504, 529})
"""Statuses that come with Retry-After."""


def of_status(status: int, message: str = "") -> ChatError:
    """The error of a status, with its usual message unless there is one."""
    return ChatError(status, message or KINDS[status].message, code=KINDS[status].code)


def openai(error: ChatError) -> Body:
    """OpenAI's error object."""
    kind = KINDS[error.status]
    return {"error": {"message": error.message, "type": kind.openai, "param": error.param, "code": error.code}}


def anthropic(error: ChatError, request_id: str) -> Body:
    """Anthropic's error object."""
    kind = KINDS[error.status].anthropic
    return {"type": "error", "error": {"type": kind, "message": error.message}, "request_id": request_id}
