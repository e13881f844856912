"""The schemas of the platform's OpenAPI document: what is sent, and what is answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ...kling import fields
from ..orders import KNOWN
from ..records import DeliveryState
from ..scheduling import PRIORITIES
from ..states import STATES, Money, State

Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
NUMBER: Final[Schema] = {"type": "number"}
WHOLE: Final[Schema] = {"type": "integer"}
FLAG: Final[Schema] = {"type": "boolean"}
OBJECT: Final[Schema] = {"type": "object"}


def reference(name: str) -> Schema:
    """One of SCHEMAS."""
    return {"$ref": f"#/components/schemas/{name}"}


def listed(item: Schema) -> Schema:
    """A list of these."""
    return {"type": "array", "items": item}


def maybe(schema: Schema) -> Schema:
    """This, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def words(*known: str) -> Schema:
    """One of these words."""
    return {"type": "string", "enum": list(known)}


def shape(members: dict[str, Schema], *, optional: Sequence[str] = (), described: str = "") -> Schema:
    """An object of exactly these members."""
    made: Schema = {
        "type": "object",
        "properties": members,
        "required": [name for name in members if name not in optional],
        "additionalProperties": False,
    }
    return {**made, "description": described} if described else made


_AMOUNT: Final = {**NUMBER, "description": "Units of Kling's packs."}
_DOLLARS: Final = {**NUMBER, "description": "US dollars at list price."}
_TIME: Final = {**NUMBER, "description": "Unix time."}
_ID: Final = {**TEXT, "pattern": "^job_[0-9a-f]{24}$"}
_STATUS: Final = words(*State)
_LOOSE_NUMBER: Final[Schema] = {"type": ["number", "string"]}
_LOOSE_FLAG: Final[Schema] = {"type": ["boolean", "string", "integer"]}

_TAKEN: Final[dict[str, Schema]] = {
    "prompt": {**TEXT, "description": "What is to be seen."},
    "model": {**TEXT, "description": "One of /api/models."},
    "duration": {**_LOOSE_NUMBER, "description": "Seconds, as a number or as text."},
    "mode": {**TEXT, "description": "std, pro or 4k; `standard` and `professional` are taken, too."},
    "image": {**TEXT, "description": "The first picture: a link or Base64."},
    "image_tail": {**TEXT, "description": "The last picture."},
    "sound": _LOOSE_FLAG,
    "cfg_scale": _LOOSE_NUMBER,
    "multi_shot": _LOOSE_FLAG,
    "callback_url": {**TEXT, "format": "uri", "maxLength": 2048, "description": "Where the job's webhook goes."},
    "priority": {"type": "integer", "enum": list(PRIORITIES)},
    "account": {**TEXT, "description": "The account that alone may buy it: one of /api/accounts."},
    "metadata": {**OBJECT, "description": "The client's own, at most 16 KB; comes back with the job."},
    **dict.fromkeys(sorted(fields.OBJECTS), OBJECT),
    **dict.fromkeys(sorted(fields.LISTS), listed(OBJECT)),
}

_CREATE: Final = {name: _TAKEN.get(name, TEXT) for name in KNOWN}
_LINKS: Final = shape(dict.fromkeys(("self", "events", "content", "retry"), TEXT), optional=("content", "retry"))
_JOB: Final[dict[str, Schema]] = {
    "job_id": _ID,
    "status": _STATUS,
    "progress": {**WHOLE, "minimum": 0, "maximum": 100},
    "model": TEXT,
    "prompt": TEXT,
    "seconds": NUMBER,
    "estimated_credits": _AMOUNT,
    "estimated_usd": _DOLLARS,
    "actual_credits": maybe(_AMOUNT),
    "actual_usd": maybe(_DOLLARS),
    "money": words(*Money),
    "priority": WHOLE,
    "metadata": OBJECT,
    "callback_url": maybe(TEXT),
    "retry_of": maybe(_ID),
    "created_at": _TIME,
    **dict.fromkeys(("submitted_at", "ended_at", "deleted_at"), maybe(_TIME)),
    "is_slow": FLAG,
    "is_discarded": FLAG,
    "error": maybe(shape({"code": TEXT, "message": TEXT})),
    "sha256": maybe(TEXT),
    "size": maybe(WHOLE),
    "links": _LINKS,
}
_PLACE: Final = {"position": maybe({**WHOLE, "description": "Its place in the queue of its tenant, counted to 1000."})}
_ERROR: Final = shape(
    {
        "message": TEXT,
        "type": TEXT,
        "param": maybe({**TEXT, "description": "The field, parameter or header that is wrong."}),
        "code": {**TEXT, "description": "What is wrong, for programs."},
        **dict.fromkeys(("needed", "left", "resets_at"), NUMBER),
        "budget": TEXT,
    },
    optional=("needed", "left", "resets_at", "budget"),
)
_VIDEO: Final[dict[str, Schema]] = {
    "id": _ID,
    "object": {"const": "video"},
    "model": TEXT,
    "status": words(*sorted({row.openai for row in STATES.values()})),
    "progress": WHOLE,
    "created_at": WHOLE,
    "completed_at": maybe(WHOLE),
    "expires_at": maybe(WHOLE),
    **dict.fromkeys(("prompt", "size"), maybe(TEXT)),
    "seconds": TEXT,
    "remixed_from_video_id": maybe(TEXT),
    "error": maybe(shape({"code": TEXT, "message": TEXT})),
}
_BUDGET: Final[dict[str, Schema]] = {
    "name": TEXT,
    "spent": _AMOUNT,
    "spent_usd": _DOLLARS,
    "reserved": _AMOUNT,
    "limit": maybe(_AMOUNT),
    "left": maybe(_AMOUNT),
    "resets_at": _TIME,
}
_PAUSE: Final = shape({"model": maybe(TEXT), "reason": TEXT, "until": maybe(_TIME), "advice": TEXT})
_LANE: Final = shape({"model": TEXT, "running": WHOLE, "limit": WHOLE})

SCHEMAS: Final[dict[str, Schema]] = {
    "Error": shape({"error": _ERROR}),
    "Create": shape(_CREATE, optional=tuple(_CREATE), described="`model_name` is taken for `model`, too."),
    "Estimate": shape(
        {
            "estimated_credits": _AMOUNT,
            "estimated_usd": _DOLLARS,
            "path": TEXT,
            "body": {**OBJECT, "description": "What Kling would get."},
            "notes": listed(TEXT),
        }
    ),
    "Job": shape(_JOB),
    "Accepted": shape({**_JOB, **_PLACE}),
    "WholeJob": shape(
        {
            **_JOB,
            **_PLACE,
            "url": maybe({**TEXT, "description": "A link to the file, for an hour."}),
            "times": shape(dict.fromkeys(("queued", "kling", "download"), NUMBER)),
            "repeats": listed(shape({"at": _TIME, "reason": TEXT})),
            "events": listed(reference("Event")),
            "deliveries": listed(reference("Delivery")),
        }
    ),
    "Jobs": shape({"data": listed(reference("Job")), "next": maybe(_ID)}),
    "Event": shape(
        {"number": WHOLE, "job_id": _ID, "at": _TIME, "from": maybe(_STATUS), "to": _STATUS, "reason": TEXT}
    ),
    "Delivery": shape(
        {
            "id": TEXT,
            "status": words(*DeliveryState),
            "tries": WHOLE,
            "next_at": maybe(_TIME),
            "last_status": maybe(WHOLE),
            "problem": maybe(TEXT),
        }
    ),
    "Deliveries": shape({"data": listed(reference("Delivery"))}),
    "Usage": shape(
        {
            "tenant": TEXT,
            "now": _TIME,
            "jobs": shape({str(state): WHOLE for state in State}),
            "oldest_waiting_seconds": maybe(NUMBER),
            "videos_last_hour": WHOLE,
            "budgets": listed(shape(_BUDGET)),
        }
    ),
    "Accounts": shape(
        {
            "data": listed(
                shape(
                    {
                        "account": TEXT,
                        "concurrency": WHOLE,
                        "running": WHOLE,
                        "models": listed(_LANE),
                        "pauses": listed(_PAUSE),
                    }
                )
            )
        }
    ),
    "Models": shape(
        {
            "data": listed(
                shape(
                    {
                        "model": TEXT,
                        "durations": listed(WHOLE),
                        "modes": listed(TEXT),
                        "sound_modes": listed(TEXT),
                        "takes_text_alone": FLAG,
                        "is_default": FLAG,
                    }
                )
            )
        }
    ),
    "VideoCreate": {
        "type": "object",
        "properties": {
            **_CREATE,
            "seconds": _LOOSE_NUMBER,
            "size": TEXT,
            "input_reference": {"type": ["string", "object"]},
        },
        "description": "OpenAI's fields, or those of Create; the names of other APIs for pictures are taken, too.",
    },
    "VideoEdit": {
        "type": "object",
        "properties": {"prompt": TEXT, "video": {"type": ["string", "object"]}, "model": TEXT},
        "required": ["prompt"],
    },
    "Video": shape(_VIDEO),
    "Videos": shape(
        {
            "object": {"const": "list"},
            "data": listed(reference("Video")),
            "first_id": maybe(_ID),
            "last_id": maybe(_ID),
            "has_more": FLAG,
        }
    ),
    "DeletedVideo": shape({"id": _ID, "object": {"const": "video.deleted"}, "deleted": {"const": True}}),
    "Health": shape({"status": {"const": "ok"}}),
    "Readiness": shape(
        {
            "status": words("ok", "not ready"),
            "checks": {"type": "object", "additionalProperties": TEXT},
            "oldest_due_seconds": maybe(NUMBER),
            "paused": listed(shape({"account": TEXT, "model": maybe(TEXT), "reason": TEXT})),
        },
        optional=("paused",),
    ),
}
