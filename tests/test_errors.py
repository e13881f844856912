"""The refusals: status, code, param and message."""

from __future__ import annotations

import pytest

from mitm_ai_proxy import errors
from mitm_ai_proxy.errors import Refusal
from tests.tables import table


@table(
    ("refusal", "status", "code", "param"),
    [
        (errors.bad_body("m"), 400, "invalid_body", None),
        (errors.bad_body("m", param="model"), 400, "invalid_body", "model"),
        (errors.bad_path("m"), 400, "invalid_path", None),
        (errors.bad_path("m", param="video_id"), 400, "invalid_path", "video_id"),
        (errors.bad_head("m"), 400, "invalid_head", None),
        (errors.bad_head("m", param="X-A"), 400, "invalid_head", "X-A"),
        (errors.unsupported_api("kling", "a", []), 404, "unsupported_api", None),
        (errors.wrong_base_url("a", "b"), 404, "wrong_base_url", None),
        (errors.wrong_method("a", ["GET"], "b"), 405, "wrong_method", None),
        (Refusal(499, "m", code="c", param="p"), 499, "c", "p"),
        (errors.internal_error(), 500, "proxy_error", None),
        (errors.stream_failed(), 502, "stream_failed", None),
        (errors.not_rewritten(), 503, "proxy_not_ready", None),
        (errors.not_ready(), 503, "proxy_not_ready", None),
    ],
)
def test_a_refusal_has_a_status_a_code_and_a_param(refusal: Refusal, status: int, code: str, param: str | None) -> None:
    assert (refusal.status, refusal.code, refusal.param) == (status, code, param)
    assert str(refusal) == refusal.message


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
def test_an_internal_error_says_that_nothing_was_forwarded_and_where_the_reason_is(refusal: Refusal) -> None:
    assert "forwarded" in refusal.message
    assert "log says" in refusal.message


def test_a_stream_that_ends_with_an_error_says_where_the_reason_is() -> None:
    assert "log says" in errors.stream_failed().message
