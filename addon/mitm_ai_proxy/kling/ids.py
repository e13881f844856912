"""A video's id as OpenAI's clients see it: Kling's own, the family in front, and what was asked for behind it.

So that a later request, at any replica, can say what OpenAI's Video object has and Kling does not return.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from typing import Final, NamedTuple

MAX_TEXT: Final = 90
"""Bytes of a memo; a longer one is left out, so that ids stay below their limit."""

_MEMO = re.compile(r"(.+)-o([a-z2-7]{8,160})", re.DOTALL)


class Memo(NamedTuple):
    """What a create asked for: `model` as the client named it, `seconds` as Kling was asked, `size` of the picture."""

    model: str = ""
    seconds: str = ""
    size: str = ""


NOTHING: Final = Memo()


def with_memo(task_id: str, memo: Memo) -> str:
    """The id with the memo behind it, made of letters, digits and hyphens."""
    text = "\n".join(memo).encode("utf-8", "replace")
    # What could not be read again is left out.
    if memo == NOTHING or len(text) > MAX_TEXT or text.decode().split("\n") != list(memo):
        return task_id
    check = zlib.crc32(text).to_bytes(4, "big")[:2]
    return f"{task_id}-o{base64.b32encode(check + text).decode().rstrip('=').lower()}"


def split_memo(video_id: str) -> tuple[str, Memo]:
    """Kling's id and the memo of an id; an id that does not come from with_memo is left as it is."""
    match = _MEMO.fullmatch(video_id)
    if not match:
        return video_id, NOTHING
    encoded = match[2].upper()
    try:
        decoded = base64.b32decode(encoded + "=" * (-len(encoded) % 8))
        fields = decoded[2:].decode().split("\n")
    except (binascii.Error, UnicodeDecodeError):
        return video_id, NOTHING
    if zlib.crc32(decoded[2:]).to_bytes(4, "big")[:2] != decoded[:2] or len(fields) != len(Memo._fields):
        return video_id, NOTHING
    return match[1], Memo(*fields)
