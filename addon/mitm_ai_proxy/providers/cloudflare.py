"""Cloudflare Workers AI, whose paths hold the account. Source: its documentation, OpenAI-compatible endpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ..chat.target import OPENAI_CHAT
from ..config import values
from ..config.keys import key
from .api_groups import named
from .row import CompatibleKeys, Row


def _segment(value: Any) -> str:
    """A text that is one segment of a path."""
    found = values.text(value)
    if not all(character.isascii() and (character.isalnum() or character in "-_") for character in found):
        raise ValueError("expected letters, digits, - and _ only")
    return found


@dataclass(frozen=True, slots=True)
class CloudflareKeys(CompatibleKeys):
    """The keys of `type: cloudflare`."""

    cloudflare_account_id: str = key(_segment, "", help="The account, a part of each path.")


ROW: Final = Row(
    "cloudflare",
    "api.cloudflare.com",
    "/client/v4/accounts/{cloudflareAccountId}/ai/v1",
    named("chat embeddings responses"),
    "Cloudflare Workers AI.",
    site="https://developers.cloudflare.com/workers-ai/configuration/open-ai-compatibility/",
    needs=("cloudflareAccountId",),
    chat=OPENAI_CHAT._replace(mends="errors"),
    keys=CloudflareKeys,
)
