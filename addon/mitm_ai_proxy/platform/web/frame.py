"""What stands around every answer: its header fields, errors as JSON, and the count of requests."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .services import error_answer

logger = logging.getLogger(__name__)

Count = Callable[[str, str, int, float], None]
"""Counts a request: its method, the pattern of its path, the status, and the seconds until its answer began."""

_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_UNKNOWN_PATH: Final = "(none)"


class Frame:
    """An application within its frame."""

    def __init__(self, app: ASGIApp, count: Count) -> None:
        self._app, self._count = app, count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, has_ended = time.perf_counter(), 0, False
        request_id = f"req_{secrets.token_hex(12)}"

        async def framed(message: Message) -> None:
            nonlocal status, has_ended
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers["x-request-id"] = request_id
                route = scope.get("route")
                pattern = getattr(route, "path", _UNKNOWN_PATH)
                self._count(scope["method"], pattern, status, time.perf_counter() - started)
            elif not message.get("more_body", False):
                has_ended = True
            await send(message)

        try:
            await self._app(scope, receive, framed)
        except Exception as error:
            if not status:
                await error_answer(error)(scope, receive, framed)
            elif not has_ended:
                # The connection is closed, so that nobody takes half of an answer for a whole one.
                raise
