"""The addon's hooks and options, on flows without sockets, such as those of clients on other machines."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import exceptions, http
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.proxy import mode_specs
from mitmproxy.test import taddons, tflow

from mitm_ai_proxy import registry
from mitm_ai_proxy.auth.header import REDACTED
from mitm_ai_proxy.cassette.cassette import Mode, Opening
from mitm_ai_proxy.edges import watch
from mitm_ai_proxy.gateway import sealed
from mitm_ai_proxy.gateway.addon import Gateway
from mitm_ai_proxy.gateway.recorded import Recorded
from mitm_ai_proxy.gateway.simulated import Simulated
from mitm_ai_proxy.gateway.stages import StageError
from mitm_ai_proxy.pipeline import BODY_LIMIT

PACKAGE_LOGGER = logging.getLogger("mitm_ai_proxy")
CONFIG = "provider: {type: kling, apiTokens: [t], providerDomain: 'http://provider.test:81'}"


def _flow(mode: str, peer: str, path: str = "/v1/videos/1", method: str = "GET") -> http.HTTPFlow:
    flow = tflow.tflow(req=http.Request.make(method, f"http://api.openai.com{path}"))
    flow.client_conn.proxy_mode = mode_specs.ProxyMode.parse(mode)
    flow.client_conn.peername = (peer, 50000)
    return flow


def _in_context(folder: Path, work: Callable[[Gateway, Any], Awaitable[None]], **options: Any) -> None:
    """Run `work(gateway, context)` with the addon loaded and configured."""

    async def run() -> None:
        config = folder / "config.yaml"
        config.write_text(CONFIG)
        gateway = Gateway([Recorded(), Simulated()])
        with taddons.context(Proxyserver(), gateway) as context:
            context.configure(gateway, ai_config=str(config), **options)
            await work(gateway, context)

    asyncio.run(run())


@pytest.mark.parametrize("path", ["/v1/videos/1", "/v1/videos"])
def test_a_stranger_is_refused_before_anything_is_set(path: str, tmp_path: Path) -> None:
    async def work(gateway: Gateway, context: taddons.context) -> None:
        flow = _flow("regular", "192.0.2.7", path, "POST")
        gateway.requestheaders(flow)
        assert flow.response is not None
        assert flow.response.status_code == 403
        assert json.loads(flow.response.content or b"")["error"]["type"] == "permission_error"
        assert "Authorization" not in flow.request.headers
        assert flow.request.host == "api.openai.com"

    _in_context(tmp_path, work)


def test_hosts_that_are_not_listed_are_not_touched(tmp_path: Path) -> None:
    async def work(gateway: Gateway, context: taddons.context) -> None:
        flow = _flow("regular", "192.0.2.7")
        flow.request.host = "foreign.test"
        before = flow.get_state()
        gateway.requestheaders(flow)
        gateway.request(flow)
        assert flow.get_state() == before

    _in_context(tmp_path, work)


def test_a_bad_configuration_at_run_time_is_refused_and_rolled_back(tmp_path: Path) -> None:
    async def work(gateway: Gateway, context: taddons.context) -> None:
        good = context.options.ai_config
        bad = tmp_path / "bad.yaml"
        bad.write_text("provider: {type: kling, klingAccessKey: x}")
        with pytest.raises(exceptions.OptionsError, match=r"provider\.klingSecretKey: is missing"):
            context.options.update(ai_config=str(bad))
        assert context.options.ai_config == good
        flow = _flow("regular", "127.0.0.1")
        gateway.requestheaders(flow)
        assert flow.request.host == "provider.test"

    _in_context(tmp_path, work)


def _state(gateway: Gateway) -> list[dict[str, Any]]:
    """The attributes of the gateway and its stages, without the file watcher's."""
    recorded, simulated = gateway.stages
    assert isinstance(simulated, Simulated)
    parts = (gateway, recorded, simulated.simulator)
    return [{name: value for name, value in vars(part).items() if name != "_watch"} for part in parts]


class _Signal(logging.Handler):
    """Sets an event when a message with a text is logged."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text, self.has_come = text, asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if self._text in record.getMessage():
            self.has_come.set()


async def _logged(text: str, act: Callable[[], object]) -> None:
    """Do something, and wait until the addon logs a text."""
    signal = _Signal(text)
    PACKAGE_LOGGER.addHandler(signal)
    try:
        act()
        await asyncio.wait_for(signal.has_come.wait(), 20)
    finally:
        PACKAGE_LOGGER.removeHandler(signal)


@pytest.mark.parametrize(
    "refused",
    [
        "provider: {type: openai}\ncassette: {pace: real}\nsimulator: {speed: 3}\nscrub: a\nhosts: [b]",
        "provider: {type: kling}\ncassette: {pace: odd}\nsimulator: {speed: 3}",
        "provider: {type: kling}\ncassette: {pace: real}\nsimulator: {speed: odd}",
        "provider: {type: klong}\ncassette: {pace: real}\nsimulator: {speed: 3}",
    ],
)
def test_a_refused_configuration_changes_nothing(
    refused: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(registry.TYPES["openai"], "simulated_by", "")
    monkeypatch.setattr(watch, "INTERVAL", 0.01)
    caplog.set_level(logging.INFO, PACKAGE_LOGGER.name)

    async def work(gateway: Gateway, context: taddons.context) -> None:
        path = tmp_path / "config.yaml"
        gateway.running()
        before = _state(gateway)
        await _logged("the old configuration stays", lambda: path.write_text(refused))
        assert _state(gateway) == before
        good = f"{CONFIG}\ncassette: {{pace: real}}\nsimulator: {{speed: 3}}"
        await _logged("provider kling", lambda: path.write_text(good))
        assert all(now != then for now, then in zip(_state(gateway), before, strict=True))
        gateway.done()

    _in_context(tmp_path, work, ai_simulate="true", ai_record=str(tmp_path / "a.har"))


def test_a_cassette_that_cannot_be_opened_leaves_the_settings_as_they_were(tmp_path: Path) -> None:
    async def work(gateway: Gateway, context: taddons.context) -> None:
        other = registry.read(f"{CONFIG}\ncassette: {{pace: real}}\nsimulator: {{speed: 3}}")
        missing = Opening(tmp_path / "missing.har", Mode.NONE)
        recorded = gateway.stages[0]
        assert isinstance(recorded, Recorded)
        recorded.insert(missing)
        before = _state(gateway)
        with pytest.raises(StageError):
            gateway.use(other)
        assert _state(gateway) == before

    _in_context(tmp_path, work, ai_simulate="true", ai_record=str(tmp_path / "a.har"))


def test_a_configuration_can_be_handed_over(tmp_path: Path) -> None:
    async def work(gateway: Gateway, context: taddons.context) -> None:
        gateway.use(registry.read({"provider": {"type": "openai", "providerDomain": "other.test"}}))
        flow = _flow("regular", "127.0.0.1")
        gateway.requestheaders(flow)
        assert flow.request.host == "other.test"

    _in_context(tmp_path, work)


def test_a_held_request_points_nowhere_until_its_body_is_rewritten(tmp_path: Path) -> None:
    async def work(gateway: Gateway, context: taddons.context) -> None:
        flow = _flow("regular", "127.0.0.1", "/v1/videos", "POST")
        flow.request.content = b'{"model":"m"}'
        gateway.requestheaders(flow)
        assert flow.request.port == 0
        assert "Authorization" not in flow.request.headers
        gateway.request(flow)
        assert flow.request.url == "http://provider.test:81/v1/videos/text2video"
        assert sealed.sent(flow).headers["Authorization"] == "Bearer t"
        assert flow.request.headers["Authorization"] == REDACTED

    _in_context(tmp_path, work)


def test_a_refused_request_is_shown_with_the_host_it_would_have_gone_to(tmp_path: Path) -> None:
    async def work(gateway: Gateway, context: taddons.context) -> None:
        flow = _flow("regular", "127.0.0.1", "/v1/videos", "POST")
        flow.request.content = b'{"model":3}'
        gateway.requestheaders(flow)
        gateway.request(flow)
        assert flow.response is not None
        assert flow.response.status_code == 400
        assert flow.request.url == "http://provider.test:81/v1/videos"

    _in_context(tmp_path, work)


@pytest.mark.parametrize("body", [b'{"model":"m"}', b"{}"])
def test_a_request_that_came_over_http_2_has_a_length_and_no_second_host(body: bytes, tmp_path: Path) -> None:
    async def work(gateway: Gateway, context: taddons.context) -> None:
        flow = _flow("regular", "127.0.0.1", "/v1/videos", "POST")
        flow.request.http_version = "HTTP/2.0"
        flow.request.authority = "api.openai.com"
        flow.request.headers.clear()
        flow.request.data.content = None
        gateway.requestheaders(flow)
        flow.request.data.content = body
        gateway.request(flow)
        assert flow.request.authority == "provider.test:81"
        assert flow.request.headers.get_all("Host") == []
        assert flow.request.headers["Content-Length"] == str(len(flow.request.raw_content or b""))

    _in_context(tmp_path, work)


@pytest.mark.parametrize(
    ("headers", "killed"),
    [
        ({"Content-Length": str(BODY_LIMIT + 1)}, True),
        ({"Transfer-Encoding": "chunked"}, True),
        ({"Content-Length": str(BODY_LIMIT)}, False),
    ],
)
def test_where_mitmproxys_layers_are_not_as_expected_a_body_without_bound_closes_the_connection(
    headers: dict[str, str], killed: bool, tmp_path: Path
) -> None:
    async def work(gateway: Gateway, context: taddons.context) -> None:
        flow = _flow("regular", "127.0.0.1", "/v1/videos", "POST")
        flow.request.headers.clear()
        flow.request.headers.update(headers)
        flow.request.data.content = None
        # A flow without sockets has no layer.
        gateway.requestheaders(flow)
        assert (flow.error is not None and flow.error.msg == "Connection killed.") == killed

    _in_context(tmp_path, work)
