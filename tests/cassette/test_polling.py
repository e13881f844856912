"""The meaning of answers to polls, and the wait before the next poll."""

from __future__ import annotations

from datetime import UTC, datetime

from mitm_ai_proxy.cassette import listing, polling
from mitm_ai_proxy.cassette.entry import Headers, Response
from mitm_ai_proxy.cassette.polling import Reading
from tests.cassette.exchanges import BUSY, REFUSED, new_answer, new_design_answer, task_answer
from tests.cassette.recorded_jobs import both, done
from tests.tables import table

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


@table(
    ("response", "expected"),
    [
        (task_answer("7", "processing"), Reading.PENDING),
        (done("7"), Reading.ENDED),
        (both("succeeded", "processing"), Reading.PENDING),
        (both("succeeded", "failed"), Reading.ENDED),
        (None, Reading.BUSY),
        (BUSY, Reading.BUSY),
        (new_answer({}, 503), Reading.BUSY),
        (REFUSED, Reading.UNKNOWN),
        (new_answer({"data": []}), Reading.UNKNOWN),
        (new_answer(b"<html>"), Reading.REFUSED),
        (new_answer({}, 401), Reading.REFUSED),
        (new_answer({}, 404), Reading.REFUSED),
    ],
)
def test_an_answer_says_whether_to_go_on(response: Response | None, expected: Reading) -> None:
    assert polling.reading(response, listing.tasks(response)) is expected


@table(
    ("headers", "expected"),
    [
        ((), 7.0),
        ((("Retry-After", "3"),), 3.0),
        ((("Retry-After", " 0 "),), 0.0),
        ((("retry-after-ms", "1500"), ("Retry-After", "9")), 1.5),
        ((("openai-poll-after-ms", "250"),), 0.25),
        ((("Retry-After", "Sat, 21 Nov 2026 12:00:20 GMT"),), 20.0),
        ((("Retry-After", "Sat, 21 Nov 2026 11:00:00 GMT"),), 0.0),
        ((("Retry-After", "soon"),), 7.0),
        ((("Retry-After", "-5"),), 7.0),
        ((("Retry-After", "9" * 5000),), polling.LONGEST_WAIT),
        ((("Retry-After", "Sat, 21 Nov 2096 12:00:20 GMT"),), polling.LONGEST_WAIT),
    ],
)
def test_the_next_read_comes_when_the_provider_says(headers: Headers, expected: float) -> None:
    assert polling.seconds_to_wait(new_answer({}, 200, headers), 7.0, NOW) == expected


def test_without_an_answer_the_interval_counts() -> None:
    assert polling.seconds_to_wait(None, 7.0, NOW) == 7.0


@table(
    ("response", "expected"),
    [
        (task_answer("7", "failed", task_status_msg="Image pixel is invalid"), "Image pixel is invalid"),
        (new_design_answer("7", "failed", message="no\n\x1b[31mway"), "no [31mway"),
        (REFUSED, "Task not found by id/external id: x"),
        (new_answer({"error": {"message": "No such key"}}, 401), "No such key"),
        (new_answer({"error": "No"}, 401), "No"),
        (new_answer({"code": 0, "message": "SUCCEED", "data": {"task_status_msg": ""}}), ""),
        (new_answer({"message": None}), ""),
        (new_answer(b"<html>"), ""),
        (new_answer({"message": "x" * 1000}), "x" * 300),
    ],
)
def test_what_a_provider_says_is_one_short_line(response: Response, expected: str) -> None:
    assert polling.explanation(response) == expected
