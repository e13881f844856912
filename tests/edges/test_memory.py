"""Memory that is freed, in a process of its own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PICTURE = 10_000_000
CODE = f"""
import os, resource, sys
from mitm_ai_proxy.edges import memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

if sys.argv[1] == "keep":
    memory.keep()
before = resident()
for _ in range(3):
    picture = b"p" * {PICTURE}
    copy = picture[1:]
    del picture, copy
print(resident() - before)
"""


@pytest.mark.programs
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that gives memory back")
def test_the_memory_of_pictures_is_kept() -> None:
    left = [
        int(subprocess.run([sys.executable, "-c", CODE, mode], check=True, capture_output=True, timeout=60).stdout)
        for mode in ("keep", "do not")
    ]
    assert left[0] > 2 * PICTURE > PICTURE > left[1]
