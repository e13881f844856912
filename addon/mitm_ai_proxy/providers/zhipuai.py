"""Zhipu AI (Z.ai): the coding plan's path for chats, and how GLM is told to think.

Sources: Higress ai-proxy plugin, zhipuai; Z.ai's API reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ..chat.body_edits import BodyEdit, Notes
from ..chat.target import OPENAI_CHAT
from ..config import values
from ..config.keys import key
from ..wire.json_tree import Value
from ..wire.targets import Origin
from .api_groups import named, native_paths
from .base import Clock
from .chats import CHAT, MESSAGES
from .compatible import Compatible
from .row import AddressKeys, CompatibleKeys, Row

CODE_PLAN: Final = "/api/coding/paas/v4"


@dataclass(frozen=True, slots=True)
class ZhipuaiKeys(CompatibleKeys):
    """The keys of `type: zhipuai`."""

    zhipu_domain: Origin | None = key(
        values.origin, help="The host, as in `providerDomain`; outside China it is `api.z.ai`."
    )
    zhipu_code_plan_mode: bool = key(values.flag, False, help="Whether chats go to the path of the coding plan.")


class Zhipuai(Compatible):
    """See its row."""

    keys: ZhipuaiKeys

    def __init__(self, keys: AddressKeys, clock: Clock) -> None:
        super().__init__(keys, clock)
        if self.keys.zhipu_code_plan_mode:
            # Without the mode, who writes this path gets it, and with it the plan that pays.
            self._bases.insert(0, CODE_PLAN)

    def own_capabilities(self) -> Mapping[str, str]:
        """Those of the row; with the coding plan, its path for chats."""
        found = super().own_capabilities()
        return {**found, CHAT: f"{CODE_PLAN}/chat/completions"} if self.keys.zhipu_code_plan_mode else found


def _thinking_by_effort(body: Value) -> Notes:
    """GLM thinks or not, by `thinking`; before GLM-5.2 it ignores `reasoning_effort`, which stays for later models.

    The plugin switches thinking on for every effort, also for `none`, and removes it.
    """
    effort = body.get("reasoning_effort")
    text = effort.string() if effort is not None else None
    thinking = body.get("thinking")
    if not text or (thinking is not None and thinking.raw != b"null"):
        return ()
    kind = "disabled" if text == "none" else "enabled"
    body.put("thinking", b'{"type":"%b"}' % kind.encode())
    return (f"thinking {kind}, by reasoning_effort",)


def _with_thinking_kept(body: Value) -> Notes:
    """A conversation that gives thoughts back wants them to count: GLM drops them unless it is told not to."""
    messages = body.get("messages")
    thoughts = [message.get("reasoning_content") for message in (messages.items() if messages else ())]
    if not any(thought is not None and thought.string() for thought in thoughts):
        return ()
    if not body.put_path(("thinking", "clear_thinking"), b"false", overwrite=False):
        return ()
    return ("thoughts of earlier turns are kept: thinking.clear_thinking is false",)


EFFORT_AS_THINKING: Final = BodyEdit(_thinking_by_effort, (b'"reasoning_effort"',))
KEPT_THINKING: Final = BodyEdit(_with_thinking_kept, (b'"reasoning_content"',))


ROW: Final = Row(
    "zhipuai",
    "open.bigmodel.cn",
    "/api/paas/v4",
    named("chat embeddings models rerank generations transcriptions speech files batches"),
    "Zhipu AI (GLM). Outside China: `zhipuDomain: api.z.ai`.",
    site="https://docs.bigmodel.cn",
    elsewhere={MESSAGES: "/api/anthropic/v1/messages"},
    own=r"/anthropic/v1/models(/|$)",
    native=(
        *native_paths(chat="/api/paas/v4/chat/completions", embeddings="/api/paas/v4/embeddings"),
        *native_paths(chat=f"{CODE_PLAN}/chat/completions", messages="/api/anthropic/v1/messages"),
    ),
    edits={CHAT: (EFFORT_AS_THINKING, KEPT_THINKING)},
    addresses=("zhipuCodePlanMode",),
    domain="zhipuDomain",
    chat=OPENAI_CHAT._replace(reasoning="thinking", reasoning_back="always"),
    keys=ZhipuaiKeys,
    kind=Zhipuai,
)
