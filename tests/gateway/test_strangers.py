"""Who may use the proxy, and under which address it is found."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from mitmproxy import http
from mitmproxy.test import taddons

from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import UNKNOWN_CALLER, Caller
from mitm_ai_proxy.gateway.strangers import client_origin, refuse_strangers
from tests.gateway.literal import make
from tests.tables import table

Listen = Callable[[str], None]


@pytest.fixture
def listen(mitmproxy_context: taddons.context) -> Listen:
    """Sets `listen_host`."""

    def set_host(host: str) -> None:
        mitmproxy_context.options.update(listen_host=host)

    return set_host


def _code(flow: http.HTTPFlow, caller: Caller = UNKNOWN_CALLER) -> str:
    """The code of a refusal with its status; "" where the client is served."""
    try:
        refuse_strangers(flow, caller)
    except Refusal as refusal:
        return f"{refusal.status} {refusal.code}"
    return ""


@pytest.mark.parametrize(
    ("mode", "peer", "listen_host", "code"),
    [
        ("reverse:http://x.test", "127.0.0.1", "", ""),
        ("reverse:http://x.test", "127.8.9.1", "", ""),
        ("reverse:http://x.test", "::1", "", ""),
        ("reverse:http://x.test", "::ffff:127.0.0.1", "", ""),
        ("reverse:http://x.test", "::ffff:192.0.2.7", "", "403 not_local"),
        ("reverse:http://x.test", "192.0.2.7", "", "403 not_local"),
        ("reverse:http://x.test", "fe80::1%eth0", "", "403 not_local"),
        ("reverse:http://x.test", "::1%lo", "", ""),
        ("reverse:http://x.test", "no address", "", "403 not_local"),
        ("regular", "192.0.2.7", "", "403 not_local"),
        ("regular", "2001:db8::7", "", "403 not_local"),
        ("upstream:http://x.test:1", "192.0.2.7", "", "403 not_local"),
        ("reverse:http://x.test", "192.0.2.7", "0.0.0.0", ""),
        ("regular", "192.0.2.7", "127.0.0.1", ""),
        ("reverse:http://x.test@192.0.2.1:8080", "192.0.2.7", "", ""),
        ("socks5", "192.0.2.7", "", "403 not_local"),
        ("socks5", "::ffff:192.0.2.7", "", "403 not_local"),
        ("socks5", "127.0.0.1", "", ""),
        ("socks5", "192.0.2.7", "0.0.0.0", ""),
        ("socks5@192.0.2.1:1080", "192.0.2.7", "", ""),
        ("transparent", "192.0.2.7", "", "403 not_local"),
        ("transparent", "127.0.0.1", "", ""),
        ("transparent", "192.0.2.7", "192.0.2.1", ""),
        ("transparent@192.0.2.1:8080", "192.0.2.7", "", ""),
        ("upstream:http://x.test:1", "::1", "", ""),
        ("upstream:http://x.test:1@192.0.2.1:8080", "192.0.2.7", "", ""),
        ("reverse:https://x.test", "192.0.2.7", "", "403 not_local"),
        # Their clients are this machine's, or have a key.
        ("local", "192.0.2.7", "", ""),
        ("wireguard", "10.0.0.1", "", ""),
    ],
)
def test_other_machines_are_served_only_when_the_listening_address_was_chosen(
    mode: str, peer: str, listen_host: str, code: str, listen: Listen
) -> None:
    listen(listen_host)

    assert _code(make(mode=mode, peer=peer)) == code


def test_whoever_has_no_address_is_on_this_machine(listen: Listen) -> None:
    flow = make()
    flow.client_conn.peername = None  # type: ignore[assignment]

    assert _code(flow) == ""


@pytest.mark.parametrize(
    ("mode", "site", "code"),
    [
        ("reverse:http://x.test", "cross-site", "403 cross_site"),
        ("reverse:http://x.test", "same-site", ""),
        ("reverse:http://x.test", "same-origin", ""),
        ("reverse:http://x.test", "none", ""),
        ("reverse:http://x.test", "", ""),
        ("regular", "cross-site", "403 cross_site"),
        ("regular", "none", ""),
        ("upstream:http://x.test:1", "cross-site", "403 cross_site"),
        ("socks5", "cross-site", "403 cross_site"),
        ("transparent", "cross-site", "403 cross_site"),
    ],
)
def test_pages_of_other_sites_are_not_served(mode: str, site: str, code: str, listen: Listen) -> None:
    assert _code(make(mode=mode), Caller(fetch_site=site)) == code


@table(
    ("mode", "url", "address", "tls", "origin"),
    [
        ("reverse:http://x.test", "http://x.test/", ("127.0.0.1", 8080), False, "http://127.0.0.1:8080"),
        ("reverse:http://x.test", "http://x.test/", ("127.0.0.1", 8080), True, "https://127.0.0.1:8080"),
        ("reverse:http://x.test", "http://x.test/", ("127.0.0.1", 80), False, "http://127.0.0.1"),
        ("reverse:http://x.test", "http://x.test/", ("::1", 8080, 0, 0), False, "http://[::1]:8080"),
        ("reverse:http://x.test", "http://x.test/", ("fe80::1%eth0", 8080, 0, 2), False, "http://[fe80::1]:8080"),
        ("reverse:http://x.test", "http://x.test/", None, False, "http://127.0.0.1:8080"),
        ("regular", "http://api.test/", ("127.0.0.1", 8080), False, "http://api.test"),
        ("regular", "https://api.test:8443/", ("127.0.0.1", 8080), True, "https://api.test:8443"),
    ],
)
def test_the_address_under_which_a_client_finds_the_proxy(
    mode: str, url: str, address: tuple[str, int] | None, tls: bool, origin: str
) -> None:
    flow = make(mode=mode)
    flow.request.url = url
    flow.client_conn.sockname = address  # type: ignore[assignment]
    flow.client_conn.timestamp_tls_setup = 1.0 if tls else None

    assert client_origin(flow) == origin
