"""The dialects of clients as a table: the error object of each, and what ends a failed stream."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from ..errors import Refusal
from . import native_refusals

OPENAI: Final = "openai"
ANTHROPIC: Final = "anthropic"
GEMINI: Final = "gemini"
COHERE: Final = "cohere"
CONVERSE: Final = "converse"
DASHSCOPE: Final = "dashscope"
"""Those of vendors: their own clients pass as they are, so that nothing but a refusal is written in them here."""

COZE: Final = "coze"
DEEPL: Final = "deepl"
DIFY: Final = "dify"
HUNYUAN: Final = "hunyuan"
MINIMAX_PRO: Final = "minimax pro"
TRITON: Final = "triton"
"""Those of single vendors, which no client speaks here."""


NO_THREADS: Final = "thread_unsupported_request"
"""Anthropic's code for a request in a thread, which cannot be one: its SDKs then send the whole conversation."""


class Dialect(NamedTuple):
    """A dialect: `refusal` makes the JSON body of an error, `failure` what ends a stream with an error."""

    name: str
    refusal: Callable[[Refusal], bytes]
    failure: Callable[[Refusal], bytes]


def of_client(dialect: str) -> str:
    """The dialect in which a client of this one gets answers that are written here: OpenAI's or Anthropic's."""
    return ANTHROPIC if dialect == ANTHROPIC else OPENAI


_OPENAI_TYPES: Final = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    429: "rate_limit_error",
}
"""Source: OpenAI's API reference, error codes. Other statuses are invalid_request_error, or server_error from 500 on:
what is not found (404) is, at OpenAI, an invalid request."""
_QUOTA: Final = "insufficient_quota"
"""OpenAI's code of an account without money, which is the type as well."""


def openai_type(status: int, code: str) -> str:
    """The type of OpenAI's error with this status and code."""
    if code == _QUOTA:
        return code
    return _OPENAI_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")


def _openai(refusal: Refusal) -> dict[str, Any]:
    """Source: OpenAI's API reference, error object."""
    kind = openai_type(refusal.status, refusal.code)
    return {"error": {"message": refusal.message, "type": kind, "param": refusal.param, "code": refusal.code}}


_ANTHROPIC_TYPES: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""Source: Anthropic's API reference, errors. Other statuses are invalid_request_error, or api_error from 500 on."""


def _anthropic(refusal: Refusal) -> dict[str, Any]:
    kind = _ANTHROPIC_TYPES.get(refusal.status, "api_error" if refusal.status >= 500 else "invalid_request_error")
    error: dict[str, Any] = {"type": kind, "message": refusal.message}
    if refusal.code == NO_THREADS:
        error["details"] = {"error_code": NO_THREADS, "unsupported": ["thread"]}
    return {"type": "error", "error": error}


def _encoded(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()


DIALECTS: Final = {
    dialect.name: dialect
    for dialect in (
        Dialect(
            OPENAI,
            lambda refusal: _encoded(_openai(refusal)),
            lambda refusal: b"data: " + _encoded(_openai(refusal)) + b"\n\n",
        ),
        Dialect(
            ANTHROPIC,
            lambda refusal: _encoded(_anthropic(refusal)),
            lambda refusal: b"event: error\ndata: " + _encoded(_anthropic(refusal)) + b"\n\n",
        ),
        Dialect(
            GEMINI,
            lambda refusal: _encoded(native_refusals.google(refusal)),
            lambda refusal: b"data: " + _encoded(native_refusals.google(refusal)) + b"\n\n",
        ),
        Dialect(CONVERSE, lambda refusal: _encoded(native_refusals.aws(refusal)), native_refusals.aws_frame),
        Dialect(
            DASHSCOPE, lambda refusal: _encoded(native_refusals.dashscope(refusal)), native_refusals.dashscope_event
        ),
        Dialect(COHERE, lambda refusal: _encoded(native_refusals.cohere(refusal)), native_refusals.cohere_event),
    )
}
