"""Video ids for OpenAI's clients: Kling's task id with the parameters of its create, `8312...-oabcd...`.

A later retrieve reads model, seconds and size from the id: Kling does not return them, and the proxy keeps no state.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from typing import Final, NamedTuple

MAX_TEXT: Final = 90
"""Bytes of the parameters; longer ones are left out, so that ids stay below their limit."""

_MEMO = re.compile(r"(.+)-o([a-z2-7]{8,160})", re.DOTALL)


class VideoParameters(NamedTuple):
    """What a create asked for: `model` in the client's name, `seconds` as sent to Kling, `size` as `1280x720`.

    `kind` is the name of a TaskKind where Kling's answers do not tell it: in v2, if it is not text2video.
    """

    model: str = ""
    seconds: str = ""
    size: str = ""
    kind: str = ""


NO_PARAMETERS: Final = VideoParameters()


def add_parameters(task_id: str, parameters: VideoParameters) -> str:
    """The task id with the parameters appended in base32; unchanged if they are empty or cannot be encoded."""
    fields = list(parameters) if parameters.kind else list(parameters)[:-1]
    text = "\n".join(fields).encode("utf-8", "replace")
    # Parameters that could not be decoded again are left out.
    if parameters == NO_PARAMETERS or len(text) > MAX_TEXT or text.decode().split("\n") != fields:
        return task_id
    check = zlib.crc32(text).to_bytes(4, "big")[:2]
    return f"{task_id}-o{base64.b32encode(check + text).decode().rstrip('=').lower()}"


def split_parameters(video_id: str) -> tuple[str, VideoParameters]:
    """Kling's task id and the parameters in a video id; an id without valid parameters is returned unchanged."""
    match = _MEMO.fullmatch(video_id)
    if not match:
        return video_id, NO_PARAMETERS
    encoded = match[2].upper()
    try:
        decoded = base64.b32decode(encoded + "=" * (-len(encoded) % 8))
        fields = decoded[2:].decode().split("\n")
    except (binascii.Error, UnicodeDecodeError):
        return video_id, NO_PARAMETERS
    parameters = VideoParameters(*fields[:4])
    if zlib.crc32(decoded[2:]).to_bytes(4, "big")[:2] != decoded[:2] or len(fields) != 3 + bool(parameters.kind):
        return video_id, NO_PARAMETERS
    return match[1], parameters
