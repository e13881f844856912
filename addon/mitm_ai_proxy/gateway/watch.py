"""A file that is watched: whoever asks learns that it has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

INTERVAL: Final = 0.5
"""Seconds between two looks."""


def signature(path: Path) -> tuple[int, ...] | None:
    """What changes when a file does; None when it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


class Watch:
    """Calls `changed` when the file is another one than when it was read last. `changed` must not raise."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._path: Path | None = None
        self._signature: tuple[int, ...] | None = None
        self._task: asyncio.Task[None] | None = None

    def read(self, path: Path) -> None:
        """Note the file as it is now, before it is read."""
        self._path, self._signature = path, signature(path)

    def forget(self) -> None:
        """Look at no file."""
        self._path = None

    def start(self) -> None:
        """Begin, in the running event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """End."""
        if self._task:
            self._task.cancel()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            if self._path is None:
                continue
            now = signature(self._path)
            if now != self._signature:
                self._signature = now
                self._changed()
