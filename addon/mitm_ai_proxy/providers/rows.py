"""Providers that need no translation: OpenAI's API, and any HTTP API."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from .. import apis
from ..auth.secret import Secret
from ..config import values
from ..config.keys import Problem, Reading, key
from ..wire import header_fields
from ..wire.header_fields import Fields
from ..wire.targets import Origin
from .base import CommonKeys, Provider
from .higress_keys import NOT_IMPLEMENTED


class OpenAI(Provider):
    """api.openai.com, or anything that serves the same paths. Without `apiTokens` the client's own key is sent on."""

    type = "openai"
    home = Origin("https", "api.openai.com", 443)
    not_implemented = Provider.not_implemented | {"openaiCustomUrl"}
    default_capabilities: ClassVar[dict[str, str]] = {
        api.name: api.path for api in apis.APIS if api.name.startswith("openai/")
    }

    def token(self, fields: Fields) -> Secret | None:
        """One of `apiTokens`, else the client's key from x-api-key, x-authorization or Authorization."""
        own = super().token(fields)
        if own:
            return own
        keys = (header_fields.value(fields, name) for name in (b"x-api-key", b"x-authorization", b"authorization"))
        key = next(filter(None, keys), "")
        return Secret(key) if key else None


@dataclass(frozen=True, slots=True)
class GenericKeys(CommonKeys):
    """The keys of `type: generic`."""

    generic_host: Origin | None = key(values.origin, help="Where to, as in `providerDomain`.")

    def problems(self, reading: Reading) -> Iterator[Problem]:
        """A missing host."""
        if not (self.generic_host or self.provider_domain):
            yield Problem("genericHost", "is missing; give genericHost or providerDomain", ("providerDomain",))


class Generic(Provider):
    """Any HTTP API: host, base path and credential are rewritten, nothing else. It has to be told its host."""

    type = "generic"
    Keys = GenericKeys
    keys: GenericKeys
    not_implemented = NOT_IMPLEMENTED

    def default_origin(self) -> Origin:
        """The origin in `genericHost`."""
        assert self.keys.generic_host is not None
        return self.keys.generic_host

    def detect(self, method: str, path: str) -> None:
        """None: every path is passed on unchanged."""
