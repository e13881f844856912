"""The log: a line for each request, as text or as JSON."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Final

from ..wire.printable import printable
from .exchange import LEFT, Exchange

logger = logging.getLogger(__name__)

FORMS: Final = ("text", "json")
_EXTRA: Final = "request"


def ended(exchange: Exchange) -> None:
    """Write the line of a request that has ended."""
    if not logger.isEnabledFor(logging.INFO):
        return
    status = exchange.client.status or LEFT
    milliseconds = round((time.monotonic() - exchange.begun) * 1000, 1)
    found = {
        "request": exchange.described,
        "status": status,
        "milliseconds": milliseconds,
        "provider": exchange.provider_name,
        "client": exchange.caller,
        "notes": exchange.notes,
    }
    who = f" for {exchange.caller}" if exchange.caller else ""
    notes = printable("; ".join(exchange.notes))
    text = f"ai-proxy: {status} {exchange.described}{who} in {milliseconds:g} ms{': ' if notes else ''}{notes}"
    logger.info("%s", text, extra={_EXTRA: found})


class _Json(logging.Formatter):
    """One JSON object in each line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            **(getattr(record, _EXTRA, None) or {"message": record.getMessage()}),
        }
        return json.dumps(line, ensure_ascii=False)


def begin(form: str, level: int) -> None:
    """Write the log of the package to the standard error output."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else logging.Formatter("[%(asctime)s] %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger(__name__.partition(".")[0]).setLevel(level)
    # It quotes what clients send.
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)
