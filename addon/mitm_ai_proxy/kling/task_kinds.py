"""The kinds of Kling's video tasks, the prefixes that tell their ids apart, and edits that add one to an answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import msgspec

from .. import apis
from ..wire import json_edit

HINT: Final = "kling_task_type"
"""Query parameter with the kind of a task whose id has no prefix, such as `image2video`; not sent upstream."""


@dataclass(frozen=True, slots=True)
class TaskKind:
    """One kind: the prefix of its ids, the capabilities that create and retrieve its tasks, its values of HINT."""

    name: str
    prefix: str
    create: str
    retrieve: str
    hints: frozenset[str]


TEXT2VIDEO: Final = TaskKind(
    "text2video", "kling-t2v-", apis.VIDEOS, apis.RETRIEVE_VIDEO, frozenset({"text2video", "text", "t2v"})
)
IMAGE2VIDEO: Final = TaskKind(
    "image2video",
    "kling-i2v-",
    "kling/v1/image2video",
    "kling/v1/retrieveimagevideo",
    frozenset({"image2video", "image", "i2v"}),
)
OMNI_VIDEO: Final = TaskKind(
    "omni-video", "kling-omni-", "kling/v1/omnivideo", "kling/v1/retrieveomnivideo", frozenset({"omni-video", "omni"})
)
VIDEO_EXTEND: Final = TaskKind(
    "video-extend",
    "kling-ext-",
    "kling/v1/videoextend",
    "kling/v1/retrievevideoextend",
    frozenset({"video-extend", "extend"}),
)
TASK_KINDS: Final = {kind.name: kind for kind in (TEXT2VIDEO, IMAGE2VIDEO, OMNI_VIDEO, VIDEO_EXTEND)}
LISTED: Final = {"t2v": TEXT2VIDEO, "i2v": IMAGE2VIDEO}
"""The kinds whose tasks OpenAI's list of videos has, by the word for them in a cursor."""
PREFIXES: Final = tuple(kind.prefix for kind in TASK_KINDS.values())


class _Data(msgspec.Struct):
    task_id: str


class _Answer(msgspec.Struct):
    data: _Data


_decode_answer = msgspec.json.Decoder(_Answer).decode
_TASK_ID = re.compile(rb'"task_id"[ \t\n\r]*:[ \t\n\r]*"')


def kind_of(video_id: str) -> TaskKind | None:
    """The kind that the prefix of an id names; None for an id without one."""
    return next((kind for kind in TASK_KINDS.values() if video_id.startswith(kind.prefix)), None)


def prefix_edits(body: bytes, kind: TaskKind) -> list[json_edit.Edit]:
    """The edits that add the prefix of a kind to `task_id` and `data.task_id` of an answer where they have none.

    Raises json_edit.JSONError for an answer that is not a JSON object.
    """
    place = _usual_task_id(body)
    return [
        json_edit.Edit(start, start, kind.prefix.encode())
        for start, task_id in (_task_ids(body) if place is None else [place])
        if task_id and not task_id.startswith(PREFIXES)
    ]


def _task_ids(body: bytes) -> list[tuple[int, str]]:
    """The values of `task_id` and `data.task_id` in an answer, each with its position."""
    members = json_edit.members(body)
    found = [member for member in members if member.key == "task_id"]
    for data in (member for member in members if member.key == "data"):
        found += [member for member in json_edit.members_of(body, data) if member.key == "task_id"]
    return [(member.start + 1, json_edit.string_value(body, member) or "") for member in found]


def _usual_task_id(body: bytes) -> tuple[int, str] | None:
    """As _task_ids(), ten times faster, for an answer with one `task_id`, in `data`, and no escapes; else None."""
    if b"\\" in body or body.count(b'"task_id"') != 1:
        return None
    try:
        task_id = _decode_answer(body).data.task_id
    except (ValueError, RecursionError):
        return None
    place = _TASK_ID.search(body)
    return (place.end(), task_id) if place else None
