"""Requests that are wrong before anybody reads what they ask: methods, encodings, bodies that are long, slow, cut."""

from __future__ import annotations

import gzip
import json
import logging
import socket
from collections.abc import Callable
from typing import Any, Final

import pytest

from mitm_ai_proxy.platform.web import services
from tests.platform.web.server import SEEDS_BODY, Server
from tests.tables import table

BODY: Final = json.dumps(SEEDS_BODY).encode()


def _raw(server: Server, *pieces: bytes, then: Callable[[socket.socket], None] | None = None) -> bytes:
    """What comes back for bytes; b"" where the connection is closed by `then` instead."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        for piece in pieces:
            client.sendall(piece)
        if then:
            then(client)
            return b""
        return client.recv(65536)


def _head(server: Server, *fields: bytes) -> bytes:
    return b"\r\n".join((b"POST /api/videos HTTP/1.1", f"Host: 127.0.0.1:{server.port}".encode(), *fields, b"", b""))


@table(
    ("path", "allowed"),
    [
        ("/api/videos", "GET, HEAD, OPTIONS, POST"),
        ("/api/videos/job_1", "DELETE, GET, HEAD, OPTIONS"),
        ("/api/videos/job_1/retry", "OPTIONS, POST"),
        ("/v1/videos", "GET, HEAD, OPTIONS, POST"),
        ("/session", "DELETE, OPTIONS, POST"),
        ("/", "GET, HEAD, OPTIONS"),
        ("/healthz", "GET, HEAD, OPTIONS"),
        ("/openapi.json", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_method_that_a_path_does_not_take_is_405_with_all_that_it_takes(
    path: str, allowed: str, server: Server
) -> None:
    for method in ("PUT", "TRACE", "PATCH"):
        answer = server.ask(method, path)
        assert (answer.error, answer.fields["allow"]) == ((405, "wrong_method", None), allowed)
    options = server.ask("OPTIONS", path)
    assert (options.status, options.fields["allow"], options.body) == (204, allowed, b"")


def test_what_is_read_answers_head_as_get_without_its_body(server: Server) -> None:
    job_id = server.made()
    for path in ("/api/videos", f"/v1/videos/{job_id}", "/api/usage", "/healthz", "/readyz", "/", "/openapi.json"):
        get, head = server.ask("GET", path), server.ask("HEAD", path)
        assert (head.status, head.body) == (get.status, b"")
        assert head.fields["content-type"] == get.fields["content-type"]
    assert server.ask("HEAD", "/api/events").fields["content-type"].startswith("text/event-stream")
    assert server.ask("HEAD", "/api/videos/job_none").status == 404


@table(
    ("body", "fields", "error"),
    [
        (gzip.compress(BODY), {"content-encoding": "gzip"}, (415, "unsupported_encoding", "Content-Encoding")),
        (BODY, {"content-encoding": "br"}, (415, "unsupported_encoding", "Content-Encoding")),
        (b"", {}, (400, "invalid_body", None)),
        (b"[]", {}, (400, "invalid_body", None)),
        (b"{", {}, (400, "invalid_body", None)),
        (BODY + b" x", {}, (400, "invalid_body", None)),
        (BODY.decode().encode("utf-16"), {}, (400, "invalid_body", None)),
        (b'{"prompt": "\xff"}', {}, (400, "invalid_body", None)),
        (b'{"prompt": "a", "prompt": "b"}', {}, (400, "invalid_body", "prompt")),
        (b'{"prompt": "a", "duration": NaN}', {}, (400, "invalid_body", None)),
        (b'{"prompt": "a", "duration": 1e999}', {}, (400, "invalid_body", "duration")),
        (b'{"prompt": "a", "duration": ' + b"9" * 5000 + b"}", {}, (400, "invalid_body", "duration")),
        (b'{"prompt": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", {}, (400, "invalid_body", None)),
        (b"prompt=a+cat", {"content-type": "application/x-www-form-urlencoded"}, (400, "invalid_body", None)),
    ],
)
def test_a_body_that_is_no_json_is_refused(body: bytes, fields: Any, error: Any, server: Server) -> None:
    assert server.ask("POST", "/api/videos", raw=body, fields=fields).error == error
    assert server.counts() == 0


def test_json_is_taken_under_any_type_and_in_plain_encoding(server: Server) -> None:
    """curl -d says that it is a form."""
    for fields in ({"content-type": "application/x-www-form-urlencoded"}, {"content-encoding": "identity"}):
        assert server.ask("POST", "/api/videos", raw=BODY, fields=fields).status == 202
    assert server.ask("POST", "/api/videos", raw=b"\xef\xbb\xbf" + BODY).status == 202


def test_a_long_body_is_413_before_it_has_been_read(server: Server) -> None:
    declared = _raw(server, _head(server, b"Content-Length: 26214401"), b"{")
    expected = _raw(server, _head(server, b"Content-Length: 26214401", b"Expect: 100-continue"))
    piece = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
    undeclared = _raw(server, _head(server, b"Transfer-Encoding: chunked"), *[piece] * 26)

    assert [answer[:12] for answer in (declared, expected, undeclared)] == [b"HTTP/1.1 413"] * 3


def test_a_body_that_stands_still_is_408(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "_BODY_SECONDS", 0.05)

    answer = _raw(server, _head(server, b"Content-Length: 100"), b"{")
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in answer.lower()


@table("fields", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
def test_a_client_that_leaves_within_its_body_is_no_failure(
    fields: bytes, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        _raw(server, _head(server, fields), b"5\r\n", then=socket.socket.close)
        for _ in range(200):
            if b'status="499"' in server.ask("GET", "/metrics").body:
                break

    assert b'status="499"' in server.ask("GET", "/metrics").body
    assert caplog.records == []
    assert server.counts() == 0
