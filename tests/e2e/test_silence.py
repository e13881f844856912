"""What a client is told of a provider that is silent, cannot be trusted or asks for a rest, over real sockets."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from email.utils import formatdate
from pathlib import Path

import pytest
from mitmproxy.http import HTTPFlow
from mitmproxy.io import FlowReader

from tests.e2e import certificates, moody
from tests.e2e.conftest import StartProxy
from tests.e2e.http2 import Http2Client
from tests.e2e.moody import OK, SILENCE, Mood, Moody, Request
from tests.e2e.proxy import DEADLINE, Proxy

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
JSON = {"Content-Type": "application/json"}


def _body(model: str, is_stream: bool = False) -> bytes:
    messages = [{"role": "user", "content": "hi"}]
    return json.dumps({"model": model, "max_tokens": 9, "stream": is_stream, "messages": messages}).encode()


@pytest.fixture
def provider() -> Iterator[Moody]:
    with closing(Moody()) as found:
        yield found


KEYS = {"first": "firstByteTimeout", "whole": "timeout", "deaf": "connectTimeout"}
_NO_ANSWER, _NO_CONNECTION = "No answer from {} has begun", "There was no connection to {}"
# A busy machine may need that long for a connection.
WORDS = {"first": (_NO_ANSWER,), "whole": (_NO_ANSWER, _NO_CONNECTION), "deaf": (_NO_CONNECTION,)}
TYPES = ("openai", "claude")


@pytest.mark.parametrize("is_http2", [False, True], ids=["HTTP/1", "HTTP/2 on both sides"])
def test_each_time_out_is_told_in_the_clients_dialect_by_its_key(
    is_http2: bool, tmp_path: Path, start_proxy: StartProxy
) -> None:
    root, tls = certificates.make(tmp_path, "localhost")
    tls.set_alpn_protocols(["h2"])
    # The listener of the deaf one accepts, and says nothing to whoever begins TLS.
    with closing(Moody(tls if is_http2 else None)) as silent, socket.create_server(("127.0.0.1", 0)) as deaf:
        silent.mood = lambda request: SILENCE
        origins = dict.fromkeys(KEYS, silent.origin) | {"deaf": f"https://127.0.0.1:{deaf.getsockname()[1]}"}
        blocks = [
            f"{{id: {name}-{type}, type: {type}, apiTokens: t, providerDomain: '{origins[name]}', {key}: 400}}"
            for name, key in KEYS.items()
            for type in TYPES
        ]
        routes = [f"{{model: {name}-{type}, provider: {name}-{type}}}" for name in KEYS for type in TYPES]
        text = f"providers: [{', '.join(blocks)}]\nroutes: [{', '.join(routes)}]"
        trust = ("--set", f"ssl_verify_upstream_trusted_ca={root}")
        proxy = start_proxy(text, "--mode", "reverse:https://127.0.0.1:9", *trust, tls=is_http2)

        def ask(case: tuple[str, str, str, bool]) -> tuple[int, str, str]:
            name, type, path, is_stream = case
            status, body = _asked(proxy, path, _body(f"{name}-{type}", is_stream), is_http2)
            found = json.loads(body)
            # Anthropic's errors have a type, OpenAI's a code.
            kind = found["error"]["code"] if path == CHAT else f"{found['type']} {found['error']['type']}"
            return status, kind, found["error"]["message"]

        cases = [
            (name, type, path, is_stream)
            for name in KEYS
            for type in TYPES
            for path in (CHAT, MESSAGES)
            for is_stream in (False, True)
            # Only the answer to one who asks for a stream begins soon.
            if is_stream or name != "first"
        ]
        with ThreadPoolExecutor(len(cases)) as pool:
            answers = dict(zip(cases, pool.map(ask, cases), strict=True))
        for (name, type, path, _), answer in answers.items():
            kind = "provider_timeout" if path == CHAT else "error timeout_error"
            assert answer[:2] == (504, kind), (name, type, path)
            wanted = {f"{what.format(origins[name])} within 400 ms ({KEYS[name]})." for what in WORDS[name]}
            assert answer[2] in wanted


def _asked(proxy: Proxy, path: str, body: bytes, is_http2: bool) -> tuple[int, bytes]:
    if is_http2:
        client = Http2Client(proxy.port)
        status = client.ask(b"POST", path.encode(), ((b"content-type", b"application/json"),), body)
        client.close()
        return status, client.body
    with closing(http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=3 * DEADLINE)) as connection:
        connection.request("POST", path, body, JSON)
        reply = connection.getresponse()
        return reply.status, reply.read()


def test_a_certificate_of_nobody_or_of_another_name_is_a_connection_that_was_not_made(
    tmp_path: Path, start_proxy: StartProxy
) -> None:
    places = {name: tmp_path / name for name in ("unknown", "right", "wrong")}
    for place in places.values():
        place.mkdir()
    _, unknown = certificates.make(places["unknown"], "localhost")
    root, right = certificates.make(places["right"], "localhost")
    other, wrong = certificates.make(places["wrong"], "another.test")
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(root.read_bytes() + other.read_bytes())
    with closing(Moody(unknown)) as one, closing(Moody(wrong)) as two, closing(Moody(right)) as three:
        blocks = [
            f"{{id: {name}, type: openai, apiTokens: token-{name}, providerDomain: 'https://localhost:{server.port}'}}"
            for name, server in (("one", one), ("two", two), ("three", three))
        ]
        text = f"providers: [{', '.join(blocks)}]\n"
        text += "routes: [{path: /v1/images/*, provider: [one, two, three]}, {path: /v1/*, provider: [two]}]"
        proxy = start_proxy(text, "--set", f"ssl_verify_upstream_trusted_ca={trusted}")
        # What is not sent is not bought.
        assert proxy.request("POST", "/v1/images/generations", _body("m"), JSON).status == 200
        assert [len(server.received) for server in (one, two, three)] == [0, 0, 1]
        assert three.received[0].token == "token-three"
        reply = proxy.request("POST", CHAT, _body("m"), JSON)
        error = json.loads(reply.body)["error"]
        assert (reply.status, error["code"]) == (502, "provider_unreachable")
        assert error["message"].startswith(f"The request to https://localhost:{two.port} failed: ")
        assert "ertificate" in error["message"]
        assert two.received == []


TOKENS = "provider: {{type: openai, apiTokens: [a, b], providerDomain: '{}', retryOnFailure: {{enabled: true}}{}}}"


@pytest.mark.parametrize("is_date", [False, True], ids=["seconds", "date"])
def test_a_token_that_asked_for_a_rest_is_asked_again_behind_it(
    is_date: bool, provider: Moody, start_proxy: StartProxy
) -> None:
    until = time.time() + 3
    rest = formatdate(until, usegmt=True) if is_date else "2"
    arrivals: list[tuple[float, str]] = []

    def mood(request: Request) -> Mood:
        arrivals.append((time.time(), request.token))
        if len(arrivals) > 3:
            return OK
        return moody.refusal(429, *([(b"retry-after", rest.encode())] if len(arrivals) <= 2 else []))

    provider.mood = mood
    proxy = start_proxy(TOKENS.format(provider.origin, ""))
    assert proxy.request("POST", CHAT, _body("m"), JSON).status == 429
    asked = arrivals[1][0]
    # Neither is free: the one that has rested longest is asked, and then the other one, when it has rested.
    assert proxy.request("POST", CHAT, _body("m"), JSON).status == 200
    assert {token for _, token in arrivals[2:]} == {"a", "b"}
    # A date has no parts of a second.
    assert arrivals[3][0] >= (int(until) if is_date else asked + 1.9)


def test_the_rest_of_a_refused_answer_is_not_waited_for_for_long(provider: Moody, start_proxy: StartProxy) -> None:
    slow = Mood(500, (b'{"error"',), end="silence")
    provider.mood = lambda request: slow if len(provider.received) == 1 else OK
    proxy = start_proxy(TOKENS.format(provider.origin, ""))
    assert proxy.request("POST", CHAT, _body("m"), JSON).status == 200
    assert provider.is_left.wait(DEADLINE)


def test_a_client_that_leaves_the_line_takes_nobodys_place(provider: Moody, start_proxy: StartProxy) -> None:
    is_open, is_asked = threading.Event(), threading.Event()

    def mood(request: Request) -> Mood:
        is_asked.set()
        assert is_open.wait(DEADLINE)
        return OK

    provider.mood = mood
    proxy = start_proxy(
        f"provider: {{type: openai, apiTokens: t, providerDomain: '{provider.origin}', concurrency: 1,"
        " queueTimeout: 60000}"
    )
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(_asked, proxy, CHAT, _body("first"), False)
        assert is_asked.wait(DEADLINE)
        with socket.create_connection(("127.0.0.1", proxy.port)) as leaving:
            body = _body("leaving")
            leaving.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            # It has its place in line when the next one is behind it.
            threading.Event().wait(0.3)
        last = pool.submit(_asked, proxy, CHAT, _body("last"), False)
        threading.Event().wait(0.3)
        is_open.set()
        assert (first.result()[0], last.result()[0]) == (200, 200)
    assert [json.loads(request.body)["model"] for request in provider.received] == ["first", "last"]


def test_a_proxy_that_is_stopped_between_two_tries_answers(provider: Moody, start_proxy: StartProxy) -> None:
    provider.mood = lambda request: moody.refusal(429, (b"retry-after", b"50"))
    proxy = start_proxy(TOKENS.format(provider.origin, ""))
    assert proxy.request("POST", CHAT, _body("m"), JSON).status == 429
    third = threading.Event()
    provider.mood = lambda request: third.set() or moody.refusal(429)  # type: ignore[func-returns-value]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(_asked, proxy, MESSAGES, _body("m"), False)
        assert third.wait(DEADLINE)
        # The refused answer is on its way.
        threading.Event().wait(0.5)
        log = proxy.close()
        status, body = waiting.result()
    assert (status, json.loads(body)["type"]) == (503, "error")
    assert "is being stopped" in json.loads(body)["error"]["message"]
    assert "Traceback" not in log


def test_each_try_passes_the_simulator(start_proxy: StartProxy, tmp_path: Path) -> None:
    text = "provider: {type: openai, apiTokens: [a, b], retryOnFailure: {enabled: true}}\nsimulator: {speed: instant}"
    proxy = start_proxy(text, "--set", "ai_simulate=true", "-w", str(tmp_path / "flows"))
    for fault, status in (("503*1", 200), ("503", 503)):
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": f"hi {fault}"}]}).encode()
        reply = proxy.request("POST", CHAT, body, JSON | {"x-simulate": fault})
        assert reply.status == status, (fault, reply.body)
    proxy.close()
    with (tmp_path / "flows").open("rb") as file:
        comments = [flow.comment for flow in FlowReader(file).stream() if isinstance(flow, HTTPFlow)]
    assert len(comments) == 4
    assert all("simulated, would have been sent to https://api.openai.com" in comment for comment in comments)
