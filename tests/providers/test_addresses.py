"""Where each type sends to: its base URL, `baseUrl`, hosts of one's own, the variable of its key."""

from __future__ import annotations

import pytest

from mitm_ai_proxy import registry
from mitm_ai_proxy.config.file import ConfigurationError
from mitm_ai_proxy.exchange import Head, NeedsBody, Upstream
from mitm_ai_proxy.providers.base import Provider
from tests.tables import table
from tests.upstream_of import rewritten

CHAT = "/v1/chat/completions"


def _provider(block: str, **environment: str) -> Provider:
    return registry.provider(registry.read(f"provider: {{{block}}}", environment))


def _problems(block: str, **environment: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        registry.read(f"provider: {{{block}}}", environment)
    return [str(problem).removeprefix("provider.") for problem in caught.value.problems]


def _url(provider: Provider, target: str, method: str = "POST") -> str:
    found = provider.requestheaders(Head(method, target))
    upstream = rewritten(found, b"") if isinstance(found, NeedsBody) else found
    return f"{upstream.origin}{upstream.target}"


@table(
    ("block", "target", "url"),
    [
        # Below the base, whatever it is.
        ("groq", "/v1/models/llama", "https://api.groq.com/openai/v1/models/llama"),
        ("kilocode", "/v1/models/a/b/endpoints?x&x", "https://api.kilo.ai/api/gateway/models/a/b/endpoints?x&x"),
        ("baidu", "/v1/threads/t", "https://qianfan.baidubce.com/v2/threads/t"),
        ("mistral", "/v1/fim/completions", "https://api.mistral.ai/v1/fim/completions"),
        ("openrouter", "/v1", "https://openrouter.ai/api/v1"),
        # Below another place.
        ("longcat", "/v1/models", "https://api.longcat.chat/v1/models"),
        ("longcat", "/v1/models/m", "https://api.longcat.chat/v1/models/m"),
        ("deepseek", "/v1/messages", "https://api.deepseek.com/anthropic/v1/messages"),
        ("deepseek", "/v1/completions", "https://api.deepseek.com/beta/completions"),
        ("github", "/v1/models", "https://models.github.ai/catalog/models"),
        # The provider's own paths.
        ("ollama", "/api/tags", "http://127.0.0.1:11434/api/tags"),
        ("kilocode", "/api/fim/completions", "https://api.kilo.ai/api/fim/completions"),
        ("github", "/orgs/o/inference/chat", "https://models.github.ai/orgs/o/inference/chat"),
        ("coze", "/v3/chat", "https://api.coze.cn/v3/chat"),
        # As clients write them that were told the provider's base URL, or none.
        ("baidu", "/v2/chat/completions", "https://qianfan.baidubce.com/v2/chat/completions"),
        ("kilocode", "/api/gateway/chat/completions", "https://api.kilo.ai/api/gateway/chat/completions"),
        ("kilocode", "/api/gateway/v1/chat/completions", "https://api.kilo.ai/api/gateway/chat/completions"),
        ("kilocode", "/api/gateway/v1/providers", "https://api.kilo.ai/api/gateway/providers"),
        ("kilocode", "/api/openrouter/models/a/b", "https://api.kilo.ai/api/gateway/models/a/b"),
        ("kilocode", "/chat/completions", "https://api.kilo.ai/api/gateway/chat/completions"),
        ("deepseek", "/chat/completions", "https://api.deepseek.com/v1/chat/completions"),
        ("groq", "/proxy/v1/chat/completions", "https://api.groq.com/openai/v1/chat/completions"),
        ("openai", "/chat/completions", "https://api.openai.com/chat/completions"),
        # baseUrl
        ("moonshot, baseUrl: 'https://api.moonshot.ai/v1'", CHAT, "https://api.moonshot.ai/v1/chat/completions"),
        ("kilocode, baseUrl: 'https://k.test/api/v1/'", "/v1/providers", "https://k.test/api/v1/providers"),
        ("kilocode, baseUrl: 'https://k.test/api/v1/'", "/api/gateway/models", "https://k.test/api/v1/models"),
        ("openai, baseUrl: 'http://h.test:81//x//v3'", CHAT, "http://h.test:81/x/v3/chat/completions"),
        ("openai, baseUrl: h.test", CHAT, "https://h.test/chat/completions"),
        ("openai, baseUrl: h.test", "/v1/threads", "https://h.test/threads"),
        ("deepseek, baseUrl: 'https://h.test/x/v1'", "/v1/messages", "https://h.test/x/anthropic/v1/messages"),
        ("deepseek, baseUrl: 'https://h.test/x'", "/v1/messages", "https://h.test/anthropic/v1/messages"),
        ("vllm, baseUrl: 'https://h.test/v1'", "/tokenize", "https://h.test/tokenize"),
        ("generic, baseUrl: 'https://h.test/x/v1'", "/v1/a", "https://h.test/x/v1/a"),
        ("groq, baseUrl: 'https://h.test/v1', providerBasePath: /p", CHAT, "https://h.test/p/v1/chat/completions"),
        ("groq, protocol: original", "/openai/v1/models/m", "https://api.groq.com/openai/v1/models/m"),
        ("groq, protocol: original", "/v1/models/m", "https://api.groq.com/v1/models/m"),
        # Hosts in keys.
        ("vllm, vllmServerHost: gpu", CHAT, "http://gpu:8000/v1/chat/completions"),
        ("vllm, vllmServerHost: 'gpu:81'", CHAT, "http://gpu:81/v1/chat/completions"),
        ("vllm, vllmServerHost: 'https://gpu'", CHAT, "https://gpu/v1/chat/completions"),
        ("vllm, vllmServerHost: '[::1]'", CHAT, "http://[::1]:8000/v1/chat/completions"),
        ("vllm, providerDomain: 'http://gpu'", CHAT, "http://gpu/v1/chat/completions"),
        ("ollama, ollamaServerHost: gpu", CHAT, "http://gpu:11434/v1/chat/completions"),
        ("ollama, ollamaServerHost: gpu, ollamaServerPort: 80", CHAT, "http://gpu/v1/chat/completions"),
        ("ollama, ollamaServerHost: 'gpu:81'", CHAT, "http://gpu:81/v1/chat/completions"),
        ("ollama, ollamaServerHost: 'https://gpu', ollamaServerPort: 444", CHAT, "https://gpu:444/v1/chat/completions"),
        ("ollama, ollamaServerPort: 81", CHAT, "http://127.0.0.1:81/v1/chat/completions"),
        (
            "cloudflare, cloudflareAccountId: abc-1",
            "/v1/embeddings",
            "https://api.cloudflare.com/client/v4/accounts/abc-1/ai/v1/embeddings",
        ),
    ],
)
def test_a_request_goes_where_the_service_has_it(block: str, target: str, url: str) -> None:
    assert _url(_provider(f"apiTokens: [t], type: {block}"), target) == url


@table(
    ("block", "problems"),
    [
        ("kilocode", ["apiTokens: is missing: give it here, or set KILOCODE_API_KEY in the environment"]),
        (
            "together-ai, apiTokens: '${MINE:-}'",
            ["apiTokens: is missing: give it here, or set MINE or TOGETHER_AI_API_KEY in the environment"],
        ),
        ("cloudflare, apiTokens: t", ["cloudflareAccountId: is missing; give cloudflareAccountId or baseUrl"]),
        (
            "cloudflare, apiTokens: t, cloudflareAccountId: a/b",
            ["cloudflareAccountId: expected letters, digits, - and _ only"],
        ),
        ("vllm", ["vllmServerHost: is missing; give vllmServerHost, vllmCustomUrl, baseUrl or providerDomain"]),
        ("vllm, vllmServerHost: a, baseUrl: b", ["baseUrl: stands beside vllmServerHost; keep one of the two"]),
        ("openai, providerDomain: a, baseUrl: b", ["baseUrl: stands beside providerDomain; keep one of the two"]),
        ("openai, baseUrl: 'https://a/v1?x'", ["baseUrl: has a query: the base URL ends before it"]),
        ("openai, baseUrl: 'https://a?x'", ["baseUrl: has a query: the base URL ends before it"]),
        ("openai, baseUrl: 'https://a#x'", ["baseUrl: has a fragment (#)"]),
        ("openai, baseUrl: 'https://a/%2e%2e/v1'", ["baseUrl: has a '.' or '..' segment in its path"]),
        ("openai, baseUrl: 'https://a/v1#x'", ["baseUrl: has a fragment (#)"]),
        (
            "openai, baseUrl: 'https://a/v1/chat/completions'",
            ["baseUrl: names one API: the base URL ends before /chat/completions"],
        ),
        (
            "openai, baseUrl: 'https://u:SECRET@a/v1'",
            ["baseUrl: has a user name: credentials belong into their own keys"],
        ),
        (
            "ollama, ollamaServerHost: 'a:1', ollamaServerPort: 2",
            ["ollamaServerPort: is not the port in ollamaServerHost"],
        ),
        ("kling, apiTokens: t, baseUrl: a", ["baseUrl: unknown key"]),
    ],
)
def test_an_address_that_is_missing_or_wrong_is_refused(block: str, problems: list[str]) -> None:
    assert _problems(f"type: {block}") == problems


def test_the_variable_of_a_type_is_used_where_no_key_is_given() -> None:
    def token(block: str) -> str | None:
        provider = _provider(block, KILOCODE_API_KEY="k", OPENAI_API_KEY="o", OLLAMA_API_KEY="l", MINE="m")
        found = provider.token(())
        return found.reveal() if found else None

    assert (
        token("type: kilocode") == token("type: kilocode, apiTokens: []") == token("type: kilocode, apiTokens:") == "k"
    )
    assert token("type: kilocode, apiTokens: '${MINE}'") == "m"
    # A client's own key stays its own.
    assert token("type: openai") is token("type: ollama") is None
    assert _problems("type: kilocode", KILOCODE_API_KEY="a\nb") == ["apiTokens[0]: holds a line break"]


@table(
    ("block", "target", "api"),
    [
        ("baidu", "/proxy/v2/chat/completions", "openai/v1/chatcompletions"),
        ("baidu", "/v1/chat/completions", ""),
        ("github", "/inference/embeddings", "openai/v1/embeddings"),
        ("vllm, vllmServerHost: h", "/v1/messages/count_tokens", "anthropic/v1/messages/count_tokens"),
        ("vllm, vllmServerHost: h", "/v1/messages", "anthropic/v1/messages"),
        ("openrouter", "/api/v1/completions", "openai/v1/completions"),
        ("mistral", "/v1/files/f", "openai/v1/retrievefile"),
        ("coze", "/v3/chat", ""),
    ],
)
def test_under_original_the_api_is_told_as_the_service_writes_it(block: str, target: str, api: str) -> None:
    provider = _provider(f"apiTokens: [t], protocol: original, type: {block}")
    upstream = provider.requestheaders(Head("POST", target))

    assert isinstance(upstream, Upstream)
    told = f", {api} of {provider.type}" if api else ""
    assert (upstream.target, upstream.notes) == (target, (f"sent to {provider.origin}: protocol original{told}",))


def test_nothing_is_missing_where_nothing_is_sent() -> None:
    assert registry.read("provider: {type: kilocode}", {}, offline=True).provider.api_tokens == ()


@table("name", sorted(registry.TYPES))
def test_every_type_can_be_described(name: str) -> None:
    kind = registry.TYPES[name]

    assert kind.type == name
    assert kind.variable.endswith(("_API_KEY", "_BEDROCK"))
    assert kind.__doc__
