"""The files of the page, what a browser may do with them, and the session."""

from __future__ import annotations

import re

from tests.platform.web.server import Server
from tests.tables import table


@table(
    ("path", "media_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
    ],
)
def test_a_file_is_given_and_not_again_where_the_browser_has_it(path: str, media_type: str, server: Server) -> None:
    answer = server.ask("GET", path)

    assert (answer.status, answer.fields["content-type"]) == (200, media_type)
    assert server.ask("GET", path, fields={"if-none-match": answer.fields["etag"]}).status == 304


def test_the_page_loads_from_here_only_and_runs_nothing_that_is_in_it(server: Server) -> None:
    page = server.ask("GET", "/")
    policy = page.fields["content-security-policy"]

    assert policy == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " media-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    assert page.fields["x-content-type-options"] == "nosniff"
    assert page.fields["referrer-policy"] == "no-referrer"
    text = page.body.decode()
    assert not re.search(r'<script(?![^>]*src=)|\sstyle=|\son\w+=|(src|href)="(https?:)?//', text)


def test_a_key_opens_a_session_that_no_script_and_no_other_site_can_use(server: Server) -> None:
    _, key = server.store.keys.make("acme", 0)
    assert server.ask("GET", "/api/usage").status == 401
    answer = server.ask("POST", "/session", {"key": key})
    cookie = answer.fields["set-cookie"]

    assert answer.status == 204
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    session = {"cookie": cookie.partition(";")[0]}
    assert server.ask("GET", "/api/usage", fields=session).json["tenant"] == "acme"
    evil = {**session, "origin": "https://evil.example"}
    assert server.ask("POST", "/api/videos", {"prompt": "x"}, fields=evil).error == (403, "cross_site", "Origin")
    assert server.counts() == 0


@table(
    ("body", "fields", "status"),
    [
        (b'{"key": "vp_wrong"}', {}, 401),
        (b'{"key": ""}', {}, 400),
        (b'{"key": 5}', {}, 400),
        (b'{"key": "a; Path=/"}', {}, 400),
        (b'{"key": "a\\r\\nx"}', {}, 400),
        (b"{}", {}, 400),
        (b"[", {}, 400),
        (b"x" * 5000, {}, 413),
        (b'{"key": "vp_wrong"}', {"origin": "https://evil.example"}, 403),
    ],
)
def test_a_wrong_key_opens_none(body: bytes, fields: dict[str, str], status: int, server: Server) -> None:
    server.store.keys.make("acme", 0)
    answer = server.ask("POST", "/session", raw=body, fields=fields)

    assert answer.status == status
    assert "set-cookie" not in answer.fields


def test_a_session_is_ended(server: Server) -> None:
    answer = server.ask("DELETE", "/session")

    assert answer.status == 204
    assert 'platform_key=""' in answer.fields["set-cookie"]
