"""Dify: chats with its applications. Sources: Dify's API reference; Higress ai-proxy plugin, dify."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from ..chat import dify_answers, json_values
from ..chat.dialects import DIFY
from ..chat.dify_upstream import CONVERSATION, BotType, Settings
from ..chat.target import Target
from ..config import values
from ..config.keys import Problem, Reading, key
from ..exchange import Answer, Handling, Head, NeedsBody, Scope, Upstream, Whole
from ..wire import header_fields, targets
from ..wire.header_fields import Fields
from ..wire.targets import Origin, Url
from .chats import CHAT
from .compatible import Compatible
from .row import AddressKeys, ChatKeys, Row

_PATHS: Final[Mapping[BotType, str]] = {
    "Chat": "/chat-messages",
    "Agent": "/chat-messages",
    "Completion": "/completion-messages",
    "Workflow": "/workflows/run",
}
_BASE: Final = "/v1"
_FIELD: Final = b"conversationid"
_GOING_ON: Final = re.compile(rb'"conversation_id"\s*:\s*"[^"]')
_BOT_TYPES: Final[Mapping[str, BotType]] = {name.lower(): name for name in _PATHS}


def _bot_type(value: Any) -> BotType:
    """A kind of application, in any case."""
    word = values.text(value)
    return _BOT_TYPES.get(word.lower()) or values.one_of(*_PATHS)(word)


@dataclass(frozen=True, slots=True)
class DifyKeys(ChatKeys):
    """The keys of `type: dify`."""

    dify_api_url: Url | None = key(values.url, help="The URL of a Dify of one's own, with or without its `/v1`.")
    bot_type: BotType = key(
        _bot_type, "Chat", help="The kind of the application: `Chat`, `Agent`, `Completion` or `Workflow`."
    )
    input_variable: str = key(values.text, "", help="The input of a `Workflow` that is the prompt.")
    output_variable: str = key(
        values.text, "", help="The output of a `Workflow` that is the answer; without it, the only one, or all as JSON."
    )

    def problems(self, reading: Reading) -> Iterator[Problem]:
        """A workflow without an input; a URL beside another address."""
        if self.bot_type == "Workflow" and not self.input_variable and self.protocol != "original":
            yield Problem("inputVariable", "is missing: the input of the workflow that is the prompt")


class Dify(Compatible):
    """See its row."""

    keys: DifyKeys
    is_simulated_natively = True

    @classmethod
    def simulated_keys(cls, keys: AddressKeys) -> AddressKeys:
        """Without the name of an output: the simulated workflow has one."""
        return replace(keys, output_variable="")  # type: ignore[call-arg]

    def own_base(self, keys: AddressKeys) -> str:
        """The path of the URL, if it ends in /v1."""
        assert isinstance(keys, DifyKeys)
        path = keys.dify_api_url.path if keys.dify_api_url else ""
        return path if path.endswith(_BASE) else _BASE

    def own_origin(self) -> Origin:
        """The host of the URL, else Dify's own."""
        return self.keys.dify_api_url.origin if self.keys.dify_api_url else super().own_origin()

    def own_capabilities(self) -> Mapping[str, str]:
        """The path of the kind of application."""
        return {CHAT: self.base + _PATHS[self.keys.bot_type]}

    def target(self, api: str) -> Target:
        """With the kind of application, and its variables."""
        keys = self.keys
        answers = {dify_answers.BOT: keys.bot_type, dify_answers.OUTPUT: keys.output_variable}
        return super().target(api)._replace(settings=Settings(keys.bot_type, keys.input_variable), answers=answers)

    def is_repeatable(self, head: Head, name: str | None) -> bool:
        """Not what does more than answer: an agent has tools, and a workflow does what its author wants."""
        return super().is_repeatable(head, name) and self.keys.bot_type not in ("Agent", "Workflow")

    def needs_body_for_scope(self, head: Head) -> bool:
        """As elsewhere; a chat in Dify's own form names its conversation in the body."""
        is_own = head.method == "POST" and targets.split_query(head.target)[0].endswith("/chat-messages")
        return is_own or super().needs_body_for_scope(head)

    def scope(self, head: Head, body: bytes | None = None) -> Scope:
        """A conversation stays where it is."""
        is_going_on = header_fields.value(head.fields, _FIELD) or _GOING_ON.search(body or b"")
        return Scope.PROVIDER if is_going_on else super().scope(head, body)

    def requestheaders(self, head: Head) -> Upstream | NeedsBody:
        """As elsewhere; the client's ConversationId goes on with a conversation."""
        found = super().requestheaders(head)
        id = header_fields.value(head.fields, _FIELD)
        if isinstance(found, NeedsBody) and id and self.keys.protocol != "original":
            return found._replace(rewrite=_in_conversation(found.rewrite, id))
        return found

    def responseheaders(self, sent: Upstream, status: int, fields: Fields) -> Handling:
        """As elsewhere; a whole answer tells the conversation in a header field, as in the plugin."""
        found = super().responseheaders(sent, status, fields)
        if not isinstance(found, Whole) or self.keys.bot_type not in ("Chat", "Agent") or not sent.memo:
            return found
        rewrite = found.rewrite

        def with_conversation(answer: Answer) -> Answer:
            made = rewrite(answer)
            id = dify_answers.conversation(answer.body) if made is not answer and made.status < 300 else ""
            return made._replace(headers={**made.headers, "ConversationId": id}) if id else made

        return Whole(with_conversation)


def _in_conversation(rewrite: Callable[[bytes], Upstream | Answer], id: str) -> Callable[[bytes], Upstream | Answer]:
    """The same of a body that names the conversation, unless it does itself."""

    def rewritten(body: bytes) -> Upstream | Answer:
        members = json_values.request_object(body).members
        return rewrite(json_values.encode({CONVERSATION: id, **members}))

    return rewritten


ROW: Final = Row(
    "dify",
    "api.dify.ai",
    _BASE,
    frozenset(),
    "Dify: chats with an application, whose key it is. Its own paths (`/v1/chat-messages`, ...) pass as they are.",
    site="https://docs.dify.ai",
    elsewhere={CHAT: "/v1/chat-messages"},
    own=r"/(files|conversations)(/|$)|^GET .*/messages$",
    addresses=("difyApiUrl",),
    chat=Target("Dify", DIFY),
    keys=DifyKeys,
    kind=Dify,
)
