"""A watch on a file that somebody may be writing: it is read in a thread, and used when it has stayed the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

INTERVAL: Final = 0.5
"""Seconds between two looks."""

T = TypeVar("T")


def signature(path: Path) -> tuple[int, ...] | None:
    """Modification time, size and inode of a file; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


class Watch(Generic[T]):
    """Loads a file again when it has changed since the last read(), and looked the same twice.

    `load` gets the path, in a thread; `use` gets its result, in the event loop. Neither may raise.
    """

    def __init__(self, load: Callable[[Path], T], use: Callable[[T], None]) -> None:
        self._load = load
        self._use = use
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
        seen = self._signature
        while True:
            await asyncio.sleep(INTERVAL)
            path, before = self._path, seen
            if path is None:
                continue
            seen = await asyncio.to_thread(signature, path)
            if seen == self._signature or seen != before:
                continue
            loaded = await asyncio.to_thread(self._load, path)
            if path == self._path and await asyncio.to_thread(signature, path) == seen:
                self._signature = seen
                self._use(loaded)
