"""Memory that is freed, in a process of its own."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

PICTURE = 10_000_000
SCRIPT = Path(__file__).parent.parent.parent / "addon" / "ai_proxy.py"
CODE = f"""
import resource, runpy, sys
from mitm_ai_proxy.edges import memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

if sys.argv[1] == "serve":
    memory.keep()
elif sys.argv[1] == "script":
    runpy.run_path({str(SCRIPT)!r})
else:
    import mitm_ai_proxy.gateway.embedded
before = resident()
for _ in range(3):
    picture = b"p" * {PICTURE}
    copy = picture[1:]
    del picture, copy
print(resident() - before)
"""


@pytest.mark.programs
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that gives memory back")
def test_the_memory_of_pictures_is_kept_but_not_in_the_process_of_others() -> None:
    left = [
        int(subprocess.run([sys.executable, "-c", CODE, edge], check=True, capture_output=True, timeout=60).stdout)
        for edge in ("serve", "script", "embedded")
    ]
    assert min(left[:2]) > 1.5 * PICTURE > PICTURE > left[2]
