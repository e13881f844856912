"""Writes a request of MiniMax's oldest chat API, `chatcompletion_pro`, which has senders in the place of roles.

Sources: Higress ai-proxy plugin, minimax; LangChain's types of this API, for functions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from . import json_values, openai_upstream
from .model import Chat
from .target import Target

Json = dict[str, Any]

BOT: Final = "MM智能助理"
_USER: Final = "小明"
_SELF: Final = "MM智能助理是一款由MiniMax自研的大型语言模型。"
"""Who the assistant is, where the client does not say it: there has to be a setting."""
_NAMES: Final = {"max_tokens": "tokens_to_generate", "temperature": "temperature", "top_p": "top_p", "stream": "stream"}


def write(chat: Chat, client: str, target: Target, notes: list[str]) -> bytes:
    """The body of a request. `client` is the client's dialect. Raises Refusal (400) for what cannot be said."""
    said = openai_upstream.document(chat, client, target, notes)
    messages = said.pop("messages")
    systems = [_text(message) for message in messages if message["role"] == "system"]
    document: Json = {"model": said.pop("model")}
    for name, theirs in _NAMES.items():
        if name in said:
            document[theirs] = said.pop(name)
    document["mask_sensitive_info"] = True
    calls: dict[str, str] = {}
    document["messages"] = [told for message in messages for told in _messages(message, calls)]
    document["bot_setting"] = [{"bot_name": BOT, "content": "\n".join(systems) or _SELF}]
    document["reply_constraints"] = {"sender_type": "BOT", "sender_name": BOT}
    if tools := said.pop("tools", None):
        document["functions"] = [
            {name: tool["function"][name] for name in ("name", "description", "parameters") if name in tool["function"]}
            for tool in tools
        ]
        document["function_call"] = _choice(said.pop("tool_choice", "auto"), notes)
    notes += [f"{name} left out: {target.name} has no such member" for name in said]
    return json_values.encode(document)


def _messages(message: Json, calls: dict[str, str]) -> Iterator[Json]:
    """The messages that one of OpenAI's is. `calls`: the function of each call so far, by its id."""
    role = message["role"]
    if role == "user":
        yield {"sender_type": "USER", "sender_name": _USER, "text": _text(message)}
    elif role == "tool":
        name = calls.get(message["tool_call_id"], BOT)
        yield {"sender_type": "FUNCTION", "sender_name": name, "text": _text(message)}
    elif role == "assistant":
        text = _text(message)
        called = message.get("tool_calls") or ()
        if text or not called:
            yield {"sender_type": "BOT", "sender_name": BOT, "text": text}
        for call in called:
            function = call["function"]
            calls[call["id"]] = function["name"]
            yield {"sender_type": "BOT", "sender_name": BOT, "text": "", "function_call": function}


def _text(message: Json) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "\n\n".join(part["text"] for part in content)


def _choice(choice: Any, notes: list[str]) -> Json:
    if isinstance(choice, dict):
        return {"type": "specific", "name": choice["function"]["name"]}
    if choice == "required":
        notes.append("tool_choice is auto: this API cannot be made to call any of several tools")
    return {"type": "none" if choice == "none" else "auto"}
