"""Replays of recordings: each exchange once, jobs state by state, files in parts, and whole simulated jobs."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from mitm_ai_proxy.cassette import ranges
from mitm_ai_proxy.cassette.entry import Entry, Request, Response, header
from mitm_ai_proxy.cassette.matching import MatchOptions
from mitm_ai_proxy.cassette.playing import Miss, Player
from mitm_ai_proxy.cassette.scrubbing import Scrubber
from mitm_ai_proxy.simulator.settings import API_KEY, SECRET_KEY
from tests.cassette.exchanges import (
    NUMBERS,
    ORIGIN,
    TEXT,
    Exchange,
    Recorder,
    entries_of,
    new_answer,
    new_request,
    played,
    poll,
    signed_in,
    task_answer,
)
from tests.tables import table

FILE = b"0123456789" * 10
DEEP = b'{"data":' + b"[" * 30_000
GARBAGE = [b"", b"null", b"5", b"[]", b'"x"', b"<html>", b"{", b"\xff", b'{"code":0,"message":"\xff"}', DEEP]
GARBAGE += [
    b'{"data":{"task_id":[]}}',
    b'{"data":{"task_id":null}}',
    b'{"id":"","status":1}',
    b'{"data":{"task_id":true}}',
]


class Clock:
    """A clock whose seconds the test sets."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def _record(*exchanges: Exchange, every: float = 5.0) -> list[Entry]:
    return entries_of(exchanges, every)


def _player(entries: Sequence[Entry], pace: float | None = None, clock: Clock | None = None) -> Player:
    return Player(entries, MatchOptions(), Scrubber(), clock or Clock(), pace)


def _data(player: Player, request: Request) -> Any:
    return json.loads(played(player, request).body)["data"]


def _status(player: Player, request: Request) -> str:
    return str(_data(player, request)["task_status"])


def _missed(player: Player, request: Request) -> Miss:
    answer = player.answer(request)
    assert isinstance(answer, Miss), answer
    return answer


CREATE = new_request("POST", TEXT, {"prompt": "a cat"})
SIGNED = "https://v1-kling.klingai.com/{}.mp4?sign=s&expires=1"


def _life(task_id: str, create: Request = CREATE, polls: int = 3) -> list[tuple[Request, Response | None]]:
    states = ["submitted", *["processing"] * polls, "succeed"]
    link = SIGNED.format(task_id)
    return [
        (create, task_answer(task_id, "submitted")),
        *((poll(task_id), task_answer(task_id, state, url=link if state == "succeed" else "")) for state in states),
        (new_request("GET", link), new_answer(FILE, 200, (("Content-Type", "video/mp4"), ("ETag", '"e"')))),
    ]


@table(
    ("location", "link"),
    [
        ("https://cdn.test/b/real?sign=s", "https://cdn.test/b/real?sign=t"),
        ("//cdn.test/b/real", "https://cdn.test/b/real"),
        ("/b/real", "https://cdn.test/b/real"),
        ("../b/real", "https://cdn.test/b/real"),
        ("real", "https://cdn.test/a/real"),
        ("?part=2", "https://cdn.test/a/start?part=2"),
    ],
)
def test_what_a_redirect_leads_to_is_a_file_that_is_read_as_often_as_wanted(location: str, link: str) -> None:
    moved = (new_request("GET", "https://cdn.test/a/start"), new_answer(b"", 302, (("Location", location),)))
    player = _player(_record(moved, (new_request("GET", link), new_answer(FILE, 200, ()))))

    assert [played(player, new_request("GET", link)).body for _ in range(3)] == [FILE] * 3
    assert played(player, new_request("GET", link, None, (("Range", "bytes=0-1"),))).body == FILE[:2]


LINK = "https://cdn.test/a"


@table(
    "body",
    [
        f'data: {{"url": "{LINK}"}}\n\ndata: [DONE]\n\n'.encode(),
        f'{{"url": "{LINK}"}}\n{{}}\n'.encode(),
        f'data: {{"url": "{LINK}"}}\n\n'.replace("/", "\\/").encode(),
    ],
)
def test_what_a_link_in_a_stream_leads_to_is_a_file_too(body: bytes) -> None:
    stream = (new_request("POST", "https://api.test/stream"), new_answer(body, 200, ()))
    player = _player(_record(stream, (new_request("GET", LINK), new_answer(FILE, 200, ()))))

    assert [played(player, new_request("GET", LINK)).body for _ in range(3)] == [FILE] * 3


@table("polls", [3, 400])
@table("recorded", [1, 40])
def test_a_job_ends_however_often_it_is_polled(recorded: int, polls: int) -> None:
    player = _player(_record(*_life("7", polls=recorded)))
    assert _status(player, CREATE) == "submitted"
    seen = [_status(player, poll("7")) for _ in range(polls)]

    assert seen == ["submitted", "processing", *["succeed"] * (polls - 2)]
    assert played(player, new_request("GET", SIGNED.format("7"))).body == FILE
    assert player.unused() == ()
    assert player.misses == ()
    assert sum(player.played) == polls + 2


@table("order", sorted(set(itertools.permutations([0, 0, 0, 0, 1, 1, 1, 1]))))
def test_two_equal_jobs_never_mix(order: Sequence[int]) -> None:
    first, second = _life("71"), _life("72")
    second[3:] = [(poll("72"), task_answer("72", "failed"))]
    player = _player(_record(*(pair for pairs in itertools.zip_longest(first, second) for pair in pairs if pair)))
    ids: dict[int, str] = {}
    seen: dict[int, list[str]] = {0: [], 1: []}
    for who in order:
        if who in ids:
            task = _data(player, poll(ids[who]))
            assert task["task_id"] == ids[who]
            seen[who].append(task["task_status"])
        else:
            ids[who] = _data(player, CREATE)["task_id"]
    states = {"71": ["submitted", "processing", "succeed"], "72": ["submitted", "processing", "failed"]}
    assert sorted(ids.values()) == ["71", "72"]
    assert ids[order[0]] == "71"
    assert {ids[who]: seen[who] for who in seen} == states


def test_creates_may_come_in_another_order_and_with_other_secrets_and_names() -> None:
    def create(prompt: str, name: str, key: str) -> Request:
        body = {"prompt": prompt, "external_task_id": name}
        return new_request("POST", TEXT, body, (("Authorization", f"Bearer {key}"),))

    entries = [
        Scrubber().entry(entry)
        for entry in _record(
            *_life("1", create("a", "x", "recorded-key")), *_life("2", create("b", "y", "recorded-key"))
        )
    ]
    player = _player(entries)
    assert _data(player, create("b", "p", "other"))["task_id"] == "2"
    assert _data(player, create("a", "q", "other"))["task_id"] == "1"
    assert [_status(player, poll("2")) for _ in range(3)] == ["submitted", "processing", "succeed"]
    assert _status(player, poll("1")) == "submitted"
    assert played(player, new_request("GET", SIGNED.format("1").replace("sign=s", "sign=scrubbed"))).body == FILE


@table("by", ["the client's name", "the id"])
def test_a_job_is_found_by_the_client_s_name_of_this_replay(by: str) -> None:
    creates = [new_request("POST", TEXT, {"prompt": "a", "external_task_id": name}) for name in ("x", "y")]
    names = ("x", "y") if by == "the client's name" else ("1", "2")
    entries = _record(
        (creates[0], task_answer("1", "submitted")),
        (creates[1], task_answer("2", "submitted")),
        (poll(names[0]), task_answer("1", "succeed")),
        (poll(names[1]), task_answer("2", "failed")),
    )
    player = _player(entries)
    # The names of the recording, each for the other job.
    for name, task_id in (("y", "1"), ("x", "2")):
        answer = _data(player, new_request("POST", TEXT, {"external_task_id": name, "prompt": "a"}))
        assert answer["task_id"] == task_id
    assert _status(player, poll("y")) == "succeed"
    assert _status(player, poll("x")) == "failed"


@table("parameter", ["task_ids=1", "external_task_ids=x"])
def test_the_new_design_is_polled_by_its_query(parameter: str) -> None:
    url = f"{ORIGIN}/text-to-video/kling-3.0"

    def task(status: str) -> dict[str, Any]:
        return {"id": "1", "status": status, "update_time": next(NUMBERS)}

    entries = _record(
        (
            new_request("POST", url, {"prompt": "a", "options": {"external_task_id": "x"}}),
            new_answer({"data": task("submitted")}),
        ),
        *(
            (new_request("GET", f"{ORIGIN}/tasks?{parameter}"), new_answer({"data": [task(s)]}))
            for s in ("processing",) * 9
        ),
        (new_request("GET", f"{ORIGIN}/tasks?{parameter}"), new_answer({"data": [task("succeeded")]})),
    )
    player = _player(entries)
    played(player, new_request("POST", url, {"prompt": "a", "options": {"external_task_id": "other"}}))
    polled = parameter.replace("=x", "=other")
    seen = [_data(player, new_request("GET", f"{ORIGIN}/tasks?{polled}"))[0]["status"] for _ in range(4)]
    assert seen == ["processing", "succeeded", "succeeded", "succeeded"]
    if parameter == "task_ids=1":
        assert _data(player, new_request("GET", f"{ORIGIN}/tasks?external_task_ids=other"))[0]["id"] == "1"


def test_a_create_whose_answer_was_lost_is_played_so_and_its_job_is_found_by_name() -> None:
    create = new_request("POST", TEXT, {"prompt": "a", "external_task_id": "x"})
    player = _player(_record((create, None), (poll("x"), task_answer("1", "succeed"))))
    lost = player.answer(new_request("POST", TEXT, {"prompt": "a", "external_task_id": "new"}))
    assert isinstance(lost, Entry)
    assert lost.response is None
    assert _status(player, poll("new")) == "succeed"


_OLD, _TAIL = "ai-proxy-yisswckzpdazq6fpsxxqfz77je-0", "-oz6uxg33smewtecrubi3temdygezdqma"


@table("v2", [False, True])
@table(
    ("recorded", "here"),
    [
        (_OLD, _OLD + _TAIL),
        (_OLD + _TAIL, _OLD),
        (_OLD + _TAIL, _OLD.replace("-0", "-1") + _TAIL),
        (_OLD + _TAIL, "ai-proxy-bq2wfnbsgyztenrwgi3dmnrzgq-5b1fc000-ojbxw4z3fgeydqnjq"),
    ],
)
def test_a_name_that_the_addon_chose_is_another_one_in_a_replay(recorded: str, here: str, v2: bool) -> None:
    def create(name: str) -> Request:
        named = {"external_task_id": name}
        if v2:
            return new_request("POST", f"{ORIGIN}/text-to-video/kling-3.0", {"prompt": "a", "options": named})
        return new_request("POST", TEXT, {"prompt": "a", **named})

    def look_up(name: str) -> Request:
        return new_request("GET", f"{ORIGIN}/tasks?external_task_ids={name}") if v2 else poll(name)

    taken = new_answer({"code": 1201, "message": f"External_task_id {recorded} already exists"}, 400)
    task = {"id": "1", "status": "succeeded"}
    found = (
        new_answer({"data": [task]}) if v2 else task_answer("1", "succeed", task_info={"external_task_id": recorded})
    )
    exchanges = [(create(recorded), None), (create(recorded), taken), (look_up(recorded), found)]
    player = _player([Scrubber().entry(entry) for entry in _record(*exchanges)])

    lost = player.answer(create(here))
    assert isinstance(lost, Entry)
    assert lost.response is None
    assert played(player, create(here)).status == 400
    assert _data(player, look_up(here)) == json.loads(found.body)["data"]


def test_errors_among_polls_are_played_once_each() -> None:
    busy, limited = new_answer(b"busy", 503), new_answer({"code": 1303}, 429)
    answers = [
        task_answer("1", "processing"),
        busy,
        busy,
        limited,
        None,
        task_answer("1", "processing"),
        task_answer("1", "succeed"),
        busy,
    ]
    player = _player(_record((CREATE, task_answer("1", "submitted")), *((poll("1"), answer) for answer in answers)))
    played(player, CREATE)
    seen = []
    for _ in range(10):
        answer = player.answer(poll("1"))
        assert isinstance(answer, Entry)
        seen.append(answer.response.status if answer.response else None)
    assert seen == [200, 503, 503, 429, None, 200, 200, 503, 200, 200]
    assert _status(player, poll("1")) == "succeed"


def test_an_answer_that_repeats_is_given_so_often_more_before_the_next() -> None:
    costs = new_request("GET", f"{ORIGIN}/account/costs")
    answers = [
        task_answer("1", "submitted"),
        task_answer("1", "processing"),
        task_answer("1", "processing"),
        new_answer(b"", 503),
    ]
    answers += [task_answer("1", "succeed")]
    repeats = [1, 2, 3, 2, 1, 1]
    entries = [
        replace(entry, repeats=count)
        for entry, count in zip(
            _record((costs, new_answer({})), *((poll("1"), a) for a in answers)), repeats, strict=True
        )
    ]
    player = _player([*entries, *_record((costs, new_answer({}, 503)))])
    seen = []
    for _ in range(14):
        answer = played(player, poll("1"))
        seen.append(json.loads(answer.body)["data"]["task_status"] if answer.body else answer.status)
    assert seen == ["submitted"] * 3 + ["processing"] * 6 + [503] * 2 + ["succeed"] * 3
    assert [played(player, costs).status for _ in range(3)] == [200, 200, 503]
    assert _missed(player, costs).differences == ("recorded 3 times, asked 4 times",)
    assert player.unused() == ()


@table("pace", [1.0, 0.1])
def test_with_a_pace_a_state_is_shown_when_it_is_due(pace: float) -> None:
    clock = Clock()
    answers = [
        task_answer("1", "submitted"),
        new_answer(b"", 503),
        task_answer("1", "processing"),
        task_answer("1", "succeed"),
    ]
    entries = _record((CREATE, task_answer("1", "submitted")), *((poll("1"), a) for a in answers), every=10)
    player = _player(entries, pace, clock)
    clock.time += 99999
    start = clock.time
    played(player, CREATE)
    seen = []
    for seconds in (0, 15, 22, 23, 31, 39.9, 40.1, 9999):
        clock.time = start + seconds * pace
        answer = played(player, poll("1"))
        seen.append(answer.status if answer.status != 200 else json.loads(answer.body)["data"]["task_status"])
    assert seen == ["submitted", "submitted", 503, "submitted", "processing", "processing", "succeed", "succeed"]


def test_a_pace_is_more_than_nothing() -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        _player([], 0.0)


def test_equal_requests_are_answered_in_order_and_each_once() -> None:
    costs = new_request("GET", f"{ORIGIN}/account/costs?start_time=1795212000000&end_time=1795212000001")
    player = _player(_record((costs, new_answer({"n": 1})), (costs, new_answer({"n": 2}))))
    later = new_request("GET", f"{ORIGIN}/account/costs?start_time=1895212000000&end_time=1895212000001")
    assert [json.loads(played(player, later).body)["n"] for _ in range(2)] == [1, 2]

    assert _missed(player, later).differences == ("recorded 2 times, asked 3 times",)
    assert _missed(player, costs).differences == ("recorded 2 times, asked 4 times",)
    assert [miss.nearest for miss in player.misses] == [1, 1]
    assert player.played == (1, 1)


def test_a_create_too_many_is_a_miss() -> None:
    player = _player(_record(*_life("1")))
    played(player, CREATE)
    assert _missed(player, CREATE).differences == ("recorded 1 time, asked 2 times",)


def test_a_miss_names_the_nearest_recording_and_no_secret() -> None:
    player = _player(_record(*_life("1"), (new_request("GET", f"{ORIGIN}/account/costs"), new_answer({}))))
    url = f"{TEXT}?token=abcdefghijk"
    miss = _missed(player, new_request("POST", url, {"prompt": "a dog", "key": "sk-abcdefghijklmnop"}))

    assert (miss.nearest, miss.recorded) == (0, f"POST {TEXT}")
    assert miss.request == f"POST {TEXT}?token=scrubbed"
    assert miss.differences == (
        'body.key: recorded nothing, came "[scrubbed]"',
        'body.prompt: recorded "a cat", came "a dog"',
    )
    assert player.unused() == tuple(range(8))
    assert player.misses == (miss,)


def test_an_empty_recording_misses_all() -> None:
    assert _missed(_player([]), CREATE) == Miss(f"POST {TEXT}", None, "", ("nothing was recorded",))


RANGES: list[tuple[str, int, bytes, str]] = [
    ("bytes=0-9", 206, FILE[:10], "bytes 0-9/100"),
    ("bytes=95-", 206, FILE[95:], "bytes 95-99/100"),
    ("bytes=95-500", 206, FILE[95:], "bytes 95-99/100"),
    ("bytes=-7", 206, FILE[-7:], "bytes 93-99/100"),
    ("bytes=-700", 206, FILE, "bytes 0-99/100"),
    (" Bytes = 1 - 1 ", 206, FILE[1:2], "bytes 1-1/100"),
    ("bytes=100-", 416, b"", "bytes */100"),
    ("bytes=-0", 416, b"", "bytes */100"),
    ("bytes=0-1,5-6", 200, FILE, ""),
    ("bytes=9-1", 200, FILE, ""),
    ("bytes=-", 200, FILE, ""),
    ("bytes=x", 200, FILE, ""),
    ("bytes=\u0661-", 200, FILE, ""),
    (f"bytes={'9' * 9999}-", 200, FILE, ""),
    ("lines=0-1", 200, FILE, ""),
    ("", 200, FILE, ""),
]


@table(("asked", "status", "body", "content_range"), RANGES)
def test_a_recorded_file_is_served_in_parts(asked: str, status: int, body: bytes, content_range: str) -> None:
    player = _player(_record(*_life("7")))
    link = SIGNED.format("7").replace("sign=s", "sign=new")
    for _ in range(2):
        answer = played(player, new_request("GET", link, None, (("Range", asked),)))
        assert (answer.status, answer.body) == (status, body)
        assert header(answer.headers, "content-range") == content_range
        if status != 200:
            assert header(answer.headers, "content-length") == str(len(body))


@table(("condition", "status"), [('"e"', 206), ('"f"', 200), ('W/"e"', 200), ("Sat, 21 Nov 2026", 200)])
def test_a_range_of_another_file_is_not_served(condition: str, status: int) -> None:
    player = _player(_record(*_life("7")))
    headers = (("Range", "bytes=0-1"), ("If-Range", condition))
    assert played(player, new_request("GET", SIGNED.format("7"), None, headers)).status == status


def test_head_is_answered_from_a_recorded_get() -> None:
    player = _player(_record(*_life("7")))
    answer = played(player, new_request("HEAD", SIGNED.format("7")))
    assert (answer.status, answer.body, header(answer.headers, "content-length")) == (200, b"", "100")
    assert isinstance(player.answer(new_request("HEAD", f"{ORIGIN}/account/costs")), Miss)


def test_a_file_recorded_as_a_range_is_whole_when_all_of_it_was_asked_for() -> None:
    link = SIGNED.format("7")
    headers = (("Content-Type", "video/mp4"), ("Content-Range", "bytes 0-99/100"))
    player = _player(
        _record((new_request("GET", link, None, (("Range", "bytes=0-"),)), new_answer(FILE, 206, headers)))
    )
    whole = played(player, new_request("GET", link))
    assert (whole.status, whole.body, header(whole.headers, "content-range")) == (200, FILE, "")
    assert played(player, new_request("GET", link, None, (("Range", "bytes=5-6"),))).body == b"56"


def test_a_part_of_a_file_answers_the_same_range_only() -> None:
    link = SIGNED.format("7")
    headers = (("Content-Type", "video/mp4"), ("Content-Range", "bytes 0-9/100"))
    asked = new_request("GET", link, None, (("Range", "bytes=0-9"),))
    player = _player(_record((asked, new_answer(FILE[:10], 206, headers))))
    assert [played(player, asked).body for _ in range(2)] == [FILE[:10]] * 2
    other = new_request("GET", link, None, (("Range", "bytes=10-19"),))
    assert _missed(player, other).differences == ("headers.range: recorded bytes=0-9, came bytes=10-19",)


def test_a_failed_download_is_played_before_the_good_one() -> None:
    link = new_request("GET", SIGNED.format("7"))
    life = _life("7")
    player = _player(_record(*life[:-1], (link, new_answer(b"", 503)), (link, None), life[-1]))
    seen = []
    for _ in range(4):
        answer = player.answer(link)
        assert isinstance(answer, Entry)
        seen.append(answer.response.status if answer.response else None)
    assert seen == [503, None, 200, 200]


def test_ranges_of_an_empty_file_cannot_be_satisfied() -> None:
    assert ranges.part(Response(200), (("Range", "bytes=0-"),)).status == 416


@table("body", GARBAGE, ids=range(len(GARBAGE)))
def test_hostile_bodies_and_addresses_never_raise(body: bytes) -> None:
    urls = (TEXT, f"{TEXT}/7", "", "http://[", "https://a/\x00?\ud800=1,2", f"{ORIGIN}/tasks")
    # Each address, and each method with an address that is a task's and with one that is none.
    asked = [*zip(urls, itertools.cycle(("GET", "POST"))), *itertools.product((TEXT, ""), ("POST", "HEAD", "X"))]
    exchanges = [(new_request(method, url, body), new_answer(body)) for url, method in asked]
    player = _player(_record(*exchanges))
    for request, _ in exchanges:
        assert isinstance(player.answer(request), Entry)
        player.answer(replace(request, headers=(("Range", "bytes=0-1"),)))


def test_threads_get_every_recording_once() -> None:
    entries = _record(*((CREATE, task_answer(str(index), "submitted")) for index in range(200)))
    player = _player(entries)
    ids: list[str] = []

    def ask() -> None:
        ids.extend(_data(player, CREATE)["task_id"] for _ in range(50))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ids, key=int) == [str(index) for index in range(200)]
    assert player.played == (1,) * 200


@table("design", ["legacy", "new"])
def test_the_whole_life_of_a_simulated_job_is_replayed(design: str) -> None:
    recorder = Recorder()
    is_new = design == "new"
    url = f"{ORIGIN}/text-to-video/kling-3.0" if is_new else TEXT
    named = {"external_task_id": "mine"}
    more = {"options": named} if is_new else {"model_name": "kling-v3", **named}

    def create(name: str) -> Request:
        text = json.dumps({"prompt": "a cat", **more}).replace("mine", name)
        return signed_in(new_request("POST", url, text.encode()), recorder.time, is_new)

    def poll(task_id: str) -> Request:
        address = f"{ORIGIN}/tasks?task_ids={task_id}" if is_new else f"{TEXT}/{task_id}"
        return signed_in(new_request("GET", address), recorder.time, is_new)

    def task_of(response: Response) -> dict[str, Any]:
        data = json.loads(response.body)["data"]
        found: dict[str, Any] = data[0] if isinstance(data, list) else data
        return found

    def link_of(task: dict[str, Any]) -> str:
        made = task["outputs"][0] if is_new else task["task_result"]["videos"][0]
        return str(made["url"])

    key = "status" if is_new else "task_status"
    task = task_of(recorder.ask(create("mine")))
    task_id = task["id" if is_new else "task_id"]
    recorded = []
    for _ in range(60):
        recorder.time += 5
        task = task_of(recorder.ask(poll(task_id)))
        recorded.append(task[key])
    film = recorder.ask(Request("GET", link_of(task)))
    assert film.body[4:8] == b"ftyp"

    scrubber = Scrubber((), (SECRET_KEY, API_KEY))
    entries = [scrubber.entry(entry) for entry in recorder.entries]
    assert API_KEY not in repr(entries)
    assert "eyJ" not in repr(entries)
    player = Player(entries, MatchOptions(), scrubber, Clock())
    recorder.time += 99_999
    assert task_of(played(player, create("other")))["id" if is_new else "task_id"] == task_id
    states = list(dict.fromkeys(recorded))
    assert len(states) >= 2
    assert [task_of(played(player, poll(task_id)))[key] for _ in states] == states
    link = link_of(task_of(played(player, poll(task_id))))
    assert "sign=scrubbed" in link
    assert played(player, Request("GET", link)).body == film.body
    part = played(player, Request("GET", link, (("Range", "bytes=4-7"),)))
    assert (part.status, part.body) == (206, b"ftyp")
    assert player.unused() == ()
    assert player.misses == ()
