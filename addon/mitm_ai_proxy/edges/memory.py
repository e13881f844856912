"""What the C library does with memory that is freed."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

KEPT: Final = 256 * 1024 * 1024
"""Bytes that are kept."""
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_LONGEST: Final = 32 * 1024 * 1024
"""Bytes up to which glibc takes memory from what it keeps; some versions allow no more."""


def keep() -> None:
    """Have glibc keep what is freed, up to KEPT: by chance it gives the memory of each picture back, and gets it anew.

    To copy a picture into memory that is new took ten times as long (tests/bench/README.md).
    """
    if not sys.platform.startswith("linux"):
        return
    library = ctypes.CDLL(None)
    if mallopt := getattr(library, "mallopt", None):
        mallopt(_MMAP_THRESHOLD, _LONGEST)
        mallopt(_TRIM_THRESHOLD, KEPT)
