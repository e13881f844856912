"""What the commands that send requests say of their progress, and how they stop."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Final, TextIO

from ..cassette import jobs, listing, polling
from ..cassette.bodies import CassetteError
from ..cassette.entry import Entry, Response
from ..cassette.rerecord_plan import PlanError
from ..config.file import ConfigurationError
from ..gateway.embedded import NotStarted
from ..gateway.stages import StageError

PROGRAM: Final = "ai-proxy"


class Stop(Exception):
    """The command cannot continue; the text is for the user."""


EXPECTED: Final = (CassetteError, ConfigurationError, NotStarted, PlanError, StageError, Stop, KeyboardInterrupt)


def reported(run: Callable[[], bool]) -> int:
    """The exit status of a command: 0 if it returns true; an expected error is written to stderr."""
    try:
        return 0 if run() else 1
    except EXPECTED as error:
        complain(error)
        return 1


def outcome(response: Response | None) -> str:
    """An answer in a few words."""
    if response is None:
        return "no answer"
    if listing.is_file(response) and response.status < 300:
        return f"{response.status}, {len(response.body):,} bytes"
    name = jobs.task_id(response)
    return f"{response.status}, task {name}" if name else str(response.status)


def with_explanation(text: str, recorded: Sequence[Entry]) -> str:
    """A text with the provider's explanation, taken from the recording, which has no secrets."""
    response = recorded[-1].response if recorded else None
    said = polling.explanation(response) if response else ""
    return f"{text}: {said}" if said else text


def count(number: int, noun: str) -> str:
    """A number of things in words, such as `2 requests`."""
    return f"{number:,} {noun if number == 1 else f'{noun}s'}"


def say(line: str) -> None:
    """Write a line to stdout."""
    _write(line, sys.stdout)


def complain(problem: object) -> None:
    """Write an error to stderr."""
    _write(f"{PROGRAM}: {str(problem) or 'interrupted'}", sys.stderr)


def _write(text: str, to: TextIO) -> None:
    encoding = to.encoding or "utf-8"
    shown = "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
    try:
        to.write(shown.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        to.flush()
    except OSError:
        # The reader of the output is gone; a job that is paid for is still recorded.
        os.dup2(os.open(os.devnull, os.O_WRONLY), to.fileno())
