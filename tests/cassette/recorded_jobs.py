"""The exchanges of whole Kling jobs, for the tests of completing a recording and recording it again."""

from __future__ import annotations

from typing import Any

from mitm_ai_proxy.cassette.entry import Headers, Request, Response
from tests.cassette.exchanges import (
    ORIGIN,
    TEXT,
    Exchange,
    new_answer,
    new_design_answer,
    new_request,
    poll,
    task_answer,
)

CDN = "https://v1-kling.klingai.com"
SIGNED = f"{CDN}/{{}}.mp4?sign=scrubbed&expires=scrubbed"
FILE = Response(200, "", (("Content-Type", "video/mp4"),), b"film")


def done(task_id: str, *names: str) -> Response:
    """The final answer of a task with one video, or with these."""
    videos = [{"id": f"video-{name}", "url": SIGNED.format(name)} for name in names or (task_id,)]
    return task_answer(task_id, "succeed", task_result={"videos": videos})


def create(prompt: str = "a cat", **more: Any) -> Request:
    """A create of the legacy API."""
    return new_request("POST", TEXT, {"prompt": prompt, **more})


def fetch(name: str, headers: Headers = ()) -> Exchange:
    """A download of a result."""
    return new_request("GET", SIGNED.format(name), None, headers), FILE


def begin(name: str, request: Request | None = None) -> list[Exchange]:
    """An unfinished job."""
    return [(request or create(), task_answer(name, "submitted")), (poll(name), task_answer(name, "processing"))]


def life(name: str, request: Request | None = None) -> list[Exchange]:
    """A job from its create to the download."""
    return [*begin(name, request), (poll(name), done(name)), fetch(name)]


BOTH = new_request("GET", f"{ORIGIN}/tasks?task_ids=1111111,2222222")
TWO = [new_design_answer("1111111", "submitted"), new_design_answer("2222222", "submitted")]


def both(*statuses: str) -> Response:
    """The newer API's answer about the tasks that BOTH asks for."""
    tasks = [
        {"id": task_id, "status": status} for task_id, status in zip(("1111111", "2222222"), statuses, strict=True)
    ]
    return new_answer({"code": 0, "data": tasks})
