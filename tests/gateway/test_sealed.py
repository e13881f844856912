"""Credentials that a flow never has: mitmproxy's layers put them in where the request is sent, and only there."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from mitmproxy import http, options
from mitmproxy.proxy import context, events
from mitmproxy.proxy.layers import HttpLayer
from mitmproxy.proxy.layers.http import HTTPMode, HttpStream
from mitmproxy.proxy.layers.http._events import RequestHeaders
from mitmproxy.test import tflow

from mitm_ai_proxy.auth.header import REDACTED, redacted, redacted_target
from mitm_ai_proxy.gateway import content_view, sealed
from mitm_ai_proxy.gateway.inspected import Inspected
from mitm_ai_proxy.wire.targets import Origin
from tests.tables import table

ORIGIN = Origin("http", "provider.test", 81)
TARGET = "/a?x=%20&key=own&y&api_key=two"
FIELDS = (
    (b"Host", b"provider.test:81"), (b"Authorization", b"Bearer own"), (b"cookie", b"a"), (b"X-A", b""),
    (b"Cookie", b"b"),
)  # fmt: skip


@pytest.fixture(autouse=True)
def installed() -> None:
    assert sealed.install()


def _flow(origin: Origin = ORIGIN) -> http.HTTPFlow:
    flow = tflow.tflow(req=http.Request.make("POST", f"{origin}/"))
    sealed.seal(flow, ORIGIN, FIELDS, TARGET, redacted(FIELDS), redacted_target(TARGET))
    return flow


class _Child:
    """A connection of mitmproxy's that notes what it is given."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def handle_event(self, event: events.Event) -> Iterator[Any]:
        self.seen.append(event)
        yield from ()


def _sent(flow: http.HTTPFlow) -> http.Request:
    """What mitmproxy's layer of HTTP gives to the connection with the provider."""
    above = context.Context(flow.client_conn, options.Options())
    layer, child = HttpLayer(above, HTTPMode.transparent), _Child()
    layer.streams[1] = stream = HttpStream(above.fork(), 1)
    stream.flow = flow
    connection: Any = child
    list(layer.event_to_child(connection, RequestHeaders(1, flow.request, end_stream=True)))
    [event] = child.seen
    request: http.Request = event.request
    return request


def test_it_is_sent_to_the_byte_and_the_flow_shows_placeholders() -> None:
    flow = _flow()

    shown = repr(flow.get_state())
    request = _sent(flow)

    assert (request.headers.fields, request.path) == (FIELDS, TARGET)
    assert (request.data.host, request.method, request.raw_content) == ("provider.test", "POST", b"")
    assert not any(secret in text for secret in ("own", "two", "Bearer") for text in (shown, repr(flow.get_state())))
    assert (flow.request.path, flow.request.headers["Authorization"]) == (
        "/a?x=%20&key=redacted&y&api_key=redacted", REDACTED
    )  # fmt: skip


def test_it_is_forgotten_once_it_is_sent() -> None:
    flow = _flow()
    _sent(flow)

    assert sealed.sent(flow) is flow.request
    assert _sent(flow) is flow.request


@table(
    ("edit", "expected", "path"),
    [
        ({"Authorization": "Bearer mine"}, {"Authorization": "Bearer mine", "Cookie": "a, b"}, ""),
        ({"Authorization": None}, {"Authorization": None, "Cookie": "a, b"}, ""),
        ({"X-New": REDACTED}, {"X-New": REDACTED, "Authorization": "Bearer own"}, ""),
        ({"X-A": "1"}, {"X-A": "1", "Authorization": "Bearer own"}, "/b?api_key=redacted&key=redacted&z"),
        ({"X-A": "1"}, {"X-A": "1"}, "/b?key=mine"),
    ],
)
def test_what_was_edited_is_sent_as_it_is(
    edit: dict[str, str | None], expected: dict[str, str | None], path: str
) -> None:
    flow = _flow()
    for name, value in edit.items():
        flow.request.headers.pop(name, None)
        if value is not None:
            flow.request.headers[name] = value
    flow.request.path = path or flow.request.path

    request = _sent(flow)

    assert {name: request.headers.get(name) for name in expected} == expected
    assert request.path == {"": TARGET, "/b?key=mine": path}.get(path, "/b?api_key=two&key=own&z")


def test_a_request_whose_credential_is_forgotten_is_not_sent_with_placeholders() -> None:
    flow = _flow()
    sealed.forget(flow)

    with pytest.raises(sealed.NotSealed):
        _sent(flow)
    sealed.seal(flow, ORIGIN, FIELDS, TARGET, redacted(FIELDS), redacted_target(TARGET))
    assert _sent(flow).headers.fields == FIELDS


def test_a_script_that_is_loaded_again_goes_on_with_what_is_sealed_and_forgotten() -> None:
    kept, forgotten = _flow(), _flow()
    spec = importlib.util.spec_from_file_location(f"{sealed.__name__}_again", sealed.__file__)
    assert spec
    assert spec.loader
    again = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(again)
    assert again.install()
    again.forget(forgotten)

    assert again.target_of(kept) == TARGET
    assert _sent(kept).headers.fields == FIELDS
    with pytest.raises(sealed.NotSealed):
        _sent(forgotten)


@table("attribute, value", [("host", "elsewhere.test"), ("port", 82), ("scheme", b"https")])
def test_it_goes_nowhere_else(attribute: str, value: Any) -> None:
    flow = _flow()
    setattr(flow.request.data, attribute, value)

    request = _sent(flow)

    assert request.path == "/a?x=%20&key=redacted&y&api_key=redacted"
    assert [name for name, _ in request.headers.fields] == [b"Host", b"X-A"]


def test_another_flow_or_try_gets_none_of_it() -> None:
    flow, other = _flow(), tflow.tflow(req=http.Request.make("POST", f"{ORIGIN}/"))
    other.request.headers.fields = redacted(FIELDS)
    assert other.request.headers.fields == _sent(other).headers.fields

    plain = ((b"Authorization", REDACTED.encode()),)
    sealed.seal(flow, ORIGIN, plain, "/", plain, "/")
    assert _sent(flow).headers.fields == plain


def _without(layer: Any) -> None:
    del layer.event_to_child


def _other(layer: Any) -> None:
    layer.event_to_child = lambda self, event: iter(())


@table("change", [_without, _other])
def test_layers_that_look_different_are_left_alone_with_a_warning(change: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HttpLayer, "event_to_child", HttpLayer.event_to_child)
        patch.setattr(sealed, "_seals", None)
        heard: list[str] = []
        patch.setattr(sealed.logger, "warning", heard.append)
        change(HttpLayer)
        after = getattr(HttpLayer, "event_to_child", None)

        assert not sealed.install()
        assert getattr(HttpLayer, "event_to_child", None) is after
        assert not sealed.is_installed()
        assert "not known well enough" in heard[0]
        assert len(heard) == 1


def test_a_reload_of_the_script_goes_on_with_what_is_sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    flow, before = _flow(), HttpLayer.event_to_child
    monkeypatch.setattr(sealed, "_seals", None)

    assert sealed.install()
    assert HttpLayer.event_to_child is before
    assert _sent(flow).headers.fields == FIELDS


def test_traffic_that_is_only_looked_at_keeps_its_own_while_it_waits() -> None:
    flow = tflow.tflow(req=http.Request.make("POST", "http://api.test/v1/chat/completions?key=own&a=%20b"))
    flow.request.headers.fields = FIELDS

    Inspected().requestheaders(flow)

    assert flow.request.path == "/v1/chat/completions?key=redacted&a=%20b"
    assert "Bearer own" not in repr(flow.get_state())
    request = _sent(flow)
    assert (request.path, request.headers.fields) == ("/v1/chat/completions?key=own&a=%20b", FIELDS)


def test_the_log_names_the_hosts_and_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    flow = _flow()
    flow.request.data.host = "else\x1bwhere.test"
    with caplog.at_level(logging.WARNING):
        _sent(flow)

    assert "led to else\\x1bwhere.test:81 after its credential had been set for http://provider.test:81" in caplog.text
    assert "own" not in caplog.text


def test_the_claims_of_a_jwt_are_kept_while_the_flow_lives_without_what_makes_it_valid() -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJhY2Nlc3Mta2V5LW9mLW91cnMiLCJleHAiOjE5MDAwMDAwMDB9.c2lnbmF0dXJlLW9mLW91cnM"
    fields = ((b"Authorization", f"Bearer {token}".encode()),)
    flow = tflow.tflow(req=http.Request.make("POST", f"{ORIGIN}/v1/videos", b"{}"), resp=True)
    sealed.seal(flow, ORIGIN, fields, "/v1/videos", redacted(fields), "/v1/videos")

    _ = _sent(flow)
    text = content_view.show(b"{}", flow, flow.request)

    assert "authorization: Bearer JWT, HS256 (valid for " in text
    assert "iss: …" in text
    assert "c2lnbmF" not in repr(sealed.claims_of(flow))
    assert not any(word in text + repr(flow.get_state()) for word in ("eyJ", "c2lnbmF", "access-key"))
    assert "JWT" not in content_view.show(b"{}", flow, flow.response)
    plain = ((b"Authorization", b"Bearer sk-plain"),)
    sealed.seal(flow, ORIGIN, plain, "/v1/videos", redacted(plain), "/v1/videos")
    assert sealed.claims_of(flow) == ()
