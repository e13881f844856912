"""What a client is told of a provider that is silent, cannot be trusted or asks for a rest, over real sockets."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
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
from tests.e2e.tries import BODY, CHUNK, DONE, STREAM, in_order

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
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(_asked, proxy, CHAT, _body("first"), False)
        assert is_asked.wait(DEADLINE)
        with _sent(proxy, _body("leaving"), False):
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


# A fault, the status of the answer, its code, and how many tries there are.
SIMULATED = (
    ("503*1", 200, "", 2),
    ("503", 503, "simulated", 2),
    ("lost*1", 200, "", 2),
    ("lost", 502, "provider_unreachable", 2),
    ("truncated", 502, "provider_unreachable", 2),
    ("stuck", 504, "provider_timeout", 1),
)


def test_each_try_passes_the_simulator(start_proxy: StartProxy, tmp_path: Path) -> None:
    keys = "retryOnFailure: {enabled: true}, timeout: 3000"
    text = f"provider: {{type: openai, apiTokens: [a, b], {keys}}}\nsimulator: {{speed: instant}}"
    proxy = start_proxy(text, "--set", "ai_simulate=true", "-w", str(tmp_path / "flows"))
    for fault, status, code, _ in SIMULATED:
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": f"hi {fault}"}]}).encode()
        reply = proxy.request("POST", CHAT, body, JSON | {"x-simulate": fault})
        found = json.loads(reply.body).get("error", {}).get("code", "")
        assert (reply.status, found if status != 503 else "simulated") == (status, code), (fault, reply.body)
    # What may have bought something is not tried again, but told of in the same way.
    reply = proxy.request("POST", "/v1/images/generations", b'{"model": "m"}', JSON | {"x-simulate": "lost"})
    proxy.close()
    with (tmp_path / "flows").open("rb") as file:
        flows = [flow for flow in FlowReader(file).stream() if isinstance(flow, HTTPFlow)]
    chats = [flow.comment for flow in flows if flow.request.path == CHAT]
    assert len(chats) == sum(count for *_, count in SIMULATED)
    assert all("simulated, would have been sent to https://api.openai.com" in comment for comment in chats)
    assert sum("a broken answer (the connection was closed) from openai" in comment for comment in chats) == 6
    assert "no answer in 3000 ms (timeout)" in chats[-1]


def test_a_client_that_leaves_ends_the_tries(pair: tuple[Moody, Moody], start_proxy: StartProxy) -> None:
    one, two = pair
    leave = threading.Event()

    def mood(request: Request) -> Mood:
        leave.set()
        return SILENCE

    one.mood = lambda request: moody.refusal(429)
    two.mood = mood
    proxy = start_proxy(in_order(one, two, ", retryOnFailure: {enabled: true}"))
    with _sent(proxy, BODY, False):
        assert leave.wait(DEADLINE)
    assert two.is_left.wait(DEADLINE)
    assert len(one.received) == len(two.received) == 1


def test_a_client_that_leaves_between_two_tries_ends_them(
    provider: Moody, tmp_path: Path, start_proxy: StartProxy
) -> None:
    is_asked, rest = threading.Event(), (b"retry-after", b"2")

    def mood(request: Request) -> Mood:
        model = json.loads(request.body)["model"]
        if model.startswith("leaving"):
            is_asked.set()
        # Each token asks for a rest, so that the further tries of the others wait for it.
        is_first = sum(model == json.loads(one.body)["model"] for one in provider.received) == 1
        return moody.refusal(429, rest) if model == "first" or is_first else OK

    provider.mood = mood
    saved = tmp_path / "flows"
    reverse = ("--mode", "reverse:https://127.0.0.1:9", "-w", str(saved))
    proxy = start_proxy(TOKENS.format(provider.origin, ""), *reverse, tls=True)
    assert _asked(proxy, CHAT, _body("first"), False)[0] == 429
    for is_http2 in (False, True):
        is_asked.clear()
        leaving = _sent(proxy, _body(f"leaving-{is_http2}"), is_http2)
        assert is_asked.wait(DEADLINE)
        # The refused answer is on its way, and the wait begins.
        threading.Event().wait(0.3)
        leaving.close()
    # It waits for a token behind them.
    assert _asked(proxy, CHAT, _body("last"), False)[0] == 200
    proxy.close()
    models = [json.loads(request.body)["model"] for request in provider.received]
    assert models[-2:] == ["last", "last"]
    assert (models.count("leaving-False"), models.count("leaving-True")) == (1, 1)
    with saved.open("rb") as file:
        flows = [flow for flow in FlowReader(file).stream() if isinstance(flow, HTTPFlow)]
    ended = [flow for flow in flows if flow.error]
    assert [flow.comment.count("try 1 of 2: 429") for flow in ended] == [1, 1]


def _sent(proxy: Proxy, body: bytes, is_http2: bool) -> socket.socket:
    """The connection of a client that has sent a chat, and does not wait for its answer."""
    if is_http2:
        client = Http2Client(proxy.port)
        return client.send(b"POST", CHAT.encode(), ((b"content-type", b"application/json"),), body)
    connection = socket.create_connection(("127.0.0.1", proxy.port))
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return connection


# The keys, and what the client is told of a provider that is silent.
LATE = {
    "firstByteTimeout": "firstByteTimeout: 300",
    "timeout": "timeout: 300",
    "retryTimeout": "retryOnFailure: {enabled: true, retryTimeout: 300}",
}


@pytest.mark.parametrize("key", LATE)
def test_a_provider_that_is_silent_is_left_and_the_client_is_told_which_key_says_so(
    key: str, pair: tuple[Moody, Moody], start_proxy: StartProxy
) -> None:
    one, two = pair
    two.mood = lambda request: SILENCE
    one.mood = lambda request: SILENCE if key != "retryTimeout" else moody.refusal(500)
    proxy = start_proxy(in_order(one, two, f", {LATE[key]}"))
    reply = proxy.request("POST", CHAT, BODY, JSON)
    error = json.loads(reply.body)["error"]
    last = one if key == "timeout" else two
    assert (reply.status, error["code"]) == (504, "provider_timeout")
    assert error["message"] == f"No answer from {last.origin} has begun within 300 ms ({key})."
    assert last.is_left.wait(DEADLINE)
    assert len(two.received) == (0 if key == "timeout" else 1)
    two.mood = lambda request: STREAM
    if key == "firstByteTimeout":
        assert proxy.request("POST", CHAT, BODY, JSON).body == CHUNK + DONE


def test_a_time_out_is_told_to_a_request_in_a_tunnel(pair: tuple[Moody, Moody], start_proxy: StartProxy) -> None:
    one, two = pair
    one.mood, two.mood = (lambda request: SILENCE), (lambda request: STREAM)
    text = in_order(one, two, ", firstByteTimeout: 300") + "\nhosts: [chats.test]"
    proxy = start_proxy(text, "--mode", "regular", "--set", "connection_strategy=lazy", tls=True)
    trusted = ssl.create_default_context(cafile=str(proxy.folder / "confdir" / "mitmproxy-ca-cert.pem"))
    with closing(http.client.HTTPSConnection("127.0.0.1", proxy.port, timeout=DEADLINE, context=trusted)) as connection:
        connection.set_tunnel("chats.test", 443)
        connection.request("POST", CHAT, BODY, JSON)
        assert connection.getresponse().read() == CHUNK + DONE
    assert one.is_left.wait(DEADLINE)


def test_a_connection_that_is_not_made_in_time_is_given_up(pair: tuple[Moody, Moody], start_proxy: StartProxy) -> None:
    _, two = pair
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        # It accepts, and says nothing to whoever begins TLS.
        origin = f"https://127.0.0.1:{deaf.getsockname()[1]}"
        text = in_order(two, two, ", connectTimeout: 300").replace(
            f"token-one, providerDomain: '{two.origin}'", f"t, providerDomain: '{origin}'"
        )
        proxy = start_proxy(text)
        # What is not sent is not bought.
        assert proxy.request("POST", "/v1/images/generations", b'{"model": "m"}', JSON).status == 200
        alone = f"provider: {{type: openai, apiTokens: t, providerDomain: '{origin}', connectTimeout: 300}}"
        reply = start_proxy(alone).request("POST", CHAT, BODY, JSON)
        error = json.loads(reply.body)["error"]
        assert (reply.status, error["code"]) == (504, "provider_timeout")
        assert error["message"] == f"There was no connection to {origin} within 300 ms (connectTimeout)."


def test_a_proxy_that_is_stopped_answers_those_who_wait(pair: tuple[Moody, Moody], start_proxy: StartProxy) -> None:
    one, _ = pair
    asked = threading.Event()

    def mood(request: Request) -> Mood:
        asked.set()
        return SILENCE

    one.mood = mood
    keys = "concurrency: 1, queueTimeout: 60000"
    proxy = start_proxy(f"provider: {{type: openai, apiTokens: t, providerDomain: '{one.origin}', {keys}}}")
    with ThreadPoolExecutor(2) as pool:
        silent = pool.submit(_status, proxy)
        assert asked.wait(DEADLINE)
        waiting = pool.submit(_status, proxy)
        # It waits for as long as the other one is under way.
        until = threading.Event()
        until.wait(0.5)
        log = proxy.close()
        assert waiting.result() == (503, "proxy_stopped")
        assert silent.result() == (0, "")
    assert "crashed" not in log


def _status(proxy: Proxy) -> tuple[int, str]:
    """The status and the code of an answer; 0 where there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=DEADLINE)
    with closing(connection):
        try:
            connection.request("POST", CHAT, BODY, JSON)
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read())["error"]["code"]
        except (http.client.HTTPException, ConnectionError):
            return 0, ""
