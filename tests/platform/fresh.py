"""Empty stores in files: the schema is made once in a process, and copied."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

from mitm_ai_proxy.platform.store import Store


@functools.cache
def _made() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "jobs.db"
        Store(path).close()
        return path.read_bytes()


def store(path: Path, **options: Any) -> Store:
    """The store in a file, which is an empty one where there is no file."""
    if not path.exists():
        path.write_bytes(_made())
    return Store(path, **options)
