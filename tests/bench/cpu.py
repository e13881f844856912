"""The CPU time of a process and its children, and its memory, from /proc. Linux only."""

from __future__ import annotations

import ctypes
import os
import re
import time
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
# Positions in /proc/PID/stat after the name of the program; proc_pid_stat(5) counts from 1 and the name is 2.
SESSION: Final = 6 - 3
ENDED_CHILDREN: Final = slice(16 - 3, 18 - 3)


def supported() -> bool:
    """Whether the CPU time of another process can be read here."""
    return (PROC / "self" / "stat").exists() and hasattr(ctypes.CDLL(None), "clock_getcpuclockid")


def seconds(pid: int) -> float:
    """User and system time so far of all threads of a process that leads a session, and of its children.

    It is exact for running processes; that of ended children is counted in ticks, usually of 10 ms.
    """
    ended = sum(map(int, _stat(pid)[ENDED_CHILDREN])) / os.sysconf("SC_CLK_TCK")
    return ended + sum(map(_clock, _session(pid)))


def resident(pid: int) -> float:
    """Megabytes of memory that a process has now."""
    status = (PROC / str(pid) / "status").read_text()
    found = re.search(r"^VmRSS:\s+([0-9]+) kB", status, re.MULTILINE)
    assert found
    return int(found[1]) / 1024


def _session(leader: int) -> list[int]:
    members = []
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            try:
                session = int(_stat(int(folder.name))[SESSION])
            except (FileNotFoundError, ProcessLookupError):
                continue  # the process has ended meanwhile
            if session == leader:
                members.append(int(folder.name))
    return members


def _stat(pid: int) -> list[str]:
    """The fields from the third on; the name before them may have spaces and brackets."""
    return (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()


def _clock(pid: int) -> float:
    clock = ctypes.c_int()
    error = ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock))
    if error:
        raise OSError(error, f"process {pid}: {os.strerror(error)}")
    return time.clock_gettime_ns(clock.value) / 1e9
