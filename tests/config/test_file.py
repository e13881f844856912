"""What config.yaml may hold, what it means, and how its mistakes are reported."""

from __future__ import annotations

import json
import os
import re
import traceback
from pathlib import Path
from typing import Any

import pytest
import yaml

from mitm_ai_proxy import registry
from mitm_ai_proxy.cassette.settings import CassetteSettings
from mitm_ai_proxy.config.file import ConfigurationError
from mitm_ai_proxy.config.keys import declared
from mitm_ai_proxy.config.values import HostPattern
from mitm_ai_proxy.config.yaml_problems import NOT_BUILT
from mitm_ai_proxy.kling.provider import KlingKeys
from mitm_ai_proxy.providers.higress_types import ANYTHING_ELSE
from mitm_ai_proxy.registry import Configuration, HostSettings, PageSettings
from mitm_ai_proxy.simulator.settings import ACCESS_KEY, API_KEY, SECRET_KEY, SimulatorSettings
from mitm_ai_proxy.wire.targets import Origin
from tests.tables import table

SECRET = "s3cr3t-m4rker"
# Keys of the Higress ai-proxy plugin, by what becomes of them here.
CHAT = (
    "context contextCleanupCommands disableStreamUsageStats hiclawMode mergeConsecutiveMessages"
    " promoteThinkingOnEmpty reasoningContentMode responseJsonSchema".split()
)
NOT_IMPLEMENTED = ["customSettings"]
OTHER_TYPES = (
    "apiVersion awsAccessKey awsRegion awsSecretKey azureServiceUrl bedrockAdditionalFields"
    " bedrockPromptCachePointPositions botType claudeCodeMode claudeVersion cloudflareAccountId difyApiUrl doubaoDomain"
    " geminiSafetySetting geminiThinkingBudget hunyuanAuthId hunyuanAuthKey inputVariable minimaxApiType minimaxGroupId"
    " moonshotFileId ollamaServerHost ollamaServerPort outputVariable promptCacheRetention qwenDomain"
    " qwenEnableCompatible qwenEnableSearch qwenFileIds targetLang tritonDomain tritonModelVersion vertexAuthKey"
    " vertexAuthServiceName vertexOpenAICompatible vertexProjectId vertexRegion vertexTokenRefreshAhead vllmCustomUrl"
    " vllmServerHost zhipuCodePlanMode zhipuDomain".split()
)
KLINGS = "klingAccessKey klingSecretKey klingTokenRefreshAhead".split()
BLOCKS = {
    "kling": "type: kling, apiTokens: token",
    "openai": "type: openai",
    "generic": "type: generic, genericHost: host.test",
}
KNOWN = f"(known: {', '.join(sorted(registry.TYPES))})"
NO_CREDENTIAL = "provider.klingAccessKey: no credential: give klingAccessKey and klingSecretKey, or apiTokens"


def _parse(text: str, **environment: str) -> Configuration:
    return registry.read(text, environment)


def _keys(text: str, **environment: str) -> Any:
    """The keys of the provider."""
    return _parse(text, **environment).provider


def _problems(text: str, **environment: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        _parse(text, **environment)
    return [str(problem) for problem in caught.value.problems]


def _kling(line: str) -> str:
    """A whole file: Kling with a token, and one more line in its block."""
    return f"provider:\n  type: kling\n  apiTokens: token\n  {line}\n"


@table(
    ("line", "field", "expected"),
    [
        ("", "id", ""),
        ("id: first", "id", "first"),
        ("id: 7", "id", "7"),
        ("id: 1.5", "id", "1.5"),
        ("", "protocol", "openai"),
        ("protocol: original", "protocol", "original"),
        ("", "base_path", ""),
        ("basePath:", "base_path", ""),
        ("basePath: /", "base_path", ""),
        ("basePath: proxy/", "base_path", "/proxy"),
        ("basePath: /a/b//", "base_path", "/a/b"),
        ("", "base_path_handling", "removePrefix"),
        ("basePathHandling: prepend", "base_path_handling", "prepend"),
        ("providerBasePath: 302", "provider_base_path", "/302"),
        ("", "provider_domain", None),
        ("providerDomain: ''", "provider_domain", None),
        ("providerDomain: api.302.ai", "provider_domain", Origin("https", "api.302.ai", 443)),
        ("providerDomain: API.302.ai:8443", "provider_domain", Origin("https", "api.302.ai", 8443)),
        ("providerDomain: HTTP://127.0.0.1:3000/", "provider_domain", Origin("http", "127.0.0.1", 3000)),
        ("providerDomain: '[::1]:3000'", "provider_domain", Origin("https", "::1", 3000)),
        ("", "kling_token_refresh_ahead", 60),
        ("klingTokenRefreshAhead: 0", "kling_token_refresh_ahead", 0),
        ("klingTokenRefreshAhead: ' 90 '", "kling_token_refresh_ahead", 90),
        ("klingTokenRefreshAhead: 1799", "kling_token_refresh_ahead", 1799),
        ("klingAccessKey:", "kling_access_key", ""),
        ("capabilities: {openai/v1/videos: '/x?a=1'}", "capabilities", {"openai/v1/videos": "/x?a=1"}),
    ],
)
def test_a_key_becomes_a_field(line: str, field: str, expected: object) -> None:
    assert getattr(_keys(_kling(line)), field) == expected


@table(
    ("tokens", "expected"),
    [
        ("one", ["one"]),
        ("[one, two]", ["one", "two"]),
        ('["\\t one  "]', ["one"]),
        ('["", one, "  "]', ["one"]),
        ("['123']", ["123"]),
        ("['${A}', 'b-${A}']", ["a", "b-a"]),
    ],
)
def test_tokens_are_one_text_or_a_list_without_the_empty_ones(tokens: str, expected: list[str]) -> None:
    parsed = _keys(f"provider: {{type: kling, apiTokens: {tokens}}}", A="a")

    assert [token.reveal() for token in parsed.api_tokens] == expected


def test_a_key_pair_is_trimmed_line_breaks_included() -> None:
    parsed = _keys('provider: {type: kling, klingAccessKey: "\\n access ", klingSecretKey: "secret\\r\\n"}')

    assert (parsed.kling_access_key, parsed.kling_secret_key.reveal()) == ("access", "secret")


@table(
    ("mapping", "model", "mapped"),
    [
        ("{gpt-4: 5}", "gpt-4", "5"),
        ("{4: four}", "4", "four"),
        ("{gpt-4: , '*': other}", "gpt-4", "gpt-4"),
        ("{sora-*: '${TARGET}'}", "sora-2", "kling-v3"),
        ("{'~^sora-(?P<TARGET>.)$': 'v${TARGET}'}", "sora-2", "v2"),
        ("{'~^sora-(?P<UNSET>.)$': 'v${UNSET}'}", "sora-2", "v2"),
    ],
)
def test_a_model_mapping_takes_numbers_nulls_and_variables_but_leaves_the_groups_of_a_pattern(
    mapping: str, model: str, mapped: str
) -> None:
    parsed = _keys(_kling(f"modelMapping: {mapping}"), TARGET="kling-v3")

    assert parsed.model_mapping.map(model)[0] == mapped


@table(
    ("text", "expected"),
    [
        ("${A}", "a"),
        ("x-${A}-${B}-y", "x-a-b-y"),
        ("${EMPTY}", ""),
        ("${EMPTY:-default}", "default"),
        ("${MISSING:-default}", "default"),
        ("${MISSING:-}", ""),
        ("${MISSING:-a:-b}", "a:-b"),
        ("${A:-default}", "a"),
        ("$A ${a-b} ${A", "$A ${a-b} ${A"),
        ("${NESTED}", "${A}"),
    ],
)
def test_variables_are_replaced_once_in_any_text(text: str, expected: str) -> None:
    parsed = _parse(_kling(f"id: '{text}'"), A="a", B="b", EMPTY="", NESTED="${A}")

    assert parsed.provider.id == expected


def test_a_configuration_does_not_show_its_secrets() -> None:
    pair = f"klingAccessKey: access, klingSecretKey: {SECRET}"
    parsed = _parse(f"provider: {{type: kling, apiTokens: ['{SECRET}'], {pair}}}")

    assert SECRET not in f"{parsed!r} {parsed}"


@table(
    ("line", "problem"),
    [
        ("apiToken: x", "apiToken: unknown key; did you mean apiTokens?"),
        ("zzz: x", "zzz: unknown key"),
        ("1: x", "1: unknown key"),
        ("hosts: [a]", "hosts: unknown key"),
        ("protocol: orginal", "protocol: unknown value 'orginal'; did you mean original? (known: openai, original)"),
        ("basePathHandling: strip", "basePathHandling: unknown value 'strip' (known: removePrefix, prepend)"),
        ("id: true", "id: expected text"),
        ("basePath: [a]", "basePath: expected text"),
        ("basePath: /a?b", "basePath: expected a path without a query"),
        ("providerBasePath: /a b", "providerBasePath: expected a path without a query"),
        ("providerDomain: ftp://x", "providerDomain: unknown scheme 'ftp': use http or https"),
        (
            "providerDomain: https://x/v1",
            "providerDomain: has a path: give the host here and the path in providerBasePath",
        ),
        ("providerDomain: x:65536", "providerDomain: has no port between 1 and 65535 behind the colon"),
        ("providerDomain: a b", "providerDomain: is not a host name or address"),
        ("klingTokenRefreshAhead: soon", "klingTokenRefreshAhead: expected a whole number of seconds from 0 to 1799"),
        ("klingTokenRefreshAhead: 1800", "klingTokenRefreshAhead: expected a whole number of seconds from 0 to 1799"),
        ("klingTokenRefreshAhead: -1", "klingTokenRefreshAhead: expected a whole number of seconds from 0 to 1799"),
        (
            "klingTokenRefreshAhead: '\u0663'",
            "klingTokenRefreshAhead: expected a whole number of seconds from 0 to 1799",
        ),
        ("modelMapping: [a]", "modelMapping: expected a mapping of names to texts"),
        ("modelMapping: {gpt-4: [b]}", "modelMapping.gpt-4: expected text"),
        (
            "modelMapping: {'~(': x}",
            "modelMapping: '~(' is not a regular expression (missing ) at position 1)",
        ),
        (
            "capabilities: {openai/v1/video: /x}",
            "capabilities.openai/v1/video: unknown API; did you mean openai/v1/videos?",
        ),
        (
            "capabilities: {kling/v1/retrieveimagevideo: /x}",
            "capabilities.kling/v1/retrieveimagevideo: the path has no place for {video_id}",
        ),
        (
            "capabilities: {openai/v1/videos: 'https://x/v1'}",
            "capabilities.openai/v1/videos: expected a path that begins with a slash",
        ),
        (
            "capabilities: {openai/v1/videos: '/x#y'}",
            "capabilities.openai/v1/videos: expected a path that begins with a slash",
        ),
        (
            'capabilities: {openai/v1/videos: "/x\\ny"}',
            "capabilities.openai/v1/videos: expected a path that begins with a slash",
        ),
        (
            "capabilities: {openai/v1/videos: '/x?a?b'}",
            "capabilities.openai/v1/videos: expected a path that begins with a slash",
        ),
        (
            "capabilities: {openai/v1/videos: '/x/{video_id}'}",
            "capabilities.openai/v1/videos: nothing is known to put into {video_id}",
        ),
        ("basePath: /a/../b", "basePath: expected a path without a query"),
        ("providerBasePath: ./b", "providerBasePath: expected a path without a query"),
        ("providerBasePath: /\u00e9", "providerBasePath: expected a path without a query"),
        ("providerDomain: '[fe80::1%eth0]'", "providerDomain: has a zone, which means something to this machine only"),
        ("protocol: '${PROTOCOL}'", "protocol: unknown value; did you mean original? (known: openai, original)"),
        ("klingSecretKey: a", "klingAccessKey: is missing beside klingSecretKey"),
        ("providerDomain: '${HOST}'", "providerDomain: the environment variable HOST is not set"),
        ("modelMapping: {a: '${MODEL}'}", "modelMapping.a: the environment variable MODEL is not set"),
    ],
)
def test_a_mistake_in_a_block_is_named_with_its_key(line: str, problem: str) -> None:
    assert _problems(_kling(line), PROTOCOL="orginal") == [f"provider.{problem}"]


@table(
    ("line", "problems"),
    [
        (
            "capabilities: {openai/v1/retrievevideo: '/x/{id}'}",
            [
                "capabilities.openai/v1/retrievevideo: the path has no place for {video_id}",
                "capabilities.openai/v1/retrievevideo: nothing is known to put into {id}",
            ],
        ),
        (
            "capabilities: {openai/v1/videos: x, kling/v1/image2video: y, openai/v1/video: /z}",
            [
                "capabilities.openai/v1/videos: expected a path that begins with a slash",
                "capabilities.kling/v1/image2video: expected a path that begins with a slash",
            ],
        ),
        ("modelMapping: {a: [b], c: [d], e: f}", ["modelMapping.a: expected text", "modelMapping.c: expected text"]),
        (
            'apiTokens: ["a b", good, "c d"]',
            [
                f"apiTokens[{index}]: holds a blank, a control character or a character outside ASCII"
                for index in (0, 2)
            ],
        ),
    ],
)
def test_every_wrong_entry_of_a_list_or_mapping_is_named(line: str, problems: list[str]) -> None:
    block = _kling(line) if "apiTokens" not in line else f"provider:\n  type: kling\n  {line}\n"

    assert _problems(block) == [f"provider.{problem}" for problem in problems]


@table(
    ("text", "problem"),
    [
        (_kling("") + "host: a", "host: unknown key; did you mean hosts?"),
        (
            "provider: {type: Kling}",
            f"provider.type: unknown type 'Kling'; did you mean kling? {KNOWN}",
        ),
        (
            f"provider: {{type: {'x' * 61}}}",
            f"provider.type: unknown type '{'x' * 60}...'; {ANYTHING_ELSE} {KNOWN}",
        ),
        (
            f"provider: {{type: kling, apiTokens: t, protocol: {'x' * 1000}}}",
            f"provider.protocol: unknown value '{'x' * 60}...' (known: openai, original)",
        ),
        (f"provider: {{type: openai}}\n{'x' * 1000}: 1", f"{'x' * 60}...: unknown key"),
        (
            f"providers: [{{id: {'x' * 1000}}}]\nactiveProviderId: a",
            f"activeProviderId: no provider has this id (known: {'x' * 60}...)",
        ),
        ("provider: {}", f"provider.type: is missing {KNOWN}"),
        ("provider: {type: openai, protocol:original}", "provider.protocol: no blank behind the colon"),
        ("provider: {type: ' '}", f"provider.type: is missing {KNOWN}"),
        (
            "provider: {type: '${TYPE:-klin}'}",
            f"provider.type: unknown type; did you mean kling? {KNOWN}",
        ),
        ("provider: {type: kling, apiTokens: t, modelMapping: &m {a: *m}}", "holds a value that contains itself"),
        ("provider: {type: kling, apiTokens: &l [*l]}", "holds a value that contains itself"),
        (
            "provider: {type: kling, apiTokens: [2026-13-45]}",
            f"line 1, column 37: {NOT_BUILT}",
        ),
        ("provider: {type: [kling]}", "provider.type: expected text"),
        ("provider: {type: kling, klingAccessKey: a}", "provider.klingSecretKey: is missing beside klingAccessKey"),
        (
            "provider: {type: kling, klingSecretKey: a, klingAccessKey: ' '}",
            "provider.klingAccessKey: is missing beside klingSecretKey",
        ),
        (
            "provider: {type: kling, klingAccessKey: a, klingSecretKey: '${SECRET_KEY:-}'}",
            "provider.klingSecretKey: is missing beside klingAccessKey: set SECRET_KEY in the environment",
        ),
        (
            'provider: {type: kling, klingAccessKey: a, klingSecretKey: "b\\nc"}',
            "provider.klingSecretKey: holds a line break",
        ),
        ("provider: {type: kling}", NO_CREDENTIAL),
        ("provider: {type: kling, apiTokens: ['', ' ']}", NO_CREDENTIAL),
        (
            "provider: {type: kling, klingAccessKey: '${A:-}', klingSecretKey: '${S:-}', apiTokens: ['${TOKEN:-}']}",
            f"{NO_CREDENTIAL} (in the environment: A and S, or TOKEN)",
        ),
        ("provider: {type: kling, apiTokens: ['${TOKEN:-}']}", f"{NO_CREDENTIAL} (in the environment: TOKEN)"),
        (_kling("") + "hosts: [a, '${H}']", "hosts[1]: the environment variable H is not set"),
        (
            _kling("") + "hosts: [a, 'b:0']",
            "hosts[1]: has no port between 1 and 65535 behind the colon: expected host or host:port",
        ),
        (
            _kling("") + "hosts: 'https://a'",
            "hosts[0]: has no port between 1 and 65535 behind the colon: expected host or host:port",
        ),
        (_kling("") + "hosts: ['*.test']", "hosts[0]: is not a host name or address: expected host or host:port"),
        *(
            (_kling("") + f"allowedOrigins: [http://a.test, {json.dumps(value)}]", f"allowedOrigins[1]: {reason}")
            for value, reason in {
                "*": "stands for any page: name each origin (https://app.example)",
                "https://*.a.test": "stands for any page: name each origin (https://app.example)",
                "null": "stands for any page: name each origin (https://app.example)",
                "a.test": "has no scheme: expected an origin (https://app.example)",
                "localhost:3000": "has no scheme: expected an origin (https://app.example)",
                "": "has no scheme: expected an origin (https://app.example)",
                "http://a.test/x": "expected an origin (https://app.example)",
                "http://a.test?x": "expected an origin (https://app.example)",
                "https://u@a.test": "has a user name: credentials belong into their own keys",
                "https://a.test:0": "has no port between 1 and 65535 behind the colon",
                "app://a/b": "expected an origin (https://app.example)",
                "app://": "expected an origin (https://app.example)",
                "file://": "expected an origin (https://app.example)",
            }.items()
        ),
        (_kling("") + "allowedOrigin: http://a.test", "allowedOrigin: unknown key; did you mean allowedOrigins?"),
        ("provider: {type: generic}", "provider.genericHost: is missing; give genericHost, baseUrl or providerDomain"),
        (
            "provider: {type: generic, genericHost: ftp://x}",
            "provider.genericHost: unknown scheme 'ftp': use http or https",
        ),
        ("hosts: []", "provider: is missing"),
        ("provider:", "provider: is empty"),
        ("providers:", "providers: is empty"),
        ("provider: [a]", "provider: expected a mapping of keys to values"),
        ("providers: {type: kling}", "providers: expected a list of provider blocks"),
        ("providers: [kling]", "providers: expected a list of provider blocks"),
        ("provider: {}\nproviders: []", "provider: stands beside providers; keep one of the two"),
        ("providers: [{id: a}, {id: b}, {}]", "activeProviderId: is missing: name the provider to use (known: a, b)"),
        ("providers: []\nactiveProviderId: a", "activeProviderId: no provider has this id (known: none)"),
        (
            "providers: [{id: kling-eu}, {id: other}]\nactiveProviderId: kling-us",
            "activeProviderId: no provider has this id; did you mean kling-eu? (known: kling-eu, other)",
        ),
        ("providers: [{id: a}, {id: a}]\nactiveProviderId: a", "activeProviderId: 2 providers have this id"),
        (
            "providers: [{}, {id: a, type: openai, basePaht: /a}]\nactiveProviderId: a",
            "providers[1].basePaht: unknown key; did you mean basePath?",
        ),
        ("", "needs a provider: block"),
        ("[provider]", "needs a provider: block"),
        ("provider: {}\nprovider: {}", "line 2, column 1: a key stands here twice"),
        (_kling("type: openai"), "line 4, column 3: a key stands here twice"),
        ("providers:\n- id: a\n  id: b", "line 3, column 3: a key stands here twice"),
        (_kling("modelMapping: {a: b, 'a': c}"), "line 4, column 24: a key stands here twice"),
        pytest.param("[" * 100_000, "line 1, column 101: is nested too deeply", id="nesting without end"),
    ],
)
def test_a_mistake_in_a_file_is_named_with_its_key_or_line(text: str, problem: str) -> None:
    assert _problems(text) == [problem]


def _aliases(first: str, next: str, levels: int) -> str:
    """Lines of which each repeats the one before: `next` has `*b` for it."""
    lines = [f"l0: &l0 {first}"]
    lines += [f"l{level}: &l{level} {next.replace('*b', f'*l{level - 1}')}" for level in range(1, levels)]
    return "\n".join(lines)


@table("key", ["failover", "apiTokens", "modelMapping", "capabilities", "id", "providerDomain", "klingSecretKey", "x"])
@table(
    ("first", "next", "levels"),
    [
        ("[a, a]", "[*b, *b]", 40),
        ("[a, a]", f"[{', '.join(['*b'] * 40)}]", 6),
        ("{a: b}", "{a: *b, b: *b}", 40),
        ("{a: b}", "{a: [*b, *b, *b]}", 30),
        ("{a: b}", "{<<: [*b, *b]}", 40),
        ("{a: b}", "{<<: [*b, *b, *b], c: *b}", 30),
    ],
)
def test_aliases_that_stand_for_too_many_values_are_refused_at_once(
    first: str, next: str, levels: int, key: str
) -> None:
    text = f"{_aliases(first, next, levels)}\nprovider: {{type: kling, {key}: *l{levels - 1}}}"
    assert _problems(text) == ["stands for more than 100000 values"]


@table(
    ("text", "line"),
    [
        (f"? 0x{'f' * 5000}\n: 1", 1),
        (f"provider:\n  ? 0x{'f' * 5000}\n  : 1", 2),
        (f"provider:\n  id: 0b{'1' * 20000}", 2),
        (f"hosts: [1{':00' * 3000}]", 1),
        (f"provider: {{type: openai,\n  modelMapping: {{a: 0x{'f' * 5000}}}}}", 2),
    ],
)
def test_a_number_that_python_does_not_write_is_refused_with_the_line(text: str, line: int) -> None:
    (problem,) = _problems(text)
    assert re.fullmatch(rf"line {line}, column \d+: a number is far too long", problem)


@table(
    "text",
    ["provider: " + "[" * 3000, "provider: " + "{a: " * 3000, "provider:\n  id: " + "[" * 101, "[{a: " * 51],
)
def test_a_file_that_is_nested_too_deeply_is_refused_with_the_line(text: str) -> None:
    line = text.count("\n") + 1
    (problem,) = _problems(text)
    assert re.fullmatch(rf"line {line}, column \d+: is nested too deeply", problem)


def test_an_id_from_the_environment_is_not_shown() -> None:
    text = "providers: [{id: '${TOKEN}', type: kling}, {id: b, type: kling}]\nactiveProviderId: "
    known = "activeProviderId: no provider has this id (known: b)"
    assert _problems(text + "x", TOKEN=SECRET) == [known]
    assert _problems(text + SECRET[:-1], TOKEN=SECRET) == [known]


def test_all_mistakes_are_reported_together_in_lines() -> None:
    text = """
provider:
  type: kling
  klingAccessKey: a
  klingSecretKey: "b\\nc"
  apiToken: d
  protocol: grpc
  capabilities: {openai/v1/video: /x, openai/v1/retrievevideo: /y}
  failover: {enabled: true, failoverOnStatus: ['4.*', '(']}
  retryOnFailure: {maxretries: -1, retryTimeout: soon}
  providerDomain: '${HOST}'
hots: [a]
hosts: [b c]
"""
    with pytest.raises(ConfigurationError) as caught:
        registry.read(text, {}, name="a.yaml")

    first, *lines = str(caught.value).split("\n  ")
    assert first == "a.yaml:"
    assert sorted(line.partition(": ")[0] for line in lines) == [
        "hosts[0]",
        "hots",
        "provider.apiToken",
        "provider.capabilities.openai/v1/retrievevideo",
        "provider.capabilities.openai/v1/video",
        "provider.failover.failoverOnStatus[1]",
        "provider.klingSecretKey",
        "provider.protocol",
        "provider.providerDomain",
        "provider.retryOnFailure.maxretries",
        "provider.retryOnFailure.retryTimeout",
    ]


def test_a_single_mistake_is_one_line() -> None:
    with pytest.raises(ConfigurationError, match=r"^b\.yaml: provider: is missing$"):
        registry.read("hosts: []", {}, name="b.yaml")


def test_keys_may_be_merged_in_from_elsewhere() -> None:
    text = """
activeProviderId: b
providers:
- &one {id: a, type: kling, basePath: /a}
- &two {id: a, apiTokens: token}
- {<<: *one, <<: *two, id: b}
"""
    parsed = _keys(text)

    assert (parsed.id, parsed.base_path) == ("b", "/a")


@table(
    "text",
    [
        "provider: {id: a, type: kling, apiTokens: token}",
        "provider: {id: a, type: kling, apiTokens: token}\nproviders:",
        "provider: {id: a, type: kling, apiTokens: token}\nactiveProviderId: other",
        "providers: [{id: b}, {id: a, type: kling, apiTokens: token}]\nactiveProviderId: a",
        "providers: [{type: nobody}, {id: a, type: kling, apiTokens: token}]\nactiveProviderId: '${ACTIVE}'",
        "providers: [{id: b}, {id: ' ${ACTIVE}', type: kling, apiTokens: token}]\nactiveProviderId: 'a '",
    ],
)
def test_one_provider_is_used_and_the_others_are_not_checked(text: str) -> None:
    assert _keys(text, ACTIVE="a").id == "a"


def test_an_active_provider_may_have_a_number_for_an_id() -> None:
    text = "providers: [{id: 6, type: openai}, {id: 7, type: kling, apiTokens: token}]\nactiveProviderId: '7'"

    assert _keys(text).type == "kling"


@table(
    ("line", "expected"),
    [
        ("", None),
        ("hosts:", None),
        ("hosts: []", ()),
        ("hosts: API.test", (HostPattern("api.test"),)),
        (
            "hosts: ['a:8443', 10.0.0.1, '[::1]:80']",
            (HostPattern("a", 8443), HostPattern("10.0.0.1"), HostPattern("::1", 80)),
        ),
        ("hosts: ['${HOST}:81']", (HostPattern("host.test", 81),)),
    ],
)
def test_hosts_are_one_or_a_list_each_with_or_without_a_port(
    line: str, expected: tuple[HostPattern, ...] | None
) -> None:
    assert _parse(_kling("") + line, HOST="host.test").block(HostSettings).hosts == expected


@table(
    ("line", "expected"),
    [
        ("", ()),
        ("allowedOrigins:", ()),
        ("allowedOrigins: []", ()),
        ("allowedOrigins: HTTP://App.test:80/", ("http://app.test",)),
        (
            "allowedOrigins: ['https://a.test:443', 'http://[::1]:3000', 'http://localhost:3000']",
            ("https://a.test", "http://[::1]:3000", "http://localhost:3000"),
        ),
        (
            "allowedOrigins: [tauri://localhost, chrome-extension://abcdef]",
            ("tauri://localhost", "chrome-extension://abcdef"),
        ),
        ("allowedOrigins: ['https://${HOST}']", ("https://host.test",)),
    ],
)
def test_allowed_origins_are_one_or_a_list_as_browsers_write_them(line: str, expected: tuple[str, ...]) -> None:
    assert _parse(_kling("") + line, HOST="host.test").block(PageSettings).allowed_origins == expected


@table(
    ("pattern", "host", "port", "matches"),
    [
        (HostPattern("a.test"), "A.test", 1, True),
        (HostPattern("a.test", 1), "a.test", 1, True),
        (HostPattern("a.test", 1), "a.test", 2, False),
        (HostPattern("a.test"), "b.a.test", 1, False),
    ],
)
def test_a_host_pattern_matches_one_host_and_any_or_one_port(
    pattern: HostPattern, host: str, port: int, matches: bool
) -> None:
    assert pattern.matches(host, port) is matches


@table(
    ("block", "key"),
    [
        *(("kling", key) for key in (*CHAT, *OTHER_TYPES, "genericHost", "openaiCustomUrl")),
        *(("openai", key) for key in (*OTHER_TYPES, *KLINGS, "genericHost")),
        *(("generic", key) for key in (*CHAT, *OTHER_TYPES, *KLINGS, "openaiCustomUrl")),
    ],
)
def test_a_key_of_the_plugin_that_does_not_apply_to_a_type_is_accepted_whatever_its_value(block: str, key: str) -> None:
    plain = _keys(f"provider: {{{BLOCKS[block]}}}")
    parsed = _keys(f"provider: {{{BLOCKS[block]}, {key}: [any, {{thing: '${{UNSET}}'}}]}}")

    assert (parsed.type, parsed.provider_domain, getattr(parsed, "generic_host", None)) == (
        block,
        plain.provider_domain,
        getattr(plain, "generic_host", None),
    )


NOT_AVAILABLE = [
    *(("kling", key) for key in NOT_IMPLEMENTED),
]


@table("value", ["1", "text", "[{}]", "{enabled: true}", "{serviceName: a}", "true"])
@table(("block", "key"), NOT_AVAILABLE)
def test_a_key_of_the_plugin_that_would_change_something_is_refused(block: str, key: str, value: str) -> None:
    text = f"provider: {{{BLOCKS[block]}, {key}: {value}}}"

    assert _problems(text) == [f"provider.{key}: is not implemented for type {block}"]


@table("value", ["", "false", "'false'", "0", "''", "[]", "{}", "{enabled: false, maxRetries: 3}"])
@table(("block", "key"), NOT_AVAILABLE)
def test_a_key_of_the_plugin_that_is_switched_off_is_accepted(block: str, key: str, value: str) -> None:
    assert _keys(f"provider: {{{BLOCKS[block]}, {key}: {value}}}").type == block


@table(
    ("credential", "problem"),
    [
        ("apiTokens: 12345678901234567890", "apiTokens[0]: expected text (in quotes, if it is made of digits)"),
        ("apiTokens: [a, true]", "apiTokens[1]: expected text (in quotes, if it is made of digits)"),
        ("apiTokens: [a, [b]]", "apiTokens[1]: expected text (in quotes, if it is made of digits)"),
        ('apiTokens: [a, "b\\n"]', "apiTokens[1]: holds a line break"),
        ('apiTokens: ["b\\r"]', "apiTokens[0]: holds a line break"),
        ("apiTokens: ['${BROKEN}']", "apiTokens[0]: holds a line break"),
        ("apiTokens: [Bearer a]", "apiTokens[0]: holds a blank, a control character or a character outside ASCII"),
        ('apiTokens: ["a\\0"]', "apiTokens[0]: holds a blank, a control character or a character outside ASCII"),
        ("apiTokens: [schlüssel]", "apiTokens[0]: holds a blank, a control character or a character outside ASCII"),
        ("klingAccessKey: 12", "klingAccessKey: expected text (in quotes, if it is made of digits)"),
        ('klingSecretKey: "a\\nb"', "klingSecretKey: holds a line break"),
        ("klingSecretKey: a b", "klingSecretKey: holds a blank, a control character or a character outside ASCII"),
    ],
)
def test_a_credential_that_cannot_stand_in_a_header_is_refused(credential: str, problem: str) -> None:
    assert f"provider.{problem}" in _problems(f"provider: {{type: kling, {credential}}}", BROKEN="a\nb")


@table(
    "text",
    [
        f"provider: {{type: kling, klingSecretKey: {SECRET}}}",
        f"provider: {{type: kling, klingAccessKey: {SECRET}}}",
        f"provider: {{type: kling, klingAccessKey: {SECRET}, klingSecretKey: [{SECRET}]}}",
        f'provider: {{type: kling, apiTokens: ["{SECRET}\\n"]}}',
        f"provider: {{type: kling, apiTokens: [Bearer {SECRET}]}}",
        f"provider: {{type: kling, apiTokens: {{token: {SECRET}}}}}",
        "provider: {type: kling, apiTokens: ['${TOKEN} ']}\nhots: []",
        "provider: {type: kling, apiTokens: ['${TOKEN} x']}",
        f"provider: {{type: klin, apiTokens: [{SECRET}]}}",
        "provider: {type: '${TOKEN}'}",
        f"provider: {{type: kling, apiTokens:{SECRET}}}",
        "provider: {type: kling, apiTokens: token, protocol: '${TOKEN}'}",
        "provider: {type: kling, apiTokens: token, basePathHandling: 'x${TOKEN}'}",
        f"provider: {{type: kling, apiTokens: token, providerDomain: '{SECRET}://host'}}",
        f"provider: {{type: kling, apiTokens: {{'a:{SECRET}': b}}}}",
        f"provider: {{type: kling, apiToken: {SECRET}}}",
        f"provider: {{type: kling, apiTokens: token, failover: {SECRET}}}",
        f"provider: {{type: kling, apiTokens: token, klingTokenRefreshAhead: {SECRET}}}",
        f"provider: {{type: kling, apiTokens: token, providerDomain: 'https://user:{SECRET}@host'}}",
        f"provider: {{type: kling, apiTokens: token, providerDomain: 'user:{SECRET}@host/v1'}}",
        f"provider: {{type: kling, apiTokens: token, providerDomain: 'host?key={SECRET}'}}",
        f"provider: {{type: kling, apiTokens: token, providerBasePath: '/v1?key={SECRET}'}}",
        f"provider: {{type: kling, apiTokens: token, capabilities: {{openai/v1/videos: 'x?key={SECRET}'}}}}",
        f"provider: {{type: kling, apiTokens: token, capabilities: {{openai/v1/retrievevideo: '/x?key={SECRET}'}}}}",
        f"provider: {{type: kling, apiTokens: token}}\nhosts: ['user:{SECRET}@host']",
        f"providers: [{{id: a, type: kling, apiTokens: {SECRET}}}]\nactiveProviderId: b",
        f"provider: {SECRET}",
        f"provider: {{a: '{SECRET}\n",
        f'provider: {{a: "{SECRET}\\y"}}',
        f"provider: {{a: *{SECRET}}}",
        f"provider: {{a: !{SECRET} x}}",
        f"provider: {{a: &{SECRET} x, b: &{SECRET} y, c: ]}}",
        f"provider:\n  apiTokens: @{SECRET}",
        f"provider:\n  apiTokens: {SECRET}: x",
        f"provider:\n  apiTokens:{SECRET}\n  type: kling",
        f"provider:\n  apiTokens: !!int {SECRET}",
        f"provider:\n  apiTokens: !!binary {SECRET}\u00e9",
        f"provider:\n  {SECRET}\x07",
        f"%YAML {SECRET}\n---\nprovider:",
    ],
)
def test_no_error_shows_a_secret(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _parse(text, TOKEN=SECRET)

    assert str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_file_is_read_with_the_given_environment(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes("\ufeffprovider: {type: openai, id: '${NAME}', basePath: /a}".encode())

    assert registry.read(path, {"NAME": "é"}).provider.id == "é"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"provider: {type: \xff}", "is not UTF-8 (byte 17)"),
        (
            b"provider: {type: x}",
            f"provider.type: unknown type 'x'; {ANYTHING_ELSE} {KNOWN}",
        ),
    ],
)
def test_a_file_that_is_wrong_is_named(content: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        registry.read(path, {})

    assert (caught.value.source, str(caught.value)) == (str(path), f"{path}: {problem}")


@table(
    ("name", "reason"),
    [
        ("absent.yaml", "there is no such file (ai-proxy init writes a first one)"),
        (".", "Is a directory"),
        ("/dev/zero", "it is not a regular file"),
        ("a pipe", "it is not a regular file"),
        ("long.yaml", "it is longer than 1048576 bytes"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(name: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / name
    (tmp_path / "long.yaml").write_bytes(b"#" * 1048577)
    if name == "a pipe":
        os.mkfifo(path)
    with pytest.raises(ConfigurationError) as caught:
        registry.read(path, {})

    assert str(caught.value) == f"{path}: cannot be read: {reason}"


def test_the_mistakes_of_all_blocks_are_reported_together() -> None:
    text = "provider: {type: kling}\nsimulator: {sped: 1}\ncassette: {pace: fast}\nhosts: [a b]\nscrub: [[]]"

    assert _problems(text) == [
        "hosts[0]: is not a host name or address: expected host or host:port",
        "scrub[0]: expected text",
        NO_CREDENTIAL,
        "simulator.sped: unknown key; did you mean speed?",
        "cassette.pace: expected instant, real, or a factor of the recorded time (above 0, up to 1000)",
    ]


def test_one_read_parses_the_text_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load, parsed = yaml.load, []

    def counted(text: str, Loader: Any) -> Any:
        parsed.append(text)
        return load(text, Loader)

    monkeypatch.setattr(yaml, "load", counted)
    path = tmp_path / "config.yaml"
    path.write_text(_kling("") + "simulator: {speed: 3}\ncassette: {pace: real}")
    configuration = registry.read(path, {})

    assert (configuration.block(SimulatorSettings).speed, configuration.block(CassetteSettings).pace) == (3.0, 1.0)
    assert len(parsed) == 1


def test_a_document_is_read_as_its_text_would_be() -> None:
    document = {"provider": {"type": "kling", "apiTokens": ["${TOKEN}"]}, "hosts": ["a"]}

    read = registry.read(document, {"TOKEN": "t"})
    assert isinstance(read.provider, KlingKeys)
    assert [token.reveal() for token in read.provider.api_tokens] == ["t"]
    assert read.block(HostSettings).hosts == (HostPattern("a"),)


def test_the_source_in_error_messages_can_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    path.write_text("hosts: []")
    sources: tuple[Path | str | dict[str, Any], ...] = (path, "hosts: []", {"hosts": []})
    for source in sources:
        with pytest.raises(ConfigurationError, match=r"^mine: provider: is missing$"):
            registry.read(source, {}, name="mine")


@table("key", ["klingApi", "videoResponse"])
def test_a_key_that_the_plugin_does_not_have_is_known_to_its_own_type_only(key: str) -> None:
    assert _problems(f"provider: {{type: openai, {key}: auto}}") == [f"provider.{key}: unknown key"]


@table("owner", [*(provider.Keys for provider in registry.TYPES.values()), *registry.BLOCKS.values()])
def test_every_key_is_explained_in_a_sentence(owner: type[Any]) -> None:
    keys = declared(owner).values()

    assert keys
    assert [key.name for key in keys if not (key.help.endswith(".") and "\n" not in key.help)] == []


@pytest.mark.parametrize("type_name", ["openai", "generic"])
def test_a_type_that_cannot_be_simulated_is_refused(type_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    configuration = registry.read(f"provider: {{{BLOCKS[type_name]}}}", {}, simulated=True)
    monkeypatch.setattr(registry.TYPES[type_name], "simulated_by", "")
    message = rf"^config\.yaml: ai_simulate: the simulator does not know the types in use \({type_name}\)$"
    with pytest.raises(ConfigurationError, match=message):
        registry.providers(configuration, simulated=True)


def test_every_compatible_type_has_the_simulators_key_when_it_is_simulated() -> None:
    for name in [name for name, kind in registry.TYPES.items() if kind.simulated_by == "chat"]:
        where = ", baseUrl: 'https://host.test/v1'" if registry.TYPES[name].needs else ""
        text = f"provider: {{type: {name}, apiTokens: [own]{where}}}\nsimulator: {{apiKey: key}}"
        configuration = registry.read(text, {}, simulated=True)
        (provider,) = registry.providers(configuration, simulated=True)
        assert provider.secrets() == ("key",), name
        assert registry.can_be_simulated(configuration)
        assert not registry.is_simulated_without_key(configuration)


@table(
    ("credential", "account"),
    [
        ("", ("access", "secret")),
        ("klingAccessKey: a, klingSecretKey: b", ("access", "secret")),
        ("klingAccessKey: a, klingSecretKey: b, apiTokens: t", ("access", "secret")),
        ("apiTokens: t", ("key",)),
        ("klingApi: v2", ("key",)),
        ("klingApi: v2, apiTokens: t", ("key",)),
    ],
)
def test_a_simulated_provider_has_the_simulators_account_in_the_place_of_its_own(
    credential: str, account: tuple[str, ...]
) -> None:
    simulator = "simulator: {accessKey: access, secretKey: secret, apiKey: key}"
    configuration = registry.read(f"provider: {{type: kling, {credential}}}\n{simulator}", {}, simulated=True)

    assert registry.providers(configuration, simulated=True).secrets == account


def test_what_is_simulated_needs_no_credential_but_its_variables() -> None:
    text = "provider: {type: kling, apiTokens: ['${TOKEN}']}"
    with pytest.raises(ConfigurationError, match="TOKEN is not set"):
        registry.read(text, {}, simulated=True)

    assert isinstance(registry.read(text, {}, offline=True).provider, KlingKeys)


@table(
    ("keys", "is_refused"),
    [
        (f"klingAccessKey: {ACCESS_KEY}, klingSecretKey: {SECRET_KEY}", True),
        (f"apiTokens: [{API_KEY}]", True),
        (f"apiTokens: [a, {API_KEY}]", True),
        (f"apiTokens: [{API_KEY}], providerDomain: 'http://127.0.0.1:8090'", False),
        (f"klingAccessKey: a, klingSecretKey: {SECRET_KEY}, providerDomain: gateway.test", False),
        (f"klingAccessKey: {ACCESS_KEY}, klingSecretKey: other", False),
        ("apiTokens: [a]", False),
    ],
)
def test_the_simulators_credential_is_not_for_the_real_kling(keys: str, is_refused: bool) -> None:
    text = f"provider: {{type: kling, {keys}}}"
    registry.read(text, {}, offline=True)
    registry.read(text, {}, simulated=True)
    if not is_refused:
        registry.read(text, {})
        return

    (problem,) = _problems(text)
    assert problem.startswith(
        "provider.providerDomain: is missing: the key is the simulator's, which Kling does not know"
    )
    assert SECRET_KEY not in problem
    assert API_KEY not in problem
