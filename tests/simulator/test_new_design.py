"""Validation of creates of the new design: all combinations of settings, each rule's message, hostile values."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Container, Iterator
from typing import Any

import pytest

from mitm_ai_proxy.simulator import new_design
from mitm_ai_proxy.simulator.kling_error import KlingError
from mitm_ai_proxy.simulator.rules import Order
from tests.simulator.creates import MEGABYTE, URL, VIDEO_URL, bare, png, refusal, some
from tests.tables import table

TEXT, IMAGE, OMNI, MOTION = "text-to-video", "image-to-video", "omni-video", "motion-control"
PROMPT = {"type": "prompt", "text": "a"}
FIRST = {"type": "first_frame", "url": URL}
LAST = {"type": "last_frame", "url": URL}
VOICE = {"type": "voice", "voice_id": "1"}
ELEMENT = {"type": "element", "element_id": 1}
BASE = {"type": "base_video", "url": VIDEO_URL}
FEATURE = {"type": "feature_video", "url": VIDEO_URL}
MOVE = [{"type": "image", "url": URL}, {"type": "video", "url": VIDEO_URL}]


def _order(path: str, body: Any) -> Order:
    kind, _, name = path.partition("/")
    return new_design.order(kind, name, body)


def _refusal(path: str, body: Any) -> str:
    return refusal(_order, path, body)


# path | legacy name | resolutions | durations | native audio at | both frames at
TABLE = """
text-to-video/kling-3.0         | kling-v3         | 720p 1080p 4k | 3-15 | 720p 1080p 4k |
text-to-video/kling-3.0-turbo   | kling-3.0-turbo  | 720p 1080p    | 3-15 | no field      |
text-to-video/kling-2.6         | kling-v2-6       | 720p 1080p    | 5 10 | 1080p         |
text-to-video/kling-2.5-turbo   | kling-v2-5-turbo | 720p 1080p    | 5 10 |               |
image-to-video/kling-3.0        | kling-v3         | 720p 1080p 4k | 3-15 | 720p 1080p 4k | 720p 1080p 4k
image-to-video/kling-3.0-turbo  | kling-3.0-turbo  | 720p 1080p    | 3-15 | no field      |
image-to-video/kling-2.6        | kling-v2-6       | 720p 1080p    | 5 10 | 1080p         | 1080p
image-to-video/kling-2.5-turbo  | kling-v2-5-turbo | 720p 1080p    | 5 10 |               | 1080p
omni-video/kling-3.0-omni       | kling-v3-omni    | 720p 1080p 4k | 3-15 | 720p 1080p 4k | 720p 1080p 4k
omni-video/kling-o1             | kling-video-o1   | 720p 1080p    | 3-10 |               | 720p 1080p
motion-control/kling-3.0        | kling-v3         | 720p 1080p    | any  |               |
motion-control/kling-2.6        | kling-v2-6       | 720p 1080p    | any  |               |
"""
ROWS = {
    cells[0]: cells[1:] for cells in ([cell.strip() for cell in line.split("|")] for line in TABLE.strip().splitlines())
}
LENGTHS: dict[str, Container[int]] = {"3-15": range(3, 16), "3-10": range(3, 11), "5 10": (5, 10), "any": (5, 10)}
MODES = {"720p": "std", "1080p": "pro", "4k": "4k"}
FRAMES: dict[str, list[dict[str, Any]]] = {"first": [FIRST], "both": [FIRST, LAST]}


@table("path", ROWS)
def test_a_model_takes_what_the_table_says_and_nothing_else(path: str) -> None:
    legacy, resolutions, durations, native, both = ROWS[path]
    kind = path.partition("/")[0]
    frames = {TEXT: ["first"], MOTION: ["first"]}.get(kind, [*FRAMES])
    # How long a motion control may be, and what an audio does where there is no such field, is not documented.
    lengths = some(None, 5, 10) if kind == MOTION else some(None, 1, 2, 3, 5, 7, 10, 11, 15, 16, 99, "5", 5.5, True)
    sounds = some(None, "off", "original") if kind == MOTION else some(None, "off", "native", "bogus")
    sounds = some(None, "off") if native == "no field" else sounds
    wrong = []
    for resolution, length, sound, frame in itertools.product(
        (None, "720p", "1080p", "4k", "9000p", "std", 720), lengths, sounds, frames
    ):
        asked = {"resolution": resolution, "duration": length, "audio": sound}
        body: dict[str, Any] = {"settings": {name: value for name, value in asked.items() if value is not None}}
        contents = MOVE if kind == MOTION else [PROMPT, *FRAMES[frame]]
        body |= {"prompt": "a"} if kind == TEXT else {"contents": contents}
        shown, seconds = resolution or "720p", 5 if length is None else length
        is_taken = (
            shown in resolutions.split()
            and type(seconds) is int
            and seconds in LENGTHS[durations]
            and (sound in (None, "off", "original") or (sound == "native" and shown in native.split()))
            and (frame == "first" or shown in both.split())
        )
        expected: Any = (legacy, MODES.get(str(shown), ""), seconds, False, "", "video") if is_taken else 1201
        try:
            order = _order(path, body)
            got: Any = (order.model, order.mode, order.seconds, order.retired, order.late_failure, order.pack)
        except KlingError as error:
            got = error.code
        if got != expected:
            wrong.append((asked, frame, got, expected))

    assert wrong == []


def test_no_model_is_missing() -> None:
    assert {f"{kind}/{name}" for kind, models in new_design.MODELS.items() for name in models} == ROWS.keys()


@table(
    "path",
    ["text-to-video/kling-4.0", "text-to-video/kling-v3", "omni-video/kling-3.0", "motion-control/kling-3.0-turbo"],
)
def test_a_model_that_is_not_there_is_1203(path: str) -> None:
    with pytest.raises(KlingError) as caught:
        _order(path, {"prompt": "a", "contents": [PROMPT, FIRST]})

    assert (caught.value.code, caught.value.status) == (1203, 404)


@table(
    ("path", "body", "message"),
    [
        ("image-to-video/kling-3.0", {}, "contents cannot be empty"),
        ("image-to-video/kling-3.0", {"contents": []}, "contents cannot be empty"),
        ("image-to-video/kling-3.0", {"contents": None}, "contents cannot be empty"),
        ("image-to-video/kling-3.0", {"contents": {"type": "prompt"}}, "contents cannot be empty"),
        ("omni-video/kling-o1", {"prompt": "a"}, "contents cannot be empty"),
        ("motion-control/kling-2.6", {"image_url": URL}, "contents cannot be empty"),
        (
            "image-to-video/kling-3.0",
            {"contents": [{"type": "prompt", "text": "x" * 3073}, FIRST]},
            "contents[0].text: size must be between 0 and 3072",
        ),
        (
            "image-to-video/kling-3.0-turbo",
            {"contents": [FIRST, {"type": "prompt", "text": "x" * 3073}]},
            "contents[1].text: size must be between 0 and 3072",
        ),
        (
            "image-to-video/kling-2.6",
            {"contents": [{"type": "prompt", "text": "x" * 2501}, FIRST]},
            "contents[0].text: size must be between 0 and 2500",
        ),
        (
            "text-to-video/kling-3.0",
            {"prompt": "a", "settings": {"resolution": "9000p"}},
            "settings.resolution value '9000p' is invalid",
        ),
        (
            "text-to-video/kling-2.6",
            {"prompt": "a", "settings": {"resolution": "4k"}},
            "settings.resolution value '4k' is invalid",
        ),
        (
            "text-to-video/kling-3.0",
            {"prompt": "a", "settings": {"audio": "bogus"}},
            "settings.audio value 'bogus' is invalid",
        ),
        (
            "text-to-video/kling-3.0",
            {"prompt": "a", "settings": {"aspect_ratio": "7:3"}},
            "settings.aspect_ratio value '7:3' is invalid",
        ),
        (
            "image-to-video/kling-3.0",
            {"contents": [{"type": "first_frame", "url": "data:image/png;base64,AA"}]},
            "File is not in a valid base64 format",
        ),
    ],
)
def test_a_refusal_has_kling_s_own_words(path: str, body: dict[str, Any], message: str) -> None:
    assert _refusal(path, body) == message


@table(
    ("path", "body", "named"),
    [
        # Settings and options
        ("text-to-video/kling-3.0", {"prompt": "a", "settings": {"duration": 16}}, "settings.duration"),
        ("text-to-video/kling-3.0", {"prompt": "a", "settings": {"duration": "5"}}, "settings.duration"),
        ("text-to-video/kling-2.5-turbo", {"prompt": "a", "settings": {"duration": 7}}, "settings.duration"),
        ("text-to-video/kling-3.0", {"prompt": "a", "settings": {"multi_shot": "true"}}, "settings.multi_shot"),
        ("text-to-video/kling-3.0", {"prompt": "a", "settings": "720p"}, "settings"),
        ("text-to-video/kling-3.0", {"prompt": "a", "settings": [1]}, "settings"),
        ("text-to-video/kling-3.0", {"prompt": "a", "options": "x"}, "options"),
        ("text-to-video/kling-3.0", {"prompt": "a", "options": {"callback_url": "a.test"}}, "options.callback_url"),
        ("text-to-video/kling-3.0", {"prompt": "a", "options": {"external_task_id": 5}}, "options.external_task_id"),
        (
            "text-to-video/kling-3.0",
            {"prompt": "a", "options": {"watermark_info": {"enabled": "yes"}}},
            "options.watermark_info.enabled",
        ),
        (
            "motion-control/kling-3.0",
            {"contents": MOVE, "settings": {"character_orientation": "left"}},
            "settings.character_orientation",
        ),
        # The prompt
        ("text-to-video/kling-3.0", {}, "prompt"),
        ("text-to-video/kling-3.0", {"prompt": ""}, "prompt"),
        ("text-to-video/kling-3.0", {"prompt": 5}, "prompt"),
        ("text-to-video/kling-3.0", {"prompt": "x" * 3073}, "prompt"),
        ("text-to-video/kling-3.0-turbo", {"prompt": "x" * 3073}, "prompt"),
        ("text-to-video/kling-2.6", {"prompt": "x" * 2501}, "prompt"),
        ("text-to-video/kling-2.5-turbo", {"prompt": "x" * 2501}, "prompt"),
        ("text-to-video/kling-3.0", {"contents": [PROMPT]}, "prompt"),
        # Contents
        ("image-to-video/kling-3.0", {"contents": ["a"]}, "contents[0]"),
        ("image-to-video/kling-3.0", {"contents": [FIRST, None]}, "contents[1]"),
        ("image-to-video/kling-3.0", {"contents": [{"text": "a"}]}, "contents[0].type"),
        ("image-to-video/kling-3.0", {"contents": [{"type": "picture", "url": URL}]}, "contents[0].type"),
        ("image-to-video/kling-3.0", {"contents": [{"type": "prompt"}, FIRST]}, "contents[0].text"),
        ("image-to-video/kling-3.0", {"contents": [FIRST, {"type": "element"}]}, "contents[1].element_id"),
        ("image-to-video/kling-3.0", {"contents": [FIRST, {"type": "voice"}]}, "contents[1].voice_id"),
        ("omni-video/kling-o1", {"contents": [PROMPT, {"type": "base_video"}]}, "contents[1].url"),
        ("omni-video/kling-o1", {"contents": [PROMPT, {"type": "feature_video", "url": "x"}]}, "contents[1].url"),
        ("image-to-video/kling-3.0", {"contents": [PROMPT]}, "first_frame"),
        ("motion-control/kling-2.6", {"contents": MOVE[:1]}, "video"),
        ("motion-control/kling-2.6", {"contents": MOVE[1:]}, "image"),
        # What goes together
        ("text-to-video/kling-2.6", {"prompt": "a", "settings": {"audio": "native"}}, "settings.audio"),
        ("image-to-video/kling-2.6", {"contents": [FIRST, LAST]}, "last_frame"),
        ("image-to-video/kling-2.5-turbo", {"contents": [FIRST, LAST]}, "last_frame"),
        (
            "image-to-video/kling-3.0-turbo",
            {"contents": [FIRST, LAST], "settings": {"resolution": "1080p"}},
            "last_frame",
        ),
        ("image-to-video/kling-3.0", {"contents": [FIRST, *[ELEMENT] * 4]}, "element"),
        ("motion-control/kling-3.0", {"contents": [*MOVE, *[ELEMENT] * 2]}, "element"),
        (
            "image-to-video/kling-2.6",
            {"contents": [FIRST, *[VOICE] * 3], "settings": {"audio": "native", "resolution": "1080p"}},
            "voice",
        ),
        ("image-to-video/kling-2.6", {"contents": [FIRST, VOICE]}, "voice"),
        (
            "image-to-video/kling-2.6",
            {"contents": [FIRST, VOICE], "settings": {"audio": "off", "resolution": "1080p"}},
            "voice",
        ),
        ("omni-video/kling-3.0-omni", {"contents": [PROMPT, BASE, FIRST]}, "base_video"),
        ("omni-video/kling-3.0-omni", {"contents": [PROMPT, BASE, LAST]}, "base_video"),
        ("omni-video/kling-3.0-omni", {"contents": [PROMPT, BASE], "settings": {"audio": "native"}}, "base_video"),
        (
            "omni-video/kling-3.0-omni",
            {"contents": [PROMPT, FEATURE], "settings": {"audio": "native"}},
            "feature_video",
        ),
        (
            "omni-video/kling-3.0-omni",
            {"contents": [PROMPT, FEATURE], "settings": {"audio": "original"}},
            "feature_video",
        ),
        ("omni-video/kling-o1", {"contents": [PROMPT, FEATURE], "settings": {"audio": "original"}}, "feature_video"),
    ],
)
def test_what_a_rule_forbids_is_refused_by_its_field(path: str, body: dict[str, Any], named: str) -> None:
    message = _refusal(path, body)

    assert named in message
    assert len(message) < 200


@table(
    ("path", "body"),
    [
        ("text-to-video/kling-3.0", {"prompt": "\U0001f3ac" * 3072}),
        ("text-to-video/kling-3.0-turbo", {"prompt": "x" * 3072}),
        ("text-to-video/kling-2.6", {"prompt": "x" * 2500}),
        ("text-to-video/kling-3.0", {"prompt": "a", "settings": None, "options": None}),
        ("text-to-video/kling-3.0", {"prompt": "a", "settings": {}, "options": {}}),
        ("text-to-video/kling-3.0", {"prompt": "a", "settings": {"multi_shot": True, "mode": "bogus", "seed": 5}}),
        ("image-to-video/kling-3.0", {"contents": [{"type": "prompt", "text": ""}, FIRST]}),
        ("image-to-video/kling-3.0", {"contents": [{**FIRST, "id": "cat"}, *[{**ELEMENT, "id": "b"}] * 3]}),
        (
            "image-to-video/kling-2.6",
            {"contents": [FIRST, VOICE, VOICE], "settings": {"audio": "native", "resolution": "1080p"}},
        ),
        ("omni-video/kling-3.0-omni", {"contents": [PROMPT, BASE]}),
        ("omni-video/kling-3.0-omni", {"contents": [PROMPT, BASE], "settings": {"audio": "original"}}),
        ("omni-video/kling-o1", {"contents": [PROMPT, FEATURE], "settings": {"audio": "off"}}),
        ("omni-video/kling-o1", {"contents": [PROMPT, FEATURE, {"type": "refer_image", "url": URL}]}),
        ("motion-control/kling-3.0", {"contents": [*MOVE, ELEMENT], "settings": {"character_orientation": "video"}}),
        ("motion-control/kling-2.6", {"contents": [*MOVE, PROMPT], "settings": {"audio": "original"}}),
    ],
)
def test_what_a_rule_just_allows_is_taken(path: str, body: dict[str, Any]) -> None:
    assert _order(path, body).late_failure == ""


@table("name", ["resolution", "aspect_ratio", "duration", "audio", "multi_shot", "character_orientation"])
def test_a_null_setting_counts_as_missing(name: str) -> None:
    body = {"prompt": "a"}

    assert _order("text-to-video/kling-3.0", {**body, "settings": {name: None}}) == _order(
        "text-to-video/kling-3.0", body
    )


@table(
    ("settings", "size"),
    [
        ({"resolution": "720p"}, (1280, 720)),
        ({"resolution": "720p", "aspect_ratio": "9:16"}, (720, 1280)),
        ({"resolution": "1080p", "aspect_ratio": "1:1"}, (1080, 1080)),
        ({"resolution": "1080p", "aspect_ratio": "16:9"}, (1920, 1080)),
        ({"resolution": "4k"}, (3840, 2160)),
        ({"resolution": "4k", "aspect_ratio": "9:16"}, (2160, 3840)),
    ],
)
def test_a_size_follows_from_the_resolution_and_the_aspect_ratio(
    settings: dict[str, Any], size: tuple[int, int]
) -> None:
    assert _order("text-to-video/kling-3.0", {"prompt": "a", "settings": settings}).size == size


@table(
    ("picture", "size", "late_failure"),
    [
        ((400, 600), (720, 1080), ""),
        ((900, 600), (1080, 720), ""),
        ((300, 750), (720, 1800), ""),
        ((299, 400), (1280, 720), "Image pixel is invalid"),
        ((300, 751), (1280, 720), "The resolution or the aspect ratio of the input image is invalid"),
    ],
)
def test_the_first_frame_gives_the_shape_or_a_late_failure(
    picture: tuple[int, int], size: tuple[int, int], late_failure: str
) -> None:
    frame = {"type": "first_frame", "url": bare(png(*picture))}
    for path in ("image-to-video/kling-3.0", "omni-video/kling-3.0-omni", "image-to-video/kling-3.0-turbo"):
        order = _order(path, {"contents": [PROMPT, frame]})
        assert (order.size, order.late_failure) == (size, late_failure)
    order = _order("motion-control/kling-3.0", {"contents": [{**frame, "type": "image"}, MOVE[1]]})
    assert (order.size, order.late_failure) == (size, late_failure)


def test_a_picture_has_fifty_megabytes_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    assert new_design._MAX_PICTURE == 50 * MEGABYTE
    # One that is as long takes long to make.
    monkeypatch.setattr(new_design, "_MAX_PICTURE", 5000)
    for size, is_taken in ((5000, True), (5001, False)):
        body = {"contents": [{"type": "first_frame", "url": bare(png(300, 300).ljust(size, b"\0"))}]}
        if is_taken:
            assert _order("image-to-video/kling-3.0", body).late_failure == ""
        else:
            assert _refusal("image-to-video/kling-3.0", body)


# Hostile values

HOSTILE = some(
    *(None, True, False, 0, -1, 1.5, 10**400, -(10**400), math.nan, math.inf, -math.inf),
    *("", "x", "\ud800", "\0", "http://[", "http://\ud800", "https://a.test:x/", "AAAA", "x" * 20_000, "٣"),
    *([], [None], [[]], [{}], ["x"] * 3, {}, {"a": []}, {"type": []}, {"mode": {}}),
)
SETTINGS = {
    "resolution": "1080p",
    "aspect_ratio": "1:1",
    "duration": 5,
    "audio": "off",
    "multi_shot": False,
    "character_orientation": "image",
}
OPTIONS = {"callback_url": "https://a.test/hook", "external_task_id": "1", "watermark_info": {"enabled": True}}
CONTENTS: dict[str, list[dict[str, Any]]] = {
    IMAGE: [PROMPT, FIRST, LAST, ELEMENT],
    OMNI: [PROMPT, {"type": "refer_image", "url": URL}, FEATURE, ELEMENT],
    MOTION: [*MOVE, PROMPT, ELEMENT],
}


def _spoiled(value: Any, bad: Any) -> Iterator[Any]:
    """Copies of a value, each with one part of it replaced."""
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            for inner in (bad, *_spoiled(value[key], bad)):
                copy: Any = value.copy()
                copy[key] = inner
                yield copy


def _body(path: str) -> dict[str, Any]:
    """A body with everything in it."""
    kind = path.partition("/")[0]
    contents = [item for item in CONTENTS.get(kind, []) if item is not LAST or path == "image-to-video/kling-3.0"]
    return {"prompt": "a", "contents": contents, "settings": SETTINGS, "options": OPTIONS}


@table("path", ROWS)
def test_no_value_of_any_field_raises_anything_but_a_refusal(path: str) -> None:
    assert _order(path, _body(path)).units > 0
    wrong = []
    for bad in HOSTILE:
        for body in _spoiled(_body(path), bad):
            try:
                order = _order(path, body)
                sane = 0 < order.units < 1000 and 0 < order.seconds <= 30 and min(order.size) > 0
            except KlingError as error:
                sane = 0 < len(error.message) < 500
            except Exception as error:
                wrong.append((type(error).__name__, str(error)[:60], json.dumps(body)[:300]))
                continue
            if not sane:
                wrong.append(("odd", "", json.dumps(body)[:300]))

    assert wrong[:3] == []


@table("path", ROWS)
def test_unknown_fields_are_ignored(path: str) -> None:
    body = _body(path)
    odd = {"model": "kling-v9", "model_name": 5, "mode": "x", "duration": "99", "nobody_knows": [{}]}
    settings = {**SETTINGS, "mode": "bogus", "sound": 5, "": None}
    contents = [{**item, "nobody_knows": 1} for item in body["contents"]]

    assert _order(path, {**body, **odd, "settings": settings, "contents": contents}) == _order(path, body)
