"""api.openai.com: the client's own key is sent on where none is configured."""

from __future__ import annotations

from dataclasses import dataclass

from ..auth.secret import Secret
from ..wire import header_fields
from ..wire.header_fields import Fields
from .compatible import Compatible, SchemaKeys


@dataclass(frozen=True, slots=True)
class OpenAIKeys(SchemaKeys):
    """The keys of `type: openai`."""


class OpenAI(Compatible):
    """See its row."""

    not_implemented = Compatible.not_implemented | {"openaiCustomUrl"}

    def token(self, fields: Fields) -> Secret | None:
        """One of `apiTokens`, else the client's key from x-api-key, x-authorization or Authorization."""
        own = super().token(fields)
        if own:
            return own
        keys = (header_fields.value(fields, name) for name in (b"x-api-key", b"x-authorization", b"authorization"))
        key = next(filter(None, keys), "")
        return Secret(key) if key else None
