"""Worker processes for tests: `ai-proxy platform worker`, forked from one that has imported it, and killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path

from tests.forked import ForkedProgram
from tests.platform.servers import DEADLINE

ROOT = Path(__file__).parents[2]


class Workers:
    """Starts and ends processes of workers."""

    def __init__(self, config: Path, environment: Mapping[str, str]) -> None:
        self._config, self._environment = config, {**os.environ, **environment}
        self.log = config.with_name("workers.log")
        self._running: dict[int, ForkedProgram] = {}

    def start(self, *words: str) -> int:
        """Start one; its process id."""
        command = ["ai-proxy", "platform", "worker", "--config", str(self._config), *words]
        program = ForkedProgram(command, ROOT, self._environment, log=self.log)
        self._running[program.pid] = program
        return program.pid

    def end(self, pid: int, number: int = signal.SIGKILL) -> int:
        """End one by a signal; its exit status, negative for a signal."""
        program = self._running.pop(pid)
        os.kill(pid, number)
        return program.wait(DEADLINE)

    def begun(self) -> int:
        """How many have said that they work."""
        return self.log.read_text().count(" threads work; ") if self.log.exists() else 0

    def close(self) -> None:
        """End all."""
        for pid in list(self._running):
            self.end(pid)
