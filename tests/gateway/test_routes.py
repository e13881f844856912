"""Several providers behind one gateway: each flow goes to the one that its route names, and to no other."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.proxy.layers.http._hooks import HttpRequestHeadersHook, HttpRequestHook

from mitm_ai_proxy.cassette import har
from mitm_ai_proxy.cassette.cassette import Mode, Opening
from mitm_ai_proxy.gateway import flows, sealed
from mitm_ai_proxy.gateway.recorded import Recorded
from mitm_ai_proxy.gateway.simulated import Simulated
from mitm_ai_proxy.gateway.stages import Stage
from tests.gateway.literal import HERE, JSON, Got, Proxy, Said, Sent, make, run
from tests.tables import table

ONE, TWO, KLING = "http://one.test:81", "http://two.test:82", "http://kling.test:83"
PROVIDERS = [
    {"id": "one", "type": "fake", "providerDomain": ONE, "apiTokens": "key-of-one"},
    {"id": "two", "type": "openai", "providerDomain": TWO, "apiTokens": "key-of-two"},
    {"id": "kling", "type": "kling", "providerDomain": KLING, "apiTokens": "key-of-kling"},
]
ROUTES: list[dict[str, Any]] = [
    {"model": ["kling-*", "sora-*"], "provider": "kling"},
    {"path": "/body", "provider": "one"},
    {"model": "two-*", "provider": "two"},
]
ACTIVE = "one"
CHAT = "POST /v1/chat/completions"


def _run(work: Any, *stages: Stage, **document: Any) -> None:
    whole = {"provider": None, "providers": PROVIDERS, "routes": ROUTES, "activeProviderId": ACTIVE, **document}
    run(work, *stages, **whole)


def _asking(model: str) -> bytes:
    return json.dumps({"prompt": "a cat", "model": model}).encode()


def _make(request: str, model: str = "", headers: dict[str, str] | None = None) -> http.HTTPFlow:
    length = {"Content-Length": str(len(_asking(model)))} if model else {}
    return make(request, {**JSON, "Authorization": "Bearer key-of-client", **length, **(headers or {})})


async def _sent(proxy: Proxy, request: str, model: str = "", headers: dict[str, str] | None = None) -> tuple[Sent, str]:
    """A request as it is sent, and its comment."""
    flow = _make(request, model, headers)
    sent = await proxy.send(flow, _asking(model) if model else b"")
    assert sent
    return sent, flow.comment


def _code(got: Got) -> tuple[int, str]:
    return got.status, json.loads(got.body)["error"]["code"]


@table(
    ("request_line", "model", "url", "key", "note"),
    [
        (CHAT, "two-a", f"{TWO}/v1/chat/completions", "key-of-two", "routes[2] (model two-*): two"),
        (CHAT, "other", f"{ONE}/v1/chat/completions", "key-of-one", "activeProviderId: one"),
        ("POST /body", "two-a", f"{ONE}/body", "key-of-one", "routes[1] (path /body): one"),
        (
            "POST /v1/videos",
            "sora-2",
            f"{KLING}/v1/videos/text2video",
            "key-of-kling",
            "routes[0] (model sora-*): kling",
        ),
        (
            "GET /v1/videos/kling-i2v-1",
            "",
            f"{KLING}/v1/videos/image2video/1",
            "key-of-kling",
            "the id begins with kling-i2v-: kling",
        ),
        ("GET /v1/files", "", f"{ONE}/v1/files", "key-of-one", "activeProviderId: one"),
        (
            "GET /v1/realtime?model=two-r",
            "",
            f"{TWO}/v1/realtime?model=two-r",
            "key-of-two",
            "routes[2] (model two-*): two",
        ),
        ("GET /v1/models?provider=two", "", f"{TWO}/v1/models", "key-of-two", "provider=two in the query: two"),
    ],
)
def test_a_flow_goes_to_its_provider_with_its_key_and_says_first_why(
    request_line: str, model: str, url: str, key: str, note: str
) -> None:
    async def work(proxy: Proxy) -> None:
        sent, comment = await _sent(proxy, request_line, model)
        assert (sent.url, sent.values("authorization")) == (url, [f"Bearer {key}"])
        assert sent.values("host") == [url.split("/")[2]]
        assert comment.split("; ")[:2] == [note, comment.split("; ")[1]]
        assert comment.split("; ")[1].startswith(f"sent to {url[: len(ONE)]}")

    _run(work)


def test_a_body_that_only_routes_look_at_leaves_as_it_came() -> None:
    async def work(proxy: Proxy) -> None:
        body = b' {"n": 1.50, "model" :"two-a","x":[\n1 ]}'
        flow = make(CHAT, {**JSON, "Content-Length": str(len(body))})
        sent = await proxy.send(flow, body)
        assert sent
        assert (sent.body, sent.values("content-length")) == (body, [str(len(body))])

    _run(work)


@table(
    ("keys", "expected"),
    [
        ({"apiTokens": "key-of-one"}, "Bearer key-of-one"),
        # It may be meant for another of them.
        ({}, ""),
        ({"sendClientKey": False}, ""),
        ({"sendClientKey": True}, "Bearer key-of-client"),
    ],
)
@table("kind", ["fake", "openai", "ollama"])
@table("is_held", [True, False])
def test_of_several_providers_only_one_that_asks_for_it_gets_the_clients_key(
    keys: dict[str, Any], expected: str, kind: str, is_held: bool
) -> None:
    one = {"id": "one", "type": kind, "providerDomain": ONE, **keys}
    is_sent = "sendClientKey" in keys and keys["sendClientKey"]

    async def work(proxy: Proxy) -> None:
        request, model = (CHAT, "other") if is_held else ("GET /own?api_key=key-of-client", "")
        more = {} if is_sent else {"X-Api-Key": "key-of-client"}
        if is_held:
            flow = _make(request, model, more)
            flow.request.data.content = None
            await proxy.hook(HttpRequestHeadersHook(flow))
            assert ("key-of-client" in str(sealed.fields_of(flow))) is is_sent
            assert "key-of-client" not in str(flow.get_state())
            assert (flow.request.port, flow.request.stream) == (0, False)
        sent, comment = await _sent(proxy, request, model, more)
        assert sent.values("authorization") == ([expected] if expected else [])
        assert is_sent or "key-of-client" not in str(sent)
        assert ("without a credential" in comment) is (not expected)
        # It is never sent to a provider with a key of its own.
        sent, _ = await _sent(proxy, CHAT, "two-a")
        assert sent.values("authorization") == ["Bearer key-of-two"]

    _run(work, providers=[one, *PROVIDERS[1:]])


@table(
    ("request_line", "content_type", "streams"),
    [
        ("POST /v1/files", "multipart/form-data; boundary=b", True),
        ("POST /v1/uploads", "video/mp4", True),
        ("POST /v1/uploads", "multipart/form-data; boundary=b", False),
        (CHAT, "application/json", False),
    ],
)
def test_a_long_body_passes_as_it_comes_unless_its_model_decides(
    request_line: str, content_type: str, streams: bool
) -> None:
    async def work(proxy: Proxy) -> None:
        flow = make(request_line, {"Content-Type": content_type, "Content-Length": str(1 << 22)})
        flow.request.data.content = None
        await proxy.hook(HttpRequestHeadersHook(flow))
        assert flow.request.stream is streams

    _run(work, routes=[{"path": "/v1/files", "provider": "two"}, *ROUTES])


def test_a_flow_keeps_the_routes_with_which_it_began() -> None:
    async def work(proxy: Proxy) -> None:
        flow = _make(CHAT, "two-a")
        flow.request.data.content = None
        await proxy.hook(HttpRequestHeadersHook(flow))
        proxy.use(provider=None, providers=PROVIDERS, routes=[{"model": "two-*", "provider": "kling"}])
        flow.request.data.content = _asking("two-a")
        await proxy.hook(HttpRequestHook(flow))
        assert flow.request.url.startswith(TWO)

    _run(work)


@table(
    ("headers", "body", "expected"),
    [
        ({}, b"{", (400, "invalid_body")),
        ({}, _asking("nobody"), (404, "no_route")),
        ({"Content-Encoding": "gzip"}, b"no gzip", (400, "invalid_body")),
    ],
)
def test_what_no_route_takes_is_answered_here(headers: dict[str, str], body: bytes, expected: tuple[int, str]) -> None:
    async def work(proxy: Proxy) -> None:
        flow = make(
            CHAT, {**JSON, "Authorization": "Bearer key-of-client", "Content-Length": str(len(body)), **headers}
        )
        assert _code(await proxy.ask(flow, None, body)) == expected
        assert "key-of-client" not in str(flow.request.headers.fields)
        assert flow.comment.startswith("refused: ")
        # As the client asked for it, for mitmproxy to show.
        assert flow.request.url == "http://api.openai.com/v1/chat/completions"

    _run(work, activeProviderId=None)


def test_without_routes_the_active_provider_has_all_requests() -> None:
    async def work(proxy: Proxy) -> None:
        sent, _ = await _sent(proxy, CHAT, "other")
        assert sent.url == f"{ONE}/v1/chat/completions"

    _run(work, routes=None)


def test_a_refusal_is_in_the_dialect_of_the_client() -> None:
    async def work(proxy: Proxy) -> None:
        flow = _make("POST /v1/messages", "nobody", {"anthropic-version": "2023-06-01"})
        got = await proxy.ask(flow, None, _asking("nobody"))
        document = json.loads(got.body)
        assert (document["type"], document["error"]["type"]) == ("error", "not_found_error")
        assert "No route takes the model 'nobody'" in document["error"]["message"]

    _run(work, activeProviderId=None)


def test_the_list_of_models_is_answered_here() -> None:
    async def work(proxy: Proxy) -> None:
        flow = _make("GET /v1/models")
        got = await proxy.ask(flow)
        assert (got.status, got.headers["content-type"]) == (200, "application/json")
        assert {"id": "sora-2", "object": "model", "created": 0, "owned_by": "kling"} in json.loads(got.body)["data"]
        assert flow.comment == "answered here: the models of the routes"
        assert "key-of-client" not in str(flow.request.headers.fields)
        assert (await proxy.ask(_make("HEAD /v1/models"))).body == b""

    _run(work)
    _run(work, Simulated())


def test_pages_that_may_use_the_proxy_may_read_the_list() -> None:
    async def work(proxy: Proxy) -> None:
        page = {"Origin": "https://app.test", "Sec-Fetch-Site": "cross-site"}
        got = await proxy.ask(make("GET /v1/models", page))
        assert got.headers["access-control-allow-origin"] == "https://app.test"
        assert (await proxy.ask(make("GET /v1/models", {**page, "Origin": "https://other.test"}))).status == 403

    _run(work, allowedOrigins=["https://app.test"])


# Replayed flows


def _again(request: str, origin: str, name: str | None) -> http.HTTPFlow:
    flow = make(request)
    scheme, _, address = origin.partition("://")
    host, _, port = address.partition(":")
    flow.request.scheme, flow.request.host, flow.request.port = scheme, host, int(port)
    flow.is_replay = "request"
    mark: dict[str, Any] = {"memo": {}}
    flow.metadata[flows.MARK] = mark if name is None else {**mark, "provider": name}
    return flow


@table(
    ("origin", "name", "key"),
    [
        (TWO, "two", "key-of-two"),
        (TWO, None, "key-of-two"),
        (ONE, "two", "key-of-one"),
        (KLING, "kling", "key-of-kling"),
        # Two accounts at one host.
        (TWO, "three", "key-of-three"),
    ],
)
def test_a_flow_is_replayed_to_the_provider_that_it_was_rewritten_for(origin: str, name: str | None, key: str) -> None:
    async def work(proxy: Proxy) -> None:
        flow = _again("GET /x", origin, name)
        sent = await proxy.send(flow)
        assert sent
        assert (sent.url, sent.values("authorization")) == (f"{origin}/x", [f"Bearer {key}"])
        assert "again, as a person asked" in flow.comment

    third = {**PROVIDERS[1], "id": "three", "apiTokens": "key-of-three"}
    _run(work, providers=[*PROVIDERS, third], routes=[*ROUTES, {"model": "three", "provider": "three"}])


def test_a_flow_of_another_configuration_is_not_replayed() -> None:
    async def work(proxy: Proxy) -> None:
        assert _code(await proxy.ask(_again("GET /x", "http://three.test:84", "one"))) == (400, "provider_changed")

    _run(work)


@table("word", ["simulated", "replayed"])
def test_what_cost_nothing_is_not_sent_where_it_would_cost_now(word: str) -> None:
    async def work(proxy: Proxy) -> None:
        flow = _again("POST /x", ONE, "one")
        flow.metadata[flows.LISTED] = {"words": ["rewritten", word]}
        assert _code(await proxy.ask(flow)) == (409, "was_not_sent")

    _run(work)


def test_a_sent_flow_can_be_replayed() -> None:
    async def work(proxy: Proxy) -> None:
        flow = _make(CHAT, "two-a")
        await proxy.ask(flow, Said(), _asking("two-a"))
        assert flow.metadata[flows.MARK]["provider"] == "two"

    _run(work)


# Stages


def _cassette(path: Path, mode: Mode) -> Recorded:
    stage = Recorded()
    stage.insert(Opening(path, mode))
    return stage


ASKED = ((CHAT, "two-a"), (CHAT, "other"), ("POST /v1/videos", "sora-2"))


def test_one_cassette_holds_what_all_providers_said_without_a_secret_of_any(tmp_path: Path) -> None:
    path = tmp_path / "a.har"
    said = b'{"keys": "key-of-one key-of-two key-of-kling", "code": 0, "data": {"task_id": "1"}}'

    async def record(proxy: Proxy) -> None:
        for request, model in ASKED:
            await proxy.ask(_make(request, model), Said([said]), _asking(model))

    _run(record, _cassette(path, Mode.APPEND))

    assert [entry.request.url.split("/v1")[0] for entry in har.read(path)] == [TWO, ONE, KLING]
    assert "key-of" not in path.read_text()

    async def replay(proxy: Proxy) -> None:
        for request, model in ASKED:
            flow = _make(request, model)
            got = await proxy.ask(flow, None, _asking(model))
            assert got.status == 200
            assert "replayed, would have been sent to http://" in flow.comment

    without_keys = [{name: value for name, value in block.items() if name != "apiTokens"} for block in PROVIDERS]
    _run(replay, _cassette(path, Mode.NONE), providers=without_keys)


def test_a_link_to_the_api_of_another_provider_gets_the_key_of_that_one(tmp_path: Path) -> None:
    link = f"{TWO}/v1/files/7"

    async def work(proxy: Proxy) -> None:
        flow = _make(CHAT, "other")
        got = await proxy.ask(flow, Said([json.dumps({"url": link}).encode()]), _asking("other"))
        here = json.loads(got.body)["url"]
        assert here.startswith(f"{HERE}/linked/http/two.test:82/")
        sent, _ = await _sent(proxy, f"GET {here.removeprefix(HERE)}")
        assert (sent.url, sent.values("authorization")) == (link, ["Bearer key-of-two"])

    _run(work, _cassette(tmp_path / "a.har", Mode.APPEND))


@table(
    ("link", "there"),
    [
        ("/v1/videos/kling-t2v-1", f"{KLING}/v1/videos/kling-t2v-1"),
        ("/v1/files/7", f"{ONE}/v1/files/7"),
        ("/simulated/a.png?b=c", f"{KLING}/simulated/a.png?b=c"),
        ("/linked/https/cdn.test/a.png", "https://cdn.test/a.png"),
    ],
)
def test_a_link_through_the_proxy_leads_a_provider_to_where_it_is(link: str, there: str, tmp_path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        body = json.dumps({"model": "two-a", "image": f"{HERE}{link}"}).encode()
        flow = make(CHAT, {**JSON, "Content-Length": str(len(body))})
        sent = await proxy.send(flow, body)
        assert sent
        assert json.loads(sent.body)["image"] == there

    _run(work, _cassette(tmp_path / f"{hash(link)}.har", Mode.APPEND))


def _simulating() -> Simulated:
    stage = Simulated()
    stage.turn(True)
    return stage


@pytest.mark.parametrize("records", [False, True])
def test_of_several_providers_those_that_can_be_are_simulated_and_nothing_is_sent_to_the_others(
    records: bool, tmp_path: Path
) -> None:
    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(_make("POST /v1/videos", "sora-2"), None, _asking("sora-2"))
        assert got.status == 200
        video = json.loads(got.body)["data"]["task_id"]
        got = await proxy.ask(make(f"GET /v1/videos/{video}"))
        link = json.loads(got.body)["data"]["task_result"]["videos"][0]["url"]
        assert link.startswith(f"{HERE}/simulated/")
        assert (await proxy.ask(make(f"GET {link.removeprefix(HERE)}"))).headers["content-type"] == "video/mp4"

        flow = _make(CHAT, "two-a")
        body = json.dumps({"model": "two-a", "messages": [{"role": "user", "content": "hello"}]}).encode()
        assert b'"content":"hello"' in (await proxy.ask(flow, None, body)).body
        assert flow.comment.startswith(
            "routes[2] (model two-*): two; simulated, would have been sent to http://two.test"
        )

        flow = _make("POST /v1/embeddings", "two-a")
        assert _code(await proxy.ask(flow, None, _asking("two-a"))) == (501, "not_simulated")
        assert flow.comment.startswith("routes[2] (model two-*): two; would have been sent to http://two.test:82")
        assert "of two (type openai) the simulator has chats" in flow.comment

    path = tmp_path / "a.har"
    stages = [*([_cassette(path, Mode.APPEND)] if records else ()), _simulating()]
    _run(work, *stages, simulator={"speed": "instant"})
    if records:
        places = [entry.request.url[: len(KLING)] for entry in har.read(path)]
        assert places == [*[KLING] * 3, f"{TWO}/v"]


def test_routes_that_are_never_reached_are_a_warning_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def work(proxy: Proxy) -> None:
        pass

    _run(work, routes=[{"model": "a*", "provider": "one"}, {"model": "ab", "provider": "two"}])

    lines = [record for record in caplog.records if record.message.startswith("ai-proxy: config.yaml: ")]
    assert [(record.levelname, record.message.removeprefix("ai-proxy: config.yaml: ")) for record in lines] == [
        ("INFO", f"provider one (fake) at {ONE}, where no route matches"),
        ("INFO", f"provider two (openai) at {TWO}"),
        ("INFO", "routes[0] (model a*): one"),
        ("INFO", "routes[1] (model ab): two"),
        ("WARNING", "routes[1] is never reached: routes[0] takes all that it would"),
    ]
