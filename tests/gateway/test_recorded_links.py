"""The links in what is recorded and replayed, on flows without sockets."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from mitm_ai_proxy.cassette import har
from mitm_ai_proxy.cassette.cassette import Mode, Opening
from mitm_ai_proxy.cassette.entry import Chunk, Entry, Request, Response
from mitm_ai_proxy.exchange import Pieces
from mitm_ai_proxy.gateway import recorded_links
from mitm_ai_proxy.gateway.recorded import Recorded
from tests.gateway.literal import EVENTS, FAKE, HERE, JSON, Proxy, Said, Sent, make, run
from tests.gateway.recordings import (
    CDN,
    PROVIDER,
    TEXT,
    Upper,
    entry_of,
    error_of,
    only_entry,
    record_into,
    replay_from,
)
from tests.tables import table

RESULT = json.dumps({"video": {"url": CDN}, "own": {"url": f"{PROVIDER}/files/1"}}).encode()
LINK = "/linked/https/cdn.test/a.mp4?sign=s"


def test_links_to_results_lead_through_the_proxy_and_back(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(make(), Said([RESULT], {**JSON, "Location": CDN, "Content-Length": "9"}, 302))
        shown = json.loads(got.body)
        assert shown == {"video": {"url": f"{HERE}{LINK}"}, "own": {"url": f"{HERE}/files/1"}}
        assert got.headers["Location"] == f"{HERE}{LINK}"
        assert got.headers["Content-Length"] == str(len(got.body))
        # A result is fetched from its own host, without a credential.
        for method in ("GET", "HEAD"):
            flow = make(f"{method} {LINK}", {"Authorization": "Bearer client-key", "Sec-Fetch-Site": "cross-site"})
            sent = await proxy.send(flow)
            assert sent
            assert (sent.url, sent.values("authorization")) == (CDN, [])
            await proxy.answer(flow, Said([b"film"], {"Content-Type": "video/mp4"}))
        # In a request, a link through the proxy becomes the provider's own again.
        sent = await proxy.send(make("POST /a", JSON), got.body)
        assert sent
        assert json.loads(sent.body) == json.loads(RESULT)

    run(work, record_into(stage, path), provider={**FAKE, "apiTokens": ["provider-key"]})

    first, film, _ = har.read(path)
    assert first.response
    assert b"https://cdn.test/a.mp4" in first.response.body
    assert film.request.url.startswith("https://cdn.test/a.mp4")
    assert film.response
    assert film.response.body == b"film"


@pytest.mark.parametrize(
    ("request_line", "code"),
    [
        (f"POST {LINK}", "unknown_link"),
        (f"DELETE {LINK}", "unknown_link"),
        ("GET /linked/https/cdn.test/b.mp4", "unknown_link"),
        (f"GET {LINK}x", "unknown_link"),
        ("GET /linked/https/cdn.test/a.mp4", "unknown_link"),
        ("GET /linked/http/cdn.test/a.mp4?sign=s", "unknown_link"),
        ("GET /linked/", "unknown_link"),
        ("GET /linked/ftp/cdn.test/a", "unknown_link"),
        ("GET /linked/https/cdn.test:x/a", "unknown_link"),
        ("GET /linked/https/cdn.test/../a", "invalid_path"),
    ],
)
def test_a_link_that_was_not_given_out_is_refused(request_line: str, code: str, stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        await proxy.ask(make(), Said([RESULT]))
        got = await proxy.ask(make(request_line))
        assert error_of(got)["code"] == code
        assert got.status in (400, 404)

    run(work, record_into(stage, path))

    assert len(har.read(path)) == 1


def test_the_oldest_links_are_forgotten(stage: Recorded, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded_links, "MOST_LINKS", 2)

    async def work(proxy: Proxy) -> None:
        for number in range(3):
            await proxy.ask(make(), Said([b'{"url":"https://cdn.test/%d"}' % number]))
        assert [(await proxy.send(make(f"GET /linked/https/cdn.test/{number}"))) is None for number in range(3)] == [
            True, False, False,
        ]  # fmt: skip

    run(work, record_into(stage, path))


def test_links_of_another_cassette_are_not_served(stage: Recorded, path: Path, tmp_path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        await proxy.ask(make(), Said([RESULT]))
        stage.insert(Opening(tmp_path / "b.har", Mode.APPEND))
        proxy.use()
        assert (await proxy.ask(make(f"GET {LINK}"))).status == 404

    run(work, record_into(stage, path))


def test_in_a_replay_every_link_is_looked_for_in_the_cassette(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(make(f"GET {LINK}", {"Sec-Fetch-Site": "cross-site"}))
        assert (got.status, got.body) == (200, b"film")
        assert error_of(await proxy.ask(make("GET /linked/https/cdn.test/b")))["code"] == "not_recorded"

    film = Response(200, "OK", (("Content-Type", "video/mp4"),), b"film")
    run(work, replay_from(stage, path, Entry(1.0, 2.0, Request("GET", CDN), film)))


def test_links_lead_to_the_public_address_where_one_is_configured(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(make(), Said([RESULT]))
        assert json.loads(got.body)["video"]["url"] == f"https://proxy.test{LINK}"

    run(work, record_into(stage, path), cassette={"publicUrl": "https://proxy.test"})


def test_where_clients_name_the_host_links_lead_to_that_host(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(make(mode="regular"), Said([RESULT]))
        assert json.loads(got.body) == {
            "video": {"url": f"http://api.openai.com{LINK}"},
            "own": {"url": "http://api.openai.com/files/1"},
        }

    run(work, record_into(stage, path))


@pytest.mark.parametrize("location", ["/a", "a?b=c", f"{HERE}/linked/https/cdn.test/a"])
def test_a_location_that_leads_here_already_stays(location: str, stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(make(), Said([b"{}"], {**JSON, "Location": location}))
        assert got.headers["Location"] == location

    run(work, record_into(stage, path))


KLING = {"type": "kling", "apiTokens": ["provider-key"], "providerDomain": PROVIDER}
GENERIC = {"type": "generic", "apiTokens": ["provider-key"], "providerDomain": PROVIDER}
OPENAI = {**GENERIC, "type": "openai"}
OWN = f"{PROVIDER}/v1/videos/a.mp4"
LINKED = "/linked/http/provider.test:81"
FILM = Said([b"film"], {"Content-Type": "video/mp4"})
KEY = ["Bearer provider-key"]


async def _follow(proxy: Proxy, link: str, method: str = "GET", said: Said | None = FILM) -> Sent | None:
    """Follow a link as a client does; returns what goes out, None if it was answered here."""
    assert link.startswith(f"{HERE}/"), link
    flow = make(f"{method} {link.removeprefix(HERE)}", {"Authorization": "Bearer client-key"})
    sent = await proxy.send(flow)
    await proxy.answer(flow, said if sent else None)
    return sent


OWN_LINKS: dict[str, tuple[dict[str, Any], str, str, list[str]]] = {
    # Provider, link, the path that the client sees, and the credential.
    "kling, signed": (KLING, f"{OWN}?sign=s&t=9", f"{LINKED}/v1/videos/a.mp4?sign=s&t=9", []),
    "kling, below a base path": (
        {**KLING, "providerBasePath": "/klingai"}, f"{PROVIDER}/files/a.mp4?sign=s", f"{LINKED}/files/a.mp4?sign=s", [],
    ),
    "kling, in its base path": (
        {**KLING, "providerBasePath": "/klingai"}, f"{PROVIDER}/klingai/a?sign=s", f"{LINKED}/klingai/a?sign=s", [],
    ),
    "kling, not signed": (KLING, OWN, f"{LINKED}/v1/videos/a.mp4", []),
    "kling, nothing of its API": (KLING, f"{PROVIDER}/files/a.mp4", f"{LINKED}/files/a.mp4", []),
    "kling, original": ({**KLING, "protocol": "original"}, OWN, f"{LINKED}/v1/videos/a.mp4", []),
    "generic, signed": (
        GENERIC, f"{PROVIDER}/b?X-Amz-Credential=A%2F&X-Amz-Date=", f"{LINKED}/b?X-Amz-Credential=A%2F&X-Amz-Date=", [],
    ),
    "openai, signed": (OPENAI, f"{OWN}?se=2026&sp=r", f"{LINKED}/v1/videos/a.mp4?se=2026&sp=r", []),
    "generic": (GENERIC, f"{PROVIDER}/v1/status/1?x=%20", "/v1/status/1?x=%20", KEY),
    "openai": (OPENAI, f"{PROVIDER}/v1/videos/7", "/v1/videos/7", KEY),
    "generic, in its base path": ({**GENERIC, "providerBasePath": "/api"}, f"{PROVIDER}/api/s/1", "/api/s/1", KEY),
    "generic, beside its base path": ({**GENERIC, "providerBasePath": "/api"}, f"{PROVIDER}/s/1", f"{LINKED}/s/1", KEY),
    "generic, below a base path that is removed": (
        {**GENERIC, "basePath": "/api"}, f"{PROVIDER}/api/s", f"{LINKED}/api/s", KEY,
    ),
    "generic, beside a base path that is put before": (
        {**GENERIC, "basePath": "/api", "basePathHandling": "prepend"}, f"{PROVIDER}/s", f"{LINKED}/s", KEY,
    ),
    "openai, an API with another path": (
        {**OPENAI, "capabilities": {"openai/v1/retrievevideo": "/other/{video_id}"}},
        f"{PROVIDER}/v1/videos/7", f"{LINKED}/v1/videos/7", KEY,
    ),
    "openai, what would be joined": (
        {**OPENAI, "capabilities": {"openai/v1/retrievevideo": "/v1/videos/{video_id}?x=1"}},
        f"{PROVIDER}/v1/videos/7?x=1&x=1", f"{LINKED}/v1/videos/7?x=1&x=1", KEY,
    ),
}  # fmt: skip


@table("name", OWN_LINKS)
def test_a_link_to_the_providers_own_host_is_sent_as_it_is(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    provider, link, shown, credential = OWN_LINKS[name]
    path = tmp_path_factory.mktemp("own") / "a.har"
    seen: list[str] = []

    async def ask(proxy: Proxy, said: Said | None) -> Sent | None:
        got = await proxy.ask(make("GET /any"), said)
        seen.append(json.loads(got.body)["state"])
        return await _follow(proxy, seen[-1])

    async def record(proxy: Proxy) -> None:
        sent = await ask(proxy, Said([json.dumps({"state": link}).encode()]))
        assert sent
        assert (sent.url, sent.values("authorization")) == (link, credential)

    async def replay(proxy: Proxy) -> None:
        assert await ask(proxy, None) is None

    run(record, record_into(Recorded(), path), provider=provider)
    replaying = Recorded()
    replaying.insert(Opening(path, Mode.NONE))
    run(replay, replaying, provider=provider)

    # The signature is scrubbed in the recording.
    assert seen[0] == f"{HERE}{shown}"
    assert seen[1].partition("?")[0] == seen[0].partition("?")[0]


def test_a_link_with_the_credential_is_a_request_like_others(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(make(), Said([json.dumps({"cancel_url": f"{PROVIDER}/s/1"}).encode()]))
        link = json.loads(got.body)["cancel_url"]
        assert link == f"{HERE}{LINKED}/s/1"
        page = make(f"GET {LINKED}/s/1", {"Sec-Fetch-Site": "cross-site"})
        assert error_of(await proxy.ask(page))["code"] == "cross_site"
        sent = await _follow(proxy, link, "PUT")
        assert sent
        assert (sent.method, sent.url, sent.values("authorization")) == ("PUT", f"{PROVIDER}/s/1", KEY)
        for other in ("/s/2", "/s/1?x=1"):
            assert error_of(await proxy.ask(make(f"GET {LINKED}{other}")))["code"] == "unknown_link"

    run(work, record_into(stage, path), provider={**GENERIC, "providerBasePath": "/api"})


REDIRECTS = {
    "/files/real.mp4?sign=A": "https://cdn.test/files/real.mp4?sign=A",
    "real.mp4": "https://cdn.test/a/real.mp4",
    "../real.mp4": "https://cdn.test/real.mp4",
    "../../real.mp4": "https://cdn.test/real.mp4",
    "//cdn.test/real.mp4": "https://cdn.test/real.mp4",
    "//other.test/real.mp4": "https://other.test/real.mp4",
    "https://cdn.test/real.mp4?sig=1": "https://cdn.test/real.mp4?sig=1",
    "http://other.test:82/real.mp4": "http://other.test:82/real.mp4",
    "?part=2": "https://cdn.test/a/start.mp4?part=2",
    "/v1/videos/real.mp4": "https://cdn.test/v1/videos/real.mp4",
    "/linked/https/cdn.test/x": "https://cdn.test/linked/https/cdn.test/x",
    "/real file.mp4": "https://cdn.test/real%20file.mp4",
}
HEADS: dict[str, dict[str, str]] = {
    "no content": {"Content-Length": "0"},
    "a page": {"Content-Type": "text/html", "Content-Length": "5"},
    "a long page": {"Content-Type": "text/html", "Content-Length": "5000000"},
    "a page in pieces": {"Content-Type": "text/html"},
    "json": JSON,
    "a video": {"Content-Type": "video/mp4"},
    "events": EVENTS,
}


# Every form of a Location in one answer, and one form in every answer.
@table(("location", "head"), [*((form, "json") for form in REDIRECTS), *(("../real.mp4", head) for head in HEADS)])
def test_a_redirect_leads_through_the_proxy_while_recording_and_in_the_replay(
    location: str, head: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("redirect") / "a.har"
    start = json.dumps({"url": "https://cdn.test/a/start.mp4"}).encode()
    away = {**HEADS[head], "Location": location}

    async def film(proxy: Proxy, *said: Said | None) -> tuple[Sent | None, bytes]:
        first = json.loads((await proxy.ask(make(), said[0])).body)["url"]
        moved = await proxy.ask(make(f"GET {first.removeprefix(HERE)}"), said[1])
        link = urljoin(first, moved.headers["Location"].replace(" ", "%20"))
        assert link.startswith(f"{HERE}/linked/"), link
        flow = make(f"GET {link.removeprefix(HERE)}", {"Authorization": "Bearer client-key"})
        sent = await proxy.send(flow)
        return sent, (await proxy.answer(flow, said[2])).body

    async def record(proxy: Proxy) -> None:
        sent, _ = await film(proxy, Said([start]), Said([b""], away, 302), FILM)
        assert sent
        assert (sent.url, sent.values("authorization")) == (REDIRECTS[location], [])

    async def replay(proxy: Proxy) -> None:
        replayed = await film(proxy, None, None, None)
        await replaying.done()
        assert replayed == (None, b"film")

    run(record, record_into(Recorded(), path), provider=KLING)
    replaying = Recorded()
    replaying.insert(Opening(path, Mode.NONE))
    run(replay, replaying, provider=KLING)


@pytest.mark.parametrize("name", ["Location", "Operation-Location", "azure-asyncoperation"])
@pytest.mark.parametrize(
    ("provider", "location", "shown"),
    [
        (OPENAI, "https://cdn.test/a?sig=1", f"{HERE}/linked/https/cdn.test/a?sig=1"),
        (OPENAI, f"{PROVIDER}/v1/b", f"{HERE}/v1/b"),
        (OPENAI, "/v1/b", "/v1/b"),
        ({**OPENAI, "providerBasePath": "/api"}, "/b", f"{HERE}{LINKED}/b"),
        ({**OPENAI, "providerBasePath": "/api"}, "/api/b", "/api/b"),
        ({**OPENAI, "providerBasePath": "/api"}, "b", f"{HERE}/api/b"),
        (OPENAI, "/b.mp4?sign=s", f"{HERE}{LINKED}/b.mp4?sign=s"),
        # A redirect of the API itself, which is no result.
        (KLING, "/account/b", "/account/b"),
        (KLING, f"{PROVIDER}/account/b", f"{HERE}/account/b"),
        (KLING, "/v1/videos/a.mp4", f"{HERE}{LINKED}/v1/videos/a.mp4"),
    ],
)
def test_a_redirect_of_the_provider_itself_is_resolved_against_what_was_sent(
    name: str, provider: dict[str, Any], location: str, shown: str, stage: Recorded, path: Path
) -> None:
    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(make("GET /a"), Said([b""], {"Content-Length": "0", name: location}, 302))
        assert got.headers[name] == shown

    run(work, record_into(stage, path), provider=provider)


LEDS = [
    b'{"url": "https://cdn.test/a.png?sig=abcdef"}',
    b'{"url": "%s/linked/https/cdn.test/a.png?sig=' % HERE.encode(),
]
KINDS: dict[str, tuple[dict[str, str], bool]] = {
    # Header fields, and whether the links are led.
    **{
        kind: ({"Content-Type": kind}, True)
        for kind in ("text/plain", "text/html", "application/problem+json", "x/y", "")
    },
    **{
        f"{kind} of a length": ({"Content-Type": kind, "Content-Length": "44"}, True)
        for kind in ("text/plain", "text/csv", "")
    },
    "no type": ({"Content-Length": "44"}, True),
    "nothing at all": ({}, True),
    "lines": ({"Content-Type": "application/x-ndjson"}, True),
    "a stream": ({"Content-Type": "text/event-stream; charset=utf-8"}, True),
    "a picture": ({"Content-Type": "image/png"}, False),
    "bytes": ({"Content-Type": "application/octet-stream"}, False),
    "something long": ({"Content-Type": "text/plain", "Content-Length": "1048577"}, False),
    "binary events": ({"Content-Type": "application/vnd.amazon.eventstream"}, False),
    "coded events": ({**EVENTS, "Content-Encoding": "br"}, False),
    "coded text": ({**TEXT, "Content-Encoding": "gzip"}, True),
}


@table("name", KINDS)
def test_json_is_led_under_any_content_type_in_both_modes(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    fields, is_led = KINDS[name]
    path = tmp_path_factory.mktemp("kind") / "a.har"
    body = LEDS[0] if name not in ("a stream", "coded events") else b"data: %s\n\n" % LEDS[0]
    coded = gzip.compress(body, mtime=0) if name == "coded text" else body
    pieces = [coded[:20], coded[20:]]

    async def record(proxy: Proxy) -> None:
        got = await proxy.ask(make(), Said(pieces, fields))
        assert (LEDS[1] in got.body) is is_led
        assert is_led or got.body == coded
        assert int(got.headers.get("Content-Length", len(got.body))) in (len(got.body), 1048577)

    async def replay(proxy: Proxy) -> None:
        flow = make()
        sent = await proxy.send(flow)
        got = await proxy.answer(flow, Said(pieces, fields) if sent else None)
        assert (LEDS[1] in got.body) is is_led
        await replaying.done()

    run(record, record_into(Recorded(), path), provider=GENERIC)
    replaying = Recorded()
    replaying.insert(Opening(path, Mode.NONE))
    run(replay, replaying, provider=GENERIC)


@pytest.mark.parametrize("kind", [TEXT, JSON])
def test_a_part_of_an_answer_stays(kind: dict[str, str], stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(make(), Said([LEDS[0]], {**kind, "Content-Range": "bytes 0-43/99"}, 206))
        assert got.body == LEDS[0]

    run(work, record_into(stage, path))


@pytest.mark.parametrize(("status", "method"), [(204, "GET"), (304, "GET"), (200, "HEAD")])
def test_an_answer_without_a_body_is_not_framed_anew(status: int, method: str, stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(make(f"{method} /a"), Said([], {"ETag": "e"}, status))
        assert dict(got.headers) == {"ETag": "e"}

    run(work, record_into(stage, path))


def test_links_are_led_behind_a_translation_of_the_stream(stage: Recorded, path: Path) -> None:
    class Wrap(Upper):
        def feed(self, data: bytes) -> bytes:
            return data.replace(b"link", b"url")

        def end(self) -> bytes:
            return b""

    async def work(proxy: Proxy) -> None:
        proxy.fake.handling = Pieces(Wrap())
        got = await proxy.ask(make(), Said([b'data: {"link": "https://cdn', b'.test/a"}\n\n'], EVENTS))
        assert got.body == b'data: {"url": "%s/linked/https/cdn.test/a"}\n\n' % HERE.encode()
        assert (await proxy.send(make("GET /linked/https/cdn.test/a"))) is not None

    run(work, record_into(stage, path))

    response = only_entry(path).response
    assert response
    assert response.body == b'data: {"link": "https://cdn.test/a"}\n\n'


WARNED: dict[str, tuple[dict[str, str], bytes, str]] = {
    "a user in it": (JSON, b'{"url": "https://user:pass@cdn.test/a"}', "https://cdn.test"),
    "nearer than the provider": (JSON, b'{"url": "http://10.0.0.1:9000/a"}', "http://10.0.0.1:9000"),
    "a file in a text": (JSON, b'{"content": "see https://cdn.test/a.png"}', "https://cdn.test"),
    "escaped slashes": (JSON, b'{"content": "https:\\/\\/cdn.test\\/a.png"}', "https://cdn.test"),
    "a signed link in a text": (TEXT, b"here: https://cdn.test/a?sign=secret-1", "https://cdn.test"),
    "a file in events": (EVENTS, b'data: {"delta": "![](https://cdn.test/a.webp)"}\n\n', "https://cdn.test"),
    "events of unknown coding": (
        {**EVENTS, "Content-Encoding": "br"},
        b'data: {"url":"https://cdn.test/a.png"}\n\n',
        "https://cdn.test",
    ),
    "binary events": (
        {"Content-Type": "application/vnd.amazon.eventstream"},
        b'\0\1{"url":"https://cdn.test/a.mp4"}',
        "https://cdn.test",
    ),
    "a location": ({**JSON, "Location": "http://10.0.0.1/a"}, b"{}", "http://10.0.0.1"),
    "a link that is led": (JSON, b'{"url": "https://cdn.test/a.png?x=1\\u0026sign=s"}', ""),
    "a link in events that is led": (EVENTS, b'data: {"url": "https://cdn.test/a.png?x=1\\u0026sign=s"}\n\n', ""),
    "a link of the API": (JSON, b'{"url": "http://provider.test:81/a.png"}', ""),
    "a page in a text": (JSON, b'{"content": "see https://cdn.test/page"}', ""),
    "a picture": ({"Content-Type": "image/png"}, b"https://cdn.test/a.png", ""),
}


@pytest.mark.parametrize("name", WARNED)
def test_a_replay_says_which_links_do_not_lead_through_the_proxy(
    name: str, stage: Recorded, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fields, body, host = WARNED[name]
    chunks = (Chunk(0.0, 5), Chunk(0.0, len(body) - 5)) if fields.get("Content-Type") == EVENTS["Content-Type"] else ()
    answer = Response(200, "OK", tuple(fields.items()), body, chunks)

    async def work(proxy: Proxy) -> None:
        for number in (1, 2):
            flow = make(f"GET /{number}")
            sent = await proxy.send(flow)
            await proxy.answer(flow, Said([body[:5], body[5:]], fields) if sent else None)
        await stage.done()

    run(work, replay_from(stage, path, entry_of(answer, "GET /1"), entry_of(answer, "GET /2")), provider=GENERIC)

    said = [record.message for record in caplog.records if "does not lead through the proxy" in record.message]
    assert len(said) == bool(host)
    assert not host or f"a.har: the answer to GET /1 has a link to {host} that" in said[0]
    assert "secret-1" not in caplog.text
    assert "pass" not in "".join(said)


def test_a_recording_says_which_links_cannot_be_led(
    stage: Recorded, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(proxy: Proxy) -> None:
        body = b'{"url": "http://127.0.0.1:9000/a", "content": "https://cdn.test/a.png"}'
        assert (await proxy.ask(make(), Said([body]))).body == body
        got = await proxy.ask(make("GET /linked/http/127.0.0.1:9000/a"))
        assert error_of(got)["code"] == "unknown_link"

    run(work, record_into(stage, path))

    said = [record.message for record in caplog.records if "does not lead through the proxy" in record.message]
    assert len(said) == 1
    assert "a link to http://127.0.0.1:9000 that" in said[0]


NEAR = "http://127.0.0.1:9000/admin"
SENT: dict[str, tuple[str, bytes]] = {
    "json": ("POST /a", b'{"x": "http://127.0.0.1:9000/admin"}'),
    "escaped": ("POST /a", b'{"x": "http:\\/\\/127.0.0.1:9000\\/admin"}'),
    "in a text": ("POST /a", b'{"prompt": "say http://127.0.0.1:9000/admin"}'),
    "another spelling": ("POST /a", b'{"x": "HTTP://127.0.0.1:9000/%61dmin?sign=1"}'),
    "a query": ("GET /a?x=http%3A%2F%2F127.0.0.1%3A9000%2Fadmin&y=1", b""),
    "a form": ("POST /a", b"x=http%3A%2F%2F127.0.0.1%3A9000%2Fadmin&y=1"),
}


@pytest.mark.parametrize("name", SENT)
@pytest.mark.parametrize("later", [False, True])
def test_an_api_that_echoes_what_it_is_sent_leads_to_nothing_near(
    name: str, later: bool, stage: Recorded, path: Path
) -> None:
    request, body = SENT[name]
    echo = json.dumps({"url": NEAR, "other": "https://cdn.test/a", "near": "http://127.0.0.1:9000/b"}).encode()

    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(make(request, {"X-A": NEAR}), Said([b"{}" if later else echo]), body)
        if later:
            got = await proxy.ask(make("GET /status"), Said([echo]))
        shown = json.loads(got.body)
        assert shown["url"] == NEAR
        assert shown["other"] == f"{HERE}/linked/https/cdn.test/a"
        # What the provider leads to by itself.
        assert shown["near"] == f"{HERE}/linked/http/127.0.0.1:9000/b"
        link = make("GET /linked/http/127.0.0.1:9000/admin")
        assert error_of(await proxy.ask(link))["code"] == "unknown_link"

    run(work, record_into(stage, path), provider={**GENERIC, "providerDomain": "http://127.0.0.1:3000"})


def test_a_link_that_led_through_the_proxy_may_be_echoed(stage: Recorded, path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        answer = Said([json.dumps({"url": NEAR}).encode()])
        got = await proxy.ask(make(), answer)
        again = await proxy.ask(make("POST /a", JSON), answer, got.body)
        assert again.body == got.body != answer.pieces[0]

    run(work, record_into(stage, path), provider={**GENERIC, "providerDomain": "http://127.0.0.1:3000"})
