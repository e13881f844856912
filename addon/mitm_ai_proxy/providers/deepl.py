"""DeepL: the messages of a chat are translated. Sources: DeepL's API reference; Higress ai-proxy plugin, deepl."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from ..auth.header import Credential, authorization
from ..auth.secret import Secret
from ..chat import deepl_answers, json_values, vendor_errors
from ..chat.deepl_upstream import Settings
from ..chat.dialects import DEEPL, OPENAI
from ..chat.target import Target
from ..config import values
from ..config.keys import Problem, Reading, key
from ..errors import bad_body
from ..exchange import Answer, Handling, Memo, Upstream, Whole
from ..wire import sse
from ..wire.header_fields import Fields
from ..wire.request_body import without_mark
from ..wire.targets import Origin
from . import chats
from .chats import CHAT
from .compatible import Compatible
from .row import ChatKeys, Row

HOSTS: Final = {"free": Origin.parse("api-free.deepl.com"), "pro": Origin.parse("api.deepl.com")}
"""By model, in lower case: the tier of the account."""
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")


def _language(value: Any) -> str:
    found = values.text(value)
    if found and not _LANGUAGE.fullmatch(found):
        raise ValueError("expected a language of DeepL's, such as ZH or EN-GB")
    return found


@dataclass(frozen=True, slots=True)
class DeeplKeys(ChatKeys):
    """The keys of `type: deepl`."""

    target_lang: str = key(_language, "", help="The language to translate to, such as `ZH` or `EN-GB`. Required.")

    def problems(self, reading: Reading) -> Iterator[Problem]:
        """No language."""
        if not (self.target_lang or self.protocol == "original" or reading.offline):
            yield Problem("targetLang", "is missing: the language to translate to, such as ZH")


def _credential(token: Secret) -> Credential:
    return authorization(f"DeepL-Auth-Key {token.reveal()}")


class Deepl(Compatible):
    """See its row."""

    keys: DeeplKeys
    checks_needs = True
    is_simulated_natively = True

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The hosts of both tiers, unless another one is configured."""
        return (self.origin,) if self._has_address else tuple(HOSTS.values())

    @property
    def _has_address(self) -> bool:
        return bool(self.keys.base_url or self.keys.provider_domain)

    def own_origin(self) -> Origin:
        """That of the free tier, whose keys end in `:fx`, and of paths of DeepL's own."""
        tokens = self.keys.api_tokens
        is_pro = bool(tokens) and not any(token.reveal().endswith(":fx") for token in tokens)
        return HOSTS["pro" if is_pro else "free"]

    def target(self, api: str) -> Target:
        """With the language."""
        return super().target(api)._replace(settings=Settings(self.keys.target_lang))

    def _translated(self, upstream: Upstream, asked: str, other: str, body: bytes) -> Upstream:
        """As elsewhere; a message without a role is the user's."""
        return super()._translated(upstream, asked, other, _with_roles(without_mark(body)))

    def for_chat(self, upstream: Upstream, api: str, model: str, is_stream: bool) -> Upstream:
        """To the host of the tier, which is the model. Raises Refusal (400) for another one."""
        host = HOSTS.get(model.lower())
        if host is None:
            raise bad_body('The model has to be "Free" or "Pro": the tier of DeepL.', param="model")
        return upstream if self._has_address else upstream._replace(origin=host, notes=(*upstream.notes, f"to {host}"))

    def responseheaders(self, sent: Upstream, status: int, fields: Fields) -> Handling:
        """As elsewhere; for OpenAI's clients each translation is a choice."""
        memo = sent.memo.get(chats.TRANSLATION)
        if memo is not None and memo["client"] == OPENAI and 200 <= status < 300:
            inner = super().responseheaders(sent, status, fields)
            return Whole(lambda answer: _choices(answer, memo, inner))
        return super().responseheaders(sent, status, fields)


def _with_roles(body: bytes) -> bytes:
    root = json_values.request_object(body)
    found = root.objects("messages")
    if all("role" in message.members for message in found):
        return body
    messages = [{"role": "user", **message.members} for message in found]
    return json_values.encode({**root.members, "messages": messages})


def _choices(answer: Answer, memo: Memo, inner: Handling) -> Answer:
    try:
        found = deepl_answers.translations(answer.body)
    except (ValueError, KeyError, TypeError, AttributeError):
        if isinstance(inner, Whole):
            return inner.rewrite(answer)
        return vendor_errors.answer(vendor_errors.broken("has no translations"), OPENAI)
    is_stream = memo["stream"]
    head = {"id": f"chatcmpl-{memo['id']}", "created": memo["created"], "model": memo["model"]}
    messages = [
        {"role": "assistant", "content": one.text, **({"name": one.language} if one.language else {})} for one in found
    ]
    if not is_stream:
        choices = [{"index": i, "message": one, "finish_reason": "stop"} for i, one in enumerate(messages)]
        document = {**head, "object": "chat.completion", "choices": choices}
        return Answer(answer.status, json_values.encode(document), {"content-type": "application/json"})
    choices = [{"index": i, "delta": one, "finish_reason": "stop"} for i, one in enumerate(messages)]
    chunk = json_values.encode({**head, "object": "chat.completion.chunk", "choices": choices})
    return Answer(answer.status, sse.event(chunk) + sse.event(b"[DONE]"), {"content-type": "text/event-stream"})


ROW: Final = Row(
    "deepl",
    "api-free.deepl.com",
    "/v2",
    frozenset(),
    "DeepL: the user's messages are translated, system messages are the context. The model is the tier, `Free` or"
    " `Pro`.",
    site="https://developers.deepl.com/docs",
    elsewhere={CHAT: "/v2/translate"},
    style=_credential,
    needs=("targetLang",),
    chat=Target("DeepL", DEEPL),
    keys=DeeplKeys,
    kind=Deepl,
)
