"""The simulator as an HTTP server, over real sockets: connections, faults, files, and the command."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import jwt
import pytest
from werkzeug.serving import BaseWSGIServer

from mitm_ai_proxy.commands.main import main
from mitm_ai_proxy.simulator.app import Simulator
from mitm_ai_proxy.simulator.server import make
from mitm_ai_proxy.simulator.settings import ACCESS_KEY, API_KEY, SECRET_KEY, SimulatorSettings
from tests.e2e.proxy import DEADLINE, Reply
from tests.tables import table

ADDON = Path(__file__).parents[2] / "addon"
TEXT = "/v1/videos/text2video"
AUTHORIZATION = {"Authorization": f"Bearer {API_KEY}"}
AT_ONCE = 30


@contextmanager
def serving(simulator: Simulator) -> Iterator[str]:
    """Serve it on a free port of 127.0.0.1; host and port."""
    server = make(simulator, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join(DEADLINE)
        server.server_close()
        assert not thread.is_alive()


class Account:
    """A client of a simulator that listens somewhere; each request has a connection of its own."""

    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, method: str, target: str, body: Any = None, headers: dict[str, str] | None = None) -> Reply:
        """One request, with the account's credential unless there are headers."""
        connection = http.client.HTTPConnection(self.address, timeout=DEADLINE)
        try:
            return asked(connection, method, target, body, AUTHORIZATION if headers is None else headers)
        finally:
            connection.close()

    def data(self, method: str, target: str, body: Any = None) -> Any:
        """`data` of an answer that has to be good."""
        reply = self.ask(method, target, body)
        assert reply.status == 200, reply.body
        return json.loads(reply.body)["data"]

    def raw(self, target: str, fault: str) -> bytes:
        """All that comes back on the connection of a create with that fault."""
        body = json.dumps(wanted("a cat")).encode()
        head = [f"POST {target} HTTP/1.1", f"Host: {self.address}", f"Authorization: Bearer {API_KEY}"]
        head += ["Content-Type: application/json", f"Content-Length: {len(body)}", f"x-simulate: {fault}", "", ""]
        host, _, port = self.address.partition(":")
        with socket.create_connection((host, int(port)), DEADLINE) as connection:
            connection.sendall("\r\n".join(head).encode() + body)
            received = b""
            while piece := connection.recv(65536):
                received += piece
            return received

    def link(self, prompt: str = "a cat") -> str:
        """The target of the link to a video that has just been made."""
        task = self.data("POST", TEXT, wanted(prompt))["task_id"]
        url = self.data("GET", f"{TEXT}/{task}")["task_result"]["videos"][0]["url"]
        parts = urlsplit(url)
        assert parts.netloc == self.address
        return f"{parts.path}?{parts.query}"


def asked(
    connection: http.client.HTTPConnection, method: str, target: str, body: Any, headers: dict[str, str]
) -> Reply:
    """One request on a connection."""
    given = headers if body is None else {"Content-Type": "application/json", **headers}
    connection.request(method, target, None if body is None else json.dumps(body), given)
    response = connection.getresponse()
    return Reply(response.status, response.headers, response.read())


def wanted(prompt: str, **more: str) -> dict[str, str]:
    return {"model_name": "kling-v3", "prompt": prompt, "duration": "3", **more}


@pytest.fixture(scope="module")
def shared() -> Iterator[Account]:
    """A simulator that is done in an instant, for the tests that only need their own task."""
    with serving(Simulator(SimulatorSettings(speed=float("inf"), concurrency=100))) as address:
        yield Account(address)


@pytest.fixture
def account() -> Iterator[Account]:
    """One that nobody has used."""
    with serving(Simulator(SimulatorSettings(speed=float("inf"), concurrency=100))) as address:
        yield Account(address)


# Connections


def test_one_client_is_served_again_and_again(shared: Account) -> None:
    with closing(http.client.HTTPConnection(shared.address, timeout=DEADLINE)) as connection:
        for method, target, body in [
            ("POST", TEXT, wanted("a cat")),
            ("GET", TEXT, None),
            ("POST", TEXT, None),
            ("GET", "/v1/nothing", None),
            ("HEAD", TEXT, None),
            ("GET", f"{TEXT}?pageNum=1", None),
        ]:
            reply = asked(connection, method, target, body, AUTHORIZATION)
            assert (reply.status == 200) == (target != "/v1/nothing" and (method, body) != ("POST", None))
            assert int(reply.headers["Content-Length"]) == len(reply.body) or method == "HEAD"


def test_a_request_that_is_refused_before_its_body_is_read_leaves_nothing_behind(shared: Account) -> None:
    with closing(http.client.HTTPConnection(shared.address, timeout=DEADLINE)) as connection:
        for _ in range(3):
            reply = asked(connection, "POST", TEXT, wanted("a" * 100_000), {})
            assert (reply.status, json.loads(reply.body)["code"]) == (401, 1001)


def test_thirty_requests_at_once_are_not_confused(account: Account) -> None:
    gate = threading.Barrier(AT_ONCE)

    def create(name: str) -> dict[str, Any]:
        gate.wait(DEADLINE)
        created = account.data("POST", TEXT, wanted(f"cat {name}", external_task_id=name))
        task = account.data("GET", f"{TEXT}/{created['task_id']}")
        by_name = account.data("GET", f"{TEXT}/{name}")
        assert created["task_id"] == task["task_id"] == by_name["task_id"]
        assert created["task_info"] == task["task_info"] == by_name["task_info"]
        assert isinstance(task, dict)
        return task

    names = [f"name-{number}" for number in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        tasks = list(threads.map(create, names, timeout=DEADLINE))

    assert [task["task_info"]["external_task_id"] for task in tasks] == names
    listed = {task["task_id"]: task["task_info"]["external_task_id"] for task in account.data("GET", TEXT)}
    assert listed == {task["task_id"]: name for task, name in zip(tasks, names, strict=True)}


def test_of_many_at_once_with_one_name_one_is_carried_out(account: Account) -> None:
    gate = threading.Barrier(AT_ONCE)

    def create(_: int) -> int:
        gate.wait(DEADLINE)
        return account.ask("POST", TEXT, wanted("a cat", external_task_id="mine")).status

    with ThreadPoolExecutor(AT_ONCE) as threads:
        statuses = sorted(threads.map(create, range(AT_ONCE), timeout=DEADLINE))

    assert statuses == [200] + [400] * (AT_ONCE - 1)
    assert len(account.data("GET", TEXT)) == 1


def test_a_server_that_is_closed_listens_no_more() -> None:
    with serving(Simulator(SimulatorSettings())) as address:
        host, _, port = address.partition(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), DEADLINE).close()


# Faults


def test_lost_closes_the_connection_without_a_byte_and_the_task_exists(account: Account) -> None:
    assert account.raw(TEXT, "lost") == b""
    (task,) = account.data("GET", TEXT)
    assert task["task_status"] == "succeed"


def test_truncated_sends_less_than_it_promised_and_the_task_exists(account: Account) -> None:
    head, _, begin = account.raw(TEXT, "truncated").partition(b"\r\n\r\n")
    promised = re.search(rb"(?i)\r\nContent-Length: ([0-9]+)", head)
    assert promised
    assert 0 < len(begin) < int(promised[1])
    assert begin.startswith(b'{"code":0,')
    assert len(account.data("GET", TEXT)) == 1


@pytest.mark.parametrize("fault", ["lost", "truncated"])
def test_an_http_client_notices_that_the_answer_is_cut(fault: str, account: Account) -> None:
    with pytest.raises((http.client.RemoteDisconnected, http.client.IncompleteRead)):
        account.ask("GET", TEXT, headers={**AUTHORIZATION, "x-simulate": fault})
    assert account.data("GET", TEXT) == []


def test_garbage_is_a_whole_answer_that_is_no_json_and_the_task_exists(account: Account) -> None:
    reply = account.ask("POST", TEXT, wanted("a cat"), {**AUTHORIZATION, "x-simulate": "garbage"})
    assert reply.headers.get_content_type() == "text/html"
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(reply.body)
    assert len(account.data("GET", TEXT)) == 1


def test_a_fault_that_is_asked_for_once_is_over_at_the_repetition(account: Account) -> None:
    def create(prompt: str) -> tuple[int, int]:
        reply = account.ask("POST", TEXT, wanted(prompt), {**AUTHORIZATION, "x-simulate": "1303*1"})
        return reply.status, json.loads(reply.body)["code"]

    assert [create("a cat") for _ in range(3)] == [(429, 1303), (200, 0), (200, 0)]
    assert [create("a dog") for _ in range(2)] == [(429, 1303), (200, 0)]
    assert len(account.data("GET", TEXT)) == 3


def test_a_lost_answer_that_is_asked_for_once_is_found_by_its_name(account: Account) -> None:
    body = wanted("a cat [simulate:lost*1]", external_task_id="mine")
    with pytest.raises(http.client.RemoteDisconnected):
        account.ask("POST", TEXT, body)
    reply = account.ask("POST", TEXT, body)

    assert (reply.status, json.loads(reply.body)["code"]) == (400, 1201)
    assert account.data("GET", f"{TEXT}/mine")["task_status"] == "succeed"


# Files, which need no credential


def test_a_part_of_a_video_is_that_part(shared: Account) -> None:
    target = shared.link()
    whole = shared.ask("GET", target, headers={})
    size = len(whole.body)
    assert (whole.status, whole.headers["Content-Type"], whole.body[4:8]) == (200, "video/mp4", b"ftyp")
    assert int(whole.headers["Content-Length"]) == size

    for asked_for, start, end in [("4-7", 4, 8), ("0-0", 0, 1), ("1000-", 1000, size), ("-10", size - 10, size)]:
        part = shared.ask("GET", target, headers={"Range": f"bytes={asked_for}"})
        assert (part.status, part.body) == (206, whole.body[start:end])
        assert part.headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"
    beyond = shared.ask("GET", target, headers={"Range": f"bytes={size}-"})
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, f"bytes */{size}")


def test_head_says_how_long_a_video_is_and_sends_nothing_of_it(shared: Account) -> None:
    target = shared.link()
    whole = shared.ask("GET", target, headers={})
    head = shared.ask("HEAD", target, headers={})

    assert (head.status, head.body) == (200, b"")
    assert [head.headers[name] for name in ("Content-Length", "Content-Type", "ETag")] == [
        str(len(whole.body)),
        "video/mp4",
        whole.headers["ETag"],
    ]


def test_a_video_that_is_known_already_is_not_sent_again(shared: Account) -> None:
    target = shared.link()
    known = shared.ask("GET", target, headers={}).headers["ETag"]
    again = shared.ask("GET", target, headers={"If-None-Match": known})

    assert (again.status, again.body) == (304, b"")


@table(
    "change",
    [
        lambda target: target.replace("sign=", "sign=0"),
        lambda target: target[:-1] + ("0" if target[-1] != "0" else "1"),
        lambda target: re.sub("expires=[0-9]+", "expires=99999999999", target),
        lambda target: target.replace("/0.mp4", "/1.mp4"),
        lambda target: target.partition("?")[0],
    ],
    ids=["longer signature", "other signature", "other expiry", "other file", "no signature"],
)
@table("headers", [{}, AUTHORIZATION], ids=["no credential", "credential"])
def test_a_link_that_was_changed_is_refused(
    change: Callable[[str], str], headers: dict[str, str], shared: Account
) -> None:
    target = shared.link()
    assert shared.ask("GET", target, headers=headers).status == 200
    refused = shared.ask("GET", change(target), headers=headers)

    assert refused.status == 403
    assert b"ftyp" not in refused.body


def test_a_link_is_refused_when_it_has_expired() -> None:
    with serving(Simulator(SimulatorSettings(speed=float("inf"), link_lifetime=0))) as address:
        account = Account(address)
        for headers in ({}, {"Range": "bytes=0-3"}):
            reply = account.ask("GET", account.link(), headers=headers)
            assert reply.status == 403
            assert b"expired" in reply.body


def test_a_link_of_another_run_is_refused(shared: Account, account: Account) -> None:
    assert account.ask("GET", shared.link(), headers={}).status == 403


# The command


class Process:
    """A running `ai-proxy simulate` and what it said at its start."""

    def __init__(self, *arguments: str, folder: Path) -> None:
        self._process = started(*arguments, folder=folder)
        # Ends all reading below.
        self._watch = threading.Timer(3 * DEADLINE, self._process.kill)
        self._watch.start()
        self._ended: tuple[int, str, str] | None = None
        assert self._process.stdout
        self.line = self._process.stdout.readline()
        found = re.fullmatch(
            r"SIMULATED: a Kling and a chat model at http://(127\.0\.0\.1:[0-9]+), nothing is paid\n", self.line
        )
        if not found:
            raise AssertionError(f"{self.line}{self.end()}")
        self.account = Account(found[1])

    def end(self) -> tuple[int, str, str]:
        """End it by SIGTERM; its status, and what it wrote besides the first line."""
        if self._ended is None:
            self._process.terminate()
            out, err = self._process.stdout, self._process.stderr
            assert out
            assert err
            with out, err:
                written = out.read(), err.read()
            self._ended = (self._process.wait(DEADLINE), *written)
            self._watch.cancel()
            self._watch.join(DEADLINE)
        return self._ended


def started(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mitm_ai_proxy.commands.main", "simulate", *arguments]
    path = os.pathsep.join([str(ADDON), os.environ.get("PYTHONPATH", "")])
    environment = {name: value for name, value in os.environ.items() if name != "AI_PROXY_HOME"} | {"PYTHONPATH": path}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True
    )


class Ended(Protocol):
    """Run the command, which ends by itself, in a folder of its own; its status and what it wrote."""

    def __call__(self, *arguments: str) -> tuple[int, str, str]: ...


@pytest.fixture
def ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ended:
    def serves(_: BaseWSGIServer, __: float = 0) -> None:
        raise AssertionError("it does not end but serves")

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AI_PROXY_HOME", raising=False)
    monkeypatch.setattr(BaseWSGIServer, "serve_forever", serves)

    def run(*arguments: str) -> tuple[int, str, str]:
        return main(["simulate", *arguments]), *capsys.readouterr()

    return run


StartProcess = Callable[..., Process]


@pytest.fixture
def start_process(tmp_path: Path) -> Iterator[StartProcess]:
    """Start the command on a free port, with a configuration if one is given."""
    processes: list[Process] = []

    def start(config: str | None = None) -> Process:
        (tmp_path / "other.yaml").write_text(config or "")
        arguments = [] if config is None else ["--config", "other.yaml"]
        processes.append(Process("--port", "0", *arguments, folder=tmp_path))
        return processes[-1]

    yield start
    for process in processes:
        process.end()


def _token(access_key: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Bearer " + jwt.encode({"iss": access_key, "exp": 2**33}, secret, "HS256")}


@pytest.mark.programs
def test_the_command_serves_until_it_is_told_to_end(start_process: StartProcess) -> None:
    process = start_process()
    task = process.account.data("POST", TEXT, wanted("a cat"))["task_id"]
    # Half a request, which nobody waits for.
    host, _, port = process.account.address.partition(":")
    with socket.create_connection((host, int(port)), DEADLINE) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\n")
        assert process.account.data("GET", f"{TEXT}/{task}")["task_status"] in ("submitted", "processing")
        status, _, err = process.end()

    assert (status, err) == (0, "")
    with pytest.raises(ConnectionRefusedError):
        process.account.ask("GET", TEXT)


@pytest.mark.programs
def test_the_command_prints_the_published_keys_and_nothing_of_what_it_is_asked(start_process: StartProcess) -> None:
    process = start_process("simulator: {speed: instant}")
    account, secrets = process.account, ("not-the-secret-key-0123456789abcdef", "api-key-kling-of-somebody")
    target = account.link("a prompt of somebody")
    token = _token(ACCESS_KEY, secrets[0])
    assert account.ask("GET", TEXT, headers=token).status == 401
    assert account.ask("GET", TEXT, headers={"Authorization": f"Bearer {secrets[1]}"}).status == 401
    assert account.ask("GET", TEXT, headers=_token(ACCESS_KEY, SECRET_KEY)).status == 200
    assert account.ask("GET", target, headers={}).status == 200
    assert account.ask("GET", f"/v1/nothing?key={secrets[1]}").status == 404
    assert account.raw(TEXT, "lost") == b""
    assert account.raw(TEXT, "truncated")
    assert account.ask("POST", TEXT, headers={**AUTHORIZATION, "Content-Type": "application/json"}).status == 400
    host, _, port = account.address.partition(":")
    with socket.create_connection((host, int(port)), DEADLINE) as connection:
        connection.sendall(f"{secrets[1]}\r\n\r\n".encode())
        while connection.recv(65536):
            pass

    keys = f"  KLING_ACCESS_KEY={ACCESS_KEY} KLING_SECRET_KEY={SECRET_KEY}\n  or KLING_API_KEY={API_KEY}\n"
    base = f"http://{account.address}"
    keys += f"  chats: OPENAI_BASE_URL={base}/v1 OPENAI_API_KEY={API_KEY}\n"
    keys += f"     or: ANTHROPIC_BASE_URL={base} ANTHROPIC_API_KEY={API_KEY}\n"
    assert process.end() == (0, keys + _use(account), "")


def _use(account: Account) -> str:
    return f"  the proxy uses it with providerDomain: http://{account.address} in its provider: block\n"


@pytest.mark.programs
def test_keys_of_one_s_own_are_taken_and_never_printed(start_process: StartProcess) -> None:
    access, secret, single = "access-key-of-mine", "secret-key-of-mine-0123456789abcdef", "single-key-of-mine"
    process = start_process(
        f"simulator: {{accessKey: {access}, secretKey: {secret}, apiKey: {single}, speed: instant}}"
    )
    ask = process.account.ask

    assert ask("GET", TEXT, headers=_token(access, secret)).status == 200
    assert ask("GET", TEXT, headers={"Authorization": f"Bearer {single}"}).status == 200
    assert ask("GET", TEXT, headers=_token(access, SECRET_KEY)).status == 401
    assert ask("GET", TEXT, headers=_token(ACCESS_KEY, SECRET_KEY)).status == 401
    assert ask("GET", TEXT).status == 401
    assert process.end() == (0, _use(process.account), "")
    assert access not in process.line


@pytest.mark.programs
@pytest.mark.parametrize(
    ("own", "useless"), [("secretKey: secret-key-of-mine-0123456789abcdef", SECRET_KEY), ("apiKey: mine", API_KEY)]
)
def test_keys_that_do_not_open_it_are_not_printed(own: str, useless: str, start_process: StartProcess) -> None:
    process = start_process(f"simulator: {{{own}}}")
    assert process.account.ask("GET", TEXT, headers={}).status == 401
    _, out, _ = process.end()

    assert useless not in out


def test_a_port_that_is_taken_is_one_line_and_status_1(ended: Ended) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        status, out, err = ended("--port", port)

    assert (status, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"ai-proxy: cannot listen on 127.0.0.1 port {port}: ")


# Python leaves a socket open that it was to bind to such a port.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("arguments", [("--port", "70000"), ("--port", "-1"), ("--host", "192.0.2.1", "--port", "0")])
def test_an_address_that_cannot_be_is_one_line_and_status_1(arguments: tuple[str, ...], ended: Ended) -> None:
    status, out, err = ended(*arguments)

    assert (status, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("ai-proxy: cannot listen on ")


def test_a_wrong_setting_is_named_with_its_key_and_not_with_a_secret(tmp_path: Path, ended: Ended) -> None:
    secret = "not-base64-at-all"
    (tmp_path / "wrong.yaml").write_text(f"simulator: {{linkLifetime: long, webhookSecret: {secret}}}")
    status, out, err = ended("--port", "0", "--config", "wrong.yaml")

    assert (status, out) == (1, "")
    assert "simulator.linkLifetime: expected a number" in err
    assert "simulator.webhookSecret: expected whsec_" in err
    assert "Traceback" not in err
    assert secret not in err


def test_a_configuration_that_is_not_there_is_named(ended: Ended) -> None:
    status, out, err = ended("--port", "0", "--config", "absent.yaml")

    assert (status, out) == (1, "")
    assert err == "ai-proxy: absent.yaml: cannot be read: there is no such file (ai-proxy init writes a first one)\n"
