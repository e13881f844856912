"""A real mitmproxy tool in a process of its own, and raw HTTP requests to it."""

from __future__ import annotations

import atexit
import functools
import http.client
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.e2e import certificates, ready
from tests.forked import ForkedProgram

SCRIPT = Path(__file__).parents[2] / "addon" / "ai_proxy.py"
DEADLINE = 20
"""Seconds after which a test stops waiting, and fails."""


def tool(name: str) -> str:
    """The path of mitmdump or mitmweb in the environment of the tests."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    assert found, f"{name} is not installed beside {sys.executable}"
    return found


@functools.cache
def _authority() -> str:
    """A folder with what mitmproxy signs its certificates with."""
    folder = tempfile.mkdtemp(prefix="ai-proxy-authority-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    certificates.proxys_authority(Path(folder))
    return folder


def _start(command: list[str], folder: Path, environment: dict[str, str]) -> subprocess.Popen[str] | ForkedProgram:
    # Otherwise its output would come only at its end.
    whole = {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
    if "PYTHONPATH" not in environment:
        return ForkedProgram(command, folder, whole)
    # The interpreter reads it at its start.
    return subprocess.Popen(
        command,
        cwd=folder,
        env=whole,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@dataclass(frozen=True)
class Reply:
    """A response as the client gets it."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


class Listening:
    """What listens at `port` of 127.0.0.1."""

    port: int

    def close(self) -> str:
        """Stop it; returns its output."""
        return ""

    def request(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """Send a request on a new connection, with its target exactly as given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        try:
            connection.putrequest(method, target, skip_host="Host" in (headers or {}), skip_accept_encoding=True)
            fields = dict(headers or {})
            if body is not None and "Transfer-Encoding" not in fields:
                fields.setdefault("Content-Length", str(len(body)))
            for name, value in fields.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            try:
                response = connection.getresponse()
            except http.client.HTTPException as error:
                raise AssertionError(f"{type(error).__name__} to {method} {target}:\n{self.close()}") from None
            return Reply(response.status, response.headers, response.read())
        finally:
            connection.close()


class Program(Listening):
    """A running program. `folder` is its current folder, `port` where it listens, `log` its output so far."""

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.log = ""
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._process = _start(command, folder, environment or {})
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    listening = ""
    """The pattern of the line that says where it listens."""

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    @property
    def process_id(self) -> int:
        """The id of the tool's process."""
        return self._process.pid

    def started(self) -> Self:
        """Wait until it listens and its start is complete."""
        line = self.wait_for(self.listening)
        found = re.search(r":(\d+)\.?\s*$", line)
        assert found, line
        self.port = int(found[1])
        return self

    def wait_for(self, pattern: str) -> str:
        """Wait for the next line that matches the pattern; fails after DEADLINE."""
        while True:
            try:
                line = self._lines.get(timeout=DEADLINE)
            except queue.Empty:
                raise AssertionError(f"no line with {pattern!r} in:\n{self.log}") from None
            assert line is not None, f"the process ended without a line with {pattern!r}:\n{self.log}"
            self.log += line
            if re.search(pattern, line):
                return line

    def ended(self) -> int:
        """Wait until it has ended by itself; returns its exit status."""
        status = self._process.wait(timeout=DEADLINE)
        self._drain()
        return status

    def close(self) -> str:
        """Stop it; returns its whole output."""
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait(timeout=DEADLINE)
        self._drain()
        return self.log

    def _drain(self) -> None:
        while (line := self._lines.get(timeout=DEADLINE)) is not None:
            self.log += line
        self._lines.put(None)
        self._reader.join(timeout=DEADLINE)
        assert self._process.stdout
        self._process.stdout.close()


class Proxy(Program):
    """A running tool of mitmproxy's.

    Only with `tls` are its keys long enough for clients that use TLS with it; short ones are there before it starts
    (tests/preloaded.py).
    """

    listening = r"listening at (?:https?://)?(?:\*|[^\s]*?):(\d+)\."

    def __init__(
        self,
        *arguments: str,
        folder: Path,
        environment: dict[str, str] | None = None,
        script: Path | None = SCRIPT,
        program: str = "mitmdump",
        tls: bool = False,
    ) -> None:
        command = [tool(program), "--set", f"confdir={folder / 'confdir'}"]
        if tls:
            shutil.copytree(_authority(), folder / "confdir")
        else:
            command += ["--set", "key_size=1024"]
        if script:
            command += ["-s", str(script)]
        command += ["--listen-port", "0", *arguments, "-s", str(Path(ready.__file__))]
        if "--listen-host" not in arguments:
            command += ["--listen-host", "127.0.0.1"]
        super().__init__(command, folder, environment)

    def started(self) -> Self:
        """See Program."""
        super().started()
        self.wait_for(ready.TEXT)
        return self


class Served(Program):
    """A running `ai-proxy serve`."""

    listening = r"serving at https?://\S+:(\d+)$"

    def __init__(self, *arguments: str, folder: Path, environment: dict[str, str] | None = None) -> None:
        super().__init__([tool("ai-proxy"), "serve", "--listen-port", "0", *arguments], folder, environment)
