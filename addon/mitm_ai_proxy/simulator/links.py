"""Signed links to results: made, and judged when somebody comes with one. What a link leads to is made elsewhere."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final
from urllib.parse import quote

FOLDER: Final = "simulated"
"""First segment of the path of every result."""


class Links:
    """Signs names of files with a key of its own, so that a link of another run is worth nothing."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def make(self, origin: str, name: str, expires: float) -> str:
        """The link to a file; `expires` in seconds since 1970."""
        until = int(expires)
        return f"{origin}/{FOLDER}/{quote(name)}?expires={until}&sign={self._sign(name, until)}"

    def judge(self, name: str, expires: str, sign: str, now: float) -> str:
        """Why a link is refused; "" for a good one."""
        if not expires.isascii() or not expires.isdigit() or len(expires) > 15:
            return "no expiry"
        if not hmac.compare_digest(self._sign(name, int(expires)).encode(), sign.encode("utf-8", "replace")):
            return "wrong signature"
        return "expired" if int(expires) <= now else ""

    def _sign(self, name: str, expires: int) -> str:
        return hmac.new(self._key, f"{name}\n{expires}".encode(), hashlib.sha256).hexdigest()[:32]
