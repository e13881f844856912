"""Reads a chat completions request of OpenAI's.

Sources: OpenAI's API reference, chat completions; the types of OpenAI's SDK for Python.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Final

from . import anthropic_requests, json_values, media_data, sealed_ids
from .json_values import Object, shown
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
    messages = root.objects("messages")
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
        tuple(_tool(tool) for tool in root.objects("tools")),
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


def _turns(messages: list[Object]) -> Iterator[Turn]:
    results: list[Block] = []
    path = ""
    for message in messages:
        role = message.need("role")
        if role == "tool":
            path = path or message.path
            blocks = tuple(_blocks(message, _RESULT_PARTS))
            results.append(Result(sealed_ids.opened(message.need("tool_call_id")).id, blocks))
            continue
        if results:
            yield Turn("user", tuple(results), path)
            results, path = [], ""
        if role == "assistant":
            yield Turn("assistant", tuple(_assistant(message)), message.path)
        elif role == "user":
            yield Turn("user", tuple(_blocks(message, _PARTS)), message.path)
        elif role in _SYSTEM_ROLES:
            yield Turn("system", tuple(_blocks(message, ("text",))), message.path)
        elif role == "function":
            raise message.wrong("role", 'is "function", the old form of "tool", which is to be sent instead')
        else:
            raise message.wrong("role", f"is {shown(role)}, not one of system, developer, user, assistant, tool")
    if results:
        yield Turn("user", tuple(results), path)


def _blocks(message: Object, types: Collection[str]) -> Iterator[Text | Media]:
    """The content of a message: text, or parts of these types."""
    first = message.first("content")
    if first == 0x22:
        yield Text(message.need("content"))
    elif first == 0x5B:
        for part in message.objects("content"):
            type = part.need("type")
            if type not in types:
                raise part.wrong("type", f"is {shown(type)}, not one of {', '.join(types)}")
            yield _PARTS[type](part)
    elif first:
        raise message.wrong("content", "is neither a string nor a list of parts")


def _text(part: Object) -> Text:
    return Text(part.need("text"), _cache(part))


def _refusal(part: Object) -> Text:
    return Text(part.need("refusal"), is_refusal=True)


def _image(part: Object) -> Media:
    if part.first("image_url") == 0x22:  # some vendors take it without the object
        return _picture(part, "image_url", _cache(part))
    return _picture(part.need_object("image_url"), "url", _cache(part))


def _picture(holder: Object, name: str, cache: CacheMark | None) -> Media:
    url = holder.need(name)
    data = media_data.data_url(url)
    if data and data.is_base64:
        return Media("image", data.type, data.data, cache=cache, path=holder.at(name))
    if not media_data.is_link(url):
        raise holder.wrong(name, "is neither an http(s) URL nor a data URL in base64")
    return Media("image", url=url, cache=cache, path=holder.at(name))


def _audio(part: Object) -> Media:
    audio = part.need_object("input_audio")
    format = audio.need("format")
    return Media("audio", f"audio/{format}", audio.need("data"), cache=_cache(part), path=part.at("input_audio"))


def _file(part: Object) -> Media:
    file = part.need_object("file")
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


_PARTS: Final[dict[str, Callable[[Object], Text | Media]]] = {
    "text": _text,
    "image_url": _image,
    "input_audio": _audio,
    "file": _file,
}
# OpenAI's own has text only; some clients send pictures too, and Claude takes them.
_RESULT_PARTS: Final = ("text", "image_url", "file")
_ASSISTANT_PARTS: Final[dict[str, Callable[[Object], Text]]] = {"text": _text, "refusal": _refusal}


def _cache(part: Object) -> CacheMark | None:
    """The cache mark of a part: OpenAI's, or Anthropic's, which several clients send in OpenAI's dialect."""
    mark = part.object("prompt_cache_breakpoint") or part.object("cache_control")
    return None if mark is None else _CACHE_TTLS.get(mark.text("ttl"), "5m")


def _assistant(message: Object) -> Iterator[Block]:
    if message.raw("function_call") is not None:
        raise message.wrong("function_call", "is the old form of tool_calls, which is to be sent instead")
    if message.raw("audio") is not None:
        raise message.wrong("audio", "is an earlier answer in sound, which cannot be sent on")
    content: list[Text] = []
    if message.first("content") == 0x5B:
        for part in message.objects("content"):
            type = part.need("type")
            if type not in _ASSISTANT_PARTS:
                raise part.wrong("type", f"is {shown(type)}, not one of {', '.join(_ASSISTANT_PARTS)}")
            content.append(_ASSISTANT_PARTS[type](part))
    else:
        content += (block for block in _blocks(message, ()) if isinstance(block, Text))
    refusal = message.text("refusal")
    if refusal:
        content.append(Text(refusal, is_refusal=True))
    calls = [_call(call) for call in message.objects("tool_calls")]
    thought = message.text("reasoning_content") or message.text("reasoning") or ""
    if any(before for before, _ in calls):
        yield from _restored(content, calls)
        return
    if thought:
        yield Thinking(thought)
    yield from content
    for _, call in calls:
        yield call


def _call(call: Object) -> tuple[sealed_ids.Before, Call]:
    type = call.text("type")
    if type not in (None, "function"):
        raise call.wrong("type", f'is {shown(type)}, not "function"')
    function = call.need_object("function")
    id = sealed_ids.opened(call.need("id"))
    arguments = function.text("arguments") or ""
    return id.before, Call(id.id, function.need("name"), arguments, seal=id.seal or _google_seal(call))


def _google_seal(call: Object) -> Seal | None:
    """The signature of a call where Google's own OpenAI-compatible API has it, and clients keep it."""
    extra = call.object("extra_content")
    google = extra.object("google") if extra else None
    value = google.text("thought_signature") if google else None
    return Seal("google", value) if value else None


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


def _tool(tool: Object) -> Tool:
    type = tool.need("type")
    if type != "function":
        raise tool.wrong("type", f'is {shown(type)}: only tools of type "function" can be translated')
    function = tool.need_object("function")
    return Tool(
        function.need("name"),
        function.text("description"),
        function.schema("parameters"),
        function.flag("strict"),
        _cache(tool),
    )


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
