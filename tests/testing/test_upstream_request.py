"""A request as a test looks into it."""

from __future__ import annotations

import pytest

from mitm_ai_proxy.testing.upstream_request import Headers, UpstreamRequest
from tests.tables import table


def test_a_request_can_be_looked_into() -> None:
    fields = (("Content-Type", "application/json"), ("X-Tag", "a"), ("x-tag", "b"))
    request = UpstreamRequest("POST", "https://h.test/v1/a%20b?x=1&x=2&y=", Headers(fields), b'{"a": 1}')

    assert request.path == "/v1/a%20b"
    assert request.query == {"x": ["1", "2"], "y": [""]}
    assert request.json() == {"a": 1}
    assert request.headers["CONTENT-type"] == "application/json"
    assert request.headers["x-tag"] == "a, b"
    assert "X-TAG" in request.headers
    assert "authorization" not in request.headers
    assert request.headers.get("Authorization") is None
    assert list(request.headers) == ["content-type", "x-tag"]
    with pytest.raises(KeyError):
        request.headers["host"]


@table(
    ("url", "body", "shown"),
    [
        ("https://h.test/v1/videos", b'{"a": 1}', '<POST https://h.test/v1/videos {"a": 1}>'),
        ("https://h.test/x.mp4?sign=s-e-c-r-e-t&part=1", b"", "<POST https://h.test/x.mp4?part=1>"),
        ("https://h.test/", b"x" * 101, f"<POST https://h.test/ {'x' * 100}…>"),
        ("https://h.test/", b"\xff", "<POST https://h.test/ \ufffd>"),
    ],
)
def test_a_request_is_shown_in_one_line_without_what_signs_its_url(url: str, body: bytes, shown: str) -> None:
    assert repr(UpstreamRequest("POST", url, Headers(()), body)) == shown
