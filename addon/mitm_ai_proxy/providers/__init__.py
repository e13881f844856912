"""The types of provider, and the way from a configuration to a provider that can be used."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .. import config
from ..config import HostPattern
from ..targets import DEFAULT_PORTS
from .base import Clock, Provider
from .kling import Kling
from .openai_compatible import Generic, OpenAI

TYPES: Final[Mapping[str, type[Provider]]] = {provider.type: provider for provider in (Kling, OpenAI, Generic)}

DEFAULT_HOSTS: Final = (HostPattern("api.openai.com"),)
"""Hosts that are rewritten in regular mode besides the provider's own, where `hosts` is not set."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A configuration in use: the active provider, and the hosts whose requests it takes in regular mode."""

    provider: Provider
    hosts: tuple[HostPattern, ...]

    def takes(self, host: str, port: int) -> bool:
        """Whether a request to this host and port is the provider's when clients choose their hosts."""
        return any(pattern.matches(host, port) for pattern in self.hosts)


def load(path: Path, environment: Mapping[str, str] = os.environ, clock: Clock = time.time) -> Settings:
    """Read a configuration file. Raises config.ConfigurationError."""
    return use(config.read(path, environment, TYPES), clock)


def use(configuration: config.Config, clock: Clock = time.time) -> Settings:
    """Put a checked configuration to use."""
    provider = TYPES[configuration.provider.type](configuration.provider, clock)
    origin = provider.origin
    # A port that is not the scheme's own may have neighbours on the same host that are somebody else's.
    own = HostPattern(origin.host, None if origin.port == DEFAULT_PORTS[origin.scheme] else origin.port)
    hosts = configuration.hosts if configuration.hosts is not None else (*DEFAULT_HOSTS, own)
    return Settings(provider, hosts)
