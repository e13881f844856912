"""The OpenAPI document of the platform's endpoints, which tests compare with the endpoints and their answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from ..callbacks import PATH as CALLBACKS
from ..states import State
from .queries import MOST
from .schemas import FLAG, SCHEMAS, TEXT, WHOLE, Schema, reference, words

TITLE: Final = "Video jobs"
VERSION: Final = "1"

_MEANINGS: Final = {
    200: "Done.",
    202: "Accepted.",
    204: "Taken.",
    206: "A part of the file.",
    302: "The file is at Location.",
    304: "The client has it.",
    400: "A field, parameter or header is wrong: param names it.",
    401: "No key, or a wrong one.",
    402: "Beyond the budget: needed, left and resets_at say how far.",
    403: "Another site's page, another Host, or another tenant's.",
    404: "There is none.",
    408: "The body has not come.",
    409: "Not in this state, or the Idempotency-Key is that of another body.",
    413: "The body is too long.",
    415: "The body is compressed.",
    416: "The range lies outside of the file.",
    429: "The queue of the tenant is full.",
    500: "The platform failed.",
    503: "The database, the storage or the gateway is away.",
}
_ALWAYS: Final = (401, 403, 500, 503)
_BODY: Final = (400, 408, 413, 415)
_ACCEPTS: Final = (*_BODY, 402, 409, 429)
_JSON: Final = "application/json"
_FORM: Final = "multipart/form-data"
_VIDEO: Final = "video/mp4"
_SSE: Final = "text/event-stream"


class Operation(NamedTuple):
    """An endpoint: what it does, its answers (a schema's name, a media type, or "" for none), errors and parameters."""

    summary: str
    answers: Mapping[int, str]
    errors: tuple[int, ...] = ()
    query: Mapping[str, Schema] = {}
    headers: tuple[str, ...] = ()
    body: str = ""
    media_types: tuple[str, ...] = (_JSON,)
    has_key: bool = True


_PAGE: Final = {
    "after": {**TEXT, "description": "The id of the last one of the page before."},
    "limit": {**WHOLE, "minimum": 1, "maximum": MOST},
    "order": words("asc", "desc"),
}
_KEY: Final = ("Idempotency-Key",)
_RANGE: Final = ("Range", "If-Range", "If-None-Match")
_FILE: Final = {200: _VIDEO, 206: _VIDEO, 302: "", 304: ""}
_STATES: Final = {**TEXT, "description": f"With commas between them: {', '.join(State)}."}
_BOTH: Final = (_JSON, _FORM)

OPERATIONS: Final[Mapping[str, Mapping[str, Operation]]] = {
    "/api/videos": {
        "post": Operation(
            "Accept a job, or say what it would cost",
            {202: "Accepted", 200: "Estimate"},
            _ACCEPTS,
            {"dry_run": FLAG},
            _KEY,
            "Create",
        ),
        "get": Operation("A page of jobs", {200: "Jobs"}, (400,), {"status": _STATES, "tenant": TEXT, **_PAGE}),
    },
    "/api/videos/{job_id}": {
        "get": Operation("A job with its history", {200: "WholeJob"}, (400, 404)),
        "delete": Operation("Cancel, throw away or delete", {200: "Job"}, (400, 404, 409), {"discard": FLAG}),
    },
    "/api/videos/{job_id}/content": {
        "get": Operation("The file of a job", _FILE, (400, 404, 416), headers=_RANGE),
    },
    "/api/videos/{job_id}/retry": {
        "post": Operation("A new job for one that has failed", {202: "Accepted"}, (400, 402, 404, 409, 429)),
    },
    "/api/videos/{job_id}/events": {
        "get": Operation("A job's history as it is written", {200: _SSE}, (400, 404), headers=("Last-Event-ID",)),
    },
    "/api/videos/{job_id}/deliveries/{delivery_id}": {
        "post": Operation("Send a webhook again", {202: "Deliveries"}, (400, 404)),
    },
    "/api/events": {
        "get": Operation("What happens, as it happens", {200: _SSE}, (400,), headers=("Last-Event-ID",)),
    },
    "/api/usage": {"get": Operation("Budgets and counts", {200: "Usage"}, (400,))},
    "/api/accounts": {"get": Operation("Slots and pauses", {200: "Accounts"}, (400,))},
    "/api/models": {"get": Operation("The models in service", {200: "Models"}, (400,))},
    "/v1/videos": {
        "post": Operation(
            "Accept a job", {200: "Video"}, _ACCEPTS, headers=_KEY, body="VideoCreate", media_types=_BOTH
        ),
        "get": Operation("A page of videos", {200: "Videos"}, (400,), _PAGE),
    },
    "/v1/videos/edits": {
        "post": Operation(
            "Edit a video", {200: "Video"}, (*_ACCEPTS, 404), headers=_KEY, body="VideoEdit", media_types=_BOTH
        ),
    },
    "/v1/videos/extensions": {
        "post": Operation(
            "Make a video longer", {200: "Video"}, (*_ACCEPTS, 404), headers=_KEY, body="VideoEdit", media_types=_BOTH
        ),
    },
    "/v1/videos/characters": {"post": Operation("There are none", {}, (404,))},
    "/v1/videos/characters/{character_id}": {"get": Operation("There are none", {}, (404,))},
    "/v1/videos/{video_id}": {
        "get": Operation("A video", {200: "Video"}, (400, 404)),
        "delete": Operation("Delete a video", {200: "DeletedVideo"}, (400, 404, 409)),
    },
    "/v1/videos/{video_id}/content": {
        "get": Operation("The file of a video", _FILE, (400, 404, 416), {"variant": words("video")}, _RANGE),
    },
    "/v1/videos/{video_id}/remix": {
        "post": Operation(
            "Edit this video", {200: "Video"}, (*_ACCEPTS, 404), headers=_KEY, body="VideoEdit", media_types=_BOTH
        ),
    },
    f"{CALLBACKS}{{token}}": {
        "post": Operation("Kling says that a task has changed", {204: ""}, (*_BODY, 401, 500, 503), has_key=False),
    },
    "/healthz": {"get": Operation("It lives", {200: "Health"}, has_key=False)},
    "/readyz": {"get": Operation("It can take jobs", {200: "Readiness", 503: "Readiness"}, has_key=False)},
    "/metrics": {"get": Operation("Metrics for Prometheus", {200: "text/plain"})},
    "/openapi.json": {"get": Operation("This document", {200: _JSON}, has_key=False)},
}


def document(paths: Mapping[str, Mapping[str, Operation]] = OPERATIONS) -> dict[str, Any]:
    """The document. Every endpoint that is read answers HEAD, too, and every one OPTIONS with `Allow`."""
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": VERSION},
        "paths": {
            path: {method: _operation(path, method, found) for method, found in operations.items()}
            for path, operations in paths.items()
        },
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "Asked for where there is any key."}
            },
        },
    }


def _operation(path: str, method: str, operation: Operation) -> dict[str, Any]:
    errors = {*operation.errors, *(_ALWAYS if operation.has_key else ())} - operation.answers.keys()
    described: dict[str, Any] = {
        "operationId": f"{method}{''.join(word.strip('{}').title() for word in path.split('/'))}".replace("_", ""),
        "summary": operation.summary,
        "parameters": [
            *(_parameter("path", part[1:-1], TEXT) for part in path.split("/") if part.startswith("{")),
            *(_parameter("query", name, schema) for name, schema in operation.query.items()),
            *(_parameter("header", name, TEXT) for name in operation.headers),
        ],
        "responses": {
            **{str(status): _response(status, what) for status, what in operation.answers.items()},
            **{str(status): _response(status, "Error") for status in sorted(errors)},
        },
        "security": [{}, {"key": []}] if operation.has_key else [],
    }
    if operation.body:
        content = {media_type: {"schema": reference(operation.body)} for media_type in operation.media_types}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _parameter(place: str, name: str, schema: Schema) -> dict[str, Any]:
    return {"in": place, "name": name, "required": place == "path", "schema": schema}


def _response(status: int, what: str) -> dict[str, Any]:
    described: dict[str, Any] = {"description": _MEANINGS[status]}
    if what in SCHEMAS:
        described["content"] = {_JSON: {"schema": reference(what)}}
    elif what:
        described["content"] = {what: {}}
    return described
