"""Kling's JWT from an access key and a secret key. Source: Kling API documentation, authentication."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Final

import jwt

from .secret import Secret

LIFETIME: Final = 1800
"""Seconds from signing to `exp`, as in Kling's example."""
BACKDATED: Final = 5
"""Seconds that `nbf` lies before signing, against clocks that differ."""


class KlingToken:
    """An HS256 JWT, signed when needed and kept until `refresh_ahead` seconds before it expires.

    `clock` gives Unix time in seconds.
    """

    def __init__(self, access_key: str, secret_key: Secret, refresh_ahead: int, clock: Callable[[], float]) -> None:
        self._access_key = access_key
        self._secret_key = secret_key
        self._refresh_ahead = refresh_ahead
        self._clock = clock
        self._token = Secret("")
        self._not_before = self._expires = 0

    def token(self) -> Secret:
        """The JWT, signed anew when the kept one is near its end."""
        now = int(self._clock())
        # A clock that was set back would make the kept token one of the future.
        if not self._not_before <= now < self._expires - self._refresh_ahead:
            self._sign(now)
        return self._token

    def _sign(self, now: int) -> None:
        self._expires, self._not_before = now + LIFETIME, now - BACKDATED
        claims = {"iss": self._access_key, "exp": self._expires, "nbf": self._not_before}
        with warnings.catch_warnings():
            # The length of the key is Kling's choice, not ours to warn about.
            warnings.simplefilter("ignore")
            self._token = Secret(jwt.encode(claims, self._secret_key.reveal(), algorithm="HS256"))
