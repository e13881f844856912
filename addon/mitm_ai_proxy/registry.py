"""The types of provider, and the way from a configuration to a provider that can be used."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from .auth.secret import Secret
from .config import file as config
from .config.file import ConfigurationError, HostPattern, Problem, ProviderConfig
from .kling.api_versions import V2
from .kling.provider import Kling
from .providers.base import Clock, Provider
from .providers.rows import Generic, OpenAI
from .wire.targets import DEFAULT_PORTS

TYPES: Final[Mapping[str, type[Provider]]] = {provider.type: provider for provider in (Kling, OpenAI, Generic)}

DEFAULT_HOSTS: Final = (HostPattern("api.openai.com"),)
"""Hosts that are rewritten in regular mode besides the provider's own, where `hosts` is not set."""


class Simulated(Protocol):
    """A simulator: the credentials that it takes, and its speed."""

    @property
    def access_key(self) -> str:
        """The access key of the pair."""

    @property
    def secret_key(self) -> Secret:
        """Its secret."""

    @property
    def api_key(self) -> Secret:
        """The single key."""

    @property
    def speed(self) -> float:
        """How much faster than the real provider it is."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A configuration in use: the active provider, and the hosts whose requests it takes in regular mode."""

    provider: Provider
    hosts: tuple[HostPattern, ...]
    scrub: tuple[str, ...] = ()
    """What is left out of cassettes beside what always is."""

    def takes(self, host: str, port: int) -> bool:
        """Whether a request to this host and port is the provider's when clients choose their hosts."""
        return any(pattern.matches(host, port) for pattern in self.hosts)


def load(
    path: Path,
    environment: Mapping[str, str] = os.environ,
    clock: Clock = time.time,
    simulated: Simulated | None = None,
    offline: bool = False,
) -> Settings:
    """Read a configuration file. Raises config.ConfigurationError.

    `offline`: nothing is going to be sent, and a credential may be missing. With `simulated`, that holds too, and its
    credentials stand in for those of the file, or for none.
    """
    # Where videos are replayed, nobody has set the variables of a key.
    optional = config.CREDENTIALS if offline else frozenset[str]()
    read = config.read(path, environment, TYPES, offline=offline or simulated is not None, optional=optional)
    if simulated:
        if read.provider.type != Kling.type:
            raise ConfigurationError(str(path), [Problem("ai_simulate", f"only {Kling.type} can be simulated")])
        read = replace(read, provider=_with_credential(read.provider, simulated))
    return use(read, clock)


def _with_credential(provider: ProviderConfig, simulated: Simulated) -> ProviderConfig:
    nobody = replace(provider, kling_access_key="", kling_secret_key=Secret(""), api_tokens=(), speed=simulated.speed)
    if provider.kling_api == V2 or (provider.api_tokens and not provider.kling_access_key):
        return replace(nobody, api_tokens=(simulated.api_key,))
    return replace(nobody, kling_access_key=simulated.access_key, kling_secret_key=simulated.secret_key)


def use(configuration: config.Config, clock: Clock = time.time) -> Settings:
    """Put a checked configuration to use."""
    provider = TYPES[configuration.provider.type](configuration.provider, clock)
    origin = provider.origin
    # A port that is not the scheme's own may have neighbours on the same host that are somebody else's.
    own = HostPattern(origin.host, None if origin.port == DEFAULT_PORTS[origin.scheme] else origin.port)
    hosts = configuration.hosts if configuration.hosts is not None else (*DEFAULT_HOSTS, own)
    return Settings(provider, hosts, configuration.scrub)
