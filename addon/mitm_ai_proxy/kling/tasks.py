"""Kling's tasks as both of its API generations answer them, read into one shape. Nothing of OpenAI's is known here.

Source: Kling API documentation, responses; legacy envelope and new design.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

DONE: Final = frozenset({"succeed", "succeeded"})
FAILED: Final = "failed"


@dataclass(frozen=True, slots=True)
class Task:
    """A task. Times are Unix milliseconds; `duration` is the file's length in seconds as Kling writes it."""

    task_id: str
    status: str
    message: str = ""
    created: int | None = None
    updated: int | None = None
    video_id: str = ""
    url: str = ""
    duration: str = ""
    element_name: str = ""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What surrounds every answer; `code` None where there is none."""

    code: int | None
    message: str
    request_id: str
    data: Any


def envelope(document: Any) -> Envelope:
    """The envelope of a decoded answer; anything but an object has none."""
    found = document if isinstance(document, dict) else {}
    code = found.get("code")
    return Envelope(
        code if isinstance(code, int) else None,
        _text(found.get("message")),
        _text(found.get("request_id")),
        found.get("data"),
    )


def task(data: Any) -> Task | None:
    """The task in a `data` (an object, or the new design's array of one); None where there is none."""
    if isinstance(data, list):
        data = data[0] if data else None
    return _read(data) if isinstance(data, dict) else None


def tasks(data: Any) -> list[tuple[Any, Task]] | None:
    """The tasks of a list, each with what it was read from; None where there is no list.

    That is the legacy API's bare array, or `result` of the new design.
    """
    if isinstance(data, dict):
        data = data.get("result")
    if not isinstance(data, list):
        return None
    found = [(item, task(item)) for item in data if isinstance(item, dict)]
    return [(item, read) for item, read in found if read]


# Names of task_id, status, message, created and updated.
_LEGACY: Final = ("task_id", "task_status", "task_status_msg", "created_at", "updated_at")
_NEW: Final = ("id", "status", "message", "create_time", "update_time")


def _read(data: dict[str, Any]) -> Task | None:
    if "task_id" in data:
        names, result = _LEGACY, _object(data.get("task_result"))
        video, element = _first(result.get("videos")), _first(result.get("elements"))
    else:
        outputs = data.get("outputs")
        found = [item for item in outputs if _object(item).get("type") == "video"] if isinstance(outputs, list) else []
        names, video, element = _NEW, _first(found), {}
    task_id, status, message, created, updated = map(data.get, names)
    if not _text(task_id):
        return None
    return Task(
        _text(task_id),
        _text(status),
        _text(message),
        _milliseconds(created),
        _milliseconds(updated),
        _text(video.get("id")),
        _text(video.get("url")),
        _text(video.get("duration")),
        _text(element.get("element_name")),
    )


def _first(value: Any) -> dict[str, Any]:
    return _object(value[0]) if isinstance(value, list) and value else {}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _milliseconds(value: Any) -> int | None:
    is_time = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 10**15
    return int(value) if is_time else None
