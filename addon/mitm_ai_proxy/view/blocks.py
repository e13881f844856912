"""Blocks of a conversation, in the JSON of any API, as entries to be shown. What is not known is named, nothing raises.

Blocks of OpenAI's chat and Responses APIs, Anthropic's Messages, Gemini and Bedrock's Converse.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import imagesize

from ..wire.printable import printable
from .messages import amount

LONGEST: Final = 20_000
"""Characters of a text that are shown."""
_VALUES: Final = LONGEST // 2
"""Values of a JSON value that is laid out: more are not to be seen in LONGEST characters."""
_HEAD: Final = 64 * 1024
"""Characters of a picture's base64 in which its dimensions are looked for."""
_MEDIA: Final = frozenset(
    "image image_url input_image document file input_file input_audio audio video inlineData inline_data fileData"
    " file_data".split()
)


class Entry(NamedTuple):
    """A part of a conversation: who or what it is (`user`, `thinking`, `call get_weather`), and its lines."""

    title: str
    lines: list[str]


def text_lines(text: str) -> list[str]:
    """A text as lines that are safe to print; a long one is cut."""
    shown = text[:LONGEST]
    lines = [printable(line.expandtabs(4)) for line in shown.splitlines()]
    return [*lines, f"… ({amount(len(text) - LONGEST)} more)"] if len(text) > LONGEST else lines


def document_lines(value: Any) -> list[str]:
    """A JSON value, laid out; long texts in it are cut."""
    room = [_VALUES]
    lines = text_lines(json.dumps(_shortened(value, room), indent=2, ensure_ascii=False))
    return lines if room[0] >= 0 else [*lines[:-1], "… (more)"]


def argument_lines(arguments: Any) -> list[str]:
    """The arguments of a call, laid out: a JSON value, or its text, which may be no JSON."""
    if not isinstance(arguments, str):
        return document_lines(arguments)
    try:
        return document_lines(json.loads(arguments or "{}"))
    except (ValueError, RecursionError):
        return [*text_lines(arguments), "(this is not valid JSON)"]


def content(role: str, value: Any) -> Iterator[Entry]:
    """The entries of a message's content: a text, a block, or a list of them."""
    if isinstance(value, str):
        yield Entry(role, text_lines(value))
    elif isinstance(value, list):
        last: Entry | None = None
        for block in value:
            for entry in content(role, block):
                if last and entry.title == last.title == role:
                    last.lines.extend(entry.lines)
                    continue
                if last:
                    yield last
                last = entry
        if last:
            yield last
    elif isinstance(value, Mapping):
        yield from _block(role, value)
    elif value is not None:
        yield Entry(role, document_lines(value))


def message(value: Any) -> Iterator[Entry]:
    """The entries of a message, or of an item of the Responses API."""
    if not isinstance(value, Mapping):
        yield from content("message", value)
        return
    role = printable(_word(value, "role")[:100]) or "item"
    if role in ("tool", "function"):
        yield _result(_word(value, "tool_call_id", "name"), value.get("content"), is_failed=False)
        return
    if "role" not in value and _word(value, "type") != "message":
        yield from _block("assistant", value)
        return
    if thought := _word(value, "reasoning_content", "reasoning"):
        yield Entry("thinking", text_lines(thought))
    yield from content(role, value.get("content", value.get("parts")))
    if refusal := _word(value, "refusal"):
        yield Entry("refusal", text_lines(refusal))
    for call in _list(value.get("tool_calls")):
        function = call.get("function") if isinstance(call, Mapping) else None
        yield from _call(function if isinstance(function, Mapping) else call, call)


def _block(role: str, block: Mapping[str, Any]) -> Iterator[Entry]:
    kind = _word(block, "type")
    # Gemini and Converse name a block by its only member.
    name = kind or next((member for member in _READERS if member in block), "")
    reader = _READERS.get(name)
    if reader:
        inner = block.get(name)
        yield from reader(role, block if kind or not isinstance(inner, Mapping) else inner, block)
    elif name in _MEDIA or any(member in _MEDIA for member in block):
        yield Entry(role, [media(block)])
    elif "text" in block:
        yield from _text(role, block, block)
    else:
        yield Entry(f"{role}: {printable(kind) or 'a block'}", document_lines(block))


_Reader = Callable[[str, Mapping[str, Any], Mapping[str, Any]], Iterator[Entry]]


def _text(role: str, block: Mapping[str, Any], outer: Mapping[str, Any]) -> Iterator[Entry]:
    title = "thinking" if outer.get("thought") is True else role
    yield Entry(title, text_lines(_word(block, "text", "refusal")))


def _thinking(_: str, block: Mapping[str, Any], __: Mapping[str, Any]) -> Iterator[Entry]:
    parts = [_word(block, "thinking", "text")]
    parts += [_word(part, "text") for name in ("summary", "content") for part in _list(block.get(name))]
    inner = block.get("reasoningText")
    parts += [_word(inner, "text")] if isinstance(inner, Mapping) else []
    yield Entry("thinking", text_lines("\n".join(filter(None, parts))) or ["(not shown by the vendor)"])


def _call_block(_: str, block: Mapping[str, Any], outer: Mapping[str, Any]) -> Iterator[Entry]:
    yield from _call(block, outer)


def _call(function: Any, call: Any) -> Iterator[Entry]:
    if not isinstance(function, Mapping):
        yield Entry("call", document_lines(function))
        return
    arguments: Any = next((function[name] for name in ("arguments", "input", "args") if name in function), {})
    yield Entry(_titled("call", _word(function, "name"), _id(call) or _id(function)), argument_lines(arguments))


def _result_block(_: str, block: Mapping[str, Any], __: Mapping[str, Any]) -> Iterator[Entry]:
    given = next((block[name] for name in ("content", "output", "response") if name in block), None)
    is_failed = block.get("is_error") is True or block.get("status") == "error"
    yield _result(_word(block, "tool_use_id", "call_id", "toolUseId", "name"), given, is_failed)


def _result(call: str, given: Any, is_failed: bool) -> Entry:
    lines = [line for entry in content("", given) for line in entry.lines]
    return Entry(_titled("failed result of" if is_failed else "result of", call, ""), lines)


def _cache_mark(_: str, __: Mapping[str, Any], ___: Mapping[str, Any]) -> Iterator[Entry]:
    yield Entry("cache mark", [])


_READERS: Final[Mapping[str, _Reader]] = {
    **dict.fromkeys(("input_text", "output_text", "refusal"), _text),
    **dict.fromkeys(("thinking", "redacted_thinking", "reasoning", "reasoningContent"), _thinking),
    **dict.fromkeys(("tool_use", "server_tool_use", "mcp_tool_use", "function_call", "custom_tool_call"), _call_block),
    **dict.fromkeys(("toolUse", "functionCall"), _call_block),
    **dict.fromkeys(
        ("tool_result", "mcp_tool_result", "function_call_output", "custom_tool_call_output"), _result_block
    ),
    **dict.fromkeys(("toolResult", "functionResponse"), _result_block),
    "cachePoint": _cache_mark,
}


# Pictures and files


def media(block: Mapping[str, Any]) -> str:
    """A picture, a document or sound in one line: `image/png, 12.4 KB, 640x480`."""
    kind, data, place = _media_parts(block, 3)
    if not data:
        return f"({kind or 'a file'} at {printable(place[:200])})" if place else f"({kind or 'a file'})"
    found = [kind or "a file", amount(len(data) * 3 // 4)]
    width, height = _dimensions(data)
    if width > 0 and height > 0:
        found.append(f"{width}x{height}")
    return f"({', '.join(found)})"


def _media_parts(block: Mapping[str, Any], depth: int) -> tuple[str, str, str]:
    """Its media type, its base64 and where it is, of which those that are not there are ""."""
    kind = data = place = ""
    for name, value in block.items():
        if isinstance(value, Mapping) and depth:
            found = _media_parts(value, depth - 1)
            kind, data, place = kind or found[0], data or found[1], place or found[2]
        elif not isinstance(value, str):
            continue
        elif value.startswith("data:"):
            head, _, data = value.partition(",")
            kind = head.removeprefix("data:").partition(";")[0]
        elif name in ("media_type", "mimeType", "mime_type", "format"):
            kind = printable(value)
        elif name in ("data", "bytes", "file_data"):
            data = value
        elif name in ("url", "uri", "fileUri", "file_uri", "file_id", "image_url", "file_url", "filename"):
            place = value
    return kind, data, place


def _dimensions(data: str) -> tuple[int, int]:
    head = data[:_HEAD]
    try:
        found = imagesize.get(io.BytesIO(base64.b64decode(head[: len(head) // 4 * 4])))
    except Exception:  # whatever a foreign reader raises for foreign bytes
        return -1, -1
    return int(found[0]), int(found[1])


# JSON that may be anything


def _titled(what: str, name: str, identifier: str) -> str:
    return " ".join(filter(None, (what, printable(name[:100]) or "(no name)", printable(identifier[:100]))))


def _id(value: Any) -> str:
    return _word(value, "call_id", "id", "toolUseId") if isinstance(value, Mapping) else ""


def _word(value: Any, *names: str) -> str:
    """The first of these members that is a text; "" if none is."""
    if not isinstance(value, Mapping):
        return ""
    return next((value[name] for name in names if isinstance(value.get(name), str)), "")


def _list(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else ()


def _shortened(value: Any, room: list[int], depth: int = 0) -> Any:
    """A JSON value with its long texts cut, and without the values for which there is no room."""
    room[0] -= 1
    if isinstance(value, str) and len(value) > LONGEST:
        return f"{value[:100]}… ({amount(len(value))})"
    if depth > 20:
        return "…"
    if isinstance(value, dict):
        return {name: _shortened(member, room, depth + 1) for name, member in value.items() if room[0] >= 0}
    if isinstance(value, list):
        return [_shortened(member, room, depth + 1) for member in value if room[0] >= 0]
    return value
