"""Detection of the client by path and header fields."""

from __future__ import annotations

import pytest

from mitm_ai_proxy.chat import callers
from mitm_ai_proxy.chat.dialects import ANTHROPIC, COHERE, CONVERSE, DASHSCOPE, GEMINI, OPENAI
from mitm_ai_proxy.exchange import UNKNOWN_CALLER, Caller
from tests.tables import table

TARGET = "/v1/videos"
CHAT = "/v1/chat/completions"


def _read(*fields: str, target: str = TARGET) -> Caller:
    """The client with these header fields, each written as `name: value`."""
    pairs = (field.partition(": ") for field in fields)
    return callers.read(target, tuple((name.encode(), value.encode()) for name, _, value in pairs))


def test_a_client_without_these_fields_is_unknown() -> None:
    assert callers.read(TARGET, ()) == UNKNOWN_CALLER == Caller("", OPENAI, False, 0, "", "", "")


@table(
    ("field", "is_openai"),
    [
        ("User-Agent: OpenAI/Python 3.52.0", True),
        ("user-agent: AsyncOpenAI/Python 3.52.0", True),
        ("USER-AGENT: OpenAI/JS 7.55.0", True),
        ("User-Agent: AzureOpenAI/Python 3.52.0", True),
        ("User-Agent: AsyncAzureOpenAI/Python 3.52.0", True),
        ("User-Agent: litellm/1.109.1", True),
        ("X-Stainless-Lang: js", True),
        ("x-stainless-retry-count: 0", True),
        ("X-Stainless-: ", True),
        ("User-Agent: openai/1", False),
        ("User-Agent: my OpenAI/Python", False),
        ("User-Agent: OpenAI", False),
        ("User-Agent: curl/8.5.0", False),
        ("X-Stainless: js", False),
        ("OpenAI-Organization: x", False),
        ("Idempotency-Key: x", False),
    ],
)
def test_an_openai_client_is_known_by_its_user_agent_or_its_own_fields(field: str, is_openai: bool) -> None:
    caller = _read("Accept: */*", field, "Host: a")

    assert (caller.is_openai_sdk, caller.dialect) == (is_openai, OPENAI)


@pytest.mark.parametrize(
    "agent",
    [
        # For a copy of OpenAI's API: repetitions are counted, and answers and errors are read, as OpenAI's do.
        "Groq/Python 0.9.0",
        "AsyncTogether/Python 2.1.0",
        "Cerebras/JS 1.0.0",
        # OpenAI's, under a name that the application chose.
        "my-app/1.0",
        "",
    ],
)
def test_an_sdk_with_stainless_fields_counts_as_openai_s_whatever_its_user_agent(agent: str) -> None:
    caller = _read(f"User-Agent: {agent}", "X-Stainless-Lang: python", "X-Stainless-Retry-Count: 1", target=CHAT)

    assert (caller.dialect, caller.is_openai_sdk, caller.retries) == (OPENAI, True, 1)


@table("stainless", ["", "X-Stainless-Retry-Count: 2"])
@table(
    ("agent", "dialect"),
    [
        ("Anthropic/Python 0.70.0", ANTHROPIC),
        ("AsyncAnthropic/Python 0.70.0", ANTHROPIC),
        ("Anthropic/JS 0.65.0", ANTHROPIC),
        ("AnthropicBedrock/Python 0.70.0", ANTHROPIC),
        ("AsyncAnthropicBedrock/Python 0.70.0", ANTHROPIC),
        ("AnthropicVertex/JS 0.65.0", ANTHROPIC),
        ("claude-cli/2.0 (external, cli)", ANTHROPIC),
        ("claude-code/2.0", ANTHROPIC),
        ("OpenAI/Python 3.52.0", OPENAI),
        ("AsyncOpenAI/Python 3.52.0", OPENAI),
        ("AzureOpenAI/Python 3.52.0", OPENAI),
        # These are in neither table.
        ("anthropic/1", OPENAI),
        ("my Anthropic/Python", OPENAI),
        ("claude/1", OPENAI),
        ("curl/8.5.0", OPENAI),
    ],
)
def test_a_user_agent_decides_the_dialect_and_anthropic_s_is_no_openai_sdk(
    agent: str, dialect: str, stainless: str
) -> None:
    for fields in ((f"User-Agent: {agent}", stainless), (stainless, f"User-Agent: {agent}")):
        caller = _read(*filter(None, fields))
        is_sdk = dialect == OPENAI and ("OpenAI/" in agent or bool(stainless))

        assert (caller.dialect, caller.is_openai_sdk) == (dialect, is_sdk)
        assert caller.retries == (2 if stainless else 0)


@table("agent", ["my-app/1.0", "curl/8.5.0", "OpenAI/Python 3.52.0"])
@table("version", ["2023-06-01", ""])
def test_anthropic_s_version_field_means_its_dialect_whoever_sends_it(agent: str, version: str) -> None:
    caller = _read(f"User-Agent: {agent}", f"Anthropic-Version: {version}", "X-Stainless-Lang: js")

    assert (caller.dialect, caller.is_openai_sdk) == (ANTHROPIC, False)


@table(
    ("target", "dialect"),
    [
        ("/v1beta/models/gemini-3-pro:generateContent", GEMINI),
        ("/v1/publishers/google/models/g:streamGenerateContent?alt=sse", GEMINI),
        ("/v1/models/g:countTokens", GEMINI),
        ("/v1/publishers/anthropic/models/claude:rawPredict", GEMINI),
        ("/v1beta/models/g:batchEmbedContents", GEMINI),
        ("/model/us.a%3A0/converse", CONVERSE),
        ("/base/model/a/invoke-with-response-stream", CONVERSE),
        ("/api/v1/services/aigc/text-generation/generation", DASHSCOPE),
        ("/api/v1/tasks/1", DASHSCOPE),
        ("/v2/chat", COHERE),
        ("/v1/chat?a", COHERE),
        # Ids of models may have colons, and queries may have anything.
        ("/v1/models/llama3:8b", OPENAI),
        ("/v1/models/ft:gpt-4o:org::id", OPENAI),
        ("/v1/videos?a=/v2/chat", OPENAI),
        ("/v2/chat/completions", OPENAI),
        ("/api/v1/chat/completions", OPENAI),
        ("/v2/models/gpt2/generate", OPENAI),
        ("/model/a/b/converse-now", OPENAI),
    ],
)
def test_a_path_of_a_vendor_s_own_api_means_its_dialect_but_for_sdks_of_others(target: str, dialect: str) -> None:
    assert callers.read(target, ()).dialect == dialect
    assert _read("User-Agent: AnthropicBedrock/Python 0.70.0", target=target).dialect == ANTHROPIC
    assert _read("User-Agent: OpenAI/Python 3.52.0", target=target).dialect == OPENAI


@table(
    ("field", "dialect"),
    [
        ("x-goog-api-client: google-genai-sdk/3.6.1 gl-python/3.13", GEMINI),
        ("User-Agent: Boto3/1.44.8 md/Botocore#1.44.8", CONVERSE),
        ("User-Agent: aws-sdk-js/3.9", CONVERSE),
    ],
)
def test_a_vendor_s_sdk_is_known_at_any_path(field: str, dialect: str) -> None:
    assert _read(field, target="/v1/anything").dialect == dialect


@table(
    ("target", "dialect"),
    [
        ("/v1/messages", ANTHROPIC),
        ("/v1/messages?beta=true", ANTHROPIC),
        ("/v1/messages?", ANTHROPIC),
        ("/v1/messages/", ANTHROPIC),
        ("/v1/messages/?beta=true", ANTHROPIC),
        ("/proxy/anthropic/v1/messages", ANTHROPIC),
        ("//v1/messages", ANTHROPIC),
        ("/v1/messages/count_tokens", ANTHROPIC),
        ("/a/v1/messages/count_tokens/?b", ANTHROPIC),
        ("/v1/complete", ANTHROPIC),
        ("/v1/complete?a=/v1/videos", ANTHROPIC),
        # Near misses
        ("/v1/completions", OPENAI),
        ("/v1/completed", OPENAI),
        ("/v1/chat/completions", OPENAI),
        ("/v1/messagesX", OPENAI),
        ("/v1/messages//", OPENAI),
        ("/v1/Messages", OPENAI),
        ("/v1/messages\n", OPENAI),
        ("/xv1/messages", OPENAI),
        ("/v1/threads/t-1/messages", OPENAI),
        ("/v1/videos?next=/v1/messages", OPENAI),
        ("/v1/videos?/v1/messages?", OPENAI),
        ("/messages", OPENAI),
        ("", OPENAI),
        # Anthropic's, but no API that is known here: what else a client of it sends says so.
        ("/v1/messages/batches", OPENAI),
        ("/v1/messages/batches?limit=1", OPENAI),
    ],
)
def test_the_path_of_an_api_that_only_anthropic_has_means_its_dialect(target: str, dialect: str) -> None:
    assert _read(target=target).dialect == dialect
    caller = _read("User-Agent: OpenAI/Python 3.52.0", target=target)
    assert (caller.dialect, caller.is_openai_sdk) == (dialect, dialect == OPENAI)


def test_a_later_user_agent_does_not_undo_an_earlier_one() -> None:
    assert _read("User-Agent: OpenAI/Python", "User-Agent: curl").is_openai_sdk
    assert _read("User-Agent: Anthropic/JS", "User-Agent: curl").dialect == ANTHROPIC


@table(
    ("value", "retries"),
    [
        ("0", 0),
        ("1", 1),
        ("2", 2),
        ("0002", 2),
        ("9" * 10_000, 9999),
        ("", 0),
        ("-1", 0),
        ("+1", 0),
        ("1.0", 0),
        ("1 ", 0),
        ("x", 0),
        ("٣", 0),
        ("²", 0),
        ("1_0", 0),
    ],
)
def test_retries_are_what_an_sdk_counts_and_nothing_else(value: str, retries: int) -> None:
    assert _read(f"X-Stainless-Retry-Count: {value}").retries == retries


def test_the_other_fields_are_read_whatever_the_case_of_their_names() -> None:
    caller = _read(
        "CONTENT-TYPE: Multipart/Form-Data; boundary=AbC",
        "idempotency-KEY: k",
        "sec-fetch-SITE: cross-site",
        "content-ENCODING: gzip",
        "oRIGIN: http://a.test",
        "HOST: b.test",
    )

    assert caller == Caller(
        "Multipart/Form-Data; boundary=AbC", OPENAI, False, 0, "k", "cross-site", "gzip", "http://a.test", "b.test"
    )


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("Content-Encoding", "content_encoding"),
        ("Sec-Fetch-Site", "fetch_site"),
        ("Origin", "origin"),
        ("Host", "host"),
    ],
)
def test_fields_of_one_name_are_one_list(name: str, attribute: str) -> None:
    assert getattr(_read(f"{name}: a", f"{name.lower()}: b"), attribute) == "a, b"


def test_bytes_that_are_no_text_are_kept() -> None:
    caller = callers.read(TARGET, ((b"Idempotency-Key", b"\xff\x00k"), (b"Content-Type", b"\xe9")))

    assert caller.idempotency_key.encode("utf-8", "surrogateescape") == b"\xff\x00k"
    assert caller.content_type.encode("utf-8", "surrogateescape") == b"\xe9"
