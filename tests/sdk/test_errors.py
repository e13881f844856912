"""Kling's errors as exceptions of the SDKs, and the number of retries."""

from __future__ import annotations

import uuid

import pytest

from tests.sdk.kling import Fault, Kling, gateway_page, refusal
from tests.sdk.sdk import Sdk

UNTRIED = [
    (429, 1102, "Account balance not enough", "RateLimitError"),
    (429, 1101, "Account in arrears", "RateLimitError"),
    (200, 1102, "Account balance not enough", "RateLimitError"),
    (401, 1002, "Authorization is invalid", "AuthenticationError"),
    (403, 1103, "No permission for this model", "PermissionDeniedError"),
    (200, 1201, "duration value '99' is invalid", "BadRequestError"),
    (400, 1301, "content security", "BadRequestError"),
    (404, 1203, "model is not supported", "NotFoundError"),
]


def create_prompt() -> str:
    return f"a cat {uuid.uuid4()}"


@pytest.mark.parametrize(("status", "code", "message", "kind"), UNTRIED, ids=[f"{row[0]}-{row[1]}" for row in UNTRIED])
def test_what_will_not_help_is_not_tried_again(
    status: int, code: int, message: str, kind: str, sdk: Sdk, kling: Kling
) -> None:
    kling.next(refusal(status, code, message))
    outcome = sdk.call("create", prompt=create_prompt())

    assert outcome.error.kind == kind
    assert message in outcome.error.message
    assert isinstance(outcome.error.code, str)
    assert outcome.error.request_id
    assert len(kling.received) == len(outcome.sent) == 1
    assert kling.bought == 0


def test_a_full_pack_is_tried_again_after_the_time_that_kling_gave(sdk: Sdk, kling: Kling) -> None:
    # Longer than an SDK's own delay, which is half a second at most.
    kling.next(refusal(429, 1303, "parallel task over resource pack limit", retry_after_ms="700"))
    outcome = sdk.call("create", prompt=create_prompt())

    assert outcome.video["status"] == "queued"
    first, second = kling.received
    assert second.at - first.at >= 0.65
    assert kling.bought == 1


def test_a_full_pack_without_a_time_gets_one(any_sdk: Sdk, kling: Kling) -> None:
    kling.next(refusal(429, 1303, "parallel task over resource pack limit"))
    outcome = any_sdk.with_client(max_retries=0).call("create", prompt=create_prompt())

    assert outcome.error.kind == "RateLimitError"
    headers = outcome.headers
    assert 1 <= float(headers.get("retry-after") or float(headers["retry-after-ms"]) / 1000) <= 60


def test_a_gateway_that_answers_for_kling_is_an_error_of_the_server(any_sdk: Sdk, kling: Kling) -> None:
    kling.next(gateway_page(502))
    outcome = any_sdk.with_client(max_retries=0).call("create", prompt=create_prompt())

    assert outcome.error.kind == "InternalServerError"
    assert "<html>" not in outcome.error.message
    assert outcome.error.type == "server_error"


def test_an_answer_that_never_came_is_an_error_of_the_server(any_sdk: Sdk, kling: Kling) -> None:
    # The page is mitmproxy's own.
    kling.next(Fault(lost=True))
    outcome = any_sdk.with_client(max_retries=0).call("create", prompt=create_prompt())

    assert outcome.error.kind == "InternalServerError"
    assert "<html>" not in outcome.error.message


def test_a_read_that_failed_in_kling_is_tried_again(sdk: Sdk, kling: Kling) -> None:
    video_id = sdk.call("create", prompt=create_prompt()).video["id"]
    kling.next(refusal(503, 5001, "maintenance", retry_after_ms="1"))
    assert sdk.call("retrieve", video_id=video_id).video["id"] == video_id
    assert [request.method for request in kling.received] == ["POST", "GET", "GET"]


@pytest.mark.parametrize("method", ["retrieve", "download_content"])
def test_a_task_that_kling_does_not_know_is_not_found(method: str, sdk: Sdk, kling: Kling) -> None:
    video_id = sdk.call("create", prompt=create_prompt()).video["id"]
    kling.state.tasks.clear()
    outcome = sdk.call(method, video_id=video_id)

    assert outcome.error.kind == "NotFoundError"
    assert len(outcome.sent) == 1


@pytest.mark.parametrize("video_id", ["video_123", "nobody's", "a/b", "ä ö", "831234567890123456"])
def test_an_id_of_somebody_else_is_not_found(video_id: str, sdk: Sdk, kling: Kling) -> None:
    outcome = sdk.call("retrieve", video_id=video_id)

    assert outcome.error.kind in ("NotFoundError", "BadRequestError")
    assert len(outcome.sent) == 1
