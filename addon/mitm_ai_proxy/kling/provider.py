"""Kling video behind OpenAI's `/v1/videos`, and Kling's own paths beside it.

Behaviour: Higress ai-proxy plugin, kling. Native paths: Kling API documentation, legacy endpoints.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from .. import apis
from ..apis import Call
from ..auth.kling_jwt import KlingToken
from ..auth.secret import Secret
from ..config import values
from ..config.keys import Problem, Reading, key
from ..exchange import Answer, Body, Exchange
from ..providers.base import Account, Clock, CommonKeys, Provider
from ..providers.higress_keys import NOT_IMPLEMENTED
from ..wire import json_edit, targets
from ..wire.request_body import object_members, replace_text, text_member
from ..wire.targets import Origin
from . import api_versions, forms, videos_api
from .ids import split_memo
from .task_kinds import (
    HINT,
    IMAGE2VIDEO,
    IMAGE_FIELDS,
    OMNI_VIDEO,
    TASK_KINDS,
    TEXT2VIDEO,
    VIDEO_EXTEND,
    TaskKind,
    kind_of,
    prefix_edits,
)
from .videos_api import Front

KLING_APIS: Final = ("legacy", "v2")
VIDEO_RESPONSES: Final = ("auto", "openai", "native")
MAX_REFRESH_AHEAD: Final = 1799
"""Seconds. From 1800 on, the life of a token, each request would sign anew."""
DEFAULT_ORIGIN: Final = Origin("https", "api-singapore.klingai.com", 443)
# What follows /v1/videos/ in Kling's own paths, where OpenAI has a video's id.
VIDEO_FAMILIES: Final = frozenset(
    "advanced-lip-sync avatar effects identify-face image-recognize image2video lip-sync motion-control"
    " multi-elements multi-image2video omni-video text2video video-extend".split()
)
# What follows /v1/images/ in Kling's own paths and in OpenAI's too.
IMAGE_FAMILIES: Final = frozenset({"generations"})

_CREATES: Final = frozenset({TEXT2VIDEO.create, videos_api.REMIX, videos_api.EDIT, videos_api.EXTEND})
_FRONT_APIS: Final = (
    videos_api.LIST,
    videos_api.CONTENT,
    videos_api.REMIX,
    videos_api.EDIT,
    videos_api.EXTEND,
    videos_api.CHARACTER,
    videos_api.RETRIEVE_CHARACTER,
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
        " and LiteLLM, by their header fields.",
    )

    def problems(self, reading: Reading) -> Iterator[Problem]:
        """Half a key pair, or no credential at all."""
        access, secret = bool(self.kling_access_key), bool(self.kling_secret_key)
        if access != secret:
            given, missing = ("klingAccessKey", "klingSecretKey") if access else ("klingSecretKey", "klingAccessKey")
            yield Problem(missing, f"is missing beside {given}{_set(reading, missing)}", (given,))
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
    Keys = KlingKeys
    keys: KlingKeys
    not_implemented = NOT_IMPLEMENTED
    can_be_simulated = True
    why_not = videos_api.WHY_NOT
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
        """`speed`: how many times faster than Kling the provider is."""
        super().__init__(keys, clock)
        self._token: KlingToken | None = None
        if keys.kling_access_key:
            # 0 means the default in the Higress plugin.
            refresh_ahead = keys.kling_token_refresh_ahead or 60
            self._token = KlingToken(keys.kling_access_key, keys.kling_secret_key, refresh_ahead, clock)
        if keys.kling_api == api_versions.V2:
            # The new design takes API keys only.
            self._token = None
        self._front = Front(self, keys.model_mapping.map, keys.kling_api, clock, speed)

    @classmethod
    def simulated(cls, keys: CommonKeys, clock: Clock, account: Account) -> Kling:
        """With the account's single key where the configuration has one in use, else with its pair."""
        assert isinstance(keys, KlingKeys)
        nobody = replace(keys, kling_access_key="", kling_secret_key=Secret(""), api_tokens=())
        if keys.kling_api == api_versions.V2 or (keys.api_tokens and not keys.kling_access_key):
            known = replace(nobody, api_tokens=(account.api_key,))
        else:
            known = replace(nobody, kling_access_key=account.access_key, kling_secret_key=account.secret_key)
        return cls(known, clock, account.speed)

    def default_origin(self) -> Origin:
        """Kling's global platform."""
        return DEFAULT_ORIGIN

    def detect(self, method: str, path: str) -> Call | None:
        """As OpenAI's, except where Kling's own paths look like OpenAI's."""
        _, found, last = path.rpartition("/v1/videos/")
        if found and last.split("/")[0].lower() in VIDEO_FAMILIES:
            return None
        return None if _is_native_image(path) else super().detect(method, path)

    def has(self, api: str) -> bool:
        """What the configuration names, and what the front makes of it."""
        return super().has(api) or api in _FRONT_APIS

    def offered(self) -> list[str]:
        """The OpenAI side, and where Kling's own side begins."""
        front_apis = [str(apis.BY_NAME[name]) for name in _FRONT_APIS if name not in self.capabilities]
        return [
            *super().offered(),
            *front_apis,
            "Kling's own paths (/v1/videos/text2video, /v1/images/generations, ...)",
        ]

    def route_api(self, exchange: Exchange, call: Call, query: str) -> None:
        """A create waits for its body; a retrieve finds its family in the id's prefix or the hint."""
        hint, query = targets.take_parameter(query, HINT)
        name = call.api.name
        if name == TEXT2VIDEO.create:
            # The path is known when the body is.
            exchange.request_body = exchange.answer_body = Body.READ
        elif name in _FRONT_APIS and name not in self.capabilities:
            self._route_front(exchange, call, query, hint)
        elif "video_id" in call.ids:
            kind, video_id = _task_of(exchange, call.ids["video_id"], hint)
            targets.check_id("video_id", video_id)
            exchange.task_kind = kind.name
            if name == TEXT2VIDEO.retrieve:
                self._front.retrieve(exchange, kind, video_id, query, self._answers_openai(exchange))
            else:
                exchange.path = self.upstream_path(name, {"video_id": split_memo(video_id)[0]}, query)
                self.read_for_model(exchange)
        else:
            super().route_api(exchange, call, query)

    def _route_front(self, exchange: Exchange, call: Call, query: str, hint: str | None) -> None:
        name, is_openai = call.api.name, self._answers_openai(exchange)
        if name == videos_api.LIST:
            self._front.listing(exchange, query, is_openai)
        elif name == videos_api.CONTENT:
            kind, video_id = _task_of(exchange, call.ids["video_id"], hint)
            targets.check_id("video_id", video_id)
            self._front.content(exchange, kind, video_id, query)
        elif name in (videos_api.CHARACTER, videos_api.RETRIEVE_CHARACTER):
            for key, value in call.ids.items():
                targets.check_id(key, value)
            self._front.character(exchange, call.ids.get("character_id"), query, is_openai)
        else:
            video_id = call.ids.get("video_id", "")
            if "video_id" in call.ids:
                targets.check_id("video_id", video_id)
            self._front.follow_up(exchange, name, video_id, query, is_openai)

    def _answers_openai(self, exchange: Exchange) -> bool:
        """Whether this client is answered with OpenAI's objects."""
        if self.keys.video_response == "auto":
            return exchange.client.is_openai
        return self.keys.video_response == "openai"

    def rewrite_request(self, exchange: Exchange, body: bytes) -> bytes:
        """A create: the path by the image fields, and `model` as `model_name`. All else stays to the byte."""
        if exchange.api != TEXT2VIDEO.create:
            rewritten = self._front.rewrite_request(exchange, body)
            return super().rewrite_request(exchange, body) if rewritten is None else rewritten
        is_openai = self._answers_openai(exchange)
        if forms.is_form(exchange):
            return self._front.create(exchange, body, None, is_openai)
        members = object_members(body)
        if is_openai or exchange.client.is_openai or self._front.is_needed(exchange, body, members):
            return self._front.create(exchange, body, members, is_openai)
        image_fields = [member.key for member in members if member.key in IMAGE_FIELDS]
        kind = IMAGE2VIDEO if image_fields else TEXT2VIDEO
        exchange.task_kind = kind.name
        # From the client's own query: that of the text path has no business here.
        _, query = targets.take_parameter(targets.split_query(exchange.client_path)[1], HINT)
        exchange.path = self.upstream_path(kind.create, {}, query)
        exchange.note(f"{kind.name}: the body has {image_fields[0] if image_fields else 'no image field'}")
        return json_edit.apply(body, self._model_edits(exchange, body, members))

    def rewrite_answer(self, exchange: Exchange, answer: Answer) -> Answer:
        """The front's answer, or Kling's own to a create, with the family in front of `task_id` and `data.task_id`.

        Raises json_edit.JSONError for an answer that is no JSON object.
        """
        rewritten = self._front.rewrite_answer(exchange, answer)
        if rewritten is not None:
            return rewritten
        if exchange.api not in _CREATES or not 200 <= answer.status < 300:
            return answer
        kind = TASK_KINDS[exchange.task_kind or TEXT2VIDEO.name]
        edits = prefix_edits(answer.body, kind)
        if not edits:
            return answer
        exchange.note(f"task_id prefixed with {kind.prefix}: a later retrieve finds {kind.name} by it")
        return Answer(answer.status, json_edit.apply(answer.body, edits))

    def give_up(self, exchange: Exchange) -> None:
        """A create ended in doubt: its repetition has to find it."""
        self._front.give_up(exchange)

    @property
    def has_credential(self) -> bool:
        """Always: a configuration without one is refused."""
        return True

    def authorization(self, headers: Mapping[str, str]) -> str | None:
        """The JWT of the key pair, else one of `apiTokens`."""
        return self._token.authorization() if self._token else super().authorization(headers)

    def _model_edits(self, exchange: Exchange, body: bytes, members: list[json_edit.Member]) -> list[json_edit.Edit]:
        model = text_member(body, members, "model")
        model_name = text_member(body, members, "model_name")
        if model is None and model_name is None:
            return []
        if model is None:
            assert model_name is not None
            return replace_text(model_name[0], *self.map_model(exchange, model_name[1]))
        member, text = model
        _, mapped = self.map_model(exchange, text)
        exchange.note("model sent as model_name")
        if model_name is None:
            renamed = json_edit.Edit(member.key_start, member.key_end, b'"model_name"')
            return [renamed, *replace_text(member, text, mapped)]
        return [json_edit.remove(members, member), *replace_text(model_name[0], model_name[1], mapped)]


def _task_of(exchange: Exchange, video_id: str, hint: str | None) -> tuple[TaskKind, str]:
    """The family of a task, by its id's prefix, else the hint, else text; and the id as Kling knows it."""
    kind = kind_of(video_id)
    if kind:
        exchange.note(f"{kind.name}: the id begins with {kind.prefix}")
        return kind, video_id.removeprefix(kind.prefix)
    word = (hint or "").strip().lower()
    for kind in TASK_KINDS.values():
        if word in kind.hints:
            exchange.note(f"{kind.name}: {HINT} says so")
            return kind, video_id
    exchange.note("text2video: the id has no prefix and the query no hint")
    return TEXT2VIDEO, video_id


def _is_native_image(path: str) -> bool:
    _, found, last = path.rpartition("/v1/images/")
    return bool(found) and last.split("/")[0] in IMAGE_FAMILIES


def _set(reading: Reading, key: str) -> str:
    names = reading.variables.get(key, ())
    return f": set {' and '.join(names)} in the environment" if names else ""
