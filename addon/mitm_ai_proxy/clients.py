"""What a client's header fields say about it, read in one pass. What follows from it is decided elsewhere."""

from __future__ import annotations

from typing import Final, NamedTuple

from .wire.header_fields import Fields

# Beginnings of the user agents of OpenAI's SDKs, and of LiteLLM, which speaks the same dialect without an SDK.
_USER_AGENTS: Final = (b"OpenAI/", b"AsyncOpenAI/", b"litellm/")
_READ: Final = frozenset(b"content-type user-agent idempotency-key sec-fetch-site content-encoding".split())


class Client(NamedTuple):
    """A client as it shows itself.

    `content_type` is as it was sent, for it may hold a boundary; `retries` is how often an OpenAI SDK says it sent this
    request before; `fetch_site` is a browser's Sec-Fetch-Site; `content_encoding` is what all such fields say together.
    """

    content_type: str = ""
    is_openai: bool = False
    retries: int = 0
    idempotency_key: str = ""
    fetch_site: str = ""
    content_encoding: str = ""


ANYBODY: Final = Client()


def read(fields: Fields) -> Client:
    """The client that sent these header fields."""
    content_type = idempotency_key = fetch_site = content_encoding = ""
    is_openai, retries = False, 0
    for name, value in fields:
        lower = name.lower()
        if lower not in _READ and not lower.startswith(b"x-stainless-"):
            continue
        if lower == b"content-type":
            content_type = value.decode("utf-8", "surrogateescape")
        elif lower == b"user-agent":
            is_openai = is_openai or value.startswith(_USER_AGENTS)
        elif lower.startswith(b"x-stainless-"):
            is_openai = True
            if lower == b"x-stainless-retry-count" and value.isdigit():
                retries = int(value[:4])
        elif lower == b"idempotency-key":
            idempotency_key = value.decode("utf-8", "surrogateescape")
        elif lower == b"sec-fetch-site":
            fetch_site = value.decode("utf-8", "surrogateescape")
        elif lower == b"content-encoding":
            coding = value.decode("utf-8", "surrogateescape")
            content_encoding = f"{content_encoding}, {coding}" if content_encoding else coding
    return Client(content_type, is_openai, retries, idempotency_key, fetch_site, content_encoding)
