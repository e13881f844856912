"""Writes a request of Amazon Bedrock's Converse and ConverseStream, which have the same body.

Sources: Amazon Bedrock's API reference, Converse; botocore's model of it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from ..errors import bad_body
from . import anthropic_upstream, converse_cache, converse_media, efforts, json_values, unsaid
from .converse_models import Family, family
from .json_values import raw
from .model import Block, Call, Chat, Foreign, Media, Result, Text, Thinking, Tool, Turn
from .target import Target
from .writing import check_first, note

_CALL_ID: Final = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_OWN: Final = (
    "additionalModelRequestFields additionalModelResponseFieldPaths guardrailConfig performanceConfig requestMetadata"
    " serviceTier promptVariables"
).split()
"""Members of Converse's own that clients send through, as extra members of their requests."""
_TIERS: Final = {b'"default"': "default", b'"flex"': "flex", b'"priority"': "priority"}
_NOVA_EFFORTS: Final = {"minimal": "low", "low": "low", "medium": "medium"}


Json = dict[str, Any]


class Settings(NamedTuple):
    """What the configuration says.

    `additional`: members of additionalModelRequestFields, as JSON; they replace others. `cache`: how long the prompt is
    cached where the request does not say it, "" for not at all. `positions`: where cache points are put for that.
    """

    additional: Mapping[str, bytes] = MappingProxyType({})
    cache: str = ""
    positions: frozenset[str] = frozenset({"systemPrompt"})


_NO_SETTINGS: Final = Settings()


def write(chat: Chat, client: str, target: Target, notes: list[str]) -> bytes:
    """The body of a request; its model and whether it is a stream are in its path. Raises Refusal (400)."""
    settings = target.settings if isinstance(target.settings, Settings) else _NO_SETTINGS
    models = family(chat.model)
    check_first(chat.turns, "Bedrock")
    messages = _messages(chat.turns, models, notes)
    if not messages:
        raise bad_body("messages say nothing.", param="messages")
    document: Json = {}
    if system := _system(chat.turns, notes):
        document["system"] = system
    document["messages"] = messages
    wants_call = chat.choice is not None and chat.choice.mode == "call" and bool(chat.tools)
    additional: Json = {}
    inference: Json = {}
    if models.reasoning == "claude":
        is_forced, said = _as_claude(document, inference, additional, chat, wants_call, target, notes)
    else:
        is_forced, said = wants_call, _as_other(inference, additional, chat, models, notes)
    if chat.stop:
        stops = [text for text in chat.stop if text.strip() or (text and models.reasoning != "claude")]
        if len(stops) < len(chat.stop):
            notes.append("stop sequences of blanks left out: the model takes none")
        if stops:
            inference["stopSequences"] = stops
            if models.reasoning == "claude":
                document["additionalModelResponseFieldPaths"] = ["/stop_sequence"]
    if inference:
        document["inferenceConfig"] = inference
    _write_tools(document, chat, is_forced, notes)
    _write_format(document, chat, notes)
    if (tier := _TIERS.get(chat.options.get("service_tier", b""))) and client == "openai":
        document["serviceTier"] = {"type": tier}
        said.append("service_tier")
    if chat.user:
        notes.append(f"the user's id left out: {target.name} has no place for it")
    for name in _OWN:
        if name in chat.options:
            document[name] = msgspec.Raw(chat.options[name])
            said.append(name)
    _write_additional(document, additional, settings)
    said += converse_cache.write(document, chat, models, settings.cache, settings.positions, notes)
    notes += unsaid.leave_out(client, chat.options, said, target.name)
    return json_values.encode(document)


# Messages


def _system(turns: Iterable[Turn], notes: list[str]) -> list[Json]:
    system: list[Json] = []
    is_late = False
    for turn in turns:
        if turn.role != "system":
            is_late = True
            continue
        if is_late:
            note(notes, "system messages in the middle are put before the conversation")
        for block in turn.blocks:
            if isinstance(block, Text) and block.text.strip():
                system.append({"text": block.text})
                system += converse_cache.marks(block.cache)
    return system


def _messages(turns: Iterable[Turn], models: Family, notes: list[str]) -> list[Json]:
    """Messages of alternating roles: neighbours of one role are one; results come first, calls behind text."""
    messages: list[Json] = []
    names = converse_media.Names()
    for turn in turns:
        if turn.role == "system":
            continue
        blocks = [part for block in turn.blocks for part in _block(block, models, names, notes)]
        if not blocks:
            continue
        if messages and messages[-1]["role"] == turn.role:
            messages[-1]["content"] += blocks
        else:
            messages.append({"role": turn.role, "content": blocks})
    for message in messages:
        message["content"] = _in_order(message["content"], message["role"])
    last = messages[-1]["content"][-1] if messages and messages[-1]["role"] == "assistant" else {}
    if "text" in last and last["text"] != last["text"].rstrip():
        last["text"] = last["text"].rstrip()
        notes.append("blanks at the end of the last message left out")
    return messages


def _in_order(content: list[Json], role: str) -> list[Json]:
    """The blocks, each with its cache point, in the order that Converse asks for."""
    groups: list[list[Json]] = []
    for block in content:
        if converse_cache.POINT in block and groups:
            groups[-1].append(block)
        else:
            groups.append([block])
    if role == "user":
        groups.sort(key=lambda group: "toolResult" not in group[0])
    else:
        first = next((index for index, group in enumerate(groups) if "toolUse" in group[0]), len(groups))
        late = [group for group in groups[first:] if "text" in group[0]]
        groups = groups[:first] + late + [group for group in groups[first:] if "text" not in group[0]]
    return [block for group in groups for block in group]


def _block(block: Block, models: Family, names: converse_media.Names, notes: list[str]) -> list[Json]:
    match block:
        case Text():
            return [{"text": block.text}, *converse_cache.marks(block.cache)] if block.text.strip() else []
        case Call():
            use = {"toolUseId": call_id(block.id), "name": block.name, "input": _input(block)}
            return [{"toolUse": use}, *converse_cache.marks(block.cache)]
        case Result():
            inner = [part for one in block.blocks for part in _block(one, models, names, notes)]
            mark = block.cache or next((one.cache for one in block.blocks if not isinstance(one, Foreign)), None)
            return [_result(block, inner), *converse_cache.marks(mark)]
        case Media():
            return [converse_media.written(block, names), *converse_cache.marks(block.cache)]
        case Thinking():
            return _thinking(block, models, notes)
        case Foreign():
            note(notes, f"{block.type} blocks left out: only {block.dialect} has them")
            return []


def call_id(id: str) -> str:
    """The id of a call as Converse takes it: one that is too long, or has other characters, becomes its hash."""
    return id if _CALL_ID.fullmatch(id) else f"tooluse_{hashlib.sha256(id.encode('utf-8', 'replace')).hexdigest()[:40]}"


def _input(call: Call) -> object:
    if not call.arguments.strip():
        return {}
    return raw(call.arguments) if json_values.is_object(call.arguments) else {"INVALID_JSON": call.arguments}


def _result(result: Result, content: list[Json]) -> Json:
    content = [part for part in content if converse_cache.POINT not in part]
    written: Json = {"toolUseId": call_id(result.call_id), "content": content or [{"text": ""}]}
    if result.is_failed:
        written["status"] = "error"
    return {"toolResult": written}


def _thinking(block: Thinking, models: Family, notes: list[str]) -> list[Json]:
    if block.seal is None or block.seal.vendor != models.vendor:
        if block.text or block.seal:
            note(notes, "thinking left out: it is not signed by this model's vendor")
        return []
    if block.is_redacted:
        return [{"reasoningContent": {"redactedContent": block.seal.value}}]
    return [{"reasoningContent": {"reasoningText": {"text": block.text, "signature": block.seal.value}}}]


# Settings of the model


def _as_claude(
    document: Json, inference: Json, additional: Json, chat: Chat, wants_call: bool, target: Target, notes: list[str]
) -> tuple[bool, list[str]]:
    """Write what a Claude model takes; whether a call is still forced, and the options that are said."""
    row = efforts.claude_model(chat.model)
    plan = efforts.claude_thinking(chat, row, wants_call, _lacks_thinking(document["messages"]))
    notes += plan.notes
    inference["maxTokens"] = plan.max_tokens
    if plan.thinking:
        additional["thinking"] = plan.thinking
    if plan.effort:
        document["outputConfig"] = {"effort": plan.effort}
    sampling: Json = {}
    said = anthropic_upstream.write_sampling(sampling, chat, row, plan, target, notes)
    for name, place in (("temperature", "temperature"), ("top_p", "topP")):
        if name in sampling:
            inference[place] = sampling[name]
    if "top_k" in sampling:
        additional["top_k"] = sampling["top_k"]
    return plan.is_forced, said


def _lacks_thinking(messages: list[Json]) -> bool:
    """Whether the assistant's turn of a running tool loop has calls, but does not begin with thinking."""
    if len(messages) < 2 or "toolResult" not in messages[-1]["content"][0]:
        return False
    return "reasoningContent" not in messages[-2]["content"][0]


def _as_other(inference: Json, additional: Json, chat: Chat, models: Family, notes: list[str]) -> list[str]:
    """Write what another model takes; the options that are said."""
    said = []
    if chat.max_tokens is not None:
        inference["maxTokens"] = chat.max_tokens
    for name, place in (("temperature", "temperature"), ("top_p", "topP")):
        if (value := chat.options.get(name)) is not None:
            said.append(name)
            if float(value) > 1:
                notes.append(f"{name} is 1, the highest that Bedrock takes")
            inference[place] = 1 if float(value) > 1 else msgspec.Raw(value)
    if models.top_k and (value := chat.options.get("top_k")) is not None:
        said.append("top_k")
        _put(additional, models.top_k, msgspec.Raw(value))
    _write_reasoning(inference, additional, chat, models, notes)
    return said


def _put(holder: Json, path: tuple[str, ...], value: object) -> None:
    for name in path[:-1]:
        holder = holder.setdefault(name, {})
    holder[path[-1]] = value


def _write_reasoning(inference: Json, additional: Json, chat: Chat, models: Family, notes: list[str]) -> None:
    asked = chat.reasoning
    if asked is None:
        return
    effort = asked.effort
    if effort is None and asked.is_on is not False:
        effort = efforts.effort_of(asked.budget) if asked.budget else "medium"
    if models.reasoning == "none":
        note(notes, "thinking left out: it is not known how this model is asked for it (bedrockAdditionalFields)")
    elif asked.is_on is False or effort == "none":
        if models.reasoning == "nova":
            additional["reasoningConfig"] = {"type": "disabled"}
        else:
            note(notes, "thinking off left out: the model has no such word")
    elif models.reasoning == "nova":
        level = _NOVA_EFFORTS.get(effort or "", "high")
        additional["reasoningConfig"] = {"type": "enabled", "maxReasoningEffort": level}
        if level == "high" and inference:
            inference.clear()
            notes.append("max_tokens, temperature and top_p left out: the model takes none with high effort")
    else:
        additional["reasoning_effort"] = {"minimal": "low", "xhigh": "high", "max": "high"}.get(effort or "", effort)


# Tools and format


def _write_tools(document: Json, chat: Chat, is_forced: bool, notes: list[str]) -> None:
    choice = chat.choice
    tools = chat.tools
    names = _called(document["messages"])
    if choice and choice.names and (len(choice.names) > 1 or choice.mode == "auto"):
        tools = tuple(tool for tool in tools if tool.name in choice.names)
        notes.append("tools other than the allowed ones left out")
    if chat.tools and not tools:
        raise bad_body("tool_choice allows no tool that is in tools.", param="tool_choice")
    if choice and choice.mode == "none" and tools:
        if not names:
            notes.append("tools left out: tool_choice is none, which Bedrock cannot say")
            return
        notes.append("tool_choice none left out: Bedrock wants the tools of earlier calls, and cannot say it")
    if not tools and names:
        tools = tuple(Tool(name) for name in names)
        notes.append("tools made of the names of earlier calls: Bedrock takes no calls without tools")
    if not tools:
        return
    config: Json = {"tools": [part for tool in tools for part in _tool(tool)]}
    if is_forced and choice:
        named = len(choice.names) == 1
        config["toolChoice"] = {"tool": {"name": choice.names[0]}} if named else {"any": {}}
    if chat.parallel_calls is False:
        notes.append("parallel calls off left out: Bedrock has no such setting")
    document["toolConfig"] = config


def _called(messages: list[Json]) -> list[str]:
    """The names of the tools that were called."""
    found = [block["toolUse"]["name"] for message in messages for block in message["content"] if "toolUse" in block]
    return list(dict.fromkeys(found))


def _tool(tool: Tool) -> list[Json]:
    spec: Json = {"name": tool.name}
    if tool.description:
        spec["description"] = tool.description
    spec["inputSchema"] = {"json": raw(anthropic_upstream.object_schema(tool.schema))}
    if tool.is_strict:
        spec["strict"] = True
    return [{"toolSpec": spec}, *converse_cache.marks(tool.cache)]


def _write_format(document: Json, chat: Chat, notes: list[str]) -> None:
    format = chat.format
    if format is None:
        return
    if not format.schema:
        notes.append("response_format json_object left out: Bedrock knows schemas only; the prompt has to ask for JSON")
        return
    described: Json = {"schema": format.schema.decode("utf-8", "replace")}
    if format.name:
        described["name"] = format.name
    if format.description:
        described["description"] = format.description
    document.setdefault("outputConfig", {})["textFormat"] = {
        "type": "json_schema",
        "structure": {"jsonSchema": described},
    }


def _write_additional(document: Json, additional: Json, settings: Settings) -> None:
    """What is model's own: what is asked for, the client's own members, and last those of the configuration."""
    own = document.pop("additionalModelRequestFields", None)
    if own is not None and json_values.is_object(bytes(own).decode()):
        additional.update(json_values.members(bytes(own)))
    additional.update({name: msgspec.Raw(value) for name, value in settings.additional.items()})
    if additional:
        document["additionalModelRequestFields"] = additional
