"""The files that are the context of chats: the keys that name them, and what becomes of their text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mitm_ai_proxy import registry
from mitm_ai_proxy.config.file import ConfigurationError
from mitm_ai_proxy.providers.base import Provider
from mitm_ai_proxy.providers.fetches import Fetch
from tests.providers.chats import CHAT, MESSAGES, Json, upstream_of
from tests.tables import table

FILE = "context: {fileUrl: 'http://files.test/a.txt'}"
ASKED: Json = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
ADDED = [{"role": "system", "content": "TEXT"}, {"role": "user", "content": "hi"}]


def _provider(block: str, text: str = "TEXT") -> tuple[Provider, list[Fetch]]:
    read = registry.read(f"provider: {{apiTokens: [first, second], type: {block}}}", {})
    seen: list[Fetch] = []

    def load(fetch: Fetch) -> str:
        seen.append(fetch)
        return text

    return registry.provider(registry.fetched(read, load), lambda: 0.0), seen


@table(
    ("keys", "source", "timeout"),
    [
        (FILE, "http://files.test/a.txt", 120),
        (f"context: [{FILE.removeprefix('context: ')}], timeout: 1500", "http://files.test/a.txt", 1.5),
        ("context: {fileUrl: 'f.test/a?b=1', serviceName: f.dns, servicePort: 80}", "https://f.test/a?b=1", 120),
        ("context: {fileUrl: 'file:///etc/a.txt'}", "/etc/a.txt", 120),
    ],
)  # fmt: skip
def test_a_file_is_named_in_the_plugin_s_forms(keys: str, source: str, timeout: float) -> None:
    _, (fetch,) = _provider(f"groq, {keys}")

    assert (str(fetch.source), fetch.timeout, dict(fetch.fields)) == (source, timeout, {})


@table(
    ("block", "target", "place"),
    [
        (f"groq, {FILE}", CHAT, "messages"),
        (f"groq, {FILE}", MESSAGES, "messages"),
        (f"openai, {FILE}", CHAT, "messages"),
        (f"cohere, {FILE}", CHAT, "messages"),
        (f"cohere, {FILE}", MESSAGES, "messages"),
        (f"moonshot, {FILE}", MESSAGES, "messages"),
        ("moonshot, moonshotFileId: f-1", CHAT, "messages"),
        (f"qwen, {FILE}", CHAT, "messages"),
        (f"qwen, qwenEnableCompatible: false, {FILE}", CHAT, "input"),
    ],
)
def test_its_text_is_in_each_chat(block: str, target: str, place: str) -> None:
    provider, _ = _provider(block)
    sent = json.loads(upstream_of(provider, target, ASKED).body or b"")

    assert (sent[place]["messages"] if place == "input" else sent[place]) == ADDED


@table("block", [f"claude, {FILE}", f"qwen, {FILE}", f"deepseek, {FILE}"])
def test_in_anthropic_s_own_api_it_is_the_system_prompt(block: str) -> None:
    provider, _ = _provider(block)
    for system in ({}, {"system": "s"}, {"system": [{"type": "text", "text": "s"}]}):
        sent = json.loads(upstream_of(provider, MESSAGES, {**ASKED, **system}).body or b"")

        expected = {"": "TEXT", "s": "s\n\nTEXT"}.get(str(system.get("system", "")))
        assert sent["system"] == expected or sent["system"][-1] == {"type": "text", "text": "TEXT"}


def test_a_file_at_moonshot_is_loaded_once_with_the_first_key() -> None:
    block = "moonshot, moonshotFileId: f-1, baseUrl: 'https://api.moonshot.ai/v1'"
    provider, (fetch,) = _provider(block)

    assert str(fetch.source) == "https://api.moonshot.ai/v1/files/f-1/content"
    assert fetch.fields == {"authorization": "Bearer first"}
    assert provider.fetches() == ()


def test_other_apis_have_no_context() -> None:
    provider, _ = _provider(f"openai, {FILE}")
    upstream = upstream_of(provider, "/v1/embeddings", {"model": "m", "input": "a"})

    assert upstream.body is None


@table(
    ("block", "problem"),
    [
        ("groq, context: {}", ""),
        ("groq, context: []", ""),
        ("groq, context: ~", ""),
        ("groq, context: text", "context: expected a mapping with fileUrl"),
        ("groq, context: {serviceName: a}", "context: has no fileUrl"),
        ("groq, context: {fileUrl: a.test, fileURL: b}", "context: has an unknown key fileURL; did you mean fileUrl?"),
        ("groq, context: [{fileUrl: a.test}, {fileUrl: b.test}]", "context: expected one file"),
        ("groq, context: {fileUrl: 'ftp://a.test/x'}", "context: unknown scheme 'ftp'"),
        (f"groq, protocol: original, {FILE}", "context: has no effect with protocol: original"),
        (f"moonshot, moonshotFileId: f, {FILE}", "moonshotFileId: stands beside context; keep one of the two"),
        ("moonshot, moonshotFileId: 'a/b'", "moonshotFileId: expected the id of a file"),
        ("moonshot, moonshotFileId: ''", ""),
        (f"qwen, qwenFileIds: [f], {FILE}", "qwenFileIds: stand beside context; keep one of the two"),
        ("qwen, qwenFileIds: []", ""),
    ],
)
def test_a_wrong_context_is_named_at_the_start(block: str, problem: str) -> None:
    read = f"provider: {{apiTokens: [token], type: {block}}}"
    if not problem:
        assert registry.provider(registry.read(read, {})).fetches() == ()
        return
    with pytest.raises(ConfigurationError) as caught:
        registry.read(read, {})

    (found,) = caught.value.problems
    assert str(found).startswith(f"provider.{problem}")


def test_what_cannot_be_loaded_is_a_mistake_of_the_configuration() -> None:
    blocks = ", ".join(f"{{id: {id}, type: groq, apiTokens: [t], {FILE}}}" for id in "ab")
    read = registry.read(f"providers: [{blocks}]\nroutes: [{{model: x, provider: a}}]\nactiveProviderId: b", {})

    def load(fetch: Fetch) -> str:
        raise ValueError("cannot be loaded: no route")

    with pytest.raises(ConfigurationError) as caught:
        registry.fetched(read, load)
    lines = [str(problem) for problem in caught.value.problems]
    assert lines == [f"providers ({name}).context: http://files.test/a.txt cannot be loaded: no route" for name in "ab"]


def test_nothing_is_loaded_where_nothing_is_wanted() -> None:
    read = registry.read("provider: {apiTokens: [t], type: groq}", {})

    assert registry.fetched(read, lambda fetch: str(Path(str(fetch)))) is read
