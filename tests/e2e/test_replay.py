"""mitmproxy's own replay of flows that were rewritten before: they are not rewritten or prefixed again."""

from __future__ import annotations

import json
from pathlib import Path

from mitmproxy import http
from mitmproxy.io import FlowReader

from tests.e2e.conftest import SECRET_KEY, StartProxy
from tests.e2e.upstream import CREATED, Upstream, verified_claims
from tests.e2e.window import Window


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


def test_the_button_in_mitmweb_buys_another_video_under_another_name(
    kling: str, upstream: Upstream, start_proxy: StartProxy
) -> None:
    window = Window(start_proxy, f"{kling}clientTokens: {{me: key-of-a-client-0123456789}}\n")
    fields = {"User-Agent": "OpenAI/Python 2.0.0", "X-Stainless-Lang": "python", "Idempotency-Key": "once"}
    fields |= {"Content-Type": "application/json", "Authorization": "Bearer key-of-a-client-0123456789"}
    body = b'{"model": "sora-2", "prompt": "a \\u0063at", "seconds": "4"}'
    created = window.proxy.request("POST", "/v1/videos", body, fields)
    bought = [upstream.next()]
    for _ in range(2):
        window.replay(window.flows[0])
        bought.append(upstream.next())
        flow = window.wait(lambda one: one.get("response") and window.run("replay.client.count") == 0, "answered")

    names = [json.loads(one.body)["external_task_id"] for one in bought]
    assert len(set(names)) == 3
    # The parameters are in each name.
    assert len({name.rpartition("-o")[2] for name in names}) == 1
    assert len({one.body.replace(name.encode(), b"") for one, name in zip(bought, names, strict=True)}) == 1
    for one in bought:
        assert one.target == "/v1/videos/text2video"
        assert verified_claims(one.one("Authorization") or "", SECRET_KEY)
        assert one.one("Content-Length") == str(len(one.body))
        assert one.all("Idempotency-Key") == []
    assert "again, as a person asked, which may cost again" in flow["comment"]
    assert f"external_task_id {names[-1]}: another task is made" in flow["comment"]
    assert created.status == 200
    assert json.loads(window.content(flow, "response"))["model"] == "sora-2"

    # A request that was refused is made anew, for whoever asks at the proxy.
    assert window.proxy.request("POST", "/v1/videos", body, {**fields, "Authorization": "Bearer x"}).status == 401
    window.replay(window.flows[-1])
    assert "key-of-a-client" not in str(upstream.next().headers)
