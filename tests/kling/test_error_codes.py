"""Kling's error codes as OpenAI's errors, row by row."""

from __future__ import annotations

import json

import pytest

from mitm_ai_proxy.kling import error_codes
from mitm_ai_proxy.kling.error_codes import MEANINGS, is_duplicate


@pytest.mark.parametrize("http", [None, 200])
@pytest.mark.parametrize(
    ("status", "codes", "answered", "kind", "word", "headers"),
    [
        (401, "1000 1001 1002 1003 1004", 401, "authentication_error", "invalid_api_key", {}),
        (429, "1100 1101 1102", 429, "insufficient_quota", "insufficient_quota", {"x-should-retry": "false"}),
        (403, "1103", 403, "permission_error", "model_not_available", {}),
        (400, "1200 1201", 400, "invalid_request_error", "invalid_value", {}),
        (404, "1202 1203", 404, "invalid_request_error", "not_found", {}),
        (400, "1300 1301", 400, "invalid_request_error", "moderation_blocked", {}),
        (429, "1302", 429, "rate_limit_error", "rate_limit_exceeded", {"retry-after": "1"}),
        (429, "1303", 429, "rate_limit_error", "concurrency_limit", {"retry-after": "15"}),
        (429, "1304", 403, "permission_error", "ip_not_allowed", {}),
        (500, "5000", 500, "server_error", "server_error", {}),
        (503, "5001", 503, "server_error", "server_error", {}),
        (504, "5002", 504, "server_error", "server_error", {}),
    ],
)
def test_a_code_of_kling_s_is_openai_s_error_with_status_200_too(
    http: int | None, status: int, codes: str, answered: int, kind: str, word: str, headers: dict[str, str]
) -> None:
    for code in map(int, codes.split()):
        answer = error_codes.answer(http or status, code, "why", "r-1")

        assert answer.status == answered
        assert json.loads(answer.body) == {
            "error": {"message": "why", "type": kind, "param": None, "code": word, "kling_code": code}
        }
        assert answer.headers == {"content-type": "application/json", "x-request-id": "r-1", **headers}


def test_every_code_is_in_the_table_above() -> None:
    assert len(MEANINGS) == 5 + 3 + 1 + 2 + 2 + 2 + 3 + 3


@pytest.mark.parametrize(
    ("status", "code", "answered", "word"),
    [
        (401, None, 401, "invalid_api_key"),
        (403, None, 403, "model_not_available"),
        (404, None, 404, "not_found"),
        (429, None, 429, "rate_limit_exceeded"),
        (400, None, 400, "invalid_value"),
        (418, 9999, 418, "invalid_value"),
        (500, None, 500, "server_error"),
        (599, -1, 599, "server_error"),
        (200, None, 502, "bad_gateway"),
        (200, 9999, 502, "bad_gateway"),
        (302, None, 502, "bad_gateway"),
        (101, 10**30, 502, "bad_gateway"),
    ],
)
def test_without_a_code_that_is_known_the_status_decides(
    status: int, code: int | None, answered: int, word: str
) -> None:
    answer = error_codes.answer(status, code, "", "")

    assert answer.status == answered
    error = json.loads(answer.body)["error"]
    assert (error["code"], error["kling_code"], error["message"]) == (word, code, "Kling gave no reason.")
    assert "x-request-id" not in answer.headers


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ("Task not found by id/external id: 7", 404),
        ("From video not found by id: 7", 404),
        ("TASK NOT FOUND", 404),
        ("Voice id not found", 400),
        ("mode value 'std' is invalid", 400),
        ("", 400),
    ],
)
def test_1201_is_not_found_where_its_message_says_so(message: str, status: int) -> None:
    assert error_codes.answer(400, 1201, message, "").status == status


@pytest.mark.parametrize(
    ("code", "message", "duplicate"),
    [
        (1201, "External_task_id ai-proxy-x already exists", True),
        (1201, "external_task_id already exist", True),
        (1201, "already exists", False),
        (1201, "External_task_id is invalid", False),
        (1200, "External_task_id x already exists", False),
        (None, "External_task_id x already exists", False),
    ],
)
def test_a_duplicate_is_known_by_code_and_message(code: int | None, message: str, duplicate: bool) -> None:
    assert is_duplicate(code, message) is duplicate


@pytest.mark.parametrize("request_id", ["a\r\nset-cookie: x=1", "a\n", "\0"])
def test_no_control_character_gets_into_a_header(request_id: str) -> None:
    headers = error_codes.answer(400, 1200, "", request_id).headers

    assert not any(character in (value or "") for value in headers.values() for character in "\r\n\0")
