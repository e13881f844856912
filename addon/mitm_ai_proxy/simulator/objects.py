"""Tasks as Kling shows them: the objects of both generations, and what a result holds. No HTTP, no rules.

Source: Kling API documentation, task objects; shapes of live answers where known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from .endpoints import AUDIO, ELEMENT, ENDPOINTS, IMAGE, SHOTS, VIDEO, VIDEO_AND_AUDIO, VOICE
from .media import video
from .tasks import FAILED, SUBMITTED, SUCCEED, Task, common

Link = Callable[[str], str]
"""The link to a file, by its name."""

_VIDEO_ID: Final = 4
"""What the number of a video is higher by than that of its task."""


def video_id(task: Task) -> str:
    """The id of a task's video."""
    return str(int(task.task_id) + _VIDEO_ID)


def task_id_of_video(text: str) -> str:
    """The id of the task that made a video; "" for what is no id of a video."""
    return str(int(text) - _VIDEO_ID) if text.isascii() and text.isdigit() and len(text) < 30 else ""


def created(task: Task) -> dict[str, Any]:
    """The answer to a create, in the task's own generation."""
    milliseconds = _milliseconds(task.created)
    # Also of a task that is done in an instant.
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
    """A task as the legacy endpoints and callbacks show it."""
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
    """A task as the new design shows it, whichever generation made it."""
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
    """`task_result` of a task that succeeded."""
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
    """The length of a task's sound."""
    asked = task.body.get("duration")
    return float(asked) if isinstance(asked, int | float) else task.order.seconds or 5.0


def _outputs(found: dict[str, Any]) -> list[dict[str, Any]]:
    names = {"videos": "video", "images": "image", "audios": "audio", "elements": "element", "voices": "voice"}
    return [{"type": names[key], **item} for key, items in found.items() for item in items]


def _info(task: Task) -> dict[str, Any]:
    named = {"external_task_id": task.external_id} if task.external_id else {}
    return {**named, **task.extra}


def _has_watermark(task: Task) -> bool:
    wanted = common(task.body, task.is_new_design).get("watermark_info")
    return isinstance(wanted, dict) and wanted.get("enabled") is True


def _new_status(status: str) -> str:
    return "succeeded" if status == SUCCEED else status


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
