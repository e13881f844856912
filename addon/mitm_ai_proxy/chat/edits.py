"""Edits of a chat in the client's own dialect, which a configuration asks for: of requests, and of answers.

Source of what they do: Higress ai-proxy plugin. Every byte that is not meant to change is kept.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias, get_args

from ..errors import bad_body
from ..exchange import Answer, Handling, Pieces, Transducer, Whole
from ..wire import header_fields, json_edit, request_body
from ..wire.header_fields import Fields
from ..wire.media_types import EVENT_STREAM
from . import json_values
from .answer_edits import PromotedMessages, ReasoningStream, promoted_message, with_reasoning
from .dialects import ANTHROPIC
from .json_values import Raw

_INSTRUCTIONS: Final = ("system", "developer")
_MERGED: Final = ("user", "assistant")
_TIED_BLOCKS: Final = frozenset({"tool_use", "tool_result"})
"""Anthropic's blocks that have to stand in messages of their own order."""

Message = dict[str, Raw]


ReasoningMode: TypeAlias = Literal["passthrough", "ignore", "concat"]
REASONING_MODES: Final[tuple[ReasoningMode, ...]] = get_args(ReasoningMode)


class Edits(NamedTuple):
    """What is edited.

    `cleanup_commands`: a user's message that is one of these begins the conversation anew. `merges`: neighbours of one
    role become one message. `promotes`: thinking becomes the answer where there is no other. `reasoning`: what becomes
    of reasoning_content, in OpenAI's dialect. `context`: a text that is put behind the instructions.
    """

    cleanup_commands: tuple[str, ...] = ()
    merges: bool = False
    promotes: bool = False
    reasoning: ReasoningMode = "passthrough"
    context: str = ""

    def with_hiclaw(self) -> Edits:
        """These edits with `hiclawMode`, which is two of them."""
        return self._replace(merges=True, promotes=True)


NO_EDITS: Final = Edits()


# Requests


def request(body: bytes, edits: Edits) -> tuple[bytes, tuple[str, ...]]:
    """The edited body of a request, and a note for each edit; the same object if none applies.

    Raises Refusal (400) for a body that cannot be read, or of which nothing is left.
    """
    if not edits.cleanup_commands and not edits.merges:
        return body, ()
    member = next((found for found in request_body.object_members(body) if found.key == "messages"), None)
    if member is None:
        return body, ()
    messages = [found.members for found in json_values.request_object(body).objects("messages")]
    notes = []
    kept = _cleaned(messages, edits.cleanup_commands)
    if len(kept) < len(messages):
        if not kept:
            reason = "messages holds nothing but a command of contextCleanupCommands"
            raise bad_body(f"{reason}.", param="messages")
        notes.append(f"messages up to the last cleanup command removed: {len(messages) - len(kept)}")
    if edits.merges:
        merged = _merged(kept)
        if len(merged) < len(kept):
            notes.append(f"neighbouring messages of one role merged: {len(kept)} became {len(merged)}")
            kept = merged
    if not notes:
        return body, ()
    text = json_values.encode(kept)
    return json_edit.apply(body, [json_edit.Edit(member.start, member.end, text)]), tuple(notes)


def _cleaned(messages: list[Message], commands: tuple[str, ...]) -> list[Message]:
    """The instructions before the last command, and everything after it; all messages if there is no command."""
    if not commands:
        return messages
    for index in range(len(messages) - 1, -1, -1):
        if _text(messages[index], "role") == "user" and _whole_text(messages[index]) in commands:
            before = [message for message in messages[:index] if _text(message, "role") in _INSTRUCTIONS]
            return before + messages[index + 1 :]
    return messages


def _merged(messages: list[Message]) -> list[Message]:
    runs: list[list[Message]] = []
    for message in messages:
        if runs and _can_merge(runs[-1][-1], message):
            runs[-1].append(message)
        else:
            runs.append([message])
    return [run[0] if len(run) == 1 else _as_one(run) for run in runs]


def _can_merge(first: Message, second: Message) -> bool:
    role = _text(first, "role")
    if role not in _MERGED or role != _text(second, "role"):
        return False
    return not any(_is_tied(message) for message in (first, second))


def _is_tied(message: Message) -> bool:
    """Whether a message has calls or results, whose place is fixed."""
    for name in ("tool_calls", "function_call"):
        value = message.get(name)
        if value is not None and bytes(value) not in (b"null", b"[]"):
            return True
    return any(json_values.text(part.get("type")) in _TIED_BLOCKS for part in _parts(message))


def _as_one(messages: list[Message]) -> Message:
    """Messages as one: texts with an empty line between them, other contents as one list."""
    merged: Message = {}
    for message in messages:
        merged |= {name: value for name, value in message.items() if name not in merged}
    contents = [found for message in messages if (found := _given(message, "content")) is not None]
    if contents:
        merged["content"] = _content(contents)
    thoughts = [found for message in messages if (found := _given(message, "reasoning_content")) is not None]
    if thoughts:
        merged["reasoning_content"] = _joined(thoughts)
    return merged


def _given(message: Message, name: str) -> bytes | None:
    value = message.get(name)
    return None if value is None or bytes(value) in (b"null", b'""') else bytes(value)


def _content(contents: list[bytes]) -> Raw:
    if all(content.startswith(b'"') for content in contents):
        return _joined(contents)
    parts = b",".join(
        b'{"type":"text","text":%b}' % content if content.startswith(b'"') else content[1:-1].strip()
        for content in contents
        if content.startswith(b'"') or content[1:-1].strip()
    )
    return json_values.raw(b"[%b]" % parts)


def _joined(texts: list[bytes]) -> Raw:
    """Strings as one, with an empty line between them; their escapes are kept."""
    return json_values.raw(b'"%b"' % b"\\n\\n".join(text[1:-1] for text in texts))


def _text(message: Message, name: str) -> str | None:
    return json_values.text(message.get(name))


def _whole_text(message: Message) -> str | None:
    """The text of a message, also where it stands in a list of parts; None for one with other parts."""
    text = _text(message, "content")
    if text is not None:
        return text
    texts = [json_values.text(part.get("text")) for part in _parts(message)]
    return "".join(filter(None, texts)) if texts and None not in texts else None


def _parts(message: Message) -> list[Message]:
    return json_values.blocks(message.get("content"))


# Answers


def handling(inner: Handling, dialect: str, edits: Edits, status: int, fields: Fields) -> Handling:
    """What is done with an answer beside `inner`, by its status and header fields, so that it is edited.

    Of the answers that `inner` passes on, streams and JSON are edited.
    """
    if not (200 <= status < 300) or stream(dialect, edits) is None:
        return inner
    if isinstance(inner, Pieces):
        return inner._replace(transducer=_with_stream(inner.transducer, dialect, edits))
    if isinstance(inner, Whole):
        return Whole(lambda answer: _edited(inner.rewrite(answer), dialect, edits))
    kind = header_fields.value(fields, b"content-type").lower()
    if kind.startswith(EVENT_STREAM):
        return Pieces(_with_stream(None, dialect, edits))
    return Whole(lambda answer: _edited(answer, dialect, edits)) if "json" in kind else inner


class _Chain(NamedTuple):
    """Two transducers, one behind the other."""

    first: Transducer
    second: Transducer

    def feed(self, data: bytes) -> bytes:
        return self.second.feed(self.first.feed(data))

    def end(self) -> bytes:
        return self.second.feed(self.first.end()) + self.second.end()


def _with_stream(first: Transducer | None, dialect: str, edits: Edits) -> Transducer:
    second = stream(dialect, edits)
    assert second is not None
    return second if first is None else _Chain(first, second)


def _edited(answer: Answer, dialect: str, edits: Edits) -> Answer:
    """An answer that is edited; the same object if nothing changes."""
    if not 200 <= answer.status < 300:
        return answer
    if (answer.headers.get("content-type") or "").startswith(EVENT_STREAM):
        transducer = _with_stream(None, dialect, edits)
        body = transducer.feed(answer.body) + transducer.end()
    else:
        body = whole(answer.body, dialect, edits)
    return answer if body == answer.body else answer._replace(body=body)


def whole(body: bytes, dialect: str, edits: Edits) -> bytes:
    """The edited body of a whole answer in the client's dialect; the same object if nothing changes, or if it is not
    one."""
    try:
        if dialect == ANTHROPIC:
            return promoted_message(body) if edits.promotes else body
        return with_reasoning(body, edits.reasoning, edits.promotes)
    except ValueError:
        return body


def stream(dialect: str, edits: Edits) -> Transducer | None:
    """What edits a streamed answer in the client's dialect; None if nothing does."""
    if dialect == ANTHROPIC:
        return PromotedMessages() if edits.promotes else None
    if edits.promotes or edits.reasoning != "passthrough":
        return ReasoningStream(edits.reasoning, edits.promotes)
    return None
