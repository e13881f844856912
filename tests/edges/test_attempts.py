"""The tries of a request as an edge tells of them, with a clock handed in: what follows, is noted, and is told."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

from mitm_ai_proxy import pipeline, registry
from mitm_ai_proxy.edges import attempts
from mitm_ai_proxy.edges.attempts import Attempts, Limit
from mitm_ai_proxy.edges.problems import CONNECT, FIRST_BYTE, QUEUE, RETRY, TIMEOUT, Problem
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import Answer, Head, Upstream
from mitm_ai_proxy.routing.health import Health, Place, State
from mitm_ai_proxy.routing.probing import Probing
from mitm_ai_proxy.routing.providers import Providers
from mitm_ai_proxy.routing.rules import Choice
from tests.providers.chats import CHAT, HELLO, MESSAGES, head_of
from tests.tables import table

BODY = json.dumps(HELLO).encode()
STREAM = json.dumps({**HELLO, "stream": True}).encode()
EVENTS = ((b"content-type", b"text/event-stream"),)
BROKEN = Problem("peer closed connection", "", is_sent=True)
REFUSED = Problem("connection refused", "", is_sent=False)
NO_OTHER = "no further try: there is no other token or provider to try"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _providers(keys: str = "", tokens: str = "[a, b]", other: str = "") -> tuple[Providers, Clock]:
    """OpenAI with two tokens and retryOnFailure, and Claude behind it, if `other` has its keys."""
    first = f"id: one, type: openai, apiTokens: {tokens}{keys}"
    second = f", {{id: two, type: claude, apiTokens: c{other}}}" if other else ""
    text = f"providers: [{{{first}}}{second}]\n"
    text += "routes: [{path: '/*', provider: [one, two]}]" if other else ""
    clock = Clock()
    made = registry.providers(registry.read(text, {}))
    policies = {name: provider.keys.failover for name, provider in made.by_id.items()}
    return replace(made, health=Health(policies, clock)), clock


ONLY = ""
"""The id of a provider that has none beside it."""
RETRY_IT = ", retryOnFailure: {enabled: true}"


def _begun(providers: Providers, target: str = CHAT, raw: bytes = BODY, *lines: str) -> Attempts:
    """The tries of a request, the first of which is sent."""
    head = head_of(target, *lines)
    names = tuple(providers.by_id)
    choice = Choice(providers.by_id[names[0]], "", head, names)
    found = Attempts(providers, attempts.drawn(providers, choice, head, raw), head)
    found.raw = raw
    _send(found)
    return found


def _send(tries: Attempts) -> None:
    upstream = pipeline.rewritten(tries.provider, tries.head, tries.raw or b"")
    assert isinstance(upstream, Upstream)
    tries.send(upstream)


def _go_on(tries: Attempts) -> None:
    assert tries.follows
    assert isinstance(tries.prepared, Upstream)
    tries.begin_next()
    tries.send(tries.prepared)


def _said(tries: Attempts) -> list[str]:
    return [line.partition(" from ")[0] for line in tries.lines]


def test_a_refused_answer_is_followed_by_another_token_and_the_last_one_goes_out() -> None:
    providers, clock = _providers(RETRY_IT)
    tries = _begun(providers)
    clock.now += 0.25
    tries.hear(429, ())
    assert tries.is_refused
    first = tries.place
    tries.complete(429)
    _go_on(tries)
    assert (tries.is_refused, tries.follows) == (False, False)
    tries.hear(500, ())
    assert (tries.is_refused, tries.follows) == (False, False)
    tries.complete(500)
    lines = [line.replace("token 2", "token 1") for line in tries.lines]
    assert lines[0] == "try 1 of 2: 429 from openai (token 1 of 2) in 250 ms" or first.token
    assert _said(tries) == ["try 1 of 2: 429", "try 2 of 2: 500", NO_OTHER]


def test_a_success_is_told_of_only_where_it_is_not_the_first_try() -> None:
    providers, _ = _providers(RETRY_IT)
    tries = _begun(providers)
    tries.hear(200, ())
    tries.complete(200)
    assert tries.lines == []
    tries = _begun(providers)
    tries.hear(503, ())
    _go_on(tries)
    tries.hear(200, ())
    tries.complete(200)
    assert _said(tries) == ["try 1 of 2: 503", "try 2 of 2: 200"]


@table(
    ("target", "document", "problem", "follows"),
    [
        (CHAT, HELLO, BROKEN, True),
        (CHAT, HELLO, REFUSED, True),
        ("/v1/images/generations", {"model": "m", "prompt": "a"}, BROKEN, False),
        ("/v1/images/generations", {"model": "m", "prompt": "a"}, REFUSED, True),
        ("/v1/responses", {"model": "m", "input": "a", "background": True}, BROKEN, False),
        ("/v1/responses", {"model": "m", "input": "a", "background": True}, REFUSED, True),
    ],
)
def test_what_breaks_off_is_tried_again_if_nothing_may_have_been_bought(
    target: str, document: dict[str, Any], problem: Problem, follows: bool
) -> None:
    providers, _ = _providers(RETRY_IT)
    tries = _begun(providers, target, json.dumps(document).encode())
    tries.break_off(problem)
    assert tries.follows is follows


def test_the_next_provider_gets_the_clients_own_bytes_in_its_own_form_and_one_that_cannot_is_passed_over() -> None:
    providers, _ = _providers(other=f"{RETRY_IT}, failover: {{enabled: true, failureThreshold: 1}}")
    tries = _begun(providers, CHAT, BODY)
    tries.hear(500, ())
    assert isinstance(tries.prepared, Upstream)
    assert (tries.place, tries.prepared.target) == (Place("two", 0), MESSAGES)
    assert tries.prepared.body
    assert json.loads(tries.prepared.body)["messages"][0]["role"] == "user"
    tries = _begun(providers, "/v1/embeddings", b'{"model": "m", "input": "a"}')
    tries.hear(500, ())
    assert not tries.follows
    assert tries.lines[1].startswith("not tried with two: ")
    assert tries.lines[2] == "no further try: there is no other token or provider that can serve it"
    # That says nothing about it.
    assert {providers.health.of(place).state for place in (Place("two"), Place("two", 0))} == {State.IN_USE}


def test_what_an_edge_cannot_do_again_is_not_done() -> None:
    class Begun(Attempts):
        def obstacle(self) -> str:
            return attempts.ANSWER_BEGUN

    providers, _ = _providers(RETRY_IT)
    head = head_of(CHAT)
    choice = Choice(providers.by_id[ONLY], "", head, (ONLY,))
    tries = Begun(providers, attempts.drawn(providers, choice, head, BODY), head)
    tries.raw = BODY
    _send(tries)
    tries.break_off(BROKEN)
    assert (tries.follows, tries.lines[-1]) == (False, "no further try: the answer has begun")


@table(
    ("retry_after", "seconds"),
    [("2", 2.0), ("0", 0.0), ("99999", 60.0), ("Fri, 31 Dec 2100 23:59:59 GMT", 60.0), ("soon", 0.0), ("-5", 0.0)],
)
def test_a_token_rests_as_long_as_it_asks_up_to_a_cap(retry_after: str, seconds: float) -> None:
    providers, _ = _providers(RETRY_IT)
    tries = _begun(providers)
    place = tries.place
    tries.hear(429, ((b"Retry-After", retry_after.encode()),))
    assert providers.health.rest(place) == seconds
    # Another token is free, so it is asked at once.
    assert (tries.follows, tries.wait) == (True, 0.0)


def test_the_next_try_waits_for_the_only_token_that_is_left_if_there_is_time() -> None:
    for keys, wait in (("", 20.0), (", timeout: 30000", 20.0), (", timeout: 10000", None)):
        providers, _ = _providers(f"{RETRY_IT}{keys}")
        tries = _begun(providers)
        other = Place(ONLY, 1 - (tries.place.token or 0))
        providers.health.rest_for(other, 20, "429")
        tries.hear(500, ())
        assert (tries.wait if tries.follows else None) == wait
    assert tries.lines[-1] == "no further try: there is no time left (timeout)"


def test_one_budget_is_for_all_tries_and_each_further_one_has_its_own() -> None:
    keys = ", retryOnFailure: {enabled: true, retryTimeout: 5000}, timeout: 10000"
    providers, clock = _providers(keys)
    tries = _begun(providers)
    assert list(tries.limits()) == [Limit(TIMEOUT, 10.0, 10.0)]
    clock.now += 4
    tries.hear(500, ())
    _go_on(tries)
    assert list(tries.limits()) == [Limit(RETRY, 5.0, 5.0), Limit(TIMEOUT, 6.0, 10.0)]
    clock.now += 7
    assert list(tries.limits())[1].seconds < 0.01
    providers, clock = _providers(keys)
    tries = _begun(providers)
    clock.now += 10
    tries.hear(500, ())
    assert (tries.follows, tries.lines[-1]) == (False, "no further try: there is no time left (timeout)")


def test_the_wait_for_a_token_is_part_of_its_try() -> None:
    providers, clock = _providers(", retryOnFailure: {enabled: true, retryTimeout: 20000}")
    tries = _begun(providers)
    providers.health.rest_for(Place(ONLY, 1 - (tries.place.token or 0)), 15, "429")
    tries.hear(500, ())
    clock.now += tries.wait
    _go_on(tries)
    assert list(tries.limits()) == [Limit(RETRY, 5.0, 20.0)]


@table(
    ("raw", "seconds"),
    [(BODY, 0.0), (STREAM, 3.0)],
)
def test_the_first_byte_is_waited_for_where_a_stream_is_asked_for(raw: bytes, seconds: float) -> None:
    providers, _ = _providers(", firstByteTimeout: 3000, connectTimeout: 2000")
    tries = _begun(providers, CHAT, raw)
    assert (tries.first_byte_timeout, tries.connect_timeout) == (seconds, 2.0)


@table(
    ("problem", "status", "message", "line"),
    [
        (
            Problem("", FIRST_BYTE, True, 3.0),
            504,
            "No answer from https://api.openai.com has begun within 3000 ms (firstByteTimeout).",
            "no answer in 3000 ms (firstByteTimeout)",
        ),
        (
            Problem("", CONNECT, False, 2.0),
            504,
            "There was no connection to https://api.openai.com within 2000 ms (connectTimeout).",
            "no connection in 2000 ms (connectTimeout)",
        ),
        (
            Problem("", TIMEOUT, True, 9.0),
            504,
            "No answer from https://api.openai.com has begun within 9000 ms (timeout).",
            "no answer in 9000 ms (timeout)",
        ),
    ],
)
def test_a_client_is_told_which_time_out_it_was(problem: Problem, status: int, message: str, line: str) -> None:
    providers, _ = _providers(RETRY_IT)
    tries = _begun(providers)
    tries.break_off(problem)
    assert tries.late
    assert (tries.late.status, tries.late.message, tries.late.code) == (
        status,
        message,
        "provider_timeout",
    )
    assert _said(tries)[0] == f"try 1 of 2: {line}"
    # Another try makes it forget that.
    _go_on(tries)
    assert tries.late is None


def test_a_stream_that_begins_with_an_error_is_a_failure_and_another_is_none() -> None:
    providers, _ = _providers(RETRY_IT)
    for text, is_failure in (
        (b'data: {"error": {"message": "no", "type": "overloaded_error"}}\n\n', True),
        (b'data: {"choices": []}\n\n', False),
    ):
        tries = _begun(providers, CHAT, STREAM)
        tries.hear(200, EVENTS)
        assert tries.first
        assert tries.is_failure(text[:9], is_end=False) is None
        assert tries.is_failure(text[9:], is_end=False) is is_failure
        assert tries.follows is is_failure
    # Where nothing could follow, the head is not held.
    _go_on(begun := _failed_once(providers))
    begun.hear(200, EVENTS)
    assert begun.first is None


def test_what_a_stream_begins_with_says_nothing_of_the_next_try() -> None:
    providers, _ = _providers(RETRY_IT)
    tries = _begun(providers, CHAT, STREAM)
    tries.hear(200, EVENTS)
    assert tries.is_failure(b'data: {"error": {"message": "no", "type": "overloaded_error"}}\n\n', is_end=False)
    _go_on(tries)
    tries.hear(200, EVENTS)
    assert tries.first is None
    tries = _begun(providers, CHAT, STREAM)
    tries.hear(200, EVENTS)
    tries.break_off(BROKEN)
    _go_on(tries)
    tries.hear(503, EVENTS)
    assert tries.first is None


def test_what_is_not_sent_for_a_reason_of_ours_goes_to_the_next_place_and_counts_for_nobody() -> None:
    providers, _ = _providers(f"{RETRY_IT}{FAILOVER}")
    tries = _begun(providers, "/v1/images/generations", b'{"model": "m"}')
    place, refusal = tries.place, Refusal(400, "It is not in a.har.", code="not_recorded")
    tries.break_off(Problem("nothing in a.har", "", is_sent=False, refusal=refusal))
    _go_on(tries)
    assert _said(tries) == ["try 1 of 2: nothing in a.har"]
    assert _is(providers, place, State.IN_USE)
    tries.break_off(Problem("nothing in a.har", "", is_sent=False, refusal=refusal))
    assert (tries.follows, tries.late) == (False, refusal)
    # An answer of ours, or of another addon's, is neither a success nor a failure.
    providers.health.fail(place, "500", is_providers=False)
    tries = _begun(providers)
    providers.health.draw(place)
    tries.complete(400, LIST, ERROR)
    assert (tries.follows, tries.lines) == (False, [])
    assert not _is(providers, place, State.IN_USE)


LIST = ((b"content-type", b"application/json"),)
ERROR = b'[{"error": {"code": 503, "message": "no"}}]'


@table(
    ("keys", "body", "follows", "state", "notes"),
    [
        # What was held whole is tried again; what the client has already only counts.
        (RETRY_IT, ERROR, True, State.LEFT_OUT, ["try 1 of 2: an error (503) in an answer with 200"]),
        (RETRY_IT, b'{"choices": []}', False, State.IN_USE, []),
        ("", ERROR, False, State.LEFT_OUT, []),
        ("", b'{"choices": []}', False, State.IN_USE, []),
        (", failover: {enabled: false}", ERROR, False, State.IN_USE, []),
    ],
)
def test_an_error_in_an_answer_that_has_arrived_is_a_failure(
    keys: str, body: bytes, follows: bool, state: State, notes: list[str]
) -> None:
    providers, _ = _providers(keys if "failover" in keys else f"{keys}{FAILOVER}")
    tries = _begun(providers)
    place = tries.place
    tries.hear(200, LIST)
    tries.complete(200, LIST, body)
    assert (tries.follows, tries.is_refused, _said(tries)) == (follows, follows, notes)
    assert _is(providers, place, state)


def test_a_stream_that_was_held_is_judged_once() -> None:
    providers, _ = _providers(f"{RETRY_IT}{FAILOVER}")
    tries = _begun(providers, CHAT, STREAM)
    tries.hear(200, EVENTS)
    assert tries.is_failure(b"data: {}\n\n", is_end=False) is False
    # As its translation for the client, of which nothing is known here.
    tries.complete(200, LIST, ERROR)
    assert _is(providers, tries.place, State.IN_USE)


def _failed_once(providers: Providers) -> Attempts:
    tries = _begun(providers, CHAT, STREAM)
    tries.hear(500, ())
    return tries


FAILOVER = ", failover: {enabled: true, failureThreshold: 1, failoverOnStatus: [5..]}"


def test_tokens_are_judged_by_statuses_and_the_provider_by_what_is_not_an_answer() -> None:
    for what, token, whole in (
        (500, State.LEFT_OUT, State.IN_USE),
        (429, State.IN_USE, State.IN_USE),
        (BROKEN, State.IN_USE, State.LEFT_OUT),
        (Problem("", QUEUE, False), State.IN_USE, State.IN_USE),
        (None, State.IN_USE, State.IN_USE),
    ):
        providers, _ = _providers(FAILOVER)
        tries = _begun(providers)
        if isinstance(what, int):
            tries.hear(what, ())
            tries.complete(what)
        else:
            tries.break_off(what)
        health = providers.health
        assert (health.of(tries.place).state, health.of(Place(ONLY)).state) == (token, whole), what


def test_a_token_that_stands_there_twice_is_one_for_tries_and_for_health() -> None:
    failover = ", failover: {enabled: true, failureThreshold: 1000}"
    providers, _ = _providers(f"{RETRY_IT}{failover}", tokens="[a, b, a, a]")
    for _ in range(9):
        tries = _begun(providers)
        tries.hear(500, ())
        assert tries.lines[0].startswith("try 1 of 2: 500 from openai (token ")
        _go_on(tries)
        assert tries.place.token in (0, 1)
        tries.hear(200, ())
        tries.complete(200)
    assert {place.token for place in providers.health.known} <= {None, 0, 1}


def test_what_is_left_out_comes_back_with_one_request_after_its_cooldown_and_all_out_are_tried_all_the_same() -> None:
    providers, clock = _providers(", failover: {enabled: true, failureThreshold: 2, cooldownDuration: 9000}")

    def ask(status: int) -> Place:
        clock.now += 0.01
        tries = _begun(providers)
        tries.hear(status, ())
        tries.complete(status)
        return tries.place

    left_out, both = State.LEFT_OUT, [Place(ONLY, token) for token in (0, 1)]
    while not any(_is(providers, place, left_out) for place in both):
        ask(500)
    first = next(place for place in both if _is(providers, place, left_out))
    other = Place(ONLY, 1 - (first.token or 0))
    assert {ask(200) for _ in range(20)} == {other}
    for _ in range(2):
        assert ask(500) == other
    # The one that failed first, though it is left out.
    assert (_is(providers, other, left_out), ask(500)) == (True, first)
    clock.now += 9
    # Both are due: one request each, and nobody else's.
    tries = [_begun(providers) for _ in range(2)]
    assert {one.place for one in tries} == {first, other}
    assert all(_is(providers, one.place, State.ON_TRIAL) for one in tries)
    for one, status in zip(tries, (200, 500), strict=True):
        one.hear(status, ())
        one.complete(status)
    assert [_is(providers, one.place, State.IN_USE) for one in tries] == [True, False]
    assert {ask(200) for _ in range(20)} == {tries[0].place}


def _is(providers: Providers, place: Place, state: State) -> bool:
    return providers.health.of(place).state is state


def test_a_consumer_has_its_token_though_that_is_left_out() -> None:
    providers, _ = _providers(f"{RETRY_IT}{FAILOVER}", tokens="[a, b, c]")
    places = set()
    for _ in range(5):
        tries = _begun(providers, "/v1/files", b"{}", "x-mse-consumer: me")
        tries.hear(500, ())
        assert not tries.follows
        places.add(tries.place)
    (place,) = places
    assert _is(providers, place, State.LEFT_OUT)
    assert _begun(providers, CHAT).place != place


@table(("model", "count"), [("", 0), ("small", 2)])
def test_a_token_is_probed_only_where_a_model_is_named(model: str, count: int) -> None:
    providers, clock = _providers(f"{FAILOVER[:-1]}, healthCheckModel: '{model}'}}")
    for token in (0, 1):
        providers.health.fail(Place(ONLY, token), "500", is_providers=False)
    probing = Probing()
    found = list(probing.due(providers))
    assert [json.loads(probe.body)["model"] for probe in found] == [model] * count
    assert [probe.timeout for probe in found] == [5.0] * count
    assert list(probing.due(providers)) == []
    clock.now += 5
    assert len(list(probing.due(providers))) == count
    # What is in use is not asked.
    providers.health.succeed(Place(ONLY, 0))
    clock.now += 5
    assert len(list(probing.due(providers))) == count / 2


def test_a_client_that_has_left_ends_the_tries() -> None:
    providers, _ = _providers(RETRY_IT)
    tries = _begun(providers)
    tries.hear(429, ())
    assert tries.is_refused
    tries.break_off(None)
    assert (tries.follows, tries.is_refused) == (False, False)


def test_who_waits_in_line_gets_the_place_of_one_that_leaves_or_a_429() -> None:
    async def run() -> None:
        providers, _ = _providers(", concurrency: 1, queueTimeout: 60000")
        first, second, third = (_begun(providers) for _ in range(3))
        assert first.needs_place
        await first.take_place(lambda: False)
        assert (first.has_place, first.needs_place) == (True, False)
        waiting = asyncio.ensure_future(second.take_place(lambda: False))
        # Its client is gone, so that it takes nobody's place.
        async with asyncio.timeout(20):
            await third.take_place(lambda: True)
        assert not third.has_place
        first.complete(200)
        await waiting
        assert second.has_place
        third.break_off(Problem("", QUEUE, False))
        assert third.late
        assert (third.late.status, third.late.code) == (429, "limit_reached")
        assert third.late.headers["Retry-After"] == "1"
        second.break_off(None)
        await third.take_place(lambda: False)
        assert third.has_place

    asyncio.run(run())


def test_who_waits_when_the_proxy_is_stopped_is_told_so_in_its_dialect() -> None:
    providers, _ = _providers(", concurrency: 1")
    tries = _begun(providers, MESSAGES)
    tries.stop_waiting()
    assert isinstance(tries.prepared, Answer)
    assert (tries.prepared.status, json.loads(tries.prepared.body)["type"]) == (503, "error")
    tries.break_off(Problem("", QUEUE, False), is_over=True)
    assert tries.late
    assert tries.late.code == "proxy_stopped"


def test_a_request_that_nothing_can_follow_is_neither_noted_nor_held() -> None:
    providers, _ = _providers(", timeout: 1000", tokens="a")
    tries = _begun(providers, CHAT, STREAM)
    assert not tries.can_follow
    tries.hear(200, EVENTS)
    assert tries.first is None
    tries.hear(500, ())
    tries.complete(500)
    assert tries.lines == []


def test_the_body_is_needed_first_where_it_decides_how_far_a_request_may_go() -> None:
    for keys, target, is_needed in (
        (RETRY_IT, "/v1/responses", True),
        (RETRY_IT, CHAT, False),
        ("", "/v1/responses", False),
    ):
        providers, _ = _providers(keys)
        head = Head("POST", target)
        assert attempts.need_body(providers, Choice(providers.by_id[ONLY], "", head, (ONLY,))) is is_needed
