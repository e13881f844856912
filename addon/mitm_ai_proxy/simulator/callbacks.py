"""Callbacks: signed POST requests with the task object to the client's `callback_url` at each change of status.

Only loopback and the hosts in `callbackHosts` are called. Source: Kling API documentation, callbacks.
"""

from __future__ import annotations

import base64
import hashlib
import heapq
import hmac
import http.client
import ipaddress
import itertools
import logging
import threading
import uuid
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from ..wire.printable import printable
from .settings import SimulatorSettings
from .tasks import Clock

logger = logging.getLogger(__name__)

TIMEOUT: Final = 5.0
"""Seconds."""
MAX_WAITING: Final = 10_000
"""Scheduled callbacks; further ones are dropped."""
# Seconds. The clock is polled, because a test may set it.
_POLL_INTERVAL: Final = 0.05


class _Due(NamedTuple):
    at: float
    number: int
    url: str
    body: Callable[[], bytes]


class Callbacks:
    """Sends scheduled callbacks, once each, in a thread that ends when none is left. `clock` gives seconds."""

    def __init__(self, settings: SimulatorSettings, clock: Clock) -> None:
        self.settings = settings
        self._clock = clock
        self._waiting: list[_Due] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._woken = threading.Event()

    def schedule(self, url: str, bodies: Iterable[tuple[float, Callable[[], bytes]]]) -> None:
        """Schedule a POST to `url` for each (time, function that makes the body). Times are Kling's, in seconds."""
        if not self._is_allowed(url):
            logger.warning(
                "simulator: no callback to %s: loopback only, unless simulator.callbackHosts names the host.",
                printable(urlsplit(url).hostname or ""),
            )
            return
        with self._lock:
            for at, body in bodies:
                if len(self._waiting) < MAX_WAITING:
                    heapq.heappush(self._waiting, _Due(at, next(self._numbers), url, body))
            if self._waiting and self._thread is None:
                self._thread = threading.Thread(target=self._work, name="simulator callbacks", daemon=True)
                self._thread.start()
        self._woken.set()

    def _work(self) -> None:
        while True:
            self._woken.clear()
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                now = self._clock() + self.settings.clock_skew
                due = heapq.heappop(self._waiting) if self._waiting[0].at <= now else None
            if due is None:
                self._woken.wait(_POLL_INTERVAL)
                continue
            try:
                _post(due.url, due.body(), self.settings, self._clock() + self.settings.clock_skew)
            except (OSError, ValueError, http.client.HTTPException) as error:
                host = printable(urlsplit(due.url).hostname or "")
                logger.warning("simulator: callback to %s failed: %s", host, type(error).__name__)

    def _is_allowed(self, url: str) -> bool:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        port = parts.port or {"https": 443}.get(parts.scheme, 80)
        if host == "localhost" or any(pattern.matches(host, port) for pattern in self.settings.callback_hosts):
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False


def signature(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    """The value of `webhook-signature`: HMAC-SHA256 of id, timestamp and body; the key is in the secret (`whsec_…`)."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = b".".join([message_id.encode(), timestamp.encode(), body])
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def _post(url: str, body: bytes, settings: SimulatorSettings, now: float) -> None:
    parts = urlsplit(url)
    headers = {"Content-Type": "application/json"}
    if settings.webhook_secret:
        message_id, timestamp = uuid.uuid4().hex, str(int(now))
        headers |= {
            "webhook-id": message_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": signature(settings.webhook_secret.reveal(), message_id, timestamp, body),
        }
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    # http.client uses no proxy and follows no redirect, so that only allowed hosts are called.
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT)
    try:
        connection.request("POST", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), body, headers)
        connection.getresponse().read(65536)
    finally:
        connection.close()
