"""Names that hold a credential in header fields and queries, and redaction."""

from __future__ import annotations

from mitm_ai_proxy.auth import header
from mitm_ai_proxy.auth.header import (
    CLIENT_FIELDS,
    NO_CREDENTIAL,
    REDACTED,
    Credential,
    is_secret_field,
    protocol_key,
    redacted,
    without_protocol_keys,
    without_redacted,
)
from tests.tables import table

WORD = REDACTED.encode()

CREDENTIALS = """
Authorization authorization AUTHORIZATION Proxy-Authorization X-Authorization
api_key apiKey API-Key x-api-key X-API-KEY apikey x-goog-api-key openai_api_key OPENAI_API_KEY
access_key accessKey accesskey AccessKeyId access-key-id aws_access_key_id kling_access_key
private_key signing_key auth_key subscription_key Ocp-Apim-Subscription-Key
secret secret_key secretKey client_secret clientSecret client-secret aws_secret_access_key secret_token
token x-token X-Token access_token accessToken refresh_token id_token idToken auth_token X-Auth-Token
session_token X-Amz-Security-Token csrf_token XSRF-TOKEN user_token oauth_token oauth2_token bearer_token
X-App-Token personal_access_token service_token
password PASSWORD db_password passwd pwd passphrase
signature X-Signature X-Amz-Signature credential credentials X-Amz-Credential
cookie Cookie Set-Cookie cookies jwt bearer
""".split()
NO_CREDENTIALS = """
max_tokens maxTokens total_tokens completion_tokens token_type tokenType token_count tokens next_page_token pageToken
api_key_name api_key_id_name key keys keyframe primary_key public_key sort_key idempotency-key Idempotency-Key
secretary secrets passwordless signature_date signed session session_id user author authority authorized
x-request-id cookiecutter bearer_of model prompt content-type accept host
""".split()


@table("name", CREDENTIALS)
def test_a_name_of_a_credential_is_known_however_it_is_written(name: str) -> None:
    assert header.is_credential(name)
    assert header.is_credential(f"x{'y' * 500}_{name}") or name.lower() in ("token", "x-token")


@table("name", [*NO_CREDENTIALS, "", "_", "é", "\ud800"])
def test_a_name_that_only_looks_like_one_holds_no_credential(name: str) -> None:
    assert not header.is_credential(name)


@table(
    ("name", "normal"),
    [
        ("apiKey", "api_key"),
        ("APIKey", "api_key"),
        ("X-Api-Key", "x_api_key"),
        ("  Client Secret ", "client_secret"),
        ("a.b[c]", "a_b_c"),
        ("", ""),
        ("A" * 300, "a" * 200),
    ],
)
def test_a_name_is_compared_in_snake_case(name: str, normal: str) -> None:
    assert header.normal(name) == normal


def test_the_credential_fields_of_clients_are_lower_case_and_redacted() -> None:
    fields = tuple((name.title(), b"s") for name in sorted(CLIENT_FIELDS))

    assert {name.lower() for name in CLIENT_FIELDS} == CLIENT_FIELDS
    assert header.redacted(fields) == tuple((name, WORD) for name, _ in fields)


def test_redaction_changes_values_of_secret_fields_and_nothing_else() -> None:
    fields = (
        (b"Host", b"a.test"),
        (b"AUTHORIZATION", b"Bearer s"),
        (b"X-Company-Secret", b"s"),
        (b"x-custom", b"s"),
        (b"X-Custom-Two", b"\xff"),
        (b"authorization", b""),
        (b"X-Max-Tokens", b"5"),
        (b"\xff-Token", b"t"),
    )

    assert header.redacted(fields, {b"x-custom"}) == (
        (b"Host", b"a.test"),
        (b"AUTHORIZATION", WORD),
        (b"X-Company-Secret", WORD),
        (b"x-custom", WORD),
        (b"X-Custom-Two", b"\xff"),
        (b"authorization", WORD),
        (b"X-Max-Tokens", b"5"),
        (b"\xff-Token", WORD),
    )
    assert header.redacted(fields)[3] == (b"x-custom", b"s")
    assert header.redacted(()) == ()


def test_a_redacted_field_stays_as_it_is_when_it_is_redacted_again() -> None:
    once = header.redacted(((b"Authorization", b"s"), (b"Accept", b"*/*")))

    assert header.redacted(once) == once


@table("value", ["Bearer a", "é", "a\udcffb", ""])
def test_an_authorization_is_one_field_to_the_byte(value: str) -> None:
    credential = header.authorization(value)

    assert dict(credential.fields) == {b"authorization": value.encode("utf-8", "surrogateescape")}
    assert credential.query == ""


@table(
    ("query", "shown"),
    [
        ("", ""),
        ("key=abc", "key=redacted"),
        ("key=abc&signature=d%26%3D", "key=redacted&signature=redacted"),
        ("key=a=b", "key=redacted"),
        ("key", "key=redacted"),
        ("key=", "key=redacted"),
        ("&key=abc&", "key=redacted"),
    ],
)
def test_a_redacted_query_keeps_names_and_drops_values(query: str, shown: str) -> None:
    assert header.redacted_query(Credential(query=query)) == shown


def test_no_credential_sets_nothing() -> None:
    assert (dict(NO_CREDENTIAL.fields), NO_CREDENTIAL.query) == ({}, "")
    assert Credential() == NO_CREDENTIAL


@table("name", b"authorization proxy-authorization x-api-key x-authorization api-key x-goog-api-key cookie".split())
def test_the_fields_in_which_clients_send_credentials(name: bytes) -> None:
    assert name in CLIENT_FIELDS
    assert is_secret_field(name.upper())


PROTOCOL = b"Sec-WebSocket-Protocol"
SENT = b"realtime, openai-insecure-api-key.sk-abc-123 ,openai-beta.realtime-v1"


def test_a_key_in_the_protocol_of_a_websocket_is_masked_found_and_taken_out() -> None:
    fields = ((PROTOCOL, SENT), (b"A", b"b"))

    [(_, shown), other] = redacted(fields)

    assert shown == b"realtime, openai-insecure-api-key.redacted ,openai-beta.realtime-v1"
    assert other is fields[1]
    assert protocol_key(fields[0]) == b"sk-abc-123"
    assert protocol_key(fields[1]) == protocol_key((PROTOCOL, b"realtime")) == protocol_key((b"A", SENT)) == b""
    assert without_protocol_keys(fields) == ((PROTOCOL, b"realtime, openai-beta.realtime-v1"), (b"A", b"b"))
    assert without_protocol_keys(((PROTOCOL, b"openai-insecure-api-key.x"), (b"A", b"b"))) == ((b"A", b"b"),)
    plain = ((PROTOCOL, b"realtime"),)
    assert without_protocol_keys(plain) is plain


def test_what_is_redacted_is_taken_out_of_a_query_and_nothing_else() -> None:
    for target, left in (
        ("/a?x=1&key=redacted&api_key=redacted", "/a?x=1"), ("/a?key=redacted", "/a"),
        ("/a?x=redacted", "/a?x=redacted"),
        ("/a?&&x", "/a?&&x"), ("/a", "/a"), ("/a?key=other", "/a?key=other"),
    ):  # fmt: skip
        assert without_redacted(target) == left
