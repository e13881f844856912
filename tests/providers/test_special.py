"""Types that are more than a row: Azure's URLs, URLs of one API, Kilo Gateway, OpenRouter."""

from __future__ import annotations

from typing import Any

import pytest

from mitm_ai_proxy import pipeline, registry
from mitm_ai_proxy.chat import callers
from mitm_ai_proxy.config.file import ConfigurationError
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import Head, NeedsBody
from mitm_ai_proxy.pipeline import Outgoing
from mitm_ai_proxy.providers.base import Provider
from tests.providers.chats import configuration_of
from tests.tables import table
from tests.upstream_of import requested

CHAT = "/v1/chat/completions"
FORM = "multipart/form-data; boundary=X"


def _provider(block: str) -> Provider:
    return registry.provider(configuration_of(f"provider: {{apiTokens: [token], type: {block}}}"), lambda: 0.0)


def _sent(provider: Provider, line: str, body: bytes = b"", content_type: str = "application/json") -> Outgoing:
    method, _, target = line.partition(" ")
    fields = ((b"Content-Type", content_type.encode()),) if method == "POST" else ()
    head = Head(method, target, callers.read(target, fields), fields)
    found = pipeline.requestheaders(provider, head)
    upstream = requested(found, head, body) if isinstance(found, NeedsBody) else found
    return pipeline.outgoing(provider, head, upstream, raw=body)


def _url(outgoing: Outgoing) -> str:
    return f"{outgoing.upstream.origin}{outgoing.target}"


def _azure(url: str, keys: str = "") -> Provider:
    return _provider(f"azure, azureServiceUrl: '{url}', modelMapping: {{gpt-4: my-gpt.4, bad: 'a/b'}}{keys}")


HOST = "https://r.openai.azure.com"
DEP = "/openai/deployments/DEP"
DATED = "?api-version=2024-10-21"


@table(
    ("service", "line", "url"),
    [
        # The newer base: every path below /v1.
        ("/openai/v1", f"POST {CHAT}?a=1&a=1", "/openai/v1/chat/completions?a=1&a=1"),
        ("/openai//v1/", "GET /v1/threads/t", "/openai/v1/threads/t"),
        ("/openai/v1?api-version=preview", "GET /v1/models?a", "/openai/v1/models?a&api-version=preview"),
        ("/openai/v1", "GET /v1/realtime?model=gpt-4", "/openai/v1/realtime?model=my-gpt.4"),
        ("/openai/v1", "GET /openai/v1/vector_stores", "/openai/v1/vector_stores"),
        # The resource: the model is the deployment.
        (DATED, f"POST {CHAT}", f"/openai/deployments/my-gpt.4/chat/completions{DATED}"),
        (f"/{DATED}", "POST /v1/embeddings?a=1", "/openai/deployments/my-gpt.4/embeddings?a=1&api-version=2024-10-21"),
        (DATED, "GET /v1/files?limit=10", "/openai/files?limit=10&api-version=2024-10-21"),
        (DATED, "GET /v1/files?", f"/openai/files{DATED}"),
        (DATED, "GET /v1/files/f-1/content?api-version=1&b", "/openai/files/f-1/content?b&api-version=2024-10-21"),
        (DATED, "POST /v1/responses", f"/openai/responses{DATED}"),
        (DATED, "POST /v1/batches/b/cancel", f"/openai/batches/b/cancel{DATED}"),
        (DATED, "POST /v1/fine_tuning/jobs", f"/openai/fine_tuning/jobs{DATED}"),
        (DATED, "GET /v1/threads/t?x", "/openai/threads/t?x&api-version=2024-10-21"),
        (DATED, "GET /v1/realtime?model=gpt-4&x=1", "/openai/realtime?x=1&deployment=my-gpt.4&api-version=2024-10-21"),
        # A deployment: never the model of the request.
        (f"{DEP}{DATED}", f"POST {CHAT}", f"{DEP}/chat/completions{DATED}"),
        (f"{DEP}{DATED}", "GET /v1/models", f"/openai/models{DATED}"),
        (
            f"{DEP}{DATED}",
            "GET /v1/realtime",
            "/openai/realtime?deployment=DEP&api-version=2024-10-21",
        ),
        # One path.
        ("/openai/v1/chat/completions", f"POST {CHAT}?a=1", "/openai/v1/chat/completions"),
        (
            f"{DEP}/chat/completions{DATED}",
            f"POST {CHAT}",
            f"{DEP}/chat/completions{DATED}",
        ),
        (f"/my/path{DATED}", "POST /v1/embeddings", f"/my/path{DATED}"),
        (f"/my/path{DATED}", "GET /v1/threads", f"/my/path{DATED}"),
    ],
)
def test_azures_url_says_where_a_request_goes(service: str, line: str, url: str) -> None:
    outgoing = _sent(_azure(HOST + service), line, b'{"model":"gpt-4"}')

    assert _url(outgoing) == HOST + url
    credentials = [field for field in outgoing.fields if field[0].lower() in (b"api-key", b"authorization")]
    assert credentials == [(b"Api-Key", b"token")]
    if "/embeddings" in line or "/chat" in line:
        assert outgoing.body == b'{"model":"my-gpt.4"}'


def test_a_form_names_the_deployment_too() -> None:
    body = b'--X\r\nContent-Disposition: form-data; name="model"\r\n\r\n%b\r\n--X--\r\n'
    outgoing = _sent(_azure(HOST + DATED), "POST /v1/images/edits", body % b"gpt-4", FORM)

    assert outgoing.target == f"/openai/deployments/my-gpt.4/images/edits{DATED}"
    assert outgoing.body == body % b"my-gpt.4"


@table(
    ("line", "body", "says"),
    [
        (f"POST {CHAT}", b"{}", "has no model, which names the deployment"),
        (f"POST {CHAT}", b"", "has no model"),
        (f"GET {CHAT}", b"", "has no model"),
        ("GET /v1/realtime", b"", "has no model"),
        (f"POST {CHAT}", b'{"model":null}', "model is not a string"),
        (f"POST {CHAT}", b'{"model":"bad"}', "no name of a deployment"),
        (f"POST {CHAT}", b'{"model":".."}', "no name of a deployment"),
        (f"POST {CHAT}", b'{"model":"a?b"}', "no name of a deployment"),
    ],
)
def test_a_model_that_is_no_deployment_is_refused(line: str, body: bytes, says: str) -> None:
    with pytest.raises(Refusal, match=says) as caught:
        _sent(_azure(HOST + DATED), line, body)

    assert caught.value.status == 400


def test_azures_own_sdk_passes_as_it_is() -> None:
    provider = _azure(HOST + DATED, ", protocol: original")
    outgoing = _sent(provider, "POST /openai/deployments/x/chat/completions?api-version=1", b"{}")

    assert _url(outgoing) == f"{HOST}/openai/deployments/x/chat/completions?api-version=1"
    assert (b"Api-Key", b"token") in outgoing.fields


def test_a_token_of_entra_is_a_bearer() -> None:
    block = f"azure, azureServiceUrl: '{HOST}/openai/v1', apiTokens: [eyJhbGciOi.eyJzdWIi.sig-_]"
    provider = registry.provider(registry.read(f"provider: {{type: {block}}}", {}), lambda: 0.0)

    assert _sent(provider, "GET /v1/models").fields[-1] == (b"Authorization", b"Bearer eyJhbGciOi.eyJzdWIi.sig-_")


@table(
    ("block", "problem"),
    [
        ("azure", "azureServiceUrl: is missing; give azureServiceUrl, baseUrl or providerDomain"),
        (f"azure, azureServiceUrl: '{HOST}'", "azureServiceUrl: has no api-version in its query"),
        (f"azure, azureServiceUrl: '{HOST}/openai/v10'", "azureServiceUrl: has no api-version in its query"),
        (f"azure, azureServiceUrl: '{HOST}/openai/v1', baseUrl: a", "baseUrl: stands beside azureServiceUrl"),
        ("openai, openaiCustomUrl: a, baseUrl: b", "baseUrl: stands beside openaiCustomUrl"),
        ("kilocode, cacheControlTtl: 2h", "cacheControlTtl: unknown value '2h' (known: 5m, 1h)"),
        ("groq, defaultModel: a", "defaultModel: unknown key"),
    ],
)
def test_what_the_keys_lack_is_said(block: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _provider(block)

    (found,) = caught.value.problems
    assert str(found).startswith(f"provider.{problem}")


@table(
    ("block", "line", "url"),
    [
        ("openai, openaiCustomUrl: h.test", f"POST {CHAT}", "https://h.test/v1/chat/completions"),
        ("openai, openaiCustomUrl: 'http://h.test:81/'", "GET /v1/models/m", "http://h.test:81/v1/models/m"),
        ("openai, openaiCustomUrl: 'https://h.test/api'", f"POST {CHAT}", "https://h.test/api/chat/completions"),
        ("openai, openaiCustomUrl: h.test/x/v1", "GET /v1/threads", "https://h.test/x/v1/threads"),
        ("openai, openaiCustomUrl: 'h.test/x/v1?k=1'", "GET /v1/files?k=2&a", "https://h.test/x/v1/files?a&k=1"),
        ("openai, openaiCustomUrl: h.test/v1/chat/completions", f"POST {CHAT}?a=1", "https://h.test/v1/chat/completions?a=1"),
        ("openai, openaiCustomUrl: h.test/my/completions", "POST /v1/completions", "https://h.test/my/completions"),
        ("openai, openaiCustomUrl: h.test/v1/videos", "GET /v1/videos", "https://h.test/v1/videos"),
        ("openai, openaiCustomUrl: h.test/v1/realtime/sessions", "GET /v1/realtime", "https://h.test/v1/realtime/sessions/realtime"),
        ("openai, openaiCustomUrl: h.test/v1, providerDomain: p.test", f"POST {CHAT}", "https://p.test/v1/chat/completions"),
        ("vllm, vllmCustomUrl: 'gpu:81/v1'", "POST /v1/rerank", "http://gpu:81/v1/rerank"),
        ("vllm, vllmCustomUrl: gpu, vllmServerHost: other", "GET /metrics", "http://gpu/metrics"),
        ("vllm, vllmCustomUrl: 'https://gpu/v1/embeddings'", "POST /v1/embeddings", "https://gpu/v1/embeddings"),
        ("vllm, vllmCustomUrl: gpu/v1/messages/count_tokens", "POST /v1/messages/count_tokens", "http://gpu/v1/messages/count_tokens"),
    ],
)  # fmt: skip
def test_a_url_of_ones_own_is_a_base_or_one_api(block: str, line: str, url: str) -> None:
    assert _url(_sent(_provider(block), line, b"{}")) == url


@table(
    ("block", "line"),
    [
        ("openai, openaiCustomUrl: h.test/v1/chat/completions", "POST /v1/embeddings"),
        ("openai, openaiCustomUrl: h.test/v1/chat/completions", "POST /v1/completions"),
        ("openai, openaiCustomUrl: h.test/v1/chat/completions", "GET /v1/models/m"),
        ("vllm, vllmCustomUrl: gpu/v1/rerank", "GET /metrics"),
        (f"azure, azureServiceUrl: '{HOST}/openai/deployments/D/chat/completions{DATED}'", "POST /v1/embeddings"),
    ],
)
def test_the_url_of_one_api_serves_no_other_and_says_so(block: str, line: str) -> None:
    provider = _provider(block)
    with pytest.raises(Refusal) as caught:
        _sent(provider, line, b"{}")

    assert (caught.value.status, caught.value.code) == (404, "unsupported_api")
    assert "It has: /v1/" in caught.value.message
    (remark,) = provider.remarks
    assert "is the URL of one API: only /v1/" in remark


def test_a_base_needs_no_remark() -> None:
    assert _provider("openai, openaiCustomUrl: h.test/v1").remarks == ()
    assert "every request is sent to /x?api-version=1" in _azure(f"{HOST}/x?api-version=1").remarks[0]


# Kilo Gateway and OpenRouter


def _body(block: str, body: bytes, target: str = CHAT) -> bytes:
    return _sent(_provider(block), f"POST {target}", body).body or body


@table(
    ("keys", "before", "after"),
    [
        ("", b'{"model":"kilocode/anthropic/c"}', b'{"model":"anthropic/c"}'),
        ("", b'{"model":"kilocode/kilocode/c"}', b'{"model":"kilocode/c"}'),
        ("", b'{"model":"kilo/auto"}', b'{"model":"kilo/auto"}'),
        ("", b'{"model":"kilo-auto/free", "n":1.0}', b'{"model":"kilo-auto/free", "n":1.0}'),
        ("", b'{"n":1}', b'{"n":1,"model":"anthropic/claude-opus-4.6"}'),
        ("", b'{"model":"", "n":1}', b'{"model":"anthropic/claude-opus-4.6", "n":1}'),
        (", defaultModel: kilo-auto/free", b"{}", b'{"model":"kilo-auto/free"}'),
        (", defaultModel: kilo-auto/free, modelMapping: {kilo-auto/free: kilocode/a}", b"{}", b'{"model":"a"}'),
        (", modelMapping: {a: kilocode/b:free}", b'{"model":"a"}', b'{"model":"b:free"}'),
        (", modelMapping: {kilocode/a: c}", b'{"model":"kilocode/a"}', b'{"model":"c"}'),
        (", cacheControlTtl: 1h", b'{"model":"kilocode/anthropic/c"}',
         b'{"model":"anthropic/c","cache_control":{"type":"ephemeral","ttl":"1h"}}'),
        (", cacheControlTtl: 5m", b'{"model":"openai/anthropic/c"}', b'{"model":"openai/anthropic/c"}'),
        (", cacheControlTtl: 5m", b'{"model":"anthropic/c","messages":[{"content":[{"cache_control":null}]}]}',
         b'{"model":"anthropic/c","messages":[{"content":[{"cache_control":null}]}]}'),
        (", cacheControlTtl: 5m", b'{"model":"anthropic/c","messages":[{"content":"cache_control"}]}',
         b'{"model":"anthropic/c","messages":[{"content":"cache_control"}],"cache_control":{"type":"ephemeral","ttl":"5m"}}'),
    ],
)  # fmt: skip
def test_kilos_models_have_no_prefix_and_a_default(keys: str, before: bytes, after: bytes) -> None:
    assert _body(f"kilocode{keys}", before) == after


def test_only_chats_of_kilo_have_a_default_and_forms_lose_the_prefix_too() -> None:
    assert _body("kilocode", b'{"input":"a"}', "/v1/embeddings") == b'{"input":"a"}'
    assert _body("kilocode", b'{"model":"kilocode/a"}', "/v1/embeddings") == b'{"model":"a"}'
    form = b'--X\r\nContent-Disposition: form-data; name="model"\r\n\r\n%b\r\n--X--\r\n'
    sent = _sent(_provider("kilocode"), "POST /v1/audio/transcriptions", form % b"kilocode/a", FORM)
    assert sent.body == form % b"a"


TOOL = b'{"role":"assistant","content":[{"type":"tool"}]}'
GEMINI: list[tuple[Any, ...]] = [
    # Signatures that are not Gemini's, on assistant blocks.
    (b'{"role":"assistant","content":[{"type":"text","text":"a","thought_signature":"msg_1", "x":1}]}',
     b'{"role":"assistant","content":[{"type":"text","text":"a","x":1}]}'),
    (b'{"role":"assistant","content":[{"type":"tool","thoughtSignature":null}]}', TOOL),
    (b'{"role":"assistant","content":[{"type":"tool","thoughtSignature":"a"}]}', TOOL),
    (b'{"role":"assistant","content":[{"type":"tool","thoughtSignature":"YWJj"}]}', None),
    (b'{"role":"assistant","content":[{"type":"tool","thought_signature":"-_-_"}]}', None),
    (b'{"role":"assistant","content":[{"type":"thinking","thought_signature":"msg_1"}]}', None),
    (b'{"role":"assistant","content":[{"type":"redacted_thinking","thoughtSignature":"msg_1"}]}', None),
    (b'{"role":"user","content":[{"type":"text","text":"","thought_signature":"msg_1"}]}', None),
    # Blank texts, and messages without a block.
    (b'{"role":"assistant","content":[{"type":"text","text":" "}, {"type":"image"}]}',
     b'{"role":"assistant","content":[{"type":"image"}]}'),
    (b'{"role":"assistant","content":[{"type":"text","text":""},{"type":"text","text":"\\n"}]}', b""),
    (b'{"role":"assistant","content":[]}', None),
    (b'{"role":"assistant","content":""}', None),
    (b'{"role":"assistant","content":null,"tool_calls":[{"id":"a"}]}', None),
    (b'{"role":"tool","content":[{"type":"text","text":""}]}', None),
]  # fmt: skip


@table(("before", "after"), GEMINI)
def test_gemini_gets_assistant_messages_without_what_other_models_left(before: bytes, after: bytes | None) -> None:
    for model, is_gemini in ((b"google/Gemini-3", True), (b"anthropic/c", False)):
        body = b'{"model":"%b","messages":[{"role":"user","content":"\\u00e9"},%b]}'
        sent = before if after is None or not is_gemini else after
        expected = (body % (model, sent)).replace(b",]", b"]")
        assert _body("kilocode", body % (model, before)) == expected


def test_kilos_own_fields_pass() -> None:
    fields = ((b"X-KiloCode-OrganizationId", b"o"), (b"x-kilocode-mode", b"code"), (b"HTTP-Referer", b"r"))
    provider = _provider("kilocode")
    head = Head("GET", "/v1/models", callers.read("/v1/models", fields), fields)
    upstream = pipeline.requestheaders(provider, head)
    assert not isinstance(upstream, NeedsBody)
    outgoing = pipeline.outgoing(provider, head, upstream)

    assert _url(outgoing) == "https://api.kilo.ai/api/gateway/models"
    assert outgoing.fields[:3] == fields


def test_kilos_fill_in_the_middle_is_beside_its_base() -> None:
    assert _url(_sent(_provider("kilocode"), "POST /v1/fim/completions")) == "https://api.kilo.ai/api/fim/completions"
    newer = _provider("kilocode, baseUrl: 'https://ai-gateway.kilo.ai/api/v1'")
    assert _url(_sent(newer, "POST /v1/fim/completions")) == "https://ai-gateway.kilo.ai/api/v1/fim/completions"


@table(
    ("before", "after"),
    [
        (b'{"reasoning_max_tokens":100,"a":1,"reasoning_effort":"low"}', b'{"a":1,"reasoning":{"max_tokens":100}}'),
        (b'{"reasoning":{"enabled":true},"reasoning_max_tokens":1}', b'{"reasoning":{"enabled":true,"max_tokens":1}}'),
        (b'{"reasoning_max_tokens":0,"reasoning_effort":"low"}', None),
        (b'{"reasoning_max_tokens":0.0}', None),
        (b'{"reasoning_effort":"low"}', None),
    ],
)
def test_openrouters_reasoning_tokens_are_where_it_reads_them(before: bytes, after: bytes | None) -> None:
    assert _body("openrouter", before) == (before if after is None else after)
    assert _body("groq", before) == before
    assert _body("openrouter", before, "/v1/responses") == before
