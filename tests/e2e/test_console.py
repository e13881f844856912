"""mitmproxy's console in a real terminal: list, conversation, stream, video job and difference."""

from __future__ import annotations

import http.client
import itertools
import json
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.proxy import DEADLINE, SCRIPT, tool

pytestmark = pytest.mark.skipif(not shutil.which("tmux"), reason="there is no tmux here")

CONFIG: Final = """
providers:
  - {id: kling, type: kling}
  - {id: kimi, type: moonshot, modelMapping: {"*": kimi-k2}}
activeProviderId: kimi
routes: [{path: "/v1/videos*", provider: kling}]
simulator: {speed: instant}
"""
HOSTILE: Final = "Hi \x1b]2;owned\x07\x1b[31m <b>"
_numbers = itertools.count()


class Console:
    """The console in a terminal of 220 by 60 characters. `port` is the proxy's."""

    def __init__(self, folder: Path) -> None:
        (folder / "config.yaml").write_text(CONFIG)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        options = {
            "confdir": folder / "confdir",
            "key_size": 1024,
            "ai_config": folder / "config.yaml",
            "ai_simulate": "true",
            "connection_strategy": "lazy",
        }
        words = [tool("mitmproxy"), "-s", SCRIPT, "--mode", "reverse:http://127.0.0.1:9"]
        words += ["--listen-host", "127.0.0.1", "-p", self.port]
        words += [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
        # A socket in this folder: no other server of tmux's is touched.
        self._tmux = ["tmux", "-S", str(folder / f"tmux-{next(_numbers)}"), "-f", "/dev/null"]
        self._run("-u", "new-session", "-d", "-x", "220", "-y", "60", shlex.join(map(str, words)))

    def _run(self, *words: str) -> str:
        return subprocess.run(
            [*self._tmux, *words], capture_output=True, text=True, timeout=DEADLINE, check=True
        ).stdout

    def press(self, *keys: str) -> None:
        """Press keys, by the names that tmux has for them."""
        self._run("send-keys", *keys)

    def until(self, *texts: str) -> str:
        """Wait until the terminal shows these texts; returns all that it shows."""
        ends_at = time.monotonic() + 3 * DEADLINE
        while not all(text in (shown := self._run("capture-pane", "-p")) for text in texts):
            assert time.monotonic() < ends_at, f"{texts} are not all in:\n{shown}"
            time.sleep(0.05)
        return shown

    def title(self) -> str:
        """The title of the terminal, which an escape sequence can change."""
        return self._run("display-message", "-p", "#{pane_title}")

    def close(self) -> None:
        """End the console and its terminal."""
        self._run("kill-server")


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    """A console that listens."""
    started = Console(tmp_path)
    started.until(f"[127.0.0.1:{started.port}]")
    yield started
    started.close()


def _send(port: int, method: str, path: str, document: object = None, status: int = 200) -> dict[str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    fields = {"Content-Type": "application/json", "anthropic-version": "2023-06-01"}
    connection.request(method, path, None if document is None else json.dumps(document), fields)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    assert response.status == status, body
    return dict(json.loads(body)) if body[:1] == b"{" else {}


def test_the_console_tells_what_was_asked_what_became_of_it_and_what_was_said(console: Console) -> None:
    title = console.title()
    job = _send(console.port, "POST", "/v1/videos", {"model": "sora-2", "prompt": "a cat", "seconds": "4"})
    _send(console.port, "GET", f"/v1/videos/{job['id']}")
    said = [{"role": "user", "content": HOSTILE}]
    chat = {"model": "claude-haiku-4-5", "max_tokens": 60, "stream": True, "messages": said}
    _send(console.port, "POST", "/v1/messages", chat)
    _send(console.port, "POST", "/v1/videos", {"model": "sora-2", "prompt": "a cat", "seconds": "99"}, 400)

    console.until(
        "POST /v1/videos → kling text2video · sora-2 → kling-v3 · 4 s · queued · 2.4 units · $0.336 (list price) · ",
        "→ kling text2video · completed · first byte ",
        "POST /v1/messages → kimi chat completions · claude-haiku-4-5 → kimi-k2 · ",
        "POST /v1/videos → kling · sora-2 · 99 s · 400: kling-v3 makes no video of 99 seconds",
    )
    # The second flow: a read of the job; then its answer.
    console.press("Down", "Enter", "Tab")
    console.until("· completed · 100 %", "so far: queued 0 % · ", "sora-2 · 4 s", "result: http://")
    # The chat's stream, its request, and what was changed.
    console.press("q", "Down", "Enter")
    shown = console.until("── assistant ──", "Hi \\x1b]2;owned\\x07\\x1b[31m <b>", "ended by itself · ")
    console.press("Tab", "Tab")
    shown += console.until("kimi-k2 · 1 turn · stream", "── user ──", "Hi \\x1b]2;owned\\x07\\x1b[31m <b>")
    shown += console.until("+POST /v1/chat/completions", '+  "model": "kimi-k2"', "translated from anthropic to openai")

    assert console.title() == title
    assert "data: {" not in shown
    # Sent again, as a person asks: r in the list.
    console.press("q")
    assert "↺" not in console.until("POST /v1/messages → kimi")
    console.press("r")
    console.until("↺", "· rewritten · simulated")
    console.press("Enter", "Tab", "Tab")
    console.until("Comment:", "again, as a person asked, which may cost again")
    console.press("q", "f")
    console.until("set view_filter")
    console.press("~ai refused", "Enter")
    assert "/v1/messages" not in console.until("[1/1]", "· refused")
    # Commands and their arguments are completed.
    console.press(":ai.tok", "Tab", " kl", "Tab")
    console.until(": ai.token kling")
