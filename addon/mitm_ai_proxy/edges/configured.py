"""What both edges make of a configuration: its texts, who may come in, what is said of it in the log."""

from __future__ import annotations

import logging

from .. import registry
from ..auth.access_tokens import AccessTokens
from ..providers.fetches import Fetch
from ..registry import Configuration
from ..routing.providers import Providers
from ..wire.targets import Url
from . import fetching
from .pages import Rules

logger = logging.getLogger(__name__)


def with_texts(configuration: Configuration, *, is_offline: bool) -> Configuration:
    """The configuration with the files of its providers. Where nothing is sent, no URL is loaded, either."""

    def load(fetch: Fetch) -> str:
        if isinstance(fetch.source, Url) and is_offline:
            return ""
        text = fetching.load(fetch)
        logger.info("ai-proxy: %s loaded for %s: %d characters", fetch.source, fetch.key, len(text))
        return text

    return registry.fetched(configuration, load)


def access_tokens(providers: Providers) -> list[AccessTokens]:
    """What has to be fetched for these providers."""
    return [provider.access_tokens for provider in providers if provider.access_tokens]


def rules(configuration: Configuration, providers: Providers) -> Rules:
    """Which pages may come in, and by which names of hosts."""
    names = [pattern.host for pattern in registry.hosts(configuration, *providers)]
    allowed = configuration.block(registry.PageSettings).allowed_origins
    return Rules.made(allowed, registry.public_origins(configuration), names)


def describe(configuration: Configuration, providers: Providers) -> None:
    """Say in the log where requests are sent, and what is likely to be a mistake."""
    for line in registry.described(configuration, providers):
        logger.info("ai-proxy: %s: %s", configuration.source, line)
    for warning in registry.warnings(configuration):
        logger.warning("ai-proxy: %s: %s", configuration.source, warning)
