"""A lock between processes that write files of one folder; the operating system releases it when its holder dies."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PAUSE: Final = 0.005
"""Seconds between two tries on Windows, where nobody can wait for a lock without a limit."""

# How file systems, such as NFS, say that a folder cannot be locked.
_NO_LOCKS: Final = frozenset((errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP))

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        while True:
            try:
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            except PermissionError:
                time.sleep(PAUSE)
            else:
                return

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, which is made if there is none; no file stays in it. Raises OSError.

    Threads exclude each other as processes do. It must not be taken twice by one thread.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = _locked(folder)
    try:
        yield
    finally:
        # Closing alone would leave it to a process that was forked meanwhile.
        _unlock(descriptor)
        os.close(descriptor)


def _locked(folder: Path) -> int:
    """An open file that is locked: the folder itself, or where folders cannot be locked, a file in its place."""
    if sys.platform != "win32":
        try:
            return _opened(folder, os.O_RDONLY)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
    return _opened(_substitute(folder), os.O_RDWR | os.O_CREAT)


def _opened(path: Path, flags: int) -> int:
    descriptor = os.open(path, flags, 0o600)
    try:
        _lock(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _substitute(folder: Path) -> Path:
    """The file in the user's temporary folder that is locked in the place of a folder."""
    user = str(os.getuid()) if sys.platform != "win32" else ""
    digest = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:32]
    return Path(tempfile.gettempdir()) / f"ai-proxy-{user}-{digest}.lock"
