"""Reads a request of Anthropic's Messages API.

Sources: Anthropic's API reference, messages; the types of Anthropic's SDK for Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from . import json_values, media_data, sealed_ids
from .dialects import ANTHROPIC
from .json_values import Object, shown
from .model import (
    Block,
    CacheMark,
    Call,
    Chat,
    Choice,
    Foreign,
    Format,
    Media,
    Reasoning,
    Result,
    Text,
    Thinking,
    Tool,
    Turn,
)

# Members that are read here. All others are options.
_READ: Final = frozenset(
    "model messages system tools tool_choice thinking output_config max_tokens stop_sequences stream metadata".split()
)
_NUMBERS: Final = ("temperature", "top_p", "top_k")
_EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
_THINKING: Final = ("enabled", "adaptive", "disabled", "between_tools")
# A piece of the first system text of Claude Code that differs with each request, so that no cache would hold.
_BILLING: Final = "x-anthropic-billing-header:"


def read(body: bytes) -> Chat:
    """The request in a body. Raises Refusal (400), which names the wrong member."""
    root = json_values.request_object(body)
    messages = root.objects("messages")
    if not messages:
        raise root.wrong("messages", "is missing or empty")
    limit = root.whole("max_tokens", 1)
    if limit is None:
        raise root.wrong("max_tokens", "is missing")
    for name in _NUMBERS:
        root.number(name)
    output = root.object("output_config")
    metadata = root.object("metadata")
    choice = root.object("tool_choice")
    parallel = None
    if choice is not None and choice.raw("disable_parallel_tool_use") is not None:
        parallel = not choice.flag("disable_parallel_tool_use")
    system = tuple(_system(root))
    turns = (Turn("system", system, "system"),) if system else ()
    return Chat(
        root.need("model"),
        turns + tuple(map(_turn, messages)),
        tuple(map(_tool, root.objects("tools"))),
        _choice(choice),
        parallel,
        _format(output.object("format")) if output else None,
        _reasoning(root.object("thinking"), output),
        limit,
        root.texts("stop_sequences"),
        root.flag("stream") or False,
        True,
        metadata.text("user_id") if metadata else None,
        {name: bytes(value) for name in root.members if name not in _READ and (value := root.raw(name)) is not None},
    )


def _system(root: Object) -> Iterator[Text]:
    first = root.first("system")
    if first == 0x22:
        yield Text(_without_billing(root.need("system")))
    elif first:
        for block in root.objects("system"):
            text = _text(block)
            yield Text(_without_billing(text.text), text.cache)


def _without_billing(text: str) -> str:
    """A text without the `cch=...` pieces of Claude Code's billing header, which is its first line."""
    if not text.startswith(_BILLING):
        return text
    line, end, rest = text.partition("\n")
    pieces = [piece for piece in line.split(";") if not piece.strip().startswith("cch=")]
    return ";".join(pieces) + end + rest


def _turn(message: Object) -> Turn:
    role = message.one_of("role", ("user", "assistant", "system"))
    if role is None:
        raise message.wrong("role", "is missing")
    if role == "user":
        return Turn("user", tuple(_blocks(message, _USER_BLOCKS)), message.path)
    if role == "assistant":
        return Turn("assistant", tuple(_blocks(message, _ASSISTANT_BLOCKS)), message.path)
    return Turn("system", tuple(_blocks(message, _SYSTEM_BLOCKS)), message.path)


def _blocks(holder: Object, readers: dict[str, Callable[[Object], Block]]) -> Iterator[Block]:
    """The content of a message or a result: text, or blocks of which those without a reader are foreign."""
    first = holder.first("content")
    if first == 0x22:
        yield Text(holder.need("content"))
        return
    if first != 0x5B:
        raise holder.wrong("content", "is neither a string nor a list of blocks" if first else "is missing")
    for block in holder.objects("content"):
        type = block.need("type")
        read = readers.get(type)
        if read is not None:
            if type == "tool_use":
                yield from _seals_before(block)
            yield read(block)
        elif type in _ALL_BLOCKS:
            raise block.wrong("type", f"is {shown(type)}, which cannot stand here")
        else:
            yield Foreign(ANTHROPIC, type, json_values.encode(block.members))


def _text(block: Object) -> Text:
    return Text(block.need("text"), _cache(block))


def _cache(block: Object) -> CacheMark | None:
    mark = block.object("cache_control") if "cache_control" in block.members else None
    if mark is None:
        return None
    return "1h" if mark.one_of("ttl", ("5m", "1h")) == "1h" else "5m"


def _image(block: Object) -> Media:
    source = block.need_object("source")
    type = source.need("type")
    cache = _cache(block)
    if type == "base64":
        kind = media_data.media_type(source.need("media_type"))
        return Media("image", kind, source.need("data"), cache=cache, path=source.path)
    if type == "url":
        return Media("image", url=_link(source), cache=cache, path=source.path)
    if type == "file":
        return Media("image", file_id=source.need("file_id"), cache=cache, path=source.path)
    raise source.wrong("type", f"is {shown(type)}, not one of base64, url, file")


def _document(block: Object) -> Media:
    source = block.need_object("source")
    type = source.need("type")
    name, cache, path = block.text("title") or "", _cache(block), source.path
    if type == "base64":
        kind = media_data.media_type(source.text("media_type") or "application/pdf")
        return Media("document", kind, source.need("data"), name=name, cache=cache, path=path)
    if type == "text":
        return Media("document", "text/plain", text=source.need("data"), name=name, cache=cache, path=path)
    if type == "url":
        return Media("document", url=_link(source), name=name, cache=cache, path=path)
    if type == "file":
        return Media("document", file_id=source.need("file_id"), name=name, cache=cache, path=path)
    if type == "content":
        return Media("document", "text/plain", text=_joined(source), name=name, cache=cache, path=path)
    raise source.wrong("type", f"is {shown(type)}, not one of base64, text, url, file, content")


def _joined(holder: Object) -> str:
    """The text of blocks that are text."""
    if holder.first("content") == 0x22:
        return holder.need("content")
    texts = []
    for block in holder.objects("content"):
        if block.need("type") != "text":
            raise block.wrong("type", 'is not "text", and nothing else can be translated here')
        texts.append(block.need("text"))
    return "\n\n".join(texts)


def _search_result(block: Object) -> Media:
    source = block.need("source")
    text = f"{source}\n\n{_joined(block)}"
    return Media("document", "text/plain", text=text, name=block.need("title"), cache=_cache(block), path=block.path)


def _link(source: Object) -> str:
    url = source.need("url")
    if not media_data.is_link(url):
        raise source.wrong("url", "is no http(s) URL")
    return url


def _thinking(block: Object) -> Thinking:
    return Thinking(block.need("thinking"), sealed_ids.seal_of(block.text("signature") or ""))


def _redacted(block: Object) -> Thinking:
    return Thinking("", sealed_ids.seal_of(block.need("data")), is_redacted=True)


def _call(block: Object) -> Call:
    value = block.raw("input")
    if value is not None and block.first("input") != 0x7B:
        raise block.wrong("input", "is not an object")
    id = sealed_ids.opened(block.need("id"))
    arguments = bytes(value).decode() if value is not None else "{}"
    return Call(id.id, block.need("name"), arguments, _cache(block), id.seal)


def _seals_before(block: Object) -> Iterator[Text]:
    """The seals of the text before a call, which the call's id carries."""
    for item in sealed_ids.opened(block.text("id") or "").before:
        if isinstance(item, Text):
            yield item


def _result(block: Object) -> Result:
    content = tuple(_blocks(block, _RESULT_BLOCKS)) if block.raw("content") is not None else ()
    id = sealed_ids.opened(block.need("tool_use_id")).id
    return Result(id, content, block.flag("is_error") or False, _cache(block))  # type: ignore[arg-type]


_SYSTEM_BLOCKS: Final[dict[str, Callable[[Object], Block]]] = {"text": _text}
_RESULT_BLOCKS: Final[dict[str, Callable[[Object], Block]]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "search_result": _search_result,
}
_USER_BLOCKS: Final[dict[str, Callable[[Object], Block]]] = {**_RESULT_BLOCKS, "tool_result": _result}
_ASSISTANT_BLOCKS: Final[dict[str, Callable[[Object], Block]]] = {
    "text": _text,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
    "tool_use": _call,
}
_ALL_BLOCKS: Final = frozenset({**_USER_BLOCKS, **_ASSISTANT_BLOCKS})


def _tool(tool: Object) -> Tool:
    type = tool.text("type")
    if type not in (None, "custom"):
        raise tool.wrong("type", f"is {shown(type)}, a tool that only Anthropic's own API knows")
    return Tool(
        tool.need("name"),
        tool.text("description"),
        tool.schema("input_schema"),
        tool.flag("strict"),
        _cache(tool),
    )


def _choice(choice: Object | None) -> Choice | None:
    if choice is None:
        return None
    type = choice.one_of("type", ("auto", "any", "tool", "none"))
    if type == "tool":
        return Choice("call", (choice.need("name"),))
    if type is None:
        raise choice.wrong("type", "is missing")
    return Choice("call" if type == "any" else "none" if type == "none" else "auto")


def _format(format: Object | None) -> Format | None:
    if format is None:
        return None
    if format.need("type") != "json_schema":
        raise format.wrong("type", 'is not "json_schema"')
    schema = format.schema("schema")
    if not schema:
        raise format.wrong("schema", "is missing")
    return Format(schema)


def _reasoning(thinking: Object | None, output: Object | None) -> Reasoning | None:
    effort = output.one_of("effort", _EFFORTS) if output else None
    if thinking is not None:
        return thinking_setting(thinking, effort)
    return Reasoning(None, effort) if effort else None


def thinking_setting(thinking: Object, effort: str | None) -> Reasoning:
    """A `thinking` member, with an effort that is said elsewhere."""
    type = thinking.one_of("type", (*_THINKING, "auto"))
    if type is None:
        raise thinking.wrong("type", "is missing")
    if type in ("disabled", "between_tools"):
        return Reasoning(False, effort)
    budget = thinking.whole("budget_tokens") if type == "enabled" else None
    return Reasoning(True, effort, budget, thinking.text("display"))
