"""The plan to send a recording again: which requests, in which order, and the comparison of new answers."""

from __future__ import annotations

import json

import pytest

from mitm_ai_proxy.cassette import rerecord_plan
from mitm_ai_proxy.cassette.entry import Headers, Request, Response
from mitm_ai_proxy.cassette.rerecord_plan import PlanError, Step
from tests.cassette.exchanges import (
    BUSY,
    JSON,
    ORIGIN,
    REFUSED,
    TEXT,
    Exchange,
    entries_of,
    new_answer,
    new_design_answer,
    new_request,
    poll,
    task_answer,
)
from tests.cassette.recorded_jobs import BOTH, SIGNED, TWO, begin, both, create, done, fetch, life
from tests.tables import table

FORM: Headers = (("Content-Type", "application/x-www-form-urlencoded"),)


def _steps(exchanges: list[Exchange]) -> list[str]:
    words = {(True, ""): "poll", (False, ""): "once"}
    steps = rerecord_plan.refreshing(entries_of(exchanges))
    return [f"{step.index} {words.get((step.is_polled, step.link), 'link')}" for step in steps]


@table(
    ("exchanges", "expected"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param(life("7"), ["0 once", "2 poll", "3 link"], id="a job"),
        pytest.param(
            [*begin("7"), *life("8", create("a dog")), (poll("7"), done("7")), fetch("7")],
            ["0 once", "2 once", "4 poll", "5 link", "6 poll", "7 link"],
            id="jobs in one another",
        ),
        pytest.param(
            [
                *life("7"),
                (new_request("GET", SIGNED.format("7")), new_answer(b"", 302, (("Location", "real.mp4"),))),
                (new_request("GET", SIGNED.format("real")), new_answer(b"film", 200, (("Content-Type", "video/mp4"),))),
            ],
            ["0 once", "2 poll", "3 link", "5 link"],
            id="a redirect within a folder",
        ),
        pytest.param(begin("7"), ["0 once", "1 poll"], id="a job without end"),
        pytest.param(
            [*life("7"), (poll("7"), done("7")), fetch("7")], ["0 once", "2 poll", "3 link"], id="read at its end"
        ),
        pytest.param(
            [*life("7"), fetch("7", (("Range", "bytes=0-1"),)), fetch("7", (("Range", "bytes=0-1"),))],
            ["0 once", "2 poll", "3 link", "4 link"],
            id="parts of a file",
        ),
        pytest.param([(create(), BUSY), *life("7")], ["1 once", "3 poll", "4 link"], id="a create after a 429"),
        pytest.param([(create(), None), *life("7")], ["1 once", "3 poll", "4 link"], id="a create sent again"),
        pytest.param([(create(), None)], ["0 once"], id="a create without answer"),
        pytest.param([(create(), REFUSED), (create(), REFUSED)], ["0 once", "1 once"], id="creates that are refused"),
        pytest.param(
            [(create(external_task_id="mine"), None), (poll("mine"), REFUSED), *begin("7")],
            ["1 once", "2 once", "3 poll"],
            id="a lookup in vain",
        ),
        pytest.param(
            [(create(external_task_id="mine"), None), (poll("mine"), done("7")), fetch("7")],
            ["0 once", "1 poll", "2 link"],
            id="a lookup",
        ),
        pytest.param(
            [
                (new_request("POST", f"{ORIGIN}/text-to-video/kling-3.0", {"prompt": "a"}), TWO[0]),
                (new_request("POST", f"{ORIGIN}/text-to-video/kling-3.0", {"prompt": "b"}), TWO[1]),
                (BOTH, both("processing", "succeeded")),
                (BOTH, both("succeeded", "failed")),
            ],
            ["0 once", "1 once", "3 poll"],
            id="two jobs in one read",
        ),
        pytest.param(
            [
                (new_request("GET", f"{TEXT}?pageNum=1"), new_answer({"data": []})),
                (new_request("GET", f"{ORIGIN}/account/costs"), BUSY),
            ],
            ["0 once", "1 once"],
            id="other reads",
        ),
    ],
)
def test_a_refresh_sends_each_request_once_and_follows_each_job_to_its_end(
    exchanges: list[Exchange], expected: list[str]
) -> None:
    assert _steps(exchanges) == expected


def test_the_answer_that_counts_is_the_one_at_the_end_of_a_job() -> None:
    (_, read, _) = rerecord_plan.refreshing(entries_of([*life("7"), (poll("7"), task_answer("7", "succeed"))]))

    assert read.answer
    assert json.loads(read.answer.body)["data"]["task_status"] == "succeed"
    assert len(read.recorded) == 3


@table(
    ("request_", "place"),
    [
        (create("[scrubbed]"), "its body"),
        (new_request("POST", TEXT, b'{"prompt":"\\u005bscrubbed]"}'), "its body"),
        (create("a cat", image="https://a.test/x.png?sign=scrubbed"), "its body"),
        (new_request("POST", TEXT, b'{"image":"https:\\/\\/a.test\\/x.png?a=1\\u0026sign=scrubbed"}'), "its body"),
        (new_request("POST", f"{TEXT}?key=scrubbed", {}), "its URL"),
        (new_request("GET", SIGNED.format("of-another-run")), "its URL"),
        (Request("POST", TEXT, FORM, b"a=1&token=scrubbed"), "its body"),
        (new_request("POST", TEXT, b"\xff [scrubbed]"), "its body"),
        (create("a scrubbed floor"), ""),
        (create("a cat", image=SIGNED.format("7")), ""),
        (new_request("GET", SIGNED.format("7").replace("scrubbed", "other")), ""),
        (Request("POST", TEXT, (*JSON, ("Authorization", "Bearer [scrubbed]")), b"{}"), ""),
    ],
)
def test_what_was_scrubbed_cannot_be_sent_and_a_link_of_this_recording_can(request_: Request, place: str) -> None:
    entries = entries_of([*life("7"), (request_, new_answer({}))])
    if not place:
        assert rerecord_plan.refreshing(entries)
        return
    with pytest.raises(PlanError) as raised:
        rerecord_plan.refreshing(entries)
    assert str(raised.value).startswith(f"entry 5, {request_.method} ")
    assert str(raised.value).endswith(f": {place} lacks what was scrubbed")


def test_each_request_that_cannot_be_sent_is_named() -> None:
    with pytest.raises(PlanError) as raised:
        rerecord_plan.refreshing(entries_of([(create("[scrubbed]"), None), (create("[scrubbed] b"), None)]))

    assert [line.partition(",")[0] for line in str(raised.value).split("\n")] == ["entry 1", "entry 2"]


def test_the_names_that_a_provider_takes_once_only_are_found() -> None:
    new_design = new_request("POST", f"{ORIGIN}/text-to-video/kling-3.0", {"options": {"external_task_id": "b"}})
    creates = [create(external_task_id="a"), new_design, create("c", external_task_id="a"), create("d")]

    assert rerecord_plan.external_names(
        rerecord_plan.refreshing(entries_of([(create, BUSY) for create in creates]))
    ) == [
        "a",
        "b",
    ]


@table(
    ("recorded", "new", "is_polled", "expected"),
    [
        (None, REFUSED, False, ""),
        (REFUSED, REFUSED, False, ""),
        (REFUSED, task_answer("7", "submitted"), False, ""),
        (task_answer("7", "submitted"), task_answer("8", "submitted"), False, ""),
        (task_answer("7", "submitted"), BUSY, False, "answered with 429, in the recording with 200"),
        (
            task_answer("7", "submitted"),
            new_answer(b"<html>"),
            False,
            "answered without a task, in the recording with one",
        ),
        (done("7"), done("8"), True, ""),
        (task_answer("7", "failed"), task_answer("8", "failed"), True, ""),
        (done("7"), task_answer("8", "failed"), True, "ended as failed, in the recording as succeed"),
        (task_answer("7", "processing"), task_answer("8", "failed"), True, ""),
        (both("succeeded", "failed"), both("failed", "succeeded"), True, ""),
        (both("succeeded", "failed"), new_design_answer("1111111", "succeeded"), False, ""),
    ],
)
def test_an_answer_that_cannot_stand_for_the_recorded_one_is_told(
    recorded: Response | None, new: Response, is_polled: bool, expected: str
) -> None:
    step = Step(0, poll("7"), (recorded,) if recorded else (), is_polled=is_polled)
    assert rerecord_plan.unlike(step, new) == expected


def test_no_credential_and_nothing_of_the_connection_is_sent_again() -> None:
    headers = (
        *JSON,
        ("Host", "api"),
        ("Content-Length", "3"),
        ("Accept-Encoding", "identity"),
        ("Authorization", "Bearer [scrubbed]"),
        ("X-Api-Key", "somebody wrote it in here"),
        ("Cookie", "[scrubbed]"),
        ("X-Trace", "a [scrubbed] b"),
        ("Idempotency-Key", "k"),
        ("Sec-Fetch-Site", "cross-site"),
        ("User-Agent", "kling-sdk/1.0"),
        ("X-Trace", "b"),
    )

    assert rerecord_plan.headers_to_send(headers) == (*JSON, ("User-Agent", "kling-sdk/1.0"), ("X-Trace", "b"))


@table(("header", "expected"), [("X-Api-Key", True), ("authorization", True), ("X-Trace", False)])
def test_a_recorded_credential_is_noticed(header: str, expected: bool) -> None:
    assert rerecord_plan.has_credential(new_request("GET", TEXT, None, ((header, "[scrubbed]"),))) is expected
