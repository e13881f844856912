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


@pytest.mark.parametrize("link", LINKS)
def test_a_link_leads_through_the_proxy_and_back(link: str) -> None:
    here = ADDRESS.here(link)

    assert here == LINKS[link]
    found = target(here.removeprefix(PROXY))
    if "/linked/" in here:
        assert found
        scheme, _, rest = link.partition("#")[0].partition("://")
        assert f"{found[0]}{found[1]}".rstrip("/").replace("/?", "?") == f"{scheme.lower()}://{rest}".rstrip("/")


def test_the_target_of_a_path_has_its_spelling() -> None:
    assert target("/linked/https/cdn.example.org:444/%41/b%2fc?d=%20&&") == (
        Origin("https", "cdn.example.org", 444),
        "/%41/b%2fc?d=%20&&",
    )


@pytest.mark.parametrize(
    "path",
    ["/linked/", "/linked/ftp/a/b", "/linked/https//b", "/linked/https/user@a/b", "/linked/https/a b/c", "/v1/videos"],
)
def test_what_is_no_link_has_no_target(path: str) -> None:
    assert target(path) is None


@pytest.mark.parametrize("path", ["/linked/https/a/../b", "/linked/https/a/%2e%2e/b", "/linked/https/a/x%00"])
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


@pytest.mark.parametrize("body", [b"", b"\xff://", b'{"url": "https://a/b"', b"https://a/b", b'{"url":"https://a"} {}'])
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
