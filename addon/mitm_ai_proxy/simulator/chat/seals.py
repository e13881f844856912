"""The signatures of the simulated model's thoughts, as Anthropic's API has them: what comes back is checked."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final

_KEY: Final = b"the simulated model thinks"  # it guards nothing, and is the same wherever a simulator runs


def seal(thoughts: str) -> str:
    """The signature of thoughts as the client gets them, which may be none."""
    return base64.b64encode(
        b"simulated:" + hmac.digest(_KEY, thoughts.encode("utf-8", "replace"), hashlib.sha256)
    ).decode()


def is_genuine(signature: str, thoughts: str) -> bool:
    """Whether a signature is the one of these thoughts."""
    return hmac.compare_digest(signature.encode("utf-8", "replace"), seal(thoughts).encode())
