"""`cassette refresh` and `cassette resume` with a provider: requests, costs, recorded and kept exchanges."""

from __future__ import annotations

import http.client
import io
import json
import re
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from mitm_ai_proxy import registry
from mitm_ai_proxy.cassette import har, listing, scrubbing
from mitm_ai_proxy.cassette.entry import Entry, Request
from mitm_ai_proxy.cassette.missing import find_missing
from mitm_ai_proxy.commands import cassette_progress, cassette_proxy, cassette_refresh, cassette_resume
from mitm_ai_proxy.gateway.addon import Gateway
from mitm_ai_proxy.gateway.embedded import Embedded
from mitm_ai_proxy.gateway.recorded import Recorded
from mitm_ai_proxy.kling.recorded_api import RECORDED_API
from mitm_ai_proxy.simulator.app import Simulator
from mitm_ai_proxy.simulator.server import make
from mitm_ai_proxy.simulator.settings import ACCESS_KEY, API_KEY, SECRET_KEY, SimulatorSettings
from tests.e2e.upstream import Answer, Upstream

INTERVAL = 0.01
JSON = {"Content-Type": "application/json"}
SDK = {**JSON, "User-Agent": "OpenAI/Python 2.0.0", "Authorization": "Bearer sk-of-the-client-0123456789"}
OPENAI = "/v1/videos"
TEXT = "/v1/videos/text2video"
IMAGES = "/v1/images/generations"
VIDEO = {"model_name": "kling-v3", "prompt": "a cat"}


class Provider(Simulator):
    """A simulated Kling as a server that keeps its requests; `before` is called with each create."""

    def __init__(self) -> None:
        super().__init__(SimulatorSettings(speed=float("inf")))
        self.asked: list[tuple[str, str, bytes]] = []
        self.before: Callable[[], object] = lambda: None
        self.cuts = 0
        """The number of reads that get no answer."""
        self._server = make(self, "127.0.0.1", 0)
        self.origin = f"http://127.0.0.1:{self._server.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        query = environ.get("QUERY_STRING")
        self.asked.append((environ["REQUEST_METHOD"], environ["PATH_INFO"] + (f"?{query}" if query else ""), body))
        if environ["REQUEST_METHOD"] == "POST":
            self.before()
        elif self.cuts:
            self.cuts -= 1
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            return []
        return super().__call__(environ, start_response)

    @property
    def creates(self) -> int:
        """The number of requests that cost money."""
        return sum(method == "POST" for method, _, _ in self.asked)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider that has received no requests yet; its tasks are done at once."""
    provider = Provider()
    yield provider
    provider.close()


@pytest.fixture
def config(provider: Provider, tmp_path: Path) -> Path:
    """A configuration for the provider, with credentials from the environment."""
    return _config(tmp_path, provider.origin)


@pytest.fixture
def cassette(tmp_path: Path) -> Path:
    """The path of the cassette."""
    return tmp_path / "job.har"


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace stdin, so that it is no terminal."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())


def _config(folder: Path, origin: str, more: str = "") -> Path:
    config = folder / "config.yaml"
    keys = f"klingAccessKey: {ACCESS_KEY}, klingSecretKey: '{SECRET_KEY}'"
    config.write_text(f"provider: {{type: kling, {keys}, providerDomain: '{origin}'{more}}}\n")
    return config


class Client:
    """An application that uses a proxy."""

    def __init__(self, proxy: Embedded) -> None:
        self._proxy = proxy

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] = JSON) -> tuple[int, Any, bytes]:
        """Status, header fields and body of an answer; 0 and empty values if none comes."""
        connection = http.client.HTTPConnection("127.0.0.1", self._proxy.port, timeout=20)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except http.client.HTTPException:
            return 0, None, b""
        finally:
            connection.close()

    def create(self, path: str, body: dict[str, Any], headers: dict[str, str] = JSON) -> str:
        """Create a task; returns its id."""
        status, _, answer = self.ask("POST", path, body, headers)
        assert status == 200, answer
        document = json.loads(answer)
        data = document.get("data", document)
        return str(data.get("task_id") or data["id"])

    def read(self, path: str, headers: dict[str, str] = JSON) -> Any:
        """The JSON of an answer."""
        status, _, answer = self.ask("GET", path, None, headers)
        assert status == 200, answer
        return json.loads(answer)

    def fetch(self, link: str) -> bytes:
        """Download a file by the link in an answer."""
        assert link.startswith(self._proxy.origin), link
        parts = urlsplit(link)
        status, _, answer = self.ask("GET", f"{parts.path}?{parts.query}")
        assert status == 200, answer
        return answer

    def make(self, path: str = TEXT, body: dict[str, Any] = VIDEO) -> list[bytes]:
        """Create a task, poll it and download its results, as Kling's clients do; returns the files."""
        task = self.read(f"{path}/{self.create(path, body)}")["data"]
        return [self.fetch(item["url"]) for items in task["task_result"].values() for item in items]


def _run(config: Path, use: Callable[[Client], object], **options: Any) -> None:
    recorded = Recorded()
    proxy = Embedded(Gateway([recorded]), registry.read(config, offline="ai_replay" in options), **options)
    proxy.start()
    try:
        use(Client(proxy))
        # The client has its file before the exchange is written.
        assert recorded.idle.wait(20)
    finally:
        proxy.stop()


def _record(config: Path, cassette: Path, use: Callable[[Client], object]) -> None:
    _run(config, use, ai_record=str(cassette))


def _replay(config: Path, cassette: Path, use: Callable[[Client], object]) -> None:
    _run(config, use, ai_replay=str(cassette))


def _resume(cassette: Path, config: Path, timeout: float = 20) -> int:
    return cassette_resume.resume(cassette, config, interval=INTERVAL, timeout=timeout)


def _refresh(cassette: Path, config: Path, out: Path | None = None, **options: Any) -> int:
    options = {"yes": True, "interval": INTERVAL, "timeout": 20, **options}
    return cassette_refresh.refresh(cassette, config, out, **options)


def _task_ids(cassette: Path) -> list[str]:
    return [job.task_id for job in listing.sort(har.read(cassette)).jobs]


def _written(cassette: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (cassette, *cassette.with_suffix(".bodies").glob("*"))}


def _told(capsys: pytest.CaptureFixture[str]) -> str:
    """The errors on stderr, which have no traceback."""
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert SECRET_KEY not in told
    assert all(line.startswith("ai-proxy: ") for line in told.splitlines()), told
    return told


# resume


def _openai(client: Client, polls: int = 1) -> bytes:
    video = client.create(OPENAI, {"model": "sora-2", "prompt": "a cat"}, SDK)
    for _ in range(polls):
        assert client.read(f"{OPENAI}/{video}", SDK)["status"] == "completed"
    status, headers, _ = client.ask("GET", f"{OPENAI}/{video}/content", None, SDK)
    assert status == 302
    return client.fetch(headers["Location"])


def _new_design(client: Client) -> bytes:
    task = client.create("/text-to-video/kling-3.0", {"prompt": "a cat"})
    (found,) = client.read(f"/tasks?task_ids={task}")["data"]
    return client.fetch(found["outputs"][0]["url"])


@pytest.mark.parametrize(
    ("died", "whole"),
    [
        pytest.param(lambda client: client.create(TEXT, VIDEO), lambda client: client.make(), id="Kling"),
        pytest.param(
            lambda client: client.create(OPENAI, {"model": "sora-2", "prompt": "a cat"}, SDK), _openai, id="OpenAI"
        ),
        pytest.param(
            lambda client: client.create("/text-to-video/kling-3.0", {"prompt": "a cat"}), _new_design, id="new design"
        ),
        pytest.param(
            lambda client: client.create(IMAGES, {"model_name": "kling-v3", "prompt": "a cat", "n": 3}),
            lambda client: client.make(IMAGES, {"model_name": "kling-v3", "prompt": "a cat", "n": 3}),
            id="images",
        ),
    ],
)
def test_a_recording_whose_client_died_is_whole_after_resume_and_nothing_is_paid_again(
    died: Callable[[Client], object],
    whole: Callable[[Client], object],
    provider: Provider,
    config: Path,
    cassette: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config.write_text(f"provider: {{type: kling, apiTokens: [{API_KEY}], providerDomain: '{provider.origin}'}}\n")
    _record(config, cassette, died)
    (before,) = har.read(cassette)

    assert _resume(cassette, config) == 0
    assert provider.creates == 1
    assert har.read(cassette)[0] == before
    assert re.search(r"job \d+: ended as succeede?d?, [13] files?\n$", capsys.readouterr().out)

    asked = len(provider.asked)
    _replay(config, cassette, whole)
    assert len(provider.asked) == asked


def test_a_second_resume_has_nothing_to_do_and_needs_no_configuration(
    provider: Provider, config: Path, cassette: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _record(config, cassette, lambda client: client.create(TEXT, VIDEO))
    assert _resume(cassette, config) == 0
    written, asked = _written(cassette), len(provider.asked)

    assert _resume(cassette, cassette.with_name("missing.yaml")) == 0
    assert "nothing to do" in capsys.readouterr().out.splitlines()[-1]
    assert (_written(cassette), len(provider.asked)) == (written, asked)


def test_files_are_fetched_that_are_missing_among_others(provider: Provider, config: Path, cassette: Path) -> None:
    body = {"model_name": "kling-v3", "prompt": "a cat", "n": 3}

    def die(client: Client) -> None:
        task = client.read(f"{IMAGES}/{client.create(IMAGES, body)}")["data"]
        client.fetch(task["task_result"]["images"][1]["url"])

    _record(config, cassette, die)
    assert _resume(cassette, config) == 0

    paths = [urlsplit(path).path for _, path, _ in provider.asked if path.startswith("/simulated")]
    assert sorted(path.rpartition("/")[2] for path in paths) == ["0.png", "1.png", "2.png"]
    _replay(config, cassette, lambda client: client.make(IMAGES, body))


def test_of_what_a_job_made_only_what_this_client_wants_is_fetched(
    provider: Provider, config: Path, cassette: Path
) -> None:
    marked = {**VIDEO, "watermark_info": {"enabled": True}}

    def die(client: Client) -> None:
        client.make(body=marked)
        client.create(TEXT, {**marked, "prompt": "a dog"})

    _record(config, cassette, die)
    assert _resume(cassette, config) == 0
    assert sum(path.startswith("/simulated") for _, path, _ in provider.asked) == 2


@pytest.mark.parametrize("path", [TEXT, "/text-to-video/kling-3.0"])
def test_a_create_without_answer_is_looked_up_by_its_own_name(
    path: str, provider: Provider, config: Path, cassette: Path
) -> None:
    config.write_text(f"provider: {{type: kling, apiTokens: [{API_KEY}], providerDomain: '{provider.origin}'}}\n")
    named = {"external_task_id": "my own"}
    body: dict[str, Any] = {**VIDEO, **named} if path == TEXT else {"options": named}
    body["prompt"] = "a cat [simulate: lost]"
    _record(config, cassette, lambda client: client.ask("POST", path, body))
    assert [entry.response for entry in har.read(cassette)] == [None]

    assert _resume(cassette, config) == 0
    assert provider.creates == 1
    (job,) = listing.sort(har.read(cassette)).jobs
    assert (job.external_id, len(job.files)) == ("my own", 1)


@pytest.mark.parametrize("path", [TEXT, "/text-to-video/kling-3.0"])
def test_a_create_that_never_arrived_was_not_paid(
    path: str, provider: Provider, config: Path, cassette: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(f"provider: {{type: kling, apiTokens: [{API_KEY}], providerDomain: '{provider.origin}'}}\n")
    named = {"external_task_id": "mine"}
    body = named if path == TEXT else {"options": named}
    har.write(cassette, [_entry("POST", f"{provider.origin}{path}", body)])

    assert _resume(cassette, config) == 0
    assert "job mine: the provider knows no such task, so it was not paid" in capsys.readouterr().out
    assert provider.creates == 0


def _entry(method: str, url: str, body: Any = None, headers: tuple[tuple[str, str], ...] = ()) -> Entry:
    request = Request(method, url, (*JSON.items(), *headers), b"" if body is None else json.dumps(body).encode())
    return Entry(1.0, 1.0, request, None)


def test_of_a_create_without_answer_and_name_nobody_knows(
    provider: Provider, config: Path, cassette: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    har.write(cassette, [_entry("POST", f"{provider.origin}{TEXT}", VIDEO)])

    assert _resume(cassette, config) == 0
    assert "it cannot be known whether it was paid" in capsys.readouterr().out
    assert provider.asked == []


def test_a_task_that_failed_is_a_whole_recording(
    provider: Provider, config: Path, cassette: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _record(config, cassette, lambda client: client.create(TEXT, {**VIDEO, "prompt": "[simulate: failed=No]"}))

    assert _resume(cassette, config) == 0
    assert "ended as failed, 0 files" in capsys.readouterr().out


def test_a_task_that_takes_too_long_is_left_for_another_time(
    provider: Provider, config: Path, cassette: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def die(client: Client) -> None:
        client.create(TEXT, {**VIDEO, "prompt": "[simulate: stuck]"})
        client.create(TEXT, VIDEO)

    _record(config, cassette, die)

    assert _resume(cassette, config, timeout=0) == 1
    assert "still processing after 0 seconds" in _told(capsys)
    # The other job is complete.
    states = [len(job.files) for job in listing.sort(har.read(cassette)).jobs]
    assert states == [0, 1]


@pytest.mark.parametrize(
    ("responses", "told"),
    [
        ([Answer(401, b'{"code":1002,"message":"api key not found"}')], "401: api key not found"),
        ([Answer(200, b"<html>")], "200"),
        ([Answer(503, b"{}")] * cassette_proxy.MOST_FAILURES, "503, 10 times in a row"),
    ],
)
def test_what_the_provider_refuses_is_told(
    responses: list[Answer],
    told: str,
    upstream: Upstream,
    tmp_path: Path,
    cassette: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = _config(tmp_path, f"http://{upstream.address}")
    _record(config, cassette, lambda client: client.create(TEXT, VIDEO))
    upstream.respond = lambda request: responses.pop(0)

    assert _resume(cassette, config) == 1
    assert told in _told(capsys)
    assert responses == []


def test_a_read_that_breaks_off_is_made_again(provider: Provider, config: Path, cassette: Path) -> None:
    _record(config, cassette, lambda client: client.create(TEXT, VIDEO))
    provider.cuts = 2

    assert _resume(cassette, config) == 0
    assert provider.cuts == 0


@pytest.mark.parametrize("location", ["ORIGIN/second?sign=b", "/second?sign=b", "second?sign=b", "/second", "second"])
def test_a_file_is_fetched_from_where_its_link_leads_in_the_end(
    location: str, upstream: Upstream, tmp_path: Path, cassette: Path
) -> None:
    origin = f"http://{upstream.address}"
    config = _config(tmp_path, origin)
    _record(config, cassette, lambda client: client.create(TEXT, VIDEO))
    result = {"videos": [{"url": f"{origin}/first?sign=a"}]}
    data = {"task_id": "831234567890123456", "task_status": "succeed", "task_result": result}
    answers = {
        "/first": Answer(302, b"", (("Location", location.replace("ORIGIN", origin)),)),
        "/second": Answer(200, b"film", (("Content-Type", "video/mp4"),)),
    }
    upstream.respond = lambda request: answers.get(
        request.target.partition("?")[0], Answer(200, json.dumps({"data": data}).encode())
    )

    assert _resume(cassette, config) == 0
    answer = har.read(cassette)[-1].response
    assert answer
    assert answer.body == b"film"
    assert find_missing(har.read(cassette), RECORDED_API).pending == []


def test_a_link_that_leads_in_a_circle_is_left(
    upstream: Upstream, tmp_path: Path, cassette: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    origin = f"http://{upstream.address}"
    config = _config(tmp_path, origin)
    _record(config, cassette, lambda client: client.create(TEXT, VIDEO))
    data = {"task_id": "831234567890123456", "task_status": "succeed", "task_result": {"url": f"{origin}/again"}}
    again = Answer(302, b"", (("Location", f"{origin}/again"),))
    upstream.respond = lambda request: again if request.target == "/again" else Answer(200, json.dumps(data).encode())

    assert _resume(cassette, config) == 1
    assert f"GET {origin}/again: 302" in _told(capsys)


@pytest.mark.usefixtures("keyboard")
def test_ctrl_c_ends_a_resume_and_keeps_what_there_is(
    upstream: Upstream, tmp_path: Path, cassette: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = _config(tmp_path, f"http://{upstream.address}")
    _record(config, cassette, lambda client: client.create(TEXT, VIDEO))
    data = {"task_id": "831234567890123456", "task_status": "processing"}

    def interrupt(_: object) -> Answer:
        _press_ctrl_c()
        return Answer(200, json.dumps({"data": data}).encode())

    upstream.respond = interrupt

    assert cassette_resume.resume(cassette, config, interval=20, timeout=60) == 1
    assert _told(capsys) == "ai-proxy: interrupted\n"
    assert len(_task_ids(cassette)) == 1


def test_errors_that_pass_are_waited_for(upstream: Upstream, tmp_path: Path, cassette: Path) -> None:
    config = _config(tmp_path, f"http://{upstream.address}")
    _record(config, cassette, lambda client: client.create(TEXT, VIDEO))
    done = b'{"code":0,"data":{"task_id":"831234567890123456","task_status":"succeed","task_result":{}}}'
    wait = (("Content-Type", "application/json"), ("Retry-After", "0"))
    responses = [Answer(503, b"{}"), Answer(429, b"{}", wait), Answer(200, done)]
    upstream.respond = lambda request: responses.pop(0)

    # An interval too long for the test to wait.
    responses.pop(0)
    assert cassette_resume.resume(cassette, config, interval=20, timeout=10) == 0
    assert [entry.response and entry.response.status for entry in har.read(cassette)] == [200, 429, 200]


# refresh


def test_a_refresh_pays_once_and_replaces_all_that_was_there(
    provider: Provider, config: Path, cassette: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _record(config, cassette, lambda client: _openai(client, polls=3))
    before, written = _task_ids(cassette), _written(cassette)

    assert _refresh(cassette, config) == 0
    assert provider.creates == 2
    assert len(_task_ids(cassette)) == 1
    assert not set(before) & set(_task_ids(cassette))
    assert before[0] not in cassette.read_text()
    assert not written.keys() & _written(cassette).keys() - {cassette.name}
    assert sorted(path.name for path in cassette.parent.iterdir()) == ["config.yaml", "job.bodies", "job.har"]
    assert "3 requests; up to 2.4 units, about $0.34\n" in capsys.readouterr().out

    asked = len(provider.asked)
    _replay(config, cassette, _openai)
    assert len(provider.asked) == asked


def test_what_follows_from_a_job_follows_from_the_new_one(provider: Provider, config: Path, cassette: Path) -> None:
    old = {"model_name": "kling-v1-6", "prompt": "a cat"}

    def chain(client: Client) -> None:
        picture = {"model_name": "kling-v3", "prompt": "a cat", "external_task_id": "first"}
        client.create(IMAGES, picture)
        task = client.read(f"{IMAGES}/first")["data"]
        link = task["task_result"]["images"][0]["url"]
        video = client.create("/v1/videos/image2video", {**old, "image": link, "external_task_id": "second"})
        made = client.read(f"/v1/videos/image2video/{video}")["data"]["task_result"]["videos"][0]
        client.create("/v1/videos/video-extend", {"video_id": made["id"]})

    provider.use(SimulatorSettings(speed=float("inf"), serve_retired=True))
    _record(config, cassette, chain)
    before = list(provider.asked)
    provider.asked.clear()

    assert _refresh(cassette, config) == 0
    assert [(method, path.split("/")[1:4]) for method, path, _ in provider.asked] == [
        (method, path.split("/")[1:4]) for method, path, _ in before
    ]
    recorded, new = ([json.loads(body) for _, _, body in asked if body] for asked in (before, provider.asked))
    assert new[0]["external_task_id"].startswith("first-again-")
    assert provider.asked[1][1] == f"{IMAGES}/{new[0]['external_task_id']}"
    # A link signed for the new task, which leads to the provider itself.
    assert new[1]["image"].startswith(f"{provider.origin}/simulated/")
    assert "sign=" in new[1]["image"]
    assert urlsplit(new[1]["image"]).path != urlsplit(recorded[1]["image"]).path
    assert new[2]["video_id"] != recorded[2]["video_id"]
    assert "scrubbed" not in json.dumps(new)

    # A second refresh does not make names longer.
    assert _refresh(cassette, config) == 0
    name = json.loads(har.read(cassette)[0].request.body)["external_task_id"]
    assert re.fullmatch(r"first-again-[0-9a-f]{8}", name)


def test_the_credential_is_the_configured_one_and_all_else_is_as_it_was(
    upstream: Upstream, tmp_path: Path, cassette: Path
) -> None:
    origin = f"http://{upstream.address}"
    _record(
        _config(tmp_path, origin),
        cassette,
        lambda client: client.ask("POST", TEXT, VIDEO, {**SDK, "Cookie": "a=b", "X-Own": "kept"}),
    )
    upstream.reset()
    more = ", basePath: /base, basePathHandling: prepend, providerBasePath: /more, modelMapping: {'*': other}"

    assert _refresh(cassette, _config(tmp_path, origin, more)) == 0
    received = upstream.next()
    assert (received.target, json.loads(received.body)) == (TEXT, VIDEO)
    assert received.all("X-Own") == ["kept"]
    assert received.all("Cookie") == []
    assert len(received.all("Authorization")) == 1
    assert "scrubbed" not in str(received.headers)
    assert not any(map(scrubbing.findings, har.read(cassette)))


def test_a_recording_with_the_clients_own_key_needs_one_in_the_configuration(
    upstream: Upstream, tmp_path: Path, cassette: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.yaml"
    block = f"type: openai, providerDomain: 'http://{upstream.address}'"
    config.write_text(f"provider: {{{block}}}\n")
    _record(config, cassette, lambda client: client.ask("POST", "/v1/chat/completions", {"model": "m"}, SDK))
    upstream.reset()

    assert _refresh(cassette, config) == 1
    assert "give apiTokens" in _told(capsys)
    upstream.assert_untouched()

    config.write_text(f"provider: {{{block}, apiTokens: [token-of-mine], modelMapping: {{m: other}}}}\n")
    assert _refresh(cassette, config) == 0
    received = upstream.next()
    assert received.all("Authorization") == ["Bearer token-of-mine"]
    # The model was mapped when it was recorded.
    assert json.loads(received.body) == {"model": "m"}


@pytest.mark.parametrize(
    ("answer", "status", "creates"), [("y\n", 0, 2), ("yes\n", 0, 2), ("n\n", 1, 1), ("\n", 1, 1), ("", 1, 1)]
)
def test_what_costs_money_is_asked_for_first(
    answer: str,
    status: int,
    creates: int,
    provider: Provider,
    config: Path,
    cassette: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    _record(config, cassette, lambda client: client.make())
    monkeypatch.setattr(sys, "stdin", Terminal(answer))

    assert _refresh(cassette, config, yes=False) == status
    assert provider.creates == creates


def test_without_anybody_to_ask_nothing_is_sent(
    provider: Provider, config: Path, cassette: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _record(config, cassette, lambda client: client.make())

    assert _refresh(cassette, config, yes=False) == 1
    assert "give --yes" in _told(capsys)
    assert provider.creates == 1


def test_what_costs_nothing_is_not_asked_for(provider: Provider, config: Path, cassette: Path) -> None:
    _record(config, cassette, lambda client: client.read("/v1/general/presets-voices"))

    assert _refresh(cassette, config, yes=False) == 0
    assert len(provider.asked) == 2


@pytest.mark.parametrize(("budget", "creates"), [(5.9, 0), (6, 2), (-1, 0)])
def test_a_budget_holds_for_all_creates_before_the_first_is_sent(
    budget: float, creates: int, provider: Provider, config: Path, cassette: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _record(config, cassette, lambda client: [client.make(), client.make(body={**VIDEO, "prompt": "a dog"})])
    provider.asked.clear()
    written = _written(cassette)

    assert _refresh(cassette, config, budget=budget) == (0 if creates else 1)
    assert provider.creates == creates
    if not creates:
        assert "budget" in _told(capsys)
        assert _written(cassette) == written


def test_another_cassette_may_be_the_new_one(provider: Provider, config: Path, cassette: Path) -> None:
    _record(config, cassette, lambda client: client.make())
    written, out = _written(cassette), cassette.with_name("out.har")

    assert _refresh(cassette, config, out) == 0
    assert _written(cassette) == written
    assert len(_task_ids(out)) == 1
    assert _task_ids(out) != _task_ids(cassette)


def test_a_task_that_fails_this_time_leaves_the_old_recording_and_the_new_one(
    provider: Provider, config: Path, cassette: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _record(config, cassette, lambda client: [client.make(), client.make(body={**VIDEO, "prompt": "a dog"})])
    written, creates = _written(cassette), provider.creates
    provider.use(SimulatorSettings(speed=float("inf"), fault="failed=No cats"))

    assert _refresh(cassette, config) == 1
    told = _told(capsys)
    kept = cassette.with_name("job.new.har")
    assert "ended as failed, in the recording as succeed: No cats" in told
    assert str(kept) in told
    assert _written(cassette) == written
    assert [len(_task_ids(path)) for path in (cassette, kept)] == [2, 1]
    # No other task was paid for.
    assert provider.creates == creates + 1
    assert _resume(kept, config) == 0

    # The next failure does not overwrite what was kept.
    assert _refresh(cassette, config) == 1
    assert cassette.with_name("job.new1.har").exists()


def test_a_task_that_failed_before_may_fail_again(provider: Provider, config: Path, cassette: Path) -> None:
    def fail(client: Client) -> None:
        task = client.create(TEXT, {**VIDEO, "prompt": "[simulate: failed]"})
        client.read(f"{TEXT}/{task}")

    _record(config, cassette, fail)
    before = _task_ids(cassette)

    assert _refresh(cassette, config) == 0
    assert _task_ids(cassette) != before


def test_a_refused_create_was_not_paid_and_leaves_nothing(
    provider: Provider, config: Path, cassette: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _record(config, cassette, lambda client: client.make())
    written = _written(cassette)
    provider.use(SimulatorSettings(speed=float("inf"), fault="1102"))

    assert _refresh(cassette, config) == 1
    assert "answered with 429, in the recording with 200: Account balance not enough" in _told(capsys)
    assert _written(cassette) == written
    assert sorted(path.name for path in cassette.parent.iterdir()) == ["config.yaml", "job.bodies", "job.har"]


def test_a_create_without_answer_is_kept_for_it_may_have_been_paid(
    provider: Provider, config: Path, cassette: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _record(config, cassette, lambda client: client.make(body={**VIDEO, "external_task_id": "mine"}))
    provider.use(SimulatorSettings(speed=float("inf"), fault="lost"))

    assert _refresh(cassette, config) == 1
    assert "had no answer; it cannot be known whether it was paid" in _told(capsys)
    kept = cassette.with_name("job.new.har")
    assert [entry.response for entry in har.read(kept)] == [None]

    # Which it was.
    assert _resume(kept, config) == 0
    assert provider.creates == 2
    assert [len(job.files) for job in listing.sort(har.read(kept)).jobs] == [1]


@pytest.fixture
def keyboard() -> Iterator[None]:
    """Restore the handling of Ctrl-C, which a shell turns off in background processes."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _press_ctrl_c() -> None:
    main = threading.main_thread().ident
    assert main
    signal.pthread_kill(main, signal.SIGINT)


def _waits_again(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Is set when the main thread waits for an answer after it has said so."""
    is_told, waits_again = threading.Event(), threading.Event()
    complain, wait = cassette_progress.complain, futures.wait

    def complained(problem: object) -> None:
        complain(problem)
        is_told.set()

    def waited(*arguments: Any) -> Any:
        if is_told.is_set():
            waits_again.set()
        return wait(*arguments)

    monkeypatch.setattr(cassette_proxy, "complain", complained)
    monkeypatch.setattr(futures, "wait", waited)
    return waits_again


@pytest.mark.usefixtures("keyboard")
def test_ctrl_c_waits_for_what_is_being_paid_for(
    provider: Provider,
    config: Path,
    cassette: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _record(config, cassette, lambda client: client.make())
    written, waits_again = _written(cassette), _waits_again(monkeypatch)

    def interrupt() -> None:
        _press_ctrl_c()
        waits_again.wait(20)

    provider.before = interrupt

    assert _refresh(cassette, config) == 1
    assert waits_again.is_set()
    told = _told(capsys)
    assert "waiting for the answer" in told
    assert "interrupted" in told
    assert _written(cassette) == written
    (entry,) = har.read(cassette.with_name("job.new.har"))
    assert entry.response
    assert entry.response.status == 200


@pytest.mark.usefixtures("keyboard")
def test_a_second_ctrl_c_does_not_wait(
    provider: Provider, config: Path, cassette: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _record(config, cassette, lambda client: client.make())
    waits_again, is_over = _waits_again(monkeypatch), threading.Event()
    was_in_time: list[bool] = []

    def interrupt_twice() -> None:
        _press_ctrl_c()
        waits_again.wait(20)
        _press_ctrl_c()
        was_in_time.append(is_over.wait(20))

    provider.before = interrupt_twice

    assert _refresh(cassette, config) == 1
    assert was_in_time == []
    is_over.set()
    (entry,) = har.read(cassette.with_name("job.new.har"))
    assert entry.response is None


@pytest.mark.parametrize("prompt", ["[scrubbed]", "of [scrubbed] and others"])
def test_what_was_scrubbed_is_not_sent(
    prompt: str, provider: Provider, config: Path, cassette: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"{provider.origin}{TEXT}"
    har.write(cassette, [_entry("POST", url, VIDEO), _entry("POST", url, {**VIDEO, "prompt": prompt})])

    assert _refresh(cassette, config) == 1
    assert _told(capsys) == f"ai-proxy: entry 2, POST {url}: its body lacks what was scrubbed\n"
    assert provider.asked == []


def test_the_configuration_in_between_is_written_into_no_file(
    provider: Provider, tmp_path: Path, cassette: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.yaml"
    keys = f"klingAccessKey: {ACCESS_KEY}, klingSecretKey: '${{KLING_SECRET}}'"
    text = (
        "activeProviderId: mine\nproviders:\n- {id: other, type: kling, apiTokens: [x]}\n"
        f"- {{id: mine, type: kling, {keys}, providerDomain: '{provider.origin}'}}\n"
        "cassette: {publicUrl: 'https://elsewhere.test'}\n"
    )
    monkeypatch.setenv("KLING_SECRET", SECRET_KEY)
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    _record(_config(cassette.parent, provider.origin), cassette, lambda client: client.make())
    config.write_text(text)
    seen: list[list[Path]] = []
    provider.before = lambda: seen.append(list(folder.rglob("*")))

    assert _refresh(cassette, config) == 0
    assert seen == [[]]
    assert list(folder.iterdir()) == []


# Both


@pytest.mark.parametrize("run", [_resume, _refresh])
@pytest.mark.parametrize(
    ("damage", "told"),
    [
        pytest.param(lambda cassette, config: cassette.unlink(), "there is no such cassette", id="missing"),
        pytest.param(lambda cassette, config: cassette.write_text("{"), "is not valid JSON", id="damaged"),
        pytest.param(lambda cassette, config: config.unlink(), "cannot be read", id="no configuration"),
        pytest.param(
            lambda cassette, config: config.write_text("provider: {type: klong}"), "unknown type", id="configuration"
        ),
        pytest.param(
            lambda cassette, config: config.write_text(config.read_text() + "cassette: {pace: never}"),
            "cassette.pace",
            id="another block",
        ),
        pytest.param(
            lambda cassette, config: _config(config.parent, "https://api.klingai.com"),
            "leads to https://api.klingai.com. Nothing was sent.",
            id="another provider",
        ),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_sent(
    run: Callable[[Path, Path], int],
    damage: Callable[[Path, Path], object],
    told: str,
    provider: Provider,
    config: Path,
    cassette: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _record(config, cassette, lambda client: client.create(TEXT, VIDEO))
    asked = len(provider.asked)
    damage(cassette, config)
    written = cassette.read_bytes() if cassette.exists() else b""

    assert run(cassette, config) == 1
    lines = _told(capsys).splitlines()
    assert len(lines) == 1
    assert told in lines[0]
    assert len(provider.asked) == asked
    assert (cassette.read_bytes() if cassette.exists() else b"") == written


@pytest.mark.parametrize("run", [_resume, _refresh])
def test_a_provider_that_is_not_there_costs_nothing(
    run: Callable[[Path, Path], int],
    tmp_path: Path,
    cassette: Path,
    upstream: Upstream,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    _record(_config(tmp_path, f"http://{upstream.address}"), cassette, lambda client: client.create(TEXT, VIDEO))
    text = cassette.read_text().replace(upstream.address, f"127.0.0.1:{port}")
    cassette.write_text(text)

    assert run(cassette, _config(tmp_path, f"http://127.0.0.1:{port}")) == 1
    told = _told(capsys)
    assert "cannot be reached" in told
    assert len(told.splitlines()) == 1
    assert cassette.read_text() == text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "job.har"]


def test_two_cassettes_cannot_share_a_folder_of_bodies(
    config: Path, cassette: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _refresh(cassette, config, cassette.with_suffix("")) == 1
    assert "would share its bodies" in _told(capsys)


def test_what_could_not_be_recorded_is_told_and_nothing_more_is_bought(
    provider: Provider, config: Path, cassette: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _record(config, cassette, lambda client: [client.make(), client.make(body={**VIDEO, "prompt": "a dog"})])
    written, new = _written(cassette), cassette.with_name("job.new.har")

    def stand_in_the_way() -> None:
        # A file cannot replace a folder.
        new.mkdir(exist_ok=True)

    provider.before = stand_in_the_way

    assert _refresh(cassette, config) == 1
    assert re.search(r"200, task \d+, and .*is a folder", _told(capsys))
    assert provider.creates == 3
    assert _written(cassette) == written


def test_where_nothing_can_be_written_nothing_is_paid(
    provider: Provider, config: Path, cassette: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _record(config, cassette, lambda client: client.make())
    (tmp_path / "file").write_text("")

    assert _refresh(cassette, config, tmp_path / "file" / "out.har") == 1
    (told,) = _told(capsys).splitlines()
    assert "could not be written" in told
    assert provider.creates == 1
