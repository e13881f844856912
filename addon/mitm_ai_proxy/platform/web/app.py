"""The ASGI application of the platform, or of its receiver of callbacks alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from ...errors import Refusal
from .. import alarms
from ..alarms import Alarm
from . import answers, live, openapi
from .api import Api
from .calls import Calls
from .creates import Creates
from .frame import Frame
from .live import EVERY, Live, Message, message
from .page import Page
from .probes import Probes
from .services import RAISED, READ, Services, answer, error_answer
from .videos import Videos

DOCUMENT = "/openapi.json"
_LEFT = 499
"""The status for a client that has gone, as nginx has it."""


class Application:
    """The application. With `only_callbacks` it has nothing but the receiver of Kling's calls, and the probes."""

    def __init__(self, services: Services, *, only_callbacks: bool = False, listen_every: float = EVERY) -> None:
        self._services = services
        probes = Probes(services)
        self._live = Live(
            self._read,
            services.store.overview.last_event,
            paused=self._paused,
            resumed=lambda key: live.alarm(Alarm(*key, "").content()),
            every=listen_every,
        )
        self._creates = Creates(services)
        app = FastAPI(openapi_url=None, lifespan=self._lifespan)
        app.add_exception_handler(HTTPException, self._unknown)
        app.add_exception_handler(ClientDisconnect, _left)
        for kind in (*RAISED, Exception):
            app.add_exception_handler(kind, _failed)
        routers = [Calls(services, probes.callbacks).router, probes.router]
        if not only_callbacks:
            api = Api(services, self._live, self._creates)
            routers += [api.router, Videos(services, api).router, Page(services).router]
        routers.append(APIRouter())
        routers[-1].add_api_route(DOCUMENT, self._described, methods=READ)
        for router in routers:
            app.include_router(router)
        self._routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
        self._app: ASGIApp = Frame(app, probes.count)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        await self._app(scope, receive, send)

    def close(self) -> None:
        """End the streams of those who listen, which would hold up a server that stops; in the server's own thread."""
        self._live.close()

    async def _described(self) -> Response:
        """The OpenAPI document of the endpoints that this process has."""
        known = {route.path for route in self._routes}
        return answer(openapi.document({path: found for path, found in openapi.OPERATIONS.items() if path in known}))

    async def _unknown(self, request: Request, error: Exception) -> Response:
        """The answer for a path or method that there is not; OPTIONS says what there is."""
        assert isinstance(error, HTTPException)
        path = request.url.path
        methods = {method for route in self._routes if route.path_regex.match(path) for method in route.methods or ()}
        if not methods:
            problem = f"Nothing is served at {path[:80]}. The API is at /api/videos, OpenAI's at /v1/videos,"
            return error_answer(Refusal(404, f"{problem} the page at /.", code="unknown_path"))
        allowed = {"Allow": ", ".join(sorted({*methods, "OPTIONS"}))}
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=allowed)
        problem = f"{path[:80]} does not take {request.method[:20]}, but {allowed['Allow']}."
        return error_answer(Refusal(405, problem, code="wrong_method", headers=allowed))

    @asynccontextmanager
    async def _lifespan(self, _: Any) -> AsyncIterator[None]:
        yield
        self.close()
        self._creates.close()

    def _paused(self) -> dict[tuple[str, str], bytes]:
        paused = alarms.paused(self._services.store.lanes())
        return {key: live.alarm(alarm.content()) for key, alarm in paused.items()}

    def _read(self, after: int) -> Sequence[Message]:
        now, timing = self._services.clock(), self._services.deployment.platform.timing
        return [
            message(
                event.number,
                event.job,
                job.tenant,
                {"event": answers.event(event), "job": answers.job(job, now, timing)},
            )
            for event, job in self._services.store.overview.news(after)
        ]


async def _failed(_: Request, error: Exception) -> Response:
    """The answer for what an endpoint has raised."""
    return error_answer(error)


async def _left(_: Request, __: Exception) -> Response:
    """What is counted where a client has gone before its request was whole; nobody reads it."""
    return Response(status_code=_LEFT)
