"""Credentials: each way in which one is wrong, with Kling's code and message."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from mitm_ai_proxy.auth.kling_jwt import KlingToken
from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.simulator import authentication
from mitm_ai_proxy.simulator.kling_error import KlingError
from mitm_ai_proxy.simulator.settings import API_KEY, SimulatorSettings
from tests.tables import table

NOW = 1_795_212_000
SECRET = "s" * 32
SETTINGS = SimulatorSettings(access_key="access", secret_key=Secret(SECRET))
GOOD = {"iss": "access", "exp": NOW + 1800, "nbf": NOW - 5}


def _encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _token(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    """A JWT made by hand; a claim of None is left out."""
    payload = {name: value for name, value in {**GOOD, **claims}.items() if value is not None}
    signed = f"{_encoded({'alg': algorithm, 'typ': 'JWT'})}.{_encoded(payload)}"
    if algorithm == "none":
        return f"{signed}."
    mac = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


@table(
    "token",
    [
        _token(),
        _token(nbf=None),
        _token(iat=NOW + 100),
        _token(exp=NOW + 86_400),
        _token(nbf=NOW, exp=NOW + 1),
        _token(exp=NOW + 1800.5),
        API_KEY,
    ],
)
def test_a_good_credential_is_taken(token: str) -> None:
    authentication.check(f"Bearer {token}", SETTINGS, NOW, takes_pair=True)


@table(
    ("authorization", "code", "message"),
    [
        (None, 1001, "Authorization is empty"),
        ("", 1001, "Authorization is empty"),
        ("Bearer", 1002, "Authorization is invalid"),
        (f"bearer {_token()}", 1002, "Authorization is invalid"),
        (f"Bearer  {_token()}", 1002, "Authorization is invalid"),
        ("Basic YTpi", 1002, "Authorization is invalid"),
        ("Bearer nonsense", 1002, "The token was expected to have 3 parts, but got 0"),
        ("Bearer a.b", 1002, "The token was expected to have 3 parts, but got 2"),
        ("Bearer a.b.c.d", 1002, "The token was expected to have 3 parts, but got > 3"),
        ("Bearer a.b.c", 1002, "Authorization is invalid"),
        ("Bearer api-key-kling-other", 1002, "api key not found"),
        (f"Bearer {_token(iss='other')}", 1002, "access key not found"),
        (f"Bearer {_token(iss=None)}", 1002, "access key not found"),
        (f"Bearer {_token(secret='t' * 32)}", 1000, "Authentication failed"),
        (f"Bearer {_token()[:-4]}AAAA", 1000, "Authentication failed"),
        (f"Bearer {_token(algorithm='none')}", 1000, "Authentication failed"),
        (f"Bearer {_token(algorithm='HS512')}", 1000, "Authentication failed"),
        (f"Bearer {_token(nbf=NOW + 1)}", 1003, "Authorization is not valid yet"),
        (f"Bearer {_token(exp=NOW)}", 1004, "Authorization has expired"),
        (f"Bearer {_token(exp=None)}", 1002, "Authorization is invalid"),
        (f"Bearer {_token(exp='soon')}", 1002, "Authorization is invalid"),
        (f"Bearer {_token(nbf=True)}", 1002, "Authorization is invalid"),
    ],
)
def test_a_bad_credential_is_refused_in_kling_s_words(authorization: str | None, code: int, message: str) -> None:
    with pytest.raises(KlingError) as refused:
        authentication.check(authorization, SETTINGS, NOW, takes_pair=True)

    assert (refused.value.code, refused.value.status, refused.value.message) == (code, 401, message)


@table("token", [_token(), "nonsense", "a.b.c"])
def test_the_new_design_takes_api_keys_only(token: str) -> None:
    with pytest.raises(KlingError, match="does not support AccessKey and SecretKey") as refused:
        authentication.check(f"Bearer {token}", SETTINGS, NOW, takes_pair=False)
    assert refused.value.code == 1002
    authentication.check(f"Bearer {API_KEY}", SETTINGS, NOW, takes_pair=False)


@table(("skew", "code"), [(0, 0), (-5, 0), (-6, 1003), (1799, 0), (1800, 1004)])
def test_the_gateway_s_own_token_holds_against_a_clock_that_differs(skew: int, code: int) -> None:
    token = KlingToken("access", Secret(SECRET), 60, lambda: NOW)
    try:
        authentication.check(f"Bearer {token.token().reveal()}", SETTINGS, NOW + skew, takes_pair=True)
    except KlingError as error:
        assert error.code == code  # noqa: PT017
    else:
        assert code == 0


def test_no_refusal_shows_a_credential() -> None:
    for token in ("nonsense-secret-text", "api-key-kling-secret-text", _token(iss="secret-text")):
        with pytest.raises(KlingError) as refused:
            authentication.check(f"Bearer {token}", SETTINGS, NOW, takes_pair=True)
        assert "secret-text" not in refused.value.message
