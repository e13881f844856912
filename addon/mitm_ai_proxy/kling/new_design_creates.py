"""Units at most of the creates of Kling's new design, which has the model in the path.

Source: Kling API documentation, new design.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from . import prices
from .checks import OPTIONS, RATIO, Body, Check, NotPriced, fields, flag, link, picture, require, text, whole, word
from .models import MODELS, PRO, RESOLUTIONS, STD, THREE_TO_FIFTEEN
from .prices import EXTRA, SILENT, SOUND
from .video_creates import LONGEST_EDITED, LONGEST_MOTION


class _Settings(NamedTuple):
    """What a model takes at a path: its price is that of `model`, and `audio` is empty where it has no such setting."""

    model: str
    resolutions: tuple[str, ...]
    durations: tuple[int, ...]
    audio: tuple[str, ...]
    prompt: int = 2500
    last_frame: tuple[str, ...] = ()
    native: tuple[str, ...] = ()


def _settings(model: str, audio: tuple[str, ...], prompt: int = 2500) -> _Settings:
    """The settings that are a legacy model's in other words."""
    legacy = MODELS[model]
    resolutions, last_frame, native = (
        tuple(RESOLUTIONS[mode] for mode in modes) for modes in (legacy.modes, legacy.tail, legacy.sound)
    )
    return _Settings(model, resolutions, legacy.durations, audio, prompt, last_frame, native)


_UP_TO_1080P: Final = (RESOLUTIONS[STD], RESOLUTIONS[PRO])
_THREE: Final = _settings("kling-v3", ("native", "off"), 3072)
_TWO_SIX: Final = _settings("kling-v2-6", ("native", "off"))
_VIDEO_MODELS: Final = {
    "kling-3.0": _THREE,
    "kling-3.0-turbo": _Settings("kling-3.0-turbo", _UP_TO_1080P, THREE_TO_FIFTEEN, (), 3072),
    "kling-2.6": _TWO_SIX,
    "kling-2.5-turbo": _settings("kling-v2-5-turbo", ("off",)),
}
_LONGEST_O1: Final = tuple(range(3, 11))
NEW_DESIGN: Final[Mapping[str, Mapping[str, _Settings]]] = {
    "text-to-video": _VIDEO_MODELS,
    "image-to-video": _VIDEO_MODELS,
    "omni-video": {
        "kling-3.0-omni": _THREE._replace(model="kling-v3-omni", audio=("native", "original", "off")),
        "kling-o1": _Settings("kling-video-o1", _UP_TO_1080P, _LONGEST_O1, ("original", "off")),
    },
    "motion-control": {
        "kling-3.0": _THREE._replace(resolutions=_UP_TO_1080P, audio=("original", "off")),
        "kling-2.6": _TWO_SIX._replace(durations=THREE_TO_FIFTEEN, audio=("original", "off")),
    },
}
"""By the two segments of a create's path: what is made, and the model."""
_MODES: Final = {resolution: mode for mode, resolution in RESOLUTIONS.items()}
_VIDEO_INPUTS: Final = frozenset({"feature_video", "base_video", "video"})


def _content(prompt: int) -> Mapping[str, Check]:
    """What an item of `contents` has to be by its type, for prompts of so many characters."""
    pictures = fields({"url": picture}, "url")
    videos = fields({"url": link}, "url")
    return {
        "prompt": lambda item: text(prompt)(item.get("text")),
        **dict.fromkeys(("first_frame", "last_frame", "refer_image", "image"), pictures),
        **dict.fromkeys(_VIDEO_INPUTS, videos),
        "element": fields({}, "element_id"),
        "voice": fields({}, "voice_id"),
    }


def units(kind: str, name: str, body: Body) -> float:
    """Units at most of a create at `/{kind}/{name}`. Raises NotPriced."""
    known = NEW_DESIGN[kind].get(name)
    if known is None:
        raise NotPriced
    settings = body.get("settings") or {}
    checks = {
        "resolution": word(*known.resolutions),
        "aspect_ratio": RATIO,
        "duration": whole(1, 60),
        "multi_shot": flag,
        "character_orientation": word(*LONGEST_MOTION),
        **({"audio": word(*known.audio)} if known.audio else {}),
    }
    require(fields(checks)(settings) and fields(OPTIONS)(body.get("options") or {}))
    resolution, seconds = _or(settings, "resolution", "720p"), _or(settings, "duration", 5)
    audio = settings.get("audio") or "off"
    has_sound = bool(known.audio) and audio == "native"
    require(seconds in known.durations and (not has_sound or resolution in known.native))
    mode = _MODES[resolution]
    if kind == "text-to-video":
        require(text(known.prompt, 1)(body.get("prompt")))
        return prices.video(known.model, mode, seconds, SOUND if has_sound else SILENT)
    types = _types(body.get("contents"), known.prompt)
    require(types.count("voice") <= 2 and ("voice" not in types or audio != "off"))
    require(types.count("element") <= (1 if kind == "motion-control" else 3))
    if kind == "motion-control":
        require("image" in types and "video" in types)
        longest = LONGEST_MOTION[settings.get("character_orientation") or "video"]
        return prices.motion(known.model, mode, max(seconds, longest))
    if kind == "image-to-video":
        require("first_frame" in types)
        require("last_frame" not in types or resolution in known.last_frame)
    elif "base_video" in types:
        require(audio != "native" and "first_frame" not in types and "last_frame" not in types)
        seconds = LONGEST_EDITED[known.model]
    if kind == "omni-video" and "feature_video" in types:
        require(audio == "off")
    has_more = "voice" in types or not _VIDEO_INPUTS.isdisjoint(types)
    return prices.video(known.model, mode, seconds, EXTRA if has_more else SOUND if has_sound else SILENT)


def _types(contents: Any, prompt: int) -> list[str]:
    """The types of all items of `contents`."""
    checks = _content(prompt)
    require(isinstance(contents, list) and contents)
    types: list[str] = []
    for item in contents:
        kind = str(item.get("type")) if isinstance(item, dict) else ""
        require(kind in checks and checks[kind](item))
        types.append(kind)
    return types


def _or(settings: Body, name: str, default: Any) -> Any:
    value = settings.get(name)
    return default if value is None else value
