"""Processes of mitmproxy's tools and of pytest, forked from one that has imported mitmproxy and pytest already.

The import is most of what a start costs: about 1 s of CPU time of 1.5 s.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from subprocess import TimeoutExpired

import mitmproxy.tools.main
import pytest

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.preloaded"])


class ForkedProgram:
    """A running program, with the methods of subprocess.Popen that the tests use. `stdout` has its errors too.

    `command` is the path of mitmdump, mitmweb, ai-proxy or pytest with its arguments. With `log`, what it prints goes
    to the end of that file, and nothing to `stdout`.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, environment: dict[str, str], *, log: Path | None = None
    ) -> None:
        _start_fork_server()
        reader, writer = _FORKS.Pipe(duplex=False)
        self._process = _FORKS.Process(target=_run, args=(command, folder, environment, writer, log), daemon=True)
        self._process.start()
        writer.close()
        self.stdout = os.fdopen(os.dup(reader.fileno()), encoding="utf-8")
        reader.close()
        if log:
            self.stdout.close()
        assert self._process.pid
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """Wait for its end; returns its exit status. Raises TimeoutExpired after so many seconds."""
        self._process.join(timeout)
        status = self._process.exitcode
        if status is None:
            raise TimeoutExpired(self._process.name, timeout)
        return status

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """Send it SIGKILL."""
        self._process.kill()


@functools.cache
def _start_fork_server() -> None:
    # It finds what it imports from its current folder, and leaves out without a word what it does not find.
    with contextlib.chdir(Path(__file__).parents[1]):
        forkserver.ensure_running()


def _run(
    command: Sequence[str], folder: Path, environment: dict[str, str], output: Connection, log: Path | None
) -> None:
    """What the script at `command[0]` does, in this process."""
    preloaded = sys.modules["tests.preloaded"]
    to = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND) if log else output.fileno()
    for descriptor in (1, 2):
        os.dup2(to, descriptor)
    output.close()
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", buffering=1, closefd=False)
    os.environ.clear()
    os.environ.update(environment)
    # Kept by the process that it is forked from.
    tempfile.tempdir = None
    os.chdir(folder)
    program = Path(command[0])
    sys.argv = list(command)
    preloaded.offer_package()
    if program.name == "pytest":
        # A plugin of pytest's as well, which pytest wants to import itself; the platform has imported it.
        for name in [name for name in sys.modules if name.partition(".")[0] == "anyio"]:
            del sys.modules[name]
        # As `python -m pytest` does.
        sys.path[0] = str(folder)
        sys.path[1:1] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
        workers = [int(word[2:]) for word in command if re.fullmatch("-n[0-9]", word)]
        if workers:
            from tests.forked_workers import fork_workers

            fork_workers(workers[0])
        sys.exit(pytest.console_main())
    sys.path[0] = str(program.parent)
    if program.name == "ai-proxy":
        from mitm_ai_proxy.commands.main import main

        sys.exit(main())
    sys.exit(getattr(mitmproxy.tools.main, program.name)())
