"""Cassette files: entries are read as they were written, other programs can read them, and errors in a bad file."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import IO, Any

import pytest
from mitmproxy.http import HTTPFlow
from mitmproxy.io import FlowReader

from mitm_ai_proxy.cassette import bodies, har, har_encoding, sound
from mitm_ai_proxy.cassette.bodies import CassetteError
from mitm_ai_proxy.cassette.entry import MOST_REPEATS, Chunk, Entry, Headers, Request, Response
from mitm_ai_proxy.cassette.har import Writer
from mitm_ai_proxy.cassette.har_encoding import INLINE
from tests.tables import table

URL = "https://api.klingai.com/v1/videos/text2video"
JSON: Headers = (("Content-Type", "application/json; charset=utf-8"),)
MP4 = bytes(range(256)) * 8
SECRET = "s3cr3t-m4rker"

GET = Request("GET", URL)
POST = Request("POST", f"{URL}?a=1&b=&c=%20", (*JSON, ("Accept", "*/*")), b'{"prompt": "a caf\xc3\xa9", "n":1.50}')
OK = Response(200, "OK", JSON, b'{"code":0}\r\n')
NOTED = (("model: gone",), 2.5, 0.35)
CREATE = Entry(1_700_000_000.123, 321.25, POST, OK, *NOTED)
OTHER = Entry(0, 1, GET, None)

# Required by HAR 1.2 (http://www.softwareishard.com/blog/har-12-spec/), each with its type.
HAR_12: dict[str, dict[str, type | tuple[type, ...]]] = {
    "log": {"version": str, "creator": dict, "entries": list},
    "creator": {"name": str, "version": str},
    "entry": {
        "startedDateTime": str,
        "time": (int, float),
        "request": dict,
        "response": dict,
        "cache": dict,
        "timings": dict,
    },
    "request": {
        "method": str,
        "url": str,
        "httpVersion": str,
        "cookies": list,
        "headers": list,
        "queryString": list,
        "headersSize": int,
        "bodySize": int,
    },
    "response": {
        "status": int,
        "statusText": str,
        "httpVersion": str,
        "cookies": list,
        "headers": list,
        "content": dict,
        "redirectURL": str,
        "headersSize": int,
        "bodySize": int,
    },
    "content": {"size": int, "mimeType": str},
    "postData": {"mimeType": str, "text": str},
    "timings": {"send": (int, float), "wait": (int, float), "receive": (int, float)},
    "pair": {"name": str, "value": str},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cassettes" / "test_a[b].har"


def _answer(body: bytes, headers: Headers = JSON) -> Entry:
    return Entry(0, 1, GET, Response(200, "OK", headers, body))


def _sent(body: bytes, headers: Headers = ()) -> Entry:
    return Entry(0, 1, Request("POST", URL, headers, body), None)


def _entries(path: Path) -> list[Any]:
    entries = json.loads(path.read_bytes())["log"]["entries"]
    assert isinstance(entries, list)
    return entries


def _files(path: Path) -> list[str]:
    """All paths below the cassette's folder."""
    return sorted(str(found.relative_to(path.parent)) for found in path.parent.rglob("*") if found.is_file())


def _body_file(path: Path) -> Path:
    (found,) = path.with_name("test_a[b].bodies").iterdir()
    return found


def _problem(path: Path) -> str:
    """The error about the file, without the file's name."""
    with pytest.raises(CassetteError) as caught:
        har.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert SECRET not in message
    return message.removeprefix(f"{path}: ")


HOSTILE: dict[str, Entry] = {
    "nothing in it": Entry(0, 0, Request("", ""), Response(200)),
    "never answered": Entry(0.1, 0, POST, None, ("a", "b"), 0.0),
    "a price and no units": Entry(0, 0, GET, OK, price=0.0),
    "an answer that repeats": Entry(0, 0, GET, OK, repeats=MOST_REPEATS),
    "an answer of the simulator": Entry(0, 0, GET, OK, simulated=True),
    "before 1970": Entry(-1.5, 1e-9, GET, OK),
    "a moment between milliseconds": Entry(1_700_000_000.1234567, 0.1 + 0.2, GET, OK),
    "large numbers": Entry(9e10, 1e300, GET, Response(599), units=1e-300),
    "chunks": Entry(0, 5, GET, Response(200, "", (), b"abc", (Chunk(0.1, 1), Chunk(7.5, 2)))),
    "fields twice, with odd case and nothing in them": _answer(b"", (("A", "1"), ("a", ""), ("A", "1"), ("!", "x"))),
    "latin-1 in a header": _answer(
        b"", (("Content-Disposition", bytes({*range(256)} - {*b"\r\n\0"}).decode("latin-1")),)
    ),
    "half pairs": Entry(0, 0, Request("G\udce9", f"{URL}?\udce9=\udc80", (("\udcff", "\udce9"),)), OK, ("\ud800",)),
    "half pairs in fields that HAR repeats": _answer(b"", (("Location", "/\udce9"), ("Content-Type", "a\udce9"))),
    "a pair in a header": _answer(b"", (("A", "😀"),)),
    "a URL that is none": Entry(0, 0, Request("GET", "http://[::?a=%ff&&=&b#?c"), OK),
    "text": _answer('é😀\u2028\ufeff\ufffd\t\r\n"\\/'.encode()),
    "a byte order mark": _answer(b"\xef\xbb\xbf{}"),
    "white space": _answer(b" \r\n\t"),
    "an escaped half pair": _answer(b'{"a":"\\ud800"}'),
    "an encoded half pair": _answer(b"\xed\xa0\x80"),
    "every byte": _answer(bytes(range(256))),
    "a zero": _answer(b"\0"),
    "control characters in a header": _answer(b"", (("A", "\x01\x1b\x7f\t"),)),
    "a control character": _sent("\x85".encode()),
    "a longest text": _answer(b"a" * INLINE),
    "a text that is longer": _sent(b"a" * (INLINE + 1)),
    "a form with a picture": _sent(
        b"--b\r\n\r\n\xff\xd8\r\n--b--", (("Content-Type", "multipart/form-data; boundary=b"),)
    ),
    "compressed on the wire": _answer(b"{}", (*JSON, ("Content-Encoding", "gzip"))),
}


@table("entry", HOSTILE.values(), ids=HOSTILE)
def test_an_entry_comes_back_as_it_was(path: Path, entry: Entry) -> None:
    har.write(path, [entry, CREATE, entry])
    assert har.read(path) == [entry, CREATE, entry]


@table("seed", range(20))
def test_random_entries_come_back_as_they_were(path: Path, seed: int) -> None:
    random_ = random.Random(seed)

    def text() -> str:
        # Low halves of surrogate pairs only: a high one before a low one would make a pair.
        return "".join(random_.choices('aé\n\r\t\0"\\😀\x7f\u2028\udc80\udcff\uffff[]', k=random_.choice((0, 1, 9))))

    def body() -> bytes:
        kinds = (b"", random_.randbytes(9), text().encode(errors="replace"), random_.randbytes(1) * INLINE * 2)
        return random_.choice(kinds)

    def headers() -> Headers:
        return tuple((text(), text()) for _ in range(random_.randrange(4)))

    def entry() -> Entry:
        chunks = tuple(Chunk(random_.random(), random_.randrange(99)) for _ in range(random_.randrange(3)))
        response = Response(random_.randrange(200, 204), text(), headers(), body(), chunks)
        return Entry(
            random_.uniform(-1e9, 1e10),
            random_.expovariate(1),
            Request(text(), text(), headers(), body()),
            random_.choice((response, None)),
            tuple(text() for _ in range(random_.randrange(3))),
            random_.choice((None, 0.0, random_.random())),
        )

    entries = [sound.cleaned(entry()) for _ in range(20)]
    har.write(path, entries)
    assert har.read(path) == entries


def _calls(function: Callable[[], object]) -> int:
    """The number of function calls within a call, those of C included: a measure of time for any machine."""
    count = 0

    def counted(_: FrameType, event: str, __: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


def test_hundreds_of_exchanges_come_back_and_each_costs_what_one_of_ten_does(path: Path) -> None:
    fields = tuple((f"X-Field-{number}", "a value") for number in range(9)) + JSON
    poll = b'{"code":0,"data":"%s"}' % (b"x" * 600)
    entries = [
        Entry(1.7e9 + number * 1.1, 99.5, Request("GET", f"{URL}/{number}", fields), Response(200, "OK", fields, poll))
        for number in range(300)
    ]
    har.write(path, entries[:10])
    most = 30 * _calls(lambda: har.read(path))
    har.write(path, entries)

    assert har.read(path) == entries
    assert _calls(lambda: har.read(path)) <= most


def test_a_cassette_without_entries_is_one(path: Path) -> None:
    har.write(path, [])
    assert har.read(path) == []
    assert _entries(path) == []


def test_the_file_reads_like_this(path: Path) -> None:
    har.write(path, [Entry(1_700_000_000.123, 8, Request("GET", "http://a/é?b=c", (("A", "é"),)), None, ("a note",))])
    text = path.read_text("utf-8")
    version = json.loads(text)["log"]["creator"]["version"]

    assert text == (
        """{
  "log": {
    "version": "1.2",
    "creator": {
      "name": "mitm-ai-proxy",
      "version": "VERSION"
    },
    "_format": 1,
    "pages": [],
    "entries": [
      {
        "startedDateTime": "2023-11-14T22:13:20.123Z",
        "time": 8,
        "request": {
          "method": "GET",
          "url": "http://a/%C3%A9?b=c",
          "_url": "http://a/é?b=c",
          "httpVersion": "HTTP/1.1",
          "cookies": [],
          "headers": [
            {
              "name": "A",
              "value": "é"
            }
          ],
          "queryString": [
            {
              "name": "b",
              "value": "c"
            }
          ],
          "headersSize": -1,
          "bodySize": 0
        },
        "_answered": false,
        "response": {
          "status": 0,
          "statusText": "",
          "httpVersion": "HTTP/1.1",
          "cookies": [],
          "headers": [],
          "content": {
            "size": 0,
            "mimeType": "",
            "text": ""
          },
          "redirectURL": "",
          "headersSize": -1,
          "bodySize": 0
        },
        "cache": {},
        "timings": {
          "send": 0,
          "wait": 8,
          "receive": 0
        },
        "_notes": [
          "a note"
        ]
      }
    ]
  }
}
""".replace("VERSION", version)
    )


def test_every_field_that_har_requires_is_there(path: Path) -> None:
    har.write(path, [CREATE, *HOSTILE.values()])

    def check(kind: str, found: Any) -> None:
        assert {key: isinstance(found.get(key), types) for key, types in HAR_12[kind].items()} == dict.fromkeys(
            HAR_12[kind], True
        )
        own = {key for key in found if key.startswith("_")}
        optional = {"pages", "postData", "text"}
        assert set(found) - own - optional <= set(HAR_12[kind])

    log = json.loads(path.read_bytes())["log"]
    check("log", log)
    check("creator", log["creator"])
    assert log["version"] == "1.2"
    for entry in log["entries"]:
        request, response = entry["request"], entry["response"]
        check("entry", entry)
        check("request", request)
        check("response", response)
        check("content", response["content"])
        check("timings", entry["timings"])
        assert sum(entry["timings"].values()) == pytest.approx(entry["time"])
        for pair in request["headers"] + request["queryString"] + response["headers"]:
            check("pair", pair)
        if "postData" in request:
            check("postData", request["postData"])


def test_what_har_says_twice_is_right(path: Path) -> None:
    headers = (("content-type", "text/html"), ("LOCATION", "https://cdn.test/a.mp4"))
    har.write(path, [Entry(0, 10, POST, Response(302, "Found", headers, "é".encode(), (Chunk(1, 1), Chunk(4, 1))))])
    (entry,) = _entries(path)

    assert entry["request"]["postData"]["mimeType"] == "application/json; charset=utf-8"
    assert entry["request"]["postData"]["text"] == '{"prompt": "a café", "n":1.50}'
    assert entry["request"]["bodySize"] == len(POST.body)
    assert entry["request"]["queryString"] == [
        {"name": "a", "value": "1"},
        {"name": "b", "value": ""},
        {"name": "c", "value": " "},
    ]
    assert entry["response"]["redirectURL"] == "https://cdn.test/a.mp4"
    assert entry["response"]["content"] == {"size": 2, "mimeType": "text/html", "text": "é"}
    assert entry["timings"] == {"send": 0, "wait": 6, "receive": 4}
    assert entry["_chunks"] == [[1, 1], [4, 1]]


def test_the_size_on_the_wire_of_a_compressed_body_is_not_known(path: Path) -> None:
    har.write(path, [_answer(b"{}", (("Content-Encoding", "gzip"),))])
    response = _entries(path)[0]["response"]

    assert (response["bodySize"], response["content"]["size"]) == (-1, 2)


def test_mitmproxy_reads_a_cassette(path: Path) -> None:
    odd = Request("GET", f"{URL}/1?x=\udce9", (("A", "caf\udce9"), ("B", "é")))
    har.write(path, [CREATE, _answer(MP4, (("Content-Type", "video/mp4"),)), Entry(1, 2, odd, OK), OTHER])

    with path.open("rb") as file:
        flows = list(FlowReader(file).stream())

    found = [
        (flow.request.method, flow.request.url, flow.request.content, flow.response and flow.response.content)
        for flow in flows
        if isinstance(flow, HTTPFlow)
    ]
    assert found[0] == ("POST", POST.url, POST.body, OK.body)
    assert found[1] == ("GET", URL, b"", b"")
    assert found[2] == ("GET", f"{URL}/1?x=%EF%BF%BD", b"", OK.body)
    assert found[3] == ("GET", URL, b"", b"")
    assert flows[0].timestamp_created
    assert isinstance(flows[2], HTTPFlow)
    assert flows[2].request.headers["B"] == "é"


@pytest.mark.parametrize(
    ("kind", "extension"),
    [
        ("video/mp4", "mp4"),
        ("Image/PNG", "png"),
        ("image/jpeg;q=1", "jpg"),
        ("application/json; charset=utf-8", "json"),
        ("application/octet-stream", "bin"),
        ("multipart/form-data; boundary=x", "bin"),
        ("", "bin"),
        ("../../etc/passwd", "bin"),
    ],
)
def test_a_binary_body_is_a_file_named_by_its_hash(path: Path, kind: str, extension: str) -> None:
    har.write(path, [_answer(MP4, (("Content-Type", kind),))])
    name = f"{hashlib.sha256(MP4).hexdigest()[:32]}.{extension}"

    assert _files(path) == [f"test_a[b].bodies/{name}", "test_a[b].har"]
    assert _body_file(path).read_bytes() == MP4
    assert _entries(path)[0]["response"]["content"] == {
        "size": len(MP4),
        "mimeType": kind,
        "text": "",
        "_file": f"test_a[b].bodies/{name}",
    }


def test_a_request_body_is_a_file_too(path: Path) -> None:
    har.write(path, [_sent(MP4, (("Content-Type", "image/png"),))])
    data = _entries(path)[0]["request"]["postData"]

    assert data == {"mimeType": "image/png", "text": "", "_file": f"test_a[b].bodies/{_body_file(path).name}"}


def test_text_up_to_the_limit_stands_inline(path: Path) -> None:
    har.write(path, [_answer(b"a" * INLINE), _answer("é".encode() * (INLINE // 2))])
    assert _files(path) == ["test_a[b].har"]


def test_the_same_body_is_stored_once_whatever_it_is_called(path: Path) -> None:
    har.write(path, [_sent(MP4), _answer(MP4, (("Content-Type", "video/mp4"),)), _answer(MP4)])

    assert _body_file(path).suffix == ".bin"
    assert [len(found.response.body) for found in har.read(path) if found.response] == [len(MP4)] * 2


def test_a_body_file_with_the_right_content_is_not_written_again(path: Path) -> None:
    har.write(path, [_answer(MP4)])
    before = _body_file(path).stat()
    har.write(path, [_answer(MP4), CREATE])
    after = _body_file(path).stat()

    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("content", [b"", MP4[:-1], MP4[::-1]])
def test_a_body_file_with_another_content_is_written_again(path: Path, content: bytes) -> None:
    har.write(path, [_answer(MP4)])
    _body_file(path).write_bytes(content)
    har.write(path, [_answer(MP4)])

    assert har.read(path) == [_answer(MP4)]


def test_a_link_in_the_place_of_a_body_file_is_replaced_and_not_followed(path: Path, tmp_path: Path) -> None:
    har.write(path, [_answer(MP4)])
    other = tmp_path / "other"
    other.write_bytes(b"mine")
    _body_file(path).unlink()
    (path.with_name("test_a[b].bodies") / f"{hashlib.sha256(MP4).hexdigest()[:32]}.json").symlink_to(other)
    har.write(path, [_answer(MP4)])

    assert other.read_bytes() == b"mine"
    assert har.read(path) == [_answer(MP4)]


def test_a_folder_of_bodies_that_is_a_link_is_not_written_to(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    path.with_name("test_a[b].bodies").symlink_to(tmp_path)

    with pytest.raises(CassetteError, match=r"test_a\[b\]\.har: the folder test_a\[b\]\.bodies is a link"):
        har.write(path, [_answer(MP4)])
    assert not path.exists()


def test_a_file_name_as_long_as_it_may_be_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / f"{'x' * 247}.har"
    har.write(path, [CREATE, _answer(MP4)])
    assert har.read(path) == [CREATE, _answer(MP4)]


def test_tidy_removes_what_no_entry_names(path: Path) -> None:
    har.write(path, [_answer(MP4), _sent(MP4[1:])])
    har.write(path, [_sent(MP4[1:])])
    folder = path.with_name("test_a[b].bodies")
    (folder / "README").write_text("mine")
    (folder / ".123-0123abcd.tmp").write_text("of a crash")
    assert len(_files(path)) == 5

    assert len(har.tidy(path)) == 2
    assert har.read(path) == [_sent(MP4[1:])]
    assert {found.name for found in folder.iterdir()} == {"README", f"{hashlib.sha256(MP4[1:]).hexdigest()[:32]}.bin"}
    assert har.tidy(path) == []


def test_tidy_removes_a_folder_that_got_empty(path: Path) -> None:
    har.write(path, [_answer(MP4)])
    har.write(path, [CREATE])
    har.tidy(path)
    assert [found.name for found in path.parent.iterdir()] == ["test_a[b].har"]
    assert har.tidy(path) == []


def test_tidy_removes_nothing_beside_a_cassette_that_it_cannot_read(path: Path) -> None:
    har.write(path, [_answer(MP4)])
    path.write_text("{")

    with pytest.raises(CassetteError):
        har.tidy(path)
    assert _body_file(path).read_bytes() == MP4


def test_a_writer_adds_entries_one_by_one(path: Path) -> None:
    entries = [CREATE, *HOSTILE.values()]
    writer = Writer(path, entries[:2])
    assert not path.exists()
    for count, entry in enumerate(entries[2:], 3):
        writer.add(entry)
        assert har.read(path) == entries[:count]
    added = path.read_bytes()
    har.write(path, entries)

    assert path.read_bytes() == added


def test_a_writer_does_not_encode_again_what_it_has(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Writer(path, [CREATE] * 5)
    encoded: list[Entry] = []
    encode = har_encoding.encode

    def counted(entry: Entry, files: bodies.BodyFiles) -> bytes:
        encoded.append(entry)
        return encode(entry, files)

    monkeypatch.setattr(har, "encode", counted)
    writer.add(_answer(b"new"))

    assert encoded == [_answer(b"new")]
    assert len(har.read(path)) == 6


class _FullDisk:
    """A file that takes only its first bytes, as on a full disk."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def __enter__(self) -> _FullDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def writelines(self, parts: tuple[bytes, ...]) -> None:
        self._file.write(parts[0][:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _fail(error: BaseException) -> Callable[..., None]:
    def call(*_: object) -> None:
        raise error

    return call


def _full_disk(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(bodies, "open", lambda path, _: _FullDisk(path.open("xb")), raising=False)


FAULTS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], type[BaseException], str]] = {
    "disk full": (_full_disk, CassetteError, "No space left on device"),
    "disk full at the end": (
        lambda patch: patch.setattr(os, "fsync", _fail(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))),
        CassetteError,
        "No space left on device",
    ),
    "not allowed": (
        lambda patch: patch.setattr(os, "replace", _fail(PermissionError(errno.EACCES, "Permission denied"))),
        CassetteError,
        "Permission denied",
    ),
    "stopped": (lambda patch: patch.setattr(os, "replace", _fail(KeyboardInterrupt())), KeyboardInterrupt, ""),
}


@pytest.mark.parametrize(("spoil", "expected", "message"), FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("body", [b"{}", MP4])
def test_a_write_that_fails_leaves_the_old_cassette_and_no_other_file(
    path: Path,
    spoil: Callable[[pytest.MonkeyPatch], None],
    expected: type[BaseException],
    message: str,
    body: bytes,
) -> None:
    har.write(path, [CREATE])
    with pytest.MonkeyPatch.context() as patch:
        spoil(patch)
        with pytest.raises(expected) as caught:
            har.write(path, [CREATE, _answer(body)])

    assert message in str(caught.value)
    assert not message or str(caught.value).startswith(str(path.parent / "test_a[b]."))
    assert har.read(path) == [CREATE]
    assert _files(path) == ["test_a[b].har"]


def test_an_entry_whose_write_failed_is_in_the_next_one(path: Path) -> None:
    writer = Writer(path, [CREATE])
    with pytest.MonkeyPatch.context() as patch:
        _full_disk(patch)
        with pytest.raises(CassetteError):
            writer.add(_answer(MP4))
    writer.add(_answer(b"{}"))

    assert har.read(path) == [CREATE, _answer(MP4), _answer(b"{}")]


def test_bodies_are_there_before_the_cassette_that_names_them(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced: list[str] = []
    replace = os.replace

    def noted(old: Path, new: Path) -> None:
        replaced.append(new.suffix)
        replace(old, new)

    monkeypatch.setattr(os, "replace", noted)
    har.write(path, [_answer(MP4), CREATE])

    assert replaced == [".json", ".har"]


def test_a_cassette_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "a.har"
    with pytest.raises(CassetteError) as caught:
        har.write(path, [CREATE])
    assert str(caught.value).startswith(f"{path}: could not be written (")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e18])
def test_a_time_that_cannot_be_written_is_refused(path: Path, number: float) -> None:
    writer = Writer(path, [CREATE])
    with pytest.raises(CassetteError, match="entry 2: has a number that no cassette can hold"):
        writer.add(Entry(number, 1, GET, OK))
    writer.add(CREATE)
    assert len(har.read(path)) == 2


@table(
    ("content", "expected"),
    [
        (b"", "line 1, column 1: is not valid JSON (it ends too early)"),
        (b'{"log": {', "line 1, column 10: is not valid JSON (it ends too early)"),
        (b'{"log": {"', "line 1, column 10: is not valid JSON (it ends too early)"),
        (b"{\n<<<<<<< HEAD\n", "line 2, column 1: is not valid JSON"),
        (b"{} {}", "line 1, column 4: is not valid JSON (Extra data)"),
        (b"\xef\xbb\xbf{}", "object missing required field `log`"),
        (b'{"a": "\xff"}', "is not UTF-8 (byte 7)"),
        (b'{"log": NaN}', "has a number that is none in JSON, or is far too long"),
        (b'{"log": %s}' % (b"1" * 5000), "has a number that is none in JSON, or is far too long"),
        (b"[" * 200_000, "is nested too deeply"),
        (b"[]", "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b"{}", "object missing required field `log`"),
        (b'{"log": []}', "log: expected `object`, got `array`"),
        (b'{"log": {}, "log": {}}', "has a key more than once"),
        (b'{"log": {"_format": 1, "_format": 1}}', "log: has a key more than once"),
        (b'{"log": {"version": "1.2"}}', "log.entries: is not an array"),
        (b'{"log": {"_format": "1", "entries": []}}', "log._format: expected `int`, got `str`"),
        (b'{"log": {"_format": true, "entries": []}}', "log._format: expected `int`, got `bool`"),
        (b'{"log": {"_format": 2}}', "was written by a newer mitm-ai-proxy (format 2); this one reads 1"),
        (b'{"log": {"_format": 0}}', "log._format: there is no format 0"),
        (b'{"log": {"_format": 1}}', "log.entries: is not an array"),
        (b'{"log": {"_format": 1, "entries": {}}}', "log.entries: is not an array"),
        (b'{"log": {"_format": 1, "entries": [null]}}', "entry 1: expected `object`, got `null`"),
        (b'{"log": {"_format": 1, "entries": [{}]}}', "entry 1: object missing required field `startedDateTime`"),
    ],
)
def test_a_file_that_is_no_cassette_is_named_with_the_place(path: Path, content: bytes, expected: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    assert _problem(path).startswith(expected)


def test_a_cassette_that_is_not_there_is_named(path: Path) -> None:
    assert _problem(path) == "there is no such cassette"


def test_a_folder_is_no_cassette(path: Path) -> None:
    path.mkdir(parents=True)
    assert _problem(path) == "is a folder"


def test_a_pipe_is_no_cassette_and_nobody_waits_for_its_writer(path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path)
    assert _problem(path) == "could not be read (it is not a regular file)"


@table("cut", range(1, 12))
def test_a_cassette_that_was_cut_off_is_refused(path: Path, cut: int) -> None:
    har.write(path, [CREATE])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * cut // 12])
    assert "is not valid JSON" in _problem(path) or "is not UTF-8" in _problem(path)


@table(
    ("keys", "value", "expected"),
    [
        ("startedDateTime", 5, "startedDateTime: expected `str`, got `int`"),
        ("startedDateTime", SECRET, "startedDateTime: is not a date and time with a zone, as ISO 8601 has it"),
        ("startedDateTime", "2023-11-14T22:13:20", "startedDateTime: is not a date and time with a zone"),
        ("time", SECRET, "time: expected `float`, got `str`"),
        ("time", 10**400, "time: number out of range"),
        ("_started", True, "_started: expected `float`, got `bool`"),
        ("_notes", SECRET, "_notes: expected `array`, got `str`"),
        ("_notes", [SECRET, 1], "_notes[1]: expected `str`, got `int`"),
        ("_units", SECRET, "_units: expected `float`, got `str`"),
        ("_price", [1], "_price: expected `float`, got `array`"),
        ("_repeats", 1.5, "_repeats: expected `int`, got `float`"),
        ("_repeats", -1, "_repeats: expected `int` >= 0"),
        ("_repeats", 10**9, "_repeats: expected `int` <= 10000"),
        ("_simulated", 1, "_simulated: expected `bool`, got `int`"),
        ("_answered", None, "_answered: expected `bool`, got `null`"),
        ("_chunks", [[1]], "_chunks[0]: "),
        ("_chunks", [[1, 2.5]], "_chunks[0][1]: expected `int`, got `float`"),
        ("request", None, "request: expected `object`, got `null`"),
        ("request.url", ..., "request: object missing required field `url`"),
        ("request.method", 1, "request.method: expected `str`, got `int`"),
        ("request.headers", {}, "request.headers: expected `array`, got `object`"),
        ("request.headers.1", [SECRET, ""], "request.headers[1]: expected `object`, got `array`"),
        ("request.headers.1.value", None, "request.headers[1].value: expected `str`, got `null`"),
        ("request.postData", None, "request.postData: expected `object`, got `null`"),
        ("request.postData.text", ..., "request.postData: object missing required field `text`"),
        ("request.postData.text", "\ud800", "request.postData.text: has half of a surrogate pair"),
        ("request.postData._file", "a.bin", "request.postData: has both text and _file"),
        ("response", ..., "object missing required field `response`"),
        ("response.status", "200", "response.status: expected `int`, got `str`"),
        ("response.status", 200.5, "response.status: expected `int`, got `float`"),
        ("response.content.text", {"a": SECRET}, "response.content.text: expected `str`, got `object`"),
        ("response.content.encoding", "gzip", "response.content.encoding: is not known"),
        ("response.content.encoding", "base64", "response.content.text: is not base64"),
        ("cache", [], "cache: expected `object`, got `array`"),
    ],
)
def test_a_wrong_value_is_named_with_entry_and_key(path: Path, keys: str, value: object, expected: str) -> None:
    har.write(path, [OTHER, CREATE])
    document = json.loads(path.read_bytes())
    *way, last = keys.split(".")
    place = document["log"]["entries"][1]
    for key in way:
        place = place[int(key) if key.isdigit() else key]
    if value is ...:
        del place[last]
    else:
        place[int(last) if last.isdigit() else last] = value
    path.write_text(json.dumps(document))

    assert _problem(path).startswith(f"entry 2: {expected}")


@table("half", ["\ud800", "\udcff", "a\udfff"])
@table(
    "keys",
    [
        *(
            "time",
            "_started",
            "_answered",
            "_notes",
            "_units",
            "_price",
            "_repeats",
            "_simulated",
            "_chunks",
            "cache",
            "timings",
            "x\ud800",
        ),
        *(
            "request",
            "request.headers",
            "request.headers.0",
            "request.queryString",
            "request.bodySize",
            "request.\udcff",
        ),
        *(
            "request.postData",
            "response",
            "response.status",
            "response.headers",
            "response.content.size",
            "timings.wait",
        ),
    ],
)
def test_half_of_a_surrogate_pair_where_no_text_belongs_is_refused(path: Path, keys: str, half: str) -> None:
    har.write(path, [OTHER, CREATE])
    document = json.loads(path.read_bytes())
    *way, last = keys.split(".")
    place = document["log"]["entries"][1]
    for key in way:
        place = place[int(key) if key.isdigit() else key]
    place[int(last) if last.isdigit() else last] = half
    path.write_text(json.dumps(document))

    assert _problem(path) == "entry 2: has half of a surrogate pair in a name, or where no text belongs"


@pytest.mark.parametrize(
    ("key", "place"), [("url", "request: "), ("status", "response: "), ("text", "request.postData: "), ("time", "")]
)
def test_a_key_that_stands_twice_is_refused(path: Path, key: str, place: str) -> None:
    har.write(path, [CREATE])
    text = path.read_text("utf-8")
    path.write_text(text.replace(f'"{key}":', f'"{key}": "{SECRET}", "{key}":', 1), "utf-8")
    assert _problem(path) == f"entry 1: {place}has a key more than once"


NO_LINES = "has a line break, a zero or half of a surrogate pair"
HOSTILE_CHANGES: list[tuple[str, object, str]] = [
    *(
        ("response.status", status, "response.status: is no status of an answer, 200 to 599")
        for status in (0, -1, 1, 99, 100, 101, 199, 600, 1000, 10**20)
    ),
    *(
        (keys, value, f"{said or keys}: {NO_LINES}")
        for value in ("OK\r\nSet-Cookie: evil=1", "a\nb", "a\rb", "a\0b", "\r", "\ud800", "a\udc7f", "\udd00")
        for keys, said in (
            ("response.statusText", ""),
            ("response.headers.0.value", "response.headers[0].value"),
            ("response.headers.0._value", "response.headers[0].value"),
            ("request.headers.1.value", "request.headers[1].value"),
            ("request.headers.1._name", "request.headers[1].name"),
            ("request.url", ""),
            ("request._url", "request.url"),
            ("request.method", ""),
        )
    ),
    *(
        ("response.headers.0.name", name, "response.headers[0].name: is no name of a header field")
        for name in ("", "a b", "a:", ":status", "X: y\r\nZ", "é", "\udcff", "a\0", "a\tb", "(")
    ),
]


@table(("keys", "value", "expected"), HOSTILE_CHANGES)
def test_what_cannot_be_sent_is_refused_with_entry_and_key(path: Path, keys: str, value: object, expected: str) -> None:
    har.write(path, [OTHER, CREATE])
    _change(path, keys, value)

    assert _problem(path) == f"entry 2: {expected}"


@table("entry", [replace(CREATE, response=replace(OK, status=99)), replace(CREATE, request=replace(GET, url="a\nb"))])
def test_what_could_not_be_read_again_is_not_written(path: Path, entry: Entry) -> None:
    har.write(path, [CREATE])
    with pytest.raises(CassetteError, match="entry 1: re"):
        har.write(path, [entry])
    assert har.read(path) == [CREATE]


@table(("method", "status"), [("GET", 204), ("POST", 304), ("HEAD", 200), ("HEAD", 404)])
def test_a_body_that_nobody_can_send_is_not_played(path: Path, method: str, status: int) -> None:
    har.write(path, [OTHER, CREATE])
    _change(path, "response.status", status)
    _change(path, "request.method", method)
    _change(path, "_chunks", [[1, 5], [2, 7]])

    assert har.read(path)[1].response == Response(status, "OK", JSON)


def _change(path: Path, keys: str, value: object) -> None:
    """Set a member of the second entry."""
    document = json.loads(path.read_bytes())
    *way, last = keys.split(".")
    place = document["log"]["entries"][1]
    for key in way:
        place = place[int(key) if key.isdigit() else key]
    place[last] = value
    path.write_text(json.dumps(document))


def test_what_a_person_adds_or_takes_out_does_not_harm(path: Path) -> None:
    har.write(path, [CREATE])
    document = json.loads(path.read_bytes())
    (entry,) = document["log"]["entries"]
    document["log"]["comment"] = entry["comment"] = entry["request"]["comment"] = "a word"
    for key in ("cache", "timings"):
        del entry[key]
    for key in ("cookies", "httpVersion", "queryString", "headersSize", "bodySize"):
        del entry["request"][key]
    entry["response"]["content"] = {"text": '{"code":1}'}
    path.write_text(json.dumps(document), "utf-8")

    expected = Entry(CREATE.started, CREATE.milliseconds, POST, Response(200, "OK", JSON, b'{"code":1}'), *NOTED)
    assert har.read(path) == [expected]


def test_a_time_in_another_zone_is_understood(path: Path) -> None:
    har.write(path, [CREATE])
    text = path.read_text("utf-8").replace("22:13:20.123Z", "23:13:20.123+01:00")
    path.write_text(text, "utf-8")
    assert har.read(path) == [CREATE]


def test_lines_may_end_as_on_windows(path: Path) -> None:
    har.write(path, [CREATE])
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert har.read(path) == [CREATE]


NOT_NAMES = (
    "",
    ".",
    "..",
    "../secret.bin",
    "/etc/passwd",
    "C:\\a.bin",
    f"../x/{'0' * 32}.bin",
    f"../{'0' * 32}.bin",
    f"../test_a[b].bodies/{'0' * 32}.bin",
    f"x/test_a[b].bodies/{'0' * 32}.bin",
    f"/test_a[b].bodies/{'0' * 32}.bin",
    f"test_a[b].bodies\\{'0' * 32}.bin",
    f"test_a[b].bodies/../{'0' * 32}.bin",
    f"test_a[b].bodies/{'0' * 32}.bin/",
    f"x/{'0' * 32}.bin",
    f"{'0' * 32}.bin\n",
    f"{'0' * 32}.bin/",
    f"{'0' * 32}.b/n",
    f"{'0' * 32}",
    f"{'A' * 32}.bin",
    f"{'0' * 31}.bin",
    "\0",
)


@table("form", ["{name}", "test_a[b].bodies/{name}", "its old name.bodies/{name}"])
def test_a_body_file_is_found_as_old_cassettes_and_those_with_a_new_name_have_it(path: Path, form: str) -> None:
    har.write(path, [CREATE, _answer(MP4)])
    document = json.loads(path.read_bytes())
    name = _body_file(path).name
    document["log"]["entries"][1]["response"]["content"]["_file"] = form.format(name=name)
    path.write_text(json.dumps(document))

    assert har.read(path) == [CREATE, _answer(MP4)]
    assert har.tidy(path) == []
    har.write(path, har.read(path))
    assert _entries(path)[1]["response"]["content"]["_file"] == f"test_a[b].bodies/{name}"


@table("name", NOT_NAMES)
def test_a_file_outside_of_the_folder_is_never_read(path: Path, name: str) -> None:
    har.write(path, [CREATE, _answer(MP4)])
    document = json.loads(path.read_bytes())
    document["log"]["entries"][1]["response"]["content"]["_file"] = name
    path.write_text(json.dumps(document))

    assert _problem(path) == "entry 2: response.content._file: is not the name of a file in test_a[b].bodies"


def _to_link(file: Path) -> None:
    other = file.parent.parent / "other"
    file.replace(other)
    file.symlink_to(other)


def _to_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _folder_to_link(file: Path) -> None:
    other = file.parent.with_name("other")
    file.parent.rename(other)
    file.parent.symlink_to(other)


SPOILED: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, "FILE is missing"),
    "changed": (lambda file: file.write_bytes(MP4[::-1]), "FILE was changed: its name is not the hash of its content"),
    "cut off": (lambda file: file.write_bytes(MP4[:9]), "FILE was changed: its name is not the hash of its content"),
    "link": (_to_link, "FILE is a link or no file"),
    "folder": (_to_folder, "FILE is a link or no file"),
    "folder is a link": (_folder_to_link, "the folder test_a[b].bodies is a link"),
}


@pytest.mark.parametrize(("spoil", "expected"), SPOILED.values(), ids=SPOILED)
def test_a_body_file_that_is_not_the_recorded_one_is_refused(
    path: Path, spoil: Callable[[Path], object], expected: str
) -> None:
    har.write(path, [CREATE, _sent(MP4)])
    file = _body_file(path)
    spoil(file)

    expected = expected.replace("FILE", f"test_a[b].bodies/{file.name}")
    assert _problem(path) == f"entry 2: request.postData._file: {expected}"
