"""How answers of the gateway are read: whether a create was certainly refused, certainly taken, or neither."""

from __future__ import annotations

import json
from typing import Any

from mitm_ai_proxy.kling.error_codes import MEANINGS
from mitm_ai_proxy.platform import replies
from mitm_ai_proxy.platform.replies import Verdict, read
from tests.tables import table

URL = "http://127.0.0.1:8080/v1/videos/text2video"
TASK = {"task_id": "1", "task_status": "submitted", "created_at": 1_760_000_000_000}


def _kling(code: int, message: str = "Some reason", data: Any = None) -> bytes:
    return json.dumps({"code": code, "message": message, "request_id": "r", "data": data}).encode()


@table(
    ("status", "code", "message", "verdict"),
    [
        (429, 1303, "parallel task over resource pack limit", "full"),
        (429, 1302, "API request too fast", "fast"),
        (429, 1100, "Account exception", "unpaid"),
        (429, 1101, "Account in arrears", "unpaid"),
        (429, 1102, "Account balance not enough", "unpaid"),
        (403, 1103, "No permission", "denied"),
        (429, 1304, "IP", "forbidden"),
        (401, 1000, "Authentication failed", "forbidden"),
        (401, 1001, "empty", "forbidden"),
        (401, 1002, "invalid", "forbidden"),
        (401, 1003, "not valid yet", "clock"),
        (401, 1004, "expired", "clock"),
        (400, 1200, "Missing", "invalid"),
        (400, 1201, "duration value invalid", "invalid"),
        (404, 1202, "method", "invalid"),
        (404, 1203, "model is not supported", "gone"),
        (400, 1300, "strategy", "blocked"),
        (400, 1301, "content", "blocked"),
        (500, 5000, "Internal server error", "doubt"),
        (503, 5001, "unavailable", "doubt"),
        (504, 5002, "time-out", "doubt"),
        (400, 1201, "Task not found by id", "missing"),
        (400, 1201, "External_task_id job_1 already exists", "duplicate"),
        (400, 9999, "external task id already exists", "duplicate"),
        (500, 9999, "new", "doubt"),
        (200, 5000, "Internal server error", "doubt"),
        (200, 9999, "a code that nobody knows", "doubt"),
    ],
)
def test_codes_of_kling_are_told_apart(status: int, code: int, message: str, verdict: str) -> None:
    assert read(status, _kling(code, message), URL).verdict == verdict


def test_every_code_of_the_table_has_a_verdict_that_is_not_by_default() -> None:
    doubtful = {code for code in MEANINGS if read(MEANINGS[code].status, _kling(code), URL).verdict is Verdict.DOUBT}

    assert doubtful == {5000, 5001, 5002}


@table(
    ("status", "body", "verdict"),
    [
        (200, b"", "doubt"),
        (200, b"<html>", "doubt"),
        (200, b"[" * 100_000, "doubt"),
        (200, _kling(0), "doubt"),
        (200, _kling(0, data={}), "doubt"),
        (302, b"", "doubt"),
        (408, b"", "doubt"),
        (429, b"", "fast"),
        (502, b'{"error": {"message": "Kling was not reached."}}', "doubt"),
        (400, b'{"error": {"message": "no such field"}}', "invalid"),
        (413, b"", "invalid"),
    ],
)
def test_what_is_not_klings_is_a_refusal_only_where_its_status_says_so(status: int, body: bytes, verdict: str) -> None:
    assert read(status, body, URL).verdict == verdict


@table("status", [401, 403, 404, 405, 407])
def test_a_gateway_that_is_set_up_wrongly_fails_no_job(status: int) -> None:
    assert read(status, b'{"error": {"message": "No such path."}}', URL).verdict is Verdict.FORBIDDEN


def test_a_task_is_read_with_its_cost() -> None:
    data = {**TASK, "task_status": "succeed", "final_unit_deduction": "3", "task_result": {"videos": []}}

    reply = read(200, _kling(0, data=data), URL)

    assert (reply.verdict, reply.task and reply.task.task_id, reply.cost and reply.cost.units) == ("taken", "1", 3.0)


def test_a_task_that_runs_has_no_cost() -> None:
    assert read(200, _kling(0, data=TASK), URL).cost is None


def test_klings_words_are_kept_and_cut() -> None:
    assert read(400, _kling(1201, "duration is wrong"), URL).message == "duration is wrong"
    assert len(read(400, _kling(1201, "x" * 9999), URL).message) == 500
    assert read(503, b"", URL).message == "status 503"


def test_what_was_not_sent_is_no_doubt_and_what_was_not_answered_is() -> None:
    assert replies.unsent("refused").verdict is Verdict.UNSENT
    assert replies.unanswered("timed out").verdict is Verdict.DOUBT
