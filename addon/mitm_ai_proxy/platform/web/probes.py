"""Whether the platform lives, whether it can take jobs, and what can be measured of it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .. import alarms
from ..lanes import NEW, effective_limit
from ..money import MILLI
from ..states import State
from .services import READ, Services, answer

OK: Final = "ok"
_SECONDS: Final = 2.0
_NEEDED: Final = ("database", "storage")
"""Without these, no job can be taken or kept. Without the others jobs wait, and come to no harm."""


class Probes:
    """The endpoints for machines that look after this one."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.registry = CollectorRegistry()
        self.registry.register(_Store(services))
        self._requests = Counter(
            "platform_http_requests", "Requests.", ["method", "path", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "platform_http_seconds", "Seconds until an answer began.", ["method", "path"], registry=self.registry
        )
        self.callbacks = Counter("platform_callbacks", "Calls of Kling's.", ["result"], registry=self.registry)
        self.router = APIRouter()
        self.router.add_api_route("/healthz", self.health, methods=READ)
        self.router.add_api_route("/readyz", self.ready, methods=READ)
        self.router.add_api_route("/metrics", self.metrics, methods=READ)

    def count(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(method, path, str(status)).inc()
        self._seconds.labels(method, path).observe(seconds)

    async def health(self) -> Response:
        """Say that the process lives."""
        return answer({"status": OK})

    def ready(self) -> Response:
        """Say what works, how long the oldest job waits that somebody should work on, and which accounts are paused."""
        checks = {name: _tried(check) for name, check in self._checks().items()}
        is_ready = all(checks[name] == OK for name in _NEEDED)
        age = self._age() if checks["database"] == OK else None
        document: dict[str, Any] = {
            "status": OK if is_ready else "not ready",
            "checks": checks,
            "oldest_due_seconds": age,
        }
        if checks["database"] == OK:
            # No reason to be taken out of service: jobs wait, and the account of another one may be in order.
            paused = alarms.paused(self._services.store.lanes()).values()
            document["paused"] = [{"account": a.account, "model": a.model or None, "reason": a.reason} for a in paused]
        return answer(document, 200 if is_ready else 503)

    def metrics(self, request: Request) -> Response:
        """Metrics in the format of Prometheus."""
        self._services.caller(request)
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)

    def _age(self) -> float:
        now = self._services.clock()
        since = self._services.store.overview.oldest_due(now)
        return 0.0 if since is None else round(max(0.0, now - since), 3)

    def _checks(self) -> Mapping[str, Callable[[], object]]:
        services = self._services
        return {
            "database": lambda: services.store.overview.last_event(),
            "storage": services.storage.check,
            "queue": services.messages.waiting,
            **{
                f"gateway {account}": lambda url=url: _connect(url)  # type: ignore[misc]
                for account, url in services.deployment.gateways.items()
            },
        }


def _tried(check: Callable[[], object]) -> str:
    try:
        check()
    except Exception as error:
        # Which class it was, and not its text, which may hold a URL with a password.
        return type(error).__name__
    return OK


def _connect(url: str) -> None:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    socket.create_connection((parts.hostname or "", port), _SECONDS).close()


class _Store(Collector):
    """What the store says when it is asked."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterable[Metric]:
        """The gauges as they are now. Raises StoreError."""
        store, now = self._services.store, self._services.clock()
        settings = self._services.deployment.platform
        pulse = store.overview.pulse(now)
        since = store.overview.oldest_due(now)
        waiting_since = pulse.oldest_waiting or now
        yield _gauge("jobs", "Jobs by their state.", ["state"], {(s,): pulse.counts.get(s, 0) for s in State})
        yield _gauge("oldest_waiting_seconds", "Age of the oldest job in the queue.", [], {(): now - waiting_since})
        age = 0.0 if since is None else now - since
        yield _gauge("oldest_due_seconds", "How long the oldest due step waits for a worker.", [], {(): age})
        yield _gauge("videos_last_hour", "Videos stored in the last hour.", [], {(): pulse.stored_last_hour})
        lanes = store.lanes()
        slots: dict[tuple[str, str], int] = {}
        for held in store.held():
            key = (held.account, held.model)
            slots[key] = slots.get(key, 0) + held.slots
        yield _gauge("slots_held", "Tasks at Kling.", ["account", "model"], slots)
        limits = {
            key: effective_limit(lanes.get(key, NEW), settings.concurrencies.get(key[0], 0), now, settings.timing)
            for key in {*slots, *(key for key in lanes if key[1])}
        }
        yield _gauge("slots_limit", "Tasks that may be there at once.", ["account", "model"], limits)
        paused = {(account, model, lane.reason): 1 for (account, model), lane in lanes.items() if lane.reason}
        yield _gauge("lane_paused", "What is paused, and why.", ["account", "model", "reason"], paused)
        deliveries = {(state,): count for state, count in store.deliveries.counts().items()}
        yield _gauge("webhooks", "Webhooks to customers.", ["state"], deliveries)
        spent, reserved = store.overview.money(now)
        yield _gauge("units_today", "Units of today.", ["kind"], {("spent",): spent, ("reserved",): reserved}, MILLI)
        yield _gauge("messages_waiting", "Messages that no worker has taken yet.", [], self._messages())

    def _messages(self) -> dict[tuple[str, ...], float]:
        try:
            return {(): self._services.messages.waiting()}
        except Exception:
            # Redis is away: the other numbers are still true.
            return {}


def _gauge(
    name: str, help: str, labels: list[str], values: Mapping[tuple[Any, ...], float], divisor: float = 1
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"platform_{name}", help, labels=labels)
    for key, value in values.items():
        family.add_metric([str(word) for word in key], value / divisor)
    return family
