"""Kling video behind OpenAI's `/v1/videos`, and Kling's own paths beside it.

Behaviour: Higress ai-proxy plugin, kling. Native paths: Kling API documentation, legacy endpoints.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import msgspec

from .. import apis, json_edit, targets
from ..apis import Call
from ..auth.kling_jwt import KlingToken
from ..config import CHAT_KEYS, Problem, ProviderConfig
from ..exchange import Body, Exchange
from ..targets import Origin
from .base import Clock, Provider, object_members, replace_text, text_member

DEFAULT_ORIGIN: Final = Origin("https", "api-singapore.klingai.com", 443)
HINT: Final = "kling_task_type"
"""Query parameter by which a client says what kind of task a raw id is; it never goes upstream."""

IMAGE_FIELDS: Final = frozenset(
    "image image_url image_urls images image_tail image_tail_url input_image first_frame_image last_frame_image".split()
)
"""A create with any of these, whatever its value, is an image2video task."""


@dataclass(frozen=True, slots=True)
class TaskKind:
    """One of Kling's families of video tasks that OpenAI's one endpoint stands for."""

    name: str
    prefix: str
    create: str
    retrieve: str
    hints: frozenset[str]


TEXT2VIDEO: Final = TaskKind(
    "text2video", "kling-t2v-", apis.VIDEOS, apis.RETRIEVE_VIDEO, frozenset({"text2video", "text", "t2v"})
)
IMAGE2VIDEO: Final = TaskKind(
    "image2video",
    "kling-i2v-",
    "kling/v1/image2video",
    "kling/v1/retrieveimagevideo",
    frozenset({"image2video", "image", "i2v"}),
)
TASK_KINDS: Final = {kind.name: kind for kind in (TEXT2VIDEO, IMAGE2VIDEO)}

# What follows /v1/videos/ in Kling's own paths, where OpenAI has a video's id.
VIDEO_FAMILIES: Final = frozenset(
    "advanced-lip-sync avatar effects identify-face image-recognize image2video lip-sync motion-control"
    " multi-elements multi-image2video omni-video text2video video-extend".split()
)
# What follows /v1/images/ in Kling's own paths and in OpenAI's too.
IMAGE_FAMILIES: Final = frozenset({"generations"})


class _Data(msgspec.Struct):
    task_id: str


class _Answer(msgspec.Struct):
    data: _Data


_decode_answer = msgspec.json.Decoder(_Answer).decode
_TASK_ID = re.compile(rb'"task_id"[ \t\n\r]*:[ \t\n\r]*"')


class Kling(Provider):
    """Kling, on its own hosts or behind a gateway that keeps its shape (302.ai, New API)."""

    type = "kling"
    keys = frozenset({"klingAccessKey", "klingSecretKey", "klingTokenRefreshAhead"})
    ignored_keys = Provider.ignored_keys | CHAT_KEYS
    default_capabilities: ClassVar[dict[str, str]] = {
        TEXT2VIDEO.create: "/v1/videos/text2video",
        IMAGE2VIDEO.create: "/v1/videos/image2video",
        TEXT2VIDEO.retrieve: "/v1/videos/text2video/{video_id}",
        IMAGE2VIDEO.retrieve: "/v1/videos/image2video/{video_id}",
    }

    def __init__(self, config: ProviderConfig, clock: Clock) -> None:
        super().__init__(config, clock)
        self._token: KlingToken | None = None
        if config.kling_access_key:
            # 0 means the default in the Higress plugin.
            refresh_ahead = config.kling_token_refresh_ahead or 60
            self._token = KlingToken(config.kling_access_key, config.kling_secret_key, refresh_ahead, clock)

    @classmethod
    def default_origin(cls, config: ProviderConfig) -> Origin:
        """Kling's global platform."""
        return DEFAULT_ORIGIN

    @classmethod
    def problems(cls, config: ProviderConfig) -> Iterator[Problem]:
        """Half a key pair, or no credential at all, besides the common problems."""
        yield from super().problems(config)
        access, secret = bool(config.kling_access_key), bool(config.kling_secret_key)
        if access != secret:
            given, missing = ("klingAccessKey", "klingSecretKey") if access else ("klingSecretKey", "klingAccessKey")
            yield Problem(missing, f"is missing beside {given}{_set(config, missing)}", (given,))
        elif not access and not config.api_tokens:
            pair = [name for key in ("klingAccessKey", "klingSecretKey") for name in config.variables.get(key, ())]
            single = config.variables.get("apiTokens", ())
            ways = [" and ".join(names) for names in (pair, single) if names]
            message = "no credential: give klingAccessKey and klingSecretKey, or apiTokens"
            hint = f" (in the environment: {', or '.join(ways)})" if ways else ""
            yield Problem("klingAccessKey", message + hint, ("klingSecretKey", "apiTokens"))

    def detect(self, method: str, path: str) -> Call | None:
        """As OpenAI's, except where Kling's own paths look like OpenAI's."""
        _, found, last = path.rpartition("/v1/videos/")
        if found and last.split("/")[0].lower() in VIDEO_FAMILIES:
            return None
        return None if _is_native_image(path) else super().detect(method, path)

    def offered(self) -> list[str]:
        """The OpenAI side, and where Kling's own side begins."""
        return [*super().offered(), "Kling's own paths (/v1/videos/text2video, /v1/images/generations, ...)"]

    def route_api(self, exchange: Exchange, call: Call, query: str) -> None:
        """A create waits for its body; a retrieve finds its family in the id's prefix or the hint."""
        hint, query = targets.take_parameter(query, HINT)
        if call.api.name == TEXT2VIDEO.create:
            # The path is known when the body is.
            exchange.request_body = exchange.answer_body = Body.READ
        elif "video_id" in call.ids:
            kind, video_id = _task_of(exchange, call.ids["video_id"], hint)
            targets.check_id("video_id", video_id)
            exchange.task_kind = kind.name
            capability = kind.retrieve if call.api.name == TEXT2VIDEO.retrieve else call.api.name
            exchange.path = self.upstream_path(capability, {"video_id": video_id}, query)
            self.read_for_model(exchange)
        else:
            super().route_api(exchange, call, query)

    def rewrite_request(self, exchange: Exchange, body: bytes) -> bytes:
        """A create: the path by the image fields, and `model` as `model_name`. All else stays to the byte."""
        if exchange.api != TEXT2VIDEO.create:
            return super().rewrite_request(exchange, body)
        members = object_members(body)
        image_field = next((member.key for member in members if member.key in IMAGE_FIELDS), None)
        kind = IMAGE2VIDEO if image_field else TEXT2VIDEO
        exchange.task_kind = kind.name
        # From the client's own query: that of the text path has no business here.
        _, query = targets.take_parameter(targets.split_query(exchange.client_path)[1], HINT)
        exchange.path = self.upstream_path(kind.create, {}, query)
        exchange.note(f"{kind.name}: the body has {image_field or 'no image field'}")
        return json_edit.apply(body, self._model_edits(exchange, body, members))

    def rewrite_answer(self, exchange: Exchange, body: bytes) -> bytes:
        """The answer to a create, with the family in front of `task_id` and `data.task_id`.

        Raises json_edit.JSONError for an answer that is no JSON object.
        """
        kind = TASK_KINDS[exchange.task_kind or TEXT2VIDEO.name]
        place = _usual_task_id(body)
        places = _task_ids(body) if place is None else [place]
        edits = [
            json_edit.Edit(start, start, kind.prefix.encode())
            for start, task_id in places
            if task_id and not task_id.startswith((TEXT2VIDEO.prefix, IMAGE2VIDEO.prefix))
        ]
        if edits:
            exchange.note(f"task_id prefixed with {kind.prefix}: a later retrieve finds {kind.name} by it")
        return json_edit.apply(body, edits)

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
    for kind in TASK_KINDS.values():
        if video_id.startswith(kind.prefix):
            exchange.note(f"{kind.name}: the id begins with {kind.prefix}")
            return kind, video_id.removeprefix(kind.prefix)
    word = (hint or "").strip().lower()
    for kind in TASK_KINDS.values():
        if word in kind.hints:
            exchange.note(f"{kind.name}: {HINT} says so")
            return kind, video_id
    exchange.note("text2video: the id has no prefix and the query no hint")
    return TEXT2VIDEO, video_id


def _task_ids(body: bytes) -> list[tuple[int, str]]:
    """The texts of `task_id` and `data.task_id` in an answer, and where they begin."""
    members = json_edit.members(body)
    found = [member for member in members if member.key == "task_id"]
    for data in (member for member in members if member.key == "data"):
        found += [member for member in json_edit.members_of(body, data) if member.key == "task_id"]
    return [(member.start + 1, json_edit.string_value(body, member) or "") for member in found]


def _usual_task_id(body: bytes) -> tuple[int, str] | None:
    """The same for an answer that has one `task_id`, in `data`, and no escapes; a tenth of the work. Else None."""
    if b"\\" in body or body.count(b'"task_id"') != 1:
        return None
    try:
        task_id = _decode_answer(body).data.task_id
    except (msgspec.DecodeError, RecursionError):
        return None
    place = _TASK_ID.search(body)
    return (place.end(), task_id) if place else None


def _is_native_image(path: str) -> bool:
    _, found, last = path.rpartition("/v1/images/")
    return bool(found) and last.split("/")[0] in IMAGE_FAMILIES


def _set(config: ProviderConfig, key: str) -> str:
    names = config.variables.get(key, ())
    return f": set {' and '.join(names)} in the environment" if names else ""
