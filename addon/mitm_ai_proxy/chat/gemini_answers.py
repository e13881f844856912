"""Reads answers of Gemini's generateContent, whole and streamed, at AI Studio and at Vertex.

Sources: Google's Gemini API reference, GenerateContentResponse, thought signatures; the types of its SDK for Python.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from . import json_values, media_data, vendor_errors
from .json_values import Raw
from .model import (
    CLOSE,
    END,
    Call,
    Delta,
    Event,
    Fault,
    Media,
    Open,
    Reason,
    Said,
    Seal,
    Sealed,
    Start,
    Stop,
    Text,
    Thinking,
    Usage,
)
from .reading import StreamReader

VENDOR: Final = "google"
"""Whose seals its signatures are."""
_REASONS: Final[dict[str, Reason]] = {
    "STOP": "end",
    "MAX_TOKENS": "length",
    "SAFETY": "refused",
    "RECITATION": "refused",
    "LANGUAGE": "refused",
    "BLOCKLIST": "refused",
    "PROHIBITED_CONTENT": "refused",
    "SPII": "refused",
    "MODEL_ARMOR": "refused",
    "IMAGE_SAFETY": "refused",
    "IMAGE_PROHIBITED_CONTENT": "refused",
    "IMAGE_RECITATION": "refused",
    "IMAGE_OTHER": "refused",
}
"""Others are an ordinary end."""
_NOT_SAID: Final = frozenset(
    "MALFORMED_FUNCTION_CALL UNEXPECTED_TOOL_CALL TOO_MANY_TOOL_CALLS MISSING_THOUGHT_SIGNATURE MALFORMED_RESPONSE"
    " NO_IMAGE".split()
)
"""Ends of an answer of which a part was thrown away, so that the client has to be told why."""


class Reader(StreamReader):
    """Reads a stream: takes the data of one server-sent event after the other, and gives the events of the model.

    Only the first candidate is read: no other is asked for. `new_id` is for calls to which the vendor gives no id.
    """

    def __init__(self, new_id: str) -> None:
        super().__init__()
        self._new_id = new_id
        self._open: type[Text] | type[Thinking] | None = None
        self._is_sealed = False
        self._calls = 0
        self._reason = ""
        self._stop: Stop | None = None

    def read(self, data: bytes, type: bytes = b"") -> Iterator[Event]:
        """The events in the data of a server-sent event, which may have a type."""
        if self._is_over or not data or data == b"[DONE]":
            return
        try:
            root = json_values.answer_object(data)
        except ValueError as error:
            fault = _of_list(data) or vendor_errors.broken(f"has an event that {error}")
            yield self._failed(fault)
            return
        yield from self.read_object(root)

    def read_object(self, root: dict[str, Raw]) -> Iterator[Event]:
        """The events of a response, or of a part of one."""
        if not self._is_over:
            yield from self._guarded(self._event(root, b""))

    def end(self) -> Iterator[Event]:
        """The stream has ended. It is complete if the vendor has said why."""
        if self._is_over:
            return
        self._is_over = True
        if self._stop is None:
            why = "ended before it was complete" if self._has_begun else "is empty"
            yield vendor_errors.broken(why)
            return
        yield from self._close()
        stop = self._stop
        if self._calls and stop.reason == "end":
            stop = Stop("calls")
        yield stop
        yield END

    def _event(self, root: dict[str, Raw], type: bytes) -> Iterator[Event]:
        if "error" in root:
            fault = vendor_errors.of_value({"error": json_values.decode(bytes(root["error"]))})
            yield self._failed(fault or vendor_errors.broken("ends with an error without a message"))
            return
        if not self._has_begun:
            self._has_begun = True
            id, model = (json_values.text(root.get(name)) or "" for name in ("responseId", "modelVersion"))
            yield Start(id, model)
        candidates = json_values.objects(root["candidates"]) if "candidates" in root else []
        candidate = next((found for found in candidates if bytes(found.get("index", Raw(b"0"))) == b"0"), None)
        if candidate is not None:
            yield from self._candidate(candidate)
        elif "promptFeedback" in root and not self._stop:
            self._blocked(json_values.decode(bytes(root["promptFeedback"])))
        if "usageMetadata" in root:
            yield _usage(json_values.decode(bytes(root["usageMetadata"])))

    def _candidate(self, candidate: dict[str, Raw]) -> Iterator[Event]:
        content = json_values.members(bytes(candidate["content"])) if _is_there(candidate.get("content")) else {}
        for part in json_values.objects(content["parts"]) if _is_there(content.get("parts")) else ():
            yield from self._part(part)
        reason = json_values.text(candidate.get("finishReason"))
        if not reason or reason == "FINISH_REASON_UNSPECIFIED":
            return
        message = json_values.text(candidate.get("finishMessage"))
        found = _REASONS.get(reason, "end")
        self._stop = Stop(found, explanation=message if found == "refused" else None)
        if reason in _NOT_SAID:
            yield from self._close()
            yield Open(Text(is_refusal=True))
            yield Delta(message or f"The model's answer could not be used: {reason}.")
            yield CLOSE

    def _blocked(self, feedback: Any) -> None:
        reason = feedback.get("blockReason")
        if not reason or reason == "BLOCK_REASON_UNSPECIFIED":
            return
        message = feedback.get("blockReasonMessage")
        explanation = message if isinstance(message, str) and message else f"The prompt was blocked: {reason}."
        self._stop = Stop("refused", explanation=explanation)

    def _part(self, part: dict[str, Raw]) -> Iterator[Event]:
        signature = json_values.text(part.get("thoughtSignature"))
        seal = Seal(VENDOR, signature) if signature else None
        if _is_there(part.get("functionCall")):
            yield from self._call(json_values.members(bytes(part["functionCall"])), seal)
        elif _is_there(part.get("inlineData")):
            blob = json_values.decode(bytes(part["inlineData"]))
            yield from self._whole(_media(blob["mimeType"], data=blob["data"], seal=seal))
        elif _is_there(part.get("fileData")):
            file = json_values.decode(bytes(part["fileData"]))
            yield from self._whole(_media(file.get("mimeType") or "", url=file["fileUri"], seal=seal))
        elif "text" in part or seal:
            is_thought = bytes(part.get("thought", Raw(b"false"))) == b"true"
            yield from self._text(Thinking if is_thought else Text, json_values.text(part.get("text")) or "", seal)

    def _text(self, kind: type[Text] | type[Thinking], text: str, seal: Seal | None) -> Iterator[Event]:
        """Text goes on with the open block, unless one of them is sealed: a seal is of its own part only."""
        goes_on = self._open is kind and not self._is_sealed and (seal is None or not text)
        if not (text or seal):
            return
        if not goes_on:
            yield from self._close()
            self._open = kind
            yield Open(kind())
        if text:
            yield Delta(text)
        if seal:
            self._is_sealed = True
            yield Sealed(seal)

    def _call(self, call: dict[str, Raw], seal: Seal | None) -> Iterator[Event]:
        name = json_values.text(call.get("name"))
        if not name:
            raise ValueError("a call without a name")
        id = json_values.text(call.get("id")) or f"call_{self._new_id}_{self._calls}"
        self._calls += 1
        arguments = bytes(call["args"]).decode() if _is_there(call.get("args")) else "{}"
        yield from self._whole(Call(id, name, seal=seal), arguments)

    def _whole(self, block: Said, text: str = "") -> Iterator[Event]:
        yield from self._close()
        yield Open(block)
        if text:
            yield Delta(text)
        yield CLOSE

    def _close(self) -> Iterator[Event]:
        if self._open is not None:
            yield CLOSE
        self._open, self._is_sealed = None, False


def read_whole(body: bytes, new_id: str) -> list[Event]:
    """The events of a whole answer, or of a list of its parts; a Fault is the last of them, if there is one."""
    reader = Reader(new_id)
    events: list[Event] = []
    try:
        for root in _responses(body):
            events += reader.read_object(root)
    except ValueError as error:
        return [vendor_errors.broken(str(error))]
    if not events:
        return [vendor_errors.broken("says nothing")]
    return [*events, *reader.end()]


def _responses(body: bytes) -> Iterable[dict[str, Raw]]:
    """The objects of an answer: one, or a list, as a stream is without `alt=sse`. Raises ValueError."""
    if body.lstrip()[:1] != b"[":
        return [json_values.answer_object(body)]
    try:
        return json_values.objects(Raw(body))
    except ValueError:
        raise ValueError("is no list of objects") from None


def _of_list(data: bytes) -> Fault | None:
    """The error in an event that is a list."""
    try:
        return vendor_errors.of_value(json_values.decode(data))
    except ValueError:
        return None


def _media(type: str, *, data: str = "", url: str = "", seal: Seal | None = None) -> Media:
    if not isinstance(type, str) or not isinstance(data, str) or not isinstance(url, str):
        raise TypeError
    return Media(media_data.kind_of(type), type, data, url=url, seal=seal)


def _is_there(value: Raw | None) -> bool:
    return value is not None and bytes(value) != b"null"


def _usage(told: Any) -> Usage:
    """Gemini's candidates are counted without what was thought, and its prompt without the results of its own tools."""
    if not isinstance(told, dict):
        raise TypeError
    count = vendor_errors.count
    prompt, tools = count(told.get("promptTokenCount")), count(told.get("toolUsePromptTokenCount"))
    said, thought = count(told.get("candidatesTokenCount")), count(told.get("thoughtsTokenCount"))
    return Usage(
        None if prompt is None else prompt + (tools or 0),
        None if said is None and thought is None else (said or 0) + (thought or 0),
        count(told.get("cachedContentTokenCount")),
        reasoning=thought,
    )
