"""Refusals and failed streams in each dialect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mitm_ai_proxy import errors
from mitm_ai_proxy.chat.dialects import ANTHROPIC, COHERE, CONVERSE, DASHSCOPE, DIALECTS, GEMINI, OPENAI
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.wire import aws_event_stream
from tests.tables import table

OWN, NATIVE = (OPENAI, ANTHROPIC), (GEMINI, CONVERSE, DASHSCOPE, COHERE)

# Of our own failures: none has anything of the request.
FAILURES = [errors.internal_error(), errors.not_rewritten(), errors.not_ready(), errors.stream_failed()]


def _event(dialect: str, refusal: Refusal) -> tuple[list[str], Any]:
    """The event that ends a stream: the lines before its data, and the data."""
    text = DIALECTS[dialect].failure(refusal).decode("ascii")
    assert text.endswith("\n\n")
    *lines, data = text[:-2].split("\n")
    assert data.startswith("data: ")
    return lines, json.loads(data.removeprefix("data: "))


@table(
    ("status", "openai", "anthropic"),
    [
        (400, "invalid_request_error", "invalid_request_error"),
        (401, "authentication_error", "authentication_error"),
        (402, "insufficient_quota", "billing_error"),
        (403, "permission_error", "permission_error"),
        (404, "invalid_request_error", "not_found_error"),
        (405, "invalid_request_error", "invalid_request_error"),
        (409, "invalid_request_error", "invalid_request_error"),
        (413, "invalid_request_error", "request_too_large"),
        (415, "invalid_request_error", "invalid_request_error"),
        (422, "invalid_request_error", "invalid_request_error"),
        (429, "rate_limit_error", "rate_limit_error"),
        (499, "invalid_request_error", "invalid_request_error"),
        (500, "server_error", "api_error"),
        (501, "server_error", "api_error"),
        (502, "server_error", "api_error"),
        (503, "server_error", "api_error"),
        (504, "server_error", "timeout_error"),
        (529, "server_error", "overloaded_error"),
        (599, "server_error", "api_error"),
    ],
)
@table("param", [None, "p"])
def test_a_refusal_is_the_error_object_of_its_dialect_and_ends_a_stream_as_such(
    status: int, openai: str, anthropic: str, param: str | None
) -> None:
    refusal = Refusal(status, "m", code="c", param=param)
    ours = {"error": {"message": "m", "type": openai, "param": param, "code": "c"}}
    theirs = {"type": "error", "error": {"type": anthropic, "message": "m"}}

    assert json.loads(DIALECTS[OPENAI].refusal(refusal)) == ours
    assert json.loads(DIALECTS[ANTHROPIC].refusal(refusal)) == theirs
    assert _event(OPENAI, refusal) == ([], ours)
    assert _event(ANTHROPIC, refusal) == (["event: error"], theirs)


def test_the_type_of_an_account_without_money_is_its_code_at_openai() -> None:
    refusal = Refusal(429, "m", code="insufficient_quota")
    assert json.loads(DIALECTS[OPENAI].refusal(refusal))["error"]["type"] == "insufficient_quota"
    assert json.loads(DIALECTS[ANTHROPIC].refusal(refusal))["error"]["type"] == "rate_limit_error"


@table("name", OWN)
@table(
    "message",
    ['a "b" \\', "é😀", "two\nlines", "a\r\n\r\ndata: [DONE]\n\n", "\u2028", "\0", "\ud800", ""],
    ids=["quotes", "letters", "lines", "an event", "separator", "zero", "half", "empty"],
)
def test_a_message_of_any_text_makes_a_body_and_one_event_in_ascii(name: str, message: str) -> None:
    refusal = errors.bad_body(message, param=message)
    body, event = DIALECTS[name].refusal(refusal), DIALECTS[name].failure(refusal)

    assert body.isascii()
    assert event.isascii()
    assert json.loads(body)["error"]["message"] == message
    assert _event(name, refusal)[1] == json.loads(body)
    assert event.count(b"\n\n") == 1
    assert b"\r" not in event


@pytest.mark.parametrize("refusal", FAILURES, ids=str)
@pytest.mark.parametrize("name", OWN)
def test_a_failure_of_our_own_is_the_same_whatever_was_sent_and_no_finish_is_made_up(
    name: str, refusal: Refusal
) -> None:
    text = DIALECTS[name].failure(refusal)

    assert json.loads(DIALECTS[name].refusal(refusal))["error"]["message"] == refusal.message
    assert b"[DONE]" not in text
    assert b"message_stop" not in text


def test_dialects_are_found_by_name() -> None:
    assert {name: dialect.name for name, dialect in DIALECTS.items()} == {name: name for name in (*OWN, *NATIVE)}


@table(
    ("status", "google", "aws", "dashscope"),
    [
        (400, "INVALID_ARGUMENT", "ValidationException", "InvalidParameter"),
        (401, "UNAUTHENTICATED", "UnrecognizedClientException", "InvalidApiKey"),
        (403, "PERMISSION_DENIED", "AccessDeniedException", "AccessDenied"),
        (404, "NOT_FOUND", "ResourceNotFoundException", "ModelNotFound"),
        (405, "FAILED_PRECONDITION", "ValidationException", "InvalidParameter"),
        (413, "FAILED_PRECONDITION", "ValidationException", "InvalidParameter"),
        (429, "RESOURCE_EXHAUSTED", "ThrottlingException", "Throttling"),
        (500, "INTERNAL", "InternalServerException", "InternalError"),
        (501, "UNIMPLEMENTED", "InternalServerException", "InternalError"),
        (502, "UNAVAILABLE", "InternalServerException", "InternalError"),
        (503, "UNAVAILABLE", "ServiceUnavailableException", "InternalError"),
        (504, "DEADLINE_EXCEEDED", "ModelTimeoutException", "RequestTimeOut"),
    ],
)
@table("message", ["m", 'a "b" \\ é😀', "two\n\ndata: [DONE]\n\n", "\ud800"])
def test_a_refusal_is_the_error_of_the_vendor_whose_own_api_is_spoken(
    status: int, google: str, aws: str, dashscope: str, message: str
) -> None:
    refusal = Refusal(status, message, code="some_code", param="p")
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SOME_CODE", "domain": "mitm-ai-proxy"}
    theirs = {"code": status, "message": message, "status": google, "details": [{**info, "metadata": {"param": "p"}}]}
    found = {name: json.loads(DIALECTS[name].refusal(refusal)) for name in NATIVE}

    assert found[GEMINI] == {"error": theirs}
    assert found[CONVERSE] == {"__type": aws, "message": message}
    assert found[DASHSCOPE] == {"request_id": "", "code": dashscope, "message": message}
    assert found[COHERE] == {"message": message}
    assert _event(GEMINI, refusal) == ([], {"error": theirs})
    assert DIALECTS[DASHSCOPE].failure(refusal).startswith(b"event:error\n:HTTP_STATUS/%d\ndata:{" % status)
    lines, end = _event(COHERE, refusal)
    assert (lines, end["delta"]["error"]) == (["event: message-end"], message)
    (frame,) = aws_event_stream.Reader().feed(DIALECTS[CONVERSE].failure(refusal))
    assert frame.headers[":message-type"] == "exception"
    assert frame.headers[":exception-type"].lower() == aws.lower()
    assert json.loads(frame.payload) == {"message": message}
