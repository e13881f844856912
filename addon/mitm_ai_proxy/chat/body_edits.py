"""Edits of the body of a chat, and of its kin, that leave all other bytes as they are.

Each is a BodyEdit: what it looks for, and a function that changes a parsed body and says what it did.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from ..wire import json_edit
from ..wire.json_tree import Value

Notes: TypeAlias = tuple[str, ...]

_DONE: Final[Notes] = ()


class BodyEdit(NamedTuple):
    """One kind of change. It can have an effect only where one of `words` stands in the body; without any, always."""

    apply: Callable[[Value], Notes]
    words: tuple[bytes, ...] = ()

    def concerns(self, body: bytes) -> bool:
        """Whether the edit can have an effect: a word may also be written with escapes."""
        return not self.words or any(json_edit.may_spell(body, word) for word in self.words)


def asking_for_usage(body: Value) -> Notes:
    """A stream that says nothing of `include_usage` gets it: the last chunk then has the counts of tokens.

    Source: Higress ai-proxy plugin. Nothing where there is no stream: several providers answer 400 to it.
    """
    stream = body.get("stream")
    if stream is None or stream.raw != b"true":
        return _DONE
    options = body.get("stream_options")
    if options is None or options.raw == b"null":
        body.put("stream_options", b'{"include_usage":true}')
    elif options.is_object and options.get("include_usage") is None:
        options.put("include_usage", b"true")
    else:
        return _DONE
    return ("usage is asked for: stream_options.include_usage",)


def developer_as_system(body: Value) -> Notes:
    """Only OpenAI and Azure know the role `developer`; everywhere else it is `system`. Source: Higress ai-proxy."""
    messages = body.get("messages")
    roles = [role for message in (messages.items() if messages else ()) if (role := message.get("role"))]
    developers = [role for role in roles if _text(role) == "developer"]
    for role in developers:
        role.replace(b'"system"')
    return ("role developer sent as system",) if developers else _DONE


def with_response_format(schema: bytes) -> Callable[[Value], Notes]:
    """Sets `response_format` to a JSON text. Source: Higress ai-proxy, responseJsonSchema."""

    def apply(body: Value) -> Notes:
        body.put("response_format", schema)
        return ("response_format is that of responseJsonSchema",)

    return apply


def reasoning_tokens(body: Value) -> Notes:
    """`reasoning_max_tokens`, unless 0, becomes `reasoning.max_tokens`, without `reasoning_effort`.

    Source: Higress ai-proxy, openrouter.
    """
    tokens = body.get("reasoning_max_tokens")
    if tokens is None or not re.fullmatch(rb"-?[0-9.eE+-]*[1-9][0-9.eE+-]*", tokens.raw):
        return _DONE
    reasoning = body.get("reasoning")
    if reasoning is not None and reasoning.is_object:
        reasoning.put("max_tokens", tokens.raw)
    else:
        body.put("reasoning", b'{"max_tokens":' + tokens.raw + b"}")
    body.remove("reasoning_max_tokens", "reasoning_effort")
    return ("reasoning_max_tokens sent as reasoning.max_tokens",)


REASONING_TOKENS: Final = BodyEdit(reasoning_tokens, (b'"reasoning_max_tokens"',))


def with_cache_control(body: Value, ttl: str) -> Notes:
    """Asks for the prompt to be cached, with a `cache_control` at the top, unless the body has one anywhere.

    Sources: OpenRouter's and Kilo's documentation.
    """
    if _has_key(body, "cache_control"):
        return _DONE
    body.put("cache_control", b'{"type":"ephemeral","ttl":%b}' % json_edit.string(ttl))
    return (f"cache_control added: {ttl}",)


def without_foreign_signatures(body: Value) -> Notes:
    """Assistant messages as Gemini takes them, also those that another model wrote.

    Signatures of thoughts that are no base64 go, then texts that are blank, then messages without a block. All others,
    texts that are no list, and what users and tools say stay. Source: OpenClaw, transcript policy.
    """
    messages = body.get("messages")
    notes: dict[str, None] = {}
    empty = []
    for message in messages.items() if messages else []:
        role, content = message.get("role"), message.get("content")
        if _text(role) != "assistant" or content is None or not content.is_list:
            continue
        blocks = content.items()
        blank = [block for block in blocks if _is_blank_text(block)]
        for block in blocks:
            if any(block is one for one in blank) or _text(block.get("type")) in ("thinking", "redacted_thinking"):
                continue
            names = [name for name in _SIGNATURES if (value := block.get(name)) and not _is_base64(value)]
            if names:
                block.remove(*names)
                notes["signatures that are not Gemini's left out"] = None
        if blank and len(blank) == len(blocks):
            empty.append(message)
        elif blank:
            content.remove_items(blank)
        if blank:
            notes["blank texts of the assistant left out"] = None
    if messages and empty:
        messages.remove_items(empty)
    return tuple(notes)


_SIGNATURES: Final = ("thought_signature", "thoughtSignature")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")


def _is_blank_text(block: Value) -> bool:
    text = _text(block.get("text"))
    return _text(block.get("type")) == "text" and text is not None and not text.strip()


def _is_base64(value: Value) -> bool:
    """Whether a value is a text in base64 or base64url that decodes to something."""
    text = (_text(value) or "").strip()
    if not _BASE64.fullmatch(text):
        return False
    digits = text.rstrip("=").translate(_URL_SAFE)
    try:
        return bool(base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True))
    except binascii.Error:
        return False


_URL_SAFE: Final = str.maketrans("-_", "+/")


def _has_key(value: Value, key: str) -> bool:
    """Whether an object in a value, at any depth, has a key."""
    if not json_edit.may_spell(value.raw, key.encode()):
        return False
    left = [value]
    while left:
        children = left.pop().children()
        if any(name == key for name, _ in children):
            return True
        left += [child for _, child in children if child.is_object or child.is_list]
    return False


def _text(value: Value | None) -> str | None:
    return value.string() if value is not None else None
