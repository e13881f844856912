"""Gemini's models behind the dialects of other vendors' clients: what both of Google's services have in common.

Sources: Google's Gemini API reference; Higress ai-proxy plugin, gemini and vertex.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Final
from urllib.parse import quote, unquote

from .. import apis
from ..apis import Call
from ..chat import json_values, token_estimate
from ..chat.body_edits import BodyEdit
from ..chat.dialects import of_client
from ..chat.gemini_upstream import Settings
from ..chat.target import GOOGLE, Target
from ..chat.translate import CHAT_APIS
from ..config import values
from ..config.custom_settings import AUTO, Setting
from ..config.keys import Problem, key
from ..errors import Refusal, bad_body
from ..exchange import Answer, Handling, Head, NeedsBody, Upstream, Whole
from ..wire import header_fields, media_types, targets
from ..wire.header_fields import Fields
from ..wire.request_body import without_mark
from . import chats, google_answers, google_embeddings, google_images
from .chats import CHAT, COUNT_TOKENS, MESSAGES
from .compatible import Compatible, with_settings
from .row import AddressKeys, ChatKeys

GENERATE: Final = "gemini/v1beta/generatecontent"
STREAM: Final = "gemini/v1beta/streamgeneratecontent"
EMBEDDINGS: Final = "openai/v1/embeddings"
MODELS: Final = "openai/v1/models"
IMAGES: Final = {f"openai/v1/image{kind}": kind for kind in ("generation", "edit", "variation")}
"""APIs of pictures, by name, and what they do."""

_NATIVE: Final = re.compile(r".*/models/(?P<model>[^/]*):(?P<action>generateContent|streamGenerateContent)", re.DOTALL)
_MODEL: Final = re.compile(r"(.*/models/)([^/:]+)(:[A-Za-z]+|/?)", re.DOTALL)
"""A native path about one model."""
_ONE_MODEL: Final = re.compile(r"(?:.*/)?v1/models/([^/:]+)", re.DOTALL)
_CONFIG: Final = ("generationConfig", "generation_config")
_SETTING_NAMES: Final = {
    "max_tokens": "maxOutputTokens",
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
}
"""Names of customSettings, and what they are in a generationConfig."""
_GOOGLE_FIELDS: Final = (b"x-goog-api-client", b"x-goog-api-key")
"""Header fields that only Google's own clients send."""
_KIND: Final = "google"
"""In the memo of a request other than a chat: which kind of answer it gets."""
_CATEGORY: Final = re.compile(r"[A-Z][A-Z_]{0,79}")


def safety(value: Any) -> tuple[tuple[str, str], ...]:
    """Categories and thresholds. YAML reads OFF without quotes as false."""
    if not isinstance(value, dict):
        raise ValueError("expected a mapping of categories to thresholds")
    found = values.text_mapping({name: "OFF" if word is False else word for name, word in value.items()})
    for word in (*found, *found.values()):
        if not _CATEGORY.fullmatch(word):
            raise ValueError("expected words such as HARM_CATEGORY_HARASSMENT: BLOCK_NONE")
    return tuple(found.items())


def budget(value: Any) -> int:
    """A number of tokens, or -1."""
    text = values.text(value)
    return -1 if text == "-1" else values.whole(0, 1_000_000, "tokens, or -1,")(text)


@dataclass(frozen=True, slots=True)
class GoogleKeys(ChatKeys):
    """The keys of both types."""

    gemini_safety_setting: tuple[tuple[str, str], ...] | None = key(
        safety,
        mapping=True,
        help="`safetySettings` of translated requests: category to threshold, in the order of the file.",
    )
    gemini_thinking_budget: int | None = key(
        budget,
        help="The tokens that models of Gemini 2.5 think where the client says nothing of it: `0` for none, `-1` leaves"
        " it to the model.",
    )


class Google(Compatible):
    """Gemini's models. A subclass says where they are."""

    keys: GoogleKeys
    counts_tokens = True
    takes_output_format: ClassVar[bool] = False
    """Whether the format of pictures can be chosen."""
    is_simulated_natively = True

    # Configuration

    def target(self, api: str) -> Target:
        """Gemini's own API with the safety settings and the thinking of the configuration."""
        if api != CHAT:
            return super().target(api)
        return GOOGLE._replace(settings=self.gemini_settings())

    def gemini_settings(self) -> Settings:
        """What the writer of Gemini's requests needs."""
        return Settings(self.keys.gemini_safety_setting or (), self.keys.gemini_thinking_budget)

    @classmethod
    def setting_problems(cls, keys: AddressKeys) -> Iterator[Problem]:
        """None: Gemini has all names."""
        yield from ()

    def body_edits(self, api: str) -> tuple[BodyEdit, ...]:
        """Settings go into the generationConfig, behind the translation."""
        if api in CHAT_APIS:
            return ()
        if api not in (GENERATE, STREAM):
            return super().body_edits(api)
        settings = tuple(map(_in_config, self.keys.custom_settings))
        return (BodyEdit(functools.partial(with_settings, settings)),) if settings else ()

    def mapping_edits(self, api: str) -> tuple[BodyEdit, ...]:
        """A model in a path is mapped there."""
        return () if api in (GENERATE, STREAM) else super().mapping_edits(api)

    # Native clients

    def detect(self, method: str, path: str) -> Call | None:
        """The API of a client's path. Google's own clients choose the version."""
        if native := _NATIVE.fullmatch(path):
            name = GENERATE if native["action"] == "generateContent" else STREAM
            return Call(apis.BY_NAME[name], {"model": native["model"]})
        return apis.detect(method, path)

    def own_path(self, path: str) -> str:
        """A path that is no API stays as the client wrote it."""
        return targets.add_prefix(path, self._before)

    def pass_on(self, head: Head, path: str, upstream: Upstream) -> Upstream | NeedsBody:
        """A path of Google's, with its model mapped; one model, for a client of another vendor."""
        if head.method == "GET" and (one := _ONE_MODEL.fullmatch(path)) and not _is_google(head):
            targets.check_id("model", one[1])
            listed = targets.split_query(self.upstream_path(MODELS, {}, ""))[0]
            sent = upstream._replace(target=f"{listed}/{one[1]}")
            return self.asking(sent, "model", head)
        return self._with_native_model(upstream)

    def _unchanged(self, head: Head, query: str, upstream: Upstream) -> Upstream:
        """A request to the client's own path."""
        path = self.without_base_path(targets.split_query(head.target)[0])
        return upstream._replace(target=targets.join_query(self.with_base_path(self.own_path(path)), query))

    def _with_native_model(self, upstream: Upstream) -> Upstream:
        path, query = targets.split_query(upstream.target)
        found = _MODEL.fullmatch(path)
        if found is None or not self.maps_models:
            return upstream
        mapped, notes = self.map_model(unquote(found[2]))
        if not notes:
            return upstream
        target = targets.join_query(f"{found[1]}{self.model_in_path(mapped)}{found[3]}", query)
        return upstream._replace(target=target, notes=(*upstream.notes, *notes))

    def _native_call(self, head: Head, call: Call, query: str, notes: tuple[str, ...]) -> Upstream | NeedsBody:
        """A request of Gemini's own API: only the model may change, and what the configuration sets."""
        name = call.api.name
        targets.check_id("model", call.ids["model"])
        if name in self.keys.capabilities:
            target = self.upstream_path(name, call.ids, query)
        else:
            target = self._unchanged(head, query, Upstream(self.origin, head.method, "")).target
        is_repeatable = self.is_repeatable(head, name)
        upstream = Upstream(self.origin, head.method, target, notes=notes, is_repeatable=is_repeatable)
        upstream = self._with_native_model(upstream)
        wanted = self._edits.get(name, ())
        if not (wanted and head.method == "POST" and media_types.may_be_json(head.caller.content_type)):
            return upstream
        rewrite = functools.partial(self.edited, upstream, wanted, True, False)
        return NeedsBody(self.origin, rewrite, upstream.notes)

    # Other clients

    def model_in_path(self, model: str) -> str:
        """A model as a segment of a path. Raises Refusal for one that would be more than that."""
        segment = quote(model.removeprefix("models/"), safe="@")
        try:
            targets.check_id("model", segment)
        except Refusal as refusal:
            raise bad_body(refusal.message, param="model") from None
        return segment

    def model_path(self, api: str, model: str, query: str = "") -> str:
        """The target of an API whose path has the model."""
        return self.upstream_path(api, {"model": self.model_in_path(model)}, query)

    def for_chat(self, upstream: Upstream, api: str, model: str, is_stream: bool) -> Upstream:
        """A chat at its model, with the settings of the configuration; without the client's query: Google refuses
        parameters that it does not know."""
        target = self.model_path(api, model)
        if is_stream:
            path, query = targets.split_query(target.replace(":generateContent", ":streamGenerateContent"))
            target = targets.join_query(path, targets.merge_queries(query, "alt=sse"))
        return self.edited(upstream._replace(target=target), self._edits[GENERATE], True, False, upstream.body or b"")

    def call(self, head: Head, call: Call, query: str, notes: tuple[str, ...]) -> Upstream | NeedsBody:
        """An API that is translated by itself; others as they are."""
        name = call.api.name
        if name in (GENERATE, STREAM):
            return self._native_call(head, call, query, notes)
        is_repeatable = self.is_repeatable(head, name)
        upstream = Upstream(self.origin, head.method, "", notes=notes, is_repeatable=is_repeatable)
        if name == MODELS:
            return self._models(head, query, upstream)
        read = {EMBEDDINGS: self._embedded, **dict.fromkeys(IMAGES, self._drawn)}.get(name)
        if read is None:
            return super().call(head, call, query, notes)
        if head.method != "POST":
            raise self.unsupported(f"{head.method} {call.api.path}", name)
        return NeedsBody(self.origin, functools.partial(read, upstream, name, head), notes)

    def lacking(self, head: Head, call: Call, query: str) -> Upstream | NeedsBody:
        """Tokens are counted by Gemini; a client of Google's own has more APIs than others."""
        if _is_google(head):
            return self._unchanged(head, query, Upstream(self.origin, head.method, "", notes=(self._sent_to,)))
        if call.api.name == COUNT_TOKENS and head.method == "POST":
            notes = (f"{self._sent_to}: {call.api.name} as countTokens of {self.type}",)
            upstream = Upstream(self.origin, "POST", "", notes=notes, is_repeatable=True)
            return NeedsBody(self.origin, functools.partial(self.counted, upstream, head), notes)
        return super().lacking(head, call, query)

    def asking(self, upstream: Upstream, kind: str, head: Head, **memo: Any) -> Upstream:
        """A request whose answer is one of google_answers, in the dialect of the client."""
        fields = {**upstream.fields, **chats.READABLE}
        return upstream._replace(fields=fields, memo={_KIND: kind, "client": of_client(head.caller.dialect), **memo})

    def responseheaders(self, sent: Upstream, status: int, fields: Fields) -> Handling:
        """The answer to what is no chat is translated, too."""
        if _KIND not in sent.memo:
            return super().responseheaders(sent, status, fields)
        made: Callable[[Answer], Answer] = functools.partial(google_answers.rewritten, sent.memo)
        return Whole(made)

    # Models, tokens

    def _models(self, head: Head, query: str, upstream: Upstream) -> Upstream:
        if head.method != "GET" or _is_google(head):
            return self._unchanged(head, query, upstream)
        return self.asking(upstream._replace(target=self.upstream_path(MODELS, {}, "pageSize=1000")), "models", head)

    def counted(self, upstream: Upstream, head: Head, body: bytes) -> Upstream | Answer:
        """The request for a count. What cannot be translated is estimated: clients do not go on without a number."""
        body = without_mark(body)
        try:
            mapped = self.edited(upstream, super().mapping_edits(MESSAGES), True, False, _with_limit(body))
            found = self._chats.translated(MESSAGES, CHAT, mapped.body or b"")
            target = self.model_path(CHAT, found.model).replace(":generateContent", ":countTokens")
        except Refusal:
            return chats.estimated(body)
        sent = mapped._replace(
            target=target,
            body=self.counting_body(found.model, found.body),
            fields=found.fields,
            notes=(*mapped.notes, *found.notes),
        )
        return self.asking(sent, "count", head, estimate=token_estimate.estimate(body))

    def counting_body(self, model: str, body: bytes) -> bytes:
        """The body that asks for the tokens of a request."""
        members = {"model": f"models/{model.removeprefix('models/')}", **json_values.members(body)}
        return json_values.encode({"generateContentRequest": members})

    # Embeddings

    def _embedded(self, upstream: Upstream, api: str, head: Head, body: bytes) -> Upstream:
        mapped = self.edited(upstream, super().mapping_edits(api), True, False, body)
        asked = google_embeddings.read(mapped.body or b"")
        sent = mapped._replace(
            target=self.model_path(api, asked.model),
            body=self.embedding_body(asked),
            notes=(*mapped.notes, *asked.notes),
        )
        memo = {"model": asked.model, "base64": asked.is_base64}
        return _as_json(self.asking(sent, "embeddings", head, **memo))

    def embedding_body(self, asked: google_embeddings.Asked) -> bytes:
        """The body of a request for embeddings."""
        return google_embeddings.batch(asked)

    # Pictures

    def _drawn(self, upstream: Upstream, api: str, head: Head, body: bytes) -> Upstream:
        asked = google_images.read(IMAGES[api], body, head.caller.content_type)
        model, notes = self.map_model(asked.model)
        written = google_images.write(asked, model, self.takes_output_format)
        path = self.model_path(api, model)
        target = path.replace(":generateContent", ":predict") if google_images.is_imagen(model) else path
        sent = upstream._replace(target=target, notes=(*upstream.notes, *notes, *written.notes))
        members = dict(written.members)
        if self.gemini_settings().safety and not google_images.is_imagen(model):
            members["safetySettings"] = [
                {"category": name, "threshold": word} for name, word in self.gemini_settings().safety
            ]
        sent = sent._replace(body=json_values.encode(members))
        return _as_json(self.asking(sent, "images", head, created=int(self.clock())))


def _as_json(upstream: Upstream) -> Upstream:
    return upstream._replace(fields={**upstream.fields, b"content-type": b"application/json"})


def _is_google(head: Head) -> bool:
    """Whether a client is one of Google's own."""
    return any(header_fields.value(head.fields, name) for name in _GOOGLE_FIELDS)


def _with_limit(body: bytes) -> bytes:
    """A request for a count with the member that only the request itself needs."""
    root = json_values.request_object(body)
    return body if "max_tokens" in root.members else json_values.encode({**root.members, "max_tokens": 1})


def _in_config(setting: Setting) -> Setting:
    if setting.mode == AUTO:
        return setting._replace(path=(_CONFIG[0], _SETTING_NAMES[setting.name]))
    return setting if setting.path[0] in _CONFIG else setting._replace(path=(_CONFIG[0], *setting.path))
