"""The file of a job: a link to the storage, or the bytes themselves, whole or in part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fastapi import Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse

from ...errors import Refusal
from ..records import Job
from ..states import FINAL, State
from ..storage import Storage
from . import ranges

LINK_SECONDS: Final = 3600.0
"""How long a link to a file holds."""
_CHUNK: Final = 1 << 20
_HEADERS: Final = {"accept-ranges": "bytes", "cache-control": "private, max-age=3600"}


def link(storage: Storage, job: Job) -> str | None:
    """A link to a job's file that everybody may follow for a time; None where there is none."""
    return storage.link(job.object_name, LINK_SECONDS) if _has_file(job) else None


def answer(storage: Storage, job: Job, request: Request) -> Response:
    """The file of a job. Raises Refusal (404, 416) or StorageError."""
    if not _has_file(job):
        raise _no_file(job)
    found = storage.link(job.object_name, LINK_SECONDS)
    if found:
        return RedirectResponse(found, 302, {"cache-control": "no-store"})
    size = storage.size(job.object_name)
    if size is None:
        raise Refusal(404, "The file is not in the storage any more.", code="file_gone", param="id")
    headers = {**_HEADERS, "etag": f'"{job.sha256}"', "content-disposition": f'inline; filename="{job.id}.mp4"'}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    span = _span(request, headers["etag"], size)
    start, length = span or ranges.Span(0, size)
    headers["content-length"] = str(length)
    if span:
        headers["content-range"] = ranges.content_range(span, size)
    status = 206 if span else 200
    if request.method == "HEAD":
        return Response(None, status, headers, "video/mp4")
    return StreamingResponse(_pieces(storage, job.object_name, start, length), status, headers, "video/mp4")


def _span(request: Request, etag: str, size: int) -> ranges.Span | None:
    if request.headers.get("if-range", etag) != etag:
        return None
    try:
        return ranges.asked(request.headers.get("range", ""), size)
    except ranges.NotSatisfiable:
        headers = {"content-range": f"bytes */{size}"}
        message = f"The range lies outside of the file, which has {size} bytes."
        raise Refusal(416, message, code="invalid_range", param="Range", headers=headers) from None


def _pieces(storage: Storage, name: str, start: int, length: int) -> Iterator[bytes]:
    end = start + length
    while start < end:
        piece = storage.read(name, start, min(_CHUNK, end - start))
        start += len(piece)
        yield piece


def _has_file(job: Job) -> bool:
    return job.state is State.STORED and not job.deleted_at


def _no_file(job: Job) -> Refusal:
    if job.deleted_at:
        return Refusal(404, "The video was deleted.", code="deleted", param="id")
    if job.state in FINAL:
        message = f"There is no video: the job was cancelled or has failed. {job.message}".strip()
        return Refusal(404, message, code=job.error or job.state, param="id")
    return Refusal(404, f"The video is not ready: the job is {job.state}.", code="not_ready", param="id")
