"""Writes a chat completions request of OpenAI's, as an OpenAI-compatible provider takes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from . import efforts, json_values, media_data, unsaid
from .json_values import raw
from .model import Block, CacheMark, Call, Chat, Choice, Foreign, Media, Result, Text, Thinking, Tool, Turn
from .target import Target
from .writing import NO_ARGUMENTS, note, refused, refused_file, titled

Json = dict[str, Any]

_OPTIONS: Final = frozenset({"temperature", "top_p"})
_CACHE_TTLS: Final[dict[str, str]] = {"1h": "30m"}
_FILE_ENDINGS: Final = {"application/pdf": ".pdf", "text/plain": ".txt"}
_MAX_USER: Final = 64
"""Characters of the member `user`: OpenAI refuses a longer one."""
_KINDS: Final = {"image": "pictures", "document": "documents", "audio": "sound"}
_THINKING_WORDS: Final = {True: "enabled", False: "disabled"}


def write(chat: Chat, client: str, target: Target, notes: list[str]) -> bytes:
    """The body of a request. `client` is the client's dialect. Raises Refusal (400) for what cannot be said."""
    return json_values.encode(document(chat, client, target, notes))


def document(chat: Chat, client: str, target: Target, notes: list[str]) -> Json:
    """The same as Python's objects, for vendors whose own form is made of it."""
    document: Json = {"model": chat.model}
    document["messages"] = [message for turn in chat.turns for message in _messages(turn, target, notes)]
    if chat.max_tokens is not None:
        limit = min(chat.max_tokens, target.most_tokens or chat.max_tokens)
        if limit < chat.max_tokens:
            notes.append(f"{target.max_tokens} is {limit}, the highest that {target.name} takes")
        document[target.max_tokens] = limit
    said = _OPTIONS | target.options
    for name, value in chat.options.items():
        if name in said:
            document[name] = msgspec.Raw(value)
    if chat.stop:
        document["stop"] = list(chat.stop)
    if chat.tools:
        document["tools"] = [_tool(tool, target, notes) for tool in chat.tools]
        if chat.choice:
            document["tool_choice"] = _choice(chat.choice)
        if chat.parallel_calls is not None:
            document["parallel_tool_calls"] = chat.parallel_calls
    if chat.format:
        document["response_format"] = _format(chat)
    _write_reasoning(document, chat, target, notes)
    if chat.user:
        if len(chat.user) <= _MAX_USER:
            document["user"] = chat.user
        else:
            notes.append(f"the user's id left out: it is longer than {_MAX_USER} characters")
    if chat.stream:
        document["stream"] = True
        if target.counts_streams:
            document["stream_options"] = {"include_usage": True}
    notes += unsaid.leave_out(client, chat.options, said, target.name)
    return document


def _messages(turn: Turn, target: Target, notes: list[str]) -> Iterable[Json]:
    blocks = [block for block in turn.blocks if not _is_foreign(block, notes)]
    if turn.role == "system":
        return [{"role": "system", "content": _content(blocks, target, notes, joined=True)}] if blocks else []
    if turn.role == "assistant":
        return [_assistant(blocks, target, notes)]
    messages = []
    rest: list[Block] = []
    for block in blocks:
        if isinstance(block, Result):
            texts, media = _result(block)
            content = _content(texts, target, notes, joined=True) if texts else ""
            messages.append({"role": "tool", "tool_call_id": block.call_id, "content": content})
            if media:
                note(notes, "pictures and documents of a tool's result follow it in a message of the user's")
                rest += [Text(f"From the result of the tool call {block.call_id}:"), *media]
    rest += [block for block in blocks if not isinstance(block, Result)]
    if rest or not messages:
        messages.append({"role": "user", "content": _content(rest, target, notes, joined=False)})
    return messages


def _is_foreign(block: Block, notes: list[str]) -> bool:
    if isinstance(block, Foreign):
        note(notes, f"{block.type} blocks left out: only {block.dialect} has them")
    return isinstance(block, Foreign)


def _result(result: Result) -> tuple[list[Block], list[Block]]:
    """What a tool message can say of a result, and what it cannot."""
    texts: list[Block] = []
    media: list[Block] = []
    for block in result.blocks:
        if isinstance(block, Text):
            texts.append(block)
        elif isinstance(block, Media) and block.text:
            texts.append(Text(titled(block)))
        elif isinstance(block, Media):
            media.append(block)
    first = texts[0] if texts else Text()
    if result.is_failed and isinstance(first, Text) and not first.text.lower().startswith("error"):
        texts[:1] = [Text(f"Error: {first.text}" if first.text else "Error", first.cache)]
    if result.cache and texts and isinstance(texts[-1], Text):
        texts[-1] = Text(texts[-1].text, result.cache)
    return texts, media


def _content(blocks: list[Block], target: Target, notes: list[str], *, joined: bool) -> str | list[Json]:
    """The content of a message. `joined`: text as one string, as many providers take no list of parts there."""
    if len(blocks) == 1 and isinstance(only := blocks[0], Text) and only.cache is None:
        return only.text
    texts = [block for block in blocks if isinstance(block, Text)]
    marked = [block for block in blocks if not isinstance(block, Thinking | Foreign) and block.cache]
    if marked and target.cache == "none":
        note(notes, f"cache marks left out ({target.name})")
    if len(texts) == len(blocks) and not (marked and target.cache != "none") and (joined or len(blocks) < 2):
        return "\n\n".join(block.text for block in texts)
    return [_part(block, target) for block in blocks]


def _part(block: Block, target: Target) -> Json:
    if isinstance(block, Media):
        return _marked(_media(block, target), block.cache, target)
    assert isinstance(block, Text)
    return _marked({"type": "text", "text": block.text}, block.cache, target)


def _marked(part: Json, cache: CacheMark | None, target: Target) -> Json:
    if cache and target.cache == "breakpoint":
        ttl = _CACHE_TTLS.get(cache)
        part["prompt_cache_breakpoint"] = {"mode": "explicit", "ttl": ttl} if ttl else {"mode": "explicit"}
    elif cache and target.cache == "control":
        part["cache_control"] = {"type": "ephemeral"} if cache == "5m" else {"type": "ephemeral", "ttl": cache}
    return part


def _media(media: Media, target: Target) -> Json:
    if not media.text and media.kind not in target.takes:
        raise refused(media, f"{target.name} takes no {_KINDS[media.kind]}")
    if media.file_id:
        raise refused_file(media)
    if media.kind == "image":
        return {"type": "image_url", "image_url": {"url": media_data.url_of(media)}}
    if media.kind == "audio":
        return {"type": "input_audio", "input_audio": {"data": media.data, "format": media.type.partition("/")[2]}}
    if media.text:
        return {"type": "text", "text": titled(media)}
    if media.url and not target.has_document_links:
        raise refused(
            media, f"{target.name} takes no link to a document, and it is not fetched here; send it in base64"
        )
    name = media.name or f"document{_FILE_ENDINGS.get(media.type, '')}"
    return {"type": "file", "file": {"filename": name, "file_data": media_data.url_of(media)}}


def _assistant(blocks: list[Block], target: Target, notes: list[str]) -> Json:
    message: Json = {"role": "assistant"}
    texts: list[Block] = [
        # An empty one with a seal is another vendor's.
        block
        for block in blocks
        if isinstance(block, Text) and not block.is_refusal and (block.text or not block.seal)
    ]
    refusals = [block.text for block in blocks if isinstance(block, Text) and block.is_refusal]
    calls = [block for block in blocks if isinstance(block, Call)]
    content = _content(texts, target, notes, joined=True) if texts else None
    message["content"] = content if content is not None or calls or refusals else ""
    if refusals:
        message["refusal"] = "\n\n".join(refusals)
    thoughts = [block.text for block in blocks if isinstance(block, Thinking) and block.text]
    if target.reasoning_back == "always" or (target.reasoning_back == "calls" and calls):
        if thoughts or calls:
            # Kimi and DeepSeek refuse calls without it, even where there was no thought.
            message["reasoning_content"] = "\n\n".join(thoughts)
    elif thoughts:
        note(notes, f"thinking of earlier turns left out ({target.name})")
    if calls:
        message["tool_calls"] = [_call(call, target) for call in calls]
    return message


def _call(call: Call, target: Target) -> Json:
    function = {"name": call.name, "arguments": call.arguments or "{}"}
    written: Json = {"id": call.id, "type": "function", "function": function}
    if call.seal and call.seal.vendor == target.vendor == "google":
        # Where Google's own OpenAI-compatible API has the signature.
        written["extra_content"] = {"google": {"thought_signature": call.seal.value}}
    return written


def _tool(tool: Tool, target: Target, notes: list[str]) -> Json:
    function: Json = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = raw(tool.schema or NO_ARGUMENTS)
    if tool.is_strict is not None:
        function["strict"] = tool.is_strict
    written: Json = {"type": "function", "function": function}
    if tool.cache:
        if target.cache == "control":
            return _marked(written, tool.cache, target)
        note(notes, f"cache marks of tools left out ({target.name})")
    return written


def _choice(choice: Choice) -> object:
    if choice.mode != "call":
        return choice.mode
    if len(choice.names) == 1:
        return {"type": "function", "function": {"name": choice.names[0]}}
    return "required"


def _format(chat: Chat) -> Json:
    format = chat.format
    assert format is not None
    if not format.schema:
        return {"type": "json_object"}
    described: Json = {"name": format.name or "answer", "schema": raw(format.schema)}
    if format.description:
        described["description"] = format.description
    described["strict"] = True if format.is_strict is None else format.is_strict
    return {"type": "json_schema", "json_schema": described}


def _write_reasoning(document: Json, chat: Chat, target: Target, notes: list[str]) -> None:
    asked = chat.reasoning
    if asked is None:
        return
    effort = asked.effort
    if effort is None and asked.budget is not None:
        effort = efforts.effort_of(asked.budget)
    if target.reasoning == "effort":
        wanted = "none" if asked.is_on is False else effort or "medium"
        word = efforts.effort_for(chat.model, wanted)
        model = chat.model[:60]
        if word is None:
            note(notes, f"reasoning_effort {wanted} left out: {model} takes none, as far as is known")
            return
        document["reasoning_effort"] = word
        if word != wanted:
            note(notes, f"reasoning_effort is {word}: {model} takes no {wanted}")
    elif target.reasoning == "thinking" and asked.is_on is not None:
        document["thinking"] = {"type": _THINKING_WORDS[asked.is_on]}
    elif target.reasoning == "enable" and asked.is_on is not None:
        document["enable_thinking"] = asked.is_on
        budget = asked.budget or efforts.BUDGETS.get(effort or "")
        if asked.is_on and budget:
            document["thinking_budget"] = budget
    elif target.reasoning == "none":
        note(notes, f"thinking left out: {target.name} has no setting for it")
