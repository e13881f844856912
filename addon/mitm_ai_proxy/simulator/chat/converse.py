"""Bedrock's Converse, and Claude's Messages through InvokeModel: what a request asks, whole answers and streams.

Sources: Amazon Bedrock's API reference and botocore's model of it; Smithy's event stream encoding.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from zlib import crc32

from . import messages, model, seals, talk
from .asked import Asked, Reply
from .model import CALL, THINKING, Answer, Part, Prompt, Result, Tool
from .refusals import ChatError
from .talk import Json, Talk

STREAM_TYPE: Final = "application/vnd.amazon.eventstream"
_KNOWN: Final = frozenset(
    "messages system inferenceConfig toolConfig additionalModelRequestFields additionalModelResponseFieldPaths"
    " guardrailConfig performanceConfig promptVariables requestMetadata serviceTier outputConfig".split()
)
_UNKNOWN: Final = "1 validation error detected: {} is no member of the request"
_FILES: Final = ("image", "document", "video", "audio")
_ENDS: Final[Mapping[str, str]] = {
    model.END: "end_turn",
    model.STOP_SEQUENCE: "stop_sequence",
    model.LENGTH: "max_tokens",
    model.CALLS: "tool_use",
    model.REFUSED: "content_filtered",
}
_EXCEPTIONS: Final[Mapping[int, str]] = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}
_VERSION: Final = "2023-06-01"
_ANTHROPIC_VERSIONS: Final = ("bedrock-2023-05-31", "vertex-2023-10-16", _VERSION)


def read(body: Json, name: str, streams: bool) -> Asked:
    """What a request asks. Raises ChatError as the vendor would."""
    prompt, own_text = _prompt(body)
    return Asked(name, prompt, own_text, streams, True)


def count(body: Json, _name: str) -> dict[str, Any]:
    """The answer to CountTokens. Raises ChatError."""
    return {"inputTokens": _prompt(talk.object_in(talk.object_in(body, "input"), "converse"))[0].input_tokens}


def _prompt(body: Json) -> tuple[Prompt, str]:
    talk.check_known(body, _KNOWN, _UNKNOWN)
    said = Talk()
    said.texts += [
        part["text"] for part in talk.objects(body.get("system"), "system") if isinstance(part.get("text"), str)
    ]
    turns = list(talk.objects(body.get("messages"), "messages"))
    if not turns:
        raise ChatError(400, "A conversation must have at least one message.", "messages")
    names: dict[str, str] = {}
    open_calls: list[str] = []
    for index, turn in enumerate(turns):
        role = turn.get("role")
        if role != ("user", "assistant")[index % 2]:
            words = "A conversation must alternate between user and assistant roles, and start with a user message."
            raise ChatError(400, words, f"messages.{index}.role")
        open_calls = _turn(said, turn, f"messages.{index}", names, open_calls)
    if open_calls:
        raise ChatError(400, "Expected toolResult blocks for the following Ids: " + ", ".join(open_calls))
    config = talk.object_in(body, "inferenceConfig")
    talk.check_numbers(config, {"temperature": (0, 1), "topP": (0, 1)})
    offered = talk.object_in(body, "toolConfig")
    declared = [tool["toolSpec"] for tool in talk.objects(offered.get("tools"), "tools") if "toolSpec" in tool]
    if names and not declared:
        raise ChatError(400, "The toolConfig field must be defined when using toolUse and toolResult content blocks.")
    tools = [Tool(talk.text_in(tool, "name"), talk.object_in(tool, "inputSchema").get("json")) for tool in declared]
    prompt = said.prompt(
        tools,
        declared,
        choice=_choice(talk.object_in(offered, "toolChoice"), [tool.name for tool in tools]),
        thinks=_thinks(talk.object_in(body, "additionalModelRequestFields")),
        max_tokens=talk.limit_in(config, "maxTokens"),
        stops=config.get("stopSequences") or (),
        form=_form(talk.object_in(talk.object_in(body, "outputConfig"), "textFormat")),
    )
    return prompt, said.own_text


def _turn(said: Talk, turn: Json, where: str, names: dict[str, str], open_calls: list[str]) -> list[str]:
    """Add a turn; gives the ids of the calls in it, which the next one has to answer."""
    texts: list[str] = []
    results: list[Result] = []
    answered, calls = [], []
    for block in talk.objects(turn.get("content"), f"{where}.content"):
        if "text" in block:
            text = talk.text_in(block, "text")
            if not text.strip():
                raise ChatError(400, f"The text field in the ContentBlock object at {where} is blank.", where)
            texts.append(text)
        elif "toolUse" in block:
            use = talk.object_in(block, "toolUse")
            calls.append(talk.text_in(use, "toolUseId"))
            names[calls[-1]] = talk.text_in(use, "name")
            if not isinstance(use.get("input"), dict):
                raise ChatError(400, f"The value at {where}.toolUse.input is not an object.", where)
        elif "toolResult" in block:
            result = talk.object_in(block, "toolResult")
            answered.append(talk.text_in(result, "toolUseId"))
            results.append(_result(result, names.get(answered[-1], "")))
        elif "reasoningContent" in block:
            _check_thinking(talk.object_in(block, "reasoningContent"))
        elif any(name in block for name in _FILES):
            said.files += 1
        elif "cachePoint" not in block and "guardContent" not in block:
            raise ChatError(400, f"The content block at {where} is of no known type.", where)
    if sorted(answered) != sorted(open_calls):
        missing = [id for id in open_calls if id not in answered] or answered
        raise ChatError(
            400, f"Expected toolResult blocks at {where}.content for the following Ids: {', '.join(missing)}"
        )
    if turn["role"] == "user":
        said.user(texts, results)
    else:
        said.other(texts)
    return calls


def _result(result: Json, name: str) -> Result:
    parts = talk.objects(result.get("content"), "toolResult.content")
    told = [part["text"] if "text" in part else json.dumps(part.get("json"), ensure_ascii=False) for part in parts]
    return Result(name, "\n".join(map(str, told)), result.get("status") == "error")


def _check_thinking(reasoning: Json) -> None:
    """Raise ChatError for thoughts whose signature or text was changed on their way back."""
    told = talk.object_in(reasoning, "reasoningText")
    if told and not seals.is_genuine(str(told.get("signature")), str(told.get("text", ""))):
        raise ChatError(400, "Invalid signature in reasoningContent block.", "reasoningContent")


def _choice(choice: Json, names: Sequence[str]) -> str:
    if "tool" in choice:
        return talk.choice_of(names, talk.text_in(talk.object_in(choice, "tool"), "name"))
    return model.REQUIRED if "any" in choice else model.AUTO


def _thinks(more: Json) -> bool:
    thinking = more.get("thinking") or more.get("reasoningConfig") or more.get("reasoning_config")
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    return kind in ("enabled", "adaptive") or bool(more.get("reasoning_effort"))


def _form(form: Json) -> Any:
    if not form:
        return None
    schema = talk.object_in(talk.object_in(form, "structure"), "jsonSchema").get("schema")
    try:
        return json.loads(schema) if isinstance(schema, str) else True
    except ValueError:
        raise ChatError(400, "The schema of outputConfig.textFormat is not valid JSON.", "outputConfig") from None


# Answers


def whole(asked: Asked, answer: Answer, reply: Reply) -> dict[str, Any]:
    """The answer as an object."""
    blocks = [_block(part, reply, index) for index, part in enumerate(answer.parts)]
    return {
        "output": {"message": {"role": "assistant", "content": blocks}},
        "stopReason": _ENDS[answer.end],
        "usage": _usage(asked, answer),
        "metrics": {"latencyMs": 1},
    }


def stream(asked: Asked, answer: Answer, reply: Reply) -> Iterator[bytes]:
    """The answer as messages of Amazon's event stream, one for each token."""
    yield frame("messageStart", {"role": "assistant"})
    for index, part in enumerate(answer.parts):
        at = {"contentBlockIndex": index}
        if part.kind == CALL:
            start = {"toolUse": {"toolUseId": _id(reply, index), "name": part.name}}
            yield frame("contentBlockStart", {"start": start, **at})
        for piece in part.pieces:
            yield frame("contentBlockDelta", {"delta": _delta(part.kind, piece), **at})
        if part.kind == THINKING:
            signature = {"reasoningContent": {"signature": seals.seal(part.text)}}
            yield frame("contentBlockDelta", {"delta": signature, **at})
        yield frame("contentBlockStop", at)
    yield frame("messageStop", {"stopReason": _ENDS[answer.end]})
    yield frame("metadata", {"usage": _usage(asked, answer), "metrics": {"latencyMs": 1}})


def _block(part: Part, reply: Reply, index: int) -> dict[str, Any]:
    if part.kind == CALL:
        try:
            arguments = json.loads(part.text)
        except ValueError:
            arguments = {}  # cut off by maxTokens
        return {"toolUse": {"toolUseId": _id(reply, index), "name": part.name, "input": arguments}}
    if part.kind == THINKING:
        return {"reasoningContent": {"reasoningText": {"text": part.text, "signature": seals.seal(part.text)}}}
    return {"text": part.text}


def _delta(kind: str, piece: str) -> dict[str, Any]:
    if kind == CALL:
        return {"toolUse": {"input": piece}}
    return {"reasoningContent": {"text": piece}} if kind == THINKING else {"text": piece}


def _id(reply: Reply, index: int) -> str:
    return f"tooluse_{reply.id}{index:02}"


def _usage(asked: Asked, answer: Answer) -> dict[str, int]:
    read, said = asked.prompt.input_tokens, answer.output_tokens
    return {"inputTokens": read, "outputTokens": said, "totalTokens": read + said}


def error(refused: ChatError) -> tuple[int, dict[str, Any]]:
    """AWS's error."""
    return refused.status, {"__type": _exception(refused.status), "message": refused.message}


def failure(refused: ChatError) -> bytes:
    """An exception in the middle of a stream."""
    name = _exception(refused.status)
    return frame(name[0].lower() + name[1:], {"message": refused.message}, kind="exception")


def _exception(status: int) -> str:
    return _EXCEPTIONS.get(status, "InternalServerException" if status >= 500 else "ValidationException")


def frame(name: str, shown: Json, kind: str = "event") -> bytes:
    """A message of Amazon's event stream."""
    fields = {f":{kind}-type": name, ":content-type": "application/json", ":message-type": kind}
    headers = b"".join(_field(*field) for field in fields.items())
    payload = json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    prelude = struct.pack(">II", len(headers) + len(payload) + 16, len(headers))
    head = prelude + struct.pack(">I", crc32(prelude)) + headers + payload
    return head + struct.pack(">I", crc32(head))


def _field(name: str, value: str) -> bytes:
    return struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", 7, len(value)) + value.encode()


def models(names: Sequence[str]) -> dict[str, Any]:
    """The list of models."""
    return {"modelSummaries": [{"modelId": name, "modelName": name, "providerName": "simulator"} for name in names]}


# Claude's Messages, whose model is in the path


def read_message(body: Json, name: str, streams: bool) -> Asked:
    """What a request of Anthropic's Messages asks that another cloud takes. Raises ChatError."""
    if body.get("anthropic_version") not in _ANTHROPIC_VERSIONS:
        raise ChatError(400, "anthropic_version: Field required", "anthropic_version")
    given = {key: value for key, value in body.items() if key not in ("anthropic_version", "anthropic_beta")}
    return messages.read({**given, "model": name, "stream": streams}, _VERSION)


def count_message(body: Json, _name: str) -> dict[str, Any]:
    """The answer to a count of its tokens. Raises ChatError."""
    given = {key: value for key, value in body.items() if key not in ("anthropic_version", "anthropic_beta")}
    return {"input_tokens": messages.read(given, _VERSION, counts=True).prompt.input_tokens}


def stream_message(asked: Asked, answer: Answer, reply: Reply) -> Iterator[bytes]:
    """The events of a Message, each in a message of Amazon's event stream."""
    for piece in messages.stream(asked, answer, reply):
        data = piece.partition(b"data: ")[2].strip()
        yield frame("chunk", {"bytes": base64.b64encode(data).decode()})
