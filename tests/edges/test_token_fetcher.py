"""Access tokens are fetched ahead, off the event loop, kept over a reload, and asked for again after a failure."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable

import pytest

from mitm_ai_proxy.auth import google
from mitm_ai_proxy.auth.access_tokens import TokenRequest
from mitm_ai_proxy.auth.google import GoogleTokens
from mitm_ai_proxy.edges import token_fetcher
from mitm_ai_proxy.edges.token_fetcher import TokenFetcher
from tests.auth.service_account import EMAIL, key_file
from tests.e2e.upstream import Answer, Upstream

NOW = 1_700_000_000.0


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def _tokens(**members: object) -> GoogleTokens:
    return GoogleTokens(google.account(key_file(**members)), 60)


def _answer(token: str, seconds: int = 3600) -> tuple[int, bytes]:
    return 200, json.dumps({"access_token": token, "expires_in": seconds}).encode()


def _value(tokens: GoogleTokens) -> str:
    current = tokens.current(NOW)
    assert current is not None
    return current.reveal()


def test_the_first_token_is_there_when_the_start_is_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    tokens = _tokens()
    TokenFetcher(lambda _: _answer("first"), Clock()).use([tokens], is_offline=False)

    assert _value(tokens) == "first"
    assert f"access token for {EMAIL}, until " in caplog.text
    assert "first" not in caplog.text


def test_nothing_is_asked_for_where_nothing_is_sent() -> None:
    def send(request: TokenRequest) -> tuple[int, bytes]:
        raise AssertionError

    tokens = _tokens()
    TokenFetcher(send, Clock()).use([tokens], is_offline=True)

    assert tokens.is_offline


def test_a_failure_is_said_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    tokens = _tokens()
    answers: list[Callable[[], tuple[int, bytes]]] = [lambda: (400, b'{"error":"invalid_grant"}')]
    fetcher = TokenFetcher(lambda _: answers[0](), Clock())
    fetcher.use([tokens], is_offline=False)

    assert tokens.current(NOW) is None
    assert "invalid_grant" in tokens.problem
    assert f"no access token for {EMAIL}: https://oauth2.googleapis.com answered with status 400" in caplog.text


def test_a_token_of_the_same_account_is_kept_over_a_reload() -> None:
    asked: list[TokenRequest] = []

    def send(request: TokenRequest) -> tuple[int, bytes]:
        asked.append(request)
        return _answer(f"token {len(asked)}")

    first, same, other = _tokens(), _tokens(), _tokens(private_key_id="key-2")
    fetcher = TokenFetcher(send, Clock())
    fetcher.use([first], is_offline=False)
    fetcher.use([same, other], is_offline=False)

    assert (_value(same), _value(other), len(asked)) == ("token 1", "token 2", 2)


def test_tokens_are_renewed_in_a_thread_before_they_end() -> None:
    clock, renewed, threads = Clock(), asyncio.Event(), []
    tokens = _tokens()

    async def run() -> None:
        loop = asyncio.get_running_loop()

        def send(_: TokenRequest) -> tuple[int, bytes]:
            threads.append(threading.current_thread())
            if len(threads) == 2:
                loop.call_soon_threadsafe(renewed.set)
            return _answer(f"token {len(threads)}")

        fetcher = TokenFetcher(send, clock)
        fetcher.use([tokens], is_offline=False)
        clock.now += 3550
        fetcher.start()
        await asyncio.wait_for(renewed.wait(), 20)
        # A configuration with another account wakes it.
        fetcher.use([tokens, changed := _tokens(private_key_id="key-2")], is_offline=False)
        while changed.latest is None:
            await asyncio.sleep(0)
        fetcher.stop()

    asyncio.run(run())

    assert len(threads) == 3
    assert threading.main_thread() not in threads


def test_a_request_for_a_token_is_a_post_that_follows_no_redirect() -> None:
    server = Upstream()
    try:
        server.respond = lambda request: Answer(302, b"{}", (("Location", "/other"),))
        tokens = _tokens(token_uri=f"http://{server.address}/token")
        status, body = token_fetcher.post(tokens.request(NOW))
        request = server.received.get(timeout=10)
    finally:
        server.close()

    assert (status, body, request.method, request.target) == (302, b"{}", "POST", "/token")
    assert request.one("content-type") == "application/x-www-form-urlencoded"
    assert request.body.startswith(b"grant_type=urn%3A")
    assert server.received.empty()


def test_a_server_that_is_not_there_is_a_reason() -> None:
    tokens = _tokens(token_uri="http://127.0.0.1:9/token")
    TokenFetcher().use([tokens], is_offline=False)

    assert "refused" in tokens.problem
