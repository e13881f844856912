"""Writes a request of DeepL's translation API. Source: DeepL's API reference, translate text."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from ..errors import bad_body
from . import json_values, plain_text
from .model import Chat
from .target import Target

MAX_TEXTS: Final = 50
_OWN: Final = (
    "target_lang source_lang formality context glossary_id model_type preserve_formatting split_sentences tag_handling"
    " show_billed_characters custom_instructions style_id"
).split()
"""Members of DeepL's own that clients send through."""


class Settings(NamedTuple):
    """What the configuration says: the language to translate to."""

    target_lang: str


def write(chat: Chat, client: str, target: Target, notes: list[str]) -> bytes:
    """The body of a request: a text for each message behind the last answer, and instructions as the context.

    Raises Refusal (400).
    """
    turns = plain_text.since_answer(chat.turns)
    plain_text.refuse_media(turns, target)
    texts = [text for turn in turns if turn.role == "user" and (text := plain_text.text(turn, notes))]
    if not texts:
        raise bad_body("messages have no text to translate.", param="messages")
    if len(texts) > MAX_TEXTS:
        raise bad_body(f"messages have {len(texts)} texts, and DeepL takes {MAX_TEXTS}.", param="messages")
    if len(turns) < len(chat.turns) and any(turn.role == "assistant" for turn in chat.turns):
        notes.append("what was translated before is left out")
    document: dict[str, Any] = {"text": texts}
    if isinstance(target.settings, Settings):
        document["target_lang"] = target.settings.target_lang
    context = [text for turn in chat.turns if turn.role == "system" and (text := plain_text.text(turn, notes))]
    if context:
        document["context"] = "\n".join(context)
    document |= {name: msgspec.Raw(value) for name, value in plain_text.options(chat, _OWN).items()}
    plain_text.leave_out(chat, client, target, _OWN, notes)
    return json_values.encode(document)
