"""Faults of providers, clients and the machine: what the client sees at both edges, as docs/reliability.md tells."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest

from mitm_ai_proxy import registry
from mitm_ai_proxy.exchange import Upstream
from tests.e2e import certificates, moody
from tests.e2e.conftest import EDGES, StartEdge, StartProxy, StartServe
from tests.e2e.faults import BROKEN, EVENT, FAULTS, OTHERS, PASSED, STREAM, UNREACHABLE, WHOLE
from tests.e2e.http2 import Http2Client
from tests.e2e.moody import Moody
from tests.e2e.proxy import DEADLINE, Program
from tests.e2e.raw import OK, RawProvider, ask, message

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
CONFIG = """
providers:
  - {{id: raw, type: openai, apiTokens: [sk-provider-0123456789], providerDomain: "http://{address}"}}
  - {{id: nobody, type: openai, apiTokens: [sk-provider-0123456789], providerDomain: "http://127.0.0.1:9"}}
  - {{id: timed, type: openai, apiTokens: [sk-provider-0123456789], providerDomain: "http://{address}", timeout: 300}}
routes:
  - {{header: {{X-Way: nobody}}, provider: nobody}}
  - {{header: {{X-Way: timed}}, provider: timed}}
  - {{path: "*", provider: raw}}
"""
PATH = "/v1/chat/completions"
CHAT = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'


def _request(way: str = "raw") -> bytes:
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nX-Way: {way}\r\nContent-Length: {len(CHAT)}\r\n"
    return f"{head}Content-Type: application/json\r\n\r\n".encode() + CHAT


def _seen(answer: bytes) -> str:
    """An answer to the byte, in the words of the table."""
    if not answer:
        return "the connection is closed"
    head, _, body = answer.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    if fields.get(b"transfer-encoding") == b"chunked":
        is_whole = body.endswith(b"0\r\n\r\n")
    else:
        is_whole = len(body) == int(fields.get(b"content-length", len(body)))
    return _told(int(answer[9:12]), body, is_whole=is_whole)


def _told(status: int, body: bytes, *, is_whole: bool) -> str:
    if b"answer_broken" in body:
        return BROKEN
    if not is_whole:
        return f"{status}, then the connection is closed"
    try:
        return f"{status} `{json.loads(body)['error']['code']}`"
    except (ValueError, KeyError, TypeError):
        return f"{status}, the whole answer"


def _over_http2(port: int, way: str) -> str:
    client = Http2Client(port)
    fields = ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(CHAT)), (b"x-way", way.encode()))
    with contextlib.closing(client):
        status = client.ask(b"POST", PATH.encode(), fields, CHAT)
    return _told(status or 200, client.body, is_whole=bool(status))


@pytest.fixture(scope="module")
def raw_server() -> Iterator[RawProvider]:
    provider = RawProvider()
    yield provider
    provider.close()


@pytest.fixture
def provider(raw_server: RawProvider) -> RawProvider:
    """A provider that does what it is told, to the byte."""
    raw_server.reset()
    return raw_server


def test_the_page_tells_of_each_fault() -> None:
    rows = [
        line.strip("| ").split(" | ") for line in PAGE.read_text().split("\n## Faults\n")[1].split("\n") if "|" in line
    ]
    assert rows[2:] == [[fault.name, fault.mitmdump, fault.serve] for fault in FAULTS] + [list(row) for row in OTHERS]


@pytest.mark.parametrize("edge", EDGES)
def test_what_a_client_sees_of_a_provider_that_fails(
    edge: str, provider: RawProvider, start_proxy: StartProxy, start_serve: StartServe
) -> None:
    config = CONFIG.format(address=provider.address)
    # Over TLS, mitmproxy speaks HTTP/2 as well.
    proxy = start_proxy(config, tls=True) if edge == "mitmdump" else start_serve(config)
    wrong = []
    for fault in FAULTS:
        for is_http2 in (False, True) if edge == "mitmdump" else (False,):
            provider.reset()
            provider.says, provider.closes = fault.says, fault.end == "close"
            provider.resets, provider.drips = fault.end == "reset", fault.end == "drip"
            answer = b"" if is_http2 else ask(proxy.port, _request(fault.way))
            told = _over_http2(proxy.port, fault.way) if is_http2 else _seen(answer)
            # Nothing is sent twice, and what nobody asked for is for nobody.
            if told != getattr(fault, edge) or len(provider.received) > 1 or b"EVIL" in answer:
                wrong.append((fault.name, is_http2, told, getattr(fault, edge), len(provider.received)))
    provider.reset()
    provider.says = WHOLE
    if edge == "serve":
        assert ask(proxy.port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", seconds=1)[9:12] in (b"505", b"400")

    assert wrong == []
    assert _seen(ask(proxy.port, _request())) == PASSED
    assert not any(word in proxy.close() for word in ("Traceback", "crashed"))


@pytest.mark.parametrize("edge", EDGES)
def test_what_a_client_sees_of_connections_that_are_kept_or_left(
    edge: str, provider: RawProvider, shared_edge: StartEdge
) -> None:
    port = shared_edge(edge, CONFIG.format(address=provider.address)).port
    provider.says, provider.closes = WHOLE, True
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
        for count in (1, 2):
            provider.is_left.clear()
            client.sendall(_request())
            assert _seen(message(client)) == PASSED
            assert len(provider.received) == count
            assert provider.is_left.wait(DEADLINE)
    provider.reset()
    provider.says = STREAM
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
        client.sendall(_request())
        received = b""
        while EVENT not in received:
            received += client.recv(65536)
        assert not provider.is_left.is_set()
    assert provider.is_left.wait(DEADLINE)


@pytest.mark.parametrize("edge", EDGES)
def test_what_a_client_sees_of_a_provider_that_speaks_http_2(
    edge: str, start_proxy: StartProxy, start_serve: StartServe, tmp_path: Path
) -> None:
    root, tls = certificates.make(tmp_path, "localhost")
    tls.set_alpn_protocols(["h2", "http/1.1"])
    provider = Moody(tls)
    config = CONFIG.format(address=provider.address).replace("http://127", "https://127")
    proxy: Program
    if edge == "mitmdump":
        proxy = start_proxy(config, "--set", f"ssl_verify_upstream_trusted_ca={root}")
    else:
        proxy = start_serve(config, "--upstream-ca", str(root))
    told = []
    for mood in (moody.OK, moody.RESET, moody.CLOSE, moody.OK):
        provider.mood = lambda request, mood=mood: mood  # type: ignore[misc]
        told.append(_seen(ask(proxy.port, _request())))
    count = len(provider.received)
    provider.close()

    assert told == [PASSED, UNREACHABLE, UNREACHABLE, PASSED]
    assert count == 4


def test_a_clock_that_jumps_has_credentials_signed_anew() -> None:
    now = begun = 1_800_000_000.0
    keys = {"type": "kling", "klingAccessKey": "a", "klingSecretKey": "k" * 32}
    kling = registry.provider(registry.read({"provider": keys}, {}), lambda: now)
    for jump in (0, 86_400, -172_800, -172_000):
        now = begun + jump
        upstream = Upstream(kling.origin, "GET", "/v1/videos/text2video/1")
        token = kling.credential(upstream, kling.token(())).fields[b"authorization"].decode().removeprefix("Bearer ")
        claims = jwt.decode(token, options={"verify_signature": False})
        assert claims["nbf"] <= now < claims["exp"]


class _Load:
    """Clients that ask without a break, each with a number of its own, until the proxy is gone.

    `whole`: the numbers whose answer came whole; `wrong`: what came besides.
    """

    def __init__(self, port: int, clients: int = 4) -> None:
        self._port = port
        self._numbers = itertools.count()
        self.whole: set[int] = set()
        self.wrong: list[bytes] = []
        self.has_begun = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        with contextlib.suppress(ConnectionRefusedError):
            while True:
                number = next(self._numbers)
                data = b"GET /v1/files/%d HTTP/1.1\r\nHost: x\r\n\r\n" % number
                answer = b""
                with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                    answer = ask(self._port, data)
                if answer == OK:
                    self.whole.add(number)
                elif answer and b"proxy_stopped" not in answer:
                    self.wrong.append(answer)
                if number > 20:
                    self.has_begun.set()

    def end(self) -> None:
        for thread in self._threads:
            thread.join(DEADLINE)


@pytest.mark.parametrize("edge", [*EDGES, "mitmdump, recording"])
def test_load_meets_changes_of_the_configuration_and_the_end(
    edge: str, provider: RawProvider, start_proxy: StartProxy, start_serve: StartServe, tmp_path: Path
) -> None:
    config, cassette = CONFIG.format(address=provider.address), tmp_path / "load.har"
    proxy: Program
    if edge == "serve":
        proxy = start_serve(config)
    else:
        proxy = start_proxy(config, *(["--set", f"ai_record={cassette}"] if "recording" in edge else []))
    load = _Load(proxy.port)
    assert load.has_begun.wait(DEADLINE)
    for token in ("wrong]", "sk-second-01234567") if edge in EDGES else ():
        (proxy.folder / "config.yaml").write_text(config.replace("sk-provider-0123456789", token))
        proxy.wait_for("the old configuration stays" if "]" in token else "provider raw")
    os.kill(proxy.process_id, signal.SIGTERM)
    load.end()
    assert proxy.ended() == 0

    assert load.wrong == []
    # mitmproxy 11 logs tasks that are cancelled at its end.
    assert "crashed" not in proxy.log
    assert "Addon error" not in proxy.log
    tokens = {request.partition(b"earer ")[2].partition(b"\r\n")[0] for request in provider.received}
    assert tokens <= {b"sk-provider-0123456789", b"sk-second-01234567"}
    asked = [request.partition(b" HTTP")[0] for request in provider.received]
    assert len(asked) == len(set(asked))
    if "recording" in edge:
        entries = json.loads(cassette.read_text())["log"]["entries"]
        recorded = {int(entry["request"]["url"].rpartition("/")[2]) for entry in entries if entry["response"]["status"]}
        assert load.whole <= recorded


def test_a_full_disk_takes_no_answer_away(provider: RawProvider, start_proxy: StartProxy, tmp_path: Path) -> None:
    full = tmp_path / "full.py"
    # No file may become longer, which fails as a full disk does; until the request that says so.
    full.write_text(
        "import resource\n"
        "def request(flow):\n"
        "    most = resource.RLIM_INFINITY if 'free' in flow.request.path else 3000\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))\n"
    )
    cassette = tmp_path / "full.har"
    config = CONFIG.format(address=provider.address)
    proxy = start_proxy(config, "--set", f"ai_record={cassette}", "-s", str(full))
    for path in (b"a", b"b", b"c"):
        assert ask(proxy.port, b"GET /v1/files/%b HTTP/1.1\r\nHost: x\r\n\r\n" % path) == OK
    assert "File too large" in proxy.wait_for("not recorded yet")
    before = json.loads(cassette.read_text())["log"]["entries"] if cassette.exists() else []
    assert ask(proxy.port, b"GET /v1/files/free HTTP/1.1\r\nHost: x\r\n\r\n") == OK
    proxy.close()

    assert len(before) < 3
    assert len(json.loads(cassette.read_text())["log"]["entries"]) == 4
