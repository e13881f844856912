"""Providers that speak OpenAI's API, and making a provider from a configuration.

Base paths, ids and merged queries, which all providers share, are tested in tests/kling/test_provider.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mitm_ai_proxy import registry
from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.config.file import ConfigurationError
from mitm_ai_proxy.config.model_mapping import ModelMapping
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import Caller, Head, NeedsBody, Pass, Upstream
from mitm_ai_proxy.kling.provider import Kling
from mitm_ai_proxy.providers.base import Provider
from mitm_ai_proxy.providers.generic import GenericKeys
from mitm_ai_proxy.providers.openai import OpenAIKeys
from mitm_ai_proxy.wire.header_fields import Fields
from mitm_ai_proxy.wire.targets import Origin
from tests.completed import Generic, OpenAI
from tests.tables import table
from tests.upstream_of import rewritten

TOKEN = (Secret("token"),)
MAPPING = ModelMapping({"gpt-*": "gpt-5"})
NOTHING = ModelMapping({})
HOST = Origin("http", "host.test", 8000)
CLIENTS_KEYS = ((b"X-Api-Key", b"client"), (b"Authorization", b"Bearer client"))


def _openai(**keys: Any) -> OpenAI:
    return OpenAI(OpenAIKeys("openai", **keys), lambda: 0.0)


def _generic(**keys: Any) -> Generic:
    return Generic(GenericKeys("generic", **{"generic_host": HOST, **keys}), lambda: 0.0)


def _begin(provider: Provider, request: str, content_type: str = "application/json") -> Upstream | NeedsBody:
    """The result of requestheaders() for a request, written as `METHOD target`."""
    method, _, target = request.partition(" ")
    return provider.requestheaders(Head(method, target, Caller(content_type)))


def _route(provider: Provider, request: str) -> Upstream:
    """The upstream request for a head, with a body that says nothing."""
    upstream = _begin(provider, request)
    if isinstance(upstream, NeedsBody):
        upstream = rewritten(upstream, b"")._replace(body=None)
    assert (upstream.method, upstream.body, upstream.fields) == (request.partition(" ")[0], None, {})
    return upstream


def _mapped(provider: Provider, request: str, body: bytes) -> Upstream:
    """The upstream request for a head and a body."""
    needs = _begin(provider, request)
    assert isinstance(needs, NeedsBody)
    return rewritten(needs, body)


def _authorization(provider: Provider, fields: Fields = ()) -> str | None:
    """The Authorization value of a request with these header fields; None if there is none."""
    credential = provider.credential(Upstream(provider.origin, "GET", "/"), provider.token(fields))
    assert credential.fields.keys() <= {b"authorization"}
    assert credential.query == ""
    value = credential.fields.get(b"authorization")
    return None if value is None else value.decode()


def _use(text: str) -> Provider:
    return registry.provider(registry.read(text, {}), lambda: 0.0)


@table(
    ("request_line", "api"),
    [
        ("POST /v1/chat/completions", "chatcompletions"),
        ("POST /v1/completions", "completions"),
        ("POST /v1/embeddings", "embeddings"),
        ("POST /v1/audio/speech", "audiospeech"),
        ("POST /v1/audio/transcriptions", "audiotranscription"),
        ("POST /v1/audio/translations", "audiotranslation"),
        ("GET /v1/realtime", "realtime"),
        ("POST /v1/images/generations", "imagegeneration"),
        ("POST /v1/images/variations", "imagevariation"),
        ("POST /v1/images/edits", "imageedit"),
        ("GET /v1/batches", "batches"),
        ("GET /v1/batches/b-1", "retrievebatch"),
        ("POST /v1/batches/b-1/cancel", "cancelbatch"),
        ("POST /v1/files", "files"),
        ("DELETE /v1/files/f-1", "retrievefile"),
        ("GET /v1/files/f-1/content", "retrievefilecontent"),
        ("GET /v1/models", "models"),
        ("POST /v1/responses", "responses"),
        ("POST /v1/videos", "videos"),
        ("GET /v1/videos", "listvideos"),
        ("GET /v1/videos/v-1", "retrievevideo"),
        ("DELETE /v1/videos/v-1", "deletevideo"),
        ("GET /v1/videos/v-1/content", "retrievevideocontent"),
        ("POST /v1/videos/v-1/remix", "videoremix"),
        ("POST /v1/fine_tuning/jobs", "fine-tuningjobs"),
        ("GET /v1/fine_tuning/jobs/ft-1", "retrievefine-tuningjob"),
        ("GET /v1/fine_tuning/jobs/ft-1/events", "fine-tuningjobsevents"),
        ("GET /v1/fine_tuning/jobs/ft-1/checkpoints", "fine-tuningjobcheckpoints"),
        ("POST /v1/fine_tuning/jobs/ft-1/cancel", "cancelfine-tuningjob"),
        ("POST /v1/fine_tuning/jobs/ft-1/resume", "resumefine-tuningjob"),
        ("POST /v1/fine_tuning/jobs/ft-1/pause", "pausefine-tuningjob"),
        ("GET /v1/fine_tuning/checkpoints/c%3A1/permissions", "fine-tuningjobcheckpointpermissions"),
        ("DELETE /v1/fine_tuning/checkpoints/c%3A1/permissions/p-1", "deletefine-tuningjobcheckpointpermission"),
    ],
)
@table("prefix", ["", "/proxy"])
def test_each_api_of_openai_goes_to_its_own_path_whatever_stood_before_it(
    request_line: str, api: str, prefix: str
) -> None:
    method, _, path = request_line.partition(" ")
    provider = _openai()
    upstream = _route(provider, f"{method} {prefix}{path}?limit=1&after=%2F")

    assert upstream.target == f"{path}?limit=1&after=%2F"
    assert provider.responseheaders(upstream, 200, ()) == Pass()
    assert upstream.notes == (f"sent to https://api.openai.com: openai/v1/{api} of openai",)


def test_an_unknown_path_is_passed_on_unchanged() -> None:
    upstream = _route(_openai(model_mapping=MAPPING), "POST /v1/threads/t-1/runs?a&a")

    assert upstream.target == "/v1/threads/t-1/runs?a&a"
    assert upstream.notes == ("sent to https://api.openai.com: the path is no API that openai translates",)


NEAR = [
    *("POST /videos", "POST /v1/videos/", "POST /openai/videos?api-version=1", "PUT /v1/videos", "POST /V1/Videos"),
    *(
        "POST /chat/completions",
        "GET /models",
        "GET /v1/models/m",
        "GET /v1/threads/t",
        "POST /messages",
        "POST /a/videos",
    ),
    *("HEAD /v1/videos/v-1", "POST /v1/chat/completions/", "POST /openai/deployments/m/chat/completions?api-version=1"),
]


@pytest.mark.parametrize(
    "provider",
    [
        _openai(),
        _openai(model_mapping=MAPPING),
        # A path of its own for one API makes no other path wrong.
        _openai(capabilities={"openai/v1/chatcompletions": "/api/v3/chat/completions", "openai/v1/videos": "/create"}),
        _generic(),
    ],
    ids=["openai", "mapping", "capabilities", "generic"],
)
def test_what_is_nearly_an_api_is_passed_on_where_the_host_speaks_openais_api_itself(provider: Provider) -> None:
    sdk = Caller("application/json", is_openai_sdk=True)
    for request in [*NEAR, "POST /api/v3/chat/completions"]:
        method, _, target = request.partition(" ")
        upstream = provider.requestheaders(Head(method, target, sdk))
        if isinstance(upstream, NeedsBody):
            upstream = rewritten(upstream, b"{}")._replace(body=None)
        assert (upstream.method, upstream.target, upstream.body) == (method, target, None)


def test_azures_query_is_sent_on_to_a_host_that_speaks_openais_api() -> None:
    assert _route(_openai(), "POST /openai/v1/videos?api-version=1").target == "/v1/videos?api-version=1"


def test_an_api_that_openai_does_not_have_is_refused() -> None:
    with pytest.raises(Refusal, match=r"^openai has no /v1/complete\. It has: /v1/chat/completions, ") as caught:
        _route(_openai(), "POST /v1/complete")

    assert caught.value.status == 404


def test_an_api_can_be_added_and_another_path_given() -> None:
    paths = {"anthropic/v1/messages": "/anthropic/v1/messages", "openai/v1/retrievefile": "/files?id={file_id}"}
    provider = _openai(capabilities=paths)

    assert _route(provider, "POST /v1/messages").target == "/anthropic/v1/messages"
    assert _route(provider, "GET /v1/files/f-1?a=1").target == "/files?id=f-1&a=1"


@pytest.mark.parametrize(
    "target", ["/v1/files/", "/v1/files/a%2Fb/content", "/v1/fine_tuning/checkpoints//permissions"]
)
def test_bad_ids_are_refused_on_every_path(target: str) -> None:
    with pytest.raises(Refusal) as caught:
        _route(_openai(), f"GET {target}")

    assert caught.value.code == "invalid_path"


@table(
    ("mapping", "request_line", "content_type", "is_read"),
    [
        (MAPPING, "POST /v1/chat/completions", "application/json", True),
        (MAPPING, "POST /v1/embeddings", "application/json; charset=utf-8", True),
        (MAPPING, "POST /v1/videos", "application/vnd.api+json", True),
        (MAPPING, "POST /v1/chat/completions", "", True),
        (MAPPING, "POST /v1/chat/completions", "text/plain", True),
        (MAPPING, "POST /v1/chat/completions", "text/html", False),
        (MAPPING, "POST /v1/audio/transcriptions", "multipart/form-data; boundary=x", True),
        (MAPPING, "POST /v1/images/edits", "Multipart/Form-Data; boundary=x", True),
        (MAPPING, "POST /v1/files", "multipart/form-data; boundary=x", False),
        (MAPPING, "GET /v1/models", "application/json", False),
        (NOTHING, "POST /v1/audio/transcriptions", "multipart/form-data; boundary=x", False),
        (NOTHING, "POST /v1/embeddings", "application/json", False),
        # For the counts of tokens.
        (NOTHING, "POST /v1/chat/completions", "application/json", True),
        (NOTHING, "POST /v1/completions", "", True),
    ],
)
def test_a_body_is_read_only_where_something_in_it_may_change(
    mapping: ModelMapping, request_line: str, content_type: str, is_read: bool
) -> None:
    begun = _begin(_openai(model_mapping=mapping), request_line, content_type)

    assert isinstance(begun, NeedsBody) is is_read


@table(
    ("body", "sent"),
    [
        ('{ "model" : "gpt-4", "temperature":0.0 }', '{ "model" : "gpt-5", "temperature":0.0 }'),
        ('{"input":[1,2],"m\\u006fdel":"gpt-4"}', '{"input":[1,2],"m\\u006fdel":"gpt-5"}'),
        ('{"model":"gpt\\u002d5"}', '{"model":"gpt\\u002d5"}'),
        ('{"model":"o\\u0033"}', '{"model":"o\\u0033"}'),
        ('{"model_name":"gpt-4","image":1}', '{"model_name":"gpt-4","image":1}'),
        ('{"metadata":{"model":"gpt-4"}, "n":1e400}', '{"metadata":{"model":"gpt-4"}, "n":1e400}'),
    ],
)
def test_only_the_model_of_a_body_changes(body: str, sent: str) -> None:
    upstream = _mapped(_openai(model_mapping=MAPPING), "POST /v1/chat/completions", body.encode())

    assert upstream.body == sent.encode()
    assert (upstream.method, upstream.target, upstream.fields) == ("POST", "/v1/chat/completions", {})


def test_a_byte_order_mark_is_left_out_before_a_model_is_mapped() -> None:
    for body in (b'{"model":"gpt-4", "n":1.0}', b'{"model":"x", "n":1.0}', b"{}"):
        plain = _mapped(_openai(model_mapping=MAPPING), "POST /v1/chat/completions", body)
        assert _mapped(_openai(model_mapping=MAPPING), "POST /v1/chat/completions", b"\xef\xbb\xbf" + body) == plain


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "utf-32-le"])
def test_json_in_another_encoding_is_refused_by_its_name(encoding: str) -> None:
    with pytest.raises(Refusal, match=f"is {encoding[:6].upper()}, by its first bytes; JSON is sent in UTF-8"):
        _mapped(_openai(model_mapping=MAPPING), "POST /v1/chat/completions", '{"model":"gpt-4"}'.encode(encoding))


def test_a_mapped_model_is_noted_with_its_pattern() -> None:
    upstream = _mapped(_openai(model_mapping=MAPPING), "POST /v1/responses", b'{"model":"gpt-4"}')

    assert upstream.notes == (
        "sent to https://api.openai.com: openai/v1/responses of openai",
        'model gpt-4 mapped to gpt-5 by modelMapping "gpt-*"',
    )


@pytest.mark.parametrize("body", [b"[]", b"x", b'{"model":1}', b'{"model":"a","model":"b"}'])
def test_a_body_whose_model_cannot_be_told_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        _mapped(_openai(model_mapping=MAPPING), "POST /v1/chat/completions", body)

    assert (caught.value.status, caught.value.code) == (400, "invalid_body")


def test_an_answer_is_not_changed() -> None:
    provider = _openai(model_mapping=MAPPING)
    sent = _mapped(provider, "POST /v1/videos", b'{"model":"gpt-4"}')

    assert {provider.responseheaders(sent, status, ()) for status in (200, 404, 500)} == {Pass()}


@table(
    ("headers", "expected"),
    [
        ({"authorization": "Bearer a"}, "Bearer a"),
        ({"authorization": "a"}, "Bearer a"),
        ({"x-api-key": "a"}, "Bearer a"),
        ({"x-authorization": "Bearer a"}, "Bearer a"),
        ({"authorization": "Bearer c", "x-authorization": "b", "x-api-key": "a"}, "Bearer a"),
        ({"authorization": "Bearer c", "x-authorization": "b"}, "Bearer b"),
        ({"api-key": "a"}, None),
        ({}, None),
    ],
)
def test_without_a_token_openai_sends_the_clients_own_key(headers: dict[str, str], expected: str | None) -> None:
    assert not _openai().has_credential
    fields = tuple((name.title().encode(), value.encode()) for name, value in headers.items())
    assert _authorization(_openai(), fields) == expected


@pytest.mark.parametrize("provider", [_openai(api_tokens=TOKEN), _generic(api_tokens=TOKEN)], ids=["openai", "generic"])
def test_with_a_token_no_key_of_the_client_travels_on(provider: Provider) -> None:
    assert provider.has_credential
    assert _authorization(provider, CLIENTS_KEYS) == "Bearer token"


def test_without_a_token_generic_leaves_the_clients_headers_as_they_are() -> None:
    assert not _generic().has_credential
    assert _authorization(_generic(), CLIENTS_KEYS) is None


@table("target", ["/v1/chat/completions?x=1&x=1", "/v1/videos/", "/v1/messages", "/"])
@table("protocol", ["openai", "original"])
def test_generic_passes_every_path_and_body(target: str, protocol: str) -> None:
    provider = _generic(protocol=protocol, provider_base_path="/v9", base_path="/proxy", model_mapping=MAPPING)
    upstream = _route(provider, f"POST /proxy{target}")

    assert (upstream.target, upstream.origin, upstream.memo) == (f"/v9{target}", HOST, {})
    holds_small = protocol != "original"
    assert (upstream.holds_small, provider.responseheaders(upstream, 200, ())) == (holds_small, Pass(holds_small))


def test_generic_refuses_a_path_that_could_leave_the_base_path() -> None:
    with pytest.raises(Refusal):
        _route(_generic(provider_base_path="/v9"), "GET /a/../../b")


@table(
    ("block", "kind", "origin"),
    [
        ("type: kling, apiTokens: t", Kling, "https://api-singapore.klingai.com"),
        ("type: openai", OpenAI, "https://api.openai.com"),
        ("type: openai, providerDomain: 'https://[::1]:8443'", OpenAI, "https://[::1]:8443"),
        ("type: generic, genericHost: a.test", Generic, "https://a.test"),
        ("type: generic, providerDomain: 'http://b.test:80'", Generic, "http://b.test"),
        ("type: generic, genericHost: a.test, providerDomain: b.test", Generic, "https://b.test"),
    ],
)
def test_a_type_becomes_a_provider_at_its_host_or_the_one_it_is_given(
    block: str, kind: type[Provider], origin: str
) -> None:
    provider = _use(f"provider: {{{block}}}")

    assert type(provider) is kind
    assert str(provider.origin) == origin


@pytest.mark.parametrize(
    ("domain", "hosts", "taken", "left"),
    [
        (
            "p.test",
            "",
            [("api.openai.com", 80), ("API.openai.com", 1), ("p.test", 443), ("P.test", 8443)],
            [("x.p.test", 443)],
        ),
        ("https://p.test:8443", "", [("p.test", 8443), ("api.openai.com", 443)], [("p.test", 443)]),
        ("http://p.test", "", [("p.test", 80), ("p.test", 443)], [("other.test", 80)]),
        ("p.test", "hosts: ['a.test:81', b.test]", [("a.test", 81), ("b.test", 1)], [("a.test", 80), ("p.test", 443)]),
        ("p.test", "hosts: []", [], [("api.openai.com", 443), ("p.test", 443)]),
    ],
)
def test_the_hosts_that_are_taken_are_the_listed_ones_or_openais_and_the_providers(
    domain: str, hosts: str, taken: list[tuple[str, int]], left: list[tuple[str, int]]
) -> None:
    configuration = registry.read(f"provider: {{type: openai, providerDomain: '{domain}'}}\n{hosts}", {})
    patterns = registry.hosts(configuration, registry.provider(configuration))

    assert [address for address in taken + left if any(one.matches(*address) for one in patterns)] == taken


def test_a_file_is_loaded_with_an_environment_and_a_clock(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("provider: {type: kling, apiTokens: ['${TOKEN}']}")
    provider = registry.provider(registry.read(path, {"TOKEN": "token"}), lambda: 7.0)

    assert (_authorization(provider), provider.clock()) == ("Bearer token", 7.0)


def test_a_file_that_is_wrong_is_not_used(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        registry.read(tmp_path / "absent.yaml", {})


@pytest.mark.parametrize("send", [None, True, False])
def test_one_provider_gets_the_clients_key_unless_it_says_no(send: bool | None) -> None:
    headers = ((b"Authorization", b"Bearer client"),)
    provider = _openai(send_client_key=send)
    assert _authorization(provider, headers) == (None if send is False else "Bearer client")
    assert provider.withholds_credential is (send is False)
    assert bool(provider.remarks) is (send is False)


@pytest.mark.parametrize("send", ["true", "false"])
def test_the_clients_key_is_none_beside_tokens(send: str) -> None:
    with pytest.raises(ConfigurationError, match="sendClientKey: has no effect beside a key"):
        registry.read(f"provider: {{type: openai, apiTokens: [a], sendClientKey: {send}}}", {})
