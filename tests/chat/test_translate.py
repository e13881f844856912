"""Which requests are translated, and what goes along with the body."""

from __future__ import annotations

import json

from mitm_ai_proxy import apis
from mitm_ai_proxy.chat import translate
from mitm_ai_proxy.chat.dialects import ANTHROPIC, OPENAI
from mitm_ai_proxy.chat.protocols import CLIENTS
from mitm_ai_proxy.chat.target import CLAUDE
from tests.chat.exchanges import OTHER, anthropic_request, openai_request, rewritten
from tests.tables import table

CHAT, MESSAGES = "openai/v1/chatcompletions", "anthropic/v1/messages"


def test_the_apis_are_those_of_the_table() -> None:
    assert set(translate.CHAT_APIS) <= set(apis.BY_NAME)
    assert set(translate.CHAT_APIS.values()) == set(CLIENTS)


@table(
    ("api", "provided", "other"),
    [
        (CHAT, {CHAT}, None),
        (CHAT, {CHAT, MESSAGES}, None),
        (CHAT, {MESSAGES}, MESSAGES),
        (MESSAGES, {CHAT}, CHAT),
        (MESSAGES, {MESSAGES, CHAT}, None),
        (MESSAGES, {"openai/v1/embeddings"}, None),
        ("openai/v1/embeddings", {CHAT, MESSAGES}, None),
        ("anthropic/v1/messages/count_tokens", {CHAT}, None),
    ],
)
def test_a_request_is_translated_only_where_its_own_api_is_missing(
    api: str, provided: set[str], other: str | None
) -> None:
    assert translate.substitute(api, provided) == other


def test_the_header_fields_of_a_dialect_do_not_go_to_the_other() -> None:
    to_other = rewritten(ANTHROPIC, anthropic_request(), OTHER).fields
    assert to_other[b"anthropic-version"] is None
    assert to_other[b"anthropic-beta"] is None
    assert to_other[b"content-type"] == b"application/json"

    to_claude = rewritten(OPENAI, openai_request(), CLAUDE._replace(version="2026-10-21")).fields
    assert to_claude[b"anthropic-version"] == b"2026-10-21"
    assert to_claude[b"openai-organization"] is None
    assert b"anthropic-beta" not in to_claude


def test_the_usage_of_a_stream_is_for_a_client_that_asks_for_it() -> None:
    for asked, told in (({}, False), ({"include_usage": False}, False), ({"include_usage": True}, True)):
        assert rewritten(OPENAI, openai_request(stream=True, stream_options=asked), CLAUDE).memo["usage"] is told
    assert rewritten(OPENAI, openai_request(stream=True), CLAUDE).memo["usage"] is False
    assert rewritten(ANTHROPIC, anthropic_request(stream=True), OTHER).memo["usage"] is True


def test_the_memo_is_plain_values_without_the_client_s_words() -> None:
    for client, document, target in ((OPENAI, openai_request(), CLAUDE), (ANTHROPIC, anthropic_request(), OTHER)):
        memo = rewritten(client, document, target).memo

        assert json.loads(json.dumps(memo)) == memo
        assert "hello" not in json.dumps(memo)
