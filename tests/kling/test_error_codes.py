"""Kling's error codes as OpenAI's errors, row by row."""

from __future__ import annotations

import json

from mitm_ai_proxy.kling import error_codes
from mitm_ai_proxy.kling.error_codes import MEANINGS, is_duplicate
from tests.tables import table


@table("http", [None, 200])
@table(
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


@table(
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


@table(
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


@table(
    ("message", "duplicate"),
    [
        ("External_task_id ai-proxy-x already exists", True),
        ("external_task_id already exist", True),
        ("EXTERNAL TASK ID x already-exists", True),
        ('{"code":1201,"message":"External_task_id x already exists"}', True),
        ("already exists", False),
        ("Element already exists", False),
        ("External_task_id is invalid", False),
        ("", False),
    ],
)
def test_a_duplicate_is_known_by_its_message_whatever_a_gateway_s_code(message: str, duplicate: bool) -> None:
    assert is_duplicate(message) is duplicate


@table(
    ("word", "status", "answered", "code"),
    [
        ("task_failed", 400, 400, "invalid_value"),
        ("task_failed", 500, 500, "server_error"),
        ("task_not_exist", 400, 404, "not_found"),
        ("insufficient_user_quota", 403, 429, "insufficient_quota"),
        ("quota_not_enough", 403, 429, "insufficient_quota"),
        ("anything", 401, 401, "invalid_api_key"),
        ("anything", 200, 502, "bad_gateway"),
    ],
)
def test_a_gateway_s_word_is_an_error_of_openai_s(word: str, status: int, answered: int, code: str) -> None:
    answer = error_codes.answer(status, word, "why", "")
    error = json.loads(answer.body)["error"]

    assert (answer.status, error["code"], error["message"], error["kling_code"]) == (answered, code, "why", word)


@table(
    ("date", "says"),
    [
        ("Sat, 21 Nov 2026 10:00:00 GMT", ""),
        ("Sat, 21 Nov 2026 10:00:05 GMT", ""),
        ("Sat, 21 Nov 2026 09:59:57 -0000", ""),
        ("Sat, 21 Nov 2026 09:59:00 GMT", "60 s ahead of Kling's"),
        ("Sat, 21 Nov 2026 11:00:00 +0100", ""),
        ("Sat, 21 Nov 2026 10:40:00 GMT", "2400 s behind Kling's"),
        *((date, "") for date in ("", "now", "Sat, 99 Nov 2026 10:00:00 GMT", "\udcff", "1", "Sat, 21 Nov 99999")),
    ],
)
def test_the_date_of_an_answer_tells_how_far_the_clocks_differ(date: str, says: str) -> None:
    found = error_codes.clock_difference(date, 1795255200.4)

    assert says in found
    assert bool(found) is bool(says)


@table("request_id", ["a\r\nset-cookie: x=1", "a\n", "\0"])
def test_no_control_character_gets_into_a_header(request_id: str) -> None:
    headers = error_codes.answer(400, 1200, "", request_id).headers

    assert not any(character in (value or "") for value in headers.values() for character in "\r\n\0")
