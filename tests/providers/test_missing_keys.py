"""Keys that are missing or of the wrong form: what is said at the start, of each once."""

from __future__ import annotations

import pytest

from mitm_ai_proxy import registry
from mitm_ai_proxy.config.file import ConfigurationError
from mitm_ai_proxy.providers.rows import COMPATIBLE
from tests.auth import service_account
from tests.tables import table


def _said(block: str) -> list[str]:
    """What is said of the keys of a block: `key: sentence`."""
    try:
        registry.read(f"provider: {{{block}}}", {})
    except ConfigurationError as error:
        return [str(problem).removeprefix("provider.") for problem in error.problems]
    return []


def _names(said: list[str]) -> list[str]:
    return [line.partition(":")[0] for line in said]


@table("name", sorted(COMPATIBLE))
def test_an_empty_block_is_told_each_key_that_it_lacks_once(name: str) -> None:
    kind = COMPATIBLE[name]
    found = _names(_said(f"type: {name}"))
    wanted = {*kind.needs[:1], *(() if kind.is_key_optional else ["apiTokens"])}

    assert len(found) == len(set(found))
    assert set(found) == wanted or (name, *found) == ("vertex", "vertexAuthKey", "vertexRegion", "vertexProjectId")


@table(
    ("block", "said"),
    [
        ("bedrock, awsAccessKey: a", ["awsRegion: is missing", "awsSecretKey: is missing beside awsAccessKey"]),
        (
            "bedrock, awsSecretKey: a",
            ["awsRegion: is missing, such as us-east-1: signatures", "awsAccessKey: is missing beside awsSecretKey"],
        ),
        ("bedrock, awsRegion: us-east-1, awsAccessKey: a", ["awsSecretKey: is missing beside awsAccessKey"]),
        ("bedrock, awsAccessKey: a, awsSecretKey: b", ["awsRegion: is missing, such as us-east-1: signatures are"]),
        ("bedrock, apiTokens: t, awsRegion: useast", ["awsRegion: expected a region of AWS, such as us-east-1"]),
        ("bedrock, apiTokens: t, baseUrl: 'http://h.test'", []),
        ("vertex, vertexAuthKey: x", ["vertexAuthKey: is not the JSON of a", "vertexRegion: is missing"]),
        ("vertex, vertexRegion: r, vertexAuthKey: {a: b}", ["vertexAuthKey: lacks client_email, private_key_id"]),
        (f"vertex, vertexAuthKey: {service_account.key_file()}", ["vertexRegion: is missing: a region such as"]),
        ("vertex, apiTokens: t, vertexOpenAICompatible: true", ["vertexOpenAICompatible: is not compatible with"]),
        ("hunyuan, hunyuanAuthId: x", ["hunyuanAuthId: has 1 characters", "hunyuanAuthKey: is missing"]),
        ("hunyuan, hunyuanAuthId: 'a b'", ["hunyuanAuthId: holds a blank"]),
        ("cloudflare, apiTokens: t, cloudflareAccountId: a/b", ["cloudflareAccountId: expected letters, digits, -"]),
        ("cloudflare, apiTokens: t, baseUrl: 'http://h.test'", []),
        (
            "cloudflare, apiTokens: t, cloudflareAccountId: a,"
            " capabilities: {openai/v1/embeddings: '/{cloudflareAccount}'}",
            ["capabilities.openai/v1/embeddings: nothing is known to put into {cloudflareAccount}; did you mean cloud"],
        ),
        ("deepl, apiTokens: t", ["targetLang: is missing: the language to translate to"]),
        ("deepl, apiTokens: t, baseUrl: 'http://h.test'", ["targetLang: is missing"]),
        ("deepl, apiTokens: t, protocol: original", []),
        ("triton, tritonDomain: 'a b'", ["tritonDomain: is not a host name or address"]),
        ("triton, tritonDomain: h, tritonModelVersion: new", ["tritonModelVersion: expected a number"]),
        ("minimax, apiTokens: t, minimaxApiType: pro", ["minimaxGroupId: is missing"]),
        ("dify, apiTokens: t, botType: Workflow", ["inputVariable: is missing"]),
        ("dify, apiTokens: t, botType: robot", ["botType: unknown value 'robot' (known: Chat, Agent"]),
        ("gemini, apiTokens: t, geminiThinkingBudget: much", ["geminiThinkingBudget: expected a whole number"]),
        ("moonshot, apiTokens: t, moonshotFileId: 'a/b'", ["moonshotFileId: expected the id of a file"]),
        ("azure, apiTokens: t, azureServiceUrl: 'a b'", ["azureServiceUrl: is not a host name or address"]),
    ],
)
def test_a_missing_or_wrong_key_is_named_once(block: str, said: list[str]) -> None:
    found = _said(f"type: {block}")

    assert len(found) == len(said), found
    for line, start in zip(sorted(found), sorted(said), strict=True):
        assert line.startswith(start)


def test_a_placeholder_is_told_where_it_is_and_not_shown() -> None:
    with pytest.raises(ConfigurationError) as caught:
        registry.read("provider: {type: groq, apiTokens: ['<SECRET KEY>', t, '<B C>'], providerDomain: <HOST>}", {})

    assert str(caught.value) == (
        "config.yaml:\n  provider.apiTokens[0]: is a placeholder of an example: put your own value here"
        "\n  provider.apiTokens[2]: is a placeholder of an example: put your own value here"
        "\n  provider.providerDomain: is a placeholder of an example: put your own value here"
    )


@table(
    ("value", "is_one"),
    [
        ("YOUR_API_KEY", True),
        ("sk-xxxx", True),
        ("****", True),
        ("<KEY>", True),
        ("your-project", True),
        ("sk-youth", False),
        ("AXXX", False),
        ("a<b>", True),
        ("<1>", False),
        ("${YOUR_KEY:-your-key}", False),
        ("neighbour-hood", False),
    ],
)
def test_what_is_a_placeholder(value: str, is_one: bool) -> None:
    block = f"provider: {{type: groq, apiTokens: t, id: {value!r}}}"
    assert bool(registry.warnings(registry.read(block, {}))) == is_one
