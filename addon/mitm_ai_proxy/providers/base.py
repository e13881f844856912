"""The base class of providers: paths, queries, model mapping, credential.

A subclass overrides what differs; a provider that speaks OpenAI's API overrides no method.
"""

from __future__ import annotations

import functools
import json
import random
from abc import ABC
from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar, Final, TypeAlias

from .. import apis
from ..apis import Call
from ..auth.access_tokens import AccessTokens
from ..auth.bearer import bearer
from ..auth.header import NO_CREDENTIAL, Credential
from ..auth.secret import Secret
from ..config import keys as declarations
from ..config import reliability
from ..config.keys import Problem, Reading
from ..errors import Refusal, unsupported_api, wrong_base_url, wrong_method
from ..exchange import Handling, Head, NeedsBody, Pass, Scope, Upstream
from ..wire import json_edit, targets
from ..wire.header_fields import Fields
from ..wire.json_edit import Member
from ..wire.media_types import may_be_json
from ..wire.request_body import is_true, object_members, replace_text, text_member, without_mark
from ..wire.targets import Origin
from . import common_keys
from .common_keys import CommonKeys, SimulatorAccount
from .fetches import Fetch
from .higress_keys import CHAT_KEYS, NOT_IMPLEMENTED
from .own_chats import is_own_chat

_API_VERSION: Final = "api-version"
"""Query parameter of AzureOpenAI's clients."""

_CONVERSATION: Final = "conversation_id="
"""Begins a parameter of a request that goes on with what the provider keeps."""
_CONTINUED: Final = (b'"previous_response_id"', b'"conversation"', b'"background"')
"""What makes a response a part of what the provider keeps, or a job."""

Clock = Callable[[], float]
KeysType: TypeAlias = type[CommonKeys]


_NOT_AGAIN: Final[Mapping[bytes, bytes | None]] = dict.fromkeys((b"idempotency-key", b"x-idempotency-key"))
"""Header fields by which a service knows a request that it has answered."""


class Provider(ABC):
    """One configured provider. Methods are named after the hooks of mitmproxy that they serve, and return values.

    `default_capabilities` maps API names to upstream paths, with `{video_id}` for an id in the client's path. `clock`
    gives Unix time in seconds.
    """

    type: ClassVar[str]
    Keys: ClassVar[KeysType] = CommonKeys
    """Declares the keys of the provider's block."""
    not_implemented: ClassVar[frozenset[str]] = NOT_IMPLEMENTED | CHAT_KEYS
    """Keys of the Higress ai-proxy plugin that apply to this type and are refused, unless they are switched off."""
    simulated_by: ClassVar[str] = ""
    """The part of the simulator that stands for the type (see simulator/parts.py); "" for none."""
    is_simulated_without_key: ClassVar[bool] = False
    """Whether the simulator is used by itself where the key is missing."""
    home: ClassVar[Origin]
    """Origin of the provider's public API; a type that takes it from its keys overrides default_origin()."""
    default_capabilities: ClassVar[Mapping[str, str]] = {}
    in_paths: ClassVar[frozenset[str]] = frozenset()
    """Keys of the file whose values may stand in paths: `{cloudflareAccountId}`."""
    counts_tokens: ClassVar[bool] = False
    """Whether Anthropic's count_tokens is translated for it; otherwise the tokens are estimated."""
    translated: ClassVar[frozenset[str]] = frozenset()
    """APIs of OpenAI's, by name, that the provider's host does not have under OpenAI's paths. With any of these, what
    is nearly an API of OpenAI's (see apis.nearly) is served or refused; without, it is passed on."""
    unsupported_reasons: ClassVar[Mapping[str, str]] = {}
    """By API name, a sentence on why the provider has no such API."""
    links_need_credential: ClassVar[bool] = True
    """Whether a link without a signature to the provider's own host is one of its API's, such as a status to ask for.
    Otherwise it leads to a result, which is open to whoever has the link."""
    variable: ClassVar[str] = ""
    """The environment variable in which the service's key is expected."""
    is_key_optional: ClassVar[bool] = True
    """Whether the type works without `apiTokens`. Otherwise the value of `variable` is used where they are missing."""
    key_instead: ClassVar[tuple[str, ...]] = ()
    """Keys of the file that stand in place of `apiTokens`; where one of them is, `variable` is not looked at."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Keys of the file of which a block has to have one, such as the name of a host."""
    site: ClassVar[str] = ""
    """A page of the service's documentation."""
    remembers: ClassVar[bool] = False
    """Whether what one process has seen of earlier requests decides on later ones, but for health and limits."""
    withheld_headers: tuple[bytes, ...] = ()
    """Prefixes of names (in lower case) of header fields that are not sent to the provider."""
    id_prefixes: ClassVar[tuple[str, ...]] = ()
    """How the ids begin that clients get from this type, and from no other."""
    models: tuple[str, ...] = ()
    """The models that clients can name to it, of a type whose models are known."""

    access_tokens: AccessTokens | None = None
    """What has to be fetched before requests can be sent, and again from time to time."""
    keys: CommonKeys

    def __init__(self, keys: CommonKeys, clock: Clock) -> None:
        self.keys = keys
        self.clock = clock
        self.origin = keys.provider_domain or self.default_origin()
        self.capabilities = {**self.own_capabilities(), **self.given_capabilities()}
        if keys.protocol == "original":
            self.withheld_headers = ()
        self._sent_to = f"sent to {self.origin}"
        self._credentials = {token: self.credential_of(token) for token in keys.api_tokens}
        # By API name: the upstream path, with placeholders for ids, and its own query.
        self._targets: dict[str, tuple[str, str]] = {}
        for name, target in self.capabilities.items():
            path, query = targets.split_query(target)
            self._targets[name] = self.with_base_path(path), query

    @classmethod
    def simulated(cls, keys: CommonKeys, clock: Clock, account: SimulatorAccount) -> Provider:
        """A provider with the credentials of the simulator's account. For types with `simulated_by`."""
        raise TypeError(f"type {cls.type} cannot be simulated")

    def default_origin(self) -> Origin:
        """The origin if `providerDomain` is not set."""
        return self.home

    def own_capabilities(self) -> Mapping[str, str]:
        """The capabilities without those in the configuration."""
        return self.default_capabilities

    def given_capabilities(self) -> Mapping[str, str]:
        """The capabilities in the configuration."""
        return self.keys.capabilities

    @classmethod
    def problems(cls, keys: CommonKeys, reading: Reading) -> Iterator[Problem]:
        """Mistakes in `capabilities`, and those that the class of the keys finds."""
        yield from common_keys.capability_problems(keys.capabilities, cls.default_capabilities, cls.in_paths)
        yield from common_keys.failover_problems(keys.failover)
        yield from keys.problems(reading)

    def fetches(self) -> tuple[Fetch, ...]:
        """What has to be loaded before requests are served, and is not yet."""
        return ()

    # Request

    def requestheaders(self, head: Head) -> Upstream | NeedsBody:
        """The upstream request for a head; NeedsBody if the body has to be read.

        Raises Refusal for a request that must not be forwarded.
        """
        client_path, query = targets.split_query(head.target)
        targets.check_path(client_path)
        path = self.without_base_path(client_path)
        notes: tuple[str, ...]
        if self.keys.protocol == "original":
            notes = (f"{self._sent_to}: protocol original",)
            return self._passed_on(head, path, query, notes, holds_small=False)
        call, meant = self.detect(head.method, path), path
        before = client_path.removesuffix(path)
        if call is None and self.translated:
            call, meant = self._nearly(head, path, before)
        if call is None:
            notes = (f"{self._sent_to}: the path is no API that {self.type} translates",)
            return self.pass_on(head, meant, self._passed_on(head, self.own_path(path), query, notes))
        name = call.api.name
        if not self.has(name):
            return self.lacking(head, call, query)
        notes = (f"{self._sent_to}: {name} of {self.type}",)
        if meant != path:
            notes = (*notes, f"the path is taken for {call.api.path}")
        if name in self.translated:
            _, rest = targets.pop_parameter(query, _API_VERSION)
            if rest != query or meant != path:
                head, query = head._replace(target=targets.join_query(before + meant, rest)), rest
        return self.call(head, call, query, notes)

    def _passed_on(
        self, head: Head, path: str, query: str, notes: tuple[str, ...], *, holds_small: bool = True
    ) -> Upstream:
        target = targets.join_query(self.with_base_path(path), query)
        found = apis.detect(head.method, path)
        is_repeatable = self.is_repeatable(head, found.api.name if found else None)
        if head.method == "POST" and not is_repeatable:
            is_repeatable = is_own_chat(self.type, path) or targets.split_query(target)[0] in self._repeatable_paths
        return Upstream(
            self.origin, head.method, target, notes=notes, holds_small=holds_small, is_repeatable=is_repeatable
        )

    def _nearly(self, head: Head, path: str, before: str) -> tuple[Call | None, str]:
        """The API of OpenAI's that a path without one is meant for, and that path as it should have been written.

        No API where the request is passed on. `before` is the base path that was removed. Raises Refusal.
        """
        near = apis.nearly(head.method, path)
        # Without /v1 and with what may be an id, it may be a file on the provider's host.
        may_be_file = near is not None and near.has_ids and not near.has_version and head.method in ("GET", "HEAD")
        is_clear = head.caller.is_openai_sdk or not may_be_file
        if near and near.path and not near.methods:
            call = self.detect(head.method, near.path)
            if call and call.api.name not in self.translated and (self.has(call.api.name) or not is_clear):
                return None, path
            return call, near.path
        if self.is_own(head.method, path):
            return None, path
        if near and (near.path or is_clear) and any(a.name in self.translated for a in (near.api, *near.methods)):
            base_url = _base_url(head, before)
            if near.methods:
                methods = [api.method for api in near.methods if api.method and self.has(api.name)]
                raise wrong_method(near.api.path, methods, base_url)
            raise wrong_base_url(str(near.api), base_url)
        within = apis.collection(path)
        if within and within not in {apis.collection(a.path) for a in apis.APIS if self.has(a.name)}:
            raise self.unsupported(within, "")
        return None, path

    def unsupported(self, api: str, name: str) -> Refusal:
        """The refusal of an API that the provider lacks. `api` is how clients call it."""
        return unsupported_api(self.type, api, self.supported_apis(), self.unsupported_reasons.get(name, ""))

    def lacking(self, head: Head, call: Call, query: str) -> Upstream | NeedsBody:
        """As call(), for an API that the provider lacks. It is refused; a subclass may have something in its place."""
        raise self.unsupported(str(call.api), call.api.name)

    def is_own(self, method: str, path: str) -> bool:
        """Whether a path that is no API may be the provider's own, so that it is not refused for what it is near to."""
        return False

    def pass_on(self, head: Head, path: str, upstream: Upstream) -> Upstream | NeedsBody:
        """A request that is passed on as `upstream`; `path` is the client's, without slashes too many. Raises Refusal.

        A subclass can refuse it.
        """
        return upstream

    def detect(self, method: str, path: str) -> Call | None:
        """The API of a client's method and path (no query, no base path); None if it is passed on unchanged."""
        return apis.detect(method, path)

    def has(self, api: str) -> bool:
        """Whether the provider has an API of that name."""
        return api in self.capabilities

    def translates(self, api: str) -> bool:
        """Whether an API that it has is one of another form at the provider."""
        return api in self.translated

    def supported_apis(self) -> list[str]:
        """The APIs that the provider has, as clients call them, for an error message: `POST /v1/videos`."""
        return [str(apis.BY_NAME[name]) for name in self.capabilities if name in apis.BY_NAME]

    def call(self, head: Head, call: Call, query: str, notes: tuple[str, ...]) -> Upstream | NeedsBody:
        """As requestheaders(), for an API that the provider has. `query` is the client's, `notes` are those so far."""
        for name, value in call.ids.items():
            targets.check_id(name, value)
        name = call.api.name
        target, is_repeatable = self.upstream_path(name, call.ids, query), self.is_repeatable(head, name)
        upstream = Upstream(self.origin, head.method, target, notes=notes, is_repeatable=is_repeatable)
        return self.with_mapped_model(head, upstream)

    def with_mapped_model(self, head: Head, upstream: Upstream) -> Upstream | NeedsBody:
        """The request, with modelMapping applied to its body if that is JSON and there is a mapping."""
        if self.keys.model_mapping and head.method == "POST" and "json" in head.caller.content_type.lower():
            return NeedsBody(self.origin, functools.partial(self._mapped, upstream), upstream.notes)
        return upstream

    def _mapped(self, upstream: Upstream, body: bytes) -> Upstream:
        body = without_mark(body)
        return self.with_model(upstream, body, text_member(body, object_members(body), "model"))

    def with_model(self, upstream: Upstream, body: bytes, model: tuple[Member, str] | None) -> Upstream:
        """The request with modelMapping applied to this member of its JSON body."""
        if model is None:
            return upstream._replace(body=body)
        member, asked = model
        mapped, notes = self.map_model(asked)
        edited = json_edit.apply(body, replace_text(member, asked, mapped))
        return upstream._replace(body=edited, notes=(*upstream.notes, *notes))

    # A finished request

    def again(self, upstream: Upstream) -> Upstream:
        """A finished request, with its body, as it is sent once more because a person asks for it.

        Nothing is left in it by which the service would take it for the first one. Raises Refusal.
        """
        return upstream._replace(fields={**upstream.fields, **_NOT_AGAIN})

    # Further tries

    def is_repeatable(self, head: Head, name: str | None) -> bool:
        """Whether a request buys nothing but its answer. `name`: that of its API; None without one."""
        return apis.is_repeatable(head.method, name)

    @functools.cached_property
    def _repeatable_paths(self) -> frozenset[str]:
        """The provider's own paths of APIs of which that can be said; not those that differ by their model."""
        known = [path for name, (path, _) in self._targets.items() if apis.is_repeatable("POST", name)]
        return frozenset(path for path in known if "{" not in path)

    def needs_body_for_scope(self, head: Head) -> bool:
        """Whether scope() needs the body."""
        call = self.detect(head.method, self.without_base_path(targets.split_query(head.target)[0]))
        return head.method == "POST" and call is not None and call.api.name == apis.RESPONSES

    def scope(self, head: Head, body: bytes | None = None) -> Scope:
        """How far a request may be moved; `body` is the client's, without its Content-Encoding, where it is known."""
        client_path, query = targets.split_query(head.target)
        path = self.without_base_path(client_path)
        call = self.detect(head.method, path)
        name = call.api.name if call else None
        if _CONVERSATION in query:
            return Scope.PROVIDER
        if name == apis.RESPONSES and head.method == "POST":
            # One that goes on with nothing that the provider keeps.
            is_new = body is not None and not any(word in body for word in _CONTINUED)
            return Scope.ANYWHERE if is_new else Scope.PROVIDER
        return Scope.PROVIDER if apis.is_stateful(name, path) else Scope.ANYWHERE

    def place(self, head: Head) -> int | None:
        """The index of the token that a request has to have; None for any."""
        return None

    @functools.cached_property
    def is_watched(self) -> bool:
        """Whether a request to this provider alone can be tried again, or its end matters to others."""
        keys = self.keys
        is_limited = bool(keys.timeout or keys.first_byte_timeout or keys.connect_timeout or keys.concurrency)
        is_limited = is_limited or keys.rate != reliability.NO_RATE or keys.token_limits != reliability.NO_LIMITS
        return is_limited or keys.failover.enabled or (keys.retry_on_failure.enabled and len(self.tokens) > 1)

    def asks_for_stream(self, head: Head, body: bytes) -> bool:
        """Whether a request asks for a stream; `body` is the client's, without its Content-Encoding."""
        if b'"stream"' in body and may_be_json(head.caller.content_type):
            return is_true(body, "stream")
        return ":streamGenerateContent" in head.target

    @property
    def tokens(self) -> tuple[Secret, ...]:
        """The tokens to choose from; none where token() has another way."""
        return self.keys.api_tokens

    # Response

    def responseheaders(self, sent: Upstream, status: int, fields: Fields) -> Handling:
        """What is done with the answer to `sent`, by its status and header fields."""
        return Pass(holds_small=self.keys.protocol != "original")

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a person should know about this configuration, in sentences."""
        return ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Keys that have no effect, each with why."""
        return ()

    def error(self, sent: Upstream) -> None:  # noqa: B027 - few providers care
        """Called when a request ended without an answer."""

    def begin_recording(self, run: str) -> None:  # noqa: B027 - few providers care
        """Called before requests are recorded. `run` is a random text, the same as long as one cassette is in use."""

    # Credentials

    def secrets(self) -> tuple[str, ...]:
        """The secrets in the configuration, for redaction."""
        return declarations.secrets(self.keys)

    @property
    def origins(self) -> tuple[Origin, ...]:
        """All hosts of the provider's API: of a few types, not all APIs are at the same one."""
        return (self.origin,)

    @property
    def has_credential(self) -> bool:
        """Whether a credential is configured."""
        return bool(self.keys.api_tokens)

    @property
    def withholds_credential(self) -> bool:
        """Whether the client's own credential is not sent to the provider."""
        return self.has_credential

    def token(self, fields: Fields) -> Secret | None:
        """The token for one request: one of `apiTokens`, at random, as the Higress ai-proxy plugin does.

        `fields` are the client's header fields, which may hold its own credential.
        """
        tokens = self.keys.api_tokens
        return random.choice(tokens) if tokens else None  # noqa: S311 - spreads load, guards nothing

    def credential(self, upstream: Upstream, token: Secret | None) -> Credential:
        """The credential of a request, which is added last. `token` is the result of token()."""
        if token is None:
            return NO_CREDENTIAL
        return self._credentials.get(token) or self.credential_of(token)

    def credential_of(self, token: Secret) -> Credential:
        """The credential that a token makes."""
        return bearer(token)

    # Paths and models

    def own_path(self, path: str) -> str:
        """The provider's path, less `providerBasePath`, for a path of the client's that is no API."""
        return path

    def upstream_path(self, capability: str, ids: Mapping[str, str], query: str) -> str:
        """The path and query of a capability, with ids and the client's query inserted."""
        path, own_query = self._targets[capability]
        if ids:
            path, own_query = targets.fill(path, ids), targets.fill(own_query, ids)
        return targets.join_query(path, targets.merge_queries(own_query, query))

    def without_base_path(self, path: str) -> str:
        """The client's path without `basePath`, if `basePathHandling` is removePrefix."""
        if self.keys.base_path_handling != "removePrefix":
            return path
        return targets.remove_prefix(path, self.keys.base_path)

    def with_base_path(self, path: str) -> str:
        """The upstream path with `basePath` (if `basePathHandling` is prepend) and `providerBasePath` prepended."""
        if self.keys.base_path_handling == "prepend":
            path = targets.add_prefix(path, self.keys.base_path)
        return targets.add_prefix(path, self.keys.provider_base_path)

    def map_model(self, model: str) -> tuple[str, tuple[str, ...]]:
        """The model after modelMapping, and a note if it changed."""
        mapped, pattern = self.keys.model_mapping.map(model)
        if pattern is None or mapped == model:
            return mapped, ()
        return mapped, (f"model {model} mapped to {mapped} by modelMapping {json.dumps(pattern)}",)


def _base_url(head: Head, before: str) -> str:
    """The base URL of OpenAI's SDKs for the proxy, at the address that this client has for it."""
    try:
        targets.split_host_port(head.caller.host)
    except ValueError:
        return f"the address of the proxy with {before}/v1 at its end"
    return f"{'https' if head.is_tls else 'http'}://{head.caller.host}{before}/v1"
