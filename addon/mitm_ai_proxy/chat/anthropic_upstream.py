"""Writes a request of Anthropic's Messages API, as Claude's models take it.

Sources: Anthropic's API reference, messages; its list of what each model accepts (see efforts.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from ..errors import bad_body
from . import efforts, json_values, sealed_ids, unsaid
from .json_values import raw
from .model import Block, CacheMark, Call, Chat, Foreign, Media, Result, Text, Thinking, Tool, Turn
from .target import Target
from .writing import NO_ARGUMENTS, check_first, note, refused, refused_file

MAX_CACHE_MARKS: Final = 4
_NO_SAMPLING_SINCE: Final = "2026-10-21"
"""The version whose requests have no temperature, top_p and top_k."""
_IMAGE_TYPES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")

Json = dict[str, Any]


def write(chat: Chat, client: str, target: Target, notes: list[str]) -> bytes:
    """The body of a request. `client` is the client's dialect. Raises Refusal (400) for what Claude cannot do."""
    row = efforts.claude_model(chat.model)
    check_first(chat.turns, "Claude")
    choice = chat.choice
    wants_call = choice is not None and choice.mode == "call" and bool(chat.tools)
    messages = _messages(chat.turns, target, notes)
    if not messages:
        raise bad_body("messages say nothing.", param="messages")
    plan = efforts.claude_thinking(chat, row, wants_call, _lacks_thinking(messages))
    notes += plan.notes
    document: Json = {"model": chat.model, "max_tokens": plan.max_tokens}
    if _has_late_system(chat.turns):
        notes.append("system messages in the middle are put before the conversation")
    if system := _system(chat.turns, target):
        document["system"] = _short(system)
    document["messages"] = messages
    if chat.tools:
        _write_tools(document, chat, plan.is_forced, notes)
    if plan.thinking:
        document["thinking"] = plan.thinking
    if output := _output(chat, plan.effort, notes):
        document["output_config"] = output
    said = write_sampling(document, chat, row, plan, target, notes)
    if stops := [text for text in chat.stop if text.strip()]:
        document["stop_sequences"] = stops
    if len(stops) < len(chat.stop):
        notes.append("stop sequences of blanks left out: Claude takes none")
    if chat.user:
        document["metadata"] = {"user_id": chat.user}
    if chat.stream:
        document["stream"] = True
    notes += unsaid.leave_out(client, chat.options, said, target.name)
    _limit_cache_marks(document, notes)
    return json_values.encode(document)


def _system(turns: Iterable[Turn], target: Target) -> list[Json]:
    """The text of all system messages, in order."""
    system = [
        _text(block.text, block.cache)
        for turn in turns
        if turn.role == "system"
        for block in turn.blocks
        if isinstance(block, Text) and block.text.strip()
    ]
    if target.default_system and all(block["text"] == target.added_system for block in system):
        system = [_text(target.default_system, None), *system]
    if system and target.caches_system:
        _marked(system[-1], "5m")
    return system


def _has_late_system(turns: Iterable[Turn]) -> bool:
    roles = [turn.role for turn in turns]
    return "system" in roles[next((index for index, role in enumerate(roles) if role != "system"), 0) :]


def _messages(turns: Iterable[Turn], target: Target, notes: list[str]) -> list[Json]:
    """Messages of alternating roles: neighbours of one role are one, in which results come first."""
    messages: list[Json] = []
    for turn in turns:
        blocks = [written for block in turn.blocks if (written := _block(block, target, notes))]
        if not blocks or turn.role == "system":
            continue
        if messages and messages[-1]["role"] == turn.role:
            messages[-1]["content"] += blocks
        else:
            messages.append({"role": turn.role, "content": blocks})
    for message in messages:
        message["content"].sort(key=lambda block: block["type"] != "tool_result")
    last = messages[-1]["content"][-1] if messages and messages[-1]["role"] == "assistant" else None
    if last and last["type"] == "text" and last["text"] != last["text"].rstrip():
        # Claude goes on behind it, and refuses one that ends so.
        last["text"] = last["text"].rstrip()
        notes.append("blanks at the end of the last message left out")
    for message in messages:
        message["content"] = _short(message["content"])
    return messages


def _short(content: list[Json]) -> str | list[Json]:
    """Content that is one plain text, as a string."""
    is_plain = len(content) == 1 and content[0]["type"] == "text" and len(content[0]) == 2
    text: str = content[0]["text"] if is_plain else ""
    return text if is_plain else content


def _block(block: Block, target: Target, notes: list[str]) -> Json | None:
    match block:
        case Text():
            # Claude refuses blank text, which clients of OpenAI's do send.
            return _text(block.text, block.cache) if block.text.strip() else None
        case Call():
            id = sealed_ids.sealed(block.id)
            return _marked({"type": "tool_use", "id": id, "name": block.name, "input": _input(block)}, block.cache)
        case Result():
            return _result(block, target, notes)
        case Media():
            return _media(block)
        case Thinking():
            return _thinking(block, target, notes)
        case Foreign():
            if block.dialect == target.dialect:
                return dict(json_values.members(block.raw))
            note(notes, f"{block.type} blocks left out: only {block.dialect} has them")
            return None


def _text(text: str, cache: CacheMark | None) -> Json:
    return _marked({"type": "text", "text": text}, cache)


def _marked(block: Json, cache: CacheMark | None) -> Json:
    if cache:
        block["cache_control"] = {"type": "ephemeral"} if cache == "5m" else {"type": "ephemeral", "ttl": cache}
    return block


def _input(call: Call) -> object:
    """The arguments as an object; if the model made a mistake, in the form that Anthropic gives for this."""
    if not call.arguments.strip():
        return {}
    return raw(call.arguments) if json_values.is_object(call.arguments) else {"INVALID_JSON": call.arguments}


def _thinking(block: Thinking, target: Target, notes: list[str]) -> Json | None:
    if block.seal is None or block.seal.vendor != target.vendor:
        if block.text or block.seal:
            note(notes, f"thinking left out: it is not signed by {target.name}")
        return None
    if block.is_redacted:
        return {"type": "redacted_thinking", "data": block.seal.value}
    return {"type": "thinking", "thinking": block.text, "signature": block.seal.value}


def _result(result: Result, target: Target, notes: list[str]) -> Json:
    block: Json = {"type": "tool_result", "tool_use_id": sealed_ids.sealed(result.call_id)}
    content = [written for inner in result.blocks if (written := _block(inner, target, notes))]
    if content:
        block["content"] = _short(content)
    if result.is_failed:
        block["is_error"] = True
    return _marked(block, result.cache)


def _media(media: Media) -> Json:
    if media.kind == "audio":
        raise refused(media, "Claude takes no sound")
    block: Json = {"type": media.kind, "source": _source(media)}
    if media.name and media.kind == "document":
        block["title"] = media.name
    return _marked(block, media.cache)


def _source(media: Media) -> Json:
    if media.url:
        return {"type": "url", "url": media.url}
    if media.file_id:
        raise refused_file(media)
    if media.kind == "image":
        if media.type not in _IMAGE_TYPES:
            raise refused(media, f"Claude takes pictures of {', '.join(_IMAGE_TYPES)}")
        return {"type": "base64", "media_type": media.type, "data": media.data}
    if media.text:
        return {"type": "text", "media_type": "text/plain", "data": media.text}
    if media.type == "application/pdf":
        return {"type": "base64", "media_type": media.type, "data": media.data}
    if media.type.startswith("text/") or media.type == "application/json":
        return {"type": "text", "media_type": "text/plain", "data": json_values.text_of_base64(media.data, media.path)}
    raise refused(media, "Claude takes documents of application/pdf and of text")


def _lacks_thinking(messages: list[Json]) -> bool:
    """Whether the assistant's turn of a running tool loop has calls, but does not begin with thinking."""
    if len(messages) < 2 or messages[-1]["role"] != "user":
        return False
    content, results = messages[-2]["content"], messages[-1]["content"]
    if isinstance(content, str) or isinstance(results, str) or results[0]["type"] != "tool_result":
        return False
    return content[0]["type"] not in ("thinking", "redacted_thinking")


def _write_tools(document: Json, chat: Chat, is_forced: bool, notes: list[str]) -> None:
    choice = chat.choice
    tools = chat.tools
    if choice and choice.names and (len(choice.names) > 1 or choice.mode == "auto"):
        tools = tuple(tool for tool in tools if tool.name in choice.names)
        notes.append("tools other than the allowed ones left out")
    if not tools:
        raise bad_body("tool_choice allows no tool that is in tools.", param="tool_choice")
    document["tools"] = [_tool(tool) for tool in tools]
    written: Json | None = None
    if choice and choice.mode == "none":
        written = {"type": "none"}
    elif choice and is_forced:
        named = choice.mode == "call" and len(choice.names) == 1
        written = {"type": "tool", "name": choice.names[0]} if named else {"type": "any"}
    elif choice or chat.parallel_calls is False:
        written = {"type": "auto"}
    if written and chat.parallel_calls is False and written["type"] != "none":
        written["disable_parallel_tool_use"] = True
    if written:
        document["tool_choice"] = written


def _tool(tool: Tool) -> Json:
    written: Json = {"name": tool.name}
    if tool.description:
        written["description"] = tool.description
    written["input_schema"] = raw(object_schema(tool.schema))
    if tool.is_strict is not None:
        written["strict"] = tool.is_strict
    return _marked(written, tool.cache)


def object_schema(schema: bytes) -> bytes:
    """A schema that says that it is of an object, as Claude wants it."""
    if not schema:
        return NO_ARGUMENTS
    members = json_values.members(schema)
    if "type" in members:
        return schema
    return b'{"type":"object"' + (b"," if members else b"") + schema.lstrip()[1:]


def _output(chat: Chat, effort: str | None, notes: list[str]) -> Json:
    output: Json = {}
    if effort:
        output["effort"] = effort
    if chat.format:
        if chat.format.schema:
            output["format"] = {"type": "json_schema", "schema": raw(chat.format.schema)}
        else:
            notes.append(
                "response_format json_object left out: Claude knows schemas only; the prompt has to ask for JSON"
            )
    return output


def write_sampling(
    document: Json, chat: Chat, row: efforts.ClaudeModel, plan: efforts.Thinking, target: Target, notes: list[str]
) -> list[str]:
    """Write temperature, top_p and top_k, as far as the model takes them; gives the names that need no other note."""
    options = chat.options
    if target.version >= _NO_SAMPLING_SINCE or row.sampling == "none":
        return []
    thinks = plan.thinking is not None and plan.thinking["type"] in ("enabled", "adaptive")
    said = []
    for name in ("temperature", "top_p", "top_k"):
        value = options.get(name)
        if value is None:
            continue
        said.append(name)
        if thinks and (name != "top_p" or float(value) < 0.95):
            if name != "temperature" or float(value) != 1:
                notes.append(f"{name} left out: Claude takes none while it thinks")
        elif name == "top_p" and row.sampling == "one" and "temperature" in document:
            notes.append("top_p left out: this model takes temperature or top_p, not both")
        elif name == "temperature" and float(value) > 1:
            document[name] = 1
            notes.append("temperature is 1, the highest that Claude takes")
        else:
            document[name] = msgspec.Raw(value)
    return said


def _limit_cache_marks(document: Json, notes: list[str]) -> None:
    """Keep the last four marks, in the order of the prompt: Claude refuses a fifth."""
    marked = [block for block in _cacheable(document) if "cache_control" in block]
    for block in marked[:-MAX_CACHE_MARKS]:
        del block["cache_control"]
    if len(marked) > MAX_CACHE_MARKS:
        notes.append(f"of {len(marked)} cache marks, the last {MAX_CACHE_MARKS} are kept")


def _cacheable(document: Json) -> Iterator[Json]:
    yield from document.get("tools", ())
    for holder in ({"content": document.get("system")}, *document["messages"]):
        content = holder["content"]
        for block in content if isinstance(content, list) else ():
            inner = block.get("content")
            if block["type"] == "tool_result" and isinstance(inner, list):
                yield from inner
            yield block
