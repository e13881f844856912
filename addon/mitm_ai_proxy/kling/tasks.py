"""Reads the answers of Kling, in both API versions, and of gateways in front of it into one Task.

Sources: Kling API documentation, responses; QuantumNous/new-api, dto/task.go, dto/openai_video.go, and its API pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
    external_task_id: str = ""


@dataclass(frozen=True, slots=True)
class Envelope:
    """The members that every answer has.

    `code` is Kling's number, or the word of a gateway that refuses; None if it is missing or the gateway's for success.
    """

    code: int | str | None
    message: str
    request_id: str
    data: Any


_SUCCESS: Final = frozenset({"0", "200", "success", "succeed", "ok"})
"""A gateway's `code` of an answer that is no refusal."""
_MAX_WORD: Final = 64


def envelope(document: Any) -> Envelope:
    """The envelope of a decoded answer; empty if that is not an object."""
    found = _object(document)
    error = found.get("error")
    return Envelope(
        _code(found.get("code")),
        _text(found.get("message")) or _text(_object(error).get("message")) or _text(error) or _text(found.get("msg")),
        _text(found.get("request_id")),
        found.get("data"),
    )


def _code(value: Any) -> int | str | None:
    if isinstance(value, int):
        return None if value == 200 else value
    if not isinstance(value, str) or not value or value.lower() in _SUCCESS:
        return None
    return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else value[:_MAX_WORD]


def answered(document: Any) -> Task | None:
    """The task that a decoded answer names: in `data`, or at the top, where a gateway sends no envelope."""
    return _answered(document, _DEPTH)


def task(data: Any) -> Task | None:
    """The task in `data` of an answer: an object, or an array of one in v2. None if there is no task."""
    return _task(data, _DEPTH)


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


@dataclass(frozen=True, slots=True)
class _Shape:
    """How tasks of one shape are read. `marks`: members that only they have.

    Of the paths to a value, the first that leads to one counts; see _at(). `is_gateway`: its status is one of _WORDS.
    `answer`: the member that may hold Kling's whole answer.
    """

    marks: frozenset[str]
    status: tuple[str, ...]
    message: tuple[str, ...]
    created: tuple[str, ...]
    updated: tuple[str, ...]
    video_id: tuple[str, ...] = ()
    url: tuple[str, ...] = ()
    duration: tuple[str, ...] = ()
    element_name: tuple[str, ...] = ()
    external_task_id: tuple[str, ...] = ("external_task_id",)
    is_gateway: bool = False
    answer: str = ""


_WORDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("not_start", "submitted", "queued", "pending"), "submitted"),
    **dict.fromkeys(("in_progress", "processing", "running"), "processing"),
    **dict.fromkeys(("success", "succeed", "succeeded", "completed"), "succeed"),
    **dict.fromkeys(("failure", "failed", "fail", "error", "cancelled", "canceled", "expired"), FAILED),
}
"""Kling's status by that of gateways, in lower case."""

_SHAPES: Final = {
    "legacy": _Shape(
        frozenset({"task_status", "task_status_msg", "task_result", "task_info"}),
        status=("task_status", "status"),
        message=("task_status_msg",),
        created=("created_at",),
        updated=("updated_at",),
        video_id=("task_result.videos.0.id",),
        url=("task_result.videos.0.url",),
        duration=("task_result.videos.0.duration",),
        element_name=("task_result.elements.0.element_name",),
        external_task_id=("task_info.external_task_id", "external_task_id"),
    ),
    "v2": _Shape(
        frozenset({"outputs", "create_time", "update_time", "external_id"}),
        status=("status",),
        message=("message",),
        created=("create_time",),
        updated=("update_time",),
        video_id=("outputs.video.id",),
        url=("outputs.video.url",),
        duration=("outputs.video.duration",),
        external_task_id=("external_id",),
    ),
    "new-api": _Shape(
        frozenset({"fail_reason", "result_url", "submit_time", "data"}),
        status=("status",),
        message=("fail_reason",),
        created=("submit_time", "created_at"),
        updated=("finish_time", "updated_at"),
        # Of old tasks, the URL is in fail_reason.
        url=("result_url", "url", "fail_reason"),
        is_gateway=True,
        answer="data",
    ),
    "flat": _Shape(
        frozenset(),
        status=("status",),
        message=("error.message", "error", "message"),
        created=("created_at",),
        updated=("completed_at", "updated_at"),
        url=("url", "video_url", "metadata.url"),
        duration=("seconds", "metadata.duration"),
        is_gateway=True,
    ),
}
"""The shapes of a task; the first one that has a mark of it applies, else the last."""

_DEPTH: Final = 3
"""Answers inside of answers that are read, as of a gateway behind a gateway."""


def _answered(document: Any, depth: int) -> Task | None:
    if not isinstance(document, dict):
        return None
    found = _task(document.get("data"), depth)
    if found and ("code" in document or "status" not in document):
        return found
    return _task(document, depth) or found


def _task(data: Any, depth: int) -> Task | None:
    if isinstance(data, list):
        data = data[0] if data else None
    if not isinstance(data, dict):
        return None
    # New API's tasks have both: `id` is that of a row in its database.
    task_id = _text(data.get("task_id" if "task_id" in data else "id"))
    if not task_id:
        return None
    shape = next((shape for shape in _SHAPES.values() if not shape.marks.isdisjoint(data)), _SHAPES["flat"])
    status, message = _found(data, shape.status), _found(data, shape.message)
    found = Task(
        task_id,
        _WORDS.get(status.lower(), status) if shape.is_gateway else status,
        "" if shape.answer and _is_link(message) else message,
        _time(data, shape.created),
        _time(data, shape.updated),
        _found(data, shape.video_id),
        next((url for path in shape.url if _is_link(url := _text(_at(data, path)))), ""),
        _found(data, shape.duration),
        _found(data, shape.element_name),
        _found(data, shape.external_task_id),
    )
    return _with_answer(found, data.get(shape.answer), depth) if shape.answer and depth else found


def _with_answer(outer: Task, document: Any, depth: int) -> Task:
    """A gateway's task, with what Kling's answer inside of it says more exactly."""
    inner = _answered(document, depth - 1)
    if inner is None:
        return replace(outer, message=outer.message or envelope(document).message)
    return replace(
        inner,
        task_id=outer.task_id,
        status=outer.status if outer.status in _WORDS.values() else inner.status,
        message=outer.message or inner.message,
        created=inner.created if inner.created is not None else outer.created,
        updated=inner.updated if inner.updated is not None else outer.updated,
        url=inner.url or outer.url,
    )


def _at(value: Any, path: str) -> Any:
    """The value at a path such as `a.0.b`; None if there is none. A word picks the item of a list with that `type`."""
    for part in path.split("."):
        if isinstance(value, dict):
            value = value.get(part)
        elif not isinstance(value, list):
            return None
        elif part.isdigit():
            value = value[int(part)] if int(part) < len(value) else None
        else:
            value = next((item for item in value if _object(item).get("type") == part), None)
    return value


def _found(data: dict[str, Any], paths: tuple[str, ...]) -> str:
    return next((text for path in paths if (text := _text(_at(data, path)))), "")


def _time(data: dict[str, Any], paths: tuple[str, ...]) -> int | None:
    return next((time for path in paths if (time := _milliseconds(_at(data, path))) is not None), None)


def _is_link(text: str) -> bool:
    return text.lower().startswith(("https://", "http://"))


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _milliseconds(value: Any) -> int | None:
    """A Unix time in milliseconds; Kling gives that, some gateways give seconds."""
    is_time = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 10**15
    if not is_time:
        return None
    return int(value * 1000) if 10**8 <= value < 10**11 else int(value)
