"""Bad input: every field, parameter and path of every endpoint, wrong in every way, is named, and nothing is stored."""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from mitm_ai_proxy.kling import create, picture_fields
from mitm_ai_proxy.kling.tasks import Task
from mitm_ai_proxy.platform import callbacks, signing
from mitm_ai_proxy.platform.decisions import Decision
from mitm_ai_proxy.platform.orders import KNOWN, LONGEST_BODY
from mitm_ai_proxy.platform.replies import Reply, Verdict
from mitm_ai_proxy.platform.states import Money, State
from mitm_ai_proxy.platform.web import follow_ups, live
from mitm_ai_proxy.platform.web.openapi import OPERATIONS
from tests.platform.orders import MANY, TIMING, moved, order, stored
from tests.platform.web.server import KLING_SECRET, SEEDS_BODY, Answer, Server

LINK: Final = "https://files.example/video.mp4"
NOW: Final = 2e9
API, V1, EDITS, EXTENSIONS = "/api/videos", "/v1/videos", "/v1/videos/edits", "/v1/videos/extensions"
REMIX: Final = "/v1/videos/{video_id}/remix"
CALLBACK: Final = f"{callbacks.PATH}{{token}}"
SESSION: Final = "/session"
DONE, OLD, FAILED = "job_done", "job_old", "job_failed"
"""Jobs that are there: two videos, of which Kling can edit the first and extend the second, and one that has failed."""

BODIES: Final[Mapping[str, dict[str, Any]]] = {
    API: dict(SEEDS_BODY),
    V1: {"prompt": "a cat"},
    EDITS: {"prompt": "in the rain", "video": {"id": DONE}},
    REMIX: {"prompt": "in the rain"},
    EXTENSIONS: {"prompt": "and on", "video": {"id": OLD}, "seconds": "5"},
}
"""A body that each create takes."""
_EDITED: Final = follow_ups._EDIT_FIELDS
FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    API: (*KNOWN, "model_name"),
    V1: (*KNOWN, *sorted(create.OPENAI_FIELDS), "image_url", "endFrame", "input_images"),
    EDITS: _EDITED,
    REMIX: tuple(name for name in _EDITED if name != "video"),
    EXTENSIONS: follow_ups._EXTEND_FIELDS,
}
LONG: Final = "x" * 3000
ANY: Final[tuple[Any, ...]] = (7, "x", [1], True, {"a": 1}, LONG)
TAKEN: Final[Mapping[str, tuple[Any, ...]]] = {
    **dict.fromkeys(("prompt", "negative_prompt"), ("x",)),
    **dict.fromkeys(("duration", "seconds"), (7,)),
    "sound": (True,),
    "metadata": ({"a": 1},),
    "watermark_info": ({"a": 1},),
    "video": ("x",),
}
"""Values of ANY that a field may have, or that are wrong otherwise: see ODD and OTHER."""
ODD: Final[Mapping[str, tuple[Any, ...]]] = {
    "prompt": (None, "", " \n", 0.5, LONG),
    "model": ("kling-v9", "kling-v2-master", "dall-e-3"),
    "model_name": ("kling-v3",),
    "duration": (0, -5, 5.5, 16, 1e300, 10**400, "soon", "5s", ""),
    "seconds": (0, -4, 99, 1e300, 10**400, "soon"),
    "negative_prompt": (LONG,),
    "size": ("1x1", "", 720.5),
    "mode": ("fast", "STD"),
    "aspect_ratio": ("", "1:2", "16x9", "4:3"),
    "sound": ("loud", 2),
    "cfg_scale": ("much", 1.01, -0.01, "2", 1e300, 10**400),
    "image": ("ftp://a.test/p.png", "https://", "data:image/png;base64,AAAA"),
    "image_tail": ("https://pictures.example/a.png",),
    "input_reference": ({"file_id": "file-1"}, {"image_url": 5}),
    "callback_url": (
        "", "hooks.example", "ftp://a.test/", "//a.test", "http://a.test/#x", "http://u:p@a.test/", "http://a.test/ x",
        "http://127.0.0.1/", "http://10.0.0.1/", "http://169.254.169.254/latest", f"http://a.test/{LONG}",
    ),
    "account": ("", "other", "../main"),
    "priority": (2, 0.5, 10**400, "1", "high"),
    "metadata": ("{}x", {"a": LONG * 6}),
    "camera_control": ({"type": "zoom"}, {"type": "simple", "config": {"pan": "x"}}),
    "multi_shot": ("perhaps", 2),
    "multi_prompt": ([{"index": "x"}],),
    "element_list": ([{"element_id": "x"}], [{"element_id": 1.5}]),
    "voice_list": ([{"voice_id": 5}],),
    "watermark_info": ({"enabled": "perhaps"},),
    "dynamic_masks": ([{"mask": 5}],),
    "video": (None, "", "../x", {"id": "../x"}, {}, f"ftp{LINK[5:]}"),
}  # fmt: skip
"""What is no value of a field, although it may have its type."""
OTHER: Final[tuple[tuple[str, dict[str, Any], int, str], ...]] = (
    *((path, {"colour": "red"}, 400, "colour") for path in BODIES),
    *((path, {"external_task_id": "mine"}, 400, "external_task_id") for path in BODIES),
    (API, {"promt": "a cat"}, 400, "promt"),
    (API, {"seconds": "5"}, 400, "seconds"),
    (API, {"model": "kling-v3", "model_name": "kling-v3"}, 400, "model_name"),
    (V1, {"n": 2}, 400, "n"),
    (V1, {"seconds": "5", "duration": "5"}, 400, "seconds"),
    (V1, {"metadata": {"model": "x"}}, 400, "metadata.model"),
    (V1, {"metadata": {"mode": "fast"}}, 400, "mode"),
    (EDITS, {"video": {"id": "job_nobody"}}, 404, "video"),
    (EDITS, {"video": {"id": FAILED}}, 400, "video"),
    (EDITS, {"input_reference": LINK}, 400, "input_reference"),
    (EDITS, {"seconds": "8"}, 400, "seconds"),
    (REMIX, {"video": DONE}, 400, "video"),
    (REMIX, {"input_reference": LINK}, 400, "input_reference"),
    (EXTENSIONS, {"video": {"id": "job_nobody"}}, 404, "video"),
    (EXTENSIONS, {"video": {"id": DONE}}, 400, "video"),
    (EXTENSIONS, {"model": "kling-v3"}, 400, "model"),
)
FORMS: Final[Mapping[str, tuple[str, ...]]] = {
    "prompt": ("", LONG),
    "seconds": ("soon", "-4", "1e300"),
    "size": ("1x1",),
    "model": ("dall-e-3",),
    "priority": ("2",),
    "sound": ("loud",),
    "cfg_scale": ("7", "nan"),
    "callback_url": ("http://10.0.0.1/",),
    "element_list": ("[", "[{}"),
    "colour": ("red",),
}
"""Parts of a form, which are text; for the create of OpenAI's API."""
QUERIES: Final[Mapping[str, tuple[str, ...]]] = {
    "limit": ("", "0", "101", "-1", "ten", "1.5", "%D9%A1", "99999999999999999999", "1&limit=2"),
    "order": ("", "up", "ASC", "asc&order=asc"),
    "after": ("job_nobody", "%27%20OR%201", "%00", "x" * 101),
    "status": ("done", "queued,done", "QUEUED", "queued&status=stored"),
    "dry_run": ("", "perhaps", "TRUE", "1&dry_run=1"),
    "discard": ("", "perhaps", "1&discard=0"),
    "variant": ("thumbnail", "spritesheet", "video&variant=video"),
    "tenant": ("default&tenant=default",),
}
HEADERS: Final[Mapping[str, tuple[str, ...]]] = {
    "Idempotency-Key": ("x" * 256, "a\xadb", "\xa0"),
    "Last-Event-ID": ("-1", "1.5", "x", "9" * 19, "\xb2"),
    "Range": ("bytes=9999-", "bytes=-0"),
    # No value of these is wrong: what is not the file's is another version.
    "If-Range": (),
    "If-None-Match": (),
}
UNASKED: Final = frozenset({CALLBACK, "/healthz", "/readyz", "/metrics", "/openapi.json"})
"""Paths that machines ask, whatever their query."""
NOWHERE: Final = ("job_nobody", "%00", "x" * 300, "%ff")
KEYS: Final[tuple[Any, ...]] = ({}, [], "vp_x", {"key": 5}, {"key": ""}, {"key": "a b"}, {"key": "x" * 201}, None)


class Wrong(NamedTuple):
    """A request that is wrong, and what its answer has to be; `param` None: any."""

    method: str
    path: str
    status: int
    param: str | None = None
    body: Any = None
    fields: Mapping[str, str] | None = None
    raw: bytes | None = None


class _Kling:
    """A gateway that has the task of every video."""

    def find(self, path: str, name: str) -> Reply:
        """The task."""
        return Reply(Verdict.TAKEN, task=Task("t1", "succeed", video_id="v1", url=LINK))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server with the jobs that are there; Kling signs its calls."""
    environment = {"KLING_WEBHOOK_SECRET": KLING_SECRET.reveal()}
    with Server(tmp_path, {"privateReceivers": False}, environment=environment) as server:
        monkeypatch.setitem(server.services.clients, "main", _Kling())
        server.set_clock(NOW)
        for job_id, model in ((DONE, "kling-v3"), (OLD, "kling-v1-6"), (FAILED, "kling-v3")):
            server.store.accept(order(job_id, model=model, callback_url="https://hooks.example/"), [], NOW)
            job = server.store.claim_next(MANY, TIMING, NOW, claim="c", lease=60, worker="w")
            assert job
            if job_id == FAILED:
                moved(server.store, job, Decision(State.FAILED, "no", error="invalid", money=Money.RELEASED))
                continue
            (tmp_path / "file").write_bytes(bytes(64))
            server.storage.put(stored(server.store, job).object_name, tmp_path / "file")
        server.store.keys.signing_key()
        yield server


class _Kept:
    """Tells whether anything was stored: a row of any table, a file, or a message."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._messages, self._results = server.messages, folder / "results"
        self._connection = sqlite3.connect(folder / "jobs.db")
        self._before = self._now()

    def has_changed(self) -> bool:
        """Whether it has since it was asked last."""
        before, self._before = self._before, self._now()
        return before != self._before

    def close(self) -> None:
        """Look no more."""
        self._connection.close()

    def _now(self) -> tuple[int, int, list[str]]:
        # Another number after each transaction of others that has written anything.
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return version, self._messages.waiting(), sorted(map(str, self._results.rglob("*")))


@pytest.fixture
def kept(world: Server, tmp_path: Path) -> Iterator[_Kept]:
    """What is stored."""
    with closing(_Kept(world, tmp_path)) as made:
        yield made


def _path(pattern: str, place: str = DONE) -> str:
    head, opening, rest = pattern.partition("{")
    return f"{head}{place}{_path(rest.partition('}')[2], 'msg_1')}" if opening else head


def _form(parts: Mapping[str, str]) -> tuple[bytes, dict[str, str]]:
    lines = [f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n' for name, text in parts.items()]
    return ("".join(lines) + "--b--\r\n").encode(), {"content-type": "multipart/form-data; boundary=b"}


def _is(value: Any, among: tuple[Any, ...]) -> bool:
    """Whether it is one of these, of the same type: 1 is not True here."""
    return any(type(value) is type(other) and value == other for other in among)


def _bodies() -> Iterator[Wrong]:
    for pattern, body in BODIES.items():
        path = _path(pattern)
        for name in FIELDS[pattern]:
            # Their types are one table for all.
            for value in (*(ANY if pattern == API else ANY[:3]), *ODD.get(name, ())):
                # OpenAI's `metadata` has fields of Kling's; an extension has one length.
                is_lifted = pattern != API and name == "metadata" and isinstance(value, dict)
                is_taken = _is(value, TAKEN.get(name, ())) and (pattern, name) != (EXTENSIONS, "seconds")
                if is_lifted or not is_taken:
                    yield Wrong("POST", path, 400, "a" if is_lifted else name, {**body, name: value})
            twice = json.dumps({**body, name: 1})[:-1] + f', "{name}": 1}}'
            yield Wrong("POST", path, 400, name, raw=twice.encode())
    for pattern, changed, status, param in OTHER:
        yield Wrong("POST", _path(pattern), status, param, {**BODIES[pattern], **changed})
    for name, values in FORMS.items():
        for value in values:
            raw, fields = _form({"prompt": "a cat", name: value})
            yield Wrong("POST", V1, 400, name, raw=raw, fields=fields)
    for pattern in BODIES:
        for raw in (b"", b"null", b"[]", b'"a cat"', b"{", b'{"prompt": "\xff"}', b'{"prompt": ' + b"[" * 100_000):
            yield Wrong("POST", _path(pattern), 400, raw=raw)
    for key in KEYS:
        yield Wrong("POST", SESSION, 400, "key", key)
    yield Wrong("POST", SESSION, 401, None, {"key": "vp_nobody"})


def _heads() -> Iterator[Wrong]:
    for pattern, operations in OPERATIONS.items():
        for method, operation in operations.items():
            path, body = _path(pattern), BODIES.get(pattern)
            for name, values in QUERIES.items():
                for value in values if name in operation.query else ():
                    yield Wrong(method.upper(), f"{path}?{name}={value}", 400, name, body)
            for name in operation.headers:
                for value in HEADERS[name]:
                    status = 416 if name == "Range" else 400
                    yield Wrong(method.upper(), path, status, name, body, {name: value})
            if pattern in UNASKED or "characters" in pattern:
                continue
            yield Wrong(method.upper(), f"{path}?colour=red", 400, "colour", body)
            if "{" in pattern:
                for place in NOWHERE:
                    yield Wrong(method.upper(), _path(pattern, place), 404, "id", body)
    yield Wrong("GET", f"{API}?tenant=acme", 403, "tenant")
    yield Wrong("POST", f"/api/videos/{DONE}/deliveries/msg_none", 404, "delivery_id")
    yield Wrong("POST", f"/api/videos/{DONE}/retry", 409, "id")
    yield Wrong("POST", "/v1/videos/characters", 404, None, {"name": "x"})
    yield Wrong("GET", "/v1/videos/characters/x", 404)
    yield Wrong("GET", "/v1/chat/completions", 404)
    yield Wrong("GET", "/api/nothing", 404)


def _calls(server: Server) -> Iterator[Wrong]:
    path = callbacks.address("", server.store.keys.signing_key(), DONE)
    right = signing.fields([KLING_SECRET], "m", NOW, b"{}")
    yield Wrong("POST", path, 401, None, {"a": 1}, right)
    yield Wrong("POST", path, 401, None, {}, {**right, signing.SIGNATURE: "v1,AAAA"})
    yield Wrong("POST", path, 401, None, {}, signing.fields([KLING_SECRET], "m", NOW - 900, b"{}"))
    token = path.rpartition("/")[2]
    forged = f"{token[:-1]}{'a' if token[-1] != 'a' else 'b'}"
    for other in (DONE, f"{token[:-1]}!", forged, "x" * 300, "%00"):
        yield Wrong("POST", f"{callbacks.PATH}{other}", 401, None, {})


def test_whatever_is_wrong_is_named_and_nothing_is_stored(world: Server, kept: _Kept) -> None:
    missed = []
    for wrong in (*_bodies(), *_heads(), *_calls(world)):
        # A stream that should have been refused says nothing for longer.
        patience = live.PING - 1
        answer = world.ask(wrong.method, wrong.path, wrong.body, fields=wrong.fields, raw=wrong.raw, patience=patience)
        error = (answer.json if answer.body else {}).get("error") or {"param": ""}
        is_right = answer.status == wrong.status and wrong.param in (None, error["param"])
        if kept.has_changed() or not is_right:
            missed.append((wrong, answer.status, answer.body[:200]))

    assert missed == [], "\n".join(map(repr, missed))


def test_every_endpoint_and_all_that_it_takes_is_in_the_tables() -> None:
    creates = {
        pattern for pattern, operations in OPERATIONS.items() if operations.get("post") and operations["post"].body
    }
    described = [operation for operations in OPERATIONS.values() for operation in operations.values()]

    assert creates == BODIES.keys() == FIELDS.keys()
    assert {name for operation in described for name in operation.query} == QUERIES.keys()
    assert {name for operation in described for name in operation.headers} == HEADERS.keys()
    assert {"image_url", "endFrame", "input_images"} < picture_fields.NAMES.keys()


def test_the_same_key_with_another_body_or_at_another_endpoint_is_409(world: Server, kept: _Kept) -> None:
    for pattern, body in BODIES.items():
        fields, path = {"idempotency-key": f"one {pattern}"}, _path(pattern)
        first = world.ask("POST", path, body, fields=fields)
        assert first.status in (200, 202), first.body
        assert kept.has_changed()

        spaced = world.ask("POST", path, raw=json.dumps(body, indent=2).encode(), fields=fields)
        assert _id(spaced) == _id(first)
        other = world.ask("POST", path, {**body, "prompt": "a dog"}, fields=fields)
        elsewhere = world.ask("POST", V1 if pattern == API else API, {"prompt": body["prompt"]}, fields=fields)
        assert [other.error, elsewhere.error] == [(409, "key_reused", "Idempotency-Key")] * 2
        assert not kept.has_changed()


def _id(answer: Answer) -> Any:
    return answer.json.get("job_id") or answer.json["id"]


def test_a_body_that_is_too_long_is_413_at_every_endpoint_before_it_was_sent(world: Server, kept: _Kept) -> None:
    most = {**dict.fromkeys(BODIES, LONGEST_BODY), CALLBACK: callbacks.LARGEST, SESSION: 4096}
    for pattern, length in most.items():
        with socket.create_connection(("127.0.0.1", world.port), timeout=30) as client:
            head = f"POST {_path(pattern)} HTTP/1.1\r\nHost: 127.0.0.1:{world.port}\r\nContent-Length: {length + 1}"
            client.sendall(f"{head}\r\n\r\n{{".encode())
            assert client.recv(65536).startswith(b"HTTP/1.1 413"), pattern
    assert not kept.has_changed()
