"""The providers that the requests of a cassette are sent to again."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from .. import registry
from ..cassette import links, rerecord_plan
from ..cassette.entry import Request
from ..cassette.recorded_api import Prices
from ..cassette.settings import CassetteSettings
from ..providers.common_keys import CommonKeys
from ..registry import Configuration
from ..wire.targets import Origin
from .cassette_progress import Stop

CONNECT_TIMEOUT: Final = 10.0


class CassetteProviders:
    """The providers of a configuration file, by their origins. Raises ConfigurationError."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self._configuration = registry.read(config)
        self._providers = registry.providers(self._configuration)
        self.origin: Origin = self._providers.main.origin
        self.origins = sorted({provider.origin for provider in self._providers}, key=str)
        self.prices: Prices = registry.recorded_api(*{provider.type for provider in self._providers})
        self._asked: list[Origin] = []

    def check(self, path: Path, requests: Sequence[Request]) -> None:
        """Raise Stop if a request was recorded at another host, or needs a credential that is not configured."""
        asked = {links.origin(request.url) for request in requests}
        self._asked = [origin for origin in self.origins if str(origin) in asked]
        elsewhere = sorted(asked - {str(origin) for origin in self.origins})
        if elsewhere:
            raise Stop(
                f"{path} was recorded with {', '.join(elsewhere)}, and {self.config} leads to"
                f" {', '.join(map(str, self.origins))}. Nothing was sent."
            )
        if any(rerecord_plan.has_credential(request) and not self._has_credential(request) for request in requests):
            raise Stop(
                f"{path} was recorded with a client's credential, which no cassette holds: give apiTokens in"
                f" {self.config}. Nothing was sent."
            )

    def _has_credential(self, request: Request) -> bool:
        """Whether a credential is configured for a recorded request."""
        provider = self._providers.at(Origin.parse(links.origin(request.url)))
        return provider is not None and provider.has_credential

    def reach(self) -> None:
        """Raise Stop if no connection to a provider that is asked can be made."""
        for origin in self._asked or [self.origin]:
            try:
                socket.create_connection((origin.host, origin.port), CONNECT_TIMEOUT).close()
            except OSError as error:
                reason = error.strerror or type(error).__name__
                raise Stop(f"{origin} cannot be reached ({reason}). Nothing was sent.") from None

    def as_recorded(self) -> Configuration:
        """The configuration, without what would change more of a request than its host and credential.

        Of several providers, the one is asked whose host the client names.
        """
        # Base paths are for clients' requests: the paths in a recording are those of the upstream.
        none = CommonKeys()
        providers = {
            name: replace(
                keys,
                protocol="original",
                base_path=none.base_path,
                base_path_handling=none.base_path_handling,
                provider_base_path=none.provider_base_path,
            )
            for name, keys in self._configuration.providers.items()
        }
        # The links are followed here, so that they need no public URL.
        cassette = replace(self._configuration.block(CassetteSettings), public_url=None)
        return replace(self._configuration, providers=providers, routes=()).with_block(cassette)
