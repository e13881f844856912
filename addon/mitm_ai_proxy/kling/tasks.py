"""Reads the answers of both of Kling's API versions, legacy and v2, into one Task.

Source: Kling API documentation, responses.
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
    """The members that every answer has; `code` is None if it is missing."""

    code: int | None
    message: str
    request_id: str
    data: Any


def envelope(document: Any) -> Envelope:
    """The envelope of a decoded answer; empty if that is not an object."""
    found = document if isinstance(document, dict) else {}
    code = found.get("code")
    return Envelope(
        code if isinstance(code, int) else None,
        _text(found.get("message")),
        _text(found.get("request_id")),
        found.get("data"),
    )


def task(data: Any) -> Task | None:
    """The task in `data` of an answer: an object, or an array of one in v2. None if there is no task."""
    if isinstance(data, list):
        data = data[0] if data else None
    return _read(data) if isinstance(data, dict) else None


def tasks(data: Any) -> list[tuple[Any, Task]] | None:
    """The tasks of a list, each with the JSON it was read from; None if there is no list.

    The list is `data` itself in the legacy API, `data.result` in v2.
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
