"""What a client is told when its request is refused. When that happens is tested where it is decided."""

from __future__ import annotations

import json

import pytest

from mitm_ai_proxy import errors
from mitm_ai_proxy.errors import Refusal
from tests.tables import table


@table(
    ("refusal", "status", "kind", "code", "param"),
    [
        (errors.bad_body("m"), 400, "invalid_request_error", "invalid_body", None),
        (errors.bad_body("m", param="model"), 400, "invalid_request_error", "invalid_body", "model"),
        (errors.bad_path("m"), 400, "invalid_request_error", "invalid_path", None),
        (errors.bad_path("m", param="video_id"), 400, "invalid_request_error", "invalid_path", "video_id"),
        (errors.unsupported_api("kling", "a", []), 404, "invalid_request_error", "unsupported_api", None),
        (Refusal(403, "m", code="c"), 403, "permission_error", "c", None),
        (Refusal(499, "m", code="c", param="p"), 499, "invalid_request_error", "c", "p"),
        (errors.internal_error(), 500, "server_error", "proxy_error", None),
        (errors.not_rewritten(), 503, "server_error", "proxy_not_ready", None),
        (errors.not_ready(), 503, "server_error", "proxy_not_ready", None),
    ],
)
def test_a_refusal_is_openais_error_object(
    refusal: Refusal, status: int, kind: str, code: str, param: str | None
) -> None:
    error = {"message": refusal.message, "type": kind, "param": param, "code": code}
    assert refusal.status == status
    assert json.loads(refusal.body()) == {"error": error}
    assert str(refusal) == refusal.message


@pytest.mark.parametrize(
    "message", ['a "b" \\', "é😀", "two\nlines", "\ud800"], ids=["quotes", "letters", "lines", "half"]
)
def test_a_message_of_any_text_makes_a_body_in_ascii(message: str) -> None:
    body = errors.bad_body(message).body()
    assert body.isascii()
    assert json.loads(body)["error"]["message"] == message


@pytest.mark.parametrize(
    ("has", "message"),
    [
        ([], "kling has no /v1/files. It has: no API of this kind."),
        (["POST /v1/videos"], "kling has no /v1/files. It has: POST /v1/videos."),
        (["POST /v1/videos", "/v1/models"], "kling has no /v1/files. It has: POST /v1/videos, /v1/models."),
    ],
)
def test_an_unsupported_api_is_answered_with_the_supported_ones(has: list[str], message: str) -> None:
    assert errors.unsupported_api("kling", "/v1/files", has).message == message


@pytest.mark.parametrize("refusal", [errors.internal_error(), errors.not_rewritten(), errors.not_ready()], ids=str)
def test_a_failure_of_our_own_says_that_nothing_was_forwarded_and_where_the_reason_is(refusal: Refusal) -> None:
    assert "forwarded" in refusal.message
    assert "log says" in refusal.message
