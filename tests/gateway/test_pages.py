"""Which web pages may come in, what a preflight is answered, and what CORS says on answers."""

from __future__ import annotations

import itertools
import json

from mitmproxy import http

from mitm_ai_proxy.edges import pages
from mitm_ai_proxy.edges.pages import Rules, is_name_of, is_own, may_come
from mitm_ai_proxy.exchange import Caller
from mitm_ai_proxy.gateway.simulated import Simulated
from mitm_ai_proxy.wire.header_fields import Fields
from mitm_ai_proxy.wire.targets import Origin
from tests.gateway.literal import EVENTS, HERE, REVERSE, Got, Proxy, Said, make, run
from tests.tables import table

APP = "https://app.example"
EVIL = "https://evil.example"
MODES = (REVERSE, "regular", "upstream:http://x.test:1", "transparent", "socks5")


@table(
    ("origin", "own"),
    [
        ("http://localhost", True),
        ("http://localhost:3000", True),
        ("https://LOCALHOST:3000", True),
        ("http://app.localhost:3000", True),
        ("http://127.0.0.1:3000", True),
        ("http://127.8.9.1", True),
        ("http://[::1]:3000", True),
        ("http://[0:0:0:0:0:0:0:1]:3000", True),
        ("http://[::ffff:127.0.0.1]", True),
        ("http://192.0.2.1:8080", True),
        ("https://192.0.2.1:8080", True),
        ("http://192.0.2.1:8081", False),
        ("http://192.0.2.1", False),
        ("http://192.0.2.2:8080", False),
        ("https://gateway.test", True),
        ("https://gateway.test:443", True),
        ("http://gateway.test", False),
        ("https://x.gateway.test", False),
        ("http://0.0.0.0:8080", False),
        ("http://[::]:8080", False),
        ("http://localhost.evil.example", False),
        ("http://localhost@evil.example", False),
        ("http://127.0.0.1.evil.example", False),
        ("http://evillocalhost", False),
        ("http://evil.example/localhost", False),
        ("http://evil.example#localhost", False),
        ("localhost", False),
        ("localhost:3000", False),
        ("file://", False),
        ("app://localhost", False),
        ("null", False),
        ("NULL", False),
        ("", False),
        ("http://", False),
        ("http://localhost:99999", False),
        ("http://\udcff", False),
    ],
)
def test_an_origin_is_the_proxys_own_or_on_loopback(origin: str, own: bool) -> None:
    assert is_own(origin, {("192.0.2.1", 8080), ("gateway.test", 443)}) == own


@table(
    ("host", "known"),
    [
        ("", True),
        ("localhost", True),
        ("LocalHost:8080", True),
        ("a.localhost:8080", True),
        ("127.0.0.1:8080", True),
        ("192.0.2.7", True),
        ("[::1]:8080", True),
        ("[2001:db8::1]", True),
        ("ai-proxy:8080", True),
        ("host.docker.internal:8080", True),
        ("gateway.test", True),
        ("GATEWAY.test:8443", True),
        ("attacker.test", False),
        ("attacker.test:8080", False),
        ("x.gateway.test", False),
        ("gateway.test.attacker.test", False),
        ("localhost.attacker.test", False),
        ("127.0.0.1.attacker.test", False),
        ("internal.attacker.test", False),
        ("attacker.test.", False),
        ("localhost, attacker.test", False),
        ("attacker.test, localhost", False),
        ("user@localhost", False),
        ("[::1", False),
        ("\udcff", False),
    ],
)
def test_a_host_is_one_that_no_other_site_can_have(host: str, known: bool) -> None:
    assert is_name_of(host, frozenset({"gateway.test"})) == known


_OWN = {("192.0.2.1", 8080)}
_PAGES = [
    # Origin, Sec-Fetch-Site, Host, and whether it is let in
    ("", "", "127.0.0.1:8080", True),
    ("", "none", "127.0.0.1:8080", True),
    ("", "same-origin", "127.0.0.1:8080", True),
    ("", "None", "127.0.0.1:8080", True),
    ("", " same-origin ", "127.0.0.1:8080", True),
    ("", "same-site", "127.0.0.1:8080", True),
    ("", "same-site", "localhost:8080", True),
    ("", "same-site", "gateway.corp.test", False),
    ("", "same-site", "192.0.2.1:8080", False),
    ("", "cross-site", "127.0.0.1:8080", False),
    ("", "Cross-Site", "127.0.0.1:8080", False),
    ("", "CROSS-SITE", "127.0.0.1:8080", False),
    ("", "\tcross-site ", "127.0.0.1:8080", False),
    ("", "cross-site;a=1", "127.0.0.1:8080", False),
    ("", '"cross-site"', "127.0.0.1:8080", False),
    ("", "cross-site, none", "127.0.0.1:8080", False),
    ("", "none, cross-site", "127.0.0.1:8080", False),
    ("", "none,Cross-Site,none", "127.0.0.1:8080", False),
    ("", "same-origin, same-origin", "127.0.0.1:8080", True),
    ("", "cross_site", "127.0.0.1:8080", False),
    ("", "anything", "127.0.0.1:8080", False),
    ("http://localhost:3000", "", "127.0.0.1:8080", True),
    ("http://localhost:3000", "same-site", "localhost:8080", True),
    ("http://localhost:3000", "same-site", "gateway.corp.test", True),
    ("http://localhost:3000", "cross-site", "127.0.0.1:8080", False),
    ("http://127.0.0.1:8080", "same-origin", "127.0.0.1:8080", True),
    ("http://192.0.2.1:8080", "same-origin", "192.0.2.1:8080", True),
    ("http://192.0.2.1:9999", "", "192.0.2.1:8080", False),
    ("null", "", "127.0.0.1:8080", False),
    ("null", "none", "127.0.0.1:8080", False),
    ("Null", "same-origin", "127.0.0.1:8080", False),
    (EVIL, "", "127.0.0.1:8080", False),
    (EVIL, "none", "127.0.0.1:8080", False),
    (EVIL, "same-origin", "127.0.0.1:8080", False),
    (EVIL, "same-site", "127.0.0.1:8080", False),
    (f"http://localhost, {EVIL}", "", "127.0.0.1:8080", False),
    (f"{EVIL}, http://localhost", "", "127.0.0.1:8080", False),
    (f"http://localhost {EVIL}", "", "127.0.0.1:8080", False),
    ("http://localhost, http://localhost:3000", "", "127.0.0.1:8080", True),
    (" ", "", "127.0.0.1:8080", False),
    # DNS rebinding: the page has the name that leads here.
    ("http://attacker.test:8080", "", "attacker.test:8080", False),
    ("http://attacker.test:8080", "same-origin", "attacker.test:8080", False),
    (APP, "", "127.0.0.1:8080", True),
    (APP, "cross-site", "127.0.0.1:8080", True),
    ("https://APP.example:443", "cross-site", "127.0.0.1:8080", True),
    ("tauri://localhost", "cross-site", "127.0.0.1:8080", True),
    ("http://app.example", "", "127.0.0.1:8080", False),
    ("https://app.example:8443", "", "127.0.0.1:8080", False),
    ("https://x.app.example", "", "127.0.0.1:8080", False),
    ("https://app.example.evil.example", "", "127.0.0.1:8080", False),
    (f"{APP}, {EVIL}", "", "127.0.0.1:8080", False),
    (f"{EVIL}, {APP}", "", "127.0.0.1:8080", False),
]


@table(("origin", "site", "host", "comes"), _PAGES)
def test_a_page_comes_in_by_what_its_browser_says_of_it(origin: str, site: str, host: str, comes: bool) -> None:
    rules = Rules(frozenset({APP, "tauri://localhost"}))

    assert may_come(Caller(fetch_site=site, origin=origin, host=host), rules, _OWN) == comes


# Each as fields of a request
_FOREIGN: list[Fields] = [
    ((b"Sec-Fetch-Site", b"cross-site"),),
    ((b"sec-fetch-site", b"Cross-Site"),),
    ((b"Sec-Fetch-Site", b"cross-site"), (b"Sec-Fetch-Site", b"none")),
    ((b"Sec-Fetch-Site", b"none"), (b"SEC-FETCH-SITE", b"cross-site")),
    ((b"Sec-Fetch-Site", b"none, cross-site"),),
    ((b"Origin", b"https://evil.example"),),
    ((b"ORIGIN", b"null"),),
    ((b"Origin", b"http://localhost"), (b"origin", b"https://evil.example")),
    ((b"Origin", b"https://evil.example"), (b"Sec-Fetch-Site", b"same-origin")),
    ((b"Origin", b"\xff"),),
]


def test_a_foreign_page_buys_nothing_in_any_mode() -> None:
    async def work(proxy: Proxy) -> None:
        for fields, mode in itertools.product(_FOREIGN, MODES):
            flow = make("POST /body", mode=mode)
            flow.request.headers.fields += fields
            got = await proxy.ask(flow)
            assert (got.status, json.loads(got.body)["error"]["code"]) == (403, "cross_site"), (fields, mode)
            assert not [name for name in got.headers if name.lower().startswith("access-control")], (fields, mode)

    run(work, allowedOrigins=[APP])


_WELCOME: list[Fields] = [
    (),
    ((b"Origin", b"http://localhost:3000"),),
    ((b"Origin", HERE.encode()), (b"Sec-Fetch-Site", b"same-origin")),
    ((b"Origin", b"https://public.test"), (b"Sec-Fetch-Site", b"same-origin")),
]


def test_programs_and_own_pages_are_served_as_they_were() -> None:
    said = {"Content-Type": "application/json", "Vary": "Accept"}

    async def work(proxy: Proxy) -> None:
        for fields, mode in itertools.product(_WELCOME, MODES):
            flow = make("POST /a", mode=mode)
            flow.request.headers.fields += fields
            got = await proxy.ask(flow, Said((b"{}",), said))
            assert (got.status, dict(got.headers)) == (200, said), (fields, mode)

    run(work, allowedOrigins=[APP], cassette={"publicUrl": "https://public.test"})


_LEADING_HERE = [
    # Mode, address of the proxy, Host, and the answer
    (REVERSE, "127.0.0.1", "attacker.test:8123", 403),
    (REVERSE, "::1", "attacker.test", 403),
    (REVERSE, "127.0.0.1", "127.0.0.1:8123", 200),
    (REVERSE, "127.0.0.1", "localhost", 200),
    (REVERSE, "127.0.0.1", "api.openai.com", 200),
    (REVERSE, "127.0.0.1", "public.test", 200),
    # What mitmproxy puts there where the client's is not kept.
    (REVERSE, "127.0.0.1", "x.test", 200),
    # Other machines may know this one by any name.
    (REVERSE, "192.0.2.1", "gateway.corp.test", 200),
    ("regular", "127.0.0.1", "attacker.test", 403),
    ("transparent", "192.0.2.1", "attacker.test", 403),
    ("transparent", "192.0.2.1", "api.openai.com", 200),
    ("socks5", "127.0.0.1", "attacker.test", 403),
]


@table("is_http2", [False, True])
def test_a_page_whose_name_leads_here_is_not_served(is_http2: bool) -> None:
    async def work(proxy: Proxy) -> None:
        for mode, here, host, status in _LEADING_HERE:
            flow = make("GET /a", mode=mode)
            flow.client_conn.sockname = (here, 8123)
            if is_http2:
                flow.request.data.http_version = b"HTTP/2.0"
                flow.request.headers.pop("Host", None)
                flow.request.data.authority = host.encode()
            else:
                flow.request.headers["Host"] = host
            got = await proxy.ask(flow, Said() if status == 200 else None)
            assert got.status == status, (mode, here, host)

    run(work, cassette={"publicUrl": "https://public.test"})


_ASKS = {"Origin": APP, "Access-Control-Request-Method": "POST"}


_PREFLIGHTS: list[tuple[dict[str, str], dict[str, str]]] = [
    # What a browser asks beside the rest, and what it is answered beside the rest
    ({}, {}),
    ({"Sec-Fetch-Site": "cross-site"}, {}),
    ({"Access-Control-Request-Method": "DELETE"}, {}),
    (
        {"Access-Control-Request-Headers": "authorization,content-type, x-stainless-os"},
        {"access-control-allow-headers": "authorization,content-type, x-stainless-os"},
    ),
    ({"Access-Control-Request-Private-Network": "true"}, {"access-control-allow-private-network": "true"}),
]


def test_a_preflight_of_an_allowed_page_is_answered_here() -> None:
    async def work(proxy: Proxy) -> None:
        for (asks, more), mode in itertools.product(_PREFLIGHTS, MODES):
            got = await proxy.ask(make("OPTIONS /body", {**_ASKS, **asks}, mode=mode))
            assert (got.status, got.body) == (204, b""), (asks, mode)
            assert {name.lower(): value for name, value in got.headers.items()} == {
                "access-control-allow-origin": APP,
                "access-control-allow-methods": asks.get("Access-Control-Request-Method", "POST"),
                "access-control-max-age": str(pages.MAX_AGE),
                "vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
                **more,
            }, (asks, mode)

    run(work, allowedOrigins=[APP])


_OTHER_PREFLIGHTS = [
    {**_ASKS, "Origin": EVIL},
    {**_ASKS, "Origin": "null"},
    {**_ASKS, "Origin": f"{APP}, {EVIL}"},
    {**_ASKS, "Origin": "http://app.example"},
    # On this machine, but not named.
    {**_ASKS, "Origin": "http://localhost:3000"},
    {"Access-Control-Request-Method": "POST"},
    {**_ASKS, "Access-Control-Request-Method": "POST, GET"},
    {**_ASKS, "Access-Control-Request-Method": "P ST"},
    {**_ASKS, "Access-Control-Request-Headers": "a b"},
    {**_ASKS, "Access-Control-Request-Headers": "a:b"},
]


def test_any_other_preflight_is_refused_here() -> None:
    async def work(proxy: Proxy) -> None:
        for asks, mode in itertools.product(_OTHER_PREFLIGHTS, MODES):
            got = await proxy.ask(make("OPTIONS /a", asks, mode=mode))
            assert (got.status, json.loads(got.body)["error"]["code"]) == (403, "cross_site"), (asks, mode)
            assert "access-control-allow-methods" not in got.headers, (asks, mode)

    run(work, allowedOrigins=[APP])


def test_a_preflight_is_never_a_simulated_one() -> None:
    simulated = Simulated()
    simulated.turn(True)

    async def work(proxy: Proxy) -> None:
        assert (await proxy.ask(make("OPTIONS /v1/videos", _ASKS))).status == 204
        assert (await proxy.ask(make("OPTIONS /simulated/x", _ASKS))).status == 204
        assert (await proxy.ask(make("OPTIONS /v1/videos", {**_ASKS, "Origin": EVIL}))).status == 403

    run(work, simulated, provider={"type": "kling"}, allowedOrigins=APP)


def test_options_without_a_question_of_a_browser_goes_on() -> None:
    async def work(proxy: Proxy) -> None:
        sent = await proxy.send(make("OPTIONS /a"))
        assert sent
        assert sent.method == "OPTIONS"

    run(work, allowedOrigins=[APP])


def _cors(got: Got) -> dict[str, str]:
    return {
        name.lower(): value
        for name, value in got.headers.items()
        if name.lower() == "vary" or name.lower().startswith("access-control-")
    }


_ANSWERS: list[tuple[dict[str, str], str, str]] = [
    # Fields of an answer, which of them a page may read, and on what it depends
    ({"Content-Type": "text/plain", "X-Request-Id": "1"}, "content-type, x-request-id", "Origin"),
    ({**EVENTS, "Vary": "Accept-Encoding"}, "content-type", "Accept-Encoding, Origin"),
    ({"A": "b", "vary": "accept, origin"}, "a", "accept, origin"),
    ({"A": "b", "vary": "*"}, "a", "*"),
    ({"A": "b", "Set-Cookie": "c"}, "a", "Origin"),
    (
        {
            "A": "b", "Access-Control-Allow-Origin": "*", "Access-Control-Allow-Credentials": "true",
            "Access-Control-Expose-Headers": "*",
        },
        "a",
        "Origin",
    ),
    ({}, "", "Origin"),
]  # fmt: skip


def test_an_allowed_page_can_read_an_answer() -> None:
    async def work(proxy: Proxy) -> None:
        for (said, exposed, vary), target, status in itertools.product(_ANSWERS, ("/a", "/body"), (200, 500)):
            flow = make(f"POST {target}", {"Origin": APP, "Sec-Fetch-Site": "cross-site"})
            got = await proxy.ask(flow, Said((b"x",), said, status), b"{}")
            assert (got.status, got.body) == (status, b"x")
            expected = {"access-control-allow-origin": APP, "vary": vary}
            expected |= {"access-control-expose-headers": exposed} if exposed else {}
            assert _cors(got) == expected, (said, target, status)

    run(work, allowedOrigins=[APP])


def test_an_allowed_page_can_read_a_refusal() -> None:
    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(make("GET /a/../b", {"Origin": APP}))
        assert (got.status, json.loads(got.body)["error"]["code"]) == (400, "invalid_path")
        exposed = {"access-control-expose-headers": "content-length, content-type"}
        assert _cors(got) == {"access-control-allow-origin": APP, "vary": "Origin", **exposed}
        failed = make("GET /a", {"Origin": APP})
        await proxy.send(failed)
        proxy.gateway.stop(failed)
        assert failed.response
        assert failed.response.headers["access-control-allow-origin"] == APP

    run(work, allowedOrigins=[APP])


def test_no_answer_for_others_changes_with_allowed_origins() -> None:
    async def work(proxy: Proxy) -> None:
        for origin in ({}, {"Origin": "http://localhost:3000"}):
            assert _cors(await proxy.ask(make("GET /a", origin), Said())) == {}

    run(work, allowedOrigins=[APP])


def test_the_rules_of_a_new_configuration_hold_with_the_next_request() -> None:
    async def work(proxy: Proxy) -> None:
        assert (await proxy.ask(make("GET /a", {"Origin": APP}))).status == 403
        proxy.use(allowedOrigins=[APP])
        assert (await proxy.ask(make("GET /a", {"Origin": APP}), Said())).status == 200

    run(work)


def test_reverse_mode_keeps_the_host_header_and_the_server_name_of_its_target() -> None:
    async def work(proxy: Proxy) -> None:
        assert proxy.context.options.keep_host_header is True
        flow = make("GET /a", {"Host": "127.0.0.1:8123"})
        flow.client_conn.sni = "localhost"
        sent = await proxy.send(flow)
        assert sent
        assert sent.values("host") == ["provider.test:81"]
        assert flow.server_conn.sni == "x.test"

    run(work, options={"mode": [REVERSE]})


def test_rules_are_made_of_origins_and_names() -> None:
    rules = Rules.made([APP], [Origin("https", "public.test", 443)], ["api.test"])

    assert rules == Rules(frozenset({APP}), frozenset({("public.test", 443)}), frozenset({"public.test", "api.test"}))


def test_an_answer_is_allowed_once_however_often_that_is_said() -> None:
    response = http.Response.make(200, b"x", {"A": "b", "Vary": "Accept"})

    response.headers.fields = pages.allow(response.headers.fields, APP)
    once = response.headers.fields
    response.headers.fields = pages.allow(response.headers.fields, APP)

    assert response.headers.fields == once
