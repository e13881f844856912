"""What clients order, as Kling's create: names, defaults, prices, and every mistake by its field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.kling import models
from mitm_ai_proxy.kling.document import Document
from mitm_ai_proxy.platform import orders
from mitm_ai_proxy.platform.orders import IMAGE_TO_VIDEO, TEXT_TO_VIDEO
from mitm_ai_proxy.platform.settings import TenantSettings
from tests.tables import table

CAT = {"prompt": "a cat"}
PNG = "https://a.example/cat.png"


def _read(body: Any, **limits: Any) -> orders.Draft:
    return orders.read(json.dumps(body).encode(), TenantSettings(**limits))


def test_a_prompt_alone_is_five_seconds_of_the_default_model() -> None:
    draft = _read(CAT)

    assert (draft.path, draft.model, draft.prompt, draft.seconds, draft.estimate) == (
        TEXT_TO_VIDEO,
        "kling-v3",
        "a cat",
        5,
        3000,
    )
    assert json.loads(draft.body) == {"prompt": "a cat", "model_name": "kling-v3", "mode": "std", "duration": "5"}
    assert draft.model not in models.RETIRED


@table(
    ("fields", "expected", "estimate"),
    [
        ({"duration": 10}, {"duration": "10"}, 6000),
        ({"duration": "10"}, {"duration": "10"}, 6000),
        ({"mode": "standard"}, {"mode": "std"}, 3000),
        ({"mode": "professional"}, {"mode": "pro"}, 4000),
        ({"mode": None, "duration": None, "model": None}, {"mode": "std", "duration": "5"}, 3000),
        ({"sound": True}, {"sound": "on"}, 4500),
        ({"model": "kling-v2-6", "mode": "pro"}, {"model_name": "kling-v2-6"}, 2500),
        ({"model_name": "kling-v2-5-turbo"}, {"model_name": "kling-v2-5-turbo", "mode": "std"}, 1500),
        (
            {"negative_prompt": "dogs", "aspect_ratio": "9:16"},
            {"negative_prompt": "dogs", "aspect_ratio": "9:16"},
            3000,
        ),
    ],
)
def test_fields_become_klings(fields: Any, expected: Any, estimate: int) -> None:
    draft = _read({**CAT, **fields})

    assert expected.items() <= json.loads(draft.body).items()
    assert draft.estimate == estimate


def test_a_picture_makes_it_a_video_of_a_picture() -> None:
    draft = _read({**CAT, "image": PNG, "image_tail": PNG})

    assert (draft.path, json.loads(draft.body)["image"]) == (IMAGE_TO_VIDEO, PNG)


def test_what_is_the_platforms_own_is_not_sent_to_kling() -> None:
    draft = _read({**CAT, "priority": -1, "metadata": {"a": [1, None]}, "callback_url": "https://a.example/x?y"})

    assert (draft.priority, draft.metadata, draft.callback_url) == (-1, '{"a": [1, null]}', "https://a.example/x?y")
    assert not {"priority", "metadata", "callback_url"} & json.loads(draft.body).keys()


@table(
    ("body", "field", "words"),
    [
        ({}, "prompt", "no prompt"),
        ({"prompt": " "}, "prompt", "no prompt"),
        ({"prompt": 5}, "prompt", "not a string"),
        ({"prompt": "x" * 2501}, "prompt", "2501 characters"),
        ({**CAT, "promt": 1}, "promt", "no field of a create; did you mean prompt?"),
        ({**CAT, "external_task_id": "mine"}, "external_task_id", "names each task by its job"),
        ({**CAT, "model": "kling-v2-master"}, "model", "has retired kling-v2-master. Use kling-v3"),
        ({**CAT, "model": "sora-2"}, "model", "those that do: kling-v3, "),
        ({**CAT, "model": 3}, "model", "not a string"),
        ({**CAT, "model": "kling-v3", "model_name": "kling-v3"}, "model_name", "say the same"),
        ({**CAT, "duration": 99}, "duration", "none of 3, 4"),
        ({**CAT, "duration": 5.5}, "duration", "none of 3, 4"),
        ({**CAT, "duration": True}, "duration", "not a number"),
        ({**CAT, "duration": [5]}, "duration", "not a number"),
        ({**CAT, "mode": "fast"}, "mode", "none of std, pro, 4k"),
        ({**CAT, "mode": 1}, "mode", "not a string"),
        ({**CAT, "image": "no picture"}, "image", "does not take image"),
        ({**CAT, "image": 5}, "image", "image"),
        ({**CAT, "sound": "maybe"}, "sound", "not true or false"),
        ({**CAT, "sound": True, "model": "kling-v2-5-turbo"}, "sound", "makes no sound"),
        ({**CAT, "aspect_ratio": "7:4"}, "aspect_ratio", 'does not take aspect_ratio "7:4"'),
        ({**CAT, "aspect_ratio": 5}, "aspect_ratio", "aspect_ratio"),
        ({**CAT, "negative_prompt": 5}, "negative_prompt", "not a string"),
        ({**CAT, "negative_prompt": "x" * 2501}, "negative_prompt", "does not take negative_prompt"),
        ({**CAT, "callback_url": "ftp://a.example"}, "callback_url", "no http or https URL"),
        ({**CAT, "callback_url": "https://"}, "callback_url", "no http or https URL"),
        ({**CAT, "callback_url": 5}, "callback_url", "no http or https URL"),
        ({**CAT, "callback_url": "https://u:p@a.example"}, "callback_url", "user name"),
        ({**CAT, "priority": 2}, "priority", "none of -1, 0, 1"),
        ({**CAT, "priority": True}, "priority", "none of -1, 0, 1"),
        ({**CAT, "priority": "1"}, "priority", "none of -1, 0, 1"),
        ({**CAT, "metadata": []}, "metadata", "no object"),
        ({**CAT, "metadata": {"a": "x" * 20_000}}, "metadata", "no object"),
    ],
)
def test_a_mistake_names_its_field(body: Any, field: str, words: str) -> None:
    with pytest.raises(Refusal) as raised:
        _read(body)

    assert (raised.value.status, raised.value.param) == (400, field)
    assert words in raised.value.message


@table(
    ("body", "status"),
    [(b"", 400), (b"[]", 400), (b'"a"', 400), (b'{"prompt": "a"', 400), (b"\xff\xfe{", 400), (b" " * (26 << 20), 413)],
)
def test_what_is_no_object_is_refused(body: bytes, status: int) -> None:
    with pytest.raises(Refusal) as raised:
        orders.read(body)

    assert raised.value.status == status


def test_a_field_that_stands_twice_is_refused() -> None:
    with pytest.raises(Refusal, match="more than once"):
        orders.read(b'{"prompt": "a", "prompt": "b"}')


def test_an_unknown_price_is_reserved_where_the_tenant_may() -> None:
    body = {**CAT, "aspect_ratio": "7:4"}

    assert _read(body, unknown_price=8).estimate == 8000
    with pytest.raises(Refusal):
        _read(body)


def test_openais_create_becomes_klings() -> None:
    body = {"model": "sora-2-pro", "prompt": "a cat", "seconds": "8", "size": "1280x720", "priority": 1}
    draft = orders.read_openai(Document.from_fields(body))

    assert json.loads(draft.body) == {
        "model_name": "kling-v3",
        "prompt": "a cat",
        "aspect_ratio": "16:9",
        "mode": "pro",
        "duration": "8",
    }
    assert (draft.path, draft.seconds, draft.estimate, draft.priority) == (TEXT_TO_VIDEO, 8, 6400, 1)
    assert "model sora-2-pro became kling-v3" in draft.notes


@table(
    ("fields", "field"),
    [
        ({"model": "kling-v1"}, "model"),
        ({"secnds": 4}, "secnds"),
        ({"seconds": 40}, "seconds"),
        ({"size": "1x1"}, "size"),
    ],
)
def test_a_mistake_in_openais_create_names_its_field(fields: Any, field: str) -> None:
    with pytest.raises(Refusal) as raised:
        orders.read_openai(Document.from_fields({**CAT, **fields}))

    assert (raised.value.status, raised.value.param) == (400, field)
