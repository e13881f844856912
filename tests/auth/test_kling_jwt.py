"""Kling's JWT: its claims, its signature, and when it is renewed.

The expected tokens are made by hand, without the library that the package signs with.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest

from mitm_ai_proxy.auth.kling_jwt import KlingToken
from mitm_ai_proxy.auth.secret import Secret
from tests.tables import table

NOW = 1710000000
# From the behaviour reference, section 7.
VECTOR = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
    ".eyJpc3MiOiJhY2Nlc3Mta2V5IiwiZXhwIjoxNzEwMDAxODAwLCJuYmYiOjE3MDk5OTk5OTV9"
    ".dOei0bQRPnmPMUnjQRJ654FavsE7U-XDAF8uvHcwgqA"
)


def _token(*times: float, refresh_ahead: int = 60) -> KlingToken:
    """A token with the keys of the reference; its clock returns these times, one per call."""
    return KlingToken("access-key", Secret("secret-key"), refresh_ahead, iter(times).__next__)


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _by_hand(access_key: str, secret_key: str, now: int) -> str:
    header = {"alg": "HS256", "typ": "JWT"}
    claims = {"iss": access_key, "exp": now + 1800, "nbf": now - 5}
    text = ".".join(_base64(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    return f"{text}.{_base64(hmac.digest(secret_key.encode(), text.encode(), hashlib.sha256))}"


def test_the_token_of_the_reference_is_made_to_the_byte() -> None:
    assert _by_hand("access-key", "secret-key", NOW) == VECTOR
    assert _token(NOW).token().reveal() == VECTOR


@pytest.mark.parametrize("secret_key", ["s", "é-key", "k" * 200], ids=["short", "not ASCII", "longer than a block"])
@pytest.mark.filterwarnings("error")
def test_a_key_of_any_length_signs_without_a_warning(secret_key: str) -> None:
    token = KlingToken("access", Secret(secret_key), 60, lambda: NOW)
    assert token.token().reveal() == _by_hand("access", secret_key, NOW)


def test_parts_of_a_second_do_not_count() -> None:
    assert _token(NOW + 0.9).token().reveal() == VECTOR


@table(
    ("refresh_ahead", "later", "signed_at"),
    [
        pytest.param(60, 0, NOW, id="at once"),
        pytest.param(60, 1739.9, NOW, id="before the refresh"),
        pytest.param(60, 1740, NOW + 1740, id="at the refresh"),
        pytest.param(60, 5000, NOW + 5000, id="long behind its end"),
        pytest.param(0, 1799, NOW, id="its last second"),
        pytest.param(0, 1800, NOW + 1800, id="its end"),
        pytest.param(1800, 0, NOW, id="refreshed always, same second"),
        pytest.param(1800, 1, NOW + 1, id="refreshed always"),
        pytest.param(60, -5, NOW, id="a clock set back a little"),
        pytest.param(60, -6, NOW - 6, id="a clock set back behind its beginning"),
    ],
)
def test_a_token_is_kept_until_shortly_before_its_end(refresh_ahead: int, later: float, signed_at: int) -> None:
    token = _token(NOW, NOW + later, refresh_ahead=refresh_ahead)
    token.token()
    assert token.token().reveal() == _by_hand("access-key", "secret-key", signed_at)


def test_a_renewed_token_is_kept_as_well() -> None:
    token = _token(NOW, NOW + 1740, NOW + 3479, NOW + 3480)
    issued = [token.token().reveal() for _ in range(4)]
    assert issued[1] == issued[2]
    assert len(set(issued)) == 3
