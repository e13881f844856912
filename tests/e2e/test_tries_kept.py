"""What a further try does not do: buy twice, move what a provider keeps, show a credential to another one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import moody
from tests.e2e.conftest import EDGES, StartEdge, StartProxy
from tests.e2e.moody import CLOSE, OK, RESET, SILENCE, Mood, Moody, Request
from tests.e2e.tries import BODY, CHAT, CHUNK, DONE, JSON, STREAM, TOKENS, flows_of, in_order, tokens

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
    "a success": ("POST", CHAT, MODEL, Mood(201), 1),
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
    text = in_order(one, two, more).replace("token-one", "[a, b, c, d, e]")
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
        seen[name] = (len(tokens(one)), len(tokens(two)), set(tokens(one)) if consumer else set())
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
    proxy = start_proxy(in_order(one, two), "-w", str(tmp_path / "flows"))
    path = "/v1/audio/transcriptions"
    assert proxy.request("POST", path, b"x" * 3_000_000, {"Content-Type": "audio/wav"}).status == 500
    assert proxy.request("POST", path, b"x" * 3_000, {"Content-Type": "audio/wav"}).status == 200
    proxy.close()
    assert len(two.received) == 1
    assert "longer than what is held" in flows_of(tmp_path / "flows")[0].comment


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


def test_the_bodies_of_errors_are_logged_without_the_credential(
    pair: tuple[Moody, Moody], start_proxy: StartProxy
) -> None:
    one, two = pair
    one.mood = lambda request: moody.refusal(400, (b"x-request-id", b"r-7"), body=b"no\r\ntoken-one is bad")
    proxy = start_proxy(in_order(one, two, ", logUpstreamErrorResponseBody: true"))
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
    text = in_order(one, two)
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


def test_a_replay_does_not_depend_on_what_has_failed_before(
    pair: tuple[Moody, Moody], start_proxy: StartProxy, tmp_path: Path
) -> None:
    one, two = pair
    one.mood = lambda request: moody.refusal(429, (b"retry-after", b"50"))
    text = in_order(one, two, ", failover: {enabled: true, failureThreshold: 1}, retryOnFailure: {enabled: true}")
    whole, part = tmp_path / "whole.har", tmp_path / "part.har"
    proxy = start_proxy(text, "--set", f"ai_record={whole}")
    # A picture is not asked for again on a suspicion; what was never sent is certain.
    bodies = [json.dumps({"model": "m", "prompt": prompt}).encode() for prompt in ("first", "second")]
    for body in bodies:
        assert proxy.request("POST", "/v1/images/generations", body, JSON).status == 200
    proxy.close()
    assert (tokens(one), tokens(two)) == (["token-one"], ["token-two"] * 2)
    recorded = json.loads(whole.read_text())
    recorded["log"]["entries"] = recorded["log"]["entries"][2:]
    part.write_text(json.dumps(recorded))
    # The second alone: the first provider is not left out here, and nothing of it is in the cassette.
    for cassette, sent, status in ((part, bodies[1:], 200), (whole, bodies, 200), (part, bodies[:1], 400)):
        replay = start_proxy(text, "--set", f"ai_replay={cassette}")
        for body in sent:
            reply = replay.request("POST", "/v1/images/generations", body, JSON)
            assert (reply.status, b"not_recorded" in reply.body) == (status, status == 400)
        # Each is there once, though both providers have failed in this replay.
        last = replay.request("POST", "/v1/images/generations", bodies[1], JSON).status
        assert last == (200 if status == 400 else 400)
        replay.close()
    assert (len(one.received), len(two.received)) == (1, 2)


def _always(mood: Mood) -> Callable[[Request], Mood]:
    return lambda request: mood


def test_a_replay_asks_the_first_provider_first_though_it_has_failed_before(
    pair: tuple[Moody, Moody], start_proxy: StartProxy, tmp_path: Path
) -> None:
    one, two = pair
    keys = ", failover: {enabled: true, failureThreshold: 1}, retryOnFailure: {enabled: true}"
    tape = tmp_path / "tape.har"
    bodies = [json.dumps({"model": "m", "input": text}).encode() for text in ("first", "second")]
    failure, said = moody.refusal(500), [Mood(200, (b'{"by": %d}' % number,)) for number in (1, 2)]
    # The second request has an answer of each provider in the cassette.
    for mood, first, last, sent in ((failure, one, two, 0), (said[0], one, two, 1), (failure, two, one, 1)):
        one.mood, two.mood = _always(mood), _always(said[1])
        proxy = start_proxy(in_order(first, last, keys), "--set", f"ai_record={tape}")
        assert proxy.request("POST", "/v1/embeddings", bodies[sent], JSON).status == 200
        proxy.close()
    replay = start_proxy(in_order(one, two, keys), "--set", f"ai_replay={tape}")
    assert [replay.request("POST", "/v1/embeddings", body, JSON).body for body in bodies] == [
        b'{"by": 2}',
        b'{"by": 1}',
    ]


# How the first of three accounts of Kling's fails, and how many of them are asked.
CREATES = {
    "429": (moody.refusal(429, body=b'{"code": 1303, "message": "parallel task over resource pack limit"}'), 2),
    "401": (moody.refusal(401, body=b'{"code": 1004, "message": "authorization is expired"}'), 2),
    "500": (moody.refusal(500, body=b'{"code": 5000, "message": "no"}'), 1),
    "cut": (CLOSE, 1),
    "reset": (RESET, 1),
    "half an answer": (Mood(200, (b'{"code": 0',), end="close"), 1),
    "a time-out": (SILENCE, 1),
}


@pytest.mark.parametrize("edge", EDGES)
def test_a_create_of_klings_is_bought_once_under_one_name(
    edge: str, pair: tuple[Moody, Moody], shared_edge: StartEdge
) -> None:
    one, other = pair
    keys = "retryOnFailure: {enabled: true, maxRetries: 2}, timeout: 1500"
    blocks = [
        f"{{id: {name}, type: kling, apiTokens: [{tokens}], providerDomain: '{provider.origin}', {keys}}}"
        for name, tokens, provider in (("one", "a, b, c", one), ("two", "d", other))
    ]
    proxy = shared_edge(edge, f"providers: [{', '.join(blocks)}]\nroutes: [{{path: '/*', provider: [one, two]}}]")
    bought: set[tuple[str, str]] = set()
    wrong: dict[str, object] = {}

    def account(request: Request) -> Mood:
        if request.method == "GET":
            return OK
        place = request.token, json.loads(request.body)["external_task_id"]
        is_known, fault = place in bought, CREATES[name][0] if len(one.received) == 1 else None
        if fault is None or CREATES[name][1] == 1:
            bought.add(place)
        if fault:
            return fault
        if is_known:
            message = f"External_task_id {place[1]} already exists"
            return moody.refusal(400, body=json.dumps({"code": 1201, "message": message}).encode())
        return Mood(200, (b'{"code": 0, "data": {"task_id": "7", "task_status": "submitted", "created_at": 1}}',))

    one.mood = account
    for name, (_, count) in CREATES.items():
        one.received, body = [], json.dumps({"prompt": name, "seconds": "5"}).encode()
        bought.clear()
        headers = JSON | {"X-Stainless-Lang": "python"}
        first = proxy.request("POST", "/v1/videos", body, headers).status
        asked = [request.token for request in one.received]
        if first != 200:
            # As an SDK does; it is sent to the task that there may be.
            first = proxy.request("POST", "/v1/videos", body, headers | {"X-Stainless-Retry-Count": "1"}).status
        names = {json.loads(request.body)["external_task_id"] for request in one.received}
        if (first, len(bought), len(set(asked)), len(names)) != (200 if count == 2 else 303, 1, count, 1):
            wrong[name] = first, bought, asked, names
    assert (wrong, other.received) == ({}, [])
