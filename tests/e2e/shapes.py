"""Requests in shapes that a client may send by mistake or in bad faith, and what becomes of each at both edges."""

from __future__ import annotations

from typing import Final, NamedTuple

BODY: Final = b'{"model":"gpt-5","input":"a cat"}'
PATH: Final = b"/v1/things/831"
_LENGTH: Final = b"Content-Length: %d\r\n" % len(BODY)
_CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"


class Shape(NamedTuple):
    """A request. `mitmdump` and `serve`: the status that its client gets, 0 for a connection that is closed."""

    name: str
    data: bytes
    mitmdump: int
    serve: int


def _request(
    method: bytes = b"GET", target: bytes = PATH, fields: bytes = b"", body: bytes = b"", version: bytes = b"HTTP/1.1"
) -> bytes:
    return b"%b %b %b\r\nHost: 127.0.0.1\r\n%b\r\n%b" % (method, target, version, fields, body)


def _post(fields: bytes, body: bytes = b"") -> bytes:
    return _request(b"POST", fields=fields, body=body)


SHAPES: Final = (
    Shape("a bare CR in a value", _request(fields=b"X-A: 1\rX-B: 2\r\n"), 400, 400),
    Shape("lines that end with LF", b"GET " + PATH + b" HTTP/1.1\nHost: x\n\n", 200, 400),
    Shape("NUL in a value", _request(fields=b"X-A: 1\0b\r\n"), 400, 400),
    Shape(
        "a length and chunks",
        _post(b"Content-Length: 5\r\n" + _CHUNKED, b"0\r\n\r\nGET /evil HTTP/1.1\r\nHost: x\r\n\r\n"),
        400,
        400,
    ),
    Shape("chunks and a length", _post(_CHUNKED + b"Content-Length: 5\r\n", b"0\r\n\r\n"), 400, 400),
    Shape("two lengths that differ", _post(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello!"), 400, 400),
    Shape("two equal lengths", _post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"), 400, 400),
    Shape("a list of lengths", _post(b"Content-Length: 5, 5\r\n", b"hello"), 400, 400),
    Shape("a length with a plus", _post(b"Content-Length: +5\r\n", b"hello"), 400, 400),
    Shape("a negative length", _post(b"Content-Length: -1\r\n"), 400, 400),
    Shape("a hexadecimal length", _post(b"Content-Length: 0x5\r\n", b"hello"), 400, 400),
    Shape("a length with an underscore", _post(b"Content-Length: 1_0\r\n", b"hellohello"), 400, 400),
    Shape("a coding that is nearly chunked", _post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"), 400, 400),
    Shape("a coding behind chunked", _post(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n"), 400, 400),
    Shape("a coding before chunked", _post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), 200, 501),
    Shape("chunked twice", _post(_CHUNKED + _CHUNKED, b"0\r\n\r\n"), 400, 400),
    Shape("a blank before the colon", _post(b"Content-Length : 5\r\n", b"hello"), 400, 400),
    Shape("a folded value", _request(fields=b"X-A: 1\r\n 2\r\n"), 400, 400),
    Shape("a line that begins with a blank", _request(fields=b" X-A: 1\r\n"), 400, 400),
    Shape("a size of a chunk in another notation", _post(_CHUNKED, b"0x5\r\nhello\r\n0\r\n\r\n"), 0, 400),
    Shape("a size of a chunk with a plus", _post(_CHUNKED, b"+5\r\nhello\r\n0\r\n\r\n"), 0, 400),
    Shape("chunks that end with LF", _post(_CHUNKED, b"5\nhello\n0\n\n"), 0, 400),
    Shape("LF in the extension of a chunk", _post(_CHUNKED, b"5;a\nb\r\nhello\r\n0\r\n\r\n"), 0, 400),
    Shape(
        "trailers",
        _post(_CHUNKED + b"Trailer: X-T\r\n", b"5\r\nhello\r\n0\r\nX-T: 1\r\nAuthorization: evil\r\n\r\n"),
        200,
        200,
    ),
    Shape("a whole URL", _request(target=b"http://evil.example" + PATH), 200, 400),
    Shape("asterisk", _request(b"OPTIONS", b"*"), 400, 400),
    Shape("CONNECT", _request(b"CONNECT", b"evil.example:443"), 400, 400),
    Shape("a path with two slashes", _request(target=b"//evil.example/v1/things"), 400, 400),
    Shape("a fragment", _request(target=PATH + b"#frag"), 200, 200),
    Shape("two Hosts", _request(fields=b"Host: evil.example\r\n"), 403, 400),
    Shape("no Host", b"GET " + PATH + b" HTTP/1.1\r\n\r\n", 200, 400),
    Shape("HTTP/1.0", _request(version=b"HTTP/1.0"), 200, 200),
    Shape("HTTP/1.2", _request(version=b"HTTP/1.2"), 200, 400),
    Shape("HTTP/2.0", _request(version=b"HTTP/2.0"), 200, 505),
    Shape("a method in lower case", _request(b"get"), 200, 400),
    Shape("an unknown method", _request(b"FOO"), 200, 400),
    Shape("a method that is no token", _request(b"G@T("), 400, 400),
    Shape("a blank in the target", b"GET /v1/a b HTTP/1.1\r\nHost: x\r\n\r\n", 400, 400),
    Shape("UTF-8 in the target", _request(target=b"/v1/\xc3\xa9"), 200, 400),
    Shape(
        "an upgrade to HTTP/2",
        _request(fields=b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"),
        200,
        200,
    ),
    Shape(
        "an upgrade to WebSocket",
        _request(
            fields=b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        ),
        200,
        501,
    ),
    Shape("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, 400),
    Shape("GET with a body", _request(fields=_LENGTH, body=BODY), 200, 200),
    Shape("a field of 70 KB", _request(fields=b"X-A: " + b"a" * 70000 + b"\r\n"), 200, 400),
    Shape("300 fields", _request(fields=b"".join(b"X-%d: 1\r\n" % number for number in range(300))), 200, 400),
    Shape("Connection names a field", _request(fields=b"Connection: close, X-Secret\r\nX-Secret: 1\r\n"), 200, 200),
    Shape("two requests at once", _request() + _request(target=PATH + b"2"), 200, 200),
)
