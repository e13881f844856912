"""Chat Completions in OpenAI's format: what a request asks, whole answers and streams.

Source: types of OpenAI's SDK and its API reference. Members that other vendors add are taken.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from . import model, refusals, tokens
from .asked import Asked, Reply, is_number, is_whole, joined, kind_of
from .model import CALL, THINKING, Answer, Prompt, Result, Tool
from .refusals import ChatError

_ROLES: Final = ("system", "assistant", "user", "function", "tool", "developer")
_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "system": ("text",),
    "developer": ("text",),
    "tool": ("text",),
    "assistant": ("text", "refusal"),
    "user": ("text", "image_url", "input_audio", "file"),
}
"""The types of content parts that a message of each role may have; those of other vendors are refused."""
_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_ENDS: Final[Mapping[str, str]] = {
    model.END: "stop",
    model.STOP_SEQUENCE: "stop",
    model.LENGTH: "length",
    model.CALLS: "tool_calls",
    model.REFUSED: "content_filter",
}
_FLAGS: Final = ("stream", "parallel_tool_calls", "logprobs", "store")
_NUMBERS: Final[Mapping[str, tuple[float, float]]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
}


def read(body: Mapping[str, Any]) -> Asked:
    """What a request asks. Raises ChatError as the vendor would."""
    name = body.get("model")
    if not isinstance(name, str) or not name:
        raise ChatError(400, "you must provide a model parameter", "model")
    messages = body.get("messages")
    if messages is None:
        raise ChatError(400, "Missing required parameter: 'messages'.", "messages", "missing_required_parameter")
    if not isinstance(messages, list):
        raise _wrong_type("messages", "an array of objects", messages)
    if not messages:
        message = "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array."
        raise ChatError(400, message, "messages", "empty_array")
    _check_values(body)
    conversation = _Conversation(messages)
    declared = _tools(body)
    choice, allowed = _choice(body, declared)
    streams = bool(body.get("stream"))
    options = body.get("stream_options")
    if options is not None and not streams:
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise ChatError(400, message, "stream_options")
    stop = body.get("stop")
    prompt = Prompt(
        text=conversation.text,
        results=conversation.results,
        tools=[tool for tool in declared if allowed is None or tool.name in allowed],
        choice=choice,
        is_parallel=body.get("parallel_tool_calls") is not False,
        thinks=_thinks(body),
        max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
        stops=[stop] if isinstance(stop, str) else stop or (),
        form=_form(body.get("response_format")),
        input_tokens=tokens.of_conversation(conversation.texts, len(messages), conversation.files, body.get("tools")),
    )
    return Asked(
        name,
        prompt,
        conversation.text if conversation.ends_with_user else "",
        streams,
        isinstance(options, dict) and options.get("include_usage") is True,
        body.get("n") or 1,
    )


def _check_values(body: Mapping[str, Any]) -> None:
    """Raise ChatError for a simple member of the wrong type or out of its range."""
    for name in _FLAGS:
        if body.get(name) is not None and not isinstance(body[name], bool):
            raise _wrong_type(name, "a boolean", body[name])
    for name, (low, high) in _NUMBERS.items():
        if body.get(name) is not None and not is_number(body[name], low, high):
            raise ChatError(400, f"Invalid '{name}': expected a number from {low:g} to {high:g}.", name)
    for name in ("max_tokens", "max_completion_tokens"):
        if body.get(name) is not None and not is_whole(body[name], 1):
            message = f"Invalid '{name}': integer below minimum value. Expected a value >= 1."
            raise ChatError(400, message, name, "integer_below_min_value")
    if body.get("n") is not None and not (is_whole(body["n"], 1) and body["n"] <= 8):
        raise ChatError(400, "Invalid 'n': expected a whole number from 1 to 8.", "n")
    stop = body.get("stop")
    is_list = isinstance(stop, list) and len(stop) <= 4 and all(isinstance(item, str) and item for item in stop)
    if not (stop is None or is_list or (isinstance(stop, str) and stop)):
        raise ChatError(400, "Invalid 'stop': expected a string, or up to 4 of them.", "stop")
    if body.get("reasoning_effort") not in (None, *_EFFORTS):
        message = f"Invalid value for 'reasoning_effort'. Supported values are: {', '.join(_EFFORTS)}."
        raise ChatError(400, message, "reasoning_effort", "invalid_value")
    if not isinstance(body.get("stream_options"), dict | None):
        raise _wrong_type("stream_options", "an object", body["stream_options"])


def _thinks(body: Mapping[str, Any]) -> bool:
    """Whether thinking is asked for, as OpenAI has it (`reasoning_effort`) or as other vendors have."""
    thinking, reasoning = body.get("thinking"), body.get("reasoning")
    return (
        body.get("reasoning_effort") not in (None, "none")
        or (isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive", "auto"))
        or (isinstance(reasoning, dict) and reasoning.get("effort") not in (None, "none"))
        or body.get("enable_thinking") is True
    )


def _form(form: Any) -> Any:
    """What `response_format` asks for, as Prompt has it. Raises ChatError."""
    if form is None:
        return None
    kind = form.get("type") if isinstance(form, dict) else None
    if kind not in ("text", "json_object", "json_schema"):
        message = "Invalid value for 'response_format.type': expected text, json_object or json_schema."
        raise ChatError(400, message, "response_format", "invalid_value")
    if kind != "json_schema":
        return True if kind == "json_object" else None
    wanted = form.get("json_schema")
    if not isinstance(wanted, dict) or not isinstance(wanted.get("name"), str):
        where = "response_format.json_schema"
        raise ChatError(400, f"Missing required parameter: '{where}.name'.", where, "missing_required_parameter")
    return wanted.get("schema") or True


# Messages


class _Conversation:
    """The messages of a request, checked one after another. Raises ChatError.

    text: the last text of the user. results: those of tools behind it. texts: all texts, to be counted.
    """

    def __init__(self, messages: Sequence[Any]) -> None:
        self.text = ""
        self.results: list[Result] = []
        self.texts: list[str] = []
        self.files = 0
        self.ends_with_user = False
        self._open: dict[str, str] = {}
        for index, message in enumerate(messages):
            self._add(f"messages[{index}]", message)
        self._check_answered()

    def _add(self, where: str, message: Any) -> None:
        if not isinstance(message, dict):
            raise _wrong_type(where, "an object", message)
        role = message.get("role")
        if role not in _ROLES:
            known = ", ".join(f"'{name}'" for name in _ROLES)
            shown = str(role)[:100]
            text = f"Invalid value: '{shown}'. Supported values are: {known}."
            raise ChatError(400, text, f"{where}.role", "invalid_value")
        if role != "tool":
            self._check_answered()
        calls = message.get("tool_calls")
        text = self._content(where, role, message.get("content"), may_lack=role == "assistant")
        if role == "assistant":
            self._called(where, message.get("content"), calls, message.get("refusal"), message.get("audio"))
        self.ends_with_user = role == "user"
        if role == "user":
            self.text, self.results = text, []
        elif role == "tool":
            self._answered(where, message.get("tool_call_id"), text)
        elif role == "function":
            self.results.append(Result(str(message.get("name")), text))

    def _content(self, where: str, role: str, content: Any, *, may_lack: bool) -> str:
        where = f"{where}.content"
        if content is None and may_lack:
            return ""
        if isinstance(content, str):
            self.texts.append(content)
            return content
        if not isinstance(content, list) or not content:
            message = f"Invalid value for 'content': expected a string, got {kind_of(content)}."
            raise ChatError(400, message, where)
        found = []
        for index, part in enumerate(content):
            kind = part.get("type") if isinstance(part, dict) else None
            allowed = _PARTS.get(role, ("text",))
            if kind not in allowed:
                known = ", ".join(f"'{name}'" for name in allowed)
                message = f"Invalid value: '{str(kind)[:100]}'. Supported values are: {known}."
                raise ChatError(400, message, f"{where}[{index}].type", "invalid_value")
            found.append(self._part(f"{where}[{index}]", kind, part))
        return joined(found)

    def _part(self, where: str, kind: str, part: Mapping[str, Any]) -> str:
        value = part.get(kind)
        if kind in ("text", "refusal"):
            if not isinstance(value, str):
                raise _wrong_type(f"{where}.{kind}", "a string", value)
            self.texts.append(value)
            return value
        member = {"image_url": "url", "input_audio": "data"}.get(kind)
        if not isinstance(value, dict) or (member and not isinstance(value.get(member), str)):
            raise _wrong_type(f"{where}.{kind}", "an object", value)
        self.files += 1
        return ""

    def _called(self, where: str, content: Any, calls: Any, *others: Any) -> None:
        """Note the calls of an assistant's message; without any, it needs something else."""
        if calls is None:
            if content is None and not any(others):
                message = "Invalid value for 'content': expected a string, got null."
                raise ChatError(400, message, f"{where}.content")
            return
        if not isinstance(calls, list) or not calls:
            raise _wrong_type(f"{where}.tool_calls", "an array of at least one object", calls)
        for index, call in enumerate(calls):
            inner = call.get("function") if isinstance(call, dict) else None
            arguments = inner.get("arguments") if isinstance(inner, dict) else None
            name = inner.get("name") if isinstance(inner, dict) else None
            place = f"{where}.tool_calls[{index}]"
            if not isinstance(call, dict) or not isinstance(call.get("id"), str) or not call["id"]:
                raise ChatError(400, f"Missing required parameter: '{place}.id'.", f"{place}.id")
            if call.get("type") != "function" or not isinstance(name, str) or not isinstance(arguments, str):
                message = f"Invalid '{place}': expected type function, with a name and arguments that are strings."
                raise ChatError(400, message, place)
            self._open[call["id"]] = name
            self.texts += [name, arguments]

    def _answered(self, where: str, call: Any, text: str) -> None:
        if call not in self._open:
            message = (
                "Invalid parameter: messages with role 'tool' must be a response to a preceding message with"
                " 'tool_calls'."
            )
            raise ChatError(400, message, f"{where}.role")
        self.results.append(Result(self._open.pop(call), text))

    def _check_answered(self) -> None:
        if self._open:
            message = (
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each"
                f" 'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(self._open)}"
            )
            raise ChatError(400, message[:1000], "messages")


# Tools


def _tools(body: Mapping[str, Any]) -> list[Tool]:
    """The functions that are offered; tools of other types are taken and never called. Raises ChatError."""
    offered = body.get("tools")
    if offered is None:
        return []
    if not isinstance(offered, list) or not offered:
        raise ChatError(400, "Invalid 'tools': expected an array with minimum length 1.", "tools", "empty_array")
    found = []
    for index, tool in enumerate(offered):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if not isinstance(kind, str):
            where = f"tools[{index}].type"
            raise ChatError(400, f"Missing required parameter: '{where}'.", where, "missing_required_parameter")
        if kind != "function":
            continue
        inner = tool.get("function")
        name = inner.get("name") if isinstance(inner, dict) else None
        where = f"tools[{index}].function"
        if not isinstance(inner, dict) or name is None:
            named = f"{where}.name"
            raise ChatError(400, f"Missing required parameter: '{named}'.", named, "missing_required_parameter")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            message = f"Invalid '{where}.name': expected a string of letters, digits, _ and -, at most 64 of them."
            raise ChatError(400, message, f"{where}.name", "invalid_value")
        schema = inner.get("parameters")
        if schema is not None and (not isinstance(schema, dict) or schema.get("type", "object") != "object"):
            message = f"Invalid schema for function '{name}': schema must be a JSON Schema of 'type: \"object\"'."
            raise ChatError(400, message, f"{where}.parameters", "invalid_function_parameters")
        found.append(Tool(name, schema))
    return found


def _choice(body: Mapping[str, Any], declared: Sequence[Tool]) -> tuple[str, set[str] | None]:
    """What `tool_choice` says, and the names of the tools to which it limits the model. Raises ChatError."""
    choice = body.get("tool_choice")
    if choice is None:
        return model.AUTO, None
    if not body.get("tools"):
        message = "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified."
        raise ChatError(400, message, "tool_choice")
    names = {tool.name for tool in declared}
    if choice in ("auto", "none", "required"):
        return str(choice), None
    inner = choice.get(str(choice.get("type"))) if isinstance(choice, dict) else None
    if isinstance(inner, dict) and choice["type"] == "function" and inner.get("name") in names:
        return inner["name"], None
    if isinstance(inner, dict) and choice["type"] == "allowed_tools" and inner.get("mode") in ("auto", "required"):
        functions = [tool.get("function") for tool in inner.get("tools") or () if isinstance(tool, dict)]
        allowed = {str(one.get("name")) for one in functions if isinstance(one, dict)}
        if allowed and allowed <= names:
            return inner["mode"], allowed
    message = "Invalid value for 'tool_choice': expected none, auto, required, or one of 'tools'."
    raise ChatError(400, message, "tool_choice", "invalid_value")


def _wrong_type(where: str, expected: str, value: Any) -> ChatError:
    message = f"Invalid type for '{where}': expected {expected}, but got {kind_of(value)} instead."
    return ChatError(400, message, where, "invalid_type")


# Answers


def whole(asked: Asked, answer: Answer, reply: Reply) -> dict[str, Any]:
    """The answer as an object."""
    text = "".join(part.text for part in answer.parts if part.kind == model.TEXT)
    thoughts = "".join(part.text for part in answer.parts if part.kind == THINKING)
    message: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": _refusal(answer)}
    if thoughts:
        message["reasoning_content"] = thoughts
    if answer.calls:
        message["tool_calls"] = [_call(reply, index, call.name, call.text) for index, call in enumerate(answer.calls)]
    elif answer.end != model.REFUSED:
        message["content"] = text
    end = {"logprobs": None, "finish_reason": _ENDS[answer.end]}
    return {
        **_head(asked, reply, "chat.completion"),
        "choices": [{"index": index, "message": message, **end} for index in range(asked.choices)],
        "usage": _usage(asked, answer),
    }


def stream(asked: Asked, answer: Answer, reply: Reply) -> Iterator[bytes]:
    """The answer as server-sent events, one for each token."""
    more = {"usage": None} if asked.has_usage else {}

    def chunk(index: int, delta: Mapping[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event({**_head(asked, reply, "chat.completion.chunk"), "choices": [choice], **more})

    deltas = list(_deltas(answer, reply))
    for index in range(asked.choices):
        yield chunk(index, {"role": "assistant", "content": "", "refusal": None})
        for delta in deltas:
            yield chunk(index, delta)
        yield chunk(index, {}, _ENDS[answer.end])
    if asked.has_usage:
        head = _head(asked, reply, "chat.completion.chunk")
        yield event({**head, "choices": [], "usage": _usage(asked, answer)})
    yield b"data: [DONE]\n\n"


def _deltas(answer: Answer, reply: Reply) -> Iterator[dict[str, Any]]:
    calls = 0
    for part in answer.parts:
        if part.kind == CALL:
            yield {"tool_calls": [{"index": calls, **_call(reply, calls, part.name, "")}]}
            yield from ({"tool_calls": [{"index": calls, "function": {"arguments": one}}]} for one in part.pieces)
            calls += 1
        else:
            member = "reasoning_content" if part.kind == THINKING else "content"
            yield from ({member: piece} for piece in part.pieces)
    if answer.end == model.REFUSED:
        yield {"refusal": answer.detail}


def event(shown: Mapping[str, Any]) -> bytes:
    """An object as a server-sent event."""
    return b"data: " + json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n\n"


def failure(error: ChatError) -> bytes:
    """An error in the middle of a stream."""
    return event(refusals.openai(error))


def models(names: Sequence[str], created: int) -> dict[str, Any]:
    """The list of models."""
    return {"object": "list", "data": [one_model(name, created) for name in names]}


def one_model(name: str, created: int) -> dict[str, Any]:
    """A model."""
    return {"id": name, "object": "model", "created": created, "owned_by": "simulator"}


def _head(asked: Asked, reply: Reply, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{reply.id}", "object": kind, "created": reply.created, "model": asked.model}


def _call(reply: Reply, index: int, name: str, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": f"call_{reply.id}{index:02}", "type": "function", "function": function}


def _refusal(answer: Answer) -> str | None:
    return answer.detail if answer.end == model.REFUSED else None


def _usage(asked: Asked, answer: Answer) -> dict[str, Any]:
    made, read = answer.output_tokens * asked.choices, asked.prompt.input_tokens
    return {
        "prompt_tokens": read,
        "completion_tokens": made,
        "total_tokens": read + made,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": answer.thinking_tokens * asked.choices},
    }
