"""Makes and checks signed links to the files of results."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final
from urllib.parse import quote

FOLDER: Final = "simulated"
"""First segment of the path of every result."""


class Links:
    """Signs links with a random key, so that links of another instance are invalid."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def make(self, origin: str, name: str, expires: float) -> str:
        """The URL of a file. `expires` is Unix time in seconds."""
        until = int(expires)
        return f"{origin}/{FOLDER}/{quote(name)}?expires={until}&sign={self._sign(name, until)}"

    def refusal_reason(self, name: str, expires: str, sign: str, now: float) -> str:
        """Why a link is refused; "" if it is valid. `now` is Unix time in seconds."""
        if not expires.isascii() or not expires.isdigit() or len(expires) > 15:
            return "no expiry"
        if not hmac.compare_digest(self._sign(name, int(expires)).encode(), sign.encode("utf-8", "replace")):
            return "wrong signature"
        return "expired" if int(expires) <= now else ""

    def _sign(self, name: str, expires: int) -> str:
        return hmac.new(self._key, f"{name}\n{expires}".encode(), hashlib.sha256).hexdigest()[:32]
