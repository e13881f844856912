"""Where a client is sent when one request is not enough: to a file, to a task, or on to the second step.

What the second step needs travels in the link; nothing is kept here.
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
"""Query parameter of a redirect: the link or the id of Kling's that the second step works on."""

_LENGTH = re.compile(r"([0-9]{1,5}(\.[0-9]{1,6})?)?")


class Source(NamedTuple):
    """What a remix, an edit or an extension is made of: a link, or Kling's id of a video, and its length."""

    link: str
    seconds: str = ""


def to_file(task: tasks.Task) -> Answer:
    """302 to the file of a task, else 404 that says why there is none."""
    if task.status in tasks.DONE and pictures.is_web_url(task.url):
        return Answer(302, b"", {"location": task.url, "content-type": None})
    if task.status == tasks.FAILED:
        return error_codes.answer(404, None, f"The video failed: {task.message or 'Kling gave no reason.'}", "")
    return error_codes.answer(404, None, "The video is not ready yet.", "")


def to_second_step(target: str, task: tasks.Task, link: str) -> Answer:
    """307 back here with what the second step is made of, `link`; 404 where the task has nothing yet.

    `target` is the client's path and query, as in what follows.
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
    _, query = targets.take_parameter(query, "after")
    query = targets.merge_queries(query, f"after={cursor}")
    return Answer(302, b"", {"location": f"{own_path(target)}?{query}", "content-type": None})


def to_video(target: str, video_id: str) -> Answer:
    """303 to a video that is there already."""
    path = own_path(target)
    videos = path[: path.rfind("/v1/videos") + len("/v1/videos")]
    return Answer(303, b"", {"location": f"{videos}/{video_id}", "content-type": None})


def own_path(target: str) -> str:
    """The client's own path, which names no other host, as one that begins with two slashes would."""
    path, _ = targets.split_query(target)
    return "/" + path.lstrip("/")


def source_of(text: str) -> Source:
    """What to_second_step wrote into the query. Raises Refusal (400) for anything else."""
    try:
        seconds, _, link = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition("\n")
    except ValueError:
        seconds = link = ""
    if not link or not link.isprintable() or not _LENGTH.fullmatch(seconds):
        raise Refusal(400, f"{SOURCE} is not from a redirect of this proxy.", code="invalid_value", param=SOURCE)
    return Source(link, seconds)
