"""The paths of tasks: creates of both API versions, reads, and the files of results."""

from __future__ import annotations

import functools
import hashlib
import io
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flask import Response, g, request, send_file

from . import new_design, prices, task_objects
from .callbacks import Callbacks
from .endpoints import Endpoint
from .json_http import body_of, json_bytes, milliseconds, ok, whole_number
from .kling_error import KlingError, bad_parameter
from .media import audio, png, video
from .models import VIDEO_MODELS
from .result_links import ResultLinks
from .tasks import SUCCEED, Store, Task, common_fields


class TaskViews:
    """What answers them. Of a create, `g.fault` is the fault that befalls it."""

    def __init__(self, store: Store, links: ResultLinks, callbacks: Callbacks) -> None:
        self._store, self._links, self._callbacks = store, links, callbacks

    # Creates

    def create(self, endpoint: Endpoint) -> Response:
        """Make a task of an endpoint with its own path."""
        body = body_of(request)
        order = endpoint.rule(body)
        if order.retired and not self._store.settings.serve_retired:
            raise KlingError(1203, f"The model {order.model} has been discontinued and is no longer available")
        parent = self._parent(endpoint, body)
        if parent and endpoint.path.endswith("/video-extend"):
            order = replace(
                order, units=prices.extension(parent.order.model, parent.order.mode), size=parent.order.size
            )
        task = self._store.create(endpoint.path, order, body, g.fault)
        if parent:
            made = task_objects.result(parent, self._links.of(parent))["videos"][0]
            task.extra["parent_video"] = {name: made[name] for name in ("id", "url", "duration")}
        return self._accepted(task)

    def create_new(self, kind: str, model: str) -> Response:
        """Make a task of the new design."""
        body = body_of(request)
        order = new_design.order(kind, model, body)
        return self._accepted(self._store.create(f"/{kind}", order, body, g.fault, is_new_design=True))

    def _accepted(self, task: Task) -> Response:
        url = common_fields(task.body, task.is_new_design).get("callback_url")
        if isinstance(url, str):
            origin = self._links.origin()
            # Each callback shows the status of its time, even if it is sent late.
            stages = [
                (task.created, replace(task, begins=math.inf, ends=math.inf)),
                (task.begins, replace(task, ends=math.inf)),
                (task.ends, task),
            ]
            if task.created < task.begins == task.ends:
                del stages[1]
            self._callbacks.schedule(
                url, [(at, functools.partial(self._shown, stage, origin, at)) for at, stage in stages]
            )
        return ok(task_objects.created(task))

    def _shown(self, task: Task, origin: str, now: float) -> bytes:
        show = task_objects.new_design if task.is_new_design else task_objects.legacy
        return json_bytes(show(task, now, self._links.of(task, origin)))

    def _parent(self, endpoint: Endpoint, body: Mapping[str, Any]) -> Task | None:
        """The task whose video a create extends or edits; None if it names no video. Raises KlingError."""
        inner = body.get("input")
        wanted = (inner if isinstance(inner, dict) else body).get("video_id")
        if not isinstance(wanted, str):
            return None
        task = self.of_video(wanted)
        model = VIDEO_MODELS.get(task.order.model)
        if endpoint.path.endswith("/video-extend") and not (model and model.extends):
            raise bad_parameter("video-extend is not supported by the model of the video")
        return task

    def of_video(self, wanted: str) -> Task:
        """The task that made a video. Raises KlingError."""
        task = self._store.find(task_objects.task_id_of_video(wanted))
        if task is None or task.status(self._store.now()) != SUCCEED or task.order.pack != "video":
            raise bad_parameter(f"From video not found by id: {wanted[:100]}")
        return task

    # Reads

    def retrieve(self, endpoint: Endpoint, wanted: str) -> Response:
        """A task by its id or external id."""
        task = self._store.find(wanted, endpoint.path)
        if task is None or (endpoint.by_id_only and task.task_id != wanted):
            raise bad_parameter(f"Task not found by id/external id: {wanted[:200]}")
        return ok(task_objects.legacy(task, self._store.now(), self._links.of(task)))

    def page(self, endpoint: Endpoint) -> Response:
        """A page of the tasks of an endpoint."""
        page, size = whole_number("pageNum", 1, 1000), whole_number("pageSize", 30, 500)
        now = self._store.now()
        found = self._store.list_tasks(endpoint.path)[(page - 1) * size : page * size]
        return ok([task_objects.legacy(task, now, self._links.of(task)) for task in found])

    def tasks_of_ids(self) -> Response:
        """The tasks of several ids."""
        wanted = request.args.get("task_ids") or request.args.get("external_task_ids")
        if not wanted:
            raise bad_parameter("task_ids or external_task_ids is required")
        ids = [item for item in wanted.split(",") if item]
        if len(ids) > 20:
            raise bad_parameter("task_ids cannot exceed 20 in total")
        now = self._store.now()
        found = [task for task in map(self._store.find, ids) if task]
        return ok([task_objects.new_design(task, now, self._links.of(task)) for task in found])

    def list_tasks(self) -> Response:
        """Tasks of all endpoints, filtered, from a cursor on."""
        body = body_of(request)
        limit, cursor = body.get("limit", 100), body.get("cursor") or "0"
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= 500:
            raise bad_parameter(f"limit value '{str(limit)[:100]}' is invalid")
        if not (isinstance(cursor, str) and cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
            raise bad_parameter("cursor is invalid")
        now, start = self._store.now(), int(cursor)
        earliest = milliseconds(body, "start_time", (now - 30 * 86400) * 1000)
        latest = milliseconds(body, "end_time", now * 1000 + 1)
        shown = [
            task_objects.new_design(task, now, self._links.of(task))
            for task in self._store.list_tasks()
            if earliest <= task.created * 1000 <= latest
        ]
        filters = body.get("filters")
        for item in filters if isinstance(filters, list) else []:
            values = item.get("values") if isinstance(item, dict) and item.get("key") == "status" else None
            if isinstance(values, list):
                shown = [task for task in shown if task["status"] in values]
        following = start + limit
        return ok(
            {
                "result": shown[start:following],
                "count": len(shown[start:following]),
                "next_cursor": str(following) if following < len(shown) else "",
                "has_more": following < len(shown),
            }
        )

    def file(self, task_id: str, name: str) -> Response:
        """A file of a result, to whom has a valid link."""
        task = self._store.find(task_id)
        reason = self._links.refusal_reason(
            f"{task_id}/{name}", request.args.get("expires", ""), request.args.get("sign", ""), self._store.now()
        )
        if reason or task is None or task.gone:
            shown = reason or "the file is gone"
            return Response(
                f"<Error><Code>AccessDenied</Code><Message>{shown}</Message></Error>", 403, mimetype="text/xml"
            )
        data, kind = _media(task, name)
        return send_file(io.BytesIO(data), kind, conditional=True, etag=hashlib.sha256(data).hexdigest()[:32])


def _media(task: Task, name: str) -> tuple[bytes, str]:
    """A file of the result of a task, and its media type."""
    end = name.rpartition(".")[2]
    words = ("SIMULATED", task.family.rpartition("/")[2].upper(), f"{task.order.seconds:g} S")
    if end == "mp4":
        return _video(*task.order.size, task.order.seconds or 5.0, words, task.task_id), "video/mp4"
    if end == "png":
        return _png(*task.order.size, words[:2], f"{task.task_id}/{name}"), "image/png"
    seconds = task_objects.sound_seconds(task)
    return (audio.wav(seconds), "audio/wav") if end == "wav" else (audio.mp3(seconds), "audio/mpeg")


# A player asks for the same file several times.
_video = functools.lru_cache(maxsize=16)(video.make)
_png = functools.lru_cache(maxsize=16)(png.make)
