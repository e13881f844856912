"""Follow-ups of a video with the SDKs: remix, edit, extend; and methods that Kling does not have."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.sdk import openai_video
from tests.sdk.conftest import MakePicture, each_sdk_with
from tests.sdk.kling import Fault, Kling, Task, answer_lost
from tests.sdk.sdk import OMIT, File, Sdk

FOLLOW_UPS = ("remix", "edit", "extend")
REFUSALS = ("BadRequestError", "NotFoundError")
SECONDS: dict[str, dict[str, Any]] = {"edit": {}, "extend": {"seconds": "4"}}


@pytest.fixture
def prompt() -> str:
    """A prompt that no other test has."""
    return f"a cat {uuid.uuid4()}"


def source(sdk: Sdk, kling: Kling) -> tuple[str, Task]:
    """A video made by a model whose videos can be extended."""
    video_id = sdk.call("create", prompt=f"a dog {uuid.uuid4()}", model="kling-v1-6").video["id"]
    return video_id, kling.task


def of_video(sdk: Sdk, method: str, video_id: str, prompt: str) -> dict[str, Any]:
    """The arguments that name a video by its id; the type {"id": ...} is refused by the SDK for Python itself."""
    if method == "remix":
        return {"video_id": video_id, "prompt": prompt}
    omitted = {"video": OMIT} if sdk.variant.language == "python" else {}
    return {"prompt": prompt, **SECONDS[method], **omitted, "extra": {"video": {"id": video_id}}}


@each_sdk_with(*FOLLOW_UPS)
def test_a_follow_up_is_made_of_the_video(method: str, sdk: Sdk, kling: Kling, prompt: str) -> None:
    kling.state.polls = 0
    video_id, task = source(sdk, kling)
    video = sdk.call(method, **of_video(sdk, method, video_id, prompt)).video

    openai_video.check(video)
    assert kling.bought == 2
    made = kling.creates[-1]
    assert made.json["prompt"] == prompt
    if method == "extend":
        assert (made.target, made.json["video_id"]) == ("/v1/videos/video-extend", f"v-{task.task_id}")
    else:
        assert made.target == "/v1/videos/omni-video"
        assert made.json["video_list"] == [{"video_url": kling.url(task), "refer_type": "base"}]
    assert [request.method for request in kling.received] == ["POST", "GET", "POST"]

    openai_video.check(sdk.call("retrieve", video_id=video["id"]).video)
    assert kling.received[-1].path == f"{made.target}/{kling.state.tasks[-1].task_id}"


@each_sdk_with(*FOLLOW_UPS)
def test_a_follow_up_of_a_video_that_is_not_ready_is_refused(method: str, sdk: Sdk, kling: Kling, prompt: str) -> None:
    kling.state.polls = 5
    video_id, _ = source(sdk, kling)
    outcome = sdk.call(method, **of_video(sdk, method, video_id, prompt))

    assert outcome.error.kind in REFUSALS
    assert len(outcome.sent) == 1
    assert kling.bought == 1


@each_sdk_with("remix", "edit")
def test_a_follow_up_whose_answer_was_lost_is_paid_for_once(method: str, sdk: Sdk, kling: Kling, prompt: str) -> None:
    kling.state.polls = 0
    video_id, _ = source(sdk, kling)
    kling.next(Fault(), answer_lost())  # the read of the source, and the follow-up itself
    outcome = sdk.call(method, **of_video(sdk, method, video_id, prompt))

    assert kling.bought == 2
    openai_video.check(sdk.call("retrieve", video_id=outcome.video["id"]).video)


@each_sdk_with("extend")
def test_an_extension_whose_answer_was_lost_is_not_sent_again(method: str, sdk: Sdk, kling: Kling, prompt: str) -> None:
    kling.state.polls = 0
    video_id, _ = source(sdk, kling)
    kling.next(Fault(), answer_lost())
    outcome = sdk.call(method, **of_video(sdk, method, video_id, prompt))

    assert (outcome.error.kind, outcome.error.code) == ("BadRequestError", "not_repeated")
    assert kling.bought == 2


@each_sdk_with("edit", "extend")
def test_kling_takes_no_file_of_a_video(method: str, sdk: Sdk, kling: Kling, prompt: str, picture: MakePicture) -> None:
    outcome = sdk.call(method, prompt=prompt, video=File("named", picture()), **SECONDS[method])

    assert (outcome.error.kind, outcome.error.param) == ("BadRequestError", "video")
    assert len(outcome.sent) == 1
    assert not kling.received


@each_sdk_with("create_character")
def test_kling_takes_no_file_of_a_character(method: str, sdk: Sdk, kling: Kling, picture: MakePicture) -> None:
    outcome = sdk.call(method, name="Cat", video=File("named", picture()))

    assert (outcome.error.kind, outcome.error.param) == ("BadRequestError", "video")
    assert len(outcome.sent) == 1
    assert not kling.received


@each_sdk_with("create_character")
def test_a_character_of_a_link_is_an_element_of_klings(method: str, sdk: Sdk, kling: Kling) -> None:
    kling.state.polls = 0
    link = "https://videos.test/cat.mp4?sign=a%2Bb"
    omitted = {"video": OMIT} if sdk.variant.language == "python" else {}
    made = sdk.call(method, name="Cat", extra={"video": link}, **omitted).value

    (request,) = kling.received
    assert request.target == "/v1/general/advanced-custom-elements"
    assert (request.json["element_name"], request.json["reference_type"]) == ("Cat", "video_refer")
    assert request.json["element_video_list"] == {"refer_videos": [{"video_url": link}]}
    assert made["created_at"] == kling.task.created_at // 1000

    found = sdk.call("get_character", character_id=made["id"]).value
    assert (found["id"], found["name"], found["created_at"]) == (made["id"], "Cat", made["created_at"])
    assert kling.received[-1].target == f"/v1/general/advanced-custom-elements/{kling.task.task_id}"


@each_sdk_with("get_character")
def test_a_character_of_somebody_else_is_not_found(method: str, sdk: Sdk, kling: Kling) -> None:
    outcome = sdk.call(method, character_id="char_1")

    assert outcome.error.kind == "NotFoundError"
    assert len(outcome.sent) == len(kling.received) == 1


@each_sdk_with("delete")
def test_kling_deletes_nothing(method: str, sdk: Sdk, kling: Kling) -> None:
    outcome = sdk.call(method, video_id="kling-t2v-831234567890123456")

    assert (outcome.error.kind, outcome.error.code) == ("NotFoundError", "unsupported_api")
    assert len(outcome.sent) == 1
    assert not kling.received
