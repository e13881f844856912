"""A job as OpenAI's Video object, with all thirteen keys. Source: OpenAI's API reference, videos."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from ...kling import models
from ..records import Job
from ..states import FINAL, STATES, State
from ..timing import Timing, progress, typical_seconds

OWN: Final = "openai"
"""The member of a job's metadata with what only OpenAI's object says."""
_ERRORS: Final[Mapping[str, str]] = {"moderation": "moderation_blocked"}
_LONGEST_POLL, _SHORTEST_POLL = 5.0, 0.05
_POLLS: Final = 20
"""How often an SDK looks at a video in its typical time."""


def memo(asked_model: str, size: str, remixed_from: str = "") -> str:
    """The metadata of a job that is ordered by OpenAI's API."""
    known = {"model": asked_model, "size": size, "remixed_from": remixed_from}
    return json.dumps({OWN: {name: value for name, value in known.items() if value}})


def output_size(body: Mapping[str, Any]) -> str:
    """The size of the video that a create of Kling's makes; "" where a picture decides."""
    if any(name in body for name in ("image", "image_tail")):
        return ""
    key = (str(body.get("aspect_ratio") or "16:9"), str(body.get("mode") or models.STD))
    return models.OUTPUT_SIZES.get(key, "")


def video(job: Job, now: float, timing: Timing) -> dict[str, Any]:
    """The Video object of a job."""
    known = json.loads(job.metadata).get(OWN)
    asked = known if isinstance(known, dict) else {}
    typical = typical_seconds(job.model, job.seconds, timing)
    ended = int(job.ended_at) if job.state in FINAL else None
    return {
        "id": job.id,
        "object": "video",
        "model": asked.get("model") or job.model,
        "status": STATES[job.state].openai,
        "progress": progress(job.state, typical, now - job.submitted_at),
        "created_at": int(job.created_at),
        "completed_at": ended,
        # Kept until somebody deletes it.
        "expires_at": None,
        "prompt": job.prompt or None,
        "size": asked.get("size") or None,
        "seconds": str(int(job.seconds + 0.5)),
        "remixed_from_video_id": asked.get("remixed_from") or None,
        "error": _error(job) if STATES[job.state].openai == "failed" else None,
    }


def poll_headers(job: Job, timing: Timing) -> dict[str, str]:
    """How long an SDK waits between two looks, unless its user says it."""
    seconds = typical_seconds(job.model, job.seconds, timing) / _POLLS
    return {"openai-poll-after-ms": str(int(1000 * max(_SHORTEST_POLL, min(_LONGEST_POLL, seconds))))}


def page(jobs: list[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """A page of a list."""
    return {
        "object": "list",
        "data": jobs,
        "first_id": jobs[0]["id"] if jobs else None,
        "last_id": jobs[-1]["id"] if jobs else None,
        "has_more": has_more,
    }


def _error(job: Job) -> dict[str, str]:
    if job.state is State.CANCELLED:
        return {"code": "cancelled", "message": "The job was cancelled before it was bought."}
    return {"code": _ERRORS.get(job.error, job.error), "message": job.message}
