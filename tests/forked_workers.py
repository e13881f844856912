"""The workers of pytest-xdist, forked from the run of pytest that uses them, where execnet would start interpreters.

Otherwise each worker imports mitmproxy for itself, which is most of what such a run costs.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from execnet import gateway_io


class _Worker:
    """A process that does what execnet's interpreter does; it has what execnet uses of subprocess.Popen."""

    def __init__(self, others: list[_Worker]) -> None:
        their_input, our_output = os.pipe()
        our_input, their_output = os.pipe()
        self.stdin, self.stdout = os.fdopen(our_output, "wb"), os.fdopen(our_input, "rb")
        self.pid = os.fork()
        if self.pid:
            os.close(their_input)
            os.close(their_output)
            return
        for worker in (self, *others):
            worker.stdin.close()
            worker.stdout.close()
        for descriptor, standard in ((their_input, 0), (their_output, 1)):
            os.dup2(descriptor, standard)
            os.close(descriptor)
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
        sys.argv = ["-c"]
        # As execnet's own line; without one, the run has ended without this worker.
        line = sys.stdin.readline()
        exec(eval(line) if line else "", {"__name__": "__main__"})
        sys.exit()

    def wait(self) -> int:
        """Wait for its end."""
        return os.waitpid(self.pid, 0)[1]

    def kill(self) -> None:
        """End it at once."""
        os.kill(self.pid, signal.SIGKILL)


def fork_workers(count: int) -> None:
    """Fork so many workers, before this process has threads, and let execnet take them."""
    workers: list[_Worker] = []
    for _ in range(count):
        workers.append(_Worker(workers))
    start = gateway_io.Popen2IOMaster.__init__

    def take(self: gateway_io.Popen2IOMaster, args: Any, execmodel: Any) -> None:
        if not workers:
            start(self, args, execmodel)
            return
        worker = self.popen = workers.pop(0)
        super(gateway_io.Popen2IOMaster, self).__init__(worker.stdin, worker.stdout, execmodel=execmodel)

    gateway_io.Popen2IOMaster.__init__ = take  # type: ignore[method-assign]
