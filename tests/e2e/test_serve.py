"""`ai-proxy serve` as a process: its options and what it says of bad ones, its end, TLS, numbers, workers, reload."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from mitm_ai_proxy.commands import serve
from tests.e2e import certificates, moody
from tests.e2e.conftest import StartServe
from tests.e2e.moody import Mood, Moody
from tests.e2e.proxy import DEADLINE
from tests.e2e.raw import message
from tests.tables import table

CHAT = "/v1/chat/completions"
BODY = b'{"model": "gpt", "stream": true, "messages": []}'
JSON = {"Content-Type": "application/json"}
OPENAI = "provider: {{type: openai, apiTokens: token-one, providerDomain: '{origin}'}}\n"
KLING = "provider: {type: kling, apiTokens: token-one}\n"
CHUNK = b'data: {"choices": []}\n\n'


@pytest.fixture
def provider() -> Iterator[Moody]:
    with closing(Moody()) as found:
        yield found


def _config(provider: Moody, more: str = "") -> str:
    return OPENAI.format(origin=provider.origin) + more


def _started(connection: socket.socket) -> bytes:
    """What has come when a stream has begun."""
    received = b""
    while CHUNK not in received:
        data = connection.recv(65536)
        assert data, received
        received += data
    return received


def _ask_for_stream(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), DEADLINE)
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
    connection.sendall(head.encode() + BODY)
    return connection


@table(
    ("arguments", "says"),
    [
        (("--listen-port", "99999"), "'99999' is no port"),
        (("--workers", "0"), "no number of processes"),
        (("--held-bodies", "much"), "no size"),
        (("--mode", "regular"), "serve is a reverse proxy of its own"),
        (("--set", "ai_record=x"), "serve has no recording (ai_record); ai-proxy start and"),
        (("--set", "ai_replay=x"), "serve has no replaying"),
        (("--intercept", "~q"), "intercepting"),
    ],
)
def test_a_mistake_in_the_command_line_is_told(arguments: tuple[str, ...], says: str) -> None:
    with pytest.raises(SystemExit) as ended, contextlib.redirect_stderr(io.StringIO()) as told:
        serve.main(arguments, Path("config.yaml"), "ai-proxy")
    assert ended.value.code == 2
    assert says in told.getvalue()


@table(
    ("config", "arguments", "status", "says"),
    [
        (KLING, ("--cert", "missing.pem"), 1, "missing.pem cannot be used as the certificate: No such file"),
        (KLING, ("--upstream-ca", "missing.pem"), 1, "missing.pem cannot be used as certificates"),
        (KLING, ("--listen-host", "0.0.0.0"), 1, "clientTokens: is missing"),
        (KLING, ("--workers", "2", "--listen-port", "8099"), 1, "does not go with --workers: kling buys each create"),
        (KLING, ("--workers", "2"), 1, "--workers need a port"),
        ("provider: {type: klin}\n", (), 1, "did you mean kling?"),
        (KLING + "clientTokens: {a: short}\n", (), 1, "clientTokens.a: has no token, or one of less than 16"),
    ],
)
def test_a_mistake_ends_the_start_with_a_sentence(
    config: str, arguments: tuple[str, ...], status: int, says: str, start_serve: StartServe
) -> None:
    served = start_serve(config, *arguments, wait=False)

    assert served.ended() == status
    assert says in served.log
    assert "Traceback" not in served.log


def test_a_port_that_is_taken_is_named(start_serve: StartServe) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        served = start_serve(KLING, "--listen-port", str(port), wait=False)
        assert served.ended() == 1
    assert f"cannot listen at 127.0.0.1 port {port}: Address already in use" in served.log


def test_numbers_and_health_have_an_address_of_their_own(provider: Moody, start_serve: StartServe) -> None:
    config = _config(provider, "clientTokens: {shop: token-of-the-shop-1}\n")
    served = start_serve(
        config.replace("token-one", "token-of-openai-1, logUpstreamErrorResponseBody: true"),
        "--metrics-port",
        "0",
        "--log",
        "json",
        wait=False,
    )
    port = int(served.wait_for(r"/metrics at http://127.0.0.1:\d+").rpartition(":")[2].strip().rstrip('"}'))
    line = served.wait_for("serving at")
    served.port = int(json.loads(line)["message"].rpartition(":")[2])

    assert served.request("GET", "/v1/models", headers={"x-api-key": "token-of-the-shop-1"}).status == 200
    assert served.request("GET", "/v1/models?key=secret").status == 401
    done = json.loads(served.wait_for("/v1/models"))
    # Providers repeat keys in their errors.
    said = b'{"error": {"message": "wrong key token-of-openai-1"}}'
    for mood in (moody.refusal(401, (b"x-key", b"token-of-openai-1"), body=said), moody.CLOSE, moody.GARBAGE):
        provider.mood = lambda request, mood=mood: mood  # type: ignore[misc]
        headers = {"Authorization": "Bearer token-of-the-shop-1", "Content-Type": "application/json"}
        answer = served.request("POST", f"{CHAT}?api_key=secret", BODY, headers)
        assert b"token-of" not in answer.body
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=DEADLINE) as answer:
        numbers = answer.read().decode()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/providers", timeout=DEADLINE) as answer:
        assert answer.read().decode() == f"openai at {provider.origin}: in use\n  token 1 (...): in use\n"
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=DEADLINE) as answer:
        assert json.load(answer) == {"status": "ok"}

    assert (done["request"], done["status"], done["client"]) == ("GET /v1/models", 200, "shop")
    assert any("sent to" in note for note in done["notes"])
    assert 'ai_proxy_requests_total{client="shop",provider="openai",status="200"} 1.0' in numbers
    assert 'ai_proxy_requests_total{client="",provider="",status="401"} 1.0' in numbers
    assert 'ai_proxy_in_use{provider="openai",token="1"} 1.0' in numbers
    assert served.request("GET", "/metrics").status == 401
    lines = served.close().splitlines()
    assert [json.loads(line)["level"] for line in lines if "wrong key" in line] == ["warning"]
    assert not any(word in line for line in lines for word in ("token-of", "secret"))
    assert all(json.loads(line)["time"] for line in lines)


def test_clients_and_providers_are_spoken_to_by_tls(tmp_path: Path, start_serve: StartServe) -> None:
    root, tls = certificates.make(tmp_path, "localhost")
    with closing(Moody(tls)) as provider:
        served = start_serve(_config(provider), "--cert", str(tmp_path / "server.pem"), "--upstream-ca", str(root))
        trusting = ssl.create_default_context(cafile=str(root))
        trusting.verify_flags &= ~ssl.VERIFY_X509_STRICT
        for _ in range(3):
            with urllib.request.urlopen(
                f"https://127.0.0.1:{served.port}/v1/models", timeout=DEADLINE, context=trusting
            ) as a:
                assert a.read() == b'{"ok": true}'
        # Three clients, one handshake with the provider.
        assert provider.connections == 1
        distrusting = start_serve(_config(provider))
        answer = distrusting.request("GET", "/v1/models")
    assert answer.status == 502
    assert b"certificate is not trusted" in answer.body


def test_what_is_under_way_ends_before_the_server_does(provider: Moody, start_serve: StartServe) -> None:
    goes_on = threading.Event()

    def slow(_: moody.Request) -> Mood:
        goes_on.wait(DEADLINE)
        return moody.stream(CHUNK)

    provider.mood = slow
    served = start_serve(_config(provider))
    with _ask_for_stream(served.port) as connection:
        while not provider.received:
            time.sleep(0.01)
        os.kill(served.process_id, signal.SIGTERM)
        served.wait_for("stopping, with 1 requests under way")
        with pytest.raises(OSError, match=r".*"):
            socket.create_connection(("127.0.0.1", served.port), 1)
        goes_on.set()
        answer = message(connection)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(CHUNK)
    assert served.ended() == 0


def test_what_has_not_ended_in_time_is_aborted(provider: Moody, start_serve: StartServe) -> None:
    provider.mood = lambda request: moody.stream(CHUNK, end="silence")
    served = start_serve(_config(provider), "--grace", "0.2")
    with _ask_for_stream(served.port) as connection:
        received = _started(connection)
        os.kill(served.process_id, signal.SIGTERM)
        with contextlib.suppress(ConnectionError):
            while data := connection.recv(65536):
                received += data
    assert not received.endswith(b"0\r\n\r\n")
    assert served.ended() == 0
    assert "1 requests had not ended after 0.2 s" in served.log


def test_a_client_that_leaves_a_stream_ends_it_at_the_provider(provider: Moody, start_serve: StartServe) -> None:
    provider.mood = lambda request: moody.stream(CHUNK, end="silence")
    served = start_serve(_config(provider))
    with _ask_for_stream(served.port) as connection:
        _started(connection)

    assert provider.is_left.wait(DEADLINE)
    served.wait_for("the client has left")


def test_a_stream_that_breaks_off_ends_with_an_error_and_a_download_with_its_connection(
    provider: Moody, start_serve: StartServe
) -> None:
    provider.mood = lambda request: moody.stream(CHUNK, end="reset")
    served = start_serve(_config(provider))
    with _ask_for_stream(served.port) as connection:
        received = b""
        while data := connection.recv(65536):
            received += data
            if received.endswith(b"0\r\n\r\n"):
                break
    assert b"answer_broken" in received

    provider.mood = lambda request: Mood(200, (b"x" * 70_000, b"y"), ((b"content-type", b"video/mp4"),), "reset")
    with _ask_for_stream(served.port) as connection:
        received = b""
        try:
            while data := connection.recv(65536):
                received += data
        except ConnectionError:
            pass
    assert not received.endswith(b"0\r\n\r\n")
    assert served.close().count("broken off: ") == 2


@table(
    ("failure", "says"),
    [
        (moody.refusal(429), "try 1 of 2: 429 from one"),
        (moody.CLOSE, "try 1 of 2: a broken answer"),
        (Mood(200, (b'{"a',), end="close"), "try 1 of 2: a broken answer (its answer broke off) from one"),
        (moody.stream(b'data: {"error": {"message": "no", "type": "overloaded_error"}}\n\n'), "as the first event"),
        (moody.SILENCE, "no answer in 300 ms (firstByteTimeout) from one"),
    ],
)
def test_after_a_failure_the_next_provider_answers(failure: Mood, says: str, start_serve: StartServe) -> None:
    with closing(Moody()) as one, closing(Moody()) as two:
        one.mood, two.mood = (lambda request: failure), (lambda request: moody.stream(CHUNK))
        served = start_serve(
            "providers:\n"
            f"- {{id: one, type: openai, apiTokens: token-one, firstByteTimeout: 300,providerDomain: '{one.origin}'}}\n"
            f"- {{id: two, type: openai, apiTokens: token-two, providerDomain: '{two.origin}'}}\n"
            "routes: [{path: /v1/*, provider: [one, two]}]\n"
        )
        answer = served.request("POST", CHAT, BODY, JSON)
        assert (answer.status, answer.body) == (200, CHUNK)
        assert [request.token for request in (*one.received, *two.received)] == ["token-one", "token-two"]
        assert says in served.wait_for(CHAT)


def test_a_changed_configuration_is_used_if_all_of_it_is_right(provider: Moody, start_serve: StartServe) -> None:
    served = start_serve(_config(provider))
    file = served.folder / "config.yaml"
    file.write_text("provider: {type: openai, apiToken: wrong}\n")
    served.wait_for("the old configuration stays")
    assert served.request("GET", "/v1/models").status == 200
    is_used = threading.Event()

    def ask(_: int) -> set[int]:
        """The statuses of answers while it changes."""
        found = set()
        while not is_used.is_set():
            found.add(served.request("GET", "/v1/models").status)
            time.sleep(0.01)
        return found

    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(ask, number) for number in range(4)]
        file.write_text(_config(provider).replace("token-one", "token-two"))
        end = time.monotonic() + DEADLINE
        while provider.received[-1].token == "token-one" and time.monotonic() < end:
            time.sleep(0.01)
        is_used.set()
        assert [answer.result() for answer in answers] == [{200}] * 4
    tokens = [request.token for request in provider.received]
    assert {tokens[0], tokens[-1]} == set(tokens) == {"token-one", "token-two"}


def test_workers_share_a_port_and_end_together(provider: Moody, start_serve: StartServe) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    served = start_serve(_config(provider), "--workers", "2", "--listen-port", str(port))
    served.wait_for("serving at")
    assert [served.request("GET", "/v1/models").status for _ in range(8)] == [200] * 8
    served.close()
    assert served.ended() == 0
    with pytest.raises(OSError, match=r".*"):
        socket.create_connection(("127.0.0.1", port), 1)


def test_a_video_is_made_by_the_simulator_without_a_provider(start_serve: StartServe) -> None:
    served = start_serve("provider: {type: kling}\nsimulator: {speed: 1000}\n", "--simulate")
    video = json.loads(served.request("POST", "/v1/videos", b'{"model": "sora-2", "prompt": "a cat"}', JSON).body)
    for _ in range(200):
        video = json.loads(served.request("GET", f"/v1/videos/{video['id']}").body)
        if video["status"] == "completed":
            break
        time.sleep(0.05)
    answer = served.request("GET", f"/v1/videos/{video['id']}/content")
    assert answer.status == 302
    target = answer.headers["Location"].partition(f":{served.port}")[2]
    assert served.request("GET", target, headers={"Origin": "https://any.example"}).body[4:8] == b"ftyp"
    assert ": simulated, would have been sent to https://api" in served.wait_for(" 200 POST /v1/videos ")
