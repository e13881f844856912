"""Which heads may be sent on: everything that an upstream could read in another way is refused."""

from __future__ import annotations

import pytest

from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.wire import head
from mitm_ai_proxy.wire.header_fields import Fields
from tests.tables import table

CONTROLS = [bytes((code,)) for code in (*range(0x20), 0x7F)]
NO_TOKEN = [*CONTROLS, *(bytes((char,)) for char in b' "(),/:;<=>?@[\\]{}'), b"\x80", b"\xff", "é".encode()]
TARGET = b"/v1/videos/1?variant=video"
FIELDS: Fields = ((b"Host", b"a.test"), (b"X-A", b"1"))


def _refusal(method: bytes = b"GET", target: bytes = TARGET, fields: Fields = FIELDS) -> Refusal:
    with pytest.raises(Refusal) as raised:
        head.check(method, target, fields)
    return raised.value


def _places(bad: bytes) -> list[bytes]:
    return [bad, bad + b"GET", b"GET" + bad, b"G" + bad + b"T"]


@table("method", [b"GET", b"POST", b"get", b"M-SEARCH", b"X", b"!#$%&'*+-.^_`|~09azAZ"])
def test_a_method_that_is_a_token(method: bytes) -> None:
    head.check(method, TARGET, FIELDS)


@table(
    "method", [b"", *(method for bad in NO_TOKEN for method in _places(bad)), b"GET /admin", b"GET /a HTTP/1.1\r\nA:"]
)
def test_a_method_that_is_no_token(method: bytes) -> None:
    refusal = _refusal(method)

    assert (refusal.status, refusal.code, refusal.param) == (400, "invalid_head", None)
    assert "method" in refusal.message


@table(
    "target",
    [
        b"/", b"/?", b"/a//b", b"/v1/videos/", b"/a?b=//c&d=http://e", b"/http://a/", b"/*", b"/a%20b%0d%0a", b"/@a:b",
        b"/a:b", b"/.", b"/..", b"/\\a", b"/a#b", b"/\xff\x80", "/é".encode(), b'/"<>^`{|}', b"/a?//",
    ],
)  # fmt: skip
def test_a_target_that_is_sent_on(target: bytes) -> None:
    head.check(b"GET", target, FIELDS)


@table(
    ("target", "reason"),
    [
        *((target, "slash") for target in (
            b"", b"*", b"?", b"?/", b"a", b"v1/videos", b"-admin/keys", b".evil.test/", b"@evil.test/x", b":81/x",
            b"#/a", b"evil.test:443", b"http://evil.test/x", b"HTTP://evil.test", b"https://a@b/", b"\\a", b"%2Fv1",
            b"\xff/", b" /x", b"\t/x", b"\r\n/x", b"\x00/x",
        )),
        *((target, "two slashes") for target in (b"//", b"//evil.test", b"//evil.test/x", b"///x", b"//v1/a", b"// ")),
        *((target, "blank") for bad in (*CONTROLS, b" ") for target in (
            b"/" + bad, b"/a" + bad + b"b", b"/a?b=" + bad, b"/a?" + bad + b"&c", b"/" + bad + b"/a",
        )),
        (b"/ HTTP/1.1\r\nX: y", "blank"), (b"/a\r\n\r\nGET /b", "blank"),
    ],
)  # fmt: skip
def test_a_target_that_an_upstream_could_read_as_another(target: bytes, reason: str) -> None:
    refusal = _refusal(target=target)

    assert (refusal.status, refusal.code) == (400, "invalid_head")
    assert reason in refusal.message


@table("name", [b"X", b"x-a", b"X_A", b"X.A", b"!#$%&'*+-.^_`|~09azAZ"])
@table("value", [b"", b"a", b"\t", b"a\tb", b" a ", b"\x80\xff", "é".encode(), b'a:b;c="d\\"', b"a, b"])
def test_a_field_that_is_sent_on(name: bytes, value: bytes) -> None:
    head.check(b"GET", TARGET, (*FIELDS, (name, value)))


@table("fields", [(), FIELDS, FIELDS * 50])
def test_any_number_of_fields(fields: Fields) -> None:
    head.check(b"GET", TARGET, fields)
    assert head.without_bad_fields(fields) == fields


@table("name", [b"", *(name for bad in NO_TOKEN for name in _places(bad)), b"X: a\r\nY", b"X\r\n ", b":path"])
@table("place", [0, 1, 2])
def test_a_field_whose_name_is_no_token(name: bytes, place: int) -> None:
    fields = (*FIELDS[:place], (name, b"secret"), *FIELDS[place:])
    refusal = _refusal(fields=fields)

    assert (refusal.status, refusal.code, refusal.param) == (400, "invalid_head", None)
    assert "secret" not in refusal.message
    assert head.without_bad_fields(fields) == FIELDS


@table(
    "value",
    [
        *(value for bad in CONTROLS if bad != b"\t" for value in (bad, bad + b"a", b"a" + bad, b"a" + bad + b"b")),
        b"a\rAuthorization: Bearer secret", b"a\nContent-Length: 0", b"a\r\nX: b", b"a\r\n b", b"a\r\n\tb", b"a\n b",
        b"a\r\n ", b"a\r\n\r\nGET /admin HTTP/1.1\r\nX: ",
    ],
)  # fmt: skip
@table("place", [0, 1, 2])
def test_a_field_whose_value_could_hold_another_field(value: bytes, place: int) -> None:
    fields = (*FIELDS[:place], (b"X-B", value), *FIELDS[place:])
    refusal = _refusal(fields=fields)

    assert (refusal.status, refusal.code, refusal.param) == (400, "invalid_head", "X-B")
    assert "secret" not in refusal.message
    assert head.without_bad_fields(fields) == FIELDS


@table(
    ("data", "may"),
    [
        (b"G", True),
        (b"GET", True),
        (b"GET ", True),
        (b"get /v1/videos", True),
        (b"GET /v1/videos HTTP/1.1\r", True),
        (b"GET /v1/videos HTTP/1.1\r\nHost: x", True),
        (b"PROP-FIND http://x/ HTTP/1.0\n", True),
        (b"GET /a b HTTP/1.1\r\n", True),  # which check() refuses
        (b"GET /caf\xc3\xa9 HTTP/1.1\r\n", True),
        (b"", False),
        (b"\r\nGET / HTTP/1.1\r\n", False),
        (b" GET / HTTP/1.1\r\n", False),
        (b"\0\1", False),
        (b"HELO there\n", False),
        (b"SSH-2.0-OpenSSH_9.9\r\n", False),
        (b"GET /\r\n", False),
        (b"GET / HTTP/1.1\0\n", False),
        (b"GET /\0", False),
        (b"x\nGET / HTTP/1.1\r\n", False),
        (b"GET  HTTP/1.1", True),
        (b"(a) / HTTP/1.1\r\n", False),
    ],
)
def test_what_can_be_the_beginning_of_a_request(data: bytes, may: bool) -> None:
    assert head.may_begin(data) is may
