"""Fixtures of the end-to-end tests: an upstream, and mitmdump processes, for one test or shared."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol

import pytest

from tests.e2e.inside import Inside
from tests.e2e.moody import Moody
from tests.e2e.proxy import Listening, Program, Proxy, Served
from tests.e2e.upstream import Upstream

ACCESS_KEY = "access-key-of-the-tests"
SECRET_KEY = "secret-key-of-the-tests-0123456789"


EDGES = ("mitmdump", "serve")
"""What stands before the core: mitmproxy with the addon, or the server of our own."""


class StartEdge(Protocol):
    """Start the gateway at one of EDGES, or use the one of another test with the same configuration."""

    def __call__(self, edge: str, config: str, *, simulate: bool = False) -> Listening: ...


class StartProxy(Protocol):
    """Start a proxy with a configuration (None: no ai_config option) and arguments for the tool."""

    def __call__(self, config: str | None, *arguments: str, wait: bool = True, **settings: object) -> Proxy: ...


@pytest.fixture(scope="session")
def upstream_server() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.close()


@pytest.fixture
def upstream(upstream_server: Upstream) -> Upstream:
    """The upstream, with no requests received yet."""
    upstream_server.reset()
    return upstream_server


@pytest.fixture
def kling(upstream: Upstream) -> str:
    """A configuration whose provider is Kling at the upstream, with a key pair."""
    return f"""
provider:
  type: kling
  klingAccessKey: {ACCESS_KEY}
  klingSecretKey: {SECRET_KEY}
  providerDomain: http://{upstream.address}
"""


@pytest.fixture
def nobody() -> Iterator[socket.socket]:
    """A socket in place of a provider; a test that connects to it fails."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.fixture
def pair() -> Iterator[tuple[Moody, Moody]]:
    """Two providers whose moods a test sets."""
    with closing(Moody()) as one, closing(Moody()) as two:
        yield one, two


class Proxies:
    """Starts proxies, each in a folder of its own, and stops them.

    One that replays a cassette ends those that record into it: what they answered last is in the file then.
    """

    def __init__(self, base: Path) -> None:
        self._base = base
        self._started: list[Program] = []
        self._recorders: dict[str, list[Proxy]] = {}

    def start(self, config: str | None, *arguments: str, wait: bool = True, **settings: object) -> Proxy:
        folder = self._base / f"proxy-{len(self._started)}"
        folder.mkdir()
        if config is not None:
            (folder / "config.yaml").write_text(config)
        if not any(word in ("-m", "--mode") for word in arguments):
            # Nothing listens on port 9, so that a connection to the reverse mode's target would fail.
            arguments = ("--mode", "reverse:http://127.0.0.1:9", *arguments)
        options = dict(argument.partition("=")[::2] for argument in arguments)
        for recorder in self._recorders.pop(options.get("ai_replay", ""), ()):
            recorder.close()
        proxy = Proxy(*arguments, folder=folder, **settings)  # type: ignore[arg-type]
        if file := options.get("ai_record"):
            self._recorders.setdefault(file, []).append(proxy)
        self._started.append(proxy)
        return proxy.started() if wait else proxy

    def serve(self, config: str, *arguments: str, wait: bool = True, **settings: object) -> Served:
        folder = self._base / f"served-{len(self._started)}"
        folder.mkdir()
        (folder / "config.yaml").write_text(config)
        served = Served(*arguments, folder=folder, **settings)  # type: ignore[arg-type]
        self._started.append(served)
        return served.started() if wait else served

    def close(self) -> None:
        for proxy in self._started:
            proxy.close()


@pytest.fixture
def start_proxy(tmp_path: Path) -> Iterator[StartProxy]:
    """Start a proxy for one test."""
    proxies = Proxies(tmp_path)
    yield proxies.start
    proxies.close()


@pytest.fixture(scope="session")
def shared_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartProxy]:
    """Start a proxy, or use the one of another test with the same configuration and arguments."""
    proxies = Proxies(tmp_path_factory.mktemp("shared"))
    known: dict[tuple[str | None, tuple[str, ...]], Proxy] = {}

    def start(config: str | None, *arguments: str, wait: bool = True, **settings: object) -> Proxy:
        key = (config, arguments)
        if key not in known:
            known[key] = proxies.start(config, *arguments, wait=wait, **settings)
        return known[key]

    yield start
    proxies.close()


@pytest.fixture(scope="session")
def shared_edge(shared_proxy: StartProxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartEdge]:
    """See StartEdge. `serve` is in this process: it has processes of its own in tests/e2e/test_serve*.py."""
    known: dict[tuple[str, bool], Inside] = {}

    def start(edge: str, config: str, *, simulate: bool = False) -> Listening:
        if edge == "mitmdump":
            return shared_proxy(config, *(("--set", "ai_simulate=true") if simulate else ()))
        key = (config, simulate)
        if key not in known:
            known[key] = Inside(config, tmp_path_factory.mktemp("inside"), simulate=simulate)
        return known[key]

    yield start
    for one in known.values():
        one.close()


class StartServe(Protocol):
    """Start `ai-proxy serve` with a configuration and arguments."""

    def __call__(self, config: str, *arguments: str, wait: bool = True, **settings: object) -> Served: ...


@pytest.fixture
def start_serve(tmp_path: Path) -> Iterator[StartServe]:
    """See StartServe; for one test."""
    proxies = Proxies(tmp_path)
    yield proxies.serve
    proxies.close()
