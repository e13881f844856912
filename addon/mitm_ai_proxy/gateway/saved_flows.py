"""Reads the flows of a file that mitmproxy saved, one by one, whatever is in it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from enum import Enum, auto
from pathlib import Path
from typing import BinaryIO

from mitmproxy import exceptions, flow
from mitmproxy.io import FlowReader


class SavedFlowsError(Exception):
    """A file that cannot be read on; the text is for the user."""


class Begin(Enum):
    """How a file begins: as flows that mitmproxy saved (a number and a colon), as JSON, or otherwise."""

    FLOWS = auto()
    JSON = auto()
    FOREIGN = auto()


def begin(path: Path) -> Begin:
    """How a file begins. Raises OSError."""
    with _opened(path) as file:
        start = file.read(256)
    number, colon, _ = start[:16].partition(b":")
    if colon and number.isdigit():
        return Begin.FLOWS
    return Begin.JSON if start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{" else Begin.FOREIGN


def read(path: Path) -> Iterator[flow.Flow]:
    """The flows of a file. Raises OSError, and SavedFlowsError behind those that could be read."""
    count = 0
    with _opened(path) as file:
        size, end = os.fstat(file.fileno()).st_size, 0
        try:
            for one in FlowReader(file).stream():
                yield one
                count, end = count + 1, file.tell()
        except Exception as error:  # FlowReadException, and whatever a state raises that is not one of a flow
            kind = "" if isinstance(error, exceptions.FlowReadException) else f" ({type(error).__name__})"
            where = f"behind flow {count}, from byte {end:,} of {size:,} on" if count else "in it"
            raise SavedFlowsError(f"what stands {where} is no flow, or is cut off{kind}") from None


def _opened(path: Path) -> BinaryIO:
    """A regular file; a pipe would have to be waited for."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    file = open(descriptor, "rb")  # noqa: SIM115 - the caller closes it
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise OSError(0, "it is not a regular file")
    return file
