"""Writes a request of Gemini's generateContent, for AI Studio and for Vertex.

Sources: Google's Gemini API reference, generateContent, function calling, thought signatures; the types of its SDK.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from ..errors import bad_body
from . import gemini_thinking, json_values, media_data, unsaid
from .gemini_answers import VENDOR
from .gemini_thinking import GeminiModel
from .json_values import raw
from .model import Block, Call, Chat, Foreign, Media, Result, Seal, Text, Thinking, Tool, Turn
from .target import Target
from .writing import note, refused_file, titled

Json = dict[str, Any]

_MADE_ID: Final = re.compile(r"call_[0-9a-f]{32}_[0-9]+")
"""An id that was made here, for a call to which the vendor gave none (see gemini_answers.py)."""
_NO_SEAL: Final = "skip_thought_signature_validator"
"""What Google documents for calls of the running turn that another model has made, or whose signature is lost."""
_NUMBERS: Final = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
_MODALITIES: Final = ("text", "image")
_MOST_SEED: Final = 2**31 - 1
_FILE: Final = re.compile(r"files/[a-z0-9-]+")
_FILES: Final = "https://generativelanguage.googleapis.com/v1beta/"
_TYPES: Final = {"image": "image/jpeg", "document": "application/pdf", "audio": "audio/mpeg"}
"""Media types of links that do not tell theirs."""


class Settings(NamedTuple):
    """What a Target of this dialect holds.

    `safety`: categories and thresholds. `thinking_budget`: the tokens of a request that says nothing of thinking, for a
    model that counts them. `needs_media_type`: whether links need one.
    """

    safety: tuple[tuple[str, str], ...] = ()
    thinking_budget: int | None = None
    needs_media_type: bool = False


def settings_of(target: Target) -> Settings:
    """The settings of a target."""
    return target.settings if isinstance(target.settings, Settings) else Settings()


def write(chat: Chat, client: str, target: Target, notes: list[str]) -> bytes:
    """The body of a request. `client` is the client's dialect. Raises Refusal (400) for what cannot be said."""
    row = gemini_thinking.gemini_model(chat.model)
    settings = settings_of(target)
    document: Json = {"contents": _contents(chat.turns, row, target, notes)}
    if not document["contents"]:
        raise bad_body("messages say nothing that could be answered.", param="messages")
    system = [
        {"text": block.text}
        for turn in chat.turns
        if turn.role == "system"
        for block in turn.blocks
        if isinstance(block, Text) and block.text.strip()
    ]
    if system:
        document["systemInstruction"] = {"parts": system}
    if chat.tools:
        _write_tools(document, chat, notes)
    said: list[str] = []
    known = {name: value for name, value in chat.options.items() if name in unsaid.MEMBERS[client]}
    config = _config(chat, known, said, notes)
    if thinking := gemini_thinking.config(chat, row, settings.thinking_budget, notes):
        config["thinkingConfig"] = thinking
    if config:
        document["generationConfig"] = config
    if settings.safety:
        document["safetySettings"] = [{"category": name, "threshold": word} for name, word in settings.safety]
    if any(block.cache for turn in chat.turns for block in turn.blocks if not isinstance(block, Thinking | Foreign)):
        notes.append(f"cache marks left out ({target.name} finds repeated beginnings itself)")
    if chat.user:
        notes.append(f"the user's id left out ({target.name})")
    notes += unsaid.leave_out(client, chat.options, said, target.name)
    return json_values.encode(document)


# Contents


def _contents(turns: tuple[Turn, ...], row: GeminiModel, target: Target, notes: list[str]) -> list[Json]:
    contents: list[Json] = []
    calls: list[Call] = []
    names: dict[str, str] = {}
    running = _running(turns)
    for index, turn in enumerate(turns):
        if turn.role == "assistant":
            calls = [block for block in turn.blocks if isinstance(block, Call)]
            names |= {call.id: call.name for call in calls}
            parts = [*_said(turn, target, notes)]
            if row.needs_seals and index >= running:
                _seal_first_call(parts, notes)
            contents += [{"role": "model", "parts": parts}] if parts else []
        elif turn.role == "user":
            results = [block for block in turn.blocks if isinstance(block, Result)]
            contents += _results(results, turn, calls, names, row, target, notes)
            parts = [
                part
                for block in turn.blocks
                if not isinstance(block, Result) and (part := _part(block, target, notes)) is not None
            ]
            contents += [{"role": "user", "parts": parts}] if parts else []
    return contents


def _running(turns: tuple[Turn, ...]) -> int:
    """The index of the turn behind the user's last one that is no result: the calls from there on are checked."""
    for index in range(len(turns) - 1, -1, -1):
        if turns[index].role == "user" and any(not isinstance(block, Result) for block in turns[index].blocks):
            return index + 1
    return 0


def _said(turn: Turn, target: Target, notes: list[str]) -> Iterator[Json]:
    """The parts of the model's. A text without letters that has a seal is the seal of the text before it."""
    held: Json | None = None
    for block in turn.blocks:
        is_seal = isinstance(block, Text) and not block.text and block.seal is not None
        if is_seal and held is not None and "thoughtSignature" not in held:
            if block.seal and block.seal.vendor == VENDOR:  # type: ignore[union-attr]
                held["thoughtSignature"] = block.seal.value  # type: ignore[union-attr]
            continue
        if held is not None:
            yield held
            held = None
        part = _part(block, target, notes)
        if isinstance(block, Text):
            held = part
        elif part is not None:
            yield part
    if held is not None:
        yield held


def _seal_first_call(parts: Iterable[Json], notes: list[str]) -> None:
    first = next((part for part in parts if "functionCall" in part), None)
    if first is not None and "thoughtSignature" not in first:
        first["thoughtSignature"] = _NO_SEAL
        note(notes, "a call that Gemini has not signed is marked as such, so that it is taken")


def _part(block: Block, target: Target, notes: list[str]) -> Json | None:
    match block:
        case Text():
            sealed = block.seal is not None and block.seal.vendor == VENDOR
            return _sealed({"text": block.text}, block.seal) if block.text.strip() or sealed else None
        case Call():
            return _call(block)
        case Media():
            return _sealed(_media(block, target, notes), block.seal)
        case Thinking():
            if block.seal is None or block.seal.vendor != VENDOR:
                if block.text or block.seal:
                    note(notes, f"thinking left out: it is not signed by {target.name}")
                return None
            return _sealed({"text": block.text, "thought": True}, block.seal)
        case Foreign():
            note(notes, f"{block.type} blocks left out: only {block.dialect} has them")
            return None
        case Result():
            return None


def _sealed(part: Json, seal: Seal | None) -> Json:
    if seal is not None and seal.vendor == VENDOR:
        part["thoughtSignature"] = seal.value
    return part


def _call(call: Call) -> Json:
    written: Json = {"name": call.name}
    if call.arguments.strip():
        # If the model made a mistake, its text in an object: Gemini takes nothing else.
        is_object = json_values.is_object(call.arguments)
        written["args"] = raw(call.arguments) if is_object else {"INVALID_JSON": call.arguments}
    else:
        written["args"] = {}
    if not _MADE_ID.fullmatch(call.id):
        written["id"] = call.id
    return _sealed({"functionCall": written}, call.seal)


def _results(
    results: list[Result],
    turn: Turn,
    calls: list[Call],
    names: Mapping[str, str],
    row: GeminiModel,
    target: Target,
    notes: list[str],
) -> list[Json]:
    """All results of a turn as one content, in the order of the calls; behind it what they cannot hold."""
    if not results:
        return []
    order = {call.id: index for index, call in enumerate(calls)}
    parts = []
    rest: list[Json] = []
    for result in sorted(results, key=lambda result: order.get(result.call_id, len(order))):
        name = names.get(result.call_id)
        if name is None:
            raise bad_body(f"{turn.path}: the result is of no call that stands before it.", param=turn.path)
        media = [block for block in result.blocks if isinstance(block, Media) and not block.text]
        written: Json = {"name": name, "response": _response(result, notes)}
        if not _MADE_ID.fullmatch(result.call_id):
            written["id"] = result.call_id
        inline = [part for block in media if "inlineData" in (part := _media(block, target, notes))]
        if inline and row.has_media_results:
            written["parts"] = inline
            media = [block for block in media if not block.data]
        if media:
            note(notes, "pictures and documents of a tool's result follow it in a content of the user's")
            rest.append({"text": f"From the result of the call of {name}:"})
            rest += [_media(block, target, notes) for block in media]
        parts.append({"functionResponse": written})
    contents: list[Json] = [{"role": "user", "parts": parts}]
    return [*contents, {"role": "user", "parts": rest}] if rest else contents


def _response(result: Result, notes: list[str]) -> object:
    """A result as an object: itself, if it is one; else its text in one, as Google's SDK does it."""
    texts = []
    for block in result.blocks:
        if isinstance(block, Text):
            texts.append(block.text)
        elif isinstance(block, Media) and block.text:
            texts.append(titled(block))
        elif isinstance(block, Foreign):
            note(notes, f"{block.type} blocks left out: only {block.dialect} has them")
    text = "\n\n".join(texts)
    if result.is_failed:
        return {"error": text}
    return raw(text) if json_values.is_object(text) else {"output": text}


def _media(media: Media, target: Target, notes: list[str]) -> Json:
    if media.text:
        return {"text": titled(media)}
    if media.data:
        return {"inlineData": {"mimeType": media.type, "data": media.data}}
    url = media.url or media.file_id
    if media.file_id and _FILE.fullmatch(url):
        url = f"{_FILES}{url}"
    elif media.file_id and not (media_data.is_link(url) or url.startswith("gs://")):
        raise refused_file(media)
    file: Json = {"fileUri": url}
    type = media.type or media_data.type_of_link(url)
    if not type and settings_of(target).needs_media_type:
        type = _TYPES[media.kind]
        note(notes, f"a link does not tell its media type, which {target.name} wants: {type}")
    if type:
        file["mimeType"] = type
    return {"fileData": file}


# Tools


def _write_tools(document: Json, chat: Chat, notes: list[str]) -> None:
    choice, tools = chat.choice, chat.tools
    if choice and choice.mode == "auto" and choice.names:
        tools = tuple(tool for tool in tools if tool.name in choice.names)
        notes.append("tools other than the allowed ones left out")
        if not tools:
            raise bad_body("tool_choice allows no tool that is in tools.", param="tool_choice")
    document["tools"] = [{"functionDeclarations": [_tool(tool) for tool in tools]}]
    if choice:
        config: Json = {"mode": {"auto": "AUTO", "call": "ANY", "none": "NONE"}[choice.mode]}
        if choice.mode == "call" and choice.names:
            config["allowedFunctionNames"] = list(choice.names)
        document["toolConfig"] = {"functionCallingConfig": config}
    if chat.parallel_calls is False:
        notes.append("parallel calls cannot be switched off at Gemini")


def _tool(tool: Tool) -> Json:
    written: Json = {"name": tool.name}
    if tool.description:
        written["description"] = tool.description
    if tool.schema:
        # Real JSON Schema, byte by byte; `parameters` would be a part of OpenAPI's.
        written["parametersJsonSchema"] = raw(tool.schema)
    return written


# generationConfig


def _config(chat: Chat, options: Mapping[str, bytes], said: list[str], notes: list[str]) -> Json:
    config: Json = {}
    if chat.max_tokens is not None:
        config["maxOutputTokens"] = chat.max_tokens
    for name, member in _NUMBERS.items():
        if name in options:
            said.append(name)
            config[member] = raw(options[name])
    if stops := [text for text in chat.stop if text]:
        config["stopSequences"] = stops
    if (seed := options.get("seed")) is not None:
        said.append("seed")
        if abs(int(seed)) <= _MOST_SEED:
            config["seed"] = raw(seed)
        else:
            notes.append("seed left out: Gemini takes one of 32 bits")
    if (modalities := _modalities(options.get("modalities"))) is not None:
        said.append("modalities")
        config["responseModalities"] = modalities
    if chat.format:
        config["responseMimeType"] = "application/json"
        if chat.format.schema:
            config["responseJsonSchema"] = raw(chat.format.schema)
    return config


def _modalities(told: bytes | None) -> list[str] | None:
    """Text, pictures or both, in Gemini's words; None for anything else, and for text alone."""
    words = json_values.decode(told) if told else None
    if not isinstance(words, list) or words == ["text"] or not words:
        return None
    return [word.upper() for word in words] if all(word in _MODALITIES for word in words) else None
