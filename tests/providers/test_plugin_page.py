"""The examples of the Higress plugin's page (plugin_page.yaml): its blocks unchanged, what is sent, what comes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from mitm_ai_proxy import registry
from mitm_ai_proxy.config import placeholders
from mitm_ai_proxy.config.file import Configuration, ConfigurationError
from mitm_ai_proxy.config.keys import secrets
from mitm_ai_proxy.exchange import Answer, Upstream, Whole
from mitm_ai_proxy.providers.base import Provider
from mitm_ai_proxy.providers.chats import TRANSLATION
from mitm_ai_proxy.providers.common_keys import CommonKeys
from tests.auth import service_account
from tests.providers.chats import CHAT, MESSAGES, Json, fields_of, outgoing_of, upstream_of
from tests.providers.vendor_answers import WHOLE, document_of, whole_of
from tests.tables import table

PAGE: Final[list[Json]] = yaml.load(
    (Path(__file__).parent / "plugin_page.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader
)
SIGNED: Final = ("hunyuan", "bedrock", "vertex")
"""Types whose requests show no key, or none of the file."""

EXAMPLES: Final = [(block, example) for block in PAGE for example in block["examples"]]
ANSWERED: Final = [(block, example) for block, example in EXAMPLES if "answer" in example]
CHATS: Final = [(block, example) for block, example in ANSWERED if "to" not in example]


def _named(rows: list[tuple[Json, Json]]) -> list[str]:
    return [f"{block['block']}{example['request']}" for block, example in rows]


def _read(block: Json, *, is_filled: bool = True, line: str = "") -> Configuration[CommonKeys]:
    text = block["block"]
    for placeholder, value in block.get("placeholders", {}).items() if is_filled else ():
        assert placeholder in text
        key = json.dumps(service_account.pem())[1:-1]
        text = text.replace(placeholder, value.replace("PRIVATE_KEY", key))
    found = registry.read(f"{text}  {line}\n" if line else text, {})
    return registry.fetched(found, lambda fetch: "CONTEXT")


def _provider(block: Json, line: str = "") -> Provider:
    made = registry.provider(_read(block, line=line), lambda: 1700000000.0)
    if made.access_tokens is not None:
        made.access_tokens.is_offline = True
    return made


@table("block", PAGE, ids=[block["block"].split("type: ")[1].split()[0] for block in PAGE])
def test_a_block_pasted_unchanged_says_what_is_still_to_be_put_into_it(block: Json) -> None:
    """It is read, with a warning of each placeholder; refused is only what cannot be a value, by the same words."""
    if "placeholders" not in block:
        configuration = _read(block)
        said = registry.warnings(configuration)
        assert len(said) == len(configuration.placeholders) > 0
    else:
        with pytest.raises(ConfigurationError) as caught:
            _read(block, is_filled=False)
        said = [str(problem).replace(": is", " is") for problem in caught.value.problems]
        assert 1 <= len(said) <= len(block["placeholders"])
        assert _read(block)
    assert all(line.startswith("provider") and line.endswith(f" {placeholders.MESSAGE}") for line in said)


@table(("block", "example"), EXAMPLES, ids=_named(EXAMPLES))
def test_a_request_of_the_page_is_sent(block: Json, example: Json) -> None:
    provider, to, request = _provider(block, example.get("with", "")), example.get("to", CHAT), example["request"]
    sent, outgoing = upstream_of(provider, to, request), outgoing_of(provider, to, request)

    assert f"{sent.origin}{sent.target}" == example["url"]
    assert (None if sent.body is None else json.loads(sent.body)) == example.get("sent")
    token = next(iter(secrets(provider.keys)))
    assert token in f"{outgoing.target} {fields_of(outgoing)}" or provider.type in SIGNED


@table(("block", "example"), ANSWERED, ids=_named(ANSWERED))
def test_an_answer_of_the_page_comes_back(block: Json, example: Json) -> None:
    provider = _provider(block, example.get("with", ""))
    sent = upstream_of(provider, example.get("to", CHAT), example["request"])
    body = json.dumps(example["answer"], ensure_ascii=False).encode()
    found = _answer(provider, sent, body)

    if "gets" in example:
        assert _less(json.loads(found), example["gets"]) == example["gets"]
    else:
        assert found == body


@table(("block", "example"), CHATS, ids=_named(CHATS))
def test_an_answer_of_the_page_comes_back_to_clients_of_anthropic_s_dialect(block: Json, example: Json) -> None:
    provider = _provider(block, example.get("with", ""))
    sent = upstream_of(provider, MESSAGES, {"max_tokens": 9, **example["request"]})
    if TRANSLATION not in sent.memo:
        assert sent.target.endswith(("/messages", "/invoke")) or provider.keys.protocol == "original"
        return
    found = document_of(whole_of(provider, sent, example["answer"]))

    answer: Json = example["gets"] if "gets" in example else example["answer"]
    texts = [choice["message"]["content"] for choice in answer["choices"]]
    assert [block["text"] for block in found["content"]] == texts
    assert (found["type"], found["role"], found["stop_reason"]) == ("message", "assistant", "end_turn")
    usage: Json = answer.get("usage") or {}
    for name, theirs in (("input_tokens", "prompt_tokens"), ("output_tokens", "completion_tokens")):
        assert found["usage"][name] == usage.get(theirs, 0)


def _answer(provider: Provider, sent: Upstream, body: bytes) -> bytes:
    handling = provider.responseheaders(sent, 200, WHOLE)
    return handling.rewrite(Answer(200, body)).body if isinstance(handling, Whole) else body


def _less(found: Any, wanted: Any) -> Any:
    """A value with the members only that are wanted."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        return {name: _less(found[name], wanted[name]) for name in wanted if name in found}
    if isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        return [_less(*pair) for pair in zip(found, wanted, strict=True)]
    return found


@table(
    ("keys", "path"),
    [
        ("subPath: /in", "/in/v1/chat/completions"),
        ("basePath: /in", "/in/v1/chat/completions"),
        ("version: 1, vertexGeminiSafetySetting: {a: b}", "/v1/chat/completions"),
    ],
)
def test_older_names_of_keys_are_taken(keys: str, path: str) -> None:
    provider = registry.provider(registry.read(f"provider: {{type: groq, apiTokens: token, {keys}}}", {}))

    assert upstream_of(provider, path, {"model": "m", "messages": []}).target == "/openai/v1/chat/completions"
