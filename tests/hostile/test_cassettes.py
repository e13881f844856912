"""A cassette file that was damaged or made by somebody hostile is refused with its place, or plays."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Final

from mitm_ai_proxy.cassette import diff, har, listing, sound
from mitm_ai_proxy.cassette.bodies import CassetteError
from mitm_ai_proxy.cassette.cassette import Cassette, Mode, Opening
from mitm_ai_proxy.cassette.entry import MOST_REPEATS, Chunk, Entry, Headers, Request, Response
from mitm_ai_proxy.cassette.playing import Miss
from mitm_ai_proxy.cassette.scrubbing import Scrubber
from mitm_ai_proxy.gateway.recorded_messages import framed, hurried
from tests.cassette.exchanges import (
    NEW_DESIGN,
    TEXT,
    entries_of,
    new_answer,
    new_design_answer,
    new_request,
    task_answer,
)
from tests.cassette.recorded_jobs import life
from tests.hostile import traffic
from tests.hostile.inputs import Inputs, changed, mutated, places, words

SECRET: Final = "s3cr3t-t0ken-0123456789"
NAMES: Final = (
    "log version creator _format pages entries startedDateTime _started time request response method url _url"
    " httpVersion headers cookies queryString postData mimeType text encoding _file size headersSize bodySize"
    " status statusText content redirectURL cache timings send wait receive _notes _units _price _repeats _chunks"
    " _answered name value _name _value x"
).split()
VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1, 2, 99, 204, 1e300, -1e300, 10**20, 10**400, 0.1, "", "x", "\ud800", "\udcff", "\0",
    "\r\nX: y", "2026-01-01", "2026-01-01T00:00:00Z", "9999-12-31T23:59:59+99:99", "base64", "../a.bin",
    "0" * 32 + ".bin", "0" * 32, "/etc", [], {}, [[]], [None], [1, 2], [[1, 5]], [[-1, -5], [1e300, 10**15]],
    {"name": "Content-Encoding", "value": "gzip"}, {"a": 1}, {"name": "Content-Type", "value": "application/json"},
    MOST_REPEATS, MOST_REPEATS + 1, "x" * 70_000, "https://[", "http://a:b/", f"{TEXT}/7",
    "https://a.test/x?sign=1&&=%ff", "//a", "é", "https://é.test/\ud800", '{"task_id":"\\ud800"}', '{"data":' * 300,
)  # fmt: skip
NEARLY: Final[dict[str, tuple[Any, ...]]] = {
    "startedDateTime": (
        "2026-01-01",
        "9999-12-31T23:59:59+99:99",
        "2026-13-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "",
    ),
    "_started": (1e300, -1e300, 1e12, -0.0, None),
    "status": (0, 99, 204, 304, 101, 600, 10**20, -1),
    "url": ("https://[", "http://a:b/", "", "é", f"{TEXT}/7?&&=%ff", "//a", "x" * 70_000, "https://é.test/\ud800"),
    "text": ("\ud800", "{", '{"data":' * 300, '{"task_id":"\\ud800"}', "x" * 70_000, "[" * 20_000),
    "_file": ("../a.bin", "/etc", "", "0" * 32 + ".bin", "0" * 32),
    "_chunks": ([[0, 10**15]], [[-1, -5]], [[1e300, 1]], [[0, 1]] * 50, []),
    "_repeats": (MOST_REPEATS, MOST_REPEATS + 1, -1, 0),
    "name": ("Content-Encoding", "", "\udcff", "Location", "Authorization"),
    "value": ("gzip", "\udcff", "\r\nX: y", "https://[", "application/json"),
}
"""Values that are nearly right, by the key that has them."""
WORDS: Final = words(
    r"""{ } [ ] : , " \\ null true NaN 1e999 -0 \\ud800 \\u0000 "log" "entries" "_format":2 "status":0 \0 \xff
    \xef\xbb\xbf \r\n 99999999999999999999 1e-400 \x20 é \\u000d\\u000a [] {} "_repeats":1e9 "_chunks":[[0,1]]"""
)


def _entries(random: Random) -> list[Entry]:
    """A recording of jobs, downloads, streams and what was not answered."""
    exchanges = [*life("1111111", None)] if random.random() < 0.7 else []
    create = new_request("POST", NEW_DESIGN, {"prompt": "a cat"}, (("Authorization", f"Bearer {SECRET}"),))
    exchanges += [
        (create, new_design_answer("7", "submitted")),
        (new_request("GET", f"{TEXT}?pageNum=1"), new_answer({"data": []})),
    ]
    exchanges += [(new_request("POST", TEXT, traffic.json_text(random, traffic.CREATES)), task_answer("9", "failed"))]
    exchanges += [
        (new_request("POST", TEXT, {"a": "b"}), None),
        (Request("GET", "https://a.test/v.mp4", (), b""), _stream(random)),
    ]
    random.shuffle(exchanges)
    started = random.uniform(-1e9, 1e10) if random.random() < 0.5 else float(random.randint(0, 10**10))
    made = map(
        sound.cleaned, entries_of(exchanges[: random.randint(1, len(exchanges))], random.choice((0.0, 5.0)), started)
    )
    return [replace(one, notes=("n",), units=1.5, price=0.1, repeats=random.choice((0, 0, 3))) for one in made]


def _stream(random: Random) -> Response:
    body = random.choice((b"data: {}\n\n" * 3, traffic.PICTURE, b"\xff" * 70_000, "é\u2028".encode(), b""))
    chunks = tuple(Chunk(random.random() * 100, len(piece)) for piece in traffic.pieces(random, body))
    return Response(200, "OK", _headers(random), body, chunks)


def _headers(random: Random) -> Headers:
    text = "".join(random.choices('aé\t"\\\u2028\udc80\udcff[]\r\n\0', k=random.choice((0, 1, 9))))
    return (("Content-Type", random.choice(("text/event-stream", "video/mp4", text))), ("X", text))[
        : random.randint(0, 2)
    ]


def test_a_cassette_is_read_as_it_was_written(inputs: Inputs, tmp_path: Path) -> None:
    path = tmp_path / "a.har"
    for random in inputs.of(15):
        entries = _entries(random)
        har.write(path, entries)
        first = path.read_bytes()
        assert har.read(path) == entries
        har.write(path, har.read(path))
        assert path.read_bytes() == first
        assert diff.differences(path, path) == []


def test_a_damaged_cassette_is_refused_with_its_place_or_plays(inputs: Inputs, tmp_path: Path) -> None:
    path = tmp_path / "a.har"
    scrubber = Scrubber((), (SECRET,))
    for random in inputs.of(85):
        har.write(path, _entries(random))
        content = path.read_bytes()
        is_document = random.random() < 0.7
        content = _changed(random, content) if is_document else mutated(random, content, WORDS)
        path.write_bytes(content)
        try:
            entries = har.read(path)
            cassette = Cassette(Opening(path, Mode.NONE), scrubber, lambda: 0.0)
        except CassetteError as error:
            _check(str(error), path, content)
            continue
        inputs.tally["played"] += 1
        _play(random, cassette, entries)
        listing.sort(entries)
        assert diff.differences(path, path) == []
        # What can be read can be written, but for numbers beyond what JSON holds.
        with contextlib.suppress(CassetteError):
            har.write(path, entries)
            assert har.read(path) == entries


def _changed(random: Random, content: bytes) -> bytes:
    document = json.loads(content)
    for _ in range(random.choice((0, 0, 1, 2))):
        holder, key = random.choice([place for place in places(document) if place[1] in NEARLY])
        holder[key] = random.choice(NEARLY[key])
    # Most of what a file has is in its entries.
    part = random.choice((document, document["log"]["entries"], document["log"]["entries"]))
    if changed(random, part, VALUES, NAMES) is not part:
        document = random.choice(VALUES)
    try:
        return json.dumps(document).encode()
    except (ValueError, RecursionError):
        return b"{}"


def _check(text: str, path: Path, content: bytes) -> None:
    assert text.startswith(f"{path}: ")
    rest = text.removeprefix(f"{path}: ")
    in_entry = re.match(r"entry (\d+): ", rest)
    assert in_entry or re.match(
        r"log|object missing|line \d+, column \d+|is |was |has |Object|expected|a\.bodies", rest
    ), text
    assert SECRET not in text
    assert len(rest) < 500


def _play(random: Random, cassette: Cassette, entries: list[Entry]) -> None:
    for entry in random.choices(entries, k=6) if entries else ():
        request = entry.request
        if random.random() < 0.3:
            request = replace(request, body=mutated(random, request.body, traffic.BODY_WORDS))
        found = cassette.answer(request)
        assert isinstance(found, Entry | Miss)
        if isinstance(found, Entry) and found.response:
            _send(random, request.method, found.response)
    assert len(cassette.misses) + len(cassette.replayed) == (6 if entries else 0)


def _send(random: Random, method: str, recorded: Response) -> None:
    """Make the answer that a client gets."""
    response = hurried(recorded, random.choice((None, 0.5)), True)
    fields = framed(response, method)
    assert [name.lower() for name, _ in fields].count(b"content-length") <= 1
    assert all(re.fullmatch(rb"[!-9;-~]+", name) for name, _ in fields)
    assert not re.search(
        rb"[\r\n\0]", b"".join(value for _, value in fields) + response.reason.encode("latin-1", "replace")
    )
    assert 200 <= response.status < 600
    assert not (response.body and response.status in (204, 304))
