"""Where the requests of a provider of a Row go, and with whose credential: the base of Compatible."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import ClassVar, Final

from .. import apis
from ..apis import Call
from ..auth import consumers
from ..auth.header import Credential
from ..auth.secret import Secret
from ..config import custom_settings
from ..config import keys as declarations
from ..config.keys import Problem, Reading
from ..exchange import NO_MEMO, Head, Memo, NeedsBody, Scope, Upstream
from ..wire import header_fields, targets
from ..wire.targets import Origin
from .base import Clock, Provider
from .common_keys import CommonKeys
from .fetches import Fetch
from .row import AddressKeys, ChatKeys, CompatibleKeys, Row

_TOKEN: Final = "token"  # noqa: S105 - a name in the memo, for the place of one
_VERSION: Final = "/v1"
"""What the path of each API begins with at OpenAI, and what the base path of a provider replaces."""


class Addressed(Provider):
    """A provider of a Row, as far as its keys, its addresses and its credential go."""

    Keys = CompatibleKeys
    keys: AddressKeys
    row: ClassVar[Row]
    checks_needs: ClassVar[bool] = False
    """Whether the class of the keys itself names what is missing of `needs`."""
    withheld_headers: tuple[bytes, ...] = (b"openai-organization", b"openai-project", consumers.FIELD)
    withheld_parameters: ClassVar[frozenset[str]] = frozenset({"api_key", "api-key", "key"})
    """Names of parameters in which clients send credentials. A provider that has a credential gets none."""

    def __init__(self, keys: AddressKeys, clock: Clock) -> None:
        own = self.own_base(keys)
        self.base = keys.base_url.path if keys.base_url else own
        # What stands before the type's base in a base URL of the user's stands before its other paths, too.
        self._before = self.base.removesuffix(own) if keys.base_url and self.base.endswith(own) else ""
        bases = {self.base, own, *self.row.aliases} - {""}
        self._bases = sorted(bases, key=len, reverse=True)
        self._has_bare = self.base != _VERSION or "" in self.row.aliases
        super().__init__(keys, clock)
        if self.withholds_credential and not self.has_credential:
            self._sent_to += " without a credential"
        # Under `protocol: original` too: they belong to the client's credential.
        self.withheld_headers = type(self).withheld_headers

    @classmethod
    def problems(cls, keys: CommonKeys, reading: Reading) -> Iterator[Problem]:
        """Mistakes between keys, a missing host, and a missing key of the service."""
        yield from super().problems(keys, reading)
        given = {one.name for one in declarations.declared(cls.Keys).values() if getattr(keys, one.field)}
        for name in ("providerDomain", cls.row.domain, *cls.row.addresses):
            if {name, "baseUrl"} <= given:
                yield Problem("baseUrl", f"stands beside {name}; keep one of the two", (name,))
        ways = (*cls.needs, "baseUrl", *(("providerDomain",) if set(cls.needs) <= set(cls.row.addresses) else ()))
        if cls.needs and not cls.checks_needs and given.isdisjoint(ways):
            yield Problem(cls.needs[0], f"is missing; give {', '.join(ways[:-1])} or {ways[-1]}", ways)
        assert isinstance(keys, AddressKeys)
        yield from cls.setting_problems(keys)
        if isinstance(keys, ChatKeys) and keys.context and keys.protocol == "original":
            yield Problem("context", "has no effect with protocol: original", ("protocol",))
        has_own = bool(keys.api_tokens or given & {*cls.key_instead})
        if keys.send_client_key is not None and has_own:
            yield Problem("sendClientKey", "has no effect beside a key; keep one of the two", ("apiTokens",))
        if not (has_own or cls.is_key_optional or reading.offline):
            variables = " or ".join(dict.fromkeys((*reading.variables.get("apiTokens", ()), cls.variable)))
            instead = f"; or give {' and '.join(cls.key_instead)}" if cls.key_instead else ""
            message = f"is missing: give it here, or set {variables} in the environment{instead}"
            yield Problem("apiTokens", message, cls.key_instead)

    @classmethod
    def setting_problems(cls, keys: AddressKeys) -> Iterator[Problem]:
        """Settings without an effect."""
        if keys.protocol != "original":
            yield from custom_settings.problems(keys.custom_settings)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Settings of a body that is not touched."""
        if self.keys.custom_settings and self.keys.protocol == "original":
            return ("customSettings has no effect with protocol: original: bodies are sent as they are",)
        return ()

    def fetches(self) -> tuple[Fetch, ...]:
        """The file of `context`."""
        found = self.keys.context if isinstance(self.keys, ChatKeys) else None
        if found is None or found.text or found.url is None or self.keys.protocol == "original":
            return ()
        assert isinstance(self.keys, ChatKeys)
        return (Fetch("context", "context", found.url, self.keys.seconds_to_load),)

    # Addresses

    def own_base(self, keys: AddressKeys) -> str:
        """The base path of the type, without `baseUrl`."""
        return self._filled(keys, self.row.base)

    def given_capabilities(self) -> Mapping[str, str]:
        """Those of the configuration, with the values of keys that are named in them."""
        return {name: self._filled(self.keys, path) for name, path in self.keys.capabilities.items()}

    def _filled(self, keys: AddressKeys, path: str) -> str:
        """A path with the values of keys in it."""
        declared = declarations.declared(self.Keys)
        wanted = self.in_paths.intersection(targets.placeholders(path))
        return targets.fill(path, {name: getattr(keys, declared[name].field) for name in wanted})

    def default_origin(self) -> Origin:
        """The origin of `baseUrl`, else that of the type."""
        return self.keys.base_url.origin if self.keys.base_url else self.own_origin()

    def own_origin(self) -> Origin:
        """The origin of the type, or the other one that its keys name."""
        named: Origin | None = None
        if self.row.domain:
            named = getattr(self.keys, declarations.declared(self.Keys)[self.row.domain].field)
        return named or self.home

    def own_capabilities(self) -> Mapping[str, str]:
        """The APIs of the row, below the base that is configured."""
        return paths_of(self.row, self.base, self._before)

    @property
    def withholds_credential(self) -> bool:
        """Also one that may be meant for another provider."""
        return self.has_credential or self.keys.send_client_key is False

    @property
    def remarks(self) -> tuple[str, ...]:
        """That nothing is sent that authenticates a request, if that is so."""
        if self.has_credential or not self.withholds_credential:
            return ()
        return ("no apiTokens: requests are sent without a key; the client's own is sent with sendClientKey: true",)

    def credential_of(self, token: Secret) -> Credential:
        """The credential as the service takes it."""
        return self.row.style(token)

    def detect(self, method: str, path: str) -> Call | None:
        """The API of a client's path, which may be one below the base at the provider: `/v2/chat/completions`."""
        found = apis.detect(method, path) or self._detect_below(method, path)
        is_own = found is not None and self.row.own and re.search(self.row.own, f"{method} {path}")
        return None if is_own else found

    def _detect_below(self, method: str, path: str) -> Call | None:
        for base in self._bases:
            if targets.is_under(path, base):
                return apis.detect(method, _VERSION + path[len(base) :])
        return apis.detect(method, _VERSION + path) if self._has_bare else None

    def own_path(self, path: str) -> str:
        """A path that is no API: what is below `/v1` goes below the base, all else where the client wrote it."""
        if path in self.row.beside and not self.keys.base_url:
            return self.row.beside[path]
        for name, place in self.row.elsewhere.items():
            if targets.is_under(path, apis.BY_NAME[name].path):
                return self._before + place + path[len(apis.BY_NAME[name].path) :]
        for base in (*self._bases, _VERSION):
            if targets.is_under(path, base):
                return self.base + path[len(base) :] or "/"
        return path

    # Credentials

    def requestheaders(self, head: Head) -> Upstream | NeedsBody:
        """As at every provider, less the client's credential in the query; with the key of the consumer."""
        if "?" in head.target and self.withholds_credential:
            head = head._replace(target=self._without_credential(head.target))
        found = super().requestheaders(head)
        if self.keys.protocol == "original" and isinstance(found, Upstream):
            found = self._with_native_note(head, found)
        if isinstance(found, Upstream) and not found.memo and len(self.keys.api_tokens) > 1:
            # What call() has not seen: a path that is no API, or protocol original.
            path = targets.split_query(head.target)[0]
            return found._replace(memo=self._memo(head, self._stateful(head.method, path)))
        return found

    def _with_native_note(self, head: Head, upstream: Upstream) -> Upstream:
        """A request under `protocol: original`, with the API that its path tells in the service's own way."""
        path = targets.split_query(head.target)[0]
        names = [name for text, name in self.row.native if text in path]
        if not self.row.native and (call := self.detect(head.method, path)):
            names = [call.api.name]
        if not names:
            return upstream
        return upstream._replace(notes=(*upstream.notes[:-1], f"{upstream.notes[-1]}, {names[0]} of {self.type}"))

    def _without_credential(self, target: str) -> str:
        path, query = targets.split_query(target)
        for name in self.withheld_parameters:
            if name in query or "%" in query:
                query = targets.pop_parameter(query, name)[1]
        return targets.join_query(path, query)

    def _stateful(self, method: str, path: str) -> bool:
        call = self.detect(method, path)
        return apis.is_of_consumer(call.api.name if call else None, path)

    def scope(self, head: Head, body: bytes | None = None) -> Scope:
        """As of every provider; what a consumer has made is known to its key."""
        found = super().scope(head, body)
        path = targets.split_query(head.target)[0]
        is_fixed = found is not Scope.TOKEN and self._memo(head, self._stateful(head.method, path))
        return Scope.TOKEN if is_fixed else found

    def place(self, head: Head) -> int | None:
        """The index of the token that a request has to have; None for any."""
        path = targets.split_query(head.target)[0]
        found = self._memo(head, self._stateful(head.method, path)).get(_TOKEN)
        return found if isinstance(found, int) else None

    def _memo(self, head: Head, is_stateful: bool) -> Memo:
        """For a request about what a key has made: the place of the consumer's key."""
        count = len(self.keys.api_tokens)
        consumer = header_fields.value(head.fields, consumers.FIELD) if is_stateful and count > 1 else ""
        return {_TOKEN: consumers.place(consumer.encode("utf-8", "surrogateescape"), count)} if consumer else NO_MEMO

    def credential(self, upstream: Upstream, token: Secret | None) -> Credential:
        """The credential of a request: that of its consumer, else of `token`."""
        place = upstream.memo.get(_TOKEN)
        tokens = self.keys.api_tokens
        return super().credential(upstream, tokens[place] if place is not None and place < len(tokens) else token)


def paths_of(row: Row, base: str, before: str) -> dict[str, str]:
    """By name of the API, its path below a base; those elsewhere, below what stands before that."""
    below = {name: base + apis.BY_NAME[name].path.removeprefix(_VERSION) for name in apis.BY_NAME if name in row.apis}
    return below | {name: before + path for name, path in row.elsewhere.items()}
