"""Files that are the context of chats, over sockets: loaded with the configuration, or the start ends."""

from __future__ import annotations

import json

from tests.e2e.conftest import StartProxy
from tests.e2e.upstream import Answer, Received, Upstream

ANSWER = b'{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[]}'
ASKED = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
TEXT = (("Content-Type", "text/plain"),)


def _config(address: str, more: str) -> str:
    return f"provider: {{type: moonshot, apiTokens: [sk-secret], providerDomain: 'http://{address}', {more}}}"


def test_a_file_is_loaded_before_the_first_chat_and_again_with_the_configuration(
    upstream: Upstream, start_proxy: StartProxy
) -> None:
    def respond(request: Received) -> Answer:
        if request.method == "GET":
            return Answer(body=f"text of {request.target}".encode(), headers=TEXT)
        return Answer(body=ANSWER)

    upstream.respond = respond
    proxy = start_proxy(_config(upstream.address, "moonshotFileId: f-1"))
    loaded = upstream.next()
    proxy.request("POST", "/v1/chat/completions", json.dumps(ASKED).encode(), {"Content-Type": "application/json"})
    chat = json.loads(upstream.next().body)

    assert (loaded.target, loaded.one("Authorization")) == ("/v1/files/f-1/content", "Bearer sk-secret")
    assert chat["messages"][0] == {"role": "system", "content": "text of /v1/files/f-1/content"}
    assert "sk-secret" not in proxy.log

    (proxy.folder / "config.yaml").write_text(
        _config(upstream.address, f"context: {{fileUrl: 'http://{upstream.address}/a.txt?b'}}")
    )
    proxy.wait_for(r"a\.txt\?b loaded for context: 16 characters")
    proxy.wait_for(r"config\.yaml: provider moonshot")
    loaded = upstream.next()
    proxy.request("POST", "/v1/chat/completions", json.dumps(ASKED).encode(), {"Content-Type": "application/json"})
    chat = json.loads(upstream.next().body)

    assert (loaded.target, loaded.one("Authorization")) == ("/a.txt?b", None)
    assert chat["messages"][0]["content"] == "text of /a.txt?b"


def test_without_the_file_nothing_starts(upstream: Upstream, start_proxy: StartProxy) -> None:
    upstream.respond = lambda request: Answer(404, b"no such file", TEXT)
    proxy = start_proxy(_config(upstream.address, "moonshotFileId: f-1"), wait=False)

    assert proxy.ended() != 0
    assert "provider.moonshotFileId: " in proxy.log
    assert "cannot be loaded: the server answers with status 404" in proxy.log
    assert "sk-secret" not in proxy.log
