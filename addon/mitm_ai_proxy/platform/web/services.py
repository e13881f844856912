"""What the endpoints answer from, and what they have in common: the caller, the body, the error that is raised."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fastapi import Request
from fastapi.responses import Response

from ...errors import Refusal
from ..client import Client
from ..database import StoreError, Unconfirmed
from ..deployment import Deployment
from ..intake import Caller, Intake
from ..messages import Messages
from ..money import Exceeded
from ..orders import LONGEST_BODY
from ..statements import RepeatedOtherwise
from ..storage import Storage, StorageError
from ..store import NotCancellable, QueueFull, Store
from . import access
from .answers import units

logger = logging.getLogger(__name__)

RAISED: Final = (
    Refusal,
    Exceeded,
    QueueFull,
    RepeatedOtherwise,
    NotCancellable,
    StoreError,
    StorageError,
)
"""What endpoints raise for their clients."""
_BUSY_SECONDS: Final = "2"
_FULL_SECONDS: Final = "10"
_PLAIN: Final = {"Accept-Encoding": "identity"}
READ: Final = ["GET", "HEAD"]
"""The methods of an endpoint that changes nothing: the server leaves the body of an answer to HEAD out."""
_BODY_SECONDS: Final = 30.0
"""How long a body may stand still."""
KEY_FIELD: Final = "idempotency-key"
MOST_KEY: Final = 255


class Problem(Refusal):
    """A refusal with further members in its error object."""

    def __init__(self, refusal: Refusal, details: Mapping[str, Any]) -> None:
        super().__init__(
            refusal.status, refusal.message, code=refusal.code, param=refusal.param, headers=refusal.headers
        )
        self.details = details


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of the platform that its endpoints use. `clients` are by account, for what is made of another video."""

    store: Store
    storage: Storage
    messages: Messages
    deployment: Deployment
    clients: Mapping[str, Client]
    clock: Callable[[], float] = time.time
    intake: Intake = field(init=False)

    def __post_init__(self) -> None:
        made = Intake(self.store, self.deployment.platform, self.messages.wake, clock=self.clock)
        object.__setattr__(self, "intake", made)

    def caller(self, request: Request) -> Caller:
        """Who makes a request. Raises Refusal (401, 403)."""
        return access.caller(call_of(request), self.store.keys)


def call_of(request: Request) -> access.Call:
    """What of a request tells who makes it."""
    peer = request.client.host if request.client else ""
    return access.Call(peer, request.headers, request.cookies.get(access.COOKIE, ""))


async def body_of(request: Request, most: int = LONGEST_BODY) -> bytes:
    """The body of a request. Raises Refusal: 413 as soon as it is too long, 415 where it is compressed, 408."""
    declared = request.headers.get("content-length", "")
    too_long = Refusal(413, f"The body is longer than {_size(most)}.", code="body_too_large")
    if declared.isdigit() and int(declared) > most:
        raise too_long
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        message = "The body is compressed, and is taken as it is only."
        raise Refusal(415, message, code="unsupported_encoding", param="Content-Encoding", headers=_PLAIN)
    received = bytearray()
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_BODY_SECONDS) as patience:
            async for chunk in request.stream():
                received += chunk
                if len(received) > most:
                    raise too_long
                patience.reschedule(loop.time() + _BODY_SECONDS)
    except TimeoutError:
        message = f"Nothing of the body has come for {_BODY_SECONDS:.0f} seconds."
        raise Refusal(408, message, code="body_too_slow", headers={"Connection": "close"}) from None
    return bytes(received)


def refusal_of(error: Exception) -> Refusal:
    """The error that a client gets for what was raised."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, Exceeded):
        message = f"{str(error)[:1].upper()}{str(error)[1:]}."
        details = {
            "needed": units(error.needed),
            "left": units(error.left),
            "budget": error.budget.name,
            "resets_at": error.budget.ends_at,
        }
        no_retry = {"x-should-retry": "false"}
        return Problem(Refusal(402, message, code="budget_exceeded", headers=no_retry), details)
    if isinstance(error, QueueFull):
        message = f"{str(error)[:1].upper()}{str(error)[1:]}."
        return Refusal(429, message, code="queue_full", headers={"Retry-After": _FULL_SECONDS})
    if isinstance(error, RepeatedOtherwise):
        message = "The Idempotency-Key was used for a create with another body: use a new one."
        no_retry = {"x-should-retry": "false"}
        return Refusal(409, message, code="key_reused", param="Idempotency-Key", headers=no_retry)
    if isinstance(error, NotCancellable):
        message = f"The job is {error.state}: Kling has no cancel, and bills what it has taken."
        message += " With ?discard=true the result is thrown away."
        return Refusal(409, message, code="already_bought", headers={"x-should-retry": "false"})
    if isinstance(error, Unconfirmed):
        logger.warning("platform: %s", error)
        message = "The database was lost at the commit, and it is not known whether the job was accepted."
        message += " With the same Idempotency-Key it can be sent again, and is one job."
        return Refusal(503, message, code="database_away", headers={"Retry-After": _BUSY_SECONDS})
    if isinstance(error, StoreError):
        logger.warning("platform: %s", error)
        message = "The database cannot be used at the moment. Nothing was stored."
        return Refusal(503, message, code="database_away", headers={"Retry-After": _BUSY_SECONDS})
    if isinstance(error, StorageError):
        logger.warning("platform: %s", error)
        message = "The storage cannot be used at the moment."
        return Refusal(503, message, code="storage_away", headers={"Retry-After": _BUSY_SECONDS})
    logger.error("platform: a request failed", exc_info=error)
    return Refusal(500, "The platform failed at this request. Its log says where.", code="platform_error")


_TYPES: Final = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    429: "rate_limit_error",
}
"""Source: OpenAI's API reference, error codes."""


def error_answer(error: Exception) -> Response:
    """The answer for what was raised: the error object of OpenAI's APIs, with members of our own where they help."""
    refusal = refusal_of(error)
    kind = _TYPES.get(refusal.status, "server_error" if refusal.status >= 500 else "invalid_request_error")
    members = {"message": refusal.message, "type": kind, "param": refusal.param, "code": refusal.code}
    details = refusal.details if isinstance(refusal, Problem) else {}
    return answer({"error": {**members, **details}}, refusal.status, refusal.headers)


def answer(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in JSON."""
    # A lone surrogate of a client's text can only be escaped.
    content = json.dumps(document, separators=(",", ":")).encode()
    return Response(content, status, headers, media_type="application/json")


def unknown_job(param: str = "id") -> Refusal:
    """404 for a job that is not there, or is somebody else's; `param` is where it was named."""
    return Refusal(404, "There is no such job.", code="not_found", param=param)


def idempotency_key(request: Request) -> str:
    """The client's name for a create; "" without one. Raises Refusal (400)."""
    key = request.headers.get(KEY_FIELD, "").strip(" \t")
    if len(key) > MOST_KEY or not key.isprintable():
        message = f"The Idempotency-Key is longer than {MOST_KEY} characters, or holds what cannot be printed."
        raise Refusal(400, message, code="invalid_value", param="Idempotency-Key")
    return key


def _size(count: int) -> str:
    return f"{count >> 20} MB" if count >= 1 << 20 else f"{count >> 10} KB"
