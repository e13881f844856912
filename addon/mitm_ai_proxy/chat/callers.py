"""Detects the client of a request: its dialect, and its SDK, from path and header fields."""

from __future__ import annotations

import re
from typing import Final

from ..apis import APIS
from ..exchange import Caller
from ..wire.header_fields import Fields
from .dialects import ANTHROPIC, COHERE, CONVERSE, DASHSCOPE, GEMINI, OPENAI

# Beginnings of the user agents of OpenAI's SDKs, and of LiteLLM, which behaves like one.
_OPENAI_AGENTS: Final = (b"OpenAI/", b"AsyncOpenAI/", b"AzureOpenAI/", b"AsyncAzureOpenAI/", b"litellm/")
# Anthropic's SDKs (AnthropicBedrock and AnthropicVertex too), and Claude Code.
_ANTHROPIC_AGENTS: Final = (b"Anthropic", b"AsyncAnthropic", b"claude-cli/", b"claude-code/")
_READ: Final = frozenset(
    b"host content-type user-agent idempotency-key sec-fetch-site origin content-encoding anthropic-version"
    b" x-goog-api-client".split()
)
# Sent by SDKs that Stainless generates: OpenAI's, Anthropic's, and those of vendors that copy OpenAI's API (Groq,
# Together), which retry requests and read answers as OpenAI's do.
_STAINLESS: Final = b"x-stainless-"
_ANTHROPIC_PATHS: Final = tuple(api.path for api in APIS if api.name.startswith("anthropic/"))
# Paths of vendors' own APIs, by the name of the group: the vendor's clients read its errors.
_NATIVE: Final = re.compile(
    # A colon may also stand in the id of a model (llama3:8b).
    r"/models/[^/]+(?P<gemini>:[A-Za-z]*(?:Content|Contents|[pP]redict|Tokens|LongRunning))$"
    r"|/model/[^/]+/(?P<converse>converse|converse-stream|invoke|invoke-with-response-stream|count-tokens)$"
    r"|(?P<dashscope>/api/v1/(?:services|apps|tasks)/)"
    r"|(?P<cohere>/v2/(?:chat|embed|rerank)|/v1/chat)$"
)
_NATIVE_WORDS: Final = ("/model", "/api/v1/", "/v2/", "/v1/chat")
_NATIVE_DIALECTS: Final = {"gemini": GEMINI, "converse": CONVERSE, "dashscope": DASHSCOPE, "cohere": COHERE}
_AWS_AGENTS: Final = (b"Boto3/", b"Botocore/", b"aws-sdk-", b"aws-cli/")
# What their paths have in common, so that most others need no closer look.
_ANTHROPIC_WORDS: Final = tuple({path.split("/")[2] for path in _ANTHROPIC_PATHS})


def read(target: str, fields: Fields) -> Caller:
    """The client that sent this target (path and query) and these header fields.

    The dialect is Anthropic's if the path is an API that only Anthropic has, or with its version field or its user
    agents; a vendor's if the path is one of its own API, or the client its SDK; else OpenAI's. OpenAI's SDKs are
    detected by their user agents, or by their `x-stainless-*` fields.
    """
    content_type = idempotency_key = fetch_site = content_encoding = origin = host = ""
    is_openai = is_stainless = False
    is_anthropic = _is_anthropic_path(target)
    native = ""
    retries = 0
    for name, value in fields:
        lower = name.lower()
        if lower not in _READ:
            if lower.startswith(_STAINLESS):
                is_stainless = True
                if lower == b"x-stainless-retry-count" and value.isdigit():
                    retries = int(value[:4])
            continue
        if lower == b"content-type":
            content_type = value.decode("utf-8", "surrogateescape")
        elif lower == b"host":
            host = _joined(host, value) if host else value.decode("utf-8", "surrogateescape")
        elif lower == b"user-agent":
            is_openai = is_openai or value.startswith(_OPENAI_AGENTS)
            is_anthropic = is_anthropic or value.startswith(_ANTHROPIC_AGENTS)
            native = CONVERSE if value.startswith(_AWS_AGENTS) else native
        elif lower == b"x-goog-api-client":
            native = GEMINI
        elif lower == b"anthropic-version":
            is_anthropic = True
        elif lower == b"idempotency-key":
            idempotency_key = value.decode("utf-8", "surrogateescape")
        elif lower == b"sec-fetch-site":
            fetch_site = _joined(fetch_site, value)
        elif lower == b"origin":
            origin = _joined(origin, value)
        else:
            content_encoding = _joined(content_encoding, value)
    return Caller(
        content_type,
        ANTHROPIC if is_anthropic else OPENAI if is_openai else _native(target) or native or OPENAI,
        not is_anthropic and (is_openai or is_stainless),
        retries,
        idempotency_key,
        fetch_site,
        content_encoding,
        origin,
        host,
    )


def _joined(before: str, value: bytes) -> str:
    text = value.decode("utf-8", "surrogateescape")
    return f"{before}, {text}" if before else text


def _native(target: str) -> str:
    """The dialect of a vendor's own API, or ""."""
    for word in _NATIVE_WORDS:
        if word in target:
            found = _NATIVE.search(target.partition("?")[0])
            return _NATIVE_DIALECTS[found.lastgroup or ""] if found else ""
    return ""


def _is_anthropic_path(target: str) -> bool:
    for word in _ANTHROPIC_WORDS:
        if word in target:
            return target.partition("?")[0].removesuffix("/").endswith(_ANTHROPIC_PATHS)
    return False
