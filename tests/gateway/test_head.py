"""A head that an upstream could read in another way is refused before anything else, in HTTP/1 and HTTP/2."""

from __future__ import annotations

import json
import logging

import pytest
from mitmproxy import http

from mitm_ai_proxy.gateway.flows import describe
from tests.gateway.literal import Proxy, make, run
from tests.tables import table

KEY = "key-of-the-client"
VERSIONS = ("HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/3.0")


def _flow(
    version: str,
    method: bytes = b"GET",
    target: bytes = b"/a",
    fields: tuple[tuple[bytes, bytes], ...] = (),
    mode: str = "reverse:http://x.test",
) -> http.HTTPFlow:
    flow = make("GET /a", mode=mode)
    data = flow.request.data
    data.method, data.path, data.http_version = method, target, version.encode()
    flow.request.headers.fields = ((b"User-Agent", b"a"), *fields)
    return flow


HEADS = {
    "method with a blank": (b"GET /admin", b"/a", ()),
    "method with NUL": (b"\0POST", b"/body", ()),
    "method with a line": (b"GET / HTTP/1.1\r\nA:", b"/a", ()),
    "no method": (b"", b"/a", ()),
    "no path": (b"GET", b"", ()),
    "asterisk": (b"OPTIONS", b"*", ()),
    "no slash": (b"GET", b"-admin/keys", ()),
    "user": (b"GET", b"@evil.test/x", ()),
    "authority": (b"GET", b"evil.test:443", ()),
    "address": (b"GET", b"http://127.0.0.1:9/x", ()),
    "two slashes": (b"GET", b"//evil.test/x", ()),
    "blank": (b"GET", b"/ x", ()),
    "line in the query": (b"POST", b"/body?a=\r\nX: y", ()),
    "DEL": (b"GET", b"/a\x7f", ()),
    "CR": (b"GET", b"/a", ((b"X", b"a\rAuthorization: Bearer " + KEY.encode()),)),
    "fold": (b"GET", b"/a", ((b"X", b"a\r\n Authorization: Bearer " + KEY.encode()),)),
    "LF": (b"POST", b"/body", ((b"X", b"a\nContent-Length: 0"),)),
    "NUL": (b"GET", b"/a", ((b"X", b"a\0b"),)),
    "name": (b"GET", b"/a", ((b"X\rAuthorization", KEY.encode()),)),
    "name with LF": (b"GET", b"/a", ((b"X\n", KEY.encode()),)),
    "no name": (b"GET", b"/a", ((b"", KEY.encode()),)),
}


@pytest.mark.parametrize("mode", ["reverse:http://x.test", "regular"])
def test_a_bad_head_is_refused_and_nothing_is_sent(mode: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def work(proxy: Proxy) -> None:
        for version in VERSIONS:
            for name, head in HEADS.items():
                flow = _flow(version, *head, mode=mode)
                got = await proxy.ask(flow)
                error = json.loads(got.body)["error"]
                assert (got.status, error["code"]) == (400, "invalid_head"), (name, version)
                state = flow.get_state()
                assert KEY not in str(state), (name, version)
                assert "key-of-the-gateway" not in str(state), (name, version)

    run(
        work,
        provider={"type": "fake", "providerDomain": "http://provider.test:81", "apiTokens": ["key-of-the-gateway"]},
        hosts=["api.openai.com"],
    )

    lines = [record.getMessage() for record in caplog.records if record.name.startswith("mitm_ai_proxy")]
    assert sum("400" in line for line in lines) == len(VERSIONS) * len(HEADS)
    assert all(line.isprintable() for line in lines)
    assert KEY not in caplog.text


@table("version", VERSIONS)
def test_a_client_of_anthropics_is_told_in_its_own_dialect(version: str) -> None:
    async def work(proxy: Proxy) -> None:
        flow = _flow(version, b"GET", b"/a", ((b"anthropic-version", b"2023-06-01"), (b"X", b"a\rb")))
        got = await proxy.ask(flow)
        assert got.status == 400
        assert json.loads(got.body)["type"] == "error"

    run(work)


@table("peer", ["127.0.0.1", "192.0.2.7"])
def test_the_head_is_judged_before_who_sent_it(peer: str) -> None:
    async def work(proxy: Proxy) -> None:
        flow = make(peer=peer)
        flow.request.data.path = b"*"
        got = await proxy.ask(flow)
        assert json.loads(got.body)["error"]["code"] == "invalid_head"

    run(work)


def test_a_flow_that_is_sent_again_is_judged_too() -> None:
    async def work(proxy: Proxy) -> None:
        first = make("GET /a")
        assert await proxy.send(first)
        flow = first.copy()
        flow.live, flow.is_replay, flow.response = True, "request", None
        flow.request.data.path = b"http://evil.test/a"
        assert (await proxy.ask(flow)).status == 400

    run(work)


@table("version", VERSIONS)
def test_flows_to_other_hosts_are_not_judged(version: str) -> None:
    async def work(proxy: Proxy) -> None:
        flow = _flow(version, b"GET", b"/a", ((b"X", b"a\rb"),), mode="regular")
        flow.request.host = "foreign.test"
        flow.request.trailers = http.Headers(X="a")
        before = flow.get_state()["request"]
        sent = await proxy.send(flow)
        assert sent is not None
        after = flow.get_state()["request"]
        assert (after["headers"], after["trailers"]) == (before["headers"], before["trailers"])

    run(work, hosts=["api.openai.com"])


@table("target", [b"/a\xff\x80?b=\xc3\xa9", "/é".encode(), b"/a?b=//c&d=http://e/*", b"/a//b"])
def test_what_is_no_danger_is_sent_to_the_byte(target: bytes) -> None:
    async def work(proxy: Proxy) -> None:
        flow = _flow("HTTP/1.1", b"m-search", target, ((b"X-A", b"a\tb\xff"), (b"X_b", b"")))
        sent = await proxy.send(flow)
        assert sent is not None
        assert (flow.request.data.method, flow.request.data.path) == (b"m-search", target)
        assert {(b"X-A", b"a\tb\xff"), (b"X_b", b"")} <= set(sent.fields)

    run(work)


@table("target", [b"/a", b"/body", b"*"], ids=["passed", "rewritten", "refused"])
@table("version", VERSIONS)
@table("length", [b"2", b"%d" % 2**22], ids=["", "streamed"])
def test_trailers_of_a_request_are_dropped(version: str, target: bytes, length: bytes) -> None:
    async def work(proxy: Proxy) -> None:
        flow = _flow(version, b"POST", target, ((b"Content-Length", length),))
        # They come behind the body.
        flow.request.trailers = http.Headers(Authorization=f"Bearer {KEY}")
        await proxy.send(flow, b"{}")
        assert flow.get_state()["request"]["trailers"] is None
        assert KEY not in str(flow.get_state())

    run(work)


def test_trailers_are_dropped_while_nothing_is_configured() -> None:
    async def work(proxy: Proxy) -> None:
        proxy.gateway.providers = None
        flow = make("GET /a")
        flow.request.trailers = http.Headers(Authorization=f"Bearer {KEY}")
        assert (await proxy.ask(flow)).status == 503
        assert flow.get_state()["request"]["trailers"] is None

    run(work)


def test_a_log_line_shows_control_characters_as_escapes() -> None:
    flow = _flow("HTTP/2.0", b"G\x1b[2J", b"/a\r\nfrom: b\xff\x9b?query")

    # A failure that quotes half a surrogate would stop pytest-xdist.
    assert ascii(describe(flow)) == ascii("G\\x1b[2J /a\\r\\nfrom: b\\udcff\\udc9b")
