"""A watch on a file: it calls a function when the file has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

INTERVAL: Final = 0.5
"""Seconds between two checks."""


def signature(path: Path) -> tuple[int, ...] | None:
    """Modification time, size and inode of a file; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


class Watch:
    """Calls `changed` when the file's signature differs from the one at the last read(). `changed` must not raise."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._path: Path | None = None
        self._signature: tuple[int, ...] | None = None
        self._task: asyncio.Task[None] | None = None

    def read(self, path: Path) -> None:
        """Note the file's signature; call it before reading the file."""
        self._path, self._signature = path, signature(path)

    def forget(self) -> None:
        """Watch no file any more."""
        self._path = None

    def start(self) -> None:
        """Begin to watch, in the running event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """Stop watching."""
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
