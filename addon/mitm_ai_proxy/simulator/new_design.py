"""Validates creates of Kling's newer API (its new design), which has the model in the path.

Source: Kling API documentation, new design; messages of live answers where known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from . import fields, prices
from .fields import Check, each, flag, link, one_of, text, whole
from .kling_error import KlingError, bad_parameter
from .models import PRO, STD, UHD, size
from .rules import RATIOS, Order, with_picture_size

_MODES: Final = {"720p": STD, "1080p": PRO, "4k": UHD}
_MAX_PICTURE: Final = 50 * 1024 * 1024
_THREE_TO_FIFTEEN: Final = tuple(range(3, 16))


class NewModel(NamedTuple):
    """A model of the new design: its legacy name, and the values that its settings may have.

    `durations` are in seconds, `prompt` is in characters.
    """

    legacy: str
    resolutions: tuple[str, ...] = ("720p", "1080p")
    durations: tuple[int, ...] = _THREE_TO_FIFTEEN
    audio: tuple[str, ...] = ("native", "off")
    prompt: int = 2500
    last_frame: tuple[str, ...] = ()
    """Resolutions with a last frame."""
    native: tuple[str, ...] = ()
    """Resolutions with native audio."""


_THREE: Final = NewModel(
    "kling-v3",
    ("720p", "1080p", "4k"),
    prompt=3072,
    last_frame=("720p", "1080p", "4k"),
    native=("720p", "1080p", "4k"),
)
_TURBO: Final = NewModel("kling-3.0-turbo", audio=(), prompt=3072)
_TWO_SIX: Final = NewModel("kling-v2-6", durations=(5, 10), last_frame=("1080p",), native=("1080p",))
_TWO_FIVE: Final = NewModel("kling-v2-5-turbo", durations=(5, 10), audio=("off",), last_frame=("1080p",))
_VIDEO: Final = {
    "kling-3.0": _THREE,
    "kling-3.0-turbo": _TURBO,
    "kling-2.6": _TWO_SIX,
    "kling-2.5-turbo": _TWO_FIVE,
}
MODELS: Final[Mapping[str, Mapping[str, NewModel]]] = {
    "text-to-video": _VIDEO,
    "image-to-video": _VIDEO,
    "omni-video": {
        "kling-3.0-omni": _THREE._replace(legacy="kling-v3-omni", audio=("native", "original", "off")),
        "kling-o1": NewModel("kling-video-o1", durations=tuple(range(3, 11)), audio=("original", "off")),
    },
    "motion-control": {
        "kling-3.0": _THREE._replace(resolutions=("720p", "1080p"), audio=("original", "off")),
        "kling-2.6": _TWO_SIX._replace(durations=_THREE_TO_FIFTEEN, audio=("original", "off")),
    },
}
"""By the first segment of the path (the kind of task), then by the second (the model)."""

# The types that an item of `contents` may have.
_TYPES: Final = "prompt first_frame last_frame refer_image image feature_video base_video video element voice".split()
_PICTURES: Final = frozenset({"first_frame", "last_frame", "refer_image", "image"})
_VIDEOS: Final = frozenset({"feature_video", "base_video", "video"})
_OPTIONS: Final[Mapping[str, Check]] = {
    "callback_url": link,
    "external_task_id": text(512),
    "watermark_info": each("options.watermark_info", {"enabled": flag}),
}


def order(kind: str, name: str, body: Mapping[str, Any]) -> Order:
    """Validate the body of a create at `/{kind}/{name}`. Raises KlingError."""
    model = MODELS[kind].get(name)
    if model is None:
        raise KlingError(1203, f"The model {name} does not exist")
    known: dict[str, Check] = {
        "resolution": one_of(*model.resolutions),
        "aspect_ratio": one_of("16:9", "9:16", "1:1"),
        "duration": whole(1, 60),
        "multi_shot": flag,
        "character_orientation": one_of("image", "video"),
    }
    if model.audio:
        known["audio"] = one_of(*model.audio)
    given = body.get("settings") or {}
    each("settings", known)("settings", given)
    settings = {name: value for name, value in given.items() if value is not None}
    each("options", _OPTIONS)("options", body.get("options") or {})
    resolution, seconds = settings.get("resolution", "720p"), settings.get("duration", 5)
    if seconds not in model.durations:
        raise fields.invalid("settings.duration", seconds)
    sound = bool(model.audio) and settings.get("audio") == "native"
    if sound and resolution not in model.native:
        raise bad_parameter(f"settings.audio value 'native' is not supported with settings.resolution {resolution}")
    found = {} if kind == "text-to-video" else _contents(body, model)
    if kind == "text-to-video":
        text(model.prompt, 1)("prompt", body.get("prompt") or "")
    _check_contents(kind, model, found, resolution, settings.get("audio") or "off")
    mode = _MODES[resolution]
    ratio = RATIOS[settings.get("aspect_ratio", "16:9")]
    units = (
        prices.motion(model.legacy, mode, seconds)
        if kind == "motion-control"
        else prices.video(
            model.legacy, mode, seconds, sound=sound, more=bool(_VIDEOS & found.keys()) or "voice" in found
        )
    )
    asked = Order(model.legacy, mode, seconds, size(model.legacy, mode, ratio), units)
    leading = found.get("first_frame") or (found.get("image") if kind == "motion-control" else None)
    return with_picture_size(leading[0], asked, at_most=_MAX_PICTURE) if leading else asked


def _contents(body: Mapping[str, Any], model: NewModel) -> dict[str, list[Any]]:
    """The values in `contents`, by type. Raises KlingError."""
    contents = body.get("contents")
    if not isinstance(contents, list) or not contents:
        raise bad_parameter("contents cannot be empty")
    found: dict[str, list[Any]] = {}
    for index, item in enumerate(contents):
        where = f"contents[{index}]"
        if not isinstance(item, dict):
            raise fields.invalid(where, item)
        one_of(*_TYPES)(f"{where}.type", item.get("type"))
        kind = item["type"]
        if kind == "prompt":
            text(model.prompt)(f"{where}.text", item.get("text"))
            value = item["text"]
        elif kind in _PICTURES:
            fields.picture_size(item.get("url"), _MAX_PICTURE)
            value = item["url"]
        elif kind in _VIDEOS:
            link(f"{where}.url", item.get("url"))
            value = item["url"]
        else:
            name = f"{kind}_id"
            if item.get(name) in (None, ""):
                raise bad_parameter(f"{where}.{name} can not be null")
            value = item[name]
        found.setdefault(kind, []).append(value)
    return found


def _check_contents(kind: str, model: NewModel, found: Mapping[str, list[Any]], resolution: str, audio: str) -> None:
    if kind == "image-to-video":
        if "first_frame" not in found:
            raise bad_parameter("contents must hold a first_frame")
        if "last_frame" in found and resolution not in model.last_frame:
            raise bad_parameter(f"last_frame is not supported with {model.legacy} and settings.resolution {resolution}")
    elif kind == "motion-control" and not ({"image", "video"} <= found.keys()):
        raise bad_parameter("contents must hold an image and a video")
    elif kind == "omni-video":
        if "base_video" in found and (audio == "native" or {"first_frame", "last_frame"} & found.keys()):
            raise bad_parameter("base_video can not be used with frames or native audio")
        if "feature_video" in found and audio != "off":
            raise bad_parameter("feature_video is only supported with settings.audio off")
    if len(found.get("voice", ())) > 2:
        raise bad_parameter("contents: at most 2 voices are supported")
    if "voice" in found and audio == "off":
        raise bad_parameter("contents: voice is not supported with settings.audio off")
    if len(found.get("element", ())) > (1 if kind == "motion-control" else 3):
        raise bad_parameter("contents: too many elements")
