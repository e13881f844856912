"""Reads answers of OpenAI's chat completions API, whole and streamed, from compatible providers of all kinds.

Only the first choice is read: no other is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from . import json_values, media_data, vendor_errors
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
    Seal,
    Start,
    Stop,
    Text,
    Thinking,
    Usage,
)
from .reading import StreamReader, object_of, whole

_DONE: Final = b"[DONE]"
_REASONS: Final[dict[str, Reason]] = {
    "stop": "end",
    "eos": "end",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "calls",
    "function_call": "calls",
    "content_filter": "refused",
    "sensitive": "refused",
}
"""OpenAI's words, and those of Mistral, Together and Zhipu. Others are an ordinary end."""
_FAILURES: Final = frozenset({"error", "network_error"})


class Reader(StreamReader):
    """Reads a stream.

    Calls that are told mixed are put one after another: a second one begins when the arguments of the first are
    complete, and until then it is kept. `new_id` is for calls to which the vendor gives none.
    """

    def __init__(self, new_id: str) -> None:
        super().__init__()
        self._new_id = new_id
        self._open: str | _Call | None = None  # "text", "thinking", "refusal" or a call
        self._calls: dict[int, _Call] = {}
        self._count = 0
        self._late: list[_Call | Media | tuple[str, str]] = []
        self._reason: Reason | None = None
        self._sequence: str | None = None
        self._has_refusal = False

    def read(self, data: bytes, type: bytes = b"") -> Iterator[Event]:
        """The events in the data of a server-sent event, which may have a type."""
        if data != _DONE:
            yield from super().read(data, type)
        elif not self._is_over:
            yield from self._finish("stop")

    def end(self) -> Iterator[Event]:
        """The stream has ended. It is complete if the vendor has said why; several send no [DONE]."""
        if self._reason is None or self._is_over:
            yield from super().end()
        else:
            yield from self._finish("")

    def _event(self, document: dict[str, Any], type: bytes) -> Iterator[Event]:
        choices = document.get("choices")
        if not choices or document.get("error") or type == b"error":
            fault = vendor_errors.of_value(document)
            if fault or type == b"error":
                yield self._failed(fault or vendor_errors.broken("ends with an error without a message"))
                return
        yield from self._chunk(document, choices if isinstance(choices, list) else [])

    def _chunk(self, chunk: dict[str, Any], choices: list[Any]) -> Iterator[Event]:
        if not self._has_begun and (choices or chunk.get("id")):
            self._has_begun = True
            yield _start(chunk)
        choice = next((found for found in choices if not found.get("index")), None)
        if choice is not None:
            yield from self._delta(choice.get("delta") or choice.get("message") or {})
            reason = choice.get("finish_reason")
            if reason and reason != "null":
                if reason in _FAILURES:
                    yield self._failed(vendor_errors.broken("ends with an error"))
                    return
                self._reason = _REASONS.get(reason, "end")
                self._sequence = _sequence(choice)
        usage = _usage(chunk, choice)
        if usage is not None:
            yield usage

    def _delta(self, delta: dict[str, Any]) -> Iterator[Event]:
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if thought and isinstance(thought, str):
            yield from self._grow("thinking", thought)
        content = delta.get("content")
        if content:
            if isinstance(content, str):
                yield from self._grow("text", content)
            else:
                for kind, text in _parts(content):
                    yield from self._grow(kind, text)
        refusal = delta.get("refusal")
        if refusal and isinstance(refusal, str):
            self._has_refusal = True
            yield from self._grow("refusal", refusal)
        for image in delta.get("images") or ():
            yield from self._show(_picture(image["image_url"]["url"]))
        for call in delta.get("tool_calls") or ():
            yield from self._call(call)

    def _is_busy(self) -> bool:
        """Whether a call is being told, or something waits for the end of one, so that what comes has to wait too."""
        return bool(self._late) or (isinstance(self._open, _Call) and not self._open.is_complete())

    def _show(self, media: Media) -> Iterator[Event]:
        if self._is_busy():
            self._late.append(media)
            return
        if self._open is not None:
            yield self._close()
        yield Open(media)
        yield CLOSE

    def _grow(self, kind: str, text: str) -> Iterator[Event]:
        if self._open != kind:
            if self._is_busy():
                self._late.append((kind, text))
                return
            if self._open is not None:
                yield self._close()
            self._open = kind
            yield Open(Thinking() if kind == "thinking" else Text(is_refusal=kind == "refusal"))
        yield Delta(text)

    def _close(self) -> Event:
        if isinstance(self._open, _Call):
            self._open.is_closed = True
        self._open = None
        return CLOSE

    def _call(self, told: dict[str, Any]) -> Iterator[Event]:
        function = told.get("function") or {}
        name, arguments = str(function.get("name") or ""), function.get("arguments") or ""
        if not isinstance(arguments, str):  # some vendors send the object itself
            arguments = json_values.encode(arguments).decode()
        call = self._found(told, name)
        call.name = call.name or name
        if call is self._open:
            if arguments:
                call.pieces.append(arguments)
                yield Delta(arguments)
            return
        if call.is_closed:
            if arguments:
                raise ValueError("arguments of a call that is complete")
            return
        call.seal = call.seal or _google_seal(told)
        call.pieces += [arguments] if arguments else []
        if call.name and not self._is_busy():
            if self._open is not None:
                yield self._close()
            yield from self._begin(call)
        elif call not in self._late:
            self._late.append(call)

    def _found(self, told: dict[str, Any], name: str) -> _Call:
        """The call that a part is of: by its index, or its id, or else the last one."""
        index, id = told.get("index"), str(told.get("id") or "")
        if not isinstance(index, int):
            same = [number for number, call in self._calls.items() if id and call.id == id]
            last = max(self._calls, default=0)
            index = same[0] if same else len(self._calls) if id or name else last
        call = self._calls.get(index)
        # Some vendors give the same index to several calls.
        if call is None or (id and call.has_id and id != call.id):
            call = self._calls[index] = _Call(id or f"call_{self._new_id}_{self._count}", bool(id))
            self._count += 1
        elif id and not call.has_id:
            call.id, call.has_id = call.id if call.is_told else id, True
        return call

    def _begin(self, call: _Call) -> Iterator[Event]:
        self._open = call
        call.is_told = True
        yield Open(Call(call.id, call.name, seal=call.seal))
        if call.pieces:
            yield Delta("".join(call.pieces))

    def _finish(self, otherwise: str) -> Iterator[Event]:
        self._is_over = True
        if not self._has_begun:
            yield vendor_errors.broken("is empty")
            return
        if self._open is not None:
            yield self._close()
        late, self._late = self._late, []
        for item in late:
            if isinstance(item, _Call):
                if not item.name:
                    yield vendor_errors.broken("has a call without a name")
                    return
                if self._open is not None:
                    yield self._close()
                yield from self._begin(item)
                yield self._close()
            elif isinstance(item, Media):
                yield from self._show(item)
            else:
                yield from self._grow(*item)
        if self._open is not None:
            yield self._close()
        yield _stop(self._reason or _REASONS[otherwise], self._count > 0, self._has_refusal, self._sequence)
        yield END


class _Call:
    """A call that is being told. Its arguments are kept in pieces, to see when they are complete."""

    def __init__(self, id: str, has_id: bool) -> None:
        self.id = id
        self.has_id = has_id
        self.name = ""
        self.pieces: list[str] = []
        self.seal: Seal | None = None
        self.is_told = False
        self.is_closed = False
        self._is_complete: bool | None = None

    def is_complete(self) -> bool:
        """Whether the arguments so far are a whole object; looked at again only when there are more."""
        if self._is_complete is None or len(self.pieces) != 1:
            text = "".join(self.pieces)
            self.pieces = [text]
            self._is_complete = json_values.is_object(text)
        return self._is_complete


def read_whole(body: bytes, new_id: str) -> list[Event]:
    """The events of a whole answer; a Fault is the last of them, if there is one."""
    document = whole(body)
    if isinstance(document, Fault):
        return [document]
    choices = document.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return [vendor_errors.of_value(document) or vendor_errors.broken("has no choices")]
    return told_whole(document, choices[0], new_id)


def told_whole(document: dict[str, Any], choice: dict[str, Any], new_id: str) -> list[Event]:
    """The same for an answer that is read already, of which this is the first choice."""
    reader = Reader(new_id)
    events = [*reader.read(json_values.encode({**document, "choices": [_as_chunk(choice)]}))]
    if not any(isinstance(event, Fault) for event in events):
        events += reader.read(_DONE)
    return events


def _as_chunk(choice: dict[str, Any]) -> dict[str, Any]:
    """A whole choice as the only chunk of a stream: its calls get indexes."""
    message = choice.get("message")
    if not isinstance(message, dict):
        return {**choice, "index": 0}
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        told = [{**call, "index": index} if isinstance(call, dict) else call for index, call in enumerate(calls)]
        message = {**message, "tool_calls": told}
    return {**choice, "index": 0, "delta": message}


def _start(chunk: dict[str, Any]) -> Start:
    # Spark has an id of its session alone.
    id, model, created = chunk.get("id") or chunk.get("sid"), chunk.get("model"), chunk.get("created")
    return Start(
        id if isinstance(id, str) else "",
        model if isinstance(model, str) else "",
        vendor_errors.count(created),
    )


def _stop(reason: Reason, has_calls: bool, has_refusal: bool, sequence: str | None) -> Stop:
    if has_calls and reason == "end":
        reason = "calls"
    elif not has_calls and reason == "calls":
        reason = "end"
    if reason == "end" and has_refusal:
        reason = "refused"
    elif reason == "end" and sequence is not None:
        reason = "sequence"
    return Stop(reason, sequence)


def _sequence(choice: dict[str, Any]) -> str | None:
    """The stop sequence that was met, which vLLM tells."""
    found = choice.get("stop_reason")
    return found if isinstance(found, str) else None


def _parts(content: Any) -> Iterator[tuple[str, str]]:
    """The parts of a content that is a list, as Mistral's thinking models send it."""
    for part in content:
        if part.get("type") == "text" and part.get("text"):
            yield "text", part["text"]
        elif part.get("type") == "thinking":
            inner = part.get("thinking")
            text = inner if isinstance(inner, str) else "".join(piece.get("text") or "" for piece in inner or ())
            if text:
                yield "thinking", text


def _picture(url: str) -> Media:
    """A picture in an answer, as OpenRouter and other gateways have it."""
    data = media_data.data_url(url)
    return Media("image", data.type, data.data) if data and data.is_base64 else Media("image", url=url)


def _google_seal(told: dict[str, Any]) -> Seal | None:
    """The signature of a call where Google's own OpenAI-compatible API has it."""
    google = object_of(object_of(told.get("extra_content")).get("google"))
    value = google.get("thought_signature")
    return Seal("google", value) if isinstance(value, str) and value else None


def _usage(chunk: dict[str, Any], choice: dict[str, Any] | None) -> Usage | None:
    """Moonshot has it in the choice, Groq in a member of its own; DeepSeek has its own words for the cache."""
    usage = chunk.get("usage") or (choice or {}).get("usage") or object_of(chunk.get("x_groq")).get("usage")
    if not isinstance(usage, dict):
        return None
    read, written = (object_of(usage.get(f"{kind}_tokens_details")) for kind in ("prompt", "completion"))
    cached = read.get("cached_tokens")
    if cached is None:
        cached = usage.get("cached_tokens", usage.get("prompt_cache_hit_tokens"))
    written_tokens = usage.get("completion_tokens")
    if written_tokens is None and usage.get("prompt_tokens") is None:
        # MiniMax's older models tell the sum alone.
        written_tokens = usage.get("total_tokens")
    return Usage(
        vendor_errors.count(usage.get("prompt_tokens")),
        vendor_errors.count(written_tokens),
        vendor_errors.count(cached),
        vendor_errors.count(read.get("cache_write_tokens")),
        None,
        vendor_errors.count(written.get("reasoning_tokens")),
    )
