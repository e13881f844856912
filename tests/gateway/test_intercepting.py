"""Requests that are stopped by mitmproxy's filter, without sockets: what of an edit is sent, and to whom."""

from __future__ import annotations

import asyncio
import calendar
import time
from collections.abc import Callable
from typing import Any

import pytest
from mitmproxy import exceptions, http
from mitmproxy.addons.intercept import Intercept
from mitmproxy.addons.view import View

from mitm_ai_proxy.auth import sigv4
from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.gateway import intercepting
from tests.gateway.literal import Proxy, Sent, make, run
from tests.tables import table

BEDROCK = {"type": "bedrock", "awsRegion": "us-east-1", "awsAccessKey": "AKID", "awsSecretKey": "secret-of-ours"}
GEMINI = {"type": "gemini", "apiTokens": "key-of-ours-0123456789"}
MOONSHOT = {"type": "moonshot", "apiTokens": "key-of-ours-0123456789"}
CHAT = b'{"model":"m","messages":[{"role":"user","content":"Hi"}]}'
JSON = {"Content-Type": "application/json"}
KEY = "key-of-the-client-0123456789"


def _in_window(proxy: Proxy, **options: Any) -> None:
    """Put mitmproxy's addon where it stands in its windows, and ours in front; set options."""
    chain = proxy.addons.chain
    own = proxy.addons.get("intercept")
    chain.remove(own)
    chain.insert(-1, own)
    chain.insert(0, proxy.gateway.intercepting.before)
    proxy.context.options.update(**options)


def _with_stops(work: Callable[[Proxy], Any], provider: dict[str, Any], **options: Any) -> None:
    async def whole(proxy: Proxy) -> None:
        _in_window(proxy, **{"intercept": "~q", **options})
        await work(proxy)

    run(whole, before=[Intercept(), View()], provider=provider)


async def _send(
    proxy: Proxy, flow: http.HTTPFlow, *edits: Callable[[http.HTTPFlow], None], body: bytes = CHAT
) -> Sent | None:
    """Send a request that is stopped once for each of the edits."""
    sending = asyncio.ensure_future(proxy.send(flow, body))
    for edit in edits:
        while not flow.intercepted:
            assert not sending.done(), "it was not stopped"
            await asyncio.sleep(0)
        edit(flow)
        flow.resume()
        # A second stop would follow before its task is asked again.
        await asyncio.sleep(0)
    sent = await sending
    assert not flow.intercepted
    return sent


def _nothing(_: http.HTTPFlow) -> None:
    pass


def _chat(target: str = "POST /v1/chat/completions", **more: Any) -> http.HTTPFlow:
    return make(target, {**JSON, "Authorization": f"Bearer {KEY}"}, **more)


def test_an_edited_request_is_signed_as_it_is_sent() -> None:
    async def work(proxy: Proxy) -> None:
        def edit(flow: http.HTTPFlow) -> None:
            assert flow.request.headers["authorization"].startswith("[sent")
            flow.request.content = b'{"edited":true}'
            flow.request.path += "?edited=1"

        sent = await _send(proxy, _chat(), edit)

        assert sent
        [moment] = sent.values("x-amz-date")
        [host] = sent.values("host")
        asked = sigv4.Request("POST", host, sent.url.split(host)[1], b'{"edited":true}')
        clock = calendar.timegm(time.strptime(moment, "%Y%m%dT%H%M%SZ"))
        keys = sigv4.AwsKeys("AKID", Secret("secret-of-ours"))
        signed = sigv4.sign(asked, keys, sigv4.Scope("us-east-1", "bedrock"), clock)
        assert sent.values("authorization") == [signed.fields[b"authorization"].decode()]
        assert (sent.body, sent.values("content-length")) == (b'{"edited":true}', ["15"])

    _with_stops(work, BEDROCK, ai_intercept="upstream")


def test_a_placeholder_that_was_edited_is_sent_as_it_was_written() -> None:
    async def work(proxy: Proxy) -> None:
        def edit(flow: http.HTTPFlow) -> None:
            flow.request.headers["Authorization"] = "Bearer by-hand"

        sent = await _send(proxy, _chat(), edit)
        assert sent
        assert sent.values("authorization") == ["Bearer by-hand"]

    _with_stops(work, MOONSHOT, ai_intercept="upstream")


def test_the_client_is_admitted_by_what_it_sent_and_a_request_to_another_host_keeps_its_key_from_it() -> None:
    async def work(proxy: Proxy) -> None:
        proxy.use(provider=MOONSHOT, clientTokens={"me": KEY})

        def look(flow: http.HTTPFlow) -> None:
            assert KEY not in repr(flow.get_state())
            assert flow.request.host == "api.openai.com"

        def lead_away(flow: http.HTTPFlow) -> None:
            look(flow)
            flow.request.host = "elsewhere.test"

        sent = await _send(proxy, _chat(mode="regular"), look)
        assert sent
        assert sent.url == "https://api.moonshot.cn/v1/chat/completions"
        flow = _chat(mode="regular")
        sent = await _send(proxy, flow, lead_away)
        assert sent
        assert (sent.url, sent.values("authorization")) == ("http://elsewhere.test/v1/chat/completions", [])
        assert flow not in proxy.guard.states

    _with_stops(work, MOONSHOT)


@table(
    "options, stops",
    [
        ({"intercept": "~u kimi|chat"}, 1),
        # Only what a request has become fits.
        ({"intercept": "~d moonshot"}, 1),
        ({"intercept": "~ai rewritten"}, 1),
        ({"intercept": "~d moonshot", "ai_intercept": "both"}, 1),
        ({"intercept": "~d openai", "ai_intercept": "both"}, 2),
        ({"intercept": "~d openai", "ai_intercept": "upstream"}, 1),
        ({"intercept": "~u nothing"}, 0),
        ({"intercept_active": False}, 0),
    ],
)
def test_the_filter_is_asked_of_both_requests_and_a_person_is_stopped_where_it_was_asked_for(
    options: dict[str, Any], stops: int
) -> None:
    async def work(proxy: Proxy) -> None:
        proxy.context.options.update(**options)
        flow = _chat()
        assert await asyncio.wait_for(_send(proxy, flow, *[_nothing] * stops), 5)
        # Not by mitmproxy's own addon, behind all that answers and records.
        assert (flow in proxy.guard.stopped) == bool(stops)

    _with_stops(work, MOONSHOT)


def test_what_another_addon_stops_stays_stopped() -> None:
    class Stopping:
        name = "stopping"

        def request(self, flow: http.HTTPFlow) -> None:
            flow.intercept()

    async def work(proxy: Proxy) -> None:
        proxy.addons.chain.insert(-1, Stopping())
        proxy.context.options.update(intercept="~u /v1/chat & ~d openai")
        flow = _chat()
        sending = asyncio.ensure_future(proxy.send(flow, CHAT))
        while not flow.intercepted:
            await asyncio.sleep(0)
        flow.resume()
        assert await sending
        assert flow.intercepted

    _with_stops(work, MOONSHOT)


@table("place", ["client", "upstream"])
@table("edit", [b"a: b\r\nx", b"a\0"])
def test_a_head_that_was_edited_to_a_bad_one_is_refused(edit: bytes, place: str) -> None:
    async def work(proxy: Proxy) -> None:
        def spoil(flow: http.HTTPFlow) -> None:
            flow.request.headers.fields = (*flow.request.headers.fields, (b"X-A", edit))

        flow = _chat()
        assert await _send(proxy, flow, spoil) is None
        assert flow.response
        assert flow.response.status_code == 400

    _with_stops(work, MOONSHOT, ai_intercept=place)


def test_a_person_may_answer_a_request_by_hand() -> None:
    async def work(proxy: Proxy) -> None:
        def answer(flow: http.HTTPFlow) -> None:
            flow.response = http.Response.make(418, b"by hand")

        for place in intercepting.PLACES[:2]:
            proxy.context.options.update(ai_intercept=place)
            flow = _chat()
            assert await _send(proxy, flow, answer) is None
            got = await proxy.answer(flow)
            assert (got.status, got.body) == (418, b"by hand")
            assert flow not in proxy.guard.states

    _with_stops(work, MOONSHOT)


def test_a_stop_that_raises_sends_nothing() -> None:
    async def work(proxy: Proxy) -> None:
        def spoil(_: http.HTTPFlow) -> None:
            proxy.gateway.begin = None  # type: ignore[method-assign,assignment]

        flow = _chat()
        assert await _send(proxy, flow, spoil) is None
        assert flow.response
        assert flow.response.status_code == 500

    _with_stops(work, MOONSHOT)


def test_another_place_is_refused() -> None:
    async def work(proxy: Proxy) -> None:
        for wrong in ("", "Client", "both,client"):
            with pytest.raises(exceptions.OptionsError, match="ai_intercept takes client, upstream, both"):
                proxy.context.options.update(ai_intercept=wrong)

    _with_stops(work, MOONSHOT)
