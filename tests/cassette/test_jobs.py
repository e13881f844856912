"""Jobs of many providers: known by what the create's answer and later requests have in common, and replayed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from mitm_ai_proxy.cassette import har, jobs
from mitm_ai_proxy.cassette.cassette import Cassette, Mode, Opening
from mitm_ai_proxy.cassette.entry import Entry, Headers, Request, Response
from mitm_ai_proxy.cassette.matching import MatchOptions
from mitm_ai_proxy.cassette.playing import Miss, Player
from mitm_ai_proxy.cassette.scrubbing import Scrubber
from tests.cassette.exchanges import entries_of, new_answer, new_request, played
from tests.tables import table

HOST = "https://api.example"
UUID = "0385dc79-5ff8-4d82-bcb6-0123456789ab"
OPERATION = f"projects/p/locations/us-central1/publishers/google/models/veo-3.0/operations/{UUID}"


class Provider(NamedTuple):
    """How a provider's jobs are created and read: the answer to a create, the read, and answers to reads."""

    create: str
    answer: Any
    poll: str
    running: Any
    done: Any
    body: Any = None
    headers: Headers = ()
    is_polled: bool = True


PROVIDERS = {
    "Veo": Provider(
        "POST /v1beta/models/veo-3.0:predictLongRunning",
        {"name": "models/veo-3.0/operations/op123abc"},
        "GET /v1beta/models/veo-3.0/operations/op123abc",
        {"name": "models/veo-3.0/operations/op123abc"},
        {"name": "models/veo-3.0/operations/op123abc", "done": True, "response": {"a": 1}},
    ),
    "Vertex": Provider(
        "POST /v1/projects/p/locations/us-central1/publishers/google/models/veo-3.0:predictLongRunning",
        {"name": OPERATION},
        "POST /v1/projects/p/locations/us-central1/publishers/google/models/veo-3.0:fetchPredictOperation",
        {"name": OPERATION},
        {"name": OPERATION, "done": True, "response": {"videos": []}},
        {"operationName": OPERATION},
    ),
    "DashScope": Provider(
        "POST /api/v1/services/aigc/video-generation/video-synthesis",
        {"output": {"task_id": UUID, "task_status": "PENDING"}, "request_id": "rq-1"},
        f"GET /api/v1/tasks/{UUID}",
        {"output": {"task_id": UUID, "task_status": "RUNNING"}, "request_id": "rq-2"},
        {"output": {"task_id": UUID, "task_status": "SUCCEEDED"}, "request_id": "rq-3"},
    ),
    "Luma": Provider(
        "POST /dream-machine/v1/generations",
        {"id": "a1b2c3d4", "state": "queued"},
        "GET /dream-machine/v1/generations/a1b2c3d4",
        {"id": "a1b2c3d4", "state": "dreaming"},
        {"id": "a1b2c3d4", "state": "completed"},
    ),
    "PixVerse": Provider(
        "POST /openapi/v2/video/text/generate",
        {"ErrCode": 0, "Resp": {"video_id": 318633193}},
        "GET /openapi/v2/video/result/318633193",
        {"Resp": {"id": 318633193, "status": 5}},
        {"Resp": {"id": 318633193, "status": 1}},
    ),
    "Leonardo": Provider(
        "POST /api/rest/v1/generations",
        {"sdGenerationJob": {"generationId": UUID, "apiCreditCost": 11}},
        f"GET /api/rest/v1/generations/{UUID}",
        {"generations_by_pk": {"status": "PENDING", "id": UUID}},
        {"generations_by_pk": {"status": "COMPLETE", "id": UUID}},
    ),
    "ComfyUI": Provider(
        "POST /prompt",
        {"prompt_id": UUID, "number": 3, "node_errors": {}},
        f"GET /history/{UUID}",
        {},
        {UUID: {"outputs": {}, "status": {"completed": True}}},
        is_polled=False,
    ),
    "Runway": Provider(
        "POST /v1/image_to_video",
        {"id": UUID},
        f"GET /v1/tasks/{UUID}",
        {"id": UUID, "status": "RUNNING"},
        {"id": UUID, "status": "SUCCEEDED"},
    ),
    "Volcengine": Provider(
        "POST /api/v3/contents/generations/tasks",
        {"id": "cgt-2026-abcde"},
        "GET /api/v3/contents/generations/tasks/cgt-2026-abcde",
        {"id": "cgt-2026-abcde", "status": "running"},
        {"id": "cgt-2026-abcde", "status": "succeeded"},
    ),
    "MiniMax": Provider(
        "POST /v1/video_generation",
        {"task_id": "176843862716480", "base_resp": {"status_code": 0}},
        "GET /v1/query/video_generation?task_id=176843862716480",
        {"status": "Processing"},
        {"status": "Success", "file_id": "1"},
    ),
    "Black Forest Labs": Provider(
        "POST /v1/flux-2-pro",
        {"id": UUID, "polling_url": f"{HOST}/v1/get_result?id={UUID}"},
        f"GET /v1/get_result?id={UUID}",
        {"id": UUID, "status": "Pending"},
        {"id": UUID, "status": "Ready"},
    ),
    "only an address": Provider(
        "POST /v1/things",
        {"poll": f"{HOST}/v1/things/{UUID}?version=2"},
        f"GET /v1/things/{UUID}?version=2",
        {"state": "running"},
        {"state": "done"},
    ),
    "Azure": Provider(
        "POST /formrecognizer/models/read:analyze",
        b"",
        f"GET /formrecognizer/results/{UUID}",
        {"status": "running"},
        {"status": "succeeded"},
        headers=(("Operation-Location", f"{HOST}/formrecognizer/results/{UUID}?api-version=1"),),
    ),
    "Jimeng": Provider(
        "POST /?Action=CVSync2AsyncSubmitTask&Version=2022-08-31",
        {"code": 10000, "data": {"task_id": "7392616336519610409"}},
        "POST /?Action=CVSync2AsyncGetResult&Version=2022-08-31",
        {"code": 10000, "data": {"status": "generating"}},
        {"code": 10000, "data": {"status": "done"}},
        {"req_key": "jimeng", "task_id": "7392616336519610409"},
    ),
    "a PUT": Provider(
        "PUT /batches",
        {"job": "x"},
        "GET /batches/x",
        {"a": 1},
        {"a": 2},
        is_polled=False,
    ),
    "ids under another name": Provider(
        "POST /generate",
        [{"handle": "gen_0a1b2c"}],
        "GET /status?which=gen_0a1b2c,other",
        {"state": "running"},
        {"state": "done"},
    ),
    "a read by POST": Provider(
        "POST /render",
        {"ticket": "tk-12345"},
        "POST /getStatus",
        {"status": "running"},
        {"status": "done"},
        {"ticket": "tk-12345"},
    ),
}


def _request(line: str, body: Any = None) -> Request:
    method, target = line.split(" ")
    return new_request(method, f"{HOST}{target}", body)


def _recording(provider: Provider) -> tuple[Request, Request, list[Entry]]:
    """The create, the read, and a recording with three reads."""
    create, poll = _request(provider.create, {"prompt": "a cat"}), _request(provider.poll, provider.body)
    answers = [new_answer(answer) for answer in (provider.running, provider.running, provider.done)]
    first = new_answer(provider.answer, 200, provider.headers)
    return create, poll, entries_of([(create, first), *((poll, answer) for answer in answers)])


def _player(entries: list[Entry]) -> Player:
    return Player(entries, MatchOptions(), Scrubber(), lambda: 0.0)


@table("name", PROVIDERS)
def test_a_job_that_is_polled_more_often_than_recorded_shows_its_last_answer(name: str) -> None:
    provider = PROVIDERS[name]
    create, poll, entries = _recording(provider)
    player = _player(entries)
    played(player, create)
    seen = [json.loads(played(player, poll).body) for _ in range(6)]
    merged = seen.count(provider.running)
    assert seen == [provider.running] * merged + [provider.done] * (6 - merged)
    assert merged == (1 if provider.is_polled else 2)
    assert player.unused() == ()


@table("name", PROVIDERS)
def test_what_was_not_asked_is_still_refused(name: str) -> None:
    create, poll, entries = _recording(PROVIDERS[name])
    player = _player(entries)
    played(player, create)
    played(player, poll)
    parts = urlsplit(poll.url)
    other = (
        poll.url.replace(UUID, "another-0123") if UUID in poll.url else f"{HOST}{parts.path}/another-0123?{parts.query}"
    )
    for request in (create, Request("GET", other, poll.headers), Request("DELETE", poll.url, poll.headers)):
        assert isinstance(player.answer(request), Miss), request


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_new_recording_of_a_create_replaces_the_reads_of_its_job(name: str, tmp_path: Path) -> None:
    create, _, entries = _recording(PROVIDERS[name])
    path, other = tmp_path / "a.har", Entry(0.0, 1.0, _request("GET /v1/models"), new_answer({"a": 1}))
    har.write(path, [*entries, other])
    cassette = Cassette(Opening(path, Mode.ALL), Scrubber(), lambda: 0.0)
    cassette.record(Entry(9.0, 1.0, create, new_answer({"id": "other"})))
    cassette.settle(True)
    assert [entry.request.url for entry in har.read(path)] == [other.request.url, create.url]


def _created(*exchanges: tuple[str, Any, Any]) -> list[tuple[str, ...]]:
    requests = [_request(line, body) for line, body, _ in exchanges]
    answers: list[Response | None] = [new_answer(answer) if answer is not None else None for _, _, answer in exchanges]
    return [made.names for made in jobs.created(requests, answers)]


@table(
    ("create", "body", "answer", "read"),
    [
        pytest.param("POST /a", {"model": "gpt-4"}, {"model": "gpt-4"}, "GET /models/gpt-4", id="asked for"),
        pytest.param("POST /a/run-0001", None, {"run_id": "run-0001"}, "GET /a/run-0001", id="in its own path"),
        pytest.param("POST /a?b=run-0001", None, {"run_id": "run-0001"}, "GET /a/run-0001", id="in its own query"),
        pytest.param("POST /a", {}, {"status": "queued-1"}, "GET /a?status=queued-1", id="status"),
        pytest.param("POST /a", {}, {"created_at": "2026-01-01"}, "GET /a?since=2026-01-01", id="time"),
        pytest.param("POST /a", {}, {"object": "video"}, "GET /v1/video/1", id="word"),
        pytest.param("POST /a", {}, {"page": "2"}, "GET /a?page=2", id="short"),
        pytest.param("POST /a", {}, {"is_id": True}, "GET /a?b=true", id="boolean"),
        pytest.param("POST /a", {}, {"job_id": ""}, "GET /a?b=", id="empty"),
        pytest.param("GET /a", None, {"job_id": "job-0001"}, "GET /a/job-0001", id="read"),
        pytest.param("DELETE /a", None, {"job_id": "job-0001"}, "GET /a/job-0001", id="delete"),
        pytest.param("POST /a", {}, {"job_id": "job-0001"}, "GET /a/job-0002", id="another"),
        pytest.param("POST /a", {}, {"job_id": "job-0001"}, "DELETE /a/job-0001", id="no read"),
        pytest.param("POST /a", {}, {"job_id": "job-0001"}, "POST /a/job-0001/extend", id="another create"),
        pytest.param("POST /a", {}, None, "GET /a/job-0001", id="no answer"),
    ],
)
def test_what_only_looks_like_an_id_names_no_job(create: str, body: Any, answer: Any, read: str) -> None:
    assert _created((create, body, answer), (read, None, {}))[0] == ()


def test_an_id_that_was_asked_for_before_is_of_no_job() -> None:
    exchange: tuple[str, Any, Any] = ("POST /threads", {}, {"id": "thread_01", "assistant_id": "asst_01"})
    read: tuple[str, Any, Any] = ("GET /assistants/asst_01", None, {})
    assert _created(read, exchange, read) == [(), (), ()]
    assert _created(exchange, read) == [("asst_01",), ()]


def test_an_error_creates_nothing() -> None:
    requests = [_request("POST /a", {}), _request("GET /a/job-0001")]
    answer = new_answer({"job_id": "job-0001"}, 400)
    assert jobs.created(requests, [answer, None]) == [jobs.NOTHING] * 2


def test_the_id_by_the_shape_of_the_answer_is_the_first_name() -> None:
    answer: Any = {"id": "zz-99999", "status": "queued", "request_id": "rq-00001"}
    reads: list[tuple[str, Any, Any]] = [("GET /a/zz-99999", None, {}), ("GET /a/rq-00001", None, {})]
    assert _created(("POST /a", {}, answer), *reads)[0] == ("zz-99999",)
    answer = {"task_id": "zz-99999", "a": {"handle": "aa-00001"}}
    reads = [("GET /a/zz-99999", None, {}), ("GET /a/aa-00001", None, {})]
    assert _created(("POST /a", {}, answer), *reads)[0] == ("zz-99999", "aa-00001")


def test_reads_of_what_is_no_job_are_replayed_one_by_one() -> None:
    create, read = _request("POST /threads", {}), _request("GET /threads/thread_01/messages")
    say = _request("POST /threads/thread_01/messages", {"text": "b"})
    one, two = new_answer({"data": ["a"]}), new_answer({"data": ["a", "b"]})
    entries = entries_of(
        [
            (create, new_answer({"id": "thread_01"})),
            (read, one),
            (read, one),
            (say, new_answer({"id": "m"})),
            (read, two),
        ]
    )
    player = _player(entries)
    played(player, create)
    assert [played(player, read).body for _ in range(2)] == [one.body] * 2
    played(player, say)
    assert [played(player, read).body for _ in range(2)] == [two.body] * 2
