"""The gateway with stages: their order, which methods it calls, flows that they hold, and errors that they raise."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.addonmanager import Loader

from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import PASS, Answer, Handling, Whole
from mitm_ai_proxy.gateway.flows import FlowState
from mitm_ai_proxy.gateway.guard import Guard
from mitm_ai_proxy.gateway.stages import Result, Stage
from mitm_ai_proxy.registry import Configuration
from mitm_ai_proxy.routing.providers import Providers
from mitm_ai_proxy.wire.targets import Origin
from tests.gateway.literal import FAKE, JSON, Proxy, Said, make, run
from tests.tables import table

CDN = Origin("https", "cdn.test", 443)
BROWSER = {"Sec-Fetch-Site": "cross-site"}


class Letting:
    """A stage that notes its calls, releases flows, and adds its name to answers. `raises`: the hook that raises."""

    options: Sequence[str] = ()
    simulates = False
    is_active = True
    is_offline = False

    def __init__(self, name: str, calls: list[str], *, result: Result | None = None, raises: Any = None) -> None:
        self.name, self.calls = name, calls
        self.result, self.raises = result, raises
        self.lets_out = True
        self.states: list[FlowState] = []
        self.guard: Guard | None = None
        self.heard: list[bytes] = []

    def _note(self, hook: str) -> None:
        self.calls.append(f"{self.name} {hook}")
        if self.raises == hook:
            raise RuntimeError("text of a body")

    def declare(self, loader: Loader, guard: Guard) -> None:
        self.guard = guard

    def set_options(self, updated: set[str], stages: Sequence[Stage], is_running: bool) -> None:
        pass

    def prepare(self, configuration: Configuration, providers: Providers) -> Callable[[], None]:
        self._note("prepare")
        return lambda: self._note("use")

    def begin(self, flow: http.HTTPFlow, state: FlowState) -> Result | None:
        self._note("begin")
        if self.raises == "refusal":
            raise Refusal(409, "Not this one.", code="not_this")
        return self.result

    def request(self, flow: http.HTTPFlow) -> None:
        assert self.guard
        state = self.guard.states.get(flow)
        self._note("request")
        if state and self.lets_out:
            self.states.append(state)
            state.held_by.discard(self.name)

    def begin_answer(self, flow: http.HTTPFlow, state: FlowState, handling: Handling) -> Handling:
        self._note("begin_answer")
        rewrite = handling.rewrite if isinstance(handling, Whole) else lambda answer: answer
        return Whole(lambda answer: _named(rewrite(answer), self.name))

    def hear_answer(self, flow: http.HTTPFlow, response: http.Response) -> None:
        self._note("hear_answer")
        self.heard.append(response.raw_content or b"")

    def response(self, flow: http.HTTPFlow) -> None:
        self._note("response")

    def banner(self, configuration: Configuration, here: Origin) -> str:
        return f"{self.name} at {here}" if self.name == "one" else ""


def _named(answer: Answer, name: str) -> Answer:
    return answer._replace(body=answer.body + name.encode())


def _run(work: Any, first: dict[str, Any] | None = None, second: dict[str, Any] | None = None) -> list[str]:
    """Run `work(proxy, one, two)` with two stages; returns their calls, from the first request on."""
    calls: list[str] = []
    one, two = Letting("one", calls, **(first or {})), Letting("two", calls, **(second or {}))

    async def test(proxy: Proxy) -> None:
        calls.clear()
        await work(proxy, one, two)

    run(test, one, two, provider={**FAKE, "apiTokens": ["provider-key"]})
    return calls


def test_stages_are_asked_in_their_order_at_each_hook() -> None:
    async def work(proxy: Proxy, one: Letting, two: Letting) -> None:
        await proxy.ask(make(), Said([b"{}"]))

    assert _run(work) == [
        *("one begin", "two begin", "one request", "two request"),
        *("one begin_answer", "two begin_answer", "one hear_answer", "two hear_answer", "one response", "two response"),
    ]


def test_a_configuration_is_put_to_use_when_all_stages_are_ready_for_it() -> None:
    async def work(proxy: Proxy, one: Letting, two: Letting) -> None:
        before = proxy.gateway.configuration
        proxy.use()
        two.raises = "prepare"
        now = proxy.gateway.configuration
        with pytest.raises(RuntimeError):
            proxy.use()
        assert before is not proxy.gateway.configuration is now

    assert _run(work) == [*("one prepare", "two prepare", "one use", "two use"), *("one prepare", "two prepare")]


def test_what_the_provider_does_with_an_answer_comes_first_and_each_stage_hears_it_as_it_came() -> None:
    async def work(proxy: Proxy, one: Letting, two: Letting) -> None:
        proxy.fake.handling = Whole(lambda answer: answer._replace(body=answer.body.upper()))
        got = await proxy.ask(make(), Said([b"ab"]))
        assert got.body == b"ABonetwo"
        assert one.heard == two.heard == [b"ab"]

    _run(work)


@table("holding", ["one", "two", "both"])
@table("request_line", ["GET /a", "POST /body"])
def test_a_flow_goes_out_when_every_stage_has_let_it_go(holding: str, request_line: str) -> None:
    async def work(proxy: Proxy, one: Letting, two: Letting) -> None:
        one.lets_out, two.lets_out = holding == "two", holding == "one"
        got = await proxy.ask(make(request_line, {**JSON, "Content-Length": "2"}), None, b"{}")
        assert got.status == 503
        assert json.loads(got.body)["error"]["code"] == "proxy_not_ready"

    assert "one begin_answer" not in _run(work)


def test_what_the_guard_says_is_rewritten_and_heard_by_nobody() -> None:
    async def work(proxy: Proxy, one: Letting, two: Letting) -> None:
        two.lets_out = False
        proxy.fake.handling = Whole(lambda answer: answer._replace(body=b"rewritten"))
        assert b"proxy_not_ready" in (await proxy.ask(make())).body

    assert "one hear_answer" not in _run(work)


class _Streaming:
    """An addon that streams everything."""

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        flow.request.stream = True


def test_what_a_stage_holds_is_not_streamed_whoever_wants_it() -> None:
    calls: list[str] = []
    one = Letting("one", calls)

    async def work(proxy: Proxy) -> None:
        flow = make("POST /a", {"Content-Length": str(1 << 21)})
        # Its place is between the gateway and the guard.
        proxy.addons.chain.insert(-1, _Streaming())
        sent = await proxy.send(flow, b"x")
        assert sent
        assert flow.request.stream is False

    run(work, one)


@table("method", ["GET", "HEAD"])
def test_a_result_elsewhere_is_fetched_without_a_credential_and_for_any_page(method: str) -> None:
    async def work(proxy: Proxy, one: Letting, two: Letting) -> None:
        flow = make(f"{method} /x", {**BROWSER, "Authorization": "Bearer client", "Cookie": "c"})
        sent = await proxy.send(flow)
        assert sent
        assert (sent.method, sent.url) == (method, "https://cdn.test/film.mp4?a=b")
        assert sent.values("authorization") == sent.values("cookie") == []
        assert sent.values("host") == ["cdn.test"]
        assert flow.comment == "sent to https://cdn.test, where the result is, without a credential"
        assert (await proxy.answer(flow, Said([b"film"]))).body == b"filmonetwo"

    _run(work, None, {"result": Result(CDN, "/film.mp4?a=b")})


def test_a_result_that_the_provider_has_is_fetched_like_anything_but_for_any_page() -> None:
    async def work(proxy: Proxy, one: Letting, two: Letting) -> None:
        sent = await proxy.send(make("GET /x", BROWSER))
        assert sent
        assert (sent.url, sent.values("authorization")) == ("http://provider.test:81/x", ["Bearer provider-key"])

    _run(work, {"result": Result()})


def test_of_two_results_the_first_that_is_elsewhere_counts() -> None:
    async def work(proxy: Proxy, one: Letting, two: Letting) -> None:
        sent = await proxy.send(make("GET /x", BROWSER))
        assert sent
        assert sent.url == "https://cdn.test/a"

    _run(work, {"result": Result()}, {"result": Result(CDN, "/a")})


def test_pages_of_other_sites_get_nothing_else_and_other_machines_not_even_results() -> None:
    async def work(proxy: Proxy, one: Letting, two: Letting) -> None:
        assert (await proxy.ask(make("GET /x", BROWSER))).status == 403
        one.result = Result()
        assert (await proxy.ask(make("GET /x", peer="192.0.2.7"))).status == 403

    _run(work)


def test_a_stage_that_refuses_a_flow_is_the_last_that_is_asked() -> None:
    async def work(proxy: Proxy, one: Letting, two: Letting) -> None:
        flow = make()
        got = await proxy.ask(flow)
        assert (got.status, json.loads(got.body)["error"]["code"]) == (409, "not_this")
        assert flow.comment == "refused: Not this one."

    assert _run(work, {"raises": "refusal"}) == [
        "one begin",
        "one request",
        "two request",
        "one response",
        "two response",
    ]


@pytest.mark.parametrize(
    ("hook", "headers"),
    [
        ("begin", {}),
        ("begin_answer", {}),
        ("hear_answer", {}),
        ("begin", {"anthropic-version": "2023-06-01"}),
        ("begin_answer", {"anthropic-version": "2023-06-01"}),
    ],
)
def test_where_a_stage_raises_the_client_gets_an_error_without_a_word_of_it(
    hook: str, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    async def work(proxy: Proxy, one: Letting, two: Letting) -> None:
        flow = make("GET /a", headers)
        got = await proxy.ask(flow, None if hook == "begin" else Said([b"from the provider"]))
        assert got.status == 500
        document = json.loads(got.body)
        assert "text of a body" not in str(document)
        assert document.get("type") == ("error" if headers else None)

    _run(work, {"raises": hook})

    assert "RuntimeError" in caplog.text
    assert "text of a body" not in caplog.text


def test_an_error_on_the_way_back_is_in_the_dialect_of_the_client_and_not_of_what_was_sent() -> None:
    async def work(proxy: Proxy, one: Letting, two: Letting) -> None:
        # The path alone tells that the client uses Anthropic's dialect, and the gateway rewrites it.
        proxy.fake.rewrite = lambda body, upstream: upstream._replace(target="/v1/chat/completions")
        got = await proxy.ask(make("POST /body/v1/messages", JSON), Said([b"{}"]), b"{}")
        assert got.status == 500
        assert json.loads(got.body)["type"] == "error"

    _run(work, None, {"raises": "hear_answer"})


def test_a_stage_that_raises_at_its_own_hook_holds_the_flow() -> None:
    async def work(proxy: Proxy, one: Letting, two: Letting) -> None:
        flow = make()
        with pytest.raises(RuntimeError):
            await proxy.send(flow)
        # mitmproxy continues with the next addon.
        proxy.guard.request(flow)
        assert flow.response
        assert flow.response.status_code == 503

    _run(work, {"raises": "request"})


def test_a_flow_that_came_before_a_stage_was_active_is_not_held_by_it() -> None:
    async def work(proxy: Proxy, one: Letting, two: Letting) -> None:
        two.is_active = False
        proxy.use()
        assert await proxy.send(make())
        assert one.states[-1].stages == ("one",)

    calls = _run(work)
    assert [call for call in calls if call.startswith("two")] == []


def test_a_stage_that_was_turned_off_can_be_turned_on_again() -> None:
    async def work(proxy: Proxy, one: Letting, two: Letting) -> None:
        for is_active in (False, True, False, True):
            two.is_active = is_active
            proxy.use()
            assert await proxy.send(make())
        assert one.states[-1].stages == ("one", "two")

    calls = _run(work)
    assert calls.count("one begin") == 2 * calls.count("two begin") == 4


def test_what_a_stage_has_to_say_is_logged_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def work(proxy: Proxy, one: Letting, two: Letting) -> None:
        proxy.gateway.running()
        proxy.gateway.done()

    _run(work)

    assert [
        record.message for record in caplog.records if " at http" in record.message and "one" in record.message
    ] == ["one at http://127.0.0.1:8080"]


def test_without_a_stage_an_answer_passes() -> None:
    async def work(proxy: Proxy) -> None:
        assert proxy.gateway.addons == []
        assert proxy.fake.handling is PASS
        got = await proxy.ask(make(), Said([b"film"], {"Content-Type": "video/mp4"}))
        assert (got.body, got.is_streamed) == (b"film", True)

    run(work)
