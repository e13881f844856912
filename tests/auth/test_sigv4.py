"""Signature Version 4, against AWS's published test suite, and requests to Bedrock computed by other means."""

from __future__ import annotations

from collections.abc import Mapping

from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.auth.sigv4 import AwsKeys, Request, Scope, canonical, sign
from tests.tables import table

KEYS = AwsKeys("AKIDEXAMPLE", Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"))
SCOPE = Scope("us-east-1", "service")
NOW = 1440938160.9
VANILLA = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
LETTERS = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
NONE: dict[str, str] = {}


def _signature(request: Request, keys: AwsKeys = KEYS, scope: Scope = SCOPE, now: float = NOW) -> str:
    return sign(request, keys, scope, now).fields[b"authorization"].decode().rpartition("Signature=")[2]


@table(
    ("line", "body", "fields", "signature"),
    [
        ("GET /", b"", NONE, VANILLA),
        ("POST /", b"", NONE, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        ("GET /?Param1=value1", b"", NONE, "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"),
        ("GET /?Param2=value2&Param1=value1", b"", NONE,
         "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
        (f"GET /{LETTERS}", b"", NONE, "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"),
        (f"GET /?{LETTERS}={LETTERS}", b"", NONE, "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"),
        ("GET /example1/example2/../..", b"", NONE, VANILLA),
        ("GET //", b"", NONE, VANILLA),
        ("GET //example//", b"", NONE, "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"),
        ("GET /./example", b"", NONE, "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"),
        ("POST /", b"", {"my-header1": "value1"}, "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"),
        (
            "GET /",
            b"",
            {"my-header1": " value1", "my-header2": ' "a   b   c"'},
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        ),
        (
            "POST /",
            b"Param1=value1",
            {"content-type": "application/x-www-form-urlencoded"},
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ],
)  # fmt: skip
def test_the_requests_of_the_published_suite_have_its_signatures(
    line: str, body: bytes, fields: Mapping[str, str], signature: str
) -> None:
    method, _, target = line.partition(" ")

    assert _signature(Request(method, "example.amazonaws.com", target, body, fields)) == signature


BEDROCK = Request(
    "POST",
    "bedrock-runtime.ap-northeast-3.amazonaws.com",
    "/model/global.amazon.nova-2-lite-v1%3A0/converse-stream",
    b'{"messages":[{"role":"user","content":[{"text":"hello"}]}]}',
)
OSAKA = Scope("ap-northeast-3", "bedrock")
TEST_KEYS = AwsKeys("test-key", Secret("test-secret"))
MARCH = 1773325782


def test_an_escape_in_a_path_is_escaped_once_more() -> None:
    assert "/model/global.amazon.nova-2-lite-v1%253A0/converse-stream" in canonical(BEDROCK)
    assert _signature(BEDROCK, TEST_KEYS, OSAKA, MARCH) == (
        "80a177a1221df82043cb237580a2db52d6061aaf6685dd6ea8f2bdc98c3f2ff0"
    )


def test_the_fields_say_what_was_signed_and_when() -> None:
    keys = TEST_KEYS._replace(session_token=Secret("session"))
    credential = sign(BEDROCK, keys, OSAKA, MARCH)

    authorization = credential.fields[b"authorization"].decode()
    assert authorization.startswith(
        "AWS4-HMAC-SHA256 Credential=test-key/20260312/ap-northeast-3/bedrock/aws4_request,"
        " SignedHeaders=host;x-amz-date;x-amz-security-token, Signature="
    )
    assert credential.fields[b"x-amz-date"] == b"20260312T142942Z"
    assert credential.fields[b"x-amz-security-token"] == b"session"
    assert credential.query == ""
    assert "test-secret" not in str(credential) + str(keys)
    assert sign(BEDROCK, TEST_KEYS, OSAKA, MARCH).fields.keys() == {b"authorization", b"x-amz-date"}


def test_bytes_that_are_no_utf_8_are_signed_as_they_are_sent() -> None:
    request = BEDROCK._replace(target="/a\udcf3?b=\udcff")
    assert canonical(request).split("\n")[1:3] == ["/a%F3", "b=%FF"]


@table(
    ("query", "written"),
    [
        ("b=2&a=2&a=1", "a=1&a=2&b=2"),
        ("a", "a="),
        ("a&&b=", "a=&b="),
        ("a=%2f&b=x:y", "a=%2F&b=x%3Ay"),
        ("a=%E1%88%B4", "a=%E1%88%B4"),
        ("B=1&a=1", "B=1&a=1"),
    ],
)
def test_a_query_is_signed_sorted_and_in_one_way_to_write_it(query: str, written: str) -> None:
    assert canonical(BEDROCK._replace(target=f"/x?{query}")).split("\n")[1:3] == ["/x", written]


@table(
    "other",
    [
        BEDROCK._replace(method="PUT"),
        BEDROCK._replace(authority=f"{BEDROCK.authority}:8443"),
        BEDROCK._replace(target=f"/outer{BEDROCK.target}"),
        BEDROCK._replace(target=f"{BEDROCK.target}?a=1"),
        BEDROCK._replace(body=BEDROCK.body + b" "),
    ],
)
def test_whatever_changes_in_a_request_changes_its_signature(other: Request) -> None:
    first = _signature(BEDROCK, TEST_KEYS, OSAKA, MARCH)

    assert _signature(other, TEST_KEYS, OSAKA, MARCH) != first
    assert _signature(BEDROCK, TEST_KEYS, OSAKA, MARCH + 1) != first
    assert _signature(BEDROCK, TEST_KEYS, OSAKA._replace(service="bedrock-mantle"), MARCH) != first
