"""Creates with parameters that Kling does not support: BadRequestError with the parameter, and nothing is sent."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.sdk.conftest import MakePicture
from tests.sdk.kling import Kling
from tests.sdk.sdk import File, Sdk

Arguments = Callable[[MakePicture], dict[str, Any]]

WRONG: dict[str, tuple[str, Arguments]] = {
    "an unknown size": ("size", lambda picture: {"size": "7x7"}),
    "seconds that are no number": ("seconds", lambda picture: {"seconds": "abc"}),
    "more seconds than the model makes": ("seconds", lambda picture: {"seconds": "99"}),
    "a prompt of 2501 characters": ("prompt", lambda picture: {"model": "kling-v2-6", "prompt": "ü" * 2501}),
    "an empty prompt": ("prompt", lambda picture: {"prompt": ""}),
    "a webp": ("input_reference", lambda picture: {"input_reference": File("mime", picture("webp"), "image/webp")}),
    "a webp under the name of a png": (
        "input_reference",
        lambda picture: {"input_reference": File("mime", picture("webp"), "image/png")},
    ),
    "a small picture": (
        "input_reference",
        lambda picture: {"input_reference": File("mime", picture("png", 100, 100), "image/png")},
    ),
    "a picture of more than 10 MB": (
        "input_reference",
        lambda picture: {"input_reference": File("named", picture("png", behind=10 * 1024 * 1024))},
    ),
    "two pictures": (
        "input_reference",
        lambda picture: {"extra": {"input_reference": ["https://p.test/1.png", "https://p.test/2.png"]}},
    ),
    "the id of a file": ("input_reference", lambda picture: {"extra": {"input_reference": {"file_id": "file-1"}}}),
    "text that is no URL": ("input_reference", lambda picture: {"extra": {"input_reference": "first.png"}}),
}


@pytest.mark.parametrize(("param", "arguments"), WRONG.values(), ids=[name.replace(" ", "-") for name in WRONG])
def test_what_cannot_be_done_is_refused_here(
    param: str, arguments: Arguments, sdk: Sdk, kling: Kling, picture: MakePicture
) -> None:
    outcome = sdk.call("create", **{"prompt": f"a cat {uuid.uuid4()}", **arguments(picture)})

    assert outcome.error.kind == "BadRequestError"
    assert (outcome.error.param or "").split("[")[0].split(".")[0] == param, outcome.error
    assert outcome.error.type == "invalid_request_error"
    assert len(outcome.sent) == 1
    assert not kling.received


def test_a_picture_as_one_field_for_each_byte_is_refused_here(
    node_sdk: Sdk, kling: Kling, picture: MakePicture
) -> None:
    outcome = node_sdk.call("create", prompt="a cat", input_reference=File("buffer", picture("png", 300, 300)))

    assert outcome.error.kind == "BadRequestError"
    assert outcome.error.param == "input_reference"
    assert not kling.received
