"""The addresses that Kling calls back, and whether a call is Kling's.

A call only makes the job's next look due: what it says is never believed, so that a false one does no harm.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Final

PATH: Final = "/callbacks/kling/"
LARGEST: Final = 64 << 10
"""Bytes of a call's body."""
_TOKEN: Final = re.compile(r"([A-Za-z0-9_-]{1,100})\.([a-z2-7]{26})")


def address(public_url: str, key: bytes, job_id: str) -> str:
    """The URL that Kling calls when a job's task changes; nobody else can make it."""
    return f"{public_url.rstrip('/')}{PATH}{job_id}.{_mark(key, job_id)}"


def job_of(token: str, key: bytes) -> str | None:
    """The id of the job in the last segment of such a URL; None for one that was not made with this key."""
    found = _TOKEN.fullmatch(token)
    if not found or not hmac.compare_digest(found[2], _mark(key, found[1])):
        return None
    return found[1]


def _mark(key: bytes, job_id: str) -> str:
    digest = hmac.new(key, f"callback {job_id}".encode(), hashlib.sha256).digest()
    return base64.b32encode(digest[:16]).decode().rstrip("=").lower()
