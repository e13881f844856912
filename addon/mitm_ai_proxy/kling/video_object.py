"""OpenAI's Video object, and the list of them, made of Kling's tasks.

Source: OpenAI's API reference, videos; all thirteen keys are there, and what is not known is null.
"""

from __future__ import annotations

from typing import Any, Final

from . import models
from .ids import Memo
from .tasks import DONE, FAILED, Task

_POLL_MILLISECONDS: Final = 5000
_LEAST_POLL_MILLISECONDS: Final = 50
LIFETIME: Final = 30 * 24 * 3600
"""Seconds that Kling keeps a file."""
UNKNOWN_MODEL: Final = "kling"

# Kling's word to OpenAI's. A word that nobody knows is work in progress: an SDK takes any other for the end.
_STATUSES: Final = {"submitted": "queued", "processing": "in_progress", FAILED: "failed"}
_MODERATION: Final = ("risk control", "moderation", "policy", "sensitive", "content security")


def poll_after(speed: float) -> dict[str, str | None]:
    """The header field by which an SDK knows how often to ask for a task, where its user does not say."""
    return {"openai-poll-after-ms": str(max(_LEAST_POLL_MILLISECONDS, int(_POLL_MILLISECONDS / speed)))}


def video(
    video_id: str, task: Task, memo: Memo, now: float, prompt: str | None = None, speed: float = 1.0
) -> dict[str, Any]:
    """The Video object of a task. `now` is Unix time in seconds, `speed` how much faster than Kling the provider is."""
    status = _status(task)
    finished = status in ("completed", "failed")
    ended = _seconds(task.updated) if finished else None
    return {
        "id": video_id,
        "object": "video",
        "model": memo.model or UNKNOWN_MODEL,
        "status": status,
        "progress": _progress(task, status, memo, now, speed),
        "created_at": _seconds(task.created) or int(now),
        "completed_at": ended,
        "expires_at": ended + LIFETIME if ended is not None and status == "completed" else None,
        "prompt": prompt,
        "size": memo.size or None,
        "seconds": task.duration or memo.seconds or None,
        "remixed_from_video_id": None,
        "error": _error(task) if status == "failed" else None,
    }


def _status(task: Task) -> str:
    if task.status in DONE:
        # Without a file it is of no use to anybody, and an SDK would try to download it.
        return "completed" if task.url else "failed"
    return _STATUSES.get(task.status, "in_progress")


def _progress(task: Task, status: str, memo: Memo, now: float, speed: float) -> int:
    """0 in the queue, 100 when there is a file; between them, the part that has passed of a typical time."""
    if status == "completed":
        return 100
    if status == "queued" or task.created is None:
        return 0
    ended = task.updated if status == "failed" else None
    passed = (int(now * 1000) if ended is None else ended) - task.created
    if passed <= 0:
        return 0
    seconds = min(passed, LIFETIME * 1000) / 1000 * speed
    return min(99, int(100 * min(seconds, LIFETIME) // _typical_seconds(memo)))


def _typical_seconds(memo: Memo) -> float:
    model = models.MODELS.get(memo.model) or models.MODELS[models.DEFAULT_MODEL]
    seconds = memo.seconds
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


def _seconds(milliseconds: int | None) -> int | None:
    return None if milliseconds is None else milliseconds // 1000
