"""Anthropic's Messages API: what a request asks, whole answers, streams, the count of tokens.

Source: types of Anthropic's SDK, its API reference, and error messages that users have published.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from . import model, refusals, seals, tokens
from .asked import Asked, Reply, is_number, is_whole
from .messages_checks import Conversation, bad, check_mark
from .model import CALL, THINKING, Answer, Part, Prompt, Tool
from .refusals import ChatError

VERSION: Final = "anthropic-version"
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_WITHOUT_SAMPLING: Final = "2026-10-21"
"""The version from which on there is no sampling."""
_SAMPLING: Final[Mapping[str, float]] = {"temperature": 1, "top_p": 1, "top_k": 1e9}
_KNOWN: Final = frozenset(
    "model max_tokens messages system stop_sequences stream tools tool_choice thinking output_config output_format"
    " cache_control metadata service_tier speed container context_management mcp_servers diagnostics inference_geo"
    " user_profile_id".split()
) | frozenset(_SAMPLING)
_COUNTED: Final = _KNOWN - {"max_tokens", "stream", "stop_sequences", "metadata", *_SAMPLING}
_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_BUDGET: Final = 1024
_ENDS: Final[Mapping[str, str]] = {
    model.END: "end_turn",
    model.STOP_SEQUENCE: "stop_sequence",
    model.LENGTH: "max_tokens",
    model.CALLS: "tool_use",
    model.REFUSED: "refusal",
}


def read(body: Mapping[str, Any], version: str, *, counts: bool = False) -> Asked:
    """What a request asks, to be answered or to be counted. Raises ChatError as the vendor would."""
    if not version:
        raise ChatError(400, f"{VERSION}: header is required")
    if not _DATE.fullmatch(version):
        raise ChatError(400, f'{VERSION}: "{version[:100]}" is not a valid version')
    name = body.get("model")
    if not isinstance(name, str) or not name:
        raise bad("model", "Input should be a valid string" if "model" in body else "Field required")
    for member in body.keys() - (_COUNTED if counts else _KNOWN):
        raise bad(member[:100], "Extra inputs are not permitted")
    limit = body.get("max_tokens")
    if not counts:
        _check_values(body, version)
    thinks, is_shown = _thinking(body.get("thinking"), limit)
    is_enabled = thinks and body["thinking"]["type"] == "enabled"
    conversation = Conversation(body, thinks_always=is_enabled)
    tools = _tools(body.get("tools"), conversation)
    choice, is_parallel = _choice(body, tools)
    if is_enabled and choice not in (model.AUTO, model.NONE):
        raise ChatError(400, "Thinking may not be enabled when tool_choice forces tool use.")
    if is_enabled and body.get("temperature", 1) != 1:
        raise ChatError(400, "`temperature` may only be set to 1 when thinking is enabled.")
    if body.get("cache_control") is not None:
        check_mark("cache_control", body["cache_control"])
    messages = body["messages"]
    prompt = Prompt(
        text=conversation.text,
        results=conversation.results,
        tools=tools,
        choice=choice,
        is_parallel=is_parallel,
        thinks=thinks,
        max_tokens=limit,
        stops=body.get("stop_sequences") or (),
        form=_form(body),
        input_tokens=tokens.of_conversation(conversation.texts, len(messages), conversation.files, body.get("tools")),
    )
    return Asked(name, prompt, conversation.own_text, bool(body.get("stream")), True, 1, is_shown)


def _check_values(body: Mapping[str, Any], version: str) -> None:
    """Raise ChatError for a simple member of the wrong type or out of its range."""
    limit = body.get("max_tokens")
    if limit is None:
        raise bad("max_tokens", "Field required")
    if not is_whole(limit, 1):
        raise bad("max_tokens", "Input should be a valid integer greater than or equal to 1")
    if not isinstance(body.get("stream"), bool | None):
        raise bad("stream", "Input should be a valid boolean")
    stops = body.get("stop_sequences")
    if stops is not None and not (isinstance(stops, list) and all(isinstance(stop, str) for stop in stops)):
        raise bad("stop_sequences", "Input should be an array of strings")
    if any(not stop.strip() for stop in stops or ()):
        raise bad("stop_sequences", "each stop sequence must contain non-whitespace")
    for name, high in _SAMPLING.items():
        value = body.get(name)
        if value is None:
            continue
        if version >= _WITHOUT_SAMPLING:
            raise bad(name, "Extra inputs are not permitted")
        if not is_number(value, 0, high):
            raise bad(name, f"Input should be a number from 0 to {high:g}")


def _thinking(thinking: Any, limit: Any) -> tuple[bool, bool]:
    """Whether the model thinks, and whether its thoughts are shown. Raises ChatError."""
    if thinking is None:
        return False, False
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    if kind not in ("enabled", "adaptive", "disabled", "between_tools"):
        message = "Input tag has to be one of 'enabled', 'adaptive', 'disabled', 'between_tools'"
        raise bad("thinking", message)
    if thinking.get("display") not in (None, "summarized", "omitted"):
        raise bad("thinking.display", "Input should be 'summarized' or 'omitted'")
    if kind == "enabled":
        budget = thinking.get("budget_tokens")
        if budget is None:
            raise bad("thinking.enabled.budget_tokens", "Field required")
        if not is_whole(budget, _BUDGET):
            raise bad("thinking.enabled.budget_tokens", f"Input should be greater than or equal to {_BUDGET}")
        if isinstance(limit, int) and budget >= limit:
            raise ChatError(400, "`max_tokens` must be greater than `thinking.budget_tokens`.", "max_tokens")
    return kind in ("enabled", "adaptive"), thinking.get("display") != "omitted"


def _tools(offered: Any, conversation: Conversation) -> list[Tool]:
    """The tools that are offered; those that the server would run are taken and never called. Raises ChatError."""
    if offered is None:
        return []
    if not isinstance(offered, list):
        raise bad("tools", "Input should be a valid array")
    found: list[Tool] = []
    for index, tool in enumerate(offered):
        where = f"tools.{index}"
        if not isinstance(tool, dict):
            raise bad(where, "Input should be an object")
        if tool.get("cache_control") is not None:
            check_mark(f"{where}.cache_control", tool["cache_control"])
            conversation.marks += 1
        if tool.get("type") not in (None, "custom"):
            continue
        name, schema = tool.get("name"), tool.get("input_schema")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise bad(f"{where}.custom.name", "String should match pattern '^[a-zA-Z0-9_-]{1,128}$'")
        if not isinstance(schema, dict):
            raise bad(f"{where}.custom.input_schema", "Field required")
        if schema.get("type") != "object":
            raise bad(f"{where}.custom.input_schema.type", "Input should be 'object'")
        if any(name == one.name for one in found):
            raise bad("tools", "Tool names must be unique.")
        found.append(Tool(name, schema))
    return found


def _choice(body: Mapping[str, Any], tools: Sequence[Tool]) -> tuple[str, bool]:
    """Which tools have to be called, and whether several may be. Raises ChatError."""
    choice = body.get("tool_choice")
    if choice is None:
        return model.AUTO, True
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind not in ("auto", "any", "tool", "none"):
        raise bad("tool_choice", "Input tag has to be one of 'auto', 'any', 'tool', 'none'")
    if not body.get("tools") and kind != "none":
        raise bad("tool_choice", "may only be specified while providing tools")
    is_parallel = choice.get("disable_parallel_tool_use") is not True
    if kind == "tool":
        name = choice.get("name")
        if name not in [tool.name for tool in tools]:
            raise ChatError(400, f"Tool '{str(name)[:128]}' not found in provided tools", "tool_choice")
        return str(name), is_parallel
    return {"auto": model.AUTO, "any": model.REQUIRED, "none": model.NONE}[kind], is_parallel


def _form(body: Mapping[str, Any]) -> Any:
    """The JSON Schema of the answer; None for none. Raises ChatError."""
    config = body.get("output_config")
    if config is None:
        return None
    if not isinstance(config, dict):
        raise bad("output_config", "Input should be an object")
    form = config.get("format")
    if form is None:
        return None
    if not isinstance(form, dict) or form.get("type") != "json_schema" or not isinstance(form.get("schema"), dict):
        raise bad("output_config.format", "Input should be a json_schema with a schema")
    return form["schema"]


# Answers


def whole(asked: Asked, answer: Answer, reply: Reply) -> dict[str, Any]:
    """The answer as an object."""
    blocks = [_whole_block(asked, part, reply, index) for index, part in enumerate(answer.parts)]
    return {**_message(asked, reply, blocks), **_end(answer), "usage": _usage(asked, answer)}


def stream(asked: Asked, answer: Answer, reply: Reply) -> Iterator[bytes]:
    """The answer as server-sent events, one for each token."""
    begun = _usage(asked, None)
    message = {**_message(asked, reply, []), "stop_reason": None, "stop_sequence": None, "usage": begun}
    yield event("message_start", message=message)
    yield event("ping")
    for index, part in enumerate(answer.parts):
        yield event("content_block_start", index=index, content_block=_open_block(part, reply, index))
        for delta in _deltas(asked, part):
            yield event("content_block_delta", index=index, delta=delta)
        yield event("content_block_stop", index=index)
    yield event("message_delta", delta=_end(answer), usage=_usage(asked, answer))
    yield event("message_stop")


def event(kind: str, **members: Any) -> bytes:
    """A server-sent event."""
    shown = json.dumps({"type": kind, **members}, ensure_ascii=False, separators=(",", ":"))
    return f"event: {kind}\ndata: {shown}\n\n".encode("utf-8", "replace")


def failure(error: ChatError, request_id: str) -> bytes:
    """An error in the middle of a stream."""
    return event(**{"kind": "error"} | {k: v for k, v in refusals.anthropic(error, request_id).items() if k != "type"})


def models(names: Sequence[str], created: int) -> dict[str, Any]:
    """The list of models, on one page."""
    first, last = (names[0], names[-1]) if names else (None, None)
    data = [one_model(name, created) for name in names]
    return {"data": data, "has_more": False, "first_id": first, "last_id": last}


def one_model(name: str, created: int) -> dict[str, Any]:
    """A model."""
    since = datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": "model", "id": name, "display_name": name, "created_at": since}


def _message(asked: Asked, reply: Reply, blocks: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": f"msg_{reply.id}", "type": "message", "role": "assistant", "model": asked.model, "content": blocks}


def _end(answer: Answer) -> dict[str, Any]:
    stopped = answer.detail if answer.end == model.STOP_SEQUENCE else None
    end: dict[str, Any] = {"stop_reason": _ENDS[answer.end], "stop_sequence": stopped}
    if answer.end == model.REFUSED:
        end["stop_details"] = {"type": "refusal", "category": None, "explanation": answer.detail}
    return end


def _whole_block(asked: Asked, part: Part, reply: Reply, index: int) -> dict[str, Any]:
    if part.kind == CALL:
        try:
            arguments = json.loads(part.text)
        except ValueError:
            arguments = {}  # cut off by max_tokens
        return {**_open_block(part, reply, index), "input": arguments}
    if part.kind == THINKING:
        shown = part.text if asked.shows_thoughts else ""
        return {"type": "thinking", "thinking": shown, "signature": seals.seal(shown)}
    return {"type": "text", "text": part.text}


def _open_block(part: Part, reply: Reply, index: int) -> dict[str, Any]:
    """A block as it is when a stream opens it."""
    if part.kind == CALL:
        return {"type": "tool_use", "id": f"toolu_{reply.id}{index:02}", "name": part.name, "input": {}}
    if part.kind == THINKING:
        return {"type": "thinking", "thinking": "", "signature": ""}
    return {"type": "text", "text": ""}


def _deltas(asked: Asked, part: Part) -> Iterator[dict[str, str]]:
    if part.kind == CALL:
        yield {"type": "input_json_delta", "partial_json": ""}
        yield from ({"type": "input_json_delta", "partial_json": piece} for piece in part.pieces)
    elif part.kind == THINKING:
        shown = part.pieces if asked.shows_thoughts else ()
        yield from ({"type": "thinking_delta", "thinking": piece} for piece in shown)
        yield {"type": "signature_delta", "signature": seals.seal("".join(shown))}
    else:
        yield from ({"type": "text_delta", "text": piece} for piece in part.pieces)


def _usage(asked: Asked, answer: Answer | None) -> dict[str, Any]:
    """The counts of tokens; of a stream that begins, without an answer."""
    usage = {
        "input_tokens": asked.prompt.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": answer.output_tokens if answer else 1,
    }
    if answer and answer.thinking_tokens:
        return {**usage, "output_tokens_details": {"thinking_tokens": answer.thinking_tokens}}
    return usage
