"""Access tokens of a service account: the key file, the signed JWT, the answer, and when a token is renewed."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mitm_ai_proxy.auth import google
from mitm_ai_proxy.auth.access_tokens import LONGEST_DELAY, AccessToken
from mitm_ai_proxy.auth.google import GoogleTokens
from mitm_ai_proxy.auth.secret import Secret
from tests.auth.service_account import EMAIL, TOKEN_URL, key_file, pem, public_pem
from tests.tables import table

NOW = 1_700_000_000.0


def _ec_pem() -> str:
    kind, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(kind, form, serialization.NoEncryption()).decode()


def _tokens(ahead: float = 60) -> GoogleTokens:
    return GoogleTokens(google.account(key_file()), ahead)


@table(
    ("text", "says"),
    [
        ("", "is not the JSON of a service account's key"),
        ("/path/key.json", "is not the JSON of a service account's key"),
        ("[1]", "is not the JSON object of a service account's key"),
        ("{}", "lacks client_email, private_key_id, private_key, token_uri"),
        (key_file(client_email=None), "lacks client_email"),
        (key_file(private_key=5, token_uri=" "), "lacks private_key, token_uri"),
        (
            key_file(private_key="-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----\n"),
            "has a private_key that",
        ),
        (key_file(private_key=_ec_pem()), "has a private_key that is not of RSA"),
        (key_file(token_uri="http://oauth2.googleapis.com/token"), "has a token_uri that is not https"),
        (key_file(token_uri="https://a b"), "has a token_uri that is no URL"),
    ],
)
def test_a_key_that_is_none_is_named_without_a_word_of_it(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=f"^{says}") as caught:
        google.account(text)
    assert "BEGIN" not in str(caught.value)
    assert EMAIL not in str(caught.value)


def test_a_key_whose_line_ends_are_escaped_twice_is_read() -> None:
    found = google.account(key_file(private_key=pem().replace("\n", "\\n")))

    assert found.private_key.reveal() == pem()
    assert "PRIVATE" not in repr(found)


def test_the_jwt_is_signed_for_the_place_where_it_is_sent() -> None:
    request = _tokens().request(NOW)
    form = parse_qs(request.body.decode(), strict_parsing=True)
    (assertion,) = form["assertion"]
    claims = jwt.decode(assertion, public_pem(), ["RS256"], audience=TOKEN_URL, options={"verify_exp": False})

    assert (str(request.url), request.fields) == (TOKEN_URL, {"Content-Type": "application/x-www-form-urlencoded"})
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    assert jwt.get_unverified_header(assertion) == {"alg": "RS256", "typ": "JWT", "kid": "key-1"}
    assert claims == {
        "iss": EMAIL,
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": TOKEN_URL,
        "iat": 1_700_000_000,
        "exp": 1_700_003_600,
    }


@table(
    ("document", "seconds"),
    [
        ({"access_token": "t", "expires_in": 1800, "token_type": "Bearer"}, 1800),
        ({"access_token": "t"}, 3600),
        ({"access_token": "t", "expires_in": 0}, 3600),
        ({"access_token": "t", "expires_in": "x"}, 3600),
        ({"access_token": "t", "expires_in": True}, 3600),
    ],
)
def test_the_token_of_an_answer_lives_as_long_as_it_says(document: dict[str, object], seconds: int) -> None:
    token = _tokens().read(200, json.dumps(document).encode(), NOW)

    assert (token.value.reveal(), token.expires) == ("t", NOW + seconds)


@table(
    ("status", "body", "says"),
    [
        (400, b'{"error":"invalid_grant","error_description":"Invalid JWT Signature."}', "invalid_grant: Invalid JWT"),
        (503, b"<html>", "answered with status 503$"),
        (200, b"{}", "answered with status 200$"),
        (200, b'{"access_token":""}', "status 200"),
        (200, b'{"access_token":"a\\nb"}', "status 200"),
        (200, b"[]", "status 200"),
    ],
)
def test_an_answer_without_a_token_says_why(status: int, body: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        _tokens().read(status, body, NOW)


def test_a_token_is_renewed_before_it_ends_and_used_until_then() -> None:
    tokens = _tokens(ahead=60)
    assert tokens.next_request() <= NOW
    tokens.put(AccessToken(Secret("t"), NOW + 3600), NOW)

    assert tokens.next_request() == NOW + 3540
    current = tokens.current(NOW + 3599)
    assert current is not None
    assert current.reveal() == "t"
    assert (tokens.current(NOW + 3600), tokens.problem) == (None, "the last one has ended")


def test_a_token_that_lives_shorter_than_the_time_ahead_is_used_for_half_of_it() -> None:
    tokens = _tokens(ahead=3000)
    tokens.put(AccessToken(Secret("t"), NOW + 100), NOW)

    assert tokens.next_request() == NOW + 50


def test_a_failed_request_is_made_again_ever_later_and_said() -> None:
    tokens = _tokens()
    delays = [tokens.fail("down", NOW) for _ in range(9)]

    assert delays[:4] == [1, 2, 4, 8]
    assert delays[-1] == LONGEST_DELAY
    assert (tokens.current(NOW), tokens.problem) == (None, "down")
    tokens.put(AccessToken(Secret("t"), NOW + 3600), NOW)
    assert tokens.fail("down", NOW) == 1
    assert tokens.current(NOW) is not None


def test_no_token_is_needed_where_nothing_is_sent() -> None:
    tokens = _tokens()
    tokens.rest()

    assert tokens.is_offline
    assert tokens.next_request() > NOW * 1000
