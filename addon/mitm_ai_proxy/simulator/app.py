"""The simulator as a WSGI application: routes, authentication, faults, answers. server.py and the gateway host it.

Requests are validated by rules.py and new_design.py; tasks are kept by tasks.py.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import logging
import math
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from flask import Flask, Request, Response, g, request, send_file
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestedRangeNotSatisfiable, RequestEntityTooLarge
from werkzeug.routing import Map

from . import authentication, faults, new_design, prices, task_objects
from .callbacks import Callbacks
from .chat import paths, refusals
from .chat.views import CUT, LOST, TRUNCATED, ChatViews
from .endpoints import ENDPOINTS, Endpoint
from .faults import NONE, Fault, Repetitions
from .fields import Check, check, link, number, one_of, picture, text, voice
from .kling_error import KlingError, bad_parameter
from .links import FOLDER, Links
from .media import audio, png, video
from .models import VIDEO_MODELS
from .settings import SimulatorSettings
from .tasks import SUCCEED, Clock, Store, Task, common_fields

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

logger = logging.getLogger(__name__)

ORIGIN: Final = "simulator.origin"
"""WSGI environment key: the origin for links to results, if it is not that of the Host header."""
MAX_BODY: Final = 100 * 1024 * 1024
COSTS_INTERVAL: Final = 1.0
"""Least seconds between two calls of /account/costs."""
_DELETES: Final = {
    "/v1/general/delete-advanced-elements": "element_id",
    "/v1/general/delete-elements": "element_id",
    "/v1/general/delete-voices": "voice_id",
}
_PRESETS: Final = ("advanced-presets-elements", "presets-elements", "presets-voices")
_SELECTIONS: Final = ("add-selection", "delete-selection", "clear-selection", "preview-selection")


class Simulator:
    """A simulated Kling, and a chat model beside it, with one account.

    An instance is a WSGI application, safe to call from several threads.

    `clock` gives Unix time in seconds.
    """

    _url_map: ClassVar[Map | None] = None
    """The rules of the routes, which are every instance's: they are compiled once, for that takes a while."""

    def __init__(self, settings: SimulatorSettings, clock: Clock = time.time) -> None:
        self.settings = settings
        self.store = Store(settings, clock)
        self._links = Links()
        self._callbacks = Callbacks(settings, clock)
        self._repetitions = Repetitions()
        self._chat = ChatViews(lambda: self.settings, self.store.now, self._repetitions)
        self._costs_asked = -COSTS_INTERVAL
        self._lock = threading.Lock()
        self._app = self._routes()

    def use(self, settings: SimulatorSettings) -> None:
        """Replace the settings; tasks are kept."""
        self.settings = self.store.settings = self._callbacks.settings = settings

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """The WSGI application."""
        return self._app(environ, start_response)

    def _routes(self) -> Flask:
        app = Flask("simulator", static_folder=None)
        if Simulator._url_map is not None:
            app.url_map = Simulator._url_map
        app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
        app.register_error_handler(KlingError, self._refused)
        app.register_error_handler(HTTPException, self._unknown)
        app.register_error_handler(Exception, self._broken)
        app.after_request(self._dated)
        for endpoint in ENDPOINTS.values():
            name = endpoint.path
            self._add(app, name, f"create {name}", functools.partial(self._create, endpoint), "POST", creates=True)
            self._add(app, name, f"list {name}", functools.partial(self._list, endpoint), "GET")
            self._add(app, f"{name}/<wanted>", f"get {name}", functools.partial(self._retrieve, endpoint), "GET")
        for kind in new_design.MODELS:
            view = functools.partial(self._create_new, kind)
            self._add(app, f"/{kind}/<model>", f"create {kind}", view, "POST", takes_pair=False, creates=True)
        self._add(app, "/tasks", "tasks", self._tasks, "GET", takes_pair=False)
        self._add(app, "/tasks", "list tasks", self._list_tasks, "POST", takes_pair=False)
        self._add(app, "/account/costs", "costs", self._costs, "GET")
        for name in ("balance", "package"):
            self._add(app, f"/account/billing/{name}", name, self._billing, "POST")
        self._add(app, "/v1/audio/tts", "tts", self._speech, "POST")
        self._add(app, "/v1/videos/identify-face", "faces", self._faces, "POST")
        self._add(app, "/v1/videos/image-recognize", "recognize", self._recognize, "POST")
        self._add(app, "/v1/videos/multi-elements/init-selection", "init", self._selection, "POST")
        for name in _SELECTIONS:
            self._add(app, f"/v1/videos/multi-elements/{name}", name, self._selected, "POST")
        for name in _PRESETS:
            self._add(app, f"/v1/general/{name}", name, lambda: self._ok([]), "GET")
        for path, key in _DELETES.items():
            self._add(app, path, path, functools.partial(self._delete, key), "POST")
        _route(app, f"/{FOLDER}/<task_id>/<name>", "file", self._file, "GET")
        for rule in self._chat.rules:
            _route(app, *rule)
        Simulator._url_map = app.url_map
        return app

    def _dated(self, response: Response) -> Response:
        """The answer with Kling's time, which the configured skew moves."""
        response.date = datetime.fromtimestamp(self.store.now(), UTC)
        return response

    def _add(
        self,
        app: Flask,
        path: str,
        name: str,
        view: Callable[..., Response],
        method: str,
        *,
        takes_pair: bool = True,
        creates: bool = False,
    ) -> None:
        def guarded(**ids: str) -> Response:
            authorization = request.headers.get("Authorization")
            authentication.check(authorization, self.settings, self.store.now(), takes_pair=takes_pair)
            g.fault = fault = self._fault(creates)
            if fault.name == "CODE":
                raise KlingError(fault.code)
            answer = view(**ids)
            if fault.name == "accepted":
                raise KlingError(fault.code)
            if fault.name == "garbage":
                return Response("<html><body><h1>Bad gateway</h1></body></html>", mimetype="text/html")
            if fault.name in (LOST, TRUNCATED):
                request.environ.get(CUT, []).append(fault.name)
            return answer

        _route(app, path, name, guarded, method)

    # Creates

    def _create(self, endpoint: Endpoint) -> Response:
        body = _body(request)
        order = endpoint.rule(body)
        if order.retired and not self.settings.serve_retired:
            raise KlingError(1203, f"The model {order.model} has been discontinued and is no longer available")
        parent = self._parent(endpoint, body)
        if parent and endpoint.path.endswith("/video-extend"):
            order = replace(
                order, units=prices.extension(parent.order.model, parent.order.mode), size=parent.order.size
            )
        task = self.store.create(endpoint.path, order, body, g.fault)
        if parent:
            made = task_objects.result(parent, self._link_of(parent))["videos"][0]
            task.extra["parent_video"] = {name: made[name] for name in ("id", "url", "duration")}
        return self._accepted(task)

    def _create_new(self, kind: str, model: str) -> Response:
        body = _body(request)
        order = new_design.order(kind, model, body)
        return self._accepted(self.store.create(f"/{kind}", order, body, g.fault, is_new_design=True))

    def _accepted(self, task: Task) -> Response:
        url = common_fields(task.body, task.is_new_design).get("callback_url")
        if isinstance(url, str):
            origin = self._origin()
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
        return self._ok(task_objects.created(task))

    def _shown(self, task: Task, origin: str, now: float) -> bytes:
        show = task_objects.new_design if task.is_new_design else task_objects.legacy
        return _json(show(task, now, self._link_of(task, origin)))

    def _parent(self, endpoint: Endpoint, body: Mapping[str, Any]) -> Task | None:
        """The task whose video a create extends or edits; None if it names no video. Raises KlingError."""
        inner = body.get("input")
        wanted = (inner if isinstance(inner, dict) else body).get("video_id")
        if not isinstance(wanted, str):
            return None
        task = self._of_video(wanted)
        model = VIDEO_MODELS.get(task.order.model)
        if endpoint.path.endswith("/video-extend") and not (model and model.extends):
            raise bad_parameter("video-extend is not supported by the model of the video")
        return task

    def _of_video(self, wanted: str) -> Task:
        task = self.store.find(task_objects.task_id_of_video(wanted))
        if task is None or task.status(self.store.now()) != SUCCEED or task.order.pack != "video":
            raise bad_parameter(f"From video not found by id: {wanted[:100]}")
        return task

    # Reads

    def _retrieve(self, endpoint: Endpoint, wanted: str) -> Response:
        task = self.store.find(wanted, endpoint.path)
        if task is None or (endpoint.by_id_only and task.task_id != wanted):
            raise bad_parameter(f"Task not found by id/external id: {wanted[:200]}")
        return self._ok(task_objects.legacy(task, self.store.now(), self._link_of(task)))

    def _list(self, endpoint: Endpoint) -> Response:
        page, size = _page("pageNum", 1, 1000), _page("pageSize", 30, 500)
        now = self.store.now()
        found = self.store.list_tasks(endpoint.path)[(page - 1) * size : page * size]
        return self._ok([task_objects.legacy(task, now, self._link_of(task)) for task in found])

    def _tasks(self) -> Response:
        wanted = request.args.get("task_ids") or request.args.get("external_task_ids")
        if not wanted:
            raise bad_parameter("task_ids or external_task_ids is required")
        ids = [item for item in wanted.split(",") if item]
        if len(ids) > 20:
            raise bad_parameter("task_ids cannot exceed 20 in total")
        now = self.store.now()
        found = [task for task in map(self.store.find, ids) if task]
        return self._ok([task_objects.new_design(task, now, self._link_of(task)) for task in found])

    def _list_tasks(self) -> Response:
        body = _body(request)
        limit, cursor = body.get("limit", 100), body.get("cursor") or "0"
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= 500:
            raise bad_parameter(f"limit value '{str(limit)[:100]}' is invalid")
        if not (isinstance(cursor, str) and cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
            raise bad_parameter("cursor is invalid")
        now, start = self.store.now(), int(cursor)
        earliest = _time(body, "start_time", (now - 30 * 86400) * 1000)
        latest = _time(body, "end_time", now * 1000 + 1)
        shown = [
            task_objects.new_design(task, now, self._link_of(task))
            for task in self.store.list_tasks()
            if earliest <= task.created * 1000 <= latest
        ]
        filters = body.get("filters")
        for item in filters if isinstance(filters, list) else []:
            values = item.get("values") if isinstance(item, dict) and item.get("key") == "status" else None
            if isinstance(values, list):
                shown = [task for task in shown if task["status"] in values]
        following = start + limit
        return self._ok(
            {
                "result": shown[start:following],
                "count": len(shown[start:following]),
                "next_cursor": str(following) if following < len(shown) else "",
                "has_more": following < len(shown),
            }
        )

    def _file(self, task_id: str, name: str) -> Response:
        task = self.store.find(task_id)
        reason = self._links.refusal_reason(
            f"{task_id}/{name}", request.args.get("expires", ""), request.args.get("sign", ""), self.store.now()
        )
        if reason or task is None or task.gone:
            shown = reason or "the file is gone"
            return Response(
                f"<Error><Code>AccessDenied</Code><Message>{shown}</Message></Error>", 403, mimetype="text/xml"
            )
        data, kind = _media(task, name)
        return send_file(io.BytesIO(data), kind, conditional=True, etag=hashlib.sha256(data).hexdigest()[:32])

    # Synchronous calls

    def _speech(self) -> Response:
        body = _body(request)
        known: dict[str, Check] = {
            "text": text(1000, 1),
            "voice_id": voice,
            "voice_language": one_of("zh", "en"),
            "voice_speed": number(0.8, 2),
        }
        check(body, known, "text", "voice_id")
        self.store.pay("video", prices.FIXED["/v1/audio/tts"])
        seconds = max(1.0, len(body["text"]) / 15)
        task = self.store.add_finished("/v1/audio/tts", {"duration": seconds})
        made = {"id": task.task_id, "url": self._link_of(task)(f"{task.task_id}/0.mp3"), "duration": f"{seconds:g}"}
        shown = {"task_id": task.task_id, "task_status": SUCCEED, "task_result": {"audios": [made]}}
        return self._ok({**shown, "final_unit_deduction": "0.05"})

    def _faces(self) -> Response:
        body = _body(request)
        seconds = self._given_video(body)
        self.store.pay("video", prices.FIXED["/v1/videos/identify-face"])
        task = self.store.add_finished("/v1/videos/identify-face", {})
        face = {
            "face_id": "0",
            "face_image": self._link_of(task)(f"{task.task_id}/0.png"),
            "start_time": 0,
            "end_time": int(seconds * 1000),
        }
        return self._ok({"session_id": task.task_id, "face_data": [face], "final_unit_deduction": "0.05"})

    def _recognize(self) -> Response:
        body = _body(request)
        check(body, {"image": picture}, "image")
        self.store.pay("video", prices.FIXED["/v1/videos/image-recognize"])
        task = self.store.add_finished("/v1/videos/image-recognize", {})
        link_to = self._link_of(task)
        kinds = ("object_seg", "head_seg", "face_seg", "cloth_seg")
        images = [
            {"type": kind, "is_contain": index == 0, "url": link_to(f"{task.task_id}/{index}.png")}
            for index, kind in enumerate(kinds)
        ]
        return self._ok({"task_result": {"images": images}, "final_unit_deduction": "0.1"})

    def _selection(self) -> Response:
        seconds = self._given_video(_body(request))
        task = self.store.add_finished("/v1/videos/multi-elements/init-selection", {})
        return self._ok(
            {
                "status": 0,
                "session_id": task.task_id,
                "fps": 24,
                "original_duration": int(seconds * 1000),
                "width": 1280,
                "height": 720,
                "total_frame": video.frames(seconds),
                "normalized_video": self._link_of(task)(f"{task.task_id}/0.mp4"),
                "final_unit_deduction": "0",
            }
        )

    def _selected(self) -> Response:
        session = _body(request).get("session_id")
        if not isinstance(session, str) or self.store.find(session) is None:
            raise bad_parameter("session_id is invalid")
        return self._ok({"status": 0, "session_id": session, "res": {}})

    def _given_video(self, body: Mapping[str, Any]) -> float:
        """The length in seconds of the video in `video_id` or `video_url`; 5 for a URL. Raises KlingError."""
        if (body.get("video_id") in (None, "")) == (body.get("video_url") in (None, "")):
            raise bad_parameter("One of video_id and video_url is required")
        if body.get("video_url"):
            link("video_url", body["video_url"])
            return 5.0
        return self._of_video(str(body["video_id"])).order.seconds

    def _delete(self, key: str) -> Response:
        wanted = str(_body(request).get(key) or "")
        if not wanted:
            raise bad_parameter(f"{key} can not be null")
        task = self.store.find(wanted)
        if task is None:
            raise bad_parameter(f"{key} {wanted[:100]} may already be deleted")
        self.store.delete(task)
        return self._ok({"task_id": task.task_id, "task_status": SUCCEED})

    # The account

    def _costs(self) -> Response:
        for name in ("start_time", "end_time"):
            value = request.args.get(name, "")
            if not value:
                raise KlingError(1200)
            if not (value.isascii() and value.isdigit()):
                raise bad_parameter(f"{name} value '{value[:100]}' is invalid")
        now = self.store.now()
        with self._lock:
            if abs(now - self._costs_asked) < COSTS_INTERVAL:
                raise KlingError(1302)
            self._costs_asked = now
        packs = (("Video", "video", self.settings.units), ("Image", "image", self.settings.image_units))
        rows = [
            {
                "resource_pack_name": f"Simulated-{shown}-{total:g}Units-{self.settings.concurrency}Con",
                "resource_pack_id": f"simulated-{pack}",
                "resource_pack_type": "decreasing_total",
                "total_quantity": total,
                "remaining_quantity": self.store.remaining(pack),
                "purchase_time": 0,
                "effective_time": 0,
                "invalid_time": int(now * 1000) + 30 * 86400 * 1000,
                "status": "online" if self.store.remaining(pack) > 0 else "runOut",
            }
            for shown, pack, total in packs
        ]
        return self._ok({"code": 0, "msg": "SUCCEED", "resource_pack_subscribe_infos": rows})

    def _billing(self) -> Response:
        _body(request)
        now = self.store.now()
        rows = [
            {
                "task_id": task.task_id,
                "product_function": task.family,
                "model_name": task.order.model,
                "resolution": task.order.mode,
                "duration": video.duration(task.order.seconds),
                "deduction_time": int(task.ends * 1000),
                "amount": f"{task.units:g}",
            }
            for task in self.store.list_tasks()
            if task.status(now) == SUCCEED
        ]
        return self._ok({"result": rows, "next_cursor": "", "has_more": False})

    # Answers

    def _ok(self, data: Any) -> Response:
        shown = {"code": 0, "message": "SUCCEED", "request_id": str(uuid.uuid4()), "data": data}
        return Response(_json(shown), mimetype="application/json")

    def _refused(self, error: KlingError) -> Response:
        shown = {"code": error.code, "message": error.message, "request_id": str(uuid.uuid4())}
        return Response(_json(shown), error.status, mimetype="application/json")

    def _unknown(self, error: HTTPException) -> Any:
        if isinstance(error, RequestedRangeNotSatisfiable):
            return error
        if paths.is_chat(request.path):
            is_known = error.code in refusals.KINDS
            return self._chat.refused(refusals.of_status(error.code if is_known and error.code else 404))
        if isinstance(error, MethodNotAllowed):
            return self._refused(KlingError(1202))
        if isinstance(error, RequestEntityTooLarge):
            return self._refused(bad_parameter("The request body is too large"))
        return self._refused(KlingError(1203))

    def _broken(self, error: Exception) -> Response:
        # Without the traceback and the message: they may quote a request.
        frame = traceback.extract_tb(error.__traceback__)[-1]
        logger.warning("simulator: %s in %s:%s", type(error).__name__, Path(frame.filename).name, frame.lineno)
        if paths.is_chat(request.path):
            return self._chat.refused(refusals.of_status(500))
        return self._refused(KlingError(5000))

    def _fault(self, creates: bool) -> Fault:
        """The fault of this request; NONE once a fault with `*N` was applied N times. Raises KlingError."""
        header = request.headers.get(faults.HEADER)
        prompt, configured = (_prompt(request), self.settings.fault) if creates else ("", "")
        try:
            fault = faults.asked_for(header, prompt, configured)
        except ValueError as error:
            raise bad_parameter(f"{faults.HEADER if header else 'prompt'}: {error}") from None
        if fault.is_of_chats:
            raise bad_parameter(f"{faults.HEADER if header else 'prompt'}: {fault.value} is a fault of chats")
        content = f"{request.method} {request.path} {header}\n".encode() + request.get_data()
        return fault if self._repetitions.applies(fault, content) else NONE

    def _origin(self) -> str:
        given = self.settings.public_url or request.environ.get(ORIGIN)
        return str(given) if given else f"{request.scheme}://{request.host}"

    def _link_of(self, task: Task, origin: str = "") -> task_objects.Link:
        origin = origin or self._origin()
        expires = task.ends + self.settings.link_lifetime
        return lambda name: self._links.make(origin, name, expires)


def _route(app: Flask, path: str, name: str, view: Callable[..., Response], method: str) -> None:
    """Let a view answer; its rule may be there already."""
    if app.url_map is Simulator._url_map:
        app.view_functions[name] = view
    else:
        app.add_url_rule(path, name, view, methods=[method])


def _body(asked: Request) -> dict[str, Any]:
    """The body of a request. Raises KlingError if it is not a JSON object."""
    if asked.mimetype != "application/json":
        raise KlingError(1200, "Content-Type must be application/json")
    try:
        body = json.loads(asked.get_data())
    except (ValueError, RecursionError):
        raise KlingError(1200, "The request body is not valid JSON") from None
    if not isinstance(body, dict):
        raise KlingError(1200, "The request body is not a JSON object")
    return body


def _prompt(asked: Request) -> str:
    """The prompt of a create of either API version; "" if it cannot be found."""
    try:
        body = _body(asked)
    except KlingError:
        return ""
    contents = body.get("contents")
    texts = [item.get("text") for item in contents if isinstance(item, dict)] if isinstance(contents, list) else []
    return "\n".join(text for text in [body.get("prompt"), *texts] if isinstance(text, str))


def _page(name: str, default: int, at_most: int) -> int:
    value = request.args.get(name, str(default))
    if not (value.isascii() and value.isdigit() and len(value) < 6 and 1 <= int(value) <= at_most):
        raise bad_parameter(f"{name} value '{value[:100]}' is invalid")
    return int(value)


def _time(body: Mapping[str, Any], name: str, default: float) -> float:
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise bad_parameter(f"{name} value '{str(value)[:100]}' is invalid")
    return value


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


def _json(shown: Any) -> bytes:
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
