"""Reads answers of MiniMax's oldest chat API, `chatcompletion_pro`, whole and streamed. Errors have status 200.

Sources: Higress ai-proxy plugin, minimax; MiniMax's API reference, error codes; LangChain's types of this API.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import json_values, openai_answers, vendor_errors
from .model import Event

Json = dict[str, Any]


class Reader(openai_answers.Reader):
    """Reads a stream, whose last event tells the whole text again."""

    def __init__(self, new_id: str) -> None:
        super().__init__(new_id)
        self._text = ""
        self._told = 0

    def _event(self, document: Json, type: bytes) -> Iterator[Event]:
        fault = vendor_errors.of_value(document)
        if fault is not None:
            yield self._failed(fault)
        else:
            yield from super()._event({**document, "choices": self._choices(document)}, type)

    def _choices(self, event: Json) -> list[Json]:
        choices = [_choice(choice, self._told) for choice in (event.get("choices") or ())[:1]]
        for choice in choices:
            text = choice["delta"]["content"]
            if choice["finish_reason"] and text and text == self._text:
                choice["delta"]["content"] = ""
            self._text += choice["delta"]["content"]
            self._told += len(choice["delta"].get("tool_calls") or ())
        return choices


def read_whole(body: bytes, new_id: str) -> list[Event]:
    """The events of a whole answer; a Fault is the last of them, if there is one."""
    try:
        document = json_values.decode(body)
        fault = vendor_errors.of_value(document)
        if fault is not None:
            return [fault]
        choice = _choice(document["choices"][0], 0)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return [vendor_errors.broken("has a member of the wrong form, or is not JSON")]
    return openai_answers.told_whole(document, {**choice, "message": choice["delta"]}, new_id)


def _choice(choice: Json, count: int) -> Json:
    """A choice of OpenAI's: the messages of one of them together."""
    messages = choice.get("messages") or ()
    delta: Json = {"content": "".join(message.get("text") or "" for message in messages)}
    functions = [call for message in messages if isinstance(call := message.get("function_call"), dict)]
    if functions:
        delta["tool_calls"] = [{"index": count + place, "function": call} for place, call in enumerate(functions)]
    return {"index": 0, "delta": delta, "finish_reason": choice.get("finish_reason") or None}
