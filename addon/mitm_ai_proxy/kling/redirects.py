"""Redirects, for what takes two requests: to a file, to a task, to a page, or to the second request of a follow-up.

What the second request needs is in the query of the redirect.
"""

from __future__ import annotations

import base64
import re
from typing import Final, NamedTuple

from ..errors import Refusal
from ..exchange import Answer
from ..wire import targets
from . import error_codes, pictures, tasks

SOURCE: Final = "kling_source"
"""Query parameter of a redirect to the second request: the source video, encoded by to_second_step()."""

_LENGTH = re.compile(r"([0-9]{1,5}(\.[0-9]{1,6})?)?")


class Source(NamedTuple):
    """The source video of a remix, an edit or an extension: its URL, or Kling's id of it, and its length in seconds."""

    link: str
    seconds: str = ""


def to_file(task: tasks.Task) -> Answer:
    """302 to the file of a task, or 404 with the reason why there is none."""
    if task.status in tasks.DONE and pictures.is_web_url(task.url):
        return Answer(302, b"", {"location": task.url, "content-type": None})
    if task.status == tasks.FAILED:
        return error_codes.answer(404, None, f"The video failed: {task.message or 'Kling gave no reason.'}", "")
    return error_codes.answer(404, None, "The video is not ready yet.", "")


def to_second_step(target: str, task: tasks.Task, link: str) -> Answer:
    """307 to the same path with the source video (`link`: its URL or Kling's id) in the query; 404 if it is not ready.

    `target` is the path and query of the client's request, here and below.
    """
    if task.status not in tasks.DONE or not link:
        return error_codes.answer(404, None, "The video is not ready, so nothing can be made of it.", "")
    _, query = targets.split_query(target)
    seconds = task.duration if _LENGTH.fullmatch(task.duration) else ""
    text = base64.urlsafe_b64encode(f"{seconds}\n{link}".encode("utf-8", "replace")).decode().rstrip("=")
    query = targets.merge_queries(query, f"{SOURCE}={text}")
    note = "the client is sent on with what Kling calls its video"
    return Answer(307, b"", {"location": f"{own_path(target)}?{query}", "content-type": None}, (note,))


def to_page(target: str, cursor: str) -> Answer:
    """302 to another page of the same list."""
    _, query = targets.split_query(target)
    _, query = targets.pop_parameter(query, "after")
    query = targets.merge_queries(query, f"after={cursor}")
    return Answer(302, b"", {"location": f"{own_path(target)}?{query}", "content-type": None})


def to_video(target: str, video_id: str) -> Answer:
    """303 to a video that exists."""
    path = own_path(target)
    videos = path[: path.rfind("/v1/videos") + len("/v1/videos")]
    return Answer(303, b"", {"location": f"{videos}/{video_id}", "content-type": None})


def own_path(target: str) -> str:
    """The client's path for a Location. Extra slashes at its start are removed: `//host` would name another host."""
    path, _ = targets.split_query(target)
    return "/" + path.lstrip("/")


def source_of(text: str) -> Source:
    """The source that to_second_step() encoded into the query. Raises Refusal (400) for anything else."""
    try:
        seconds, _, link = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition("\n")
    except ValueError:
        seconds = link = ""
    if not link or not link.isprintable() or not _LENGTH.fullmatch(seconds):
        raise Refusal(400, f"{SOURCE} is not from a redirect of this proxy.", code="invalid_value", param=SOURCE)
    return Source(link, seconds)
