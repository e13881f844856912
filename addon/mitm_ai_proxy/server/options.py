"""What `ai-proxy serve` is told by its command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..edges.held import DEFAULT_LIMIT


@dataclass(frozen=True, slots=True)
class Options:
    """Its options. `metrics_port` None: no metrics. `grace`: seconds that requests have to end when it is stopped."""

    config: Path
    host: str = "127.0.0.1"
    port: int = 8080
    simulate: bool = False
    held_bodies: int = DEFAULT_LIMIT
    grace: float = 30.0
    certificate: Path | None = None
    upstream_ca: Path | None = None
    uses_proxies: bool = False
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None
    workers: int = 1
