"""No text from outside reaches a line of the log, or an error, with control characters or a credential in it."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from mitmproxy import flow as base
from mitmproxy import http
from mitmproxy.proxy.layers.http._hooks import HttpErrorHook
from mitmproxy.test import taddons

from mitm_ai_proxy import registry
from mitm_ai_proxy.auth.masking import mask_of
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.gateway import addon, engine, flows, guard
from mitm_ai_proxy.gateway.flows import FlowState
from tests.gateway.literal import FAKE, Proxy, make, run

HOSTILE = "a\x1b[2J\r\nai-proxy: forged\u2028\x9b"
PLAIN = r"a\x1b[2J\r\nai-proxy: forged\u2028\x9b"
KEY = "key-of-the-provider"


@pytest.fixture
def state(mitmproxy_context: taddons.context) -> FlowState:
    provider = registry.provider(
        registry.read(f"provider: {{type: openai, apiTokens: [{KEY}], logUpstreamErrorResponseBody: true}}", {})
    )
    found = FlowState(flows.head_of(make("GET /a")), None, provider)
    found.mask = mask_of((f"Bearer {KEY}".encode(),))
    return found


def test_a_refusal_that_quotes_a_client_is_one_line(state: FlowState, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    flow = make("GET /a")
    guard.refuse(flow, state, Refusal(400, f"{HOSTILE} is wrong.", code="invalid_value"))
    assert caplog.messages == [f"ai-proxy: 400 GET /a: {PLAIN} is wrong."]
    assert flow.comment == f"refused: {PLAIN} is wrong."


def test_an_error_that_quotes_anything_is_one_line_without_the_credential(
    state: FlowState, caplog: pytest.LogCaptureFixture
) -> None:
    flow = make("GET /a")
    flow.response = http.Response.make(400, f"{HOSTILE} {KEY}", {"x-request-id": "r\x1b[2J"})
    addon._log_error(flow, flow.response, state)
    assert caplog.messages == [
        rf"ai-proxy: 400 from openai for GET /a, x-request-id r\x1b[2J: {PLAIN} {'*' * len(KEY)}"
    ]


def test_an_error_of_mitmproxys_that_quotes_the_provider_shows_no_credential(
    state: FlowState, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[http.Response] = []

    def replace_error(_: http.HTTPFlow, answer: Callable[[int, str], http.Response]) -> None:
        answers.append(answer(502, f"invalid header: {KEY}"))

    monkeypatch.setattr(engine, "replace_error", replace_error)
    guard.answer_error(make("GET /a"), state)
    assert b"invalid header: *******************" in (answers[0].content or b"")

    async def work(proxy: Proxy) -> None:
        flow = make("GET /a")
        assert await proxy.send(flow)
        flow.error = base.Error(f"invalid header: {KEY}")
        await proxy.hook(HttpErrorHook(flow))
        assert flow.error.msg == "invalid header: *******************"

    run(work, provider={**FAKE, "apiTokens": [KEY]})
