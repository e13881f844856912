"""What changes in the bodies of requests to a type of the table, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from mitm_ai_proxy import pipeline, registry
from mitm_ai_proxy.auth import consumers
from mitm_ai_proxy.chat import callers
from mitm_ai_proxy.config.file import ConfigurationError
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import Caller, Head, NeedsBody, Upstream
from mitm_ai_proxy.pipeline import Outgoing
from mitm_ai_proxy.providers.base import Provider
from tests.providers.chats import configuration_of
from tests.tables import table
from tests.upstream_of import requested
from tests.zstd import zstd

CHAT = "/v1/chat/completions"
JSON = "application/json"
MAPPING = "modelMapping: {a: b/c, '*': ''}"


def _provider(block: str) -> Provider:
    tokens = "" if "apiTokens" in block else "apiTokens: [token], "
    return registry.provider(configuration_of(f"provider: {{{tokens}type: {block}}}"), lambda: 0.0)


def _sent(
    provider: Provider,
    body: bytes = b"",
    target: str = CHAT,
    content_type: str = JSON,
    method: str = "POST",
    **fields: Any,
) -> Outgoing:
    """The request as it is sent."""
    lines = {"Host": "proxy", **({"Content-Type": content_type} if content_type else {}), **fields}
    pairs = tuple((name.replace("_", "-").encode(), value.encode()) for name, value in lines.items())
    head = Head(method, target, callers.read(target, pairs), pairs)
    upstream = pipeline.requestheaders(provider, head)
    if isinstance(upstream, NeedsBody):
        upstream = requested(upstream, head, body)
    return pipeline.outgoing(provider, head, upstream, raw=body)


def _body(block: str, body: bytes, target: str = CHAT, content_type: str = JSON) -> bytes:
    sent = _sent(_provider(block), body, target, content_type).body
    return body if sent is None else sent


@table(
    ("block", "target", "before", "after"),
    [
        # The counts of tokens, only where a stream is asked for.
        ("groq", CHAT, b'{"stream":true}', b'{"stream":true,"stream_options":{"include_usage":true}}'),
        ("openai", "/v1/completions", b'{"stream":true}', b'{"stream":true,"stream_options":{"include_usage":true}}'),
        ("groq", CHAT, b'{"str\\u0065am":true}', b'{"str\\u0065am":true,"stream_options":{"include_usage":true}}'),
        (
            "groq",
            CHAT,
            b'{"stream_options": null, "stream":true}',
            b'{"stream_options": {"include_usage":true}, "stream":true}',
        ),
        (
            "groq",
            CHAT,
            b'{"stream":true,"stream_options":{"x":1}}',
            b'{"stream":true,"stream_options":{"x":1,"include_usage":true}}',
        ),
        ("groq", CHAT, b'{"stream":true,"stream_options":{"include_usage":false}}', None),
        ("groq", CHAT, b'{"stream":true,"stream_options":[]}', None),
        ("groq", CHAT, b'{"stream":false}', None),
        ("groq", CHAT, b'{"stream":"true"}', None),
        ("groq", CHAT, b'{"metadata":{"stream":true}}', None),
        ("groq", "/v1/responses", b'{"stream":true}', None),
        ("groq, disableStreamUsageStats: true", CHAT, b'{"stream":true}', None),
        ("generic, genericHost: h", CHAT, b'{"stream":true}', None),
        ("groq, protocol: original", CHAT, b'{"stream":true}', None),
        # The role that only OpenAI knows.
        (
            "groq",
            CHAT,
            b'{"messages":[{"role": "developer","content":"developer"},{"role":"user"},{"role":"developer"}]}',
            b'{"messages":[{"role": "system","content":"developer"},{"role":"user"},{"role":"system"}]}',
        ),
        ("groq", CHAT, b'{"messages":[{"role":"user","content":"\\"developer\\""}], "n":1.50}', None),
        ("groq", CHAT, b'{"messages":"developer"}', None),
        ("openai", CHAT, b'{"messages":[{"role":"developer"}]}', None),
        # The model, in JSON with or without a Content-Type, and nothing else.
        (f"groq, {MAPPING}", CHAT, b'{ "model" : "a", "n":1e400 }', b'{ "model" : "b/c", "n":1e400 }'),
        (f"groq, {MAPPING}", CHAT, b'{"content":null,"x":12345678901234567890}', None),
        (f"ollama, {MAPPING}", "/v1/embeddings", b'{"model":"a"}', b'{"model":"b/c"}'),
        (f"vllm, vllmServerHost: h, {MAPPING}", "/v1/rerank", b'{"model":"a"}', b'{"model":"b/c"}'),
        (f"deepseek, {MAPPING}", "/v1/messages", b'{"model":"a","stream":true}', b'{"model":"b/c","stream":true}'),
        (f"generic, genericHost: h, {MAPPING}", CHAT, b'{"model":"a"}', None),
        # All at once.
        (
            f"groq, {MAPPING}, customSettings: {{name: seed, value: 7}}",
            CHAT,
            b'{"stream":true, "model":"a","messages":[{"role":"developer"}]}',
            b'{"stream":true, "model":"b/c","messages":[{"role":"system"}],"seed":7,'
            b'"stream_options":{"include_usage":true}}',
        ),
        # A schema for the answer.
        (
            "openai, responseJsonSchema: {type: json_schema, json_schema: {name: é}}",
            CHAT,
            b'{"response_format":1}',
            '{"response_format":{"type":"json_schema","json_schema":{"name":"é"}}}'.encode(),
        ),
        (
            "longcat, responseJsonSchema: {type: json_object}",
            CHAT,
            b"{}",
            b'{"response_format":{"type":"json_object"}}',
        ),
        ("longcat, responseJsonSchema: {type: json_object}", "/v1/embeddings", b"{}", None),
        ("groq, responseJsonSchema: {type: json_object}", CHAT, b"{}", None),
    ],
)
def test_a_body_is_edited_in_place(block: str, target: str, before: bytes, after: bytes | None) -> None:
    assert _body(block, before, target) == (before if after is None else after)


@table(
    ("settings", "before", "after"),
    [
        ("[{name: max_tokens, value: 5}]", b'{"max_tokens":1.0}', b'{"max_tokens":5}'),
        ("[{name: max_tokens, value: 5, overwrite: false}]", b'{"max_tokens":null}', b'{"max_tokens":null}'),
        ("[{name: max_tokens, value: 5, overwrite: false}]", b"{}", b'{"max_tokens":5}'),
        ("[{name: top_k, value: 5, mode: raw}]", b"{}", b'{"top_k":5}'),
        (
            "[{name: a.b, value: [1, x], mode: raw}, {name: a.c, value: {d: null}, mode: raw}]",
            b'{"a":{"b":0}}',
            b'{"a":{"b":[1,"x"],"c":{"d":null}}}',
        ),
        (
            "[{name: messages.0.role, value: system, mode: raw}]",
            b'{"messages":[{"role":"user"}]}',
            b'{"messages":[{"role":"system"}]}',
        ),
        ("[{name: 'a\\.b', value: true, mode: raw}]", b"{}", b'{"a.b":true}'),
        (
            "[{name: temperature, value: 0.10}, {name: temperature, value: '1', overwrite: false}]",
            b"{}",
            b'{"temperature":0.1}',
        ),
        ("[{name: stream, value: true, mode: raw}]", b"{}", b'{"stream":true,"stream_options":{"include_usage":true}}'),
        ("[{name: model, value: a, mode: raw}]", b'{"model":"x"}', b'{"model":"b/c"}'),
    ],
)
def test_settings_are_made_before_everything_else(settings: str, before: bytes, after: bytes) -> None:
    assert _body(f"groq, {MAPPING}, customSettings: {settings}", before) == after
    if b"stream" not in after + before and b"model" not in before:
        assert _body(f"generic, genericHost: h, customSettings: {settings}", before, "/any/path") == after


@table(
    ("block", "problem"),
    [
        (
            "groq, customSettings: {name: top_k, value: 1}",
            "[0].name: OpenAI's API has no top_k; mode: raw sends it all the same",
        ),
        (
            "groq, customSettings: [{name: seed, value: 1}, {name: n, value: 1}]",
            "[1].name: mode auto has no such name (known: max_tokens, temperature, top_p, top_k, seed);",
        ),
        ("groq, customSettings: {name: seed}", "[0].value: is missing"),
        ("groq, customSettings: {value: 1}", "[0].name: mode auto has no such name"),
        (
            "groq, customSettings: {name: 'a..b', value: 1, mode: raw}",
            "[0].name: expected names with dots between them",
        ),
        (
            "groq, customSettings: {name: seed, value: 1, mod: raw}",
            "[0].mod: unknown key (known: name, value, mode, overwrite)",
        ),
        ("groq, customSettings: {name: seed, value: 1, mode: x}", "[0].mode: unknown value (known: auto, raw)"),
        ("groq, customSettings: {name: seed, value: .inf}", "[0].value: is no value that JSON has"),
        ("groq, customSettings: [x]", "[0]: expected a mapping with name and value"),
    ],
)
def test_a_setting_without_an_effect_is_refused(block: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _provider(block)
    (found,) = caught.value.problems

    assert str(found).startswith(f"provider.customSettings{problem}")


@table(
    ("type", "extra"),
    [
        ("groq", ""),
        ("claude", ""),
        ("gemini", ""),
        ("bedrock", ", awsRegion: us-east-1"),
        ("qwen", ""),
        ("generic", ", genericHost: h"),
    ],
)
def test_under_original_no_settings_are_made_which_is_said(type: str, extra: str) -> None:
    settings = "[{name: top_k, value: 1}, {name: a, value: 1, mode: raw}]"
    block = f"provider: {{type: {type}, apiTokens: t{extra}, protocol: original, customSettings: {settings}}}"
    configuration = registry.read(block, {})
    head = Head("POST", "/v1/chat/completions", Caller("application/json"))

    assert isinstance(registry.provider(configuration).requestheaders(head), Upstream)
    assert registry.warnings(configuration) == [
        "provider.customSettings has no effect with protocol: original: bodies are sent as they are"
    ]


def _form(*fields: tuple[str, str]) -> bytes:
    parts = "".join(f'--X\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n' for name, text in fields)
    return f"{parts}--X--\r\n".encode()


@table("api", ["images/edits", "images/variations", "audio/transcriptions", "audio/translations", "videos"])
def test_the_model_of_a_form_is_mapped_in_place(api: str) -> None:
    def sent(mapping: str, body: bytes) -> bytes:
        return _body(f"openai, modelMapping: {mapping}", body, f"/v1/{api}", "multipart/form-data; boundary=X")

    before, after = _form(("model", "a"), ("file", "--X\n")), _form(("model", "b"), ("file", "--X\n"))
    assert sent("{a: b}", before) == after
    assert sent("{z: b}", before) == before
    assert sent("{a: b}", _form(("model", " a "))) == _form(("model", "b"))
    assert sent("{'*': b}", _form(("n", "1"))) == _form(("n", "1"), ("model", "b"))
    assert sent("{'*': ''}", _form(("n", "1"))) == _form(("n", "1"))
    with pytest.raises(Refusal, match="no whole form"):
        sent("{a: b}", b"{}")


@table(
    ("block", "before", "after"),
    [
        (f"openai, {MAPPING}", b'{"model": "a", "input": "b\\/"}', b'{"model": "b/c", "input": "b\\/"}'),
        (f"openai, {MAPPING}", b'{"input":"a"}', None),
        ("openai, modelMapping: {'*': b}", b'{"input":"a"}', None),
        (f"openai, {MAPPING}", b'{"model":null}', None),
        (f"openai, {MAPPING}", b'{"model":{"name":"a"}}', None),
        (f"openai, {MAPPING}", b'["model"]', None),
        (f"openai, {MAPPING}", b"{broken", None),
        (f"openai, {MAPPING}", b"", None),
        ("openai", b'{"model":"a"}', None),
        ("kilocode", b'{"model":"kilocode/a"}', b'{"model":"a"}'),
        ("kilocode, modelMapping: {x: kilocode/y}", b'{"model":"x"}', b'{"model":"y"}'),
        (f"generic, genericHost: h, {MAPPING}", b'{"model":"a"}', None),
        (f"openai, protocol: original, {MAPPING}", b'{"model":"a"}', None),
        (
            f"azure, azureServiceUrl: 'https://a.test/own?api-version=1', {MAPPING}",
            b'{"model":"a"}',
            b'{"model":"b/c"}',
        ),
    ],
)
@table("target", ["/v1/moderations", "/v1/responses/compact", "/v1/new/thing", "/own"])
@table("content_type", [JSON, "", "text/plain"])
def test_a_model_is_mapped_where_the_path_is_no_api(
    block: str, before: bytes, after: bytes | None, target: str, content_type: str
) -> None:
    assert _body(block, before, target, content_type) == (before if after is None else after)


@table(
    ("before", "after"),
    [
        (_form(("model", "a"), ("file", "--X\n")), _form(("model", "b/c"), ("file", "--X\n"))),
        (_form(("n", "1")), None),
        (b"no form", None),
    ],
)
@table("length", ["", "100", "67108865"])
def test_the_model_of_a_form_is_mapped_where_the_path_is_no_api_and_it_is_no_long_upload(
    before: bytes, after: bytes | None, length: str
) -> None:
    provider = _provider(f"openai, {MAPPING}")
    fields = {"Content_Length": length} if length else {}
    sent = _sent(provider, before, "/v1/new/forms", "multipart/form-data; boundary=X", **fields).body
    assert sent == (after if length == "100" else None)


def test_a_body_of_no_api_is_sent_with_the_key_of_its_consumer() -> None:
    provider = _provider(f"openai, apiTokens: [one, two, three], {MAPPING}")
    consumer = {consumers.FIELD.decode(): "me"}
    keys = {
        dict(_sent(provider, b'{"model":"a"}', path, **consumer).fields)[b"Authorization"]
        for path in ("/v1/responses", "/v1/responses/compact", "/v1/threads/x")
        for _ in range(8)
    }
    assert len(keys) == 1


def test_the_model_in_the_query_of_realtime_is_mapped() -> None:
    provider = _provider(f"openai, {MAPPING}")

    def target(query: str) -> str:
        return _sent(provider, target=f"/v1/realtime{query}", content_type="", method="GET").target

    assert target("?x=1&&model=a&x=1") == "/v1/realtime?x=1&&model=b%2Fc&x=1"
    assert target("?model=gpt%2D4") == "/v1/realtime?model=gpt%2D4"
    assert target("") == "/v1/realtime"


@table(
    ("target", "content_type", "body"),
    [
        ("/v1/batches/b-1/cancel", JSON, b""),
        (CHAT, JSON, b" \n"),
        (CHAT, "", b"no JSON"),
        (CHAT, "text/plain", b'["model"]'),
        (CHAT, "application/x-ndjson", b'{"model":"a"}'),
        ("/v1/files", "multipart/form-data; boundary=X", b"anything"),
    ],
)
def test_what_has_no_model_passes(target: str, content_type: str, body: bytes) -> None:
    assert _body(f"openai, {MAPPING}", body, target, content_type) == body


@table("content_type", ["", "text/plain", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded"])
def test_json_under_what_clients_write_over_it_is_json(content_type: str) -> None:
    assert _body(f"openai, {MAPPING}", b' {"model":"a"}', content_type=content_type) == b' {"model":"b/c"}'
    assert _body(f"openai, {MAPPING}", b'model="a"', content_type=content_type) == b'model="a"'


def test_a_zstd_body_is_read() -> None:
    outgoing = _sent(_provider(f"kilocode, {MAPPING}"), zstd(b'{"model":"a"}'), Content_Encoding="zstd")

    assert outgoing.body == b'{"model":"b/c"}'
    assert all(name.lower() != b"content-encoding" for name, _ in outgoing.fields)


@table(
    ("block", "target", "is_held"),
    [
        # Call ids may carry what is for another vendor.
        ("openai, disableStreamUsageStats: true", CHAT, True),
        ("vllm, vllmServerHost: h", "/v1/messages", True),
        ("openai", CHAT, True),
        ("openai", "/v1/responses", False),
        ("openai", "/v1/embeddings", False),
        # A developer may be in it.
        ("groq, disableStreamUsageStats: true", CHAT, True),
        (f"openai, {MAPPING}", "/v1/embeddings", True),
        ("openai, customSettings: {name: seed, value: 1}", "/v1/embeddings", True),
        (f"openai, protocol: original, {MAPPING}", CHAT, False),
    ],
)
def test_a_body_is_held_only_where_an_edit_may_apply(block: str, target: str, is_held: bool) -> None:
    found = _provider(block).requestheaders(
        Head("POST", target, callers.read(target, ((b"Content-Type", b"application/json"),)))
    )

    assert isinstance(found, NeedsBody) is is_held


@table("query", ["a=1&a=1&&b=", "include[]=a&include%5B%5D=b&", "&", "x=%2f"])
def test_the_clients_query_stays_to_the_byte(query: str) -> None:
    for target, sent in [("/v1/files", "/openai/v1/files"), ("/v1/threads", "/openai/v1/threads")]:
        assert _sent(_provider("groq"), target=f"{target}?{query}", method="GET").target == f"{sent}?{query}"


def test_no_credential_of_a_client_goes_along_with_ours() -> None:
    fields: dict[str, Any] = dict.fromkeys(
        "Authorization Proxy-Authorization X-Api-Key Api-Key X-Goog-Api-Key X-Authorization Cookie OpenAI-Organization"
        " OpenAI-Project X-Mse-Consumer".split(),
        "SECRET",
    )
    for block in ("openai", "ai360", "kilocode", "groq, protocol: original"):
        outgoing = _sent(_provider(block), target=f"{CHAT}?api_key=SECRET&a=1&&api%2Dkey=SECRET&key=SECRET", **fields)
        assert "SECRET" not in str(outgoing)
        assert outgoing.target.endswith("chat/completions?a=1&")
        assert [value for name, value in outgoing.fields if name == b"Authorization"] == [
            b"token" if block == "ai360" else b"Bearer token"
        ]
    outgoing = _sent(
        registry.provider(registry.read("provider: {type: openai}", {})), target=f"{CHAT}?key=mine", **fields
    )
    assert outgoing.target == f"{CHAT}?key=mine"
    assert (b"OpenAI-Organization", b"SECRET") in outgoing.fields


@table(
    ("consumer", "places"),
    [("consumer1", (0, 1, 3)), ("consumer-alice", (0, 1, 0)), ("consumer-alpha", (0, 0, 3)), ("", (1, 1, 1))],
)
def test_the_place_of_a_consumer_is_that_of_the_plugin(consumer: str, places: tuple[int, ...]) -> None:
    assert tuple(consumers.place(consumer.encode(), count) for count in (2, 3, 5)) == places


@table(
    ("line", "is_stateful"),
    [
        ("POST /v1/responses", True),
        ("GET /v1/responses/r/input_items", True),
        ("GET /v1/files/f/content", True),
        ("POST /v1/batches/b/cancel", True),
        ("POST /v1/fine_tuning/jobs/j/resume", True),
        ("POST /v1/vector_stores/v/files", True),
        ("POST /v1/conversations", True),
        ("POST /v1/fine_tuning/jobs/j/pause", False),
        ("POST /v1/chat/completions", False),
        ("POST /v1/embeddings", False),
    ],
)
def test_a_consumer_keeps_its_key_for_what_a_key_has_made(line: str, is_stateful: bool) -> None:
    tokens = [f"token-{number}" for number in range(5)]
    method, _, target = line.partition(" ")
    for protocol in ("openai", "original"):
        provider = _provider(f"openai, protocol: {protocol}, apiTokens: {tokens}")
        used = {
            value
            for _ in range(60)
            for name, value in _sent(provider, b"{}", target, method=method, X_Mse_Consumer="consumer1").fields
            if name == b"Authorization"
        }
        assert used == {b"Bearer token-3"} if is_stateful else len(used) > 1
        # Without a consumer, any of them.
        assert len({_sent(provider, b"{}", target, method=method).fields for _ in range(60)}) > 1
