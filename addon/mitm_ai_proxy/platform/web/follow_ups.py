"""Videos that are made of other ones, as OpenAI's API orders them: remixes, edits and extensions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from ...errors import Refusal, bad_body
from ...kling import create, forms, models, pictures
from ...kling.document import Document
from ...kling.fields import whole
from ...kling.tasks import Task
from .. import orders
from ..client import Client
from ..orders import Draft
from ..records import Job
from ..replies import Verdict
from ..settings import TenantSettings
from ..states import State
from . import video_object

EDIT_PATH: Final = "/v1/videos/omni-video"
EXTEND_PATH: Final = "/v1/videos/video-extend"
_EXTENSION: Final = 5
"""Seconds by which Kling extends a video."""
_OWN: Final = ("callback_url", "priority")
_EDIT_FIELDS: Final = (
    *"prompt video model metadata mode negative_prompt sound aspect_ratio watermark_info element_list account".split(),
    *_OWN,
)
_EXTEND_FIELDS: Final = ("prompt", "video", "seconds", "negative_prompt", "cfg_scale", *_OWN)
_KLINGS_DAYS: Final = 30


def edit(document: Document, job: Job | None, clients: Mapping[str, Client], tenant: TenantSettings) -> Draft:
    """What edits a video: that of a job, or that behind the link in `video`. Raises Refusal."""
    if document.value("seconds") is not None:
        raise bad_body("An edited video keeps its length.", param="seconds")
    document.pop("seconds")
    create.lift_metadata(document, [])
    create.refuse_frames(document)
    orders.refuse_unknown(document, _EDIT_FIELDS)
    own = orders.take_own(document)
    prompt, link = forms.prompt(document), document.pop("video")
    asked = document.text("model") or ""
    if asked and models.sora_mode(asked) is None and asked not in models.OMNI_MODELS:
        orders.refuse_model(asked)
    document.pop("model")
    create.convert(document, [])
    name = asked if asked in models.OMNI_MODELS else models.OMNI_MODELS[0]
    document.set("model_name", name)
    url = source(job, clients).url if job else link
    document.set("video_list", [{"video_url": url, "refer_type": "base"}])
    seconds = job.seconds if job else float(_EXTENSION)
    return _draft(document, EDIT_PATH, name, asked, prompt, seconds, job, tenant)._replace(**own)


def is_link(document: Document) -> bool:
    """Whether `video` is a link instead of a video's id."""
    link = document.value("video")
    return isinstance(link, str) and pictures.is_web_url(link)


def extend(document: Document, job: Job, clients: Mapping[str, Client], tenant: TenantSettings) -> Draft:
    """What makes a job's video longer, in the account that has it.

    Kling takes no name for that, so that it is bought at most once. Raises Refusal.
    """
    orders.refuse_unknown(document, _EXTEND_FIELDS)
    seconds = document.pop("seconds")
    if seconds is not None and whole(seconds) not in (4, _EXTENSION):
        raise bad_body("Kling extends a video by 4 to 5 seconds, not more.", param="seconds")
    row = models.MODELS.get(job.model)
    if not (row and row.extends):
        raise bad_body(f"Kling extends no video of {job.model}; it does those of V1, V1.5 and V1.6.", param="video")
    own = orders.take_own(document)
    prompt = forms.prompt(document)
    document.pop("video")
    create.convert(document, [])
    document.set("video_id", source(job, clients).video_id)
    length = job.seconds + _EXTENSION
    draft = _draft(document, EXTEND_PATH, job.model, job.model, prompt, length, job, tenant)
    return draft._replace(has_name=False, pinned_to=job.account, **own)


def source(job: Job, clients: Mapping[str, Client]) -> Task:
    """The task of a job's video, as Kling has it now: its links hold for a time. Raises Refusal (400, 404, 503)."""
    if job.state is not State.STORED or job.deleted_at:
        raise bad_body(f"The video is not there: the job is {job.state}.", param="video")
    client = clients.get(job.account)
    reply = client.find(job.path, job.task_id) if client else None
    if reply and reply.task and reply.task.url:
        return reply.task
    if reply and reply.verdict in (Verdict.TAKEN, Verdict.MISSING):
        message = f"Kling does not have this video any more; it keeps one for {_KLINGS_DAYS} days."
        raise Refusal(404, message, code="source_gone", param="video")
    message = "The gateway was not reached, or has not answered, and the video has to be asked for there."
    raise Refusal(503, message, code="gateway_away", headers={"Retry-After": "5"})


def _draft(
    document: Document,
    path: str,
    model: str,
    asked: str,
    prompt: str,
    seconds: float,
    job: Job | None,
    tenant: TenantSettings,
) -> Draft:
    notes: list[str] = []
    body = document.body()
    estimate = orders.estimated(path, json.loads(body), tenant, notes)
    metadata = video_object.memo(asked, "", job.id if job else "")
    return Draft(path, model, body.decode(), prompt, seconds, estimate, metadata=metadata, notes=tuple(notes))
