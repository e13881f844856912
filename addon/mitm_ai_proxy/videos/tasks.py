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
    external_id: str = ""
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
    if not isinstance(data, dict):
        return None
    return _legacy(data) if "task_id" in data else _new(data)


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


def _legacy(data: dict[str, Any]) -> Task | None:
    result = _object(data.get("task_result"))
    video, element = _first(result.get("videos")), _first(result.get("elements"))
    task_id = _text(data.get("task_id"))
    if not task_id:
        return None
    return Task(
        task_id,
        _text(data.get("task_status")),
        _text(data.get("task_status_msg")),
        _milliseconds(data.get("created_at")),
        _milliseconds(data.get("updated_at")),
        _text(video.get("id")),
        _text(video.get("url")),
        _text(video.get("duration")),
        _text(_object(data.get("task_info")).get("external_task_id")),
        _text(element.get("element_name")),
    )


def _new(data: dict[str, Any]) -> Task | None:
    outputs = data.get("outputs")
    videos = [item for item in outputs if _object(item).get("type") == "video"] if isinstance(outputs, list) else []
    video = videos[0] if videos else {}
    task_id = _text(data.get("id"))
    if not task_id:
        return None
    return Task(
        task_id,
        _text(data.get("status")),
        _text(data.get("message")),
        _milliseconds(data.get("create_time")),
        _milliseconds(data.get("update_time")),
        _text(video.get("id")),
        _text(video.get("url")),
        _text(video.get("duration")),
        _text(data.get("external_id")),
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
