"""Cassettes in a real mitmproxy: recorded exchanges, the written files, and replays, which send nothing."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urljoin, urlsplit

import pytest

from mitm_ai_proxy.cassette import har
from mitm_ai_proxy.cassette.entry import Entry, Request, Response
from mitm_ai_proxy.cassette.scrubbing import findings
from tests.e2e.conftest import ACCESS_KEY, SECRET_KEY, StartProxy
from tests.e2e.embedded import InThread
from tests.e2e.proxy import DEADLINE, Listening, Proxy, Reply
from tests.e2e.upstream import Answer, Received, Upstream

JSON = {"Content-Type": "application/json"}
CLIENT_KEY = "sk-of-the-client-0123456789"
SDK = {**JSON, "User-Agent": "OpenAI/Python 2.0.0", "Authorization": f"Bearer {CLIENT_KEY}", "Cookie": "session=c00kie"}
CREATE = b'{"model":"kling-v3","prompt":"a cat"}'
FILE = bytes(range(256)) * 400
SIGN = "s1gn4ture"
VIDEO = (("Content-Type", "video/mp4"), ("Accept-Ranges", "bytes"))
TIMES = {"created_at": 1_722_769_557_708, "updated_at": 1_722_769_647_708}
POLLS = 5
"""The number of polls until a job is done."""


class Provider:
    """Kling and, at another address, the host of its results."""

    def __init__(self, api: Upstream, files: Upstream) -> None:
        self.api, self.files = api, files
        self._lock = threading.Lock()
        self._asked: dict[str, int] = {}
        api.respond, files.respond = self._api, lambda request: Answer(200, FILE, VIDEO)

    def _api(self, request: Received) -> Answer:
        with self._lock:
            if request.method == "POST":
                task = f"83{len(self._asked):016}"
                self._asked[task] = 0
                return _says({"task_id": task, "task_status": "submitted", **TIMES})
            task = request.target.rpartition("/")[2]
            self._asked[task] += 1
            if self._asked[task] < POLLS:
                return _says({"task_id": task, "task_status": "processing", **TIMES})
            link = f"http://{self.files.address}/results/{task}.mp4?x-kcdn-pid=1&sign={SIGN}&expires=99"
            result = {"videos": [{"id": "v", "url": link, "duration": "5"}]}
            data = {"task_id": task, "task_status": "succeed", "task_result": result, "final_unit_deduction": "3"}
            return _says({**data, **TIMES})


def _says(data: dict[str, Any]) -> Answer:
    return Answer(body=json.dumps({"code": 0, "message": "SUCCEED", "request_id": "r", "data": data}).encode())


@pytest.fixture(scope="session")
def files_server() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.close()


@pytest.fixture
def provider(upstream: Upstream, files_server: Upstream) -> Provider:
    """A provider that has received no requests yet."""
    files_server.reset()
    return Provider(upstream, files_server)


@pytest.fixture
def cassette(tmp_path: Path) -> Path:
    """The path of the cassette."""
    return tmp_path / "job.har"


class StartInside(Protocol):
    """As StartProxy, in this process; it ends the one before."""

    def __call__(self, config: str, *arguments: str) -> InThread: ...


@pytest.fixture
def start_inside() -> Iterator[StartInside]:
    started: list[InThread] = []

    def start(config: str, *arguments: str) -> InThread:
        if started:
            started.pop().close()
        started.append(InThread(config, **dict(word.split("=", 1) for word in arguments if word != "--set")))
        return started[0]

    yield start
    if started:
        started.pop().close()


def _record(cassette: Path) -> tuple[str, ...]:
    return ("--set", f"ai_record={cassette}")


def _replay(cassette: Path) -> tuple[str, ...]:
    return ("--set", f"ai_replay={cassette}")


def _without_key(config: str) -> str:
    """A configuration without a credential."""
    return re.sub(r"  kling(Access|Secret)Key: .*\n", lambda match: f"  kling{match[1]}Key: ${{NOT_SET}}\n", config)


def _target(link: str, proxy: Listening) -> str:
    parts = urlsplit(link)
    assert (parts.scheme, parts.hostname, parts.port) == ("http", "127.0.0.1", proxy.port), link
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _json(reply: Reply, status: int = 200) -> Any:
    assert reply.status == status, reply.body
    return json.loads(reply.body)


def _make(proxy: Listening, polls: int = POLLS, body: bytes = CREATE) -> tuple[dict[str, Any], Reply]:
    """Make a video as OpenAI's SDK does; returns the final state and the file."""
    video = _json(proxy.request("POST", "/v1/videos", body, SDK))
    for _ in range(polls):
        video = _json(proxy.request("GET", f"/v1/videos/{video['id']}", None, SDK))
    content = proxy.request("GET", f"/v1/videos/{video['id']}/content", None, SDK)
    assert content.status == 302, content.body
    return video, proxy.request("GET", _target(content.headers["Location"], proxy), None, SDK)


def _link(video: dict[str, Any]) -> str:
    """The link to the file in Kling's task, which the OpenAI object has beside its own members."""
    link = video["data"]["task_result"]["videos"][0]["url"]
    assert isinstance(link, str)
    return link


def _written(cassette: Path) -> bytes:
    paths = [cassette, *cassette.with_suffix(".bodies").glob("*")]
    return b"\n".join([path.read_bytes() + path.name.encode() for path in paths])


def test_a_recorded_job_replays_without_its_provider(
    kling: str, provider: Provider, start_proxy: StartProxy, cassette: Path
) -> None:
    recorder = start_proxy(kling, *_record(cassette))
    recorded, file = _make(recorder)
    recorder.close()
    assert (recorded["status"], file.body) == ("completed", FILE)
    requests, connections = provider.api.received.qsize(), provider.api.connections
    assert requests == 1 + POLLS + 1

    written = _written(cassette)
    proxy = start_proxy(_without_key(kling), *_replay(cassette))
    # With as many polls as the job has states, and with more polls than were recorded.
    replayed, again = _make(proxy, polls=2)
    states = [_json(proxy.request("GET", f"/v1/videos/{replayed['id']}", None, SDK))["status"] for _ in range(9)]

    assert _link(replayed).startswith(f"http://127.0.0.1:{proxy.port}/linked/http/{provider.files.address}/")
    assert {**replayed, "data": {}} == {**recorded, "data": {}}
    assert (again.body, again.headers["Content-Type"]) == (FILE, "video/mp4")
    assert states == ["completed"] * 9
    assert (provider.api.received.qsize(), provider.api.connections) == (requests, connections)
    assert _written(cassette) == written


def test_two_jobs_with_equal_bodies_do_not_mix(
    kling: str, provider: Provider, start_inside: StartInside, cassette: Path
) -> None:
    proxy = start_inside(kling, *_record(cassette))
    recorded = [_make(proxy)[0]["id"], _make(proxy)[0]["id"]]
    proxy = start_inside(kling, *_replay(cassette))
    first = _json(proxy.request("POST", "/v1/videos", CREATE, SDK))["id"]
    second = _json(proxy.request("POST", "/v1/videos", CREATE, SDK))["id"]

    def states(video: str) -> list[str]:
        return [_json(proxy.request("GET", f"/v1/videos/{video}", None, SDK))["status"] for _ in range(2)]

    assert [first, second] == recorded
    assert states(second) == states(first) == ["in_progress", "completed"]


def test_nothing_secret_is_written(kling: str, provider: Provider, start_proxy: StartProxy, cassette: Path) -> None:
    proxy = start_proxy(f"{kling}\nscrub: [prompts, X-Team]\n", *_record(cassette))
    body = json.dumps({"model": "kling-v3", "prompt": "a most private cat", "x_note": f"key {SECRET_KEY}"}).encode()
    _make(proxy, body=body)
    proxy.request("POST", f"/v1/videos/text2video?api_key={CLIENT_KEY}", b"{}", {**SDK, "X-Team": "the-quiet-ones"})
    tokens = [request.one("Authorization") for request in _received(provider.api)]
    log = proxy.close().encode()

    written = _written(cassette)
    assert b"text2video" in written
    assert len(tokens) == POLLS + 3
    for secret in (SECRET_KEY, ACCESS_KEY, CLIENT_KEY, SIGN, "c00kie", "quiet", "private cat", *tokens):
        assert secret
        assert secret.removeprefix("Bearer ").encode() not in written
        assert secret.removeprefix("Bearer ").encode() not in log
    assert [findings(entry, [SECRET_KEY]) for entry in har.read(cassette)] == [[]] * (POLLS + 4)
    replayed, file = _make(start_proxy(f"{kling}\nscrub: [prompts, X-Team]\n", *_replay(cassette)), 2, body)
    assert (replayed["status"], file.body) == ("completed", FILE)


def _received(upstream: Upstream) -> list[Received]:
    found = []
    while not upstream.received.empty():
        found.append(upstream.next())
    return found


def _under_way(proxy: Listening, provider: Provider) -> tuple[http.client.HTTPConnection, threading.Event]:
    """Send a create that the provider does not answer yet; returns the connection, and the event that lets it."""
    arrived, release = threading.Event(), threading.Event()

    def hang(request: Received) -> Answer:
        arrived.set()
        release.wait(DEADLINE)
        return Answer()

    provider.api.respond = hang
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=DEADLINE)
    connection.request("POST", "/v1/videos", CREATE, JSON)
    assert arrived.wait(DEADLINE)
    return connection, release


def test_a_killed_proxy_loses_at_most_the_exchange_under_way(
    kling: str, provider: Provider, start_proxy: StartProxy, cassette: Path
) -> None:
    proxy = start_proxy(kling, *_record(cassette))
    for count in range(1, 4):
        proxy.request("POST", "/v1/videos", CREATE, JSON)
        # Once the client has its answer, the exchange is in the file.
        assert len(har.read(cassette)) == count
    connection, release = _under_way(proxy, provider)
    os.kill(proxy.process_id, signal.SIGKILL)
    assert proxy.ended() == -signal.SIGKILL
    release.set()
    connection.close()

    assert len(har.read(cassette)) == 3
    assert [path.name for path in cassette.parent.glob(".*.tmp")] == []


def test_a_client_that_leaves_and_a_provider_that_fails_are_recorded(
    kling: str, provider: Provider, start_inside: StartInside, cassette: Path
) -> None:
    proxy = start_inside(kling, *_record(cassette))
    connection, release = _under_way(proxy, provider)
    connection.close()
    provider.api.respond = lambda request: Answer(500, b"oh")
    assert proxy.request("POST", "/v1/videos/text2video", b'{"prompt":"2"}', JSON).status == 500
    release.set()

    entries = sorted(har.read(cassette), key=lambda entry: entry.request.body)
    assert [entry.response and entry.response.status for entry in entries] == [None, 500]


def test_what_could_not_be_written_is_said_and_written_with_the_next(
    kling: str, provider: Provider, start_inside: StartInside, tmp_path: Path
) -> None:
    folder = tmp_path / "recordings"
    proxy = start_inside(kling, *_record(folder / "job.har"))
    proxy.request("POST", "/v1/videos", CREATE, JSON)
    folder.rename(tmp_path / "elsewhere")
    folder.write_text("no folder")
    assert proxy.request("POST", "/v1/videos", CREATE, JSON).status == 200
    said = proxy.wait_for("not recorded yet")
    folder.unlink()
    (tmp_path / "elsewhere").rename(folder)
    proxy.request("POST", "/v1/videos", CREATE, JSON)

    assert "job.har: could not be locked (" in said
    assert "the next exchange tries again" in said
    assert len(har.read(folder / "job.har")) == 3


def test_an_answer_that_cannot_be_decoded_is_recorded_and_replayed_as_it_came(
    upstream: Upstream, start_inside: StartInside, cassette: Path
) -> None:
    config = f"provider: {{type: generic, genericHost: 'http://{upstream.address}'}}"
    kind = (("Content-Type", "application/json"), ("Content-Encoding", "gzip"))
    upstream.respond = lambda request: Answer(200, b"no gzip", kind)
    proxy = start_inside(config, *_record(cassette))
    recorded = proxy.request("GET", "/x")
    proxy.wait_for("the answer to GET /x is recorded as it came: it could not be decoded")
    replayed = start_inside(config, *_replay(cassette)).request("GET", "/x")

    assert (recorded.body, recorded.headers["Content-Encoding"]) == (b"no gzip", "gzip")
    assert (replayed.body, replayed.headers["Content-Encoding"]) == (b"no gzip", "gzip")


def test_a_recording_goes_on_where_another_ended(
    kling: str, provider: Provider, start_inside: StartInside, cassette: Path
) -> None:
    start_inside(kling, *_record(cassette)).request("POST", "/v1/videos", CREATE, JSON)
    before = har.read(cassette)
    start_inside(kling, *_record(cassette)).request("POST", "/v1/videos", CREATE, JSON)

    assert har.read(cassette)[:1] == before
    assert len(har.read(cassette)) == 2


def test_the_cassette_holds_both_sides_upstream_and_a_changed_rewrite_is_a_mismatch(
    kling: str, provider: Provider, start_inside: StartInside, cassette: Path
) -> None:
    body = b'{"model":"gpt-9","prompt":"a cat"}'
    start_inside(f"{kling}  modelMapping: {{gpt-*: kling-v3}}", *_record(cassette)).request(
        "POST", "/v1/videos", body, JSON
    )
    entry = har.read(cassette)[0]

    assert json.loads(entry.request.body) == {"model_name": "kling-v3", "prompt": "a cat"}
    assert entry.request.url == f"http://{provider.api.address}/v1/videos/text2video"
    assert entry.response
    assert json.loads(entry.response.body)["data"]["task_id"].startswith("83")
    assert any("model_name" in note for note in entry.notes)

    proxy = start_inside(f"{kling}  modelMapping: {{gpt-*: kling-v2-6}}", *_replay(cassette))
    refused = _json(proxy.request("POST", "/v1/videos", body, JSON), 400)["error"]

    assert refused["code"] == "not_recorded"
    assert 'body.model_name: recorded "kling-v3", came "kling-v2-6"' in refused["message"]
    assert 'body.model_name: recorded "kling-v3", came "kling-v2-6"' in proxy.close()
    assert provider.api.received.qsize() == 1


def _exhausted(proxy: Listening) -> Reply:
    proxy.request("POST", "/v1/videos", CREATE, JSON)
    return proxy.request("POST", "/v1/videos", CREATE, JSON)


MISSES: dict[str, tuple[Callable[[Listening], Reply], str]] = {
    "another prompt": (
        lambda proxy: proxy.request("POST", "/v1/videos", b'{"model":"kling-v3","prompt":"a dog"}', JSON),
        'body.prompt: recorded "a cat", came "a dog"',
    ),
    "one create too many": (_exhausted, "recorded 1 time, asked 2 times"),
    "a job that never was": (lambda proxy: proxy.request("GET", "/v1/videos/kling-t2v-5", None, JSON), "is not in job"),
    "another path": (lambda proxy: proxy.request("DELETE", "/v1/nothing?token=t0ken1234", None, JSON), "not in job"),
    "a result": (lambda proxy: proxy.request("GET", "/linked/https/example.org/x.mp4?sign=1"), "not in job.har"),
    "a long body": (lambda proxy: proxy.request("POST", "/v1/videos/effects", b"{" * 100_000, JSON), "not in job"),
}


def test_what_was_not_recorded_is_refused(
    kling: str, nobody: socket.socket, start_inside: StartInside, tmp_path: Path
) -> None:
    config = re.sub(r"providerDomain: .*", f"providerDomain: http://{_address(nobody)}", kling)
    cassette = tmp_path / "job.har"
    har.write(cassette, [_create(f"http://{_address(nobody)}")])
    proxy = start_inside(config, *_replay(cassette))
    refused = {name: _json(ask(proxy), 400)["error"] for name, (ask, _) in MISSES.items()}
    lines = [line for line in proxy.close().splitlines() if "ai-proxy: " in line]

    for name, (_, says) in MISSES.items():
        assert refused[name]["code"] == "not_recorded", name
        assert says in refused[name]["message"]
        assert [line for line in lines if says in line], name
    assert "t0ken1234" not in str(refused) + "".join(lines)


def _create(origin: str) -> Entry:
    request = Request(
        "POST", f"{origin}/v1/videos/text2video", tuple(JSON.items()), b'{"prompt":"a cat","model_name":"kling-v3"}'
    )
    answer = _says({"task_id": "831", "task_status": "submitted"})
    return Entry(1.0, 5.0, request, Response(200, "OK", tuple(JSON.items()), answer.body))


STARTS: dict[str, tuple[bytes | None, str]] = {
    "missing": (None, "job.har: there is no such cassette"),
    "damaged": (
        b'{"log": {"_format": 1, "entries": [',
        "job.har: line 1, column 36: is not valid JSON (it ends too early)",
    ),
}


@pytest.mark.parametrize("name", STARTS)
def test_a_cassette_that_cannot_be_read_ends_the_start(
    name: str, kling: str, start_proxy: StartProxy, cassette: Path
) -> None:
    content, says = STARTS[name]
    if content is not None:
        cassette.write_bytes(content)
    proxy = start_proxy(kling, *_replay(cassette), wait=False)

    assert proxy.ended() != 0
    assert says in proxy.log
    assert "Traceback" not in proxy.log
    if content is not None:
        proxy = start_proxy(kling, *_record(cassette), wait=False)
        assert proxy.ended() != 0
        assert cassette.read_bytes() == content


OPTIONS: dict[str, tuple[tuple[str, ...], str]] = {
    "record and replay": (("ai_record=job.har", "ai_replay=job.har"), "ai_record and ai_replay: give one of the two"),
    "below a file": (("ai_record=config.yaml/job.har",), "job.har: could not be written"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_that_do_not_fit_end_the_start(name: str, kling: str, start_proxy: StartProxy, tmp_path: Path) -> None:
    options, says = OPTIONS[name]
    proxy = start_proxy(kling, *(word for option in options for word in ("--set", option)), wait=False)

    assert proxy.ended() != 0
    assert says in proxy.log


PIECES = (b'data: {"choices":[{"delta":{"content":"Hel"}}]}\n\n', b'data: {"choi', b'ces":[]}\n\n', b"data: [DONE]\n\n")


def _chunks(proxy: Listening) -> list[bytes]:
    """The chunks of an answer on the wire."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE) as connection:
        body = b'{"model":"m","stream":true}'
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        file = connection.makefile("rb")
        assert file.readline() == b"HTTP/1.1 200 OK\r\n"
        fields = list(iter(file.readline, b"\r\n"))
        assert b"content-type: text/event-stream\r\n" in [field.lower() for field in fields]
        chunks = []
        while size := int(file.readline(), 16):
            chunks.append(file.read(size))
            assert file.readline() == b"\r\n"
        return chunks


def test_a_stream_replays_in_the_pieces_in_which_it_came(
    upstream: Upstream, start_proxy: StartProxy, cassette: Path
) -> None:
    config = f"provider: {{type: openai, providerDomain: 'http://{upstream.address}'}}"
    upstream.respond = lambda request: Answer(200, b"", (("Content-Type", "text/event-stream"),), pieces=PIECES)
    recorded = _chunks(start_proxy(config, *_record(cassette)))
    proxy = start_proxy(config, *_replay(cassette))
    connections = upstream.connections
    replayed = _chunks(proxy)

    assert b"".join(recorded) == b"".join(PIECES)
    assert replayed == recorded
    assert len(replayed) > 1
    assert upstream.connections == connections
    # mitmproxy shows the upstream request, though it was not sent.
    assert f"POST http://{upstream.address}/v1/chat/completions" in proxy.close()


CHUNKED = {"Content-Type": "application/octet-stream", "Transfer-Encoding": "chunked"}


@pytest.mark.parametrize("protocol", ["openai", "original"])
def test_a_long_upload_is_recorded_and_compared_whole(
    protocol: str, upstream: Upstream, start_inside: StartInside, cassette: Path
) -> None:
    config = f"provider: {{type: generic, protocol: {protocol}, genericHost: 'http://{upstream.address}'}}"
    sent = os.urandom(300_000)
    chunks, other = (b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) for body in (sent, sent[:-1] + b"?"))
    streaming = ("--set", "stream_large_bodies=1k")
    recorded = start_inside(config, *_record(cassette), *streaming).request("POST", "/upload", chunks, CHUNKED)
    proxy = start_inside(config, *_replay(cassette), *streaming)

    assert recorded.status == proxy.request("POST", "/upload", chunks, CHUNKED).status == 200
    assert proxy.request("POST", "/upload", other, CHUNKED).status == 400
    assert har.read(cassette)[0].request.body == sent
    assert upstream.received.qsize() == 1


BREAKERS = {
    "TypeError in the cassette": "recording.cassette.answer = None",
    "it was not rewritten completely": "recording.request = nothing",
}


@pytest.mark.parametrize("says", BREAKERS)
@pytest.mark.parametrize("option", ["ai_replay", "ai_record"])
def test_a_cassette_that_breaks_lets_nothing_out(
    option: str, says: str, kling: str, nobody: socket.socket, start_proxy: StartProxy, cassette: Path
) -> None:
    config = re.sub(r"providerDomain: .*", f"providerDomain: http://{_address(nobody)}", kling)
    har.write(cassette, [])
    breaker = cassette.with_name("breaker.py")
    breaker.write_text(
        "from mitmproxy import ctx\n"
        "async def nothing(flow):\n"
        "    pass\n"
        "def running():\n"
        "    recording = ctx.master.addons.get('ai_proxy_recorded')\n"
        f"    {BREAKERS[says]}\n"
        "def requestheaders(flow):\n"
        "    flow.request.stream = 'stream' in flow.request.path\n"
    )
    proxy = start_proxy(config, "--set", f"{option}={cassette}", "-s", str(breaker))
    for target in ("/v1/videos", "/v1/videos?stream", "/v1/nothing?stream"):
        assert proxy.request("POST", target, CREATE, JSON).status >= 500
    linked = proxy.request("GET", f"/linked/http/{_address(nobody)}/a")
    assert linked.status == (404 if option == "ai_record" else 500 if "TypeError" in says else 503)
    assert says in proxy.close()


def _address(listener: socket.socket) -> str:
    return f"127.0.0.1:{listener.getsockname()[1]}"


def test_a_change_of_protocol_passes_and_is_not_recorded(
    upstream: Upstream, start_inside: StartInside, cassette: Path
) -> None:
    config = f"provider: {{type: openai, providerDomain: 'http://{upstream.address}'}}"
    upstream.respond = lambda request: Answer(101, b"", (("Upgrade", "other"), ("Connection", "Upgrade")))
    proxy = start_inside(config, *_record(cassette))
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE) as connection:
        connection.sendall(b"GET /v1/realtime HTTP/1.1\r\nHost: x\r\nUpgrade: other\r\nConnection: Upgrade\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 101"

    proxy.wait_for("GET /v1/realtime changed the protocol, which is not recorded")
    assert not cassette.exists()


def test_any_provider_and_any_path_is_recorded_to_the_byte(
    upstream: Upstream, start_inside: StartInside, cassette: Path
) -> None:
    config = f"provider: {{type: generic, genericHost: 'http://{upstream.address}'}}"
    upstream.respond = lambda request: Answer(201, request.body[::-1], (("Content-Type", "application/octet-stream"),))
    sent = os.urandom(100_000)
    kind = {"Content-Type": "application/octet-stream"}
    recorder = start_inside(config, *_record(cassette))
    recorded = recorder.request("PUT", "/upload/%41?b=2&a=1", sent, kind)
    # A file is written right after its end.
    recorder.close()
    upstream.respond = lambda request: Answer(500)
    proxy = start_inside(config, *_replay(cassette))
    replayed = proxy.request("PUT", "/upload/A?a=1&b=2", sent, kind)
    other = proxy.request("PUT", "/upload/A?a=1&b=2", sent[:-1] + b"?", kind)

    assert har.read(cassette)[0].request.body == sent
    assert (recorded.status, recorded.body) == (replayed.status, replayed.body) == (201, sent[::-1])
    assert other.status == 400


RANGES = {
    "bytes=0-9": (206, FILE[:10], "bytes 0-9/102400"),
    "bytes=-5": (206, FILE[-5:], "bytes 102395-102399/102400"),
    "bytes=102390-": (206, FILE[-10:], "bytes 102390-102399/102400"),
    "bytes=102400-": (416, b"", "bytes */102400"),
}


def test_a_result_is_served_in_ranges(
    kling: str, provider: Provider, start_inside: StartInside, cassette: Path
) -> None:
    _make(start_inside(kling, *_record(cassette)))
    proxy = start_inside(kling, *_replay(cassette))
    link = _link(_make(proxy, 2)[0])
    for asked, (status, body, content_range) in RANGES.items():
        reply = proxy.request("GET", _target(link, proxy), None, {"Range": asked})
        assert (asked, reply.status, reply.body, reply.headers["Content-Range"]) == (asked, status, body, content_range)
    head = proxy.request("HEAD", _target(link, proxy))
    other = proxy.request("GET", re.sub("sign=[^&]*", "sign=anything", _target(link, proxy)))

    assert (head.status, head.headers["Content-Length"], head.body) == (200, str(len(FILE)), b"")
    assert other.body == FILE


def test_only_links_that_an_answer_held_are_followed_and_without_a_credential(
    kling: str, provider: Provider, start_inside: StartInside, cassette: Path
) -> None:
    proxy = start_inside(kling, *_record(cassette))
    elsewhere = proxy.request("GET", f"/linked/http/{provider.files.address}/etc/passwd", None, SDK)
    posted = proxy.request("POST", f"/linked/http/{provider.files.address}/x", b"{}", SDK)
    _make(proxy)
    got = _received(provider.files)

    assert (elsewhere.status, posted.status) == (404, 404)
    assert [request.target.partition("?")[0] for request in got] == ["/results/830000000000000000.mp4"]
    assert f"sign={SIGN}" in got[0].target
    assert got[0].one("Authorization") is got[0].one("Cookie") is None


def test_a_link_is_followed_however_its_host_is_written(
    kling: str, provider: Provider, start_inside: StartInside, cassette: Path
) -> None:
    proxy = start_inside(kling, *_record(cassette))
    for host in ("localhost", "LocalHost"):
        video = {"url": f"http://{host}:{provider.files.port}?sign={SIGN}"}
        answer = _says({"task_id": "1", "task_result": {"videos": [video]}})
        provider.api.respond = lambda request, answer=answer: answer  # type: ignore[misc]
        here = _link(_json(proxy.request("GET", "/v1/videos/text2video/1", None, JSON)))

        assert proxy.request("GET", _target(here, proxy)).body == FILE
        assert provider.files.next().target == f"/?sign={SIGN}"


LOCATIONS = {
    "/files/real.mp4?sign=ABCDEF123456": "/files/real.mp4?sign=ABCDEF123456",
    "real.mp4": "/results/real.mp4",
    "//FILES/files/real.mp4": "/files/real.mp4",
    "http://FILES/files/real.mp4?sig=abc12345678": "/files/real.mp4?sig=abc12345678",
    "../v1/videos/real.mp4": "/v1/videos/real.mp4",
}


def test_redirects_to_a_result_come_through_the_proxy_and_replay(
    kling: str, provider: Provider, start_inside: StartInside, cassette: Path
) -> None:
    def moved(request: Received) -> Answer:
        if "start" not in request.target:
            return Answer(200, FILE, VIDEO)
        location = list(LOCATIONS)[int(request.target[-1])].replace("FILES", provider.files.address)
        return Answer(302, b"", (("Location", location),))

    provider.files.respond = moved

    def fetch(proxy: Listening) -> list[bytes]:
        bodies = []
        for number in range(len(LOCATIONS)):
            start = f"http://127.0.0.1:{proxy.port}/linked/http/{provider.files.address}/results/start.mp4?n={number}"
            _json(proxy.request("GET", f"/v1/videos/text2video/{number}", None, JSON))
            reply = proxy.request("GET", _target(start, proxy), None, SDK)
            assert reply.status == 302
            bodies.append(proxy.request("GET", _target(urljoin(start, reply.headers["Location"]), proxy)).body)
        return bodies

    def says(request: Received) -> Answer:
        link = f"http://{provider.files.address}/results/start.mp4?n={request.target[-1]}"
        return _says({"task_id": request.target[-1], "task_result": {"videos": [{"url": link}]}})

    provider.api.respond = says
    assert fetch(start_inside(kling, *_record(cassette))) == [FILE] * len(LOCATIONS)
    got = _received(provider.files)
    connections = provider.api.connections, provider.files.connections

    assert [request.target for request in got[1::2]] == list(LOCATIONS.values())
    assert {request.one("Authorization") for request in got} == {None}
    assert fetch(start_inside(_without_key(kling), *_replay(cassette))) == [FILE] * len(LOCATIONS)
    assert (provider.api.connections, provider.files.connections) == connections


def test_links_to_the_provider_itself_are_sent_as_they_are_and_replay(
    kling: str, upstream: Upstream, start_inside: StartInside, cassette: Path
) -> None:
    origin = f"http://{upstream.address}"
    paths = [f"/v1/videos/a.mp4?sign={SIGN}", f"/files/a.mp4?sign={SIGN}&t=99", "/klingai/a.mp4"]

    def says(request: Received) -> Answer:
        if request.target in paths:
            return Answer(200, FILE, VIDEO)
        return _says({"task_id": "1", "task_result": {"videos": [{"url": origin + path} for path in paths]}})

    upstream.respond = says
    config = f"{kling}  providerBasePath: /klingai\n"

    def fetch(proxy: Listening) -> list[bytes]:
        task = _json(proxy.request("GET", "/v1/videos/text2video/1", None, JSON))
        links = [video["url"] for video in task["data"]["task_result"]["videos"]]
        return [proxy.request("GET", _target(link, proxy), None, SDK).body for link in links]

    assert fetch(start_inside(config, *_record(cassette))) == [FILE] * 3
    asked, *got = _received(upstream)
    connections = upstream.connections

    assert asked.target == "/klingai/v1/videos/text2video/1"
    assert [request.target for request in got] == paths
    assert {request.one("Authorization") for request in got} == {None}
    assert fetch(start_inside(config, *_replay(cassette))) == [FILE] * 3
    assert upstream.connections == connections


LINKED_EVENTS = (
    b'data: {"type": "image", "url": "http://FILES/a.png?sig=abcdef12345"}\n\n'
    b'data: {"b": ["http:\\/\\/FILES\\/b.png"]}\n\ndata: [DONE]\n\n'
)


def test_links_in_a_stream_come_through_the_proxy_and_replay(
    provider: Provider, start_inside: StartInside, cassette: Path
) -> None:
    config = f"provider: {{type: openai, providerDomain: 'http://{provider.api.address}'}}"
    events = LINKED_EVENTS.replace(b"FILES", provider.files.address.encode())
    pieces = (events[:45], events[45:60], events[60:])
    kind = (("Content-Type", "text/event-stream"),)
    provider.api.respond = lambda request: Answer(200, b"", kind, pieces=pieces)

    def fetch(proxy: Listening) -> list[bytes]:
        stream = b"".join(_chunks(proxy)).decode()
        links = re.findall(r'"(http[^"]*)"', stream)
        assert len(links) == 2
        return [proxy.request("GET", _target(link, proxy), None, SDK).body for link in links]

    assert fetch(start_inside(config, *_record(cassette))) == [FILE, FILE]
    connections = provider.api.connections, provider.files.connections
    assert [request.one("Authorization") for request in _received(provider.files)] == [None, None]
    assert fetch(start_inside(config, *_replay(cassette))) == [FILE, FILE]
    assert (provider.api.connections, provider.files.connections) == connections


def test_a_recording_that_breaks_says_so_without_what_it_was_about(
    kling: str, provider: Provider, start_proxy: StartProxy, cassette: Path
) -> None:
    breaker = cassette.with_name("breaker.py")
    breaker.write_text(
        "from mitmproxy import ctx\n"
        "def broken(entry):\n"
        "    raise RuntimeError(entry.request.headers)\n"
        "def running():\n"
        "    ctx.master.addons.get('ai_proxy_recorded').cassette.record = broken\n"
    )
    proxy = start_proxy(kling, *_record(cassette), "-s", str(breaker))
    assert proxy.request("POST", "/v1/videos", CREATE, JSON).status == 200
    log = proxy.close()

    assert "RuntimeError in the cassette; POST /v1/videos/text2video is not recorded completely" in log
    assert "Bearer" not in log
    assert "Traceback" not in log


def test_a_link_that_a_client_sends_back_is_the_provider_s_own_again(
    kling: str, provider: Provider, start_inside: StartInside, cassette: Path
) -> None:
    proxy = start_inside(kling, *_record(cassette))
    link = _link(_make(proxy)[0])
    _received(provider.api)
    body = json.dumps({"video_url": link}).replace("/", "\\/").encode()
    proxy.request("POST", "/v1/videos/lip-sync", body, JSON)
    sent = json.loads(provider.api.next().body)["video_url"]

    assert link.startswith(f"http://127.0.0.1:{proxy.port}/linked/http/{provider.files.address}/results/")
    assert sent.startswith(f"http://{provider.files.address}/results/")
    replay = start_inside(kling, *_replay(cassette))
    link = _link(_make(replay, 2)[0])
    assert replay.request("POST", "/v1/videos/lip-sync", json.dumps({"video_url": link}).encode(), JSON).status == 200


def test_the_simulator_can_be_recorded(start_proxy: StartProxy, nobody: socket.socket, cassette: Path) -> None:
    config = f"provider: {{type: kling, providerDomain: 'http://{_address(nobody)}'}}\n"
    simulate = ("--set", "ai_simulate=true")
    recorded, file = _make(start_proxy(f"{config}simulator: {{speed: instant}}", *_record(cassette), *simulate), 1)
    replayed, again = _make(start_proxy(config, *_replay(cassette)), 1)

    assert (recorded["status"], file.body[4:8]) == ("completed", b"ftyp")
    assert (replayed["id"], replayed["status"], again.body) == (recorded["id"], "completed", file.body)


def test_a_large_picture_is_a_file_and_replays(
    kling: str, provider: Provider, start_inside: StartInside, cassette: Path
) -> None:
    body = json.dumps({"model": "kling-v3", "prompt": "a", "image": "iVBORw0KGgo" + "A" * 200_001}).encode()
    start_inside(kling, *_record(cassette)).request("POST", "/v1/videos", body, JSON)
    spelled = body.replace(b'"iVBORw', b'"data:image/png;base64,iVBORw')
    replayed = start_inside(kling, *_replay(cassette)).request("POST", "/v1/videos", spelled, JSON)

    assert cassette.stat().st_size < 10_000
    assert replayed.status == 200


def test_in_regular_mode_results_come_through_the_proxy_too(
    kling: str, provider: Provider, start_proxy: StartProxy, cassette: Path
) -> None:
    mode = ("--mode", "regular")

    def ask(proxy: Proxy, method: str, url: str, body: bytes | None = None) -> Reply:
        return proxy.request(method, url, body, {**SDK, "Host": urlsplit(url).netloc})

    def make(proxy: Proxy) -> Reply:
        origin = f"http://{provider.api.address}"
        video = _json(ask(proxy, "POST", f"{origin}/v1/videos", CREATE))
        for _ in range(POLLS):
            video = _json(ask(proxy, "GET", f"{origin}/v1/videos/{video['id']}"))
        assert _link(video).startswith(f"{origin}/linked/http/{provider.files.address}/")
        return ask(proxy, "GET", _link(video))

    recorded = make(start_proxy(kling, *_record(cassette), *mode))
    connections = provider.api.connections, provider.files.connections
    replayed = make(start_proxy(kling, *_replay(cassette), *mode))

    assert recorded.body == replayed.body == FILE
    assert (provider.api.connections, provider.files.connections) == connections
