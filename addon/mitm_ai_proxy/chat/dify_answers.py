"""Reads answers of applications of Dify's, whole and streamed. Source: Dify's API reference."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from ..exchange import Memo
from . import json_values, vendor_errors
from .model import CLOSE, END, PING, Delta, Event, Fault, Media, Open, Reason, Start, Stop, Text, Usage
from .reading import StreamReader, object_of, text_of, whole

OUTPUT: Final = "output_variable"
BOT: Final = "bot_type"
"""Names in the memo: the output of a workflow that is the answer, and the kind of the application."""


class Reader(StreamReader):
    """Reads a stream. Its last event tells that the message, or the workflow, has ended."""

    def __init__(self, memo: Memo) -> None:
        super().__init__()
        self._output = str(memo.get(OUTPUT) or "")
        self._is_workflow = memo.get(BOT) == "Workflow"
        self._id_member = "conversation_id" if memo.get(BOT) in ("Chat", "Agent") else "message_id"
        self._is_open = False
        self._has_text = False
        self._is_replaced = False

    def _event(self, document: dict[str, Any], type: bytes) -> Iterator[Event]:
        kind = document.get("event")
        if kind == "error":
            yield self._failed(vendor_errors.of_value(document) or vendor_errors.broken("ends with an error"))
            return
        if kind is None and (fault := vendor_errors.of_value(document)):
            yield self._failed(fault)
            return
        if not self._has_begun:
            self._has_begun = True
            yield Start(
                _id(document, self._id_member, self._is_workflow), "", vendor_errors.count(document.get("created_at"))
            )
        read = _EVENTS.get(kind) if isinstance(kind, str) else None
        if read is not None:
            yield from read(self, document)

    def _said(self, text: str) -> Iterator[Event]:
        if text:
            if not self._is_open:
                self._is_open = True
                yield Open(Text())
            self._has_text = True
            yield Delta(text)

    def _closed(self) -> Iterator[Event]:
        if self._is_open:
            self._is_open = False
            yield CLOSE

    def _message(self, document: dict[str, Any]) -> Iterator[Event]:
        yield from self._said(text_of(document.get("answer") or ""))

    def _replaced(self, document: dict[str, Any]) -> Iterator[Event]:
        """What was said is replaced, by a moderation of the answer; it cannot be taken back."""
        yield from self._closed()
        self._is_replaced = True
        yield from self._message(document)

    def _file(self, document: dict[str, Any]) -> Iterator[Event]:
        if document.get("type") == "image" and document.get("belongs_to") != "user":
            yield from self._closed()
            yield from (Open(Media("image", url=text_of(document["url"]))), CLOSE)

    def _chunk(self, document: dict[str, Any]) -> Iterator[Event]:
        if self._is_workflow:
            yield from self._said(text_of(object_of(document.get("data")).get("text") or ""))

    def _sign_of_life(self, document: dict[str, Any]) -> Iterator[Event]:
        yield PING

    def _message_end(self, document: dict[str, Any]) -> Iterator[Event]:
        if usage := _usage(document):
            yield usage
        yield from self._ended("refused" if self._is_replaced else "end")

    def _workflow_finished(self, document: dict[str, Any]) -> Iterator[Event]:
        data = object_of(document.get("data"))
        if fault := _failure(data):
            yield self._failed(fault)
        elif self._is_workflow:
            said = "" if self._has_text else _output(data, self._output)
            if said is None:
                yield self._failed(_NO_OUTPUT)
                return
            yield from self._said(said)
            yield from self._ended("end")

    def _ended(self, reason: Reason) -> Iterator[Event]:
        yield from self._closed()
        self._is_over = True
        yield from (Stop(reason), END)


_EVENTS: Final = {
    "message": Reader._message,
    "agent_message": Reader._message,
    "message_replace": Reader._replaced,
    "message_file": Reader._file,
    "text_chunk": Reader._chunk,
    "message_end": Reader._message_end,
    "workflow_started": Reader._sign_of_life,
    "node_started": Reader._sign_of_life,
    "node_finished": Reader._sign_of_life,
    "workflow_finished": Reader._workflow_finished,
}
"""Others, such as thoughts, whose text the messages have too, and speech, are skipped."""


def read_whole(body: bytes, memo: Memo) -> list[Event]:
    """The events of a whole answer; a Fault is the last of them, if there is one."""
    document = whole(body)
    if isinstance(document, Fault):
        return [document]
    is_workflow = memo.get(BOT) == "Workflow"
    data = object_of(document.get("data"))
    try:
        if is_workflow and "status" in data:
            if fault := _failure(data):
                return [fault]
            said = _output(data, str(memo.get(OUTPUT) or ""))
            if said is None:
                return [_NO_OUTPUT]
            text = said
        elif not is_workflow and "answer" in document:
            text = text_of(document["answer"])
        else:
            return [vendor_errors.of_value(document) or vendor_errors.broken("has no answer")]
    except TypeError:
        return [vendor_errors.broken("has an answer that is no text")]
    member = "conversation_id" if memo.get(BOT) in ("Chat", "Agent") else "message_id"
    created = document.get("created_at", data.get("created_at"))
    events: list[Event] = [Start(_id(document, member, is_workflow), "", vendor_errors.count(created))]
    if text:
        events += [Open(Text()), Delta(text), CLOSE]
    if usage := _usage(document):
        events.append(usage)
    return [*events, Stop("end"), END]


def conversation(body: bytes) -> str:
    """The id of the conversation in a whole answer, or in a stream's first event; "" for none."""
    start = body.partition(b"data:")[2].partition(b"\n")[0] if body.lstrip()[:5] in (b"data:", b"event") else body
    try:
        found = object_of(json_values.decode(start)).get("conversation_id")
    except ValueError:
        return ""
    return found if isinstance(found, str) else ""


def _id(document: dict[str, Any], member: str, is_workflow: bool) -> str:
    holder = object_of(document.get("data")) if is_workflow else document
    found = holder.get("workflow_id" if is_workflow else member) or document.get("message_id")
    return found if isinstance(found, str) else ""


def _failure(data: dict[str, Any]) -> Fault | None:
    """The error of a workflow that has failed, or that somebody has stopped."""
    status = data.get("status")
    if status not in ("failed", "stopped"):
        return None
    error = data.get("error")
    why = error if isinstance(error, str) and error else f"The workflow of Dify's has {status}."
    return Fault(502, why[:2000], f"workflow_{status}")


_NO_OUTPUT: Final = vendor_errors.broken("has no output of the name in outputVariable")


def _output(data: dict[str, Any], name: str) -> str | None:
    """The output of a workflow that is the answer: the one of the name, else the only one, else all as JSON.

    None if there is none of the name.
    """
    outputs = object_of(data.get("outputs"))
    if name and name not in outputs:
        return None
    only = next(iter(outputs.values())) if len(outputs) == 1 else outputs
    found = outputs[name] if name else only
    if found is None or isinstance(found, str):
        return found or ""
    return json.dumps(found, ensure_ascii=False)


def _usage(document: dict[str, Any]) -> Usage | None:
    usage = object_of(document.get("metadata")).get("usage")
    if not isinstance(usage, dict):
        return None
    return Usage(vendor_errors.count(usage.get("prompt_tokens")), vendor_errors.count(usage.get("completion_tokens")))
