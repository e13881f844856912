"""mitmproxy with the gateway in a thread of the tests' process, where it costs a tenth of a program's start."""

from __future__ import annotations

import logging
import queue
import re
from typing import Any

from mitm_ai_proxy import registry
from mitm_ai_proxy.gateway.addon import Gateway
from mitm_ai_proxy.gateway.embedded import Embedded
from mitm_ai_proxy.gateway.error_log import LOGGER
from mitm_ai_proxy.gateway.recorded import Recorded
from tests.e2e.proxy import DEADLINE, Listening


class _Lines(logging.Handler):
    """Keeps what the package logs."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: queue.Queue[str] = queue.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.put(record.getMessage() + "\n")


class InThread(Listening):
    """One with the text of a configuration, and with options of mitmproxy's; only one can run at a time."""

    def __init__(self, config: str, **options: Any) -> None:
        self._log = ""
        self._lines = _Lines()
        LOGGER.addHandler(self._lines)
        configuration = registry.read(config, offline="ai_replay" in options)
        self._embedded = Embedded(Gateway([Recorded()]), configuration, **options)
        self._embedded.start()
        self.port = self._embedded.port

    def wait_for(self, pattern: str) -> str:
        """Wait for the next text that is logged and matches the pattern; fails after DEADLINE."""
        while True:
            try:
                line = self._lines.lines.get(timeout=DEADLINE)
            except queue.Empty:
                raise AssertionError(f"no line with {pattern!r} in:\n{self._log}") from None
            self._log += line
            if re.search(pattern, line):
                return line

    def close(self) -> str:
        """Stop it, once all is written; returns all that was logged."""
        self._embedded.stop()
        LOGGER.removeHandler(self._lines)
        while not self._lines.lines.empty():
            self._log += self._lines.lines.get()
        return self._log
