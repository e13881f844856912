"""Cohere: chats by its API of version 2, embeddings by its compatibility API. Source: Cohere's API reference."""

from __future__ import annotations

from typing import Final

from ..chat.cohere_upstream import OPTIONS
from ..chat.dialects import COHERE
from ..chat.target import Target
from .api_groups import named, native_paths
from .chats import CHAT
from .row import Row

ROW: Final = Row(
    "cohere",
    "api.cohere.com",
    "/compatibility/v1",
    named("embeddings"),
    "Cohere: chats by its own API of version 2, translated; embeddings by its compatibility API; its own rerank.",
    site="https://docs.cohere.com/v2/reference/chat",
    elsewhere={CHAT: "/v2/chat", "cohere/v1/rerank": "/v1/rerank"},
    beside={path: path for path in ("/v1/chat", "/v1/embed", "/v1/tokenize", "/v1/detokenize", "/v1/classify")},
    native=(
        *native_paths(chat="/v1/chat", embeddings="/compatibility/v1/embeddings", rerank="/v1/rerank"),
        *native_paths(chat="/v2/chat", rerank="/v2/rerank"),
    ),
    chat=Target(
        "Cohere",
        COHERE,
        reasoning="own",
        reasoning_back="always",
        options=OPTIONS,
        takes=frozenset({"image"}),
        counts_streams=False,
    ),
)
