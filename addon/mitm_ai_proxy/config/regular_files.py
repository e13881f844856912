"""Reads regular files only: a pipe would block whoever opens it, and a device may never end."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def content(path: Path, limit: int | None = None) -> bytes:
    """The bytes of a regular file; with a limit, up to this many. Raises OSError."""
    # Opening a pipe must not wait for its writer either.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "it is not a regular file")
        data = file.read() if limit is None else file.read(limit + 1)
    if limit is not None and len(data) > limit:
        raise OSError(0, f"it is longer than {limit} bytes")
    return data
