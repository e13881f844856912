"""Validation of legacy creates: the capability table in all combinations, each rule's message, hostile values."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from mitm_ai_proxy.simulator.endpoints import ENDPOINTS
from mitm_ai_proxy.simulator.kling_error import KlingError
from mitm_ai_proxy.simulator.rules import Order
from tests.simulator.creates import MEGABYTE, URL, VIDEO_URL, bare, png, refusal, some
from tests.tables import table

TEXT, IMAGE = "/v1/videos/text2video", "/v1/videos/image2video"
OMNI, MOTION = "/v1/videos/omni-video", "/v1/videos/motion-control"
MULTI_IMAGE, MULTI_ELEMENTS = "/v1/videos/multi-image2video", "/v1/videos/multi-elements"


def _jpeg(width: int, height: int) -> bytes:
    frame = struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\x00"
    return b"\xff\xd8\xff\xc0" + frame + b"\xff\xd9"


def _order(path: str, body: Any) -> Order:
    return ENDPOINTS[path].rule(body)


def _refusal(path: str, body: Any) -> str:
    return refusal(_order, path, body)


# The capability map

# model | text2video | image2video | first and last | last only | mask | camera | sound | durations | retired
TABLE = """
kling-v1          | std pro    | std pro    | std pro 5s | -   | std pro 5s | t2v std 5s        | -          | 5 10 | y
kling-v1-5        | -          | std pro    | pro        | pro | pro 5s     | i2v pro 5s simple | -          | 5 10 | y
kling-v1-6        | std pro    | std pro    | pro        | pro | -          | -                 | -          | 5 10 | y
kling-v2-master   | no-mode    | no-mode    | -          | -   | -          | -                 | -          | 5 10 | y
kling-v2-1        | -          | std pro    | pro        | -   | -          | -                 | -          | 5 10 | y
kling-v2-1-master | no-mode    | no-mode    | -          | -   | -          | -                 | -          | 5 10 | y
kling-v2-5-turbo  | std pro    | std pro    | pro        | -   | -          | -                 | -          | 5 10 | n
kling-v2-6        | std pro    | std pro    | pro silent | -   | -          | -                 | pro voices | 5 10 | n
kling-v3          | std pro 4k | std pro 4k | std pro 4k | -   | -          | -                 | std pro 4k | 3-15 | n
"""
COLUMNS = "text image tail tail_only mask camera sound durations retired".split()
MODELS = {
    cells[0].strip(): {name: cell.split() for name, cell in zip(COLUMNS, cells[1:], strict=True)}
    for cells in (line.split("|") for line in TABLE.strip().splitlines())
}
NEVER = ["kling-v3-0", "kling-v2-5", "kling-v4", "kling-3.0", "KLING-V3", " kling-v3", "sora-2"]

SIMPLE = {"type": "simple", "config": {"zoom": 5}}
EXTRAS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "tail": {"image_tail": URL},
    "tail only": {"image": None, "image_tail": URL},
    "mask": {"static_mask": URL},
    "camera simple": {"camera_control": SIMPLE},
    "camera moving": {"camera_control": {"type": "down_back"}},
    "sound": {"sound": "on"},
    "voices": {"sound": "on", "voice_list": [{"voice_id": "1"}]},
    "cfg": {"cfg_scale": 0.5},
    "shots": {"multi_shot": True, "shot_type": "intelligence"},
    "elements": {"element_list": [{"element_id": 1}]},
    "tail and sound": {"image_tail": URL, "sound": "on"},
}
MODES = (None, "std", "pro", "4k", "standard")
DURATIONS = (None, "3", "5", "7", "10", "15", "99")


def _is_taken(model: str, family: str, mode: str | None, duration: str | None, extra: str) -> bool:
    """What the table says of a create."""
    if model not in MODELS:
        return False
    row = MODELS[model]
    if row[family] == ["-"] or (mode is not None if row[family] == ["no-mode"] else (mode or "std") not in row[family]):
        return False
    asked, seconds = mode or "std", int(duration or "5")
    if seconds not in (range(3, 16) if row["durations"] == ["3-15"] else (5, 10)):
        return False

    def has(column: str) -> bool:
        return asked in row[column] and (seconds == 5 or "5s" not in row[column])

    camera = has("camera") and {"text": "t2v", "image": "i2v"}[family] in row["camera"]
    verdicts = {
        "nothing": True,
        # A text2video has no pictures, and ignores them.
        "tail": family == "text" or has("tail"),
        "tail only": family == "text" or has("tail_only"),
        "mask": family == "text" or has("mask"),
        "camera simple": camera,
        "camera moving": camera and "simple" not in row["camera"],
        "sound": has("sound"),
        "voices": has("sound") and "voices" in row["sound"],
        # Gateways send it with every model.
        "cfg": True,
        "shots": model == "kling-v3",
        "elements": model == "kling-v3",
        "tail and sound": has("sound") and (family == "text" or (has("tail") and "silent" not in row["tail"])),
    }
    return verdicts[extra]


@table("family", ["text", "image"])
@table("model", [*MODELS, *NEVER])
def test_a_model_takes_what_the_table_says_and_nothing_else(model: str, family: str) -> None:
    path = {"text": TEXT, "image": IMAGE}[family]
    wrong = []
    for mode, duration, extra in itertools.product(MODES, DURATIONS, EXTRAS):
        body: dict[str, Any] = {"model_name": model, "prompt": "a cat"}
        body |= {"image": URL} if family == "image" else {}
        body |= {"mode": mode} if mode else {}
        body |= {"duration": duration} if duration else {}
        expected: Any = 1201
        if _is_taken(model, family, mode, duration, extra):
            row = MODELS[model]
            shown = "" if row[family] == ["no-mode"] else mode or "std"
            expected = (model, shown, int(duration or 5), row["retired"] == ["y"], "", "video", 1)
        try:
            order = _order(path, body | EXTRAS[extra])
            got: Any = (
                order.model,
                order.mode,
                order.seconds,
                order.retired,
                order.late_failure,
                order.pack,
                order.slots,
            )
        except KlingError as error:
            got = error.code
        if got != expected:
            wrong.append((mode, duration, extra, got, expected))

    assert wrong == []


@table("path", [TEXT, IMAGE])
@table("named", [{}, {"model_name": None}, {"model": "kling-v3"}])
def test_without_a_model_name_the_oldest_model_is_asked_for(named: dict[str, Any], path: str) -> None:
    order = _order(path, {"prompt": "a", "image": URL, **named})

    assert (order.model, order.mode, order.seconds, order.retired) == ("kling-v1", "std", 5, True)


@table("path", [TEXT, IMAGE, OMNI, MOTION, MULTI_IMAGE, "/v1/images/generations"])
@table("name", [*NEVER, 5, True, ["kling-v3"], {"a": 1}])
def test_an_unknown_model_is_not_supported(name: Any, path: str) -> None:
    assert _refusal(path, {**BODIES[path][0], "model_name": name}) == "model is not supported"


# text2video and image2video, rule by rule

V3 = {"model_name": "kling-v3", "prompt": "a"}
V1 = {"model_name": "kling-v1", "prompt": "a"}
V1_5 = {"model_name": "kling-v1-5", "mode": "pro", "image": URL}
V1_6 = {"model_name": "kling-v1-6", "prompt": "a", "image": URL}
V2_5 = {"model_name": "kling-v2-5-turbo", "image": URL}
V2_6 = {"model_name": "kling-v2-6", "mode": "pro", "prompt": "a"}
SHOT = {"index": 1, "prompt": "a", "duration": "5"}
SHOTS = {"model_name": "kling-v3", "multi_shot": True, "shot_type": "customize", "multi_prompt": [SHOT]}
POINTS = [{"x": 1, "y": 2}, {"x": 3, "y": 4}]
CAMERA_REFUSAL = "camera_control is only supported in std mode with 5s duration and kling-v1"


@table(
    ("path", "body", "message"),
    [
        # Texts of live answers
        (TEXT, {"model_name": "kling-v2-master", "prompt": "a", "mode": "std"}, "mode value 'std' is invalid"),
        (TEXT, {**V3, "mode": "standard"}, "mode value 'standard' is invalid"),
        (TEXT, {**V3, "mode": "professional"}, "mode value 'professional' is invalid"),
        (IMAGE, {**V2_5, "mode": "4k"}, "mode value '4k' is invalid"),
        (TEXT, {**V3, "duration": "99"}, "duration value '99' is invalid"),
        (IMAGE, {**V2_5, "duration": "7"}, "duration value '7' is invalid"),
        (IMAGE, {**V1_6, "static_mask": URL}, "kling-v1-6 is not supported with motion brush"),
        (IMAGE, {**V1_6, "dynamic_masks": [{"mask": URL}]}, "kling-v1-6 is not supported with motion brush"),
        (
            IMAGE,
            {**V2_5, "duration": "10", "image_tail": URL},
            "model/mode/duration(kling-v2-5-turbo/std/10) is not supported with image_tail",
        ),
        (
            IMAGE,
            {"model_name": "kling-v2-master", "image": URL, "image_tail": URL},
            "Image tail is not supported by the current model",
        ),
        (TEXT, {**V3, "model_name": "kling-v2-1"}, "model is not supported"),
        (TEXT, {**V3, "model_name": "kling-v1-5"}, "model is not supported"),
        (TEXT, {**V1, "model_name": "kling-v1-6", "camera_control": SIMPLE}, CAMERA_REFUSAL),
        (TEXT, {**V1, "mode": "pro", "camera_control": SIMPLE}, CAMERA_REFUSAL),
        (TEXT, {**V1, "duration": "10", "camera_control": SIMPLE}, CAMERA_REFUSAL),
        (IMAGE, {**V3}, "image can not be null"),
        (IMAGE, {**V3, "image": "data:image/png;base64,iVBO"}, "File is not in a valid base64 format"),
    ],
)
def test_a_refusal_has_kling_s_own_words(path: str, body: dict[str, Any], message: str) -> None:
    assert _refusal(path, body) == message


@table(
    ("path", "body", "named"),
    [
        # prompt
        (TEXT, {"model_name": "kling-v3"}, "prompt"),
        (TEXT, {**V3, "prompt": ""}, "prompt"),
        (TEXT, {**V3, "prompt": None}, "prompt"),
        (TEXT, {**V3, "prompt": 5}, "prompt"),
        (TEXT, {**V3, "prompt": "x" * 2501}, "prompt"),
        (IMAGE, {**V1_6, "prompt": "x" * 2501}, "prompt"),
        (TEXT, {**V3, "negative_prompt": "x" * 2501}, "negative_prompt"),
        # Values
        (TEXT, {**V3, "aspect_ratio": "7:3"}, "aspect_ratio"),
        (TEXT, {**V3, "aspect_ratio": "4:3"}, "aspect_ratio"),
        (TEXT, {**V3, "duration": "16"}, "duration"),
        (TEXT, {**V3, "duration": "2"}, "duration"),
        (TEXT, {**V3, "duration": 5.5}, "duration"),
        (TEXT, {**V3, "sound": True}, "sound"),
        (TEXT, {**V3, "sound": "yes"}, "sound"),
        (TEXT, {**V1, "cfg_scale": 1.01}, "cfg_scale"),
        (TEXT, {**V1, "cfg_scale": -0.01}, "cfg_scale"),
        (TEXT, {**V1, "cfg_scale": "0.5"}, "cfg_scale"),
        (TEXT, {**V1, "cfg_scale": math.nan}, "cfg_scale"),
        (TEXT, {**V3, "watermark_info": True}, "watermark_info"),
        (TEXT, {**V3, "watermark_info": {"enabled": "true"}}, "watermark_info"),
        (TEXT, {**V3, "callback_url": "a.test/hook"}, "callback_url"),
        (TEXT, {**V3, "callback_url": "ftp://a.test/hook"}, "callback_url"),
        (TEXT, {**V3, "external_task_id": 5}, "external_task_id"),
        # Voices
        (TEXT, {**V2_6, "voice_list": [{"voice_id": "1"}]}, "voice_list"),
        (TEXT, {**V2_6, "sound": "off", "voice_list": [{"voice_id": "1"}]}, "voice_list"),
        (TEXT, {**V2_6, "sound": "on", "voice_list": [{"voice_id": "1"}] * 3}, "voice_list"),
        (TEXT, {**V2_6, "sound": "on", "voice_list": [{}]}, "voice_list"),
        (TEXT, {**V2_6, "sound": "on", "voice_list": "1"}, "voice_list"),
        (
            IMAGE,
            {
                **V2_6,
                "image": URL,
                "sound": "on",
                "voice_list": [{"voice_id": "1"}],
                "element_list": [{"element_id": 1}],
            },
            "voice_list and element_list",
        ),
        # Elements
        (IMAGE, {**V3, "image": URL, "element_list": [{"element_id": 1}] * 4}, "element_list"),
        (IMAGE, {**V3, "image": URL, "element_list": [{"element_id": "1"}]}, "element_list"),
        (IMAGE, {**V3, "image": URL, "element_list": [{}]}, "element_list"),
        # Several shots
        (TEXT, {**V3, "shot_type": "customize"}, "shot_type"),
        (TEXT, {**V3, "multi_shot": False, "shot_type": "intelligence"}, "shot_type"),
        (TEXT, {**V3, "multi_prompt": [SHOT]}, "multi_prompt"),
        (TEXT, {**V3, "multi_shot": True}, "shot_type"),
        (TEXT, {**V3, "multi_shot": "true", "shot_type": "intelligence"}, "multi_shot"),
        (TEXT, {**V3, "multi_shot": True, "shot_type": "other"}, "shot_type"),
        (TEXT, {**V3, "multi_shot": True, "shot_type": "customize"}, "multi_prompt"),
        (TEXT, {"model_name": "kling-v3", "multi_shot": True, "shot_type": "intelligence"}, "prompt"),
        (TEXT, {**SHOTS, "multi_prompt": []}, "multi_prompt"),
        (TEXT, {**SHOTS, "duration": "7", "multi_prompt": [{**SHOT, "duration": "1"}] * 7}, "multi_prompt"),
        (TEXT, {**SHOTS, "multi_prompt": [{**SHOT, "duration": "4"}]}, "duration"),
        (TEXT, {**SHOTS, "multi_prompt": [{**SHOT, "duration": "4"}, {**SHOT, "duration": "2"}]}, "duration"),
        (TEXT, {**SHOTS, "multi_prompt": [SHOT, {**SHOT, "duration": "0"}]}, "duration"),
        (TEXT, {**SHOTS, "multi_prompt": [{**SHOT, "duration": "-1"}, {**SHOT, "duration": "6"}]}, "duration"),
        (TEXT, {**SHOTS, "multi_prompt": [{**SHOT, "prompt": "x" * 513}]}, "prompt"),
        (TEXT, {**SHOTS, "multi_prompt": [{**SHOT, "prompt": ""}]}, "prompt"),
        (TEXT, {**SHOTS, "multi_prompt": [{**SHOT, "index": "1"}]}, "index"),
        (TEXT, {**SHOTS, "model_name": "kling-v2-6"}, "multi_shot"),
        # One of the last frame, masks and the camera
        (IMAGE, {**V1_5, "image_tail": URL, "static_mask": URL}, "image_tail"),
        (IMAGE, {**V1_5, "image_tail": URL, "dynamic_masks": [{"mask": URL}]}, "image_tail"),
        (IMAGE, {**V1_5, "image_tail": URL, "camera_control": SIMPLE}, "image_tail"),
        (IMAGE, {**V1_5, "static_mask": URL, "camera_control": SIMPLE}, "camera_control"),
        # Masks
        (IMAGE, {**V1_5, "dynamic_masks": [{"mask": URL}] * 7}, "dynamic_masks"),
        (IMAGE, {**V1_5, "dynamic_masks": [{"trajectories": POINTS}]}, "dynamic_masks"),
        (IMAGE, {**V1_5, "dynamic_masks": [{"mask": URL, "trajectories": POINTS[:1]}]}, "trajectories"),
        (IMAGE, {**V1_5, "dynamic_masks": [{"mask": URL, "trajectories": POINTS * 39}]}, "trajectories"),
        # The camera
        (TEXT, {**V1, "camera_control": {}}, "camera_control"),
        (TEXT, {**V1, "camera_control": {"type": "sideways"}}, "camera_control"),
        (TEXT, {**V1, "camera_control": {"type": "simple"}}, "config"),
        (TEXT, {**V1, "camera_control": {"type": "simple", "config": {}}}, "config"),
        (TEXT, {**V1, "camera_control": {"type": "simple", "config": {"zoom": 0, "pan": 0}}}, "config"),
        (TEXT, {**V1, "camera_control": {"type": "simple", "config": {"zoom": 1, "pan": 1}}}, "config"),
        (TEXT, {**V1, "camera_control": {"type": "simple", "config": {"zoom": 10.1}}}, "zoom"),
        (TEXT, {**V1, "camera_control": {"type": "simple", "config": {"zoom": 1, "roll": -11}}}, "roll"),
        (TEXT, {**V1, "camera_control": {"type": "down_back", "config": {"zoom": 5}}}, "config"),
        (IMAGE, {**V1_5, "camera_control": {"type": "forward_up"}}, "camera_control"),
    ],
)
def test_what_a_rule_forbids_is_refused_by_its_field(path: str, body: dict[str, Any], named: str) -> None:
    message = _refusal(path, body)

    assert named in message
    assert len(message) < 200


@table(
    ("path", "body"),
    [
        (TEXT, {**V3, "prompt": "\U0001f3ac" * 2500, "negative_prompt": "x" * 2500}),
        (TEXT, {**V3, "duration": 7}),
        (TEXT, {**V3, "sound": "off", "voice_list": None, "camera_control": None}),
        (TEXT, {**V1, "cfg_scale": 0}),
        (TEXT, {**V1, "cfg_scale": 1}),
        (TEXT, {**V2_6, "sound": "on", "voice_list": [{"voice_id": "1"}] * 2}),
        (TEXT, {**V3, "multi_shot": False}),
        (TEXT, {**V3, "watermark_info": {"enabled": True}, "callback_url": "http://a.test:81/hook"}),
        (TEXT, {**SHOTS}),
        (TEXT, {**SHOTS, "duration": "6", "multi_prompt": [{**SHOT, "duration": "1"}] * 6}),
        (TEXT, {**SHOTS, "duration": "15", "multi_prompt": [{**SHOT, "duration": "15", "prompt": "x" * 512}]}),
        (IMAGE, {**SHOTS, "image": URL}),
        (IMAGE, {"model_name": "kling-v3", "image": URL}),
        (IMAGE, {**V3, "image": URL, "element_list": [{"element_id": 1}] * 3}),
        (IMAGE, {**V1_5, "dynamic_masks": [{"mask": URL, "trajectories": POINTS}] * 6}),
        (
            IMAGE,
            {**V1_5, "static_mask": URL, "dynamic_masks": [{"mask": URL, "trajectories": [*POINTS * 38, POINTS[0]]}]},
        ),
        (IMAGE, {**V1_5, "camera_control": {"type": "simple", "config": {"pan": -10, "zoom": 0, "roll": None}}}),
        *(
            (TEXT, {**V1, "camera_control": {"type": "simple", "config": {axis: value}}})
            for axis in ("horizontal", "vertical", "pan", "tilt", "roll", "zoom")
            for value in (-10, 10, 0.5)
        ),
        *(
            (TEXT, {**V1, "camera_control": {"type": kind}})
            for kind in ("down_back", "forward_up", "right_turn_forward", "left_turn_forward")
        ),
    ],
)
def test_what_a_rule_just_allows_is_taken(path: str, body: dict[str, Any]) -> None:
    assert _order(path, body).late_failure == ""


@table("ratio", ["1:1", "7:3", 5, []])
def test_an_image2video_ignores_an_aspect_ratio(ratio: Any) -> None:
    assert _order(IMAGE, {**V3, "image": URL, "aspect_ratio": ratio}) == _order(IMAGE, {**V3, "image": URL})


# Pictures


@table(
    ("data", "late_failure"),
    [
        (png(300, 300), ""),
        (_jpeg(300, 300), ""),
        (png(750, 300), ""),
        (png(300, 750), ""),
        (png(299, 400), "Image pixel is invalid"),
        (_jpeg(400, 299), "Image pixel is invalid"),
        (png(10, 10), "Image pixel is invalid"),
        (png(751, 300), "resolution or"),
        (_jpeg(300, 751), "resolution or"),
    ],
)
def test_a_picture_of_a_wrong_size_is_taken_and_fails_later(data: bytes, late_failure: str) -> None:
    for path, body in (
        (IMAGE, {"model_name": "kling-v3", "image": bare(data)}),
        (IMAGE, {**V1_6, "mode": "pro", "image": None, "image_tail": bare(data)}),
        (MOTION, {**BODIES[MOTION][0], "image_url": bare(data)}),
        (OMNI, {"prompt": "a", "image_list": [{"image_url": bare(data), "type": "first_frame"}]}),
        ("/v1/videos/avatar/image2video", {"image": bare(data), "audio_id": "1"}),
        ("/v1/images/generations", {"prompt": "a", "image": bare(data)}),
    ):
        found = _order(path, body).late_failure

        assert bool(found) == bool(late_failure)
        assert late_failure in found


PICTURE = bare(png(300, 300))


@table(
    ("value", "message"),
    [
        ("data:image/png;base64," + PICTURE, "File is not in a valid base64 format"),
        ("data:image/jpeg;base64," + PICTURE, "File is not in a valid base64 format"),
        ("photo.png", "File is not in a valid base64 format"),
        ("ftp://a.test/a.png", "File is not in a valid base64 format"),
        ("é" * 8, "File is not in a valid base64 format"),
        (PICTURE[:-1], "File is not in a valid base64 format"),
        (bare(b"GIF89a" + bytes(100)), ""),
        (bare(b"RIFF0000WEBPVP8 " + bytes(100)), ""),
        (bare(png(300, 300)[:10]), ""),
        (bare(_jpeg(300, 300)[:6]), ""),
        (bare(png(300, 300).ljust(10 * MEGABYTE + 1, b"\0")), ""),
    ],
    ids=[*"png-prefix jpeg-prefix file ftp letters cut gif webp half-a-png half-a-jpeg too-big".split()],
)
@table("field", ["image", "image_tail", "static_mask"])
def test_what_is_no_jpeg_or_png_of_ten_megabytes_is_refused(field: str, value: str, message: str) -> None:
    found = _refusal(IMAGE, {**V1_5, field: value})

    assert not message or found == message
    assert len(found) < 200


def test_a_picture_of_just_ten_megabytes_is_taken() -> None:
    assert _order(IMAGE, {**V1_5, "image": bare(png(300, 300).ljust(10 * MEGABYTE, b"\0"))}).late_failure == ""


@table("url", ["http://localhost/none", "https://a.test/a.gif", "HTTPS://A.TEST/a?b=c#d"])
def test_a_picture_by_its_url_is_not_looked_at(url: str) -> None:
    order = _order(IMAGE, {"model_name": "kling-v3", "image": url})

    assert (order.late_failure, order.size) == ("", (1280, 720))


# Sizes

NO_MODE = "-"


@table(
    ("model", "mode", "ratio", "size"),
    [
        ("kling-v3", "std", "16:9", (1280, 720)),
        ("kling-v3", "std", "9:16", (720, 1280)),
        ("kling-v3", "std", "1:1", (720, 720)),
        ("kling-v3", "std", None, (1280, 720)),
        ("kling-v3", "pro", "16:9", (1920, 1080)),
        ("kling-v3", "pro", "9:16", (1080, 1920)),
        ("kling-v3", "pro", "1:1", (1080, 1080)),
        ("kling-v3", "4k", "16:9", (3840, 2160)),
        ("kling-v3", "4k", "9:16", (2160, 3840)),
        ("kling-v3", "4k", "1:1", (2160, 2160)),
        ("kling-v2-6", "std", "16:9", (1280, 720)),
        ("kling-v2-6", "pro", "9:16", (1080, 1920)),
        ("kling-v2-5-turbo", "pro", "16:9", (1920, 1080)),
        ("kling-v1", "std", "16:9", (1280, 720)),
        ("kling-v1", "pro", "1:1", (720, 720)),
        ("kling-v1-6", "std", "9:16", (720, 1280)),
        ("kling-v1-6", "pro", "16:9", (1920, 1080)),
        ("kling-v2-master", NO_MODE, "16:9", (1280, 720)),
        ("kling-v2-1-master", NO_MODE, "9:16", (1080, 1920)),
    ],
)
def test_a_size_follows_from_the_mode_and_the_aspect_ratio(
    model: str, mode: str, ratio: str | None, size: tuple[int, int]
) -> None:
    body = {"model_name": model, "prompt": "a", "aspect_ratio": ratio} | ({} if mode == NO_MODE else {"mode": mode})

    assert _order(TEXT, body).size == size


@table(
    ("model", "mode", "picture", "size"),
    [
        ("kling-v3", "std", (1600, 900), (1280, 720)),
        ("kling-v3", "pro", (900, 1600), (1080, 1920)),
        ("kling-v3", "std", (500, 500), (720, 720)),
        ("kling-v3", "std", (600, 400), (1080, 720)),
        ("kling-v3", "pro", (400, 600), (1080, 1620)),
        ("kling-v3", "std", (300, 750), (720, 1800)),
        ("kling-v3", "std", (1000, 777), (926, 720)),
        ("kling-v1-5", "pro", (400, 600), (1080, 1620)),
        ("kling-v2-1", "std", (400, 600), (720, 1080)),
    ],
)
def test_an_image2video_has_the_shape_of_its_picture(
    model: str, mode: str, picture: tuple[int, int], size: tuple[int, int]
) -> None:
    for make in (png, _jpeg):
        body = {"model_name": model, "mode": mode, "image": bare(make(*picture)), "aspect_ratio": "1:1"}
        assert _order(IMAGE, body).size == size


def test_with_both_frames_the_first_one_gives_the_shape() -> None:
    first, last = bare(png(900, 600)), bare(png(600, 900))

    assert _order(IMAGE, {"model_name": "kling-v3", "image": first, "image_tail": last}).size == (1080, 720)
    assert _order(IMAGE, {**V1_6, "mode": "pro", "image": None, "image_tail": last}).size == (1080, 1620)


# omni-video

O1: dict[str, Any] = {"prompt": "a", "aspect_ratio": "16:9"}
V3_OMNI = {**O1, "model_name": "kling-v3-omni"}
BASE = {"prompt": "a", "video_list": [{"video_url": VIDEO_URL}]}
FEATURE = {**O1, "video_list": [{"video_url": VIDEO_URL, "refer_type": "feature"}]}


def _images(count: int) -> list[dict[str, Any]]:
    return [{"image_url": URL}] * count


def _elements(count: int) -> list[dict[str, Any]]:
    return [{"element_id": 1}] * count


@table(
    ("body", "named"),
    [
        ({**V3_OMNI, "duration": "2"}, "duration value '2' is invalid"),
        ({**V3_OMNI, "duration": "16"}, "duration value '16' is invalid"),
        ({**O1, "image_list": _images(1), "duration": "11"}, "duration value '11' is invalid"),
        ({**O1, "duration": "7"}, "Duration only supports 5 or 10 seconds when no refer_image is provided"),
        ({**O1, "duration": "3"}, "Duration only supports 5 or 10 seconds when no refer_image is provided"),
        ({**O1, "mode": "4k"}, "mode value '4k' is invalid"),
        ({**O1, "mode": "standard"}, "mode value 'standard' is invalid"),
        ({**V3_OMNI, "mode": "8k"}, "mode value '8k' is invalid"),
        ({"prompt": "a"}, "aspect_ratio"),
        ({"prompt": "a", "image_list": _images(1)}, "aspect_ratio"),
        ({"prompt": "a", "image_list": [{"image_url": URL, "type": "end_frame"}]}, "aspect_ratio"),
        ({**FEATURE, "aspect_ratio": None}, "aspect_ratio"),
        ({**O1, "aspect_ratio": "7:3"}, "aspect_ratio"),
        ({**O1, "prompt": "x" * 2501}, "prompt"),
        ({**O1, "image_list": _images(8)}, ""),
        ({**O1, "image_list": _images(4), "element_list": _elements(4)}, ""),
        ({**BASE, "image_list": _images(5)}, ""),
        ({**FEATURE, "image_list": _images(2), "element_list": _elements(3)}, ""),
        ({**O1, "image_list": [{}]}, "image_url"),
        ({**O1, "image_list": [{"image_url": URL, "type": "last_frame"}]}, "type"),
        ({**O1, "image_list": [{"image_url": "data:image/png;base64,AA"}]}, "File is not in a valid base64 format"),
        ({**BASE, "video_list": [{"video_url": VIDEO_URL}] * 2}, "video_list"),
        ({**BASE, "video_list": [{"refer_type": "base"}]}, "video_url"),
        ({**BASE, "video_list": [{"video_url": VIDEO_URL, "refer_type": "other"}]}, "refer_type"),
        ({**BASE, "video_list": [{"video_url": VIDEO_URL, "keep_original_sound": True}]}, "keep_original_sound"),
        ({**O1, "sound": "loud"}, "sound"),
        ({**V3_OMNI, "multi_shot": True}, "shot_type"),
        ({**V3_OMNI, "shot_type": "customize"}, "shot_type"),
        ({**V3_OMNI, "model_name": "kling-v3"}, "model is not supported"),
    ],
)
def test_an_invalid_omni_video_is_refused(body: dict[str, Any], named: str) -> None:
    assert named in _refusal(OMNI, body)


@table(
    ("body", "model", "mode", "seconds"),
    [
        (O1, "kling-video-o1", "pro", 5),
        ({**O1, "duration": "10", "mode": "std"}, "kling-video-o1", "std", 10),
        *(({**O1, "image_list": _images(1), "duration": str(n)}, "kling-video-o1", "pro", n) for n in range(3, 11)),
        *(({**V3_OMNI, "duration": str(n), "mode": "4k"}, "kling-v3-omni", "4k", n) for n in range(3, 16)),
        ({**V3_OMNI, "sound": "on", "mode": "std"}, "kling-v3-omni", "std", 5),
        ({**O1, "image_list": _images(7)}, "kling-video-o1", "pro", 5),
        ({**O1, "image_list": _images(3), "element_list": _elements(4)}, "kling-video-o1", "pro", 5),
        ({**BASE, "image_list": _images(2), "element_list": _elements(2)}, "kling-video-o1", "pro", 5),
        ({"prompt": "a", "image_list": [{"image_url": URL, "type": "first_frame"}]}, "kling-video-o1", "pro", 5),
        (BASE, "kling-video-o1", "pro", 5),
        ({**BASE, "model_name": "kling-v3-omni"}, "kling-v3-omni", "pro", 5),
        (FEATURE, "kling-video-o1", "pro", 5),
        ({**SHOTS, **V3_OMNI, "prompt": None}, "kling-v3-omni", "pro", 5),
    ],
)
def test_an_omni_video_is_pro_of_o1_unless_it_says_otherwise(
    body: dict[str, Any], model: str, mode: str, seconds: int
) -> None:
    order = _order(OMNI, body)

    assert (order.model, order.mode, order.seconds, order.retired) == (model, mode, seconds, False)


@table("duration", some("99", "abc", "-5", 2.5, [1], {"a": 1}, math.inf))
def test_an_omni_video_that_edits_ignores_a_duration(duration: Any) -> None:
    assert _order(OMNI, {**BASE, "duration": duration}) == _order(OMNI, BASE)


@table(
    ("body", "size"),
    [
        ({**V3_OMNI, "aspect_ratio": "9:16"}, (1080, 1920)),
        ({**V3_OMNI, "aspect_ratio": "1:1", "mode": "4k"}, (2160, 2160)),
        ({**O1, "image_list": [{"image_url": bare(png(400, 600)), "type": "first_frame"}]}, (1080, 1620)),
        ({**O1, "image_list": [{"image_url": bare(png(400, 600))}]}, (1920, 1080)),
    ],
)
def test_an_omni_video_has_the_shape_of_its_first_frame_only(body: dict[str, Any], size: tuple[int, int]) -> None:
    assert _order(OMNI, body).size == size


# motion-control

MOVE = {"image_url": URL, "video_url": VIDEO_URL, "character_orientation": "image", "mode": "std"}


@table(
    ("more", "named"),
    [
        *(({name: value}, name) for name in MOVE for value in (None, "", "other", 5)),
        ({"mode": "4k"}, "mode value '4k' is invalid"),
        ({"keep_original_sound": "maybe"}, "keep_original_sound"),
        ({"element_list": _elements(1)}, "element_list"),
        ({"character_orientation": "video", "element_list": _elements(2)}, "element_list"),
        ({"image_url": "data:image/png;base64,AA"}, "File is not in a valid base64 format"),
        ({"model_name": "kling-v2-5-turbo"}, "model is not supported"),
        ({"prompt": "x" * 2501}, "prompt"),
    ],
)
def test_an_invalid_motion_control_is_refused(more: dict[str, Any], named: str) -> None:
    message = _refusal(MOTION, {**MOVE, **more})

    assert named in message or (named == "image_url" and message == "File is not in a valid base64 format")


@table(
    ("more", "model", "mode"),
    [
        ({}, "kling-v2-6", "std"),
        ({"mode": "pro"}, "kling-v2-6", "pro"),
        ({"model_name": "kling-v3", "mode": "pro", "keep_original_sound": "no"}, "kling-v3", "pro"),
        ({"character_orientation": "video", "element_list": _elements(1)}, "kling-v2-6", "std"),
    ],
)
def test_a_motion_control_is_taken(more: dict[str, Any], model: str, mode: str) -> None:
    order = _order(MOTION, {**MOVE, **more})

    assert (order.model, order.mode, order.retired, order.late_failure) == (model, mode, False, "")


# The other endpoints: bodies that they take, each with all of the endpoint's fields somewhere

COMMON = {"callback_url": "https://a.test/hook", "external_task_id": "1", "watermark_info": {"enabled": True}}
FACE = {
    "face_id": "0",
    "sound_file": URL,
    "sound_start_time": 0,
    "sound_end_time": 3000,
    "sound_insert_time": 1000,
    "sound_volume": 1,
    "original_audio_volume": 1,
}
SPOKEN = {"mode": "text2video", "video_id": "1", "text": "a", "voice_id": "AOT", "voice_language": "en"}
EXPAND = {f"{side}_expansion_ratio": 0.5 for side in ("up", "down", "left", "right")}
BODIES: dict[str, list[dict[str, Any]]] = {
    TEXT: [
        {**V3, **COMMON, "negative_prompt": "b", "sound": "on", "aspect_ratio": "9:16", "mode": "pro", "duration": "7"},
        {**V1, "cfg_scale": 0.5, "camera_control": SIMPLE},
        {**V2_6, "sound": "on", "voice_list": [{"voice_id": "1"}]},
        SHOTS,
    ],
    IMAGE: [
        {**V3, **COMMON, "image": URL, "image_tail": URL, "element_list": _elements(1), "sound": "on", "mode": "4k"},
        {**V1_5, "static_mask": URL, "dynamic_masks": [{"mask": URL, "trajectories": POINTS}], "duration": "5"},
        {**V1_5, "camera_control": SIMPLE, "negative_prompt": "b", "cfg_scale": 0.5},
        {**SHOTS, "image": PICTURE},
    ],
    OMNI: [
        {**V3_OMNI, **COMMON, "sound": "on", "mode": "std", "duration": "7", "element_list": _elements(1)},
        {**O1, "image_list": [{"image_url": PICTURE, "type": "first_frame"}], "duration": "7"},
        {**BASE, "video_list": [{"video_url": VIDEO_URL, "refer_type": "base", "keep_original_sound": "no"}]},
        {**FEATURE, "duration": "10"},
        {**SHOTS, **V3_OMNI},
    ],
    MOTION: [
        {**MOVE, **COMMON, "model_name": "kling-v3", "keep_original_sound": "no", "prompt": "a"},
        {**MOVE, "character_orientation": "video", "element_list": _elements(1)},
    ],
    MULTI_IMAGE: [
        {
            **COMMON,
            "model_name": "kling-v1-6",
            "image_list": [{"image": PICTURE}],
            "prompt": "a",
            "negative_prompt": "b",
            "mode": "pro",
            "duration": "10",
            "aspect_ratio": "1:1",
        }
    ],
    MULTI_ELEMENTS: [
        {
            **COMMON,
            "model_name": "kling-v1-6",
            "session_id": "1",
            "edit_mode": "swap",
            "image_list": [{"image": PICTURE}],
            "prompt": "a",
            "negative_prompt": "b",
            "mode": "std",
            "duration": "5",
        }
    ],
    "/v1/videos/video-extend": [
        {
            "video_id": "1",
            "prompt": "a",
            "negative_prompt": "b",
            "cfg_scale": 0.5,
            "callback_url": "https://a.test/hook",
        }
    ],
    "/v1/videos/lip-sync": [
        {"input": {**SPOKEN, "voice_speed": 1.5}, **COMMON},
        {"input": {"mode": "audio2video", "video_url": VIDEO_URL, "audio_type": "url", "audio_url": URL}},
        {"input": {"mode": "audio2video", "video_url": VIDEO_URL, "audio_type": "file", "audio_file": PICTURE}},
    ],
    "/v1/videos/advanced-lip-sync": [
        {"session_id": "1", "face_choose": [FACE], **COMMON},
        {"session_id": "1", "face_choose": [{**FACE, "sound_file": None, "audio_id": "1"}]},
    ],
    "/v1/videos/avatar/image2video": [
        {"image": PICTURE, "audio_id": "1", "prompt": "a", "mode": "pro", **COMMON},
        {"image": URL, "sound_file": URL},
    ],
    "/v1/videos/effects": [
        {"effect_scene": "pet_skateboard", "input": {"images": [PICTURE, URL]}, **COMMON},
        {"effect_scene": "bloombloom", "input": {"image": PICTURE}},
    ],
    "/v1/images/generations": [
        {
            **COMMON,
            "model_name": "kling-v3",
            "prompt": "a",
            "negative_prompt": "b",
            "resolution": "2k",
            "n": 2,
            "aspect_ratio": "21:9",
            "element_list": _elements(1),
        },
        {"prompt": "a", "image": PICTURE, "image_fidelity": 0.5, "human_fidelity": 0.45, "image_reference": "face"},
    ],
    "/v1/images/omni-image": [
        {
            **COMMON,
            "model_name": "kling-v3-omni",
            "prompt": "a",
            "image_list": [{"image": PICTURE}],
            "element_list": _elements(1),
            "resolution": "4k",
            "result_type": "series",
            "series_amount": 2,
            "n": 1,
            "aspect_ratio": "auto",
        }
    ],
    "/v1/images/multi-image2image": [
        {
            **COMMON,
            "model_name": "kling-v2-1",
            "prompt": "a",
            "subject_image_list": [{"subject_image": PICTURE}],
            "scene_image": PICTURE,
            "style_image": PICTURE,
            "n": 3,
            "aspect_ratio": "3:2",
        }
    ],
    "/v1/images/editing/expand": [{"image": PICTURE, "prompt": "a", "n": 1, **EXPAND, **COMMON}],
    "/v1/images/kolors-virtual-try-on": [
        {"model_name": "kolors-virtual-try-on-v1", "human_image": PICTURE, "cloth_image": URL, **COMMON}
    ],
    "/v1/general/ai-multi-shot": [{"element_frontal_image": PICTURE, **COMMON}],
    "/v1/audio/text-to-audio": [{"prompt": "rain", "duration": 3.5, **COMMON}],
    "/v1/audio/video-to-audio": [
        {"video_url": VIDEO_URL, "sound_effect_prompt": "a", "bgm_prompt": "b", "asmr_mode": False, **COMMON},
        {"video_id": "1"},
    ],
    **{
        f"/v1/general/{name}": [
            {
                **COMMON,
                "element_name": "Cat",
                "element_description": "A cat",
                "reference_type": "image_refer",
                "element_image_list": {"frontal_image": PICTURE, "refer_images": [{"image_url": URL}]},
                "element_voice_id": "1",
                "tag_list": [{"tag_id": "o_101"}],
            },
            {
                "element_name": "Cat",
                "reference_type": "video_refer",
                "element_video_list": {"refer_videos": [{"video_url": VIDEO_URL}]},
            },
        ]
        for name in ("advanced-custom-elements", "custom-elements")
    },
    "/v1/general/custom-voices": [
        {"voice_name": "Bob", "voice_url": "https://a.test/a.mp3", **COMMON},
        {"voice_name": "Bob", "video_id": "1"},
    ],
}


def test_every_endpoint_has_bodies_here() -> None:
    assert BODIES.keys() == ENDPOINTS.keys()


@table("path", BODIES)
def test_a_body_with_all_fields_is_taken_and_unknown_ones_are_ignored(path: str) -> None:
    odd = {"model": "kling-v9", "nobody_knows": [{}], "seed": 10**400, "settings": {"mode": "x"}, "n_": math.nan}
    for body in BODIES[path]:
        assert _order(path, {**body, **odd}) == _order(path, body)
        assert _order(path, {**body, "": 1, "\ud800": "\ud800"}) == _order(path, body)


@table(
    ("path", "needed"),
    [
        (MULTI_IMAGE, "prompt image_list"),
        (MULTI_ELEMENTS, "session_id edit_mode"),
        ("/v1/videos/video-extend", "video_id"),
        ("/v1/videos/lip-sync", "input"),
        ("/v1/videos/advanced-lip-sync", "session_id face_choose"),
        ("/v1/videos/avatar/image2video", "image audio_id"),
        ("/v1/videos/effects", "effect_scene input"),
        ("/v1/images/generations", "prompt"),
        ("/v1/images/multi-image2image", "subject_image_list"),
        ("/v1/images/editing/expand", "image"),
        ("/v1/images/kolors-virtual-try-on", "human_image"),
        ("/v1/general/ai-multi-shot", "element_frontal_image"),
        ("/v1/audio/text-to-audio", "prompt duration"),
        ("/v1/audio/video-to-audio", "video_url"),
        ("/v1/general/custom-voices", "voice_name voice_url"),
    ],
)
def test_a_missing_required_field_is_refused(path: str, needed: str) -> None:
    for name in needed.split():
        body = {key: value for key, value in BODIES[path][0].items() if key != name}
        assert _refusal(path, body)
        assert _refusal(path, {**body, name: None})


@table(
    ("path", "more"),
    [
        (MULTI_IMAGE, {"image_list": [{"image": URL}] * 5}),
        (MULTI_IMAGE, {"image_list": []}),
        (MULTI_IMAGE, {"duration": "7"}),
        (MULTI_IMAGE, {"mode": "4k"}),
        (MULTI_IMAGE, {"prompt": "x" * 2501}),
        (MULTI_ELEMENTS, {"edit_mode": "paint"}),
        ("/v1/videos/lip-sync", {"input": {**SPOKEN, "mode": "other"}}),
        ("/v1/videos/lip-sync", {"input": {**SPOKEN, "text": "x" * 121}}),
        ("/v1/videos/lip-sync", {"input": {**SPOKEN, "voice_speed": 0.7}}),
        ("/v1/videos/lip-sync", {"input": {**SPOKEN, "voice_speed": 2.1}}),
        ("/v1/videos/lip-sync", {"input": {**SPOKEN, "voice_language": "de"}}),
        ("/v1/videos/advanced-lip-sync", {"face_choose": [FACE, FACE]}),
        ("/v1/videos/advanced-lip-sync", {"face_choose": [{**FACE, "sound_volume": 2.1}]}),
        ("/v1/videos/avatar/image2video", {"sound_file": URL}),
        ("/v1/videos/effects", {"input": {"images": [URL]}}),
        ("/v1/videos/effects", {"input": {"images": [URL] * 3}}),
        ("/v1/videos/effects", {"input": {}}),
        ("/v1/images/generations", {"n": 0}),
        ("/v1/images/generations", {"n": 10}),
        ("/v1/images/generations", {"resolution": "4k"}),
        ("/v1/images/generations", {"aspect_ratio": "auto"}),
        ("/v1/images/omni-image", {"model_name": "kling-v3"}),
        ("/v1/images/omni-image", {"resolution": "8k"}),
        ("/v1/images/multi-image2image", {"subject_image_list": [{"subject_image": URL}] * 5}),
        ("/v1/images/multi-image2image", {"model_name": "kling-v3"}),
        ("/v1/images/editing/expand", {"up_expansion_ratio": 2.1}),
        ("/v1/images/kolors-virtual-try-on", {"model_name": "kling-v3"}),
        ("/v1/audio/text-to-audio", {"prompt": "x" * 201}),
        ("/v1/audio/text-to-audio", {"duration": 2.9}),
        ("/v1/audio/text-to-audio", {"duration": 10.1}),
        ("/v1/audio/video-to-audio", {"video_id": "1"}),
        ("/v1/audio/video-to-audio", {"bgm_prompt": "x" * 201}),
        ("/v1/general/advanced-custom-elements", {"element_name": "x" * 21}),
        ("/v1/general/advanced-custom-elements", {"element_description": "x" * 101}),
        ("/v1/general/custom-voices", {"voice_name": "x" * 21}),
        ("/v1/general/custom-voices", {"video_id": "1"}),
    ],
)
def test_a_value_out_of_its_range_is_refused(path: str, more: dict[str, Any]) -> None:
    assert _refusal(path, {**BODIES[path][0], **more})


@table(
    ("path", "more", "retired"),
    [
        ("/v1/images/generations", {}, False),
        ("/v1/images/generations", {"model_name": "kling-v2-1"}, False),
        ("/v1/images/generations", {"model_name": "kling-v1-5"}, True),
        ("/v1/images/generations", {"model_name": "kling-v2"}, True),
        ("/v1/images/omni-image", {}, False),
        ("/v1/images/multi-image2image", {}, False),
        ("/v1/images/multi-image2image", {"model_name": "kling-v2"}, True),
    ],
)
def test_pictures_are_of_the_other_pack_and_take_a_slot_each(path: str, more: dict[str, Any], retired: bool) -> None:
    body = {**BODIES[path][0], **more}
    order = _order(path, body)

    assert (order.pack, order.slots, order.count, order.retired) == ("image", body["n"], body["n"], retired)


# Hostile values

HOSTILE = some(
    *(None, True, False, 0, -1, 1.5, 10**400, -(10**400), math.nan, math.inf, -math.inf),
    *("", "x", "\ud800", "\0", "http://[", "http://\ud800", "https://a.test:x/", "AAAA", "x" * 20_000, "٣"),
    *([], [None], [[]], [{}], ["x"] * 3, {}, {"a": []}, {"type": []}, {"mode": {}}),
)
FIELDS = """
    model_name model prompt negative_prompt multi_shot shot_type multi_prompt sound voice_list cfg_scale mode
    camera_control aspect_ratio duration watermark_info callback_url external_task_id image image_tail static_mask
    dynamic_masks element_list image_list video_list image_url video_url character_orientation keep_original_sound
    video_id input session_id face_choose audio_id sound_file effect_scene edit_mode resolution n image_reference
    image_fidelity human_fidelity result_type series_amount subject_image_list scene_image style_image human_image
    cloth_image up_expansion_ratio element_frontal_image asmr_mode bgm_prompt sound_effect_prompt element_name
    element_description reference_type element_image_list element_video_list element_voice_id tag_list voice_name
    voice_url settings options contents
""".split()


def _spoiled(value: Any, bad: Any) -> Iterator[Any]:
    """Copies of a value, each with one thing in it replaced."""
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            for inner in (bad, *_spoiled(value[key], bad)):
                copy: Any = value.copy()
                copy[key] = inner
                yield copy


class _Asked(Mapping[str, Any]):
    """A body that notes which fields a rule looks at; all of FIELDS where it looks at the whole."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body, self.names = body, set[str]()

    def __getitem__(self, name: str) -> Any:
        self.names.add(name)
        return self.body[name]

    def __iter__(self) -> Iterator[str]:
        self.names |= {*FIELDS}
        return iter(self.body)

    def __len__(self) -> int:
        return len(self.body)


def _looked_at(path: str, base: dict[str, Any]) -> list[str]:
    """The fields on which it depends what becomes of a body: any other may be what it likes."""
    asked = _Asked(base)
    with contextlib.suppress(KlingError):
        ENDPOINTS[path].rule(asked)
    return sorted(asked.names & {*FIELDS})


@table("path", BODIES)
def test_no_value_of_any_field_raises_anything_but_a_refusal(path: str) -> None:
    wrong = []
    for base in (*BODIES[path], {}):
        names = _looked_at(path, base)
        for body in (
            body for bad in HOSTILE for body in (*_spoiled(base, bad), *({**base, name: bad} for name in names))
        ):
            try:
                order = _order(path, body)
                sane = 0 <= order.units < 1000 and 0 <= order.seconds <= 30 and min(order.size) > 0
            except KlingError as error:
                sane = 0 < len(error.message) < 500
            except Exception as error:
                wrong.append((type(error).__name__, str(error)[:60], json.dumps(body)[:200]))
                continue
            if not sane:
                wrong.append(("odd", "", json.dumps(body)[:200]))

    assert wrong[:3] == []
