"""What is asked of the server at an address of its own: whether it serves, numbers, and how its providers are."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..edges import health_report
from ..routing.health import Place, State
from ..routing.providers import Providers
from .answers import Out
from .exchange import LEFT, Exchange

_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """Counts what exchanges were. `providers`: those in use. `under_way`: how many requests are."""

    def __init__(
        self, providers: Callable[[], Providers], is_stopping: Callable[[], bool], under_way: Callable[[], int]
    ) -> None:
        self._providers, self._is_stopping = providers, is_stopping
        self._registry = CollectorRegistry()
        self._registry.register(_Health(providers))
        self._requests = Counter(
            "ai_proxy_requests", "Requests that have ended.", ["provider", "client", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "ai_proxy_request_seconds",
            "Seconds until a request has ended.",
            ["provider"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._tries = Counter("ai_proxy_tries", "Requests sent to providers.", ["provider"], registry=self._registry)
        gauge = Gauge("ai_proxy_requests_under_way", "Requests under way.", registry=self._registry)
        gauge.set_function(under_way)

    def sent(self, exchange: Exchange) -> None:
        """Count a try."""
        self._tries.labels(exchange.provider_name).inc()

    def ended(self, exchange: Exchange) -> None:
        """Count a request."""
        status = str(exchange.client.status or LEFT)
        self._requests.labels(exchange.provider_name, exchange.caller, status).inc()
        self._seconds.labels(exchange.provider_name).observe(time.monotonic() - exchange.begun)

    async def handle(self, request: web.BaseRequest) -> Out:
        """Answer a question."""
        path = request.raw_path.partition("?")[0]
        if path == "/healthz":
            status = 503 if self._is_stopping() else 200
            body = json.dumps({"status": "stopping" if self._is_stopping() else "ok"}).encode()
            return await _answer(request, status, b"application/json", body)
        if path == "/metrics":
            return await _answer(request, 200, CONTENT_TYPE_LATEST.encode(), generate_latest(self._registry))
        if path == "/providers":
            body = "".join(f"{line}\n" for line in health_report.lines(self._providers())).encode()
            return await _answer(request, 200, b"text/plain; charset=utf-8", body)
        return await _answer(request, 404, b"text/plain", b"there are /healthz, /metrics and /providers\n")


async def _answer(request: web.BaseRequest, status: int, kind: bytes, body: bytes) -> Out:
    answer = Out(status, ((b"Content-Type", kind), (b"Content-Length", b"%d" % len(body))))
    await answer.prepare(request)
    await answer.write_eof(b"" if request.method == "HEAD" else body)
    return answer


class _Health(Collector):
    """Which tokens and providers are in use."""

    def __init__(self, providers: Callable[[], Providers]) -> None:
        self._providers = providers

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        found = GaugeMetricFamily("ai_proxy_in_use", "1 in use, 0 left out or on trial.", labels=["provider", "token"])
        providers = self._providers()
        for name, provider in providers.by_id.items():
            for place in dict.fromkeys([Place(name), *providers.places(name)]):
                is_in_use = providers.health.of(place).state is State.IN_USE
                token = "" if place.token is None else str(place.token + 1)
                found.add_metric([name or provider.type, token], float(is_in_use))
        yield found
