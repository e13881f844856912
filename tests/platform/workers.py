"""Worker processes for tests: `ai-proxy platform worker`, forked from one that has imported it, and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FORKS = """
import json, os, signal, sys
from mitm_ai_proxy.commands import main, platform
for line in sys.stdin:
    given = json.loads(line)
    if "end" in given:
        os.kill(given["end"], given["signal"])
        print(os.waitstatus_to_exitcode(os.waitpid(given["end"], 0)[1]), flush=True)
        continue
    pid = os.fork()
    if not pid:
        os.environ.update(given["environment"])
        log = os.open(given["log"], os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        for number in (1, 2):
            os.dup2(log, number)
        os.close(0)
        os._exit(main.main(given["words"]))
    print(pid, flush=True)
"""


class Workers:
    """Starts and ends processes of workers. Their import, most of what a start costs, is done once."""

    def __init__(self, config: Path, environment: Mapping[str, str]) -> None:
        self._config, self._environment = config, dict(environment)
        self.log = config.with_name("workers.log")
        self._forks = subprocess.Popen(
            [sys.executable, "-c", _FORKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        self._running: set[int] = set()

    def start(self, *words: str) -> int:
        """Start one; its process id."""
        pid = int(
            self._ask(
                environment=self._environment,
                log=str(self.log),
                words=["platform", "worker", "--config", str(self._config), *words],
            )
        )
        self._running.add(pid)
        return pid

    def end(self, pid: int, number: int = signal.SIGKILL) -> int:
        """End one by a signal; its exit status, negative for a signal."""
        self._running.discard(pid)
        return int(self._ask(end=pid, signal=int(number)))

    def begun(self) -> int:
        """How many have said that they work."""
        return self.log.read_text().count(" threads work; ") if self.log.exists() else 0

    def close(self) -> None:
        """End all."""
        for pid in list(self._running):
            self.end(pid)
        self._forks.communicate()

    def _ask(self, **question: object) -> str:
        assert self._forks.stdin
        assert self._forks.stdout
        self._forks.stdin.write(json.dumps(question) + os.linesep)
        self._forks.stdin.flush()
        return self._forks.stdout.readline()
