"""The gaps of a recording, and the requests that complete it."""

from __future__ import annotations

import pytest

from mitm_ai_proxy.cassette.entry import Request, Response
from mitm_ai_proxy.cassette.links_through_proxy import Address
from mitm_ai_proxy.cassette.missing import Pending, find_missing, results
from mitm_ai_proxy.kling.recorded_api import RECORDED_API
from tests.cassette.exchanges import (
    OPENAI,
    ORIGIN,
    REFUSED,
    TEXT,
    Exchange,
    entries_of,
    new_answer,
    new_request,
    poll,
    task_answer,
)
from tests.cassette.recorded_jobs import CDN, FILE, begin, create, done, fetch, life
from tests.tables import table

PROXY = "http://127.0.0.1:9999"


BASED = f"{ORIGIN}/base/text-to-video/kling-3.0"
NAMED = {"options": {"external_task_id": "my own"}}


def _video(status: str) -> Response:
    return new_answer({"id": "video_123", "object": "video", "status": status})


QUEUE = new_answer({"request_id": "r-1", "status": "IN_QUEUE", "status_url": "https://queue.test/requests/r-1/status"})
ELSEWHERE = new_answer({"id": "r-1", "status": "Pending", "polling_url": "https://other.test/r-1"})


@table(
    ("exchanges", "pending", "unknown"),
    [
        pytest.param([], [], 0, id="nothing"),
        pytest.param(life("7"), [], 0, id="whole"),
        pytest.param(begin("7")[:1], [("7", f"{TEXT}/7")], 0, id="never read"),
        pytest.param(begin("7"), [("7", f"{TEXT}/7")], 0, id="read"),
        pytest.param([begin("7")[0], (poll("7"), None)], [("7", f"{TEXT}/7")], 0, id="read in vain"),
        pytest.param(begin("7")[1:], [("7", f"{TEXT}/7")], 0, id="created elsewhere"),
        pytest.param(life("7")[:-1], [], 0, id="files that this client never fetches"),
        pytest.param([*life("7"), *life("8")[:-1]], [("8", f"{TEXT}/8")], 0, id="a file that was not fetched"),
        pytest.param(
            [*life("7"), (create("b"), task_answer("8", "submitted")), (poll("8"), task_answer("8", "failed"))],
            [],
            0,
            id="failed",
        ),
        pytest.param(
            [(create(), task_answer("7", "submitted")), (poll("7"), done("7", "a", "b")), fetch("a")],
            [("7", f"{TEXT}/7")],
            0,
            id="one file of two",
        ),
        pytest.param(
            [*life("7"), (poll("7"), done("7", "the-same-at-another-address"))], [], 0, id="a link that changes"
        ),
        pytest.param(
            [
                (create(), task_answer("7", "submitted")),
                (
                    poll("7"),
                    task_answer("7", "succeed", task_result={"url": f"{CDN}/a", "watermark_url": f"{CDN}/b"}),
                ),
                (new_request("GET", f"{CDN}/a"), FILE),
            ],
            [],
            0,
            id="a kind of file that this client never fetches",
        ),
        pytest.param([(create(), REFUSED)], [], 0, id="refused"),
        pytest.param([(create(external_task_id="mine"), REFUSED)], [], 0, id="refused by name"),
        pytest.param([(create(), None)], [], 1, id="no answer"),
        pytest.param(
            [(new_request("POST", f"{ORIGIN}/account/billing/balance", {}), None)], [], 0, id="no answer, but free"
        ),
        pytest.param([(create(external_task_id="my own"), None)], [("my own", f"{TEXT}/my%20own")], 0, id="by name"),
        pytest.param(
            [(create(external_task_id="mine"), new_answer(b"<html>", 504))],
            [("mine", f"{TEXT}/mine")],
            0,
            id="in doubt",
        ),
        pytest.param(
            [(new_request("POST", BASED, NAMED), None)],
            [("my own", f"{ORIGIN}/base/tasks?external_task_ids=my+own")],
            0,
            id="by name, new design",
        ),
        pytest.param(
            [(create(external_task_id="mine"), task_answer("7", "submitted")), (create(external_task_id="mine"), None)],
            [("7", f"{TEXT}/7")],
            0,
            id="created, and sent again",
        ),
        pytest.param(
            [
                (create(external_task_id="mine"), task_answer("7", "submitted")),
                (create(external_task_id="mine"), REFUSED),
            ],
            [("7", f"{TEXT}/7")],
            0,
            id="created, and refused then",
        ),
        pytest.param(
            [(new_request("POST", BASED, {}), new_answer({"data": {"id": "1 1", "status": "submitted"}}))],
            [("1 1", f"{ORIGIN}/base/tasks?task_ids=1+1")],
            0,
            id="new design",
        ),
        pytest.param(
            [(new_request("POST", OPENAI, {}), _video("queued"))],
            [("video_123", f"{OPENAI}/video_123")],
            0,
            id="OpenAI",
        ),
        pytest.param(
            [(new_request("POST", "https://queue.test/model", {}), QUEUE)],
            [("r-1", "https://queue.test/requests/r-1/status")],
            0,
            id="an answer that says where",
        ),
        pytest.param(
            [(new_request("POST", "https://queue.test/v1", {}), ELSEWHERE)],
            [("r-1", "https://queue.test/v1/r-1")],
            0,
            id="an answer that leads elsewhere",
        ),
    ],
)
def test_what_a_recording_lacks_is_found(
    exchanges: list[Exchange], pending: list[tuple[str, str]], unknown: int
) -> None:
    missing = find_missing(entries_of(exchanges), RECORDED_API)

    assert [(job.name, job.read.url) for job in missing.pending] == pending
    assert {(job.read.method, job.read.body) for job in missing.pending} <= {("GET", b"")}
    assert len(missing.unknown) == unknown
    assert all("entry 1, POST" in line and "cannot be known" in line for line in missing.unknown)


def test_a_read_that_was_never_recorded_has_the_header_fields_of_the_create_but_no_body() -> None:
    create = new_request("POST", TEXT, {}, (("X-Own", "kept"), ("Content-Length", "2")))
    (job,) = find_missing(entries_of([(create, task_answer("7", "submitted"))]), RECORDED_API).pending

    assert job.read.headers == (("X-Own", "kept"),)


def test_a_job_is_in_doubt_only_while_the_provider_has_not_named_it() -> None:
    lost: list[Exchange] = [(create(external_task_id="mine"), None)]

    assert [job.is_doubtful for job in find_missing(entries_of(lost), RECORDED_API).pending] == [True]
    found = [*lost, (poll("mine"), task_answer("7", "processing"))]
    assert [(job.is_doubtful, job.name) for job in find_missing(entries_of(found), RECORDED_API).pending] == [
        (False, "7")
    ]


ADDRESS = Address(PROXY, ORIGIN)


def _results(response: Response, read: Request, name: str) -> list[tuple[str, str, str]]:
    led = Response(response.status, "", response.headers, ADDRESS.lead_here(response.body, lambda _: None))
    task = Pending(name, "", read, False).task(led)
    assert task
    return [(result.member, result.link, result.here) for result in results(led, task, read, ADDRESS)]


def test_results_are_what_the_task_made_and_not_what_it_was_made_from() -> None:
    response = task_answer(
        "7",
        "succeed",
        task_info={"parent_video": {"url": f"{CDN}/parent.mp4"}},
        task_result={"videos": [{"url": f"{CDN}/a.mp4?sign=s", "cover_url": f"{ORIGIN}/b.png?x=1"}]},
    )

    assert _results(response, poll("7"), "7") == [
        ("url", f"{CDN}/a.mp4", f"{PROXY}/linked/https/v1-kling.klingai.com/a.mp4?sign=s"),
        ("cover_url", f"{ORIGIN}/b.png?x=1", f"{PROXY}/b.png?x=1"),
    ]


def test_results_are_those_of_one_task_only() -> None:
    tasks = [{"task_id": name, "task_status": "succeed", "video_url": f"{CDN}/{name}"} for name in ("7", "8")]

    assert [link for _, link, _ in _results(new_answer({"data": tasks}), poll("8"), "8")] == [f"{CDN}/8"]


@table(("status", "expected"), [("completed", ["content"]), ("failed", []), ("queued", [])])
def test_a_video_of_openai_is_below_its_own_address(status: str, expected: list[str]) -> None:
    read = new_request("GET", f"{ORIGIN}/v1/videos/video_123?a=1")

    found = _results(_video(status), read, "video_123")
    assert [member for member, _, _ in found] == expected
    assert {here for _, _, here in found} <= {f"{PROXY}/v1/videos/video_123/content"}
