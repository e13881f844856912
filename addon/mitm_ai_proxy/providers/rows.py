"""Providers that speak OpenAI's API as it is: a row each, and no code of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from .. import apis
from ..config.file import CHAT_KEYS, Problem, ProviderConfig
from ..wire.targets import Origin
from .base import Provider


class OpenAI(Provider):
    """api.openai.com, or anything that serves the same paths. Without `apiTokens` the client's own key is sent on."""

    type = "openai"
    ignored_keys = Provider.ignored_keys - {"openaiCustomUrl"}
    default_capabilities: ClassVar[dict[str, str]] = {
        api.name: api.path for api in apis.APIS if api.name.startswith("openai/")
    }

    @classmethod
    def default_origin(cls, config: ProviderConfig) -> Origin:
        """OpenAI's own host."""
        return Origin("https", "api.openai.com", 443)

    def authorization(self, headers: Mapping[str, str]) -> str | None:
        """One of `apiTokens`, else the client's key, wherever it is: x-api-key, x-authorization, Authorization."""
        own = super().authorization(headers)
        if own is not None:
            return own
        key = next(filter(None, map(headers.get, ("x-api-key", "x-authorization", "authorization"))), None)
        # With a scheme it is a whole Authorization header already.
        return key if key is None or " " in key else f"Bearer {key}"


class Generic(Provider):
    """Any HTTP API: host, base path and credential are rewritten, nothing else. It has to be told its host."""

    type = "generic"
    keys = frozenset({"genericHost"})
    ignored_keys = Provider.ignored_keys | CHAT_KEYS

    @classmethod
    def default_origin(cls, config: ProviderConfig) -> Origin:
        """`genericHost`."""
        assert config.generic_host is not None
        return config.generic_host

    @classmethod
    def problems(cls, config: ProviderConfig) -> Iterator[Problem]:
        """No host: without one, a credential could go anywhere."""
        yield from super().problems(config)
        if not (config.generic_host or config.provider_domain):
            yield Problem("genericHost", "is missing; give genericHost or providerDomain", ("providerDomain",))

    def detect(self, method: str, path: str) -> None:
        """Every path is passed on as it is."""
