"""What the two edges do with heads, framing and header fields: the same, but for differences that are named."""

from __future__ import annotations

import contextlib
import json
import select
import socket
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import EDGES, StartEdge
from tests.e2e.raw import RawProvider, ask, message
from tests.e2e.shapes import SHAPES
from tests.tables import table

SECONDS = 10.0
MOST_OF_HEAD = 1024 * 1024
"""Bytes in which a proxy has to say that a head is too long."""
CONFIG = """
provider:
  type: generic
  apiTokens: [sk-provider-0123456789]
  genericHost: http://{address}
"""


@pytest.fixture(scope="module")
def raw_server() -> Iterator[RawProvider]:
    provider = RawProvider()
    yield provider
    provider.close()


@pytest.fixture
def provider(raw_server: RawProvider) -> RawProvider:
    """A provider that keeps every byte."""
    raw_server.reset()
    return raw_server


@pytest.mark.parametrize("edge", EDGES)
def test_a_shape_of_a_request_is_served_or_refused(edge: str, provider: RawProvider, shared_edge: StartEdge) -> None:
    port = shared_edge(edge, CONFIG.format(address=provider.address)).port
    wrong = []
    for shape in SHAPES:
        provider.reset()
        answer = ask(port, shape.data, seconds=SECONDS if getattr(shape, edge) else 0.5)
        status = int(answer[9:12]) if answer.startswith(b"HTTP/1.") else 0
        expected: int = getattr(shape, edge)
        if (status, bool(provider.received)) != (expected, expected == 200) or b"evil" in b"".join(provider.received):
            wrong.append((shape.name, expected, answer[:300], provider.received))
    assert wrong == []


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("field", [b"", b"X-A: 1\r\n"], ids=["one field", "many fields"])
def test_a_head_without_an_end_is_refused(
    edge: str, field: bytes, provider: RawProvider, shared_edge: StartEdge
) -> None:
    port = shared_edge(edge, CONFIG.format(address=provider.address)).port
    piece, sent = (field or b"a") * (32768 // len(field or b"a")), 0
    with socket.create_connection(("127.0.0.1", port), SECONDS) as client:
        client.sendall(b"GET /v1/a HTTP/1.1\r\nHost: x\r\nX-B: ")
        # An answer is not heard any more while more is sent.
        while not select.select([client], [], [], 0.05)[0]:
            assert sent < MOST_OF_HEAD
            client.sendall(piece)
            sent += len(piece)
        answer = message(client)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
    assert answer[9:13] == b"400 "
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "invalid_head"
    # One of an earlier test may have come late.
    assert not any(b" /v1/a " in request for request in provider.received)


@pytest.mark.parametrize("edge", EDGES)
def test_a_long_head_is_served(edge: str, provider: RawProvider, shared_edge: StartEdge) -> None:
    port = shared_edge(edge, CONFIG.format(address=provider.address)).port
    field = b"\r\n".join(b"X-Long: " + b"%d" % number * 60_000 for number in range(3))

    answer = ask(port, b"GET /v1/a HTTP/1.1\r\nHost: x\r\n" + field + b"\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert any(field in request for request in provider.received)


FIELDS = (
    b"X-Odd-CASE: 1\r\nx-dup: a\r\nX-Dup: b\r\nAccept-Encoding: gzip;q=0.5\r\nX-Empty: \r\n"
    b"X-Text: \xc3\xa9\r\nX-Latin: \xe9t\xe9\r\nCookie: a=1\r\n"
)


@pytest.mark.parametrize("edge", EDGES)
def test_what_is_not_changed_of_a_request_is_sent_to_the_byte(
    edge: str, provider: RawProvider, shared_edge: StartEdge
) -> None:
    port = shared_edge(edge, CONFIG.format(address=provider.address)).port
    head = b"POST /v1/a?&b=%%2f?c HTTP/1.1\r\nHost: 127.0.0.1\r\n%bContent-Length: 3\r\n" % FIELDS

    assert ask(port, head + b"TE: trailers\r\nConnection: close\r\n\r\nabc").endswith(b"ok")
    # A shape of the test before may arrive late.
    [sent] = [request for request in provider.received if b" /v1/a?" in request]

    first, _, rest = sent.partition(b"\r\n")
    lines = rest.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert first == b"POST /v1/a?&b=%2f?c HTTP/1.1"
    assert sent.endswith(b"\r\n\r\nabc")
    own = [line for line in lines if not line.lower().startswith(b"te:")]
    assert own == [
        b"Host: " + provider.address.encode(),
        *FIELDS.replace(b"Cookie: a=1\r\n", b"").rstrip(b"\r\n").split(b"\r\n"),
        b"Content-Length: 3",
        b"Authorization: Bearer sk-provider-0123456789",
    ]
    if edge == "serve":
        assert own == lines


ANSWERS = {
    "odd fields": b"HTTP/1.1 200 Fine By Me\r\nX-ODD-case: a\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n"
    b"X-L: \xe9\xff\r\nContent-Length: 2\r\n\r\nok",
    "no reason": b"HTTP/1.1 429 \r\nContent-Length: 2\r\n\r\nno",
    "a coding": b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 3\r\n\r\n\x0b\x00\x80",
    "a redirect": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    "nothing": b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 77\r\n\r\n",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("edge", EDGES)
def test_an_answer_that_passes_is_passed_on_to_the_byte(
    edge: str, provider: RawProvider, shared_edge: StartEdge
) -> None:
    port = shared_edge(edge, CONFIG.format(address=provider.address)).port
    wrong = []
    for name, says in ANSWERS.items():
        provider.says = says
        has_body = name not in ("nothing", "not modified")
        answer = ask(port, b"GET /v1/a HTTP/1.1\r\nHost: x\r\n\r\n", has_body=has_body)
        if answer != says:
            wrong.append((name, answer))
    provider.says = b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"
    head = ask(port, b"HEAD /v1/a HTTP/1.1\r\nHost: x\r\n\r\n", has_body=False)

    assert wrong == []
    assert head == provider.says
    assert all(b"HTTP/1.1\r\nHost: " in request for request in provider.received)


@pytest.mark.parametrize("edge", EDGES)
@table(
    ("status", "kind", "is_masked"),
    [
        (200, b"application/json", True),
        (200, b"text/event-stream", True),
        (200, b"text/plain", True),
        (401, b"application/json", True),
        (200, b"video/mp4", False),
        (206, b"application/octet-stream", False),
        (500, b"application/octet-stream", True),
    ],
)
def test_a_credential_that_an_answer_repeats_is_masked_but_not_in_media(
    edge: str, status: int, kind: bytes, is_masked: bool, provider: RawProvider, shared_edge: StartEdge
) -> None:
    port = shared_edge(edge, CONFIG.format(address=provider.address)).port
    token = b"sk-provider-0123456789"
    for framing, body in (
        (b"Content-Length: 22", token),
        (b"Transfer-Encoding: chunked", b"16\r\n" + token + b"\r\n0\r\n\r\n"),
    ):
        head = b"HTTP/1.1 %d OK\r\nX-Told: %b\r\nContent-Type: %b\r\n%b\r\n\r\n" % (status, token, kind, framing)
        provider.says = head + body
        answer = ask(port, b"GET /v1/a HTTP/1.1\r\nHost: x\r\n\r\n")
        field, _, came = answer.partition(b"\r\n\r\n")
        assert token not in field
        assert (token in came, b"*" * len(token) in came) == (not is_masked, is_masked)


@pytest.mark.parametrize("edge", EDGES)
def test_the_connection_of_a_client_that_closes_it_ends_and_it_is_told_so(
    edge: str, provider: RawProvider, shared_edge: StartEdge
) -> None:
    port = shared_edge(edge, CONFIG.format(address=provider.address)).port
    with socket.create_connection(("127.0.0.1", port), SECONDS) as client:
        client.sendall(b"GET /v1/a HTTP/1.1\r\nHost: x\r\nConnection: Close\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65536), b""))

    assert b"connection: close\r\n" in answer.partition(b"\r\n\r\n")[0].lower() + b"\r\n"
    assert answer.endswith(b"\r\n\r\nok")
    [sent] = [request for request in provider.received if b" /v1/a " in request]
    assert b"connection:" not in sent.lower()


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("kept", [b"", b"Expect: 100-continue\r\n"])
def test_a_body_is_framed_as_it_came(edge: str, kept: bytes, provider: RawProvider, shared_edge: StartEdge) -> None:
    port = shared_edge(edge, CONFIG.format(address=provider.address)).port
    head = b"POST /v1/a HTTP/1.1\r\nHost: x\r\n" + kept

    for framed in (b"Content-Length: 3\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"):
        provider.received.clear()
        ask(port, head + framed)
        [sent] = provider.received
        assert sent.endswith(framed.partition(b"\r\n\r\n")[2])
        assert framed.partition(b"\r\n")[0].lower() in sent.lower()
        assert b"expect" not in sent.lower()
    provider.received.clear()
    ask(port, head + b"\r\n")
    [sent] = provider.received
    assert b"content-length" not in sent.lower()
    assert sent.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("edge", EDGES)
def test_a_kept_connection_that_has_died_gets_no_request_twice(
    edge: str, provider: RawProvider, shared_edge: StartEdge
) -> None:
    port = shared_edge(edge, CONFIG.format(address=provider.address)).port
    provider.closes = True
    for _ in range(3):
        ask(port, b"GET /v1/a HTTP/1.1\r\nHost: x\r\n\r\n")

    assert len(provider.received) <= 3


@pytest.mark.parametrize("edge", EDGES)
def test_an_answer_that_nobody_asked_for_reaches_nobody(
    edge: str, provider: RawProvider, shared_edge: StartEdge
) -> None:
    port = shared_edge(edge, CONFIG.format(address=provider.address)).port
    provider.says = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"
    answers = [ask(port, b"GET /v1/a HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(3)]

    assert not any(b"EVIL" in answer for answer in answers)


@pytest.mark.parametrize("edge", EDGES)
def test_a_client_shows_its_token_which_goes_no_further(
    edge: str, provider: RawProvider, shared_edge: StartEdge
) -> None:
    config = f"clientTokens: {{{{shop: token-of-the-shop-1, other: [token-of-another-1]}}}}{CONFIG}"
    config = config.format(address=provider.address).replace("  apiTokens: [sk-provider-0123456789]\n", "")
    port = shared_edge(edge, config).port
    good = (b"Authorization: Bearer token-of-the-shop-1\r\n", b"x-api-key: token-of-another-1\r\n")

    for fields in (b"", b"Authorization: Bearer token-of-the-shop-2\r\n", b"X-Other: token-of-the-shop-1\r\n"):
        answer = ask(port, b"GET /v1/a HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b"invalid_api_key" in answer
    assert provider.received == []
    for fields in good:
        assert ask(port, b"GET /v1/a HTTP/1.1\r\nHost: x\r\n" + fields + b"X-A: 1\r\n\r\n").endswith(b"ok")
    assert not any(b"token-of" in request for request in provider.received)
