"""Which provider serves a request, and the list of the models that the routes know."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from mitm_ai_proxy import registry
from mitm_ai_proxy.chat import callers
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import Head
from mitm_ai_proxy.routing.providers import Providers
from mitm_ai_proxy.routing.rules import Choice, Listing, Router
from mitm_ai_proxy.wire.header_fields import Fields
from tests.tables import table

PROVIDERS = """
providers:
  - {id: kling, type: kling, apiTokens: k, modelMapping: {film: kling-v3, "film-*": kling-v3}}
  - {id: kilo, type: openai, apiTokens: o, providerDomain: api.kilo.test, modelMapping: {fast: x/fast, slow: x/slow}}
  - {id: local, type: generic, genericHost: "http://127.0.0.1:11434", basePath: /lan, modelMapping: {fast: tiny}}
"""
ROUTES = """
routes:
  - {model: [kling-*, sora-*, film], provider: kling}
  - {path: /v1/embeddings, provider: local}
  - {header: {X-Team: [research, "~^lab-[0-9]+$"]}, provider: local}
  - {model: ["local/*", tiny, "~-Q[48]$"], provider: local}
  - {host: ["*.never", "box:8443", api.box.test], provider: local}
"""
ACTIVE = "activeProviderId: kilo\n"
JSON = {"Content-Type": "application/json"}
URL_ENCODED = {"Content-Type": "application/x-www-form-urlencoded"}
TEXT = {"Content-Type": "text/plain; charset=utf-8"}
BOUNDARY = {"Content-Type": "multipart/form-data; boundary=b"}
FORM = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n%b\r\n--b--\r\n'


OTHER_FORM = (FORM % b"sora-2").replace(b"--b", b"--other")


def providers_of(text: str) -> Providers:
    """The providers of a configuration."""
    return registry.providers(registry.read(yaml.safe_load(text), {}), lambda: 0.0)


def router_of(text: str) -> Router:
    """The router of a configuration."""
    router = providers_of(text).router
    assert router
    return router


def head(request: str, headers: Mapping[str, str] | None = None, *, tls: bool = False, version: int = 1) -> Head:
    """The head of `METHOD target` as the gateway makes it."""
    method, _, target = request.partition(" ")
    given = {"Host": "127.0.0.1:8080", **(headers or {})}
    if method == "POST" and version == 1:
        given = {"Content-Length": "9", **given}
    fields: Fields = tuple((name.encode(), value.encode()) for name, value in given.items())
    return Head(method, target, callers.read(target, fields), fields, version == 1, tls)


def _note(router: Router, asked: Head, body: bytes | None = None) -> str:
    """The note of a choice; "(body)" in front of it if the body was needed."""
    choice = router.choose(asked)
    if choice is None:
        assert body is not None, "the body is needed"
        return f"(body) {router.choose_with(asked, body).note}"
    assert isinstance(choice, Choice)
    return choice.note


def _asking(model: str) -> bytes:
    return json.dumps({"messages": [], "model": model}).encode()


KILO = "activeProviderId: kilo"
OWN_HOST = "the host api.kilo.test is the provider's own: kilo"
CHAT = "POST /v1/chat/completions"


@table(
    ("request_line", "headers", "body", "expected"),
    [
        # What a route takes, in the order of the file.
        (CHAT, JSON, _asking("kling-v3"), "(body) routes[0] (model kling-*): kling"),
        (CHAT, JSON, _asking("film"), "(body) routes[0] (model film): kling"),
        (CHAT, JSON, _asking("films"), f"(body) {KILO}"),
        (CHAT, JSON, _asking("Kling-v3"), f"(body) {KILO}"),
        (CHAT, JSON, _asking("local/a/b"), "(body) routes[3] (model local/*): local"),
        (CHAT, JSON, _asking("qwen-Q4"), "(body) routes[3] (model ~-Q[48]$): local"),
        (CHAT, JSON, _asking("qwen-Q4-x"), f"(body) {KILO}"),
        (CHAT, JSON, _asking(""), f"(body) {KILO}"),
        # An earlier condition decides before a later one.
        (CHAT, {**JSON, "x-team": "research"}, _asking("kling-v3"), "(body) routes[0] (model kling-*): kling"),
        (CHAT, {**JSON, "x-team": "research"}, _asking("x"), "(body) routes[2] (header x-team): local"),
        ("GET /v1/files", {"X-TEAM": " lab-7 "}, None, "routes[2] (header x-team): local"),
        ("GET /v1/files", {"X-Team": "Research"}, None, KILO),
        ("GET /v1/files", {"X-Teams": "research"}, None, KILO),
        ("GET /v1/files", {"Host": "Box:8443"}, None, "routes[4] (host box:8443): local"),
        ("GET /v1/files", {"Host": "api.BOX.test"}, None, "routes[4] (host api.box.test): local"),
        ("GET /v1/files", {"Host": "api.box.test:80"}, None, "routes[4] (host api.box.test): local"),
        ("GET /v1/files", {"Host": "box"}, None, KILO),
        ("GET /v1/files", {"Host": "no host at all"}, None, KILO),
        # The base path of the route's provider may stand in front.
        ("GET /v1/embeddings?a=b", {}, None, "routes[1] (path /v1/embeddings): local"),
        ("GET /lan/v1/embeddings", {}, None, "routes[1] (path /v1/embeddings): local"),
        ("GET /x/v1/embeddings", {}, None, KILO),
        ("GET /v1/embeddings/", {}, None, KILO),
        # Where the model is.
        ("GET /v1/realtime?a=b&model=sora-2", {}, None, "routes[0] (model sora-*): kling"),
        ("GET /v1/realtime?mod%65l=sora%2D2", {}, None, "routes[0] (model sora-*): kling"),
        ("GET /v1/models/local%2Fa", {}, None, "routes[3] (model local/*): local"),
        ("DELETE /v1/models/local/a:8b", {}, None, "routes[3] (model local/*): local"),
        ("POST /v1beta/models/tiny:generateContent", JSON, None, "routes[3] (model tiny): local"),
        ("POST /v1/videos?model=tiny", JSON, b"{}", "(body) routes[3] (model tiny): local"),
        ("POST /v1/videos?model=tiny", JSON, _asking("sora-2"), "(body) routes[0] (model sora-*): kling"),
        ("POST /v1/images/edits", BOUNDARY, FORM % b"sora-2", "(body) routes[0] (model sora-*): kling"),
        ("POST /v1/images/edits", BOUNDARY, OTHER_FORM, "(body) routes[0] (model sora-*): kling"),
        ("POST /x", URL_ENCODED, b"a=1&model=sora-2", "(body) routes[0] (model sora-*): kling"),
        # As curl sends JSON, and as clients without a type do.
        ("POST /x", URL_ENCODED, b' {"model":"tiny"}', "(body) routes[3] (model tiny): local"),
        ("POST /x", {}, b'\xef\xbb\xbf{"model":"tiny"}', "(body) routes[3] (model tiny): local"),
        ("POST /x", TEXT, b'{"model":"tiny"}', "(body) routes[3] (model tiny): local"),
        ("POST /x", {}, b"model=tiny", f"(body) {KILO}"),
        ("POST /x", JSON, b"", f"(body) {KILO}"),
        ("POST /x", JSON, b'["model"]', f"(body) {KILO}"),
        ("POST /x", JSON, b'{"a":{"model":"tiny"}}', f"(body) {KILO}"),
        # A body that can hold no model is not held.
        ("POST /v1/files", {"Content-Type": "video/mp4"}, None, KILO),
        ("POST /v1/batches/b/cancel", {**JSON, "Content-Length": "0"}, None, KILO),
        ("GET /x", {**JSON, "Content-Length": "9"}, None, KILO),
        # What the request itself points at.
        ("GET /x", {"Host": "api.kilo.test"}, None, OWN_HOST),
        ("GET /x", {"Host": "api.kilo.test:443"}, None, OWN_HOST),
        ("GET /x", {"Host": "api.kilo.test:8443"}, None, KILO),
        ("GET /x", {"Host": "127.0.0.1:11434"}, None, "the host 127.0.0.1 is the provider's own: local"),
        ("GET /x", {"Host": "127.0.0.1"}, None, KILO),
        ("GET /v1/videos/kling-t2v-83/content", {}, None, "the id begins with kling-t2v-: kling"),
        ("GET /v1/videos/kling-t2v-8", {"Host": "api.kilo.test"}, None, OWN_HOST),
        ("POST /v1/videos/kling-omni-83/remix", JSON, b"{}", "(body) the id begins with kling-omni-: kling"),
        ("GET /v1/videos/x-kling-t2v-83", {}, None, KILO),
        ("GET /simulated/a.mp4", {"X-Team": "research"}, None, "/simulated/ leads to results: kling"),
    ],
)
def test_the_provider_of_a_request(
    request_line: str, headers: Mapping[str, str], body: bytes | None, expected: str
) -> None:
    assert _note(router_of(PROVIDERS + ROUTES + ACTIVE), head(request_line, headers), body) == expected


@table(
    ("routes", "request_line", "headers", "expected"),
    [
        # A route without the model stands first: nothing is held.
        ("{path: /v1/*, provider: local}, {model: '*', provider: kling}", CHAT, JSON, "routes[0] (path /v1/*): local"),
        ("{path: /v1/*, provider: local}, {model: '*', provider: kling}", "POST /x", JSON, None),
        # The model is asked for only where the other conditions of its route hold.
        (
            "{path: /b, model: a, provider: local}, {path: /v*, provider: kilo}",
            CHAT,
            JSON,
            "routes[1] (path /v*): kilo",
        ),
        ("{header: {x-a: b}, model: '*', provider: local}", CHAT, JSON, KILO),
        ("{header: {x-a: b}, model: '*', provider: local}", CHAT, {**JSON, "X-A": "b"}, None),
        # HTTP/2 needs no length.
        ("{model: '*', provider: local}", "POST2 /x", {}, None),
        ("{model: '*', provider: local}", CHAT, {"Transfer-Encoding": "chunked", "Content-Length": "0"}, None),
        ("{model: '*', provider: local}", "GET /x", {}, KILO),
    ],
)
def test_a_body_is_held_only_where_its_model_decides(
    routes: str, request_line: str, headers: Mapping[str, str], expected: str | None
) -> None:
    router = router_of(f"{PROVIDERS}routes: [{routes}]\n{ACTIVE}")
    version = 2 if request_line.startswith("POST2") else 1

    choice = router.choose(head(request_line.replace("POST2", "POST"), headers, version=version))

    assert (choice.note if isinstance(choice, Choice) else choice) == expected


def test_all_conditions_of_a_route_have_to_hold() -> None:
    route = "{model: m*, path: [/a, /b], header: {x-a: '*', x-b: c}, host: h, provider: local}"
    router = router_of(f"{PROVIDERS}routes: [{route}]\n{ACTIVE}")
    good = {**JSON, "X-A": "", "X-B": "c", "Host": "h:80"}

    assert _note(router, head("POST /b", good), _asking("m")) == (
        "(body) routes[0] (host h, header x-a, header x-b, path /b, model m*): local"
    )
    for request_line, headers, model in [
        ("POST /c", good, "m"),
        ("POST /b", {**good, "X-B": "d"}, "m"),
        ("POST /b", {name: value for name, value in good.items() if name != "X-A"}, "m"),
        ("POST /b", {**good, "Host": "i"}, "m"),
        ("POST /b", good, "n"),
    ]:
        assert _note(router, head(request_line, headers), _asking(model)).endswith(KILO)


def test_of_a_field_that_is_repeated_one_value_has_to_match() -> None:
    router = router_of(f"{PROVIDERS}routes: [{{header: {{x-a: b}}, provider: local}}]\n{ACTIVE}")
    fields = ((b"X-A", b"a"), (b"x-a", b"b"))

    assert _note(router, Head("GET", "/x", fields=fields)).startswith("routes[0]")


def test_of_two_providers_at_one_host_the_active_one_is_meant() -> None:
    text = """
providers:
  - {id: first, type: kling, apiTokens: a}
  - {id: second, type: kling, apiTokens: b}
  - {id: other, type: openai}
routes: [{model: other, provider: other}, {model: first, provider: first}]
"""
    for asked in ("GET /v1/videos/kling-i2v-1", "GET /simulated/x"):
        assert _note(router_of(f"{text}activeProviderId: second"), head(asked)).endswith(": second")
        assert _note(router_of(text), head(asked)).endswith(": first")


@table(
    ("request_line", "body", "asked"),
    [
        (CHAT, _asking("gpt-5"), "the model 'gpt-5'"),
        (CHAT, _asking("g" * 70), f"the model '{'g' * 60}...'"),
        ("GET /v1/videos", b"", "GET /v1/videos"),
        (f"GET /{'p' * 70}?key=secret", b"", f"GET /{'p' * 59}..."),
    ],
)
def test_what_nobody_takes_is_refused_with_the_routes_there_are(request_line: str, body: bytes, asked: str) -> None:
    router = router_of(PROVIDERS + ROUTES)
    with pytest.raises(Refusal) as caught:
        _note(router, head(request_line, JSON), body)

    assert (caught.value.status, caught.value.code) == (404, "no_route")
    assert caught.value.message == (
        f"No route takes {asked}, and activeProviderId names no provider for the rest. The routes: "
        "model kling-* or sora-* or film; path /v1/embeddings; header x-team; "
        "model local/* or tiny or ~-Q[48]$; host *.never or box:8443 or api.box.test."
    )


def test_a_refusal_names_twenty_routes_at_most() -> None:
    routes = ", ".join(f"{{model: m{index}, provider: local}}" for index in range(25))
    with pytest.raises(Refusal) as caught:
        router_of(f"{PROVIDERS}routes: [{routes}]").choose(head("GET /x"))

    assert "model m19; and 5 more." in caught.value.message
    assert "m20" not in caught.value.message


@table(
    ("headers", "body"),
    [
        (JSON, b"{"),
        (JSON, b"model"),
        (JSON, b'{"model": 5}'),
        (JSON, b'{"model": "a", "model": "b"}'),
        (BOUNDARY, b"no form"),
        (BOUNDARY, FORM.replace(b"--b--\r\n", FORM) % (b"a", b"b")),
    ],
)
def test_a_body_whose_model_is_not_certain_is_refused(headers: Mapping[str, str], body: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        router_of(PROVIDERS + ROUTES + ACTIVE).choose_with(head("POST /x", headers), body)

    assert (caught.value.status, caught.value.code) == (400, "invalid_body")


SLOW = "'~(a|aa)+$'"
LONG = "a" * 100 + "!"


@table(
    ("condition", "asked", "param", "text"),
    [
        (f"model: {SLOW}", head("GET /v1/models/" + LONG), "model", "routes[0].model"),
        (f"model: {SLOW}", head("GET /v1/models/" + "a" * 1001), "model", "has more than 1000 characters"),
        (f"path: {SLOW}", head("GET /" + LONG), None, "routes[0].path"),
        (f"header: {{x-a: {SLOW}}}", head("GET /", {"X-A": LONG}), "x-a", "routes[0].header x-a"),
        (f"host: {SLOW}", head("GET /", {"Host": "a" * 60 + ".b"}), "Host", "routes[0].host"),
    ],
)
def test_a_regex_that_takes_too_long_refuses_the_request(
    condition: str, asked: Head, param: str | None, text: str
) -> None:
    with pytest.raises(Refusal) as caught:
        router_of(f"{PROVIDERS}routes: [{{{condition}, provider: local}}]\n{ACTIVE}").choose(asked)

    assert (caught.value.status, caught.value.param) == (400, param)
    assert text in caught.value.message


def test_the_example_of_the_page_is_routed_as_the_page_says() -> None:
    page = (Path(__file__).parents[2] / "docs" / "routes.md").read_text()
    text = page.partition("```yaml\n")[2].partition("```")[0]
    rows = re.findall(r"^\| `([A-Z]+ /\S+)` \| (?:`(.+)`|[^`]+) \| `(.+)` \|$", page, flags=re.MULTILINE)
    router = registry.providers(registry.read(text, {"KLING_API_KEY": "k", "KILOCODE_API_KEY": "o"})).router
    assert router

    assert [
        _note(router, head(request, JSON), _asking(model)).removeprefix("(body) ") for request, model, _ in rows
    ] == [note for _, _, note in rows]
    assert len(rows) == 6


# The list of models


def _list(router: Router, asked: Head) -> list[tuple[str, str]]:
    found = router.choose(asked)
    assert isinstance(found, Listing)
    document: dict[str, Any] = json.loads(found.body)
    assert document["object"] == "list"
    for model in document["data"]:
        assert (model["object"], model["created"]) == ("model", 0)
    return [(model["id"], model["owned_by"]) for model in document["data"]]


def test_the_list_has_each_model_that_can_be_asked_for_by_its_name() -> None:
    found = _list(router_of(PROVIDERS + ROUTES + ACTIVE), head("GET /v1/models"))

    assert found[:2] == [("film", "kling"), ("tiny", "local")]
    owners = dict(found)
    assert len(owners) == len(found)
    assert owners["kling-v3"] == owners["sora-2"] == "kling"
    # An exact key of a mapping that leads to its provider; of one that does not, nothing.
    assert owners["fast"] == owners["slow"] == "kilo"
    assert not any("*" in model or "~" in model for model in owners)


def test_each_model_of_the_list_leads_to_its_owner() -> None:
    router = router_of(PROVIDERS + ROUTES + ACTIVE)
    for model, owner in _list(router, head("GET /v1/models")):
        assert _note(router, head(CHAT, JSON), _asking(model)).endswith(f": {owner}")


@table(
    ("routes", "headers", "expected"),
    [
        # Who names no provider for the rest has only what routes take.
        ("{model: [a, b, a], provider: local}, {model: b, provider: kilo}", {}, [("a", "local"), ("b", "local")]),
        ("{model: [fast, nobody], provider: kilo}", {}, [("fast", "kilo"), ("nobody", "kilo")]),
        ("{model: f*, provider: local}", {}, [("fast", "local")]),
        # A route that this client does not reach.
        ("{header: {x-a: b}, model: a, provider: local}", {}, []),
        ("{header: {x-a: b}, model: a, provider: local}", {"X-A": "b"}, [("a", "local")]),
        ("{host: h, model: a, provider: local}", {"Host": "h"}, [("a", "local")]),
        # A path stands for some requests only.
        ("{path: /v1/embeddings, model: e, provider: local}", {}, [("e", "local")]),
        ("{path: /v1/embeddings, model: e, provider: local}, {model: e, provider: kilo}", {}, [("e", "kilo")]),
        ("{path: /v1/embeddings, provider: local}", {}, []),
    ],
)
def test_the_models_of_the_list(routes: str, headers: Mapping[str, str], expected: list[tuple[str, str]]) -> None:
    router = router_of(f"{PROVIDERS}routes: [{routes}]")

    assert _list(router, head("GET /v1/models", headers)) == expected


@table(
    ("api", "has", "lacks"),
    [("legacy", {"kling-v1", "kling-v3", "sora-2"}, {"kling-v3-turbo"}), ("v2", {"kling-v3-turbo"}, {"kling-v1"})],
)
def test_the_list_has_the_models_that_make_a_video(api: str, has: set[str], lacks: set[str]) -> None:
    kling = f"providers: [{{id: k, type: kling, apiTokens: t, klingApi: {api}}}]\nroutes: [{{model: '*', provider: k}}]"
    names = {model for model, _ in _list(router_of(kling), head("GET /v1/models"))}

    assert has <= names
    assert names.isdisjoint(lacks | {"kling-v3-omni", "kling-video-o1"})


@table(
    ("request_line", "target"),
    [
        ("GET /v1/models?provider=kilo", "/v1/models"),
        ("GET /v1/models?a=1&provider=kilo&&b=", "/v1/models?a=1&&b="),
        ("HEAD /v1/models?provider=%6Bilo", "/v1/models"),
    ],
)
def test_the_own_list_of_a_provider(request_line: str, target: str) -> None:
    choice = router_of(PROVIDERS + ROUTES + ACTIVE).choose(head(request_line))

    assert isinstance(choice, Choice)
    assert (choice.note, choice.head.target) == ("provider=kilo in the query: kilo", target)


def test_a_provider_that_is_not_there_has_no_list() -> None:
    with pytest.raises(Refusal) as caught:
        router_of(PROVIDERS + ROUTES + ACTIVE).choose(head("GET /v1/models?provider=klio"))

    assert (caught.value.status, caught.value.param) == (404, "provider")
    assert caught.value.message.endswith("; did you mean kilo? (known: kling, kilo, local).")


@table(
    ("routes", "request_line", "expected"),
    [
        ("{path: /v1/models, provider: local}", "GET /v1/models", "routes[0] (path /v1/models): local"),
        ("{path: /v1/*, provider: local}", "GET /v1/models?provider=kilo", "routes[0] (path /v1/*): local"),
        (
            "{header: {a: b}, provider: local}, {path: /v*, provider: kilo}",
            "GET /v1/models",
            "routes[1] (path /v*): kilo",
        ),
        ("{model: a, provider: local}", "POST /v1/models", KILO),
        ("{model: a, provider: local}", "GET /v1/models/b", KILO),
    ],
)
def test_a_route_for_its_path_wins_over_the_list(routes: str, request_line: str, expected: str) -> None:
    asked = head(request_line, {"Content-Length": "0"})

    assert _note(router_of(f"{PROVIDERS}routes: [{routes}]\n{ACTIVE}"), asked) == expected


# Routes that are never reached

A = "{model: a, provider: kilo}"


@table(
    ("routes", "expected"),
    [
        ("{model: a*, provider: kilo}, {model: ab, provider: local}", {1: "routes[0] takes"}),
        ("{model: a*, provider: kilo}, {model: ab*, provider: local}", {1: "routes[0] takes"}),
        ("{model: ab*, provider: kilo}, {model: a*, provider: local}", {}),
        ("{model: '*', provider: kilo}, {model: '~x', provider: local}", {1: "routes[0] takes"}),
        ("{model: '~x', provider: kilo}, {model: '~x', provider: local}", {1: "routes[0] takes"}),
        ("{model: '~x', provider: kilo}, {model: axb, provider: local}", {1: "routes[0] takes"}),
        ("{model: '~x', provider: kilo}, {model: x*, provider: local}", {}),
        ("{model: a, provider: kilo}, {model: [a, b], provider: local}", {}),
        (f"{A}, {{model: b, provider: kilo}}, {{model: [a, b], provider: local}}", {2: "routes[0] and routes[1] take"}),
        (f"{A}, {{model: [a, b], path: [c, d], provider: local}}", {}),
        (f"{A}, {{model: a, path: [c, d], provider: local}}", {1: "routes[0] takes"}),
        ("{path: /a, provider: kilo}, {path: /a, model: b, provider: local}", {1: "routes[0] takes"}),
        ("{path: /a, model: b, provider: kilo}, {path: /a, provider: local}", {}),
        ("{model: b, provider: kilo}, {path: b, provider: local}", {}),
        ("{header: {X-A: b}, provider: kilo}, {header: {x-a: b, x-c: d}, provider: local}", {1: "routes[0] takes"}),
        ("{header: {x-a: b}, provider: kilo}, {header: {x-c: b}, provider: local}", {}),
        ("{host: H, provider: kilo}, {host: h, provider: local}", {1: "routes[0] takes"}),
    ],
)
def test_a_route_that_earlier_ones_hide_is_a_warning(routes: str, expected: Mapping[int, str]) -> None:
    configuration = registry.read(yaml.safe_load(f"{PROVIDERS}routes: [{routes}]"), {})

    assert registry.warnings(configuration) == [
        f"routes[{index}] is never reached: {what} all that it would" for index, what in expected.items()
    ]
