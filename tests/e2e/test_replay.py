"""mitmproxy's own replay of flows that were rewritten before: they are not rewritten or prefixed again."""

from __future__ import annotations

from pathlib import Path

from mitmproxy import http
from mitmproxy.io import FlowReader

from tests.e2e.conftest import StartProxy
from tests.e2e.upstream import CREATED, Upstream


def _record(kling: str, upstream: Upstream, start_proxy: StartProxy, flows: Path) -> None:
    proxy = start_proxy(kling, "-w", str(flows))
    assert proxy.request("POST", "/v1/videos", b'{"model":"m","image":1}').status == 200
    upstream.next()
    proxy.close()


def _only_flow(path: Path) -> http.HTTPFlow:
    with path.open("rb") as file:
        (flow,) = FlowReader(file).stream()
    assert isinstance(flow, http.HTTPFlow)
    return flow


def test_a_replayed_request_gets_a_new_credential_and_no_second_rewrite(
    kling: str, upstream: Upstream, start_proxy: StartProxy, tmp_path: Path
) -> None:
    flows, again = tmp_path / "flows", tmp_path / "again"
    _record(kling, upstream, start_proxy, flows)

    # Client replay ends the process when it is done.
    proxy = start_proxy(
        kling.replace("klingAccessKey: ", "klingAccessKey: other-"),
        "-n",
        "-C",
        str(flows),
        "-w",
        str(again),
        wait=False,
    )
    assert proxy.ended() == 0, proxy.log

    received = upstream.next()
    assert (received.target, received.body) == ("/v1/videos/image2video", b'{"model_name":"m","image":1}')
    authorization = received.one("Authorization") or ""
    assert authorization.startswith("Bearer ey")
    upstream.assert_untouched()
    saved = again.read_bytes()
    assert b"kling-i2v-831234567890123456" in saved
    assert b"kling-i2v-kling-" not in saved
    assert authorization.encode() not in saved


def test_a_replayed_request_for_another_provider_is_refused(
    kling: str, upstream: Upstream, start_proxy: StartProxy, tmp_path: Path
) -> None:
    flows = tmp_path / "flows"
    _record(kling, upstream, start_proxy, flows)

    other = "provider: {type: kling, apiTokens: [token-of-another], providerDomain: 'http://127.0.0.1:9'}"
    proxy = start_proxy(other, "-n", "-C", str(flows), wait=False)
    assert proxy.ended() == 0, proxy.log

    assert "rewritten for another provider" in proxy.log
    upstream.assert_untouched()


def test_a_recorded_answer_is_served_without_a_second_prefix(
    kling: str, upstream: Upstream, start_proxy: StartProxy, tmp_path: Path
) -> None:
    flows = tmp_path / "flows"
    _record(kling, upstream, start_proxy, flows)

    proxy = start_proxy(kling, "--server-replay", str(flows), "--set", "server_replay_reuse=true")
    reply = proxy.request("POST", "/v1/videos", b'{"model":"m","image":1}')

    assert reply.body == CREATED.replace(b'"831', b'"kling-i2v-831')
    upstream.assert_untouched()


def test_flows_from_a_file_are_shown_as_they_are(
    kling: str, upstream: Upstream, start_proxy: StartProxy, tmp_path: Path
) -> None:
    flows, again = tmp_path / "flows", tmp_path / "again"
    _record(kling, upstream, start_proxy, flows)

    proxy = start_proxy(kling, "--mode", "regular", "-n", "-r", str(flows), "-w", str(again), wait=False)
    assert proxy.ended() == 0, proxy.log

    before, after = _only_flow(flows), _only_flow(again)
    assert after.request.get_state() == before.request.get_state()
    assert after.response
    assert before.response
    assert after.response.get_state() == before.response.get_state()
    upstream.assert_untouched()
