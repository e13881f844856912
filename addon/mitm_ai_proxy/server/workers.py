"""Several processes at one address, each with the same configuration: only where none has to know what others did."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator

from ..routing.providers import Providers

logger = logging.getLogger(__name__)


def reasons_against(providers: Providers, *, is_simulated: bool) -> Iterator[str]:
    """Why these providers need one process, in words."""
    if is_simulated:
        yield "the simulator keeps its tasks in memory"
    for name, provider in providers.by_id.items():
        named = name or provider.type
        if provider.remembers:
            yield f"{named} buys each create once by what one process remembers of equal ones"
        if provider.keys.failover.enabled:
            yield f"failover of {named} is what one process has seen of its tokens"
        if providers.lines.of(name):
            yield f"the limits of {named} (concurrency, rate, tokenLimits) are counted in one process"


def supervise(count: int, work: Callable[[int], None]) -> int:
    """Run work(0), work(1), ... in processes of their own until all have ended; returns the exit status.

    SIGTERM and SIGINT are passed on to them. If one ends by itself, the others are ended too.
    """
    children: dict[int, int] = {}
    for number in range(count):
        child = os.fork()
        if not child:
            status = 1
            try:
                work(number)
                status = 0
            finally:
                logging.shutdown()
                os._exit(status)
        children[child] = number
    is_stopping = False

    def stop(number: int, _: object) -> None:
        nonlocal is_stopping
        is_stopping = True
        for child in children:
            os.kill(child, number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    failed = False
    while children:
        child, status = os.waitpid(-1, 0)
        which = children.pop(child, None)
        if status and which is not None:
            failed = True
        if which is not None and not is_stopping:
            failed = is_stopping = True
            logger.error("ai-proxy: worker %d has ended by itself; the others are ended.", which + 1)
            for other in children:
                os.kill(other, signal.SIGTERM)
    return int(failed)
