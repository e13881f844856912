"""Providers that speak OpenAI's API below a base path of their own. Each type is a Row of the table in rows.py."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import ClassVar, Final

from .. import apis
from ..apis import Call
from ..auth import consumers
from ..auth.header import Credential
from ..auth.secret import Secret
from ..chat import body_edits, json_values
from ..chat.body_edits import BodyEdit, Notes
from ..chat.dialects import ANTHROPIC, OPENAI
from ..chat.edits import NO_EDITS
from ..chat.target import OPENAI_CHAT, Target
from ..chat.translate import CHAT_APIS, substitute
from ..config import custom_settings
from ..config import keys as declarations
from ..config.custom_settings import Setting
from ..config.keys import Problem, Reading
from ..errors import Refusal, bad_body
from ..exchange import NO_MEMO, Handling, Head, Memo, NeedsBody, Scope, Upstream
from ..wire import form_edit, header_fields, json_edit, json_tree, media_types, multipart, targets
from ..wire.form_edit import Form
from ..wire.header_fields import Fields
from ..wire.json_tree import Value
from ..wire.request_body import object_members, text_member, without_mark
from ..wire.targets import Origin
from . import chats, conversions
from .base import Clock, CommonKeys, Provider, SimulatorAccount
from .chats import CHAT, COUNT_TOKENS, MESSAGES, Chats
from .conversions import Conversions
from .fetches import Fetch
from .row import AddressKeys, ChatKeys, CompatibleKeys, Row, SchemaKeys

_REALTIME: Final = "openai/v1/realtime"
_STREAMS: Final = frozenset({CHAT, "openai/v1/completions"})
"""APIs whose streams tell the counts of tokens on request."""
_FORMS: Final = frozenset(
    f"openai/v1/{name}" for name in ("imageedit", "imagevariation", "audiotranscription", "audiotranslation", "videos")
)
"""APIs whose forms hold a model."""
_LONGEST_FORM: Final = 64 * 1024 * 1024
"""Bytes of a form for a path that is no API, in which a model is looked for."""
_TOKEN: Final = "token"  # noqa: S105 - a name in the memo, for the place of one
_BETA: Final = "beta"
"""Parameter of the query that Anthropic's SDKs send."""
_VERSION: Final = "/v1"
"""What the path of each API begins with at OpenAI, and what the base path of a provider replaces."""


class Compatible(Provider):
    """A provider of a Row. A subclass is for a type that is more than its row."""

    Keys = CompatibleKeys
    keys: AddressKeys
    row: ClassVar[Row]
    simulated_by = "chat"
    checks_needs: ClassVar[bool] = False
    """Whether the class of the keys itself names what is missing of `needs`."""
    is_simulated_natively: ClassVar[bool] = False
    """Whether the simulator has the type's own form of chats; else it answers in OpenAI's."""
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
        # By API name: up to what is done to the model, without that, and all.
        edits = {name: (self.body_edits(name), self.model_edits(name)) for name in (*self.capabilities, *CHAT_APIS)}
        if keys.custom_settings:
            # They may put what an edit looks for into any body.
            edits = {name: (_for_all(before), _for_all(behind)) for name, (before, behind) in edits.items()}
        self._early_edits = {name: (*before, *self.mapping_edits(name)) for name, (before, _) in edits.items()}
        self._vendor_edits = {name: behind for name, (_, behind) in edits.items()}
        self._late_edits = {name: (*before, *behind) for name, (before, behind) in edits.items()}
        self._edits = {name: (*before, *self.mapping_edits(name), *behind) for name, (before, behind) in edits.items()}
        self._conversions = self.conversions()
        wanted = keys.chat_edits() if isinstance(keys, ChatKeys) else NO_EDITS
        self._chats = Chats({name: self.target(name) for name in CHAT_APIS}, wanted, clock)

    @classmethod
    def made(cls, row: Row) -> type[Compatible]:
        """The class of a row, made of its `kind`, which stays as it is: nothing depends on who imports rows.py."""
        kind = types.new_class(row.name, (row.kind or cls,))
        members = {
            "__doc__": row.about,
            "type": row.name,
            "row": row,
            "Keys": row.keys,
            "home": Origin.parse(row.host or "localhost"),
            "default_capabilities": _paths(row, row.base, ""),
            "variable": row.key_variable,
            "is_key_optional": row.is_key_optional,
            "key_instead": row.key_instead,
            "needs": row.needs,
            "site": row.site,
        }
        for name, value in members.items():
            setattr(kind, name, value)
        return kind

    @classmethod
    def simulated(cls, keys: CommonKeys, clock: Clock, account: SimulatorAccount) -> Compatible:
        """With the account's API key, and no other credential."""
        assert isinstance(keys, AddressKeys)
        kind, row = cls, cls.row
        if row.chat.dialect != OPENAI and not cls.is_simulated_natively:
            elsewhere = {name: path for name, path in row.elsewhere.items() if name != CHAT}
            plain = row._replace(kind=None, chat=OPENAI_CHAT, apis=row.apis | {CHAT}, elsewhere=elsewhere)
            kind = Compatible.made(plain)
        return kind(replace(cls.simulated_keys(keys), api_tokens=account.keys_for(keys.api_tokens)), clock)

    @classmethod
    def simulated_keys(cls, keys: AddressKeys) -> AddressKeys:
        """The keys with what the simulator knows; `apiTokens` win over other credentials."""
        return keys

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
        wanted = targets.placeholders(self.row.base)
        declared = declarations.declared(self.Keys)
        return targets.fill(self.row.base, {name: getattr(keys, declared[name].field) for name in wanted})

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
        return _paths(self.row, self.base, self._before)

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
        found = apis.detect(method, path)
        if found:
            return found
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

    # Requests

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

    def call(self, head: Head, call: Call, query: str, notes: Notes) -> Upstream | NeedsBody:
        """The request of an API. Its body is read if one of the edits, or the path, may need it."""
        for part, value in call.ids.items():
            targets.check_id(part, value)
        name = call.api.name
        if self._chats.is_foreign(name):
            return self._translating(head, call, name, query)
        if name in self._conversions and head.method == "POST":
            path, is_repeatable = self.upstream_path(name, call.ids, query), self.is_repeatable(head, name)
            upstream = Upstream(self.origin, "POST", path, notes=notes, is_repeatable=is_repeatable)
            return NeedsBody(self.origin, functools.partial(self._converted, upstream, name), notes)
        if name == _REALTIME and self.maps_models and query:
            query, notes = self._mapped_parameter(query, notes)
        target = self.upstream_path(name, call.ids, query)
        memo = self._memo(head, apis.is_of_consumer(name, ""))
        is_repeatable = self.is_repeatable(head, name)
        upstream = Upstream(self.origin, head.method, target, memo=memo, notes=notes, is_repeatable=is_repeatable)
        needs_model = self.needs_model(name)
        if head.method == "POST":
            content_type = head.caller.content_type
            wanted = self._edits.get(name, ())
            if media_types.may_be_json(content_type):
                is_json = media_types.is_json(content_type)
                if name in CHAT_APIS:
                    if chat_memo := self._chats.memo(name):
                        upstream = upstream._replace(memo={**memo, **chat_memo}, fields=chats.READABLE)
                    chat = functools.partial(self._native, upstream, name, is_json)
                    return NeedsBody(self.origin, chat, notes)
                if wanted or needs_model:
                    rewrite = functools.partial(self.edited, upstream, wanted, is_json, needs_model)
                    return NeedsBody(self.origin, rewrite, notes)
            has_model = name in _FORMS and media_types.kind_of(content_type) == "multipart/form-data"
            if has_model and (self.maps_models or needs_model):
                rewrite = functools.partial(self._edited_form, upstream, head.caller.content_type, needs_model)
                return NeedsBody(self.origin, rewrite, notes)
        return self.for_model(upstream, None) if needs_model else upstream

    def conversions(self) -> Conversions:
        """The APIs, but for chats, that the service has in forms of its own."""
        return self.row.conversions

    def _converted(self, upstream: Upstream, api: str, body: bytes) -> Upstream:
        """The request of such an API, from the client's, of which the model is mapped. Raises Refusal."""
        conversion = self._conversions[api]
        mapped = self.edited(upstream, self._edits[api], True, self.needs_model(api), body)
        found = conversion.write(json_values.request_object(mapped.body or b""))
        return mapped._replace(
            body=json_values.encode(found.document),
            memo=conversions.memo_of(api, found, self.clock()),
            fields={**conversion.fields, **chats.READABLE, b"content-type": b"application/json"},
            notes=(*mapped.notes, *found.notes),
        )

    def pass_on(self, head: Head, path: str, upstream: Upstream) -> Upstream | NeedsBody:
        """What is no API, with the model in its body mapped if it has one; longer forms are uploads, and pass."""
        if head.method != "POST" or not self.maps_models:
            return upstream
        content_type = head.caller.content_type
        upstream = upstream._replace(memo=self._memo(head, self._stateful(head.method, path)))
        if media_types.may_be_json(content_type):
            return NeedsBody(self.origin, functools.partial(self._mapped_if_readable, upstream), upstream.notes)
        length = header_fields.value(head.fields, b"content-length")
        is_short = length.isdigit() and int(length[:10]) <= _LONGEST_FORM
        if is_short and media_types.kind_of(content_type) == "multipart/form-data":
            rewrite = functools.partial(self._form_mapped_if_readable, upstream, content_type)
            return NeedsBody(self.origin, rewrite, upstream.notes)
        return upstream

    def _mapped_if_readable(self, upstream: Upstream, body: bytes) -> Upstream:
        """The body of a path that nobody knows may be anything: what is no object with a text as model is kept."""
        plain = without_mark(body)
        try:
            model = text_member(plain, object_members(plain), "model")
        except Refusal:
            return upstream._replace(body=body)
        return self.with_model(upstream, plain, model)

    def _form_mapped_if_readable(self, upstream: Upstream, content_type: str, body: bytes) -> Upstream:
        try:
            form = form_edit.find(body, multipart.boundary(content_type), "model")
        except Refusal:
            return upstream._replace(body=body)
        return self._with_form(upstream, form, False) if form.field else upstream._replace(body=body)

    def needs_model(self, api: str) -> bool:
        """Whether the path of an API depends on the model in the body."""
        return False

    def for_model(self, upstream: Upstream, model: str | None) -> Upstream:
        """The request for a model, as it is after modelMapping. Raises Refusal."""
        return upstream

    # Chats

    def translates(self, api: str) -> bool:
        """Whether an API that it has is one of another form at the provider."""
        return self._chats.is_foreign(api) or api in self._conversions

    def target(self, api: str) -> Target:
        """What is particular about the chat API of this name, for requests that are translated for it."""
        found = self.row.messages if api == MESSAGES else self.row.chat
        is_counted = not (isinstance(self.keys, CompatibleKeys) and self.keys.disable_stream_usage_stats)
        return found._replace(
            name=found.name or self.type,
            vendor=found.vendor or self.type,
            counts_streams=found.counts_streams and is_counted,
        )

    def lacking(self, head: Head, call: Call, query: str) -> Upstream | NeedsBody:
        """A chat in the other dialect is translated for the API that there is; tokens are estimated."""
        name = call.api.name
        if name == COUNT_TOKENS and head.method == "POST" and not CHAT_APIS.keys().isdisjoint(self.capabilities):
            return NeedsBody(self.origin, chats.estimated, (f"answered here: {self.type} counts no tokens",))
        if (other := substitute(name, self.capabilities)) is not None:
            return self._translating(head, call, other, query)
        return super().lacking(head, call, query)

    def _translating(self, head: Head, call: Call, other: str, query: str) -> NeedsBody:
        """A chat that is translated for the API of the name `other`."""
        name = call.api.name
        if head.method != "POST":
            raise self.unsupported(f"{head.method} {call.api.path}", name)
        if CHAT_APIS[name] == ANTHROPIC:
            query = targets.pop_parameter(query, _BETA)[1]
        notes = (f"{self._sent_to}: {name} as {self._chats.named(other)} of {self.type}",)
        path, is_repeatable = self.upstream_path(other, {}, query), self.is_repeatable(head, name)
        upstream = Upstream(self.origin, "POST", path, notes=notes, is_repeatable=is_repeatable)
        return NeedsBody(self.origin, functools.partial(self._translated, upstream, name, other), notes)

    def _translated(self, upstream: Upstream, asked: str, other: str, body: bytes) -> Upstream:
        body, done = self._chats.edited(asked, without_mark(body))
        upstream = upstream._replace(notes=(*upstream.notes, *done))
        is_foreign = self._chats.is_foreign(other)
        # Edits know OpenAI's dialect and Anthropic's only, so that they come first, but for the type's own.
        early = self._early_edits[asked] if is_foreign else self.mapping_edits(asked)
        mapped = self.edited(upstream, early, True, False, body)
        found = self._chats.translated(asked, other, mapped.body or b"")
        sent = mapped._replace(fields=found.fields, memo=found.memo, notes=(*mapped.notes, *found.notes))
        if is_foreign:
            sent = self.edited(sent, self._vendor_edits[other], True, False, found.body)
            return self.for_chat(sent, other, found.model, found.is_stream)
        return self.edited(sent, self._late_edits[other], True, self.needs_model(other), found.body)

    def for_chat(self, upstream: Upstream, api: str, model: str, is_stream: bool) -> Upstream:
        """A chat in the vendor's own dialect, with what depends on the model and on whether it streams: its path,
        header fields."""
        return upstream

    def _native(self, upstream: Upstream, api: str, is_json: bool, body: bytes) -> Upstream:
        body, notes = self._chats.prepared(api, without_mark(body))
        upstream = upstream._replace(notes=(*upstream.notes, *notes))
        sent = self.edited(upstream, self._edits[api], is_json, self.needs_model(api), body)
        if more := self._chats.own_memo(api, sent.body or b""):
            return sent._replace(memo={**sent.memo, **more}, fields={**sent.fields, **chats.READABLE})
        return sent

    def responseheaders(self, sent: Upstream, status: int, fields: Fields) -> Handling:
        """The answer to what was translated is translated back."""
        converted = conversions.handling(self._conversions, sent.memo, status, fields)
        if converted is not None:
            return converted
        found = super().responseheaders(sent, status, fields)
        return self._chats.handling(sent.memo, found, status, fields) if sent.memo else found

    # Bodies

    def body_edits(self, api: str) -> tuple[BodyEdit, ...]:
        """What may change in JSON bodies of an API, but for the model, in the order in which it is done."""
        keys = self.keys
        found = []
        if keys.custom_settings:
            found.append(BodyEdit(functools.partial(with_settings, keys.custom_settings)))
        if api in _STREAMS and isinstance(keys, CompatibleKeys) and not keys.disable_stream_usage_stats:
            found.append(BodyEdit(body_edits.asking_for_usage, (b'"stream"',)))
        if api == CHAT and not self.row.keeps_developer:
            found.append(BodyEdit(body_edits.developer_as_system, (b'"developer"',)))
        if api == CHAT and isinstance(keys, SchemaKeys) and keys.response_json_schema:
            found.append(BodyEdit(body_edits.with_response_format(keys.response_json_schema)))
        found += self.row.edits.get(api, ())
        return tuple(found)

    def mapping_edits(self, api: str) -> tuple[BodyEdit, ...]:
        """What is done to the model in requests for an API, behind body_edits(); first where it is translated."""
        return (BodyEdit(self.map_in_body),) if self.maps_models else ()

    def model_edits(self, api: str) -> tuple[BodyEdit, ...]:
        """What depends on the model that is sent; last of all."""
        return ()

    @property
    def maps_models(self) -> bool:
        """Whether map_model() may change a model."""
        return bool(self.keys.model_mapping)

    def edited(
        self, upstream: Upstream, wanted: tuple[BodyEdit, ...], is_json: bool, needs_model: bool, body: bytes
    ) -> Upstream:
        """The request with its JSON body edited (see NeedsBody); without `is_json`, it may be something else."""
        body = without_mark(body)
        upstream = upstream._replace(body=body)
        start = body.lstrip()[:1]
        is_document = start == b"{" or (is_json and start != b"")
        concerned = [edit for edit in wanted if edit.concerns(body)] if is_document else []
        if not (concerned or (is_document and needs_model)):
            return self.for_model(upstream, None) if needs_model else upstream
        root = json_tree.parsed(body, object_members(body))
        notes = upstream.notes
        try:
            for edit in concerned:
                notes = (*notes, *edit.apply(root))
            if needs_model:
                model = root.get("model")
                upstream = self.for_model(upstream, model.string() if model else None)
            return upstream._replace(body=root.written(), notes=notes)
        except json_edit.JSONError as error:
            raise bad_body(f"The request body {error}.") from None

    def map_in_body(self, body: Value) -> Notes:
        """Maps the model of a JSON body, if it has one."""
        member = body.get("model")
        if member is None:
            return ()
        try:
            asked = member.string()
        except json_edit.JSONError:
            raise bad_body("model cannot be read.", param="model") from None
        if asked is None:
            raise bad_body("model is not a string.", param="model")
        mapped, notes = self.map_model(asked)
        if mapped != asked:
            member.replace(json_edit.string(mapped))
        return notes

    def _edited_form(self, upstream: Upstream, content_type: str, needs_model: bool, body: bytes) -> Upstream:
        return self._with_form(upstream, form_edit.find(body, multipart.boundary(content_type), "model"), needs_model)

    def _with_form(self, upstream: Upstream, form: Form, needs_model: bool) -> Upstream:
        asked = form.field.text.strip() if form.field else ""
        mapped, notes = self.map_model(asked)
        if needs_model:
            upstream = self.for_model(upstream, mapped or None)
        if mapped == asked:
            return upstream._replace(body=form.body)
        return upstream._replace(body=form.with_text("model", mapped), notes=(*upstream.notes, *notes))

    def _mapped_parameter(self, query: str, notes: Notes) -> tuple[str, Notes]:
        found: list[str] = []

        def change(model: str) -> str:
            mapped, why = self.map_model(model)
            found.extend(why)
            return mapped

        return targets.with_parameter(query, "model", change), (*notes, *found)


def _for_all(edits: tuple[BodyEdit, ...]) -> tuple[BodyEdit, ...]:
    return tuple(edit._replace(words=()) for edit in edits)


def with_settings(settings: tuple[Setting, ...], body: Value) -> Notes:
    """Puts settings of the configuration into a body, in their order."""
    done = [one.name for one in settings if body.put_path(one.path, one.value, overwrite=one.overwrite)]
    return (f"set by customSettings: {', '.join(done)}",) if done else ()


def _paths(row: Row, base: str, before: str) -> dict[str, str]:
    """By name of the API, its path below a base; those elsewhere, below what stands before that."""
    below = {name: base + apis.BY_NAME[name].path.removeprefix(_VERSION) for name in apis.BY_NAME if name in row.apis}
    return below | {name: before + path for name, path in row.elsewhere.items()}
