"""Signatures of webhooks, ours and Kling's. Source: the specification of Standard Webhooks, signature scheme."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Final

from ..auth.secret import Secret

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"
TOLERANCE: Final = 300
"""Seconds that the clocks of sender and receiver may differ."""
_PREFIX: Final = "whsec_"
_VERSION: Final = "v1"
_MOST_SIGNATURES: Final = 20


def fields(secrets: Iterable[Secret], message_id: str, at: float, body: bytes) -> dict[str, str]:
    """The header fields of a message: a signature by each secret, so that one can take the place of another."""
    timestamp = str(int(at))
    signatures = [f"{_VERSION},{_signature(secret, message_id, timestamp, body)}" for secret in secrets]
    named = {ID: message_id, TIMESTAMP: timestamp}
    return named | ({SIGNATURE: " ".join(signatures)} if signatures else {})


def is_genuine(secrets: Iterable[Secret], found: Mapping[str, str], body: bytes, now: float) -> bool:
    """Whether a message, by its header fields, was signed with one of the secrets within TOLERANCE of now."""
    message_id, timestamp = found.get(ID, ""), found.get(TIMESTAMP, "")
    is_time = timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12
    if not message_id or not is_time or abs(now - int(timestamp)) > TOLERANCE:
        return False
    given = [
        signature
        for version, _, signature in (part.partition(",") for part in found.get(SIGNATURE, "").split())
        if version == _VERSION
    ][:_MOST_SIGNATURES]
    expected = [_signature(secret, message_id, timestamp, body) for secret in secrets]
    # All are compared, whichever fits: how long that takes tells nothing.
    fits = [hmac.compare_digest(one.encode(), other.encode()) for one in given for other in expected]
    return any(fits)


def _signature(secret: Secret, message_id: str, timestamp: str, body: bytes) -> str:
    content = f"{message_id}.{timestamp}.".encode() + body
    return base64.b64encode(hmac.new(_key(secret), content, hashlib.sha256).digest()).decode()


def _key(secret: Secret) -> bytes:
    """The bytes of a secret, which are written in base64 behind a prefix."""
    return base64.b64decode(secret.reveal().removeprefix(_PREFIX))
