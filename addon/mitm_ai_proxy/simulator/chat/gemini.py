"""Gemini's generateContent as AI Studio and Vertex AI have it: what a request asks, whole answers and streams.

Sources: types of Google's SDK, its API reference, and error messages that users have published.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from . import model, seals, talk
from .asked import Asked, Reply
from .model import CALL, THINKING, Answer, Part, Prompt, Result, Tool
from .refusals import ChatError
from .talk import Json, Talk

_KNOWN: Final = frozenset(
    "contents systemInstruction tools toolConfig safetySettings generationConfig cachedContent labels model store"
    " serviceTier".split()
)
_UNKNOWN: Final = 'Invalid JSON payload received. Unknown name "{}": Cannot find field.'
_DATA: Final = frozenset(
    "text inlineData fileData functionCall functionResponse executableCode codeExecutionResult".split()
)
_FREE: Final = frozenset(
    "args response parameters parametersJsonSchema responseSchema responseJsonSchema labels".split()
)
"""Members whose own members have names of the client's."""
_SIGNED: Final = "gemini-3"
"""What the names of models begin with that refuse a call without its signature."""
_ENDS: Final[Mapping[str, str]] = {model.LENGTH: "MAX_TOKENS", model.REFUSED: "SAFETY"}
"""Others are STOP."""
_STATUSES: Final[Mapping[int, str]] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def read(body: Json, name: str, streams: bool) -> Asked:
    """What a request asks. Raises ChatError as the vendor would."""
    body = _camel(body)
    prompt, own_text = _prompt(body, name)
    thinking = talk.object_in(talk.object_in(body, "generationConfig"), "thinkingConfig")
    return Asked(name, prompt, own_text, streams, True, 1, thinking.get("includeThoughts") is True)


def count(body: Json, name: str) -> dict[str, Any]:
    """The answer to countTokens. Raises ChatError."""
    body = _camel(body)
    wanted = talk.object_in(body, "generateContentRequest") or body
    return {"totalTokens": _prompt(wanted, name)[0].input_tokens}


def _camel(value: Any) -> Any:
    """A value with the names of its members in camelCase: Google takes snake_case too."""
    if isinstance(value, list):
        return [_camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    named = {re.sub("_([a-z])", lambda found: found[1].upper(), name): item for name, item in value.items()}
    return {name: item if name in _FREE else _camel(item) for name, item in named.items()}


def _prompt(body: Json, name: str) -> tuple[Prompt, str]:
    talk.check_known(body, _KNOWN, _UNKNOWN)
    if not body.get("contents"):
        raise ChatError(400, "* GenerateContentRequest.contents: contents is not specified\n", "contents")
    said = Talk()
    system = talk.object_in(body, "systemInstruction")
    said.texts += [
        part["text"] for part in talk.objects(system.get("parts"), "parts") if isinstance(part.get("text"), str)
    ]
    for index, content in enumerate(talk.objects(body["contents"], "contents")):
        _content(said, content, f"contents[{index}]", name)
    config = talk.object_in(body, "generationConfig")
    talk.check_numbers(config, {"temperature": (0, 2), "topP": (0, 1), "topK": (1, 1e9)})
    declared = [
        tool
        for found in talk.objects(body.get("tools"), "tools")
        for tool in talk.objects(found.get("functionDeclarations"), "functionDeclarations")
    ]
    tools = [_tool(tool) for tool in declared]
    choice, allowed = _choice(talk.object_in(talk.object_in(body, "toolConfig"), "functionCallingConfig"), tools)
    thinking = talk.object_in(config, "thinkingConfig")
    prompt = said.prompt(
        [tool for tool in tools if allowed is None or tool.name in allowed],
        declared,
        choice=choice,
        thinks=bool(thinking) and thinking.get("thinkingBudget") != 0,
        max_tokens=talk.limit_in(config, "maxOutputTokens"),
        stops=config.get("stopSequences") or (),
        form=_form(config),
    )
    return prompt, said.own_text


def _content(said: Talk, content: Json, where: str, name: str) -> None:
    role = content.get("role", "user")
    if role not in ("user", "model"):
        raise ChatError(400, "Please use a valid role: user, model.", where)
    texts: list[str] = []
    results: list[Result] = []
    calls = 0
    for part in talk.objects(content.get("parts"), f"{where}.parts"):
        kinds = _DATA & part.keys()
        if len(kinds) != 1:
            message = f"* GenerateContentRequest.{where}.parts: each part must have exactly one initialized field\n"
            raise ChatError(400, message, where)
        (kind,) = kinds
        value = part[kind]
        if kind == "text":
            texts += [] if part.get("thought") else [talk.text_in(part, "text")]
        elif kind == "functionCall":
            _check_call(part, value, name, is_first=not calls)
            calls += 1
        elif kind == "functionResponse":
            results.append(_result(value))
        else:
            said.files += 1
    said.user(texts, results) if role == "user" else said.other(texts)


def _check_call(part: Json, call: Any, name: str, *, is_first: bool) -> None:
    """Raise ChatError for a call whose signature is missing, of a model that wants it, or wrong."""
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        raise ChatError(400, "functionCall: expected a name", "functionCall")
    signature = part.get("thoughtSignature")
    if signature is None and is_first and name.startswith(_SIGNED):
        shown = call["name"][:100]
        message = f"Function call is missing a thought_signature in functionCall parts. Function call `{shown}`."
        raise ChatError(400, message, "thoughtSignature")
    # Google's SDK writes bytes in the alphabet for URLs.
    told = str(signature).translate(str.maketrans("-_", "+/"))
    if signature is not None and not seals.is_genuine(told, _sealed(call["name"], call.get("args") or {})):
        raise ChatError(400, "Thought signature is not valid.", "thoughtSignature")


def _sealed(name: str, arguments: Any) -> str:
    return f"{name} {json.dumps(arguments, sort_keys=True)}"


def _result(value: Any) -> Result:
    response = value.get("response") if isinstance(value, dict) else None
    if not isinstance(response, dict) or not isinstance(value.get("name"), str):
        raise ChatError(400, "functionResponse: expected a name and an object response", "functionResponse")
    for name in ("output", "error", "result"):
        if isinstance(response.get(name), str):
            return Result(value["name"], response[name], name == "error")
    return Result(value["name"], json.dumps(response, ensure_ascii=False))


def _tool(declared: Json) -> Tool:
    schema = declared.get("parametersJsonSchema") or _lower(declared.get("parameters"))
    return Tool(talk.text_in(declared, "name"), schema)


def _lower(schema: Any) -> Any:
    """A schema of the OpenAPI subset, whose types may be in capitals, as JSON Schema."""
    if isinstance(schema, dict):
        return {
            name: value.lower() if name == "type" and isinstance(value, str) else _lower(value)
            for name, value in schema.items()
        }
    return [_lower(item) for item in schema] if isinstance(schema, list) else schema


def _choice(config: Json, tools: Sequence[Tool]) -> tuple[str, set[str] | None]:
    mode = config.get("mode", "AUTO")
    allowed = set(config.get("allowedFunctionNames") or ()) or None
    if mode not in ("AUTO", "ANY", "NONE", "VALIDATED"):
        raise ChatError(400, f"Invalid value at 'tool_config.function_calling_config.mode': {str(mode)[:100]}")
    if allowed and not allowed <= {tool.name for tool in tools}:
        raise ChatError(400, "allowed_function_names should be a subset of the declared functions.")
    return {"ANY": model.REQUIRED, "NONE": model.NONE}.get(mode, model.AUTO), allowed


def _form(config: Json) -> Any:
    schema = config.get("responseJsonSchema") or _lower(config.get("responseSchema"))
    if schema is not None and config.get("responseMimeType") != "application/json":
        raise ChatError(400, "A response schema is only allowed with the response mime type application/json.")
    return schema or (True if config.get("responseMimeType") == "application/json" else None)


# Answers


def whole(asked: Asked, answer: Answer, reply: Reply) -> dict[str, Any]:
    """The answer as an object."""
    if answer.end == model.REFUSED and not asked.is_stream:
        return {
            **_head(asked, reply),
            "promptFeedback": {"blockReason": "SAFETY"},
            "usageMetadata": _usage(asked, answer),
        }
    return _response(asked, answer, reply, list(_parts(asked, answer)), answer.end)


def stream(asked: Asked, answer: Answer, reply: Reply) -> Iterator[bytes]:
    """The answer as server-sent events, one for each token; a call comes in one piece."""
    for part in _parts(asked, answer, in_pieces=True):
        yield event(_response(asked, answer, reply, [part]))
    yield event(_response(asked, answer, reply, [{"text": ""}], answer.end))


def _parts(asked: Asked, answer: Answer, *, in_pieces: bool = False) -> Iterator[dict[str, Any]]:
    calls = 0
    for part in answer.parts:
        if part.kind == CALL:
            yield _call(part, is_first=not calls)
            calls += 1
        elif part.kind != THINKING or asked.shows_thoughts:
            more = {"thought": True} if part.kind == THINKING else {}
            yield from ({"text": text, **more} for text in (part.pieces if in_pieces else (part.text,)))


def _call(part: Part, *, is_first: bool) -> dict[str, Any]:
    try:
        arguments = json.loads(part.text)
    except ValueError:
        arguments = {}  # cut off by maxOutputTokens
    signed = {"thoughtSignature": seals.seal(_sealed(part.name, arguments))} if is_first else {}
    return {"functionCall": {"name": part.name, "args": arguments}, **signed}


def _head(asked: Asked, reply: Reply) -> dict[str, Any]:
    return {"modelVersion": asked.model, "responseId": reply.id}


def _response(
    asked: Asked, answer: Answer, reply: Reply, parts: Sequence[Mapping[str, Any]], end: str = ""
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if end:
        candidate["finishReason"] = _ENDS.get(end, "STOP")
    return {"candidates": [candidate], "usageMetadata": _usage(asked, answer), **_head(asked, reply)}


def _usage(asked: Asked, answer: Answer) -> dict[str, int]:
    read, thought = asked.prompt.input_tokens, answer.thinking_tokens
    said = answer.output_tokens - thought
    usage = {"promptTokenCount": read, "candidatesTokenCount": said, "totalTokenCount": read + said + thought}
    return {**usage, "thoughtsTokenCount": thought} if thought else usage


def event(shown: Mapping[str, Any]) -> bytes:
    """An object as a server-sent event, as Google ends its lines."""
    data = json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return b"data: " + data + b"\r\n\r\n"


def error(refused: ChatError) -> tuple[int, dict[str, Any]]:
    """Google's error: a wrong key is 400 there."""
    status = 400 if refused.status == 401 and refused.code == "invalid_api_key" else refused.status
    shown: dict[str, Any] = {
        "code": status,
        "message": refused.message,
        "status": _STATUSES.get(status, "UNKNOWN" if status >= 500 else "FAILED_PRECONDITION"),
    }
    if status != refused.status:
        shown["details"] = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
    return status, {"error": shown}


def failure(refused: ChatError) -> bytes:
    """An error in the middle of a stream."""
    return event(error(refused)[1])


def models(names: Sequence[str], *, at_vertex: bool) -> dict[str, Any]:
    """The list of models, as AI Studio or Vertex AI has it."""
    if at_vertex:
        return {"publisherModels": [{"name": f"publishers/google/models/{name}"} for name in names]}
    methods = ["generateContent", "countTokens"]
    shown = [{"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": methods} for name in names]
    return {"models": shown}
