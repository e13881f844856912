"""HAR files of browsers and of other tools: what of them is replayed, and what is said of the others."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from mitm_ai_proxy.cassette import har
from mitm_ai_proxy.cassette.bodies import CassetteError
from mitm_ai_proxy.cassette.cassette import Cassette, Mode, Opening
from mitm_ai_proxy.cassette.entry import Entry, Request, Response
from mitm_ai_proxy.cassette.scrubbing import Scrubber
from tests.tables import table

URL = "https://api.openai.com/v1/chat/completions"
PICTURE = bytes(range(256))
STARTED = 1_700_000_000.0

# The shapes in which tools save one call, as their exports have it; the numbers and texts are ours.
CHROME: dict[str, Any] = {
    "_connectionId": "88",
    "_initiator": {"type": "script"},
    "_priority": "High",
    "_resourceType": "fetch",
    "cache": {},
    "connection": "443",
    "request": {
        "method": "POST",
        "url": URL,
        "httpVersion": "h2",
        "headers": [
            {"name": ":authority", "value": "api.openai.com"},
            {"name": ":method", "value": "POST"},
            {"name": "content-type", "value": "application/json"},
        ],
        "queryString": [],
        "cookies": [],
        "headersSize": -1,
        "bodySize": 13,
        "postData": {"mimeType": "application/json", "text": '{"model":"x"}'},
    },
    "response": {
        "status": 200,
        "statusText": "",
        "httpVersion": "h2",
        "headers": [
            {"name": "content-encoding", "value": "br"},
            {"name": "content-length", "value": "9"},
            {"name": "content-type", "value": "application/json"},
            {"name": "set-cookie", "value": "a=1; Path=/\nb=2"},
        ],
        "cookies": [],
        "content": {"size": 11, "mimeType": "application/json", "text": '{"id":"é"}'},
        "redirectURL": "",
        "headersSize": -1,
        "bodySize": -1,
        "_transferSize": 305,
        "_error": None,
        "_fetchedViaServiceWorker": False,
    },
    "serverIPAddress": "127.0.0.1",
    "startedDateTime": "2023-11-14T22:13:20.000Z",
    "time": 812.4,
    "timings": {"blocked": 1.5, "dns": -1, "ssl": -1, "connect": -1, "send": 0.2, "wait": 800, "receive": 10, "_q": 1},
}
REQUEST = Request("POST", URL, (("content-type", "application/json"),), b'{"model":"x"}')
FIELDS = (
    ("content-length", "9"),
    ("content-type", "application/json"),
    ("set-cookie", "a=1; Path=/"),
    ("set-cookie", "b=2"),
)
ANSWER = Response(200, "", FIELDS, '{"id":"é"}'.encode())
CALL = Entry(STARTED, 812.4, REQUEST, ANSWER)


def _changed(changes: dict[str, Any]) -> dict[str, Any]:
    """CHROME with other members, by their keys; `...` takes one away."""
    made = copy.deepcopy(CHROME)
    for keys, value in changes.items():
        *way, last = keys.split(".")
        place = made
        for key in way:
            place = place[key]
        if value is ...:
            del place[last]
        else:
            place[last] = value
    return made


def _write(path: Path, *items: Any, creator: Any = "WebInspector", mark: str = "") -> None:
    log = {"version": "1.2", "creator": {"name": creator, "version": "1"}, "pages": [], "entries": items}
    path.write_text(mark + json.dumps({"log": log}), "utf-8")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of the file."""
    return tmp_path / "saved.har"


def _answered(body: bytes, status: int = 200, reason: str = "") -> Entry:
    return Entry(STARTED, 812.4, REQUEST, Response(status, reason, FIELDS, body))


def _sent(body: bytes) -> Entry:
    return Entry(STARTED, 812.4, Request("POST", URL, REQUEST.headers, body), ANSWER)


CONTENT = "response.content"
DATA = "request.postData"
BASE64 = {"size": 256, "mimeType": "image/png", "text": base64.b64encode(PICTURE).decode(), "encoding": "base64"}
SHAPES: dict[str, tuple[dict[str, Any], Entry]] = {
    "Chrome": ({}, CALL),
    "in base64": ({CONTENT: BASE64}, _answered(PICTURE)),
    "a compressed size, as mitmproxy and Charles say it": ({f"{CONTENT}.compression": 3, "response.bodySize": 8}, CALL),
    "Playwright says no size": ({f"{CONTENT}.size": -1}, CALL),
    "Firefox has no encoding": ({f"{CONTENT}.encoding": "", f"{DATA}.params": []}, CALL),
    "an empty body": ({CONTENT: {"size": 0, "mimeType": "x-unknown"}}, _answered(b"")),
    "an empty text": ({CONTENT: {"size": 0, "mimeType": "", "text": ""}}, _answered(b"")),
    "no content": ({CONTENT: ...}, _answered(b"")),
    "a redirect without a body": ({CONTENT: {"size": 9}, "response.status": 302}, _answered(b"", 302)),
    "a body behind 304": ({"response.status": 304}, _answered(b"", 304)),
    "a body behind 204": ({"response.status": 204}, _answered(b"", 204)),
    "no reason": ({"response.statusText": None}, CALL),
    "no body was sent": ({DATA: ...}, _sent(b"")),
    "null was sent": ({DATA: None}, _sent(b"")),
    "sent in base64": ({DATA: {"mimeType": "a/b", "text": "/w==", "encoding": "base64"}}, _sent(b"\xff")),
    "a form by its fields": (
        {DATA: {"mimeType": "application/x-www-form-urlencoded; charset=utf-8", "params": [
            {"name": "a b", "value": "c&d"}, {"name": "e", "value": "é"}]}},
        _sent(b"a+b=c%26d&e=%C3%A9"),
    ),
    "no type": ({f"{DATA}.mimeType": ..., f"{CONTENT}.mimeType": ...}, CALL),
    "no timings": ({"timings": ..., "cache": ...}, CALL),
    "another zone": ({"startedDateTime": "2023-11-14T23:13:20.000+01:00"}, CALL),
    "our own members, in their own sense": (
        {"_notes": 5, "_started": "x", "_chunks": [[1, 99]], "_repeats": -1, "_answered": False}, CALL),
    "a time that is none": ({"time": -1}, Entry(STARTED, 0, REQUEST, ANSWER)),
    "no time": ({"time": None}, Entry(STARTED, 0, REQUEST, ANSWER)),
}  # fmt: skip


@table(("changes", "expected"), SHAPES.values(), ids=SHAPES)
def test_what_a_tool_saved_is_read(path: Path, changes: dict[str, Any], expected: Entry) -> None:
    _write(path, _changed(changes))
    assert har.read(path) == [expected]


def test_a_byte_order_mark_does_no_harm(path: Path) -> None:
    _write(path, CHROME, mark="\ufeff")
    assert har.read(path) == [CALL]


LEFT_OUT: dict[str, dict[str, Any]] = {
    "blocked": {"response.status": 0},
    "failed, as Playwright says it": {"response.status": -1},
    "a websocket": {"response.status": 101},
    "saved without its body": {CONTENT: {"size": 11, "mimeType": "application/json"}},
    "a form whose files were not saved": {DATA: {"mimeType": "multipart/form-data", "params": [{"name": "a"}]}},
}


@table("changes", LEFT_OUT.values(), ids=LEFT_OUT)
def test_what_is_not_whole_is_left_out_and_a_file_of_nothing_else_says_what_to_do(
    path: Path, changes: dict[str, Any]
) -> None:
    _write(path, _changed(changes), CHROME)
    assert har.read(path) == [CALL]
    _write(path, _changed(changes))
    with pytest.raises(CassetteError) as caught:
        har.read(path)
    assert str(caught.value) == (
        f"{path}: was not written by mitm-ai-proxy (by WebInspector): none of its entries has a whole answer; save it"
        " again, with the bodies (in browsers: with content)"
    )


def test_the_files_that_playwright_writes_beside_it_are_read(path: Path) -> None:
    name = f"{hashlib.sha1(PICTURE).hexdigest()}.png"
    (path.parent / name).write_bytes(PICTURE)
    _write(path, _changed({CONTENT: {"size": -1, "mimeType": "image/png", "_file": name}}), creator="Playwright")
    assert har.read(path) == [_answered(PICTURE)]
    (path.parent / name).write_bytes(b"other")
    with pytest.raises(CassetteError, match="was changed"):
        har.read(path)
    (path.parent / name).unlink()
    (path.parent / name).symlink_to("/etc/passwd")
    with pytest.raises(CassetteError, match="is a link or no file"):
        har.read(path)


@table("name", [".env", "../a", "/etc/passwd", "a/" + "0" * 40, "0" * 40 + "/..", "0" * 39, "config.yaml", "."])
def test_no_other_file_beside_it_is_read(path: Path, name: str) -> None:
    (path.parent / ".env").write_text("a secret")
    (path.parent / "config.yaml").write_text("a secret")
    _write(path, _changed({CONTENT: {"mimeType": "", "_file": name}}))
    with pytest.raises(CassetteError) as caught:
        har.read(path)
    problem = "is not the name of a file beside it, as Playwright gives it"
    assert str(caught.value) == f"{path}: entry 1: response.content._file: {problem}"


@table(
    ("item", "expected"),
    [
        (5, "entry 2: expected `object`, got `int`"),
        ({}, "entry 2: object missing required field `startedDateTime`"),
        (_changed({"request": []}), "entry 2: request: expected `object`, got `array`"),
        (_changed({"request.url": ...}), "entry 2: request: object missing required field `url`"),
        (_changed({"startedDateTime": "today"}), "entry 2: startedDateTime: is not a date and time"),
        (_changed({"response.status": "200"}), "entry 2: response.status: expected `int`, got `str`"),
        (_changed({"response.headers": {}}), "entry 2: response.headers: expected `array`, got `object`"),
        (_changed({"response.headers": [1]}), "entry 2: response.headers[0]: expected `object`, got `int`"),
        (_changed({CONTENT: []}), "entry 2: response.content: expected `object`, got `array`"),
        (_changed({DATA: [1]}), "entry 2: request.postData: expected `object`, got `array`"),
        (_changed({f"{CONTENT}.encoding": "hex"}), "entry 2: response.content.encoding: is not known"),
        (_changed({f"{CONTENT}.encoding": "base64"}), "entry 2: response.content.text: is not base64"),
        (_changed({"response.statusText": "a\r\nb"}), "entry 2: response.statusText: has a line break"),
        (_changed({"response.headers": [{"name": "a", "value": "b\nc"}]}), "entry 2: response.headers[0].value: has a"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_it_is_named_as_in_a_cassette(path: Path, item: Any, expected: str) -> None:
    _write(path, CHROME, item)
    with pytest.raises(CassetteError) as caught:
        har.read(path)
    assert str(caught.value).startswith(f"{path}: {expected}")


@table("creator", ["Firefox", "", None, 5, "x" * 100, "a\nb"])
def test_it_is_replayed_and_never_recorded_into(path: Path, creator: Any) -> None:
    _write(path, CHROME, creator=creator)
    before = path.read_bytes()
    found = Cassette(Opening(path, Mode.NONE), Scrubber(), lambda: 0.0).answer(REQUEST)
    assert isinstance(found, Entry)
    assert found.response == ANSWER
    for mode in (Mode.APPEND, Mode.NEW_EPISODES, Mode.ALL, Mode.REWRITE):
        with pytest.raises(CassetteError) as caught:
            Cassette(Opening(path, mode), Scrubber(), lambda: 0.0)
        named = "by Firefox" if creator == "Firefox" else "log._format is missing"
        problem = f"was not written by mitm-ai-proxy ({named}): it can be replayed, and nothing can be recorded into it"
        assert str(caught.value) == f"{path}: {problem}"
    with pytest.raises(CassetteError):
        har.tidy(path)
    assert path.read_bytes() == before
