"""Requests of Kling's newer API: creates, the path of a task, cursors of pages."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.kling import api_versions
from mitm_ai_proxy.kling.document import Document
from tests.tables import table

V3 = {"resolution": "720p", "audio": "off", "multi_shot": False}
V26 = {"resolution": "720p", "audio": "off"}


def _any(*values: Any) -> tuple[Any, ...]:
    """Values of all types, for a table."""
    return values


def _create(fields: dict[str, Any], base: str | None = None) -> tuple[str, Any]:
    path, body = api_versions.v2_create(Document.from_fields(fields), base)
    return path, json.loads(body.decode())


@table(
    ("fields", "path", "body"),
    [
        ({"model_name": "kling-v3", "prompt": "p"}, "/text-to-video/kling-3.0", {"prompt": "p", "settings": V3}),
        (
            {
                "model_name": "kling-v3",
                "prompt": "p",
                "mode": "4k",
                "aspect_ratio": "1:1",
                "duration": "4",
                "sound": "on",
            },
            "/text-to-video/kling-3.0",
            {
                "prompt": "p",
                "settings": {**V3, "resolution": "4k", "aspect_ratio": "1:1", "duration": 4, "audio": "native"},
            },
        ),
        ({"model_name": "kling-v2-6", "prompt": "p"}, "/text-to-video/kling-2.6", {"prompt": "p", "settings": V26}),
        (
            {"model_name": "kling-v2-5-turbo", "prompt": "p", "mode": "pro", "sound": "off"},
            "/text-to-video/kling-2.5-turbo",
            {"prompt": "p", "settings": {"resolution": "1080p"}},
        ),
        (
            {"model_name": "kling-v3", "prompt": "p", "image": "u", "image_tail": "t"},
            "/image-to-video/kling-3.0",
            {
                "contents": [
                    {"type": "prompt", "text": "p"},
                    {"type": "first_frame", "url": "u"},
                    {"type": "last_frame", "url": "t"},
                ],
                "settings": V3,
            },
        ),
        (
            {"model_name": "kling-v3", "prompt": "p", "element_list": [{"element_id": 5}], "voice_list": None},
            "/image-to-video/kling-3.0",
            {"contents": [{"type": "prompt", "text": "p"}, {"type": "element", "element_id": 5}], "settings": V3},
        ),
        (
            {"model_name": "m/ä?", "prompt": "é", "external_task_id": "x", "callback_url": "c"},
            "/text-to-video/m%2F%C3%A4%3F",
            {"prompt": "é", "settings": V26, "options": {"callback_url": "c", "external_task_id": "x"}},
        ),
        # Kling's new design has its omni models in one place only.
        ({"model_name": "kling-v3-omni", "prompt": "p"}, "/omni-video/kling-3.0-omni", None),
        ({"model_name": "kling-video-o1", "prompt": "p", "image": "u"}, "/omni-video/kling-o1", None),
    ],
)
def test_a_create_is_translated_to_the_new_design(fields: dict[str, Any], path: str, body: Any) -> None:
    made = _create(fields)

    assert made[0] == path
    assert body is None or made[1] == body


def test_an_edit_has_the_video_among_its_contents() -> None:
    path, body = _create({"model_name": "kling-v3-omni", "prompt": "p"}, "https://a.test/v")

    assert path == "/omni-video/kling-3.0-omni"
    assert body["contents"] == [{"type": "prompt", "text": "p"}, {"type": "base_video", "url": "https://a.test/v"}]


@table(
    ("fields", "param"),
    [
        *(({field: 1}, field) for field in ("negative_prompt", "cfg_scale", "camera_control", "multi_prompt", "seed")),
        *(({"duration": value}, "duration") for value in _any("²", "5.5", "", "-5", "x", [], {}, "9" * 5000)),
        ({"image": 5}, "image"),
        ({"mode": []}, "mode"),
        ({"model_name": 5}, "model_name"),
        ({"model_name": "\ud800"}, "model_name"),
        ({"aspect_ratio": 5}, "aspect_ratio"),
        ({"prompt": 5}, "prompt"),
    ],
)
def test_what_the_new_design_lacks_is_refused_by_its_field(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(Refusal) as caught:
        _create({"model_name": "other", "prompt": "p", **fields})

    assert (caught.value.status, caught.value.param) == (400, param)


def test_a_field_with_a_long_name_is_not_quoted_whole() -> None:
    with pytest.raises(Refusal) as caught:
        _create({"prompt": "p", "k" * 10_000: 1})

    assert len(caught.value.message) < 200


@table(
    ("task_id", "path"),
    [
        ("7", "/tasks?task_ids=7"),
        ("ai-proxy-x-0", "/tasks?external_task_ids=ai-proxy-x-0"),
        # One id is one id.
        ("7,8", "/tasks?task_ids=7%2C8"),
        ("7&external_task_ids=8", "/tasks?task_ids=7%26external_task_ids%3D8"),
        ("my%20task", "/tasks?task_ids=my%20task"),
        ("a+b", "/tasks?task_ids=a%2Bb"),
    ],
)
def test_a_task_is_asked_for_by_its_id_or_by_the_name_it_was_given(task_id: str, path: str) -> None:
    assert api_versions.v2_task(task_id) == path


@table("cursor", ["a", "1", "abc==", "é\U0001f3ac", "x" * 120, "\0", "a b&c"])
def test_a_cursor_travels_in_letters_and_digits_and_comes_back(cursor: str) -> None:
    place = api_versions.v2_place({"has_more": True, "next_cursor": cursor})

    assert place is not None
    assert re.fullmatch("[a-z2-7]+", place)
    assert place != "1"
    assert json.loads(api_versions.v2_page(7, place)) == {"limit": 7, "cursor": cursor}


def test_the_first_page_has_no_cursor() -> None:
    assert json.loads(api_versions.v2_page(20, "1")) == {"limit": 20}


@table(
    "data",
    [
        *(None, [], "x", 5, {}, {"has_more": True}, {"next_cursor": "a"}, {"has_more": False, "next_cursor": "a"}),
        *({"has_more": True, "next_cursor": cursor} for cursor in _any("", None, 5, [], {})),
    ],
)
def test_there_is_no_page_after_the_last(data: Any) -> None:
    assert api_versions.v2_place(data) is None


@table("place", ["a", "0", "18", "abc", "_", "2", "77777777", "A" * 3, "x" * 199])
def test_a_made_up_cursor_is_refused(place: str) -> None:
    with pytest.raises(Refusal) as caught:
        api_versions.v2_page(20, place)

    assert (caught.value.status, caught.value.param) == (400, "after")
