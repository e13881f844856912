"""The platform's own API: jobs, their history, budgets and accounts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from ...errors import Refusal, bad_body
from ...kling.document import Document
from ...wire.request_body import object_members, without_mark
from .. import addresses, money, orders, repeats
from ..intake import RETRIED, Caller, NotRetried
from ..money import dollars
from ..orders import Draft
from ..records import Accepted, Job
from ..states import CANCELLABLE, FINAL, State
from . import answers, content
from .answers import Object
from .creates import Creates, Order
from .live import Live
from .queries import Query, is_id
from .services import READ, Services, answer, idempotency_key, unknown_job

_EVENTS: Final = {"cache-control": "no-store", "x-accel-buffering": "no"}
_MOST_EVENTS: Final = 1000


class Api:
    """The endpoints below /api."""

    def __init__(self, services: Services, live: Live, creates: Creates) -> None:
        self._services, self._live, self.creates = services, live, creates
        self.router = APIRouter(prefix="/api")
        add = self.router.add_api_route
        add("/videos", self.create, methods=["POST"])
        add("/videos", self.list, methods=READ)
        add("/videos/{job_id}", self.get, methods=READ)
        add("/videos/{job_id}", self.delete, methods=["DELETE"])
        add("/videos/{job_id}/content", self.content, methods=READ)
        add("/videos/{job_id}/retry", self.retry, methods=["POST"])
        add("/videos/{job_id}/events", self.job_events, methods=READ)
        add("/videos/{job_id}/deliveries/{delivery_id}", self.redeliver, methods=["POST"])
        add("/events", self.events, methods=READ)
        add("/usage", self.usage, methods=READ)
        add("/accounts", self.accounts, methods=READ)
        add("/models", self.models, methods=READ)

    async def create(self, request: Request) -> Response:
        """Accept a job, or with `dry_run` say what it would cost."""
        return await self.creates.answer(request, lambda caller, body: self._ordered(request, caller, body))

    def list(self, request: Request) -> Response:
        """A page of jobs."""
        caller = self._services.caller(request)
        query = Query(request, "status", "after", "limit", "order", "tenant")
        if query.text("tenant") not in (None, caller.tenant):
            raise Refusal(403, "The key is another tenant's.", code="other_tenant", param="tenant")
        states, limit, after = query.states(), query.limit(), query.after()
        if after and self._services.store.job(after, caller.tenant) is None:
            raise Refusal(400, "after names no job.", code="invalid_value", param="after")
        found = self._services.store.jobs(
            tenant=caller.tenant, states=states, after=after, limit=limit + 1, is_ascending=query.is_ascending()
        )
        page = found[:limit]
        following = page[-1].id if len(found) > limit else None
        return answer({"data": [self._job(job) for job in page], "next": following})

    def get(self, request: Request, job_id: str) -> Response:
        """A job with its history, the time that its steps took, and a link to its file."""
        Query(request)
        caller = self._services.caller(request)
        return answer(self._whole(self._found(caller, job_id)))

    def delete(self, request: Request, job_id: str) -> Response:
        """Cancel a job that waits, throw away the result of one that runs, delete the file of one that has ended."""
        caller, query = self._services.caller(request), Query(request, "discard")
        discards, now = query.flag("discard"), self._services.clock()
        store = self._services.store
        job = self._found(caller, job_id)
        if job.state in FINAL:
            return answer(self._job(self.deleted(caller, job)))
        if job.state in CANCELLABLE or not discards:
            cancelled = store.cancel(job_id, caller.tenant, now)
        else:
            cancelled = store.discard(job_id, caller.tenant, now)
        if cancelled is None:
            raise unknown_job()
        return answer(self._job(cancelled))

    def deleted(self, caller: Caller, job: Job) -> Job:
        """A job that has ended, without its file; the row stays for the books."""
        found = self._services.store.delete(job.id, caller.tenant, self._services.clock())
        if found is None:
            raise unknown_job()
        if found.object_name:
            # After the mark: where this fails, a repetition finds the file and deletes it.
            self._services.storage.delete(found.object_name)
        return found

    def content(self, request: Request, job_id: str) -> Response:
        """The file of a job."""
        Query(request)
        caller = self._services.caller(request)
        return content.answer(self._services.storage, self._found(caller, job_id), request)

    def retry(self, request: Request, job_id: str) -> Response:
        """A new job for what one has failed to make."""
        Query(request)
        caller = self._services.caller(request)
        job = self._found(caller, job_id)
        try:
            accepted = self._services.intake.retry(caller, job)
        except NotRetried as error:
            code = "deleted" if job.state in RETRIED else "not_failed"
            message = f"{str(error)[:1].upper()}{str(error)[1:]}."
            raise Refusal(409, message, code=code, param="id", headers={"x-should-retry": "false"}) from None
        return self._accepted(accepted, self._services.store.overview.position(accepted.job))

    def redeliver(self, request: Request, job_id: str, delivery_id: str) -> Response:
        """Send a webhook again."""
        Query(request)
        caller = self._services.caller(request)
        job = self._found(caller, job_id)
        deliveries = self._services.store.deliveries
        if delivery_id not in [found.id for found in deliveries.of_job(job.id)]:
            raise Refusal(404, "The job has no such webhook.", code="not_found", param="delivery_id")
        deliveries.redeliver(delivery_id, caller.tenant, self._services.clock())
        return answer({"data": [answers.delivery(found) for found in deliveries.of_job(job.id)]}, 202)

    async def job_events(self, request: Request, job_id: str) -> Response:
        """The history of a job as it is written."""
        caller = await run_in_threadpool(self._services.caller, request)
        job = await run_in_threadpool(self._found, caller, job_id)
        # From its first line on: there are few.
        return self._stream(request, caller, job.id, 0)

    async def events(self, request: Request) -> Response:
        """The history of all jobs as it is written."""
        caller = await run_in_threadpool(self._services.caller, request)
        return self._stream(request, caller, None, None)

    def usage(self, request: Request) -> Response:
        """What of the budgets is spent, and what goes on."""
        Query(request)
        caller, store, now = self._services.caller(request), self._services.store, self._services.clock()
        pulse = store.overview.pulse(now, caller.tenant)
        budgets = self._services.intake.budgets(caller, now)
        return answer(
            {
                "tenant": caller.tenant,
                "now": now,
                "jobs": {state: pulse.counts.get(state, 0) for state in State},
                "oldest_waiting_seconds": round(now - pulse.oldest_waiting, 3) if pulse.oldest_waiting else None,
                "videos_last_hour": pulse.stored_last_hour,
                "budgets": [answers.budget(budget, store.balance(budget.name)) for budget in budgets],
            }
        )

    def accounts(self, request: Request) -> Response:
        """The accounts at Kling: their slots, and what is paused."""
        Query(request)
        self._services.caller(request)
        store, settings = self._services.store, self._services.deployment.platform
        lanes, held, used = store.lanes(), store.held(), store.overview.accounts()
        now = self._services.clock()
        return answer({"data": answers.accounts(settings.concurrencies, lanes, held, used, now, settings.timing)})

    def models(self, request: Request) -> Response:
        """The models that a create may name, and what each takes."""
        Query(request)
        self._services.caller(request)
        return answer({"data": answers.models()})

    def _ordered(self, request: Request, caller: Caller, body: bytes) -> Order | Response:
        query = Query(request, "dry_run")
        is_dry, key = query.flag("dry_run"), idempotency_key(request)
        draft = orders.read(body, self._services.deployment.platform.tenant(caller.tenant))
        self.check(draft)
        if is_dry:
            return answer(_estimate(draft))
        repeat = repeats.named(key, body_hash(body)) if key else None
        return Order(self._services.intake.ask(caller, draft, repeat=repeat), self._accepted, has_place=True)

    def check(self, draft: Draft) -> None:
        """Refuse (400) a job whose webhook would never be sent, or that would wait for an account that there is not."""
        settings = self._services.deployment.platform
        if draft.pinned_to and draft.pinned_to not in settings.concurrencies:
            known = ", ".join(settings.concurrencies)
            raise bad_body(f"account {draft.pinned_to[:40]!r} is none of {known}.", param="account")
        try:
            if draft.callback_url:
                addresses.check(draft.callback_url, allows_private=settings.private_receivers)
        except addresses.NotAllowed as error:
            raise bad_body(f"callback_url {error}.", param="callback_url") from None

    def _accepted(self, accepted: Accepted, place: int | None) -> Response:
        document = {**self._job(accepted.job), "position": place}
        headers = {"location": document["links"]["self"]}
        return answer(document, 202, headers if accepted.is_new else {**headers, "idempotent-replayed": "true"})

    def _found(self, caller: Caller, job_id: str) -> Job:
        job = self._services.store.job(job_id, caller.tenant) if is_id(job_id) else None
        if job is None:
            raise unknown_job()
        return job

    def _job(self, job: Job) -> Object:
        return answers.job(job, self._services.clock(), self._services.deployment.platform.timing)

    def _whole(self, job: Job) -> Object:
        store, now = self._services.store, self._services.clock()
        events = store.events(job.id, limit=_MOST_EVENTS)
        return {
            **self._job(job),
            "position": store.overview.position(job),
            "url": content.link(self._services.storage, job),
            "times": answers.spans(events, now),
            "repeats": answers.repeats(events),
            "events": [answers.event(entry) for entry in events],
            "deliveries": [answers.delivery(entry) for entry in store.deliveries.of_job(job.id)],
        }

    def _stream(self, request: Request, caller: Caller, job_id: str | None, start: int | None) -> Response:
        Query(request)
        given = request.headers.get("last-event-id", "")
        if given and not (given.isascii() and given.isdigit() and len(given) <= 18):
            raise Refusal(400, "Last-Event-ID is no number.", code="invalid_value", param="Last-Event-ID")
        if request.method == "HEAD":
            return Response(None, 200, _EVENTS, "text/event-stream")
        after = int(given) if given else start
        stream: AsyncIterator[bytes] = self._live.listen(caller.tenant, job_id, after)
        return StreamingResponse(stream, 200, _EVENTS, "text/event-stream")


def body_hash(body: bytes) -> str:
    """A hash that equal bodies have, however their JSON is written."""
    body = without_mark(body)
    return hashlib.sha256(Document.from_json(body, object_members(body)).canonical()).hexdigest()


def _estimate(draft: Draft) -> dict[str, Any]:
    return {
        "estimated_credits": draft.estimate / money.MILLI,
        "estimated_usd": dollars(draft.estimate, draft.path),
        "path": draft.path,
        "body": json.loads(draft.body),
        "notes": list(draft.notes),
    }
