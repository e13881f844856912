"""Coze: chats with its bots, whose ids are the models. Source: Coze's API reference."""

from __future__ import annotations

from typing import Final

from ..apis import Call
from ..chat.dialects import COZE
from ..chat.target import Target
from ..exchange import Upstream
from .chats import CHAT
from .compatible import Compatible
from .row import ChatKeys, Row

_OWN: Final = frozenset({"openai/v1/files", "openai/v1/retrievefile", "qwen/v1/conversations"})
"""APIs of others under whose paths Coze has its own: uploads and conversations."""


class Coze(Compatible):
    """See its row."""

    is_simulated_natively = True

    def detect(self, method: str, path: str) -> Call | None:
        """As elsewhere, but for paths that are Coze's own."""
        found = super().detect(method, path)
        return None if found and found.api.name in _OWN else found

    def for_chat(self, upstream: Upstream, api: str, model: str, is_stream: bool) -> Upstream:
        """Every answer is a stream."""
        return upstream._replace(fields={**upstream.fields, b"accept": b"text/event-stream"})


ROW: Final = Row(
    "coze",
    "api.coze.cn",
    "/v1",
    frozenset(),
    "Coze: chats with a bot, whose id is the model. Its own paths (`/v3/chat`) pass as they are. Outside China:"
    " `baseUrl: https://api.coze.com/v1`.",
    site="https://www.coze.cn/open/docs",
    elsewhere={CHAT: "/v3/chat"},
    chat=Target("Coze", COZE),
    keys=ChatKeys,
    kind=Coze,
)
