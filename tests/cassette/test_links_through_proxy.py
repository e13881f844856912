"""Links to results, rewritten to lead through the proxy, and back; other texts stay unchanged."""

from __future__ import annotations

import json

import pytest

from mitm_ai_proxy.cassette.links_through_proxy import Address, target
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.wire.targets import Origin
from tests.tables import table

PROXY = "http://127.0.0.1:8080"
ADDRESS = Address(PROXY, "https://api.example.org")
LINKS = {
    "https://cdn.example.org/a/b.mp4?sign=1%2F2&x": f"{PROXY}/linked/https/cdn.example.org/a/b.mp4?sign=1%2F2&x",
    "http://cdn.example.org:81/": f"{PROXY}/linked/http/cdn.example.org:81/",
    "HTTPS://cdn.example.org?x=1": f"{PROXY}/linked/https/cdn.example.org/?x=1",
    "https://cdn.example.org": f"{PROXY}/linked/https/cdn.example.org/",
    "https://[::1]:8443/a#part": f"{PROXY}/linked/https/[::1]:8443/a",
    "https://api.example.org/simulated/1.mp4?sign=1": f"{PROXY}/simulated/1.mp4?sign=1",
}
OWN = {
    # An API's own link keeps its path.
    "https://api.example.org/v1/status/1?page=2": f"{PROXY}/v1/status/1?page=2",
    "HTTPS://API.example.org:443/v1/status/1": f"{PROXY}/v1/status/1",
    "https://api.example.org": f"{PROXY}/",
    "https://api.example.org/no/1": f"{PROXY}/linked/https/api.example.org/no/1",
    # A signed one is a result.
    "https://api.example.org/r/a.mp4?sign=S&t=9": f"{PROXY}/linked/https/api.example.org/r/a.mp4?sign=S&t=9",
    "https://API.example.org/v1/videos/a.mp4?X-Amz-Signature=a%2Fb": (
        f"{PROXY}/linked/https/API.example.org/v1/videos/a.mp4?X-Amz-Signature=a%2Fb"
    ),
    # What no URL can have is encoded, as clients do it.
    "https://cdn.example.org/ü b.mp4": f"{PROXY}/linked/https/cdn.example.org/%C3%BC%20b.mp4",
    # Another scheme or port is another host.
    "http://api.example.org/v1/status/1": f"{PROXY}/linked/http/api.example.org/v1/status/1",
    "https://api.example.org:8443/v1/status/1": f"{PROXY}/linked/https/api.example.org:8443/v1/status/1",
}


@table("link", LINKS)
def test_a_link_leads_through_the_proxy_and_back(link: str) -> None:
    here = ADDRESS.here(link)

    assert here == LINKS[link]
    found = target(here.removeprefix(PROXY))
    if "/linked/" in here:
        assert found
        scheme, _, rest = link.partition("#")[0].partition("://")
        assert f"{found[0]}{found[1]}".rstrip("/").replace("/?", "?") == f"{scheme.lower()}://{rest}".rstrip("/")


@table("link", OWN)
def test_a_link_to_the_provider_itself_keeps_its_path_unless_it_is_signed(link: str) -> None:
    address = Address(PROXY, ADDRESS.provider, lambda target: not target.startswith("/no"))

    assert address.here(link) == OWN[link]


@table(
    ("location", "expected"),
    [
        # Of the provider itself: what a client finds by itself stays.
        ("/v1/b", "/v1/b"),
        ("b?c=d", "b?c=d"),
        ("?c=d", "?c=d"),
        ("../x", "../x"),
        ("https://api.example.org/v1/b", f"{PROXY}/v1/b"),
        ("//api.example.org/v1/b", f"{PROXY}/v1/b"),
        ("/no/b", f"{PROXY}/linked/https/api.example.org/no/b"),
        ("b.mp4?sign=s", f"{PROXY}/linked/https/api.example.org/v1/b.mp4?sign=s"),
        ("//cdn.example.org/b c", f"{PROXY}/linked/https/cdn.example.org/b%20c"),
        ("http://cdn.example.org/a/../b#part", f"{PROXY}/linked/http/cdn.example.org/b"),
        (f"{PROXY}/linked/https/cdn.example.org/b", f"{PROXY}/linked/https/cdn.example.org/b"),
        ("mailto:a@b", "mailto:a@b"),
        ("https://user@cdn.example.org/b", "https://user@cdn.example.org/b"),
        ("http://127.0.0.1/b", "http://127.0.0.1/b"),
    ],
)
def test_a_location_of_the_provider_leads_through_the_proxy(location: str, expected: str) -> None:
    address = Address(PROXY, ADDRESS.provider, lambda target: not target.startswith("/no"))
    sent_to, asked = "https://api.example.org/v1/a?x=1", f"{PROXY}/v1/a?x=1"

    assert address.location_here(location, sent_to, asked) == expected


@table(
    ("location", "expected"),
    [
        ("/files/real.mp4?sign=A", "/linked/https/cdn.example.org/files/real.mp4?sign=A"),
        ("/linked/https/cdn.example.org/a", "/linked/https/cdn.example.org/linked/https/cdn.example.org/a"),
        ("//cdn.example.org/real.mp4", "/linked/https/cdn.example.org/real.mp4"),
        ("//other.example.org/real.mp4", "/linked/https/other.example.org/real.mp4"),
        ("https://cdn.example.org/real.mp4", "/linked/https/cdn.example.org/real.mp4"),
        ("https://api.example.org/v1/status", "/v1/status"),
        # A client that resolves these itself comes to the same link.
        ("real.mp4", None),
        ("?sign=B", None),
        ("", None),
        ("../real.mp4", None),
        ("../../real.mp4", "/linked/https/cdn.example.org/real.mp4"),
    ],
)
def test_a_location_of_another_host_is_resolved_against_that_host(location: str, expected: str | None) -> None:
    sent_to = "https://cdn.example.org/a/start.mp4?sign=x"
    asked = f"{PROXY}/linked/https/cdn.example.org/a/start.mp4?sign=x"

    led = ADDRESS.location_here(location, sent_to, asked)
    assert led == (location if expected is None else PROXY + expected)


NEAR = {
    "https://203.0.113.5/a": 1,
    "https://93.184.216.34/a": 0,
    "https://cdn.example.org/a": 0,
    "http://minio:9000/a": 1,
    "http://files.local/a": 1,
    "http://10.0.0.1/a": 1,
    "http://192.168.1.5:9000/a": 1,
    "http://[fd00::1]/a": 1,
    "http://127.0.0.1:81/a": 2,
    "http://localhost/a": 2,
    "http://a.LocalHost/a": 2,
    "http://[::1]/a": 2,
    "http://[::ffff:127.0.0.1]/a": 2,
    "http://169.254.169.254/latest": 3,
    "http://[fe80::1]/a": 3,
    "http://0.0.0.0/a": 3,
    "http://[::]/a": 3,
    # Spellings that resolvers read as addresses, and what a host could read differently.
    "http://127.1/a": 9,
    "http://2130706433/a": 9,
    "http://0x7f.1/a": 9,
    "http://0x7f000001/a": 9,
    "http://user@cdn.example.org/a": 9,
    "http://cdn.example.org:99999/a": 9,
    "https://cdn.example.org/a/%2e%2e/b": 9,
    "https://cdn.example.org\\@evil.test/a": 9,
    "https://bücher.example/a": 9,
}


@table("link", NEAR)
@table(
    ("provider", "nearest"),
    [
        ("https://api.example.org", 0),
        ("https://8.8.8.8", 0),
        ("http://192.168.1.2:3000", 1),
        ("http://gateway:3000", 1),
        ("http://127.0.0.1:3000", 2),
        ("http://localhost:3000", 2),
        ("http://169.254.1.1", 3),
    ],
)
def test_only_links_that_are_no_nearer_than_the_provider_are_led(link: str, provider: str, nearest: int) -> None:
    issued: list[str] = []
    left: list[str] = []
    body = json.dumps({"url": link}).encode()
    led = Address(PROXY, provider).lead_here(body, issued.append, left.append)

    if NEAR[link] <= nearest:
        assert (issued, left) == ([link], [])
        assert json.loads(led)["url"].startswith(f"{PROXY}/linked/")
    else:
        assert (led, issued, left) == (body, [], [link])


def test_where_the_proxy_has_the_provider_s_name_links_to_it_are_told_from_those_that_are_led() -> None:
    provider = ADDRESS.provider
    address = Address(provider, provider, lambda target: target.startswith("/v1/"))
    results = {
        "/v1/status": "/v1/status",
        "/files/a": "/linked/https/api.example.org/files/a",
        "/v1/a.mp4?sign=s": "/linked/https/api.example.org/v1/a.mp4?sign=s",
        "/linked/https/cdn.example.org/a": "/linked/https/cdn.example.org/a",
    }
    for path, led in results.items():
        body = json.dumps({"url": provider + path}).encode()
        assert address.lead_here(body, lambda link: None) == json.dumps({"url": provider + led}).encode()
        assert address.location_here(provider + path, f"{provider}/a", f"{provider}/a") == provider + led


def test_the_target_of_a_path_has_its_spelling() -> None:
    assert target("/linked/https/cdn.example.org:444/%41/b%2fc?d=%20&&") == (
        Origin("https", "cdn.example.org", 444),
        "/%41/b%2fc?d=%20&&",
    )


@table(
    "path",
    ["/linked/", "/linked/ftp/a/b", "/linked/https//b", "/linked/https/user@a/b", "/linked/https/a b/c", "/v1/videos"],
)
def test_what_is_no_link_has_no_target(path: str) -> None:
    assert target(path) is None


@table("path", ["/linked/https/a/../b", "/linked/https/a/%2e%2e/b", "/linked/https/a/x%00"])
def test_a_path_that_a_host_could_read_as_another_is_refused(path: str) -> None:
    with pytest.raises(Refusal):
        target(path)


RESULT = "https://cdn.example.org/a.mp4?sign=1"
HERE = f"{PROXY}/linked/https/cdn.example.org/a.mp4?sign=1"
LED = {
    "url": ({"data": {"task_result": {"videos": [{"url": RESULT}]}}}, True),
    "a longer name": ({"watermark_url": RESULT}, True),
    "in capitals": ({"videoUrl": RESULT, "imageURL": RESULT}, True),
    "a list": ({"urls": [RESULT, RESULT], "output": RESULT}, True),
    "any name": ({"result": RESULT, "sample": RESULT, "download": RESULT, "src": [RESULT]}, True),
    "names of several words": ({"fullSize": RESULT, "cover-frame": RESULT, "": RESULT}, True),
    "no name": ([RESULT, [RESULT]], True),
    "a text by another name": ({"revised_prompt_text": RESULT}, True),
    "texts": (dict.fromkeys(("text", "delta", "prompt", "negativePrompt", "message", "arguments"), RESULT), False),
    "a list of texts": ({"content": [RESULT]}, False),
    "results in a content": ({"content": {"video_url": RESULT}}, True),
    "names of things": (dict.fromkeys(("type", "$schema", "@id", "id", "iss"), RESULT), False),
    "a page that has an image": ({"citations": [{"thumbnail": RESULT}]}, False),
    "a link behind blanks": ({"url": f" {RESULT}"}, False),
    "another scheme": ({"url": RESULT.replace("https", "ftp")}, False),
    "prose": ({"content": RESULT}, False),
    "a link in prose": ({"url": f"see {RESULT}"}, False),
    "a page that is spoken of": ({"annotations": [{"url": RESULT}]}, False),
    "a key": ({RESULT: 1}, False),
    "led here already": ({"url": HERE}, None),
    "no link": ({"url": "data:image/png;base64,AA=="}, None),
    "no text": ({"url": 5}, None),
}


@table("name", LED)
def test_an_answer_s_links_to_results_lead_through_the_proxy(name: str) -> None:
    document, is_led = LED[name]
    body = json.dumps(document, indent=1).encode()
    issued: list[str] = []
    led = ADDRESS.lead_here(body, issued.append)

    assert led == (body.replace(RESULT.encode(), HERE.encode()) if is_led else body)
    assert set(issued) == ({RESULT} if is_led else set())
    assert ADDRESS.lead_there(led) == (body if is_led is not None else ADDRESS.lead_there(body))


@table("body", [b"", b"\xff://", b'{"url": "https://a/b"', b"https://a/b", b'{"url":"https://a"} {}'])
def test_what_is_no_json_stays(body: bytes) -> None:
    assert ADDRESS.lead_here(body, pytest.fail) == body


def test_escaped_slashes_are_slashes() -> None:
    body = b'{"url":"https:\\/\\/cdn.example.org\\/a.mp4","n":1.50}'
    issued: list[str] = []
    led = ADDRESS.lead_here(body, issued.append)

    assert led == b'{"url":"http://127.0.0.1:8080/linked/https/cdn.example.org/a.mp4","n":1.50}'
    assert issued == ["https://cdn.example.org/a.mp4"]
    assert ADDRESS.lead_there(led.replace(b"/", b"\\/")) == body


def test_a_request_s_links_are_the_provider_s_own_again() -> None:
    body = b'{"a":"http://127.0.0.1:8080/simulated/1.mp4","b":"http://127.0.0.1:80801/x","c":"127.0.0.1:8080"}'

    assert ADDRESS.lead_there(body) == body.replace(b"http://127.0.0.1:8080/", b"https://api.example.org/")
