"""What is told of blocked sockets and of the environment's proxies."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from mitm_ai_proxy.testing.obstacles import obstacles, socket_error
from tests.tables import table

PROXY = "http://proxy.test:3128"


@table(
    ("environment", "names", "advice"),
    [
        ({}, "", ""),
        ({"HTTP_PROXY": PROXY}, "HTTP_PROXY is set", "NO_PROXY=127.0.0.1."),
        ({"http_proxy": PROXY}, "http_proxy is set", "NO_PROXY=127.0.0.1."),
        ({"ALL_PROXY": PROXY, "http_proxy": PROXY}, "ALL_PROXY and http_proxy are set", "NO_PROXY=127.0.0.1."),
        ({"HTTP_PROXY": PROXY, "NO_PROXY": "a.test"}, "HTTP_PROXY is set", "NO_PROXY=a.test,127.0.0.1."),
        ({"HTTP_PROXY": PROXY, "NO_PROXY": "localhost"}, "HTTP_PROXY is set", "NO_PROXY=localhost,127.0.0.1."),
        ({"HTTP_PROXY": PROXY, "NO_PROXY": "a.test, 127.0.0.1"}, "", ""),
        ({"HTTP_PROXY": PROXY, "no_proxy": "127.0.0.1"}, "", ""),
        ({"all_proxy": PROXY, "NO_PROXY": "*"}, "", ""),
        ({"HTTP_PROXY": ""}, "", ""),
        ({"HTTP_PROXY": PROXY, "NO_PROXY": ""}, "HTTP_PROXY is set", "NO_PROXY=127.0.0.1."),
        ({"HTTPS_PROXY": PROXY}, "", ""),
    ],
)
def test_a_proxy_in_the_environment_is_told_unless_it_is_bypassed(
    environment: dict[str, str], names: str, advice: str
) -> None:
    (text,) = obstacles(environment) or [""]
    assert text.startswith(names)
    assert text.endswith(advice)
    assert bool(text) is bool(names)
    assert PROXY not in text


def _blocked(module: str) -> Callable[..., None]:
    def connect(*arguments: object) -> None:
        raise RuntimeError("blocked")

    connect.__module__ = module
    return connect


@pytest.mark.parametrize(
    ("module", "start"),
    [
        ("pytest_socket", "pytest-socket blocks"),
        ("pytest_socket.plugin", "pytest-socket blocks"),
        ("pytest_recording.network", "pytest-recording blocks"),
        ("of_the_project", ""),
    ],
)
def test_a_package_that_blocks_connections_is_told(module: str, start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert obstacles({}) == []
    monkeypatch.setattr(socket.socket, "connect", _blocked(module), raising=False)
    assert "".join(obstacles({})).startswith(start)
    assert len(obstacles({})) == bool(start)


def test_why_there_is_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    assert socket_error() == ""

    class Guarded(socket.socket):
        def __init__(self) -> None:
            raise RuntimeError("A test tried to use socket.socket.")

    Guarded.__module__ = "pytest_socket"
    monkeypatch.setattr(socket, "socket", Guarded)
    assert socket_error() == "A test tried to use socket.socket."
    assert obstacles({})[0].startswith("pytest-socket blocks")
