"""Reads of videos with the SDKs: retrieve, poll, list."""

from __future__ import annotations

import uuid

import pytest

from tests.sdk import openai_video
from tests.sdk.conftest import MakePicture
from tests.sdk.kling import Kling
from tests.sdk.sdk import File, Outcome, Sdk


def create(sdk: Sdk) -> str:
    video_id = sdk.call("create", prompt=f"a cat {uuid.uuid4()}").video["id"]
    assert isinstance(video_id, str)
    return video_id


def check_one_each(sdk: Sdk, kling: Kling, outcome: Outcome) -> None:
    # In Node a followed redirect is not in `sent`.
    if sdk.variant.language == "python":
        assert len(kling.received) == len(outcome.sent)


def test_a_video_is_queued_then_in_progress_then_completed(sdk: Sdk, kling: Kling) -> None:
    kling.state.polls = 2
    created = sdk.call(
        "create", prompt=f"a cat {uuid.uuid4()}", model="sora-2-pro", size="1792x1024", seconds="8"
    ).video
    outcomes = [sdk.call("retrieve", video_id=created["id"]) for _ in range(3)]

    videos = [outcome.video for outcome in outcomes]
    for video in videos:
        openai_video.check(video)
        assert video["id"] == created["id"]
        assert (video["model"], video["size"]) == ("sora-2-pro", "1792x1024")
        assert video["created_at"] == kling.task.created_at // 1000
    assert [video["status"] for video in videos] == ["queued", "in_progress", "completed"]
    assert [video["seconds"] for video in videos] == ["8", "8", "8"]
    assert videos[-1]["progress"] == 100
    assert videos[-1]["completed_at"] == kling.task.updated_at // 1000
    assert videos[-1]["expires_at"] > videos[-1]["completed_at"]
    reads = kling.received[1:]
    assert [(read.method, read.path) for read in reads] == [("GET", f"/v1/videos/text2video/{kling.task.task_id}")] * 3
    assert [len(outcome.sent) for outcome in outcomes] == [1, 1, 1]
    assert {outcome.task_id for outcome in outcomes} == {kling.task.task_id}


def test_a_video_of_a_picture_is_found_where_it_was_made(sdk: Sdk, kling: Kling, picture: MakePicture) -> None:
    file = File("mime", picture(), "image/png")
    created = sdk.call("create", prompt=f"a cat {uuid.uuid4()}", input_reference=file).video
    openai_video.check(sdk.call("retrieve", video_id=created["id"]).video)
    assert kling.received[-1].path == f"/v1/videos/image2video/{kling.task.task_id}"


def test_a_failed_video_says_why(sdk: Sdk, kling: Kling) -> None:
    kling.state.polls, kling.state.failure = 0, "Failure to pass the risk control system"
    video = sdk.call("retrieve", video_id=create(sdk)).video

    openai_video.check(video)
    assert video["status"] == "failed"
    assert video["error"]["message"] == "Failure to pass the risk control system"


@pytest.mark.parametrize(("failure", "status"), [(None, "completed"), ("Image pixel is invalid", "failed")])
def test_create_and_poll_ends_when_the_task_does(
    failure: str | None, status: str, python_sdk: Sdk, kling: Kling
) -> None:
    kling.state.polls, kling.state.failure = 3, failure
    outcome = python_sdk.call("create_and_poll", prompt=f"a cat {uuid.uuid4()}", poll_interval_ms=10)

    openai_video.check(outcome.video)
    assert outcome.video["status"] == status
    assert [request.method for request in kling.received] == ["POST", "GET", "GET", "GET", "GET"]
    assert len(outcome.sent) == 5


def test_poll_waits_for_a_video_of_somebody_else(python_sdk: Sdk, kling: Kling) -> None:
    kling.state.polls = 2
    outcome = python_sdk.call("poll", video_id=create(python_sdk), poll_interval_ms=10)

    assert outcome.video["status"] == "completed"
    assert len(outcome.sent) == 3


def test_an_answer_says_how_long_to_wait_between_polls(any_sdk: Sdk, kling: Kling) -> None:
    # The SDK for Python takes int() of it, and only from the first answer.
    outcome = any_sdk.call("retrieve", video_id=create(any_sdk))
    assert outcome.headers["openai-poll-after-ms"] == "5000"


def test_a_list_crosses_pages_and_families(sdk: Sdk, kling: Kling) -> None:
    tasks = kling.add("text2video", 3) + kling.add("image2video", 2, finished=True)
    outcome = sdk.call("list", limit=1)

    videos = outcome.value
    for video in videos:
        openai_video.check(video, listed=True)
    assert sorted(video["created_at"] for video in videos) == sorted(task.created_at // 1000 for task in tasks)
    assert len({video["id"] for video in videos}) == 5
    assert [video["status"] for video in videos].count("completed") == 2
    check_one_each(sdk, kling, outcome)
    assert all(request.method == "GET" for request in kling.received)


def test_what_a_list_names_can_be_retrieved(sdk: Sdk, kling: Kling) -> None:
    tasks = kling.add("text2video") + kling.add("image2video")
    videos = sdk.call("list").value
    for video in videos:
        assert sdk.call("retrieve", video_id=video["id"]).video["id"] == video["id"]

    assert {request.path for request in kling.received[-2:]} == {
        f"/v1/videos/{task.family}/{task.task_id}" for task in tasks
    }


def test_a_list_of_an_account_without_videos_is_empty(sdk: Sdk, kling: Kling) -> None:
    outcome = sdk.call("list", limit=2)
    assert outcome.value == []
    check_one_each(sdk, kling, outcome)
