"""Replacing recorded ids, names and links by new ones."""

from __future__ import annotations

from mitm_ai_proxy.cassette.entry import Headers, Request, Response
from mitm_ai_proxy.cassette.replacements import Replacements
from tests.cassette.exchanges import ORIGIN, TEXT, new_answer, new_request, poll, task_answer
from tests.cassette.recorded_jobs import CDN, SIGNED, create
from tests.tables import table

PROXY = "http://127.0.0.1:9999"
FORM: Headers = (("Content-Type", "application/x-www-form-urlencoded"),)


OLD_ID, NEW_ID = "831111111111111111", "832222222222222222"
HERE = f"{PROXY}/linked/https/v1-kling.klingai.com/new.mp4?sign=new"
HERE_TOO = f"{PROXY}/linked/https/v1-kling.klingai.com/tail.mp4?sign=new"


def _learned() -> Replacements:
    replacements = Replacements({"mine": "mine-again"})
    old_videos = [{"id": "old-video-1", "url": SIGNED.format("old")}, {"id": "9", "url": SIGNED.format("tail")}]
    new_videos = [{"id": "new-video-1", "url": HERE}, {"id": "8", "url": HERE_TOO}]
    for status in ("submitted", "succeed"):
        replacements.learn(
            task_answer(OLD_ID, status, element_id=160000000001, task_result={"videos": old_videos}),
            task_answer(NEW_ID, status, element_id=160000000002, task_result={"videos": new_videos}),
        )
    location = (("Location", SIGNED.format("redirected")),)
    replacements.learn(new_answer(b"", 302, location), new_answer(b"", 302, (("Location", f"{PROXY}/x"),)))
    return replacements


@table(
    ("recorded", "new", "expected"),
    [
        ("real.mp4", f"{PROXY}/x", f"{PROXY}/x"),
        ("/v/real.mp4?sign=s", f"{PROXY}/x", f"{PROXY}/x"),
        ("//cdn.test/v/real.mp4", "/y", "https://cdn.test/y"),
    ],
)
def test_a_location_is_that_of_the_request_that_was_recorded(recorded: str, new: str, expected: str) -> None:
    replacements = Replacements({})
    before, after = (new_answer(b"", 302, (("Location", location),)) for location in (recorded, new))
    replacements.learn(before, after, "https://cdn.test/v/start")

    assert replacements.link("https://cdn.test/v/real.mp4?sign=other") == expected


BOUNDARY: Headers = (("Content-Type", "multipart/form-data; boundary=b"),)
PARTS = (
    b'--b\r\nContent-Disposition: form-data; name="video"\r\n\r\n%s\r\n'
    b'--b\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nold-video-1\r\n--b--\r\n'
)


@table(
    ("recorded", "sent"),
    [
        (poll(OLD_ID), poll(NEW_ID)),
        (
            new_request("GET", f"{ORIGIN}/tasks?task_ids={OLD_ID},5"),
            new_request("GET", f"{ORIGIN}/tasks?task_ids={NEW_ID}%2C5"),
        ),
        (poll("mine"), poll("mine-again")),
        (new_request("DELETE", f"{TEXT}/{OLD_ID}"), new_request("DELETE", f"{TEXT}/{NEW_ID}")),
        (new_request("GET", SIGNED.format("old")), new_request("GET", HERE)),
        (new_request("GET", f"{CDN}/tail.mp4?sign=another"), new_request("GET", HERE_TOO)),
        (new_request("GET", SIGNED.format("redirected")), new_request("GET", f"{PROXY}/x")),
        (create("a cat", external_task_id="mine"), create("a cat", external_task_id="mine-again")),
        (create("a cat", video_id="old-video-1"), create("a cat", video_id="new-video-1")),
        (create("a cat", tasks=[OLD_ID, "x"]), create("a cat", tasks=[NEW_ID, "x"])),
        (create(f"see {SIGNED.format('old')} twice"), create(f"see {HERE} twice")),
        (
            new_request("POST", TEXT, b'{ "element_id" :160000000001}'),
            new_request("POST", TEXT, b'{ "element_id" :160000000002}'),
        ),
        (Request("POST", TEXT, FORM, b"id=old-video-1&b=%2B"), Request("POST", TEXT, FORM, b"id=new-video-1&b=%2B")),
        (
            Request("POST", TEXT, BOUNDARY, PARTS % b"old-video-1"),
            Request("POST", TEXT, BOUNDARY, PARTS % b"new-video-1"),
        ),
    ],
)
def test_new_ids_and_links_stand_where_the_old_ones_stood(recorded: Request, sent: Request) -> None:
    assert _learned().request(recorded) == sent


@table(
    "request_",
    [
        create("old-video-1 in a sentence"),
        new_request("POST", TEXT, b'{"duration":"9",  "x":"\\u0041", "n":1.50}'),
        new_request("POST", TEXT, b"\xff\xfe"),
        new_request("POST", TEXT, b""),
        new_request("GET", f"{CDN}/unknown.mp4?sign=scrubbed"),
        Request("POST", TEXT, FORM, b"a=%7e&b"),
    ],
)
def test_all_other_bytes_stay(request_: Request) -> None:
    assert _learned().request(request_) == request_


def test_what_was_scrubbed_is_no_id() -> None:
    replacements = Replacements({})
    replacements.learn(new_answer({"user_id": "[scrubbed]"}), new_answer({"user_id": "user-of-today"}))

    assert replacements.request(create("[scrubbed]")) == create("[scrubbed]")


def test_tasks_are_told_apart_by_their_names_and_not_by_their_places() -> None:
    replacements = Replacements({})
    for old, new in (("1111111", "3333333"), ("2222222", "4444444")):
        replacements.learn(task_answer(old, "submitted"), task_answer(new, "submitted"))

    def listed(*tasks: tuple[str, str]) -> Response:
        return new_answer({"data": [{"task_id": name, "task_status": "succeed", "url": link} for name, link in tasks]})

    elsewhere, unknown = ("7777777", f"{CDN}/elsewhere"), ("5555555", f"{CDN}/gone")
    replacements.learn(
        listed(("1111111", f"{CDN}/one"), ("2222222", f"{CDN}/two"), unknown, elsewhere),
        listed(("7777777", f"{PROXY}/7"), ("4444444", f"{PROXY}/4"), ("3333333", f"{PROXY}/3"), ("6666666", PROXY)),
    )
    replacements.learn(listed(unknown), listed(("8888888", f"{PROXY}/8"), ("9999999", f"{PROXY}/9")))

    found = [replacements.link(f"{CDN}/{name}") for name in ("one", "two", "elsewhere", "gone")]
    assert found == [f"{PROXY}/3", f"{PROXY}/4", f"{PROXY}/7", None]
    assert [replacements.request(poll(name)) for name in ("5555555", "7777777")] == [
        poll("5555555"),
        poll("7777777"),
    ]
