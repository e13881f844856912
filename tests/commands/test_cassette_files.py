"""`ai-proxy cassette show`, `check`, `diff` and `vary` on files: output, exit status, and no secrets in the output.

For the content of variations, see test_variations.py.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mitm_ai_proxy.cassette import har
from mitm_ai_proxy.cassette.entry import Entry, Headers, Request, Response
from mitm_ai_proxy.commands import cassette_files

ORIGIN = "https://api-singapore.klingai.com"
TEXT = f"{ORIGIN}/v1/videos/text2video"
NEW = f"{ORIGIN}/text-to-video/kling-3.0"
JSON: Headers = (("Content-Type", "application/json"),)
EVENTS: Headers = (("Content-Type", "text/event-stream"),)
MP4: Headers = (("Content-Type", "video/mp4"),)
ID, OTHER_ID = "830000000000000001", "830000000000000002"
FILM = bytes(range(256)) * 10
START = 1_795_212_000.0
KEY = "sk-abcdefghijklmnopqrst"
BELL = "\x1b]0;owned\x07\u202e"

Exchange = tuple[Request, Response | None]


def _ask(method: str, url: str, body: Any = None) -> Request:
    return Request(method, url, JSON, b"" if body is None else json.dumps(body).encode())


def _says(body: Any, status: int = 200) -> Response:
    return Response(status, "OK", JSON, json.dumps(body).encode())


def _task(task_id: str, status: str, **more: Any) -> Response:
    data = {"task_id": task_id, "task_status": status, "created_at": int(task_id) % 97, **more}
    return _says({"code": 0, "message": "SUCCEED", "request_id": f"r-{task_id}", "data": data})


def _link(task_id: str) -> str:
    return f"https://v1-kling.klingai.com/{task_id[-1]}.mp4?sign=scrubbed&expires=scrubbed"


def _poll(task_id: str, status: str, **more: Any) -> Exchange:
    return _ask("GET", f"{TEXT}/{task_id}"), _task(task_id, status, **more)


def _end(task_id: str, duration: str = "5.041") -> Exchange:
    made = {"id": f"9{task_id}", "url": _link(task_id), "duration": duration}
    return _poll(task_id, "succeed", task_result={"videos": [made]}, final_unit_deduction="3")


def _create(task_id: str, prompt: str = "a cat") -> Exchange:
    body = {"prompt": prompt, "model_name": "kling-v3", "external_task_id": f"mine-{task_id[-1]}"}
    return _ask("POST", TEXT, body), _task(task_id, "submitted")


def _life(task_id: str, prompt: str = "a cat", polls: int = 3) -> list[Exchange]:
    states = ["submitted", *["processing"] * polls]
    film = Request("GET", _link(task_id)), Response(200, "OK", MP4, FILM)
    return [_create(task_id, prompt), *(_poll(task_id, state) for state in states), _end(task_id), film]


COSTS: Exchange = (_ask("GET", f"{ORIGIN}/account/costs"), _says({"code": 0}))


def _record(*exchanges: Exchange) -> list[Entry]:
    entries = [Entry(START + 5.0 * index, 310.0, *exchange) for index, exchange in enumerate(exchanges)]
    return [replace(e, units=3.0) if e.response and b'"succeed"' in e.response.body else e for e in entries]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which is empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _write(name: str, *exchanges: Exchange) -> Path:
    path = Path(name)
    har.write(path, _record(*exchanges))
    return path


def _run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, list[str], str]:
    """Run a command; returns its exit status, the lines on stdout, and stderr."""
    capsys.readouterr()
    status = cassette_files.main([str(word) for word in words])
    out, err = capsys.readouterr()
    return status, out.splitlines(), err


def test_show_tells_what_is_in_a_cassette(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, *rest = _record(*_life(ID), COSTS, _create(OTHER_ID, "a dog"))
    rest[1:4] = [replace(entry, notes=("a poll",)) for entry in rest[1:4]]
    har.write(Path("job.har"), [replace(first, notes=("model: kling-v3, as modelMapping says",)), *rest])
    status, lines, err = _run(capsys, "show", "job.har")
    assert (status, err) == (0, "")
    assert lines == [
        "job.har: 9 exchanges in 2 jobs, recorded 2026-11-20 22:00 UTC within 40.3 s",
        "1 body of 2.6 kB in job.bodies",
        "6 units, about $0.84; 3 of the units are expected, not charged",
        "",
        f"job {ID} (mine-1)",
        "      1   0:00.0  POST   200    159 B   310 ms  …gapore.klingai.com/v1/videos/text2video  submitted",
        "        why: model: kling-v3, as modelMapping says",
        f"      2   0:05.0  GET    200    159 B   310 ms  …v1/videos/text2video/{ID}  submitted",
        f"    3-5   0:10.0  GET    200    160 B   310 ms  …v1/videos/text2video/{ID}  processing, 3 polls",
        "        why: a poll",
        f"      6   0:25.0  GET    200    343 B   310 ms  …v1/videos/text2video/{ID}  succeed, 3 units",
        "      7   0:30.0  GET    200   2.6 kB   310 ms  v1-kling.klingai.com/1.mp4                video/mp4",
        "",
        f"job {OTHER_ID} (mine-2)",
        "      9   0:40.0  POST   200    159 B   310 ms  …gapore.klingai.com/v1/videos/text2video  submitted",
        "",
        "other exchanges",
        "      8   0:35.0  GET    200     11 B   310 ms  api-singapore.klingai.com/account/costs",
    ]


def test_show_tells_polls_that_failed_and_answers_that_repeat_or_never_came(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    polls = [_poll(ID, "processing"), (_poll(ID, "")[0], None), (_poll(ID, "")[0], _says({}, 503)), _end(ID)]
    elsewhere = Response(302, "", (("Location", "https://cdn.test/a.mp4"),))
    entries = _record(_create(ID), *polls, (Request("GET", _link(ID)), elsewhere), COSTS)
    entries[1] = replace(entries[1], repeats=4)
    entries[-1] = replace(entries[-1], repeats=1, price=0.42)
    har.write(Path("job.har"), entries)
    _, lines, _ = _run(capsys, "show", "job.har")
    said = [line[90:] for line in lines if line[:7].strip().isdecimal()]
    assert said == [
        "submitted", "processing, 5 polls", "no answer", "", "succeed, 3 units", "to another address",
        "given 2 times, $0.42",
    ]  # fmt: skip


def test_show_tells_what_the_simulator_has_answered(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    simulated = [replace(entry, simulated=True) for entry in _record(*_life(ID))]
    for entries, said in (
        (simulated, "simulated: nothing was paid"),
        (simulated[:2] + _record(COSTS), "2 of them simulated"),
    ):
        har.write(Path("job.har"), entries)
        assert _run(capsys, "show", "job.har")[1][1] == said


def test_show_tells_what_was_said_in_chats(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
    said = [{"role": "user", "content": f"hi{BELL} é\nthere"}]
    tools = {"choices": [{"message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}]}
    more = [
        *said,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "sunny"},
    ]
    deltas = ({"reasoning_content": "hm"}, {"content": "It "}, {"content": "is."})
    chunks: list[Any] = [{"choices": [{"delta": delta}]} for delta in deltas]
    chunks.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    stream = b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"
    answer = {
        "type": "message", "role": "assistant", "id": "m", "model": "m", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "w" * 600}], "usage": {"input_tokens": 1, "output_tokens": 1},
    }  # fmt: skip
    chat, messages = "https://a.test/v2/chat/completions", "https://b.test/v1/messages?beta=true"
    predicted = "https://c.test/v1/publishers/anthropic/models/claude:rawPredict"
    _write(
        "chat.har",
        (_ask("POST", chat, {"model": "m", "messages": said}), _says(tools)),
        (_ask("POST", chat, {"model": "m", "messages": more}), Response(200, "", EVENTS, stream)),
        (_ask("POST", messages, {"model": "m", "max_tokens": 9, "messages": said}), _says(answer)),
        (_ask("POST", predicted, {"max_tokens": 9, "messages": said[-1:]}), _says(answer)),
        (_ask("POST", chat, {"model": "m", "messages": said}), _says({"error": {"message": "no"}})),
        (_ask("POST", chat, {"model": "m", "messages": 5}), None),
    )
    _, lines, _ = _run(capsys, "show", "chat.har")

    shown = [line.strip() for line in lines if line.startswith(" " * 8)]
    assert shown[1:5] == ['call: weather {"city":"Oslo"}', "result: sunny", "thinking: hm", "assistant: It is."]
    assert shown[0].startswith("user: hi")
    assert shown[0].endswith(" é there")
    assert "\x1b" not in shown[0]
    assert f": {'w' * 500}…" in "".join(shown).replace("assistant:www", "assistant: www")
    assert shown[-1] == "error: 502 no"


def test_show_tells_of_an_empty_cassette_and_of_units_that_nobody_knows(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    har.write(Path("empty.har"), [])
    assert _run(capsys, "show", "empty.har") == (0, ["empty.har: 0 exchanges in 0 jobs"], "")
    video = {"id": "video_000001", "object": "video", "status": "completed"}
    _write("openai.har", (_ask("POST", "https://api.openai.com/v1/videos", {"prompt": "a"}), _says(video)))
    assert _run(capsys, "show", "openai.har")[1][1] == "1 of unknown price"


def test_lines_fit_and_nothing_reaches_the_terminal_that_moves_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = _says({"id": f"{BELL}{'i' * 300}", "status": f"{BELL}{'s' * 300}"})
    entries = _record(
        (Request(f"G{BELL}T", f"https://h/{BELL}{'u' * 300}?{BELL}=1"), hostile),
        (Request("POST", f"https://h/{BELL}"), hostile),
        (
            Request("GET", f"https://h/{BELL}"),
            Response(200, BELL, (("Content-Type", f"video/{BELL}{'m' * 200}"),), FILM),
        ),
    )
    har.write(Path("job.har"), [replace(entry, notes=(f"{BELL} {'n ' * 200}",)) for entry in entries])
    har.write(Path("other.har"), entries[1:])
    for words in (("show", "job.har"), ("check", "job.har"), ("diff", "job.har", "other.har"), ("show", f"{BELL}.har")):
        _, lines, err = _run(capsys, *words)
        assert all(line.isprintable() for line in (*lines, *err.splitlines())), words
    _, lines, _ = _run(capsys, "show", "job.har")
    assert "\\x1b" in "".join(lines)
    # An escape is longer than its character.
    assert max(len(line.replace("\\x1b", "e").replace("\\x07", "b").replace("\\u202e", "o")) for line in lines) == 120


def test_no_secret_is_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = _create(ID, KEY)
    asked = replace(job[0], headers=(*JSON, ("Authorization", f"Bearer {KEY}"))), job[1]
    other = _ask("GET", f"https://user:{KEY}@h.test/{KEY}?key={KEY}&sign={KEY}"), _says({"token": KEY})
    har.write(Path("job.har"), [replace(entry, notes=(f"key {KEY}",)) for entry in _record(asked, other)])
    _write("other.har", _create(ID, f"{KEY}x"), (other[0], _says({"token": f"{KEY}x", "a": KEY})))
    printed = [_run(capsys, *words) for words in (("show", "job.har"), ("check", "job.har"))]
    printed.append(_run(capsys, "diff", "job.har", "other.har"))
    assert KEY not in repr(printed)
    status, lines, _ = printed[1]
    assert status == 1
    assert "job.har: entry 1: request.headers.Authorization: looks like a secret; record it anew, or edit it" in lines
    assert any(line.startswith("job.har: entry 2: response.body.token: looks like a secret") for line in lines)


def test_a_good_cassette_is_good(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write("a.har", *_life(ID))
    _write("b.har")
    expected = ["a.har: good, 7 exchanges in 1 job", "b.har: good, 0 exchanges in 0 jobs"]
    assert _run(capsys, "check", "a.har", "b.har") == (0, expected, "")


LOST = _ask("POST", TEXT, {"prompt": "a", "external_task_id": "mine-1"}), None
REFUSED = _ask("POST", TEXT, {"prompt": "a", "external_task_id": "mine-1"}), _says({"code": 1303}, 429)
CHECKS: dict[str, tuple[list[Exchange], list[str]]] = {
    "left as processing": (
        _life(ID)[:-2],
        [f"job {ID}: was last seen as processing and not at its end; go on with: ai-proxy cassette resume job.har"],
    ),
    "never asked for": (
        [_create(ID)],
        [f"job {ID}: was last seen as submitted and not at its end; go on with: ai-proxy cassette resume job.har"],
    ),
    "a create without an answer": (
        [LOST],
        [
            "entry 1: POST …gapore.klingai.com/v1/videos/text2video: has no answer",
            "job mine-1: has no known state and not at its end; go on with: ai-proxy cassette resume job.har",
        ],
    ),
    "a download without an answer": (
        [*_life(ID)[:-1], (Request("GET", _link(ID)), None)],
        ["entry 7: GET v1-kling.klingai.com/1.mp4: has no answer"],
    ),
    "refused": ([REFUSED], []),
    "refused, then made, then failed": ([REFUSED, _create(ID), _poll(ID, "failed")], []),
    "done at once": ([(_ask("POST", f"{ORIGIN}/v1/audio/tts", {"text": "a"}), _task(ID, "succeed"))], []),
    "in words of its own, with a result": (
        [
            (_ask("POST", "https://a.test/jobs", {}), _says({"id": ID, "status": 3})),
            (_ask("GET", f"https://a.test/jobs/{ID}"), _says({"id": ID, "status": 9, "url": _link(ID)})),
            (Request("GET", _link(ID)), Response(200, "", MP4, FILM)),
        ],
        [],
    ),
}


@pytest.mark.parametrize("name", CHECKS)
def test_check_names_what_is_missing(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exchanges, problems = CHECKS[name]
    _write("job.har", *exchanges)
    status, lines, err = _run(capsys, "check", "job.har")
    assert (status, err) == (1 if problems else 0, "")
    if problems:
        assert lines == [f"job.har: {problem}" for problem in problems]


def test_check_names_files_that_are_missing_or_changed_or_nobody_s(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("missing", "changed", "more"):
        _write(f"{name}.har", *_life(ID))
    (film,) = Path("missing.bodies").iterdir()
    film.unlink()
    Path("changed.bodies", film.name).write_bytes(b"x")
    for name in (f"{'0' * 32}.mp4", "notes.txt", ".1-0123abcd.tmp", ".gitattributes"):
        Path("more.bodies", name).touch()
    _write("good.har")
    status, lines, err = _run(capsys, "check", "missing.har", "changed.har", "more.har", "good.har")
    assert status == 1
    place = "entry 7: response.content._file"
    assert err.splitlines() == [
        f"ai-proxy: missing.har: {place}: missing.bodies/{film.name} is missing",
        f"ai-proxy: changed.har: {place}: changed.bodies/{film.name} was changed: "
        "its name is not the hash of its content",
    ]
    assert lines[:-1] == [
        f"more.har: more.bodies/{name}: belongs to no exchange; delete it"
        for name in (".1-0123abcd.tmp", f"{'0' * 32}.mp4", "notes.txt")
    ]


def test_two_recordings_of_the_same_do_not_differ(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extend = f"{ORIGIN}/v1/videos/video-extend"

    def record(name: str, first: str, second: str, polls: int) -> None:
        third = f"{first[:-1]}7"
        more = _ask("POST", extend, {"video_id": f"9{first}", "u": _link(first)}), _task(third, "submitted")
        ended = _ask("GET", f"{extend}/{third}"), _task(third, "failed")
        cancel = _ask("POST", f"{TEXT}/{second}/cancel"), _says({"code": 0})
        _write(name, *_life(first, polls=polls), *_life(second, "a dog"), more, ended, cancel, COSTS)

    record("one.har", ID, OTHER_ID, 3)
    record("other.har", "910000000000000003", "910000000000000004", 9)
    assert _run(capsys, "diff", "one.har", "other.har") == (0, ["one.har and other.har do not differ"], "")


def _changed(exchange: Exchange, **members: Any) -> Exchange:
    request, response = exchange
    assert response
    document = json.loads(response.body)
    document["data"] |= members
    return request, replace(response, body=json.dumps(document).encode())


def test_diff_names_what_differs_field_by_field(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    *life, film = _life(ID)
    _write("one.har", *life, film, *_life(OTHER_ID, "a dog")[:2], COSTS, (_ask("GET", "https://a.test/x"), None))
    create, submitted, *_, end, _ = _life("910000000000000003")
    html = Response(200, "", (("Content-Type", "text/html"),), b"no")
    _write(
        "other.har",
        (_ask("POST", TEXT, {"prompt": "a bird", "model_name": "kling-v3"}), _task(OTHER_ID, "submitted")),
        (create[0], replace(_says({"code": 1302, "data": {}}, 429), headers=(*JSON, ("Retry-After", "1")))),
        create,
        submitted,
        _changed(end, final_unit_deduction="4", created_at=5),
        (Request("GET", _link("3")), html),
        (_ask("GET", "https://a.test/x"), _says({})),
        (_ask("GET", "https://a.test/y"), _says({})),
    )
    status, lines, _ = _run(capsys, "diff", "one.har", "other.har")
    assert status == 1
    film_hash, html_hash = (hashlib.sha256(body).hexdigest()[:32] for body in (FILM, b"no"))
    text2video = "…gapore.klingai.com/v1/videos/text2video"
    assert lines == [
        "recorded: one.har",
        "came: other.har",
        f"1 / 2  POST {text2video}",
        "        answer status: recorded 200, came 429",
        '        answer headers.retry-after: recorded "", came "1"',
        "        answer body.code: recorded 0, came 1302",
        "        answer body.data: recorded nothing, came {}",
        '        answer body.data.task_status: recorded "submitted", came nothing',
        '        answer body.message: recorded "SUCCEED", came nothing',
        f"5 / -  GET …v1/videos/text2video/{ID} processing: only in one.har",
        f"6 / 5  GET …v1/videos/text2video/{ID}",
        '        answer body.data.final_unit_deduction: recorded "3", came "4"',
        "7 / 6  GET v1-kling.klingai.com/1.mp4",
        '        answer headers.content-type: recorded "video/mp4", came "text/html"',
        f"        answer body: recorded 2560 bytes, SHA-256 {film_hash}, came 2 bytes, SHA-256 {html_hash}",
        f"- / 3  POST {text2video}: only in other.har",
        f"8 / 1  POST {text2video}",
        '        request body.prompt: recorded "a dog", came "a bird"',
        f"9 / -  GET …v1/videos/text2video/{OTHER_ID} submitted: only in one.har",
        "10 / -  GET api-singapore.klingai.com/account/costs: only in one.har",
        "11 / 7  GET a.test/x",
        "        answer: recorded nothing, came 200",
        "- / 8  GET a.test/y: only in other.har",
    ]


def test_ends_are_compared_whichever_they_are(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    *life, _ = _life(ID)
    _write("one.har", *life)
    _write("other.har", *life[:-1], _poll(ID, "failed", task_status_msg="no"))
    _, lines, _ = _run(capsys, "diff", "one.har", "other.har")
    assert lines[2] == f"6 / 6  GET …v1/videos/text2video/{ID}"
    assert '        answer body.data.task_status: recorded "succeed", came "failed"' in lines
    assert '        answer body.data.task_status_msg: recorded nothing, came "no"' in lines


def test_diff_tells_of_answers_that_repeat(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write("job.har", *_life(ID))
    assert _run(capsys, "vary", "job.har", "--slow")[0] == 0
    status, lines, _ = _run(capsys, "diff", "job.har", "job.slow.har")
    assert status == 1
    assert lines[2:] == [
        f"5 / 5  GET …v1/videos/text2video/{ID}",
        "        answer repeats: recorded 0, came 10",
    ]


VARIATIONS: dict[str, tuple[Sequence[str], str, int]] = {
    "failed": (("--failed", "no cats"), "job.failed.har", 6),
    "error": (("--error", "1303"), "job.error-1303.har", 1),
    "content gone": (("--content-gone",), "job.content-gone.har", 7),
    "slow": (("--slow",), "job.slow.har", 7),
    "slower": (("--slow", "99"), "job.slow.har", 7),
    "elsewhere": (("--slow", "1", "-o", "sub/x.har"), "sub/x.har", 7),
}


@pytest.mark.parametrize("name", VARIATIONS)
def test_vary_writes_a_cassette_that_is_good(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, out, count = VARIATIONS[name]
    path = _write("job.har", *_life(ID))
    before = path.read_bytes()
    exchanges = "1 exchange" if count == 1 else f"{count} exchanges"
    expected = (0, [f"{out}: {exchanges}, made of 7 in job.har"], "")
    # Again, over its own output and over the output of another variation.
    har.write(Path(out), [Entry(0, 0, Request("GET", "https://h/"), Response(200, "", MP4, FILM[::-1]))])
    for _ in range(2):
        assert _run(capsys, "vary", "job.har", *words) == expected
    assert path.read_bytes() == before
    assert len(har.read(Path(out))) == count
    assert _run(capsys, "check", out)[0] == 0
    assert _run(capsys, "diff", "job.har", out)[0] == 1


def test_vary_says_what_it_was_asked_to(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write("job.har", *_life(ID))
    _run(capsys, "vary", "job.har", "--failed", "no cats")
    _run(capsys, "vary", "job.har", "--slow", "99")
    (failed,) = [entry for entry in har.read(Path("job.failed.har")) if "varied: the job fails" in entry.notes]
    assert failed.response
    assert b'"no cats"' in failed.response.body
    assert max(entry.repeats for entry in har.read(Path("job.slow.har"))) == 99


def _errors(folder: Path) -> dict[str, tuple[Sequence[str], str]]:
    _write("job.har", *_life(ID))
    _write("none.har", COSTS)
    Path("link.har").symlink_to("job.har")
    Path("cut.har").write_bytes(Path("job.har").read_bytes()[:900])
    Path("page.har").write_text("<html>")
    return {
        "missing": (("show", "nowhere.har"), "nowhere.har: there is no such cassette"),
        "cut": (("show", "cut.har"), "(it ends too early)"),
        "no JSON": (("check", "page.har"), "page.har: line 1, column 1: is not valid JSON"),
        "the other": (("diff", "job.har", "nowhere.har"), "nowhere.har: there is no such cassette"),
        "itself": (("vary", "job.har", "--slow", "-o", "../here/job.har"), "is the cassette itself"),
        "itself by a link": (("vary", "job.har", "--slow", "-o", "link.har"), "is the cassette itself"),
        "its bodies": (("vary", "job.har", "--slow", "-o", "job"), "would share its bodies with job.har"),
        "nothing to vary": (("vary", "none.har", "--failed", "x"), "none.har: no job in it succeeds"),
        "no place": (("vary", "job.har", "--slow", "-o", "page.har/x.har"), "could not be written (Not a directory)"),
    }


def test_what_goes_wrong_is_one_line_of_stderr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    errors = _errors(folder)
    before = Path("job.har").read_bytes()
    for name, (words, problem) in errors.items():
        status, lines, err = _run(capsys, *words)
        assert (status, lines) == (1, []), name
        assert err.startswith("ai-proxy: "), name
        assert err.count("\n") == 1, name
        assert problem in err, name
    assert Path("job.har").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "COMMAND"),
        (["bogus"], "invalid choice: 'bogus'"),
        (["show"], "FILE"),
        (["check"], "FILE"),
        (["diff", "a.har"], "OTHER"),
        (["show", "a.har", "b.har"], "b.har"),
        (["vary", "a.har"], "one of the arguments --failed --error --content-gone --slow is required"),
        (["vary", "a.har", "--slow", "--content-gone"], "not allowed with"),
        (["vary", "a.har", "--error", "7"], "Kling has no error code 7; it has 1000, 1001"),
        (["vary", "a.har", "--error", "x"], "invalid number value: 'x'"),
        (["vary", "a.har", "--slow", "0"], "slower by 1 to 10000 polls"),
    ],
)
def test_wrong_usage_ends_with_2(words: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cassette_files.main(words)
    assert ended.value.code == 2
    assert problem in capsys.readouterr().err


def test_all_commands_are_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cassette_files.main(["--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert all(name in out and command.summary[:20] in out for name, command in cassette_files.COMMANDS.items())


_PROGRAM = "import sys; from mitm_ai_proxy.commands.cassette_files import main; sys.exit(main(sys.argv[1:]))"


def _start(out: int, *words: str, **environment: str) -> subprocess.Popen[str]:
    addon = str(Path(cassette_files.__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *words],
        stdout=out,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": addon, **environment},
    )


@pytest.mark.programs
def test_a_reader_that_goes_away_is_no_traceback(folder: Path) -> None:
    _write("job.har", *_life(ID))
    reading, writing = os.pipe()
    os.close(reading)
    with _start(writing, "show", "job.har") as process:
        os.close(writing)
        _, err = process.communicate()
    assert (process.returncode, err) == (1, "")


@pytest.mark.programs
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_full_disk_is_no_traceback(folder: Path) -> None:
    _write("job.har", *_life(ID))
    with open("/dev/full", "w") as full, _start(full.fileno(), "show", "job.har") as process:
        _, err = process.communicate()
    assert (process.returncode, err) == (1, "ai-proxy: the output could not be written (No space left on device)\n")


@pytest.mark.programs
def test_a_terminal_without_the_characters_gets_others(folder: Path) -> None:
    _write("job.har", *_life(ID))
    with _start(subprocess.PIPE, "show", "job.har", PYTHONIOENCODING="ascii") as process:
        out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert "\\u2026" in out
