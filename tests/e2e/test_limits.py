"""Limits and probes, over real sockets: waiting in line, other tokens, 429, and tokens that come back."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from mitmproxy.http import HTTPFlow
from mitmproxy.io import FlowReader

from tests.e2e import moody
from tests.e2e.conftest import StartProxy, StartServe
from tests.e2e.moody import OK, SILENCE, Mood, Moody, Request
from tests.e2e.proxy import DEADLINE, Listening

CHAT = "/v1/chat/completions"
BODY = json.dumps({"model": "gpt", "messages": [{"role": "user", "content": "hi"}]}).encode()
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def provider() -> Iterator[Moody]:
    with closing(Moody()) as found:
        yield found


def _one(provider: Moody, keys: str, tokens: str = "[a, b]") -> str:
    return f"provider: {{type: openai, apiTokens: {tokens}, providerDomain: '{provider.origin}', {keys}}}"


class Gate:
    """A mood that answers nobody before it is opened, and counts who is there at one time."""

    def __init__(self, expected: int) -> None:
        self.is_open = threading.Event()
        self.is_full = threading.Event()
        self.most = self._now = 0
        self._expected = expected
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Mood:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            if self._now == self._expected:
                self.is_full.set()
        assert self.is_open.wait(DEADLINE)
        with self._lock:
            self._now -= 1
        return OK


@pytest.mark.parametrize(
    ("keys", "most"), [("concurrency: 2", 2), ("tokenLimits: {concurrency: 1}", 2), ("concurrency: 3", 3)]
)
def test_what_is_above_the_limit_waits_in_line_and_is_answered(
    keys: str, most: int, provider: Moody, start_proxy: StartProxy
) -> None:
    gate = Gate(most)
    provider.mood = gate
    proxy = start_proxy(_one(provider, keys))
    with ThreadPoolExecutor(8) as pool:
        replies = [pool.submit(proxy.request, "POST", CHAT, BODY, JSON) for _ in range(8)]
        assert gate.is_full.wait(DEADLINE)
        gate.is_open.set()
        assert [reply.result().status for reply in replies] == [200] * 8
    assert gate.most == most


def test_who_has_waited_long_enough_gets_a_429_and_another_token_is_asked_at_once(
    provider: Moody, start_proxy: StartProxy
) -> None:
    keys = "tokenLimits: {rate: {requestsPerMinute: 1}}, queueTimeout: 0"
    proxy = start_proxy(_one(provider, keys))
    replies = [proxy.request("POST", CHAT, BODY, JSON) for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert sorted(request.token for request in provider.received) == ["a", "b"]
    error = json.loads(replies[2].body)["error"]
    assert (error["code"], error["type"]) == ("limit_reached", "rate_limit_error")
    assert 50 < int(replies[2].headers["Retry-After"] or 0) <= 60
    message = BODY.replace(b"{", b'{"max_tokens": 9, ', 1)
    reply = proxy.request("POST", "/v1/messages", message, JSON | {"anthropic-version": "2023-06-01"})
    assert (reply.status, json.loads(reply.body)["error"]["type"]) == (429, "rate_limit_error")


def test_tokens_of_models_are_counted_by_the_length_of_a_request(provider: Moody, start_proxy: StartProxy) -> None:
    proxy = start_proxy(_one(provider, "rate: {tokensPerMinute: 1000}, queueTimeout: 0"))
    long = json.dumps({"model": "m", "max_tokens": 900, "messages": [{"role": "user", "content": "x" * 400}]}).encode()
    assert [proxy.request("POST", CHAT, body, JSON).status for body in (BODY, long, BODY)] == [200, 429, 200]


FAILOVER = (
    "failover: {enabled: true, failureThreshold: 1, cooldownDuration: 0, healthCheckModel: small,"
    " healthCheckInterval: 1, healthCheckTimeout: 300}, retryOnFailure: {enabled: true},"
    " modelMapping: {small: smaller}"
)


def test_a_token_that_is_left_out_comes_back_by_a_probe_which_is_a_flow(
    provider: Moody, start_proxy: StartProxy, tmp_path: Path
) -> None:
    _is_left_out_and_comes_back(provider, lambda: start_proxy(_one(provider, FAILOVER), "-w", str(tmp_path / "flows")))
    with (tmp_path / "flows").open("rb") as file:
        flows = [flow for flow in FlowReader(file).stream() if isinstance(flow, HTTPFlow)]
    assert any(flow.is_replay and flow.comment.startswith("a probe of openai") for flow in flows)


def test_serve_probes_too_and_logs_it(provider: Moody, start_serve: StartServe) -> None:
    log = _is_left_out_and_comes_back(provider, lambda: start_serve(_one(provider, FAILOVER)))
    assert "ai-proxy: a probe of openai, which is left out (healthCheckModel): 200" in log


def _is_left_out_and_comes_back(provider: Moody, start: Callable[[], Listening]) -> str:
    """Have a token be left out until a probe has an answer; returns the log."""
    asked, is_well = threading.Event(), threading.Event()

    def mood(request: Request) -> Mood:
        if b"who are you?" in request.body:
            asked.set()
            if not is_well.is_set():
                return SILENCE
        return OK if request.token == "b" or is_well.is_set() else moody.refusal(500)

    provider.mood = mood
    proxy = start()
    while not any(request.token == "a" for request in provider.received):
        assert proxy.request("POST", CHAT, BODY, JSON).status == 200
    assert asked.wait(DEADLINE)
    # It is not asked by clients until a probe has an answer.
    before = len(provider.received)
    assert [proxy.request("POST", CHAT, BODY, JSON).status for _ in range(5)] == [200] * 5
    others = [request for request in provider.received[before:] if b"who are you?" not in request.body]
    assert {request.token for request in others} == {"b"}
    # A probe that nobody answers is given up, and changes nothing.
    assert provider.is_left.wait(DEADLINE)
    is_well.set()
    for _ in range(300):
        assert proxy.request("POST", CHAT, BODY, JSON).status == 200
        if any(
            request.token == "a" and request.body == provider.received[0].body for request in provider.received[before:]
        ):
            break
    else:
        pytest.fail("the token did not come back")
    log = proxy.close()
    probe = next(request for request in provider.received if b"who are you?" in request.body)
    assert (probe.token, json.loads(probe.body)["model"]) == ("a", "smaller")
    return log
