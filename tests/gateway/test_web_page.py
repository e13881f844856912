"""mitmweb's page: room for comments in its list, and a banner where it asks for no password."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from mitmproxy import version
from mitmproxy.test import taddons
from mitmproxy.tools.web import app, webaddons
from tornado.httputil import HTTPHeaders, HTTPServerRequest

from mitm_ai_proxy.gateway import web_page

PAGE = b'<html><head><title>m</title></head><body><div id="mitmproxy"></div></body></html>'
HAS_PASSWORD = int(version.VERSION.partition(".")[0]) >= 12


def _answer(
    master: Any, path: str, body: bytes, fields: dict[str, str] | None = None, is_whole: bool = True
) -> tuple[HTTPHeaders, bytes, Any]:
    """An answer of mitmweb's, as it passes its transforms, and the request."""
    connection: Any = SimpleNamespace(set_close_callback=lambda _: None)
    request = HTTPServerRequest("GET", path, headers=HTTPHeaders(fields or {}), connection=connection)
    headers = HTTPHeaders({"Content-Type": "text/html", "Content-Length": str(len(body))})
    for kind in master.app.transforms:
        _, headers, body = kind(request).transform_first_chunk(200, headers, body, is_whole)
    return headers, body, request


@pytest.fixture
def master() -> Any:
    with taddons.context(webaddons.WebAddon()) as context:
        if HAS_PASSWORD:
            context.master.addons.add(webaddons.WebAuth())
        context.master.app = app.Application(context.master, False)
        yield context.master


def test_the_page_has_our_style_once_and_nothing_else_has(master: Any) -> None:
    web_page.change()
    web_page.change()

    page = PAGE.replace(b"</body>", b"</head></body>")
    headers, body, request = _answer(master, "/", page, {"If-None-Match": "of a page without the style"})
    assert body.count(b"<style>") == 1
    assert b".col-comment{width:auto}" in body.partition(b"</style></head>")[0]
    assert headers["Content-Length"] == str(len(body))
    assert "If-None-Match" not in request.headers
    for path, other in (("/flows", PAGE), ("/", b"<html><head></head>log in</html>"), ("/static/app.js", b"")):
        assert _answer(master, path, other)[1] == other
    assert _answer(master, "/", PAGE, is_whole=False)[1] == PAGE

    web_page.put_back()
    assert _answer(master, "/", PAGE)[1] == PAGE


def test_a_mitmweb_without_a_password_says_so_on_its_page_and_in_the_log(
    master: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    monkeypatch.setattr(web_page.logger, "warning", lambda _, text: heard.append(text))

    web_page.change()
    assert (b"asks for no password" in _answer(master, "/", PAGE)[1]) is not HAS_PASSWORD
    monkeypatch.setattr(web_page, "has_password", lambda: False)
    web_page.change()

    assert b'content:"This version of mitmweb asks for no password' in _answer(master, "/", PAGE)[1]
    assert heard[-1] == web_page.OPEN


def test_other_tools_and_other_versions_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    monkeypatch.setattr(web_page.logger, "warning", lambda _, text: heard.append(text))
    monkeypatch.setattr(web_page, "has_password", lambda: False)
    with taddons.context() as context:
        for found, warnings in ((None, 0), (SimpleNamespace(), 1), (SimpleNamespace(transforms=()), 2)):
            context.master.app = found
            web_page.change()
            web_page.put_back()
            assert len(heard) == warnings
        monkeypatch.delitem(sys.modules, "mitmproxy.tools.web.app")
        context.master.app = SimpleNamespace(transforms=[])
        web_page.change()
        assert context.master.app.transforms == []
