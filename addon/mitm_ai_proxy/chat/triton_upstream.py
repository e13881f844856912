"""Writes a request of NVIDIA Triton's generate extension. Source: Triton Inference Server's documentation of it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ..errors import bad_body
from . import json_values, plain_text
from .model import Chat, Turn
from .target import Target

_SPEAKERS: Final = {"system": "System", "user": "User", "assistant": "Assistant"}
_PARAMETERS: Final = ("temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty")


def write(chat: Chat, client: str, target: Target, notes: list[str]) -> bytes:
    """The body of a request; its model and whether it is a stream are in its path. Raises Refusal (400).

    Members that are no input of the model are parameters of its request: Triton looks.
    """
    plain_text.refuse_media(chat.turns, target)
    parameters: dict[str, Any] = {"stream": chat.stream}
    parameters |= {name: msgspec.Raw(value) for name, value in plain_text.options(chat, _PARAMETERS).items()}
    document: dict[str, Any] = {
        "text_input": _prompt(chat.turns, notes),
        "parameters": parameters,
        # Else a few backends begin with the prompt.
        "exclude_input_in_output": True,
    }
    if chat.max_tokens is not None:
        document["max_tokens"] = chat.max_tokens
    if len(chat.stop) > 1:
        raise bad_body("stop has several texts, and Triton's parameters take one.", param="stop")
    if chat.stop:
        document["stop"] = chat.stop[0]
    plain_text.leave_out(chat, client, target, (*_PARAMETERS, "max_tokens", "stop"), notes)
    return json_values.encode(document)


def _prompt(turns: tuple[Turn, ...], notes: list[str]) -> str:
    """The conversation as one text, at whose end it is the model's turn. A single message is its text."""
    said = [(turn.role, text) for turn in turns if (text := plain_text.text(turn, notes))]
    if not said:
        raise bad_body("messages say nothing.", param="messages")
    if len(said) == 1:
        return said[0][1]
    notes.append("the conversation is one text: Triton's models know no messages")
    return "\n".join([*(f"{_SPEAKERS[role]}: {text}" for role, text in said), f"{_SPEAKERS['assistant']}:"])
