"""Units at most of all other creates of the legacy API: speaking faces, pictures, sounds, elements, calls.

Source: Kling API documentation, request parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from . import prices
from .checks import (
    MODE,
    OPTIONS,
    Body,
    Check,
    fields,
    file,
    link,
    list_of,
    number,
    picture,
    require,
    text,
    whole,
    word,
)
from .models import STD

LONGEST_VIDEO: Final = 180
"""Seconds that a video can have after all extensions."""
LONGEST_SOUND: Final = 300
MOST_IN_SERIES: Final = 9

# Speaking faces


_AVATAR: Final = fields(
    {
        **OPTIONS,
        "image": picture,
        "audio_id": text(200),
        "sound_file": file,
        "prompt": text(2500),
        "mode": MODE,
    },
    "image audio_id|sound_file",
)
_REFUSED_VOICES: Final = frozenset({"oversea_female1", "commercial_lady_en_f-v1", "reader_en_m-v1"})
_LIP_SYNC_INPUT: Final[Mapping[str, Check]] = {
    "mode": word("text2video", "audio2video"),
    "video_id": text(200),
    "video_url": link,
    "text": text(120),
    "voice_id": lambda value: text(200, 1)(value) and value not in _REFUSED_VOICES and not value.isdecimal(),
    "voice_language": word("zh", "en"),
    "voice_speed": number(0.8, 2.0),
    "audio_type": word("file", "url"),
    "audio_file": file,
    "audio_url": link,
}
_LIP_SYNC: Final = {
    mode: fields({**OPTIONS, "input": fields(_LIP_SYNC_INPUT, f"mode video_id|video_url {needed}")}, "input")
    for mode, needed in (("audio2video", "audio_file|audio_url"), ("text2video", "text voice_id voice_language"))
}
_FACE: Final[Mapping[str, Check]] = {
    "face_id": text(100, 1),
    "audio_id": text(200),
    "sound_file": file,
    "sound_start_time": number(0, 1e7),
    "sound_end_time": number(0, 1e7),
    "sound_insert_time": number(0, 1e7),
    "sound_volume": number(0, 2),
    "original_audio_volume": number(0, 2),
}
_FACE_NEEDED: Final = "face_id audio_id|sound_file sound_start_time sound_end_time sound_insert_time"
_ADVANCED_LIP_SYNC: Final = fields(
    {**OPTIONS, "session_id": text(200), "face_choose": list_of(1, 1, fields(_FACE, _FACE_NEEDED))},
    "session_id face_choose",
)


def _avatar(body: Body) -> float:
    require(_AVATAR(body))
    return prices.video("avatar", body.get("mode") or STD, LONGEST_SOUND)


def _lip_sync(body: Body) -> float:
    asked = body.get("input")
    mode = asked.get("mode") if isinstance(asked, dict) else None
    require(isinstance(mode, str) and mode in _LIP_SYNC and _LIP_SYNC[mode](body))
    return prices.lip_sync(LONGEST_VIDEO)


def _advanced_lip_sync(body: Body) -> float:
    require(_ADVANCED_LIP_SYNC(body))
    return prices.lip_sync(LONGEST_VIDEO)


# Longer videos


_EXTENSION: Final = fields(
    {
        **OPTIONS,
        "video_id": text(200),
        "prompt": text(2500),
        "negative_prompt": text(2500),
        "cfg_scale": number(0, 1),
    },
    "video_id",
)


def _extension(body: Body) -> float:
    require(_EXTENSION(body))
    return prices.EXTENSION


# Pictures


_PICTURE: Final[Mapping[str, Check]] = {**OPTIONS, "prompt": text(2500), "n": whole(1, 9)}
_RATIOS: Final = ("16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9")
_GENERATION: Final = fields(
    {
        **_PICTURE,
        "negative_prompt": text(2500),
        "image": picture,
        "image_reference": word("subject", "face"),
        "image_fidelity": number(0, 1),
        "human_fidelity": number(0, 1),
        "resolution": word("1k", "2k"),
        "aspect_ratio": word(*_RATIOS),
    },
    "prompt",
)
_OMNI_IMAGE: Final = fields(
    {
        **_PICTURE,
        "image_list": list_of(0, 10, fields({"image": picture}, "image")),
        "resolution": word("1k", "2k", "4k"),
        "result_type": word("single", "series"),
        "aspect_ratio": word(*_RATIOS, "auto"),
    },
    "prompt",
)
_MULTI_IMAGE_TO_IMAGE: Final = fields(
    {
        **_PICTURE,
        "subject_image_list": list_of(1, 4, fields({"subject_image": picture}, "subject_image")),
        "scene_image": picture,
        "style_image": picture,
        "aspect_ratio": word(*_RATIOS),
    },
    "subject_image_list",
)


def _pictures(check: Check, names: tuple[str, ...], default: str, inputs: int = 0) -> Callable[[Body], float]:
    """Units of a create of pictures; `inputs` are those that any one is made of, beside `image`."""

    def units(body: Body) -> float:
        require(check(body))
        name = body.get("model_name") or default
        require(name in names)
        resolution = str(body.get("resolution") or "1k")
        each = prices.picture(name, resolution, inputs or (1 if body.get("image") is not None else 0))
        return each * (body.get("n") or 1)

    return units


def _series(body: Body) -> int:
    """How many pictures a create makes in the place of one, at most."""
    count = body.get("series_amount")
    if body.get("result_type") != "series":
        return 1
    return int(count) if isinstance(count, int) and 0 < count < MOST_IN_SERIES else MOST_IN_SERIES


_omni_pictures: Final = _pictures(_OMNI_IMAGE, ("kling-image-o1", "kling-v3-omni"), "kling-image-o1")


# What has one price


_ELEMENT_IMAGES: Final[Mapping[str, Check]] = {
    "frontal_image": picture,
    "refer_images": list_of(1, 3, fields({"image_url": picture}, "image_url")),
}
_NEW_ELEMENT: Final = fields(
    {
        **OPTIONS,
        "element_name": text(20, 1),
        "element_description": text(100),
        "reference_type": word("image_refer", "video_refer"),
        "element_image_list": fields(_ELEMENT_IMAGES, "frontal_image"),
        "element_video_list": fields(
            {"refer_videos": list_of(1, 1, fields({"video_url": link}, "video_url"))}, "refer_videos"
        ),
    },
    "element_name",
)
_EXPANSIONS: Final = {f"{side}_expansion_ratio": number(0, 2) for side in ("up", "down", "left", "right")}
_EXPAND: Final = "/v1/images/editing/expand"
_ONE_PRICE: Final[Mapping[str, Check]] = {
    "/v1/audio/text-to-audio": fields({**OPTIONS, "prompt": text(200), "duration": number(3, 10)}, "prompt duration"),
    "/v1/audio/video-to-audio": fields(
        {
            **OPTIONS,
            "video_id": text(200),
            "video_url": link,
            "sound_effect_prompt": text(200),
            "bgm_prompt": text(200),
        },
        "video_id|video_url",
    ),
    "/v1/general/custom-voices": fields(
        {**OPTIONS, "voice_name": text(20, 1), "voice_url": link, "video_id": text(200)},
        "voice_name voice_url|video_id",
    ),
    "/v1/general/custom-elements": _NEW_ELEMENT,
    "/v1/general/advanced-custom-elements": _NEW_ELEMENT,
    _EXPAND: fields({**_PICTURE, "image": picture, **_EXPANSIONS}, "image"),
    "/v1/general/ai-multi-shot": fields({**OPTIONS, "element_frontal_image": picture}, "element_frontal_image"),
    "/v1/images/kolors-virtual-try-on": fields(
        {
            **OPTIONS,
            "model_name": word("kolors-virtual-try-on-v1", "kolors-virtual-try-on-v1-5"),
            "human_image": picture,
            "cloth_image": picture,
        },
        "human_image cloth_image",
    ),
}
_EFFECT: Final = fields(
    {
        **OPTIONS,
        "effect_scene": text(100, 1),
        "input": fields({"image": picture, "images": list_of(2, 2, picture)}),
    },
    "effect_scene input",
)


def _effect(body: Body) -> float:
    require(_EFFECT(body) and (body["input"].get("image") or body["input"].get("images")))
    return prices.CALLS["/v1/videos/effects"]


def _call(path: str) -> Callable[[Body], float]:
    """The price of what is answered at once, and costs the same whatever the body is."""
    return lambda _: prices.CALLS[path]


def _one_price(path: str) -> Callable[[Body], float]:
    """The price of a task, whatever it asks for."""

    def units(body: Body) -> float:
        require(_ONE_PRICE[path](body))
        count: int = body.get("n") or 1 if path == _EXPAND else 1
        return prices.CALLS[path] * count

    return units


OTHERS: Final[Mapping[str, Callable[[Body], float]]] = {
    **{path: _call(path) for path in prices.CALLS},
    **{path: _one_price(path) for path in _ONE_PRICE},
    "/v1/videos/effects": _effect,
    "/v1/videos/video-extend": _extension,
    "/v1/videos/lip-sync": _lip_sync,
    "/v1/videos/advanced-lip-sync": _advanced_lip_sync,
    "/v1/videos/avatar/image2video": _avatar,
    "/v1/images/generations": _pictures(
        _GENERATION, ("kling-v1", "kling-v1-5", "kling-v2", "kling-v2-new", "kling-v2-1", "kling-v3"), "kling-v3"
    ),
    "/v1/images/omni-image": lambda body: _omni_pictures(body) * _series(body),
    "/v1/images/multi-image2image": _pictures(
        _MULTI_IMAGE_TO_IMAGE, ("kling-v2", "kling-v2-1"), "kling-v2-1", inputs=2
    ),
}
"""By path."""
