"""Further tries with other tokens and providers, over real sockets: what the client gets, and what goes where."""

from __future__ import annotations

import http.client
import json
import os
import random
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from mitm_ai_proxy import registry
from tests.e2e import certificates, moody
from tests.e2e.conftest import StartProxy
from tests.e2e.http2 import Http2Client
from tests.e2e.inside import Inside
from tests.e2e.moody import CLOSE, OK, Mood, Moody, Request
from tests.e2e.proxy import DEADLINE, SCRIPT, Listening, Proxy
from tests.e2e.tries import BODY, CHAT, CHUNK, DONE, FAILURES, JSON, SILENT, STREAM, TOKENS, flows_of, in_order, tokens

# What the client speaks, what each of the two providers does, and whether an upstream proxy is between.
WIRES = {
    "HTTP/1": ("", "", "", ""),
    "HTTP/2, TLS": ("h2", "h2", "h2", ""),
    "HTTP/2, then HTTP/1": ("h2", "h2", "http/1.1", ""),
    "HTTP/1, then HTTP/2": ("h2", "http/1.1", "h2", ""),
    "upstream proxy": ("", "", "", "via"),
    "upstream proxy, TLS": ("", "http/1.1", "http/1.1", "via"),
}


@pytest.fixture(params=WIRES)
def wire(
    request: pytest.FixtureRequest, tmp_path: Path, start_proxy: StartProxy
) -> Iterator[tuple[Proxy, Moody, Moody, bool]]:
    """A proxy between two providers and a client, over HTTP/2 or not."""
    client, first, second, via = WIRES[request.param]
    root, _ = certificates.make(tmp_path, "localhost")

    def tls(protocol: str) -> ssl.SSLContext | None:
        if not protocol:
            return None
        found = certificates.context(root.parent)
        found.set_alpn_protocols([protocol])
        return found

    with closing(Moody(tls(first))) as one, closing(Moody(tls(second))) as two, closing(Moody()) as other:
        # Without TLS, an upstream proxy gets the requests themselves.
        other.mood = lambda asked: _through(asked, one, two)
        mode = f"upstream:http://{other.address}" if via else "reverse:https://127.0.0.1:9"
        text = in_order(one, two).replace("token-one", "token-one, firstByteTimeout: 300")
        proxy = start_proxy(text, "--mode", mode, "--set", f"ssl_verify_upstream_trusted_ca={root}", tls=bool(client))
        yield proxy, one, two, bool(client)


def _through(asked: Request, one: Moody, two: Moody) -> Mood:
    meant = one if asked.path.startswith(f"http://{one.address}/") else two
    meant.received.append(asked)
    return meant.mood(asked)


def test_after_any_failure_the_next_provider_answers_and_its_stream_streams(
    wire: tuple[Proxy, Moody, Moody, bool],
) -> None:
    proxy, one, two, is_http2 = wire
    wrong, connections = _after_failures(proxy, one, two, is_http2)
    assert wrong == {}
    if not is_http2 and one.connections:
        # A short refusal is read to its end, so that its connection is used again; a long one is not waited for.
        assert [connections[name] for name in ("429", "500", "a long 500")] == [1, 1, 2]
    assert "Traceback" not in proxy.close()


def test_after_any_failure_the_next_provider_answers_at_serve_too(pair: tuple[Moody, Moody], tmp_path: Path) -> None:
    text = in_order(*pair).replace("token-one", "token-one, firstByteTimeout: 300")
    with closing(Inside(text, tmp_path)) as served:
        wrong, connections = _after_failures(served, *pair, False)
    assert wrong == {}
    # All the more as connections are kept from one case to the next.
    assert [connections[name] for name in ("429", "500", "a long 500")] == [1, 0, 1]


def _after_failures(
    proxy: Listening, one: Moody, two: Moody, is_http2: bool
) -> tuple[dict[str, object], dict[str, int]]:
    """What is wrong after each failure of the first provider, and how many connections that has got."""
    two.mood = lambda request: STREAM
    wrong: dict[str, object] = {}
    connections = {}
    for name, failure in (FAILURES | SILENT).items():
        one.reset()
        two.received = []
        one.mood = lambda request, failure=failure: failure  # type: ignore[misc]
        got = _ask_twice(proxy, is_http2)
        seen = (got, tokens(one), tokens(two), [request.body for request in two.received])
        # A stream asks for its tokens to be counted, which is done to the client's own body.
        body = one.received[0].body if one.received else b""
        if seen != ([(200, CHUNK + DONE)] * 2, ["token-one"] * 2, ["token-two"] * 2, [body] * 2):
            wrong[name] = seen
        # Who says nothing is left, and not kept waiting.
        if name in SILENT and one.connections and not one.is_left.wait(DEADLINE):
            wrong[name] = "its connection is open"
        connections[name] = one.connections
    return wrong, connections


def _ask_twice(proxy: Listening, is_http2: bool) -> list[tuple[int, bytes]]:
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
            # As a client of a forward proxy has it.
            target = f"http://api.openai.com{CHAT}" if isinstance(proxy, Proxy) else CHAT
            connection.request("POST", target, BODY, JSON)
            reply = connection.getresponse()
            found.append((reply.status, reply.read()))
        return found


def test_a_provider_that_is_not_there_is_passed_over_for_as_long_as_the_client_stays(
    pair: tuple[Moody, Moody], start_proxy: StartProxy
) -> None:
    one, two = pair
    one.close()
    proxy = start_proxy(in_order(one, two))
    assert _ask_twice(proxy, False) == [(200, b'{"ok": true}')] * 2
    assert tokens(two) == ["token-two"] * 2


def test_a_stream_that_has_begun_ends_with_an_error_and_is_not_tried_again(
    pair: tuple[Moody, Moody], start_proxy: StartProxy
) -> None:
    one, two = pair
    one.mood = lambda request: moody.stream(CHUNK, CHUNK[:9], end="close")
    proxy = start_proxy(in_order(one, two))
    reply = proxy.request("POST", CHAT, BODY, JSON)
    whole, _, error = reply.body.rpartition(b"data: ")
    assert (reply.status, whole) == (200, CHUNK + CHUNK[:9] + b"\n\n")
    assert json.loads(error)["error"]["code"] == "answer_broken"
    assert tokens(two) == []


def test_the_second_answer_streams_in_the_clients_dialect_whoever_gives_it(
    pair: tuple[Moody, Moody], start_proxy: StartProxy
) -> None:
    one, two = pair
    one.mood = lambda request: moody.refusal(429)
    text = in_order(one, two).replace("two, type: openai", "two, type: claude")
    proxy = start_proxy(text)
    words = [_claude(f"word {number} ") for number in (1, 2)]
    for path, dialect in ((CHAT, "choices"), ("/v1/messages", "content_block_delta")):
        gate = threading.Event()
        two.mood = lambda request, gate=gate: moody.stream(_BEGIN, words[0], words[1] + _END)._replace(gate=gate)  # type: ignore[misc]
        body = BODY.replace(b"{", b'{"max_tokens": 9, ', 1)
        with closing(http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=DEADLINE)) as connection:
            connection.request("POST", path, body, JSON)
            reply = connection.getresponse()
            begun = b""
            while b"word 1" not in begun:
                begun += reply.readline()
            assert b"word 2" not in begun
            gate.set()
            rest = reply.read()
        assert (reply.status, b"word 2" in rest, dialect.encode() in begun) == (200, True, True)
        # Made from the client's own bytes, and not from those of the first try.
        sent = json.loads(two.received[-1].body)
        assert "stream_options" not in sent
        assert (two.received[-1].path, sent["max_tokens"], sent["stream"]) == ("/v1/messages", 9, True)
        assert two.received[-1].fields[b"x-api-key"] == b"token-two"


def test_a_first_event_is_not_held_for_ever(pair: tuple[Moody, Moody], start_proxy: StartProxy) -> None:
    one, two = pair
    gate, long = threading.Event(), b": " + b"x" * 99_000
    one.mood = lambda request: moody.stream(long, b"\n\n" + CHUNK + DONE)._replace(gate=gate)
    proxy = start_proxy(in_order(one, two))
    with closing(http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=DEADLINE)) as connection:
        connection.request("POST", CHAT, BODY, JSON)
        reply = connection.getresponse()
        begun = reply.read(1)
        gate.set()
        assert begun + reply.read() == long + b"\n\n" + CHUNK + DONE
    assert two.received == []


def _claude(text: str) -> bytes:
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
    return b"event: content_block_delta\ndata: %b\n\n" % json.dumps(delta).encode()


def _events(*values: dict[str, object]) -> bytes:
    return b"".join(f"event: {value['type']}\ndata: {json.dumps(value)}\n\n".encode() for value in values)


_USAGE = {"input_tokens": 1, "output_tokens": 1}
_MESSAGE = {"id": "m", "type": "message", "role": "assistant", "model": "c", "content": [], "usage": _USAGE}
_BEGIN = _events(
    {"type": "message_start", "message": _MESSAGE},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
)
_END = _events(
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": _USAGE},
    {"type": "message_stop"},
)

# Notes each of its hooks; "elsewhere" and "broken" in x-case is what it does with the second try.
HOOKS = """
from mitm_ai_proxy import pipeline

before = pipeline.outgoing


def outgoing(provider, head, *rest):
    if (b"x-case", b"broken") in head.fields and rest[-1] == NEXT[0]:
        raise ValueError("of the test")
    NEXT[0] = 1 - rest[-1]
    return before(provider, head, *rest)


NEXT = [None]


def running():
    pipeline.outgoing = outgoing


def _hook(name):
    def hook(flow):
        hooks = flow.metadata.setdefault("hooks", [])
        hooks.append(name)
        if name == "request":
            count = hooks.count(name)
            flow.request.headers["x-try"] = str(count)
            if count == 2 and flow.request.headers.get("x-case") == "elsewhere":
                flow.request.port = {port}
    return hook


for one in ("requestheaders", "request", "responseheaders", "response", "error"):
    globals()[one] = _hook(one)
"""


def test_each_try_has_another_token_passes_every_hook_and_is_a_line_of_the_notes(
    pair: tuple[Moody, Moody], start_proxy: StartProxy, tmp_path: Path
) -> None:
    one, elsewhere = pair
    gate = threading.Event()
    slow = Mood(500, (b'{"error": ', b"1}"), gate=gate)
    moods = [moody.refusal(429), slow, OK]

    def mood(request: Request) -> Mood:
        found = moods[len(one.received) - 1]
        if found is slow:
            threading.Timer(0.3, gate.set).start()
        return found

    one.mood = mood
    script = tmp_path / "hooks.py"
    script.write_text(HOOKS.replace("{port}", str(elsewhere.port)))
    text, saved = TOKENS.format(one.origin, "{enabled: true, maxRetries: 2}"), tmp_path / "flows"
    proxy = start_proxy(text, "-w", str(saved), "-s", str(script))
    assert proxy.request("POST", CHAT, BODY, JSON).status == 200
    assert sorted(tokens(one)) == ["a", "b", "c"]
    assert [request.fields[b"x-try"] for request in one.received] == [b"1", b"2", b"3"]
    # The answers were read to their ends, so that one connection is enough.
    assert one.connections == 1
    one.reset()
    moods = [moody.refusal(429), CLOSE, OK]
    one.mood = lambda request: moods[len(one.received) - 1]
    assert proxy.request("POST", CHAT, BODY, JSON).status == 200
    proxy.close()
    flows = flows_of(saved)
    assert len(flows) == 6
    first, last = ([note for note in flows[index].comment.split("; ") if note.startswith("try ")] for index in (2, 5))
    assert [note.partition(" from ")[0] for note in first] == ["try 1 of 3: 429", "try 2 of 3: 500", "try 3 of 3: 200"]
    assert all(" from openai (token " in note and note.endswith(" ms") for note in first)
    assert ["a broken answer (" in note for note in last] == [False, True, False]
    statuses = [flow.response.status_code if flow.response else 0 for flow in flows]
    assert statuses == [429, 500, 200, 429, 0, 200]
    answer = ["request", "responseheaders", "response"]
    assert flows[2].metadata["hooks"] == ["requestheaders", *answer * 3]
    assert flows[5].metadata["hooks"] == ["requestheaders", *answer, "request", "error", *answer]
    assert b"Bearer a" not in saved.read_bytes()


@pytest.mark.parametrize(("case", "status"), [("elsewhere", 503), ("broken", 500)])
def test_what_is_not_rewritten_completely_is_not_sent_in_a_further_try_either(
    case: str, status: int, pair: tuple[Moody, Moody], start_proxy: StartProxy, tmp_path: Path
) -> None:
    one, elsewhere = pair
    one.mood = lambda request: moody.refusal(429)
    script = tmp_path / "hooks.py"
    script.write_text(HOOKS.replace("{port}", str(elsewhere.port)))
    text = TOKENS.format(one.origin, "{enabled: true}").replace("[a, b, c]", "[a, b]")
    proxy = start_proxy(text, "-s", str(script))
    assert proxy.request("POST", CHAT, BODY, JSON | {"x-case": case}).status == status
    assert [len(provider.received) for provider in pair] == [1, 0]
    assert proxy.request("POST", CHAT, BODY, JSON).status == 429
    assert len(one.received) == 3


# Blocks of a configuration; the first of two providers answers 429 to its first token, the other one is not there.
_ONE = "id: one, type: openai, apiTokens: [a, b], providerDomain: '{}', retryOnFailure: {{enabled: true}}"
_OTHER = "id: two, type: groq, apiTokens: c, providerDomain: 'http://127.0.0.1:9'"
SHAPES = {
    "one provider": "provider: {{" + _ONE + "}}",
    "a list of one": "providers: [{{" + _ONE + "}}]",
    "a list of one that is named": "providers: [{{" + _ONE + "}}]\nactiveProviderId: one",
    "one of two that is named": "providers: [{{" + _ONE + "}}, {{" + _OTHER + "}}]\nactiveProviderId: one",
    "a route": "providers: [{{" + _ONE + "}}, {{" + _OTHER + "}}]\nroutes: [{{path: '/*', provider: one}}]",
    "a model's route": "providers: [{{"
    + _ONE
    + "}}, {{"
    + _OTHER
    + "}}]\nroutes: [{{model: gpt, provider: [one, two]}}]",
    "a route and one that is named": "providers: [{{" + _ONE + "}}, {{" + _OTHER + "}}]\nactiveProviderId: one\n"
    "routes: [{{model: other, provider: two}}]",
    "not translated": "provider: {{" + _ONE + ", protocol: original}}",
    "all keys": "provider: {{"
    + _ONE
    + ", timeout: 60000, connectTimeout: 60000, firstByteTimeout: 60000, concurrency: 9,"
    " failover: {{enabled: true}}, rate: {{requestsPerMinute: 99}}, tokenLimits: {{concurrency: 9}}}}",
}


def test_however_providers_are_written_a_second_token_answers(
    pair: tuple[Moody, Moody], start_proxy: StartProxy
) -> None:
    one, _ = pair
    one.mood = lambda request: OK if len(one.received) > 1 else moody.refusal(429)
    wrong, proxy = {}, start_proxy("provider: {type: ollama}")
    for name, form in SHAPES.items():
        text = form.format(one.origin)
        (proxy.folder / "config.yaml").write_text(text)
        for _ in registry.providers(registry.read(text, {})):
            proxy.wait_for(r"config\.yaml: provider (one|two|openai|groq) ")
        one.received = []
        seen = proxy.request("POST", CHAT, BODY, JSON).status, sorted(tokens(one))
        # Of a consumer that has one token, and what nobody knows.
        others = {proxy.request("GET", path, None, {"x-mse-consumer": "c"}).status for path in ("/v1/files", "/v1/any")}
        if (*seen, others) != (200, ["a", "b"], {404 if name == "a model's route" else 200}):
            wrong[name] = (*seen, others)
    assert wrong == {}


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
    one, two = pair
    one.mood = lambda request: moody.refusal(429)
    script = tmp_path / "script.py"
    script.write_text(OTHER_LAYERS.format(path=str(SCRIPT)))
    proxy = start_proxy(in_order(one, two), script=script)
    assert [proxy.request("POST", CHAT, BODY, JSON).status for _ in range(2)] == [429, 429]
    assert two.received == []
    assert proxy.close().count("this version of mitmproxy is not known well enough") == 1


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
    proxy = start_proxy(in_order(one, two), "--set", "flow_detail=0")

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
    assert set(tokens(one)) == {"token-one"}
    assert set(tokens(two)) == {"token-two"}
    assert len(one.received) == COUNT
    until = threading.Event()
    for _ in range(20 * 3 * DEADLINE):
        if not (one.open or two.open):
            break
        until.wait(0.05)
    assert (one.open, two.open) == (0, 0)
