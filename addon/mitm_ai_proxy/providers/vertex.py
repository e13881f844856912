"""Google Vertex AI: Gemini, Claude and pictures, with a service account, an express key, or OpenAI's API.

Sources: Google's Vertex AI documentation; Higress ai-proxy plugin, vertex.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from ..apis import Call
from ..auth import google as google_auth
from ..auth.access_tokens import AccessTokens
from ..auth.bearer import bearer
from ..auth.google import GoogleTokens
from ..auth.header import NO_CREDENTIAL, Credential
from ..auth.secret import Secret
from ..chat import json_values, predicted_messages, token_estimate
from ..chat.body_edits import BodyEdit, Notes
from ..chat.gemini_upstream import Settings
from ..chat.target import CLAUDE, GOOGLE, OPENAI_CHAT, Target
from ..config import values
from ..config.keys import Problem, Reading, key
from ..errors import Refusal, bad_body, no_access_token
from ..exchange import Answer, Handling, Head, NeedsBody, Upstream
from ..wire import header_fields, json_edit
from ..wire.header_fields import Fields
from ..wire.json_tree import Value
from ..wire.request_body import object_members, text_member, without_mark
from ..wire.targets import Origin
from . import chats, google_embeddings
from .base import Clock
from .chats import CHAT, MESSAGES
from .compatible import Compatible
from .google import EMBEDDINGS, GENERATE, IMAGES, MODELS, STREAM, Google, GoogleKeys
from .row import AddressKeys, Row

_GOOGLE: Final = "/publishers/google/models/{model}"
_ANTHROPIC: Final = "/publishers/anthropic/models/{model}"
BELOW: Final = {
    CHAT: f"{_GOOGLE}:generateContent",
    MESSAGES: f"{_ANTHROPIC}:rawPredict",
    GENERATE: f"{_GOOGLE}:generateContent",
    STREAM: f"{_GOOGLE}:streamGenerateContent",
    EMBEDDINGS: f"{_GOOGLE}:predict",
    **dict.fromkeys(IMAGES, f"{_GOOGLE}:generateContent"),
}
"""Paths below the version, and below the project where there is one."""
_LISTED: Final = "/v1beta1/publishers/google/models"
PATHS: Final = {**{name: f"/v1{path}" for name, path in BELOW.items()}, MODELS: _LISTED}
_OPENAI: Final = "/endpoints/openapi/chat/completions"
_GLOBAL: Final = "aiplatform.googleapis.com"
_MULTI_REGIONS: Final = ("us", "eu")
_COUNT_MODEL: Final = "count-tokens"
_COUNTED: Final = ("contents", "systemInstruction", "tools")
_DATED: Final = re.compile(r"-(20[0-9]{6})$")
_CLAUDE: Final = re.compile(r"(anthropic/)?claude-")
_GEMINI: Final = re.compile(r"gem(ini|ma)-")
_ANTHROPIC_FIELDS: Final = (b"anthropic-version", b"anthropic-beta", b"anthropic-dangerous-direct-browser-access")
_PREDICTED: Final = "predicted"
"""In the memo of a request to Claude itself, in Anthropic's own dialect."""
_AHEAD: Final = 60


def _auth_key(value: Any) -> Secret | None:
    """The JSON of a service account's key: a text, or the mapping that YAML makes of it."""
    text = json.dumps(value) if isinstance(value, dict) else value
    if not isinstance(text, str):
        raise ValueError("expected the JSON of a service account's key")
    if not text.strip():
        return None
    google_auth.account(text)
    return Secret(text.strip())


def _segment(value: Any) -> str:
    found = values.text(value)
    if found and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.:_-]{0,99}", found):
        raise ValueError("expected letters, digits, - and such only, as in us-central1 or my-project")
    return found


@dataclass(frozen=True, slots=True)
class VertexKeys(GoogleKeys):
    """The keys of `type: vertex`."""

    vertex_auth_key: Secret | None = key(
        _auth_key,
        secret=True,
        help="The key of a service account: the JSON that Google gives, as a text of several lines.",
    )
    vertex_region: str = key(
        _segment, "", help="The region, such as `us-central1`, `global`, or the multi-regions `us` and `eu`."
    )
    vertex_project_id: str = key(_segment, "", help="The project; that of the key if it is missing.")
    vertex_token_refresh_ahead: int = key(
        values.seconds(3000), _AHEAD, help="Seconds before its end from which an access token is renewed."
    )
    vertex_open_a_i_compatible: bool = key(
        values.flag, False, help="Whether chats with Gemini go to Vertex AI's API of OpenAI's form."
    )

    @property
    def project(self) -> str:
        """The project in paths."""
        if self.vertex_project_id or self.vertex_auth_key is None:
            return self.vertex_project_id
        return google_auth.account(self.vertex_auth_key.reveal()).project_id

    def problems(self, reading: Reading) -> Iterator[Problem]:
        """Keys of two modes, and what a mode lacks."""
        if self.api_tokens:
            if self.vertex_open_a_i_compatible:
                message = "is not compatible with Express Mode (apiTokens): it needs vertexAuthKey"
                yield Problem("vertexOpenAICompatible", message, ("apiTokens",))
            if self.vertex_auth_key:
                yield Problem("vertexAuthKey", "stands beside apiTokens (Express Mode); keep one of the two")
            return
        if self.vertex_auth_key is None:
            if reading.offline:
                return
            yield Problem(
                "vertexAuthKey",
                "is missing: give the key of a service account, or apiTokens (Express Mode)",
                ("apiTokens",),
            )
        if not self.vertex_region:
            yield Problem("vertexRegion", "is missing: a region such as us-central1, or global")
        if not self.project:
            yield Problem("vertexProjectId", "is missing, and the key names no project", ("vertexAuthKey",))


class Vertex(Google):
    """See its row."""

    keys: VertexKeys
    takes_output_format = True

    def __init__(self, keys: AddressKeys, clock: Clock) -> None:
        assert isinstance(keys, VertexKeys)
        self._is_express = bool(keys.api_tokens)
        self._account = google_auth.account(keys.vertex_auth_key.reveal()) if keys.vertex_auth_key else None
        if self._account and not self._is_express:
            self.access_tokens: AccessTokens | None = GoogleTokens(self._account, keys.vertex_token_refresh_ahead)
        super().__init__(keys, clock)

    # Addresses

    def own_origin(self) -> Origin:
        """The host of the region."""
        region = "" if self._is_express else self.keys.vertex_region
        if region in ("", "global"):
            return Origin.parse(_GLOBAL)
        if region in _MULTI_REGIONS:
            return Origin.parse(f"aiplatform.{region}.rep.googleapis.com")
        return Origin.parse(f"{region}-{_GLOBAL}")

    def own_capabilities(self) -> Mapping[str, str]:
        """Paths with the project and the region, but for an express key."""
        place = ""
        if not self._is_express and self.keys.project and self.keys.vertex_region:
            place = f"/projects/{quote(self.keys.project, safe=':')}/locations/{self.keys.vertex_region}"
        found = {name: f"{self.base}/v1{place}{path}" for name, path in BELOW.items()} | {MODELS: self.base + _LISTED}
        if self._is_compatible:
            found[CHAT] = f"{self.base}/v1beta1{place}{_OPENAI}"
        return found

    @property
    def _is_compatible(self) -> bool:
        return self.keys.vertex_open_a_i_compatible

    # Credentials

    def secrets(self) -> tuple[str, ...]:
        """With the private key alone, too."""
        return (*super().secrets(), *([self._account.private_key.reveal()] if self._account else []))

    @property
    def has_credential(self) -> bool:
        """There always is one, so that none of the client's is sent on."""
        return True

    def credential(self, upstream: Upstream, token: Secret | None) -> Credential:
        """The access token of the moment, or the express key in the query. Raises Refusal (503)."""
        if self._is_express or self.access_tokens is None:
            return super().credential(upstream, token)
        if (current := self.access_tokens.current(self.clock())) is not None:
            return bearer(current)
        if self.access_tokens.is_offline:
            return NO_CREDENTIAL
        raise no_access_token(self.access_tokens.name, self.access_tokens.problem)

    def credential_of(self, token: Secret) -> Credential:
        """An express key."""
        return Credential(query=f"key={quote(token.reveal(), safe='')}")

    @property
    def remarks(self) -> tuple[str, ...]:
        """Which account is used."""
        return (f"service account {self._account.client_email}",) if self.access_tokens and self._account else ()

    # Chats

    def target(self, api: str) -> Target:
        """By the mode."""
        if api == CHAT and self._is_compatible:
            return OPENAI_CHAT._replace(name="Vertex AI", vendor="google")
        return super().target(api)

    def gemini_settings(self) -> Settings:
        """Vertex AI wants to know what is behind a link."""
        return super().gemini_settings()._replace(needs_media_type=True)

    def body_edits(self, api: str) -> tuple[BodyEdit, ...]:
        """Settings go into the generationConfig, but for the dialects that others share."""
        is_shared = api == MESSAGES or (api == CHAT and self._is_compatible)
        return Compatible.body_edits(self, api) if is_shared else super().body_edits(api)

    def model_edits(self, api: str) -> tuple[BodyEdit, ...]:
        """Vertex AI's API of OpenAI's form names the publisher of a model."""
        return (BodyEdit(_with_publisher),) if api == CHAT and self._is_compatible else ()

    def call(self, head: Head, call: Call, query: str, notes: Notes) -> Upstream | NeedsBody:
        """A chat goes where its model is."""
        if call.api.name not in (CHAT, MESSAGES):
            return super().call(head, call, query, notes)
        if head.method != "POST":
            raise self.unsupported(f"{head.method} {call.api.path}", call.api.name)
        chat = functools.partial(self._chat, head, call.api.name, query)
        return NeedsBody(self.origin, chat, (f"{self._sent_to}: {call.api.name} of {self.type}",))

    def _chat(self, head: Head, asked: str, query: str, body: bytes) -> Upstream:
        body = without_mark(body)
        notes = (f"{self._sent_to}: {asked} of {self.type}",)
        upstream = Upstream(self.origin, "POST", "", notes=notes, is_repeatable=self.is_repeatable(head, asked))
        is_claude = _CLAUDE.match(self._model_of(body)) is not None
        if asked == MESSAGES and is_claude:
            return self._claude(head, self._native(upstream, MESSAGES, True, body))
        if asked == CHAT and self._is_compatible and not is_claude:
            upstream = upstream._replace(target=self.upstream_path(CHAT, {}, query), memo=self._chats.memo(CHAT))
            return self._native(upstream, CHAT, True, body)
        other = MESSAGES if is_claude else CHAT
        upstream = upstream._replace(target=self.upstream_path(other, {}, ""))
        found = self._translated(upstream, asked, other, body)
        return self._claude(head, found) if is_claude else found

    def _model_of(self, body: bytes) -> str:
        """The model of a request, after modelMapping."""
        found = text_member(body, object_members(body), "model")
        if found is None or not found[1]:
            raise bad_body("model is missing.", param="model")
        return self.map_model(found[1])[0]

    def _claude(self, head: Head, upstream: Upstream) -> Upstream:
        """A request of Anthropic's Messages, at Claude's own place."""
        body = upstream.body or b""
        root = json_values.request_object(body)
        target = self.model_path(MESSAGES, _claude_at_vertex(root.need("model")))
        if root.flag("stream"):
            target = target.replace(":rawPredict", ":streamRawPredict")
        betas, left_out = predicted_messages.known_betas(header_fields.value(head.fields, b"anthropic-beta"))
        is_own = not upstream.memo.get("translation")
        version = header_fields.value(head.fields, b"anthropic-version") if is_own else ""
        body, notes = predicted_messages.request(body, version, betas)
        fields: dict[bytes, bytes | None] = {**upstream.fields, **dict.fromkeys(_ANTHROPIC_FIELDS)}
        fields[b"content-type"] = b"application/json"
        if is_own and betas:
            fields[b"anthropic-beta"] = betas.encode("utf-8", "surrogateescape")
        memo = upstream.memo
        if is_own:
            memo = {**self._chats.memo(MESSAGES), **memo, _PREDICTED: True}
            fields |= chats.READABLE
        notes = (*upstream.notes, *(left_out if is_own else ()), *notes)
        return upstream._replace(target=target, body=body, fields=fields, memo=memo, notes=notes)

    # Tokens, embeddings

    def counted(self, upstream: Upstream, head: Head, body: bytes) -> Upstream | Answer:
        """A count by Claude's own counter, or by Gemini's."""
        body = without_mark(body)
        try:
            model = self._model_of(body)
            if _CLAUDE.match(model) is None:
                return chats.estimated(body) if self._is_compatible else super().counted(upstream, head, body)
            mapped = self._native(upstream, MESSAGES, True, body)
        except Refusal:
            return chats.estimated(body)
        version = header_fields.value(head.fields, b"anthropic-version")
        betas, notes = predicted_messages.known_betas(header_fields.value(head.fields, b"anthropic-beta"))
        sent, more = predicted_messages.request(mapped.body or b"", version, betas, _claude_at_vertex(model))
        fields: dict[bytes, bytes | None] = {**mapped.fields, **dict.fromkeys(_ANTHROPIC_FIELDS)}
        if betas:
            fields[b"anthropic-beta"] = betas.encode("utf-8", "surrogateescape")
        counting = mapped._replace(
            target=self.model_path(MESSAGES, _COUNT_MODEL),
            body=sent,
            fields={**fields, b"content-type": b"application/json"},
            notes=(*mapped.notes, *notes, *more),
        )
        return self.asking(counting, "count", head, estimate=token_estimate.estimate(body))

    def counting_body(self, model: str, body: bytes) -> bytes:
        """The members of the request that Vertex AI's countTokens takes."""
        members = {name: value for name, value in json_values.members(body).items() if name in _COUNTED}
        return json_values.encode(members)

    def embedding_body(self, asked: google_embeddings.Asked) -> bytes:
        """The body of a predict."""
        return google_embeddings.instances(asked)

    # Answers

    def responseheaders(self, sent: Upstream, status: int, fields: Fields) -> Handling:
        """As elsewhere; errors of Google's before Claude itself become Anthropic's."""
        found = super().responseheaders(sent, status, fields)
        return predicted_messages.errors_of(status, found) if sent.memo.get(_PREDICTED) else found


def _with_publisher(body: Value) -> Notes:
    member = body.get("model")
    model = (member.string() if member is not None else None) or ""
    if member is None or not _GEMINI.match(model):
        return ()
    member.replace(json_edit.string(f"google/{model}"))
    return (f"model {model} is google/{model} in Vertex AI's API of OpenAI's form",)


def _claude_at_vertex(model: str) -> str:
    """A model of Claude's as Vertex AI writes it: with an @ before its date."""
    return _DATED.sub(r"@\1", model.removeprefix("anthropic/"))


ROW: Final = Row(
    "vertex",
    "aiplatform.googleapis.com",
    "",
    frozenset(),
    "Google Vertex AI: Gemini, Claude, embeddings and pictures. With a service account (`vertexAuthKey`) below a"
    " project and a region; with `apiTokens`, which are keys of its express mode, without.",
    site="https://cloud.google.com/vertex-ai/generative-ai/docs",
    elsewhere=PATHS,
    is_key_optional=True,
    native=(
        (":generateContent", "gemini/v1beta/generatecontent"),
        (":streamGenerateContent", "gemini/v1beta/streamgeneratecontent"),
        (":rawPredict", MESSAGES),
        (":streamRawPredict", MESSAGES),
    ),
    keeps_developer=True,
    chat=GOOGLE,
    messages=CLAUDE,
    keys=VertexKeys,
    kind=Vertex,
)
