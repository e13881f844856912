"""Units at most of the creates of videos in the legacy API, each by its body; NotPriced where Kling would refuse it.

Source: Kling API documentation, request parameters and capability matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from . import prices
from .checks import (
    ELEMENT,
    MODE,
    OPTIONS,
    RATIO,
    Body,
    Check,
    NotPriced,
    fields,
    flag,
    link,
    list_of,
    number,
    picture,
    require,
    text,
    whole,
    word,
)
from .models import MODELS, PRO, STD, UHD, Model
from .prices import EXTRA, SILENT, SOUND

LONGEST_MOTION: Final = {"image": 10, "video": 30}
"""Seconds of a video whose motion is followed, by `character_orientation`."""
LONGEST_EDITED: Final = {"kling-video-o1": 10, "kling-v3-omni": 15}
"""Seconds of a video that is edited, by model."""


# Of text or pictures, by a model


_SHOT: Final[Mapping[str, Check]] = {
    "index": whole(0, 100),
    "prompt": text(512),
    "duration": word(*map(str, range(1, 16))),
}
_VIDEO: Final[Mapping[str, Check]] = {
    **OPTIONS,
    "prompt": text(2500),
    "negative_prompt": text(2500),
    "multi_shot": flag,
    "shot_type": word("customize", "intelligence"),
    "multi_prompt": list_of(1, 6, fields(_SHOT, "prompt duration")),
    "sound": word("on", "off"),
    "voice_list": list_of(0, 2, fields({"voice_id": text(200)}, "voice_id")),
    "cfg_scale": number(0, 1),
    "element_list": list_of(0, 3, ELEMENT),
}
_MASK: Final[Mapping[str, Check]] = {
    "mask": picture,
    "trajectories": list_of(2, 77, fields({"x": number(0, 1e5), "y": number(0, 1e5)})),
}
_TEXT_TO_VIDEO: Final = fields({**_VIDEO, "aspect_ratio": RATIO})
_IMAGE_TO_VIDEO: Final = fields(
    {
        **_VIDEO,
        "image": picture,
        "image_tail": picture,
        "static_mask": picture,
        "dynamic_masks": list_of(1, 6, fields(_MASK, "mask")),
    }
)
_CAMERA_TYPES: Final = ("simple", "down_back", "forward_up", "right_turn_forward", "left_turn_forward")
_CAMERA: Final = fields({"type": word(*_CAMERA_TYPES)}, "type")
_AXES: Final = ("horizontal", "vertical", "pan", "tilt", "roll", "zoom")
_AXIS: Final = number(-10, 10)

DEFAULT_MODEL: Final = "kling-v1"
"""Where a create names none."""
# Features that only some models have, in these modes.
_VOICES: Final = frozenset({("kling-v2-6", PRO)})
_TAIL_ONLY: Final = frozenset({("kling-v1-5", PRO), ("kling-v1-6", PRO)})
_MASKS: Final = frozenset({("kling-v1", STD), ("kling-v1", PRO), ("kling-v1-5", PRO)})
_CAMERA_OF_TEXT: Final = frozenset({("kling-v1", STD)})
_CAMERA_OF_PICTURE: Final = frozenset({("kling-v1-5", PRO)})
_SILENT_TAIL: Final = frozenset({"kling-v2-6"})


class _Clip(NamedTuple):
    """The model of a create, its mode and length."""

    name: str
    model: Model
    mode: str
    seconds: int

    @property
    def key(self) -> tuple[str, str]:
        return self.name, self.mode


def _clip(body: Body) -> _Clip:
    name = body.get("model_name")
    name = DEFAULT_MODEL if name in (None, "") else name
    model = MODELS.get(name) if isinstance(name, str) else None
    if model is None:
        raise NotPriced
    mode, seconds = body.get("mode"), body.get("duration")
    if mode is None:
        mode = STD if model.modes else ""
    else:
        require(mode in model.modes)
    seconds = "5" if seconds is None else seconds
    require(word(*map(str, model.durations))(seconds))
    return _Clip(name, model, mode, int(seconds))


def _text_to_video(body: Body) -> float:
    require(_TEXT_TO_VIDEO(body))
    clip = _clip(body)
    require(clip.model.text)
    if body.get("camera_control") is not None:
        require(_camera(body["camera_control"]) and clip.key in _CAMERA_OF_TEXT and clip.seconds == 5)
    _shots(body, "multi_shot" in clip.model.only, clip.seconds)
    return _with_features(body, clip)


def _image_to_video(body: Body) -> float:
    require(_IMAGE_TO_VIDEO(body))
    clip = _clip(body)
    has_first, has_tail, has_camera = (body.get(name) is not None for name in ("image", "image_tail", "camera_control"))
    has_masks = body.get("static_mask") is not None or body.get("dynamic_masks") is not None
    require(has_first or has_tail)
    require(has_tail + has_masks + has_camera <= 1)
    if has_tail:
        require(clip.mode in clip.model.tail if has_first else clip.key in _TAIL_ONLY)
        require(clip.name != "kling-v1" or clip.seconds == 5)
        require(clip.name not in _SILENT_TAIL or body.get("sound") != "on")
    if has_masks:
        require(clip.key in _MASKS and clip.seconds == 5)
    if has_camera:
        camera = body["camera_control"]
        require(_camera(camera) and camera["type"] == "simple")
        require(clip.key in _CAMERA_OF_PICTURE and clip.seconds == 5)
    _shots(body, "multi_shot" in clip.model.only, clip.seconds, needs_prompt=False)
    return _with_features(body, clip)


def _shots(body: Body, has_shots: bool, seconds: int, *, needs_prompt: bool = True) -> None:
    """Require what several shots in one video need, and the prompt that a video without them needs."""
    shots, kind = body.get("multi_prompt"), body.get("shot_type")
    if body.get("multi_shot"):
        require(has_shots and kind is not None)
    else:
        require(kind is None and shots is None)
    if kind == "customize":
        require(shots and sum(int(shot.get("duration") or 0) for shot in shots) == seconds)
    elif needs_prompt:
        require(body.get("prompt"))


def _with_features(body: Body, clip: _Clip) -> float:
    """Units of a clip with its sound, voices and elements."""
    has_sound, voices, elements = body.get("sound") == "on", body.get("voice_list"), body.get("element_list")
    require(not has_sound or clip.mode in clip.model.sound)
    require(not voices or (has_sound and clip.key in _VOICES and not elements))
    require(not elements or "element_list" in clip.model.only)
    return prices.video(clip.name, clip.mode, clip.seconds, EXTRA if voices else SOUND if has_sound else SILENT)


def _camera(camera: Any) -> bool:
    if not _CAMERA(camera):
        return False
    config = camera.get("config")
    if camera["type"] != "simple":
        return config is None
    if not isinstance(config, dict):
        return False
    is_right = all(config.get(axis) is None or _AXIS(config[axis]) for axis in _AXES)
    return is_right and sum(1 for axis in _AXES if config.get(axis)) == 1


# Of other videos and several pictures


_OMNI: Final = fields(
    {
        **_VIDEO,
        "image_list": list_of(
            0, 7, fields({"image_url": picture, "type": word("first_frame", "end_frame")}, "image_url")
        ),
        "video_list": list_of(
            0,
            1,
            fields(
                {
                    "video_url": link,
                    "refer_type": word("base", "feature"),
                    "keep_original_sound": word("yes", "no"),
                },
                "video_url",
            ),
        ),
        "element_list": list_of(0, 7, ELEMENT),
        "aspect_ratio": RATIO,
    }
)
_OMNI_LIMITS: Final = {"kling-video-o1": ((STD, PRO), range(3, 11)), "kling-v3-omni": ((STD, PRO, UHD), range(3, 16))}
"""Modes and seconds by model."""
_MOTION: Final = fields(
    {
        **OPTIONS,
        "image_url": picture,
        "video_url": link,
        "character_orientation": word(*LONGEST_MOTION),
        "mode": MODE,
        "keep_original_sound": word("yes", "no"),
        "prompt": text(2500),
        "element_list": list_of(0, 1, ELEMENT),
    },
    "image_url video_url character_orientation mode",
)
_OF_V1_6: Final[Mapping[str, Check]] = {
    **OPTIONS,
    "prompt": text(2500),
    "negative_prompt": text(2500),
    "image_list": list_of(1, 4, fields({"image": picture}, "image")),
    "mode": MODE,
    "duration": word("5", "10"),
    "aspect_ratio": RATIO,
    "session_id": text(200),
    "edit_mode": word("addition", "swap", "removal"),
}
_MULTI_IMAGE: Final = fields(_OF_V1_6, "prompt image_list")
_MULTI_ELEMENTS: Final = fields(_OF_V1_6, "prompt session_id edit_mode")


def _omni_video(body: Body) -> float:
    require(_OMNI(body))
    name, mode = body.get("model_name") or "kling-video-o1", str(body.get("mode") or PRO)
    require(name in ("kling-video-o1", "kling-v3-omni"))
    modes, lengths = _OMNI_LIMITS[name]
    require(mode in modes)
    images, videos = body.get("image_list") or [], body.get("video_list") or []
    require(len(images) + len(body.get("element_list") or []) <= (4 if videos else 7))
    is_edit = any(item.get("refer_type", "base") == "base" for item in videos)
    length = "5" if is_edit else str(body.get("duration") or "5")
    require(length in map(str, lengths))
    seconds = int(length)
    if name == "kling-video-o1":
        require(images or videos or seconds in (5, 10))
        require(body.get("sound") != "on")
    _shots(body, name == "kling-v3-omni", seconds)
    has_first = any(item.get("type") == "first_frame" for item in images)
    require(body.get("aspect_ratio") is not None or has_first or is_edit)
    feature = EXTRA if videos else SOUND if body.get("sound") == "on" else SILENT
    return prices.video(name, mode, LONGEST_EDITED[name] if is_edit else seconds, feature)


def _multi_image(body: Body) -> float:
    require(_MULTI_IMAGE(body))
    return prices.video("kling-v1-6", *_of_v1_6(body))


def _multi_elements(body: Body) -> float:
    require(_MULTI_ELEMENTS(body))
    return prices.elements(*_of_v1_6(body))


def _of_v1_6(body: Body) -> tuple[str, int]:
    """Mode and seconds of a video that only this model makes."""
    require((body.get("model_name") or "kling-v1-6") == "kling-v1-6")
    return body.get("mode") or STD, int(body.get("duration") or 5)


def _motion_control(body: Body) -> float:
    require(_MOTION(body))
    name, orientation = body.get("model_name") or "kling-v2-6", body["character_orientation"]
    require(name in ("kling-v2-6", "kling-v3"))
    require(not body.get("element_list") or orientation == "video")
    return prices.motion(name, body["mode"], LONGEST_MOTION[orientation])


VIDEOS: Final[Mapping[str, Callable[[Body], float]]] = {
    "/v1/videos/text2video": _text_to_video,
    "/v1/videos/image2video": _image_to_video,
    "/v1/videos/omni-video": _omni_video,
    "/v1/videos/motion-control": _motion_control,
    "/v1/videos/multi-image2video": _multi_image,
    "/v1/videos/multi-elements": _multi_elements,
}
"""By path."""
