"""Qwen, at Alibaba Cloud's DashScope: its web search, and thoughts that are kept. Its native mode is refused.

Sources: Higress ai-proxy plugin, qwen; DashScope's API reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ..chat.body_edits import BodyEdit, Notes
from ..config import values
from ..config.keys import Problem, Reading, key
from ..wire.json_tree import Value
from ..wire.targets import Origin
from .api_groups import native_paths
from .chats import CHAT
from .compatible import Compatible
from .row import CompatibleKeys

_SERVICES: Final = "/api/v1/services"
NATIVE: Final = (
    *native_paths(chat=f"{_SERVICES}/aigc/text-generation/generation"),
    *native_paths(chat=f"{_SERVICES}/aigc/multimodal-generation/generation"),
    *native_paths(chat="/api/v1/apps"),
    *native_paths(chat="/compatible-mode/v1/chat/completions"),
    *native_paths(embeddings=f"{_SERVICES}/embeddings/text-embedding/text-embedding"),
    *native_paths(embeddings="/compatible-mode/v1/embeddings", responses="/compatible-mode/v1/responses"),
    *native_paths(reranks=f"{_SERVICES}/rerank/text-rerank/text-rerank"),
    *native_paths(reranks="/compatible-api/v1/reranks", conversations="/compatible-mode/v1/conversations"),
    *native_paths(messages="/apps/anthropic/v1/messages"),
)
"""Paths of both modes, and the APIs that they stand for."""
_KEEP_THOUGHTS: Final = ("qwen3.6-max-preview", "kimi-k2.6")
_KEEP_THOUGHTS_PREFIX: Final = "qwen3.6-plus"
"""Models that know `preserve_thinking`."""


@dataclass(frozen=True, slots=True)
class QwenKeys(CompatibleKeys):
    """The keys of `type: qwen`."""

    qwen_domain: Origin | None = key(
        values.origin, help="The host of another region or workspace, as in `providerDomain`."
    )
    qwen_enable_search: bool = key(
        values.flag,
        False,
        help="Whether chats may search the web (`enable_search`), unless the client decides it.",
    )
    qwen_enable_compatible: bool = key(
        values.flag, True, help="Nothing but `true` is possible, except under `protocol: original`."
    )

    def problems(self, reading: Reading) -> Iterator[Problem]:
        """DashScope's own protocol."""
        if not (self.qwen_enable_compatible or self.protocol == "original"):
            yield Problem(
                "qwenEnableCompatible",
                "DashScope's native mode is not implemented; leave this key out: the compatible mode has the same chats"
                " and embeddings with the same key. Clients that write native paths themselves need protocol: original",
                ("protocol",),
            )


class Qwen(Compatible):
    """See its row."""

    keys: QwenKeys

    def model_edits(self, api: str) -> tuple[BodyEdit, ...]:
        """The search, and what depends on the model."""
        if api != CHAT:
            return ()
        search = (BodyEdit(_with_search),) if self.keys.qwen_enable_search else ()
        return (*search, _KEPT_THOUGHTS)


def _with_search(body: Value) -> Notes:
    """The model may search the web. A client that says something of it has its will."""
    if body.get("enable_search") is not None:
        return ()
    body.put("enable_search", b"true")
    return ("enable_search added, by qwenEnableSearch",)


def _with_thoughts_kept(body: Value) -> Notes:
    """A conversation that gives thoughts back wants them to count, where the model can do that."""
    found = body.get("model")
    model = (found.string() if found is not None else None) or ""
    if not (model in _KEEP_THOUGHTS or model.startswith(_KEEP_THOUGHTS_PREFIX)):
        return ()
    messages = body.get("messages")
    thoughts = [message.get("reasoning_content") for message in (messages.items() if messages else ())]
    if body.get("preserve_thinking") is not None or not any(one is not None and one.string() for one in thoughts):
        return ()
    body.put("preserve_thinking", b"true")
    return ("thoughts of earlier turns are kept: preserve_thinking",)


_KEPT_THOUGHTS: Final = BodyEdit(_with_thoughts_kept, (b'"reasoning_content"',))
