"""OpenAI's Video object of a task: all thirteen keys, null for unknown values."""

from __future__ import annotations

import json
from typing import Any

from mitm_ai_proxy.kling.ids import NO_PARAMETERS, VideoParameters
from mitm_ai_proxy.kling.tasks import Task
from mitm_ai_proxy.kling.video_object import LIFETIME, poll_headers, video
from tests.tables import table

NOW = 1795212100.9
MADE, ENDED = 1795212000999, 1795212090001
PARAMETERS = VideoParameters("sora-2", "8", "1280x720")
URL = "https://a.test/v.mp4"
KEYS = (
    "id object model status progress created_at completed_at expires_at prompt size seconds remixed_from_video_id error"
).split()


def _video(status: str, parameters: VideoParameters = PARAMETERS, **members: Any) -> dict[str, Any]:
    return video(
        "kling-t2v-7", Task("7", status, **{"created": MADE, "updated": ENDED, **members}), parameters, NOW, "p"
    )


def test_a_completed_video_has_all_thirteen_keys() -> None:
    found = _video("succeed", url=URL, duration="8.041")

    assert list(found) == KEYS
    assert found == {
        "id": "kling-t2v-7",
        "object": "video",
        "model": "sora-2",
        "status": "completed",
        "progress": 100,
        "created_at": 1795212000,
        "completed_at": 1795212090,
        "expires_at": 1795212090 + LIFETIME,
        "prompt": "p",
        "size": "1280x720",
        "seconds": "8",
        "remixed_from_video_id": None,
        "error": None,
    }


def test_what_is_not_known_is_null_and_never_missing() -> None:
    found = video("7", Task("7", ""), NO_PARAMETERS, NOW)

    assert list(found) == KEYS
    assert [name for name, value in found.items() if value is None] == (
        "completed_at expires_at prompt size seconds remixed_from_video_id error".split()
    )
    assert (found["created_at"], found["progress"], found["model"]) == (int(NOW), 0, "kling")


@table(
    ("word", "url", "status", "ended"),
    [
        ("submitted", "", "queued", False),
        ("processing", "", "in_progress", False),
        ("succeed", URL, "completed", True),
        ("succeeded", URL, "completed", True),
        ("succeed", "", "failed", True),
        ("failed", URL, "failed", True),
        *((word, URL, "in_progress", False) for word in ("", "cancelled", "Succeed", "queued", "completed", "x" * 999)),
    ],
)
def test_a_status_of_kling_s_becomes_one_of_openai_s_four(word: str, url: str, status: str, ended: bool) -> None:
    found = _video(word, url=url)

    assert found["status"] == status
    assert found["completed_at"] == (1795212090 if ended else None)
    assert (found["expires_at"] is not None) == (status == "completed")
    assert (found["error"] is not None) == (status == "failed")


@table(
    ("word", "passed", "parameters", "progress"),
    [
        ("submitted", 100, VideoParameters("kling-v3", "5"), 0),
        ("processing", 0, VideoParameters("kling-v3", "5"), 0),
        ("processing", -100, VideoParameters("kling-v3", "5"), 0),
        ("processing", 17, VideoParameters("kling-v3", "5"), 10),
        ("processing", 85, VideoParameters("kling-v3", "5"), 50),
        ("processing", 85, VideoParameters("kling-v3", "10"), 25),
        ("processing", 85, VideoParameters("kling-v3", "3"), 50),
        ("processing", 85, VideoParameters("sora-2", ""), 50),
        ("processing", 50, VideoParameters("kling-v2-5-turbo", "5"), 50),
        ("processing", 10**9, VideoParameters("kling-v3", "5"), 99),
        ("processing", 85, VideoParameters("kling-v3", "²"), 50),
        ("processing", 85, VideoParameters("kling-v3", "0"), 50),
        ("processing", 85, VideoParameters("kling-v3", "x"), 50),
        ("processing", 85, VideoParameters("kling-v3", "9" * 80), 0),
    ],
)
def test_progress_is_the_time_that_has_passed_and_99_at_most(
    word: str, passed: float, parameters: VideoParameters, progress: int
) -> None:
    found = video("7", Task("7", word, created=int((NOW - passed) * 1000)), parameters, NOW)

    assert (found["progress"], type(found["progress"])) == (progress, int)


def test_the_progress_of_a_faster_provider_is_faster() -> None:
    task = Task("7", "processing", created=int((NOW - 2.5) * 1000))
    model = VideoParameters("kling-v3", "5", "")

    assert [video("7", task, model, NOW, speed=speed)["progress"] for speed in (1, 20, 40, 1e6)] == [1, 29, 58, 99]


@table(("speed", "milliseconds"), [(1, "5000"), (20, "250"), (1e9, "50"), (float("inf"), "50")])
def test_a_faster_provider_is_asked_more_often(speed: float, milliseconds: str) -> None:
    assert poll_headers(speed) == {"openai-poll-after-ms": milliseconds}


def test_the_progress_of_a_failed_video_stands_still() -> None:
    task = Task("7", "failed", created=MADE, updated=MADE + 17_000)

    assert [video("7", task, VideoParameters("kling-v3", "5"), NOW + late)["progress"] for late in (0, 9999)] == [
        10,
        10,
    ]


@table(
    ("message", "code"),
    [
        ("Image pixel is invalid", "task_failed"),
        ("parallel task over resource pack limit", "task_failed"),
        ("Failure to pass the risk control system", "moderation_blocked"),
        ("CONTENT SECURITY: no", "moderation_blocked"),
        ("sensitive words", "moderation_blocked"),
    ],
)
def test_a_failed_video_says_why(message: str, code: str) -> None:
    assert _video("failed", message=message)["error"] == {"code": code, "message": message}


def test_a_failed_video_without_a_reason_says_so() -> None:
    assert _video("failed")["error"] == {"code": "task_failed", "message": "Kling gave no reason."}
    assert _video("succeed")["error"]["code"] == "no_video"


@table(
    ("asked", "length", "seconds"),
    [
        ("8", "", "8"),
        ("4", "4.041", "4"),
        ("10", "10.041", "10"),
        ("5", "5", "5"),
        # What was asked for, though the file differs: two tasks of one create are told by it.
        ("8", "10", "8"),
        ("", "4.041", "4"),
        ("", "10.5", "11"),
        ("", "3", "3"),
        ("", "0.4", "0"),
        # An edited video is as long as the file it was made of.
        ("8.041", "", "8"),
        ("8.041", "8.083", "8"),
        ("", "", None),
        ("soon", "", None),
        ("soon", "4.041", "4"),
        ("5", "soon", "5"),
        ("", "-4.041", None),
        ("", "1e3", None),
        ("", "nan", None),
        ("", "inf", None),
        ("", "\u0664", None),
        ("", "9" * 400, None),
        ("", "4.041\n", None),
    ],
)
def test_seconds_are_the_whole_number_that_was_asked_for_else_the_rounded_length(
    asked: str, length: str, seconds: str | None
) -> None:
    task = Task("7", "succeed", url=URL, duration=length)
    found = video("7", task, VideoParameters("kling-v3", asked), NOW)["seconds"]

    assert found == seconds
    assert found is None or str(int(found)) == found


@table("word", ["submitted", "processing", "succeed", "failed", "?"])
@table("time", [0, -1, 10**30, 10**400, -(10**400), None])
def test_no_time_raises(word: str, time: int | None) -> None:
    cases: list[dict[str, Any]] = [{"created": time}, {"updated": time}, {"created": time, "updated": time}]
    for members in cases:
        found = _video(word, url=URL, **members)
        assert 0 <= found["progress"] <= 100
        json.dumps(found)
