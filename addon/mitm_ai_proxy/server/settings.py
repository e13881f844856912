"""The configuration in use: read at the start, and again when its file has changed, all or nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from .. import registry
from ..config.file import ConfigurationError
from ..config.keys import Problem
from ..edges import configured
from ..edges.clients import Clients
from ..edges.pages import Rules
from ..edges.token_fetcher import TokenFetcher
from ..edges.watch import Watch
from ..registry import Configuration
from ..routing.providers import Providers
from . import workers

logger = logging.getLogger(__name__)


class InUse(NamedTuple):
    """What requests are served by; one that has begun keeps what it began with."""

    configuration: Configuration
    providers: Providers
    rules: Rules
    clients: Clients


class Settings:
    """Holds it. `needs_clients`: whether clients have to be known, since the proxy listens to other machines.

    `use` is told of each configuration that follows the first.
    """

    def __init__(
        self,
        path: Path,
        *,
        simulated: bool = False,
        needs_clients: bool = False,
        workers: int = 1,
    ) -> None:
        """`workers`: how many processes share the work."""
        self.path, self._workers = path, workers
        self.use: Callable[[InUse], None] | None = None
        self.is_simulated = simulated
        self._needs_clients = needs_clients
        self._watch = Watch(self._load, self._use_changed)
        self._tokens = TokenFetcher()
        self.in_use = self._made(self._read_first())

    def _read_first(self) -> Configuration:
        self._watch.read(self.path)
        return self._read(self.path)

    def start(self) -> None:
        """Watch the file, and keep access tokens fresh, in the running event loop."""
        self._watch.start()
        self._tokens.start()

    def stop(self) -> None:
        """End it."""
        self._watch.stop()
        self._tokens.stop()

    def _read(self, path: Path) -> Configuration:
        found = registry.read(path, simulated=self.is_simulated)
        return configured.with_texts(found, is_offline=self.is_simulated)

    def _made(self, configuration: Configuration) -> InUse:
        clients = Clients(configuration.block(registry.ClientSettings).client_tokens)
        if self._needs_clients and not clients:
            raise ConfigurationError(configuration.source, [_NO_CLIENTS])
        providers = registry.providers(configuration, simulated=self.is_simulated)
        if self._workers > 1:
            reasons = workers.reasons_against(providers, is_simulated=self.is_simulated)
            if problems := [Problem("", f"does not go with --workers: {reason}") for reason in reasons]:
                raise ConfigurationError(configuration.source, problems)
        self._tokens.use(configured.access_tokens(providers), is_offline=self.is_simulated)
        configured.describe(configuration, providers)
        return InUse(configuration, providers, configured.rules(configuration, providers), clients)

    def _load(self, path: Path) -> Configuration | Exception:
        try:
            return self._read(path)
        except Exception as error:
            return error

    def _use_changed(self, loaded: Configuration | Exception) -> None:
        try:
            if isinstance(loaded, Exception):
                raise loaded
            self.in_use = self._made(loaded)
            if self.use:
                self.use(self.in_use)
        except ConfigurationError as error:
            logger.error("ai-proxy: %s\n  (the old configuration stays)", error)
        except Exception as error:
            logger.error("ai-proxy: %s while reading %s", type(error).__name__, self.path)


_NO_CLIENTS = Problem(
    "clientTokens",
    "is missing: whoever reaches this address would spend your money. Give each client a name and a token, such as"
    ' clientTokens: {web-shop: "${WEB_SHOP_TOKEN}"}',
)
