"""Reads answers of ChatCompletions, the API of Hunyuan at Tencent Cloud. Errors have status 200.

Sources: Tencent Cloud API, Hunyuan 2023-09-01 and common errors; the types of its SDK for Python.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import json_values, openai_answers, vendor_errors
from .model import Event, Fault

Json = dict[str, Any]


class Reader(openai_answers.Reader):
    """Reads a stream, whose events have no frame, but for an error that is the only one."""

    def _event(self, document: Json, type: bytes) -> Iterator[Event]:
        inner = document.get("Response", document)
        fault = _fault(inner)
        if fault is not None:
            yield self._failed(fault)
        else:
            yield from super()._event(_chunk(inner), type)


def read_whole(body: bytes, new_id: str) -> list[Event]:
    """The events of a whole answer; a Fault is the last of them, if there is one."""
    try:
        inner = json_values.decode(body)["Response"]
        fault = _fault(inner)
        if fault is not None:
            return [fault]
        chunk = _chunk(inner)
        choice = chunk["choices"][0]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return [vendor_errors.broken("has a member of the wrong form, or is not JSON")]
    return openai_answers.told_whole(chunk, {**choice, "message": choice["delta"]}, new_id)


def read_error(body: bytes, status: int) -> Fault:
    """The error in an answer that is no success."""
    try:
        fault = _fault(json_values.decode(body)["Response"])
    except (KeyError, TypeError, ValueError, AttributeError):
        fault = None
    return fault or vendor_errors.read(body, status)


def fault_of(document: Any) -> Fault | None:
    """The error in the frame of an answer; None if there is none."""
    return _fault(document["Response"]) if isinstance(document, dict) and "Response" in document else None


def _fault(response: Json) -> Fault | None:
    """The error in the frame of an answer, or in an event."""
    error = response.get("Error")
    id = str(response.get("RequestId") or "")
    if isinstance(error, dict):
        code = str(error.get("Code") or "")
        return Fault(vendor_errors.status_of(code), str(error.get("Message") or code), code, id)
    error = response.get("ErrorMsg")
    if isinstance(error, dict) and (error.get("Msg") or error.get("Code")):
        code = str(error.get("Code") or "")
        return Fault(vendor_errors.status_of(code), str(error.get("Msg") or code), code, id)
    return None


def _chunk(response: Json) -> Json:
    """The chunk of OpenAI's that an event is."""
    usage = response.get("Usage") or {}
    names = {"prompt_tokens": "PromptTokens", "completion_tokens": "CompletionTokens"}
    counted = {"usage": {name: usage.get(theirs) for name, theirs in names.items()}} if usage else {}
    return {
        "id": response.get("Id") or "",
        "created": response.get("Created"),
        "choices": [_choice(choice) for choice in (response.get("Choices") or ())[:1]],
        **counted,
    }


def _choice(choice: Json) -> Json:
    told = choice.get("Delta") or choice.get("Message") or {}
    delta: Json = {"content": told.get("Content") or ""}
    if thought := told.get("ReasoningContent"):
        delta["reasoning_content"] = thought
    if calls := told.get("ToolCalls"):
        delta["tool_calls"] = [_call(call, index) for index, call in enumerate(calls)]
    return {"index": 0, "delta": delta, "finish_reason": choice.get("FinishReason") or None}


def _call(call: Json, place: int) -> Json:
    function = call.get("Function") or {}
    named = {"name": function.get("Name"), "arguments": function.get("Arguments")}
    return {"index": call.get("Index", place), "id": call.get("Id"), "function": named}
