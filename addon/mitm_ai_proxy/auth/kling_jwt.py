"""Kling's JWT, signed with an access key and a secret key. Source: Kling API documentation, authentication."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Final

from .secret import Secret

LIFETIME: Final = 1800
"""Seconds from signing to `exp`, as in Kling's example."""
BACKDATED: Final = 5
"""Seconds from `nbf` to signing, because clocks differ."""


class KlingToken:
    """An HS256 JWT, signed on demand and reused until `refresh_ahead` seconds before it expires.

    `clock` gives Unix time in seconds.
    """

    def __init__(self, access_key: str, secret_key: Secret, refresh_ahead: int, clock: Callable[[], float]) -> None:
        # Not at the top: who signs nothing should not pay for it, and the first request should not either.
        import jwt

        self._encode = jwt.encode
        self._access_key = access_key
        self._secret_key = secret_key
        self._refresh_ahead = refresh_ahead
        self._clock = clock
        self._token = Secret("")
        self._not_before = self._expires = 0

    def token(self) -> Secret:
        """The current JWT; a new one if the last one is about to expire."""
        now = int(self._clock())
        # After the clock was set back, the last token is not valid yet.
        if not self._not_before <= now < self._expires - self._refresh_ahead:
            self._sign(now)
        return self._token

    def _sign(self, now: int) -> None:
        self._expires, self._not_before = now + LIFETIME, now - BACKDATED
        claims = {"iss": self._access_key, "exp": self._expires, "nbf": self._not_before}
        with warnings.catch_warnings():
            # PyJWT warns of short keys; Kling chooses the length.
            warnings.simplefilter("ignore")
            self._token = Secret(self._encode(claims, self._secret_key.reveal(), algorithm="HS256"))
