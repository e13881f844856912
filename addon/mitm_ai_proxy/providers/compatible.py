"""Providers that speak OpenAI's API below a base path of their own. Each type is a Row of the table in rows.py."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final, NamedTuple, TypeAlias

from .. import apis
from ..apis import Call
from ..auth.bearer import bearer
from ..auth.header import Credential
from ..auth.secret import Secret
from ..config import keys as declarations
from ..config import values
from ..config.keys import Problem, Reading, key
from ..wire import targets
from ..wire.targets import Origin, Url
from .base import Clock, CommonKeys, Provider

Style: TypeAlias = Callable[[Secret], Credential]
"""Makes the credential of a token."""

_VERSION: Final = "/v1"
"""What the path of each API begins with at OpenAI, and what the base path of a provider replaces."""
_NO_PATHS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class CompatibleKeys(CommonKeys):
    """The keys of every type that speaks OpenAI's API."""

    base_url: Url | None = key(
        values.base_url,
        extension=True,
        help="What an SDK calls `base_url` (`https://api.moonshot.ai/v1`): replaces scheme, host and base path of the"
        " type.",
    )


class Row(NamedTuple):
    """A type of provider that speaks OpenAI's API; `name` is its `type`.

    `host` and `base` make what an SDK calls `base_url`; `{cloudflareAccountId}` in the base is the value of that key,
    and `host` is "" where a key names it. `apis` are the names of the APIs below the base, `elsewhere` the paths of
    those that are not. `variable` is the environment variable of the key, which is used where `apiTokens` is missing,
    unless the key is optional. `needs` are the keys of which a block has to have one. `aliases` are other bases under
    which clients address the service. `native` has texts in a path that tell the API under `protocol: original`. `kind`
    is the class of a type that is more than its row.
    """

    name: str
    host: str
    base: str
    apis: frozenset[str]
    about: str
    site: str = ""
    elsewhere: Mapping[str, str] = _NO_PATHS
    style: Style = bearer
    variable: str = ""
    is_key_optional: bool = False
    needs: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    native: tuple[tuple[str, str], ...] = ()
    keeps_developer: bool = False
    keys: type[CompatibleKeys] = CompatibleKeys
    kind: type[Compatible] | None = None

    @property
    def key_variable(self) -> str:
        """The environment variable of the key: `KILOCODE_API_KEY`."""
        return self.variable or f"{self.name.upper().replace('-', '_')}_API_KEY"


class Compatible(Provider):
    """A provider of a Row. A subclass is for a type that is more than its row."""

    Keys = CompatibleKeys
    keys: CompatibleKeys
    row: ClassVar[Row]
    withheld_headers = (b"openai-organization", b"openai-project", b"x-mse-consumer")

    def __init__(self, keys: CompatibleKeys, clock: Clock) -> None:
        own = self.own_base(keys)
        self.base = keys.base_url.path if keys.base_url else own
        # What stands before the type's base in a base URL of the user's stands before its other paths, too.
        self._before = self.base.removesuffix(own) if keys.base_url and self.base.endswith(own) else ""
        bases = {self.base, own, *self.row.aliases} - {""}
        self._bases = sorted(bases, key=len, reverse=True)
        self._has_bare = self.base != _VERSION or "" in self.row.aliases
        super().__init__(keys, clock)
        self.withheld_headers = type(self).withheld_headers

    @classmethod
    def made(cls, row: Row) -> type[Compatible]:
        """The class of a row: its `kind`, which is completed, or a new one."""
        kind = row.kind or types.new_class(row.name, (cls,))
        members = {
            "__doc__": row.about,
            "type": row.name,
            "row": row,
            "Keys": row.keys,
            "home": Origin.parse(row.host or "localhost"),
            "default_capabilities": _paths(row, row.base, ""),
            "variable": row.key_variable,
            "is_key_optional": row.is_key_optional,
            "needs": row.needs,
            "site": row.site,
        }
        for name, value in members.items():
            setattr(kind, name, value)
        return kind

    @classmethod
    def problems(cls, keys: CommonKeys, reading: Reading) -> Iterator[Problem]:
        """Mistakes between keys, a missing host, and a missing key of the service."""
        yield from super().problems(keys, reading)
        given = {one.name for one in declarations.declared(cls.Keys).values() if getattr(keys, one.field)}
        hosts = ("providerDomain",) if cls.row.host else (*cls.needs, "providerDomain")
        for name in hosts:
            if {name, "baseUrl"} <= given:
                yield Problem("baseUrl", f"stands beside {name}; keep one of the two", (name,))
        ways = (*cls.needs, "baseUrl") if cls.row.host else (*cls.needs, "baseUrl", "providerDomain")
        if cls.needs and given.isdisjoint(ways):
            yield Problem(cls.needs[0], f"is missing; give {', '.join(ways[:-1])} or {ways[-1]}", ways)
        if not (keys.api_tokens or cls.is_key_optional or reading.offline):
            variables = " or ".join(dict.fromkeys((*reading.variables.get("apiTokens", ()), cls.variable)))
            yield Problem("apiTokens", f"is missing: give it here, or set {variables} in the environment")

    def own_base(self, keys: CompatibleKeys) -> str:
        """The base path of the type, without `baseUrl`."""
        found = {one.name: str(getattr(keys, one.field)) for one in declarations.declared(self.Keys).values()}
        return targets.fill(self.row.base, found)

    def default_origin(self) -> Origin:
        """The origin of `baseUrl`, else that of the type."""
        return self.keys.base_url.origin if self.keys.base_url else self.own_origin()

    def own_origin(self) -> Origin:
        """The origin of the type; a type without a host of its own takes it from its keys."""
        return self.home

    def own_capabilities(self) -> Mapping[str, str]:
        """The APIs of the row, below the base that is configured."""
        return _paths(self.row, self.base, self._before)

    def credential_of(self, token: Secret) -> Credential:
        """The credential as the service takes it."""
        return self.row.style(token)

    def detect(self, method: str, path: str) -> Call | None:
        """The API of a client's path, which may be one below the base at the provider: `/v2/chat/completions`."""
        found = apis.detect(method, path)
        if found:
            return found
        for base in self._bases:
            if targets.is_under(path, base):
                return apis.detect(method, _VERSION + path[len(base) :])
        return apis.detect(method, _VERSION + path) if self._has_bare else None

    def own_path(self, path: str) -> str:
        """A path that is no API: what is below `/v1` goes below the base, all else where the client wrote it."""
        for name, place in self.row.elsewhere.items():
            if targets.is_under(path, apis.BY_NAME[name].path):
                return self._before + place + path[len(apis.BY_NAME[name].path) :]
        for base in (*self._bases, _VERSION):
            if targets.is_under(path, base):
                return self.base + path[len(base) :] or "/"
        return path


def _paths(row: Row, base: str, before: str) -> dict[str, str]:
    """By name of the API, its path below a base; those elsewhere, below what stands before that."""
    below = {name: base + apis.BY_NAME[name].path.removeprefix(_VERSION) for name in apis.BY_NAME if name in row.apis}
    return below | {name: before + path for name, path in row.elsewhere.items()}
