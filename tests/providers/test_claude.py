"""Anthropic's own API: which header fields its requests get, and which credential."""

from __future__ import annotations

import json

import pytest

from mitm_ai_proxy import registry
from mitm_ai_proxy.config.file import ConfigurationError
from tests.providers.chats import CHAT, HELLO, MESSAGES, fields_of, outgoing_of, provider_of
from tests.tables import table

KEY, OAUTH = "sk-ant-api03-k", "sk-ant-oat01-t"
CODE_BETAS = "oauth-2025-04-20,interleaved-thinking-2025-05-14,claude-code-20250219"


@table(
    ("block", "lines", "expected"),
    [
        (f"claude, apiTokens: {KEY}", (), {"x-api-key": KEY, "authorization": None, "anthropic-beta": None}),
        (
            f"claude, apiTokens: {KEY}",
            ("Authorization: Bearer mine", "X-Api-Key: mine"),
            {"x-api-key": KEY, "authorization": None},
        ),
        (
            f"claude, apiTokens: {OAUTH}",
            ("X-Api-Key: mine", "anthropic-beta: a, b"),
            {"authorization": f"Bearer {OAUTH}", "x-api-key": None, "anthropic-beta": "a, b,oauth-2025-04-20"},
        ),
        (
            f"claude, apiTokens: {OAUTH}",
            ("anthropic-beta: oauth-2025-04-20",),
            {"anthropic-beta": "oauth-2025-04-20"},
        ),
        (
            f"claude, claudeCodeMode: true, apiTokens: {KEY}",
            ("User-Agent: x",),
            {
                "authorization": f"Bearer {KEY}",
                "x-api-key": None,
                "anthropic-beta": CODE_BETAS,
                "user-agent": "claude-cli/2.1.2 (external, cli)",
                "x-app": "cli",
            },
        ),
        (
            f"claude, claudeCodeMode: true, apiTokens: {KEY}",
            ("User-Agent: claude-cli/9.9", "anthropic-beta: new-2027-01-01,claude-code-20250219"),
            {
                "user-agent": "claude-cli/9.9",
                "anthropic-beta": "new-2027-01-01,claude-code-20250219,oauth-2025-04-20,"
                "interleaved-thinking-2025-05-14",
            },
        ),
        ("claude", ("Authorization: Bearer mine",), {"authorization": "Bearer mine", "x-api-key": None}),
        ("claude", ("X-Api-Key: mine",), {"authorization": None, "x-api-key": "mine"}),
        (
            f"claude, protocol: original, apiTokens: {OAUTH}",
            (),
            {"authorization": f"Bearer {OAUTH}", "anthropic-beta": "oauth-2025-04-20", "anthropic-version": None},
        ),
    ],
)
def test_the_credential_is_sent_in_its_own_form_with_the_betas_that_it_needs(
    block: str, lines: tuple[str, ...], expected: dict[str, str | None]
) -> None:
    fields = fields_of(outgoing_of(provider_of(block), MESSAGES, HELLO, *lines))

    assert {name: fields.get(name) for name in expected} == expected


@table(
    ("block", "lines", "version"),
    [
        ("claude", (), "2023-06-01"),
        ("claude", ("anthropic-version: 2026-10-21",), "2026-10-21"),
        ("claude, claudeVersion: 2026-10-21", (), "2026-10-21"),
        ("claude, apiVersion: 2026-10-21", (), "2026-10-21"),
        ("claude, apiVersion: 2025-01-01, claudeVersion: 2026-10-21", (), "2026-10-21"),
        ("claude, claudeVersion: 2026-10-21", ("anthropic-version: 2023-06-01",), "2023-06-01"),
    ],
)
def test_a_clients_version_is_never_overwritten(block: str, lines: tuple[str, ...], version: str) -> None:
    for target in (MESSAGES, "/v1/messages/batches", "/v1/files"):
        assert fields_of(outgoing_of(provider_of(block), target, HELLO, *lines))["anthropic-version"] == version


def test_a_translated_request_has_the_configured_version_and_what_that_takes() -> None:
    document = {**HELLO, "model": "claude-sonnet-4-5", "temperature": 0.5}
    for version, has_temperature in (("2023-06-01", True), ("2026-10-21", False)):
        outgoing = outgoing_of(provider_of(f"claude, claudeVersion: {version}"), CHAT, document)
        assert fields_of(outgoing)["anthropic-version"] == version
        assert ("temperature" in json.loads(outgoing.body or b"")) is has_temperature


def test_a_translated_chat_of_claude_code_mode_has_a_system_prompt_with_a_cache_mark() -> None:
    body = json.loads(outgoing_of(provider_of("claude, claudeCodeMode: true"), CHAT, HELLO).body or b"")

    (system,) = body["system"]
    assert system["text"].startswith("You are Claude Code")
    assert system["cache_control"] == {"type": "ephemeral"}


@table(
    ("role", "prompts"),
    [("user", ["You are Claude Code", "CONTEXT"]), ("system", ["Hi", "CONTEXT"]), ("developer", ["Hi", "CONTEXT"])],
)
def test_claude_code_mode_says_its_prompt_before_a_context_but_not_before_a_client_s(
    role: str, prompts: list[str]
) -> None:
    block = "provider: {type: claude, claudeCodeMode: true, apiTokens: t, context: {fileUrl: 'http://f.test/a'}}"
    provider = registry.provider(registry.fetched(registry.read(block, {}), lambda fetch: "CONTEXT"))
    messages = [{"role": role, "content": "Hi"}, {"role": "user", "content": "Hello"}]
    system = json.loads(outgoing_of(provider, CHAT, {**HELLO, "messages": messages}).body or b"")["system"]

    assert [block["text"][: len(prompt)] for block, prompt in zip(system, prompts, strict=True)] == prompts
    assert ["cache_control" in block for block in system] == [False, True]


def test_a_native_request_is_sent_to_the_byte() -> None:
    body = (
        b'{ "model":"claude-x", "max_tokens" : 1e2,"system":[{"type":"text","text":"\\u00e9","cache_control":'
        b'{"type":"ephemeral","ttl":"1h"}}],"messages":[{"role":"assistant","content":[{"type":"thinking",'
        b'"thinking":"","signature":"EqQB"}]}],"new_field":1}'
    )
    for target in (MESSAGES, "/v1/messages/count_tokens", "/v1/complete", "/v1/messages/batches"):
        outgoing = outgoing_of(provider_of(f"claude, apiTokens: {KEY}"), f"{target}?beta=true", body)
        assert (outgoing.body, outgoing.target) == (None, f"{target}?beta=true")


def test_a_version_that_is_no_date_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="claudeVersion: expected a date"):
        registry.read("provider: {type: claude, claudeVersion: 'new\\n'}", {})
