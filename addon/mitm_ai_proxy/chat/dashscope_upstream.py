"""Writes a chat of DashScope's own API, with text alone or with media.

Sources: DashScope's API reference, text generation and multimodal generation; its SDK for Python.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from . import json_values, openai_upstream
from .model import Chat
from .target import Target

Json = dict[str, Any]

OPTIONS: Final = frozenset(
    "top_k seed presence_penalty repetition_penalty enable_search search_options preserve_thinking".split()
)
_UNKNOWN: Final = ("user",)
_SEES: Final = re.compile(r"(^|[-/])(vl|qvq|audio|omni|ocr)\b|\bqwen\d*-?vl", re.IGNORECASE)
_MOST_HEAT: Final = 1.99
_LEAST_TOP_P: Final = 0.000001
"""temperature has to be below 2, top_p above 0."""


def has_media(model: str, body: bytes) -> bool:
    """Whether a request is one for the API with media: by its model, or by what is in it."""
    if _SEES.search(model):
        return True
    messages = json_values.objects(json_values.members(json_values.members(body)["input"])["messages"])
    return any(json_values.blocks(message.get("content")) for message in messages)


def write(chat: Chat, client: str, target: Target, notes: list[str]) -> bytes:
    """The body of a request. `client` is the client's dialect. Raises Refusal (400) for what cannot be said."""
    said = openai_upstream.document(chat, client, target, notes)
    for name in _UNKNOWN:
        if said.pop(name, None) is not None:
            notes.append(f"{name} left out: {target.name} has no such member")
    messages = [_message(message) for message in said.pop("messages")]
    model = said.pop("model")
    if _SEES.search(model) or any(isinstance(message.get("content"), list) for message in messages):
        messages = [_with_parts(message) for message in messages]
    parameters: Json = {"result_format": "message"}
    if said.pop("stream", False):
        parameters["incremental_output"] = True
    for name, value in said.items():
        parameters[name] = _within(name, value, target, notes)
    return json_values.encode({"model": model, "input": {"messages": messages}, "parameters": parameters})


def _message(message: Json) -> Json:
    content = message.get("content")
    if isinstance(content, list):
        message["content"] = [part for told in content for part in _parts(told)]
    elif content is None:
        message["content"] = ""
    message.pop("refusal", None)
    return message


def _parts(part: Json) -> Iterator[Json]:
    kind = part["type"]
    cache = {"cache_control": part["cache_control"]} if "cache_control" in part else {}
    if kind == "text":
        yield {"text": part["text"], **cache}
    elif kind == "image_url":
        yield {"image": part["image_url"]["url"], **cache}
    elif kind == "input_audio":
        audio = part["input_audio"]
        yield {"audio": f"data:audio/{audio['format']};base64,{audio['data']}", **cache}


def _with_parts(message: Json) -> Json:
    content = message["content"]
    return message if isinstance(content, list) else {**message, "content": [{"text": content}] if content else []}


def _within(name: str, value: Any, target: Target, notes: list[str]) -> Any:
    number = float(bytes(value)) if isinstance(value, msgspec.Raw) and name in ("temperature", "top_p") else 0.0
    if name == "temperature" and number >= 2:
        notes.append(f"temperature is {_MOST_HEAT}: {target.name} takes less than 2")
        return _MOST_HEAT
    if name == "top_p" and number <= 0:
        notes.append(f"top_p is {_LEAST_TOP_P}: {target.name} takes more than 0")
        return _LEAST_TOP_P
    return value
