"""Reads a request of Anthropic's Messages API.

Sources: Anthropic's API reference, messages; the types of Anthropic's SDK for Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

import msgspec

from . import json_values, media_data, sealed_ids
from .dialects import ANTHROPIC
from .json_values import NOTHING, Object, Raw, is_null, object_bytes, shown, typed, wrong
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
    Role,
    Text,
    Thinking,
    Tool,
    Turn,
)

# Members that are read here. All others are options.
_READ: Final = frozenset(
    "model messages system tools tool_choice thinking output_config output_format max_tokens stop_sequences stream"
    " metadata".split()
)
_NUMBERS: Final = ("temperature", "top_p", "top_k")
_EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
_THINKING: Final = ("enabled", "adaptive", "disabled", "between_tools")
# A piece of the first system text of Claude Code that differs with each request, so that no cache would hold.
_BILLING: Final = "x-anthropic-billing-header:"


def read(body: bytes) -> Chat:
    """The request in a body. Raises Refusal (400), which names the wrong member."""
    root = json_values.request_object(body)
    messages = root.typed("messages", _decode_messages)
    if not messages:
        raise root.wrong("messages", "is missing or empty")
    limit = root.whole("max_tokens", 1)
    if limit is None:
        raise root.wrong("max_tokens", "is missing")
    for name in _NUMBERS:
        root.number(name)
    output = root.object("output_config")  # its format was output_format in beta versions
    metadata = root.object("metadata")
    choice = root.object("tool_choice")
    parallel = None
    if choice is not None and choice.raw("disable_parallel_tool_use") is not None:
        parallel = not choice.flag("disable_parallel_tool_use")
    system = tuple(_system(root))
    turns = (Turn("system", system, "system"),) if system else ()
    return Chat(
        root.need("model"),
        turns + tuple(_turn(message, f"messages[{index}]") for index, message in enumerate(messages)),
        tuple(_tool(tool, f"tools[{index}]") for index, tool in enumerate(root.typed("tools", _decode_tools) or ())),
        _choice(choice),
        parallel,
        _format((output and output.object("format")) or root.object("output_format")),
        _reasoning(root.object("thinking"), output),
        limit,
        root.texts("stop_sequences"),
        root.flag("stream") or False,
        True,
        metadata.text("user_id") if metadata else None,
        {name: bytes(value) for name in root.members if name not in _READ and (value := root.raw(name)) is not None},
    )


class _Mark(msgspec.Struct):
    ttl: str | None = None


class _Block(msgspec.Struct):
    """A block of any type, with the members of all that are read here."""

    type: str
    text: str | None = None
    cache_control: _Mark | None = None
    id: str | None = None
    name: str | None = None
    input: Raw = NOTHING
    tool_use_id: str | None = None
    content: Raw = NOTHING
    is_error: bool | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    source: Raw = NOTHING
    title: str | None = None


class _Message(msgspec.Struct):
    role: str
    content: Raw = NOTHING


class _Tool(msgspec.Struct):
    name: str
    type: str | None = None
    description: str | None = None
    input_schema: Raw = NOTHING
    strict: bool | None = None
    cache_control: _Mark | None = None


_decode_messages = msgspec.json.Decoder(list[_Message] | None).decode
_decode_tools = msgspec.json.Decoder(list[_Tool] | None).decode
_decode_content = msgspec.json.Decoder(str | list[_Block] | None).decode


def _system(root: Object) -> Iterator[Text]:
    content = root.typed("system", _decode_content)
    if isinstance(content, str):
        yield Text(_without_billing(content))
        return
    for index, block in enumerate(content or ()):
        text = _text(block, f"system[{index}]")
        yield Text(_without_billing(text.text), text.cache)


def _without_billing(text: str) -> str:
    """A text without the `cch=...` pieces of Claude Code's billing header, which is its first line."""
    if not text.startswith(_BILLING):
        return text
    line, end, rest = text.partition("\n")
    pieces = [piece for piece in line.split(";") if not piece.strip().startswith("cch=")]
    return ";".join(pieces) + end + rest


def _turn(message: _Message, path: str) -> Turn:
    role = _ROLES.get(message.role)
    if role is None:
        raise wrong(f"{path}.role", f"is {shown(message.role)}, not one of {', '.join(_ROLES)}")
    blocks = _blocks(message.content, f"{path}.content", _BLOCKS[role])
    if not blocks and is_null(message.content):
        raise wrong(f"{path}.content", "is missing")
    return Turn(role, tuple(blocks), path)


def _blocks(content: Raw, path: str, readers: Mapping[str, _Reader]) -> list[Block]:
    """The content of a message or a result: text, or blocks of which those without a reader are foreign."""
    blocks = typed(_decode_content, content, path)
    if isinstance(blocks, str):
        return [Text(blocks)]
    found: list[Block] = []
    for index, block in enumerate(blocks or ()):
        read = readers.get(block.type)
        place = f"{path}[{index}]"
        if read is not None:
            if block.type == "tool_use" and block.id and block.id.startswith(sealed_ids.PREFIX):
                _put_seals(found, block.id)
            found.append(read(block, place))
        elif block.type in _ALL_BLOCKS:
            raise wrong(f"{place}.type", f"is {shown(block.type)}, which cannot stand here")
        else:
            found.append(Foreign(ANTHROPIC, block.type, bytes(json_values.items(content)[index])))
    return found


def _needed(value: str | None, path: str, name: str) -> str:
    """A text that has to be there. Raises Refusal (400)."""
    if value is None:
        raise wrong(f"{path}.{name}", "is missing")
    return value


def _text(block: _Block, path: str) -> Text:
    return Text(_needed(block.text, path, "text"), _cache(block, path))


def _cache(block: _Block | _Tool, path: str) -> CacheMark | None:
    mark = block.cache_control
    if mark is None:
        return None
    if mark.ttl not in (None, "5m", "1h"):
        raise wrong(f"{path}.cache_control.ttl", f"is {shown(mark.ttl)}, not one of 5m, 1h")
    return "1h" if mark.ttl == "1h" else "5m"


def _image(block: _Block, path: str) -> Media:
    source = Object({"source": block.source}, path).need_object("source")
    type = source.need("type")
    cache = _cache(block, path)
    if type == "base64":
        kind = media_data.media_type(source.need("media_type"))
        return Media("image", kind, source.need("data"), cache=cache, path=source.path)
    if type == "url":
        return Media("image", url=_link(source), cache=cache, path=source.path)
    if type == "file":
        return Media("image", file_id=source.need("file_id"), cache=cache, path=source.path)
    raise source.wrong("type", f"is {shown(type)}, not one of base64, url, file")


def _document(block: _Block, path: str) -> Media:
    source = Object({"source": block.source}, path).need_object("source")
    type = source.need("type")
    name, cache, path = block.title or "", _cache(block, path), source.path
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
        text = _joined(source.members.get("content", NOTHING), source.at("content"))
        return Media("document", "text/plain", text=text, name=name, cache=cache, path=path)
    raise source.wrong("type", f"is {shown(type)}, not one of base64, text, url, file, content")


def _joined(content: Raw, path: str) -> str:
    """The text of blocks that are text."""
    texts = []
    for index, block in enumerate(_blocks(content, path, _TEXT_BLOCKS)):
        if not isinstance(block, Text):
            raise wrong(f"{path}[{index}].type", 'is not "text", and nothing else can be translated here')
        texts.append(block.text)
    return "\n\n".join(texts)


def _search_result(block: _Block, path: str) -> Media:
    source = Object({"source": block.source}, path).need("source")
    text = f"{source}\n\n{_joined(block.content, f'{path}.content')}"
    title = _needed(block.title, path, "title")
    return Media("document", "text/plain", text=text, name=title, cache=_cache(block, path), path=path)


def _link(source: Object) -> str:
    url = source.need("url")
    if not media_data.is_link(url):
        raise source.wrong("url", "is no http(s) URL")
    return url


def _thinking(block: _Block, path: str) -> Thinking:
    return Thinking(_needed(block.thinking, path, "thinking"), sealed_ids.seal_of(block.signature or ""))


def _redacted(block: _Block, path: str) -> Thinking:
    return Thinking("", sealed_ids.seal_of(_needed(block.data, path, "data")), is_redacted=True)


def _call(block: _Block, path: str) -> Call:
    id = sealed_ids.opened(_needed(block.id, path, "id"))
    name = _needed(block.name, path, "name")
    arguments = object_bytes(block.input, f"{path}.input").decode() or "{}"
    return Call(id.id, name, arguments, _cache(block, path), id.seal)


def _put_seals(blocks: list[Block], id: str) -> None:
    """Put the seals of texts, which the id of the call after them carries, behind these texts."""
    place = len(blocks)
    for item in reversed(sealed_ids.opened(id).before):
        if isinstance(item, Text):
            blocks.insert(place, item)
        elif isinstance(item, int):
            place = max(0, place - 1)


def _result(block: _Block, path: str) -> Result:
    id = sealed_ids.opened(_needed(block.tool_use_id, path, "tool_use_id")).id
    content = tuple(_blocks(block.content, f"{path}.content", _RESULT_BLOCKS))
    return Result(id, content, block.is_error or False, _cache(block, path))  # type: ignore[arg-type]


_Reader: TypeAlias = Callable[[_Block, str], Block]
_TEXT_BLOCKS: Final[Mapping[str, _Reader]] = {"text": _text}
_RESULT_BLOCKS: Final[Mapping[str, _Reader]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "search_result": _search_result,
}
_BLOCKS: Final[Mapping[Role, Mapping[str, _Reader]]] = {
    "user": {**_RESULT_BLOCKS, "tool_result": _result},
    "assistant": {"text": _text, "thinking": _thinking, "redacted_thinking": _redacted, "tool_use": _call},
    "system": _TEXT_BLOCKS,
}
"""By role, the blocks that its messages have."""
_ROLES: Final[Mapping[str, Role]] = {role: role for role in _BLOCKS}
_ALL_BLOCKS: Final = frozenset(type for readers in _BLOCKS.values() for type in readers)


def _tool(tool: _Tool, path: str) -> Tool:
    if tool.type not in (None, "custom"):
        raise wrong(f"{path}.type", f"is {shown(tool.type or '')}, a tool that only Anthropic's own API knows")
    schema = object_bytes(tool.input_schema, f"{path}.input_schema")
    return Tool(tool.name, tool.description, schema, tool.strict, _cache(tool, path))


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
