"""Doubao, at Volcengine Ark: its bots, and what its APIs of responses and images need.

Sources: Higress ai-proxy plugin, doubao; Ark's API reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..chat.body_edits import BodyEdit, Notes
from ..chat.target import OPENAI_CHAT
from ..config import values
from ..config.keys import key
from ..exchange import Upstream
from ..wire import targets
from ..wire.json_tree import Value
from ..wire.targets import Origin
from .api_groups import named, native_paths
from .compatible import Compatible
from .row import CompatibleKeys, Row

_BOT: Final = "bot-"
_CHAT_PATH: Final = "/chat/completions"
_DEFAULTS: Final = {"parallel_tool_calls": b"true", "tool_choice": b'"auto"'}


@dataclass(frozen=True, slots=True)
class DoubaoKeys(CompatibleKeys):
    """The keys of `type: doubao`."""

    doubao_domain: Origin | None = key(values.origin, help="The host of another region, as in `providerDomain`.")


class Doubao(Compatible):
    """See its row."""

    keys: DoubaoKeys

    def needs_model(self, api: str) -> bool:
        """Whether a bot has another path."""
        return self.capabilities[api].endswith(_CHAT_PATH)

    def for_model(self, upstream: Upstream, model: str | None) -> Upstream:
        """A chat with a bot goes to the bots' path."""
        path, query = targets.split_query(upstream.target)
        if not (model or "").startswith(_BOT) or path.endswith(f"/bots{_CHAT_PATH}"):
            return upstream
        target = targets.join_query(f"{path.removesuffix(_CHAT_PATH)}/bots{_CHAT_PATH}", query)
        return upstream._replace(target=target, notes=(*upstream.notes, f"{_BOT}... is a bot, with a path of its own"))


def _without_defaults(body: Value) -> Notes:
    """Ark is told nothing of parallel calls and of the choice of tools where the client's words are the default.

    The plugin removes both members always, for models of Ark refused them; but other values mean something.
    """
    found = {name: body.get(name) for name in _DEFAULTS}
    names = [name for name, value in found.items() if value is not None and value.raw == _DEFAULTS[name]]
    body.remove(*names)
    return (f"defaults left out: {', '.join(names)}",) if names else ()


def _without_watermark(body: Value) -> Notes:
    """Ark puts a watermark on pictures unless it is told not to. A client that says something of it has its will."""
    if body.get("watermark") is not None:
        return ()
    body.put("watermark", b"false")
    return ("watermark: false added",)


DEFAULTS_LEFT_OUT: Final = BodyEdit(_without_defaults, tuple(f'"{name}"'.encode() for name in _DEFAULTS))
NO_WATERMARK: Final = BodyEdit(_without_watermark)


ROW: Final = Row(
    "doubao",
    "ark.cn-beijing.volces.com",
    "/api/v3",
    named("chat embeddings models generations responses files"),
    "Volcengine Ark (Doubao). A model is an id, an endpoint (`ep-...`) or a bot (`bot-...`).",
    site="https://www.volcengine.com/docs/82379",
    variable="ARK_API_KEY",
    native=native_paths(
        chat="/api/v3/chat/completions",
        embeddings="/api/v3/embeddings",
        generations="/api/v3/images/generations",
        responses="/api/v3/responses",
    ),
    edits={"openai/v1/responses": (DEFAULTS_LEFT_OUT,), "openai/v1/imagegeneration": (NO_WATERMARK,)},
    domain="doubaoDomain",
    chat=OPENAI_CHAT._replace(reasoning="thinking", reasoning_back="calls"),
    keys=DoubaoKeys,
    kind=Doubao,
)
