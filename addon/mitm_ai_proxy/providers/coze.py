"""Coze: chats with its bots, whose ids are the models. Source: Coze's API reference."""

from __future__ import annotations

from typing import Final

from ..chat.dialects import COZE
from ..chat.target import Target
from ..exchange import Upstream
from .chats import CHAT
from .compatible import Compatible
from .row import ChatKeys, Row


class Coze(Compatible):
    """See its row."""

    is_simulated_natively = True

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
    own=r"/(files|conversations|audio)(/|$)",
    chat=Target("Coze", COZE),
    keys=ChatKeys,
    kind=Coze,
)
