"""The request of a conversation, in the JSON of any API: its head in one line, and its turns as entries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from ..wire.printable import printable
from . import session_ids
from .blocks import Entry, content, message
from .messages import amount, counted
from .session_ids import SessionId

_MOST: Final = 400_000
"""Bytes of turns that are shown: the first ones, and the last ones."""
_FIRST: Final = 4
_TURNS: Final = 2000
"""Turns that are shown."""
_LARGEST: Final = 16 * 1024 * 1024
"""Bytes of a value that is decoded; pictures may stand in it."""
_COMMAS: Final = 200_000
"""In a body with more, so many values may stand that to find the turns takes too long."""
_ESCAPES: Final = 8 * 1024 * 1024
"""Nor one with more escapes."""
_SMALL: Final = 10_000
"""Bytes of a member that is a word or a number."""
_BEGINNING: Final = 1000
"""Bytes in which a body begins, perhaps behind white space."""
_TOOLS: Final = 1024 * 1024
"""Bytes of tools that are counted."""
_NOTHING: Final = msgspec.Raw()
_OPTIONS: Final = (
    "max_tokens max_completion_tokens max_output_tokens temperature top_p reasoning_effort previous_response_id".split()
)


class _Body(msgspec.Struct):
    """The members that are shown; the other ones are skipped, and each of these is decoded where it is short enough."""

    model: msgspec.Raw = _NOTHING
    system: msgspec.Raw = _NOTHING
    instructions: msgspec.Raw = _NOTHING
    system_instruction: msgspec.Raw = msgspec.field(default=_NOTHING, name="systemInstruction")
    messages: msgspec.Raw = _NOTHING
    input: msgspec.Raw = _NOTHING
    contents: msgspec.Raw = _NOTHING
    prompt: msgspec.Raw = _NOTHING
    tools: msgspec.Raw = _NOTHING
    tool_config: msgspec.Raw = msgspec.field(default=_NOTHING, name="toolConfig")
    stream: msgspec.Raw = _NOTHING
    max_tokens: msgspec.Raw = _NOTHING
    max_completion_tokens: msgspec.Raw = _NOTHING
    max_output_tokens: msgspec.Raw = _NOTHING
    temperature: msgspec.Raw = _NOTHING
    top_p: msgspec.Raw = _NOTHING
    reasoning_effort: msgspec.Raw = _NOTHING
    previous_response_id: msgspec.Raw = _NOTHING
    metadata: msgspec.Raw = _NOTHING
    prompt_cache_key: msgspec.Raw = _NOTHING
    conversation: msgspec.Raw = _NOTHING


_BODY: Final = msgspec.json.Decoder(_Body)
_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])


def read(body: bytes, model: str = "") -> tuple[str, list[Entry]] | None:
    """The head of a request, and its entries; None for a body that holds no conversation. `model` is that of the path.

    Of a long conversation the first and the last turns are decoded, no others.
    """
    is_slow = body.count(b",") > _COMMAS or (len(body) > _ESCAPES and body.count(b"\\") > _ESCAPES)
    found = None if is_slow else _body(body)
    if found is None:
        return None
    turns, given = _turns(found)
    if turns is None and given is None:
        return None
    entries = [
        entry
        for instructions in (found.system, found.instructions, found.system_instruction)
        for entry in content("system", _parts(_value(instructions)))
    ]
    if turns is None:
        entries += content("user", given)
    else:
        entries += _shown(turns)
    return _head(found, model, turns), entries


class Outline(NamedTuple):
    """What a request says of the conversation that it belongs to: its turns, undecoded, and what names its session."""

    model: str
    turns: list[msgspec.Raw]
    previous: str
    session: SessionId


def outline(body: bytes, model: str = "") -> Outline | None:
    """The outline of a request; None for a body that holds no conversation. `model` is that of the path."""
    found = _body(body)
    if found is None:
        return None
    turns, given = _turns(found)
    if turns is None:
        if not isinstance(given, str):
            return None
        turns = [msgspec.Raw(msgspec.json.encode({"role": "user", "content": given}))]
    named, previous = _small(found.model), _small(found.previous_response_id)
    members = (_value(found.metadata), _small(found.prompt_cache_key), _small(found.conversation))
    return Outline(
        named if isinstance(named, str) else model,
        turns,
        previous if isinstance(previous, str) else "",
        session_ids.in_members(*members),
    )


def _body(body: bytes) -> _Body | None:
    if body[:_BEGINNING].lstrip()[:1] != b"{":
        return None
    try:
        return _BODY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def turn(raw: msgspec.Raw) -> Any:
    """The JSON value of a turn; a text that says so for one that is not valid."""
    return _value(raw)


def _turns(found: _Body) -> tuple[list[msgspec.Raw] | None, Any]:
    """The turns, or a prompt that is no list of turns."""
    for raw in (found.messages, found.input, found.contents):
        try:
            if raw:
                return _LIST.decode(raw), None
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None, _value(raw)
    return None, _value(found.prompt)


def _head(found: _Body, model: str, turns: list[msgspec.Raw] | None) -> str:
    named = _small(found.model)
    names = [named if isinstance(named, str) else model]
    if turns is not None:
        names.append(counted(len(turns), "turn") if turns else "")
    tools = _tools(found)
    names.append(counted(tools, "tool") if tools else "")
    names.append("stream" if _small(found.stream) is True else "")
    names += [
        f"{name} {value}"
        for name in _OPTIONS
        if (value := _small(getattr(found, name))) is not None and not _is_nested(value)
    ]
    return " · ".join(printable(str(name)[:200]) for name in names if name)


def _tools(found: _Body) -> int:
    if memoryview(found.tools).nbytes > _TOOLS:
        return 0
    tools = _value(found.tools) if found.tools else None
    if tools is None and isinstance(config := _value(found.tool_config), dict):
        tools = config.get("tools")
    if not isinstance(tools, list):
        return 0
    # Gemini has several functions in one tool.
    declared = (tool.get("functionDeclarations") if isinstance(tool, dict) else None for tool in tools)
    return sum(len(functions) if isinstance(functions, list) else 1 for functions in declared)


def _shown(turns: list[msgspec.Raw]) -> Iterator[Entry]:
    """The entries of all turns, or of the first and the last of them."""
    sizes = [memoryview(turn).nbytes for turn in turns]
    begin, end, left = 0, len(turns), _MOST
    while begin < min(_FIRST, end) and sizes[begin] <= left:
        left -= sizes[begin]
        begin += 1
    while end > max(begin, len(turns) - _TURNS) and (sizes[end - 1] <= left or end == len(turns)):
        left -= sizes[end - 1]
        end -= 1
    for turn in turns[:begin]:
        yield from message(_value(turn))
    if begin < end:
        yield Entry(f"{counted(end - begin, 'turn')}, {amount(sum(sizes[begin:end]))}: not shown", [])
    for turn in turns[end:]:
        yield from message(_value(turn))


def _value(raw: msgspec.Raw) -> Any:
    if not raw:
        return None
    if (size := memoryview(raw).nbytes) > _LARGEST:
        return f"({amount(size)}: too long to be shown)"
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "(this is not valid JSON)"


def _small(raw: msgspec.Raw) -> Any:
    """The value of a member that is a word or a number; None for a long one."""
    return _value(raw) if memoryview(raw).nbytes <= _SMALL else None


def _parts(value: Any) -> Any:
    """Gemini's system instruction holds its parts in a message."""
    return value["parts"] if isinstance(value, dict) and "parts" in value else value


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict | list)
