"""Writes a request of Coze's chat API, version 3. Source: Coze's API reference, chat."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ..errors import bad_body
from . import json_values, plain_text
from .model import Chat, Media, Turn
from .target import Target
from .writing import refused

_USER: Final = "api-user"
_OPTIONS: Final = ("custom_variables", "meta_data", "extra_params", "shortcut_command", "parameters", "enable_card")
"""Members of Coze's own that clients send through."""
_KINDS: Final = {"image": "image", "document": "file", "audio": "audio"}

Json = dict[str, Any]


def write(chat: Chat, client: str, target: Target, notes: list[str]) -> bytes:
    """The body of a request, whose model is the id of a bot. Raises Refusal (400).

    It is always a stream: else Coze answers before the bot does, and has to be asked again. A whole answer is saved in
    its history, as Coze wants it there.
    """
    messages = [message for turn in chat.turns if (message := _message(turn, notes))]
    if not messages:
        raise bad_body("messages say nothing.", param="messages")
    if any(turn.role == "system" for turn in chat.turns):
        notes.append("system messages are the user's: a bot of Coze's has instructions of its own")
    document: Json = {
        "bot_id": chat.model,
        "user_id": chat.user or _USER,
        "additional_messages": messages,
        "stream": True,
        "auto_save_history": not chat.stream,
    }
    document |= {name: msgspec.Raw(value) for name, value in plain_text.options(chat, _OPTIONS).items()}
    plain_text.leave_out(chat, client, target, (*_OPTIONS, "user"), notes)
    return json_values.encode(document)


def _message(turn: Turn, notes: list[str]) -> Json | None:
    text = plain_text.text(turn, notes)
    role, kind = ("assistant", "answer") if turn.role == "assistant" else ("user", "question")
    if media := plain_text.media([turn]):
        parts = [{"type": "text", "text": text}] if text else []
        content = json_values.encode([*parts, *map(_part, media)]).decode()
        return {"role": role, "type": kind, "content": content, "content_type": "object_string"}
    return {"role": role, "type": kind, "content": text, "content_type": "text"} if text else None


def _part(media: Media) -> Json:
    if media.url:
        return {"type": _KINDS[media.kind], "file_url": media.url}
    if media.file_id:
        return {"type": _KINDS[media.kind], "file_id": media.file_id}
    raise refused(media, "Coze takes links, and ids of files that were uploaded to it by /v1/files/upload")
