"""The simulator as a WSGI application: routes, authentication, faults, refusals. server.py and the gateway host it."""

from __future__ import annotations

import functools
import logging
import time
import traceback
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestedRangeNotSatisfiable, RequestEntityTooLarge
from werkzeug.routing import Map

from . import authentication, faults, new_design
from .account_views import AccountViews
from .callbacks import Callbacks
from .chat import paths, refusals
from .chat.views import CUT, LOST, TRUNCATED, ChatViews
from .endpoints import ENDPOINTS
from .faults import NONE, Fault, Repetitions
from .json_http import json_bytes, ok, prompt_of
from .kling_error import KlingError, bad_parameter
from .links import FOLDER
from .result_links import ResultLinks
from .settings import SimulatorSettings
from .task_views import TaskViews
from .tasks import Clock, Store
from .tool_views import ToolViews

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

logger = logging.getLogger(__name__)

MAX_BODY: Final = 100 * 1024 * 1024
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
        self._callbacks = Callbacks(settings, clock)
        links = ResultLinks(self.store)
        self._tasks = TaskViews(self.store, links, self._callbacks)
        self._tools = ToolViews(self.store, links, self._tasks)
        self._account = AccountViews(self.store)
        self._repetitions = Repetitions()
        self._chat = ChatViews(lambda: self.settings, self.store.now, self._repetitions)
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
            self._add(
                app, name, f"create {name}", functools.partial(self._tasks.create, endpoint), "POST", creates=True
            )
            self._add(app, name, f"list {name}", functools.partial(self._tasks.page, endpoint), "GET")
            self._add(app, f"{name}/<wanted>", f"get {name}", functools.partial(self._tasks.retrieve, endpoint), "GET")
        for kind in new_design.MODELS:
            view = functools.partial(self._tasks.create_new, kind)
            self._add(app, f"/{kind}/<model>", f"create {kind}", view, "POST", takes_pair=False, creates=True)
        self._add(app, "/tasks", "tasks", self._tasks.tasks_of_ids, "GET", takes_pair=False)
        self._add(app, "/tasks", "list tasks", self._tasks.list_tasks, "POST", takes_pair=False)
        self._add(app, "/account/costs", "costs", self._account.costs, "GET")
        for name in ("balance", "package"):
            self._add(app, f"/account/billing/{name}", name, self._account.billing, "POST")
        self._add(app, "/v1/audio/tts", "tts", self._tools.speech, "POST")
        self._add(app, "/v1/videos/identify-face", "faces", self._tools.faces, "POST")
        self._add(app, "/v1/videos/image-recognize", "recognize", self._tools.recognize, "POST")
        self._add(app, "/v1/videos/multi-elements/init-selection", "init", self._tools.selection, "POST")
        for name in _SELECTIONS:
            self._add(app, f"/v1/videos/multi-elements/{name}", name, self._tools.selected, "POST")
        for name in _PRESETS:
            self._add(app, f"/v1/general/{name}", name, lambda: ok([]), "GET")
        for path, key in _DELETES.items():
            self._add(app, path, path, functools.partial(self._tools.delete, key), "POST")
        _route(app, f"/{FOLDER}/<task_id>/<name>", "file", self._tasks.file, "GET")
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

    # Answers

    def _refused(self, error: KlingError) -> Response:
        shown = {"code": error.code, "message": error.message, "request_id": str(uuid.uuid4())}
        return Response(json_bytes(shown), error.status, mimetype="application/json")

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
        prompt, configured = (prompt_of(request), self.settings.fault) if creates else ("", "")
        try:
            fault = faults.asked_for(header, prompt, configured)
        except ValueError as error:
            raise bad_parameter(f"{faults.HEADER if header else 'prompt'}: {error}") from None
        if fault.is_of_chats:
            raise bad_parameter(f"{faults.HEADER if header else 'prompt'}: {fault.value} is a fault of chats")
        content = f"{request.method} {request.path} {header}\n".encode() + request.get_data()
        return fault if self._repetitions.applies(fault, content) else NONE


def _route(app: Flask, path: str, name: str, view: Callable[..., Response], method: str) -> None:
    """Let a view answer; its rule may be there already."""
    if app.url_map is Simulator._url_map:
        app.view_functions[name] = view
    else:
        app.add_url_rule(path, name, view, methods=[method])
