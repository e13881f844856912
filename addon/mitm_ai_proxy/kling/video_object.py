"""OpenAI's Video object, made of a task of Kling's. It always has all thirteen keys; unknown values are null.

Source: OpenAI's API reference, videos.
"""

from __future__ import annotations

import re
from typing import Any, Final

from . import models
from .ids import VideoParameters
from .tasks import DONE, FAILED, Task

_POLL_MILLISECONDS: Final = 5000
_LEAST_POLL_MILLISECONDS: Final = 50
LIFETIME: Final = 30 * 24 * 3600
"""Seconds that Kling keeps a file."""
UNKNOWN_MODEL: Final = "kling"

# OpenAI's status by Kling's. An unknown one counts as in_progress: SDKs stop polling at any other.
_STATUSES: Final = {"submitted": "queued", "processing": "in_progress", FAILED: "failed"}
_LENGTH: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,30})?")
_MODERATION: Final = ("risk control", "moderation", "policy", "sensitive", "content security")


def poll_headers(speed: float) -> dict[str, str | None]:
    """The header field with the interval at which an SDK polls unless its user sets one, in milliseconds."""
    return {"openai-poll-after-ms": str(max(_LEAST_POLL_MILLISECONDS, int(_POLL_MILLISECONDS / speed)))}


def video(
    video_id: str, task: Task, parameters: VideoParameters, now: float, prompt: str | None = None, speed: float = 1.0
) -> dict[str, Any]:
    """The Video object of a task. `now` is Unix time in seconds, `speed` how much faster than Kling the provider is."""
    status = _status(task)
    finished = status in ("completed", "failed")
    ended = _seconds(task.updated) if finished else None
    return {
        "id": video_id,
        "object": "video",
        "model": parameters.model or UNKNOWN_MODEL,
        "status": status,
        "progress": _progress(task, status, parameters, now, speed),
        "created_at": _seconds(task.created) or int(now),
        "completed_at": ended,
        "expires_at": ended + LIFETIME if ended is not None and status == "completed" else None,
        "prompt": prompt,
        "size": parameters.size or None,
        "seconds": _whole(parameters.seconds) or _whole(task.duration),
        "remixed_from_video_id": None,
        "error": _error(task) if status == "failed" else None,
    }


def _status(task: Task) -> str:
    if task.status in DONE:
        # An SDK would try to download the file of a completed video.
        return "completed" if task.url else "failed"
    return _STATUSES.get(task.status, "in_progress")


def _progress(task: Task, status: str, parameters: VideoParameters, now: float, speed: float) -> int:
    """In percent: 0 while queued, 100 when completed, else the part of a typical time that has passed, at most 99."""
    if status == "completed":
        return 100
    if status == "queued" or task.created is None:
        return 0
    ended = task.updated if status == "failed" else None
    passed = (int(now * 1000) if ended is None else ended) - task.created
    if passed <= 0:
        return 0
    seconds = min(passed, LIFETIME * 1000) / 1000 * speed
    return min(99, int(100 * min(seconds, LIFETIME) // _typical_seconds(parameters)))


def _typical_seconds(parameters: VideoParameters) -> float:
    model = models.MODELS.get(parameters.model) or models.MODELS[models.DEFAULT_MODEL]
    seconds = parameters.seconds
    length = float(seconds) if seconds.isascii() and seconds.isdigit() else 5.0
    return model.typical * max(1.0, length / 5)


def _error(task: Task) -> dict[str, str]:
    if task.status in DONE:
        return {"code": "no_video", "message": "Kling says that the task succeeded, and names no file."}
    blocked = any(word in task.message.lower() for word in _MODERATION)
    return {
        "code": "moderation_blocked" if blocked else "task_failed",
        "message": task.message or "Kling gave no reason.",
    }


def _whole(seconds: str) -> str | None:
    """A length in whole seconds, as OpenAI writes it; None for a text that is none. A file's is a bit more: 4.041."""
    return str(int(float(seconds) + 0.5)) if _LENGTH.fullmatch(seconds) else None


def _seconds(milliseconds: int | None) -> int | None:
    return None if milliseconds is None else milliseconds // 1000
