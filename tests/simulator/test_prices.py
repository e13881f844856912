"""Prices, compared with Kling's price list, and the price of an order."""

from __future__ import annotations

from typing import Any

import pytest

from mitm_ai_proxy.simulator import new_design, prices
from mitm_ai_proxy.simulator.endpoints import ENDPOINTS
from tests.tables import table

URL = "https://a.test/a.png"
VIDEO_URL = "https://a.test/a.mp4"
VOICES = {"sound": "on", "voice_list": [{"voice_id": "1"}]}
EDIT = [{"video_url": VIDEO_URL}]
LIP_SYNC = {"mode": "text2video", "video_id": "1", "text": "a", "voice_id": "AOT", "voice_language": "en"}


def _units(path: str, **body: Any) -> float:
    return ENDPOINTS[path].rule(body).units


def _text(model: str, mode: str, seconds: int, **more: Any) -> float:
    body = {"model_name": model, "prompt": "a", "duration": str(seconds), **({} if mode == "-" else {"mode": mode})}
    return _units("/v1/videos/text2video", **body, **more)


def _image(model: str, mode: str, seconds: int, **more: Any) -> float:
    body = {"model_name": model, "image": URL, "duration": str(seconds), **({} if mode == "-" else {"mode": mode})}
    return _units("/v1/videos/image2video", **body, **more)


# what | units a second in std (720p) | pro (1080p) | 4k
PER_SECOND: list[tuple[str, float | None, float | None, float | None]] = [
    ("3.0 Turbo", 0.8, 1.0, None),
    ("3.0, sound off", 0.6, 0.8, 3.0),
    ("3.0, sound on", 0.9, 1.2, 3.0),
    ("3.0 motion control", 0.9, 1.2, None),
    ("3.0 Omni, silent", 0.6, 0.8, 3.0),
    ("3.0 Omni, sound", 0.8, 1.0, 3.0),
    ("3.0 Omni, with video", 0.9, 1.2, 3.0),
    ("O1", 0.6, 0.8, None),
    ("O1, with video", 0.9, 1.2, None),
    ("2.6, silent", 0.3, 0.5, None),
    ("2.6, sound", None, 1.0, None),
    ("2.6, sound and voices", None, 1.2, None),
    ("2.6 motion control", 0.5, 0.8, None),
    ("2.5 Turbo", 0.3, 0.5, None),
    ("Avatar", 0.4, 0.8, None),
]
CELLS = [
    (what, mode, units)
    for what, *row in PER_SECOND
    for mode, units in zip(("std", "pro", "4k"), row, strict=True)
    if units is not None
]
MORE: dict[str, tuple[str, dict[str, Any]]] = {
    "3.0 Turbo": ("kling-3.0-turbo", {}),
    "3.0, sound off": ("kling-v3", {}),
    "3.0, sound on": ("kling-v3", {"sound": True}),
    "3.0 Omni, silent": ("kling-v3-omni", {}),
    "3.0 Omni, sound": ("kling-v3-omni", {"sound": True}),
    "3.0 Omni, with video": ("kling-v3-omni", {"more": True}),
    "O1": ("kling-video-o1", {}),
    "O1, with video": ("kling-video-o1", {"more": True}),
    "2.6, silent": ("kling-v2-6", {}),
    "2.6, sound": ("kling-v2-6", {"sound": True}),
    "2.6, sound and voices": ("kling-v2-6", {"sound": True, "more": True}),
    "2.5 Turbo": ("kling-v2-5-turbo", {}),
    "Avatar": ("avatar", {}),
}
MOTIONS = {"3.0 motion control": "kling-v3", "2.6 motion control": "kling-v2-6"}


@table(("what", "mode", "units"), CELLS)
def test_a_second_costs_what_the_list_says(what: str, mode: str, units: float) -> None:
    for seconds in (3, 5, 7, 10, 15):
        if what in MOTIONS:
            cost = prices.motion(MOTIONS[what], mode, seconds)
        else:
            model, more = MORE[what]
            cost = prices.video(model, mode, seconds, **more)
        assert cost == pytest.approx(seconds * units)


@table(
    ("model", "mode", "five", "ten", "more"),
    [
        ("kling-v1", "std", 1, 2, {}),
        ("kling-v1", "pro", 3.5, 7, {}),
        ("kling-v1-6", "std", 2, 4, {}),
        ("kling-v1-6", "pro", 3.5, 7, {}),
        ("kling-v2-master", "-", 10, 20, {}),
        ("kling-v2-1-master", "-", 10, 20, {}),
        ("kling-v2-5-turbo", "std", 1.5, 3, {}),
        ("kling-v2-5-turbo", "pro", 2.5, 5, {}),
        ("kling-v2-6", "std", 1.5, 3, {}),
        ("kling-v2-6", "pro", 2.5, 5, {}),
        ("kling-v2-6", "pro", 5, 10, {"sound": "on"}),
        ("kling-v2-6", "pro", 6, 12, VOICES),
        ("kling-v3", "std", 3, 6, {}),
        ("kling-v3", "pro", 6, 12, {"sound": "on"}),
        ("kling-v3", "4k", 15, 30, {"sound": "on"}),
    ],
)
def test_a_clip_costs_what_the_list_says_with_a_picture_or_without(
    model: str, mode: str, five: float, ten: float, more: dict[str, Any]
) -> None:
    assert (_text(model, mode, 5, **more), _text(model, mode, 10, **more)) == (five, ten)
    assert (_image(model, mode, 5, **more), _image(model, mode, 10, **more)) == (five, ten)


@table("model", ["kling-v1-5", "kling-v2-1"])
def test_a_clip_from_a_picture_only_costs_what_the_list_says(model: str) -> None:
    assert [_image(model, mode, seconds) for mode in ("std", "pro") for seconds in (5, 10)] == [2, 4, 3.5, 7]


def test_the_examples_of_the_list_come_out() -> None:
    assert _text("kling-v3", "std", 5) == 3
    assert _text("kling-v3", "pro", 10, sound="on") == 12
    assert _text("kling-v2-5-turbo", "std", 5) == 1.5
    assert _text("kling-v3", "std", 3, sound="off") == 1.8


@table(
    ("body", "units"),
    [
        ({"model_name": "kling-v3-omni", "mode": "std", "duration": "5"}, 3),
        ({"model_name": "kling-v3-omni", "mode": "pro", "duration": "15"}, 12),
        ({"model_name": "kling-v3-omni", "mode": "4k", "duration": "5"}, 15),
        ({"model_name": "kling-v3-omni", "duration": "5", "sound": "on"}, 5),
        ({"model_name": "kling-v3-omni", "mode": "std", "duration": "5", "sound": "on"}, 4),
        ({"model_name": "kling-v3-omni", "mode": "std", "video_list": EDIT}, 4.5),
        ({"model_name": "kling-v3-omni", "mode": "pro", "video_list": EDIT}, 6),
        ({}, 4),
        ({"mode": "std", "duration": "10"}, 6),
        ({"video_list": EDIT}, 6),
        ({"mode": "std", "video_list": [{**EDIT[0], "refer_type": "feature"}]}, 4.5),
        ({"image_list": [{"image_url": URL}]}, 4),
    ],
)
def test_an_omni_video_costs_more_with_a_video_but_not_with_pictures(body: dict[str, Any], units: float) -> None:
    assert _units("/v1/videos/omni-video", prompt="a", aspect_ratio="1:1", **body) == pytest.approx(units)


@table(
    ("path", "body", "units"),
    [
        ("/v1/videos/multi-image2video", {}, 2),
        ("/v1/videos/multi-image2video", {"duration": "10"}, 4),
        ("/v1/videos/multi-image2video", {"mode": "pro"}, 3.5),
        ("/v1/videos/multi-image2video", {"mode": "pro", "duration": "10"}, 7),
        ("/v1/videos/multi-elements", {}, 3),
        ("/v1/videos/multi-elements", {"duration": "10"}, 6),
        ("/v1/videos/multi-elements", {"mode": "pro"}, 5),
        ("/v1/videos/multi-elements", {"mode": "pro", "duration": "10"}, 10),
        ("/v1/videos/lip-sync", {"input": LIP_SYNC}, 0.5),
        ("/v1/audio/text-to-audio", {"duration": 3}, 0.25),
        ("/v1/audio/text-to-audio", {"duration": 10}, 0.25),
        ("/v1/audio/video-to-audio", {"video_url": VIDEO_URL}, 0.25),
        ("/v1/general/custom-voices", {"voice_name": "Bob", "voice_url": URL}, 0.05),
        ("/v1/general/advanced-custom-elements", {"element_name": "Cat"}, 0),
        ("/v1/general/custom-elements", {"element_name": "Cat"}, 0),
        ("/v1/general/ai-multi-shot", {"element_frontal_image": URL}, 20),
        ("/v1/images/editing/expand", {"image": URL}, 8),
        ("/v1/images/generations", {}, 8),
        ("/v1/images/generations", {"image": URL, "resolution": "2k", "n": 9}, 72),
        ("/v1/images/generations", {"model_name": "kling-v2-1"}, 4),
        ("/v1/images/generations", {"model_name": "kling-v2-1", "n": 3}, 12),
        ("/v1/images/generations", {"model_name": "kling-v2-1", "image": URL}, 8),
        ("/v1/images/generations", {"model_name": "kling-v2-1", "image": None}, 4),
        ("/v1/images/generations", {"model_name": "kling-v2"}, 4),
        ("/v1/images/generations", {"model_name": "kling-v1-5", "image": URL}, 8),
        ("/v1/images/generations", {"model_name": "kling-v1"}, 1),
        ("/v1/images/generations", {"model_name": "kling-v1", "image": URL}, 1),
        ("/v1/images/omni-image", {}, 8),
        ("/v1/images/omni-image", {"resolution": "4k"}, 16),
        ("/v1/images/omni-image", {"model_name": "kling-v3-omni", "resolution": "4k", "n": 2}, 32),
        ("/v1/images/multi-image2image", {"subject_image_list": [{"subject_image": URL}]}, 16),
        ("/v1/images/multi-image2image", {"subject_image_list": [{"subject_image": URL}], "n": 2}, 32),
    ],
)
def test_other_things_cost_what_the_list_says(path: str, body: dict[str, Any], units: float) -> None:
    given: dict[str, dict[str, Any]] = {
        "multi-image2video": {"image_list": [{"image": URL}]},
        "multi-elements": {"session_id": "1"},
    }
    base = {"prompt": "a", "edit_mode": "removal", **given.get(path.rpartition("/")[2], {})}

    assert _units(path, **{**base, **body}) == pytest.approx(units)


@table(
    ("path", "units"),
    [
        ("/v1/audio/tts", 0.05),
        ("/v1/videos/lip-sync", 0.5),
        ("/v1/videos/identify-face", 0.05),
        ("/v1/audio/text-to-audio", 0.25),
        ("/v1/audio/video-to-audio", 0.25),
        ("/v1/general/custom-voices", 0.05),
        ("/v1/videos/image-recognize", 0.1),
        ("/v1/images/editing/expand", 8),
        ("/v1/general/ai-multi-shot", 20),
    ],
)
def test_a_call_has_one_price(path: str, units: float) -> None:
    assert prices.FIXED[path] == units


# path | settings | units
NEW_DESIGN: list[tuple[str, dict[str, Any], float]] = [
    ("text-to-video/kling-3.0", {}, 3),
    ("text-to-video/kling-3.0", {"audio": "native"}, 4.5),
    ("text-to-video/kling-3.0", {"resolution": "1080p", "duration": 10, "audio": "native"}, 12),
    ("text-to-video/kling-3.0", {"resolution": "4k", "duration": 3}, 9),
    ("text-to-video/kling-3.0-turbo", {"duration": 3}, 2.4),
    ("text-to-video/kling-3.0-turbo", {"resolution": "1080p"}, 5),
    ("text-to-video/kling-2.6", {}, 1.5),
    ("text-to-video/kling-2.6", {"resolution": "1080p", "audio": "native"}, 5),
    ("text-to-video/kling-2.5-turbo", {"resolution": "1080p", "duration": 10}, 5),
    ("image-to-video/kling-3.0", {}, 3),
    ("image-to-video/kling-2.6", {"resolution": "1080p", "audio": "native", "voice": "1"}, 6),
    ("omni-video/kling-3.0-omni", {}, 3),
    ("omni-video/kling-3.0-omni", {"audio": "native", "resolution": "1080p"}, 5),
    ("omni-video/kling-3.0-omni", {"video": "feature_video"}, 4.5),
    ("omni-video/kling-o1", {"duration": 10}, 6),
    ("omni-video/kling-o1", {"video": "base_video", "resolution": "1080p"}, 6),
    ("motion-control/kling-3.0", {"resolution": "1080p"}, 6),
    ("motion-control/kling-2.6", {}, 2.5),
]


@table(("path", "settings", "units"), NEW_DESIGN)
def test_the_new_design_costs_the_same(path: str, settings: dict[str, Any], units: float) -> None:
    kind, _, model = path.partition("/")
    video = settings.get("video")
    contents = [{"type": "prompt", "text": "a"}, {"type": "first_frame", "url": URL}]
    if kind == "motion-control":
        contents = [{"type": "image", "url": URL}, {"type": "video", "url": VIDEO_URL}]
    if video:
        contents = [{"type": video, "url": VIDEO_URL}]
    if "voice" in settings:
        contents.append({"type": "voice", "voice_id": settings["voice"]})
    asked = {name: value for name, value in settings.items() if name not in ("video", "voice")}
    body = {"prompt": "a", "contents": contents, "settings": asked}

    assert new_design.order(kind, model, body).units == pytest.approx(units)
