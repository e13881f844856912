"""What a request is about, by its path: a chat in a dialect, a video job, or another call of an AI API."""

from __future__ import annotations

import functools
import re
from typing import Final, NamedTuple
from urllib.parse import unquote

from .answers import RESPONSES


class Subject(NamedTuple):
    """`kind`: "chat", "job" or "call". `dialect` is that of a chat's answer, `model` the one in the path, or ""."""

    kind: str
    dialect: str = ""
    model: str = ""


# The end of a path without its query, and what it tells. Sources: the vendors' API references.
_CHATS: Final = (
    (r"/chat/completions", "openai"),
    (r"/messages", "anthropic"),
    (r"/responses", RESPONSES),
    (r"/models/(?P<model>[^/]+):(?:streamG|g)enerateContent", "gemini"),
    (r"/models/(?P<model>[^/]+):(?:streamR|r)awPredict", "anthropic"),
    (r"/model/(?P<model>.+)/converse(?:-stream)?", "converse"),
    (r"/model/(?P<model>.+)/invoke(?:-with-response-stream)?", "anthropic"),
)
_CHAT: Final = tuple((re.compile(rf".*{end}", re.DOTALL), dialect) for end, dialect in _CHATS)
_JOB: Final = re.compile(
    r".*/v1/videos(/.*)?|.*/v1/images/(generations|omni-image|multi-image2image)(/.*)?"
    r"|.*/(text-to-video|image-to-video|omni-video)/.*|.*/tasks(/.*)?",
    re.DOTALL,
)
_CALL: Final = re.compile(
    r".*/(completions|embeddings?|rerank|reranks|moderations|models|images/(edits|variations)|audio/\w+|count_tokens|realtime)"
    r"(/[^/]*)?"
    # Gemini's Live API, a WebSocket; Vertex AI has a slash where Gemini has a point.
    r"|.*/ws/google\.[\w.]+[./]BidiGenerateContent(Constrained)?",
    re.DOTALL,
)


def subject(path: str) -> Subject | None:
    """What a request to this path, which may have a query, is about; None for what is not known."""
    return _subject(path.partition("?")[0][:4096])


@functools.lru_cache(256)
def _subject(plain: str) -> Subject | None:
    for pattern, dialect in _CHAT:
        if found := pattern.fullmatch(plain):
            return Subject("chat", dialect, unquote(found.groupdict().get("model") or ""))
    if _JOB.fullmatch(plain):
        return Subject("job")
    return Subject("call") if _CALL.fullmatch(plain) else None
