"""The stage of the simulator, on flows without sockets: it answers all requests, and none is sent."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from mitmproxy import exceptions
from mitmproxy.connection import ConnectionState
from mitmproxy.test import taddons

from mitm_ai_proxy import registry
from mitm_ai_proxy.cassette import har
from mitm_ai_proxy.cassette.cassette import Mode, Opening
from mitm_ai_proxy.config.file import ConfigurationError
from mitm_ai_proxy.gateway import replay_server
from mitm_ai_proxy.gateway.addon import Gateway
from mitm_ai_proxy.gateway.recorded import Recorded
from mitm_ai_proxy.gateway.simulated import Simulated
from mitm_ai_proxy.simulator.app import Simulator
from mitm_ai_proxy.wire.targets import Origin
from tests.gateway.literal import HERE, JSON, REVERSE, Proxy, make, run
from tests.tables import table

KLING = {"type": "kling", "providerDomain": "http://provider.test:81"}
INSTANT = {"speed": "instant"}
BODY = {"model": "kling-v3", "prompt": "a cat", "seconds": "5"}
PAGE = {"Sec-Fetch-Site": "cross-site"}


def _stage() -> Simulated:
    stage = Simulated()
    stage.turn(True)
    return stage


def _run(work: Any, *stages: Any, **document: Any) -> None:
    run(work, *(stages or [_stage()]), **{"provider": KLING, "simulator": INSTANT, **document})


async def _create(proxy: Proxy, mode: str = REVERSE) -> str:
    """Create a video; returns the path of its status."""
    got = await proxy.ask(make("POST /v1/videos", JSON, mode=mode), None, json.dumps(BODY).encode())
    assert got.status == 200, got.body
    return f"/v1/videos/{json.loads(got.body)['data']['task_id']}"


async def _result(proxy: Proxy, video: str, mode: str = REVERSE) -> str:
    """The link to the MP4 file of a video."""
    got = await proxy.ask(make(f"GET {video}", mode=mode))
    data = json.loads(got.body)["data"]
    assert data["task_status"] == "succeed"
    return str(data["task_result"]["videos"][0]["url"])


def test_a_job_is_answered_to_its_end_and_nothing_is_sent() -> None:
    async def work(proxy: Proxy) -> None:
        link = await _result(proxy, await _create(proxy))
        assert link.startswith(f"{HERE}/simulated/")
        film = await proxy.ask(make(f"GET {link.removeprefix(HERE)}"))
        assert (film.status, film.headers["Content-Type"]) == (200, "video/mp4")
        head = await proxy.ask(make(f"HEAD {link.removeprefix(HERE)}"))
        assert (head.body, head.headers["Content-Length"]) == (b"", str(len(film.body)))

    _run(work)


@table("text", ["lost", "truncated"])
def test_a_cut_closes_the_connection(text: str) -> None:
    async def work(proxy: Proxy) -> None:
        flow = make("POST /v1/videos", JSON)
        body = json.dumps({**BODY, "prompt": f"a cat [simulate: {text}]"}).encode()
        assert await proxy.send(flow, body) is None
        assert flow.response is None
        assert flow.error
        assert flow.error.msg == "Connection killed."

    _run(work)


def test_an_answer_that_is_stuck_ends_when_its_client_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_server, "_LOOK", 0.001)

    async def work(proxy: Proxy) -> None:
        flow = make("POST /v1/chat/completions", JSON)
        flow.client_conn.state = ConnectionState.CAN_WRITE
        text = "hello [simulate: stuck]"
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
        assert await asyncio.wait_for(proxy.send(flow, body), 10) is None
        assert flow.error
        assert flow.error.msg == "Connection killed."

    _run(work, provider={"type": "openai", "providerDomain": "http://provider.test:81"})


def test_a_simulator_that_raises_leaves_the_flow_to_the_guard(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> Any:
        raise ValueError("text of a body")

    monkeypatch.setattr(Simulator, "__call__", broken)

    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(make("POST /v1/videos", JSON), None, json.dumps(BODY).encode())
        assert (got.status, json.loads(got.body)["error"]["code"]) == (503, "proxy_not_ready")

    _run(work)

    assert "ValueError in the simulator; POST /v1/videos/text2video was stopped." in caplog.text
    assert "text of a body" not in caplog.text


@table(
    ("target", "status"),
    [
        ("/v1/videos/\udcff1", 400),
        ("/v1/videos/%ff1", 400),
        ("/v1/videos/text2video/\udcff", 400),
        ("/v1/videos/text2video?pageNum=\udcff", 400),
        ("/v1/videos/text2video?x=\udcff", 200),
        ("/v1/videos/text2video?x=%ff", 200),
        ("/v1/\udcff", 404),
    ],
)
def test_a_target_that_is_no_utf_8_is_answered_as_kling_would(target: str, status: int) -> None:
    async def work(proxy: Proxy) -> None:
        assert (await proxy.ask(make(f"GET {target}"))).status == status

    _run(work)


def test_a_simulator_that_raises_leaves_no_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Any:
        raise ValueError

    monkeypatch.setattr(Simulator, "__call__", broken)
    recorded = Recorded()
    recorded.insert(Opening(tmp_path / "a.har", Mode.APPEND))

    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(make("POST /v1/videos", JSON), None, json.dumps(BODY).encode())
        assert got.status == 503
        assert recorded.cassette
        assert recorded.cassette.recorded == ()

    _run(work, recorded, _stage())


@table("base", ["", "/base", "/ba/se"])
def test_the_providers_base_path_is_not_the_simulators(base: str) -> None:
    async def work(proxy: Proxy) -> None:
        flow = make("POST /v1/videos", JSON)
        got = await proxy.ask(flow, None, json.dumps(BODY).encode())
        assert got.status == 200
        assert flow.request.path == f"{base}/v1/videos/text2video"

    _run(work, provider={**KLING, "providerBasePath": base})


def test_what_only_begins_like_the_base_path_stays() -> None:
    async def work(proxy: Proxy) -> None:
        # The gateway adds providerBasePath, so that the path has it twice; the stage removes one.
        got = await proxy.ask(make("GET /based/v1/videos/text2video"))
        assert got.status == 404

    _run(work, provider={**KLING, "providerBasePath": "/base"})


def test_pages_of_other_sites_may_show_results_and_nothing_else() -> None:
    async def work(proxy: Proxy) -> None:
        video = await _create(proxy)
        path = (await _result(proxy, video)).removeprefix(HERE)
        assert (await proxy.ask(make(f"GET {path}", PAGE))).status == 200
        assert (await proxy.ask(make(f"GET {video}", PAGE))).status == 403
        assert (await proxy.ask(make(f"GET /v1{path}", PAGE))).status == 403

    _run(work)


def test_where_clients_name_the_host_links_lead_to_that_host() -> None:
    async def work(proxy: Proxy) -> None:
        link = await _result(proxy, await _create(proxy, "regular"), "regular")
        assert link.startswith("http://api.openai.com/simulated/")

    _run(work)


def test_a_simulation_that_is_recorded_has_the_providers_links_in_the_cassette_and_the_proxys_at_the_client(
    tmp_path: Path,
) -> None:
    recorded, path = Recorded(), tmp_path / "a.har"
    recorded.insert(Opening(path, Mode.APPEND))

    async def work(proxy: Proxy) -> None:
        video = await _create(proxy)
        link = await _result(proxy, video)
        assert link.startswith(f"{HERE}/simulated/")
        assert (await proxy.ask(make(f"GET {link.removeprefix(HERE)}", PAGE))).status == 200

    _run(work, recorded, _stage())

    create, *_, film = har.read(path)
    assert (create.request.method, film.request.method) == ("POST", "GET")
    assert urlsplit(film.request.url)[:2] == ("http", "provider.test:81")
    texts = [entry.response.body.decode("utf-8", "replace") for entry in har.read(path) if entry.response]
    assert any("http://provider.test:81/simulated/" in text for text in texts)
    assert not any(HERE in text for text in texts)


def test_while_it_is_turned_off_requests_go_out() -> None:
    stage = _stage()

    async def work(proxy: Proxy) -> None:
        assert proxy.gateway.providers
        own = proxy.gateway.providers.secrets
        stage.turn(False)
        proxy.use(provider={**KLING, "apiTokens": ["provider-key"]})
        sent = await proxy.send(make("GET /v1/videos/kling-t2v-1"))
        assert sent
        assert sent.values("authorization") == ["Bearer provider-key"]
        assert "provider-key" not in own

    _run(work, stage)


def test_a_request_is_answered_in_a_thread_with_its_path_and_query_as_they_came(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, str, str, bytes, bool]] = []

    def noted(self: Simulator, environ: dict[str, Any], start: Any) -> Any:
        body = environ["wsgi.input"].read()
        in_thread = threading.current_thread() is not threading.main_thread()
        asked.append((environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"], body, in_thread))
        start("299 Odd", [("X-A", "1"), ("X-A", "\xe4")])
        return [b"a", b"b"]

    monkeypatch.setattr(Simulator, "__call__", noted)

    async def work(proxy: Proxy) -> None:
        flow = make("POST /a%20b?c=%2F&d", {"Content-Encoding": "gzip"})
        got = await proxy.ask(flow, None, b"\x00\xff")
        assert (got.status, got.body) == (299, b"ab")
        assert got.headers.fields == ((b"X-A", b"1"), (b"X-A", b"\xe4"))

    _run(work)

    assert asked == [("POST", "/a b", "c=%2F&d", b"\x00\xff", True)]


def test_another_configuration_keeps_the_tasks() -> None:
    stage = _stage()

    async def work(proxy: Proxy) -> None:
        video = await _create(proxy)
        proxy.use(provider=KLING, simulator={"speed": 3})
        assert stage.simulator
        assert stage.simulator.settings.speed == 3
        assert (await proxy.ask(make(f"GET {video}"))).status == 200
        stage.turn(True)
        proxy.use(provider=KLING, simulator=INSTANT)
        assert (await proxy.ask(make(f"GET {video}"))).status == 400

    _run(work, stage)


def test_a_refused_configuration_leaves_the_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.TYPES["fake"], "simulated_by", "")
    stage = _stage()

    async def work(proxy: Proxy) -> None:
        before, settings = dict(vars(stage)), stage.simulator and stage.simulator.settings
        with pytest.raises(
            ConfigurationError, match=r"ai_simulate: the simulator does not know the types in use \(fake\)"
        ):
            proxy.use(simulator={"speed": 3})
        assert (vars(stage), stage.simulator and stage.simulator.settings) == (before, settings)

    _run(work, stage)


# The option


@pytest.mark.parametrize(
    ("value", "is_active", "complaint"),
    [
        ("true", True, ""),
        (" TRUE ", True, ""),
        ("false", False, ""),
        ("False", False, ""),
        ("yes", False, "ai_simulate takes true or false."),
        ("", False, "ai_simulate takes true or false."),
        ("1", False, "ai_simulate takes true or false."),
    ],
)
def test_the_option_turns_it_on(
    value: str, is_active: bool, complaint: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("provider: {type: kling, apiTokens: [t]}")

    async def test() -> None:
        stage = Simulated()
        with taddons.context(Gateway([stage])) as context:
            context.options.update(ai_config=str(config), ai_simulate=value)
            assert stage.is_active == is_active
            assert (stage.simulator is not None) == is_active
            assert not stage.is_offline

    asyncio.run(test())

    errors = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert errors == ([f"ai-proxy: {complaint}"] if complaint else [])


@pytest.mark.parametrize(("value", "is_refused"), [("false", True), ("odd", True), ("True", False), (" true", False)])
def test_the_option_cannot_be_changed_while_the_proxy_runs(value: str, is_refused: bool, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("provider: {type: kling, apiTokens: [t]}")

    async def test() -> None:
        stage = Simulated()
        with taddons.context(Gateway([stage])) as context:
            context.options.update(ai_config=str(config), ai_simulate="true")
            simulator = stage.simulator
            if is_refused:
                with pytest.raises(exceptions.OptionsError, match="can only be set at the start"):
                    context.options.update(ai_simulate=value)
            else:
                context.options.update(ai_simulate=value)
            assert stage.is_active
            assert stage.simulator is simulator

    asyncio.run(test())


@table(("tokens", "reason"), [([], "no credential found"), (["provider-key"], "ai_simulate is set")])
def test_the_banner_says_why_and_what_to_try(tokens: list[str], reason: str) -> None:
    configuration = registry.read({"provider": {**KLING, "apiTokens": tokens}}, simulated=True)

    text = _stage().banner(configuration, Origin("http", "127.0.0.1", 8080))

    first, second = text.splitlines()
    assert first == f"SIMULATED: {reason}, nothing is sent, nothing is paid"
    assert second.startswith("  curl http://127.0.0.1:8080/v1/videos -H 'Content-Type: application/json' -d '{")
    assert json.loads(second.rpartition("-d ")[2].strip("'"))["model"] == "sora-2"
