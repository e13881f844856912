"""What is done to mitmproxy's layers for a further try, event by event and without sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from mitmproxy import http
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.test import taddons

from mitm_ai_proxy.gateway import second_tries
from tests.gateway.layers import Judge, Timers, Wire, run_at_once

REFUSED = b"HTTP/1.1 429 No\r\nContent-Length: 2\r\n\r\nno"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(autouse=True)
def options(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Those of mitmproxy's proxy; and no event loop."""
    monkeypatch.setattr(second_tries, "Timers", Timers)
    monkeypatch.setattr(asyncio, "ensure_future", run_at_once)
    with taddons.context(Proxyserver()) as context:
        yield
    context.master._legacy_log_events.uninstall()


def _wire(judge: Judge | None = None) -> Wire:
    """A wire whose judge has a refusal be followed by another try, while any are left."""
    wire = Wire(judge or Judge())

    def hear(flow: http.HTTPFlow) -> None:
        assert flow.response
        judged = wire.judge
        judged.is_refused = judged.follows = flow.response.status_code >= 400 and judged.left > 0

    def fail(flow: http.HTTPFlow) -> None:
        judged = wire.judge
        judged.follows = wire.loop.problem is not None and judged.left > 0

    wire.hooks = {"responseheaders": hear, "error": fail}
    return wire


def test_the_next_try_goes_over_the_same_connection_and_the_client_gets_its_answer_alone() -> None:
    wire = _wire()
    wire.ask()
    server = wire.opened()
    wire.say(server, REFUSED)
    wire.say(server, OK)
    assert wire.sent[server].count(b"POST /v1/chat") == 2
    assert wire.answer == OK
    assert (wire.judge.prepared, wire.opening) == (1, [])
