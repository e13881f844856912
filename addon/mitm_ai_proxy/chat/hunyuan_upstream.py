"""Writes a request of ChatCompletions, the API of Hunyuan at Tencent Cloud.

Sources: Tencent Cloud API, Hunyuan 2023-09-01; the types of its SDK for Python.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from . import json_values, openai_upstream
from .model import Chat
from .target import Target

Json = dict[str, Any]

OPTIONS: Final = frozenset({"seed"})
_NAMES: Final = {"temperature": "Temperature", "top_p": "TopP", "seed": "Seed", "stop": "Stop", "stream": "Stream"}
_MOST_SEED: Final = 10_000
_REQUIRED: Final = "required"


def write(chat: Chat, client: str, target: Target, notes: list[str]) -> bytes:
    """The body of a request. `client` is the client's dialect. Raises Refusal (400) for what cannot be said."""
    said = openai_upstream.document(chat, client, target, notes)
    document: Json = {
        "Model": said.pop("model"),
        "Messages": [_message(message) for message in said.pop("messages")],
        "Stream": said.pop("stream", False),
    }
    for name, ours in _NAMES.items():
        if name in said:
            document[ours] = said.pop(name)
    if "Seed" in document and not 0 < int(bytes(document["Seed"])) <= _MOST_SEED:
        del document["Seed"]
        notes.append(f"seed left out: {target.name} takes 1 to {_MOST_SEED}")
    if tools := said.pop("tools", None):
        document["Tools"] = [_tool(tool) for tool in tools]
        _write_choice(document, said.pop("tool_choice", None), notes)
    if chat.reasoning and chat.reasoning.is_on is not None:
        document["EnableThinking"] = chat.reasoning.is_on
    notes += [f"{name} left out: {target.name} has no such member" for name in said]
    return json_values.encode(document)


def _message(message: Json) -> Json:
    written: Json = {"Role": message["role"]}
    content = message.get("content")
    if isinstance(content, list):
        written["Contents"] = [_part(part) for part in content]
    else:
        written["Content"] = content or ""
    if thought := message.get("reasoning_content"):
        written["ReasoningContent"] = thought
    if calls := message.get("tool_calls"):
        written["ToolCalls"] = [_call(call, index) for index, call in enumerate(calls)]
    if id := message.get("tool_call_id"):
        written["ToolCallId"] = id
    return written


def _part(part: Json) -> Json:
    if part["type"] == "image_url":
        return {"Type": "image_url", "ImageUrl": {"Url": part["image_url"]["url"]}}
    return {"Type": "text", "Text": part["text"]}


def _call(call: Json, index: int) -> Json:
    function = call["function"]
    named = {"Name": function["name"], "Arguments": function["arguments"]}
    return {"Id": call["id"], "Type": "function", "Index": index, "Function": named}


def _tool(tool: Json) -> Json:
    """The schema is a text."""
    function = tool["function"]
    parameters = function["parameters"]
    text = bytes(parameters).decode() if isinstance(parameters, msgspec.Raw) else parameters
    written: Json = {"Name": function["name"], "Parameters": text}
    if description := function.get("description"):
        written["Description"] = description
    return {"Type": "function", "Function": written}


def _write_choice(document: Json, choice: Any, notes: list[str]) -> None:
    if isinstance(choice, dict):
        name = choice["function"]["name"]
        document["ToolChoice"] = "custom"
        document["CustomTool"] = next((tool for tool in document["Tools"] if tool["Function"]["Name"] == name), None)
    elif choice == _REQUIRED and len(document["Tools"]) == 1:
        document["ToolChoice"], document["CustomTool"] = "custom", document["Tools"][0]
    elif choice:
        document["ToolChoice"] = "auto" if choice == _REQUIRED else choice
        if choice == _REQUIRED:
            notes.append("tool_choice is auto: Hunyuan cannot be made to call any of several tools")
