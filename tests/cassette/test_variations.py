"""Variations of a recording: the changed answers, the exchanges that are left out, and their replay."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from mitm_ai_proxy.cassette import listing
from mitm_ai_proxy.cassette.entry import MOST_REPEATS, Chunk, Entry, Headers, Request, Response, header
from mitm_ai_proxy.cassette.matching import MatchOptions
from mitm_ai_proxy.cassette.playing import Miss, Player
from mitm_ai_proxy.cassette.recorded_api import UNKNOWN
from mitm_ai_proxy.cassette.scrubbing import Scrubber
from mitm_ai_proxy.cassette.variations import RETRIES, Variation, VariationError, check_code, vary
from mitm_ai_proxy.kling.recorded_api import CODES, RECORDED_API
from mitm_ai_proxy.simulator.settings import API_KEY, SECRET_KEY
from tests.cassette.exchanges import (
    JSON,
    NEW_DESIGN,
    OPENAI,
    ORIGIN,
    TEXT,
    Exchange,
    Recorder,
    entries_of,
    new_answer,
    new_request,
    played,
    signed_in,
)
from tests.tables import table

FILE = b"0123456789" * 10
TRACED: Headers = (*JSON, ("X-Trace", "t"))
MP4: Headers = (("Content-Type", "video/mp4"), ("ETag", '"e"'), ("Content-Length", "100"))
WHY = 'Failure to pass the "risk" control system é'
IDS = ("830000000000000001", "830000000000000002")


def _ask(method: str, url: str, body: Any = None) -> Request:
    return new_request(method, url, body, TRACED[1:])


def _says(body: Any, status: int = 200, headers: Headers = TRACED) -> Response:
    answer = new_answer(body, status, headers)
    return replace(answer, headers=(*headers, ("Content-Length", str(len(answer.body)))))


def _file() -> Response:
    return Response(200, "OK", MP4, FILE)


def _link(task_id: str) -> str:
    return f"https://v1-kling.klingai.com/files/{task_id[-1]}.mp4?sign=s&expires=1"


def _legacy(task_id: str, status: str) -> dict[str, Any]:
    task: dict[str, Any] = {"task_id": task_id, "task_status": status, "task_status_msg": "", "created_at": 1}
    if status == "succeed":
        made = {"id": f"9{task_id}", "url": _link(task_id), "duration": "5.041"}
        task |= {"task_result": {"videos": [made]}, "final_unit_deduction": "3"}
        task["final_balance_deduction"] = {"quota": "1"}
    return {"code": 0, "message": "SUCCEED", "request_id": "r", "data": task}


def _new(task_id: str, status: str) -> dict[str, Any]:
    task: dict[str, Any] = {
        "id": task_id,
        "status": status,
        "message": "",
        "create_time": 1,
        "outputs": [],
        "billing": [],
    }
    if status == "succeeded":
        task["outputs"] = [{"type": "video", "id": f"9{task_id}", "url": _link(task_id)}]
        task["billing"] = [{"charge_type": "unit", "amount": "3"}]
    return {"code": 0, "message": "SUCCEED", "request_id": "r", "data": [task]}


def _openai(task_id: str, status: str) -> dict[str, Any]:
    ended = (
        {"completed_at": 5, "expires_at": 9} if status == "completed" else {"completed_at": None, "expires_at": None}
    )
    return {"id": task_id, "object": "video", "status": status, "progress": 1, "error": None, **ended}


class Form:
    """The requests for a job of a provider, and its answers."""

    def __init__(
        self, says: Callable[[str, str], Any], url: str, poll: str, states: Sequence[str], download: str
    ) -> None:
        self.says = says
        self.url, self._poll, self.states, self._download = url, poll, states, download

    def create(self, task_id: str) -> Exchange:
        answer = self.says(task_id, self.states[0])
        if isinstance(answer.get("data"), list):
            answer["data"] = answer["data"][0]
        return _ask("POST", self.url, {"prompt": f"a cat {task_id[-1]}"}), _says(answer)

    def poll(self, task_id: str) -> Request:
        return _ask("GET", self._poll.format(task_id))

    def download(self, task_id: str) -> Request:
        return Request("GET", self._download.format(task_id) or _link(task_id))

    def life(self, task_id: str, polls: int = 2) -> list[Exchange]:
        first, middle, last = self.states
        states = [first, *[middle] * polls, last, last]
        polled: list[Exchange] = [(self.poll(task_id), _says(self.says(task_id, state))) for state in states]
        return [self.create(task_id), *polled, (self.download(task_id), _file())]


FORMS = {
    "Kling": Form(_legacy, TEXT, f"{TEXT}/{{}}", ("submitted", "processing", "succeed"), ""),
    "Kling's new design": Form(
        _new, NEW_DESIGN, f"{ORIGIN}/tasks?task_ids={{}}", ("submitted", "processing", "succeeded"), ""
    ),
    "OpenAI": Form(_openai, OPENAI, f"{OPENAI}/{{}}", ("queued", "in_progress", "completed"), f"{OPENAI}/{{}}/content"),
}
LEGACY = FORMS["Kling"]
forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def _record(*exchanges: Exchange) -> list[Entry]:
    return entries_of(exchanges, started=1000.0)


def _player(entries: Sequence[Entry], pace: float | None = None, clock: Callable[[], float] = lambda: 0.0) -> Player:
    return Player(entries, MatchOptions(), Scrubber(), clock, pace)


def _task(response: Response) -> dict[str, Any]:
    document = json.loads(response.body)
    data = document.get("data", document)
    task: dict[str, Any] = data[0] if isinstance(data, list) else data
    return task


def _status(response: Response) -> str:
    task = _task(response)
    return str(task.get("task_status") or task["status"])


def _seen(player: Player, request: Request, times: int) -> list[str]:
    return [_status(played(player, request)) for _ in range(times)]


def _vary(entries: Sequence[Entry], variation: Variation) -> list[Entry]:
    return vary(entries, variation, RECORDED_API)


def _problem(entries: Sequence[Entry], variation: Variation) -> str:
    with pytest.raises(VariationError) as caught:
        _vary(entries, variation)
    return str(caught.value)


# A job that fails

FAILED: dict[str, dict[str, Any]] = {
    "Kling": {
        "task_id": IDS[0],
        "task_status": "failed",
        "task_status_msg": WHY,
        "created_at": 1,
        "task_result": {},
    },
    "Kling's new design": {
        "id": IDS[0],
        "status": "failed",
        "message": WHY,
        "create_time": 1,
        "outputs": [],
        "billing": [],
    },
    "OpenAI": {
        "id": IDS[0],
        "object": "video",
        "status": "failed",
        "progress": 1,
        "error": {"code": "server_error", "message": WHY},
        "completed_at": None,
        "expires_at": None,
    },
}


@table("name", FORMS)
def test_a_job_fails_as_the_provider_would_say_it(name: str) -> None:
    form = FORMS[name]
    varied = _vary(_record(*form.life(IDS[0])), Variation(failed=WHY))
    player = _player(varied)
    assert _status(played(player, form.create(IDS[0])[0])) == form.states[0]
    assert _seen(player, form.poll(IDS[0]), 4) == [*form.states[:2], "failed", "failed"]
    last = played(player, form.poll(IDS[0]))
    assert _task(last) == FAILED[name]
    assert last.status == 200
    assert header(last.headers, "content-length") == str(len(last.body))
    assert isinstance(player.answer(form.download(IDS[0])), Miss)
    assert player.unused() == ()


def test_all_bytes_that_a_failure_does_not_change_stay() -> None:
    body = b'{ "code":0,\t"message" : "SUCCEED", "x":1.50, "data":{"task_status" :"succeed","n":1e5,"task_id":"%s" ' % (
        IDS[0].encode()
    )
    end = b', "task_result":{"videos":[{"url":"http:\\/\\/a\\/b"}] },"u":"\\u00e9"  }}'
    answer = replace(_says(body + b',"final_unit_deduction":"3"' + end), chunks=(Chunk(1.0, 5),))
    (_, poll, *_) = _vary(_record(LEGACY.create(IDS[0]), (LEGACY.poll(IDS[0]), answer)), Variation(failed="no"))
    assert poll.response
    # A member is removed with the space before the next one; a new member is added after the last one.
    expected = body.replace(b'"succeed"', b'"failed"') + b',"task_result":{},"u":"\\u00e9","task_status_msg":"no"  }}'
    assert poll.response.body == expected
    assert poll.response.chunks == ()


def test_a_failed_job_costs_nothing() -> None:
    entries = [replace(entry, units=3.0, price=0.42) for entry in _record(*LEGACY.life(IDS[0]))]
    other = replace(_record((_ask("GET", f"{ORIGIN}/account/costs"), _says({})))[0], units=1.0, price=0.1)
    *varied, kept = _vary([*entries, other], Variation(failed="no"))
    assert {(entry.units, entry.price) for entry in varied} == {(None, None)}
    assert kept == other


def test_lists_tell_of_the_failure_and_other_people_s_tasks_stay() -> None:
    mine, theirs = _legacy(IDS[0], "succeed")["data"], _legacy("830000000000000009", "succeed")["data"]
    listed = _ask("GET", f"{TEXT}?pageNum=1"), _says({"code": 0, "data": [theirs, mine]})
    varied = _vary(_record(*LEGACY.life(IDS[0]), listed), Variation(failed=WHY))
    assert varied[-1].response
    assert json.loads(varied[-1].response.body)["data"] == [theirs, FAILED["Kling"]]


def test_a_task_inside_of_a_task_is_part_of_its_result() -> None:
    answer = {"id": "resp_000001", "object": "response", "status": "completed", "error": None}
    answer["output"] = [{"type": "message", "id": "resp_000001", "status": "completed"}]  # type: ignore[assignment]
    exchange = _ask("POST", "https://api.openai.com/v1/responses", {"input": "a"}), _says(answer)
    (varied,) = _vary(_record(exchange), Variation(failed="no"))
    assert varied.response
    assert json.loads(varied.response.body) == {
        **answer, "status": "failed", "output": [], "error": {"code": "server_error", "message": "no"}
    }  # fmt: skip


@forms
def test_a_job_whose_create_was_not_recorded_fails_too(form: Form) -> None:
    entries = _record(*form.life(IDS[0], 1)[1:])
    player = _player(_vary(entries, Variation(failed="no")))
    assert _seen(player, form.poll(IDS[0]), 3) == [*form.states[:2], "failed"]


def test_a_reason_stands_where_there_is_room_for_one() -> None:
    answer = _legacy(IDS[0], "succeed")
    answer["data"] |= {"task_status_msg": None, "message": {"a": 1}}
    (_, varied) = _vary(_record(LEGACY.create(IDS[0]), (LEGACY.poll(IDS[0]), _says(answer))), Variation(failed="no"))
    assert varied.response
    task = _task(varied.response)
    assert (task["task_status_msg"], task["message"]) == ("no", {"a": 1})

    form = FORMS["Kling's new design"]
    answer = _new(IDS[0], "succeeded")
    answer["data"][0]["message"] = None
    (_, varied) = _vary(_record(form.create(IDS[0]), (form.poll(IDS[0]), _says(answer))), Variation(failed="no"))
    assert varied.response
    assert _task(varied.response) == FAILED["Kling's new design"] | {"message": "no"}


def test_a_short_number_names_no_result() -> None:
    second = _ask("POST", TEXT, {"prompt": "a", "duration": 5}), _says(_legacy("6", "submitted"))
    first = _ask("POST", TEXT, {"prompt": "a"}), _says(_legacy("5", "submitted"))
    poll = LEGACY.poll("5"), _says(_legacy("5", "succeed"))
    assert len(_vary(_record(first, poll, second), Variation(failed="no"))) == 3


@table(
    "body", [{"id": "", "status": "x"}, {"id": None, "status": "x"}, {"id": "1", "status": 2}, {"status": "x"}, [], 1]
)
def test_what_has_no_name_or_no_status_is_no_task(body: Any) -> None:
    assert listing.tasks(_says({"data": body})) == []


@table("by", ["video_id", "video_url", "a path"])
@table("variation", [Variation(failed="no"), Variation(error=1303)])
def test_what_needs_the_result_of_a_job_that_has_none_cannot_have_happened(variation: Variation, by: str) -> None:
    url = f"{TEXT}/{IDS[0]}/remix" if by == "a path" else f"{ORIGIN}/v1/videos/video-extend"
    body = {"video_id": f"9{IDS[0]}"} if by == "video_id" else {"video_url": _link(IDS[0]).replace("sign=s", "sign=t")}
    second = _ask("POST", url, {} if by == "a path" else body), _says(_legacy(IDS[1], "submitted"))
    entries = _record(*LEGACY.life(IDS[0]), second, *LEGACY.life(IDS[1])[1:])
    varied = _vary(entries, variation)
    assert not any(IDS[1] in repr(entry) or entry.request == second[0] for entry in varied)
    assert varied


def test_a_redirect_to_the_result_and_what_it_leads_to_are_left_out() -> None:
    form = FORMS["OpenAI"]
    *life, _ = form.life(IDS[0])
    redirect = form.download(IDS[0]), Response(302, "", (("Location", "https://cdn.test/a.mp4?sig=1"),))
    target = Request("GET", "https://cdn.test/a.mp4?sig=2"), _file()
    varied = _vary(_record(*life, redirect, target), Variation(failed="no"))
    assert [entry.request for entry in varied] == [request for request, _ in life]


@table("variation", [Variation(failed=WHY), Variation(error=1102), Variation(slow=3)])
def test_all_jobs_are_varied(variation: Variation) -> None:
    exchanges = [pair for pairs in zip(*map(LEGACY.life, IDS), strict=True) for pair in pairs]
    player = _player(_vary(_record(*exchanges), variation))
    for task_id in IDS:
        answer = played(player, LEGACY.create(task_id)[0])
        if variation.error:
            assert answer.status == 429
            continue
        seen = _seen(player, LEGACY.poll(task_id), 9)
        assert seen[-1] == ("succeed" if variation.slow else "failed")
        assert seen.count("processing") == (4 if variation.slow else 1)


# A create that is refused


@table("code", CODES)
@table("form", [LEGACY, FORMS["Kling's new design"]], ids=["legacy", "new"])
def test_a_create_is_refused_as_kling_does_it(code: int, form: Form) -> None:
    entries = [replace(entry, units=3.0, price=0.42) for entry in _record(*form.life(IDS[0]))]
    varied = _vary(entries, Variation(error=code))
    (entry,) = varied
    assert (entry.units, entry.price) == (None, None)
    player = _player(varied)
    # A client retries.
    for _ in range(1 + RETRIES):
        answer = played(player, form.create(IDS[0])[0])
        status, message = CODES[code]
        assert answer.status == status
        assert json.loads(answer.body) == {"code": code, "message": message, "request_id": "r"}
        assert header(answer.headers, "content-length") == str(len(answer.body))
        assert header(answer.headers, "x-trace") == "t"
    assert isinstance(player.answer(form.poll(IDS[0])), Miss)
    assert isinstance(player.answer(form.create(IDS[0])[0]), Miss)


@table(
    ("code", "status", "word", "retry"),
    [(1303, 429, "concurrency_limit", "15"), (1301, 400, "moderation_blocked", ""), (1304, 403, "ip_not_allowed", "")],
)
def test_a_create_in_openai_s_form_is_refused_in_openai_s_form(code: int, status: int, word: str, retry: str) -> None:
    (entry,) = _vary(_record(*FORMS["OpenAI"].life(IDS[0])), Variation(error=code))
    assert entry.response
    error = json.loads(entry.response.body)["error"]
    assert (entry.response.status, error["code"], error["message"]) == (status, word, CODES[code][1])
    assert header(entry.response.headers, "retry-after") == retry


def test_what_a_create_was_refused_with_before_stays_and_what_came_after_is_left_out() -> None:
    create = _ask("POST", TEXT, {"prompt": "a", "external_task_id": "mine-0"})
    busy = _says({"code": 1302}, 429)
    entries = _record(
        (create, busy),
        (create, None),
        (create, _says({"code": 1201, "message": "External_task_id mine-0 already exists"}, 400)),
        (_ask("GET", f"{TEXT}/mine-0"), _says(_legacy(IDS[0], "succeed"))),
        (_ask("GET", _link(IDS[0])), _file()),
        (_ask("GET", f"{ORIGIN}/tasks?task_ids={IDS[0]}"), _says(_new(IDS[0], "succeeded"))),
        (_ask("GET", TEXT), _says({"data": [_legacy(IDS[0], "succeed")["data"]]})),
    )
    varied = _vary(entries, Variation(error=5000))
    assert [entry.response and entry.response.status for entry in varied] == [429, 500]
    assert varied[0] == entries[0]
    again = _vary(entries, Variation(error=5000))
    assert varied == again


# A result that is gone


@forms
def test_a_result_is_gone_and_all_else_stays(form: Form) -> None:
    entries = _record(*form.life(IDS[0]))
    varied = _vary(entries, Variation(content_gone=True))
    assert varied[:-1] == entries[:-1]
    player = _player(varied)
    is_link = form.url != OPENAI
    for asked in ("GET", "HEAD", "GET") if is_link else ("GET", "GET"):
        answer = played(player, replace(form.download(IDS[0]), method=asked, headers=(("Range", "bytes=0-9"),)))
        assert answer.status == (403 if is_link else 404)
        assert header(answer.headers, "content-type") == ("application/xml" if is_link else "application/json")
        assert header(answer.headers, "etag") == ""
        assert (b"expired" in answer.body) == (asked == "GET")
    played(player, form.create(IDS[0])[0])
    assert _seen(player, form.poll(IDS[0]), 3) == list(form.states)
    assert player.unused() == ()


def test_errors_and_redirects_before_a_download_stay() -> None:
    form = FORMS["OpenAI"]
    *life, _ = form.life(IDS[0])
    redirect = form.download(IDS[0]), Response(302, "", (("Location", "https://cdn.test/a.mp4?sig=1"),))
    target = Request("GET", "https://cdn.test/a.mp4?sig=2")
    entries = _record(*life, redirect, (target, _says(b"busy", 503)), (target, None), (target, _file()))
    varied = _vary(entries, Variation(content_gone=True))
    assert varied[:-1] == entries[:-1]
    assert varied[-1].response
    assert varied[-1].response.status == 403


@table("form", [LEGACY, FORMS["Kling's new design"]], ids=["legacy", "new"])
def test_a_result_that_was_not_downloaded_is_gone_too(form: Form) -> None:
    player = _player(_vary(_record(*form.life(IDS[0])[:-1]), Variation(content_gone=True)))
    assert [played(player, form.download(IDS[0])).status for _ in range(2)] == [403, 403]


def test_a_result_in_parts_is_gone_as_a_whole() -> None:
    *life, (download, _) = LEGACY.life(IDS[0])
    part = Response(206, "", (*MP4, ("Content-Range", "bytes 0-9/100")), FILE[:10])
    exchanges = [(replace(download, headers=(("Range", text),)), part) for text in ("bytes=0-9", "bytes=10-19")]
    player = _player(_vary(_record(*life, *exchanges), Variation(content_gone=True)))
    assert [played(player, download).status for _ in range(2)] == [403, 403]
    assert len(player.unused()) == len(life)


def test_a_head_of_a_result_that_is_gone_has_no_body() -> None:
    *life, (download, film) = LEGACY.life(IDS[0])
    asked = replace(download, method="HEAD"), replace(_file(), body=b"")
    *_, head = _vary(_record(*life, (download, film), asked), Variation(content_gone=True))
    assert head.response
    assert (head.response.status, head.response.body) == (403, b"")


# A job that is slow


@forms
@pytest.mark.parametrize("polls", [1, 25])
def test_a_slow_job_is_polled_more_often(form: Form, polls: int) -> None:
    entries = _record(*form.life(IDS[0]))
    player = _player(_vary(entries, Variation(slow=polls)))
    first, middle, last = form.states
    played(player, form.create(IDS[0])[0])
    assert _seen(player, form.poll(IDS[0]), polls + 4) == [first, *[middle] * (1 + polls), last, last]
    assert played(player, form.download(IDS[0])).body == FILE
    assert player.unused() == ()
    assert player.misses == ()


@forms
def test_a_job_that_was_done_at_once_is_slow(form: Form) -> None:
    create, *_, last, download = form.life(IDS[0])
    player = _player(_vary(_record(create, last, download), Variation(slow=3)))
    played(player, create[0])
    _, middle, end = form.states
    assert _seen(player, last[0], 5) == [*[middle] * 3, end, end]
    unfinished = _player(_vary(_record(create, last), Variation(slow=3))).answer(last[0])
    assert isinstance(unfinished, Entry)
    assert unfinished.response
    assert "klingai.com/files" not in unfinished.response.body.decode()
    assert header(unfinished.response.headers, "content-length") == str(len(unfinished.response.body))


@table("polls", [2, 0])
def test_a_slow_job_takes_longer_where_time_counts(polls: int) -> None:
    life = LEGACY.life(IDS[0], polls)
    entries = _record(*life) if polls else _record(life[0], *life[-2:])
    time = 0.0
    player = _player(_vary(entries, Variation(slow=10)), 1.0, lambda: time)
    played(player, life[0][0])
    # The final poll was 20 seconds after the create, or 5, and the polls are 5 seconds apart.
    end = 20 if polls else 5
    seen = []
    for time in (end, end + 49, end + 51):  # noqa: B007 - the player's clock
        seen += _seen(player, LEGACY.poll(IDS[0]), 1)
    assert seen == ["processing", "processing", "succeed"]


def test_jobs_that_one_answer_tells_of_are_slow_together() -> None:
    def poll(*states: str) -> Exchange:
        tasks = [_new(task_id, state)["data"][0] for task_id, state in zip(IDS, states, strict=True)]
        return _ask("GET", f"{ORIGIN}/tasks?task_ids={','.join(IDS)}"), _says({"code": 0, "data": tasks})

    form = FORMS["Kling's new design"]
    creates = [form.create(task_id) for task_id in IDS]
    varied = _vary(_record(*creates, poll("succeeded", "succeeded")), Variation(slow=2))
    player = _player(varied)
    for create, _ in creates:
        played(player, create)
    seen = [[task["status"] for task in json.loads(played(player, poll("", "")[0]).body)["data"]] for _ in range(3)]
    assert seen == [["processing"] * 2, ["processing"] * 2, ["succeeded"] * 2]


# All of them


def test_what_was_varied_is_noted() -> None:
    entries = [replace(entry, notes=("model: gone",)) for entry in _record(*LEGACY.life(IDS[0]))]
    notes = {
        Variation(failed="x"): "varied: the job fails",
        Variation(error=1303): "varied: the create is refused with 1303",
        Variation(content_gone=True): "varied: the result is gone",
        Variation(slow=1): "varied: the job is slow",
    }
    for variation, note in notes.items():
        found = [entry.notes for entry in _vary(entries, variation)]
        assert ("model: gone", note) in found
        assert set(found) <= {("model: gone", note), ("model: gone",)}


OTHER = (_ask("GET", f"{ORIGIN}/account/costs"), _says({"code": 0}))
UNFINISHED = [LEGACY.create(IDS[0]), (LEGACY.poll(IDS[0]), _says(_legacy(IDS[0], "processing")))]
REFUSED_CREATE = [(LEGACY.create(IDS[0])[0], _says({"code": 1303}, 429))]


@table(
    ("variation", "exchanges", "problem"),
    [
        (Variation(failed="x"), [], "no job in it succeeds"),
        (Variation(failed="x"), UNFINISHED, "no job in it succeeds"),
        (Variation(failed="x"), [OTHER], "no job in it succeeds"),
        (Variation(error=1303), [OTHER], "no create of a job in it is accepted"),
        (Variation(error=1303), REFUSED_CREATE, "no create of a job in it is accepted"),
        (Variation(error=1303), LEGACY.life(IDS[0])[1:], "no create of a job in it is accepted"),
        (Variation(content_gone=True), [], "no job in it has a result"),
        (Variation(content_gone=True), UNFINISHED, "no job in it has a result"),
        (Variation(slow=1), UNFINISHED, "no job in it is seen to end"),
        (Variation(slow=1), [OTHER], "no job in it is seen to end"),
    ],
)
def test_a_variation_of_nothing_is_refused(variation: Variation, exchanges: list[Exchange], problem: str) -> None:
    assert problem in _problem(_record(*exchanges), variation)


@table(
    ("fields", "problem"),
    [
        ({}, "one of failed, error"),
        ({"failed": "x", "slow": 1}, "one of failed, error"),
        ({"slow": 0}, "from|by 1 to"),
        ({"slow": MOST_REPEATS + 1}, "by 1 to"),
    ],
)
def test_a_variation_is_one_thing_that_can_be(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(VariationError, match=problem):
        Variation(**fields)


def test_a_code_that_the_provider_does_not_have_is_refused() -> None:
    assert _problem([], Variation(error=1305)).startswith("Kling has no error code 1305; it has 1000, 1001, 1002, ")
    with pytest.raises(VariationError, match="a provider has no error code 1303; it has none"):
        check_code(1303, UNKNOWN)
    check_code(1303, RECORDED_API)


def test_no_answer_is_repeated_more_often_than_a_cassette_can_say() -> None:
    entries = _vary(_record(*LEGACY.life(IDS[0])), Variation(slow=MOST_REPEATS))
    assert "repeated more than" in _problem(entries, Variation(slow=1))


HOSTILE = [b"", b"null", b"[]", b"\xff", b'{"data":' + b"[" * 30_000, b'{"id":"830000","id":2,"status":"completed"}']
HOSTILE += [
    b'{"id":null,"status":"completed"}',
    b'{"id":"","status":"completed"}',
    b'{"task_id":{},"task_status":[]}',
    b'[[{"task_id":"830000","task_status":"succeed"}],{"id":"830000","status":"completed"}]',
    b'{"data":{"task_id":"830000","task_status":"succeed"},"data":{"task_id":"830000","task_status":"succeed"}}',
    b'{"task_id":"830000","task_status":"succeed","task_result":1,"task_status_msg":{},"task_status":"succeed"}',
]


@table("body", HOSTILE, ids=range(len(HOSTILE)))
@table("fields", [{"failed": "x"}, {"error": 1303}, {"content_gone": True}, {"slow": 2}])
def test_hostile_recordings_are_varied_or_refused(body: bytes, fields: dict[str, Any]) -> None:
    urls = (TEXT, f"{TEXT}/830000", "http://[", f"{ORIGIN}/tasks", "https://a/\x00?\ud800=1")
    exchanges = [
        (Request(method, url, TRACED, body), _says(body)) for url in urls for method in ("POST", "GET", "HEAD")
    ]
    try:
        varied = _vary(_record(*exchanges), Variation(**fields))
    except VariationError:
        return
    player = _player(varied)
    for request, _ in exchanges:
        player.answer(request)


# A recording of the simulator


class _Simulated(NamedTuple):
    """A recorded job of the simulator: its create and its last poll as they were asked, its link, and its entries."""

    create: Request
    poll: Request
    link: str
    film: Response
    scrubber: Scrubber
    entries: list[Entry]


@functools.cache
def _simulated(is_new: bool) -> _Simulated:
    recorder = Recorder()
    create = _ask(
        "POST", NEW_DESIGN if is_new else TEXT, {"prompt": "a", **({} if is_new else {"model_name": "kling-v3"})}
    )

    def ask(request: Request) -> dict[str, Any]:
        return _task(recorder.ask(signed_in(request, recorder.time, is_new)))

    task = ask(create)
    task_id = task["id" if is_new else "task_id"]
    poll = _ask("GET", f"{ORIGIN}/tasks?task_ids={task_id}" if is_new else f"{TEXT}/{task_id}")
    for _ in range(60):
        recorder.time += 5
        task = ask(poll)
    link = (task["outputs"] if is_new else task["task_result"]["videos"])[0]["url"]
    film = recorder.ask(Request("GET", link))
    scrubber = Scrubber((), (SECRET_KEY, API_KEY))
    return _Simulated(create, poll, link, film, scrubber, [scrubber.entry(entry) for entry in recorder.entries])


@table("is_new", [False, True])
@table("way", ["failed", "error", "content_gone", "slow"])
def test_a_recording_of_a_simulated_job_is_varied_and_replays(is_new: bool, way: str) -> None:
    create, poll, link, film, scrubber, entries = _simulated(is_new)
    fields: dict[str, Any] = {"failed": WHY, "error": 1301, "content_gone": True, "slow": 7}
    player = Player(_vary(entries, Variation(**{way: fields[way]})), MatchOptions(), scrubber, lambda: 0.0)

    created = played(player, signed_in(create, 0.0, is_new))
    if way == "error":
        assert (created.status, json.loads(created.body)["code"]) == (400, 1301)
        assert isinstance(player.answer(poll), Miss)
        return
    seen = _seen(player, poll, 12)
    good = "succeeded" if is_new else "succeed"
    assert seen[-1] == ("failed" if way == "failed" else good)
    assert seen.count("processing") == (8 if way == "slow" else 1)
    if way == "failed":
        task = _task(played(player, poll))
        assert task["message" if is_new else "task_status_msg"] == WHY
        assert not task["outputs" if is_new else "task_result"]
        assert "final_unit_deduction" not in task
        assert isinstance(player.answer(Request("GET", link)), Miss)
    else:
        answer = played(player, Request("GET", link))
        assert (answer.status, answer.body == film.body) == ((403, False) if way == "content_gone" else (200, True))
    assert player.unused() == ()
