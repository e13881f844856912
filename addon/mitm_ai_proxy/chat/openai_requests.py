"""Reads a chat completions request of OpenAI's.

Sources: OpenAI's API reference, chat completions; the types of OpenAI's SDK for Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

import msgspec

from . import anthropic_requests, json_values, media_data, sealed_ids
from .json_values import NOTHING, Object, Raw, is_null, object_bytes, shown, wrong
from .model import (
    Block,
    CacheMark,
    Call,
    Chat,
    Choice,
    Format,
    Media,
    Reasoning,
    Result,
    Seal,
    Text,
    Thinking,
    Tool,
    Turn,
)

EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_SYSTEM_ROLES: Final = ("system", "developer")
# Members that are read here. All others are options.
_READ: Final = frozenset(
    "model messages tools tool_choice parallel_tool_calls response_format reasoning_effort thinking"
    " reasoning_max_tokens max_tokens max_completion_tokens stop stream stream_options user".split()
)
_NUMBERS: Final = ("temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty")
_WHOLE_NUMBERS: Final = {"n": 1, "seed": -(2**63), "top_logprobs": 0}
_FLAGS: Final = ("logprobs", "store")
_OLD: Final = {"functions": "tools", "function_call": "tool_choice"}
# What the API's cache keeps longest for, and the mark that is nearest to it.
_CACHE_TTLS: Final[dict[str | None, CacheMark]] = {None: "5m", "30m": "1h", "12h": "1h", "5m": "5m", "1h": "1h"}


def read(body: bytes) -> Chat:
    """The request in a body. Raises Refusal (400), which names the wrong member."""
    root = json_values.request_object(body)
    for old, new in _OLD.items():
        if root.raw(old) is not None:
            raise root.wrong(old, f"is the old form of {new}, which is to be sent instead")
    messages = root.typed("messages", _decode_messages)
    if not messages:
        raise root.wrong("messages", "is missing or empty")
    for name in _NUMBERS:
        root.number(name)
    for name, least in _WHOLE_NUMBERS.items():
        root.whole(name, least)
    for name in _FLAGS:
        root.flag(name)
    options = root.object("stream_options")
    limit = root.whole("max_tokens", 1)
    new_limit = root.whole("max_completion_tokens", 1)
    return Chat(
        root.need("model"),
        tuple(_turns(messages)),
        tuple(_tool(tool, f"tools[{index}]") for index, tool in enumerate(root.typed("tools", _decode_tools) or ())),
        _choice(root),
        root.flag("parallel_tool_calls"),
        _format(root.object("response_format")),
        _reasoning(root),
        limit if new_limit is None else new_limit,
        _stop(root),
        root.flag("stream") or False,
        (options is not None and options.flag("include_usage")) or False,
        root.text("user"),
        {name: bytes(value) for name in root.members if name not in _READ and (value := root.raw(name)) is not None},
    )


class _Mark(msgspec.Struct):
    ttl: str | None = None


class _Part(msgspec.Struct):
    """A part of a content. What a picture, sound or a file is stays JSON."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: Raw = NOTHING
    input_audio: Raw = NOTHING
    file: Raw = NOTHING
    prompt_cache_breakpoint: _Mark | None = None
    cache_control: _Mark | None = None


class _Function(msgspec.Struct):
    name: str
    arguments: str | None = None


class _Google(msgspec.Struct):
    thought_signature: str | None = None


class _Extra(msgspec.Struct):
    google: _Google | None = None


class _Call(msgspec.Struct):
    """A call. Google's signature is where Google's own OpenAI-compatible API has it, and clients keep it."""

    id: str
    function: _Function
    type: str | None = None
    extra_content: _Extra | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    function_call: Raw = NOTHING
    audio: Raw = NOTHING


class _Described(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: Raw = NOTHING
    strict: bool | None = None


class _Tool(msgspec.Struct):
    type: str
    function: _Described | None = None
    prompt_cache_breakpoint: _Mark | None = None
    cache_control: _Mark | None = None


_decode_messages = msgspec.json.Decoder(list[_Message] | None).decode
_decode_tools = msgspec.json.Decoder(list[_Tool] | None).decode


def _turns(messages: list[_Message]) -> Iterator[Turn]:
    results: list[Block] = []
    first = ""  # of the results
    for index, message in enumerate(messages):
        path = f"messages[{index}]"
        role = message.role
        if role == "tool":
            first = first or path
            if message.tool_call_id is None:
                raise wrong(f"{path}.tool_call_id", "is missing")
            blocks = _blocks(message, path, _RESULT_PARTS)
            results.append(Result(sealed_ids.opened(message.tool_call_id).id, blocks))
            continue
        if results:
            yield Turn("user", tuple(results), first)
            results, first = [], ""
        if role == "assistant":
            yield Turn("assistant", tuple(_assistant(message, path)), path)
        elif role == "user":
            yield Turn("user", _blocks(message, path, _PARTS), path)
        elif role in _SYSTEM_ROLES:
            yield Turn("system", _blocks(message, path, _TEXT_PARTS), path)
        elif role == "function":
            raise wrong(f"{path}.role", 'is "function", the old form of "tool", which is to be sent instead')
        else:
            raise wrong(f"{path}.role", f"is {shown(role)}, not one of system, developer, user, assistant, tool")
    if results:
        yield Turn("user", tuple(results), first)


def _blocks(message: _Message, path: str, readers: Mapping[str, _Reader]) -> tuple[Text | Media, ...]:
    """The content of a message: text, or parts of the types that have a reader."""
    content = message.content
    if isinstance(content, str):
        return (Text(content),)
    found = []
    for index, part in enumerate(content or ()):
        place = f"{path}.content[{index}]"
        read = readers.get(part.type)
        if read is None:
            raise wrong(f"{place}.type", f"is {shown(part.type)}, not one of {', '.join(readers)}")
        found.append(read(part, place))
    return tuple(found)


def _text(part: _Part, path: str) -> Text:
    if part.text is None:
        raise wrong(f"{path}.text", "is missing")
    return Text(part.text, _cache(part))


def _refusal(part: _Part, path: str) -> Text:
    if part.refusal is None:
        raise wrong(f"{path}.refusal", "is missing")
    return Text(part.refusal, is_refusal=True)


def _image(part: _Part, path: str) -> Media:
    holder = Object({"image_url": part.image_url}, path)
    if holder.first("image_url") == 0x22:  # some vendors take it without the object
        return _picture(holder, "image_url", _cache(part))
    return _picture(holder.need_object("image_url"), "url", _cache(part))


def _picture(holder: Object, name: str, cache: CacheMark | None) -> Media:
    url = holder.need(name)
    data = media_data.data_url(url)
    if data and data.is_base64:
        return Media("image", data.type, data.data, cache=cache, path=holder.at(name))
    if not media_data.is_link(url):
        raise holder.wrong(name, "is neither an http(s) URL nor a data URL in base64")
    return Media("image", url=url, cache=cache, path=holder.at(name))


def _audio(part: _Part, path: str) -> Media:
    audio = Object({"input_audio": part.input_audio}, path).need_object("input_audio")
    format = audio.need("format")
    return Media("audio", f"audio/{format}", audio.need("data"), cache=_cache(part), path=audio.path)


def _file(part: _Part, path: str) -> Media:
    file = Object({"file": part.file}, path).need_object("file")
    name = file.text("filename") or ""
    cache = _cache(part)
    content = file.text("file_data")
    if content is None:
        file_id = file.text("file_id")
        if file_id is None:
            raise file.wrong("file_data", "is missing")
        return Media("document", file_id=file_id, name=name, cache=cache, path=file.at("file_id"))
    path = file.at("file_data")
    if media_data.is_link(content):
        return Media("document", url=content, name=name, cache=cache, path=path)
    data = media_data.data_url(content)
    if data and not data.is_base64:
        raise file.wrong("file_data", "is a data URL that is not in base64")
    type = (data and data.type) or media_data.type_of_file(name) or "application/pdf"
    return Media("document", type, data.data if data else content, name=name, cache=cache, path=path)


_Reader: TypeAlias = Callable[[_Part, str], Text | Media]
_TEXT_PARTS: Final[Mapping[str, _Reader]] = {"text": _text}
# OpenAI's own has text only; some clients send pictures too, and Claude takes them.
_RESULT_PARTS: Final[Mapping[str, _Reader]] = {"text": _text, "image_url": _image, "file": _file}
_PARTS: Final[Mapping[str, _Reader]] = {**_RESULT_PARTS, "input_audio": _audio}
_ASSISTANT_PARTS: Final[Mapping[str, _Reader]] = {"text": _text, "refusal": _refusal}


def _cache(part: _Part | _Tool) -> CacheMark | None:
    """The cache mark of a part or a tool: OpenAI's, or Anthropic's, which several clients send in OpenAI's dialect."""
    mark = part.prompt_cache_breakpoint or part.cache_control
    return None if mark is None else _CACHE_TTLS.get(mark.ttl, "5m")


def _assistant(message: _Message, path: str) -> Iterator[Block]:
    if not is_null(message.function_call):
        raise wrong(f"{path}.function_call", "is the old form of tool_calls, which is to be sent instead")
    if not is_null(message.audio):
        raise wrong(f"{path}.audio", "is an earlier answer in sound, which cannot be sent on")
    content = [block for block in _blocks(message, path, _ASSISTANT_PARTS) if isinstance(block, Text)]
    if message.refusal:
        content.append(Text(message.refusal, is_refusal=True))
    calls = [_call(call, f"{path}.tool_calls[{index}]") for index, call in enumerate(message.tool_calls or ())]
    thought = message.reasoning_content or message.reasoning
    if any(before for before, _ in calls):
        yield from _restored(content, calls)
        return
    if thought:
        yield Thinking(thought)
    yield from content
    for _, call in calls:
        yield call


def _call(call: _Call, path: str) -> tuple[sealed_ids.Before, Call]:
    if call.type not in (None, "function"):
        raise wrong(f"{path}.type", f'is {shown(call.type or "")}, not "function"')
    id = sealed_ids.opened(call.id)
    google = call.extra_content.google if call.extra_content else None
    value = google.thought_signature if google else None
    seal = id.seal or (Seal("google", value) if value else None)
    return id.before, Call(id.id, call.function.name, call.function.arguments or "", seal=seal)


def _restored(content: list[Text], calls: list[tuple[sealed_ids.Before, Call]]) -> Iterator[Block]:
    """The blocks in the order in which the model made them, as the ids of the calls tell it.

    If the client has changed the text, so that the lengths do not fit, it stands behind the first thinking.
    """
    text = "".join(block.text for block in content)
    lengths = sum(item for before, _ in calls for item in before if isinstance(item, int))
    fits = lengths <= len(text) and all(block.cache is None and not block.is_refusal for block in content)
    rest: list[Text] = [] if fits else content
    position = 0
    for before, call in calls:
        for item in before:
            if not isinstance(item, int):
                yield item
            elif fits and item:
                yield Text(text[position : position + item])
                position += item
        yield from rest
        rest = []
        yield call
    if fits and position < len(text):
        yield Text(text[position:])


def _tool(tool: _Tool, path: str) -> Tool:
    if tool.type != "function":
        raise wrong(f"{path}.type", f'is {shown(tool.type)}: only tools of type "function" can be translated')
    function = tool.function
    if function is None:
        raise wrong(f"{path}.function", "is missing")
    schema = object_bytes(function.parameters, f"{path}.function.parameters")
    return Tool(function.name, function.description, schema, function.strict, _cache(tool))


def _choice(root: Object) -> Choice | None:
    first = root.first("tool_choice")
    if not first:
        return None
    if first == 0x22:
        word = root.one_of("tool_choice", ("none", "auto", "required"))
        return Choice({"none": "none", "auto": "auto"}.get(word or "", "call"))  # type: ignore[arg-type]
    choice = root.need_object("tool_choice")
    type = choice.need("type")
    if type == "function":
        return Choice("call", (choice.need_object("function").need("name"),))
    if type == "allowed_tools":
        allowed = choice.need_object("allowed_tools")
        mode = allowed.one_of("mode", ("auto", "required"))
        names = []
        for tool in allowed.objects("tools"):
            if tool.text("type") != "function":
                raise tool.wrong("type", 'is not "function"')
            names.append(tool.need_object("function").need("name"))
        if not names:
            raise allowed.wrong("tools", "is missing or empty")
        return Choice("call" if mode == "required" else "auto", tuple(names))
    raise choice.wrong("type", f"is {shown(type)}, not one of function, allowed_tools")


def _format(format: Object | None) -> Format | None:
    if format is None:
        return None
    type = format.one_of("type", ("text", "json_object", "json_schema"))
    if type is None:
        raise format.wrong("type", "is missing")
    if type != "json_schema":
        return Format() if type == "json_object" else None
    described = format.need_object("json_schema")
    schema = described.schema("schema")
    if not schema:
        raise described.wrong("schema", "is missing")
    return Format(schema, described.text("name") or "", described.text("description"), described.flag("strict"))


def _reasoning(root: Object) -> Reasoning | None:
    """OpenAI's reasoning_effort; and what clients send through it for others: thinking, reasoning_max_tokens."""
    effort = root.one_of("reasoning_effort", EFFORTS)
    budget = root.whole("reasoning_max_tokens") or None
    thinking = root.object("thinking")
    if thinking is not None:
        return anthropic_requests.thinking_setting(thinking, effort)
    if effort is None and budget is None:
        return None
    return Reasoning(effort != "none" if effort else True, effort, budget)


def _stop(root: Object) -> tuple[str, ...]:
    if root.first("stop") == 0x22:
        return (root.need("stop"),)
    return root.texts("stop")
