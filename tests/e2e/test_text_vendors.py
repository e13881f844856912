"""Vendors of text over sockets: a stream that makes a whole answer, recorded and replayed, and one without an end."""

from __future__ import annotations

import http.client
import json
from pathlib import Path

import pytest

from mitm_ai_proxy.cassette import har
from tests.e2e.conftest import StartProxy
from tests.e2e.proxy import DEADLINE
from tests.e2e.test_chats import CHAT, EVENTS, HEAD, HELLO, JSON, MESSAGES, Dropping
from tests.e2e.upstream import Answer, Upstream
from tests.providers.test_coze import STREAM
from tests.providers.vendor_answers import events

CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_a_whole_answer_is_made_of_cozes_stream_also_when_it_is_replayed(
    path: str, upstream: Upstream, start_proxy: StartProxy, tmp_path: Path
) -> None:
    tape, stream = tmp_path / "tape.har", events(*STREAM, named=True)
    config = f"provider: {{type: coze, apiTokens: pat_of_the_provider, providerDomain: 'http://{upstream.address}'}}"
    upstream.respond = lambda request: Answer(headers=EVENTS, pieces=(stream[:99], stream[99:]))
    recording = start_proxy(config, "--set", f"ai_record={tape}")
    first = recording.request("POST", path, json.dumps(HELLO).encode(), JSON)
    recording.close()
    request = upstream.received.get_nowait()
    (entry,) = har.read(tape)
    assert entry.response
    assert entry.response.body == stream
    assert (request.target, request.one("authorization")) == ("/v3/chat", "Bearer pat_of_the_provider")
    assert "pat_of_the_provider" not in tape.read_text()

    upstream.reset()
    second = start_proxy(config, "--set", f"ai_replay={tape}").request("POST", path, json.dumps(HELLO).encode(), JSON)

    assert first.headers["content-type"] == second.headers["content-type"] == "application/json"
    for reply in (first, second):
        document = json.loads(reply.body)
        assert "Hé" in (
            document["choices"][0]["message"]["content"] if path == CHAT else document["content"][-1]["text"]
        )
    assert upstream.received.empty()


def test_a_stream_of_tritons_that_breaks_off_does_not_seem_complete(start_proxy: StartProxy) -> None:
    said = b'data: {"model_name":"m","text_output":"hi"}\n\n'
    dropping = Dropping(HEAD + CHUNKED, b"%x\r\n%b\r\n" % (len(said), said))
    proxy = start_proxy(f"provider: {{type: triton, tritonDomain: 'http://{dropping.address}'}}")
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=DEADLINE)
    # The vendor of this test waits for that word.
    asked = {**HELLO, "stream": True, "messages": [{"role": "user", "content": "messages"}]}
    connection.request("POST", CHAT, json.dumps(asked).encode(), JSON)
    body = connection.getresponse().read()
    connection.close()
    dropping.close()

    assert b'"content":"hi"' in body
    assert b"broke this answer off" in body
    assert b"[DONE]" not in body
    assert b'"finish_reason":"stop"' not in body
