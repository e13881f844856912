"""Where Kling calls back. See callbacks.py for whether a call is Kling's."""

from __future__ import annotations

import functools

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import Counter
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from ...errors import Refusal
from .. import callbacks, signing
from ..database import StoreError
from .services import Services, body_of


class Calls:
    """The endpoint that Kling calls; `count` counts the calls by their result."""

    def __init__(self, services: Services, count: Counter) -> None:
        self._services, self._count = services, count
        self.router = APIRouter()
        self.router.add_api_route(f"{callbacks.PATH}{{token}}", self.called, methods=["POST"])

    async def called(self, request: Request, token: str) -> Response:
        """Take a call, and have the job looked at once the answer is sent."""
        body = await body_of(request, callbacks.LARGEST)
        job_id = callbacks.job_of(token, await run_in_threadpool(lambda: self._key))
        if job_id is None or not self._is_genuine(request, body):
            self._count.labels("refused").inc()
            raise Refusal(401, "The call was not signed with what was agreed.", code="invalid_signature")
        self._count.labels("taken").inc()
        return Response(status_code=204, background=BackgroundTask(self._look, job_id))

    @functools.cached_property
    def _key(self) -> bytes:
        return self._services.store.keys.signing_key()

    def _is_genuine(self, request: Request, body: bytes) -> bool:
        """Whether a signature, if there is one, is right: Kling's legacy API sends none."""
        secrets = self._services.deployment.kling_secrets
        if not secrets or signing.SIGNATURE not in request.headers:
            return True
        return signing.is_genuine(secrets, request.headers, body, self._services.clock())

    def _look(self, job_id: str) -> None:
        try:
            if self._services.store.wake(job_id, self._services.clock()):
                self._services.messages.wake(job_id)
        except StoreError:
            # The next look finds out the same.
            return
