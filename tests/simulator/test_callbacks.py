"""Callbacks over real sockets, with a clock that the test sets: what is posted, when, to which hosts, how signed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import queue
import socket
import threading
from collections.abc import Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest
from werkzeug.test import Client, TestResponse

from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.config.values import HostPattern
from mitm_ai_proxy.simulator import callbacks
from mitm_ai_proxy.simulator.app import Simulator
from mitm_ai_proxy.simulator.settings import API_KEY, SimulatorSettings
from tests.e2e.proxy import DEADLINE
from tests.tables import table

TEXT = "/v1/videos/text2video"
NEW = "/text-to-video/kling-3.0"
NOW = 1_795_212_000.0
BEGUN, DONE = 10, 1000
"""Seconds after which a task is surely processing, and surely done."""
# Published in Kling's documentation.
VECTOR = {
    "secret": "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI=",
    "message_id": "9876543210",
    "timestamp": "1781080794",
    "body": b'{"id":"1234567890","status":"succeeded","message":"",'
    b'"create_time":1781080778802,"update_time":1781080794151}',
}


class Post(NamedTuple):
    """A request that a receiver got."""

    target: str
    headers: Message
    body: bytes

    @property
    def task(self) -> dict[str, Any]:
        """The body as a JSON object."""
        decoded = json.loads(self.body)
        assert isinstance(decoded, dict)
        return decoded


class Receiver:
    """A client's server on 127.0.0.1. It answers with `status` (0: it closes), after `go` is set."""

    def __init__(self) -> None:
        self.status = 200
        self.go = threading.Event()
        self.go.set()
        self._posts: queue.Queue[Post] = queue.Queue()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver._posts.put(Post(self.path, self.headers, body))
                receiver.go.wait(DEADLINE)
                if receiver.status:
                    self.send_response_only(receiver.status)
                    self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def next(self) -> Post:
        """Wait for the next post."""
        return self._posts.get(timeout=DEADLINE)

    def is_empty(self) -> bool:
        """Whether next() returned every post."""
        return self._posts.empty()

    def close(self) -> None:
        self.go.set()
        self._server.shutdown()
        self._thread.join(DEADLINE)
        self._server.server_close()


class Kling:
    """A simulator whose tasks take as long as Kling's, and its clock."""

    def __init__(self, **settings: Any) -> None:
        self.time = NOW
        self._client = Client(Simulator(SimulatorSettings(**{"speed": 1.0, **settings}), lambda: self.time))

    def ask(self, method: str, path: str, body: Any = None) -> TestResponse:
        return self._client.open(path, method=method, json=body, headers={"Authorization": f"Bearer {API_KEY}"})

    def data(self, method: str, path: str, body: Any = None) -> Any:
        """`data` of an answer, which has to be a success."""
        answer = self.ask(method, path, body)
        assert answer.status_code == 200, answer.text
        return json.loads(answer.data)["data"]

    def create(self, url: str, prompt: str = "a cat", **more: Any) -> str:
        """Create a task with a callback. Returns its id."""
        body = {"model_name": "kling-v3", "prompt": prompt, "callback_url": url, **more}
        return str(self.data("POST", TEXT, body)["task_id"])

    def followed(self, receiver: Receiver, count: int = 3) -> list[Post]:
        """The posts of a task from its start to its end, while the clock advances."""
        posts = [receiver.next()]
        for ahead in (BEGUN, DONE)[-(count - 1) :]:
            self.time = NOW + ahead
            posts.append(receiver.next())
        idle()
        assert receiver.is_empty()
        return posts


def idle() -> None:
    """Wait until no callback is scheduled."""
    for thread in threading.enumerate():
        if thread.name == "simulator callbacks":
            thread.join(DEADLINE)
            assert not thread.is_alive()


def statuses(posts: list[Post]) -> list[str]:
    return [post.task["task_status"] for post in posts]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()
    idle()


@pytest.fixture
def bad() -> Iterator[Receiver]:
    """A second receiver, which misbehaves."""
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The addresses that callbacks tried to connect to; no connection is made."""
    connected: list[tuple[str, int]] = []

    def connect(connection: http.client.HTTPConnection) -> None:
        connected.append((connection.host, connection.port))
        raise ConnectionRefusedError

    def resolve(*_: object, **__: object) -> None:
        raise AssertionError("a host was resolved")

    monkeypatch.setattr(http.client.HTTPConnection, "connect", connect)
    monkeypatch.setattr(http.client.HTTPSConnection, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return connected


# What is posted


def test_each_change_of_status_is_posted_in_order(receiver: Receiver) -> None:
    kling = Kling()
    task_id = kling.create(f"{receiver.url}?who=me", external_task_id="mine")
    posts = kling.followed(receiver)
    retrieved = kling.data("GET", f"{TEXT}/{task_id}")

    assert statuses(posts) == ["submitted", "processing", "succeed"]
    for post in posts:
        assert (post.target, post.headers["Content-Type"]) == ("/hook?who=me", "application/json")
        assert "Authorization" not in post.headers
        assert {"code", "message", "request_id", "data"}.isdisjoint(post.task)
        assert (post.task["task_id"], post.task["task_info"]) == (task_id, {"external_task_id": "mine"})
        assert post.task["created_at"] == int(NOW * 1000)
    updated = [post.task["updated_at"] for post in posts]
    assert updated == sorted(set(updated))
    assert posts[2].task == retrieved
    assert retrieved["task_result"]["videos"][0]["url"].startswith("http://localhost/simulated/")


def test_at_a_thousand_times_the_speed_the_last_post_is_the_result(receiver: Receiver) -> None:
    body = {"model_name": "kling-v3", "prompt": "a cat", "callback_url": receiver.url}
    simulator = Simulator(SimulatorSettings(speed=1000))
    headers = {"Authorization": f"Bearer {API_KEY}"}
    assert Client(simulator).post(TEXT, json=body, headers=headers).status_code == 200

    posts = [receiver.next() for _ in range(3)]
    assert statuses(posts)[-1] == "succeed"
    assert posts[-1].task["task_result"]["videos"]


def test_a_failed_task_ends_with_failed_and_its_message(receiver: Receiver) -> None:
    kling = Kling()
    kling.create(receiver.url, "a cat [simulate:failed=No cats today]")
    posts = kling.followed(receiver)

    assert statuses(posts) == ["submitted", "processing", "failed"]
    last = posts[2].task
    assert (last["task_status_msg"], last["task_result"], last["final_unit_deduction"]) == ("No cats today", {}, "0")
    assert [post.task["task_status_msg"] for post in posts[:2]] == ["", ""]


def test_a_task_with_a_bad_picture_goes_straight_to_failed(receiver: Receiver) -> None:
    kling = Kling()
    kling.create(receiver.url, "a cat [simulate:picture]")
    posts = kling.followed(receiver, 2)

    assert statuses(posts) == ["submitted", "failed"]
    assert posts[1].task["task_status_msg"] == "Image pixel is invalid"


def test_a_task_of_the_new_design_posts_the_new_shape(receiver: Receiver) -> None:
    kling = Kling()
    options = {"callback_url": receiver.url, "external_task_id": "mine"}
    task_id = kling.data("POST", NEW, {"prompt": "a cat", "options": options})["id"]
    posts = kling.followed(receiver)

    assert [post.task["status"] for post in posts] == ["submitted", "processing", "succeeded"]
    for post in posts:
        assert {"id", "status", "message", "create_time", "update_time", "external_id"} <= post.task.keys()
        assert {"code", "request_id", "data", "task_id", "task_status"}.isdisjoint(post.task)
        assert (post.task["id"], post.task["external_id"]) == (task_id, "mine")
    assert [posts[2].task] == kling.data("GET", f"/tasks?task_ids={task_id}")
    assert posts[2].task["outputs"][0]["type"] == "video"


def test_a_create_that_is_refused_posts_nothing(receiver: Receiver) -> None:
    kling = Kling()
    body = {"model_name": "kling-v1", "prompt": "a cat", "callback_url": receiver.url}
    assert kling.ask("POST", TEXT, body).status_code == 404
    kling.create(receiver.url, "a dog")
    task = kling.followed(receiver)[0].task

    assert task["task_id"] == kling.data("GET", TEXT)[0]["task_id"]


def test_a_create_whose_answer_is_lost_posts_all_the_same(receiver: Receiver) -> None:
    kling = Kling()
    kling.create(receiver.url, "a cat [simulate:lost]")

    assert statuses(kling.followed(receiver)) == ["submitted", "processing", "succeed"]


def test_callbacks_of_several_tasks_are_each_their_own(receiver: Receiver) -> None:
    kling = Kling()
    tasks = [kling.create(f"{receiver.url}/{number}", external_task_id=f"name-{number}") for number in range(4)]
    seen: dict[str, list[tuple[str, str]]] = {}
    for ahead in (0, BEGUN, DONE):
        kling.time = NOW + ahead
        for _ in tasks:
            post = receiver.next()
            seen.setdefault(post.target, []).append((post.task["task_id"], post.task["task_status"]))

    expected = ("submitted", "processing", "succeed")
    assert seen == {f"/hook/{i}": [(task, status) for status in expected] for i, task in enumerate(tasks)}


def test_each_change_is_posted_also_to_a_receiver_that_is_slow(receiver: Receiver) -> None:
    kling = Kling()
    receiver.go.clear()
    kling.create(receiver.url)
    posts = [receiver.next()]
    kling.time += DONE
    receiver.go.set()
    posts += [receiver.next(), receiver.next()]

    assert statuses(posts) == ["submitted", "processing", "succeed"]


def test_a_task_that_is_done_in_an_instant_posts_each_change(receiver: Receiver) -> None:
    kling = Kling(speed=float("inf"))
    kling.create(receiver.url)

    assert statuses([receiver.next() for _ in range(3)]) == ["submitted", "processing", "succeed"]


# Signatures


def test_the_signature_is_that_of_kling_s_own_example() -> None:
    assert callbacks.signature(**VECTOR) == "v1,UsKlJP00XoQyOn410NM9xv34sP+Gl0jnOO9Lcpr7NJ4="  # type: ignore[arg-type]


@pytest.mark.parametrize("skew", [0.0, -600.0])
def test_with_a_webhook_secret_each_post_is_signed(skew: float, receiver: Receiver) -> None:
    key = b"a key of the tests, 32 bytes long"
    secret = "whsec_" + base64.b64encode(key).decode()
    kling = Kling(webhook_secret=Secret(secret), clock_skew=skew)
    kling.create(receiver.url)
    posts = kling.followed(receiver)

    for post, ahead in zip(posts, (0, BEGUN, DONE), strict=True):
        message_id, timestamp = post.headers["webhook-id"], post.headers["webhook-timestamp"]
        assert timestamp == str(int(NOW + ahead + skew))
        signed = f"{message_id}.{timestamp}.".encode() + post.body
        mac = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert post.headers["webhook-signature"] == f"v1,{mac}"
    assert len({post.headers["webhook-id"] for post in posts}) == 3


def test_without_a_webhook_secret_nothing_is_signed(receiver: Receiver) -> None:
    kling = Kling()
    kling.create(receiver.url)

    for post in kling.followed(receiver):
        assert not [name for name in post.headers if name.lower().startswith("webhook-")]


# Where callbacks may go


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://callbacks.test/hook", "callbacks.test"),
        ("https://callbacks.test/hook", "callbacks.test"),
        ("http://localhost@callbacks.test/", "callbacks.test"),
        ("http://127.0.0.1.callbacks.test/", "127.0.0.1.callbacks.test"),
        ("http://localhost.callbacks.test/", "localhost.callbacks.test"),
        ("http://192.0.2.1/", "192.0.2.1"),
        ("http://0.0.0.0/", "0.0.0.0"),
        ("http://2130706433/", "2130706433"),
        ("http://[2001:db8::1]/", "2001:db8::1"),
        ("http://allowed.test:81/", "allowed.test"),
        ("http://a\x1b.test/", "a\\x1b.test"),
    ],
)
def test_a_callback_to_another_machine_is_not_sent_and_logged(
    url: str, host: str, connected: list[tuple[str, int]], caplog: pytest.LogCaptureFixture
) -> None:
    kling = Kling(callback_hosts=(HostPattern("allowed.test", 80),))
    task_id = kling.create(url)
    kling.time += DONE
    idle()

    assert connected == []
    (record,) = caplog.records
    assert (record.levelname, host in record.getMessage()) == ("WARNING", True)
    assert "callbackHosts" in record.getMessage()
    assert kling.data("GET", f"{TEXT}/{task_id}")["task_status"] == "succeed"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://callbacks.test/hook", ("callbacks.test", 80)),
        ("https://callbacks.test/hook", ("callbacks.test", 443)),
        ("http://Callbacks.Test:8080/hook", ("callbacks.test", 8080)),
        ("http://other.test:81/hook", ("other.test", 81)),
        ("http://localhost:82/hook", ("localhost", 82)),
        ("http://127.1.2.3:83/hook", ("127.1.2.3", 83)),
        ("http://[::1]:84/hook", ("::1", 84)),
    ],
)
def test_a_callback_to_this_machine_or_a_host_that_is_named_is_tried(
    url: str, expected: tuple[str, int], connected: list[tuple[str, int]], caplog: pytest.LogCaptureFixture
) -> None:
    kling = Kling(callback_hosts=(HostPattern("callbacks.test"), HostPattern("other.test", 81)))
    kling.create(url)
    kling.time += DONE
    idle()

    assert connected == [expected] * 3
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert all("failed: ConnectionRefusedError" in record.getMessage() for record in caplog.records)


def test_a_password_in_a_callback_url_is_not_logged(
    connected: list[tuple[str, int]], caplog: pytest.LogCaptureFixture
) -> None:
    kling = Kling()
    kling.create("http://user:word-of-the-user@127.0.0.1:85/hook?token=token-of-the-user")
    kling.time += DONE
    idle()

    assert len(connected) == 3
    assert "-of-the-user" not in caplog.text


# What disturbs nobody


@pytest.mark.parametrize("behaviour", ["500", "redirect", "close", "nobody", "no HTTP"])
def test_a_receiver_that_does_not_behave_does_not_disturb_the_next(
    behaviour: str, bad: Receiver, receiver: Receiver
) -> None:
    kling = Kling()
    bad.status = {"500": 500, "redirect": 302, "close": 0}.get(behaviour, 200)
    url = bad.url
    if behaviour == "nobody":
        with socket.create_server(("127.0.0.1", 0)) as listener:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    elif behaviour == "no HTTP":
        bad.status = 99
    kling.create(url, "a dog")
    kling.create(receiver.url)

    assert statuses(kling.followed(receiver)) == ["submitted", "processing", "succeed"]
    if behaviour != "nobody":
        assert statuses([bad.next() for _ in range(3)]) == ["submitted", "processing", "succeed"]
        assert bad.is_empty()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/é", "http://127.0.0.1:9/a b"])
def test_a_callback_url_that_cannot_be_sent_does_not_disturb_the_next(
    url: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", ended.append)
    kling = Kling()
    kling.create(url, "[simulate:picture]")
    kling.time += DONE
    idle()
    assert ended == []
    kling.time = NOW
    kling.create(receiver.url)

    assert statuses(kling.followed(receiver)) == ["submitted", "processing", "succeed"]


@table("port", ["99999", "port"])
def test_a_callback_url_with_a_wrong_port_is_refused_and_nothing_is_made(port: str) -> None:
    kling = Kling()
    body = {"model_name": "kling-v3", "prompt": "a cat", "callback_url": f"http://127.0.0.1:{port}/"}
    answer = kling.ask("POST", TEXT, body)

    assert (answer.status_code, json.loads(answer.data)["code"]) == (400, 1201)
    assert kling.data("GET", TEXT) == []
