"""What a flow has in its next try of its client's request, and of the try before."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast
from weakref import WeakKeyDictionary

import pytest
from mitmproxy import http
from mitmproxy.test import taddons, tflow

from mitm_ai_proxy import registry
from mitm_ai_proxy.edges import attempts, ways
from mitm_ai_proxy.exchange import Answer, Head, Upstream
from mitm_ai_proxy.gateway import flows, waits
from mitm_ai_proxy.gateway.attempts import FlowAttempts
from mitm_ai_proxy.gateway.flows import FlowState, Stop
from mitm_ai_proxy.gateway.rewriting import Rewriter
from mitm_ai_proxy.gateway.second_tries import Loop
from mitm_ai_proxy.routing.rules import Choice
from mitm_ai_proxy.routing.tries import Pick
from mitm_ai_proxy.wire.header_fields import Fields

CONFIG = """
providers:
- {id: one, type: openai, apiTokens: a}
- {id: two, type: ollama, connectTimeout: 2000, firstByteTimeout: 3000}
- {id: three, type: ollama, sendClientKey: true}
routes: [{path: /v1/*, provider: [one, two, three]}]
"""
FIELDS: Fields = ((b"Host", b"here"), (b"Authorization", b"Bearer own"), (b"x-api-key", b"own"), (b"X-A", b"1"))


@pytest.fixture
def again(mitmproxy_context: taddons.context) -> tuple[Rewriter, http.HTTPFlow, FlowAttempts, FlowState]:
    """A flow whose first try was refused, with the state of that."""
    flow = tflow.tflow(
        req=http.Request.make("POST", "http://provider.test/changed", b"changed", ((b"X-B", b"changed"),))
    )
    head = Head("PUT", "/v1/embeddings?a=%20", fields=FIELDS)
    providers = registry.providers(registry.read(CONFIG, {}))
    choice = Choice(providers.by_id["one"], "", head, tuple(providers.by_id))
    made = FlowAttempts(flow, providers, attempts.drawn(providers, choice, head, b"own"), head)
    made.raw, flow.live = b"own", True
    limits: list[object] = []
    made.loop = cast(Loop, SimpleNamespace(has_begun=False, limits=limits, limit=lambda *limit: limits.append(limit)))
    made.send(Upstream(made.provider.origin, "POST", "/", is_repeatable=True))
    made.hear(500, ())
    last = FlowState(head, providers, made.provider, attempts=made)
    last.page, last.client_origin, last.stages = "https://app.test", "http://here", ("recorder", "simulator")
    last.notes, last.earlier = ["of the last"], ("of the first",)
    last.stop = Stop(fits=True, before=True, after=True)
    last.is_ready, last.secret_fields, last.redacted_target = True, (b"authorization",), "/"
    states: WeakKeyDictionary[http.HTTPFlow, FlowState] = WeakKeyDictionary({flow: last})
    configured: Any = SimpleNamespace(guard=SimpleNamespace(states=states), streams=False, way=ways.SIMULATED)
    return Rewriter(configured), flow, made, last


def test_it_has_the_clients_request_and_goes_nowhere_before_it_is_rewritten(
    again: tuple[Rewriter, http.HTTPFlow, FlowAttempts, FlowState],
) -> None:
    rewriter, flow, made, last = again
    flow.request.stream = True
    flow.request.data.trailers = http.Headers(a="b")
    made.begin_next()
    assert rewriter._again(flow, made) == b"own"
    data = flow.request.data
    assert (data.method, data.path, data.trailers) == (b"PUT", b"/v1/embeddings?a=%20", None)
    assert (data.host, data.port, flow.request.stream) == (flows.NOWHERE.host, flows.NOWHERE.port, False)
    # The next provider gets no credential of the client's.
    assert made.place.provider == "two"
    assert data.headers.fields == (FIELDS[0], FIELDS[3])
    state = rewriter._configured.guard.states[flow]
    assert state is not last
    assert (state.page, state.client_origin) == ("https://app.test", "http://here")
    # Each stage looks at it again, also in the try behind this one.
    assert (state.stages, state.held_by) == (last.stages, set(last.stages))
    assert (state.earlier, state.notes, state.way) == (("of the first", "of the last"), [], ways.SIMULATED)
    assert state.stop == Stop(fits=True, before=True)
    assert (state.is_ready, state.secret_fields, state.redacted_target) == (False, (), "")
    assert (state.prepared, state.provider) == (made.prepared, made.provider)
    assert state.prepared is not None


def test_it_has_the_time_outs_of_its_own_provider(
    again: tuple[Rewriter, http.HTTPFlow, FlowAttempts, FlowState],
) -> None:
    _, _, made, _ = again
    loop: Any = made.loop
    made.head, made.raw = made.head._replace(method="POST"), b'{"stream": true}'
    assert loop.limits == []
    made.prepare()
    assert [limit[:1] + limit[2:] for limit in loop.limits] == [("retryTimeout", 60.0)]
    made.send(Upstream(made.provider.origin, "POST", "/"))
    assert (loop.connect_timeout, loop.first_byte_timeout) == (2.0, 3.0)


@pytest.mark.parametrize(("is_gone", "is_over"), [(True, False), (False, True), (False, False)])
def test_it_is_waited_for_as_long_as_the_client_is_there_and_the_proxy_goes_on(
    is_gone: bool,
    is_over: bool,
    again: tuple[Rewriter, http.HTTPFlow, FlowAttempts, FlowState],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, _, made, _ = again
    here: Any = SimpleNamespace(count=0, is_over=is_over)
    monkeypatch.setattr(waits, "here", lambda: here)
    loop: Any = made.loop
    loop.is_gone = is_gone
    prepared, soon = made.prepared, 0.001 if not (is_gone or is_over) else 999.0
    made._pick = Pick(made.place, soon)

    async def wait() -> None:
        async with asyncio.timeout(20):
            await made.wait_for_it()

    asyncio.run(wait())
    assert here.count == 0
    # A proxy that is stopped answers, in the place of the try.
    assert (made.prepared is prepared) is not is_over
    assert not is_over or isinstance(made.prepared, Answer)


def test_who_sends_the_clients_credential_gets_it(
    again: tuple[Rewriter, http.HTTPFlow, FlowAttempts, FlowState],
) -> None:
    rewriter, flow, made, _ = again
    made.begin_next()
    made.hear(500, ())
    made.begin_next()
    rewriter._again(flow, made)
    assert made.place.provider == "three"
    assert flow.request.headers.fields == FIELDS


def test_what_was_led_elsewhere_takes_no_place_in_line(
    again: tuple[Rewriter, http.HTTPFlow, FlowAttempts, FlowState], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, flow, made, _ = again
    monkeypatch.setattr(FlowAttempts, "needs_place", True)
    monkeypatch.setattr(FlowAttempts, "take_free_place", lambda self: False)
    assert made.upstream
    for host, has_to in ((made.upstream.origin.host, True), ("127.0.0.1", False)):
        flow.request.data.host, flow.request.data.port = host, made.upstream.origin.port
        assert made.has_to_queue() is has_to
