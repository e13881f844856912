"""The configurations that hostile exchanges go through, the secrets in them, and what an error looks like."""

from __future__ import annotations

import re
from typing import Any, Final

from mitm_ai_proxy import registry
from mitm_ai_proxy.registry import Configuration

SECRETS: Final = ("0ur-access-key-1", "0ur-secret-key-2", "0ur-token-3", "0ur-token-4")
TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
PAIR: Final = {"type": "kling", "klingAccessKey": SECRETS[0], "klingSecretKey": SECRETS[1]}
SINGLE: Final = {"type": "kling", "apiTokens": [SECRETS[2], SECRETS[3]]}
DOMAIN: Final = {"providerDomain": "http://up.test:81"}
MAPPING: Final = {"modelMapping": {"sora-2": "kling-v3", "gpt-*": "kling-v2-6", "~x(.*)": "$1", "*": ""}}
PROVIDERS: Final[tuple[dict[str, Any], ...]] = (
    PAIR | DOMAIN,
    PAIR | DOMAIN | MAPPING | {"providerBasePath": "/gateway", "videoResponse": "openai"},
    SINGLE | DOMAIN | {"klingApi": "v2"},
    SINGLE | DOMAIN | MAPPING | {"klingApi": "v2", "videoResponse": "openai", "providerBasePath": "/gateway/x"},
    SINGLE | DOMAIN | {"videoResponse": "native", "basePath": "/base"},
    SINGLE | {"basePath": "/base", "basePathHandling": "prepend"},
    PAIR | DOMAIN | {"protocol": "original", "providerBasePath": "/gateway"},
    SINGLE
    | DOMAIN
    | {"capabilities": {"openai/v1/videos": "/t2v?version=1", "openai/v1/retrievevideo": "/g/{video_id}?k=1"}},
    {"type": "openai", "apiTokens": SECRETS[2]} | DOMAIN | MAPPING | {"providerBasePath": "/gateway"},
    {"type": "openai", "modelMapping": {"*": "x"}} | DOMAIN,
    {"type": "openai", "protocol": "original"},
    {"type": "generic", "apiTokens": SECRETS[3]} | DOMAIN | {"providerBasePath": "/gateway", "basePath": "/base"},
    {"type": "generic", "genericHost": "up.test:81"},
    {"type": "groq", "apiTokens": SECRETS[2], "hiclawMode": True, "contextCleanupCommands": "hi"} | DOMAIN | MAPPING,
    {"type": "claude", "apiTokens": SECRETS[3], "claudeCodeMode": True, "reasoningContentMode": "concat"} | DOMAIN,
    {"type": "claude", "hiclawMode": True} | DOMAIN,
)

_SEVERAL: Final = [
    {"id": "kling", "providerDomain": "http://kling.test:81"} | PAIR,
    {"id": "open", "type": "openai", "apiTokens": SECRETS[2], "providerDomain": "http://open.test:82"} | MAPPING,
    {"id": "any", "type": "generic", "apiTokens": SECRETS[3], "providerDomain": "http://any.test:83"},
]
_ROUTES: Final = [
    {"path": ["/v1/files*", "~/v1/images"], "provider": "any"},
    {"header": {"User-Agent": "OpenAI*"}, "model": "~^(a|aa)+$", "provider": "open"},
    {"model": ["sora-*", "kling-v1"], "provider": "kling"},
    {"host": "~test", "model": "*", "provider": "open"},
]
ROUTED: Final = (
    {"providers": _SEVERAL, "routes": _ROUTES},
    {"providers": _SEVERAL, "routes": _ROUTES[1:], "activeProviderId": "kling"},
)

MEMBERS: Final = {
    "openai": {"message", "type", "param", "code"},
    "anthropic": {"type", "message"},
    "gemini": {"code", "message", "status", "details"},
    "converse": {"__type", "message"},
    "dashscope": {"request_id", "code", "message"},
    "cohere": {"message"},
}
"""Of an error of each dialect."""


def read() -> list[Configuration]:
    """All of them."""
    more = {"allowedOrigins": ["https://app.example"]}
    return [registry.read({"provider": provider} | more, {}) for provider in PROVIDERS] + [
        registry.read(routed | more, {}) for routed in ROUTED
    ]
