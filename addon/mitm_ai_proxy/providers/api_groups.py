"""The words of the table in rows.py, and the APIs that they stand for."""

from __future__ import annotations

from typing import Final

from ..apis import APIS, CONVERSATIONS

GROUPS: Final = {
    "chat": "openai/v1/chatcompletions",
    "completions": "openai/v1/completions",
    "embeddings": "openai/v1/embeddings",
    "models": "openai/v1/models",
    "responses": "openai/v1/responses",
    "messages": "anthropic/v1/messages",
    "count_tokens": "anthropic/v1/messages/count_tokens",
    "complete": "anthropic/v1/complete",
    "rerank": "cohere/v1/rerank",
    "realtime": "openai/v1/realtime",
    "generations": "openai/v1/imagegeneration",
    "edits": "openai/v1/imageedit",
    "images": "openai/v1/imagegeneration openai/v1/imageedit openai/v1/imagevariation",
    "speech": "openai/v1/audiospeech",
    "transcriptions": "openai/v1/audiotranscription",
    "translations": "openai/v1/audiotranslation",
    "audio": "openai/v1/audiospeech openai/v1/audiotranscription openai/v1/audiotranslation",
    "files": "openai/v1/files openai/v1/retrievefile openai/v1/retrievefilecontent",
    "batches": "openai/v1/batches openai/v1/retrievebatch openai/v1/cancelbatch",
    "conversations": CONVERSATIONS,
    "reranks": "qwen/v1/rerank",
    "videos": " ".join(api.name for api in APIS if api.path.startswith("/v1/videos")),
}
"""By word, the names of the APIs, with blanks between them."""
# The plugin's name for conversations is of the time when only Qwen had them.
OPENAI: Final = frozenset({*(api.name for api in APIS if api.name.startswith("openai/")), CONVERSATIONS})


def named(words: str) -> frozenset[str]:
    """The names of the APIs that some words stand for."""
    return frozenset(name for word in words.split() for name in GROUPS[word].split())


def native_paths(**texts: str) -> tuple[tuple[str, str], ...]:
    """Texts in a path, and the API that each stands for: a word of GROUPS with one API."""
    return tuple((text, GROUPS[word]) for word, text in texts.items())
