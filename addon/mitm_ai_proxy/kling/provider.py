"""The Kling provider: its keys, its paths, its credential. For OpenAI's `/v1/videos` see videos_api.py.

Sources: Higress ai-proxy plugin, kling; Kling API documentation, legacy endpoints.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from .. import apis
from ..apis import Call
from ..auth.bearer import bearer
from ..auth.header import Credential
from ..auth.kling_jwt import KlingToken
from ..auth.secret import Secret
from ..config import values
from ..config.keys import Problem, Reading, key
from ..exchange import Handling, Head, NeedsBody, Scope, Upstream
from ..providers.base import Clock, Provider
from ..providers.common_keys import CommonKeys, SimulatorAccount
from ..providers.higress_keys import NOT_IMPLEMENTED
from ..wire import json_edit, targets
from ..wire.header_fields import Fields
from ..wire.request_body import object_members, replace_text, text_member, without_mark
from ..wire.targets import Origin
from . import api_versions, forms, idempotency, images_api, job, picture_fields, videos_api
from .models import SORA_MODES, creating_models
from .task_kinds import (
    HINT,
    IMAGE2VIDEO,
    OMNI_VIDEO,
    PREFIXES,
    TASK_KINDS,
    TEXT2VIDEO,
    VIDEO_EXTEND,
    TaskKind,
    kind_of,
)
from .videos_answers import split_id
from .videos_api import VideosApi

KLING_APIS: Final = ("legacy", "v2")
VIDEO_RESPONSES: Final = ("auto", "openai", "native")
MAX_REFRESH_AHEAD: Final = 1799
"""Seconds. A token lives 1800 s: from there on, each request would sign a new one."""
DEFAULT_ORIGIN: Final = Origin("https", "api-singapore.klingai.com", 443)
# First segments after /v1/videos/ in Kling's own paths, where OpenAI's have a video id.
VIDEO_FAMILIES: Final = frozenset(
    "advanced-lip-sync avatar effects identify-face image-recognize image2video lip-sync motion-control"
    " multi-elements multi-image2video omni-video text2video video-extend".split()
)
# First segments after /v1/images/ in paths of both Kling and OpenAI.
IMAGE_FAMILIES: Final = frozenset({"generations"})
# What Kling's other paths have, behind any prefix: all that is below is Kling's, also what is new.
_OWN_PLACES: Final = (
    "/account/",
    "/tasks/",
    "/text-to-video/",
    "/image-to-video/",
    "/omni-video/",
    "/motion-control/",
    "/v1/audio/",
    "/v1/general/",
    "/v1/images/",
)
# Segments of OpenAI's paths, which name no family of Kling's.
_OPENAI_WORDS: Final = frozenset("characters content edits extensions remix videos".split())

_VIDEOS_APIS: Final = (
    job.LIST,
    job.CONTENT,
    job.REMIX,
    job.EDIT,
    job.EXTEND,
    job.CHARACTER,
    job.RETRIEVE_CHARACTER,
)


def _trimmed_secret(value: Any) -> Secret:
    return Secret(values.trimmed_credential(value))


@dataclass(frozen=True, slots=True)
class KlingKeys(CommonKeys):
    """The keys of `type: kling`."""

    kling_access_key: str = key(
        values.trimmed_credential,
        "",
        secret=True,
        help="The access key of a key pair, which wins over `apiTokens`.",
    )
    kling_secret_key: Secret = key(
        _trimmed_secret,
        Secret(""),
        secret=True,
        help="The secret key of the pair: signs a JWT (HS256, valid for 1800 s, `nbf` 5 s back).",
    )
    kling_token_refresh_ahead: int = key(
        values.seconds(MAX_REFRESH_AHEAD),
        60,
        help="Seconds before its end at which a JWT is signed anew (0 to 1799; 0 means 60).",
    )
    kling_api: str = key(
        values.one_of(*KLING_APIS),
        "legacy",
        extension=True,
        help="The API of the provider that OpenAI's videos are sent to. `v2`: Kling's newer one, which needs"
        " `apiTokens`.",
    )
    video_response: str = key(
        values.one_of(*VIDEO_RESPONSES),
        "auto",
        extension=True,
        help="Who gets OpenAI's Video objects and errors. `openai`: everybody; `native`: nobody; `auto`: OpenAI's SDKs"
        " and LiteLLM, by their header fields, and whoever sends what only OpenAI's API takes.",
    )

    def problems(self, reading: Reading) -> Iterator[Problem]:
        """Reports half a key pair, a missing credential, or a key pair where only an API key works."""
        access, secret = bool(self.kling_access_key), bool(self.kling_secret_key)
        if access != secret:
            given, missing = ("klingAccessKey", "klingSecretKey") if access else ("klingSecretKey", "klingAccessKey")
            yield Problem(missing, f"is missing beside {given}{_unset_variables(reading, missing)}", (given,))
        elif reading.offline:
            return
        elif self.kling_api == api_versions.V2 and not self.api_tokens:
            yield Problem("apiTokens", "is missing: Kling's new design (klingApi: v2) takes an API key, no key pair")
        elif not access and not self.api_tokens:
            pair = [name for half in ("klingAccessKey", "klingSecretKey") for name in reading.variables.get(half, ())]
            single = reading.variables.get("apiTokens", ())
            ways = [" and ".join(names) for names in (pair, single) if names]
            message = "no credential: give klingAccessKey and klingSecretKey, or apiTokens"
            hint = f" (in the environment: {', or '.join(ways)})" if ways else ""
            yield Problem("klingAccessKey", message + hint, ("klingSecretKey", "apiTokens"))


class Kling(Provider):
    """Kling, on its own hosts or behind a gateway that keeps its shape (302.ai, New API)."""

    type = "kling"
    home = DEFAULT_ORIGIN
    Keys = KlingKeys
    keys: KlingKeys
    not_implemented = NOT_IMPLEMENTED
    variable = "KLING_API_KEY"
    simulated_by = "kling"
    is_simulated_without_key = True
    links_need_credential = False
    translated = frozenset({TEXT2VIDEO.create, TEXT2VIDEO.retrieve, *_VIDEOS_APIS})
    unsupported_reasons = videos_api.UNSUPPORTED_REASONS | images_api.UNSUPPORTED_REASONS
    id_prefixes = PREFIXES
    remembers = True  # equal creates, so that each is paid once
    withheld_headers = (b"x-stainless-", b"openai-", b"idempotency-key")
    default_capabilities: ClassVar[dict[str, str]] = {
        TEXT2VIDEO.create: "/v1/videos/text2video",
        IMAGE2VIDEO.create: "/v1/videos/image2video",
        TEXT2VIDEO.retrieve: "/v1/videos/text2video/{video_id}",
        IMAGE2VIDEO.retrieve: "/v1/videos/image2video/{video_id}",
        OMNI_VIDEO.create: "/v1/videos/omni-video",
        OMNI_VIDEO.retrieve: "/v1/videos/omni-video/{video_id}",
        VIDEO_EXTEND.create: "/v1/videos/video-extend",
        VIDEO_EXTEND.retrieve: "/v1/videos/video-extend/{video_id}",
    }

    def __init__(self, keys: KlingKeys, clock: Clock, speed: float = 1.0) -> None:
        """`speed`: how many times faster than Kling the provider is; more than 1 for the simulator."""
        super().__init__(keys, clock)
        self._jwt: KlingToken | None = None
        # API version v2 takes API keys only.
        if keys.kling_access_key and keys.kling_api != api_versions.V2:
            # 0 means the default in the Higress plugin.
            refresh_ahead = keys.kling_token_refresh_ahead or 60
            self._jwt = KlingToken(keys.kling_access_key, keys.kling_secret_key, refresh_ahead, clock)
        self.models = (*SORA_MODES, *creating_models(keys.kling_api == api_versions.V2))
        self._videos = VideosApi(self, keys.model_mapping.map, keys.kling_api, clock, speed)

    @classmethod
    def simulated(cls, keys: CommonKeys, clock: Clock, account: SimulatorAccount) -> Kling:
        """With the account's API key if the configuration uses an API key, else with its key pair."""
        assert isinstance(keys, KlingKeys)
        without_credential = replace(keys, kling_access_key="", kling_secret_key=Secret(""), api_tokens=())
        if keys.kling_api == api_versions.V2 or (keys.api_tokens and not keys.kling_access_key):
            simulated = replace(without_credential, api_tokens=account.keys_for(keys.api_tokens))
        else:
            simulated = replace(
                without_credential, kling_access_key=account.access_key, kling_secret_key=account.secret_key
            )
        return cls(simulated, clock, account.speed)

    def begin_recording(self, run: str) -> None:
        """Give creates names of this run, since Kling takes each name once."""
        self._videos.begin_recording(run)

    def detect(self, method: str, path: str) -> Call | None:
        """The API of OpenAI's; None for Kling's own paths, some of which look like OpenAI's."""
        _, found, last = path.rpartition("/v1/videos/")
        if found and last.split("/")[0].lower() in VIDEO_FAMILIES:
            return None
        return None if _is_native_image(path) else super().detect(method, path)

    def is_own(self, method: str, path: str) -> bool:
        """Whether a path is Kling's. A POST below /videos/ may be to a family that is not known here yet."""
        lower = path.lower()
        _, found, last = lower.rpartition("/videos/")
        words = last.split("/") if found else []
        if (words and words[0] in VIDEO_FAMILIES) or any(place in lower for place in _OWN_PLACES):
            return True
        if method != "POST" or not words or not words[0] or kind_of(words[0]):
            return False
        return _OPENAI_WORDS.isdisjoint(words)

    def pass_on(self, head: Head, path: str, upstream: Upstream) -> Upstream | NeedsBody:
        """Kling's own request; OpenAI's to the path of pictures that both have is refused."""
        is_create = head.method == "POST" and path.endswith(images_api.PATH)
        if not is_create or self.keys.video_response == "native" or self.has(images_api.NAME):
            return upstream
        if head.caller.is_openai_sdk:
            raise self.unsupported(images_api.OPENAIS, images_api.NAME)
        return (
            NeedsBody(self.origin, functools.partial(self._picture, upstream), upstream.notes)
            if images_api.may_be_openais(head)
            else upstream
        )

    def _picture(self, upstream: Upstream, body: bytes) -> Upstream:
        if images_api.is_openais(body):
            raise self.unsupported(images_api.OPENAIS, images_api.NAME)
        return upstream

    def has(self, api: str) -> bool:
        """Whether there is a capability of that name, or VideosApi implements the API with others."""
        return super().has(api) or api in _VIDEOS_APIS

    def supported_apis(self) -> list[str]:
        """OpenAI's APIs, and examples of Kling's own paths."""
        videos_apis = [str(apis.BY_NAME[name]) for name in _VIDEOS_APIS if name not in self.capabilities]
        return [
            *super().supported_apis(),
            *videos_apis,
            "Kling's own paths (/v1/videos/text2video, /v1/images/generations, ...)",
        ]

    def call(self, head: Head, call: Call, query: str, notes: tuple[str, ...]) -> Upstream | NeedsBody:
        """A create needs its body; a retrieve finds the task kind in the prefix of the id, or in the hint."""
        hint, query = targets.pop_parameter(query, HINT)
        name = call.api.name
        if name == TEXT2VIDEO.create:
            # The path depends on the body.
            return NeedsBody(self.origin, functools.partial(self._create, head, notes), notes)
        if name in _VIDEOS_APIS and name not in self.capabilities:
            return self._call_videos_api(head, call, query, hint, notes)
        if "video_id" not in call.ids:
            return super().call(head, call, query, notes)
        kind, video_id, why, is_guessed = _task_of(call.ids["video_id"], hint)
        targets.check_id("video_id", video_id)
        task_id, _ = split_id(video_id)
        if name == TEXT2VIDEO.retrieve:
            is_openai = self._answers_openai(head) or self._is_told(task_id != video_id)
            return self._videos.retrieve(head, kind, video_id, query, is_openai, is_guessed, (*notes, why))
        target = self.upstream_path(name, {"video_id": task_id}, query)
        return self.with_mapped_model(head, Upstream(self.origin, head.method, target, notes=(*notes, why)))

    def _call_videos_api(
        self, head: Head, call: Call, query: str, hint: str | None, notes: tuple[str, ...]
    ) -> Upstream | NeedsBody:
        name, is_openai = call.api.name, self._answers_openai(head)
        if name == job.LIST:
            return self._videos.listing(head, query, is_openai, notes)
        if name == job.CONTENT:
            kind, video_id, why, is_guessed = _task_of(call.ids["video_id"], hint)
            targets.check_id("video_id", video_id)
            return self._videos.content(head, kind, video_id, query, is_guessed, (*notes, why))
        for part, value in call.ids.items():
            targets.check_id(part, value)
        if name in (job.CHARACTER, job.RETRIEVE_CHARACTER):
            return self._videos.character(head, call.ids.get("character_id"), query, is_openai, notes)
        # Kling's API has no such request.
        is_told = not is_openai and self._is_told(True)
        video_id = call.ids.get("video_id", "")
        return self._videos.follow_up(head, name, video_id, query, is_openai or is_told, is_told, notes)

    def _answers_openai(self, head: Head) -> bool:
        """Whether this client always gets OpenAI's objects."""
        if self.keys.video_response == "auto":
            return head.caller.is_openai_sdk
        return self.keys.video_response == "openai"

    def _is_told(self, is_openais: bool) -> bool:
        """Whether a client gets OpenAI's objects because a request of its can only be meant for OpenAI's API."""
        return is_openais and self.keys.video_response == "auto"

    def _create(self, head: Head, notes: tuple[str, ...], body: bytes) -> Upstream:
        """A create: pictures decide the path and get Kling's names, `model` becomes `model_name`; other bytes are kept.

        VideosApi translates it if it is a form, comes from an OpenAI SDK, or has fields that only OpenAI has.
        """
        is_form = forms.is_form(head) or forms.is_url_encoded(head, body)
        if not is_form:
            body = without_mark(body)
        members = None if is_form else object_members(body)
        is_openai, is_openais = self._answers_openai(head), self._videos.is_openais(body, members)
        is_told = not is_openai and self._is_told(is_openais)
        if (
            members is None
            or is_openai
            or head.caller.is_openai_sdk
            or self._videos.is_needed(head, members, is_openais)
        ):
            return self._videos.create(head, body, members, is_openai or is_told, is_told, notes)
        pictures = picture_fields.edited(body, members)
        kind = IMAGE2VIDEO if pictures.frame else TEXT2VIDEO
        why = f"{kind.name}: the body has {pictures.frame or 'no image field'}"
        # The client's own query: one that is configured with the path of text2video does not apply.
        _, query = targets.pop_parameter(targets.split_query(head.target)[1], HINT)
        edits, gone, model_notes = self._model_edits(body, members)
        edits = [*edits, *pictures.edits, *json_edit.remove(members, [*gone, *pictures.gone])]
        return Upstream(
            self.origin,
            head.method,
            self.upstream_path(kind.create, {}, query),
            {b"accept-encoding": b"identity"},
            json_edit.apply(body, edits),
            job.NATIVE_CREATES[kind.name],
            (*notes, *pictures.notes, why, *model_notes),
        )

    def responseheaders(self, sent: Upstream, status: int, fields: Fields) -> Handling:
        """OpenAI's object or error, or Kling's own answer to a create with the prefix of its kind on its ids."""
        is_signed = self._jwt is not None
        handling = self._videos.answers.responseheaders(sent.memo, status, fields, is_signed)
        return handling or super().responseheaders(sent, status, fields)

    def error(self, sent: Upstream) -> None:
        """Record that a create may have been accepted, so that a retry finds it."""
        self._videos.answers.error(sent.memo)

    def again(self, upstream: Upstream) -> Upstream:
        """A create gets a new external_task_id, since Kling takes each once."""
        found = super().again(upstream)
        body, before, after = idempotency.with_new_name(found.body or b"") if found.method == "POST" else (b"", "", "")
        if not after:
            return found
        memo = dict(found.memo)
        if memo.get("name") == before:
            memo["name"] = after
        memo.pop("repeated", None)
        notes = (*found.notes, f"external_task_id {after}: another task is made")
        return found._replace(body=body, memo=memo, notes=notes)

    @property
    def has_credential(self) -> bool:
        """Always True: a configuration without one is refused."""
        return True

    def scope(self, head: Head, body: bytes | None = None) -> Scope:
        """A task is known to the account that made it."""
        return Scope.PROVIDER

    @property
    def tokens(self) -> tuple[Secret, ...]:
        """The tokens to choose from; none with a key pair."""
        return () if self._jwt else super().tokens

    def credential(self, upstream: Upstream, token: Secret | None) -> Credential:
        """That of the token, which is recorded for a create."""
        if token in self.tokens:
            self._videos.record_token(upstream.memo, self.tokens.index(token))
        return super().credential(upstream, token)

    def token(self, fields: Fields) -> Secret | None:
        """A JWT of the key pair if there is one, else one of `apiTokens`."""
        if self._jwt is None:
            return super().token(fields)
        token = self._jwt.token()
        if token not in self._credentials:
            # Of the JWT that was in use before, nothing is needed any more.
            self._credentials = {token: bearer(token)}
        return token

    def _model_edits(
        self, body: bytes, members: list[json_edit.Member]
    ) -> tuple[list[json_edit.Edit], list[json_edit.Member], tuple[str, ...]]:
        """Edits, members to remove, notes."""
        model = text_member(body, members, "model")
        model_name = text_member(body, members, "model_name")
        if model is None and model_name is None:
            return [], [], ()
        if model is None:
            assert model_name is not None
            mapped, notes = self.map_model(model_name[1])
            return replace_text(*model_name, mapped), [], notes
        member, text = model
        mapped, notes = self.map_model(text)
        notes = (*notes, "model sent as model_name")
        if model_name is None:
            renamed = json_edit.Edit(member.key_start, member.key_end, b'"model_name"')
            return [renamed, *replace_text(member, text, mapped)], [], notes
        return replace_text(*model_name, mapped), [member], notes


def _task_of(video_id: str, hint: str | None) -> tuple[TaskKind, str, str, bool]:
    """The kind of a task, by the prefix of its id, else by the hint, else text2video; Kling's own id; a note.

    Last, whether the kind is guessed.
    """
    kind = kind_of(video_id)
    if kind:
        return kind, video_id.removeprefix(kind.prefix), f"{kind.name}: the id begins with {kind.prefix}", False
    word = (hint or "").strip().lower()
    for kind in TASK_KINDS.values():
        if word in kind.hints:
            return kind, video_id, f"{kind.name}: {HINT} says so", False
    return TEXT2VIDEO, video_id, "text2video: the id has no prefix and the query no hint", True


def _is_native_image(path: str) -> bool:
    _, found, last = path.rpartition("/v1/images/")
    return bool(found) and last.split("/")[0] in IMAGE_FAMILIES


def _unset_variables(reading: Reading, key: str) -> str:
    names = reading.variables.get(key, ())
    return f": set {' and '.join(names)} in the environment" if names else ""
