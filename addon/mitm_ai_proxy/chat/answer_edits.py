"""Edits the thinking in an answer, whole or streamed: it is left out, put into the text, or becomes the answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from ..wire import json_edit, sse
from . import json_values
from .json_values import Raw

Mode = Literal["passthrough", "ignore", "concat"]

_DONE: Final = b"[DONE]"
_MEMBERS: Final = ("reasoning_content", "reasoning")
_BEGIN: Final = "<think>"
_END: Final = "</think>\n"
_MAX_HELD: Final = 8 * 1024 * 1024
"""Characters of thinking that are held; of an answer that thinks more, the thinking stays what it is."""

Members = dict[str, Raw]


# OpenAI's dialect


def with_reasoning(body: bytes, mode: Mode, promotes: bool) -> bytes:
    """A whole answer with its reasoning_content edited; the same object if there is none. Raises ValueError."""
    member = next((found for found in json_edit.members(body) if found.key == "choices"), None)
    if member is None or body[member.start : member.start + 1] != b"[":
        return body
    choices = json_values.objects(json_values.raw(body[member.start : member.end]))
    if not sum(_edit_message(choice, mode, promotes) for choice in choices):
        return body
    return json_edit.apply(body, [json_edit.Edit(member.start, member.end, json_values.encode(choices))])


def _edit_message(choice: Members, mode: Mode, promotes: bool) -> bool:
    """Edit the message of a choice in place; whether anything changed."""
    value = choice.get("message")
    if value is None or bytes(value)[:1] != b"{":
        return False
    message = json_values.members(bytes(value))
    thought = _thought(message)
    if not thought:
        return False
    content = json_values.text(message.get("content")) or ""
    if mode == "concat":
        content = f"{_BEGIN}{thought}{_END}{content}"
    elif mode != "ignore":
        if not promotes or content.strip() or _has(message, "tool_calls") or _is_list(message.get("content")):
            return False
        content = thought
    edited = {name: value for name, value in message.items() if name not in _MEMBERS}
    if mode != "ignore":
        edited["content"] = json_values.raw(json_values.encode(content))
    choice["message"] = json_values.raw(json_values.encode(edited))
    return True


def _thought(members: Members) -> str:
    return next((text for name in _MEMBERS if (text := json_values.text(members.get(name)))), "")


def _has(members: Members, name: str) -> bool:
    value = members.get(name)
    return value is not None and bytes(value) not in (b"null", b"[]", b'""')


def _is_list(value: Raw | None) -> bool:
    return value is not None and bytes(memoryview(value)[:1]) == b"["


class _Choice:
    """What is known of one choice of a stream."""

    def __init__(self) -> None:
        self.held: list[str] = []
        self.length = 0
        self.member = _MEMBERS[0]
        self.is_decided = False  # there is another answer than the thinking, or the thinking is told already
        self.is_inside = False  # between <think> and </think>


class ReasoningStream:
    """The transducer that edits reasoning_content in a stream.

    To promote it, it is held until there is other content, which it then precedes, or until the answer ends without
    any, when it becomes the content. Chunks go on meanwhile, without it.
    """

    def __init__(self, mode: Mode, promotes: bool) -> None:
        self._mode = mode
        self._promotes = promotes and mode == "passthrough"
        self._framing = sse.Reader()
        self._choices: dict[bytes, _Choice] = {}
        self._head: Members = {}

    def feed(self, data: bytes) -> bytes:
        """The bytes for the client after the next bytes from the provider."""
        return b"".join(map(self._event, self._framing.feed(data)))

    def end(self) -> bytes:
        """The last bytes for the client. Thinking that is still held is told, as the content."""
        return b"".join(map(self._event, self._framing.end())) + self._all_promoted()

    def _event(self, event: sse.Event) -> bytes:
        if not event.data:
            return sse.comment(event.comment)
        if event.data == _DONE:
            return self._all_promoted() + sse.event(event.data, event.type)
        try:
            chunk = json_values.members(event.data)
            choices = json_values.objects(chunk["choices"])
        except (KeyError, ValueError, RecursionError):
            return sse.event(event.data, event.type)
        if choices:
            self._head = chunk
        extra = b""
        is_changed = False
        for choice in choices:
            before, changed = self._choice(choice)
            extra += before
            is_changed = is_changed or changed
        data = json_values.encode({**chunk, "choices": choices}) if is_changed else event.data
        return extra + sse.event(data, event.type)

    def _choice(self, choice: Members) -> tuple[bytes, bool]:
        """Edit a choice in place. Gives the events to send before it, and whether it changed."""
        index = bytes(choice.get("index") or json_values.raw(b"0"))
        state = self._choices.setdefault(index, _Choice())
        value = choice.get("delta")
        delta = json_values.members(bytes(value)) if value is not None and bytes(value)[:1] == b"{" else {}
        thought = _thought(delta)
        content = json_values.text(delta.get("content")) or ""
        is_last = _has(choice, "finish_reason")
        has_more = is_last or _has(delta, "tool_calls") or _is_list(delta.get("content"))
        before = b""
        if self._mode == "ignore":
            edited = content
        elif self._mode == "concat":
            edited = self._concatenated(state, thought, content)
            if state.is_inside and has_more:
                state.is_inside = False
                if thought or edited:
                    edited += _END
                else:
                    before = self._chunk(index, "content", _END)
        elif self._promotes and not state.is_decided:
            return self._held(state, index, choice, delta, thought, content, is_last, has_more)
        else:
            return b"", False
        if not thought and edited == content:
            return before, False
        _set_delta(choice, delta, edited)
        return before, True

    def _concatenated(self, state: _Choice, thought: str, content: str) -> str:
        if thought:
            thought = thought if state.is_inside else _BEGIN + thought
            state.is_inside = True
        if content and state.is_inside:
            state.is_inside = False
            return thought + _END + content
        return thought + content

    def _held(
        self,
        state: _Choice,
        index: bytes,
        choice: Members,
        delta: Members,
        thought: str,
        content: str,
        is_last: bool,
        has_more: bool,
    ) -> tuple[bytes, bool]:
        if thought:
            state.held.append(thought)
            state.length += len(thought)
            state.member = next(name for name in _MEMBERS if _has(delta, name))
            _set_delta(choice, delta, content)
        before = b""
        is_other = bool(content.strip()) or (has_more and not is_last) or _has(delta, "tool_calls")
        if is_other or state.length > _MAX_HELD:
            before = self._told(state, index, state.member)
        elif is_last:
            before = self._told(state, index, "content")
        return before, bool(thought)

    def _told(self, state: _Choice, index: bytes, member: str) -> bytes:
        held, state.held, state.is_decided = "".join(state.held), [], True
        return self._chunk(index, member, held) if held else b""

    def _all_promoted(self) -> bytes:
        return b"".join(
            self._told(state, index, "content")
            for index, state in self._choices.items()
            if self._promotes and not state.is_decided
        )

    def _chunk(self, index: bytes, member: str, text: str) -> bytes:
        delta = {member: text}
        choice = {"index": json_values.raw(index), "delta": delta, "finish_reason": None}
        head = {name: value for name, value in self._head.items() if name not in ("choices", "usage")}
        return sse.event(json_values.encode({**head, "choices": [choice]}))


def _set_delta(choice: Members, delta: Members, content: str) -> None:
    edited = {name: value for name, value in delta.items() if name not in _MEMBERS}
    if content or "content" in edited:
        edited["content"] = json_values.raw(json_values.encode(content))
    choice["delta"] = json_values.raw(json_values.encode(edited))


# Anthropic's dialect: the thinking stays, as it may be signed, and a text block with the same words follows it.


def promoted_message(body: bytes) -> bytes:
    """A whole message whose thinking is its text too, if it has no other. Raises ValueError."""
    member = next((found for found in json_edit.members(body) if found.key == "content"), None)
    if member is None or body[member.start : member.start + 1] != b"[":
        return body
    blocks = json_values.objects(json_values.raw(body[member.start : member.end]))
    thoughts = []
    for block in blocks:
        kind = json_values.text(block.get("type"))
        if kind == "thinking":
            thoughts.append(json_values.text(block.get("thinking")) or "")
        elif kind != "redacted_thinking" and (kind != "text" or (json_values.text(block.get("text")) or "").strip()):
            return body
    text = "".join(thoughts)
    if not text.strip():
        return body
    content = json_values.encode([*blocks, {"type": "text", "text": text}])
    return json_edit.apply(body, [json_edit.Edit(member.start, member.end, content)])


class PromotedMessages:
    """The transducer that does the same to a stream of Anthropic's: the block is inserted before the message ends."""

    def __init__(self) -> None:
        self._framing = sse.Reader()
        self._thoughts: list[str] = []
        self._length = 0
        self._next = 0
        self._is_decided = False

    def feed(self, data: bytes) -> bytes:
        """The bytes for the client after the next bytes from the provider."""
        return b"".join(piece for event in self._framing.feed(data) for piece in self._event(event))

    def end(self) -> bytes:
        """The last bytes for the client."""
        return b"".join(piece for event in self._framing.end() for piece in self._event(event))

    def _event(self, event: sse.Event) -> Iterator[bytes]:
        if not event.data:
            yield sse.comment(event.comment)
            return
        if not self._is_decided:
            yield from self._look(event)
        yield sse.event(event.data, event.type)

    def _look(self, event: sse.Event) -> Iterator[bytes]:
        try:
            found = json_values.decode(event.data)
            kind = found["type"]
            if kind == "content_block_start":
                self._next = int(found["index"]) + 1
                is_thinking = found["content_block"]["type"] in ("thinking", "redacted_thinking")
                self._is_decided = not is_thinking and found["content_block"]["type"] != "text"
            elif kind == "content_block_delta":
                self._delta(found["delta"])
            elif kind == "message_delta":
                self._is_decided = True
                text = "".join(self._thoughts)
                if text.strip():
                    yield from self._block(text)
        except (ValueError, KeyError, TypeError, AttributeError):
            self._is_decided = True

    def _delta(self, delta: dict[str, str]) -> None:
        if delta["type"] == "thinking_delta":
            self._thoughts.append(delta["thinking"])
            self._length += len(delta["thinking"])
            self._is_decided = self._length > _MAX_HELD
        elif delta["type"] == "text_delta" and delta["text"].strip():
            self._is_decided = True
            self._thoughts = []

    def _block(self, text: str) -> Iterator[bytes]:
        for kind, members in (
            ("content_block_start", {"content_block": {"type": "text", "text": ""}}),
            ("content_block_delta", {"delta": {"type": "text_delta", "text": text}}),
            ("content_block_stop", {}),
        ):
            yield sse.event(json_values.encode({"type": kind, "index": self._next, **members}), kind.encode())
