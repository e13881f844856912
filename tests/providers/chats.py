"""Chats as clients send them, and as a provider of a block of the configuration sends them on."""

from __future__ import annotations

import functools
import json
from typing import Any

from mitm_ai_proxy import pipeline, registry
from mitm_ai_proxy.chat import callers
from mitm_ai_proxy.exchange import Head, Upstream
from mitm_ai_proxy.pipeline import Outgoing
from mitm_ai_proxy.providers.base import Provider
from mitm_ai_proxy.registry import Configuration
from tests.upstream_of import requested

Json = dict[str, Any]

CHAT, MESSAGES, COUNT = "/v1/chat/completions", "/v1/messages", "/v1/messages/count_tokens"
HELLO: Json = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}


@functools.lru_cache(maxsize=1000)
def configuration_of(text: str, offline: bool = False) -> Configuration:
    """The configuration in a text, which many tests share: reading it takes longer than most of them."""
    return registry.read(text, {}, offline=offline)


def provider_of(block: str) -> Provider:
    return registry.provider(configuration_of(f"provider: {{type: {block}}}", offline=True), lambda: 1700000000.0)


def complete_provider(block: str, keys: str = "") -> Provider:
    """The same of a block that lacks nothing, with further keys."""
    text = f"provider: {{type: {block}{', ' if keys else ''}{keys}}}"
    return registry.provider(configuration_of(text), lambda: 1700000000.0)


def place_of(provider: Provider, target: str) -> tuple[str, str]:
    """Where a chat of a client with a key of its own is sent, and with which."""
    outgoing = outgoing_of(provider, target, HELLO, "Authorization: Bearer client")
    return f"{outgoing.upstream.origin}{outgoing.target}", fields_of(outgoing)["authorization"]


def head_of(target: str, *lines: str) -> Head:
    pairs = [line.partition(": ") for line in ("Host: proxy", "Content-Type: application/json", *lines)]
    fields = tuple((name.encode(), value.encode()) for name, _, value in pairs)
    return Head("POST", target, callers.read(target, fields), fields)


def upstream_of(provider: Provider, target: str, document: Json | bytes, *lines: str) -> Upstream:
    found = provider.requestheaders(head_of(target, *lines))
    if isinstance(found, Upstream):
        return found
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return requested(found, head_of(target, *lines), body)


def outgoing_of(provider: Provider, target: str, document: Json | bytes, *lines: str) -> Outgoing:
    return pipeline.outgoing(provider, head_of(target, *lines), upstream_of(provider, target, document, *lines))


def fields_of(outgoing: Outgoing) -> dict[str, str]:
    return {name.decode().lower(): value.decode() for name, value in outgoing.fields}
