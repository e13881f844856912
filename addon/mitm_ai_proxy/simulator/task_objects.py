"""The JSON objects of tasks in answers and callbacks, in both API versions, and those of their results.

Source: Kling API documentation, task objects; shapes of live answers where known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from .endpoints import AUDIO, ELEMENT, ENDPOINTS, IMAGE, SHOTS, VIDEO, VIDEO_AND_AUDIO, VOICE
from .media import video
from .tasks import FAILED, SUBMITTED, SUCCEED, Task, common_fields

Link = Callable[[str], str]
"""Makes the URL of a file from its name."""

_VIDEO_ID: Final = 4
"""The id of a video is that of its task plus this."""


def video_id(task: Task) -> str:
    """The id of a task's video."""
    return str(int(task.task_id) + _VIDEO_ID)


def task_id_of_video(text: str) -> str:
    """The id of the task that made a video; "" if the text is not the id of a video."""
    return str(int(text) - _VIDEO_ID) if text.isascii() and text.isdigit() and len(text) < 30 else ""


def created(task: Task) -> dict[str, Any]:
    """The `data` of the answer to a create. The status is submitted, even if the task is finished already."""
    milliseconds = _milliseconds(task.created)
    if task.is_new_design:
        return {
            "id": task.task_id,
            "status": SUBMITTED,
            "message": "",
            "create_time": milliseconds,
            "update_time": milliseconds,
            "external_id": task.external_id,
        }
    return {
        "task_id": task.task_id,
        "task_status": SUBMITTED,
        "task_info": _info(task),
        "created_at": milliseconds,
        "updated_at": milliseconds,
    }


def legacy(task: Task, now: float, link: Link) -> dict[str, Any]:
    """The task object of the legacy API. `now` is Kling's time in seconds."""
    status = task.status(now)
    shown: dict[str, Any] = {
        "task_id": task.task_id,
        "task_status": status,
        "task_status_msg": task.failure if status == FAILED else "",
        "task_info": _info(task),
        "created_at": _milliseconds(task.created),
        "updated_at": _milliseconds(task.updated(now)),
        "task_result": result(task, link) if status == SUCCEED else {},
    }
    if _has_watermark(task):
        shown["watermark_info"] = {"enabled": True}
    if status in (SUCCEED, FAILED):
        shown["final_unit_deduction"] = f"{task.units:g}"
    return shown


def new_design(task: Task, now: float, link: Link) -> dict[str, Any]:
    """The task object of the new design, for tasks of both API versions. `now` is Kling's time in seconds."""
    status = task.status(now)
    shown: dict[str, Any] = {
        "id": task.task_id,
        "status": _new_status(status),
        "message": task.failure if status == FAILED else "",
        "create_time": _milliseconds(task.created),
        "update_time": _milliseconds(task.updated(now)),
        "external_id": task.external_id,
        "outputs": [],
        "billing": [],
    }
    if status == SUCCEED:
        shown["outputs"] = _outputs(result(task, link))
        shown["billing"] = [
            {"charge_type": "unit", "amount": f"{task.units:g}", "package_type": task.order.pack, "list_price": ""}
        ]
    return shown


def result(task: Task, link: Link) -> dict[str, Any]:
    """The `task_result` of a task that succeeded."""
    name = task.task_id
    kind = ENDPOINTS[task.family].result if task.family in ENDPOINTS else VIDEO
    found: dict[str, Any] = {}
    if kind in (VIDEO, VIDEO_AND_AUDIO):
        made = {"id": video_id(task), "url": link(f"{name}/0.mp4"), "duration": video.duration(task.order.seconds)}
        if _has_watermark(task):
            made["watermark_url"] = link(f"{name}/0-watermark.mp4")
        found["videos"] = [made]
    if kind in (AUDIO, VIDEO_AND_AUDIO):
        seconds = f"{sound_seconds(task):g}"
        found["audios"] = [
            {
                "id": video_id(task),
                "url_mp3": link(f"{name}/0.mp3"),
                "url_wav": link(f"{name}/0.wav"),
                "duration_mp3": seconds,
                "duration_wav": seconds,
            }
        ]
    if kind == IMAGE:
        found["images"] = [{"index": i, "url": link(f"{name}/{i}.png")} for i in range(task.order.count)]
    if kind == SHOTS:
        found["images"] = [
            {"index": i, **{f"url_{n}": link(f"{name}/{i * 3 + n}.png") for n in (1, 2, 3)}} for i in range(3)
        ]
    if kind == ELEMENT:
        found["elements"] = [
            {
                "element_id": int(name),
                "element_name": task.body.get("element_name"),
                "element_description": task.body.get("element_description", ""),
                "owned_by": "simulator",
                "status": "succeed",
            }
        ]
    if kind == VOICE:
        found["voices"] = [
            {
                "voice_id": name,
                "voice_name": task.body.get("voice_name"),
                "trial_url": link(f"{name}/0.mp3"),
                "owned_by": "simulator",
            }
        ]
    return found


def sound_seconds(task: Task) -> float:
    """The length of the sound of a task, in seconds."""
    asked = task.body.get("duration")
    return float(asked) if isinstance(asked, int | float) else task.order.seconds or 5.0


def _outputs(found: dict[str, Any]) -> list[dict[str, Any]]:
    names = {"videos": "video", "images": "image", "audios": "audio", "elements": "element", "voices": "voice"}
    return [{"type": names[key], **item} for key, items in found.items() for item in items]


def _info(task: Task) -> dict[str, Any]:
    named = {"external_task_id": task.external_id} if task.external_id else {}
    return {**named, **task.extra}


def _has_watermark(task: Task) -> bool:
    wanted = common_fields(task.body, task.is_new_design).get("watermark_info")
    return isinstance(wanted, dict) and wanted.get("enabled") is True


def _new_status(status: str) -> str:
    return "succeeded" if status == SUCCEED else status


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
