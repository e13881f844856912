"""Downloads with the SDKs: the files come from Kling's CDN, which gets no credential."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.sdk.kling import MP4, Kling
from tests.sdk.sdk import Sdk


def create(sdk: Sdk) -> str:
    video_id = sdk.call("create", prompt=f"a cat {uuid.uuid4()}").video["id"]
    assert isinstance(video_id, str)
    return video_id


@pytest.mark.parametrize("arguments", [{}, {"variant": "video"}], ids=["no-variant", "video"])
def test_the_file_arrives_to_the_byte(arguments: dict[str, Any], sdk: Sdk, kling: Kling) -> None:
    kling.state.polls = 0
    outcome = sdk.call("download_content", video_id=create(sdk), **arguments)

    assert outcome.content == MP4
    assert [request.method for request in kling.received] == ["POST", "GET"]
    (download,) = kling.downloads
    assert download.target == kling.url(kling.task).removeprefix(kling.cdn)
    assert not download.all("Authorization")


def test_a_video_that_is_not_ready_is_not_found(sdk: Sdk, kling: Kling) -> None:
    kling.state.polls = 5
    outcome = sdk.call("download_content", video_id=create(sdk))

    assert outcome.error.kind == "NotFoundError"
    assert len(outcome.sent) == 1
    assert not kling.downloads


def test_a_video_that_failed_has_no_file_and_says_why(sdk: Sdk, kling: Kling) -> None:
    kling.state.polls, kling.state.failure = 0, "Image pixel is invalid"
    outcome = sdk.call("download_content", video_id=create(sdk))

    assert outcome.error.kind in ("NotFoundError", "BadRequestError")
    assert "Image pixel is invalid" in outcome.error.message
    assert len(outcome.sent) == 1


@pytest.mark.parametrize("variant", ["thumbnail", "spritesheet"])
def test_kling_has_no_other_variant(variant: str, sdk: Sdk, kling: Kling) -> None:
    kling.state.polls = 0
    outcome = sdk.call("download_content", video_id=create(sdk), variant=variant)

    assert outcome.error.kind == "BadRequestError"
    assert outcome.error.param == "variant"
    assert len(outcome.sent) == 1
    assert not kling.downloads
