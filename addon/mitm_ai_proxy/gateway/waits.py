"""Those who wait between two tries or in line, so that a proxy that is stopped answers them first."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from mitmproxy import ctx

from ..edges.lines import LOOK

PATIENCE: Final = 1.0
"""Seconds that a proxy that is stopped gives to its answers."""
_NAME: Final = "ai_proxy_waits"


class Waits:
    """An addon, added when somebody waits for the first time. `is_over`: the proxy is being stopped."""

    name = _NAME

    def __init__(self) -> None:
        self.is_over = False
        self.count = 0

    async def done(self) -> None:
        """Have all of them be answered; mitmproxy ends behind this."""
        self.is_over = True
        left = PATIENCE if self.count else 0.0
        while left > 0 and self.count:
            await asyncio.sleep(LOOK / 4)
            left -= LOOK / 4
        if left:
            # For the layers to write the answers.
            await asyncio.sleep(LOOK)


def here() -> Waits:
    """That of this process; a reload of the script goes on with it."""
    found: Any = ctx.master.addons.get(_NAME)
    if found is None:
        found = Waits()
        ctx.master.addons.add(found)
    waits: Waits = found
    return waits
