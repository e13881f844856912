"""A file of LiteLLM's proxy is told what it would be here, in a block that works and shows no key."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from mitm_ai_proxy import registry
from mitm_ai_proxy.config.file import ConfigurationError
from tests.tables import table

SECRET = "sk-s3cr3t-m4rker"


def _problem(document: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        registry.read(yaml.safe_dump(document), {})
    (problem,) = caught.value.problems
    assert str(problem).startswith("model_list: this is a file of LiteLLM's; here, a provider: block is needed")
    assert SECRET not in str(problem)
    return str(problem)


def _entry(name: Any = "fast", **parameters: Any) -> dict[str, Any]:
    return {"model_name": name, "litellm_params": parameters}


KEY = {"api_key": "os.environ/THE_KEY"}


@table(
    ("entry", "block"),
    [
        (
            _entry("gpt-4o", model="openai/gpt-4o", **KEY),
            {"type": "openai", "apiTokens": ["${THE_KEY}"]},
        ),
        (_entry(model="gpt-4o"), {"type": "openai", "modelMapping": {"fast": "gpt-4o"}}),
        (
            _entry(model="deepseek/deepseek-chat", **KEY),
            {
                "type": "deepseek",
                "apiTokens": ["${THE_KEY}"],
                "modelMapping": {"fast": "deepseek-chat"},
            },
        ),
        (
            _entry(model="groq/llama-3.3-70b", api_key=SECRET),
            {
                "type": "groq",
                "apiTokens": ["${API_KEY}"],
                "modelMapping": {"fast": "llama-3.3-70b"},
            },
        ),
        (
            _entry(model="together_ai/meta/llama", **KEY),
            {
                "type": "together-ai",
                "apiTokens": ["${THE_KEY}"],
                "modelMapping": {"fast": "meta/llama"},
            },
        ),
        (
            _entry("m", model="openai/m", api_base="http://10.0.0.1:8000/v1"),
            {"type": "openai", "baseUrl": "http://10.0.0.1:8000/v1"},
        ),
        (
            _entry("m", model="openai/m", api_base="https://llm.test/v1?key=" + SECRET),
            {"type": "openai", "baseUrl": "https://llm.test/v1"},
        ),
        (
            _entry("m", model="openai/m", api_base=f"https://user:{SECRET}@llm.test/v1"),
            {"type": "openai"},
        ),
        (
            _entry("m", model="bedrock/m", aws_region_name="us-west-2"),
            {"type": "bedrock", "awsRegion": "us-west-2"},
        ),
        (_entry("m", model="bedrock/m"), {"type": "bedrock", "awsRegion": "${AWS_REGION}"}),
        (_entry("m", model="triton/m"), {"type": "triton", "tritonDomain": "HOST"}),
        (
            _entry("m", model="vertex_ai/m", vertex_project="os.environ/THE_PROJECT", vertex_location="us-central1"),
            {"type": "vertex", "vertexProjectId": "${THE_PROJECT}", "vertexRegion": "us-central1"},
        ),
        (
            _entry("m", model="anthropic/m", **KEY),
            {"type": "claude", "apiTokens": ["${THE_KEY}"]},
        ),
        (
            _entry("m", model="vertex_ai/m", **KEY),
            {"type": "vertex", "apiTokens": ["${THE_KEY}"]},
        ),
        (
            _entry("m", model="azure/m", api_base="https://mine.openai.azure.com/", **KEY),
            {"type": "azure", "baseUrl": "https://mine.openai.azure.com/openai/v1", "apiTokens": ["${THE_KEY}"]},
        ),
        (_entry("m", model="nobody/m"), {"type": "openai", "baseUrl": "https://HOST/v1"}),
        (
            _entry("m", model="gemini/m", **KEY),
            {"type": "gemini", "apiTokens": ["${THE_KEY}"]},
        ),
        (
            _entry("m", model="xai/m", api_base="https://us-east-1.api.x.ai/v1", **KEY),
            {"type": "grok", "baseUrl": "https://us-east-1.api.x.ai/v1", "apiTokens": ["${THE_KEY}"]},
        ),
        (_entry("m", model="hosted_vllm/m"), {"type": "vllm", "vllmServerHost": "HOST"}),
        # A path that may hold a key is not shown.
        (
            _entry("m", model="openai/m", api_base=f"https://llm.test/{SECRET * 2}/v1"),
            {"type": "openai", "baseUrl": "https://llm.test/v1"},
        ),
        (
            _entry("a*", model="openai/*"),
            {"type": "openai"},
        ),
        # What is no name is not shown.
        (_entry(SECRET * 9, model="openai/m"), {"type": "openai"}),
        (_entry(f"a {SECRET}", model=f"openai/{SECRET} "), {"type": "openai"}),
        (_entry(7, model=[SECRET]), {"type": "openai"}),
        ({"model_name": "m", "litellm_params": SECRET}, {"type": "openai"}),
        ({}, {"type": "openai"}),
    ],
)
def test_the_first_entry_is_shown_as_a_block_that_works(entry: dict[str, Any], block: dict[str, Any]) -> None:
    found = re.search(r"; its first entry is, here: \{(provider: .*)\}", _problem({"model_list": [entry]}))
    assert found
    document = yaml.safe_load(found[1])

    assert document == {"provider": block}
    environment = {"THE_KEY": "k", "API_KEY": "k", "AWS_REGION": "us-east-1", "THE_PROJECT": "p"}
    registry.provider(
        registry.read(document, environment, offline=document["provider"]["type"] in ("bedrock", "vertex"))
    )


@table(
    "document",
    [
        {"model_list": []},
        {"model_list": {}},
        {"model_list": "x"},
        {"model_list": [SECRET]},
        {"litellm_settings": {"a": SECRET}, "model_list": []},
        {"general_settings": {"master_key": SECRET}, "model_list": [{}], "router_settings": {}},
    ],
)
def test_it_is_recognised_by_its_list_of_models(document: dict[str, Any]) -> None:
    _problem(document)


def test_further_entries_are_mentioned() -> None:
    text = _problem({"model_list": [_entry(model="openai/a"), _entry(model="openai/b")]})

    assert text.endswith("; its other models are lines of modelMapping, or blocks of providers:")


def test_in_a_file_of_ours_it_is_an_unknown_key() -> None:
    with pytest.raises(ConfigurationError) as caught:
        registry.read("provider: {type: openai}\nmodel_list: []", {})

    assert [str(problem) for problem in caught.value.problems] == ["model_list: unknown key"]
