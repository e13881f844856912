"""Clients on another machine: a network namespace of the test's own, which a pair of interfaces joins to this one."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import StartProxy
from tests.e2e.proxy import DEADLINE
from tests.e2e.upstream import Upstream

HERE, THERE = "198.51.100.1", "198.51.100.2"
Elsewhere = Callable[..., str]

# An HTTP client is no part of what is tested: SOCKS5 without a password (RFC 1928), then one request.
_CLIENT = """
import socket, sys
address, port, socks, host = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "socks5", b"api.openai.com"
with socket.create_connection((address, port), timeout=20) as connection:
    stream = connection.makefile("rb")
    if socks:
        connection.sendall(b"\\x05\\x01\\x00")
        assert stream.read(2) == b"\\x05\\x00"
        connection.sendall(b"\\x05\\x01\\x00\\x03" + bytes([len(host)]) + host + (80).to_bytes(2, "big"))
        assert stream.read(10)[:2] == b"\\x05\\x00"
    target = b"http://" + host if sys.argv[3] == "regular" else b""
    fields = b"Host: " + host + b"\\r\\nConnection: close\\r\\n\\r\\n"
    connection.sendall(b"GET " + target + b"/v1/videos/1 HTTP/1.1\\r\\n" + fields)
    sys.stdout.buffer.write(stream.read())
"""


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=DEADLINE)


@pytest.fixture
def alone() -> Iterator[None]:
    """One such network at a time on this machine: they have the same addresses."""
    with open(Path(tempfile.gettempdir(), "ai-proxy-strangers.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def elsewhere(alone: None) -> Iterator[Elsewhere]:
    """Runs the client in the namespace, to a port of this machine: the answer."""
    if shutil.which("ip") is None:
        pytest.skip("needs ip (iproute2)")
    name, near, far = (f"{beginning}{os.getpid()}" for beginning in ("strangers", "near", "far"))
    try:
        _ip("netns", "add", name)
    except subprocess.CalledProcessError:
        pytest.skip("needs the right to make a network namespace")
    try:
        try:
            _ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", name)
            _ip("address", "add", f"{HERE}/30", "dev", near)
            _ip("link", "set", near, "up")
            _ip("-n", name, "address", "add", f"{THERE}/30", "dev", far)
            _ip("-n", name, "link", "set", far, "up")
        except subprocess.CalledProcessError:
            pytest.skip("needs the right to make network interfaces")

        def run(port: int, mode: str) -> str:
            command = [
                "ip",
                "netns",
                "exec",
                name,
                shutil.which("python3") or "python3",
                "-c",
                _CLIENT,
                HERE,
                str(port),
            ]
            done = subprocess.run([*command, mode], check=True, capture_output=True, text=True, timeout=DEADLINE)
            return done.stdout

        yield run
    finally:
        # Its interface goes with it, and the other end of the pair.
        subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True, timeout=DEADLINE)


@pytest.mark.parametrize("mode", ["socks5", "regular", "reverse"])
def test_another_machine_is_served_only_where_the_address_was_chosen(
    mode: str, kling: str, upstream: Upstream, start_proxy: StartProxy, elsewhere: Elsewhere
) -> None:
    spec = "reverse:http://127.0.0.1:9" if mode == "reverse" else mode
    arguments = ("--mode", spec, "--set", "connection_strategy=lazy")
    anywhere = start_proxy(kling, *arguments, "--listen-host", "")
    chosen = start_proxy(kling, *arguments, "--listen-host", HERE)

    head, _, body = elsewhere(anywhere.port, mode).partition("\n\n")
    assert head.startswith("HTTP/1.1 403 ")
    assert json.loads(body)["error"]["code"] == "not_local"
    upstream.assert_untouched()

    assert elsewhere(chosen.port, mode).startswith("HTTP/1.1 200 ")
    assert upstream.next().one("Authorization")
