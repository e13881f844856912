"""A block of the Higress plugin whose type is not here: the way on, which works, and all its other mistakes."""

from __future__ import annotations

import pytest

from mitm_ai_proxy import registry
from mitm_ai_proxy.config.file import ConfigurationError
from mitm_ai_proxy.providers.higress_types import ANYTHING_ELSE
from tests.tables import table

KNOWN = f"(known: {', '.join(sorted(registry.TYPES))})"


def _problems(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        registry.read(text, {})
    return [str(problem) for problem in caught.value.problems]


def _hint(name: str) -> str:
    """What is said about the type, behind its name."""
    (problem,) = _problems(f"provider: {{type: {name}, apiTokens: [t]}}")
    head, tail = f"provider.type: unknown type '{name}'; ", f" {KNOWN}"
    assert problem.startswith(head)
    assert problem.endswith(tail)
    return problem.removeprefix(head).removesuffix(tail)


@table("name", ["sora", "nobody", "x" * 60, "é"])
def test_an_unknown_type_has_a_way_on_too(name: str) -> None:
    assert _hint(name) == ANYTHING_ELSE


@table(
    ("line", "others"),
    [
        ("apiTokens: [t]", []),
        ("qwenDomain: a.test, timeout: 5, ollamaServerPort: 1, awsRegion: x", []),
        ("apiToken: t", ["provider.apiToken: unknown key; did you mean apiTokens?"]),
        ("protocol: odd", ["provider.protocol: unknown value 'odd' (known: openai, original)"]),
        (
            "protocol: odd, modelMaping: {a: b}, providerDomain: 'ftp://x'",
            [
                "provider.modelMaping: unknown key; did you mean modelMapping?",
                "provider.protocol: unknown value 'odd' (known: openai, original)",
                "provider.providerDomain: unknown scheme 'ftp'",
            ],
        ),
        ("apiTokens: ['${NO_SUCH}']", ["provider.apiTokens[0]: the environment variable NO_SUCH is not set"]),
        (
            "capabilities: {openai/v1/chatcompletion: /a}",
            ["provider.capabilities.openai/v1/chatcompletion: unknown API; did you mean openai/v1/chatcompletions?"],
        ),
        ("modelMapping: {'~(': b}", ["provider.modelMapping: "]),
    ],
)
@table("name", ["klong"])
def test_all_other_mistakes_of_the_block_are_named_with_it(line: str, others: list[str], name: str) -> None:
    found = _problems(f"provider: {{type: {name}, {line}}}\nhots: [a]")
    said = [problem for problem in found if not problem.startswith(("hots: ", "provider.type: "))]

    assert len(found) == len(said) + 2
    assert len(said) == len(others)
    for problem, start in zip(sorted(said), sorted(others), strict=True):
        assert problem.startswith(start)


@table("name", ["nobody", "", "x" * 500])
def test_a_block_whose_type_says_nothing_is_checked_by_what_all_types_have(name: str) -> None:
    text = f"provider: {{type: '{name}', klingAccessKey: a, genericHost: 'ftp://', apiToken: t, protocol: odd}}"
    first, *rest = _problems(text)

    assert first.startswith("provider.type: ")
    assert rest == [
        "provider.apiToken: unknown key; did you mean apiTokens?",
        "provider.protocol: unknown value 'odd' (known: openai, original)",
    ]


RESOURCE = """
apiVersion: extensions.higress.io/v1alpha1
kind: WasmPlugin
metadata: {name: ai-proxy}
spec:
"""


@table(
    "spec",
    [
        "  defaultConfig: {provider: {type: vertex, apiTokens: [SECRET]}}",
        "  matchRules: [{config: {provider: {type: vertex, apiTokens: [SECRET]}}}]",
        "  url: SECRET",
        "",
    ],
)
def test_a_whole_resource_is_told_where_its_block_is(spec: str) -> None:
    (problem,) = _problems(RESOURCE + spec)

    assert problem.startswith("spec: this is a resource of Kubernetes; the file is what stands in its spec.")
    assert "SECRET" not in problem
