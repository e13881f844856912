"""Writes a request of an application of Dify's: a chat, an agent, a completion or a workflow.

Sources: Dify's API reference; Higress ai-proxy plugin, dify.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

import msgspec

from ..errors import bad_body
from . import json_values, plain_text
from .model import Chat, Media, Turn
from .target import Target
from .writing import refused

BotType = Literal["Chat", "Agent", "Completion", "Workflow"]
CONVERSATION: Final = "conversation_id"
"""The member of a client's request that goes on with a conversation that Dify remembers."""
_INPUTS: Final = "inputs"
_OPTIONS: Final = (CONVERSATION, _INPUTS)
_SPEAKERS: Final = {"system": "SYSTEM", "user": "USER", "assistant": "ASSISTANT"}
_KINDS: Final = {"image": "image", "document": "document", "audio": "audio"}
_USER: Final = "api-user"

Json = dict[str, Any]


class Settings(NamedTuple):
    """What the configuration says: the kind of the application, and the input of a workflow that is the prompt."""

    bot_type: BotType = "Chat"
    input_variable: str = ""


def write(chat: Chat, client: str, target: Target, notes: list[str]) -> bytes:
    """The body of a request. Raises Refusal (400)."""
    settings = target.settings if isinstance(target.settings, Settings) else Settings()
    remembered = json_values.text(json_values.raw(chat.options.get(CONVERSATION, b'""'))) or ""
    is_chat = settings.bot_type in ("Chat", "Agent")
    turns = chat.turns
    if remembered and is_chat:
        turns = plain_text.since_answer(turns)
        notes.append("earlier messages left out: Dify remembers the conversation")
    files = [_file(one) for one in plain_text.media(turns)]
    prompt = _prompt(turns, notes)
    if not prompt:
        raise bad_body("messages say nothing.", param="messages")
    document: Json = {_INPUTS: _inputs(chat, settings, prompt)}
    if is_chat:
        document["query"] = prompt
    # An agent answers in a stream only.
    document["response_mode"] = "streaming" if chat.stream or settings.bot_type == "Agent" else "blocking"
    document["user"] = chat.user or _USER
    if is_chat:
        document[CONVERSATION] = remembered
        document["auto_generate_name"] = False
    if files:
        document["files"] = files
    plain_text.leave_out(chat, client, target, (*_OPTIONS, "user"), notes)
    return json_values.encode(document)


def _prompt(turns: tuple[Turn, ...], notes: list[str]) -> str:
    """The conversation as one text, in the plugin's form, on which prompts of applications may rely."""
    said = ((turn.role, plain_text.text(turn, notes)) for turn in turns)
    return "".join(f"{_SPEAKERS[role]}: \n{text}\n" for role, text in said if text)


def _inputs(chat: Chat, settings: Settings, prompt: str) -> Json:
    """The variables of the application: those that the client sends, and the prompt where it is one of them."""
    raw = chat.options.get(_INPUTS)
    inputs: Json = {}
    if raw is not None:
        if not json_values.is_object(raw.decode("utf-8", "replace")):
            raise bad_body("inputs is not an object.", param=_INPUTS)
        inputs = {name: msgspec.Raw(bytes(value)) for name, value in json_values.members(raw).items()}
    if settings.bot_type == "Completion":
        inputs["query"] = prompt
    elif settings.bot_type == "Workflow":
        inputs[settings.input_variable] = prompt
    return inputs


def _file(media: Media) -> Json:
    if media.url:
        return {"type": _KINDS[media.kind], "transfer_method": "remote_url", "url": media.url}
    if media.file_id:
        return {"type": _KINDS[media.kind], "transfer_method": "local_file", "upload_file_id": media.file_id}
    raise refused(media, "Dify takes links, and ids of files that were uploaded to it by /v1/files/upload")
