"""A process that runs an SDK: it reads questions and writes answers, one JSON object per line."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from pathlib import Path
from typing import Any

from tests.e2e.proxy import DEADLINE
from tests.sdk import cache


class Worker:
    """A process with an SDK. If it does not answer in time, it is killed, and the test fails."""

    def __init__(self, *command: str | Path, environment: dict[str, str] | None = None) -> None:
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._process = subprocess.Popen(
            [str(word) for word in command],
            env=cache.clean_environment() | (environment or {}),
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

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def ask(self, question: dict[str, Any], limit: float = DEADLINE) -> Any:
        """Send a question; returns the answer."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        try:
            line = self._lines.get(timeout=limit)
        except queue.Empty:
            self.close()
            raise AssertionError(f"no answer within {limit} s to {question}") from None
        assert line is not None, f"the SDK's process ended at {question}; standard error has the reason"
        return json.loads(line)

    def close(self) -> None:
        """Stop the process."""
        self._process.kill()
        self._process.wait(timeout=DEADLINE)
        self._reader.join(timeout=DEADLINE)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream
            stream.close()
