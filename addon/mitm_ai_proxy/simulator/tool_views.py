"""The paths that answer at once: speech, faces, segments, selections, and what is deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, request

from . import prices
from .fields import Check, check, link, number, one_of, picture, text, voice
from .json_http import body_of, ok
from .kling_error import bad_parameter
from .media import video
from .result_links import ResultLinks
from .task_views import TaskViews
from .tasks import SUCCEED, Store


class ToolViews:
    """What answers them."""

    def __init__(self, store: Store, links: ResultLinks, tasks: TaskViews) -> None:
        self._store, self._links, self._tasks = store, links, tasks

    def speech(self) -> Response:
        """Make speech of a text."""
        body = body_of(request)
        known: dict[str, Check] = {
            "text": text(1000, 1),
            "voice_id": voice,
            "voice_language": one_of("zh", "en"),
            "voice_speed": number(0.8, 2),
        }
        check(body, known, "text", "voice_id")
        self._store.pay("video", prices.FIXED["/v1/audio/tts"])
        seconds = max(1.0, len(body["text"]) / 15)
        task = self._store.add_finished("/v1/audio/tts", {"duration": seconds})
        made = {"id": task.task_id, "url": self._links.of(task)(f"{task.task_id}/0.mp3"), "duration": f"{seconds:g}"}
        shown = {"task_id": task.task_id, "task_status": SUCCEED, "task_result": {"audios": [made]}}
        return ok({**shown, "final_unit_deduction": "0.05"})

    def faces(self) -> Response:
        """Find the faces in a video."""
        body = body_of(request)
        seconds = self._given_video(body)
        self._store.pay("video", prices.FIXED["/v1/videos/identify-face"])
        task = self._store.add_finished("/v1/videos/identify-face", {})
        face = {
            "face_id": "0",
            "face_image": self._links.of(task)(f"{task.task_id}/0.png"),
            "start_time": 0,
            "end_time": int(seconds * 1000),
        }
        return ok({"session_id": task.task_id, "face_data": [face], "final_unit_deduction": "0.05"})

    def recognize(self) -> Response:
        """Find the segments of a picture."""
        body = body_of(request)
        check(body, {"image": picture}, "image")
        self._store.pay("video", prices.FIXED["/v1/videos/image-recognize"])
        task = self._store.add_finished("/v1/videos/image-recognize", {})
        link_to = self._links.of(task)
        kinds = ("object_seg", "head_seg", "face_seg", "cloth_seg")
        images = [
            {"type": kind, "is_contain": index == 0, "url": link_to(f"{task.task_id}/{index}.png")}
            for index, kind in enumerate(kinds)
        ]
        return ok({"task_result": {"images": images}, "final_unit_deduction": "0.1"})

    def selection(self) -> Response:
        """Begin the selection of elements of a video."""
        seconds = self._given_video(body_of(request))
        task = self._store.add_finished("/v1/videos/multi-elements/init-selection", {})
        return ok(
            {
                "status": 0,
                "session_id": task.task_id,
                "fps": 24,
                "original_duration": int(seconds * 1000),
                "width": 1280,
                "height": 720,
                "total_frame": video.frames(seconds),
                "normalized_video": self._links.of(task)(f"{task.task_id}/0.mp4"),
                "final_unit_deduction": "0",
            }
        )

    def selected(self) -> Response:
        """Change or show a selection."""
        session = body_of(request).get("session_id")
        if not isinstance(session, str) or self._store.find(session) is None:
            raise bad_parameter("session_id is invalid")
        return ok({"status": 0, "session_id": session, "res": {}})

    def _given_video(self, body: Mapping[str, Any]) -> float:
        """The length in seconds of the video in `video_id` or `video_url`; 5 for a URL. Raises KlingError."""
        if (body.get("video_id") in (None, "")) == (body.get("video_url") in (None, "")):
            raise bad_parameter("One of video_id and video_url is required")
        if body.get("video_url"):
            link("video_url", body["video_url"])
            return 5.0
        return self._tasks.of_video(str(body["video_id"])).order.seconds

    def delete(self, key: str) -> Response:
        """Delete an element or a voice, whose id is in the member `key`."""
        wanted = str(body_of(request).get(key) or "")
        if not wanted:
            raise bad_parameter(f"{key} can not be null")
        task = self._store.find(wanted)
        if task is None:
            raise bad_parameter(f"{key} {wanted[:100]} may already be deleted")
        self._store.delete(task)
        return ok({"task_id": task.task_id, "task_status": SUCCEED})
