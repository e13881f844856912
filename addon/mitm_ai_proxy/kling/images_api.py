"""OpenAI's images API, which Kling lacks: its create is told from Kling's own, which has the same path, and refused.

A picture of Kling's is a task: OpenAI's answer would need a second request, and nothing in OpenAI's API makes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from ..errors import Refusal
from ..exchange import Head
from ..wire import header_fields, json_edit
from ..wire.request_body import object_members

PATH: Final = "/v1/images/generations"
NAME: Final = "openai/v1/imagegeneration"
OPENAIS: Final = "POST /v1/images/generations of OpenAI's"

_INSTEAD: Final = (
    "Kling makes a picture as a task, which OpenAI's images API cannot ask for again: send Kling's own fields to"
    " Kling's own POST /v1/images/generations, with a client of Kling's and no OpenAI SDK, and get the picture with"
    " GET /v1/images/generations/{task_id}."
)
UNSUPPORTED_REASONS: Final = dict.fromkeys((NAME, "openai/v1/imageedit", "openai/v1/imagevariation"), _INSTEAD)
"""By API name, why Kling has no such API, and what there is instead."""

MAX_LENGTH: Final = 256 * 1024
"""Bytes of the longest create of OpenAI's, which has no picture, and up to 32,000 characters of prompt as escapes."""

_OPENAIS: Final[Mapping[str, re.Pattern[str]]] = {
    "model": re.compile("(dall-e|(chat)?gpt-image)-.*", re.DOTALL),
    "background": re.compile("transparent|opaque|auto"),
    "moderation": re.compile("low|auto"),
    "output_format": re.compile("png|jpeg|webp"),
    "quality": re.compile("standard|hd|low|medium|high|auto"),
    "response_format": re.compile("url|b64_json"),
    "size": re.compile("[0-9]{3,4}x[0-9]{3,4}|auto"),
    "style": re.compile("vivid|natural"),
}
"""Fields that only OpenAI's create has, with the values that they have there. Source: OpenAI's API reference."""
_KLINGS: Final = frozenset(
    "aspect_ratio callback_url element_list external_task_id human_fidelity image image_fidelity image_reference"
    " model_name negative_prompt resolution watermark_info".split()
)
"""Fields that only Kling's create has: with one of them, a create is Kling's."""


def may_be_openais(head: Head) -> bool:
    """Whether the body of a create has to be read, to tell whose it is. It is short, so that it is held anyway."""
    length = header_fields.value(head.fields, b"content-length")
    return length.isdigit() and 0 < int(length[:10]) <= MAX_LENGTH and not head.caller.content_encoding


def is_openais(body: bytes) -> bool:
    """Whether the body of a create is certainly OpenAI's. What is no JSON object is not."""
    try:
        members = object_members(body)
    except Refusal:
        return False
    names = {member.key for member in members}
    return _KLINGS.isdisjoint(names) and any(_is_openais(body, member) for member in members)


def _is_openais(body: bytes, member: json_edit.Member) -> bool:
    values = _OPENAIS.get(member.key)
    text = json_edit.string_value(body, member) if values else None
    return bool(values and text and values.fullmatch(text))
