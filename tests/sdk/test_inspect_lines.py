"""The lines that `ai-proxy inspect` prints to be pasted, as they stand; those for agents where these are installed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import certificates
from tests.e2e.conftest import Proxies
from tests.e2e.proxy import DEADLINE, Proxy
from tests.e2e.scripts import pinned
from tests.e2e.upstream import Answer, Received, Upstream
from tests.sdk import cache, node

URL = "https://api.openai.com/v1/models"
# What `requests` takes for its authority is read as it reads it: by a path in its own variable.
PYTHON = f"""
import os, ssl, urllib.request
authority = ssl.create_default_context(cafile=os.environ["REQUESTS_CA_BUNDLE"])
urllib.request.urlopen("{URL}", context=authority)
print(urllib.request.urlopen("{URL}").read().decode())
"""
NODE = f"fetch('{URL}').then((answer) => answer.text()).then(console.log)"
ANSWER = b'{"object": "list", "data": []}'


KEY = "sk-of-the-client-0123456789"
SAID = "Hello from the scripted model."
HOSTS = ("api.openai.com", "chatgpt.com", "*.chatgpt.com", "api.anthropic.com", "*.claude.com")


def _events(*documents: dict[str, Any]) -> Answer:
    pieces = tuple(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in documents)
    return Answer(headers=(("Content-Type", "text/event-stream"),), pieces=pieces)


def _respond(request: Received) -> Answer:
    """What the vendors answer to an agent's chat, and to the rest that it asks."""
    path = request.target.partition("?")[0]
    if path == "/v1/models":
        return Answer(200, ANSWER)
    if request.method == "POST" and path.endswith("/v1/messages"):
        message = {"id": "m", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": []}
        return _events(
            {"type": "message_start", "message": {**message, "usage": {"input_tokens": 120, "output_tokens": 1}}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": SAID}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
            {"type": "message_stop"},
        )
    if request.method == "POST" and path.endswith("/responses"):
        text = {"type": "output_text", "text": SAID, "annotations": []}
        item = {"id": "m", "type": "message", "role": "assistant", "status": "completed", "content": [text]}
        usage = {"input_tokens": 120, "output_tokens": 9, "total_tokens": 129}
        done = {"id": "r", "status": "completed", "model": "gpt-5", "output": [item], "usage": usage}
        return _events(
            {"type": "response.created", "response": {"id": "r"}},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": done},
        )
    return Answer(404, b"{}")


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Upstream, Path]]:
    """The vendors' hosts, in place of which a server on 127.0.0.1 answers, and the file with its authority."""
    authority, tls = certificates.make(tmp_path_factory.mktemp("certificates"), *HOSTS)
    server = Upstream(tls)
    server.respond = _respond
    yield server, authority
    server.close()


@pytest.fixture(scope="module")
def inspecting(upstream: tuple[Upstream, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy that only looks on, in a folder whose name a shell would break; what it prints is in its log."""
    server, authority = upstream
    proxies = Proxies(tmp_path_factory.mktemp("it's a folder"))
    yield proxies.start(
        None, "-m", "regular", "--set", "ai_inspect=true", "-s", pinned.__file__, "-w", "saved",
        "--set", f"ssl_verify_upstream_trusted_ca={authority}", tls=True, environment={"PINNED": str(server.port)},
    )  # fmt: skip
    proxies.close()


@pytest.mark.parametrize("name", ["Python", "Node", "curl"])
def test_a_line_that_is_pasted_leads_through_the_proxy(
    name: str, inspecting: Proxy, upstream: tuple[Upstream, Path], tmp_path: Path
) -> None:
    if name == "curl" and not shutil.which("curl"):
        pytest.skip("there is no curl here")
    if name == "Node" and (reason := node.missing()):
        pytest.skip(reason)
    (tmp_path / "app.py").write_text(PYTHON)
    (tmp_path / "app.js").write_text(NODE)
    (tmp_path / "python").symlink_to(sys.executable)
    if name == "Node":
        (tmp_path / "node").symlink_to(node.program(node.WITH_ENV_PROXY))
    environment = cache.clean_environment()
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    done = _pasted(name, "", inspecting, environment, tmp_path)

    assert done.stdout.strip() == ANSWER.decode(), done.stderr
    request = upstream[0].next()
    assert (request.target, request.one("Host")) == ("/v1/models", "api.openai.com")
    upstream[0].received.queue.clear()


def _pasted(
    name: str, more: str, proxy: Proxy, environment: dict[str, str], folder: Path
) -> subprocess.CompletedProcess[str]:
    found = re.search(rf"^  {name} +(.*)$", proxy.log, re.MULTILINE)
    assert found, proxy.log
    return subprocess.run(
        ["bash", "-c", found[1] + more],
        cwd=folder, env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=3 * DEADLINE, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "program", "more"),
    [
        ("Claude Code", "claude", " -p 'Say hello'"),
        ("Codex", "codex", " exec --skip-git-repo-check 'Say hello'"),
    ],
)
def test_an_agent_that_is_started_so_is_answered_and_its_key_is_not_kept(
    name: str, program: str, more: str, inspecting: Proxy, upstream: tuple[Upstream, Path], tmp_path: Path
) -> None:
    if not shutil.which(program):
        pytest.skip(f"there is no {program} here: it is too large to be installed for a test")
    own = {"HOME": str(tmp_path), "ANTHROPIC_API_KEY": KEY, "OPENAI_API_KEY": KEY, "CODEX_API_KEY": KEY}
    done = _pasted(name, more, inspecting, {"PATH": os.environ["PATH"], **own}, tmp_path)

    assert SAID in done.stdout, done.stderr
    assert KEY in str(upstream[0].next().headers)
    upstream[0].reset()
    upstream[0].respond = _respond
    assert KEY.encode() not in (inspecting.folder / "saved").read_bytes()
