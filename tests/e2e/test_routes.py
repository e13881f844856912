"""Three providers on one port of a real mitmdump: routes, reload, recording, regular mode, replay, simulation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from mitmproxy import http
from mitmproxy.io import FlowReader

from mitm_ai_proxy.cassette import har
from mitm_ai_proxy.cassette.entry import Entry, Request, Response
from mitm_ai_proxy.commands import cassette_refresh
from tests.e2e.conftest import StartProxy
from tests.e2e.proxy import Proxy, Reply
from tests.e2e.upstream import Answer, Received, Upstream

JSON = {"Content-Type": "application/json", "Authorization": "Bearer key-of-client"}
CHAT, VIDEOS = "/v1/chat/completions", "/v1/videos"


@pytest.fixture
def upstreams(upstream: Upstream) -> Iterator[tuple[Upstream, Upstream, Upstream]]:
    """Kling's, one of a service with OpenAI's API, and one of a server of the user's own."""
    chat, local = Upstream(), Upstream()
    yield upstream, chat, local
    chat.close()
    local.close()


def _providers(kling: Upstream, chat: Upstream, local: Upstream) -> str:
    return f"""
providers:
  - {{id: kling, type: kling, apiTokens: key-of-kling, providerDomain: "http://{kling.address}"}}
  - {{id: chat, type: kilocode, apiTokens: key-of-chat, baseUrl: "http://{chat.address}/api/gateway"}}
  - {{id: local, type: ollama, ollamaServerHost: "{local.address}", apiTokens: key-of-local,
      modelMapping: {{"~^local/(.+)$": $1}}}}
"""


ROUTES = """
activeProviderId: chat
routes:
  - {path: /v1/embeddings, provider: local}
  - {model: [kling-*, sora-*], provider: kling}
  - {header: {X-Team: research}, provider: local}
  - {model: local/*, provider: local}
"""


def _ask(proxy: Proxy, model: str, path: str = CHAT, **headers: str) -> Reply:
    body = b'{"model": "%b", "prompt": "a cat"}' % model.encode()
    return proxy.request("POST", path, body, {**JSON, **headers})


def _said(request: Received) -> Answer:
    """An answer that repeats all keys, as a provider that is broken into would."""
    return Answer(body=b'{"said": "key-of-kling key-of-chat key-of-local", "code": 0, "data": {"task_id": "1"}}')


def _comments(path: Path) -> list[str]:
    with path.open("rb") as file:
        return [flow.comment for flow in FlowReader(file).stream() if isinstance(flow, http.HTTPFlow)]


def test_each_request_goes_to_the_provider_of_its_route_also_after_the_routes_changed(
    upstreams: tuple[Upstream, Upstream, Upstream], start_proxy: StartProxy, tmp_path: Path
) -> None:
    kling, chat, local = upstreams
    flows = tmp_path / "flows"
    proxy = start_proxy(_providers(*upstreams) + ROUTES, "-w", str(flows))

    assert _ask(proxy, "other").status == 200
    received = chat.next()
    assert (received.target, received.one("Authorization")) == ("/api/gateway/chat/completions", "Bearer key-of-chat")
    assert received.one("Host") == chat.address
    assert _ask(proxy, "local/tiny").status == 200
    received = local.next()
    assert (received.target, received.one("Authorization")) == (CHAT, "Bearer key-of-local")
    assert received.body == b'{"model": "tiny", "prompt": "a cat"}'
    assert _ask(proxy, "other", **{"x-team": "research"}).status == 200
    assert local.next().body == b'{"model": "other", "prompt": "a cat"}'
    video = json.loads(_ask(proxy, "sora-2", VIDEOS).body)["data"]["task_id"]
    assert kling.next().one("Authorization") == "Bearer key-of-kling"
    assert proxy.request("GET", f"{VIDEOS}/{video}", None, JSON).status == 200
    assert kling.next().target.startswith("/v1/videos/text2video/")

    listed = json.loads(proxy.request("GET", "/v1/models", None, JSON).body)["data"]
    assert {"kling-v3", "sora-2"} <= {model["id"] for model in listed}
    assert proxy.request("GET", "/v1/models?provider=local", None, JSON).status == 200
    assert local.next().target == "/v1/models"

    (proxy.folder / "config.yaml").write_text(
        _providers(*upstreams) + "routes: [{model: other, provider: local}, {model: oth*, provider: chat}]"
    )
    proxy.wait_for(r"routes\[1\] \(model oth\*\): chat")
    assert _ask(proxy, "other").status == 200
    assert local.next().target == CHAT
    refused = _ask(proxy, "sora-2")
    assert (refused.status, json.loads(refused.body)["error"]["code"]) == (404, "no_route")
    for upstream in upstreams:
        upstream.assert_untouched()

    log = proxy.close()
    comments = _comments(flows)
    assert comments[1].startswith(f"routes[3] (model local/*): local; sent to http://{local.address}: ")
    assert comments[4].startswith("the id begins with kling-t2v-: kling; sent to ")
    for key in ("key-of-kling", "key-of-chat", "key-of-local", "key-of-client"):
        assert key.encode() not in flows.read_bytes()
        assert key not in log


def test_one_cassette_records_all_providers_and_replays_them_without_a_key(
    upstreams: tuple[Upstream, Upstream, Upstream], start_proxy: StartProxy, tmp_path: Path
) -> None:
    cassette = tmp_path / "all.har"
    for upstream in upstreams:
        upstream.respond = _said
    asked = [("other", CHAT), ("local/tiny", CHAT), ("sora-2", VIDEOS)]

    proxy = start_proxy(_providers(*upstreams) + ROUTES, "--set", f"ai_record={cassette}")
    recorded = [_ask(proxy, *one) for one in asked]
    proxy.close()
    assert [reply.status for reply in recorded] == [200, 200, 200]
    text = cassette.read_text()
    assert "key-of" not in text
    for upstream in upstreams:
        assert f"http://{upstream.address}/" in text
        upstream.reset()

    config = _providers(*upstreams) + ROUTES
    for key in ("key-of-kling", "key-of-chat", "key-of-local"):
        config = config.replace(key, "'${NO_SUCH_KEY}'")
    proxy = start_proxy(config, "--set", f"ai_replay={cassette}")
    assert [_ask(proxy, *one).status for one in asked] == [200, 200, 200]
    missed = _ask(proxy, "nobody")
    assert (missed.status, json.loads(missed.body)["error"]["code"]) == (400, "not_recorded")
    for upstream in upstreams:
        upstream.assert_untouched()


def test_a_recording_of_several_providers_is_made_anew_with_each_of_them(
    upstreams: tuple[Upstream, Upstream, Upstream], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, chat, local = upstreams
    cassette, config = tmp_path / "all.har", tmp_path / "config.yaml"
    config.write_text(_providers(*upstreams) + ROUTES)
    said = Response(200, "OK", tuple(JSON.items()), b'{"said": "before"}')
    asked = [(chat, "/api/gateway/chat/completions", "key-of-chat"), (local, CHAT, "key-of-local")]
    body = b'{"model": "local/x"}'
    har.write(
        cassette,
        [
            Entry(
                1.0 + index, 2.0, Request("POST", f"http://{upstream.address}{path}", tuple(JSON.items()), body), said
            )
            for index, (upstream, path, _) in enumerate(asked)
        ],
    )
    for upstream in (chat, local):
        upstream.respond = lambda request: Answer(body=b'{"said": "anew"}')

    assert cassette_refresh.refresh(cassette, config, None, yes=True) == 0, capsys.readouterr()
    for upstream, path, key in asked:
        received = upstream.next()
        assert (received.target, received.body) == (path, body)
        assert (received.one("Host"), received.one("Authorization")) == (upstream.address, f"Bearer {key}")
    answers = [entry.response.body if entry.response else None for entry in har.read(cassette)]
    assert answers == [b'{"said": "anew"}'] * 2

    config.write_text(_providers(*upstreams) + "activeProviderId: chat")
    assert cassette_refresh.refresh(cassette, config, None, yes=True) == 1
    assert f"was recorded with http://{local.address}, and" in capsys.readouterr().err
    chat.assert_untouched()


def test_regular_mode_takes_the_hosts_of_all_providers_and_each_host_is_its_own(
    upstreams: tuple[Upstream, Upstream, Upstream], start_proxy: StartProxy
) -> None:
    kling, chat, local = upstreams
    foreign = Upstream()
    proxy = start_proxy(_providers(*upstreams) + ROUTES, "--mode", "regular")

    def ask(authority: str, model: str) -> Reply:
        return _ask(proxy, model, f"http://{authority}{CHAT}", Host=authority)

    assert ask("api.openai.com", "other").status == 200
    assert chat.next().one("Authorization") == "Bearer key-of-chat"
    assert ask("api.openai.com", "local/tiny").status == 200
    assert local.next().one("Authorization") == "Bearer key-of-local"
    # Without a route, the client's own choice counts.
    assert ask(local.address, "other").status == 200
    assert local.next().one("Authorization") == "Bearer key-of-local"
    assert proxy.request("GET", f"http://{kling.address}/tasks", None, {"Host": kling.address}).status == 200
    assert kling.next().one("Authorization") == "Bearer key-of-kling"

    assert ask(foreign.address, "local/tiny").status == 200
    assert foreign.next().one("Authorization") == "Bearer key-of-client"
    for upstream in upstreams:
        upstream.assert_untouched()
    foreign.close()


def test_a_flow_is_replayed_to_the_provider_that_it_was_for(
    upstreams: tuple[Upstream, Upstream, Upstream], start_proxy: StartProxy, tmp_path: Path
) -> None:
    _, chat, local = upstreams
    flows, again = tmp_path / "flows", tmp_path / "again"
    proxy = start_proxy(_providers(*upstreams) + ROUTES, "-w", str(flows))
    assert _ask(proxy, "local/tiny").status == 200
    first = local.next()
    proxy.close()

    # By its route it would go elsewhere now.
    config = _providers(*upstreams).replace("key-of-local", "new-key-of-local")
    config += "activeProviderId: chat\nroutes: [{model: local, provider: local}]"
    proxy = start_proxy(config, "-n", "-C", str(flows), "-w", str(again), wait=False)
    assert proxy.ended() == 0, proxy.log

    received = local.next()
    assert (received.target, received.body) == (first.target, first.body)
    assert received.one("Authorization") == "Bearer new-key-of-local"
    [comment] = _comments(again)
    assert comment.startswith(f"sent to http://{local.address} again, as a person asked, which may cost again: ")
    assert comment.endswith("; for local, as before")
    chat.assert_untouched()

    config = config.replace(local.address, "127.0.0.1:9")
    proxy = start_proxy(config, "-n", "-C", str(flows), wait=False)
    assert proxy.ended() == 0, proxy.log
    assert "rewritten for another provider" in proxy.log
    local.assert_untouched()


def test_a_simulation_answers_for_all_and_sends_nothing(
    upstreams: tuple[Upstream, Upstream, Upstream], start_proxy: StartProxy
) -> None:
    config = (_providers(*upstreams) + ROUTES).replace("apiTokens: key-of-chat, ", "")
    proxy = start_proxy(config + "simulator: {speed: instant}\n", "--set", "ai_simulate=true")

    video = json.loads(_ask(proxy, "sora-2", VIDEOS).body)["data"]["task_id"]
    task = json.loads(proxy.request("GET", f"{VIDEOS}/{video}", None, JSON).body)["data"]
    link = task["task_result"]["videos"][0]["url"]
    film = proxy.request("GET", link.removeprefix(f"http://127.0.0.1:{proxy.port}"))
    assert (film.status, film.headers["Content-Type"]) == (200, "video/mp4")

    hello = {"model": "other", "messages": [{"role": "user", "content": "hello"}]}
    said = proxy.request("POST", CHAT, json.dumps(hello).encode(), JSON)
    assert json.loads(said.body)["choices"][0]["message"]["content"] == "hello"
    refused = _ask(proxy, "other", "/v1/embeddings")
    assert (refused.status, json.loads(refused.body)["error"]["code"]) == (501, "not_simulated")
    for upstream in upstreams:
        upstream.assert_untouched()
