"""Checks the conversation of a request to Anthropic's Messages API: roles, blocks, calls and their results, seals.

Source: types of Anthropic's SDK, its API reference, and error messages that users have published.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from . import seals
from .asked import joined, kind_of
from .model import Result
from .refusals import ChatError
from .values import text_of

_ID: Final = re.compile(r"[a-zA-Z0-9_-]+")
_THOUGHTS: Final = ("thinking", "redacted_thinking")
_FILES: Final = ("image", "document")
_SOURCES: Final[Mapping[str, str]] = {
    "base64": "data",
    "url": "url",
    "file": "file_id",
    "text": "data",
    "content": "content",
}
"""The types of sources of a picture or a document, and the member that each needs."""
_FOREIGN: Final = ("search_result", "server_tool_use", "container_upload", "mcp_tool_use")
"""Types of blocks that are taken as they are; so are the results of tools that the server runs."""
_MOST_MARKS: Final = 4
_REMINDER: Final = "<system-reminder>"


def bad(where: str, message: str) -> ChatError:
    """The refusal of a member: `max_tokens: Field required`."""
    return ChatError(400, f"{where}: {message}", where)


class Conversation:
    """The system prompt and the messages of a request, checked. Raises ChatError.

    text: the last text of the user. own_text: the text of the last message, if it is the user's. results: those of
    tools behind the last text. texts: all texts, to be counted.
    """

    def __init__(self, body: Mapping[str, Any], *, thinks_always: bool) -> None:
        self.text = self.own_text = ""
        self.results: list[Result] = []
        self.texts: list[str] = []
        self.files = self.marks = 0
        self._names: dict[str, str] = {}
        self._open: list[str] = []
        self._system(body.get("system"))
        messages = body.get("messages")
        if messages is None:
            raise bad("messages", "Field required")
        if not isinstance(messages, list):
            raise bad("messages", "Input should be a valid array")
        if not messages:
            raise bad("messages", "at least one message is required")
        for index, message in enumerate(messages):
            self._message(f"messages.{index}", message, index, is_last=index == len(messages) - 1)
        if self._open:
            raise self._unanswered(f"messages.{len(messages) - 1}")
        if thinks_always:
            self._check_loop(messages)
        if self.marks > _MOST_MARKS:
            message = f"A maximum of {_MOST_MARKS} blocks with cache_control may be provided. Found {self.marks}."
            raise ChatError(400, message)

    def _system(self, system: Any) -> None:
        if system is None:
            return
        blocks = [{"type": "text", "text": system}] if isinstance(system, str) else system
        if not isinstance(blocks, list):
            raise bad("system", "Input should be a valid string or array")
        for index, block in enumerate(blocks):
            if not isinstance(block, dict) or block.get("type") != "text":
                raise bad(f"system.{index}.type", "Input should be 'text'")
            self._text(f"system.{index}", block, may_be_empty=isinstance(system, str))

    def _message(self, where: str, message: Any, index: int, *, is_last: bool) -> None:
        if not isinstance(message, dict):
            raise bad(where, "Input should be an object")
        role, content = message.get("role"), message.get("content")
        if role not in ("user", "assistant", "system"):
            raise bad(f"{where}.role", "Input should be 'user' or 'assistant'")
        for name in message.keys() - {"role", "content"}:
            raise bad(f"{where}.{name}"[:200], "Extra inputs are not permitted")
        if index == 0 and role == "assistant":
            raise bad("messages", 'first message must use the "user" role')
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not isinstance(blocks, list):
            raise bad(f"{where}.content", "Input should be a valid string or array")
        if not blocks and not (is_last and role == "assistant"):
            raise ChatError(
                400,
                f"{where}: all messages must have non-empty content except for the optional final assistant message",
            )
        unanswered, self._open = self._open, []
        self.own_text, results = "", []
        texts: list[str] = []
        has_other = False
        for number, block in enumerate(blocks):
            place = f"{where}.content.{number}"
            kind = block.get("type") if isinstance(block, dict) else None
            if not isinstance(kind, str):
                raise bad(f"{place}.type", "Field required")
            self._mark(place, kind, block)
            if kind == "tool_result":
                if has_other:
                    raise bad(where, "`tool_result` blocks must come before all other blocks of a message")
                results.append(self._result(place, block, unanswered))
                continue
            has_other = True
            if kind == "text":
                texts.append(self._text(place, block))
            else:
                self._other(place, kind, block, role)
        if unanswered:
            self._open = unanswered
            raise self._unanswered(where)
        if is_last and role == "assistant" and texts and texts[-1] != texts[-1].rstrip():
            raise ChatError(400, "messages: final assistant content cannot end with trailing whitespace")
        if role == "user":
            # What an agent reminds the model of beside results is no question.
            self.own_text = joined(text for text in texts if not text.startswith(_REMINDER))
            self.results = [] if self.own_text else results
            if self.own_text or not results:
                self.text = self.own_text or joined(texts)

    def _text(self, where: str, block: Mapping[str, Any], *, may_be_empty: bool = False) -> str:
        text = block.get("text")
        if not isinstance(text, str):
            raise bad(f"{where}.text", "Input should be a valid string" if "text" in block else "Field required")
        if not (text or may_be_empty):
            raise ChatError(400, "messages: text content blocks must be non-empty")
        if not (text.strip() or may_be_empty):
            raise ChatError(400, "messages: text content blocks must contain non-whitespace text")
        self.texts.append(text)
        return text

    def _mark(self, where: str, kind: str, block: Mapping[str, Any]) -> None:
        mark = block.get("cache_control")
        if mark is None:
            return
        if kind in _THOUGHTS:
            raise bad(f"{where}.{kind}.cache_control", "Extra inputs are not permitted")
        check_mark(f"{where}.cache_control", mark)
        self.marks += 1

    def _result(self, where: str, block: Mapping[str, Any], unanswered: list[str]) -> Result:
        call = block.get("tool_use_id")
        if not isinstance(call, str):
            raise bad(f"{where}.tool_result.tool_use_id", "Field required")
        if call not in unanswered:
            message = (
                f"{where}: unexpected `tool_use_id` found in `tool_result` blocks: {call[:100]}. Each `tool_result`"
                " block must have a corresponding `tool_use` block in the previous message."
            )
            raise ChatError(400, message)
        unanswered.remove(call)
        content = block.get("content")
        inner = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
        if not isinstance(inner, list):
            raise bad(f"{where}.tool_result.content", "Input should be a valid string or array")
        texts = []
        for index, part in enumerate(inner):
            kind = part.get("type") if isinstance(part, dict) else None
            place = f"{where}.tool_result.content.{index}"
            if kind == "text":
                texts.append(self._text(place, part, may_be_empty=isinstance(content, str)))
            elif kind in (*_FILES, "search_result"):
                self._other(place, str(kind), part, "user")
            else:
                raise bad(f"{place}.type", "Input should be 'text', 'image', 'document' or 'search_result'")
        failed = block.get("is_error", False)
        if not isinstance(failed, bool):
            raise bad(f"{where}.tool_result.is_error", "Input should be a valid boolean")
        return Result(self._names[call], joined(texts), failed)

    def _other(self, where: str, kind: str, block: Mapping[str, Any], role: str) -> None:
        """Check a block that is neither text nor a result."""
        if kind in _FILES and role == "user":
            source = block.get("source")
            needed = _SOURCES.get(str(source.get("type"))) if isinstance(source, dict) else None
            if not isinstance(source, dict) or needed is None:
                raise bad(f"{where}.{kind}.source", f"Input should be one of {', '.join(_SOURCES)}")
            if not source.get(needed):
                raise bad(f"{where}.{kind}.source.{source['type']}.{needed}", "Field required")
            self.files += 1
        elif kind == "tool_use" and role == "assistant":
            self._call(f"{where}.tool_use", block)
        elif kind in _THOUGHTS and role == "assistant":
            self._thoughts(where, kind, block)
        elif not (kind in _FOREIGN or kind.endswith("_tool_result")):
            raise bad(f"{where}.type", f"'{kind[:100]}' is no type of a block of the {role}'s")

    def _call(self, where: str, block: Mapping[str, Any]) -> None:
        call, name = block.get("id"), block.get("name")
        if not isinstance(call, str) or not _ID.fullmatch(call):
            raise bad(f"{where}.id", "String should match pattern '^[a-zA-Z0-9_-]+$'")
        if call in self._names:
            raise bad("messages", f"`tool_use` ids must be unique, but {call[:100]} is there twice")
        if not isinstance(name, str) or not name:
            raise bad(f"{where}.name", "Field required")
        if not isinstance(block.get("input"), dict):
            raise bad(f"{where}.input", f"Input should be an object, not {kind_of(block.get('input'))}")
        self._names[call] = name
        self._open.append(call)
        self.texts += [name, text_of(block["input"])]

    def _thoughts(self, where: str, kind: str, block: Mapping[str, Any]) -> None:
        if kind == "redacted_thinking":
            # The model makes none, so that none can be its own.
            raise bad(where, "Invalid `data` in `redacted_thinking` block")
        thoughts, signature = block.get("thinking"), block.get("signature")
        for name, value in (("thinking", thoughts), ("signature", signature)):
            if not isinstance(value, str):
                raise bad(f"{where}.thinking.{name}", "Field required")
        if not seals.is_genuine(str(signature), str(thoughts)):
            raise bad(where, "Invalid `signature` in `thinking` block")

    def _unanswered(self, where: str) -> ChatError:
        message = (
            f"{where}: `tool_use` ids were found without `tool_result` blocks immediately after:"
            f" {', '.join(self._open)[:200]}. Each `tool_use` block must have a corresponding `tool_result` block in"
            " the next message."
        )
        return ChatError(400, message)

    def _check_loop(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """With thinking enabled, the turn of a tool loop that goes on begins with its thoughts."""
        if not self.results or len(messages) < 2:
            return
        blocks = messages[-2]["content"]
        kind = blocks[0].get("type") if isinstance(blocks, list) and blocks else "text"
        if kind not in _THOUGHTS:
            message = (
                f"messages.{len(messages) - 2}.content.0.type: Expected `thinking` or `redacted_thinking`, but found"
                f" `{kind}`. When `thinking` is enabled, a final `assistant` message must start with a thinking block."
            )
            raise ChatError(400, message)


def check_mark(where: str, mark: Any) -> None:
    """Raise ChatError for a `cache_control` that is none."""
    if not isinstance(mark, dict) or mark.get("type") != "ephemeral":
        raise bad(f"{where}.type", "Input should be 'ephemeral'")
    if mark.get("ttl") not in (None, "5m", "1h"):
        raise bad(f"{where}.ephemeral.ttl", "Input should be '5m' or '1h'")
