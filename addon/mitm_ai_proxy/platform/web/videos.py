"""OpenAI's Videos API on the platform's jobs. Source: OpenAI's API reference, videos, and what its SDKs send."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from ... import exchange
from ...errors import Refusal
from ...exchange import Head
from ...kling import forms
from ...kling.document import Document
from .. import orders, repeats
from ..intake import Caller
from ..orders import Draft
from ..records import Job, Repeat
from ..settings import TenantSettings
from ..states import CANCELLABLE, FINAL
from . import content, follow_ups, video_object
from .api import Api
from .creates import Order
from .queries import Query, is_id
from .services import READ, Services, answer, idempotency_key, unknown_job

Read = Callable[[Document, TenantSettings, Caller], Draft]

_NO_RETRY: Final = {"x-should-retry": "false"}
_SDK_FIELD: Final = "x-stainless-lang"
_RETRIES_FIELD: Final = "x-stainless-retry-count"


class Videos:
    """The endpoints below /v1."""

    def __init__(self, services: Services, api: Api) -> None:
        self._services, self._api = services, api
        self.router = APIRouter(prefix="/v1")
        add = self.router.add_api_route
        add("/videos", self.create, methods=["POST"])
        add("/videos", self.list, methods=READ)
        add("/videos/edits", self.edit, methods=["POST"])
        add("/videos/extensions", self.extend, methods=["POST"])
        add("/videos/characters", self.characters, methods=["POST"])
        add("/videos/characters/{character_id}", self.characters, methods=READ)
        add("/videos/{video_id}", self.retrieve, methods=READ)
        add("/videos/{video_id}", self.delete, methods=["DELETE"])
        add("/videos/{video_id}/content", self.content, methods=READ)
        add("/videos/{video_id}/remix", self.remix, methods=["POST"])

    async def create(self, request: Request) -> Response:
        """Accept a job."""
        return await self._accept(request, self._created, is_quick=True)

    async def edit(self, request: Request) -> Response:
        """Accept a job that edits a video."""

        def read(document: Document, tenant: TenantSettings, caller: Caller) -> Draft:
            job = None if follow_ups.is_link(document) else self._source(caller, document)
            return follow_ups.edit(document, job, self._services.clients, tenant)

        return await self._accept(request, read)

    async def remix(self, request: Request, video_id: str) -> Response:
        """Accept a job that edits the video which the path names."""

        def read(document: Document, tenant: TenantSettings, caller: Caller) -> Draft:
            orders.refuse_unknown(document, tuple(name for name in document.names if name != "video"))
            return follow_ups.edit(document, self._video(caller, video_id), self._services.clients, tenant)

        return await self._accept(request, read)

    async def extend(self, request: Request) -> Response:
        """Accept a job that makes a video longer."""

        def read(document: Document, tenant: TenantSettings, caller: Caller) -> Draft:
            job = self._source(caller, document)
            return follow_ups.extend(document, job, self._services.clients, tenant)

        return await self._accept(request, read)

    def characters(self, request: Request) -> Response:
        """Say that there are none."""
        self._services.caller(request)
        message = "The platform has no characters: they are no videos. The gateway has them at the same path."
        raise Refusal(404, message, code="unsupported_api", headers=_NO_RETRY)

    def retrieve(self, request: Request, video_id: str) -> Response:
        """A job as a Video."""
        Query(request)
        return self._answer(self._video(self._services.caller(request), video_id))

    def list(self, request: Request) -> Response:
        """A page of the jobs that were not deleted."""
        caller = self._services.caller(request)
        query = Query(request, "after", "limit", "order")
        after, limit = query.after(), query.limit()
        store = self._services.store
        if after and store.job(after, caller.tenant) is None:
            raise Refusal(400, "after names no video.", code="invalid_value", param="after")
        found = store.jobs(
            tenant=caller.tenant,
            after=after,
            limit=limit + 1,
            is_ascending=query.is_ascending(),
            with_deleted=False,
        )
        now, timing = self._services.clock(), self._services.deployment.platform.timing
        page = [video_object.video(job, now, timing) for job in found[:limit]]
        return answer(video_object.page(page, has_more=len(found) > limit))

    def delete(self, request: Request, video_id: str) -> Response:
        """Delete a video; a job that waits is cancelled for that."""
        Query(request)
        caller = self._services.caller(request)
        job = self._video(caller, video_id)
        if job.state in CANCELLABLE:
            cancelled = self._services.store.cancel(job.id, caller.tenant, self._services.clock())
            job = cancelled or job
        if job.state not in FINAL:
            # Not 409, which the SDKs send again at once.
            message = f"The video is not finished (the job is {job.state}), and Kling has no cancel."
            raise Refusal(400, message, code="video_in_progress", param="video_id")
        self._api.deleted(caller, job)
        return answer({"id": job.id, "object": "video.deleted", "deleted": True})

    def content(self, request: Request, video_id: str) -> Response:
        """The file of a video."""
        variant = Query(request, "variant").text("variant")
        if variant not in (None, "", "video"):
            message = f"There is no {variant[:40]!r} of a video; Kling makes none."
            raise Refusal(400, message, code="invalid_value", param="variant")
        job = self._video(self._services.caller(request), video_id)
        return content.answer(self._services.storage, job, request)

    async def _accept(self, request: Request, read: Read, *, is_quick: bool = False) -> Response:
        return await self._api.creates.answer(
            request,
            lambda caller, body: self._ordered(request, caller, body, read),
            # A retry is looked for, and what is made of another video asked for at the gateway.
            is_quick=is_quick and not self._retries(request),
        )

    def _ordered(self, request: Request, caller: Caller, body: bytes, read: Read) -> Order | Response:
        Query(request)
        head = Head(request.method, request.url.path, exchange.Caller(request.headers.get("content-type", "")))
        document = forms.document_of(head, body)
        content = request.url.path.encode() + b"\n" + document.canonical()
        repeat = self._repeat(request, hashlib.sha256(content).hexdigest())
        if repeat and self._retries(request):
            earlier = self._services.store.repeats.earlier(caller.tenant, repeat, self._services.clock())
            if earlier:
                return self._answer(self._video(caller, earlier))
        draft = read(document, self._services.deployment.platform.tenant(caller.tenant), caller)
        self._api.check(draft)
        ask = self._services.intake.ask(caller, draft, repeat=repeat)
        return Order(ask, lambda accepted, _: self._answer(accepted.job))

    def _created(self, document: Document, tenant: TenantSettings, caller: Caller) -> Draft:
        asked, size = document.text("model") or "", document.text("size") or ""
        draft = orders.read_openai(document, tenant)
        known = size or video_object.output_size(json.loads(draft.body))
        return draft._replace(metadata=video_object.memo(asked, known))

    def _repeat(self, request: Request, body_hash: str) -> Repeat | None:
        """By what a repetition of this create is known; None where its client has no way to say that it is one."""
        key = idempotency_key(request)
        if key:
            return repeats.named(key, body_hash)
        if _SDK_FIELD not in request.headers:
            return None
        return repeats.counted(body_hash, self._retries(request))

    def _retries(self, request: Request) -> int:
        field = request.headers.get(_RETRIES_FIELD, "")
        return int(field) if field.isascii() and field.isdigit() and len(field) < 4 else 0

    def _source(self, caller: Caller, document: Document) -> Job:
        return self._video(caller, forms.video_id(document), "video")

    def _video(self, caller: Caller, video_id: str, param: str = "id") -> Job:
        job = self._services.store.job(video_id, caller.tenant) if is_id(video_id) else None
        if job is None or job.deleted_at:
            raise unknown_job(param)
        return job

    def _answer(self, job: Job) -> Response:
        timing = self._services.deployment.platform.timing
        document = video_object.video(job, self._services.clock(), timing)
        return answer(document, 200, video_object.poll_headers(job, timing))
