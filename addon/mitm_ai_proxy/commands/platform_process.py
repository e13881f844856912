"""What the processes of `ai-proxy platform` have in common: how they end, and that they cannot start."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class CannotStart(Exception):
    """A process cannot start; the text says why."""


@contextmanager
def ended() -> Iterator[Callable[[Callable[[], bool]], int]]:
    """A function that waits for SIGTERM or SIGINT, or until what it is given says that a part has ended by itself.

    It gives the exit status. The signals are heard from the beginning of the block to its end.
    """
    is_asked = threading.Event()
    signals = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda *_: is_asked.set()) for number in signals}

    def wait(has_failed: Callable[[], bool]) -> int:
        while not is_asked.wait(1):
            if has_failed():
                print("ai-proxy: a part of the platform has ended by itself; its log says why.", file=sys.stderr)
                return 1
        print("ending: what is in hand is finished", flush=True)
        return 0

    try:
        yield wait
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
