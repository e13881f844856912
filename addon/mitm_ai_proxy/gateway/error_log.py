"""A log handler that collects the errors of an embedded proxy."""

from __future__ import annotations

import logging
from typing import Final

LOGGER: Final = logging.getLogger(__name__.partition(".")[0])
"""The logger of the whole package."""


class ErrorLog(logging.Handler):
    """Appends error messages to the list `texts`, which the caller may replace by another list."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Append the record's message."""
        self.texts.append(record.getMessage())
