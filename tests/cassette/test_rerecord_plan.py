"""What is sent again of a recording, and what one lacks: order, repetitions, new ids and links, and when to wait."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from mitm_ai_proxy.cassette import listing, rerecord_plan
from mitm_ai_proxy.cassette.entry import Entry, Headers, Request, Response
from mitm_ai_proxy.cassette.links_through_proxy import Address
from mitm_ai_proxy.cassette.rerecord_plan import Pending, PlanError, Reading, Replacements, Step

ORIGIN = "https://api-singapore.klingai.com"
TEXT = f"{ORIGIN}/v1/videos/text2video"
PROXY = "http://127.0.0.1:9999"
CDN = "https://v1-kling.klingai.com"
SIGNED = f"{CDN}/{{}}.mp4?sign=scrubbed&expires=scrubbed"
JSON: Headers = (("Content-Type", "application/json"),)
FORM: Headers = (("Content-Type", "application/x-www-form-urlencoded"),)
NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
REFUSED = Response(400, "", JSON, b'{"code":1201,"message":"Task not found by id/external id: x"}')
BUSY = Response(429, "", JSON, b'{"code":1303}')
FILE = Response(200, "", (("Content-Type", "video/mp4"),), b"film")
NUMBERS = itertools.count()
Exchange = tuple[Request, Response | None]


def _ask(method: str, url: str, body: Any = None, headers: Headers = ()) -> Request:
    encoded = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request(method, url, (*JSON, *headers), encoded)


def _says(body: Any, status: int = 200, headers: Headers = JSON) -> Response:
    return Response(status, "", headers, body if isinstance(body, bytes) else json.dumps(body).encode())


def _task(task_id: str, status: str, **more: Any) -> Response:
    data = {"task_id": task_id, "task_status": status, "updated_at": next(NUMBERS), **more}
    return _says({"code": 0, "request_id": f"request-{next(NUMBERS)}", "data": data})


def _done(task_id: str, *names: str) -> Response:
    videos = [{"id": f"video-{name}", "url": SIGNED.format(name)} for name in names or (task_id,)]
    return _task(task_id, "succeed", task_result={"videos": videos})


def _create(prompt: str = "a cat", **more: Any) -> Request:
    return _ask("POST", TEXT, {"prompt": prompt, **more})


def _poll(name: str) -> Request:
    return _ask("GET", f"{TEXT}/{name}")


def _fetch(name: str, headers: Headers = ()) -> Exchange:
    return _ask("GET", SIGNED.format(name), None, headers), FILE


def _begin(name: str, create: Request | None = None) -> list[Exchange]:
    return [(create or _create(), _task(name, "submitted")), (_poll(name), _task(name, "processing"))]


def _life(name: str, create: Request | None = None) -> list[Exchange]:
    return [*_begin(name, create), (_poll(name), _done(name)), _fetch(name)]


def _entries(exchanges: list[Exchange]) -> list[Entry]:
    return [Entry(5.0 * index, 10.0, request, response) for index, (request, response) in enumerate(exchanges)]


def _steps(exchanges: list[Exchange]) -> list[str]:
    words = {(True, ""): "poll", (False, ""): "once"}
    steps = rerecord_plan.refreshing(_entries(exchanges))
    return [f"{step.index} {words.get((step.is_polled, step.link), 'link')}" for step in steps]


def _new(task_id: str, status: str, **more: Any) -> Response:
    task = {"id": task_id, "status": status, "message": "", "external_id": "", "billing": [], **more}
    return _says({"code": 0, "data": [task]})


BOTH = _ask("GET", f"{ORIGIN}/tasks?task_ids=1111111,2222222")
TWO = [_new("1111111", "submitted"), _new("2222222", "submitted")]


def _both(*statuses: str) -> Response:
    tasks = [
        {"id": task_id, "status": status} for task_id, status in zip(("1111111", "2222222"), statuses, strict=True)
    ]
    return _says({"code": 0, "data": tasks})


@pytest.mark.parametrize(
    ("exchanges", "expected"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param(_life("7"), ["0 once", "2 poll", "3 link"], id="a job"),
        pytest.param(
            [*_begin("7"), *_life("8", _create("a dog")), (_poll("7"), _done("7")), _fetch("7")],
            ["0 once", "2 once", "4 poll", "5 link", "6 poll", "7 link"],
            id="jobs in one another",
        ),
        pytest.param(_begin("7"), ["0 once", "1 poll"], id="a job without end"),
        pytest.param(
            [*_life("7"), (_poll("7"), _done("7")), _fetch("7")], ["0 once", "2 poll", "3 link"], id="read at its end"
        ),
        pytest.param(
            [*_life("7"), _fetch("7", (("Range", "bytes=0-1"),)), _fetch("7", (("Range", "bytes=0-1"),))],
            ["0 once", "2 poll", "3 link", "4 link"],
            id="parts of a file",
        ),
        pytest.param([(_create(), BUSY), *_life("7")], ["1 once", "3 poll", "4 link"], id="a create after a 429"),
        pytest.param([(_create(), None), *_life("7")], ["1 once", "3 poll", "4 link"], id="a create sent again"),
        pytest.param([(_create(), None)], ["0 once"], id="a create without answer"),
        pytest.param([(_create(), REFUSED), (_create(), REFUSED)], ["0 once", "1 once"], id="creates that are refused"),
        pytest.param(
            [(_create(external_task_id="mine"), None), (_poll("mine"), REFUSED), *_begin("7")],
            ["1 once", "2 once", "3 poll"],
            id="a lookup in vain",
        ),
        pytest.param(
            [(_create(external_task_id="mine"), None), (_poll("mine"), _done("7")), _fetch("7")],
            ["0 once", "1 poll", "2 link"],
            id="a lookup",
        ),
        pytest.param(
            [
                (_ask("POST", f"{ORIGIN}/text-to-video/kling-3.0", {"prompt": "a"}), TWO[0]),
                (_ask("POST", f"{ORIGIN}/text-to-video/kling-3.0", {"prompt": "b"}), TWO[1]),
                (BOTH, _both("processing", "succeeded")),
                (BOTH, _both("succeeded", "failed")),
            ],
            ["0 once", "1 once", "3 poll"],
            id="two jobs in one read",
        ),
        pytest.param(
            [(_ask("GET", f"{TEXT}?pageNum=1"), _says({"data": []})), (_ask("GET", f"{ORIGIN}/account/costs"), BUSY)],
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
    (_, read, _) = rerecord_plan.refreshing(_entries([*_life("7"), (_poll("7"), _task("7", "succeed"))]))

    assert read.answer
    assert json.loads(read.answer.body)["data"]["task_status"] == "succeed"
    assert len(read.recorded) == 3


@pytest.mark.parametrize(
    ("request_", "place"),
    [
        (_create("[scrubbed]"), "its body"),
        (_ask("POST", TEXT, b'{"prompt":"\\u005bscrubbed]"}'), "its body"),
        (_create("a cat", image="https://a.test/x.png?sign=scrubbed"), "its body"),
        (_ask("POST", TEXT, b'{"image":"https:\\/\\/a.test\\/x.png?a=1\\u0026sign=scrubbed"}'), "its body"),
        (_ask("POST", f"{TEXT}?key=scrubbed", {}), "its URL"),
        (_ask("GET", SIGNED.format("of-another-run")), "its URL"),
        (Request("POST", TEXT, FORM, b"a=1&token=scrubbed"), "its body"),
        (_ask("POST", TEXT, b"\xff [scrubbed]"), "its body"),
        (_create("a scrubbed floor"), ""),
        (_create("a cat", image=SIGNED.format("7")), ""),
        (_ask("GET", SIGNED.format("7").replace("scrubbed", "other")), ""),
        (Request("POST", TEXT, (*JSON, ("Authorization", "Bearer [scrubbed]")), b"{}"), ""),
    ],
)
def test_what_was_scrubbed_cannot_be_sent_and_a_link_of_this_recording_can(request_: Request, place: str) -> None:
    entries = _entries([*_life("7"), (request_, _says({}))])
    if not place:
        assert rerecord_plan.refreshing(entries)
        return
    with pytest.raises(PlanError) as raised:
        rerecord_plan.refreshing(entries)
    assert str(raised.value).startswith(f"entry 5, {request_.method} ")
    assert str(raised.value).endswith(f": {place} lacks what was scrubbed")


def test_each_request_that_cannot_be_sent_is_named() -> None:
    with pytest.raises(PlanError) as raised:
        rerecord_plan.refreshing(_entries([(_create("[scrubbed]"), None), (_create("[scrubbed] b"), None)]))

    assert [line.partition(",")[0] for line in str(raised.value).split("\n")] == ["entry 1", "entry 2"]


def test_the_names_that_a_provider_takes_once_only_are_found() -> None:
    new_design = _ask("POST", f"{ORIGIN}/text-to-video/kling-3.0", {"options": {"external_task_id": "b"}})
    creates = [_create(external_task_id="a"), new_design, _create("c", external_task_id="a"), _create("d")]

    assert rerecord_plan.external_names(rerecord_plan.refreshing(_entries([(create, BUSY) for create in creates]))) == [
        "a",
        "b",
    ]


OLD_ID, NEW_ID = "831111111111111111", "832222222222222222"
HERE = f"{PROXY}/linked/https/v1-kling.klingai.com/new.mp4?sign=new"
HERE_TOO = f"{PROXY}/linked/https/v1-kling.klingai.com/tail.mp4?sign=new"


def _learned() -> Replacements:
    replacements = Replacements({"mine": "mine-again"})
    old_videos = [{"id": "old-video-1", "url": SIGNED.format("old")}, {"id": "9", "url": SIGNED.format("tail")}]
    new_videos = [{"id": "new-video-1", "url": HERE}, {"id": "8", "url": HERE_TOO}]
    for status in ("submitted", "succeed"):
        replacements.learn(
            _task(OLD_ID, status, element_id=160000000001, task_result={"videos": old_videos}),
            _task(NEW_ID, status, element_id=160000000002, task_result={"videos": new_videos}),
        )
    location = (("Location", SIGNED.format("redirected")),)
    replacements.learn(_says(b"", 302, location), _says(b"", 302, (("Location", f"{PROXY}/x"),)))
    return replacements


BOUNDARY: Headers = (("Content-Type", "multipart/form-data; boundary=b"),)
PARTS = (
    b'--b\r\nContent-Disposition: form-data; name="video"\r\n\r\n%s\r\n'
    b'--b\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nold-video-1\r\n--b--\r\n'
)


@pytest.mark.parametrize(
    ("recorded", "sent"),
    [
        (_poll(OLD_ID), _poll(NEW_ID)),
        (_ask("GET", f"{ORIGIN}/tasks?task_ids={OLD_ID},5"), _ask("GET", f"{ORIGIN}/tasks?task_ids={NEW_ID}%2C5")),
        (_poll("mine"), _poll("mine-again")),
        (_ask("DELETE", f"{TEXT}/{OLD_ID}"), _ask("DELETE", f"{TEXT}/{NEW_ID}")),
        (_ask("GET", SIGNED.format("old")), _ask("GET", HERE)),
        (_ask("GET", f"{CDN}/tail.mp4?sign=another"), _ask("GET", HERE_TOO)),
        (_ask("GET", SIGNED.format("redirected")), _ask("GET", f"{PROXY}/x")),
        (_create("a cat", external_task_id="mine"), _create("a cat", external_task_id="mine-again")),
        (_create("a cat", video_id="old-video-1"), _create("a cat", video_id="new-video-1")),
        (_create("a cat", tasks=[OLD_ID, "x"]), _create("a cat", tasks=[NEW_ID, "x"])),
        (_create(f"see {SIGNED.format('old')} twice"), _create(f"see {HERE} twice")),
        (_ask("POST", TEXT, b'{ "element_id" :160000000001}'), _ask("POST", TEXT, b'{ "element_id" :160000000002}')),
        (Request("POST", TEXT, FORM, b"id=old-video-1&b=%2B"), Request("POST", TEXT, FORM, b"id=new-video-1&b=%2B")),
        (
            Request("POST", TEXT, BOUNDARY, PARTS % b"old-video-1"),
            Request("POST", TEXT, BOUNDARY, PARTS % b"new-video-1"),
        ),
    ],
)
def test_new_ids_and_links_stand_where_the_old_ones_stood(recorded: Request, sent: Request) -> None:
    assert _learned().request(recorded) == sent


@pytest.mark.parametrize(
    "request_",
    [
        _create("old-video-1 in a sentence"),
        _ask("POST", TEXT, b'{"duration":"9",  "x":"\\u0041", "n":1.50}'),
        _ask("POST", TEXT, b"\xff\xfe"),
        _ask("POST", TEXT, b""),
        _ask("GET", f"{CDN}/unknown.mp4?sign=scrubbed"),
        Request("POST", TEXT, FORM, b"a=%7e&b"),
    ],
)
def test_all_other_bytes_stay(request_: Request) -> None:
    assert _learned().request(request_) == request_


def test_what_was_scrubbed_is_no_id() -> None:
    replacements = Replacements({})
    replacements.learn(_says({"user_id": "[scrubbed]"}), _says({"user_id": "user-of-today"}))

    assert replacements.request(_create("[scrubbed]")) == _create("[scrubbed]")


def test_tasks_are_told_apart_by_their_names_and_not_by_their_places() -> None:
    replacements = Replacements({})
    for old, new in (("1111111", "3333333"), ("2222222", "4444444")):
        replacements.learn(_task(old, "submitted"), _task(new, "submitted"))

    def listed(*tasks: tuple[str, str]) -> Response:
        return _says({"data": [{"task_id": name, "task_status": "succeed", "url": link} for name, link in tasks]})

    elsewhere, unknown = ("7777777", f"{CDN}/elsewhere"), ("5555555", f"{CDN}/gone")
    replacements.learn(
        listed(("1111111", f"{CDN}/one"), ("2222222", f"{CDN}/two"), unknown, elsewhere),
        listed(("7777777", f"{PROXY}/7"), ("4444444", f"{PROXY}/4"), ("3333333", f"{PROXY}/3"), ("6666666", PROXY)),
    )
    replacements.learn(listed(unknown), listed(("8888888", f"{PROXY}/8"), ("9999999", f"{PROXY}/9")))

    found = [replacements.link(f"{CDN}/{name}") for name in ("one", "two", "elsewhere", "gone")]
    assert found == [f"{PROXY}/3", f"{PROXY}/4", f"{PROXY}/7", None]
    assert [replacements.request(_poll(name)) for name in ("5555555", "7777777")] == [
        _poll("5555555"),
        _poll("7777777"),
    ]


@pytest.mark.parametrize(
    ("recorded", "new", "is_polled", "expected"),
    [
        (None, REFUSED, False, ""),
        (REFUSED, REFUSED, False, ""),
        (REFUSED, _task("7", "submitted"), False, ""),
        (_task("7", "submitted"), _task("8", "submitted"), False, ""),
        (_task("7", "submitted"), BUSY, False, "answered with 429, in the recording with 200"),
        (_task("7", "submitted"), _says(b"<html>"), False, "answered without a task, in the recording with one"),
        (_done("7"), _done("8"), True, ""),
        (_task("7", "failed"), _task("8", "failed"), True, ""),
        (_done("7"), _task("8", "failed"), True, "ended as failed, in the recording as succeed"),
        (_task("7", "processing"), _task("8", "failed"), True, ""),
        (_both("succeeded", "failed"), _both("failed", "succeeded"), True, ""),
        (_both("succeeded", "failed"), _new("1111111", "succeeded"), False, ""),
    ],
)
def test_an_answer_that_cannot_stand_for_the_recorded_one_is_told(
    recorded: Response | None, new: Response, is_polled: bool, expected: str
) -> None:
    step = Step(0, _poll("7"), (recorded,) if recorded else (), is_polled=is_polled)
    assert rerecord_plan.unlike(step, new) == expected


OPENAI = "https://api.openai.com/v1/videos"
NEW_DESIGN = f"{ORIGIN}/base/text-to-video/kling-3.0"
NAMED = {"options": {"external_task_id": "my own"}}


def _video(status: str) -> Response:
    return _says({"id": "video_123", "object": "video", "status": status})


QUEUE = _says({"request_id": "r-1", "status": "IN_QUEUE", "status_url": "https://queue.test/requests/r-1/status"})
ELSEWHERE = _says({"id": "r-1", "status": "Pending", "polling_url": "https://other.test/r-1"})
IMAGES = [("7", "7a", "7b"), ("8", "8a", "8b")]


@pytest.mark.parametrize(
    ("exchanges", "pending", "unknown"),
    [
        pytest.param([], [], 0, id="nothing"),
        pytest.param(_life("7"), [], 0, id="whole"),
        pytest.param(_begin("7")[:1], [("7", f"{TEXT}/7")], 0, id="never read"),
        pytest.param(_begin("7"), [("7", f"{TEXT}/7")], 0, id="read"),
        pytest.param([_begin("7")[0], (_poll("7"), None)], [("7", f"{TEXT}/7")], 0, id="read in vain"),
        pytest.param(_begin("7")[1:], [("7", f"{TEXT}/7")], 0, id="created elsewhere"),
        pytest.param(_life("7")[:-1], [], 0, id="files that this client never fetches"),
        pytest.param([*_life("7"), *_life("8")[:-1]], [("8", f"{TEXT}/8")], 0, id="a file that was not fetched"),
        pytest.param(
            [*_life("7"), (_create("b"), _task("8", "submitted")), (_poll("8"), _task("8", "failed"))],
            [],
            0,
            id="failed",
        ),
        pytest.param(
            [(_create(), _task("7", "submitted")), (_poll("7"), _done("7", "a", "b")), _fetch("a")],
            [("7", f"{TEXT}/7")],
            0,
            id="one file of two",
        ),
        pytest.param(
            [*_life("7"), (_poll("7"), _done("7", "the-same-at-another-address"))], [], 0, id="a link that changes"
        ),
        pytest.param(
            [
                (_create(), _task("7", "submitted")),
                (
                    _poll("7"),
                    _task("7", "succeed", task_result={"url": f"{CDN}/a", "watermark_url": f"{CDN}/b"}),
                ),
                (_ask("GET", f"{CDN}/a"), FILE),
            ],
            [],
            0,
            id="a kind of file that this client never fetches",
        ),
        pytest.param([(_create(), REFUSED)], [], 0, id="refused"),
        pytest.param([(_create(external_task_id="mine"), REFUSED)], [], 0, id="refused by name"),
        pytest.param([(_create(), None)], [], 1, id="no answer"),
        pytest.param([(_ask("POST", f"{ORIGIN}/account/billing/balance", {}), None)], [], 0, id="no answer, but free"),
        pytest.param([(_create(external_task_id="my own"), None)], [("my own", f"{TEXT}/my%20own")], 0, id="by name"),
        pytest.param(
            [(_create(external_task_id="mine"), _says(b"<html>", 504))], [("mine", f"{TEXT}/mine")], 0, id="in doubt"
        ),
        pytest.param(
            [(_ask("POST", NEW_DESIGN, NAMED), None)],
            [("my own", f"{ORIGIN}/base/tasks?external_task_ids=my+own")],
            0,
            id="by name, new design",
        ),
        pytest.param(
            [(_create(external_task_id="mine"), _task("7", "submitted")), (_create(external_task_id="mine"), None)],
            [("7", f"{TEXT}/7")],
            0,
            id="created, and sent again",
        ),
        pytest.param(
            [(_create(external_task_id="mine"), _task("7", "submitted")), (_create(external_task_id="mine"), REFUSED)],
            [("7", f"{TEXT}/7")],
            0,
            id="created, and refused then",
        ),
        pytest.param(
            [(_ask("POST", NEW_DESIGN, {}), _says({"data": {"id": "1 1", "status": "submitted"}}))],
            [("1 1", f"{ORIGIN}/base/tasks?task_ids=1+1")],
            0,
            id="new design",
        ),
        pytest.param(
            [(_ask("POST", OPENAI, {}), _video("queued"))], [("video_123", f"{OPENAI}/video_123")], 0, id="OpenAI"
        ),
        pytest.param(
            [(_ask("POST", "https://queue.test/model", {}), QUEUE)],
            [("r-1", "https://queue.test/requests/r-1/status")],
            0,
            id="an answer that says where",
        ),
        pytest.param(
            [(_ask("POST", "https://queue.test/v1", {}), ELSEWHERE)],
            [("r-1", "https://queue.test/v1/r-1")],
            0,
            id="an answer that leads elsewhere",
        ),
    ],
)
def test_what_a_recording_lacks_is_found(
    exchanges: list[Exchange], pending: list[tuple[str, str]], unknown: int
) -> None:
    missing = rerecord_plan.missing(_entries(exchanges))

    assert [(job.name, job.read.url) for job in missing.pending] == pending
    assert {(job.read.method, job.read.body) for job in missing.pending} <= {("GET", b"")}
    assert len(missing.unknown) == unknown
    assert all("entry 1, POST" in line and "cannot be known" in line for line in missing.unknown)


def test_a_read_that_was_never_recorded_has_the_header_fields_of_the_create_but_no_body() -> None:
    create = _ask("POST", TEXT, {}, (("X-Own", "kept"), ("Content-Length", "2")))
    (job,) = rerecord_plan.missing(_entries([(create, _task("7", "submitted"))])).pending

    assert job.read.headers == (("X-Own", "kept"),)


def test_a_job_is_in_doubt_only_while_the_provider_has_not_named_it() -> None:
    lost: list[Exchange] = [(_create(external_task_id="mine"), None)]

    assert [job.is_doubtful for job in rerecord_plan.missing(_entries(lost)).pending] == [True]
    found = [*lost, (_poll("mine"), _task("7", "processing"))]
    assert [(job.is_doubtful, job.name) for job in rerecord_plan.missing(_entries(found)).pending] == [(False, "7")]


ADDRESS = Address(PROXY, ORIGIN)


def _results(response: Response, read: Request, name: str) -> list[tuple[str, str, str]]:
    led = Response(response.status, "", response.headers, ADDRESS.lead_here(response.body, lambda _: None))
    task = Pending(name, "", read, False).task(led)
    assert task
    return [(result.member, result.link, result.here) for result in rerecord_plan.results(led, task, read, ADDRESS)]


def test_results_are_what_the_task_made_and_not_what_it_was_made_from() -> None:
    response = _task(
        "7",
        "succeed",
        task_info={"parent_video": {"url": f"{CDN}/parent.mp4"}},
        task_result={"videos": [{"url": f"{CDN}/a.mp4?sign=s", "cover_url": f"{ORIGIN}/b.png?x=1"}]},
    )

    assert _results(response, _poll("7"), "7") == [
        ("url", f"{CDN}/a.mp4", f"{PROXY}/linked/https/v1-kling.klingai.com/a.mp4?sign=s"),
        ("cover_url", f"{ORIGIN}/b.png?x=1", f"{PROXY}/b.png?x=1"),
    ]


def test_results_are_those_of_one_task_only() -> None:
    tasks = [{"task_id": name, "task_status": "succeed", "video_url": f"{CDN}/{name}"} for name in ("7", "8")]

    assert [link for _, link, _ in _results(_says({"data": tasks}), _poll("8"), "8")] == [f"{CDN}/8"]


@pytest.mark.parametrize(("status", "expected"), [("completed", ["content"]), ("failed", []), ("queued", [])])
def test_a_video_of_openai_is_below_its_own_address(status: str, expected: list[str]) -> None:
    read = _ask("GET", f"{ORIGIN}/v1/videos/video_123?a=1")

    found = _results(_video(status), read, "video_123")
    assert [member for member, _, _ in found] == expected
    assert {here for _, _, here in found} <= {f"{PROXY}/v1/videos/video_123/content"}


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (_task("7", "processing"), Reading.PENDING),
        (_done("7"), Reading.ENDED),
        (_both("succeeded", "processing"), Reading.PENDING),
        (_both("succeeded", "failed"), Reading.ENDED),
        (None, Reading.BUSY),
        (BUSY, Reading.BUSY),
        (_says({}, 503), Reading.BUSY),
        (REFUSED, Reading.UNKNOWN),
        (_says({"data": []}), Reading.UNKNOWN),
        (_says(b"<html>"), Reading.REFUSED),
        (_says({}, 401), Reading.REFUSED),
        (_says({}, 404), Reading.REFUSED),
    ],
)
def test_an_answer_says_whether_to_go_on(response: Response | None, expected: Reading) -> None:
    assert rerecord_plan.reading(response, listing.tasks(response)) is expected


@pytest.mark.parametrize(
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
        ((("Retry-After", "9" * 5000),), rerecord_plan.LONGEST_WAIT),
        ((("Retry-After", "Sat, 21 Nov 2096 12:00:20 GMT"),), rerecord_plan.LONGEST_WAIT),
    ],
)
def test_the_next_read_comes_when_the_provider_says(headers: Headers, expected: float) -> None:
    assert rerecord_plan.seconds_to_wait(_says({}, 200, headers), 7.0, NOW) == expected


def test_without_an_answer_the_interval_counts() -> None:
    assert rerecord_plan.seconds_to_wait(None, 7.0, NOW) == 7.0


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (_task("7", "failed", task_status_msg="Image pixel is invalid"), "Image pixel is invalid"),
        (_new("7", "failed", message="no\n\x1b[31mway"), "no [31mway"),
        (REFUSED, "Task not found by id/external id: x"),
        (_says({"error": {"message": "No such key"}}, 401), "No such key"),
        (_says({"error": "No"}, 401), "No"),
        (_says({"code": 0, "message": "SUCCEED", "data": {"task_status_msg": ""}}), ""),
        (_says({"message": None}), ""),
        (_says(b"<html>"), ""),
        (_says({"message": "x" * 1000}), "x" * 300),
    ],
)
def test_what_a_provider_says_is_one_short_line(response: Response, expected: str) -> None:
    assert rerecord_plan.explanation(response) == expected


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


@pytest.mark.parametrize(("header", "expected"), [("X-Api-Key", True), ("authorization", True), ("X-Trace", False)])
def test_a_recorded_credential_is_noticed(header: str, expected: bool) -> None:
    assert rerecord_plan.has_credential(_ask("GET", TEXT, None, ((header, "[scrubbed]"),))) is expected


def test_a_request_is_shown_without_what_is_nobodys_business() -> None:
    assert (
        rerecord_plan.described(_ask("GET", "https://u:p@A.test:443/a%20b?key=secret#c")) == "GET https://a.test/a%20b"
    )
