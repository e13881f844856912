"""What a provider is, and what all providers share: path, query, credential. No flows, no sockets, no clock of its own.

A provider overrides what differs; a provider that speaks OpenAI's API overrides nothing.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple, TypeAlias

from .. import apis
from ..apis import Call
from ..auth.bearer import BearerTokens
from ..auth.secret import Secret
from ..config import keys as declarations
from ..config import values
from ..config.keys import Problem, Reading, key, nearest
from ..config.model_mapping import ModelMapping
from ..errors import unsupported_api
from ..exchange import Answer, Body, Exchange
from ..wire import json_edit, targets
from ..wire.request_body import object_members, replace_text, text_member
from ..wire.targets import Origin
from .higress_keys import CHAT_KEYS, NOT_IMPLEMENTED

PROTOCOLS: Final = ("openai", "original")
BASE_PATH_HANDLINGS: Final = ("removePrefix", "prepend")

Clock = Callable[[], float]


class Account(NamedTuple):
    """The credentials that the simulator takes, a key pair and a single key, and how much faster than Kling it is."""

    access_key: str
    secret_key: Secret
    api_key: Secret
    speed: float


@dataclass(frozen=True, slots=True)
class CommonKeys:
    """The keys of a provider block that every type has. A type with more of them adds its own in a subclass."""

    type: str = key(values.text, "", help="The type of the provider, such as `kling`. Required.")
    id: str = key(values.text, "", help="A name for `activeProviderId`.")
    protocol: str = key(
        values.one_of(*PROTOCOLS), "openai", help="`original`: change host, base path and credential only."
    )
    api_tokens: tuple[Secret, ...] = key(
        values.secrets,
        (),
        secret=True,
        help="Bearer tokens, one of them at random for each request; a single text will do.",
    )
    model_mapping: ModelMapping = key(
        values.model_mapping,
        ModelMapping({}),
        mapping=True,
        help="Model of the client to model of the provider: exact name, then `prefix*` and `~regex` in file order"
        ' (`$1`, `${name}` for groups), then `*`. A value of `""` keeps the model.',
    )
    capabilities: Mapping[str, str] = key(
        values.paths, {}, mapping=True, help="API name to path of the provider, which may have a query of its own."
    )
    base_path: str = key(values.path, "", help="Prefix of the client's path.")
    base_path_handling: str = key(
        values.one_of(*BASE_PATH_HANDLINGS),
        "removePrefix",
        help="What to do with `basePath`: remove it from the client's path, or `prepend` it to the provider's.",
    )
    provider_base_path: str = key(values.path, "", help="Put in front of the provider's path, unless it is there.")
    provider_domain: Origin | None = key(
        values.origin,
        help="Host, `host:port`, or origin with its scheme (`http://127.0.0.1:3000`); https without a scheme."
        " Default: the provider's own host.",
    )

    def problems(self, reading: Reading) -> Iterator[Problem]:
        """What is wrong between keys that are each right by themselves."""
        yield from ()


KeysType: TypeAlias = type[CommonKeys]


class Provider(ABC):
    """One configured provider. Everything it decides is written into the Exchange it is given.

    `default_capabilities` maps API names to upstream paths, in which `{names}` stand for the ids of the client's path.
    """

    type: ClassVar[str]
    Keys: ClassVar[KeysType] = CommonKeys
    """Declares what may stand in the provider's block."""
    not_implemented: ClassVar[frozenset[str]] = NOT_IMPLEMENTED | CHAT_KEYS
    """Keys of the Higress ai-proxy plugin that would change something for this type, and are refused."""
    can_be_simulated: ClassVar[bool] = False
    default_capabilities: ClassVar[Mapping[str, str]] = {}
    why_not: ClassVar[Mapping[str, str]] = {}
    """A sentence about an API that the provider does not have and never will."""
    withheld_headers: tuple[bytes, ...] = ()
    """Beginnings of names (in lower case) of header fields that do not go to the provider."""

    keys: CommonKeys

    def __init__(self, keys: CommonKeys, clock: Clock) -> None:
        self.keys = keys
        self.clock = clock
        self.origin = keys.provider_domain or self.default_origin()
        self.capabilities = {**self.default_capabilities, **keys.capabilities}
        self._tokens = BearerTokens(keys.api_tokens) if keys.api_tokens else None
        if keys.protocol == "original":
            self.withheld_headers = ()
        self._sent_to = f"sent to {self.origin}"
        # Upstream paths, complete but for ids, and their own queries.
        self._targets: dict[str, tuple[str, str]] = {}
        for name, target in self.capabilities.items():
            path, query = targets.split_query(target)
            self._targets[name] = self.with_base_path(path), query

    @classmethod
    def simulated(cls, keys: CommonKeys, clock: Clock, account: Account) -> Provider:
        """The provider as the simulator plays it, which takes this account. For types that can be simulated."""
        raise NotImplementedError

    @abstractmethod
    def default_origin(self) -> Origin:
        """Where requests go when `providerDomain` is not set."""

    @classmethod
    def problems(cls, keys: CommonKeys, reading: Reading) -> Iterator[Problem]:
        """What is wrong with keys whose values are each right."""
        for name, path in keys.capabilities.items():
            where = f"capabilities.{name}"
            known = {api.name: api.path for api in apis.APIS} | dict(cls.default_capabilities)
            if name not in known:
                yield Problem(where, f"unknown API{nearest(name, known)}")
                continue
            named, given = targets.placeholders(known[name]), targets.placeholders(path)
            for missing in sorted(named - given):
                yield Problem(where, f"the path has no place for {{{missing}}}")
            for unknown in sorted(given - named):
                yield Problem(where, f"nothing is known to put into {{{unknown}}}{nearest(unknown, named)}")
        yield from keys.problems(reading)

    def route(self, exchange: Exchange) -> None:
        """Decide from the request's head where it goes and which bodies have to be read.

        Raises Refusal for a request that must not be forwarded.
        """
        client_path, query = targets.split_query(exchange.client_path)
        targets.check_path(client_path)
        exchange.origin = self.origin
        path = self.without_base_path(client_path)
        if self.keys.protocol == "original":
            exchange.path = targets.join_query(self.with_base_path(path), query)
            exchange.request_body = exchange.answer_body = Body.STREAM
            exchange.note(f"{self._sent_to}: protocol original")
            return
        call = self.detect(exchange.method, path)
        if call is None:
            exchange.path = targets.join_query(self.with_base_path(path), query)
            exchange.note(f"{self._sent_to}: the path is no API that {self.type} translates")
            return
        exchange.api = call.api.name
        if not self.has(call.api.name):
            raise unsupported_api(self.type, str(call.api), self.offered(), self.why_not.get(call.api.name, ""))
        exchange.note(f"{self._sent_to}: {exchange.api} of {self.type}")
        self.route_api(exchange, call, query)

    def detect(self, method: str, path: str) -> Call | None:
        """The API that a client's method and path (no query, no base path) mean to this provider."""
        return apis.detect(method, path)

    def has(self, api: str) -> bool:
        """Whether this provider has an API of that name."""
        return api in self.capabilities

    def offered(self) -> list[str]:
        """What this provider has, in a client's words, for a person who asked for something else."""
        return [str(apis.BY_NAME[name]) for name in self.capabilities if name in apis.BY_NAME]

    def route_api(self, exchange: Exchange, call: Call, query: str) -> None:
        """Decide for a known API that this provider has."""
        for name, value in call.ids.items():
            targets.check_id(name, value)
        exchange.path = self.upstream_path(call.api.name, call.ids, query)
        self.read_for_model(exchange)

    def read_for_model(self, exchange: Exchange) -> None:
        """Hold the request's body if it may name a model that modelMapping has to map."""
        if self.keys.model_mapping and exchange.method == "POST" and "json" in exchange.content_type.lower():
            exchange.request_body = Body.READ

    def rewrite_request(self, exchange: Exchange, body: bytes) -> bytes:
        """The request body to send, and the path if only the body can tell it. Called for Body.READ."""
        document = object_members(body)
        model = text_member(body, document, "model")
        if model is None:
            return body
        mapped = self.map_model(exchange, model[1])
        return json_edit.apply(body, replace_text(model[0], *mapped))

    def rewrite_answer(self, exchange: Exchange, answer: Answer) -> Answer:
        """The answer for the client, the same object where nothing changes. Called for Body.READ.

        Raises json_edit.JSONError for an answer that cannot be read and is to be passed on as it came.
        """
        return answer

    def give_up(self, exchange: Exchange) -> None:  # noqa: B027 - few providers care
        """An exchange ended without an answer."""

    def secrets(self) -> tuple[str, ...]:
        """What nobody but the provider may see, to be looked for in what is written down."""
        return declarations.secrets(self.keys)

    @property
    def has_credential(self) -> bool:
        """Whether a credential is configured. If so, none of the client's own travels on."""
        return self._tokens is not None

    def authorization(self, headers: Mapping[str, str]) -> str | None:
        """The value of the one Authorization header to send; None leaves the client's headers as they are.

        `headers` are the client's, and of use only where no credential is configured.
        """
        return self._tokens.authorization() if self._tokens else None

    def upstream_path(self, capability: str, ids: Mapping[str, str], query: str) -> str:
        """The path and query of a capability, with the ids and the client's query put in."""
        path, own_query = self._targets[capability]
        if ids:
            path, own_query = targets.fill(path, ids), targets.fill(own_query, ids)
        return targets.join_query(path, targets.merge_queries(own_query, query))

    def without_base_path(self, path: str) -> str:
        """The client's path without `basePath`, where that is to be removed."""
        if self.keys.base_path_handling != "removePrefix":
            return path
        return targets.remove_prefix(path, self.keys.base_path)

    def with_base_path(self, path: str) -> str:
        """The upstream path with `basePath` (where that is to be prepended) and `providerBasePath` in front."""
        if self.keys.base_path_handling == "prepend":
            path = targets.add_prefix(path, self.keys.base_path)
        return targets.add_prefix(path, self.keys.provider_base_path)

    def map_model(self, exchange: Exchange, model: str) -> tuple[str, str]:
        """The model and what modelMapping makes of it."""
        mapped, pattern = self.keys.model_mapping.map(model)
        if pattern is not None and mapped != model:
            exchange.note(f"model {model} mapped to {mapped} by modelMapping {json.dumps(pattern)}")
        return model, mapped
