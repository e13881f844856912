"""Reads answers to chats of DashScope's own API, whole and streamed: OpenAI's choices in a frame of its own.

Sources: DashScope's API reference, text generation and multimodal generation; its SDK for Python.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import json_values, openai_answers, vendor_errors
from .model import Event

Json = dict[str, Any]


class Reader(openai_answers.Reader):
    """Reads a stream. There is no [DONE]: it is complete if the vendor has said why."""

    def _event(self, document: Json, type: bytes) -> Iterator[Event]:
        yield from super()._event(_chunk(document) if "output" in document else document, type)


def read_whole(body: bytes, new_id: str) -> list[Event]:
    """The events of a whole answer; a Fault is the last of them, if there is one."""
    try:
        document = json_values.decode(body)
        if not isinstance(document, dict) or not isinstance(document.get("output"), dict):
            return [vendor_errors.of_value(document) or vendor_errors.broken("has no output")]
        chunk = _chunk(document)
        choices = chunk["choices"]
        if not choices:
            return [vendor_errors.of_value(document) or vendor_errors.broken("has no choices")]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return [vendor_errors.broken("has a member of the wrong form, or is not JSON")]
    choice = {**choices[0], "message": choices[0]["delta"]}
    return openai_answers.told_whole(chunk, choice, new_id)


def _chunk(event: Json) -> Json:
    """The chunk of OpenAI's that an event is."""
    output = event["output"]
    choices = output.get("choices")
    if choices is None and isinstance(output.get("text"), str):
        # The older form of answers, with text alone.
        choices = [{"message": {"content": output["text"]}, "finish_reason": output.get("finish_reason")}]
    chunk: Json = {
        "id": event.get("request_id") or "",
        "choices": [_choice(choice) for choice in (choices or ())[:1]],
    }
    if isinstance(usage := event.get("usage"), dict):
        chunk["usage"] = _usage(usage)
    return chunk


def _choice(choice: Json) -> Json:
    message = dict(choice["message"])
    content = message.get("content")
    if isinstance(content, list):
        message["content"] = "".join(part.get("text") or "" for part in content)
        pictures = [{"image_url": {"url": part["image"]}} for part in content if part.get("image")]
        if pictures:
            message["images"] = pictures
    return {"index": 0, "delta": message, "finish_reason": choice.get("finish_reason")}


def _usage(usage: Json) -> Json:
    return {
        "prompt_tokens": usage.get("input_tokens"),
        "completion_tokens": usage.get("output_tokens"),
        "prompt_tokens_details": usage.get("prompt_tokens_details"),
        "completion_tokens_details": usage.get("output_tokens_details"),
        "cached_tokens": usage.get("cached_tokens"),
    }
