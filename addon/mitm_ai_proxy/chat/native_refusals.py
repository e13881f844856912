"""Refusals in the forms of vendors' own APIs, for clients of those: Google's, AWS's, DashScope's and Cohere's."""

from __future__ import annotations

import json
from typing import Any, Final

from ..errors import Refusal
from ..wire.aws_event_stream import Message, written

_GOOGLE: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""Source: google.rpc.Code and its HTTP mapping. Others are FAILED_PRECONDITION, or UNAVAILABLE from 500 on."""
_AWS: Final = {
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
    504: "ModelTimeoutException",
}
"""Source: Amazon Bedrock's API reference, errors of Converse. Others are ValidationException, or
InternalServerException from 500 on."""
_DASHSCOPE: Final = {
    401: "InvalidApiKey",
    403: "AccessDenied",
    404: "ModelNotFound",
    429: "Throttling",
    504: "RequestTimeOut",
}
"""Source: DashScope's API reference, errors. Others are InvalidParameter, or InternalError from 500 on."""


def google(refusal: Refusal) -> dict[str, Any]:
    """google.rpc.Status; the code and the parameter of ours are the reason and the metadata of an ErrorInfo."""
    status = _GOOGLE.get(refusal.status, "UNAVAILABLE" if refusal.status >= 500 else "FAILED_PRECONDITION")
    info: dict[str, Any] = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": refusal.code.upper(),
        "domain": "mitm-ai-proxy",
    }
    if refusal.param is not None:
        info["metadata"] = {"param": refusal.param}
    return {"error": {"code": refusal.status, "message": refusal.message, "status": status, "details": [info]}}


def _exception(refusal: Refusal) -> str:
    return _AWS.get(refusal.status, "InternalServerException" if refusal.status >= 500 else "ValidationException")


def aws(refusal: Refusal) -> dict[str, Any]:
    """An exception of AWS's JSON protocols, whose name botocore and the other SDKs read in `__type`."""
    return {"__type": _exception(refusal), "message": refusal.message}


def aws_frame(refusal: Refusal) -> bytes:
    """The message with an exception that ends a stream of Amazon's."""
    name = _exception(refusal)
    headers = {
        ":exception-type": name[0].lower() + name[1:],
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return written(Message(headers, json.dumps({"message": refusal.message}).encode()))


def dashscope(refusal: Refusal) -> dict[str, Any]:
    """DashScope's error; there is no request of its own, whose id could be told."""
    code = _DASHSCOPE.get(refusal.status, "InternalError" if refusal.status >= 500 else "InvalidParameter")
    return {"request_id": "", "code": code, "message": refusal.message}


def dashscope_event(refusal: Refusal) -> bytes:
    """The event that ends a stream of DashScope's."""
    data = json.dumps(dashscope(refusal)).encode()
    return b"event:error\n:HTTP_STATUS/%d\ndata:%b\n\n" % (refusal.status, data)


def cohere(refusal: Refusal) -> dict[str, Any]:
    """Cohere's error."""
    return {"message": refusal.message}


def cohere_event(refusal: Refusal) -> bytes:
    """The event that ends a stream of Cohere's: an end with an error."""
    end = {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": refusal.message}}
    return b"event: message-end\ndata: %b\n\n" % json.dumps(end).encode()
