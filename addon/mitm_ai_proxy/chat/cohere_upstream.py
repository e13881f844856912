"""Writes a request of Cohere's chat API, version 2.

Sources: Cohere's API reference, chat; the types of its SDK for Python.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from . import efforts, json_values, openai_upstream
from .json_values import raw
from .model import Chat
from .target import Target

Json = dict[str, Any]

OPTIONS: Final = frozenset({"top_k", "seed", "frequency_penalty", "presence_penalty"})
_NAMES: Final = {"top_p": "p", "top_k": "k", "stop": "stop_sequences"}
_UNKNOWN: Final = ("parallel_tool_calls", "user", "tool_choice")
_RANGES: Final = {
    "temperature": (0, 1),
    "p": (0.01, 0.99),
    "frequency_penalty": (0, 1),
    "presence_penalty": (0, 1),
}
"""Numbers beyond these are refused there."""


def write(chat: Chat, client: str, target: Target, notes: list[str]) -> bytes:
    """The body of a request. `client` is the client's dialect. Raises Refusal (400) for what cannot be said."""
    said = openai_upstream.document(chat, client, target, notes)
    for name in _UNKNOWN:
        if said.pop(name, None) is not None and name != "tool_choice":
            notes.append(f"{name} left out: {target.name} has no such member")
    document: Json = {_NAMES.get(name, name): value for name, value in said.items()}
    document["messages"] = [_message(message) for message in document["messages"]]
    for name, (least, most) in _RANGES.items():
        if name in document:
            document[name] = _within(name, document[name], least, most, target, notes)
    if chat.tools:
        _write_tools(document, chat)
    if chat.format:
        document["response_format"] = {"type": "json_object"}
        if chat.format.schema:
            document["response_format"]["json_schema"] = raw(chat.format.schema)
    if chat.reasoning and chat.reasoning.is_on is not None:
        document["thinking"] = _thinking(chat)
    return json_values.encode(document)


def _message(message: Json) -> Json:
    """What the model said beside calls is its plan; what it thought is content."""
    if message["role"] != "assistant":
        return message
    thought, content = message.pop("reasoning_content", ""), message.pop("content")
    message.pop("refusal", None)
    if "tool_calls" in message:
        if content:
            message["tool_plan"] = content
    elif thought:
        text = [{"type": "text", "text": content}] if content else []
        message["content"] = [{"type": "thinking", "thinking": thought}, *text]
    else:
        message["content"] = content or ""
    return message


def _within(name: str, value: Any, least: float, most: float, target: Target, notes: list[str]) -> Any:
    number = float(bytes(value)) if isinstance(value, msgspec.Raw) else float(value)
    if least <= number <= most:
        return value
    nearest = min(max(number, least), most)
    notes.append(f"{name} is {nearest}, as {target.name} takes it from {least} to {most}")
    return nearest


def _write_tools(document: Json, chat: Chat) -> None:
    """There is no word for a single tool: it is the only one that is sent."""
    choice = chat.choice
    names = choice.names if choice else ()
    tools = document["tools"]
    for tool in tools:
        tool["function"].pop("strict", None)
    if names:
        document["tools"] = [tool for tool in tools if tool["function"]["name"] in names]
    if all(tool.is_strict for tool in chat.tools):
        document["strict_tools"] = True
    if choice and choice.mode != "auto":
        document["tool_choice"] = "NONE" if choice.mode == "none" else "REQUIRED"


def _thinking(chat: Chat) -> Json:
    asked = chat.reasoning
    assert asked is not None
    if not asked.is_on:
        return {"type": "disabled"}
    budget = asked.budget or efforts.BUDGETS.get(asked.effort or "")
    return {"type": "enabled", "token_budget": budget} if budget else {"type": "enabled"}
