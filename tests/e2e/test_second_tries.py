"""Further tries with other tokens and providers, over real sockets: what the client gets, and what goes where."""

from __future__ import annotations

import http.client
import json
import os
import random
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from mitmproxy import http as mitm
from mitmproxy.io import FlowReader

from tests.chat import converse
from tests.e2e import certificates, moody
from tests.e2e.conftest import StartProxy
from tests.e2e.http2 import Http2Client
from tests.e2e.moody import CLOSE, GARBAGE, OK, RESET, SILENCE, Mood, Moody, Request
from tests.e2e.proxy import DEADLINE, Proxy

CHAT = "/v1/chat/completions"
BODY = json.dumps({"model": "gpt", "stream": True, "messages": [{"role": "user", "content": "hi"}]}).encode()
JSON = {"Content-Type": "application/json"}
CHUNK, DONE = b'data: {"choices": []}\n\n', b"data: [DONE]\n\n"
STREAM = moody.stream(CHUNK, DONE)
OVERLOADED = b'data: {"error": {"message": "no", "type": "overloaded_error"}}\n\n'
FAILURES = {
    "429": moody.refusal(429),
    "500": moody.refusal(500),
    "a long 500": moody.refusal(503, body=b"x" * 300_000),
    "a 500 without its end": moody.refusal(500)._replace(end="close"),
    "closed": CLOSE,
    "reset": RESET,
    "garbage": GARBAGE,
    "half a body": Mood(200, (b'{"a',), end="close"),
    "half a body, reset": Mood(200, (b'{"a',), end="reset"),
    "an error as the first event": moody.stream(OVERLOADED),
    "an error as the first event, in pieces": moody.stream(b": wait\n\n", OVERLOADED[:20], OVERLOADED[20:], DONE),
    "an exception as the first frame": Mood(
        200,
        (converse.frame("throttlingException", {"message": "no"}, "exception"), b"more"),
        ((b"content-type", b"application/vnd.amazon.eventstream"),),
    ),
    "half of the first event": moody.stream(CHUNK[:9], end="close"),
}


@pytest.fixture(params=["HTTP/1", "HTTP/2, TLS", "HTTP/2 on both sides", "upstream proxy", "upstream proxy, TLS"])
def wire(
    request: pytest.FixtureRequest, tmp_path: Path, start_proxy: StartProxy
) -> Iterator[tuple[Proxy, Moody, Moody, bool]]:
    """A proxy between two providers and a client, over HTTP/2 or not."""
    root, tls = certificates.make(tmp_path, "localhost")
    is_http2, is_via = request.param.startswith("HTTP/2"), request.param.startswith("upstream")
    if request.param.endswith("both sides"):
        tls.set_alpn_protocols(["h2"])
    has_tls = request.param not in ("HTTP/1", "upstream proxy")
    own = tls if has_tls else None
    with closing(Moody(own)) as one, closing(Moody(own)) as two, closing(Moody()) as other:
        # Without TLS, an upstream proxy gets the requests themselves.
        other.mood = lambda asked: _through(asked, one, two)
        mode = f"upstream:http://{other.address}" if is_via else "reverse:https://127.0.0.1:9"
        proxy = start_proxy(
            _two(one, two), "--mode", mode, "--set", f"ssl_verify_upstream_trusted_ca={root}", tls=is_http2
        )
        yield proxy, one, two, is_http2


def _through(asked: Request, one: Moody, two: Moody) -> Mood:
    meant = one if asked.path.startswith(f"http://{one.address}/") else two
    meant.received.append(asked)
    return meant.mood(asked)


def _two(one: Moody, two: Moody, more: str = "", route: str = "{path: /v1/*, provider: [one, two]}") -> str:
    return (
        "providers:\n"
        f"- {{id: one, type: openai, apiTokens: token-one, providerDomain: '{one.origin}'{more}}}\n"
        f"- {{id: two, type: openai, apiTokens: token-two, providerDomain: '{two.origin}'{more}}}\n"
        f"routes: [{route}]"
    )


@pytest.fixture
def pair() -> Iterator[tuple[Moody, Moody]]:
    with closing(Moody()) as one, closing(Moody()) as two:
        yield one, two


def _tokens(provider: Moody) -> list[str]:
    return [request.token for request in provider.received]


def test_after_any_failure_the_next_provider_answers_and_its_stream_streams(
    wire: tuple[Proxy, Moody, Moody, bool],
) -> None:
    proxy, one, two, is_http2 = wire
    two.mood = lambda request: STREAM
    wrong = {}
    for name, failure in FAILURES.items():
        one.reset()
        two.received = []
        one.mood = lambda request, failure=failure: failure  # type: ignore[misc]
        got = _ask_twice(proxy, is_http2)
        seen = (got, _tokens(one), _tokens(two), [request.body for request in two.received])
        # A stream asks for its tokens to be counted, which is done to the client's own body.
        body = one.received[0].body
        if seen != ([(200, CHUNK + DONE)] * 2, ["token-one"] * 2, ["token-two"] * 2, [body] * 2):
            wrong[name] = seen
    assert wrong == {}
    assert "Traceback" not in proxy.close()


def _ask_twice(proxy: Proxy, is_http2: bool) -> list[tuple[int, bytes]]:
    """Two requests on one connection, so that what is left of the first would disturb the second."""
    if is_http2:
        client = Http2Client(proxy.port)
        found = []
        for _ in range(2):
            status = client.ask(b"POST", CHAT.encode(), ((b"content-type", b"application/json"),), BODY)
            found.append((status, client.body))
        client.close()
        return found
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=DEADLINE)
    with closing(connection):
        found = []
        for _ in range(2):
            connection.request("POST", f"http://api.openai.com{CHAT}", BODY, JSON)
            reply = connection.getresponse()
            found.append((reply.status, reply.read()))
        return found


def test_a_provider_that_is_not_there_is_passed_over_for_as_long_as_the_client_stays(
    pair: tuple[Moody, Moody], start_proxy: StartProxy
) -> None:
    one, two = pair
    one.close()
    proxy = start_proxy(_two(one, two))
    assert _ask_twice(proxy, False) == [(200, b'{"ok": true}')] * 2
    assert _tokens(two) == ["token-two"] * 2


def test_a_stream_that_has_begun_ends_with_an_error_and_is_not_tried_again(
    pair: tuple[Moody, Moody], start_proxy: StartProxy
) -> None:
    one, two = pair
    one.mood = lambda request: moody.stream(CHUNK, CHUNK[:9], end="close")
    proxy = start_proxy(_two(one, two))
    reply = proxy.request("POST", CHAT, BODY, JSON)
    whole, _, error = reply.body.rpartition(b"data: ")
    assert (reply.status, whole) == (200, CHUNK + CHUNK[:9] + b"\n\n")
    assert json.loads(error)["error"]["code"] == "answer_broken"
    assert _tokens(two) == []


TOKENS = "provider: {{type: openai, apiTokens: [a, b, c], providerDomain: '{}', retryOnFailure: {}}}"


def test_each_try_has_another_token_and_is_a_line_of_the_notes(
    pair: tuple[Moody, Moody], start_proxy: StartProxy, tmp_path: Path
) -> None:
    one, _ = pair
    limits = [moody.refusal(429), moody.refusal(500), OK]
    one.mood = lambda request: limits[len(one.received) - 1]
    proxy = start_proxy(TOKENS.format(one.origin, "{enabled: true, maxRetries: 2}"), "-w", str(tmp_path / "flows"))
    assert proxy.request("POST", CHAT, BODY, JSON).status == 200
    proxy.close()
    assert sorted(_tokens(one)) == ["a", "b", "c"]
    # The answers were read to their ends, so that one connection is enough.
    assert one.connections == 1
    comments = [flow.comment for flow in _flows(tmp_path / "flows")]
    assert len(comments) == 3
    tries = [note for note in comments[-1].split("; ") if note.startswith("try ")]
    assert [note.partition(" from ")[0] for note in tries] == ["try 1 of 3: 429", "try 2 of 3: 500", "try 3 of 3: 200"]
    assert all(" from openai (token " in note and note.endswith(" ms") for note in tries)
    assert [flow.response.status_code for flow in _flows(tmp_path / "flows") if flow.response] == [429, 500, 200]
    assert b"Bearer a" not in (tmp_path / "flows").read_bytes()


def _flows(path: Path) -> list[mitm.HTTPFlow]:
    with path.open("rb") as file:
        return [flow for flow in FlowReader(file).stream() if isinstance(flow, mitm.HTTPFlow)]


# The first provider, whose key is one of a header field of its own or missing; and what the second one gets.
OTHERS = {
    "without a key": ("type: ollama", b""),
    "without a key, but for the client's": ("type: ollama, sendClientKey: true", b"Bearer the-clients"),
    "with a key of another kind": ("type: claude, apiTokens: token-two", b""),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_further_try_has_no_credential_of_the_one_before_it_or_of_the_client(
    name: str, pair: tuple[Moody, Moody], start_proxy: StartProxy
) -> None:
    one, two = pair
    one.mood = two.mood = lambda request: moody.refusal(429)
    keys, expected = OTHERS[name]
    first = f"{{id: one, type: openai, apiTokens: token-one, providerDomain: '{one.origin}'}}"
    second = f"{{id: two, {keys}, providerDomain: '{two.origin}'}}"
    routes = "[{path: /v1/there/*, provider: [one, two]}, {path: /v1/*, provider: [two, one]}]"
    proxy = start_proxy(f"providers: [{first}, {second}]\nroutes: {routes}")
    headers = JSON | {"Authorization": "Bearer the-clients", "x-api-key": "the-clients-too"}
    for path in ("/v1/there/chat/completions", CHAT):
        proxy.request("POST", path, BODY, headers)
    assert [len(provider.received) for provider in pair] == [2, 2]
    for request in one.received:
        assert request.fields[b"authorization"] == b"Bearer token-one"
        assert b"the-clients" not in b" ".join(request.fields.values())
    for request in two.received:
        assert request.fields.get(b"authorization", b"") == expected
        assert b"token-one" not in b" ".join(request.fields.values())


MODEL = b'{"model": "m"}'
JOB = b'{"model": "m", "input": "a", "background": true}'
# What is asked, what the first try gets, and how many tries there are.
MONEY = {
    "a picture after a 500": ("POST", "/v1/images/generations", MODEL, moody.refusal(500), 1),
    "a picture that nobody answers": ("POST", "/v1/images/generations", MODEL, CLOSE, 1),
    "a picture after a 429": ("POST", "/v1/images/generations", MODEL, moody.refusal(429), 2),
    "a picture after a 401": ("POST", "/v1/images/generations", MODEL, moody.refusal(401), 2),
    "a job after a 500": ("POST", "/v1/fine_tuning/jobs", MODEL, moody.refusal(500), 1),
    "what nobody knows": ("POST", "/v1/whatever", MODEL, moody.refusal(500), 1),
    "a list of files": ("GET", "/v1/files", None, moody.refusal(500), 2),
    "a success": ("POST", CHAT, MODEL, moody.refusal(201), 1),
    "a redirect": ("POST", CHAT, MODEL, moody.refusal(302, (b"location", b"/")), 1),
    "a response after a 500": ("POST", "/v1/responses", MODEL, moody.refusal(500), 2),
    "a response in the background after a 500": ("POST", "/v1/responses", JOB, moody.refusal(500), 1),
    "a response in the background that nobody answers": ("POST", "/v1/responses", JOB, CLOSE, 1),
    "a response in the background after a 429": ("POST", "/v1/responses", JOB, moody.refusal(429), 2),
}


def test_what_may_have_bought_something_is_not_bought_twice(pair: tuple[Moody, Moody], start_proxy: StartProxy) -> None:
    one, _ = pair
    proxy = start_proxy(TOKENS.format(one.origin, "{enabled: true}"))
    counts = {}
    for name, (method, path, body, mood, _) in MONEY.items():
        one.reset()
        one.mood = lambda request, mood=mood: mood if len(one.received) == 1 else OK  # type: ignore[misc]
        proxy.request(method, path, body, JSON)
        counts[name] = len(one.received)
    assert counts == {name: count for name, (*_, count) in MONEY.items()}


def test_what_a_provider_keeps_stays_with_it_and_a_consumer_with_its_token(
    pair: tuple[Moody, Moody], start_proxy: StartProxy
) -> None:
    one, two = pair
    for provider in pair:
        provider.mood = lambda request: moody.refusal(429)
    more = ", retryOnFailure: {enabled: true, maxRetries: 9}"
    text = _two(one, two, more).replace("token-one", "[a, b, c, d, e]")
    proxy = start_proxy(text)
    seen = {}
    new, old = b'{"model": "m", "input": "a"}', b'{"model": "m", "previous_response_id": "r"}'
    for name, path, body, consumer in (
        ("files", "/v1/files", b"{}", ""),
        ("a consumer's files", "/v1/files", b"{}", "consumer1"),
        ("a response", "/v1/responses", new, ""),
        ("a consumer's response", "/v1/responses", new, "consumer1"),
        ("a response that goes on", "/v1/responses", old, ""),
    ):
        for provider in pair:
            provider.received = []
        headers = JSON | ({"x-mse-consumer": consumer} if consumer else {})
        assert proxy.request("POST", path, body, headers).status == 429
        seen[name] = (len(_tokens(one)), len(_tokens(two)), set(_tokens(one)) if consumer else set())
    assert seen == {
        "files": (5, 0, set()),
        "a consumer's files": (1, 0, {"d"}),
        "a response": (5, 1, set()),
        "a consumer's response": (1, 0, {"d"}),
        "a response that goes on": (5, 0, set()),
    }


def test_a_long_body_that_is_not_held_is_not_tried_again(
    pair: tuple[Moody, Moody], start_proxy: StartProxy, tmp_path: Path
) -> None:
    one, two = pair
    one.mood = lambda request: moody.refusal(500)
    proxy = start_proxy(_two(one, two), "-w", str(tmp_path / "flows"))
    path = "/v1/audio/transcriptions"
    assert proxy.request("POST", path, b"x" * 3_000_000, {"Content-Type": "audio/wav"}).status == 500
    assert proxy.request("POST", path, b"x" * 3_000, {"Content-Type": "audio/wav"}).status == 200
    proxy.close()
    assert len(two.received) == 1
    assert "longer than what is held" in _flows(tmp_path / "flows")[0].comment


def test_a_client_that_leaves_ends_the_tries(pair: tuple[Moody, Moody], start_proxy: StartProxy) -> None:
    one, two = pair
    leave = threading.Event()

    def mood(request: Request) -> Mood:
        leave.set()
        return SILENCE

    one.mood = lambda request: moody.refusal(429)
    two.mood = mood
    proxy = start_proxy(_two(one, two, ", retryOnFailure: {enabled: true}"))
    with socket.create_connection(("127.0.0.1", proxy.port)) as client:
        head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        client.sendall(f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY)
        assert leave.wait(DEADLINE)
    assert two.is_left.wait(DEADLINE)
    assert len(one.received) == len(two.received) == 1


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
    proxy = start_proxy(_two(one, two, f", {LATE[key]}"))
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


def test_a_connection_that_is_not_made_in_time_is_given_up(pair: tuple[Moody, Moody], start_proxy: StartProxy) -> None:
    _, two = pair
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        # It accepts, and says nothing to whoever begins TLS.
        origin = f"https://127.0.0.1:{deaf.getsockname()[1]}"
        text = _two(two, two, ", connectTimeout: 300").replace(
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


COUNT = int(os.environ.get("AI_PROXY_TRIES", "150"))
"""1000 is the whole test, which takes twenty seconds of CPU time."""
AT_ONCE = 40


def test_many_requests_at_once_are_each_answered_once_by_whom_they_were_sent_to(
    pair: tuple[Moody, Moody], start_proxy: StartProxy
) -> None:
    rng = random.Random(5)
    names = [name for name in FAILURES if name not in ("a long 500", "a 500 without its end")]

    def answer(request: Request) -> Mood:
        text = json.loads(request.body)["messages"][0]["content"]
        return moody.stream(b'data: {"choices": ["%b"]}\n\n' % text.encode(), DONE)

    def moods(request: Request) -> Mood:
        return answer(request) if rng.random() < 0.5 else FAILURES[rng.choice(names)]

    one, two = pair
    one.mood, two.mood = moods, answer
    proxy = start_proxy(_two(one, two), "--set", "flow_detail=0")

    def ask(number: int) -> bool:
        text = f"request {number} " + "x" * (number % 50)
        body = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": text}]}).encode()
        # So many at once may wait for a machine that is busy.
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=30 * DEADLINE)
        with closing(connection):
            connection.request("POST", CHAT, body, JSON)
            reply = connection.getresponse()
            return (reply.status, reply.read()) == (200, b'data: {"choices": ["%b"]}\n\n' % text.encode() + DONE)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert all(pool.map(ask, range(COUNT)))
    assert set(_tokens(one)) == {"token-one"}
    assert set(_tokens(two)) == {"token-two"}
    assert len(one.received) == COUNT
    until = threading.Event()
    for _ in range(20 * 3 * DEADLINE):
        if not (one.open or two.open):
            break
        until.wait(0.05)
    assert (one.open, two.open) == (0, 0)


OTHER_LAYERS = """
from mitmproxy.proxy.layers.http import HttpStream

before = HttpStream.send_response


def send_response(self, already_streamed=False, something_new=None):
    yield from before(self, already_streamed)


HttpStream.send_response = send_response
exec(compile(open({path!r}).read(), {path!r}, "exec"))
"""


def test_with_layers_that_nobody_knows_the_first_answer_goes_out_with_one_warning(
    pair: tuple[Moody, Moody], start_proxy: StartProxy, tmp_path: Path
) -> None:
    from tests.e2e.proxy import SCRIPT

    one, two = pair
    one.mood = lambda request: moody.refusal(429)
    script = tmp_path / "script.py"
    script.write_text(OTHER_LAYERS.format(path=str(SCRIPT)))
    proxy = start_proxy(_two(one, two), script=script)
    assert [proxy.request("POST", CHAT, BODY, JSON).status for _ in range(2)] == [429, 429]
    assert two.received == []
    assert proxy.close().count("this version of mitmproxy is not known well enough") == 1


def test_the_bodies_of_errors_are_logged_without_the_credential(
    pair: tuple[Moody, Moody], start_proxy: StartProxy
) -> None:
    one, two = pair
    one.mood = lambda request: moody.refusal(400, (b"x-request-id", b"r-7"), body=b"no\r\ntoken-one is bad")
    proxy = start_proxy(_two(one, two, ", logUpstreamErrorResponseBody: true"))
    assert proxy.request("POST", CHAT, BODY, JSON).status == 200
    line = r"ai-proxy: 400 from one for POST /v1/chat/completions, x-request-id r-7: no\\r\\n\*{9} is bad"
    proxy.wait_for(line)
    assert "token-one" not in proxy.close()


def test_each_try_is_recorded_and_replayed_as_it_was(
    pair: tuple[Moody, Moody], start_proxy: StartProxy, tmp_path: Path
) -> None:
    one, two = pair
    one.mood = lambda request: moody.refusal(429)
    two.mood = lambda request: STREAM
    text = _two(one, two)
    tape = tmp_path / "tape.har"
    proxy = start_proxy(text, "--set", f"ai_record={tape}")
    assert proxy.request("POST", CHAT, BODY, JSON).body == CHUNK + DONE
    proxy.close()
    entries = json.loads(tape.read_text())["log"]["entries"]
    assert [(entry["request"]["url"].removesuffix(CHAT), entry["response"]["status"]) for entry in entries] == [
        (one.origin, 429),
        (two.origin, 200),
    ]
    assert "token-" not in tape.read_text()
    one.reset()
    two.reset()
    replay = start_proxy(text, "--set", f"ai_replay={tape}")
    reply = replay.request("POST", CHAT, BODY, JSON)
    assert (reply.status, reply.body, one.received, two.received) == (200, CHUNK + DONE, [], [])


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


def test_a_task_is_found_with_the_token_that_made_it(pair: tuple[Moody, Moody], start_proxy: StartProxy) -> None:
    one, _ = pair
    made = b'{"code": 0, "data": {"task_id": "7", "task_status": "submitted", "created_at": 1}}'

    def mood(request: Request) -> Mood:
        if request.token == "b":
            return Mood(200, (made,))
        if request.method == "POST":
            return moody.refusal(429, body=b'{"code": 1303, "message": "parallel task over resource pack limit"}')
        return moody.refusal(404, body=b'{"code": 1203, "message": "not found"}')

    one.mood = mood
    retry = "retryOnFailure: {enabled: true}"
    proxy = start_proxy(f"provider: {{type: kling, apiTokens: [a, b], providerDomain: '{one.origin}', {retry}}}")
    for _ in range(4):
        assert proxy.request("POST", "/v1/videos", b'{"prompt": "a", "seconds": "5"}', JSON).status == 200
        assert proxy.request("GET", "/v1/videos/kling-t2v-7").status == 200
    assert {request.token for request in one.received} == {"a", "b"}
