"""Processes that run SDKs: they read questions and write answers, one JSON object per line."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.e2e.proxy import DEADLINE
from tests.sdk import cache

Ask = Callable[[Any], Any]


class Worker:
    """Scripts of SDKs in one process, which is started at the first question.

    If it does not answer in time or ends, the test fails, and the next question starts it again.
    """

    def __init__(self, command: Callable[[], tuple[str | Path, ...]]) -> None:
        self._command = command
        self._process: _Process | None = None

    def ask(self, script: str, question: Any, limit: float = DEADLINE) -> Any:
        """What the script with this name answers within so many seconds."""
        if self._process is None:
            self._process = _Process(self._command())
        try:
            return self._process.ask({"script": script, "question": question}, limit)
        except BaseException:
            self.close()
            raise

    def script(self, name: str, limit: float = DEADLINE) -> Ask:
        """A function that asks one script."""
        return lambda question: self.ask(name, question, limit)

    def close(self) -> None:
        """Stop the process."""
        if self._process:
            self._process.close()
            self._process = None


class _Process:
    def __init__(self, command: tuple[str | Path, ...]) -> None:
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._process = subprocess.Popen(
            [str(word) for word in command],
            env=cache.clean_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def ask(self, question: dict[str, Any], limit: float) -> Any:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        try:
            line = self._lines.get(timeout=limit)
        except queue.Empty:
            raise AssertionError(f"no answer within {limit} s to {question}") from None
        assert line is not None, f"the SDK's process ended at {question}; standard error has the reason"
        return json.loads(line)

    def close(self) -> None:
        self._process.kill()
        self._process.wait(timeout=DEADLINE)
        self._reader.join(timeout=DEADLINE)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream
            stream.close()
