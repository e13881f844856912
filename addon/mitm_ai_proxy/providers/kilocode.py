"""Kilo Gateway: its model ids, its default model, and what models behind it need. Source: OpenClaw's design."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..chat import body_edits
from ..chat.body_edits import BodyEdit, Notes
from ..config import values
from ..config.keys import key
from ..wire import json_edit
from ..wire.json_tree import Value
from .api_groups import named
from .chats import CHAT
from .compatible import Compatible
from .row import CompatibleKeys, Row

DEFAULT_MODEL: Final = "kilocode/anthropic/claude-opus-4.6"
TTLS: Final = ("5m", "1h")
_PREFIX: Final = "kilocode/"
_WITH_DEFAULT: Final = frozenset({CHAT, "openai/v1/responses", "anthropic/v1/messages"})


@dataclass(frozen=True, slots=True)
class KilocodeKeys(CompatibleKeys):
    """The keys of `type: kilocode`."""

    default_model: str = key(values.text, DEFAULT_MODEL, extension=True, help="The model of a chat that names none.")
    cache_control_ttl: str = key(
        values.one_of(*TTLS),
        "",
        extension=True,
        help="How long the prompt of a chat of `anthropic/*` is cached, where the body has no `cache_control`.",
    )


class Kilocode(Compatible):
    """See its row."""

    keys: KilocodeKeys

    @property
    def maps_models(self) -> bool:
        """Always: there may be a prefix."""
        return True

    def map_model(self, model: str) -> tuple[str, Notes]:
        """The model after modelMapping and without the prefix `kilocode/`, which is cut once."""
        mapped, notes = super().map_model(model)
        if not mapped.startswith(_PREFIX):
            return mapped, notes
        return mapped[len(_PREFIX) :], (*notes, f"{_PREFIX} cut off the model")

    def mapping_edits(self, api: str) -> tuple[BodyEdit, ...]:
        """The default model, and the mapping."""
        default = (BodyEdit(self._default),) if api in _WITH_DEFAULT and self.keys.default_model else ()
        return (*default, *super().mapping_edits(api))

    def model_edits(self, api: str) -> tuple[BodyEdit, ...]:
        """What depends on the model."""
        return (BodyEdit(self._for_model),) if api == CHAT else ()

    def _default(self, body: Value) -> Notes:
        model = body.get("model")
        if model is not None and model.raw not in (b"null", b'""'):
            return ()
        body.put("model", json_edit.string(self.keys.default_model))
        return (f"no model: {self.keys.default_model}, the default",)

    def _for_model(self, body: Value) -> Notes:
        found = body.get("model")
        model = found.string() if found else None
        notes: Notes = ()
        if model and self.keys.cache_control_ttl and model.startswith("anthropic/"):
            notes += body_edits.with_cache_control(body, self.keys.cache_control_ttl)
        if model and "gemini" in model.lower():
            notes += body_edits.without_foreign_signatures(body)
        return notes


ROW: Final = Row(
    "kilocode",
    "api.kilo.ai",
    "/api/gateway",
    named("chat responses messages models embeddings transcriptions"),
    "Kilo Gateway. `apiTokens: anonymous` reaches its free models.",
    site="https://kilo.ai/docs/gateway",
    aliases=("/api/gateway/v1", "/api/openrouter", "/api/v1"),
    beside={"/v1/fim/completions": "/api/fim/completions"},
    keys=KilocodeKeys,
    kind=Kilocode,
)
