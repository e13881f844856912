"""The fake Kling of the contract tests: its tasks advance with each poll, and tests can make it fail.

It follows the public documentation of the legacy video endpoints, without code of the addon.
"""

from __future__ import annotations

import itertools
import json
import re
import socket
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.e2e.http_server import Handler, Server

FAMILIES = ("text2video", "image2video", "video-extend", "omni-video")
ELEMENTS = "advanced-custom-elements"
"""A kind of tasks that make no video."""
HOLD_LIMIT = 20
"""Seconds after which an answer that is held back is sent anyway."""
MP4 = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00isommp42" + bytes(range(256)) * 16
"""The file of the CDN: no video, but bytes that decoding as text would change."""


@dataclass(frozen=True)
class Received:
    """A request as it arrived: the target as written, header lines in order."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    at: float

    def all(self, name: str) -> list[str]:
        """Every value of a header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def path(self) -> str:
        """The target without its query."""
        return urlsplit(self.target).path

    @property
    def json(self) -> dict[str, Any]:
        """The body, which must be one JSON object."""
        decoded = json.loads(self.body)
        assert isinstance(decoded, dict), self.body
        return decoded


@dataclass(frozen=True)
class Fault:
    """A fault that replaces the usual answer to one request.

    `accept`: a create is carried out and charged first. `lost`: the connection is closed without an answer.
    `until`: the answer waits for this event. Without a status, and unless it is lost, the usual answer follows.
    """

    accept: bool = False
    lost: bool = False
    until: threading.Event | None = None
    status: int | None = None
    code: int = 0
    message: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    page: bytes | None = None
    """A body to send instead of JSON."""


def answer_lost() -> Fault:
    """The task is accepted, and the connection closed without an answer."""
    return Fault(accept=True, lost=True)


def broken_after_acceptance(status: int = 500, code: int = 5000) -> Fault:
    """The task is accepted, and the answer is a server error."""
    return Fault(accept=True, status=status, code=code, message="Internal server error")


def held(until: threading.Event) -> Fault:
    """The task is accepted, and the usual answer waits for an event."""
    return Fault(accept=True, until=until)


def refusal(status: int, code: int, message: str, **headers: str) -> Fault:
    """An error in place of the task; `retry_after_ms="50"` is a header."""
    fields = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Fault(status=status, code=code, message=message, headers=fields)


def gateway_page(status: int) -> Fault:
    """The HTML page of a gateway in front of Kling if Kling is down."""
    return Fault(status=status, page=b"<html><title>Bad Gateway</title></html>")


@dataclass
class Task:
    """A task. `polls` is the number of further polls that show it as unfinished."""

    family: str
    task_id: str
    external_task_id: str | None
    asked: dict[str, Any]
    polls: int
    failure: str | None
    created_at: int
    updated_at: int
    reads: int = 0

    @property
    def status(self) -> str:
        """Kling's status of the task."""
        if self.reads > self.polls:
            return "failed" if self.failure else "succeed"
        return "submitted" if self.reads < 2 else "processing"


@dataclass
class Refused(Exception):
    """A request is answered with an error."""

    status: int
    code: int
    message: str


@dataclass
class State:
    """The state that tests may read and set."""

    polls: int = 1
    """The number of polls that show a new task as unfinished."""
    failure: str | None = None
    """The `task_status_msg` that new tasks fail with."""
    tasks: list[Task] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    downloads: list[Received] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


class Kling:
    """Serves the API at `address` and the result files at `cdn`, both on free ports of 127.0.0.1."""

    def __init__(self) -> None:
        self.state = State()
        self._lock = threading.Condition()
        self._numbers = itertools.count(831234567890123456, 1_000_003)
        self._api = _serve(self._answer)
        self._cdn = _serve(self._download)
        self.address = f"127.0.0.1:{self._api.server_address[1]}"
        self.cdn = f"http://127.0.0.1:{self._cdn.server_address[1]}"

    def reset(self) -> None:
        """Forget the tasks and requests of the test before."""
        with self._lock:
            self.state = State()

    def close(self) -> None:
        """Stop serving."""
        for server in (self._api, self._cdn):
            server.shutdown()
            server.server_close()

    @property
    def bought(self) -> int:
        """The number of accepted tasks, which are charged."""
        with self._lock:
            return len(self.state.tasks)

    @property
    def received(self) -> list[Received]:
        """The requests so far."""
        with self._lock:
            return list(self.state.received)

    def wait_for(self, count: int) -> None:
        """Wait until `count` requests have arrived; fails if they do not."""
        with self._lock:
            assert self._lock.wait_for(lambda: len(self.state.received) >= count, HOLD_LIMIT), "too few requests came"

    @property
    def downloads(self) -> list[Received]:
        """The requests for result files so far."""
        with self._lock:
            return list(self.state.downloads)

    @property
    def creates(self) -> list[Received]:
        """The requests so far that create a task."""
        return [request for request in self.received if request.method == "POST"]

    @property
    def task(self) -> Task:
        """The only task."""
        with self._lock:
            assert len(self.state.tasks) == 1, f"{len(self.state.tasks)} tasks were bought"
            return self.state.tasks[0]

    def next(self, *faults: Fault) -> None:
        """Set the faults of the next requests, one for each."""
        with self._lock:
            self.state.faults.extend(faults)

    def add(self, family: str, count: int = 1, *, finished: bool = False) -> list[Task]:
        """Add tasks of another client, oldest first, each created in a second of its own."""
        with self._lock:
            made = [self._accept(family, {"prompt": "of somebody else"}) for _ in range(count)]
            for task in made:
                task.reads = task.polls + 1 if finished else 0
            return made

    # The API ----------------------------------------------------------------------------------------------

    def _answer(self, handler: _Handler, request: Received) -> None:
        with self._lock:
            self.state.received.append(request)
            self._lock.notify_all()
            fault = self.state.faults.pop(0) if self.state.faults else None
            answer = None
            if fault is None or fault.accept or (fault.status is None and not fault.lost):
                answer = self._carry_out(request)
        if fault and fault.until:
            fault.until.wait(HOLD_LIMIT)
        if fault and fault.lost:
            handler.hang_up()
            return
        if fault and fault.status is not None:
            answer = fault.status, _envelope(fault.code, fault.message)
        if fault and fault.status is not None and fault.page is not None:
            handler.answer(fault.status, fault.page, "text/html")
            return
        assert answer
        status, body = answer
        handler.answer(status, json.dumps(body).encode(), "application/json", *(fault.headers if fault else ()))

    def _carry_out(self, request: Received) -> tuple[int, dict[str, Any]]:
        try:
            return 200, _envelope(0, "SUCCEED", self._result(request))
        except Refused as refused:
            return refused.status, _envelope(refused.code, refused.message)

    def _result(self, request: Received) -> object:
        scheme, _, token = (request.all("Authorization") or [""])[0].partition(" ")
        if len(request.all("Authorization")) != 1 or scheme != "Bearer" or not token.strip():
            raise Refused(401, 1001, "Authorization is missing")
        match = re.fullmatch(r"/v1/(?:videos|general)/([a-z0-9-]+)(?:/([^/]+))?", request.path)
        if not match or not request.path.startswith(_path(match[1])):
            raise Refused(404, 1203, f"no such resource: {request.path}")
        family, name = match[1], match[2]
        if request.method == "POST" and name is None:
            return _created(self._create(family, request.body))
        if request.method == "GET" and name is None:
            return self._page(family, parse_qs(urlsplit(request.target).query))
        if request.method == "GET":
            return self._read(family, unquote(name))
        raise Refused(404, 1202, "wrong method")

    def _create(self, family: str, body: bytes) -> Task:
        try:
            asked = json.loads(body)
        except ValueError:
            raise Refused(400, 1200, "the body is not JSON") from None
        if not isinstance(asked, dict):
            raise Refused(400, 1200, "the body is not an object")
        required = _REQUIRED.get(family, ("prompt",))
        if not any(isinstance(asked.get(name), str) and asked[name] for name in required):
            raise Refused(400, 1201, f"{required[0]} can not be null")
        external = asked.get("external_task_id")
        if external is not None and any(task.external_task_id == external for task in self.state.tasks):
            raise Refused(400, 1201, f"External_task_id {external} already exists")
        return self._accept(family, asked)

    def _accept(self, family: str, asked: dict[str, Any]) -> Task:
        now = time.time_ns() // 1_000_000
        if self.state.tasks:
            now = max(now, self.state.tasks[-1].created_at + 1000)
        number = str(next(self._numbers))
        external = asked.get("external_task_id")
        task = Task(family, number, external, asked, self.state.polls, self.state.failure, now, now)
        self.state.tasks.append(task)
        return task

    def _read(self, family: str, name: str) -> dict[str, Any]:
        for task in self.state.tasks:
            if task.family == family and name in (task.task_id, task.external_task_id):
                task.reads += 1
                task.updated_at = task.created_at + 1500 * task.reads
                return self._task(task)
        raise Refused(400, 1201, f"Task not found by id/external id: {name}")

    def _page(self, family: str, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        number, size = int(query.get("pageNum", ["1"])[-1]), int(query.get("pageSize", ["30"])[-1])
        if not 1 <= number <= 1000:
            raise Refused(400, 1201, f"pageNum value '{number}' is invalid")
        if not 1 <= size <= 500:
            raise Refused(400, 1201, f"pageSize value '{size}' is invalid")
        newest_first = [task for task in reversed(self.state.tasks) if task.family == family]
        return [self._task(task) for task in newest_first[(number - 1) * size : number * size]]

    def _task(self, task: Task) -> dict[str, Any]:
        shown = _created(task) | {"task_status_msg": "", "task_result": {}}
        if task.status == "failed":
            shown["task_status_msg"] = task.failure
        if task.status == "succeed" and task.family == ELEMENTS:
            element = {"element_id": 160, "element_name": task.asked["element_name"], "status": "succeed"}
            shown["task_result"] = {"elements": [element]}
        elif task.status == "succeed":
            video = {"id": f"v-{task.task_id}", "url": self.url(task), "duration": self.duration(task)}
            shown["task_result"] = {"videos": [video]}
            shown["final_unit_deduction"] = "2.5"
        return shown

    def url(self, task: Task) -> str:
        """The signed link to the result of a task, with characters that must arrive unchanged."""
        return f"{self.cdn}/result/{task.task_id}.mp4?sign=a%2Fb%3D&e=1797804000&t=x+y"

    def duration(self, task: Task) -> str:
        """The real length of the video, a little more than the requested one."""
        return f"{task.asked.get('duration', '5')}.041"

    # The CDN ----------------------------------------------------------------------------------------------

    def _download(self, handler: _Handler, request: Received) -> None:
        with self._lock:
            self.state.downloads.append(request)
            known = any(self.url(task) == self.cdn + request.target for task in self.state.tasks)
        if known:
            handler.answer(200, MP4, "video/mp4")
        else:
            handler.answer(403, b"<html>denied</html>", "text/html")


_REQUIRED = {
    "image2video": ("image", "image_tail"),
    "video-extend": ("video_id",),
    ELEMENTS: ("element_name",),
}


def _path(family: str) -> str:
    if family == ELEMENTS:
        return f"/v1/general/{family}"
    return f"/v1/videos/{family}" if family in FAMILIES else "/nowhere"


def _created(task: Task) -> dict[str, Any]:
    return {
        "task_id": task.task_id,
        "task_status": task.status,
        "task_info": {} if task.external_task_id is None else {"external_task_id": task.external_task_id},
        "created_at": task.created_at,
        "updated_at": task.updated_at,
    }


def _envelope(code: int, message: str, data: object = None) -> dict[str, Any]:
    envelope: dict[str, Any] = {"code": code, "message": message, "request_id": str(uuid.uuid4())}
    return envelope if code else envelope | {"data": data}


class _Handler(Handler):
    protocol_version = "HTTP/1.1"

    def answer(self, status: int, body: bytes, content_type: str, *headers: tuple[str, str]) -> None:
        self.send_response_only(status)
        for name, value in (("Content-Type", content_type), ("Content-Length", str(len(body))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


def _serve(respond: Any) -> Server:
    class Answering(_Handler):
        def handle_any(self) -> None:
            lines = tuple(self.headers.items())
            respond(self, Received(self.command, self.path, lines, self.read_body(), time.monotonic()))

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = handle_any

    server = Server(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server
