"""Providers that speak OpenAI's API below a base path of their own. Each type is a Row of the table in rows.py."""

from __future__ import annotations

import functools
import types
from dataclasses import replace
from typing import ClassVar, Final

from .. import apis
from ..apis import Call
from ..chat import body_edits, json_values
from ..chat.body_edits import BodyEdit, Notes
from ..chat.dialects import ANTHROPIC, OPENAI
from ..chat.edits import NO_EDITS
from ..chat.target import OPENAI_CHAT, Target
from ..chat.translate import CHAT_APIS, substitute
from ..config.custom_settings import Setting
from ..errors import Refusal, bad_body
from ..exchange import Handling, Head, NeedsBody, Upstream
from ..wire import form_edit, header_fields, json_edit, json_tree, media_types, multipart, targets
from ..wire.form_edit import Form
from ..wire.header_fields import Fields
from ..wire.json_tree import Value
from ..wire.request_body import object_members, text_member, without_mark
from ..wire.targets import Origin
from . import chats, conversions
from .addressed import Addressed, paths_of
from .base import Clock
from .chats import CHAT, COUNT_TOKENS, MESSAGES, Chats
from .common_keys import CommonKeys, SimulatorAccount
from .conversions import Conversions
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
_BETA: Final = "beta"
"""Parameter of the query that Anthropic's SDKs send."""


class Compatible(Addressed):
    """A provider of a Row. A subclass is for a type that is more than its row."""

    simulated_by = "chat"
    is_simulated_natively: ClassVar[bool] = False
    """Whether the simulator has the type's own form of chats; else it answers in OpenAI's."""

    def __init__(self, keys: AddressKeys, clock: Clock) -> None:
        super().__init__(keys, clock)
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
            "default_capabilities": paths_of(row, row.base, ""),
            "variable": row.key_variable,
            "is_key_optional": row.is_key_optional,
            "key_instead": row.key_instead,
            "needs": row.needs,
            "in_paths": frozenset(targets.placeholders(row.base)),
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

    # Requests

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
