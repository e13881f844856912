"""The ASGI application of the platform, or of its receiver of callbacks alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from ...errors import Refusal
from . import answers
from .api import Api
from .calls import Calls
from .creates import Creates
from .frame import Frame
from .live import EVERY, Live, Message, message
from .page import Page
from .probes import Probes
from .services import RAISED, Services, error_answer
from .videos import Videos

_TITLE = "Video jobs"


class Application:
    """The application. With `only_callbacks` it has nothing but the receiver of Kling's calls, and the probes."""

    def __init__(self, services: Services, *, only_callbacks: bool = False, listen_every: float = EVERY) -> None:
        self._services = services
        probes = Probes(services)
        self._live = Live(self._read, services.store.overview.last_event, every=listen_every)
        self._creates = Creates(services)
        app = FastAPI(title=_TITLE, docs_url=None, redoc_url=None, lifespan=self._lifespan)
        app.add_exception_handler(HTTPException, _unknown)
        for kind in (*RAISED, Exception):
            app.add_exception_handler(kind, _failed)
        app.include_router(Calls(services, probes.callbacks).router)
        app.include_router(probes.router)
        if not only_callbacks:
            api = Api(services, self._live, self._creates)
            for part in (api.router, Videos(services, api).router, Page(services).router):
                app.include_router(part)
        self._app: ASGIApp = Frame(app, probes.count)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        await self._app(scope, receive, send)

    def close(self) -> None:
        """End the streams of those who listen, which would hold up a server that stops; in the server's own thread."""
        self._live.close()

    @asynccontextmanager
    async def _lifespan(self, _: Any) -> AsyncIterator[None]:
        yield
        self.close()
        self._creates.close()

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


async def _unknown(request: Request, error: Exception) -> Response:
    """The answer for a path or method that there is not."""
    assert isinstance(error, HTTPException)
    path = request.url.path[:80]
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        problem = f"{path} does not take {request.method[:20]}, but {allowed}."
        return error_answer(Refusal(405, problem, code="wrong_method", headers={"Allow": allowed}))
    problem = f"Nothing is served at {path}. The API is at /api/videos, OpenAI's at /v1/videos, the page at /."
    return error_answer(Refusal(error.status_code, problem, code="unknown_path"))
