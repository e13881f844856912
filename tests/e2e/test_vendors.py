"""Vendors' own forms over sockets: signed for the host that is asked, streams translated, errors in a 200."""

from __future__ import annotations

import json

from mitm_ai_proxy.auth import tc3
from mitm_ai_proxy.auth.secret import Secret
from tests.e2e.conftest import StartProxy
from tests.e2e.upstream import Answer, Upstream
from tests.providers.test_vendor_answers import VENDORS

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
JSON = {"Content-Type": "application/json"}
EVENTS = (("Content-Type", "text/event-stream"),)
HELLO = {"model": "m", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "hé"}]}
ENDS = {MESSAGES: b'data: {"type":"message_stop"}\n\n', CHAT: b"data: [DONE]\n\n"}
ID, KEY = "i" * 36, "secret-of-the-provider-32-letters"[:32]


def _pieces(stream: bytes) -> tuple[bytes, ...]:
    return tuple(stream[at : at + 97] for at in range(0, len(stream), 97))


def test_tencent_cloud_is_asked_with_a_signature_of_what_arrives(upstream: Upstream, start_proxy: StartProxy) -> None:
    upstream.respond = lambda request: Answer(headers=EVENTS, pieces=_pieces(VENDORS["hunyuan"].stream))
    keys = f"hunyuanAuthId: {ID}, hunyuanAuthKey: {KEY}"
    proxy = start_proxy(f"provider: {{type: hunyuan, {keys}, providerDomain: 'http://{upstream.address}'}}")
    for path, end in ENDS.items():
        reply = proxy.request("POST", path, json.dumps(HELLO).encode(), {**JSON, "Authorization": "Bearer client"})
        request = upstream.next()
        sent = tc3.Request(
            request.one("host") or "",
            request.one("content-type") or "",
            request.body,
            {"x-tc-action": "ChatCompletions"},
        )
        signed = tc3.sign(sent, tc3.Tc3Keys(ID, Secret(KEY)), "hunyuan", int(request.one("x-tc-timestamp") or "0"))

        assert (request.method, request.target) == ("POST", "/")
        assert request.one("authorization") == signed.fields[b"authorization"].decode()
        assert reply.body.endswith(end)
        assert "hél" in reply.body.decode()
    assert KEY not in proxy.log


def test_a_stream_of_dashscope_s_own_is_one_of_openai_s(upstream: Upstream, start_proxy: StartProxy) -> None:
    upstream.respond = lambda request: Answer(headers=EVENTS, pieces=_pieces(VENDORS["dashscope"].stream))
    proxy = start_proxy(
        "provider: {type: qwen, apiTokens: [t], qwenEnableCompatible: false, "
        f"providerDomain: 'http://{upstream.address}'}}"
    )
    reply = proxy.request("POST", CHAT, json.dumps(HELLO).encode(), JSON)
    request = upstream.next()

    assert request.target == "/api/v1/services/aigc/text-generation/generation"
    assert (request.one("x-dashscope-sse"), request.one("accept")) == ("enable", "text/event-stream")
    assert reply.body.endswith(ENDS[CHAT])
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"


def test_an_error_with_status_200_is_an_error_for_the_client(upstream: Upstream, start_proxy: StartProxy) -> None:
    upstream.respond = lambda request: Answer(body=b'{"base_resp":{"status_code":1002,"status_msg":"slow down"}}')
    proxy = start_proxy(f"provider: {{type: minimax, apiTokens: [t], providerDomain: 'http://{upstream.address}'}}")
    reply = proxy.request("POST", CHAT, json.dumps({**HELLO, "stream": False}).encode(), JSON)

    assert (reply.status, json.loads(reply.body)["error"]["message"]) == (429, "slow down")
