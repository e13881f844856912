"""The lines that `ai-proxy inspect` prints to be pasted, as they stand: Python, Node and curl."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import certificates
from tests.e2e.conftest import Proxies
from tests.e2e.proxy import DEADLINE, Proxy
from tests.e2e.scripts import pinned
from tests.e2e.upstream import Answer, Upstream
from tests.sdk import cache, node

URL = "https://api.openai.com/v1/models"
PYTHON = f"import urllib.request; print(urllib.request.urlopen('{URL}').read().decode())"
NODE = f"fetch('{URL}').then((answer) => answer.text()).then(console.log)"
ANSWER = b'{"object": "list", "data": []}'


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Upstream, Path]]:
    """OpenAI's host, in place of which a server on 127.0.0.1 answers, and the file with its authority."""
    authority, tls = certificates.make(tmp_path_factory.mktemp("certificates"), "api.openai.com")
    server = Upstream(tls)
    server.respond = lambda _: Answer(200, ANSWER)
    yield server, authority
    server.close()


@pytest.fixture(scope="module")
def inspecting(upstream: tuple[Upstream, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy that only looks on, in a folder whose name a shell would break; what it prints is in its log."""
    server, authority = upstream
    proxies = Proxies(tmp_path_factory.mktemp("it's a folder"))
    yield proxies.start(
        None, "-m", "regular", "--set", "ai_inspect=true", "-s", pinned.__file__,
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
    found = re.search(rf"^  {name} +(.*)$", inspecting.log, re.MULTILINE)
    assert found, inspecting.log

    done = subprocess.run(
        ["bash", "-c", found[1]],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=3 * DEADLINE, check=False,
    )  # fmt: skip

    assert done.stdout.strip() == ANSWER.decode(), done.stderr
    request = upstream[0].next()
    assert (request.target, request.one("Host")) == ("/v1/models", "api.openai.com")
