"""Bedrock over sockets: signed for the host that is asked, binary streams translated, passed, recorded and replayed."""

from __future__ import annotations

import calendar
import json
import time
from pathlib import Path

import pytest

from mitm_ai_proxy.auth import sigv4
from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.cassette import har
from tests.chat.converse import STREAM
from tests.e2e.conftest import StartProxy
from tests.e2e.upstream import Answer, Received, Upstream

CHAT, MESSAGES, CONVERSE = "/v1/chat/completions", "/v1/messages", "/model/amazon.nova-pro-v1%3A0/converse-stream"
JSON = {"Content-Type": "application/json"}
FRAMES = (("Content-Type", "application/vnd.amazon.eventstream"), ("x-amzn-RequestId", "r-1"))
HELLO = {
    "model": "amazon.nova-pro-v1:0",
    "max_tokens": 9,
    "stream": True,
    "messages": [{"role": "user", "content": "hé"}],
}
ENDS = {MESSAGES: b'data: {"type":"message_stop"}\n\n', CHAT: b"data: [DONE]\n\n"}


def _config(address: str, more: str = "") -> str:
    keys = "awsRegion: us-east-1, awsAccessKey: AKID, awsSecretKey: secret-of-the-provider"
    return f"provider: {{type: bedrock, {keys}, providerDomain: 'http://{address}'{more}}}"


def _check_signature(request: Received) -> None:
    """That the signature is of this request, as it has arrived."""
    moment = time.strptime(request.one("x-amz-date") or "", "%Y%m%dT%H%M%SZ")
    sent = sigv4.Request(request.method, request.one("host") or "", request.target, request.body)
    keys = sigv4.AwsKeys("AKID", Secret("secret-of-the-provider"))
    expected = sigv4.sign(sent, keys, sigv4.Scope("us-east-1", "bedrock"), calendar.timegm(moment))
    assert request.one("authorization") == expected.fields[b"authorization"].decode()


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_a_binary_stream_is_translated_recorded_to_the_byte_and_replayed(
    path: str, upstream: Upstream, start_proxy: StartProxy, tmp_path: Path
) -> None:
    tape = tmp_path / "tape.har"
    upstream.respond = lambda request: Answer(headers=FRAMES, pieces=(STREAM[:100], STREAM[100:101], STREAM[101:]))
    recording = start_proxy(_config(upstream.address), "--set", f"ai_record={tape}")
    first = recording.request("POST", path, json.dumps(HELLO).encode(), JSON)
    recording.close()
    request = upstream.received.get_nowait()
    (entry,) = har.read(tape)

    assert (request.method, request.target) == ("POST", CONVERSE)
    _check_signature(request)
    assert first.body.endswith(ENDS[path])
    assert entry.response
    assert entry.response.body == STREAM
    assert "secret-of-the-provider" not in tape.read_text()

    upstream.reset()
    replaying = start_proxy(_config(upstream.address), "--set", f"ai_replay={tape}")
    second = replaying.request("POST", path, json.dumps(HELLO).encode(), JSON)

    assert (second.status, second.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert second.body.endswith(ENDS[path])
    assert "😀" in second.body.decode()
    assert upstream.received.empty()


def test_the_services_own_requests_pass_to_the_byte_and_are_signed(upstream: Upstream, start_proxy: StartProxy) -> None:
    upstream.respond = lambda request: Answer(headers=FRAMES, pieces=(STREAM[:50], STREAM[50:]))
    proxy = start_proxy(_config(upstream.address, ", protocol: original"))
    fields = {**JSON, "Authorization": "AWS4-HMAC-SHA256 of-the-client", "X-Amz-Date": "20200101T000000Z"}
    reply = proxy.request("POST", f"{CONVERSE}?a=1", b' {"messages" : [] }', fields)
    request = upstream.received.get_nowait()

    assert (request.target, request.body) == (f"{CONVERSE}?a=1", b' {"messages" : [] }')
    _check_signature(request)
    assert (reply.body, reply.headers["content-type"]) == (STREAM, "application/vnd.amazon.eventstream")
