"""Validates creates of Kling's legacy API: fields, values, combinations. Unknown fields are ignored, as Kling does.

Source: Kling API documentation; messages of live answers where known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from . import fields, prices
from .faults import PIXELS
from .fields import Check, check, each, flag, items, link, number, one_of, picture, require, sound, text, voice, whole
from .kling_error import bad_parameter
from .models import DEFAULT_MODEL, NO_MODE, PRO, STD, UHD, VIDEO_MODELS, VideoModel, size

BAD_SHAPE: Final = "The resolution or the aspect ratio of the input image is invalid"
MIN_SIDE: Final = 300
MAX_RATIO: Final = 2.5
RATIOS: Final = {"16:9": (16, 9), "9:16": (9, 16), "1:1": (1, 1), "4:3": (4, 3), "3:4": (3, 4), "3:2": (3, 2)} | {
    "2:3": (2, 3),
    "21:9": (21, 9),
}
_RETIRED_IMAGE_MODELS: Final = frozenset({"kling-v1", "kling-v1-5", "kling-v2", "kling-v2-new"})


@dataclass(frozen=True)
class Order:
    """A valid create.

    `seconds` and `size` (width, height in pixels) are those of the result, `count` is the number of pictures. `units`
    is its price, paid from `pack` (video, image). `slots` count against the concurrency of `model`. `late_failure` is
    the message with which the task fails soon after it was accepted. `retired`: Kling no longer serves the model.
    """

    model: str
    mode: str = ""
    seconds: float = 0.0
    size: tuple[int, int] = (1280, 720)
    units: float = 0.0
    pack: str = "video"
    slots: int = 1
    count: int = 1
    late_failure: str = ""
    retired: bool = False


Rule = Callable[[Mapping[str, Any]], Order]
"""Validates the body of a create; raises KlingError."""

COMMON: Final[Mapping[str, Check]] = {
    "callback_url": link,
    "external_task_id": text(512),
    "watermark_info": each("", {"enabled": flag}),
}
_SHOT: Final = {"index": whole(0, 100), "prompt": text(512), "duration": one_of(*map(str, range(1, 16)))}
_VIDEO: Final[Mapping[str, Check]] = {
    **COMMON,
    "prompt": text(2500),
    "negative_prompt": text(2500),
    "multi_shot": flag,
    "shot_type": one_of("customize", "intelligence"),
    "multi_prompt": items(1, 6, _SHOT, "prompt duration"),
    "sound": one_of("on", "off"),
    "voice_list": items(0, 2, {"voice_id": text(200)}, "voice_id"),
    "cfg_scale": number(0, 1),
    "element_list": items(0, 3, {"element_id": whole(0, 2**63)}, "element_id"),
}
_AXES: Final = ("horizontal", "vertical", "pan", "tilt", "roll", "zoom")
_CAMERAS: Final = ("simple", "down_back", "forward_up", "right_turn_forward", "left_turn_forward")
_CAMERA: Final = each("camera_control", {"type": one_of(*_CAMERAS)}, "type")
_MASK: Final = {"mask": picture, "trajectories": items(2, 77, {"x": number(0, 1e5), "y": number(0, 1e5)})}


def text2video(body: Mapping[str, Any]) -> Order:
    """POST /v1/videos/text2video."""
    check(body, {**_VIDEO, "aspect_ratio": one_of("16:9", "9:16", "1:1")})
    name, model = _model(body, "text")
    mode, seconds = _mode(body, model.text), _duration(body, model)
    _shots(body, model, seconds)
    _features(body, name, model, mode, seconds)
    if body.get("camera_control") is not None:
        _camera(body)
        if mode not in model.camera_text or seconds != "5":
            raise bad_parameter("camera_control is only supported in std mode with 5s duration and kling-v1")
    return _video(body, name, mode, seconds, RATIOS[body.get("aspect_ratio") or "16:9"])


def image2video(body: Mapping[str, Any]) -> Order:
    """POST /v1/videos/image2video."""
    pictures: Mapping[str, Check] = {"image": picture, "image_tail": picture, "static_mask": picture}
    check(body, {**_VIDEO, **pictures, "dynamic_masks": items(1, 6, _MASK, "mask")})
    name, model = _model(body, "image")
    mode, seconds = _mode(body, model.image), _duration(body, model)
    first, tail = body.get("image"), body.get("image_tail")
    has_masks = body.get("static_mask") is not None or body.get("dynamic_masks") is not None
    has_camera = body.get("camera_control") is not None
    if first is None and tail is None:
        raise bad_parameter("image can not be null")
    if (tail is not None) + has_masks + has_camera > 1:
        raise bad_parameter("Only one of image_tail, dynamic_masks/static_mask and camera_control can be used")
    _shots(body, model, seconds, prompt_needed=False)
    _features(body, name, model, mode, seconds)
    which = f"model/mode/duration({name}/{mode}/{seconds}) is not supported with"
    if tail is not None:
        if not model.tail:
            raise bad_parameter("Image tail is not supported by the current model")
        allowed = model.tail if first is not None else model.tail_only
        if mode not in allowed or (name == "kling-v1" and seconds != "5"):
            raise bad_parameter(f"{which} image_tail")
        if model.silent_tail and body.get("sound") == "on":
            raise bad_parameter(f"{which} image_tail and sound")
    if has_masks:
        if not model.masks:
            raise bad_parameter(f"{name} is not supported with motion brush")
        if mode not in model.masks or seconds != "5":
            raise bad_parameter(f"{which} motion brush")
    if has_camera:
        _camera(body)
        if mode not in model.camera_image or seconds != "5" or body["camera_control"]["type"] != "simple":
            raise bad_parameter(f"{which} camera_control")
    return with_picture_size(first if first is not None else tail, _video(body, name, mode, seconds, (16, 9)))


def omni_video(body: Mapping[str, Any]) -> Order:
    """POST /v1/videos/omni-video."""
    video = {"video_url": link, "refer_type": one_of("base", "feature"), "keep_original_sound": one_of("yes", "no")}
    image = {"image_url": picture, "type": one_of("first_frame", "end_frame")}
    ratio = one_of("16:9", "9:16", "1:1")
    lists = {"image_list": items(0, 7, image, "image_url"), "video_list": items(0, 1, video, "video_url")}
    element = {"element_list": items(0, 7, {"element_id": whole(0, 2**63)}, "element_id")}
    check(body, {**_VIDEO, **lists, **element, "aspect_ratio": ratio})
    name = body.get("model_name") or "kling-video-o1"
    if name not in ("kling-video-o1", "kling-v3-omni"):
        raise bad_parameter("model is not supported")
    is_o1 = name == "kling-video-o1"
    mode = str(body.get("mode") or PRO)
    if mode not in ((STD, PRO) if is_o1 else (STD, PRO, UHD)):
        raise fields.invalid("mode", mode)
    images, videos = body.get("image_list") or [], body.get("video_list") or []
    if len(images) + len(body.get("element_list") or []) > (4 if videos else 7):
        raise bad_parameter("The number of images and elements exceeds the limit")
    edits = any(item.get("refer_type", "base") == "base" for item in videos)
    seconds = "5" if edits else str(body.get("duration") or "5")
    if not edits:
        if seconds not in [str(length) for length in range(3, 11 if is_o1 else 16)]:
            raise fields.invalid("duration", seconds)
        if is_o1 and not images and not videos and seconds not in ("5", "10"):
            raise bad_parameter("Duration only supports 5 or 10 seconds when no refer_image is provided")
    if is_o1 and body.get("sound") == "on":
        raise bad_parameter(f"model/mode/duration({name}/{mode}/{seconds}) is not supported with sound")
    _shots(body, VideoModel(shots=not is_o1), seconds)
    first = next((item["image_url"] for item in images if item.get("type") == "first_frame"), None)
    if body.get("aspect_ratio") is None and first is None and not edits:
        raise bad_parameter("aspect_ratio can not be null")
    units = prices.video(name, mode, int(seconds), sound=body.get("sound") == "on", more=bool(videos))
    ratio_asked = RATIOS[body.get("aspect_ratio") or "16:9"]
    order = Order(name, mode, int(seconds), size(name, mode, ratio_asked), units)
    return order if first is None else with_picture_size(first, order)


def motion_control(body: Mapping[str, Any]) -> Order:
    """POST /v1/videos/motion-control."""
    known: dict[str, Check] = {
        **COMMON,
        "image_url": picture,
        "video_url": link,
        "character_orientation": one_of("image", "video"),
        "mode": one_of(STD, PRO),
        "keep_original_sound": one_of("yes", "no"),
        "prompt": text(2500),
        "element_list": items(0, 1, {"element_id": whole(0, 2**63)}, "element_id"),
    }
    check(body, known, "image_url", "video_url", "character_orientation", "mode")
    name = body.get("model_name") or "kling-v2-6"
    if name not in ("kling-v2-6", "kling-v3"):
        raise bad_parameter("model is not supported")
    if body.get("element_list") and body["character_orientation"] != "video":
        raise bad_parameter("element_list is only supported with character_orientation video")
    mode = body["mode"]
    units = prices.motion(name, mode, 5)
    return with_picture_size(body["image_url"], Order(name, mode, 5, size(name, mode, (16, 9)), units))


def multi_image2video(body: Mapping[str, Any]) -> Order:
    """POST /v1/videos/multi-image2video; only kling-v1-6 has it."""
    return _multi(body, "prompt", "image_list")


def multi_elements(body: Mapping[str, Any]) -> Order:
    """POST /v1/videos/multi-elements; only kling-v1-6 has it."""
    order = _multi(body, "prompt", "session_id", "edit_mode")
    return replace(order, units=prices.elements(order.mode, order.seconds))


def _multi(body: Mapping[str, Any], *needed: str) -> Order:
    known: dict[str, Check] = {
        **COMMON,
        "prompt": text(2500),
        "negative_prompt": text(2500),
        "image_list": items(1, 4, {"image": picture}, "image"),
        "mode": one_of(STD, PRO),
        "duration": one_of("5", "10"),
        "aspect_ratio": one_of("16:9", "9:16", "1:1"),
        "session_id": text(200),
        "edit_mode": one_of("addition", "swap", "removal"),
    }
    check(body, known, *needed)
    name = body.get("model_name") or "kling-v1-6"
    if name != "kling-v1-6":
        raise bad_parameter("model is not supported")
    mode, seconds = body.get("mode") or STD, int(body.get("duration") or 5)
    ratio = RATIOS[body.get("aspect_ratio") or "16:9"]
    return Order(name, mode, seconds, size(name, mode, ratio), prices.video(name, mode, seconds), retired=True)


def fixed(
    path: str, known: Mapping[str, Check], *needed: str, model: str = "", seconds: float = 5.0, pack: str = "video"
) -> Rule:
    """A rule for an endpoint with a fixed price and result. For `needed` see fields.require()."""

    def rule(body: Mapping[str, Any]) -> Order:
        check(body, {**COMMON, **known}, *needed)
        count = body.get("n") or 1 if "n" in known else 1
        units = prices.FIXED.get(path, 0.0) * count
        name = model or path.rpartition("/")[2]
        return Order(name, STD, seconds, units=units, pack=pack, slots=count, count=count)

    return rule


def avatar(body: Mapping[str, Any]) -> Order:
    """POST /v1/videos/avatar/image2video."""
    known: dict[str, Check] = {"image": picture, "audio_id": text(200), "sound_file": sound, "prompt": text(2500)}
    check(body, {**COMMON, **known, "mode": one_of(STD, PRO)}, "image", "audio_id|sound_file")
    mode = body.get("mode") or STD
    order = Order("avatar", mode, 5, size("avatar", mode, (16, 9)), prices.video("avatar", mode, 5))
    return with_picture_size(body["image"], order)


def lip_sync(body: Mapping[str, Any]) -> Order:
    """POST /v1/videos/lip-sync."""
    known: dict[str, Check] = {
        "mode": one_of("text2video", "audio2video"),
        "video_id": text(200),
        "video_url": link,
        "text": text(120),
        "voice_id": voice,
        "voice_language": one_of("zh", "en"),
        "voice_speed": number(0.8, 2.0),
        "audio_type": one_of("file", "url"),
        "audio_file": sound,
        "audio_url": link,
    }
    check(body, {**COMMON, "input": each("input", known, "mode video_id|video_url")}, "input")
    asked = body["input"]
    if asked["mode"] == "audio2video":
        require(asked, "audio_file|audio_url", where="input.")
    else:
        require(asked, "text", where="input.")
        if not asked.get("voice_id") or not asked.get("voice_language"):
            raise bad_parameter("Voice language not found")
    return Order("lip-sync", STD, 5, units=prices.FIXED["/v1/videos/lip-sync"])


def effects(body: Mapping[str, Any]) -> Order:
    """POST /v1/videos/effects."""
    inner = each("input", {"image": picture, "images": lambda _, value: _pictures(value)})
    check(body, {**COMMON, "effect_scene": text(100, 1), "input": inner}, "effect_scene", "input")
    if not body["input"].get("image") and not body["input"].get("images"):
        raise bad_parameter("input.image can not be null")
    return Order("effects", STD, 5, units=prices.FIXED["/v1/videos/effects"])


def image(*names: str, default: str, known: Mapping[str, Check], needed: tuple[str, ...] = ("prompt",)) -> Rule:
    """A rule for an endpoint that makes pictures with one of these models."""

    def rule(body: Mapping[str, Any]) -> Order:
        check(body, {**COMMON, "prompt": text(2500), "n": whole(1, 9), **known}, *needed)
        name = body.get("model_name") or default
        if name not in names:
            raise bad_parameter("model is not supported")
        count = body.get("n") or 1
        resolution = str(body.get("resolution") or "1k") if "resolution" in known else "1k"
        short = {"1k": 1024, "2k": 2048, "4k": 4096}[resolution]
        wide, high = RATIOS.get(body.get("aspect_ratio") or "16:9", (1, 1))
        scale = short / max(wide, high)
        inputs = 2 if "subject_image_list" in known else 1 if body.get("image") is not None else 0
        units = prices.image(name, resolution, count, inputs=inputs)
        shape, is_retired = (round(wide * scale), round(high * scale)), name in _RETIRED_IMAGE_MODELS
        order = Order(name, "", 0, shape, units, "image", count, count, retired=is_retired)
        return order if body.get("image") is None else with_picture_size(body["image"], order, keep_size=True)

    return rule


def _model(body: Mapping[str, Any], family: str) -> tuple[str, VideoModel]:
    name = body.get("model_name")
    name = DEFAULT_MODEL if name is None or name == "" else name
    model = VIDEO_MODELS.get(name) if isinstance(name, str) else None
    if model is None or not getattr(model, family):
        raise bad_parameter("model is not supported")
    return name, model


def _mode(body: Mapping[str, Any], modes: tuple[str, ...]) -> str:
    mode = body.get("mode")
    if mode is None:
        return "" if modes == NO_MODE else STD
    if modes == NO_MODE or mode not in modes:
        raise fields.invalid("mode", mode)
    return str(mode)


def _duration(body: Mapping[str, Any], model: VideoModel) -> str:
    seconds = body.get("duration")
    seconds = "5" if seconds is None else seconds
    one_of(*model.durations)("duration", seconds)
    return str(seconds)


def _shots(body: Mapping[str, Any], model: VideoModel, seconds: str, *, prompt_needed: bool = True) -> None:
    shots, kind = body.get("multi_prompt"), body.get("shot_type")
    if not body.get("multi_shot"):
        if kind is not None or shots is not None:
            raise bad_parameter("shot_type and multi_prompt are only supported when multi_shot is true")
    elif not model.shots:
        raise bad_parameter("multi_shot is not supported by the current model")
    elif kind is None:
        raise bad_parameter("shot_type can not be null")
    elif kind == "customize":
        if not shots:
            raise bad_parameter("multi_prompt can not be null")
        if sum(int(shot.get("duration") or 0) for shot in shots) != int(seconds):
            raise bad_parameter("The total duration of multi_prompt must equal duration")
        return
    if prompt_needed and not body.get("prompt"):
        raise bad_parameter("prompt can not be null")


def _features(body: Mapping[str, Any], name: str, model: VideoModel, mode: str, seconds: str) -> None:
    which = f"model/mode/duration({name}/{mode}/{seconds}) is not supported with"
    has_sound, voices = body.get("sound") == "on", body.get("voice_list")
    if has_sound and mode not in model.sound:
        raise bad_parameter(f"{which} sound")
    if voices:
        if mode not in model.voices or not has_sound:
            raise bad_parameter(f"{which} voice_list")
        if body.get("element_list"):
            raise bad_parameter("voice_list and element_list can not be used together")
    if body.get("element_list") and not model.elements:
        raise bad_parameter("element_list is not supported by the current model")


def _camera(body: Mapping[str, Any]) -> None:
    _CAMERA("camera_control", body["camera_control"])
    kind, config = body["camera_control"]["type"], body["camera_control"].get("config")
    if kind != "simple":
        if config is not None:
            raise bad_parameter("camera_control.config is only supported with type simple")
        return
    if not isinstance(config, dict):
        raise bad_parameter("camera_control.config can not be null")
    for axis in _AXES:
        if config.get(axis) is not None:
            number(-10, 10)(f"camera_control.config.{axis}", config[axis])
    if sum(1 for axis in _AXES if config.get(axis)) != 1:
        raise bad_parameter("Exactly one of the values of camera_control.config must be other than 0")


def _video(body: Mapping[str, Any], name: str, mode: str, seconds: str, ratio: tuple[float, float]) -> Order:
    length = int(seconds)
    units = prices.video(name, mode, length, sound=body.get("sound") == "on", more=bool(body.get("voice_list")))
    return Order(name, mode, length, size(name, mode, ratio), units, retired=VIDEO_MODELS[name].retired)


def with_picture_size(value: Any, order: Order, *, keep_size: bool = False, at_most: int = fields.MAX_PICTURE) -> Order:
    """The order with the aspect ratio of its picture, or with a late failure if Kling rejects the picture later."""
    found = fields.picture_size(value, at_most)
    if found is None:
        return order
    late_failure = ""
    if min(found) < MIN_SIDE:
        late_failure = PIXELS
    elif max(found) > MAX_RATIO * min(found):
        late_failure = BAD_SHAPE
    shape = order.size if keep_size or late_failure else size(order.model, order.mode, found)
    return replace(order, size=shape, late_failure=late_failure)


def _pictures(value: Any) -> None:
    if not isinstance(value, list) or len(value) != 2:
        raise bad_parameter("input.images: size must be between 2 and 2")
    for item in value:
        picture("input.images", item)
