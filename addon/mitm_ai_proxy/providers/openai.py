"""api.openai.com, or a URL with the same API: the client's own key is sent on where none is configured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..auth.secret import Secret
from ..chat.target import Target
from ..config import values
from ..config.keys import key
from ..wire import header_fields
from ..wire.header_fields import Fields
from ..wire.targets import Url
from .api_groups import OPENAI
from .chats import CHAT
from .custom_url import CustomUrl
from .row import Row, SchemaKeys


@dataclass(frozen=True, slots=True)
class OpenAIKeys(SchemaKeys):
    """The keys of `type: openai`."""

    openai_custom_url: Url | None = key(
        values.url,
        help="A base URL, or the URL of one API, which is then the only one that is served. A bare host has its API"
        " below `/v1`.",
    )


class OpenAI(CustomUrl):
    """See its row."""

    url_key = "openaiCustomUrl"

    def target(self, api: str) -> Target:
        """OpenAI's own models take another limit than those of others, and cache marks."""
        found = super().target(api)
        if api != CHAT or self.origin != self.home:
            return found
        return found._replace(name="OpenAI", max_tokens="max_completion_tokens", cache="breakpoint")

    def token(self, fields: Fields) -> Secret | None:
        """One of `apiTokens`, else the client's key from x-api-key, x-authorization or Authorization."""
        own = super().token(fields)
        if own or self.withholds_credential:
            return own
        keys = (header_fields.value(fields, name) for name in (b"x-api-key", b"x-authorization", b"authorization"))
        key = next(filter(None, keys), "")
        return Secret(key) if key else None


ROW: Final = Row(
    "openai",
    "api.openai.com",
    "/v1",
    OPENAI,
    "OpenAI, or anything that serves the same paths. Without `apiTokens` the client's own key is sent on.",
    site="https://platform.openai.com/docs/api-reference",
    is_key_optional=True,
    keeps_developer=True,
    keys=OpenAIKeys,
    addresses=("openaiCustomUrl",),
    kind=OpenAI,
)
