"""What the proxy logs as an error, kept for whoever started it in this process and has no terminal to look at."""

from __future__ import annotations

import logging
from typing import Final

LOGGER: Final = logging.getLogger(__name__.partition(".")[0])
"""Of the whole package."""


class ErrorLog(logging.Handler):
    """Collects the messages in `texts`, which may be exchanged for another list."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take up a message."""
        self.texts.append(record.getMessage())
