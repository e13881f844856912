"""Checks credentials as Kling does: a JWT signed with a key pair, or an API key.

Source: Kling API documentation, authentication and error codes; messages of live answers where known.
"""

from __future__ import annotations

from typing import Any, Final

import jwt

from .kling_error import KlingError
from .settings import SimulatorSettings

_NO_PAIR: Final = (
    "The current API does not support AccessKey and SecretKey. Create an API key: https://kling.ai/dev/api-key"
)


def check(authorization: str | None, settings: SimulatorSettings, now: float, *, takes_pair: bool) -> None:
    """Raise KlingError unless the value of the Authorization header is the account's. `now` is Kling's time in seconds.

    `takes_pair`: whether the endpoint takes a JWT; those of the new design do not.
    """
    if not authorization:
        raise KlingError(1001)
    scheme, _, token = authorization.partition(" ")
    if scheme != "Bearer" or not token or token != token.strip():
        raise KlingError(1002)
    if token.startswith("api-key-kling-") or token == settings.api_key.reveal():
        if token != settings.api_key.reveal():
            raise KlingError(1002, "api key not found")
    elif takes_pair:
        _check_jwt(token, settings, now)
    else:
        raise KlingError(1002, _NO_PAIR)


def _check_jwt(token: str, settings: SimulatorSettings, now: float) -> None:
    parts = token.count(".") + 1
    if parts != 3:
        counted = {1: "0", 2: "2"}.get(parts, "> 3")
        raise KlingError(1002, f"The token was expected to have 3 parts, but got {counted}")
    try:
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        raise KlingError(1002) from None
    if claims.get("iss") != settings.access_key:
        raise KlingError(1002, "access key not found")
    try:
        # exp and nbf are compared below, with Kling's time: PyJWT would use the system's.
        jwt.decode(
            token,
            settings.secret_key.reveal(),
            algorithms=["HS256"],
            options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
        )
    except jwt.InvalidTokenError:
        raise KlingError(1000) from None
    not_before, expires = _time(claims.get("nbf", 0)), _time(claims.get("exp"))
    if not_before > now:
        raise KlingError(1003)
    if expires <= now:
        raise KlingError(1004)


def _time(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise KlingError(1002)
    return value
